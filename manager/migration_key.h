/*
 * migration_key.h - encrypting to another host's migration key.
 *
 * The key lives in that host's TPM (physical_tpm_key_create); whoever sends a vTPM there encrypts
 * a symmetric key to it and the state with the symmetric key.
 */
#ifndef MANAGER_MIGRATION_KEY_H
#define MANAGER_MIGRATION_KEY_H

#include "manager/physical_tpm.h"

/*
 * migration_key_encrypt: encrypts secret (at most PHYSICAL_TPM_SECRET_MAX bytes) to pub, in the way
 * that pub->scheme asks for. out gets pub->modulus_len bytes and has room for PHYSICAL_TPM_RSA_MAX.
 * -EINVAL for a key or scheme that cannot be; does not need a TPM.
 */
int migration_key_encrypt(const struct physical_tpm_public *pub, const uint8_t *secret, size_t len,
			  uint8_t *out, size_t *out_len);

#endif
