/*
 * A migration at its destination, first half: a place, and a copy that may not run.
 */
#include "manager/privileged_migrate.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include <vtpm/log.h>
#include <vtpm/manager.h>

#include "manager/envelope.h"
#include "manager/instance.h"
#include "manager/manager.h"
#include "manager/migration_places.h"

/* Whether the known vTPM may come (again); false after having refused the request. */
static bool
may_come(struct request *request, const struct store_instance *known)
{
	bool unused = known->generation == 0 && known->fence == 0;
	char text[MIGRATE_TEXT_SIZE];

	migrate_text(known, text);
	if (known->flags & STORE_FLAG_PREPARED && migrate_is_foreign(request, known))
		request_fail(request, VTPM_FORBIDDEN,
			     "%s: a copy from %s is here already, which 'vtpm_migrator --recover' "
			     "settles",
			     text, known->peer);
	else if (known->flags & STORE_FLAG_OUTGOING)
		request_fail(request, VTPM_FORBIDDEN, "%s: is just about to leave here for %s",
			     text, known->peer);
	else if (migrate_is_here(known) && (!unused || request->flag))
		request_fail(request, VTPM_FORBIDDEN, "%s: lives here already", text);
	else if (known->fence > request->entry.fence ||
		 (known->fence == request->entry.fence && !(known->flags & STORE_FLAG_PREPARED)))
		request_fail(request, VTPM_FORBIDDEN,
			     "%s: what is offered is an older copy: this host had fence %llu, "
			     "offered is %llu",
			     text, (unsigned long long)known->fence,
			     (unsigned long long)request->entry.fence);
	else
		return true;
	return false;
}

static void
answer_offer(struct request *request)
{
	uint8_t params[4];
	struct writer w = writer_of(params, sizeof(params));

	writer_u32(&w, request->entry.id);
	request_succeed(request, params, sizeof(params));
}

static void
offered_there(struct request *request)
{
	struct instance *instance = instance_find(request->manager->instances, request->entry.id);

	if (!instance)
		instance = instance_add(request->manager->instances, &request->entry);
	if (!instance) {
		request_fail(request, VTPM_FAIL, "out of memory");
		return;
	}
	/* One that was opened for the first time in this very moment is not the one that comes. */
	instance_update(instance, &request->entry);
	instance_stop(instance, request, answer_offer);
}

/* A place for one that is new here: not one of this host's before it has come. */
static bool
reserve_new(struct request *request, struct store_instance *known)
{
	char uuid[VTPM_UUID_TEXT_SIZE];

	known->type = VTPM_TYPE_MIGRATED;
	known->created = (uint64_t)time(NULL);
	int rc = store_define(request->manager->store, known, &known->id);
	if (rc == 0)
		return true;
	uuid_format(uuid, known->uuid);
	request_fail(request, VTPM_FAIL, "vTPM %s: there is no place for it here: %s", uuid,
		     strerror(-rc));
	return false;
}

/* The chip has decrypted the session key, so MIGRATE_IN need not wait for it. */
static void
reserve(struct request *request)
{
	struct store *store = request->manager->store;
	struct store_instance known = request->entry;
	char text[MIGRATE_TEXT_SIZE];
	bool is_known = store_find_uuid(store, request->entry.uuid, &known) == 0;
	bool again = is_known && known.flags & STORE_FLAG_INCOMING;

	if (is_known && !may_come(request, &known))
		return;
	if (!is_known || !(known.flags & STORE_FLAG_PREPARED)) {
		known.flags |= STORE_FLAG_INCOMING;
		known.domain_type = request->entry.domain_type;
		known.peer_time = (uint64_t)time(NULL);
		memcpy(known.peer, request->entry.peer, sizeof(known.peer));
		known.fence = is_known ? known.fence : 0;
		if (is_known ? !migrate_update(request, &known) : !reserve_new(request, &known))
			return;
	}
	migration_places_hold(request->manager->places, known.uuid);
	log_write(again ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
		  "%s: offered by %s, as vTPM of domain %s (fence %llu)",
		  migrate_text(&known, text), known.peer[0] ? known.peer : "this host",
		  request->domain, (unsigned long long)request->entry.fence);
	request->entry = known;
	privileged_there(request, offered_there);
}

/* One that is defined here and does not run, never did, may come as well: nothing is lost. */
static void
offer_there(struct request *request)
{
	struct store_instance known;
	struct instance *instance = NULL;

	if (store_find_uuid(request->manager->store, request->entry.uuid, &known) == 0)
		instance = instance_find(request->manager->instances, known.id);
	request->flag = instance && !instance_is_still(instance);
	privileged_here(request, reserve);
}

static void
offer_unwrapped(struct request *request)
{
	privileged_there(request, offer_there);
}

void
privileged_offer(struct request *request)
{
	migrate_take_vtpm(request);
	request->entry.domain_type = reader_u8(&request->params);
	bool sound = migrate_take_name(&request->params, request->domain);
	struct reader sealed = reader_sized(&request->params);
	if (!migrate_take_peer(request))
		return;
	if (!sound || uuid_is_null(request->entry.uuid) || request->entry.fence == 0 ||
	    request->entry.fence > MIGRATE_FENCE_MAX ||
	    (request->entry.domain_type != VTPM_DOMAIN_PVM &&
	     request->entry.domain_type != VTPM_DOMAIN_HVM))
		request_fail(request, VTPM_INVALID_REQUEST,
			     "an offer with an impossible uuid, fence, type or domain name");
	else
		migrate_unwrap(request, sealed, offer_unwrapped);
}

