/* The store: what it keeps, what it refuses. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vtpm/file.h>
#include <vtpm/manager.h>

#include "manager/store.h"
#include "tests/unit/disk.h"
#include "tests/unit/folder.h"
#include "tests/unit/suite.h"

static char folder[FOLDER_NAME_MAX];
static const uint8_t key[STORE_KEY_SIZE] = { 1, 2, 3 };
static struct store *store;

static void
set_up(void)
{
	folder_make(folder);
	ck_assert_int_eq(store_open(&store, folder), 0);
	ck_assert_int_eq(store_create(store, key, (const uint8_t *)"seal", 4), 0);
}

static void
tear_down(void)
{
	store_close(store);
	folder_remove(folder);
}

static void
reopen(void)
{
	store_close(store);
	ck_assert_int_eq(store_open(&store, folder), 0);
	ck_assert_int_eq(store_unlock(store, key), 0);
}

/* Closes the store and expects the next start to fail with error and to change nothing. */
static void
assert_refused_untouched(int error)
{
	store_close(store);
	char *before = folder_digest(folder);
	int got = store_open(&store, folder);
	if (got == 0)
		got = store_unlock(store, key);
	ck_assert_int_eq(got, error);
	store_close(store);
	store = NULL;
	char *after = folder_digest(folder);
	ck_assert_str_eq(before, after);
	free(before);
	free(after);
}

static size_t
size_of(const char *name)
{
	struct stat st;

	ck_assert_int_eq(stat(folder_path(folder, name), &st), 0);
	return (size_t)st.st_size;
}

/* Changes one byte of a file. */
static void
flip(const char *name, size_t at)
{
	int fd = open(folder_path(folder, name), O_RDWR);
	uint8_t byte;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, &byte, 1, (off_t)at), 1);
	byte ^= 1;
	ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
}

/* What kill -9 of the manager leaves: the files as they are, without store_close. */
static void
die_and_close(void)
{
	char left[FOLDER_NAME_MAX];

	folder_make(left);
	folder_copy_all(folder, left);
	store_close(store);
	folder_empty(folder);
	folder_copy_all(left, folder);
	folder_remove(left);
	store = NULL;
}

static void
die_and_reopen(void)
{
	die_and_close();
	ck_assert_int_eq(store_open(&store, folder), 0);
	ck_assert_int_eq(store_unlock(store, key), 0);
}

static uint32_t
define(uint8_t uuid)
{
	struct store_instance instance = {
		.uuid = { uuid },
		.type = VTPM_TYPE_MIGRATABLE,
		.domain_type = VTPM_DOMAIN_PVM,
	};
	uint32_t id = 0;

	ck_assert_int_eq(store_define(store, &instance, &id), 0);
	return id;
}

static void
save(uint32_t id, const char *nvm)
{
	ck_assert_int_eq(store_save_nvm_wait(store, id, (const uint8_t *)nvm, strlen(nvm)), 0);
}

static void
assert_nvm(uint32_t id, const char *expected)
{
	uint8_t *data;
	size_t len;

	ck_assert_int_eq(store_load_nvm(store, id, &data, &len), 0);
	ck_assert_uint_eq(len, strlen(expected));
	ck_assert_mem_eq(data, expected, len);
	free(data);
}

static void
assert_refused(uint32_t id)
{
	struct store_instance instance;
	uint8_t *data;
	size_t len;

	ck_assert_int_eq(store_find(store, id, &instance), 0);
	ck_assert(instance.refused);
	ck_assert_int_eq(store_load_nvm(store, id, &data, &len), -EUCLEAN);
	ck_assert_ptr_null(data);
}

static const char *
file_of(uint32_t id)
{
	static char name[64];

	snprintf(name, sizeof(name), "vtpm_dm_%u.data", id);
	return name;
}

START_TEST(a_new_instance_has_no_nvm)
{
	uint32_t id = define(1);
	uint8_t *data;
	size_t len;

	ck_assert_int_eq(store_load_nvm(store, id, &data, &len), 0);
	ck_assert_ptr_null(data);
	ck_assert_uint_eq(len, 0);
	ck_assert_int_eq(store_load_nvm(store, id + 1, &data, &len), -ENOENT);
}
END_TEST

START_TEST(what_was_saved_last_is_loaded_after_a_restart)
{
	uint32_t a = define(1);
	uint32_t b = define(2);

	save(a, "a rather long first state of the TPM");
	save(b, "other");
	save(a, "short");
	assert_nvm(a, "short");
	reopen();
	assert_nvm(a, "short");
	assert_nvm(b, "other");
	save(a, "");
	reopen();
	assert_nvm(a, "");
}
END_TEST

