/* Certified migration keys [TPM Main Part 3, 11.5 to 11.10]. */
#include "tpmcore/commands.h"
#include "tpmcore/migration.h"

/* What the TPM recognises as its own word later: HMAC with tpmProof of a tagged structure. */
static void
certify(const struct tpm *tpm, uint8_t tag, const uint8_t *first, const uint8_t *second,
	uint8_t *hmac)
{
	const uint8_t tag_bytes[2] = { 0, tag };

	crypto_hmac(hmac, tpm->permanent.tpmProof, DIGEST_SIZE,
		    SPANS(SPAN(tag_bytes, 2), SPAN(first, DIGEST_SIZE),
			  SPAN(second, second ? DIGEST_SIZE : 0)));
}

static bool
certified(const struct tpm *tpm, uint8_t tag, const uint8_t *first, const uint8_t *second,
	  const uint8_t *hmac)
{
	uint8_t expected[DIGEST_SIZE];

	certify(tpm, tag, first, second, expected);
	return crypto_equal(expected, hmac, DIGEST_SIZE);
}

/* TPM_MSA_COMPOSITE [Part 2, 5.15]: the migration authorities a key may go by. */
struct msa_list {
	uint32_t count;
	const uint8_t *digests;
	uint8_t digest[DIGEST_SIZE]; /* of the whole */
};

static TPM_RESULT
msa_list_read(struct reader r, struct msa_list *list)
{
	crypto_sha1(list->digest, SPANS(SPAN(r.pos, r.left)));
	list->count = reader_u32(&r);
	if (r.failed || r.left % DIGEST_SIZE != 0 || r.left / DIGEST_SIZE != list->count)
		return TPM_BAD_PARAM_SIZE;
	list->digests = reader_view(&r, r.left);
	return list->count > 0 ? TPM_SUCCESS : TPM_INVALID_STRUCTURE;
}

static bool
listed(const struct msa_list *list, const uint8_t *digest)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (memcmp(list->digests + i * DIGEST_SIZE, digest, DIGEST_SIZE) == 0)
			return true;
	return false;
}

/* TPM_CMK_AUTH [Part 2, 5.16], which a migration authority signed: restrictTicket. */
struct cmk_auth {
	const uint8_t *whole; /* CMK_AUTH_SIZE bytes */
	const uint8_t *destinationKeyDigest;
	const uint8_t *sourceKeyDigest;
};
enum { CMK_AUTH_SIZE = 3 * DIGEST_SIZE };

static struct cmk_auth
cmk_auth_of(const uint8_t *whole)
{
	return (struct cmk_auth) { whole, whole + DIGEST_SIZE, whole + 2 * DIGEST_SIZE };
}

/* Checks that one of the authorities approved this migration: sigTicket is the TPM's word for it.
 */
static TPM_RESULT
check_ticket(const struct tpm *tpm, const struct msa_list *list, const struct cmk_auth *ticket,
	     const uint8_t *sigTicket, const uint8_t *destination, const uint8_t *source)
{
	uint8_t digest[DIGEST_SIZE];
	bool approved = false;

	crypto_sha1(digest, SPANS(SPAN(ticket->whole, CMK_AUTH_SIZE)));
	for (uint32_t i = 0; i < list->count; i++)
		approved |= certified(tpm, TPM_TAG_CMK_SIGTICKET, list->digests + i * DIGEST_SIZE,
				      digest, sigTicket);
	if (!approved)
		return TPM_MA_TICKET_SIGNATURE;
	if (memcmp(ticket->destinationKeyDigest, destination, DIGEST_SIZE) != 0)
		return TPM_MA_DESTINATION;
	if (memcmp(ticket->sourceKeyDigest, source, DIGEST_SIZE) != 0)
		return TPM_MA_SOURCE;
	return TPM_SUCCESS;
}

/* [Part 3, 11.5] */
TPM_RESULT
tpm_CMK_SetRestrictions(struct command *c)
{
	c->tpm->permanent.restrictDelegate = reader_u32(&c->in);
	c->tpm->changed |= TPM_CHANGED_PERMANENT;
	return TPM_SUCCESS;
}

bool
cmk_may_be_delegated(const struct tpm *tpm, const struct key *key)
{
	static const struct {
		uint16_t usage;
		uint32_t bit;
	} bits[] = {
		{ TPM_KEY_SIGNING, TPM_CMK_DELEGATE_SIGNING },
		{ TPM_KEY_STORAGE, TPM_CMK_DELEGATE_STORAGE },
		{ TPM_KEY_BIND, TPM_CMK_DELEGATE_BIND },
		{ TPM_KEY_LEGACY, TPM_CMK_DELEGATE_LEGACY },
		{ TPM_KEY_MIGRATE, TPM_CMK_DELEGATE_MIGRATE },
	};

	if (!(key->keyFlags & TPM_MIGRATEAUTHORITY))
		return true;
	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if (bits[i].usage == key->keyUsage)
			return tpm->permanent.restrictDelegate & bits[i].bit;
	return false;
}

