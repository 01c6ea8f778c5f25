#include "tests/unit/swtpm.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "manager/chip_channel.h"
#include "tests/unit/folder.h"

static const char program[] = "/usr/bin/swtpm";

bool
swtpm_available(void)
{
	return access(program, X_OK) == 0;
}

/* Waits until somebody listens at the TPM's socket. */
static void
wait_until_up(struct swtpm *tpm)
{
	struct timespec moment = { .tv_nsec = 10 * 1000 * 1000 };
	struct chip_channel channel;

	for (int i = 0; i < 1000; i++) {
		if (chip_channel_open(&channel, tpm->address, 1) == 0) {
			chip_channel_close(&channel);
			return;
		}
		nanosleep(&moment, NULL);
	}
	ck_abort_msg("swtpm does not listen at %s", tpm->address);
}

void
swtpm_restart(struct swtpm *tpm)
{
	char state[128];
	char server[160];
	char control[160];

	snprintf(state, sizeof(state), "dir=%s", tpm->folder);
	snprintf(server, sizeof(server), "type=unixio,path=%s/server", tpm->folder);
	snprintf(control, sizeof(control), "type=unixio,path=%s/control", tpm->folder);
	tpm->pid = fork();
	ck_assert_int_ge(tpm->pid, 0);
	if (tpm->pid == 0) {
		int null = open("/dev/null", O_RDWR);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(null, 1);
		dup2(null, 2);
		execl(program, "swtpm", "socket", "--tpmstate", state, "--server", server, "--ctrl",
		      control, "--flags", "not-need-init", tpm->version == 20 ? "--tpm2" : NULL,
		      NULL);
		_exit(127);
	}
	wait_until_up(tpm);
}

void
swtpm_start(struct swtpm *tpm, unsigned version)
{
	tpm->version = version;
	folder_make(tpm->folder);
	snprintf(tpm->address, sizeof(tpm->address), "socket:unix:%s/server", tpm->folder);
	swtpm_restart(tpm);
}

void
swtpm_stop(struct swtpm *tpm)
{
	if (tpm->pid <= 0)
		return;
	kill(tpm->pid, SIGKILL);
	waitpid(tpm->pid, NULL, 0);
	tpm->pid = 0;
	unlink(folder_path(tpm->folder, "server"));
	unlink(folder_path(tpm->folder, "control"));
}

void
swtpm_remove(struct swtpm *tpm)
{
	swtpm_stop(tpm);
	folder_remove(tpm->folder);
}

void
swtpm_extend(struct swtpm *tpm, unsigned pcr)
{
	/* TPM_Extend(pcr, digest) */
	const uint8_t extend12[34] = {
		0, 0xc1, 0, 0, 0, 34, 0, 0, 0, 0x14, 0, 0, 0, (uint8_t)pcr, 1
	};
	/* TPM2_PCR_Extend(pcr, password session, one SHA-256 digest) */
	const uint8_t extend20[65] = {
		0x80, 2, 0, 0, 0, 65, 0, 0, 1, 0x82, 0, 0, 0, (uint8_t)pcr, 0, 0, 0, 9, 0x40,
		0,    0, 9, 0, 0, 0,  0, 0, 0, 0,    0, 1, 0, 0x0b,         1
	};
	const uint8_t *command = tpm->version == 20 ? extend20 : extend12;
	size_t len = tpm->version == 20 ? sizeof(extend20) : sizeof(extend12);
	uint8_t response[CHIP_BUFFER_SIZE];
	struct chip_channel channel;

	ck_assert_int_eq(chip_channel_open(&channel, tpm->address, 10), 0);
	ck_assert_int_eq(chip_channel_exchange(&channel, command, len, response, &len), 0);
	chip_channel_close(&channel);
	ck_assert_uint_eq(response[6] | response[7] | response[8] | response[9], 0);
}
