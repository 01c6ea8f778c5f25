/*
 * commands.h - the handlers of the commands, one per ordinal, in the order of TPM Main Part 3. Each
 * holds the Actions of its command and returns the result code; parameters come in c->in, response
 * parameters go to c->out.
 */
#ifndef TPMCORE_COMMANDS_H
#define TPMCORE_COMMANDS_H

#include "tpmcore/core.h"

/* A handler that is not written yet is NULL in the table, and its ordinal answers TPM_BAD_ORDINAL.
 */
#define COMMAND_PENDING __attribute__((weak))

/* Admin startup and state (3) */
command_handler tpm_Startup COMMAND_PENDING;
command_handler tpm_Init COMMAND_PENDING;
command_handler tpm_SaveState COMMAND_PENDING;

/* Testing (4) */
command_handler tpm_SelfTestFull COMMAND_PENDING;
command_handler tpm_CertifySelfTest COMMAND_PENDING;
command_handler tpm_ContinueSelfTest COMMAND_PENDING;
command_handler tpm_GetTestResult COMMAND_PENDING;

/* Opt-in (5) */
command_handler tpm_SetOwnerInstall COMMAND_PENDING;
command_handler tpm_OwnerSetDisable COMMAND_PENDING;
command_handler tpm_PhysicalEnable COMMAND_PENDING;
command_handler tpm_PhysicalDisable COMMAND_PENDING;
command_handler tpm_PhysicalSetDeactivated COMMAND_PENDING;
command_handler tpm_SetTempDeactivated COMMAND_PENDING;
command_handler tpm_SetOperatorAuth COMMAND_PENDING;

/* Ownership (6) */
command_handler tpm_TakeOwnership COMMAND_PENDING;
command_handler tpm_OwnerClear COMMAND_PENDING;
command_handler tpm_ForceClear COMMAND_PENDING;
command_handler tpm_DisableOwnerClear COMMAND_PENDING;
command_handler tpm_DisableForceClear COMMAND_PENDING;
command_handler tpm_PhysicalPresence COMMAND_PENDING;
command_handler tpm_ResetEstablishmentBit COMMAND_PENDING;

/* Capability (7) */
command_handler tpm_GetCapability COMMAND_PENDING;
command_handler tpm_SetCapability COMMAND_PENDING;
command_handler tpm_GetCapabilityOwner COMMAND_PENDING;
command_handler tpm_GetCapabilitySigned COMMAND_PENDING;

/* Auditing (8) */
command_handler tpm_GetAuditDigest COMMAND_PENDING;
command_handler tpm_GetAuditDigestSigned COMMAND_PENDING;
command_handler tpm_SetOrdinalAuditStatus COMMAND_PENDING;
command_handler tpm_GetAuditEvent COMMAND_PENDING;
command_handler tpm_GetAuditEventSigned COMMAND_PENDING;
command_handler tpm_GetOrdinalAuditStatus COMMAND_PENDING;

/* Administrative functions (9) */
command_handler tpm_FieldUpgrade COMMAND_PENDING;
command_handler tpm_SetRedirection COMMAND_PENDING;
command_handler tpm_ResetLockValue COMMAND_PENDING;

/* Storage functions (10) */
command_handler tpm_Seal COMMAND_PENDING;
command_handler tpm_Unseal COMMAND_PENDING;
command_handler tpm_UnBind COMMAND_PENDING;
command_handler tpm_CreateWrapKey COMMAND_PENDING;
command_handler tpm_LoadKey COMMAND_PENDING;
command_handler tpm_LoadKey2 COMMAND_PENDING;
command_handler tpm_GetPubKey COMMAND_PENDING;
command_handler tpm_Sealx COMMAND_PENDING;

/* Key migration (11) */
command_handler tpm_CreateMigrationBlob COMMAND_PENDING;
command_handler tpm_ConvertMigrationBlob COMMAND_PENDING;
command_handler tpm_AuthorizeMigrationKey COMMAND_PENDING;
command_handler tpm_MigrateKey COMMAND_PENDING;
command_handler tpm_CMK_SetRestrictions COMMAND_PENDING;
command_handler tpm_CMK_ApproveMA COMMAND_PENDING;
command_handler tpm_CMK_CreateKey COMMAND_PENDING;
command_handler tpm_CMK_CreateTicket COMMAND_PENDING;
command_handler tpm_CMK_CreateBlob COMMAND_PENDING;
command_handler tpm_CMK_ConvertMigration COMMAND_PENDING;

/* Maintenance (12) */
command_handler tpm_CreateMaintenanceArchive COMMAND_PENDING;
command_handler tpm_LoadMaintenanceArchive COMMAND_PENDING;
command_handler tpm_KillMaintenanceFeature COMMAND_PENDING;
command_handler tpm_LoadManuMaintPub COMMAND_PENDING;
command_handler tpm_ReadManuMaintPub COMMAND_PENDING;

