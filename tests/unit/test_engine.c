#include "tests/unit/support.h"

static const uint8_t zeros[TPM_DIGEST_SIZE];
static const uint8_t digest[TPM_DIGEST_SIZE] = "twenty bytes exactly";

/* A command of any header, with len bytes of zeros behind it. */
static size_t
build(uint8_t *command, uint16_t tag, uint32_t size, uint32_t ordinal, size_t len)
{
	struct writer w = writer_of(command, TPM_BUFFER_SIZE);

	writer_u16(&w, tag);
	writer_u32(&w, size);
	writer_u32(&w, ordinal);
	memset(writer_reserve(&w, len), 0, len);
	return w.len;
}

static TPM_RESULT
send_built(struct tpm *tpm, uint16_t tag, uint32_t ordinal, size_t len)
{
	uint8_t command[TPM_BUFFER_SIZE];
	struct blob response;

	build(command, tag, (uint32_t)(TPM_HEADER_SIZE + len), ordinal, len);
	return test_send(tpm, command, TPM_HEADER_SIZE + len, &response);
}

enum { EXTEND_SIZE = TPM_HEADER_SIZE + 4 + TPM_DIGEST_SIZE };

static void
assert_pcr_0_untouched(struct tpm *tpm)
{
	uint8_t value[TPM_DIGEST_SIZE];

	ck_assert_uint_eq(test_pcr_read(tpm, 0, value), TPM_SUCCESS);
	ck_assert_mem_eq(value, zeros, sizeof(zeros));
}

START_TEST(less_than_a_header_is_answered)
{
	static const uint8_t command[TPM_HEADER_SIZE] = { 0,  0xc1, 0, 0, 0,
							  10, 0,    0, 0, TPM_ORD_OIAP };
	struct tpm *tpm = test_tpm();
	struct blob response;

	for (size_t len = 0; len < sizeof(command); len++)
		ck_assert_uint_eq(test_send(tpm, command, len, &response), TPM_BAD_PARAM_SIZE);
	ck_assert_uint_eq(test_send(tpm, command, sizeof(command), &response), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_size_field_that_lies_is_refused)
{
	static const uint32_t lies[] = { 0, 10, EXTEND_SIZE - 1, EXTEND_SIZE + 1, 0xffffffff };
	uint8_t command[TPM_BUFFER_SIZE];
	struct tpm *tpm = test_tpm();
	struct blob response;

	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		build(command, TPM_TAG_RQU_COMMAND, lies[i], TPM_ORD_Extend, 24);
		ck_assert_uint_eq(test_send(tpm, command, EXTEND_SIZE, &response),
				  TPM_BAD_PARAM_SIZE);
	}
	assert_pcr_0_untouched(tpm);
	tpm_free(tpm);
}
END_TEST

START_TEST(parameters_cut_or_followed_by_more_are_refused)
{
	uint8_t command[TPM_BUFFER_SIZE];
	struct tpm *tpm = test_tpm();
	struct blob response;

	for (uint32_t len = TPM_HEADER_SIZE; len < EXTEND_SIZE + 10; len++) {
		if (len == EXTEND_SIZE)
			continue;
		build(command, TPM_TAG_RQU_COMMAND, len, TPM_ORD_Extend, 40);
		ck_assert_uint_eq(test_send(tpm, command, len, &response), TPM_BAD_PARAM_SIZE);
	}
	assert_pcr_0_untouched(tpm);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_command_over_the_buffer_size_is_refused)
{
	static uint8_t command[TPM_BUFFER_SIZE + 100];
	struct tpm *tpm = test_tpm();
	struct writer w = writer_of(command, sizeof(command));
	struct blob response;

	writer_u16(&w, TPM_TAG_RQU_COMMAND);
	writer_u32(&w, sizeof(command));
	writer_u32(&w, TPM_ORD_StirRandom);
	writer_u32(&w, sizeof(command) - 14);
	ck_assert_uint_eq(test_send(tpm, command, sizeof(command), &response), TPM_BAD_PARAM_SIZE);
	tpm_free(tpm);
}
END_TEST

START_TEST(an_unknown_tag_is_refused)
{
	static const uint16_t tags[] = { 0, 0xc0, 0xc4, 0xc5, 0xc6, 0x1c1, 0xffff };
	struct tpm *tpm = test_tpm();

	for (size_t i = 0; i < sizeof(tags) / sizeof(*tags); i++)
		ck_assert_uint_eq(send_built(tpm, tags[i], TPM_ORD_OIAP, 0), TPM_BADTAG);
	tpm_free(tpm);
}
END_TEST

