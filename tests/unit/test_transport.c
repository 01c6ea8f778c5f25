#include "tests/unit/transport_client.h"

#include <tpmcore/core.h>

static const uint8_t digest[TPM_DIGEST_SIZE] = "twenty bytes to sign", zeros[TPM_DIGEST_SIZE];

/* Runs commands of all kinds through a session: without and with parameters, with handles in and
 * out, with nested authorization, with an error. */
static void
exercise(struct transport_client *t, uint32_t key, const struct blob *key_blob)
{
	static const struct wrapped_shape plain = { 0 };
	struct blob response, modulus_hash;
	struct test_session s;
	struct call c;
	uint8_t value[TPM_DIGEST_SIZE], expected[2 * TPM_DIGEST_SIZE] = { 0 };

	call_begin(&c, t->tpm, TPM_ORD_Extend);
	writer_u32(&c.params, 9);
	writer_bytes(&c.params, digest, sizeof(digest));
	memcpy(expected + TPM_DIGEST_SIZE, digest, TPM_DIGEST_SIZE);
	ck_assert_uint_eq(test_pcr_read(t->tpm, 9, expected), TPM_SUCCESS);
	reference_sha1(value, expected, sizeof(expected));
	ck_assert_uint_eq(transport_execute(t, &c, &plain, &response), TPM_SUCCESS);
	ck_assert_uint_eq(transport_result(&response), TPM_SUCCESS);
	ck_assert_mem_eq(response.data + TPM_HEADER_SIZE, value, sizeof(value));

	ck_assert_uint_eq(transport_read_pcr(t, 99, &response), TPM_SUCCESS);
	ck_assert_uint_eq(transport_result(&response), TPM_BADINDEX);

	/* A session opened inside, used inside. */
	call_begin(&c, t->tpm, TPM_ORD_OIAP);
	ck_assert_uint_eq(
	    transport_execute(t, &c, &(struct wrapped_shape) { .no_data = true }, &response),
	    TPM_SUCCESS);
	struct reader r = reader_of(response.data + TPM_HEADER_SIZE, 4 + TPM_DIGEST_SIZE);
	s = (struct test_session) { .handle = reader_u32(&r), .close = true };
	reader_bytes(&r, s.nonceEven, TPM_DIGEST_SIZE);
	memcpy(s.secret, key_auth, TPM_DIGEST_SIZE);
	call_begin(&c, t->tpm, TPM_ORD_Sign);
	call_handle(&c, key);
	writer_sized(&c.params, digest, sizeof(digest));
	call_session(&c, &s);
	EVP_PKEY *public = test_key_public(key_blob);
	struct reader n = reader_of(key_blob->data, key_blob->len);
	reader_view(&n, 4 + 2 + 4 + 1 + 4 + 2 + 2);
	reader_sized(&n);
	reader_sized(&n);
	transport_hash(modulus_hash.data, NULL, 0, n.pos, 4 + 128);
	reference_sha1(modulus_hash.data, modulus_hash.data, TPM_DIGEST_SIZE);
	ck_assert_uint_eq(
	    transport_execute(
		t, &c, &(struct wrapped_shape) { .handles = 1, .pub_key_hash = modulus_hash.data },
		&response),
	    TPM_SUCCESS);
	ck_assert_uint_eq(transport_result(&response), TPM_SUCCESS);
	r = reader_of(response.data + TPM_HEADER_SIZE, response.len - TPM_HEADER_SIZE);
	struct reader signature = reader_sized(&r);
	ck_assert(reference_verify_sha1(public, signature.pos, signature.left, digest));
	ck_assert_uint_eq(r.left, SESSION_OUT);
	EVP_PKEY_free(public);
}

