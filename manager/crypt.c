#include "manager/crypt.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/param_build.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

void
crypt_random(void *out, size_t len)
{
	uint8_t *pos = out;

	while (len > 0) {
		ssize_t got = getrandom(pos, len, 0);

		if (got < 0 && errno != EINTR)
			abort();
		if (got > 0) {
			pos += got;
			len -= (size_t)got;
		}
	}
}

int
crypt_derive(uint8_t *key, const uint8_t *root, const char *purpose)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)root,
						  CRYPT_KEY_SIZE),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)purpose,
						  strlen(purpose)),
		OSSL_PARAM_construct_end(),
	};
	int ok = ctx && EVP_KDF_derive(ctx, key, CRYPT_KEY_SIZE, params) == 1;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok ? 0 : -ENOMEM;
}

/* The common part of both directions: key, nonce, associated data, data. */
static bool
gcm_run(EVP_CIPHER_CTX *ctx, int encrypt, const uint8_t *key, const uint8_t *nonce,
	const struct crypt_part *aad, size_t aad_count, const uint8_t *in, size_t len, uint8_t *out)
{
	int n;

	if (!EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, encrypt))
		return false;
	for (size_t i = 0; i < aad_count; i++) {
		if (!EVP_CipherUpdate(ctx, NULL, &n, aad[i].data, (int)aad[i].len))
			return false;
	}
	return len == 0 || EVP_CipherUpdate(ctx, out, &n, in, (int)len);
}

int
crypt_seal(const uint8_t *key, const uint8_t *nonce, const struct crypt_part *aad, size_t aad_count,
	   const uint8_t *in, size_t len, uint8_t *out, uint8_t *tag)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t none[CRYPT_TAG_SIZE];
	int n;
	int ok = ctx && gcm_run(ctx, 1, key, nonce, aad, aad_count, in, len, out) &&
		 EVP_CipherFinal_ex(ctx, none, &n) &&
		 EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, CRYPT_TAG_SIZE, tag);

	EVP_CIPHER_CTX_free(ctx);
	return ok ? 0 : -ENOMEM;
}

int
crypt_open(const uint8_t *key, const uint8_t *nonce, const struct crypt_part *aad, size_t aad_count,
	   const uint8_t *in, size_t len, uint8_t *out, const uint8_t *tag)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t wanted[CRYPT_TAG_SIZE];
	uint8_t none[CRYPT_TAG_SIZE];
	int error = -ENOMEM;
	int n;

	memcpy(wanted, tag, sizeof(wanted));
	if (ctx && gcm_run(ctx, 0, key, nonce, aad, aad_count, in, len, out) &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, CRYPT_TAG_SIZE, wanted))
		error = EVP_CipherFinal_ex(ctx, none, &n) ? 0 : -EBADMSG;
	if (error < 0 && len > 0)
		OPENSSL_cleanse(out, len);
	EVP_CIPHER_CTX_free(ctx);
	return error;
}

static void
digest_parts(const EVP_MD *md, uint8_t *out, const struct crypt_part *parts, size_t count)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (!ctx || !EVP_DigestInit_ex(ctx, md, NULL))
		abort();
	for (size_t i = 0; i < count; i++) {
		if (!EVP_DigestUpdate(ctx, parts[i].data, parts[i].len))
			abort();
	}
	if (!EVP_DigestFinal_ex(ctx, out, NULL))
		abort();
	EVP_MD_CTX_free(ctx);
}

void
crypt_sha256(uint8_t *out, const struct crypt_part *parts, size_t count)
{
	digest_parts(EVP_sha256(), out, parts, count);
}

void
crypt_sha1(uint8_t *out, const struct crypt_part *parts, size_t count)
{
	digest_parts(EVP_sha1(), out, parts, count);
}

void
crypt_hmac_sha1(uint8_t *out, const uint8_t *key, size_t key_len, const struct crypt_part *parts,
		size_t count)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA1", 0),
		OSSL_PARAM_construct_end(),
	};

	if (!ctx || !EVP_MAC_init(ctx, key, key_len, params))
		abort();
	for (size_t i = 0; i < count; i++) {
		if (!EVP_MAC_update(ctx, parts[i].data, parts[i].len))
			abort();
	}
	if (!EVP_MAC_final(ctx, out, NULL, CRYPT_SHA1_SIZE))
		abort();
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(mac);
}

static EVP_PKEY *
rsa_public(const struct crypt_rsa *key)
{
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	BIGNUM *n = BN_bin2bn(key->modulus, (int)key->modulus_len, NULL);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	OSSL_PARAM *params = NULL;
	EVP_PKEY *pkey = NULL;

	if (build && n && ctx && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) &&
	    OSSL_PARAM_BLD_push_uint(build, OSSL_PKEY_PARAM_RSA_E, key->exponent))
		params = OSSL_PARAM_BLD_to_param(build);
	if (params && EVP_PKEY_fromdata_init(ctx) == 1)
		EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params);
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	BN_free(n);
	OSSL_PARAM_BLD_free(build);
	return pkey;
}

int
crypt_rsa_oaep(const struct crypt_rsa *key, const char *digest, struct crypt_part label,
	       struct crypt_part in, uint8_t *out)
{
	EVP_PKEY *pkey = rsa_public(key);
	EVP_PKEY_CTX *ctx = pkey ? EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL) : NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE,
						 (char *)(uintptr_t)OSSL_PKEY_RSA_PAD_MODE_OAEP, 0),
		OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST,
						 (char *)(uintptr_t)digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL,
						  (void *)(uintptr_t)label.data, label.len),
		OSSL_PARAM_construct_end(),
	};
	size_t len = key->modulus_len;
	int ok = ctx && EVP_PKEY_encrypt_init_ex(ctx, params) == 1 &&
		 EVP_PKEY_encrypt(ctx, out, &len, in.data, in.len) == 1 && len == key->modulus_len;

	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return ok ? 0 : -EINVAL;
}

int
crypt_rsa_der(const struct crypt_rsa *key, uint8_t *out, size_t size)
{
	EVP_PKEY *pkey = rsa_public(key);
	unsigned char *der = NULL;
	int len = pkey ? i2d_PUBKEY(pkey, &der) : -1;

	if (len > 0 && (size_t)len <= size)
		memcpy(out, der, (size_t)len);
	else
		len = -EINVAL;
	OPENSSL_free(der);
	EVP_PKEY_free(pkey);
	return len;
}

void
crypt_free(void *p, size_t len)
{
	if (p && len > 0)
		OPENSSL_cleanse(p, len);
	free(p);
}
