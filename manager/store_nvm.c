#include "manager/store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vtpm/file.h>
#include <vtpm/log.h>

enum {
	NVM_HEADER = 8 + 4 + 4 + STORE_UUID_SIZE + 8, /* magic, version, number, uuid, generation */
	NVM_OVERHEAD = NVM_HEADER + CRYPT_NONCE_SIZE + 4 + CRYPT_TAG_SIZE,
	NVM_NAME_MAX = 64,
};

static const uint8_t nvm_magic[8] = { 'v', 'T', 'P', 'M', '-', 'N', 'V', 'M' };

/* The name of an instance's file; with a generation, the temporary one of that save. */
static void
nvm_name(char out[NVM_NAME_MAX], uint32_t id, uint64_t generation)
{
	if (generation == 0)
		snprintf(out, NVM_NAME_MAX, "vtpm_dm_%u.data", id);
	else
		snprintf(out, NVM_NAME_MAX, "vtpm_dm_%u.data.%" PRIu64, id, generation);
}

/* Composes the file of entry; sets its tag and digest. */
static int
nvm_compose(struct entry *entry, const uint8_t *data, size_t len, uint8_t *file)
{
	struct writer w = writer_of(file, NVM_OVERHEAD + len);
	uint8_t nonce[CRYPT_NONCE_SIZE];

	writer_bytes(&w, nvm_magic, sizeof(nvm_magic));
	writer_u32(&w, STORE_NVM_VERSION);
	writer_u32(&w, entry->instance.id);
	writer_bytes(&w, entry->instance.uuid, STORE_UUID_SIZE);
	writer_u64(&w, entry->instance.generation);
	crypt_random(nonce, sizeof(nonce));
	writer_bytes(&w, nonce, sizeof(nonce));
	writer_u32(&w, (uint32_t)len);
	uint8_t *sealed = writer_reserve(&w, len);
	int error = crypt_seal(entry->key, nonce, CRYPT_PARTS({ file, NVM_HEADER }), data, len,
			       sealed, entry->tag);

	writer_bytes(&w, entry->tag, CRYPT_TAG_SIZE);
	crypt_sha256(entry->instance.nvm_digest, CRYPT_PARTS({ data, len }));
	return error;
}

/* Writes a file of that name; returns its descriptor, not flushed, or an error. */
static int
write_file(struct store *store, const char *name, const uint8_t *data, size_t len)
{
	int fd = openat(store->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
			0600);

	if (fd < 0)
		return -errno;
	int error = file_write_all(fd, data, len);
	if (error == 0)
		return fd;
	close(fd);
	unlinkat(store->dir_fd, name, 0);
	return error;
}

