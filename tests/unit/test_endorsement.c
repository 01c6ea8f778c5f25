#include "tests/unit/snapshot.h"
#include "tests/unit/support.h"

#include <stdlib.h>

#include <tpmcore/core.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const uint8_t nonce[TPM_DIGEST_SIZE] = "antiReplay, 20 bytes";
static const uint8_t reset_value[TPM_DIGEST_SIZE] = "the operator's value";

/* TPM_KEY_PARMS of RSA. */
struct parms {
	uint32_t algorithm;
	uint16_t encScheme, sigScheme;
	uint32_t bits, primes, exponent; /* exponent 0: left out */
};
static const struct parms ek_parms = { TPM_ALG_RSA, TPM_ES_RSAESOAEP_SHA1_MGF1,
				       TPM_SS_NONE, 2048,
				       2,           0 };

static void
write_parms(struct writer *w, const struct parms *p)
{
	size_t exponent = p->exponent ? 4 : 0;

	writer_u32(w, p->algorithm);
	writer_u16(w, p->encScheme);
	writer_u16(w, p->sigScheme);
	writer_u32(w, (uint32_t)(12 + exponent));
	writer_u32(w, p->bits);
	writer_u32(w, p->primes);
	writer_u32(w, (uint32_t)exponent);
	writer_uint(w, p->exponent, exponent);
}

/* pubEndorsementKey and its checksum, which must be right. */
static void
read_pubek(struct reader *r, struct blob *pubek)
{
	uint8_t checked[TPM_BUFFER_SIZE], digest[TPM_DIGEST_SIZE];
	struct reader look = *r;

	reader_view(&look, 4 + 2 + 2);
	reader_sized(&look);
	reader_sized(&look);
	ck_assert(!look.failed);
	pubek->len = r->left - look.left;
	reader_bytes(r, pubek->data, pubek->len);
	memcpy(checked, pubek->data, pubek->len);
	memcpy(checked + pubek->len, nonce, sizeof(nonce));
	reference_sha1(digest, checked, pubek->len + sizeof(nonce));
	const uint8_t *checksum = reader_view(r, sizeof(digest));
	ck_assert(!r->failed);
	ck_assert_mem_eq(checksum, digest, sizeof(digest));
}

static TPM_RESULT
create_ek(struct tpm *tpm, const struct parms *parms, struct blob *pubek)
{
	struct call c;

	call_begin(&c, tpm, TPM_ORD_CreateEndorsementKeyPair);
	writer_bytes(&c.params, nonce, sizeof(nonce));
	write_parms(&c.params, parms);
	TPM_RESULT rc = call_run(&c);
	if (rc == TPM_SUCCESS) {
		read_pubek(&c.out, pubek);
		ck_assert(reader_done(&c.out));
	}
	return rc;
}

/* reset: what to revoke it by; NULL: the TPM shall choose, and writes to chosen. */
static TPM_RESULT
create_revocable_ek(struct tpm *tpm, const struct parms *parms, const uint8_t *reset,
		    uint8_t *chosen, struct blob *pubek)
{
	static const uint8_t ignored[TPM_DIGEST_SIZE];
	struct call c;

	call_begin(&c, tpm, TPM_ORD_CreateRevocableEK);
	writer_bytes(&c.params, nonce, sizeof(nonce));
	write_parms(&c.params, parms);
	writer_u8(&c.params, !reset);
	writer_bytes(&c.params, reset ? reset : ignored, TPM_DIGEST_SIZE);
	TPM_RESULT rc = call_run(&c);
	if (rc == TPM_SUCCESS) {
		read_pubek(&c.out, pubek);
		reader_bytes(&c.out, chosen, TPM_DIGEST_SIZE);
		ck_assert(reader_done(&c.out));
	}
	return rc;
}

static TPM_RESULT
revoke(struct tpm *tpm, const uint8_t *reset)
{
	struct call c;

	call_begin(&c, tpm, TPM_ORD_RevokeTrust);
	writer_bytes(&c.params, reset, TPM_DIGEST_SIZE);
	return call_run(&c);
}

static void
assert_same(const struct blob *a, const struct blob *b)
{
	ck_assert_uint_eq(a->len, b->len);
	ck_assert_mem_eq(a->data, b->data, a->len);
}

