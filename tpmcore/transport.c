/* Transport sessions [TPM Main Part 3, 24]. */
#include "tpmcore/commands.h"

struct transport *
transport_find(struct tpm *tpm, uint32_t handle)
{
	for (struct transport *t = tpm->stany.transports;
	     t < tpm->stany.transports + MAX_TRANSPORTS; t++)
		if (t->handle != 0 && t->handle == handle)
			return t;
	return NULL;
}

void
transport_free(struct tpm *tpm, struct transport *t)
{
	if (tpm->stany.exclusive == t->handle)
		tpm->stany.exclusive = 0;
	crypto_wipe(t, sizeof(*t));
}
