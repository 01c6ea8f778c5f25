#include <vtpm/secrets.h>

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <vtpm/log.h>

void
secrets_guard(void)
{
	const struct rlimit none = { 0 };

	if (prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		log_warning("core dumps cannot be turned off: %s", strerror(errno));
}
