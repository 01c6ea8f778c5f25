/*
 * vtpmctl define: an instance comes into being.
 */
#include <stdio.h>
#include <string.h>

#include "manager/vtpmctl_common.h"

struct wish {
	uint32_t id;
	uint8_t domain_type;
	uint8_t migration;
	const char *host_pcrs; /* NULL: as it is */
};

static int
parse(struct ctl *ctl, struct wish *wish)
{
	static const struct option options[] = {
		{ "id", required_argument, NULL, 'i' },
		{ "type", required_argument, NULL, 't' },
		{ "no-migrate", no_argument, NULL, 'n' },
		{ "host-pcrs", required_argument, NULL, 'p' },
		{ NULL, 0, NULL, 0 },
	};
	int key;

	while ((key = getopt_long(ctl->argc, ctl->argv, "", options, NULL)) != -1) {
		switch (key) {
		case 'i':
			if (!ctl_number(optarg, &wish->id))
				return ctl_usage(ctl);
			break;
		case 't':
			wish->domain_type = info_domain_number(optarg);
			if (wish->domain_type == 0)
				return ctl_usage(ctl);
			break;
		case 'n':
			wish->migration = VTPM_TYPE_NON_MIGRATABLE;
			break;
		case 'p':
			wish->host_pcrs = optarg;
			break;
		default:
			return ctl_usage(ctl);
		}
	}
	return ctl->argc - optind == 1 ? 0 : ctl_usage(ctl);
}

int
ctl_define(struct ctl *ctl)
{
	struct wish wish = { .domain_type = VTPM_DOMAIN_PVM, .migration = VTPM_TYPE_MIGRATABLE };
	uint8_t buf[CTL_PARAMS_MAX];
	struct writer params = writer_of(buf, sizeof(buf));
	uint8_t uuid[VTPM_UUID_SIZE];
	struct reader answer;

	int rc = parse(ctl, &wish);
	if (rc != 0)
		return rc;
	if (!uuid_parse(uuid, ctl->argv[optind])) {
		ctl_error(ctl, "'%s' is not a uuid", ctl->argv[optind]);
		return EXIT_USAGE;
	}
	writer_u8(&params, wish.domain_type);
	writer_u8(&params, wish.migration);
	writer_u32(&params, wish.id);
	writer_bytes(&params, uuid, sizeof(uuid));
	if (wish.host_pcrs)
		writer_sized(&params, wish.host_pcrs, strlen(wish.host_pcrs));
	if (params.failed)
		return ctl_usage(ctl);
	rc = ctl_call(ctl, VTPM_ORD_DEFINE, &params, &answer);
	if (rc == 0)
		printf("%u\n", reader_u32(&answer));
	return rc;
}
