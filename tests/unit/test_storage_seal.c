#include "tests/unit/support.h"

#include <openssl/rsa.h>

static const uint8_t digest[TPM_DIGEST_SIZE] = "what is measured ...";

enum {
	/* 2048 bits, less OAEP, less TPM_SEALED_DATA with its payload, three digests and size */
	SEAL_MAX = 256 - 42 - (1 + 3 * TPM_DIGEST_SIZE + 4),
};

static void
extend(struct tpm *tpm, uint32_t pcr)
{
	uint8_t value[TPM_DIGEST_SIZE];

	ck_assert_uint_eq(test_extend(tpm, pcr, digest, value), TPM_SUCCESS);
}

static void
assert_unseals(struct tpm *tpm, const struct blob *sealed, const void *data, size_t len)
{
	struct blob got;

	ck_assert_uint_eq(test_unseal(tpm, sealed, data_auth, &got), TPM_SUCCESS);
	ck_assert_uint_eq(got.len, len);
	ck_assert_mem_eq(got.data, data, len);
}

START_TEST(what_is_sealed_comes_back)
{
	struct tpm *tpm = test_owned_tpm();
	uint8_t data[SEAL_MAX + 1];
	struct blob sealed;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	for (size_t len = 1; len <= SEAL_MAX; len += 37) { /* the last is SEAL_MAX */
		ck_assert_uint_eq(test_seal(tpm, NULL, data, len, &sealed), TPM_SUCCESS);
		/* TPM_STORED_DATA: version, no sealInfo, encData */
		ck_assert_uint_eq(sealed.len, 4 + 4 + 4 + 256);
		ck_assert_mem_eq(sealed.data, "\1\1\0\0\0\0\0\0\0\0\1\0", 12);
		assert_unseals(tpm, &sealed, data, len);
	}
	test_reboot(tpm);
	assert_unseals(tpm, &sealed, data, SEAL_MAX);
	ck_assert_uint_eq(test_seal(tpm, NULL, data, SEAL_MAX + 1, &sealed), TPM_BAD_DATASIZE);
	ck_assert_uint_eq(test_seal(tpm, NULL, data, 0, &sealed), TPM_BAD_PARAMETER);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_long_text_is_not_sealed)
{
	struct tpm *tpm = test_owned_tpm();
	uint8_t data[2000] = { 0 };
	struct blob sealed;

	ck_assert_uint_eq(test_seal(tpm, NULL, data, sizeof(data), &sealed), TPM_BAD_DATASIZE);
	tpm_free(tpm);
}
END_TEST

START_TEST(unsealing_needs_the_secrets_of_key_and_data)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session key, data;
	struct blob sealed, got;
	struct call c;

	ck_assert_uint_eq(test_seal(tpm, NULL, "x", 1, &sealed), TPM_SUCCESS);
	ck_assert_uint_eq(test_unseal(tpm, &sealed, wrong_auth, &got), TPM_AUTH2FAIL);
	ck_assert_uint_eq(test_oiap(tpm, &key, wrong_auth), TPM_SUCCESS);
	ck_assert_uint_eq(test_oiap(tpm, &data, data_auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_Unseal);
	call_handle(&c, TPM_KH_SRK);
	writer_bytes(&c.params, sealed.data, sealed.len);
	call_session(&c, &key);
	call_session(&c, &data);
	ck_assert_uint_eq(call_run(&c), TPM_AUTHFAIL);
	assert_unseals(tpm, &sealed, "x", 1);
	tpm_free(tpm);
}
END_TEST

