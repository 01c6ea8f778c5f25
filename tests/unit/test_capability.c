#include "tests/unit/support.h"

/* Asks with a sub-capability in hex digits; fails the test unless that succeeds. */
static void
ask(struct tpm *tpm, uint32_t area, const char *sub, struct blob *answer)
{
	uint8_t buf[64];

	ck_assert_uint_eq(
	    test_get_capability(tpm, area, buf, reference_hex(buf, sizeof(buf), sub), answer),
	    TPM_SUCCESS);
}

static TPM_RESULT
ask_in_vain(struct tpm *tpm, uint32_t area, const char *sub)
{
	uint8_t buf[64];
	struct blob answer;

	return test_get_capability(tpm, area, buf, reference_hex(buf, sizeof(buf), sub), &answer);
}

static void
assert_answer(struct tpm *tpm, uint32_t area, const char *sub, const char *expected)
{
	uint8_t bytes[128];
	size_t len = reference_hex(bytes, sizeof(bytes), expected);
	struct blob answer;

	ask(tpm, area, sub, &answer);
	ck_assert_msg(answer.len == len, "area %x sub %s: %zu bytes", area, sub, answer.len);
	ck_assert_msg(memcmp(answer.data, bytes, len) == 0, "area %x sub %s", area, sub);
}

/* What does not depend on anything that happened to the TPM. */
static const struct {
	uint32_t area;
	const char *sub, *answer;
} fixed[] = {
	{ TPM_CAP_ORD, "0000000a", "01" },
	{ TPM_CAP_ORD, "4000000a", "01" },
	{ TPM_CAP_ORD, "00000064", "00" },
	{ TPM_CAP_ORD, "00000001", "00" },
	{ TPM_CAP_ALG, "00000001", "01" },
	{ TPM_CAP_ALG, "00000002", "00" },
	{ TPM_CAP_PID, "0000", "00" },
	{ TPM_CAP_PID, "0001", "01" },
	{ TPM_CAP_PID, "0007", "01" },
	{ TPM_CAP_PID, "0008", "00" },
	{ TPM_CAP_VERSION, "", "01010000" },
	{ TPM_CAP_VERSION_VAL, "", "0030 01020001 0002 03 5654504d 0000" },
	{ TPM_CAP_SYM_MODE, "00000001", "00" },
	{ TPM_CAP_TRANS_ALG, "00000006", "01" },
	{ TPM_CAP_TRANS_ALG, "00000007", "01" },
	{ TPM_CAP_TRANS_ALG, "00000001", "00" },
	{ TPM_CAP_TRANS_ES, "0004", "01" },
	{ TPM_CAP_TRANS_ES, "0005", "01" },
	{ TPM_CAP_TRANS_ES, "0003", "00" },
	{ TPM_CAP_AUTH_ENCRYPT, "00000006", "01" },
	{ TPM_CAP_AUTH_ENCRYPT, "0000000a", "01" },
	{ TPM_CAP_AUTH_ENCRYPT, "00000000", "00" },
	{ TPM_CAP_SELECT_SIZE, "0101 0003", "01" },
	{ TPM_CAP_SELECT_SIZE, "0102 0001", "01" },
	{ TPM_CAP_SELECT_SIZE, "0101 0000", "00" },
	{ TPM_CAP_SELECT_SIZE, "0101 0004", "00" },
	{ TPM_CAP_CHECK_LOADED, "00000001 0003 0001 0000000c 00000800 00000002 00000000", "01" },
	{ TPM_CAP_CHECK_LOADED, "00000001 0003 0001 0000000c 00001000 00000002 00000000", "00" },
	{ TPM_CAP_CHECK_LOADED, "00000001 0003 0001 0000000c 00000800 00000003 00000000", "00" },
	{ TPM_CAP_CHECK_LOADED, "00000006 0004 0001 00000000", "00" },
	{ TPM_CAP_KEY_HANDLE, "", "0000" },
	{ TPM_CAP_HANDLE, "00000001", "0000" },
	{ TPM_CAP_HANDLE, "00000002", "0000" },
	{ TPM_CAP_HANDLE, "00000004", "0000" },
	{ TPM_CAP_HANDLE, "00000005", "0000" },
	{ TPM_CAP_HANDLE, "00000006", "0000" },
	{ TPM_CAP_HANDLE, "00000008", "0000" },
	{ TPM_CAP_NV_LIST, "", "" },
	{ TPM_CAP_DA_LOGIC, "0002", "0037 00 0000 0005 0039 00000001 00000000 00000000" },
	{ TPM_CAP_PROPERTY, "00000101", "00000018" },
	{ TPM_CAP_PROPERTY, "00000102", "00000001" },
	{ TPM_CAP_PROPERTY, "00000103", "5654504d" },
	{ TPM_CAP_PROPERTY, "00000104", "00000014" },
	{ TPM_CAP_PROPERTY, "0000010a", "00000010" },
	{ TPM_CAP_PROPERTY, "0000010b", "00000010" },
	{ TPM_CAP_PROPERTY, "0000010c", "00000008" },
	{ TPM_CAP_PROPERTY, "0000010d", "00000010" },
	{ TPM_CAP_PROPERTY, "0000010e", "00000010" },
	{ TPM_CAP_PROPERTY, "0000010f", "00000008" },
	{ TPM_CAP_PROPERTY, "00000110", "00000014" },
	{ TPM_CAP_PROPERTY, "00000111", "00" },
	{ TPM_CAP_PROPERTY, "00000112", "00000080" },
	{ TPM_CAP_PROPERTY, "00000113", "00000080" },
	{ TPM_CAP_PROPERTY, "00000114", "00000010" },
	{ TPM_CAP_PROPERTY, "00000115", "000f4240 000f4240 000f4240 000f4240" },
	{ TPM_CAP_PROPERTY, "00000117", "00000004" },
	{ TPM_CAP_PROPERTY, "00000119", "00000002" },
	{ TPM_CAP_PROPERTY, "0000011a", "00000002" },
	{ TPM_CAP_PROPERTY, "0000011b", "ffffffff" },
	{ TPM_CAP_PROPERTY, "0000011c", "01" },
	{ TPM_CAP_PROPERTY, "0000011d", "00000020" },
	{ TPM_CAP_PROPERTY, "0000011e", "00000020" },
	{ TPM_CAP_PROPERTY, "0000011f", "00000000" },
	{ TPM_CAP_PROPERTY, "00000120", "02faf080 05f5e100 11e1a300" },
	{ TPM_CAP_PROPERTY, "00000122", "ffffffff" },
	{ TPM_CAP_PROPERTY, "00000124", "00001000" },
};

