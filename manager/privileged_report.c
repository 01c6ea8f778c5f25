/*
 * What tools look at.
 */
#include "manager/privileged.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <vtpm/info.h>
#include <vtpm/log.h>
#include <vtpm/manager.h>

#include "manager/instance.h"
#include "manager/manager.h"
#include "manager/physical_tpm.h"
#include "manager/root_key.h"

enum {
	LIST_MAX = 60 * 1024, /* bytes of one LIST response: fits into a pipe */
	RECORD_MAX = 512,
};

static void
list_there(struct request *request)
{
	struct instance *instance = instance_after(request->manager->instances, request->entry.id);
	uint8_t *records = malloc(LIST_MAX);
	struct writer w = writer_of(records, records ? LIST_MAX : 0);
	struct info info;

	while (instance && w.size - w.len >= RECORD_MAX) {
		instance_describe(instance, &info);
		info_write(&w, &info);
		instance = instance_after(request->manager->instances, info.instance);
	}
	if (records)
		request_succeed(request, records, w.len);
	else
		request_fail(request, VTPM_FAIL, "out of memory");
	free(records);
}

void
privileged_list(struct request *request)
{
	privileged_take_instance(request);
	privileged_there(request, list_there);
}

static void
show_there(struct request *request)
{
	struct instance *instance = privileged_instance(request);
	uint8_t record[RECORD_MAX];
	struct writer w = writer_of(record, sizeof(record));
	struct info info;

	if (!instance)
		return;
	instance_describe(instance, &info);
	info_write(&w, &info);
	request_succeed(request, record, w.len);
}

void
privileged_show(struct request *request)
{
	privileged_take_instance(request);
	privileged_there(request, show_there);
}

static void
status_there(struct request *request)
{
	struct manager *manager = request->manager;
	uint8_t properties[4096];
	struct writer w = writer_of(properties, sizeof(properties));
	struct root_key_status root = { 0 };
	uint32_t defined;
	uint32_t running;

	instances_count(manager->instances, &defined, &running);
	root_key_status(manager->store, &root);
	property_write(&w, "version", "%s", VTPM_VERSION);
	property_write(&w, "pid", "%d", (int)getpid());
	property_write(&w, "uptime", "%lld", (long long)(time(NULL) - manager->started));
	property_write(&w, "state-dir", "%s", manager->options->state_dir);
	property_write(&w, "run-dir", "%s", manager->options->run_dir);
	property_write(&w, "instances", "%u", defined);
	property_write(&w, "running", "%u", running);
	property_write(&w, "tpm", "%s", manager->options->tpm);
	property_write(&w, "tpm-version", "%s",
		       physical_tpm_version(manager->tpm) == 20 ? "2.0" : "1.2");
	property_write(&w, "tpm-state", "%s",
		       physical_tpm_present(manager->tpm) ? "present" : "absent");
	property_write(&w, "tpm-pcrs", "0x%06x", root.sealed_pcrs);
	property_write(&w, "tpm-anchor", "%llu", (unsigned long long)root.anchor);
	for (unsigned i = 0; i < manager->options->backend_count; i++)
		property_write(&w, "backend", "%s", manager->options->backends[i]);
	property_write(&w, "vtpmd", "%s", manager->options->vtpmd);
	if (w.failed)
		request_fail(request, VTPM_FAIL, "the status is too long");
	else
		request_succeed(request, properties, w.len);
}

void
privileged_status(struct request *request)
{
	privileged_there(request, status_there);
}
