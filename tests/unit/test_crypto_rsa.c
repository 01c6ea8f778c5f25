#include "tests/unit/reference.h"
#include "tests/unit/suite.h"

#include <tpmcore/crypto.h>

#include <openssl/rsa.h>

#include <stdlib.h>
#include <string.h>

/* Keys are made once; each test runs on copies of them. */
static struct rsa_key keys[3];
static const unsigned key_bits[] = { 512, 1024, 2048 };
enum { KEYS = sizeof(key_bits) / sizeof(*key_bits) };

static const uint8_t *const label = (const uint8_t *)"TCPA";
enum { LABEL_LEN = 4 };

static uint8_t message[CRYPTO_RSA_MAX + 1];

/* The same keys as OpenSSL has them, made from n, e and p alone. */
static EVP_PKEY *reference[KEYS];

static void
set_up(void)
{
	for (size_t i = 0; i < sizeof(message); i++)
		message[i] = (uint8_t)(i + 1);
	for (size_t i = 0; i < KEYS; i++)
		reference[i] = reference_rsa_private(keys[i].n, keys[i].n_len, keys[i].e, keys[i].p,
						     keys[i].n_len / 2u);
}

static void
tear_down(void)
{
	for (size_t i = 0; i < KEYS; i++)
		EVP_PKEY_free(reference[i]);
}

START_TEST(generated_keys_have_the_size_and_exponent_asked_for)
{
	static const uint32_t exponents[] = { 3, 5, 7, 17, 257, 65537 };

	for (size_t i = 0; i < sizeof(exponents) / sizeof(*exponents); i++)
		for (unsigned bits = 512; bits <= 1024; bits += 256) {
			struct rsa_key key;

			ck_assert_int_eq(crypto_rsa_generate(&key, bits, exponents[i], NULL), 0);
			ck_assert_uint_eq(key.n_len, bits / 8);
			ck_assert_uint_ge(key.n[0], 0x80);
			ck_assert_uint_eq(key.e, exponents[i]);
			ck_assert(key.has_private && crypto_rsa_check(&key, NULL));
		}
	ck_assert_uint_eq(keys[2].n_len, 256);
	ck_assert_uint_ge(keys[2].n[0], 0x80);
	ck_assert(crypto_rsa_check(&keys[2], NULL));
}
END_TEST

START_TEST(keys_of_a_size_or_exponent_that_cannot_be_are_not_generated)
{
	static const struct {
		unsigned bits;
		uint32_t e;
	} wrong[] = { { 0, 65537 },           { 496, 65537 }, { 520, 65537 }, { 2064, 65537 },
		      { 65536 + 512, 65537 }, { 512, 0 },     { 512, 1 },     { 512, 4 } };
	static const struct rsa_key wiped;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct rsa_key key;

		memset(&key, 0xaa, sizeof(key));
		ck_assert_int_eq(crypto_rsa_generate(&key, wrong[i].bits, wrong[i].e, NULL), -1);
		ck_assert_mem_eq(&key, &wiped, sizeof(key));
	}
}
END_TEST

/* Cancels at the poll to which the counter runs down. */
static bool
cancel_after(void *ctx)
{
	unsigned *polls = ctx;

	return *polls > 0 && --*polls == 0;
}

START_TEST(generation_ends_when_cancelled)
{
	for (unsigned after = 1; after < 5; after++) {
		static const struct rsa_key wiped;
		struct rsa_key key;
		unsigned polls = after;

		memset(&key, 0xaa, sizeof(key));
		ck_assert_int_eq(crypto_rsa_generate(&key, 2048, 65537,
						     &(struct cancel) { cancel_after, &polls }),
				 -1);
		ck_assert_uint_eq(polls, 0);
		ck_assert_mem_eq(&key, &wiped, sizeof(key));
	}
	unsigned never = 0;
	ck_assert_int_eq(
	    crypto_rsa_generate(&keys[0], 512, 65537, &(struct cancel) { cancel_after, &never }),
	    0);
}
END_TEST

