#include "manager/request.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vtpm/log.h>
#include <vtpm/manager.h>

#include "manager/manager.h"
#include "manager/privileged.h"

int
request_start(struct manager *manager, uint32_t ordinal, const void *params, size_t len,
	      struct listener *origin, void (*done)(struct request *request, void *ctx), void *ctx)
{
	struct request *request = calloc(1, sizeof(*request) + len);

	if (!request)
		return -ENOMEM;
	request->manager = manager;
	request->ordinal = ordinal;
	request->origin = origin;
	request->done = done;
	request->ctx = ctx;
	request->len = len;
	if (len > 0)
		memcpy(request->data, params, len);
	request->params = reader_of(request->data, len);
	request_step(request, manager->console_listener, privileged_dispatch);
	return 0;
}

void
request_free(struct request *request)
{
	crypt_free(request->response, request->response_len);
	crypt_free(request, sizeof(*request) + request->len);
}

static void
run_step(struct task *task)
{
	struct request *request = TASK_OWNER(task, struct request, task);

	request->step(request);
}

void
request_step(struct request *request, struct listener *listener,
	     void (*step)(struct request *request))
{
	request->step = step;
	request->task.run = run_step;
	listener_post(listener, &request->task);
}

static void
come_back(struct request *request)
{
	request->done(request, request->ctx);
}

void
request_succeed(struct request *request, const void *params, size_t len)
{
	if (len > 0) {
		request->response = malloc(len);
		if (!request->response) {
			request_fail(request, VTPM_FAIL, "out of memory");
			return;
		}
		memcpy(request->response, params, len);
		request->response_len = len;
	}
	request->status = VTPM_SUCCESS;
	request_step(request, request->origin, come_back);
}

void
request_fail(struct request *request, uint32_t status, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	log_warning("request 0x%08x refused: %s", request->ordinal, text);
	request->status = status;
	free(request->response);
	request->response = (uint8_t *)strdup(text);
	request->response_len = request->response ? strlen(text) : 0;
	request_step(request, request->origin, come_back);
}
