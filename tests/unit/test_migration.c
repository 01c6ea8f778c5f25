#include "tests/unit/soft_key.h"

#include <openssl/rsa.h>

static const uint8_t digest[TPM_DIGEST_SIZE] = "twenty bytes to sign";

static const struct key_template migratable_key = {
	.usage = TPM_KEY_SIGNING,
	.flags = TPM_MIGRATABLE,
	.authDataUsage = TPM_AUTH_ALWAYS,
	.encScheme = TPM_ES_NONE,
	.sigScheme = TPM_SS_RSASSAPKCS1v15_SHA1,
	.bits = 1024,
};

/* TPM_AuthorizeMigrationKey of a TPM_PUBKEY: TPM_MIGRATIONKEYAUTH. */
static TPM_RESULT
authorize_key(struct tpm *tpm, const uint8_t *owner, uint16_t scheme, const struct writer *pubkey,
	      struct blob *auth)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_AuthorizeMigrationKey, owner);
	writer_u16(&c.params, scheme);
	writer_bytes(&c.params, pubkey->buf, pubkey->len);
	return call_run_all(&c, auth);
}

/* The TPM_MIGRATIONKEYAUTH of a key outside. */
static void
authorize_soft_key(struct tpm *tpm, const struct soft_key *k, struct blob *auth)
{
	uint8_t buf[512];
	struct writer w = writer_of(buf, sizeof(buf));

	soft_key_write(&w, k, TPM_ES_RSAESOAEP_SHA1_MGF1, TPM_SS_NONE);
	ck_assert_uint_eq(authorize_key(tpm, owner_auth, TPM_MS_MIGRATE, &w, auth), TPM_SUCCESS);
}

/* ... and of a key of a TPM. */
static void
authorize_tpm_key(struct tpm *tpm, const struct blob *key, struct blob *auth)
{
	struct blob pubkey;

	pubkey_of_key(key, &pubkey);
	struct writer w = { .buf = pubkey.data, .len = pubkey.len };
	ck_assert_uint_eq(authorize_key(tpm, owner_auth, TPM_MS_MIGRATE, &w, auth), TPM_SUCCESS);
}

/* TPM_CreateMigrationBlob of the encData of a key below the SRK. */
static TPM_RESULT
create_blob(struct tpm *tpm, const uint8_t *auth, uint16_t type, const struct blob *destination,
	    struct reader enc_data, struct blob *random, struct blob *out)
{
	struct test_session parent, entity;
	struct call c;

	ck_assert_uint_eq(test_oiap(tpm, &parent, srk_auth), TPM_SUCCESS);
	ck_assert_uint_eq(test_oiap(tpm, &entity, auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_CreateMigrationBlob);
	call_handle(&c, TPM_KH_SRK);
	writer_u16(&c.params, type);
	writer_bytes(&c.params, destination->data, destination->len);
	writer_sized(&c.params, enc_data.pos, enc_data.left);
	call_session(&c, &parent);
	call_session(&c, &entity);
	TPM_RESULT rc = call_run_into(&c, random);
	if (rc == TPM_SUCCESS) {
		struct reader data = reader_sized(&c.out);
		ck_assert(reader_done(&c.out));
		out->len = data.left;
		reader_bytes(&data, out->data, data.left);
	}
	return rc;
}

/* TPM_ConvertMigrationBlob below a storage key; the key's encData. */
static TPM_RESULT
convert_blob(struct tpm *tpm, uint32_t parent, const uint8_t *auth, const struct blob *data,
	     const struct blob *random, struct blob *out)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_ConvertMigrationBlob, auth);
	call_handle(&c, parent);
	writer_sized(&c.params, data->data, data->len);
	writer_sized(&c.params, random->data, random->len);
	return call_run_into(&c, out);
}

/* Takes an OAEP encoding without its leading zero apart, in place; returns the message. */
static struct reader
oaep_open(uint8_t *o, size_t len, uint8_t *seed, uint8_t *p_hash)
{
	reference_mgf1_xor(o, TPM_DIGEST_SIZE, o + TPM_DIGEST_SIZE, len - TPM_DIGEST_SIZE);
	memcpy(seed, o, TPM_DIGEST_SIZE);
	reference_mgf1_xor(o + TPM_DIGEST_SIZE, len - TPM_DIGEST_SIZE, seed, TPM_DIGEST_SIZE);
	struct reader r = reader_of(o + TPM_DIGEST_SIZE, len - TPM_DIGEST_SIZE);
	reader_bytes(&r, p_hash, TPM_DIGEST_SIZE);
	while (r.left > 0 && *r.pos == 0)
		reader_u8(&r);
	ck_assert_uint_eq(reader_u8(&r), 1);
	return r;
}

