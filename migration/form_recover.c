#include "migration/forms.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <vtpm/manager.h>

#include "migration/host_name.h"
#include "migration/move.h"

/* What is to be recovered, and how this host sees it. */
struct recovery {
	struct migrator *migrator;
	struct info vtpm;
	char uuid[VTPM_UUID_TEXT_SIZE];
	struct standing here;
};

static int
told(struct recovery *recovery, const char *text)
{
	progress_note(&recovery->migrator->progress, "vTPM %s %s", recovery->uuid, text);
	return 0;
}

/* ABORT or UNDO. */
static int
ask_here(struct recovery *recovery, uint32_t ordinal, struct why *why)
{
	uint8_t buf[4 + 8];
	struct writer params = writer_of(buf, sizeof(buf));
	struct reader answer;

	writer_u32(&params, recovery->vtpm.instance);
	writer_u64(&params, recovery->here.fence);
	return migrator_here(recovery->migrator, ordinal, &params, &answer, NULL, why);
}

static int
forget_here(struct recovery *recovery, struct why *why)
{
	uint8_t buf[VTPM_UUID_SIZE + 8 + 1];
	struct writer params = writer_of(buf, sizeof(buf));
	struct reader answer;

	writer_bytes(&params, recovery->vtpm.uuid, VTPM_UUID_SIZE);
	writer_u64(&params, recovery->here.fence);
	writer_u8(&params, false);
	return migrator_here(recovery->migrator, VTPM_ORD_FORGET, &params, &answer, NULL, why);
}

/* The secret of the other host, or its refusal. */
static int
resolve_there(struct recovery *recovery, struct reader *answer, uint32_t *status, struct why *why)
{
	uint8_t buf[VTPM_UUID_SIZE + 8];
	struct writer params = writer_of(buf, sizeof(buf));

	writer_bytes(&params, recovery->vtpm.uuid, VTPM_UUID_SIZE);
	writer_u64(&params, recovery->here.fence);
	return migrator_there(recovery->migrator, VTPM_ORD_RESOLVE, &params, answer, status, why);
}

static int
forget_there(struct recovery *recovery, bool committed, struct why *why)
{
	return migrator_forget_there(recovery->migrator, recovery->vtpm.uuid, recovery->here.fence,
				     committed, why);
}

/* The other host: whom the operator names, else the one that was told when it was migrated. */
static int
reach(struct recovery *recovery, struct why *why)
{
	const char *host = recovery->migrator->options->host;

	return migrator_reach(recovery->migrator, host ? host : recovery->here.peer, why);
}

/* What the other host has is worth nothing without the secret; it may be gone itself. */
static void
release_there(struct recovery *recovery, const char *host)
{
	struct why why;

	if (reach(recovery, &why) < 0 || forget_there(recovery, false, &why) < 0)
		progress_note(&recovery->migrator->progress,
			      "%s could not be told to forget its copy: %s", host, why.text);
}

/* It never left; what was only offered to the other host, that one need not wait for. */
static int
lives_here(struct recovery *recovery, struct why *why)
{
	const char *host = recovery->migrator->options->host;

	(void)why;
	if (host)
		release_there(recovery, host);
	return told(recovery, "lives on this host; there is nothing to recover");
}

static int
not_known(struct recovery *recovery, struct why *why)
{
	return why_set(why, -ENOENT, "vTPM %s is not known on this host", recovery->uuid);
}

/* Nothing was committed: this host may take it back by itself. */
static int
take_back(struct recovery *recovery, struct why *why)
{
	int rc = ask_here(recovery, VTPM_ORD_ABORT, why);

	if (rc < 0)
		return rc;
	release_there(recovery, recovery->here.peer);
	return told(recovery, "is back on this host, as it was: nothing had been committed");
}

/* The other host has a copy and waits for the secret. */
static int
hand_over(struct recovery *recovery, struct why *why)
{
	struct move move = { .migrator = recovery->migrator,
			     .vtpm = recovery->vtpm,
			     .fence = recovery->here.fence,
			     .committed = true,
			     .started = progress_now(),
			     .downtime = -1 };

	memcpy(move.uuid, recovery->uuid, sizeof(move.uuid));
	int rc = move_hand_over(&move, why);
	move_free(&move);
	return rc;
}

/* The other host has nothing that could run, and promises that it never will. */
static int
undo(struct recovery *recovery, struct why *why)
{
	int rc = forget_there(recovery, true, why);

	if (rc == 0)
		rc = ask_here(recovery, VTPM_ORD_UNDO, why);
	return rc < 0
		   ? rc
		   : told(recovery, "is back on this host, as it was when it left: the other one "
				    "does not have it");
}

/*
 * The other host has promised before that it never ran it, or the operator says that the state
 * with which it left is to come back, whatever has become of it there.
 */
static int
lost_there(struct recovery *recovery, const struct standing *there, struct why *why)
{
	const char *host = remote_host(recovery->migrator->remote);
	bool promised = there->state == VTPM_MIGRATION_NONE && there->fence == recovery->here.fence;

	if (promised || recovery->migrator->options->force)
		return undo(recovery, why);
	if (there->state == VTPM_MIGRATION_HERE)
		return why_set(why, -EEXIST,
			       "%s has a vTPM %s, which its QEMU has brought there or which is "
			       "another one. Nothing was changed; if that is not wanted, 'vtpmctl "
			       "delete' it there first",
			       host, recovery->uuid);
	return why_set(why, -ENOENT,
		       "%s does not have vTPM %s (any more): it was deleted there, or that host "
		       "has lost its store. It may have run there, so what is here may be old. "
		       "Nothing was changed; '--recover %s --force' takes it back as it left, "
		       "'vtpmctl delete %u' gives it up",
		       host, recovery->uuid, recovery->uuid, recovery->vtpm.instance);
}

