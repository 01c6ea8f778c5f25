/* What each stage of TPM_DAA_Join and TPM_DAA_Sign does [TPM Main Part 3, 26]. */
#include "tpmcore/daa.h"

enum { CARRY_SIZE = 1 + DIGEST_SIZE }; /* of r2 + digest * u0, what lies above power1 */

static const uint8_t one = 1;

static void
scratch_set(struct daa_session *d, const uint8_t *data, size_t len)
{
	size_t size = sizeof(d->context.scratch);

	memset(d->context.scratch, 0, size);
	memcpy(d->context.scratch + size - len, data, len);
	d->context.scratch_null = false;
}

static TPM_RESULT
output_handle(struct daa_run *r)
{
	uint8_t handle[4];
	struct writer w = writer_of(handle, sizeof(handle));

	writer_u32(&w, r->d->handle);
	daa_output(r, handle, sizeof(handle));
	return TPM_SUCCESS;
}

/* Join 0 */
static TPM_RESULT
join_start(struct daa_run *r)
{
	r->d->tpm.count = reader_u32(&r->in0);
	return r->d->tpm.count > 0 ? output_handle(r) : TPM_DAA_INPUT_DATA0;
}

/* Whether inputData1 is a signature with the issuer's key in scratch on a || b. */
static TPM_RESULT
check_issuer_signature(struct daa_run *r, struct span a, struct span b)
{
	struct rsa_key key = { .n_len = DAA_MODULUS, .e = 65537 };
	uint8_t digest[DIGEST_SIZE];

	memcpy(key.n, r->d->context.scratch, DAA_MODULUS);
	crypto_sha1(digest, SPANS(a, b));
	return crypto_rsa_verify_sha1(&key, r->in1.pos, r->in1.left, digest)
		   ? TPM_SUCCESS
		   : TPM_DAA_ISSUER_VALIDITY;
}

/* Join 1: count times a key, the first one on trust, each other signed by the one before. */
static TPM_RESULT
join_issuer_key(struct daa_run *r)
{
	struct daa_session *d = r->d;

	if (d->context.scratch_null) {
		crypto_sha1(d->join.digest_n0, SPANS(SPAN(r->in0.pos, DAA_MODULUS)));
		crypto_sha1(d->tpm.rekey, SPANS(SPAN(r->c->tpm->permanent.tpmDAASeed, DIGEST_SIZE),
						SPAN(d->join.digest_n0, DIGEST_SIZE)));
	} else {
		if (r->in1.left != DAA_MODULUS)
			return TPM_DAA_INPUT_DATA1;
		TPM_RESULT rc =
		    check_issuer_signature(r, SPAN(r->in0.pos, DAA_MODULUS), SPAN(NULL, 0));
		if (rc)
			return rc;
	}
	scratch_set(d, r->in0.pos, DAA_MODULUS);
	r->again = --d->tpm.count > 0;
	return TPM_SUCCESS;
}

static TPM_RESULT
read_issuer(struct daa_run *r)
{
	if (reader_u16(&r->in0) != TPM_TAG_DAA_ISSUER)
		return TPM_DAA_INPUT_DATA0;
	reader_bytes(&r->in0, &r->d->issuer, sizeof(r->d->issuer));
	return TPM_SUCCESS;
}

/* Join 2: TPM_DAA_ISSUER, signed by the last key together with the digest of the first. */
static TPM_RESULT
join_issuer_settings(struct daa_run *r)
{
	struct span settings = SPAN(r->in0.pos, r->in0.left);
	TPM_RESULT rc = read_issuer(r);

	if (rc == TPM_SUCCESS)
		rc = check_issuer_signature(r, SPAN(r->d->join.digest_n0, DIGEST_SIZE), settings);
	daa_issuer_digest(r->d, r->d->tpm.digestIssuer);
	return rc;
}

/* Join 3: which credential of the issuer this is to be; the secrets that hide it from the issuer.
 */
static TPM_RESULT
join_secrets(struct daa_run *r)
{
	struct daa_session *d = r->d;
	TPM_RESULT rc = tpm_random(r->c->tpm, d->join.u0, sizeof(d->join.u0));

	d->tpm.count = reader_u32(&r->in0);
	return rc ? rc : tpm_random(r->c->tpm, d->join.u1, sizeof(d->join.u1));
}

