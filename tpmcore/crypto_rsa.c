#include "crypto.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include <string.h>

/*
 * OpenSSL does the arithmetic and its blinding; the padding is done here. The migration commands
 * need OAEP with seeds of their own in any case, and of a wrong PKCS #1 padding OpenSSL may make
 * random data that looks right, where a TPM has to answer with an error.
 */

enum {
	PKCS1_SIGNATURE = 1, /* block types */
	PKCS1_ENCRYPTION = 2,
};

/* What OpenSSL calls the parts of a key, in the order in which a public key needs only the first
 * two. */
enum part { N, E, D, P, Q, DP, DQ, QINV, PARTS };
static const char *const part_names[PARTS] = {
	[N] = OSSL_PKEY_PARAM_RSA_N,          [E] = OSSL_PKEY_PARAM_RSA_E,
	[D] = OSSL_PKEY_PARAM_RSA_D,          [P] = OSSL_PKEY_PARAM_RSA_FACTOR1,
	[Q] = OSSL_PKEY_PARAM_RSA_FACTOR2,    [DP] = OSSL_PKEY_PARAM_RSA_EXPONENT1,
	[DQ] = OSSL_PKEY_PARAM_RSA_EXPONENT2, [QINV] = OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
};

/* The inverse of a modulo m, 0 if there is none. */
static uint64_t
inverse_word(uint64_t a, uint64_t m)
{
	int64_t s = 0, next_s = 1;

	for (uint64_t r = m; a != 0;) {
		uint64_t quotient = r / a, rest = r % a;
		int64_t before = s;

		s = next_s;
		next_s = before - (int64_t)quotient * next_s;
		r = a;
		a = rest;
		if (a == 0 && r != 1)
			return 0;
	}
	return s < 0 ? (uint64_t)s + m : (uint64_t)s;
}

/*
 * d = 1/e modulo m. For the small e of RSA that is (1 + k * m) / e with k = -1/m modulo e: far
 * cheaper than inverting a number as long as m, and without its branches on a secret.
 */
static bool
private_exponent(BIGNUM *d, const BIGNUM *m, uint32_t e)
{
	uint64_t inverse = inverse_word(BN_mod_word(m, e), e);

	return inverse != 0 && BN_copy(d, m) && BN_mul_word(d, e - inverse) && BN_add_word(d, 1) &&
	       BN_div_word(d, e) == 0;
}

/* Fills in the secret parts; fails for numbers that cannot be a key. */
static bool
derive_private_parts(BIGNUM **part, const struct rsa_key *key, BN_CTX *ctx)
{
	BIGNUM *less_p = BN_CTX_get(ctx), *less_q = BN_CTX_get(ctx);
	BIGNUM *phi = BN_CTX_get(ctx), *rest = BN_CTX_get(ctx);

	if (!rest || key->e < 3 || key->e % 2 == 0 || !BN_bin2bn(key->p, key->n_len / 2, part[P]) ||
	    !BN_is_odd(part[P]) || BN_is_one(part[P]))
		return false;
	BN_set_flags(part[P], BN_FLG_CONSTTIME);
	BN_set_flags(part[Q], BN_FLG_CONSTTIME);
	return BN_div(part[Q], rest, part[N], part[P], ctx) && BN_is_zero(rest) &&
	       BN_num_bytes(part[Q]) == key->n_len / 2 && BN_copy(less_p, part[P]) &&
	       BN_sub_word(less_p, 1) && BN_copy(less_q, part[Q]) && BN_sub_word(less_q, 1) &&
	       BN_mul(phi, less_p, less_q, ctx) && private_exponent(part[D], phi, key->e) &&
	       private_exponent(part[DP], less_p, key->e) &&
	       private_exponent(part[DQ], less_q, key->e) &&
	       BN_mod_inverse(part[QINV], part[Q], part[P], ctx);
}

