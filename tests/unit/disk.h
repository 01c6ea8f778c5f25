/*
 * disk.h - a disk that loses power, runs full and breaks, for tests of what must survive that.
 *
 * Linking disk.c puts it between the program and the C library's open, openat, write, pwrite,
 * ftruncate, fsync, fdatasync, rename, renameat, unlink and unlinkat. While it watches a folder it
 * notes every call that changes something in it. Afterwards it can tell how the folder may look
 * when the power fails before any one of those calls: what was flushed is there; of what was not,
 * names and bytes, any part may be there or not, and a write may be torn. It can also make calls
 * fail.
 */
#ifndef TESTS_UNIT_DISK_H
#define TESTS_UNIT_DISK_H

#include <stdbool.h>

/* disk_watch: from now on, until disk_unwatch, calls that concern files in folder are noted. */
void disk_watch(const char *folder);
void disk_unwatch(void);

/*
 * disk_boot: from now on the kernel seems to be in its n-th boot (boot_id of /proc), n > 0; 0: as
 * it is.
 */
void disk_boot(unsigned n);

/* disk_mark: notes that somebody was just told "it is durable". */
void disk_mark(void);

/* disk_calls: number of calls noted. */
unsigned disk_calls(void);

/*
 * disk_image: writes into the folder `to` (whose files are removed first) what the watched one may
 * hold when the power fails before call number n (disk_calls(): after the last). chance 0: all that
 * was written is there, as after kill -9; 1: only what was flushed; others: by that chance. Returns
 * whether disk_mark had been called by then.
 */
bool disk_image(const char *to, unsigned n, unsigned chance);

/*
 * disk_fail: call number n (from now on, counting from 0) and, with lasting, all after it fail with
 * error; what is written up to then may be short. -1 ends it.
 */
void disk_fail(int n, int error, bool lasting);

/* disk_failed: whether that call was reached. */
bool disk_failed(void);

#endif
