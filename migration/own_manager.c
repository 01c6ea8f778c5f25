#include "migration/own_manager.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vtpm/addr.h>
#include <vtpm/manager.h>
#include <vtpm/message.h>

enum {
	ANSWER_MS = 10 * 60 * 1000, /* an instance may be busy with a long command */
	ADDRESS_SIZE = 512,
};

static int
connect_manager(const struct own_manager *own, struct why *why)
{
	char text[ADDRESS_SIZE];
	struct addr addr;

	snprintf(text, sizeof(text), "unix:%s/%s", own->run_dir, VTPM_PATH_MANAGER);
	int fd = addr_parse(&addr, text, ADDR_ANY);
	if (fd == 0)
		fd = addr_connect(&addr);
	if (fd < 0)
		return why_set(why, fd,
			       "no manager at %s: %s. Is vtpm_managerd running? See --run-dir",
			       text + strlen("unix:"), strerror(-fd));
	return fd;
}

static int
make_request(struct writer *request, uint32_t ordinal, const void *params, size_t len)
{
	size_t size = VTPM_INSTANCE_SIZE + VTPM_HEADER_SIZE + len;

	*request = writer_of(malloc(size), size);
	if (!request->buf)
		return -ENOMEM;
	message_begin(request, VTPM_CONTROL_INSTANCE, VTPM_TAG_REQ, ordinal);
	writer_bytes(request, params, len);
	return message_end(request);
}

int
own_manager_call(struct own_manager *own, uint32_t ordinal, const void *params, size_t len,
		 struct reader *answer, uint32_t *status, struct why *why)
{
	struct message response;
	struct writer request;
	int fd = -1;

	own_manager_free(own);
	int rc = make_request(&request, ordinal, params, len);
	if (rc < 0) {
		why_set(why, rc, "a request of %zu bytes: %s", len, strerror(-rc));
		goto out;
	}
	rc = fd = connect_manager(own, why);
	if (fd < 0)
		goto out;
	rc = message_call(fd, &request, ANSWER_MS, &response, &own->response);
	close(fd);
	if (rc < 0) {
		why_set(why, rc, "the manager of this host does not answer: %s", strerror(-rc));
		goto out;
	}
	if (status)
		*status = response.code;
	if (response.code != VTPM_SUCCESS)
		rc = response.params.left > 0
			 ? why_set(why, -EREMOTEIO, "%.*s", (int)response.params.left,
				   (const char *)response.params.pos)
			 : why_set(why, -EREMOTEIO, "the manager of this host: %s",
				   message_status_text(response.code));
	*answer = response.params;
out:
	free(request.buf);
	return rc;
}

void
own_manager_free(struct own_manager *own)
{
	free(own->response);
	own->response = NULL;
}
