/*
 * tpm12.h - the numbers of TPM 1.2.
 *
 * Constants of TPM Main Specification 1.2 level 2 revision 116: result codes and structure
 * constants from Part 2, ordinals from Part 2, 17. Names are the specification's. TIS and PC
 * Client values come from the TCG PC Client implementation specification.
 */
#ifndef VTPM_TPM12_H
#define VTPM_TPM12_H

#include <stdint.h>

typedef uint32_t TPM_RESULT;

enum {
	TPM_DIGEST_SIZE = 20, /* SHA-1: digests, nonces and AuthData alike */
	TPM_NUM_PCR = 24,
	TPM_HEADER_SIZE = 10,   /* tag, paramSize, ordinal or result */
	TPM_BUFFER_SIZE = 4096, /* largest command or response, header included */
};

/* Result codes [TPM Main Part 2, 16]. */
enum {
	TPM_SUCCESS = 0,
	TPM_AUTHFAIL = 0x1,
	TPM_BADINDEX = 0x2,
	TPM_BAD_PARAMETER = 0x3,
	TPM_AUDITFAILURE = 0x4,
	TPM_CLEAR_DISABLED = 0x5,
	TPM_DEACTIVATED = 0x6,
	TPM_DISABLED = 0x7,
	TPM_DISABLED_CMD = 0x8,
	TPM_FAIL = 0x9,
	TPM_BAD_ORDINAL = 0xa,
	TPM_INSTALL_DISABLED = 0xb,
	TPM_INVALID_KEYHANDLE = 0xc,
	TPM_KEYNOTFOUND = 0xd,
	TPM_INAPPROPRIATE_ENC = 0xe,
	TPM_MIGRATEFAIL = 0xf,
	TPM_INVALID_PCR_INFO = 0x10,
	TPM_NOSPACE = 0x11,
	TPM_NOSRK = 0x12,
	TPM_NOTSEALED_BLOB = 0x13,
	TPM_OWNER_SET = 0x14,
	TPM_RESOURCES = 0x15,
	TPM_SHORTRANDOM = 0x16,
	TPM_SIZE = 0x17,
	TPM_WRONGPCRVAL = 0x18,
	TPM_BAD_PARAM_SIZE = 0x19,
	TPM_SHA_THREAD = 0x1a,
	TPM_SHA_ERROR = 0x1b,
	TPM_FAILEDSELFTEST = 0x1c,
	TPM_AUTH2FAIL = 0x1d,
	TPM_BADTAG = 0x1e,
	TPM_IOERROR = 0x1f,
	TPM_ENCRYPT_ERROR = 0x20,
	TPM_DECRYPT_ERROR = 0x21,
	TPM_INVALID_AUTHHANDLE = 0x22,
	TPM_NO_ENDORSEMENT = 0x23,
	TPM_INVALID_KEYUSAGE = 0x24,
	TPM_WRONG_ENTITYTYPE = 0x25,
	TPM_INVALID_POSTINIT = 0x26,
	TPM_INAPPROPRIATE_SIG = 0x27,
	TPM_BAD_KEY_PROPERTY = 0x28,
	TPM_BAD_MIGRATION = 0x29,
	TPM_BAD_SCHEME = 0x2a,
	TPM_BAD_DATASIZE = 0x2b,
	TPM_BAD_MODE = 0x2c,
	TPM_BAD_PRESENCE = 0x2d,
	TPM_BAD_VERSION = 0x2e,
	TPM_NO_WRAP_TRANSPORT = 0x2f,
	TPM_AUDITFAIL_UNSUCCESSFUL = 0x30,
	TPM_AUDITFAIL_SUCCESSFUL = 0x31,
	TPM_NOTRESETABLE = 0x32,
	TPM_NOTLOCAL = 0x33,
	TPM_BAD_TYPE = 0x34,
	TPM_INVALID_RESOURCE = 0x35,
	TPM_NOTFIPS = 0x36,
	TPM_INVALID_FAMILY = 0x37,
	TPM_NO_NV_PERMISSION = 0x38,
	TPM_REQUIRES_SIGN = 0x39,
	TPM_KEY_NOTSUPPORTED = 0x3a,
	TPM_AUTH_CONFLICT = 0x3b,
	TPM_AREA_LOCKED = 0x3c,
	TPM_BAD_LOCALITY = 0x3d,
	TPM_READ_ONLY = 0x3e,
	TPM_PER_NOWRITE = 0x3f,
	TPM_FAMILYCOUNT = 0x40,
	TPM_WRITE_LOCKED = 0x41,
	TPM_BAD_ATTRIBUTES = 0x42,
	TPM_INVALID_STRUCTURE = 0x43,
	TPM_KEY_OWNER_CONTROL = 0x44,
	TPM_BAD_COUNTER = 0x45,
	TPM_NOT_FULLWRITE = 0x46,
	TPM_CONTEXT_GAP = 0x47,
	TPM_MAXNVWRITES = 0x48,
	TPM_NOOPERATOR = 0x49,
	TPM_RESOURCEMISSING = 0x4a,
	TPM_DELEGATE_LOCK = 0x4b,
	TPM_DELEGATE_FAMILY = 0x4c,
	TPM_DELEGATE_ADMIN = 0x4d,
	TPM_TRANSPORT_NOTEXCLUSIVE = 0x4e,
	TPM_OWNER_CONTROL = 0x4f,
	TPM_DAA_RESOURCES = 0x50,
	TPM_DAA_INPUT_DATA0 = 0x51,
	TPM_DAA_INPUT_DATA1 = 0x52,
	TPM_DAA_ISSUER_SETTINGS = 0x53,
	TPM_DAA_TPM_SETTINGS = 0x54,
	TPM_DAA_STAGE = 0x55,
	TPM_DAA_ISSUER_VALIDITY = 0x56,
	TPM_DAA_WRONG_W = 0x57,
	TPM_BAD_HANDLE = 0x58,
	TPM_BAD_DELEGATE = 0x59,
	TPM_BADCONTEXT = 0x5a,
	TPM_TOOMANYCONTEXTS = 0x5b,
	TPM_MA_TICKET_SIGNATURE = 0x5c,
	TPM_MA_DESTINATION = 0x5d,
	TPM_MA_SOURCE = 0x5e,
	TPM_MA_AUTHORITY = 0x5f,
	TPM_PERMANENTEK = 0x61,
	TPM_BAD_SIGNATURE = 0x62,
	TPM_NOCONTEXTSPACE = 0x63,
	TPM_RETRY = 0x800,
	TPM_NEEDS_SELFTEST = 0x801,
	TPM_DOING_SELFTEST = 0x802,
	TPM_DEFEND_LOCK_RUNNING = 0x803,
};

