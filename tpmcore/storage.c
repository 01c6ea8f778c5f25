/* Storage functions [TPM Main Part 3, 10]. */
#include "tpmcore/commands.h"

/* ADIP's high byte of an entity type in a TPM_STORED_DATA12; 0 with no TPM_ET_KEY: TPM_Seal made
 * it. */
#define SEALX_ENTITY(encryption) ((uint16_t)((encryption) << 8 | TPM_ET_KEY))

enum { STORED_DATA_VERSION = 0x0101 }; /* major and minor of a TPM_STORED_DATA's ver */

/* The part of TPM_STORED_DATA, TPM_STORED_DATA12 before encDataSize [Part 2, 9.1 and 9.2]. */
struct stored_data {
	bool tagged;           /* TPM_STORED_DATA12 */
	uint16_t head;         /* tag, or STORED_DATA_VERSION */
	uint16_t et;           /* of the tagged form; else the rest of ver, 0 */
	struct reader pcr;     /* sealInfo */
	struct reader encData; /* a view */
};

static void
stored_data_write_head(struct writer *w, const struct stored_data *s)
{
	writer_u16(w, s->head);
	writer_u16(w, s->et);
	writer_sized(w, s->pcr.pos, s->pcr.left);
}

static void
stored_data_read(struct reader *r, struct stored_data *s)
{
	s->head = reader_u16(r);
	s->tagged = s->head == TPM_TAG_STORED_DATA12;
	s->et = reader_u16(r);
	s->pcr = reader_sized(r);
	s->encData = reader_sized(r);
}

static void
stored_data_digest(const struct stored_data *s, uint8_t *digest)
{
	uint8_t head[256];
	struct writer w = writer_of(head, sizeof(head));

	stored_data_write_head(&w, s);
	crypto_sha1(digest, SPANS(SPAN(head, w.len)));
}

/* A key that may hold data: only one that can never leave this TPM. */
static TPM_RESULT
check_sealing_key(const struct key *key)
{
	return key->keyUsage == TPM_KEY_STORAGE && !key_migratable(key) ? TPM_SUCCESS
									: TPM_INVALID_KEYUSAGE;
}

/* What TPM_Sealx and TPM_Unseal encrypt data with, in place [Part 3, 10.7]. */
static TPM_RESULT
crypt_sealx_data(const struct command *c, uint8_t *data, size_t len)
{
	const struct auth *a = &c->auth[0];
	uint8_t iv[DIGEST_SIZE], seed[3 * DIGEST_SIZE + 3], pad[CRYPTO_RSA_MAX];
	struct writer w = writer_of(seed, sizeof(seed));

	if (len > sizeof(pad))
		return TPM_BAD_DATASIZE;
	if (a->session->encryption == TPM_ET_AES) {
		crypto_sha1(
		    iv, SPANS(SPAN(a->lastNonceEven, DIGEST_SIZE), SPAN(a->nonceOdd, DIGEST_SIZE)));
		return crypto_aes_ctr(data, data, len, a->secret, iv) ? TPM_FAIL : TPM_SUCCESS;
	}
	writer_bytes(&w, a->lastNonceEven, DIGEST_SIZE);
	writer_bytes(&w, a->nonceOdd, DIGEST_SIZE);
	writer_bytes(&w, "XOR", 3);
	writer_bytes(&w, a->secret, DIGEST_SIZE);
	crypto_mgf1(pad, len, seed, w.len);
	for (size_t i = 0; i < len; i++)
		data[i] ^= pad[i];
	return TPM_SUCCESS;
}

/* Encrypts the TPM_SEALED_DATA of data and writes the whole TPM_STORED_DATA. */
static TPM_RESULT
seal(struct command *c, const struct stored_data *stored, const uint8_t *authData,
     struct reader data)
{
	struct sealed_data sealed = { .payload = TPM_PT_SEAL, .data = data };
	uint8_t buf[CRYPTO_RSA_MAX], enc[CRYPTO_RSA_MAX];
	struct writer w = writer_of(buf, sizeof(buf));
	size_t len;

	memcpy(sealed.authData, authData, DIGEST_SIZE);
	memcpy(sealed.tpmProof, c->tpm->permanent.tpmProof, DIGEST_SIZE);
	stored_data_digest(stored, sealed.storedDigest);
	sealed_data_write(&w, &sealed);
	TPM_RESULT rc = TPM_BAD_DATASIZE;
	if (!w.failed && w.len + CRYPTO_OAEP_OVERHEAD <= c->key[0]->rsa.n_len)
		rc = key_encrypt(c->key[0], enc, &len, buf, w.len);
	if (rc == TPM_SUCCESS) {
		stored_data_write_head(&c->out, stored);
		writer_sized(&c->out, enc, len);
	}
	crypto_wipe(buf, sizeof(buf));
	crypto_wipe(&sealed, sizeof(sealed));
	return rc;
}

