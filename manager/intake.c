#include "manager/intake.h"

#include <stdbool.h>
#include <stdlib.h>

#include <vtpm/codec.h>
#include <vtpm/log.h>

enum { HALF_MESSAGE_SECONDS = 2 };

struct intake {
	struct evbuffer *input;
	struct stream stream;
	const struct intake_sync *sync;
	struct event *half_message;
	bool paused;
	void (*receive)(void *ctx, enum stream_event event, const struct stream_message *message);
	void *ctx;
};

/* Whether the len bytes at head may begin a message: what there is of its tag is right. */
static bool
plausible(const struct intake_sync *sync, const uint8_t *head, size_t len)
{
	struct reader r = reader_of(head, len);

	reader_u32(&r);
	uint32_t tag = reader_u8(&r);
	if (r.failed)
		return true;
	if (tag < sync->first_tag >> 8 || tag > sync->last_tag >> 8)
		return false;
	tag = tag << 8 | reader_u8(&r);
	return r.failed || (tag >= sync->first_tag && tag <= sync->last_tag);
}

static void
skip_nonsense(const struct intake *intake)
{
	size_t len = evbuffer_get_length(intake->input);
	const uint8_t *data = evbuffer_pullup(intake->input, -1);
	size_t skip = 0;

	while (skip < len && !plausible(intake->sync, data + skip, len - skip))
		skip++;
	if (skip > 0)
		log_warning("%s: %zu bytes that are no message, skipped", intake->sync->name, skip);
	evbuffer_drain(intake->input, skip);
}

/* A message has begun, or all are whole. */
static void
expect_rest(struct intake *intake)
{
	struct timeval patience = { .tv_sec = HALF_MESSAGE_SECONDS };

	if (evbuffer_get_length(intake->input) > 0)
		event_add(intake->half_message, &patience);
	else
		event_del(intake->half_message);
}

static void
half_message_due(evutil_socket_t fd, short what, void *arg)
{
	struct intake *intake = arg;
	size_t len = evbuffer_get_length(intake->input);

	(void)fd;
	(void)what;
	if (intake->paused)
		return;
	log_warning("%s: %zu bytes of a message whose end does not come, dropped",
		    intake->sync->name, len);
	evbuffer_drain(intake->input, len);
	stream_init(&intake->stream, intake->stream.framing);
}

struct intake *
intake_new(struct event_base *base, struct evbuffer *input, enum stream_framing framing,
	   const struct intake_sync *sync,
	   void (*receive)(void *ctx, enum stream_event event,
			   const struct stream_message *message),
	   void *ctx)
{
	struct intake *intake = calloc(1, sizeof(*intake));

	if (!intake)
		return NULL;
	stream_init(&intake->stream, framing);
	intake->input = input;
	intake->sync = sync;
	intake->receive = receive;
	intake->ctx = ctx;
	intake->half_message = evtimer_new(base, half_message_due, intake);
	if (!intake->half_message) {
		free(intake);
		return NULL;
	}
	return intake;
}

void
intake_free(struct intake *intake)
{
	if (!intake)
		return;
	event_free(intake->half_message);
	free(intake);
}

void
intake_run(struct intake *intake)
{
	struct stream_message message;

	while (!intake->paused) {
		/* The last message goes, and what lies between it and the next one. */
		if (stream_settle(&intake->stream, intake->input) && intake->sync)
			skip_nonsense(intake);
		enum stream_event event = stream_next(&intake->stream, intake->input, &message);

		if (intake->sync)
			expect_rest(intake);
		if (event == STREAM_WAIT)
			break;
		if (event == STREAM_BROKEN && intake->sync) {
			/* The owner must not close it; the next message will be found. */
			stream_restart(&intake->stream);
			event = STREAM_REFUSED;
		}
		intake->receive(intake->ctx, event, &message);
		if (event == STREAM_BROKEN)
			break;
	}
}

void
intake_pause(struct intake *intake)
{
	intake->paused = true;
}

void
intake_resume(struct intake *intake)
{
	intake->paused = false;
}
