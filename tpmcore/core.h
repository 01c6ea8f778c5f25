/*
 * core.h - the inside of a TPM: its state, the declared commands and what their handlers work with.
 *
 * Private to tpmcore/. How a command runs (execute.c): header and tag; the state checks that its
 * row declares; the shape of its parameters; handles; the authorization of each entity; then its
 * handler, which holds the specification's Actions and nothing else; response authorization; audit.
 */
#ifndef TPMCORE_CORE_H
#define TPMCORE_CORE_H

#include "tpmcore/crypto.h"
#include "tpmcore/structures.h"
#include "tpmcore/tpm.h"

/* Limits. GetCapability answers them. */
enum {
	MAX_KEYS = 20,
	MAX_OWNER_EVICT = 10,
	MAX_SESSIONS = 16,
	MAX_TRANSPORTS = 16,
	MAX_CONTEXTS = 128,
	MAX_DAA = 2,
	MAX_COUNTERS = 8,
	MAX_FAMILIES = 16,
	MAX_DELEGATES = 4,
	MAX_NV_BYTES = 28672,        /* of all defined areas together, with NV_OVERHEAD for each */
	NV_OVERHEAD = 128,           /* what an area costs besides its data */
	MAX_NV_WRITES_NO_OWNER = 64, /* TPM_MAX_NV_WRITE_NOOWNER [Part 2, 19] */
	COUNTER_INTERVAL = 1,        /* tenths of a second from one increment to the next */
};

/* Places of the bitmap of audited ordinals: the TPM's are below 256, the TSC's few behind. */
enum { AUDIT_TPM_ORDINALS = 256, AUDIT_PLACES = AUDIT_TPM_ORDINALS + 16 };

#define DIGEST_SIZE TPM_DIGEST_SIZE

/* ---- State ---- */

/* A loaded key. The SRK lives in struct permanent, the EK is no TPM_KEY. */
struct key_slot {
	uint32_t handle;      /* 0: free */
	bool ownerEvict;      /* permanent: survives power and TPM_FlushSpecific */
	bool parentPCRStatus; /* a parent up the chain is bound to PCRs */
	struct key key;
};

/* An OIAP, OSAP or DSAP session. */
struct session {
	uint32_t handle;    /* 0: free */
	uint16_t protocol;  /* TPM_PID_OIAP, _OSAP, _DSAP */
	uint8_t encryption; /* TPM_ET_XOR or TPM_ET_AES, of ADIP */
	uint16_t
	    entityType; /* OSAP, DSAP: TPM_ET_KEYHANDLE, _OWNER, _NV, _COUNTER ... as entity.type */
	uint8_t entityId[DIGEST_SIZE];
	uint8_t nonceEven[DIGEST_SIZE];
	uint8_t sharedSecret[DIGEST_SIZE];
	struct delegate_public delegation; /* DSAP */
};

/* A transport session [Part 2, 13.2, TPM_TRANSPORT_INTERNAL]. */
struct transport {
	uint32_t handle; /* 0: free */
	uint32_t attributes;
	uint32_t algId;
	uint16_t encScheme;
	uint8_t authData[DIGEST_SIZE];
	uint8_t nonceEven[DIGEST_SIZE];
	uint8_t digest[DIGEST_SIZE]; /* of the log */
};

/* A DAA session [Part 2, 22]: TPM_DAA_ISSUER, TPM_DAA_TPM, TPM_DAA_CONTEXT, TPM_DAA_JOINDATA. */
struct daa_session {
	uint32_t handle; /* 0: free */
	struct {
		uint8_t digest_R0[DIGEST_SIZE], digest_R1[DIGEST_SIZE];
		uint8_t digest_S0[DIGEST_SIZE], digest_S1[DIGEST_SIZE];
		uint8_t digest_n[DIGEST_SIZE], digest_gamma[DIGEST_SIZE];
		uint8_t generic_q[26];
	} issuer;
	struct {
		uint8_t digestIssuer[DIGEST_SIZE];
		uint8_t digest_v0[DIGEST_SIZE], digest_v1[DIGEST_SIZE];
		uint8_t rekey[DIGEST_SIZE];
		uint32_t count;
	} tpm;
	struct {
		uint8_t digestContext[DIGEST_SIZE];
		uint8_t digest[DIGEST_SIZE];
		uint8_t contextSeed[DIGEST_SIZE];
		uint8_t scratch[256];
		uint8_t stage;
		bool scratch_null;
	} context;
	struct {
		uint8_t u0[128];
		uint8_t u1[138];
		uint8_t digest_n0[DIGEST_SIZE];
	} join;
};

