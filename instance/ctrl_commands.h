/*
 * ctrl_commands.h - the commands of QEMU's control channel, for channel_ctrl.c, which reads them
 * off the socket.
 */
#ifndef INSTANCE_CTRL_COMMANDS_H
#define INSTANCE_CTRL_COMMANDS_H

#include <vtpm/codec.h>
#include <vtpm/log.h>

#include "instance/channel_ctrl.h"
#include "instance/client.h"
#include "instance/conn.h"

enum {
	CTRL_BUFFER_MAX = TPM_BUFFER_SIZE,
	CTRL_CANCEL_TPM_CMD = 9, /* the one that is looked for while a command runs */
};

struct channel_ctrl {
	struct event_base *base;
	struct instance *instance;
	struct platform *platform;
	struct channel_ctrl_config config;
	int fd;
	struct event *connected;
	struct conn *conn;   /* the one client, or NULL */
	struct client *data; /* its data channel, or NULL */
	bool had_data;       /* the client is a QEMU: it passed a data channel */
	bool shutdown;       /* SHUTDOWN came */
	bool is_held;        /* the connections are held */
	bool is_last;        /* no other command came behind the one that is carried out */
	unsigned locality;
	uint32_t buffer_size;   /* of the TIS, as the client set it */
	struct blob snapshot;   /* the state that is being read in pieces ... */
	uint32_t snapshot_type; /* ... and of which type it is */
	struct log_limit log;
};

/* What follows the result in a response: fields, then bytes. */
struct ctrl_reply {
	uint8_t buf[16];
	struct writer fields;
	struct blob body;
};

struct ctrl_command {
	const char *name;
	size_t size; /* of the arguments, without data */
	/*
	 * Clients may send the response's room along with a shorter request (it is a union in
	 * their source): so many bytes more, which mean nothing.
	 */
	size_t padding;
	bool has_data; /* the last argument is the length of data that follow */
	TPM_RESULT (*run)(struct channel_ctrl *ctrl, struct reader *args, struct ctrl_reply *reply);
	/* In place of run, for what has no arguments and no reply but its result. */
	TPM_RESULT (*plain)(struct instance *instance);
};

/* ctrl_serve_data: takes fd for the data channel, in place of another. 0 or -ENOMEM. */
int ctrl_serve_data(struct channel_ctrl *ctrl, int fd);

/* ctrl_drop_held: the connections are held no more. */
void ctrl_drop_held(struct channel_ctrl *ctrl);

/* ctrl_command: the command of this number, NULL if there is none. */
const struct ctrl_command *ctrl_command(uint32_t number);

#endif