START_TEST(check_refuses_parts_that_do_not_belong_together)
{
	struct rsa_key good = keys[1], key;

	ck_assert(crypto_rsa_check(&good, NULL));
	key = good, key.has_private = false;
	ck_assert(!crypto_rsa_check(&key, NULL));
	key = good, key.p[63] ^= 2;
	ck_assert(!crypto_rsa_check(&key, NULL));
	key = good, key.p[63] ^= 1; /* even */
	ck_assert(!crypto_rsa_check(&key, NULL));
	key = good, key.n[127] ^= 2;
	ck_assert(!crypto_rsa_check(&key, NULL));
	key = good, memset(key.p, 0, sizeof(key.p));
	ck_assert(!crypto_rsa_check(&key, NULL));
	key = good, memset(key.p, 0, sizeof(key.p)), key.p[63] = 1;
	ck_assert(!crypto_rsa_check(&key, NULL));
	key = good, memset(key.n, 0, sizeof(key.n));
	ck_assert(!crypto_rsa_check(&key, NULL));
}
END_TEST

START_TEST(check_refuses_exponents_and_sizes_that_cannot_be)
{
	static const uint32_t exponents[] = { 0, 1, 2, 65536 };
	static const uint16_t sizes[] = { 0, 1, 62, 63, 127, 258, UINT16_MAX };

	for (size_t i = 0; i < sizeof(exponents) / sizeof(*exponents); i++) {
		struct rsa_key key = keys[1];

		key.e = exponents[i];
		ck_assert(!crypto_rsa_check(&key, NULL));
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct rsa_key key = keys[1];

		key.n_len = sizes[i];
		ck_assert(!crypto_rsa_check(&key, NULL));
	}
}
END_TEST

START_TEST(oaep_is_what_openssl_decrypts_and_encrypts)
{
	for (size_t i = 0; i < KEYS; i++) {
		struct rsa_key public = { .n_len = keys[i].n_len, .e = keys[i].e };
		uint8_t cipher[CRYPTO_RSA_MAX], plain[CRYPTO_RSA_MAX];
		size_t most = keys[i].n_len - (size_t)CRYPTO_OAEP_OVERHEAD, len;

		memcpy(public.n, keys[i].n, public.n_len);
		for (size_t want = 0; want <= most; want += most / 2) {
			ck_assert_int_eq(crypto_rsa_encrypt_oaep(&public, cipher, message, want,
								 label, LABEL_LEN),
					 0);
			ck_assert_int_eq(reference_rsa(reference[i], REFERENCE_DECRYPT,
						       RSA_PKCS1_OAEP_PADDING, plain, cipher,
						       public.n_len),
					 (int)want);
			ck_assert_mem_eq(plain, message, want);
			reference_rsa(reference[i], REFERENCE_ENCRYPT, RSA_PKCS1_OAEP_PADDING,
				      cipher, message, want);
			ck_assert_int_eq(crypto_rsa_decrypt_oaep(&keys[i], plain, &len, cipher,
								 public.n_len, label, LABEL_LEN,
								 NULL),
					 0);
			ck_assert_uint_eq(len, want);
			ck_assert_mem_eq(plain, message, want);
		}
		ck_assert_int_eq(
		    crypto_rsa_encrypt_oaep(&public, cipher, message, most + 1, label, LABEL_LEN),
		    -1);
	}
}
END_TEST

START_TEST(pkcs1_is_what_openssl_decrypts_and_encrypts)
{
	for (size_t i = 0; i < KEYS; i++) {
		uint8_t cipher[CRYPTO_RSA_MAX], plain[CRYPTO_RSA_MAX];
		size_t n_len = keys[i].n_len, most = n_len - CRYPTO_PKCS1_OVERHEAD, len;

		for (size_t want = 1; want <= most; want += most - 1) {
			ck_assert_int_eq(crypto_rsa_encrypt_pkcs1(&keys[i], cipher, message, want),
					 0);
			ck_assert_int_eq(reference_rsa(reference[i], REFERENCE_DECRYPT,
						       RSA_PKCS1_PADDING, plain, cipher, n_len),
					 (int)want);
			ck_assert_mem_eq(plain, message, want);
			reference_rsa(reference[i], REFERENCE_ENCRYPT, RSA_PKCS1_PADDING, cipher,
				      message, want);
			ck_assert_int_eq(
			    crypto_rsa_decrypt_pkcs1(&keys[i], plain, &len, cipher, n_len, NULL),
			    0);
			ck_assert_uint_eq(len, want);
			ck_assert_mem_eq(plain, message, want);
		}
		ck_assert_int_eq(crypto_rsa_encrypt_pkcs1(&keys[i], cipher, message, most + 1), -1);
	}
}
END_TEST

/* A block of 1024 bits as it would be after decryption, for each way in which it can be wrong. */
struct damage {
	size_t at;
	uint8_t value;
};