START_TEST(a_log_longer_than_its_limit_is_folded_into_the_table)
{
	uint32_t id = define(1);
	uint8_t *nvm = calloc(1, STORE_NVM_MAX);
	uint8_t *data;
	size_t len;

	for (uint8_t i = 0; i < 20; i++) {
		nvm[0] = i;
		ck_assert_int_eq(store_save_nvm_wait(store, id, nvm, STORE_NVM_MAX), 0);
	}
	ck_assert_uint_lt(size_of("VTPM.log"), 17 << 20);
	die_and_reopen();
	ck_assert_int_eq(store_load_nvm(store, id, &data, &len), 0);
	ck_assert_uint_eq(len, STORE_NVM_MAX);
	ck_assert_uint_eq(data[0], 19);
	free(data);
	free(nvm);
}
END_TEST

START_TEST(nvm_of_the_largest_size_is_kept_and_larger_is_refused)
{
	uint32_t id = define(1);
	uint8_t *nvm = calloc(1, STORE_NVM_MAX + 1);
	uint8_t *data;
	size_t len;

	nvm[STORE_NVM_MAX - 1] = 7;
	ck_assert_int_eq(store_save_nvm_wait(store, id, nvm, STORE_NVM_MAX), 0);
	ck_assert_int_eq(store_save_nvm_wait(store, id, nvm, STORE_NVM_MAX + 1), -EMSGSIZE);
	ck_assert_int_eq(store_load_nvm(store, id, &data, &len), 0);
	ck_assert_uint_eq(len, STORE_NVM_MAX);
	ck_assert_mem_eq(data, nvm, len);
	free(data);
	free(nvm);
}
END_TEST

START_TEST(numbers_are_the_lowest_free_and_uuids_unique)
{
	struct store_instance wanted = { .id = 7, .uuid = { 9 } };
	uint32_t id;

	ck_assert_uint_eq(define(1), 1);
	ck_assert_uint_eq(define(2), 2);
	ck_assert_uint_eq(define(3), 3);
	ck_assert_int_eq(store_delete(store, 2), 0);
	ck_assert_uint_eq(define(4), 2);
	ck_assert_uint_eq(define(5), 4);
	ck_assert_int_eq(store_define(store, &wanted, &id), 0);
	ck_assert_uint_eq(id, 7);
	wanted.uuid[0] = 10;
	ck_assert_int_eq(store_define(store, &wanted, &id), -EEXIST);
	wanted.id = 0xffffffff;
	ck_assert_int_eq(store_define(store, &wanted, &id), 0);
	wanted.id = 8;
	ck_assert_int_eq(store_define(store, &wanted, &id), -EEXIST);
}
END_TEST

START_TEST(an_update_is_durable_and_leaves_the_stores_own_fields)
{
	uint32_t id = define(1);
	struct store_instance instance;

	save(id, "nvm");
	ck_assert_int_eq(store_find(store, id, &instance), 0);
	ck_assert_uint_eq(instance.generation, 1);
	instance.type = VTPM_TYPE_MIGRATED;
	instance.flags = STORE_FLAG_SUSPENDED;
	instance.fence = 0x123456789abcdef0;
	instance.generation = 99;
	instance.uuid[5] = 5;
	strcpy(instance.peer, "host.example");
	memset(instance.activation, 0x5a, sizeof(instance.activation));
	ck_assert_int_eq(store_update(store, &instance), 0);
	reopen();
	ck_assert_int_eq(store_find(store, id, &instance), 0);
	ck_assert_uint_eq(instance.type, VTPM_TYPE_MIGRATED);
	ck_assert_uint_eq(instance.flags, STORE_FLAG_SUSPENDED);
	ck_assert_uint_eq(instance.fence, 0x123456789abcdef0);
	ck_assert_str_eq(instance.peer, "host.example");
	ck_assert_uint_eq(instance.activation[STORE_DIGEST_SIZE - 1], 0x5a);
	ck_assert_uint_eq(instance.generation, 1);
	ck_assert_uint_eq(instance.uuid[5], 0);
	assert_nvm(id, "nvm");
}
END_TEST

