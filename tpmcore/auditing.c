/* Auditing [TPM Main Part 3, 8; Part 1, 17]. */
#include "tpmcore/commands.h"

/* Where an ordinal's status is: the TPM's own by number, those of the TSC (0x4000000X) behind. */
static unsigned
place_of(uint32_t ordinal)
{
	return ordinal < AUDIT_TPM_ORDINALS ? ordinal : AUDIT_TPM_ORDINALS + (ordinal & 0xf);
}

static void
set_status(struct permanent *p, uint32_t ordinal, bool audited)
{
	unsigned place = place_of(ordinal);
	uint8_t mask = (uint8_t)(1 << place % 8);

	if (audited)
		p->ordinalAuditStatus[place / 8] |= mask;
	else
		p->ordinalAuditStatus[place / 8] &= (uint8_t)~mask;
}

void
audit_manufacture(struct tpm *tpm)
{
	memset(tpm->permanent.ordinalAuditStatus, 0, sizeof(tpm->permanent.ordinalAuditStatus));
	for (const struct ordinal *row = NULL; (row = ordinal_next(row)) != NULL;)
		if (row->attributes & AUDIT_DEFAULT)
			set_status(&tpm->permanent, row->ordinal, true);
}

bool
audit_status(const struct tpm *tpm, uint32_t ordinal)
{
	unsigned place = place_of(ordinal);

	return tpm->permanent.ordinalAuditStatus[place / 8] >> place % 8 & 1;
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

/* Extends the audit digest by a TPM_AUDIT_EVENT_IN or _OUT [Part 2, 14.1 and 14.2]. */
static void
extend_audit_digest(struct tpm *tpm, uint16_t tag, const uint8_t *params_digest)
{
	uint8_t *digest = tpm->stclear.auditDigest;
	uint8_t buf[64];
	struct writer event = writer_of(buf, sizeof(buf));

	writer_u16(&event, tag);
	writer_bytes(&event, params_digest, DIGEST_SIZE);
	write_counter(tpm, &event);
	crypto_sha1(digest, SPANS(SPAN(digest, DIGEST_SIZE), SPAN(buf, event.len)));
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

void
audit_command(struct command *c)
{
	open_audit(c->tpm);
	extend_audit_digest(c->tpm, TPM_TAG_AUDIT_EVENT_IN, c->in_digest);
	extend_audit_digest(c->tpm, TPM_TAG_AUDIT_EVENT_OUT, c->out_digest);
}

/* The list of the audited ordinals from start on; there is room for all of them. */
static void
write_audited(const struct tpm *tpm, uint32_t start, struct writer *w)
{
	for (uint32_t place = 0; place < AUDIT_PLACES; place++) {
		bool tsc = place >= AUDIT_TPM_ORDINALS;
		uint32_t ordinal = tsc ? 0x40000000 | (place - AUDIT_TPM_ORDINALS) : place;

		if (ordinal >= start && audit_status(tpm, ordinal))
			writer_u32(w, ordinal);
	}
}

TPM_RESULT
tpm_GetAuditDigest(struct command *c)
{
	uint32_t startOrdinal = reader_u32(&c->in);
	uint8_t list[4 * AUDIT_PLACES];
	struct writer w = writer_of(list, sizeof(list));

	write_audited(c->tpm, startOrdinal, &w);
	write_counter(c->tpm, &c->out);
	writer_bytes(&c->out, c->tpm->stclear.auditDigest, DIGEST_SIZE);
	writer_u8(&c->out, false); /* more */
	writer_sized(&c->out, list, w.len);
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_GetAuditDigestSigned(struct command *c)
{
	const struct key *key = c->key[0];
	struct stclear *s = &c->tpm->stclear;
	bool closeAudit = reader_u8(&c->in);
	const uint8_t *antiReplay = reader_view(&c->in, DIGEST_SIZE);
	uint8_t list[4 * AUDIT_PLACES], ordinalDigest[DIGEST_SIZE], digest[DIGEST_SIZE];
	uint8_t signed_data[2 * DIGEST_SIZE + 16];
	struct writer w = writer_of(list, sizeof(list));
	struct writer data = writer_of(signed_data, sizeof(signed_data));

	if (!key_can_sign(key) || (closeAudit && key->keyUsage != TPM_KEY_IDENTITY))
		return TPM_INVALID_KEYUSAGE;
	if (!key_signs_digests(key))
		return TPM_INAPPROPRIATE_SIG;
	write_audited(c->tpm, 0, &w);
	crypto_sha1(ordinalDigest, SPANS(SPAN(list, w.len)));
	writer_bytes(&data, s->auditDigest, DIGEST_SIZE);
	write_counter(c->tpm, &data);
	writer_bytes(&data, ordinalDigest, DIGEST_SIZE);
	sign_info_digest("ADIG", antiReplay, SPAN(signed_data, data.len), digest);
	write_counter(c->tpm, &c->out);
	writer_bytes(&c->out, s->auditDigest, DIGEST_SIZE);
	writer_bytes(&c->out, ordinalDigest, DIGEST_SIZE);
	TPM_RESULT rc = key_sign_sha1(c, key, digest);
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

	if (!row || row->attributes & AUDIT_NEVER)
		return TPM_BADINDEX;
	if (audit_status(c->tpm, ordinal) != auditState) {
		set_status(&c->tpm->permanent, ordinal, auditState);
		c->tpm->changed |= TPM_CHANGED_PERMANENT;
	}
	return TPM_SUCCESS;
}
