#include "tests/unit/soft_key.h"
#include "tests/unit/support.h"

#include <openssl/rsa.h>

static const uint8_t digest[TPM_DIGEST_SIZE] = "twenty bytes exactly";
static const uint8_t nonce[TPM_DIGEST_SIZE] = "antiReplay, 20 bytes";
static const uint8_t new_auth[TPM_DIGEST_SIZE] = "the new AuthData ...";

/* TPM_STORED_DATA without PCRs, taken apart and put together. */
static void
enc_data_of_sealed(const struct blob *sealed, struct blob *enc_data)
{
	struct reader r = reader_of(sealed->data, sealed->len);

	reader_view(&r, 4);
	reader_sized(&r);
	struct reader enc = reader_sized(&r);
	ck_assert(reader_done(&r));
	enc_data->len = enc.left;
	reader_bytes(&enc, enc_data->data, enc_data->len);
}

static void
replace_sealed(struct blob *sealed, const struct blob *enc_data)
{
	struct writer w = writer_of(sealed->data, sizeof(sealed->data));

	writer_u32(&w, 0x01010000);
	writer_u32(&w, 0);
	writer_sized(&w, enc_data->data, enc_data->len);
	sealed->len = w.len;
}

static void
enc_data_blob(const struct blob *key, struct blob *enc_data)
{
	struct reader enc = enc_data_of_key(key);

	enc_data->len = enc.left;
	reader_bytes(&enc, enc_data->data, enc_data->len);
}

/* ---- TPM_ChangeAuth ---- */

/* What can be done wrong with it. */
struct change {
	uint32_t parent;
	const uint8_t *parent_auth, *old_auth;
	uint16_t protocol, type;
};
static const struct change key_change = { TPM_KH_SRK, srk_auth, key_auth, TPM_PID_ADCP,
					  TPM_ET_KEY };
static const struct change data_change = { TPM_KH_SRK, srk_auth, data_auth, TPM_PID_ADCP,
					   TPM_ET_DATA };

static TPM_RESULT
change_auth(struct tpm *tpm, const struct change *how, const struct blob *enc_data,
	    struct blob *changed)
{
	struct test_session parent, entity;
	struct call c;

	ck_assert_uint_eq(test_oiap(tpm, &entity, how->old_auth), TPM_SUCCESS);
	call_begin_osap(&c, &parent, tpm, TPM_ORD_ChangeAuth, how->parent, how->parent_auth);
	call_session(&c, &entity);
	writer_u16(&c.params, how->protocol);
	call_new_auth(&c, false, new_auth);
	writer_u16(&c.params, how->type);
	writer_sized(&c.params, enc_data->data, enc_data->len);
	return call_run_into(&c, changed);
}

