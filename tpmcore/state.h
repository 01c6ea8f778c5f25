/*
 * state.h - blobs of a TPM's state, for the commands that keep and restore it.
 */
#ifndef TPMCORE_STATE_H
#define TPMCORE_STATE_H

#include "tpmcore/core.h"

/*
 * state_encode: the permanent state, or the volatile one (kinds VOLATILE and SAVED differ only in
 * the blob's header), in memory for the caller to wipe and free. TPM_RESOURCES.
 */
TPM_RESULT state_encode(const struct tpm *tpm, enum tpm_state kind, uint8_t **blob, size_t *len);

/*
 * state_decode: replaces that part of tpm by the blob's, or leaves all as it is:
 * TPM_INVALID_STRUCTURE, TPM_BAD_VERSION, TPM_RESOURCES.
 */
TPM_RESULT state_decode(struct tpm *tpm, enum tpm_state kind, const uint8_t *blob, size_t len);

/* One resource in a volatile blob or in a saved context; handle 0 is an empty slot. */
void state_visit_key_slot(struct marshal *m, struct key_slot *k);
void state_visit_session(struct marshal *m, struct session *s);
void state_visit_transport(struct marshal *m, struct transport *t);
void state_visit_daa(struct marshal *m, struct daa_session *d);

#endif
