#include "tests/unit/support.h"

#include <stdlib.h>

static const uint8_t zeros[TPM_DIGEST_SIZE], digest[TPM_DIGEST_SIZE] = "what is measured ...";
static const uint8_t ones[TPM_DIGEST_SIZE] = { 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
					       255, 255, 255, 255, 255, 255, 255, 255, 255, 255 };

/* What the PC Client specification has a register start with. */
static const uint8_t *
start_value(uint32_t pcr)
{
	return pcr >= 17 && pcr <= 22 ? ones : zeros;
}

static void
assert_pcr(struct tpm *tpm, uint32_t pcr, const uint8_t *expected)
{
	uint8_t value[TPM_DIGEST_SIZE];

	ck_assert_uint_eq(test_pcr_read(tpm, pcr, value), TPM_SUCCESS);
	ck_assert_mem_eq(value, expected, sizeof(value));
}

static void
extend(struct tpm *tpm, uint32_t pcr)
{
	uint8_t value[TPM_DIGEST_SIZE];

	bench.locality = 2; /* may extend all of them */
	ck_assert_uint_eq(test_extend(tpm, pcr, digest, value), TPM_SUCCESS);
	bench.locality = 0;
}

static void
assert_in_failure_mode(struct tpm *tpm)
{
	uint8_t value[TPM_DIGEST_SIZE];
	struct test_session s;

	ck_assert_uint_eq(test_pcr_read(tpm, 0, value), TPM_FAILEDSELFTEST);
	ck_assert_uint_eq(test_extend(tpm, 0, digest, value), TPM_FAILEDSELFTEST);
	ck_assert_uint_eq(test_oiap(tpm, &s, owner_auth), TPM_FAILEDSELFTEST);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_GetTestResult), TPM_SUCCESS);
	ck_assert_uint_ne(test_get_capability_u32(tpm, TPM_CAP_PROPERTY, TPM_CAP_PROP_MANUFACTURER),
			  0);
}

/* Whether the TPM comes up again where TPM_SaveState left it. */
static bool
resumes(struct tpm *tpm)
{
	tpm_init(tpm);
	TPM_RESULT rc = test_startup(tpm, TPM_ST_STATE);
	if (rc != TPM_SUCCESS)
		assert_in_failure_mode(tpm);
	return rc == TPM_SUCCESS;
}

START_TEST(registers_of_the_host_take_the_place_of_start_values)
{
	struct tpm *tpm = test_tpm();
	uint8_t extended[TPM_DIGEST_SIZE];

	tpm_boot_pcr(tpm, 4, digest);
	tpm_boot_pcr(tpm, 17, digest);
	assert_pcr(tpm, 4, zeros); /* not before the next boot */
	tpm_init(tpm);
	ck_assert_uint_eq(test_startup(tpm, TPM_ST_CLEAR), TPM_SUCCESS);
	for (uint32_t pcr = 0; pcr < TPM_NUM_PCR; pcr++)
		assert_pcr(tpm, pcr, pcr == 4 || pcr == 17 ? digest : start_value(pcr));
	extend(tpm, 4);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SaveState), TPM_SUCCESS);
	ck_assert_uint_eq(test_pcr_read(tpm, 4, extended), TPM_SUCCESS);
	ck_assert(resumes(tpm));
	assert_pcr(tpm, 4, extended);
	assert_pcr(tpm, 17, digest);
	tpm_free(tpm);
}
END_TEST

START_TEST(registers_start_as_the_pc_client_specification_says)
{
	struct tpm *tpm = test_tpm();

	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < TPM_NUM_PCR; i++) {
			assert_pcr(tpm, i, start_value(i));
			extend(tpm, i);
		}
		test_reboot(tpm);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(a_reset_ends_sessions_and_unloads_keys)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t key = test_make_key(tpm, &test_signing_key, NULL);
	struct test_session s;
	struct blob signature;

	ck_assert_uint_eq(test_oiap(tpm, &s, owner_auth), TPM_SUCCESS);
	test_reboot(tpm);
	ck_assert_uint_eq(test_flush(tpm, s.handle, TPM_RT_AUTH), TPM_INVALID_AUTHHANDLE);
	ck_assert_uint_eq(test_sign(tpm, key, key_auth, digest, 20, &signature),
			  TPM_INVALID_KEYHANDLE);
	tpm_free(tpm);
}
END_TEST

