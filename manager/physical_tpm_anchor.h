/*
 * physical_tpm_anchor.h - the anchor's part of struct physical_tpm_ops, for both versions.
 */
#ifndef MANAGER_PHYSICAL_TPM_ANCHOR_H
#define MANAGER_PHYSICAL_TPM_ANCHOR_H

#include "manager/physical_tpm_ops.h"

int tpm12_anchor_define(struct chip *chip, const uint8_t *owner_auth, const uint8_t *auth,
			uint32_t *index);
int tpm12_anchor_undefine(struct chip *chip, const uint8_t *owner_auth, uint32_t index);
int tpm12_anchor_read(struct chip *chip, const uint8_t *auth, uint32_t index, uint64_t *value);
int tpm12_anchor_increment(struct chip *chip, const uint8_t *auth, uint32_t index, uint64_t *value);

int tpm20_anchor_define(struct chip *chip, const uint8_t *owner_auth, const uint8_t *auth,
			uint32_t *index);
int tpm20_anchor_undefine(struct chip *chip, const uint8_t *owner_auth, uint32_t index);
int tpm20_anchor_read(struct chip *chip, const uint8_t *auth, uint32_t index, uint64_t *value);
int tpm20_anchor_increment(struct chip *chip, const uint8_t *auth, uint32_t index, uint64_t *value);

#endif
