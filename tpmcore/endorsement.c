/* Endorsement key handling [TPM Main Part 3, 14]. */
#include "tpmcore/commands.h"

static const struct key_parms ek_parms = {
	.algorithmID = TPM_ALG_RSA,
	.encScheme = TPM_ES_RSAESOAEP_SHA1_MGF1,
	.sigScheme = TPM_SS_NONE,
	.keyLength = 2048,
	.numPrimes = 2,
	.exponent = 65537,
};

struct key
endorsement_key(const struct tpm *tpm)
{
	return (struct key) { .parms = ek_parms, .rsa = tpm->permanent.ek };
}

size_t
tpm_ek_public(const struct tpm *tpm, uint8_t *pubkey, size_t size)
{
	struct key ek = endorsement_key(tpm);
	struct writer w = writer_of(pubkey, size);

	if (tpm->permanent.has_ek)
		key_pubkey_write(&w, &ek);
	crypto_wipe(&ek, sizeof(ek));
	return w.failed ? 0 : w.len;
}

/* The EK's TPM_PUBKEY and, with antiReplay, the checksum over both. */
static void
write_pubek(struct command *c, const uint8_t *antiReplay)
{
	struct key ek = endorsement_key(c->tpm);
	size_t at = c->out.len;
	uint8_t checksum[DIGEST_SIZE];

	key_pubkey_write(&c->out, &ek);
	if (antiReplay && !c->out.failed) {
		crypto_sha1(checksum, SPANS(SPAN(c->out.buf + at, c->out.len - at),
					    SPAN(antiReplay, DIGEST_SIZE)));
		writer_bytes(&c->out, checksum, DIGEST_SIZE);
	}
	crypto_wipe(&ek, sizeof(ek));
}

static TPM_RESULT
create_ek(struct tpm *tpm)
{
	struct key ek = { .parms = ek_parms };
	TPM_RESULT rc = key_generate(tpm, &ek);

	/* Each EK has its own [Part 2, 5.5, TPM_DAA_TPM_SEED]. */
	if (rc == TPM_SUCCESS)
		rc = daa_renew(tpm);
	if (rc == TPM_SUCCESS) {
		tpm->permanent.ek = ek.rsa;
		tpm->permanent.has_ek = true;
		tpm->changed |= TPM_CHANGED_PERMANENT;
	}
	crypto_wipe(&ek, sizeof(ek));
	return rc;
}

TPM_RESULT
tpm_manufacture_ek(struct tpm *tpm)
{
	return tpm->permanent.has_ek ? TPM_SUCCESS : create_ek(tpm);
}

/* Checks that a new EK may be made, and made like this. */
static TPM_RESULT
check_new_ek(struct command *c)
{
	struct key_parms parms;
	TPM_RESULT rc = key_parms_read(&c->in, &parms);

	if (c->tpm->permanent.has_ek)
		return TPM_DISABLED_CMD;
	if (rc || parms.algorithmID != TPM_ALG_RSA || parms.keyLength != ek_parms.keyLength ||
	    parms.numPrimes != ek_parms.numPrimes || parms.exponent != ek_parms.exponent)
		return TPM_BAD_KEY_PROPERTY;
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_CreateEndorsementKeyPair(struct command *c)
{
	const uint8_t *antiReplay = reader_view(&c->in, DIGEST_SIZE);
	TPM_RESULT rc = check_new_ek(c);

	if (rc == TPM_SUCCESS)
		rc = create_ek(c->tpm);
	if (rc)
		return rc;
	PERMANENT_FLAG(c->tpm, CEKPUSED) = true;
	PERMANENT_FLAG(c->tpm, ENABLEREVOKEEK) = false;
	write_pubek(c, antiReplay);
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_CreateRevocableEK(struct command *c)
{
	struct permanent *p = &c->tpm->permanent;
	const uint8_t *antiReplay = reader_view(&c->in, DIGEST_SIZE);
	TPM_RESULT rc = check_new_ek(c);
	bool generateReset = reader_u8(&c->in);
	uint8_t ekReset[DIGEST_SIZE];

	reader_bytes(&c->in, ekReset, DIGEST_SIZE);
	if (rc == TPM_SUCCESS && generateReset)
		rc = tpm_random(c->tpm, ekReset, DIGEST_SIZE);
	if (rc == TPM_SUCCESS)
		rc = create_ek(c->tpm);
	if (rc)
		return rc;
	PERMANENT_FLAG(c->tpm, CEKPUSED) = true;
	PERMANENT_FLAG(c->tpm, ENABLEREVOKEEK) = true;
	p->ek_revocable = true;
	memcpy(p->ekReset, ekReset, DIGEST_SIZE);
	write_pubek(c, antiReplay);
	writer_bytes(&c->out, p->ekReset, DIGEST_SIZE);
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_RevokeTrust(struct command *c)
{
	struct permanent *p = &c->tpm->permanent;
	const uint8_t *ekReset = reader_view(&c->in, DIGEST_SIZE);

	if (!p->has_ek || !PERMANENT_FLAG(c->tpm, ENABLEREVOKEEK) || !p->ek_revocable)
		return TPM_PERMANENTEK;
	if (!crypto_equal(ekReset, p->ekReset, DIGEST_SIZE))
		return TPM_AUTHFAIL;
	if (!tpm_physical_presence(c->tpm))
		return TPM_BAD_PRESENCE;
	TPM_RESULT rc = daa_renew(c->tpm);
	if (rc)
		return rc;
	owner_clear(c->tpm);
	nv_revoke_trust(c->tpm);
	crypto_wipe(&p->ek, sizeof(p->ek));
	crypto_wipe(p->ekReset, DIGEST_SIZE);
	p->has_ek = false;
	p->ek_revocable = false;
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_ReadPubek(struct command *c)
{
	const uint8_t *antiReplay = reader_view(&c->in, DIGEST_SIZE);

	if (!PERMANENT_FLAG(c->tpm, READPUBEK))
		return TPM_DISABLED_CMD;
	if (!c->tpm->permanent.has_ek)
		return TPM_NO_ENDORSEMENT;
	write_pubek(c, antiReplay);
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_OwnerReadPubek(struct command *c)
{
	if (!c->tpm->permanent.has_ek)
		return TPM_NO_ENDORSEMENT;
	write_pubek(c, NULL);
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_DisablePubekRead(struct command *c)
{
	PERMANENT_FLAG(c->tpm, READPUBEK) = false;
	c->tpm->changed |= TPM_CHANGED_PERMANENT;
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_OwnerReadInternalPub(struct command *c)
{
	uint32_t keyHandle = reader_u32(&c->in);

	if (keyHandle == TPM_KH_EK)
		write_pubek(c, NULL);
	else if (keyHandle == TPM_KH_SRK)
		key_pubkey_write(&c->out, &c->tpm->permanent.srk);
	else
		return TPM_BAD_PARAMETER;
	return TPM_SUCCESS;
}
