/*
 * The life of an instance's process: started, serving, closed; died and started again.
 *
 * closed -> starting (process there, reads its NVM) -> running (READY came) -> closing -> closed.
 * From starting and running a death that nobody asked for leads to restarting, and after a pause
 * that grows with each quick death back to starting. An HVM instance rests in listening.
 */
#include "manager/instance_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <vtpm/log.h>
#include <vtpm/manager.h>

enum {
	CLOSE_SECONDS = 10,       /* patience with an instance that was told to end */
	QUICK_DEATH_SECONDS = 10, /* a process that lived longer died of something new */
	PAUSE_FIRST_MS = 50,
	PAUSE_MAX_MS = 30000,
	PAUSE_SERVED_MS = 100, /* for one that has answered commands before it died */
	OPEN_DEATHS_MAX = 3,   /* quick deaths before those that wait for it are told */
};

const char *
instance_path(const struct instance *instance, const char *format, char path[INSTANCE_PATH_SIZE])
{
	const char *run_dir = instance->table->manager->options->run_dir;
	int len = snprintf(path, INSTANCE_PATH_SIZE, "%s/", run_dir);

	snprintf(path + len, (size_t)(INSTANCE_PATH_SIZE - len), format, instance->entry.id);
	return path;
}

static void
set_timer(struct instance *instance, unsigned milliseconds)
{
	struct timeval after = { .tv_sec = milliseconds / 1000,
				 .tv_usec = (milliseconds % 1000) * 1000 };

	event_add(instance->timer, &after);
}

/* The first restart is immediate, so that a guest notices nothing; then ever longer pauses. */
static unsigned
restart_pause(const struct instance *instance)
{
	unsigned most = instance->served ? PAUSE_SERVED_MS : PAUSE_MAX_MS;
	unsigned pause = PAUSE_FIRST_MS;

	if (instance->quick_deaths <= 1)
		return 0;
	for (unsigned i = 2; i < instance->quick_deaths && pause < most; i++)
		pause *= 2;
	return pause < most ? pause : most;
}

static void
start_after_pause(struct instance *instance)
{
	instance->state = INFO_RESTARTING;
	set_timer(instance, restart_pause(instance));
}

static void __attribute__((format(printf, 3, 4)))
fail_waiting(struct request **list, uint32_t status, const char *format, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	while (*list) {
		struct request *request = *list;

		*list = request->next;
		request_fail(request, status, "%s", text);
	}
}

/* A request that waited for the end of the process goes on. */
static void
closed(struct instance *instance, struct request *request)
{
	if (request->step)
		request_step(request, instance->table->manager->console_listener, request->step);
	else
		request_succeed(request, NULL, 0);
}

static void
check_all_closed(struct instance_table *table)
{
	if (!table->all_closed)
		return;
	for (size_t i = 0; i < table->count; i++) {
		if (table->sorted[i]->process.pid != 0)
			return;
	}
	void (*done)(void *) = table->all_closed;
	table->all_closed = NULL;
	done(table->all_closed_ctx);
}

/* There is no process any more, and none is to come. */
static void
rest(struct instance *instance)
{
	struct store_instance entry = instance->entry;

	event_del(instance->timer);
	pipes_unlink(instance);
	adopt_forget(instance);
	journal_drop(instance);
	held_close(instance);
	instance->opened = 0;
	instance->state = INFO_CLOSED;
	store_find(instance->table->manager->store, entry.id, &entry);
	instance_update(instance, &entry);
	if (!instance_holds(instance) && !instance->wanted)
		queue_flush(instance);
	while (instance->closing) {
		struct request *request = instance->closing;

		instance->closing = request->next;
		closed(instance, request);
	}
	/* Those that came while it was closing: now each of them finds it closed. */
	struct request *opening = instance->opening;
	instance->opening = NULL;
	while (opening) {
		struct request *request = opening;

		opening = request->next;
		instance_open(instance, request);
	}
	if (instance_holds(instance) && instance->first)
		instance_want(instance);
	else if (instance->wanted)
		instance_go_on(instance);
	check_all_closed(instance->table);
}

static double
seconds_since(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - then->tv_sec) + (double)(now.tv_nsec - then->tv_nsec) / 1e9;
}

/* Nobody asked for this death. An instance that never got as far as serving is given up. */
static void
died(struct instance *instance, const char *how)
{
	if (seconds_since(&instance->began) >= QUICK_DEATH_SECONDS)
		instance->quick_deaths = 0;
	instance->quick_deaths++;
	instance->restarts++;
	snprintf(instance->why, sizeof(instance->why), "its process ended: %.200s", how);
	if (instance->opening && instance->quick_deaths >= OPEN_DEATHS_MAX) {
		log_error("instance %u: %s, %u times in a row; given up", instance->entry.id,
			  instance->why, instance->quick_deaths);
		fail_waiting(&instance->opening, VTPM_FAIL,
			     "instance %u does not start: %s. The log of vtpm_managerd says more",
			     instance->entry.id, instance->why);
		rest(instance);
		return;
	}
	log_error("instance %u: %s; it is started again in %u ms", instance->entry.id,
		  instance->why, restart_pause(instance));
	start_after_pause(instance);
}

