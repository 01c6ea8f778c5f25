#include "migration/wire.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vtpm/manager.h>
#include <vtpm/migration.h>
#include <vtpm/stream.h>

enum {
	LINGER_SECONDS = 5, /* for a refused peer to read why */
	PEER_SIZE = 320,
	UNREAD_MAX = 256 * 1024, /* bytes of responses, then the peer has to read first */
};

struct wire {
	struct bufferevent *in;
	struct bufferevent *out; /* may be the same */
	SSL *ssl;                /* of both, or NULL */
	struct stream stream;
	enum wire_role role;
	bool ready;
	bool paused;
	char peer[PEER_SIZE];
	const struct wire_callbacks *callbacks;
	void *ctx;
	struct why why;
};

/* To be returned from at once: closed may free the wire. */
static void
fail(struct wire *wire, int error)
{
	wire->paused = true;
	bufferevent_disable(wire->in, EV_READ);
	bufferevent_disable(wire->out, EV_WRITE);
	wire->callbacks->closed(wire->ctx, error, &wire->why);
}

/* false: the wire has failed. */
static bool
deliver(struct wire *wire, const struct stream_message *raw)
{
	struct reader r = reader_of(raw->data, raw->len);
	uint16_t expected =
	    wire->role == WIRE_CLIENT ? VTPM_MIGRATION_TAG_RSP : VTPM_MIGRATION_TAG_REQ;
	uint16_t tag = reader_u16(&r);

	reader_u32(&r);
	uint32_t code = reader_u32(&r);
	if (tag == expected) {
		wire->callbacks->received(wire->ctx, code, r);
		return true;
	}
	why_set(&wire->why, 0, "%s does not speak the protocol of vtpm_migratord (tag 0x%04x)",
		wire->peer, tag);
	fail(wire, -EBADMSG);
	return false;
}

/* Whether requests are to wait, for their turn or for a peer that has to read first. */
static bool
must_wait(const struct wire *wire)
{
	return wire->paused || evbuffer_get_length(bufferevent_get_output(wire->out)) >= UNREAD_MAX;
}

/* Also when all responses have been written. */
static void
readable(struct bufferevent *bev, void *arg)
{
	struct wire *wire = arg;
	struct evbuffer *input = bufferevent_get_input(wire->in);
	enum stream_event event = STREAM_MESSAGE;
	struct stream_message raw;

	(void)bev;
	while (!must_wait(wire) &&
	       (event = stream_next(&wire->stream, input, &raw)) == STREAM_MESSAGE) {
		if (!deliver(wire, &raw))
			return;
	}
	if (event == STREAM_REFUSED || event == STREAM_BROKEN) {
		why_set(&wire->why, 0, "%s sent a message of impossible size", wire->peer);
		fail(wire, -EBADMSG);
		return;
	}
	/* With reading on, libevent would call again at once for what waits in a full buffer. */
	if (must_wait(wire))
		bufferevent_disable(wire->in, EV_READ);
	else
		bufferevent_enable(wire->in, EV_READ);
}

static void
happened(struct bufferevent *bev, short what, void *arg)
{
	struct wire *wire = arg;

	if (what & BEV_EVENT_CONNECTED) {
		wire->ready = true;
		wire->callbacks->ready(wire->ctx);
		return;
	}
	int error = -EVUTIL_SOCKET_ERROR();
	if (wire->ssl && (what & BEV_EVENT_ERROR))
		error = tls_explain(bufferevent_get_openssl_error(bev), wire->peer, &wire->why);
	else if (what & BEV_EVENT_ERROR)
		why_set(&wire->why, 0, "the connection with %s failed: %s", wire->peer,
			strerror(-error));
	else
		error = why_set(&wire->why, -ECONNRESET, "%s closed the connection", wire->peer);
	fail(wire, error);
}

static struct wire *
wire_new(enum wire_role role, const char *peer, const struct wire_callbacks *callbacks, void *ctx)
{
	struct wire *wire = calloc(1, sizeof(*wire));

	if (!wire)
		return NULL;
	stream_init(&wire->stream, STREAM_MIGRATION);
	wire->role = role;
	wire->callbacks = callbacks;
	wire->ctx = ctx;
	snprintf(wire->peer, sizeof(wire->peer), "%s", peer);
	return wire;
}

static void
start(struct wire *wire)
{
	bufferevent_setcb(wire->in, readable, wire->in == wire->out ? readable : NULL, happened,
			  wire);
	/* Stops reading when a whole message waits. */
	bufferevent_setwatermark(wire->in, EV_READ, 0, 2 * stream_max(STREAM_MIGRATION));
	if (wire->out != wire->in) {
		bufferevent_setcb(wire->out, NULL, readable, happened, wire);
		bufferevent_disable(wire->out, EV_READ);
	}
	bufferevent_enable(wire->in, EV_READ);
	bufferevent_enable(wire->out, EV_WRITE);
}

