/* The store: what it mends itself, and what the operator decides. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "tests/unit/disk.h"
#include "tests/unit/stored.h"
#include "tests/unit/suite.h"

START_TEST(a_file_that_a_power_cut_left_behind_is_restored_from_the_log)
{
	uint32_t id = stored_define(1);

	disk_boot(1);
	stored_reopen();
	stored_save(id, "yesterday");
	folder_copy(stored_folder, stored_file(id), "yesterday");
	stored_save(id, "today");
	folder_rename(stored_folder, "yesterday", stored_file(id));
	disk_boot(2);
	stored_die_and_reopen();
	stored_is(id, "today");
	stored_reopen();
	stored_is(id, "today");
}
END_TEST

START_TEST(a_change_torn_at_the_end_of_the_log_does_not_count)
{
	uint32_t id = stored_define(1);
	struct store_instance instance;

	stored_save(id, "nvm");
	size_t good = stored_size_of("VTPM.log");
	ck_assert_int_eq(store_find(stored, id, &instance), 0);
	instance.fence = 5;
	ck_assert_int_eq(store_update(stored, &instance), 0);
	size_t torn = stored_size_of("VTPM.log");
	stored_die_and_close();
	folder_copy(stored_folder, "VTPM", "table");
	folder_copy(stored_folder, "VTPM.log", "whole");
	for (size_t len = good; len < torn; len += 7) {
		store_close(stored);
		folder_copy(stored_folder, "table", "VTPM");
		folder_copy(stored_folder, "whole", "VTPM.log");
		ck_assert_int_eq(truncate(folder_path(stored_folder, "VTPM.log"), (off_t)len), 0);
		ck_assert_int_eq(store_open(&stored, stored_folder), 0);
		ck_assert_int_eq(store_unlock(stored, stored_key), 0);
		ck_assert_int_eq(store_find(stored, id, &instance), 0);
		ck_assert_uint_eq(instance.fence, 0);
		stored_is(id, "nvm");
	}
}
END_TEST

START_TEST(a_file_lost_while_the_manager_runs_concerns_no_other_instance)
{
	uint32_t a = stored_define(1);
	uint32_t b = stored_define(2);

	stored_save(a, "a");
	stored_save(b, "b");
	unlink(folder_path(stored_folder, stored_file(a)));
	/* Has the log folded. */
	ck_assert_int_eq(store_set_seal(stored, (const uint8_t *)"seal", 4), 0);
	stored_save(b, "newer");
	stored_reopen();
	stored_is_refused(a);
	stored_is(b, "newer");
}
END_TEST

START_TEST(an_operator_can_accept_an_old_file)
{
	uint32_t id = stored_define(1);
	struct store_instance instance;

	stored_save(id, "yesterday");
	folder_copy(stored_folder, stored_file(id), "yesterday");
	stored_save(id, "today");
	folder_copy(stored_folder, stored_file(id), "today");
	ck_assert_int_eq(store_recover(stored, id), -EALREADY);
	folder_rename(stored_folder, "yesterday", stored_file(id));
	stored_reopen();
	stored_is_refused(id);
	ck_assert_int_eq(store_recover(stored, id), 0);
	stored_is(id, "yesterday");
	stored_reopen();
	stored_is(id, "yesterday");
	ck_assert_int_eq(store_find(stored, id, &instance), 0);
	ck_assert(!instance.refused);
	ck_assert(instance.flags & STORE_FLAG_RECOVERED);
	/* Neither of the old files passes any more. */
	folder_rename(stored_folder, "today", stored_file(id));
	stored_reopen();
	stored_is_refused(id);
}
END_TEST

START_TEST(an_edited_file_cannot_be_recovered)
{
	uint32_t id = stored_define(1);

	stored_save(id, "nvm");
	stored_flip(stored_file(id), stored_size_of(stored_file(id)) - 1);
	stored_reopen();
	ck_assert_int_eq(store_recover(stored, id), -EUCLEAN);
	stored_is_refused(id);
}
END_TEST

struct verified {
	unsigned good;
	unsigned bad;
	uint32_t last_bad;
};

static void
note_verified(void *ctx, uint32_t id, int error, const char *text)
{
	struct verified *verified = ctx;

	ck_assert_ptr_nonnull(text);
	if (error == 0) {
		verified->good++;
	} else {
		verified->bad++;
		verified->last_bad = id;
	}
}

START_TEST(verify_names_what_is_bad_and_takes_back_what_is_good_again)
{
	uint32_t a = stored_define(1);
	uint32_t b = stored_define(2);
	struct verified verified = { 0 };

	stored_define(3);
	stored_save(a, "a");
	stored_save(b, "b");
	ck_assert_int_eq(store_verify(stored, 0, note_verified, &verified), 0);
	ck_assert_uint_eq(verified.good, 3);
	stored_flip(stored_file(b), 60);
	ck_assert_int_eq(store_verify(stored, 0, note_verified, &verified), 1);
	ck_assert_uint_eq(verified.last_bad, b);
	stored_reopen();
	stored_is_refused(b);
	stored_flip(stored_file(b), 60);
	ck_assert_int_eq(store_verify(stored, b, note_verified, &verified), 0);
	stored_is(b, "b");
	folder_copy(stored_folder, stored_file(a), "vtpm_dm_77.data");
	ck_assert_int_eq(store_verify(stored, 0, note_verified, &verified), 1);
	ck_assert_uint_eq(verified.last_bad, 0);
	struct store_instance wanted = { .id = 77, .uuid = { 77 } };
	ck_assert_int_eq(store_define(stored, &wanted, NULL), -EEXIST);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_file_that_a_power_cut_left_behind_is_restored_from_the_log,
		a_change_torn_at_the_end_of_the_log_does_not_count,
		a_file_lost_while_the_manager_runs_concerns_no_other_instance,
		an_operator_can_accept_an_old_file,
		an_edited_file_cannot_be_recovered,
		verify_names_what_is_bad_and_takes_back_what_is_good_again,
		NULL,
	};

	return suite_run("store recovery", tests, stored_set_up, stored_tear_down);
}