/* Ordinals [TPM Main Part 2, 17]. */
enum {
	TPM_ORD_OIAP = 0xa,
	TPM_ORD_OSAP = 0xb,
	TPM_ORD_ChangeAuth = 0xc,
	TPM_ORD_TakeOwnership = 0xd,
	TPM_ORD_ChangeAuthAsymStart = 0xe,
	TPM_ORD_ChangeAuthAsymFinish = 0xf,
	TPM_ORD_ChangeAuthOwner = 0x10,
	TPM_ORD_DSAP = 0x11,
	TPM_ORD_CMK_CreateTicket = 0x12,
	TPM_ORD_CMK_CreateKey = 0x13,
	TPM_ORD_Extend = 0x14,
	TPM_ORD_PcrRead = 0x15,
	TPM_ORD_Quote = 0x16,
	TPM_ORD_Seal = 0x17,
	TPM_ORD_Unseal = 0x18,
	TPM_ORD_DirWriteAuth = 0x19,
	TPM_ORD_DirRead = 0x1a,
	TPM_ORD_CMK_CreateBlob = 0x1b,
	TPM_ORD_CMK_SetRestrictions = 0x1c,
	TPM_ORD_CMK_ApproveMA = 0x1d,
	TPM_ORD_UnBind = 0x1e,
	TPM_ORD_CreateWrapKey = 0x1f,
	TPM_ORD_LoadKey = 0x20,
	TPM_ORD_GetPubKey = 0x21,
	TPM_ORD_EvictKey = 0x22,
	TPM_ORD_KeyControlOwner = 0x23,
	TPM_ORD_CMK_ConvertMigration = 0x24,
	TPM_ORD_MigrateKey = 0x25,
	TPM_ORD_CreateMigrationBlob = 0x28,
	TPM_ORD_DAA_Join = 0x29,
	TPM_ORD_ConvertMigrationBlob = 0x2a,
	TPM_ORD_AuthorizeMigrationKey = 0x2b,
	TPM_ORD_CreateMaintenanceArchive = 0x2c,
	TPM_ORD_LoadMaintenanceArchive = 0x2d,
	TPM_ORD_KillMaintenanceFeature = 0x2e,
	TPM_ORD_LoadManuMaintPub = 0x2f,
	TPM_ORD_ReadManuMaintPub = 0x30,
	TPM_ORD_DAA_Sign = 0x31,
	TPM_ORD_CertifyKey = 0x32,
	TPM_ORD_CertifyKey2 = 0x33,
	TPM_ORD_Sign = 0x3c,
	TPM_ORD_Sealx = 0x3d,
	TPM_ORD_Quote2 = 0x3e,
	TPM_ORD_SetCapability = 0x3f,
	TPM_ORD_ResetLockValue = 0x40,
	TPM_ORD_LoadKey2 = 0x41,
	TPM_ORD_GetRandom = 0x46,
	TPM_ORD_StirRandom = 0x47,
	TPM_ORD_SelfTestFull = 0x50,
	TPM_ORD_CertifySelfTest = 0x52,
	TPM_ORD_ContinueSelfTest = 0x53,
	TPM_ORD_GetTestResult = 0x54,
	TPM_ORD_Reset = 0x5a,
	TPM_ORD_OwnerClear = 0x5b,
	TPM_ORD_DisableOwnerClear = 0x5c,
	TPM_ORD_ForceClear = 0x5d,
	TPM_ORD_DisableForceClear = 0x5e,
	TPM_ORD_GetCapabilitySigned = 0x64,
	TPM_ORD_GetCapability = 0x65,
	TPM_ORD_GetCapabilityOwner = 0x66,
	TPM_ORD_OwnerSetDisable = 0x6e,
	TPM_ORD_PhysicalEnable = 0x6f,
	TPM_ORD_PhysicalDisable = 0x70,
	TPM_ORD_SetOwnerInstall = 0x71,
	TPM_ORD_PhysicalSetDeactivated = 0x72,
	TPM_ORD_SetTempDeactivated = 0x73,
	TPM_ORD_SetOperatorAuth = 0x74,
	TPM_ORD_SetOwnerPointer = 0x75,
	TPM_ORD_CreateEndorsementKeyPair = 0x78,
	TPM_ORD_MakeIdentity = 0x79,
	TPM_ORD_ActivateIdentity = 0x7a,
	TPM_ORD_ReadPubek = 0x7c,
	TPM_ORD_OwnerReadPubek = 0x7d,
	TPM_ORD_DisablePubekRead = 0x7e,
	TPM_ORD_CreateRevocableEK = 0x7f,
	TPM_ORD_RevokeTrust = 0x80,
	TPM_ORD_OwnerReadInternalPub = 0x81,
	TPM_ORD_GetAuditEvent = 0x82,
	TPM_ORD_GetAuditEventSigned = 0x83,
	TPM_ORD_GetAuditDigest = 0x85,
	TPM_ORD_GetAuditDigestSigned = 0x86,
	TPM_ORD_GetOrdinalAuditStatus = 0x8c,
	TPM_ORD_SetOrdinalAuditStatus = 0x8d,
	TPM_ORD_Terminate_Handle = 0x96,
	TPM_ORD_Init = 0x97,
	TPM_ORD_SaveState = 0x98,
	TPM_ORD_Startup = 0x99,
	TPM_ORD_SetRedirection = 0x9a,
	TPM_ORD_SHA1Start = 0xa0,
	TPM_ORD_SHA1Update = 0xa1,
	TPM_ORD_SHA1Complete = 0xa2,
	TPM_ORD_SHA1CompleteExtend = 0xa3,
	TPM_ORD_FieldUpgrade = 0xaa,
	TPM_ORD_SaveKeyContext = 0xb4,
	TPM_ORD_LoadKeyContext = 0xb5,
	TPM_ORD_SaveAuthContext = 0xb6,
	TPM_ORD_LoadAuthContext = 0xb7,
	TPM_ORD_SaveContext = 0xb8,
	TPM_ORD_LoadContext = 0xb9,
	TPM_ORD_FlushSpecific = 0xba,
	TPM_ORD_PCR_Reset = 0xc8,
	TPM_ORD_NV_DefineSpace = 0xcc,
	TPM_ORD_NV_WriteValue = 0xcd,
	TPM_ORD_NV_WriteValueAuth = 0xce,
	TPM_ORD_NV_ReadValue = 0xcf,
	TPM_ORD_NV_ReadValueAuth = 0xd0,
	TPM_ORD_Delegate_UpdateVerification = 0xd1,
	TPM_ORD_Delegate_Manage = 0xd2,
	TPM_ORD_Delegate_CreateKeyDelegation = 0xd4,
	TPM_ORD_Delegate_CreateOwnerDelegation = 0xd5,
	TPM_ORD_Delegate_VerifyDelegation = 0xd6,
	TPM_ORD_Delegate_LoadOwnerDelegation = 0xd8,
	TPM_ORD_Delegate_ReadTable = 0xdb,
	TPM_ORD_CreateCounter = 0xdc,
	TPM_ORD_IncrementCounter = 0xdd,
	TPM_ORD_ReadCounter = 0xde,
	TPM_ORD_ReleaseCounter = 0xdf,
	TPM_ORD_ReleaseCounterOwner = 0xe0,
	TPM_ORD_EstablishTransport = 0xe6,
	TPM_ORD_ExecuteTransport = 0xe7,
	TPM_ORD_ReleaseTransportSigned = 0xe8,
	TPM_ORD_GetTicks = 0xf1,
	TPM_ORD_TickStampBlob = 0xf2,
	TSC_ORD_PhysicalPresence = 0x4000000a,
	TSC_ORD_ResetEstablishmentBit = 0x4000000b,
};

