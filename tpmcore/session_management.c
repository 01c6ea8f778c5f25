/* Session management [TPM Main Part 3, 21]. */
#include "tpmcore/commands.h"
#include "tpmcore/resources.h"

enum { CONTEXT_MAX = 2048, LABEL_SIZE = 16 };

/* TPM_CONTEXT_BLOB [Part 2, 18.1] without sensitiveData. Its additionalData is the IV. */
struct context {
	uint32_t resourceType;
	uint32_t handle;
	uint8_t label[LABEL_SIZE];
	uint32_t contextCount;
	uint8_t integrityDigest[DIGEST_SIZE];
	uint8_t iv[CRYPTO_AES_BLOCK];
};

static void
marshal_context(struct marshal *m, struct context *b)
{
	uint32_t additionalSize = sizeof(b->iv);

	marshal_tag(m, TPM_TAG_CONTEXTBLOB);
	marshal_u32(m, &b->resourceType);
	marshal_u32(m, &b->handle);
	marshal_bytes(m, b->label, sizeof(b->label));
	marshal_u32(m, &b->contextCount);
	marshal_bytes(m, b->integrityDigest, sizeof(b->integrityDigest));
	marshal_u32(m, &additionalSize);
	if (additionalSize != sizeof(b->iv))
		m->r->failed = true;
	marshal_bytes(m, b->iv, sizeof(b->iv));
}

/* integrityDigest: HMAC of the blob in which it is zero itself, over encrypted sensitiveData. */
static void
integrity(const struct tpm *tpm, const struct context *b, struct span sensitive, uint8_t *digest)
{
	struct context zeroed = *b;
	uint8_t buf[128];
	struct writer w = writer_of(buf, sizeof(buf));

	memset(zeroed.integrityDigest, 0, DIGEST_SIZE);
	marshal_context(&(struct marshal) { .w = &w }, &zeroed);
	writer_u32(&w, (uint32_t)sensitive.len);
	crypto_hmac(digest, tpm->permanent.tpmProof, DIGEST_SIZE,
		    SPANS(SPAN(buf, w.len), sensitive));
}

static const uint8_t *
context_nonce(const struct tpm *tpm, const struct resource *r)
{
	return r->session ? tpm->stany.contextNonceSession : tpm->stany.contextNonceKey;
}

static bool
speaks_for_key(const struct session *s, const struct key *key)
{
	return memcmp(s->entityId, entity_key(key).id, DIGEST_SIZE) == 0;
}

/*
 * Tells one AuthData of an OSAP or DSAP session's entity from another: once the owner's, the SRK's,
 * an NV area's or a counter's is new, sessions are invalid, be they active or saved [Part 3, 17.2,
 * 20.1]. Zeros: no such entity, or a loaded key, of which check_entity knows.
 */
static void
entity_mark(struct tpm *tpm, const struct session *s, uint8_t *mark)
{
	struct reader number = reader_of(s->entityId, 4);
	struct entity e = { 0 };

	if (s->entityType == TPM_ET_KEYHANDLE)
		e = speaks_for_key(s, &tpm->permanent.srk) ? entity_key(&tpm->permanent.srk) : e;
	else if (s->protocol != TPM_PID_OIAP)
		(void)entity_find(tpm, s->entityType, reader_u32(&number), &e);
	memset(mark, 0, DIGEST_SIZE);
	if (e.secret)
		crypto_hmac(mark, tpm->permanent.tpmProof, DIGEST_SIZE,
			    SPANS(SPAN(e.secret, DIGEST_SIZE)));
}

/* TPM_CONTEXT_SENSITIVE [Part 2, 18.2] of a resource; a session's mark is its last part. */
static void
sensitive_write(struct tpm *tpm, struct writer *w, const struct resource *r, void *slot)
{
	uint8_t mark[DIGEST_SIZE];

	writer_u16(w, TPM_TAG_CONTEXT_SENSITIVE);
	writer_bytes(w, context_nonce(tpm, r), DIGEST_SIZE);
	size_t size_at = w->len;
	writer_u32(w, 0);
	resource_marshal(&(struct marshal) { .w = w }, r, slot);
	if (r->type == TPM_RT_AUTH) {
		entity_mark(tpm, slot, mark);
		writer_bytes(w, mark, DIGEST_SIZE);
	}
	writer_patch_u32(w, size_at, (uint32_t)(w->len - size_at - 4));
}

/* Takes a place in contextList. No two counts are farther apart than TPM_CAP_PROP_CONTEXT_DIST,
 * which is all of 32 bits: there can be no TPM_CONTEXT_GAP. */
static TPM_RESULT
context_count(struct tpm *tpm, uint32_t *count)
{
	if (tpm->stany.contextCount == UINT32_MAX)
		return TPM_TOOMANYCONTEXTS;
	for (unsigned i = 0; i < MAX_CONTEXTS; i++) {
		if (tpm->stany.contextList[i] != 0)
			continue;
		*count = tpm->stany.contextList[i] = ++tpm->stany.contextCount;
		return TPM_SUCCESS;
	}
	return TPM_NOCONTEXTSPACE;
}

