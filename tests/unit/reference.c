#include "tests/unit/reference.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHA1_SIZE = 20, AES_BLOCK = 16 };

size_t
reference_hex(uint8_t *out, size_t size, const char *hex)
{
	size_t len = 0;

	for (; *hex; hex++) {
		unsigned byte;

		if (*hex == ' ')
			continue;
		ck_assert_int_eq(sscanf(hex, "%2x", &byte), 1);
		ck_assert_uint_lt(len, size);
		out[len++] = (uint8_t)byte;
		hex++;
	}
	return len;
}

void
reference_sha1(uint8_t *out, const void *data, size_t len)
{
	ck_assert(EVP_Digest(data, len, out, NULL, EVP_sha1(), NULL));
}

void
reference_hmac(uint8_t *out, const uint8_t *key, size_t key_len, const void *data, size_t len)
{
	ck_assert_ptr_nonnull(HMAC(EVP_sha1(), key, (int)key_len, data, len, out, NULL));
}

void
reference_mgf1_xor(uint8_t *out, size_t len, const uint8_t *seed, size_t seed_len)
{
	uint8_t *input = calloc(1, seed_len + 4), mask[SHA1_SIZE];

	ck_assert_ptr_nonnull(input);
	memcpy(input, seed, seed_len);
	for (size_t i = 0; i < len; i++) {
		input[seed_len + 3] = (uint8_t)(i / SHA1_SIZE); /* enough for 5120 bytes */
		if (i % SHA1_SIZE == 0)
			reference_sha1(mask, input, seed_len + 4);
		out[i] ^= mask[i % SHA1_SIZE];
	}
	free(input);
}

void
reference_aes(uint8_t *out, const uint8_t *in, size_t len, const char *mode, const uint8_t *key,
	      const uint8_t *iv)
{
	const EVP_CIPHER *cipher = strcmp(mode, "CTR") == 0 ? EVP_aes_128_ctr() : EVP_aes_128_ofb();
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int done;

	ck_assert(EVP_EncryptInit_ex2(ctx, cipher, key, iv, NULL));
	ck_assert(EVP_EncryptUpdate(ctx, out, &done, in, (int)len));
	EVP_CIPHER_CTX_free(ctx);
}

static EVP_PKEY *
rsa_key(const BIGNUM *n, const BIGNUM *e, const BIGNUM *d)
{
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *key = NULL;

	ck_assert(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n));
	ck_assert(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e));
	if (d)
		ck_assert(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_D, d));

	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
	ck_assert_int_gt(EVP_PKEY_fromdata_init(ctx), 0);
	ck_assert_int_gt(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params), 0);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

EVP_PKEY *
reference_rsa_public(const uint8_t *n, size_t n_len, uint32_t e)
{
	BIGNUM *modulus = BN_bin2bn(n, (int)n_len, NULL), *exponent = BN_new();

	ck_assert(BN_set_word(exponent, e));
	EVP_PKEY *key = rsa_key(modulus, exponent, NULL);
	BN_free(modulus);
	BN_free(exponent);
	return key;
}

EVP_PKEY *
reference_rsa_private(const uint8_t *n, size_t n_len, uint32_t e, const uint8_t *p, size_t p_len)
{
	BN_CTX *ctx = BN_CTX_new();

	BN_CTX_start(ctx);
	BIGNUM *modulus = BN_CTX_get(ctx), *exponent = BN_CTX_get(ctx), *prime = BN_CTX_get(ctx);
	BIGNUM *other = BN_CTX_get(ctx), *phi = BN_CTX_get(ctx), *d = BN_CTX_get(ctx);

	ck_assert(BN_bin2bn(n, (int)n_len, modulus) && BN_bin2bn(p, (int)p_len, prime));
	ck_assert(BN_set_word(exponent, e) && BN_div(other, d, modulus, prime, ctx));
	ck_assert_msg(BN_is_zero(d), "p does not divide n");
	ck_assert(BN_sub_word(prime, 1) && BN_sub_word(other, 1) && BN_mul(phi, prime, other, ctx));
	ck_assert(BN_mod_inverse(d, exponent, phi, ctx) != NULL);

	EVP_PKEY *key = rsa_key(modulus, exponent, d);
	BN_CTX_end(ctx);
	BN_CTX_free(ctx);
	return key;
}

int
reference_rsa(EVP_PKEY *key, enum reference_operation operation, int padding, uint8_t *out,
	      const void *in, size_t len)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	bool encrypt = operation == REFERENCE_ENCRYPT;
	size_t out_len = (size_t)EVP_PKEY_get_size(key);

	ck_assert_int_gt(encrypt ? EVP_PKEY_encrypt_init(ctx) : EVP_PKEY_decrypt_init(ctx), 0);
	ck_assert_int_gt(EVP_PKEY_CTX_set_rsa_padding(ctx, padding), 0);
	if (padding == RSA_PKCS1_OAEP_PADDING)
		ck_assert_int_gt(EVP_PKEY_CTX_set0_rsa_oaep_label(ctx, OPENSSL_strdup("TCPA"), 4),
				 0);

	int done = encrypt ? EVP_PKEY_encrypt(ctx, out, &out_len, in, len)
			   : EVP_PKEY_decrypt(ctx, out, &out_len, in, len);
	EVP_PKEY_CTX_free(ctx);
	return done > 0 ? (int)out_len : -1;
}

static bool
verify(EVP_PKEY *key, const EVP_MD *md, const uint8_t *sig, size_t sig_len, const void *data,
       size_t len)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);

	ck_assert_int_gt(EVP_PKEY_verify_init(ctx), 0);
	ck_assert_int_gt(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING), 0);
	if (md)
		ck_assert_int_gt(EVP_PKEY_CTX_set_signature_md(ctx, md), 0);

	bool good = EVP_PKEY_verify(ctx, sig, sig_len, data, len) > 0;
	EVP_PKEY_CTX_free(ctx);
	return good;
}

bool
reference_verify_sha1(EVP_PKEY *key, const uint8_t *sig, size_t sig_len, const uint8_t *digest)
{
	return verify(key, EVP_sha1(), sig, sig_len, digest, SHA1_SIZE);
}

bool
reference_verify_der(EVP_PKEY *key, const uint8_t *sig, size_t sig_len, const void *data,
		     size_t len)
{
	return verify(key, NULL, sig, sig_len, data, len);
}