/* Hands the parts to OpenSSL. Not by OSSL_PARAM_BLD, which would leave copies in freed memory. */
static EVP_PKEY *
import_parts(BIGNUM *const *part, size_t count)
{
	uint8_t room[PARTS][CRYPTO_RSA_MAX];
	OSSL_PARAM params[PARTS + 1];
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *pkey = NULL;
	bool ok = ctx && EVP_PKEY_fromdata_init(ctx) > 0;

	for (size_t i = 0; i < count; i++) {
		ok &= BN_bn2nativepad(part[i], room[i], sizeof(room[i])) >= 0;
		params[i] = OSSL_PARAM_construct_BN(part_names[i], room[i], sizeof(room[i]));
	}
	params[count] = OSSL_PARAM_construct_end();
	if (ok)
		EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params);
	crypto_wipe(room, sizeof(room));
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

static EVP_PKEY *
import_key(const struct rsa_key *key, bool with_private)
{
	BN_CTX *ctx = BN_CTX_new();
	BIGNUM *part[PARTS] = { NULL };
	EVP_PKEY *pkey = NULL;

	if (!ctx || key->n_len > CRYPTO_RSA_MAX)
		goto out;
	BN_CTX_start(ctx);
	for (size_t i = 0; i < PARTS; i++)
		part[i] = BN_CTX_get(ctx);
	if (part[PARTS - 1] && BN_bin2bn(key->n, key->n_len, part[N]) &&
	    BN_set_word(part[E], key->e) && (!with_private || derive_private_parts(part, key, ctx)))
		pkey = import_parts(part, with_private ? PARTS : D);
	BN_CTX_end(ctx);
out:
	BN_CTX_free(ctx);
	return pkey;
}

typedef int init_fn(EVP_PKEY_CTX *ctx);
typedef int operate_fn(EVP_PKEY_CTX *ctx, uint8_t *out, size_t *out_len, const uint8_t *in,
		       size_t len);

static bool
cancelled(const struct cancel *cancel)
{
	return cancel && cancel->cancelled(cancel->ctx);
}

/* in to the power of one of the key's exponents, n_len bytes to n_len bytes. */
static bool
raw_operation(const struct rsa_key *key, bool with_private, uint8_t *out, const uint8_t *in,
	      const struct cancel *cancel)
{
	init_fn *init = with_private ? EVP_PKEY_decrypt_init : EVP_PKEY_encrypt_init;
	operate_fn *operate = with_private ? EVP_PKEY_decrypt : EVP_PKEY_encrypt;
	EVP_PKEY *pkey = import_key(key, with_private);
	EVP_PKEY_CTX *ctx = pkey ? EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL) : NULL;
	size_t len = key->n_len;
	bool ok = ctx && init(ctx) > 0 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) > 0 &&
		  !cancelled(cancel) && operate(ctx, out, &len, in, key->n_len) > 0 &&
		  len == key->n_len && !cancelled(cancel);

	if (!ok) {
		ERR_clear_error();
		crypto_wipe(out, key->n_len);
	}
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return ok;
}

struct generation {
	const struct cancel *cancel;
	bool cancelled; /* OpenSSL overlooks some of our refusals to go on */
};

static int
continue_generation(EVP_PKEY_CTX *ctx)
{
	struct generation *generation = EVP_PKEY_CTX_get_app_data(ctx);

	generation->cancelled |= cancelled(generation->cancel);
	return !generation->cancelled;
}

static bool
export_part(const EVP_PKEY *pkey, enum part part, uint8_t *out, int len)
{
	BIGNUM *value = NULL;
	bool ok = EVP_PKEY_get_bn_param(pkey, part_names[part], &value) &&
		  BN_bn2binpad(value, out, len) == len;

	BN_clear_free(value);
	return ok;
}

