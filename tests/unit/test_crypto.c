#include "tests/unit/reference.h"
#include "tests/unit/suite.h"

#include <tpmcore/crypto.h>

#include <openssl/bn.h>

#include <stdlib.h>
#include <string.h>

/* A message of many lengths and no pattern that repeats with a block. */
enum { LONG_MESSAGE = 1000 };
static uint8_t message[LONG_MESSAGE];

static void
set_up(void)
{
	for (size_t i = 0; i < sizeof(message); i++)
		message[i] = (uint8_t)(i * 7 + i / 251);
}

#define BYTES_OF(name, hex)                                                                        \
	uint8_t name[256];                                                                         \
	size_t name##_len = reference_hex(name, sizeof(name), hex)

static void
assert_hex(const uint8_t *actual, const char *hex)
{
	uint8_t expected[512];
	size_t len = reference_hex(expected, sizeof(expected), hex);

	ck_assert_mem_eq(actual, expected, len);
}

/* FIPS 180 examples; the last is a million times "a". */
START_TEST(sha1_gives_the_digests_of_the_standard)
{
	uint8_t digest[TPM_DIGEST_SIZE];
	char *million = malloc(1000000);

	ck_assert_ptr_nonnull(million);
	memset(million, 'a', 1000000);
	crypto_sha1(digest, SPANS(SPAN("abc", 3)));
	assert_hex(digest, "a9993e36 4706816a ba3e2571 7850c26c 9cd0d89d");
	crypto_sha1(digest, SPANS(SPAN("abcdbcdecdefdefgefghfghighijhi", 30),
				  SPAN("jkijkljklmklmnlmnomnopnopq", 26)));
	assert_hex(digest, "84983e44 1c3bd26e baae4aa1 f95129e5 e54670f1");
	crypto_sha1(digest, SPANS(SPAN(million, 1000000)));
	assert_hex(digest, "34aa973c d4c4daa4 f61eeb2b dbad2731 6534016f");
	crypto_sha1(digest, SPANS(SPAN(NULL, 0)));
	assert_hex(digest, "da39a3ee 5e6b4b0d 3255bfef 95601890 afd80709");
	crypto_sha1(digest, NULL, 0);
	assert_hex(digest, "da39a3ee 5e6b4b0d 3255bfef 95601890 afd80709");
	free(million);
}
END_TEST

START_TEST(sha1_may_write_over_its_input)
{
	uint8_t expected[TPM_DIGEST_SIZE], pcr[TPM_DIGEST_SIZE] = { 0 };

	reference_sha1(expected, pcr, sizeof(pcr));
	crypto_sha1(pcr, SPANS(SPAN(pcr, sizeof(pcr))));
	ck_assert_mem_eq(pcr, expected, sizeof(pcr));
}
END_TEST

START_TEST(hmac_gives_the_digests_of_rfc_2202)
{
	static const struct {
		size_t key_len;
		uint8_t key_byte;
		const char *data;
		size_t data_len;
		const char *digest;
	} cases[] = {
		{ 20, 0x0b, "Hi There", 8, "b617318655057264e28bc0b6fb378c8ef146be00" },
		{ 80, 0xaa, "Test Using Larger Than Block-Size Key - Hash Key First", 54,
		  "aa4ae5e15272d00e95705637ce8a3b55ed402112" },
		{ 80, 0xaa,
		  "Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data", 73,
		  "e8e99d0f45237d786d6bbaa7965c7808bbff1a91" },
		{ 20, 0x0c, "Test With Truncation", 20,
		  "4c1a03424b55e07fe7f27be1d58bb9324a9a5a04" },
	};
	uint8_t digest[TPM_DIGEST_SIZE];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint8_t key[80];

		memset(key, cases[i].key_byte, sizeof(key));
		crypto_hmac(digest, key, cases[i].key_len,
			    SPANS(SPAN(cases[i].data, cases[i].data_len)));
		assert_hex(digest, cases[i].digest);
	}
	crypto_hmac(digest, (const uint8_t *)"Jefe", 4,
		    SPANS(SPAN("what do ya want ", 16), SPAN("for nothing?", 12)));
	assert_hex(digest, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
}
END_TEST

START_TEST(hmac_takes_keys_of_every_length)
{
	uint8_t expected[TPM_DIGEST_SIZE], digest[TPM_DIGEST_SIZE];

	for (size_t len = 0; len < 130; len++) {
		reference_hmac(expected, message, len, message, 100);
		crypto_hmac(digest, message, len, SPANS(SPAN(message, 100)));
		ck_assert_mem_eq(digest, expected, sizeof(digest));
	}
}
END_TEST

