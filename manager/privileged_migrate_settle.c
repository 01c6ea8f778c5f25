/*
 * A migration at its destination, second half: the copy that is here runs, or never will.
 */
#include "manager/privileged_migrate.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <time.h>

#include <vtpm/log.h>
#include <vtpm/manager.h>

#include "manager/crypt.h"
#include "manager/instance.h"
#include "manager/manager.h"

enum { AWAIT_MAX_MS = 10000 };

static const uint32_t ON_ITS_WAY = STORE_FLAG_INCOMING | STORE_FLAG_PREPARED | STORE_FLAG_OPENED;

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
	if (migrate_is_foreign(request, known))
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
	struct instance_table *instances = request->manager->instances;
	struct instance *instance = instance_find(instances, request->entry.id);
	struct store_instance known;
	bool kept = store_find(request->manager->store, request->entry.id, &known) == 0;

	if (!instance && kept)
		instance = instance_add(instances, &known);
	if (instance) {
		if (kept)
			instance_update(instance, &known);
		instance_give_up(instance);
		if (!kept)
			instance_remove(instance);
	}
	request_succeed(request, NULL, 0);
}

/*
 * The fence number stays, so that neither the secret nor the envelope, late, can revive that copy.
 * False after having refused the request.
 */
static bool
bury(struct request *request, struct store_instance *known)
{
	bool had_copy = known->flags & STORE_FLAG_PREPARED;

	known->type = VTPM_TYPE_MIGRATED;
	known->flags &= STORE_FLAG_RECOVERED;
	known->flags |= STORE_FLAG_FORGOTTEN;
	if (request->flag && known->fence < request->entry.fence) {
		known->fence = request->entry.fence;
		known->peer_time = (uint64_t)time(NULL);
		memcpy(known->peer, request->entry.peer, sizeof(known->peer));
	}
	if (!migrate_update(request, known))
		return false;
	/* Nobody needs it any more, and somebody else's secrets are in it. */
	if (had_copy)
		store_save_nvm_wait(request->manager->store, known->id, NULL, 0);
	return true;
}

/* The same for one that this host has never heard of. */
static bool
bury_unknown(struct request *request, struct store_instance *known)
{
	char uuid[VTPM_UUID_TEXT_SIZE];

	*known = request->entry;
	known->type = VTPM_TYPE_MIGRATED;
	known->domain_type = VTPM_DOMAIN_PVM;
	known->flags = STORE_FLAG_FORGOTTEN;
	known->created = known->peer_time = (uint64_t)time(NULL);
	int rc = store_define(request->manager->store, known, &known->id);
	if (rc == 0)
		return true;
	uuid_format(uuid, known->uuid);
	request_fail(request, VTPM_FAIL, "vTPM %s: that it never runs here cannot be noted: %s",
		     uuid, strerror(-rc));
	return false;
}

/*
 * Gives up what is known of an offer; false after having refused the request. Of a copy that never
 * came there is nothing, and no place into which it could come late.
 */
static bool
forget(struct request *request, struct store_instance *known)
{
	if (request->flag || known->flags & STORE_FLAG_PREPARED)
		return bury(request, known);
	if (!(known->flags & STORE_FLAG_INCOMING))
		return true;
	/* Nothing was here before the offer. */
	if (known->type == VTPM_TYPE_MIGRATED && known->fence == 0) {
		int rc = store_delete(request->manager->store, known->id);

		if (rc < 0)
			request_fail(request, VTPM_FAIL, "instance %u: cannot be forgotten: %s",
				     known->id, strerror(-rc));
		return rc == 0;
	}
	known->flags &= ~ON_ITS_WAY;
	return migrate_update(request, known);
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
	else if (incoming && migrate_is_foreign(request, known))
		request_fail(request, VTPM_FORBIDDEN, "%s: comes from %s, not from %s", text,
			     known->peer, request->entry.peer);
	else if (incoming && known->fence > fence)
		request_fail(request, VTPM_FORBIDDEN, "%s: a newer copy, with fence %llu, is here",
			     text, (unsigned long long)known->fence);
	else if (known->fence > fence || (ran && known->fence == fence))
		request_fail(request, VTPM_FORBIDDEN,
			     "%s: has been here since, with fence %llu, and has left for %s", text,
			     (unsigned long long)known->fence, known->peer);
	else if (request->flag && ran && migrate_is_foreign(request, known))
		request_fail(request, VTPM_FORBIDDEN,
			     "%s: has left here for %s, and nothing here tells that it has left "
			     "there; if you know that it has, 'vtpmctl delete %u' here first",
			     text, known->peer, known->id);
	else
		return true;
	return false;
}

/* request->flag: its secret may have been told, so that the promise has to outlast a replay. */
void
privileged_forget(struct request *request)
{
	struct store_instance known;
	char text[MIGRATE_TEXT_SIZE];

	migrate_take_vtpm(request);
	request->flag = reader_u8(&request->params) != 0;
	if (!migrate_take_peer(request))
		return;
	if (request->flag && (uuid_is_null(request->entry.uuid) || request->entry.fence == 0 ||
			      request->entry.fence > MIGRATE_FENCE_MAX)) {
		request_fail(request, VTPM_INVALID_REQUEST,
			     "a commit with an impossible uuid or fence is not forgotten");
		return;
	}
	bool is_known = store_find_uuid(request->manager->store, request->entry.uuid, &known) == 0;
	if (!is_known && !request->flag) {
		request_succeed(request, NULL, 0);
		return;
	}
	if (is_known ? !may_forget(request, &known) || !forget(request, &known)
		     : !bury_unknown(request, &known))
		return;
	request->entry.id = known.id;
	log_info("%s: the copy with fence %llu will never run here", migrate_text(&known, text),
		 (unsigned long long)request->entry.fence);
	privileged_there(request, forgotten_there);
}