/* Cryptographic functions (13) */
command_handler tpm_SHA1Start COMMAND_PENDING;
command_handler tpm_SHA1Update COMMAND_PENDING;
command_handler tpm_SHA1Complete COMMAND_PENDING;
command_handler tpm_SHA1CompleteExtend COMMAND_PENDING;
command_handler tpm_Sign COMMAND_PENDING;
command_handler tpm_GetRandom COMMAND_PENDING;
command_handler tpm_StirRandom COMMAND_PENDING;
command_handler tpm_CertifyKey COMMAND_PENDING;
command_handler tpm_CertifyKey2 COMMAND_PENDING;

/* Endorsement key (14) */
command_handler tpm_CreateEndorsementKeyPair COMMAND_PENDING;
command_handler tpm_CreateRevocableEK COMMAND_PENDING;
command_handler tpm_RevokeTrust COMMAND_PENDING;
command_handler tpm_ReadPubek COMMAND_PENDING;
command_handler tpm_OwnerReadPubek COMMAND_PENDING;
command_handler tpm_DisablePubekRead COMMAND_PENDING;
command_handler tpm_OwnerReadInternalPub COMMAND_PENDING;

/* Identity creation and activation (15) */
command_handler tpm_MakeIdentity COMMAND_PENDING;
command_handler tpm_ActivateIdentity COMMAND_PENDING;

/* Integrity collection and reporting (16) */
command_handler tpm_Extend COMMAND_PENDING;
command_handler tpm_PcrRead COMMAND_PENDING;
command_handler tpm_Quote COMMAND_PENDING;
command_handler tpm_PCR_Reset COMMAND_PENDING;
command_handler tpm_Quote2 COMMAND_PENDING;

/* Changing AuthData (17) */
command_handler tpm_ChangeAuth COMMAND_PENDING;
command_handler tpm_ChangeAuthOwner COMMAND_PENDING;
command_handler tpm_ChangeAuthAsymStart COMMAND_PENDING;
command_handler tpm_ChangeAuthAsymFinish COMMAND_PENDING;

/* Authorization sessions (18) */
command_handler tpm_OIAP COMMAND_PENDING;
command_handler tpm_OSAP COMMAND_PENDING;
command_handler tpm_DSAP COMMAND_PENDING;
command_handler tpm_SetOwnerPointer COMMAND_PENDING;

/* Delegation (19) */
command_handler tpm_Delegate_Manage COMMAND_PENDING;
command_handler tpm_Delegate_CreateKeyDelegation COMMAND_PENDING;
command_handler tpm_Delegate_CreateOwnerDelegation COMMAND_PENDING;
command_handler tpm_Delegate_LoadOwnerDelegation COMMAND_PENDING;
command_handler tpm_Delegate_ReadTable COMMAND_PENDING;
command_handler tpm_Delegate_UpdateVerification COMMAND_PENDING;
command_handler tpm_Delegate_VerifyDelegation COMMAND_PENDING;

/* Non-volatile storage (20) */
command_handler tpm_NV_DefineSpace COMMAND_PENDING;
command_handler tpm_NV_WriteValue COMMAND_PENDING;
command_handler tpm_NV_WriteValueAuth COMMAND_PENDING;
command_handler tpm_NV_ReadValue COMMAND_PENDING;
command_handler tpm_NV_ReadValueAuth COMMAND_PENDING;

/* Session management (21) */
command_handler tpm_KeyControlOwner COMMAND_PENDING;
command_handler tpm_SaveContext COMMAND_PENDING;
command_handler tpm_LoadContext COMMAND_PENDING;
command_handler tpm_FlushSpecific COMMAND_PENDING;

/* Timing ticks (23) */
command_handler tpm_GetTicks COMMAND_PENDING;
command_handler tpm_TickStampBlob COMMAND_PENDING;

/* Transport sessions (24) */
command_handler tpm_EstablishTransport COMMAND_PENDING;
command_handler tpm_ExecuteTransport COMMAND_PENDING;
command_handler tpm_ReleaseTransportSigned COMMAND_PENDING;

/* Monotonic counter (25) */
command_handler tpm_CreateCounter COMMAND_PENDING;
command_handler tpm_IncrementCounter COMMAND_PENDING;
command_handler tpm_ReadCounter COMMAND_PENDING;
command_handler tpm_ReleaseCounter COMMAND_PENDING;
command_handler tpm_ReleaseCounterOwner COMMAND_PENDING;

/* DAA (26) */
command_handler tpm_DAA_Join COMMAND_PENDING;
command_handler tpm_DAA_Sign COMMAND_PENDING;

/* Deprecated commands (28) */
command_handler tpm_EvictKey COMMAND_PENDING;
command_handler tpm_Terminate_Handle COMMAND_PENDING;
command_handler tpm_SaveKeyContext COMMAND_PENDING;
command_handler tpm_LoadKeyContext COMMAND_PENDING;
command_handler tpm_SaveAuthContext COMMAND_PENDING;
command_handler tpm_LoadAuthContext COMMAND_PENDING;
command_handler tpm_DirWriteAuth COMMAND_PENDING;
command_handler tpm_DirRead COMMAND_PENDING;
command_handler tpm_Reset COMMAND_PENDING;

#endif
