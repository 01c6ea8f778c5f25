#include "tests/unit/snapshot.h"
#include "tests/unit/support.h"

static const uint8_t zeros[TPM_DIGEST_SIZE];
static const uint8_t ones[TPM_DIGEST_SIZE] = { 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
					       255, 255, 255, 255, 255, 255, 255, 255, 255, 255 };
static const uint8_t code[] = "the first instructions of a hypervisor, not a multiple of 64 bytes, "
			      "longer than one block of SHA-1 to make it a matter of several";

static void
assert_pcr(struct tpm *tpm, uint32_t pcr, const uint8_t *expected)
{
	uint8_t value[TPM_DIGEST_SIZE];

	ck_assert_uint_eq(test_pcr_read(tpm, pcr, value), TPM_SUCCESS);
	ck_assert_mem_eq(value, expected, sizeof(value));
}

/* PCR 17 after the launch of len bytes. */
static void
assert_launched(struct tpm *tpm, const void *data, size_t len)
{
	uint8_t expected[2 * TPM_DIGEST_SIZE] = { 0 };

	reference_sha1(expected + TPM_DIGEST_SIZE, data, len);
	reference_sha1(expected, expected, sizeof(expected));
	assert_pcr(tpm, 17, expected);
}

START_TEST(a_launch_measures_into_register_17)
{
	struct tpm *tpm = test_tpm();
	unsigned changes = 0;

	assert_pcr(tpm, 17, ones);
	ck_assert(!tpm_established(tpm));
	ck_assert_uint_eq(tpm_hash_start(tpm, &changes), TPM_SUCCESS);
	for (size_t at = 0; at < sizeof(code); at += 7)
		ck_assert_uint_eq(tpm_hash_data(tpm, code + at,
						sizeof(code) - at < 7 ? sizeof(code) - at : 7,
						&changes),
				  TPM_SUCCESS);
	ck_assert_uint_eq(tpm_hash_end(tpm, &changes), TPM_SUCCESS);
	ck_assert_uint_eq(changes, TPM_CHANGED_PERMANENT | TPM_CHANGED_VOLATILE);
	assert_launched(tpm, code, sizeof(code));
	for (uint32_t pcr = 18; pcr <= 22; pcr++)
		assert_pcr(tpm, pcr, zeros);
	ck_assert(tpm_established(tpm));
	tpm_free(tpm);
}
END_TEST

START_TEST(a_second_launch_begins_anew)
{
	struct tpm *tpm = test_tpm();
	uint8_t value[TPM_DIGEST_SIZE];
	unsigned changes = 0;

	ck_assert_uint_eq(tpm_hash_start(tpm, &changes), TPM_SUCCESS);
	ck_assert_uint_eq(tpm_hash_data(tpm, code + 4, 4, &changes), TPM_SUCCESS);
	ck_assert_uint_eq(tpm_hash_start(tpm, &changes), TPM_SUCCESS);
	ck_assert_uint_eq(tpm_hash_end(tpm, &changes), TPM_SUCCESS);
	assert_launched(tpm, "", 0);
	bench.locality = 2;
	ck_assert_uint_eq(test_extend(tpm, 18, code, value), TPM_SUCCESS);

	changes = 0;
	ck_assert_uint_eq(tpm_hash_start(tpm, &changes), TPM_SUCCESS);
	ck_assert_uint_eq(changes, TPM_CHANGED_VOLATILE); /* established already */
	ck_assert_uint_eq(tpm_hash_data(tpm, code, sizeof(code), &changes), TPM_SUCCESS);
	ck_assert_uint_eq(tpm_hash_end(tpm, &changes), TPM_SUCCESS);
	assert_launched(tpm, code, sizeof(code));
	assert_pcr(tpm, 18, zeros);
	tpm_free(tpm);
}
END_TEST