int
crypto_rsa_generate(struct rsa_key *key, unsigned bits, uint32_t e, const struct cancel *cancel)
{
	struct generation generation = { .cancel = cancel };
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	BIGNUM *exponent = BN_new();
	EVP_PKEY *pkey = NULL;
	int n_len = (int)bits / 8;
	bool ok = bits >= 512 && bits <= 8 * CRYPTO_RSA_MAX && bits % 16 == 0 && ctx && exponent &&
		  EVP_PKEY_keygen_init(ctx) > 0 && BN_set_word(exponent, e) &&
		  EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits) > 0 &&
		  EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, exponent) > 0;

	*key = (struct rsa_key) { .n_len = (uint16_t)n_len, .e = e, .has_private = true };
	if (ok) {
		EVP_PKEY_CTX_set_app_data(ctx, &generation);
		EVP_PKEY_CTX_set_cb(ctx, continue_generation);
	}
	ok = ok && EVP_PKEY_generate(ctx, &pkey) > 0 && !generation.cancelled &&
	     export_part(pkey, N, key->n, n_len) && export_part(pkey, P, key->p, n_len / 2);
	if (!ok) {
		ERR_clear_error();
		crypto_wipe(key, sizeof(*key));
	}
	EVP_PKEY_free(pkey);
	BN_free(exponent);
	EVP_PKEY_CTX_free(ctx);
	return ok ? 0 : -1;
}

bool
crypto_rsa_check(const struct rsa_key *key, const struct cancel *cancel)
{
	uint8_t message[CRYPTO_RSA_MAX], cipher[CRYPTO_RSA_MAX], decrypted[CRYPTO_RSA_MAX];

	if (!key->has_private || key->n_len < 64 || key->n_len > CRYPTO_RSA_MAX ||
	    key->n_len % 2 != 0 || RAND_bytes(message, key->n_len) <= 0)
		return false;
	message[0] = 0; /* below n */
	return raw_operation(key, false, cipher, message, NULL) &&
	       raw_operation(key, true, decrypted, cipher, cancel) &&
	       crypto_equal(message, decrypted, key->n_len);
}

int
crypto_rsa_raw(const struct rsa_key *key, uint8_t *out, const uint8_t *in)
{
	return raw_operation(key, false, out, in, NULL) ? 0 : -1;
}

/*
 * For decisions on decrypted bytes: all ones where the condition holds, else zero, and no branch
 * by which an attacker could learn which byte was wrong.
 */
static uint32_t
mask_zero(uint32_t x)
{
	return (uint32_t)(((uint64_t)x - 1) >> 32);
}

static uint32_t
mask_equal(uint32_t a, uint32_t b)
{
	return mask_zero(a ^ b);
}

static uint32_t
mask_below(uint32_t a, uint32_t b)
{
	return (uint32_t)(((uint64_t)a - b) >> 32);
}

static void
xor_mgf1(uint8_t *target, size_t len, const uint8_t *seed, size_t seed_len)
{
	uint8_t mask[CRYPTO_RSA_MAX];

	crypto_mgf1(mask, len, seed, seed_len);
	for (size_t i = 0; i < len; i++)
		target[i] ^= mask[i];
	crypto_wipe(mask, sizeof(mask));
}

int
crypto_oaep_encode(uint8_t *encoded, size_t encoded_len, const uint8_t *message, size_t message_len,
		   const uint8_t *p_hash, const uint8_t *seed)
{
	size_t overhead = 2 * TPM_DIGEST_SIZE + 1;

	if (encoded_len > CRYPTO_RSA_MAX || encoded_len < overhead ||
	    message_len > encoded_len - overhead)
		return -1;

	uint8_t *masked_seed = encoded, *block = encoded + TPM_DIGEST_SIZE;
	size_t block_len = encoded_len - TPM_DIGEST_SIZE;
	size_t message_at = block_len - message_len;

	memset(block, 0, block_len);
	memcpy(block, p_hash, TPM_DIGEST_SIZE);
	block[message_at - 1] = 1;
	if (message_len > 0)
		memcpy(block + message_at, message, message_len);
	xor_mgf1(block, block_len, seed, TPM_DIGEST_SIZE);
	memcpy(masked_seed, seed, TPM_DIGEST_SIZE);
	xor_mgf1(masked_seed, TPM_DIGEST_SIZE, block, block_len);
	return 0;
}

/*
 * Takes the masks off in place: encoded becomes seed, pHash, PS, 0x01 and the message. Returns
 * where the message starts in *at, and a mask of ones if it does.
 */