static void
encrypt_damaged(uint8_t *cipher, const uint8_t *block, struct damage damage)
{
	uint8_t damaged[128];

	memcpy(damaged, block, sizeof(damaged));
	damaged[damage.at] = damage.value;
	ck_assert_int_eq(crypto_rsa_raw(&keys[1], cipher, damaged), 0);
}

START_TEST(pkcs1_decryption_refuses_wrong_padding)
{
	static const struct damage damages[] = {
		{ 0, 1 },   /* no leading zero */
		{ 1, 1 },   /* block type of a signature */
		{ 2, 0 },   /* padding ends at once */
		{ 9, 0 },   /* 7 padding bytes, one too few */
		{ 107, 5 }, /* no zero anywhere */
	};
	uint8_t block[128], cipher[128], plain[128];
	size_t len = 77;

	memset(block, 0x5a, sizeof(block));
	block[0] = 0, block[1] = 2, block[107] = 0;
	for (size_t i = 0; i < sizeof(damages) / sizeof(*damages); i++) {
		encrypt_damaged(cipher, block, damages[i]);
		ck_assert_int_eq(crypto_rsa_decrypt_pkcs1(&keys[1], plain, &len, cipher, 128, NULL),
				 -1);
		ck_assert_uint_eq(len, 77);
	}
	encrypt_damaged(cipher, block, (struct damage) { 10, 0 }); /* 8 padding bytes */
	ck_assert_int_eq(crypto_rsa_decrypt_pkcs1(&keys[1], plain, &len, cipher, 128, NULL), 0);
	ck_assert_uint_eq(len, 117);
	encrypt_damaged(cipher, block, (struct damage) { 127, 0 });
	ck_assert_int_eq(crypto_rsa_decrypt_pkcs1(&keys[1], plain, &len, cipher, 128, NULL), 0);
	ck_assert_uint_eq(len, 20);
}
END_TEST

/* Masks an OAEP block seed || pHash || PS || 1 || message, after its leading zero octet. */
static void
oaep_mask(uint8_t *block, size_t len)
{
	uint8_t *seed = block + 1, *rest = seed + TPM_DIGEST_SIZE;
	size_t rest_len = len - 1 - TPM_DIGEST_SIZE;

	reference_mgf1_xor(rest, rest_len, seed, TPM_DIGEST_SIZE);
	reference_mgf1_xor(seed, TPM_DIGEST_SIZE, rest, rest_len);
}

START_TEST(oaep_decryption_refuses_wrong_padding)
{
	static const struct damage damages[] = {
		{ 21, 0 },  /* pHash */
		{ 40, 0 },  /* pHash, last byte */
		{ 41, 2 },  /* PS */
		{ 100, 2 }, /* instead of the 1 that ends PS */
		{ 100, 0 }, /* PS goes on, and no 1 follows */
	};
	uint8_t block[128], cipher[128], plain[128];
	size_t len = 77;

	for (size_t i = 0; i <= sizeof(damages) / sizeof(*damages); i++) {
		bool damaged = i < sizeof(damages) / sizeof(*damages);

		memset(block, 0, sizeof(block));
		reference_sha1(block + 1 + TPM_DIGEST_SIZE, label, LABEL_LEN);
		block[100] = 1;
		if (damaged)
			block[damages[i].at] = damages[i].value;
		oaep_mask(block, sizeof(block));
		ck_assert_int_eq(crypto_rsa_raw(&keys[1], cipher, block), 0);
		ck_assert_int_eq(crypto_rsa_decrypt_oaep(&keys[1], plain, &len, cipher, 128, label,
							 LABEL_LEN, NULL),
				 damaged ? -1 : 0);
		ck_assert_uint_eq(len, damaged ? 77 : 27);
	}
	block[0] = 1; /* instead of the zero octet, on a block that is good otherwise */
	ck_assert_int_eq(crypto_rsa_raw(&keys[1], cipher, block), 0);
	ck_assert_int_eq(
	    crypto_rsa_decrypt_oaep(&keys[1], plain, &len, cipher, 128, label, LABEL_LEN, NULL),
	    -1);
}
END_TEST

START_TEST(oaep_decryption_needs_the_label_of_the_encryption)
{
	uint8_t cipher[256], plain[256];
	size_t len;

	ck_assert_int_eq(crypto_rsa_encrypt_oaep(&keys[2], cipher, message, 20, label, LABEL_LEN),
			 0);
	ck_assert_int_eq(
	    crypto_rsa_decrypt_oaep(&keys[2], plain, &len, cipher, 256, label, 3, NULL), -1);
	ck_assert_int_eq(
	    crypto_rsa_decrypt_oaep(&keys[2], plain, &len, cipher, 256, label, 4, NULL), 0);
}
END_TEST

