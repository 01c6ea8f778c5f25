#include "manager/channel.h"

#include <event2/bufferevent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

struct channel {
	struct bufferevent *bev;
	struct intake *intake;
	const struct channel_callbacks *callbacks;
	void *ctx;
	bool closing;
};

static void
received(struct bufferevent *bev, void *arg)
{
	struct channel *channel = arg;

	(void)bev;
	if (!channel->closing)
		intake_run(channel->intake);
}

static void
all_written(struct bufferevent *bev, void *arg)
{
	struct channel *channel = arg;

	(void)bev;
	if (channel->closing)
		channel->callbacks->closed(channel->ctx);
}

static void
gone(struct bufferevent *bev, short what, void *arg)
{
	struct channel *channel = arg;

	(void)bev;
	(void)what;
	channel->callbacks->closed(channel->ctx);
}

struct channel *
channel_new(struct event_base *base, int fd, enum stream_framing framing,
	    const struct intake_sync *sync, const struct channel_callbacks *callbacks, void *ctx)
{
	struct channel *channel = calloc(1, sizeof(*channel));

	if (channel)
		channel->bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!channel || !channel->bev) {
		free(channel);
		close(fd);
		return NULL;
	}
	channel->callbacks = callbacks;
	channel->ctx = ctx;
	channel->intake = intake_new(base, bufferevent_get_input(channel->bev), framing, sync,
				     callbacks->receive, ctx);
	if (!channel->intake) {
		channel_free(channel);
		return NULL;
	}
	bufferevent_setcb(channel->bev, received, all_written, gone, channel);
	/* The mark stops reading while a whole message is waiting. */
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
	intake_free(channel->intake);
	bufferevent_free(channel->bev);
	free(channel);
}

void
channel_close(struct channel *channel)
{
	channel->closing = true;
	intake_pause(channel->intake);
	bufferevent_disable(channel->bev, EV_READ);
	bufferevent_trigger(channel->bev, EV_WRITE, BEV_TRIG_DEFER_CALLBACKS);
}

void
channel_pause(struct channel *channel)
{
	intake_pause(channel->intake);
}

void
channel_resume(struct channel *channel)
{
	intake_resume(channel->intake);
	bufferevent_trigger(channel->bev, EV_READ,
			    BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

struct evbuffer *
channel_output(struct channel *channel)
{
	return bufferevent_get_output(channel->bev);
}

void
channel_flush(struct channel *channel)
{
	struct evbuffer *output = channel_output(channel);

	/* The start of the output is the bufferevent's own, and locked, but while it writes. */
	evbuffer_unfreeze(output, 1);
	evbuffer_write(output, bufferevent_getfd(channel->bev));
	evbuffer_freeze(output, 1);
}
