/*
 * Back-ends that are a byte stream of TPM commands with the instance number in front: the pipe pair
 * that stands in for Xen, and the /dev/vtpm of old kernels.
 */
#include "manager/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vtpm/codec.h>
#include <vtpm/fifo.h>
#include <vtpm/log.h>
#include <vtpm/manager.h>
#include <vtpm/tpm12.h>

#include "manager/channel.h"
#include "manager/intake.h"
#include "manager/spool.h"

enum {
	PATH_SIZE = 512,
	/* Responses that nobody takes are dropped beyond this. */
	UNREAD_MAX = 64 * 1024,
};

struct stream_backend {
	struct backend *backend;
	char name[PATH_SIZE];
	int fd; /* where commands come from */
	struct event *readable;
	struct spool *spool;
	struct evbuffer *input;
	struct intake *intake;
	struct intake_sync sync;
	struct channel *out;
};

/* A command under way. */
struct exchange {
	struct stream_backend *stream;
	uint32_t instance;
	uint64_t mark; /* its name in the spool */
	struct backend_request *request;
};

static void
respond(struct stream_backend *stream, uint32_t instance, const uint8_t *response, size_t len)
{
	uint8_t prefix[VTPM_INSTANCE_SIZE];
	struct writer w = writer_of(prefix, sizeof(prefix));
	struct evbuffer *out = channel_output(stream->out);

	if (evbuffer_get_length(out) > UNREAD_MAX) {
		log_warning("back-end %s: nobody reads the responses; one for instance %u is "
			    "dropped",
			    stream->name, instance);
		return;
	}
	writer_u32(&w, instance);
	if (evbuffer_expand(out, sizeof(prefix) + len) == 0) {
		evbuffer_add(out, prefix, sizeof(prefix));
		evbuffer_add(out, response, len);
		channel_flush(stream->out);
	}
}

static void
done(void *ctx, const uint8_t *response, size_t len)
{
	struct exchange *exchange = ctx;
	struct spool *spool = exchange->stream->spool;

	/* An instance that did not outlive the earlier manager: whoever asked it has begun anew. */
	bool pointless =
	    spool_inherited(spool, exchange->mark) && !backend_executed(exchange->request);

	/* In this order: a manager that dies in between answers twice, the other way round never.
	 */
	if (!pointless)
		respond(exchange->stream, exchange->instance, response, len);
	spool_done(exchange->stream->spool, exchange->mark);
	free(exchange);
}

static void
refuse(struct stream_backend *stream, uint32_t instance, TPM_RESULT result)
{
	uint8_t response[TPM_HEADER_SIZE];
	struct writer w = writer_of(response, sizeof(response));

	writer_u16(&w, TPM_TAG_RSP_COMMAND);
	writer_u32(&w, TPM_HEADER_SIZE);
	writer_u32(&w, result);
	respond(stream, instance, response, w.len);
}

static void
receive(void *ctx, enum stream_event event, const struct stream_message *message)
{
	struct stream_backend *stream = ctx;
	bool answered;

	uint64_t mark = spool_mark(stream->spool, evbuffer_get_length(stream->input), &answered);
	if (answered)
		return;
	if (event != STREAM_MESSAGE) {
		refuse(stream, message->instance, TPM_BAD_PARAM_SIZE);
		spool_done(stream->spool, mark);
		return;
	}
	struct exchange *exchange = calloc(1, sizeof(*exchange));
	if (exchange) {
		exchange->stream = stream;
		exchange->instance = message->instance;
		exchange->mark = mark;
	}
	if (exchange)
		exchange->request = backend_submit(stream->backend, message->instance, 0,
						   message->data, message->len, done, exchange);
	if (!exchange || !exchange->request) {
		free(exchange);
		refuse(stream, message->instance, TPM_RESOURCES);
		spool_done(stream->spool, mark);
	}
}

static void
broken(void *ctx)
{
	struct stream_backend *stream = ctx;

	log_error("back-end %s: cannot be read or written any more; restart the manager",
		  stream->name);
	event_del(stream->readable);
}

