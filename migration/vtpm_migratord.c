/*
 * vtpm_migratord: lets other hosts speak with this host's manager when they migrate a vTPM to it.
 */
#include <errno.h>
#include <event2/listener.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vtpm/addr.h>
#include <vtpm/daemon.h>
#include <vtpm/log.h>
#include <vtpm/secrets.h>

#include "migration/host_name.h"
#include "migration/migratord_options.h"
#include "migration/relay.h"

enum {
	/* At once: hosts that have proved who they are, and strangers that still may. */
	PEERS_MAX = 64,
	STRANGERS_MAX = 64,
	ADDRESS_SIZE = 128,
};

struct peer {
	struct migratord *migratord;
	struct relay *relay;
	bool known;
	TAILQ_ENTRY(peer) entry; /* oldest first */
};

struct migratord {
	struct migratord_options options;
	struct relay_options relay;
	struct event_base *base;
	struct evconnlistener *listeners[MIGRATORD_LISTEN_MAX];
	struct event *signals[2];
	TAILQ_HEAD(, peer) peers;
	unsigned known;
	unsigned strangers;
	char name[HOST_NAME_SIZE];
};

static struct peer *
peer_new(struct migratord *migratord)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	peer->migratord = migratord;
	migratord->strangers++;
	TAILQ_INSERT_TAIL(&migratord->peers, peer, entry);
	return peer;
}

static void
peer_free(struct peer *peer)
{
	struct migratord *migratord = peer->migratord;

	if (peer->known)
		migratord->known--;
	else
		migratord->strangers--;
	TAILQ_REMOVE(&migratord->peers, peer, entry);
	free(peer);
}

static void
peer_known(void *ctx)
{
	struct peer *peer = ctx;

	peer->known = true;
	peer->migratord->strangers--;
	peer->migratord->known++;
}

static void
peer_closed(void *ctx)
{
	struct peer *peer = ctx;
	struct migratord *migratord = peer->migratord;

	peer_free(peer);
	if (migratord->options.stdio)
		event_base_loopexit(migratord->base, NULL);
}

static const struct relay_callbacks callbacks = { .known = peer_known, .closed = peer_closed };

/* A crowd of strangers must not keep hosts out: the one that has been there longest goes. */
static void
make_room(struct migratord *migratord)
{
	struct peer *peer;

	if (migratord->strangers < STRANGERS_MAX)
		return;
	TAILQ_FOREACH(peer, &migratord->peers, entry)
	{
		if (!peer->known) {
			relay_close(peer->relay, "makes room for others");
			return;
		}
	}
}

