#include <vtpm/file.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads until len bytes or the end of the file; the number of bytes read or a negative errno. */
static ssize_t
read_fully(int fd, uint8_t *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, data + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int
file_read(const char *path, size_t max, uint8_t **data, size_t *len)
{
	uint8_t *buf = NULL;
	struct stat st;
	int rc;

	/* Non-blocking: a FIFO of that name must not hang the opener. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		rc = -errno;
		goto out;
	}
	rc = S_ISREG(st.st_mode) ? 0 : -EINVAL;
	if (rc == 0 && (uint64_t)st.st_size > max)
		rc = -EFBIG;
	if (rc < 0)
		goto out;

	/* One byte more than expected shows a file that grew meanwhile. */
	size_t size = (size_t)st.st_size + 1;
	buf = malloc(size);
	if (!buf) {
		rc = -ENOMEM;
		goto out;
	}
	ssize_t got = read_fully(fd, buf, size);
	if (got < 0)
		rc = (int)got;
	else if ((size_t)got == size)
		rc = -EBUSY;
	else
		*len = (size_t)got;
	if (rc == 0) {
		*data = buf;
		buf = NULL;
	}
out:
	free(buf);
	close(fd);
	return rc;
}

int
file_write_all(int fd, const void *data, size_t len)
{
	const uint8_t *rest = data;

	while (len > 0) {
		ssize_t n = write(fd, rest, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		rest += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Makes the folder's entries durable: the rename, not only the file. */
static int
sync_folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	int rc = 0;

	if (!folder)
		return -ENOMEM;
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		rc = -errno;
	if (fd >= 0)
		close(fd);
	free(folder);
	return rc;
}

static int
write_temporary(const char *path, const void *data, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);

	if (fd < 0)
		return -errno;
	int rc = file_write_all(fd, data, len);
	if (rc == 0 && fsync(fd) < 0)
		rc = -errno;
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	return rc;
}

int
file_write_durable(const char *path, const void *data, size_t len, mode_t mode)
{
	char *temporary;

	if (asprintf(&temporary, "%s.tmp", path) < 0)
		return -ENOMEM;
	int rc = write_temporary(temporary, data, len, mode);
	if (rc == 0 && rename(temporary, path) < 0)
		rc = -errno;
	/* A full disk must not stay full with our half of a file. */
	if (rc < 0)
		unlink(temporary);
	else
		rc = sync_folder_of(path);
	free(temporary);
	return rc;
}

int
file_lock(const char *path, pid_t *holder)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_SETLK, &lock) == 0)
		return fd;
	int error = errno == EACCES ? EAGAIN : errno;
	if (holder) {
		*holder = 0;
		if (error == EAGAIN && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
			*holder = lock.l_pid;
	}
	close(fd);
	return -error;
}
