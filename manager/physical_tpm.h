/*
 * physical_tpm.h - the host's own TPM: 1.2 or 2.0, a device or a socket, one interface.
 *
 * Every function but those marked "does not wait" talks to the chip and blocks until it answers,
 * which may take seconds (key generation: a minute). They may be called from any thread, and take
 * turns; a listener must not call them but hand them to a worker (worker.h). The chip is needed at
 * start, for resealing, for migration keys and for anchoring, never for an instance's start or
 * save.
 *
 * A chip may vanish. Functions then return -ENODEV, and the next call tries to reach it anew: no
 * restart is needed when it comes back. Whatever they loaded into the chip they have unloaded when
 * they return.
 *
 * Errors: 0 or
 *     -ENODEV        not reachable, or gone in the middle
 *     -ETIMEDOUT     no answer in time; the connection is closed, the next call opens it anew
 *     -EPROTO        what answers is not a TPM
 *     -ESTALE        a selected PCR differs from the value at the time of sealing
 *     -EKEYREJECTED  the blob was made by another TPM, or this one was cleared since
 *     -EACCES        a secret (owner, storage root key) is wrong
 *     -ENOKEY        the TPM has no owner, or no such object
 *     -EPERM         TPM disabled or deactivated, or the command is not on the allow-list
 *     -ENOMEM, -EINVAL, -EMSGSIZE as usual; -EIO any other answer of the chip.
 * physical_tpm_error says it in words, with the chip's own code.
 */
#ifndef MANAGER_PHYSICAL_TPM_H
#define MANAGER_PHYSICAL_TPM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PHYSICAL_TPM_AUTH_SIZE = 20,     /* a secret, as TPM 1.2 has them */
	PHYSICAL_TPM_BLOB_MAX = 4096,    /* no blob of seal or key creation is longer */
	PHYSICAL_TPM_SECRET_MAX = 64,    /* what is sealed or decrypted: symmetric keys */
	PHYSICAL_TPM_COMMAND_MAX = 4096, /* commands and responses that are passed on */
	PHYSICAL_TPM_PCRS = 24,
	PHYSICAL_TPM_PCR_MAX = 32, /* bytes of the longest PCR: SHA-1 in 1.2, SHA-256 in 2.0 */
	PHYSICAL_TPM_RSA_MAX = 256,
	PHYSICAL_TPM_STATEMENT_MAX = 512,
};

struct physical_tpm;

struct physical_tpm_options {
	const char *address;     /* device:PATH, socket:unix:PATH or socket:tcp:HOST:PORT */
	const uint8_t *srk_auth; /* TPM 1.2: secret of the SRK; NULL: well known (20 zeros) */
	uint32_t storage_handle; /* TPM 2.0: an existing storage key to use; 0: a primary of ours */
	unsigned timeout_seconds; /* longest time to wait for an answer; 0: 120 */
};

/* A PCR's value. size is 20 (TPM 1.2) or 32 (TPM 2.0). */
struct physical_tpm_pcr {
	uint8_t size;
	uint8_t value[PHYSICAL_TPM_PCR_MAX];
};

/* An opaque blob of the chip. Sealed blobs and wrapped keys may be stored anywhere. */
struct physical_tpm_blob {
	size_t len;
	uint8_t data[PHYSICAL_TPM_BLOB_MAX];
};

/*
 * The public part of a migration key: RSA-2048. scheme says how data is encrypted to it (see
 * migration_key.h, which does so).
 */
struct physical_tpm_public {
	uint8_t scheme;
	uint32_t exponent;
	uint16_t modulus_len;
	uint8_t modulus[PHYSICAL_TPM_RSA_MAX]; /* big-endian */
};

enum {
	PHYSICAL_TPM_SCHEME_BIND12 = 1, /* TPM_BOUND_DATA in OAEP, SHA-1, label "TCPA" [TPM 1.2] */
	PHYSICAL_TPM_SCHEME_OAEP20 = 2, /* OAEP, SHA-256, label "VTPM\0" [TPM 2.0] */
	PHYSICAL_TPM_SCHEME_SIGN12 = 3, /* PKCS#1 v1.5 signatures, SHA-1 [TPM 1.2] */
	PHYSICAL_TPM_SCHEME_SIGN20 = 4, /* PKCS#1 v1.5 signatures, SHA-256 [TPM 2.0] */
};

/*
 * physical_tpm_open: finds out what answers at options->address (version, started or not) and makes
 * it usable: a TPM that nobody has started is started (TPM_Startup, clear). *tpm is to be closed
 * with physical_tpm_close. options may go afterwards. On error *tpm is NULL and the reason is
 * logged.
 */
int physical_tpm_open(struct physical_tpm **tpm, const struct physical_tpm_options *options);
void physical_tpm_close(struct physical_tpm *tpm);

/* What is known without asking the chip; these do not wait. */
unsigned physical_tpm_version(const struct physical_tpm *tpm);    /* 12 or 20 */
const char *physical_tpm_address(const struct physical_tpm *tpm); /* as given */
bool physical_tpm_present(struct physical_tpm *tpm);              /* the last exchange worked */

/*
 * physical_tpm_error: copies the last error of the calling thread, a sentence that names the chip
 * and the way out, to out (at most len bytes with the final NUL) and returns out. Does not wait.
 */
const char *physical_tpm_error(char *out, size_t len);

/* physical_tpm_ping: asks the chip something harmless; 0 if it is there. */
int physical_tpm_ping(struct physical_tpm *tpm);