START_TEST(equal_sees_a_difference_in_any_byte)
{
	uint8_t a[TPM_DIGEST_SIZE] = { 0 }, b[TPM_DIGEST_SIZE] = { 0 };

	ck_assert(crypto_equal(a, b, sizeof(a)));
	for (size_t i = 0; i < sizeof(a); i++) {
		b[i] = 0x80;
		ck_assert(!crypto_equal(a, b, sizeof(a)));
		b[i] = 0;
	}
	ck_assert(crypto_equal(a, message, 0));
}
END_TEST

START_TEST(sha1_thread_agrees_with_sha1_at_every_length)
{
	uint8_t expected[TPM_DIGEST_SIZE], digest[TPM_DIGEST_SIZE];
	struct sha1_thread thread;

	for (size_t len = 0; len < 200; len++) {
		crypto_sha1_start(&thread);
		crypto_sha1_update(&thread, message, len / 3);
		crypto_sha1_update(&thread, message + len / 3, len - len / 3);
		crypto_sha1_final(&thread, digest);
		reference_sha1(expected, message, len);
		ck_assert_mem_eq(digest, expected, sizeof(digest));
	}
}
END_TEST

START_TEST(sha1_thread_takes_pieces_of_every_size)
{
	uint8_t expected[TPM_DIGEST_SIZE], digest[TPM_DIGEST_SIZE];

	reference_sha1(expected, message, sizeof(message));
	for (size_t step = 1; step < 150; step++) {
		struct sha1_thread thread;

		crypto_sha1_start(&thread);
		crypto_sha1_update(&thread, NULL, 0);
		for (size_t at = 0; at < sizeof(message); at += step) {
			size_t left = sizeof(message) - at;

			crypto_sha1_update(&thread, message + at, left < step ? left : step);
		}
		crypto_sha1_final(&thread, digest);
		ck_assert_mem_eq(digest, expected, sizeof(digest));
	}
}
END_TEST

START_TEST(sha1_thread_goes_on_from_a_copy_of_its_state)
{
	uint8_t expected[TPM_DIGEST_SIZE], digest[TPM_DIGEST_SIZE];
	struct sha1_thread first, second;

	crypto_sha1_start(&first);
	crypto_sha1_update(&first, message, 100);
	second = (struct sha1_thread) { .len = first.len };
	memcpy(second.h, first.h, sizeof(second.h));
	memcpy(second.block, first.block, first.len % sizeof(second.block));
	crypto_sha1_update(&second, message + 100, 900);
	crypto_sha1_final(&second, digest);
	reference_sha1(expected, message, 1000);
	ck_assert_mem_eq(digest, expected, sizeof(digest));
}
END_TEST

START_TEST(mgf1_agrees_with_known_answers)
{
	uint8_t mask[50], expected[300] = { 0 }, long_mask[300];

	crypto_mgf1(mask, 3, (const uint8_t *)"foo", 3);
	assert_hex(mask, "1ac907");
	crypto_mgf1(mask, 5, (const uint8_t *)"foo", 3);
	assert_hex(mask, "1ac9075cd4");
	crypto_mgf1(mask, 50, (const uint8_t *)"bar", 3);
	assert_hex(mask, "bc0c655e016bc2931d85a2e675181adcef7f581f76df2739da74faac41627be2"
			 "f7f415c89e983fd0ce80ced9878641cb4876");
	reference_mgf1_xor(expected, sizeof(expected), message, 40);
	crypto_mgf1(long_mask, sizeof(long_mask), message, 40);
	ck_assert_mem_eq(long_mask, expected, sizeof(expected));
}
END_TEST

/* NIST SP 800-38A, F.4.1 and F.5.1 */
#define SP800_38A_KEY "2b7e151628aed2a6abf7158809cf4f3c"
#define SP800_38A_PLAIN                                                                            \
	"6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51"                        \
	"30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710"
#define SP800_38A_OFB                                                                              \
	"3b3fd92eb72dad20333449f8e83cfb4a 7789508d16918f03f53c52dac54ed825"                        \
	"9740051e9c5fecf64344f7a82260edcc 304c6528f659c77866a510d9c1d6ae5e"
#define SP800_38A_CTR                                                                              \
	"874d6191b620e3261bef6864990db6ce 9806f66b7970fdff8617187bb9fffdff"                        \
	"5ae4df3edbd5d35e5b4f09020db03eab 1e031dda2fbe03d1792170a0f3009cee"

