/*
 * platform.h - what a TPM needs from its platform (struct tpm_platform): randomness, a clock, the
 * physical presence pin, and word of a cancel; and where its long commands run.
 */
#ifndef INSTANCE_PLATFORM_H
#define INSTANCE_PLATFORM_H

#include <stdbool.h>

#include "instance/background.h"
#include "instance/signals.h"
#include "tpmcore/tpm.h"

struct platform {
	bool presence; /* the pin */
	bool cancelled;
	struct signals *signals;
	struct background *background; /* NULL: none yet */
	/* Optional: whether somebody else, too, wants the running command cancelled. */
	bool (*cancel_wanted)(void *ctx);
	void *cancel_ctx;
};

/* platform_callbacks: those of a platform, which must outlive the TPM that gets them. */
struct tpm_platform platform_callbacks(struct platform *platform);

/* platform_begin: a command begins; a cancel that came before does not concern it. */
void platform_begin(struct platform *platform);

#endif
