#include "tests/unit/support.h"

#define OWNER_BOTH (TPM_NV_PER_OWNERWRITE | TPM_NV_PER_OWNERREAD)
#define AUTH_BOTH  (TPM_NV_PER_AUTHWRITE | TPM_NV_PER_AUTHREAD)
#define PP_BOTH    (TPM_NV_PER_PPWRITE | TPM_NV_PER_PPREAD)

enum { INDEX = 0x1000, SIZE = 8, EVERY_LOCALITY = 0x1f };

static struct tpm *
owned(void)
{
	struct tpm *tpm = test_owned_tpm();

	test_nv_lock(tpm);
	return tpm;
}

static void
define(struct tpm *tpm, uint32_t attributes)
{
	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, INDEX, attributes, SIZE), TPM_SUCCESS);
}

/* Defines an area by the owner whose PCRs and localities matter. */
static TPM_RESULT
define_bound(struct tpm *tpm, uint32_t attributes, uint32_t pcrs, const uint8_t *digest,
	     uint8_t read_localities, uint8_t write_localities)
{
	struct test_session s;
	uint8_t encrypted[TPM_DIGEST_SIZE];
	struct call c;

	ck_assert_uint_eq(test_osap(tpm, &s, TPM_ET_OWNER, TPM_KH_OWNER, owner_auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_NV_DefineSpace);
	writer_u16(&c.params, TPM_TAG_NV_DATA_PUBLIC);
	writer_u32(&c.params, INDEX);
	for (unsigned write = 0; write < 2; write++) {
		write_pcr_selection(&c.params, pcrs);
		writer_u8(&c.params, write ? write_localities : read_localities);
		writer_bytes(&c.params, digest, TPM_DIGEST_SIZE);
	}
	writer_u16(&c.params, TPM_TAG_NV_ATTRIBUTES);
	writer_u32(&c.params, attributes);
	writer_bytes(&c.params, "\1\1\1", 3); /* ignored */
	writer_u32(&c.params, SIZE);
	test_encrypt_auth(&s, false, nv_auth, encrypted);
	writer_bytes(&c.params, encrypted, sizeof(encrypted));
	call_session(&c, &s);
	return call_run(&c);
}

static TPM_RESULT
write(struct tpm *tpm, const uint8_t *owner, const char *text)
{
	return test_nv_write(tpm, owner, INDEX, 0, text, strlen(text));
}

static TPM_RESULT
read_some(struct tpm *tpm, const uint8_t *owner, uint32_t len)
{
	struct blob data;
	TPM_RESULT rc = test_nv_read(tpm, owner, INDEX, 0, len, &data);

	if (rc == TPM_SUCCESS)
		ck_assert_uint_eq(data.len, len);
	return rc;
}

static void
assert_contents(struct tpm *tpm, const uint8_t *owner, const char *expected)
{
	struct blob data;

	ck_assert_uint_eq(test_nv_read(tpm, owner, INDEX, 0, (uint32_t)strlen(expected), &data),
			  TPM_SUCCESS);
	ck_assert_mem_eq(data.data, expected, data.len);
}

START_TEST(an_area_lasts_and_starts_with_ff)
{
	struct tpm *tpm = owned();

	define(tpm, OWNER_BOTH);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	assert_contents(tpm, owner_auth, "\xff\xff\xff\xff\xff\xff\xff\xff");
	ck_assert_uint_eq(test_nv_write(tpm, owner_auth, INDEX, 2, "mid", 3), TPM_SUCCESS);
	test_reboot(tpm);
	assert_contents(tpm, owner_auth, "\xff\xffmid\xff\xff\xff");
	tpm_free(tpm);
}
END_TEST

START_TEST(writing_the_same_again_costs_no_write)
{
	struct tpm *tpm = owned();

	define(tpm, OWNER_BOTH);
	ck_assert_uint_eq(write(tpm, owner_auth, "once"), TPM_SUCCESS);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	ck_assert_uint_eq(write(tpm, owner_auth, "once"), TPM_SUCCESS);
	ck_assert(!(bench.changed & TPM_CHANGED_PERMANENT));
	ck_assert_uint_eq(read_some(tpm, owner_auth, SIZE), TPM_SUCCESS);
	ck_assert(!(bench.changed & TPM_CHANGED_PERMANENT));
	tpm_free(tpm);
}
END_TEST

/* Who may write and read an area of these attributes. */
enum { NOBODY = 1, OWNER = 2, AUTH = 4 };
static const struct {
	uint32_t attributes;
	unsigned writers, readers;
} access_rules[] = {
	{ OWNER_BOTH, OWNER, OWNER },
	{ AUTH_BOTH, AUTH, AUTH },
	{ TPM_NV_PER_OWNERWRITE, OWNER, NOBODY },
	{ TPM_NV_PER_OWNERWRITE | TPM_NV_PER_AUTHREAD, OWNER, AUTH },
	{ TPM_NV_PER_AUTHWRITE | TPM_NV_PER_OWNERREAD, AUTH, OWNER },
	{ TPM_NV_PER_PPWRITE, NOBODY, NOBODY },
	{ TPM_NV_PER_WRITEDEFINE, NOBODY, NOBODY },
};

START_TEST(attributes_say_who_writes_and_reads)
{
	for (size_t i = 0; i < sizeof(access_rules) / sizeof(access_rules[0]); i++) {
		struct tpm *tpm = owned();
		unsigned writers = access_rules[i].writers, readers = access_rules[i].readers;
		struct blob data;

		define(tpm, access_rules[i].attributes);
		bench.physical_presence = true;
		ck_assert_uint_eq(write(tpm, NULL, "a"),
				  writers & NOBODY ? TPM_SUCCESS : TPM_AUTH_CONFLICT);
		ck_assert_uint_eq(write(tpm, owner_auth, "b"),
				  writers & OWNER ? TPM_SUCCESS : TPM_AUTH_CONFLICT);
		ck_assert_uint_eq(test_nv_write_auth(tpm, nv_auth, INDEX, 0, "c", 1),
				  writers & AUTH ? TPM_SUCCESS : TPM_AUTH_CONFLICT);
		ck_assert_uint_eq(read_some(tpm, NULL, 1),
				  readers & NOBODY ? TPM_SUCCESS : TPM_AUTH_CONFLICT);
		ck_assert_uint_eq(read_some(tpm, owner_auth, 1),
				  readers & OWNER ? TPM_SUCCESS : TPM_AUTH_CONFLICT);
		ck_assert_uint_eq(test_nv_read_auth(tpm, nv_auth, INDEX, 0, 1, &data),
				  readers & AUTH ? TPM_SUCCESS : TPM_AUTH_CONFLICT);
		tpm_free(tpm);
	}
}
END_TEST

START_TEST(while_nv_is_not_locked_the_owner_need_not_show_itself)
{
	struct tpm *tpm = test_owned_tpm();

	define(tpm, OWNER_BOTH);
	ck_assert_uint_eq(write(tpm, NULL, "a"), TPM_SUCCESS);
	ck_assert_uint_eq(write(tpm, owner_auth, "b"), TPM_SUCCESS);
	ck_assert_uint_eq(write(tpm, wrong_auth, "c"), TPM_AUTHFAIL);
	ck_assert_uint_eq(read_some(tpm, NULL, 1), TPM_SUCCESS);
	ck_assert_uint_eq(read_some(tpm, owner_auth, 1), TPM_SUCCESS);
	/* Whose command it is still depends on the attributes. */
	define(tpm, AUTH_BOTH);
	ck_assert_uint_eq(write(tpm, NULL, "a"), TPM_AUTH_CONFLICT);
	ck_assert_uint_eq(read_some(tpm, NULL, 1), TPM_AUTH_CONFLICT);
	define(tpm, TPM_NV_PER_PPWRITE);
	ck_assert_uint_eq(write(tpm, NULL, "a"), TPM_SUCCESS);
	ck_assert_uint_eq(write(tpm, owner_auth, "a"), TPM_AUTH_CONFLICT);
	ck_assert_uint_eq(read_some(tpm, owner_auth, 1), TPM_AUTH_CONFLICT);
	tpm_free(tpm);
}
END_TEST

START_TEST(wrong_auth_data_fails)
{
	struct tpm *tpm = owned();
	struct blob data;

	define(tpm, OWNER_BOTH);
	ck_assert_uint_eq(write(tpm, wrong_auth, "x"), TPM_AUTHFAIL);
	ck_assert_uint_eq(read_some(tpm, wrong_auth, 1), TPM_AUTHFAIL);
	define(tpm, AUTH_BOTH);
	ck_assert_uint_eq(test_nv_write_auth(tpm, owner_auth, INDEX, 0, "x", 1), TPM_AUTHFAIL);
	ck_assert_uint_eq(test_nv_read_auth(tpm, owner_auth, INDEX, 0, 1, &data), TPM_AUTHFAIL);
	tpm_free(tpm);
}
END_TEST

START_TEST(presence_is_asked_for)
{
	struct tpm *tpm = owned();

	define(tpm, PP_BOTH);
	ck_assert_uint_eq(write(tpm, NULL, "a"), TPM_BAD_PRESENCE);
	ck_assert_uint_eq(read_some(tpm, NULL, 1), TPM_BAD_PRESENCE);
	bench.physical_presence = true;
	ck_assert_uint_eq(write(tpm, NULL, "a"), TPM_SUCCESS);
	assert_contents(tpm, NULL, "a");
	tpm_free(tpm);
}
END_TEST

START_TEST(nothing_lies_outside_of_an_area)
{
	static const struct {
		uint32_t offset, len;
	} beyond[] = { { 0, 9 },          { 8, 1 },
		       { 7, 2 },          { 9, 1 },
		       { 0x7fffffff, 1 }, { UINT32_MAX, 1 },
		       { UINT32_MAX, 8 }, { UINT32_MAX - 3, 4 } };
	static const uint8_t bytes[16];
	struct tpm *tpm = owned();
	struct blob data;

	define(tpm, OWNER_BOTH);
	for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
		ck_assert_uint_eq(
		    test_nv_write(tpm, owner_auth, INDEX, beyond[i].offset, bytes, beyond[i].len),
		    TPM_NOSPACE);
		ck_assert_uint_eq(
		    test_nv_read(tpm, owner_auth, INDEX, beyond[i].offset, beyond[i].len, &data),
		    TPM_NOSPACE);
	}
	ck_assert_uint_eq(test_nv_read(tpm, owner_auth, INDEX, 0, UINT32_MAX, &data), TPM_NOSPACE);
	define(tpm, AUTH_BOTH);
	for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
		ck_assert_uint_eq(
		    test_nv_write_auth(tpm, nv_auth, INDEX, beyond[i].offset, bytes, beyond[i].len),
		    TPM_NOSPACE);
		ck_assert_uint_eq(
		    test_nv_read_auth(tpm, nv_auth, INDEX, beyond[i].offset, beyond[i].len, &data),
		    TPM_NOSPACE);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(writeall_wants_the_whole_area)
{
	struct tpm *tpm = owned();

	define(tpm, OWNER_BOTH | TPM_NV_PER_WRITEALL);
	ck_assert_uint_eq(write(tpm, owner_auth, "part"), TPM_NOT_FULLWRITE);
	ck_assert_uint_eq(write(tpm, owner_auth, "complete"), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(writedefine_locks_until_redefinition)
{
	struct tpm *tpm = owned();

	define(tpm, OWNER_BOTH | TPM_NV_PER_WRITEDEFINE);
	ck_assert_uint_eq(write(tpm, owner_auth, "value"), TPM_SUCCESS);
	ck_assert_uint_eq(write(tpm, owner_auth, ""), TPM_SUCCESS);
	ck_assert_uint_eq(write(tpm, owner_auth, "other"), TPM_AREA_LOCKED);
	test_reboot(tpm);
	ck_assert_uint_eq(write(tpm, owner_auth, "other"), TPM_AREA_LOCKED);
	assert_contents(tpm, owner_auth, "value");
	define(tpm, OWNER_BOTH);
	ck_assert_uint_eq(write(tpm, owner_auth, "other"), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(write_stclear_locks_until_the_next_boot)
{
	struct tpm *tpm = owned();

	define(tpm, OWNER_BOTH | TPM_NV_PER_WRITE_STCLEAR);
	ck_assert_uint_eq(write(tpm, owner_auth, ""), TPM_SUCCESS);
	ck_assert_uint_eq(write(tpm, owner_auth, "x"), TPM_AREA_LOCKED);
	ck_assert_uint_eq(write(tpm, owner_auth, ""), TPM_AREA_LOCKED);
	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, INDEX, OWNER_BOTH, SIZE),
			  TPM_AREA_LOCKED);
	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, INDEX, OWNER_BOTH, 0), TPM_AREA_LOCKED);
	test_reboot(tpm);
	ck_assert_uint_eq(write(tpm, owner_auth, "x"), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(index_0_locks_all_areas_that_want_it)
{
	struct tpm *tpm = owned();

	define(tpm, OWNER_BOTH | TPM_NV_PER_GLOBALLOCK);
	ck_assert_uint_eq(test_nv_write(tpm, NULL, TPM_NV_INDEX0, 0, "x", 1), TPM_BADINDEX);
	ck_assert_uint_eq(test_nv_write(tpm, wrong_auth, TPM_NV_INDEX0, 0, "", 0), TPM_AUTHFAIL);
	ck_assert_uint_eq(write(tpm, owner_auth, "open"), TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_write(tpm, NULL, TPM_NV_INDEX0, 0, "", 0), TPM_SUCCESS);
	ck_assert_uint_eq(write(tpm, owner_auth, "shut"), TPM_AREA_LOCKED);
	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, INDEX, OWNER_BOTH, SIZE),
			  TPM_AREA_LOCKED);
	test_reboot(tpm);
	ck_assert_uint_eq(write(tpm, owner_auth, "shut"), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(read_stclear_locks_until_written_or_the_next_boot)
{
	struct tpm *tpm = owned();

	define(tpm, OWNER_BOTH | TPM_NV_PER_READ_STCLEAR);
	ck_assert_uint_eq(read_some(tpm, owner_auth, SIZE), TPM_SUCCESS);
	ck_assert_uint_eq(read_some(tpm, owner_auth, 0), TPM_SUCCESS);
	ck_assert_uint_eq(read_some(tpm, owner_auth, SIZE), TPM_DISABLED_CMD);
	ck_assert_uint_eq(write(tpm, owner_auth, "x"), TPM_SUCCESS);
	ck_assert_uint_eq(read_some(tpm, owner_auth, SIZE), TPM_SUCCESS);
	ck_assert_uint_eq(read_some(tpm, owner_auth, 0), TPM_SUCCESS);
	test_reboot(tpm);
	ck_assert_uint_eq(read_some(tpm, owner_auth, SIZE), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(registers_open_an_area)
{
	struct tpm *tpm = owned();
	uint8_t composite[2 + 3 + 4 + TPM_DIGEST_SIZE] = { 0, 3, 1, 0, 0, 0, 0, 0, 20 };
	uint8_t digest[TPM_DIGEST_SIZE], value[TPM_DIGEST_SIZE];

	reference_sha1(digest, composite, sizeof(composite));
	ck_assert_uint_eq(
	    define_bound(tpm, OWNER_BOTH, 1 << 0, digest, EVERY_LOCALITY, EVERY_LOCALITY),
	    TPM_SUCCESS);
	ck_assert_uint_eq(write(tpm, owner_auth, "x"), TPM_SUCCESS);
	ck_assert_uint_eq(read_some(tpm, owner_auth, 1), TPM_SUCCESS);
	ck_assert_uint_eq(test_extend(tpm, 0, digest, value), TPM_SUCCESS);
	ck_assert_uint_eq(write(tpm, owner_auth, "y"), TPM_WRONGPCRVAL);
	ck_assert_uint_eq(read_some(tpm, owner_auth, 1), TPM_WRONGPCRVAL);
	tpm_free(tpm);
}
END_TEST

START_TEST(locks_come_before_registers_but_for_the_commands_by_auth_data)
{
	const uint32_t locks = TPM_NV_PER_WRITEDEFINE | TPM_NV_PER_READ_STCLEAR;
	struct tpm *tpm = owned();
	uint8_t composite[2 + 3 + 4 + TPM_DIGEST_SIZE] = { 0, 3, 1, 0, 0, 0, 0, 0, 20 };
	uint8_t digest[TPM_DIGEST_SIZE], value[TPM_DIGEST_SIZE];
	struct blob data;

	reference_sha1(digest, composite, sizeof(composite));
	ck_assert_uint_eq(
	    define_bound(tpm, OWNER_BOTH | locks, 1 << 0, digest, EVERY_LOCALITY, EVERY_LOCALITY),
	    TPM_SUCCESS);
	ck_assert_uint_eq(write(tpm, owner_auth, ""), TPM_SUCCESS);
	ck_assert_uint_eq(read_some(tpm, owner_auth, 0), TPM_SUCCESS);
	ck_assert_uint_eq(test_extend(tpm, 0, digest, value), TPM_SUCCESS);
	ck_assert_uint_eq(write(tpm, owner_auth, "x"), TPM_AREA_LOCKED);
	ck_assert_uint_eq(read_some(tpm, owner_auth, 1), TPM_DISABLED_CMD);

	test_reboot(tpm);
	ck_assert_uint_eq(
	    define_bound(tpm, AUTH_BOTH | locks, 1 << 0, digest, EVERY_LOCALITY, EVERY_LOCALITY),
	    TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_write_auth(tpm, nv_auth, INDEX, 0, "", 0), TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_read_auth(tpm, nv_auth, INDEX, 0, 0, &data), TPM_SUCCESS);
	ck_assert_uint_eq(test_extend(tpm, 0, digest, value), TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_write_auth(tpm, nv_auth, INDEX, 0, "x", 1), TPM_WRONGPCRVAL);
	ck_assert_uint_eq(test_nv_read_auth(tpm, nv_auth, INDEX, 0, 1, &data), TPM_WRONGPCRVAL);
	tpm_free(tpm);
}
END_TEST

START_TEST(localities_open_an_area)
{
	static const uint8_t no_digest[TPM_DIGEST_SIZE];
	struct tpm *tpm = owned();

	/* A restricted locality alone is enough to make an area writable. */
	ck_assert_uint_eq(define_bound(tpm, 0, 0, no_digest, 1 << 2, 1 << 1), TPM_SUCCESS);
	for (bench.locality = 0; bench.locality < 5; bench.locality++) {
		ck_assert_uint_eq(write(tpm, NULL, "x"),
				  bench.locality == 1 ? TPM_SUCCESS : TPM_BAD_LOCALITY);
		ck_assert_uint_eq(read_some(tpm, NULL, 1),
				  bench.locality == 2 ? TPM_SUCCESS : TPM_BAD_LOCALITY);
	}
	bench.locality = 0;
	ck_assert_uint_eq(define_bound(tpm, OWNER_BOTH, 0, no_digest, 0, EVERY_LOCALITY),
			  TPM_INVALID_STRUCTURE);
	ck_assert_uint_eq(define_bound(tpm, OWNER_BOTH, 0, no_digest, EVERY_LOCALITY, 0x20),
			  TPM_INVALID_STRUCTURE);
	tpm_free(tpm);
}
END_TEST

START_TEST(before_there_is_an_owner_nobody_is_the_owner)
{
	static const uint8_t zeros[TPM_DIGEST_SIZE];
	struct tpm *tpm = test_tpm();

	ck_assert_uint_eq(test_nv_define(tpm, NULL, INDEX, OWNER_BOTH, SIZE), TPM_SUCCESS);
	test_nv_lock(tpm);
	ck_assert_uint_eq(write(tpm, zeros, "x"), TPM_AUTHFAIL);
	ck_assert_uint_eq(read_some(tpm, zeros, 1), TPM_AUTHFAIL);
	ck_assert_uint_eq(test_nv_write(tpm, zeros, TPM_NV_INDEX0, 0, "", 0), TPM_AUTHFAIL);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_disabled_tpm_keeps_what_is_not_the_owners_at_hand)
{
	struct tpm *tpm = owned();

	bench.physical_presence = true;
	define(tpm, PP_BOTH);
	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, INDEX + 1, OWNER_BOTH, SIZE),
			  TPM_SUCCESS);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PhysicalDisable), TPM_SUCCESS);
	ck_assert_uint_eq(write(tpm, NULL, "x"), TPM_SUCCESS);
	ck_assert_uint_eq(read_some(tpm, NULL, 1), TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_write(tpm, owner_auth, INDEX + 1, 0, "x", 1), TPM_DISABLED);
	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, INDEX, PP_BOTH, SIZE), TPM_DISABLED);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_dir_is_an_area_too)
{
	static const char value[] = "twenty bytes of DIR!";
	struct tpm *tpm = owned();
	struct blob data;
	struct call c;

	ck_assert_uint_eq(test_nv_write(tpm, NULL, TPM_NV_INDEX_DIR, 0, value, 20),
			  TPM_AUTH_CONFLICT);
	ck_assert_uint_eq(test_nv_write(tpm, owner_auth, TPM_NV_INDEX_DIR, 0, value, 19),
			  TPM_NOT_FULLWRITE);
	ck_assert_uint_eq(test_nv_write(tpm, owner_auth, TPM_NV_INDEX_DIR, 0, value, 20),
			  TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_read(tpm, NULL, TPM_NV_INDEX_DIR, 0, 20, &data), TPM_SUCCESS);
	ck_assert_mem_eq(data.data, value, 20);
	call_begin(&c, tpm, TPM_ORD_DirRead);
	writer_u32(&c.params, 0);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	ck_assert_mem_eq(c.out.pos, value, 20);
	tpm_free(tpm);
}
END_TEST