/* The place of a saved session in contextList; NULL: it is not, or no longer, to be loaded. */
static uint32_t *
context_place(struct tpm *tpm, uint32_t contextCount)
{
	for (unsigned i = 0; i < MAX_CONTEXTS && contextCount != 0; i++)
		if (tpm->stany.contextList[i] == contextCount)
			return &tpm->stany.contextList[i];
	return NULL;
}

bool
context_forget(struct tpm *tpm, uint32_t contextCount)
{
	uint32_t *place = context_place(tpm, contextCount);

	if (place)
		*place = 0;
	return place;
}

TPM_RESULT
context_save(struct command *c, uint32_t type, uint32_t handle, const uint8_t *label)
{
	struct tpm *tpm = c->tpm;
	const struct resource *r = resource_of(type);
	void *slot = r ? resource_find(tpm, r, handle) : NULL;
	struct context b = { .resourceType = type, .handle = handle };
	uint8_t buf[CONTEXT_MAX];
	struct writer w = writer_of(buf, sizeof(buf));
	TPM_RESULT rc;

	if (!slot)
		return TPM_INVALID_RESOURCE;
	if (type == TPM_RT_KEY && ((struct key_slot *)slot)->ownerEvict)
		return TPM_OWNER_CONTROL;
	if ((rc = tpm_random(tpm, b.iv, sizeof(b.iv))) != TPM_SUCCESS)
		return rc;
	if (r->session && (rc = context_count(tpm, &b.contextCount)) != TPM_SUCCESS)
		return rc;
	memcpy(b.label, label, LABEL_SIZE);
	sensitive_write(tpm, &w, r, slot);
	if (crypto_aes_ctr(buf, buf, w.len, tpm->permanent.contextKey, b.iv))
		return TPM_FAIL;
	integrity(tpm, &b, SPAN(buf, w.len), b.integrityDigest);

	size_t size_at = c->out.len;
	writer_u32(&c->out, 0);
	marshal_context(&(struct marshal) { .w = &c->out }, &b);
	writer_sized(&c->out, buf, w.len);
	writer_patch_u32(&c->out, size_at, (uint32_t)(c->out.len - size_at - 4));
	if (r->session)
		resource_release(tpm, r, slot);
	return TPM_SUCCESS;
}

/*
 * Whether a context is of this boot and was not loaded before. A key's may be of an earlier boot,
 * as its wrapped blob may, unless the key itself ends with the boot [Part 3, 21.3].
 */
static bool
context_fresh(struct tpm *tpm, const struct context *b, const uint8_t *nonce, const void *copy)
{
	const struct resource *r = resource_of(b->resourceType);
	const struct key_slot *k = copy;

	if (b->resourceType == TPM_RT_KEY && !k->parentPCRStatus &&
	    !(k->key.keyFlags & TPM_VOLATILE))
		return true;
	return crypto_equal(nonce, context_nonce(tpm, r), DIGEST_SIZE) &&
	       (!r->session || context_place(tpm, b->contextCount));
}

/* A mark that was not there yet when the context was saved is none that could be wrong. */
static TPM_RESULT
check_mark(struct tpm *tpm, const struct context *b, const struct session *s, struct reader mark)
{
	uint8_t now[DIGEST_SIZE];

	if (b->resourceType != TPM_RT_AUTH || mark.left == 0)
		return TPM_SUCCESS;
	entity_mark(tpm, s, now);
	return crypto_equal(now, mark.pos, DIGEST_SIZE) ? TPM_SUCCESS : TPM_RESOURCEMISSING;
}

/* The blob, checked and taken apart into the resource that copy has room for. */
static TPM_RESULT
context_open(struct tpm *tpm, struct reader blob, struct context *b, void *copy)
{
	uint8_t buf[CONTEXT_MAX], digest[DIGEST_SIZE];
	struct reader r = reader_of(buf, 0);

	marshal_context(&(struct marshal) { .r = &blob }, b);
	struct reader sensitive = reader_sized(&blob);
	if (!reader_done(&blob) || sensitive.left > sizeof(buf))
		return TPM_INVALID_STRUCTURE;
	const struct resource *res = resource_of(b->resourceType);
	if (!res)
		return TPM_INVALID_RESOURCE;
	integrity(tpm, b, SPAN(sensitive.pos, sensitive.left), digest);
	if (!crypto_equal(digest, b->integrityDigest, DIGEST_SIZE))
		return TPM_BADCONTEXT;
	if (crypto_aes_ctr(buf, sensitive.pos, sensitive.left, tpm->permanent.contextKey, b->iv))
		return TPM_FAIL;
	r.left = sensitive.left;
	struct marshal m = { .r = &r };
	marshal_tag(&m, TPM_TAG_CONTEXT_SENSITIVE);
	const uint8_t *nonce = reader_view(&r, DIGEST_SIZE);
	reader_u32(&r);
	resource_marshal(&m, res, copy);
	struct reader mark = r;
	if (b->resourceType == TPM_RT_AUTH && r.left > 0)
		reader_view(&r, DIGEST_SIZE);
	TPM_RESULT rc = TPM_BADCONTEXT;
	if (reader_done(&r) && context_fresh(tpm, b, nonce, copy))
		rc = check_mark(tpm, b, copy, mark);
	crypto_wipe(buf, sizeof(buf));
	return rc;
}

