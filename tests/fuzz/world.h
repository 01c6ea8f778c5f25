/*
 * world.h - a TPM in the middle of its life, for fuzz targets: owned, with keys of each usage,
 * sessions of each kind, a counter, a family and a delegation.
 */
#ifndef TESTS_FUZZ_WORLD_H
#define TESTS_FUZZ_WORLD_H

#include "tpmcore/core.h"

/* Place of an OSAP session in the TPM's table. */
enum { WORLD_OSAP = 4 };

/* The hardware around the TPM, to be set by the target. */
struct world {
	bool physical_presence;
	uint64_t now;
	unsigned cancel_at; /* cancels the command at that poll; 0: never */
	uint32_t random;    /* the next "random" number: handles and nonces count up */
};
extern struct world world;

/* world_tpm: a copy of that TPM, to be freed by the caller; the clock starts anew. */
struct tpm *world_tpm(void);

#endif
