/* Direct anonymous attestation [TPM Main Part 3, 26]. */
#include "tpmcore/commands.h"

struct daa_session *
daa_find(struct tpm *tpm, uint32_t handle)
{
	for (struct daa_session *d = tpm->stany.daa; d < tpm->stany.daa + MAX_DAA; d++)
		if (d->handle != 0 && d->handle == handle)
			return d;
	return NULL;
}

void
daa_free(struct daa_session *d)
{
	crypto_wipe(d, sizeof(*d));
}
