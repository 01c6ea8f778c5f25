/*
 * console.h - vtpm_migrator's requests to the manager of its own host.
 */
#ifndef MIGRATION_CONSOLE_H
#define MIGRATION_CONSOLE_H

#include <stddef.h>
#include <stdint.h>

#include <vtpm/codec.h>

#include "migration/why.h"

/* Zero but for run_dir: ready for use. */
struct console {
	const char *run_dir;
	uint8_t *response; /* of the last call */
};

/*
 * console_call: one request. On success *answer reads the response's parameters, good until the
 * next call. Returns 0; -EREMOTEIO when the manager refused, with what it said in *why and, if
 * status is not NULL, its status there; or another negative errno, with *why.
 */
int console_call(struct console *console, uint32_t ordinal, const void *params, size_t len,
		 struct reader *answer, uint32_t *status, struct why *why);

/* console_free: lets the last response go. */
void console_free(struct console *console);

#endif