START_TEST(a_blank_tpm_gets_an_endorsement_key_once)
{
	struct tpm *tpm = test_blank_tpm();
	struct blob made, read;

	ck_assert_uint_eq(test_read_pubek(tpm, &read), TPM_NO_ENDORSEMENT);
	ck_assert_uint_eq(create_ek(tpm, &ek_parms, &made), TPM_SUCCESS);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	EVP_PKEY *key = test_pubkey_public(&made);
	ck_assert_int_eq(EVP_PKEY_get_bits(key), 2048);
	EVP_PKEY_free(key);
	ck_assert_uint_eq(test_read_pubek(tpm, &read), TPM_SUCCESS);
	assert_same(&made, &read);
	ck_assert(test_flag(tpm, TPM_CAP_FLAG_PERMANENT, TPM_PF_CEKPUSED));
	ck_assert_uint_eq(create_ek(tpm, &ek_parms, &made), TPM_DISABLED_CMD);
	ck_assert_uint_eq(revoke(tpm, reset_value), TPM_PERMANENTEK);
	test_reboot(tpm);
	ck_assert_uint_eq(test_take_ownership(tpm, &test_srk_key), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_manufactured_endorsement_key_stays)
{
	struct tpm *tpm = test_tpm();
	struct blob before, after;
	uint8_t chosen[TPM_DIGEST_SIZE];

	ck_assert(!test_flag(tpm, TPM_CAP_FLAG_PERMANENT, TPM_PF_CEKPUSED));
	ck_assert_uint_eq(test_read_pubek(tpm, &before), TPM_SUCCESS);
	ck_assert_uint_eq(tpm_manufacture_ek(tpm), TPM_SUCCESS);
	ck_assert_uint_eq(create_ek(tpm, &ek_parms, &after), TPM_DISABLED_CMD);
	ck_assert_uint_eq(create_revocable_ek(tpm, &ek_parms, NULL, chosen, &after),
			  TPM_DISABLED_CMD);
	bench.physical_presence = true;
	ck_assert_uint_eq(revoke(tpm, reset_value), TPM_PERMANENTEK);
	ck_assert_uint_eq(test_read_pubek(tpm, &after), TPM_SUCCESS);
	assert_same(&before, &after);
	tpm_free(tpm);
}
END_TEST

START_TEST(an_endorsement_key_has_2048_bits)
{
	static const struct parms wrong[] = {
		{ TPM_ALG_RSA, TPM_ES_RSAESOAEP_SHA1_MGF1, TPM_SS_NONE, 1024, 2, 0 },
		{ TPM_ALG_RSA, TPM_ES_RSAESOAEP_SHA1_MGF1, TPM_SS_NONE, 4096, 2, 0 },
		{ TPM_ALG_RSA, TPM_ES_RSAESOAEP_SHA1_MGF1, TPM_SS_NONE, 2048, 3, 0 },
		{ TPM_ALG_AES, TPM_ES_RSAESOAEP_SHA1_MGF1, TPM_SS_NONE, 2048, 2, 0 },
	};
	struct tpm *tpm = test_blank_tpm();
	uint8_t chosen[TPM_DIGEST_SIZE];
	struct blob pubek;

	for (size_t i = 0; i < COUNT(wrong); i++) {
		ck_assert_uint_eq(create_ek(tpm, &wrong[i], &pubek), TPM_BAD_KEY_PROPERTY);
		ck_assert_uint_eq(create_revocable_ek(tpm, &wrong[i], NULL, chosen, &pubek),
				  TPM_BAD_KEY_PROPERTY);
	}
	ck_assert_uint_eq(test_read_pubek(tpm, &pubek), TPM_NO_ENDORSEMENT);
	tpm_free(tpm);
}
END_TEST

START_TEST(schemes_asked_for_are_ignored)
{
	const struct parms odd = { TPM_ALG_RSA, TPM_ES_NONE, TPM_SS_RSASSAPKCS1v15_SHA1,
				   2048,        2,           65537 };
	struct tpm *tpm = test_blank_tpm();
	uint8_t chosen[TPM_DIGEST_SIZE];
	struct blob pubek;

	ck_assert_uint_eq(create_revocable_ek(tpm, &odd, NULL, chosen, &pubek), TPM_SUCCESS);
	ck_assert_uint_eq(test_take_ownership(tpm, &test_srk_key), TPM_SUCCESS); /* OAEP works */
	tpm_free(tpm);
}
END_TEST

START_TEST(generation_can_be_cancelled)
{
	struct tpm *tpm = test_blank_tpm();
	uint8_t chosen[TPM_DIGEST_SIZE];
	struct snapshot before;
	struct blob pubek;

	snapshot_take(&before, tpm);
	for (unsigned at = 1; at <= 3; at++) {
		bench.cancel_after = at;
		ck_assert_uint_eq(create_ek(tpm, &ek_parms, &pubek), TPM_FAIL);
		ck_assert_uint_eq(snapshot_changes(&before, tpm), 0);
		bench.cancel_after = at;
		ck_assert_uint_eq(create_revocable_ek(tpm, &ek_parms, NULL, chosen, &pubek),
				  TPM_FAIL);
		ck_assert_uint_eq(snapshot_changes(&before, tpm), 0);
		ck_assert(!(bench.changed & TPM_CHANGED_PERMANENT));
	}
	snapshot_free(&before);
	bench.cancel_after = 1;
	ck_assert_uint_eq(tpm_manufacture_ek(tpm), TPM_FAIL);
	ck_assert_uint_eq(test_read_pubek(tpm, &pubek), TPM_NO_ENDORSEMENT);
	tpm_free(tpm);
}
END_TEST

/* That no DAA data of before is of use any more. */
static void
assert_new_daa_secrets(const struct permanent *before, const struct tpm *tpm)
{
	const struct permanent *now = &tpm->permanent;

	ck_assert_mem_ne(before->tpmDAASeed, now->tpmDAASeed, sizeof(now->tpmDAASeed));
	ck_assert_mem_ne(before->daaProof, now->daaProof, sizeof(now->daaProof));
	ck_assert_mem_ne(before->daaBlobKey, now->daaBlobKey, sizeof(now->daaBlobKey));
}

START_TEST(a_revocable_key_is_revoked_by_who_knows_its_value)
{
	struct tpm *tpm = test_blank_tpm();
	uint8_t chosen[TPM_DIGEST_SIZE];
	struct blob first, second;

	for (int i = 0; i < 2; i++) {
		const uint8_t *wish = i == 0 ? reset_value : NULL;

		bench.physical_presence = false;
		ck_assert_uint_eq(create_revocable_ek(tpm, &ek_parms, wish, chosen, &first),
				  TPM_SUCCESS);
		ck_assert((memcmp(chosen, reset_value, sizeof(chosen)) == 0) == (i == 0));
		ck_assert_uint_eq(test_take_ownership(tpm, &test_srk_key), TPM_SUCCESS);

		ck_assert_uint_eq(revoke(tpm, nonce), TPM_AUTHFAIL);
		ck_assert_uint_eq(revoke(tpm, chosen), TPM_BAD_PRESENCE);
		bench.physical_presence = true;
		ck_assert_uint_eq(revoke(tpm, nonce), TPM_AUTHFAIL);
		ck_assert_uint_eq(revoke(tpm, chosen), TPM_SUCCESS);
		ck_assert(bench.changed & TPM_CHANGED_PERMANENT);

		/* the owner is gone as well, and the TPM disabled */
		ck_assert_uint_eq(test_read_pubek(tpm, &second), TPM_DISABLED);
		ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PhysicalEnable), TPM_SUCCESS);
		ck_assert_uint_eq(test_plain_u8(tpm, TPM_ORD_PhysicalSetDeactivated, 0),
				  TPM_SUCCESS);
		test_reboot(tpm);
		ck_assert_uint_eq(test_owner(tpm, TPM_ORD_OwnerReadPubek, owner_auth), TPM_NOSRK);
		ck_assert_uint_eq(test_read_pubek(tpm, &second), TPM_NO_ENDORSEMENT);
		ck_assert_uint_eq(revoke(tpm, chosen), TPM_PERMANENTEK);
	}
	ck_assert_uint_eq(create_ek(tpm, &ek_parms, &second), TPM_SUCCESS);
	ck_assert_uint_eq(second.len, first.len);
	ck_assert_mem_ne(second.data, first.data, first.len);
	ck_assert_uint_eq(revoke(tpm, chosen), TPM_PERMANENTEK);
	tpm_free(tpm);
}
END_TEST

