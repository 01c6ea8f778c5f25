#include "instance/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct conn {
	const struct conn_handler *handler;
	void *ctx;
	int in_fd;
	int out_fd;
	int passed_fd;
	bool is_socket;
	bool leaves;    /* input is only looked at, until it is taken */
	size_t seen;    /* bytes in the socket that are, or were, in `in` */
	bool ended;     /* no more input will come */
	bool finishing; /* no more input is wanted */
	int error;      /* why it failed, as negative errno */
	size_t in_max;
	struct evbuffer *in;
	struct evbuffer *out;
	struct event *readable;
	struct event *writable;
	struct event *turn;
};

/* Keeps the last descriptor of the message and closes what else was passed. */
static void
keep_passed_fd(struct conn *conn, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			if (conn->passed_fd >= 0)
				close(conn->passed_fd);
			memcpy(&conn->passed_fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
		}
	}
}

static ssize_t
receive(struct conn *conn, void *data, size_t len)
{
	char control[CMSG_SPACE(4 * sizeof(int))] __attribute__((aligned(8)));
	struct iovec iov = { .iov_base = data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };

	if (!conn->is_socket)
		return read(conn->in_fd, data, len);
	ssize_t n = recvmsg(conn->in_fd, &msg, MSG_CMSG_CLOEXEC);
	if (n >= 0)
		keep_passed_fd(conn, &msg);
	return n;
}

/* Looks at all the input there is, from the one that was not taken yet on. */
static ssize_t
look(struct conn *conn, void *data, size_t len)
{
	struct pollfd end = { .fd = conn->in_fd, .events = POLLRDHUP };

	ssize_t n = recv(conn->in_fd, data, len < conn->in_max ? len : conn->in_max, MSG_PEEK);
	evbuffer_drain(conn->in, evbuffer_get_length(conn->in));
	conn->seen = n > 0 ? (size_t)n : 0;
	/* An end of file cannot be seen behind input that stays. */
	if (n > 0 && conn->seen < conn->in_max && poll(&end, 1, 0) > 0)
		conn->ended = true;
	return n;
}

void
conn_take(struct conn *conn)
{
	uint8_t taken[4096];
	size_t rest = conn->leaves ? conn->seen - evbuffer_get_length(conn->in) : 0;

	while (rest > 0) {
		size_t want = rest < sizeof(taken) ? rest : sizeof(taken);

		ssize_t n = recv(conn->in_fd, taken, want, 0);
		if (n <= 0)
			break;
		rest -= (size_t)n;
		conn->seen -= (size_t)n;
		explicit_bzero(taken, (size_t)n);
		/* There may be more behind it, which was announced already. */
		event_active(conn->readable, EV_READ, 0);
	}
}

/* Reports the end of the connection; it may be freed in here. */
static void
report_end(struct conn *conn)
{
	event_del(conn->readable);
	event_del(conn->writable);
	event_del(conn->turn);
	conn->handler->closed(conn->ctx, conn->error);
}

static void
fail(struct conn *conn, int error)
{
	conn->error = error;
	/* The owner may be in the middle of something: tell it from the loop. */
	event_active(conn->turn, EV_TIMEOUT, 0);
}

/* Gives the owner one message's time, then sees what to wait for next. */
static void
take_turn(struct conn *conn)
{
	if (conn->error < 0) {
		report_end(conn);
		return;
	}
	if (evbuffer_get_length(conn->out) > 0)
		return;
	bool more = !conn->finishing && conn->handler->input(conn->ctx, conn->in);
	conn_take(conn);
	if (conn->error < 0 || evbuffer_get_length(conn->out) > 0)
		return;
	if (conn->finishing || (conn->ended && !more)) {
		report_end(conn);
		return;
	}
	if (more)
		event_active(conn->turn, EV_TIMEOUT, 0);
	if (!conn->ended && evbuffer_get_length(conn->in) < conn->in_max &&
	    !event_pending(conn->readable, EV_READ, NULL))
		event_add(conn->readable, NULL);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;
	uint8_t chunk[16384];

	(void)fd;
	(void)what;
	size_t room = conn->in_max - evbuffer_get_length(conn->in);
	if (conn->handler->readable)
		conn->handler->readable(conn->ctx);
	ssize_t n = conn->leaves
			? look(conn, chunk, sizeof(chunk))
			: receive(conn, chunk, room < sizeof(chunk) ? room : sizeof(chunk));
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		conn->error = -errno;
	else if (n > 0 && evbuffer_add(conn->in, chunk, (size_t)n) < 0)
		conn->error = -ENOMEM;
	if (n == 0)
		conn->ended = true;
	if (conn->ended || evbuffer_get_length(conn->in) >= conn->in_max)
		event_del(conn->readable);
	explicit_bzero(chunk, n > 0 ? (size_t)n : 0);
	take_turn(conn);
}

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	take_turn(arg);
}