/* The key that an OSAP or DSAP session is for must be there, under the handle that is named. */
static TPM_RESULT
check_entity(struct tpm *tpm, const struct session *s, const uint32_t *handle)
{
	if (s->protocol == TPM_PID_OIAP || s->entityType != TPM_ET_KEYHANDLE ||
	    speaks_for_key(s, &tpm->permanent.srk))
		return TPM_SUCCESS;
	const struct key *key = handle ? key_find(tpm, *handle, NULL) : NULL;
	if (handle && !key)
		return TPM_BAD_HANDLE;
	for (unsigned i = 0; !handle && !key && i < MAX_KEYS; i++)
		if (tpm->keys[i].handle != 0 && speaks_for_key(s, &tpm->keys[i].key))
			key = &tpm->keys[i].key;
	return key && speaks_for_key(s, key) ? TPM_SUCCESS : TPM_RESOURCEMISSING;
}

TPM_RESULT
context_load(struct command *c, struct reader blob, const uint32_t *entity, bool keepHandle)
{
	struct tpm *tpm = c->tpm;
	union {
		uint32_t handle;
		struct key_slot key;
		struct session session;
		struct transport transport;
		struct daa_session daa;
	} copy = { 0 };
	struct context b;
	TPM_RESULT rc = context_open(tpm, blob, &b, &copy);

	if (rc == TPM_SUCCESS && b.resourceType == TPM_RT_AUTH)
		rc = check_entity(tpm, &copy.session, entity);
	if (rc)
		goto out;
	const struct resource *r = resource_of(b.resourceType);
	bool taken = resource_find(tpm, r, b.handle) != NULL;
	void *slot = resource_slot(tpm, r);
	if (taken && keepHandle)
		rc = TPM_BAD_HANDLE;
	else if (!slot)
		rc = r->full;
	if (rc)
		goto out;
	context_forget(tpm, b.contextCount);
	memcpy(slot, &copy, r->size);
	*(uint32_t *)slot = taken ? resource_new_handle(tpm, r) : b.handle;
	writer_u32(&c->out, *(uint32_t *)slot);
out:
	crypto_wipe(&copy, sizeof(copy));
	return rc;
}

/* [Part 3, 21.1] */
TPM_RESULT
tpm_KeyControlOwner(struct command *c)
{
	struct key_slot *slot = c->slot[0];
	struct key pub;
	uint8_t expected[DIGEST_SIZE], given[DIGEST_SIZE];
	unsigned evict_keys = 0;

	if (!slot)
		return TPM_INVALID_KEYHANDLE;
	if (pubkey_read(&c->in, &pub) != TPM_SUCCESS)
		return TPM_BAD_PARAMETER;
	key_pubkey_digest(&slot->key, expected);
	key_pubkey_digest(&pub, given);
	if (!crypto_equal(expected, given, DIGEST_SIZE))
		return TPM_BAD_PARAMETER;
	if (reader_u32(&c->in) != TPM_KEY_CONTROL_OWNER_EVICT)
		return TPM_BAD_MODE;
	bool evict = reader_u8(&c->in) != 0;
	if (evict == slot->ownerEvict)
		return TPM_SUCCESS;
	for (unsigned i = 0; i < MAX_KEYS; i++)
		evict_keys += c->tpm->keys[i].ownerEvict;
	if (evict && evict_keys >= MAX_OWNER_EVICT)
		return TPM_NOSPACE;
	if (evict && (slot->parentPCRStatus || slot->key.keyFlags & TPM_VOLATILE))
		return TPM_BAD_PARAMETER;
	slot->ownerEvict = evict;
	c->tpm->changed |= TPM_CHANGED_PERMANENT;
	return TPM_SUCCESS;
}

/* [Part 3, 21.2] */
TPM_RESULT
tpm_SaveContext(struct command *c)
{
	uint32_t type = reader_u32(&c->in);

	return context_save(c, type, c->handle[0], reader_view(&c->in, LABEL_SIZE));
}

/* [Part 3, 21.3] */
TPM_RESULT
tpm_LoadContext(struct command *c)
{
	bool keepHandle = reader_u8(&c->in) != 0;

	return context_load(c, reader_sized(&c->in), &c->handle[0], keepHandle);
}
