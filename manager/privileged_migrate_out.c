/*
 * A migration at its source: frozen, committed, or taken back.
 */
#include "manager/privileged_migrate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vtpm/log.h>
#include <vtpm/manager.h>

#include "manager/crypt.h"
#include "manager/envelope.h"
#include "manager/instance.h"
#include "manager/manager.h"
#include "manager/migration_session.h"

/* Whether it may go to request->entry.peer; false after having refused the request. */
static bool
may_leave(struct request *request, const struct store_instance *known)
{
	char text[MIGRATE_TEXT_SIZE];

	migrate_text(known, text);
	if (known->flags & STORE_FLAG_INCOMING)
		request_fail(request, VTPM_FORBIDDEN, "%s is only on its way here, from %s", text,
			     known->peer);
	else if (known->type == VTPM_TYPE_MIGRATED)
		request_fail(request, VTPM_FORBIDDEN, "%s has migrated to %s", text, known->peer);
	else if (known->type != VTPM_TYPE_MIGRATABLE)
		request_fail(request, VTPM_FORBIDDEN, "%s was defined not to leave this host",
			     text);
	else if (known->refused)
		request_fail(request, VTPM_RESTORE_CONTEXT_FAILED,
			     "%s: its stored state is damaged or not its own; 'vtpmctl verify %u' "
			     "says how",
			     text, known->id);
	else if (known->flags & STORE_FLAG_OUTGOING &&
		 strcmp(known->peer, request->entry.peer) != 0)
		request_fail(request, VTPM_FORBIDDEN,
			     "%s is on its way to %s; 'vtpm_migrator --recover' settles that first",
			     text, known->peer);
	else
		return true;
	return false;
}

/* The frozen entry, its secret's digest and its NVM, packed up. */
static int
pack(struct request *request, uint8_t **packed, size_t *len)
{
	struct store *store = request->manager->store;
	const struct migration_session *session =
	    migration_session_find(request->manager->sessions, request->entry.peer);
	struct envelope envelope = { 0 };
	uint8_t secret[VTPM_SECRET_SIZE];

	if (!session)
		return -ENOKEY;
	memcpy(envelope.domain, request->domain, sizeof(envelope.domain));
	int rc = store_find(store, request->entry.id, &envelope.entry);
	if (rc == 0)
		rc = migrate_secret(store, &envelope.entry, secret);
	if (rc == 0) {
		crypt_sha256(envelope.entry.activation, CRYPT_PARTS({ secret, sizeof(secret) }));
		explicit_bzero(secret, sizeof(secret));
		rc = store_load_nvm(store, request->entry.id, &envelope.nvm, &envelope.nvm_len);
	}
	if (rc == 0)
		rc = envelope_compose(&envelope, session, packed, len);
	envelope_wipe(&envelope);
	return rc;
}

/* Its process is gone, so its NVM is its last. */
static void
send_envelope(struct request *request)
{
	uint8_t *packed = NULL;
	size_t len = 0;
	int rc = pack(request, &packed, &len);

	if (rc == 0)
		request_succeed(request, packed, len);
	else
		request_fail(request, VTPM_FAIL,
			     "instance %u is frozen, but cannot be packed up: %s; abort, or try "
			     "again",
			     request->entry.id, strerror(-rc));
	free(packed);
}

/* Somebody has opened it anew since it was frozen: it stays. */
static void
opened_meanwhile(struct request *request)
{
	struct store_instance known;

	if (!migrate_find(request, &known))
		return;
	known.flags &= ~(uint32_t)(STORE_FLAG_SUSPENDED | STORE_FLAG_RESUMES);
	if (migrate_take_back(request, &known))
		request_fail(request, VTPM_FAIL, "instance %u was opened in the middle; try again",
			     known.id);
}

static void
frozen_there(struct request *request)
{
	struct instance *instance = privileged_instance(request);
	struct store_instance known;

	if (!instance)
		return;
	if (!instance_is_still(instance)) {
		privileged_here(request, opened_meanwhile);
		return;
	}
	if (store_find(request->manager->store, request->entry.id, &known) == 0)
		instance_update(instance, &known);
	instance_stop(instance, request, send_envelope);
}

static void
not_frozen_there(struct request *request)
{
	struct instance *instance = privileged_instance(request);

	if (!instance)
		return;
	instance_thaw(instance);
	request_fail(request, VTPM_FAIL,
		     "instance %u stays: it cannot be noted that it leaves; the log of "
		     "vtpm_managerd says why",
		     request->entry.id);
}