/* Scratch becomes, or is multiplied by, inputData0^x mod inputData1. */
static TPM_RESULT
multiply(struct daa_run *r)
{
	struct daa_session *d = r->d;
	uint8_t x[DAA_NUMBER_MAX], product[DAA_MODULUS];
	size_t len = daa_number(d, r->stage->x, x);
	const uint8_t *factor = r->stage->flags & DAA_FIRST ? NULL : d->context.scratch;
	TPM_RESULT rc = daa_raise(r, product, r->in0.pos, SPAN(x, len), factor, r->in1.pos);

	if (rc == TPM_SUCCESS)
		scratch_set(d, product, sizeof(product));
	crypto_wipe(x, sizeof(x));
	return rc;
}

/* Join 7: the commitment to all secrets is complete. */
static TPM_RESULT
join_commit(struct daa_run *r)
{
	struct daa_session *d = r->d;
	uint8_t count[4];
	struct writer w = writer_of(count, sizeof(count));
	TPM_RESULT rc = multiply(r);

	writer_u32(&w, d->tpm.count);
	crypto_sha1(d->context.digest, SPANS(SPAN(d->context.scratch, sizeof(d->context.scratch)),
					     SPAN(count, 4), SPAN(d->join.digest_n0, DIGEST_SIZE)));
	return rc;
}

/* Join 8: proves that the commitment is from the TPM with this EK. */
static TPM_RESULT
join_prove_ek(struct daa_run *r)
{
	struct key ek = endorsement_key(r->c->tpm);
	uint8_t ne[CRYPTO_RSA_MAX], digest[DIGEST_SIZE];
	size_t len = 0;
	TPM_RESULT rc = key_decrypt(r->c->tpm, &ek, ne, &len, r->in0);

	if (rc == TPM_SUCCESS) {
		crypto_sha1(digest, SPANS(SPAN(r->d->context.digest, DIGEST_SIZE), SPAN(ne, len)));
		daa_output(r, digest, sizeof(digest));
	}
	memset(r->d->context.digest, 0, DIGEST_SIZE);
	crypto_wipe(&ek, sizeof(ek));
	crypto_wipe(ne, sizeof(ne));
	return rc;
}

/* Join 13, Sign 6: the base of the pseudonym, w, is in the subgroup of order q. */
static TPM_RESULT
pseudonym_base(struct daa_run *r)
{
	const uint8_t *gamma = r->in0.pos, *w = r->in1.pos;
	uint8_t power[DAA_MODULUS], unity[DAA_MODULUS] = { 0 };
	TPM_RESULT rc =
	    daa_raise(r, power, w, SPAN(r->d->issuer.generic_q, DAA_Q_SIZE), NULL, gamma);

	unity[DAA_MODULUS - 1] = 1;
	if (rc == TPM_SUCCESS && memcmp(power, unity, DAA_MODULUS) != 0)
		rc = TPM_DAA_WRONG_W;
	if (rc == TPM_SUCCESS)
		scratch_set(r->d, w, DAA_MODULUS);
	return rc;
}

/* Join 14 and 15, Sign 7 and 8: the pseudonym and its commitment, w^x. */
static TPM_RESULT
pseudonym(struct daa_run *r)
{
	uint8_t x[DAA_NUMBER_MAX], power[DAA_MODULUS];
	size_t len = daa_number(r->d, r->stage->x, x);
	TPM_RESULT rc = daa_raise(r, power, r->d->context.scratch, SPAN(x, len), NULL, r->in0.pos);

	if (rc == TPM_SUCCESS)
		daa_output(r, power, sizeof(power));
	crypto_wipe(x, sizeof(x));
	return rc;
}

/* Join 16, Sign 9: the TPM's own part of the challenge. */
static TPM_RESULT
challenge(struct daa_run *r)
{
	uint8_t nt[TPM_DAA_SIZE_NT];
	TPM_RESULT rc = tpm_random(r->c->tpm, nt, sizeof(nt));

	crypto_sha1(r->d->context.digest,
		    SPANS(SPAN(r->in0.pos, DIGEST_SIZE), SPAN(nt, sizeof(nt))));
	daa_output(r, nt, sizeof(nt));
	return rc;
}

