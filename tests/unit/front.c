#include "tests/unit/front.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char *
front_name(const struct front *front, const char *what, uint32_t number, const char *end)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s.%u.%u%s", front->dir, what, front->domid, number, end);
	return path;
}

static void *
front_grant(struct front *front, uint32_t ref)
{
	int fd = open(front_name(front, "grant", ref, ""), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, RING_PAGE_SIZE), 0);
	void *page = mmap(NULL, RING_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(page, MAP_FAILED);
	close(fd);
	return page;
}

static int
front_pipe(struct front *front, const char *end)
{
	const char *path = front_name(front, "evtchn", FRONT_PORT, end);

	ck_assert_int_eq(mkfifo(path, 0600), 0);
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	return fd;
}

void
front_open(struct front *front, const char *dir, uint32_t domid)
{
	*front = (struct front) { .dir = dir, .domid = domid };
	front->page = front_grant(front, FRONT_REF);
	front->extra = front_grant(front, FRONT_EXTRA_REF);
	front->to_back = front_pipe(front, ".back");
	front->from_back = front_pipe(front, ".front");
}

void
front_close(struct front *front)
{
	munmap(front->page, RING_PAGE_SIZE);
	munmap(front->extra, RING_PAGE_SIZE);
	close(front->to_back);
	close(front->from_back);
	unlink(front_name(front, "grant", FRONT_REF, ""));
	unlink(front_name(front, "grant", FRONT_EXTRA_REF, ""));
	unlink(front_name(front, "evtchn", FRONT_PORT, ".back"));
	unlink(front_name(front, "evtchn", FRONT_PORT, ".front"));
}

void
front_notify(struct front *front)
{
	ck_assert_int_eq(write(front->to_back, "", 1), 1);
}

void
front_set(struct front *front, enum ring_state state)
{
	__atomic_store_n(&front->page->state, (uint8_t)state, __ATOMIC_RELEASE);
	front_notify(front);
}

void
front_put(struct front *front, unsigned locality, const void *cmd, size_t len)
{
	size_t offset = sizeof(struct ring_page) + 4u * front->page->nr_extra_pages;
	size_t first = len < RING_PAGE_SIZE - offset ? len : RING_PAGE_SIZE - offset;

	memcpy((uint8_t *)front->page + offset, cmd, first);
	memcpy(front->extra, (const uint8_t *)cmd + first, len - first);
	front->page->length = (uint32_t)len;
	front->page->locality = (uint8_t)locality;
	front_set(front, RING_SUBMIT);
}

size_t
front_notified(struct front *front)
{
	char drain[64];
	ssize_t got = read(front->from_back, drain, sizeof(drain));

	return got < 0 ? 0 : (size_t)got;
}