static void
exited(void *ctx, int status)
{
	struct instance *instance = ctx;
	/* How one that was taken over ended is not known, but it would not leave its client. */
	bool clean =
	    status == -1 ? !held_any(instance) : WIFEXITED(status) && WEXITSTATUS(status) == 0;
	char how[64];

	event_del(instance->timer);
	pipes_close(instance);
	queue_interrupted(instance);
	process_describe(status, how, sizeof(how));
	/* QEMU's SHUTDOWN, and its death, end an HVM instance. */
	if (instance->state == INFO_CLOSING ||
	    (clean && instance->entry.domain_type == VTPM_DOMAIN_HVM)) {
		log_info("instance %u: closed (%s)", instance->entry.id, how);
		rest(instance);
	} else {
		died(instance, how);
	}
}

/* The journal is there already if this is a restart; vtpmd then goes on where it was. */
static int
launch(struct instance *instance)
{
	const struct options *options = instance->table->manager->options;
	char id[16];
	struct process_plan plan = {
		.program = options->vtpmd,
		.args = { "vtpmd", "--run-dir", ".", "--log-level", options->log_level,
			  info_startup_name(instance->startup),
			  info_domain_name(instance->entry.domain_type), id },
		.fds = { { -1, VTPM_FDNAME_JOURNAL },
			 { instance->sockets[SOCKET_IOEMU], VTPM_FDNAME_IOEMU },
			 { instance->sockets[SOCKET_CTRL], VTPM_FDNAME_CTRL },
			 { -1, VTPM_FDNAME_HELD_IN },
			 { -1, VTPM_FDNAME_HELD_OUT } },
		.fd_count = instance->sockets[SOCKET_CTRL] >= 0 ? 5 : 1,
		.folder = options->run_dir,
		.user = instance->table->manager->user,
	};

	snprintf(id, sizeof(id), "%u", instance->entry.id);
	clock_gettime(CLOCK_MONOTONIC, &instance->began);
	instance->run = ++instance->table->runs;
	instance->saves = instance->chip_jobs = 0;
	instance->served = instance->killed = false;
	instance->frozen = false;
	int rc = journal_make(instance);
	if (rc == 0)
		rc = held_open(instance);
	if (rc == 0)
		rc = pipes_open(instance);
	if (rc < 0)
		return rc;
	plan.fds[0].fd = instance->journal;
	plan.fds[3].fd = instance->held[HELD_IN];
	plan.fds[4].fd = instance->held[HELD_OUT];
	rc = process_start(&instance->process, &plan, instance->table->base, exited, instance);
	if (rc < 0) {
		log_error("instance %u: cannot start %s: %s; see --vtpmd", instance->entry.id,
			  plan.program, strerror(-rc));
		pipes_close(instance);
		return rc;
	}
	adopt_note_process(instance);
	instance->state = INFO_STARTING;
	set_timer(instance, options->answer_seconds * 1000);
	return 0;
}

/* Makes it ready for its first process. */
static void
begin(struct instance *instance, uint8_t startup)
{
	instance->startup = startup;
	instance->opened = (uint64_t)time(NULL);
	instance->restarts = 0;
	instance->sequence = 0;
	instance->why[0] = '\0';
	sockets_watch(instance, false);
}

/* 0 or a negative errno; then it rests as before. */
static int
start(struct instance *instance, uint8_t startup)
{
	begin(instance, startup);
	instance->quick_deaths = 0;
	int rc = launch(instance);
	if (rc < 0)
		rest(instance);
	return rc;
}

void
instance_connected(struct instance *instance)
{
	if (instance_holds(instance)) {
		instance_want(instance);
		return;
	}
	begin(instance, VTPM_STARTUP_CLEAR);
	start_after_pause(instance);
}

void
instance_restart(struct instance *instance)
{
	uint64_t sequence = instance->sequence;

	begin(instance, instance->startup);
	instance->sequence = sequence;
	start_after_pause(instance);
}

int
instance_take(struct instance *instance, pid_t pid, uint64_t start_time)
{
	clock_gettime(CLOCK_MONOTONIC, &instance->began);
	instance->run = ++instance->table->runs;
	return process_adopt(&instance->process, pid, start_time, instance->table->base, exited,
			     instance);
}

