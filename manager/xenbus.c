#include "manager/xenbus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <vtpm/log.h>

#include "manager/throttle.h"
#include "manager/xenbus_state.h"

enum {
	XENBUS_EVENTS_AT_ONCE = 64, /* then other event sources have their turn */
	XENBUS_STEPS_MAX = 16,      /* of one device at once: more is a loop */
	XENBUS_LOOKS_BURST = 50,    /* looks at one device ... */
	XENBUS_LOOKS_WINDOW_MS = 500,
	XENBUS_CLOSE_SECONDS = 4, /* for a driver to end its work; libxl waits 10 in all */
};

/* Tokens of the watches; a device's own watch has the device's path. */
static const char token_devices[] = "devices";
static const char token_domains[] = "domains";

struct xenbus_device {
	LIST_ENTRY(xenbus_device) link;
	struct xenbus *bus;
	void *ctx;
	struct throttle *looks;
	struct event *close_timer;
	char path[NODE_PATH_MAX];
	char front[NODE_PATH_MAX];
	uint32_t domid;
	uint32_t ref; /* the ring that is or was mapped last */
	uint32_t port;
	bool connected;
	bool was_up; /* the front-end has been Connected with this ring */
	bool ring_failed;
	bool timed_out;
	bool releasing;
	bool released;
	enum domain_life life; /* the last one before it was gone */
	bool dirty;            /* to be looked at when all watch events were taken */
};

struct xenbus {
	struct event_base *base;
	struct grants *grants;
	const struct xenbus_ops *ops;
	void *ctx;
	struct xs_handle *xs;
	struct event *watches;
	char root[NODE_PATH_MAX]; /* /local/domain/N/backend/vtpm */
	LIST_HEAD(, xenbus_device) devices;
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
	log_warning("%s: cannot connect to the ring of domain %u (grant %u, event channel %u): %s",
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

/* device_domain_gone: also takes note of how its domain is while it is there. */
static bool
device_domain_gone(struct xenbus_device *device)
{
	enum domain_life life = grants_life(device->bus->grants, device->domid);

	if (life != DOMAIN_GONE)
		device->life = life;
	return life == DOMAIN_GONE;
}

/* device_view: what xenstore and Xen say now. Returns false if the nodes are gone, or those of
 * another device by now. */
static bool
device_view(struct xenbus_device *device, struct xenbus_view *view)
{
	struct xs_handle *xs = device->bus->xs;
	char *front = node_read(xs, device->path, "frontend");
	bool same_device = front && strcmp(front, device->front) == 0;

	free(front);
	if (!same_device)
		return false;
	view->front = state_at(xs, device->front);
	view->back = state_at(xs, device->path);
	view->online = node_number(xs, device->path, "online", 1) != 0;
	if (device->releasing && view->online && view->back == XENBUS_INITIALISING)
		return false;

	view->domain_gone = device_domain_gone(device);

	if (view->front != XENBUS_INITIALISED && view->front != XENBUS_CONNECTED)
		device->ring_failed = false;
	view->same_ring = device_offer(device, view->front);
	view->ring_failed = view->same_ring && device->ring_failed;
	view->connected = device->connected;
	view->timed_out = device->timed_out;
	view->released = device->released;
	return true;
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

static void
device_free(struct xenbus_device *device)
{
	device_disconnect(device);
	device->bus->ops->removed(device->ctx);
	throttle_free(device->looks);
	event_free(device->close_timer);
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
		device_set_state(device, XENBUS_INIT_WAIT);
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

static void device_appeared(struct xenbus *bus, const char *path);

/* device_look: does what there is to do. The device may be gone afterwards. */
static void
device_look(struct xenbus_device *device)
{
	struct xenbus *bus = device->bus;

	if (!throttle_allow(device->looks))
		return;
	for (int i = 0; i < XENBUS_STEPS_MAX; i++) {
		struct xenbus_view view;

		if (!device_view(device, &view)) {
			char path[NODE_PATH_MAX];

			memcpy(path, device->path, sizeof(path));
			device_gone(device);
			device_appeared(bus, path);
			return;
		}
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

static struct xenbus_device *
device_find(struct xenbus *bus, const char *path)
{
	struct xenbus_device *device;

	for (device = LIST_FIRST(&bus->devices); device; device = LIST_NEXT(device, link))
		if (strcmp(device->path, path) == 0)
			break;
	return device;
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
	if (device->looks && device->close_timer)
		device->ctx = bus->ops->added(bus->ctx, device);
	if (device->ctx) {
		LIST_INSERT_HEAD(&bus->devices, device, link);
		return device;
	}
	throttle_free(device->looks);
	if (device->close_timer)
		event_free(device->close_timer);
	free(device);
	return NULL;
}

/* device_appeared: looks whether there is a device at path, and at it. */
static void
device_appeared(struct xenbus *bus, const char *path)
{
	char watched[NODE_PATH_MAX + sizeof("/state")];
	char *front = node_read(bus->xs, path, "frontend");

	if (!front)
		return;
	struct xenbus_device *device = device_new(bus, path, front);
	if (!device) {
		log_error("%s: no memory for this device, its guest has no TPM", path);
		goto out;
	}
	log_info("%s: front-end %s of domain %u", path, front, device->domid);
	snprintf(watched, sizeof(watched), "%s/state", front);
	if (!xs_watch(bus->xs, watched, device->path))
		log_error("%s: cannot watch its front-end: %m", path);
	device_look(device);
out:
	free(front);
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
	look_at_marked(bus);
	if (error == -EAGAIN) {
		/* The descriptor need not stay readable while there are more. */
		event_active(bus->watches, EV_READ, 0);
	} else if (error) {
		log_error("lost xenstore (%s): devices that are connected go on, new ones are not "
			  "seen until this manager is restarted",
			  strerror(-error));
		event_del(bus->watches);
	}
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
	bus->watches =
	    event_new(bus->base, xs_fileno(bus->xs), EV_READ | EV_PERSIST, on_watches, bus);
	if (!bus->watches || event_add(bus->watches, NULL) != 0)
		return -ENOMEM;
	if (!xs_watch(bus->xs, bus->root, token_devices) ||
	    !xs_watch(bus->xs, "@releaseDomain", token_domains))
		return -errno;
	return 0;
}

int
xenbus_open(struct event_base *base, struct grants *grants, const struct xenbus_ops *ops, void *ctx,
	    struct xenbus **out)
{
	struct xenbus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return -ENOMEM;
	bus->base = base;
	bus->grants = grants;
	bus->ops = ops;
	bus->ctx = ctx;
	LIST_INIT(&bus->devices);
	bus->xs = xs_open(0);
	int error = bus->xs ? watch(bus) : -errno;
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
	if (bus->xs)
		xs_close(bus->xs);
	free(bus);
}
