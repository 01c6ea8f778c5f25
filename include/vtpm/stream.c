#include <vtpm/stream.h>

#include <event2/buffer.h>
#include <stdbool.h>

#include <vtpm/codec.h>
#include <vtpm/manager.h>
#include <vtpm/tpm12.h>

/* TPM and manager messages begin alike: tag, size of the whole, ordinal or result. */
_Static_assert((int)VTPM_HEADER_SIZE == (int)TPM_HEADER_SIZE, "one header for all framings");

enum {
	EXECUTE_HEAD = 9, /* VTPM_ORD_EXECUTE: sequence:8, locality:1 in front of the command */
};

static const struct {
	size_t prefix; /* bytes in front that the header's size does not count */
	size_t max;    /* largest value of the header's size */
} framings[] = {
	[STREAM_TPM] = { 0, TPM_BUFFER_SIZE },
	[STREAM_INSTANCE_TPM] = { VTPM_INSTANCE_SIZE, TPM_BUFFER_SIZE },
	[STREAM_TO_INSTANCE] = { VTPM_INSTANCE_SIZE,
				 VTPM_HEADER_SIZE + EXECUTE_HEAD + TPM_BUFFER_SIZE },
	[STREAM_MANAGER] = { VTPM_INSTANCE_SIZE, VTPM_MESSAGE_MAX },
	[STREAM_MIGRATION] = { 0, VTPM_MESSAGE_MAX },
};

static const size_t broken = SIZE_MAX; /* value of stream->skip */

void
stream_init(struct stream *stream, enum stream_framing framing)
{
	*stream = (struct stream) { .framing = framing };
}

size_t
stream_max(enum stream_framing framing)
{
	return framings[framing].prefix + framings[framing].max;
}

bool
stream_settle(struct stream *stream, struct evbuffer *in)
{
	if (stream->skip == broken)
		return true;
	evbuffer_drain(in, stream->drain);
	stream->drain = 0;
	size_t here = evbuffer_get_length(in);
	size_t gone = stream->skip < here ? stream->skip : here;
	evbuffer_drain(in, gone);
	stream->skip -= gone;
	return stream->skip == 0;
}

void
stream_restart(struct stream *stream)
{
	if (stream->skip == broken)
		stream->skip = 0;
}

enum stream_event
stream_next(struct stream *stream, struct evbuffer *in, struct stream_message *message)
{
	size_t prefix = framings[stream->framing].prefix;
	size_t head = prefix + VTPM_HEADER_SIZE;

	*message = (struct stream_message) { 0 };
	if (stream->skip == broken) {
		evbuffer_drain(in, evbuffer_get_length(in));
		return STREAM_BROKEN;
	}
	if (!stream_settle(stream, in) || evbuffer_get_length(in) < head)
		return STREAM_WAIT;

	struct reader r = reader_of(evbuffer_pullup(in, (ssize_t)head), head);
	message->instance = prefix ? reader_u32(&r) : 0;
	message->data = r.pos;
	message->len = VTPM_HEADER_SIZE;
	reader_u16(&r);
	size_t size = reader_u32(&r);

	if (size < VTPM_HEADER_SIZE || size > framings[stream->framing].max) {
		stream->drain = head;
		if (size > STREAM_SKIP_MAX)
			stream->skip = broken;
		else if (size > VTPM_HEADER_SIZE)
			stream->skip = size - VTPM_HEADER_SIZE;
		return stream->skip == broken ? STREAM_BROKEN : STREAM_REFUSED;
	}
	if (evbuffer_get_length(in) < prefix + size)
		return STREAM_WAIT;
	message->data = evbuffer_pullup(in, (ssize_t)(prefix + size)) + prefix;
	message->len = size;
	stream->drain = prefix + size;
	return STREAM_MESSAGE;
}
