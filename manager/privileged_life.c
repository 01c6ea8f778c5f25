/*
 * Instances come, run and go.
 */
#include "manager/privileged_migrate.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vtpm/info.h>
#include <vtpm/log.h>
#include <vtpm/manager.h>

#include "manager/instance.h"
#include "manager/manager.h"

static void
store_failed(struct request *request, const char *what, int error)
{
	request_fail(request, VTPM_FAIL, "instance %u: cannot %s: %s", request->entry.id, what,
		     strerror(-error));
}

static void
added_there(struct request *request)
{
	uint8_t params[4];
	struct writer w = writer_of(params, sizeof(params));

	if (!instance_find(request->manager->instances, request->entry.id) &&
	    !instance_add(request->manager->instances, &request->entry)) {
		request_fail(request, VTPM_FAIL, "instance %u: out of memory", request->entry.id);
		return;
	}
	writer_u32(&w, request->entry.id);
	request_succeed(request, params, sizeof(params));
}

static void
updated_there(struct request *request)
{
	struct instance *instance = instance_find(request->manager->instances, request->entry.id);
	struct store_instance entry;

	if (instance && store_find(request->manager->store, request->entry.id, &entry) == 0)
		instance_update(instance, &entry);
	added_there(request);
}

/* Adds request->entry to the store; false after having refused the request. */
static bool
define_entry(struct request *request)
{
	request->entry.created = (uint64_t)time(NULL);
	uint32_t wished = request->entry.id;
	int rc = store_define(request->manager->store, &request->entry, &request->entry.id);

	if (rc == -EEXIST)
		request_fail(request, VTPM_INVALID_REQUEST,
			     "instance %u is another vTPM already; 'vtpmctl define' without --id "
			     "takes a free number",
			     wished);
	else if (rc < 0)
		store_failed(request, "define it", rc);
	else
		log_info("instance %u: defined", request->entry.id);
	return rc == 0;
}

/* An instance that is defined already gets another list, for its next boot. */
static void
change_host_pcrs(struct request *request)
{
	request->entry.host_pcrs = request->pcrs;
	int rc = store_update(request->manager->store, &request->entry);
	if (rc < 0)
		store_failed(request, "change its list of the host's PCRs", rc);
	else
		privileged_there(request, updated_there);
}

static bool
valid_types(const struct request *request)
{
	return (request->entry.domain_type == VTPM_DOMAIN_PVM ||
		request->entry.domain_type == VTPM_DOMAIN_HVM) &&
	       (request->entry.type == VTPM_TYPE_MIGRATABLE ||
		request->entry.type == VTPM_TYPE_NON_MIGRATABLE);
}

void
privileged_define(struct request *request)
{
	struct store_instance known;
	char uuid[VTPM_UUID_TEXT_SIZE];

	request->entry.domain_type = reader_u8(&request->params);
	request->entry.type = reader_u8(&request->params);
	request->entry.id = reader_u32(&request->params);
	reader_bytes(&request->params, request->entry.uuid, sizeof(request->entry.uuid));
	uuid_format(uuid, request->entry.uuid);
	bool pcrs_given = request->params.left > 0;
	if (request->params.failed ||
	    (pcrs_given && (!privileged_take_pcrs(request, &request->entry.host_pcrs) ||
			    !reader_done(&request->params)))) {
		request_fail(request, VTPM_INVALID_REQUEST,
			     "vTPM %s: the list of the host's PCRs must be such as 0,2,4-7, all or "
			     "none",
			     uuid);
		return;
	}
	if (!valid_types(request) || uuid_is_null(request->entry.uuid)) {
		request_fail(request, VTPM_INVALID_REQUEST,
			     "vTPM %s: the types must be pvm or hvm, and the uuid not null", uuid);
		return;
	}
	if (store_find_uuid(request->manager->store, request->entry.uuid, &known) < 0) {
		if (define_entry(request))
			privileged_there(request, added_there);
		return;
	}
	if (request->entry.id != 0 && request->entry.id != known.id) {
		request_fail(request, VTPM_INVALID_REQUEST,
			     "vTPM %s is instance %u already; define it without --id %u", uuid,
			     known.id, request->entry.id);
		return;
	}
	request->pcrs = request->entry.host_pcrs;
	request->entry = known;
	if (pcrs_given && request->pcrs != known.host_pcrs)
		change_host_pcrs(request);
	else
		privileged_there(request, added_there);
}

