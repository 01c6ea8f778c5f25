/*
 * wire.h - messages of vtpm/migration.h to and from a peer that is known: over TLS, or over the
 * pipes to and from ssh, which has authenticated it.
 */
#ifndef MIGRATION_WIRE_H
#define MIGRATION_WIRE_H

#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>

#include <vtpm/codec.h>

#include "migration/tls.h"
#include "migration/why.h"

struct wire;

/* Called from the event loop. None may free the wire but closed, which must be the last. */
struct wire_callbacks {
	/* ready: the peer is who it has to be; messages may be sent from now on. */
	void (*ready)(void *ctx);
	/* received: one message; code is a request's ordinal or a response's status. */
	void (*received)(void *ctx, uint32_t code, struct reader params);
	/* closed: nothing more will come; why names the peer and the cause. error is -EACCES when
	 * one of the two does not trust the other, else another negative errno. */
	void (*closed)(void *ctx, int error, const struct why *why);
};

enum wire_role {
	WIRE_CLIENT, /* sends requests, receives responses */
	WIRE_SERVER,
};

/*
 * wire_tls: over a connected, non-blocking socket, which is the wire's from now on, also on
 * failure. peer is the peer's name or address in messages, copied; with WIRE_CLIENT host is the
 * host that it must be. Returns 0 or a negative errno, with *why.
 */
int wire_tls(struct wire **wire, struct event_base *base, int fd, enum wire_role role,
	     const struct tls_files *files, const char *host, const char *peer,
	     const struct wire_callbacks *callbacks, void *ctx, struct why *why);

/*
 * wire_pipes: over two descriptors, which may be one and the same; the rest as above. ready is
 * called from the loop, too.
 */
int wire_pipes(struct wire **wire, struct event_base *base, int in, int out, enum wire_role role,
	       const char *peer, const struct wire_callbacks *callbacks, void *ctx,
	       struct why *why);

/* wire_free: at once; NULL does nothing. A TLS server that has refused its peer still lets its
 * alert reach it. */
void wire_free(struct wire *wire);

/* wire_send: a request or response, as the role has it. Returns 0 or -EMSGSIZE, -ENOMEM. */
int wire_send(struct wire *wire, uint32_t code, const void *params, size_t len);

/* wire_pause, wire_resume: whether messages are taken; what comes meanwhile waits. */
void wire_pause(struct wire *wire);
void wire_resume(struct wire *wire);

/* wire_tls_session: NULL if it is not TLS. */
SSL *wire_tls_session(struct wire *wire);

#endif