struct counter {
	bool valid;
	uint8_t label[4];
	uint32_t value;
	uint8_t auth[DIGEST_SIZE];
};

struct delegate_row {
	bool valid;
	struct delegate_public pub;
	uint8_t auth[DIGEST_SIZE];
};

struct nv_area {
	struct nv_public pub;
	uint8_t auth[DIGEST_SIZE];
	uint8_t *data; /* pub.dataSize bytes, owned */
};

/* Dictionary attack mitigation (dictionary.c). */
struct dictionary {
	uint32_t failures;     /* since the last reset */
	uint64_t last_failure; /* platform time, microseconds */
	uint64_t locked_until; /* platform time, microseconds; 0: not locked */
};

/* What survives power: TPM_PERMANENT_FLAGS and TPM_PERMANENT_DATA [Part 2, 7.1 and 7.4]. */
struct permanent {
	bool flags[TPM_PF_DISABLEFULLDALOGICINFO + 1]; /* indexed by TPM_PF_* */

	bool owner_installed;
	uint8_t ownerAuth[DIGEST_SIZE];
	uint8_t tpmProof[DIGEST_SIZE];
	uint8_t operatorAuth[DIGEST_SIZE];
	struct key srk; /* when owner_installed */

	bool has_ek;
	struct rsa_key ek;
	bool ek_revocable;
	uint8_t ekReset[DIGEST_SIZE];

	bool has_manu_maint_pub;
	struct key manuMaintPub;
	uint8_t authDIR[DIGEST_SIZE];

	uint8_t contextKey[CRYPTO_AES_KEY_SIZE];
	uint8_t delegateKey[CRYPTO_AES_KEY_SIZE];
	uint8_t daaBlobKey[CRYPTO_AES_KEY_SIZE];
	uint8_t tpmDAASeed[DIGEST_SIZE];
	uint8_t daaProof[DIGEST_SIZE];

	uint32_t auditMonotonicCounter;
	uint8_t ordinalAuditStatus[AUDIT_PLACES / 8];
	uint32_t counter_base; /* value that the next new counter exceeds [Part 1, 20] */
	struct counter counters[MAX_COUNTERS];
	uint32_t lastFamilyID;
	uint32_t restrictDelegate; /* TPM_CMK_DELEGATE */
	struct family families[MAX_FAMILIES];
	struct delegate_row delegates[MAX_DELEGATES];
	uint32_t noOwnerNVWrite;
	struct dictionary dictionary;
};

/* What TPM_Startup(ST_CLEAR) resets and SaveState keeps: TPM_STCLEAR_FLAGS, TPM_STCLEAR_DATA, PCRs.
 */
struct stclear {
	bool flags[TPM_SF_GLOBALLOCK + 1]; /* indexed by TPM_SF_* */
	uint8_t pcr[TPM_NUM_PCR][DIGEST_SIZE];
	uint32_t
	    counter_active; /* index + 1 of the counter that this boot may increment; 0: none yet */
	bool counter_released;   /* that counter is gone: no increments until the next boot */
	uint32_t ownerReference; /* TPM_KH_OWNER, or as TPM_SetOwnerPointer left it */
	bool disableResetLock;
	uint8_t auditDigest[DIGEST_SIZE];
	bool audit_open; /* something was audited since auditDigest was last closed */
	uint32_t deferredPhysicalPresence; /* TPM_DPP bits */
};

