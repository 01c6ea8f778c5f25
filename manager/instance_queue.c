/*
 * The commands for one instance: one after the other, each answered exactly once.
 */
#include "manager/instance_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <vtpm/log.h>
#include <vtpm/manager.h>
#include <vtpm/message.h>

enum {
	EXECUTE_HEAD = 9,  /* sequence:8, locality:1 */
	RESPONSE_HEAD = 8, /* sequence:8 */
};

static void
answer_overdue(evutil_socket_t fd, short what, void *arg)
{
	struct instance *instance = arg;

	(void)fd;
	(void)what;
	instance_kill(instance, "does not answer");
}

void
queue_init(struct instance *instance)
{
	instance->last = &instance->first;
	instance->answer_timer = evtimer_new(instance->table->base, answer_overdue, instance);
}

static void
enqueue(struct instance *instance, struct command *command)
{
	command->next = NULL;
	*instance->last = command;
	instance->last = &command->next;
	instance->queued++;
}

/* Takes the first command off the queue. */
static struct command *
dequeue(struct instance *instance)
{
	struct command *command = instance->first;

	instance->first = command->next;
	if (!instance->first)
		instance->last = &instance->first;
	instance->queued--;
	instance->in_flight = false;
	event_del(instance->answer_timer);
	return command;
}

static int
send_command(struct instance *instance, const struct command *command)
{
	uint8_t params[EXECUTE_HEAD + sizeof(command->data)];
	struct writer w = writer_of(params, sizeof(params));

	if (command->ordinal == VTPM_ORD_EXECUTE) {
		writer_u64(&w, command->sequence);
		writer_u8(&w, (uint8_t)command->locality);
	}
	writer_bytes(&w, command->data, command->len);
	return message_add(channel_output(instance->pipes[PIPE_TPM_CMD]), instance->entry.id,
			   VTPM_TAG_REQ, command->ordinal, params, w.len);
}

void
queue_run(struct instance *instance)
{
	struct timeval patience = { .tv_sec = instance->table->manager->options->answer_seconds };
	struct command *command = instance->first;

	if (!command || instance->in_flight || instance->state != INFO_RUNNING || instance->frozen)
		return;
	/* One that was sent before keeps its number, by which the instance knows it again. */
	if (command->ordinal == VTPM_ORD_EXECUTE && command->sequence == 0)
		command->sequence = ++instance->sequence;
	if (command->ordinal == VTPM_ORD_EXECUTE)
		adopt_note_command(instance, command);
	command->attempts++;
	instance->in_flight = true;
	if (send_command(instance, command) < 0) {
		command_refuse(dequeue(instance), VTPM_FAIL, TPM_FAIL);
		return;
	}
	event_add(instance->answer_timer, &patience);
}

/* The answer to an EXECUTE, or false if it is one to an earlier one, or none. */
static bool
take_tpm_response(struct command *command, struct reader params)
{
	uint64_t sequence = reader_u64(&params);
	struct reader tpm = params;

	reader_u16(&tpm);
	if (sequence != command->sequence || reader_u32(&tpm) != params.left || tpm.failed ||
	    params.left > sizeof(command->response))
		return false;
	command->response_len = params.left;
	reader_bytes(&params, command->response, command->response_len);
	return true;
}

void
queue_response(struct instance *instance, const struct stream_message *message)
{
	struct command *command = instance->first;
	struct message parts;

	if (message_parse(&parts, message->instance, message->data, message->len) < 0 ||
	    parts.tag != VTPM_TAG_RSP || !instance->in_flight) {
		log_debug("instance %u: an answer that nobody asked for, ignored",
			  instance->entry.id);
		return;
	}
	if (command->ordinal == VTPM_ORD_EXECUTE) {
		if (parts.code == VTPM_FORBIDDEN) {
			instance_kill(instance, "was frozen, and is needed");
			return;
		}
		if (parts.code != VTPM_SUCCESS || !take_tpm_response(command, parts.params)) {
			log_debug("instance %u: a wrong or repeated answer, ignored",
				  instance->entry.id);
			return;
		}
	} else {
		command->response_len =
		    parts.params.left <= sizeof(command->response) ? parts.params.left : 0;
		reader_bytes(&parts.params, command->response, command->response_len);
		if (command->ordinal == VTPM_ORD_KEEP_VOLATILE && parts.code == VTPM_SUCCESS)
			instance->frozen = true;
	}
	instance->served = true;
	dequeue(instance);
	command_finish(command, parts.code);
	queue_run(instance);
}

