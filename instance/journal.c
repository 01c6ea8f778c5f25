#include "instance/journal.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vtpm/codec.h>

enum {
	SLOTS = 2,
	SLOT_SIZE = 2 * 1024 * 1024,     /* pages that are never written take no memory */
	SLOT_HEAD = 8 + 8 + 8,           /* checksum, generation, size of the body */
	SIZE = SLOTS * SLOT_SIZE + 4096, /* behind the slots, what is noted without a record */
	PRESENCE = 1,
	OFF = 2,
};

static const uint64_t journal_magic = 0x7654504a00000002; /* "vTPJ", version 2 */

struct journal {
	uint8_t *slots;
	_Atomic uint64_t *delivered;
	uint64_t generation; /* of the newest record */
};

static uint8_t *
slot_of(const struct journal *journal, uint64_t generation)
{
	return journal->slots + (generation % SLOTS) * SLOT_SIZE;
}

/*
 * Tells a record that was cut by the death of its writer from a whole one; against people, the
 * memory is protected by who has it. Words at a time: it is taken at every command.
 */
static uint64_t
checksum(const uint8_t *data, size_t len)
{
	uint64_t sum = journal_magic ^ len;

	while (len > 0) {
		size_t n = len < 8 ? len : 8;
		uint64_t word = 0;

		memcpy(&word, data, n);
		sum = (sum ^ word) * 0x9e3779b97f4a7c15;
		sum ^= sum >> 32;
		data += n;
		len -= n;
	}
	return sum;
}

int
journal_open(int fd, struct journal **journal)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || (st.st_size < SIZE && ftruncate(fd, SIZE) < 0))
		return -errno;
	struct journal *j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	void *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		int error = errno;

		free(j);
		return -error;
	}
	j->slots = map;
	j->delivered = (_Atomic uint64_t *)(void *)(j->slots + SLOTS * SLOT_SIZE);
	*journal = j;
	return 0;
}

void
journal_close(struct journal *journal)
{
	if (!journal)
		return;
	munmap(journal->slots, SIZE);
	free(journal);
}

/* The generation of a whole record in a slot, 0 for none. */
static uint64_t
slot_generation(const uint8_t *slot)
{
	struct reader r = reader_of(slot, SLOT_HEAD);
	uint64_t sum = reader_u64(&r);
	uint64_t generation = reader_u64(&r);
	uint64_t size = reader_u64(&r);

	if (generation == 0 || size > SLOT_SIZE - SLOT_HEAD ||
	    checksum(slot + 8, SLOT_HEAD - 8 + (size_t)size) != sum)
		return 0;
	return generation;
}

static void
read_part(struct reader *r, const uint8_t **part, size_t *len)
{
	struct reader sized = reader_sized(r);

	*part = sized.pos;
	*len = sized.left;
}

bool
journal_read(struct journal *journal, struct journal_record *record)
{
	const uint8_t *newest = NULL;

	journal->generation = 0;
	for (unsigned i = 0; i < SLOTS; i++) {
		const uint8_t *slot = slot_of(journal, i);
		uint64_t generation = slot_generation(slot);

		if (generation > journal->generation) {
			journal->generation = generation;
			newest = slot;
		}
	}
	if (!newest)
		return false;
	struct reader r = reader_of(newest + 16, 8);
	r = reader_of(newest + SLOT_HEAD, reader_u64(&r));
	record->sequence = reader_u64(&r);
	uint8_t flags = reader_u8(&r);
	record->presence = flags & PRESENCE;
	record->off = flags & OFF;
	read_part(&r, &record->response, &record->response_len);
	read_part(&r, &record->volatile_state, &record->volatile_len);
	read_part(&r, &record->nvm, &record->nvm_len);
	record->qemu_number = reader_u64(&r);
	read_part(&r, &record->qemu_response, &record->qemu_response_len);
	return reader_done(&r);
}

int
journal_write(struct journal *journal, const struct journal_record *record)
{
	uint8_t *slot = slot_of(journal, journal->generation + 1);
	struct writer w = writer_of(slot, SLOT_SIZE);

	writer_u64(&w, 0); /* the checksum: no record from here ... */
	writer_u64(&w, journal->generation + 1);
	writer_u64(&w, 0);
	writer_u64(&w, record->sequence);
	writer_u8(&w, (record->presence ? PRESENCE : 0) | (record->off ? OFF : 0));
	writer_sized(&w, record->response, record->response_len);
	writer_sized(&w, record->volatile_state, record->volatile_len);
	writer_sized(&w, record->nvm, record->nvm_len);
	writer_u64(&w, record->qemu_number);
	writer_sized(&w, record->qemu_response, record->qemu_response_len);
	if (w.failed) {
		journal_clear(journal);
		return -EMSGSIZE;
	}
	struct writer head = writer_of(slot + 16, 8);
	writer_u64(&head, w.len - SLOT_HEAD);
	head = writer_of(slot, 8);
	writer_u64(&head, checksum(slot + 8, w.len - 8)); /* ... to here */
	journal->generation++;
	return 0;
}

void
journal_deliver(struct journal *journal, uint64_t number)
{
	atomic_store(journal->delivered, number);
}

uint64_t
journal_delivered(const struct journal *journal)
{
	return atomic_load(journal->delivered);
}

void
journal_clear(struct journal *journal)
{
	for (unsigned i = 0; i < SLOTS; i++)
		memset(slot_of(journal, i), 0, SLOT_HEAD);
}