/* TPM_Seal and TPM_Sealx, which differ in the encryption of inData on its way. */
static TPM_RESULT
seal_command(struct command *c, bool sealx)
{
	const uint8_t *encAuth = reader_view(&c->in, DIGEST_SIZE);
	struct reader pcrInfo = reader_sized(&c->in), inData = reader_sized(&c->in);
	bool is_long =
	    pcrInfo.left >= 2 && pcrInfo.pos[0] == 0 && pcrInfo.pos[1] == TPM_TAG_PCR_INFO_LONG;
	struct stored_data stored = { .tagged = is_long || sealx };
	uint8_t authData[DIGEST_SIZE], data[CRYPTO_RSA_MAX], info[128];
	struct writer w = writer_of(info, sizeof(info));
	struct pcr_info pcr;

	if (inData.left == 0)
		return TPM_BAD_PARAMETER;
	if ((sealx && pcrInfo.left > 0 && !is_long) ||
	    pcr_info_read(&pcrInfo, is_long, &pcr) != TPM_SUCCESS)
		return TPM_BADINDEX;
	if (inData.left > sizeof(data))
		return TPM_BAD_DATASIZE;
	TPM_RESULT rc = check_sealing_key(c->key[0]);
	if (rc == TPM_SUCCESS)
		rc = auth_decrypt(c, 0, false, encAuth, authData);
	if (rc)
		return rc;
	pcr_info_at_creation(c, &pcr);
	pcr_info_write(&w, &pcr);
	stored.head = stored.tagged ? TPM_TAG_STORED_DATA12 : STORED_DATA_VERSION;
	stored.pcr = reader_of(info, w.len);
	memcpy(data, inData.pos, inData.left);
	if (sealx) {
		stored.et = SEALX_ENTITY(c->auth[0].session->encryption);
		rc = crypt_sealx_data(c, data, inData.left);
	}
	if (rc == TPM_SUCCESS)
		rc = seal(c, &stored, authData, reader_of(data, inData.left));
	crypto_wipe(authData, sizeof(authData));
	crypto_wipe(data, sizeof(data));
	return rc;
}

TPM_RESULT
tpm_Seal(struct command *c)
{
	return seal_command(c, false);
}

TPM_RESULT
tpm_Sealx(struct command *c)
{
	return seal_command(c, true);
}

/* Checks that sealed, decrypted, is this TPM's and belongs to stored, and that it may be released
 * now. */
static TPM_RESULT
check_release(struct command *c, const struct stored_data *stored, const struct sealed_data *sealed)
{
	uint8_t digest[DIGEST_SIZE];
	struct reader info = stored->pcr;
	struct pcr_info pcr;

	stored_data_digest(stored, digest);
	if (sealed->payload != TPM_PT_SEAL ||
	    !crypto_equal(sealed->tpmProof, c->tpm->permanent.tpmProof, DIGEST_SIZE) ||
	    !crypto_equal(sealed->storedDigest, digest, DIGEST_SIZE))
		return TPM_NOTSEALED_BLOB;
	if (pcr_info_read(&info, stored->tagged, &pcr) != TPM_SUCCESS)
		return TPM_NOTSEALED_BLOB;
	TPM_RESULT rc = pcr_check_info(c, &pcr);
	return rc ? rc : auth_verify(c, c->auth_count - 1, entity_data(sealed->authData));
}

/* The data of TPM_Sealx goes out as it came in: encrypted by the parent's session. */
static TPM_RESULT
check_sealx_session(const struct command *c, uint16_t et)
{
	if (c->auth_count < 2)
		return TPM_AUTHFAIL;
	if (c->auth[0].session->protocol == TPM_PID_OIAP)
		return TPM_BAD_MODE;
	return SEALX_ENTITY(c->auth[0].session->encryption) == et ? TPM_SUCCESS : TPM_BAD_TYPE;
}