START_TEST(sealed_data_can_be_bound_to_registers)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob info, sealed, got;
	uint8_t at_release[TPM_DIGEST_SIZE], at_creation[TPM_DIGEST_SIZE];

	extend(tpm, 1);
	test_composite_digest(tpm, 0x103, at_release);
	test_pcr_info(tpm, 0x103, &info);
	extend(tpm, 8);
	test_composite_digest(tpm, 0x103, at_creation);
	ck_assert_uint_eq(test_seal(tpm, &info, "secret", 6, &sealed), TPM_SUCCESS);

	/* TPM_PCR_INFO: selection, digestAtRelease as wanted, digestAtCreation as it is */
	ck_assert_mem_eq(sealed.data + 4, "\0\0\0\x2d\0\3\3\1\0", 9);
	ck_assert_mem_eq(sealed.data + 13, at_release, TPM_DIGEST_SIZE);
	ck_assert_mem_eq(sealed.data + 33, at_creation, TPM_DIGEST_SIZE);

	ck_assert_uint_eq(test_unseal(tpm, &sealed, data_auth, &got), TPM_WRONGPCRVAL);
	test_reboot(tpm);
	ck_assert_uint_eq(test_unseal(tpm, &sealed, data_auth, &got), TPM_WRONGPCRVAL);
	extend(tpm, 1);
	extend(tpm, 9); /* another one */
	assert_unseals(tpm, &sealed, "secret", 6);
	extend(tpm, 0);
	ck_assert_uint_eq(test_unseal(tpm, &sealed, data_auth, &got), TPM_WRONGPCRVAL);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_long_structure_binds_to_localities)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob info, sealed, got;
	uint8_t at_creation[TPM_DIGEST_SIZE];

	extend(tpm, 2);
	for (unsigned made = 0; made <= 4; made++) {
		uint8_t mask = (uint8_t)(0x15u >> made); /* 0, 2, 4; then 1, 3; 0, 2; 1; 0 */

		bench.locality = made;
		test_composite_digest(tpm, 0x4, at_creation);
		test_pcr_info_long(tpm, 0x4, 0x9, mask, &info);
		ck_assert_uint_eq(test_seal(tpm, &info, "secret", 6, &sealed), TPM_SUCCESS);

		/* TPM_STORED_DATA12, et 0; TPM_PCR_INFO_LONG with localityAtCreation filled in */
		ck_assert_mem_eq(sealed.data, "\0\x16\0\0\0\0\0\x36\0\6", 10);
		ck_assert_uint_eq(sealed.data[10], 1u << made);
		ck_assert_uint_eq(sealed.data[11], mask);
		ck_assert_mem_eq(sealed.data + 22, at_creation, TPM_DIGEST_SIZE);
		for (unsigned locality = 0; locality <= 4; locality++) {
			bench.locality = locality;
			ck_assert_uint_eq(test_unseal(tpm, &sealed, data_auth, &got),
					  mask >> locality & 1 ? TPM_SUCCESS : TPM_BAD_LOCALITY);
		}
	}
	bench.locality = 0;
	extend(tpm, 2);
	assert_unseals(tpm, &sealed, "secret", 6);
	extend(tpm, 3);
	ck_assert_uint_eq(test_unseal(tpm, &sealed, data_auth, &got), TPM_WRONGPCRVAL);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_malformed_structure_of_registers_is_refused)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob good[2], info, sealed;

	test_pcr_info(tpm, 1, &good[0]);
	test_pcr_info_long(tpm, 1, 1, 1, &good[1]);
	for (size_t i = 0; i < 2; i++) {
		for (size_t len = 1; len < good[i].len; len++) {
			info = good[i];
			info.len = len;
			ck_assert_uint_eq(test_seal(tpm, &info, "x", 1, &sealed), TPM_BADINDEX);
		}
		info.len = good[i].len + 1;
		ck_assert_uint_eq(test_seal(tpm, &info, "x", 1, &sealed), TPM_BADINDEX);
	}
	info = good[0];
	info.data[1] = 4; /* registers 24 to 31 */
	ck_assert_uint_eq(test_seal(tpm, &info, "x", 1, &sealed), TPM_BADINDEX);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_selection_of_localities_has_one_and_none_that_does_not_exist)
{
	enum { CREATION_AT = 2, RELEASE_AT };
	static const uint8_t none[] = { 0, 0x20, 0x3f };
	struct tpm *tpm = test_owned_tpm();
	struct blob info, sealed;

	for (size_t i = 0; i < sizeof(none); i++)
		for (size_t at = CREATION_AT; at <= RELEASE_AT; at++) {
			test_pcr_info_long(tpm, 1, 1, 0x1f, &info);
			info.data[at] = none[i];
			ck_assert_uint_eq(test_seal(tpm, &info, "x", 1, &sealed), TPM_BADINDEX);
		}
	tpm_free(tpm);
}
END_TEST

