/*
 * delegation.h - delegations inside tpmcore/: their families, rows and blobs.
 */
#ifndef TPMCORE_DELEGATION_H
#define TPMCORE_DELEGATION_H

#include "tpmcore/core.h"

/* family_find, delegate_row_find: by number; NULL: there is none. */
struct family *family_find(struct tpm *tpm, uint32_t familyID);
struct delegate_row *delegate_row_find(struct tpm *tpm, uint32_t index);

/*
 * family_check: the family of a delegation that is to be used is there, enabled and not changed
 * since: TPM_BADINDEX, TPM_DISABLED_CMD, TPM_FAMILYCOUNT.
 */
TPM_RESULT family_check(struct tpm *tpm, const struct delegate_public *pub);

/* delegation_used: that by which the command's first authorization came; NULL: by the entity's own
 * AuthData. */
const struct delegate_public *delegation_used(const struct command *c);

/*
 * delegation_terminate: what a change of families, counts or rows ends: all DSAP sessions, and what
 * TPM_SetOwnerPointer chose [Part 3, 19.1, 19.3, 19.4].
 */
void delegation_terminate(struct tpm *tpm);

/* TPM_DELEGATE_OWNER_BLOB or TPM_DELEGATE_KEY_BLOB. All but pub are views. */
struct delegation_blob {
	uint16_t tag;
	struct delegate_public pub;
	const uint8_t *integrityDigest;
	const uint8_t *pubKeyDigest; /* of a key blob */
	struct reader iv;            /* additionalArea */
	struct reader sensitive;     /* TPM_DELEGATE_SENSITIVE, encrypted */
	struct span whole;
};

/*
 * delegation_blob_read: takes all of r apart: TPM_BAD_PARAMETER for another tag than the two, else
 * TPM_INVALID_STRUCTURE. _check: its integrityDigest: TPM_AUTHFAIL.
 */
TPM_RESULT delegation_blob_read(struct reader r, struct delegation_blob *b);
TPM_RESULT delegation_blob_check(const struct tpm *tpm, const struct delegation_blob *b);

/*
 * delegation_blob_auth: its AuthData; clear: it is not encrypted, as before there is an owner [Part
 * 3, 19.4]. TPM_INVALID_STRUCTURE.
 */
TPM_RESULT delegation_blob_auth(const struct tpm *tpm, const struct delegation_blob *b, bool clear,
				uint8_t *auth);

/*
 * delegation_blob_write: answers a sized blob of pub and auth, for key, or for the owner (key
 * NULL). _renew: answers b with its pub as it is now.
 */
TPM_RESULT delegation_blob_write(struct command *c, struct delegate_public *pub,
				 const struct key *key, const uint8_t *auth);
TPM_RESULT delegation_blob_renew(struct command *c, const struct delegation_blob *b);

#endif
