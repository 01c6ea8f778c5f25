/* Changing AuthData [TPM Main Part 3, 17]; the asymmetric way [27.4] is here, too. */
#include "tpmcore/commands.h"

/*
 * Where the AuthData is in a decrypted private area, TPM_SEALED_DATA or TPM_STORE_ASYMKEY: both are
 * payload:1, AuthData:20, 20 bytes of this kind and 20 of that, and something that is sized.
 */
enum { AUTH_AT = 1, SIZED_AT = AUTH_AT + 3 * DIGEST_SIZE };

static bool
is_entity(uint16_t entityType, const uint8_t *plain, size_t len)
{
	struct reader r = reader_of(plain, len);
	uint8_t payload = reader_u8(&r);

	reader_view(&r, SIZED_AT - AUTH_AT);
	reader_sized(&r);
	if (!reader_done(&r))
		return false;
	return entityType == TPM_ET_DATA
		   ? payload == TPM_PT_SEAL
		   : payload == TPM_PT_ASYM || payload == TPM_PT_MIGRATE_RESTRICTED ||
			 payload == TPM_PT_MIGRATE_EXTERNAL;
}

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
	TPM_RESULT rc = key_decrypt(c->tpm, c->key[0], plain, len, encData);
	if (rc)
		return rc;
	return is_entity(entityType, plain, *len) ? TPM_SUCCESS : TPM_INVALID_STRUCTURE;
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
	} else {
		memcpy(p->srk.usageAuth, auth, DIGEST_SIZE);
		session_terminate_entity(c->tpm, entity_key(&p->srk));
	}
	/* Those of the owner who changes either */
	session_terminate_entity(c->tpm, entity_owner(c->tpm));
	c->tpm->changed |= TPM_CHANGED_PERMANENT;
	crypto_wipe(auth, sizeof(auth));
	return TPM_SUCCESS;
}

/* The key of TPM_ChangeAuthAsymStart: lives in a slot until TPM_ChangeAuthAsymFinish takes it. */
static TPM_RESULT
create_ephemeral_key(struct command *c, struct key_slot **slot)
{
	struct key key = { .ver = { 1, 1, 0, 0 },
			   .keyUsage = TPM_KEY_AUTHCHANGE,
			   .keyFlags = TPM_VOLATILE,
			   .authDataUsage = TPM_AUTH_NEVER,
			   .payload = TPM_PT_ASYM };
	TPM_RESULT rc = key_parms_read(&c->in, &key.parms);

	if (rc == TPM_SUCCESS && key_check_parms(&key) != TPM_SUCCESS)
		rc = TPM_BAD_KEY_PROPERTY;
	if (rc == TPM_SUCCESS)
		rc = key_generate(c->tpm, &key);
	if (rc == TPM_SUCCESS) {
		*slot = key_slot_new(c->tpm);
		if (*slot)
			(*slot)->key = key;
		else
			rc = TPM_NOSPACE;
	}
	crypto_wipe(&key, sizeof(key));
	return rc;
}

TPM_RESULT
tpm_ChangeAuthAsymStart(struct command *c)
{
	const uint8_t *antiReplay = reader_view(&c->in, DIGEST_SIZE);
	uint8_t digest[DIGEST_SIZE];
	struct key_slot *slot;

	if (c->key[0]->keyUsage != TPM_KEY_IDENTITY)
		return TPM_INVALID_KEYUSAGE;
	TPM_RESULT rc = create_ephemeral_key(c, &slot);
	if (rc)
		return rc;
	certify_info_write(&c->out, &slot->key, false, antiReplay);
	crypto_sha1(digest, SPANS(SPAN(c->out.buf, c->out.len)));
	rc = key_sign_sha1(c, c->key[0], digest);
	writer_u32(&c->out, slot->handle);
	key_write(&c->out, &slot->key, NULL, 0);
	if (rc)
		key_slot_free(slot);
	return rc;
}

