/* Blobs of delegations [TPM Main Part 2, 20.11 to 20.13]. */
#include "tpmcore/delegation.h"

enum { BLOB_MAX = 512 };

static void
integrity_digest(const struct tpm *tpm, const struct delegation_blob *b, uint8_t *digest)
{
	static const uint8_t zeros[DIGEST_SIZE];
	const uint8_t *start = b->whole.data, *after = b->integrityDigest + DIGEST_SIZE;
	size_t before_len = (size_t)(b->integrityDigest - start);

	crypto_hmac(digest, tpm->permanent.tpmProof, DIGEST_SIZE,
		    SPANS(SPAN(start, before_len), SPAN(zeros, DIGEST_SIZE),
			  SPAN(after, b->whole.len - before_len - DIGEST_SIZE)));
}

TPM_RESULT
delegation_blob_read(struct reader r, struct delegation_blob *b)
{
	b->whole = SPAN(r.pos, r.left);
	b->tag = reader_u16(&r);
	if (b->tag != TPM_TAG_DELEGATE_OWNER_BLOB && b->tag != TPM_TAG_DELG_KEY_BLOB)
		return TPM_BAD_PARAMETER;
	marshal_delegate_public(&(struct marshal) { .r = &r }, &b->pub);
	b->integrityDigest = reader_view(&r, DIGEST_SIZE);
	if (b->tag == TPM_TAG_DELG_KEY_BLOB)
		b->pubKeyDigest = reader_view(&r, DIGEST_SIZE);
	b->iv = reader_sized(&r);
	b->sensitive = reader_sized(&r);
	return reader_done(&r) ? TPM_SUCCESS : TPM_INVALID_STRUCTURE;
}

TPM_RESULT
delegation_blob_check(const struct tpm *tpm, const struct delegation_blob *b)
{
	uint8_t digest[DIGEST_SIZE];

	integrity_digest(tpm, b, digest);
	return crypto_equal(digest, b->integrityDigest, DIGEST_SIZE) ? TPM_SUCCESS : TPM_AUTHFAIL;
}

TPM_RESULT
delegation_blob_auth(const struct tpm *tpm, const struct delegation_blob *b, bool clear,
		     uint8_t *auth)
{
	uint8_t plain[2 + DIGEST_SIZE];

	if (b->sensitive.left != sizeof(plain) || (!clear && b->iv.left != CRYPTO_AES_BLOCK))
		return TPM_INVALID_STRUCTURE;
	if (clear)
		memcpy(plain, b->sensitive.pos, sizeof(plain));
	else if (crypto_aes_ctr(plain, b->sensitive.pos, sizeof(plain), tpm->permanent.delegateKey,
				b->iv.pos))
		return TPM_FAIL;
	struct reader r = reader_of(plain, sizeof(plain));
	bool sound = reader_u16(&r) == TPM_TAG_DELEGATE_SENSITIVE;
	reader_bytes(&r, auth, DIGEST_SIZE);
	crypto_wipe(plain, sizeof(plain));
	return sound ? TPM_SUCCESS : TPM_INVALID_STRUCTURE;
}

/* Puts the integrityDigest into a blob that is complete but for it, and answers the blob. */
static TPM_RESULT
blob_finish(struct command *c, struct writer *w, uint8_t *integrity)
{
	uint8_t digest[DIGEST_SIZE];

	if (w->failed)
		return TPM_INVALID_STRUCTURE;
	integrity_digest(c->tpm,
			 &(struct delegation_blob) { .integrityDigest = integrity,
						     .whole = SPAN(w->buf, w->len) },
			 digest);
	memcpy(integrity, digest, DIGEST_SIZE);
	writer_sized(&c->out, w->buf, w->len);
	return TPM_SUCCESS;
}

TPM_RESULT
delegation_blob_write(struct command *c, struct delegate_public *pub, const struct key *key,
		      const uint8_t *auth)
{
	uint8_t buf[BLOB_MAX], iv[CRYPTO_AES_BLOCK], plain[2 + DIGEST_SIZE], digest[DIGEST_SIZE];
	struct writer w = writer_of(buf, sizeof(buf)), plain_w = writer_of(plain, sizeof(plain));

	if (tpm_random(c->tpm, iv, sizeof(iv)) != TPM_SUCCESS)
		return TPM_FAIL;
	writer_u16(&w, key ? TPM_TAG_DELG_KEY_BLOB : TPM_TAG_DELEGATE_OWNER_BLOB);
	marshal_delegate_public(&(struct marshal) { .w = &w }, pub);
	uint8_t *integrity = writer_reserve(&w, DIGEST_SIZE);
	if (key) {
		key_store_pubkey_digest(key, digest);
		writer_bytes(&w, digest, DIGEST_SIZE);
	}
	writer_sized(&w, iv, sizeof(iv));
	writer_u16(&plain_w, TPM_TAG_DELEGATE_SENSITIVE);
	writer_bytes(&plain_w, auth, DIGEST_SIZE);
	int err = crypto_aes_ctr(plain, plain, sizeof(plain), c->tpm->permanent.delegateKey, iv);
	writer_sized(&w, plain, sizeof(plain));
	return err ? TPM_FAIL : blob_finish(c, &w, integrity);
}

TPM_RESULT
delegation_blob_renew(struct command *c, const struct delegation_blob *b)
{
	struct delegate_public pub = b->pub;
	const uint8_t *rest = b->integrityDigest + DIGEST_SIZE;
	uint8_t buf[BLOB_MAX];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_u16(&w, b->tag);
	marshal_delegate_public(&(struct marshal) { .w = &w }, &pub);
	uint8_t *integrity = writer_reserve(&w, DIGEST_SIZE);
	writer_bytes(&w, rest, b->whole.len - (size_t)(rest - (const uint8_t *)b->whole.data));
	return blob_finish(c, &w, integrity);
}
