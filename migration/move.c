#include "migration/move.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vtpm/codec.h>
#include <vtpm/manager.h>

#include "migration/host_name.h"
#include "migration/required_pcrs.h"

enum {
	PARAMS_MAX = 4096,
	KEY_MAX = 4096,
};

struct step {
	const char *name;
	int (*run)(struct move *move, struct why *why);
};

/* Whether a quote of the other host's chip shows what --require-pcrs wants. */
static int
check_host(struct move *move, const struct reader *key, struct why *why)
{
	struct migrator *migrator = move->migrator;
	uint8_t buf[4 + QUOTE_NONCE_SIZE];
	struct writer params = writer_of(buf, sizeof(buf));
	uint8_t nonce[QUOTE_NONCE_SIZE];
	struct required_pcrs required;
	struct reader evidence;

	int rc = required_pcrs_read(&required, migrator->options->require_pcrs, why);
	if (rc < 0)
		return rc;
	if (RAND_bytes(nonce, sizeof(nonce)) != 1)
		return why_set(why, -EIO, "no random bytes");
	writer_u32(&params, required_pcrs_mask(&required));
	writer_bytes(&params, nonce, sizeof(nonce));
	rc = migrator_there(migrator, VTPM_ORD_HOST_QUOTE, &params, &evidence, NULL, why);
	if (rc == 0)
		rc = required_pcrs_check(&required, evidence, nonce, key, why);
	return rc < 0 ? why_set(why, rc, "%s is not what %s requires: %s",
				remote_host(migrator->remote), migrator->options->require_pcrs,
				why->text)
		      : 0;
}

/* Keeps the session key that there was until there is another. */
static int
renew_key(struct move *move, struct why *why)
{
	struct migrator *migrator = move->migrator;
	const char *host = remote_host(migrator->remote);
	struct writer none = { 0 };
	uint8_t key[KEY_MAX];
	uint8_t buf[KEY_MAX + HOST_ADDRESS_SIZE];
	struct writer params = writer_of(buf, sizeof(buf));
	struct reader answer;

	int rc = migrator_there(migrator, VTPM_ORD_GET_MIG_KEY, &none, &answer, NULL, why);
	if (rc < 0)
		return rc;
	if (answer.left > sizeof(key))
		return why_set(why, -EBADMSG, "%s sent a key of %zu bytes", host, answer.left);
	/* The next call lets the answer go. */
	const struct reader public = reader_of(key, answer.left);
	reader_bytes(&answer, key, answer.left);
	if (migrator->options->require_pcrs)
		rc = check_host(move, &public, why);
	if (rc < 0)
		return rc;
	writer_sized(&params, host, strlen(host));
	writer_bytes(&params, public.pos, public.left);
	rc = migrator_here(migrator, VTPM_ORD_LOAD_MIG_KEY, &params, &answer, NULL, why);
	if (rc < 0)
		return rc;
	if (answer.left == 0 || answer.left > KEY_MAX / 2)
		return why_set(why, -EBADMSG, "the manager made no session key");
	uint8_t *session = malloc(answer.left);
	if (!session)
		return why_set(why, -ENOMEM, "out of memory");
	free(migrator->session);
	migrator->session = session;
	migrator->session_len = answer.left;
	reader_bytes(&answer, session, migrator->session_len);
	return 0;
}

static int
run_key(struct move *move, struct why *why)
{
	return move->migrator->session ? 0 : renew_key(move, why);
}

static int
run_offer(struct move *move, struct why *why)
{
	uint8_t buf[PARAMS_MAX];
	struct writer params = writer_of(buf, sizeof(buf));
	struct reader answer;

	writer_bytes(&params, move->vtpm.uuid, VTPM_UUID_SIZE);
	writer_u64(&params, move->fence);
	writer_u8(&params, move->vtpm.domain_type);
	writer_sized(&params, move->domain, strlen(move->domain));
	writer_sized(&params, move->migrator->session, move->migrator->session_len);
	move->offered = true;
	int rc = migrator_there(move->migrator, VTPM_ORD_OFFER, &params, &answer, NULL, why);
	if (rc < 0)
		return rc;
	move->there = reader_u32(&answer);
	return reader_done(&answer) && move->there != 0
		   ? 0
		   : why_set(why, -EBADMSG, "%s answered OFFER with something else",
			     remote_host(move->migrator->remote));
}

