/*
 * xenbus.h - the vTPM devices of this domain in xenstore, backend/vtpm/..., and the handshake of
 * each with its front-end.
 *
 * A device appears when the toolstack writes its nodes and is at InitWait a moment later, whatever
 * the TPM behind it does. Path and domain of the front-end are taken from `frontend` and
 * `frontend-id`, so that it may be the guest, a QEMU in dom0 or a stub domain. What a guest does in
 * xenstore costs only itself: its devices are looked at a limited number of times a second.
 *
 * When xenstored ends, rings go on, and with a new xenstored the devices that it knows are served.
 */
#ifndef MANAGER_XENBUS_H
#define MANAGER_XENBUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#include "manager/grants.h"
#include "manager/xenbus_node.h"

struct xenbus;
struct xenbus_device;

/* What the owner of the devices does; from the event loop, ctx as in xenbus_open. */
struct xenbus_ops {
	/* added: a device is there. What is returned is the device_ctx of the other calls; NULL
	 * (out of memory) leaves the device alone. */
	void *(*added)(void *ctx, struct xenbus_device *device);
	/* connect: maps the front-end's ring. Returns 0 or a negative errno; then the front-end
	 * sees Closing, until it offers another ring. */
	int (*connect)(void *device_ctx, uint32_t domid, uint32_t ref, uint32_t port);
	/* disconnect: gives the ring back, before it returns. */
	void (*disconnect)(void *device_ctx);
	/* release: the toolstack removes the device; what hangs on it is to be given up, its
	 * nodes still being there. Returns whether that is done; else xenbus_released follows. */
	bool (*release)(void *device_ctx);
	/* removed: the device and its nodes are gone, and with it the struct xenbus_device. Comes
	 * without release if the nodes vanished first. */
	void (*removed)(void *device_ctx);
};

/*
 * xenbus_open: connects to xenstore and serves the devices that are there and that come. grants
 * tells which domains live. Returns 0 or a negative errno, logged.
 */
int xenbus_open(struct event_base *base, struct grants *grants, const struct xenbus_ops *ops,
		void *ctx, struct xenbus **out);

/* xenbus_close: forgets all devices, after disconnect and removed of each, and leaves their nodes
 * as they are, for another back-end to go on. NULL is nothing. */
void xenbus_close(struct xenbus *xenbus);

/* xenbus_released: release is done; the device may go to Closed. */
void xenbus_released(struct xenbus_device *device);

/* xenbus_device_path: the absolute path of its nodes, what scripts know as XENBUS_PATH. */
const char *xenbus_device_path(const struct xenbus_device *device);

/* xenbus_device_domid: the domain of its front-end. */
uint32_t xenbus_device_domid(const struct xenbus_device *device);

/* xenbus_device_suspended: whether that domain was last seen shut down in order to be saved or
 * migrated. */
bool xenbus_device_suspended(const struct xenbus_device *device);

/* xenbus_device_read, _number, _write: as node_read, node_number and node_write, of its nodes. */
char *xenbus_device_read(const struct xenbus_device *device, const char *name);
uint32_t xenbus_device_number(const struct xenbus_device *device, const char *name,
			      uint32_t fallback);
int xenbus_device_write(struct xenbus_device *device, const struct node *nodes, size_t count);

#endif