START_TEST(authdata_of_a_key_changes)
{
	struct key_template migratable = test_signing_key;
	struct tpm *tpm = test_owned_tpm();

	migratable.flags = TPM_MIGRATABLE;
	for (int i = 0; i < 2; i++) {
		struct blob key, enc_data, signature;
		uint32_t handle;

		ck_assert_uint_eq(
		    test_create_key(tpm, i == 0 ? &test_signing_key : &migratable, &key),
		    TPM_SUCCESS);
		enc_data_blob(&key, &enc_data);
		ck_assert_uint_eq(change_auth(tpm, &key_change, &enc_data, &enc_data), TPM_SUCCESS);
		replace_enc_data(&key, &enc_data);
		ck_assert_uint_eq(test_load_key(tpm, &key, &handle), TPM_SUCCESS);
		ck_assert_uint_eq(test_sign(tpm, handle, new_auth, digest, 20, &signature),
				  TPM_SUCCESS);
		ck_assert_uint_eq(test_sign(tpm, handle, key_auth, digest, 20, &signature),
				  TPM_AUTHFAIL);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(authdata_of_sealed_data_changes)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob sealed, enc_data, data;

	ck_assert_uint_eq(test_seal(tpm, NULL, "secret", 6, &sealed), TPM_SUCCESS);
	enc_data_of_sealed(&sealed, &enc_data);
	ck_assert_uint_eq(change_auth(tpm, &data_change, &enc_data, &enc_data), TPM_SUCCESS);
	replace_sealed(&sealed, &enc_data);
	ck_assert_uint_eq(test_unseal(tpm, &sealed, data_auth, &data), TPM_AUTH2FAIL);
	ck_assert_uint_eq(test_unseal(tpm, &sealed, new_auth, &data), TPM_SUCCESS);
	ck_assert_mem_eq(data.data, "secret", 6);
	tpm_free(tpm);
}
END_TEST

START_TEST(authdata_changes_only_the_right_way)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob key, sealed, key_data, sealed_data, changed, noise = { .len = 256 };
	struct change how = key_change;

	ck_assert_uint_eq(test_create_key(tpm, &test_signing_key, &key), TPM_SUCCESS);
	ck_assert_uint_eq(test_seal(tpm, NULL, "secret", 6, &sealed), TPM_SUCCESS);
	enc_data_blob(&key, &key_data);
	enc_data_of_sealed(&sealed, &sealed_data);

	how.protocol = TPM_PID_ADIP;
	ck_assert_uint_eq(change_auth(tpm, &how, &key_data, &changed), TPM_BAD_PARAMETER);
	how = key_change;
	how.old_auth = wrong_auth;
	ck_assert_uint_eq(change_auth(tpm, &how, &key_data, &changed), TPM_AUTH2FAIL);
	how = key_change;
	how.parent_auth = wrong_auth;
	ck_assert_uint_eq(change_auth(tpm, &how, &key_data, &changed), TPM_AUTHFAIL);
	how = key_change;
	how.type = TPM_ET_OWNER;
	ck_assert_uint_eq(change_auth(tpm, &how, &key_data, &changed), TPM_WRONG_ENTITYTYPE);
	how = key_change;
	how.parent = test_make_key(tpm, &test_bind_key, NULL);
	how.parent_auth = key_auth;
	ck_assert_uint_eq(change_auth(tpm, &how, &key_data, &changed), TPM_INVALID_KEYUSAGE);
	ck_assert_uint_eq(change_auth(tpm, &data_change, &key_data, &changed),
			  TPM_INVALID_STRUCTURE);
	ck_assert_uint_eq(change_auth(tpm, &key_change, &sealed_data, &changed),
			  TPM_INVALID_STRUCTURE);
	memset(noise.data, 1, noise.len);
	ck_assert_uint_eq(change_auth(tpm, &key_change, &noise, &changed), TPM_DECRYPT_ERROR);
	ck_assert_uint_eq(change_auth(tpm, &key_change, &key_data, &changed), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(what_changes_is_a_key_or_sealed_data_to_the_last_byte)
{
	enum { SIZE_AT = 1 + 3 * TPM_DIGEST_SIZE };
	static const struct {
		const struct change *how;
		uint8_t payload, size, len; /* of the sized part, and how much of it there is */
		TPM_RESULT rc;
	} cases[] = {
		{ &key_change, TPM_PT_ASYM, 32, 32, TPM_SUCCESS },
		{ &key_change, TPM_PT_MIGRATE_RESTRICTED, 32, 32, TPM_SUCCESS },
		{ &key_change, TPM_PT_MIGRATE_EXTERNAL, 32, 32, TPM_SUCCESS },
		{ &key_change, TPM_PT_ASYM, 32, 31, TPM_INVALID_STRUCTURE },
		{ &key_change, TPM_PT_ASYM, 32, 33, TPM_INVALID_STRUCTURE },
		{ &key_change, TPM_PT_BIND, 32, 32, TPM_INVALID_STRUCTURE },
		{ &key_change, TPM_PT_MIGRATE, 32, 32, TPM_INVALID_STRUCTURE },
		{ &key_change, TPM_PT_CMK_MIGRATE, 32, 32, TPM_INVALID_STRUCTURE },
		{ &data_change, TPM_PT_SEAL, 32, 32, TPM_SUCCESS },
		{ &data_change, TPM_PT_SEAL, 32, 31, TPM_INVALID_STRUCTURE },
		{ &data_change, TPM_PT_SEAL, 32, 33, TPM_INVALID_STRUCTURE },
	};
	struct tpm *tpm = test_owned_tpm();
	EVP_PKEY *srk = test_srk_public(tpm);

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint8_t plain[SIZE_AT + 4 + 64] = { cases[i].payload };
		struct blob enc_data = { .len = 256 }, changed;

		memcpy(plain + 1, cases[i].how->old_auth, TPM_DIGEST_SIZE);
		plain[SIZE_AT + 3] = cases[i].size;
		ck_assert_int_eq(reference_rsa(srk, REFERENCE_ENCRYPT, RSA_PKCS1_OAEP_PADDING,
					       enc_data.data, plain, SIZE_AT + 4u + cases[i].len),
				 256);
		ck_assert_uint_eq(change_auth(tpm, cases[i].how, &enc_data, &changed), cases[i].rc);
	}
	EVP_PKEY_free(srk);
	tpm_free(tpm);
}
END_TEST

START_TEST(new_authdata_needs_a_session_that_hides_it)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session parent, entity;
	struct blob key, enc_data;
	struct call c;

	ck_assert_uint_eq(test_create_key(tpm, &test_signing_key, &key), TPM_SUCCESS);
	enc_data_blob(&key, &enc_data);
	for (int sessions = 2; sessions >= 1; sessions--) {
		ck_assert_uint_eq(test_oiap(tpm, &parent, srk_auth), TPM_SUCCESS);
		ck_assert_uint_eq(test_oiap(tpm, &entity, key_auth), TPM_SUCCESS);
		call_begin(&c, tpm, TPM_ORD_ChangeAuth);
		call_handle(&c, TPM_KH_SRK);
		writer_u16(&c.params, TPM_PID_ADCP);
		writer_bytes(&c.params, new_auth, TPM_DIGEST_SIZE);
		writer_u16(&c.params, TPM_ET_KEY);
		writer_sized(&c.params, enc_data.data, enc_data.len);
		if (sessions == 2)
			call_session(&c, &parent);
		call_session(&c, &entity);
		ck_assert_uint_ne(call_run(&c), TPM_SUCCESS);
	}
	tpm_free(tpm);
}
END_TEST

