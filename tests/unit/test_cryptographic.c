#include "tests/unit/snapshot.h"
#include "tests/unit/support.h"

static const uint8_t digest[TPM_DIGEST_SIZE] = "twenty bytes exactly";

/* ---- The SHA-1 thread ---- */

static TPM_RESULT
sha1_update(struct tpm *tpm, const void *data, size_t len)
{
	struct call c;

	call_begin(&c, tpm, TPM_ORD_SHA1Update);
	writer_sized(&c.params, data, len);
	return call_run(&c);
}

static TPM_RESULT
sha1_complete(struct tpm *tpm, const void *data, size_t len, uint8_t *hash)
{
	struct call c;

	call_begin(&c, tpm, TPM_ORD_SHA1Complete);
	writer_sized(&c.params, data, len);
	TPM_RESULT rc = call_run(&c);
	if (rc == TPM_SUCCESS) {
		reader_bytes(&c.out, hash, TPM_DIGEST_SIZE);
		ck_assert(reader_done(&c.out));
	}
	return rc;
}

/* Starts a thread; returns the most bytes of one update. */
static uint32_t
sha1_start(struct tpm *tpm)
{
	struct call c;

	call_begin(&c, tpm, TPM_ORD_SHA1Start);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	return reader_u32(&c.out);
}