START_TEST(no_byte_of_sealed_data_can_be_changed)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob info, sealed, got;

	for (unsigned is_long = 0; is_long < 2; is_long++) { /* any registers, any locality */
		test_pcr_info_long(tpm, 1, 0, 0x1f, &info);
		ck_assert_uint_eq(test_seal(tpm, is_long ? &info : NULL, "secret", 6, &sealed),
				  TPM_SUCCESS);
		for (size_t i = 0; i < sealed.len; i += i < 70 ? 1 : 29) {
			sealed.data[i] ^= 1;
			ck_assert_uint_ne(test_unseal(tpm, &sealed, data_auth, &got), TPM_SUCCESS);
			sealed.data[i] ^= 1;
			test_reboot(tpm); /* sessions of a command that was not parsed are left */
		}
	}
	sealed.data[8 + 8] ^= 1; /* creation: a register more */
	ck_assert_uint_eq(test_unseal(tpm, &sealed, data_auth, &got), TPM_NOTSEALED_BLOB);
	sealed.data[8 + 8] ^= 1;
	sealed.data[sealed.len - 1] ^= 1;
	ck_assert_uint_eq(test_unseal(tpm, &sealed, data_auth, &got), TPM_DECRYPT_ERROR);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_version_of_sealed_data_is_the_one_it_was_sealed_with)
{
	static const struct {
		uint8_t at;
		TPM_RESULT expected;
	} changes[] = { { 0, TPM_BAD_VERSION },
			{ 1, TPM_BAD_VERSION },
			{ 2, TPM_NOTSEALED_BLOB },
			{ 3, TPM_NOTSEALED_BLOB } };
	struct tpm *tpm = test_owned_tpm();
	struct blob sealed, got;

	ck_assert_uint_eq(test_seal(tpm, NULL, "secret", 6, &sealed), TPM_SUCCESS);
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		sealed.data[changes[i].at] ^= 2;
		ck_assert_uint_eq(test_unseal(tpm, &sealed, data_auth, &got), changes[i].expected);
		sealed.data[changes[i].at] ^= 2;
	}
	ck_assert_uint_eq(test_unseal(tpm, &sealed, data_auth, &got), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

/* Sealed data that this TPM did not make: anybody can encrypt to its SRK. */
static void
forge(EVP_PKEY *srk, uint8_t payload, const uint8_t *storedDigest, size_t extra,
      struct blob *sealed)
{
	static const uint8_t guessed_proof[TPM_DIGEST_SIZE] = "tpmProof is a secret";
	uint8_t plain[128] = { 0 }, enc[256];
	struct writer w = writer_of(plain, sizeof(plain));

	writer_u8(&w, payload);
	writer_bytes(&w, data_auth, TPM_DIGEST_SIZE);
	writer_bytes(&w, guessed_proof, sizeof(guessed_proof));
	writer_bytes(&w, storedDigest, TPM_DIGEST_SIZE);
	writer_sized(&w, "forged", 6);
	ck_assert_int_eq(reference_rsa(srk, REFERENCE_ENCRYPT, RSA_PKCS1_OAEP_PADDING, enc, plain,
				       w.len + extra),
			 sizeof(enc));
	w = writer_of(sealed->data, sizeof(sealed->data));
	writer_u32(&w, 0x01010000);
	writer_u32(&w, 0);
	writer_sized(&w, enc, sizeof(enc));
	sealed->len = w.len;
}

START_TEST(data_sealed_elsewhere_is_refused)
{
	struct tpm *tpm = test_owned_tpm();
	EVP_PKEY *srk = test_srk_public(tpm);
	uint8_t storedDigest[TPM_DIGEST_SIZE];
	struct blob sealed, got;

	reference_sha1(storedDigest, "\1\1\0\0\0\0\0", 8);
	forge(srk, TPM_PT_SEAL, storedDigest, 0, &sealed);
	ck_assert_uint_eq(test_unseal(tpm, &sealed, data_auth, &got), TPM_NOTSEALED_BLOB);
	forge(srk, TPM_PT_BIND, storedDigest, 0, &sealed);
	ck_assert_uint_eq(test_unseal(tpm, &sealed, data_auth, &got), TPM_NOTSEALED_BLOB);
	forge(srk, TPM_PT_SEAL, storedDigest, 3, &sealed);
	ck_assert_uint_eq(test_unseal(tpm, &sealed, data_auth, &got), TPM_NOTSEALED_BLOB);
	EVP_PKEY_free(srk);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_new_owner_cannot_unseal_what_the_old_one_sealed)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob sealed, got;

	ck_assert_uint_eq(test_seal(tpm, NULL, "secret", 6, &sealed), TPM_SUCCESS);
	tpm_clear(tpm);
	ck_assert_uint_eq(test_take_ownership(tpm, &test_srk_key), TPM_SUCCESS);
	ck_assert_uint_eq(test_unseal(tpm, &sealed, data_auth, &got), TPM_DECRYPT_ERROR);
	tpm_free(tpm);
}
END_TEST

static TPM_RESULT
seal_under(struct tpm *tpm, uint32_t key, struct blob *sealed)
{
	struct test_session s;
	struct call c;

	call_begin_osap(&c, &s, tpm, TPM_ORD_Seal, key, key_auth);
	call_new_auth(&c, false, data_auth);
	writer_u32(&c.params, 0);
	writer_sized(&c.params, "x", 1);
	return call_run_all(&c, sealed);
}

