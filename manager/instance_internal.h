/*
 * instance_internal.h - what the files instance*.c share.
 */
#ifndef MANAGER_INSTANCE_INTERNAL_H
#define MANAGER_INSTANCE_INTERNAL_H

#include <stdbool.h>

#include <event2/event.h>

#include <vtpm/log.h>

#include "manager/channel.h"
#include "manager/instance.h"
#include "manager/manager.h"
#include "manager/process.h"

enum {
	INSTANCE_QUEUE_MAX = 32,   /* commands waiting for one instance */
	INSTANCE_ATTEMPTS_MAX = 3, /* an instance that dies of a command gets it no fourth time */
	INSTANCE_PATH_SIZE = 512,
};

enum instance_pipe {
	PIPE_TPM_CMD,
	PIPE_TPM_RSP,
	PIPE_VTPM_CMD,
	PIPE_VTPM_RSP,
	PIPE_COUNT,
};

enum instance_socket {
	SOCKET_IOEMU,
	SOCKET_CTRL,
	SOCKET_COUNT,
};

/* The two ends of VTPM_FDNAME_HELD_*. */
enum instance_held {
	HELD_IN,
	HELD_OUT,
	HELD_COUNT,
};

struct instance_table {
	struct manager *manager;
	struct event_base *base;
	struct instance **sorted; /* by number */
	size_t count, size;
	uint64_t runs; /* processes started so far */
	bool ending;   /* all are being closed: none is started any more */
	void (*all_closed)(void *ctx);
	void *all_closed_ctx;
	struct log_limit log; /* commands for numbers that there are not */
};

struct instance {
	struct instance_table *table;
	struct store_instance entry;
	enum info_state state;
	uint8_t startup;
	uint64_t opened;
	char why[256];
	bool retired;         /* about to be deleted */
	struct log_limit log; /* what its guest or its process can cause to be said */

	/* instance_migrate.c */
	bool frozen;          /* its process executes no command any more */
	bool wanted;          /* on its way here: a guest wants it */
	bool taking_back;     /* on its way from here: that is about to be undone */
	struct await *awaits; /* requests that wait for a guest to want it */

	/* instance.c: the life of its process */
	struct process process;
	uint64_t run;          /* counts processes: an answer to an earlier one is dropped */
	struct event *timer;   /* what is due next in this state */
	struct timespec began; /* the process; monotonic clock */
	bool served;           /* it has answered a command */
	bool killed;           /* by instance_kill: its end is near */
	unsigned quick_deaths; /* in a row */
	unsigned restarts;
	struct request *opening; /* lists of requests that wait until it serves, or is gone */
	struct request *closing;

	/* instance_pipe.c */
	struct channel *pipes[PIPE_COUNT];
	unsigned saves;     /* requests under way that wait for the store */
	unsigned chip_jobs; /* ... for the physical TPM */

	/* instance_socket.c: HVM only; -1 if there is none */
	int sockets[SOCKET_COUNT];
	int held[HELD_COUNT]; /* hold vtpmd's client while there is no vtpmd */
	struct event *connected[SOCKET_COUNT];

	/* instance_queue.c */
	struct command *adopted; /* of an earlier manager; its front-end may submit it again */
	struct command *first;   /* sent to the instance if in_flight */
	struct command **last;
	unsigned queued;
	bool in_flight;
	uint64_t sequence; /* number of the last command */
	struct event *answer_timer;

	struct record *record; /* NULL if it does not run */
	int journal; /* memory in which vtpmd keeps its volatile state; -1 if there is none */
};

/* instance.c */

/* instance_due: what the timer does. */
void instance_due(evutil_socket_t fd, short what, void *arg);
/* instance_kill: ends a process that misbehaves; what for goes into the log. */
void instance_kill(struct instance *instance, const char *what);
/* instance_ready: its process serves now. */
void instance_ready(struct instance *instance);
/* instance_take: watches a process of an earlier manager. 0 or a negative errno. */
int instance_take(struct instance *instance, pid_t pid, uint64_t start_time);
/* instance_resume: talks to that process from now on. 0 or a negative errno. */
int instance_resume(struct instance *instance, bool ready);
/* instance_end_taken: ends that process, which an earlier manager should have ended. */
void instance_end_taken(struct instance *instance);
/* instance_restart: starts one that should be running but is not; from its journal if it has one.
 */
