/* Messages for the operator. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vtpm/log.h>

#include "tests/unit/suite.h"

static int saved_stderr;
static int pipe_ends[2];

static void
set_up(void)
{
	ck_assert_int_eq(pipe(pipe_ends), 0);
	saved_stderr = dup(STDERR_FILENO);
	dup2(pipe_ends[1], STDERR_FILENO);
	log_set_name("test");
	log_set_level("info");
}

static void
tear_down(void)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
}

/* What was written to stderr so far; something must have been. */
static const char *
written(void)
{
	static char text[8192];

	ssize_t n = read(pipe_ends[0], text, sizeof(text) - 1);
	text[n < 0 ? 0 : n] = '\0';
	return text;
}

START_TEST(a_line_names_program_and_level)
{
	log_error("no %s", "luck");
	ck_assert_str_eq(written(), "test: error: no luck\n");
}
END_TEST

START_TEST(what_is_beyond_the_level_is_not_shown)
{
	ck_assert_int_eq(log_set_level("loud"), -EINVAL);
	ck_assert_int_eq(log_set_level("error"), 0);
	log_warning("one");
	log_debug("two");
	log_error("three");
	ck_assert_str_eq(written(), "test: error: three\n");
}
END_TEST

START_TEST(control_characters_of_a_peer_make_no_lines_of_their_own)
{
	log_info("name is %s", "x\ntest: error: faked\033[2J");
	ck_assert_str_eq(written(), "test: name is x?test: error: faked?[2J\n");
}
END_TEST

START_TEST(a_line_that_is_too_long_is_cut)
{
	char text[5000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_info("%s", text);
	const char *line = written();
	ck_assert_uint_lt(strlen(line), 1025);
	ck_assert_int_eq(line[strlen(line) - 1], '\n');
}
END_TEST

START_TEST(a_flood_is_shown_five_times_a_minute)
{
	struct log_limit limit = { 0 };

	for (int i = 0; i < 100; i++)
		log_limited(&limit, LOG_LEVEL_WARNING, "flood %d", i);
	const char *text = written();
	ck_assert_ptr_nonnull(strstr(text, "flood 4 (more of this kind"));
	ck_assert_ptr_null(strstr(text, "flood 5"));
	limit.since -= 60;
	log_limited(&limit, LOG_LEVEL_WARNING, "again");
	ck_assert_str_eq(written(), "test: warning: again\n");
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_line_names_program_and_level,
		what_is_beyond_the_level_is_not_shown,
		control_characters_of_a_peer_make_no_lines_of_their_own,
		a_line_that_is_too_long_is_cut,
		a_flood_is_shown_five_times_a_minute,
		NULL,
	};

	return suite_run("log", tests, set_up, tear_down);
}
