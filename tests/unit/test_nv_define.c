#include "tests/unit/support.h"

#define OWNER_BOTH (TPM_NV_PER_OWNERWRITE | TPM_NV_PER_OWNERREAD)
#define AUTH_BOTH  (TPM_NV_PER_AUTHWRITE | TPM_NV_PER_AUTHREAD)
#define PP_BOTH    (TPM_NV_PER_PPWRITE | TPM_NV_PER_PPREAD)

enum { INDEX = 0x1000, SIZE = 8 };

static struct tpm *
owned(void)
{
	struct tpm *tpm = test_owned_tpm();

	test_nv_lock(tpm);
	return tpm;
}

static void
assert_contents(struct tpm *tpm, const uint8_t *owner, const char *expected)
{
	struct blob data;

	ck_assert_uint_eq(test_nv_read(tpm, owner, INDEX, 0, (uint32_t)strlen(expected), &data),
			  TPM_SUCCESS);
	ck_assert_mem_eq(data.data, expected, data.len);
}

START_TEST(before_the_lock_anybody_may_do_anything)
{
	struct tpm *tpm = test_tpm();

	ck_assert_uint_eq(test_nv_define(tpm, NULL, INDEX, OWNER_BOTH, SIZE), TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_write(tpm, NULL, INDEX, 0, "factory", 7), TPM_SUCCESS);
	assert_contents(tpm, NULL, "factory\xff");
	ck_assert_uint_eq(test_nv_define(tpm, NULL, 0x10001000, OWNER_BOTH, SIZE), TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_define(tpm, NULL, INDEX, OWNER_BOTH, 0), TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_write(tpm, NULL, INDEX, 0, "gone", 4), TPM_BADINDEX);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_lock_is_for_ever)
{
	struct tpm *tpm = test_tpm();

	ck_assert_uint_eq(test_nv_define(tpm, NULL, TPM_NV_INDEX_LOCK, 0, 1), TPM_BADINDEX);
	test_nv_lock(tpm);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	test_reboot(tpm);
	ck_assert_uint_eq(test_nv_define(tpm, NULL, INDEX, OWNER_BOTH, SIZE), TPM_BAD_PRESENCE);
	tpm_free(tpm);
	tpm = owned();
	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, TPM_NV_INDEX_LOCK, 0, 0), TPM_BADINDEX);
	tpm_free(tpm);
}
END_TEST

/* Definitions that the owner asks for in vain. */
static const struct {
	uint32_t index, attributes, size;
	TPM_RESULT result;
} bad_definitions[] = {
	{ TPM_NV_INDEX0, OWNER_BOTH, SIZE, TPM_BADINDEX },
	{ TPM_NV_INDEX_DIR, OWNER_BOTH, 20, TPM_BADINDEX },
	{ 0x10001000, OWNER_BOTH, SIZE, TPM_BADINDEX },
	{ 0x01001000, OWNER_BOTH, SIZE, TPM_BADINDEX },
	{ 0x00011600, OWNER_BOTH, SIZE, TPM_BADINDEX },
	{ 0x000116ff, OWNER_BOTH, SIZE, TPM_BADINDEX },
	{ INDEX, 0, SIZE, TPM_PER_NOWRITE },
	{ INDEX, TPM_NV_PER_OWNERREAD, SIZE, TPM_PER_NOWRITE },
	{ INDEX, TPM_NV_PER_OWNERWRITE | TPM_NV_PER_AUTHWRITE, SIZE, TPM_AUTH_CONFLICT },
	{ INDEX, TPM_NV_PER_PPWRITE | TPM_NV_PER_OWNERREAD | TPM_NV_PER_AUTHREAD, SIZE,
	  TPM_AUTH_CONFLICT },
	{ INDEX, OWNER_BOTH, 0, TPM_BAD_PARAM_SIZE },
	{ INDEX, OWNER_BOTH, 0x10000, TPM_NOSPACE },
	{ INDEX, OWNER_BOTH, UINT32_MAX, TPM_NOSPACE },
};