int
wire_tls(struct wire **out, struct event_base *base, int fd, enum wire_role role,
	 const struct tls_files *files, const char *host, const char *peer,
	 const struct wire_callbacks *callbacks, void *ctx, struct why *why)
{
	struct wire *wire = wire_new(role, peer, callbacks, ctx);
	SSL *ssl = NULL;
	int rc = -ENOMEM;

	if (!wire) {
		why_set(why, rc, "out of memory");
		goto fail;
	}
	rc = tls_new(&ssl, files, role == WIRE_CLIENT ? host : NULL, &wire->why);
	if (rc < 0) {
		why_set(why, rc, "%s", wire->why.text);
		goto fail;
	}
	wire->in = wire->out = bufferevent_openssl_socket_new(
	    base, fd, ssl,
	    role == WIRE_CLIENT ? BUFFEREVENT_SSL_CONNECTING : BUFFEREVENT_SSL_ACCEPTING,
	    BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (!wire->in) {
		rc = why_set(why, -ENOMEM, "out of memory");
		goto fail;
	}
	wire->ssl = ssl;
	bufferevent_openssl_set_allow_dirty_shutdown(wire->in, 1);
	start(wire);
	*out = wire;
	return 0;
fail:
	SSL_free(ssl);
	close(fd);
	free(wire);
	return rc;
}

int
wire_pipes(struct wire **out, struct event_base *base, int in, int out_fd, enum wire_role role,
	   const char *peer, const struct wire_callbacks *callbacks, void *ctx, struct why *why)
{
	struct wire *wire = wire_new(role, peer, callbacks, ctx);

	evutil_make_socket_nonblocking(in);
	evutil_make_socket_nonblocking(out_fd);
	if (!wire)
		goto fail;
	wire->in =
	    bufferevent_socket_new(base, in, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	wire->out = in == out_fd
			? wire->in
			: bufferevent_socket_new(base, out_fd,
						 BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (!wire->in || !wire->out)
		goto fail;
	start(wire);
	bufferevent_trigger_event(wire->in, BEV_EVENT_CONNECTED, BEV_TRIG_DEFER_CALLBACKS);
	*out = wire;
	return 0;
fail:
	if (wire && wire->in)
		wire_free(wire);
	else
		free(wire);
	return why_set(why, -ENOMEM, "out of memory");
}

/* Reads what the refused peer still sends, until it has read the alert and closes. */
static void
linger(evutil_socket_t fd, short what, void *event)
{
	char junk[4096];

	if (!(what & EV_TIMEOUT) && read(fd, junk, sizeof(junk)) > 0)
		return;
	event_free(event);
	close(fd);
}

/* Closed with unread bytes, TCP would tear down the alert as well. */
static void
let_read(struct wire *wire)
{
	struct timeval limit = { .tv_sec = LINGER_SECONDS };
	int fd = fcntl(bufferevent_getfd(wire->in), F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return;
	shutdown(fd, SHUT_WR);
	struct event *event = event_new(bufferevent_get_base(wire->in), fd, EV_READ | EV_PERSIST,
					linger, event_self_cbarg());
	if (event)
		event_add(event, &limit);
	else
		close(fd);
}

void
wire_free(struct wire *wire)
{
	if (!wire)
		return;
	if (wire->ssl && wire->role == WIRE_SERVER && !wire->ready)
		let_read(wire);
	if (wire->out && wire->out != wire->in)
		bufferevent_free(wire->out);
	bufferevent_free(wire->in); /* with its descriptor and TLS session */
	free(wire);
}

int
wire_send(struct wire *wire, uint32_t code, const void *params, size_t len)
{
	uint8_t head[VTPM_HEADER_SIZE];
	struct writer w = writer_of(head, sizeof(head));
	struct evbuffer *output = bufferevent_get_output(wire->out);

	if (len > VTPM_MESSAGE_MAX - VTPM_HEADER_SIZE)
		return -EMSGSIZE;
	writer_u16(&w, wire->role == WIRE_CLIENT ? VTPM_MIGRATION_TAG_REQ : VTPM_MIGRATION_TAG_RSP);
	writer_u32(&w, (uint32_t)(VTPM_HEADER_SIZE + len));
	writer_u32(&w, code);
	if (evbuffer_expand(output, sizeof(head) + len) < 0)
		return -ENOMEM;
	evbuffer_add(output, head, sizeof(head));
	if (len > 0)
		evbuffer_add(output, params, len);
	return 0;
}

void
wire_pause(struct wire *wire)
{
	wire->paused = true;
}

void
wire_resume(struct wire *wire)
{
	wire->paused = false;
	bufferevent_trigger(wire->in, EV_READ,
			    BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

SSL *
wire_tls_session(struct wire *wire)
{
	return wire->ssl;
}
