#include "manager/command.h"

#include <stdlib.h>
#include <string.h>

#include <vtpm/codec.h>
#include <vtpm/manager.h>

struct command *
command_new(uint32_t instance, uint32_t ordinal, const void *data, size_t len,
	    struct listener *origin, void (*done)(struct command *command, void *ctx), void *ctx)
{
	struct command *command;

	if (len > sizeof(command->data))
		return NULL;
	command = calloc(1, sizeof(*command));
	if (!command)
		return NULL;
	command->instance = instance;
	command->ordinal = ordinal;
	command->origin = origin;
	command->done = done;
	command->ctx = ctx;
	command->len = len;
	if (len > 0)
		memcpy(command->data, data, len);
	return command;
}

void
command_free(struct command *command)
{
	record_unref(command->record);
	free(command);
}

void
command_delivered(const struct command *command)
{
	if (command->record)
		record_answered(command->record, command->sequence);
}

static void
call_done(struct task *task)
{
	struct command *command = TASK_OWNER(task, struct command, task);

	command->done(command, command->ctx);
}

void
command_finish(struct command *command, uint32_t status)
{
	command->status = status;
	command->task.run = call_done;
	listener_post(command->origin, &command->task);
}

void
command_refuse(struct command *command, uint32_t status, TPM_RESULT result)
{
	struct writer w = writer_of(command->response, sizeof(command->response));

	writer_u16(&w, TPM_TAG_RSP_COMMAND);
	writer_u32(&w, TPM_HEADER_SIZE);
	writer_u32(&w, result);
	command->response_len = w.len;
	command_finish(command, status);
}
