#include "tpmcore/structures.h"

void
marshal_u8(struct marshal *m, uint8_t *v)
{
	if (m->r)
		*v = reader_u8(m->r);
	else
		writer_u8(m->w, *v);
}

void
marshal_bool(struct marshal *m, bool *v)
{
	uint8_t byte = m->w ? *v : 0;

	marshal_u8(m, &byte);
	*v = byte != 0;
}

void
marshal_u16(struct marshal *m, uint16_t *v)
{
	if (m->r)
		*v = reader_u16(m->r);
	else
		writer_u16(m->w, *v);
}

void
marshal_u32(struct marshal *m, uint32_t *v)
{
	if (m->r)
		*v = reader_u32(m->r);
	else
		writer_u32(m->w, *v);
}

void
marshal_u64(struct marshal *m, uint64_t *v)
{
	if (m->r)
		*v = reader_u64(m->r);
	else
		writer_u64(m->w, *v);
}

void
marshal_bytes(struct marshal *m, void *v, size_t len)
{
	if (m->r)
		reader_bytes(m->r, v, len);
	else
		writer_bytes(m->w, v, len);
}

void
marshal_tag(struct marshal *m, uint16_t tag)
{
	uint16_t found = tag;

	marshal_u16(m, &found);
	if (found != tag)
		m->r->failed = true;
}

void
marshal_pcr_selection(struct marshal *m, struct pcr_selection *s)
{
	marshal_u16(m, &s->size);
	if (s->size > PCR_SELECT_MAX) {
		s->size = 0;
		m->r->failed = true;
	}
	marshal_bytes(m, s->select, s->size);
	memset(s->select + s->size, 0, (size_t)(PCR_SELECT_MAX - s->size));
}

bool
pcr_selected(const struct pcr_selection *s, unsigned pcr)
{
	return pcr < TPM_NUM_PCR && s->select[pcr / 8] >> pcr % 8 & 1;
}

bool
pcr_selection_empty(const struct pcr_selection *s)
{
	return !(s->select[0] | s->select[1] | s->select[2]);
}

TPM_RESULT
pcr_selection_read(struct reader *r, struct pcr_selection *s)
{
	struct reader ahead = *r;
	uint16_t size = reader_u16(&ahead);

	if (size > PCR_SELECT_MAX) {
		reader_u16(r);
		reader_view(r, size);
		return TPM_INVALID_PCR_INFO;
	}
	marshal_pcr_selection(&(struct marshal) { .r = r }, s);
	return r->failed ? TPM_BAD_PARAM_SIZE : TPM_SUCCESS;
}

bool
locality_selection_valid(uint8_t localities)
{
	return localities != 0 && !(localities & ~TPM_LOC_ALL);
}

void
marshal_pcr_info_short(struct marshal *m, struct pcr_info_short *info)
{
	marshal_pcr_selection(m, &info->selection);
	marshal_u8(m, &info->localityAtRelease);
	marshal_bytes(m, info->digestAtRelease, TPM_DIGEST_SIZE);
}

static void
marshal_pcr_info(struct marshal *m, struct pcr_info *info)
{
	if (info->form == PCR_INFO_LONG) {
		marshal_tag(m, TPM_TAG_PCR_INFO_LONG);
		marshal_u8(m, &info->localityAtCreation);
		marshal_u8(m, &info->localityAtRelease);
		marshal_pcr_selection(m, &info->creation);
		marshal_pcr_selection(m, &info->release);
		marshal_bytes(m, info->digestAtCreation, TPM_DIGEST_SIZE);
		marshal_bytes(m, info->digestAtRelease, TPM_DIGEST_SIZE);
	} else {
		marshal_pcr_selection(m, &info->release);
		marshal_bytes(m, info->digestAtRelease, TPM_DIGEST_SIZE);
		marshal_bytes(m, info->digestAtCreation, TPM_DIGEST_SIZE);
		info->creation = info->release;
		info->localityAtCreation = info->localityAtRelease = 0x1f;
	}
}

TPM_RESULT
pcr_info_read(struct reader *r, bool long_form, struct pcr_info *info)
{
	memset(info, 0, sizeof(*info));
	if (reader_done(r))
		return TPM_SUCCESS;
	info->form = long_form ? PCR_INFO_LONG : PCR_INFO_11;
	marshal_pcr_info(&(struct marshal) { .r = r }, info);
	return reader_done(r) && locality_selection_valid(info->localityAtCreation) &&
		       locality_selection_valid(info->localityAtRelease)
		   ? TPM_SUCCESS
		   : TPM_INVALID_PCR_INFO;
}

void
pcr_info_write(struct writer *w, const struct pcr_info *info)
{
	struct pcr_info copy = *info;

	if (info->form != PCR_INFO_NONE)
		marshal_pcr_info(&(struct marshal) { .w = w }, &copy);
}

