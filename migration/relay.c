#include "migration/relay.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vtpm/addr.h>
#include <vtpm/info.h>
#include <vtpm/log.h>
#include <vtpm/manager.h>
#include <vtpm/message.h>
#include <vtpm/migration.h>
#include <vtpm/stream.h>

enum {
	HANDSHAKE_SECONDS = 10,
	IDLE_SECONDS = 120,    /* from one whole request to the next; a migrator asks oftener */
	MANAGER_SECONDS = 600, /* a chip decrypts, a vTPM starts */
	ADDRESS_SIZE = 512,
	DESCRIBE_SIZE = 480,
	NO_UUID = -1,
};

/* What other hosts may ask of the manager, and where the uuid is, for the log. */
static const struct relayed {
	uint32_t ordinal;
	const char *name;
	int uuid_at;
	enum log_level level;
} relayed[] = {
	{ VTPM_ORD_GET_MIG_KEY, "GET_MIG_KEY", NO_UUID, LOG_LEVEL_INFO },
	{ VTPM_ORD_HOST_QUOTE, "HOST_QUOTE", NO_UUID, LOG_LEVEL_INFO },
	{ VTPM_ORD_OFFER, "OFFER", 0, LOG_LEVEL_INFO },
	{ VTPM_ORD_MIGRATE_IN, "MIGRATE_IN", 12, LOG_LEVEL_INFO },
	{ VTPM_ORD_AWAIT, "AWAIT", 0, LOG_LEVEL_DEBUG },
	{ VTPM_ORD_ACTIVATE, "ACTIVATE", 0, LOG_LEVEL_INFO },
	{ VTPM_ORD_FORGET, "FORGET", 0, LOG_LEVEL_INFO },
	{ VTPM_ORD_QUERY, "QUERY", 0, LOG_LEVEL_DEBUG },
	{ VTPM_ORD_RESOLVE, "RESOLVE", 0, LOG_LEVEL_INFO },
};

struct relay {
	struct event_base *base;
	const struct relay_options *options;
	const struct relay_callbacks *callbacks;
	void *ctx;
	struct wire *wire;
	struct event *timer;
	char address[ADDRESS_SIZE];
	char name[TLS_NAME_SIZE]; /* the peer's, authenticated; "" before HELLO */

	struct bufferevent *manager; /* NULL: not connected */
	struct stream stream;
	const struct relayed *waiting; /* what the manager is to answer, or NULL */
	char describe[DESCRIBE_SIZE];  /* of that, for messages */
};

static void
set_timer(struct relay *relay, int seconds)
{
	struct timeval limit = { .tv_sec = seconds };

	event_add(relay->timer, &limit);
}

static void
drop_manager(struct relay *relay)
{
	if (relay->manager)
		bufferevent_free(relay->manager);
	relay->manager = NULL;
}

static void
relay_free(struct relay *relay)
{
	drop_manager(relay);
	wire_free(relay->wire);
	if (relay->timer)
		event_free(relay->timer);
	free(relay);
}

void
relay_close(struct relay *relay, const char *why)
{
	const struct relay_callbacks *callbacks = relay->callbacks;
	void *ctx = relay->ctx;

	if (why)
		log_warning("%s: %s", relay->address, why);
	relay_free(relay);
	callbacks->closed(ctx);
}

static void
timed_out(evutil_socket_t fd, short what, void *arg)
{
	struct relay *relay = arg;

	(void)fd;
	(void)what;
	if (relay->waiting)
		relay_close(relay, "the manager of this host does not answer");
	else
		relay_close(relay, "is silent, the connection is closed");
}

static void
answer(struct relay *relay, uint32_t status, const void *params, size_t len)
{
	if (wire_send(relay->wire, status, params, len) < 0)
		log_error("%s: a response is lost, out of memory", relay->address);
}

static void
refuse(struct relay *relay, uint32_t status, const char *text)
{
	log_warning("%s: %s", relay->address, text);
	answer(relay, status, text, strlen(text));
}

/* The request under way is over: the next one may come. */
static void
next_request(struct relay *relay)
{
	relay->waiting = NULL;
	set_timer(relay, IDLE_SECONDS);
	wire_resume(relay->wire);
}

static void
manager_answered(struct relay *relay, const struct stream_message *raw)
{
	struct message message;

	if (message_parse(&message, raw->instance, raw->data, raw->len) < 0) {
		refuse(relay, VTPM_FAIL, "the manager of this host does not speak its protocol");
		drop_manager(relay);
	} else {
		int len = (int)(message.params.left < 300 ? message.params.left : 300);

		if (message.code == VTPM_SUCCESS)
			log_write(relay->waiting->level, "%s: done", relay->describe);
		else
			log_warning("%s: refused: %.*s", relay->describe, len,
				    (const char *)message.params.pos);
		answer(relay, message.code, message.params.pos, message.params.left);
	}
	next_request(relay);
}

