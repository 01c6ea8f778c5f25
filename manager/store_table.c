#include "manager/store_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Where number id is, or would be. */
static size_t
table_position(const struct store *store, uint32_t id)
{
	size_t low = 0;
	size_t high = store->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (store->entries[middle].instance.id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct entry *
table_find(struct store *store, uint32_t id)
{
	size_t at = table_position(store, id);

	return at < store->count && store->entries[at].instance.id == id ? &store->entries[at]
									 : NULL;
}

struct entry *
table_find_uuid(struct store *store, const uint8_t *uuid)
{
	for (size_t i = 0; i < store->count; i++) {
		if (memcmp(store->entries[i].instance.uuid, uuid, STORE_UUID_SIZE) == 0)
			return &store->entries[i];
	}
	return NULL;
}

int
table_reserve(struct store *store)
{
	if (store->count < store->room)
		return 0;
	size_t room = store->room ? 2 * store->room : 16;
	struct entry *entries = calloc(room, sizeof(*entries));

	if (!entries)
		return -ENOMEM;
	if (store->count > 0)
		memcpy(entries, store->entries, store->count * sizeof(*entries));
	crypt_free(store->entries, store->count * sizeof(*entries));
	store->entries = entries;
	store->room = room;
	return 0;
}

int
table_put(struct store *store, const struct entry *entry)
{
	size_t at = table_position(store, entry->instance.id);

	if (at == store->count || store->entries[at].instance.id != entry->instance.id) {
		int error = table_reserve(store);

		if (error < 0)
			return error;
		memmove(&store->entries[at + 1], &store->entries[at],
			(store->count - at) * sizeof(*entry));
		store->count++;
	}
	store->entries[at] = *entry;
	return 0;
}

void
table_remove(struct store *store, uint32_t id)
{
	struct entry *entry = table_find(store, id);

	if (!entry)
		return;
	size_t after = store->count - (size_t)(entry - store->entries) - 1;

	memmove(entry, entry + 1, after * sizeof(*entry));
	store->count--;
	explicit_bzero(&store->entries[store->count], sizeof(*entry));
}

void
table_clear(struct store *store)
{
	crypt_free(store->entries, store->count * sizeof(*store->entries));
	store->entries = NULL;
	store->count = 0;
	store->room = 0;
}

uint32_t
table_lowest_free(struct store *store, uint32_t from)
{
	for (size_t at = table_position(store, from); at < store->count; at++) {
		if (store->entries[at].instance.id != from)
			break;
		from++;
	}
	return from;
}

void
entry_write(struct writer *w, const struct entry *entry)
{
	const struct store_instance *instance = &entry->instance;
	size_t start = w->len;

	writer_u32(w, 0);
	writer_u32(w, instance->id);
	writer_bytes(w, instance->uuid, STORE_UUID_SIZE);
	writer_u8(w, instance->type);
	writer_u8(w, instance->domain_type);
	writer_u32(w, instance->flags);
	writer_u64(w, instance->fence);
	writer_u32(w, instance->host_pcrs);
	writer_u64(w, instance->created);
	writer_bytes(w, instance->measurement, STORE_DIGEST_SIZE);
	writer_sized(w, instance->peer, strlen(instance->peer));
	writer_u64(w, instance->peer_time);
	writer_u64(w, instance->generation);
	writer_u64(w, instance->saved);
	writer_bytes(w, instance->nvm_digest, STORE_DIGEST_SIZE);
	writer_bytes(w, entry->key, STORE_KEY_SIZE);
	writer_bytes(w, entry->tag, CRYPT_TAG_SIZE);
	writer_bytes(w, instance->activation, STORE_DIGEST_SIZE);
	writer_patch_u32(w, start, (uint32_t)(w->len - start - 4));
}

bool
entry_read(struct reader *outer, struct entry *entry)
{
	struct reader r = reader_sized(outer);
	struct store_instance *instance = &entry->instance;

	memset(entry, 0, sizeof(*entry));
	instance->id = reader_u32(&r);
	reader_bytes(&r, instance->uuid, STORE_UUID_SIZE);
	instance->type = reader_u8(&r);
	instance->domain_type = reader_u8(&r);
	instance->flags = reader_u32(&r);
	instance->fence = reader_u64(&r);
	instance->host_pcrs = reader_u32(&r);
	instance->created = reader_u64(&r);
	reader_bytes(&r, instance->measurement, STORE_DIGEST_SIZE);
	struct reader peer = reader_sized(&r);
	if (peer.failed || peer.left >= STORE_PEER_MAX)
		return false;
	reader_bytes(&peer, instance->peer, peer.left);
	instance->peer_time = reader_u64(&r);
	instance->generation = reader_u64(&r);
	instance->saved = reader_u64(&r);
	reader_bytes(&r, instance->nvm_digest, STORE_DIGEST_SIZE);
	reader_bytes(&r, entry->key, STORE_KEY_SIZE);
	reader_bytes(&r, entry->tag, CRYPT_TAG_SIZE);
	/* Version 1, also in the log that its last manager left, ends here. */
	if (!r.failed && r.left > 0)
		reader_bytes(&r, instance->activation, STORE_DIGEST_SIZE);
	return !outer->failed && reader_done(&r) && instance->id != 0;
}

int
bytes_replace(uint8_t **data, size_t *data_len, const uint8_t *with, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	if (!copy)
		return -ENOMEM;
	if (len > 0)
		memcpy(copy, with, len);
	crypt_free(*data, *data_len);
	*data = copy;
	*data_len = len;
	return 0;
}
