/*
 * The four pipes of an instance, and what it asks the manager for. Whatever comes through them is
 * about the instance whose pipe it is; the number in the message is not looked at.
 */
#include "manager/instance_internal.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vtpm/fifo.h>
#include <vtpm/log.h>
#include <vtpm/manager.h>
#include <vtpm/message.h>

#include "manager/ek_ca.h"
#include "manager/store.h"

enum {
	OUTPUT_MAX = 2 * VTPM_MESSAGE_MAX, /* an instance that reads no answers gets no more */
	SAVES_MAX = 4,                     /* of one instance at a time; vtpmd waits for each */
};

static const char *const pipe_names[PIPE_COUNT] = {
	[PIPE_TPM_CMD] = VTPM_PATH_TPM_CMD,
	[PIPE_TPM_RSP] = VTPM_PATH_TPM_RSP,
	[PIPE_VTPM_CMD] = VTPM_PATH_VTPM_CMD,
	[PIPE_VTPM_RSP] = VTPM_PATH_VTPM_RSP,
};

void
pipes_answer(struct instance *instance, uint32_t status, const void *params, size_t len)
{
	struct evbuffer *out = channel_output(instance->pipes[PIPE_VTPM_RSP]);

	if (evbuffer_get_length(out) > OUTPUT_MAX)
		instance_kill(instance, "asks, but does not read the answers");
	else if (message_add(out, instance->entry.id, VTPM_TAG_RSP, status, params, len) < 0)
		instance_kill(instance, "cannot be answered: out of memory");
}

/* A save on its way; it outlives the process, even the instance. */
struct save {
	struct task task;
	struct instance_table *table;
	uint32_t id;
	uint64_t run;
	int error;
};

static void
save_finish(struct task *task)
{
	struct save *save = TASK_OWNER(task, struct save, task);
	struct instance *instance = instance_of_run(save->table, save->id, save->run);
	struct store_instance entry;

	if (instance) {
		instance->saves--;
		if (save->error == 0 &&
		    store_find(save->table->manager->store, save->id, &entry) == 0)
			instance->entry = entry;
		pipes_answer(instance, save->error == 0 ? VTPM_SUCCESS : VTPM_FAIL, NULL, 0);
	}
	free(save);
}

static void
save_done(void *ctx, int error)
{
	struct save *save = ctx;

	save->error = error;
	listener_post(save->table->manager->instance_listener, &save->task);
}

static void
request_savenvm(struct instance *instance, struct reader params)
{
	struct save *save = instance->saves < SAVES_MAX ? calloc(1, sizeof(*save)) : NULL;

	if (!save) {
		pipes_answer(instance, VTPM_FAIL, NULL, 0);
		return;
	}
	instance->saves++;
	*save = (struct save) {
		.task.run = save_finish,
		.table = instance->table,
		.id = instance->entry.id,
		.run = instance->run,
	};
	store_save_nvm(instance->table->manager->store, instance->entry.id, params.pos, params.left,
		       save_done, save);
}

static void
request_loadnvm(struct instance *instance, struct reader params)
{
	uint8_t *nvm = NULL;
	size_t len = 0;
	int rc = store_load_nvm(instance->table->manager->store, instance->entry.id, &nvm, &len);

	(void)params;
	if (rc == 0)
		pipes_answer(instance, VTPM_SUCCESS, nvm, len);
	else
		pipes_answer(instance, rc == -EUCLEAN ? VTPM_RESTORE_CONTEXT_FAILED : VTPM_FAIL,
			     NULL, 0);
	if (nvm)
		OPENSSL_cleanse(nvm, len);
	free(nvm);
}

static void
request_certify_ek(struct instance *instance, struct reader params)
{
	struct ek_ca *ca = instance->table->manager->ek_ca;
	uint8_t der[EK_CA_CERTIFICATE_MAX];
	int len = ca ? ek_ca_certify(ca, params.pos, params.left, der) : 0;

	if (len >= 0)
		pipes_answer(instance, VTPM_SUCCESS, der, (size_t)len);
	else
		pipes_answer(instance, VTPM_FAIL, NULL, 0);
}

