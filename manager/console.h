/*
 * console.h - where privileged requests come from: the pipe pair of old scripts, and the manager's
 * socket, which all tools of ours use. Both carry vtpm/manager.h's messages.
 */
#ifndef MANAGER_CONSOLE_H
#define MANAGER_CONSOLE_H

struct console;
struct manager;

/*
 * console_new: opens both; to be called before the console's listener is started. NULL after the
 * reason was logged.
 */
struct console *console_new(struct manager *manager);

/* console_free: after the listener has stopped. NULL does nothing. */
void console_free(struct console *console);

#endif
