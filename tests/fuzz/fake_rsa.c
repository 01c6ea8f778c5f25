/*
 * RSA that costs nothing and that a fuzzer can get through: the message is its own ciphertext,
 * every key is good, every comparison of secrets succeeds. The linker puts these in place of the
 * functions of tpmcore/crypto.h (--wrap), so that what lies behind a valid authorization or a
 * decrypted blob is reached with bytes that the fuzzer chose.
 */
#include "tests/fuzz/fake_rsa.h"

#include <string.h>

bool
__wrap_crypto_equal(const void *a, const void *b, size_t len)
{
	(void)a;
	(void)b;
	(void)len;
	return true;
}

static bool
cancelled(const struct cancel *cancel)
{
	return cancel && cancel->cancelled(cancel->ctx);
}

int
__wrap_crypto_rsa_generate(struct rsa_key *key, unsigned bits, uint32_t e,
			   const struct cancel *cancel)
{
	if (cancelled(cancel))
		return -1;
	memset(key, 0, sizeof(*key));
	key->n_len = (uint16_t)(bits / 8);
	key->e = e;
	key->has_private = true;
	memset(key->n, 0xc5, key->n_len);
	memset(key->p, 0xd7, key->n_len / 2u);
	return 0;
}

bool
__wrap_crypto_rsa_check(const struct rsa_key *key, const struct cancel *cancel)
{
	(void)key;
	return !cancelled(cancel);
}

int
__wrap_crypto_rsa_raw(const struct rsa_key *key, uint8_t *out, const uint8_t *in)
{
	memmove(out, in, key->n_len);
	return 0;
}

int
__wrap_crypto_rsa_encrypt_oaep(const struct rsa_key *key, uint8_t *out, const uint8_t *in,
			       size_t len, const uint8_t *label, size_t label_len)
{
	(void)label;
	(void)label_len;
	if (len + CRYPTO_OAEP_OVERHEAD > key->n_len)
		return -1;
	memset(out, 0, key->n_len);
	memmove(out, in, len);
	return 0;
}

int
__wrap_crypto_rsa_decrypt_oaep(const struct rsa_key *key, uint8_t *out, size_t *len,
			       const uint8_t *in, size_t in_len, const uint8_t *label,
			       size_t label_len, const struct cancel *cancel)
{
	(void)label;
	(void)label_len;
	if (in_len > key->n_len || cancelled(cancel))
		return -1;
	memmove(out, in, in_len);
	*len = in_len;
	return 0;
}

int
__wrap_crypto_rsa_encrypt_pkcs1(const struct rsa_key *key, uint8_t *out, const uint8_t *in,
				size_t len)
{
	return __wrap_crypto_rsa_encrypt_oaep(key, out, in, len, NULL, 0);
}

int
__wrap_crypto_rsa_decrypt_pkcs1(const struct rsa_key *key, uint8_t *out, size_t *len,
				const uint8_t *in, size_t in_len, const struct cancel *cancel)
{
	return __wrap_crypto_rsa_decrypt_oaep(key, out, len, in, in_len, NULL, 0, cancel);
}

int
__wrap_crypto_rsa_sign_der(const struct rsa_key *key, uint8_t *sig, const uint8_t *data, size_t len,
			   const struct cancel *cancel)
{
	if (cancelled(cancel))
		return -1;
	memset(sig, 0, key->n_len);
	memcpy(sig, data, len);
	return 0;
}

int
__wrap_crypto_rsa_sign_sha1(const struct rsa_key *key, uint8_t *sig, const uint8_t *digest,
			    const struct cancel *cancel)
{
	return __wrap_crypto_rsa_sign_der(key, sig, digest, TPM_DIGEST_SIZE, cancel);
}

bool
__wrap_crypto_rsa_verify_sha1(const struct rsa_key *key, const uint8_t *sig, size_t sig_len,
			      const uint8_t *digest)
{
	(void)sig;
	(void)digest;
	return sig_len == key->n_len;
}
