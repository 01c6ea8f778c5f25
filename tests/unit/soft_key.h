/*
 * soft_key.h - RSA keys that no TPM has: of migration authorities, destinations, issuers. Made and
 * used with OpenSSL alone.
 */
#ifndef TESTS_UNIT_SOFT_KEY_H
#define TESTS_UNIT_SOFT_KEY_H

#include "tests/unit/support.h"

struct soft_key {
	EVP_PKEY *key;
	uint8_t n[256];
	size_t n_len;
};

/* soft_key_new: a new key with exponent 65537. To be freed with soft_key_free. */
struct soft_key soft_key_new(unsigned bits);
void soft_key_free(struct soft_key *k);
/* soft_key_write: the public key as TPM_PUBKEY with these schemes. soft_key_digest: SHA-1 of that.
 */
void soft_key_write(struct writer *w, const struct soft_key *k, uint16_t encScheme,
		    uint16_t sigScheme);
void soft_key_digest(const struct soft_key *k, uint16_t encScheme, uint16_t sigScheme,
		     uint8_t *digest);
/* soft_key_sign: PKCS #1 v1.5 with SHA-1 of a digest, n_len bytes. */
void soft_key_sign(const struct soft_key *k, const uint8_t *digest, uint8_t *signature);
/* soft_key_decrypt: OAEP with the TPM's label; returns the length, -1 for a failure. */
int soft_key_decrypt(const struct soft_key *k, uint8_t *out, const void *in, size_t len);

/* pubkey_of_key: the TPM_PUBKEY in a TPM_KEY or TPM_KEY12; pubkey_digest: SHA-1 of it. */
void pubkey_of_key(const struct blob *key, struct blob *pubkey);
void pubkey_digest(const struct blob *key, uint8_t *digest);
/* enc_data_of_key: the view of its encData. replace_enc_data: the key with another one. */
struct reader enc_data_of_key(const struct blob *key);
void replace_enc_data(struct blob *key, const struct blob *enc_data);

#endif
