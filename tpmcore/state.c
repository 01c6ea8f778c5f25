/*
 * The state of a TPM as blobs (docs/state-formats.md): magic, format, kind, body, SHA-1 of all
 * that. One visitor describes each part of the state for both directions, so that what is written
 * is what is read. A field added later is visited under a condition on the format of the blob.
 */
#include <stdlib.h>

#include "tpmcore/core.h"
#include "tpmcore/state.h"

enum {
	STATE_MAGIC = 0x5654504d, /* "VTPM" */
	STATE_FORMAT = 1,         /* of what is written; every earlier one is read */
	STATE_HEADER = 4 + 2 + 2,
	STATE_MAX = 256 * 1024,
};

static void
visit_digest(struct marshal *m, uint8_t *digest)
{
	marshal_bytes(m, digest, DIGEST_SIZE);
}

static void
visit_flags(struct marshal *m, bool *flags, size_t count)
{
	for (size_t i = 1; i < count; i++)
		marshal_bool(m, &flags[i]);
}

/* A number that must stay within bounds when it comes from a blob. */
static void
visit_bounded(struct marshal *m, uint32_t *v, uint32_t max)
{
	marshal_u32(m, v);
	if (*v > max) {
		*v = 0;
		m->r->failed = true;
	}
}

static void
visit_rsa(struct marshal *m, struct rsa_key *rsa)
{
	uint32_t n_len = rsa->n_len;

	visit_bounded(m, &n_len, CRYPTO_RSA_MAX);
	rsa->n_len = (uint16_t)n_len;
	marshal_bytes(m, rsa->n, n_len);
	marshal_u32(m, &rsa->e);
	marshal_bool(m, &rsa->has_private);
	if (rsa->has_private)
		marshal_bytes(m, rsa->p, n_len / 2);
}

static void
visit_pcr_info(struct marshal *m, struct pcr_info *info)
{
	marshal_u8(m, &info->form);
	marshal_u8(m, &info->localityAtCreation);
	marshal_u8(m, &info->localityAtRelease);
	marshal_pcr_selection(m, &info->creation);
	marshal_pcr_selection(m, &info->release);
	visit_digest(m, info->digestAtCreation);
	visit_digest(m, info->digestAtRelease);
}

static void
visit_key(struct marshal *m, struct key *key)
{
	marshal_bool(m, &key->key12);
	marshal_bytes(m, key->ver, sizeof(key->ver));
	marshal_u16(m, &key->keyUsage);
	marshal_u32(m, &key->keyFlags);
	marshal_u8(m, &key->authDataUsage);
	marshal_u32(m, &key->parms.algorithmID);
	marshal_u16(m, &key->parms.encScheme);
	marshal_u16(m, &key->parms.sigScheme);
	marshal_u32(m, &key->parms.keyLength);
	marshal_u32(m, &key->parms.numPrimes);
	marshal_u32(m, &key->parms.exponent);
	marshal_u8(m, &key->parms.exponent_size);
	visit_pcr_info(m, &key->pcr);
	visit_rsa(m, &key->rsa);
	marshal_u8(m, &key->payload);
	visit_digest(m, key->usageAuth);
	visit_digest(m, key->migrationAuth);
}

void
state_visit_key_slot(struct marshal *m, struct key_slot *k)
{
	marshal_u32(m, &k->handle);
	marshal_bool(m, &k->parentPCRStatus);
	visit_key(m, &k->key);
}

/* The key slots that are owner-evict or those that are not. Reading puts them into free slots. */
static void
visit_keys(struct marshal *m, struct tpm *tpm, bool ownerEvict)
{
	uint32_t count = 0;

	for (unsigned i = 0; m->w && i < MAX_KEYS; i++)
		count += tpm->keys[i].handle != 0 && tpm->keys[i].ownerEvict == ownerEvict;
	visit_bounded(m, &count, MAX_KEYS);
	for (struct key_slot *k = tpm->keys; count > 0 && k < tpm->keys + MAX_KEYS; k++) {
		bool ours = k->handle != 0 && k->ownerEvict == ownerEvict;

		if (m->w ? !ours : k->handle != 0)
			continue;
		state_visit_key_slot(m, k);
		k->ownerEvict = ownerEvict;
		count--;
	}
	if (count > 0)
		m->r->failed = true;
}

static void
visit_counter(struct marshal *m, struct counter *c)
{
	marshal_bool(m, &c->valid);
	marshal_bytes(m, c->label, sizeof(c->label));
	marshal_u32(m, &c->value);
	visit_digest(m, c->auth);
}

/* A moment of the platform's clock travels as its distance from now, which may lie on either side.
 */
