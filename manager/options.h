/*
 * options.h - the command line of vtpm_managerd.
 */
#ifndef MANAGER_OPTIONS_H
#define MANAGER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum { OPTIONS_BACKENDS_MAX = 4 };

/* All texts lie in argv or are literals. */
struct options {
	const char *state_dir;
	const char *run_dir;
	const char *tpm; /* device:PATH, socket:ADDR or "emulated" */
	uint32_t pcrs;   /* --tpm-pcrs: bit n is PCR n */
	const char *owner_auth_file;
	const char *srk_auth;          /* "well-known" or file:PATH */
	uint32_t storage_handle;       /* of a TPM 2.0; 0: none */
	const char *ek_ca_certificate; /* PEM files; NULL, both: no EK certificates */
	const char *ek_ca_key;
	const char *backends[OPTIONS_BACKENDS_MAX];
	unsigned backend_count;
	const char *hotplug_script; /* NULL: none */
	const char *vtpmd;
	const char *user; /* that vtpmd runs as if the manager is root; NULL: the default */
	bool foreground;
	const char *log_level;
	unsigned answer_seconds; /* longest legal time of one TPM command */
	unsigned offer_seconds;  /* how long a place waits for a vTPM that was offered */
	unsigned anchor_seconds; /* least time between two moves of the anchor */
	bool accept_rollback;
};

/*
 * options_parse: fills in options, with defaults for what is not given. Answers --help and
 * --version and complains about wrong usage itself. Returns -1 to go on, else the exit status.
 */
int options_parse(struct options *options, int argc, char **argv);

#endif
