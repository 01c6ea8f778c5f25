/*
 * tpm12_client.h - talking to a TPM 1.2: authorized commands and their answers.
 *
 * A call is filled in, sent and read:
 *     struct tpm12_call call;
 *     tpm12_begin(&call, TPM_ORD_PcrRead);
 *     writer_u32(&call.in, index);
 *     error = tpm12_send(chip, &call);
 *     reader_bytes(&call.out, value, 20);
 * Handles and authorizations are set beside the parameters, since digests treat them differently.
 * Errors are those of physical_tpm.h, with its text set.
 */
#ifndef MANAGER_TPM12_CLIENT_H
#define MANAGER_TPM12_CLIENT_H

#include <vtpm/codec.h>
#include <vtpm/tpm12.h>

#include "manager/physical_tpm_ops.h"

/* An authorization session, OIAP or OSAP. */
struct tpm12_session {
	uint32_t handle;
	uint8_t secret[TPM_DIGEST_SIZE]; /* the entity's, or what OSAP made of it */
	uint8_t nonce_even[TPM_DIGEST_SIZE];
	uint8_t nonce_odd[TPM_DIGEST_SIZE];
	bool open;
};

struct tpm12_call {
	uint32_t ordinal;
	uint32_t handles[2]; /* in front of the parameters */
	unsigned handle_count;
	struct tpm12_session *sessions[2]; /* each ends with the call */
	unsigned session_count;
	struct writer in;    /* parameters after the handles */
	struct reader out;   /* parameters of the answer, after out_handle */
	bool has_out_handle; /* set this if the answer begins with a handle */
	uint32_t out_handle;
	TPM_RESULT result;
	uint8_t in_buf[TPM_BUFFER_SIZE];
	uint8_t response[CHIP_BUFFER_SIZE];
};

/* tpm12_begin: a call without handles, sessions and parameters. */
void tpm12_begin(struct tpm12_call *call, uint32_t ordinal);

/*
 * tpm12_send: executes the call. A TPM that has not been started or tested is, and one that asks
 * for patience (TPM_RETRY) gets some. Checks the answer's authorizations: -EPROTO if one is wrong.
 */
int tpm12_send(struct chip *chip, struct tpm12_call *call);

/* tpm12_finish: 0 if out was read to sound end, -EPROTO with a text if something was missing. */
int tpm12_finish(const struct tpm12_call *call);

/* tpm12_oiap: a session for an entity whose secret is given [Part 3, 18.1]. */
int tpm12_oiap(struct chip *chip, struct tpm12_session *session, const uint8_t *secret);

/* tpm12_osap: a session bound to one entity, of type TPM_ET_* [Part 3, 18.2]. */
int tpm12_osap(struct chip *chip, struct tpm12_session *session, uint16_t type, uint32_t entity,
	       const uint8_t *secret);

/*
 * tpm12_encrypt_auth: a new secret as the first one that a command in this OSAP session carries
 * (ADIP, XOR).
 */
void tpm12_encrypt_auth(const struct tpm12_session *session, const uint8_t *secret, uint8_t *out);

/* tpm12_end: closes a session that no call has used up. */
void tpm12_end(struct chip *chip, struct tpm12_session *session);

/* tpm12_flush: unloads a key or session, TPM_RT_*. */
void tpm12_flush(struct chip *chip, uint32_t handle, uint32_t resource);

#endif