static void
visit_moment(struct marshal *m, const struct tpm *tpm, uint64_t *moment)
{
	uint64_t now = tpm->platform.now(tpm->platform.ctx);
	uint64_t distance = *moment - now;

	marshal_u64(m, &distance);
	*moment = now + distance;
}

static void
visit_delegations(struct marshal *m, struct permanent *p)
{
	marshal_u32(m, &p->lastFamilyID);
	for (unsigned i = 0; i < MAX_FAMILIES; i++) {
		marshal_bool(m, &p->families[i].valid);
		marshal_family(m, &p->families[i]);
	}
	for (unsigned i = 0; i < MAX_DELEGATES; i++) {
		marshal_bool(m, &p->delegates[i].valid);
		marshal_delegate_public(m, &p->delegates[i].pub);
		visit_digest(m, p->delegates[i].auth);
	}
}

static void
visit_permanent(struct marshal *m, struct tpm *tpm, struct permanent *p)
{
	visit_flags(m, p->flags, sizeof(p->flags) / sizeof(p->flags[0]));
	marshal_bool(m, &p->owner_installed);
	visit_digest(m, p->ownerAuth);
	visit_digest(m, p->tpmProof);
	visit_digest(m, p->operatorAuth);
	visit_key(m, &p->srk);
	marshal_bool(m, &p->has_ek);
	visit_rsa(m, &p->ek);
	marshal_bool(m, &p->ek_revocable);
	visit_digest(m, p->ekReset);
	marshal_bool(m, &p->has_manu_maint_pub);
	visit_key(m, &p->manuMaintPub);
	visit_digest(m, p->authDIR);
	marshal_bytes(m, p->contextKey, sizeof(p->contextKey));
	marshal_bytes(m, p->delegateKey, sizeof(p->delegateKey));
	marshal_bytes(m, p->daaBlobKey, sizeof(p->daaBlobKey));
	visit_digest(m, p->tpmDAASeed);
	visit_digest(m, p->daaProof);
	marshal_u32(m, &p->auditMonotonicCounter);
	marshal_bytes(m, p->ordinalAuditStatus, sizeof(p->ordinalAuditStatus));
	marshal_u32(m, &p->counter_base);
	for (unsigned i = 0; i < MAX_COUNTERS; i++)
		visit_counter(m, &p->counters[i]);
	marshal_u32(m, &p->restrictDelegate);
	visit_delegations(m, p);
	marshal_u32(m, &p->noOwnerNVWrite);
	marshal_u32(m, &p->dictionary.failures);
	visit_moment(m, tpm, &p->dictionary.last_failure);
	visit_moment(m, tpm, &p->dictionary.locked_until);
}

static void
visit_nv(struct marshal *m, struct tpm *tpm)
{
	uint32_t count = (uint32_t)tpm->nv_count;

	visit_bounded(m, &count, MAX_NV_BYTES / NV_OVERHEAD);
	if (m->r) {
		tpm->nv = count ? calloc(count, sizeof(*tpm->nv)) : NULL;
		if (count && !tpm->nv)
			m->r->failed = true;
	}
	for (uint32_t i = 0; i < count && !(m->r && m->r->failed); i++) {
		struct nv_area *area = &tpm->nv[i];

		marshal_nv_public(m, &area->pub);
		visit_digest(m, area->auth);
		if (m->r) {
			if (area->pub.dataSize > m->r->left)
				area->pub.dataSize = 0, m->r->failed = true;
			area->data = malloc(area->pub.dataSize ? area->pub.dataSize : 1);
			tpm->nv_count = i + 1;
			if (!area->data) {
				area->pub.dataSize = 0;
				m->r->failed = true;
				return;
			}
		}
		marshal_bytes(m, area->data, area->pub.dataSize);
	}
}

static void
visit_stclear(struct marshal *m, struct stclear *s)
{
	visit_flags(m, s->flags, sizeof(s->flags) / sizeof(s->flags[0]));
	marshal_bytes(m, s->pcr, sizeof(s->pcr));
	visit_bounded(m, &s->counter_active, MAX_COUNTERS);
	marshal_bool(m, &s->counter_released);
	marshal_u32(m, &s->ownerReference);
	marshal_bool(m, &s->disableResetLock);
	visit_digest(m, s->auditDigest);
	marshal_bool(m, &s->audit_open);
	marshal_u32(m, &s->deferredPhysicalPresence);
}

void
state_visit_session(struct marshal *m, struct session *s)
{
	marshal_u32(m, &s->handle);
	if (s->handle == 0)
		return;
	marshal_u16(m, &s->protocol);
	marshal_u8(m, &s->encryption);
	marshal_u16(m, &s->entityType);
	visit_digest(m, s->entityId);
	visit_digest(m, s->nonceEven);
	visit_digest(m, s->sharedSecret);
	marshal_delegate_public(m, &s->delegation);
}

