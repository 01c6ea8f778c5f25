/*
 * channel_ctrl.h - the control socket that QEMU (`-tpmdev emulator`) speaks to, in place of the old
 * ioemu socket: power, localities, state blobs, dynamic launch, and the data channel for the TPM
 * commands themselves (docs/protocols.md).
 */
#ifndef INSTANCE_CHANNEL_CTRL_H
#define INSTANCE_CHANNEL_CTRL_H

#include <event2/event.h>

#include "instance/held.h"
#include "instance/instance.h"

struct channel_ctrl;

struct channel_ctrl_config {
	/* Whether the instance ends when a QEMU that used it is gone, as it does on SHUTDOWN. */
	bool end_with_qemu;
	/* Where the client's connections are held. */
	struct held held;
	/* ended: the instance is to end now. */
	void (*ended)(void *ctx);
	void *ctx;
};

/*
 * channel_ctrl_open: serves one client at a time on a listening socket, which the channel owns from
 * then on; a second one is turned away. It begins with the client that is held. platform learns of
 * a cancel from here. Returns 0 or -ENOMEM; then the socket is closed.
 */
int channel_ctrl_open(struct event_base *base, struct instance *instance, struct platform *platform,
		      int fd, const struct channel_ctrl_config *config,
		      struct channel_ctrl **channel);
void channel_ctrl_close(struct channel_ctrl *channel);

#endif