/*
 * physical_tpm_is_owned: whether a TPM 1.2 has an owner; a TPM 2.0 always counts as owned (its
 * storage hierarchy is used with the empty secret).
 */
int physical_tpm_is_owned(struct physical_tpm *tpm, bool *owned);

/*
 * physical_tpm_take_ownership: TPM 1.2: makes an endorsement key if there is none, and sets
 * owner_auth (20 bytes) and the SRK secret of the options. -EPERM if it has an owner. TPM 2.0: 0,
 * nothing is done.
 */
int physical_tpm_take_ownership(struct physical_tpm *tpm, const uint8_t *owner_auth);

/* physical_tpm_random: len bytes from the chip's generator. */
int physical_tpm_random(struct physical_tpm *tpm, uint8_t *out, size_t len);

/* physical_tpm_pcr_read: the value of PCR index; SHA-256 bank of a TPM 2.0. */
int physical_tpm_pcr_read(struct physical_tpm *tpm, unsigned index, struct physical_tpm_pcr *pcr);

/*
 * physical_tpm_pcr_sha1: the value of PCR index in the 20 bytes of a TPM 1.2. A TPM 2.0 has it in
 * its SHA-1 bank; of one without such a bank, it is SHA-1 of the value in the SHA-256 bank.
 */
int physical_tpm_pcr_sha1(struct physical_tpm *tpm, unsigned index, uint8_t *value);

/*
 * physical_tpm_seal: seals secret (at most PHYSICAL_TPM_SECRET_MAX bytes) to the chip and to the
 * present values of the PCRs whose bits are set in pcrs (bit n: PCR n; 0: none).
 * physical_tpm_unseal: out has room for PHYSICAL_TPM_SECRET_MAX bytes. The caller wipes it.
 */
int physical_tpm_seal(struct physical_tpm *tpm, const uint8_t *secret, size_t len, uint32_t pcrs,
		      struct physical_tpm_blob *blob);
int physical_tpm_unseal(struct physical_tpm *tpm, const struct physical_tpm_blob *blob,
			uint8_t *out, size_t *len);

/*
 * Migration key: an RSA-2048 key pair whose private part never leaves the chip unwrapped. auth is
 * its secret. decrypt reverses migration_key_encrypt; out has room for PHYSICAL_TPM_SECRET_MAX
 * bytes; -EKEYREJECTED if data was not encrypted to this key.
 */
int physical_tpm_key_create(struct physical_tpm *tpm, const uint8_t *auth,
			    struct physical_tpm_blob *key, struct physical_tpm_public *pub);
int physical_tpm_key_decrypt(struct physical_tpm *tpm, const struct physical_tpm_blob *key,
			     const uint8_t *auth, const uint8_t *data, size_t data_len,
			     uint8_t *out, size_t *len);

/*
 * Identity key: signs nothing but what the chip says about itself. auth is its secret; making one
 * needs the owner's secret on a TPM 1.2 (NULL on a 2.0). physical_tpm_quote: has the chip sign the
 * present values of pcrs (not 0) together with data: 20 bytes on a TPM 1.2, at most 32 on a 2.0.
 */
struct physical_tpm_quote {
	uint8_t pcr_size; /* of the values: SHA-1 or SHA-256; the best bank that the chip has */
	uint8_t pcrs[PHYSICAL_TPM_PCRS][PHYSICAL_TPM_PCR_MAX];
	size_t statement_len; /* what is signed: TPM_QUOTE_INFO, or TPMS_ATTEST of a TPM 2.0 */
	uint8_t statement[PHYSICAL_TPM_STATEMENT_MAX];
	size_t signature_len;
	uint8_t signature[PHYSICAL_TPM_RSA_MAX];
};
int physical_tpm_identity_create(struct physical_tpm *tpm, const uint8_t *owner_auth,
				 const uint8_t *auth, struct physical_tpm_blob *key,
				 struct physical_tpm_public *pub);
int physical_tpm_quote(struct physical_tpm *tpm, const struct physical_tpm_blob *key,
		       const uint8_t *auth, uint32_t pcrs, const uint8_t *data, size_t len,
		       struct physical_tpm_quote *quote);

/*
 * The anchor: a number in the chip that only its holder of auth can move, and only up. TPM 1.2: an
 * NV area; TPM 2.0: an NV counter. define needs the owner's secret on a TPM 1.2 (NULL on a 2.0) and
 * chooses a free index; the value starts at some number that read tells. increment returns the new
 * value. -ENOKEY if there is no such index (any more).
 */
int physical_tpm_anchor_define(struct physical_tpm *tpm, const uint8_t *owner_auth,
			       const uint8_t *auth, uint32_t *index);
int physical_tpm_anchor_undefine(struct physical_tpm *tpm, const uint8_t *owner_auth,
				 uint32_t index);
int physical_tpm_anchor_read(struct physical_tpm *tpm, const uint8_t *auth, uint32_t index,
			     uint64_t *value);
int physical_tpm_anchor_increment(struct physical_tpm *tpm, const uint8_t *auth, uint32_t index,
				  uint64_t *value);

/*
 * physical_tpm_pass: hands a command of an instance (TPMCOMMAND) to the chip if it is on the
 * allow-list: reads that change nothing. response has room for PHYSICAL_TPM_COMMAND_MAX bytes.
 * -EPERM for a command that is not allowed, malformed, or not of this chip's version: the chip has
 * not seen it then.
 */
int physical_tpm_pass(struct physical_tpm *tpm, const uint8_t *command, size_t command_len,
		      uint8_t *response, size_t *response_len);

#endif
