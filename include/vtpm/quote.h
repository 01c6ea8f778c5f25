/*
 * quote.h - the evidence of a deep quote: what a host's physical TPM has signed for one of its
 * vTPMs.
 *
 * On the wire, big-endian: "vTDQ", version:2 = 1, chip:2 (0x0102: TPM 1.2, 0x0200: TPM 2.0),
 * uuid:16, EK:32, nonce:20, PCRs:4 (bit n: PCR n), size of a PCR:2 (20: SHA-1, 32: SHA-256), the
 * PCRs' values in order, sized host key, sized statement, sized signature.
 *
 * The statement is what the host key, an identity key of the chip, has signed with
 * RSASSA-PKCS1-v1_5: TPM_QUOTE_INFO with SHA-1 by a TPM 1.2, TPMS_ATTEST with SHA-256 by a 2.0. It
 * holds a digest of the PCRs, and as externalData or extraData H("VTPM deep quote 1" (17 bytes) ||
 * uuid || EK || nonce), H: SHA-1 or SHA-256, so that neither vTPM nor nonce can be exchanged.
 * docs/deep-quote.md has the whole procedure.
 */
#ifndef VTPM_QUOTE_H
#define VTPM_QUOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vtpm/codec.h>
#include <vtpm/info.h>

enum {
	QUOTE_NONCE_SIZE = 20,
	QUOTE_PCRS = 24,
	QUOTE_PCR_MAX = 32,
	QUOTE_BINDING_MAX = 32,
	QUOTE_EVIDENCE_MAX = 4096 - 14, /* fits into a TPM's response */
	QUOTE_CHIP_12 = 0x0102,
	QUOTE_CHIP_20 = 0x0200,
};

struct quote {
	uint16_t chip; /* QUOTE_CHIP_* */
	uint8_t uuid[VTPM_UUID_SIZE];
	uint8_t ek[VTPM_HASH_SIZE]; /* SHA-256 of the vTPM's EK as TPM_PUBKEY */
	uint8_t nonce[QUOTE_NONCE_SIZE];
	uint32_t pcrs;
	uint16_t pcr_size;
	uint8_t values[QUOTE_PCRS][QUOTE_PCR_MAX]; /* those of pcrs */
	struct reader key;                         /* views: SubjectPublicKeyInfo (DER) */
	struct reader statement;
	struct reader signature;
};

/* quote_read: false for what is no evidence of this version. The views are into r's memory. */
bool quote_read(struct reader *r, struct quote *quote);
void quote_write(struct writer *w, const struct quote *quote);

/* quote_binding: what ties the statement to vTPM and nonce. Returns its size: 20 or 32. */
size_t quote_binding(const struct quote *quote, uint8_t binding[QUOTE_BINDING_MAX]);

/*
 * quote_check: whether signature, statement, PCRs, vTPM and nonce belong together. NULL if they do,
 * else what is wrong, in words. Whether key is that of a host that one trusts is the caller's to
 * know.
 */
const char *quote_check(const struct quote *quote);

#endif
