/* Administrative functions [TPM Main Part 3, 9]. TPM_ResetLockValue is in dictionary.c. */
#include "tpmcore/commands.h"

/*
 * This TPM is upgraded with the software of its host. Whoever could upgrade a chip is told that all
 * is done.
 */
TPM_RESULT
tpm_FieldUpgrade(struct command *c)
{
	if (c->auth_count > 0)
		return TPM_SUCCESS;
	if (c->tpm->permanent.owner_installed)
		return TPM_AUTHFAIL;
	return tpm_physical_presence(c->tpm) || c->tpm->stclear.deferredPhysicalPresence
		   ? TPM_SUCCESS
		   : TPM_BAD_PRESENCE;
}

/* There is nothing to send the output of a key to. */
TPM_RESULT
tpm_SetRedirection(struct command *c)
{
	(void)c;
	return TPM_DISABLED_CMD;
}