void
queue_interrupted(struct instance *instance)
{
	if (!instance->in_flight)
		return;
	instance->in_flight = false;
	event_del(instance->answer_timer);
	if (instance->first->attempts < INSTANCE_ATTEMPTS_MAX)
		return;
	log_error("instance %u: died %d times of one command (ordinal 0x%08x); it is answered "
		  "with TPM_FAIL",
		  instance->entry.id, INSTANCE_ATTEMPTS_MAX, instance->first->ordinal);
	command_refuse(dequeue(instance), VTPM_FAIL, TPM_FAIL);
}

void
queue_flush(struct instance *instance)
{
	struct command *adopted = instance->adopted;

	instance->adopted = NULL;
	if (adopted && !adopted->done)
		command_free(adopted);
	while (instance->first)
		command_refuse(dequeue(instance), VTPM_FAIL, TPM_FAIL);
}

/*
 * The answer to an adopted command came before its front-end, if there is one, asked again. Until
 * here it is on its way through the loop and nobody else may free it; done tells.
 */
static void
adopted_done(struct command *command, void *ctx)
{
	struct instance *instance = instance_find(ctx, command->instance);

	command->done = NULL;
	if (!instance || instance->adopted != command)
		command_free(command);
}

void
queue_adopt(struct instance *instance, struct command *command)
{
	command->origin = instance->table->manager->instance_listener;
	command->done = adopted_done;
	command->ctx = instance->table;
	instance->adopted = command;
	enqueue(instance, command);
}

static bool
same_command(const struct command *a, const struct command *b)
{
	return a->backend == b->backend && a->locality == b->locality && a->len == b->len &&
	       memcmp(a->data, b->data, a->len) == 0;
}

/*
 * The first command after a change of managers: is it the adopted one, submitted again? Then it
 * gets that one's answer, or its place in the queue. False if it is a command of its own.
 */
static bool
claim_adopted(struct instance *instance, struct command *command)
{
	struct command *adopted = instance->adopted;

	if (!adopted)
		return false;
	instance->adopted = NULL;
	bool waiting = instance->first == adopted;
	bool same = same_command(adopted, command);
	if (!same && waiting)
		return false; /* adopted_done will free it */
	if (same) {
		command->sequence = adopted->sequence;
		command->attempts = adopted->attempts;
		command->record = record_ref(adopted->record);
	}
	if (same && waiting) {
		command->next = adopted->next;
		instance->first = command;
		if (!command->next)
			instance->last = &command->next;
	} else if (same) {
		command->response_len = adopted->response_len;
		memcpy(command->response, adopted->response, adopted->response_len);
		command_finish(command, adopted->status);
	}
	/* One that is on its way back is freed by adopted_done. */
	if (waiting || !adopted->done)
		command_free(adopted);
	return same;
}

void
instances_idle(struct instance_table *table, uint32_t id, unsigned backend)
{
	struct instance *instance = instance_find(table, id);
	struct command *adopted = instance ? instance->adopted : NULL;

	if (!adopted || adopted->backend != backend)
		return;
	instance->adopted = NULL;
	if (!adopted->done)
		command_free(adopted); /* else adopted_done will */
}

/* Whether an instance in this state takes commands, now or soon. */
static bool
serves(const struct instance *instance)
{
	return instance->state == INFO_RUNNING || instance->state == INFO_STARTING ||
	       instance->state == INFO_RESTARTING;
}

void
instances_submit(struct instance_table *table, struct command *command)
{
	struct instance *instance = instance_find(table, command->instance);

	if (!instance || !(serves(instance) || instance_holds(instance))) {
		log_limited(instance ? &instance->log : &table->log, LOG_LEVEL_INFO,
			    "instance %u: a command came, but it %s%s", command->instance,
			    instance ? "is " : "does not exist: vtpmctl define",
			    instance ? info_state_name(instance->state) : "");
		command_refuse(command, VTPM_FAIL, TPM_FAIL);
		return;
	}
	if (instance->queued >= INSTANCE_QUEUE_MAX) {
		log_debug("instance %u: too many commands at once", command->instance);
		command_refuse(command, VTPM_FAIL, TPM_RETRY);
		return;
	}
	if (command->ordinal == VTPM_ORD_EXECUTE && claim_adopted(instance, command))
		return;
	enqueue(instance, command);
	if (instance_holds(instance))
		instance_want(instance);
	queue_run(instance);
}

void
instances_cancel(struct instance_table *table, uint32_t id, uint64_t tag)
{
	struct instance *instance = instance_find(table, id);
	struct command **at = instance ? &instance->first : NULL;

	while (at && *at && (*at)->tag != tag)
		at = &(*at)->next;
	if (!at || !*at)
		return;
	struct command *command = *at;
	if (command == instance->first && instance->in_flight) {
		process_signal(&instance->process, VTPM_SIGNAL_CANCEL);
		return;
	}
	*at = command->next;
	if (!*at)
		instance->last = at;
	instance->queued--;
	command_refuse(command, VTPM_FAIL, TPM_FAIL);
}
