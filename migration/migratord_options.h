/*
 * migratord_options.h - the command line of vtpm_migratord.
 */
#ifndef MIGRATION_MIGRATORD_OPTIONS_H
#define MIGRATION_MIGRATORD_OPTIONS_H

#include <stdbool.h>

#include "migration/tls.h"

enum { MIGRATORD_LISTEN_MAX = 8 };

struct migratord_options {
	const char *run_dir;
	const char *listen[MIGRATORD_LISTEN_MAX];
	unsigned listen_count;
	struct tls_files tls;
	const char *name; /* this host's; NULL: its host name */
	bool stdio;
	bool foreground;
	const char *log_level;
};

/* migratord_options_parse: returns -1 to go on, else the exit status. */
int migratord_options_parse(struct migratord_options *options, int argc, char **argv);

#endif