START_TEST(key_migrates_to_a_destination_outside)
{
	static const unsigned sizes[] = { 512, 1024, 2048 };
	struct tpm *tpm = test_owned_tpm();
	struct soft_key destination = soft_key_new(2048);
	struct blob auth, key, random, out;

	authorize_soft_key(tpm, &destination, &auth);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct key_template t = migratable_key;
		uint8_t o[256], seed[TPM_DIGEST_SIZE], p_hash[TPM_DIGEST_SIZE];
		uint8_t prime[128], signature[256];
		size_t prime_len = sizes[i] / 16;

		t.bits = sizes[i];
		ck_assert_uint_eq(test_create_key(tpm, &t, &key), TPM_SUCCESS);
		ck_assert_uint_eq(create_blob(tpm, migration_auth, TPM_MS_MIGRATE, &auth,
					      enc_data_of_key(&key), &random, &out),
				  TPM_SUCCESS);
		int len = soft_key_decrypt(&destination, o, out.data, out.len);
		ck_assert_int_eq(len, (int)random.len);
		/* TPM_MIGRATE_ASYMKEY of which the seed is the private key's other part */
		ck_assert_int_eq(len, (int)(41 + 45 + prime_len - 16));
		for (int k = 0; k < len; k++)
			o[k] ^= random.data[k];
		struct reader m = oaep_open(o, (size_t)len, seed, p_hash);
		ck_assert_mem_eq(p_hash, migration_auth, sizeof(p_hash));
		ck_assert_uint_eq(reader_u8(&m), TPM_PT_MIGRATE);
		ck_assert_mem_eq(reader_view(&m, TPM_DIGEST_SIZE), key_auth, TPM_DIGEST_SIZE);
		/* pubDataDigest: of the TPM_KEY without encData */
		uint8_t expected[TPM_DIGEST_SIZE];
		reference_sha1(expected, key.data, key.len - enc_data_of_key(&key).left - 4);
		ck_assert_mem_eq(reader_view(&m, TPM_DIGEST_SIZE), expected, TPM_DIGEST_SIZE);
		struct reader part = reader_sized(&m), size = reader_of(seed, 4);
		ck_assert(reader_done(&m));
		ck_assert_uint_eq(reader_u32(&size), prime_len);
		memcpy(prime, seed + 4, 16);
		reader_bytes(&part, prime + 16, prime_len - 16);

		/* With it, the destination signs. */
		struct blob pubkey;
		pubkey_of_key(&key, &pubkey);
		const uint8_t *n = pubkey.data + pubkey.len - sizes[i] / 8;
		struct soft_key moved = { .key = reference_rsa_private(n, sizes[i] / 8, 65537,
								       prime, prime_len),
					  .n_len = sizes[i] / 8 };
		soft_key_sign(&moved, digest, signature);
		EVP_PKEY *public = test_pubkey_public(&pubkey);
		ck_assert(reference_verify_sha1(public, signature, moved.n_len, digest));
		EVP_PKEY_free(public);
		soft_key_free(&moved);
	}
	soft_key_free(&destination);
	tpm_free(tpm);
}
END_TEST

