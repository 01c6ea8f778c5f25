/*
 * physical_tpm_quote.h - identity keys and quotes, for both versions: their part of struct
 * physical_tpm_ops.
 */
#ifndef MANAGER_PHYSICAL_TPM_QUOTE_H
#define MANAGER_PHYSICAL_TPM_QUOTE_H

#include "manager/physical_tpm_ops.h"

int tpm12_identity_create(struct chip *chip, const uint8_t *owner_auth, const uint8_t *auth,
			  struct physical_tpm_blob *key, struct physical_tpm_public *pub);
int tpm12_quote(struct chip *chip, const struct physical_tpm_blob *key, const uint8_t *auth,
		uint32_t pcrs, const uint8_t *data, size_t len, struct physical_tpm_quote *quote);

int tpm20_pcr_sha1(struct chip *chip, unsigned index, uint8_t *value);
int tpm20_identity_create(struct chip *chip, const uint8_t *owner_auth, const uint8_t *auth,
			  struct physical_tpm_blob *key, struct physical_tpm_public *pub);
int tpm20_quote(struct chip *chip, const struct physical_tpm_blob *key, const uint8_t *auth,
		uint32_t pcrs, const uint8_t *data, size_t len, struct physical_tpm_quote *quote);

#endif