int
nvm_write(struct store *store, struct entry *entry, const uint8_t *data, size_t len,
	  uint8_t **image, size_t *image_len)
{
	char name[NVM_NAME_MAX];

	*image_len = NVM_OVERHEAD + len;
	*image = malloc(*image_len);
	if (!*image)
		return -ENOMEM;
	int error = nvm_compose(entry, data, len, *image);
	if (error < 0)
		return error;
	nvm_name(name, entry->instance.id, entry->instance.generation);
	int fd = write_file(store, name, *image, *image_len);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

int
nvm_settle(struct store *store, const struct entry *entry)
{
	char from[NVM_NAME_MAX];
	char to[NVM_NAME_MAX];

	nvm_name(from, entry->instance.id, entry->instance.generation);
	nvm_name(to, entry->instance.id, 0);
	return renameat(store->dir_fd, from, store->dir_fd, to) < 0 ? -errno : 0;
}

void
nvm_discard(struct store *store, const struct entry *entry)
{
	char name[NVM_NAME_MAX];

	nvm_name(name, entry->instance.id, entry->instance.generation);
	unlinkat(store->dir_fd, name, 0);
}

void
nvm_unlink(struct store *store, uint32_t id)
{
	char name[NVM_NAME_MAX];

	nvm_name(name, id, 0);
	/* Durable before the log forgets that there was such an instance, else a crash would leave
	 * a file of nobody. */
	if ((unlinkat(store->dir_fd, name, 0) < 0 && errno != ENOENT) || fsync(store->dir_fd) < 0)
		log_warning("instance %u is deleted and its key destroyed, but %s/%s could not be "
			    "removed: %s",
			    id, store->dir, name, strerror(errno));
}

bool
nvm_exists(struct store *store, uint32_t id)
{
	char name[NVM_NAME_MAX];

	nvm_name(name, id, 0);
	return faccessat(store->dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

/* The parts of an NVM file; the views point into what was parsed. */
struct nvm_file {
	const uint8_t *header; /* what is authenticated in clear */
	uint32_t id;
	const uint8_t *uuid;
	uint64_t generation;
	const uint8_t *nonce;
	struct reader sealed;
	const uint8_t *tag;
};

#define REFUSE(why, ...) (snprintf(why, STORE_WHY_MAX, __VA_ARGS__), -EUCLEAN)

/* Reads the file called name, to be freed by the caller. */
static int
read_file(struct store *store, const char *name, uint8_t **data, size_t *len,
	  char why[STORE_WHY_MAX])
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", store->dir, name);
	int error = file_read(path, STORE_NVM_MAX + NVM_OVERHEAD, data, len);
	if (error == -ENOENT)
		return REFUSE(why, "%s is missing", name);
	if (error == -EFBIG || error == -EINVAL)
		return REFUSE(why, "%s is not a file of this manager", name);
	if (error < 0)
		snprintf(why, STORE_WHY_MAX, "%s cannot be read: %s", name, strerror(-error));
	return error;
}

/* Takes the content of the file called name apart. */
static int
nvm_parse(const char *name, const uint8_t *data, size_t len, struct nvm_file *file,
	  char why[STORE_WHY_MAX])
{
	struct reader r = reader_of(data, len);
	const uint8_t *magic = reader_view(&r, sizeof(nvm_magic));
	uint32_t version = reader_u32(&r);

	if (r.failed || memcmp(magic, nvm_magic, sizeof(nvm_magic)) != 0)
		return REFUSE(why, "%s is cut or not a file of this manager", name);
	if (version != STORE_NVM_VERSION)
		return REFUSE(why, "%s was written by another version (format %u)", name, version);
	file->header = data;
	file->id = reader_u32(&r);
	file->uuid = reader_view(&r, STORE_UUID_SIZE);
	file->generation = reader_u64(&r);
	file->nonce = reader_view(&r, CRYPT_NONCE_SIZE);
	file->sealed = reader_sized(&r);
	file->tag = reader_view(&r, CRYPT_TAG_SIZE);
	if (!reader_done(&r))
		return REFUSE(why, "%s is cut or has strange bytes at its end", name);
	return 0;
}

static int
nvm_decrypt(const struct entry *entry, const char *name, const struct nvm_file *file,
	    uint8_t **data, size_t *len, char why[STORE_WHY_MAX])
{
	struct reader sealed = file->sealed;
	size_t size = sealed.left;
	uint8_t *plain = malloc(size > 0 ? size : 1);

	if (!plain)
		return -ENOMEM;
	int error = crypt_open(entry->key, file->nonce, CRYPT_PARTS({ file->header, NVM_HEADER }),
			       reader_view(&sealed, size), size, plain, file->tag);
	if (error < 0) {
		free(plain);
		return error == -EBADMSG ? REFUSE(why, "%s was edited or is damaged", name) : error;
	}
	*data = plain;
	*len = size;
	return 0;
}

/* Compares a file with what the table says and decrypts it. */
static int
nvm_check(const struct entry *entry, const char *name, const uint8_t *bytes, size_t size,
	  uint8_t **data, size_t *len, char why[STORE_WHY_MAX])
{
	const struct store_instance *instance = &entry->instance;
	struct nvm_file file;
	int error = nvm_parse(name, bytes, size, &file, why);

	if (error < 0)
		return error;
	if (file.id != instance->id)
		return REFUSE(why, "%s is the file of instance %u", name, file.id);
	if (memcmp(file.uuid, instance->uuid, STORE_UUID_SIZE) != 0)
		return REFUSE(why, "%s is of an earlier instance with this number", name);
	if (file.generation < instance->generation)
		return REFUSE(why, "%s is old: save %" PRIu64 ", but %" PRIu64 " was the last",
			      name, file.generation, instance->generation);
	if (file.generation > instance->generation)
		return REFUSE(why,
			      "%s is save %" PRIu64 ", newer than VTPM and VTPM.log know (%" PRIu64
			      "): one of those is old",
			      name, file.generation, instance->generation);
	if (memcmp(file.tag, entry->tag, CRYPT_TAG_SIZE) != 0)
		return REFUSE(why, "%s was edited, or is not the one saved last", name);
	return nvm_decrypt(entry, name, &file, data, len, why);
}

static int
nvm_read_file(struct store *store, const struct entry *entry, const char *name, uint8_t **data,
	      size_t *len, char why[STORE_WHY_MAX])
{
	uint8_t *bytes = NULL;
	size_t size = 0;
	int error = read_file(store, name, &bytes, &size, why);

	if (error == 0)
		error = nvm_check(entry, name, bytes, size, data, len, why);
	free(bytes);
	return error;
}

/*
 * Reads the file of entry under its name or, as a crash after the record became durable leaves it,
 * under its temporary one. name gets the one that is good, why says what is wrong with the former.
 */
static int
nvm_read_disk(struct store *store, const struct entry *entry, char name[NVM_NAME_MAX],
	      uint8_t **data, size_t *len, char why[STORE_WHY_MAX])
{
	char ignored[STORE_WHY_MAX];

	nvm_name(name, entry->instance.id, 0);
	if (nvm_read_file(store, entry, name, data, len, why) == 0)
		return 0;
	nvm_name(name, entry->instance.id, entry->instance.generation);
	if (nvm_read_file(store, entry, name, data, len, ignored) == 0)
		return 0;
	/* The committer may have renamed the one to the other in between. */
	nvm_name(name, entry->instance.id, 0);
	return nvm_read_file(store, entry, name, data, len, why);
}

static int
nvm_read_image(struct store *store, const struct entry *entry, uint8_t **data, size_t *len)
{
	char ignored[STORE_WHY_MAX];
	size_t size = 0;
	uint8_t *bytes = image_copy(store, entry->instance.id, &size);
	int error = bytes ? nvm_check(entry, "", bytes, size, data, len, ignored) : -ENOENT;

	free(bytes);
	return error;
}

int
nvm_read(struct store *store, const struct entry *entry, uint8_t **data, size_t *len,
	 char why[STORE_WHY_MAX])
{
	char name[NVM_NAME_MAX];
	uint8_t *plain = NULL;
	size_t size = 0;

	why[0] = '\0';
	nvm_name(name, entry->instance.id, 0);
	if (entry->instance.generation == 0 && nvm_exists(store, entry->instance.id))
		return REFUSE(why,
			      "%s is there, but VTPM and VTPM.log know of no save: one of those is "
			      "old",
			      name);
	if (entry->instance.generation > 0) {
		int error = nvm_read_disk(store, entry, name, &plain, &size, why);

		if (error < 0 && nvm_read_image(store, entry, &plain, &size) < 0)
			return error;
	}
	if (data) {
		*data = plain;
		*len = size;
	} else {
		crypt_free(plain, size);
	}
	return 0;
}

/* Which file of entry is good. */
static int
nvm_good_name(struct store *store, const struct entry *entry, char name[NVM_NAME_MAX])
{
	char why[STORE_WHY_MAX];
	uint8_t *plain = NULL;
	size_t size = 0;
	int error = nvm_read_disk(store, entry, name, &plain, &size, why);

	crypt_free(plain, size);
	return error;
}

bool
nvm_is_on_disk(struct store *store, const struct entry *entry)
{
	char name[NVM_NAME_MAX];

	return nvm_good_name(store, entry, name) == 0;
}

int
nvm_flush(struct store *store, const struct entry *entry)
{
	char name[NVM_NAME_MAX];
	int error = nvm_good_name(store, entry, name);

	if (error < 0)
		return error;
	int fd = openat(store->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fsync(fd) < 0)
		error = -errno;
	if (fd >= 0)
		close(fd);
	return error;
}

int
nvm_rewrite(struct store *store, const struct entry *entry, const uint8_t *file, size_t len)
{
	char name[NVM_NAME_MAX];
	char why[STORE_WHY_MAX];
	uint8_t *present = NULL;
	int error = 0;

	if (!file) {
		error = nvm_good_name(store, entry, name);
		if (error == 0)
			error = read_file(store, name, &present, &len, why);
		file = present;
	}
	if (error == 0) {
		nvm_name(name, entry->instance.id, entry->instance.generation);
		int fd = write_file(store, name, file, len);
		if (fd < 0 || fsync(fd) < 0)
			error = fd < 0 ? fd : -errno;
		if (fd >= 0)
			close(fd);
	}
	free(present);
	return error < 0 ? error : nvm_settle(store, entry);
}

int
nvm_read_any(struct store *store, const struct entry *entry, uint8_t **data, size_t *len,
	     uint64_t *generation, char why[STORE_WHY_MAX])
{
	char name[NVM_NAME_MAX];
	struct nvm_file file;
	uint8_t *bytes = NULL;
	size_t size = 0;

	nvm_name(name, entry->instance.id, 0);
	int error = read_file(store, name, &bytes, &size, why);
	if (error == 0)
		error = nvm_parse(name, bytes, size, &file, why);
	if (error == 0) {
		*generation = file.generation;
		error = nvm_decrypt(entry, name, &file, data, len, why);
	}
	free(bytes);
	return error;
}

/*
 * What a crash left of a save: finished if it is the one on record, removed if the file that is on
 * record is there. Beside a refused file everything stays as it is.
 */
static void
temporary_clear_up(struct store *store, const struct entry *entry, const char *name)
{
	char good[NVM_NAME_MAX];

	if (entry->instance.refused)
		return;
	if (entry->instance.generation > 0 && nvm_good_name(store, entry, good) < 0)
		return; /* the log has it */
	if (entry->instance.generation > 0 && strcmp(good, name) == 0)
		nvm_settle(store, entry);
	else
		unlinkat(store->dir_fd, name, 0);
}

/* Takes "vtpm_dm_N.data" or "vtpm_dm_N.data.G" apart; without G, generation is 0. */
static bool
nvm_name_parse(const char *name, uint32_t *id, uint64_t *generation)
{
	char again[NVM_NAME_MAX];

	*generation = 0;
	if (sscanf(name, "vtpm_dm_%" SCNu32 ".data.%" SCNu64, id, generation) < 1)
		return false;
	nvm_name(again, *id, *generation);
	return strcmp(again, name) == 0;
}

void
nvm_walk(struct store *store, bool clear_up, void (*strange)(void *ctx, const char *name),
	 void *ctx)
{
	int fd = openat(store->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *file;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((file = readdir(dir))) {
		uint32_t id = 0;
		uint64_t generation = 0;

		if (strncmp(file->d_name, "vtpm_dm_", 8) != 0)
			continue;
		struct entry *entry =
		    nvm_name_parse(file->d_name, &id, &generation) ? table_find(store, id) : NULL;
		if (!entry)
			strange(ctx, file->d_name);
		else if (clear_up && generation > 0)
			temporary_clear_up(store, entry, file->d_name);
	}
	closedir(dir);
}