START_TEST(aes_gives_the_ciphertexts_of_the_standard)
{
	uint8_t out[64];
	BYTES_OF(key, SP800_38A_KEY);
	BYTES_OF(ofb_iv, "000102030405060708090a0b0c0d0e0f");
	BYTES_OF(counter, "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
	BYTES_OF(plain, SP800_38A_PLAIN);

	ck_assert_uint_eq(key_len + ofb_iv_len + counter_len, 48);
	ck_assert_int_eq(crypto_aes_ofb(out, plain, plain_len, key, ofb_iv), 0);
	assert_hex(out, SP800_38A_OFB);
	ck_assert_int_eq(crypto_aes_ctr(out, plain, plain_len, key, counter), 0);
	assert_hex(out, SP800_38A_CTR);
}
END_TEST

START_TEST(aes_works_in_place_on_any_length_and_takes_itself_back)
{
	uint8_t data[100], expected[100];
	const uint8_t *key = message + 3, *iv = message + 50;

	for (size_t len = 0; len <= sizeof(data); len += 9) {
		memcpy(data, message, sizeof(data));
		reference_aes(expected, message, len, "CTR", key, iv);
		ck_assert_int_eq(crypto_aes_ctr(data, data, len, key, iv), 0);
		ck_assert_mem_eq(data, expected, len);
		ck_assert_int_eq(crypto_aes_ctr(data, data, len, key, iv), 0);
		reference_aes(expected, message, len, "OFB", key, iv);
		ck_assert_int_eq(crypto_aes_ofb(data, data, len, key, iv), 0);
		ck_assert_mem_eq(data, expected, len);
		ck_assert_int_eq(crypto_aes_ofb(data, data, len, key, iv), 0);
		ck_assert_mem_eq(data, message, sizeof(data));
	}
}
END_TEST

START_TEST(aes_counter_carries_over_the_whole_block)
{
	uint8_t iv[CRYPTO_AES_BLOCK], zeros[32] = { 0 }, out[32], next[CRYPTO_AES_BLOCK];

	memset(iv, 0xff, sizeof(iv));
	ck_assert_int_eq(crypto_aes_ctr(out, zeros, sizeof(out), message, iv), 0);
	memset(iv, 0, sizeof(iv));
	ck_assert_int_eq(crypto_aes_ctr(next, zeros, sizeof(next), message, iv), 0);
	ck_assert_mem_eq(out + CRYPTO_AES_BLOCK, next, sizeof(next));
}
END_TEST

/* The numbers a to n of the arithmetic below: odd lengths, and an odd n. */
static const struct {
	size_t at, len;
} numbers[] = { { 1, 300 }, { 7, 61 }, { 333, 256 }, { 90, 43 }, { 600, 256 } };
enum { A, X, B, Y, MODULUS };

static struct span
number(size_t i)
{
	message[600 + 255] |= 1;
	return SPAN(message + numbers[i].at, numbers[i].len);
}

static BN_CTX *
start_numbers(void)
{
	BN_CTX *ctx = BN_CTX_new();

	BN_CTX_start(ctx);
	return ctx;
}

static void
end_numbers(BN_CTX *ctx)
{
	BN_CTX_end(ctx);
	BN_CTX_free(ctx);
}

static BIGNUM *
bn(BN_CTX *ctx, size_t i)
{
	struct span bytes = number(i);

	return BN_bin2bn(bytes.data, (int)bytes.len, BN_CTX_get(ctx));
}

static void
assert_number(const uint8_t *actual, size_t len, const BIGNUM *expected)
{
	uint8_t bytes[1024];

	ck_assert_int_eq(BN_bn2binpad(expected, bytes, (int)len), (int)len);
	ck_assert_mem_eq(actual, bytes, len);
}

START_TEST(modexp2_agrees_with_big_numbers)
{
	BN_CTX *ctx = start_numbers();
	BIGNUM *a = bn(ctx, A), *x = bn(ctx, X), *b = bn(ctx, B), *y = bn(ctx, Y),
	       *n = bn(ctx, MODULUS);
	BIGNUM *left = BN_CTX_get(ctx), *right = BN_CTX_get(ctx);
	uint8_t out[260];

	ck_assert(BN_mod_exp(left, a, x, n, ctx) && BN_mod_exp(right, b, y, n, ctx));
	ck_assert_int_eq(crypto_modexp2(out, sizeof(out), number(A), number(X), SPAN(NULL, 0),
					SPAN(NULL, 0), number(MODULUS), NULL),
			 0);
	assert_number(out, sizeof(out), left);
	ck_assert(BN_mod_mul(left, left, right, n, ctx));
	ck_assert_int_eq(crypto_modexp2(out, sizeof(out), number(A), number(X), number(B),
					number(Y), number(MODULUS), NULL),
			 0);
	assert_number(out, sizeof(out), left);
	end_numbers(ctx);
}
END_TEST

START_TEST(modexp2_of_exponent_zero_is_one)
{
	uint8_t out[4];

	ck_assert_int_eq(crypto_modexp2(out, sizeof(out), number(A), SPAN("\0\0", 2), SPAN(NULL, 0),
					SPAN(NULL, 0), number(MODULUS), NULL),
			 0);
	assert_hex(out, "00000001");
}
END_TEST

START_TEST(modexp2_refuses_a_modulus_that_cannot_be)
{
	static const struct {
		const char *bytes;
		size_t len;
	} moduli[] = { { "\x10", 1 }, { "\0\0", 2 }, { "", 0 } };
	uint8_t out[8];

	for (size_t i = 0; i < sizeof(moduli) / sizeof(*moduli); i++) {
		memset(out, 0xaa, sizeof(out));
		ck_assert_int_eq(crypto_modexp2(out, sizeof(out), number(A), number(X),
						SPAN(NULL, 0), SPAN(NULL, 0),
						SPAN(moduli[i].bytes, moduli[i].len), NULL),
				 -1);
		assert_hex(out, "0000000000000000");
	}
}
END_TEST

START_TEST(mod_and_mul_add_agree_with_big_numbers)
{
	BN_CTX *ctx = start_numbers();
	BIGNUM *a = bn(ctx, A), *x = bn(ctx, X), *b = bn(ctx, B), *n = bn(ctx, MODULUS),
	       *result = BN_CTX_get(ctx);
	uint8_t out[600];

	ck_assert(BN_mod(result, a, n, ctx));
	ck_assert_int_eq(crypto_mod(out, 256, number(A), number(MODULUS)), 0);
	assert_number(out, 256, result);
	ck_assert(BN_mul(result, a, x, ctx) && BN_add(result, result, b));
	ck_assert_int_eq(crypto_mul_add(out, sizeof(out), number(A), number(X), number(B)), 0);
	assert_number(out, sizeof(out), result);
	end_numbers(ctx);
}
END_TEST

START_TEST(results_that_do_not_fit_are_refused)
{
	static const struct span ff = { "\xff", 1 }, one = { "\1", 1 };
	uint8_t out[2];

	ck_assert_int_eq(crypto_mul_add(out, 2, ff, ff, ff), 0);
	assert_hex(out, "ff00");
	ck_assert_int_eq(crypto_mul_add(out, 1, ff, ff, ff), -1);
	ck_assert_int_eq(crypto_mul_add(out, 1, ff, one, one), -1);
	ck_assert_int_eq(crypto_mul_add(out, 2, ff, one, one), 0);
	assert_hex(out, "0100");
	ck_assert_int_eq(crypto_mod(out, 1, SPAN("\1\xff", 2), SPAN("\1\0", 2)), 0);
	ck_assert_int_eq(crypto_mod(out, 1, SPAN("\1\xff", 2), SPAN("\3\0", 2)), -1);
	ck_assert_int_eq(crypto_mod(out, 1, one, SPAN("\0", 1)), -1);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		sha1_gives_the_digests_of_the_standard,
		sha1_may_write_over_its_input,
		hmac_gives_the_digests_of_rfc_2202,
		hmac_takes_keys_of_every_length,
		equal_sees_a_difference_in_any_byte,
		sha1_thread_agrees_with_sha1_at_every_length,
		sha1_thread_takes_pieces_of_every_size,
		sha1_thread_goes_on_from_a_copy_of_its_state,
		mgf1_agrees_with_known_answers,
		aes_gives_the_ciphertexts_of_the_standard,
		aes_works_in_place_on_any_length_and_takes_itself_back,
		aes_counter_carries_over_the_whole_block,
		modexp2_agrees_with_big_numbers,
		modexp2_of_exponent_zero_is_one,
		modexp2_refuses_a_modulus_that_cannot_be,
		mod_and_mul_add_agree_with_big_numbers,
		results_that_do_not_fit_are_refused,
		NULL,
	};

	return suite_run("crypto", tests, set_up, NULL);
}
