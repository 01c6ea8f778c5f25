/*
 * vtpmctl_common.h - what the sub-commands of vtpmctl share.
 */
#ifndef MANAGER_VTPMCTL_COMMON_H
#define MANAGER_VTPMCTL_COMMON_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include <vtpm/codec.h>
#include <vtpm/info.h>
#include <vtpm/manager.h>

enum {
	EXIT_USAGE = 2,
	CTL_PARAMS_MAX = 1024,
	CTL_PCRS_TEXT = 64,
	CTL_HASH_TEXT = 2 * VTPM_HASH_SIZE + 1,
};

/* One run of vtpmctl. */
struct ctl {
	const char *run_dir;
	const char *command; /* name of the sub-command */
	const char *usage;   /* its arguments */
	uint32_t ordinal;    /* of ctl_act and ctl_switch */
	int argc;            /* of the sub-command; argv[0] is its name */
	char **argv;
	uint8_t *answer; /* of the last call; freed with the next one and at the end */
};

/* The sub-commands; they return vtpmctl's exit status. */
int ctl_define(struct ctl *ctl);
int ctl_open(struct ctl *ctl);
int ctl_act(struct ctl *ctl);
int ctl_switch(struct ctl *ctl);
int ctl_list(struct ctl *ctl);
int ctl_show(struct ctl *ctl);
int ctl_status(struct ctl *ctl);
int ctl_verify(struct ctl *ctl);
int ctl_reseal(struct ctl *ctl);
int ctl_deep_quote(struct ctl *ctl);
int ctl_verify_quote(struct ctl *ctl);

/* ctl_usage: complains that the arguments are wrong. Returns EXIT_USAGE. */
int ctl_usage(const struct ctl *ctl);

/*
 * ctl_options: the options of a sub-command that has no others than --json (NULL: not even that);
 * what remains must be between least and most arguments, from ctl->argv[optind]. Returns 0, or the
 * exit status after having complained.
 */
int ctl_options(struct ctl *ctl, bool *json, int least, int most);

/*
 * ctl_call: one request to the manager. On success, *answer reads the parameters of its response.
 * Returns 0, or the exit status after having told what the manager or the connection said.
 */
int ctl_call(struct ctl *ctl, uint32_t ordinal, const struct writer *params, struct reader *answer);

/* ctl_instance: the number of an instance given as number or uuid. Returns as ctl_call. */
int ctl_instance(struct ctl *ctl, const char *text, uint32_t *instance);

/* ctl_pcrs: bits as a list, "0,2,4". text has room for CTL_PCRS_TEXT characters; returns it. */
const char *ctl_pcrs(uint32_t pcrs, char *text);

/* ctl_hash: a SHA-256 in hexadecimal digits. text has room for CTL_HASH_TEXT characters. */
const char *ctl_hash(const uint8_t hash[VTPM_HASH_SIZE], char *text);

/* ctl_number: "1" to "4294967295"; false for anything else. */
bool ctl_number(const char *text, uint32_t *number);

/* ctl_error: a message on stderr, "vtpmctl COMMAND: ...". Returns EXIT_FAILURE. */
int ctl_error(const struct ctl *ctl, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
