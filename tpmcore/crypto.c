#include "crypto.h"

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SHA1_BLOCK = 64 };

/* Looked up once: a fetch takes longer than hashing a command. Holds no secrets, lives as long as
 * the process. */
static struct {
	EVP_MD *sha1;
	EVP_CIPHER *aes_ctr;
	EVP_CIPHER *aes_ofb;
} algorithms;

static void
fetch_algorithms(void)
{
	algorithms.sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
	algorithms.aes_ctr = EVP_CIPHER_fetch(NULL, "AES-128-CTR", NULL);
	algorithms.aes_ofb = EVP_CIPHER_fetch(NULL, "AES-128-OFB", NULL);
	if (!algorithms.sha1 || !algorithms.aes_ctr || !algorithms.aes_ofb)
		abort();
}

static void
need_algorithms(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, fetch_algorithms);
}

bool
crypto_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

void
crypto_wipe(void *p, size_t len)
{
	OPENSSL_cleanse(p, len);
}

/* SHA-1 of a first part and then the others. A context per call costs 0.1 us, and no secret stays
 * behind in one that is kept. */
static void
sha1_after(uint8_t *out, struct span first, const struct span *parts, size_t count)
{
	need_algorithms();

	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestInit_ex2(ctx, algorithms.sha1, NULL) &&
		  EVP_DigestUpdate(ctx, first.data, first.len);

	for (size_t i = 0; ok && i < count; i++)
		ok = EVP_DigestUpdate(ctx, parts[i].data, parts[i].len);
	if (!ok || !EVP_DigestFinal_ex(ctx, out, NULL))
		abort();
	EVP_MD_CTX_free(ctx);
}

void
crypto_sha1(uint8_t *out, const struct span *parts, size_t count)
{
	sha1_after(out, SPAN(NULL, 0), parts, count);
}

void
crypto_hmac(uint8_t *out, const uint8_t *key, size_t key_len, const struct span *parts,
	    size_t count)
{
	uint8_t inner[SHA1_BLOCK] = { 0 }, outer[SHA1_BLOCK];

	if (key_len > sizeof(inner))
		crypto_sha1(inner, SPANS(SPAN(key, key_len)));
	else if (key_len > 0)
		memcpy(inner, key, key_len);
	for (size_t i = 0; i < sizeof(inner); i++) {
		outer[i] = inner[i] ^ 0x5c;
		inner[i] ^= 0x36;
	}
	sha1_after(out, SPAN(inner, sizeof(inner)), parts, count);
	sha1_after(out, SPAN(outer, sizeof(outer)), SPANS(SPAN(out, TPM_DIGEST_SIZE)));
	crypto_wipe(inner, sizeof(inner));
	crypto_wipe(outer, sizeof(outer));
}

static uint32_t
rotate(uint32_t x, unsigned n)
{
	return x << n | x >> (32 - n);
}

/* SHA-1's compression function [FIPS 180-4, 6.1.2]. Our own, because EVP has no way to take the
 * state of an unfinished digest to another process. */
static void
sha1_compress(uint32_t h[5], const uint8_t *block)
{
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

	for (unsigned t = 0; t < 16; t++, block += 4)
		w[t] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 |
		       (uint32_t)block[2] << 8 | block[3];
	for (unsigned t = 16; t < 80; t++)
		w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
	for (unsigned t = 0; t < 80; t++) {
		static const uint32_t k[] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6 };
		const uint32_t f[] = { (b & c) ^ (~b & d), b ^ c ^ d, (b & c) ^ (b & d) ^ (c & d),
				       b ^ c ^ d };
		uint32_t next = rotate(a, 5) + f[t / 20] + e + k[t / 20] + w[t];

		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = next;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
}

void
crypto_sha1_start(struct sha1_thread *t)
{
	*t = (struct sha1_thread) {
		.h = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 },
	};
}

void
crypto_sha1_update(struct sha1_thread *t, const void *data, size_t len)
{
	for (const uint8_t *pos = data; len > 0;) {
		size_t used = t->len % SHA1_BLOCK;
		size_t step = len < SHA1_BLOCK - used ? len : SHA1_BLOCK - used;

		memcpy(t->block + used, pos, step);
		t->len += step;
		pos += step;
		len -= step;
		if (t->len % SHA1_BLOCK == 0)
			sha1_compress(t->h, t->block);
	}
}

void
crypto_sha1_final(struct sha1_thread *t, uint8_t *digest)
{
	static const uint8_t padding[SHA1_BLOCK] = { 0x80 };
	uint64_t bits = t->len * 8;
	uint8_t tail[8];

	for (unsigned i = 0; i < 8; i++)
		tail[i] = (uint8_t)(bits >> (56 - 8 * i));
	/* 0x80 and zeros up to 8 bytes before the end of a block */
	crypto_sha1_update(t, padding, 1 + (2 * SHA1_BLOCK - 9 - t->len % SHA1_BLOCK) % SHA1_BLOCK);
	crypto_sha1_update(t, tail, sizeof(tail));
	for (unsigned i = 0; i < TPM_DIGEST_SIZE; i++)
		digest[i] = (uint8_t)(t->h[i / 4] >> (24 - 8 * (i % 4)));
}