START_TEST(without_saved_state_there_is_none_to_resume)
{
	struct tpm *tpm = test_tpm();

	ck_assert(!resumes(tpm));
	test_reboot(tpm);
	assert_pcr(tpm, 0, zeros);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_resumed_tpm_has_its_registers_but_for_the_resettable_ones)
{
	struct tpm *tpm = test_tpm();
	uint8_t before[16][TPM_DIGEST_SIZE];

	for (uint32_t i = 0; i < TPM_NUM_PCR; i++)
		extend(tpm, i);
	for (uint32_t i = 0; i < 16; i++)
		ck_assert_uint_eq(test_pcr_read(tpm, i, before[i]), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SaveState), TPM_SUCCESS);
	ck_assert(resumes(tpm));
	for (uint32_t i = 0; i < TPM_NUM_PCR; i++)
		assert_pcr(tpm, i, i < 16 ? before[i] : start_value(i));
	tpm_free(tpm);
}
END_TEST

START_TEST(a_resumed_tpm_has_its_keys_and_sessions)
{
	struct key_template volatile_key = test_signing_key;
	struct tpm *tpm = test_owned_tpm();
	struct blob signature;
	struct test_session s;
	uint32_t keys[2];
	struct call c;

	volatile_key.flags = TPM_VOLATILE; /* which means TPM_Startup(ST_CLEAR) */
	keys[0] = test_make_key(tpm, &test_signing_key, NULL);
	keys[1] = test_make_key(tpm, &volatile_key, NULL);
	ck_assert_uint_eq(test_oiap(tpm, &s, owner_auth), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SaveState), TPM_SUCCESS);
	ck_assert(resumes(tpm));

	call_begin(&c, tpm, TPM_ORD_OwnerReadPubek);
	call_session(&c, &s);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	for (size_t i = 0; i < 2; i++)
		ck_assert_uint_eq(test_sign(tpm, keys[i], key_auth, digest, 20, &signature),
				  TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_resumed_tpm_has_its_flags_and_a_rebooted_one_has_not)
{
	struct tpm *tpm = test_tpm();

	bench.physical_presence = true;
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_DisableForceClear), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SaveState), TPM_SUCCESS);
	ck_assert(resumes(tpm));
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_ForceClear), TPM_CLEAR_DISABLED);
	test_reboot(tpm);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_ForceClear), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_tpm_that_was_deactivated_resumes_deactivated)
{
	struct tpm *tpm = test_tpm();

	tpm_init(tpm);
	ck_assert_uint_eq(test_startup(tpm, TPM_ST_DEACTIVATED), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SaveState), TPM_SUCCESS);
	ck_assert(resumes(tpm));
	ck_assert_uint_eq(test_plain_u32(tpm, TPM_ORD_GetRandom, 4), TPM_DEACTIVATED);
	tpm_free(tpm);
}
END_TEST

START_TEST(startup_deactivated_starts_the_registers_anew)
{
	struct tpm *tpm = test_tpm();

	extend(tpm, 0);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SaveState), TPM_SUCCESS);
	tpm_init(tpm);
	ck_assert_uint_eq(test_startup(tpm, TPM_ST_DEACTIVATED), TPM_SUCCESS);
	ck_assert(test_flag(tpm, TPM_CAP_FLAG_VOLATILE, TPM_SF_DEACTIVATED));
	ck_assert(!test_flag(tpm, TPM_CAP_FLAG_PERMANENT, TPM_PF_DEACTIVATED));
	ck_assert(!resumes(tpm));
	test_reboot(tpm);
	assert_pcr(tpm, 0, zeros);
	tpm_free(tpm);
}
END_TEST

START_TEST(saved_state_is_used_once)
{
	struct tpm *tpm = test_tpm();

	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SaveState), TPM_SUCCESS);
	ck_assert(resumes(tpm));
	ck_assert(bench.changed & TPM_CHANGED_SAVED);
	ck_assert(!resumes(tpm));
	test_reboot(tpm);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SaveState), TPM_SUCCESS);
	test_reboot(tpm);
	ck_assert(bench.changed & TPM_CHANGED_SAVED);
	ck_assert(!resumes(tpm));
	tpm_free(tpm);
}
END_TEST

START_TEST(what_was_extended_after_savestate_never_becomes_undone)
{
	struct tpm *tpm = test_tpm();

	extend(tpm, 3);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SaveState), TPM_SUCCESS);
	extend(tpm, 3);
	ck_assert(bench.changed & TPM_CHANGED_SAVED);
	ck_assert(!resumes(tpm));
	tpm_free(tpm);
}
END_TEST