TPM_RESULT
tpm_Unseal(struct command *c)
{
	struct stored_data stored;
	struct sealed_data sealed;
	uint8_t buf[CRYPTO_RSA_MAX];
	size_t len;

	stored_data_read(&c->in, &stored);
	TPM_RESULT rc = check_sealing_key(c->key[0]);
	if (rc == TPM_SUCCESS && !stored.tagged && stored.head != STORED_DATA_VERSION)
		rc = TPM_BAD_VERSION;
	if (rc == TPM_SUCCESS && stored.pcr.left > 200)
		rc = TPM_NOTSEALED_BLOB;
	if (rc == TPM_SUCCESS)
		rc = key_decrypt(c->tpm, c->key[0], buf, &len, stored.encData);
	if (rc)
		return rc;
	struct reader r = reader_of(buf, len);
	sealed_data_read(&r, &sealed);
	rc = reader_done(&r) ? check_release(c, &stored, &sealed) : TPM_NOTSEALED_BLOB;
	if (rc == TPM_SUCCESS && stored.tagged && stored.et != 0)
		rc = check_sealx_session(c, stored.et);
	if (rc == TPM_SUCCESS) {
		size_t at = c->out.len + 4;

		writer_sized(&c->out, sealed.data.pos, sealed.data.left);
		if (stored.tagged && stored.et != 0)
			rc = crypt_sealx_data(c, c->out.buf + at, sealed.data.left);
	}
	crypto_wipe(buf, sizeof(buf));
	crypto_wipe(&sealed, sizeof(sealed));
	return rc;
}

/* The message inside a TPM_BOUND_DATA [Part 2, 9.5]. */
static TPM_RESULT
strip_bound_data(struct reader *message)
{
	const uint8_t *head = reader_view(message, 4 + 1); /* ver, payload */

	/* The revision in a TPM_STRUCT_VER is ignored on input [Part 2, 5.1]. */
	return head && head[0] == 1 && head[1] == 1 && head[4] == TPM_PT_BIND
		   ? TPM_SUCCESS
		   : TPM_INVALID_STRUCTURE;
}

TPM_RESULT
tpm_UnBind(struct command *c)
{
	const struct key *key = c->key[0];
	struct reader inData = reader_sized(&c->in);
	bool oaep = key->parms.encScheme == TPM_ES_RSAESOAEP_SHA1_MGF1;
	uint8_t buf[CRYPTO_RSA_MAX];
	size_t len;
	TPM_RESULT rc = TPM_SUCCESS;

	if (key->keyUsage != TPM_KEY_BIND && key->keyUsage != TPM_KEY_LEGACY)
		return TPM_INVALID_KEYUSAGE;
	if (inData.left == 0)
		return TPM_BAD_PARAMETER;
	if (oaep)
		rc = key_decrypt(c->tpm, key, buf, &len, inData);
	else if (crypto_rsa_decrypt_pkcs1(&key->rsa, buf, &len, inData.pos, inData.left,
					  &c->tpm->cancel))
		rc = TPM_DECRYPT_ERROR;
	if (rc)
		return rc;
	struct reader message = reader_of(buf, len);
	/* A legacy key with PKCS #1 v1.5 takes messages of any software, without structure. */
	if (oaep || key->keyUsage == TPM_KEY_BIND)
		rc = strip_bound_data(&message);
	if (rc == TPM_SUCCESS)
		writer_sized(&c->out, message.pos, message.left);
	crypto_wipe(buf, sizeof(buf));
	return rc;
}

static TPM_RESULT
check_new_key(const struct key *parent, const struct key *key)
{
	if (parent->keyUsage != TPM_KEY_STORAGE || key->keyUsage == TPM_KEY_IDENTITY ||
	    key->keyUsage == TPM_KEY_AUTHCHANGE)
		return TPM_INVALID_KEYUSAGE;
	if (key_migratable(parent) && !key_migratable(key))
		return TPM_INVALID_KEYUSAGE;
	if (key->keyFlags & TPM_MIGRATEAUTHORITY)
		return TPM_INVALID_KEYUSAGE;
	return key_check_parms(key);
}

TPM_RESULT
key_create(struct command *c, struct key *key)
{
	uint8_t enc[CRYPTO_RSA_MAX];
	size_t len;
	TPM_RESULT rc;

	pcr_info_at_creation(c, &key->pcr);
	rc = key_generate(c->tpm, key);
	if (rc == TPM_SUCCESS)
		rc = key_wrap(c->key[0], key, enc, &len);
	if (rc == TPM_SUCCESS)
		key_write(&c->out, key, enc, len);
	return rc;
}