/* ---- TPM_ChangeAuthOwner ---- */

static TPM_RESULT
change_auth_owner(struct tpm *tpm, const uint8_t *owner, uint16_t protocol, uint16_t type)
{
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(test_osap(tpm, &s, TPM_ET_OWNER, TPM_KH_OWNER, owner), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_ChangeAuthOwner);
	call_session(&c, &s);
	writer_u16(&c.params, protocol);
	call_new_auth(&c, false, new_auth);
	writer_u16(&c.params, type);
	return call_run(&c);
}

START_TEST(the_owners_authdata_changes)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session osap, oiap;

	ck_assert_uint_eq(test_osap(tpm, &osap, TPM_ET_OWNER, TPM_KH_OWNER, owner_auth),
			  TPM_SUCCESS);
	ck_assert_uint_eq(test_oiap(tpm, &oiap, owner_auth), TPM_SUCCESS);
	ck_assert_uint_eq(change_auth_owner(tpm, owner_auth, TPM_PID_ADCP, TPM_ET_OWNER),
			  TPM_SUCCESS);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	/* with it goes what was agreed on by the old one */
	ck_assert_uint_eq(test_flush(tpm, osap.handle, TPM_RT_AUTH), TPM_INVALID_AUTHHANDLE);
	ck_assert_uint_eq(test_flush(tpm, oiap.handle, TPM_RT_AUTH), TPM_SUCCESS);
	test_reboot(tpm);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_OwnerReadPubek, owner_auth), TPM_AUTHFAIL);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_OwnerReadPubek, new_auth), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_srks_authdata_changes)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session osap, owner;
	struct blob sealed, key;
	uint32_t handle;

	ck_assert_uint_eq(test_create_key(tpm, &test_bind_key, &key), TPM_SUCCESS);
	test_osap_key(tpm, &osap, TPM_KH_SRK, srk_auth);
	ck_assert_uint_eq(test_osap(tpm, &owner, TPM_ET_OWNER, TPM_KH_OWNER, owner_auth),
			  TPM_SUCCESS);
	ck_assert_uint_eq(change_auth_owner(tpm, owner_auth, TPM_PID_ADCP, TPM_ET_SRK),
			  TPM_SUCCESS);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	ck_assert_uint_eq(test_flush(tpm, osap.handle, TPM_RT_AUTH), TPM_INVALID_AUTHHANDLE);
	ck_assert_uint_eq(test_flush(tpm, owner.handle, TPM_RT_AUTH), TPM_INVALID_AUTHHANDLE);
	ck_assert_uint_eq(test_seal(tpm, NULL, "x", 1, &sealed), TPM_AUTHFAIL);
	ck_assert_uint_eq(test_load_key_under(tpm, TPM_KH_SRK, new_auth, &key, &handle),
			  TPM_SUCCESS); /* it is the same key */
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_OwnerReadPubek, owner_auth), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(only_the_owner_changes_them)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(change_auth_owner(tpm, wrong_auth, TPM_PID_ADCP, TPM_ET_OWNER),
			  TPM_AUTHFAIL);
	ck_assert_uint_eq(change_auth_owner(tpm, owner_auth, TPM_PID_OIAP, TPM_ET_OWNER),
			  TPM_BAD_PARAMETER);
	ck_assert_uint_eq(change_auth_owner(tpm, owner_auth, TPM_PID_ADCP, TPM_ET_KEY),
			  TPM_WRONG_ENTITYTYPE);
	ck_assert_uint_eq(test_oiap(tpm, &s, owner_auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_ChangeAuthOwner);
	call_session(&c, &s);
	writer_u16(&c.params, TPM_PID_ADCP);
	writer_bytes(&c.params, new_auth, TPM_DIGEST_SIZE);
	writer_u16(&c.params, TPM_ET_OWNER);
	ck_assert_uint_ne(call_run(&c), TPM_SUCCESS);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_OwnerReadPubek, owner_auth), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

