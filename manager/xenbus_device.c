#include "manager/xenbus_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vtpm/log.h>

#include "manager/xenbus_state.h"

enum {
	XENBUS_STEPS_MAX = 16,   /* of one device at once: more is a loop */
	XENBUS_LOOKS_BURST = 50, /* looks at one device ... */
	XENBUS_LOOKS_WINDOW_MS = 500,
	XENBUS_SETTLE_MS = 500,   /* at InitWait, for the toolstack to see it */
	XENBUS_CLOSE_SECONDS = 4, /* for a driver to end its work; libxl waits 10 in all */
};

const char *
xenbus_device_path(const struct xenbus_device *device)
{
	return device->path;
}

uint32_t
xenbus_device_domid(const struct xenbus_device *device)
{
	return device->domid;
}

bool
xenbus_device_suspended(const struct xenbus_device *device)
{
	return device->life == DOMAIN_SUSPENDED;
}

char *
xenbus_device_read(const struct xenbus_device *device, const char *name)
{
	return node_read(device->bus->xs, device->path, name);
}

uint32_t
xenbus_device_number(const struct xenbus_device *device, const char *name, uint32_t fallback)
{
	return node_number(device->bus->xs, device->path, name, fallback);
}

int
xenbus_device_write(struct xenbus_device *device, const struct node *nodes, size_t count)
{
	return node_write(device->bus->xs, device->path, nodes, count);
}

static enum xenbus_state
state_at(struct xs_handle *xs, const char *dir)
{
	uint32_t state = node_number(xs, dir, "state", XENBUS_MISSING);

	return state > XENBUS_CLOSED ? XENBUS_MISSING : (enum xenbus_state)state;
}

static void
device_set_state(struct xenbus_device *device, enum xenbus_state state)
{
	char digit[] = { (char)('0' + state), '\0' };
	struct node nodes[] = { { "state", digit }, { "feature-protocol-v2", "1" } };
	int error = node_write(device->bus->xs, device->path, nodes, 2);

	if (error && error != -ENOENT)
		log_error("%s: cannot write its state %s: %s", device->path, digit,
			  strerror(-error));
}

static void
device_disconnect(struct xenbus_device *device)
{
	if (!device->connected)
		return;
	device->bus->ops->disconnect(device->ctx);
	device->connected = false;
}

static void
device_connect(struct xenbus_device *device)
{
	struct xenbus *bus = device->bus;
	int error = -EPROTONOSUPPORT;

	if (node_number(bus->xs, device->front, "feature-protocol-v2", 0) == 1)
		error = bus->ops->connect(device->ctx, device->domid, device->ref, device->port);
	device->ring_failed = error != 0;
	device->connected = error == 0;
	device->was_up = false;
	if (error == 0) {
		device_set_state(device, XENBUS_CONNECTED);
		return;
	}
	log_limited(&device->log, LOG_LEVEL_WARNING,
		    "%s: cannot connect to the ring of domain %u (grant %u, event channel %u): %s",
		    device->path, device->domid, device->ref, device->port, strerror(-error));
}

/* device_offer: takes note of the ring that the front-end offers; returns whether it is the one
 * already known. A front-end that starts again may get the same numbers for a new ring. */
static bool
device_offer(struct xenbus_device *device, enum xenbus_state front)
{
	uint32_t ref = node_number(device->bus->xs, device->front, "ring-ref", UINT32_MAX);
	uint32_t port = node_number(device->bus->xs, device->front, "event-channel", UINT32_MAX);
	bool restarted = device->was_up && front == XENBUS_INITIALISED;
	bool same = ref == device->ref && port == device->port && !restarted;

	if (front == XENBUS_CONNECTED)
		device->was_up = true;
	if (!same && !device->connected) {
		device->ref = ref;
		device->port = port;
		device->was_up = false;
	}
	return same;
}

bool
device_domain_gone(struct xenbus_device *device)
{
	enum domain_life life = grants_life(device->bus->grants, device->domid);

	if (life != DOMAIN_GONE)
		device->life = life;
	return life == DOMAIN_GONE;
}

/* device_view: what xenstore and Xen say now. Returns 0, -ENOENT if the nodes are gone, or those of
 * another device by now, or another negative errno if xenstore does not answer. */
static int
device_view(struct xenbus_device *device, struct xenbus_view *view)
{
	struct xs_handle *xs = device->bus->xs;
	char *front = node_read(xs, device->path, "frontend");

	if (!front)
		return -errno;
	bool same_device = strcmp(front, device->front) == 0;
	free(front);
	if (!same_device)
		return -ENOENT;
	view->front = state_at(xs, device->front);
	view->back = state_at(xs, device->path);
	view->online = node_number(xs, device->path, "online", 1) != 0;
	if (device->releasing && view->online && view->back == XENBUS_INITIALISING)
		return -ENOENT;

	view->domain_gone = device_domain_gone(device);

	if (view->front != XENBUS_INITIALISED && view->front != XENBUS_CONNECTED)
		device->ring_failed = false;
	view->same_ring = device_offer(device, view->front);
	view->ring_failed = view->same_ring && device->ring_failed;
	view->connected = device->connected;
	view->settling = evtimer_pending(device->settle_timer, NULL);
	view->timed_out = device->timed_out;
	view->released = device->released;
	return 0;
}