/* It opens the new pipes when it gets the signal, and says again what it got no answer to. */
int
instance_resume(struct instance *instance, bool ready)
{
	int rc = pipes_open(instance);

	if (rc < 0)
		return rc;
	process_signal(&instance->process, VTPM_SIGNAL_REOPEN);
	instance->state = ready ? INFO_RUNNING : INFO_STARTING;
	if (!ready)
		set_timer(instance, instance->table->manager->options->answer_seconds * 1000);
	queue_run(instance);
	return 0;
}

void
instance_end_taken(struct instance *instance)
{
	instance->state = INFO_CLOSING;
	process_signal(&instance->process, VTPM_SIGNAL_CLOSE);
	set_timer(instance, CLOSE_SECONDS * 1000);
}

void
instance_ready(struct instance *instance)
{
	char hash[2 * 8 + 1];

	if (instance->state != INFO_STARTING)
		return;
	event_del(instance->timer);
	instance->state = INFO_RUNNING;
	for (int i = 0; i < 8; i++)
		snprintf(hash + 2 * i, 3, "%02x", instance->process.hash[i]);
	log_info("instance %u: runs (pid %d, program %s...)", instance->entry.id,
		 (int)instance->process.pid, hash);
	instance_note_start(instance);
	if (instance->record)
		record_ready(instance->record, true);
	while (instance->opening) {
		struct request *request = instance->opening;

		instance->opening = request->next;
		request_succeed(request, NULL, 0);
	}
	queue_run(instance);
}

void
instance_kill(struct instance *instance, const char *what)
{
	/* Of what it has still sent there may be much. */
	if (instance->killed)
		return;
	instance->killed = true;
	log_error("instance %u: its process (pid %d) %s; it is killed", instance->entry.id,
		  (int)instance->process.pid, what);
	process_signal(&instance->process, SIGKILL);
}

void
instance_due(evutil_socket_t fd, short what, void *arg)
{
	struct instance *instance = arg;
	int rc;

	(void)fd;
	(void)what;
	switch (instance->state) {
	case INFO_STARTING:
		instance_kill(instance, "does not get ready");
		break;
	case INFO_CLOSING:
		instance_kill(instance, "does not end");
		break;
	case INFO_RESTARTING:
		rc = launch(instance);
		if (rc < 0)
			died(instance, strerror(-rc));
		break;
	default:
		break;
	}
}

static void
wait_in(struct request **list, struct request *request)
{
	request->next = *list;
	*list = request;
}

void
instance_open(struct instance *instance, struct request *request)
{
	if (instance_refuse(instance, request))
		return;
	switch (instance->state) {
	case INFO_STARTING:
	case INFO_RESTARTING:
	case INFO_CLOSING:
		wait_in(&instance->opening, request);
		break;
	case INFO_CLOSED:
	case INFO_LISTENING:
	case INFO_SUSPENDED:
		if (start(instance, request->startup) == 0)
			wait_in(&instance->opening, request);
		else
			request_fail(request, VTPM_FAIL,
				     "instance %u cannot be started; the log of vtpm_managerd "
				     "says why",
				     instance->entry.id);
		break;
	default: /* it runs, or it will be started when it may run here */
		request_succeed(request, NULL, 0);
		break;
	}
}

/* Tells the process to end, if there is one; false if there was nothing to close. */
static bool
end(struct instance *instance)
{
	switch (instance->state) {
	case INFO_STARTING:
	case INFO_RUNNING:
		fail_waiting(&instance->opening, VTPM_FAIL, "instance %u was closed",
			     instance->entry.id);
		instance->state = INFO_CLOSING;
		process_signal(&instance->process, VTPM_SIGNAL_CANCEL);
		process_signal(&instance->process, VTPM_SIGNAL_CLOSE);
		set_timer(instance, CLOSE_SECONDS * 1000);
		return true;
	case INFO_RESTARTING:
		fail_waiting(&instance->opening, VTPM_FAIL, "instance %u was closed",
			     instance->entry.id);
		rest(instance);
		return false;
	default:
		return instance->state == INFO_CLOSING;
	}
}

void
instance_stop(struct instance *instance, struct request *request,
	      void (*step)(struct request *request))
{
	request->step = step;
	if (end(instance))
		wait_in(&instance->closing, request);
	else
		closed(instance, request);
}

void
instance_close(struct instance *instance, struct request *request)
{
	instance_stop(instance, request, NULL);
}

void
instances_close_all(struct instance_table *table, void (*done)(void *ctx), void *ctx)
{
	table->ending = true;
	table->all_closed = done;
	table->all_closed_ctx = ctx;
	for (size_t i = 0; i < table->count; i++)
		end(table->sorted[i]);
	check_all_closed(table);
}