START_TEST(an_unknown_ordinal_is_refused_with_every_tag)
{
	static const uint32_t ordinals[] = { 0, 1, 0x26, 0xff, 0x100, 0x80000014, 0xffffffff };
	struct tpm *tpm = test_tpm();

	for (size_t i = 0; i < sizeof(ordinals) / sizeof(*ordinals); i++)
		for (uint16_t tag = TPM_TAG_RQU_COMMAND; tag <= TPM_TAG_RQU_AUTH2_COMMAND; tag++)
			ck_assert_uint_eq(send_built(tpm, tag, ordinals[i], 100), TPM_BAD_ORDINAL);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_tag_that_the_ordinal_does_not_have_is_refused)
{
	static const struct {
		uint16_t tag;
		uint32_t ordinal;
	} wrong[] = {
		{ TPM_TAG_RQU_AUTH1_COMMAND, TPM_ORD_OIAP },
		{ TPM_TAG_RQU_AUTH2_COMMAND, TPM_ORD_OIAP },
		{ TPM_TAG_RQU_COMMAND, TPM_ORD_OwnerClear },
		{ TPM_TAG_RQU_AUTH2_COMMAND, TPM_ORD_OwnerClear },
		{ TPM_TAG_RQU_COMMAND, TPM_ORD_ChangeAuthOwner },
		{ TPM_TAG_RQU_AUTH2_COMMAND, TPM_ORD_Sign },
	};
	struct tpm *tpm = test_owned_tpm();

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		ck_assert_uint_eq(send_built(tpm, wrong[i].tag, wrong[i].ordinal, 100), TPM_BADTAG);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_command_too_short_for_its_authorization_is_refused)
{
	struct tpm *tpm = test_owned_tpm();

	for (size_t len = 0; len < 45; len++)
		ck_assert_uint_eq(
		    send_built(tpm, TPM_TAG_RQU_AUTH1_COMMAND, TPM_ORD_OwnerClear, len),
		    TPM_BAD_PARAM_SIZE);
	ck_assert_uint_eq(send_built(tpm, TPM_TAG_RQU_AUTH1_COMMAND, TPM_ORD_OwnerClear, 45),
			  TPM_INVALID_AUTHHANDLE);
	tpm_free(tpm);
}
END_TEST

/* Any bytes behind any header: what is wanted is that test_send finds the response well formed and
 * the sanitizers find nothing. */
START_TEST(noise_is_answered)
{
	struct tpm *tpm = test_owned_tpm();
	uint8_t noise[256], command[TPM_BUFFER_SIZE];
	struct blob response;

	for (uint32_t i = 0; i < 20000; i++) {
		uint32_t ordinal = i % 0x100;
		size_t len = i / 0x100 * 2;
		uint16_t tag = (uint16_t)(TPM_TAG_RQU_COMMAND + i % 3);

		build(command, tag, (uint32_t)(TPM_HEADER_SIZE + len), ordinal, len);
		for (size_t k = 0; k < len; k += TPM_DIGEST_SIZE)
			reference_sha1(noise + k, command, TPM_HEADER_SIZE + k);
		memcpy(command + TPM_HEADER_SIZE, noise, len);
		test_send(tpm, command, TPM_HEADER_SIZE + len, &response);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(before_startup_nothing_else_runs)
{
	struct tpm *tpm = test_tpm();
	struct test_session s;
	uint8_t value[TPM_DIGEST_SIZE];

	tpm_init(tpm);
	ck_assert_uint_eq(test_pcr_read(tpm, 0, value), TPM_INVALID_POSTINIT);
	ck_assert_uint_eq(test_extend(tpm, 0, digest, value), TPM_INVALID_POSTINIT);
	ck_assert_uint_eq(test_oiap(tpm, &s, owner_auth), TPM_INVALID_POSTINIT);
	ck_assert_uint_eq(test_plain_u32(tpm, TPM_ORD_GetRandom, 4), TPM_INVALID_POSTINIT);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SaveState), TPM_INVALID_POSTINIT);
	ck_assert_uint_eq(test_startup(tpm, TPM_ST_CLEAR), TPM_SUCCESS);
	assert_pcr_0_untouched(tpm);
	tpm_free(tpm);
}
END_TEST

