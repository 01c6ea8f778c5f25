#include "migration/forms.h"

#include "migration/host_name.h"
#include "migration/move.h"

int
form_alone(struct migrator *migrator, const char *vtpm, const char *host, struct why *why)
{
	struct info info;
	struct move move;

	int rc = migrator_find(migrator, vtpm, &info, why);
	if (rc == 0)
		rc = migrator_reach(migrator, host, why);
	if (rc < 0)
		return rc;
	rc = move_begin(&move, migrator, &info, NULL, why);
	if (rc == 0)
		rc = move_whole(&move, why);
	if (rc < 0) {
		progress_failed(&migrator->progress, move.uuid, why->text);
		why->text[0] = '\0';
	}
	move_free(&move);
	return rc;
}
