#include "instance/listen_fds.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST = 3, MOST = 64 };

int
listen_fd(const char *name)
{
	const char *count = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	const char *pid = getenv("LISTEN_PID");
	size_t len = strlen(name);

	/* Without LISTEN_PID, too: a parent that uses posix_spawn cannot know it. */
	if (!count || !names || (pid && strtol(pid, NULL, 10) != getpid()))
		return -1;
	long most = strtol(count, NULL, 10);
	for (int i = 0; i < most && i < MOST && *names; i++) {
		size_t n = strcspn(names, ":");

		if (n == len && memcmp(names, name, n) == 0)
			return fcntl(FIRST + i, F_SETFD, FD_CLOEXEC) < 0 ? -1 : FIRST + i;
		names += n + (names[n] == ':');
	}
	return -1;
}
