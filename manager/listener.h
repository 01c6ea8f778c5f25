/*
 * listener.h - a thread with an event loop of its own.
 *
 * Each piece of the manager's state belongs to one listener and is touched by its thread only.
 * Threads share nothing else: they hand each other tasks.
 */
#ifndef MANAGER_LISTENER_H
#define MANAGER_LISTENER_H

#include <event2/event.h>

struct listener;

/*
 * Work for another thread. It is embedded in the message that it carries, so that posting cannot
 * fail; the message belongs to the receiver from listener_post on.
 */
struct task {
	void (*run)(struct task *task);
	struct task *next;
};

/* The structure of this type in which a task is the member of this name. */
#define TASK_OWNER(task, type, member) ((type *)((char *)(task)-offsetof(type, member)))

/* listener_new: not yet running. name (at most 15 bytes) is the thread's. NULL: out of memory. */
struct listener *listener_new(const char *name);

/* listener_free: of one that does not run. Tasks that nobody took are lost. NULL does nothing. */
void listener_free(struct listener *listener);

struct event_base *listener_base(struct listener *listener);

/* listener_start: runs the loop in a thread of its own. 0 or a negative errno. */
int listener_start(struct listener *listener);

/* listener_stop: ends the loop after the event being handled, waits for the thread. */
void listener_stop(struct listener *listener);

/*
 * listener_post: has the listener's thread run the task; from any thread, also before the start.
 * Tasks of one poster are run in the order of posting.
 */
void listener_post(struct listener *listener, struct task *task);

#endif
