/*
 * fifo.h - the named pipes between manager, instances and tools (vtpm/manager.h).
 */
#ifndef VTPM_FIFO_H
#define VTPM_FIFO_H

/*
 * fifo_open: opens a pipe, making it (mode 0600) if it is missing, for reading and writing, so that
 * no peer's death is an end of file and none's absence blocks; non-blocking, close-on-exec. Returns
 * the descriptor, which the caller closes, or a negative errno; -EEXIST when something that is not
 * a pipe has that name.
 */
int fifo_open(const char *path);

#endif
