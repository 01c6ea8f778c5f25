/*
 * swtpm.h - a foreign TPM, Debian's swtpm, as the physical one of a test.
 */
#ifndef TESTS_UNIT_SWTPM_H
#define TESTS_UNIT_SWTPM_H

#include <stdbool.h>
#include <sys/types.h>

struct swtpm {
	pid_t pid;
	char folder[64];   /* its state */
	char address[128]; /* for physical_tpm_open */
	unsigned version;  /* 12 or 20 */
};

/* swtpm_available: whether the program is there; tests say SKIP otherwise. */
bool swtpm_available(void);

/*
 * swtpm_start: a new TPM. swtpm_stop: unplugs it; swtpm_restart: plugs it in again, with the state
 * it had. swtpm_remove: stops it and removes its state. Failures end the test.
 */
void swtpm_start(struct swtpm *tpm, unsigned version);
void swtpm_stop(struct swtpm *tpm);
void swtpm_restart(struct swtpm *tpm);
void swtpm_remove(struct swtpm *tpm);

/* swtpm_extend: extends a PCR with something. */
void swtpm_extend(struct swtpm *tpm, unsigned pcr);

#endif