START_TEST(a_deleted_instance_is_gone_with_its_file)
{
	uint32_t id = define(1);
	struct store_instance instance;
	uint8_t uuid[STORE_UUID_SIZE] = { 1 };

	save(id, "secret");
	ck_assert_int_eq(store_delete(store, id), 0);
	ck_assert_int_eq(access(folder_path(folder, file_of(id)), F_OK), -1);
	ck_assert_int_eq(store_find_uuid(store, uuid, &instance), -ENOENT);
	ck_assert_int_eq(store_delete(store, id), -ENOENT);
	reopen();
	ck_assert_int_eq(store_find(store, id, &instance), -ENOENT);
	ck_assert_int_eq(store_save_nvm_wait(store, id, uuid, 1), -ENOENT);
}
END_TEST

START_TEST(the_hosts_record_and_the_seal_survive)
{
	uint8_t *data;
	size_t len;

	ck_assert_int_eq(store_host(store, &data, &len), 0);
	ck_assert_ptr_null(data);
	ck_assert_int_eq(store_set_host(store, (const uint8_t *)"host", 4), 0);
	ck_assert_int_eq(store_set_seal(store, (const uint8_t *)"resealed", 8), 0);
	uint32_t id = define(1);
	save(id, "nvm");
	reopen();
	ck_assert_mem_eq(store_seal(store, &len), "resealed", 8);
	ck_assert_uint_eq(len, 8);
	ck_assert_int_eq(store_host(store, &data, &len), 0);
	ck_assert_uint_eq(len, 4);
	ck_assert_mem_eq(data, "host", 4);
	free(data);
	assert_nvm(id, "nvm");
}
END_TEST

START_TEST(a_file_put_back_from_yesterday_is_refused_and_others_run)
{
	uint32_t a = define(1);
	uint32_t b = define(2);

	save(a, "yesterday");
	save(b, "fine");
	folder_copy(folder, file_of(a), "yesterday");
	save(a, "today");
	store_close(store);
	folder_rename(folder, "yesterday", file_of(a));
	ck_assert_int_eq(store_open(&store, folder), 0);
	ck_assert_int_eq(store_unlock(store, key), 0);
	assert_refused(a);
	assert_nvm(b, "fine");
}
END_TEST

START_TEST(a_file_put_back_from_yesterday_is_refused_after_kill_9_too)
{
	uint32_t id = define(1);

	save(id, "yesterday");
	folder_copy(folder, file_of(id), "yesterday");
	save(id, "today");
	die_and_reopen();
	assert_nvm(id, "today");
	save(id, "later today");
	folder_rename(folder, "yesterday", file_of(id));
	die_and_reopen();
	assert_refused(id);
}
END_TEST

START_TEST(a_file_that_a_power_cut_left_behind_is_restored_from_the_log)
{
	uint32_t id = define(1);

	disk_boot(1);
	reopen();
	save(id, "yesterday");
	folder_copy(folder, file_of(id), "yesterday");
	save(id, "today");
	folder_rename(folder, "yesterday", file_of(id));
	disk_boot(2);
	die_and_reopen();
	assert_nvm(id, "today");
	reopen();
	assert_nvm(id, "today");
}
END_TEST

START_TEST(swapped_files_are_refused)
{
	uint32_t a = define(1);
	uint32_t b = define(2);
	char name[64];

	save(a, "a");
	save(b, "b");
	strcpy(name, file_of(b));
	folder_rename(folder, file_of(a), "tmp");
	folder_rename(folder, name, file_of(a));
	folder_rename(folder, "tmp", name);
	reopen();
	assert_refused(a);
	assert_refused(b);
}
END_TEST

START_TEST(a_file_with_any_byte_changed_is_refused)
{
	uint32_t id = define(1);

	save(id, "0123456789");
	for (size_t i = 0; i < size_of(file_of(id)); i++) {
		flip(file_of(id), i);
		reopen();
		assert_refused(id);
		flip(file_of(id), i);
	}
	reopen();
	assert_nvm(id, "0123456789");
}
END_TEST

START_TEST(a_cut_lengthened_or_missing_file_is_refused)
{
	uint32_t id = define(1);

	save(id, "0123456789");
	size_t size = size_of(file_of(id));
	folder_copy(folder, file_of(id), "good");
	for (size_t len = 0; len < size; len++) {
		ck_assert_int_eq(truncate(folder_path(folder, file_of(id)), (off_t)len), 0);
		reopen();
		assert_refused(id);
		folder_copy(folder, "good", file_of(id));
	}
	ck_assert_int_eq(truncate(folder_path(folder, file_of(id)), (off_t)size + 1), 0);
	reopen();
	assert_refused(id);
	unlink(folder_path(folder, file_of(id)));
	reopen();
	assert_refused(id);
}
END_TEST