/* ---- TPM_ChangeAuthAsymStart, _Finish: the old AuthData's keeper cannot learn the new one ---- */

/* The key that the TPM makes for one change, certified by an identity. */
struct ephemeral {
	uint32_t handle;
	EVP_PKEY *public;
};

static void
write_ephemeral_parms(struct writer *w, uint32_t bits)
{
	writer_u32(w, TPM_ALG_RSA);
	writer_u16(w, TPM_ES_RSAESOAEP_SHA1_MGF1);
	writer_u16(w, TPM_SS_NONE);
	writer_u32(w, 12);
	writer_u32(w, bits);
	writer_u32(w, 2);
	writer_u32(w, 0);
}

/* Behind certifyInfo and its signature, which are the identity's, come the handle and the key. */
static void
read_ephemeral(struct reader *r, const struct blob *identity, struct ephemeral *e)
{
	EVP_PKEY *public = test_key_public(identity);
	uint8_t signed_digest[TPM_DIGEST_SIZE], modulus[TPM_DIGEST_SIZE];
	const uint8_t *info = r->pos;

	ck_assert_uint_eq(reader_u32(r), 0x01010000);
	ck_assert_uint_eq(reader_u16(r), TPM_KEY_AUTHCHANGE);
	ck_assert_uint_eq(reader_u32(r), TPM_VOLATILE);
	ck_assert_uint_eq(reader_u8(r), TPM_AUTH_NEVER);
	reader_view(r, 4 + 2 + 2);
	reader_sized(r);
	const uint8_t *pubkey_digest = reader_view(r, TPM_DIGEST_SIZE);
	ck_assert_mem_eq(reader_view(r, TPM_DIGEST_SIZE), nonce, sizeof(nonce));
	ck_assert_uint_eq(reader_u8(r), 0);  /* parentPCRStatus: it has no parent */
	ck_assert_uint_eq(reader_u32(r), 0); /* PCRInfo */
	reference_sha1(signed_digest, info, (size_t)(r->pos - info));
	struct reader sig = reader_sized(r);
	ck_assert(!r->failed);
	ck_assert(reference_verify_sha1(public, sig.pos, sig.left, signed_digest));
	EVP_PKEY_free(public);

	e->handle = reader_u32(r);
	struct blob key = { .len = r->left };
	reader_bytes(r, key.data, key.len);
	e->public = test_key_public(&key);
	struct reader n = reader_of(key.data, key.len);
	reader_view(&n, 4 + 2 + 4 + 1 + 4 + 2 + 2);
	reader_sized(&n);
	reader_sized(&n);
	n = reader_sized(&n);
	reference_sha1(modulus, n.pos, n.left);
	ck_assert_mem_eq(pubkey_digest, modulus, sizeof(modulus));
}

