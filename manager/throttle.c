#include "manager/throttle.h"

#include <stdlib.h>

struct throttle {
	struct event *timer;
	struct timeval window;
	unsigned burst;
	unsigned used;
	bool refused;
	void (*resume)(void *ctx);
	void *ctx;
};

static void
on_window_end(evutil_socket_t fd, short what, void *arg)
{
	struct throttle *t = arg;
	bool refused = t->refused;

	(void)fd;
	(void)what;
	t->used = 0;
	t->refused = false;
	if (refused)
		t->resume(t->ctx);
}

struct throttle *
throttle_new(struct event_base *base, unsigned burst, unsigned window_ms, void (*resume)(void *ctx),
	     void *ctx)
{
	struct throttle *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->burst = burst;
	t->window.tv_sec = window_ms / 1000;
	t->window.tv_usec = (suseconds_t)(window_ms % 1000) * 1000;
	t->resume = resume;
	t->ctx = ctx;
	t->timer = evtimer_new(base, on_window_end, t);
	if (!t->timer) {
		free(t);
		return NULL;
	}
	return t;
}

void
throttle_free(struct throttle *t)
{
	if (!t)
		return;
	event_free(t->timer);
	free(t);
}

bool
throttle_allow(struct throttle *t)
{
	/* The window opens with its first event: an idle guest costs no timer. */
	if (t->used == 0)
		evtimer_add(t->timer, &t->window);
	if (t->used < t->burst) {
		t->used++;
		return true;
	}
	t->refused = true;
	return false;
}