START_TEST(startup_runs_once)
{
	struct tpm *tpm = test_tpm();

	ck_assert_uint_eq(test_startup(tpm, TPM_ST_CLEAR), TPM_INVALID_POSTINIT);
	tpm_init(tpm);
	ck_assert_uint_eq(test_startup(tpm, 0), TPM_BAD_PARAMETER);
	ck_assert_uint_eq(test_startup(tpm, 4), TPM_BAD_PARAMETER);
	ck_assert_uint_eq(test_startup(tpm, TPM_ST_CLEAR), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_disabled_tpm_says_so)
{
	struct tpm *tpm = test_tpm();
	uint8_t value[TPM_DIGEST_SIZE];
	struct test_session s;
	struct blob pubek;

	bench.physical_presence = true;
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PhysicalDisable), TPM_SUCCESS);
	ck_assert_uint_eq(test_pcr_read(tpm, 0, value), TPM_DISABLED);
	ck_assert_uint_eq(test_plain_u32(tpm, TPM_ORD_GetRandom, 4), TPM_DISABLED);
	ck_assert_uint_eq(test_read_pubek(tpm, &pubek), TPM_DISABLED);

	/* measured boot goes on, but shows nothing */
	ck_assert_uint_eq(test_extend(tpm, 0, digest, value), TPM_SUCCESS);
	ck_assert_mem_eq(value, zeros, sizeof(zeros));
	ck_assert_uint_eq(test_oiap(tpm, &s, owner_auth), TPM_SUCCESS);
	ck_assert_uint_eq(test_get_capability_u32(tpm, TPM_CAP_PROPERTY, TPM_CAP_PROP_PCR),
			  TPM_NUM_PCR);
	test_reboot(tpm);
	ck_assert_uint_eq(test_pcr_read(tpm, 0, value), TPM_DISABLED);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PhysicalEnable), TPM_SUCCESS);
	assert_pcr_0_untouched(tpm);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_deactivated_tpm_says_so_from_the_next_start_on)
{
	struct tpm *tpm = test_tpm();
	uint8_t value[TPM_DIGEST_SIZE];
	struct test_session s;
	struct blob pubek;

	bench.physical_presence = true;
	ck_assert_uint_eq(test_plain_u8(tpm, TPM_ORD_PhysicalSetDeactivated, 1), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain_u32(tpm, TPM_ORD_GetRandom, 4), TPM_SUCCESS);
	test_reboot(tpm);
	ck_assert_uint_eq(test_plain_u32(tpm, TPM_ORD_GetRandom, 4), TPM_DEACTIVATED);
	ck_assert_uint_eq(test_read_pubek(tpm, &pubek), TPM_DEACTIVATED);
	ck_assert_uint_eq(test_extend(tpm, 0, digest, value), TPM_SUCCESS);
	ck_assert_mem_eq(value, zeros, sizeof(value));
	ck_assert_uint_eq(test_oiap(tpm, &s, owner_auth), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain_u8(tpm, TPM_ORD_PhysicalSetDeactivated, 0), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain_u32(tpm, TPM_ORD_GetRandom, 4), TPM_DEACTIVATED);
	test_reboot(tpm);
	ck_assert_uint_eq(test_plain_u32(tpm, TPM_ORD_GetRandom, 4), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(startup_deactivated_lasts_until_the_next_start)
{
	struct tpm *tpm = test_tpm();

	tpm_init(tpm);
	ck_assert_uint_eq(test_startup(tpm, TPM_ST_DEACTIVATED), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain_u32(tpm, TPM_ORD_GetRandom, 4), TPM_DEACTIVATED);
	test_reboot(tpm);
	ck_assert_uint_eq(test_plain_u32(tpm, TPM_ORD_GetRandom, 4), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(without_an_owner_there_is_no_srk)
{
	struct tpm *tpm = test_tpm();
	struct test_session s;
	struct blob sealed;

	ck_assert_uint_ne(test_osap(tpm, &s, TPM_ET_SRK, TPM_KH_SRK, srk_auth), TPM_SUCCESS);
	ck_assert_uint_ne(test_osap(tpm, &s, TPM_ET_OWNER, TPM_KH_OWNER, owner_auth), TPM_SUCCESS);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_OwnerClear, owner_auth), TPM_NOSRK);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_OwnerReadPubek, zeros), TPM_NOSRK);
	ck_assert_uint_eq(test_take_ownership(tpm, &test_srk_key), TPM_SUCCESS);
	ck_assert_uint_eq(test_seal(tpm, NULL, "x", 1, &sealed), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(unknown_handles_are_refused)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session s;
	struct blob signature;

	ck_assert_uint_eq(test_sign(tpm, 0x01000000, key_auth, digest, 20, &signature),
			  TPM_INVALID_KEYHANDLE);
	ck_assert_uint_eq(test_osap(tpm, &s, TPM_ET_KEYHANDLE, 0x01000000, key_auth),
			  TPM_INVALID_KEYHANDLE);
	ck_assert_uint_eq(test_flush(tpm, 0x02000000, TPM_RT_AUTH), TPM_INVALID_AUTHHANDLE);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_caller_learns_what_a_command_changed)
{
	uint8_t value[TPM_DIGEST_SIZE];
	struct tpm *tpm = test_tpm();
	struct test_session s;

	ck_assert_uint_eq(test_pcr_read(tpm, 0, value), TPM_SUCCESS);
	ck_assert_uint_eq(bench.changed, 0);
	ck_assert_uint_eq(test_plain_u32(tpm, TPM_ORD_GetRandom, 4), TPM_SUCCESS);
	ck_assert_uint_eq(bench.changed, 0);
	ck_assert_uint_eq(test_extend(tpm, 0, digest, value), TPM_SUCCESS);
	ck_assert_uint_eq(bench.changed, TPM_CHANGED_VOLATILE);
	ck_assert_uint_eq(test_oiap(tpm, &s, owner_auth), TPM_SUCCESS);
	ck_assert_uint_eq(bench.changed, TPM_CHANGED_VOLATILE);
	ck_assert_uint_eq(test_take_ownership(tpm, &test_srk_key), TPM_SUCCESS);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SaveState), TPM_SUCCESS);
	ck_assert(bench.changed & TPM_CHANGED_SAVED);
	ck_assert(!(bench.changed & TPM_CHANGED_PERMANENT));
	tpm_free(tpm);
}
END_TEST

