#include "migration/forms.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "migration/move.h"

/* Step 0: is migration supported? */
static int
supported(struct move *move, struct why *why)
{
	(void)move;
	(void)why;
	puts("0");
	return 0;
}

/* Step 1: the other host's key, and a place there. */
static int
fetch_key(struct move *move, struct why *why)
{
	return move_run(move, MOVE_KEY, MOVE_OFFER, why);
}

/* Step 2: the state, which leaves the source frozen until step 3. */
static int
send_state(struct move *move, struct why *why)
{
	struct why ignored;
	int rc = move_run(move, MOVE_KEY, MOVE_TRANSFER, why);

	if (rc < 0)
		move_back(move, &ignored);
	return rc;
}

/* Step 3: did it complete? Now it does. */
static int
complete(struct move *move, struct why *why)
{
	return move_hand_over(move, why);
}

/* Step 3 of one that is through already. */
static int
is_there(struct migrator *migrator, const struct info *info, struct why *why)
{
	struct standing here;
	struct standing there;

	int rc = migrator_standing_here(migrator, info->uuid, &here, why);
	if (rc == 0 && here.state != VTPM_MIGRATION_MIGRATED)
		return why_set(why, -EINPROGRESS, "step 2 has not been done");
	if (rc == 0)
		rc = migrator_standing_there(migrator, info->uuid, &there, why);
	if (rc == 0 && (there.state != VTPM_MIGRATION_HERE || there.fence < here.fence))
		rc = why_set(why, -EINPROGRESS,
			     "it has not arrived; 'vtpm_migrator --recover' "
			     "brings it to an end");
	return rc;
}

int
form_original(struct migrator *migrator, const char *host, const char *domain, const char *instance,
	      const char *step, struct why *why)
{
	static int (*const steps[])(struct move * move, struct why * why) = {
		supported,
		fetch_key,
		send_state,
		complete,
	};
	struct info info;
	struct move move;
	struct why reason;

	if (strlen(step) != 1 || step[0] < '0' || step[0] > '3')
		return why_set(why, -EINVAL, "step '%s': there are 0, 1, 2 and 3", step);
	unsigned number = (unsigned)(step[0] - '0');
	if (number == 0)
		return supported(NULL, why);
	migrator->progress.style = PROGRESS_QUIET;
	int rc = migrator_find(migrator, instance, &info, why);
	if (rc == 0)
		rc = migrator_reach(migrator, host, why);
	if (rc < 0)
		return rc;
	rc = move_begin(&move, migrator, &info, domain, &reason);
	if (number == 3 && (rc < 0 || !move.frozen))
		rc = is_there(migrator, &info, &reason);
	else if (rc == 0)
		rc = steps[number](&move, &reason);
	move_free(&move);
	return rc < 0 ? why_set(why, rc, "vTPM %s, step %s: %s", instance, step, reason.text) : 0;
}
