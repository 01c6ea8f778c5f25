/*
 * backend_xen_device.h - one vTPM device of a guest: its ring, its instance, its hotplug script.
 */
#ifndef MANAGER_BACKEND_XEN_DEVICE_H
#define MANAGER_BACKEND_XEN_DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <vtpm/info.h>
#include <vtpm/tpm12.h>

#include "manager/backend.h"
#include "manager/grants.h"
#include "manager/hotplug.h"
#include "manager/ring.h"
#include "manager/xenbus.h"

/* Where a device stands with its instance. */
enum device_life {
	DEVICE_WAITING,   /* for another device of the same uuid, on its way out, to be gone */
	DEVICE_ATTACHING, /* the script runs, or the manager opens the instance */
	DEVICE_ATTACHED,
	DEVICE_FAILED, /* every command is answered TPM_FAIL; `hotplug-error` says why */
	DEVICE_DETACHED,
};

/* A command that came before the instance was there. */
struct held_command {
	bool present;
	unsigned locality;
	size_t len;
	uint8_t cmd[TPM_BUFFER_SIZE];
};

struct xen_device {
	TAILQ_ENTRY(xen_device) link;
	struct xen_backend *xen;
	struct xenbus_device *node; /* NULL: removed, but a report is still to come */
	enum device_life life;
	uint8_t uuid[VTPM_UUID_SIZE];
	char uuid_text[VTPM_UUID_TEXT_SIZE];
	char path[NODE_PATH_MAX];
	uint32_t domid;
	uint32_t instance;
	bool suspended;
	bool reporting; /* backend_attach has yet to report */
	bool restored;  /* the domain was restored, or is migrating to this host */
	unsigned tries; /* to find the TPM of such a domain ready */
	struct event *retry_timer;
	struct hotplug_run *script;
	struct event *release_timer;
	struct ring *ring;
	struct backend_request *request; /* in flight */
	struct held_command held;
};

struct xen_backend {
	struct backend *backend;
	struct grants *grants;
	struct event *notified;
	struct xenbus *xenbus;
	struct hotplug *hotplug; /* NULL: no script, the manager does it itself */
	bool closing;
	TAILQ_HEAD(, xen_device) devices;
};

/* What xenbus reports of the devices of a struct xen_backend. */
extern const struct xenbus_ops xen_device_ops;

/* xen_device_of_port: the device whose ring is bound to our port, or NULL. */
struct xen_device *xen_device_of_port(struct xen_backend *xen, int port);

/* xen_device_free: forgets a device, whatever is still to come. */
void xen_device_free(struct xen_device *device);

#endif
