#include "migration/channel.h"

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

struct channel {
	struct bufferevent *in;
	struct bufferevent *out; /* may be the same */
	SSL *ssl;                /* of both, or NULL */
	struct stream stream;
	enum channel_role role;
	bool ready;
	bool paused;
	char peer[PEER_SIZE];
	const struct channel_callbacks *callbacks;
	void *ctx;
	struct why why;
};

/* To be returned from at once: closed may free the channel. */
static void
fail(struct channel *channel, int error)
{
	channel->paused = true;
	bufferevent_disable(channel->in, EV_READ);
	bufferevent_disable(channel->out, EV_WRITE);
	channel->callbacks->closed(channel->ctx, error, &channel->why);
}

/* false: the channel has failed. */
static bool
deliver(struct channel *channel, const struct stream_message *raw)
{
	struct reader r = reader_of(raw->data, raw->len);
	uint16_t expected =
	    channel->role == CHANNEL_CLIENT ? VTPM_MIGRATION_TAG_RSP : VTPM_MIGRATION_TAG_REQ;
	uint16_t tag = reader_u16(&r);

	reader_u32(&r);
	uint32_t code = reader_u32(&r);
	if (tag == expected) {
		channel->callbacks->received(channel->ctx, code, r);
		return true;
	}
	why_set(&channel->why, 0, "%s does not speak the protocol of vtpm_migratord (tag 0x%04x)",
		channel->peer, tag);
	fail(channel, -EBADMSG);
	return false;
}

/* Also when all responses have been written. */
static void
readable(struct bufferevent *bev, void *arg)
{
	struct channel *channel = arg;
	struct evbuffer *input = bufferevent_get_input(channel->in);
	struct stream_message raw;

	(void)bev;
	while (!channel->paused &&
	       evbuffer_get_length(bufferevent_get_output(channel->out)) < UNREAD_MAX) {
		switch (stream_next(&channel->stream, input, &raw)) {
		case STREAM_WAIT:
			return;
		case STREAM_MESSAGE:
			if (!deliver(channel, &raw))
				return;
			break;
		case STREAM_REFUSED:
		case STREAM_BROKEN:
			why_set(&channel->why, 0, "%s sent a message of impossible size",
				channel->peer);
			fail(channel, -EBADMSG);
			return;
		}
	}
}

static void
happened(struct bufferevent *bev, short what, void *arg)
{
	struct channel *channel = arg;

	if (what & BEV_EVENT_CONNECTED) {
		channel->ready = true;
		channel->callbacks->ready(channel->ctx);
		return;
	}
	int error = -EVUTIL_SOCKET_ERROR();
	if (channel->ssl && (what & BEV_EVENT_ERROR))
		error =
		    tls_explain(bufferevent_get_openssl_error(bev), channel->peer, &channel->why);
	else if (what & BEV_EVENT_ERROR)
		why_set(&channel->why, 0, "the connection with %s failed: %s", channel->peer,
			strerror(-error));
	else
		error =
		    why_set(&channel->why, -ECONNRESET, "%s closed the connection", channel->peer);
	fail(channel, error);
}

static struct channel *
channel_new(enum channel_role role, const char *peer, const struct channel_callbacks *callbacks,
	    void *ctx)
{
	struct channel *channel = calloc(1, sizeof(*channel));

	if (!channel)
		return NULL;
	stream_init(&channel->stream, STREAM_MIGRATION);
	channel->role = role;
	channel->callbacks = callbacks;
	channel->ctx = ctx;
	snprintf(channel->peer, sizeof(channel->peer), "%s", peer);
	return channel;
}

static void
start(struct channel *channel)
{
	bufferevent_setcb(channel->in, readable, channel->in == channel->out ? readable : NULL,
			  happened, channel);
	/* Stops reading when a whole message waits. */
	bufferevent_setwatermark(channel->in, EV_READ, 0, 2 * stream_max(STREAM_MIGRATION));
	if (channel->out != channel->in) {
		bufferevent_setcb(channel->out, NULL, readable, happened, channel);
		bufferevent_disable(channel->out, EV_READ);
	}
	bufferevent_enable(channel->in, EV_READ);
	bufferevent_enable(channel->out, EV_WRITE);
}