TPM_RESULT
tpm_CreateWrapKey(struct command *c)
{
	const uint8_t *dataUsageAuth = reader_view(&c->in, DIGEST_SIZE);
	const uint8_t *dataMigrationAuth = reader_view(&c->in, DIGEST_SIZE);
	struct reader encData;
	struct key key;
	TPM_RESULT rc = key_read(&c->in, &key, &encData);

	if (rc == TPM_SUCCESS)
		rc = check_new_key(c->key[0], &key);
	if (rc == TPM_SUCCESS)
		rc = auth_decrypt(c, 0, false, dataUsageAuth, key.usageAuth);
	if (rc == TPM_SUCCESS && key_migratable(&key))
		rc = auth_decrypt(c, 0, true, dataMigrationAuth, key.migrationAuth);
	else
		memcpy(key.migrationAuth, c->tpm->permanent.tpmProof, DIGEST_SIZE);
	key.payload = TPM_PT_ASYM;
	if (rc == TPM_SUCCESS)
		rc = key_create(c, &key);
	crypto_wipe(&key, sizeof(key));
	return rc;
}

/* Checks a key that was unwrapped: that it is one this TPM or another made for this place. */
static TPM_RESULT
check_loaded_key(const struct command *c, const struct key *key)
{
	switch (key->payload) {
	case TPM_PT_ASYM:
		if (!key_migratable(key) &&
		    !crypto_equal(key->migrationAuth, c->tpm->permanent.tpmProof, DIGEST_SIZE))
			return TPM_INVALID_KEYUSAGE;
		if (key->keyFlags & TPM_MIGRATEAUTHORITY)
			return TPM_INVALID_KEYUSAGE;
		break;
	case TPM_PT_MIGRATE_RESTRICTED:
	case TPM_PT_MIGRATE_EXTERNAL:
		if (!key_migratable(key) || !(key->keyFlags & TPM_MIGRATEAUTHORITY))
			return TPM_INVALID_KEYUSAGE;
		break;
	default:
		return TPM_INVALID_KEYUSAGE;
	}
	if (key->keyUsage == TPM_KEY_AUTHCHANGE ||
	    (key->keyUsage == TPM_KEY_IDENTITY && key_migratable(key)))
		return TPM_INVALID_KEYUSAGE;
	return key_check_parms(key);
}

static TPM_RESULT
load_key(struct command *c)
{
	const struct key *parent = c->key[0];
	struct reader encData;
	struct key key;
	TPM_RESULT rc = key_read(&c->in, &key, &encData);

	if (rc == TPM_SUCCESS && parent->keyUsage != TPM_KEY_STORAGE)
		rc = TPM_INVALID_KEYUSAGE;
	if (rc == TPM_SUCCESS && key.rsa.n_len != key.parms.keyLength / 8)
		rc = TPM_BAD_KEY_PROPERTY;
	if (rc == TPM_SUCCESS)
		rc = key_unwrap(c->tpm, parent, &key, encData);
	if (rc == TPM_SUCCESS)
		rc = check_loaded_key(c, &key);
	struct key_slot *slot = rc == TPM_SUCCESS ? key_slot_new(c->tpm) : NULL;
	if (rc == TPM_SUCCESS && !slot)
		rc = TPM_NOSPACE;
	if (slot) {
		slot->key = key;
		slot->parentPCRStatus = parent->pcr.form != PCR_INFO_NONE ||
					(c->slot[0] && c->slot[0]->parentPCRStatus);
		writer_u32(&c->out, slot->handle);
	}
	crypto_wipe(&key, sizeof(key));
	return rc;
}

TPM_RESULT
tpm_LoadKey(struct command *c)
{
	TPM_RESULT rc = load_key(c);

	/* Unlike TPM_LoadKey2, its response authorization covers the handle. */
	if (rc == TPM_SUCCESS && !c->out.failed) {
		command_out_digest(c, SPAN(c->out.buf, c->out.len), c->out_digest);
		c->has_out_digest = true;
	}
	return rc;
}

TPM_RESULT
tpm_LoadKey2(struct command *c)
{
	return load_key(c);
}

TPM_RESULT
tpm_GetPubKey(struct command *c)
{
	const struct key *key = c->key[0];

	if (c->handle[0] == TPM_KH_SRK && !PERMANENT_FLAG(c->tpm, READSRKPUB))
		return TPM_INVALID_KEYHANDLE;
	TPM_RESULT rc = key->keyFlags & TPM_PCRIGNOREDONREAD ? TPM_SUCCESS : key_check_pcr(c, key);
	if (rc == TPM_SUCCESS)
		key_pubkey_write(&c->out, key);
	return rc;
}
