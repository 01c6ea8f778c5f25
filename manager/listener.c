#include "manager/listener.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct listener {
	const char *name;
	struct event_base *base;
	struct event *wakeup;
	pthread_t thread;
	bool running;
	pthread_mutex_t lock; /* protects the list below */
	struct task *first;
	struct task **last;
};

/* Takes the whole list at once: a task that posts to its own listener cannot starve the loop. */
static void
run_tasks(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;

	(void)fd;
	(void)what;
	pthread_mutex_lock(&listener->lock);
	struct task *task = listener->first;
	listener->first = NULL;
	listener->last = &listener->first;
	pthread_mutex_unlock(&listener->lock);
	while (task) {
		struct task *next = task->next;

		task->run(task);
		task = next;
	}
}

struct listener *
listener_new(const char *name)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (!listener)
		return NULL;
	listener->name = name;
	listener->last = &listener->first;
	pthread_mutex_init(&listener->lock, NULL);
	listener->base = event_base_new();
	if (listener->base)
		listener->wakeup = event_new(listener->base, -1, EV_PERSIST, run_tasks, listener);
	if (!listener->wakeup) {
		listener_free(listener);
		return NULL;
	}
	return listener;
}

void
listener_free(struct listener *listener)
{
	if (!listener)
		return;
	if (listener->wakeup)
		event_free(listener->wakeup);
	if (listener->base)
		event_base_free(listener->base);
	pthread_mutex_destroy(&listener->lock);
	free(listener);
}

struct event_base *
listener_base(struct listener *listener)
{
	return listener->base;
}

static void *
run_loop(void *arg)
{
	struct listener *listener = arg;

	event_base_loop(listener->base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

int
listener_start(struct listener *listener)
{
	int rc = pthread_create(&listener->thread, NULL, run_loop, listener);

	if (rc == 0) {
		listener->running = true;
		pthread_setname_np(listener->thread, listener->name);
	}
	return -rc;
}

void
listener_stop(struct listener *listener)
{
	if (!listener->running)
		return;
	event_base_loopbreak(listener->base);
	pthread_join(listener->thread, NULL);
	listener->running = false;
}

void
listener_post(struct listener *listener, struct task *task)
{
	task->next = NULL;
	pthread_mutex_lock(&listener->lock);
	*listener->last = task;
	listener->last = &task->next;
	pthread_mutex_unlock(&listener->lock);
	event_active(listener->wakeup, 0, 0);
}
