#include "manager/channel.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include <vtpm/codec.h>
#include <vtpm/log.h>
#include <vtpm/manager.h>

struct channel {
	struct bufferevent *bev;
	struct stream stream;
	const struct channel_callbacks *callbacks;
	void *ctx;
	const struct channel_sync *sync; /* NULL: the framing alone decides */
	struct event *half_message;
	bool paused;
	bool closing;
};

enum { HALF_MESSAGE_SECONDS = 2 };

/* Whether the len bytes at head may begin a message: what there is of its tag is right. */
static bool
plausible(const struct channel_sync *sync, const uint8_t *head, size_t len)
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
skip_nonsense(const struct channel_sync *sync, struct evbuffer *input)
{
	size_t len = evbuffer_get_length(input);
	const uint8_t *data = evbuffer_pullup(input, -1);
	size_t skip = 0;

	while (skip < len && !plausible(sync, data + skip, len - skip))
		skip++;
	if (skip > 0)
		log_warning("%s: %zu bytes that are no message, skipped", sync->name, skip);
	evbuffer_drain(input, skip);
}

/* Lets the last message go, and what lies between it and the next one. */
static void
forget_message(struct channel *channel, struct evbuffer *input)
{
	if (stream_settle(&channel->stream, input) && channel->sync)
		skip_nonsense(channel->sync, input);
}

/* A message has begun, or all are whole. */
static void
expect_rest(struct channel *channel, const struct evbuffer *input)
{
	struct timeval patience = { .tv_sec = HALF_MESSAGE_SECONDS };

	if (evbuffer_get_length(input) > 0)
		event_add(channel->half_message, &patience);
	else
		event_del(channel->half_message);
}

static void
half_message_due(evutil_socket_t fd, short what, void *arg)
{
	struct channel *channel = arg;
	struct evbuffer *input = bufferevent_get_input(channel->bev);

	(void)fd;
	(void)what;
	if (channel->paused)
		return;
	log_warning("%s: %zu bytes of a message whose end does not come, dropped",
		    channel->sync->name, evbuffer_get_length(input));
	evbuffer_drain(input, evbuffer_get_length(input));
	stream_init(&channel->stream, channel->stream.framing);
}

static void
read_messages(struct bufferevent *bev, void *arg)
{
	struct channel *channel = arg;
	struct evbuffer *input = bufferevent_get_input(bev);
	struct stream_message message;

	while (!channel->paused && !channel->closing) {
		forget_message(channel, input);
		enum stream_event event = stream_next(&channel->stream, input, &message);

		if (channel->sync)
			expect_rest(channel, input);
		if (event == STREAM_WAIT)
			break;
		if (event == STREAM_BROKEN && channel->sync) {
			/* The owner must not close it; the next message will be found. */
			stream_restart(&channel->stream);
			event = STREAM_REFUSED;
		}
		channel->callbacks->receive(channel->ctx, event, &message);
		if (event == STREAM_BROKEN)
			break;
	}
}

static void
all_written(struct bufferevent *bev, void *arg)
{
	struct channel *channel = arg;

	(void)bev;
	if (channel->closing && channel->callbacks->closed)
		channel->callbacks->closed(channel->ctx);
}

static void
gone(struct bufferevent *bev, short what, void *arg)
{
	struct channel *channel = arg;

	(void)bev;
	(void)what;
	if (channel->callbacks->closed)
		channel->callbacks->closed(channel->ctx);
}

struct channel *
channel_new(struct event_base *base, int fd, enum stream_framing framing,
	    const struct channel_callbacks *callbacks, void *ctx)
{
	struct channel *channel = calloc(1, sizeof(*channel));

	if (channel)
		channel->bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!channel || !channel->bev) {
		free(channel);
		close(fd);
		return NULL;
	}
	stream_init(&channel->stream, framing);
	channel->callbacks = callbacks;
	channel->ctx = ctx;
	bufferevent_setcb(channel->bev, callbacks->receive ? read_messages : NULL, all_written,
			  gone, channel);
	/* The second mark stops reading while one whole message is waiting. */
	bufferevent_setwatermark(channel->bev, EV_READ, 0, 2 * stream_max(framing));
	bufferevent_enable(channel->bev, EV_WRITE);
	if (callbacks->receive)
		bufferevent_enable(channel->bev, EV_READ);
	else
		bufferevent_disable(channel->bev, EV_READ);
	return channel;
}

void
channel_free(struct channel *channel)
{
	if (!channel)
		return;
	if (channel->half_message)
		event_free(channel->half_message);
	bufferevent_free(channel->bev);
	free(channel);
}

void
channel_close(struct channel *channel)
{
	channel->closing = true;
	bufferevent_disable(channel->bev, EV_READ);
	bufferevent_trigger(channel->bev, EV_WRITE, BEV_TRIG_DEFER_CALLBACKS);
}

void
channel_pause(struct channel *channel)
{
	channel->paused = true;
}

void
channel_resume(struct channel *channel)
{
	channel->paused = false;
	bufferevent_trigger(channel->bev, EV_READ,
			    BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

struct evbuffer *
channel_output(struct channel *channel)
{
	return bufferevent_get_output(channel->bev);
}

int
channel_synchronize(struct channel *channel, const struct channel_sync *sync)
{
	channel->half_message =
	    evtimer_new(bufferevent_get_base(channel->bev), half_message_due, channel);
	if (!channel->half_message)
		return -ENOMEM;
	channel->sync = sync;
	return 0;
}
