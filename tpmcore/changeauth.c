/* Changing AuthData [TPM Main Part 3, 17]; the asymmetric way [28.2] is here, too. */
#include "tpmcore/commands.h"

/*
 * Replaces the AuthData at the head of a decrypted private area, TPM_SEALED_DATA or
 * TPM_STORE_ASYMKEY: both begin with payload:1, AuthData:20. The old one authorizes through check.
 */
enum { AUTH_AT = 1 };

/* Decrypts encData with the parent; checks that it is an entity of entityType. plain has
 * CRYPTO_RSA_MAX bytes. */
static TPM_RESULT
open_entity(const struct command *c, uint16_t entityType, struct reader encData, uint8_t *plain,
	    size_t *len)
{
	if (entityType != TPM_ET_DATA && entityType != TPM_ET_KEY)
		return TPM_WRONG_ENTITYTYPE;
	if (c->key[0]->keyUsage != TPM_KEY_STORAGE)
		return TPM_INVALID_KEYUSAGE;
	TPM_RESULT rc = key_decrypt(c->key[0], plain, len, encData);
	if (rc)
		return rc;
	bool sealed = *len > 0 && plain[0] == TPM_PT_SEAL;
	if (*len < AUTH_AT + DIGEST_SIZE || sealed != (entityType == TPM_ET_DATA))
		return TPM_INVALID_STRUCTURE;
	return TPM_SUCCESS;
}

static TPM_RESULT
close_entity(struct command *c, const uint8_t *plain, size_t len)
{
	uint8_t enc[CRYPTO_RSA_MAX];
	size_t enc_len;
	TPM_RESULT rc = key_encrypt(c->key[0], enc, &enc_len, plain, len);

	if (rc == TPM_SUCCESS)
		writer_sized(&c->out, enc, enc_len);
	return rc;
}

TPM_RESULT
tpm_ChangeAuth(struct command *c)
{
	uint16_t protocolID = reader_u16(&c->in);
	const uint8_t *newAuth = reader_view(&c->in, DIGEST_SIZE);
	uint16_t entityType = reader_u16(&c->in);
	struct reader encData = reader_sized(&c->in);
	uint8_t plain[CRYPTO_RSA_MAX];
	unsigned entity_auth = c->auth_count - 1;
	size_t len;

	if (protocolID != TPM_PID_ADCP)
		return TPM_BAD_PARAMETER;
	if (c->auth_count < 2)
		return TPM_AUTHFAIL; /* newAuth comes encrypted by the parent's OSAP session */
	TPM_RESULT rc = open_entity(c, entityType, encData, plain, &len);
	if (rc == TPM_SUCCESS)
		rc = auth_verify(c, entity_auth, entity_data(plain + AUTH_AT));
	if (rc == TPM_SUCCESS)
		rc = auth_decrypt(c, 0, false, newAuth, plain + AUTH_AT);
	if (rc == TPM_SUCCESS)
		rc = close_entity(c, plain, len);
	c->auth[entity_auth].continueAuthSession = false;
	crypto_wipe(plain, sizeof(plain));
	return rc;
}

TPM_RESULT
tpm_ChangeAuthOwner(struct command *c)
{
	struct permanent *p = &c->tpm->permanent;
	uint16_t protocolID = reader_u16(&c->in);
	const uint8_t *newAuth = reader_view(&c->in, DIGEST_SIZE);
	uint16_t entityType = reader_u16(&c->in);
	uint8_t auth[DIGEST_SIZE];

	if (protocolID != TPM_PID_ADCP)
		return TPM_BAD_PARAMETER;
	if (entityType != TPM_ET_OWNER && entityType != TPM_ET_SRK)
		return TPM_WRONG_ENTITYTYPE;
	TPM_RESULT rc = auth_decrypt(c, 0, false, newAuth, auth);
	if (rc)
		return rc;
	if (entityType == TPM_ET_OWNER) {
		memcpy(p->ownerAuth, auth, DIGEST_SIZE);
		session_terminate_entity(c->tpm, entity_owner(c->tpm));
	} else {
		memcpy(p->srk.usageAuth, auth, DIGEST_SIZE);
		session_terminate_entity(c->tpm, entity_key(&p->srk));
	}
	c->tpm->changed |= TPM_CHANGED_PERMANENT;
	crypto_wipe(auth, sizeof(auth));
	return TPM_SUCCESS;
}