static void
request_ready(struct instance *instance, struct reader params)
{
	(void)params;
	pipes_answer(instance, VTPM_SUCCESS, NULL, 0);
	instance_ready(instance);
}

static const struct {
	uint32_t ordinal;
	void (*handle)(struct instance *instance, struct reader params);
} requests[] = {
	{ VTPM_ORD_SAVENVM, request_savenvm },    { VTPM_ORD_LOADNVM, request_loadnvm },
	{ VTPM_ORD_TPMCOMMAND, chip_tpmcommand }, { VTPM_ORD_HOST_PCRS, chip_host_pcrs },
	{ VTPM_ORD_QUOTE, chip_quote },           { VTPM_ORD_CERTIFY_EK, request_certify_ek },
	{ VTPM_ORD_READY, request_ready },
};

static void
receive_request(void *ctx, enum stream_event event, const struct stream_message *message)
{
	struct instance *instance = ctx;
	struct message parts;

	if (event != STREAM_MESSAGE ||
	    message_parse(&parts, message->instance, message->data, message->len) < 0 ||
	    parts.tag != VTPM_TAG_REQ) {
		instance_kill(instance, "sends what is no request");
		return;
	}
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		if (requests[i].ordinal == parts.code) {
			requests[i].handle(instance, parts.params);
			return;
		}
	}
	log_limited(&instance->log, LOG_LEVEL_WARNING,
		    "instance %u: asked for ordinal 0x%08x, which is not for instances",
		    instance->entry.id, parts.code);
	pipes_answer(instance, VTPM_UNSUPPORTED, NULL, 0);
}

static void
receive_response(void *ctx, enum stream_event event, const struct stream_message *message)
{
	struct instance *instance = ctx;

	if (event == STREAM_MESSAGE)
		queue_response(instance, message);
	else
		instance_kill(instance, "sends what is no response");
}

static void
pipe_failed(void *ctx)
{
	instance_kill(ctx, "has a pipe that cannot be read or written");
}

static const struct channel_callbacks pipe_callbacks[PIPE_COUNT] = {
	[PIPE_TPM_CMD] = { .closed = pipe_failed },
	[PIPE_TPM_RSP] = { .receive = receive_response, .closed = pipe_failed },
	[PIPE_VTPM_CMD] = { .receive = receive_request, .closed = pipe_failed },
	[PIPE_VTPM_RSP] = { .closed = pipe_failed },
};

/* A new pipe, of the user whom vtpmd runs as. */
static int
make_pipe(const struct instance *instance, const char *path)
{
	const struct process_user *user = instance->table->manager->user;

	unlink(path);
	int fd = fifo_open(path);
	if (fd < 0 || !user || fchown(fd, user->uid, user->gid) == 0)
		return fd;
	int rc = -errno;
	close(fd);
	return rc;
}

int
pipes_open(struct instance *instance)
{
	char path[INSTANCE_PATH_SIZE];

	for (int i = 0; i < PIPE_COUNT; i++) {
		instance_path(instance, pipe_names[i], path);
		int fd = make_pipe(instance, path);
		if (fd >= 0)
			instance->pipes[i] = channel_new(instance->table->base, fd, STREAM_MANAGER,
							 NULL, &pipe_callbacks[i], instance);
		if (!instance->pipes[i]) {
			int rc = fd < 0 ? fd : -ENOMEM;

			log_error("instance %u: cannot make the pipe %s: %s", instance->entry.id,
				  path, strerror(-rc));
			pipes_close(instance);
			return rc;
		}
	}
	return 0;
}

void
pipes_close(struct instance *instance)
{
	for (int i = 0; i < PIPE_COUNT; i++) {
		channel_free(instance->pipes[i]);
		instance->pipes[i] = NULL;
	}
}

void
pipes_unlink(const struct instance *instance)
{
	char path[INSTANCE_PATH_SIZE];

	for (int i = 0; i < PIPE_COUNT; i++)
		unlink(instance_path(instance, pipe_names[i], path));
}
