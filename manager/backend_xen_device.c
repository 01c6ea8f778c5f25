#include "manager/backend_xen_device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vtpm/log.h>

enum {
	/* A migrated domain's TPM may be handed over after the domain is: commands wait for it. */
	RESUME_TRIES = 60,
	RESUME_SECONDS = 2,
	RELEASE_SECONDS = 4, /* for the script; libxl waits 10 in all for the device to close */
	ENV_TEXT_MAX = NODE_PATH_MAX + 32,
};

static void device_start(struct xen_device *device);
static void device_attach(struct xen_device *device);

/* device_say: writes one node and hotplug-status. */
static void
device_say(struct xen_device *device, const char *status, const char *name, const char *value)
{
	struct node nodes[] = { { name, value }, { "hotplug-status", status } };
	int error = xenbus_device_write(device->node, nodes, 2);

	if (error && error != -ENOENT)
		log_error("%s: cannot write %s: %s", device->path, name, strerror(-error));
}

/* device_fail: no instance for this device. why is a sentence for the operator, who finds it in
 * xenstore, too. */
static void
device_fail(struct xen_device *device, const char *why)
{
	device->life = DEVICE_FAILED;
	log_error("%s: domain %u has no working TPM: %s", device->path, device->domid, why);
	device_say(device, "error", "hotplug-error", why);
	if (device->held.present)
		ring_fail(device->ring, TPM_FAIL);
	device->held.present = false;
}

/* device_refused: the instance could not be opened; perhaps not yet. */
static void
device_refused(struct xen_device *device, const char *why)
{
	struct timeval delay = { .tv_sec = RESUME_SECONDS };

	if (!device->restored || device->tries == RESUME_TRIES) {
		device_fail(device, why);
		return;
	}
	if (device->tries++ == 0)
		log_info("%s: domain %u was restored and waits for its TPM: %s", device->path,
			 device->domid, why);
	evtimer_add(device->retry_timer, &delay);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	device_attach(arg);
}

static void
on_response(void *ctx, const uint8_t *response, size_t len)
{
	struct xen_device *device = ctx;

	ring_respond(device->ring, response, len);
	device->request = NULL;
}

static void
on_ring_responded(void *ctx)
{
	struct xen_device *device = ctx;

	if (device->request)
		backend_delivered(device->request);
}

static void
device_submit(struct xen_device *device, unsigned locality, const uint8_t *cmd, size_t len)
{
	device->request = backend_submit(device->xen->backend, device->instance, locality, cmd, len,
					 on_response, device);
	if (!device->request)
		ring_fail(device->ring, TPM_RESOURCES);
}

static void
device_attached(struct xen_device *device, uint32_t instance)
{
	device->life = DEVICE_ATTACHED;
	device->instance = instance;
	log_info("%s: domain %u has vTPM %s, instance %u", device->path, device->domid,
		 device->uuid_text, instance);
	if (device->held.present)
		device_submit(device, device->held.locality, device->held.cmd, device->held.len);
	device->held.present = false;
}

static void
on_ring_command(void *ctx, unsigned locality, const uint8_t *cmd, size_t len)
{
	struct xen_device *device = ctx;

	switch (device->life) {
	case DEVICE_ATTACHED:
		device_submit(device, locality, cmd, len);
		break;
	case DEVICE_WAITING:
	case DEVICE_ATTACHING:
		device->held.present = true;
		device->held.locality = locality;
		device->held.len = len;
		memcpy(device->held.cmd, cmd, len);
		break;
	case DEVICE_FAILED:
	case DEVICE_DETACHED:
		ring_fail(device->ring, TPM_FAIL);
		break;
	}
}

static void
on_ring_cancel(void *ctx)
{
	struct xen_device *device = ctx;

	if (device->request) {
		backend_cancel(device->request);
	} else if (device->held.present) {
		device->held.present = false;
		ring_abandon(device->ring);
	}
}

static const struct ring_ops ring_ops = {
	.command = on_ring_command,
	.cancel = on_ring_cancel,
	.responded = on_ring_responded,
};

static int
on_connect(void *ctx, uint32_t domid, uint32_t ref, uint32_t port)
{
	struct xen_device *device = ctx;
	struct xen_backend *xen = device->xen;
	int error = ring_open(xen->grants, backend_base(xen->backend), domid, ref, port, &ring_ops,
			      device, &device->ring);

	if (error)
		return error;
	if (device->life == DEVICE_ATTACHED && !ring_pending(device->ring))
		backend_idle(xen->backend, device->instance);
	ring_look(device->ring);
	return 0;
}

