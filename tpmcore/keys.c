#include "tpmcore/core.h"

static const uint8_t oaep_label[4] = { 'T', 'C', 'P', 'A' };

struct key *
key_find(struct tpm *tpm, uint32_t handle, struct key_slot **slot)
{
	if (slot)
		*slot = NULL;
	if (handle == TPM_KH_SRK)
		return tpm->permanent.owner_installed ? &tpm->permanent.srk : NULL;
	for (struct key_slot *k = tpm->keys; k < tpm->keys + MAX_KEYS; k++) {
		if (k->handle == 0 || k->handle != handle)
			continue;
		if (slot)
			*slot = k;
		return &k->key;
	}
	return NULL;
}

TPM_RESULT
key_not_found(uint32_t handle)
{
	if (handle == TPM_KH_EK)
		return TPM_KEYNOTFOUND;
	return handle > TPM_KH_SRK && handle < TPM_KH_EK ? TPM_INVALID_RESOURCE
							 : TPM_INVALID_KEYHANDLE;
}

static bool
key_handle_in_use(struct tpm *tpm, uint32_t handle)
{
	return key_find(tpm, handle, NULL) != NULL;
}

struct key_slot *
key_slot_new(struct tpm *tpm)
{
	for (struct key_slot *k = tpm->keys; k < tpm->keys + MAX_KEYS; k++) {
		if (k->handle != 0)
			continue;
		memset(k, 0, sizeof(*k));
		k->handle = tpm_new_handle(tpm, TPM_RT_KEY, key_handle_in_use);
		return k;
	}
	return NULL;
}

void
key_slot_free(struct key_slot *slot)
{
	crypto_wipe(slot, sizeof(*slot));
}

bool
key_migratable(const struct key *key)
{
	return key->keyFlags & TPM_MIGRATABLE;
}

/*
 * The schemes that a usage allows [Part 2, 5.8.1], and the least size of its keys. Those that hold
 * or vouch for others, 2048 bits long, have the default exponent too [Part 3, 10.4 and 15.1].
 */
static const struct usage {
	uint16_t usage;
	uint16_t min_bits;
	uint16_t encSchemes[3];
	uint16_t sigSchemes[4];
} usages[] = {
	{ TPM_KEY_SIGNING,
	  512,
	  { TPM_ES_NONE },
	  { TPM_SS_RSASSAPKCS1v15_SHA1, TPM_SS_RSASSAPKCS1v15_DER, TPM_SS_RSASSAPKCS1v15_INFO } },
	{ TPM_KEY_STORAGE, 2048, { TPM_ES_RSAESOAEP_SHA1_MGF1 }, { TPM_SS_NONE } },
	{ TPM_KEY_IDENTITY, 2048, { TPM_ES_NONE }, { TPM_SS_RSASSAPKCS1v15_SHA1 } },
	{ TPM_KEY_AUTHCHANGE, 512, { TPM_ES_RSAESOAEP_SHA1_MGF1 }, { TPM_SS_NONE } },
	{ TPM_KEY_BIND, 512, { TPM_ES_RSAESOAEP_SHA1_MGF1, TPM_ES_RSAESPKCSv15 }, { TPM_SS_NONE } },
	{ TPM_KEY_LEGACY,
	  512,
	  { TPM_ES_RSAESOAEP_SHA1_MGF1, TPM_ES_RSAESPKCSv15 },
	  { TPM_SS_RSASSAPKCS1v15_SHA1, TPM_SS_RSASSAPKCS1v15_DER } },
	{ TPM_KEY_MIGRATE, 2048, { TPM_ES_RSAESOAEP_SHA1_MGF1 }, { TPM_SS_NONE } },
};

#define ALL_KEY_FLAGS                                                                              \
	(uint32_t)(TPM_REDIRECTION | TPM_MIGRATABLE | TPM_VOLATILE | TPM_PCRIGNOREDONREAD |        \
		   TPM_MIGRATEAUTHORITY)

static bool
listed(const uint16_t *list, size_t count, uint16_t value)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] != 0 && list[i] == value)
			return true;
	return false;
}

static bool
exponent_allowed(const struct usage *u, uint32_t e)
{
	if (u->min_bits == 2048)
		return e == 65537;
	return e == 3 || e == 5 || e == 7 || e == 17 || e == 257 || e == 65537;
}

TPM_RESULT
key_check_parms(const struct key *key)
{
	const struct key_parms *p = &key->parms;
	const struct usage *u = usages;

	if (p->algorithmID != TPM_ALG_RSA)
		return TPM_BAD_KEY_PROPERTY;
	while (u->usage != key->keyUsage)
		if (++u == usages + sizeof(usages) / sizeof(usages[0]))
			return TPM_INVALID_KEYUSAGE;
	if (!listed(u->encSchemes, 3, p->encScheme) || !listed(u->sigSchemes, 4, p->sigScheme) ||
	    key->keyFlags & ~ALL_KEY_FLAGS)
		return TPM_BAD_KEY_PROPERTY;
	if (p->keyLength < u->min_bits || p->keyLength > CRYPTO_RSA_MAX * 8 || p->keyLength % 16 ||
	    p->numPrimes != 2 || !exponent_allowed(u, p->exponent))
		return TPM_BAD_KEY_PROPERTY;
	return TPM_SUCCESS;
}

