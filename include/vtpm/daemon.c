#include <vtpm/daemon.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vtpm/log.h>

static int to_parent = -1;

int
daemon_begin(void)
{
	int report[2];
	char word;

	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (pid > 0) {
		close(report[1]);
		_exit(read(report[0], &word, 1) == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	close(report[0]);
	to_parent = report[1];
	return setsid() < 0 ? -errno : 0;
}

void
daemon_ready(const char *log_path)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (log < 0)
		log_warning("cannot write messages to %s: %s; there will be none", log_path,
			    strerror(errno));
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(log >= 0 ? log : null, STDERR_FILENO);
		close(null);
	}
	if (log >= 0)
		close(log);
	if (write(to_parent, "", 1) < 0)
		log_warning("who started this manager did not wait for it");
	close(to_parent);
}
