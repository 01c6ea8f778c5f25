#include "tests/unit/stored.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vtpm/manager.h>

#include "tests/unit/suite.h"

char stored_folder[FOLDER_NAME_MAX];
const uint8_t stored_key[STORE_KEY_SIZE] = { 1, 2, 3 };
struct store *stored;

void
stored_set_up(void)
{
	folder_make(stored_folder);
	ck_assert_int_eq(store_open(&stored, stored_folder), 0);
	ck_assert_int_eq(store_create(stored, stored_key, (const uint8_t *)"seal", 4), 0);
}

void
stored_tear_down(void)
{
	store_close(stored);
	folder_remove(stored_folder);
}

void
stored_reopen(void)
{
	store_close(stored);
	ck_assert_int_eq(store_open(&stored, stored_folder), 0);
	ck_assert_int_eq(store_unlock(stored, stored_key), 0);
}

void
stored_refused_untouched(int error)
{
	store_close(stored);
	char *before = folder_digest(stored_folder);
	int got = store_open(&stored, stored_folder);
	if (got == 0)
		got = store_unlock(stored, stored_key);
	ck_assert_int_eq(got, error);
	store_close(stored);
	stored = NULL;
	char *after = folder_digest(stored_folder);
	ck_assert_str_eq(before, after);
	free(before);
	free(after);
}

size_t
stored_size_of(const char *name)
{
	struct stat st;

	ck_assert_int_eq(stat(folder_path(stored_folder, name), &st), 0);
	return (size_t)st.st_size;
}

void
stored_flip(const char *name, size_t at)
{
	int fd = open(folder_path(stored_folder, name), O_RDWR);
	uint8_t byte;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, &byte, 1, (off_t)at), 1);
	byte ^= 1;
	ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
}

void
stored_die_and_close(void)
{
	char left[FOLDER_NAME_MAX];

	folder_make(left);
	folder_copy_all(stored_folder, left);
	store_close(stored);
	folder_empty(stored_folder);
	folder_copy_all(left, stored_folder);
	folder_remove(left);
	stored = NULL;
}

void
stored_die_and_reopen(void)
{
	stored_die_and_close();
	ck_assert_int_eq(store_open(&stored, stored_folder), 0);
	ck_assert_int_eq(store_unlock(stored, stored_key), 0);
}

uint32_t
stored_define(uint8_t uuid)
{
	struct store_instance instance = {
		.uuid = { uuid },
		.type = VTPM_TYPE_MIGRATABLE,
		.domain_type = VTPM_DOMAIN_PVM,
	};
	uint32_t id = 0;

	ck_assert_int_eq(store_define(stored, &instance, &id), 0);
	return id;
}

void
stored_save(uint32_t id, const char *nvm)
{
	ck_assert_int_eq(store_save_nvm_wait(stored, id, (const uint8_t *)nvm, strlen(nvm)), 0);
}

void
stored_is(uint32_t id, const char *expected)
{
	uint8_t *data;
	size_t len;

	ck_assert_int_eq(store_load_nvm(stored, id, &data, &len), 0);
	ck_assert_uint_eq(len, strlen(expected));
	ck_assert_mem_eq(data, expected, len);
	free(data);
}

void
stored_is_refused(uint32_t id)
{
	struct store_instance instance;
	uint8_t *data;
	size_t len;

	ck_assert_int_eq(store_find(stored, id, &instance), 0);
	ck_assert(instance.refused);
	ck_assert_int_eq(store_load_nvm(stored, id, &data, &len), -EUCLEAN);
	ck_assert_ptr_null(data);
}

const char *
stored_file(uint32_t id)
{
	static char name[64];

	snprintf(name, sizeof(name), "vtpm_dm_%u.data", id);
	return name;
}
