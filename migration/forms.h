/*
 * forms.h - what vtpm_migrator can be asked to do. Each returns 0 or a negative errno, with *why
 * for what has not been told yet (an empty *why: all has).
 */
#ifndef MIGRATION_FORMS_H
#define MIGRATION_FORMS_H

#include "migration/domains.h"
#include "migration/migrator.h"

/* form_alone: a vTPM without a domain. */
int form_alone(struct migrator *migrator, const char *vtpm, const char *host, struct why *why);

/* form_domain: a domain, by name or number, with its vTPMs, around xl migrate. */
int form_domain(struct migrator *migrator, const char *name, const char *host, struct why *why);

/* form_all: all that may leave. */
int form_all(struct migrator *migrator, const char *host, struct why *why);

/* form_recover: brings an interrupted migration of a vTPM to its end, on whichever of the two
 * hosts.
 */
int form_recover(struct migrator *migrator, const char *vtpm, struct why *why);

/* form_original: one step (0 to 3) as the original's scripts ask for it. */
int form_original(struct migrator *migrator, const char *host, const char *domain,
		  const char *instance, const char *step, struct why *why);

/* form_domains: what tells about domains, opened when first used. */
int form_domains(struct migrator *migrator, struct domains **domains, struct why *why);

/* form_move_domain: as form_domain, of a domain that was found. */
int form_move_domain(struct migrator *migrator, const struct domain *domain, const char *host,
		     struct why *why);

#endif