static int
freeze(struct move *move, struct reader *answer, struct why *why)
{
	const char *host = remote_host(move->migrator->remote);
	uint8_t buf[PARAMS_MAX];
	struct writer params = writer_of(buf, sizeof(buf));

	writer_u32(&params, move->vtpm.instance);
	writer_sized(&params, host, strlen(host));
	writer_sized(&params, move->domain, strlen(move->domain));
	return migrator_here(move->migrator, VTPM_ORD_MIGRATE_OUT, &params, answer, NULL, why);
}

static int
take_envelope(struct move *move, struct reader answer, struct why *why)
{
	uint8_t uuid[VTPM_UUID_SIZE];

	free(move->envelope);
	move->envelope = malloc(answer.left + 1);
	if (!move->envelope)
		return why_set(why, -ENOMEM, "out of memory");
	memcpy(move->envelope, answer.pos, move->envelope_len = answer.left);
	uint32_t version = reader_u32(&answer);
	reader_bytes(&answer, uuid, sizeof(uuid));
	uint64_t fence = reader_u64(&answer);
	if (answer.failed || version != VTPM_MIGRATION_VERSION ||
	    memcmp(uuid, move->vtpm.uuid, sizeof(uuid)) != 0)
		return why_set(why, -EBADMSG, "the manager's envelope is not that of this vTPM");
	if (fence != move->fence)
		return why_set(why, -EBUSY,
			       "another migration of it is under way (fence %llu, not %llu)",
			       (unsigned long long)fence, (unsigned long long)move->fence);
	return 0;
}

static int
run_prepare(struct move *move, struct why *why)
{
	struct reader answer;

	move->frozen = true;
	move->freeze = progress_now();
	int rc = freeze(move, &answer, why);
	if (rc == -EREMOTEIO) {
		/* A manager that was started anew has no session key any more. */
		rc = renew_key(move, why);
		if (rc == 0)
			rc = freeze(move, &answer, why);
	}
	if (rc == -EREMOTEIO)
		move->frozen = false;
	return rc < 0 ? rc : take_envelope(move, answer, why);
}

static int
nothing_else(const struct move *move, const struct reader *answer, const char *request,
	     struct why *why)
{
	if (reader_done(answer))
		return 0;
	return why_set(why, -EBADMSG, "%s answered %s with something else",
		       remote_host(move->migrator->remote), request);
}

static int
run_transfer(struct move *move, struct why *why)
{
	size_t size = move->envelope_len + 8;
	uint8_t *buf = malloc(size);
	struct writer params = writer_of(buf, buf ? size : 0);
	struct reader answer;

	writer_u32(&params, move->there);
	writer_sized(&params, move->envelope, move->envelope_len);
	int rc = params.failed ? why_set(why, -ENOMEM, "out of memory")
			       : migrator_there(move->migrator, VTPM_ORD_MIGRATE_IN, &params,
						&answer, NULL, why);
	free(buf);
	return rc < 0 ? rc : nothing_else(move, &answer, "MIGRATE_IN", why);
}

/* instance and fence: what COMMIT, ABORT and UNDO take. */
static struct writer
instance_and_fence(const struct move *move, uint8_t buf[12])
{
	struct writer params = writer_of(buf, 12);

	writer_u32(&params, move->vtpm.instance);
	writer_u64(&params, move->fence);
	return params;
}

/* uuid and fence: what AWAIT and ACTIVATE begin with. */
static struct writer
uuid_and_fence(const struct move *move, uint8_t *buf, size_t size)
{
	struct writer params = writer_of(buf, size);

	writer_bytes(&params, move->vtpm.uuid, VTPM_UUID_SIZE);
	writer_u64(&params, move->fence);
	return params;
}

static int
run_commit(struct move *move, struct why *why)
{
	uint8_t buf[12];
	struct writer params = instance_and_fence(move, buf);
	struct standing standing;
	struct reader answer;
	struct why ignored;

	move->came_back = false;
	int rc = migrator_here(move->migrator, VTPM_ORD_COMMIT, &params, &answer, NULL, why);
	if (rc == -EREMOTEIO &&
	    migrator_standing_here(move->migrator, move->vtpm.uuid, &standing, &ignored) == 0)
		move->came_back = standing.state == VTPM_MIGRATION_HERE;
	if (rc < 0) {
		/* Without an answer it may be committed or not: only --recover may say. */
		move->committed = rc != -EREMOTEIO;
		return rc;
	}
	move->committed = true;
	reader_bytes(&answer, move->secret, sizeof(move->secret));
	return reader_done(&answer) ? 0 : why_set(why, -EBADMSG, "COMMIT told no secret");
}

