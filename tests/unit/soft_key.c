#include "tests/unit/soft_key.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

struct soft_key
soft_key_new(unsigned bits)
{
	struct soft_key k = { .key = EVP_RSA_gen(bits), .n_len = bits / 8 };
	BIGNUM *n = NULL;

	ck_assert_ptr_nonnull(k.key);
	ck_assert_int_eq(EVP_PKEY_get_bn_param(k.key, OSSL_PKEY_PARAM_RSA_N, &n), 1);
	ck_assert_int_eq(BN_bn2binpad(n, k.n, (int)k.n_len), (int)k.n_len);
	BN_free(n);
	return k;
}

void
soft_key_free(struct soft_key *k)
{
	EVP_PKEY_free(k->key);
}

void
soft_key_write(struct writer *w, const struct soft_key *k, uint16_t encScheme, uint16_t sigScheme)
{
	writer_u32(w, TPM_ALG_RSA);
	writer_u16(w, encScheme);
	writer_u16(w, sigScheme);
	writer_u32(w, 12);
	writer_u32(w, (uint32_t)k->n_len * 8);
	writer_u32(w, 2);
	writer_u32(w, 0);
	writer_sized(w, k->n, k->n_len);
}

void
soft_key_digest(const struct soft_key *k, uint16_t encScheme, uint16_t sigScheme, uint8_t *digest)
{
	uint8_t buf[512];
	struct writer w = writer_of(buf, sizeof(buf));

	soft_key_write(&w, k, encScheme, sigScheme);
	reference_sha1(digest, buf, w.len);
}

void
soft_key_sign(const struct soft_key *k, const uint8_t *digest, uint8_t *signature)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(k->key, NULL);
	size_t len = k->n_len;

	ck_assert_int_eq(EVP_PKEY_sign_init(ctx), 1);
	ck_assert_int_eq(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING), 1);
	ck_assert_int_eq(EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha1()), 1);
	ck_assert_int_eq(EVP_PKEY_sign(ctx, signature, &len, digest, TPM_DIGEST_SIZE), 1);
	EVP_PKEY_CTX_free(ctx);
}

int
soft_key_decrypt(const struct soft_key *k, uint8_t *out, const void *in, size_t len)
{
	return reference_rsa(k->key, REFERENCE_DECRYPT, RSA_PKCS1_OAEP_PADDING, out, in, len);
}

/* Moves over all of a TPM_KEY in front of encData; pubkey may be NULL. */
static void
skip_public(struct reader *r, struct blob *pubkey)
{
	reader_view(r, 4 + 2 + 4 + 1); /* version or tag, usage, flags, authDataUsage */
	struct reader parms = *r;
	reader_view(r, 4 + 2 + 2);
	reader_sized(r);
	size_t parms_len = parms.left - r->left;
	reader_sized(r); /* PCRInfo */
	struct reader n = reader_sized(r);
	ck_assert(!r->failed);
	if (pubkey) {
		struct writer w = writer_of(pubkey->data, sizeof(pubkey->data));
		writer_bytes(&w, parms.pos, parms_len);
		writer_sized(&w, n.pos, n.left);
		pubkey->len = w.len;
	}
}

void
pubkey_of_key(const struct blob *key, struct blob *pubkey)
{
	struct reader r = reader_of(key->data, key->len);

	skip_public(&r, pubkey);
}

void
pubkey_digest(const struct blob *key, uint8_t *digest)
{
	struct blob pubkey;

	pubkey_of_key(key, &pubkey);
	reference_sha1(digest, pubkey.data, pubkey.len);
}

struct reader
enc_data_of_key(const struct blob *key)
{
	struct reader r = reader_of(key->data, key->len);

	skip_public(&r, NULL);
	struct reader enc_data = reader_sized(&r);
	ck_assert(reader_done(&r));
	return enc_data;
}

void
replace_enc_data(struct blob *key, const struct blob *enc_data)
{
	struct reader r = reader_of(key->data, key->len);

	skip_public(&r, NULL);
	struct writer w = writer_of(key->data, sizeof(key->data));
	writer_reserve(&w, key->len - r.left);
	writer_sized(&w, enc_data->data, enc_data->len);
	key->len = w.len;
}
