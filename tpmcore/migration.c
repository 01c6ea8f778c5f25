/* Key migration [TPM Main Part 3, 11]. */
#include "tpmcore/migration.h"

#include "tpmcore/commands.h"

enum {
	SEED_SIZE = DIGEST_SIZE,     /* k1, the part of the private key that is the OAEP seed */
	OAEP_SIZE = 2 * DIGEST_SIZE, /* seed and pHash in front of the message */
};

TPM_RESULT
private_area_open(const struct tpm *tpm, struct private_area *a, const struct key *parent,
		  struct reader encData)
{
	uint8_t buf[CRYPTO_RSA_MAX];
	size_t len;
	TPM_RESULT rc = key_decrypt(tpm, parent, buf, &len, encData);

	if (rc)
		return rc;
	struct reader r = reader_of(buf, len);
	a->payload = reader_u8(&r);
	reader_bytes(&r, a->usageAuth, DIGEST_SIZE);
	reader_bytes(&r, a->migrationAuth, DIGEST_SIZE);
	reader_bytes(&r, a->pubDataDigest, DIGEST_SIZE);
	struct reader privKey = r;
	reader_sized(&r);
	a->privKey_len = privKey.left;
	if (!reader_done(&r) || privKey.left < SEED_SIZE || privKey.left > sizeof(a->privKey))
		rc = TPM_INVALID_STRUCTURE;
	else
		reader_bytes(&privKey, a->privKey, privKey.left);
	crypto_wipe(buf, sizeof(buf));
	return rc;
}

TPM_RESULT
private_area_close(struct command *c, const struct private_area *a, const struct key *parent)
{
	uint8_t buf[CRYPTO_RSA_MAX], enc[CRYPTO_RSA_MAX];
	struct writer w = writer_of(buf, sizeof(buf));
	size_t len;

	writer_u8(&w, a->payload);
	writer_bytes(&w, a->usageAuth, DIGEST_SIZE);
	writer_bytes(&w, a->migrationAuth, DIGEST_SIZE);
	writer_bytes(&w, a->pubDataDigest, DIGEST_SIZE);
	writer_bytes(&w, a->privKey, a->privKey_len);
	TPM_RESULT rc = key_encrypt(parent, enc, &len, buf, w.len);
	crypto_wipe(buf, sizeof(buf));
	if (rc == TPM_SUCCESS)
		writer_sized(&c->out, enc, len);
	return rc;
}

TPM_RESULT
migration_pack(struct tpm *tpm, const struct private_area *a, uint8_t payload, const uint8_t *pHash,
	       const uint8_t *mask_seed, const struct key *destination, struct packed *p)
{
	uint8_t m[CRYPTO_RSA_MAX], o[CRYPTO_RSA_MAX];
	struct writer w = writer_of(m, sizeof(m));
	TPM_RESULT rc = TPM_SUCCESS;

	writer_u8(&w, payload);
	writer_bytes(&w, a->usageAuth, DIGEST_SIZE);
	writer_bytes(&w, a->pubDataDigest, DIGEST_SIZE);
	writer_sized(&w, a->privKey + SEED_SIZE, a->privKey_len - SEED_SIZE);
	p->size = OAEP_SIZE + 1 + w.len;
	if (mask_seed)
		crypto_mgf1(p->random, p->size, mask_seed, DIGEST_SIZE);
	else
		rc = tpm_random(tpm, p->random, p->size);
	if (rc == TPM_SUCCESS && crypto_oaep_encode(o, p->size, m, w.len, pHash, a->privKey))
		rc = TPM_FAIL;
	for (size_t i = 0; rc == TPM_SUCCESS && i < p->size; i++)
		o[i] ^= p->random[i];
	if (rc == TPM_SUCCESS)
		rc = key_encrypt(destination, p->enc, &p->len, o, p->size);
	crypto_wipe(m, sizeof(m));
	crypto_wipe(o, sizeof(o));
	return rc;
}

void
migration_reply(struct command *c, const struct packed *p)
{
	writer_sized(&c->out, p->random, p->size);
	writer_sized(&c->out, p->enc, p->len);
}

