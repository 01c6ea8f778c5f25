/* The store: what it refuses, and that it changes nothing then. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/stored.h"
#include "tests/unit/suite.h"

START_TEST(a_file_put_back_from_yesterday_is_refused_and_others_run)
{
	uint32_t a = stored_define(1);
	uint32_t b = stored_define(2);

	stored_save(a, "yesterday");
	stored_save(b, "fine");
	folder_copy(stored_folder, stored_file(a), "yesterday");
	stored_save(a, "today");
	store_close(stored);
	folder_rename(stored_folder, "yesterday", stored_file(a));
	ck_assert_int_eq(store_open(&stored, stored_folder), 0);
	ck_assert_int_eq(store_unlock(stored, stored_key), 0);
	stored_is_refused(a);
	stored_is(b, "fine");
}
END_TEST

START_TEST(a_file_put_back_from_yesterday_is_refused_after_kill_9_too)
{
	uint32_t id = stored_define(1);

	stored_save(id, "yesterday");
	folder_copy(stored_folder, stored_file(id), "yesterday");
	stored_save(id, "today");
	stored_die_and_reopen();
	stored_is(id, "today");
	stored_save(id, "later today");
	folder_rename(stored_folder, "yesterday", stored_file(id));
	stored_die_and_reopen();
	stored_is_refused(id);
}
END_TEST

START_TEST(swapped_files_are_refused)
{
	uint32_t a = stored_define(1);
	uint32_t b = stored_define(2);
	char name[64];

	stored_save(a, "a");
	stored_save(b, "b");
	strcpy(name, stored_file(b));
	folder_rename(stored_folder, stored_file(a), "tmp");
	folder_rename(stored_folder, name, stored_file(a));
	folder_rename(stored_folder, "tmp", name);
	stored_reopen();
	stored_is_refused(a);
	stored_is_refused(b);
}
END_TEST

START_TEST(a_file_with_any_byte_changed_is_refused)
{
	uint32_t id = stored_define(1);

	stored_save(id, "0123456789");
	for (size_t i = 0; i < stored_size_of(stored_file(id)); i++) {
		stored_flip(stored_file(id), i);
		stored_reopen();
		stored_is_refused(id);
		stored_flip(stored_file(id), i);
	}
	stored_reopen();
	stored_is(id, "0123456789");
}
END_TEST

START_TEST(a_cut_lengthened_or_missing_file_is_refused)
{
	uint32_t id = stored_define(1);

	stored_save(id, "0123456789");
	size_t size = stored_size_of(stored_file(id));
	folder_copy(stored_folder, stored_file(id), "good");
	for (size_t len = 0; len < size; len++) {
		ck_assert_int_eq(truncate(folder_path(stored_folder, stored_file(id)), (off_t)len),
				 0);
		stored_reopen();
		stored_is_refused(id);
		folder_copy(stored_folder, "good", stored_file(id));
	}
	ck_assert_int_eq(truncate(folder_path(stored_folder, stored_file(id)), (off_t)size + 1), 0);
	stored_reopen();
	stored_is_refused(id);
	unlink(folder_path(stored_folder, stored_file(id)));
	stored_reopen();
	stored_is_refused(id);
}
END_TEST

START_TEST(a_file_of_an_earlier_instance_with_the_same_number_is_refused)
{
	uint32_t id = stored_define(1);

	stored_save(id, "first owner");
	folder_copy(stored_folder, stored_file(id), "old");
	ck_assert_int_eq(store_delete(stored, id), 0);
	ck_assert_uint_eq(stored_define(2), id);
	folder_rename(stored_folder, "old", stored_file(id));
	stored_reopen();
	stored_is_refused(id);
}
END_TEST

START_TEST(a_table_with_any_byte_changed_is_refused_and_nothing_touched)
{
	uint32_t id = stored_define(1);

	stored_save(id, "nvm");
	ck_assert_int_eq(store_set_seal(stored, (const uint8_t *)"seal", 4), 0);
	for (size_t i = 12; i < stored_size_of("VTPM"); i += 5) {
		stored_flip("VTPM", i);
		stored_refused_untouched(-EUCLEAN);
		stored_flip("VTPM", i);
		ck_assert_int_eq(store_open(&stored, stored_folder), 0);
	}
	ck_assert_int_eq(store_unlock(stored, stored_key), 0);
	stored_is(id, "nvm");
}
END_TEST

START_TEST(a_log_damaged_before_its_end_is_refused_and_nothing_touched)
{
	uint32_t id = stored_define(1);

	stored_save(id, "nvm");
	size_t first = stored_size_of("VTPM.log");
	stored_save(id, "more");
	stored_die_and_close();
	stored_flip("VTPM.log", first - 3);
	stored_refused_untouched(-EUCLEAN);
}
END_TEST

START_TEST(a_log_put_back_from_yesterday_makes_the_newer_files_refused)
{
	uint32_t a = stored_define(1);
	uint32_t b = stored_define(2);

	stored_save(a, "a");
	folder_copy(stored_folder, "VTPM.log", "yesterday");
	stored_save(a, "newer");
	stored_save(b, "first");
	stored_die_and_close();
	folder_rename(stored_folder, "yesterday", "VTPM.log");
	ck_assert_int_eq(store_open(&stored, stored_folder), 0);
	ck_assert_int_eq(store_unlock(stored, stored_key), 0);
	stored_is_refused(a);
	stored_is_refused(b);
}
END_TEST

START_TEST(another_root_key_opens_nothing)
{
	uint8_t other[STORE_KEY_SIZE] = { 9 };

	stored_define(1);
	store_close(stored);
	ck_assert_int_eq(store_open(&stored, stored_folder), 0);
	ck_assert_int_eq(store_unlock(stored, other), -EUCLEAN);
	ck_assert_int_eq(store_unlock(stored, stored_key), 0);
}
END_TEST

START_TEST(a_newer_format_is_refused_and_nothing_touched)
{
	stored_flip("VTPM", 8 + 2);
	stored_refused_untouched(-EOVERFLOW);
}
END_TEST

START_TEST(a_folder_without_its_table_is_not_taken_for_a_new_one)
{
	uint32_t id = stored_define(1);

	stored_save(id, "nvm");
	stored_die_and_close();
	unlink(folder_path(stored_folder, "VTPM"));
	stored_refused_untouched(-EUCLEAN);
	unlink(folder_path(stored_folder, "VTPM.log"));
	stored_refused_untouched(-EUCLEAN);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_file_put_back_from_yesterday_is_refused_and_others_run,
		a_file_put_back_from_yesterday_is_refused_after_kill_9_too,
		swapped_files_are_refused,
		a_file_with_any_byte_changed_is_refused,
		a_cut_lengthened_or_missing_file_is_refused,
		a_file_of_an_earlier_instance_with_the_same_number_is_refused,
		a_table_with_any_byte_changed_is_refused_and_nothing_touched,
		a_log_damaged_before_its_end_is_refused_and_nothing_touched,
		a_log_put_back_from_yesterday_makes_the_newer_files_refused,
		another_root_key_opens_nothing,
		a_newer_format_is_refused_and_nothing_touched,
		a_folder_without_its_table_is_not_taken_for_a_new_one,
		NULL,
	};

	return suite_run("store refusal", tests, stored_set_up, stored_tear_down);
}
