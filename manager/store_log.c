#include "manager/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vtpm/file.h>
#include <vtpm/log.h>

enum {
	FRAME_HEADER = 4 + 8 + CRYPT_NONCE_SIZE, /* length, sequence, nonce */
	FRAME_OVERHEAD = FRAME_HEADER + CRYPT_TAG_SIZE,
	VTPM_FILE_MAX = 64 << 20,
	LOG_FILE_MAX = 64 << 20,
};

static const uint8_t vtpm_magic[8] = { 'v', 'T', 'P', 'M', '-', 'm', 'g', 'r' };
static const char log_purpose[] = "VTPM.log";

static void
path_in(const struct store *store, const char *name, char *out, size_t size)
{
	snprintf(out, size, "%s/%s", store->dir, name);
}

/* The parts of VTPM; the views point into store->vtpm. */
struct vtpm_file {
	struct reader seal;
	uint64_t sequence;
	size_t header_len; /* bytes in front of the nonce: what is authenticated in clear */
	const uint8_t *nonce;
	struct reader table;
	const uint8_t *tag;
};

static int
vtpm_parse(const struct store *store, struct vtpm_file *file)
{
	struct reader r = reader_of(store->vtpm, store->vtpm_len);
	const uint8_t *magic = reader_view(&r, sizeof(vtpm_magic));

	if (!magic || memcmp(magic, vtpm_magic, sizeof(vtpm_magic)) != 0) {
		log_error("%s/VTPM is not a state file of this manager, or damaged at its start; "
			  "nothing was changed. Put the right file back from a backup, or name "
			  "another --state-dir",
			  store->dir);
		return -EUCLEAN;
	}
	uint32_t version = reader_u32(&r);
	if (!r.failed && version > STORE_VERSION) {
		log_error("%s/VTPM was written by a newer vtpm_managerd (format %u, this one knows "
			  "%u); nothing was changed. Start that version again",
			  store->dir, version, STORE_VERSION);
		return -EOVERFLOW;
	}
	file->seal = reader_sized(&r);
	file->sequence = reader_u64(&r);
	file->header_len = store->vtpm_len - r.left;
	file->nonce = reader_view(&r, CRYPT_NONCE_SIZE);
	file->table = reader_sized(&r);
	file->tag = reader_view(&r, CRYPT_TAG_SIZE);
	if (reader_done(&r) && version >= 1 && file->seal.left <= STORE_SEAL_MAX)
		return 0;
	log_error("%s/VTPM is cut or damaged; nothing was changed. Put it back from a backup",
		  store->dir);
	return -EUCLEAN;
}

int
log_read_header(struct store *store)
{
	struct vtpm_file file;
	char path[PATH_MAX];

	path_in(store, "VTPM", path, sizeof(path));
	int error = file_read(path, VTPM_FILE_MAX, &store->vtpm, &store->vtpm_len);
	if (error == -ENOENT)
		return error;
	if (error < 0) {
		log_error("%s cannot be read: %s", path, strerror(-error));
		return error;
	}
	error = vtpm_parse(store, &file);
	if (error < 0)
		return error;
	return bytes_replace(&store->seal, &store->seal_len, file.seal.pos, file.seal.left);
}

static bool
table_parse(struct store *store, const uint8_t *plain, size_t len)
{
	struct reader r = reader_of(plain, len);
	struct reader host = reader_sized(&r);
	const uint8_t *boot = reader_view(&r, STORE_BOOT_SIZE);
	uint32_t count = reader_u32(&r);

	if (r.failed || count > STORE_INSTANCES_MAX ||
	    bytes_replace(&store->host, &store->host_len, host.pos, host.left) < 0)
		return false;
	store->rebooted = memcmp(boot, store->boot, STORE_BOOT_SIZE) != 0;
	for (uint32_t i = 0; i < count; i++) {
		struct entry entry;
		bool ok = entry_read(&r, &entry) && table_put(store, &entry) == 0;

		explicit_bzero(&entry, sizeof(entry));
		if (!ok)
			return false;
	}
	return reader_done(&r);
}

