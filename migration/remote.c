#include "migration/remote.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <vtpm/addr.h>
#include <vtpm/manager.h>
#include <vtpm/message.h>
#include <vtpm/migration.h>

#include "migration/wire.h"
#include "migration/host_name.h"

enum {
	/* One attempt gets this part of a call's time. */
	ATTEMPTS = 3,
	PAUSE_MS = 200,
};

struct remote {
	struct event_base *base;
	const struct remote_options *options;
	char host[HOST_ADDRESS_SIZE];    /* as the operator gave it */
	char name[HOST_NAME_SIZE];       /* without port */
	char address[HOST_ADDRESS_SIZE]; /* to connect to */
	char own[HOST_NAME_SIZE];        /* what this host calls itself */
	bool met;                        /* it has answered once */
	struct event *timer;

	struct wire *wire; /* NULL: not connected */
	pid_t ssh;
	bool greeted;
	bool ready;
	bool closed;
	bool timed_out;
	bool answered;
	uint32_t status;
	uint8_t *response;
	size_t response_len;
	uint64_t bytes;
	int error; /* why it is closed */
	struct why why;
};

static void
on_ready(void *ctx)
{
	struct remote *remote = ctx;

	remote->ready = true;
	event_base_loopbreak(remote->base);
}

static void
on_received(void *ctx, uint32_t status, struct reader params)
{
	struct remote *remote = ctx;

	/* An answer that nobody waits for: answers and requests are out of step. */
	if (remote->answered) {
		remote->closed = true;
		remote->error = why_set(&remote->why, -EBADMSG, "%s answers what it was not asked",
					remote->name);
		return;
	}
	remote->response = malloc(params.left + 1);
	if (!remote->response)
		return;
	reader_bytes(&params, remote->response, remote->response_len = params.left);
	remote->bytes += VTPM_HEADER_SIZE + remote->response_len;
	remote->status = status;
	remote->answered = true;
	event_base_loopbreak(remote->base);
}

static void
on_closed(void *ctx, int error, const struct why *why)
{
	struct remote *remote = ctx;

	remote->error = error;
	remote->why = *why;
	remote->closed = true;
	event_base_loopbreak(remote->base);
}

static const struct wire_callbacks callbacks = {
	.ready = on_ready,
	.received = on_received,
	.closed = on_closed,
};

static void
time_over(evutil_socket_t fd, short what, void *arg)
{
	struct remote *remote = arg;

	(void)fd;
	(void)what;
	remote->timed_out = true;
	event_base_loopbreak(remote->base);
}

/* Runs the loop until *flag is set. */
static int
wait_for(struct remote *remote, const bool *flag, unsigned ms)
{
	struct timeval limit = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	remote->timed_out = false;
	event_add(remote->timer, &limit);
	while (!*flag && !remote->closed && !remote->timed_out)
		event_base_loop(remote->base, EVLOOP_ONCE);
	event_del(remote->timer);
	if (*flag)
		return 0;
	if (remote->closed)
		return remote->error;
	return why_set(&remote->why, -ETIMEDOUT, "%s does not answer", remote->name);
}

static void
disconnect(struct remote *remote)
{
	wire_free(remote->wire);
	remote->wire = NULL;
	remote->greeted = false;
	if (remote->ssh > 0) {
		kill(remote->ssh, SIGTERM);
		waitpid(remote->ssh, NULL, 0);
	}
	remote->ssh = 0;
}

/*
 * ssh on a socket pair. It must not see the terminal's interrupt: this program decides when to
 * stop.
 */
static int
start_ssh(struct remote *remote)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	remote->ssh = fork();
	if (remote->ssh == 0) {
		signal(SIGINT, SIG_IGN);
		if (dup2(pair[1], STDIN_FILENO) >= 0 && dup2(pair[1], STDOUT_FILENO) >= 0 &&
		    setenv("HOST", remote->name, 1) == 0)
			execl("/bin/sh", "sh", "-c", remote->options->ssh_command, (char *)NULL);
		_exit(127);
	}
	int error = errno;
	close(pair[1]);
	if (remote->ssh > 0)
		return pair[0];
	close(pair[0]);
	return -error;
}

