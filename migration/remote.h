/*
 * remote.h - vtpm_migrator's way to the vtpm_migratord of another host.
 *
 * Every request of the protocol may be repeated. So when a connection breaks or an answer fails to
 * come, a call connects again and repeats itself until its time is over; what has been done is done
 * once.
 */
#ifndef MIGRATION_REMOTE_H
#define MIGRATION_REMOTE_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vtpm/codec.h>

#include "migration/tls.h"
#include "migration/why.h"

struct remote;

struct remote_options {
	struct tls_files tls;
	const char *address;     /* instead of the host's own, as vtpm/addr.h has it; or NULL */
	const char *ssh_command; /* run by sh, its standard input and output are the wire; or
				    NULL for TLS. HOST is in its environment. */
	const char *name;        /* this host's, for the other one; NULL: the certificate's */
	unsigned seconds;        /* how long a call tries */
};

/*
 * remote_new: host as the operator names it. Nothing is connected yet. The options must outlive it.
 * Returns 0 or a negative errno, with *why. The caller ends it with remote_free (NULL is nothing).
 */
int remote_new(struct remote **remote, struct event_base *base, const char *host,
	       const struct remote_options *options, struct why *why);
void remote_free(struct remote *remote);

/* remote_host: as given to remote_new. */
const char *remote_host(const struct remote *remote);

/*
 * remote_rename: this host calls itself by another name from now on, which its certificate must
 * cover: the name by which the other host knows it.
 */
void remote_rename(struct remote *remote, const char *name);

/*
 * remote_call: one request; the event loop runs meanwhile. extra is milliseconds that the other
 * side may take on top. On success *answer reads the response's parameters, good until the next
 * call. Returns 0; -EREMOTEIO when the other host refused (*status says how, status may be NULL);
 * -EACCES when one of the hosts is not trusted by the other; or another negative errno when it
 * could not be reached; all with *why.
 */
int remote_call(struct remote *remote, uint32_t ordinal, const void *params, size_t len,
		unsigned extra, struct reader *answer, uint32_t *status, struct why *why);

/* remote_bytes: bytes of messages sent and received so far. */
uint64_t remote_bytes(const struct remote *remote);

#endif
