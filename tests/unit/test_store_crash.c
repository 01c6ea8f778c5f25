/*
 * The store on a disk that loses power before any one call, or fails in any one call: the state is
 * the old or the new one, never neither, and what was reported as durable is there.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/store.h"
#include "tests/unit/disk.h"
#include "tests/unit/folder.h"
#include "tests/unit/suite.h"

enum { CHANCES = 24 };
enum { FIRST_BOOT = 1, SECOND_BOOT };

static const uint8_t key[STORE_KEY_SIZE] = { 1, 2, 3 };
static char folder[FOLDER_NAME_MAX];
static char image[FOLDER_NAME_MAX];
static char image_of_image[FOLDER_NAME_MAX];
static struct store *store;

static void
save(uint32_t id, const char *nvm)
{
	ck_assert_int_eq(store_save_nvm_wait(store, id, (const uint8_t *)nvm, strlen(nvm)), 0);
}

static void
define(uint32_t id)
{
	struct store_instance instance = { .id = id, .uuid = { (uint8_t)id } };

	ck_assert_int_eq(store_define(store, &instance, NULL), 0);
}

/* Instances 1 and 2 have been saved, 3 has not. */
static void
set_up(void)
{
	folder_make(folder);
	folder_make(image);
	folder_make(image_of_image);
	disk_boot(FIRST_BOOT);
	ck_assert_int_eq(store_open(&store, folder), 0);
	ck_assert_int_eq(store_create(store, key, (const uint8_t *)"seal", 4), 0);
	define(1);
	define(2);
	define(3);
	save(1, "a good deal older");
	save(1, "old");
	save(2, "old");
}

static void
tear_down(void)
{
	folder_remove(folder);
	folder_remove(image);
	folder_remove(image_of_image);
}

static void
open_store(const char *dir)
{
	ck_assert_int_eq(store_open(&store, dir), 0);
	ck_assert_int_eq(store_unlock(store, key), 0);
}

/* Whether the NVM of an instance is the new one; it must be that or the old one (NULL: none). */
static bool
is_new(uint32_t id, const char *old, const char *new)
{
	uint8_t *data;
	size_t len;

	ck_assert_int_eq(store_load_nvm(store, id, &data, &len), 0);
	bool found_new = len == strlen(new) && memcmp(data, new, len) == 0;
	bool found_old = old ? len == strlen(old) && memcmp(data, old, len) == 0 : data == NULL;
	free(data);
	ck_assert(found_new || found_old);
	return found_new;
}

static void
ignore(void *ctx, uint32_t id, int error, const char *text)
{
	(void)ctx;
	(void)id;
	(void)error;
	(void)text;
}

/*
 * Does something, then opens what the disk may hold if the power fails before any one of its calls.
 * check gets whether the change had been reported as durable by then.
 */
static void
crash_everywhere(void (*act)(void), void (*check)(bool durable))
{
	unsigned reported = 0;

	disk_watch(folder);
	act();
	disk_mark();
	disk_unwatch();
	store_close(store);
	ck_assert_uint_gt(disk_calls(), 0);
	for (unsigned n = 0; n <= disk_calls(); n++) {
		for (unsigned chance = 0; chance < CHANCES; chance++) {
			bool durable = disk_image(image, n, chance);

			disk_boot(chance == 0 ? FIRST_BOOT : SECOND_BOOT);
			reported += durable;
			open_store(image);
			check(durable);
			ck_assert_int_eq(store_verify(store, 0, ignore, NULL), 0);
			/* And it goes on from there. */
			save(2, "afterwards");
			store_close(store);
			open_store(image);
			ck_assert(is_new(2, NULL, "afterwards"));
			store_close(store);
		}
	}
	ck_assert_uint_gt(reported, 0);
}

static void
act_save(void)
{
	save(1, "new");
}

static void
check_save(bool durable)
{
	ck_assert(is_new(1, "old", "new") || !durable);
	ck_assert(!is_new(2, "old", "new"));
}

START_TEST(a_save)
{
	crash_everywhere(act_save, check_save);
}
END_TEST

static void
act_first_save(void)
{
	save(3, "new");
}

static void
check_first_save(bool durable)
{
	ck_assert(is_new(3, NULL, "new") || !durable);
}

START_TEST(the_first_save)
{
	crash_everywhere(act_first_save, check_first_save);
}
END_TEST

/* A save of several sectors, so that its parts can arrive one by one. */
static char *
long_nvm(void)
{
	static char nvm[5000];

	for (size_t i = 0; i + 1 < sizeof(nvm); i++)
		nvm[i] = (char)('a' + i % 26);
	return nvm;
}

static void
act_long_save(void)
{
	save(1, long_nvm());
}

static void
check_long_save(bool durable)
{
	ck_assert(is_new(1, "old", long_nvm()) || !durable);
}

