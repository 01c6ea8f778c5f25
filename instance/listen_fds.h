/*
 * listen_fds.h - descriptors handed over by whoever started us (sd_listen_fds(3)).
 */
#ifndef INSTANCE_LISTEN_FDS_H
#define INSTANCE_LISTEN_FDS_H

/*
 * listen_fd: the descriptor of this name (VTPM_FDNAME_*), close-on-exec from now on, or -1 if
 * there is none.
 */
int listen_fd(const char *name);

#endif
