#include "tests/unit/snapshot.h"
#include "tests/unit/support.h"

static const uint8_t digest[TPM_DIGEST_SIZE] = "twenty bytes exactly";

START_TEST(a_wrong_secret_fails_and_ends_the_session)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(test_oiap(tpm, &s, wrong_auth), TPM_SUCCESS);
	s.close = false;
	call_begin(&c, tpm, TPM_ORD_OwnerReadPubek);
	call_session(&c, &s);
	ck_assert_uint_eq(call_run(&c), TPM_AUTHFAIL);
	memcpy(s.secret, owner_auth, sizeof(s.secret));
	ck_assert_uint_eq(call_run(&c), TPM_INVALID_AUTHHANDLE);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_second_wrong_secret_has_a_code_of_its_own_and_ends_both_sessions)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session key, data;
	struct blob sealed;
	struct call c;

	ck_assert_uint_eq(test_seal(tpm, NULL, "secret", 6, &sealed), TPM_SUCCESS);
	ck_assert_uint_eq(test_oiap(tpm, &key, srk_auth), TPM_SUCCESS);
	ck_assert_uint_eq(test_oiap(tpm, &data, wrong_auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_Unseal);
	call_handle(&c, TPM_KH_SRK);
	writer_bytes(&c.params, sealed.data, sealed.len);
	call_session(&c, &key);
	call_session(&c, &data);
	ck_assert_uint_eq(call_run(&c), TPM_AUTH2FAIL);
	ck_assert_uint_eq(test_flush(tpm, key.handle, TPM_RT_AUTH), TPM_INVALID_AUTHHANDLE);
	ck_assert_uint_eq(test_flush(tpm, data.handle, TPM_RT_AUTH), TPM_INVALID_AUTHHANDLE);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_wrong_handle_ends_the_sessions_beside_it)
{
	static const uint32_t no_key = 0x01ffffff, no_session = 0x02ffffff;
	struct tpm *tpm = test_owned_tpm();
	uint32_t key = test_make_key(tpm, &test_signing_key, NULL);
	struct test_session s = test_oiap_open(tpm, key_auth), wrong = { .handle = no_session };
	struct call c;

	ck_assert_uint_eq(test_sign_in(tpm, no_key, &s), TPM_INVALID_KEYHANDLE);
	ck_assert_uint_eq(test_flush(tpm, s.handle, TPM_RT_AUTH), TPM_INVALID_AUTHHANDLE);
	for (int first = 0; first < 2; first++) {
		s = test_oiap_open(tpm, key_auth);
		call_begin(&c, tpm, TPM_ORD_CertifyKey);
		call_handle(&c, key);
		call_handle(&c, key);
		writer_bytes(&c.params, digest, sizeof(digest));
		call_session(&c, first ? &wrong : &s);
		call_session(&c, first ? &s : &wrong);
		ck_assert_uint_eq(call_run(&c), TPM_INVALID_AUTHHANDLE);
		ck_assert_uint_eq(test_flush(tpm, s.handle, TPM_RT_AUTH), TPM_INVALID_AUTHHANDLE);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(a_command_that_the_tpm_is_not_in_a_state_for_ends_its_session)
{
	static const struct {
		uint32_t ordinal;
		TPM_RESULT rc;
	} cases[] = {
		{ TPM_ORD_OwnerReadPubek, TPM_DISABLED },
		{ TPM_ORD_SetTempDeactivated, TPM_NOOPERATOR },
	};
	struct tpm *tpm = test_owned_tpm();

	bench.physical_presence = true;
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PhysicalDisable), TPM_SUCCESS);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct test_session s = test_oiap_open(tpm, owner_auth);
		struct call c;

		call_begin(&c, tpm, cases[i].ordinal);
		call_session(&c, &s);
		ck_assert_uint_eq(call_run(&c), cases[i].rc);
		ck_assert(bench.changed & TPM_CHANGED_VOLATILE);
		ck_assert_uint_eq(test_flush(tpm, s.handle, TPM_RT_AUTH), TPM_INVALID_AUTHHANDLE);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(a_session_goes_on_while_its_caller_wants)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(test_oiap(tpm, &s, owner_auth), TPM_SUCCESS);
	for (int i = 0; i < 3; i++) { /* call_run sees the nonces roll */
		s.close = i == 2;
		call_begin(&c, tpm, TPM_ORD_OwnerReadPubek);
		call_session(&c, &s);
		uint32_t handle = s.handle;
		ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
		ck_assert_uint_eq(s.handle, i == 2 ? 0 : handle);
		s.handle = handle;
	}
	ck_assert_uint_eq(call_run(&c), TPM_INVALID_AUTHHANDLE);
	tpm_free(tpm);
}
END_TEST

