/*
 * xenbus_internal.h - the devices and their bus, for xenbus.c and xenbus_device.c.
 */
#ifndef MANAGER_XENBUS_INTERNAL_H
#define MANAGER_XENBUS_INTERNAL_H

#include <sys/queue.h>

#include <vtpm/log.h>

#include "manager/throttle.h"
#include "manager/xenbus.h"

struct xenbus_device {
	LIST_ENTRY(xenbus_device) link;
	struct xenbus *bus;
	void *ctx;
	struct throttle *looks;
	struct event *close_timer;
	struct event *settle_timer;
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
	struct log_limit log;  /* rings that cannot be connected to */
};

struct xenbus {
	struct event_base *base;
	struct grants *grants;
	const struct xenbus_ops *ops;
	void *ctx;
	struct xs_handle *xs;
	bool lost; /* no xenstored at its other end: nothing is to be read */
	struct event *watches;
	struct event *pulse;      /* each second */
	char root[NODE_PATH_MAX]; /* /local/domain/N/backend/vtpm */
	LIST_HEAD(, xenbus_device) devices;
};

/* device_appeared: if there is a device at path that is not yet known, makes its acquaintance. */
void device_appeared(struct xenbus *bus, const char *path);

/* device_watch: has changes of its front-end's state reported, with its path as token. */
void device_watch(struct xenbus_device *device);

/* device_look: does what there is to do, if xenstore is there. The device may be gone afterwards.
 */
void device_look(struct xenbus_device *device);

/* device_domain_gone: whether its domain is dying; takes note of how it is until then. */
bool device_domain_gone(struct xenbus_device *device);

/* device_free: disconnects and forgets it; its nodes and its watch stay. */
void device_free(struct xenbus_device *device);

#endif