static TPM_RESULT
unseal_under(struct tpm *tpm, uint32_t key, const struct blob *sealed, struct blob *data)
{
	struct test_session by_key, by_data;
	struct call c;

	ck_assert_uint_eq(test_oiap(tpm, &by_key, key_auth), TPM_SUCCESS);
	ck_assert_uint_eq(test_oiap(tpm, &by_data, data_auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_Unseal);
	call_handle(&c, key);
	writer_bytes(&c.params, sealed->data, sealed->len);
	call_session(&c, &by_key);
	call_session(&c, &by_data);
	return call_run_into(&c, data);
}

START_TEST(storage_keys_that_do_not_migrate_seal)
{
	struct key_template migratable = test_storage_key;
	struct tpm *tpm = test_owned_tpm();
	struct blob sealed, got;
	uint32_t key = test_make_key(tpm, &test_storage_key, NULL);

	ck_assert_uint_eq(seal_under(tpm, key, &sealed), TPM_SUCCESS);
	ck_assert_uint_eq(unseal_under(tpm, key, &sealed, &got), TPM_SUCCESS);
	ck_assert_uint_eq(got.len, 1);

	migratable.flags = TPM_MIGRATABLE;
	const struct key_template *const others[] = { &migratable, &test_signing_key,
						      &test_bind_key };
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		key = test_make_key(tpm, others[i], NULL);
		ck_assert_uint_eq(unseal_under(tpm, key, &sealed, &got), TPM_INVALID_KEYUSAGE);
		ck_assert_uint_eq(seal_under(tpm, key, &sealed), TPM_INVALID_KEYUSAGE);
	}
	tpm_free(tpm);
}
END_TEST

/* ---- TPM_Sealx: data travels encrypted by the session of the key ---- */

/* In place, both ways [Part 3, 10.7]. */
static void
crypt_data(const struct test_session *s, const uint8_t *nonceEven, const uint8_t *nonceOdd,
	   uint8_t *data, size_t len)
{
	uint8_t seed[3 * TPM_DIGEST_SIZE + 3], iv[TPM_DIGEST_SIZE], out[256];
	struct writer w = writer_of(seed, sizeof(seed));

	ck_assert_uint_le(len, sizeof(out));
	writer_bytes(&w, nonceEven, TPM_DIGEST_SIZE);
	writer_bytes(&w, nonceOdd, TPM_DIGEST_SIZE);
	if (s->encryption == TPM_ET_AES) {
		reference_sha1(iv, seed, w.len);
		reference_aes(out, data, len, "CTR", s->secret, iv);
		memcpy(data, out, len);
	} else {
		writer_bytes(&w, "XOR", 3);
		writer_bytes(&w, s->secret, TPM_DIGEST_SIZE);
		reference_mgf1_xor(data, len, seed, w.len);
	}
}

static TPM_RESULT
sealx(struct tpm *tpm, uint16_t encryption, const struct blob *info, const void *data, size_t len,
      struct blob *sealed)
{
	struct test_session s;
	uint8_t encrypted[256];
	struct call c;

	ck_assert_uint_eq(
	    test_osap(tpm, &s, (uint16_t)(encryption << 8 | TPM_ET_SRK), TPM_KH_SRK, srk_auth),
	    TPM_SUCCESS);
	memcpy(encrypted, data, len);
	crypt_data(&s, s.nonceEven, s.nonceOdd, encrypted, len);
	call_begin(&c, tpm, TPM_ORD_Sealx);
	call_handle(&c, TPM_KH_SRK);
	call_session(&c, &s);
	call_new_auth(&c, false, data_auth);
	writer_sized(&c.params, info->data, info->len);
	writer_sized(&c.params, encrypted, len);
	return call_run_all(&c, sealed);
}

/* Unseals with an OSAP session of the key, and decrypts with it. */
static TPM_RESULT
unsealx(struct tpm *tpm, uint16_t encryption, const struct blob *sealed, struct blob *data)
{
	uint8_t nonceEven[TPM_DIGEST_SIZE], nonceOdd[TPM_DIGEST_SIZE];
	struct test_session key, entity;
	struct call c;

	ck_assert_uint_eq(
	    test_osap(tpm, &key, (uint16_t)(encryption << 8 | TPM_ET_SRK), TPM_KH_SRK, srk_auth),
	    TPM_SUCCESS);
	ck_assert_uint_eq(test_oiap(tpm, &entity, data_auth), TPM_SUCCESS);
	memcpy(nonceEven, key.nonceEven, sizeof(nonceEven));
	memcpy(nonceOdd, key.nonceOdd, sizeof(nonceOdd));
	call_begin(&c, tpm, TPM_ORD_Unseal);
	call_handle(&c, TPM_KH_SRK);
	writer_bytes(&c.params, sealed->data, sealed->len);
	call_session(&c, &key);
	call_session(&c, &entity);
	TPM_RESULT rc = call_run_into(&c, data);
	if (rc == TPM_SUCCESS)
		crypt_data(&key, nonceEven, nonceOdd, data->data, data->len);
	return rc;
}

