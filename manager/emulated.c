#include "manager/emulated.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vtpm/addr.h>
#include <vtpm/log.h>

#include "manager/process.h"

enum {
	PATH_SIZE = 512,
	LISTEN_POLL_MS = 10,
	LISTEN_POLLS = 3000,
	RESTART_SECONDS = 1,
};

struct emulated {
	const struct options *options;
	struct event_base *base;
	char state[PATH_SIZE];
	char address[PATH_SIZE]; /* socket:unix:PATH */
	const char *raw;         /* unix:PATH, within address */
	struct process process;
	struct event *restart;
};

static void exited(void *ctx, int status);

static int
start(struct emulated *emulated)
{
	const struct options *options = emulated->options;
	const struct process_plan plan = {
		.program = options->vtpmd,
		.args = { "vtpmd", "--run-dir", options->run_dir, "--state", emulated->state,
			  "--raw", emulated->raw, "--log-level", options->log_level, "clear", "pvm",
			  "0" },
	};
	int rc = process_start(&emulated->process, &plan, emulated->base, exited, emulated);

	if (rc < 0)
		log_error("emulated TPM: cannot start %s: %s; see --vtpmd", options->vtpmd,
			  strerror(-rc));
	return rc;
}

static void
start_again(evutil_socket_t fd, short what, void *arg)
{
	struct timeval pause = { .tv_sec = RESTART_SECONDS };
	struct emulated *emulated = arg;

	(void)fd;
	(void)what;
	if (start(emulated) < 0)
		event_add(emulated->restart, &pause);
}

static void
exited(void *ctx, int status)
{
	struct timeval pause = { .tv_sec = RESTART_SECONDS };
	struct emulated *emulated = ctx;
	char how[64];

	log_error("emulated TPM: ended with %s; it is started again",
		  process_describe(status, how, sizeof(how)));
	event_add(emulated->restart, &pause);
}

/* The pid of who listens there, 0 if nobody does. */
static pid_t
listener_pid(const struct emulated *emulated)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);
	struct addr addr;

	if (addr_parse(&addr, emulated->raw, ADDR_ANY) < 0)
		return 0;
	int fd = addr_connect(&addr);
	if (fd < 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		cred.pid = 0;
	close(fd);
	return cred.pid;
}

/* Waits until it listens, or has died. */
static int
wait_listening(const struct emulated *emulated)
{
	struct pollfd pfd = { .fd = emulated->process.pidfd, .events = POLLIN };

	for (int i = 0; i < LISTEN_POLLS; i++) {
		if (listener_pid(emulated) != 0)
			return 0;
		if (poll(&pfd, 1, LISTEN_POLL_MS) > 0)
			return -ECHILD;
	}
	return -ETIMEDOUT;
}

static int
adopt_or_start(struct emulated *emulated)
{
	pid_t pid = listener_pid(emulated);

	if (pid != 0)
		return process_adopt(&emulated->process, pid, process_start_time(pid),
				     emulated->base, exited, emulated);
	int rc = start(emulated);
	if (rc == 0)
		rc = wait_listening(emulated);
	return rc;
}

struct emulated *
emulated_start(const struct options *options, struct event_base *base)
{
	static const char scheme[] = "socket:";
	struct emulated *emulated = calloc(1, sizeof(*emulated));

	if (!emulated)
		return NULL;
	emulated->options = options;
	emulated->base = base;
	snprintf(emulated->state, sizeof(emulated->state), "%s/emulated-tpm.data",
		 options->state_dir);
	snprintf(emulated->address, sizeof(emulated->address),
		 "%sunix:%s/socks/emulated-tpm.socket", scheme, options->run_dir);
	emulated->raw = emulated->address + strlen(scheme);
	emulated->restart = evtimer_new(base, start_again, emulated);
	int rc = emulated->restart ? adopt_or_start(emulated) : -ENOMEM;
	if (rc < 0) {
		log_error("emulated TPM: does not listen at %s (state in %s): %s", emulated->raw,
			  emulated->state, rc == -ECHILD ? "it ended, see above" : strerror(-rc));
		emulated_stop(emulated);
		return NULL;
	}
	return emulated;
}

const char *
emulated_address(const struct emulated *emulated)
{
	return emulated->address;
}

void
emulated_stop(struct emulated *emulated)
{
	if (emulated)
		process_signal(&emulated->process, SIGTERM);
	emulated_leave(emulated);
}

void
emulated_leave(struct emulated *emulated)
{
	if (!emulated)
		return;
	process_leave(&emulated->process);
	if (emulated->restart)
		event_free(emulated->restart);
	free(emulated);
}
