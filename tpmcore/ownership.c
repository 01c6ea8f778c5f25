/* Admin ownership [TPM Main Part 3, 6]. */
#include "tpmcore/commands.h"

/* A secret that the caller encrypted to the EK. */
static TPM_RESULT
decrypt_secret(const struct tpm *tpm, struct reader encrypted, uint8_t *secret)
{
	struct key ek = endorsement_key(tpm);
	uint8_t buf[CRYPTO_RSA_MAX];
	size_t len;
	TPM_RESULT rc = key_decrypt(tpm, &ek, buf, &len, encrypted);

	if (rc == TPM_SUCCESS && len != DIGEST_SIZE)
		rc = TPM_BAD_KEY_PROPERTY;
	if (rc == TPM_SUCCESS)
		memcpy(secret, buf, DIGEST_SIZE);
	crypto_wipe(&ek, sizeof(ek));
	crypto_wipe(buf, sizeof(buf));
	return rc;
}

static TPM_RESULT
check_srk(const struct key *srk)
{
	if (srk->keyUsage != TPM_KEY_STORAGE || key_migratable(srk))
		return TPM_INVALID_KEYUSAGE;
	if (key_check_parms(srk) != TPM_SUCCESS || srk->parms.keyLength != 2048)
		return TPM_BAD_KEY_PROPERTY;
	return TPM_SUCCESS;
}

/* The secrets of the TPM that live and die with its owner. */
static TPM_RESULT
renew_secrets(struct tpm *tpm)
{
	struct permanent *p = &tpm->permanent;
	TPM_RESULT rc = tpm_random(tpm, p->tpmProof, DIGEST_SIZE);

	rc = rc ? rc : tpm_random(tpm, p->contextKey, sizeof(p->contextKey));
	return rc ? rc : tpm_random(tpm, p->delegateKey, sizeof(p->delegateKey));
}

static void
install_owner(struct tpm *tpm, const uint8_t *ownerAuth, const struct key *srk)
{
	struct permanent *p = &tpm->permanent;

	memcpy(p->ownerAuth, ownerAuth, DIGEST_SIZE);
	p->srk = *srk;
	p->srk.payload = TPM_PT_ASYM;
	memcpy(p->srk.migrationAuth, p->tpmProof, DIGEST_SIZE);
	p->owner_installed = true;
	p->noOwnerNVWrite = 0;
	PERMANENT_FLAG(tpm, READPUBEK) = false;
	tpm->changed |= TPM_CHANGED_PERMANENT;
}

TPM_RESULT
tpm_TakeOwnership(struct command *c)
{
	struct tpm *tpm = c->tpm;
	uint16_t protocolID = reader_u16(&c->in);
	struct reader encOwnerAuth = reader_sized(&c->in);
	struct reader encSrkAuth = reader_sized(&c->in);
	struct reader encData;
	struct key srk;
	uint8_t ownerAuth[DIGEST_SIZE];
	TPM_RESULT key_rc = key_read(&c->in, &srk, &encData);

	if (!PERMANENT_FLAG(tpm, OWNERSHIP))
		return TPM_INSTALL_DISABLED;
	if (!tpm->permanent.has_ek)
		return TPM_NO_ENDORSEMENT;
	if (c->auth[0].session->protocol != TPM_PID_OIAP)
		return TPM_AUTHFAIL;
	if (protocolID != TPM_PID_OWNER)
		return TPM_BAD_PARAMETER;
	TPM_RESULT rc = decrypt_secret(tpm, encOwnerAuth, ownerAuth);
	if (rc == TPM_SUCCESS)
		rc = auth_verify(c, 0, entity_number(TPM_ET_OWNER, 0, ownerAuth));
	if (rc == TPM_SUCCESS)
		rc = key_rc ? key_rc : check_srk(&srk);
	if (rc == TPM_SUCCESS)
		rc = decrypt_secret(tpm, encSrkAuth, srk.usageAuth);
	if (rc == TPM_SUCCESS)
		rc = key_generate(tpm, &srk);
	if (rc == TPM_SUCCESS)
		rc = renew_secrets(tpm);
	if (rc == TPM_SUCCESS) {
		pcr_info_at_creation(c, &srk.pcr);
		install_owner(tpm, ownerAuth, &srk);
		key_write(&c->out, &srk, NULL, 0);
	}
	crypto_wipe(ownerAuth, sizeof(ownerAuth));
	crypto_wipe(&srk, sizeof(srk));
	return rc;
}