START_TEST(a_file_of_an_earlier_instance_with_the_same_number_is_refused)
{
	uint32_t id = define(1);

	save(id, "first owner");
	folder_copy(folder, file_of(id), "old");
	ck_assert_int_eq(store_delete(store, id), 0);
	ck_assert_uint_eq(define(2), id);
	folder_rename(folder, "old", file_of(id));
	reopen();
	assert_refused(id);
}
END_TEST

START_TEST(a_table_with_any_byte_changed_is_refused_and_nothing_touched)
{
	uint32_t id = define(1);

	save(id, "nvm");
	ck_assert_int_eq(store_set_seal(store, (const uint8_t *)"seal", 4), 0);
	for (size_t i = 12; i < size_of("VTPM"); i += 5) {
		flip("VTPM", i);
		assert_refused_untouched(-EUCLEAN);
		flip("VTPM", i);
		ck_assert_int_eq(store_open(&store, folder), 0);
	}
	ck_assert_int_eq(store_unlock(store, key), 0);
	assert_nvm(id, "nvm");
}
END_TEST

START_TEST(a_log_damaged_before_its_end_is_refused_and_nothing_touched)
{
	uint32_t id = define(1);

	save(id, "nvm");
	size_t first = size_of("VTPM.log");
	save(id, "more");
	die_and_close();
	flip("VTPM.log", first - 3);
	assert_refused_untouched(-EUCLEAN);
}
END_TEST

START_TEST(a_change_torn_at_the_end_of_the_log_does_not_count)
{
	uint32_t id = define(1);
	struct store_instance instance;

	save(id, "nvm");
	size_t good = size_of("VTPM.log");
	ck_assert_int_eq(store_find(store, id, &instance), 0);
	instance.fence = 5;
	ck_assert_int_eq(store_update(store, &instance), 0);
	size_t torn = size_of("VTPM.log");
	die_and_close();
	folder_copy(folder, "VTPM", "table");
	folder_copy(folder, "VTPM.log", "whole");
	for (size_t len = good; len < torn; len += 7) {
		store_close(store);
		folder_copy(folder, "table", "VTPM");
		folder_copy(folder, "whole", "VTPM.log");
		ck_assert_int_eq(truncate(folder_path(folder, "VTPM.log"), (off_t)len), 0);
		ck_assert_int_eq(store_open(&store, folder), 0);
		ck_assert_int_eq(store_unlock(store, key), 0);
		ck_assert_int_eq(store_find(store, id, &instance), 0);
		ck_assert_uint_eq(instance.fence, 0);
		assert_nvm(id, "nvm");
	}
}
END_TEST

START_TEST(a_log_put_back_from_yesterday_makes_the_newer_files_refused)
{
	uint32_t a = define(1);
	uint32_t b = define(2);

	save(a, "a");
	folder_copy(folder, "VTPM.log", "yesterday");
	save(a, "newer");
	save(b, "first");
	die_and_close();
	folder_rename(folder, "yesterday", "VTPM.log");
	ck_assert_int_eq(store_open(&store, folder), 0);
	ck_assert_int_eq(store_unlock(store, key), 0);
	assert_refused(a);
	assert_refused(b);
}
END_TEST

START_TEST(another_root_key_opens_nothing)
{
	uint8_t other[STORE_KEY_SIZE] = { 9 };

	define(1);
	store_close(store);
	ck_assert_int_eq(store_open(&store, folder), 0);
	ck_assert_int_eq(store_unlock(store, other), -EUCLEAN);
	ck_assert_int_eq(store_unlock(store, key), 0);
}
END_TEST

START_TEST(a_newer_format_is_refused_and_nothing_touched)
{
	flip("VTPM", 8 + 2);
	assert_refused_untouched(-EOVERFLOW);
}
END_TEST

START_TEST(a_folder_of_format_1_is_taken_over_as_it_was_left)
{
	static const uint8_t none[STORE_DIGEST_SIZE];
	struct store_instance instance;

	store_close(store);
	folder_empty(folder);
	folder_copy_all("tests/unit/golden/store-1", folder);
	ck_assert_int_eq(store_open(&store, folder), 0);
	ck_assert_int_eq(store_unlock(store, key), 0);
	for (int i = 0; i < 2; i++) {
		assert_nvm(1, "in the table");
		assert_nvm(2, "in the log");
		ck_assert_int_eq(store_find(store, 2, &instance), 0);
		ck_assert_uint_eq(instance.fence, 7);
		ck_assert_str_eq(instance.peer, "host.example");
		ck_assert_mem_eq(instance.activation, none, sizeof(none));
		reopen();
	}
}
END_TEST