START_TEST(only_commands_that_change_something_spoil_saved_state)
{
	static const struct {
		uint32_t ordinal, value;
		size_t width;
		bool spoils;
	} commands[] = {
		{ TPM_ORD_PcrRead, 0, 4, false },
		{ TPM_ORD_GetRandom, 4, 4, false },
		{ TPM_ORD_GetTestResult, 0, 0, false },
		{ TPM_ORD_GetTicks, 0, 0, false },
		{ TPM_ORD_SelfTestFull, 0, 0, false },
		{ TPM_ORD_ContinueSelfTest, 0, 0, false },
		{ TPM_ORD_PcrRead, 99, 4, false }, /* nor one that fails */
		{ TPM_ORD_DisableForceClear, 0, 0, true },
		{ TPM_ORD_OIAP, 0, 0, true },
	};
	struct tpm *tpm = test_tpm();

	bench.physical_presence = true;
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		struct call c;

		test_reboot(tpm);
		ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SaveState), TPM_SUCCESS);
		call_begin(&c, tpm, commands[i].ordinal);
		writer_uint(&c.params, commands[i].value, commands[i].width);
		call_run(&c);
		ck_assert_msg(resumes(tpm) != commands[i].spoils, "ordinal %u",
			      commands[i].ordinal);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(the_last_savestate_counts)
{
	struct tpm *tpm = test_tpm();
	uint8_t before[TPM_DIGEST_SIZE];

	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SaveState), TPM_SUCCESS);
	extend(tpm, 1);
	ck_assert_uint_eq(test_pcr_read(tpm, 1, before), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SaveState), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SaveState), TPM_SUCCESS);
	ck_assert(resumes(tpm));
	assert_pcr(tpm, 1, before);
	tpm_free(tpm);
}
END_TEST

static void
read_tick_nonce(struct tpm *tpm, uint8_t *nonce)
{
	struct call c;

	call_begin(&c, tpm, TPM_ORD_GetTicks);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	reader_view(&c.out, 2 + 8 + 2); /* tag, currentTicks, tickRate */
	reader_bytes(&c.out, nonce, TPM_DIGEST_SIZE);
	ck_assert(reader_done(&c.out));
}

START_TEST(every_start_begins_a_new_tick_session)
{
	struct tpm *tpm = test_tpm();
	uint8_t before[TPM_DIGEST_SIZE], after[TPM_DIGEST_SIZE];

	read_tick_nonce(tpm, before);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SaveState), TPM_SUCCESS);
	ck_assert(resumes(tpm));
	read_tick_nonce(tpm, after);
	ck_assert_mem_ne(before, after, sizeof(before));
	test_reboot(tpm);
	read_tick_nonce(tpm, before);
	ck_assert_mem_ne(before, after, sizeof(before));
	tpm_free(tpm);
}
END_TEST

START_TEST(saved_state_survives_a_power_cut)
{
	struct tpm *tpm = test_owned_tpm(), *next;
	uint8_t before[TPM_DIGEST_SIZE], *permanent, *saved;
	size_t permanent_len, saved_len;

	extend(tpm, 7);
	ck_assert_uint_eq(test_pcr_read(tpm, 7, before), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SaveState), TPM_SUCCESS);
	tpm_get_state(tpm, TPM_STATE_PERMANENT, &permanent, &permanent_len);
	tpm_get_state(tpm, TPM_STATE_SAVED, &saved, &saved_len);
	tpm_free(tpm);

	next = test_blank_tpm();
	ck_assert_uint_eq(tpm_set_state(next, TPM_STATE_PERMANENT, permanent, permanent_len),
			  TPM_SUCCESS);
	ck_assert_uint_eq(tpm_set_state(next, TPM_STATE_SAVED, saved, saved_len), TPM_SUCCESS);
	ck_assert(resumes(next));
	assert_pcr(next, 7, before);
	free(permanent);
	free(saved);
	tpm_free(next);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		registers_start_as_the_pc_client_specification_says,
		registers_of_the_host_take_the_place_of_start_values,
		a_reset_ends_sessions_and_unloads_keys,
		without_saved_state_there_is_none_to_resume,
		a_resumed_tpm_has_its_registers_but_for_the_resettable_ones,
		a_resumed_tpm_has_its_keys_and_sessions,
		a_resumed_tpm_has_its_flags_and_a_rebooted_one_has_not,
		a_tpm_that_was_deactivated_resumes_deactivated,
		startup_deactivated_starts_the_registers_anew,
		saved_state_is_used_once,
		what_was_extended_after_savestate_never_becomes_undone,
		only_commands_that_change_something_spoil_saved_state,
		the_last_savestate_counts,
		every_start_begins_a_new_tick_session,
		saved_state_survives_a_power_cut,
		NULL,
	};

	return test_suite("startup", tests);
}