/* Decrypts and takes over what VTPM itself holds. */
static int
table_open(struct store *store)
{
	struct vtpm_file file;
	int error = vtpm_parse(store, &file);

	if (error < 0)
		return error;
	size_t len = file.table.left;
	uint8_t *plain = malloc(len > 0 ? len : 1);
	if (!plain)
		return -ENOMEM;
	error =
	    crypt_open(store->table_key, file.nonce, CRYPT_PARTS({ store->vtpm, file.header_len }),
		       file.table.pos, len, plain, file.tag);
	if (error == 0 && !table_parse(store, plain, len))
		error = -EBADMSG;
	crypt_free(plain, len);
	store->log.sequence = file.sequence;
	memcpy(store->log.chain, file.tag, CRYPT_TAG_SIZE);
	if (error == -EBADMSG) {
		log_error("%s/VTPM was edited or damaged: it does not authenticate under the root "
			  "key of this host; nothing was changed. Put it back from a backup",
			  store->dir);
		return -EUCLEAN;
	}
	return error;
}

/* An entry, with its new NVM file if has_file. */
static bool
entry_apply(struct store *store, struct reader *r, bool has_file)
{
	struct entry entry;
	bool ok = entry_read(r, &entry);
	const struct entry *old = ok ? table_find(store, entry.instance.id) : NULL;

	entry.unflushed = has_file || (old && old->unflushed);
	ok = ok && table_put(store, &entry) == 0;
	if (ok && has_file) {
		struct reader file = reader_sized(r);

		/* Files reach the disk some time after the log does, but every reader before the
		 * next boot: until then a wrong one was not left by a power cut. */
		ok = !file.failed && (!store->rebooted || image_put(store, entry.instance.id,
								    file.pos, file.left) == 0);
	}
	explicit_bzero(&entry, sizeof(entry));
	return ok;
}

static bool
record_apply(struct store *store, struct reader *r)
{
	uint8_t kind = reader_u8(r);
	struct reader body;

	switch (kind) {
	case RECORD_ENTRY:
	case RECORD_NVM:
		return entry_apply(store, r, kind == RECORD_NVM);
	case RECORD_REMOVE:
		store->removed = reader_u32(r);
		table_remove(store, store->removed);
		image_drop(store, store->removed);
		return !r->failed;
	case RECORD_HOST:
		body = reader_sized(r);
		return !body.failed &&
		       bytes_replace(&store->host, &store->host_len, body.pos, body.left) == 0;
	default:
		return false;
	}
}

static bool
records_apply(struct store *store, const uint8_t *records, size_t len)
{
	struct reader r = reader_of(records, len);

	while (!r.failed && r.left > 0) {
		if (!record_apply(store, &r))
			return false;
	}
	return reader_done(&r);
}

enum frame_state { FRAME_GOOD, FRAME_STALE, FRAME_BAD };

/*
 * Takes one frame off r and applies it. FRAME_STALE: from before VTPM was written, which a crash
 * between the two can leave. FRAME_BAD: r is where it was.
 */
static enum frame_state
frame_take(struct store *store, struct reader *r)
{
	struct reader start = *r;
	struct reader frame = reader_sized(r);
	uint64_t sequence = reader_u64(&frame);
	const uint8_t *nonce = reader_view(&frame, CRYPT_NONCE_SIZE);

	if (!frame.failed && frame.left >= CRYPT_TAG_SIZE && sequence <= store->log.sequence)
		return FRAME_STALE;
	if (frame.failed || frame.left < CRYPT_TAG_SIZE || sequence != store->log.sequence + 1) {
		*r = start;
		return FRAME_BAD;
	}
	size_t len = frame.left - CRYPT_TAG_SIZE;
	const uint8_t *sealed = reader_view(&frame, len);
	const uint8_t *tag = reader_view(&frame, CRYPT_TAG_SIZE);
	uint8_t *plain = malloc(len > 0 ? len : 1);
	bool ok = plain &&
		  crypt_open(store->log_key, nonce,
			     CRYPT_PARTS({ log_purpose, sizeof(log_purpose) },
					 { store->log.chain, CRYPT_TAG_SIZE }, { start.pos, 12 }),
			     sealed, len, plain, tag) == 0 &&
		  records_apply(store, plain, len);
	crypt_free(plain, len);
	if (!ok) {
		*r = start;
		return FRAME_BAD;
	}
	store->log.sequence = sequence;
	memcpy(store->log.chain, tag, CRYPT_TAG_SIZE);
	return FRAME_GOOD;
}

