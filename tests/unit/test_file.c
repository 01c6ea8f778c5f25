/* Files: whole or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vtpm/file.h>

#include "tests/unit/suite.h"

static char folder[64];
static char path[96];

static void
set_up(void)
{
	snprintf(folder, sizeof(folder), "/tmp/vtpm-test-file-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/file", folder);
}

static void
tear_down(void)
{
	char tmp[128];

	snprintf(tmp, sizeof(tmp), "%s.tmp", path);
	unlink(path);
	unlink(tmp);
	rmdir(tmp);
	rmdir(folder);
}

static void
assert_content(const char *expected)
{
	uint8_t *data;
	size_t len;

	ck_assert_int_eq(file_read(path, 100, &data, &len), 0);
	ck_assert_uint_eq(len, strlen(expected));
	ck_assert_mem_eq(data, expected, len);
	free(data);
}

START_TEST(what_was_written_is_read_back)
{
	struct stat st;

	ck_assert_int_eq(file_write_durable(path, "first", 5, 0600), 0);
	assert_content("first");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
}
END_TEST

START_TEST(a_shorter_content_leaves_nothing_of_the_longer_one)
{
	ck_assert_int_eq(file_write_durable(path, "a long content", 14, 0600), 0);
	ck_assert_int_eq(file_write_durable(path, "short", 5, 0600), 0);
	assert_content("short");
	ck_assert_int_eq(file_write_durable(path, "", 0, 0600), 0);
	assert_content("");
}
END_TEST

START_TEST(a_failed_write_leaves_the_old_content_and_no_rubbish)
{
	char tmp[128];

	ck_assert_int_eq(file_write_durable(path, "old", 3, 0600), 0);
	snprintf(tmp, sizeof(tmp), "%s.tmp", path);
	ck_assert_int_eq(mkdir(tmp, 0700), 0);
	ck_assert_int_eq(file_write_durable(path, "new", 3, 0600), -EISDIR);
	assert_content("old");
	rmdir(tmp);

	/* /dev/full is the disk without room: the temporary file there fails in the write. */
	ck_assert_int_eq(symlink("/dev/full", tmp), 0);
	ck_assert_int_eq(file_write_durable(path, "new", 3, 0600), -ELOOP);
	ck_assert_int_eq(access(tmp, F_OK), -1);
	assert_content("old");
}
END_TEST

START_TEST(a_file_over_the_limit_is_not_read)
{
	uint8_t *data;
	size_t len;

	ck_assert_int_eq(file_write_durable(path, "12345", 5, 0600), 0);
	ck_assert_int_eq(file_read(path, 4, &data, &len), -EFBIG);
	ck_assert_int_eq(file_read(path, 5, &data, &len), 0);
	free(data);
}
END_TEST

START_TEST(what_is_no_regular_file_is_refused_at_once)
{
	uint8_t *data;
	size_t len;

	ck_assert_int_eq(file_read(path, 100, &data, &len), -ENOENT);
	ck_assert_int_eq(file_read(folder, 100, &data, &len), -EINVAL);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(file_read(path, 100, &data, &len), -EINVAL);
}
END_TEST

START_TEST(a_lock_is_held_against_other_processes_and_names_its_holder)
{
	pid_t holder = -1;
	int status;

	int lock = file_lock(path, &holder);
	ck_assert_int_ge(lock, 0);
	pid_t parent = getpid();
	pid_t child = fork();
	if (child == 0) {
		pid_t seen = -1;

		_exit(file_lock(path, &seen) == -EAGAIN && seen == parent ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);

	close(lock);
	child = fork();
	if (child == 0)
		_exit(file_lock(path, NULL) >= 0 ? 0 : 1);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		what_was_written_is_read_back,
		a_shorter_content_leaves_nothing_of_the_longer_one,
		a_failed_write_leaves_the_old_content_and_no_rubbish,
		a_file_over_the_limit_is_not_read,
		what_is_no_regular_file_is_refused_at_once,
		a_lock_is_held_against_other_processes_and_names_its_holder,
		NULL,
	};

	return suite_run("file", tests, set_up, tear_down);
}
