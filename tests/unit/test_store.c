/* The store: what it keeps. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vtpm/manager.h>

#include "tests/unit/stored.h"
#include "tests/unit/suite.h"

START_TEST(a_new_instance_has_no_nvm)
{
	uint32_t id = stored_define(1);
	uint8_t *data;
	size_t len;

	ck_assert_int_eq(store_load_nvm(stored, id, &data, &len), 0);
	ck_assert_ptr_null(data);
	ck_assert_uint_eq(len, 0);
	ck_assert_int_eq(store_load_nvm(stored, id + 1, &data, &len), -ENOENT);
}
END_TEST

START_TEST(what_was_saved_last_is_loaded_after_a_restart)
{
	uint32_t a = stored_define(1);
	uint32_t b = stored_define(2);

	stored_save(a, "a rather long first state of the TPM");
	stored_save(b, "other");
	stored_save(a, "short");
	stored_is(a, "short");
	stored_reopen();
	stored_is(a, "short");
	stored_is(b, "other");
	stored_save(a, "");
	stored_reopen();
	stored_is(a, "");
}
END_TEST

START_TEST(a_log_longer_than_its_limit_is_folded_into_the_table)
{
	uint32_t id = stored_define(1);
	uint8_t *nvm = calloc(1, STORE_NVM_MAX);
	uint8_t *data;
	size_t len;

	for (uint8_t i = 0; i < 20; i++) {
		nvm[0] = i;
		ck_assert_int_eq(store_save_nvm_wait(stored, id, nvm, STORE_NVM_MAX), 0);
	}
	ck_assert_uint_lt(stored_size_of("VTPM.log"), 17 << 20);
	stored_die_and_reopen();
	ck_assert_int_eq(store_load_nvm(stored, id, &data, &len), 0);
	ck_assert_uint_eq(len, STORE_NVM_MAX);
	ck_assert_uint_eq(data[0], 19);
	free(data);
	free(nvm);
}
END_TEST

START_TEST(nvm_of_the_largest_size_is_kept_and_larger_is_refused)
{
	uint32_t id = stored_define(1);
	uint8_t *nvm = calloc(1, STORE_NVM_MAX + 1);
	uint8_t *data;
	size_t len;

	nvm[STORE_NVM_MAX - 1] = 7;
	ck_assert_int_eq(store_save_nvm_wait(stored, id, nvm, STORE_NVM_MAX), 0);
	ck_assert_int_eq(store_save_nvm_wait(stored, id, nvm, STORE_NVM_MAX + 1), -EMSGSIZE);
	ck_assert_int_eq(store_load_nvm(stored, id, &data, &len), 0);
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

	ck_assert_uint_eq(stored_define(1), 1);
	ck_assert_uint_eq(stored_define(2), 2);
	ck_assert_uint_eq(stored_define(3), 3);
	ck_assert_int_eq(store_delete(stored, 2), 0);
	ck_assert_uint_eq(stored_define(4), 2);
	ck_assert_uint_eq(stored_define(5), 4);
	ck_assert_int_eq(store_define(stored, &wanted, &id), 0);
	ck_assert_uint_eq(id, 7);
	wanted.uuid[0] = 10;
	ck_assert_int_eq(store_define(stored, &wanted, &id), -EEXIST);
	wanted.id = 0xffffffff;
	ck_assert_int_eq(store_define(stored, &wanted, &id), 0);
	wanted.id = 8;
	ck_assert_int_eq(store_define(stored, &wanted, &id), -EEXIST);
}
END_TEST

START_TEST(an_update_is_durable_and_leaves_the_stores_own_fields)
{
	uint32_t id = stored_define(1);
	struct store_instance instance;

	stored_save(id, "nvm");
	ck_assert_int_eq(store_find(stored, id, &instance), 0);
	ck_assert_uint_eq(instance.generation, 1);
	instance.type = VTPM_TYPE_MIGRATED;
	instance.flags = STORE_FLAG_SUSPENDED;
	instance.fence = 0x123456789abcdef0;
	instance.generation = 99;
	instance.uuid[5] = 5;
	strcpy(instance.peer, "host.example");
	memset(instance.activation, 0x5a, sizeof(instance.activation));
	ck_assert_int_eq(store_update(stored, &instance), 0);
	stored_reopen();
	ck_assert_int_eq(store_find(stored, id, &instance), 0);
	ck_assert_uint_eq(instance.type, VTPM_TYPE_MIGRATED);
	ck_assert_uint_eq(instance.flags, STORE_FLAG_SUSPENDED);
	ck_assert_uint_eq(instance.fence, 0x123456789abcdef0);
	ck_assert_str_eq(instance.peer, "host.example");
	ck_assert_uint_eq(instance.activation[STORE_DIGEST_SIZE - 1], 0x5a);
	ck_assert_uint_eq(instance.generation, 1);
	ck_assert_uint_eq(instance.uuid[5], 0);
	stored_is(id, "nvm");
}
END_TEST

START_TEST(a_deleted_instance_is_gone_with_its_file)
{
	uint32_t id = stored_define(1);
	struct store_instance instance;
	uint8_t uuid[STORE_UUID_SIZE] = { 1 };

	stored_save(id, "secret");
	ck_assert_int_eq(store_delete(stored, id), 0);
	ck_assert_int_eq(access(folder_path(stored_folder, stored_file(id)), F_OK), -1);
	ck_assert_int_eq(store_find_uuid(stored, uuid, &instance), -ENOENT);
	ck_assert_int_eq(store_delete(stored, id), -ENOENT);
	stored_reopen();
	ck_assert_int_eq(store_find(stored, id, &instance), -ENOENT);
	ck_assert_int_eq(store_save_nvm_wait(stored, id, uuid, 1), -ENOENT);
}
END_TEST

START_TEST(the_hosts_record_and_the_seal_survive)
{
	uint8_t *data;
	size_t len;

	ck_assert_int_eq(store_host(stored, &data, &len), 0);
	ck_assert_ptr_null(data);
	ck_assert_int_eq(store_set_host(stored, (const uint8_t *)"host", 4), 0);
	ck_assert_int_eq(store_set_seal(stored, (const uint8_t *)"resealed", 8), 0);
	uint32_t id = stored_define(1);
	stored_save(id, "nvm");
	stored_reopen();
	ck_assert_mem_eq(store_seal(stored, &len), "resealed", 8);
	ck_assert_uint_eq(len, 8);
	ck_assert_int_eq(store_host(stored, &data, &len), 0);
	ck_assert_uint_eq(len, 4);
	ck_assert_mem_eq(data, "host", 4);
	free(data);
	stored_is(id, "nvm");
}
END_TEST

START_TEST(a_folder_of_format_1_is_taken_over_as_it_was_left)
{
	static const uint8_t none[STORE_DIGEST_SIZE];
	struct store_instance instance;

	store_close(stored);
	folder_empty(stored_folder);
	folder_copy_all("tests/unit/golden/store-1", stored_folder);
	ck_assert_int_eq(store_open(&stored, stored_folder), 0);
	ck_assert_int_eq(store_unlock(stored, stored_key), 0);
	for (int i = 0; i < 2; i++) {
		stored_is(1, "in the table");
		stored_is(2, "in the log");
		ck_assert_int_eq(store_find(stored, 2, &instance), 0);
		ck_assert_uint_eq(instance.fence, 7);
		ck_assert_str_eq(instance.peer, "host.example");
		ck_assert_mem_eq(instance.activation, none, sizeof(none));
		stored_reopen();
	}
}
END_TEST

START_TEST(a_state_that_is_given_up_is_overwritten_by_nothing)
{
	uint32_t id = stored_define(1);
	uint8_t *data;
	size_t len = 1;

	stored_save(id, "secret");
	ck_assert_int_eq(store_save_nvm_wait(stored, id, NULL, 0), 0);
	stored_reopen();
	ck_assert_int_eq(store_load_nvm(stored, id, &data, &len), 0);
	ck_assert_uint_eq(len, 0);
	free(data);
}
END_TEST

START_TEST(a_second_manager_on_the_folder_is_refused)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct store *second;

		_exit(store_open(&second, stored_folder) == -EBUSY ? 0 : 1);
	}
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
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
		ck_assert_uint_eq(stored_define((uint8_t)i), (uint32_t)i);
	for (int round = 0; round < ROUNDS; round++) {
		for (uint32_t i = 1; i <= INSTANCES; i++) {
			snprintf(nvm, sizeof(nvm), "%u in round %d", i, round);
			store_save_nvm(stored, i, (const uint8_t *)nvm, strlen(nvm), one_less,
				       &waiting);
		}
	}
	pthread_mutex_lock(&waiting.lock);
	while (waiting.left > 0)
		pthread_cond_wait(&waiting.all, &waiting.lock);
	pthread_mutex_unlock(&waiting.lock);
	ck_assert_uint_eq(waiting.failed, 0);
	stored_reopen();
	for (uint32_t i = 1; i <= INSTANCES; i++) {
		snprintf(nvm, sizeof(nvm), "%u in round %d", i, ROUNDS - 1);
		stored_is(i, nvm);
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

		ck_assert_int_eq(store_load_nvm(stored, 1, &data, &len), 0);
		free(data);
		store_verify(stored, 0, expect_good, NULL);
	}
	return NULL;
}

START_TEST(nothing_is_refused_while_saves_go_on)
{
	atomic_bool end = false;
	pthread_t reader;
	char nvm[32];

	stored_define(1);
	stored_define(2);
	ck_assert_int_eq(pthread_create(&reader, NULL, load_and_verify, &end), 0);
	for (int i = 0; i < 1000; i++) {
		snprintf(nvm, sizeof(nvm), "state %d", i);
		stored_save(1, nvm);
		stored_save(2, nvm);
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
		a_folder_of_format_1_is_taken_over_as_it_was_left,
		a_state_that_is_given_up_is_overwritten_by_nothing,
		a_second_manager_on_the_folder_is_refused,
		many_saves_at_once_are_all_done_in_order,
		nothing_is_refused_while_saves_go_on,
		NULL,
	};

	return suite_run("store", tests, stored_set_up, stored_tear_down);
}
