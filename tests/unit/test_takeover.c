/* What one manager leaves to the next: the record of an instance, the spool of a pipe. */
#include <event2/buffer.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vtpm/codec.h>
#include <vtpm/tpm12.h>

#include "manager/record.h"
#include "manager/spool.h"
#include "tests/unit/folder.h"
#include "tests/unit/suite.h"

static char folder[FOLDER_NAME_MAX];
static int pipe_fds[2];
static struct evbuffer *input;

static void
set_up(void)
{
	folder_make(folder);
	ck_assert_int_eq(pipe2(pipe_fds, O_NONBLOCK | O_CLOEXEC), 0);
	input = evbuffer_new();
}

static void
tear_down(void)
{
	evbuffer_free(input);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	folder_remove(folder);
}

static const char *
path(void)
{
	return folder_path(folder, "file");
}

/* The record as the next manager finds it. */
struct found {
	struct record *record;
	struct record_identity identity;
	struct record_command command;
	uint64_t answered;
	bool ready;
};

static struct found
find(void)
{
	struct found found = { 0 };

	found.record =
	    record_open(path(), &found.identity, &found.ready, &found.answered, &found.command);
	return found;
}

static void
lose(struct found *found)
{
	record_unref(found->record);
	free(found->command.data);
}

static struct record *
make_record(void)
{
	struct record_identity identity = {
		.pid = 4711,
		.start_time = 12345678901,
		.journal = 99,
		.startup = 2,
		.opened = 17,
		.program = { 1, 2, 3 },
	};
	struct record *record = record_create(path());

	ck_assert_ptr_nonnull(record);
	record_identity(record, &identity);
	return record;
}

START_TEST(a_record_tells_process_and_command)
{
	uint8_t data[] = "command";
	struct record *record = make_record();

	record_ready(record, true);
	record_answered(record, 7);
	record_sent(record, &(struct record_command) { 8, 2, 3, data, sizeof(data) });
	record_unref(record);

	struct found found = find();
	ck_assert_uint_eq(found.identity.pid, 4711);
	ck_assert_uint_eq(found.identity.start_time, 12345678901);
	ck_assert_uint_eq(found.identity.journal, 99);
	ck_assert_uint_eq(found.identity.startup, 2);
	ck_assert_uint_eq(found.identity.opened, 17);
	ck_assert_uint_eq(found.identity.program[2], 3);
	ck_assert(found.ready);
	ck_assert_uint_eq(found.answered, 7);
	ck_assert_uint_eq(found.command.sequence, 8);
	ck_assert_uint_eq(found.command.backend, 2);
	ck_assert_uint_eq(found.command.locality, 3);
	ck_assert_uint_eq(found.command.len, sizeof(data));
	ck_assert_mem_eq(found.command.data, data, sizeof(data));
	lose(&found);
}
END_TEST

START_TEST(a_record_of_a_process_that_did_nothing_yet)
{
	record_unref(make_record());
	struct found found = find();
	ck_assert_ptr_nonnull(found.record);
	ck_assert(!found.ready);
	ck_assert_uint_eq(found.answered, 0);
	ck_assert_uint_eq(found.command.sequence, 0);
	lose(&found);
}
END_TEST

START_TEST(a_command_whose_writing_was_cut_short_was_not_sent)
{
	uint8_t data[TPM_BUFFER_SIZE] = { 1 };
	struct record *record = make_record();
	struct stat st;

	record_sent(record, &(struct record_command) { 1, 0, 0, data, sizeof(data) });
	ck_assert_int_eq(stat(path(), &st), 0);
	data[0] = 2;
	record_sent(record, &(struct record_command) { 2, 0, 0, data, sizeof(data) });
	/* The second one's last byte is still that of the first. */
	int fd = open(path(), O_RDWR | O_CLOEXEC);
	uint8_t last;
	ck_assert_int_eq(pread(fd, &last, 1, st.st_size - 1), 1);
	last ^= 1;
	ck_assert_int_eq(pwrite(fd, &last, 1, st.st_size - 1), 1);
	close(fd);
	record_unref(record);
	struct found found = find();
	ck_assert_ptr_nonnull(found.record);
	ck_assert_uint_eq(found.command.sequence, 0);
	lose(&found);
}
END_TEST

