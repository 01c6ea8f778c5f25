#include "manager/record.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vtpm/codec.h>
#include <vtpm/file.h>
#include <vtpm/log.h>
#include <vtpm/tpm12.h>

enum {
	READY_OFFSET = 256,
	ANSWERED_OFFSET = 264,
	COMMAND_OFFSET = 512,
	COMMAND_HEAD = 20,
	FILE_MAX = COMMAND_OFFSET + COMMAND_HEAD + TPM_BUFFER_SIZE + VTPM_HASH_SIZE,
};

static const char magic[8] = "VTPMRUN1";

struct record {
	atomic_uint refs;
	int fd;
};

static struct record *
record_of(int fd)
{
	struct record *record = malloc(sizeof(*record));

	if (!record) {
		close(fd);
		return NULL;
	}
	atomic_init(&record->refs, 1);
	record->fd = fd;
	return record;
}

struct record *
record_create(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0) {
		log_warning("cannot make %s: %s; a next manager will not find this instance", path,
			    strerror(errno));
		return NULL;
	}
	return record_of(fd);
}

struct record *
record_ref(struct record *record)
{
	if (record)
		atomic_fetch_add(&record->refs, 1);
	return record;
}

void
record_unref(struct record *record)
{
	if (!record || atomic_fetch_sub(&record->refs, 1) > 1)
		return;
	close(record->fd);
	free(record);
}

static bool
digest(const uint8_t *data, size_t len, uint8_t out[VTPM_HASH_SIZE])
{
	return EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) == 1;
}

static void
write_at(const struct record *record, const struct writer *w, off_t offset)
{
	if (w->failed || pwrite(record->fd, w->buf, w->len, offset) != (ssize_t)w->len)
		log_warning("the record of a running instance cannot be written: %s",
			    strerror(errno));
}

/* Writes what w has, followed by its digest, for which it has room. */
static void
write_checked(const struct record *record, struct writer *w, off_t offset)
{
	uint8_t hash[VTPM_HASH_SIZE];

	w->failed |= !digest(w->buf, w->len, hash);
	writer_bytes(w, hash, sizeof(hash));
	write_at(record, w, offset);
}

/* Whether what the reader has passed since start is followed by its digest. */
static bool
check_digest(const uint8_t *start, struct reader *r)
{
	size_t len = r->failed ? 0 : (size_t)(r->pos - start);
	const uint8_t *stored = reader_view(r, VTPM_HASH_SIZE);
	uint8_t hash[VTPM_HASH_SIZE];

	return stored && digest(start, len, hash) && memcmp(stored, hash, sizeof(hash)) == 0;
}

void
record_boot(uint8_t boot[RECORD_BOOT_SIZE])
{
	char text[VTPM_UUID_TEXT_SIZE] = "";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

	if (fd >= 0)
		close(fd);
	if (len < 0 || !uuid_parse(boot, text))
		memset(boot, 0, RECORD_BOOT_SIZE);
}

void
record_identity(struct record *record, struct record_identity *identity)
{
	uint8_t buf[READY_OFFSET];
	struct writer w = writer_of(buf, sizeof(buf));

	record_boot(identity->boot);
	writer_bytes(&w, magic, sizeof(magic));
	writer_bytes(&w, identity->boot, sizeof(identity->boot));
	writer_u32(&w, identity->pid);
	writer_u64(&w, identity->start_time);
	writer_u64(&w, identity->journal);
	writer_u8(&w, identity->startup);
	writer_u64(&w, identity->opened);
	writer_bytes(&w, identity->program, sizeof(identity->program));
	write_checked(record, &w, 0);
}

void
record_ready(struct record *record, bool ready)
{
	uint8_t buf[1];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_u8(&w, ready);
	write_at(record, &w, READY_OFFSET);
}

void
record_sent(struct record *record, const struct record_command *command)
{
	uint8_t buf[COMMAND_HEAD + TPM_BUFFER_SIZE + VTPM_HASH_SIZE];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_u64(&w, command->sequence);
	writer_u32(&w, command->backend);
	writer_u32(&w, command->locality);
	writer_sized(&w, command->data, command->len);
	write_checked(record, &w, COMMAND_OFFSET);
}

void
record_answered(struct record *record, uint64_t sequence)
{
	uint8_t buf[8];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_u64(&w, sequence);
	write_at(record, &w, ANSWERED_OFFSET);
}

static bool
read_identity(struct reader *r, struct record_identity *identity)
{
	const uint8_t *start = r->pos;
	char head[sizeof(magic)];

	reader_bytes(r, head, sizeof(head));
	reader_bytes(r, identity->boot, sizeof(identity->boot));
	identity->pid = reader_u32(r);
	identity->start_time = reader_u64(r);
	identity->journal = reader_u64(r);
	identity->startup = reader_u8(r);
	identity->opened = reader_u64(r);
	reader_bytes(r, identity->program, sizeof(identity->program));
	return memcmp(head, magic, sizeof(magic)) == 0 && check_digest(start, r);
}

/* One that was cut short by a kill was not sent either. */
static void
read_command(struct reader *r, struct record_command *command)
{
	const uint8_t *start = r->pos;

	*command = (struct record_command) { 0 };
	uint64_t sequence = reader_u64(r);
	uint32_t backend = reader_u32(r);
	uint32_t locality = reader_u32(r);
	struct reader data = reader_sized(r);
	if (data.failed || data.left > TPM_BUFFER_SIZE || !check_digest(start, r))
		return;
	command->data = malloc(data.left + 1);
	if (!command->data)
		return;
	command->sequence = sequence;
	command->backend = backend;
	command->locality = locality;
	command->len = data.left;
	reader_bytes(&data, command->data, command->len);
}

/* A reader of the file's content from offset on. */
static struct reader
reader_at(const uint8_t *data, size_t len, size_t offset)
{
	struct reader r = reader_of(data, len);

	reader_view(&r, offset);
	return r;
}

struct record *
record_open(const char *path, struct record_identity *identity, bool *ready, uint64_t *answered,
	    struct record_command *command)
{
	uint8_t boot[RECORD_BOOT_SIZE];
	struct record *record = NULL;
	uint8_t *data;
	size_t len;

	if (file_read(path, FILE_MAX, &data, &len) < 0)
		return NULL;
	record_boot(boot);
	struct reader head = reader_of(data, len);
	struct reader flag = reader_at(data, len, READY_OFFSET);
	struct reader number = reader_at(data, len, ANSWERED_OFFSET);
	struct reader sent = reader_at(data, len, COMMAND_OFFSET);
	if (read_identity(&head, identity) && memcmp(boot, identity->boot, sizeof(boot)) == 0) {
		int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

		record = fd >= 0 ? record_of(fd) : NULL;
	}
	if (record) {
		*ready = reader_u8(&flag) == 1;
		*answered = reader_u64(&number);
		read_command(&sent, command);
	} else {
		unlink(path);
	}
	free(data);
	return record;
}
