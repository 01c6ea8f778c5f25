#include "tpmcore/core.h"
#include "tpmcore/commands.h"

/* A row of the table; what follows the parameters sets further members by name. */
#define CMD(prefix, name_, handles_, auths_, duration_, params_, ...)                              \
	{                                                                                          \
		.ordinal = prefix##_ORD_##name_, .name = #prefix "_" #name_,                       \
		.handler = tpm_##name_, .handles = { handles_ }, .auths = { auths_ },              \
		.duration = DURATION_##duration_, .params = params_, __VA_ARGS__                   \
	}

#define NO_HANDLE             HANDLE_NONE
#define KEY                   HANDLE_KEY
#define KEY_KEY               HANDLE_KEY, HANDLE_KEY
#define RAW                   HANDLE_RAW
#define NO_AUTH               AUTH_NONE
#define OWNER                 AUTH_OWNER
#define OWNER_OR_NONE         AUTH_OWNER_OR_NONE
#define HANDLER               AUTH_HANDLER
#define HANDLER_OR_NONE       AUTH_HANDLER_OR_NONE
#define BY_KEY                AUTH_KEY
#define BY_KEY_ALWAYS         AUTH_KEY_ALWAYS
#define BY_KEY_ALWAYS_HANDLER AUTH_KEY_ALWAYS, AUTH_HANDLER
#define BY_KEY_PUBLIC         AUTH_KEY_PUBLIC
#define BY_KEY_KEY_PUBLIC     AUTH_KEY, AUTH_KEY_PUBLIC
#define BY_KEY_PUBLIC_KEY     AUTH_KEY_PUBLIC, AUTH_KEY
#define BY_KEY_HANDLER        AUTH_KEY, AUTH_HANDLER
#define BY_KEY_TRANSPORT      AUTH_KEY, AUTH_TRANSPORT
#define BY_TRANSPORT          AUTH_TRANSPORT
#define BY_KEY_OWNER          AUTH_KEY, AUTH_OWNER
#define SRK_OWNER             AUTH_SRK, AUTH_OWNER
#define WHEN_OFF              (WHEN_DISABLED | WHEN_DEACTIVATED)
#define OWNER_MAY(name)       .owner_permission = TPM_DELEGATE_##name
#define KEY_MAY(name)         .key_permission = TPM_KEY_DELEGATE_##name

