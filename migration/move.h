/*
 * move.h - the way of one vTPM to another host, step by step (vtpm/migration.h).
 */
#ifndef MIGRATION_MOVE_H
#define MIGRATION_MOVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vtpm/info.h>
#include <vtpm/migration.h>

#include "migration/domains.h"
#include "migration/migrator.h"

enum move_step {
	MOVE_KEY,      /* a session key for the other host */
	MOVE_OFFER,    /* a place there */
	MOVE_PREPARE,  /* frozen here */
	MOVE_TRANSFER, /* a copy there that may not run */
	MOVE_COMMIT,   /* gone from here */
	MOVE_ACTIVATE, /* runs there */
	MOVE_CHECK,    /* says so */
	MOVE_STEPS,
};

struct move {
	struct migrator *migrator;
	struct info vtpm;
	char uuid[VTPM_UUID_TEXT_SIZE];
	char domain[DOMAIN_NAME_SIZE]; /* for messages; "-" if it has none */
	uint64_t fence;                /* of this migration */
	uint32_t there;                /* its number on the other host */
	bool offered;                  /* something of it may be there */
	bool frozen;                   /* the source's manager may hold it OUTGOING */
	bool committed;
	bool came_back; /* a commit failed since the guest used it here */
	uint8_t *envelope;
	size_t envelope_len;
	uint8_t secret[VTPM_SECRET_SIZE];
	int64_t started;
	int64_t freeze; /* when */
	bool ran;       /* at the freeze, so that there is a downtime to tell */
	int64_t downtime;
};

/*
 * move_begin: looks whether the vTPM may leave for the chosen host. An interrupted migration to the
 * same host is taken up again, one to another host is undone. Returns 0 or a negative errno, with
 * *why. The caller ends it with move_free, in any case.
 */
int move_begin(struct move *move, struct migrator *migrator, const struct info *vtpm,
	       const char *domain, struct why *why);
void move_free(struct move *move);

/* move_again: as move_begin, for a move whose guest came back in between. */
int move_again(struct move *move, struct why *why);

/* move_run: the steps from first to last. Stops before a step when the user interrupts, as long as
 * nothing is committed: -EINTR. */
int move_run(struct move *move, enum move_step first, enum move_step last, struct why *why);

/*
 * move_keep_place: offers it once more, without a word: the other host gives up a place of which it
 * has heard nothing for long.
 */
int move_keep_place(struct move *move, struct why *why);

/*
 * move_back: after a failure, as long as it is not committed: it runs here again, and the other
 * host forgets it. Returns 0; or a negative errno when it stays frozen here, with *why.
 */
int move_back(struct move *move, struct why *why);

/* move_await: whether its guest already wants it on the other host; waits up to ms for that. */
int move_await(struct move *move, unsigned ms, bool *needed, struct why *why);

/* move_whole: all of it, for a vTPM without a domain: what is not committed is undone on failure.
 */
int move_whole(struct move *move, struct why *why);

/* move_hand_over: COMMIT and what follows, and says so. Needs no more than the copy there. */
int move_hand_over(struct move *move, struct why *why);

#endif