/* Changes the byte at offset of the file. */
static void
flip(off_t offset)
{
	int fd = open(path(), O_RDWR | O_CLOEXEC);
	uint8_t byte;

	ck_assert_int_eq(pread(fd, &byte, 1, offset), 1);
	byte ^= 0x80;
	ck_assert_int_eq(pwrite(fd, &byte, 1, offset), 1);
	close(fd);
}

START_TEST(a_damaged_record_and_one_of_another_boot_are_removed)
{
	for (off_t offset = 0; offset < 80; offset += 4) {
		record_unref(make_record());
		flip(offset);
		struct found found = find();
		ck_assert_msg(!found.record, "byte %d", (int)offset);
		ck_assert_int_eq(access(path(), F_OK), -1);
	}
	ck_assert(!find().record);
}
END_TEST

static void
put(const char *text)
{
	ck_assert_int_eq(write(pipe_fds[1], text, strlen(text)), (int)strlen(text));
}

static struct spool *
open_spool(void)
{
	struct spool *spool = NULL;

	ck_assert_int_eq(spool_open(&spool, path()), 0);
	return spool;
}

/* Takes everything that was appended, as a text. */
static const char *
take(struct spool *spool)
{
	static char text[256];

	while (spool_fill(spool, pipe_fds[0], input) > 0)
		continue;
	int n = evbuffer_remove(input, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

START_TEST(a_spool_keeps_what_was_read_for_the_next_manager)
{
	struct spool *spool = open_spool();

	put("one.two.");
	ck_assert_str_eq(take(spool), "one.two.");
	put("three.");
	ck_assert_str_eq(take(spool), "three.");
	spool_close(spool);

	spool = open_spool();
	put("four.");
	ck_assert_str_eq(take(spool), "one.two.three.four.");
	spool_close(spool);
}
END_TEST

START_TEST(what_was_answered_is_crossed_out_for_the_next_manager)
{
	struct spool *spool = open_spool();
	bool answered;

	put("one.two.");
	ck_assert_str_eq(take(spool), "one.two.");
	uint64_t one = spool_mark(spool, 8, &answered);
	ck_assert(!answered);
	uint64_t two = spool_mark(spool, 4, &answered);
	ck_assert(!answered);
	ck_assert_uint_ne(one, two);
	spool_done(spool, one);
	spool_close(spool);

	spool = open_spool();
	ck_assert_uint_eq(evbuffer_get_length(input), 0);
	ck_assert_int_eq(spool_fill(spool, pipe_fds[0], input), 8);
	ck_assert_uint_eq(spool_mark(spool, 8, &answered), 0);
	ck_assert(answered);
	ck_assert_uint_eq(spool_mark(spool, 4, &answered), two);
	ck_assert(!answered);
	spool_close(spool);
}
END_TEST

START_TEST(a_spool_of_another_boot_is_not_read)
{
	struct spool *spool = open_spool();

	put("one.");
	take(spool);
	spool_close(spool);
	flip(0);
	spool = open_spool();
	ck_assert_str_eq(take(spool), "");
	spool_close(spool);
}
END_TEST

START_TEST(a_spool_does_not_grow_as_long_as_all_is_answered)
{
	char block[4096];
	struct spool *spool = open_spool();
	struct stat st;
	bool answered;

	memset(block, 'x', sizeof(block));
	for (int i = 0; i < 1000; i++) {
		ck_assert_int_eq(write(pipe_fds[1], block, sizeof(block)), sizeof(block));
		ck_assert_int_eq(spool_fill(spool, pipe_fds[0], input), sizeof(block));
		spool_done(spool, spool_mark(spool, sizeof(block), &answered));
		evbuffer_drain(input, sizeof(block));
	}
	ck_assert_int_eq(stat(path(), &st), 0);
	ck_assert_int_lt(st.st_size, 200000);
	spool_close(spool);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_record_tells_process_and_command,
		a_record_of_a_process_that_did_nothing_yet,
		a_command_whose_writing_was_cut_short_was_not_sent,
		a_damaged_record_and_one_of_another_boot_are_removed,
		a_spool_keeps_what_was_read_for_the_next_manager,
		what_was_answered_is_crossed_out_for_the_next_manager,
		a_spool_of_another_boot_is_not_read,
		a_spool_does_not_grow_as_long_as_all_is_answered,
		NULL,
	};

	return suite_run("takeover", tests, set_up, tear_down);
}