/* A loaded identity key. */
static uint32_t
make_identity(struct tpm *tpm, struct blob *key)
{
	struct blob binding;
	uint32_t handle;

	ck_assert_uint_eq(test_make_identity(tpm, &test_identity_key, TPM_ET_XOR, srk_auth,
					     owner_auth, key, &binding),
			  TPM_SUCCESS);
	ck_assert_uint_eq(test_load_key(tpm, key, &handle), TPM_SUCCESS);
	return handle;
}

static TPM_RESULT
asym_start(struct tpm *tpm, uint32_t identity, const struct blob *identity_key, uint32_t bits,
	   struct ephemeral *e)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_ChangeAuthAsymStart, key_auth);
	call_handle(&c, identity);
	writer_bytes(&c.params, nonce, sizeof(nonce));
	write_ephemeral_parms(&c.params, bits);
	TPM_RESULT rc = call_run(&c);
	if (rc == TPM_SUCCESS)
		read_ephemeral(&c.out, identity_key, e);
	return rc;
}

/* Changes from old_auth to new_auth; the proof in the response must be right. */
static TPM_RESULT
asym_finish(struct tpm *tpm, const struct ephemeral *e, uint16_t type, const uint8_t *old_auth,
	    const struct blob *enc_data, struct blob *changed)
{
	uint8_t validate[2 * TPM_DIGEST_SIZE], encrypted[256], link[TPM_DIGEST_SIZE];
	uint8_t salted[2 * TPM_DIGEST_SIZE], proof[TPM_DIGEST_SIZE];
	struct test_session s;
	struct call c;

	memcpy(validate, new_auth, TPM_DIGEST_SIZE);
	memcpy(validate + TPM_DIGEST_SIZE, nonce, TPM_DIGEST_SIZE); /* n1 */
	int len = reference_rsa(e->public, REFERENCE_ENCRYPT, RSA_PKCS1_OAEP_PADDING, encrypted,
				validate, sizeof(validate));
	ck_assert_int_gt(len, 0);
	reference_hmac(link, old_auth, TPM_DIGEST_SIZE, new_auth, TPM_DIGEST_SIZE);

	call_begin_oiap(&c, &s, tpm, TPM_ORD_ChangeAuthAsymFinish, srk_auth);
	call_handle(&c, TPM_KH_SRK);
	call_handle(&c, e->handle);
	writer_u16(&c.params, type);
	writer_bytes(&c.params, link, sizeof(link));
	writer_sized(&c.params, encrypted, (size_t)len);
	writer_sized(&c.params, enc_data->data, enc_data->len);
	TPM_RESULT rc = call_run_into(&c, changed);
	if (rc)
		return rc;
	reader_bytes(&c.out, salted, TPM_DIGEST_SIZE); /* saltNonce */
	memcpy(salted + TPM_DIGEST_SIZE, nonce, TPM_DIGEST_SIZE);
	reference_hmac(proof, new_auth, TPM_DIGEST_SIZE, salted, sizeof(salted));
	ck_assert_mem_eq(reader_view(&c.out, TPM_DIGEST_SIZE), proof, sizeof(proof));
	ck_assert(reader_done(&c.out));
	return rc;
}

