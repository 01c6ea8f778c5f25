/*
 * What the instance itself has a part in: the operator's hand on its TPM, suspending it.
 */
#include "manager/privileged_migrate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vtpm/info.h>
#include <vtpm/log.h>
#include <vtpm/manager.h>
#include <vtpm/quote.h>

#include "manager/instance.h"
#include "manager/manager.h"
#include "manager/command.h"

/* Its answer is the request's, unless there is more to do. */
static void
told_well(struct request *request, const struct command *command)
{
	if (request->step)
		request->step(request);
	else
		request_succeed(request, command->response, command->response_len);
}

/* A request of the manager to the instance itself, in the middle of a request. */
static void
told(struct command *command, void *ctx)
{
	struct request *request = ctx;

	if (command->status == VTPM_SUCCESS)
		told_well(request, command);
	else if (command->response_len > 0)
		request_fail(request, command->status,
			     "instance %u does not run; 'vtpmctl open %u' starts it",
			     request->entry.id, request->entry.id);
	else
		request_fail(request, command->status,
			     "instance %u cannot do that now; the log of vtpm_managerd says why",
			     request->entry.id);
	command_free(command);
}

void
privileged_tell(struct request *request, uint32_t ordinal, const void *params, size_t len,
		void (*step)(struct request *request))
{
	struct manager *manager = request->manager;
	struct command *command = command_new(request->entry.id, ordinal, params, len,
					      manager->instance_listener, told, request);

	request->step = step;
	if (command)
		instances_submit(manager->instances, command);
	else
		request_fail(request, VTPM_FAIL, "out of memory");
}

static void
clear_there(struct request *request)
{
	log_warning("instance %u: cleared by the host's operator", request->entry.id);
	privileged_tell(request, VTPM_ORD_CLEAR_TPM, NULL, 0, NULL);
}

void
privileged_clear(struct request *request)
{
	privileged_take_instance(request);
	privileged_there(request, clear_there);
}

static void
presence_there(struct request *request)
{
	uint8_t on = request->flag;

	log_warning("instance %u: physical presence %s by the host's operator", request->entry.id,
		    on ? "asserted" : "withdrawn");
	privileged_tell(request, VTPM_ORD_SET_PRESENCE, &on, sizeof(on), NULL);
}

void
privileged_presence(struct request *request)
{
	privileged_take_instance(request);
	request->flag = reader_u8(&request->params) != 0;
	privileged_there(request, presence_there);
}

static void
rollback_there(struct request *request)
{
	uint8_t on = request->flag;

	log_warning("instance %u: the host's operator %s its QEMU to set an older state once",
		    request->entry.id, on ? "allows" : "forbids");
	privileged_tell(request, VTPM_ORD_ALLOW_ROLLBACK, &on, sizeof(on), NULL);
}

void
privileged_rollback(struct request *request)
{
	privileged_take_instance(request);
	request->flag = reader_u8(&request->params) != 0;
	privileged_there(request, rollback_there);
}

/* The instance itself asks for the quote, as for its guest: only it knows its endorsement key. */
static void
deep_quote_there(struct request *request)
{
	uint8_t params[4 + QUOTE_NONCE_SIZE];
	struct writer w = writer_of(params, sizeof(params));
	const uint8_t *nonce = reader_view(&request->params, QUOTE_NONCE_SIZE);

	if (!nonce || !privileged_take_pcrs(request, &request->pcrs) || request->pcrs == 0 ||
	    !reader_done(&request->params)) {
		request_fail(
		    request, VTPM_INVALID_REQUEST,
		    "instance %u: a deep quote takes a nonce of 20 bytes and a list of PCRs "
		    "such as 0,2,4-7",
		    request->entry.id);
		return;
	}
	writer_u32(&w, request->pcrs);
	writer_bytes(&w, nonce, QUOTE_NONCE_SIZE);
	privileged_tell(request, VTPM_ORD_GET_QUOTE, params, w.len, NULL);
}

void
privileged_deep_quote(struct request *request)
{
	privileged_take_instance(request);
	privileged_there(request, deep_quote_there);
}

static void suspend_there(struct request *request);

static void
not_suspended_there(struct request *request)
{
	struct instance *instance = privileged_instance(request);

	if (!instance)
		return;
	instance_thaw(instance);
	request_fail(request, VTPM_FAIL, "instance %u: cannot be marked suspended: %s",
		     request->entry.id, strerror(-request->error));
}

/* A process that died in between has been restarted, or resumed, and is to be suspended anew. */
static void
suspend_marked(struct request *request)
{
	struct instance *instance = privileged_instance(request);

	if (!instance)
		return;
	if (instance_is_still(instance))
		instance_close(instance, request);
	else
		suspend_there(request);
}

/* Remembered before its process ends: if the manager dies in between it is there to be resumed. */
static void
suspend_durably(struct request *request)
{
	struct store_instance known;

	request->error = store_find(request->manager->store, request->entry.id, &known);
	if (request->error == 0) {
		known.flags |= STORE_FLAG_SUSPENDED;
		request->error = store_update(request->manager->store, &known);
	}
	privileged_there(request, request->error < 0 ? not_suspended_there : suspend_marked);
}

static void
suspend_kept(struct request *request)
{
	privileged_here(request, suspend_durably);
}

static void
suspend_there(struct request *request)
{
	privileged_tell(request, VTPM_ORD_KEEP_VOLATILE, NULL, 0, suspend_kept);
}

/* What is on its way, has left, or is suspended already, needs nothing more. */
void
privileged_suspend(struct request *request)
{
	struct store_instance known;
	void (*step)(struct request *) = suspend_there;

	privileged_take_instance(request);
	if (store_find(request->manager->store, request->entry.id, &known) == 0 &&
	    (known.type == VTPM_TYPE_MIGRATED ||
	     known.flags & (STORE_FLAG_OUTGOING | STORE_FLAG_INCOMING | STORE_FLAG_SUSPENDED)))
		step = suspend_marked;
	if (migrate_unwant(request))
		privileged_there(request, step);
}
