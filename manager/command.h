/*
 * command.h - something for an instance to do: a TPM command of a front-end, or a request of the
 * manager (VTPM_TO_INSTANCE).
 */
#ifndef MANAGER_COMMAND_H
#define MANAGER_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vtpm/tpm12.h>

#include "manager/listener.h"
#include "manager/record.h"

struct command {
	struct task task;
	struct listener *origin; /* where it goes back to when done */
	void (*done)(struct command *command, void *ctx);
	void *ctx;

	uint32_t instance;
	uint32_t ordinal;  /* VTPM_ORD_EXECUTE or another of VTPM_TO_INSTANCE */
	unsigned locality; /* of EXECUTE */
	uint64_t tag;      /* its sender's name for it, to cancel it by */
	size_t len;        /* bytes of data: the TPM command or the parameters */
	uint8_t data[TPM_BUFFER_SIZE];

	uint32_t status; /* enum vtpm_status */
	size_t response_len;
	uint8_t response[TPM_BUFFER_SIZE]; /* of EXECUTE: always a well-formed TPM response */

	/* Used by the instance listener. */
	unsigned backend; /* its place in the options; of EXECUTE */
	uint64_t sequence;
	unsigned attempts;
	struct record *record; /* where it is noted that the command is under way, or NULL */
	struct command *next;
};

/*
 * command_new: a command with len bytes of data copied. done is called in the thread of origin, and
 * frees it with command_free. NULL when memory is short or len over TPM_BUFFER_SIZE.
 */
struct command *command_new(uint32_t instance, uint32_t ordinal, const void *data, size_t len,
			    struct listener *origin,
			    void (*done)(struct command *command, void *ctx), void *ctx);

void command_free(struct command *command);

/* command_delivered: its response has reached the front-end; to be called before command_free. */
void command_delivered(const struct command *command);

/* command_finish: sends it back to its origin, with the response it has. */
void command_finish(struct command *command, uint32_t status);

/* command_refuse: sends it back with a TPM error response. */
void command_refuse(struct command *command, uint32_t status, TPM_RESULT result);

#endif