/* Sign 10: what is signed: an identity key, or any digest. */
static TPM_RESULT
sign_message(struct daa_run *r)
{
	uint8_t selector = reader_u8(&r->in0), *digest = r->d->context.digest;
	struct span message = SPAN(r->in1.pos, r->in1.left);

	if (selector > 1)
		return TPM_DAA_INPUT_DATA0;
	if (message.len != (selector ? DIGEST_SIZE : 4))
		return TPM_DAA_INPUT_DATA1;
	if (selector == 0) {
		const struct key *key = key_find(r->c->tpm, reader_u32(&r->in1), NULL);
		if (!key || key->keyUsage != TPM_KEY_IDENTITY)
			return TPM_DAA_INPUT_DATA1;
		message = SPAN(key->rsa.n, key->rsa.n_len);
	}
	crypto_sha1(digest, SPANS(SPAN(digest, DIGEST_SIZE), SPAN(&selector, 1), message));
	daa_output(r, digest, DIGEST_SIZE);
	return TPM_SUCCESS;
}

/* The secret of a stage: a number of the session, or what its blob held. */
static struct span
secret(struct daa_run *r, uint8_t *buf)
{
	if (r->stage->blob)
		return SPAN(r->v,
			    r->stage->blob == TPM_RT_DAA_V0 ? TPM_DAA_SIZE_v0 : TPM_DAA_SIZE_v1);
	return SPAN(buf, daa_number(r->d, r->stage->x, buf));
}

/* out = r + digest * x + c, the answer to the challenge that does not tell x. */
static TPM_RESULT
answer(struct daa_run *r, uint8_t *out, size_t len, struct span c)
{
	uint8_t x[DAA_NUMBER_MAX], blinding[DAA_NUMBER_MAX], sum[DAA_NUMBER_MAX];
	size_t blinding_len = daa_number(r->d, r->stage->r, blinding);
	struct span hidden = secret(r, x);
	TPM_RESULT rc = TPM_DAA_ISSUER_SETTINGS;

	if (hidden.len > 0)
		rc = daa_sum(sum, sizeof(sum), SPAN(r->d->context.digest, DIGEST_SIZE), hidden,
			     SPAN(blinding, blinding_len));
	if (rc == TPM_SUCCESS)
		rc = daa_sum(out, len, SPAN(sum, sizeof(sum)), SPAN(&one, 1), c);
	crypto_wipe(x, sizeof(x));
	crypto_wipe(blinding, sizeof(blinding));
	crypto_wipe(sum, sizeof(sum));
	return rc;
}

/* Join 17 and 18, Sign 11 and 12 */
static TPM_RESULT
respond(struct daa_run *r)
{
	uint8_t s[TPM_DAA_SIZE_r0];
	TPM_RESULT rc = answer(r, s, sizeof(s), SPAN(NULL, 0));

	if (rc == TPM_SUCCESS)
		daa_output(r, s, sizeof(s));
	return rc;
}

/* Join 19, Sign 13: the part below power1. */
static TPM_RESULT
respond_low(struct daa_run *r)
{
	uint8_t s[CARRY_SIZE + DAA_POWER1_BYTES];
	TPM_RESULT rc = answer(r, s, sizeof(s), SPAN(NULL, 0));

	if (rc == TPM_SUCCESS)
		daa_output(r, s + CARRY_SIZE, DAA_POWER1_BYTES);
	return rc;
}

/* Join 20, Sign 14: the part above stays for the next one. */
static TPM_RESULT
respond_high(struct daa_run *r)
{
	uint8_t s[CARRY_SIZE + DAA_POWER1_BYTES];
	TPM_RESULT rc = answer(r, s, sizeof(s), SPAN(NULL, 0));

	if (rc == TPM_SUCCESS)
		scratch_set(r->d, s, CARRY_SIZE);
	return rc;
}

/* Join 20 also tells the challenge. */
static TPM_RESULT
join_respond_high(struct daa_run *r)
{
	TPM_RESULT rc = respond_high(r);

	daa_output(r, r->d->context.digest, DIGEST_SIZE);
	return rc;
}