void
privileged_find(struct request *request)
{
	uint8_t uuid[VTPM_UUID_SIZE];
	char text[VTPM_UUID_TEXT_SIZE];
	uint8_t params[4];
	struct writer w = writer_of(params, sizeof(params));

	reader_bytes(&request->params, uuid, sizeof(uuid));
	uuid_format(text, uuid);
	if (store_find_uuid(request->manager->store, uuid, &request->entry) < 0) {
		request_fail(request, VTPM_INVALID_REQUEST,
			     "there is no vTPM with uuid %s; 'vtpmctl define' makes one", text);
		return;
	}
	writer_u32(&w, request->entry.id);
	request_succeed(request, params, sizeof(params));
}

static void
open_there(struct request *request)
{
	struct instance *instance = privileged_instance(request);

	if (instance)
		instance_open(instance, request);
}

static void
open_new_there(struct request *request)
{
	if (!instance_find(request->manager->instances, request->entry.id))
		instance_add(request->manager->instances, &request->entry);
	open_there(request);
}

static void
open_kept_there(struct request *request)
{
	struct instance *instance = privileged_current_instance(request);

	if (!instance)
		return;
	instance_open(instance, request);
}

/* Whoever opens it has a guest for it: here, or, if it is on its way here, as soon as it is. */
static void
open_known(struct request *request, struct store_instance *known)
{
	void (*step)(struct request *) = open_there;

	if (known->flags & STORE_FLAG_OUTGOING) {
		if (!migrate_take_back(request, known))
			return;
		step = open_kept_there;
	} else if (known->flags & STORE_FLAG_INCOMING && !(known->flags & STORE_FLAG_OPENED)) {
		known->flags |= STORE_FLAG_OPENED;
		if (!migrate_update(request, known))
			return;
		step = open_kept_there;
	}
	privileged_there(request, step);
}

/*
 * An instance that old scripts know by its number only comes into being at its first OPEN; its uuid
 * is random.
 */
void
privileged_open(struct request *request)
{
	struct store_instance known;

	request->entry.type = reader_u8(&request->params);
	request->startup = reader_u8(&request->params);
	request->entry.domain_type = reader_u8(&request->params);
	request->entry.id = reader_u32(&request->params);
	if (request->startup < VTPM_STARTUP_CLEAR || request->startup > VTPM_STARTUP_DEACTIVATED ||
	    request->entry.id == VTPM_CONTROL_INSTANCE || !valid_types(request)) {
		request_fail(request, VTPM_INVALID_REQUEST,
			     "instance %u: OPEN with impossible types %u, %u, %u",
			     request->entry.id, request->entry.type, request->startup,
			     request->entry.domain_type);
		return;
	}
	if (store_find(request->manager->store, request->entry.id, &known) == 0)
		open_known(request, &known);
	else if (RAND_bytes(request->entry.uuid, sizeof(request->entry.uuid)) != 1)
		request_fail(request, VTPM_FAIL, "no random bytes for a uuid");
	else if (define_entry(request))
		privileged_there(request, open_new_there);
}

static void
close_there(struct request *request)
{
	struct instance *instance = privileged_instance(request);

	if (instance)
		instance_close(instance, request);
}

/* What is on its way, or has left, is closed already: success says that the domain may go. */
void
privileged_close(struct request *request)
{
	privileged_take_instance(request);
	if (migrate_unwant(request))
		privileged_there(request, close_there);
}

static void
removed_there(struct request *request)
{
	struct instance *instance = instance_find(request->manager->instances, request->entry.id);

	if (instance)
		instance_remove(instance);
	log_info("instance %u: deleted", request->entry.id);
	request_succeed(request, NULL, 0);
}

static void
kept_there(struct request *request)
{
	struct instance *instance = instance_find(request->manager->instances, request->entry.id);

	if (instance)
		instance_retire(instance, false);
	store_failed(request, "delete it", request->error);
}

static void
delete_stopped(struct request *request)
{
	request->error = store_delete(request->manager->store, request->entry.id);
	if (request->error < 0 && request->error != -ENOENT)
		privileged_there(request, kept_there);
	else
		privileged_there(request, removed_there);
}

static void
delete_there(struct request *request)
{
	struct instance *instance = privileged_instance(request);

	if (!instance)
		return;
	instance_retire(instance, true);
	instance_stop(instance, request, delete_stopped);
}

void
privileged_delete(struct request *request)
{
	struct store_instance known;

	privileged_take_instance(request);
	if (store_find(request->manager->store, request->entry.id, &known) == 0 &&
	    known.flags & STORE_FLAG_OUTGOING)
		request_fail(request, VTPM_FORBIDDEN,
			     "instance %u is on its way to %s; 'vtpm_migrator --recover' takes it "
			     "back or brings it there",
			     request->entry.id, known.peer);
	else
		privileged_there(request, delete_there);
}
