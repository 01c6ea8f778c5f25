/*
 * own_manager.h - vtpm_migrator's requests to the manager of its own host.
 */
#ifndef MIGRATION_OWN_MANAGER_H
#define MIGRATION_OWN_MANAGER_H

#include <stddef.h>
#include <stdint.h>

#include <vtpm/codec.h>

#include "migration/why.h"

/* Zero but for run_dir: ready for use. */
struct own_manager {
	const char *run_dir;
	uint8_t *response; /* of the last call */
};

/*
 * own_manager_call: one request. On success *answer reads the response's parameters, good until the
 * next call. Returns 0; -EREMOTEIO when the manager refused, with what it said in *why and, if
 * status is not NULL, its status there; or another negative errno, with *why.
 */
int own_manager_call(struct own_manager *own, uint32_t ordinal, const void *params, size_t len,
		     struct reader *answer, uint32_t *status, struct why *why);

/* own_manager_free: lets the last response go. */
void own_manager_free(struct own_manager *own);

#endif
