/*
 * root_key_record.h - what root_key.c keeps in the store: the seal and the host record.
 *
 * docs/state-formats.md has their layouts.
 */
#ifndef MANAGER_ROOT_KEY_RECORD_H
#define MANAGER_ROOT_KEY_RECORD_H

#include "manager/physical_tpm.h"
#include "manager/store.h"

/* How the root key is sealed. Readable without it. */
struct seal {
	uint8_t version; /* of the chip: 12 or 20 */
	uint32_t pcrs;
	uint64_t sealed_at;                                /* seconds since 1970 */
	struct physical_tpm_pcr values[PHYSICAL_TPM_PCRS]; /* of the PCRs in pcrs, at that time */
	struct physical_tpm_blob blob;
};

/* What else the manager has in the chip. */
struct host_record {
	bool owner_known;
	uint8_t owner_auth[PHYSICAL_TPM_AUTH_SIZE]; /* TPM 1.2 */
	bool has_key;
	struct physical_tpm_blob key; /* migration key */
	struct physical_tpm_public key_public;
	bool anchored;
	uint32_t anchor_index;
	uint64_t anchor;
	bool has_identity;
	struct physical_tpm_blob identity; /* identity key */
	struct physical_tpm_public identity_public;
};

/* seal_save with a NULL key replaces the seal of an unlocked store; else creates the store. */
int seal_load(const struct store *store, struct seal *seal);
int seal_save(struct store *store, const struct seal *seal, const uint8_t *new_key);

/*
 * host_record_lock: who loads a record to save it changed holds this meanwhile; threads that do are
 * the chip's worker and the main thread.
 */
void host_record_lock(void);
void host_record_unlock(void);

/* host_record_load: all zero if there is none yet. -EUCLEAN if it cannot be read. */
int host_record_load(struct store *store, struct host_record *host);
int host_record_save(struct store *store, const struct host_record *host);

#endif
