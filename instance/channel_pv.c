#include "instance/channel_pv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vtpm/codec.h>
#include <vtpm/fifo.h>
#include <vtpm/log.h>
#include <vtpm/message.h>
#include <vtpm/stream.h>

#include "instance/conn.h"
#include "instance/host.h"

struct channel_pv {
	struct event_base *base;
	struct instance *instance;
	char *command_path;
	char *response_path;
	struct conn *conn;
	struct stream stream;
	struct log_limit log;
};

enum {
	/* A response as VTPM_ORD_EXECUTE has it: message header, sequence, TPM response. */
	RESPONSE_MAX = VTPM_INSTANCE_SIZE + VTPM_HEADER_SIZE + 8 + TPM_BUFFER_SIZE,
};

static void
send_answer(struct channel_pv *channel, uint32_t instance, enum vtpm_status status,
	    const void *params, size_t len)
{
	uint8_t buf[RESPONSE_MAX];
	struct writer w = writer_of(buf, sizeof(buf));

	message_begin(&w, instance, VTPM_TAG_RSP, status);
	writer_bytes(&w, params, len);
	message_end(&w);
	conn_send(channel->conn, buf, w.len);
}

static void
send_status(struct channel_pv *channel, uint32_t instance, enum vtpm_status status)
{
	send_answer(channel, instance, status, NULL, 0);
}

static void
send_numbered(struct channel_pv *channel, uint64_t sequence, const uint8_t *response, size_t len)
{
	uint8_t buf[RESPONSE_MAX];
	struct writer w = writer_of(buf, sizeof(buf));

	message_begin(&w, instance_id(channel->instance), VTPM_TAG_RSP, VTPM_SUCCESS);
	writer_u64(&w, sequence);
	writer_bytes(&w, response, len);
	message_end(&w);
	conn_send(channel->conn, buf, w.len);
}

static void
send_bare(struct channel_pv *channel, uint32_t instance, const uint8_t *response, size_t len)
{
	uint8_t buf[VTPM_INSTANCE_SIZE + TPM_BUFFER_SIZE];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_u32(&w, instance);
	writer_bytes(&w, response, len);
	conn_send(channel->conn, buf, w.len);
}

static void
send_bare_error(struct channel_pv *channel, uint32_t instance, TPM_RESULT result)
{
	uint8_t response[TPM_HEADER_SIZE];

	send_bare(channel, instance, response, tpm_error_response(result, response));
}

/* The manager's orders. Each answers by itself or returns the status to be answered. */
static int
order_execute(struct channel_pv *channel, struct reader *params)
{
	uint8_t response[TPM_BUFFER_SIZE];
	size_t len;

	uint64_t sequence = reader_u64(params);
	unsigned locality = reader_u8(params);
	if (params->failed)
		return VTPM_INVALID_REQUEST;
	if (instance_suspended(channel->instance))
		return VTPM_FORBIDDEN;
	if (locality > 4)
		len = tpm_error_response(TPM_BAD_LOCALITY, response);
	else
		instance_execute(channel->instance, sequence, locality, params->pos, params->left,
				 response, &len);
	send_numbered(channel, sequence, response, len);
	return -1;
}

static int
order_set_presence(struct channel_pv *channel, struct reader *params)
{
	bool on = reader_u8(params);

	if (!reader_done(params))
		return VTPM_INVALID_REQUEST;
	return instance_set_presence(channel->instance, on) == TPM_SUCCESS ? VTPM_SUCCESS
									   : VTPM_FAIL;
}

static int
order_allow_rollback(struct channel_pv *channel, struct reader *params)
{
	bool on = reader_u8(params);

	if (!reader_done(params))
		return VTPM_INVALID_REQUEST;
	return instance_allow_rollback(channel->instance, on) == TPM_SUCCESS ? VTPM_SUCCESS
									     : VTPM_FAIL;
}

static int
order_clear(struct channel_pv *channel, struct reader *params)
{
	if (!reader_done(params))
		return VTPM_INVALID_REQUEST;
	return instance_clear(channel->instance) == TPM_SUCCESS ? VTPM_SUCCESS : VTPM_FAIL;
}

static int
order_keep_volatile(struct channel_pv *channel, struct reader *params)
{
	if (!reader_done(params))
		return VTPM_INVALID_REQUEST;
	return instance_suspend(channel->instance) == TPM_SUCCESS ? VTPM_SUCCESS : VTPM_FAIL;
}

static int
order_get_quote(struct channel_pv *channel, struct reader *params)
{
	struct blob evidence = { 0 };

	uint32_t pcrs = reader_u32(params);
	const uint8_t *nonce = reader_view(params, HOST_NONCE_SIZE);
	if (!reader_done(params))
		return VTPM_INVALID_REQUEST;
	if (instance_quote(channel->instance, pcrs, nonce, &evidence) < 0)
		return VTPM_FAIL;
	bool fits = evidence.len <= TPM_BUFFER_SIZE;
	if (fits)
		send_answer(channel, instance_id(channel->instance), VTPM_SUCCESS, evidence.data,
			    evidence.len);
	blob_clear(&evidence);
	return fits ? -1 : VTPM_FAIL;
}

