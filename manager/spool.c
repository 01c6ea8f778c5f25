#include "manager/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vtpm/log.h>
#include <vtpm/manager.h>

#include "manager/record.h"

enum {
	START = RECORD_BOOT_SIZE, /* the file begins with the boot it is of */
	CHUNK = 64 * 1024,
	/* The file cannot be emptied while a command is open; it grows no longer than that. */
	KEPT_MAX = 64 * 1024 * 1024,
};

/* What the instance number at the start of an answered message is overwritten with: no guest's. */
static const uint8_t crossed_out[VTPM_INSTANCE_SIZE];

struct spool {
	int fd;
	off_t size;     /* of the file */
	off_t appended; /* up to where it was returned, and beyond size what was not kept */
	off_t old;      /* what an earlier manager left ends here */
	unsigned open;  /* messages marked and not done */
};

/* Empties the file. */
static int
begin(struct spool *spool)
{
	uint8_t boot[RECORD_BOOT_SIZE];

	record_boot(boot);
	if (ftruncate(spool->fd, 0) < 0 || pwrite(spool->fd, boot, sizeof(boot), 0) < 0)
		return -errno;
	spool->size = spool->appended = spool->old = START;
	return 0;
}

static bool
of_this_boot(int fd)
{
	uint8_t boot[RECORD_BOOT_SIZE];
	uint8_t stored[RECORD_BOOT_SIZE];

	record_boot(boot);
	return pread(fd, stored, sizeof(stored), 0) == sizeof(stored) &&
	       memcmp(boot, stored, sizeof(boot)) == 0;
}

int
spool_open(struct spool **out, const char *path)
{
	struct spool *spool = calloc(1, sizeof(*spool));
	struct stat st;
	int rc = 0;

	if (!spool)
		return -ENOMEM;
	spool->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (spool->fd < 0 || fstat(spool->fd, &st) < 0) {
		rc = -errno;
	} else if (of_this_boot(spool->fd) && st.st_size <= KEPT_MAX + CHUNK) {
		spool->size = spool->old = st.st_size;
		spool->appended = START;
	} else {
		rc = begin(spool);
	}
	if (rc < 0) {
		spool_close(spool);
		return rc;
	}
	*out = spool;
	return 0;
}

void
spool_close(struct spool *spool)
{
	if (!spool)
		return;
	if (spool->fd >= 0)
		close(spool->fd);
	free(spool);
}

/* Appends what the file has beyond what was returned. */
static ssize_t
append(struct spool *spool, struct evbuffer *input)
{
	struct evbuffer_iovec room;
	ssize_t total = 0;

	while (spool->appended < spool->size) {
		if (evbuffer_reserve_space(input, CHUNK, &room, 1) != 1)
			return -ENOMEM;
		size_t most = (size_t)(spool->size - spool->appended);
		ssize_t n =
		    pread(spool->fd, room.iov_base, most < CHUNK ? most : CHUNK, spool->appended);
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		room.iov_len = (size_t)n;
		evbuffer_commit_space(input, &room, 1);
		spool->appended += n;
		total += n;
	}
	return total;
}

/* Reads without keeping, until the file can be emptied. */
static ssize_t
fill_unkept(struct spool *spool, int fd, struct evbuffer *input)
{
	uint8_t buf[CHUNK];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n < 0)
		return -errno;
	if (n > 0 && evbuffer_add(input, buf, (size_t)n) < 0)
		return -ENOMEM;
	spool->appended += n;
	return n;
}

ssize_t
spool_fill(struct spool *spool, int fd, struct evbuffer *input)
{
	loff_t offset = spool->size;

	if (spool->appended < spool->size)
		return append(spool, input);
	if (spool->open == 0 && evbuffer_get_length(input) == 0 && spool->appended > CHUNK) {
		int rc = begin(spool);

		if (rc < 0)
			return rc;
		offset = spool->size;
	}
	if (spool->size > KEPT_MAX || spool->appended > spool->size)
		return fill_unkept(spool, fd, input);
	ssize_t n = splice(fd, NULL, spool->fd, &offset, CHUNK, SPLICE_F_NONBLOCK);
	if (n <= 0)
		/* A device, a full disk: better not kept than not served. */
		return n < 0 && errno == EAGAIN ? -EAGAIN : fill_unkept(spool, fd, input);
	spool->size += n;
	return append(spool, input);
}

uint64_t
spool_mark(struct spool *spool, size_t before_end, bool *answered)
{
	uint8_t instance[VTPM_INSTANCE_SIZE];
	off_t at = spool->appended - (off_t)before_end;

	*answered = at < spool->old &&
		    pread(spool->fd, instance, sizeof(instance), at) == sizeof(instance) &&
		    memcmp(instance, crossed_out, sizeof(instance)) == 0;
	if (*answered || at >= spool->size)
		return 0;
	spool->open++;
	return (uint64_t)at;
}

bool
spool_inherited(const struct spool *spool, uint64_t mark)
{
	return mark != 0 && (off_t)mark < spool->old;
}

void
spool_done(struct spool *spool, uint64_t mark)
{
	if (mark == 0)
		return;
	spool->open--;
	if (pwrite(spool->fd, crossed_out, sizeof(crossed_out), (off_t)mark) < 0)
		log_warning("a command that was answered cannot be crossed out: %s",
			    strerror(errno));
}