START_TEST(sealx_keeps_data_secret_on_its_way)
{
	static const uint16_t encryptions[] = { TPM_ET_XOR, TPM_ET_AES };
	struct tpm *tpm = test_owned_tpm();
	struct blob info, sealed, got;
	uint8_t data[100] = "longer than a digest, and than a block, and not a multiple of them";

	test_pcr_info_long(tpm, 0, 1, 0x1f, &info);
	for (size_t i = 0; i < 2; i++) {
		ck_assert_uint_eq(sealx(tpm, encryptions[i], &info, data, sizeof(data), &sealed),
				  TPM_SUCCESS);
		ck_assert_uint_eq(sealed.data[2], encryptions[i]);
		ck_assert_uint_eq(sealed.data[3], TPM_ET_KEY);
		ck_assert_uint_eq(unsealx(tpm, encryptions[i], &sealed, &got), TPM_SUCCESS);
		ck_assert_uint_eq(got.len, sizeof(data));
		ck_assert_mem_eq(got.data, data, sizeof(data));
	}
	extend(tpm, 0);
	ck_assert_uint_eq(unsealx(tpm, TPM_ET_AES, &sealed, &got), TPM_WRONGPCRVAL);
	tpm_free(tpm);
}
END_TEST

START_TEST(sealx_needs_the_long_structure)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob info, sealed;

	test_pcr_info(tpm, 1, &info);
	ck_assert_uint_eq(sealx(tpm, TPM_ET_XOR, &info, "x", 1, &sealed), TPM_BADINDEX);
	tpm_free(tpm);
}
END_TEST

START_TEST(what_sealx_sealed_needs_a_session_of_the_key_to_come_back)
{
	struct key_template open_srk = test_srk_key;
	struct tpm *tpm = test_tpm();
	struct test_session entity;
	struct blob info, sealed;
	struct call c;

	open_srk.authDataUsage = TPM_AUTH_NEVER;
	ck_assert_uint_eq(test_take_ownership(tpm, &open_srk), TPM_SUCCESS);
	test_pcr_info_long(tpm, 0, 0, 0x1f, &info);
	ck_assert_uint_eq(sealx(tpm, TPM_ET_XOR, &info, "secret", 6, &sealed), TPM_SUCCESS);
	call_begin_oiap(&c, &entity, tpm, TPM_ORD_Unseal, data_auth);
	call_handle(&c, TPM_KH_SRK);
	writer_bytes(&c.params, sealed.data, sealed.len);
	ck_assert_uint_eq(call_run(&c), TPM_AUTHFAIL);
	tpm_free(tpm);
}
END_TEST

START_TEST(what_sealx_sealed_is_unsealed_the_same_way)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob info, sealed, got;

	test_pcr_info_long(tpm, 0, 0, 0x1f, &info);
	ck_assert_uint_eq(sealx(tpm, TPM_ET_AES, &info, "secret", 6, &sealed), TPM_SUCCESS);
	ck_assert_uint_eq(unsealx(tpm, TPM_ET_XOR, &sealed, &got), TPM_BAD_TYPE);
	ck_assert_uint_eq(test_unseal(tpm, &sealed, data_auth, &got), TPM_BAD_MODE);
	ck_assert_uint_eq(unsealx(tpm, TPM_ET_AES, &sealed, &got), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		what_is_sealed_comes_back,
		a_long_text_is_not_sealed,
		unsealing_needs_the_secrets_of_key_and_data,
		sealed_data_can_be_bound_to_registers,
		the_long_structure_binds_to_localities,
		a_malformed_structure_of_registers_is_refused,
		a_selection_of_localities_has_one_and_none_that_does_not_exist,
		no_byte_of_sealed_data_can_be_changed,
		the_version_of_sealed_data_is_the_one_it_was_sealed_with,
		data_sealed_elsewhere_is_refused,
		a_new_owner_cannot_unseal_what_the_old_one_sealed,
		storage_keys_that_do_not_migrate_seal,
		sealx_keeps_data_secret_on_its_way,
		sealx_needs_the_long_structure,
		what_sealx_sealed_needs_a_session_of_the_key_to_come_back,
		what_sealx_sealed_is_unsealed_the_same_way,
		NULL,
	};

	return test_suite("storage_seal", tests);
}
