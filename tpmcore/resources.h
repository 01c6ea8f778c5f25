/*
 * resources.h - what a TPM holds under handles: keys, authorization, transport and DAA sessions;
 * for the commands that flush them, save and load them [TPM Main Part 3, 21 and 22].
 */
#ifndef TPMCORE_RESOURCES_H
#define TPMCORE_RESOURCES_H

#include "tpmcore/core.h"

/* One type of resource and its slots in struct tpm, each of which begins with its handle. */
struct resource {
	uint32_t type;      /* TPM_RT_* */
	bool session;       /* a saved one is counted, and can be loaded once only */
	TPM_RESULT missing; /* answer of TPM_FlushSpecific to a handle that is none */
	TPM_RESULT full;    /* answer when no slot is free */
	size_t offset, size, count;
};

/* resource_of: NULL for a type of which the TPM holds none. */
const struct resource *resource_of(uint32_t type);
/* resource_find: the slot with this handle, or NULL. resource_slot: a free one, or NULL. */
void *resource_find(struct tpm *tpm, const struct resource *r, uint32_t handle);
void *resource_slot(struct tpm *tpm, const struct resource *r);
/* resource_handle: of slot i; 0 if that is free. */
uint32_t resource_handle(const struct tpm *tpm, const struct resource *r, size_t i);
uint32_t resource_new_handle(struct tpm *tpm, const struct resource *r);
/* resource_release: frees the slot; the sessions of a key end with it. */
void resource_release(struct tpm *tpm, const struct resource *r, void *slot);
void resource_marshal(struct marshal *m, const struct resource *r, void *slot);

/*
 * context_save: a resource as TPM_CONTEXT_BLOB [Part 2, 18.1], sized, to the response; a session
 * leaves the TPM. context_load: takes one back and writes its handle to the response; *entity is
 * the handle of the key that an OSAP or DSAP session speaks for, NULL: whichever.
 */
TPM_RESULT context_save(struct command *c, uint32_t type, uint32_t handle, const uint8_t *label);
TPM_RESULT context_load(struct command *c, struct reader blob, const uint32_t *entity,
			bool keepHandle);
/* context_forget: a saved session can no longer be loaded; false if there is none of this count. */
bool context_forget(struct tpm *tpm, uint32_t contextCount);

#endif
