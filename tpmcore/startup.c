/* Admin startup and state [TPM Main Part 3, 3]. */
#include <stdlib.h>

#include "tpmcore/commands.h"
#include "tpmcore/state.h"

void
tpm_fail(struct tpm *tpm)
{
	tpm->stany.self_test_failed = true;
}

static void
startup_clear(struct tpm *tpm)
{
	STCLEAR_FLAG(tpm, DEACTIVATED) = PERMANENT_FLAG(tpm, DEACTIVATED);
	tpm->stclear.ownerReference = TPM_KH_OWNER;
	pcr_startup_clear(tpm);
	nv_startup_clear(tpm);
}

/* Takes up what TPM_SaveState kept, but for what a power cycle ends all the same. */
static TPM_RESULT
startup_state(struct tpm *tpm)
{
	struct stany fresh = tpm->stany;
	uint8_t *saved = tpm->saved;
	size_t len = tpm->saved_len;

	if (!saved || state_decode(tpm, TPM_STATE_SAVED, saved, len) != TPM_SUCCESS) {
		tpm_fail(tpm);
		return TPM_FAILEDSELFTEST;
	}
	memcpy(tpm->stany.tickNonce, fresh.tickNonce, DIGEST_SIZE);
	tpm->stany.tick_start = fresh.tick_start;
	tpm->stany.hash = HASH_NONE;
	tpm->stany.TOSPresent = false;
	pcr_startup_state(tpm);
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_Startup(struct command *c)
{
	struct tpm *tpm = c->tpm;
	uint16_t type = reader_u16(&c->in);
	TPM_RESULT rc = TPM_SUCCESS;

	if (!tpm->stany.postInitialise)
		return TPM_INVALID_POSTINIT;
	if (type != TPM_ST_CLEAR && type != TPM_ST_STATE && type != TPM_ST_DEACTIVATED)
		return TPM_BAD_PARAMETER;
	if (type == TPM_ST_STATE)
		rc = startup_state(tpm);
	else
		startup_clear(tpm);
	if (type == TPM_ST_DEACTIVATED)
		STCLEAR_FLAG(tpm, DEACTIVATED) = true;
	saved_state_drop(tpm);
	tpm->stany.postInitialise = false;
	return rc;
}

TPM_RESULT
tpm_SaveState(struct command *c)
{
	struct tpm *tpm = c->tpm;
	uint8_t *blob;
	size_t len;
	TPM_RESULT rc = state_encode(tpm, TPM_STATE_SAVED, &blob, &len);

	if (rc)
		return rc;
	saved_state_drop(tpm);
	tpm->saved = blob;
	tpm->saved_len = len;
	tpm->changed |= TPM_CHANGED_SAVED;
	return TPM_SUCCESS;
}