/* The envelope in the parameters, its head read; false after having refused the request. */
static bool
take_envelope(struct request *request, struct envelope *envelope)
{
	struct reader r = reader_of(request->data, request->len);

	reader_u32(&r);
	struct reader packed = reader_sized(&r);
	int rc = packed.failed ? -EBADMSG : envelope_read_head(envelope, packed.pos, packed.left);

	if (rc == -EPROTONOSUPPORT)
		request_fail(request, VTPM_UNSUPPORTED,
			     "instance %u: the envelope is of a later version; install this one "
			     "of vtpm_managerd here, too",
			     request->entry.id);
	else if (rc < 0)
		request_fail(request, VTPM_INVALID_REQUEST,
			     "instance %u: what came is no envelope, or was cut",
			     request->entry.id);
	return rc == 0;
}

/* Whether an envelope is for this place; false after having refused the request. */
static bool
fits(struct request *request, const struct store_instance *known, const struct envelope *envelope)
{
	uint64_t fence = envelope->entry.fence;
	char text[MIGRATE_TEXT_SIZE];
	char uuid[VTPM_UUID_TEXT_SIZE];

	migrate_text(known, text);
	uuid_format(uuid, envelope->entry.uuid);
	if (memcmp(known->uuid, envelope->entry.uuid, sizeof(known->uuid)) != 0)
		request_fail(request, VTPM_FORBIDDEN, "%s: the envelope is of another vTPM, %s",
			     text, uuid);
	else if (!(known->flags & STORE_FLAG_INCOMING))
		request_fail(request, VTPM_FORBIDDEN, "%s: %s", text,
			     known->type == VTPM_TYPE_MIGRATED
				 ? "no place is reserved for it; it has to be offered first"
				 : "lives here already");
	else if (migrate_is_foreign(request, known))
		request_fail(request, VTPM_FORBIDDEN, "%s: is expected from %s, not from %s", text,
			     known->peer, request->entry.peer);
	else if (fence < known->fence || fence > MIGRATE_FENCE_MAX ||
		 (fence == known->fence && !(known->flags & STORE_FLAG_PREPARED)))
		request_fail(request, VTPM_FORBIDDEN,
			     "%s: an older copy, or an impossible one: this host had fence %llu, "
			     "the envelope has %llu",
			     text, (unsigned long long)known->fence, (unsigned long long)fence);
	else
		return true;
	return false;
}

static void
prepared_there(struct request *request)
{
	struct instance *instance = privileged_instance(request);

	if (!instance)
		return;
	instance_update(instance, &request->entry);
	request_succeed(request, NULL, 0);
}

/* Saves the copy under this host's keys, then says that it is one. */
static void
keep_copy(struct request *request, struct store_instance *known, const struct envelope *envelope)
{
	const struct store_instance *come = &envelope->entry;
	struct store *store = request->manager->store;
	char text[MIGRATE_TEXT_SIZE];
	int rc = store_save_nvm_wait(store, known->id, envelope->nvm, envelope->nvm_len);

	if (rc < 0) {
		request_fail(request, VTPM_FAIL, "%s: its state cannot be saved: %s",
			     migrate_text(known, text), strerror(-rc));
		return;
	}
	known->flags &= STORE_FLAG_INCOMING | STORE_FLAG_OPENED;
	known->flags |= STORE_FLAG_PREPARED | come->flags;
	known->domain_type = come->domain_type;
	known->fence = come->fence;
	known->host_pcrs = come->host_pcrs;
	known->created = come->created;
	known->peer_time = (uint64_t)time(NULL);
	memcpy(known->measurement, come->measurement, sizeof(known->measurement));
	memcpy(known->activation, come->activation, sizeof(known->activation));
	if (!migrate_update(request, known))
		return;
	log_info("%s: a copy from %s is here (fence %llu, save %llu there, %zu bytes)",
		 migrate_text(known, text), known->peer[0] ? known->peer : "this host",
		 (unsigned long long)known->fence, (unsigned long long)come->generation,
		 envelope->nvm_len);
	request->entry = *known;
	privileged_there(request, prepared_there);
}

static void
open_envelope(struct request *request)
{
	struct envelope envelope;
	struct store_instance known;
	char text[MIGRATE_TEXT_SIZE];

	if (!take_envelope(request, &envelope) || !migrate_find(request, &known) ||
	    !fits(request, &known, &envelope))
		return;
	int rc = envelope_open(&envelope, request->key);
	explicit_bzero(request->key, sizeof(request->key));
	if (rc == 0)
		keep_copy(request, &known, &envelope);
	else if (rc == -EBADMSG)
		request_fail(request, VTPM_RESTORE_CONTEXT_FAILED,
			     "%s: the envelope was changed on its way; nothing of it is used",
			     migrate_text(&known, text));
	else
		request_fail(request, VTPM_FAIL, "%s: %s", migrate_text(&known, text),
			     strerror(-rc));
	envelope_wipe(&envelope);
}

void
privileged_migrate_in(struct request *request)
{
	struct envelope envelope;
	struct store_instance known;

	request->entry.id = reader_u32(&request->params);
	reader_sized(&request->params);
	if (!migrate_take_peer(request) || !take_envelope(request, &envelope) ||
	    !migrate_find(request, &known) || !fits(request, &known, &envelope))
		return;
	migrate_unwrap(request, envelope.session_key, open_envelope);
}