/* [Part 3, 11.6] */
TPM_RESULT
tpm_CMK_ApproveMA(struct command *c)
{
	uint8_t hmac[DIGEST_SIZE];

	certify(c->tpm, TPM_TAG_CMK_MA_APPROVAL, reader_view(&c->in, DIGEST_SIZE), NULL, hmac);
	writer_bytes(&c->out, hmac, DIGEST_SIZE);
	return TPM_SUCCESS;
}

static TPM_RESULT
check_new_cmk(const struct key *parent, const struct key *key)
{
	const uint32_t both = TPM_MIGRATABLE | TPM_MIGRATEAUTHORITY;

	if (!key->key12)
		return TPM_INVALID_STRUCTURE;
	if (parent->keyUsage != TPM_KEY_STORAGE || key_migratable(parent) ||
	    (key->keyFlags & both) != both || key->keyUsage == TPM_KEY_IDENTITY ||
	    key->keyUsage == TPM_KEY_AUTHCHANGE)
		return TPM_INVALID_KEYUSAGE;
	return key_check_parms(key);
}

/* [Part 3, 11.7] */
TPM_RESULT
tpm_CMK_CreateKey(struct command *c)
{
	const uint8_t *dataUsageAuth = reader_view(&c->in, DIGEST_SIZE);
	struct reader encData;
	struct key key;
	uint8_t enc[CRYPTO_RSA_MAX];
	size_t len;
	TPM_RESULT rc = key_read(&c->in, &key, &encData);
	const uint8_t *approval = reader_view(&c->in, DIGEST_SIZE);
	const uint8_t *msaDigest = reader_view(&c->in, DIGEST_SIZE);

	if (rc == TPM_SUCCESS)
		rc = check_new_cmk(c->key[0], &key);
	if (rc == TPM_SUCCESS &&
	    !certified(c->tpm, TPM_TAG_CMK_MA_APPROVAL, msaDigest, NULL, approval))
		rc = TPM_MA_AUTHORITY;
	if (rc == TPM_SUCCESS)
		rc = auth_decrypt(c, 0, false, dataUsageAuth, key.usageAuth);
	if (rc == TPM_SUCCESS)
		rc = key_generate(c->tpm, &key);
	if (rc)
		return rc;
	pcr_info_at_creation(c, &key.pcr);
	key.payload = TPM_PT_MIGRATE_RESTRICTED;
	key_cmk_auth(c->tpm, &key, msaDigest, key.migrationAuth);
	rc = key_wrap(c->key[0], &key, enc, &len);
	if (rc == TPM_SUCCESS)
		key_write(&c->out, &key, enc, len);
	crypto_wipe(&key, sizeof(key));
	return rc;
}

/* [Part 3, 11.8] */
TPM_RESULT
tpm_CMK_CreateTicket(struct command *c)
{
	struct key key;
	uint8_t verKeyDigest[DIGEST_SIZE], hmac[DIGEST_SIZE];
	TPM_RESULT rc = pubkey_read(&c->in, &key);
	const uint8_t *signedData = reader_view(&c->in, DIGEST_SIZE);
	struct reader signature = reader_sized(&c->in);

	if (rc)
		return rc;
	if (key.parms.encScheme != TPM_ES_NONE)
		return TPM_INAPPROPRIATE_ENC;
	if (!key_signs_digests(&key))
		return TPM_INVALID_KEYUSAGE;
	if (!crypto_rsa_verify_sha1(&key.rsa, signature.pos, signature.left, signedData))
		return TPM_BAD_SIGNATURE;
	key_pubkey_digest(&key, verKeyDigest);
	certify(c->tpm, TPM_TAG_CMK_SIGTICKET, verKeyDigest, signedData, hmac);
	writer_bytes(&c->out, hmac, DIGEST_SIZE);
	return TPM_SUCCESS;
}

/* pHash of a packed CMK: its authorities and what it is. */
static void
cmk_p_hash(const struct msa_list *list, const uint8_t *sourceKeyDigest, uint8_t *pHash)
{
	crypto_sha1(pHash,
		    SPANS(SPAN(list->digest, DIGEST_SIZE), SPAN(sourceKeyDigest, DIGEST_SIZE)));
}

/* Whether the key may go to destination, by the scheme of the owner's migrationKeyAuth. */
static TPM_RESULT
check_destination(struct command *c, uint16_t scheme, const struct msa_list *list,
		  const struct key *migrationKey, const uint8_t *source)
{
	struct reader restrictTicket = reader_sized(&c->in), sigTicket = reader_sized(&c->in);
	uint8_t destination[DIGEST_SIZE];

	key_pubkey_digest(migrationKey, destination);
	if (scheme == TPM_MS_RESTRICT_MIGRATE) {
		if (!listed(list, destination))
			return TPM_MA_TICKET_SIGNATURE;
		return restrictTicket.left == 0 && sigTicket.left == 0 ? TPM_SUCCESS
								       : TPM_BAD_PARAMETER;
	}
	if (scheme != TPM_MS_RESTRICT_APPROVE_DOUBLE)
		return TPM_BAD_PARAMETER;
	if (sigTicket.left != DIGEST_SIZE)
		return TPM_BAD_PARAM_SIZE;
	if (restrictTicket.left != CMK_AUTH_SIZE)
		return TPM_MA_TICKET_SIGNATURE;
	struct cmk_auth ticket = cmk_auth_of(restrictTicket.pos);
	return check_ticket(c->tpm, list, &ticket, sigTicket.pos, destination, source);
}

