/*
 * What is stored, and what it is sealed to.
 */
#include "manager/privileged.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vtpm/info.h>
#include <vtpm/log.h>
#include <vtpm/manager.h>

#include "manager/instance.h"
#include "manager/manager.h"
#include "manager/root_key.h"
#include "manager/worker.h"

enum { REPORT_MAX = 60 * 1024 };

/* What store_verify reports, as VTPM_ORD_VERIFY's answer. */
struct findings {
	struct writer w;
	uint32_t count;
};

static void
add_finding(void *ctx, uint32_t id, int error, const char *text)
{
	struct findings *findings = ctx;
	struct writer *w = &findings->w;

	if (error == 0)
		return;
	/* More than fits is not told one by one; the count is right. */
	if (w->size - w->len >= 12 + strlen(text)) {
		writer_u32(w, id);
		writer_u32(w, error == -EUCLEAN ? VTPM_RESTORE_CONTEXT_FAILED : VTPM_FAIL);
		writer_sized(w, text, strlen(text));
		findings->count++;
	}
}

/* A file that is good again, or found to be bad, changes what may be done with its instance. */
static void
verified_there(struct request *request)
{
	struct instance_table *table = request->manager->instances;
	struct store_instance entry;

	for (struct instance *instance = instance_after(table, 0); instance;
	     instance = instance_after(table, entry.id)) {
		struct info info;

		instance_describe(instance, &info);
		entry.id = info.instance;
		if (store_find(request->manager->store, info.instance, &entry) == 0)
			instance_update(instance, &entry);
	}
	request_succeed(request, NULL, 0);
}

void
privileged_verify(struct request *request)
{
	uint8_t *report = malloc(REPORT_MAX);
	struct findings findings = { .w = writer_of(report, report ? REPORT_MAX : 0) };
	struct store_instance known;

	privileged_take_instance(request);
	request->response = report;
	if (request->entry.id != 0 &&
	    store_find(request->manager->store, request->entry.id, &known) < 0) {
		request_fail(request, VTPM_INVALID_REQUEST, "instance %u is not defined",
			     request->entry.id);
		return;
	}
	writer_u32(&findings.w, 0);
	store_verify(request->manager->store, request->entry.id, add_finding, &findings);
	writer_patch_u32(&findings.w, 0, findings.count);
	request->response_len = findings.w.len;
	privileged_there(request, verified_there);
}

void
privileged_recover(struct request *request)
{
	privileged_take_instance(request);
	uint32_t id = request->entry.id;
	int rc = store_recover(request->manager->store, id);

	switch (rc) {
	case 0:
		log_warning("instance %u: the operator accepted the state that had been refused",
			    id);
		privileged_there(request, privileged_refresh_there);
		break;
	case -ENOENT:
		privileged_there(request,
				 privileged_refresh_there); /* which says that it is unknown */
		break;
	case -EALREADY:
		request_fail(request, VTPM_INVALID_REQUEST,
			     "instance %u is not refused: there is nothing to recover", id);
		break;
	case -EUCLEAN:
		request_fail(
		    request, VTPM_RESTORE_CONTEXT_FAILED,
		    "instance %u: what is in its file is not of this vTPM, or destroyed; put "
		    "a backup of the file in its place, or 'vtpmctl delete %u'",
		    id, id);
		break;
	default:
		request_fail(request, VTPM_FAIL, "instance %u: cannot be recovered: %s", id,
			     strerror(-rc));
	}
}

/* On the worker's thread: the chip may take seconds. */
static void
reseal_on_chip(void *arg)
{
	struct request *request = arg;
	struct manager *manager = request->manager;
	int rc = root_key_reseal(manager->store, manager->tpm, request->pcrs);
	char why[256];

	if (rc == 0)
		request_succeed(request, NULL, 0);
	else
		request_fail(request, VTPM_FAIL, "the root key was not sealed anew: %s",
			     physical_tpm_error(why, sizeof(why)));
}

void
privileged_reseal(struct request *request)
{
	if (!privileged_take_pcrs(request, &request->pcrs) || !reader_done(&request->params))
		request_fail(request, VTPM_INVALID_REQUEST,
			     "a list of PCRs must be such as 0,2,4-7, or none");
	else if (worker_submit(request->manager->chip, reseal_on_chip, request) < 0)
		request_fail(request, VTPM_FAIL, "out of memory");
}
