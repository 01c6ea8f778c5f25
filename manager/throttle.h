/*
 * throttle.h - so many events in a while, the rest later: what one guest may cost.
 */
#ifndef MANAGER_THROTTLE_H
#define MANAGER_THROTTLE_H

#include <stdbool.h>

#include <event2/event.h>

struct throttle;

/*
 * throttle_new: allows burst events in each window of window_ms milliseconds. When events were
 * refused in a window, resume(ctx) is called once at its end. Returns NULL when memory is short.
 */
struct throttle *throttle_new(struct event_base *base, unsigned burst, unsigned window_ms,
			      void (*resume)(void *ctx), void *ctx);
void throttle_free(struct throttle *t);

/* throttle_allow: counts one event. Returns whether it may go on; if not, resume will be called. */
bool throttle_allow(struct throttle *t);

#endif