TPM_RESULT
key_parms_read(struct reader *r, struct key_parms *parms)
{
	memset(parms, 0, sizeof(*parms));
	parms->algorithmID = reader_u32(r);
	parms->encScheme = reader_u16(r);
	parms->sigScheme = reader_u16(r);
	struct reader sub = reader_sized(r);
	if (r->failed)
		return TPM_BAD_PARAM_SIZE;
	if (parms->algorithmID != TPM_ALG_RSA)
		return TPM_SUCCESS;
	parms->keyLength = reader_u32(&sub);
	parms->numPrimes = reader_u32(&sub);
	struct reader exponent = reader_sized(&sub);
	if (!reader_done(&sub) || exponent.left > sizeof(parms->exponent))
		return TPM_BAD_KEY_PROPERTY;
	parms->exponent_size = (uint8_t)exponent.left;
	parms->exponent = exponent.left ? (uint32_t)reader_uint(&exponent, exponent.left) : 65537;
	return TPM_SUCCESS;
}

void
key_parms_write(struct writer *w, const struct key_parms *parms)
{
	writer_u32(w, parms->algorithmID);
	writer_u16(w, parms->encScheme);
	writer_u16(w, parms->sigScheme);
	writer_u32(w, 12u + parms->exponent_size);
	writer_u32(w, parms->keyLength);
	writer_u32(w, parms->numPrimes);
	writer_u32(w, parms->exponent_size);
	writer_uint(w, parms->exponent, parms->exponent_size);
}

/* The modulus, a sized field; an empty one is legal in templates. */
static TPM_RESULT
modulus_read(struct reader *r, struct key *key)
{
	struct reader n = reader_sized(r);

	if (r->failed)
		return TPM_BAD_PARAM_SIZE;
	if (n.left > CRYPTO_RSA_MAX || n.left % 2)
		return TPM_BAD_KEY_PROPERTY;
	memset(&key->rsa, 0, sizeof(key->rsa));
	key->rsa.n_len = (uint16_t)n.left;
	key->rsa.e = key->parms.exponent;
	reader_bytes(&n, key->rsa.n, n.left);
	return TPM_SUCCESS;
}

TPM_RESULT
key_read(struct reader *r, struct key *key, struct reader *enc_data)
{
	TPM_RESULT rc;

	memset(key, 0, sizeof(*key));
	reader_bytes(r, key->ver, sizeof(key->ver));
	key->key12 = key->ver[0] == 0 && key->ver[1] == TPM_TAG_KEY12;
	bool fits = key->key12 ? key->ver[2] == 0 && key->ver[3] == 0 /* fill */
			       : key->ver[0] == 1 && key->ver[1] == 1;
	key->keyUsage = reader_u16(r);
	key->keyFlags = reader_u32(r);
	key->authDataUsage = reader_u8(r);
	rc = key_parms_read(r, &key->parms);
	struct reader pcr = reader_sized(r);
	TPM_RESULT pcr_rc = pcr_info_read(&pcr, key->key12, &key->pcr);
	TPM_RESULT n_rc = modulus_read(r, key);
	*enc_data = reader_sized(r);
	if (r->failed)
		return TPM_BAD_PARAM_SIZE;
	return !fits ? TPM_BAD_VERSION : rc ? rc : pcr_rc ? pcr_rc : n_rc;
}

static void
key_write_public(struct writer *w, const struct key *key)
{
	static const uint8_t key12_tag[4] = { 0, TPM_TAG_KEY12, 0, 0 };

	writer_bytes(w, key->key12 ? key12_tag : key->ver, 4);
	writer_u16(w, key->keyUsage);
	writer_u32(w, key->keyFlags);
	writer_u8(w, key->authDataUsage);
	key_parms_write(w, &key->parms);
	size_t size_at = w->len;
	writer_u32(w, 0);
	pcr_info_write(w, &key->pcr);
	writer_patch_u32(w, size_at, (uint32_t)(w->len - size_at - 4));
	writer_sized(w, key->rsa.n, key->rsa.n_len);
}

void
key_write(struct writer *w, const struct key *key, const void *enc_data, size_t len)
{
	key_write_public(w, key);
	writer_sized(w, enc_data, len);
}

void
key_public_digest(const struct key *key, uint8_t *digest)
{
	uint8_t buf[512];
	struct writer w = writer_of(buf, sizeof(buf));

	key_write_public(&w, key);
	crypto_sha1(digest, SPANS(SPAN(buf, w.len)));
}

void
key_pubkey_write(struct writer *w, const struct key *key)
{
	key_parms_write(w, &key->parms);
	writer_sized(w, key->rsa.n, key->rsa.n_len);
}

void
key_pubkey_digest(const struct key *key, uint8_t *digest)
{
	uint8_t buf[512];
	struct writer w = writer_of(buf, sizeof(buf));

	key_pubkey_write(&w, key);
	crypto_sha1(digest, SPANS(SPAN(buf, w.len)));
}

