#include <vtpm/addr.h>

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* How long a UNIX socket that is in use is tried. */
enum { IN_USE_MS = 1000, IN_USE_PAUSE_MS = 20 };

static int
parse_unix(struct addr *addr, const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t len = strlen(path);

	if (len == 0)
		return -EINVAL;
	if (len >= sizeof(un.sun_path))
		return -ENAMETOOLONG;
	memcpy(un.sun_path, path, len + 1);
	memcpy(&addr->sa, &un, sizeof(un));
	addr->len = sizeof(un);
	return 0;
}

static bool
is_loopback(const struct addrinfo *info)
{
	if (info->ai_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)info->ai_addr;

		return ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	}
	const struct sockaddr_in6 *in6 = (const void *)info->ai_addr;

	return info->ai_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

/* Splits HOST:PORT or [HOST]:PORT. */
static int
split_host(const char *text, char *host, size_t host_size, const char **port)
{
	const char *colon = strrchr(text, ':');
	const char *start = text;

	if (!colon || colon == text || !colon[1] || colon[1 + strspn(colon + 1, "0123456789")])
		return -EINVAL;
	const char *end = colon;
	if (*text == '[') {
		if (colon[-1] != ']')
			return -EINVAL;
		start++;
		end--;
	} else if (memchr(text, ':', (size_t)(colon - text))) {
		return -EINVAL;
	}
	int len = (int)(end - start);
	if (len <= 0 || (size_t)len >= host_size)
		return -EINVAL;
	snprintf(host, host_size, "%.*s", len, start);
	*port = colon + 1;
	return 0;
}

static int
parse_tcp(struct addr *addr, const char *text, enum addr_scope scope)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC,
				  .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_NUMERICSERV };
	struct addrinfo *info;
	const char *port;
	char host[256];

	int rc = split_host(text, host, sizeof(host), &port);
	if (rc < 0)
		return rc;
	switch (getaddrinfo(host, port, &hints, &info)) {
	case 0:
		break;
	case EAI_SERVICE:
		return -EINVAL;
	default:
		return -EHOSTUNREACH;
	}
	if (scope == ADDR_LOOPBACK && !is_loopback(info)) {
		rc = -EACCES;
	} else {
		memcpy(&addr->sa, info->ai_addr, info->ai_addrlen);
		addr->len = info->ai_addrlen;
	}
	freeaddrinfo(info);
	return rc;
}

int
addr_parse(struct addr *addr, const char *text, enum addr_scope scope)
{
	memset(addr, 0, sizeof(*addr));
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(addr, text + 5);
	if (strncmp(text, "tcp:", 4) == 0)
		return parse_tcp(addr, text + 4, scope);
	return -EINVAL;
}

/* A socket file whose listener died refuses connections: it may go. */
static void
remove_stale(const struct addr *addr)
{
	const struct sockaddr_un *un = (const void *)&addr->sa;
	struct stat st;

	if (lstat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return;
	/* Non-blocking: a listener with a full queue is alive, and must not hang us. */
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const void *)un, addr->len) < 0 && errno == ECONNREFUSED)
		unlink(un->sun_path);
	close(fd);
}

static int
listen_once(const struct addr *addr)
{
	int on = 1;
	int fd = socket(addr->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (addr->sa.ss_family == AF_UNIX) {
		remove_stale(addr);
		/* Linux gives the socket file the mode of the socket: no window without it. */
		if (fchmod(fd, 0600) < 0)
			goto fail;
	} else if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0) {
		goto fail;
	}
	if (bind(fd, (const void *)&addr->sa, addr->len) < 0 || listen(fd, SOMAXCONN) < 0)
		goto fail;
	return fd;
fail:;
	int error = errno;
	close(fd);
	return -error;
}

int
addr_listen(const struct addr *addr)
{
	int fd;

	/* What a killed program was about to start has its listening sockets until exec. */
	for (int waited = 0; (fd = listen_once(addr)) == -EADDRINUSE && waited < IN_USE_MS &&
			     addr->sa.ss_family == AF_UNIX;
	     waited += IN_USE_PAUSE_MS)
		poll(NULL, 0, IN_USE_PAUSE_MS);
	return fd;
}

int
addr_connect(const struct addr *addr)
{
	int on = 1;
	int fd = socket(addr->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	/* Requests and answers are single writes: waiting to fill a segment only costs time. */
	if ((addr->sa.ss_family != AF_UNIX &&
	     setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0) ||
	    connect(fd, (const void *)&addr->sa, addr->len) < 0) {
		int error = errno;

		close(fd);
		return -error;
	}
	return fd;
}