START_TEST(key_migrates_to_another_parent_and_works_there)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob parent_key, auth, key, random, data, enc_data, signature;
	uint32_t parent = test_make_key(tpm, &test_storage_key, &parent_key), handle;

	authorize_tpm_key(tpm, &parent_key, &auth);
	ck_assert_uint_eq(test_create_key(tpm, &migratable_key, &key), TPM_SUCCESS);
	ck_assert_uint_eq(create_blob(tpm, migration_auth, TPM_MS_MIGRATE, &auth,
				      enc_data_of_key(&key), &random, &data),
			  TPM_SUCCESS);
	ck_assert_uint_eq(convert_blob(tpm, parent, key_auth, &data, &random, &enc_data),
			  TPM_SUCCESS);
	replace_enc_data(&key, &enc_data);
	ck_assert_uint_eq(test_load_key_under(tpm, parent, key_auth, &key, &handle), TPM_SUCCESS);
	ck_assert_uint_eq(test_sign(tpm, handle, key_auth, digest, sizeof(digest), &signature),
			  TPM_SUCCESS);
	EVP_PKEY *public = test_key_public(&key);
	ck_assert(reference_verify_sha1(public, signature.data, signature.len, digest));
	EVP_PKEY_free(public);

	/* And on from there by rewrapping, without random bytes. */
	ck_assert_uint_eq(test_create_key(tpm, &migratable_key, &key), TPM_SUCCESS);
	ck_assert_uint_eq(create_blob(tpm, migration_auth, TPM_MS_REWRAP, &auth,
				      enc_data_of_key(&key), &random, &data),
			  TPM_SUCCESS);
	ck_assert_uint_eq(random.len, 0);
	replace_enc_data(&key, &data);
	ck_assert_uint_eq(test_load_key_under(tpm, parent, key_auth, &key, &handle), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(only_what_owner_and_key_agree_to_migrates)
{
	struct tpm *tpm = test_owned_tpm();
	struct soft_key destination = soft_key_new(2048);
	struct blob auth, key, fixed, random, out;

	authorize_soft_key(tpm, &destination, &auth);
	ck_assert_uint_eq(test_create_key(tpm, &migratable_key, &key), TPM_SUCCESS);
	ck_assert_uint_eq(test_create_key(tpm, &test_signing_key, &fixed), TPM_SUCCESS);
	struct reader enc_data = enc_data_of_key(&key);
	ck_assert_uint_eq(
	    create_blob(tpm, wrong_auth, TPM_MS_MIGRATE, &auth, enc_data, &random, &out),
	    TPM_AUTH2FAIL);
	ck_assert_uint_eq(create_blob(tpm, migration_auth, TPM_MS_MIGRATE, &auth,
				      enc_data_of_key(&fixed), &random, &out),
			  TPM_AUTH2FAIL);
	for (uint16_t type = 0; type < 7; type++)
		if (type != TPM_MS_MIGRATE && type != TPM_MS_REWRAP)
			ck_assert_uint_eq(
			    create_blob(tpm, migration_auth, type, &auth, enc_data, &random, &out),
			    TPM_BAD_PARAMETER);
	ck_assert_uint_eq(create_blob(tpm, migration_auth, TPM_MS_MIGRATE, &auth,
				      reader_of(key.data, 100), &random, &out),
			  TPM_DECRYPT_ERROR);
	for (size_t at = auth.len - 1; at > auth.len - 40; at -= 3) {
		auth.data[at] ^= 4;
		ck_assert_uint_eq(create_blob(tpm, migration_auth, TPM_MS_MIGRATE, &auth, enc_data,
					      &random, &out),
				  TPM_AUTHFAIL);
		auth.data[at] ^= 4;
	}
	/* The key's word comes before the owner's. */
	auth.data[auth.len - 1] ^= 4;
	ck_assert_uint_eq(
	    create_blob(tpm, wrong_auth, TPM_MS_MIGRATE, &auth, enc_data, &random, &out),
	    TPM_AUTH2FAIL);
	soft_key_free(&destination);
	tpm_free(tpm);
}
END_TEST

START_TEST(migration_auth_comes_by_oiap)
{
	struct tpm *tpm = test_owned_tpm();
	struct soft_key destination = soft_key_new(2048);
	struct test_session parent, entity;
	struct blob auth, key;
	struct call c;

	authorize_soft_key(tpm, &destination, &auth);
	ck_assert_uint_eq(test_create_key(tpm, &migratable_key, &key), TPM_SUCCESS);
	struct reader enc_data = enc_data_of_key(&key);
	ck_assert_uint_eq(test_oiap(tpm, &parent, srk_auth), TPM_SUCCESS);
	test_osap_key(tpm, &entity, TPM_KH_SRK, srk_auth);
	call_begin(&c, tpm, TPM_ORD_CreateMigrationBlob);
	call_handle(&c, TPM_KH_SRK);
	writer_u16(&c.params, TPM_MS_MIGRATE);
	writer_bytes(&c.params, auth.data, auth.len);
	writer_sized(&c.params, enc_data.pos, enc_data.left);
	call_session(&c, &parent);
	call_session(&c, &entity);
	ck_assert_uint_eq(call_run(&c), TPM_BAD_MODE);
	soft_key_free(&destination);
	tpm_free(tpm);
}
END_TEST

START_TEST(only_strong_keys_are_authorized_as_destinations)
{
	struct tpm *tpm = test_owned_tpm();
	struct soft_key strong = soft_key_new(2048), weak = soft_key_new(1024);
	uint8_t buf[512];
	struct writer w = writer_of(buf, sizeof(buf));
	struct blob auth;

	soft_key_write(&w, &weak, TPM_ES_RSAESOAEP_SHA1_MGF1, TPM_SS_NONE);
	ck_assert_uint_eq(authorize_key(tpm, owner_auth, TPM_MS_MIGRATE, &w, &auth),
			  TPM_BAD_KEY_PROPERTY);
	w.len = 0;
	soft_key_write(&w, &strong, TPM_ES_RSAESPKCSv15, TPM_SS_NONE);
	ck_assert_uint_eq(authorize_key(tpm, owner_auth, TPM_MS_MIGRATE, &w, &auth),
			  TPM_INAPPROPRIATE_ENC);
	w.len = 0;
	soft_key_write(&w, &strong, TPM_ES_RSAESOAEP_SHA1_MGF1, TPM_SS_NONE);
	ck_assert_uint_eq(authorize_key(tpm, wrong_auth, TPM_MS_MIGRATE, &w, &auth), TPM_AUTHFAIL);
	ck_assert_uint_eq(authorize_key(tpm, owner_auth, TPM_MS_REWRAP, &w, &auth), TPM_SUCCESS);
	ck_assert_uint_eq(auth.len, w.len + 2 + TPM_DIGEST_SIZE);
	ck_assert_mem_eq(auth.data, buf, w.len);
	buf[3] = TPM_ALG_AES;
	ck_assert_uint_eq(authorize_key(tpm, owner_auth, TPM_MS_MIGRATE, &w, &auth),
			  TPM_BAD_KEY_PROPERTY);
	soft_key_free(&strong);
	soft_key_free(&weak);
	tpm_free(tpm);
}
END_TEST

/* A blob such as a source TPM makes, for a storage key, with any payload. */
static void
forge_blob(const struct blob *parent, uint8_t payload, size_t part_len, uint32_t prime_len,
	   struct blob *random, struct blob *data)
{
	uint8_t db[198] = { 0 }, seed[TPM_DIGEST_SIZE] = "xxxxa part of prime.", o[198];
	EVP_PKEY *public = test_key_public(parent);
	size_t m_len = 45 + part_len, db_len = sizeof(o) - TPM_DIGEST_SIZE;
	struct writer size = writer_of(seed, 4);
	struct writer w = writer_of(db, db_len);

	writer_u32(&size, prime_len);
	writer_bytes(&w, migration_auth, TPM_DIGEST_SIZE);
	writer_reserve(&w, db_len - TPM_DIGEST_SIZE - 1 - m_len);
	writer_u8(&w, 1);
	writer_u8(&w, payload);
	writer_bytes(&w, key_auth, TPM_DIGEST_SIZE);
	writer_bytes(&w, digest, TPM_DIGEST_SIZE);
	writer_u32(&w, (uint32_t)part_len);
	writer_reserve(&w, part_len);
	ck_assert(!w.failed);
	memcpy(o + TPM_DIGEST_SIZE, db, db_len);
	reference_mgf1_xor(o + TPM_DIGEST_SIZE, db_len, seed, sizeof(seed));
	memcpy(o, seed, sizeof(seed));
	reference_mgf1_xor(o, TPM_DIGEST_SIZE, o + TPM_DIGEST_SIZE, db_len);
	random->len = sizeof(o);
	for (size_t i = 0; i < sizeof(o); i++) {
		random->data[i] = (uint8_t)(i * 7);
		o[i] ^= random->data[i];
	}
	int len = reference_rsa(public, REFERENCE_ENCRYPT, RSA_PKCS1_OAEP_PADDING, data->data, o,
				sizeof(o));
	ck_assert_int_eq(len, 256);
	data->len = 256;
	EVP_PKEY_free(public);
}

START_TEST(malformed_blobs_are_not_converted)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob parent_key, random, data, out;
	uint32_t parent = test_make_key(tpm, &test_storage_key, &parent_key);
	uint32_t signer = test_make_key(tpm, &test_signing_key, NULL);

	forge_blob(&parent_key, TPM_PT_MIGRATE, 112, 128, &random, &data);
	ck_assert_uint_eq(convert_blob(tpm, parent, key_auth, &data, &random, &out), TPM_SUCCESS);
	ck_assert_uint_eq(convert_blob(tpm, parent, wrong_auth, &data, &random, &out),
			  TPM_AUTHFAIL);
	ck_assert_uint_eq(convert_blob(tpm, signer, key_auth, &data, &random, &out),
			  TPM_INVALID_KEYUSAGE);
	random.len--;
	ck_assert_uint_eq(convert_blob(tpm, parent, key_auth, &data, &random, &out),
			  TPM_BAD_PARAMETER);
	random.len += 2;
	ck_assert_uint_eq(convert_blob(tpm, parent, key_auth, &data, &random, &out),
			  TPM_BAD_PARAMETER);
	random.len--;
	random.data[30] ^= 1;
	ck_assert_uint_eq(convert_blob(tpm, parent, key_auth, &data, &random, &out),
			  TPM_DECRYPT_ERROR);
	data.data[30] ^= 1;
	ck_assert_uint_eq(convert_blob(tpm, parent, key_auth, &data, &random, &out),
			  TPM_DECRYPT_ERROR);

	static const struct {
		uint8_t payload;
		size_t part_len;
		uint32_t prime_len;
		TPM_RESULT rc;
	} cases[] = {
		{ TPM_PT_ASYM, 112, 128, TPM_INVALID_STRUCTURE },
		{ TPM_PT_CMK_MIGRATE, 112, 128, TPM_BAD_MIGRATION },
		{ TPM_PT_MAINT, 112, 128, TPM_BAD_MIGRATION },
		{ TPM_PT_MIGRATE, 111, 128, TPM_BAD_PARAM_SIZE },
		{ TPM_PT_MIGRATE, 112, 129, TPM_BAD_PARAM_SIZE },
		{ TPM_PT_MIGRATE, 112, 0xffffffff, TPM_BAD_PARAM_SIZE },
		{ TPM_PT_MIGRATE, 48, 64, TPM_SUCCESS },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		forge_blob(&parent_key, cases[i].payload, cases[i].part_len, cases[i].prime_len,
			   &random, &data);
		ck_assert_uint_eq(convert_blob(tpm, parent, key_auth, &data, &random, &out),
				  cases[i].rc);
	}
	tpm_free(tpm);
}
END_TEST