/* Who runs the TPM's only SHA-1 thread: TPM_SHA1Start, the dynamic launch, or TPM_SHA1Start that a
 * transport session carried, HASH_TRANSPORT plus its slot. */
enum hash_owner { HASH_NONE, HASH_SHA1, HASH_LAUNCH, HASH_TRANSPORT };

/* What no command keeps: TPM_STANY_FLAGS, TPM_STANY_DATA [Part 2, 7.3 and 7.6]. */
struct stany {
	bool postInitialise;
	bool self_test_failed;
	bool TOSPresent;
	uint32_t exclusive; /* handle of the exclusive transport session; 0: none */
	uint8_t contextNonceSession[DIGEST_SIZE];
	uint8_t contextNonceKey[DIGEST_SIZE];
	uint32_t contextCount;
	uint32_t contextList[MAX_CONTEXTS]; /* counts of the saved session contexts; 0: free */
	uint8_t tickNonce[DIGEST_SIZE];
	uint64_t tick_start;  /* platform time at tick 0, microseconds */
	uint64_t counter_due; /* when increments no longer run ahead (counters.c); not kept */
	uint8_t hash;         /* enum hash_owner of the SHA-1 thread */
	struct sha1_thread sha1;
	struct session sessions[MAX_SESSIONS];
	struct transport transports[MAX_TRANSPORTS];
	struct daa_session daa[MAX_DAA];
};

struct tpm {
	struct tpm_platform platform;
	struct permanent permanent;
	struct nv_area *nv; /* sorted as defined; nv_count entries, owned */
	size_t nv_count;
	struct key_slot keys[MAX_KEYS];
	struct stclear stclear;
	struct stany stany;
	uint8_t boot_pcr[TPM_NUM_PCR][DIGEST_SIZE]; /* what TPM_Startup resets PCRs to */
	uint8_t *saved; /* the blob of TPM_SaveState, owned; NULL: none */
	size_t saved_len;
	/* Of the command that runs: */
	unsigned changed;     /* enum tpm_change flags */
	bool cancelled;       /* the platform wished so */
	struct cancel cancel; /* tpm_cancelled, for private-key operations */
};

#define PERMANENT_FLAG(tpm, name) ((tpm)->permanent.flags[TPM_PF_##name])
#define STCLEAR_FLAG(tpm, name)   ((tpm)->stclear.flags[TPM_SF_##name])

/* ---- Commands ---- */

struct command;
typedef TPM_RESULT command_handler(struct command *c);

/* What a handle in the handle area is. */
enum handle_kind {
	HANDLE_NONE,
	HANDLE_KEY, /* a loaded key or TPM_KH_SRK: c->key[] is set before the handler runs */
	HANDLE_RAW, /* looked up by the handler: c->handle[] */
};

/* Whom an authorization session speaks for; it is verified before the handler, but for
 * AUTH_HANDLER. */
enum auth_kind {
	AUTH_NONE,
	AUTH_OWNER,
	AUTH_OWNER_OR_NONE, /* the command also comes without: the handler looks at c->auth_count */
	AUTH_SRK,           /* use of the SRK; may be left out if it needs no AuthData */
	AUTH_KEY, /* use of the key of the handle in the same place; may be left out if it needs
		     none */
	AUTH_KEY_ALWAYS, /* the same, never left out: it has a secret of the caller's to protect */
	AUTH_KEY_PUBLIC, /* the same, where only the public half is used: TPM_AUTH_PRIV_USE_ONLY
			    needs none */
	AUTH_HANDLER,    /* an entity that only the handler knows: it calls auth_verify */
	AUTH_HANDLER_OR_NONE,
	AUTH_TRANSPORT, /* always the last; its handle is a transport session's: the handler calls
			   transport_verify */
};

