/*
 * root_key.h - the root key of a host, bound to its physical TPM.
 *
 * 256 random bits, sealed to the chip under a choice of PCRs and unsealed once, at start. With it
 * opens the store; every other key of the manager is in the store or derived from it. What else the
 * manager has in the chip belongs here too: owner secret, migration key, anchor.
 * docs/state-formats.md says how it is kept in VTPM.
 *
 * Functions talk to the chip and block as those of physical_tpm.h; each logs its errors, naming
 * what to do, and returns a negative errno.
 */
#ifndef MANAGER_ROOT_KEY_H
#define MANAGER_ROOT_KEY_H

#include "manager/physical_tpm.h"
#include "manager/store.h"

struct root_key_options {
	uint32_t pcrs;             /* --tpm-pcrs: bit n is PCR n */
	const uint8_t *owner_auth; /* secret of a TPM 1.2 that has an owner; NULL: not known */
	bool no_anchor;            /* do without the anchor in the chip */
	bool accept_rollback;      /* --accept-rollback, the operator's decision after
				      -ENOTRECOVERABLE: take the folder as it is */
};

/* root_key_parse_pcrs: "0,2,4-7", "all" or "none" to bits. -EINVAL for anything else. */
int root_key_parse_pcrs(const char *list, uint32_t *pcrs);

/* root_key_format_pcrs: the reverse; returns out. */
enum { ROOT_KEY_PCRS_TEXT = 64 };
const char *root_key_format_pcrs(uint32_t pcrs, char out[ROOT_KEY_PCRS_TEXT]);

/*
 * root_key_read_auth: a secret from a file: its first line, hashed with SHA-1 as tools do, or 40
 * hex digits after "hex:". auth gets PHYSICAL_TPM_AUTH_SIZE bytes. Logs and returns an error.
 */
int root_key_read_auth(const char *path, uint8_t *auth);

/*
 * root_key_unlock: opens the store with the chip's help. A new store gets a root key (random bytes
 * of chip and kernel), an unowned TPM 1.2 an owner, and everything is durable when this returns; an
 * existing one is unsealed and checked against the anchor, and the anchor advanced. Errors, all of
 * which leave folder and chip as they are:
 *     -ESTALE        PCRs changed: the log names them and their old and new values
 *     -EKEYREJECTED  sealed by another host's TPM
 *     -EUCLEAN       VTPM or its log damaged
 *     -EOVERFLOW     written by a newer version
 *     -ENOTRECOVERABLE  the whole folder is older than the anchor says
 * or those of physical_tpm.h.
 */
int root_key_unlock(struct store *store, struct physical_tpm *tpm,
		    const struct root_key_options *options);

/*
 * root_key_reseal: seals the root key of an unlocked store anew, to the present values of pcrs.
 * 0 announces an upgrade: the next start accepts any PCRs, and asks for another reseal.
 */
int root_key_reseal(struct store *store, struct physical_tpm *tpm, uint32_t pcrs);

/* root_key_anchor: advances the anchor; for a clean stop. */
int root_key_anchor(struct store *store, struct physical_tpm *tpm);

/*
 * root_key_keep_pace: advances the anchor in between, at a bounded rate: to be called when so many
 * more seconds have passed, it does so if that makes pace->interval since the last time, and
 * store_changes() has moved since pace->changes, which is to begin with its value after
 * root_key_unlock.
 */
struct root_key_pace {
	unsigned interval; /* seconds, --anchor-seconds */
	unsigned passed;
	uint64_t changes;
};
enum { ROOT_KEY_ANCHOR_SECONDS = 3600 };
void root_key_keep_pace(struct root_key_pace *pace, struct store *store, struct physical_tpm *tpm,
			unsigned seconds);

/*
 * root_key_migration_public, root_key_migration_decrypt: the host's migration key, made when first
 * asked for; see physical_tpm_key_decrypt.
 */
int root_key_migration_public(struct store *store, struct physical_tpm *tpm,
			      struct physical_tpm_public *pub);
int root_key_migration_decrypt(struct store *store, struct physical_tpm *tpm, const uint8_t *data,
			       size_t data_len, uint8_t *out, size_t *len);

/*
 * root_key_quote: has the chip sign PCRs and data (physical_tpm_quote) with the host's identity
 * key, made when first asked for; *pub is its public part. A TPM 1.2 makes it only with the owner's
 * secret: -EACCES without.
 */
int root_key_quote(struct store *store, struct physical_tpm *tpm, uint32_t pcrs,
		   const uint8_t *data, size_t len, struct physical_tpm_quote *quote,
		   struct physical_tpm_public *pub);

/* What `vtpmctl status` shows; does not wait. */
struct root_key_status {
	uint32_t sealed_pcrs;    /* PCRs that the root key is sealed to */
	uint64_t sealed_at;      /* seconds since 1970 */
	bool anchored;           /* there is an anchor */
	uint64_t anchor;         /* its value */
	bool owner_secret_known; /* TPM 1.2: the manager holds the owner's secret */
};
int root_key_status(struct store *store, struct root_key_status *status);

#endif