/* Command and response tags [Part 2, 6]. */
enum {
	TPM_TAG_RQU_COMMAND = 0xc1,
	TPM_TAG_RQU_AUTH1_COMMAND = 0xc2,
	TPM_TAG_RQU_AUTH2_COMMAND = 0xc3,
	TPM_TAG_RSP_COMMAND = 0xc4,
	TPM_TAG_RSP_AUTH1_COMMAND = 0xc5,
	TPM_TAG_RSP_AUTH2_COMMAND = 0xc6,
};

/* Structure tags [Part 2, 3.1]. */
enum {
	TPM_TAG_CONTEXTBLOB = 0x1,
	TPM_TAG_CONTEXT_SENSITIVE = 0x2,
	TPM_TAG_CONTEXTPOINTER = 0x3,
	TPM_TAG_CONTEXTLIST = 0x4,
	TPM_TAG_SIGNINFO = 0x5,
	TPM_TAG_PCR_INFO_LONG = 0x6,
	TPM_TAG_PERSISTENT_FLAGS = 0x7,
	TPM_TAG_VOLATILE_FLAGS = 0x8,
	TPM_TAG_PERSISTENT_DATA = 0x9,
	TPM_TAG_VOLATILE_DATA = 0xa,
	TPM_TAG_SV_DATA = 0xb,
	TPM_TAG_EK_BLOB = 0xc,
	TPM_TAG_EK_BLOB_AUTH = 0xd,
	TPM_TAG_COUNTER_VALUE = 0xe,
	TPM_TAG_TRANSPORT_INTERNAL = 0xf,
	TPM_TAG_TRANSPORT_LOG_IN = 0x10,
	TPM_TAG_TRANSPORT_LOG_OUT = 0x11,
	TPM_TAG_AUDIT_EVENT_IN = 0x12,
	TPM_TAG_AUDIT_EVENT_OUT = 0x13,
	TPM_TAG_CURRENT_TICKS = 0x14,
	TPM_TAG_KEY = 0x15,
	TPM_TAG_STORED_DATA12 = 0x16,
	TPM_TAG_NV_ATTRIBUTES = 0x17,
	TPM_TAG_NV_DATA_PUBLIC = 0x18,
	TPM_TAG_NV_DATA_SENSITIVE = 0x19,
	TPM_TAG_DELEGATIONS = 0x1a,
	TPM_TAG_DELEGATE_PUBLIC = 0x1b,
	TPM_TAG_DELEGATE_TABLE_ROW = 0x1c,
	TPM_TAG_TRANSPORT_AUTH = 0x1d,
	TPM_TAG_TRANSPORT_PUBLIC = 0x1e,
	TPM_TAG_PERMANENT_FLAGS = 0x1f,
	TPM_TAG_STCLEAR_FLAGS = 0x20,
	TPM_TAG_STANY_FLAGS = 0x21,
	TPM_TAG_PERMANENT_DATA = 0x22,
	TPM_TAG_STCLEAR_DATA = 0x23,
	TPM_TAG_STANY_DATA = 0x24,
	TPM_TAG_FAMILY_TABLE_ENTRY = 0x25,
	TPM_TAG_DELEGATE_SENSITIVE = 0x26,
	TPM_TAG_DELG_KEY_BLOB = 0x27,
	TPM_TAG_KEY12 = 0x28,
	TPM_TAG_CERTIFY_INFO2 = 0x29,
	TPM_TAG_DELEGATE_OWNER_BLOB = 0x2a,
	TPM_TAG_EK_BLOB_ACTIVATE = 0x2b,
	TPM_TAG_DAA_BLOB = 0x2c,
	TPM_TAG_DAA_CONTEXT = 0x2d,
	TPM_TAG_DAA_ENFORCE = 0x2e,
	TPM_TAG_DAA_ISSUER = 0x2f,
	TPM_TAG_CAP_VERSION_INFO = 0x30,
	TPM_TAG_DAA_SENSITIVE = 0x31,
	TPM_TAG_DAA_TPM = 0x32,
	TPM_TAG_CMK_MIGAUTH = 0x33,
	TPM_TAG_CMK_SIGTICKET = 0x34,
	TPM_TAG_CMK_MA_APPROVAL = 0x35,
	TPM_TAG_QUOTE_INFO2 = 0x36,
	TPM_TAG_DA_INFO = 0x37,
	TPM_TAG_DA_INFO_LIMITED = 0x38,
	TPM_TAG_DA_ACTION_TYPE = 0x39,
};