/* TPM_MIGRATE_ASYMKEY and the seed, put together again. */
static TPM_RESULT
read_packed(struct private_area *a, struct reader m, const uint8_t *seed, uint8_t payload)
{
	struct writer w = writer_of(a->privKey, sizeof(a->privKey));

	a->payload = reader_u8(&m);
	if (a->payload != TPM_PT_MIGRATE && a->payload != TPM_PT_MAINT &&
	    a->payload != TPM_PT_CMK_MIGRATE)
		return TPM_INVALID_STRUCTURE;
	if (a->payload != payload)
		return TPM_BAD_MIGRATION;
	reader_bytes(&m, a->usageAuth, DIGEST_SIZE);
	reader_bytes(&m, a->pubDataDigest, DIGEST_SIZE);
	struct reader part = reader_sized(&m);
	writer_bytes(&w, seed, SEED_SIZE);
	writer_bytes(&w, part.pos, part.left);
	a->privKey_len = w.len;
	/* The seed begins with the size of the private key. */
	struct reader whole = reader_of(a->privKey, w.len);
	reader_sized(&whole);
	return reader_done(&m) && reader_done(&whole) ? TPM_SUCCESS : TPM_BAD_PARAM_SIZE;
}

TPM_RESULT
migration_unpack(const struct tpm *tpm, struct private_area *a, const struct key *parent,
		 struct reader inData, struct reader random, uint8_t payload)
{
	uint8_t o[CRYPTO_RSA_MAX], m[CRYPTO_RSA_MAX], seed[SEED_SIZE];
	size_t size, len;
	TPM_RESULT rc = key_decrypt(tpm, parent, o, &size, inData);

	if (rc == TPM_SUCCESS && size != random.left)
		rc = TPM_BAD_PARAMETER;
	for (size_t i = 0; rc == TPM_SUCCESS && i < size; i++)
		o[i] ^= random.pos[i];
	if (rc == TPM_SUCCESS && crypto_oaep_decode(o, size, m, &len, a->migrationAuth, seed))
		rc = TPM_DECRYPT_ERROR;
	if (rc == TPM_SUCCESS)
		rc = read_packed(a, reader_of(m, len), seed, payload);
	crypto_wipe(o, sizeof(o));
	crypto_wipe(m, sizeof(m));
	crypto_wipe(seed, sizeof(seed));
	return rc;
}

/* The digest of a TPM_MIGRATIONKEYAUTH over its key and scheme, known to this TPM alone. */
static void
migration_key_digest(const struct tpm *tpm, struct span key_and_scheme, uint8_t *digest)
{
	crypto_sha1(digest, SPANS(key_and_scheme, SPAN(tpm->permanent.tpmProof, DIGEST_SIZE)));
}

TPM_RESULT
migration_key_read(struct command *c, struct key *migrationKey, uint16_t *scheme)
{
	const uint8_t *start = c->in.pos;
	uint8_t digest[DIGEST_SIZE], expected[DIGEST_SIZE];
	TPM_RESULT rc = pubkey_read(&c->in, migrationKey);

	*scheme = reader_u16(&c->in);
	migration_key_digest(c->tpm, SPAN(start, (size_t)(c->in.pos - start)), expected);
	reader_bytes(&c->in, digest, DIGEST_SIZE);
	if (rc)
		return rc;
	return crypto_equal(digest, expected, DIGEST_SIZE) ? TPM_SUCCESS : TPM_AUTHFAIL;
}

/* TPM_MS_MIGRATE: in two parts, neither of which is of use alone. */
static TPM_RESULT
migrate(struct command *c, const struct private_area *a, const struct key *destination)
{
	struct packed packed;
	TPM_RESULT rc =
	    migration_pack(c->tpm, a, TPM_PT_MIGRATE, a->migrationAuth, NULL, destination, &packed);

	if (rc == TPM_SUCCESS)
		migration_reply(c, &packed);
	crypto_wipe(&packed, sizeof(packed));
	return rc;
}

/* TPM_MS_REWRAP: the private area as it is, for another parent; there are no random bytes. */
static TPM_RESULT
rewrap(struct command *c, const struct private_area *a, const struct key *destination)
{
	writer_u32(&c->out, 0);
	return private_area_close(c, a, destination);
}

