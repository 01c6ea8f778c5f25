/*
 * vtpmctl list, show: instances as a table, as lines, as JSON.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "manager/vtpmctl_common.h"

enum { TIME_SIZE = 32 };

/* Local time, or a dash for none. */
static const char *
time_text(uint64_t seconds, char text[TIME_SIZE])
{
	time_t when = (time_t)seconds;
	struct tm tm;

	if (seconds == 0 || !localtime_r(&when, &tm) ||
	    strftime(text, TIME_SIZE, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		return "-";
	return text;
}

static void
print_line(const struct info *info)
{
	char uuid[VTPM_UUID_TEXT_SIZE];

	uuid_format(uuid, info->uuid);
	printf("%-6u %-36s  %-4s  %-10s  %-7u  %s\n", info->instance, uuid,
	       info_domain_name(info->domain_type), info_state_name(info->state), info->pid,
	       info->why);
}

static void
print_details(const struct info *info)
{
	char uuid[VTPM_UUID_TEXT_SIZE];
	char opened[TIME_SIZE];
	char hash[CTL_HASH_TEXT];
	char pcrs[CTL_PCRS_TEXT];

	uuid_format(uuid, info->uuid);
	printf("instance:    %u\n", info->instance);
	printf("uuid:        %s\n", uuid);
	printf("type:        %s, %s\n", info_domain_name(info->domain_type),
	       info_migration_name(info->migration));
	printf("state:       %s\n", info_state_name(info->state));
	printf("opened:      %s\n", time_text(info->opened, opened));
	printf("startup:     %s\n", info_startup_name(info->startup));
	printf("pid:         %u\n", info->pid);
	printf("restarts:    %u\n", info->restarts);
	printf("commands:    %llu\n", (unsigned long long)info->commands);
	printf("saves:       %llu\n", (unsigned long long)info->generation);
	printf("program:     %s\n", ctl_hash(info->program, hash));
	printf("host-pcrs:   %s\n", ctl_pcrs(info->host_pcrs, pcrs));
	if (info->why[0])
		printf("note:        %s\n", info->why);
}

static json_object *
to_json(const struct info *info)
{
	json_object *object = json_object_new_object();
	char uuid[VTPM_UUID_TEXT_SIZE];
	char hash[CTL_HASH_TEXT];
	char pcrs[CTL_PCRS_TEXT];
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = {
		{ "instance", info->instance }, { "pid", info->pid },
		{ "opened", info->opened },     { "restarts", info->restarts },
		{ "commands", info->commands }, { "generation", info->generation },
	};
	const struct {
		const char *name;
		const char *text;
	} texts[] = {
		{ "uuid", uuid },
		{ "type", info_domain_name(info->domain_type) },
		{ "migration", info_migration_name(info->migration) },
		{ "state", info_state_name(info->state) },
		{ "startup", info_startup_name(info->startup) },
		{ "program", hash },
		{ "host-pcrs", ctl_pcrs(info->host_pcrs, pcrs) },
		{ "note", info->why },
	};

	uuid_format(uuid, info->uuid);
	ctl_hash(info->program, hash);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		json_object_object_add(object, numbers[i].name,
				       json_object_new_uint64(numbers[i].value));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		json_object_object_add(object, texts[i].name,
				       json_object_new_string(texts[i].text));
	return object;
}

/* Prints the object and gives it up. */
static void
print_json(json_object *object)
{
	puts(json_object_to_json_string_ext(object,
					    JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED));
	json_object_put(object);
}

/* The records after that of *last; sets *last to the last of them, 0 if there were none. */
static int
fetch(struct ctl *ctl, uint32_t *last, json_object *array)
{
	uint8_t buf[4];
	struct writer params = writer_of(buf, sizeof(buf));
	struct reader answer;
	struct info info = { 0 };
	bool first = *last == 0;

	writer_u32(&params, *last);
	int rc = ctl_call(ctl, VTPM_ORD_LIST, &params, &answer);
	if (rc == 0 && first && !array)
		printf("%-6s %-36s  %-4s  %-10s  %-7s  %s\n", "ID", "UUID", "TYPE", "STATE", "PID",
		       "NOTE");
	*last = 0;
	while (rc == 0 && answer.left > 0) {
		info_read(&answer, &info);
		if (answer.failed || info.instance <= *last)
			return ctl_error(ctl, "the manager sent a list that makes no sense");
		*last = info.instance;
		if (array)
			json_object_array_add(array, to_json(&info));
		else
			print_line(&info);
	}
	return rc;
}

int
ctl_list(struct ctl *ctl)
{
	bool json = false;
	uint32_t last = 0;
	json_object *array = NULL;

	int rc = ctl_options(ctl, &json, 0, 0);
	if (rc != 0)
		return rc;
	if (json)
		array = json_object_new_array();
	do
		rc = fetch(ctl, &last, array);
	while (rc == 0 && last != 0);
	if (rc == 0 && json)
		print_json(array);
	else
		json_object_put(array);
	return rc;
}

int
ctl_show(struct ctl *ctl)
{
	bool json = false;
	uint8_t buf[4];
	struct writer params = writer_of(buf, sizeof(buf));
	struct reader answer;
	struct info info;
	uint32_t instance;

	int rc = ctl_options(ctl, &json, 1, 1);
	if (rc == 0)
		rc = ctl_instance(ctl, ctl->argv[optind], &instance);
	if (rc != 0)
		return rc;
	writer_u32(&params, instance);
	rc = ctl_call(ctl, VTPM_ORD_SHOW, &params, &answer);
	if (rc != 0)
		return rc;
	info_read(&answer, &info);
	if (answer.failed)
		return ctl_error(ctl, "the manager sent what makes no sense");
	if (json)
		print_json(to_json(&info));
	else
		print_details(&info);
	return 0;
}