START_TEST(an_index_that_is_none_is_told_so)
{
	struct tpm *tpm = owned();
	struct blob data;

	ck_assert_uint_eq(write(tpm, NULL, "x"), TPM_BADINDEX);
	ck_assert_uint_eq(read_some(tpm, owner_auth, 1), TPM_BADINDEX);
	ck_assert_uint_eq(test_nv_write_auth(tpm, nv_auth, INDEX, 0, "x", 1), TPM_BADINDEX);
	ck_assert_uint_eq(test_nv_read_auth(tpm, nv_auth, INDEX, 0, 1, &data), TPM_BADINDEX);
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		an_area_lasts_and_starts_with_ff,
		writing_the_same_again_costs_no_write,
		attributes_say_who_writes_and_reads,
		while_nv_is_not_locked_the_owner_need_not_show_itself,
		wrong_auth_data_fails,
		presence_is_asked_for,
		nothing_lies_outside_of_an_area,
		writeall_wants_the_whole_area,
		writedefine_locks_until_redefinition,
		write_stclear_locks_until_the_next_boot,
		index_0_locks_all_areas_that_want_it,
		read_stclear_locks_until_written_or_the_next_boot,
		registers_open_an_area,
		locks_come_before_registers_but_for_the_commands_by_auth_data,
		localities_open_an_area,
		before_there_is_an_owner_nobody_is_the_owner,
		a_disabled_tpm_keeps_what_is_not_the_owners_at_hand,
		the_dir_is_an_area_too,
		an_index_that_is_none_is_told_so,
		NULL,
	};

	return test_suite("nvstorage", tests);
}