START_TEST(without_random_bytes_a_command_fails)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session s;

	bench.random_fails = true;
	ck_assert_uint_eq(test_plain_u32(tpm, TPM_ORD_GetRandom, 4), TPM_FAIL);
	ck_assert_uint_ne(test_oiap(tpm, &s, owner_auth), TPM_SUCCESS);
	bench.random_fails = false;
	ck_assert_uint_eq(test_oiap(tpm, &s, owner_auth), TPM_SUCCESS);

	/* nor does an authorized one answer with a nonceEven that is none */
	struct call c;
	call_begin(&c, tpm, TPM_ORD_OwnerReadPubek);
	call_session(&c, &s);
	bench.random_fails = true;
	ck_assert_uint_eq(call_run(&c), TPM_FAIL);
	tpm_free(tpm);
}
END_TEST

START_TEST(what_makes_a_key_takes_long)
{
	static const struct {
		uint32_t ordinal;
		bool is_long;
	} commands[] = {
		{ TPM_ORD_TakeOwnership, true },    { TPM_ORD_CreateWrapKey, true },
		{ TPM_ORD_ExecuteTransport, true }, { TPM_ORD_PcrRead, false },
		{ TPM_ORD_Quote, false },           { 0x7fffffff, false },
	};
	uint8_t cmd[TPM_HEADER_SIZE];

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct writer w = writer_of(cmd, sizeof(cmd));

		writer_u16(&w, TPM_TAG_RQU_COMMAND);
		writer_u32(&w, sizeof(cmd));
		writer_u32(&w, commands[i].ordinal);
		ck_assert_int_eq(tpm_takes_long(cmd, sizeof(cmd)), commands[i].is_long);
		ck_assert(!tpm_takes_long(cmd, sizeof(cmd) - 1));
	}
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		less_than_a_header_is_answered,
		a_size_field_that_lies_is_refused,
		parameters_cut_or_followed_by_more_are_refused,
		a_command_over_the_buffer_size_is_refused,
		an_unknown_tag_is_refused,
		an_unknown_ordinal_is_refused_with_every_tag,
		a_tag_that_the_ordinal_does_not_have_is_refused,
		a_command_too_short_for_its_authorization_is_refused,
		noise_is_answered,
		before_startup_nothing_else_runs,
		startup_runs_once,
		a_disabled_tpm_says_so,
		a_deactivated_tpm_says_so_from_the_next_start_on,
		startup_deactivated_lasts_until_the_next_start,
		without_an_owner_there_is_no_srk,
		unknown_handles_are_refused,
		the_caller_learns_what_a_command_changed,
		without_random_bytes_a_command_fails,
		what_makes_a_key_takes_long,
		NULL,
	};

	return test_suite("engine", tests);
}