START_TEST(sessions_of_every_kind_carry_commands)
{
	static const struct {
		uint32_t attributes, algId;
		uint16_t encScheme;
	} kinds[] = {
		{ 0, 0, 0 },
		{ TPM_TRANSPORT_LOG, TPM_ALG_MGF1, TPM_ES_NONE },
		{ TPM_TRANSPORT_ENCRYPT, TPM_ALG_MGF1, TPM_ES_NONE },
		{ TPM_TRANSPORT_ENCRYPT, TPM_ALG_AES, TPM_ES_SYM_CNT },
		{ TPM_TRANSPORT_ENCRYPT, TPM_ALG_AES, TPM_ES_SYM_OFB },
		{ TPM_TRANSPORT_ENCRYPT | TPM_TRANSPORT_LOG, TPM_ALG_AES, TPM_ES_SYM_CNT },
	};
	struct tpm *tpm = test_owned_tpm();
	struct blob storage, signing, signature;
	uint32_t key = test_make_key(tpm, &test_storage_key, &storage);
	uint32_t signer = test_make_key(tpm, &test_signing_key, &signing);

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		struct transport_client t = { .tpm = tpm,
					      .attributes = kinds[i].attributes,
					      .algId = kinds[i].algId,
					      .encScheme = kinds[i].encScheme };

		bench.now += 12345;
		ck_assert_uint_eq(transport_establish_encrypted(&t, key, &storage), TPM_SUCCESS);
		bench.now += 777;
		exercise(&t, signer, &signing);
		TPM_RESULT rc = transport_release(&t, signer, key_auth, &signature);
		if (t.attributes & TPM_TRANSPORT_LOG) {
			ck_assert_uint_eq(rc, TPM_SUCCESS);
			ck_assert(transport_log_is_signed(&t, &signing, &signature));
			t.log[0] ^= 1;
			ck_assert(!transport_log_is_signed(&t, &signing, &signature));
		} else {
			ck_assert_uint_eq(rc, TPM_BAD_MODE);
		}
		transport_assert_dead(&t);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(without_an_owner_there_are_none)
{
	struct tpm *tpm = test_tpm();
	struct transport_client t = { .tpm = tpm };

	ck_assert_uint_eq(
	    transport_establish(&t, TPM_KH_TRANSPORT, NULL, transport_auth, TPM_DIGEST_SIZE),
	    TPM_NOSRK);
	ck_assert_uint_eq(test_take_ownership(tpm, &test_srk_key), TPM_SUCCESS);
	t = transport_establish_plain(tpm, 0);
	transport_assert_alive(&t);
	tpm_free(tpm);
}
END_TEST

START_TEST(only_known_ciphers_encrypt)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob storage;
	uint32_t key = test_make_key(tpm, &test_storage_key, &storage);

	for (uint32_t alg = 0; alg < 12; alg++)
		for (uint16_t scheme = 0; scheme < 7; scheme++) {
			struct transport_client t = { .tpm = tpm,
						      .attributes = TPM_TRANSPORT_ENCRYPT,
						      .algId = alg,
						      .encScheme = scheme };
			bool mgf1 = alg == TPM_ALG_MGF1, aes = alg == TPM_ALG_AES;
			bool known =
			    (mgf1 && scheme == TPM_ES_NONE) ||
			    (aes && (scheme == TPM_ES_SYM_CNT || scheme == TPM_ES_SYM_OFB));
			TPM_RESULT expected = known         ? TPM_SUCCESS
					      : mgf1 || aes ? TPM_INAPPROPRIATE_ENC
							    : TPM_BAD_KEY_PROPERTY;

			ck_assert_uint_eq(transport_establish_encrypted(&t, key, &storage),
					  expected);
			if (known)
				ck_assert_uint_eq(test_flush(tpm, t.s.handle, TPM_RT_TRANS),
						  TPM_SUCCESS);
		}
	tpm_free(tpm);
}
END_TEST