START_TEST(decryption_refuses_wrong_lengths_and_numbers_above_the_modulus)
{
	uint8_t cipher[CRYPTO_RSA_MAX + 1], plain[CRYPTO_RSA_MAX];
	static const size_t wrong[] = { 0, 1, 127, 129, 256 };
	size_t len;

	crypto_rsa_encrypt_oaep(&keys[1], cipher, message, 20, label, LABEL_LEN);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		ck_assert_int_eq(crypto_rsa_decrypt_oaep(&keys[1], plain, &len, cipher, wrong[i],
							 label, LABEL_LEN, NULL),
				 -1);
		ck_assert_int_eq(
		    crypto_rsa_decrypt_pkcs1(&keys[1], plain, &len, cipher, wrong[i], NULL), -1);
	}
	memset(cipher, 0xff, sizeof(cipher));
	ck_assert_int_eq(
	    crypto_rsa_decrypt_oaep(&keys[1], plain, &len, cipher, 128, label, LABEL_LEN, NULL),
	    -1);
	ck_assert_int_eq(crypto_rsa_decrypt_pkcs1(&keys[1], plain, &len, cipher, 128, NULL), -1);
	ck_assert_int_eq(crypto_rsa_raw(&keys[1], plain, cipher), -1);
}
END_TEST

START_TEST(a_public_key_neither_decrypts_nor_signs)
{
	struct rsa_key public = keys[1];
	uint8_t cipher[128], plain[128];
	size_t len;

	public.has_private = false;
	crypto_rsa_encrypt_oaep(&public, cipher, message, 20, label, LABEL_LEN);
	ck_assert_int_eq(
	    crypto_rsa_decrypt_oaep(&public, plain, &len, cipher, 128, label, LABEL_LEN, NULL), -1);
	ck_assert_int_eq(crypto_rsa_decrypt_pkcs1(&public, plain, &len, cipher, 128, NULL), -1);
	ck_assert_int_eq(crypto_rsa_sign_sha1(&public, plain, message, NULL), -1);
}
END_TEST

START_TEST(signatures_are_what_openssl_verifies)
{
	for (size_t i = 0; i < KEYS; i++) {
		size_t n_len = keys[i].n_len, most = n_len - CRYPTO_PKCS1_OVERHEAD;
		uint8_t sig[CRYPTO_RSA_MAX];

		ck_assert_int_eq(crypto_rsa_sign_sha1(&keys[i], sig, message, NULL), 0);
		ck_assert(reference_verify_sha1(reference[i], sig, n_len, message));
		ck_assert(crypto_rsa_verify_sha1(&keys[i], sig, n_len, message));
		ck_assert_int_eq(crypto_rsa_sign_der(&keys[i], sig, message, most, NULL), 0);
		ck_assert(reference_verify_der(reference[i], sig, n_len, message, most));
		ck_assert_int_eq(crypto_rsa_sign_der(&keys[i], sig, message, most + 1, NULL), -1);
	}
}
END_TEST

START_TEST(verification_refuses_anything_else)
{
	uint8_t sig[128], block[128], digest[TPM_DIGEST_SIZE];

	memcpy(digest, message, sizeof(digest));
	ck_assert_int_eq(crypto_rsa_sign_sha1(&keys[1], sig, digest, NULL), 0);
	ck_assert(!crypto_rsa_verify_sha1(&keys[1], sig, 127, digest));
	ck_assert(!crypto_rsa_verify_sha1(&keys[1], sig, 0, digest));
	digest[19] ^= 1;
	ck_assert(!crypto_rsa_verify_sha1(&keys[1], sig, 128, digest));
	digest[19] ^= 1;
	sig[5] ^= 1;
	ck_assert(!crypto_rsa_verify_sha1(&keys[1], sig, 128, digest));
	memset(sig, 0xff, sizeof(sig)); /* above the modulus */
	ck_assert(!crypto_rsa_verify_sha1(&keys[1], sig, 128, digest));

	/* the digest without DigestInfo */
	ck_assert_int_eq(crypto_rsa_sign_der(&keys[1], sig, digest, sizeof(digest), NULL), 0);
	ck_assert(!crypto_rsa_verify_sha1(&keys[1], sig, 128, digest));
	ck_assert_int_eq(crypto_rsa_raw(&keys[1], block, sig), 0);
	ck_assert_mem_eq(block + 108, digest, sizeof(digest));
}
END_TEST

