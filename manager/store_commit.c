#include "manager/store_commit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vtpm/log.h>

/* What to say beside an error that the operator can do something about. */
static const char *
way_out(int error)
{
	switch (-error) {
	case ENOSPC:
	case EDQUOT:
		return "; make room there, the next save goes on from here";
	case EROFS:
		return "; mount it read/write, the next save goes on from here";
	case EMFILE:
	case ENFILE:
		return "; raise the limit of open files (LimitNOFILE=)";
	case EIO:
		return "; check the disk";
	default:
		return "";
	}
}

/* Room for the records of a batch. */
static size_t
batch_size(const struct change *batch)
{
	size_t size = 0;

	for (const struct change *c = batch; c; c = c->next)
		size += STORE_ENTRY_MAX + 16 + (c->image ? c->image_len : c->len);
	return size;
}

/* Puts all changes of a batch that are still good into one frame of the log. */
static void
batch_record(struct store *store, struct change *batch)
{
	size_t size = batch_size(batch);
	uint8_t *records = malloc(size);
	struct writer w = writer_of(records, records ? size : 0);
	bool doubtful = false;
	int error = records ? 0 : -ENOMEM;

	for (struct change *c = batch; c; c = c->next) {
		if (c->error == 0)
			change_record(c, &w);
	}
	if (error == 0 && w.len > 0)
		error = w.failed ? -EMSGSIZE : log_append(store, records, w.len, &doubtful);
	for (struct change *c = batch; error < 0 && c; c = c->next) {
		if (c->error == 0 && c->image && !doubtful)
			nvm_discard(store, &c->entry);
		if (c->error == 0)
			c->error = error;
	}
	crypt_free(records, size);
}

static void
batch_report(struct store *store, const struct change *batch)
{
	for (const struct change *c = batch; c; c = c->next) {
		char what[32] = "the host's own record";

		if (c->error == 0 || c->error == -EALREADY || c->error == -ENOENT ||
		    c->error == -EEXIST || c->error == -EUCLEAN)
			continue;
		if (c->id != 0)
			snprintf(what, sizeof(what), "instance %u", c->id);
		log_error("%s could not be %s in %s: %s%s; the last durable state stays valid",
			  what, change_name(c), store->dir, strerror(-c->error), way_out(c->error));
	}
}

static void
batch_commit(struct store *store, struct change *batch)
{
	for (struct change *c = batch; c; c = c->next)
		change_prepare(store, c);
	batch_record(store, batch);

	pthread_mutex_lock(&store->lock);
	for (struct change *c = batch; c; c = c->next) {
		if (c->error == 0)
			change_apply(store, c);
	}
	pthread_mutex_unlock(&store->lock);

	for (struct change *c = batch; c; c = c->next) {
		if (c->error == 0)
			change_settle(store, c);
	}
	if (store->log.len > STORE_LOG_COMPACT)
		log_snapshot(store);
	batch_report(store, batch);
}

static bool
batch_has(const struct change *batch, uint32_t id)
{
	for (; batch; batch = batch->next) {
		if (batch->id == id)
			return true;
	}
	return false;
}

/*
 * Takes from the queue what can share a flush: changes to different instances, in order; any other
 * change goes alone.
 */
static struct change *
batch_take(struct store *store)
{
	struct change *batch = NULL;
	struct change **end = &batch;
	size_t bytes = 0;

	for (unsigned n = 0; store->first && n < STORE_BATCH_MAX; n++) {
		struct change *change = store->first;
		bool shared = change_is_shared(change);

		bytes += change->len;
		if (n > 0 && (!shared || bytes > STORE_BATCH_BYTES || batch_has(batch, change->id)))
			break;
		store->first = change->next;
		change->next = NULL;
		*end = change;
		end = &change->next;
		if (!shared)
			break;
	}
	if (!store->first)
		store->end = &store->first;
	return batch;
}

/* Tells whoever asked. A change with a callback is the committer's to free. */
static void
batch_finish(struct store *store, struct change *batch)
{
	struct change *next;

	for (; batch; batch = next) {
		next = batch->next;
		if (batch->done) {
			batch->done(batch->ctx, batch->error);
			change_free(batch);
			continue;
		}
		pthread_mutex_lock(&store->lock);
		batch->finished = true;
		pthread_cond_broadcast(&store->finished);
		pthread_mutex_unlock(&store->lock);
	}
}

static void *
commit_loop(void *arg)
{
	struct store *store = arg;

	for (;;) {
		pthread_mutex_lock(&store->lock);
		while (!store->first && !store->stop)
			pthread_cond_wait(&store->wake, &store->lock);
		struct change *batch = batch_take(store);
		pthread_mutex_unlock(&store->lock);
		if (!batch)
			return NULL;
		batch_commit(store, batch);
		batch_finish(store, batch);
	}
}

int
commit_start(struct store *store)
{
	store->end = &store->first;
	int error = pthread_create(&store->committer, NULL, commit_loop, store);

	if (error)
		return -error;
	pthread_setname_np(store->committer, "store");
	store->committing = true;
	return 0;
}

void
commit_stop(struct store *store)
{
	if (!store->committing)
		return;
	pthread_mutex_lock(&store->lock);
	store->stop = true;
	pthread_cond_signal(&store->wake);
	pthread_mutex_unlock(&store->lock);
	pthread_join(store->committer, NULL);
	store->committing = false;
}

void
commit_submit(struct store *store, struct change *change)
{
	pthread_mutex_lock(&store->lock);
	*store->end = change;
	store->end = &change->next;
	pthread_cond_signal(&store->wake);
	pthread_mutex_unlock(&store->lock);
}

int
commit_wait(struct store *store, struct change *change)
{
	pthread_mutex_lock(&store->lock);
	while (!change->finished)
		pthread_cond_wait(&store->finished, &store->lock);
	pthread_mutex_unlock(&store->lock);
	return change->error;
}