void
state_visit_transport(struct marshal *m, struct transport *t)
{
	marshal_u32(m, &t->handle);
	if (t->handle == 0)
		return;
	marshal_u32(m, &t->attributes);
	marshal_u32(m, &t->algId);
	marshal_u16(m, &t->encScheme);
	visit_digest(m, t->authData);
	visit_digest(m, t->nonceEven);
	visit_digest(m, t->digest);
}

void
state_visit_daa(struct marshal *m, struct daa_session *d)
{
	marshal_u32(m, &d->handle);
	if (d->handle == 0)
		return;
	/* Arrays of bytes only: the order of the members is the order of the blob. */
	marshal_bytes(m, &d->issuer, sizeof(d->issuer));
	visit_digest(m, d->tpm.digestIssuer);
	visit_digest(m, d->tpm.digest_v0);
	visit_digest(m, d->tpm.digest_v1);
	visit_digest(m, d->tpm.rekey);
	marshal_u32(m, &d->tpm.count);
	visit_digest(m, d->context.digestContext);
	visit_digest(m, d->context.digest);
	visit_digest(m, d->context.contextSeed);
	marshal_bytes(m, d->context.scratch, sizeof(d->context.scratch));
	marshal_u8(m, &d->context.stage);
	marshal_bool(m, &d->context.scratch_null);
	marshal_bytes(m, &d->join, sizeof(d->join));
}

static void
visit_sha1(struct marshal *m, struct stany *s)
{
	marshal_u8(m, &s->hash);
	if (s->hash == HASH_NONE)
		return;
	for (unsigned i = 0; i < 5; i++)
		marshal_u32(m, &s->sha1.h[i]);
	marshal_u64(m, &s->sha1.len);
	marshal_bytes(m, s->sha1.block, sizeof(s->sha1.block));
}

/* The exclusive transport session, if one is named, is among the sessions. */
static bool
exclusive_is_there(const struct stany *s)
{
	for (unsigned i = 0; i < MAX_TRANSPORTS; i++)
		if (s->transports[i].handle == s->exclusive)
			return true;
	return s->exclusive == 0;
}

static void
visit_stany(struct marshal *m, const struct tpm *tpm, struct stany *s)
{
	marshal_bool(m, &s->postInitialise);
	marshal_bool(m, &s->self_test_failed);
	marshal_bool(m, &s->TOSPresent);
	marshal_u32(m, &s->exclusive);
	visit_digest(m, s->contextNonceSession);
	visit_digest(m, s->contextNonceKey);
	marshal_u32(m, &s->contextCount);
	for (unsigned i = 0; i < MAX_CONTEXTS; i++)
		marshal_u32(m, &s->contextList[i]);
	visit_digest(m, s->tickNonce);
	visit_moment(m, tpm, &s->tick_start);
	visit_sha1(m, s);
	for (unsigned i = 0; i < MAX_SESSIONS; i++)
		state_visit_session(m, &s->sessions[i]);
	for (unsigned i = 0; i < MAX_TRANSPORTS; i++)
		state_visit_transport(m, &s->transports[i]);
	for (unsigned i = 0; i < MAX_DAA; i++)
		state_visit_daa(m, &s->daa[i]);
	if (m->r && !exclusive_is_there(s))
		m->r->failed = true;
}

static void
visit_state(struct marshal *m, struct tpm *tpm, enum tpm_state kind)
{
	if (kind == TPM_STATE_PERMANENT) {
		visit_permanent(m, tpm, &tpm->permanent);
		visit_nv(m, tpm);
		visit_keys(m, tpm, true);
	} else {
		visit_stclear(m, &tpm->stclear);
		visit_stany(m, tpm, &tpm->stany);
		visit_keys(m, tpm, false);
	}
}

TPM_RESULT
state_encode(const struct tpm *tpm, enum tpm_state kind, uint8_t **blob, size_t *len)
{
	uint8_t *buf = malloc(STATE_MAX);
	struct writer w = writer_of(buf, STATE_MAX);

	*blob = NULL;
	*len = 0;
	if (!buf)
		return TPM_RESOURCES;
	writer_u32(&w, STATE_MAGIC);
	writer_u16(&w, STATE_FORMAT);
	writer_u16(&w, (uint16_t)kind);
	/* The visitor is one for both directions; writing leaves the TPM as it is. */
	visit_state(&(struct marshal) { .w = &w }, (struct tpm *)tpm, kind);
	uint8_t *check = writer_reserve(&w, DIGEST_SIZE);
	if (!check) {
		crypto_wipe(buf, STATE_MAX);
		free(buf);
		return TPM_RESOURCES;
	}
	crypto_sha1(check, SPANS(SPAN(buf, w.len - DIGEST_SIZE)));
	uint8_t *fit = realloc(buf, w.len);
	*blob = fit ? fit : buf;
	*len = w.len;
	return TPM_SUCCESS;
}