static const struct {
	uint32_t ordinal;
	int (*carry_out)(struct channel_pv *channel, struct reader *params);
} orders[] = {
	{ VTPM_ORD_EXECUTE, order_execute },
	{ VTPM_ORD_SET_PRESENCE, order_set_presence },
	{ VTPM_ORD_ALLOW_ROLLBACK, order_allow_rollback },
	{ VTPM_ORD_CLEAR_TPM, order_clear },
	{ VTPM_ORD_KEEP_VOLATILE, order_keep_volatile },
	{ VTPM_ORD_GET_QUOTE, order_get_quote },
};

static void
carry_out(struct channel_pv *channel, struct message *order)
{
	int status = VTPM_UNSUPPORTED;

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		if (orders[i].ordinal == order->code)
			status = orders[i].carry_out(channel, &order->params);
	}
	if (status >= 0)
		send_status(channel, order->instance, (enum vtpm_status)status);
}

static void
serve(struct channel_pv *channel, const struct stream_message *raw)
{
	uint8_t response[TPM_BUFFER_SIZE];
	struct message order;
	size_t len;

	bool is_order = message_parse(&order, raw->instance, raw->data, raw->len) == 0;
	if (raw->instance != instance_id(channel->instance)) {
		log_limited(&channel->log, LOG_LEVEL_WARNING,
			    "a command for instance %u came over this instance's pipe",
			    raw->instance);
		if (is_order)
			send_status(channel, raw->instance, VTPM_INVALID_REQUEST);
		else
			send_bare_error(channel, raw->instance, TPM_BAD_PARAMETER);
	} else if (is_order) {
		carry_out(channel, &order);
	} else {
		instance_execute(channel->instance, 0, 0, raw->data, raw->len, response, &len);
		send_bare(channel, raw->instance, response, len);
	}
}

static bool
pv_input(void *ctx, struct evbuffer *in)
{
	struct channel_pv *channel = ctx;
	struct stream_message message;

	switch (stream_next(&channel->stream, in, &message)) {
	case STREAM_WAIT:
		return false;
	case STREAM_MESSAGE:
		serve(channel, &message);
		stream_settle(&channel->stream, in);
		return evbuffer_get_length(in) > 0;
	case STREAM_REFUSED:
		log_limited(&channel->log, LOG_LEVEL_WARNING,
			    "a command of impossible size came over the pipe");
		send_bare_error(channel, message.instance, TPM_BAD_PARAM_SIZE);
		return true;
	case STREAM_BROKEN:
		/* A pipe cannot be closed on its writer: what is in it goes, then it starts anew.
		 */
		log_limited(&channel->log, LOG_LEVEL_ERROR,
			    "rubbish came over the pipe %s and is dropped", channel->command_path);
		send_bare_error(channel, message.instance, TPM_BAD_PARAM_SIZE);
		evbuffer_drain(in, evbuffer_get_length(in));
		stream_init(&channel->stream, STREAM_TO_INSTANCE);
		break;
	}
	return false;
}

static void
pv_closed(void *ctx, int error)
{
	struct channel_pv *channel = ctx;

	/* We hold both ends of the pipes ourselves: only a failing system gets here. */
	log_error("the pipes to the manager failed: %s", strerror(-error));
	conn_free(channel->conn);
	channel->conn = NULL;
}

static int
open_pipes(struct channel_pv *channel)
{
	static const struct conn_handler handler = { .input = pv_input, .closed = pv_closed };
	const char *path = channel->command_path;

	int in = fifo_open(path);
	path = in < 0 ? path : channel->response_path;
	int out = in < 0 ? in : fifo_open(path);
	if (out < 0) {
		log_error("cannot open the pipe %s: %s", path, strerror(-out));
		if (in >= 0)
			close(in);
		return out;
	}
	struct conn *conn =
	    conn_new(channel->base, in, out, 2 * stream_max(STREAM_TO_INSTANCE), &handler, channel);
	if (!conn)
		return -ENOMEM;
	conn_free(channel->conn);
	channel->conn = conn;
	stream_init(&channel->stream, STREAM_TO_INSTANCE);
	return 0;
}

int
channel_pv_open(struct event_base *base, const char *run_dir, struct instance *instance,
		struct channel_pv **channel)
{
	struct channel_pv *opened = calloc(1, sizeof(*opened));
	uint32_t id = instance_id(instance);
	int rc = -ENOMEM;

	if (!opened)
		return -ENOMEM;
	opened->base = base;
	opened->instance = instance;
	if (asprintf(&opened->command_path, "%s/" VTPM_PATH_TPM_CMD, run_dir, id) >= 0 &&
	    asprintf(&opened->response_path, "%s/" VTPM_PATH_TPM_RSP, run_dir, id) >= 0)
		rc = open_pipes(opened);
	if (rc < 0) {
		channel_pv_close(opened);
		return rc;
	}
	*channel = opened;
	return 0;
}

void
channel_pv_close(struct channel_pv *channel)
{
	if (!channel)
		return;
	conn_free(channel->conn);
	free(channel->command_path);
	free(channel->response_path);
	free(channel);
}

int
channel_pv_reopen(struct channel_pv *channel)
{
	const uint8_t *response;
	size_t len;

	int rc = open_pipes(channel);
	if (rc < 0)
		return rc;
	uint64_t sequence = instance_last_answer(channel->instance, &response, &len);
	if (sequence > 0)
		send_numbered(channel, sequence, response, len);
	return 0;
}
