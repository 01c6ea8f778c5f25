/*
 * vtpmctl open, and the commands that are one request about one instance.
 */
#include <stdio.h>
#include <string.h>

#include "manager/vtpmctl_common.h"

/* The command's request about an instance, with maybe a byte more; it answers nothing. */
static int
act(struct ctl *ctl, const char *target, const uint8_t *more)
{
	uint8_t buf[8];
	struct writer params = writer_of(buf, sizeof(buf));
	struct reader answer;
	uint32_t instance;

	int rc = ctl_instance(ctl, target, &instance);
	if (rc != 0)
		return rc;
	writer_u32(&params, instance);
	if (more)
		writer_u8(&params, *more);
	return ctl_call(ctl, ctl->ordinal, &params, &answer);
}

int
ctl_act(struct ctl *ctl)
{
	int rc = ctl_options(ctl, NULL, 1, 1);

	return rc != 0 ? rc : act(ctl, ctl->argv[optind], NULL);
}

int
ctl_switch(struct ctl *ctl)
{
	uint8_t on = 1;
	int rc = ctl_options(ctl, NULL, 2, 2);

	if (rc != 0)
		return rc;
	if (strcmp(ctl->argv[optind + 1], "off") == 0)
		on = 0;
	else if (strcmp(ctl->argv[optind + 1], "on") != 0)
		return ctl_usage(ctl);
	return act(ctl, ctl->argv[optind], &on);
}

/*
 * Types of an instance that is defined already are the store's; those sent here only count for one
 * that OPEN brings into being.
 */
int
ctl_open(struct ctl *ctl)
{
	static const struct option options[] = {
		{ "startup", required_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 },
	};
	uint8_t startup = VTPM_STARTUP_CLEAR;
	uint8_t buf[8];
	struct writer params = writer_of(buf, sizeof(buf));
	struct reader answer;
	uint32_t instance;
	int key;

	while ((key = getopt_long(ctl->argc, ctl->argv, "", options, NULL)) != -1) {
		startup = key == 's' ? info_startup_number(optarg) : 0;
		if (startup == 0)
			return ctl_usage(ctl);
	}
	if (ctl->argc - optind != 1)
		return ctl_usage(ctl);
	int rc = ctl_instance(ctl, ctl->argv[optind], &instance);
	if (rc != 0)
		return rc;
	writer_u8(&params, VTPM_TYPE_MIGRATABLE);
	writer_u8(&params, startup);
	writer_u8(&params, VTPM_DOMAIN_PVM);
	writer_u32(&params, instance);
	return ctl_call(ctl, VTPM_ORD_OPEN, &params, &answer);
}