START_TEST(a_fresh_tpm_answers_what_is_fixed)
{
	struct tpm *tpm = test_tpm();

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		assert_answer(tpm, fixed[i].area, fixed[i].sub, fixed[i].answer);
	tpm_free(tpm);
}
END_TEST

static const struct {
	uint32_t area;
	const char *sub;
	TPM_RESULT result;
} refused[] = {
	{ 0, "", TPM_BAD_MODE },
	{ 0x1b, "00000001", TPM_BAD_MODE },
	{ TPM_CAP_MFR, "00000001", TPM_BAD_MODE },
	{ TPM_CAP_ORD, "", TPM_BAD_MODE },
	{ TPM_CAP_ORD, "000a", TPM_BAD_MODE },
	{ TPM_CAP_PID, "00000001", TPM_BAD_MODE },
	{ TPM_CAP_FLAG, "0000010a", TPM_BAD_MODE },
	{ TPM_CAP_PROPERTY, "00000100", TPM_BAD_MODE },
	{ TPM_CAP_PROPERTY, "0000010100", TPM_BAD_MODE },
	{ TPM_CAP_HANDLE, "00000003", TPM_BAD_PARAMETER },
	{ TPM_CAP_HANDLE, "00000000", TPM_BAD_PARAMETER },
	{ TPM_CAP_KEY_STATUS, "01000001", TPM_INVALID_KEYHANDLE },
	{ TPM_CAP_KEY_STATUS, "40000000", TPM_INVALID_KEYHANDLE },
	{ TPM_CAP_NV_INDEX, "00001000", TPM_BADINDEX },
	{ TPM_CAP_SELECT_SIZE, "0101", TPM_BAD_PARAM_SIZE },
	{ TPM_CAP_SELECT_SIZE, "0201 0003", TPM_BAD_PARAMETER },
	{ TPM_CAP_SELECT_SIZE, "0103 0003", TPM_BAD_PARAMETER },
	{ TPM_CAP_CHECK_LOADED, "00000001 0003", TPM_BAD_PARAM_SIZE },
};

