/*
 * conn.h - a byte stream in the event loop: a socket, or a pair of pipes.
 *
 * What a peer can cost is bounded: input is read only up to a limit, the next message is looked at
 * only when the answer to the one before has left, and a peer on a socket that does not take an
 * answer within CONN_SEND_SECONDS is cut off. Several connections take turns, message by message.
 */
#ifndef INSTANCE_CONN_H
#define INSTANCE_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/buffer.h>
#include <event2/event.h>

enum {
	CONN_SEND_SECONDS = 30,
};

struct conn;

struct conn_handler {
	/*
	 * input: takes at most one message from in, and may answer with conn_send. True asks to be
	 * called again in its turn, without new input. May not free the conn.
	 */
	bool (*input)(void *ctx, struct evbuffer *in);
	/* readable: NULL, or called before input is taken from the socket. */
	void (*readable)(void *ctx);
	/*
	 * closed: the connection ended: by the peer or conn_finish (error 0) or by a failure
	 * (negative errno; -ETIMEDOUT: the peer does not read). The conn is of no more use and is
	 * to be freed here or later.
	 */
	void (*closed)(void *ctx, int error);
};

/*
 * conn_new: serves in_fd and out_fd, which are the same for a socket, which are non-blocking and
 * belong to the conn from then on. in_max is the most input to collect, at least the largest
 * message with its framing. Returns NULL when memory is short; then the descriptors are closed.
 */
struct conn *conn_new(struct event_base *base, int in_fd, int out_fd, size_t in_max,
		      const struct conn_handler *handler, void *ctx);

/* conn_free: closes the descriptors; what has not been sent is lost. NULL does nothing. */
void conn_free(struct conn *conn);

/* conn_send: sends len bytes, at once if the peer takes them, else as soon as it does. */
void conn_send(struct conn *conn, const void *data, size_t len);

/*
 * conn_leave_input: from now on, input stays in the socket until conn_take or the end of input():
 * what was not taken before this process is killed is there for the next one. Of a new connection.
 * Returns 0 or -ENOMEM.
 */
int conn_leave_input(struct conn *conn);
void conn_take(struct conn *conn);

/* conn_finish: takes no more input; calls closed when everything has been sent. */
void conn_finish(struct conn *conn);

/* conn_fd: the descriptor of the input, for looking at it. */
int conn_fd(const struct conn *conn);

/* conn_has_input: whether the peer has sent what the owner has not taken yet. */
bool conn_has_input(const struct conn *conn);

/*
 * conn_take_fd: the descriptor that the peer passed last (SCM_RIGHTS), which then is the caller's,
 * or -1.
 */
int conn_take_fd(struct conn *conn);

#endif
