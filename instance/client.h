/*
 * client.h - those who send TPM commands over a socket: host tools (bare, `--raw`), ioemu (with the
 * instance number in front), and QEMU's data channel.
 */
#ifndef INSTANCE_CLIENT_H
#define INSTANCE_CLIENT_H

#include <event2/event.h>

#include <vtpm/stream.h>

#include "instance/instance.h"

enum {
	ENDPOINT_CLIENTS_MAX = 64,
};

struct client;
struct endpoint;

/*
 * client_new: serves fd, which it owns from then on, in this framing. closed is called when the
 * peer is gone; then, or earlier, the client is to be freed with client_free. name is what log
 * lines call it, and must outlive it. Returns NULL when memory is short; then fd is closed.
 */
struct client *client_new(struct event_base *base, struct instance *instance, int fd,
			  enum stream_framing framing, const char *name,
			  void (*closed)(void *ctx, struct client *client), void *ctx);
void client_free(struct client *client);

/* client_set_locality: that of the commands to come. A new client has locality 0. */
void client_set_locality(struct client *client, unsigned locality);

/*
 * client_survive: makes a new client of a connection that outlives this process: each command is
 * executed and answered once, whenever the process is killed. It first gets the answer that an
 * earlier process owes it. Returns 0 or -ENOMEM.
 */
int client_survive(struct client *client);

/* client_fd: its socket. */
int client_fd(const struct client *client);

/* client_cancel: a command that has been sent but not looked at yet is answered TPM_FAIL. */
void client_cancel(struct client *client);

/*
 * endpoint_new: serves all who connect to a listening socket, which it owns from then on, up to
 * ENDPOINT_CLIENTS_MAX at a time. Returns NULL when memory is short; then the socket is closed.
 */
struct endpoint *endpoint_new(struct event_base *base, struct instance *instance, int fd,
			      enum stream_framing framing, const char *name);
void endpoint_free(struct endpoint *endpoint);

#endif