TPM_RESULT
key_generate(struct tpm *tpm, struct key *key)
{
	return crypto_rsa_generate(&key->rsa, key->parms.keyLength, key->parms.exponent,
				   &tpm->cancel)
		   ? TPM_FAIL
		   : TPM_SUCCESS;
}

TPM_RESULT
key_wrap(const struct key *parent, const struct key *key, uint8_t *enc, size_t *len)
{
	uint8_t buf[CRYPTO_RSA_MAX];
	struct writer w = writer_of(buf, sizeof(buf));

	key_store_write(&w, key);
	TPM_RESULT rc = key_encrypt(parent, enc, len, buf, w.len);
	crypto_wipe(buf, sizeof(buf));
	return rc;
}

TPM_RESULT
key_unwrap(const struct tpm *tpm, const struct key *parent, struct key *key, struct reader enc)
{
	uint8_t buf[CRYPTO_RSA_MAX];
	size_t len;
	TPM_RESULT rc = key_decrypt(tpm, parent, buf, &len, enc);

	if (rc == TPM_SUCCESS) {
		struct reader r = reader_of(buf, len);
		rc = key_store_read(&r, key, &tpm->cancel);
	}
	crypto_wipe(buf, sizeof(buf));
	return rc;
}

TPM_RESULT
key_encrypt(const struct key *key, uint8_t *out, size_t *len, const void *in, size_t in_len)
{
	int err =
	    crypto_rsa_encrypt_oaep(&key->rsa, out, in, in_len, oaep_label, sizeof(oaep_label));

	*len = key->rsa.n_len;
	return err ? TPM_ENCRYPT_ERROR : TPM_SUCCESS;
}

TPM_RESULT
key_decrypt(const struct tpm *tpm, const struct key *key, uint8_t *out, size_t *len,
	    struct reader in)
{
	int err = crypto_rsa_decrypt_oaep(&key->rsa, out, len, in.pos, in.left, oaep_label,
					  sizeof(oaep_label), &tpm->cancel);

	return err ? TPM_DECRYPT_ERROR : TPM_SUCCESS;
}

TPM_RESULT
key_check_pcr(const struct command *c, const struct key *key)
{
	return pcr_check_info(c, &key->pcr);
}

bool
key_can_sign(const struct key *key)
{
	return key->keyUsage == TPM_KEY_SIGNING || key->keyUsage == TPM_KEY_LEGACY ||
	       key->keyUsage == TPM_KEY_IDENTITY;
}

bool
key_signs_digests(const struct key *key)
{
	return key->parms.sigScheme == TPM_SS_RSASSAPKCS1v15_SHA1 ||
	       key->parms.sigScheme == TPM_SS_RSASSAPKCS1v15_INFO;
}

TPM_RESULT
key_sign_sha1(struct command *c, const struct key *key, const uint8_t *digest)
{
	uint8_t signature[CRYPTO_RSA_MAX];

	if (crypto_rsa_sign_sha1(&key->rsa, signature, digest, &c->tpm->cancel))
		return TPM_FAIL;
	writer_sized(&c->out, signature, key->rsa.n_len);
	return TPM_SUCCESS;
}

bool
key_is_cmk(const struct key *key)
{
	return key->payload == TPM_PT_MIGRATE_RESTRICTED || key->payload == TPM_PT_MIGRATE_EXTERNAL;
}

void
key_cmk_auth(const struct tpm *tpm, const struct key *key, const uint8_t *msaDigest, uint8_t *auth)
{
	static const uint8_t tag[2] = { 0, TPM_TAG_CMK_MIGAUTH };
	uint8_t pubKeyDigest[DIGEST_SIZE];

	key_pubkey_digest(key, pubKeyDigest);
	crypto_hmac(
	    auth, tpm->permanent.tpmProof, DIGEST_SIZE,
	    SPANS(SPAN(tag, 2), SPAN(msaDigest, DIGEST_SIZE), SPAN(pubKeyDigest, DIGEST_SIZE)));
}

void
sign_info_digest(const char *fixed, const uint8_t *replay, struct span data, uint8_t *digest)
{
	uint8_t head[2 + 4], size[4];
	struct writer w = writer_of(head, sizeof(head)), size_w = writer_of(size, sizeof(size));

	writer_u16(&w, TPM_TAG_SIGNINFO);
	writer_bytes(&w, fixed, 4);
	writer_u32(&size_w, (uint32_t)data.len);
	crypto_sha1(digest, SPANS(SPAN(head, sizeof(head)), SPAN(replay, DIGEST_SIZE),
				  SPAN(size, sizeof(size)), data));
}
