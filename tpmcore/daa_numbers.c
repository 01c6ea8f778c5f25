#include "tpmcore/daa.h"

/* f: two digests side by side, modulo q. */
static int
secret_f(const struct daa_session *d, uint8_t *f)
{
	uint8_t count[4], wide[2 * DIGEST_SIZE];
	struct writer w = writer_of(count, sizeof(count));

	writer_u32(&w, d->tpm.count);
	for (uint8_t i = 0; i < 2; i++)
		crypto_sha1(wide + i * DIGEST_SIZE,
			    SPANS(SPAN(d->tpm.rekey, DIGEST_SIZE), SPAN(count, 4), SPAN(&i, 1)));
	int err = crypto_mod(f, DAA_Q_SIZE, SPAN(wide, sizeof(wide)),
			     SPAN(d->issuer.generic_q, DAA_Q_SIZE));
	crypto_wipe(wide, sizeof(wide));
	return err;
}

/* r0 ... r4: MGF1 of their label and contextSeed. */
static size_t
blinding(const struct daa_session *d, unsigned i, uint8_t *out)
{
	static const size_t sizes[] = { TPM_DAA_SIZE_r0, TPM_DAA_SIZE_r1, TPM_DAA_SIZE_r2,
					TPM_DAA_SIZE_r3, TPM_DAA_SIZE_r4 };
	uint8_t seed[2 + DIGEST_SIZE] = { 'r', (uint8_t)('0' + i) };

	memcpy(seed + 2, d->context.contextSeed, DIGEST_SIZE);
	crypto_mgf1(out, sizes[i], seed, sizeof(seed));
	return sizes[i];
}

/* r0 + 2^power0 * r1, modulo q. */
static int
blinding_of_f(const struct daa_session *d, uint8_t *r)
{
	static const uint8_t shift[DAA_POWER0_BYTES + 1] = { 1 };
	uint8_t r0[DAA_NUMBER_MAX], r1[DAA_NUMBER_MAX], wide[DAA_NUMBER_MAX];
	size_t len0 = blinding(d, 0, r0), len1 = blinding(d, 1, r1);
	int err = crypto_mul_add(wide, sizeof(wide), SPAN(r1, len1), SPAN(shift, sizeof(shift)),
				 SPAN(r0, len0));

	if (!err)
		err = crypto_mod(r, DAA_Q_SIZE, SPAN(wide, sizeof(wide)),
				 SPAN(d->issuer.generic_q, DAA_Q_SIZE));
	crypto_wipe(r0, sizeof(r0));
	crypto_wipe(r1, sizeof(r1));
	crypto_wipe(wide, sizeof(wide));
	return err;
}

size_t
daa_number(const struct daa_session *d, enum daa_number which, uint8_t *out)
{
	uint8_t f[DAA_Q_SIZE];

	switch (which) {
	case DAA_F:
		return secret_f(d, out) ? 0 : DAA_Q_SIZE;
	case DAA_R:
		return blinding_of_f(d, out) ? 0 : DAA_Q_SIZE;
	case DAA_F0:
	case DAA_F1:
		if (secret_f(d, f))
			return 0;
		memcpy(out, which == DAA_F0 ? f + DAA_Q_SIZE - DAA_POWER0_BYTES : f,
		       DAA_Q_SIZE - DAA_POWER0_BYTES);
		crypto_wipe(f, sizeof(f));
		return DAA_Q_SIZE - DAA_POWER0_BYTES;
	case DAA_U0:
		memcpy(out, d->join.u0, sizeof(d->join.u0));
		return sizeof(d->join.u0);
	case DAA_U1:
		memcpy(out, d->join.u1, sizeof(d->join.u1));
		return sizeof(d->join.u1);
	default:
		return blinding(d, which - DAA_R0, out);
	}
}

TPM_RESULT
daa_raise(const struct daa_run *r, uint8_t *out, const uint8_t *base, struct span x,
	  const uint8_t *factor, const uint8_t *n)
{
	static const uint8_t one = 1;
	struct span b = factor ? SPAN(factor, DAA_MODULUS) : SPAN(NULL, 0);

	if (x.len == 0)
		return TPM_DAA_ISSUER_SETTINGS;
	return crypto_modexp2(out, DAA_MODULUS, SPAN(base, DAA_MODULUS), x, b, SPAN(&one, 1),
			      SPAN(n, DAA_MODULUS), &r->c->tpm->cancel)
		   ? TPM_DAA_ISSUER_SETTINGS
		   : TPM_SUCCESS;
}

TPM_RESULT
daa_sum(uint8_t *out, size_t out_len, struct span a, struct span b, struct span c)
{
	return crypto_mul_add(out, out_len, a, b, c) ? TPM_DAA_INPUT_DATA0 : TPM_SUCCESS;
}