/* request->flag: it ran, and its volatile state is in its NVM now. */
static void
freeze_durably(struct request *request)
{
	struct store_instance known;
	char text[MIGRATE_TEXT_SIZE];

	if (!migrate_find(request, &known) || !may_leave(request, &known))
		return;
	if (known.flags & STORE_FLAG_OUTGOING) {
		privileged_there(request, frozen_there);
		return;
	}
	known.fence++;
	known.peer_time = (uint64_t)time(NULL);
	known.flags |= STORE_FLAG_OUTGOING;
	if (request->flag)
		known.flags |= STORE_FLAG_SUSPENDED | STORE_FLAG_RESUMES;
	memcpy(known.peer, request->entry.peer, sizeof(known.peer));
	if (store_update(request->manager->store, &known) < 0) {
		privileged_there(request, not_frozen_there);
		return;
	}
	log_info("%s: frozen, on its way to %s (fence %llu)", migrate_text(&known, text),
		 known.peer, (unsigned long long)known.fence);
	privileged_there(request, frozen_there);
}

/* A guest whose QEMU has the vTPM moves with QEMU's own stream, and that has the vTPM's state. */
static void
refuse_qemu(struct request *request)
{
	request_fail(request, VTPM_FORBIDDEN,
		     "instance %u is in use by its guest's QEMU, which takes the state along "
		     "itself: 'vtpm_migrator DOMAIN HOST' moves both. Alone it can move when that "
		     "guest is shut down",
		     request->entry.id);
}

/* Now that it is frozen, no command is under way. */
static void
freeze_kept(struct request *request)
{
	struct instance *instance = privileged_instance(request);

	if (!instance)
		return;
	if (instance_has_qemu(instance)) {
		instance_thaw(instance);
		refuse_qemu(request);
		return;
	}
	request->flag = true;
	privileged_here(request, freeze_durably);
}

static void
freeze_there(struct request *request)
{
	struct instance *instance = privileged_instance(request);

	if (!instance)
		return;
	if (instance_is_still(instance))
		instance_stop(instance, request, freeze_durably);
	else if (instance_has_qemu(instance))
		refuse_qemu(request);
	else
		privileged_tell(request, VTPM_ORD_KEEP_VOLATILE, NULL, 0, freeze_kept);
}

void
privileged_migrate_out(struct request *request)
{
	struct store_instance known;
	bool sound;

	request->entry.id = reader_u32(&request->params);
	sound = migrate_take_name(&request->params, request->entry.peer);
	if (sound && request->params.left > 0)
		sound = migrate_take_name(&request->params, request->domain);
	if (!sound || !reader_done(&request->params))
		request_fail(request, VTPM_INVALID_REQUEST,
			     "instance %u: to where? A destination's name is needed",
			     request->entry.id);
	else if (!migrate_find(request, &known) || !may_leave(request, &known))
		return;
	else if (!migration_session_find(request->manager->sessions, request->entry.peer))
		request_fail(request, VTPM_INVALID_REQUEST, "load the key of %s first",
			     request->entry.peer);
	else
		privileged_there(request, freeze_there);
}

static void
take_instance_and_fence(struct request *request)
{
	request->entry.id = reader_u32(&request->params);
	request->entry.fence = reader_u64(&request->params);
}

/* Nobody waits for it here any more; the answer may leave. */
static void
committed_there(struct request *request)
{
	struct instance *instance = privileged_current_instance(request);

	if (!instance)
		return;
	instance_give_up(instance);
	request_succeed(request, request->key, VTPM_SECRET_SIZE);
}

/*
 * Whether this migration was committed; only then may its secret be told. An offer to come back
 * does not change that, a copy that has come does.
 */
static bool
is_committed(const struct store_instance *known, uint64_t fence)
{
	return known->type == VTPM_TYPE_MIGRATED && known->fence == fence && fence > 0 &&
	       !(known->flags & (STORE_FLAG_PREPARED | STORE_FLAG_FORGOTTEN));
}

static bool
is_outgoing(const struct store_instance *known, uint64_t fence)
{
	return known->flags & STORE_FLAG_OUTGOING && known->fence == fence;
}

static void
tell_secret(struct request *request, const struct store_instance *known)
{
	if (migrate_secret(request->manager->store, known, request->key) < 0)
		request_fail(request, VTPM_FAIL, "out of memory");
	else
		privileged_there(request, committed_there);
}

void
privileged_commit(struct request *request)
{
	struct store_instance known;
	char text[MIGRATE_TEXT_SIZE];

	take_instance_and_fence(request);
	if (!migrate_find(request, &known))
		return;
	if (is_committed(&known, request->entry.fence)) {
		tell_secret(request, &known);
		return;
	}
	if (!is_outgoing(&known, request->entry.fence)) {
		request_fail(request, VTPM_INVALID_REQUEST,
			     migrate_is_here(&known) && known.fence == request->entry.fence
				 ? "%s: aborted, its guest came back to this host; begin again"
				 : "%s: there is no such migration to be committed",
			     migrate_text(&known, text));
		return;
	}
	known.type = VTPM_TYPE_MIGRATED;
	known.flags &= ~(uint32_t)STORE_FLAG_OUTGOING;
	known.peer_time = (uint64_t)time(NULL);
	if (!migrate_update(request, &known))
		return;
	migration_anchor(request->manager);
	log_info("%s: has left for %s (fence %llu)", migrate_text(&known, text), known.peer,
		 (unsigned long long)known.fence);
	tell_secret(request, &known);
}

