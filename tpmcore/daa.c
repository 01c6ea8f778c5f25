/* Direct anonymous attestation [TPM Main Part 3, 26]: sessions, and how a stage of one is run. */
#include "tpmcore/daa.h"

#include "tpmcore/commands.h"
#include "tpmcore/resources.h"

struct daa_session *
daa_find(struct tpm *tpm, uint32_t handle)
{
	return resource_find(tpm, resource_of(TPM_RT_DAA_TPM), handle);
}

void
daa_free(struct daa_session *d)
{
	crypto_wipe(d, sizeof(*d));
}

TPM_RESULT
daa_renew(struct tpm *tpm)
{
	struct permanent *p = &tpm->permanent;
	TPM_RESULT rc = tpm_random(tpm, p->tpmDAASeed, sizeof(p->tpmDAASeed));

	rc = rc ? rc : tpm_random(tpm, p->daaProof, sizeof(p->daaProof));
	rc = rc ? rc : tpm_random(tpm, p->daaBlobKey, sizeof(p->daaBlobKey));
	tpm->changed |= TPM_CHANGED_PERMANENT;
	return rc;
}

static struct daa_session *
daa_new(struct tpm *tpm)
{
	const struct resource *r = resource_of(TPM_RT_DAA_TPM);
	struct daa_session *d = resource_slot(tpm, r);

	if (d) {
		d->handle = resource_new_handle(tpm, r);
		d->context.scratch_null = true;
	}
	return d;
}

void
daa_output(struct daa_run *r, const void *data, size_t len)
{
	writer_sized(&r->c->out, data, len);
	r->answered = true;
}

static void
context_digest(struct daa_session *d, bool join, uint8_t *digest)
{
	uint8_t specific[DAA_TPM_SIZE];
	struct writer w = writer_of(specific, sizeof(specific));

	marshal_daa_tpm(&(struct marshal) { .w = &w }, d);
	crypto_sha1(digest,
		    SPANS(SPAN(specific, w.len), SPAN(&d->join, join ? sizeof(d->join) : 0)));
}

void
daa_issuer_digest(const struct daa_session *d, uint8_t *digest)
{
	static const uint8_t tag[2] = { 0, TPM_TAG_DAA_ISSUER };

	crypto_sha1(digest, SPANS(SPAN(tag, 2), SPAN(&d->issuer, sizeof(d->issuer))));
}

/* That the session is at this stage, and that what it knows belongs together. */
static TPM_RESULT
check_session(const struct daa_protocol *p, struct daa_session *d, uint8_t stage)
{
	uint8_t digest[DIGEST_SIZE];

	if (stage >= p->count || d->context.stage != stage)
		return TPM_DAA_STAGE;
	if (stage >= p->issuer_from) {
		daa_issuer_digest(d, digest);
		if (!crypto_equal(digest, d->tpm.digestIssuer, DIGEST_SIZE))
			return TPM_DAA_ISSUER_SETTINGS;
	}
	if (stage >= p->context_from) {
		context_digest(d, p->join, digest);
		if (!crypto_equal(digest, d->context.digestContext, DIGEST_SIZE))
			return TPM_DAA_TPM_SETTINGS;
	}
	return TPM_SUCCESS;
}

static bool
fits(const struct daa_session *d, struct reader in, size_t size, size_t digest_at)
{
	uint8_t digest[DIGEST_SIZE];

	if (size > 0 && in.left != size)
		return false;
	crypto_sha1(digest, SPANS(SPAN(in.pos, in.left)));
	return digest_at == 0 || memcmp(digest, (const uint8_t *)d + digest_at, DIGEST_SIZE) == 0;
}

/* v0 or v1 from its blob. */
static TPM_RESULT
open_blob(struct daa_run *r)
{
	bool is_v0 = r->stage->blob == TPM_RT_DAA_V0;
	size_t len = is_v0 ? TPM_DAA_SIZE_v0 : TPM_DAA_SIZE_v1;
	const uint8_t *expected = is_v0 ? r->d->tpm.digest_v0 : r->d->tpm.digest_v1;
	uint8_t digest[DIGEST_SIZE];
	TPM_RESULT rc = daa_blob_read(r->c->tpm, r->in0, r->stage->blob, r->v, len);

	if (rc)
		return rc;
	crypto_sha1(digest, SPANS(SPAN(r->v, len)));
	return crypto_equal(digest, expected, DIGEST_SIZE) ? TPM_SUCCESS : TPM_DAA_INPUT_DATA0;
}

static TPM_RESULT
run_stage(struct daa_run *r)
{
	const struct daa_stage *stage = r->stage;
	struct daa_session *d = r->d;
	TPM_RESULT rc = TPM_SUCCESS;

	if (!fits(d, r->in0, stage->size0, stage->digest0))
		return TPM_DAA_INPUT_DATA0;
	if (!fits(d, r->in1, stage->size1, stage->digest1))
		return TPM_DAA_INPUT_DATA1;
	if (stage->blob)
		rc = open_blob(r);
	if (rc == TPM_SUCCESS && stage->flags & DAA_SEED)
		rc = tpm_random(r->c->tpm, d->context.contextSeed, DIGEST_SIZE);
	if (rc == TPM_SUCCESS)
		rc = stage->action(r);
	if (rc == TPM_SUCCESS && stage->flags & DAA_OUT)
		daa_output(r, d->context.scratch, sizeof(d->context.scratch));
	if (stage->flags & DAA_CLEAR) {
		crypto_wipe(d->context.scratch, sizeof(d->context.scratch));
		d->context.scratch_null = true;
	}
	return rc;
}

/* Any failure ends the session. */
static TPM_RESULT
daa_command(struct command *c, const struct daa_protocol *p)
{
	uint8_t stage = reader_u8(&c->in);
	struct daa_run r = { .c = c };
	TPM_RESULT rc = TPM_SUCCESS;

	r.in0 = reader_sized(&c->in);
	r.in1 = reader_sized(&c->in);
	r.d = stage == 0 ? daa_new(c->tpm) : daa_find(c->tpm, c->handle[0]);
	if (!r.d)
		return stage == 0 ? TPM_RESOURCES : TPM_BAD_HANDLE;
	if (stage > 0)
		rc = check_session(p, r.d, stage);
	if (rc == TPM_SUCCESS) {
		r.stage = &p->stages[stage];
		rc = run_stage(&r);
	}
	if (!r.answered)
		daa_output(&r, NULL, 0);
	crypto_wipe(r.v, sizeof(r.v));
	if (rc || stage == p->count - 1) {
		daa_free(r.d);
		return rc;
	}
	r.d->context.stage = (uint8_t)(stage + !r.again);
	context_digest(r.d, p->join, r.d->context.digestContext);
	return TPM_SUCCESS;
}

/* [Part 3, 26.1] */
TPM_RESULT
tpm_DAA_Join(struct command *c)
{
	return daa_command(c, &daa_join);
}

/* [Part 3, 26.2] */
TPM_RESULT
tpm_DAA_Sign(struct command *c)
{
	return daa_command(c, &daa_sign);
}