static int
finish_connect(int fd, unsigned ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof(int);
	int error = 0;

	if (poll(&pfd, 1, (int)ms) <= 0)
		return -ETIMEDOUT;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	return -error;
}

/* Returns the socket, non-blocking. */
static int
connect_to(const char *address, unsigned ms)
{
	struct addr addr;
	int on = 1;

	int rc = addr_parse(&addr, address, ADDR_ANY);
	if (rc < 0)
		return rc;
	int fd = socket(addr.sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* Requests are single writes: waiting to fill a segment only costs time. */
	if (addr.sa.ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	rc = connect(fd, (const void *)&addr.sa, addr.len) == 0 ? 0 : -errno;
	if (rc == -EINPROGRESS)
		rc = finish_connect(fd, ms);
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

static int
open_wire(struct remote *remote, unsigned ms)
{
	const struct remote_options *options = remote->options;
	bool ssh = options->ssh_command != NULL;

	remote->ready = remote->closed = remote->answered = false;
	int fd = ssh ? start_ssh(remote) : connect_to(remote->address, ms);
	if (fd < 0)
		return why_set(&remote->why, fd, "cannot reach %s (%s): %s", remote->host,
			       ssh ? options->ssh_command : remote->address, strerror(-fd));
	return ssh ? wire_pipes(&remote->wire, remote->base, fd, fd, WIRE_CLIENT, remote->name,
				&callbacks, remote, &remote->why)
		   : wire_tls(&remote->wire, remote->base, fd, WIRE_CLIENT, &options->tls,
			      remote->name, remote->name, &callbacks, remote, &remote->why);
}

/* One request on the wire as it is, and its response. */
static int
exchange(struct remote *remote, uint32_t ordinal, const void *params, size_t len, unsigned ms)
{
	free(remote->response);
	remote->response = NULL;
	remote->answered = false;
	int rc = wire_send(remote->wire, ordinal, params, len);
	if (rc < 0)
		return why_set(&remote->why, rc, "cannot send %zu bytes to %s: %s", len,
			       remote->name, strerror(-rc));
	remote->bytes += VTPM_HEADER_SIZE + len;
	return wait_for(remote, &remote->answered, ms);
}

/* The response's text, if it is a refusal. */
static int
look_at_status(struct remote *remote)
{
	if (remote->status == VTPM_SUCCESS)
		return 0;
	if (remote->response_len == 0)
		return why_set(&remote->why, -EREMOTEIO, "%s: %s", remote->name,
			       message_status_text(remote->status));
	return why_set(&remote->why, -EREMOTEIO, "%s: %.*s", remote->name,
		       (int)remote->response_len, (const char *)remote->response);
}

static void
choose_own_name(struct remote *remote)
{
	SSL *ssl = wire_tls_session(remote->wire);

	if (remote->own[0])
		return;
	if (remote->options->name)
		snprintf(remote->own, sizeof(remote->own), "%s", remote->options->name);
	else if (!ssl || !tls_own_name(ssl, remote->own, sizeof(remote->own)))
		host_own_name(remote->own);
}

static int
say_hello(struct remote *remote, unsigned ms)
{
	uint8_t buf[8 + HOST_NAME_SIZE];
	struct writer w = writer_of(buf, sizeof(buf));

	choose_own_name(remote);
	writer_u32(&w, VTPM_MIGRATION_VERSION);
	writer_sized(&w, remote->own, strlen(remote->own));
	int rc = exchange(remote, VTPM_ORD_HELLO, w.buf, w.len, ms);
	if (rc < 0)
		return rc;
	rc = look_at_status(remote);
	if (rc < 0)
		return rc;
	struct reader r = reader_of(remote->response, remote->response_len);
	if (reader_u32(&r) != VTPM_MIGRATION_VERSION)
		return why_set(&remote->why, -EPROTO,
			       "%s speaks another version of the migration protocol", remote->name);
	remote->greeted = true;
	return 0;
}

static int
attempt(struct remote *remote, uint32_t ordinal, const void *params, size_t len, unsigned ms,
	unsigned extra)
{
	int rc = 0;

	if (!remote->wire)
		rc = open_wire(remote, ms);
	if (rc == 0)
		rc = wait_for(remote, &remote->ready, ms);
	if (rc == 0 && !remote->greeted)
		rc = say_hello(remote, ms);
	if (rc == 0)
		rc = exchange(remote, ordinal, params, len, ms + extra);
	return rc;
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* What another attempt does not change, or is not worth waiting for: nothing has begun yet. */
static bool
is_final(const struct remote *remote, int rc)
{
	static const int always[] = { -EACCES, -EREMOTEIO, -EPROTO, -EMSGSIZE, -EINVAL };
	static const int at_first[] = { -ECONNREFUSED, -EHOSTUNREACH, -ENETUNREACH, -ENOENT };

	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
		if (rc == always[i])
			return true;
	}
	for (size_t i = 0; !remote->met && i < sizeof(at_first) / sizeof(at_first[0]); i++) {
		if (rc == at_first[i])
			return true;
	}
	return false;
}

int
remote_call(struct remote *remote, uint32_t ordinal, const void *params, size_t len, unsigned extra,
	    struct reader *answer, uint32_t *status, struct why *why)
{
	unsigned ms = remote->options->seconds * 1000;
	int64_t deadline = now_ms() + ms + extra;
	bool never = false;
	int rc;

	for (;;) {
		rc = attempt(remote, ordinal, params, len, ms / ATTEMPTS, extra);
		if (rc == 0)
			break;
		disconnect(remote);
		if (is_final(remote, rc) || now_ms() >= deadline)
			return why_set(why, rc, "%s", remote->why.text);
		remote->closed = false;
		wait_for(remote, &never, PAUSE_MS);
	}
	remote->met = true;
	if (status)
		*status = remote->status;
	rc = look_at_status(remote);
	if (rc < 0)
		return why_set(why, rc, "%s", remote->why.text);
	*answer = reader_of(remote->response, remote->response_len);
	return 0;
}

int
remote_new(struct remote **out, struct event_base *base, const char *host,
	   const struct remote_options *options, struct why *why)
{
	struct remote *remote = calloc(1, sizeof(*remote));

	if (!remote)
		return why_set(why, -ENOMEM, "out of memory");
	remote->base = base;
	remote->options = options;
	snprintf(remote->host, sizeof(remote->host), "%s", host);
	remote->timer = evtimer_new(base, time_over, remote);
	if (!remote->timer || strlen(host) >= sizeof(remote->host) ||
	    !host_split(host, remote->name, remote->address)) {
		remote_free(remote);
		return why_set(why, -EINVAL,
			       "'%s' is not a host; give NAME, ADDRESS, NAME:PORT or [IPV6]:PORT",
			       host);
	}
	if (options->address)
		snprintf(remote->address, sizeof(remote->address), "%s", options->address);
	*out = remote;
	return 0;
}

void
remote_free(struct remote *remote)
{
	if (!remote)
		return;
	disconnect(remote);
	if (remote->timer)
		event_free(remote->timer);
	free(remote->response);
	free(remote);
}

const char *
remote_host(const struct remote *remote)
{
	return remote->host;
}

void
remote_rename(struct remote *remote, const char *name)
{
	snprintf(remote->own, sizeof(remote->own), "%s", name);
	remote->greeted = false;
}

uint64_t
remote_bytes(const struct remote *remote)
{
	return remote->bytes;
}
