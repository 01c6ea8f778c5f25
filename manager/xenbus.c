#include "manager/xenbus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vtpm/log.h>

#include "manager/xenbus_internal.h"

enum {
	XENBUS_EVENTS_AT_ONCE = 64, /* then other event sources have their turn */
};

/* Tokens of the watches; a device's own watch has the device's path. */
static const char token_devices[] = "devices";
static const char token_domains[] = "domains";

static struct xenbus_device *
device_find(struct xenbus *bus, const char *path)
{
	struct xenbus_device *device;

	for (device = LIST_FIRST(&bus->devices); device; device = LIST_NEXT(device, link))
		if (strcmp(device->path, path) == 0)
			break;
	return device;
}

/* mark: has the devices looked at soon: the one at path, or all if that is NULL. Several events of
 * one device cost one look. Returns whether there is such a device. */
static bool
mark(struct xenbus *bus, const char *path)
{
	struct xenbus_device *device;
	bool found = false;

	for (device = LIST_FIRST(&bus->devices); device; device = LIST_NEXT(device, link))
		if (!path || strcmp(device->path, path) == 0)
			device->dirty = found = true;
	return found;
}

/* mark_gone: some domain has ended or shut down; which one, xenstore does not say. */
static void
mark_gone(struct xenbus *bus)
{
	struct xenbus_device *device;

	for (device = LIST_FIRST(&bus->devices); device; device = LIST_NEXT(device, link))
		if (device_domain_gone(device))
			device->dirty = true;
}

static void
look_at_marked(struct xenbus *bus)
{
	struct xenbus_device *device = LIST_FIRST(&bus->devices);

	while (device) {
		struct xenbus_device *next = LIST_NEXT(device, link);

		if (device->dirty) {
			device->dirty = false;
			device_look(device);
		}
		device = next;
	}
}

/* scan: looks at each device dir/NAME, and one level deeper first if depth is 1. */
static void
scan(struct xenbus *bus, const char *dir, int depth)
{
	unsigned count = 0;
	char **names = xs_directory(bus->xs, XBT_NULL, dir, &count);
	char path[NODE_PATH_MAX];

	for (unsigned i = 0; names && i < count; i++) {
		if (snprintf(path, sizeof(path), "%s/%s", dir, names[i]) >= (int)sizeof(path))
			continue;
		if (depth > 0)
			scan(bus, path, depth - 1);
		else if (!device_find(bus, path))
			device_appeared(bus, path);
	}
	free(names);
}

/* on_node: something changed at or below root. Nodes of a device are ROOT/DOMID/HANDLE/... */
static void
on_node(struct xenbus *bus, const char *node)
{
	size_t root = strlen(bus->root);
	char path[NODE_PATH_MAX];

	if (strncmp(node, bus->root, root) != 0 || strlen(node) >= sizeof(path))
		return;
	strcpy(path, node);
	char *domid = strchr(path + root, '/');
	char *handle = domid ? strchr(domid + 1, '/') : NULL;
	char *rest = handle ? strchr(handle + 1, '/') : NULL;
	if (rest)
		*rest = '\0';
	if (handle) {
		if (!mark(bus, path))
			device_appeared(bus, path);
		return;
	}
	(void)mark(bus, NULL);
	scan(bus, path, domid ? 0 : 1);
}

/* take_watches: takes note of what changed. Returns 0 when there is no more, else a negative errno;
 * -EAGAIN if there may be more. */
static int
take_watches(struct xenbus *bus)
{
	for (int i = 0; i < XENBUS_EVENTS_AT_ONCE; i++) {
		char **event = xs_check_watch(bus->xs);

		if (!event)
			return errno == EAGAIN ? 0 : -errno;
		const char *token = event[XS_WATCH_TOKEN];
		if (strcmp(token, token_devices) == 0)
			on_node(bus, event[XS_WATCH_PATH]);
		else if (strcmp(token, token_domains) == 0)
			mark_gone(bus);
		else
			(void)mark(bus, token);
		free(event);
	}
	return -EAGAIN;
}