static void
on_disconnect(void *ctx)
{
	struct xen_device *device = ctx;

	/* A manager that ends leaves the command to the next one. */
	if (device->request && !device->xen->closing)
		backend_forget(device->request);
	device->request = NULL;
	device->held.present = false;
	ring_close(device->ring);
	device->ring = NULL;
}

static void
on_manager_attached(void *ctx, int error, uint32_t instance, const char *why)
{
	struct xen_device *device = ctx;
	char number[16];

	device->reporting = false;
	if (device->life == DEVICE_DETACHED && !error)
		backend_detach(device->xen->backend, instance, device->suspended);
	if (!device->node) {
		xen_device_free(device);
		return;
	}
	if (device->life == DEVICE_DETACHED)
		return;
	if (error) {
		device_refused(device, why);
		return;
	}
	snprintf(number, sizeof(number), "%u", instance);
	device_say(device, "connected", "instance", number);
	device_attached(device, instance);
}

static void
on_script_added(void *ctx, bool ok)
{
	struct xen_device *device = ctx;
	char *why = xenbus_device_read(device->node, "hotplug-error");
	uint32_t instance = xenbus_device_number(device->node, "instance", 0);

	device->script = NULL;
	if (ok && instance > 0)
		device_attached(device, instance);
	else if (why)
		device_refused(device, why);
	else
		device_refused(device,
			       ok ? "the hotplug script has written no instance"
				  : "the hotplug script failed, the manager's log says how");
	free(why);
}

static void
on_script_removed(void *ctx, bool ok)
{
	struct xen_device *device = ctx;

	/* A failure was logged; the device goes all the same. */
	(void)ok;
	device->script = NULL;
	evtimer_del(device->release_timer);
	xenbus_released(device->node);
}

static void
on_release_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct xen_device *device = arg;

	(void)fd;
	(void)what;
	hotplug_forget(device->script);
	device->script = NULL;
	xenbus_released(device->node);
}

static struct hotplug_run *
device_run(struct xen_device *device, const char *verb, void (*done)(void *ctx, bool ok))
{
	char path[ENV_TEXT_MAX], uuid[ENV_TEXT_MAX], instance[ENV_TEXT_MAX];
	char run_dir[ENV_TEXT_MAX], state_dir[ENV_TEXT_MAX];
	const char *env[] = { path, uuid, run_dir, state_dir, NULL, NULL, NULL };
	size_t count = 4;

	snprintf(path, sizeof(path), "XENBUS_PATH=%s", device->path);
	snprintf(uuid, sizeof(uuid), "VTPM_UUID=%s", device->uuid_text);
	snprintf(run_dir, sizeof(run_dir), "VTPM_RUN_DIR=%s",
		 backend_run_dir(device->xen->backend));
	snprintf(state_dir, sizeof(state_dir), "VTPM_STATE_DIR=%s",
		 backend_state_dir(device->xen->backend));
	snprintf(instance, sizeof(instance), "VTPM_INSTANCE=%u", device->instance);
	if (device->instance > 0)
		env[count++] = instance;
	if (device->suspended)
		env[count++] = "VTPM_SUSPENDED=1";
	return hotplug_start(device->xen->hotplug, device->uuid_text, verb, env, done, device);
}

/* device_rival: another device that has, or is about to have, the same TPM. */
static struct xen_device *
device_rival(struct xen_device *device)
{
	struct xen_device *other;

	for (other = TAILQ_FIRST(&device->xen->devices); other; other = TAILQ_NEXT(other, link))
		if (other != device && strcmp(other->uuid_text, device->uuid_text) == 0 &&
		    (other->life == DEVICE_ATTACHING || other->life == DEVICE_ATTACHED))
			break;
	return other;
}

/* device_may_start: whether the TPM is free; says so if not. */
static bool
device_may_start(struct xen_device *device)
{
	struct xen_device *rival = device_rival(device);
	char why[NODE_PATH_MAX + 256];

	if (!rival)
		return true;
	enum domain_life life = grants_life(device->xen->grants, rival->domid);
	if (life != DOMAIN_RUNNING && life != DOMAIN_UNKNOWN) {
		/* It moves from one domain to the next: a migration within this host. */
		device->life = DEVICE_WAITING;
		return false;
	}
	snprintf(why, sizeof(why),
		 "vTPM %s is in use by domain %u (%s): a TPM has one guest at a time, give this "
		 "one a uuid of its own",
		 device->uuid_text, rival->domid, rival->path);
	device_fail(device, why);
	return false;
}

/* device_adopted: takes up what an earlier manager, or its script, has attached. */
static bool
device_adopted(struct xen_device *device)
{
	char *status = xenbus_device_read(device->node, "hotplug-status");
	uint32_t instance = xenbus_device_number(device->node, "instance", 0);
	bool adopted = status && strcmp(status, "connected") == 0 && instance > 0;

	free(status);
	if (adopted)
		device_attached(device, instance);
	return adopted;
}

