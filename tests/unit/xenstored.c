#include "tests/unit/xenstored.h"

#include <check.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHIM "build/xenstored_shim.so"

struct xs_handle *xenstored;
static pid_t daemon_pid;

static const char *
xenstored_program(void)
{
	static char path[256];
	glob_t found;

	if (path[0] == '\0' && glob("/usr/lib/xen-*/bin/xenstored", 0, NULL, &found) == 0) {
		snprintf(path, sizeof(path), "%s", found.gl_pathv[0]);
		globfree(&found);
	}
	return path[0] ? path : NULL;
}

bool
xenstored_available(void)
{
	if (xenstored_program())
		return true;
	puts("SKIP: no xenstored here (Debian: xen-utils-4.17)");
	return false;
}

static void
xenstored_exec(const char *dir, int ready)
{
	char shim[512];
	char *cwd = getcwd(NULL, 0);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(shim, sizeof(shim), "%s/" SHIM, cwd);
	setenv("LD_PRELOAD", shim, 1);
	setenv("XENSTORED_RUNDIR", dir, 1);
	dup2(ready, STDOUT_FILENO);
	execl(xenstored_program(), "xenstored", "--no-fork", NULL);
	_exit(127);
}

void
xenstored_start(const char *dir)
{
	char socket[256];

	daemon_pid = fork();
	ck_assert_int_ge(daemon_pid, 0);
	if (daemon_pid == 0)
		xenstored_exec(dir, STDERR_FILENO);
	snprintf(socket, sizeof(socket), "%s/socket", dir);
	setenv("XENSTORED_PATH", socket, 1);
	/* It says nothing when it is ready; connecting is refused until then. */
	while (!(xenstored = xs_open(0))) {
		ck_assert_int_eq(waitpid(daemon_pid, NULL, WNOHANG), 0);
		usleep(1000);
	}
}

void
xenstored_stop(const char *dir)
{
	char socket[256];

	xs_close(xenstored);
	kill(daemon_pid, SIGKILL);
	waitpid(daemon_pid, NULL, 0);
	snprintf(socket, sizeof(socket), "%s/socket", dir);
	unlink(socket);
}

const char *
xenstored_back(uint32_t domid, uint32_t handle)
{
	static char path[128];

	snprintf(path, sizeof(path), "/local/domain/0/backend/vtpm/%u/%u", domid, handle);
	return path;
}

const char *
xenstored_front(uint32_t domid, uint32_t handle)
{
	static char path[128];

	snprintf(path, sizeof(path), "/local/domain/%u/device/vtpm/%u", domid, handle);
	return path;
}

static void
put(xs_transaction_t transaction, const char *dir, const char *name, const char *value)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	ck_assert(xs_write(xenstored, transaction, path, value, (unsigned)strlen(value)));
}

static void
put_number(xs_transaction_t transaction, const char *dir, const char *name, uint32_t number)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", number);
	put(transaction, dir, name, text);
}

void
xenstored_put(const char *dir, const char *name, const char *value)
{
	put(XBT_NULL, dir, name, value);
}

const char *
xenstored_get(const char *dir, const char *name)
{
	static char value[256];
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	char *text = xs_read(xenstored, XBT_NULL, path, NULL);
	snprintf(value, sizeof(value), "%s", text ? text : "");
	free(text);
	return value;
}

void
xenstored_attach(uint32_t domid, uint32_t handle, const char *uuid)
{
	xs_transaction_t transaction;

	do {
		transaction = xs_transaction_start(xenstored);
		const char *back = xenstored_back(domid, handle);
		put(transaction, back, "frontend", xenstored_front(domid, handle));
		put_number(transaction, back, "frontend-id", domid);
		put(transaction, back, "online", "1");
		put(transaction, back, "state", "1");
		put_number(transaction, back, "handle", handle);
		put(transaction, back, "uuid", uuid);
		put(transaction, back, "resume", "False");
		const char *front = xenstored_front(domid, handle);
		put(transaction, front, "backend", back);
		put(transaction, front, "backend-id", "0");
		put(transaction, front, "state", "1");
	} while (!xs_transaction_end(xenstored, transaction, false));
}

void
xenstored_detach(uint32_t domid, uint32_t handle)
{
	xs_transaction_t transaction;

	do {
		transaction = xs_transaction_start(xenstored);
		put(transaction, xenstored_back(domid, handle), "online", "0");
		put(transaction, xenstored_back(domid, handle), "state", "5");
	} while (!xs_transaction_end(xenstored, transaction, false));
}

void
xenstored_remove(uint32_t domid, uint32_t handle)
{
	ck_assert(xs_rm(xenstored, XBT_NULL, xenstored_back(domid, handle)));
}

void
xenstored_offer(uint32_t domid, uint32_t handle, uint32_t ref, uint32_t port)
{
	const char *front = xenstored_front(domid, handle);
	xs_transaction_t transaction;

	do {
		transaction = xs_transaction_start(xenstored);
		put_number(transaction, front, "ring-ref", ref);
		put_number(transaction, front, "event-channel", port);
		put(transaction, front, "feature-protocol-v2", "1");
		put(transaction, front, "state", "3");
	} while (!xs_transaction_end(xenstored, transaction, false));
}

void
xenstored_domain_event(void)
{
	ck_assert(xs_introduce_domain(xenstored, 999, 1, 1));
	ck_assert(xs_release_domain(xenstored, 999));
}