static int
left_this_host(struct recovery *recovery, struct why *why)
{
	struct migrator *migrator = recovery->migrator;
	struct standing there;
	int rc = reach(recovery, why);

	if (rc == 0)
		rc = migrator_standing_there(migrator, recovery->vtpm.uuid, &there, why);
	if (rc < 0)
		return why_set(
		    why, rc,
		    "vTPM %s has left for %s, which alone can tell what became of it: %s. "
		    "Nothing was changed; see --host, if it is to be asked elsewhere",
		    recovery->uuid, recovery->here.peer, why->text);
	const char *host = remote_host(migrator->remote);
	bool newer = there.fence >= recovery->here.fence;
	if (newer && there.state == VTPM_MIGRATION_PREPARED)
		return hand_over(recovery, why);
	if (newer &&
	    (there.state == VTPM_MIGRATION_HERE || there.state == VTPM_MIGRATION_OUTGOING)) {
		progress_note(&migrator->progress,
			      "vTPM %s lives on %s; there is nothing to recover", recovery->uuid,
			      host);
		return 0;
	}
	if (newer && there.state == VTPM_MIGRATION_MIGRATED && there.fence > recovery->here.fence) {
		progress_note(&migrator->progress,
			      "vTPM %s has moved on from %s to %s; there is "
			      "nothing to recover",
			      recovery->uuid, host, there.peer);
		return 0;
	}
	return lost_there(recovery, &there, why);
}

/* Somebody offered it, and nothing came. It may have left here before, and not have arrived. */
static int
drop_offer(struct recovery *recovery, struct why *why)
{
	int rc = forget_here(recovery, why);

	if (rc == 0)
		rc = migrator_standing_here(recovery->migrator, recovery->vtpm.uuid,
					    &recovery->here, why);
	if (rc < 0)
		return rc;
	if (recovery->here.state == VTPM_MIGRATION_MIGRATED)
		return left_this_host(recovery, why);
	return told(recovery, "never came; its place here is free again");
}

static int
activate_here(struct recovery *recovery, struct reader secret, struct why *why)
{
	uint8_t buf[VTPM_UUID_SIZE + 8 + VTPM_SECRET_SIZE];
	struct writer params = writer_of(buf, sizeof(buf));
	struct reader answer;

	writer_bytes(&params, recovery->vtpm.uuid, VTPM_UUID_SIZE);
	writer_u64(&params, recovery->here.fence);
	writer_bytes(&params, secret.pos, secret.left);
	int rc = migrator_here(recovery->migrator, VTPM_ORD_ACTIVATE, &params, &answer, NULL, why);
	return rc < 0 ? rc : told(recovery, "has come to this host for good");
}

/* A copy is here: whether it is the vTPM, its source knows. */
static int
ask_source(struct recovery *recovery, struct why *why)
{
	struct migrator *migrator = recovery->migrator;
	char name[HOST_NAME_SIZE], address[HOST_ADDRESS_SIZE];
	struct standing there;
	struct reader answer;
	uint32_t status = VTPM_SUCCESS;

	int rc = reach(recovery, why);
	if (rc == 0)
		rc = migrator_standing_there(migrator, recovery->vtpm.uuid, &there, why);
	if (rc < 0)
		return why_set(
		    why, rc,
		    "vTPM %s came from %s, which alone can tell whether it is to run here: "
		    "%s. Nothing was changed; see --host, if it is to be asked elsewhere",
		    recovery->uuid, recovery->here.peer, why->text);
	/* The source tells its secret to the host that it sent it to, by the name it has for that.
	 */
	if (host_split(there.peer, name, address))
		remote_rename(migrator->remote, name);
	rc = resolve_there(recovery, &answer, &status, why);
	if (rc == 0)
		return activate_here(recovery, answer, why);
	if (rc != -EREMOTEIO || status != VTPM_FORBIDDEN)
		return rc;
	struct why refused = *why;
	rc = migrator_standing_there(migrator, recovery->vtpm.uuid, &there, why);
	if (rc < 0)
		return rc;
	/* It was refused to us, not taken back. */
	if (there.fence == recovery->here.fence &&
	    (there.state == VTPM_MIGRATION_OUTGOING || there.state == VTPM_MIGRATION_MIGRATED))
		return why_set(why, -EACCES, "%s. Nothing was changed", refused.text);
	rc = forget_here(recovery, why);
	return rc < 0 ? rc
		      : told(recovery, "stays on the host it came from: nothing had been "
				       "committed; the copy here is gone");
}

int
form_recover(struct migrator *migrator, const char *vtpm, struct why *why)
{
	static int (*const by_state[])(struct recovery * recovery, struct why * why) = {
		[VTPM_MIGRATION_NONE] = not_known,     [VTPM_MIGRATION_HERE] = lives_here,
		[VTPM_MIGRATION_OUTGOING] = take_back, [VTPM_MIGRATION_MIGRATED] = left_this_host,
		[VTPM_MIGRATION_OFFERED] = drop_offer, [VTPM_MIGRATION_PREPARED] = ask_source,
	};
	struct recovery recovery = { .migrator = migrator };

	int rc = migrator_find(migrator, vtpm, &recovery.vtpm, why);
	if (rc < 0)
		return rc;
	uuid_format(recovery.uuid, recovery.vtpm.uuid);
	rc = migrator_standing_here(migrator, recovery.vtpm.uuid, &recovery.here, why);
	return rc < 0 ? rc : by_state[recovery.here.state](&recovery, why);
}
