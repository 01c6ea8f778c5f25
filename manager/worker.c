#include "manager/worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct job {
	struct job *next;
	void (*run)(void *arg);
	void *arg;
};

struct worker {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct job *first;
	struct job **end;
	bool stop;
};

static void *
worker_loop(void *arg)
{
	struct worker *worker = arg;

	pthread_mutex_lock(&worker->lock);
	for (;;) {
		while (!worker->first && !worker->stop)
			pthread_cond_wait(&worker->wake, &worker->lock);
		struct job *job = worker->first;
		if (!job)
			break;
		worker->first = job->next;
		if (!worker->first)
			worker->end = &worker->first;
		pthread_mutex_unlock(&worker->lock);
		job->run(job->arg);
		free(job);
		pthread_mutex_lock(&worker->lock);
	}
	pthread_mutex_unlock(&worker->lock);
	return NULL;
}

int
worker_start(struct worker **worker, const char *name)
{
	struct worker *w = calloc(1, sizeof(*w));

	*worker = NULL;
	if (!w)
		return -ENOMEM;
	w->end = &w->first;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	int error = pthread_create(&w->thread, NULL, worker_loop, w);
	if (error) {
		free(w);
		return -error;
	}
	pthread_setname_np(w->thread, name);
	*worker = w;
	return 0;
}

int
worker_submit(struct worker *worker, void (*run)(void *arg), void *arg)
{
	struct job *job = malloc(sizeof(*job));

	if (!job)
		return -ENOMEM;
	*job = (struct job) { .run = run, .arg = arg };
	pthread_mutex_lock(&worker->lock);
	*worker->end = job;
	worker->end = &job->next;
	pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->lock);
	return 0;
}

void
worker_stop(struct worker *worker)
{
	if (!worker)
		return;
	pthread_mutex_lock(&worker->lock);
	worker->stop = true;
	pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->lock);
	pthread_join(worker->thread, NULL);
	pthread_cond_destroy(&worker->wake);
	pthread_mutex_destroy(&worker->lock);
	free(worker);
}
