/*
 * What an instance asks for that waits for the physical TPM: done by the chip's worker, one after
 * the other, while the instances go on.
 */
#include "manager/instance_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vtpm/log.h>
#include <vtpm/manager.h>

#include "manager/deep_quote.h"
#include "manager/physical_tpm.h"
#include "manager/root_key.h"
#include "manager/worker.h"

enum {
	JOBS_MAX = 4, /* of one instance at a time */
	PCR_SIZE = 20,
};

/* A request under way; it outlives the process, even the instance. */
struct job {
	struct task task;
	void (*work)(struct job *job); /* on the worker's thread; sets what follows */
	struct manager *manager;
	uint32_t id;
	uint8_t uuid[STORE_UUID_SIZE];
	uint32_t host_pcrs;
	uint64_t run;
	size_t len;
	uint8_t data[PHYSICAL_TPM_COMMAND_MAX];

	int error;
	bool tells; /* why is to be shown with the instance; may be empty */
	char why[256];
	size_t response_len;
	uint8_t response[PHYSICAL_TPM_COMMAND_MAX];
};

static void
finish(struct task *task)
{
	struct job *job = TASK_OWNER(task, struct job, task);
	struct instance *instance = instance_of_run(job->manager->instances, job->id, job->run);

	if (instance) {
		uint32_t status = job->error == 0        ? VTPM_SUCCESS
				  : job->error == -EPERM ? VTPM_FORBIDDEN
							 : VTPM_FAIL;

		instance->chip_jobs--;
		if (job->tells)
			memcpy(instance->why, job->why, sizeof(instance->why));
		pipes_answer(instance, status, job->response,
			     job->error == 0 ? job->response_len : 0);
	}
	free(job);
}

static void
work(void *arg)
{
	struct job *job = arg;

	job->work(job);
	listener_post(job->manager->instance_listener, &job->task);
}

static void
submit(struct instance *instance, struct reader params, void (*do_it)(struct job *job))
{
	struct job *job = NULL;

	if (instance->chip_jobs < JOBS_MAX && params.left <= sizeof(job->data))
		job = calloc(1, sizeof(*job));
	if (job) {
		job->task.run = finish;
		job->work = do_it;
		job->manager = instance->table->manager;
		job->id = instance->entry.id;
		memcpy(job->uuid, instance->entry.uuid, sizeof(job->uuid));
		job->host_pcrs = instance->entry.host_pcrs;
		job->run = instance->run;
		job->len = params.left;
		reader_bytes(&params, job->data, job->len);
	}
	if (job && worker_submit(job->manager->chip, work, job) == 0) {
		instance->chip_jobs++;
	} else {
		free(job);
		pipes_answer(instance, VTPM_FAIL, NULL, 0);
	}
}

static void
pass_command(struct job *job)
{
	job->error = physical_tpm_pass(job->manager->tpm, job->data, job->len, job->response,
				       &job->response_len);
}

void
chip_tpmcommand(struct instance *instance, struct reader params)
{
	submit(instance, params, pass_command);
}

/*
 * Reads the PCRs of the host that the instance's own begin with. Values that the chip does not tell
 * become ffs: from zeros, a guest that knows what the host booted could extend its way to the
 * host's values; from there it cannot.
 */
static void
read_host_pcrs(struct job *job)
{
	struct writer w = writer_of(job->response, sizeof(job->response));
	char list[ROOT_KEY_PCRS_TEXT];
	char text[256];
	int error = 0;

	writer_u32(&w, (uint32_t)__builtin_popcount(job->host_pcrs));
	for (unsigned i = 0; i < PHYSICAL_TPM_PCRS; i++) {
		uint8_t value[PCR_SIZE];

		if (!(job->host_pcrs & 1u << i))
			continue;
		if (error == 0)
			error = physical_tpm_pcr_sha1(job->manager->tpm, i, value);
		if (error < 0)
			memset(value, 0xff, sizeof(value));
		writer_u32(&w, i);
		writer_bytes(&w, value, sizeof(value));
	}
	job->response_len = w.len;
	job->tells = true;
	if (error == 0)
		return;
	snprintf(job->why, sizeof(job->why), "PCRs %s are not the host's, which could not be read",
		 root_key_format_pcrs(job->host_pcrs, list));
	log_error(
	    "instance %u: its PCRs %s begin with ffs instead of the host's values until it is "
	    "booted again: %s",
	    job->id, list, physical_tpm_error(text, sizeof(text)));
}

void
chip_host_pcrs(struct instance *instance, struct reader params)
{
	static const uint8_t none[4];

	if (instance->entry.host_pcrs == 0)
		pipes_answer(instance, VTPM_SUCCESS, none, sizeof(none));
	else
		submit(instance, params, read_host_pcrs);
}

static void
quote_host(struct job *job)
{
	struct reader r = reader_of(job->data, job->len);
	struct quote quote = { 0 };

	memcpy(quote.uuid, job->uuid, sizeof(quote.uuid));
	quote.pcrs = reader_u32(&r);
	reader_bytes(&r, quote.nonce, sizeof(quote.nonce));
	reader_bytes(&r, quote.ek, sizeof(quote.ek));
	job->error = reader_done(&r) ? deep_quote(job->manager->store, job->manager->tpm, &quote,
						  job->response, &job->response_len)
				     : -EINVAL;
}

void
chip_quote(struct instance *instance, struct reader params)
{
	submit(instance, params, quote_host);
}
