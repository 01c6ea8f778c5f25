/* Identity creation and activation [TPM Main Part 3, 15]. */
#include "tpmcore/commands.h"

/* TPM_IDENTITY_CONTENTS [Part 2, 12.5], signed with the new key: identityBinding. */
static TPM_RESULT
bind_identity(struct command *c, const struct key *key, const uint8_t *labelPrivCADigest)
{
	static const uint8_t head[8] = { 1, 1, 0, 0, 0, 0, 0, TPM_ORD_MakeIdentity };
	uint8_t pubkey[512], digest[DIGEST_SIZE];
	struct writer w = writer_of(pubkey, sizeof(pubkey));

	key_pubkey_write(&w, key);
	crypto_sha1(digest, SPANS(SPAN(head, sizeof(head)), SPAN(labelPrivCADigest, DIGEST_SIZE),
				  SPAN(pubkey, w.len)));
	return key_sign_sha1(c, key, digest);
}

/* [Part 3, 15.1] */
TPM_RESULT
tpm_MakeIdentity(struct command *c)
{
	const uint8_t *identityAuth = reader_view(&c->in, DIGEST_SIZE);
	const uint8_t *labelPrivCADigest = reader_view(&c->in, DIGEST_SIZE);
	unsigned owner = c->auth_count - 1;
	struct reader encData;
	struct key key;
	TPM_RESULT rc = key_read(&c->in, &key, &encData);

	if (rc)
		return rc;
	if (key.keyUsage != TPM_KEY_IDENTITY || key_migratable(&key))
		return TPM_INVALID_KEYUSAGE;
	if (key_check_parms(&key) != TPM_SUCCESS)
		return TPM_BAD_KEY_PROPERTY;
	rc = auth_decrypt(c, owner, false, identityAuth, key.usageAuth);
	if (rc)
		return rc;
	/* Neither session goes on, that of the SRK neither. */
	c->auth[0].continueAuthSession = false;
	memcpy(key.migrationAuth, c->tpm->permanent.tpmProof, DIGEST_SIZE);
	key.payload = TPM_PT_ASYM;
	c->key[0] = &c->tpm->permanent.srk;
	rc = key_create(c, &key);
	if (rc == TPM_SUCCESS)
		rc = bind_identity(c, &key, labelPrivCADigest);
	crypto_wipe(&key, sizeof(key));
	return rc;
}

/* What a privacy CA sends: the session key, for the identity of this digest alone. */
struct activation {
	struct reader sessionKey; /* TPM_SYMMETRIC_KEY [Part 2, 9.4] */
	uint8_t idDigest[DIGEST_SIZE];
	struct pcr_info_short pcr;
};

static void
session_key_read(struct reader *r, struct activation *a)
{
	struct reader start = *r;

	reader_view(r, 4 + 2);
	reader_view(r, reader_u16(r));
	a->sessionKey = reader_of(start.pos, start.left - r->left);
	reader_bytes(r, a->idDigest, DIGEST_SIZE);
}

/* TPM_EK_BLOB that holds a TPM_EK_BLOB_ACTIVATE [Part 2, 12.1 and 12.2]. */
static TPM_RESULT
ek_blob_read(struct reader *r, struct activation *a)
{
	reader_u16(r);
	if (reader_u16(r) != TPM_EK_TYPE_ACTIVATE)
		return TPM_BAD_TYPE;
	struct reader blob = reader_sized(r);
	if (!reader_done(r))
		return TPM_BAD_PARAM_SIZE;
	if (reader_u16(&blob) != TPM_TAG_EK_BLOB_ACTIVATE)
		return TPM_INVALID_STRUCTURE;
	session_key_read(&blob, a);
	marshal_pcr_info_short(&(struct marshal) { .r = &blob }, &a->pcr);
	return reader_done(&blob) ? TPM_SUCCESS : TPM_BAD_PARAM_SIZE;
}

/* TPM_ASYM_CA_CONTENTS [Part 2, 12.8], which has neither tag nor PCRs, or the above. */
static TPM_RESULT
activation_read(struct reader *r, struct activation *a)
{
	struct reader ahead = *r;

	if (reader_u16(&ahead) == TPM_TAG_EK_BLOB)
		return ek_blob_read(r, a);
	a->pcr = (struct pcr_info_short) { .localityAtRelease = 0x1f };
	session_key_read(r, a);
	return reader_done(r) ? TPM_SUCCESS : TPM_BAD_PARAM_SIZE;
}

/* [Part 3, 15.2] */
TPM_RESULT
tpm_ActivateIdentity(struct command *c)
{
	struct key ek = endorsement_key(c->tpm);
	uint8_t buf[CRYPTO_RSA_MAX], digest[DIGEST_SIZE];
	struct activation a;
	size_t len;
	TPM_RESULT rc = TPM_BAD_PARAMETER;

	if (c->key[0]->keyUsage == TPM_KEY_IDENTITY)
		rc = key_decrypt(c->tpm, &ek, buf, &len, reader_sized(&c->in));
	crypto_wipe(&ek, sizeof(ek));
	if (rc)
		return rc;
	struct reader r = reader_of(buf, len);
	rc = activation_read(&r, &a);
	key_pubkey_digest(c->key[0], digest);
	if (rc == TPM_SUCCESS && !crypto_equal(digest, a.idDigest, DIGEST_SIZE))
		rc = TPM_BAD_PARAMETER;
	if (rc == TPM_SUCCESS)
		rc = pcr_check_info_short(c, &a.pcr);
	if (rc == TPM_SUCCESS)
		writer_bytes(&c->out, a.sessionKey.pos, a.sessionKey.left);
	crypto_wipe(buf, sizeof(buf));
	return rc;
}