START_TEST(oaep_encoding_with_a_seed_of_choice_is_oaep)
{
	uint8_t block[256] = { 0 }, cipher[256], plain[256], p_hash[TPM_DIGEST_SIZE];
	size_t len;

	crypto_sha1(p_hash, SPANS(SPAN(label, LABEL_LEN)));
	ck_assert_int_eq(crypto_oaep_encode(block + 1, 255, message, 33, p_hash, message + 100), 0);
	ck_assert_int_eq(crypto_rsa_raw(&keys[2], cipher, block), 0);
	ck_assert_int_eq(
	    crypto_rsa_decrypt_oaep(&keys[2], plain, &len, cipher, 256, label, LABEL_LEN, NULL), 0);
	ck_assert_uint_eq(len, 33);
	ck_assert_mem_eq(plain, message, len);
	ck_assert_int_eq(reference_rsa(reference[2], REFERENCE_DECRYPT, RSA_PKCS1_OAEP_PADDING,
				       plain, cipher, 256),
			 33);
}
END_TEST

START_TEST(oaep_decoding_returns_seed_digest_and_message)
{
	/* 198 bytes hold the 157 of a TPM_MIGRATE_ASYMKEY with no padding between */
	static const size_t lengths[][2] = { { 198, 157 }, { 198, 0 }, { 255, 1 }, { 41, 0 } };

	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		const uint8_t *p_hash = message + 60, *seed = message + 99;
		uint8_t encoded[256], plain[256], got_hash[TPM_DIGEST_SIZE];
		uint8_t got_seed[TPM_DIGEST_SIZE];
		size_t len;

		ck_assert_int_eq(crypto_oaep_encode(encoded, lengths[i][0], message, lengths[i][1],
						    p_hash, seed),
				 0);
		ck_assert_int_eq(
		    crypto_oaep_decode(encoded, lengths[i][0], plain, &len, got_hash, got_seed), 0);
		ck_assert_uint_eq(len, lengths[i][1]);
		ck_assert_mem_eq(plain, message, len);
		ck_assert_mem_eq(got_hash, p_hash, sizeof(got_hash));
		ck_assert_mem_eq(got_seed, seed, sizeof(got_seed));
	}
}
END_TEST

START_TEST(oaep_encoding_and_decoding_refuse_wrong_lengths)
{
	uint8_t encoded[300] = { 0 }, plain[300], p_hash[TPM_DIGEST_SIZE], seed[TPM_DIGEST_SIZE];
	static const size_t wrong[] = { 0, 19, 40, 257 };
	size_t len;

	ck_assert_int_eq(crypto_oaep_encode(encoded, 198, message, 158, message, message), -1);
	ck_assert_int_eq(crypto_oaep_encode(encoded, 198, message, SIZE_MAX, message, message), -1);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		ck_assert_int_eq(crypto_oaep_encode(encoded, wrong[i], message, 0, message, seed),
				 -1);
		ck_assert_int_eq(crypto_oaep_decode(encoded, wrong[i], plain, &len, p_hash, seed),
				 -1);
	}
	ck_assert_int_eq(crypto_oaep_decode(encoded, 198, plain, &len, p_hash, seed), -1);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		generated_keys_have_the_size_and_exponent_asked_for,
		keys_of_a_size_or_exponent_that_cannot_be_are_not_generated,
		generation_ends_when_cancelled,
		check_refuses_parts_that_do_not_belong_together,
		check_refuses_exponents_and_sizes_that_cannot_be,
		oaep_is_what_openssl_decrypts_and_encrypts,
		pkcs1_is_what_openssl_decrypts_and_encrypts,
		pkcs1_decryption_refuses_wrong_padding,
		oaep_decryption_refuses_wrong_padding,
		oaep_decryption_needs_the_label_of_the_encryption,
		decryption_refuses_wrong_lengths_and_numbers_above_the_modulus,
		a_public_key_neither_decrypts_nor_signs,
		signatures_are_what_openssl_verifies,
		verification_refuses_anything_else,
		oaep_encoding_with_a_seed_of_choice_is_oaep,
		oaep_decoding_returns_seed_digest_and_message,
		oaep_encoding_and_decoding_refuse_wrong_lengths,
		NULL,
	};

	for (size_t i = 0; i < KEYS; i++)
		if (crypto_rsa_generate(&keys[i], key_bits[i], 65537, NULL) != 0)
			return EXIT_FAILURE;
	return suite_run("crypto_rsa", tests, set_up, tear_down);
}