START_TEST(a_save_of_many_sectors)
{
	crash_everywhere(act_long_save, check_long_save);
}
END_TEST

struct waiting {
	pthread_mutex_t lock;
	pthread_cond_t all;
	unsigned left;
};

static void
one_less(void *ctx, int error)
{
	struct waiting *waiting = ctx;

	ck_assert_int_eq(error, 0);
	pthread_mutex_lock(&waiting->lock);
	if (--waiting->left == 0) {
		disk_mark();
		pthread_cond_signal(&waiting->all);
	}
	pthread_mutex_unlock(&waiting->lock);
}

/* Four saves in a row and at once, so that some share a flush. */
static void
act_saves_at_once(void)
{
	struct waiting waiting = { .lock = PTHREAD_MUTEX_INITIALIZER,
				   .all = PTHREAD_COND_INITIALIZER,
				   .left = 4 };

	pthread_mutex_lock(&waiting.lock);
	store_save_nvm(store, 3, (const uint8_t *)"first", 5, one_less, &waiting);
	store_save_nvm(store, 1, (const uint8_t *)"new", 3, one_less, &waiting);
	store_save_nvm(store, 2, (const uint8_t *)"new", 3, one_less, &waiting);
	store_save_nvm(store, 3, (const uint8_t *)"second", 6, one_less, &waiting);
	while (waiting.left > 0)
		pthread_cond_wait(&waiting.all, &waiting.lock);
	pthread_mutex_unlock(&waiting.lock);
}

static void
check_saves_at_once(bool durable)
{
	uint8_t *data;
	size_t len;

	ck_assert(is_new(1, "old", "new") || !durable);
	ck_assert(is_new(2, "old", "new") || !durable);
	ck_assert_int_eq(store_load_nvm(store, 3, &data, &len), 0);
	ck_assert(durable ? len == 6 : len == 0 || len == 5 || len == 6);
	free(data);
}

START_TEST(saves_that_share_flushes)
{
	crash_everywhere(act_saves_at_once, check_saves_at_once);
}
END_TEST

static void
act_update(void)
{
	struct store_instance instance;

	ck_assert_int_eq(store_find(store, 1, &instance), 0);
	instance.fence = 7;
	ck_assert_int_eq(store_update(store, &instance), 0);
}

static void
check_update(bool durable)
{
	struct store_instance instance;

	ck_assert_int_eq(store_find(store, 1, &instance), 0);
	ck_assert(instance.fence == 7 || (instance.fence == 0 && !durable));
	ck_assert(!is_new(1, "old", "new"));
}

START_TEST(an_update)
{
	crash_everywhere(act_update, check_update);
}
END_TEST

static void
act_define(void)
{
	define(4);
}

static void
check_define(bool durable)
{
	struct store_instance instance;
	int error = store_find(store, 4, &instance);

	ck_assert(error == 0 || (error == -ENOENT && !durable));
}

START_TEST(a_definition)
{
	crash_everywhere(act_define, check_define);
}
END_TEST

static void
act_delete(void)
{
	ck_assert_int_eq(store_delete(store, 1), 0);
}

static void
check_delete(bool durable)
{
	struct store_instance instance;
	int error = store_find(store, 1, &instance);

	ck_assert(error == -ENOENT || (error == 0 && !durable));
	if (error == 0)
		ck_assert(!is_new(1, "old", "new"));
}

START_TEST(a_deletion)
{
	crash_everywhere(act_delete, check_delete);
}
END_TEST

static void
act_seal(void)
{
	ck_assert_int_eq(store_set_seal(store, (const uint8_t *)"resealed", 8), 0);
}

static void
check_seal(bool durable)
{
	size_t len;
	const uint8_t *seal = store_seal(store, &len);
	bool new = len == 8 && memcmp(seal, "resealed", 8) == 0;

	ck_assert(new || (len == 4 && memcmp(seal, "seal", 4) == 0 && !durable));
	ck_assert(!is_new(1, "old", "new"));
}

START_TEST(a_new_seal)
{
	crash_everywhere(act_seal, check_seal);
}
END_TEST

/* A new seal has VTPM written anew and the log emptied, as its length does now and then. */
static void
act_fold(void)
{
	save(1, "new");
	save(3, long_nvm());
	ck_assert_int_eq(store_set_seal(store, (const uint8_t *)"resealed", 8), 0);
	save(2, "new");
	store_close(store);
	open_store(folder);
}

static void
check_fold(bool durable)
{
	bool third = is_new(3, NULL, long_nvm());

	ck_assert(is_new(1, "old", "new") || !third);
	ck_assert(third || !is_new(2, "old", "new"));
	ck_assert(is_new(2, "old", "new") || !durable);
}

