/* TPM_SetCapability [TPM Main Part 3, 7.2; Part 2, 7 and 21.4]. */
#include "tpmcore/commands.h"

/* What must hold for a value to be set; checked in this order. */
enum {
	UNOWNED = 1 << 0,  /* no owner yet */
	BY_OWNER = 1 << 1, /* the owner's authorization; together with the next: either of them */
	BY_PRESENCE = 1 << 2, /* physical presence */
	AT_3_4 = 1 << 3,      /* from locality 3 or 4 */
	ONLY_TRUE = 1 << 4,
	ONLY_FALSE = 1 << 5,
	NOT_DISABLED = 1 << 6,
	NOT_DEACTIVATED = 1 << 7,
	NOT_OFF = NOT_DISABLED | NOT_DEACTIVATED,
};

/* TPM_PERMANENT_DATA and TPM_STCLEAR_DATA [Part 2, 7.4 and 7.5]. */
enum {
	TPM_PD_RESTRICTDELEGATE = 23,
	TPM_PD_DAAPROOF = 25,
	TPM_SD_DEFERREDPHYSICALPRESENCE = 6,
};

static TPM_RESULT
set_permanent_flag(struct command *c, uint32_t flag, uint32_t value)
{
	permanent_flag_set(c->tpm, flag, value);
	return TPM_SUCCESS;
}

static TPM_RESULT
set_stclear_flag(struct command *c, uint32_t flag, uint32_t value)
{
	c->tpm->stclear.flags[flag] = value != 0;
	return TPM_SUCCESS;
}

static TPM_RESULT
set_tos_present(struct command *c, uint32_t flag, uint32_t value)
{
	(void)flag;
	c->tpm->stany.TOSPresent = value != 0;
	return TPM_SUCCESS;
}

static TPM_RESULT
set_restrict_delegate(struct command *c, uint32_t sub, uint32_t value)
{
	(void)sub;
	c->tpm->permanent.restrictDelegate = value;
	c->tpm->changed |= TPM_CHANGED_PERMANENT;
	return TPM_SUCCESS;
}

/* Whatever the value. */
static TPM_RESULT
set_daa_proof(struct command *c, uint32_t sub, uint32_t value)
{
	(void)sub;
	(void)value;
	return daa_renew(c->tpm);
}

static TPM_RESULT
set_deferred_presence(struct command *c, uint32_t sub, uint32_t value)
{
	uint32_t *deferred = &c->tpm->stclear.deferredPhysicalPresence;

	(void)sub;
	if (value & ~*deferred && !tpm_physical_presence(c->tpm))
		return TPM_BAD_PRESENCE;
	*deferred = value;
	return TPM_SUCCESS;
}

/* All that can be set, as a value of width bytes (0: any). */
static const struct setting {
	uint8_t area;
	uint8_t sub;
	uint8_t width;
	uint8_t rules;
	TPM_RESULT (*set)(struct command *c, uint32_t sub, uint32_t value);
} settings[] = {
	{ TPM_SET_PERM_FLAGS, TPM_PF_DISABLE, 1, BY_OWNER | BY_PRESENCE, set_permanent_flag },
	{ TPM_SET_PERM_FLAGS, TPM_PF_OWNERSHIP, 1, UNOWNED | BY_PRESENCE | NOT_OFF,
	  set_permanent_flag },
	{ TPM_SET_PERM_FLAGS, TPM_PF_DEACTIVATED, 1, BY_PRESENCE | NOT_DISABLED,
	  set_permanent_flag },
	{ TPM_SET_PERM_FLAGS, TPM_PF_READPUBEK, 1, BY_OWNER | NOT_OFF, set_permanent_flag },
	{ TPM_SET_PERM_FLAGS, TPM_PF_DISABLEOWNERCLEAR, 1, BY_OWNER | ONLY_TRUE | NOT_OFF,
	  set_permanent_flag },
	{ TPM_SET_PERM_FLAGS, TPM_PF_ALLOWMAINTENANCE, 1, BY_OWNER | ONLY_FALSE | NOT_OFF,
	  set_permanent_flag },
	{ TPM_SET_PERM_FLAGS, TPM_PF_READSRKPUB, 1, BY_OWNER | NOT_OFF, set_permanent_flag },
	{ TPM_SET_PERM_FLAGS, TPM_PF_RESETESTABLISHMENTBIT, 1, AT_3_4 | ONLY_FALSE,
	  set_permanent_flag },
	{ TPM_SET_PERM_FLAGS, TPM_PF_DISABLEFULLDALOGICINFO, 1, BY_OWNER, set_permanent_flag },
	{ TPM_SET_PERM_DATA, TPM_PD_RESTRICTDELEGATE, 4, BY_OWNER | NOT_OFF,
	  set_restrict_delegate },
	{ TPM_SET_PERM_DATA, TPM_PD_DAAPROOF, 0, 0, set_daa_proof },
	{ TPM_SET_STCLEAR_FLAGS, TPM_SF_DISABLEFORCECLEAR, 1, ONLY_TRUE | NOT_OFF,
	  set_stclear_flag },
	{ TPM_SET_STCLEAR_DATA, TPM_SD_DEFERREDPHYSICALPRESENCE, 4, 0, set_deferred_presence },
	{ TPM_SET_STANY_FLAGS, TPM_AF_TOSPRESENT, 1, AT_3_4 | ONLY_FALSE | NOT_OFF,
	  set_tos_present },
};

static TPM_RESULT
check_rules(const struct command *c, unsigned rules, uint32_t value)
{
	const struct tpm *tpm = c->tpm;
	bool owner = rules & BY_OWNER && c->auth_count > 0;
	bool presence = rules & BY_PRESENCE && tpm_physical_presence(tpm);

	if (rules & UNOWNED && tpm->permanent.owner_installed)
		return TPM_OWNER_SET;
	if (rules & (BY_OWNER | BY_PRESENCE) && !owner && !presence)
		return TPM_AUTHFAIL;
	if (rules & AT_3_4 && c->locality < 3)
		return TPM_BAD_LOCALITY;
	if ((rules & ONLY_TRUE && !value) || (rules & ONLY_FALSE && value))
		return TPM_BAD_PARAMETER;
	if (rules & NOT_DISABLED && PERMANENT_FLAG(tpm, DISABLE))
		return TPM_DISABLED;
	if (rules & NOT_DEACTIVATED && STCLEAR_FLAG(tpm, DEACTIVATED))
		return TPM_DEACTIVATED;
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_SetCapability(struct command *c)
{
	uint32_t capArea = reader_u32(&c->in);
	struct reader subCap = reader_sized(&c->in);
	struct reader setValue = reader_sized(&c->in);
	uint32_t sub = reader_u32(&subCap);
	const struct setting *s = settings;

	if (capArea < TPM_SET_PERM_FLAGS || capArea > TPM_SET_VENDOR)
		return TPM_BAD_MODE;
	if (!reader_done(&subCap))
		return TPM_BAD_PARAMETER;
	while (s->area != capArea || s->sub != sub)
		if (++s == settings + sizeof(settings) / sizeof(settings[0]))
			return TPM_BAD_PARAMETER;
	uint32_t value = (uint32_t)reader_uint(&setValue, s->width);
	if (s->width && !reader_done(&setValue))
		return TPM_BAD_PARAMETER;
	TPM_RESULT rc = check_rules(c, s->rules, value);
	return rc ? rc : s->set(c, sub, value);
}