/* Join 21, Sign 15: takes it up; as long as its blinding. */
static TPM_RESULT
respond_carry(struct daa_run *r)
{
	uint8_t s[DAA_NUMBER_MAX];
	size_t len = r->stage->r == DAA_R3 ? TPM_DAA_SIZE_r3 : TPM_DAA_SIZE_r4;
	TPM_RESULT rc =
	    answer(r, s, len, SPAN(r->d->context.scratch, sizeof(r->d->context.scratch)));

	if (rc == TPM_SUCCESS)
		daa_output(r, s, len);
	return rc;
}

static TPM_RESULT
output_blob(struct daa_run *r, uint32_t type, const uint8_t *data, size_t len)
{
	r->answered = true;
	return daa_blob_write(r->c, type, data, len);
}

/* Join 22: v0 = u2 + u0, of which the carry beyond power1 stays for v1. */
static TPM_RESULT
join_v0(struct daa_run *r)
{
	struct daa_session *d = r->d;
	uint8_t v0[1 + TPM_DAA_SIZE_v0];
	TPM_RESULT rc = daa_sum(v0, sizeof(v0), SPAN(r->in0.pos, r->in0.left), SPAN(&one, 1),
				SPAN(d->join.u0, sizeof(d->join.u0)));

	if (rc)
		return rc;
	crypto_sha1(d->tpm.digest_v0, SPANS(SPAN(v0 + 1, TPM_DAA_SIZE_v0)));
	scratch_set(d, v0, 1);
	rc = output_blob(r, TPM_RT_DAA_V0, v0 + 1, TPM_DAA_SIZE_v0);
	crypto_wipe(v0, sizeof(v0));
	return rc;
}

/* Join 23: v1 = u3 + u1 + carry. */
static TPM_RESULT
join_v1(struct daa_run *r)
{
	struct daa_session *d = r->d;
	uint8_t sum[TPM_DAA_SIZE_v1], v1[TPM_DAA_SIZE_v1];
	TPM_RESULT rc = daa_sum(sum, sizeof(sum), SPAN(r->in0.pos, r->in0.left), SPAN(&one, 1),
				SPAN(d->join.u1, sizeof(d->join.u1)));

	if (rc == TPM_SUCCESS)
		rc = daa_sum(v1, sizeof(v1), SPAN(sum, sizeof(sum)), SPAN(&one, 1),
			     SPAN(d->context.scratch, sizeof(d->context.scratch)));
	if (rc == TPM_SUCCESS) {
		crypto_sha1(d->tpm.digest_v1, SPANS(SPAN(v1, sizeof(v1))));
		rc = output_blob(r, TPM_RT_DAA_V1, v1, sizeof(v1));
	}
	crypto_wipe(sum, sizeof(sum));
	crypto_wipe(v1, sizeof(v1));
	return rc;
}

/* Join 24: all the rest that the TPM will want to know when it signs. */
static TPM_RESULT
join_tpm_specific(struct daa_run *r)
{
	uint8_t specific[DAA_TPM_SIZE];
	struct writer w = writer_of(specific, sizeof(specific));

	marshal_daa_tpm(&(struct marshal) { .w = &w }, r->d);
	return output_blob(r, TPM_RT_DAA_TPM, specific, w.len);
}

/* Sign 0 */
static TPM_RESULT
sign_start(struct daa_run *r)
{
	TPM_RESULT rc = read_issuer(r);

	return rc ? rc : output_handle(r);
}

/* Sign 1 */
static TPM_RESULT
sign_tpm_specific(struct daa_run *r)
{
	uint8_t specific[DAA_TPM_SIZE];
	struct reader in = reader_of(specific, sizeof(specific));
	TPM_RESULT rc =
	    daa_blob_read(r->c->tpm, r->in0, TPM_RT_DAA_TPM, specific, sizeof(specific));

	if (rc)
		return rc;
	marshal_daa_tpm(&(struct marshal) { .r = &in }, r->d);
	return reader_done(&in) ? TPM_SUCCESS : TPM_DAA_INPUT_DATA0;
}

/* inputData0 is a base of the issuer, inputData1 its modulus. */
#define IN_SESSION(member) offsetof(struct daa_session, issuer.digest_##member)
#define BASE(name)         .size0 = DAA_MODULUS, .digest0 = IN_SESSION(name)
#define BASE_AND_N(name)   BASE(name), .size1 = DAA_MODULUS, .digest1 = IN_SESSION(n)

