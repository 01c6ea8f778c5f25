/*
 * backend_internal.h - the back-ends as the manager sees them.
 */
#ifndef MANAGER_BACKEND_INTERNAL_H
#define MANAGER_BACKEND_INTERNAL_H

struct backend;
struct backends;
struct manager;

/*
 * backends_new: opens every back-end of the options; to be called before the back-end listener is
 * started. NULL after the reason was logged.
 */
struct backends *backends_new(struct manager *manager);

/* backends_free: closes them, after the listener has stopped. NULL does nothing. */
void backends_free(struct backends *backends);

/* backend_manager: whose back-end it is. */
struct manager *backend_manager(struct backend *backend);

#endif