START_TEST(secret_must_be_one_and_come_by_a_fitting_key)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob storage, bind;
	uint32_t key = test_make_key(tpm, &test_storage_key, &storage);
	uint32_t bind_key = test_make_key(tpm, &test_bind_key, &bind);
	struct transport_client t = { .tpm = tpm };
	uint8_t secret[256];
	size_t len;

	ck_assert_uint_eq(transport_establish(&t, TPM_KH_TRANSPORT, NULL, transport_auth, 19),
			  TPM_BAD_PARAM_SIZE);
	ck_assert_uint_eq(transport_establish(&t, TPM_KH_TRANSPORT, key_auth, transport_auth, 20),
			  TPM_BADTAG);
	ck_assert_uint_eq(transport_establish(&t, 0x12345, key_auth, transport_auth, 20),
			  TPM_INVALID_KEYHANDLE);
	ck_assert_uint_eq(transport_establish(&t, key, key_auth, transport_auth, 20),
			  TPM_DECRYPT_ERROR);
	len = transport_encrypt_secret(&storage, TPM_TAG_TRANSPORT_AUTH, 20, secret);
	ck_assert_uint_eq(transport_establish(&t, key, NULL, secret, len), TPM_AUTHFAIL);
	ck_assert_uint_eq(transport_establish(&t, key, wrong_auth, secret, len), TPM_AUTHFAIL);
	ck_assert_uint_eq(transport_establish(&t, bind_key, NULL, secret, len),
			  TPM_INVALID_KEYUSAGE);
	len = transport_encrypt_secret(&storage, TPM_TAG_TRANSPORT_PUBLIC, 20, secret);
	ck_assert_uint_eq(transport_establish(&t, key, key_auth, secret, len),
			  TPM_INVALID_STRUCTURE);
	len = transport_encrypt_secret(&storage, TPM_TAG_TRANSPORT_AUTH, 19, secret);
	ck_assert_uint_eq(transport_establish(&t, key, key_auth, secret, len), TPM_BAD_PARAM_SIZE);

	t.attributes = TPM_TRANSPORT_ENCRYPT;
	t.algId = TPM_ALG_MGF1;
	t.encScheme = TPM_ES_NONE;
	ck_assert_uint_eq(transport_establish(&t, TPM_KH_TRANSPORT, NULL, transport_auth, 20),
			  TPM_BAD_SCHEME);
	tpm_free(tpm);
}
END_TEST

START_TEST(sessions_run_out_and_do_not_leak)
{
	struct tpm *tpm = test_owned_tpm();
	struct transport_client t[MAX_TRANSPORTS], more = { .tpm = tpm };

	for (int i = 0; i < MAX_TRANSPORTS; i++)
		t[i] = transport_establish_plain(tpm, 0);
	ck_assert_uint_eq(transport_establish(&more, TPM_KH_TRANSPORT, NULL, transport_auth, 20),
			  TPM_RESOURCES);
	for (int i = 0; i < MAX_TRANSPORTS; i++) {
		transport_assert_alive(&t[i]);
		ck_assert_uint_eq(test_flush(tpm, t[i].s.handle, TPM_RT_TRANS), TPM_SUCCESS);
		transport_assert_dead(&t[i]);
	}
	for (int i = 0; i < MAX_TRANSPORTS; i++)
		transport_establish_plain(tpm, 0);
	tpm_free(tpm);
}
END_TEST

START_TEST(wrong_secret_ends_the_session)
{
	struct tpm *tpm = test_owned_tpm();
	struct transport_client t = transport_establish_plain(tpm, 0);
	struct blob response;

	t.s.secret[3] ^= 1;
	ck_assert_uint_eq(transport_read_pcr(&t, 0, &response), TPM_AUTH2FAIL);
	t.s.secret[3] ^= 1;
	transport_assert_dead(&t);
	t.s.handle = 0;
	memset(t.s.secret, 0, sizeof(t.s.secret));
	memset(t.s.nonceEven, 0, sizeof(t.s.nonceEven));
	transport_assert_dead(&t);
	tpm_free(tpm);
}
END_TEST

START_TEST(session_ends_when_the_caller_says_so)
{
	struct tpm *tpm = test_owned_tpm();
	struct transport_client t = transport_establish_plain(tpm, 0);
	uint32_t handle = t.s.handle;
	struct blob response;

	t.s.close = true;
	ck_assert_uint_eq(transport_read_pcr(&t, 0, &response), TPM_SUCCESS);
	ck_assert_uint_eq(transport_result(&response), TPM_SUCCESS);
	ck_assert_uint_eq(t.s.handle, 0);
	t.s.handle = handle;
	transport_assert_dead(&t);
	tpm_free(tpm);
}
END_TEST