START_TEST(data_belongs_to_a_launch_that_was_started)
{
	struct tpm *tpm = test_tpm();
	unsigned changes = 0;

	ck_assert_uint_eq(tpm_hash_data(tpm, code, 1, &changes), TPM_SHA_THREAD);
	ck_assert_uint_eq(tpm_hash_end(tpm, &changes), TPM_SHA_THREAD);
	ck_assert_uint_eq(changes, 0);

	/* nor to one that is over, or that a command broke off, or to a thread of software */
	ck_assert_uint_eq(tpm_hash_start(tpm, &changes), TPM_SUCCESS);
	ck_assert_uint_eq(tpm_hash_end(tpm, &changes), TPM_SUCCESS);
	ck_assert_uint_eq(tpm_hash_end(tpm, &changes), TPM_SHA_THREAD);
	ck_assert_uint_eq(tpm_hash_start(tpm, &changes), TPM_SUCCESS);
	assert_pcr(tpm, 17, zeros);
	ck_assert_uint_eq(tpm_hash_end(tpm, &changes), TPM_SHA_THREAD);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SHA1Start), TPM_SUCCESS);
	ck_assert_uint_eq(tpm_hash_data(tpm, code, 1, &changes), TPM_SHA_THREAD);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_launch_ends_the_thread_of_software)
{
	struct tpm *tpm = test_tpm();
	unsigned changes = 0;

	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SHA1Start), TPM_SUCCESS);
	ck_assert_uint_eq(tpm_hash_start(tpm, &changes), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain_u32(tpm, TPM_ORD_SHA1Complete, 0), TPM_SHA_THREAD);
	tpm_free(tpm);
}
END_TEST

START_TEST(before_startup_there_is_no_launch)
{
	struct tpm *tpm = test_tpm();
	unsigned changes = 0;

	tpm_init(tpm);
	ck_assert_uint_eq(tpm_hash_start(tpm, &changes), TPM_INVALID_POSTINIT);
	ck_assert_uint_eq(changes, 0);
	ck_assert(!tpm_established(tpm));
	tpm_free(tpm);
}
END_TEST

START_TEST(a_launch_goes_on_in_another_process)
{
	struct tpm *tpm = test_tpm(), *next = test_blank_tpm();
	struct snapshot snapshot;
	unsigned changes = 0;

	ck_assert_uint_eq(tpm_hash_start(tpm, &changes), TPM_SUCCESS);
	ck_assert_uint_eq(tpm_hash_data(tpm, code, 70, &changes), TPM_SUCCESS);
	snapshot_take(&snapshot, tpm);
	snapshot_restore(&snapshot, next);
	snapshot_free(&snapshot);
	tpm_free(tpm);
	ck_assert_uint_eq(tpm_hash_data(next, code + 70, sizeof(code) - 70, &changes), TPM_SUCCESS);
	ck_assert_uint_eq(tpm_hash_end(next, &changes), TPM_SUCCESS);
	assert_launched(next, code, sizeof(code));
	tpm_free(next);
}
END_TEST

START_TEST(established_lasts_until_locality_3_or_4_resets_it)
{
	struct tpm *tpm = test_tpm();
	unsigned changes = 0;

	ck_assert_uint_eq(tpm_hash_start(tpm, &changes), TPM_SUCCESS);
	test_reboot(tpm);
	assert_pcr(tpm, 17, ones);
	for (unsigned locality = 0; locality <= 4; locality++) {
		bool may = locality >= 3;

		changes = 0;
		ck_assert(tpm_established(tpm));
		ck_assert_uint_eq(tpm_reset_established(tpm, locality, &changes),
				  may ? TPM_SUCCESS : TPM_BAD_LOCALITY);
		ck_assert_uint_eq(changes, may ? TPM_CHANGED_PERMANENT : 0);
		ck_assert(tpm_established(tpm) == !may);
		ck_assert_uint_eq(tpm_hash_start(tpm, &changes), TPM_SUCCESS);
	}
	changes = 0;
	ck_assert_uint_eq(tpm_reset_established(tpm, 3, &changes), TPM_SUCCESS);
	changes = 0;
	ck_assert_uint_eq(tpm_reset_established(tpm, 3, &changes), TPM_SUCCESS);
	ck_assert_uint_eq(changes, 0); /* it was so */
	tpm_free(tpm);
}
END_TEST

START_TEST(a_command_resets_established_too)
{
	struct tpm *tpm = test_tpm();
	unsigned changes = 0;

	ck_assert_uint_eq(tpm_hash_start(tpm, &changes), TPM_SUCCESS);
	for (unsigned locality = 0; locality <= 4; locality++) {
		bench.locality = locality;
		ck_assert_uint_eq(test_plain(tpm, TSC_ORD_ResetEstablishmentBit),
				  locality < 3 ? TPM_BAD_LOCALITY : TPM_SUCCESS);
		ck_assert(tpm_established(tpm) == (locality < 3));
		ck_assert(!(bench.changed & TPM_CHANGED_PERMANENT) == (locality != 3));
	}
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_launch_measures_into_register_17,
		a_second_launch_begins_anew,
		data_belongs_to_a_launch_that_was_started,
		a_launch_ends_the_thread_of_software,
		before_startup_there_is_no_launch,
		a_launch_goes_on_in_another_process,
		established_lasts_until_locality_3_or_4_resets_it,
		a_command_resets_established_too,
		NULL,
	};

	return test_suite("launch", tests);
}