static void
device_attach(struct xen_device *device)
{
	struct xen_backend *xen = device->xen;

	if (xen->hotplug) {
		device->script = device_run(device, "add", on_script_added);
		if (!device->script)
			device_fail(device, "the manager is out of memory");
		return;
	}
	int error = backend_attach(xen->backend, device->uuid, device->restored,
				   on_manager_attached, device);
	device->reporting = error == 0;
	if (error)
		device_fail(device, strerror(-error));
}

static void
device_start(struct xen_device *device)
{
	struct node resume[] = { { "resume", "True" } };

	if (device_adopted(device) || !device_may_start(device))
		return;
	device->life = DEVICE_ATTACHING;
	device->restored = grants_restored(device->xen->grants, device->domid);
	if (device->restored)
		(void)xenbus_device_write(device->node, resume, 1);
	device_attach(device);
}

static void
timers_free(struct xen_device *device)
{
	if (device->release_timer)
		event_free(device->release_timer);
	if (device->retry_timer)
		event_free(device->retry_timer);
}

static void *
on_added(void *ctx, struct xenbus_device *node)
{
	struct xen_backend *xen = ctx;
	struct event_base *base = backend_base(xen->backend);
	struct xen_device *device = calloc(1, sizeof(*device));

	if (!device)
		return NULL;
	device->release_timer = evtimer_new(base, on_release_timeout, device);
	device->retry_timer = evtimer_new(base, on_retry, device);
	if (!device->release_timer || !device->retry_timer) {
		timers_free(device);
		free(device);
		return NULL;
	}
	device->xen = xen;
	device->node = node;
	device->domid = xenbus_device_domid(node);
	snprintf(device->path, sizeof(device->path), "%s", xenbus_device_path(node));
	TAILQ_INSERT_TAIL(&xen->devices, device, link);

	char *uuid = xenbus_device_read(node, "uuid");
	bool valid = uuid && uuid_parse(device->uuid, uuid);
	free(uuid);
	uuid_format(device->uuid_text, device->uuid);
	if (valid)
		device_start(device);
	else
		device_fail(device, "its node `uuid` is missing or is no uuid");
	return device;
}

/* device_detach: gives the instance up. Returns whether that is done, or nothing of it. */
static bool
device_detach(struct xen_device *device)
{
	struct xen_backend *xen = device->xen;
	enum device_life life = device->life;
	struct xen_device *other;

	device->life = DEVICE_DETACHED;
	evtimer_del(device->retry_timer);
	if (life != DEVICE_ATTACHED && life != DEVICE_ATTACHING)
		return true;
	if (xen->hotplug) {
		/* It runs after the one that attaches. */
		if (device->script)
			hotplug_forget(device->script);
		device->script = device_run(device, "remove", on_script_removed);
	} else if (life == DEVICE_ATTACHED) {
		backend_detach(xen->backend, device->instance, device->suspended);
	}
	for (other = TAILQ_FIRST(&xen->devices); other; other = TAILQ_NEXT(other, link))
		if (other->life == DEVICE_WAITING &&
		    strcmp(other->uuid_text, device->uuid_text) == 0)
			device_start(other);
	return !device->script;
}

static bool
on_release(void *ctx)
{
	struct xen_device *device = ctx;
	struct timeval limit = { .tv_sec = RELEASE_SECONDS };

	device->suspended = xenbus_device_suspended(device->node);
	if (device_detach(device))
		return true;
	evtimer_add(device->release_timer, &limit);
	return false;
}

static void
on_removed(void *ctx)
{
	struct xen_device *device = ctx;

	if (!device->xen->closing) {
		if (device->life != DEVICE_DETACHED) {
			device->suspended = xenbus_device_suspended(device->node);
			(void)device_detach(device);
		}
		device->node = NULL;
	}
	/* on_manager_attached is still to come and frees it. */
	if (device->xen->closing || !device->reporting)
		xen_device_free(device);
}

void
xen_device_free(struct xen_device *device)
{
	if (device->script)
		hotplug_forget(device->script);
	timers_free(device);
	TAILQ_REMOVE(&device->xen->devices, device, link);
	free(device);
}

struct xen_device *
xen_device_of_port(struct xen_backend *xen, int port)
{
	struct xen_device *device;

	for (device = TAILQ_FIRST(&xen->devices); device; device = TAILQ_NEXT(device, link))
		if (device->ring && ring_port(device->ring) == port)
			break;
	return device;
}

const struct xenbus_ops xen_device_ops = {
	.added = on_added,
	.connect = on_connect,
	.disconnect = on_disconnect,
	.release = on_release,
	.removed = on_removed,
};