START_TEST(saved_session_goes_on_where_it_was)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob storage, context;
	uint32_t key = test_make_key(tpm, &test_storage_key, &storage);
	struct transport_client t = { .tpm = tpm,
				      .attributes = TPM_TRANSPORT_ENCRYPT,
				      .algId = TPM_ALG_AES,
				      .encScheme = TPM_ES_SYM_OFB };
	struct call c;

	ck_assert_uint_eq(transport_establish_encrypted(&t, key, &storage), TPM_SUCCESS);
	transport_assert_alive(&t);
	call_begin(&c, tpm, TPM_ORD_SaveContext);
	call_handle(&c, t.s.handle);
	writer_u32(&c.params, TPM_RT_TRANS);
	writer_bytes(&c.params, zeros, 16);
	ck_assert_uint_eq(call_run_into(&c, &context), TPM_SUCCESS);
	transport_assert_dead(&t);
	call_begin(&c, tpm, TPM_ORD_LoadContext);
	call_handle(&c, 0);
	writer_u8(&c.params, true);
	writer_sized(&c.params, context.data, context.len);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	transport_assert_alive(&t);
	tpm_free(tpm);
}
END_TEST

START_TEST(only_signing_keys_sign_a_log)
{
	struct key_template der = test_signing_key, info = test_signing_key, legacy = test_bind_key;
	struct tpm *tpm = test_owned_tpm();
	struct blob signature, info_key;

	der.sigScheme = TPM_SS_RSASSAPKCS1v15_DER;
	info.sigScheme = TPM_SS_RSASSAPKCS1v15_INFO;
	legacy.usage = TPM_KEY_LEGACY;
	legacy.sigScheme = TPM_SS_RSASSAPKCS1v15_SHA1;
	const struct {
		const struct key_template *key;
		TPM_RESULT rc;
	} cases[] = {
		{ &test_bind_key, TPM_INAPPROPRIATE_SIG },
		{ &der, TPM_INAPPROPRIATE_SIG },
		{ &legacy, TPM_INVALID_KEYUSAGE },
		{ &info, TPM_SUCCESS },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct transport_client t = transport_establish_plain(tpm, TPM_TRANSPORT_LOG);
		uint32_t key = test_make_key(tpm, cases[i].key, &info_key);

		ck_assert_uint_eq(transport_release(&t, key, key_auth, &signature), cases[i].rc);
		if (cases[i].rc == TPM_SUCCESS)
			ck_assert(transport_log_is_signed(&t, &info_key, &signature));
		transport_assert_dead(&t);
		t = transport_establish_plain(tpm, TPM_TRANSPORT_LOG);
		ck_assert_uint_eq(transport_release(&t, key, wrong_auth, &signature), TPM_AUTHFAIL);
		transport_assert_dead(&t);
		t = transport_establish_plain(tpm, TPM_TRANSPORT_LOG);
		t.s.secret[0] ^= 1;
		/* Whether the key can sign is looked at first. */
		ck_assert_uint_eq(transport_release(&t, key, key_auth, &signature),
				  cases[i].rc == TPM_SUCCESS ? TPM_AUTH2FAIL : cases[i].rc);
		transport_assert_dead(&t);
		ck_assert_uint_eq(test_flush(tpm, key, TPM_RT_KEY), TPM_SUCCESS);
	}
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		sessions_of_every_kind_carry_commands,
		without_an_owner_there_are_none,
		only_known_ciphers_encrypt,
		secret_must_be_one_and_come_by_a_fitting_key,
		sessions_run_out_and_do_not_leak,
		wrong_secret_ends_the_session,
		session_ends_when_the_caller_says_so,
		saved_session_goes_on_where_it_was,
		only_signing_keys_sign_a_log,
		NULL,
	};

	return test_suite("transport", tests);
}
