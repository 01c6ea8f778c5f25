/* The NVM of an instance as one run of bytes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vtpm/manager.h>

#include "instance/image.h"
#include "tests/unit/suite.h"

static struct blob
view(const char *text)
{
	return (struct blob) { .data = (uint8_t *)(uintptr_t)text, .len = strlen(text) };
}

static struct blob
written(void)
{
	struct image image = { .permanent = view("permanent"), .kept = view("kept") };
	struct blob bytes = { 0 };

	ck_assert_int_eq(image_write(&image, &bytes), 0);
	return bytes;
}

START_TEST(what_was_put_together_is_taken_apart)
{
	struct blob bytes = written();
	struct image image;

	ck_assert_int_eq(image_read(&image, bytes.data, bytes.len), 0);
	ck_assert_uint_eq(image.permanent.len, 9);
	ck_assert_mem_eq(image.permanent.data, "permanent", 9);
	ck_assert_uint_eq(image.saved.len, 0);
	ck_assert_uint_eq(image.kept.len, 4);
	ck_assert_mem_eq(image.kept.data, "kept", 4);
	blob_clear(&bytes);
}
END_TEST

START_TEST(an_image_that_is_cut_or_longer_is_none)
{
	struct blob bytes = written();
	uint8_t longer[256] = { 0 };
	struct image image;

	for (size_t len = 0; len < bytes.len; len++)
		ck_assert_int_eq(image_read(&image, bytes.data, len), -EBADMSG);
	memcpy(longer, bytes.data, bytes.len);
	ck_assert_int_eq(image_read(&image, longer, bytes.len + 1), -EBADMSG);
	blob_clear(&bytes);
}
END_TEST

START_TEST(lineage_is_part_of_an_image)
{
	struct image image = { .lineage = { .id = "0123456789abcde", .generation = 7 } };
	struct blob bytes = { 0 };

	ck_assert_int_eq(image_write(&image, &bytes), 0);
	image = (struct image) { 0 };
	ck_assert_int_eq(image_read(&image, bytes.data, bytes.len), 0);
	ck_assert_mem_eq(image.lineage.id, "0123456789abcde", 16);
	ck_assert_uint_eq(image.lineage.generation, 7);
	blob_clear(&bytes);
}
END_TEST

START_TEST(an_image_of_before_lineages_is_read)
{
	static const uint8_t bytes[] = { 'v', 'T', 'N', 'V', 0, 1, 0, 0, 0, 0, 0,
					 1,   'p', 0,   0,   0, 0, 0, 0, 0, 0 };
	struct image image;

	ck_assert_int_eq(image_read(&image, bytes, sizeof(bytes)), 0);
	ck_assert_uint_eq(image.lineage.generation, 0);
	ck_assert_uint_eq(image.permanent.len, 1);
	ck_assert_mem_eq(image.permanent.data, "p", 1);
}
END_TEST

START_TEST(a_later_version_is_told_from_damage)
{
	struct blob bytes = written();
	struct image image;

	bytes.data[5]++;
	ck_assert_int_eq(image_read(&image, bytes.data, bytes.len), -EPROTONOSUPPORT);
	bytes.data[5]--;
	bytes.data[0]++;
	ck_assert_int_eq(image_read(&image, bytes.data, bytes.len), -EBADMSG);
	blob_clear(&bytes);
}
END_TEST

START_TEST(an_image_that_the_manager_would_refuse_is_not_made)
{
	uint8_t *much = calloc(1, VTPM_MESSAGE_MAX);
	struct image image = { .permanent = { .data = much, .len = VTPM_MESSAGE_MAX } };
	struct blob bytes = { 0 };

	ck_assert_int_eq(image_write(&image, &bytes), -EMSGSIZE);
	ck_assert_ptr_null(bytes.data);
	free(much);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		what_was_put_together_is_taken_apart,
		an_image_that_is_cut_or_longer_is_none,
		lineage_is_part_of_an_image,
		an_image_of_before_lineages_is_read,
		a_later_version_is_told_from_damage,
		an_image_that_the_manager_would_refuse_is_not_made,
		NULL,
	};

	return suite_run("image", tests, NULL, NULL);
}