START_TEST(authdata_changes_behind_the_parents_back)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob identity_key, sealed, enc_data, data;
	uint32_t identity = make_identity(tpm, &identity_key);
	struct ephemeral e;

	ck_assert_uint_eq(test_seal(tpm, NULL, "secret", 6, &sealed), TPM_SUCCESS);
	enc_data_of_sealed(&sealed, &enc_data);
	ck_assert_uint_eq(asym_start(tpm, identity, &identity_key, 1024, &e), TPM_SUCCESS);
	ck_assert_uint_eq(asym_finish(tpm, &e, TPM_ET_DATA, data_auth, &enc_data, &enc_data),
			  TPM_SUCCESS);
	replace_sealed(&sealed, &enc_data);
	ck_assert_uint_eq(test_unseal(tpm, &sealed, new_auth, &data), TPM_SUCCESS);
	ck_assert_uint_eq(test_unseal(tpm, &sealed, data_auth, &data), TPM_AUTH2FAIL);

	/* the key was for one change */
	ck_assert_uint_eq(asym_finish(tpm, &e, TPM_ET_DATA, data_auth, &enc_data, &enc_data),
			  TPM_INVALID_KEYHANDLE);
	EVP_PKEY_free(e.public);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_key_changes_its_authdata_asymmetrically)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob identity_key, key, enc_data, signature;
	uint32_t identity = make_identity(tpm, &identity_key), handle;
	struct ephemeral e;

	ck_assert_uint_eq(test_create_key(tpm, &test_signing_key, &key), TPM_SUCCESS);
	enc_data_blob(&key, &enc_data);
	ck_assert_uint_eq(asym_start(tpm, identity, &identity_key, 1024, &e), TPM_SUCCESS);
	ck_assert_uint_eq(asym_finish(tpm, &e, TPM_ET_KEY, wrong_auth, &enc_data, &enc_data),
			  TPM_AUTHFAIL);
	ck_assert_uint_eq(asym_finish(tpm, &e, TPM_ET_OWNER, key_auth, &enc_data, &enc_data),
			  TPM_WRONG_ENTITYTYPE);
	ck_assert_uint_eq(asym_finish(tpm, &e, TPM_ET_KEY, key_auth, &enc_data, &enc_data),
			  TPM_SUCCESS);
	replace_enc_data(&key, &enc_data);
	ck_assert_uint_eq(test_load_key(tpm, &key, &handle), TPM_SUCCESS);
	ck_assert_uint_eq(test_sign(tpm, handle, new_auth, digest, 20, &signature), TPM_SUCCESS);
	EVP_PKEY_free(e.public);
	tpm_free(tpm);
}
END_TEST

START_TEST(guesses_at_the_old_authdata_are_counted)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob identity_key, key, enc_data;
	uint32_t identity = make_identity(tpm, &identity_key);
	struct ephemeral e;
	TPM_RESULT rc = TPM_AUTHFAIL;

	ck_assert_uint_eq(test_create_key(tpm, &test_signing_key, &key), TPM_SUCCESS);
	enc_data_blob(&key, &enc_data);
	ck_assert_uint_eq(asym_start(tpm, identity, &identity_key, 1024, &e), TPM_SUCCESS);
	for (int i = 0; i < 10 && rc == TPM_AUTHFAIL; i++)
		rc = asym_finish(tpm, &e, TPM_ET_KEY, wrong_auth, &enc_data, &enc_data);
	ck_assert_uint_eq(rc, TPM_DEFEND_LOCK_RUNNING);
	EVP_PKEY_free(e.public);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_ephemeral_key_is_one)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob identity_key, sealed, enc_data, bind_key;
	uint32_t identity = make_identity(tpm, &identity_key);
	uint32_t signing = test_make_key(tpm, &test_signing_key, NULL);
	struct ephemeral e, no_ephemeral;

	ck_assert_uint_eq(asym_start(tpm, signing, &identity_key, 1024, &e), TPM_INVALID_KEYUSAGE);
	ck_assert_uint_eq(asym_start(tpm, identity, &identity_key, 256, &e), TPM_BAD_KEY_PROPERTY);

	ck_assert_uint_eq(test_seal(tpm, NULL, "secret", 6, &sealed), TPM_SUCCESS);
	enc_data_of_sealed(&sealed, &enc_data);
	no_ephemeral.handle = test_make_key(tpm, &test_bind_key, &bind_key);
	no_ephemeral.public = test_key_public(&bind_key);
	ck_assert_uint_eq(
	    asym_finish(tpm, &no_ephemeral, TPM_ET_DATA, data_auth, &enc_data, &enc_data),
	    TPM_INVALID_KEYUSAGE);
	EVP_PKEY_free(no_ephemeral.public);
	tpm_free(tpm);
}
END_TEST

