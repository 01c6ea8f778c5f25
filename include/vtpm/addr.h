/*
 * addr.h - addresses on command lines: "unix:PATH" and "tcp:HOST:PORT".
 *
 * HOST is a name, an IPv4 address or an IPv6 address in brackets.
 */
#ifndef VTPM_ADDR_H
#define VTPM_ADDR_H

#include <sys/socket.h>

struct addr {
	struct sockaddr_storage sa;
	socklen_t len;
};

enum addr_scope {
	ADDR_ANY,
	ADDR_LOOPBACK, /* TCP only on this host's loopback addresses */
};

/*
 * addr_parse: fills in addr, looking up HOST when it is a name (the first answer counts). Returns
 * 0; -EINVAL for text that is neither form; -ENAMETOOLONG for a socket path over 107 bytes;
 * -EHOSTUNREACH for a name that is not found; -EACCES for an address outside of the scope.
 */
int addr_parse(struct addr *addr, const char *text, enum addr_scope scope);

/*
 * addr_listen: a listening socket (close-on-exec, non-blocking) that the caller closes. A UNIX
 * socket is made with mode 0600 and replaces one that nobody listens on any more. Returns the
 * descriptor or a negative errno; -EADDRINUSE when somebody listens there, at a UNIX socket for a
 * second.
 */
int addr_listen(const struct addr *addr);

/*
 * addr_connect: a connected socket (close-on-exec, blocking) that the caller closes. Waits as long
 * as connect(2) does. Returns the descriptor or a negative errno.
 */
int addr_connect(const struct addr *addr);

#endif