static void
on_watches(evutil_socket_t fd, short what, void *arg)
{
	struct xenbus *bus = arg;

	(void)fd;
	(void)what;
	int error = take_watches(bus);
	if (error && error != -EAGAIN) {
		log_error("lost xenstore (%s): devices that are connected go on, new ones are not "
			  "seen until xenstored runs again",
			  strerror(-error));
		event_free(bus->watches);
		bus->watches = NULL;
		bus->lost = true;
		return;
	}
	look_at_marked(bus);
	/* The descriptor need not stay readable while there are more. */
	if (error)
		event_active(bus->watches, EV_READ, 0);
}

static int
watch(struct xenbus *bus)
{
	/* Relative paths begin at this domain. */
	char *domid = xs_read(bus->xs, XBT_NULL, "domid", NULL);
	char *home = xs_get_domain_path(bus->xs, domid ? (unsigned)atoi(domid) : 0);

	free(domid);
	if (!home)
		return -errno;
	snprintf(bus->root, sizeof(bus->root), "%s/backend/vtpm", home);
	free(home);
	if (!xs_watch(bus->xs, bus->root, token_devices) ||
	    !xs_watch(bus->xs, "@releaseDomain", token_domains))
		return -errno;
	bus->watches =
	    event_new(bus->base, xs_fileno(bus->xs), EV_READ | EV_PERSIST, on_watches, bus);
	if (!bus->watches || event_add(bus->watches, NULL) != 0)
		return -ENOMEM;
	return 0;
}

/* connect_store: in place of a connection that was lost. Returns 0 or a negative errno. The first
 * watch event has all devices looked at. */
static int
connect_store(struct xenbus *bus, unsigned long flags)
{
	struct xs_handle *xs = xs_open(flags);

	if (!xs)
		return -errno;
	if (bus->xs)
		xs_close(bus->xs);
	bus->xs = xs;
	return watch(bus);
}

static void
reconnect(struct xenbus *bus)
{
	struct xenbus_device *device;

	/* Through the kernel, as without the socket, calls would wait for xenstored. */
	if (connect_store(bus, XS_OPEN_SOCKETONLY) != 0)
		return;
	bus->lost = false;
	log_info("xenstore is there again");
	for (device = LIST_FIRST(&bus->devices); device; device = LIST_NEXT(device, link))
		device_watch(device);
}

/* libxenstore does not make its descriptor readable when the connection is lost. */
static void
on_pulse(evutil_socket_t fd, short what, void *arg)
{
	struct xenbus *bus = arg;

	if (bus->lost)
		reconnect(bus);
	else
		on_watches(fd, what, bus);
}

int
xenbus_open(struct event_base *base, struct grants *grants, const struct xenbus_ops *ops, void *ctx,
	    struct xenbus **out)
{
	struct timeval second = { .tv_sec = 1 };
	struct xenbus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return -ENOMEM;
	bus->base = base;
	bus->grants = grants;
	bus->ops = ops;
	bus->ctx = ctx;
	LIST_INIT(&bus->devices);
	bus->pulse = event_new(base, -1, EV_PERSIST, on_pulse, bus);
	int error = -ENOMEM;
	if (bus->pulse && event_add(bus->pulse, &second) == 0)
		error = connect_store(bus, 0);
	if (error) {
		log_error("cannot use xenstore: %s: is xenstored running?", strerror(-error));
		xenbus_close(bus);
		return error;
	}
	*out = bus;
	return 0;
}

void
xenbus_close(struct xenbus *bus)
{
	if (!bus)
		return;
	while (!LIST_EMPTY(&bus->devices))
		device_free(LIST_FIRST(&bus->devices));
	if (bus->watches)
		event_free(bus->watches);
	if (bus->pulse)
		event_free(bus->pulse);
	if (bus->xs)
		xs_close(bus->xs);
	free(bus);
}
