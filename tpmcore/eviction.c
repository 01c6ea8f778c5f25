/* Eviction [TPM Main Part 3, 22]. */
#include "tpmcore/commands.h"
#include "tpmcore/resources.h"

/* [Part 3, 22.1] */
TPM_RESULT
tpm_FlushSpecific(struct command *c)
{
	uint32_t type = reader_u32(&c->in);
	const struct resource *r = resource_of(type);

	/* A saved context has its contextCount for a handle. */
	if (type == TPM_RT_CONTEXT)
		return context_forget(c->tpm, c->handle[0]) ? TPM_SUCCESS : TPM_BAD_PARAMETER;
	if (!r)
		return TPM_INVALID_RESOURCE;
	void *slot = resource_find(c->tpm, r, c->handle[0]);
	if (!slot)
		return r->missing;
	if (type == TPM_RT_KEY && ((struct key_slot *)slot)->ownerEvict)
		return TPM_KEY_OWNER_CONTROL;
	resource_release(c->tpm, r, slot);
	return TPM_SUCCESS;
}