int
channel_tls(struct channel **out, struct event_base *base, int fd, enum channel_role role,
	    const struct tls_files *files, const char *host, const char *peer,
	    const struct channel_callbacks *callbacks, void *ctx, struct why *why)
{
	struct channel *channel = channel_new(role, peer, callbacks, ctx);
	SSL *ssl = NULL;
	int rc = -ENOMEM;

	if (!channel) {
		why_set(why, rc, "out of memory");
		goto fail;
	}
	rc = tls_new(&ssl, files, role == CHANNEL_CLIENT ? host : NULL, &channel->why);
	if (rc < 0) {
		why_set(why, rc, "%s", channel->why.text);
		goto fail;
	}
	channel->in = channel->out = bufferevent_openssl_socket_new(
	    base, fd, ssl,
	    role == CHANNEL_CLIENT ? BUFFEREVENT_SSL_CONNECTING : BUFFEREVENT_SSL_ACCEPTING,
	    BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (!channel->in) {
		rc = why_set(why, -ENOMEM, "out of memory");
		goto fail;
	}
	channel->ssl = ssl;
	bufferevent_openssl_set_allow_dirty_shutdown(channel->in, 1);
	start(channel);
	*out = channel;
	return 0;
fail:
	SSL_free(ssl);
	close(fd);
	free(channel);
	return rc;
}

int
channel_pipes(struct channel **out, struct event_base *base, int in, int out_fd,
	      enum channel_role role, const char *peer, const struct channel_callbacks *callbacks,
	      void *ctx, struct why *why)
{
	struct channel *channel = channel_new(role, peer, callbacks, ctx);

	evutil_make_socket_nonblocking(in);
	evutil_make_socket_nonblocking(out_fd);
	if (!channel)
		goto fail;
	channel->in =
	    bufferevent_socket_new(base, in, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	channel->out =
	    in == out_fd ? channel->in
			 : bufferevent_socket_new(base, out_fd,
						  BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (!channel->in || !channel->out)
		goto fail;
	start(channel);
	bufferevent_trigger_event(channel->in, BEV_EVENT_CONNECTED, BEV_TRIG_DEFER_CALLBACKS);
	*out = channel;
	return 0;
fail:
	if (channel && channel->in)
		channel_free(channel);
	else
		free(channel);
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
let_read(struct channel *channel)
{
	struct timeval limit = { .tv_sec = LINGER_SECONDS };
	int fd = fcntl(bufferevent_getfd(channel->in), F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return;
	shutdown(fd, SHUT_WR);
	struct event *event = event_new(bufferevent_get_base(channel->in), fd, EV_READ | EV_PERSIST,
					linger, event_self_cbarg());
	if (event)
		event_add(event, &limit);
	else
		close(fd);
}

void
channel_free(struct channel *channel)
{
	if (!channel)
		return;
	if (channel->ssl && channel->role == CHANNEL_SERVER && !channel->ready)
		let_read(channel);
	if (channel->out && channel->out != channel->in)
		bufferevent_free(channel->out);
	bufferevent_free(channel->in); /* with its descriptor and TLS session */
	free(channel);
}

int
channel_send(struct channel *channel, uint32_t code, const void *params, size_t len)
{
	uint8_t head[VTPM_HEADER_SIZE];
	struct writer w = writer_of(head, sizeof(head));
	struct evbuffer *output = bufferevent_get_output(channel->out);

	if (len > VTPM_MESSAGE_MAX - VTPM_HEADER_SIZE)
		return -EMSGSIZE;
	writer_u16(&w, channel->role == CHANNEL_CLIENT ? VTPM_MIGRATION_TAG_REQ
						       : VTPM_MIGRATION_TAG_RSP);
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
channel_pause(struct channel *channel)
{
	channel->paused = true;
}

void
channel_resume(struct channel *channel)
{
	channel->paused = false;
	bufferevent_trigger(channel->in, EV_READ,
			    BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

SSL *
channel_tls_session(struct channel *channel)
{
	return channel->ssl;
}
