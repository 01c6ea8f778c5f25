/* The dynamic launch: what the platform does at locality 4, without commands [TIS 1.21, 11.3.4]. */
#include "tpmcore/core.h"

TPM_RESULT
tpm_hash_start(struct tpm *tpm, unsigned *changes)
{
	if (tpm->stany.postInitialise)
		return TPM_INVALID_POSTINIT;
	transport_end_exclusive(tpm);
	memset(tpm->stclear.pcr[17], 0, 6 * DIGEST_SIZE);
	tpm->stany.TOSPresent = true;
	tpm->stany.hash = HASH_LAUNCH;
	crypto_sha1_start(&tpm->stany.sha1);
	*changes |= TPM_CHANGED_VOLATILE;
	if (!PERMANENT_FLAG(tpm, RESETESTABLISHMENTBIT)) {
		PERMANENT_FLAG(tpm, RESETESTABLISHMENTBIT) = true;
		*changes |= TPM_CHANGED_PERMANENT;
	}
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_hash_data(struct tpm *tpm, const uint8_t *data, size_t len, unsigned *changes)
{
	if (tpm->stany.hash != HASH_LAUNCH)
		return TPM_SHA_THREAD;
	crypto_sha1_update(&tpm->stany.sha1, data, len);
	*changes |= TPM_CHANGED_VOLATILE;
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_hash_end(struct tpm *tpm, unsigned *changes)
{
	uint8_t digest[DIGEST_SIZE];

	if (tpm->stany.hash != HASH_LAUNCH)
		return TPM_SHA_THREAD;
	tpm->stany.hash = HASH_NONE;
	crypto_sha1_final(&tpm->stany.sha1, digest);
	*changes |= TPM_CHANGED_VOLATILE;
	return pcr_extend(tpm, 4, 17, digest);
}

bool
tpm_established(const struct tpm *tpm)
{
	return PERMANENT_FLAG(tpm, RESETESTABLISHMENTBIT);
}

TPM_RESULT
tpm_reset_established(struct tpm *tpm, unsigned locality, unsigned *changes)
{
	if (locality != 3 && locality != 4)
		return TPM_BAD_LOCALITY;
	if (PERMANENT_FLAG(tpm, RESETESTABLISHMENTBIT)) {
		PERMANENT_FLAG(tpm, RESETESTABLISHMENTBIT) = false;
		*changes |= TPM_CHANGED_PERMANENT;
	}
	return TPM_SUCCESS;
}
