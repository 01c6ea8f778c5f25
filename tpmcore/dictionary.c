/*
 * Dictionary attack mitigation [TPM Main Part 1, 25; Part 3, 9.3]: after a number of failed
 * authorizations every further one locks all authorizations for a time that doubles.
 */
#include "tpmcore/commands.h"

enum { THRESHOLD = 5, DOUBLINGS_MAX = 17 }; /* longest lock: 2^17 s, a day and a half */

static const uint64_t second = 1000000;
static const uint64_t quiet_period = 3600 * second; /* without a failure: all are forgotten */

static uint64_t
platform_now(const struct tpm *tpm)
{
	return tpm->platform.now(tpm->platform.ctx);
}

static uint64_t
time_left(const struct tpm *tpm)
{
	const struct dictionary *d = &tpm->permanent.dictionary;
	/* A moment of before a restart may lie before this clock's zero: only distances count. */
	int64_t left = (int64_t)(d->locked_until - platform_now(tpm));

	return d->failures > THRESHOLD && left > 0 ? (uint64_t)left : 0;
}

static void
lock(struct tpm *tpm)
{
	struct dictionary *d = &tpm->permanent.dictionary;
	uint32_t doublings = d->failures - THRESHOLD - 1;

	if (doublings > DOUBLINGS_MAX)
		doublings = DOUBLINGS_MAX;
	d->locked_until = platform_now(tpm) + (second << doublings);
	tpm->changed |= TPM_CHANGED_PERMANENT;
}

TPM_RESULT
dictionary_check(struct command *c)
{
	/* The owner must be able to end the lock. */
	if (c->row->ordinal == TPM_ORD_ResetLockValue || time_left(c->tpm) == 0)
		return TPM_SUCCESS;
	return TPM_DEFEND_LOCK_RUNNING;
}

void
dictionary_failure(struct tpm *tpm)
{
	struct dictionary *d = &tpm->permanent.dictionary;
	uint64_t now = platform_now(tpm);

	if (now - d->last_failure > quiet_period)
		d->failures = 0;
	d->last_failure = now;
	if (d->failures < UINT32_MAX)
		d->failures++;
	if (d->failures > THRESHOLD)
		lock(tpm);
}

TPM_RESULT
tpm_ResetLockValue(struct command *c)
{
	struct tpm *tpm = c->tpm;

	/* One guess a lock: or the way out were the attacker's way in. */
	if (tpm->stclear.disableResetLock && time_left(tpm) > 0)
		return TPM_AUTHFAIL;
	tpm->stclear.disableResetLock = false;
	TPM_RESULT rc = auth_verify(c, 0, entity_owner(tpm));
	if (rc) {
		tpm->stclear.disableResetLock = true;
		return rc;
	}
	if (tpm->permanent.dictionary.failures > 0) {
		tpm->permanent.dictionary.failures = 0;
		tpm->changed |= TPM_CHANGED_PERMANENT;
	}
	return TPM_SUCCESS;
}

/* TPM_DA_ACTION_TYPE: what happens at the threshold. */
static void
write_action(struct writer *w)
{
	writer_u16(w, TPM_TAG_DA_ACTION_TYPE);
	writer_u32(w, TPM_DA_ACTION_TIMEOUT);
}

void
dictionary_info_write(const struct tpm *tpm, struct writer *w)
{
	const struct dictionary *d = &tpm->permanent.dictionary;
	uint64_t left = time_left(tpm);
	uint8_t state = left ? TPM_DA_STATE_ACTIVE : TPM_DA_STATE_INACTIVE;

	if (PERMANENT_FLAG(tpm, DISABLEFULLDALOGICINFO)) {
		writer_u16(w, TPM_TAG_DA_INFO_LIMITED);
		writer_u8(w, state);
		write_action(w);
	} else {
		writer_u16(w, TPM_TAG_DA_INFO);
		writer_u8(w, state);
		writer_u16(w, (uint16_t)(d->failures < UINT16_MAX ? d->failures : UINT16_MAX));
		writer_u16(w, THRESHOLD);
		write_action(w);
		writer_u32(w, (uint32_t)((left + second - 1) / second)); /* actionDependValue */
	}
	writer_u32(w, 0); /* vendorDataSize */
}