static uint32_t
oaep_unmask(uint8_t *encoded, size_t len, uint32_t *at)
{
	uint8_t *block = encoded + TPM_DIGEST_SIZE;
	size_t block_len = len - TPM_DIGEST_SIZE;
	uint32_t searching = UINT32_MAX, good = UINT32_MAX;

	xor_mgf1(encoded, TPM_DIGEST_SIZE, block, block_len);
	xor_mgf1(block, block_len, encoded, TPM_DIGEST_SIZE);
	*at = 0;
	for (uint32_t i = 2 * TPM_DIGEST_SIZE; i < len; i++) {
		uint32_t zero = mask_zero(encoded[i]), one = mask_equal(encoded[i], 1);

		*at |= (i + 1) & searching & one;
		good &= ~searching | zero | one;
		searching &= zero;
	}
	return good & ~searching;
}

int
crypto_oaep_decode(const uint8_t *encoded, size_t encoded_len, uint8_t *message,
		   size_t *message_len, uint8_t *p_hash, uint8_t *seed)
{
	uint8_t plain[CRYPTO_RSA_MAX];
	uint32_t at;

	if (encoded_len > sizeof(plain) || encoded_len < 2 * TPM_DIGEST_SIZE + 1)
		return -1;
	memcpy(plain, encoded, encoded_len);

	uint32_t good = oaep_unmask(plain, encoded_len, &at);
	if (good) {
		memcpy(seed, plain, TPM_DIGEST_SIZE);
		memcpy(p_hash, plain + TPM_DIGEST_SIZE, TPM_DIGEST_SIZE);
		*message_len = encoded_len - at;
		memcpy(message, plain + at, *message_len);
	}
	crypto_wipe(plain, sizeof(plain));
	return good ? 0 : -1;
}

int
crypto_rsa_encrypt_oaep(const struct rsa_key *key, uint8_t *out, const uint8_t *in, size_t len,
			const uint8_t *label, size_t label_len)
{
	uint8_t block[CRYPTO_RSA_MAX] = { 0 }, seed[TPM_DIGEST_SIZE], p_hash[TPM_DIGEST_SIZE];

	crypto_sha1(p_hash, SPANS(SPAN(label, label_len)));
	bool ok = key->n_len > 0 && RAND_bytes(seed, sizeof(seed)) > 0 &&
		  crypto_oaep_encode(block + 1, key->n_len - 1u, in, len, p_hash, seed) == 0 &&
		  raw_operation(key, false, out, block, NULL);
	crypto_wipe(block, sizeof(block));
	crypto_wipe(seed, sizeof(seed));
	return ok ? 0 : -1;
}

int
crypto_rsa_decrypt_oaep(const struct rsa_key *key, uint8_t *out, size_t *len, const uint8_t *in,
			size_t in_len, const uint8_t *label, size_t label_len,
			const struct cancel *cancel)
{
	uint8_t plain[CRYPTO_RSA_MAX], p_hash[TPM_DIGEST_SIZE];
	uint32_t at, good;

	if (!key->has_private || in_len != key->n_len || in_len < CRYPTO_OAEP_OVERHEAD ||
	    in_len > sizeof(plain) || !raw_operation(key, true, plain, in, cancel))
		return -1;
	crypto_sha1(p_hash, SPANS(SPAN(label, label_len)));
	good = oaep_unmask(plain + 1, in_len - 1, &at) & mask_zero(plain[0]) &
	       mask_zero(
		   (uint32_t)!crypto_equal(plain + 1 + TPM_DIGEST_SIZE, p_hash, TPM_DIGEST_SIZE));
	if (good) {
		*len = in_len - 1 - at;
		memcpy(out, plain + 1 + at, *len);
	}
	crypto_wipe(plain, sizeof(plain));
	return good ? 0 : -1;
}

/* EME-PKCS1-v1_5 and EMSA-PKCS1-v1_5 up to the padding bytes, which the caller has set. */
static bool
pkcs1_frame(uint8_t *block, size_t block_len, uint8_t type, const uint8_t *data, size_t len)
{
	if (block_len < CRYPTO_PKCS1_OVERHEAD || block_len > CRYPTO_RSA_MAX ||
	    len > block_len - CRYPTO_PKCS1_OVERHEAD)
		return false;
	block[0] = 0;
	block[1] = type;
	block[block_len - len - 1] = 0;
	if (len > 0)
		memcpy(block + block_len - len, data, len);
	return true;
}