/* Resource types [Part 2, 4.1]. */
enum {
	TPM_RT_KEY = 0x1,
	TPM_RT_AUTH = 0x2,
	TPM_RT_HASH = 0x3,
	TPM_RT_TRANS = 0x4,
	TPM_RT_CONTEXT = 0x5,
	TPM_RT_COUNTER = 0x6,
	TPM_RT_DELEGATE = 0x7,
	TPM_RT_DAA_TPM = 0x8,
	TPM_RT_DAA_V0 = 0x9,
	TPM_RT_DAA_V1 = 0xa,
};

/* Payload types [Part 2, 4.2]. */
enum {
	TPM_PT_ASYM = 0x1,
	TPM_PT_BIND = 0x2,
	TPM_PT_MIGRATE = 0x3,
	TPM_PT_MAINT = 0x4,
	TPM_PT_SEAL = 0x5,
	TPM_PT_MIGRATE_RESTRICTED = 0x6,
	TPM_PT_MIGRATE_EXTERNAL = 0x7,
	TPM_PT_CMK_MIGRATE = 0x8,
};

/* Entity types, low byte; encryption schemes, high byte [Part 2, 4.3]. */
enum {
	TPM_ET_KEYHANDLE = 0x1,
	TPM_ET_OWNER = 0x2,
	TPM_ET_DATA = 0x3,
	TPM_ET_SRK = 0x4,
	TPM_ET_KEY = 0x5,
	TPM_ET_REVOKE = 0x6,
	TPM_ET_DEL_OWNER_BLOB = 0x7,
	TPM_ET_DEL_ROW = 0x8,
	TPM_ET_DEL_KEY_BLOB = 0x9,
	TPM_ET_COUNTER = 0xa,
	TPM_ET_NV = 0xb,
	TPM_ET_OPERATOR = 0xc,
	TPM_ET_RESERVED_HANDLE = 0x40,
	TPM_ET_XOR = 0x0,
	TPM_ET_AES = 0x6,
};

