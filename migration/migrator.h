/*
 * migrator.h - one run of vtpm_migrator: its own manager, the other host, and what both say.
 */
#ifndef MIGRATION_MIGRATOR_H
#define MIGRATION_MIGRATOR_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include <vtpm/info.h>
#include <vtpm/migration.h>

#include "migration/own_manager.h"
#include "migration/migrator_options.h"
#include "migration/progress.h"
#include "migration/remote.h"
#include "migration/why.h"

enum { MIGRATOR_PEER_SIZE = 256 };

struct domains;

struct migrator {
	const struct migrator_options *options;
	struct event_base *base;
	struct own_manager own;
	struct remote *remote;   /* NULL until a host is chosen */
	struct domains *domains; /* NULL until they are asked for */
	struct progress progress;
	struct event *signals[2];
	bool interrupted;
	bool met_manager;

	/* A session key for the other host, encrypted to its chip; see VTPM_ORD_LOAD_MIG_KEY. */
	uint8_t *session;
	size_t session_len;
};

/* A vTPM as one of the two hosts knows it. */
struct standing {
	enum vtpm_migration_state state;
	uint64_t fence;
	char peer[MIGRATOR_PEER_SIZE]; /* the other host's name */
	uint64_t since;                /* seconds since 1970 */
};

/* migrator_init, migrator_free: 0 or a negative errno, with *why. */
int migrator_init(struct migrator *migrator, const struct migrator_options *options,
		  struct why *why);
void migrator_free(struct migrator *migrator);

/* migrator_reach: chooses the other host; connects at the first request. */
int migrator_reach(struct migrator *migrator, const char *host, struct why *why);

/* migrator_here, migrator_there: one request to the own manager or to the other host's, as
 * own_manager_call and remote_call, the first repeated while the manager restarts. */
int migrator_here(struct migrator *migrator, uint32_t ordinal, const struct writer *params,
		  struct reader *answer, uint32_t *status, struct why *why);
int migrator_there(struct migrator *migrator, uint32_t ordinal, const struct writer *params,
		   struct reader *answer, uint32_t *status, struct why *why);

/* migrator_standing_here, _there: what a host says about a vTPM. */
int migrator_standing_here(struct migrator *migrator, const uint8_t uuid[VTPM_UUID_SIZE],
			   struct standing *standing, struct why *why);
int migrator_standing_there(struct migrator *migrator, const uint8_t uuid[VTPM_UUID_SIZE],
			    struct standing *standing, struct why *why);

/* migrator_forget_there: FORGET: the other host gives up place and copy of a migration. */
int migrator_forget_there(struct migrator *migrator, const uint8_t uuid[VTPM_UUID_SIZE],
			  uint64_t fence, bool committed, struct why *why);

/*
 * migrator_find: the vTPM on this host that text names: uuid, instance number, or the name of a
 * domain that has had it (vtpm.db). A name with several vTPMs is refused.
 */
int migrator_find(struct migrator *migrator, const char *text, struct info *info, struct why *why);

/* migrator_next: the record of the instance with the next higher number than after; -ENOENT when
 * there is none. */
int migrator_next(struct migrator *migrator, uint32_t after, struct info *info, struct why *why);

#endif