int
crypto_rsa_encrypt_pkcs1(const struct rsa_key *key, uint8_t *out, const uint8_t *in, size_t len)
{
	uint8_t block[CRYPTO_RSA_MAX];
	bool ok = RAND_bytes(block, sizeof(block)) > 0;

	for (size_t i = 0; ok && i < sizeof(block); i++)
		while (ok && block[i] == 0)
			ok = RAND_bytes(block + i, 1) > 0;
	ok = ok && pkcs1_frame(block, key->n_len, PKCS1_ENCRYPTION, in, len) &&
	     raw_operation(key, false, out, block, NULL);
	crypto_wipe(block, sizeof(block));
	return ok ? 0 : -1;
}

int
crypto_rsa_decrypt_pkcs1(const struct rsa_key *key, uint8_t *out, size_t *len, const uint8_t *in,
			 size_t in_len, const struct cancel *cancel)
{
	uint8_t plain[CRYPTO_RSA_MAX];
	uint32_t at = 0, searching = UINT32_MAX;

	if (!key->has_private || in_len != key->n_len || in_len < CRYPTO_PKCS1_OVERHEAD ||
	    in_len > sizeof(plain) || !raw_operation(key, true, plain, in, cancel))
		return -1;
	for (uint32_t i = 2; i < in_len; i++) {
		uint32_t zero = mask_zero(plain[i]);

		at |= (i + 1) & searching & zero;
		searching &= ~zero;
	}

	uint32_t good = mask_zero(plain[0]) & mask_equal(plain[1], PKCS1_ENCRYPTION) &
			~mask_below(at, CRYPTO_PKCS1_OVERHEAD); /* 0 when nothing was found */
	if (good) {
		*len = in_len - at;
		memcpy(out, plain + at, *len);
	}
	crypto_wipe(plain, sizeof(plain));
	return good ? 0 : -1;
}

int
crypto_rsa_sign_der(const struct rsa_key *key, uint8_t *sig, const uint8_t *data, size_t len,
		    const struct cancel *cancel)
{
	uint8_t block[CRYPTO_RSA_MAX];

	memset(block, 0xff, sizeof(block));
	return key->has_private && pkcs1_frame(block, key->n_len, PKCS1_SIGNATURE, data, len) &&
		       raw_operation(key, true, sig, block, cancel)
		   ? 0
		   : -1;
}

/* The DER of DigestInfo with SHA-1's identifier, up to the digest. */
static const uint8_t sha1_info[] = { 0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e,
				     0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14 };

int
crypto_rsa_sign_sha1(const struct rsa_key *key, uint8_t *sig, const uint8_t *digest,
		     const struct cancel *cancel)
{
	uint8_t info[sizeof(sha1_info) + TPM_DIGEST_SIZE];

	memcpy(info, sha1_info, sizeof(sha1_info));
	memcpy(info + sizeof(sha1_info), digest, TPM_DIGEST_SIZE);
	return crypto_rsa_sign_der(key, sig, info, sizeof(info), cancel);
}

bool
crypto_rsa_verify_sha1(const struct rsa_key *key, const uint8_t *sig, size_t sig_len,
		       const uint8_t *digest)
{
	uint8_t expected[CRYPTO_RSA_MAX], block[CRYPTO_RSA_MAX];
	uint8_t info[sizeof(sha1_info) + TPM_DIGEST_SIZE];

	memcpy(info, sha1_info, sizeof(sha1_info));
	memcpy(info + sizeof(sha1_info), digest, TPM_DIGEST_SIZE);
	memset(expected, 0xff, sizeof(expected));
	return sig_len == key->n_len &&
	       pkcs1_frame(expected, sig_len, PKCS1_SIGNATURE, info, sizeof(info)) &&
	       raw_operation(key, false, block, sig, NULL) &&
	       crypto_equal(block, expected, sig_len);
}
