#include "tests/unit/support.h"

enum { THRESHOLD = 5 };
static const uint64_t second = 1000000;

static TPM_RESULT
guess(struct tpm *tpm, const uint8_t *auth)
{
	return test_owner(tpm, TPM_ORD_GetCapabilityOwner, auth);
}

/* TPM_DA_INFO. */
static struct info {
	uint8_t state;
	uint16_t count, threshold;
	uint32_t seconds;
} ask(struct tpm *tpm)
{
	struct blob answer;
	struct info info;

	ck_assert_uint_eq(test_get_capability(tpm, TPM_CAP_DA_LOGIC, "\0\2", 2, &answer),
			  TPM_SUCCESS);
	struct reader r = reader_of(answer.data, answer.len);
	ck_assert_uint_eq(reader_u16(&r), TPM_TAG_DA_INFO);
	info.state = reader_u8(&r);
	info.count = reader_u16(&r);
	info.threshold = reader_u16(&r);
	ck_assert_uint_eq(reader_u16(&r), TPM_TAG_DA_ACTION_TYPE);
	ck_assert_uint_eq(reader_u32(&r), TPM_DA_ACTION_TIMEOUT);
	info.seconds = reader_u32(&r);
	ck_assert_uint_eq(reader_u32(&r), 0);
	ck_assert(reader_done(&r));
	return info;
}

/* Wrong guesses until authorizations are locked. */
static struct tpm *
locked(void)
{
	struct tpm *tpm = test_owned_tpm();

	for (unsigned i = 0; i <= THRESHOLD; i++)
		ck_assert_uint_eq(guess(tpm, wrong_auth), TPM_AUTHFAIL);
	return tpm;
}

START_TEST(failures_are_counted_up_to_the_threshold)
{
	struct tpm *tpm = test_owned_tpm();

	for (unsigned i = 0; i < THRESHOLD; i++) {
		ck_assert_uint_eq(ask(tpm).count, i);
		ck_assert_uint_eq(guess(tpm, wrong_auth), TPM_AUTHFAIL);
		ck_assert_uint_eq(ask(tpm).state, TPM_DA_STATE_INACTIVE);
	}
	ck_assert_uint_eq(ask(tpm).threshold, THRESHOLD);
	ck_assert_uint_eq(guess(tpm, owner_auth), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(beyond_the_threshold_all_authorizations_are_locked)
{
	struct tpm *tpm = locked();
	uint8_t value[TPM_DIGEST_SIZE];
	struct blob sealed;

	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	ck_assert_uint_eq(ask(tpm).state, TPM_DA_STATE_ACTIVE);
	ck_assert_uint_eq(ask(tpm).seconds, 1);
	ck_assert_uint_eq(guess(tpm, owner_auth), TPM_DEFEND_LOCK_RUNNING);
	ck_assert_uint_eq(guess(tpm, wrong_auth), TPM_DEFEND_LOCK_RUNNING);
	ck_assert_uint_eq(test_seal(tpm, NULL, "x", 1, &sealed), TPM_DEFEND_LOCK_RUNNING);
	ck_assert_uint_eq(test_pcr_read(tpm, 0, value), TPM_SUCCESS);
	ck_assert_uint_eq(ask(tpm).count, THRESHOLD + 1);
	bench.now += second;
	ck_assert_uint_eq(ask(tpm).state, TPM_DA_STATE_INACTIVE);
	ck_assert_uint_eq(guess(tpm, owner_auth), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_lock_doubles_with_each_further_failure)
{
	struct tpm *tpm = locked();
	uint64_t lock = second;

	for (unsigned i = 0; i < 10; i++) {
		bench.now += lock - 1;
		ck_assert_uint_eq(guess(tpm, owner_auth), TPM_DEFEND_LOCK_RUNNING);
		bench.now += 1;
		ck_assert_uint_eq(guess(tpm, wrong_auth), TPM_AUTHFAIL);
		lock *= 2;
		ck_assert_uint_eq(ask(tpm).seconds, lock / second);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(the_owner_ends_the_lock)
{
	struct tpm *tpm = locked();

	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_ResetLockValue, owner_auth), TPM_SUCCESS);
	ck_assert_uint_eq(ask(tpm).count, 0);
	ck_assert_uint_eq(guess(tpm, owner_auth), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(who_is_wrong_in_ending_the_lock_must_wait)
{
	struct tpm *tpm = locked();

	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_ResetLockValue, wrong_auth), TPM_AUTHFAIL);
	ck_assert_uint_eq(ask(tpm).seconds, 2);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_ResetLockValue, owner_auth), TPM_AUTHFAIL);
	bench.now += 2 * second;
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_ResetLockValue, owner_auth), TPM_SUCCESS);
	ck_assert_uint_eq(ask(tpm).count, 0);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_reboot_does_not_end_the_lock)
{
	struct tpm *tpm = locked();

	test_reboot(tpm);
	ck_assert_uint_eq(guess(tpm, owner_auth), TPM_DEFEND_LOCK_RUNNING);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_ResetLockValue, wrong_auth), TPM_AUTHFAIL);
	test_reboot(tpm);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_ResetLockValue, owner_auth), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

