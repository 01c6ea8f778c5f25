/*
 * tpm12_key.h - keys and selections of PCRs of a TPM 1.2, as commands carry them.
 */
#ifndef MANAGER_TPM12_KEY_H
#define MANAGER_TPM12_KEY_H

#include <vtpm/codec.h>

#include "manager/physical_tpm_ops.h"

enum { TPM12_SELECT_SIZE = PHYSICAL_TPM_PCRS / 8 };

/* What a key may be used with. */
struct tpm12_schemes {
	uint16_t enc;
	uint16_t sig;
};

extern const struct tpm12_schemes tpm12_oaep;  /* encryption */
extern const struct tpm12_schemes tpm12_pkcs1; /* signatures, SHA-1 */

/* tpm12_write_key_parms: TPM_KEY_PARMS of an RSA-2048 key, exponent 65537 [Part 2, 10.1]. */
void tpm12_write_key_parms(struct writer *w, const struct tpm12_schemes *schemes);

/* tpm12_write_key_template: TPM_KEY to be filled in by the TPM, of usage TPM_KEY_* [Part 2, 10.2].
 */
void tpm12_write_key_template(struct writer *w, uint16_t usage,
			      const struct tpm12_schemes *schemes);

/*
 * tpm12_read_key_parms, tpm12_read_modulus: TPM_KEY_PARMS and TPM_STORE_PUBKEY; false for what
 * makes no sense. tpm12_read_key: a whole TPM_KEY. pub->scheme is not touched.
 */
bool tpm12_read_key_parms(struct reader *r, struct physical_tpm_public *pub);
bool tpm12_read_modulus(struct reader *r, struct physical_tpm_public *pub);
bool tpm12_read_key(struct reader *r, struct physical_tpm_public *pub);

/* tpm12_load_key: loads a wrapped key under the SRK; to be unloaded with tpm12_flush. */
int tpm12_load_key(struct chip *chip, const struct physical_tpm_blob *key, uint32_t *handle);

/* tpm12_write_pcr_selection: TPM_PCR_SELECTION of these PCRs, bit n: PCR n [Part 2, 8.1]. */
void tpm12_write_pcr_selection(struct writer *w, uint32_t pcrs);

#endif