void
key_store_pubkey_digest(const struct key *key, uint8_t *digest)
{
	uint8_t buf[4 + CRYPTO_RSA_MAX];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_sized(&w, key->rsa.n, key->rsa.n_len);
	crypto_sha1(digest, SPANS(SPAN(buf, w.len)));
}

TPM_RESULT
pubkey_read(struct reader *r, struct key *key)
{
	memset(key, 0, sizeof(*key));
	TPM_RESULT rc = key_parms_read(r, &key->parms);
	TPM_RESULT n_rc = modulus_read(r, key);

	if (r->failed)
		return TPM_BAD_PARAM_SIZE;
	if (rc || n_rc)
		return rc ? rc : n_rc;
	return key->parms.algorithmID == TPM_ALG_RSA ? TPM_SUCCESS : TPM_BAD_KEY_PROPERTY;
}

void
key_store_write(struct writer *w, const struct key *key)
{
	uint8_t digest[TPM_DIGEST_SIZE];

	key_public_digest(key, digest);
	writer_u8(w, key->payload);
	writer_bytes(w, key->usageAuth, TPM_DIGEST_SIZE);
	writer_bytes(w, key->migrationAuth, TPM_DIGEST_SIZE);
	writer_bytes(w, digest, TPM_DIGEST_SIZE);
	writer_sized(w, key->rsa.p, key->rsa.n_len / 2u);
}

TPM_RESULT
key_store_read(struct reader *r, struct key *key, const struct cancel *cancel)
{
	uint8_t digest[TPM_DIGEST_SIZE], expected[TPM_DIGEST_SIZE];

	key->payload = reader_u8(r);
	reader_bytes(r, key->usageAuth, TPM_DIGEST_SIZE);
	reader_bytes(r, key->migrationAuth, TPM_DIGEST_SIZE);
	reader_bytes(r, digest, TPM_DIGEST_SIZE);
	struct reader p = reader_sized(r);
	if (!reader_done(r) || p.left * 2 != key->rsa.n_len)
		return TPM_INVALID_STRUCTURE;
	reader_bytes(&p, key->rsa.p, p.left);
	key->rsa.has_private = true;
	key_public_digest(key, expected);
	if (!crypto_equal(digest, expected, TPM_DIGEST_SIZE))
		return TPM_INVALID_STRUCTURE;
	return crypto_rsa_check(&key->rsa, cancel) ? TPM_SUCCESS : TPM_BAD_KEY_PROPERTY;
}

void
sealed_data_read(struct reader *r, struct sealed_data *sealed)
{
	sealed->payload = reader_u8(r);
	reader_bytes(r, sealed->authData, TPM_DIGEST_SIZE);
	reader_bytes(r, sealed->tpmProof, TPM_DIGEST_SIZE);
	reader_bytes(r, sealed->storedDigest, TPM_DIGEST_SIZE);
	sealed->data = reader_sized(r);
}

void
sealed_data_write(struct writer *w, const struct sealed_data *sealed)
{
	writer_u8(w, sealed->payload);
	writer_bytes(w, sealed->authData, TPM_DIGEST_SIZE);
	writer_bytes(w, sealed->tpmProof, TPM_DIGEST_SIZE);
	writer_bytes(w, sealed->storedDigest, TPM_DIGEST_SIZE);
	writer_sized(w, sealed->data.pos, sealed->data.left);
}

void
marshal_nv_public(struct marshal *m, struct nv_public *pub)
{
	marshal_tag(m, TPM_TAG_NV_DATA_PUBLIC);
	marshal_u32(m, &pub->nvIndex);
	marshal_pcr_info_short(m, &pub->read);
	marshal_pcr_info_short(m, &pub->write);
	marshal_tag(m, TPM_TAG_NV_ATTRIBUTES);
	marshal_u32(m, &pub->attributes);
	marshal_bool(m, &pub->bReadSTClear);
	marshal_bool(m, &pub->bWriteSTClear);
	marshal_bool(m, &pub->bWriteDefine);
	marshal_u32(m, &pub->dataSize);
}

void
marshal_delegate_public(struct marshal *m, struct delegate_public *pub)
{
	marshal_tag(m, TPM_TAG_DELEGATE_PUBLIC);
	marshal_u8(m, &pub->rowLabel);
	marshal_pcr_info_short(m, &pub->pcr);
	marshal_tag(m, TPM_TAG_DELEGATIONS);
	marshal_u32(m, &pub->delegateType);
	marshal_u32(m, &pub->per1);
	marshal_u32(m, &pub->per2);
	marshal_u32(m, &pub->familyID);
	marshal_u32(m, &pub->verificationCount);
}

void
marshal_family(struct marshal *m, struct family *f)
{
	marshal_tag(m, TPM_TAG_FAMILY_TABLE_ENTRY);
	marshal_u8(m, &f->label);
	marshal_u32(m, &f->familyID);
	marshal_u32(m, &f->verificationCount);
	marshal_u32(m, &f->flags);
}
