#include "migration/xl.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS_MAX = MIGRATOR_XL_OPTIONS_MAX + 6 };

static void
child_ended(evutil_socket_t sig, short what, void *arg)
{
	struct xl *xl = arg;

	(void)sig;
	(void)what;
	if (!xl->ended && waitpid(xl->pid, &xl->status, WNOHANG) == xl->pid) {
		xl->ended = true;
		event_base_loopbreak(xl->base);
	}
}

static void
run(const struct migrator_options *options, const char *domain, const char *host)
{
	const char *words[WORDS_MAX];
	unsigned count = 0;

	words[count++] = options->xl;
	words[count++] = "migrate";
	for (unsigned i = 0; i < options->xl_option_count; i++)
		words[count++] = options->xl_options[i];
	words[count++] = domain;
	words[count++] = host;
	words[count] = NULL;
	/* This program decides when to stop; its standard output is for its own lines. */
	signal(SIGINT, SIG_IGN);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(STDERR_FILENO, STDOUT_FILENO) >= 0)
		execvp(options->xl, (char *const *)words);
	fprintf(stderr, "vtpm_migrator: cannot run %s: %s\n", options->xl, strerror(errno));
	_exit(127);
}

int
xl_start(struct xl *xl, struct event_base *base, const struct migrator_options *options,
	 uint32_t domain, const char *host, struct why *why)
{
	char id[16];

	snprintf(id, sizeof(id), "%u", domain);
	*xl = (struct xl) { .base = base };
	xl->ends = evsignal_new(base, SIGCHLD, child_ended, xl);
	if (!xl->ends || event_add(xl->ends, NULL) < 0)
		return why_set(why, -ENOMEM, "out of memory");
	xl->pid = fork();
	if (xl->pid == 0)
		run(options, id, host);
	if (xl->pid > 0)
		return 0;
	int error = errno;
	event_free(xl->ends);
	return why_set(why, -error, "cannot start %s: %s", options->xl, strerror(error));
}

static void
wait_for_end(struct xl *xl)
{
	while (!xl->ended && waitpid(xl->pid, &xl->status, 0) < 0 && errno == EINTR)
		continue;
	xl->ended = true;
}

void
xl_stop(struct xl *xl)
{
	if (!xl->ended)
		kill(xl->pid, SIGTERM);
	wait_for_end(xl);
}

void
xl_free(struct xl *xl)
{
	wait_for_end(xl);
	event_free(xl->ends);
}

int
xl_result(const struct xl *xl, struct why *why)
{
	if (WIFEXITED(xl->status) && WEXITSTATUS(xl->status) == 0)
		return 0;
	if (WIFEXITED(xl->status))
		return why_set(why, -ECANCELED, "xl migrate failed (exit status %d)",
			       WEXITSTATUS(xl->status));
	return why_set(why, -ECANCELED, "xl migrate was killed (signal %d)", WTERMSIG(xl->status));
}