START_TEST(definitions_are_checked)
{
	struct tpm *tpm = owned();

	for (size_t i = 0; i < sizeof(bad_definitions) / sizeof(bad_definitions[0]); i++) {
		ck_assert_uint_eq(test_nv_define(tpm, owner_auth, bad_definitions[i].index,
						 bad_definitions[i].attributes,
						 bad_definitions[i].size),
				  bad_definitions[i].result);
		ck_assert(!(bench.changed & TPM_CHANGED_PERMANENT));
	}
	ck_assert_uint_eq(test_nv_define(tpm, wrong_auth, INDEX, OWNER_BOTH, SIZE), TPM_AUTHFAIL);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_trial_index_only_tries)
{
	struct tpm *tpm = owned();

	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, TPM_NV_INDEX_TRIAL, OWNER_BOTH, SIZE),
			  TPM_SUCCESS);
	ck_assert(!(bench.changed & TPM_CHANGED_PERMANENT));
	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, TPM_NV_INDEX_TRIAL, OWNER_BOTH, 0x10000),
			  TPM_NOSPACE);
	ck_assert_uint_eq(test_nv_write(tpm, owner_auth, TPM_NV_INDEX_TRIAL, 0, "x", 1),
			  TPM_BADINDEX);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_redefinition_leaves_nothing_of_the_old_area)
{
	struct tpm *tpm = owned();

	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, INDEX, OWNER_BOTH, SIZE), TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_write(tpm, owner_auth, INDEX, 0, "old", 3), TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, INDEX, OWNER_BOTH, SIZE), TPM_SUCCESS);
	assert_contents(tpm, owner_auth, "\xff\xff\xff");
	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, INDEX, OWNER_BOTH, 0), TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_write(tpm, owner_auth, INDEX, 0, "x", 1), TPM_BADINDEX);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_redefinition_that_is_refused_comes_too_late_for_the_old_area)
{
	static const struct {
		uint32_t attributes, size;
		TPM_RESULT rc;
	} cases[] = {
		{ TPM_NV_PER_OWNERREAD, SIZE, TPM_PER_NOWRITE },
		{ OWNER_BOTH | AUTH_BOTH, SIZE, TPM_AUTH_CONFLICT },
		{ OWNER_BOTH, 1 << 20, TPM_NOSPACE },
	};
	struct tpm *tpm = owned();

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ck_assert_uint_eq(test_nv_define(tpm, owner_auth, INDEX, OWNER_BOTH, SIZE),
				  TPM_SUCCESS);
		ck_assert_uint_eq(
		    test_nv_define(tpm, owner_auth, INDEX, cases[i].attributes, cases[i].size),
		    cases[i].rc);
		ck_assert_uint_eq(test_nv_write(tpm, owner_auth, INDEX, 0, "x", 1), TPM_BADINDEX);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(sessions_of_an_area_end_with_it)
{
	struct tpm *tpm = owned();
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, INDEX, AUTH_BOTH, SIZE), TPM_SUCCESS);
	ck_assert_uint_eq(test_osap(tpm, &s, TPM_ET_NV, INDEX, nv_auth), TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, INDEX, AUTH_BOTH, SIZE), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_NV_WriteValueAuth);
	writer_u32(&c.params, INDEX);
	writer_u32(&c.params, 0);
	writer_sized(&c.params, "x", 1);
	call_session(&c, &s);
	ck_assert_uint_eq(call_run(&c), TPM_INVALID_AUTHHANDLE);
	tpm_free(tpm);
}
END_TEST

START_TEST(space_runs_out_and_comes_back)
{
	struct tpm *tpm = owned();
	uint32_t free_before =
	    test_get_capability_u32(tpm, TPM_CAP_PROPERTY, TPM_CAP_PROP_NV_AVAILABLE);
	uint32_t index = 0x2000;

	while (test_nv_define(tpm, owner_auth, index, OWNER_BOTH, 2048) == TPM_SUCCESS)
		index++;
	ck_assert_uint_ge(index - 0x2000, 10);
	uint32_t left = test_get_capability_u32(tpm, TPM_CAP_PROPERTY, TPM_CAP_PROP_NV_AVAILABLE);
	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, index, OWNER_BOTH, left + 1),
			  TPM_NOSPACE);
	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, index, OWNER_BOTH, left), TPM_SUCCESS);
	for (; index >= 0x2000; index--)
		ck_assert_uint_eq(test_nv_define(tpm, owner_auth, index, OWNER_BOTH, 0),
				  TPM_SUCCESS);
	ck_assert_uint_eq(test_get_capability_u32(tpm, TPM_CAP_PROPERTY, TPM_CAP_PROP_NV_AVAILABLE),
			  free_before);
	tpm_free(tpm);
}
END_TEST

