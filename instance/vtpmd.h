/*
 * vtpmd.h - the daemon: an instance and its channels, put together as the command line says.
 */
#ifndef INSTANCE_VTPMD_H
#define INSTANCE_VTPMD_H

#include <vtpm/addr.h>

#include "instance/instance.h"

#define VTPMD_RUN_DIR "/var/vtpm"

enum { VTPMD_RAW_MAX = 8 };

struct vtpmd_options {
	struct instance_config instance;
	const char *run_dir; /* NULL if not given */
	const char *state;   /* the file of a TPM that stands alone, NULL with a manager */
	struct {
		const char *text;
		struct addr addr;
	} raw[VTPMD_RAW_MAX];
	size_t raw_count;
};

/*
 * vtpmd_run: serves until told to end. Returns 0, or a negative errno after having logged what is
 * wrong.
 */
int vtpmd_run(const struct vtpmd_options *options);

#endif
