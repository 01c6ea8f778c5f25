#include "tests/unit/delegation_client.h"
#include "tests/unit/transport_client.h"

#include <tpmcore/core.h>

static const uint8_t zeros[TPM_DIGEST_SIZE];

START_TEST(handles_of_a_response_are_in_the_clear)
{
	struct tpm *tpm = test_owned_tpm();
	struct transport_client t = { .tpm = tpm,
				      .attributes = TPM_TRANSPORT_ENCRYPT,
				      .algId = TPM_ALG_MGF1,
				      .encScheme = TPM_ES_NONE };
	struct blob storage, key, response;
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(transport_establish_encrypted(
			      &t, test_make_key(tpm, &test_storage_key, &storage), &storage),
			  TPM_SUCCESS);
	ck_assert_uint_eq(test_create_key(tpm, &test_signing_key, &key), TPM_SUCCESS);
	ck_assert_uint_eq(test_oiap(tpm, &s, srk_auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_LoadKey2);
	call_handle(&c, TPM_KH_SRK);
	writer_bytes(&c.params, key.data, key.len);
	call_session(&c, &s);
	ck_assert_uint_eq(
	    transport_execute(&t, &c, &(struct wrapped_shape) { .handles = 1, .out_handles = 1 },
			      &response),
	    TPM_SUCCESS);
	ck_assert_uint_eq(transport_result(&response), TPM_SUCCESS);
	struct reader r = reader_of(response.data + TPM_HEADER_SIZE, 4);
	uint32_t handle = reader_u32(&r);

	/* ... and of a command: its sessions' contexts, too. */
	call_begin(&c, tpm, TPM_ORD_SaveContext);
	call_handle(&c, handle);
	writer_u32(&c.params, TPM_RT_KEY);
	writer_bytes(&c.params, zeros, 16);
	ck_assert_uint_eq(
	    transport_execute(&t, &c, &(struct wrapped_shape) { .handles = 1 }, &response),
	    TPM_SUCCESS);
	ck_assert_uint_eq(transport_result(&response), TPM_SUCCESS);
	r = reader_of(response.data + TPM_HEADER_SIZE, response.len - TPM_HEADER_SIZE);
	struct reader context = reader_sized(&r);
	ck_assert_uint_eq(test_flush(tpm, handle, TPM_RT_KEY), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_LoadContext);
	call_handle(&c, 0);
	writer_u8(&c.params, true);
	writer_sized(&c.params, context.pos, context.left);
	ck_assert_uint_eq(
	    transport_execute(&t, &c, &(struct wrapped_shape) { .handles = 1, .out_handles = 1 },
			      &response),
	    TPM_SUCCESS);
	ck_assert_uint_eq(transport_result(&response), TPM_SUCCESS);
	ck_assert_uint_eq(test_flush(tpm, handle, TPM_RT_KEY), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(of_dsap_only_the_delegation_is_encrypted)
{
	struct tpm *tpm = test_owned_tpm();
	struct transport_client t = { .tpm = tpm,
				      .attributes = TPM_TRANSPORT_ENCRYPT | TPM_TRANSPORT_LOG,
				      .algId = TPM_ALG_MGF1,
				      .encScheme = TPM_ES_NONE };
	struct wish wish = wish_to_read_pubek(tpm);
	struct wrapped_shape shape = { .clear = 2 + 4 + TPM_DIGEST_SIZE + 4, .no_data = true };
	struct blob storage, delegation, response;
	struct call c;

	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &delegation), TPM_SUCCESS);
	ck_assert_uint_eq(transport_establish_encrypted(
			      &t, test_make_key(tpm, &test_storage_key, &storage), &storage),
			  TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_DSAP);
	writer_u16(&c.params, TPM_ET_DEL_OWNER_BLOB);
	writer_u32(&c.params, 0);
	writer_bytes(&c.params, zeros, sizeof(zeros));
	writer_sized(&c.params, delegation.data, delegation.len);
	ck_assert_uint_eq(transport_execute(&t, &c, &shape, &response), TPM_SUCCESS);
	ck_assert_uint_eq(transport_result(&response), TPM_SUCCESS);
	/* Of OSAP nothing is. */
	call_begin(&c, tpm, TPM_ORD_OSAP);
	writer_u16(&c.params, TPM_ET_OWNER);
	writer_u32(&c.params, TPM_KH_OWNER);
	writer_bytes(&c.params, zeros, sizeof(zeros));
	shape.clear = c.params.len;
	ck_assert_uint_eq(transport_execute(&t, &c, &shape, &response), TPM_SUCCESS);
	ck_assert_uint_eq(transport_result(&response), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(command_may_end_the_session_that_carries_it)
{
	struct tpm *tpm = test_owned_tpm();
	struct transport_client t = transport_establish_plain(tpm, TPM_TRANSPORT_LOG);
	struct blob response;
	struct call c;

	call_begin(&c, tpm, TPM_ORD_FlushSpecific);
	call_handle(&c, t.s.handle);
	writer_u32(&c.params, TPM_RT_TRANS);
	ck_assert_uint_eq(
	    transport_execute(&t, &c, &(struct wrapped_shape) { .handles = 1 }, &response),
	    TPM_SUCCESS);
	ck_assert_uint_eq(transport_result(&response), TPM_SUCCESS);
	ck_assert_uint_eq(t.s.handle, 0);
	tpm_free(tpm);
}
END_TEST

START_TEST(transport_and_state_commands_cannot_be_wrapped)
{
	struct tpm *tpm = test_owned_tpm();
	struct transport_client t = transport_establish_plain(tpm, 0);
	struct blob response;
	struct call c;

	call_begin(&c, tpm, TPM_ORD_SaveState);
	ck_assert_uint_eq(transport_execute(&t, &c, &(struct wrapped_shape) { 0 }, &response),
			  TPM_SUCCESS);
	ck_assert_uint_eq(transport_result(&response), TPM_NO_WRAP_TRANSPORT);
	call_begin(&c, tpm, TPM_ORD_Startup);
	writer_u16(&c.params, TPM_ST_CLEAR);
	ck_assert_uint_eq(transport_execute(&t, &c, &(struct wrapped_shape) { 0 }, &response),
			  TPM_SUCCESS);
	ck_assert_uint_eq(transport_result(&response), TPM_INVALID_POSTINIT);
	transport_assert_alive(&t);
	call_begin(&c, tpm, TPM_ORD_ExecuteTransport);
	writer_sized(&c.params, NULL, 0);
	ck_assert_uint_eq(transport_execute(&t, &c, &(struct wrapped_shape) { 0 }, &response),
			  TPM_NO_WRAP_TRANSPORT);
	transport_assert_dead(&t);
	/* which only who knows the secret is told */
	t = transport_establish_plain(tpm, 0);
	memcpy(t.s.secret, wrong_auth, TPM_DIGEST_SIZE);
	ck_assert_uint_eq(transport_execute(&t, &c, &(struct wrapped_shape) { 0 }, &response),
			  TPM_AUTH2FAIL);
	transport_assert_dead(&t);
	t = transport_establish_plain(tpm, 0);
	call_begin(&c, tpm, 0x9999);
	ck_assert_uint_eq(transport_execute(&t, &c, &(struct wrapped_shape) { 0 }, &response),
			  TPM_BAD_ORDINAL);
	transport_assert_dead(&t);
	tpm_free(tpm);
}
END_TEST

START_TEST(malformed_wrapped_commands_are_refused)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob response;

	/* Of any length, whatever its size field says. */
	for (size_t len = 0; len < 2 * TPM_HEADER_SIZE; len++) {
		struct transport_client t = transport_establish_plain(tpm, 0);
		uint8_t command[128], in[TPM_DIGEST_SIZE], hmac[TPM_DIGEST_SIZE];
		uint8_t wrapped[32] = {
			0, TPM_TAG_RQU_AUTH1_COMMAND, 0, 0, 0, (uint8_t)len, 0, 0, 0, TPM_ORD_Sign
		};
		struct writer w = writer_of(command, sizeof(command));

		transport_hash(in, NUMBERS(TPM_ORD_ExecuteTransport, (uint32_t)len), zeros, 0);
		transport_hmac(&t, in, true, hmac);
		writer_u16(&w, TPM_TAG_RQU_AUTH1_COMMAND);
		writer_u32(&w, (uint32_t)(TPM_HEADER_SIZE + 4 + len + SESSION_IN));
		writer_u32(&w, TPM_ORD_ExecuteTransport);
		writer_sized(&w, wrapped, len);
		writer_u32(&w, t.s.handle);
		writer_bytes(&w, t.s.nonceOdd, TPM_DIGEST_SIZE);
		writer_u8(&w, true);
		writer_bytes(&w, hmac, sizeof(hmac));
		ck_assert_uint_eq(test_send(tpm, command, w.len, &response), TPM_BAD_PARAM_SIZE);
		transport_assert_dead(&t);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(exclusive_session_ends_with_the_first_command_outside)
{
	struct tpm *tpm = test_owned_tpm();
	struct transport_client t = transport_establish_plain(tpm, TPM_TRANSPORT_EXCLUSIVE), other;
	uint8_t value[TPM_DIGEST_SIZE];

	transport_assert_alive(&t);
	transport_assert_alive(&t);
	ck_assert_uint_eq(test_pcr_read(tpm, 0, value), TPM_SUCCESS);
	transport_assert_dead(&t);

	other = transport_establish_plain(tpm, 0);
	t = transport_establish_plain(tpm, TPM_TRANSPORT_EXCLUSIVE);
	transport_assert_alive(&t);
	transport_assert_alive(&other);
	transport_assert_dead(&t);

	t = transport_establish_plain(tpm, TPM_TRANSPORT_EXCLUSIVE);
	transport_establish_plain(tpm, TPM_TRANSPORT_EXCLUSIVE);
	transport_assert_dead(&t);
	tpm_free(tpm);
}
END_TEST

START_TEST(even_a_command_that_is_no_good_ends_the_exclusive_session)
{
	static const struct {
		uint16_t tag;
		uint32_t ordinal;
		TPM_RESULT rc;
	} cases[] = {
		{ TPM_TAG_RQU_COMMAND, 0x9999, TPM_BAD_ORDINAL },
		{ TPM_TAG_RSP_COMMAND, TPM_ORD_GetTicks, TPM_BADTAG },
		{ TPM_TAG_RQU_COMMAND, TPM_ORD_Extend, TPM_BAD_PARAM_SIZE },
		{ TPM_TAG_RQU_AUTH1_COMMAND, TPM_ORD_GetTicks, TPM_BADTAG },
		{ TPM_TAG_RQU_COMMAND, TPM_ORD_ExecuteTransport, TPM_BAD_PARAM_SIZE },
	};
	struct tpm *tpm = test_owned_tpm();

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct transport_client t = transport_establish_plain(tpm, TPM_TRANSPORT_EXCLUSIVE);
		uint8_t command[TPM_HEADER_SIZE];
		struct writer w = writer_of(command, sizeof(command));
		struct blob response;

		writer_u16(&w, cases[i].tag);
		writer_u32(&w, sizeof(command));
		writer_u32(&w, cases[i].ordinal);
		ck_assert_uint_eq(test_send(tpm, command, w.len, &response), cases[i].rc);
		ck_assert(bench.changed & TPM_CHANGED_VOLATILE);
		transport_assert_dead(&t);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(dynamic_launch_ends_the_exclusive_session)
{
	struct tpm *tpm = test_owned_tpm();
	struct transport_client t = transport_establish_plain(tpm, TPM_TRANSPORT_EXCLUSIVE);
	unsigned changes = 0;

	transport_assert_alive(&t);
	ck_assert_uint_eq(tpm_hash_start(tpm, &changes), TPM_SUCCESS);
	transport_assert_dead(&t);
	tpm_free(tpm);
}
END_TEST

START_TEST(exclusive_session_that_was_saved_is_not_exclusive_any_more)
{
	struct tpm *tpm = test_owned_tpm();
	struct transport_client t = transport_establish_plain(tpm, TPM_TRANSPORT_EXCLUSIVE);
	struct blob response;
	struct call c;

	/* Only from within can it be saved: any other command ends it. */
	call_begin(&c, tpm, TPM_ORD_SaveContext);
	call_handle(&c, t.s.handle);
	writer_u32(&c.params, TPM_RT_TRANS);
	writer_bytes(&c.params, zeros, 16);
	uint32_t handle = t.s.handle;
	ck_assert_uint_eq(
	    transport_execute(&t, &c, &(struct wrapped_shape) { .handles = 1 }, &response),
	    TPM_SUCCESS);
	ck_assert_uint_eq(transport_result(&response), TPM_SUCCESS);
	struct reader r =
	    reader_of(response.data + TPM_HEADER_SIZE, response.len - TPM_HEADER_SIZE);
	struct reader context = reader_sized(&r);
	t.s.handle = handle;
	transport_assert_dead(&t);
	call_begin(&c, tpm, TPM_ORD_LoadContext);
	call_handle(&c, 0);
	writer_u8(&c.params, true);
	writer_sized(&c.params, context.pos, context.left);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	/* It came back with the nonce that it left with. */
	memcpy(t.s.nonceEven, transport_find(tpm, handle)->nonceEven, TPM_DIGEST_SIZE);
	ck_assert_uint_eq(transport_read_pcr(&t, 0, &response), TPM_TRANSPORT_NOTEXCLUSIVE);
	tpm_free(tpm);
}
END_TEST

START_TEST(sha1_thread_runs_through_a_session)
{
	static const uint8_t block[64] = "a block";
	struct tpm *tpm = test_owned_tpm();
	struct transport_client t = transport_establish_plain(tpm, 0);
	struct blob response;
	struct call c;
	uint8_t expected[TPM_DIGEST_SIZE], all[sizeof(block) + 3];

	call_begin(&c, tpm, TPM_ORD_SHA1Start);
	ck_assert_uint_eq(transport_execute(&t, &c, &(struct wrapped_shape) { 0 }, &response),
			  TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_SHA1Update);
	writer_sized(&c.params, block, sizeof(block));
	ck_assert_uint_eq(transport_execute(&t, &c, &(struct wrapped_shape) { 0 }, &response),
			  TPM_SUCCESS);
	ck_assert_uint_eq(transport_result(&response), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_SHA1Complete);
	writer_sized(&c.params, "end", 3);
	ck_assert_uint_eq(transport_execute(&t, &c, &(struct wrapped_shape) { 0 }, &response),
			  TPM_SUCCESS);
	memcpy(all, block, sizeof(block));
	memcpy(all + sizeof(block), "end", 3);
	reference_sha1(expected, all, sizeof(all));
	ck_assert_mem_eq(response.data + TPM_HEADER_SIZE, expected, sizeof(expected));
	tpm_free(tpm);
}
END_TEST

/* A command of a SHA-1 thread, carried by a session or, for NULL, by none. */
static TPM_RESULT
sha1_step(struct tpm *tpm, struct transport_client *t, uint32_t ordinal)
{
	static const uint8_t block[64];
	struct blob response;
	struct call c;

	call_begin(&c, tpm, ordinal);
	if (ordinal != TPM_ORD_SHA1Start)
		writer_sized(&c.params, block, sizeof(block));
	if (!t)
		return call_run(&c);
	ck_assert_uint_eq(transport_execute(t, &c, &(struct wrapped_shape) { 0 }, &response),
			  TPM_SUCCESS);
	return transport_result(&response);
}

START_TEST(sha1_thread_goes_on_where_it_was_started)
{
	struct tpm *tpm = test_owned_tpm();
	struct transport_client one = transport_establish_plain(tpm, 0);
	struct transport_client two = transport_establish_plain(tpm, 0);
	struct transport_client *const carriers[] = { NULL, &one, &two };
	static const uint32_t ordinals[] = { TPM_ORD_SHA1Update, TPM_ORD_SHA1Complete };

	for (unsigned i = 0; i < 3 * 3 * 2; i++) {
		struct transport_client *first = carriers[i % 3], *next = carriers[i / 3 % 3];
		TPM_RESULT expected = first == next ? TPM_SUCCESS : TPM_SHA_THREAD;

		ck_assert_uint_eq(sha1_step(tpm, first, TPM_ORD_SHA1Start), TPM_SUCCESS);
		ck_assert_uint_eq(sha1_step(tpm, next, ordinals[i / 9]), expected);
		if (ordinals[i / 9] == TPM_ORD_SHA1Update)
			ck_assert_uint_eq(sha1_step(tpm, first, TPM_ORD_SHA1Complete), expected);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(response_too_large_to_wrap_is_an_error_of_the_command)
{
	struct tpm *tpm = test_owned_tpm();
	struct transport_client t = transport_establish_plain(tpm, 0);
	struct blob response;
	struct call c;

	for (uint32_t size = 3800; size <= 4100; size += 20) {
		call_begin(&c, tpm, TPM_ORD_GetRandom);
		writer_u32(&c.params, size);
		ck_assert_uint_eq(
		    transport_execute(&t, &c, &(struct wrapped_shape) { 0 }, &response),
		    TPM_SUCCESS);
		ck_assert(transport_result(&response) == TPM_SUCCESS ||
			  transport_result(&response) == TPM_SIZE);
	}
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		handles_of_a_response_are_in_the_clear,
		of_dsap_only_the_delegation_is_encrypted,
		command_may_end_the_session_that_carries_it,
		transport_and_state_commands_cannot_be_wrapped,
		malformed_wrapped_commands_are_refused,
		exclusive_session_ends_with_the_first_command_outside,
		even_a_command_that_is_no_good_ends_the_exclusive_session,
		dynamic_launch_ends_the_exclusive_session,
		exclusive_session_that_was_saved_is_not_exclusive_any_more,
		sha1_thread_runs_through_a_session,
		sha1_thread_goes_on_where_it_was_started,
		response_too_large_to_wrap_is_an_error_of_the_command,
		NULL,
	};

	return test_suite("transport_execute", tests);
}
