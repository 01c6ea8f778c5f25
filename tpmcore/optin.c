/* Admin opt-in [TPM Main Part 3, 5], and physical presence [Part 3, 6.6 and 6.7]. */
#include "tpmcore/commands.h"

void
permanent_flag_set(struct tpm *tpm, unsigned flag, bool value)
{
	if (tpm->permanent.flags[flag] == value)
		return;
	tpm->permanent.flags[flag] = value;
	tpm->changed |= TPM_CHANGED_PERMANENT;
}

/* A permanent flag that physical presence alone may set. */
static TPM_RESULT
set_by_presence(struct command *c, unsigned flag, bool value)
{
	if (!tpm_physical_presence(c->tpm))
		return TPM_BAD_PRESENCE;
	permanent_flag_set(c->tpm, flag, value);
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_SetOwnerInstall(struct command *c)
{
	if (c->tpm->permanent.owner_installed)
		return TPM_SUCCESS;
	return set_by_presence(c, TPM_PF_OWNERSHIP, reader_u8(&c->in));
}

TPM_RESULT
tpm_OwnerSetDisable(struct command *c)
{
	permanent_flag_set(c->tpm, TPM_PF_DISABLE, reader_u8(&c->in));
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_PhysicalEnable(struct command *c)
{
	return set_by_presence(c, TPM_PF_DISABLE, false);
}

TPM_RESULT
tpm_PhysicalDisable(struct command *c)
{
	return set_by_presence(c, TPM_PF_DISABLE, true);
}

TPM_RESULT
tpm_PhysicalSetDeactivated(struct command *c)
{
	return set_by_presence(c, TPM_PF_DEACTIVATED, reader_u8(&c->in));
}

TPM_RESULT
tpm_SetTempDeactivated(struct command *c)
{
	struct tpm *tpm = c->tpm;

	if (c->auth_count > 0) {
		/* 1. The operator's authorization ... */
		if (!PERMANENT_FLAG(tpm, OPERATOR))
			return TPM_NOOPERATOR;
		TPM_RESULT rc = auth_verify(
		    c, 0, entity_number(TPM_ET_OPERATOR, 0, tpm->permanent.operatorAuth));
		if (rc)
			return rc;
	} else if (!tpm_physical_presence(tpm)) {
		/* 2. ... or physical presence */
		return TPM_BAD_PRESENCE;
	}
	STCLEAR_FLAG(tpm, DEACTIVATED) = true;
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_SetOperatorAuth(struct command *c)
{
	struct tpm *tpm = c->tpm;

	if (!tpm_physical_presence(tpm))
		return TPM_BAD_PRESENCE;
	reader_bytes(&c->in, tpm->permanent.operatorAuth, DIGEST_SIZE);
	PERMANENT_FLAG(tpm, OPERATOR) = true;
	tpm->changed |= TPM_CHANGED_PERMANENT;
	return TPM_SUCCESS;
}

enum {
	PRESENCE_STATE = TPM_PHYSICAL_PRESENCE_LOCK | TPM_PHYSICAL_PRESENCE_PRESENT |
			 TPM_PHYSICAL_PRESENCE_NOTPRESENT,
	PRESENCE_CONFIGURATION =
	    TPM_PHYSICAL_PRESENCE_CMD_ENABLE | TPM_PHYSICAL_PRESENCE_HW_ENABLE |
	    TPM_PHYSICAL_PRESENCE_LIFETIME_LOCK | TPM_PHYSICAL_PRESENCE_CMD_DISABLE |
	    TPM_PHYSICAL_PRESENCE_HW_DISABLE,
};

/* What each bit of the configuration sets. */
static const struct {
	uint16_t bit;
	uint8_t flag;
	bool value;
} presence_flags[] = {
	{ TPM_PHYSICAL_PRESENCE_LIFETIME_LOCK, TPM_PF_PHYSICALPRESENCELIFETIMELOCK, true },
	{ TPM_PHYSICAL_PRESENCE_HW_ENABLE, TPM_PF_PHYSICALPRESENCEHWENABLE, true },
	{ TPM_PHYSICAL_PRESENCE_HW_DISABLE, TPM_PF_PHYSICALPRESENCEHWENABLE, false },
	{ TPM_PHYSICAL_PRESENCE_CMD_ENABLE, TPM_PF_PHYSICALPRESENCECMDENABLE, true },
	{ TPM_PHYSICAL_PRESENCE_CMD_DISABLE, TPM_PF_PHYSICALPRESENCECMDENABLE, false },
};

/* Bits that contradict each other; at most one of each pair. */
static const uint16_t presence_conflicts[] = {
	TPM_PHYSICAL_PRESENCE_CMD_ENABLE | TPM_PHYSICAL_PRESENCE_CMD_DISABLE,
	TPM_PHYSICAL_PRESENCE_HW_ENABLE | TPM_PHYSICAL_PRESENCE_HW_DISABLE,
	TPM_PHYSICAL_PRESENCE_PRESENT | TPM_PHYSICAL_PRESENCE_NOTPRESENT,
	TPM_PHYSICAL_PRESENCE_PRESENT | TPM_PHYSICAL_PRESENCE_LOCK,
};

static TPM_RESULT
configure_presence(struct tpm *tpm, uint16_t wish)
{
	if (PERMANENT_FLAG(tpm, PHYSICALPRESENCELIFETIMELOCK))
		return TPM_BAD_PARAMETER;
	for (size_t i = 0; i < sizeof(presence_flags) / sizeof(presence_flags[0]); i++)
		if (wish & presence_flags[i].bit)
			permanent_flag_set(tpm, presence_flags[i].flag, presence_flags[i].value);
	return TPM_SUCCESS;
}

static TPM_RESULT
assert_presence(struct tpm *tpm, uint16_t wish)
{
	if (!PERMANENT_FLAG(tpm, PHYSICALPRESENCECMDENABLE) ||
	    STCLEAR_FLAG(tpm, PHYSICALPRESENCELOCK))
		return TPM_BAD_PARAMETER;
	STCLEAR_FLAG(tpm, PHYSICALPRESENCE) = wish & TPM_PHYSICAL_PRESENCE_PRESENT;
	STCLEAR_FLAG(tpm, PHYSICALPRESENCELOCK) = wish & TPM_PHYSICAL_PRESENCE_LOCK;
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_PhysicalPresence(struct command *c)
{
	uint16_t wish = reader_u16(&c->in);

	for (size_t i = 0; i < sizeof(presence_conflicts) / sizeof(presence_conflicts[0]); i++)
		if ((wish & presence_conflicts[i]) == presence_conflicts[i])
			return TPM_BAD_PARAMETER;
	/* Configuration and state are not set in one command. */
	if (wish & PRESENCE_CONFIGURATION && !(wish & ~PRESENCE_CONFIGURATION))
		return configure_presence(c->tpm, wish);
	if (wish & PRESENCE_STATE && !(wish & ~PRESENCE_STATE))
		return assert_presence(c->tpm, wish);
	return TPM_BAD_PARAMETER;
}

TPM_RESULT
tpm_ResetEstablishmentBit(struct command *c)
{
	return tpm_reset_established(c->tpm, c->locality, &c->tpm->changed);
}
