#include "instance/channel_ctrl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vtpm/manager.h>

#include "instance/ctrl_commands.h"

enum {
	NUMBER_SIZE = 4,
	ARGUMENTS_MAX = 16,
	DATA_MAX = VTPM_MESSAGE_MAX, /* of a state blob or of bytes to hash */
	LOW_PRIORITY = 2,            /* after everything else of the loop */
};

/*
 * Between two commands, QEMU's connections are held. In the middle of one they are not: what a
 * killed process had done of it would not be known, so QEMU is to see that kill.
 */
static void
hold(struct channel_ctrl *ctrl)
{
	if (!ctrl->data || ctrl->shutdown || ctrl->is_held)
		return;
	ctrl->is_held = true;
	held_put(&ctrl->config.held, &(struct held_client) { .control = conn_fd(ctrl->conn),
							     .data = client_fd(ctrl->data),
							     .locality = ctrl->locality,
							     .buffer_size = ctrl->buffer_size });
}

void
ctrl_drop_held(struct channel_ctrl *ctrl)
{
	ctrl->is_held = false;
	held_drop(&ctrl->config.held);
}

static void
ctrl_readable(void *ctx)
{
	ctrl_drop_held(ctx);
}

/* One write for all of it: some clients read a response with one read. */
static void
respond(struct channel_ctrl *ctrl, TPM_RESULT result, const struct ctrl_reply *reply)
{
	size_t size = 4 + reply->fields.len + reply->body.len;
	uint8_t *buf = malloc(size);

	if (!buf) {
		log_error("control channel: no memory for a response");
		conn_finish(ctrl->conn);
		return;
	}
	struct writer w = writer_of(buf, size);
	writer_u32(&w, result);
	/* An error is the result alone. */
	if (result == TPM_SUCCESS) {
		writer_bytes(&w, reply->buf, reply->fields.len);
		writer_bytes(&w, reply->body.data, reply->body.len);
	}
	/* Who has the answer may rely on it; but a long one may take its time to leave. */
	if (ctrl->is_last && reply->body.len == 0)
		hold(ctrl);
	conn_send(ctrl->conn, buf, w.len);
	explicit_bzero(buf, size);
	free(buf);
}

static void
run(struct channel_ctrl *ctrl, const struct ctrl_command *command, const uint8_t *args, size_t len)
{
	struct ctrl_reply reply = { 0 };
	struct reader r = reader_of(args, len);

	reply.fields = writer_of(reply.buf, sizeof(reply.buf));
	TPM_RESULT result =
	    command->plain ? command->plain(ctrl->instance) : command->run(ctrl, &r, &reply);
	log_debug("control channel: %s, result 0x%x", command->name, result);
	respond(ctrl, result, &reply);
	blob_clear(&reply.body);
}

/*
 * Refuses what cannot be understood. Where the next command begins is not known, but a client waits
 * for the answer to one before it sends the next: what is here belongs to this one.
 */
static void
refuse(struct channel_ctrl *ctrl, struct evbuffer *in, uint32_t number)
{
	static const struct ctrl_reply none;

	log_limited(&ctrl->log, LOG_LEVEL_WARNING, "control channel: there is no command %u",
		    number);
	evbuffer_drain(in, evbuffer_get_length(in));
	respond(ctrl, TPM_BAD_ORDINAL, &none);
}

/* The bytes of a command with its arguments and data, given that the arguments are there. */
static size_t
size_of(const struct ctrl_command *command, const uint8_t *args)
{
	if (!command->has_data)
		return NUMBER_SIZE + command->size;
	struct reader r = reader_of(args + command->size - 4, 4);
	return NUMBER_SIZE + command->size + (size_t)reader_u32(&r);
}

/* Carries out one command, if it is there; whether there may be another. */
static bool
next_command(struct channel_ctrl *ctrl, struct evbuffer *in)
{
	static const struct ctrl_reply none;
	size_t here = evbuffer_get_length(in);

	if (here < NUMBER_SIZE)
		return false;
	struct reader r = reader_of(evbuffer_pullup(in, NUMBER_SIZE), NUMBER_SIZE);
	uint32_t number = reader_u32(&r);
	const struct ctrl_command *command = ctrl_command(number);
	if (!command) {
		refuse(ctrl, in, number);
		return false;
	}
	if (here < NUMBER_SIZE + command->size)
		return false;
	const uint8_t *args =
	    evbuffer_pullup(in, (ssize_t)(NUMBER_SIZE + command->size)) + NUMBER_SIZE;
	size_t size = size_of(command, args);
	if (size > NUMBER_SIZE + ARGUMENTS_MAX + DATA_MAX) {
		log_limited(&ctrl->log, LOG_LEVEL_WARNING,
			    "control channel: a client that announced %zu bytes is cut off", size);
		respond(ctrl, TPM_BAD_PARAM_SIZE, &none);
		conn_finish(ctrl->conn);
		return false;
	}
	if (here < size)
		return false;
	args = evbuffer_pullup(in, (ssize_t)size) + NUMBER_SIZE;
	ctrl->is_last = here <= size + command->padding;
	run(ctrl, command, args, size - NUMBER_SIZE);
	evbuffer_drain(in, size);
	size_t rest = evbuffer_get_length(in);
	evbuffer_drain(in, rest < command->padding ? rest : command->padding);
	return true;
}