/* [Part 3, 11.9] */
TPM_RESULT
tpm_CMK_CreateBlob(struct command *c)
{
	struct private_area area = { 0 };
	struct packed packed;
	struct msa_list list;
	struct key migrationKey;
	uint16_t scheme;
	uint8_t pHash[DIGEST_SIZE];

	reader_u16(&c->in); /* migrationType; the scheme that the owner authorized decides */
	TPM_RESULT rc = migration_key_read(c, &migrationKey, &scheme);
	const uint8_t *source = reader_view(&c->in, DIGEST_SIZE);
	struct reader msaList = reader_sized(&c->in);
	if (rc == TPM_SUCCESS && c->key[0]->keyUsage != TPM_KEY_STORAGE)
		rc = TPM_INVALID_KEYUSAGE;
	if (rc == TPM_SUCCESS)
		rc = msa_list_read(msaList, &list);
	if (rc)
		return rc;
	/* The fields behind the tickets, and then the tickets. */
	struct reader ahead = c->in;
	reader_sized(&ahead);
	reader_sized(&ahead);
	rc = private_area_open(c->tpm, &area, c->key[0], reader_sized(&ahead));
	if (rc == TPM_SUCCESS && area.payload != TPM_PT_MIGRATE_RESTRICTED &&
	    area.payload != TPM_PT_MIGRATE_EXTERNAL)
		rc = TPM_INVALID_STRUCTURE;
	if (rc == TPM_SUCCESS &&
	    !certified(c->tpm, TPM_TAG_CMK_MIGAUTH, list.digest, source, area.migrationAuth))
		rc = TPM_MA_AUTHORITY;
	if (rc == TPM_SUCCESS)
		rc = check_destination(c, scheme, &list, &migrationKey, source);
	cmk_p_hash(&list, source, pHash);
	if (rc == TPM_SUCCESS)
		rc = migration_pack(c->tpm, &area, TPM_PT_CMK_MIGRATE, pHash, NULL, &migrationKey,
				    &packed);
	if (rc == TPM_SUCCESS)
		migration_reply(c, &packed);
	crypto_wipe(&packed, sizeof(packed));
	crypto_wipe(&area, sizeof(area));
	return rc;
}

/* [Part 3, 11.10] */
TPM_RESULT
tpm_CMK_ConvertMigration(struct command *c)
{
	const struct key *parent = c->key[0];
	struct cmk_auth ticket = cmk_auth_of(reader_view(&c->in, CMK_AUTH_SIZE));
	const uint8_t *sigTicket = reader_view(&c->in, DIGEST_SIZE);
	uint8_t source[DIGEST_SIZE], destination[DIGEST_SIZE], pHash[DIGEST_SIZE];
	uint8_t whole[DIGEST_SIZE];
	struct private_area area = { 0 };
	struct reader encData;
	struct key key;
	struct msa_list list;
	TPM_RESULT rc = key_read(&c->in, &key, &encData);

	if (rc == TPM_SUCCESS)
		rc = msa_list_read(reader_sized(&c->in), &list);
	if (rc)
		return rc;
	if (parent->keyUsage != TPM_KEY_STORAGE || key_migratable(parent) ||
	    !key_migratable(&key) || !(key.keyFlags & TPM_MIGRATEAUTHORITY))
		return TPM_INVALID_KEYUSAGE;
	key_pubkey_digest(&key, source);
	key_pubkey_digest(parent, destination);
	cmk_p_hash(&list, source, pHash);
	rc = migration_unpack(c->tpm, &area, parent, encData, reader_sized(&c->in),
			      TPM_PT_CMK_MIGRATE);
	if (rc == TPM_SUCCESS && !crypto_equal(pHash, area.migrationAuth, DIGEST_SIZE))
		rc = TPM_AUTHFAIL;
	key_public_digest(&key, whole);
	if (rc == TPM_SUCCESS && !crypto_equal(whole, area.pubDataDigest, DIGEST_SIZE))
		rc = TPM_INVALID_STRUCTURE;
	if (rc == TPM_SUCCESS)
		rc = check_ticket(c->tpm, &list, &ticket, sigTicket, destination, source);
	area.payload = TPM_PT_MIGRATE_EXTERNAL;
	certify(c->tpm, TPM_TAG_CMK_MIGAUTH, list.digest, source, area.migrationAuth);
	if (rc == TPM_SUCCESS)
		rc = private_area_close(c, &area, parent);
	crypto_wipe(&area, sizeof(area));
	return rc;
}
