#include "manager/hotplug.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vtpm/log.h>

#include "manager/process.h"

struct hotplug_run {
	TAILQ_ENTRY(hotplug_run) link;
	struct hotplug *hotplug;
	struct process process;
	struct event *timer;
	char *key;
	char *verb;
	char *env[HOTPLUG_ENV_MAX + 1];
	bool running;
	void (*done)(void *ctx, bool ok);
	void *ctx;
};

struct hotplug {
	struct event_base *base;
	char *script;
	struct event *next; /* starts what may start */
	TAILQ_HEAD(run_list, hotplug_run) runs;
};

static void
run_free(struct hotplug_run *run)
{
	if (run->running)
		process_leave(&run->process);
	TAILQ_REMOVE(&run->hotplug->runs, run, link);
	if (run->timer)
		event_free(run->timer);
	for (size_t i = 0; run->env[i]; i++)
		free(run->env[i]);
	free(run->key);
	free(run->verb);
	free(run);
}

static void
run_finish(struct hotplug_run *run, bool ok)
{
	struct event *next = run->hotplug->next;
	void (*done)(void *, bool) = run->done;
	void *ctx = run->ctx;

	run_free(run);
	event_active(next, EV_TIMEOUT, 0);
	if (done)
		done(ctx, ok);
}

static void
on_exited(void *ctx, int status)
{
	struct hotplug_run *run = ctx;
	bool ok = status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	char text[128];

	run->running = false;
	if (!ok)
		log_error("hotplug script %s %s for vTPM %s ended with %s", run->hotplug->script,
			  run->verb, run->key, process_describe(status, text, sizeof(text)));
	run_finish(run, ok);
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct hotplug_run *run = arg;

	(void)fd;
	(void)what;
	log_error("hotplug script %s %s for vTPM %s has not ended after %d s and is killed",
		  run->hotplug->script, run->verb, run->key, HOTPLUG_SECONDS);
	/* It leads a group of its own; on_exited follows. */
	kill(-run->process.pid, SIGKILL);
}

/* run_environment: the manager's own, with that of the run before it; to be freed. */
static char **
run_environment(struct hotplug_run *run)
{
	size_t count = 0;

	while (environ[count])
		count++;
	char **env = calloc(HOTPLUG_ENV_MAX + count + 1, sizeof(*env));
	if (!env)
		return NULL;
	size_t n = 0;
	for (; run->env[n]; n++)
		env[n] = run->env[n];
	memcpy(env + n, environ, count * sizeof(*env));
	return env;
}

/* run_spawn: returns the script's pid or a negative errno. */
static pid_t
run_spawn(struct hotplug_run *run)
{
	char *args[] = { run->hotplug->script, run->verb, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char **env = run_environment(run);
	sigset_t signals;
	pid_t pid;

	if (!env)
		return -ENOMEM;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	posix_spawnattr_init(&attributes);
	sigemptyset(&signals);
	posix_spawnattr_setsigmask(&attributes, &signals);
	sigfillset(&signals);
	posix_spawnattr_setsigdefault(&attributes, &signals);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
						  POSIX_SPAWN_SETSIGDEF);
	int error = posix_spawn(&pid, args[0], &actions, &attributes, args, env);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	free(env);
	return error ? -error : pid;
}

/* run_begin: returns 0 or a negative errno; then nothing runs. */
static int
run_begin(struct hotplug_run *run)
{
	struct timeval limit = { .tv_sec = HOTPLUG_SECONDS };
	struct event_base *base = run->hotplug->base;

	pid_t pid = run_spawn(run);
	if (pid < 0)
		return pid;
	int error = process_watch(&run->process, pid, base, on_exited, run);
	if (error) {
		process_leave(&run->process);
		kill(-pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return error;
	}
	run->running = true;
	evtimer_add(run->timer, &limit);
	return 0;
}

/* run_may_begin: whether no earlier one of its key is left. */
static bool
run_may_begin(struct hotplug_run *run)
{
	struct hotplug_run *earlier = run;

	while ((earlier = TAILQ_PREV(earlier, run_list, link)))
		if (strcmp(earlier->key, run->key) == 0)
			return false;
	return !run->running;
}

static struct hotplug_run *
next_to_begin(struct hotplug *hotplug)
{
	struct hotplug_run *run = TAILQ_FIRST(&hotplug->runs);

	while (run && !run_may_begin(run))
		run = TAILQ_NEXT(run, link);
	return run;
}

static void
on_next(evutil_socket_t fd, short what, void *arg)
{
	struct hotplug *hotplug = arg;
	struct hotplug_run *run;

	(void)fd;
	(void)what;
	while ((run = next_to_begin(hotplug))) {
		int error = run_begin(run);

		if (error) {
			log_error("cannot run the hotplug script %s: %s", hotplug->script,
				  strerror(-error));
			/* Others of its key have their turn when this is called again. */
			run_finish(run, false);
			return;
		}
	}
}

struct hotplug *
hotplug_new(struct event_base *base, const char *script)
{
	struct hotplug *hotplug = calloc(1, sizeof(*hotplug));

	if (!hotplug)
		return NULL;
	TAILQ_INIT(&hotplug->runs);
	hotplug->base = base;
	hotplug->script = strdup(script);
	hotplug->next = event_new(base, -1, 0, on_next, hotplug);
	if (hotplug->script && hotplug->next)
		return hotplug;
	hotplug_free(hotplug);
	return NULL;
}

void
hotplug_free(struct hotplug *hotplug)
{
	if (!hotplug)
		return;
	while (!TAILQ_EMPTY(&hotplug->runs))
		run_free(TAILQ_FIRST(&hotplug->runs));
	if (hotplug->next)
		event_free(hotplug->next);
	free(hotplug->script);
	free(hotplug);
}

static bool
copy_env(struct hotplug_run *run, const char *const env[])
{
	for (size_t i = 0; env[i] && i < HOTPLUG_ENV_MAX; i++) {
		run->env[i] = strdup(env[i]);
		if (!run->env[i])
			return false;
	}
	return true;
}

struct hotplug_run *
hotplug_start(struct hotplug *hotplug, const char *key, const char *verb, const char *const env[],
	      void (*done)(void *ctx, bool ok), void *ctx)
{
	struct hotplug_run *run = calloc(1, sizeof(*run));

	if (!run)
		return NULL;
	run->hotplug = hotplug;
	run->done = done;
	run->ctx = ctx;
	TAILQ_INSERT_TAIL(&hotplug->runs, run, link);
	run->key = strdup(key);
	run->verb = strdup(verb);
	run->timer = evtimer_new(hotplug->base, on_timeout, run);
	if (!run->key || !run->verb || !run->timer || !copy_env(run, env)) {
		run_free(run);
		return NULL;
	}
	event_active(hotplug->next, EV_TIMEOUT, 0);
	return run;
}

void
hotplug_forget(struct hotplug_run *run)
{
	run->done = NULL;
}
