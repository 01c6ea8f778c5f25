#include "instance/held.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <vtpm/log.h>

enum { FDS = 2 };

union control {
	char buf[CMSG_SPACE(FDS * sizeof(int))];
	struct cmsghdr align;
};

void
held_put(const struct held *held, const struct held_client *client)
{
	int fds[FDS] = { client->control, client->data };
	union control control = { 0 };
	struct held_client copy = *client;
	struct iovec iov = { .iov_base = &copy, .iov_len = sizeof(copy) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };

	if (held->in < 0)
		return;
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	if (sendmsg(held->in, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_warning("QEMU's connections cannot be held (%s): it would notice a crash",
			    strerror(errno));
}

void
held_drop(const struct held *held)
{
	struct held_client client;

	/* Without room for descriptors, they are closed. */
	while (held->out >= 0 && recv(held->out, &client, sizeof(client), MSG_DONTWAIT) > 0)
		;
}

bool
held_look(const struct held *held, struct held_client *client)
{
	union control control;
	struct iovec iov = { .iov_base = client, .iov_len = sizeof(*client) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	int fds[FDS];

	if (held->out < 0 ||
	    recvmsg(held->out, &msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof(*client))
		return false;
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(fds)))
		return false;
	memcpy(fds, CMSG_DATA(c), sizeof(fds));
	client->control = fds[0];
	client->data = fds[1];
	return true;
}