/* Reserved key handles [Part 2, 4.4]. */
enum {
	TPM_KH_SRK = 0x40000000,
	TPM_KH_OWNER = 0x40000001,
	TPM_KH_REVOKE = 0x40000002,
	TPM_KH_TRANSPORT = 0x40000003,
	TPM_KH_OPERATOR = 0x40000004,
	TPM_KH_ADMIN = 0x40000005,
	TPM_KH_EK = 0x40000006,
};

/* Startup types [Part 2, 4.5]. */
enum {
	TPM_ST_CLEAR = 0x1,
	TPM_ST_STATE = 0x2,
	TPM_ST_DEACTIVATED = 0x3,
};

/* Protocol ids [Part 2, 4.7]. */
enum {
	TPM_PID_OIAP = 0x1,
	TPM_PID_OSAP = 0x2,
	TPM_PID_ADIP = 0x3,
	TPM_PID_ADCP = 0x4,
	TPM_PID_OWNER = 0x5,
	TPM_PID_DSAP = 0x6,
	TPM_PID_TRANSPORT = 0x7,
};

/* Algorithms [Part 2, 4.8]. */
enum {
	TPM_ALG_RSA = 0x1,
	TPM_ALG_DES = 0x2,
	TPM_ALG_3DES = 0x3,
	TPM_ALG_SHA = 0x4,
	TPM_ALG_HMAC = 0x5,
	TPM_ALG_AES = 0x6,
	TPM_ALG_MGF1 = 0x7,
	TPM_ALG_AES192 = 0x8,
	TPM_ALG_AES256 = 0x9,
	TPM_ALG_XOR = 0xa,
};

/* TSC_PhysicalPresence [Part 2, 4.9]. */
enum {
	TPM_PHYSICAL_PRESENCE_LOCK = 0x4,
	TPM_PHYSICAL_PRESENCE_PRESENT = 0x8,
	TPM_PHYSICAL_PRESENCE_NOTPRESENT = 0x10,
	TPM_PHYSICAL_PRESENCE_CMD_ENABLE = 0x20,
	TPM_PHYSICAL_PRESENCE_HW_ENABLE = 0x40,
	TPM_PHYSICAL_PRESENCE_LIFETIME_LOCK = 0x80,
	TPM_PHYSICAL_PRESENCE_CMD_DISABLE = 0x100,
	TPM_PHYSICAL_PRESENCE_HW_DISABLE = 0x200,
};

/* Migration schemes [Part 2, 4.10]. */
enum {
	TPM_MS_MIGRATE = 0x1,
	TPM_MS_REWRAP = 0x2,
	TPM_MS_MAINT = 0x3,
	TPM_MS_RESTRICT_MIGRATE = 0x4,
	TPM_MS_RESTRICT_APPROVE_DOUBLE = 0x5,
};

/* EK blob types [Part 2, 4.11]. */
enum {
	TPM_EK_TYPE_ACTIVATE = 0x1,
	TPM_EK_TYPE_AUTH = 0x2,
};

/* Key usage [Part 2, 5.8]. */
enum {
	TPM_KEY_SIGNING = 0x10,
	TPM_KEY_STORAGE = 0x11,
	TPM_KEY_IDENTITY = 0x12,
	TPM_KEY_AUTHCHANGE = 0x13,
	TPM_KEY_BIND = 0x14,
	TPM_KEY_LEGACY = 0x15,
	TPM_KEY_MIGRATE = 0x16,
};

/* Signature schemes [Part 2, 5.8]. */
enum {
	TPM_SS_NONE = 0x1,
	TPM_SS_RSASSAPKCS1v15_SHA1 = 0x2,
	TPM_SS_RSASSAPKCS1v15_DER = 0x3,
	TPM_SS_RSASSAPKCS1v15_INFO = 0x4,
};

/* Encryption schemes [Part 2, 5.8]. */
enum {
	TPM_ES_NONE = 0x1,
	TPM_ES_RSAESPKCSv15 = 0x2,
	TPM_ES_RSAESOAEP_SHA1_MGF1 = 0x3,
	TPM_ES_SYM_CNT = 0x4,
	TPM_ES_SYM_OFB = 0x5,
	TPM_ES_SYM_CBC_PKCS5PAD = 0xff,
};

/* authDataUsage [Part 2, 5.9]. */
enum {
	TPM_AUTH_NEVER = 0x0,
	TPM_AUTH_ALWAYS = 0x1,
	TPM_AUTH_PRIV_USE_ONLY = 0x3,
};

/* keyFlags [Part 2, 5.10]. */
enum {
	TPM_REDIRECTION = 0x1,
	TPM_MIGRATABLE = 0x2,
	TPM_VOLATILE = 0x4,
	TPM_PCRIGNOREDONREAD = 0x8,
	TPM_MIGRATEAUTHORITY = 0x10,
};

/* CMK restrictions [Part 2, 5.17]. */
#define TPM_CMK_DELEGATE_SIGNING (1u << 31)
#define TPM_CMK_DELEGATE_STORAGE (1u << 30)
#define TPM_CMK_DELEGATE_BIND    (1u << 29)
#define TPM_CMK_DELEGATE_LEGACY  (1u << 28)
#define TPM_CMK_DELEGATE_MIGRATE (1u << 27)

