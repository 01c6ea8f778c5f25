#include "manager/store_commit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

/* Copies the present entry. */
static int
entry_copy(struct store *store, uint32_t id, struct entry *out)
{
	pthread_mutex_lock(&store->lock);
	const struct entry *entry = table_find(store, id);

	if (entry)
		*out = *entry;
	pthread_mutex_unlock(&store->lock);
	return entry ? 0 : -ENOENT;
}

/* The number of a new instance: the wanted one, or the lowest that is free. */
static int
choose_number(struct store *store, uint32_t *id)
{
	uint32_t wanted = *id;
	uint32_t candidate = wanted ? wanted : table_lowest_free(store, 1);

	while (!wanted && candidate != 0 && nvm_exists(store, candidate))
		candidate = table_lowest_free(store, candidate + 1);
	if (candidate == 0)
		return -ENOSPC;
	if (wanted && table_find(store, wanted))
		return -EEXIST;
	if (wanted && nvm_exists(store, wanted)) {
		log_error(
		    "instance %u cannot be defined: %s/vtpm_dm_%u.data is there and belongs to "
		    "no instance; move it away if it is not needed",
		    wanted, store->dir, wanted);
		return -EEXIST;
	}
	*id = candidate;
	return 0;
}

static int
prepare_define(struct store *store, struct change *change)
{
	struct store_instance *instance = &change->entry.instance;
	int error;

	pthread_mutex_lock(&store->lock);
	if (store->count >= STORE_INSTANCES_MAX)
		error = -ENOSPC;
	else if (table_find_uuid(store, instance->uuid))
		error = -EEXIST;
	else
		error = table_reserve(store);
	pthread_mutex_unlock(&store->lock);
	if (error == 0)
		error = choose_number(store, &instance->id);
	change->id = instance->id;
	instance->generation = 0;
	instance->saved = 0;
	instance->refused = false;
	memset(instance->nvm_digest, 0, STORE_DIGEST_SIZE);
	memset(change->entry.tag, 0, CRYPT_TAG_SIZE);
	crypt_random(change->entry.key, STORE_KEY_SIZE);
	return error;
}

static int
prepare_update(struct store *store, struct change *change)
{
	struct store_instance wanted = change->entry.instance;
	int error = entry_copy(store, change->id, &change->entry);
	struct store_instance *instance = &change->entry.instance;

	if (error < 0)
		return error;
	memcpy(wanted.uuid, instance->uuid, STORE_UUID_SIZE);
	wanted.generation = instance->generation;
	wanted.saved = instance->saved;
	wanted.refused = instance->refused;
	memcpy(wanted.nvm_digest, instance->nvm_digest, STORE_DIGEST_SIZE);
	*instance = wanted;
	return 0;
}

/* Writes change->data as the next generation of change->entry. */
static int
write_generation(struct store *store, struct change *change)
{
	struct store_instance *instance = &change->entry.instance;

	instance->generation++;
	instance->saved = (uint64_t)time(NULL);
	instance->refused = false;
	change->fd = nvm_write(store, &change->entry, change->data, change->len);
	return change->fd < 0 ? change->fd : 0;
}

static int
prepare_nvm(struct store *store, struct change *change)
{
	int error = entry_copy(store, change->id, &change->entry);

	return error < 0 ? error : write_generation(store, change);
}

static int
prepare_recover(struct store *store, struct change *change)
{
	char why[STORE_WHY_MAX];
	uint64_t found = 0;
	int error = entry_copy(store, change->id, &change->entry);
	struct store_instance *instance = &change->entry.instance;

	if (error < 0)
		return error;
	if (nvm_read(store, &change->entry, NULL, NULL, why) == 0)
		return -EALREADY;
	error = nvm_read_any(store, &change->entry, &change->data, &change->len, &found, why);
	if (error < 0) {
		log_error("instance %u cannot be recovered: %s", change->id, why);
		return error;
	}
	log_warning(
	    "instance %u: the operator accepts save %llu of its NVM, which was refused; the "
	    "last on record was %llu",
	    change->id, (unsigned long long)found, (unsigned long long)instance->generation);
	/* Above both, so that neither old file can ever pass for the new one. */
	if (found > instance->generation)
		instance->generation = found;
	instance->flags |= STORE_FLAG_RECOVERED;
	return write_generation(store, change);
}

static void
settle_nvm(struct store *store, struct change *change)
{
	/* If this fails the file is found under its temporary name. */
	int error = nvm_settle(store, &change->entry);

	if (error < 0)
		log_warning("instance %u: its NVM is saved, but under a temporary name in %s: %s",
			    change->id, store->dir, strerror(-error));
}

static int
prepare_delete(struct store *store, struct change *change)
{
	return entry_copy(store, change->id, &change->entry);
}

static void
settle_delete(struct store *store, struct change *change)
{
	nvm_unlink(store, change->id);
	/* The key is gone when neither VTPM nor the log holds it. */
	int error = log_snapshot(store);

	if (error < 0)
		log_warning("instance %u is deleted, but its key could not yet be removed from "
			    "%s/VTPM.log: %s; the next change does it",
			    change->id, store->dir, strerror(-error));
}

static int
prepare_seal(struct store *store, struct change *change)
{
	uint8_t *old = store->seal;
	size_t old_len = store->seal_len;

	store->seal = change->data;
	store->seal_len = change->len;
	int error = log_snapshot(store);
	if (error < 0) {
		store->seal = old;
		store->seal_len = old_len;
		return error;
	}
	change->data = old;
	change->len = old_len;
	return 0;
}

