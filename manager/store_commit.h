/*
 * store_commit.h - changes of the store on their way to the disk, for store.c.
 */
#ifndef MANAGER_STORE_COMMIT_H
#define MANAGER_STORE_COMMIT_H

#include "manager/store_internal.h"

enum change_kind {
	CHANGE_DEFINE,
	CHANGE_UPDATE,
	CHANGE_NVM,
	CHANGE_RECOVER,
	CHANGE_DELETE,
	CHANGE_HOST,
	CHANGE_SEAL,
};

struct change {
	struct change *next;
	enum change_kind kind;
	uint32_t id;
	struct entry entry; /* what is wanted, then what is recorded */
	uint8_t *data;      /* NVM, host record or seal */
	size_t len;
	uint8_t *image; /* the NVM file, for the log */
	size_t image_len;
	int error;
	bool finished;                      /* for commit_wait */
	void (*done)(void *ctx, int error); /* NULL: somebody waits */
	void *ctx;
};

/*
 * What the committer does with a change, in this order. change_prepare finds out what exactly is to
 * be recorded, writes files (not flushed) and returns change->error; change_record writes the
 * record for the log, if the change has one; when that is durable, change_apply makes it visible,
 * under the lock, and change_settle does what may come after. The latter two cannot fail.
 */
int change_prepare(struct store *store, struct change *change);
void change_record(const struct change *change, struct writer *w);
void change_apply(struct store *store, struct change *change);
void change_settle(struct store *store, struct change *change);

/* change_is_shared: whether it may be committed together with changes of other instances. */
bool change_is_shared(const struct change *change);

/* change_name: "saved", "defined" and so on, for messages. */
const char *change_name(const struct change *change);

/* commit_start, commit_stop: the thread. Stopping waits for all that was submitted. */
int commit_start(struct store *store);
void commit_stop(struct store *store);

/* change_new: a change of a copy of data (NULL: none). NULL when memory is short. */
struct change *change_new(enum change_kind kind, uint32_t id, const uint8_t *data, size_t len);
void change_free(struct change *change);

/*
 * commit_submit: queues a change. One with a callback belongs to the committer from now on; one
 * without is waited for with commit_wait, which returns its error, and freed by the caller.
 */
void commit_submit(struct store *store, struct change *change);
int commit_wait(struct store *store, struct change *change);

#endif
