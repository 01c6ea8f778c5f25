#include "tests/unit/soft_key.h"

#include <openssl/rsa.h>

static const uint8_t session_key[] = {
	0,   0,   0,   TPM_ALG_AES, 0,   0xff, 0,   16, /* AES, CBC, size */
	'k', 'e', 'y', ' ',         'o', 'f',  ' ', 't', 'h', 'e', ' ', 'c', 'e', 'r', 't', '.'
};

START_TEST(identity_is_bound_to_the_label_of_its_ca)
{
	struct key_template templates[] = { test_identity_key, test_identity_key };
	struct tpm *tpm = test_owned_tpm();
	struct blob key, binding, pubkey, signature;
	uint32_t handle;

	templates[1].key12 = true;
	for (uint16_t i = 0; i < 2; i++) {
		uint8_t contents[512] = { 1, 1, 0, 0, 0, 0, 0, TPM_ORD_MakeIdentity };
		uint8_t digest[TPM_DIGEST_SIZE];

		ck_assert_uint_eq(test_make_identity(tpm, &templates[i],
						     i ? TPM_ET_AES : TPM_ET_XOR, srk_auth,
						     owner_auth, &key, &binding),
				  TPM_SUCCESS);
		pubkey_of_key(&key, &pubkey);
		memcpy(contents + 8, test_privacy_ca, TPM_DIGEST_SIZE);
		memcpy(contents + 8 + TPM_DIGEST_SIZE, pubkey.data, pubkey.len);
		reference_sha1(digest, contents, 8 + TPM_DIGEST_SIZE + pubkey.len);
		EVP_PKEY *public = test_key_public(&key);
		ck_assert(reference_verify_sha1(public, binding.data, binding.len, digest));
		EVP_PKEY_free(public);

		/* It loads, and signs what the TPM says, but nothing else. */
		ck_assert_uint_eq(test_load_key(tpm, &key, &handle), TPM_SUCCESS);
		ck_assert_uint_eq(
		    test_quote(tpm, handle, key_auth, test_privacy_ca, 1, &pubkey, &signature),
		    TPM_SUCCESS);
		ck_assert_uint_eq(test_sign(tpm, handle, key_auth, digest, 20, &signature),
				  TPM_INVALID_KEYUSAGE);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(identity_must_be_like_one)
{
	struct {
		struct key_template t;
		TPM_RESULT rc;
	} cases[] = {
		{ test_identity_key, TPM_INVALID_KEYUSAGE },
		{ test_identity_key, TPM_INVALID_KEYUSAGE },
		{ test_identity_key, TPM_BAD_KEY_PROPERTY },
		{ test_identity_key, TPM_BAD_KEY_PROPERTY },
		{ test_identity_key, TPM_BAD_KEY_PROPERTY },
		{ test_identity_key, TPM_BAD_KEY_PROPERTY },
		{ test_identity_key, TPM_BAD_KEY_PROPERTY },
	};
	struct tpm *tpm = test_owned_tpm();
	struct blob key, binding;

	cases[0].t.usage = TPM_KEY_SIGNING;
	cases[1].t.flags = TPM_MIGRATABLE;
	cases[2].t.bits = 1024;
	cases[3].t.sigScheme = TPM_SS_RSASSAPKCS1v15_DER;
	cases[4].t.encScheme = TPM_ES_RSAESOAEP_SHA1_MGF1;
	cases[5].t.flags = 0x100;
	cases[6].t.exponent = 3;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		ck_assert_uint_eq(test_make_identity(tpm, &cases[i].t, TPM_ET_XOR, srk_auth,
						     owner_auth, &key, &binding),
				  cases[i].rc);
	tpm_free(tpm);
}
END_TEST

START_TEST(identity_needs_the_owner_and_the_srk)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session by_srk, by_owner;
	struct blob key, binding;
	struct call c;

	ck_assert_uint_eq(test_make_identity(tpm, &test_identity_key, TPM_ET_XOR, wrong_auth,
					     owner_auth, &key, &binding),
			  TPM_AUTHFAIL);
	ck_assert_uint_eq(test_make_identity(tpm, &test_identity_key, TPM_ET_XOR, srk_auth,
					     wrong_auth, &key, &binding),
			  TPM_AUTH2FAIL);
	/* The new AuthData cannot come by an OIAP session. */
	ck_assert_uint_eq(test_oiap(tpm, &by_srk, srk_auth), TPM_SUCCESS);
	ck_assert_uint_eq(test_oiap(tpm, &by_owner, owner_auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_MakeIdentity);
	writer_bytes(&c.params, key_auth, TPM_DIGEST_SIZE);
	writer_bytes(&c.params, test_privacy_ca, TPM_DIGEST_SIZE);
	write_key_template(&c.params, &test_identity_key);
	call_session(&c, &by_srk);
	call_session(&c, &by_owner);
	ck_assert_uint_eq(call_run(&c), TPM_BAD_MODE);
	tpm_free(tpm);
}
END_TEST

START_TEST(neither_session_outlives_the_making_of_an_identity)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session by_srk = test_oiap_open(tpm, srk_auth), by_owner;
	struct call c;

	ck_assert_uint_eq(test_osap(tpm, &by_owner, TPM_ET_OWNER, TPM_KH_OWNER, owner_auth),
			  TPM_SUCCESS);
	by_owner.close = false;
	call_begin(&c, tpm, TPM_ORD_MakeIdentity);
	uint8_t encrypted[TPM_DIGEST_SIZE];
	test_encrypt_auth(&by_owner, false, key_auth, encrypted);
	writer_bytes(&c.params, encrypted, sizeof(encrypted));
	writer_bytes(&c.params, test_privacy_ca, TPM_DIGEST_SIZE);
	write_key_template(&c.params, &test_identity_key);
	call_session(&c, &by_srk);
	call_session(&c, &by_owner);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	ck_assert_uint_eq(by_srk.handle, 0);
	ck_assert_uint_eq(by_owner.handle, 0);
	tpm_free(tpm);
}
END_TEST

/* What a privacy CA sends: plain, encrypted to the EK. */
struct activation {
	struct tpm *tpm;
	EVP_PKEY *ek;
	uint32_t identity;
	uint8_t digest[TPM_DIGEST_SIZE]; /* of its TPM_PUBKEY */
};

static struct activation
identity_to_activate(void)
{
	struct activation a = { .tpm = test_owned_tpm() };
	struct blob key, binding;
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(test_make_identity(a.tpm, &test_identity_key, TPM_ET_XOR, srk_auth,
					     owner_auth, &key, &binding),
			  TPM_SUCCESS);
	ck_assert_uint_eq(test_load_key(a.tpm, &key, &a.identity), TPM_SUCCESS);
	pubkey_digest(&key, a.digest);
	call_begin_oiap(&c, &s, a.tpm, TPM_ORD_OwnerReadPubek, owner_auth);
	ck_assert_uint_eq(call_run_all(&c, &key), TPM_SUCCESS);
	a.ek = test_pubkey_public(&key);
	return a;
}

static void
free_activation(struct activation *a)
{
	EVP_PKEY_free(a->ek);
	tpm_free(a->tpm);
}

static TPM_RESULT
activate_blob(struct activation *a, uint32_t key, const uint8_t *auth, const uint8_t *owner,
	      const void *blob, size_t len, struct blob *out)
{
	struct test_session by_key, by_owner;
	struct call c;

	ck_assert_uint_eq(test_oiap(a->tpm, &by_key, auth), TPM_SUCCESS);
	ck_assert_uint_eq(test_oiap(a->tpm, &by_owner, owner), TPM_SUCCESS);
	call_begin(&c, a->tpm, TPM_ORD_ActivateIdentity);
	call_handle(&c, key);
	writer_sized(&c.params, blob, len);
	call_session(&c, &by_key);
	call_session(&c, &by_owner);
	return call_run_all(&c, out);
}

static TPM_RESULT
activate(struct activation *a, const struct writer *plain, struct blob *out)
{
	uint8_t encrypted[256];

	ck_assert_int_eq(reference_rsa(a->ek, REFERENCE_ENCRYPT, RSA_PKCS1_OAEP_PADDING, encrypted,
				       plain->buf, plain->len),
			 sizeof(encrypted));
	return activate_blob(a, a->identity, key_auth, owner_auth, encrypted, sizeof(encrypted),
			     out);
}

static void
write_contents(struct writer *w, const uint8_t *digest)
{
	writer_bytes(w, session_key, sizeof(session_key));
	writer_bytes(w, digest, TPM_DIGEST_SIZE);
}

/* TPM_EK_BLOB of a TPM_EK_BLOB_ACTIVATE that wants the present value of pcrs. */
static void
write_ek_blob(struct writer *w, struct activation *a, uint16_t type, uint32_t pcrs,
	      uint8_t localities)
{
	uint8_t buf[256], composite[TPM_DIGEST_SIZE];
	struct writer inner = writer_of(buf, sizeof(buf));

	writer_u16(&inner, TPM_TAG_EK_BLOB_ACTIVATE);
	write_contents(&inner, a->digest);
	write_pcr_selection(&inner, pcrs);
	writer_u8(&inner, localities);
	test_composite_digest(a->tpm, pcrs, composite);
	writer_bytes(&inner, composite, sizeof(composite));
	writer_u16(w, TPM_TAG_EK_BLOB);
	writer_u16(w, type);
	writer_sized(w, buf, inner.len);
}

START_TEST(identity_is_activated_by_blobs_of_both_versions)
{
	struct activation a = identity_to_activate();
	uint8_t buf[256];
	struct writer w = writer_of(buf, sizeof(buf));
	struct blob out;

	write_contents(&w, a.digest); /* TPM_ASYM_CA_CONTENTS */
	ck_assert_uint_eq(activate(&a, &w, &out), TPM_SUCCESS);
	ck_assert_uint_eq(out.len, sizeof(session_key));
	ck_assert_mem_eq(out.data, session_key, sizeof(session_key));
	w.len = 0;
	write_ek_blob(&w, &a, TPM_EK_TYPE_ACTIVATE, 0x1, 0x1f);
	ck_assert_uint_eq(activate(&a, &w, &out), TPM_SUCCESS);
	ck_assert_uint_eq(out.len, sizeof(session_key));
	ck_assert_mem_eq(out.data, session_key, sizeof(session_key));
	free_activation(&a);
}
END_TEST

START_TEST(activation_is_for_this_identity_only)
{
	struct activation a = identity_to_activate();
	uint8_t buf[256];
	struct writer w = writer_of(buf, sizeof(buf));
	struct blob out;

	a.digest[7] ^= 1;
	write_contents(&w, a.digest);
	ck_assert_uint_eq(activate(&a, &w, &out), TPM_BAD_PARAMETER);
	w.len = 0;
	write_ek_blob(&w, &a, TPM_EK_TYPE_ACTIVATE, 0, 0x1f);
	ck_assert_uint_eq(activate(&a, &w, &out), TPM_BAD_PARAMETER);
	free_activation(&a);
}
END_TEST

START_TEST(activation_waits_for_its_pcrs_and_locality)
{
	struct activation a = identity_to_activate();
	uint8_t buf[256], value[TPM_DIGEST_SIZE];
	struct writer w = writer_of(buf, sizeof(buf));
	struct blob out;

	write_ek_blob(&w, &a, TPM_EK_TYPE_ACTIVATE, 1u << 10, 1u << 3);
	ck_assert_uint_eq(activate(&a, &w, &out), TPM_BAD_LOCALITY);
	bench.locality = 3;
	ck_assert_uint_eq(activate(&a, &w, &out), TPM_SUCCESS);
	ck_assert_uint_eq(test_extend(a.tpm, 10, a.digest, value), TPM_SUCCESS);
	ck_assert_uint_eq(activate(&a, &w, &out), TPM_WRONGPCRVAL);
	free_activation(&a);
}
END_TEST

START_TEST(malformed_activations_are_refused)
{
	struct activation a = identity_to_activate();
	uint8_t buf[256];
	struct writer w = writer_of(buf, sizeof(buf));
	struct blob out;

	write_ek_blob(&w, &a, TPM_EK_TYPE_AUTH, 0, 0x1f);
	ck_assert_uint_eq(activate(&a, &w, &out), TPM_BAD_TYPE);
	w.len = 0;
	write_ek_blob(&w, &a, TPM_EK_TYPE_ACTIVATE, 0, 0x1f);
	size_t whole = w.len;
	for (w.len = 4; w.len < whole; w.len++)
		ck_assert_uint_eq(activate(&a, &w, &out), TPM_BAD_PARAM_SIZE);
	buf[9] = TPM_TAG_EK_BLOB_AUTH;
	ck_assert_uint_eq(activate(&a, &w, &out), TPM_INVALID_STRUCTURE);
	w.len = 0;
	write_contents(&w, a.digest);
	whole = w.len;
	for (w.len = 0; w.len < whole; w.len++)
		ck_assert_uint_eq(activate(&a, &w, &out), TPM_BAD_PARAM_SIZE);
	memset(buf, 'x', sizeof(buf));
	ck_assert_uint_eq(activate_blob(&a, a.identity, key_auth, owner_auth, buf, 256, &out),
			  TPM_DECRYPT_ERROR);
	ck_assert_uint_eq(activate_blob(&a, a.identity, key_auth, owner_auth, buf, 0, &out),
			  TPM_DECRYPT_ERROR);
	free_activation(&a);
}
END_TEST

START_TEST(activation_needs_the_owner_and_an_identity)
{
	struct activation a = identity_to_activate();
	uint32_t signer = test_make_key(a.tpm, &test_signing_key, NULL);
	uint8_t blob[256] = { 0 };
	struct blob out;

	ck_assert_uint_eq(activate_blob(&a, a.identity, key_auth, wrong_auth, blob, 256, &out),
			  TPM_AUTH2FAIL);
	ck_assert_uint_eq(activate_blob(&a, a.identity, wrong_auth, owner_auth, blob, 256, &out),
			  TPM_AUTHFAIL);
	ck_assert_uint_eq(activate_blob(&a, signer, key_auth, owner_auth, blob, 256, &out),
			  TPM_BAD_PARAMETER);
	ck_assert_uint_eq(activate_blob(&a, 0x1234, key_auth, owner_auth, blob, 256, &out),
			  TPM_INVALID_KEYHANDLE);
	free_activation(&a);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		identity_is_bound_to_the_label_of_its_ca,
		identity_must_be_like_one,
		identity_needs_the_owner_and_the_srk,
		neither_session_outlives_the_making_of_an_identity,
		identity_is_activated_by_blobs_of_both_versions,
		activation_is_for_this_identity_only,
		activation_waits_for_its_pcrs_and_locality,
		malformed_activations_are_refused,
		activation_needs_the_owner_and_an_identity,
		NULL,
	};

	return test_suite("identity", tests);
}
