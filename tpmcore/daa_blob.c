#include "tpmcore/daa.h"

enum { DAA_BLOB_HEAD = 2 + 4 + 16 + DIGEST_SIZE, SENSITIVE_MAX = 2 + 4 + TPM_DAA_SIZE_v1 };

void
marshal_daa_tpm(struct marshal *m, struct daa_session *d)
{
	marshal_tag(m, TPM_TAG_DAA_TPM);
	marshal_bytes(m, d->tpm.digestIssuer, DIGEST_SIZE);
	marshal_bytes(m, d->tpm.digest_v0, DIGEST_SIZE);
	marshal_bytes(m, d->tpm.digest_v1, DIGEST_SIZE);
	marshal_bytes(m, d->tpm.rekey, DIGEST_SIZE);
	marshal_u32(m, &d->tpm.count);
}

/* TPM_DAA_BLOB [Part 2, 22.8] without sensitiveData. Its additionalData is the IV. */
struct daa_blob {
	uint32_t resourceType;
	uint8_t label[16];
	uint8_t blobIntegrity[DIGEST_SIZE];
	uint8_t iv[CRYPTO_AES_BLOCK];
};

static void
marshal_blob(struct marshal *m, struct daa_blob *b)
{
	uint32_t additionalSize = sizeof(b->iv);

	marshal_tag(m, TPM_TAG_DAA_BLOB);
	marshal_u32(m, &b->resourceType);
	marshal_bytes(m, b->label, sizeof(b->label));
	marshal_bytes(m, b->blobIntegrity, DIGEST_SIZE);
	marshal_u32(m, &additionalSize);
	if (additionalSize != sizeof(b->iv))
		m->r->failed = true;
	marshal_bytes(m, b->iv, sizeof(b->iv));
}

/* blobIntegrity: HMAC with daaProof of the blob in which it is zero itself. */
static void
integrity(const struct tpm *tpm, const struct daa_blob *b, struct span sensitive, uint8_t *digest)
{
	struct daa_blob zeroed = *b;
	uint8_t buf[DAA_BLOB_HEAD + 4 + CRYPTO_AES_BLOCK + 4];
	struct writer w = writer_of(buf, sizeof(buf));

	memset(zeroed.blobIntegrity, 0, DIGEST_SIZE);
	marshal_blob(&(struct marshal) { .w = &w }, &zeroed);
	writer_u32(&w, (uint32_t)sensitive.len);
	crypto_hmac(digest, tpm->permanent.daaProof, DIGEST_SIZE,
		    SPANS(SPAN(buf, w.len), sensitive));
}

TPM_RESULT
daa_blob_write(struct command *c, uint32_t type, const uint8_t *data, size_t len)
{
	struct daa_blob b = { .resourceType = type };
	uint8_t buf[SENSITIVE_MAX];
	struct writer w = writer_of(buf, sizeof(buf));
	TPM_RESULT rc = tpm_random(c->tpm, b.iv, sizeof(b.iv));

	/* TPM_DAA_SENSITIVE [Part 2, 22.9] */
	writer_u16(&w, TPM_TAG_DAA_SENSITIVE);
	writer_sized(&w, data, len);
	if (rc == TPM_SUCCESS &&
	    crypto_aes_ctr(buf, buf, w.len, c->tpm->permanent.daaBlobKey, b.iv))
		rc = TPM_FAIL;
	if (rc == TPM_SUCCESS) {
		integrity(c->tpm, &b, SPAN(buf, w.len), b.blobIntegrity);
		size_t size_at = c->out.len;
		writer_u32(&c->out, 0);
		marshal_blob(&(struct marshal) { .w = &c->out }, &b);
		writer_sized(&c->out, buf, w.len);
		writer_patch_u32(&c->out, size_at, (uint32_t)(c->out.len - size_at - 4));
	}
	crypto_wipe(buf, sizeof(buf));
	return rc;
}

TPM_RESULT
daa_blob_read(const struct tpm *tpm, struct reader blob, uint32_t type, uint8_t *data, size_t len)
{
	struct daa_blob b;
	uint8_t buf[SENSITIVE_MAX], expected[DIGEST_SIZE];

	marshal_blob(&(struct marshal) { .r = &blob }, &b);
	struct reader sensitive = reader_sized(&blob);
	if (!reader_done(&blob) || b.resourceType != type || sensitive.left > sizeof(buf))
		return TPM_DAA_INPUT_DATA0;
	integrity(tpm, &b, SPAN(sensitive.pos, sensitive.left), expected);
	if (!crypto_equal(expected, b.blobIntegrity, DIGEST_SIZE) ||
	    crypto_aes_ctr(buf, sensitive.pos, sensitive.left, tpm->permanent.daaBlobKey, b.iv))
		return TPM_DAA_INPUT_DATA0;
	struct reader r = reader_of(buf, sensitive.left);
	uint16_t tag = reader_u16(&r);
	struct reader internal = reader_sized(&r);
	bool sound = reader_done(&r) && tag == TPM_TAG_DAA_SENSITIVE && internal.left == len;
	if (sound)
		reader_bytes(&internal, data, len);
	crypto_wipe(buf, sizeof(buf));
	return sound ? TPM_SUCCESS : TPM_DAA_INPUT_DATA0;
}
