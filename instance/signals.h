/*
 * signals.h - the signals of vtpmd (vtpm/manager.h), as events of the loop that can also be asked
 * for while a command runs or the manager's answer is awaited.
 */
#ifndef INSTANCE_SIGNALS_H
#define INSTANCE_SIGNALS_H

#include <stdbool.h>

#include <event2/event.h>

struct signals {
	int fd;           /* readable when a signal is there that was not asked for yet */
	bool close;       /* VTPM_SIGNAL_CLOSE came */
	bool cancel;      /* VTPM_SIGNAL_CANCEL came; cleared by who cares */
	unsigned reopens; /* how often VTPM_SIGNAL_REOPEN came */
	struct event *event;
	void (*changed)(void *ctx);
	void *ctx;
};

/*
 * signals_open: takes the signals over; changed is called from the loop after one came, also if
 * signals_ask saw it first. Returns 0 or a negative errno. To be closed with signals_close.
 */
int signals_open(struct signals *signals, struct event_base *base, void (*changed)(void *ctx),
		 void *ctx);
void signals_close(struct signals *signals);

/* signals_ask: brings the fields up to date. Does not wait. */
void signals_ask(struct signals *signals);

#endif
