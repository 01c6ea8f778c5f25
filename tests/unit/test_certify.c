#include "tests/unit/support.h"

static const uint8_t digest[TPM_DIGEST_SIZE] = "twenty bytes exactly";
static const uint8_t nonce[TPM_DIGEST_SIZE] = "antiReplay, 20 bytes";

/* A key on the bench. */
struct certified {
	uint32_t handle;
	const uint8_t *auth; /* NULL: it needs none */
	struct blob key;
};

static struct certified
make_certified(struct tpm *tpm, const struct key_template *t)
{
	struct certified k = { .auth = t->authDataUsage == TPM_AUTH_NEVER ? NULL : key_auth };

	k.handle = test_make_key(tpm, t, &k.key);
	return k;
}

/* TPM_CertifyKey or TPM_CertifyKey2 of key by cert. */
static TPM_RESULT
certify(struct tpm *tpm, uint32_t ordinal, const struct certified *cert,
	const struct certified *key, struct blob *info, struct blob *signature)
{
	const struct certified *first = ordinal == TPM_ORD_CertifyKey ? cert : key;
	const struct certified *second = ordinal == TPM_ORD_CertifyKey ? key : cert;
	struct test_session s[2];
	struct call c;

	/* A single session speaks for the second key; what it needs not may still be shown. */
	call_begin_oiap(&c, &s[0], tpm, ordinal, first->auth);
	if (second->auth || first->auth) {
		ck_assert_uint_eq(test_oiap(tpm, &s[1], second->auth ? second->auth : key_auth),
				  TPM_SUCCESS);
		call_session(&c, &s[1]);
	}
	call_handle(&c, first->handle);
	call_handle(&c, second->handle);
	if (ordinal == TPM_ORD_CertifyKey2)
		writer_bytes(&c.params, digest, sizeof(digest)); /* migrationPubDigest */
	writer_bytes(&c.params, nonce, sizeof(nonce));
	TPM_RESULT rc = call_run_all(&c, info);
	if (rc)
		return rc;

	/* the signature lies at the end and is as long as the certifying key */
	EVP_PKEY *public = test_key_public(&cert->key);
	signature->len = (size_t)EVP_PKEY_get_size(public);
	EVP_PKEY_free(public);
	ck_assert_uint_gt(info->len, signature->len + 4);
	info->len -= signature->len + 4;
	memcpy(signature->data, info->data + info->len + 4, signature->len);
	return rc;
}

/* What TPM_CERTIFY_INFO and TPM_CERTIFY_INFO2 tell of a TPM_KEY, up to its PCRs. */
static void
write_certify_common(struct writer *w, const struct blob *key, bool parentPCRStatus)
{
	struct reader r = reader_of(key->data, key->len), look;
	uint8_t modulus[TPM_DIGEST_SIZE];

	reader_view(&r, 4); /* version or tag */
	look = r;
	reader_view(&look, 2 + 4 + 1 + 4 + 2 + 2); /* from keyUsage to the schemes */
	reader_sized(&look);
	size_t len = r.left - look.left;
	writer_bytes(w, reader_view(&r, len), len);
	reader_sized(&r); /* PCRInfo */
	struct reader n = reader_sized(&r);
	reference_sha1(modulus, n.pos, n.left);
	writer_bytes(w, modulus, sizeof(modulus));
	writer_bytes(w, nonce, sizeof(nonce));
	writer_u8(w, parentPCRStatus);
}

static void
expect_certify_info(struct blob *expected, const struct blob *key, bool parentPCRStatus,
		    const struct blob *pcr_info)
{
	struct writer w = writer_of(expected->data, sizeof(expected->data));

	writer_u32(&w, 0x01010000);
	write_certify_common(&w, key, parentPCRStatus);
	writer_sized(&w, pcr_info->data, pcr_info->len);
	expected->len = w.len;
}

/* authority: of a certified migration key; NULL for any other. */
static void
expect_certify_info2(struct blob *expected, const struct blob *key, bool parentPCRStatus,
		     const struct blob *pcr_info_short, const uint8_t *authority)
{
	struct writer w = writer_of(expected->data, sizeof(expected->data));

	writer_u16(&w, TPM_TAG_CERTIFY_INFO2);
	writer_u8(&w, 0);
	writer_u8(&w, authority ? TPM_PT_MIGRATE_RESTRICTED : TPM_PT_ASYM);
	write_certify_common(&w, key, parentPCRStatus);
	writer_sized(&w, pcr_info_short->data, pcr_info_short->len);
	writer_sized(&w, authority, authority ? TPM_DIGEST_SIZE : 0);
	expected->len = w.len;
}

