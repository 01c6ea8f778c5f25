/*
 * commands.h - the handlers of the commands, one per ordinal, in the order of TPM Main Part 3. Each
 * holds the Actions of its command and returns the result code; parameters come in c->in, response
 * parameters go to c->out.
 */
#ifndef TPMCORE_COMMANDS_H
#define TPMCORE_COMMANDS_H

#include "tpmcore/core.h"

/* Admin startup and state (3) */
command_handler tpm_Startup;
command_handler tpm_SaveState;

/* Testing (4) */
command_handler tpm_SelfTestFull;
command_handler tpm_ContinueSelfTest;
command_handler tpm_GetTestResult;

/* Opt-in (5) */
command_handler tpm_SetOwnerInstall;
command_handler tpm_OwnerSetDisable;
command_handler tpm_PhysicalEnable;
command_handler tpm_PhysicalDisable;
command_handler tpm_PhysicalSetDeactivated;
command_handler tpm_SetTempDeactivated;
command_handler tpm_SetOperatorAuth;

/* Ownership (6) */
command_handler tpm_TakeOwnership;
command_handler tpm_OwnerClear;
command_handler tpm_ForceClear;
command_handler tpm_DisableOwnerClear;
command_handler tpm_DisableForceClear;
command_handler tpm_PhysicalPresence;
command_handler tpm_ResetEstablishmentBit;

/* Capability (7) */
command_handler tpm_GetCapability;
command_handler tpm_SetCapability;
command_handler tpm_GetCapabilityOwner;

/* Auditing (8) */
command_handler tpm_GetAuditDigest;
command_handler tpm_GetAuditDigestSigned;
command_handler tpm_SetOrdinalAuditStatus;

/* Administrative functions (9) */
command_handler tpm_FieldUpgrade;
command_handler tpm_SetRedirection;
command_handler tpm_ResetLockValue;

/* Storage functions (10) */
command_handler tpm_Seal;
command_handler tpm_Unseal;
command_handler tpm_UnBind;
command_handler tpm_CreateWrapKey;
command_handler tpm_LoadKey;
command_handler tpm_LoadKey2;
command_handler tpm_GetPubKey;
command_handler tpm_Sealx;

/* Key migration (11) */
command_handler tpm_CreateMigrationBlob;
command_handler tpm_ConvertMigrationBlob;
command_handler tpm_AuthorizeMigrationKey;
command_handler tpm_MigrateKey;
command_handler tpm_CMK_SetRestrictions;
command_handler tpm_CMK_ApproveMA;
command_handler tpm_CMK_CreateKey;
command_handler tpm_CMK_CreateTicket;
command_handler tpm_CMK_CreateBlob;
command_handler tpm_CMK_ConvertMigration;

/* Maintenance (12) */
command_handler tpm_CreateMaintenanceArchive;
command_handler tpm_LoadMaintenanceArchive;
command_handler tpm_KillMaintenanceFeature;
command_handler tpm_LoadManuMaintPub;
command_handler tpm_ReadManuMaintPub;

/* Cryptographic functions (13) */
command_handler tpm_SHA1Start;
command_handler tpm_SHA1Update;
command_handler tpm_SHA1Complete;
command_handler tpm_SHA1CompleteExtend;
command_handler tpm_Sign;
command_handler tpm_GetRandom;
command_handler tpm_StirRandom;
command_handler tpm_CertifyKey;
command_handler tpm_CertifyKey2;

/* Endorsement key (14) */
command_handler tpm_CreateEndorsementKeyPair;
command_handler tpm_CreateRevocableEK;
command_handler tpm_RevokeTrust;
command_handler tpm_ReadPubek;
command_handler tpm_OwnerReadPubek;
command_handler tpm_DisablePubekRead;
command_handler tpm_OwnerReadInternalPub;

/* Identity creation and activation (15) */
command_handler tpm_MakeIdentity;
command_handler tpm_ActivateIdentity;

/* Integrity collection and reporting (16) */
command_handler tpm_Extend;
command_handler tpm_PcrRead;
command_handler tpm_Quote;
command_handler tpm_PCR_Reset;
command_handler tpm_Quote2;

/* Changing AuthData (17) */
command_handler tpm_ChangeAuth;
command_handler tpm_ChangeAuthOwner;
command_handler tpm_ChangeAuthAsymStart;
command_handler tpm_ChangeAuthAsymFinish;

/* Authorization sessions (18) */
command_handler tpm_OIAP;
command_handler tpm_OSAP;
command_handler tpm_DSAP;
command_handler tpm_SetOwnerPointer;

/* Delegation (19) */
command_handler tpm_Delegate_Manage;
command_handler tpm_Delegate_CreateKeyDelegation;
command_handler tpm_Delegate_CreateOwnerDelegation;
command_handler tpm_Delegate_LoadOwnerDelegation;
command_handler tpm_Delegate_ReadTable;
command_handler tpm_Delegate_UpdateVerification;
command_handler tpm_Delegate_VerifyDelegation;

/* Non-volatile storage (20) */
command_handler tpm_NV_DefineSpace;
command_handler tpm_NV_WriteValue;
command_handler tpm_NV_WriteValueAuth;
command_handler tpm_NV_ReadValue;
command_handler tpm_NV_ReadValueAuth;

/* Session management (21) */
command_handler tpm_KeyControlOwner;
command_handler tpm_SaveContext;
command_handler tpm_LoadContext;
command_handler tpm_FlushSpecific;

/* Timing ticks (23) */
command_handler tpm_GetTicks;
command_handler tpm_TickStampBlob;

/* Transport sessions (24) */
command_handler tpm_EstablishTransport;
command_handler tpm_ExecuteTransport;
command_handler tpm_ReleaseTransportSigned;

/* Monotonic counter (25) */
command_handler tpm_CreateCounter;
command_handler tpm_IncrementCounter;
command_handler tpm_ReadCounter;
command_handler tpm_ReleaseCounter;
command_handler tpm_ReleaseCounterOwner;

/* DAA (26) */
command_handler tpm_DAA_Join;
command_handler tpm_DAA_Sign;

/* Deprecated commands (28) */
command_handler tpm_EvictKey;
command_handler tpm_Terminate_Handle;
command_handler tpm_SaveKeyContext;
command_handler tpm_LoadKeyContext;
command_handler tpm_SaveAuthContext;
command_handler tpm_LoadAuthContext;
command_handler tpm_DirWriteAuth;
command_handler tpm_DirRead;
command_handler tpm_Reset;

#endif