/* TPM_CHANGEAUTH_VALIDATE [Part 2, 5.11]: the new AuthData and a nonce, encrypted to the ephemeral
 * key. */
static TPM_RESULT
read_new_auth(const struct tpm *tpm, const struct key *ephemeral, struct reader enc,
	      uint8_t *newAuth, uint8_t *n1)
{
	uint8_t plain[CRYPTO_RSA_MAX];
	size_t len;
	TPM_RESULT rc = key_decrypt(tpm, ephemeral, plain, &len, enc);

	if (rc == TPM_SUCCESS && len != 2 * DIGEST_SIZE)
		rc = TPM_INVALID_STRUCTURE;
	if (rc == TPM_SUCCESS) {
		memcpy(newAuth, plain, DIGEST_SIZE);
		memcpy(n1, plain + DIGEST_SIZE, DIGEST_SIZE);
	}
	crypto_wipe(plain, sizeof(plain));
	return rc;
}

/* Who knows the old AuthData says so by linking the new one to it; who guesses is counted. */
static TPM_RESULT
check_link(struct command *c, const uint8_t *oldAuth, const uint8_t *newAuth,
	   const uint8_t *newAuthLink)
{
	uint8_t link[DIGEST_SIZE];
	TPM_RESULT rc = dictionary_check(c);

	if (rc)
		return rc;
	crypto_hmac(link, oldAuth, DIGEST_SIZE, SPANS(SPAN(newAuth, DIGEST_SIZE)));
	if (crypto_equal(link, newAuthLink, DIGEST_SIZE))
		return TPM_SUCCESS;
	dictionary_failure(c->tpm);
	return TPM_AUTHFAIL;
}

/* Proves to the caller that the new AuthData is in place. */
static TPM_RESULT
write_change_proof(struct command *c, const uint8_t *newAuth, const uint8_t *n1)
{
	uint8_t saltNonce[DIGEST_SIZE], changeProof[DIGEST_SIZE];
	TPM_RESULT rc = tpm_random(c->tpm, saltNonce, DIGEST_SIZE);

	crypto_hmac(changeProof, newAuth, DIGEST_SIZE,
		    SPANS(SPAN(saltNonce, DIGEST_SIZE), SPAN(n1, DIGEST_SIZE)));
	writer_bytes(&c->out, saltNonce, DIGEST_SIZE);
	writer_bytes(&c->out, changeProof, DIGEST_SIZE);
	return rc;
}

TPM_RESULT
tpm_ChangeAuthAsymFinish(struct command *c)
{
	uint16_t entityType = reader_u16(&c->in);
	const uint8_t *newAuthLink = reader_view(&c->in, DIGEST_SIZE);
	struct reader encNewAuth = reader_sized(&c->in), encData = reader_sized(&c->in);
	uint8_t newAuth[DIGEST_SIZE], n1[DIGEST_SIZE], plain[CRYPTO_RSA_MAX];
	size_t len;

	if (!c->slot[1] || c->key[1]->keyUsage != TPM_KEY_AUTHCHANGE)
		return TPM_INVALID_KEYUSAGE;
	TPM_RESULT rc = open_entity(c, entityType, encData, plain, &len);
	if (rc == TPM_SUCCESS)
		rc = read_new_auth(c->tpm, c->key[1], encNewAuth, newAuth, n1);
	if (rc == TPM_SUCCESS)
		rc = check_link(c, plain + AUTH_AT, newAuth, newAuthLink);
	if (rc == TPM_SUCCESS) {
		memcpy(plain + AUTH_AT, newAuth, DIGEST_SIZE);
		rc = close_entity(c, plain, len);
	}
	if (rc == TPM_SUCCESS)
		rc = write_change_proof(c, newAuth, n1);
	if (rc == TPM_SUCCESS)
		key_slot_free(c->slot[1]);
	crypto_wipe(newAuth, sizeof(newAuth));
	crypto_wipe(plain, sizeof(plain));
	return rc;
}
