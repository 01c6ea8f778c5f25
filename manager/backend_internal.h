/*
 * backend_internal.h - the back-ends as the manager sees them.
 */
#ifndef MANAGER_BACKEND_INTERNAL_H
#define MANAGER_BACKEND_INTERNAL_H

#include <stdbool.h>

struct backend;
struct backends;
struct command;
struct manager;

/*
 * backends_new: opens every back-end of the options; to be called before the back-end listener is
 * started. NULL after the reason was logged.
 */
struct backends *backends_new(struct manager *manager);

/* backends_free: closes them, after the listener has stopped. NULL does nothing. */
void backends_free(struct backends *backends);

/*
 * For a command of an earlier manager, taken from the back-end with this place in the options:
 * backend_submits_again says whether its front-end will submit it once more. If not,
 * backend_deliver, as a command's done with the manager as ctx, hands over the response.
 */
bool backend_submits_again(const struct manager *manager, unsigned place);
void backend_deliver(struct command *command, void *ctx);

/* backend_manager: whose back-end it is. */
struct manager *backend_manager(struct backend *backend);

#endif