static void
wait_writable(struct conn *conn)
{
	static const struct timeval patience = { .tv_sec = CONN_SEND_SECONDS };

	/* A pipe belongs to the manager, which may be restarting: it has all the time it wants. */
	event_add(conn->writable, conn->is_socket ? &patience : NULL);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;

	if (what & EV_TIMEOUT) {
		conn->error = -ETIMEDOUT;
		report_end(conn);
		return;
	}
	if (evbuffer_write(conn->out, fd) < 0 && errno != EAGAIN && errno != EINTR) {
		conn->error = -errno;
		report_end(conn);
	} else if (evbuffer_get_length(conn->out) > 0) {
		wait_writable(conn);
	} else {
		take_turn(conn);
	}
}

struct conn *
conn_new(struct event_base *base, int in_fd, int out_fd, size_t in_max,
	 const struct conn_handler *handler, void *ctx)
{
	struct conn *conn = calloc(1, sizeof(*conn));
	struct stat st;

	if (!conn) {
		close(in_fd);
		if (out_fd != in_fd)
			close(out_fd);
		return NULL;
	}
	conn->handler = handler;
	conn->ctx = ctx;
	conn->in_fd = in_fd;
	conn->out_fd = out_fd;
	conn->passed_fd = -1;
	conn->is_socket = fstat(in_fd, &st) == 0 && S_ISSOCK(st.st_mode);
	conn->in_max = in_max;
	conn->in = evbuffer_new();
	conn->out = evbuffer_new();
	conn->readable = event_new(base, in_fd, EV_READ | EV_PERSIST, on_readable, conn);
	conn->writable = event_new(base, out_fd, EV_WRITE, on_writable, conn);
	conn->turn = event_new(base, -1, 0, on_turn, conn);
	if (!conn->in || !conn->out || !conn->readable || !conn->writable || !conn->turn ||
	    event_add(conn->readable, NULL) < 0) {
		conn_free(conn);
		return NULL;
	}
	return conn;
}

int
conn_leave_input(struct conn *conn)
{
	struct event_base *base = event_get_base(conn->readable);

	/* Input that stays is news only once. */
	event_free(conn->readable);
	conn->readable =
	    event_new(base, conn->in_fd, EV_READ | EV_PERSIST | EV_ET, on_readable, conn);
	conn->leaves = true;
	return conn->readable && event_add(conn->readable, NULL) == 0 ? 0 : -ENOMEM;
}

void
conn_free(struct conn *conn)
{
	if (!conn)
		return;
	struct event **events[] = { &conn->readable, &conn->writable, &conn->turn };
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		if (*events[i])
			event_free(*events[i]);
	}
	if (conn->in)
		evbuffer_free(conn->in);
	if (conn->out)
		evbuffer_free(conn->out);
	if (conn->passed_fd >= 0)
		close(conn->passed_fd);
	close(conn->in_fd);
	if (conn->out_fd != conn->in_fd)
		close(conn->out_fd);
	free(conn);
}

void
conn_send(struct conn *conn, const void *data, size_t len)
{
	const uint8_t *rest = data;

	if (conn->error < 0)
		return;
	/* Nearly always the peer waits for it: no detour over the loop. */
	if (evbuffer_get_length(conn->out) == 0) {
		ssize_t n = conn->is_socket ? send(conn->out_fd, rest, len, MSG_NOSIGNAL)
					    : write(conn->out_fd, rest, len);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			fail(conn, -errno);
			return;
		}
		if (n > 0) {
			rest += n;
			len -= (size_t)n;
		}
		if (len == 0)
			return;
		wait_writable(conn);
	}
	if (evbuffer_add(conn->out, rest, len) < 0)
		fail(conn, -ENOMEM);
}

void
conn_finish(struct conn *conn)
{
	conn->finishing = true;
	event_active(conn->turn, EV_TIMEOUT, 0);
}

int
conn_fd(const struct conn *conn)
{
	return conn->in_fd;
}

bool
conn_has_input(const struct conn *conn)
{
	int waiting = 0;

	return evbuffer_get_length(conn->in) > 0 ||
	       (ioctl(conn->in_fd, FIONREAD, &waiting) == 0 && waiting > 0);
}

int
conn_take_fd(struct conn *conn)
{
	int fd = conn->passed_fd;

	conn->passed_fd = -1;
	return fd;
}