/* Attributes of a command. */
enum {
	WHEN_DISABLED = 1 << 0,    /* available while the TPM is disabled */
	WHEN_DEACTIVATED = 1 << 1, /* ... deactivated */
	WHEN_FAILED = 1 << 2,      /* ... after a failed self-test */
	WHEN_POSTINIT = 1 << 3,    /* ... before TPM_Startup */
	NEEDS_OWNER = 1 << 4,      /* TPM_NOSRK without one, as use of its AuthData or of a key */
	NEEDS_NO_OWNER = 1 << 5,   /* TPM_OWNER_SET with one */
	NO_TRANSPORT = 1 << 6,     /* TPM_NO_WRAP_TRANSPORT inside a transport session */
	NO_DIGEST_DATA = 1 << 7,   /* its parameters are in no digest; inside a transport session
				      its response is in the clear, for the rest see clear below */
	AUDIT_NEVER = 1 << 8,      /* cannot be audited */
	AUDIT_DEFAULT = 1 << 9,    /* audited until TPM_SetOrdinalAuditStatus */
	PURE = 1 << 10,            /* changes nothing, not even volatile state, but for its audit */
	KEEPS_SHA1 = 1 << 11,      /* part of a SHA-1 thread; any other command ends the thread */
	KEEPS_SAVED = 1 << 12,     /* what TPM_SaveState kept stays valid */
	IGNORES_PCR = 1 << 13, /* its keys may be bound to other PCR values than the present ones */
	INSERTS_AUTH = 1 << 14, /* new AuthData comes encrypted by the first session: never OIAP */
};

/*
 * How long a command may take [Part 2, 21.2, TPM_CAP_PROP_DURATION]. Whatever uses a private key is
 * not short, and what is not short can be cancelled: it then ends TPM_FAIL and the TPM is as if the
 * command had never come.
 */
enum duration { DURATION_SHORT, DURATION_MEDIUM, DURATION_LONG };

/* One row of the table of commands (ordinals.c). */
struct ordinal {
	uint32_t ordinal;
	const char *name;
	command_handler *handler;
	uint8_t handles[2];  /* enum handle_kind */
	uint8_t auths[2];    /* enum auth_kind */
	uint8_t out_handles; /* handles at the start of the response, outside its digest */
	uint8_t duration;    /* enum duration */
	/*
	 * The parameters between handles and authorizations: 1 2 4 an integer of that many bytes; b
	 * a BOOL, 0 or 1; d a digest, nonce or AuthData; L a 16-byte label; s a 32-bit size and
	 * bytes; p TPM_PCR_SELECTION; K TPM_KEY_PARMS; P TPM_PUBKEY; k TPM_KEY or TPM_KEY12; S
	 * TPM_STORED_DATA; N TPM_NV_DATA_PUBLIC; D TPM_DELEGATE_PUBLIC; * the rest, whatever it is.
	 */
	const char *params;
	uint32_t attributes;
	uint32_t owner_permission; /* TPM_DELEGATE_*: what a DSAP session for the owner must permit;
				      0: not delegable */
	uint32_t key_permission;   /* TPM_KEY_DELEGATE_* */
	uint8_t clear; /* inside a transport session: leading bytes of its parameters that are in
			  the clear */
};

const struct ordinal *ordinal_find(uint32_t ordinal);
/* ordinal_next: for walking the table; NULL starts, NULL ends. */
const struct ordinal *ordinal_next(const struct ordinal *row);

/* One authorization of the command that runs. */
struct auth {
	uint32_t handle;
	struct session *session;     /* its handle is another once it is terminated; or */
	struct transport *transport; /* of AUTH_TRANSPORT, likewise */
	uint8_t nonceOdd[DIGEST_SIZE];
	uint8_t lastNonceEven[DIGEST_SIZE]; /* nonceEven that the caller used */
	uint8_t nonceEven[DIGEST_SIZE];     /* that the response will carry */
	bool continueAuthSession;
	uint8_t hmac[DIGEST_SIZE];
	uint8_t kind;                /* enum auth_kind */
	uint8_t secret[DIGEST_SIZE]; /* key of the response's HMAC, set by auth_verify */
	bool verified;
};

