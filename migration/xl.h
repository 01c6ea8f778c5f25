/*
 * xl.h - xl migrate as a child of vtpm_migrator.
 */
#ifndef MIGRATION_XL_H
#define MIGRATION_XL_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "migration/migrator_options.h"
#include "migration/why.h"

struct xl {
	struct event_base *base;
	struct event *ends;
	pid_t pid;
	bool ended;
	int status; /* of waitpid, once it has ended */
};

/*
 * xl_start: xl migrate of a domain to host, with the operator's options. The terminal's interrupt
 * does not reach it. When it ends, ended is set and the event loop broken. What it says goes to
 * standard error. Returns 0 or a negative errno, with *why; then xl_free is not needed.
 */
int xl_start(struct xl *xl, struct event_base *base, const struct migrator_options *options,
	     uint32_t domain, const char *host, struct why *why);

/* xl_stop: ends it and waits for that; only before the domain is suspended, for it does not resume
 * it. */
void xl_stop(struct xl *xl);

/* xl_free: waits for its end. */
void xl_free(struct xl *xl);

/* xl_result: of one that has ended: 0, or -ECANCELED with *why. */
int xl_result(const struct xl *xl, struct why *why);

#endif