START_TEST(a_log_that_is_folded_into_the_table)
{
	crash_everywhere(act_fold, check_fold);
}
END_TEST

START_TEST(a_crash_while_starting_after_a_crash)
{
	disk_watch(folder);
	save(1, "new");
	disk_unwatch();
	store_close(store);
	for (unsigned n = 0, calls = disk_calls(); n <= calls; n++) {
		disk_boot(FIRST_BOOT);
		disk_watch(folder);
		open_store(folder);
		save(1, "new");
		disk_unwatch();
		store_close(store);
		disk_image(image, n < disk_calls() ? n : disk_calls(), 0);
		disk_watch(image);
		open_store(image);
		save(2, "new");
		disk_unwatch();
		store_close(store);
		for (unsigned m = 0; m <= disk_calls(); m++) {
			for (unsigned chance = 0; chance < 4; chance++) {
				disk_image(image_of_image, m, chance);
				disk_boot(chance == 0 ? FIRST_BOOT : SECOND_BOOT);
				open_store(image_of_image);
				is_new(1, "old", "new");
				is_new(2, "old", "new");
				store_close(store);
			}
		}
	}
}
END_TEST

/*
 * Every call of a change fails once, or from then on: the change is either reported as done or the
 * old state is what memory and disk have; and the next change goes on, without a restart.
 */
static void
fail_everywhere(int error, bool lasting)
{
	bool reached = true;

	for (int n = 0; reached; n++) {
		save(1, "old");
		disk_watch(folder);
		disk_fail(n, error, lasting);
		int rc = store_save_nvm_wait(store, 1, (const uint8_t *)"new", 3);
		reached = disk_failed();
		disk_fail(-1, 0, false);
		disk_unwatch();
		ck_assert(rc == 0 || reached);
		ck_assert(is_new(1, "old", "new") == (rc == 0));
		ck_assert(!is_new(2, "old", "new"));
		if (n % 2) {
			store_close(store);
			open_store(folder);
			ck_assert(is_new(1, "old", "new") || rc < 0);
		}
		save(1, "newer");
		ck_assert(is_new(1, NULL, "newer"));
		store_close(store);
		open_store(folder);
		ck_assert(is_new(1, NULL, "newer"));
	}
	store_close(store);
}

START_TEST(a_disk_that_is_full)
{
	fail_everywhere(ENOSPC, _i);
}
END_TEST

START_TEST(a_disk_that_breaks)
{
	fail_everywhere(EIO, _i);
}
END_TEST

START_TEST(a_disk_that_was_remounted_read_only)
{
	fail_everywhere(EROFS, _i);
}
END_TEST

START_TEST(no_descriptor_left)
{
	fail_everywhere(EMFILE, _i);
}
END_TEST

START_TEST(other_changes_on_a_disk_that_fails)
{
	static const int errors[] = { ENOSPC, EIO };
	bool reached = true;

	for (int n = 0; reached; n++) {
		struct store_instance instance = { .uuid = { 9 } };
		uint32_t id = 0;

		disk_watch(folder);
		disk_fail(n, errors[_i], n % 3 == 0);
		int defined = store_define(store, &instance, &id);
		int deleted = defined == 0 ? store_delete(store, id) : 0;
		int sealed = store_set_seal(store, (const uint8_t *)"seal", 4);
		reached = disk_failed();
		disk_fail(-1, 0, false);
		disk_unwatch();
		ck_assert((defined == 0 && deleted == 0 && sealed == 0) || reached);
		bool there = store_find_uuid(store, instance.uuid, &instance) == 0;
		ck_assert(there == (defined == 0 && deleted < 0));
		if (there)
			ck_assert_int_eq(store_delete(store, id), 0);
		save(1, "new");
		store_close(store);
		open_store(folder);
		ck_assert(is_new(1, NULL, "new"));
		ck_assert_int_eq(store_verify(store, 0, ignore, NULL), 0);
		ck_assert_int_eq(store_find_uuid(store, (uint8_t[16]) { 9 }, &instance), -ENOENT);
	}
	store_close(store);
}
END_TEST

int
main(void)
{
	const TTest *const crashes[] = {
		a_save,
		the_first_save,
		a_save_of_many_sectors,
		saves_that_share_flushes,
		an_update,
		a_definition,
		a_deletion,
		a_new_seal,
		a_log_that_is_folded_into_the_table,
		a_crash_while_starting_after_a_crash,
		NULL,
	};
	const TTest *const failures[] = {
		a_disk_that_is_full,
		a_disk_that_breaks,
		a_disk_that_was_remounted_read_only,
		no_descriptor_left,
		other_changes_on_a_disk_that_fails,
		NULL,
	};
	int failed = suite_run("store after a crash", crashes, set_up, tear_down);

	return suite_run_each("store on a failing disk", failures, 2, set_up, tear_down) | failed;
}
