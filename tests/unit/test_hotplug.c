/* Running hotplug scripts beside everything else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/hotplug.h"
#include "tests/unit/folder.h"
#include "tests/unit/suite.h"

static char folder[FOLDER_NAME_MAX];
static struct event_base *base;
static struct hotplug *hotplug;
static unsigned ended, succeeded;

static void
on_done(void *ctx, bool ok)
{
	ck_assert_ptr_eq(ctx, &ended);
	ended++;
	succeeded += ok;
}

static void
set_up(void)
{
	folder_make(folder);
	base = event_base_new();
	ended = succeeded = 0;
}

static void
tear_down(void)
{
	hotplug_free(hotplug);
	event_base_free(base);
	folder_remove(folder);
}

/* script: the hotplug script is this shell script, in its folder. */
static void
script(const char *text)
{
	const char *path = folder_path(folder, "script");
	FILE *file = fopen(path, "w");

	fprintf(file, "#!/bin/sh\ncd \"${0%%/*}\"\n%s\n", text);
	fclose(file);
	chmod(path, 0755);
	hotplug = hotplug_new(base, path);
	ck_assert_ptr_nonnull(hotplug);
}

static struct hotplug_run *
run(const char *key, const char *verb)
{
	const char *const env[] = { "XENBUS_PATH=/a b", NULL };
	struct hotplug_run *started = hotplug_start(hotplug, key, verb, env, on_done, &ended);

	ck_assert_ptr_nonnull(started);
	ck_assert_uint_eq(ended, 0);
	return started;
}

/* said: what scripts have written into the file `said`. */
static const char *
said(void)
{
	static char text[256];
	FILE *file = fopen(folder_path(folder, "said"), "r");

	memset(text, 0, sizeof(text));
	if (file) {
		ck_assert_uint_lt(fread(text, 1, sizeof(text) - 1, file), sizeof(text));
		fclose(file);
	}
	return text;
}

static void
until_ended(unsigned count)
{
	while (ended < count)
		event_base_loop(base, EVLOOP_ONCE);
}

START_TEST(script_gets_its_verb_and_environment)
{
	setenv("INHERITED", "yes", 1);
	script("echo \"$1 $XENBUS_PATH $INHERITED\" >said");
	run("key", "add");
	until_ended(1);
	ck_assert_uint_eq(succeeded, 1);
	ck_assert_str_eq(said(), "add /a b yes\n");
}
END_TEST

START_TEST(failure_and_a_missing_script_are_reported)
{
	script("exit 3");
	run("key", "add");
	until_ended(1);
	ck_assert_uint_eq(succeeded, 0);
	unlink(folder_path(folder, "script"));
	ended = 0;
	run("key", "remove");
	until_ended(1);
	ck_assert_uint_eq(succeeded, 0);
}
END_TEST

START_TEST(scripts_of_one_key_run_in_order)
{
	script("echo \"$1 begins\" >>said; echo \"$1 ends\" >>said");
	run("key", "add");
	run("key", "remove");
	run("key", "add-again");
	until_ended(3);
	ck_assert_str_eq(said(), "add begins\nadd ends\nremove begins\nremove ends\n"
				 "add-again begins\nadd-again ends\n");
}
END_TEST

START_TEST(scripts_of_different_keys_run_side_by_side)
{
	mkfifo(folder_path(folder, "meet"), 0600);
	/* Each side of a pipe waits for the other. */
	script("[ $1 = add ] && echo hello >meet || cat meet >said");
	run("one", "add");
	run("two", "remove");
	until_ended(2);
	ck_assert_str_eq(said(), "hello\n");
}
END_TEST

START_TEST(script_after_one_that_could_not_start_runs)
{
	script("echo ran >said");
	rename(folder_path(folder, "script"), folder_path(folder, "hidden"));
	run("key", "add");
	run("key", "remove");
	until_ended(2);
	rename(folder_path(folder, "hidden"), folder_path(folder, "script"));
	ended = 0;
	run("key", "add");
	until_ended(1);
	ck_assert_uint_eq(succeeded, 1);
}
END_TEST

START_TEST(forgotten_script_runs_to_its_end_in_silence)
{
	script("echo ran >said");
	hotplug_forget(run("key", "add"));
	run("key", "remove");
	until_ended(1);
	ck_assert_uint_eq(ended, 1);
	ck_assert_str_eq(said(), "ran\n");
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		script_gets_its_verb_and_environment,
		failure_and_a_missing_script_are_reported,
		scripts_of_one_key_run_in_order,
		scripts_of_different_keys_run_side_by_side,
		script_after_one_that_could_not_start_runs,
		forgotten_script_runs_to_its_end_in_silence,
		NULL,
	};

	return suite_run("hotplug", tests, set_up, tear_down);
}
