/* Cryptographic functions [TPM Main Part 3, 13]. */
#include "tpmcore/commands.h"

enum {
	SHA1_MAX_BYTES = TPM_BUFFER_SIZE - 64,              /* of one TPM_SHA1Update */
	RANDOM_MAX = TPM_BUFFER_SIZE - TPM_HEADER_SIZE - 4, /* of one TPM_GetRandom */
};

/*
 * Whose thread a command starts or goes on with. One that another transport session carries, or
 * none, is another command, which ends the thread: it would tell the hash of what was encrypted.
 */
static uint8_t
hash_owner(const struct command *c)
{
	if (!c->transport)
		return HASH_SHA1;
	return (uint8_t)(HASH_TRANSPORT + (c->transport - c->tpm->stany.transports));
}

TPM_RESULT
tpm_SHA1Start(struct command *c)
{
	c->tpm->stany.hash = hash_owner(c);
	crypto_sha1_start(&c->tpm->stany.sha1);
	writer_u32(&c->out, SHA1_MAX_BYTES);
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_SHA1Update(struct command *c)
{
	struct reader hashData = reader_sized(&c->in);
	bool running = c->tpm->stany.hash == hash_owner(c);

	if (!running || hashData.left % 64 != 0 || hashData.left > SHA1_MAX_BYTES) {
		c->tpm->stany.hash = HASH_NONE;
		return running ? TPM_SHA_ERROR : TPM_SHA_THREAD;
	}
	crypto_sha1_update(&c->tpm->stany.sha1, hashData.pos, hashData.left);
	return TPM_SUCCESS;
}

/* The end of the thread, with the last, possibly incomplete block. */
static TPM_RESULT
sha1_complete(struct command *c, uint8_t *digest)
{
	struct reader hashData = reader_sized(&c->in);
	bool running = c->tpm->stany.hash == hash_owner(c);

	c->tpm->stany.hash = HASH_NONE;
	if (hashData.left > 64)
		return TPM_SHA_ERROR;
	if (!running)
		return TPM_SHA_THREAD;
	crypto_sha1_update(&c->tpm->stany.sha1, hashData.pos, hashData.left);
	crypto_sha1_final(&c->tpm->stany.sha1, digest);
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_SHA1Complete(struct command *c)
{
	uint8_t digest[DIGEST_SIZE];
	TPM_RESULT rc = sha1_complete(c, digest);

	if (rc == TPM_SUCCESS)
		writer_bytes(&c->out, digest, DIGEST_SIZE);
	return rc;
}

TPM_RESULT
tpm_SHA1CompleteExtend(struct command *c)
{
	uint32_t pcrNum = reader_u32(&c->in);
	uint8_t digest[DIGEST_SIZE];
	TPM_RESULT rc = sha1_complete(c, digest);

	if (rc == TPM_SUCCESS)
		rc = pcr_extend(c->tpm, c->locality, pcrNum, digest);
	if (rc)
		return rc;
	writer_bytes(&c->out, digest, DIGEST_SIZE);
	pcr_extend_response(c, pcrNum);
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_Sign(struct command *c)
{
	const struct key *key = c->key[0];
	struct reader area = reader_sized(&c->in);
	uint8_t digest[DIGEST_SIZE], signature[CRYPTO_RSA_MAX];

	if (area.left == 0)
		return TPM_BAD_PARAMETER;
	if (key->keyUsage != TPM_KEY_SIGNING && key->keyUsage != TPM_KEY_LEGACY)
		return TPM_INVALID_KEYUSAGE;
	switch (key->parms.sigScheme) {
	case TPM_SS_RSASSAPKCS1v15_SHA1:
		if (area.left != DIGEST_SIZE)
			return TPM_BAD_PARAMETER;
		return key_sign_sha1(c, key, area.pos);
	case TPM_SS_RSASSAPKCS1v15_INFO:
		if (c->auth_count == 0)
			return TPM_BAD_PARAMETER; /* no nonceOdd to sign */
		sign_info_digest("SIGN", c->auth[0].nonceOdd, SPAN(area.pos, area.left), digest);
		return key_sign_sha1(c, key, digest);
	case TPM_SS_RSASSAPKCS1v15_DER:
		if (area.left + CRYPTO_PKCS1_OVERHEAD > key->rsa.n_len)
			return TPM_BAD_PARAMETER;
		if (crypto_rsa_sign_der(&key->rsa, signature, area.pos, area.left, &c->tpm->cancel))
			return TPM_FAIL;
		writer_sized(&c->out, signature, key->rsa.n_len);
		return TPM_SUCCESS;
	default:
		return TPM_INVALID_KEYUSAGE;
	}
}

TPM_RESULT
tpm_GetRandom(struct command *c)
{
	uint32_t wanted = reader_u32(&c->in);
	uint32_t given = wanted < RANDOM_MAX ? wanted : RANDOM_MAX;

	writer_u32(&c->out, given);
	uint8_t *room = writer_reserve(&c->out, given); /* less of it in a transport session */
	return room ? tpm_random(c->tpm, room, given) : TPM_SIZE;
}

TPM_RESULT
tpm_StirRandom(struct command *c)
{
	/* The platform's generator needs no help from a guest, and takes no harm. */
	(void)c;
	return TPM_SUCCESS;
}

/* Whether a key may speak for others, and for this one: TPM_CertifyKey and its kin. */
static TPM_RESULT
check_certifier(const struct key *cert, const struct key *certified)
{
	if (certified->keyUsage == TPM_KEY_MIGRATE || certified->keyUsage == TPM_KEY_AUTHCHANGE)
		return TPM_INVALID_KEYUSAGE;
	if (!key_signs_digests(cert))
		return TPM_BAD_KEY_PROPERTY;
	if (cert->keyUsage == TPM_KEY_IDENTITY && key_migratable(certified) &&
	    !(certified->keyFlags & TPM_MIGRATEAUTHORITY))
		return TPM_MIGRATEFAIL;
	return TPM_SUCCESS;
}

static TPM_RESULT
check_certify_pcrs(const struct command *c, const struct key *cert, const struct key *certified)
{
	TPM_RESULT rc = key_check_pcr(c, cert);

	if (rc || certified->keyFlags & TPM_PCRIGNOREDONREAD)
		return rc;
	return key_check_pcr(c, certified);
}

/* A TPM_CERTIFY_INFO can tell of the first 16 PCRs and no locality [Part 3, 13.8]. */
static bool
needs_certify_info2(const struct key *key)
{
	const struct pcr_info *pcr = &key->pcr;

	if (pcr->form == PCR_INFO_LONG)
		return pcr->release.size > 2 || pcr->localityAtRelease != TPM_LOC_ALL;
	return pcr->release.select[2] != 0;
}

/* What TPM_CERTIFY_INFO and TPM_CERTIFY_INFO2 have in common, up to parentPCRStatus. */
static void
write_certify_common(struct writer *w, const struct key *key, bool parentPCRStatus,
		     const uint8_t *antiReplay)
{
	uint8_t pubkeyDigest[DIGEST_SIZE];

	crypto_sha1(pubkeyDigest, SPANS(SPAN(key->rsa.n, key->rsa.n_len)));
	writer_u16(w, key->keyUsage);
	writer_u32(w, key->keyFlags);
	writer_u8(w, key->authDataUsage);
	key_parms_write(w, &key->parms);
	writer_bytes(w, pubkeyDigest, DIGEST_SIZE);
	writer_bytes(w, antiReplay, DIGEST_SIZE);
	writer_u8(w, parentPCRStatus);
}

void
certify_info_write(struct writer *w, const struct key *key, bool parentPCRStatus,
		   const uint8_t *antiReplay)
{
	static const uint8_t version[4] = { 1, 1, 0, 0 };
	struct pcr_info pcr = key->pcr;

	writer_bytes(w, version, sizeof(version));
	write_certify_common(w, key, parentPCRStatus, antiReplay);
	if (pcr.form != PCR_INFO_NONE) {
		pcr.form = PCR_INFO_11;
		memset(pcr.digestAtCreation, 0, DIGEST_SIZE);
	}
	size_t size_at = w->len;
	writer_u32(w, 0);
	pcr_info_write(w, &pcr);
	writer_patch_u32(w, size_at, (uint32_t)(w->len - size_at - 4));
}

static void
write_certify_info2(struct writer *w, const struct key *key, bool parentPCRStatus,
		    const uint8_t *antiReplay, struct span migrationAuthority)
{
	struct pcr_info_short pcr = { .selection = key->pcr.release,
				      .localityAtRelease = key->pcr.localityAtRelease };

	memcpy(pcr.digestAtRelease, key->pcr.digestAtRelease, DIGEST_SIZE);
	writer_u16(w, TPM_TAG_CERTIFY_INFO2);
	writer_u8(w, 0);
	writer_u8(w, key->payload);
	write_certify_common(w, key, parentPCRStatus, antiReplay);
	size_t size_at = w->len;
	writer_u32(w, 0);
	if (key->pcr.form != PCR_INFO_NONE)
		marshal_pcr_info_short(&(struct marshal) { .w = w }, &pcr);
	writer_patch_u32(w, size_at, (uint32_t)(w->len - size_at - 4));
	writer_sized(w, migrationAuthority.data, migrationAuthority.len);
}

/* Signs the certification that was written to c->out. */
static TPM_RESULT
sign_certification(struct command *c, const struct key *cert)
{
	uint8_t digest[DIGEST_SIZE];

	if (c->out.failed)
		return TPM_SIZE;
	crypto_sha1(digest, SPANS(SPAN(c->out.buf, c->out.len)));
	return key_sign_sha1(c, cert, digest);
}

static bool
parent_pcr_status(const struct key_slot *slot)
{
	return slot && slot->parentPCRStatus;
}

TPM_RESULT
tpm_CertifyKey(struct command *c)
{
	const struct key *cert = c->key[0], *key = c->key[1];
	const uint8_t *antiReplay = reader_view(&c->in, DIGEST_SIZE);
	TPM_RESULT rc = check_certify_pcrs(c, cert, key);

	if (rc == TPM_SUCCESS)
		rc = check_certifier(cert, key);
	if (rc)
		return rc;
	/* A certified migration key needs TPM_CertifyKey2. */
	if (key_is_cmk(key))
		return TPM_INVALID_KEYUSAGE;
	if (needs_certify_info2(key))
		write_certify_info2(&c->out, key, parent_pcr_status(c->slot[1]), antiReplay,
				    SPAN(NULL, 0));
	else
		certify_info_write(&c->out, key, parent_pcr_status(c->slot[1]), antiReplay);
	return sign_certification(c, cert);
}

TPM_RESULT
tpm_CertifyKey2(struct command *c)
{
	const struct key *key = c->key[0], *cert = c->key[1];
	const uint8_t *migrationPubDigest = reader_view(&c->in, DIGEST_SIZE);
	const uint8_t *antiReplay = reader_view(&c->in, DIGEST_SIZE);
	uint8_t authority[DIGEST_SIZE], proof[DIGEST_SIZE];
	TPM_RESULT rc = check_certify_pcrs(c, cert, key);

	if (rc == TPM_SUCCESS)
		rc = check_certifier(cert, key);
	if (rc)
		return rc;
	bool cmk = key_is_cmk(key);
	if (cmk) {
		/* The caller must know the migration authority that the key is bound to. */
		key_cmk_auth(c->tpm, key, migrationPubDigest, proof);
		if (!crypto_equal(proof, key->migrationAuth, DIGEST_SIZE))
			return TPM_MA_SOURCE;
		crypto_sha1(authority,
			    SPANS(SPAN(migrationPubDigest, DIGEST_SIZE), SPAN(&key->payload, 1)));
	}
	write_certify_info2(&c->out, key, parent_pcr_status(c->slot[0]), antiReplay,
			    SPAN(authority, cmk ? DIGEST_SIZE : 0));
	return sign_certification(c, cert);
}