static void
manager_readable(struct bufferevent *bev, void *arg)
{
	struct relay *relay = arg;
	struct stream_message raw;

	enum stream_event event = stream_next(&relay->stream, bufferevent_get_input(bev), &raw);

	if (event == STREAM_WAIT)
		return;
	if (event == STREAM_MESSAGE && relay->waiting)
		manager_answered(relay, &raw);
	else
		relay_close(relay, "the manager of this host does not speak its protocol");
}

static void
manager_gone(struct bufferevent *bev, short what, void *arg)
{
	struct relay *relay = arg;
	char text[DESCRIBE_SIZE + 64];

	(void)bev;
	(void)what;
	drop_manager(relay);
	if (!relay->waiting)
		return;
	snprintf(text, sizeof(text), "the manager here ended during %s", relay->waiting->name);
	refuse(relay, VTPM_FAIL, text);
	next_request(relay);
}

static int
connect_manager(struct relay *relay)
{
	char text[ADDRESS_SIZE];
	struct addr addr;

	snprintf(text, sizeof(text), "unix:%s/%s", relay->options->run_dir, VTPM_PATH_MANAGER);
	int fd = addr_parse(&addr, text, ADDR_ANY);
	if (fd == 0)
		fd = addr_connect(&addr);
	if (fd < 0)
		return fd;
	evutil_make_socket_nonblocking(fd);
	relay->manager = bufferevent_socket_new(relay->base, fd,
						BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (!relay->manager) {
		close(fd);
		return -ENOMEM;
	}
	stream_init(&relay->stream, STREAM_MANAGER);
	bufferevent_setcb(relay->manager, manager_readable, NULL, manager_gone, relay);
	bufferevent_setwatermark(relay->manager, EV_READ, 0, 2 * stream_max(STREAM_MANAGER));
	bufferevent_enable(relay->manager, EV_READ | EV_WRITE);
	return 0;
}

/* Parameters and the peer's name, to the manager. */
static int
ask_manager(struct relay *relay, uint32_t ordinal, const struct reader *params)
{
	size_t size = params->left + 4 + strlen(relay->name);
	uint8_t *buf = malloc(size);
	struct writer w = writer_of(buf, buf ? size : 0);

	writer_bytes(&w, params->pos, params->left);
	writer_sized(&w, relay->name, strlen(relay->name));
	int rc = w.failed ? -ENOMEM
			  : message_add(bufferevent_get_output(relay->manager),
					VTPM_CONTROL_INSTANCE, VTPM_TAG_REQ, ordinal, w.buf, w.len);
	free(buf);
	return rc;
}

static void
describe(struct relay *relay, const struct relayed *what, struct reader params)
{
	uint8_t uuid[VTPM_UUID_SIZE];
	char text[VTPM_UUID_TEXT_SIZE] = "";

	if (what->uuid_at != NO_UUID) {
		reader_view(&params, (size_t)what->uuid_at);
		reader_bytes(&params, uuid, sizeof(uuid));
		uuid_format(text, uuid);
	}
	snprintf(relay->describe, sizeof(relay->describe), "%.200s: %s %s", relay->name, what->name,
		 text);
}

static void
hand_on(struct relay *relay, const struct relayed *what, struct reader params)
{
	char text[ADDRESS_SIZE];

	describe(relay, what, params);
	int rc = relay->manager ? 0 : connect_manager(relay);
	if (rc == 0)
		rc = ask_manager(relay, what->ordinal, &params);
	if (rc == 0) {
		relay->waiting = what;
		set_timer(relay, MANAGER_SECONDS);
		wire_pause(relay->wire);
		return;
	}
	snprintf(text, sizeof(text), "no manager on that host (below its %s): %s",
		 relay->options->run_dir, strerror(-rc));
	refuse(relay, VTPM_FAIL, text);
}

/* On TLS the certificate says who it is, on ssh the peer itself. */
static bool
learn_name(struct relay *relay, struct reader claimed)
{
	SSL *ssl = wire_tls_session(relay->wire);
	char name[TLS_NAME_SIZE] = "";

	if (claimed.left >= sizeof(name) || memchr(claimed.pos, '\0', claimed.left))
		return false;
	memcpy(name, claimed.pos, claimed.left);
	if (ssl)
		return tls_peer_name(ssl, name, relay->name, sizeof(relay->name));
	memcpy(relay->name, name, sizeof(name));
	return name[0] != '\0';
}

static void
hello(struct relay *relay, struct reader params)
{
	uint8_t buf[8 + TLS_NAME_SIZE];
	struct writer w = writer_of(buf, sizeof(buf));
	uint32_t version = reader_u32(&params);
	struct reader claimed = reader_sized(&params);

	if (!reader_done(&params)) {
		refuse(relay, VTPM_INVALID_REQUEST, "a HELLO that is none");
		return;
	}
	if (version != VTPM_MIGRATION_VERSION) {
		refuse(relay, VTPM_UNSUPPORTED,
		       "another version of the migration protocol; the same release of these "
		       "programs is needed on both hosts");
		return;
	}
	if (!learn_name(relay, claimed)) {
		refuse(relay, VTPM_FORBIDDEN, "a peer without a name");
		return;
	}
	log_info("%s: is %s", relay->address, relay->name);
	writer_u32(&w, VTPM_MIGRATION_VERSION);
	writer_sized(&w, relay->options->name, strlen(relay->options->name));
	answer(relay, VTPM_SUCCESS, w.buf, w.len);
}

static void
received(void *ctx, uint32_t ordinal, struct reader params)
{
	struct relay *relay = ctx;

	set_timer(relay, IDLE_SECONDS);
	if (ordinal == VTPM_ORD_HELLO) {
		hello(relay, params);
		return;
	}
	if (relay->name[0] == '\0') {
		refuse(relay, VTPM_FORBIDDEN, "a request before HELLO");
		return;
	}
	for (size_t i = 0; i < sizeof(relayed) / sizeof(relayed[0]); i++) {
		if (relayed[i].ordinal == ordinal) {
			hand_on(relay, &relayed[i], params);
			return;
		}
	}
	refuse(relay, VTPM_UNSUPPORTED, "a request that is not for other hosts");
}

static void
ready(void *ctx)
{
	struct relay *relay = ctx;

	set_timer(relay, IDLE_SECONDS);
	relay->callbacks->known(relay->ctx);
}

static void
closed(void *ctx, int error, const struct why *why)
{
	struct relay *relay = ctx;
	bool rude = error != -ECONNRESET || relay->name[0] == '\0' || relay->waiting;

	log_write(rude ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "%s", why->text);
	relay_close(relay, NULL);
}

static const struct wire_callbacks wire_callbacks = {
	.ready = ready,
	.received = received,
	.closed = closed,
};

static struct relay *
relay_new(struct event_base *base, const char *address, const struct relay_options *options,
	  const struct relay_callbacks *callbacks, void *ctx)
{
	struct relay *relay = calloc(1, sizeof(*relay));

	if (!relay)
		return NULL;
	relay->base = base;
	relay->options = options;
	relay->callbacks = callbacks;
	relay->ctx = ctx;
	snprintf(relay->address, sizeof(relay->address), "%s", address);
	relay->timer = evtimer_new(base, timed_out, relay);
	if (!relay->timer) {
		free(relay);
		return NULL;
	}
	set_timer(relay, HANDSHAKE_SECONDS);
	return relay;
}

int
relay_tls(struct relay **out, struct event_base *base, int fd, const char *address,
	  const struct tls_files *files, const struct relay_options *options,
	  const struct relay_callbacks *callbacks, void *ctx, struct why *why)
{
	struct relay *relay = relay_new(base, address, options, callbacks, ctx);

	if (!relay) {
		close(fd);
		return why_set(why, -ENOMEM, "out of memory");
	}
	int rc = wire_tls(&relay->wire, base, fd, WIRE_SERVER, files, NULL, address,
			  &wire_callbacks, relay, why);
	if (rc < 0)
		relay_free(relay);
	else
		*out = relay;
	return rc;
}

int
relay_pipes(struct relay **out, struct event_base *base, int in, int out_fd,
	    const struct relay_options *options, const struct relay_callbacks *callbacks, void *ctx,
	    struct why *why)
{
	static const char peer[] = "the peer on standard input";
	struct relay *relay = relay_new(base, peer, options, callbacks, ctx);

	if (!relay)
		return why_set(why, -ENOMEM, "out of memory");
	int rc = wire_pipes(&relay->wire, base, in, out_fd, WIRE_SERVER, peer, &wire_callbacks,
			    relay, why);
	if (rc < 0)
		relay_free(relay);
	else
		*out = relay;
	return rc;
}
