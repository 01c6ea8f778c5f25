/*
 * migrator_options.h - the command line of vtpm_migrator.
 */
#ifndef MIGRATION_MIGRATOR_OPTIONS_H
#define MIGRATION_MIGRATOR_OPTIONS_H

#include <stdbool.h>

#include "migration/remote.h"

enum { MIGRATOR_EXIT_USAGE = 2, MIGRATOR_XL_OPTIONS_MAX = 32 };

struct migrator_options {
	struct remote_options remote;
	const char *run_dir;
	const char *state_dir;   /* where vtpm.db is */
	const char *domains_dir; /* for tests: domains_folder; NULL: Xen */
	bool no_domain;
	bool all;
	bool json;
	const char *recover; /* what to recover, or NULL */
	const char *host;    /* that it asks, or NULL: the one that was told at the migration */
	bool force;          /* to take back what the other host does not know */
	const char *require_pcrs; /* file, see required_pcrs.h; or NULL */
	const char *xl;
	const char *xl_host; /* for xl; NULL: HOST without port */
	const char *xl_options[MIGRATOR_XL_OPTIONS_MAX];
	unsigned xl_option_count;
	char **arguments; /* what follows the options */
	int argument_count;
};

/* migrator_options_parse: returns -1 to go on, else the exit status. */
int migrator_options_parse(struct migrator_options *options, int argc, char **argv);

/* migrator_options_usage: what is wrong, and where help is. Returns MIGRATOR_EXIT_USAGE. */
int migrator_options_usage(const char *text);

#endif
