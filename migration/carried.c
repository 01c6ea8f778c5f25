#include "migration/carried.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include <vtpm/manager.h>

enum { RETRY_MS = 100 };

/* Whether QEMU can bring it back to life there; what it brings must not be older, says vtpmd. */
static int
check_there(struct migrator *migrator, const char *uuid, const struct standing *there,
	    struct why *why)
{
	const char *host = remote_host(migrator->remote);

	switch (there->state) {
	case VTPM_MIGRATION_HERE:
		return 0;
	case VTPM_MIGRATION_NONE:
		if (there->fence == 0)
			return why_set(why, -ENOENT,
				       "%s does not know it, and its QEMU would not find it: "
				       "'vtpmctl define %s --type hvm' there first",
				       host, uuid);
		break;
	case VTPM_MIGRATION_MIGRATED:
		break;
	default:
		return why_set(why, -EBUSY,
			       "another migration of it is under way at %s; 'vtpm_migrator "
			       "--recover %s' there brings that to an end",
			       host, uuid);
	}
	return why_set(why, -EEXIST,
		       "%s still notes that it left there for %s: 'vtpmctl delete %s' and 'vtpmctl "
		       "define %s --type hvm' there first",
		       host, there->peer, uuid, uuid);
}

int
carried_begin(struct migrator *migrator, const char *text, struct info *vtpm, struct why *why)
{
	char uuid[VTPM_UUID_TEXT_SIZE];
	struct standing there;

	int rc = migrator_find(migrator, text, vtpm, why);
	if (rc < 0)
		return rc;
	uuid_format(uuid, vtpm->uuid);
	if (vtpm->migration == VTPM_TYPE_NON_MIGRATABLE)
		return why_set(why, -EPERM,
			       "it was defined with --no-migrate: it does not leave this host");
	if (migrator->options->require_pcrs)
		return why_set(why, -EPERM,
			       "its state travels with its QEMU, not encrypted to a chip that "
			       "shows its PCRs: it cannot move with --require-pcrs");
	rc = migrator_standing_there(migrator, vtpm->uuid, &there, why);
	return rc < 0 ? rc : check_there(migrator, uuid, &there, why);
}

/* The end of its QEMU ends it, which may take a moment. */
static int
has_left(struct migrator *migrator, const struct info *vtpm, struct why *why)
{
	const char *host = remote_host(migrator->remote);
	uint8_t buf[4 + 4 + MIGRATOR_PEER_SIZE];
	struct writer params = writer_of(buf, sizeof(buf));
	int64_t deadline = progress_now() + migrator->options->remote.seconds * 1000;
	struct reader answer;

	writer_u32(&params, vtpm->instance);
	writer_sized(&params, host, strlen(host));
	for (;;) {
		int rc = migrator_here(migrator, VTPM_ORD_LEFT, &params, &answer, NULL, why);

		if (rc != -EREMOTEIO || progress_now() >= deadline)
			return rc;
		poll(NULL, 0, RETRY_MS);
	}
}

int
carried_end(struct migrator *migrator, const struct info *vtpm, struct why *why)
{
	const char *host = remote_host(migrator->remote);
	char uuid[VTPM_UUID_TEXT_SIZE];

	uuid_format(uuid, vtpm->uuid);
	int rc = has_left(migrator, vtpm, why);
	if (rc < 0)
		return why_set(why, rc,
			       "%s. The domain has moved, and vTPM %s with it: 'vtpmctl delete %u' "
			       "here, so that its old state is not used",
			       why->text, uuid, vtpm->instance);
	progress_note(&migrator->progress, "vTPM %s went with its QEMU to %s", uuid, host);
	return 0;
}
