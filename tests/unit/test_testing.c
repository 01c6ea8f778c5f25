#include "tests/unit/support.h"

static const uint32_t self_tests[] = { TPM_ORD_SelfTestFull, TPM_ORD_ContinueSelfTest };

static void
assert_test_result(struct tpm *tpm, const char *expected)
{
	struct blob result;
	struct call c;

	call_begin(&c, tpm, TPM_ORD_GetTestResult);
	ck_assert_uint_eq(call_run_into(&c, &result), TPM_SUCCESS);
	ck_assert_uint_eq(result.len, strlen(expected));
	ck_assert_mem_eq(result.data, expected, result.len);
}

START_TEST(the_self_test_passes)
{
	struct tpm *tpm = test_blank_tpm();

	for (unsigned i = 0; i < 2; i++) {
		ck_assert_uint_eq(test_plain(tpm, self_tests[i]), TPM_SUCCESS);
		ck_assert(!(bench.changed & TPM_CHANGED_PERMANENT));
	}
	assert_test_result(tpm, "passed");
	tpm_free(tpm);
}
END_TEST

START_TEST(a_failed_self_test_stops_the_tpm_until_init)
{
	for (unsigned i = 0; i < 2; i++) {
		struct tpm *tpm = test_blank_tpm();
		uint8_t value[TPM_DIGEST_SIZE];

		bench.random_fails = true;
		ck_assert_uint_eq(test_plain(tpm, self_tests[i]), TPM_FAILEDSELFTEST);
		ck_assert_uint_eq(test_pcr_read(tpm, 0, value), TPM_FAILEDSELFTEST);
		assert_test_result(tpm, "random numbers");
		bench.random_fails = false;
		ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SelfTestFull), TPM_FAILEDSELFTEST);
		test_reboot(tpm);
		ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SelfTestFull), TPM_SUCCESS);
		ck_assert_uint_eq(test_pcr_read(tpm, 0, value), TPM_SUCCESS);
		tpm_free(tpm);
	}
}
END_TEST

START_TEST(lost_state_is_told_as_the_reason)
{
	struct tpm *tpm = test_blank_tpm();

	tpm_init(tpm);
	ck_assert_uint_eq(test_startup(tpm, TPM_ST_STATE), TPM_FAILEDSELFTEST);
	assert_test_result(tpm, "TPM_Startup(ST_STATE) without saved state");
	tpm_free(tpm);
}
END_TEST

START_TEST(a_disabled_tpm_tests_itself)
{
	struct tpm *tpm = test_blank_tpm();

	bench.physical_presence = true;
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PhysicalDisable), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SelfTestFull), TPM_SUCCESS);
	assert_test_result(tpm, "passed");
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		the_self_test_passes,
		a_failed_self_test_stops_the_tpm_until_init,
		lost_state_is_told_as_the_reason,
		a_disabled_tpm_tests_itself,
		NULL,
	};

	return test_suite("testing", tests);
}
