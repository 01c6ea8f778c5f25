/*
 * Back-ends that are a byte stream of TPM commands with the instance number in front: the pipe pair
 * that stands in for Xen, and the /dev/vtpm of old kernels.
 */
#include "manager/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vtpm/codec.h>
#include <vtpm/fifo.h>
#include <vtpm/log.h>
#include <vtpm/manager.h>
#include <vtpm/tpm12.h>

#include "manager/channel.h"

enum {
	PATH_SIZE = 512,
	/* Responses that nobody takes are dropped beyond this. */
	UNREAD_MAX = 64 * 1024,
};

struct stream_backend {
	struct backend *backend;
	char name[PATH_SIZE];
	struct channel *in;
	struct channel *out; /* the same for a device */
	struct channel_sync sync;
};

/* A command under way; the answer needs its instance in front. */
struct exchange {
	struct stream_backend *stream;
	uint32_t instance;
};

static void
respond(void *state, uint32_t instance, const uint8_t *response, size_t len)
{
	struct stream_backend *stream = state;
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
	}
}

static void
done(void *ctx, const uint8_t *response, size_t len)
{
	struct exchange *exchange = ctx;

	respond(exchange->stream, exchange->instance, response, len);
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

	if (event != STREAM_MESSAGE) {
		refuse(stream, message->instance, TPM_BAD_PARAM_SIZE);
		return;
	}
	struct exchange *exchange = calloc(1, sizeof(*exchange));
	if (exchange) {
		exchange->stream = stream;
		exchange->instance = message->instance;
	}
	if (!exchange || !backend_submit(stream->backend, message->instance, 0, message->data,
					 message->len, done, exchange)) {
		free(exchange);
		refuse(stream, message->instance, TPM_RESOURCES);
	}
}

static void
closed(void *ctx)
{
	struct stream_backend *stream = ctx;

	log_error("back-end %s: cannot be read or written any more; restart the manager",
		  stream->name);
}

static const struct channel_callbacks callbacks = { .receive = receive, .closed = closed };
static const struct channel_callbacks out_callbacks = { .closed = closed };

static void
stream_close(void *state)
{
	struct stream_backend *stream = state;

	if (stream->out != stream->in)
		channel_free(stream->out);
	channel_free(stream->in);
	free(stream);
}

static struct stream_backend *
stream_new(struct backend *backend, const char *name)
{
	struct stream_backend *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	stream->backend = backend;
	snprintf(stream->name, sizeof(stream->name), "%s", name);
	stream->sync = (struct channel_sync) {
		.name = stream->name,
		.first_tag = TPM_TAG_RQU_COMMAND,
		.last_tag = TPM_TAG_RQU_AUTH2_COMMAND,
	};
	return stream;
}

/* Takes over fd; 0 or a negative errno. */
static int
attach_channel(struct stream_backend *stream, struct channel **channel, int fd,
	       const struct channel_callbacks *with)
{
	if (fd < 0)
		return fd;
	*channel =
	    channel_new(backend_base(stream->backend), fd, STREAM_INSTANCE_TPM, with, stream);
	return *channel ? 0 : -ENOMEM;
}

static int
fifo_pipe(struct backend *backend, const char *name)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "%s/%s", backend_run_dir(backend), name);
	return fifo_open(path);
}

/* Ends the opening of a stream: rc is how it went so far. */
static int
opened(struct stream_backend *stream, int rc, void **state)
{
	if (rc == 0)
		rc = channel_synchronize(stream->in, &stream->sync);
	if (rc < 0) {
		log_error("back-end %s: cannot be opened: %s", stream->name, strerror(-rc));
		stream_close(stream);
		return rc;
	}
	*state = stream;
	return 0;
}

static int
open_pipes(struct backend *backend, const char *argument, void **state)
{
	struct stream_backend *stream = stream_new(backend, VTPM_PATH_DUMMY_IN);

	(void)argument;
	if (!stream)
		return -ENOMEM;
	int rc = attach_channel(stream, &stream->out, fifo_pipe(backend, VTPM_PATH_DUMMY_OUT),
				&out_callbacks);
	if (rc == 0)
		rc = attach_channel(stream, &stream->in, fifo_pipe(backend, VTPM_PATH_DUMMY_IN),
				    &callbacks);
	return opened(stream, rc, state);
}

static int
open_device(struct backend *backend, const char *argument, void **state)
{
	const char *path = argument ? argument : "/dev/vtpm";
	struct stream_backend *stream = stream_new(backend, path);

	if (!stream)
		return -ENOMEM;
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int rc = attach_channel(stream, &stream->in, fd < 0 ? -errno : fd, &callbacks);
	stream->out = stream->in;
	return opened(stream, rc, state);
}

const struct backend_ops backend_fifo = {
	.name = "fifo",
	.open = open_pipes,
	.close = stream_close,
	.deliver = respond,
};

const struct backend_ops backend_dev = {
	.name = "dev",
	.open = open_device,
	.close = stream_close,
	.deliver = respond,
};
