/*
 * daa_group.h - DAA as its other parties see it: an issuer with its group, and the equations by
 * which join and signature convince. With OpenSSL's BIGNUM alone.
 */
#ifndef TESTS_UNIT_DAA_GROUP_H
#define TESTS_UNIT_DAA_GROUP_H

#include <openssl/bn.h>

#include "tests/unit/soft_key.h"

enum { DAA_MODULUS_SIZE = 256, DAA_Q_BYTES = 26, DAA_MAX_STEPS = 32 };

/* One input of a stage. */
struct daa_input {
	size_t len;
	uint8_t data[512];
};

/* What an issuer publishes, and the TPM that joins its group. */
extern struct daa_group {
	struct tpm *tpm;
	struct soft_key first_key, key; /* the first one vouches for the second */
	BIGNUM *n, *R0, *R1, *S0, *S1, *gamma, *w;
	struct daa_input in_n, in_R0, in_R1, in_S0, in_S1, in_gamma, in_w;
	struct daa_input settings;           /* TPM_DAA_ISSUER */
	struct daa_input out[DAA_MAX_STEPS]; /* outputData of each stage of a join */
} daa_group;

/* The nonce of the issuer, the verifier's challenge and what is signed, in the steps below. */
extern const uint8_t daa_ne[], daa_challenge[], daa_message[];

/* One step of a protocol: a stage and its inputs. */
struct daa_step {
	uint8_t stage;
	struct daa_input in0, in1;
};

/* daa_set_up: a new group, and a TPM with an owner. */
void daa_set_up(void);
void daa_tear_down(void);

/*
 * daa_join_steps, daa_sign_steps: all steps, at most DAA_MAX_STEPS, of a join or a signature; the
 * latter with what the join left in daa_group.out. Return their number.
 */
size_t daa_join_steps(struct daa_step *steps);
size_t daa_sign_steps(struct daa_step *steps);

/* daa_command: TPM_DAA_Join or TPM_DAA_Sign. daa_run_step: the same; stage 0 sets *session. */
TPM_RESULT daa_command(uint32_t ordinal, uint32_t session, uint8_t stage,
		       const struct daa_input *in0, const struct daa_input *in1,
		       struct daa_input *out);
TPM_RESULT daa_run_step(uint32_t ordinal, uint32_t *session, const struct daa_step *step,
			struct daa_input *out);
/* daa_run_all: must succeed; out is indexed by stage. daa_join_group: a whole join. */
void daa_run_all(uint32_t ordinal, const struct daa_step *steps, size_t count,
		 struct daa_input *out);
void daa_join_group(void);

/*
 * daa_proves: R0^s0 R1^s1 S0^s2 S1^s3 == T * U^c mod n: the TPM knows what is in U.
 * daa_pseudonym_proves: w^(s0 + 2^104 s1) == E1 * E^c mod gamma: E is made of the same secret.
 */
bool daa_proves(const struct daa_input *s0, const struct daa_input *s1, const struct daa_input *s2,
		const struct daa_input *s3, const BIGNUM *T, const BIGNUM *U, const uint8_t *c);
bool daa_pseudonym_proves(const struct daa_input *s0, const struct daa_input *s1,
			  const struct daa_input *E, const struct daa_input *E1, const uint8_t *c);
/* daa_credential_base: U of the join with the issuer's parts of v0 and v1. To be freed, as: */
BIGNUM *daa_credential_base(void);
BIGNUM *daa_number_of(const struct daa_input *in);
struct daa_input daa_input_of(const void *data, size_t len);

#endif