void instance_restart(struct instance *instance);
/* instance_connected: somebody connected to a listening instance. */
void instance_connected(struct instance *instance);

/* instance_table.c */

/* instance_free: of one that is not in the table (any more). The process runs on. */
void instance_free(struct instance *instance);
/* instance_of_run: the one of this number, if the process that asked still runs; else NULL. */
struct instance *instance_of_run(struct instance_table *table, uint32_t id, uint64_t run);
/* instance_note_start: has the store keep which program runs it, suspended no more. */
void instance_note_start(struct instance *instance);

/* instance_refuse.c */

/* instance_refuse: refuses to open one that may not be started; false if it may. */
bool instance_refuse(const struct instance *instance, struct request *request);
/* instance_explain: where one is that is not here, or not yet, for people. */
void instance_explain(const struct instance *instance, char *text, size_t size);

/* instance_migrate.c */

/* instance_is_away: it may not run: on its way, or gone. instance_holds: commands wait for it. */
bool instance_is_away(const struct instance *instance);
bool instance_holds(const struct instance *instance);
/* instance_want: a guest sent a command to, or connected to, one that is on its way. */
void instance_want(struct instance *instance);
/* instance_wake: answers all requests that wait for that. */
void instance_wake(struct instance *instance, bool needed);

/* instance_pipe.c */

/* pipes_open: makes new ones, so that nothing old is in them. 0 or a negative errno, logged. */
int pipes_open(struct instance *instance);
void pipes_close(struct instance *instance);
void pipes_unlink(const struct instance *instance);
/* pipes_answer: to the oldest request that is not answered yet. */
void pipes_answer(struct instance *instance, uint32_t status, const void *params, size_t len);

/* instance_chip.c: requests that wait for the physical TPM */

void chip_tpmcommand(struct instance *instance, struct reader params);
void chip_host_pcrs(struct instance *instance, struct reader params);
void chip_quote(struct instance *instance, struct reader params);

/* instance_socket.c */

/* sockets_listen: makes the sockets of an HVM instance; 0 or a negative errno, logged. */
int sockets_listen(struct instance *instance);
void sockets_close(struct instance *instance);
/* held_open: makes the pair in which its vtpmd holds a client, or leaves it; 0 or -errno, logged.
 */
int held_open(struct instance *instance);
void held_close(struct instance *instance);
/* held_any: whether a client is held. */
bool held_any(const struct instance *instance);
void sockets_unlink(const struct instance *instance);
/* sockets_take: takes over fd, that listening socket of a running instance. */
void sockets_take(struct instance *instance, enum instance_socket which, int fd);
/* sockets_watch: whether the next connection starts the instance. */
void sockets_watch(struct instance *instance, bool on);

/* instance_queue.c */

void queue_init(struct instance *instance);
/* queue_run: sends the first command if the instance is free for it. */
void queue_run(struct instance *instance);
/* queue_response: a message on the pipe of the TPM responses. */
void queue_response(struct instance *instance, const struct stream_message *message);
/* queue_interrupted: the process died; the command in flight will be sent again, or is given up. */
void queue_interrupted(struct instance *instance);
/* queue_adopt: the command that the process was sent by an earlier manager. */
void queue_adopt(struct instance *instance, struct command *command);
/* queue_flush: answers all commands with an error. */
void queue_flush(struct instance *instance);

/* instance_journal.c */

/* journal_make: new memory, unless there is some already. 0 or a negative errno, logged. */
int journal_make(struct instance *instance);
/* journal_inode: tells it from others; 0 if there is none. */
uint64_t journal_inode(const struct instance *instance);
/* journal_take: that of an earlier manager; false if it is gone. */
bool journal_take(struct instance *instance, uint64_t inode);
void journal_close(struct instance *instance);
/* journal_drop: what is in it is of no use any more. */
void journal_drop(struct instance *instance);

/* instance_adopt.c */

/* The record for the next manager: the process that was started, the command to be sent, the end.
 */
void adopt_note_process(struct instance *instance);
void adopt_note_command(struct instance *instance, struct command *command);
void adopt_forget(struct instance *instance);
/* adopt_instance: takes over a process that an earlier manager left; false if there is none. */
bool adopt_instance(struct instance *instance);

/* instance_path: a name of vtpm/manager.h with %u, below the run folder. Returns path. */
const char *instance_path(const struct instance *instance, const char *format,
			  char path[INSTANCE_PATH_SIZE]);

#endif