void
crypto_mgf1(uint8_t *out, size_t len, const uint8_t *seed, size_t seed_len)
{
	uint8_t digest[TPM_DIGEST_SIZE];

	for (uint32_t counter = 0; len > 0; counter++) {
		const uint8_t c[] = { (uint8_t)(counter >> 24), (uint8_t)(counter >> 16),
				      (uint8_t)(counter >> 8), (uint8_t)counter };
		size_t step = len < sizeof(digest) ? len : sizeof(digest);

		crypto_sha1(digest, SPANS(SPAN(seed, seed_len), SPAN(c, sizeof(c))));
		memcpy(out, digest, step);
		out += step;
		len -= step;
	}
	crypto_wipe(digest, sizeof(digest));
}

/* Both modes are streams: what encrypts also decrypts. */
static int
aes_stream(const EVP_CIPHER *mode, uint8_t *out, const uint8_t *in, size_t len, const uint8_t *key,
	   const uint8_t *iv)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int done;
	bool ok = ctx && len <= INT32_MAX && EVP_EncryptInit_ex2(ctx, mode, key, iv, NULL) &&
		  EVP_EncryptUpdate(ctx, out, &done, in, (int)len);

	EVP_CIPHER_CTX_free(ctx);
	return ok ? 0 : -1;
}

int
crypto_aes_ctr(uint8_t *out, const uint8_t *in, size_t len, const uint8_t *key, const uint8_t *iv)
{
	need_algorithms();
	return aes_stream(algorithms.aes_ctr, out, in, len, key, iv);
}

int
crypto_aes_ofb(uint8_t *out, const uint8_t *in, size_t len, const uint8_t *key, const uint8_t *iv)
{
	need_algorithms();
	return aes_stream(algorithms.aes_ofb, out, in, len, key, iv);
}

/* A number from its bytes, in memory that BN_CTX_free wipes; secret ones are marked as such. */
static BIGNUM *
number(BN_CTX *ctx, struct span bytes, bool secret)
{
	BIGNUM *value = BN_CTX_get(ctx);

	if (!value || bytes.len > INT32_MAX || !BN_bin2bn(bytes.data, (int)bytes.len, value))
		return NULL;
	if (secret)
		BN_set_flags(value, BN_FLG_CONSTTIME);
	return value;
}

/* Writes the result of an operation that went well, and ends the context it was made in. */
static int
finish(BN_CTX *ctx, bool ok, const BIGNUM *result, uint8_t *out, size_t out_len)
{
	ok = ok && out_len <= INT32_MAX && BN_bn2binpad(result, out, (int)out_len) >= 0;
	if (!ok) {
		ERR_clear_error();
		crypto_wipe(out, out_len);
	}
	if (ctx)
		BN_CTX_end(ctx);
	BN_CTX_free(ctx);
	return ok ? 0 : -1;
}

static BN_CTX *
start(void)
{
	BN_CTX *ctx = BN_CTX_new();

	if (ctx)
		BN_CTX_start(ctx);
	return ctx;
}

int
crypto_modexp2(uint8_t *out, size_t out_len, struct span a, struct span x, struct span b,
	       struct span y, struct span n, const struct cancel *cancel)
{
	BN_CTX *ctx = start();
	BIGNUM *result = ctx ? BN_CTX_get(ctx) : NULL;
	BIGNUM *modulus = result ? number(ctx, n, false) : NULL;
	const struct span base[] = { a, b }, exponent[] = { x, y };
	/* modular exponentiation in constant time needs an odd modulus */
	bool ok = modulus && BN_is_odd(modulus) && BN_one(result);

	for (size_t i = 0; ok && i < 2 && base[i].data; i++) {
		BIGNUM *factor = number(ctx, base[i], false);
		BIGNUM *power = factor ? number(ctx, exponent[i], true) : NULL;

		ok = power &&
		     BN_mod_exp_mont_consttime(factor, factor, power, modulus, ctx, NULL) &&
		     BN_mod_mul(result, result, factor, modulus, ctx) &&
		     !(cancel && cancel->cancelled(cancel->ctx));
	}
	return finish(ctx, ok, result, out, out_len);
}

int
crypto_mod(uint8_t *out, size_t out_len, struct span in, struct span m)
{
	BN_CTX *ctx = start();
	BIGNUM *value = ctx ? number(ctx, in, true) : NULL;
	BIGNUM *modulus = value ? number(ctx, m, false) : NULL;

	return finish(ctx, modulus && BN_mod(value, value, modulus, ctx), value, out, out_len);
}

int
crypto_mul_add(uint8_t *out, size_t out_len, struct span a, struct span b, struct span c)
{
	BN_CTX *ctx = start();
	BIGNUM *left = ctx ? number(ctx, a, true) : NULL;
	BIGNUM *right = left ? number(ctx, b, true) : NULL;
	BIGNUM *summand = right ? number(ctx, c, true) : NULL;

	return finish(ctx, summand && BN_mul(left, left, right, ctx) && BN_add(left, left, summand),
		      left, out, out_len);
}