START_TEST(a_wrong_question_is_refused)
{
	struct tpm *tpm = test_tpm();

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		ck_assert_uint_eq(ask_in_vain(tpm, refused[i].area, refused[i].sub),
				  refused[i].result);
	tpm_free(tpm);
}
END_TEST

START_TEST(asking_changes_nothing)
{
	struct tpm *tpm = test_tpm();

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		struct blob answer;

		ask(tpm, fixed[i].area, fixed[i].sub, &answer);
		ck_assert_uint_eq(bench.changed, 0);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(capabilities_are_told_while_disabled_but_not_before_startup)
{
	struct tpm *tpm = test_tpm();

	bench.physical_presence = true;
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SetTempDeactivated), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PhysicalDisable), TPM_SUCCESS);
	assert_answer(tpm, TPM_CAP_PROPERTY, "00000101", "00000018");
	tpm_init(tpm);
	ck_assert_uint_eq(ask_in_vain(tpm, TPM_CAP_VERSION, ""), TPM_INVALID_POSTINIT);
	tpm_free(tpm);
}
END_TEST

START_TEST(flags_are_told_as_structures)
{
	struct tpm *tpm = test_tpm();
	struct blob flags;

	bench.physical_presence = true;
	ask(tpm, TPM_CAP_FLAG, "00000108", &flags);
	ck_assert_uint_eq(flags.len, 2 + 20);
	ck_assert_uint_eq(flags.data[1], TPM_TAG_PERMANENT_FLAGS);
	ck_assert_uint_eq(flags.data[1 + TPM_PF_DISABLE], 0);
	ck_assert_uint_eq(flags.data[1 + TPM_PF_OWNERSHIP], 1);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PhysicalDisable), TPM_SUCCESS);
	ask(tpm, TPM_CAP_FLAG, "00000108", &flags);
	ck_assert_uint_eq(flags.data[1 + TPM_PF_DISABLE], 1);

	assert_answer(tpm, TPM_CAP_FLAG, "00000109", "0020 00 00 00 00 00");
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SetTempDeactivated), TPM_SUCCESS);
	assert_answer(tpm, TPM_CAP_FLAG, "00000109", "0020 01 00 00 00 00");
	tpm_free(tpm);
}
END_TEST

START_TEST(loaded_keys_and_sessions_are_listed)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t key = test_make_key(tpm, &test_signing_key, NULL);
	struct test_session s;
	char list[32], handle[16];

	snprintf(list, sizeof(list), "0001 %08x", key);
	snprintf(handle, sizeof(handle), "%08x", key);
	assert_answer(tpm, TPM_CAP_KEY_HANDLE, "", list);
	assert_answer(tpm, TPM_CAP_HANDLE, "00000001", list);
	assert_answer(tpm, TPM_CAP_KEY_STATUS, handle, "00");
	assert_answer(tpm, TPM_CAP_PROPERTY, "00000104", "00000013");
	ck_assert_uint_eq(test_oiap(tpm, &s, owner_auth), TPM_SUCCESS);
	snprintf(list, sizeof(list), "0001 %08x", s.handle);
	assert_answer(tpm, TPM_CAP_HANDLE, "00000002", list);
	assert_answer(tpm, TPM_CAP_PROPERTY, "0000010a", "0000000f");
	assert_answer(tpm, TPM_CAP_PROPERTY, "0000011d", "0000001f");
	assert_answer(tpm, TPM_CAP_PROPERTY, "00000111", "01");
	tpm_free(tpm);
}
END_TEST