/* [Part 3, 11.1] */
TPM_RESULT
tpm_CreateMigrationBlob(struct command *c)
{
	uint16_t migrationType = reader_u16(&c->in), scheme;
	unsigned entity = c->auth_count - 1;
	struct private_area area;
	struct key migrationKey;
	TPM_RESULT ticket_rc = migration_key_read(c, &migrationKey, &scheme), rc;

	if (c->key[0]->keyUsage != TPM_KEY_STORAGE)
		return TPM_INVALID_KEYUSAGE;
	if (c->auth[entity].session->protocol != TPM_PID_OIAP)
		return TPM_BAD_MODE;
	rc = private_area_open(c->tpm, &area, c->key[0], reader_sized(&c->in));
	if (rc == TPM_SUCCESS && area.payload != TPM_PT_ASYM)
		rc = TPM_BAD_MIGRATION;
	if (rc == TPM_SUCCESS)
		rc = auth_verify(c, entity, entity_data(area.migrationAuth));
	if (rc == TPM_SUCCESS)
		rc = ticket_rc;
	if (rc == TPM_SUCCESS && migrationType == TPM_MS_MIGRATE)
		rc = migrate(c, &area, &migrationKey);
	else if (rc == TPM_SUCCESS && migrationType == TPM_MS_REWRAP)
		rc = rewrap(c, &area, &migrationKey);
	else if (rc == TPM_SUCCESS)
		rc = TPM_BAD_PARAMETER;
	crypto_wipe(&area, sizeof(area));
	return rc;
}

/* [Part 3, 11.2] */
TPM_RESULT
tpm_ConvertMigrationBlob(struct command *c)
{
	struct reader inData = reader_sized(&c->in), random = reader_sized(&c->in);
	struct private_area area;
	TPM_RESULT rc = TPM_INVALID_KEYUSAGE;

	if (c->key[0]->keyUsage == TPM_KEY_STORAGE)
		rc = migration_unpack(c->tpm, &area, c->key[0], inData, random, TPM_PT_MIGRATE);
	if (rc)
		return rc;
	area.payload = TPM_PT_ASYM;
	rc = private_area_close(c, &area, c->key[0]);
	crypto_wipe(&area, sizeof(area));
	return rc;
}

/* [Part 3, 11.3] */
TPM_RESULT
tpm_AuthorizeMigrationKey(struct command *c)
{
	struct reader scheme = reader_of(reader_view(&c->in, 2), 2);
	size_t key_len = c->in.left;
	const uint8_t *key_at = c->in.pos;
	uint8_t digest[DIGEST_SIZE];
	struct key key;
	TPM_RESULT rc = pubkey_read(&c->in, &key);

	if (rc)
		return rc;
	if (key.parms.keyLength < 2048)
		return TPM_BAD_KEY_PROPERTY;
	if (key.parms.encScheme != TPM_ES_RSAESOAEP_SHA1_MGF1)
		return TPM_INAPPROPRIATE_ENC;
	size_t at = c->out.len;
	writer_bytes(&c->out, key_at, key_len);
	writer_bytes(&c->out, scheme.pos, scheme.left);
	if (c->out.failed)
		return TPM_SIZE;
	migration_key_digest(c->tpm, SPAN(c->out.buf + at, c->out.len - at), digest);
	writer_bytes(&c->out, digest, DIGEST_SIZE);
	return TPM_SUCCESS;
}

/* [Part 3, 11.4] */
TPM_RESULT
tpm_MigrateKey(struct command *c)
{
	struct key destination;
	uint8_t buf[CRYPTO_RSA_MAX], enc[CRYPTO_RSA_MAX];
	size_t len, enc_len = 0;
	TPM_RESULT rc = pubkey_read(&c->in, &destination);
	bool pkcs1 = destination.parms.encScheme == TPM_ES_RSAESPKCSv15;

	if (rc)
		return rc;
	if (c->key[0]->keyUsage != TPM_KEY_MIGRATE)
		return TPM_INVALID_KEYUSAGE;
	if (!pkcs1 && destination.parms.encScheme != TPM_ES_RSAESOAEP_SHA1_MGF1)
		return TPM_INAPPROPRIATE_ENC;
	rc = key_decrypt(c->tpm, c->key[0], buf, &len, reader_sized(&c->in));
	if (rc == TPM_SUCCESS && !pkcs1)
		rc = key_encrypt(&destination, enc, &enc_len, buf, len);
	else if (rc == TPM_SUCCESS)
		rc = crypto_rsa_encrypt_pkcs1(&destination.rsa, enc, buf, len) ? TPM_ENCRYPT_ERROR
									       : TPM_SUCCESS;
	crypto_wipe(buf, sizeof(buf));
	if (rc == TPM_SUCCESS)
		writer_sized(&c->out, enc, destination.rsa.n_len);
	return rc;
}
