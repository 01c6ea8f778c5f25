/*
 * vtpmctl status, verify, reseal: the manager and the store as a whole.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/vtpmctl_common.h"

static bool
is_number(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len < 19 && strspn(text, "0123456789") == len;
}

/* A property that comes again makes a list of its name. */
static void
add_property(json_object *object, const char *name, const char *text)
{
	json_object *known;
	json_object *value =
	    is_number(text) ? json_object_new_int64(atoll(text)) : json_object_new_string(text);

	if (!json_object_object_get_ex(object, name, &known)) {
		json_object_object_add(object, name, value);
		return;
	}
	if (!json_object_is_type(known, json_type_array)) {
		json_object *list = json_object_new_array();

		json_object_array_add(list, json_object_get(known));
		json_object_object_add(object, name, list);
		known = list;
	}
	json_object_array_add(known, value);
}

int
ctl_status(struct ctl *ctl)
{
	bool json = false;
	struct reader answer;
	char name[64];
	char text[512];

	int rc = ctl_options(ctl, &json, 0, 0);
	if (rc == 0)
		rc = ctl_call(ctl, VTPM_ORD_STATUS, NULL, &answer);
	if (rc != 0)
		return rc;
	json_object *object = json ? json_object_new_object() : NULL;
	while (answer.left > 0) {
		property_read(&answer, name, sizeof(name), text, sizeof(text));
		if (answer.failed)
			break;
		if (object)
			add_property(object, name, text);
		else
			printf("%-12s %s\n", name, text);
	}
	if (object)
		puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
								JSON_C_TO_STRING_SPACED));
	json_object_put(object);
	return answer.failed ? ctl_error(ctl, "the manager sent what makes no sense") : 0;
}

/* Prints one finding of VTPM_ORD_VERIFY. */
static void
print_finding(struct reader *answer)
{
	uint32_t instance = reader_u32(answer);

	reader_u32(answer);
	struct reader text = reader_sized(answer);
	if (text.failed)
		answer->failed = true;
	else if (instance != 0)
		printf("instance %u: %.*s\n", instance, (int)text.left, (const char *)text.pos);
	else
		printf("%.*s\n", (int)text.left, (const char *)text.pos);
}

int
ctl_verify(struct ctl *ctl)
{
	uint8_t buf[4];
	struct writer params = writer_of(buf, sizeof(buf));
	struct reader answer;
	uint32_t instance = 0;

	int rc = ctl_options(ctl, NULL, 0, 1);
	if (rc == 0 && optind < ctl->argc)
		rc = ctl_instance(ctl, ctl->argv[optind], &instance);
	if (rc != 0)
		return rc;
	writer_u32(&params, instance);
	rc = ctl_call(ctl, VTPM_ORD_VERIFY, &params, &answer);
	if (rc != 0)
		return rc;
	uint32_t count = reader_u32(&answer);
	for (uint32_t i = 0; i < count && !answer.failed; i++)
		print_finding(&answer);
	if (answer.failed)
		return ctl_error(ctl, "the manager sent what makes no sense");
	if (count == 0)
		puts("all is well");
	return count == 0 ? 0 : EXIT_FAILURE;
}

int
ctl_reseal(struct ctl *ctl)
{
	uint8_t buf[CTL_PARAMS_MAX];
	struct writer params = writer_of(buf, sizeof(buf));
	struct reader answer;

	int rc = ctl_options(ctl, NULL, 1, 1);
	if (rc != 0)
		return rc;
	writer_sized(&params, ctl->argv[optind], strlen(ctl->argv[optind]));
	return params.failed ? ctl_usage(ctl) : ctl_call(ctl, VTPM_ORD_RESEAL, &params, &answer);
}
