/*
 * spool.h - what came out of a stream and is not answered yet, in a file, for the next manager.
 *
 * A command on a ring stays there until it is answered; one that was read from a pipe would be lost
 * with its reader. Therefore what a pipe holds is moved into a file in one system call, and taken
 * from there; a message that was answered is crossed out in the file. When none is left the file is
 * emptied. It is not synced, and worth nothing after a reboot: those who wrote are gone, too.
 */
#ifndef MANAGER_SPOOL_H
#define MANAGER_SPOOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <event2/buffer.h>

struct spool;

/* spool_open: with what an earlier manager left, if it did in this boot. 0 or a negative errno. */
int spool_open(struct spool **spool, const char *path);
void spool_close(struct spool *spool); /* NULL does nothing */

/*
 * spool_fill: moves what can be read from fd into the file, and appends everything in the file that
 * was not returned yet to input. Returns the number of bytes appended, 0 at the end of the stream,
 * or a negative errno (-EAGAIN: nothing there).
 */
ssize_t spool_fill(struct spool *spool, int fd, struct evbuffer *input);

/*
 * spool_mark: a message has been received whose first byte is that many bytes before the end of
 * what was appended. The number returned names it, and is 0 if it is not in the file, which has a
 * limit, or was crossed out by an earlier manager, which is told by *answered.
 * spool_inherited: an earlier manager read it. spool_done: the message (0: none) has been answered.
 */
uint64_t spool_mark(struct spool *spool, size_t before_end, bool *answered);
bool spool_inherited(const struct spool *spool, uint64_t mark);
void spool_done(struct spool *spool, uint64_t mark);

#endif