START_TEST(an_osap_session_goes_on_while_its_caller_wants)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(test_osap(tpm, &s, TPM_ET_OWNER, TPM_KH_OWNER, owner_auth), TPM_SUCCESS);
	for (int i = 0; i < 3; i++) {
		s.close = false;
		call_begin(&c, tpm, TPM_ORD_OwnerReadPubek);
		call_session(&c, &s);
		ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(a_command_cannot_be_replayed)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session s;
	struct blob response;
	struct call c;

	ck_assert_uint_eq(test_oiap(tpm, &s, owner_auth), TPM_SUCCESS);
	s.close = false;
	call_begin(&c, tpm, TPM_ORD_OwnerReadPubek);
	call_session(&c, &s);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	ck_assert_uint_eq(test_send(tpm, c.command, TPM_HEADER_SIZE + 45, &response), TPM_AUTHFAIL);
	tpm_free(tpm);
}
END_TEST

START_TEST(an_authorized_command_cannot_be_changed_under_way)
{
	enum { AUTH_LEN = 4 + TPM_DIGEST_SIZE + 1 + TPM_DIGEST_SIZE };
	struct tpm *tpm = test_owned_tpm();
	uint32_t key = test_make_key(tpm, &test_signing_key, NULL);
	struct snapshot snapshot;
	struct test_session s;
	struct blob response;
	struct call c;

	ck_assert_uint_eq(test_oiap(tpm, &s, key_auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_Sign);
	call_handle(&c, key);
	writer_sized(&c.params, digest, sizeof(digest));
	call_session(&c, &s);
	size_t len = call_build(&c), auth_at = len - AUTH_LEN;
	snapshot_take(&snapshot, tpm);

	/* from the data to be signed to the last byte of the HMAC */
	for (size_t at = TPM_HEADER_SIZE + 4 + 4; at < len; at++) {
		bool in_handle = at >= auth_at && at < auth_at + 4;

		snapshot_restore(&snapshot, tpm);
		c.command[at] ^= 1;
		ck_assert_uint_eq(test_send(tpm, c.command, len, &response),
				  in_handle ? TPM_INVALID_AUTHHANDLE : TPM_AUTHFAIL);
		c.command[at] ^= 1;
	}
	snapshot_restore(&snapshot, tpm);
	ck_assert_uint_eq(test_send(tpm, c.command, len, &response), TPM_SUCCESS);
	snapshot_free(&snapshot);
	tpm_free(tpm);
}
END_TEST

START_TEST(an_osap_session_speaks_only_for_its_entity)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t key = test_make_key(tpm, &test_signing_key, NULL);
	struct test_session s;
	struct call c;

	test_osap_key(tpm, &s, TPM_KH_SRK, srk_auth);
	call_begin(&c, tpm, TPM_ORD_OwnerReadPubek);
	call_session(&c, &s);
	ck_assert_uint_eq(call_run(&c), TPM_AUTHFAIL);

	/* not even with the same secret */
	ck_assert_uint_eq(test_osap(tpm, &s, TPM_ET_OWNER, TPM_KH_OWNER, owner_auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_Sign);
	call_handle(&c, key);
	writer_sized(&c.params, digest, sizeof(digest));
	call_session(&c, &s);
	ck_assert_uint_eq(call_run(&c), TPM_AUTHFAIL);
	tpm_free(tpm);
}
END_TEST

START_TEST(new_authdata_ends_the_osap_session_that_carried_it)
{
	struct tpm *tpm = test_owned_tpm();
	uint8_t encrypted[TPM_DIGEST_SIZE];
	struct test_session s;
	struct call c;

	test_osap_key(tpm, &s, TPM_KH_SRK, srk_auth);
	s.close = false;
	call_begin(&c, tpm, TPM_ORD_Seal);
	call_handle(&c, TPM_KH_SRK);
	test_encrypt_auth(&s, false, data_auth, encrypted);
	writer_bytes(&c.params, encrypted, sizeof(encrypted));
	writer_u32(&c.params, 0);
	writer_sized(&c.params, "x", 1);
	call_session(&c, &s);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	ck_assert_uint_eq(s.handle, 0);
	tpm_free(tpm);
}
END_TEST

START_TEST(authdata_is_not_inserted_in_an_oiap_session)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(test_oiap(tpm, &s, srk_auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_Seal);
	call_handle(&c, TPM_KH_SRK);
	writer_bytes(&c.params, data_auth, TPM_DIGEST_SIZE);
	writer_u32(&c.params, 0);
	writer_sized(&c.params, "x", 1);
	call_session(&c, &s);
	ck_assert_uint_ne(call_run(&c), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(authdata_can_travel_by_xor_and_by_aes)
{
	static const uint16_t schemes[] = { TPM_ET_XOR, TPM_ET_AES };
	struct tpm *tpm = test_owned_tpm();

	for (size_t i = 0; i < 2; i++) {
		uint8_t encrypted[TPM_DIGEST_SIZE];
		struct blob sealed, data;
		struct test_session s;
		struct call c;

		ck_assert_uint_eq(test_osap(tpm, &s, (uint16_t)(schemes[i] << 8 | TPM_ET_SRK),
					    TPM_KH_SRK, srk_auth),
				  TPM_SUCCESS);
		call_begin(&c, tpm, TPM_ORD_Seal);
		call_handle(&c, TPM_KH_SRK);
		test_encrypt_auth(&s, false, data_auth, encrypted);
		writer_bytes(&c.params, encrypted, sizeof(encrypted));
		writer_u32(&c.params, 0);
		writer_sized(&c.params, "x", 1);
		call_session(&c, &s);
		ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
		sealed.len = c.out.left;
		reader_bytes(&c.out, sealed.data, sealed.len);
		ck_assert_uint_eq(test_unseal(tpm, &sealed, data_auth, &data), TPM_SUCCESS);
		ck_assert_uint_eq(data.len, 1);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(a_key_that_needs_authdata_is_not_used_without)
{
	struct tpm *tpm = test_owned_tpm();
	struct key_template open = test_signing_key;
	struct call c;

	open.authDataUsage = TPM_AUTH_NEVER;
	for (int i = 0; i < 2; i++) {
		uint32_t key = test_make_key(tpm, i == 0 ? &test_signing_key : &open, NULL);

		call_begin(&c, tpm, TPM_ORD_Sign);
		call_handle(&c, key);
		writer_sized(&c.params, digest, sizeof(digest));
		ck_assert_uint_eq(call_run(&c), i == 0 ? TPM_AUTHFAIL : TPM_SUCCESS);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(sessions_run_out_and_come_back)
{
	uint32_t most;
	struct test_session s[64];
	struct tpm *tpm = test_owned_tpm();

	most = test_get_capability_u32(tpm, TPM_CAP_PROPERTY, TPM_CAP_PROP_MAX_AUTHSESS);
	ck_assert_uint_ge(most, 16);
	ck_assert_uint_le(most, 64);
	for (uint32_t i = 0; i < most; i++)
		ck_assert_uint_eq(test_oiap(tpm, &s[i], owner_auth), TPM_SUCCESS);
	ck_assert_uint_eq(test_oiap(tpm, &s[0], owner_auth), TPM_RESOURCES);
	ck_assert_uint_eq(test_flush(tpm, s[1].handle, TPM_RT_AUTH), TPM_SUCCESS);
	ck_assert_uint_eq(test_oiap(tpm, &s[1], owner_auth), TPM_SUCCESS);
	test_reboot(tpm);
	for (uint32_t i = 0; i < most; i++)
		ck_assert_uint_eq(test_oiap(tpm, &s[i], owner_auth), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_wrong_secret_fails_and_ends_the_session,
		the_second_wrong_secret_has_a_code_of_its_own_and_ends_both_sessions,
		a_wrong_handle_ends_the_sessions_beside_it,
		a_command_that_the_tpm_is_not_in_a_state_for_ends_its_session,
		a_session_goes_on_while_its_caller_wants,
		an_osap_session_goes_on_while_its_caller_wants,
		a_command_cannot_be_replayed,
		an_authorized_command_cannot_be_changed_under_way,
		an_osap_session_speaks_only_for_its_entity,
		new_authdata_ends_the_osap_session_that_carried_it,
		authdata_is_not_inserted_in_an_oiap_session,
		authdata_can_travel_by_xor_and_by_aes,
		a_key_that_needs_authdata_is_not_used_without,
		sessions_run_out_and_come_back,
		NULL,
	};

	return test_suite("authorization", tests);
}
