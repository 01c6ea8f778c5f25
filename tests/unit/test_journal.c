/* What a killed vtpmd leaves to the next. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "instance/journal.h"
#include "tests/unit/suite.h"

static int fd;
static struct journal *journal;
static struct journal_record found;

static void
set_up(void)
{
	fd = memfd_create("journal", MFD_CLOEXEC);
	ck_assert_int_eq(journal_open(fd, &journal), 0);
}

static void
tear_down(void)
{
	journal_close(journal);
	close(fd);
}

/* The journal as the next process sees it. */
static bool
read_again(void)
{
	journal_close(journal);
	ck_assert_int_eq(journal_open(fd, &journal), 0);
	return journal_read(journal, &found);
}

static int
write_record(uint64_t sequence, const char *response)
{
	struct journal_record record = {
		.sequence = sequence,
		.presence = sequence % 2 == 0,
		.response = (const uint8_t *)response,
		.response_len = strlen(response),
		.volatile_state = (const uint8_t *)"volatile",
		.volatile_len = 8,
		.nvm = (const uint8_t *)"nvm",
		.nvm_len = 3,
		.off = sequence % 3 == 0,
		.qemu_number = 2 * sequence,
		.qemu_response = (const uint8_t *)"qemu",
		.qemu_response_len = 4,
	};

	return journal_write(journal, &record);
}

START_TEST(new_memory_holds_no_record)
{
	ck_assert(!read_again());
}
END_TEST

START_TEST(the_newest_record_is_found)
{
	for (uint64_t i = 1; i <= 5; i++)
		ck_assert_int_eq(write_record(i, "response"), 0);
	ck_assert(read_again());
	ck_assert_uint_eq(found.sequence, 5);
	ck_assert(!found.presence);
	ck_assert_uint_eq(found.response_len, 8);
	ck_assert_mem_eq(found.response, "response", 8);
	ck_assert_uint_eq(found.volatile_len, 8);
	ck_assert_mem_eq(found.volatile_state, "volatile", 8);
	ck_assert_uint_eq(found.nvm_len, 3);
	ck_assert_mem_eq(found.nvm, "nvm", 3);

	ck_assert_int_eq(write_record(6, ""), 0);
	ck_assert(read_again());
	ck_assert_uint_eq(found.sequence, 6);
	ck_assert(found.presence);
	ck_assert_uint_eq(found.response_len, 0);
}
END_TEST

/* Flips one byte of what is new since before, as a write that was cut would leave it. */
START_TEST(a_record_that_was_cut_leaves_the_one_before)
{
	struct stat st;

	ck_assert_int_eq(write_record(1, "first"), 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	size_t size = (size_t)st.st_size;
	uint8_t *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(map, MAP_FAILED);
	uint8_t *before = malloc(size);
	memcpy(before, map, size);
	ck_assert_int_eq(write_record(2, "second"), 0);

	unsigned cut = 0;
	for (size_t i = 0; i < size; i++) {
		if (map[i] == before[i])
			continue;
		uint8_t whole = map[i];
		map[i] = before[i];
		ck_assert(read_again());
		ck_assert_uint_eq(found.sequence, 1);
		ck_assert_mem_eq(found.response, "first", 5);
		map[i] = whole;
		cut++;
	}
	ck_assert_uint_gt(cut, 20);
	ck_assert(read_again());
	ck_assert_uint_eq(found.sequence, 2);
	free(before);
	munmap(map, size);
}
END_TEST

START_TEST(writing_goes_on_in_the_slot_that_was_cut)
{
	ck_assert_int_eq(write_record(1, "first"), 0);
	ck_assert_int_eq(write_record(2, "second"), 0);
	ck_assert(read_again());
	ck_assert_int_eq(write_record(3, "third"), 0);
	ck_assert(read_again());
	ck_assert_uint_eq(found.sequence, 3);
}
END_TEST

START_TEST(a_record_that_does_not_fit_leaves_none)
{
	size_t size = 3 * 1024 * 1024;
	uint8_t *huge = calloc(1, size);
	struct journal_record record = { .sequence = 9,
					 .volatile_state = huge,
					 .volatile_len = size };

	ck_assert_int_eq(write_record(1, "first"), 0);
	ck_assert_int_eq(journal_write(journal, &record), -EMSGSIZE);
	/* What is left must not be taken for the latest. */
	ck_assert(!read_again());
	ck_assert_int_eq(write_record(2, "second"), 0);
	ck_assert(read_again());
	ck_assert_uint_eq(found.sequence, 2);
	free(huge);
}
END_TEST

START_TEST(what_is_no_memory_is_refused)
{
	struct journal *other;
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_lt(journal_open(ends[0], &other), 0);
	ck_assert_int_eq(journal_open(-1, &other), -EBADF);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(what_qemu_was_answered_is_kept)
{
	ck_assert_int_eq(write_record(3, "first"), 0);
	ck_assert(read_again());
	ck_assert(found.off);
	ck_assert_uint_eq(found.qemu_number, 6);
	ck_assert_uint_eq(found.qemu_response_len, 4);
	ck_assert_mem_eq(found.qemu_response, "qemu", 4);
	ck_assert_uint_eq(journal_delivered(journal), 0);
	journal_deliver(journal, 6);
	ck_assert(read_again());
	ck_assert_uint_eq(journal_delivered(journal), 6);
	ck_assert(found.off);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		what_qemu_was_answered_is_kept,
		new_memory_holds_no_record,
		the_newest_record_is_found,
		a_record_that_was_cut_leaves_the_one_before,
		writing_goes_on_in_the_slot_that_was_cut,
		a_record_that_does_not_fit_leaves_none,
		what_is_no_memory_is_refused,
		NULL,
	};

	return suite_run("journal", tests, set_up, tear_down);
}