static void
assert_certified(const struct certified *cert, const struct blob *info, const struct blob *expected,
		 const struct blob *signature)
{
	EVP_PKEY *public = test_key_public(&cert->key);
	uint8_t signed_digest[TPM_DIGEST_SIZE];

	ck_assert_uint_eq(info->len, expected->len);
	ck_assert_mem_eq(info->data, expected->data, expected->len);
	reference_sha1(signed_digest, info->data, info->len);
	ck_assert(reference_verify_sha1(public, signature->data, signature->len, signed_digest));
	EVP_PKEY_free(public);
}

static const struct blob no_pcrs;

START_TEST(a_key_certifies_another_whoever_of_them_needs_authdata)
{
	struct key_template open = test_signing_key, open_bind = test_bind_key;
	struct blob info, signature, expected;
	struct tpm *tpm = test_owned_tpm();
	struct certified certs[2], keys[2];

	open.authDataUsage = open_bind.authDataUsage = TPM_AUTH_NEVER;
	certs[0] = make_certified(tpm, &test_signing_key);
	certs[1] = make_certified(tpm, &open);
	keys[0] = make_certified(tpm, &test_bind_key);
	keys[1] = make_certified(tpm, &open_bind);
	for (size_t i = 0; i < 4; i++) {
		const struct certified *cert = &certs[i / 2], *key = &keys[i % 2];

		ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey, cert, key, &info, &signature),
				  TPM_SUCCESS);
		expect_certify_info(&expected, &key->key, false, &no_pcrs);
		assert_certified(cert, &info, &expected, &signature);
		ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey2, cert, key, &info, &signature),
				  TPM_SUCCESS);
		expect_certify_info2(&expected, &key->key, false, &no_pcrs, NULL);
		assert_certified(cert, &info, &expected, &signature);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(a_key_whose_public_half_is_free_is_certified_without_its_authdata)
{
	struct key_template open = test_signing_key, public_free = test_bind_key;
	struct blob info, signature;
	struct tpm *tpm = test_owned_tpm();

	open.authDataUsage = TPM_AUTH_NEVER;
	public_free.authDataUsage = TPM_AUTH_PRIV_USE_ONLY;
	struct certified cert = make_certified(tpm, &open), key = make_certified(tpm, &public_free);
	key.auth = NULL;
	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey, &cert, &key, &info, &signature),
			  TPM_SUCCESS);
	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey2, &cert, &key, &info, &signature),
			  TPM_SUCCESS);

	/* but no key certifies like that */
	open.authDataUsage = TPM_AUTH_PRIV_USE_ONLY;
	cert = make_certified(tpm, &open);
	cert.auth = NULL;
	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey, &cert, &key, &info, &signature),
			  TPM_AUTHFAIL);
	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey2, &cert, &key, &info, &signature),
			  TPM_AUTHFAIL);
	tpm_free(tpm);
}
END_TEST

START_TEST(without_the_right_authdata_nothing_is_certified)
{
	struct tpm *tpm = test_owned_tpm();
	struct certified cert = make_certified(tpm, &test_signing_key), wrong_cert = cert;
	struct certified key = make_certified(tpm, &test_bind_key), wrong_key = key;
	struct blob info, signature;

	wrong_cert.auth = wrong_key.auth = wrong_auth;
	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey, &wrong_cert, &key, &info, &signature),
			  TPM_AUTHFAIL);
	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey, &cert, &wrong_key, &info, &signature),
			  TPM_AUTH2FAIL);
	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey2, &cert, &wrong_key, &info, &signature),
			  TPM_AUTHFAIL);
	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey2, &wrong_cert, &key, &info, &signature),
			  TPM_AUTH2FAIL);
	cert.auth = NULL;
	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey, &cert, &key, &info, &signature),
			  TPM_AUTHFAIL);
	key.auth = NULL;
	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey, &cert, &key, &info, &signature),
			  TPM_AUTHFAIL);
	tpm_free(tpm);
}
END_TEST

