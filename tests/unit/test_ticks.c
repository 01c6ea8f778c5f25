#include "tests/unit/support.h"

enum { TICKS_SIZE = 2 + 8 + 2 + TPM_DIGEST_SIZE };

/* TPM_CURRENT_TICKS. */
struct ticks {
	uint64_t count;
	uint16_t rate;
	uint8_t nonce[TPM_DIGEST_SIZE];
};

static struct ticks
read_ticks(struct reader *r)
{
	struct ticks t;

	ck_assert_uint_eq(reader_u16(r), TPM_TAG_CURRENT_TICKS);
	t.count = reader_u64(r);
	t.rate = reader_u16(r);
	reader_bytes(r, t.nonce, sizeof(t.nonce));
	ck_assert(!r->failed);
	return t;
}

static struct ticks
get_ticks(struct tpm *tpm)
{
	struct call c;

	call_begin(&c, tpm, TPM_ORD_GetTicks);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	struct ticks t = read_ticks(&c.out);
	ck_assert(reader_done(&c.out));
	return t;
}

START_TEST(ticks_are_microseconds_since_power_on)
{
	struct tpm *tpm = test_tpm();
	struct ticks before = get_ticks(tpm);

	ck_assert_uint_eq(before.rate, 1);
	bench.now += 12345;
	struct ticks after = get_ticks(tpm);
	ck_assert_uint_eq(after.count - before.count, 12345);
	ck_assert_mem_eq(after.nonce, before.nonce, TPM_DIGEST_SIZE);
	ck_assert_uint_eq(bench.changed, 0);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_boot_begins_a_new_tick_session)
{
	struct tpm *tpm = test_tpm();

	bench.now += 1000000;
	struct ticks before = get_ticks(tpm);
	test_reboot(tpm);
	struct ticks after = get_ticks(tpm);
	ck_assert_uint_lt(after.count, before.count);
	ck_assert_mem_ne(after.nonce, before.nonce, TPM_DIGEST_SIZE);
	tpm_free(tpm);
}
END_TEST

static TPM_RESULT
stamp(struct call *c, struct tpm *tpm, uint32_t key, const uint8_t *auth)
{
	static struct test_session s;

	call_begin(c, tpm, TPM_ORD_TickStampBlob);
	call_handle(c, key);
	writer_bytes(&c->params, migration_auth, TPM_DIGEST_SIZE); /* antiReplay */
	writer_bytes(&c->params, data_auth, TPM_DIGEST_SIZE);      /* digestToStamp */
	ck_assert_uint_eq(test_oiap(tpm, &s, auth), TPM_SUCCESS);
	call_session(c, &s);
	return call_run(c);
}

START_TEST(a_stamp_signs_digest_and_ticks)
{
	static const uint16_t schemes[] = { TPM_SS_RSASSAPKCS1v15_SHA1,
					    TPM_SS_RSASSAPKCS1v15_INFO };

	for (unsigned i = 0; i < 2; i++) {
		struct tpm *tpm = test_owned_tpm();
		struct key_template t = test_signing_key;
		uint8_t info[128], digest[TPM_DIGEST_SIZE];
		struct writer w = writer_of(info, sizeof(info));
		struct blob key;
		struct call c;

		t.sigScheme = schemes[i];
		uint32_t handle = test_make_key(tpm, &t, &key);
		ck_assert_uint_eq(stamp(&c, tpm, handle, key_auth), TPM_SUCCESS);
		struct reader ticks = c.out;
		struct ticks told = read_ticks(&c.out), now = get_ticks(tpm);
		ck_assert_uint_eq(told.count, now.count);
		ck_assert_mem_eq(told.nonce, now.nonce, TPM_DIGEST_SIZE);

		writer_u16(&w, TPM_TAG_SIGNINFO);
		writer_bytes(&w, "TSTP", 4);
		writer_bytes(&w, migration_auth, TPM_DIGEST_SIZE);
		writer_u32(&w, TPM_DIGEST_SIZE + TICKS_SIZE);
		writer_bytes(&w, data_auth, TPM_DIGEST_SIZE);
		writer_bytes(&w, ticks.pos, TICKS_SIZE);
		reference_sha1(digest, info, w.len);
		struct reader signature = reader_sized(&c.out);
		EVP_PKEY *public = test_key_public(&key);
		ck_assert(reference_verify_sha1(public, signature.pos, signature.left, digest));
		EVP_PKEY_free(public);
		tpm_free(tpm);
	}
}
END_TEST

START_TEST(only_keys_that_sign_a_hash_stamp)
{
	struct tpm *tpm = test_owned_tpm();
	struct key_template der = test_signing_key;
	struct call c;

	der.sigScheme = TPM_SS_RSASSAPKCS1v15_DER;
	ck_assert_uint_eq(stamp(&c, tpm, test_make_key(tpm, &test_bind_key, NULL), key_auth),
			  TPM_INVALID_KEYUSAGE);
	ck_assert_uint_eq(stamp(&c, tpm, test_make_key(tpm, &der, NULL), key_auth),
			  TPM_INAPPROPRIATE_SIG);
	ck_assert_uint_eq(stamp(&c, tpm, test_make_key(tpm, &test_signing_key, NULL), wrong_auth),
			  TPM_AUTHFAIL);
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		ticks_are_microseconds_since_power_on,
		a_boot_begins_a_new_tick_session,
		a_stamp_signs_digest_and_ticks,
		only_keys_that_sign_a_hash_stamp,
		NULL,
	};

	return test_suite("ticks", tests);
}
