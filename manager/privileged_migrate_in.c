/*
 * A migration at its destination: a place, a copy that may not run, and the secret that lets it.
 */
#include "manager/privileged_migrate.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vtpm/log.h>
#include <vtpm/manager.h>

#include "manager/crypt.h"
#include "manager/envelope.h"
#include "manager/instance.h"
#include "manager/manager.h"

enum { AWAIT_MAX_MS = 10000 };

static const uint32_t ON_ITS_WAY = STORE_FLAG_INCOMING | STORE_FLAG_PREPARED | STORE_FLAG_OPENED;
static const uint64_t FENCE_MAX = UINT64_MAX / 2; /* so that no peer can make it wrap */

/* Whether another host than the one that it comes from speaks of it. */
static bool
is_foreign(const struct request *request, const struct store_instance *known)
{
	return request->entry.peer[0] && known->peer[0] &&
	       !migrate_same_host(known->peer, request->entry.peer);
}

/* Whether the known vTPM may come (again); false after having refused the request. */
static bool
may_come(struct request *request, const struct store_instance *known)
{
	bool unused = known->generation == 0 && known->fence == 0;
	char text[MIGRATE_TEXT_SIZE];

	migrate_text(known, text);
	if (known->flags & STORE_FLAG_PREPARED && is_foreign(request, known))
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

/* A place for one that is new here. */
static bool
reserve_new(struct request *request, struct store_instance *known)
{
	char uuid[VTPM_UUID_TEXT_SIZE];

	known->type = VTPM_TYPE_MIGRATABLE;
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
	log_info("%s: offered by %s, as vTPM of domain %s (fence %llu)", migrate_text(&known, text),
		 known.peer[0] ? known.peer : "this host", request->domain,
		 (unsigned long long)request->entry.fence);
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
	    request->entry.fence > FENCE_MAX ||
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
	else if (is_foreign(request, known))
		request_fail(request, VTPM_FORBIDDEN, "%s: is expected from %s, not from %s", text,
			     known->peer, request->entry.peer);
	else if (fence < known->fence || fence > FENCE_MAX ||
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

static void
await_there(struct request *request)
{
	struct instance *instance = privileged_instance(request);

	if (instance)
		instance_await(instance, request, request->milliseconds);
}

void
privileged_await(struct request *request)
{
	struct store_instance known;

	migrate_take_vtpm(request);
	uint32_t milliseconds = reader_u32(&request->params);
	request->milliseconds = milliseconds < AWAIT_MAX_MS ? milliseconds : AWAIT_MAX_MS;
	if (migrate_take_peer(request) && migrate_find_uuid(request, &known))
		privileged_there(request, await_there);
}

static bool
is_secret_of(const struct store_instance *known, const uint8_t *secret)
{
	uint8_t digest[CRYPT_SHA256_SIZE];

	crypt_sha256(digest, CRYPT_PARTS({ secret, VTPM_SECRET_SIZE }));
	return CRYPTO_memcmp(digest, known->activation, sizeof(digest)) == 0;
}

/* Whether the copy may run now; false after having refused the request. */
static bool
may_run(struct request *request, const struct store_instance *known, const uint8_t *secret)
{
	bool here = migrate_is_here(known);
	char text[MIGRATE_TEXT_SIZE];

	migrate_text(known, text);
	if (is_foreign(request, known))
		request_fail(request, VTPM_FORBIDDEN, "%s: has come from %s, not from %s", text,
			     known->peer, request->entry.peer);
	else if (!here && !(known->flags & STORE_FLAG_PREPARED))
		request_fail(request, VTPM_INVALID_REQUEST,
			     "%s: there is no copy here that could run", text);
	else if (known->fence != request->entry.fence)
		request_fail(request, VTPM_INVALID_REQUEST,
			     "%s: the copy here has fence %llu, not %llu", text,
			     (unsigned long long)known->fence,
			     (unsigned long long)request->entry.fence);
	else if (!is_secret_of(known, secret))
		request_fail(request, VTPM_FORBIDDEN, "%s: that is not the secret of the copy here",
			     text);
	else
		return true;
	return false;
}

void
privileged_activate(struct request *request)
{
	struct store_instance known;
	char text[MIGRATE_TEXT_SIZE];

	migrate_take_vtpm(request);
	reader_bytes(&request->params, request->key, VTPM_SECRET_SIZE);
	if (!migrate_take_peer(request) || !migrate_find_uuid(request, &known) ||
	    !may_run(request, &known, request->key))
		return;
	if (known.flags & STORE_FLAG_INCOMING) {
		known.type = VTPM_TYPE_MIGRATABLE;
		if (known.flags & STORE_FLAG_OPENED)
			known.flags |= STORE_FLAG_RESUMES;
		known.flags &= ~ON_ITS_WAY;
		if (!migrate_update(request, &known))
			return;
		log_info("%s: lives here now, it came from %s (fence %llu)",
			 migrate_text(&known, text), known.peer[0] ? known.peer : "this host",
			 (unsigned long long)known.fence);
	}
	privileged_there(request, migrate_settle_there);
}

static void
forgotten_there(struct request *request)
{
	struct instance *instance = instance_find(request->manager->instances, request->entry.id);
	struct store_instance known;

	if (instance) {
		bool kept = store_find(request->manager->store, request->entry.id, &known) == 0;

		if (kept)
			instance_update(instance, &known);
		instance_give_up(instance);
		if (!kept)
			instance_remove(instance);
	}
	request_succeed(request, NULL, 0);
}

/* Of a copy the number stays, so that neither the secret nor the envelope, late, can revive it. */
static bool
bury(struct request *request, struct store_instance *known)
{
	known->type = VTPM_TYPE_MIGRATED;
	known->flags &= STORE_FLAG_RECOVERED;
	known->flags |= STORE_FLAG_FORGOTTEN;
	if (!migrate_update(request, known))
		return false;
	/* Nobody needs it any more, and somebody else's secrets are in it. */
	store_save_nvm_wait(request->manager->store, known->id, NULL, 0);
	return true;
}

/*
 * Gives up what is known of an offer; false after having refused the request. Of a copy that never
 * came there is nothing, and no place into which it could come late.
 */
static bool
forget(struct request *request, struct store_instance *known)
{
	if (!(known->flags & STORE_FLAG_INCOMING))
		return true;
	if (known->generation == 0) {
		int rc = store_delete(request->manager->store, known->id);

		if (rc < 0)
			request_fail(request, VTPM_FAIL, "instance %u: cannot be forgotten: %s",
				     known->id, strerror(-rc));
		return rc == 0;
	}
	if (!(known->flags & STORE_FLAG_PREPARED)) {
		known->flags &= ~ON_ITS_WAY;
		return migrate_update(request, known);
	}
	return bury(request, known);
}

/* Whether that copy does not, and did not, run here; false after having refused the request. */
static bool
may_forget(struct request *request, const struct store_instance *known)
{
	uint64_t fence = request->entry.fence;
	bool incoming = known->flags & STORE_FLAG_INCOMING;
	bool ran = !(known->flags & (STORE_FLAG_INCOMING | STORE_FLAG_FORGOTTEN));
	char text[MIGRATE_TEXT_SIZE];

	migrate_text(known, text);
	if (!incoming && known->type != VTPM_TYPE_MIGRATED)
		request_fail(request, VTPM_FORBIDDEN, "%s: lives here, with fence %llu", text,
			     (unsigned long long)known->fence);
	else if (incoming && is_foreign(request, known))
		request_fail(request, VTPM_FORBIDDEN, "%s: comes from %s, not from %s", text,
			     known->peer, request->entry.peer);
	else if (incoming && known->fence > fence)
		request_fail(request, VTPM_FORBIDDEN, "%s: a newer copy, with fence %llu, is here",
			     text, (unsigned long long)known->fence);
	else if (known->fence > fence || (ran && known->fence == fence))
		request_fail(request, VTPM_FORBIDDEN,
			     "%s: has been here since, with fence %llu, and has left for %s", text,
			     (unsigned long long)known->fence, known->peer);
	else
		return true;
	return false;
}

void
privileged_forget(struct request *request)
{
	struct store_instance known;
	char text[MIGRATE_TEXT_SIZE];

	migrate_take_vtpm(request);
	if (!migrate_take_peer(request))
		return;
	if (store_find_uuid(request->manager->store, request->entry.uuid, &known) < 0) {
		request_succeed(request, NULL, 0);
		return;
	}
	request->entry.id = known.id;
	if (!may_forget(request, &known) || !forget(request, &known))
		return;
	log_info("%s: the copy with fence %llu will never run here", migrate_text(&known, text),
		 (unsigned long long)request->entry.fence);
	privileged_there(request, forgotten_there);
}
