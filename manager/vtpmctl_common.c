#include "manager/vtpmctl_common.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vtpm/addr.h>
#include <vtpm/message.h>

enum {
	/* An instance may take minutes to make its endorsement key, or to be killed and restarted.
	 */
	ANSWER_MS = 15 * 60 * 1000,
	ADDRESS_SIZE = 512,
};

int
ctl_error(const struct ctl *ctl, const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "vtpmctl %s: ", ctl->command);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	return EXIT_FAILURE;
}

int
ctl_usage(const struct ctl *ctl)
{
	fprintf(stderr, "usage: vtpmctl %s %s\n", ctl->command, ctl->usage);
	return EXIT_USAGE;
}

int
ctl_options(struct ctl *ctl, bool *json, int least, int most)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	int key;

	while ((key = getopt_long(ctl->argc, ctl->argv, "", options, NULL)) != -1) {
		if (key != 'j' || !json)
			return ctl_usage(ctl);
		*json = true;
	}
	int count = ctl->argc - optind;
	return count >= least && count <= most ? 0 : ctl_usage(ctl);
}

static int
connect_manager(const struct ctl *ctl)
{
	char text[ADDRESS_SIZE];
	struct addr addr;

	snprintf(text, sizeof(text), "unix:%s/%s", ctl->run_dir, VTPM_PATH_MANAGER);
	int fd = addr_parse(&addr, text, ADDR_ANY);
	if (fd == 0)
		fd = addr_connect(&addr);
	if (fd < 0)
		ctl_error(ctl, "no manager at %s: %s. Is vtpm_managerd running? See --run-dir",
			  text + strlen("unix:"), strerror(-fd));
	return fd;
}

/* What the manager's refusal says; its text comes from our own user or root, but may be missing. */
static int
tell_refusal(const struct ctl *ctl, const struct message *response)
{
	int len = response->params.left < 512 ? (int)response->params.left : 512;

	if (len > 0)
		return ctl_error(ctl, "%.*s", len, (const char *)response->params.pos);
	return ctl_error(ctl, "%s", message_status_text(response->code));
}

int
ctl_call(struct ctl *ctl, uint32_t ordinal, const struct writer *params, struct reader *answer)
{
	uint8_t buf[VTPM_INSTANCE_SIZE + VTPM_HEADER_SIZE + CTL_PARAMS_MAX];
	struct writer request = writer_of(buf, sizeof(buf));
	struct message response;

	message_begin(&request, VTPM_CONTROL_INSTANCE, VTPM_TAG_REQ, ordinal);
	if (params)
		writer_bytes(&request, params->buf, params->len);
	message_end(&request);
	int fd = connect_manager(ctl);
	if (fd < 0)
		return EXIT_FAILURE;
	free(ctl->answer);
	ctl->answer = NULL;
	int rc = message_call(fd, &request, ANSWER_MS, &response, &ctl->answer);
	close(fd);
	if (rc < 0)
		return ctl_error(ctl, "the manager does not answer: %s", strerror(-rc));
	if (response.code != VTPM_SUCCESS)
		return tell_refusal(ctl, &response);
	*answer = response.params;
	return 0;
}

const char *
ctl_pcrs(uint32_t pcrs, char *text)
{
	size_t at = 0;

	strcpy(text, "none");
	for (unsigned i = 0; i < 24; i++) {
		if (pcrs & 1u << i)
			at += (size_t)snprintf(text + at, CTL_PCRS_TEXT - at, "%s%u", at ? "," : "",
					       i);
	}
	return text;
}

const char *
ctl_hash(const uint8_t hash[VTPM_HASH_SIZE], char *text)
{
	for (size_t i = 0; i < VTPM_HASH_SIZE; i++)
		snprintf(text + 2 * i, 3, "%02x", hash[i]);
	return text;
}

bool
ctl_number(const char *text, uint32_t *number)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	*number = (uint32_t)value;
	return errno == 0 && *end == '\0' && value > 0 && value <= UINT32_MAX;
}

int
ctl_instance(struct ctl *ctl, const char *text, uint32_t *instance)
{
	uint8_t uuid[VTPM_UUID_SIZE];
	struct writer params = writer_of(uuid, sizeof(uuid));
	struct reader answer;

	if (ctl_number(text, instance))
		return 0;
	if (!uuid_parse(uuid, text)) {
		ctl_error(ctl, "'%s' is neither the number of an instance nor a uuid", text);
		return EXIT_USAGE;
	}
	params.len = sizeof(uuid);
	int rc = ctl_call(ctl, VTPM_ORD_FIND, &params, &answer);
	if (rc == 0)
		*instance = reader_u32(&answer);
	return rc;
}
