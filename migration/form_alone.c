#include "migration/forms.h"

#include <errno.h>

#include "migration/move.h"

/* A guest that runs would lose its TPM. One that is suspended is being migrated by other means. */
static int
check_unused(struct migrator *migrator, const struct info *info, struct why *why)
{
	struct domains *domains;
	struct domain domain;
	struct why no_xen;

	if (form_domains(migrator, &domains, &no_xen) < 0 ||
	    domains_owner(domains, info->uuid, &domain) < 0 ||
	    domains_state(domains, domain.id) != DOMAINS_RUNNING)
		return 0;
	return why_set(why, -EBUSY,
		       "domain %s is running and has it: 'vtpm_migrator %s HOST' moves both, 'xl "
		       "vtpm-detach' takes it away from there",
		       domain.name, domain.name);
}

int
form_alone(struct migrator *migrator, const char *vtpm, const char *host, struct why *why)
{
	struct info info;
	struct move move;

	int rc = migrator_find(migrator, vtpm, &info, why);
	if (rc == 0)
		rc = check_unused(migrator, &info, why);
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