START_TEST(a_thread_hashes_what_comes_in_pieces)
{
	struct tpm *tpm = test_tpm();
	uint8_t data[2 * TPM_BUFFER_SIZE], hash[TPM_DIGEST_SIZE], expected[TPM_DIGEST_SIZE];
	uint32_t most = sha1_start(tpm);

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	ck_assert_uint_ge(most, 64);
	ck_assert_uint_eq(most % 64, 0);
	for (size_t last = 0; last <= 64; last++) {
		sha1_start(tpm);
		ck_assert_uint_eq(sha1_update(tpm, data, most), TPM_SUCCESS);
		ck_assert_uint_eq(sha1_update(tpm, data + most, 64), TPM_SUCCESS);
		ck_assert_uint_eq(sha1_complete(tpm, data + most + 64, last, hash), TPM_SUCCESS);
		reference_sha1(expected, data, most + 64 + last);
		ck_assert_mem_eq(hash, expected, sizeof(hash));
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(an_incomplete_block_in_the_middle_ends_the_thread)
{
	static const size_t sizes[] = { 1, 63, 65, 100 };
	struct tpm *tpm = test_tpm();
	uint8_t data[128] = { 0 }, hash[TPM_DIGEST_SIZE];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		sha1_start(tpm);
		ck_assert_uint_eq(sha1_update(tpm, data, sizes[i]), TPM_SHA_ERROR);
		ck_assert_uint_eq(sha1_update(tpm, data, 64), TPM_SHA_THREAD);
		ck_assert_uint_eq(sha1_complete(tpm, data, 64, hash), TPM_SHA_THREAD);
	}
	sha1_start(tpm);
	ck_assert_uint_eq(sha1_complete(tpm, data, 65, hash), TPM_SHA_ERROR);
	ck_assert_uint_eq(sha1_complete(tpm, data, 64, hash), TPM_SHA_THREAD);
	tpm_free(tpm);
}
END_TEST

START_TEST(another_command_ends_the_thread)
{
	struct tpm *tpm = test_tpm();
	uint8_t data[64] = { 0 }, hash[TPM_DIGEST_SIZE];

	ck_assert_uint_eq(sha1_update(tpm, data, 64), TPM_SHA_THREAD);
	sha1_start(tpm);
	ck_assert_uint_eq(test_pcr_read(tpm, 0, hash), TPM_SUCCESS);
	ck_assert(bench.changed & TPM_CHANGED_VOLATILE);
	ck_assert_uint_eq(sha1_update(tpm, data, 64), TPM_SHA_THREAD);
	/* even one that is none, or has no parameters where it needs some */
	sha1_start(tpm);
	ck_assert_uint_eq(test_plain(tpm, 0x9999), TPM_BAD_ORDINAL);
	ck_assert_uint_eq(sha1_update(tpm, data, 64), TPM_SHA_THREAD);
	sha1_start(tpm);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PcrRead), TPM_BAD_PARAM_SIZE);
	ck_assert_uint_eq(sha1_update(tpm, data, 64), TPM_SHA_THREAD);
	sha1_start(tpm);
	ck_assert_uint_eq(sha1_complete(tpm, data, 64, hash), TPM_SUCCESS);
	ck_assert_uint_eq(sha1_complete(tpm, data, 64, hash), TPM_SHA_THREAD);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_command_that_is_refused_ends_the_thread_too)
{
	static const struct {
		uint16_t tag;
		uint32_t ordinal;
		size_t extra;
		TPM_RESULT rc;
		bool ends;
	} cases[] = {
		{ 0, TPM_ORD_GetTicks, 0, TPM_BADTAG, true },
		{ TPM_TAG_RQU_AUTH1_COMMAND, TPM_ORD_GetTicks, 0, TPM_BADTAG, true },
		{ TPM_TAG_RQU_COMMAND, TPM_ORD_GetTicks, 1, TPM_BAD_PARAM_SIZE, true },
		{ TPM_TAG_RQU_COMMAND, 0x2f00, 0, TPM_BAD_ORDINAL, true },
		{ 0, TPM_ORD_SHA1Start, 0, TPM_BADTAG, true },
		{ 0, TPM_ORD_SHA1Update, 0, TPM_BADTAG, false },
		{ TPM_TAG_RQU_COMMAND, TPM_ORD_SHA1Update, 1, TPM_BAD_PARAM_SIZE, false },
		{ TPM_TAG_RQU_COMMAND, TPM_ORD_SHA1Complete, 1, TPM_BAD_PARAM_SIZE, false },
	};
	struct tpm *tpm = test_tpm();

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint8_t command[16], response[TPM_BUFFER_SIZE], hash[TPM_DIGEST_SIZE];
		struct writer w = writer_of(command, sizeof(command));
		size_t len = sizeof(response);

		sha1_start(tpm);
		writer_u16(&w, cases[i].tag);
		writer_u32(&w, (uint32_t)(TPM_HEADER_SIZE + cases[i].extra));
		writer_u32(&w, cases[i].ordinal);
		writer_bytes(&w, "\0", cases[i].extra);
		unsigned changed = tpm_execute(tpm, 0, command, w.len, response, &len);
		ck_assert_uint_eq(response[9], cases[i].rc);
		ck_assert_uint_eq(changed, cases[i].ends ? TPM_CHANGED_VOLATILE : 0);
		ck_assert_uint_eq(sha1_complete(tpm, "", 0, hash),
				  cases[i].ends ? TPM_SHA_THREAD : TPM_SUCCESS);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(a_thread_goes_on_in_another_process)
{
	struct tpm *tpm = test_tpm(), *next = test_blank_tpm();
	uint8_t data[128] = "both halves", hash[TPM_DIGEST_SIZE], expected[TPM_DIGEST_SIZE];
	struct snapshot snapshot;

	sha1_start(tpm);
	ck_assert_uint_eq(sha1_update(tpm, data, 64), TPM_SUCCESS);
	snapshot_take(&snapshot, tpm);
	snapshot_restore(&snapshot, next);
	snapshot_free(&snapshot);
	tpm_free(tpm);
	ck_assert_uint_eq(sha1_complete(next, data + 64, 64, hash), TPM_SUCCESS);
	reference_sha1(expected, data, 128);
	ck_assert_mem_eq(hash, expected, sizeof(hash));
	tpm_free(next);
}
END_TEST

static TPM_RESULT
sha1_complete_extend(struct tpm *tpm, uint32_t pcr, const void *data, size_t len, uint8_t *hash,
		     uint8_t *value)
{
	struct call c;

	call_begin(&c, tpm, TPM_ORD_SHA1CompleteExtend);
	writer_u32(&c.params, pcr);
	writer_sized(&c.params, data, len);
	TPM_RESULT rc = call_run(&c);
	if (rc == TPM_SUCCESS) {
		reader_bytes(&c.out, hash, TPM_DIGEST_SIZE);
		reader_bytes(&c.out, value, TPM_DIGEST_SIZE);
		ck_assert(reader_done(&c.out));
	}
	return rc;
}

START_TEST(the_end_of_a_thread_can_extend_a_register)
{
	struct tpm *tpm = test_tpm();
	uint8_t hash[TPM_DIGEST_SIZE], value[TPM_DIGEST_SIZE], read[TPM_DIGEST_SIZE];
	uint8_t expected[2 * TPM_DIGEST_SIZE] = { 0 };

	reference_sha1(expected + TPM_DIGEST_SIZE, "boot loader", 11);
	sha1_start(tpm);
	ck_assert_uint_eq(sha1_complete_extend(tpm, 4, "boot loader", 11, hash, value),
			  TPM_SUCCESS);
	ck_assert_mem_eq(hash, expected + TPM_DIGEST_SIZE, sizeof(hash));
	reference_sha1(expected, expected, sizeof(expected));
	ck_assert_mem_eq(value, expected, sizeof(value));
	ck_assert_uint_eq(test_pcr_read(tpm, 4, read), TPM_SUCCESS);
	ck_assert_mem_eq(read, expected, sizeof(read));

	sha1_start(tpm);
	ck_assert_uint_eq(sha1_complete_extend(tpm, 24, "x", 1, hash, value), TPM_BADINDEX);
	sha1_start(tpm);
	ck_assert_uint_eq(sha1_complete_extend(tpm, 17, "x", 1, hash, value), TPM_BAD_LOCALITY);
	ck_assert_uint_eq(sha1_complete_extend(tpm, 4, "x", 1, hash, value), TPM_SHA_THREAD);
	tpm_free(tpm);
}
END_TEST

/* ---- Signatures ---- */

static struct key_template
signing_key(uint16_t usage, uint16_t scheme, uint32_t bits)
{
	return (struct key_template) {
		.usage = usage,
		.authDataUsage = TPM_AUTH_ALWAYS,
		.encScheme = usage == TPM_KEY_LEGACY ? TPM_ES_RSAESPKCSv15 : TPM_ES_NONE,
		.sigScheme = scheme,
		.bits = bits,
	};
}

START_TEST(a_sha1_key_signs_digests)
{
	static const struct {
		uint16_t usage;
		uint32_t bits;
	} keys[] = { { TPM_KEY_SIGNING, 512 },
		     { TPM_KEY_SIGNING, 1024 },
		     { TPM_KEY_SIGNING, 2048 },
		     { TPM_KEY_LEGACY, 512 } };
	static const size_t no_digests[] = { 0, 1, 19, 21, 64 };
	struct tpm *tpm = test_owned_tpm();
	uint8_t data[64] = { 0 };

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		struct key_template t =
		    signing_key(keys[i].usage, TPM_SS_RSASSAPKCS1v15_SHA1, keys[i].bits);
		struct blob key, signature;
		uint32_t handle = test_make_key(tpm, &t, &key);
		EVP_PKEY *public = test_key_public(&key);

		ck_assert_uint_eq(test_sign(tpm, handle, key_auth, digest, 20, &signature),
				  TPM_SUCCESS);
		ck_assert_uint_eq(signature.len, keys[i].bits / 8);
		ck_assert(reference_verify_sha1(public, signature.data, signature.len, digest));
		for (size_t k = 0; k < sizeof(no_digests) / sizeof(*no_digests); k++)
			ck_assert_uint_eq(
			    test_sign(tpm, handle, key_auth, data, no_digests[k], &signature),
			    TPM_BAD_PARAMETER);
		EVP_PKEY_free(public);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(a_der_key_signs_what_fits)
{
	static const uint16_t usages[] = { TPM_KEY_SIGNING, TPM_KEY_LEGACY };
	struct tpm *tpm = test_owned_tpm();
	uint8_t data[64] = "any structure that software built";

	for (size_t i = 0; i < 2; i++) {
		struct key_template t = signing_key(usages[i], TPM_SS_RSASSAPKCS1v15_DER, 512);
		struct blob key, signature;
		uint32_t handle = test_make_key(tpm, &t, &key);
		EVP_PKEY *public = test_key_public(&key);

		for (size_t len = 1; len <= 64 - 11; len += 13) {
			ck_assert_uint_eq(test_sign(tpm, handle, key_auth, data, len, &signature),
					  TPM_SUCCESS);
			ck_assert(
			    reference_verify_der(public, signature.data, signature.len, data, len));
		}
		ck_assert_uint_eq(test_sign(tpm, handle, key_auth, data, 54, &signature),
				  TPM_BAD_PARAMETER);
		ck_assert_uint_eq(test_sign(tpm, handle, key_auth, data, 0, &signature),
				  TPM_BAD_PARAMETER);
		EVP_PKEY_free(public);
	}
	tpm_free(tpm);
}
END_TEST

/* The digest of a TPM_SIGN_INFO of data. */
static void
sign_info_digest(const uint8_t *replay, const void *data, size_t len, uint8_t *out)
{
	uint8_t buf[TPM_BUFFER_SIZE];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_u16(&w, TPM_TAG_SIGNINFO);
	writer_bytes(&w, "SIGN", 4);
	writer_bytes(&w, replay, TPM_DIGEST_SIZE);
	writer_sized(&w, data, len);
	reference_sha1(out, buf, w.len);
}

START_TEST(an_info_key_signs_data_with_the_callers_nonce)
{
	struct key_template t = signing_key(TPM_KEY_SIGNING, TPM_SS_RSASSAPKCS1v15_INFO, 512);
	struct tpm *tpm = test_owned_tpm();
	uint8_t data[300] = "data of any length", signed_digest[TPM_DIGEST_SIZE];
	struct blob key, signature;
	struct test_session s;
	struct call c;

	t.authDataUsage = TPM_AUTH_NEVER;
	uint32_t handle = test_make_key(tpm, &t, &key);
	EVP_PKEY *public = test_key_public(&key);
	call_begin_oiap(&c, &s, tpm, TPM_ORD_Sign, key_auth);
	call_handle(&c, handle);
	writer_sized(&c.params, data, sizeof(data));
	sign_info_digest(s.nonceOdd, data, sizeof(data), signed_digest);
	ck_assert_uint_eq(call_run_into(&c, &signature), TPM_SUCCESS);
	ck_assert(reference_verify_sha1(public, signature.data, signature.len, signed_digest));
	EVP_PKEY_free(public);

	/* without a session there is no nonce */
	call_begin(&c, tpm, TPM_ORD_Sign);
	call_handle(&c, handle);
	writer_sized(&c.params, data, sizeof(data));
	ck_assert_uint_eq(call_run(&c), TPM_BAD_PARAMETER);
	tpm_free(tpm);
}
END_TEST

START_TEST(keys_of_other_usages_do_not_sign)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t handle = test_make_key(tpm, &test_bind_key, NULL);
	struct blob signature;

	ck_assert_uint_eq(test_sign(tpm, handle, key_auth, digest, 20, &signature),
			  TPM_INVALID_KEYUSAGE);
	ck_assert_uint_eq(test_sign(tpm, handle, key_auth, digest, 0, &signature),
			  TPM_BAD_PARAMETER);
	ck_assert_uint_eq(test_sign(tpm, TPM_KH_SRK, srk_auth, digest, 20, &signature),
			  TPM_INVALID_KEYUSAGE);
	tpm_free(tpm);
}
END_TEST

/* ---- Random bytes ---- */

static TPM_RESULT
get_random(struct tpm *tpm, uint32_t wanted, struct blob *bytes)
{
	struct call c;

	call_begin(&c, tpm, TPM_ORD_GetRandom);
	writer_u32(&c.params, wanted);
	return call_run_into(&c, bytes);
}

START_TEST(random_bytes_come_as_many_as_fit)
{
	static const uint32_t wanted[] = { 0, 1, 20, 1000, 4082, 4083, 0x7fffffff, 0xffffffff };
	struct tpm *tpm = test_tpm();
	struct blob first, second;

	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
		ck_assert_uint_eq(get_random(tpm, wanted[i], &first), TPM_SUCCESS);
		ck_assert_uint_eq(get_random(tpm, wanted[i], &second), TPM_SUCCESS);
		ck_assert_uint_le(first.len, wanted[i]);
		if (wanted[i] <= 1000)
			ck_assert_uint_eq(first.len, wanted[i]);
		else
			ck_assert_uint_gt(first.len, 1000);
		ck_assert(first.len < 20 || memcmp(first.data, second.data, first.len) != 0);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(stirring_is_harmless)
{
	struct tpm *tpm = test_tpm();
	struct call c;

	for (size_t len = 0; len <= 255; len += 51) {
		call_begin(&c, tpm, TPM_ORD_StirRandom);
		writer_sized(&c.params, digest, len < 20 ? len : 20);
		ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
		ck_assert_uint_eq(bench.changed, 0);
	}
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_thread_hashes_what_comes_in_pieces,
		an_incomplete_block_in_the_middle_ends_the_thread,
		another_command_ends_the_thread,
		a_command_that_is_refused_ends_the_thread_too,
		a_thread_goes_on_in_another_process,
		the_end_of_a_thread_can_extend_a_register,
		a_sha1_key_signs_digests,
		a_der_key_signs_what_fits,
		an_info_key_signs_data_with_the_callers_nonce,
		keys_of_other_usages_do_not_sign,
		random_bytes_come_as_many_as_fit,
		stirring_is_harmless,
		NULL,
	};

	return test_suite("cryptographic", tests);
}
