/*
 * Instances that are on their way from or to another host. What may run is what the store's entry
 * says; commands that come while it may not are held.
 */
#include "manager/instance_internal.h"

#include <stdlib.h>

#include <vtpm/log.h>
#include <vtpm/manager.h>

#include "manager/request.h"

/* A request that waits for a guest to want an instance that is on its way here. */
struct await {
	struct instance *instance;
	struct request *request;
	struct event *timer;
	struct await *next;
};

bool
instance_is_away(const struct instance *instance)
{
	return instance->entry.type == VTPM_TYPE_MIGRATED ||
	       instance->entry.flags & (STORE_FLAG_OUTGOING | STORE_FLAG_INCOMING);
}

bool
instance_holds(const struct instance *instance)
{
	return instance->entry.flags & (STORE_FLAG_OUTGOING | STORE_FLAG_INCOMING);
}

bool
instance_is_still(const struct instance *instance)
{
	return instance->frozen || instance->state == INFO_CLOSING ||
	       (instance->process.pid == 0 && instance->state != INFO_RESTARTING);
}

bool
instance_has_qemu(const struct instance *instance)
{
	return held_any(instance);
}

void
instance_thaw(struct instance *instance)
{
	if (instance->frozen && instance->process.pid != 0)
		instance_kill(instance, "was frozen for a migration that does not take place");
}

void
instance_go_on(struct instance *instance)
{
	bool wanted =
	    instance->entry.flags & STORE_FLAG_RESUMES || instance->wanted || instance->first;

	instance_wake(instance, wanted);
	if (instance_is_away(instance) || !wanted || instance->state == INFO_RESTARTING ||
	    instance->state == INFO_REFUSED || instance->table->ending)
		return;
	/* The process that was frozen has not ended yet. */
	instance->wanted = instance->state == INFO_CLOSING;
	if (instance->process.pid != 0)
		return;
	instance->startup =
	    instance->entry.flags & STORE_FLAG_SUSPENDED ? VTPM_STARTUP_SAVE : VTPM_STARTUP_CLEAR;
	instance_restart(instance);
}

void
instance_give_up(struct instance *instance)
{
	instance_wake(instance, false);
	instance->wanted = false;
	queue_flush(instance);
}

/* Whatever became of it: if it is still frozen nobody may wait for it. */
static void
taken_back(struct request *request, void *ctx)
{
	struct instance *instance = instance_find(ctx, request->entry.id);

	if (instance) {
		instance->taking_back = false;
		if (request->status != VTPM_SUCCESS)
			queue_flush(instance);
	}
	request_free(request);
}

/* The guest is awake here, so it cannot be there. */
static void
take_back(struct instance *instance)
{
	struct manager *manager = instance->table->manager;
	uint8_t params[4 + 8];
	struct writer w = writer_of(params, sizeof(params));

	if (instance->taking_back)
		return;
	log_warning("instance %u: its guest is awake here, so it does not go to %s",
		    instance->entry.id, instance->entry.peer);
	writer_u32(&w, instance->entry.id);
	writer_u64(&w, instance->entry.fence);
	instance->taking_back =
	    request_start(manager, VTPM_ORD_ABORT, params, w.len, manager->instance_listener,
			  taken_back, instance->table) == 0;
	if (!instance->taking_back)
		queue_flush(instance);
}

void
instance_want(struct instance *instance)
{
	if (instance->entry.flags & STORE_FLAG_OUTGOING) {
		take_back(instance);
	} else {
		instance->wanted = true;
		instance_wake(instance, true);
	}
}

/* Answers it; it is not in the list (any more). */
static void
await_end(struct await *await, bool needed)
{
	uint8_t params = needed;

	event_free(await->timer);
	request_succeed(await->request, &params, sizeof(params));
	free(await);
}

static void
await_over(evutil_socket_t fd, short what, void *arg)
{
	struct await *await = arg;
	struct await **at = &await->instance->awaits;

	(void)fd;
	(void)what;
	while (*at != await)
		at = &(*at)->next;
	*at = await->next;
	await_end(await, false);
}

void
instance_wake(struct instance *instance, bool needed)
{
	while (instance->awaits) {
		struct await *await = instance->awaits;

		instance->awaits = await->next;
		await_end(await, needed);
	}
}

void
instance_await(struct instance *instance, struct request *request, uint32_t milliseconds)
{
	struct timeval limit = { .tv_sec = milliseconds / 1000,
				 .tv_usec = (milliseconds % 1000) * 1000 };
	struct await *await = malloc(sizeof(*await));

	if (await)
		await->timer = evtimer_new(instance->table->base, await_over, await);
	if (!await || !await->timer) {
		free(await);
		request_fail(request, VTPM_FAIL, "out of memory");
		return;
	}
	await->instance = instance;
	await->request = request;
	if (!(instance->entry.flags & STORE_FLAG_INCOMING) || instance->wanted) {
		await_end(await, true);
		return;
	}
	await->next = instance->awaits;
	instance->awaits = await;
	event_add(await->timer, &limit);
}