/* TPM_PCR_INFO of the certified key as TPM_CERTIFY_INFO shows it: digestAtCreation is zeros. */
START_TEST(a_certificate_tells_the_registers_that_a_key_is_bound_to)
{
	struct key_template bound = test_bind_key;
	struct blob pcr_info, shown, info, signature, expected;
	struct tpm *tpm = test_owned_tpm();
	struct certified cert = make_certified(tpm, &test_signing_key);

	test_pcr_info(tpm, 0x0101, &pcr_info);
	bound.pcr_info = &pcr_info;
	struct certified key = make_certified(tpm, &bound);
	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey, &cert, &key, &info, &signature),
			  TPM_SUCCESS);
	shown = pcr_info;
	memset(shown.data + 5 + TPM_DIGEST_SIZE, 0, TPM_DIGEST_SIZE);
	expect_certify_info(&expected, &key.key, false, &shown);
	assert_certified(&cert, &info, &expected, &signature);

	/* TPM_PCR_INFO_SHORT: selection, localities, digestAtRelease */
	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey2, &cert, &key, &info, &signature),
			  TPM_SUCCESS);
	shown.len = 5 + 1 + TPM_DIGEST_SIZE;
	shown.data[5] = 0x1f;
	memcpy(shown.data + 6, pcr_info.data + 5, TPM_DIGEST_SIZE);
	expect_certify_info2(&expected, &key.key, false, &shown, NULL);
	assert_certified(&cert, &info, &expected, &signature);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_key_bound_to_localities_is_certified_by_the_longer_structure)
{
	struct key_template bound = test_bind_key;
	struct blob pcr_info, shown, info, signature, expected;
	struct tpm *tpm = test_owned_tpm();
	struct certified cert = make_certified(tpm, &test_signing_key);

	test_pcr_info_long(tpm, 0, 0x810001, TPM_LOC_ZERO | TPM_LOC_THREE, &pcr_info);
	bound.pcr_info = &pcr_info;
	bound.key12 = true;
	struct certified key = make_certified(tpm, &bound);
	struct writer w = writer_of(shown.data, sizeof(shown.data));
	write_pcr_selection(&w, 0x810001);
	writer_u8(&w, TPM_LOC_ZERO | TPM_LOC_THREE);
	writer_bytes(&w, pcr_info.data + pcr_info.len - TPM_DIGEST_SIZE, TPM_DIGEST_SIZE);
	shown.len = w.len;
	expect_certify_info2(&expected, &key.key, false, &shown, NULL);
	for (int i = 0; i < 2; i++) {
		uint32_t ordinal = i == 0 ? TPM_ORD_CertifyKey : TPM_ORD_CertifyKey2;

		ck_assert_uint_eq(certify(tpm, ordinal, &cert, &key, &info, &signature),
				  TPM_SUCCESS);
		assert_certified(&cert, &info, &expected, &signature);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(a_key_bound_to_the_upper_registers_is_certified_by_the_longer_structure)
{
	struct key_template bound = test_bind_key;
	struct blob pcr_info, shown, info, signature, expected;
	struct tpm *tpm = test_owned_tpm();
	struct certified cert = make_certified(tpm, &test_signing_key);

	test_pcr_info(tpm, 1 << 16, &pcr_info);
	bound.pcr_info = &pcr_info;
	struct certified key = make_certified(tpm, &bound);
	struct writer w = writer_of(shown.data, sizeof(shown.data));
	write_pcr_selection(&w, 1 << 16);
	writer_u8(&w, TPM_LOC_ALL);
	writer_bytes(&w, pcr_info.data + 5, TPM_DIGEST_SIZE);
	shown.len = w.len;
	expect_certify_info2(&expected, &key.key, false, &shown, NULL);
	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey, &cert, &key, &info, &signature),
			  TPM_SUCCESS);
	assert_certified(&cert, &info, &expected, &signature);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_certificate_tells_that_the_parent_is_bound)
{
	struct key_template bound = test_storage_key;
	struct blob pcr_info, info, signature, expected;
	struct tpm *tpm = test_owned_tpm();
	struct certified cert = make_certified(tpm, &test_signing_key);
	struct certified key = { .auth = key_auth };

	test_pcr_info(tpm, 1, &pcr_info);
	bound.pcr_info = &pcr_info;
	uint32_t parent = test_make_key(tpm, &bound, NULL);
	ck_assert_uint_eq(test_create_key_under(tpm, parent, key_auth, &test_bind_key, &key.key),
			  TPM_SUCCESS);
	ck_assert_uint_eq(test_load_key_under(tpm, parent, key_auth, &key.key, &key.handle),
			  TPM_SUCCESS);
	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey, &cert, &key, &info, &signature),
			  TPM_SUCCESS);
	expect_certify_info(&expected, &key.key, true, &no_pcrs);
	assert_certified(&cert, &info, &expected, &signature);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_bound_key_is_certified_while_its_registers_are_right)
{
	struct key_template bound = test_bind_key, readable = test_bind_key;
	struct key_template bound_cert = test_signing_key;
	struct blob pcr_info, info, signature;
	struct tpm *tpm = test_owned_tpm();
	struct certified cert, unbound = make_certified(tpm, &test_signing_key);
	uint8_t value[TPM_DIGEST_SIZE];

	test_pcr_info(tpm, 0x0100, &pcr_info);
	bound.pcr_info = readable.pcr_info = bound_cert.pcr_info = &pcr_info;
	readable.flags = TPM_PCRIGNOREDONREAD;
	struct certified key = make_certified(tpm, &bound);
	struct certified always = make_certified(tpm, &readable);
	cert = make_certified(tpm, &bound_cert);
	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey, &cert, &key, &info, &signature),
			  TPM_SUCCESS);
	ck_assert_uint_eq(test_extend(tpm, 8, digest, value), TPM_SUCCESS);
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t ordinal = i == 0 ? TPM_ORD_CertifyKey : TPM_ORD_CertifyKey2;

		ck_assert_uint_eq(certify(tpm, ordinal, &cert, &always, &info, &signature),
				  TPM_WRONGPCRVAL);
		ck_assert_uint_eq(certify(tpm, ordinal, &unbound, &key, &info, &signature),
				  TPM_WRONGPCRVAL);
		ck_assert_uint_eq(certify(tpm, ordinal, &unbound, &always, &info, &signature),
				  TPM_SUCCESS);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(only_keys_that_sign_certify)
{
	struct key_template der = test_signing_key, legacy_key = test_signing_key;
	struct tpm *tpm = test_owned_tpm();
	struct certified key = make_certified(tpm, &test_bind_key);
	struct certified bind = make_certified(tpm, &test_bind_key);
	struct certified wrong_scheme, legacy;
	struct blob info, signature;

	der.sigScheme = TPM_SS_RSASSAPKCS1v15_DER;
	legacy_key.usage = TPM_KEY_LEGACY;
	legacy_key.encScheme = TPM_ES_RSAESPKCSv15;
	wrong_scheme = make_certified(tpm, &der);
	legacy = make_certified(tpm, &legacy_key);

	for (uint32_t i = 0; i < 2; i++) {
		uint32_t ordinal = i == 0 ? TPM_ORD_CertifyKey : TPM_ORD_CertifyKey2;

		ck_assert_uint_eq(certify(tpm, ordinal, &bind, &key, &info, &signature),
				  TPM_BAD_KEY_PROPERTY);
		ck_assert_uint_eq(certify(tpm, ordinal, &wrong_scheme, &key, &info, &signature),
				  TPM_BAD_KEY_PROPERTY);
		ck_assert_uint_eq(certify(tpm, ordinal, &legacy, &key, &info, &signature),
				  TPM_SUCCESS);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(a_key_for_migration_is_not_certified)
{
	struct key_template migration = test_storage_key;
	struct blob info, signature;
	struct tpm *tpm = test_owned_tpm();
	struct certified cert = make_certified(tpm, &test_signing_key);

	migration.usage = TPM_KEY_MIGRATE;
	struct certified key = make_certified(tpm, &migration);
	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey, &cert, &key, &info, &signature),
			  TPM_INVALID_KEYUSAGE);
	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey2, &cert, &key, &info, &signature),
			  TPM_INVALID_KEYUSAGE);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_migratable_key_is_certified_as_such)
{
	struct key_template migratable = test_bind_key;
	struct blob info, signature, expected;
	struct tpm *tpm = test_owned_tpm();
	struct certified cert = make_certified(tpm, &test_signing_key), key;

	migratable.flags = TPM_MIGRATABLE;
	key = make_certified(tpm, &migratable);
	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey, &cert, &key, &info, &signature),
			  TPM_SUCCESS);
	expect_certify_info(&expected, &key.key, false, &no_pcrs);
	assert_certified(&cert, &info, &expected, &signature);
	tpm_free(tpm);
}
END_TEST