START_TEST(a_state_that_is_given_up_is_overwritten_by_nothing)
{
	uint32_t id = define(1);
	uint8_t *data;
	size_t len = 1;

	save(id, "secret");
	ck_assert_int_eq(store_save_nvm_wait(store, id, NULL, 0), 0);
	reopen();
	ck_assert_int_eq(store_load_nvm(store, id, &data, &len), 0);
	ck_assert_uint_eq(len, 0);
	free(data);
}
END_TEST

START_TEST(a_folder_without_its_table_is_not_taken_for_a_new_one)
{
	uint32_t id = define(1);

	save(id, "nvm");
	die_and_close();
	unlink(folder_path(folder, "VTPM"));
	assert_refused_untouched(-EUCLEAN);
	unlink(folder_path(folder, "VTPM.log"));
	assert_refused_untouched(-EUCLEAN);
}
END_TEST

START_TEST(a_second_manager_on_the_folder_is_refused)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct store *second;

		_exit(store_open(&second, folder) == -EBUSY ? 0 : 1);
	}
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(a_file_lost_while_the_manager_runs_concerns_no_other_instance)
{
	uint32_t a = define(1);
	uint32_t b = define(2);

	save(a, "a");
	save(b, "b");
	unlink(folder_path(folder, file_of(a)));
	/* Has the log folded. */
	ck_assert_int_eq(store_set_seal(store, (const uint8_t *)"seal", 4), 0);
	save(b, "newer");
	reopen();
	assert_refused(a);
	assert_nvm(b, "newer");
}
END_TEST

START_TEST(an_operator_can_accept_an_old_file)
{
	uint32_t id = define(1);
	struct store_instance instance;

	save(id, "yesterday");
	folder_copy(folder, file_of(id), "yesterday");
	save(id, "today");
	folder_copy(folder, file_of(id), "today");
	ck_assert_int_eq(store_recover(store, id), -EALREADY);
	folder_rename(folder, "yesterday", file_of(id));
	reopen();
	assert_refused(id);
	ck_assert_int_eq(store_recover(store, id), 0);
	assert_nvm(id, "yesterday");
	reopen();
	assert_nvm(id, "yesterday");
	ck_assert_int_eq(store_find(store, id, &instance), 0);
	ck_assert(!instance.refused);
	ck_assert(instance.flags & STORE_FLAG_RECOVERED);
	/* Neither of the old files passes any more. */
	folder_rename(folder, "today", file_of(id));
	reopen();
	assert_refused(id);
}
END_TEST

START_TEST(an_edited_file_cannot_be_recovered)
{
	uint32_t id = define(1);

	save(id, "nvm");
	flip(file_of(id), size_of(file_of(id)) - 1);
	reopen();
	ck_assert_int_eq(store_recover(store, id), -EUCLEAN);
	assert_refused(id);
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
	uint32_t a = define(1);
	uint32_t b = define(2);
	struct verified verified = { 0 };

	define(3);
	save(a, "a");
	save(b, "b");
	ck_assert_int_eq(store_verify(store, 0, note_verified, &verified), 0);
	ck_assert_uint_eq(verified.good, 3);
	flip(file_of(b), 60);
	ck_assert_int_eq(store_verify(store, 0, note_verified, &verified), 1);
	ck_assert_uint_eq(verified.last_bad, b);
	reopen();
	assert_refused(b);
	flip(file_of(b), 60);
	ck_assert_int_eq(store_verify(store, b, note_verified, &verified), 0);
	assert_nvm(b, "b");
	folder_copy(folder, file_of(a), "vtpm_dm_77.data");
	ck_assert_int_eq(store_verify(store, 0, note_verified, &verified), 1);
	ck_assert_uint_eq(verified.last_bad, 0);
	struct store_instance wanted = { .id = 77, .uuid = { 77 } };
	ck_assert_int_eq(store_define(store, &wanted, NULL), -EEXIST);
}
END_TEST

struct waiting {
	pthread_mutex_t lock;
	pthread_cond_t all;
	unsigned left;
	unsigned failed;
};

static void
one_less(void *ctx, int error)
{
	struct waiting *waiting = ctx;

	pthread_mutex_lock(&waiting->lock);
	waiting->failed += error != 0;
	if (--waiting->left == 0)
		pthread_cond_signal(&waiting->all);
	pthread_mutex_unlock(&waiting->lock);
}

