/*
 * Byte streams of guests, tools and instances: the first byte chooses the framing, the second the
 * size of the pieces in which the rest arrives. What comes out must be in bounds, the buffer must
 * not grow, and it must not matter in which pieces the bytes came.
 */
#include <assert.h>
#include <event2/buffer.h>
#include <stdlib.h>

#include <vtpm/manager.h>
#include <vtpm/message.h>
#include <vtpm/stream.h>

#include "instance/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Runs the bytes through a stream; returns a digest of all that came out of it. */
static uint64_t
run(enum stream_framing framing, const uint8_t *data, size_t size, size_t piece)
{
	struct evbuffer *in = evbuffer_new();
	struct stream_message message;
	struct message parts;
	struct stream stream;
	enum stream_event event = STREAM_WAIT;
	uint64_t digest = 0;

	stream_init(&stream, framing);
	for (size_t at = 0; at < size && event != STREAM_BROKEN; at += piece) {
		evbuffer_add(in, data + at, size - at < piece ? size - at : piece);
		while ((event = stream_next(&stream, in, &message)) != STREAM_WAIT) {
			for (size_t i = 0; i < message.len; i++)
				digest = (digest ^ message.data[i]) * 0x100000001b3;
			digest += (uint64_t)event << 32 ^ message.instance;
			assert(message.len <= stream_max(framing));
			if (event == STREAM_MESSAGE &&
			    message_parse(&parts, message.instance, message.data, message.len) == 0)
				assert(parts.params.left == message.len - VTPM_HEADER_SIZE);
			if (event == STREAM_BROKEN)
				break;
		}
		assert(evbuffer_get_length(in) < stream_max(framing) + piece);
	}
	evbuffer_free(in);
	return digest;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image image;

	if (size < 2)
		return 0;
	enum stream_framing framing = (enum stream_framing)(data[0] % (STREAM_MIGRATION + 1));
	size_t piece = data[1] + 1u;
	uint64_t whole = run(framing, data + 2, size - 2, size);
	assert(run(framing, data + 2, size - 2, piece) == whole);
	if (image_read(&image, data, size) == 0)
		assert(image.permanent.len + image.saved.len + image.kept.len < size);
	return 0;
}