START_TEST(without_an_owner_presence_defines_but_does_not_delete)
{
	struct tpm *tpm = test_tpm();

	test_nv_lock(tpm);
	ck_assert_uint_eq(test_nv_define(tpm, NULL, INDEX, PP_BOTH, SIZE), TPM_BAD_PRESENCE);
	bench.physical_presence = true;
	ck_assert_uint_eq(test_nv_define(tpm, NULL, INDEX, PP_BOTH, SIZE), TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_define(tpm, NULL, INDEX, PP_BOTH, 0), TPM_BAD_DATASIZE);
	ck_assert_uint_eq(test_nv_define(tpm, NULL, INDEX, PP_BOTH, SIZE), TPM_SUCCESS);
	tpm_free(tpm);
	tpm = owned();
	bench.physical_presence = true;
	ck_assert_uint_eq(test_nv_define(tpm, NULL, INDEX, PP_BOTH, SIZE), TPM_OWNER_SET);
	tpm_free(tpm);
}
END_TEST

START_TEST(without_an_owner_writes_are_counted)
{
	struct tpm *tpm = test_tpm();
	char value[3];

	test_nv_lock(tpm);
	bench.physical_presence = true;
	ck_assert_uint_eq(test_nv_define(tpm, NULL, INDEX, PP_BOTH, SIZE), TPM_SUCCESS);
	for (unsigned i = 1; i < 64; i++) {
		snprintf(value, sizeof(value), "%02u", i);
		ck_assert_uint_eq(test_nv_write(tpm, NULL, INDEX, 0, value, 2), TPM_SUCCESS);
	}
	ck_assert_uint_eq(test_nv_write(tpm, NULL, INDEX, 0, "no", 2), TPM_MAXNVWRITES);
	ck_assert_uint_eq(test_nv_write(tpm, NULL, INDEX, 0, "", 0), TPM_MAXNVWRITES);
	ck_assert_uint_eq(test_nv_define(tpm, NULL, INDEX + 1, PP_BOTH, SIZE), TPM_MAXNVWRITES);
	assert_contents(tpm, NULL, "63");
	test_reboot(tpm);
	ck_assert_uint_eq(test_nv_write(tpm, NULL, INDEX, 0, "no", 2), TPM_MAXNVWRITES);
	ck_assert_uint_eq(test_take_ownership(tpm, &test_srk_key), TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_write(tpm, NULL, INDEX, 0, "ok", 2), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_owners_areas_go_with_the_owner)
{
	struct tpm *tpm = test_owned_tpm();

	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, 0x10001000, OWNER_BOTH, SIZE),
			  TPM_SUCCESS);
	test_nv_lock(tpm);
	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, INDEX, OWNER_BOTH, SIZE), TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, 0x2000, AUTH_BOTH, SIZE), TPM_SUCCESS);
	ck_assert_uint_eq(
	    test_nv_define(tpm, owner_auth, 0x3000, TPM_NV_PER_PPWRITE | TPM_NV_PER_OWNERREAD, 4),
	    TPM_SUCCESS);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_OwnerClear, owner_auth), TPM_SUCCESS);
	struct blob list;
	ck_assert_uint_eq(test_get_capability(tpm, TPM_CAP_NV_LIST, NULL, 0, &list), TPM_SUCCESS);
	ck_assert_uint_eq(list.len, 8);
	ck_assert_mem_eq(list.data, "\x10\0\x10\0\0\0\x20\0", 8);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_malformed_definition_is_refused)
{
	static const struct {
		size_t at;
		uint8_t byte;
		TPM_RESULT result;
	} damages[] = {
		{ 1, 0x19, TPM_INVALID_STRUCTURE },  /* tag */
		{ 7, 4, TPM_BAD_PARAM_SIZE },        /* size of the first selection */
		{ 59, 0x18, TPM_INVALID_STRUCTURE }, /* tag of the attributes */
		{ 64, 2, TPM_BAD_PARAMETER },        /* bReadSTClear */
	};
	struct tpm *tpm = test_tpm();

	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		struct call c;

		call_begin(&c, tpm, TPM_ORD_NV_DefineSpace);
		write_nv_public(&c.params, INDEX, PP_BOTH, SIZE);
		c.params.buf[damages[i].at] = damages[i].byte;
		writer_bytes(&c.params, nv_auth, TPM_DIGEST_SIZE);
		ck_assert_uint_eq(call_run(&c), damages[i].result);
	}
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		before_the_lock_anybody_may_do_anything,
		the_lock_is_for_ever,
		definitions_are_checked,
		the_trial_index_only_tries,
		a_redefinition_leaves_nothing_of_the_old_area,
		a_redefinition_that_is_refused_comes_too_late_for_the_old_area,
		sessions_of_an_area_end_with_it,
		space_runs_out_and_comes_back,
		without_an_owner_presence_defines_but_does_not_delete,
		without_an_owner_writes_are_counted,
		the_owners_areas_go_with_the_owner,
		a_malformed_definition_is_refused,
		NULL,
	};

	return test_suite("nv_define", tests);
}