/* The clock of another process or host may show anything. */
START_TEST(the_lock_moves_with_the_state_to_another_clock)
{
	static const uint64_t clocks[] = { 0, 5000000, 1000000000000 };

	for (size_t i = 0; i < 3; i++) {
		struct tpm *tpm = locked();
		uint8_t *blob;
		size_t len;

		bench.now += second / 2;
		ck_assert_uint_eq(tpm_get_state(tpm, TPM_STATE_PERMANENT, &blob, &len),
				  TPM_SUCCESS);
		bench.now = clocks[i];
		ck_assert_uint_eq(tpm_set_state(tpm, TPM_STATE_PERMANENT, blob, len), TPM_SUCCESS);
		ck_assert_uint_eq(guess(tpm, owner_auth), TPM_DEFEND_LOCK_RUNNING);
		bench.now += second / 2;
		ck_assert_uint_eq(guess(tpm, owner_auth), TPM_SUCCESS);
		free(blob);
		/* A lock that was over stays so. */
		ck_assert_uint_eq(tpm_get_state(tpm, TPM_STATE_PERMANENT, &blob, &len),
				  TPM_SUCCESS);
		bench.now = 0;
		ck_assert_uint_eq(tpm_set_state(tpm, TPM_STATE_PERMANENT, blob, len), TPM_SUCCESS);
		ck_assert_uint_eq(guess(tpm, owner_auth), TPM_SUCCESS);
		free(blob);
		tpm_free(tpm);
	}
}
END_TEST

START_TEST(failures_are_forgotten_after_an_hour_of_quiet)
{
	struct tpm *tpm = locked();

	bench.now += 3601 * second;
	ck_assert_uint_eq(guess(tpm, wrong_auth), TPM_AUTHFAIL);
	ck_assert_uint_eq(ask(tpm).count, 1);
	ck_assert_uint_eq(guess(tpm, owner_auth), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_owner_can_have_little_told)
{
	static const uint8_t limited[] = { 0, 0x38, 1, 0, 0x39, 0, 0, 0, 1, 0, 0, 0, 0 };
	struct tpm *tpm = test_owned_tpm();
	struct test_session s;
	struct blob answer;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_SetCapability, owner_auth);
	writer_u32(&c.params, TPM_SET_PERM_FLAGS);
	writer_u32(&c.params, 4);
	writer_u32(&c.params, TPM_PF_DISABLEFULLDALOGICINFO);
	writer_sized(&c.params, "\1", 1);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	for (unsigned i = 0; i <= THRESHOLD; i++)
		ck_assert_uint_eq(guess(tpm, wrong_auth), TPM_AUTHFAIL);
	ck_assert_uint_eq(test_get_capability(tpm, TPM_CAP_DA_LOGIC, "\0\2", 2, &answer),
			  TPM_SUCCESS);
	ck_assert_uint_eq(answer.len, sizeof(limited));
	ck_assert_mem_eq(answer.data, limited, sizeof(limited));
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		failures_are_counted_up_to_the_threshold,
		beyond_the_threshold_all_authorizations_are_locked,
		the_lock_doubles_with_each_further_failure,
		the_owner_ends_the_lock,
		who_is_wrong_in_ending_the_lock_must_wait,
		a_reboot_does_not_end_the_lock,
		the_lock_moves_with_the_state_to_another_clock,
		failures_are_forgotten_after_an_hour_of_quiet,
		the_owner_can_have_little_told,
		NULL,
	};

	return test_suite("dictionary", tests);
}
