#include "manager/backend.h"

#include <errno.h>
#include <stdlib.h>

#include <vtpm/log.h>

#include "manager/backend_xen_device.h"

enum {
	PORTS_AT_ONCE = 64, /* then other event sources have their turn */
};

static void
on_notified(evutil_socket_t fd, short what, void *arg)
{
	struct xen_backend *xen = arg;

	(void)fd;
	(void)what;
	for (int i = 0; i < PORTS_AT_ONCE; i++) {
		int port = grants_pending(xen->grants);
		if (port < 0)
			return;
		struct xen_device *device = xen_device_of_port(xen, port);
		if (device)
			ring_notified(device->ring);
	}
}

static void
xen_close(void *state)
{
	struct xen_backend *xen = state;

	xen->closing = true;
	xenbus_close(xen->xenbus);
	while (!TAILQ_EMPTY(&xen->devices))
		xen_device_free(TAILQ_FIRST(&xen->devices));
	hotplug_free(xen->hotplug);
	if (xen->notified)
		event_free(xen->notified);
	grants_close(xen->grants);
	free(xen);
}

static int
xen_start(struct xen_backend *xen, const char *dir)
{
	struct event_base *base = backend_base(xen->backend);
	const char *script = backend_script(xen->backend);

	int error = dir ? grants_shm_open(dir, &xen->grants) : grants_xen_open(&xen->grants);
	if (error)
		return error;
	xen->notified =
	    event_new(base, grants_fd(xen->grants), EV_READ | EV_PERSIST, on_notified, xen);
	if (!xen->notified || event_add(xen->notified, NULL) != 0)
		return -ENOMEM;
	if (script) {
		xen->hotplug = hotplug_new(base, script);
		if (!xen->hotplug)
			return -ENOMEM;
	}
	return xenbus_open(base, xen->grants, &xen_device_ops, xen, &xen->xenbus);
}

static int
xen_open(struct backend *backend, const char *argument, void **state)
{
	struct xen_backend *xen = calloc(1, sizeof(*xen));

	if (!xen)
		return -ENOMEM;
	xen->backend = backend;
	TAILQ_INIT(&xen->devices);
	int error = xen_start(xen, argument);
	if (error) {
		xen_close(xen);
		return error;
	}
	*state = xen;
	return 0;
}

const struct backend_ops backend_xen = {
	.name = "xen",
	.open = xen_open,
	.close = xen_close,
};