void
privileged_abort(struct request *request)
{
	struct store_instance known;
	char text[MIGRATE_TEXT_SIZE];

	take_instance_and_fence(request);
	if (!migrate_find(request, &known))
		return;
	if (migrate_is_here(&known))
		privileged_there(request, migrate_settle_there);
	else if (!is_outgoing(&known, request->entry.fence))
		request_fail(
		    request, VTPM_FORBIDDEN,
		    known.type == VTPM_TYPE_MIGRATED
			? "%s: is committed, it lives on %s; only that host can give it back"
			: "%s: another migration is under way, %s",
		    migrate_text(&known, text), known.peer);
	else if (migrate_take_back(request, &known))
		privileged_there(request, migrate_settle_there);
}

void
privileged_undo(struct request *request)
{
	struct store_instance known;
	char text[MIGRATE_TEXT_SIZE];

	take_instance_and_fence(request);
	if (!migrate_find(request, &known))
		return;
	if (migrate_is_here(&known) && known.fence == request->entry.fence)
		privileged_there(request, migrate_settle_there);
	else if (!is_committed(&known, request->entry.fence))
		request_fail(request, VTPM_FORBIDDEN, "%s: there is no such commit to be undone",
			     migrate_text(&known, text));
	else if (migrate_take_back(request, &known))
		privileged_there(request, migrate_settle_there);
}

/* Whatever has been started since then ends. */
static void
left_there(struct request *request)
{
	struct instance *instance = privileged_current_instance(request);

	if (!instance)
		return;
	instance_give_up(instance);
	instance_stop(instance, request, NULL);
}

static void
leave_still(struct request *request)
{
	struct store_instance known;
	char text[MIGRATE_TEXT_SIZE];

	if (!migrate_find(request, &known) || !may_leave(request, &known))
		return;
	known.type = VTPM_TYPE_MIGRATED;
	known.flags &= ~(uint32_t)(STORE_FLAG_OUTGOING | STORE_FLAG_SUSPENDED | STORE_FLAG_RESUMES);
	known.fence++;
	known.peer_time = (uint64_t)time(NULL);
	memcpy(known.peer, request->entry.peer, sizeof(known.peer));
	if (!migrate_update(request, &known))
		return;
	migration_anchor(request->manager);
	log_info("%s: has left for %s with its guest's QEMU", migrate_text(&known, text),
		 known.peer);
	privileged_there(request, left_there);
}

static void
leave_there(struct request *request)
{
	struct instance *instance = privileged_instance(request);

	if (!instance)
		return;
	if (instance_is_still(instance))
		privileged_here(request, leave_still);
	else
		request_fail(request, VTPM_FORBIDDEN, "instance %u is still in use here",
			     request->entry.id);
}

void
privileged_left(struct request *request)
{
	struct store_instance known;

	request->entry.id = reader_u32(&request->params);
	if (!migrate_take_name(&request->params, request->entry.peer) ||
	    !reader_done(&request->params))
		request_fail(request, VTPM_INVALID_REQUEST,
			     "instance %u: to where? A destination's name is needed",
			     request->entry.id);
	else if (!migrate_find(request, &known))
		return;
	else if (known.type == VTPM_TYPE_MIGRATED &&
		 migrate_same_host(known.peer, request->entry.peer))
		request_succeed(request, NULL, 0);
	else if (may_leave(request, &known))
		privileged_there(request, leave_there);
}

/* The destination has been told by the refusal, whatever becomes of the answer. */
static void
resolved_there(struct request *request)
{
	struct instance *instance = privileged_current_instance(request);

	if (!instance)
		return;
	instance_go_on(instance);
	request_fail(request, VTPM_FORBIDDEN, "instance %u was not committed and stays here",
		     request->entry.id);
}

void
privileged_resolve(struct request *request)
{
	struct store_instance known;
	char text[MIGRATE_TEXT_SIZE];

	migrate_take_vtpm(request);
	if (!migrate_take_peer(request) || !migrate_find_uuid(request, &known))
		return;
	migrate_text(&known, text);
	if (known.fence < request->entry.fence)
		request_fail(request, VTPM_INVALID_REQUEST,
			     "%s: this host knows of no migration with fence %llu", text,
			     (unsigned long long)request->entry.fence);
	else if (request->entry.peer[0] && !migrate_same_host(known.peer, request->entry.peer))
		request_fail(request, VTPM_FORBIDDEN, "%s: went to %s, not to %s", text, known.peer,
			     request->entry.peer);
	else if (is_committed(&known, request->entry.fence))
		tell_secret(request, &known);
	else if (!is_outgoing(&known, request->entry.fence))
		privileged_there(request, resolved_there);
	else if (migrate_take_back(request, &known))
		privileged_there(request, resolved_there);
}
