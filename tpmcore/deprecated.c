/* Commands that 1.2 keeps of 1.1 [TPM Main Part 3, 27]. */
#include "tpmcore/commands.h"
#include "tpmcore/resources.h"

/* [Part 3, 27.1.1] */
TPM_RESULT
tpm_EvictKey(struct command *c)
{
	if (!c->slot[0])
		return TPM_INVALID_KEYHANDLE;
	if (c->slot[0]->ownerEvict)
		return TPM_KEY_OWNER_CONTROL;
	resource_release(c->tpm, resource_of(TPM_RT_KEY), c->slot[0]);
	return TPM_SUCCESS;
}

/* [Part 3, 27.1.2] */
TPM_RESULT
tpm_Terminate_Handle(struct command *c)
{
	struct session *s = session_find(c->tpm, c->handle[0]);

	if (!s)
		return TPM_INVALID_AUTHHANDLE;
	session_terminate(s);
	return TPM_SUCCESS;
}

static const uint8_t no_label[16];

/* [Part 3, 27.2.1] The key's sessions stay: they are swapped one by one. */
TPM_RESULT
tpm_SaveKeyContext(struct command *c)
{
	if (!c->slot[0])
		return TPM_INVALID_KEYHANDLE;
	TPM_RESULT rc = context_save(c, TPM_RT_KEY, c->handle[0], no_label);
	if (rc == TPM_SUCCESS)
		key_slot_free(c->slot[0]);
	return rc;
}

/* A context, if it is one of this type. */
static TPM_RESULT
load_context(struct command *c, uint32_t type)
{
	struct reader blob = reader_sized(&c->in), ahead = blob;

	reader_u16(&ahead);
	if (reader_u32(&ahead) != type)
		return TPM_BAD_PARAMETER;
	return context_load(c, blob, NULL, false);
}

/* [Part 3, 27.2.2] */
TPM_RESULT
tpm_LoadKeyContext(struct command *c)
{
	return load_context(c, TPM_RT_KEY);
}

/* [Part 3, 27.2.3] */
TPM_RESULT
tpm_SaveAuthContext(struct command *c)
{
	if (!session_find(c->tpm, c->handle[0]))
		return TPM_INVALID_AUTHHANDLE;
	return context_save(c, TPM_RT_AUTH, c->handle[0], no_label);
}

/* [Part 3, 27.2.4] */
TPM_RESULT
tpm_LoadAuthContext(struct command *c)
{
	return load_context(c, TPM_RT_AUTH);
}

/* [Part 3, 27.3.1] There is one DIR. */
TPM_RESULT
tpm_DirWriteAuth(struct command *c)
{
	if (reader_u32(&c->in) != 0)
		return TPM_BADINDEX;
	reader_bytes(&c->in, c->tpm->permanent.authDIR, DIGEST_SIZE);
	c->tpm->changed |= TPM_CHANGED_PERMANENT;
	return TPM_SUCCESS;
}

/* [Part 3, 27.3.2] */
TPM_RESULT
tpm_DirRead(struct command *c)
{
	if (reader_u32(&c->in) != 0)
		return TPM_BADINDEX;
	writer_bytes(&c->out, c->tpm->permanent.authDIR, DIGEST_SIZE);
	return TPM_SUCCESS;
}

/* [Part 3, 27.5] Ends all authorization sessions, the saved ones too. */
TPM_RESULT
tpm_Reset(struct command *c)
{
	session_terminate_all(c->tpm);
	memset(c->tpm->stany.contextList, 0, sizeof(c->tpm->stany.contextList));
	return TPM_SUCCESS;
}
