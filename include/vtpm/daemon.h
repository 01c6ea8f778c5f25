/*
 * daemon.h - becoming a daemon, whose starter learns whether it got ready.
 */
#ifndef VTPM_DAEMON_H
#define VTPM_DAEMON_H

/*
 * daemon_begin: goes on in a child process, in a session of its own. The parent stays until the
 * child calls daemon_ready, then exits with status 0, or until the child ends, then with 1. Returns
 * in the child only: 0 or a negative errno.
 */
int daemon_begin(void);

/*
 * daemon_ready: lets the parent go, and the terminal: from now on, messages go to the file
 * log_path.
 */
void daemon_ready(const char *log_path);

#endif
