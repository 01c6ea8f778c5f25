/*
 * relay.h - one peer of vtpm_migratord: its requests go to this host's manager, as far as a list
 * allows, with its name behind the parameters, and the manager's responses back.
 */
#ifndef MIGRATION_RELAY_H
#define MIGRATION_RELAY_H

#include <event2/event.h>
#include <stdbool.h>

#include "migration/wire.h"

struct relay;

struct relay_options {
	const char *run_dir; /* of the manager */
	const char *name;    /* this host's, for HELLO */
};

/* Called from the loop. */
struct relay_callbacks {
	void (*known)(void *ctx);  /* the peer has proved who it is */
	void (*closed)(void *ctx); /* the relay is gone */
};

/*
 * relay_tls: serves a peer that has just connected (the socket is the relay's from now on, also on
 * failure; address is for messages). relay_pipes: serves one that ssh has authenticated. Return 0
 * or a negative errno, with *why. The relay frees itself when the peer closes, breaks the protocol
 * or is too slow.
 */
int relay_tls(struct relay **relay, struct event_base *base, int fd, const char *address,
	      const struct tls_files *files, const struct relay_options *options,
	      const struct relay_callbacks *callbacks, void *ctx, struct why *why);
int relay_pipes(struct relay **relay, struct event_base *base, int in, int out,
		const struct relay_options *options, const struct relay_callbacks *callbacks,
		void *ctx, struct why *why);

/* relay_close: ends it, saying why in the log; closed is called. */
void relay_close(struct relay *relay, const char *why);

#endif