static int
prepare_host(struct store *store, struct change *change)
{
	(void)store;
	return change->len <= STORE_HOST_MAX ? 0 : -EMSGSIZE;
}

static const struct {
	const char *name;
	bool shared; /* may be committed together with changes of other instances */
	enum store_record record;
	int (*prepare)(struct store *store, struct change *change);
	void (*settle)(struct store *store, struct change *change); /* once durable */
} kinds[] = {
	[CHANGE_DEFINE] = { "defined", false, RECORD_ENTRY, prepare_define, NULL },
	[CHANGE_UPDATE] = { "changed", true, RECORD_ENTRY, prepare_update, NULL },
	[CHANGE_NVM] = { "saved", true, RECORD_ENTRY, prepare_nvm, settle_nvm },
	[CHANGE_RECOVER] = { "recovered", false, RECORD_ENTRY, prepare_recover, settle_nvm },
	[CHANGE_DELETE] = { "deleted", false, RECORD_REMOVE, prepare_delete, settle_delete },
	[CHANGE_HOST] = { "changed", false, RECORD_HOST, prepare_host, NULL },
	[CHANGE_SEAL] = { "resealed", false, RECORD_NONE, prepare_seal, NULL },
};

static void
record_write(struct writer *w, const struct change *change)
{
	writer_u8(w, kinds[change->kind].record);
	switch (kinds[change->kind].record) {
	case RECORD_ENTRY:
		entry_write(w, &change->entry);
		break;
	case RECORD_REMOVE:
		writer_u32(w, change->id);
		break;
	case RECORD_HOST:
		writer_sized(w, change->data, change->len);
		break;
	case RECORD_NONE:
		break;
	}
}

/* Makes a durable change visible. Nothing here can fail: prepare has seen to that. */
static void
record_apply(struct store *store, struct change *change)
{
	uint8_t *data = store->host;
	size_t len = store->host_len;

	switch (kinds[change->kind].record) {
	case RECORD_ENTRY:
		table_put(store, &change->entry);
		break;
	case RECORD_REMOVE:
		table_remove(store, change->id);
		break;
	case RECORD_HOST:
		store->host = change->data;
		store->host_len = change->len;
		change->data = data;
		change->len = len;
		break;
	case RECORD_NONE:
		break;
	}
	store->changes++;
}

/* Flushes the NVM files of a batch, then their names. */
static void
batch_flush_files(struct store *store, struct change *batch)
{
	int error = 0;
	bool any = false;

	for (struct change *c = batch; c; c = c->next) {
		if (c->error || c->fd < 0)
			continue;
		any = true;
		if (fsync(c->fd) < 0)
			c->error = -errno;
	}
	if (any && fsync(store->dir_fd) < 0)
		error = -errno;
	for (struct change *c = batch; c; c = c->next) {
		if (c->fd < 0)
			continue;
		close(c->fd);
		if (c->error == 0)
			c->error = error;
		if (c->error)
			nvm_discard(store, &c->entry);
	}
}

/* Puts all changes of a batch that are still good into one frame of the log. */
static void
batch_record(struct store *store, struct change *batch)
{
	size_t size = STORE_BATCH_MAX * (STORE_ENTRY_MAX + 1) + STORE_HOST_MAX;
	uint8_t *records = malloc(size);
	struct writer w = writer_of(records, records ? size : 0);
	bool doubtful = false;
	int error = records ? 0 : -ENOMEM;

	for (struct change *c = batch; c; c = c->next) {
		if (c->error == 0 && kinds[c->kind].record != RECORD_NONE)
			record_write(&w, c);
	}
	if (error == 0 && w.len > 0)
		error = w.failed ? -EMSGSIZE : log_append(store, records, w.len, &doubtful);
	for (struct change *c = batch; error < 0 && c; c = c->next) {
		if (c->error == 0 && c->fd >= 0 && !doubtful)
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
			  what, kinds[c->kind].name, store->dir, strerror(-c->error),
			  way_out(c->error));
	}
}

static void
batch_commit(struct store *store, struct change *batch)
{
	for (struct change *c = batch; c; c = c->next) {
		c->fd = -1;
		c->error = kinds[c->kind].prepare(store, c);
	}
	batch_flush_files(store, batch);
	batch_record(store, batch);

	pthread_mutex_lock(&store->lock);
	for (struct change *c = batch; c; c = c->next) {
		if (c->error == 0)
			record_apply(store, c);
	}
	pthread_mutex_unlock(&store->lock);

	for (struct change *c = batch; c; c = c->next) {
		if (c->error == 0 && kinds[c->kind].settle)
			kinds[c->kind].settle(store, c);
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

	for (unsigned n = 0; store->first && n < STORE_BATCH_MAX; n++) {
		struct change *change = store->first;
		bool shared = kinds[change->kind].shared;

		if (n > 0 && (!shared || batch_has(batch, change->id)))
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

struct change *
change_new(enum change_kind kind, uint32_t id, const uint8_t *data, size_t len)
{
	struct change *change = calloc(1, sizeof(*change));

	if (!change)
		return NULL;
	change->kind = kind;
	change->id = id;
	if (data && bytes_replace(&change->data, &change->len, data, len) < 0) {
		free(change);
		return NULL;
	}
	return change;
}

void
change_free(struct change *change)
{
	if (!change)
		return;
	crypt_free(change->data, change->len);
	crypt_free(change, sizeof(*change));
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
