/*
 * channel.h - a pipe or socket that carries framed messages, in an event loop.
 */
#ifndef MANAGER_CHANNEL_H
#define MANAGER_CHANNEL_H

#include <event2/buffer.h>
#include <event2/event.h>

#include <vtpm/stream.h>

struct channel;

struct channel_callbacks {
	/* receive: a message, or what stream_next says instead of one (never STREAM_WAIT). */
	void (*receive)(void *ctx, enum stream_event event, const struct stream_message *message);
	/* closed: the peer is gone or the descriptor broken. NULL for those that write only. */
	void (*closed)(void *ctx);
};

/*
 * channel_new: takes over fd, which must be non-blocking, also on failure (NULL, out of memory). A
 * callback must not free the channel, but may ask channel_close for it.
 */
struct channel *channel_new(struct event_base *base, int fd, enum stream_framing framing,
			    const struct channel_callbacks *callbacks, void *ctx);

/* channel_free: at once; what was not written is dropped. NULL does nothing. */
void channel_free(struct channel *channel);

/*
 * channel_close: writes what is pending, then calls closed, from the loop; nothing more is
 * received. For use within receive.
 */
void channel_close(struct channel *channel);

/* channel_pause: receives nothing more until channel_resume; the peer's writes back up. */
void channel_pause(struct channel *channel);
void channel_resume(struct channel *channel);

/* channel_output: where to put what is to be written; the length is what is still unwritten. */
struct evbuffer *channel_output(struct channel *channel);

/*
 * What a message looks like on a pipe that several write to, and that therefore cannot be closed on
 * one who writes nonsense, or dies in the middle of a message.
 */
struct channel_sync {
	const char *name; /* of the pipe, for the log */
	uint16_t first_tag, last_tag;
};

/*
 * channel_synchronize: from now on, what cannot be the start of a message (of a framing with an
 * instance number in front) is skipped, and one that is not completed within two seconds is
 * dropped. sync must outlive the channel. 0, -ENOMEM.
 */
int channel_synchronize(struct channel *channel, const struct channel_sync *sync);

#endif
