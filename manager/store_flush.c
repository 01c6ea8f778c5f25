#include "manager/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vtpm/log.h>

void
boot_identify(struct store *store)
{
	uint8_t digest[CRYPT_SHA256_SIZE];
	char text[64];
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd >= 0 ? read(fd, text, sizeof(text)) : -1;

	if (fd >= 0)
		close(fd);
	/* If it cannot be told, every start is one after a power cut: the forgiving side. */
	if (len <= 0) {
		len = sizeof(text);
		crypt_random(text, sizeof(text));
	}
	crypt_sha256(digest, CRYPT_PARTS({ text, (size_t)len }));
	memcpy(store->boot, digest, STORE_BOOT_SIZE);
}

int
image_put(struct store *store, uint32_t id, const uint8_t *data, size_t len)
{
	struct image *image = malloc(sizeof(*image) + len);

	if (!image)
		return -ENOMEM;
	image_drop(store, id);
	image->id = id;
	image->len = len;
	memcpy(image->data, data, len);
	image->next = store->images;
	store->images = image;
	return 0;
}

static struct image *
image_find(struct store *store, uint32_t id)
{
	struct image *image = store->images;

	while (image && image->id != id)
		image = image->next;
	return image;
}

uint8_t *
image_copy(struct store *store, uint32_t id, size_t *len)
{
	uint8_t *copy = NULL;

	pthread_mutex_lock(&store->lock);
	const struct image *image = image_find(store, id);
	if (image) {
		copy = malloc(image->len);
		*len = image->len;
	}
	if (copy)
		memcpy(copy, image->data, image->len);
	pthread_mutex_unlock(&store->lock);
	return copy;
}

void
image_drop(struct store *store, uint32_t id)
{
	struct image **at = &store->images;

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	struct image *image = *at;
	if (image)
		*at = image->next;
	free(image);
}

void
images_clear(struct store *store)
{
	while (store->images)
		image_drop(store, store->images->id);
}

void
images_check(struct store *store)
{
	for (size_t i = 0; i < store->count; i++) {
		const struct entry *entry = &store->entries[i];
		uint32_t id = entry->instance.id;

		if (!image_find(store, id))
			continue;
		if (nvm_is_on_disk(store, entry))
			image_drop(store, id);
		else if (!entry->instance.refused)
			log_info("instance %u: the power failed before %s/vtpm_dm_%u.data was on "
				 "the disk; it is restored from VTPM.log",
				 id, store->dir, id);
	}
}

static int
flush_entry(struct store *store, struct entry *entry)
{
	const struct image *image = image_find(store, entry->instance.id);
	int error;

	if (image)
		error = nvm_rewrite(store, entry, image->data, image->len);
	else if (entry->suspect)
		/* A flush that failed may have dropped what was to be flushed, and the next would
		 * report success: what can still be read is written again. */
		error = nvm_rewrite(store, entry, NULL, 0);
	else
		error = nvm_flush(store, entry);
	/* Somebody replaced or edited it: it is refused when it is loaded, and must not keep the
	 * others from being saved. */
	if (error == -EUCLEAN)
		return 0;
	if (error < 0) {
		pthread_mutex_lock(&store->lock);
		entry->suspect = true;
		pthread_mutex_unlock(&store->lock);
	}
	return error;
}

int
flush_files(struct store *store)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < store->count; i++) {
		if (store->entries[i].unflushed)
			error = flush_entry(store, &store->entries[i]);
	}
	if (error == 0 && fsync(store->dir_fd) < 0)
		error = -errno;
	if (error < 0)
		return error;
	pthread_mutex_lock(&store->lock);
	for (size_t i = 0; i < store->count; i++) {
		store->entries[i].unflushed = false;
		store->entries[i].suspect = false;
	}
	images_clear(store);
	pthread_mutex_unlock(&store->lock);
	return 0;
}