START_TEST(what_the_manufacturer_defined_goes_with_a_revoked_key)
{
	enum { D_BIT = 0x10000000, KEPT = 0x1000, WITH_KEY, WITH_KEY_TOO, WITH_OWNER };
	struct tpm *tpm = test_blank_tpm();
	struct permanent before;
	uint8_t chosen[TPM_DIGEST_SIZE];
	struct blob pubek, list;

	before = tpm->permanent;
	ck_assert_uint_eq(create_revocable_ek(tpm, &ek_parms, reset_value, chosen, &pubek),
			  TPM_SUCCESS);
	assert_new_daa_secrets(&before, tpm);
	ck_assert_uint_eq(test_take_ownership(tpm, &test_srk_key), TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, KEPT, TPM_NV_PER_PPWRITE, 1),
			  TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, D_BIT | WITH_KEY, TPM_NV_PER_PPWRITE, 1),
			  TPM_SUCCESS);
	ck_assert_uint_eq(
	    test_nv_define(tpm, owner_auth, D_BIT | WITH_KEY_TOO, TPM_NV_PER_OWNERWRITE, 1),
	    TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, WITH_OWNER, TPM_NV_PER_OWNERWRITE, 1),
			  TPM_SUCCESS);
	test_nv_lock(tpm);
	before = tpm->permanent;
	bench.physical_presence = true;
	ck_assert_uint_eq(revoke(tpm, reset_value), TPM_SUCCESS);
	ck_assert_uint_eq(test_get_capability(tpm, TPM_CAP_NV_LIST, NULL, 0, &list), TPM_SUCCESS);
	ck_assert_uint_eq(list.len, 4);
	ck_assert_mem_eq(list.data, ((uint8_t[]) { 0, 0, KEPT >> 8, KEPT & 0xff }), 4);
	ck_assert(!test_flag(tpm, TPM_CAP_FLAG_PERMANENT, TPM_PF_NV_LOCKED));
	assert_new_daa_secrets(&before, tpm);
	tpm_free(tpm);
}
END_TEST