START_TEST(an_identity_certifies_nothing_that_migrates)
{
	struct key_template migratable = test_bind_key;
	struct tpm *tpm = test_owned_tpm();
	struct certified identity = { .auth = key_auth }, key;
	struct certified fixed = make_certified(tpm, &test_bind_key);
	struct blob binding, info, signature, expected;

	ck_assert_uint_eq(test_make_identity(tpm, &test_identity_key, TPM_ET_XOR, srk_auth,
					     owner_auth, &identity.key, &binding),
			  TPM_SUCCESS);
	ck_assert_uint_eq(test_load_key(tpm, &identity.key, &identity.handle), TPM_SUCCESS);
	migratable.flags = TPM_MIGRATABLE;
	key = make_certified(tpm, &migratable);
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t ordinal = i == 0 ? TPM_ORD_CertifyKey : TPM_ORD_CertifyKey2;

		ck_assert_uint_eq(certify(tpm, ordinal, &identity, &key, &info, &signature),
				  TPM_MIGRATEFAIL);
	}
	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey, &identity, &fixed, &info, &signature),
			  TPM_SUCCESS);
	expect_certify_info(&expected, &fixed.key, false, &no_pcrs);
	assert_certified(&identity, &info, &expected, &signature);
	tpm_free(tpm);
}
END_TEST

