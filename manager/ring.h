/*
 * ring.h - the back-end's side of one shared page (vtpm/ring.h).
 *
 * The page is the guest's and may change at any moment: header and packet are copied out once, all
 * decisions are made on the copies. One command at a time; what is not a TPM command at all is
 * answered here with a TPM error. A guest that notifies for nothing is listened to less often.
 */
#ifndef MANAGER_RING_H
#define MANAGER_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#include "manager/grants.h"

struct ring;

struct ring_ops {
	/*
	 * command: the guest submitted a TPM command, 10 to TPM_BUFFER_SIZE bytes, whose header
	 * says the same size, at a locality of 0-3. cmd lasts for the call. To be ended by one
	 * ring_respond or ring_abandon, at any time, also from within.
	 */
	void (*command)(void *ctx, unsigned locality, const uint8_t *cmd, size_t len);
	/* cancel: the guest does not want to wait for the running command. It is still to be ended;
	 * called once per command. */
	void (*cancel)(void *ctx);
	/* responded: the response is in the page, and the guest is told next. NULL is nothing. */
	void (*responded)(void *ctx);
};

/*
 * ring_open: maps the page that domid granted as ref and binds to its event channel port. Takes no
 * command yet: call ring_look once. grants and base must outlive the ring. Returns 0 or a negative
 * errno.
 */
int ring_open(struct grants *grants, struct event_base *base, uint32_t domid, uint32_t ref,
	      uint32_t port, const struct ring_ops *ops, void *ctx, struct ring **out);

/* ring_close: gives back all pages and the port at once; the page itself is left as it is, so that
 * a command that is still pending can be served by another back-end. NULL is nothing. */
void ring_close(struct ring *ring);

/* ring_port: our end of the event channel, as grants_pending yields it. */
int ring_port(const struct ring *ring);

/* ring_pending: whether a command waits in a page just mapped. */
bool ring_pending(const struct ring *ring);

/* ring_look: takes the command that may be waiting in a page just mapped, and tells the guest that
 * somebody is there. */
void ring_look(struct ring *ring);

/* ring_notified: grants_pending yielded ring_port; looks, and unmasks the port. */
void ring_notified(struct ring *ring);

/*
 * ring_respond: ends the command in flight with a TPM response; one that is longer than what the
 * guest granted room for becomes TPM_FAIL. ring_abandon: ends it without one.
 */
void ring_respond(struct ring *ring, const uint8_t *response, size_t len);
void ring_abandon(struct ring *ring);

/* ring_fail: ends the command in flight with an error response, a TPM_RESULT. */
void ring_fail(struct ring *ring, uint32_t result);

#endif
