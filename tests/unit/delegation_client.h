/*
 * delegation_client.h - the owner who delegates, and the delegate, for unit tests.
 */
#ifndef TESTS_UNIT_DELEGATION_CLIENT_H
#define TESTS_UNIT_DELEGATION_CLIENT_H

#include "tests/unit/support.h"

/* AuthData of delegations. */
#define delegate_auth data_auth

/* What is delegated: TPM_DELEGATE_PUBLIC. */
struct wish {
	uint32_t type; /* 0: TPM_DEL_OWNER_BITS */
	uint32_t permissions, family, count;
	uint32_t pcrs;      /* must have their present values, zeros */
	uint8_t localities; /* 0: all */
};
void write_delegate_public(struct writer *w, const struct wish *wish);
/* wish_to_read_pubek: to delegate that one right of the owner, in a new family. */
struct wish wish_to_read_pubek(struct tpm *tpm);

/*
 * delegation_manage: TPM_Delegate_Manage by the owner, or plainly (owner NULL); id: of a new
 * family, may be NULL. delegation_enable: of a family. delegation_family: a new one, enabled.
 */
TPM_RESULT delegation_manage(struct tpm *tpm, const uint8_t *owner, uint32_t family,
			     uint32_t operation, const char *data, size_t len, uint32_t *id);
TPM_RESULT delegation_enable(struct tpm *tpm, uint32_t family, bool enabled);
uint32_t delegation_family(struct tpm *tpm);

/* delegate_owner, delegate_key: a blob, with delegate_auth; the key's AuthData is
 * key_auth. */
TPM_RESULT delegate_owner(struct tpm *tpm, const struct wish *wish, bool increment,
			  struct blob *blob);
TPM_RESULT delegate_key(struct tpm *tpm, uint32_t key, const struct wish *wish, struct blob *blob);

/* delegation_dsap: a session by a row or blob. delegation_dsap_owner: by a blob for the owner. */
TPM_RESULT delegation_dsap(struct tpm *tpm, struct test_session *s, uint16_t type, uint32_t key,
			   const void *value, size_t len);
TPM_RESULT delegation_dsap_owner(struct tpm *tpm, struct test_session *s, const struct blob *blob);
/* delegation_act: an owner's command without parameters, authorized by a blob. */
TPM_RESULT delegation_act(struct tpm *tpm, const struct blob *blob, uint32_t ordinal);

/*
 * delegation_sized_command: a command with one sized parameter, by the owner or plainly; out NULL:
 * it answers nothing. delegation_verify: TPM_Delegate_VerifyDelegation. delegation_load: into a row
 * of the table. delegation_tables: families and rows as TPM_Delegate_ReadTable tells of them.
 */
TPM_RESULT delegation_sized_command(struct tpm *tpm, uint32_t ordinal, const uint8_t *owner,
				    const struct blob *in, struct blob *out);
TPM_RESULT delegation_verify(struct tpm *tpm, const struct blob *blob);
TPM_RESULT delegation_load(struct tpm *tpm, const uint8_t *owner, uint32_t row,
			   const struct blob *blob);
void delegation_tables(struct tpm *tpm, struct blob *families, struct blob *rows);

#endif
