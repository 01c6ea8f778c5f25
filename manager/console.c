#include "manager/console.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vtpm/addr.h>
#include <vtpm/fifo.h>
#include <vtpm/log.h>
#include <vtpm/manager.h>
#include <vtpm/message.h>

#include "manager/channel.h"
#include "manager/manager.h"
#include "manager/request.h"

enum {
	PEERS_MAX = 128,
	PATH_SIZE = 512,
	ACCEPT_PAUSE_MS = 100,
	UNREAD_MAX = 256 * 1024,
	UNREAD_POLL_MS = 20,
	UNREAD_MAX_MS = 5000, /* after that, the reader of a response has died */
};

/* A connection, or the pipe pair. It has one request under way at a time. */
struct peer {
	struct console *console;
	struct channel *in;
	struct channel *out;     /* the same for a connection */
	bool busy;               /* a request is under way */
	bool gone;               /* that request will free the peer when it comes back */
	struct request *request; /* it has come back, its response is to be sent */
	uint32_t instance;       /* number in front of that request */

	/* The pipe pair only. */
	int out_fd;
	struct event *unread;
	unsigned unread_ms; /* how long the last response has been there */
};

struct console {
	struct manager *manager;
	struct event_base *base;
	int listening;
	struct event *connected;
	struct event *pause; /* ends the pause after a failure to accept */
	struct peer *pipes;
	struct peer *peers[PEERS_MAX];
};

/* NULL does nothing. */
static void
peer_free(struct peer *peer)
{
	if (!peer)
		return;
	for (unsigned i = 0; i < PEERS_MAX; i++) {
		if (peer->console->peers[i] == peer)
			peer->console->peers[i] = NULL;
	}
	if (peer->out != peer->in)
		channel_free(peer->out);
	channel_free(peer->in);
	if (peer->unread)
		event_free(peer->unread);
	free(peer);
}

static void
peer_closed(void *ctx)
{
	struct peer *peer = ctx;

	if (peer->busy)
		peer->gone = true;
	else
		peer_free(peer);
}

static void
send_response(struct peer *peer, uint32_t status, const void *params, size_t len)
{
	int rc = message_add(channel_output(peer->out), peer->instance, VTPM_TAG_RSP, status,
			     params, len);

	if (rc < 0)
		log_error("console: a response is lost: %s", strerror(-rc));
}

static void
send_refusal(struct peer *peer, uint32_t status, const char *text)
{
	log_warning("console: %s", text);
	send_response(peer, status, text, strlen(text));
}

/*
 * On the pipe to the console, a response that nobody has read yet would be taken for that of the
 * next request, or cut in two: the next one waits. One that is not read at all was for a script
 * that has died; it goes.
 */
static bool
last_response_gone(struct peer *peer)
{
	char junk[4096];
	int waiting = 0;

	if (ioctl(peer->out_fd, FIONREAD, &waiting) == 0 && waiting > 0 &&
	    peer->unread_ms >= UNREAD_MAX_MS) {
		log_warning("console: nobody reads a response on the pipe; it is dropped");
		while (read(peer->out_fd, junk, sizeof(junk)) > 0)
			continue;
		waiting = 0;
	}
	return waiting == 0 && evbuffer_get_length(channel_output(peer->out)) == 0;
}

/* Sends the response of the request and turns to the next one. */
static void
respond(struct peer *peer)
{
	struct timeval soon = { .tv_usec = UNREAD_POLL_MS * 1000 };
	struct request *request = peer->request;

	if (!peer->unread && evbuffer_get_length(channel_output(peer->out)) > UNREAD_MAX) {
		log_warning("console: a connection that asks and does not read is closed");
		request_free(request);
		peer_free(peer);
		return;
	}
	if (peer->unread && !last_response_gone(peer)) {
		peer->unread_ms += UNREAD_POLL_MS;
		event_add(peer->unread, &soon);
		return;
	}
	peer->unread_ms = 0;
	send_response(peer, request->status, request->response, request->response_len);
	peer->request = NULL;
	peer->busy = false;
	request_free(request);
	channel_resume(peer->in);
}

static void
look_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	respond(arg);
}

static void
request_done(struct request *request, void *ctx)
{
	struct peer *peer = ctx;

	if (peer->gone) {
		request_free(request);
		peer->busy = false;
		peer_free(peer);
		return;
	}
	peer->request = request;
	respond(peer);
}

static void
receive(void *ctx, enum stream_event event, const struct stream_message *message)
{
	struct peer *peer = ctx;
	struct manager *manager = peer->console->manager;
	struct message parts;

	peer->instance = message->instance;
	if (event == STREAM_BROKEN) {
		send_refusal(peer, VTPM_INVALID_REQUEST, "a message of absurd size");
		channel_close(peer->in);
		return;
	}
	if (event == STREAM_REFUSED ||
	    message_parse(&parts, message->instance, message->data, message->len) < 0 ||
	    parts.tag != VTPM_TAG_REQ) {
		send_refusal(peer, VTPM_INVALID_REQUEST, "a message that is no request");
		return;
	}
	if (request_start(manager, parts.code, parts.params.pos, parts.params.left,
			  manager->console_listener, request_done, peer) < 0) {
		send_refusal(peer, VTPM_FAIL, "out of memory");
		return;
	}
	peer->busy = true;
	channel_pause(peer->in);
}

