/*
 * file.h - whole files, read with a limit and written so that a crash leaves the old or the new.
 */
#ifndef VTPM_FILE_H
#define VTPM_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * file_read: the whole of a file of at most max bytes, in memory that the caller frees (and wipes
 * if it is secret). *data is never NULL on success. Returns 0 or a negative errno: -ENOENT,
 * -EFBIG when it is longer than max, -EINVAL when it is not a regular file.
 */
int file_read(const char *path, size_t max, uint8_t **data, size_t *len);

/*
 * file_write_durable: replaces the file in one step: a temporary file beside it ("PATH.tmp"),
 * fsync, rename, fsync of the folder. When it returns 0 the new content survives a power failure;
 * on a negative errno the old content is still in place, with one exception: if only the last fsync
 * fails, the new content is in place but may not be durable. Two writers of one file at the same
 * time are the caller's to prevent.
 */
int file_write_durable(const char *path, const void *data, size_t len, mode_t mode);

/* file_write_all: writes len bytes to a blocking descriptor, all of them. 0 or a negative errno. */
int file_write_all(int fd, const void *data, size_t len);

/*
 * file_lock: takes the lock that the file (made with mode 0600 if missing) stands for, as long as
 * the returned descriptor is open and this process lives; it does not pass to children. Returns
 * the descriptor or a negative errno; -EAGAIN when another process has it, whose pid is then in
 * *holder (0 if it cannot be told). holder may be NULL. The process must not open the file again.
 */
int file_lock(const char *path, pid_t *holder);

#endif
