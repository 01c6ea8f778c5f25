#include "tests/unit/folder.h"

#include <check.h>
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vtpm/file.h>

#include "manager/crypt.h"

enum { FILE_MAX = 64 << 20 };

void
folder_make(char folder[FOLDER_NAME_MAX])
{
	/* In memory where that is possible: tests flush a great deal. */
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	snprintf(folder, FOLDER_NAME_MAX, "%s/vtpm-test-XXXXXX", base);
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

const char *
folder_path(const char *folder, const char *name)
{
	static char paths[4][512];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

void
folder_empty(const char *folder)
{
	struct dirent **files;
	int count = scandir(folder, &files, NULL, NULL);

	for (int i = 0; i < count; i++) {
		unlink(folder_path(folder, files[i]->d_name));
		free(files[i]);
	}
	if (count >= 0)
		free(files);
}

void
folder_remove(const char *folder)
{
	folder_empty(folder);
	rmdir(folder);
}

void
folder_copy(const char *folder, const char *from, const char *to)
{
	uint8_t *data;
	size_t len;

	ck_assert_int_eq(file_read(folder_path(folder, from), FILE_MAX, &data, &len), 0);
	FILE *file = fopen(folder_path(folder, to), "wb");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(data, 1, len, file), len);
	fclose(file);
	free(data);
}

void
folder_copy_all(const char *from, const char *to)
{
	struct dirent **files;
	int count = scandir(from, &files, NULL, NULL);

	for (int i = 0; i < count; i++) {
		uint8_t *data;
		size_t len;

		if (file_read(folder_path(from, files[i]->d_name), FILE_MAX, &data, &len) == 0) {
			FILE *file = fopen(folder_path(to, files[i]->d_name), "wb");

			ck_assert_ptr_nonnull(file);
			ck_assert_uint_eq(fwrite(data, 1, len, file), len);
			fclose(file);
			free(data);
		}
		free(files[i]);
	}
	free(files);
}

void
folder_rename(const char *folder, const char *from, const char *to)
{
	ck_assert_int_eq(rename(folder_path(folder, from), folder_path(folder, to)), 0);
}

char *
folder_digest(const char *folder)
{
	struct dirent **files;
	int count = scandir(folder, &files, NULL, alphasort);
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	for (int i = 0; i < count; i++) {
		uint8_t *data;
		size_t len;

		if (file_read(folder_path(folder, files[i]->d_name), FILE_MAX, &data, &len) == 0) {
			uint8_t digest[CRYPT_SHA256_SIZE];

			crypt_sha256(digest, CRYPT_PARTS({ data, len }));
			fprintf(out, "%s ", files[i]->d_name);
			for (size_t j = 0; j < sizeof(digest); j++)
				fprintf(out, "%02x", digest[j]);
			fputc('\n', out);
			free(data);
		}
		free(files[i]);
	}
	free(files);
	fclose(out);
	return text;
}
