/*
 * Maintenance [TPM Main Part 3, 12]: a manufacturer moves a TPM's SRK to another. It is disabled
 * unless TPM_PF_ALLOWMAINTENANCE says otherwise, which no command can make it say.
 */
#include "tpmcore/commands.h"
#include "tpmcore/migration.h"

static TPM_RESULT
check_allowed(const struct command *c)
{
	return PERMANENT_FLAG(c->tpm, ALLOWMAINTENANCE) ? TPM_SUCCESS : TPM_DISABLED_CMD;
}

/* [Part 3, 12.1] */
TPM_RESULT
tpm_CreateMaintenanceArchive(struct command *c)
{
	struct permanent *p = &c->tpm->permanent;
	bool generateRandom = reader_u8(&c->in) != 0;
	struct private_area area = { 0 };
	struct writer w = writer_of(area.privKey, sizeof(area.privKey));
	struct packed packed;
	TPM_RESULT rc = check_allowed(c);

	if (rc == TPM_SUCCESS && !p->has_manu_maint_pub)
		rc = TPM_KEYNOTFOUND;
	if (rc)
		return rc;
	memcpy(area.usageAuth, p->tpmProof, DIGEST_SIZE);
	key_public_digest(&p->srk, area.pubDataDigest);
	writer_sized(&w, p->srk.rsa.p, p->srk.rsa.n_len / 2u);
	area.privKey_len = w.len;
	rc = migration_pack(c->tpm, &area, TPM_PT_MAINT, p->ownerAuth,
			    generateRandom ? NULL : p->ownerAuth, &p->manuMaintPub, &packed);
	if (rc == TPM_SUCCESS) {
		writer_sized(&c->out, packed.random, generateRandom ? packed.size : 0);
		size_t size_at = c->out.len;
		writer_u32(&c->out, 0);
		key_write(&c->out, &p->srk, packed.enc, packed.len);
		writer_patch_u32(&c->out, size_at, (uint32_t)(c->out.len - size_at - 4));
		permanent_flag_set(c->tpm, TPM_PF_MAINTENANCEDONE, true);
	}
	crypto_wipe(&area, sizeof(area));
	crypto_wipe(&packed, sizeof(packed));
	return rc;
}

/* The SRK of an archive in the place of this TPM's, with the tpmProof that its keys know. */
static TPM_RESULT
take_srk(struct tpm *tpm, struct key *srk, const struct private_area *area)
{
	struct permanent *p = &tpm->permanent;
	uint8_t digest[DIGEST_SIZE];
	struct reader r = reader_of(area->privKey, area->privKey_len), prime = reader_sized(&r);

	key_public_digest(srk, digest);
	if (prime.left * 2 != srk->rsa.n_len ||
	    !crypto_equal(digest, area->pubDataDigest, DIGEST_SIZE))
		return TPM_INVALID_STRUCTURE;
	reader_bytes(&prime, srk->rsa.p, prime.left);
	srk->rsa.has_private = true;
	if (!crypto_rsa_check(&srk->rsa, &tpm->cancel))
		return TPM_BAD_KEY_PROPERTY;
	srk->payload = TPM_PT_ASYM;
	memcpy(srk->usageAuth, p->srk.usageAuth, DIGEST_SIZE);
	memcpy(srk->migrationAuth, area->usageAuth, DIGEST_SIZE);
	/* What was loaded belongs to the old tree. */
	for (struct key_slot *k = tpm->keys; k < tpm->keys + MAX_KEYS; k++)
		key_slot_free(k);
	session_terminate_all(tpm);
	p->srk = *srk;
	memcpy(p->tpmProof, area->usageAuth, DIGEST_SIZE);
	tpm->changed |= TPM_CHANGED_PERMANENT;
	return TPM_SUCCESS;
}

/*
 * [Part 3, 12.2] What comes in is the vendor's choice: the archive, its encData now packed for this
 * TPM's SRK, and the random bytes that it was made with.
 */
TPM_RESULT
tpm_LoadMaintenanceArchive(struct command *c)
{
	struct permanent *p = &c->tpm->permanent;
	struct private_area area = { 0 };
	struct reader encData;
	struct key srk;
	TPM_RESULT rc = key_read(&c->in, &srk, &encData);
	struct reader random = reader_sized(&c->in);

	if (rc == TPM_SUCCESS)
		rc = check_allowed(c);
	if (rc == TPM_SUCCESS && (srk.keyUsage != TPM_KEY_STORAGE || key_migratable(&srk)))
		rc = TPM_INVALID_KEYUSAGE;
	if (rc)
		return rc;
	rc = migration_unpack(c->tpm, &area, &p->srk, encData, random, TPM_PT_MAINT);
	if (rc == TPM_SUCCESS && !crypto_equal(area.migrationAuth, p->ownerAuth, DIGEST_SIZE))
		rc = TPM_AUTHFAIL;
	if (rc == TPM_SUCCESS)
		rc = take_srk(c->tpm, &srk, &area);
	crypto_wipe(&area, sizeof(area));
	crypto_wipe(&srk, sizeof(srk));
	return rc;
}

/* [Part 3, 12.3] */
TPM_RESULT
tpm_KillMaintenanceFeature(struct command *c)
{
	TPM_RESULT rc = check_allowed(c);

	if (rc == TPM_SUCCESS)
		permanent_flag_set(c->tpm, TPM_PF_ALLOWMAINTENANCE, false);
	return rc;
}

/* Checksum of the manufacturer's key. */
static void
write_checksum(struct command *c, const uint8_t *antiReplay)
{
	uint8_t buf[512], checksum[DIGEST_SIZE];
	struct writer w = writer_of(buf, sizeof(buf));

	key_pubkey_write(&w, &c->tpm->permanent.manuMaintPub);
	crypto_sha1(checksum, SPANS(SPAN(buf, w.len), SPAN(antiReplay, DIGEST_SIZE)));
	writer_bytes(&c->out, checksum, DIGEST_SIZE);
}

/* [Part 3, 12.4] */
TPM_RESULT
tpm_LoadManuMaintPub(struct command *c)
{
	struct permanent *p = &c->tpm->permanent;
	const uint8_t *antiReplay = reader_view(&c->in, DIGEST_SIZE);
	struct key key;
	TPM_RESULT rc = pubkey_read(&c->in, &key);

	if (rc == TPM_SUCCESS)
		rc = check_allowed(c);
	if (rc)
		return rc;
	if (p->has_manu_maint_pub)
		return TPM_DISABLED_CMD;
	if (key.parms.keyLength != 2048 || key.rsa.n_len != 2048 / 8 ||
	    key.parms.encScheme != TPM_ES_RSAESOAEP_SHA1_MGF1)
		return TPM_BAD_KEY_PROPERTY;
	p->manuMaintPub = key;
	p->has_manu_maint_pub = true;
	c->tpm->changed |= TPM_CHANGED_PERMANENT;
	write_checksum(c, antiReplay);
	return TPM_SUCCESS;
}

/* [Part 3, 12.5] */
TPM_RESULT
tpm_ReadManuMaintPub(struct command *c)
{
	TPM_RESULT rc = check_allowed(c);

	if (rc == TPM_SUCCESS && !c->tpm->permanent.has_manu_maint_pub)
		rc = TPM_KEYNOTFOUND;
	if (rc == TPM_SUCCESS)
		write_checksum(c, reader_view(&c->in, DIGEST_SIZE));
	return rc;
}
