/*
 * tpm20_object.h - objects under the storage key of a TPM 2.0, and its PCRs.
 *
 * Errors are those of physical_tpm.h, with its text set.
 */
#ifndef MANAGER_TPM20_OBJECT_H
#define MANAGER_TPM20_OBJECT_H

#include "manager/tpm20_client.h"

/* tpm20_begin_with_parent: tpm20_begin and the storage key. tpm20_end is due in any case. */
int tpm20_begin_with_parent(struct tpm20 *tpm, struct chip *chip);

/*
 * tpm20_create: makes an object, in the session. pcrs are those of its policy, kept in the blob.
 * made may be NULL. tpm20_load: loads such a blob as tpm->object.
 */
int tpm20_create(struct tpm20 *tpm, const TPM2B_SENSITIVE_CREATE *sensitive,
		 const TPM2B_PUBLIC *template, uint32_t pcrs, struct physical_tpm_blob *blob,
		 TPM2B_PUBLIC *made);
int tpm20_load(struct tpm20 *tpm, const struct physical_tpm_blob *blob, uint32_t *pcrs);

/*
 * tpm20_rsa_create: a visit that makes a 2048-bit RSA key with the secret auth, for one use
 * (TPMA_OBJECT_*) by one scheme. pub->scheme is left to the caller.
 */
int tpm20_rsa_create(struct chip *chip, const uint8_t *auth, TPMA_OBJECT use,
		     const TPMT_RSA_SCHEME *scheme, struct physical_tpm_blob *key,
		     struct physical_tpm_public *pub);

/* tpm20_pcr_selection: these PCRs (bit n: PCR n) of a bank. */
TPML_PCR_SELECTION tpm20_pcr_selection(TPMI_ALG_HASH bank, uint32_t pcrs);

/* tpm20_read_pcr: one PCR of the SHA-1 or SHA-256 bank; -ENODATA if the chip has no such bank. */
int tpm20_read_pcr(struct tpm20 *tpm, TPMI_ALG_HASH bank, unsigned index,
		   struct physical_tpm_pcr *pcr);

#endif
