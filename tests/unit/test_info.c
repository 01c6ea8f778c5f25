/* What the manager tells about instances, and the numbers and uuids that people write. */
#include <string.h>

#include <vtpm/info.h>
#include <vtpm/manager.h>

#include "tests/unit/suite.h"

static const struct info example = {
	.instance = 4294967295,
	.uuid = { 0x8c, 0xe6, 0xa8, 0xa5, 0x4b, 0x4d, 0x4a, 0x5e, 0x9d, 0x5a, 1, 2, 3, 4, 5, 0xff },
	.domain_type = VTPM_DOMAIN_HVM,
	.migration = VTPM_TYPE_MIGRATED,
	.startup = VTPM_STARTUP_SAVE,
	.state = INFO_RESTARTING,
	.pid = 4711,
	.restarts = 3,
	.commands = 0x100000001,
	.opened = 1795343440,
	.generation = 0x200000002,
	.nvm_size = 70000,
	.program = { 1, 2, 3 },
	.why = "its process ended: signal 9 (Killed)",
};

static uint8_t buf[4096];

START_TEST(records_come_out_as_they_went_in)
{
	struct writer w = writer_of(buf, sizeof(buf));
	struct info second = example;
	struct info got;

	second.instance = 1;
	memset(second.why, 0, sizeof(second.why));
	info_write(&w, &example);
	info_write(&w, &second);
	struct reader r = reader_of(buf, w.len);
	info_read(&r, &got);
	ck_assert_mem_eq(&got, &example, sizeof(got));
	info_read(&r, &got);
	ck_assert_mem_eq(&got, &second, sizeof(got));
	ck_assert(reader_done(&r));
}
END_TEST

START_TEST(a_later_versions_longer_record_is_understood)
{
	struct writer w = writer_of(buf, sizeof(buf));
	struct info got;

	info_write(&w, &example);
	writer_u32(&w, 0xffffffff); /* what the later version appended */
	writer_patch_u32(&w, 0, (uint32_t)w.len - 4);
	info_write(&w, &example);
	struct reader r = reader_of(buf, w.len);
	info_read(&r, &got);
	info_read(&r, &got);
	ck_assert(reader_done(&r));
	ck_assert_mem_eq(&got, &example, sizeof(got));
}
END_TEST

START_TEST(a_record_cut_anywhere_fails_the_reader)
{
	struct writer w = writer_of(buf, sizeof(buf));
	struct info got;

	info_write(&w, &example);
	for (size_t len = 0; len < w.len; len++) {
		struct reader r = reader_of(buf, len);

		info_read(&r, &got);
		ck_assert_msg(r.failed, "cut after %zu bytes", len);
	}
}
END_TEST

START_TEST(a_text_longer_than_its_place_fails_the_reader)
{
	struct writer w = writer_of(buf, sizeof(buf));
	char name[8];
	char text[8];

	property_write(&w, "seven..", "%s", "seven..");
	struct reader r = reader_of(buf, w.len);
	property_read(&r, name, sizeof(name), text, sizeof(text));
	ck_assert(reader_done(&r));
	ck_assert_str_eq(text, "seven..");

	w = writer_of(buf, sizeof(buf));
	property_write(&w, "name", "%d", 12345678);
	r = reader_of(buf, w.len);
	property_read(&r, name, sizeof(name), text, sizeof(text));
	ck_assert(r.failed);
	ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(uuids_are_read_with_and_without_dashes)
{
	uint8_t uuid[VTPM_UUID_SIZE];
	char text[VTPM_UUID_TEXT_SIZE];

	ck_assert(uuid_parse(uuid, "8ce6a8a5-4b4d-4a5e-9d5a-0102030405ff"));
	ck_assert_mem_eq(uuid, example.uuid, sizeof(uuid));
	ck_assert(uuid_parse(uuid, "8CE6A8A54B4D4A5E9D5A0102030405FF"));
	ck_assert_mem_eq(uuid, example.uuid, sizeof(uuid));
	uuid_format(text, uuid);
	ck_assert_str_eq(text, "8ce6a8a5-4b4d-4a5e-9d5a-0102030405ff");
	ck_assert(!uuid_is_null(uuid));
	ck_assert(uuid_parse(uuid, "00000000-0000-0000-0000-000000000000"));
	ck_assert(uuid_is_null(uuid));
}
END_TEST

START_TEST(what_is_no_uuid_is_refused)
{
	static const char *const wrong[] = {
		"",
		"8ce6a8a5",
		"8ce6a8a5-4b4d-4a5e-9d5a-0102030405f",
		"8ce6a8a5-4b4d-4a5e-9d5a-0102030405fff",
		"8ce6a8a5-4b4d-4a5e-9d5a-0102030405fg",
		"8ce6a8a54-b4d-4a5e-9d5a-0102030405ff",
		"8ce6a8a5 4b4d 4a5e 9d5a 0102030405ff",
		"8ce6a8a54b4d4a5e9d5a0102030405ff0",
		" 8ce6a8a54b4d4a5e9d5a0102030405f",
	};
	uint8_t uuid[VTPM_UUID_SIZE];

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(!uuid_parse(uuid, wrong[i]), "'%s'", wrong[i]);
}
END_TEST

START_TEST(names_lead_back_to_their_numbers)
{
	ck_assert_uint_eq(info_domain_number("pvm"), VTPM_DOMAIN_PVM);
	ck_assert_uint_eq(info_domain_number(info_domain_name(VTPM_DOMAIN_HVM)), VTPM_DOMAIN_HVM);
	ck_assert_uint_eq(info_startup_number("deactivated"), VTPM_STARTUP_DEACTIVATED);
	ck_assert_uint_eq(info_startup_number("unknown"), 0);
	ck_assert_str_eq(info_startup_name(9), "unknown");
	ck_assert_str_eq(info_state_name(INFO_MIGRATED), "migrated");
	ck_assert_str_eq(info_state_name((enum info_state)200), "unknown");
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		records_come_out_as_they_went_in,
		a_later_versions_longer_record_is_understood,
		a_record_cut_anywhere_fails_the_reader,
		a_text_longer_than_its_place_fails_the_reader,
		uuids_are_read_with_and_without_dashes,
		what_is_no_uuid_is_refused,
		names_lead_back_to_their_numbers,
		NULL,
	};

	return suite_run("info", tests, NULL, NULL);
}