/* Checks all around the body, which *body becomes a view of. */
static TPM_RESULT
open_blob(enum tpm_state kind, const uint8_t *blob, size_t len, struct reader *body)
{
	uint8_t digest[DIGEST_SIZE];
	struct reader r = reader_of(blob, len);

	if (len < STATE_HEADER + DIGEST_SIZE || len > STATE_MAX || reader_u32(&r) != STATE_MAGIC)
		return TPM_INVALID_STRUCTURE;
	if (reader_u16(&r) > STATE_FORMAT)
		return TPM_BAD_VERSION;
	if (reader_u16(&r) != kind)
		return TPM_INVALID_STRUCTURE;
	crypto_sha1(digest, SPANS(SPAN(blob, len - DIGEST_SIZE)));
	if (memcmp(digest, blob + len - DIGEST_SIZE, DIGEST_SIZE) != 0)
		return TPM_INVALID_STRUCTURE;
	*body = reader_of(r.pos, r.left - DIGEST_SIZE);
	return TPM_SUCCESS;
}

/* The parts of a TPM that a blob of this kind replaces, emptied. */
static void
empty_parts(struct tpm *tpm, enum tpm_state kind)
{
	if (kind == TPM_STATE_PERMANENT) {
		memset(&tpm->permanent, 0, sizeof(tpm->permanent));
		tpm->nv = NULL;
		tpm->nv_count = 0;
	} else {
		memset(&tpm->stclear, 0, sizeof(tpm->stclear));
		memset(&tpm->stany, 0, sizeof(tpm->stany));
	}
	for (struct key_slot *k = tpm->keys; k < tpm->keys + MAX_KEYS; k++)
		if (k->handle != 0 && k->ownerEvict == (kind == TPM_STATE_PERMANENT))
			key_slot_free(k);
}

TPM_RESULT
state_decode(struct tpm *tpm, enum tpm_state kind, const uint8_t *blob, size_t len)
{
	struct reader body;
	TPM_RESULT rc = open_blob(kind, blob, len, &body);
	struct tpm *next;

	if (rc)
		return rc;
	next = malloc(sizeof(*next));
	if (!next)
		return TPM_RESOURCES;
	*next = *tpm;
	empty_parts(next, kind);
	visit_state(&(struct marshal) { .r = &body }, next, kind);
	if (kind == TPM_STATE_PERMANENT) {
		/* Whichever of the two is given up takes its NV areas along. */
		struct tpm *loser = reader_done(&body) ? tpm : next;
		tpm_free_nv(loser);
	}
	if (reader_done(&body))
		*tpm = *next;
	else
		rc = TPM_INVALID_STRUCTURE;
	crypto_wipe(next, sizeof(*next));
	free(next);
	return rc;
}

TPM_RESULT
tpm_get_state(const struct tpm *tpm, enum tpm_state kind, uint8_t **blob, size_t *len)
{
	if (kind != TPM_STATE_SAVED)
		return state_encode(tpm, kind, blob, len);
	*len = tpm->saved_len;
	*blob = tpm->saved ? malloc(tpm->saved_len) : NULL;
	if (tpm->saved && !*blob)
		return TPM_RESOURCES;
	if (tpm->saved)
		memcpy(*blob, tpm->saved, tpm->saved_len);
	return TPM_SUCCESS;
}

static TPM_RESULT
set_saved(struct tpm *tpm, const uint8_t *blob, size_t len)
{
	struct reader body;
	TPM_RESULT rc = open_blob(TPM_STATE_SAVED, blob, len, &body);
	uint8_t *copy = rc ? NULL : malloc(len);

	if (rc)
		return rc;
	if (!copy)
		return TPM_RESOURCES;
	memcpy(copy, blob, len);
	saved_state_drop(tpm);
	tpm->saved = copy;
	tpm->saved_len = len;
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_set_state(struct tpm *tpm, enum tpm_state kind, const uint8_t *blob, size_t len)
{
	if (len > 0)
		return kind == TPM_STATE_SAVED ? set_saved(tpm, blob, len)
					       : state_decode(tpm, kind, blob, len);
	if (kind == TPM_STATE_PERMANENT)
		return TPM_INVALID_STRUCTURE;
	if (kind == TPM_STATE_SAVED)
		saved_state_drop(tpm);
	else
		tpm_init(tpm);
	return TPM_SUCCESS;
}
