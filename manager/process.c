#include "manager/process.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	FIRST_FD = 3, /* where sd_listen_fds(3) begins */
	ENV_SIZE = 256,
};

static int
hash_file(int fd, uint8_t hash[VTPM_HASH_SIZE])
{
	uint8_t buf[65536];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int rc = -ENOMEM;
	ssize_t n = 0;

	if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
		goto out;
	for (off_t at = 0; (n = pread(fd, buf, sizeof(buf), at)) > 0; at += n)
		EVP_DigestUpdate(ctx, buf, (size_t)n);
	rc = n < 0 ? -errno : 0;
	if (rc == 0 && EVP_DigestFinal_ex(ctx, hash, NULL) != 1)
		rc = -EIO;
out:
	EVP_MD_CTX_free(ctx);
	return rc;
}

/*
 * Measures the program behind fd, or knows its hash from the last time: as long as neither inode
 * nor times have changed it is the same, and a host that starts a hundred instances at once reads
 * it once. Used by one thread.
 */
static int
measure(int fd, uint8_t hash[VTPM_HASH_SIZE])
{
	static struct stat known;
	static uint8_t known_hash[VTPM_HASH_SIZE];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	bool same = st.st_dev == known.st_dev && st.st_ino == known.st_ino &&
		    st.st_size == known.st_size && st.st_mtim.tv_sec == known.st_mtim.tv_sec &&
		    st.st_mtim.tv_nsec == known.st_mtim.tv_nsec &&
		    st.st_ctim.tv_sec == known.st_ctim.tv_sec &&
		    st.st_ctim.tv_nsec == known.st_ctim.tv_nsec;
	if (!same) {
		int rc = hash_file(fd, known_hash);

		known = rc == 0 ? st : (struct stat) { 0 };
		if (rc < 0)
			return rc;
	}
	memcpy(hash, known_hash, VTPM_HASH_SIZE);
	return 0;
}

/* What is made ready before fork: after it, only async-signal-safe functions may be called. */
struct child {
	const struct process_plan *plan;
	int program;
	int report; /* written to with errno if the program cannot be executed */
	char listen_fds[ENV_SIZE];
	char listen_names[ENV_SIZE];
	char listen_pid[ENV_SIZE];
	char *env[5];
};

static void
child_prepare(struct child *child)
{
	const struct process_plan *plan = child->plan;
	size_t len;

	snprintf(child->listen_fds, ENV_SIZE, "LISTEN_FDS=%u", plan->fd_count);
	strcpy(child->listen_pid, "LISTEN_PID=");
	strcpy(child->listen_names, "LISTEN_FDNAMES=");
	for (unsigned i = 0; i < plan->fd_count; i++) {
		len = strlen(child->listen_names);
		snprintf(child->listen_names + len, ENV_SIZE - len, "%s%s", i > 0 ? ":" : "",
			 plan->fds[i].name);
	}
	child->env[0] = child->listen_fds;
	child->env[1] = child->listen_names;
	child->env[2] = child->listen_pid;
	child->env[3] = NULL;
}

static void
append_number(char *text, unsigned number)
{
	char digits[12];
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	text += strlen(text);
	while (n > 0)
		*text++ = digits[--n];
	*text = '\0';
}

/*
 * Puts the descriptors to their places: first all above the range, so that none is overwritten
 * before it was moved; dup2 clears close-on-exec.
 */
static int
child_place_fds(const struct process_plan *plan)
{
	int moved[PROCESS_FDS_MAX];

	for (unsigned i = 0; i < plan->fd_count; i++) {
		moved[i] = fcntl(plan->fds[i].fd, F_DUPFD_CLOEXEC, FIRST_FD + PROCESS_FDS_MAX + 2);
		if (moved[i] < 0)
			return -1;
	}
	for (unsigned i = 0; i < plan->fd_count; i++) {
		if (dup2(moved[i], FIRST_FD + (int)i) < 0)
			return -1;
	}
	return 0;
}

/*
 * Gives up the privileges of root, but for the locking of memory, which keeps secrets off the swap.
 * The system calls themselves: what libc puts around them is for processes with threads.
 */
static int
child_become(const struct process_user *user)
{
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	if (!user)
		return 0;
	setrlimit(RLIMIT_MEMLOCK, &all);
	return syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setgid, user->gid) < 0 ||
		       syscall(SYS_setuid, user->uid) < 0
		   ? -1
		   : 0;
}

/* All that its plan says but the program, its privileges last. */
static int
child_set_up(const struct process_plan *plan)
{
	return child_place_fds(plan) < 0 || (plan->folder && chdir(plan->folder) < 0) ||
		       child_become(plan->user) < 0
		   ? -1
		   : 0;
}

