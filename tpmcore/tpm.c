#include <stdlib.h>

#include "tpmcore/core.h"

struct tpm *
tpm_new(const struct tpm_platform *platform)
{
	struct tpm *tpm = calloc(1, sizeof(*tpm));

	if (!tpm)
		return NULL;
	tpm->platform = *platform;
	tpm->cancel = (struct cancel) { tpm_cancelled, tpm };
	tpm_manufacture(tpm);
	pcr_manufacture(tpm);
	tpm_init(tpm);
	return tpm;
}

void
tpm_manufacture(struct tpm *tpm)
{
	struct permanent *p = &tpm->permanent;

	PERMANENT_FLAG(tpm, OWNERSHIP) = true;
	PERMANENT_FLAG(tpm, READPUBEK) = true;
	PERMANENT_FLAG(tpm, PHYSICALPRESENCEHWENABLE) = true;
	PERMANENT_FLAG(tpm, ENABLEREVOKEEK) = true;
	PERMANENT_FLAG(tpm, TPMPOST) = true;
	(void)tpm_random(tpm, p->tpmProof, sizeof(p->tpmProof));
	(void)tpm_random(tpm, p->contextKey, sizeof(p->contextKey));
	(void)tpm_random(tpm, p->delegateKey, sizeof(p->delegateKey));
	(void)daa_renew(tpm);
	audit_manufacture(tpm);
}

void
tpm_free_nv(struct tpm *tpm)
{
	for (size_t i = 0; i < tpm->nv_count; i++) {
		crypto_wipe(tpm->nv[i].data, tpm->nv[i].pub.dataSize);
		free(tpm->nv[i].data);
	}
	if (tpm->nv)
		crypto_wipe(tpm->nv, tpm->nv_count * sizeof(*tpm->nv));
	free(tpm->nv);
	tpm->nv = NULL;
	tpm->nv_count = 0;
}

void
tpm_free(struct tpm *tpm)
{
	if (!tpm)
		return;
	tpm_free_nv(tpm);
	saved_state_drop(tpm);
	crypto_wipe(tpm, sizeof(*tpm));
	free(tpm);
}

void
tpm_init(struct tpm *tpm)
{
	for (struct key_slot *k = tpm->keys; k < tpm->keys + MAX_KEYS; k++)
		if (k->handle != 0 && !k->ownerEvict)
			key_slot_free(k);
	crypto_wipe(&tpm->stclear, sizeof(tpm->stclear));
	crypto_wipe(&tpm->stany, sizeof(tpm->stany));
	tpm->stany.postInitialise = true;
	tpm->stany.tick_start = tpm->platform.now(tpm->platform.ctx);
	(void)tpm_random(tpm, tpm->stany.tickNonce, DIGEST_SIZE);
	(void)tpm_random(tpm, tpm->stany.contextNonceSession, DIGEST_SIZE);
	(void)tpm_random(tpm, tpm->stany.contextNonceKey, DIGEST_SIZE);
}

TPM_RESULT
tpm_random(struct tpm *tpm, void *buf, size_t len)
{
	return tpm->platform.random(tpm->platform.ctx, buf, len) ? TPM_FAIL : TPM_SUCCESS;
}

bool
tpm_cancelled(void *ctx)
{
	struct tpm *tpm = ctx;

	tpm->cancelled |= tpm->platform.cancelled(tpm->platform.ctx);
	return tpm->cancelled;
}

bool
tpm_physical_presence(const struct tpm *tpm)
{
	if (PERMANENT_FLAG(tpm, PHYSICALPRESENCEHWENABLE) &&
	    tpm->platform.physical_presence(tpm->platform.ctx))
		return true;
	return PERMANENT_FLAG(tpm, PHYSICALPRESENCECMDENABLE) &&
	       STCLEAR_FLAG(tpm, PHYSICALPRESENCE);
}

uint32_t
tpm_new_handle(struct tpm *tpm, uint8_t resource_type,
	       bool (*in_use)(struct tpm *tpm, uint32_t handle))
{
	uint32_t handle = 0;

	do {
		(void)tpm_random(tpm, &handle, sizeof(handle));
		handle = (uint32_t)resource_type << 24 | (handle & 0xffffff);
	} while (in_use(tpm, handle));
	return handle;
}

void
saved_state_drop(struct tpm *tpm)
{
	if (!tpm->saved)
		return;
	crypto_wipe(tpm->saved, tpm->saved_len);
	free(tpm->saved);
	tpm->saved = NULL;
	tpm->saved_len = 0;
	tpm->changed |= TPM_CHANGED_SAVED;
}