static int
run_activate(struct move *move, struct why *why)
{
	uint8_t buf[VTPM_UUID_SIZE + 8 + VTPM_SECRET_SIZE];
	struct writer params = uuid_and_fence(move, buf, sizeof(buf));
	struct reader answer;

	writer_bytes(&params, move->secret, sizeof(move->secret));
	int rc = migrator_there(move->migrator, VTPM_ORD_ACTIVATE, &params, &answer, NULL, why);
	OPENSSL_cleanse(buf, sizeof(buf));
	if (rc < 0)
		return rc;
	if (move->ran)
		move->downtime = progress_now() - move->freeze;
	return nothing_else(move, &answer, "ACTIVATE", why);
}

/* The answers before may have been lost, doubled or mixed up: what counts is what is there now. */
static int
run_check(struct move *move, struct why *why)
{
	const char *host = remote_host(move->migrator->remote);
	struct standing standing;
	int rc = migrator_standing_there(move->migrator, move->vtpm.uuid, &standing, why);

	if (rc < 0)
		return rc;
	if (standing.state == VTPM_MIGRATION_PREPARED && standing.fence == move->fence) {
		rc = run_activate(move, why);
		return rc < 0 ? rc
			      : migrator_standing_there(move->migrator, move->vtpm.uuid, &standing,
							why);
	}
	if (standing.state == VTPM_MIGRATION_HERE && standing.fence >= move->fence)
		return 0;
	return why_set(why, -EPROTO, "%s does not have it, as it said", host);
}

static const struct step steps[MOVE_STEPS] = {
	[MOVE_KEY] = { "key", run_key },
	[MOVE_OFFER] = { "offer", run_offer },
	[MOVE_PREPARE] = { "prepare", run_prepare },
	[MOVE_TRANSFER] = { "transfer", run_transfer },
	[MOVE_COMMIT] = { "commit", run_commit },
	[MOVE_ACTIVATE] = { "activate", run_activate },
	[MOVE_CHECK] = { "check", run_check },
};

static int
undo_other(struct move *move, const struct standing *standing, struct why *why)
{
	uint8_t buf[12];
	struct reader answer;

	move->fence = standing->fence;
	struct writer params = instance_and_fence(move, buf);
	return migrator_here(move->migrator, VTPM_ORD_ABORT, &params, &answer, NULL, why);
}

static int
refuse_migrated(const struct move *move, const struct standing *standing, struct why *why)
{
	time_t since = (time_t)standing->since;
	char when[32];
	struct tm tm;

	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", gmtime_r(&since, &tm));
	return why_set(
	    why, -EREMOTE,
	    "it migrated to %s at %s; if it does not run there, 'vtpm_migrator --recover "
	    "%s' asks that host",
	    standing->peer, when, move->uuid);
}

int
move_again(struct move *move, struct why *why)
{
	struct migrator *migrator = move->migrator;
	struct standing standing;

	move->offered = move->frozen = false;
	int rc = migrator_standing_here(migrator, move->vtpm.uuid, &standing, why);
	if (rc < 0)
		return rc;
	switch (standing.state) {
	case VTPM_MIGRATION_HERE:
		move->fence = standing.fence + 1;
		return 0;
	case VTPM_MIGRATION_OUTGOING:
		if (strcmp(standing.peer, remote_host(migrator->remote)) != 0) {
			rc = undo_other(move, &standing, why);
			move->fence = standing.fence + 1;
			return rc;
		}
		move->fence = standing.fence;
		move->frozen = true;
		return 0;
	case VTPM_MIGRATION_MIGRATED:
		return refuse_migrated(move, &standing, why);
	case VTPM_MIGRATION_OFFERED:
	case VTPM_MIGRATION_PREPARED:
		return why_set(why, -EBUSY,
			       "it is on its way here from %s; 'vtpm_migrator --recover %s' brings "
			       "that to an end",
			       standing.peer, move->uuid);
	case VTPM_MIGRATION_NONE:
		break;
	}
	return why_set(why, -ENOENT, "this host's manager does not know it");
}

