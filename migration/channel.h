/*
 * channel.h - messages of vtpm/migration.h to and from a peer that is known: over TLS, or over the
 * pipes to and from ssh, which has authenticated it.
 */
#ifndef MIGRATION_CHANNEL_H
#define MIGRATION_CHANNEL_H

#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>

#include <vtpm/codec.h>

#include "migration/tls.h"
#include "migration/why.h"

struct channel;

/* Called from the event loop. None may free the channel but closed, which must be the last. */
struct channel_callbacks {
	/* ready: the peer is who it has to be; messages may be sent from now on. */
	void (*ready)(void *ctx);
	/* received: one message; code is a request's ordinal or a response's status. */
	void (*received)(void *ctx, uint32_t code, struct reader params);
	/* closed: nothing more will come; why names the peer and the cause. error is -EACCES when
	 * one of the two does not trust the other, else another negative errno. */
	void (*closed)(void *ctx, int error, const struct why *why);
};

enum channel_role {
	CHANNEL_CLIENT, /* sends requests, receives responses */
	CHANNEL_SERVER,
};

/*
 * channel_tls: over a connected, non-blocking socket, which is the channel's from now on, also on
 * failure. peer is the peer's name or address in messages, copied; with CHANNEL_CLIENT host is the
 * host that it must be. Returns 0 or a negative errno, with *why.
 */
int channel_tls(struct channel **channel, struct event_base *base, int fd, enum channel_role role,
		const struct tls_files *files, const char *host, const char *peer,
		const struct channel_callbacks *callbacks, void *ctx, struct why *why);

/*
 * channel_pipes: over two descriptors, which may be one and the same; the rest as above. ready is
 * called from the loop, too.
 */
int channel_pipes(struct channel **channel, struct event_base *base, int in, int out,
		  enum channel_role role, const char *peer,
		  const struct channel_callbacks *callbacks, void *ctx, struct why *why);

/* channel_free: at once; NULL does nothing. A TLS server that has refused its peer still lets its
 * alert reach it. */
void channel_free(struct channel *channel);

/* channel_send: a request or response, as the role has it. Returns 0 or -EMSGSIZE, -ENOMEM. */
int channel_send(struct channel *channel, uint32_t code, const void *params, size_t len);

/* channel_pause, channel_resume: whether messages are taken; what comes meanwhile waits. */
void channel_pause(struct channel *channel);
void channel_resume(struct channel *channel);

/* channel_tls_session: NULL if it is not TLS. */
SSL *channel_tls_session(struct channel *channel);

#endif
