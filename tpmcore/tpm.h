/*
 * tpm.h - a TPM 1.2: bytes in, bytes out.
 *
 * The whole public interface of tpmcore/. A struct tpm owns all its state; a process can hold many.
 * No call does I/O, sleeps or reads a clock: what a TPM needs from its platform comes in through
 * struct tpm_platform.
 */
#ifndef TPMCORE_TPM_H
#define TPMCORE_TPM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vtpm/tpm12.h>

struct tpm;

/*
 * The platform of a TPM. Every callback gets ctx; none may call back into the TPM.
 */
struct tpm_platform {
	void *ctx;
	/* random: fills buf with len random bytes; 0, or -1 and the command ends TPM_FAIL. */
	int (*random)(void *ctx, void *buf, size_t len);
	/* now: microseconds on a clock that never goes back while this TPM is in memory. */
	uint64_t (*now)(void *ctx);
	/* physical_presence: the state of the hardware pin. */
	bool (*physical_presence)(void *ctx);
	/* cancelled: polled before and while a command runs that takes long; true ends it with
	 * TPM_FAIL and leaves the TPM, sessions and all, as if it had never come. */
	bool (*cancelled)(void *ctx);
};

/* What a call changed, and what its caller must therefore keep. Flags of tpm_execute's result. */
enum tpm_change {
	TPM_CHANGED_PERMANENT = 1, /* must be durable before the response is released */
	TPM_CHANGED_VOLATILE = 2,  /* lost by a power cycle: PCRs, sessions, loaded keys ... */
	TPM_CHANGED_SAVED = 4,     /* what TPM_SaveState keeps; to be as durable as the permanent */
};

/*
 * tpm_new: a blank TPM as manufactured: enabled, active, ownable, without endorsement key, in the
 * state before TPM_Init. The platform is copied. Returns NULL when memory is short. To be freed
 * with tpm_free, which wipes it; tpm_free(NULL) does nothing.
 */
struct tpm *tpm_new(const struct tpm_platform *platform);
void tpm_free(struct tpm *tpm);

/*
 * tpm_init: power on or hardware reset [TPM Main Part 3, 3.1]. All volatile state is lost; the TPM
 * waits for TPM_Startup.
 */
void tpm_init(struct tpm *tpm);

/*
 * tpm_manufacture_ek: creates the endorsement key pair of a TPM that leaves the factory with one.
 * TPM_SUCCESS also when there is one already; changes permanent state.
 */
TPM_RESULT tpm_manufacture_ek(struct tpm *tpm);

/*
 * tpm_boot_pcr: PCR index has this value (20 bytes) after each TPM_Startup that resets it, instead
 * of the platform's 00s or ffs. Forgotten with the struct; no part of any state blob. index must be
 * below TPM_NUM_PCR (24).
 */
void tpm_boot_pcr(struct tpm *tpm, unsigned index, const uint8_t *value);

/*
 * tpm_ek_public: the endorsement key as TPM_PUBKEY, whoever may read it by TPM_ReadPubek. Returns
 * its length, 0 if there is none or size is too small.
 */
size_t tpm_ek_public(const struct tpm *tpm, uint8_t *pubkey, size_t size);

/*
 * tpm_execute: runs one command at a locality (0-4). cmd is hostile: any bytes of any length.
 * The response is always well formed and at most TPM_BUFFER_SIZE bytes; response must have room for
 * that, may not overlap cmd, and *response_len is set. Returns what changed (enum tpm_change
 * flags).
 */
unsigned tpm_execute(struct tpm *tpm, unsigned locality, const uint8_t *cmd, size_t cmd_len,
		     uint8_t *response, size_t *response_len);

/*
 * tpm_takes_long: whether this command is of the class of the longest [Part 2, 21.2,
 * TPM_CAP_PROP_DURATION]: it makes a key, or may carry a command that does.
 */
bool tpm_takes_long(const uint8_t *cmd, size_t cmd_len);

/*
 * tpm_error_response: the 10-byte error response with result, for the callers that must answer
 * without a TPM. Returns its length. response needs TPM_HEADER_SIZE bytes.
 */
size_t tpm_error_response(TPM_RESULT result, uint8_t *response);

/*
 * The dynamic launch interface of locality 4 [TIS 1.21]. Start resets PCRs
 * 17-22 and begins a SHA-1 thread, end extends its digest into PCR 17 and sets tpmEstablished.
 * Return a result code and add to *changes as tpm_execute would.
 */
TPM_RESULT tpm_hash_start(struct tpm *tpm, unsigned *changes);
TPM_RESULT tpm_hash_data(struct tpm *tpm, const uint8_t *data, size_t len, unsigned *changes);
TPM_RESULT tpm_hash_end(struct tpm *tpm, unsigned *changes);

/* The tpmEstablished bit, and its reset, which needs locality 3 or 4 (else TPM_BAD_LOCALITY). */
bool tpm_established(const struct tpm *tpm);
TPM_RESULT tpm_reset_established(struct tpm *tpm, unsigned locality, unsigned *changes);

/*
 * tpm_clear: what TPM_ForceClear does, for the host's operator, with no regard to physical
 * presence; leaves the TPM enabled and active, ready for a new owner. Changes permanent state.
 */
void tpm_clear(struct tpm *tpm);

/* What a TPM consists of, for tpm_get_state and tpm_set_state. */
enum tpm_state {
	TPM_STATE_PERMANENT = 1, /* survives power: keys, owner, NV, flags, counters */
	TPM_STATE_VOLATILE = 2,  /* all the rest: a snapshot of the running TPM */
	TPM_STATE_SAVED = 3,     /* what TPM_SaveState kept; empty when there is nothing */
};

/*
 * tpm_get_state: a versioned, self-checking blob (docs/state-formats.md) in memory that the caller
 * wipes and frees; *blob is NULL and *len 0 when there is nothing to save. TPM_SUCCESS,
 * TPM_RESOURCES.
 */
TPM_RESULT tpm_get_state(const struct tpm *tpm, enum tpm_state kind, uint8_t **blob, size_t *len);

/*
 * tpm_set_state: takes such a blob over, whole or not at all: TPM_INVALID_STRUCTURE for a damaged
 * one, TPM_BAD_VERSION for one of a later format; then the TPM is as before. Order: permanent,
 * saved, tpm_init, volatile. A volatile blob replaces what tpm_init set up. len 0 of kind SAVED or
 * VOLATILE drops that state.
 */
TPM_RESULT tpm_set_state(struct tpm *tpm, enum tpm_state kind, const uint8_t *blob, size_t len);

#endif
