/*
 * crypto.h - the cryptography of a TPM 1.2, on OpenSSL 3's EVP.
 *
 * The only module of tpmcore/ that calls OpenSSL: crypto.c, and crypto_rsa.c for RSA. Big numbers
 * are big-endian and padded to the stated length. Functions that can fail return 0, or -1 with
 * nothing written but wiped buffers, unless said otherwise; the caller chooses the TPM's result
 * code.
 */
#ifndef TPMCORE_CRYPTO_H
#define TPMCORE_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vtpm/tpm12.h>

enum {
	CRYPTO_RSA_MAX = 256, /* bytes of the largest modulus, 2048 bits */
	CRYPTO_AES_KEY_SIZE = 16,
	CRYPTO_AES_BLOCK = 16,
	CRYPTO_OAEP_OVERHEAD = 42, /* modulus bytes that OAEP with SHA-1 takes from a message */
	CRYPTO_PKCS1_OVERHEAD = 11,
};

/* A piece of input; functions that hash or MAC take several, as H(a || b) in the specification. */
struct span {
	const void *data;
	size_t len;
};

#define SPAN(data, len) ((struct span) { (data), (len) })
/* The two arguments parts, count of the functions below. */
#define SPANS(...)                                                                                 \
	((const struct span[]) { __VA_ARGS__ }),                                                   \
	    (sizeof((const struct span[]) { __VA_ARGS__ }) / sizeof(struct span))

/*
 * Asked while an operation with a secret runs; says it true, the operation ends with -1. NULL in
 * the place of a struct cancel: nobody asks.
 */
struct cancel {
	bool (*cancelled)(void *ctx);
	void *ctx;
};

/* An RSA key of two primes. A public key has has_private false and p of no meaning. */
struct rsa_key {
	uint8_t n[CRYPTO_RSA_MAX]; /* first n_len bytes, top bit set */
	uint16_t n_len;            /* 64 to 256, even */
	uint32_t e;
	bool has_private;
	uint8_t p[CRYPTO_RSA_MAX / 2]; /* one prime, first n_len / 2 bytes: TPM_STORE_PRIVKEY */
};

/*
 * crypto_sha1, crypto_hmac: out gets TPM_DIGEST_SIZE bytes and may be one of the parts. Cannot fail
 * but by lack of memory (abort).
 */
void crypto_sha1(uint8_t *out, const struct span *parts, size_t count);
void crypto_hmac(uint8_t *out, const uint8_t *key, size_t key_len, const struct span *parts,
		 size_t count);

/* crypto_equal: compares in constant time. */
bool crypto_equal(const void *a, const void *b, size_t len);
/* crypto_wipe: overwrites; not optimised away. */
void crypto_wipe(void *p, size_t len);

/*
 * An incremental SHA-1 (TPM_SHA1Start ..., the dynamic launch). The state can be exported in the
 * middle and taken up again in another process.
 */
enum { CRYPTO_SHA1_STATE_SIZE = 20 + 8 + 64 };
struct sha1_thread {
	uint32_t h[5];
	uint64_t len;      /* bytes so far */
	uint8_t block[64]; /* the first len % 64 bytes wait for more */
};
void crypto_sha1_start(struct sha1_thread *t);
void crypto_sha1_update(struct sha1_thread *t, const void *data, size_t len);
void crypto_sha1_final(struct sha1_thread *t, uint8_t *digest);

/* crypto_mgf1: len bytes of MGF1 with SHA-1 over seed [PKCS #1 v2.0, 10.2.1]. */
void crypto_mgf1(uint8_t *out, size_t len, const uint8_t *seed, size_t seed_len);

/*
 * AES-128 in the modes of the specification: counter (the low 32 bits of the IV count, big-endian,
 * wrapping over the whole 128 bits as OpenSSL's CTR does) and output feedback. in and out may be
 * the same.
 */
int crypto_aes_ctr(uint8_t *out, const uint8_t *in, size_t len, const uint8_t *key,
		   const uint8_t *iv);
int crypto_aes_ofb(uint8_t *out, const uint8_t *in, size_t len, const uint8_t *key,
		   const uint8_t *iv);

/*
 * crypto_rsa_generate: a new key pair of bits (512 to 2048, multiple of 16) and public exponent e.
 * cancel is asked while primes are sought. -1 when cancelled, out of memory or asked for a size or
 * exponent that cannot be; key is then wiped. Random bytes come from OpenSSL's generator.
 */
