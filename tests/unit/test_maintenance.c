#include "tests/unit/soft_key.h"

#include <openssl/rsa.h>

#include <tpmcore/core.h>

static const uint8_t anti_replay[TPM_DIGEST_SIZE] = "a nonce of the maker";
static const uint8_t digest[TPM_DIGEST_SIZE] = "twenty bytes to sign";

/* A TPM that its manufacturer made with maintenance. */
static struct tpm *
maintained(struct tpm *tpm)
{
	PERMANENT_FLAG(tpm, ALLOWMAINTENANCE) = true;
	return tpm;
}

static TPM_RESULT
load_pub(struct tpm *tpm, const struct soft_key *maker, struct blob *checksum)
{
	struct call c;

	call_begin(&c, tpm, TPM_ORD_LoadManuMaintPub);
	writer_bytes(&c.params, anti_replay, sizeof(anti_replay));
	soft_key_write(&c.params, maker, TPM_ES_RSAESOAEP_SHA1_MGF1, TPM_SS_NONE);
	return call_run_all(&c, checksum);
}

static TPM_RESULT
read_pub(struct tpm *tpm, struct blob *checksum)
{
	struct call c;

	call_begin(&c, tpm, TPM_ORD_ReadManuMaintPub);
	writer_bytes(&c.params, anti_replay, sizeof(anti_replay));
	return call_run_all(&c, checksum);
}

/* random is empty and archive a TPM_KEY. */
static TPM_RESULT
create_archive(struct tpm *tpm, bool generate_random, struct blob *random, struct blob *archive)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_CreateMaintenanceArchive, owner_auth);
	writer_u8(&c.params, generate_random);
	TPM_RESULT rc = call_run_into(&c, random);
	if (rc == TPM_SUCCESS) {
		struct reader key = reader_sized(&c.out);
		ck_assert(reader_done(&c.out));
		archive->len = key.left;
		reader_bytes(&key, archive->data, key.left);
	}
	return rc;
}

static TPM_RESULT
load_archive(struct tpm *tpm, const struct blob *archive, const struct blob *random)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_LoadMaintenanceArchive, owner_auth);
	writer_bytes(&c.params, archive->data, archive->len);
	writer_sized(&c.params, random->data, random->len);
	return call_run(&c);
}

START_TEST(maintenance_is_disabled_unless_the_maker_wants_it)
{
	struct tpm *tpm = test_owned_tpm();
	struct soft_key maker = soft_key_new(2048);
	struct blob key, random;

	ck_assert_uint_eq(load_pub(tpm, &maker, &random), TPM_DISABLED_CMD);
	ck_assert_uint_eq(read_pub(tpm, &random), TPM_DISABLED_CMD);
	ck_assert_uint_eq(create_archive(tpm, true, &random, &key), TPM_DISABLED_CMD);
	ck_assert_uint_eq(test_create_key(tpm, &test_storage_key, &key), TPM_SUCCESS);
	random.len = 198;
	ck_assert_uint_eq(load_archive(tpm, &key, &random), TPM_DISABLED_CMD);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_KillMaintenanceFeature, owner_auth),
			  TPM_DISABLED_CMD);
	soft_key_free(&maker);
	tpm_free(tpm);
}
END_TEST

START_TEST(makers_key_is_loaded_once)
{
	struct tpm *tpm = maintained(test_owned_tpm());
	struct soft_key maker = soft_key_new(2048), weak = soft_key_new(1024);
	struct blob checksum, again;
	uint8_t buf[512], expected[TPM_DIGEST_SIZE];
	struct writer w = writer_of(buf, sizeof(buf));

	ck_assert_uint_eq(read_pub(tpm, &checksum), TPM_KEYNOTFOUND);
	ck_assert_uint_eq(load_pub(tpm, &weak, &checksum), TPM_BAD_KEY_PROPERTY);
	ck_assert_uint_eq(load_pub(tpm, &maker, &checksum), TPM_SUCCESS);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	soft_key_write(&w, &maker, TPM_ES_RSAESOAEP_SHA1_MGF1, TPM_SS_NONE);
	writer_bytes(&w, anti_replay, sizeof(anti_replay));
	reference_sha1(expected, buf, w.len);
	ck_assert_mem_eq(checksum.data, expected, sizeof(expected));
	ck_assert_uint_eq(load_pub(tpm, &maker, &checksum), TPM_DISABLED_CMD);
	test_reboot(tpm);
	ck_assert_uint_eq(read_pub(tpm, &again), TPM_SUCCESS);
	ck_assert_mem_eq(again.data, expected, sizeof(expected));
	soft_key_free(&maker);
	soft_key_free(&weak);
	tpm_free(tpm);
}
END_TEST