static const struct channel_callbacks connection_callbacks = {
	.receive = receive,
	.closed = peer_closed,
};

static void
pipe_closed(void *ctx)
{
	(void)ctx;
	log_error("console: the pipe pair failed; use socks/manager.socket, or restart");
}

static const struct channel_callbacks pipe_callbacks_out = { .closed = pipe_closed };

static const struct channel_callbacks pipe_callbacks = {
	.receive = receive,
	.closed = pipe_closed,
};

static const struct intake_sync pipe_sync = {
	.name = "console",
	.first_tag = VTPM_TAG_REQ,
	.last_tag = VTPM_TAG_REQ,
};

static int
open_pipe(const struct console *console, const char *name)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "%s/%s", console->manager->options->run_dir, name);
	int fd = fifo_open(path);
	if (fd < 0)
		log_error("cannot open the pipe %s: %s", path, strerror(-fd));
	return fd;
}

static struct peer *
pipes_new(struct console *console)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	int in = peer ? open_pipe(console, VTPM_PATH_FROM_CONSOLE) : -ENOMEM;
	int out = in >= 0 ? open_pipe(console, VTPM_PATH_TO_CONSOLE) : in;

	if (!peer)
		return NULL;
	peer->console = console;
	peer->out_fd = out;
	if (out < 0)
		goto err1;
	peer->unread = evtimer_new(console->base, look_again, peer);
	peer->out =
	    channel_new(console->base, out, STREAM_MANAGER, NULL, &pipe_callbacks_out, peer);
	if (!peer->unread || !peer->out)
		goto err1;
	peer->in =
	    channel_new(console->base, in, STREAM_MANAGER, &pipe_sync, &pipe_callbacks, peer);
	if (!peer->in)
		goto err0;
	return peer;
err1:
	if (in >= 0)
		close(in);
err0:
	peer_free(peer);
	return NULL;
}

/* Only root and who runs the manager may tell it what to do. */
static bool
allowed(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return false;
	if (cred.uid == 0 || cred.uid == geteuid())
		return true;
	log_warning("console: a connection of user %u (pid %d) refused", (unsigned)cred.uid,
		    (int)cred.pid);
	return false;
}

static struct peer **
free_place(struct console *console)
{
	for (unsigned i = 0; i < PEERS_MAX; i++) {
		if (!console->peers[i])
			return &console->peers[i];
	}
	log_warning("console: %d connections at once; one more is refused", PEERS_MAX);
	return NULL;
}

static void
accept_again(evutil_socket_t fd, short what, void *arg)
{
	struct console *console = arg;

	(void)fd;
	(void)what;
	event_add(console->connected, NULL);
}

/* Without descriptors the connection stays where it is, and would wake the loop up for ever. */
static void
accept_failed(struct console *console, int error)
{
	struct timeval pause = { .tv_usec = ACCEPT_PAUSE_MS * 1000 };

	if (error == EAGAIN || error == EINTR || error == ECONNABORTED)
		return;
	log_warning("console: cannot accept a connection: %s", strerror(error));
	event_del(console->connected);
	event_add(console->pause, &pause);
}

static void
somebody_connects(evutil_socket_t listening, short what, void *arg)
{
	struct console *console = arg;
	int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (fd < 0) {
		accept_failed(console, errno);
		return;
	}
	struct peer **place = allowed(fd) ? free_place(console) : NULL;
	struct peer *peer = place ? calloc(1, sizeof(*peer)) : NULL;
	if (!peer) {
		close(fd);
		return;
	}
	peer->console = console;
	peer->in = peer->out =
	    channel_new(console->base, fd, STREAM_MANAGER, NULL, &connection_callbacks, peer);
	if (peer->in)
		*place = peer;
	else
		free(peer);
}

static int
listen_socket(struct console *console)
{
	char text[PATH_SIZE];
	struct addr addr;

	snprintf(text, sizeof(text), "unix:%s/%s", console->manager->options->run_dir,
		 VTPM_PATH_MANAGER);
	int rc = addr_parse(&addr, text, ADDR_ANY);
	if (rc == 0)
		rc = console->listening = addr_listen(&addr);
	if (rc < 0) {
		log_error("cannot listen at %s: %s", text, strerror(-rc));
		return rc;
	}
	console->connected = event_new(console->base, console->listening, EV_READ | EV_PERSIST,
				       somebody_connects, console);
	console->pause = evtimer_new(console->base, accept_again, console);
	if (!console->connected || !console->pause || event_add(console->connected, NULL) < 0)
		return -ENOMEM;
	return 0;
}

struct console *
console_new(struct manager *manager)
{
	struct console *console = calloc(1, sizeof(*console));

	if (!console)
		return NULL;
	console->manager = manager;
	console->base = listener_base(manager->console_listener);
	console->listening = -1;
	console->pipes = pipes_new(console);
	if (!console->pipes || listen_socket(console) < 0) {
		console_free(console);
		return NULL;
	}
	return console;
}

void
console_free(struct console *console)
{
	if (!console)
		return;
	peer_free(console->pipes);
	for (unsigned i = 0; i < PEERS_MAX; i++)
		peer_free(console->peers[i]);
	if (console->connected)
		event_free(console->connected);
	if (console->pause)
		event_free(console->pause);
	if (console->listening >= 0)
		close(console->listening);
	free(console);
}