/* A certified migration key of the authorities whose digest is given. */
static struct certified
make_cmk(struct tpm *tpm, const uint8_t *authorities)
{
	struct key_template t = test_signing_key;
	struct certified k = { .auth = key_auth };
	struct test_session s;
	struct blob approval;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_CMK_ApproveMA, owner_auth);
	writer_bytes(&c.params, authorities, TPM_DIGEST_SIZE);
	ck_assert_uint_eq(call_run_all(&c, &approval), TPM_SUCCESS);
	t.flags = TPM_MIGRATABLE | TPM_MIGRATEAUTHORITY;
	t.key12 = true;
	call_begin_osap(&c, &s, tpm, TPM_ORD_CMK_CreateKey, TPM_KH_SRK, srk_auth);
	call_new_auth(&c, false, key_auth);
	write_key_template(&c.params, &t);
	writer_bytes(&c.params, approval.data, approval.len);
	writer_bytes(&c.params, authorities, TPM_DIGEST_SIZE);
	ck_assert_uint_eq(call_run_all(&c, &k.key), TPM_SUCCESS);
	ck_assert_uint_eq(test_load_key(tpm, &k.key, &k.handle), TPM_SUCCESS);
	return k;
}

/* certify names digest as the authorities. */
START_TEST(a_certified_migration_key_is_certified_for_its_authorities)
{
	struct tpm *tpm = test_owned_tpm();
	struct certified cert = make_certified(tpm, &test_signing_key);
	struct certified ours = make_cmk(tpm, digest), others = make_cmk(tpm, nonce);
	uint8_t authority[TPM_DIGEST_SIZE + 1];
	struct blob info, signature, expected;

	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey2, &cert, &ours, &info, &signature),
			  TPM_SUCCESS);
	memcpy(authority, digest, TPM_DIGEST_SIZE);
	authority[TPM_DIGEST_SIZE] = TPM_PT_MIGRATE_RESTRICTED;
	reference_sha1(authority, authority, sizeof(authority));
	expect_certify_info2(&expected, &ours.key, false, &no_pcrs, authority);
	assert_certified(&cert, &info, &expected, &signature);

	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey2, &cert, &others, &info, &signature),
			  TPM_MA_SOURCE);
	ck_assert_uint_eq(certify(tpm, TPM_ORD_CertifyKey, &cert, &ours, &info, &signature),
			  TPM_INVALID_KEYUSAGE);
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_key_certifies_another_whoever_of_them_needs_authdata,
		a_key_whose_public_half_is_free_is_certified_without_its_authdata,
		without_the_right_authdata_nothing_is_certified,
		a_certificate_tells_the_registers_that_a_key_is_bound_to,
		a_key_bound_to_localities_is_certified_by_the_longer_structure,
		a_key_bound_to_the_upper_registers_is_certified_by_the_longer_structure,
		a_certificate_tells_that_the_parent_is_bound,
		a_bound_key_is_certified_while_its_registers_are_right,
		only_keys_that_sign_certify,
		a_key_for_migration_is_not_certified,
		a_migratable_key_is_certified_as_such,
		an_identity_certifies_nothing_that_migrates,
		a_certified_migration_key_is_certified_for_its_authorities,
		NULL,
	};

	return test_suite("certify", tests);
}