START_TEST(maker_moves_the_srk_to_another_tpm)
{
	struct tpm *from = maintained(test_owned_tpm()), *to;
	struct soft_key maker = soft_key_new(2048);
	struct blob checksum, random, archive, key, srk, signature;
	struct test_session s;
	struct call c;
	uint8_t packed[256];
	uint32_t handle;

	ck_assert_uint_eq(test_create_key(from, &test_signing_key, &key), TPM_SUCCESS);
	ck_assert_uint_eq(create_archive(from, true, &random, &archive), TPM_KEYNOTFOUND);
	ck_assert_uint_eq(load_pub(from, &maker, &checksum), TPM_SUCCESS);
	ck_assert_uint_eq(create_archive(from, true, &random, &archive), TPM_SUCCESS);
	ck_assert(test_flag(from, TPM_CAP_FLAG_PERMANENT, TPM_PF_MAINTENANCEDONE));
	tpm_free(from);

	/* The maker opens the archive and packs it for the other TPM's SRK. */
	struct reader enc = enc_data_of_key(&archive);
	int len = soft_key_decrypt(&maker, packed, enc.pos, enc.left);
	ck_assert_int_eq(len, (int)random.len);
	to = maintained(test_tpm());
	ck_assert_uint_eq(test_take_ownership(to, &test_srk_key), TPM_SUCCESS);
	call_begin_oiap(&c, &s, to, TPM_ORD_OwnerReadInternalPub, owner_auth);
	writer_u32(&c.params, TPM_KH_SRK);
	ck_assert_uint_eq(call_run_all(&c, &srk), TPM_SUCCESS);
	EVP_PKEY *public = test_pubkey_public(&srk);
	checksum.len = 256;
	ck_assert_int_eq(reference_rsa(public, REFERENCE_ENCRYPT, RSA_PKCS1_OAEP_PADDING,
				       checksum.data, packed, (size_t)len),
			 256);
	EVP_PKEY_free(public);
	replace_enc_data(&archive, &checksum);

	ck_assert_uint_ne(test_load_key(to, &key, &handle), TPM_SUCCESS);
	random.data[70] ^= 1;
	ck_assert_uint_eq(load_archive(to, &archive, &random), TPM_DECRYPT_ERROR);
	random.data[70] ^= 1;
	ck_assert_uint_eq(load_archive(to, &archive, &random), TPM_SUCCESS);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	ck_assert_uint_eq(test_load_key(to, &key, &handle), TPM_SUCCESS);
	ck_assert_uint_eq(test_sign(to, handle, key_auth, digest, sizeof(digest), &signature),
			  TPM_SUCCESS);
	soft_key_free(&maker);
	tpm_free(to);
}
END_TEST

START_TEST(archive_may_be_masked_by_the_owners_secret)
{
	struct tpm *tpm = maintained(test_owned_tpm());
	struct soft_key maker = soft_key_new(2048);
	struct blob checksum, random, archive;
	uint8_t o[256], seed[TPM_DIGEST_SIZE];

	ck_assert_uint_eq(load_pub(tpm, &maker, &checksum), TPM_SUCCESS);
	ck_assert_uint_eq(create_archive(tpm, false, &random, &archive), TPM_SUCCESS);
	ck_assert_uint_eq(random.len, 0);
	struct reader enc = enc_data_of_key(&archive);
	int len = soft_key_decrypt(&maker, o, enc.pos, enc.left);
	ck_assert_int_eq(len, 198);
	reference_mgf1_xor(o, 198, owner_auth, TPM_DIGEST_SIZE);
	/* OAEP with pHash the owner's AuthData, and in the seed the size of the prime */
	reference_mgf1_xor(o, TPM_DIGEST_SIZE, o + TPM_DIGEST_SIZE, 198 - TPM_DIGEST_SIZE);
	memcpy(seed, o, sizeof(seed));
	reference_mgf1_xor(o + TPM_DIGEST_SIZE, 198 - TPM_DIGEST_SIZE, seed, sizeof(seed));
	ck_assert_mem_eq(o + TPM_DIGEST_SIZE, owner_auth, TPM_DIGEST_SIZE);
	ck_assert_uint_eq(seed[3], 128);
	soft_key_free(&maker);
	tpm_free(tpm);
}
END_TEST

START_TEST(maintenance_is_killed_for_good)
{
	struct tpm *tpm = maintained(test_owned_tpm());
	struct blob checksum;

	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_KillMaintenanceFeature, wrong_auth),
			  TPM_AUTHFAIL);
	ck_assert_uint_eq(read_pub(tpm, &checksum), TPM_KEYNOTFOUND);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_KillMaintenanceFeature, owner_auth), TPM_SUCCESS);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	ck_assert_uint_eq(read_pub(tpm, &checksum), TPM_DISABLED_CMD);
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		maintenance_is_disabled_unless_the_maker_wants_it,
		makers_key_is_loaded_once,
		maker_moves_the_srk_to_another_tpm,
		archive_may_be_masked_by_the_owners_secret,
		maintenance_is_killed_for_good,
		NULL,
	};

	return test_suite("maintenance", tests);
}