START_TEST(nv_areas_are_listed_and_described)
{
	struct tpm *tpm = test_tpm();
	uint32_t before = test_get_capability_u32(tpm, TPM_CAP_PROPERTY, TPM_CAP_PROP_NV_AVAILABLE);

	ck_assert_uint_ge(before, 20000);
	ck_assert_uint_eq(test_nv_define(tpm, NULL, 0x1000, TPM_NV_PER_PPWRITE, 8), TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_define(tpm, NULL, 0x2000, TPM_NV_PER_PPWRITE, 8), TPM_SUCCESS);
	assert_answer(tpm, TPM_CAP_NV_LIST, "", "00001000 00002000");
	assert_answer(tpm, TPM_CAP_NV_INDEX, "00002000",
		      "0018 00002000"
		      "0003 000000 1f 0000000000000000000000000000000000000000"
		      "0003 000000 1f 0000000000000000000000000000000000000000"
		      "0017 00000001 00 00 00 00000008");
	ck_assert_uint_lt(test_get_capability_u32(tpm, TPM_CAP_PROPERTY, TPM_CAP_PROP_NV_AVAILABLE),
			  before - 16);
	tpm_free(tpm);
}
END_TEST

START_TEST(every_ordinal_that_answers_is_announced)
{
	static const uint32_t bases[] = { 0, 0x40000000 };
	struct tpm *tpm = test_tpm();

	for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		for (uint32_t ordinal = bases[i]; ordinal < bases[i] + 0x100; ordinal++) {
			char sub[16];
			struct blob announced;

			snprintf(sub, sizeof(sub), "%08x", ordinal);
			ask(tpm, TPM_CAP_ORD, sub, &announced);
			ck_assert_msg((test_plain(tpm, ordinal) == TPM_BAD_ORDINAL) ==
					  (announced.data[0] == 0),
				      "ordinal %x", ordinal);
		}
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(the_owner_gets_version_and_flags_as_bits)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session s;
	struct call c;

	bench.physical_presence = true;
	ck_assert_uint_eq(
	    test_plain_u16(tpm, TSC_ORD_PhysicalPresence, TPM_PHYSICAL_PRESENCE_CMD_ENABLE),
	    TPM_SUCCESS);
	ck_assert_uint_eq(
	    test_plain_u16(tpm, TSC_ORD_PhysicalPresence, TPM_PHYSICAL_PRESENCE_PRESENT),
	    TPM_SUCCESS);
	ck_assert_uint_eq(test_oiap(tpm, &s, owner_auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_GetCapabilityOwner);
	call_session(&c, &s);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	ck_assert_uint_eq(reader_u32(&c.out), 0x01020001);
	uint32_t permanent = reader_u32(&c.out), volatile_flags = reader_u32(&c.out);
	ck_assert(reader_done(&c.out));
	ck_assert_uint_eq(permanent >> (TPM_PF_OWNERSHIP - 1) & 1, 1);
	ck_assert_uint_eq(permanent >> (TPM_PF_DISABLE - 1) & 1, 0);
	ck_assert_uint_eq(permanent >> (TPM_PF_PHYSICALPRESENCECMDENABLE - 1) & 1, 1);
	ck_assert_uint_eq(volatile_flags, 1 << (TPM_SF_PHYSICALPRESENCE - 1));
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_GetCapabilityOwner, wrong_auth), TPM_AUTHFAIL);
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_fresh_tpm_answers_what_is_fixed,
		a_wrong_question_is_refused,
		asking_changes_nothing,
		capabilities_are_told_while_disabled_but_not_before_startup,
		flags_are_told_as_structures,
		loaded_keys_and_sessions_are_listed,
		nv_areas_are_listed_and_described,
		every_ordinal_that_answers_is_announced,
		the_owner_gets_version_and_flags_as_bits,
		NULL,
	};

	return test_suite("capability", tests);
}