static void
device_announce(struct xenbus_device *device)
{
	struct timeval moment = { .tv_usec = XENBUS_SETTLE_MS * 1000 };

	device_set_state(device, XENBUS_INIT_WAIT);
	evtimer_add(device->settle_timer, &moment);
}

static void
device_start_close(struct xenbus_device *device)
{
	struct timeval limit = { .tv_sec = XENBUS_CLOSE_SECONDS };

	if (!evtimer_pending(device->close_timer, NULL))
		evtimer_add(device->close_timer, &limit);
}

static void
device_release(struct xenbus_device *device)
{
	if (device->releasing)
		return;
	device->releasing = true;
	device->released = device->bus->ops->release(device->ctx);
}

void
device_free(struct xenbus_device *device)
{
	device_disconnect(device);
	device->bus->ops->removed(device->ctx);
	throttle_free(device->looks);
	event_free(device->close_timer);
	event_free(device->settle_timer);
	LIST_REMOVE(device, link);
	free(device);
}

static void
device_gone(struct xenbus_device *device)
{
	char watched[NODE_PATH_MAX + sizeof("/state")];

	log_info("%s: removed", device->path);
	snprintf(watched, sizeof(watched), "%s/state", device->front);
	(void)xs_unwatch(device->bus->xs, watched, device->path);
	device_free(device);
}

/* device_step: returns whether there may be a next one. */
static bool
device_step(struct xenbus_device *device, enum xenbus_step step)
{
	switch (step) {
	case XENBUS_WAIT:
		return false;
	case XENBUS_ANNOUNCE:
		device_announce(device);
		return true;
	case XENBUS_CONNECT:
		device_connect(device);
		return true;
	case XENBUS_DISCONNECT:
		device_disconnect(device);
		return true;
	case XENBUS_START_CLOSE:
		device_start_close(device);
		return false;
	case XENBUS_RELEASE:
		device_release(device);
		return device->released;
	case XENBUS_TO_CLOSING:
		device_set_state(device, XENBUS_CLOSING);
		return true;
	case XENBUS_TO_CLOSED:
		device_set_state(device, XENBUS_CLOSED);
		return true;
	}
	return false;
}

void
device_look(struct xenbus_device *device)
{
	struct xenbus *bus = device->bus;

	if (bus->lost || !throttle_allow(device->looks))
		return;
	for (int i = 0; i < XENBUS_STEPS_MAX; i++) {
		struct xenbus_view view;
		int error = device_view(device, &view);

		if (error == -ENOENT) {
			char path[NODE_PATH_MAX];

			memcpy(path, device->path, sizeof(path));
			device_gone(device);
			device_appeared(bus, path);
			return;
		}
		if (error)
			return;
		enum xenbus_step step = xenbus_next(&view);
		log_debug("%s: back-end %d, front-end %d, step %d", device->path, view.back,
			  view.front, step);
		if (!device_step(device, step))
			return;
	}
}

static void
on_looks_resume(void *ctx)
{
	device_look(ctx);
}

static void
on_settled(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	device_look(arg);
}

static void
on_close_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct xenbus_device *device = arg;

	(void)fd;
	(void)what;
	device->timed_out = true;
	device_look(device);
}

void
xenbus_released(struct xenbus_device *device)
{
	device->released = true;
	device_look(device);
}

/* device_new: a device whose nodes are there, or NULL. */
static struct xenbus_device *
device_new(struct xenbus *bus, const char *path, const char *front)
{
	struct xenbus_device *device = calloc(1, sizeof(*device));

	if (!device)
		return NULL;
	device->bus = bus;
	device->domid = node_number(bus->xs, path, "frontend-id", UINT32_MAX);
	device->ref = UINT32_MAX;
	device->port = UINT32_MAX;
	snprintf(device->path, sizeof(device->path), "%s", path);
	snprintf(device->front, sizeof(device->front), "%s", front);
	device->looks = throttle_new(bus->base, XENBUS_LOOKS_BURST, XENBUS_LOOKS_WINDOW_MS,
				     on_looks_resume, device);
	device->close_timer = evtimer_new(bus->base, on_close_timeout, device);
	device->settle_timer = evtimer_new(bus->base, on_settled, device);
	if (device->looks && device->close_timer && device->settle_timer)
		device->ctx = bus->ops->added(bus->ctx, device);
	if (device->ctx) {
		LIST_INSERT_HEAD(&bus->devices, device, link);
		return device;
	}
	throttle_free(device->looks);
	if (device->close_timer)
		event_free(device->close_timer);
	if (device->settle_timer)
		event_free(device->settle_timer);
	free(device);
	return NULL;
}

void
device_watch(struct xenbus_device *device)
{
	char watched[NODE_PATH_MAX + sizeof("/state")];

	snprintf(watched, sizeof(watched), "%s/state", device->front);
	if (!xs_watch(device->bus->xs, watched, device->path))
		log_error("%s: cannot watch its front-end: %m", device->path);
}

void
device_appeared(struct xenbus *bus, const char *path)
{
	char *front = node_read(bus->xs, path, "frontend");

	if (!front)
		return;
	struct xenbus_device *device = device_new(bus, path, front);
	if (!device) {
		log_error("%s: no memory for this device, its guest has no TPM", path);
		goto out;
	}
	log_info("%s: front-end %s of domain %u", path, front, device->domid);
	device_watch(device);
	device_look(device);
out:
	free(front);
}