static const struct daa_stage join_stages[] = {
	[0] = { join_start, .size0 = 4 },
	[1] = { join_issuer_key, .size0 = DAA_MODULUS },
	[2] = { join_issuer_settings, .size0 = DAA_ISSUER_SIZE, .size1 = DAA_MODULUS,
		.flags = DAA_CLEAR },
	[3] = { join_secrets, .size0 = 4 },
	[4] = { multiply, BASE_AND_N(R0), .x = DAA_F0, .flags = DAA_FIRST },
	[5] = { multiply, BASE_AND_N(R1), .x = DAA_F1 },
	[6] = { multiply, BASE_AND_N(S0), .x = DAA_U0 },
	[7] = { join_commit, BASE_AND_N(S1), .x = DAA_U1, .flags = DAA_OUT | DAA_CLEAR },
	[8] = { join_prove_ek, .size0 = TPM_DAA_SIZE_NE },
	[9] = { multiply, BASE_AND_N(R0), .x = DAA_R0, .flags = DAA_FIRST | DAA_SEED },
	[10] = { multiply, BASE_AND_N(R1), .x = DAA_R1 },
	[11] = { multiply, BASE_AND_N(S0), .x = DAA_R2 },
	[12] = { multiply, BASE_AND_N(S1), .x = DAA_R3, .flags = DAA_OUT | DAA_CLEAR },
	[13] = { pseudonym_base, BASE(gamma), .size1 = TPM_DAA_SIZE_w },
	[14] = { pseudonym, BASE(gamma), .x = DAA_F },
	[15] = { pseudonym, BASE(gamma), .x = DAA_R, .flags = DAA_CLEAR },
	[16] = { challenge, .size0 = DIGEST_SIZE },
	[17] = { respond, .x = DAA_F0, .r = DAA_R0 },
	[18] = { respond, .x = DAA_F1, .r = DAA_R1 },
	[19] = { respond_low, .x = DAA_U0, .r = DAA_R2 },
	[20] = { join_respond_high, .x = DAA_U0, .r = DAA_R2 },
	[21] = { respond_carry, .x = DAA_U1, .r = DAA_R3, .flags = DAA_CLEAR },
	[22] = { join_v0, .size0 = TPM_DAA_SIZE_v0 },
	[23] = { join_v1, .size0 = TPM_DAA_SIZE_v1 },
	[24] = { join_tpm_specific },
};

static const struct daa_stage sign_stages[] = {
	[0] = { sign_start, .size0 = DAA_ISSUER_SIZE },
	[1] = { sign_tpm_specific },
	[2] = { multiply, BASE_AND_N(R0), .x = DAA_R0, .flags = DAA_FIRST | DAA_SEED },
	[3] = { multiply, BASE_AND_N(R1), .x = DAA_R1 },
	[4] = { multiply, BASE_AND_N(S0), .x = DAA_R2 },
	[5] = { multiply, BASE_AND_N(S1), .x = DAA_R4, .flags = DAA_OUT | DAA_CLEAR },
	[6] = { pseudonym_base, BASE(gamma), .size1 = TPM_DAA_SIZE_w },
	[7] = { pseudonym, BASE(gamma), .x = DAA_F },
	[8] = { pseudonym, BASE(gamma), .x = DAA_R, .flags = DAA_CLEAR },
	[9] = { challenge, .size0 = DIGEST_SIZE },
	[10] = { sign_message, .size0 = 1 },
	[11] = { respond, .x = DAA_F0, .r = DAA_R0 },
	[12] = { respond, .x = DAA_F1, .r = DAA_R1 },
	[13] = { respond_low, .blob = TPM_RT_DAA_V0, .r = DAA_R2 },
	[14] = { respond_high, .blob = TPM_RT_DAA_V0, .r = DAA_R2 },
	[15] = { respond_carry, .blob = TPM_RT_DAA_V1, .r = DAA_R4, .flags = DAA_CLEAR },
};

const struct daa_protocol daa_join = {
	.stages = join_stages,
	.count = sizeof(join_stages) / sizeof(join_stages[0]),
	.context_from = 1,
	.issuer_from = 3,
	.join = true,
};

const struct daa_protocol daa_sign = {
	.stages = sign_stages,
	.count = sizeof(sign_stages) / sizeof(sign_stages[0]),
	.context_from = 2,
	.issuer_from = 2,
};
