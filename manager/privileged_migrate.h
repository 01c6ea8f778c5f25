/*
 * privileged_migrate.h - what the files privileged_migrate*.c share: the steps of a migration
 * (vtpm/migration.h), privileged_migrate_out.c on the source, privileged_migrate_in.c and
 * privileged_migrate_settle.c on the destination.
 *
 * Every decision is a change of the store's entry, made in the console's thread: two requests that
 * contradict each other are decided one after the other, durably. What runs follows from the entry.
 *
 * Of the request, entry.uuid, entry.fence and entry.peer (the other host, "" for this one's own
 * tools) hold the parameters of those names.
 */
#ifndef MANAGER_PRIVILEGED_MIGRATE_H
#define MANAGER_PRIVILEGED_MIGRATE_H

#include <vtpm/info.h>
#include <vtpm/migration.h>

#include "manager/privileged.h"

/* So that no peer can make it wrap. */
#define MIGRATE_FENCE_MAX (UINT64_MAX / 2)

/* migrate_take_name: a sized name of printable characters; false if it is none. */
bool migrate_take_name(struct reader *r, char name[STORE_PEER_MAX]);

/*
 * migrate_take_peer: reads the peer's name, if there is one, at the end of the parameters. False
 * after having refused what is too short, too long, or no name.
 */
bool migrate_take_peer(struct request *request);

/* migrate_take_vtpm: uuid and fence. */
void migrate_take_vtpm(struct request *request);

/* Same host? The name without port that an operator typed, and the one that was authenticated. */
bool migrate_same_host(const char *peer, const char *authenticated);

/* migrate_is_foreign: whether another host than the one that it comes from speaks of it. */
bool migrate_is_foreign(const struct request *request, const struct store_instance *known);

/* migrate_is_here: whether it lives on this host and is not on its way. */
bool migrate_is_here(const struct store_instance *known);

/*
 * migrate_find, migrate_find_uuid: the store's entry of the request's instance, or uuid, in *known,
 * its number in request->entry.id; false after having refused the request.
 */
bool migrate_find(struct request *request, struct store_instance *known);
bool migrate_find_uuid(struct request *request, struct store_instance *known);

/* migrate_update: makes a changed entry durable; false after having refused the request. */
bool migrate_update(struct request *request, const struct store_instance *known);

/*
 * migrate_take_back: makes it durable that it lives here (again): it may run. False after having
 * refused the request. Followed by migrate_settle_there.
 */
bool migrate_take_back(struct request *request, struct store_instance *known);

/*
 * migrate_unwant: the guest for which an instance was opened that is on its way here is gone.
 * False after having refused the request.
 */
bool migrate_unwant(struct request *request);

/* migrate_settle_there: the instance follows its entry: runs, if it is to; ends the request. */
void migrate_settle_there(struct request *request);

/* migrate_secret: the secret of a migration, VTPM_SECRET_SIZE bytes. 0 or -ENOMEM. */
int migrate_secret(struct store *store, const struct store_instance *known, uint8_t *secret);

/*
 * migrate_unwrap: has the chip decrypt a session key, unless it is known already, and goes on with
 * step, request->key being the key; or refuses the request. sealed is part of the parameters.
 */
void migrate_unwrap(struct request *request, struct reader sealed,
		    void (*step)(struct request *request));

/* migrate_text: "vTPM UUID (instance N)"; returns text. */
enum { MIGRATE_TEXT_SIZE = VTPM_UUID_TEXT_SIZE + 32 };
const char *migrate_text(const struct store_instance *known, char text[MIGRATE_TEXT_SIZE]);

#endif
