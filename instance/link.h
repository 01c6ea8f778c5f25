/*
 * link.h - an instance's own requests to its manager, over its pair of pipes.
 *
 * One request at a time; the caller waits. Nothing else goes on meanwhile: what is asked for (the
 * NVM loaded or saved) is what the next answer to the guest depends on.
 */
#ifndef INSTANCE_LINK_H
#define INSTANCE_LINK_H

#include "instance/image.h"
#include "instance/signals.h"

struct link;

/*
 * link_open: opens the pipes below run_dir. signals must outlive the link. Returns 0, or a negative
 * errno after having logged what is wrong. To be closed with link_close.
 */
int link_open(const char *run_dir, uint32_t instance, struct signals *signals, struct link **link);
void link_close(struct link *link);

/*
 * link_request: sends a request with these parameters and waits for its answer, sending it again
 * to a new manager when VTPM_SIGNAL_REOPEN says that there is one. answer gets the parameters of
 * the response, and may be NULL. Returns 0; -EREMOTEIO when the manager refused, -EOPNOTSUPP when
 * it does not know such a request, -EBADMSG when its
 * answer made no sense, -EINTR when told to close while waiting, or another negative errno; all
 * have been logged.
 */
int link_request(struct link *link, uint32_t ordinal, const void *params, size_t len,
		 struct blob *answer);

#endif
