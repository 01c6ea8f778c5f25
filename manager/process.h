/*
 * process.h - programs that the manager starts and watches.
 */
#ifndef MANAGER_PROCESS_H
#define MANAGER_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <event2/event.h>

#include <vtpm/info.h>

enum {
	PROCESS_FDS_MAX = 5,
	PROCESS_ARGS_MAX = 16,
};

/* A descriptor that the program inherits, as sd_listen_fds(3) has it. */
struct process_fd {
	int fd;
	const char *name;
};

/* Whom a program runs as, with no other groups. */
struct process_user {
	uid_t uid;
	gid_t gid;
};

/*
 * What to start. It gets these arguments and descriptors, stderr, and nothing else of ours. The
 * user need not be let through to the program and the folder: we open them.
 */
struct process_plan {
	const char *program;
	const char *args[PROCESS_ARGS_MAX]; /* args[0] is the name; NULL ends them */
	struct process_fd fds[PROCESS_FDS_MAX];
	unsigned fd_count;
	const char *folder;              /* where it begins; NULL: where we are */
	const struct process_user *user; /* NULL: as we do */
};

/* A process and the watch over it. Zeros: none. */
struct process {
	pid_t pid;
	uint64_t start_time; /* as /proc/PID/stat has it: tells it from a later one of that pid */
	int pidfd;
	struct event *event;
	void (*exited)(void *ctx, int status); /* status as of waitpid(2), or -1 if unknown */
	void *ctx;
	uint8_t hash[VTPM_HASH_SIZE]; /* SHA-256 of the program, taken before it was started */
};

/*
 * process_start: measures the program and runs just what was measured. exited is called from the
 * loop when it has ended, after which the process is all zeros again. Returns 0 or a negative
 * errno, also when the program could not be executed.
 */
int process_start(struct process *process, const struct process_plan *plan, struct event_base *base,
		  void (*exited)(void *ctx, int status), void *ctx);

/* process_watch: watches a child that was started by other means. Returns 0 or a negative errno. */
int process_watch(struct process *process, pid_t pid, struct event_base *base,
		  void (*exited)(void *ctx, int status), void *ctx);

/*
 * process_adopt: watches a process that an earlier manager started. -ESRCH if it is gone or another
 * one has its pid by now. The hash is left to the caller.
 */
int process_adopt(struct process *process, pid_t pid, uint64_t start_time, struct event_base *base,
		  void (*exited)(void *ctx, int status), void *ctx);

/* process_signal: to the process itself, never to a later one of its pid; none: ignored. */
void process_signal(const struct process *process, int signal);

/* process_leave: stops watching; the process runs on. */
void process_leave(struct process *process);

/* process_describe: "exit status 1", "signal 9 (Killed)", in words. Returns text. */
const char *process_describe(int status, char *text, size_t size);

/* process_start_time: of a process; 0 if there is none. */
uint64_t process_start_time(pid_t pid);

#endif