/* TPM_MigrateKey */
static TPM_RESULT
migrate_key(struct tpm *tpm, uint32_t key, const uint8_t *auth, const struct writer *pubkey,
	    const void *data, size_t len, struct blob *out)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_MigrateKey, auth);
	call_handle(&c, key);
	writer_bytes(&c.params, pubkey->buf, pubkey->len);
	writer_sized(&c.params, data, len);
	return call_run_into(&c, out);
}

START_TEST(migration_authority_passes_data_on)
{
	struct key_template authority = test_storage_key;
	struct tpm *tpm = test_owned_tpm();
	struct soft_key destination = soft_key_new(2048);
	struct blob key, out;
	uint8_t buf[512], data[256], plain[256];
	struct writer w = writer_of(buf, sizeof(buf));

	authority.usage = TPM_KEY_MIGRATE;
	uint32_t handle = test_make_key(tpm, &authority, &key);
	uint32_t storage = test_make_key(tpm, &test_storage_key, NULL);
	EVP_PKEY *public = test_key_public(&key);
	ck_assert_int_eq(reference_rsa(public, REFERENCE_ENCRYPT, RSA_PKCS1_OAEP_PADDING, data,
				       "what is passed on", 17),
			 256);
	EVP_PKEY_free(public);
	soft_key_write(&w, &destination, TPM_ES_RSAESOAEP_SHA1_MGF1, TPM_SS_NONE);
	ck_assert_uint_eq(migrate_key(tpm, handle, key_auth, &w, data, 256, &out), TPM_SUCCESS);
	ck_assert_int_eq(soft_key_decrypt(&destination, plain, out.data, out.len), 17);
	ck_assert_mem_eq(plain, "what is passed on", 17);
	ck_assert_uint_eq(migrate_key(tpm, handle, wrong_auth, &w, data, 256, &out), TPM_AUTHFAIL);
	ck_assert_uint_eq(migrate_key(tpm, storage, key_auth, &w, data, 256, &out),
			  TPM_INVALID_KEYUSAGE);
	ck_assert_uint_eq(migrate_key(tpm, handle, key_auth, &w, data, 255, &out),
			  TPM_DECRYPT_ERROR);
	w.len = 0;
	soft_key_write(&w, &destination, TPM_ES_RSAESPKCSv15, TPM_SS_NONE);
	ck_assert_uint_eq(migrate_key(tpm, handle, key_auth, &w, data, 256, &out), TPM_SUCCESS);
	ck_assert_int_eq(reference_rsa(destination.key, REFERENCE_DECRYPT, RSA_PKCS1_PADDING, plain,
				       out.data, out.len),
			 17);
	w.len = 0;
	soft_key_write(&w, &destination, TPM_ES_NONE, TPM_SS_NONE);
	ck_assert_uint_eq(migrate_key(tpm, handle, key_auth, &w, data, 256, &out),
			  TPM_INAPPROPRIATE_ENC);
	soft_key_free(&destination);
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		key_migrates_to_a_destination_outside,
		key_migrates_to_another_parent_and_works_there,
		only_what_owner_and_key_agree_to_migrates,
		migration_auth_comes_by_oiap,
		only_strong_keys_are_authorized_as_destinations,
		malformed_blobs_are_not_converted,
		migration_authority_passes_data_on,
		NULL,
	};

	return test_suite("migration", tests);
}