/* Permanent flags [Part 2, 7.1]. */
enum {
	TPM_PF_DISABLE = 0x1,
	TPM_PF_OWNERSHIP = 0x2,
	TPM_PF_DEACTIVATED = 0x3,
	TPM_PF_READPUBEK = 0x4,
	TPM_PF_DISABLEOWNERCLEAR = 0x5,
	TPM_PF_ALLOWMAINTENANCE = 0x6,
	TPM_PF_PHYSICALPRESENCELIFETIMELOCK = 0x7,
	TPM_PF_PHYSICALPRESENCEHWENABLE = 0x8,
	TPM_PF_PHYSICALPRESENCECMDENABLE = 0x9,
	TPM_PF_CEKPUSED = 0xa,
	TPM_PF_TPMPOST = 0xb,
	TPM_PF_TPMPOSTLOCK = 0xc,
	TPM_PF_FIPS = 0xd,
	TPM_PF_OPERATOR = 0xe,
	TPM_PF_ENABLEREVOKEEK = 0xf,
	TPM_PF_NV_LOCKED = 0x10,
	TPM_PF_READSRKPUB = 0x11,
	TPM_PF_RESETESTABLISHMENTBIT = 0x12,
	TPM_PF_MAINTENANCEDONE = 0x13,
	TPM_PF_DISABLEFULLDALOGICINFO = 0x14,
};

/* STCLEAR flags [Part 2, 7.2]. */
enum {
	TPM_SF_DEACTIVATED = 0x1,
	TPM_SF_DISABLEFORCECLEAR = 0x2,
	TPM_SF_PHYSICALPRESENCE = 0x3,
	TPM_SF_PHYSICALPRESENCELOCK = 0x4,
	TPM_SF_GLOBALLOCK = 0x5,
};

/* STANY flags [Part 2, 7.3]. */
enum {
	TPM_AF_POSTINITIALIZE = 0x1,
	TPM_AF_LOCALITYMODIFIER = 0x2,
	TPM_AF_TRANSPORTEXCLUSIVE = 0x3,
	TPM_AF_TOSPRESENT = 0x4,
};

/* Locality selection [Part 2, 8.6]. */
#define TPM_LOC_FOUR  (1u << 4)
#define TPM_LOC_THREE (1u << 3)
#define TPM_LOC_TWO   (1u << 2)
#define TPM_LOC_ONE   (1u << 1)
#define TPM_LOC_ZERO  (1u << 0)
#define TPM_LOC_ALL   0x1fu

/* TPM_KeyControlOwner [Part 2, 10.9]. */
enum {
	TPM_KEY_CONTROL_OWNER_EVICT = 0x1,
};

/* Transport attributes [Part 2, 13.1]. */
enum {
	TPM_TRANSPORT_ENCRYPT = 0x1,
	TPM_TRANSPORT_LOG = 0x2,
	TPM_TRANSPORT_EXCLUSIVE = 0x4,
};

/* NV indexes [Part 2, 19.1]. */
#define TPM_NV_INDEX_LOCK            0xffffffffu
#define TPM_NV_INDEX0                0x00000000u
#define TPM_NV_INDEX_DIR             0x10000001u
#define TPM_NV_INDEX_EKCert          0x0000f000u
#define TPM_NV_INDEX_TPM_CC          0x0000f001u
#define TPM_NV_INDEX_PlatformCert    0x0000f002u
#define TPM_NV_INDEX_Platform_CC     0x0000f003u
#define TPM_NV_INDEX_TRIAL           0x0000f004u
#define TPM_NV_INDEX_TSS_BASE        0x00011100u
#define TPM_NV_INDEX_PC_BASE         0x00011200u
#define TPM_NV_INDEX_SERVER_BASE     0x00011300u
#define TPM_NV_INDEX_MOBILE_BASE     0x00011400u
#define TPM_NV_INDEX_PERIPHERAL_BASE 0x00011500u
#define TPM_NV_INDEX_GROUP_RESV_BASE 0x00010000u

/* NV attributes [Part 2, 19.2]. */
#define TPM_NV_PER_READ_STCLEAR  (1u << 31)
#define TPM_NV_PER_AUTHREAD      (1u << 18)
#define TPM_NV_PER_OWNERREAD     (1u << 17)
#define TPM_NV_PER_PPREAD        (1u << 16)
#define TPM_NV_PER_GLOBALLOCK    (1u << 15)
#define TPM_NV_PER_WRITE_STCLEAR (1u << 14)
#define TPM_NV_PER_WRITEDEFINE   (1u << 13)
#define TPM_NV_PER_WRITEALL      (1u << 12)
#define TPM_NV_PER_AUTHWRITE     (1u << 2)
#define TPM_NV_PER_OWNERWRITE    (1u << 1)
#define TPM_NV_PER_PPWRITE       (1u << 0)