/* Keys and sessions, loaded or saved, and what of TPM_STCLEAR_DATA is no PCR. */
static void
clear_volatile(struct tpm *tpm)
{
	struct stclear *s = &tpm->stclear;
	struct stany *a = &tpm->stany;

	for (struct key_slot *k = tpm->keys; k < tpm->keys + MAX_KEYS; k++)
		if (k->handle != 0)
			key_slot_free(k);
	session_terminate_all(tpm);
	a->exclusive = 0;
	crypto_wipe(a->transports, sizeof(a->transports));
	crypto_wipe(a->daa, sizeof(a->daa));
	memset(a->contextList, 0, sizeof(a->contextList));
	(void)tpm_random(tpm, a->contextNonceSession, DIGEST_SIZE);
	(void)tpm_random(tpm, a->contextNonceKey, DIGEST_SIZE);
	memset(s->auditDigest, 0, DIGEST_SIZE);
	s->audit_open = false;
	s->ownerReference = TPM_KH_OWNER;
	s->disableResetLock = false;
	s->deferredPhysicalPresence = 0;
	tpm->changed |= TPM_CHANGED_VOLATILE;
}

void
owner_clear(struct tpm *tpm)
{
	struct permanent *p = &tpm->permanent;

	clear_volatile(tpm);
	crypto_wipe(&p->srk, sizeof(p->srk));
	crypto_wipe(p->ownerAuth, DIGEST_SIZE);
	crypto_wipe(p->operatorAuth, DIGEST_SIZE);
	p->owner_installed = false;
	p->noOwnerNVWrite = 0;
	p->restrictDelegate = 0;
	(void)renew_secrets(tpm);
	nv_owner_clear(tpm);
	counters_owner_clear(tpm);
	delegation_owner_clear(tpm);
	audit_manufacture(tpm);
	PERMANENT_FLAG(tpm, DISABLE) = true;
	PERMANENT_FLAG(tpm, DEACTIVATED) = true;
	PERMANENT_FLAG(tpm, OWNERSHIP) = true;
	PERMANENT_FLAG(tpm, READPUBEK) = true;
	PERMANENT_FLAG(tpm, DISABLEOWNERCLEAR) = false;
	PERMANENT_FLAG(tpm, ALLOWMAINTENANCE) = false;
	PERMANENT_FLAG(tpm, MAINTENANCEDONE) = false;
	PERMANENT_FLAG(tpm, OPERATOR) = false;
	PERMANENT_FLAG(tpm, READSRKPUB) = false;
	PERMANENT_FLAG(tpm, DISABLEFULLDALOGICINFO) = false;
	tpm->changed |= TPM_CHANGED_PERMANENT;
}

void
tpm_clear(struct tpm *tpm)
{
	owner_clear(tpm);
	saved_state_drop(tpm);
	PERMANENT_FLAG(tpm, DISABLE) = false;
	PERMANENT_FLAG(tpm, DEACTIVATED) = false;
	STCLEAR_FLAG(tpm, DEACTIVATED) = false;
}

TPM_RESULT
tpm_OwnerClear(struct command *c)
{
	if (PERMANENT_FLAG(c->tpm, DISABLEOWNERCLEAR))
		return TPM_CLEAR_DISABLED;
	owner_clear(c->tpm);
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_ForceClear(struct command *c)
{
	if (!tpm_physical_presence(c->tpm))
		return TPM_BAD_PRESENCE;
	if (STCLEAR_FLAG(c->tpm, DISABLEFORCECLEAR))
		return TPM_CLEAR_DISABLED;
	owner_clear(c->tpm);
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_DisableOwnerClear(struct command *c)
{
	PERMANENT_FLAG(c->tpm, DISABLEOWNERCLEAR) = true;
	c->tpm->changed |= TPM_CHANGED_PERMANENT;
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_DisableForceClear(struct command *c)
{
	STCLEAR_FLAG(c->tpm, DISABLEFORCECLEAR) = true;
	return TPM_SUCCESS;
}
