/*
 * Devices that come and go where no hotplug script is: what the script would tell the console.
 */
#include "manager/backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vtpm/log.h>
#include <vtpm/manager.h>

#include "manager/backend_internal.h"
#include "manager/manager.h"
#include "manager/request.h"

struct attachment {
	struct manager *manager;
	uint32_t instance;
	int resume;
	void (*done)(void *ctx, int error, uint32_t instance, const char *why);
	void *ctx;
};

static void
finish(struct attachment *attachment, int error, const char *why)
{
	attachment->done(attachment->ctx, error, attachment->instance, why);
	free(attachment);
}

/* The sentence of a refused request. */
static void
finish_refused(struct attachment *attachment, const struct request *request)
{
	char why[256];

	snprintf(why, sizeof(why), "%.*s", (int)request->response_len,
		 request->response ? (const char *)request->response : "");
	finish(attachment, -EIO, why);
}

static void
opened(struct request *request, void *ctx)
{
	struct attachment *attachment = ctx;

	if (request->status == VTPM_SUCCESS)
		finish(attachment, 0, "");
	else
		finish_refused(attachment, request);
	request_free(request);
}

static void
open_it(struct attachment *attachment)
{
	uint8_t params[7];
	struct writer w = writer_of(params, sizeof(params));

	writer_u8(&w, VTPM_TYPE_MIGRATABLE);
	writer_u8(&w, attachment->resume ? VTPM_STARTUP_SAVE : VTPM_STARTUP_CLEAR);
	writer_u8(&w, VTPM_DOMAIN_PVM);
	writer_u32(&w, attachment->instance);
	if (request_start(attachment->manager, VTPM_ORD_OPEN, params, w.len,
			  attachment->manager->backend_listener, opened, attachment) < 0)
		finish(attachment, -ENOMEM, "out of memory");
}

static void
closed(struct request *request, void *ctx)
{
	request_free(request);
	open_it(ctx);
}

/* One that was left open, its domain having gone while no manager ran, has the PCRs of that. */
static void
close_first(struct attachment *attachment)
{
	uint8_t params[4];
	struct writer w = writer_of(params, sizeof(params));

	writer_u32(&w, attachment->instance);
	if (request_start(attachment->manager, VTPM_ORD_CLOSE, params, w.len,
			  attachment->manager->backend_listener, closed, attachment) < 0)
		finish(attachment, -ENOMEM, "out of memory");
}

static void
found(struct request *request, void *ctx)
{
	struct attachment *attachment = ctx;
	struct reader r = reader_of(request->response, request->response_len);

	if (request->status != VTPM_SUCCESS) {
		finish_refused(attachment, request);
		request_free(request);
		return;
	}
	attachment->instance = reader_u32(&r);
	request_free(request);
	if (attachment->resume)
		open_it(attachment);
	else
		close_first(attachment);
}

int
backend_attach(struct backend *backend, const uint8_t uuid[16], int resume,
	       void (*done)(void *ctx, int error, uint32_t instance, const char *why), void *ctx)
{
	struct manager *manager = backend_manager(backend);
	struct attachment *attachment = calloc(1, sizeof(*attachment));
	uint8_t params[22];
	struct writer w = writer_of(params, sizeof(params));

	if (!attachment)
		return -ENOMEM;
	*attachment = (struct attachment) {
		.manager = manager,
		.resume = resume,
		.done = done,
		.ctx = ctx,
	};
	/* A domain that was restored has had its TPM before: a new one would not be it. */
	if (!resume) {
		writer_u8(&w, VTPM_DOMAIN_PVM);
		writer_u8(&w, VTPM_TYPE_MIGRATABLE);
		writer_u32(&w, 0);
	}
	writer_bytes(&w, uuid, 16);
	int rc = request_start(manager, resume ? VTPM_ORD_FIND : VTPM_ORD_DEFINE, params, w.len,
			       manager->backend_listener, found, attachment);
	if (rc < 0)
		free(attachment);
	return rc;
}

/* request_fail has logged what failed. */
static void
detached(struct request *request, void *ctx)
{
	(void)ctx;
	request_free(request);
}

void
backend_detach(struct backend *backend, uint32_t instance, int suspend)
{
	struct manager *manager = backend_manager(backend);
	uint8_t params[4];
	struct writer w = writer_of(params, sizeof(params));

	writer_u32(&w, instance);
	if (request_start(manager, suspend ? VTPM_ORD_SUSPEND : VTPM_ORD_CLOSE, params, w.len,
			  manager->backend_listener, detached, NULL) < 0)
		log_error("instance %u: not closed, out of memory; vtpmctl close %u", instance,
			  instance);
}
