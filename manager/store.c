#include "manager/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vtpm/file.h>
#include <vtpm/log.h>

#include "manager/store_commit.h"

static void
count_strange(void *ctx, const char *name)
{
	unsigned *count = ctx;

	(void)name;
	++*count;
}

/* A folder without VTPM is new only if nothing else of a manager's is in it. */
static int
check_new(struct store *store)
{
	struct stat st;
	unsigned files = 0;

	nvm_walk(store, false, count_strange, &files);
	if (fstatat(store->dir_fd, "VTPM.log", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size > 0)
		files++;
	if (files == 0)
		return 0;
	log_error("%s/VTPM is missing, but other state of a manager is there; nothing was changed. "
		  "Put VTPM back from a backup, or name an empty --state-dir",
		  store->dir);
	return -EUCLEAN;
}

static int
lock_folder(struct store *store)
{
	char path[PATH_MAX];
	pid_t holder = 0;

	snprintf(path, sizeof(path), "%s/VTPM.lock", store->dir);
	store->lock_fd = file_lock(path, &holder);
	if (store->lock_fd >= 0)
		return 0;
	int error = store->lock_fd;
	if (error == -EAGAIN) {
		log_error("%s is in use by another vtpm_managerd, pid %d; stop that one, or name "
			  "another --state-dir",
			  store->dir, (int)holder);
		return -EBUSY;
	}
	log_error("%s cannot be locked: %s", path, strerror(-error));
	return error;
}

static int
open_folder(struct store *store)
{
	if (mkdir(store->dir, 0700) < 0 && errno != EEXIST) {
		int error = -errno;

		log_error("the state folder %s cannot be made: %s", store->dir, strerror(-error));
		return error;
	}
	store->dir_fd = open(store->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->dir_fd < 0) {
		int error = -errno;

		log_error("the state folder %s cannot be opened: %s", store->dir, strerror(-error));
		return error;
	}
	return lock_folder(store);
}

int
store_open(struct store **out, const char *dir)
{
	struct store *store = calloc(1, sizeof(*store));

	*out = NULL;
	if (!store)
		return -ENOMEM;
	store->dir_fd = -1;
	store->lock_fd = -1;
	store->log.fd = -1;
	pthread_mutex_init(&store->lock, NULL);
	pthread_cond_init(&store->wake, NULL);
	pthread_cond_init(&store->finished, NULL);
	boot_identify(store);
	store->dir = strdup(dir);
	int error = store->dir ? open_folder(store) : -ENOMEM;
	if (error == 0) {
		error = log_read_header(store);
		if (error == -ENOENT)
			error = check_new(store);
	}
	if (error < 0)
		store_close(store);
	else
		*out = store;
	return error;
}

/* Back to the state that store_open left. */
static void
forget_content(struct store *store)
{
	table_clear(store);
	images_clear(store);
	crypt_free(store->host, store->host_len);
	store->host = NULL;
	store->host_len = 0;
	explicit_bzero(store->key, sizeof(store->key));
	explicit_bzero(store->table_key, sizeof(store->table_key));
	explicit_bzero(store->log_key, sizeof(store->log_key));
}

/* At rest the folder is in its plainest form: the log empty, every file flushed. */
static void
fold_log(struct store *store)
{
	int error = log_snapshot(store);

	if (error < 0)
		log_warning("%s/VTPM.log could not be folded into VTPM: %s; nothing is lost, the "
			    "next start reads both",
			    store->dir, strerror(-error));
}

void
store_close(struct store *store)
{
	if (!store)
		return;
	commit_stop(store);
	if (store->unlocked && store->log.len > 0)
		fold_log(store);
	log_close(store);
	forget_content(store);
	free(store->vtpm);
	free(store->seal);
	if (store->dir_fd >= 0)
		close(store->dir_fd);
	if (store->lock_fd >= 0)
		close(store->lock_fd);
	pthread_cond_destroy(&store->finished);
	pthread_cond_destroy(&store->wake);
	pthread_mutex_destroy(&store->lock);
	free(store->dir);
	crypt_free(store, sizeof(*store));
}

const char *
store_dir(const struct store *store)
{
	return store->dir;
}

const uint8_t *
store_seal(const struct store *store, size_t *len)
{
	*len = store->seal_len;
	return store->seal;
}

static int
set_key(struct store *store, const uint8_t *key)
{
	memcpy(store->key, key, STORE_KEY_SIZE);
	int error = crypt_derive(store->table_key, key, "vtpm table");

	return error < 0 ? error : crypt_derive(store->log_key, key, "vtpm log");
}

int
store_create(struct store *store, const uint8_t *key, const uint8_t *seal, size_t seal_len)
{
	if (store->unlocked || store->seal)
		return -EEXIST;
	int error = set_key(store, key);
	if (error == 0)
		error = bytes_replace(&store->seal, &store->seal_len, seal, seal_len);
	if (error == 0) {
		error = log_snapshot(store);
		if (error < 0)
			log_error("%s/VTPM cannot be written: %s", store->dir, strerror(-error));
	}
	if (error == 0)
		error = commit_start(store);
	if (error < 0) {
		forget_content(store);
		free(store->seal);
		store->seal = NULL;
		return error;
	}
	store->unlocked = true;
	return 0;
}

static void
warn_strange(void *ctx, const char *name)
{
	const struct store *store = ctx;

	log_warning("%s/%s belongs to no instance and is left alone", store->dir, name);
}

/* Checks the NVM of every instance; finishes what a crash interrupted. */
static void
check_instances(struct store *store)
{
	char why[STORE_WHY_MAX];

	for (size_t i = 0; i < store->count; i++) {
		struct store_instance *instance = &store->entries[i].instance;

		if (nvm_read(store, &store->entries[i], NULL, NULL, why) == 0)
			continue;
		instance->refused = true;
		log_error(
		    "instance %u is refused: %s. Put the right file back, or decide with "
		    "`vtpmctl recover %u` or `vtpmctl delete %u`; the other instances are not "
		    "concerned",
		    instance->id, why, instance->id, instance->id);
	}
	images_check(store);
	if (store->removed && !table_find(store, store->removed))
		nvm_unlink(store, store->removed);
	nvm_walk(store, true, warn_strange, store);
}

int
store_unlock(struct store *store, const uint8_t *key)
{
	if (store->unlocked || !store->seal)
		return -EINVAL;
	int error = set_key(store, key);
	if (error == 0)
		error = log_replay(store);
	if (error == 0) {
		check_instances(store);
		error = commit_start(store);
	}
	if (error < 0) {
		forget_content(store);
		return error;
	}
	free(store->vtpm);
	store->vtpm = NULL;
	store->unlocked = true;
	return 0;
}

const uint8_t *
store_key(const struct store *store)
{
	return store->key;
}

/* Queues a change, waits for it and frees it; *id, if wanted, gets the number it was about. */
static int
change_run(struct store *store, struct change *change, uint32_t *id)
{
	if (!change)
		return -ENOMEM;
	commit_submit(store, change);
	int error = commit_wait(store, change);
	if (id && error == 0)
		*id = change->id;
	change_free(change);
	return error;
}

int
store_set_seal(struct store *store, const uint8_t *seal, size_t seal_len)
{
	if (seal_len > STORE_SEAL_MAX)
		return -EMSGSIZE;
	return change_run(store, change_new(CHANGE_SEAL, 0, seal, seal_len), NULL);
}

int
store_host(struct store *store, uint8_t **data, size_t *len)
{
	int error = 0;

	*data = NULL;
	*len = 0;
	pthread_mutex_lock(&store->lock);
	if (store->host_len > 0)
		error = bytes_replace(data, len, store->host, store->host_len);
	pthread_mutex_unlock(&store->lock);
	return error;
}

int
store_set_host(struct store *store, const uint8_t *data, size_t len)
{
	return change_run(store, change_new(CHANGE_HOST, 0, data, len), NULL);
}

uint64_t
store_changes(struct store *store)
{
	pthread_mutex_lock(&store->lock);
	uint64_t changes = store->changes;
	pthread_mutex_unlock(&store->lock);
	return changes;
}

/* A change that replaces an entry. */
static struct change *
entry_change(enum change_kind kind, const struct store_instance *instance)
{
	struct change *change = change_new(kind, instance->id, NULL, 0);

	if (change) {
		change->entry.instance = *instance;
		change->entry.instance.peer[STORE_PEER_MAX - 1] = '\0';
	}
	return change;
}

int
store_define(struct store *store, const struct store_instance *instance, uint32_t *id)
{
	return change_run(store, entry_change(CHANGE_DEFINE, instance), id);
}

int
store_update(struct store *store, const struct store_instance *instance)
{
	return change_run(store, entry_change(CHANGE_UPDATE, instance), NULL);
}

int
store_delete(struct store *store, uint32_t id)
{
	return change_run(store, change_new(CHANGE_DELETE, id, NULL, 0), NULL);
}

int
store_recover(struct store *store, uint32_t id)
{
	return change_run(store, change_new(CHANGE_RECOVER, id, NULL, 0), NULL);
}

/* Copies out what find(store, what) finds. */
static int
instance_copy(struct store *store, const struct entry *entry, struct store_instance *instance)
{
	if (entry)
		*instance = entry->instance;
	pthread_mutex_unlock(&store->lock);
	return entry ? 0 : -ENOENT;
}

int
store_find(struct store *store, uint32_t id, struct store_instance *instance)
{
	pthread_mutex_lock(&store->lock);
	return instance_copy(store, table_find(store, id), instance);
}

int
store_find_uuid(struct store *store, const uint8_t *uuid, struct store_instance *instance)
{
	pthread_mutex_lock(&store->lock);
	return instance_copy(store, table_find_uuid(store, uuid), instance);
}

int
store_list(struct store *store, struct store_instance **list, size_t *count)
{
	pthread_mutex_lock(&store->lock);
	*count = store->count;
	*list = calloc(store->count + 1, sizeof(**list));
	for (size_t i = 0; *list && i < store->count; i++)
		(*list)[i] = store->entries[i].instance;
	pthread_mutex_unlock(&store->lock);
	return *list ? 0 : -ENOMEM;
}

void
store_save_nvm(struct store *store, uint32_t id, const uint8_t *data, size_t len,
	       void (*done)(void *ctx, int error), void *ctx)
{
	struct change *change = len <= STORE_NVM_MAX ? change_new(CHANGE_NVM, id, data, len) : NULL;

	if (!change) {
		done(ctx, len <= STORE_NVM_MAX ? -ENOMEM : -EMSGSIZE);
		return;
	}
	change->done = done;
	change->ctx = ctx;
	commit_submit(store, change);
}

int
store_save_nvm_wait(struct store *store, uint32_t id, const uint8_t *data, size_t len)
{
	if (len > STORE_NVM_MAX)
		return -EMSGSIZE;
	return change_run(store, change_new(CHANGE_NVM, id, data, len), NULL);
}
