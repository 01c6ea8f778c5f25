#include "manager/grants.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vtpm/log.h>
#include <vtpm/ring.h>

enum {
	SHM_PORTS_MAX = 1024,
};

struct shm_port {
	bool bound;
	int in;  /* from the front-end */
	int out; /* to the front-end */
};

struct grants_shm {
	struct grants base;
	int dir;
	int epoll;
	struct shm_port ports[SHM_PORTS_MAX];
};

static struct grants_shm *
shm_of(struct grants *g)
{
	return (struct grants_shm *)g;
}

static void
shm_unbind(struct grants *g, int port)
{
	struct shm_port *p = &shm_of(g)->ports[port];

	if (!p->bound)
		return;
	close(p->in);
	close(p->out);
	p->bound = false;
}

static void
shm_close(struct grants *g)
{
	struct grants_shm *s = shm_of(g);

	for (int port = 0; port < SHM_PORTS_MAX; port++)
		shm_unbind(g, port);
	if (s->epoll >= 0)
		close(s->epoll);
	if (s->dir >= 0)
		close(s->dir);
	free(s);
}

static int
shm_map_page(struct grants_shm *s, uint32_t domid, uint32_t ref, void *where)
{
	char name[64];
	void *page = MAP_FAILED;

	snprintf(name, sizeof(name), "grant.%u.%u", domid, ref);
	int fd = openat(s->dir, name, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* A shorter file would raise SIGBUS at the first access. */
	if (lseek(fd, 0, SEEK_END) >= RING_PAGE_SIZE)
		page = mmap(where, RING_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			    fd, 0);
	close(fd);
	return page == MAP_FAILED ? -EINVAL : 0;
}

static void *
shm_map(struct grants *g, uint32_t domid, const uint32_t *refs, uint32_t count)
{
	size_t size = (size_t)count * RING_PAGE_SIZE;
	char *pages = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		return NULL;
	for (uint32_t i = 0; i < count; i++) {
		int error = shm_map_page(shm_of(g), domid, refs[i], pages + i * RING_PAGE_SIZE);

		if (error) {
			munmap(pages, size);
			errno = -error;
			return NULL;
		}
	}
	return pages;
}

static void
shm_unmap(struct grants *g, void *pages, uint32_t count)
{
	(void)g;
	munmap(pages, (size_t)count * RING_PAGE_SIZE);
}

static int
shm_open_pipe(struct grants_shm *s, uint32_t domid, uint32_t port, const char *direction)
{
	char name[64];

	snprintf(name, sizeof(name), "evtchn.%u.%u.%s", domid, port, direction);
	int fd = openat(s->dir, name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int
shm_bind(struct grants *g, uint32_t domid, uint32_t remote_port)
{
	struct grants_shm *s = shm_of(g);
	int port = 0;

	while (port < SHM_PORTS_MAX && s->ports[port].bound)
		port++;
	if (port == SHM_PORTS_MAX)
		return -ENOSPC;
	int in = shm_open_pipe(s, domid, remote_port, "back");
	if (in < 0)
		return in;
	int out = shm_open_pipe(s, domid, remote_port, "front");
	if (out < 0) {
		close(in);
		return out;
	}
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT, .data.fd = port };
	if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, in, &event) != 0) {
		int error = -errno;

		close(in);
		close(out);
		return error;
	}
	s->ports[port] = (struct shm_port) { .bound = true, .in = in, .out = out };
	return port;
}

static int
shm_notify(struct grants *g, int port)
{
	/* A full pipe is a notification that nobody has taken yet: one more says no more. */
	ssize_t sent = write(shm_of(g)->ports[port].out, "", 1);

	return sent < 0 && errno != EAGAIN ? -errno : 0;
}

static int
shm_fd(struct grants *g)
{
	return shm_of(g)->epoll;
}

static int
shm_pending(struct grants *g)
{
	struct grants_shm *s = shm_of(g);
	struct epoll_event event;
	char drain[512];

	/* The one-shot event masks the port until shm_unmask. */
	if (epoll_wait(s->epoll, &event, 1, 0) < 1)
		return -EAGAIN;
	while (read(s->ports[event.data.fd].in, drain, sizeof(drain)) > 0)
		continue;
	return event.data.fd;
}

static int
shm_unmask(struct grants *g, int port)
{
	struct grants_shm *s = shm_of(g);
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT, .data.fd = port };

	return epoll_ctl(s->epoll, EPOLL_CTL_MOD, s->ports[port].in, &event) ? -errno : 0;
}

static enum domain_life
shm_life(struct grants *g, uint32_t domid)
{
	char name[64];
	char digit = '0' + DOMAIN_RUNNING;

	snprintf(name, sizeof(name), "life.%u", domid);
	int fd = openat(shm_of(g)->dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return DOMAIN_RUNNING;
	ssize_t got = read(fd, &digit, 1);
	close(fd);
	if (got != 1 || digit < '0' || digit > '0' + DOMAIN_UNKNOWN)
		return DOMAIN_UNKNOWN;
	return (enum domain_life)(digit - '0');
}

static bool
shm_restored(struct grants *g, uint32_t domid)
{
	char name[64];

	snprintf(name, sizeof(name), "restored.%u", domid);
	return faccessat(shm_of(g)->dir, name, F_OK, 0) == 0;
}

static const struct grants_ops shm_ops = {
	.close = shm_close,
	.map = shm_map,
	.unmap = shm_unmap,
	.bind = shm_bind,
	.unbind = shm_unbind,
	.notify = shm_notify,
	.fd = shm_fd,
	.pending = shm_pending,
	.unmask = shm_unmask,
	.life = shm_life,
	.restored = shm_restored,
};

int
grants_shm_open(const char *dir, struct grants **out)
{
	struct grants_shm *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->base.ops = &shm_ops;
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->epoll < 0 || s->dir < 0) {
		int error = -errno;

		log_error("cannot use %s in place of a hypervisor: %m", dir);
		shm_close(&s->base);
		return error;
	}
	*out = &s->base;
	return 0;
}
