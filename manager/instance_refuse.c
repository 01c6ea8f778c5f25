/*
 * Why an instance is not started, in sentences for its operator.
 */
#include "manager/instance_internal.h"

#include <stdio.h>
#include <time.h>

#include <vtpm/manager.h>

void
instance_explain(const struct instance *instance, char *text, size_t size)
{
	const struct store_instance *entry = &instance->entry;
	time_t when = (time_t)entry->peer_time;
	char since[32] = "an unknown time";
	struct tm tm;

	if (gmtime_r(&when, &tm))
		strftime(since, sizeof(since), "%Y-%m-%d %H:%M:%S UTC", &tm);
	if (entry->flags & STORE_FLAG_INCOMING)
		snprintf(text, size, "%s %.150s since %s",
			 entry->flags & STORE_FLAG_PREPARED
			     ? "a copy that may not run yet, here from"
			     : "a place for the one that is to come from",
			 entry->peer, since);
	else if (entry->flags & STORE_FLAG_OUTGOING)
		snprintf(text, size, "frozen, on its way to %.150s since %s", entry->peer, since);
	else
		snprintf(text, size, "%s %.150s at %s",
			 entry->flags & STORE_FLAG_FORGOTTEN ? "was given back to" : "migrated to",
			 entry->peer, since);
}

/* A domain that was restored must find the very state with which it was saved. */
static bool
is_stale(const struct instance *instance, const struct request *request)
{
	return request->startup == VTPM_STARTUP_SAVE &&
	       (instance->state == INFO_CLOSED || instance->state == INFO_LISTENING);
}

bool
instance_refuse(const struct instance *instance, struct request *request)
{
	uint32_t id = instance->entry.id;
	char uuid[VTPM_UUID_TEXT_SIZE];
	char why[256];

	uuid_format(uuid, instance->entry.uuid);
	if (instance->table->ending) {
		request_fail(request, VTPM_FAIL, "instance %u: the manager ends", id);
	} else if (instance->retired) {
		request_fail(request, VTPM_INVALID_REQUEST, "instance %u is being deleted", id);
	} else if (instance->state == INFO_REFUSED) {
		request_fail(request, VTPM_RESTORE_CONTEXT_FAILED,
			     "instance %u: its stored state is damaged or not its own; 'vtpmctl "
			     "verify %u' says how, 'vtpmctl delete %u' gives it up",
			     id, id, id);
	} else if (instance->state == INFO_MIGRATED) {
		instance_explain(instance, why, sizeof(why));
		request_fail(request, VTPM_FORBIDDEN,
			     "instance %u %s; 'vtpm_migrator --recover %s' asks that host for it, "
			     "'vtpmctl delete %u' gives it up",
			     id, why, uuid, id);
	} else if (is_stale(instance, request)) {
		request_fail(request, VTPM_RESTORE_CONTEXT_FAILED,
			     "vTPM %s has run on since this domain was saved, or its state was "
			     "never kept; 'vtpmctl open %u --startup clear' starts it with fresh "
			     "PCRs, if you accept that",
			     uuid, id);
	} else {
		return false;
	}
	return true;
}