/* One command while it runs. */
struct command {
	struct tpm *tpm;
	const struct ordinal *row;
	unsigned locality;
	struct transport *transport; /* it came through this transport session; NULL: plainly */

	uint32_t handle[2];
	struct key *key[2];             /* of HANDLE_KEY */
	struct key_slot *slot[2];       /* NULL for the SRK */
	struct reader in;               /* the parameters, whose shape was checked */
	struct span params;             /* the same, whole */
	uint8_t in_digest[DIGEST_SIZE]; /* inParamDigest */
	bool audited;
	struct tpm *before; /* to return to, if it is cancelled; NULL: it cannot be */

	unsigned auth_count;
	struct auth auth[2];

	struct writer out; /* the response's parameters */
	bool has_out_digest;
	uint8_t out_digest[DIGEST_SIZE]; /* outParamDigest, where it is not simply that of out */
};

/*
 * command_run: one command from bytes to response, also from within a transport session. room is
 * the size of response, TPM_BUFFER_SIZE or less. Returns the response's length.
 */
size_t command_run(struct tpm *tpm, unsigned locality, struct transport *transport,
		   const uint8_t *cmd, size_t cmd_len, uint8_t *response, size_t room);

/* command_out_digest: outParamDigest of a success with these parameters. */
void command_out_digest(const struct command *c, struct span params, uint8_t *digest);

enum {
	AUTH_IN_SIZE = 4 + DIGEST_SIZE + 1 + DIGEST_SIZE, /* handle, nonceOdd, continue, HMAC */
	AUTH_OUT_SIZE = DIGEST_SIZE + 1 + DIGEST_SIZE,    /* nonceEven, continue, HMAC */
};

/* ---- Entities and authorization (authorization.c) ---- */

/* Something with AuthData. secret points into the TPM. */
struct entity {
	uint16_t
	    type; /* TPM_ET_KEYHANDLE, TPM_ET_OWNER, TPM_ET_NV, TPM_ET_COUNTER, TPM_ET_REVOKE ... */
	uint8_t id[DIGEST_SIZE];
	const uint8_t *secret;
};

struct entity entity_owner(struct tpm *tpm);
struct entity entity_key(const struct key *key);
struct entity entity_number(uint16_t type, uint32_t number, const uint8_t *secret);
/* entity_data: sealed data and the like, which only an OIAP session can authorize. */
struct entity entity_data(const uint8_t *secret);

/*
 * entity_find (sessions.c): what TPM_OSAP calls type and value. TPM_BAD_PARAMETER,
 * TPM_INVALID_KEYHANDLE, TPM_BADINDEX, TPM_BAD_COUNTER: no such thing.
 */
TPM_RESULT entity_find(struct tpm *tpm, uint16_t type, uint32_t value, struct entity *entity);

/*
 * auth_verify: checks authorization i of the command against entity: session, HMAC, delegation.
 * TPM_AUTHFAIL for the first, TPM_AUTH2FAIL for the second; failures count as dictionary attack.
 * Handlers call it for AUTH_HANDLER.
 */
TPM_RESULT auth_verify(struct command *c, unsigned i, struct entity entity);

/*
 * auth_verify_key: the same for the use of a key; TPM_INVALID_KEYUSAGE where the owner does not
 * want delegated use of such a certified migration key.
 */
TPM_RESULT auth_verify_key(struct command *c, unsigned i, const struct key *key);
/* auth_hmac_fits: whether the HMAC of authorization i is one of its secret over in_digest. */
bool auth_hmac_fits(const struct command *c, unsigned i);

/*
 * auth_decrypt: ADIP. The AuthData that the caller encrypted for session auth[i], which then ends
 * with the command; nonce_odd: with the odd nonce (a command's second encrypted value) instead of
 * the even one. TPM_BAD_MODE in an OIAP session, TPM_AUTHFAIL in none.
 */
TPM_RESULT auth_decrypt(struct command *c, unsigned i, bool nonce_odd, const uint8_t *encrypted,
			uint8_t *auth);

