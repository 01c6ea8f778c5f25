#include "instance/background.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/resource.h>

/* A tenth of the processor, as long as others want it. */
enum { NICER = 10 };

struct background {
	pthread_t thread;
	sem_t begin;
	sem_t done;
	void (*work)(void *arg); /* NULL: it ends */
	void *arg;
};

static void
wait_for(sem_t *sem)
{
	while (sem_wait(sem) < 0)
		continue;
}

static void *
serve(void *arg)
{
	struct background *background = arg;

	/* Linux: of this thread. No privilege would be needed but to take it back. */
	setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + NICER);
	sem_post(&background->done);
	for (;;) {
		wait_for(&background->begin);
		if (!background->work)
			return NULL;
		background->work(background->arg);
		sem_post(&background->done);
	}
}

int
background_open(struct background **background)
{
	struct background *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	sem_init(&b->begin, 0, 0);
	sem_init(&b->done, 0, 0);
	int error = pthread_create(&b->thread, NULL, serve, b);
	if (error) {
		free(b);
		return -error;
	}
	wait_for(&b->done);
	*background = b;
	return 0;
}

void
background_close(struct background *background)
{
	if (!background)
		return;
	background->work = NULL;
	sem_post(&background->begin);
	pthread_join(background->thread, NULL);
	sem_destroy(&background->begin);
	sem_destroy(&background->done);
	free(background);
}

void
background_run(struct background *background, void (*work)(void *arg), void *arg)
{
	if (!background) {
		work(arg);
		return;
	}
	background->work = work;
	background->arg = arg;
	sem_post(&background->begin);
	wait_for(&background->done);
}