/* Owner permissions, per1 [Part 2, 20.2.1]. */
#define TPM_DELEGATE_SetOrdinalAuditStatus          (1u << 30)
#define TPM_DELEGATE_DirWriteAuth                   (1u << 29)
#define TPM_DELEGATE_CMK_ApproveMA                  (1u << 28)
#define TPM_DELEGATE_NV_WriteValue                  (1u << 27)
#define TPM_DELEGATE_CMK_CreateTicket               (1u << 26)
#define TPM_DELEGATE_NV_ReadValue                   (1u << 25)
#define TPM_DELEGATE_Delegate_LoadOwnerDelegation   (1u << 24)
#define TPM_DELEGATE_DAA_Join                       (1u << 23)
#define TPM_DELEGATE_AuthorizeMigrationKey          (1u << 22)
#define TPM_DELEGATE_CreateMaintenanceArchive       (1u << 21)
#define TPM_DELEGATE_LoadMaintenanceArchive         (1u << 20)
#define TPM_DELEGATE_KillMaintenanceFeature         (1u << 19)
#define TPM_DELEGATE_OwnerReadInternalPub           (1u << 18)
#define TPM_DELEGATE_ResetLockValue                 (1u << 17)
#define TPM_DELEGATE_OwnerClear                     (1u << 16)
#define TPM_DELEGATE_DisableOwnerClear              (1u << 15)
#define TPM_DELEGATE_NV_DefineSpace                 (1u << 14)
#define TPM_DELEGATE_OwnerSetDisable                (1u << 13)
#define TPM_DELEGATE_SetCapability                  (1u << 12)
#define TPM_DELEGATE_MakeIdentity                   (1u << 11)
#define TPM_DELEGATE_ActivateIdentity               (1u << 10)
#define TPM_DELEGATE_OwnerReadPubek                 (1u << 9)
#define TPM_DELEGATE_DisablePubekRead               (1u << 8)
#define TPM_DELEGATE_SetRedirection                 (1u << 7)
#define TPM_DELEGATE_FieldUpgrade                   (1u << 6)
#define TPM_DELEGATE_Delegate_UpdateVerification    (1u << 5)
#define TPM_DELEGATE_CreateCounter                  (1u << 4)
#define TPM_DELEGATE_ReleaseCounterOwner            (1u << 3)
#define TPM_DELEGATE_DelegateManage                 (1u << 2)
#define TPM_DELEGATE_Delegate_CreateOwnerDelegation (1u << 1)
#define TPM_DELEGATE_DAA_Sign                       (1u << 0)

/* Key permissions, per1 [Part 2, 20.2.3]. */
#define TPM_KEY_DELEGATE_CMK_ConvertMigration   (1u << 28)
#define TPM_KEY_DELEGATE_TickStampBlob          (1u << 27)
#define TPM_KEY_DELEGATE_ChangeAuthAsymStart    (1u << 26)
#define TPM_KEY_DELEGATE_ChangeAuthAsymFinish   (1u << 25)
#define TPM_KEY_DELEGATE_CMK_CreateKey          (1u << 24)
#define TPM_KEY_DELEGATE_MigrateKey             (1u << 23)
#define TPM_KEY_DELEGATE_LoadKey2               (1u << 22)
#define TPM_KEY_DELEGATE_EstablishTransport     (1u << 21)
#define TPM_KEY_DELEGATE_ReleaseTransportSigned (1u << 20)
#define TPM_KEY_DELEGATE_Quote2                 (1u << 19)
#define TPM_KEY_DELEGATE_Sealx                  (1u << 18)
#define TPM_KEY_DELEGATE_MakeIdentity           (1u << 17)
#define TPM_KEY_DELEGATE_ActivateIdentity       (1u << 16)
#define TPM_KEY_DELEGATE_GetAuditDigestSigned   (1u << 15)
#define TPM_KEY_DELEGATE_Sign                   (1u << 14)
#define TPM_KEY_DELEGATE_CertifyKey2            (1u << 13)
#define TPM_KEY_DELEGATE_CertifyKey             (1u << 12)
#define TPM_KEY_DELEGATE_CreateWrapKey          (1u << 11)
#define TPM_KEY_DELEGATE_CMK_CreateBlob         (1u << 10)
#define TPM_KEY_DELEGATE_CreateMigrationBlob    (1u << 9)
#define TPM_KEY_DELEGATE_ConvertMigrationBlob   (1u << 8)
#define TPM_KEY_DELEGATE_CreateKeyDelegation    (1u << 7)
#define TPM_KEY_DELEGATE_ChangeAuth             (1u << 6)
#define TPM_KEY_DELEGATE_GetPubKey              (1u << 5)
#define TPM_KEY_DELEGATE_UnBind                 (1u << 4)
#define TPM_KEY_DELEGATE_Quote                  (1u << 3)
#define TPM_KEY_DELEGATE_Unseal                 (1u << 2)
#define TPM_KEY_DELEGATE_Seal                   (1u << 1)
#define TPM_KEY_DELEGATE_LoadKey                (1u << 0)

/* Family operations [Part 2, 20.14]. */
enum {
	TPM_FAMILY_CREATE = 0x1,
	TPM_FAMILY_ENABLE = 0x2,
	TPM_FAMILY_ADMIN = 0x3,
	TPM_FAMILY_INVALIDATE = 0x4,
};

/* Family flags [Part 2, 20.3]. */
#define TPM_FAMFLAG_DELEGATE_ADMIN_LOCK (1u << 1)
#define TPM_FAMFLAG_ENABLE              (1u << 0)

/* Delegation types [Part 2, 20]. */
enum {
	TPM_DEL_OWNER_BITS = 0x1,
	TPM_DEL_KEY_BITS = 0x2,
};

