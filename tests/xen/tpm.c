/*
 * tpm.c - in a guest: sends a command to a TPM.
 *
 * Linux numbers a TPM anew after each resume, so one that is behind a device of xen-tpmfront is
 * named by the device's handle, any other by its path. One that is not there yet, or that somebody
 * else is about to close, is waited for. With `load` the command is repeated until SIGTERM, its
 * last four bytes counting from 0, for no two to be the same; then the number of commands that
 * succeeded is printed with the last response. A response that is no success ends it with status 1.
 * A device that a resume replaced is opened anew: what was written to the old one reached no TPM.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	COMMAND_MAX = 4096,
	WAIT_SECONDS = 120, /* for a device that was just attached */
	POLL_US = 50000,
};

static volatile sig_atomic_t stopped;

static void
on_term(int signal)
{
	(void)signal;
	stopped = true;
}

static int
tpm_open_now(const char *handle)
{
	char pattern[128], path[280];
	glob_t found;

	if (handle[0] == '/')
		return open(handle, O_RDWR | O_CLOEXEC);
	snprintf(pattern, sizeof(pattern), "/sys/bus/xen/devices/vtpm-%s/tpm/tpm*", handle);
	if (glob(pattern, 0, NULL, &found) != 0)
		return -1;
	snprintf(path, sizeof(path), "/dev%s", strrchr(found.gl_pathv[0], '/'));
	globfree(&found);
	return open(path, O_RDWR | O_CLOEXEC);
}

static int
tpm_open(const char *handle)
{
	int fd = tpm_open_now(handle);

	for (int i = 0; fd < 0 && i < WAIT_SECONDS * (1000000 / POLL_US); i++) {
		usleep(POLL_US);
		fd = tpm_open_now(handle);
	}
	return fd;
}

/* execute: leaves the response in text, in hexadecimal; returns whether it is a success. */
static bool
execute(const char *handle, int *fd, const uint8_t *command, size_t len,
	char text[2 * COMMAND_MAX + 1])
{
	uint8_t response[COMMAND_MAX];
	ssize_t got = write(*fd, command, len);

	while (got < 0 && errno == EPIPE) {
		close(*fd);
		*fd = tpm_open(handle);
		got = write(*fd, command, len);
	}
	if (got == (ssize_t)len)
		got = read(*fd, response, sizeof(response));
	else
		got = -1;
	text[0] = '\0';
	for (ssize_t i = 0; i < got; i++)
		sprintf(text + 2 * i, "%02x", response[i]);
	return got >= 10 && memcmp(response + 6, "\0\0\0\0", 4) == 0;
}

static void
number(uint8_t bytes[4], uint32_t value)
{
	for (int i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(value >> (24 - 8 * i));
}

int
main(int argc, char **argv)
{
	static char text[2 * COMMAND_MAX + 1];
	uint8_t command[COMMAND_MAX];
	size_t len = 0;
	unsigned long count = 0;

	if (argc < 3 || argc > 4) {
		fputs("usage: tpm HANDLE|PATH HEX [load]\n", stderr);
		return 2;
	}
	bool load = argc == 4;
	for (const char *digits = argv[2];
	     len < COMMAND_MAX && sscanf(digits, "%2hhx", &command[len]) == 1; digits += 2)
		len++;
	int fd = tpm_open(argv[1]);
	if (fd < 0) {
		fprintf(stderr, "tpm: no TPM %s: %m\n", argv[1]);
		return 1;
	}
	signal(SIGTERM, on_term);
	bool ok;
	do {
		if (load && len > 4)
			number(command + len - 4, (uint32_t)count);
		ok = execute(argv[1], &fd, command, len, text);
		count += ok;
		if (load && count == 1)
			puts("begun");
		fflush(stdout);
	} while (ok && load && !stopped);
	if (load)
		printf("%lu ", count);
	puts(text);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
