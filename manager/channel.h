/*
 * channel.h - a pipe or socket that carries framed messages, in an event loop.
 */
#ifndef MANAGER_CHANNEL_H
#define MANAGER_CHANNEL_H

#include "manager/intake.h"

struct channel;

struct channel_callbacks {
	/* receive: as of an intake. NULL: the channel is for writing only. */
	void (*receive)(void *ctx, enum stream_event event, const struct stream_message *message);
	/* closed: the peer is gone or the descriptor broken. */
	void (*closed)(void *ctx);
};

/*
 * channel_new: takes over fd, which must be non-blocking, also on failure (NULL, out of memory);
 * sync is that of intake_new. A callback must not free the channel, but may ask channel_close for
 * it.
 */
struct channel *channel_new(struct event_base *base, int fd, enum stream_framing framing,
			    const struct intake_sync *sync,
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

/* channel_flush: writes now what can be written without waiting, not only when the loop gets to it.
 */
void channel_flush(struct channel *channel);

#endif