START_TEST(many_saves_at_once_are_all_done_in_order)
{
	enum { INSTANCES = 100, ROUNDS = 5 };
	struct waiting waiting = { .lock = PTHREAD_MUTEX_INITIALIZER,
				   .all = PTHREAD_COND_INITIALIZER,
				   .left = INSTANCES * ROUNDS };
	char nvm[32];

	for (int i = 1; i <= INSTANCES; i++)
		ck_assert_uint_eq(define((uint8_t)i), (uint32_t)i);
	for (int round = 0; round < ROUNDS; round++) {
		for (uint32_t i = 1; i <= INSTANCES; i++) {
			snprintf(nvm, sizeof(nvm), "%u in round %d", i, round);
			store_save_nvm(store, i, (const uint8_t *)nvm, strlen(nvm), one_less,
				       &waiting);
		}
	}
	pthread_mutex_lock(&waiting.lock);
	while (waiting.left > 0)
		pthread_cond_wait(&waiting.all, &waiting.lock);
	pthread_mutex_unlock(&waiting.lock);
	ck_assert_uint_eq(waiting.failed, 0);
	reopen();
	for (uint32_t i = 1; i <= INSTANCES; i++) {
		snprintf(nvm, sizeof(nvm), "%u in round %d", i, ROUNDS - 1);
		assert_nvm(i, nvm);
	}
}
END_TEST

static void
expect_good(void *ctx, uint32_t id, int error, const char *text)
{
	(void)ctx;
	ck_assert_msg(error == 0, "instance %u: %s", id, text);
}

static void *
load_and_verify(void *arg)
{
	const atomic_bool *end = arg;

	while (!*end) {
		uint8_t *data;
		size_t len;

		ck_assert_int_eq(store_load_nvm(store, 1, &data, &len), 0);
		free(data);
		store_verify(store, 0, expect_good, NULL);
	}
	return NULL;
}

START_TEST(nothing_is_refused_while_saves_go_on)
{
	atomic_bool end = false;
	pthread_t reader;
	char nvm[32];

	define(1);
	define(2);
	ck_assert_int_eq(pthread_create(&reader, NULL, load_and_verify, &end), 0);
	for (int i = 0; i < 1000; i++) {
		snprintf(nvm, sizeof(nvm), "state %d", i);
		save(1, nvm);
		save(2, nvm);
	}
	end = true;
	pthread_join(reader, NULL);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_new_instance_has_no_nvm,
		what_was_saved_last_is_loaded_after_a_restart,
		a_log_longer_than_its_limit_is_folded_into_the_table,
		nvm_of_the_largest_size_is_kept_and_larger_is_refused,
		numbers_are_the_lowest_free_and_uuids_unique,
		an_update_is_durable_and_leaves_the_stores_own_fields,
		a_deleted_instance_is_gone_with_its_file,
		the_hosts_record_and_the_seal_survive,
		a_file_put_back_from_yesterday_is_refused_and_others_run,
		a_file_put_back_from_yesterday_is_refused_after_kill_9_too,
		a_file_that_a_power_cut_left_behind_is_restored_from_the_log,
		swapped_files_are_refused,
		a_file_with_any_byte_changed_is_refused,
		a_cut_lengthened_or_missing_file_is_refused,
		a_file_of_an_earlier_instance_with_the_same_number_is_refused,
		a_table_with_any_byte_changed_is_refused_and_nothing_touched,
		a_log_damaged_before_its_end_is_refused_and_nothing_touched,
		a_change_torn_at_the_end_of_the_log_does_not_count,
		a_log_put_back_from_yesterday_makes_the_newer_files_refused,
		another_root_key_opens_nothing,
		a_newer_format_is_refused_and_nothing_touched,
		a_folder_of_format_1_is_taken_over_as_it_was_left,
		a_state_that_is_given_up_is_overwritten_by_nothing,
		a_folder_without_its_table_is_not_taken_for_a_new_one,
		a_second_manager_on_the_folder_is_refused,
		a_file_lost_while_the_manager_runs_concerns_no_other_instance,
		an_operator_can_accept_an_old_file,
		an_edited_file_cannot_be_recovered,
		verify_names_what_is_bad_and_takes_back_what_is_good_again,
		many_saves_at_once_are_all_done_in_order,
		nothing_is_refused_while_saves_go_on,
		NULL,
	};

	return suite_run("store", tests, set_up, tear_down);
}
