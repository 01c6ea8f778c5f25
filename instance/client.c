#include "instance/client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vtpm/codec.h>
#include <vtpm/log.h>
#include <vtpm/manager.h>

#include "instance/conn.h"

struct client {
	struct instance *instance;
	struct conn *conn;
	struct stream stream;
	unsigned locality;
	bool cancelled;  /* the next command will not be executed */
	bool survives;   /* its connection outlives this process */
	size_t owed_len; /* the next command was executed by an earlier process, which owes this */
	uint8_t owed[TPM_BUFFER_SIZE];
	const char *name;
	struct log_limit log;
	void (*closed)(void *ctx, struct client *client);
	void *ctx;
	LIST_ENTRY(client) others; /* of an endpoint */
};

struct endpoint {
	struct event_base *base;
	struct instance *instance;
	enum stream_framing framing;
	const char *name;
	int fd;
	struct event *connected;
	unsigned count;
	LIST_HEAD(, client) clients;
	struct log_limit log;
};

/* Sends a response, with the instance number in front where the framing has one. */
static void
answer(struct client *client, uint32_t instance, const uint8_t *response, size_t len)
{
	uint8_t buf[VTPM_INSTANCE_SIZE + TPM_BUFFER_SIZE];
	struct writer w = writer_of(buf, sizeof(buf));

	if (client->stream.framing == STREAM_TPM) {
		conn_send(client->conn, response, len);
		return;
	}
	writer_u32(&w, instance);
	writer_bytes(&w, response, len);
	conn_send(client->conn, buf, w.len);
}

static void
answer_error(struct client *client, uint32_t instance, TPM_RESULT result)
{
	uint8_t response[TPM_HEADER_SIZE];

	answer(client, instance, response, tpm_error_response(result, response));
}

/* Finds the response to a command: by executing it, unless there is something in the way. */
static void
execute(struct client *client, const struct stream_message *message, uint8_t *response, size_t *len)
{
	if (client->stream.framing != STREAM_TPM &&
	    message->instance != instance_id(client->instance)) {
		log_limited(&client->log, LOG_LEVEL_WARNING,
			    "%s: a command for instance %u was refused, this is instance %u",
			    client->name, message->instance, instance_id(client->instance));
		*len = tpm_error_response(TPM_BAD_PARAMETER, response);
		return;
	}
	if (client->cancelled) {
		client->cancelled = false;
		*len = tpm_error_response(TPM_FAIL, response);
	} else if (client->owed_len > 0) {
		*len = client->owed_len;
		memcpy(response, client->owed, *len);
		client->owed_len = 0;
	} else if (client->survives) {
		instance_execute_once(client->instance, client->locality, message->data,
				      message->len, response, len);
	} else {
		instance_execute(client->instance, 0, client->locality, message->data, message->len,
				 response, len);
	}
}

/*
 * The command is taken, that is noted, and the answer sent, in this order: whoever goes on after a
 * kill between any two knows what is left to do.
 */
static void
deliver(struct client *client, uint32_t instance, const uint8_t *response, size_t len)
{
	if (client->survives) {
		conn_take(client->conn);
		instance_deliver(client->instance);
	}
	answer(client, instance, response, len);
}

static bool
client_input(void *ctx, struct evbuffer *in)
{
	struct client *client = ctx;
	struct stream_message message;
	uint8_t response[TPM_BUFFER_SIZE];
	size_t len;

	switch (stream_next(&client->stream, in, &message)) {
	case STREAM_WAIT:
		return false;
	case STREAM_MESSAGE:
		execute(client, &message, response, &len);
		stream_settle(&client->stream, in);
		deliver(client, message.instance, response, len);
		return evbuffer_get_length(in) > 0;
	case STREAM_REFUSED:
		log_limited(&client->log, LOG_LEVEL_WARNING,
			    "%s: a command of impossible size was refused", client->name);
		answer_error(client, message.instance, TPM_BAD_PARAM_SIZE);
		return true;
	case STREAM_BROKEN:
		log_limited(&client->log, LOG_LEVEL_WARNING,
			    "%s: a client that announced a command of absurd size is cut off",
			    client->name);
		answer_error(client, message.instance, TPM_BAD_PARAM_SIZE);
		conn_finish(client->conn);
		break;
	}
	return false;
}