struct session *session_find(struct tpm *tpm, uint32_t handle);
/* session_new: a free slot with handle and fresh nonceEven; NULL: TPM_RESOURCES. */
struct session *session_new(struct tpm *tpm, uint16_t protocol);
/*
 * session_open: an OSAP or DSAP session (sessions.c) for entity; writes the response's parameters.
 * TPM_RESOURCES, TPM_INAPPROPRIATE_ENC.
 */
TPM_RESULT session_open(struct command *c, uint16_t protocol, uint8_t encryption,
			const struct entity *entity, const uint8_t *nonceOdd,
			struct session **opened);
void session_terminate(struct session *s);
/* session_terminate_entity: all OSAP and DSAP sessions of entity, whose secret changed or is gone.
 */
void session_terminate_entity(struct tpm *tpm, struct entity entity);
void session_terminate_all(struct tpm *tpm);

/* ---- Keys (keys.c) ---- */

/* key_find: the key of a handle, TPM_KH_SRK included; *slot is NULL for the SRK. NULL: no such key.
 */
struct key *key_find(struct tpm *tpm, uint32_t handle, struct key_slot **slot);
/* key_not_found: what a handle that is none of ours is answered. */
TPM_RESULT key_not_found(uint32_t handle);
/* key_slot_new: a free slot with a new handle; NULL: TPM_NOSPACE. The key is zero. */
struct key_slot *key_slot_new(struct tpm *tpm);
void key_slot_free(struct key_slot *slot);
/* key_check_parms: parms and keyFlags are those of a key that keyUsage may have:
 * TPM_BAD_KEY_PROPERTY; TPM_INVALID_KEYUSAGE for a usage that is none. */
TPM_RESULT key_check_parms(const struct key *key);
/*
 * What uses a private key ends TPM_FAIL when the command is cancelled.
 * key_generate: fills rsa by parms.
 */
TPM_RESULT key_generate(struct tpm *tpm, struct key *key);
/*
 * key_create (storage.c): generates key, whose public template and AuthData are set, wraps it under
 * c->key[0] and writes it to the response.
 */
TPM_RESULT key_create(struct command *c, struct key *key);
/* key_wrap: encrypts TPM_STORE_ASYMKEY of key under parent, at most CRYPTO_RSA_MAX bytes.
 * key_unwrap reverses it. */
TPM_RESULT key_wrap(const struct key *parent, const struct key *key, uint8_t *enc, size_t *len);
TPM_RESULT key_unwrap(const struct tpm *tpm, const struct key *parent, struct key *key,
		      struct reader enc);
/* key_encrypt, key_decrypt: OAEP with the TPM's label; out has CRYPTO_RSA_MAX bytes.
 * TPM_ENCRYPT_ERROR, TPM_DECRYPT_ERROR. */
TPM_RESULT key_encrypt(const struct key *key, uint8_t *out, size_t *len, const void *in,
		       size_t in_len);
TPM_RESULT key_decrypt(const struct tpm *tpm, const struct key *key, uint8_t *out, size_t *len,
		       struct reader in);
/*
 * key_migratable: by keyFlags. key_can_sign: by keyUsage: signing, legacy and identity keys.
 * key_signs_digests: by sigScheme: what the TPM itself makes is signed as a SHA-1 digest.
 */
bool key_migratable(const struct key *key);
bool key_can_sign(const struct key *key);
bool key_signs_digests(const struct key *key);
/*
 * key_is_cmk: a certified migration key, by its payload. key_cmk_auth: the migrationAuth of such a
 * key under the migration authorities of msaDigest: HMAC of TPM_CMK_MIGAUTH [Part 2, 5.19].
 */
bool key_is_cmk(const struct key *key);
void key_cmk_auth(const struct tpm *tpm, const struct key *key, const uint8_t *msaDigest,
		  uint8_t *auth);
