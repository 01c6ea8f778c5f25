/*
 * daa.h - the arithmetic of DAA sessions, and what they leave with their host between join and sign
 * [TPM Main Part 2, 22; Part 3, 26]. Numbers are big-endian.
 */
#ifndef TPMCORE_DAA_H
#define TPMCORE_DAA_H

#include "tpmcore/core.h"

enum {
	DAA_ISSUER_SIZE = 2 + 6 * DIGEST_SIZE + 26, /* TPM_DAA_ISSUER */
	DAA_TPM_SIZE = 2 + 4 * DIGEST_SIZE + 4,     /* TPM_DAA_TPM */
	DAA_MODULUS = TPM_DAA_SIZE_issuerModulus,
	DAA_Q_SIZE = 26,
	DAA_POWER0_BYTES = TPM_DAA_power0 / 8, /* a shift by that many bits moves whole bytes */
	DAA_POWER1_BYTES = TPM_DAA_power1 / 8,
	DAA_NUMBER_MAX = 256,
};

/* The secret numbers of a session. */
enum daa_number {
	DAA_F, /* the TPM's secret towards an issuer, modulo q, and its lower and upper part */
	DAA_F0,
	DAA_F1,
	DAA_R, /* r0 and r1 in the same relation */
	DAA_R0,
	DAA_R1,
	DAA_R2,
	DAA_R3,
	DAA_R4,
	DAA_U0,
	DAA_U1,
};

/*
 * daa_number: writes one to out, DAA_NUMBER_MAX bytes; returns its length, or 0 if the issuer's q
 * is none.
 */
size_t daa_number(const struct daa_session *d, enum daa_number which, uint8_t *out);

/*
 * daa_raise: out, DAA_MODULUS bytes, becomes base^x mod n, times factor unless that is NULL. base,
 * n and factor have DAA_MODULUS bytes, too. TPM_DAA_ISSUER_SETTINGS for an n that is even,
 * and for no x.
 */
struct daa_run;
TPM_RESULT daa_raise(const struct daa_run *r, uint8_t *out, const uint8_t *base, struct span x,
		     const uint8_t *factor, const uint8_t *n);

/* daa_sum: out = a * b + c, which may wrap nowhere: TPM_DAA_INPUT_DATA0 if it needs more bytes. */
TPM_RESULT daa_sum(uint8_t *out, size_t out_len, struct span a, struct span b, struct span c);

void marshal_daa_tpm(struct marshal *m, struct daa_session *d); /* TPM_DAA_TPM */

/*
 * daa_blob_write: a TPM_DAA_BLOB of type TPM_RT_DAA_TPM, _V0 or _V1, sized, as response.
 * daa_blob_read: one that this TPM wrote, of that type and with len bytes of data;
 * TPM_DAA_INPUT_DATA0 for any other.
 */
TPM_RESULT daa_blob_write(struct command *c, uint32_t type, const uint8_t *data, size_t len);
TPM_RESULT daa_blob_read(const struct tpm *tpm, struct reader blob, uint32_t type, uint8_t *data,
			 size_t len);

/* One stage while it runs. */
struct daa_run {
	struct command *c;
	struct daa_session *d;
	const struct daa_stage *stage;
	struct reader in0, in1;     /* inputData0, inputData1 */
	bool answered;              /* outputData is written */
	bool again;                 /* the same stage comes once more */
	uint8_t v[TPM_DAA_SIZE_v1]; /* v0 or v1, from the blob in inputData0 */
};

/* daa_output: outputData; a stage that does not call it has none. */
void daa_output(struct daa_run *r, const void *data, size_t len);

/* Flags of a stage. */
enum {
	DAA_FIRST = 1 << 0, /* a product begins: not times what is in scratch */
	DAA_SEED = 1 << 1,  /* draws contextSeed */
	DAA_OUT = 1 << 2,   /* outputData is scratch */
	DAA_CLEAR = 1 << 3, /* scratch is NULL afterwards */
};

/* One stage as declared. */
struct daa_stage {
	TPM_RESULT (*action)(struct daa_run *r);
	size_t size0, size1; /* of inputData0, inputData1; 0: not looked at */
	size_t digest0,
	    digest1;          /* where in the session the digest is that they must have; 0: any */
	uint32_t blob;        /* TPM_RT_DAA_V0, _V1: inputData0 is this blob */
	enum daa_number x, r; /* exponent or secret; its blinding */
	unsigned flags;
};

/* TPM_DAA_Join or TPM_DAA_Sign. */
struct daa_protocol {
	const struct daa_stage *stages;
	uint8_t count;
	uint8_t context_from; /* first stage that checks digestContext */
	uint8_t issuer_from;  /* ... digestIssuer */
	bool join;            /* digestContext is over the join data, too */
};
extern const struct daa_protocol daa_join, daa_sign; /* daa_stages.c */

void daa_issuer_digest(const struct daa_session *d, uint8_t *digest);

#endif
