#include "migration/forms.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vtpm/manager.h>

#include "migration/move.h"

/* What is to be moved, as the list was at the beginning. */
struct list {
	struct info *items;
	unsigned count;
};

static int
list_add(struct list *list, const struct info *info)
{
	/* Room for twice as many at each power of two. */
	if ((list->count & (list->count - 1)) == 0) {
		size_t room = list->count ? (size_t)list->count * 2 : 1;
		struct info *items = reallocarray(list->items, room, sizeof(*items));

		if (!items)
			return -ENOMEM;
		list->items = items;
	}
	list->items[list->count++] = *info;
	return 0;
}

static int
list_all(struct migrator *migrator, struct list *list, struct why *why)
{
	struct info info = { 0 };
	int rc;

	while ((rc = migrator_next(migrator, info.instance, &info, why)) == 0) {
		if (info.migration == VTPM_TYPE_MIGRATABLE && list_add(list, &info) < 0)
			return why_set(why, -ENOMEM, "out of memory");
	}
	return rc == -ENOENT ? 0 : rc;
}

/* Whether another vTPM of its domain, before it, has taken it along already. */
static bool
went_along(struct migrator *migrator, const struct info *info)
{
	struct standing standing;
	struct why ignored;

	return migrator_standing_here(migrator, info->uuid, &standing, &ignored) == 0 &&
	       standing.state == VTPM_MIGRATION_MIGRATED;
}

static int
move_one(struct migrator *migrator, const struct info *info, const char *host, struct why *why)
{
	struct domains *domains;
	struct domain domain;
	struct why no_xen;
	struct move move;

	if (form_domains(migrator, &domains, &no_xen) == 0 &&
	    domains_owner(domains, info->uuid, &domain) == 0)
		return went_along(migrator, info) ? 0
						  : form_move_domain(migrator, &domain, host, why);
	int rc = move_begin(&move, migrator, info, NULL, why);
	if (rc == 0)
		rc = move_whole(&move, why);
	move_free(&move);
	return rc;
}

/* The failed ones once more, where nobody has to look for them. */
static void
tell_failed(struct migrator *migrator, const struct list *failed)
{
	char uuid[VTPM_UUID_TEXT_SIZE];

	if (migrator->progress.style == PROGRESS_JSON)
		return;
	for (unsigned i = 0; i < failed->count; i++) {
		uuid_format(uuid, failed->items[i].uuid);
		progress_note(&migrator->progress, "failed: %s", uuid);
	}
}

int
form_all(struct migrator *migrator, const char *host, struct why *why)
{
	struct list list = { 0 };
	struct list failed = { 0 };
	int64_t started = progress_now();

	int rc = list_all(migrator, &list, why);
	if (rc == 0)
		rc = migrator_reach(migrator, host, why);
	migrator->progress.items = list.count;
	unsigned i;
	for (i = 0; rc == 0 && i < list.count && !migrator->interrupted; i++) {
		char uuid[VTPM_UUID_TEXT_SIZE];
		struct why reason;

		migrator->progress.item = i + 1;
		if (move_one(migrator, &list.items[i], host, &reason) < 0) {
			uuid_format(uuid, list.items[i].uuid);
			progress_failed(&migrator->progress, uuid, reason.text);
			list_add(&failed, &list.items[i]);
		}
	}
	if (rc == 0) {
		progress_total(&migrator->progress, i - failed.count, failed.count,
			       progress_now() - started);
		tell_failed(migrator, &failed);
		if (migrator->interrupted)
			rc = why_set(why, -EINTR, "interrupted; %u were not tried", list.count - i);
		else if (failed.count > 0)
			rc = -ECANCELED;
	}
	free(list.items);
	free(failed.items);
	return rc;
}