/* key_check_pcr: PCRs and locality that the key is bound to are right now. */
TPM_RESULT key_check_pcr(const struct command *c, const struct key *key);
/* key_sign_sha1: answers a digest's PKCS #1 v1.5 signature, sized. */
TPM_RESULT key_sign_sha1(struct command *c, const struct key *key, const uint8_t *digest);
/* sign_info_digest: SHA-1 of a TPM_SIGN_INFO [Part 2, 5.14]; fixed says what is signed: "SIGN" ...
 */
void sign_info_digest(const char *fixed, const uint8_t *replay, struct span data, uint8_t *digest);

/* ---- PCRs (pcr.c) ---- */

/* pcr_composite_digest: SHA-1 of the TPM_PCR_COMPOSITE of the selected PCRs now. */
void pcr_composite_digest(const struct tpm *tpm, const struct pcr_selection *s, uint8_t *digest);
/* pcr_composite_write: that structure itself. */
void pcr_composite_write(const struct tpm *tpm, const struct pcr_selection *s, struct writer *w);
/* pcr_check_release: TPM_WRONGPCRVAL, TPM_BAD_LOCALITY; an empty selection checks the locality
 * only. */
TPM_RESULT pcr_check_release(const struct command *c, const struct pcr_selection *s,
			     const uint8_t *digest, uint8_t locality_mask);
TPM_RESULT pcr_check_info(const struct command *c, const struct pcr_info *info);
TPM_RESULT pcr_check_info_short(const struct command *c, const struct pcr_info_short *info);
/* pcr_info_at_creation: fills in digestAtCreation and localityAtCreation with what is now. */
void pcr_info_at_creation(const struct command *c, struct pcr_info *info);
/*
 * pcr_extend (integrity.c): TPM_BADINDEX, TPM_BAD_LOCALITY. pcr_extend_response: the new value as
 * outDigest; zeros while the TPM is disabled or deactivated.
 */
TPM_RESULT pcr_extend(struct tpm *tpm, unsigned locality, uint32_t pcr, const uint8_t *digest);
void pcr_extend_response(struct command *c, uint32_t pcr);
/* pcr_manufacture: what a platform's PCRs begin with. */
void pcr_manufacture(struct tpm *tpm);

/* pcr_startup_clear, pcr_startup_state: the values after TPM_Startup(ST_CLEAR) and (ST_STATE). */
void pcr_startup_clear(struct tpm *tpm);
void pcr_startup_state(struct tpm *tpm); /* only the resettable ones */

/* ---- Platform ---- */

TPM_RESULT tpm_random(struct tpm *tpm, void *buf, size_t len);
/* tpm_cancelled: whether the platform wishes, or wished before, to cancel the command that runs. */
bool tpm_cancelled(void *tpm);
/* saved_state_drop: what TPM_SaveState kept no longer holds; durable, so that it never comes back.
 */
void saved_state_drop(struct tpm *tpm);
bool tpm_physical_presence(const struct tpm *tpm); /* pin or command, as the flags allow */
/* tpm_new_handle: resource type in the top byte and a random rest that in_use does not know. */
uint32_t tpm_new_handle(struct tpm *tpm, uint8_t resource_type,
			bool (*in_use)(struct tpm *tpm, uint32_t handle));

/* ---- What the engine and other chapters need of a chapter ---- */

/* tpm.c: a TPM as it leaves the factory; frees and wipes all NV areas. */
void tpm_manufacture(struct tpm *tpm);
void tpm_free_nv(struct tpm *tpm);

/* ownership.c: the actions common to TPM_OwnerClear, TPM_ForceClear and TPM_RevokeTrust [Part
 * 3, 6.2]. */
void owner_clear(struct tpm *tpm);

/* optin.c: sets TPM_PF_* flag; permanent state changes only if it was not so before. */
void permanent_flag_set(struct tpm *tpm, unsigned flag, bool value);

/*
 * dictionary.c: TPM_DEFEND_LOCK_RUNNING while locked out; a failed authorization; TPM_DA_INFO, or
 * TPM_DA_INFO_LIMITED where the owner wants so [Part 2, 21.7 and 21.8].
 */