static void
describe(const struct sockaddr *sa, int len, char *text)
{
	char host[64] = "";
	char port[16] = "";

	if (sa->sa_family == AF_UNIX ||
	    getnameinfo(sa, (socklen_t)len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(text, ADDRESS_SIZE, "a local connection");
	else
		snprintf(text, ADDRESS_SIZE, "[%s]:%s", host, port);
}

static void
somebody_connects(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *sa, int len,
		  void *ctx)
{
	struct migratord *migratord = ctx;
	char address[ADDRESS_SIZE];
	struct why why;

	(void)listener;
	describe(sa, len, address);
	make_room(migratord);
	if (migratord->known >= PEERS_MAX) {
		log_warning("%s: %d hosts are connected, one more is refused", address, PEERS_MAX);
		close(fd);
		return;
	}
	struct peer *peer = peer_new(migratord);
	if (!peer) {
		close(fd);
		return;
	}
	if (relay_tls(&peer->relay, migratord->base, fd, address, &migratord->options.tls,
		      &migratord->relay, &callbacks, peer, &why) < 0) {
		log_error("%s: cannot be served: %s", address, why.text);
		peer_free(peer);
	}
}

static void
accept_again(evutil_socket_t fd, short what, void *listener)
{
	(void)fd;
	(void)what;
	evconnlistener_enable(listener);
}

/* Without descriptors the connection waits where it is; the loop must not spin meanwhile. */
static void
accept_failed(struct evconnlistener *listener, void *ctx)
{
	static struct log_limit limit;
	struct timeval pause = { .tv_usec = 100 * 1000 };

	(void)ctx;
	log_limited(&limit, LOG_LEVEL_WARNING, "cannot accept a connection: %s", strerror(errno));
	if (event_base_once(evconnlistener_get_base(listener), -1, EV_TIMEOUT, accept_again,
			    listener, &pause) == 0)
		evconnlistener_disable(listener);
}

static int
listen_at(struct migratord *migratord, const char *text, struct evconnlistener **out)
{
	struct addr addr;
	int fd = addr_parse(&addr, text, ADDR_ANY);

	if (fd == 0)
		fd = addr_listen(&addr);
	if (fd < 0)
		return fd;
	*out = evconnlistener_new(migratord->base, somebody_connects, migratord,
				  LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (!*out) {
		close(fd);
		return -ENOMEM;
	}
	evconnlistener_set_error_cb(*out, accept_failed);
	log_info("listening at %s", text);
	return 0;
}

static int
listen_everywhere(struct migratord *migratord)
{
	struct migratord_options *options = &migratord->options;
	struct why why;
	SSL *ssl;

	/* What cannot work for any peer is said now. */
	if (tls_new(&ssl, &options->tls, NULL, &why) < 0) {
		log_error("%s", why.text);
		return -EINVAL;
	}
	SSL_free(ssl);
	if (options->listen_count == 0) {
		const char *any = "tcp:[::]:48879";
		int rc = listen_at(migratord, any, &migratord->listeners[0]);

		if (rc == -EAFNOSUPPORT || rc == -EADDRNOTAVAIL || rc == -EHOSTUNREACH)
			rc = listen_at(migratord, any = "tcp:0.0.0.0:48879",
				       &migratord->listeners[0]);
		if (rc < 0)
			log_error("cannot listen at %s: %s", any, strerror(-rc));
		return rc;
	}
	for (unsigned i = 0; i < options->listen_count; i++) {
		int rc = listen_at(migratord, options->listen[i], &migratord->listeners[i]);

		if (rc < 0) {
			log_error("cannot listen at %s: %s", options->listen[i], strerror(-rc));
			return rc;
		}
	}
	return 0;
}

static int
serve_stdio(struct migratord *migratord)
{
	struct peer *peer = peer_new(migratord);
	struct why why;

	if (!peer)
		return -ENOMEM;
	int rc = relay_pipes(&peer->relay, migratord->base, STDIN_FILENO, STDOUT_FILENO,
			     &migratord->relay, &callbacks, peer, &why);
	if (rc < 0)
		log_error("%s", why.text);
	return rc;
}

static void
stop(evutil_socket_t sig, short what, void *arg)
{
	struct migratord *migratord = arg;

	(void)sig;
	(void)what;
	event_base_loopexit(migratord->base, NULL);
}

static int
set_up(struct migratord *migratord)
{
	static const int signals[] = { SIGTERM, SIGINT };

	migratord->base = event_base_new();
	if (!migratord->base)
		return -ENOMEM;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		migratord->signals[i] = evsignal_new(migratord->base, signals[i], stop, migratord);
		if (!migratord->signals[i] || event_add(migratord->signals[i], NULL) < 0)
			return -ENOMEM;
	}
	if (migratord->options.stdio)
		return serve_stdio(migratord);
	return listen_everywhere(migratord);
}

/* Whatever is under way is left to the managers, who can be asked again. */
static void
tear_down(struct migratord *migratord)
{
	migratord->options.stdio = false; /* the loop has ended */
	while (!TAILQ_EMPTY(&migratord->peers)) {
		struct peer *peer = TAILQ_FIRST(&migratord->peers);

		if (peer->relay)
			relay_close(peer->relay, NULL);
		else
			peer_free(peer);
	}
	for (size_t i = 0; i < MIGRATORD_LISTEN_MAX; i++) {
		if (migratord->listeners[i])
			evconnlistener_free(migratord->listeners[i]);
	}
	for (size_t i = 0; i < 2; i++) {
		if (migratord->signals[i])
			event_free(migratord->signals[i]);
	}
	if (migratord->base)
		event_base_free(migratord->base);
}

int
main(int argc, char **argv)
{
	struct migratord migratord = { .peers = TAILQ_HEAD_INITIALIZER(migratord.peers) };
	char log_path[512];

	int status = migratord_options_parse(&migratord.options, argc, argv);
	if (status >= 0)
		return status;
	log_set_name("vtpm_migratord");
	if (log_set_level(migratord.options.log_level) < 0) {
		fprintf(stderr, "vtpm_migratord: --log-level error|warning|info|debug\n");
		return 2;
	}
	if (migratord.options.name)
		snprintf(migratord.name, sizeof(migratord.name), "%s", migratord.options.name);
	else
		host_own_name(migratord.name);
	migratord.relay.run_dir = migratord.options.run_dir;
	migratord.relay.name = migratord.name;
	secrets_guard();
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	signal(SIGPIPE, SIG_IGN);
	bool daemon = !migratord.options.foreground && !migratord.options.stdio;
	if (daemon && daemon_begin() < 0)
		return EXIT_FAILURE;
	status = set_up(&migratord) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	if (status == EXIT_SUCCESS) {
		if (daemon) {
			snprintf(log_path, sizeof(log_path), "%s/vtpm_migratord.log",
				 migratord.options.run_dir);
			daemon_ready(log_path);
		}
		event_base_dispatch(migratord.base);
	}
	tear_down(&migratord);
	return status;
}
