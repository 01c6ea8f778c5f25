/*
 * crypt.h - the manager's symmetric cryptography, on OpenSSL 3's EVP.
 *
 * Functions return 0 or a negative errno: -EBADMSG if something does not authenticate, -ENOMEM.
 */
#ifndef MANAGER_CRYPT_H
#define MANAGER_CRYPT_H

#include <stddef.h>
#include <stdint.h>

enum {
	CRYPT_KEY_SIZE = 32,
	CRYPT_NONCE_SIZE = 12,
	CRYPT_TAG_SIZE = 16,
	CRYPT_SHA1_SIZE = 20,
	CRYPT_SHA256_SIZE = 32,
};

/* A piece of input; functions that hash or authenticate take several. */
struct crypt_part {
	const void *data;
	size_t len;
};

#define CRYPT_PARTS(...)                                                                           \
	((const struct crypt_part[]) { __VA_ARGS__ }),                                             \
	    (sizeof((const struct crypt_part[]) { __VA_ARGS__ }) / sizeof(struct crypt_part))

/* crypt_random: len bytes from the kernel's generator. Cannot fail (abort). */
void crypt_random(void *out, size_t len);

/* crypt_derive: a key for one purpose from the root key (HKDF-SHA256). */
int crypt_derive(uint8_t *key, const uint8_t *root, const char *purpose);

/*
 * AES-256-GCM. aad is authenticated, not encrypted. out gets len bytes and may be in. crypt_open
 * leaves nothing of the plaintext in out when it fails.
 */
int crypt_seal(const uint8_t *key, const uint8_t *nonce, const struct crypt_part *aad,
	       size_t aad_count, const uint8_t *in, size_t len, uint8_t *out, uint8_t *tag);
int crypt_open(const uint8_t *key, const uint8_t *nonce, const struct crypt_part *aad,
	       size_t aad_count, const uint8_t *in, size_t len, uint8_t *out, const uint8_t *tag);

/* crypt_sha256: out gets CRYPT_SHA256_SIZE bytes. Cannot fail but by lack of memory (abort). */
void crypt_sha256(uint8_t *out, const struct crypt_part *parts, size_t count);

/* crypt_sha1, crypt_hmac_sha1: for TPM 1.2; out gets CRYPT_SHA1_SIZE bytes. */
void crypt_sha1(uint8_t *out, const struct crypt_part *parts, size_t count);
void crypt_hmac_sha1(uint8_t *out, const uint8_t *key, size_t key_len,
		     const struct crypt_part *parts, size_t count);

/*
 * crypt_rsa_oaep: encrypts in to an RSA public key (OAEP with MGF1, both with the digest "SHA1" or
 * "SHA256"). out gets modulus_len bytes. -EINVAL for what cannot be a key, or too much data.
 */
struct crypt_rsa {
	const uint8_t *modulus; /* big-endian */
	size_t modulus_len;
	uint32_t exponent;
};
int crypt_rsa_oaep(const struct crypt_rsa *key, const char *digest, struct crypt_part label,
		   struct crypt_part in, uint8_t *out);

/*
 * crypt_rsa_der: the key as SubjectPublicKeyInfo, at most size bytes. Returns its length or
 * -EINVAL.
 */
int crypt_rsa_der(const struct crypt_rsa *key, uint8_t *out, size_t size);

/* crypt_free: wipes and frees memory that held secrets. NULL is fine. */
void crypt_free(void *p, size_t len);

#endif