/* Unlike the polls that every command of every test is cancelled at, those late in a generation. */
START_TEST(an_ephemeral_key_is_given_up_at_any_moment)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob key;
	uint32_t identity = make_identity(tpm, &key);
	uint32_t most = test_get_capability_u32(tpm, TPM_CAP_PROPERTY, TPM_CAP_PROP_KEYS);
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_ChangeAuthAsymStart, key_auth);
	call_handle(&c, identity);
	writer_bytes(&c.params, nonce, sizeof(nonce));
	write_ephemeral_parms(&c.params, 512);
	bench.cancel_after = 1;
	for (unsigned poll = 2; call_run(&c) != TPM_SUCCESS; poll++) {
		ck_assert_uint_eq(bench.changed, 0);
		ck_assert_uint_eq(test_get_capability_u32(tpm, TPM_CAP_PROPERTY, TPM_CAP_PROP_KEYS),
				  most);
		bench.cancel_after = poll;
	}
	ck_assert_uint_eq(test_get_capability_u32(tpm, TPM_CAP_PROPERTY, TPM_CAP_PROP_KEYS),
			  most - 1);
	tpm_free(tpm);
}
END_TEST

START_TEST(ephemeral_keys_take_slots_and_give_them_back)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t most = test_get_capability_u32(tpm, TPM_CAP_PROPERTY, TPM_CAP_PROP_MAX_KEYS);
	struct blob identity_key;
	uint32_t identity = make_identity(tpm, &identity_key);
	struct ephemeral e = { 0 };

	for (uint32_t i = 1; i < most; i++) {
		EVP_PKEY_free(e.public);
		ck_assert_uint_eq(asym_start(tpm, identity, &identity_key, 512, &e), TPM_SUCCESS);
	}
	EVP_PKEY_free(e.public);
	ck_assert_uint_eq(asym_start(tpm, identity, &identity_key, 512, &e), TPM_NOSPACE);
	ck_assert_uint_eq(test_flush(tpm, e.handle, TPM_RT_KEY), TPM_SUCCESS);
	ck_assert_uint_eq(asym_start(tpm, identity, &identity_key, 512, &e), TPM_SUCCESS);
	EVP_PKEY_free(e.public);
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		authdata_of_a_key_changes,
		authdata_of_sealed_data_changes,
		authdata_changes_only_the_right_way,
		what_changes_is_a_key_or_sealed_data_to_the_last_byte,
		new_authdata_needs_a_session_that_hides_it,
		the_owners_authdata_changes,
		the_srks_authdata_changes,
		only_the_owner_changes_them,
		authdata_changes_behind_the_parents_back,
		a_key_changes_its_authdata_asymmetrically,
		guesses_at_the_old_authdata_are_counted,
		the_ephemeral_key_is_one,
		an_ephemeral_key_is_given_up_at_any_moment,
		ephemeral_keys_take_slots_and_give_them_back,
		NULL,
	};

	return test_suite("changeauth", tests);
}