int crypto_rsa_generate(struct rsa_key *key, unsigned bits, uint32_t e,
			const struct cancel *cancel);

/*
 * crypto_rsa_check: n is p times a number of the same length, e has an inverse, and decryption
 * takes back the encryption of a random number. As costly as one private operation; does not prove
 * that p is prime, which only harms whoever made the key.
 */
bool crypto_rsa_check(const struct rsa_key *key, const struct cancel *cancel);

/*
 * Encryption with the public key. out gets n_len bytes. OAEP is with SHA-1, MGF1-SHA-1 and the
 * encoding parameter label (TPM 1.2: "TCPA"); crypto_rsa_raw takes exactly n_len bytes smaller than
 * n.
 */
int crypto_rsa_encrypt_oaep(const struct rsa_key *key, uint8_t *out, const uint8_t *in, size_t len,
			    const uint8_t *label, size_t label_len);
int crypto_rsa_encrypt_pkcs1(const struct rsa_key *key, uint8_t *out, const uint8_t *in,
			     size_t len);
int crypto_rsa_raw(const struct rsa_key *key, uint8_t *out, const uint8_t *in);

/*
 * Decryption with the private key of in_len == n_len bytes. out has room for n_len bytes and *len
 * is set. -1 for a padding that does not fit, in a time that does not depend on where it fails.
 *
 * The exponentiation itself, 1.6 ms with 2048 bits, is OpenSSL's and runs to its end: cancel is
 * asked before it and, for what came in the meantime, after it.
 */
int crypto_rsa_decrypt_oaep(const struct rsa_key *key, uint8_t *out, size_t *len, const uint8_t *in,
			    size_t in_len, const uint8_t *label, size_t label_len,
			    const struct cancel *cancel);
int crypto_rsa_decrypt_pkcs1(const struct rsa_key *key, uint8_t *out, size_t *len,
			     const uint8_t *in, size_t in_len, const struct cancel *cancel);

/*
 * PKCS #1 v1.5 signatures, n_len bytes. _sha1 signs a 20-byte digest with SHA-1's DigestInfo; _der
 * signs data of at most n_len - 11 bytes as it is. crypto_rsa_verify_sha1: whether sig is such a
 * signature of digest.
 */
int crypto_rsa_sign_sha1(const struct rsa_key *key, uint8_t *sig, const uint8_t *digest,
			 const struct cancel *cancel);
int crypto_rsa_sign_der(const struct rsa_key *key, uint8_t *sig, const uint8_t *data, size_t len,
			const struct cancel *cancel);
bool crypto_rsa_verify_sha1(const struct rsa_key *key, const uint8_t *sig, size_t sig_len,
			    const uint8_t *digest);

/*
 * crypto_oaep_encode, crypto_oaep_decode: EME-OAEP with a seed of the caller's choice, as the
 * migration commands need it (TPM_CreateMigrationBlob puts part of the secret into the seed).
 * encoded is the padded message without the leading zero octet: encoded_len bytes, of which the
 * first 20 are the masked seed. decode writes seed (20 bytes), pHash (20 bytes) and the message
 * that follows PS and 0x01, and leaves the comparison of pHash to the caller.
 */
int crypto_oaep_encode(uint8_t *encoded, size_t encoded_len, const uint8_t *message,
		       size_t message_len, const uint8_t *p_hash, const uint8_t *seed);
int crypto_oaep_decode(const uint8_t *encoded, size_t encoded_len, uint8_t *message,
		       size_t *message_len, uint8_t *p_hash, uint8_t *seed);

/*
 * The arithmetic of DAA. Every number is big-endian.
 * crypto_modexp2: out = a^x * b^y mod n (b.data NULL: a^x mod n), left-padded; n must be odd. x and
 * y are secret; cancel is asked after each of the two powers. crypto_mod: out = in mod m.
 * crypto_mul_add: out = a * b + c; -1 if it needs more than out_len bytes.
 */
int crypto_modexp2(uint8_t *out, size_t out_len, struct span a, struct span x, struct span b,
		   struct span y, struct span n, const struct cancel *cancel);
int crypto_mod(uint8_t *out, size_t out_len, struct span in, struct span m);
int crypto_mul_add(uint8_t *out, size_t out_len, struct span a, struct span b, struct span c);

#endif