static bool
ctrl_input(void *ctx, struct evbuffer *in)
{
	struct channel_ctrl *ctrl = ctx;

	bool more = next_command(ctrl, in);
	if (!more && evbuffer_get_length(in) == 0)
		hold(ctrl);
	return more;
}

/* Whether the client asks to cancel, seen from within a running command. */
static bool
cancel_wanted(void *ctx)
{
	const struct channel_ctrl *ctrl = ctx;
	uint8_t number[NUMBER_SIZE];

	if (!ctrl->conn || recv(conn_fd(ctrl->conn), number, sizeof(number),
				MSG_PEEK | MSG_DONTWAIT) != sizeof(number))
		return false;
	struct reader r = reader_of(number, sizeof(number));
	return reader_u32(&r) == CTRL_CANCEL_TPM_CMD;
}

static void
ctrl_closed(void *ctx, int error)
{
	struct channel_ctrl *ctrl = ctx;
	bool ended = ctrl->shutdown;

	if (error == -ETIMEDOUT)
		log_warning("control channel: a client that does not read its answers is cut off");
	else if (error < 0)
		log_info("control channel: the client is gone: %s", strerror(-error));
	if (ctrl->had_data && !ctrl->shutdown) {
		log_info("QEMU is gone without a word; the TPM is off");
		instance_power_off(ctrl->instance);
		ended = ctrl->config.end_with_qemu;
	}
	ctrl_drop_held(ctrl);
	client_free(ctrl->data);
	ctrl->data = NULL;
	blob_clear(&ctrl->snapshot);
	conn_free(ctrl->conn);
	ctrl->conn = NULL;
	if (ended)
		ctrl->config.ended(ctrl->config.ctx);
}

static int
serve(struct channel_ctrl *ctrl, int fd)
{
	static const struct conn_handler handler = { .input = ctrl_input,
						     .readable = ctrl_readable,
						     .closed = ctrl_closed };

	ctrl->had_data = false;
	ctrl->conn =
	    conn_new(ctrl->base, fd, fd, NUMBER_SIZE + ARGUMENTS_MAX + DATA_MAX, &handler, ctrl);
	return ctrl->conn ? 0 : -ENOMEM;
}

/* Goes on with the client of a vtpmd that was killed, as if nothing had happened. */
static int
take_over(struct channel_ctrl *ctrl)
{
	struct held_client client;

	if (!instance_resumed(ctrl->instance) || !held_look(&ctrl->config.held, &client)) {
		held_drop(&ctrl->config.held);
		return 0;
	}
	int rc = serve(ctrl, client.control);
	if (rc < 0) {
		close(client.data);
		return rc;
	}
	ctrl->is_held = true;
	ctrl->locality = client.locality;
	ctrl->buffer_size = client.buffer_size;
	return ctrl_serve_data(ctrl, client.data);
}

static void
on_connected(evutil_socket_t fd, short what, void *arg)
{
	struct channel_ctrl *ctrl = arg;

	(void)what;
	int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (peer < 0)
		return;
	if (ctrl->conn) {
		log_limited(
		    &ctrl->log, LOG_LEVEL_WARNING,
		    "control channel: a second client is turned away, one TPM serves one QEMU");
		close(peer);
		return;
	}
	ctrl->locality = 0;
	if (serve(ctrl, peer) < 0)
		log_error("control channel: no memory for a client");
}

int
channel_ctrl_open(struct event_base *base, struct instance *instance, struct platform *platform,
		  int fd, const struct channel_ctrl_config *config, struct channel_ctrl **channel)
{
	struct channel_ctrl *ctrl = calloc(1, sizeof(*ctrl));

	if (!ctrl) {
		close(fd);
		return -ENOMEM;
	}
	ctrl->base = base;
	ctrl->instance = instance;
	ctrl->platform = platform;
	ctrl->config = *config;
	ctrl->fd = fd;
	ctrl->buffer_size = CTRL_BUFFER_MAX;
	ctrl->connected = event_new(base, fd, EV_READ | EV_PERSIST, on_connected, ctrl);
	/* When a QEMU goes and the next comes, the end of the first must be seen first. */
	if (!ctrl->connected || event_priority_set(ctrl->connected, LOW_PRIORITY) < 0 ||
	    event_add(ctrl->connected, NULL) < 0) {
		channel_ctrl_close(ctrl);
		return -ENOMEM;
	}
	platform->cancel_wanted = cancel_wanted;
	platform->cancel_ctx = ctrl;
	if (take_over(ctrl) < 0) {
		channel_ctrl_close(ctrl);
		return -ENOMEM;
	}
	*channel = ctrl;
	return 0;
}

void
channel_ctrl_close(struct channel_ctrl *ctrl)
{
	if (!ctrl)
		return;
	ctrl->platform->cancel_wanted = NULL;
	client_free(ctrl->data);
	blob_clear(&ctrl->snapshot);
	conn_free(ctrl->conn);
	if (ctrl->connected)
		event_free(ctrl->connected);
	close(ctrl->fd);
	free(ctrl);
}