static void
client_closed(void *ctx, int error)
{
	struct client *client = ctx;

	if (error == -ETIMEDOUT)
		log_warning("%s: a client that does not read its answers is cut off", client->name);
	else if (error < 0)
		log_debug("%s: a client is gone: %s", client->name, strerror(-error));
	client->closed(client->ctx, client);
}

struct client *
client_new(struct event_base *base, struct instance *instance, int fd, enum stream_framing framing,
	   const char *name, void (*closed)(void *ctx, struct client *client), void *ctx)
{
	static const struct conn_handler handler = { .input = client_input,
						     .closed = client_closed };
	struct client *client = calloc(1, sizeof(*client));
	int on = 1;

	if (!client) {
		close(fd);
		return NULL;
	}
	/* Fails for a UNIX socket, which has no such delay. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	client->instance = instance;
	client->name = name;
	client->closed = closed;
	client->ctx = ctx;
	stream_init(&client->stream, framing);
	/* Room for one message and the beginning of the next. */
	client->conn = conn_new(base, fd, fd, 2 * stream_max(framing), &handler, client);
	if (!client->conn) {
		free(client);
		return NULL;
	}
	return client;
}

void
client_free(struct client *client)
{
	if (!client)
		return;
	conn_free(client->conn);
	explicit_bzero(client->owed, sizeof(client->owed));
	free(client);
}

void
client_set_locality(struct client *client, unsigned locality)
{
	client->locality = locality;
}

int
client_survive(struct client *client)
{
	client->survives = true;
	client->owed_len = instance_owed(client->instance, client->owed);
	/* QEMU sends a command when it has the answer to the one before: this one was taken. */
	if (client->owed_len > 0 && !conn_has_input(client->conn)) {
		size_t len = client->owed_len;

		client->owed_len = 0;
		deliver(client, 0, client->owed, len);
	}
	return conn_leave_input(client->conn);
}

int
client_fd(const struct client *client)
{
	return conn_fd(client->conn);
}

void
client_cancel(struct client *client)
{
	client->cancelled = conn_has_input(client->conn);
}

static void
endpoint_client_closed(void *ctx, struct client *client)
{
	struct endpoint *endpoint = ctx;

	LIST_REMOVE(client, others);
	endpoint->count--;
	client_free(client);
}

static void
on_connected(evutil_socket_t fd, short what, void *arg)
{
	struct endpoint *endpoint = arg;

	(void)what;
	int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (peer < 0)
		return;
	if (endpoint->count >= ENDPOINT_CLIENTS_MAX) {
		log_limited(&endpoint->log, LOG_LEVEL_WARNING,
			    "%s: a client is turned away, %u are connected", endpoint->name,
			    endpoint->count);
		close(peer);
		return;
	}
	struct client *client =
	    client_new(endpoint->base, endpoint->instance, peer, endpoint->framing, endpoint->name,
		       endpoint_client_closed, endpoint);
	if (!client) {
		log_error("%s: no memory for a client", endpoint->name);
		return;
	}
	LIST_INSERT_HEAD(&endpoint->clients, client, others);
	endpoint->count++;
}

struct endpoint *
endpoint_new(struct event_base *base, struct instance *instance, int fd,
	     enum stream_framing framing, const char *name)
{
	struct endpoint *endpoint = calloc(1, sizeof(*endpoint));

	if (!endpoint) {
		close(fd);
		return NULL;
	}
	endpoint->base = base;
	endpoint->instance = instance;
	endpoint->framing = framing;
	endpoint->name = name;
	endpoint->fd = fd;
	LIST_INIT(&endpoint->clients);
	endpoint->connected = event_new(base, fd, EV_READ | EV_PERSIST, on_connected, endpoint);
	if (!endpoint->connected || event_add(endpoint->connected, NULL) < 0) {
		endpoint_free(endpoint);
		return NULL;
	}
	return endpoint;
}

void
endpoint_free(struct endpoint *endpoint)
{
	struct client *client;

	if (!endpoint)
		return;
	while ((client = LIST_FIRST(&endpoint->clients)))
		endpoint_client_closed(endpoint, client);
	if (endpoint->connected)
		event_free(endpoint->connected);
	close(endpoint->fd);
	free(endpoint);
}
