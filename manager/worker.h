/*
 * worker.h - one thread that does, in order, what others must not wait for.
 */
#ifndef MANAGER_WORKER_H
#define MANAGER_WORKER_H

struct worker;

/* worker_start: a new thread with an empty queue. 0, -ENOMEM or -EAGAIN. */
int worker_start(struct worker **worker, const char *name);

/*
 * worker_submit: run(arg) will be called on the worker's thread, after all that was submitted
 * before. To get a result back into an event loop, run wakes that loop up itself. -ENOMEM; arg
 * remains the caller's then.
 */
int worker_submit(struct worker *worker, void (*run)(void *arg), void *arg);

/* worker_stop: waits until the queue is done and the thread has ended. NULL is fine. */
void worker_stop(struct worker *worker);

#endif
