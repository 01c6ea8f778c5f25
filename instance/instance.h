/*
 * instance.h - one TPM and what makes it last: every change is durable before it is answered, and
 * a vtpmd that is killed leaves all of it to the next.
 *
 * All calls return when the change is durable. Results are TPM_RESULTs; TPM_FAIL also means that
 * the state could not be saved: then it is as it was before, and the log says why.
 */
#ifndef INSTANCE_INSTANCE_H
#define INSTANCE_INSTANCE_H

#include "instance/journal.h"
#include "instance/link.h"
#include "instance/nvm.h"
#include "instance/platform.h"
#include "tpmcore/tpm.h"

struct instance;

struct instance_config {
	uint32_t id;
	unsigned startup;  /* VTPM_STARTUP_* */
	bool hvm;          /* the guest's firmware does TPM_Startup(ST_CLEAR) */
	bool manufacture;  /* a new TPM gets an endorsement key */
	struct link *link; /* to the manager; NULL for a TPM that stands alone */
};

/*
 * instance_open: brings the TPM to life: goes on where a killed vtpmd stopped if the journal (may
 * be NULL) says so, else loads or makes it and starts it up. platform, nvm, journal and the link
 * must outlive it. Returns 0, or a negative errno after having logged what is wrong.
 */
int instance_open(const struct instance_config *config, struct platform *platform, struct nvm *nvm,
		  struct journal *journal, struct instance **instance);
void instance_close(struct instance *instance);

uint32_t instance_id(const struct instance *instance);

/*
 * instance_execute: as tpm_execute. sequence numbers a command of the manager (VTPM_ORD_EXECUTE):
 * that of the last one again repeats its answer, nothing is executed; 0 for all other commands.
 */
void instance_execute(struct instance *instance, uint64_t sequence, unsigned locality,
		      const uint8_t *cmd, size_t len, uint8_t *response, size_t *response_len);

/*
 * instance_last_answer: the last answer to a numbered command, in *response as long as no other is
 * executed. Returns its number, 0 if there is none.
 */
uint64_t instance_last_answer(const struct instance *instance, const uint8_t **response,
			      size_t *len);

/*
 * instance_quote: evidence (vtpm/quote.h) about this TPM and these PCRs of the host. nonce has
 * HOST_NONCE_SIZE bytes. 0 or a negative errno, logged.
 */
int instance_quote(struct instance *instance, uint32_t pcrs, const uint8_t *nonce,
		   struct blob *evidence);

/*
 * instance_execute_once: the same for a client whose connection outlives this process: the answer
 * is kept until instance_deliver says that it is on its way. instance_owed: the answer that a
 * killed process did not get to send; its length, 0 if there is none.
 */
void instance_execute_once(struct instance *instance, unsigned locality, const uint8_t *cmd,
			   size_t len, uint8_t *response, size_t *response_len);
void instance_deliver(struct instance *instance);
size_t instance_owed(const struct instance *instance, uint8_t response[TPM_BUFFER_SIZE]);

/* instance_resumed: whether it goes on where a killed vtpmd was. */
bool instance_resumed(const struct instance *instance);

/* The operator's requests. */
TPM_RESULT instance_set_presence(struct instance *instance, bool on);
/* instance_allow_rollback: instance_set_state may once set what it would refuse. */
TPM_RESULT instance_allow_rollback(struct instance *instance, bool on);
TPM_RESULT instance_clear(struct instance *instance);
/* instance_suspend: puts the volatile state beside the permanent one and executes no more. */
TPM_RESULT instance_suspend(struct instance *instance);
bool instance_suspended(const struct instance *instance);

/*
 * The machine's side, as QEMU's control channel has it. instance_power_on: TPM_Init, or going on
 * with the volatile state that was stored or set; that is kept for another time unless forget.
 * Calls that need a running TPM return TPM_BAD_ORDINAL when it is off, instance_set_state when it
 * has run.
 *
 * Permanent state leaves and comes with its lineage. A TPM that has been used is not replaced by an
 * older one, nor by another one: TPM_DISABLED_CMD, unless the operator allows it.
 */
TPM_RESULT instance_power_on(struct instance *instance, bool forget);
TPM_RESULT instance_power_off(struct instance *instance);
/* instance_in_use: whether it is on and has been used: then its machine may not be rebuilt. */
bool instance_in_use(const struct instance *instance);
TPM_RESULT instance_store_volatile(struct instance *instance);
TPM_RESULT instance_get_state(struct instance *instance, enum tpm_state kind, struct blob *state);
TPM_RESULT instance_set_state(struct instance *instance, enum tpm_state kind, const uint8_t *state,
			      size_t len);
bool instance_established(const struct instance *instance);
TPM_RESULT instance_reset_established(struct instance *instance, unsigned locality);
TPM_RESULT instance_hash_start(struct instance *instance);
TPM_RESULT instance_hash_data(struct instance *instance, const uint8_t *data, size_t len);
TPM_RESULT instance_hash_end(struct instance *instance);

#endif