/*
 * A bad frame at the very end is one that a crash tore: nobody was told that it is durable. One
 * that is followed by more was whole once.
 */
static bool
frame_is_torn(const struct reader *at)
{
	struct reader r = *at;
	uint32_t len = reader_u32(&r);

	return len == 0 || len >= r.left;
}

static int
log_apply(struct store *store, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	enum frame_state state = FRAME_GOOD;

	while (r.left > 0 && state != FRAME_BAD)
		state = frame_take(store, &r);
	if (state != FRAME_BAD)
		return 0;
	if (!frame_is_torn(&r)) {
		log_error(
		    "%s/VTPM.log was edited or damaged at byte %zu of %zu; nothing was changed. "
		    "Put VTPM and VTPM.log back from one backup",
		    store->dir, len - r.left, len);
		return -EUCLEAN;
	}
	log_info("%s/VTPM.log ends in a change that a crash interrupted; it was never reported as "
		 "durable and does not count",
		 store->dir);
	return 0;
}

int
log_replay(struct store *store)
{
	uint8_t *data = NULL;
	size_t len = 0;
	char path[PATH_MAX];
	int error = table_open(store);

	if (error < 0)
		return error;
	path_in(store, "VTPM.log", path, sizeof(path));
	error = file_read(path, LOG_FILE_MAX, &data, &len);
	if (error == 0)
		error = log_apply(store, data, len);
	else if (error == -ENOENT)
		error = 0;
	else
		log_error("%s cannot be read: %s", path, strerror(-error));
	free(data);
	store->log.broken = true;
	return error;
}

/* Serialises VTPM; *out is to be freed by the caller. The plain table is wiped. */
static int
vtpm_compose(struct store *store, uint8_t **out, size_t *out_len, uint8_t *tag)
{
	size_t plain_size = 64 + store->host_len + store->count * STORE_ENTRY_MAX;
	size_t size = 64 + store->seal_len + plain_size + CRYPT_TAG_SIZE;
	uint8_t nonce[CRYPT_NONCE_SIZE];
	uint8_t *plain = malloc(plain_size);
	uint8_t *buf = malloc(size);
	struct writer table = writer_of(plain, plain_size);
	struct writer w = writer_of(buf, size);
	int error = -ENOMEM;

	if (!plain || !buf)
		goto out;
	writer_sized(&table, store->host, store->host_len);
	writer_bytes(&table, store->boot, STORE_BOOT_SIZE);
	writer_u32(&table, (uint32_t)store->count);
	for (size_t i = 0; i < store->count; i++)
		entry_write(&table, &store->entries[i]);

	writer_bytes(&w, vtpm_magic, sizeof(vtpm_magic));
	writer_u32(&w, STORE_VERSION);
	writer_sized(&w, store->seal, store->seal_len);
	writer_u64(&w, store->log.sequence);
	size_t header_len = w.len;
	crypt_random(nonce, sizeof(nonce));
	writer_bytes(&w, nonce, sizeof(nonce));
	writer_u32(&w, (uint32_t)table.len);
	uint8_t *sealed = writer_reserve(&w, table.len);
	if (sealed)
		error = crypt_seal(store->table_key, nonce, CRYPT_PARTS({ buf, header_len }), plain,
				   table.len, sealed, tag);
	writer_bytes(&w, tag, CRYPT_TAG_SIZE);
	if (table.failed || w.failed)
		error = -EMSGSIZE;
out:
	crypt_free(plain, plain_size);
	if (error < 0) {
		free(buf);
		buf = NULL;
	}
	*out = buf;
	*out_len = w.len;
	return error;
}