static void __attribute__((noreturn)) child_run(struct child *child)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	/* The programme and the report move out of the way of the descriptors that are placed. */
	int program = fcntl(child->program, F_DUPFD_CLOEXEC, FIRST_FD + PROCESS_FDS_MAX);
	int report = fcntl(child->report, F_DUPFD_CLOEXEC, FIRST_FD + PROCESS_FDS_MAX);

	for (int signal = 1; signal < NSIG; signal++)
		sigaction(signal, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* A group of its own: a Ctrl-C at the manager's terminal does not end the instances. */
	setpgid(0, 0);
	append_number(child->listen_pid, (unsigned)getpid());
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (program >= 0 && report >= 0 && null >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1 &&
	    child_set_up(child->plan) == 0)
		fexecve(program, (char *const *)(uintptr_t)child->plan->args, child->env);
	int error = errno;
	if (write(report, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

/* Runs the child until it executes the program; returns its pid or a negative errno. */
static pid_t
start_child(struct child *child)
{
	int report[2];
	int error;

	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	child->report = report[1];
	pid_t pid = fork();
	if (pid == 0)
		child_run(child);
	error = errno;
	close(report[1]);
	if (pid < 0) {
		close(report[0]);
		return -error;
	}
	/* End of file without a report: the program runs, for close-on-exec closed the pipe. */
	if (read(report[0], &error, sizeof(error)) == sizeof(error)) {
		waitpid(pid, NULL, 0);
		pid = -error;
	}
	close(report[0]);
	return pid;
}

static void
on_exit_event(evutil_socket_t fd, short what, void *arg)
{
	struct process *process = arg;
	void (*exited)(void *, int) = process->exited;
	void *ctx = process->ctx;
	int status;

	(void)fd;
	(void)what;
	/* An adopted process is nobody's child of ours: how it ended is not known. */
	if (waitpid(process->pid, &status, 0) != process->pid)
		status = -1;
	process_leave(process);
	exited(ctx, status);
}

int
process_watch(struct process *process, pid_t pid, struct event_base *base,
	      void (*exited)(void *ctx, int status), void *ctx)
{
	process->pid = pid;
	process->start_time = process_start_time(pid);
	process->exited = exited;
	process->ctx = ctx;
	process->pidfd = pidfd_open(pid, 0);
	if (process->pidfd < 0)
		return -errno;
	process->event =
	    event_new(base, process->pidfd, EV_READ | EV_PERSIST, on_exit_event, process);
	if (process->event && event_add(process->event, NULL) == 0)
		return 0;
	return -ENOMEM;
}

int
process_start(struct process *process, const struct process_plan *plan, struct event_base *base,
	      void (*exited)(void *ctx, int status), void *ctx)
{
	struct child child = { .plan = plan };

	child.program = open(plan->program, O_RDONLY | O_CLOEXEC);
	if (child.program < 0)
		return -errno;
	int rc = measure(child.program, process->hash);
	if (rc == 0) {
		child_prepare(&child);
		pid_t pid = start_child(&child);
		rc = pid > 0 ? process_watch(process, pid, base, exited, ctx) : pid;
		if (pid > 0 && rc < 0) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
			process_leave(process);
		}
	}
	close(child.program);
	return rc;
}

int
process_adopt(struct process *process, pid_t pid, uint64_t start_time, struct event_base *base,
	      void (*exited)(void *ctx, int status), void *ctx)
{
	int rc = process_watch(process, pid, base, exited, ctx);
	struct pollfd ended = { .fd = process->pidfd, .events = POLLIN };

	/* One that has ended, but that its parent has not waited for, is gone, too. */
	if (rc == 0 && (process->start_time != start_time || poll(&ended, 1, 0) != 0))
		rc = -ESRCH;
	if (rc < 0)
		process_leave(process);
	return rc;
}

void
process_signal(const struct process *process, int signal)
{
	if (process->pid > 0)
		pidfd_send_signal(process->pidfd, signal, NULL, 0);
}

void
process_leave(struct process *process)
{
	if (process->event)
		event_free(process->event);
	if (process->pid > 0 && process->pidfd >= 0)
		close(process->pidfd);
	process->event = NULL;
	process->pid = 0;
}

const char *
process_describe(int status, char *text, size_t size)
{
	if (status == -1)
		snprintf(text, size, "unknown status");
	else if (WIFSIGNALED(status))
		snprintf(text, size, "signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(text, size, "exit status %d", WEXITSTATUS(status));
	return text;
}

uint64_t
process_start_time(pid_t pid)
{
	char path[64];
	char stat[1024];
	uint64_t start = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t len = read(fd, stat, sizeof(stat) - 1);
	close(fd);
	if (len <= 0)
		return 0;
	stat[len] = '\0';
	/* Field 22. The second is the name in brackets and may hold anything: count from its end.
	 */
	char *field = strrchr(stat, ')');
	for (int n = 2; field && n < 22; n++)
		field = strchr(field + 1, ' ');
	if (field)
		start = strtoull(field + 1, NULL, 10);
	return start;
}