static TPM_RESULT
owner_read(struct tpm *tpm, uint32_t key, const uint8_t *auth, struct blob *pubkey)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_OwnerReadInternalPub, auth);
	writer_u32(&c.params, key);
	return call_run_all(&c, pubkey);
}

START_TEST(with_an_owner_only_the_owner_reads_the_endorsement_key)
{
	struct tpm *tpm = test_tpm();
	struct blob before, pubek;
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(test_read_pubek(tpm, &before), TPM_SUCCESS);
	ck_assert_uint_eq(test_take_ownership(tpm, &test_srk_key), TPM_SUCCESS);
	ck_assert_uint_eq(test_read_pubek(tpm, &pubek), TPM_DISABLED_CMD);
	call_begin_oiap(&c, &s, tpm, TPM_ORD_OwnerReadPubek, owner_auth);
	ck_assert_uint_eq(call_run_all(&c, &pubek), TPM_SUCCESS);
	assert_same(&before, &pubek);
	ck_assert_uint_eq(owner_read(tpm, TPM_KH_EK, owner_auth, &pubek), TPM_SUCCESS);
	assert_same(&before, &pubek);
	ck_assert_uint_eq(owner_read(tpm, TPM_KH_EK, wrong_auth, &pubek), TPM_AUTHFAIL);
	ck_assert_uint_eq(owner_read(tpm, 0x01000001, owner_auth, &pubek), TPM_BAD_PARAMETER);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_OwnerReadPubek, wrong_auth), TPM_AUTHFAIL);
	tpm_free(tpm);
}
END_TEST

/* Whether everybody may read the key is a permanent flag that the owner can set and reset. */
START_TEST(the_owner_decides_who_reads_the_endorsement_key)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session s;
	struct blob pubek;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_SetCapability, owner_auth);
	writer_u32(&c.params, TPM_SET_PERM_FLAGS);
	writer_sized(&c.params, "\0\0\0\4", 4); /* TPM_PF_READPUBEK */
	writer_sized(&c.params, "\1", 1);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	ck_assert_uint_eq(test_read_pubek(tpm, &pubek), TPM_SUCCESS);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_DisablePubekRead, wrong_auth), TPM_AUTHFAIL);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_DisablePubekRead, owner_auth), TPM_SUCCESS);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	test_reboot(tpm);
	ck_assert_uint_eq(test_read_pubek(tpm, &pubek), TPM_DISABLED_CMD);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_platform_reads_the_key_whoever_else_may)
{
	struct tpm *tpm = test_blank_tpm();
	uint8_t pubkey[512];
	struct blob read;

	ck_assert_uint_eq(tpm_ek_public(tpm, pubkey, sizeof(pubkey)), 0);
	ck_assert_uint_eq(tpm_manufacture_ek(tpm), TPM_SUCCESS);
	ck_assert_uint_eq(tpm_ek_public(tpm, pubkey, 100), 0);
	size_t len = tpm_ek_public(tpm, pubkey, sizeof(pubkey));
	ck_assert_uint_eq(test_read_pubek(tpm, &read), TPM_SUCCESS);
	ck_assert_uint_eq(read.len, len);
	ck_assert_mem_eq(read.data, pubkey, len);
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_blank_tpm_gets_an_endorsement_key_once,
		a_manufactured_endorsement_key_stays,
		an_endorsement_key_has_2048_bits,
		schemes_asked_for_are_ignored,
		generation_can_be_cancelled,
		a_revocable_key_is_revoked_by_who_knows_its_value,
		what_the_manufacturer_defined_goes_with_a_revoked_key,
		with_an_owner_only_the_owner_reads_the_endorsement_key,
		the_owner_decides_who_reads_the_endorsement_key,
		the_platform_reads_the_key_whoever_else_may,
		NULL,
	};

	return test_suite("endorsement", tests);
}
