/*
 * reference.h - the cryptography with which tests judge the TPM: straight calls of OpenSSL that
 * share nothing with tpmcore/. Every function fails the running test rather than return an error,
 * unless said otherwise.
 */
#ifndef TESTS_REFERENCE_H
#define TESTS_REFERENCE_H

#include <openssl/evp.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* reference_hex: the bytes that hex digits stand for; spaces are skipped. Returns their number. */
size_t reference_hex(uint8_t *out, size_t size, const char *hex);

/* reference_sha1, reference_hmac: of one piece of memory; out gets 20 bytes. */
void reference_sha1(uint8_t *out, const void *data, size_t len);
void reference_hmac(uint8_t *out, const uint8_t *key, size_t key_len, const void *data, size_t len);
/* reference_mgf1_xor: XORs len bytes of MGF1 with SHA-1 over seed into out. */
void reference_mgf1_xor(uint8_t *out, size_t len, const uint8_t *seed, size_t seed_len);
/* reference_aes: AES-128 of len bytes in a stream mode, "CTR" or "OFB". */
void reference_aes(uint8_t *out, const uint8_t *in, size_t len, const char *mode,
		   const uint8_t *key, const uint8_t *iv);

/* RSA keys from big-endian numbers; p is one of the primes. To be freed with EVP_PKEY_free. */
EVP_PKEY *reference_rsa_public(const uint8_t *n, size_t n_len, uint32_t e);
EVP_PKEY *reference_rsa_private(const uint8_t *n, size_t n_len, uint32_t e, const uint8_t *p,
				size_t p_len);

/* What is done with a key, and how the data is padded (RSA_PKCS1_PADDING ...). OAEP's encoding
 * parameter is "TCPA", as always in TPM 1.2. */
enum reference_operation { REFERENCE_ENCRYPT, REFERENCE_DECRYPT };
/* reference_rsa: returns the length of out, which has room for the modulus; -1 for a failure. */
int reference_rsa(EVP_PKEY *key, enum reference_operation operation, int padding, uint8_t *out,
		  const void *in, size_t len);
/* reference_verify: whether sig is a PKCS #1 v1.5 signature with SHA-1 of this digest, or of bytes
 * as they are (TPM_SS_RSASSAPKCS1v15_DER). */
bool reference_verify_sha1(EVP_PKEY *key, const uint8_t *sig, size_t sig_len,
			   const uint8_t *digest);
bool reference_verify_der(EVP_PKEY *key, const uint8_t *sig, size_t sig_len, const void *data,
			  size_t len);

#endif