static void
fill(evutil_socket_t fd, short what, void *arg)
{
	struct stream_backend *stream = arg;
	ssize_t n = spool_fill(stream->spool, fd, stream->input);

	(void)what;
	if (n > 0)
		intake_run(stream->intake);
	else if (n != -EAGAIN && n != -EINTR)
		broken(stream);
}

static const struct channel_callbacks callbacks = { .closed = broken };

static void
stream_close(void *state)
{
	struct stream_backend *stream = state;

	if (stream->readable)
		event_free(stream->readable);
	intake_free(stream->intake);
	if (stream->input)
		evbuffer_free(stream->input);
	channel_free(stream->out);
	spool_close(stream->spool);
	if (stream->fd >= 0)
		close(stream->fd);
	free(stream);
}

/* Sets up the reading side; what an earlier manager left unanswered is read first. */
static int
stream_begin(struct stream_backend *stream)
{
	struct event_base *base = backend_base(stream->backend);
	const char *slash = strrchr(stream->name, '/');
	char path[2 * PATH_SIZE];

	snprintf(path, sizeof(path), "%s/instances/%s.spool", backend_run_dir(stream->backend),
		 slash ? slash + 1 : stream->name);
	int rc = spool_open(&stream->spool, path);
	if (rc < 0)
		return rc;
	stream->input = evbuffer_new();
	if (stream->input)
		stream->intake = intake_new(base, stream->input, STREAM_INSTANCE_TPM, &stream->sync,
					    receive, stream);
	stream->readable = event_new(base, stream->fd, EV_READ | EV_PERSIST, fill, stream);
	if (!stream->intake || !stream->readable || event_add(stream->readable, NULL) < 0)
		return -ENOMEM;
	event_active(stream->readable, EV_READ, 0);
	return 0;
}

/*
 * A back-end that reads from in and writes to out, descriptors that it takes over; each may be a
 * negative errno instead.
 */
static int
stream_open(struct backend *backend, const char *name, int in, int out, void **state)
{
	struct stream_backend *stream = calloc(1, sizeof(*stream));
	int rc = in < 0 ? in : out < 0 ? out : stream ? 0 : -ENOMEM;

	if (rc < 0) {
		log_error("back-end %s: cannot be opened: %s", name, strerror(-rc));
		if (in >= 0)
			close(in);
		if (out >= 0)
			close(out);
		free(stream);
		return rc;
	}
	snprintf(stream->name, sizeof(stream->name), "%s", name);
	stream->backend = backend;
	stream->fd = in;
	stream->sync = (struct intake_sync) {
		.name = stream->name,
		.first_tag = TPM_TAG_RQU_COMMAND,
		.last_tag = TPM_TAG_RQU_AUTH2_COMMAND,
	};
	stream->out =
	    channel_new(backend_base(backend), out, STREAM_INSTANCE_TPM, NULL, &callbacks, stream);
	rc = stream->out ? stream_begin(stream) : -ENOMEM;
	if (rc < 0) {
		log_error("back-end %s: cannot be opened: %s", name, strerror(-rc));
		stream_close(stream);
		return rc;
	}
	*state = stream;
	return 0;
}

static int
open_pipe(struct backend *backend, const char *name)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "%s/%s", backend_run_dir(backend), name);
	return fifo_open(path);
}

static int
open_pipes(struct backend *backend, const char *argument, void **state)
{
	(void)argument;
	return stream_open(backend, VTPM_PATH_DUMMY_IN, open_pipe(backend, VTPM_PATH_DUMMY_IN),
			   open_pipe(backend, VTPM_PATH_DUMMY_OUT), state);
}

static int
open_device(struct backend *backend, const char *argument, void **state)
{
	const char *path = argument ? argument : "/dev/vtpm";
	int in = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int out = in < 0 ? -errno : fcntl(in, F_DUPFD_CLOEXEC, 0);

	if (in < 0)
		in = out;
	else if (out < 0)
		out = -errno;
	return stream_open(backend, path, in, out, state);
}

const struct backend_ops backend_fifo = {
	.name = "fifo",
	.open = open_pipes,
	.close = stream_close,
};

const struct backend_ops backend_dev = {
	.name = "dev",
	.open = open_device,
	.close = stream_close,
};