/* TPM_CAP_PROPERTY sub-capabilities [Part 2, 21.2]. */
enum {
	TPM_CAP_PROPERTY = 0x5,
	TPM_CAP_PROP_PCR = 0x101,
	TPM_CAP_PROP_DIR = 0x102,
	TPM_CAP_PROP_MANUFACTURER = 0x103,
	TPM_CAP_PROP_KEYS = 0x104,
	TPM_CAP_PROP_MIN_COUNTER = 0x107,
	TPM_CAP_PROP_AUTHSESS = 0x10a,
	TPM_CAP_PROP_TRANSSESS = 0x10b,
	TPM_CAP_PROP_COUNTERS = 0x10c,
	TPM_CAP_PROP_MAX_AUTHSESS = 0x10d,
	TPM_CAP_PROP_MAX_TRANSSESS = 0x10e,
	TPM_CAP_PROP_MAX_COUNTERS = 0x10f,
	TPM_CAP_PROP_MAX_KEYS = 0x110,
	TPM_CAP_PROP_OWNER = 0x111,
	TPM_CAP_PROP_CONTEXT = 0x112,
	TPM_CAP_PROP_MAX_CONTEXT = 0x113,
	TPM_CAP_PROP_FAMILYROWS = 0x114,
	TPM_CAP_PROP_TIS_TIMEOUT = 0x115,
	TPM_CAP_PROP_STARTUP_EFFECT = 0x116,
	TPM_CAP_PROP_DELEGATE_ROW = 0x117,
	TPM_CAP_PROP_MAX_DAASESS = 0x119,
	TPM_CAP_PROP_DAASESS = 0x11a,
	TPM_CAP_PROP_CONTEXT_DIST = 0x11b,
	TPM_CAP_PROP_DAA_INTERRUPT = 0x11c,
	TPM_CAP_PROP_SESSIONS = 0x11d,
	TPM_CAP_PROP_MAX_SESSIONS = 0x11e,
	TPM_CAP_PROP_CMK_RESTRICTION = 0x11f,
	TPM_CAP_PROP_DURATION = 0x120,
	TPM_CAP_PROP_ACTIVE_COUNTER = 0x122,
	TPM_CAP_PROP_NV_AVAILABLE = 0x123,
	TPM_CAP_PROP_INPUT_BUFFER = 0x124,
};

/* Capability areas [Part 2, 21.1]. */
enum {
	TPM_CAP_ORD = 0x1,
	TPM_CAP_ALG = 0x2,
	TPM_CAP_PID = 0x3,
	TPM_CAP_FLAG = 0x4,
	TPM_CAP_VERSION = 0x6,
	TPM_CAP_KEY_HANDLE = 0x7,
	TPM_CAP_CHECK_LOADED = 0x8,
	TPM_CAP_SYM_MODE = 0x9,
	TPM_CAP_KEY_STATUS = 0xc,
	TPM_CAP_NV_LIST = 0xd,
	TPM_CAP_MFR = 0x10,
	TPM_CAP_NV_INDEX = 0x11,
	TPM_CAP_TRANS_ALG = 0x12,
	TPM_CAP_HANDLE = 0x14,
	TPM_CAP_TRANS_ES = 0x15,
	TPM_CAP_AUTH_ENCRYPT = 0x17,
	TPM_CAP_SELECT_SIZE = 0x18,
	TPM_CAP_DA_LOGIC = 0x19,
	TPM_CAP_VERSION_VAL = 0x1a,
	TPM_CAP_FLAG_PERMANENT = 0x108,
	TPM_CAP_FLAG_VOLATILE = 0x109,
};

/* SetCapability areas [Part 2, 21.4]. */
enum {
	TPM_SET_PERM_FLAGS = 0x1,
	TPM_SET_PERM_DATA = 0x2,
	TPM_SET_STCLEAR_FLAGS = 0x3,
	TPM_SET_STCLEAR_DATA = 0x4,
	TPM_SET_STANY_FLAGS = 0x5,
	TPM_SET_STANY_DATA = 0x6,
	TPM_SET_VENDOR = 0x7,
};

/* Dictionary attack [Part 2, 21.9]. */
enum {
	TPM_DA_STATE_INACTIVE = 0x0,
	TPM_DA_STATE_ACTIVE = 0x1,
	TPM_DA_ACTION_TIMEOUT = 0x1,
	TPM_DA_ACTION_DISABLE = 0x2,
	TPM_DA_ACTION_DEACTIVATE = 0x4,
	TPM_DA_ACTION_FAILURE_MODE = 0x8,
};

/* DAA sizes [Part 2, 22.1]. */
enum {
	TPM_DAA_SIZE_r0 = 43,
	TPM_DAA_SIZE_r1 = 43,
	TPM_DAA_SIZE_r2 = 128,
	TPM_DAA_SIZE_r3 = 168,
	TPM_DAA_SIZE_r4 = 219,
	TPM_DAA_SIZE_NT = 20,
	TPM_DAA_SIZE_v0 = 128,
	TPM_DAA_SIZE_v1 = 192,
	TPM_DAA_SIZE_NE = 256,
	TPM_DAA_SIZE_w = 256,
	TPM_DAA_SIZE_issuerModulus = 256,
	TPM_DAA_power0 = 104,
	TPM_DAA_power1 = 1024,
};

#endif