/* Empties the log, which VTPM now includes. */
static int
log_empty(struct store *store)
{
	if (store->log.fd < 0) {
		store->log.fd = openat(store->dir_fd, "VTPM.log",
				       O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (store->log.fd < 0 || fsync(store->dir_fd) < 0)
			return -errno;
	}
	if (ftruncate(store->log.fd, 0) < 0 || fsync(store->log.fd) < 0)
		return -errno;
	store->log.len = 0;
	return 0;
}

int
log_snapshot(struct store *store)
{
	uint8_t tag[CRYPT_TAG_SIZE];
	uint8_t *data;
	size_t len;
	char path[PATH_MAX];

	int error = flush_files(store);
	if (error < 0)
		return error;
	path_in(store, "VTPM", path, sizeof(path));
	error = vtpm_compose(store, &data, &len, tag);
	if (error < 0)
		return error;
	store->log.broken = true;
	error = file_write_durable(path, data, len, 0600);
	free(data);
	if (error == 0) {
		memcpy(store->log.chain, tag, CRYPT_TAG_SIZE);
		error = log_empty(store);
	}
	if (error == 0)
		store->log.broken = false;
	return error;
}

/* Composes a frame around records. */
static int
frame_compose(struct store *store, const uint8_t *records, size_t len, uint8_t *frame,
	      uint64_t sequence)
{
	struct writer w = writer_of(frame, FRAME_OVERHEAD + len);
	uint8_t nonce[CRYPT_NONCE_SIZE];

	crypt_random(nonce, sizeof(nonce));
	writer_u32(&w, (uint32_t)(FRAME_OVERHEAD + len - 4));
	writer_u64(&w, sequence);
	writer_bytes(&w, nonce, sizeof(nonce));
	uint8_t *sealed = writer_reserve(&w, len);
	uint8_t *tag = writer_reserve(&w, CRYPT_TAG_SIZE);

	return crypt_seal(store->log_key, nonce,
			  CRYPT_PARTS({ log_purpose, sizeof(log_purpose) },
				      { store->log.chain, CRYPT_TAG_SIZE }, { frame, 12 }),
			  records, len, sealed, tag);
}

/* Writes the frame at the end of the log and flushes it. */
static int
frame_write(struct store *store, const uint8_t *frame, size_t len, bool *doubtful)
{
	ssize_t n = pwrite(store->log.fd, frame, len, store->log.len);
	int error = n < 0 ? -errno : (size_t)n < len ? -ENOSPC : 0;

	if (error < 0) {
		/* A partial frame can never count; if it cannot be cut off either, VTPM has to be
		 * written anew before the log can go on. */
		if (ftruncate(store->log.fd, store->log.len) < 0)
			store->log.broken = true;
		return error;
	}
	if (fdatasync(store->log.fd) < 0) {
		/* After a failed flush nobody knows what is on the disk. A new VTPM with a higher
		 * sequence number makes this frame stale if it should be there. */
		error = -errno;
		store->log.broken = true;
		*doubtful = true;
	}
	return error;
}

int
log_append(struct store *store, const uint8_t *records, size_t len, bool *doubtful)
{
	size_t frame_len = FRAME_OVERHEAD + len;
	bool full = store->log.len + (off_t)frame_len > LOG_FILE_MAX;
	int error = store->log.broken || full ? log_snapshot(store) : 0;

	*doubtful = false;
	if (error < 0)
		return error;
	uint8_t *frame = malloc(frame_len);
	if (!frame)
		return -ENOMEM;
	uint64_t sequence = store->log.sequence + 1;
	error = frame_compose(store, records, len, frame, sequence);
	if (error == 0)
		error = frame_write(store, frame, frame_len, doubtful);
	if (error == 0 || *doubtful)
		store->log.sequence = sequence;
	if (error == 0) {
		memcpy(store->log.chain, frame + frame_len - CRYPT_TAG_SIZE, CRYPT_TAG_SIZE);
		store->log.len += (off_t)frame_len;
	}
	free(frame);
	return error;
}

void
log_close(struct store *store)
{
	if (store->log.fd >= 0)
		close(store->log.fd);
	store->log.fd = -1;
}
