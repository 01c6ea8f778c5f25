/*
 * emulated.h - the physical TPM of a host without one: a vtpmd that stands alone.
 *
 * It outlives the manager, as a chip would; the next manager finds it by its socket.
 */
#ifndef MANAGER_EMULATED_H
#define MANAGER_EMULATED_H

#include <event2/event.h>

#include "manager/options.h"

struct emulated;

/*
 * emulated_start: sees to it that one is running on these folders, and watches it from base: one
 * that dies is started again. Waits until it listens. NULL after the reason was logged.
 */
struct emulated *emulated_start(const struct options *options, struct event_base *base);

/* emulated_address: for physical_tpm_open. */
const char *emulated_address(const struct emulated *emulated);

/* emulated_stop: ends it. emulated_leave: leaves it running. Both free; NULL does nothing. */
void emulated_stop(struct emulated *emulated);
void emulated_leave(struct emulated *emulated);

#endif
