/* Auditing [TPM Main Part 3, 8; Part 1, 17]. */
#include "tpmcore/commands.h"

enum { AUDITABLE = 256 }; /* ordinals above are TSC's, which are never audited */

static bool
status_bit(const struct permanent *p, uint32_t ordinal)
{
	return p->ordinalAuditStatus[ordinal / 8] >> ordinal % 8 & 1;
}

static void
set_status_bit(struct permanent *p, uint32_t ordinal, bool on)
{
	uint8_t mask = (uint8_t)(1 << ordinal % 8);

	if (on)
		p->ordinalAuditStatus[ordinal / 8] |= mask;
	else
		p->ordinalAuditStatus[ordinal / 8] &= (uint8_t)~mask;
}

void
audit_manufacture(struct tpm *tpm)
{
	for (const struct ordinal *row = NULL; (row = ordinal_next(row)) != NULL;)
		if (row->attributes & AUDIT_DEFAULT && row->ordinal < AUDITABLE)
			set_status_bit(&tpm->permanent, row->ordinal, true);
}

bool
audit_status(const struct tpm *tpm, uint32_t ordinal)
{
	return ordinal < AUDITABLE && status_bit(&tpm->permanent, ordinal);
}

/* TPM_COUNTER_VALUE of the audit counter. */
static void
write_counter(const struct tpm *tpm, struct writer *w)
{
	static const uint8_t label[4];

	writer_u16(w, TPM_TAG_COUNTER_VALUE);
	writer_bytes(w, label, sizeof(label));
	writer_u32(w, tpm->permanent.auditMonotonicCounter);
}

static void
extend_audit_digest(struct tpm *tpm, const struct writer *event)
{
	uint8_t *digest = tpm->stclear.auditDigest;

	crypto_sha1(digest, SPANS(SPAN(digest, DIGEST_SIZE), SPAN(event->buf, event->len)));
	tpm->changed |= TPM_CHANGED_VOLATILE;
}

/* The first audited command after a boot or a closed audit begins an audit session. */
static void
open_audit(struct tpm *tpm)
{
	if (tpm->stclear.audit_open)
		return;
	tpm->permanent.auditMonotonicCounter++;
	tpm->stclear.audit_open = true;
	tpm->changed |= TPM_CHANGED_PERMANENT;
}

TPM_RESULT
audit_command(struct command *c, TPM_RESULT rc)
{
	uint8_t buf[64], digest[DIGEST_SIZE], head[8];
	size_t handles = 4u * c->row->out_handles;
	struct writer event = writer_of(buf, sizeof(buf)), w = writer_of(head, sizeof(head));
	bool answered = rc == TPM_SUCCESS && c->out.len >= handles;

	open_audit(c->tpm);
	writer_u16(&event, TPM_TAG_AUDIT_EVENT_IN);
	writer_bytes(&event, c->in_digest, DIGEST_SIZE);
	write_counter(c->tpm, &event);
	extend_audit_digest(c->tpm, &event);

	writer_u32(&w, rc);
	writer_u32(&w, c->row->ordinal);
	crypto_sha1(digest, SPANS(SPAN(head, sizeof(head)),
				  SPAN(c->out.buf + handles, answered ? c->out.len - handles : 0)));
	event = writer_of(buf, sizeof(buf));
	writer_u16(&event, TPM_TAG_AUDIT_EVENT_OUT);
	writer_u32(&event, c->row->ordinal);
	writer_bytes(&event, digest, DIGEST_SIZE);
	write_counter(c->tpm, &event);
	writer_u32(&event, rc);
	extend_audit_digest(c->tpm, &event);
	return rc;
}

/* The audited ordinals from start on, as many as fit; returns the first that did not, or 0. */
static uint32_t
write_audited(const struct tpm *tpm, uint32_t start, struct writer *w)
{
	for (uint32_t i = start; i < AUDITABLE; i++) {
		if (!status_bit(&tpm->permanent, i))
			continue;
		if (w->size - w->len < 4)
			return i;
		writer_u32(w, i);
	}
	return 0;
}

TPM_RESULT
tpm_GetAuditDigest(struct command *c)
{
	uint32_t startOrdinal = reader_u32(&c->in);
	uint8_t list[4 * AUDITABLE];
	struct writer w = writer_of(list, sizeof(list));
	bool more = write_audited(c->tpm, startOrdinal, &w) != 0;

	write_counter(c->tpm, &c->out);
	writer_bytes(&c->out, c->tpm->stclear.auditDigest, DIGEST_SIZE);
	writer_u8(&c->out, more);
	writer_sized(&c->out, list, w.len);
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_GetAuditDigestSigned(struct command *c)
{
	static const uint8_t tag_and_fixed[6] = { 0, TPM_TAG_SIGNINFO, 'A', 'D', 'I', 'G' };
	const struct key *key = c->key[0];
	struct stclear *s = &c->tpm->stclear;
	bool closeAudit = reader_u8(&c->in);
	const uint8_t *antiReplay = reader_view(&c->in, DIGEST_SIZE);
	uint8_t list[4 * AUDITABLE], ordinalDigest[DIGEST_SIZE], digest[DIGEST_SIZE], size[4];
	struct writer w = writer_of(list, sizeof(list)), size_w = writer_of(size, sizeof(size));
	size_t at = c->out.len;

	if (key->parms.sigScheme != TPM_SS_RSASSAPKCS1v15_SHA1 &&
	    key->parms.sigScheme != TPM_SS_RSASSAPKCS1v15_INFO)
		return TPM_INAPPROPRIATE_SIG;
	if (!key_can_sign(key) || (closeAudit && key->keyUsage != TPM_KEY_IDENTITY))
		return TPM_INVALID_KEYUSAGE;
	write_audited(c->tpm, 0, &w);
	crypto_sha1(ordinalDigest, SPANS(SPAN(list, w.len)));
	write_counter(c->tpm, &c->out);
	writer_bytes(&c->out, s->auditDigest, DIGEST_SIZE);
	writer_bytes(&c->out, ordinalDigest, DIGEST_SIZE);
	writer_u32(&size_w, (uint32_t)(c->out.len - at));
	crypto_sha1(digest, SPANS(SPAN(tag_and_fixed, 6), SPAN(antiReplay, DIGEST_SIZE),
				  SPAN(size, 4), SPAN(c->out.buf + at, c->out.len - at)));
	TPM_RESULT rc = key_sign_sha1(key, digest, &c->out);
	if (rc == TPM_SUCCESS && closeAudit) {
		memset(s->auditDigest, 0, DIGEST_SIZE);
		s->audit_open = false;
	}
	return rc;
}

TPM_RESULT
tpm_SetOrdinalAuditStatus(struct command *c)
{
	uint32_t ordinal = reader_u32(&c->in);
	bool auditState = reader_u8(&c->in);
	const struct ordinal *row = ordinal_find(ordinal);

	if (!row || !row->handler || ordinal >= AUDITABLE || row->attributes & AUDIT_NEVER)
		return TPM_BADINDEX;
	if (status_bit(&c->tpm->permanent, ordinal) != auditState) {
		set_status_bit(&c->tpm->permanent, ordinal, auditState);
		c->tpm->changed |= TPM_CHANGED_PERMANENT;
	}
	return TPM_SUCCESS;
}
