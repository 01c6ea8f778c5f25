#include "instance/platform.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

static int
platform_random(void *ctx, void *buf, size_t len)
{
	uint8_t *out = buf;

	(void)ctx;
	while (len > 0) {
		ssize_t n = getrandom(out, len, 0);

		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0) {
			out += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static uint64_t
platform_now(void *ctx)
{
	struct timespec ts;

	(void)ctx;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static bool
platform_presence(void *ctx)
{
	const struct platform *platform = ctx;

	return platform->presence;
}

static bool
platform_cancelled(void *ctx)
{
	struct platform *platform = ctx;

	signals_ask(platform->signals);
	if (platform->signals->cancel ||
	    (platform->cancel_wanted && platform->cancel_wanted(platform->cancel_ctx)))
		platform->cancelled = true;
	return platform->cancelled;
}

struct tpm_platform
platform_callbacks(struct platform *platform)
{
	return (struct tpm_platform) {
		.ctx = platform,
		.random = platform_random,
		.now = platform_now,
		.physical_presence = platform_presence,
		.cancelled = platform_cancelled,
	};
}

void
platform_begin(struct platform *platform)
{
	platform->cancelled = false;
	platform->signals->cancel = false;
}
