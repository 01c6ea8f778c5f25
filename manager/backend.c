#include "manager/backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vtpm/log.h>
#include <vtpm/manager.h>

#include "manager/backend_internal.h"
#include "manager/command.h"
#include "manager/instance.h"
#include "manager/manager.h"

static const struct backend_ops *const kinds[] = {
	&backend_fifo,
	&backend_dev,
	&backend_xen,
};

struct backend {
	struct manager *manager;
	const struct backend_ops *ops; /* NULL: not open */
	void *state;
};

struct backends {
	struct backend list[OPTIONS_BACKENDS_MAX];
	uint64_t tags; /* given to commands so far */
};

struct backend_request {
	struct backend *backend;
	uint32_t instance;
	uint64_t tag;
	bool executed;
	struct command *command;                                      /* while done runs */
	void (*done)(void *ctx, const uint8_t *response, size_t len); /* NULL: forgotten */
	void *ctx;
};

struct manager *
backend_manager(struct backend *backend)
{
	return backend->manager;
}

struct event_base *
backend_base(struct backend *backend)
{
	return listener_base(backend->manager->backend_listener);
}

const char *
backend_run_dir(struct backend *backend)
{
	return backend->manager->options->run_dir;
}

const char *
backend_state_dir(struct backend *backend)
{
	return backend->manager->options->state_dir;
}

const char *
backend_script(struct backend *backend)
{
	return backend->manager->options->hotplug_script;
}

static void
request_done(struct command *command, void *ctx)
{
	struct backend_request *request = ctx;

	request->executed = command->status == VTPM_SUCCESS;
	request->command = command;
	if (request->done)
		request->done(request->ctx, command->response, command->response_len);
	command_delivered(command);
	command_free(command);
	free(request);
}

static unsigned
backend_number(const struct backend *backend)
{
	return (unsigned)(backend - backend->manager->backends->list);
}

static void
submit_there(struct task *task)
{
	struct command *command = TASK_OWNER(task, struct command, task);
	struct backend_request *request = command->ctx;

	instances_submit(request->backend->manager->instances, command);
}

struct backend_request *
backend_submit(struct backend *backend, uint32_t instance, unsigned locality, const uint8_t *cmd,
	       size_t len, void (*done)(void *ctx, const uint8_t *response, size_t len), void *ctx)
{
	struct manager *manager = backend->manager;
	struct backend_request *request = calloc(1, sizeof(*request));
	struct command *command =
	    request ? command_new(instance, VTPM_ORD_EXECUTE, cmd, len, manager->backend_listener,
				  request_done, request)
		    : NULL;

	if (!command) {
		free(request);
		return NULL;
	}
	*request = (struct backend_request) {
		.backend = backend,
		.instance = instance,
		.tag = ++manager->backends->tags,
		.done = done,
		.ctx = ctx,
	};
	command->backend = backend_number(backend);
	command->locality = locality;
	command->tag = request->tag;
	command->task.run = submit_there;
	listener_post(manager->instance_listener, &command->task);
	return request;
}

bool
backend_executed(const struct backend_request *request)
{
	return request->executed;
}

void
backend_delivered(struct backend_request *request)
{
	command_delivered(request->command);
}

struct idleness {
	struct task task;
	struct backend *backend;
	uint32_t instance;
};

static void
idle_there(struct task *task)
{
	struct idleness *idleness = TASK_OWNER(task, struct idleness, task);

	instances_idle(idleness->backend->manager->instances, idleness->instance,
		       backend_number(idleness->backend));
	free(idleness);
}

void
backend_idle(struct backend *backend, uint32_t instance)
{
	struct idleness *idleness = calloc(1, sizeof(*idleness));

	/* Without memory a command may get the response of one like it. */
	if (!idleness)
		return;
	idleness->task.run = idle_there;
	idleness->backend = backend;
	idleness->instance = instance;
	listener_post(backend->manager->instance_listener, &idleness->task);
}

/* By its tag: the command itself may have come back while this is on its way. */
struct cancellation {
	struct task task;
	struct manager *manager;
	uint32_t instance;
	uint64_t tag;
};

static void
cancel_there(struct task *task)
{
	struct cancellation *cancellation = TASK_OWNER(task, struct cancellation, task);

	instances_cancel(cancellation->manager->instances, cancellation->instance,
			 cancellation->tag);
	free(cancellation);
}

void
backend_cancel(struct backend_request *request)
{
	struct cancellation *cancellation = calloc(1, sizeof(*cancellation));

	/* Without memory the command takes its time, that is all. */
	if (!cancellation)
		return;
	cancellation->task.run = cancel_there;
	cancellation->manager = request->backend->manager;
	cancellation->instance = request->instance;
	cancellation->tag = request->tag;
	listener_post(cancellation->manager->instance_listener, &cancellation->task);
}

void
backend_forget(struct backend_request *request)
{
	backend_cancel(request);
	request->done = NULL;
}

/* "dev:PATH" is the kind "dev" with the argument PATH. */
static const struct backend_ops *
kind_of(const char *option)
{
	size_t len = strcspn(option, ":");

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strlen(kinds[i]->name) == len && strncmp(kinds[i]->name, option, len) == 0)
			return kinds[i];
	}
	return NULL;
}

static int
backend_open(struct backend *backend, const char *option)
{
	const struct backend_ops *ops = kind_of(option);
	const char *argument = strchr(option, ':');

	if (!ops) {
		log_error("back-end %s: there is none of this name", option);
		return -EINVAL;
	}
	int rc = ops->open(backend, argument ? argument + 1 : NULL, &backend->state);
	if (rc == 0)
		backend->ops = ops;
	return rc;
}

struct backends *
backends_new(struct manager *manager)
{
	const struct options *options = manager->options;
	struct backends *backends = calloc(1, sizeof(*backends));

	if (!backends)
		return NULL;
	for (unsigned i = 0; i < options->backend_count; i++) {
		backends->list[i].manager = manager;
		if (backend_open(&backends->list[i], options->backends[i]) < 0) {
			backends_free(backends);
			return NULL;
		}
	}
	return backends;
}

void
backends_free(struct backends *backends)
{
	if (!backends)
		return;
	for (unsigned i = 0; i < OPTIONS_BACKENDS_MAX; i++) {
		if (backends->list[i].ops)
			backends->list[i].ops->close(backends->list[i].state);
	}
	free(backends);
}