int
move_begin(struct move *move, struct migrator *migrator, const struct info *vtpm,
	   const char *domain, struct why *why)
{
	*move = (struct move) { .migrator = migrator, .vtpm = *vtpm, .downtime = -1 };
	uuid_format(move->uuid, vtpm->uuid);
	snprintf(move->domain, sizeof(move->domain), "%s", domain ? domain : "-");
	move->started = progress_now();
	move->ran = vtpm->state == INFO_RUNNING || vtpm->state == INFO_STARTING;
	if (vtpm->migration == VTPM_TYPE_NON_MIGRATABLE)
		return why_set(why, -EPERM,
			       "it was defined with --no-migrate: it does not leave this host");
	return move_again(move, why);
}

void
move_free(struct move *move)
{
	free(move->envelope);
	OPENSSL_cleanse(move->secret, sizeof(move->secret));
}

int
move_run(struct move *move, enum move_step first, enum move_step last, struct why *why)
{
	for (enum move_step step = first; step <= last; step++) {
		/* An interrupt may be waiting for its turn. */
		event_base_loop(move->migrator->base, EVLOOP_NONBLOCK);
		if (move->migrator->interrupted && !move->committed)
			return why_set(why, -EINTR, "interrupted");
		int rc = steps[step].run(move, why);
		if (rc < 0)
			return why_set(why, rc, "%s: %s", steps[step].name, why->text);
		progress_step(&move->migrator->progress, move->uuid, steps[step].name, step + 1,
			      MOVE_STEPS, remote_bytes(move->migrator->remote),
			      progress_now() - move->started);
	}
	return 0;
}

int
move_keep_place(struct move *move, struct why *why)
{
	return run_offer(move, why);
}

int
move_back(struct move *move, struct why *why)
{
	struct why ignored;
	int rc = 0;

	if (move->frozen) {
		uint8_t buf[12];
		struct reader answer;
		struct writer params = instance_and_fence(move, buf);
		struct standing standing;

		rc = migrator_here(move->migrator, VTPM_ORD_ABORT, &params, &answer, NULL, why);
		/* Not OUTGOING at all: it never was, or came back by itself. */
		if (rc == -EREMOTEIO &&
		    migrator_standing_here(move->migrator, move->vtpm.uuid, &standing, &ignored) ==
			0 &&
		    standing.state == VTPM_MIGRATION_HERE)
			rc = 0;
	}
	/* If that host is gone, what it has is worth nothing without the secret. */
	if (rc == 0 && move->offered)
		migrator_forget_there(move->migrator, move->vtpm.uuid, move->fence, false,
				      &ignored);
	if (rc == 0)
		move->frozen = move->offered = false;
	return rc;
}

int
move_await(struct move *move, unsigned ms, bool *needed, struct why *why)
{
	uint8_t buf[VTPM_UUID_SIZE + 12];
	struct writer params = uuid_and_fence(move, buf, sizeof(buf));
	struct reader answer;

	*needed = false;
	writer_u32(&params, ms);
	int rc = remote_call(move->migrator->remote, VTPM_ORD_AWAIT, params.buf, params.len, ms,
			     &answer, NULL, why);
	if (rc == 0)
		*needed = reader_u8(&answer) != 0;
	return rc;
}

/* What to do about a failure, at the end of its sentence. */
static int
say_what_now(struct move *move, int rc, struct why *why)
{
	struct why undone;

	if (move->committed)
		return why_set(
		    why, rc,
		    "%s. It has left this host: 'vtpm_migrator --recover %s' brings it to "
		    "its end when %s answers",
		    why->text, move->uuid, remote_host(move->migrator->remote));
	if (move_back(move, &undone) < 0)
		return why_set(why, rc,
			       "%s; and it is still frozen here: %s. 'vtpm_migrator --recover %s' "
			       "takes it back",
			       why->text, undone.text, move->uuid);
	return why_set(why, rc, "%s. It is still on this host, as it was", why->text);
}

int
move_hand_over(struct move *move, struct why *why)
{
	int rc = move_run(move, MOVE_COMMIT, MOVE_CHECK, why);

	if (rc == 0)
		progress_done(&move->migrator->progress, move->uuid,
			      remote_host(move->migrator->remote),
			      remote_bytes(move->migrator->remote), progress_now() - move->started,
			      move->downtime);
	return rc;
}

int
move_whole(struct move *move, struct why *why)
{
	int rc = move_run(move, MOVE_KEY, MOVE_TRANSFER, why);

	if (rc == 0)
		rc = move_hand_over(move, why);
	return rc < 0 ? say_what_now(move, rc, why) : 0;
}