/* Every command, in the order of TPM Main Part 3. core.h says what a row declares. */
/* clang-format off */
static const struct ordinal table[] = {
	/* Admin startup and state (3) */
	CMD(TPM, Startup, NO_HANDLE, NO_AUTH, SHORT, "2",
	    .attributes = WHEN_OFF | KEEPS_SAVED | WHEN_FAILED | WHEN_POSTINIT),
	CMD(TPM, SaveState, NO_HANDLE, NO_AUTH, MEDIUM, "",
	    .attributes = WHEN_OFF | KEEPS_SAVED | NO_TRANSPORT),

	/* Testing (4) */
	CMD(TPM, SelfTestFull, NO_HANDLE, NO_AUTH, LONG, "",
	    .attributes = WHEN_OFF | KEEPS_SAVED | WHEN_FAILED),
	CMD(TPM, ContinueSelfTest, NO_HANDLE, NO_AUTH, MEDIUM, "",
	    .attributes = WHEN_OFF | KEEPS_SAVED | WHEN_FAILED),
	CMD(TPM, GetTestResult, NO_HANDLE, NO_AUTH, SHORT, "",
	    .attributes = WHEN_OFF | WHEN_FAILED | PURE),

	/* Opt-in (5) */
	CMD(TPM, SetOwnerInstall, NO_HANDLE, NO_AUTH, SHORT, "b", .attributes = AUDIT_DEFAULT),
	CMD(TPM, OwnerSetDisable, NO_HANDLE, OWNER, SHORT, "b",
	    .attributes = WHEN_OFF | AUDIT_DEFAULT, OWNER_MAY(OwnerSetDisable)),
	CMD(TPM, PhysicalEnable, NO_HANDLE, NO_AUTH, SHORT, "",
	    .attributes = WHEN_OFF | AUDIT_DEFAULT),
	CMD(TPM, PhysicalDisable, NO_HANDLE, NO_AUTH, SHORT, "",
	    .attributes = WHEN_DEACTIVATED | AUDIT_DEFAULT),
	CMD(TPM, PhysicalSetDeactivated, NO_HANDLE, NO_AUTH, SHORT, "b",
	    .attributes = WHEN_DEACTIVATED | AUDIT_DEFAULT),
	CMD(TPM, SetTempDeactivated, NO_HANDLE, HANDLER_OR_NONE, SHORT, "",
	    .attributes = WHEN_DISABLED | AUDIT_DEFAULT),
	CMD(TPM, SetOperatorAuth, NO_HANDLE, NO_AUTH, SHORT, "d"),

	/* Ownership (6) */
	CMD(TPM, TakeOwnership, NO_HANDLE, HANDLER, LONG, "2ssk",
	    .attributes = WHEN_DEACTIVATED | AUDIT_DEFAULT | NEEDS_NO_OWNER),
	CMD(TPM, OwnerClear, NO_HANDLE, OWNER, SHORT, "", .attributes = AUDIT_DEFAULT,
	    OWNER_MAY(OwnerClear)),
	CMD(TPM, ForceClear, NO_HANDLE, NO_AUTH, SHORT, "", .attributes = AUDIT_DEFAULT),
	CMD(TPM, DisableOwnerClear, NO_HANDLE, OWNER, SHORT, "", .attributes = AUDIT_DEFAULT,
	    OWNER_MAY(DisableOwnerClear)),
	CMD(TPM, DisableForceClear, NO_HANDLE, NO_AUTH, SHORT, "", .attributes = AUDIT_DEFAULT),
	CMD(TSC, PhysicalPresence, NO_HANDLE, NO_AUTH, SHORT, "2", .attributes = WHEN_OFF),
	CMD(TSC, ResetEstablishmentBit, NO_HANDLE, NO_AUTH, SHORT, "", .attributes = WHEN_OFF),

	/* Capability (7) */
	CMD(TPM, GetCapability, NO_HANDLE, NO_AUTH, SHORT, "4s",
	    .attributes = WHEN_OFF | WHEN_FAILED | PURE),
	CMD(TPM, SetCapability, NO_HANDLE, OWNER_OR_NONE, SHORT, "4ss", .attributes = WHEN_OFF,
	    OWNER_MAY(SetCapability)),
	CMD(TPM, GetCapabilityOwner, NO_HANDLE, OWNER, SHORT, ""),

	/* Auditing (8) */
	CMD(TPM, GetAuditDigest, NO_HANDLE, NO_AUTH, SHORT, "4", .attributes = AUDIT_NEVER | PURE),
	CMD(TPM, GetAuditDigestSigned, KEY, BY_KEY, MEDIUM, "bd", .attributes = AUDIT_NEVER,
	    KEY_MAY(GetAuditDigestSigned)),
	CMD(TPM, SetOrdinalAuditStatus, NO_HANDLE, OWNER, SHORT, "4b",
	    .attributes = AUDIT_DEFAULT, OWNER_MAY(SetOrdinalAuditStatus)),

	/* Administrative functions (9) */
	CMD(TPM, FieldUpgrade, NO_HANDLE, OWNER_OR_NONE, LONG, "*", .attributes = WHEN_OFF,
	    OWNER_MAY(FieldUpgrade)),
	CMD(TPM, SetRedirection, KEY, OWNER, SHORT, "4s", OWNER_MAY(SetRedirection)),
	CMD(TPM, ResetLockValue, NO_HANDLE, HANDLER, SHORT, "", .attributes = NEEDS_OWNER,
	    OWNER_MAY(ResetLockValue)),

	/* Storage functions (10) */
	CMD(TPM, Seal, KEY, BY_KEY_ALWAYS, MEDIUM, "dss", .attributes = INSERTS_AUTH, KEY_MAY(Seal)),
	CMD(TPM, Unseal, KEY, BY_KEY_HANDLER, MEDIUM, "S", KEY_MAY(Unseal)),
	CMD(TPM, UnBind, KEY, BY_KEY, MEDIUM, "s", KEY_MAY(UnBind)),
	CMD(TPM, CreateWrapKey, KEY, BY_KEY_ALWAYS, LONG, "ddk", .attributes = INSERTS_AUTH | AUDIT_DEFAULT,
	    KEY_MAY(CreateWrapKey)),
	CMD(TPM, LoadKey, KEY, BY_KEY, MEDIUM, "k", .out_handles = 1, KEY_MAY(LoadKey)),
	CMD(TPM, LoadKey2, KEY, BY_KEY, MEDIUM, "k", .out_handles = 1, KEY_MAY(LoadKey2)),
	CMD(TPM, GetPubKey, KEY, BY_KEY_PUBLIC, SHORT, "", .attributes = IGNORES_PCR,
	    KEY_MAY(GetPubKey)),
	CMD(TPM, Sealx, KEY, BY_KEY_ALWAYS, MEDIUM, "dss", .attributes = INSERTS_AUTH, KEY_MAY(Sealx)),

	/* Key migration (11) */
	CMD(TPM, CreateMigrationBlob, KEY, BY_KEY_HANDLER, MEDIUM, "2P2ds",
	    .attributes = AUDIT_DEFAULT, KEY_MAY(CreateMigrationBlob)),
	CMD(TPM, ConvertMigrationBlob, KEY, BY_KEY, MEDIUM, "ss", .attributes = AUDIT_DEFAULT,
	    KEY_MAY(ConvertMigrationBlob)),
	CMD(TPM, AuthorizeMigrationKey, NO_HANDLE, OWNER, SHORT, "2P",
	    .attributes = AUDIT_DEFAULT, OWNER_MAY(AuthorizeMigrationKey)),
	CMD(TPM, MigrateKey, KEY, BY_KEY, MEDIUM, "Ps", KEY_MAY(MigrateKey)),
	CMD(TPM, CMK_SetRestrictions, NO_HANDLE, OWNER, SHORT, "4"),
	CMD(TPM, CMK_ApproveMA, NO_HANDLE, OWNER, SHORT, "d", OWNER_MAY(CMK_ApproveMA)),
	CMD(TPM, CMK_CreateKey, KEY, BY_KEY_ALWAYS, LONG, "dkdd", .attributes = INSERTS_AUTH,
	    KEY_MAY(CMK_CreateKey)),
	CMD(TPM, CMK_CreateTicket, NO_HANDLE, OWNER, MEDIUM, "Pds", OWNER_MAY(CMK_CreateTicket)),
	CMD(TPM, CMK_CreateBlob, KEY, BY_KEY_ALWAYS, MEDIUM, "2P2ddssss", KEY_MAY(CMK_CreateBlob)),
	CMD(TPM, CMK_ConvertMigration, KEY, BY_KEY_ALWAYS, MEDIUM, "ddddkss",
	    KEY_MAY(CMK_ConvertMigration)),

	/* Maintenance (12) */
	CMD(TPM, CreateMaintenanceArchive, NO_HANDLE, OWNER, LONG, "1",
	    OWNER_MAY(CreateMaintenanceArchive)),
	CMD(TPM, LoadMaintenanceArchive, NO_HANDLE, OWNER, LONG, "ks",
	    OWNER_MAY(LoadMaintenanceArchive)),
	CMD(TPM, KillMaintenanceFeature, NO_HANDLE, OWNER, SHORT, "",
	    OWNER_MAY(KillMaintenanceFeature)),
	CMD(TPM, LoadManuMaintPub, NO_HANDLE, NO_AUTH, SHORT, "dP"),
	CMD(TPM, ReadManuMaintPub, NO_HANDLE, NO_AUTH, SHORT, "d", .attributes = PURE),

	/* Cryptographic functions (13) */
	CMD(TPM, SHA1Start, NO_HANDLE, NO_AUTH, SHORT, "", .attributes = WHEN_OFF),
	CMD(TPM, SHA1Update, NO_HANDLE, NO_AUTH, MEDIUM, "s", .attributes = WHEN_OFF | KEEPS_SHA1),
	CMD(TPM, SHA1Complete, NO_HANDLE, NO_AUTH, MEDIUM, "s",
	    .attributes = WHEN_OFF | KEEPS_SHA1),
	CMD(TPM, SHA1CompleteExtend, NO_HANDLE, NO_AUTH, MEDIUM, "4s",
	    .attributes = WHEN_OFF | KEEPS_SHA1),
	CMD(TPM, Sign, KEY, BY_KEY, MEDIUM, "s", KEY_MAY(Sign)),
	CMD(TPM, GetRandom, NO_HANDLE, NO_AUTH, SHORT, "4", .attributes = PURE),
	CMD(TPM, StirRandom, NO_HANDLE, NO_AUTH, SHORT, "s", .attributes = PURE),
	CMD(TPM, CertifyKey, KEY_KEY, BY_KEY_KEY_PUBLIC, MEDIUM, "d", .attributes = IGNORES_PCR,
	    KEY_MAY(CertifyKey)),
	CMD(TPM, CertifyKey2, KEY_KEY, BY_KEY_PUBLIC_KEY, MEDIUM, "dd", .attributes = IGNORES_PCR,
	    KEY_MAY(CertifyKey2)),

	/* Endorsement key (14) */
	CMD(TPM, CreateEndorsementKeyPair, NO_HANDLE, NO_AUTH, LONG, "dK"),
	CMD(TPM, CreateRevocableEK, NO_HANDLE, NO_AUTH, LONG, "dKbd"),
	CMD(TPM, RevokeTrust, NO_HANDLE, NO_AUTH, SHORT, "d"),
	CMD(TPM, ReadPubek, NO_HANDLE, NO_AUTH, SHORT, "d", .attributes = AUDIT_DEFAULT | PURE),
	CMD(TPM, OwnerReadPubek, NO_HANDLE, OWNER, SHORT, "", .attributes = AUDIT_DEFAULT,
	    OWNER_MAY(OwnerReadPubek)),
	CMD(TPM, DisablePubekRead, NO_HANDLE, OWNER, SHORT, "", .attributes = AUDIT_DEFAULT,
	    OWNER_MAY(DisablePubekRead)),
	CMD(TPM, OwnerReadInternalPub, NO_HANDLE, OWNER, SHORT, "4",
	    OWNER_MAY(OwnerReadInternalPub)),

	/* Identity creation and activation (15) */
	CMD(TPM, MakeIdentity, NO_HANDLE, SRK_OWNER, LONG, "ddk", .attributes = AUDIT_DEFAULT,
	    OWNER_MAY(MakeIdentity), KEY_MAY(MakeIdentity)),
	CMD(TPM, ActivateIdentity, KEY, BY_KEY_OWNER, MEDIUM, "s", .attributes = AUDIT_DEFAULT,
	    OWNER_MAY(ActivateIdentity), KEY_MAY(ActivateIdentity)),

	/* Integrity collection and reporting (16) */
	CMD(TPM, Extend, NO_HANDLE, NO_AUTH, SHORT, "4d", .attributes = WHEN_OFF),
	CMD(TPM, PcrRead, NO_HANDLE, NO_AUTH, SHORT, "4", .attributes = PURE),
	CMD(TPM, Quote, KEY, BY_KEY, MEDIUM, "dp", KEY_MAY(Quote)),
	CMD(TPM, PCR_Reset, NO_HANDLE, NO_AUTH, SHORT, "p", .attributes = WHEN_OFF),
	CMD(TPM, Quote2, KEY, BY_KEY, MEDIUM, "dpb", KEY_MAY(Quote2)),

	/* Changing AuthData (17) */
	CMD(TPM, ChangeAuth, KEY, BY_KEY_ALWAYS_HANDLER, MEDIUM, "2d2s", .attributes = INSERTS_AUTH,
	    KEY_MAY(ChangeAuth)),
	CMD(TPM, ChangeAuthOwner, NO_HANDLE, OWNER, SHORT, "2d2",
	    .attributes = INSERTS_AUTH | AUDIT_DEFAULT),
	CMD(TPM, ChangeAuthAsymStart, KEY, BY_KEY, LONG, "dK", KEY_MAY(ChangeAuthAsymStart)),
	CMD(TPM, ChangeAuthAsymFinish, KEY_KEY, BY_KEY, MEDIUM, "2dss",
	    KEY_MAY(ChangeAuthAsymFinish)),

	/* Authorization sessions (18) */
	CMD(TPM, OIAP, NO_HANDLE, NO_AUTH, SHORT, "",
	    .attributes = WHEN_OFF | NO_DIGEST_DATA),
	CMD(TPM, OSAP, NO_HANDLE, NO_AUTH, SHORT, "24d",
	    .attributes = WHEN_OFF | NEEDS_OWNER | NO_DIGEST_DATA,
	    .clear = 2 + 4 + DIGEST_SIZE),
	CMD(TPM, DSAP, NO_HANDLE, NO_AUTH, SHORT, "24ds",
	    .attributes = WHEN_OFF | NEEDS_OWNER | NO_DIGEST_DATA,
	    .clear = 2 + 4 + DIGEST_SIZE + 4 /* all but entityValue */),
	CMD(TPM, SetOwnerPointer, NO_HANDLE, NO_AUTH, SHORT, "24", .attributes = NEEDS_OWNER),

	/* Delegation (19) */
	CMD(TPM, Delegate_Manage, NO_HANDLE, OWNER_OR_NONE, SHORT, "44s",
	    OWNER_MAY(DelegateManage)),
	CMD(TPM, Delegate_CreateKeyDelegation, KEY, BY_KEY_ALWAYS, SHORT, "Dd", .attributes = INSERTS_AUTH,
	    KEY_MAY(CreateKeyDelegation)),
	CMD(TPM, Delegate_CreateOwnerDelegation, NO_HANDLE, OWNER, SHORT, "bDd", .attributes = INSERTS_AUTH,
	    OWNER_MAY(Delegate_CreateOwnerDelegation)),
	CMD(TPM, Delegate_LoadOwnerDelegation, NO_HANDLE, OWNER_OR_NONE, SHORT, "4s",
	    OWNER_MAY(Delegate_LoadOwnerDelegation)),
	CMD(TPM, Delegate_ReadTable, NO_HANDLE, NO_AUTH, SHORT, "", .attributes = PURE),
	CMD(TPM, Delegate_UpdateVerification, NO_HANDLE, OWNER, SHORT, "s",
	    OWNER_MAY(Delegate_UpdateVerification)),
	CMD(TPM, Delegate_VerifyDelegation, NO_HANDLE, NO_AUTH, SHORT, "s",
	    .attributes = PURE | NEEDS_OWNER),

	/* Non-volatile storage (20) */
	CMD(TPM, NV_DefineSpace, NO_HANDLE, OWNER_OR_NONE, SHORT, "Nd",
	    .attributes = WHEN_OFF | INSERTS_AUTH, OWNER_MAY(NV_DefineSpace)),
	CMD(TPM, NV_WriteValue, NO_HANDLE, HANDLER_OR_NONE, SHORT, "44s", .attributes = WHEN_OFF,
	    OWNER_MAY(NV_WriteValue)),
	CMD(TPM, NV_WriteValueAuth, NO_HANDLE, HANDLER, SHORT, "44s", .attributes = NEEDS_OWNER),
	CMD(TPM, NV_ReadValue, NO_HANDLE, HANDLER_OR_NONE, SHORT, "444", .attributes = WHEN_OFF,
	    OWNER_MAY(NV_ReadValue)),
	CMD(TPM, NV_ReadValueAuth, NO_HANDLE, HANDLER, SHORT, "444", .attributes = NEEDS_OWNER),

	/* Session management (21) */
	CMD(TPM, KeyControlOwner, KEY, OWNER, SHORT, "P41", .attributes = IGNORES_PCR),
	CMD(TPM, SaveContext, RAW, NO_AUTH, SHORT, "4L", .attributes = NEEDS_OWNER),
	CMD(TPM, LoadContext, RAW, NO_AUTH, SHORT, "bs", .out_handles = 1),
	CMD(TPM, FlushSpecific, RAW, NO_AUTH, SHORT, "4", .attributes = WHEN_OFF),

	/* Timing ticks (23) */
	CMD(TPM, GetTicks, NO_HANDLE, NO_AUTH, SHORT, "", .attributes = PURE),
	CMD(TPM, TickStampBlob, KEY, BY_KEY, MEDIUM, "dd", KEY_MAY(TickStampBlob)),

	/* Transport sessions (24) */
	CMD(TPM, EstablishTransport, RAW, HANDLER_OR_NONE, MEDIUM, "2442s", .out_handles = 1,
	    .attributes = NO_TRANSPORT | NEEDS_OWNER, KEY_MAY(EstablishTransport)),
	CMD(TPM, ExecuteTransport, NO_HANDLE, BY_TRANSPORT, LONG, "s",
	    .attributes = NO_TRANSPORT | NEEDS_OWNER | KEEPS_SHA1),
	CMD(TPM, ReleaseTransportSigned, KEY, BY_KEY_TRANSPORT, MEDIUM, "d",
	    .attributes = NO_TRANSPORT, KEY_MAY(ReleaseTransportSigned)),

	/* Monotonic counter (25) */
	CMD(TPM, CreateCounter, NO_HANDLE, OWNER, SHORT, "d4", .attributes = INSERTS_AUTH,
	    OWNER_MAY(CreateCounter)),
	CMD(TPM, IncrementCounter, NO_HANDLE, HANDLER, SHORT, "4", .attributes = NEEDS_OWNER),
	CMD(TPM, ReadCounter, NO_HANDLE, NO_AUTH, SHORT, "4", .attributes = PURE),
	CMD(TPM, ReleaseCounter, NO_HANDLE, HANDLER, SHORT, "4"),
	CMD(TPM, ReleaseCounterOwner, NO_HANDLE, OWNER, SHORT, "4", OWNER_MAY(ReleaseCounterOwner)),

	/* DAA (26) */
	CMD(TPM, DAA_Join, RAW, OWNER, LONG, "1ss", OWNER_MAY(DAA_Join)),
	CMD(TPM, DAA_Sign, RAW, OWNER, LONG, "1ss", OWNER_MAY(DAA_Sign)),

	/* Deprecated commands (27) */
	CMD(TPM, EvictKey, KEY, NO_AUTH, SHORT, "", .attributes = IGNORES_PCR),
	CMD(TPM, Terminate_Handle, RAW, NO_AUTH, SHORT, "", .attributes = WHEN_OFF),
	CMD(TPM, SaveKeyContext, KEY, NO_AUTH, SHORT, "", .attributes = IGNORES_PCR),
	CMD(TPM, LoadKeyContext, NO_HANDLE, NO_AUTH, SHORT, "s", .out_handles = 1),
	CMD(TPM, SaveAuthContext, RAW, NO_AUTH, SHORT, ""),
	CMD(TPM, LoadAuthContext, NO_HANDLE, NO_AUTH, SHORT, "s", .out_handles = 1),
	CMD(TPM, DirWriteAuth, NO_HANDLE, OWNER, SHORT, "4d", OWNER_MAY(DirWriteAuth)),
	CMD(TPM, DirRead, NO_HANDLE, NO_AUTH, SHORT, "4", .attributes = PURE),
	CMD(TPM, Reset, NO_HANDLE, NO_AUTH, SHORT, "", .attributes = WHEN_OFF),
};
/* clang-format on */

enum { TABLE_SIZE = sizeof(table) / sizeof(table[0]) };

const struct ordinal *
ordinal_next(const struct ordinal *row)
{
	if (!row)
		return table;
	return ++row < table + TABLE_SIZE ? row : NULL;
}

const struct ordinal *
ordinal_find(uint32_t ordinal)
{
	for (const struct ordinal *row = table; row < table + TABLE_SIZE; row++)
		if (row->ordinal == ordinal)
			return row;
	return NULL;
}
