#include "manager/store_commit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vtpm/log.h>

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
	change->entry.unflushed = true;
	change->entry.suspect = false;
	return nvm_write(store, &change->entry, change->data, change->len, &change->image,
			 &change->image_len);
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
	const char *name; /* for messages */
	bool shared;      /* may be committed together with changes of other instances */
	enum store_record record;
	int (*prepare)(struct store *store, struct change *change);
	void (*settle)(struct store *store, struct change *change); /* once durable */
} kinds[] = {
	[CHANGE_DEFINE] = { "defined", false, RECORD_ENTRY, prepare_define, NULL },
	[CHANGE_UPDATE] = { "changed", true, RECORD_ENTRY, prepare_update, NULL },
	[CHANGE_NVM] = { "saved", true, RECORD_NVM, prepare_nvm, settle_nvm },
	[CHANGE_RECOVER] = { "recovered", false, RECORD_NVM, prepare_recover, settle_nvm },
	[CHANGE_DELETE] = { "deleted", false, RECORD_REMOVE, prepare_delete, settle_delete },
	[CHANGE_HOST] = { "changed", false, RECORD_HOST, prepare_host, NULL },
	[CHANGE_SEAL] = { "resealed", false, RECORD_NONE, prepare_seal, NULL },
};

void
change_record(const struct change *change, struct writer *w)
{
	enum store_record record = kinds[change->kind].record;

	if (record == RECORD_NONE)
		return;
	writer_u8(w, record);
	if (record == RECORD_ENTRY || record == RECORD_NVM)
		entry_write(w, &change->entry);
	if (record == RECORD_NVM)
		writer_sized(w, change->image, change->image_len);
	else if (record == RECORD_REMOVE)
		writer_u32(w, change->id);
	else if (record == RECORD_HOST)
		writer_sized(w, change->data, change->len);
}

void
change_apply(struct store *store, struct change *change)
{
	uint8_t *data = store->host;
	size_t len = store->host_len;

	switch (kinds[change->kind].record) {
	case RECORD_ENTRY:
	case RECORD_NVM:
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

int
change_prepare(struct store *store, struct change *change)
{
	change->error = kinds[change->kind].prepare(store, change);
	return change->error;
}

void
change_settle(struct store *store, struct change *change)
{
	if (kinds[change->kind].settle)
		kinds[change->kind].settle(store, change);
}

bool
change_is_shared(const struct change *change)
{
	return kinds[change->kind].shared;
}

const char *
change_name(const struct change *change)
{
	return kinds[change->kind].name;
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
	free(change->image);
	crypt_free(change, sizeof(*change));
}
