#include "instance/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <vtpm/manager.h>

void
signals_ask(struct signals *signals)
{
	struct signalfd_siginfo info;
	bool any = false;

	while (read(signals->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		int number = (int)info.ssi_signo;

		signals->close |= number == VTPM_SIGNAL_CLOSE || number == SIGINT;
		signals->cancel |= number == VTPM_SIGNAL_CANCEL;
		signals->reopens += number == VTPM_SIGNAL_REOPEN;
		any = true;
	}
	/* The loop will not see what was read here. */
	if (any)
		event_active(signals->event, EV_TIMEOUT, 0);
}

static void
on_signal(evutil_socket_t fd, short what, void *arg)
{
	struct signals *signals = arg;

	(void)fd;
	/* Both at once, when a command that ran meanwhile has asked. */
	if (what & EV_READ)
		signals_ask(signals);
	if (what & EV_TIMEOUT)
		signals->changed(signals->ctx);
}

int
signals_open(struct signals *signals, struct event_base *base, void (*changed)(void *ctx),
	     void *ctx)
{
	sigset_t set;

	*signals = (struct signals) { .fd = -1, .changed = changed, .ctx = ctx };
	sigemptyset(&set);
	sigaddset(&set, VTPM_SIGNAL_CLOSE);
	sigaddset(&set, VTPM_SIGNAL_REOPEN);
	sigaddset(&set, VTPM_SIGNAL_CANCEL);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	signals->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (signals->fd < 0)
		return -errno;
	signals->event = event_new(base, signals->fd, EV_READ | EV_PERSIST, on_signal, signals);
	if (!signals->event || event_add(signals->event, NULL) < 0) {
		signals_close(signals);
		return -ENOMEM;
	}
	return 0;
}

void
signals_close(struct signals *signals)
{
	if (signals->event)
		event_free(signals->event);
	if (signals->fd >= 0)
		close(signals->fd);
	signals->event = NULL;
	signals->fd = -1;
}
