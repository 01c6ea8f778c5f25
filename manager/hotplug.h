/*
 * hotplug.h - running the hotplug script, as xend and udev did: SCRIPT add|remove, with XENBUS_PATH
 * and more in its environment.
 *
 * Nothing here blocks. Scripts of one key, the TPM's uuid, run one after the other in the order
 * they were asked for; others run beside each other. One that does not end is killed, with all that
 * it started.
 */
#ifndef MANAGER_HOTPLUG_H
#define MANAGER_HOTPLUG_H

#include <stdbool.h>
#include <stddef.h>

#include <event2/event.h>

enum {
	HOTPLUG_ENV_MAX = 8,
	HOTPLUG_SECONDS = 300, /* a new endorsement key takes its time on a busy host */
};

struct hotplug;
struct hotplug_run;

/* hotplug_new: for one script. Returns NULL when memory is short. */
struct hotplug *hotplug_new(struct event_base *base, const char *script);

/* hotplug_free: stops to watch; scripts that run are left to run, others never will. No done is
 * called. NULL is nothing. */
void hotplug_free(struct hotplug *hotplug);

/*
 * hotplug_start: runs the script with verb and, added to the manager's environment, env: up to
 * HOTPLUG_ENV_MAX texts "NAME=VALUE" that end with NULL; all is copied. done(ctx, ok) is called
 * later, exactly once, never from within; ok is whether it ended with status 0, the rest is logged.
 * done may be NULL. Returns NULL when memory is short.
 */
struct hotplug_run *hotplug_start(struct hotplug *hotplug, const char *key, const char *verb,
				  const char *const env[], void (*done)(void *ctx, bool ok),
				  void *ctx);

/* hotplug_forget: done will not be called; the script runs to its end. */
void hotplug_forget(struct hotplug_run *run);

#endif
