/*
 * tpm20_client.h - talking to a TPM 2.0: tpm2-tss' ESAPI over a channel of ours.
 *
 * Errors are those of physical_tpm.h, with its text set.
 */
#ifndef MANAGER_TPM20_CLIENT_H
#define MANAGER_TPM20_CLIENT_H

#include <tss2/tss2_esys.h>

#include "manager/physical_tpm_ops.h"

/* The transport below ESAPI. common comes first, as the TCTI specification wants it. */
struct tpm20_tcti {
	TSS2_TCTI_CONTEXT_COMMON_V1 common;
	struct chip_channel *channel;
	int error; /* of the channel, once there was one */
	size_t len;
	uint8_t response[CHIP_BUFFER_SIZE];
};

/* One visit at the chip. What was loaded is unloaded at its end. */
struct tpm20 {
	struct tpm20_tcti tcti;
	ESYS_CONTEXT *esys;
	ESYS_TR parent;  /* storage key; ESYS_TR_NONE until tpm20_parent */
	ESYS_TR session; /* ESYS_TR_NONE until tpm20_session */
	ESYS_TR object;  /* for tpm20_end to unload; ESYS_TR_NONE */
	bool parent_is_ours;
};

/* tpm20_begin: a new visit; starts a TPM that nobody has started. tpm20_end is due in any case. */
int tpm20_begin(struct tpm20 *tpm, struct chip *chip);
void tpm20_end(struct tpm20 *tpm);

/* tpm20_check: what the result of an ESAPI call means. what names the command. */
int tpm20_check(struct tpm20 *tpm, TSS2_RC rc, const char *what);

/* tpm20_parent: the storage key: the one with the given persistent handle, or (0) a primary of the
 * owner hierarchy, ECC P-256 where the TPM has it, else RSA. */
int tpm20_parent(struct tpm20 *tpm, uint32_t handle);

/*
 * tpm20_session: an HMAC, policy or trial session, TPM2_SE_*. The first two are salted with the
 * storage key and encrypt the first parameter in both directions, so that no secret can be read on
 * the chip's bus.
 */
int tpm20_session(struct tpm20 *tpm, TPM2_SE type);

/* tpm20_auth: a secret of PHYSICAL_TPM_AUTH_SIZE bytes as ESAPI has them. */
TPM2B_AUTH tpm20_auth(const uint8_t *auth);

#endif