TPM_RESULT dictionary_check(struct command *c);
void dictionary_failure(struct tpm *tpm);
void dictionary_info_write(const struct tpm *tpm, struct writer *w);

/*
 * auditing.c: audit_command records an audited command (c->audited) that succeeded, by its
 * in_digest and out_digest [Part 1, 17]; audit_status: whether an ordinal is audited;
 * audit_manufacture: only those are that are by default.
 */
void audit_command(struct command *c);
bool audit_status(const struct tpm *tpm, uint32_t ordinal);
void audit_manufacture(struct tpm *tpm);

/*
 * delegation_use.c: delegation_check: whether a DSAP session with this delegation may run the
 * command: permission bit, family, PCRs, locality. delegation_owner_secret: for an OIAP session of
 * the owner, puts the delegation that TPM_SetOwnerPointer chose in place of the owner's secret, if
 * one is chosen.
 */
TPM_RESULT delegation_check(const struct command *c, const struct delegate_public *pub);
TPM_RESULT delegation_owner_secret(struct command *c, struct entity *entity);
/* delegation_of_owner: the same choice for a new OSAP session: its delegation, or NULL. */
const struct delegate_public *delegation_of_owner(struct tpm *tpm, struct entity *entity);
void delegation_owner_clear(struct tpm *tpm);

/* capability.c: TPM_CAP_VERSION_INFO [Part 2, 21.6], also part of TPM_Quote2. */
void version_info_write(struct writer *w);

/* cryptographic.c: TPM_CERTIFY_INFO [Part 2, 11.1]. */
void certify_info_write(struct writer *w, const struct key *key, bool parentPCRStatus,
			const uint8_t *antiReplay);

/* endorsement.c: the EK as TPM_PUBKEY, and its private operation as that of a key. */
struct key endorsement_key(const struct tpm *tpm);

/* startup.c: the self-test failed, or state was lost: only what WHEN_FAILED allows still runs. */
void tpm_fail(struct tpm *tpm);

/* nvstorage.c */
struct nv_area *nv_find(struct tpm *tpm, uint32_t index);
uint32_t nv_available(const struct tpm *tpm); /* bytes that one new area could have */
void nv_startup_clear(struct tpm *tpm);       /* bReadSTClear, bWriteSTClear of all areas */
void nv_owner_clear(struct tpm *tpm);         /* deletes what goes with the owner [Part 3, 6.2] */
void nv_revoke_trust(struct tpm *tpm);        /* and with the EK; unlocks NV [Part 3, 14.3] */

/* counters.c: the id is the index in permanent.counters. */
struct counter *counter_find(struct tpm *tpm, uint32_t id);
void counters_owner_clear(struct tpm *tpm);

/* ticks.c: microseconds since tick_start; TPM_CURRENT_TICKS [Part 2, 15.1] of that moment. */
enum { CURRENT_TICKS_SIZE = 2 + 8 + 2 + DIGEST_SIZE };
uint64_t ticks_now(const struct tpm *tpm);
void ticks_write(const struct tpm *tpm, uint64_t ticks, struct writer *w);

/* cmk.c: whether TPM_CMK_SetRestrictions lets a DSAP session use the key. */
bool cmk_may_be_delegated(const struct tpm *tpm, const struct key *key);

/*
 * transport.c: transport_command: a command outside of the exclusive transport session, even one
 * that is no good, ends that session.
 */
void transport_command(struct command *c);
void transport_end_exclusive(struct tpm *tpm); /* if there is one */
struct transport *transport_find(struct tpm *tpm, uint32_t handle);
void transport_free(struct tpm *tpm, struct transport *t);

/* daa.c. daa_renew: new secrets, which end the use of all DAA data of before. */
TPM_RESULT daa_renew(struct tpm *tpm);
struct daa_session *daa_find(struct tpm *tpm, uint32_t handle);
void daa_free(struct daa_session *d);

#endif
