#include "instance/instance_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <vtpm/codec.h>
#include <vtpm/log.h>
#include <vtpm/manager.h>

#include "instance/host.h"

TPM_RESULT
instance_start_up(struct instance *instance, unsigned startup)
{
	uint8_t cmd[TPM_HEADER_SIZE + 2];
	uint8_t response[TPM_BUFFER_SIZE];
	struct writer w = writer_of(cmd, sizeof(cmd));
	size_t len;

	tpm_init(instance->tpm);
	writer_u16(&w, TPM_TAG_RQU_COMMAND);
	writer_u32(&w, sizeof(cmd));
	writer_u32(&w, TPM_ORD_Startup);
	writer_u16(&w, (uint16_t)startup);
	instance_execute(instance, 0, 0, cmd, sizeof(cmd), response, &len);
	struct reader r = reader_of(response, len);
	reader_u16(&r);
	reader_u32(&r);
	return reader_u32(&r);
}

/* The first power on of this process, in the startup mode it was told. */
static int
first_power_on(struct instance *instance)
{
	unsigned startup = instance->config.startup;
	bool firmware = instance->config.hvm && startup == VTPM_STARTUP_CLEAR;

	tpm_init(instance->tpm);
	if (startup == VTPM_STARTUP_SAVE && instance->stored.len > 0)
		return instance_power_on(instance, false) == TPM_SUCCESS ? 0 : -EBADMSG;
	if (instance_keep(instance, instance_drop_stored(instance)) != TPM_SUCCESS)
		return -EIO;
	TPM_RESULT result = firmware ? TPM_SUCCESS : instance_start_up(instance, startup);
	/* Not to be mistaken for a TPM that has nothing to resume from; it is still there. */
	if (instance->save_failed)
		return -EIO;
	if (result != TPM_SUCCESS && startup == VTPM_STARTUP_SAVE) {
		log_warning(
		    "there is no saved state to resume from (TPM error 0x%x): the TPM starts "
		    "afresh, its PCRs are reset",
		    result);
		result = instance_start_up(instance, VTPM_STARTUP_CLEAR);
	}
	if (result != TPM_SUCCESS)
		log_error("TPM_Startup failed with TPM error 0x%x", result);
	if (!firmware)
		instance->power = POWER_FRESH;
	return 0;
}

static int
new_lineage(struct instance *instance, uint64_t generation)
{
	instance->lineage.generation = generation;
	if (getrandom(instance->lineage.id, sizeof(instance->lineage.id), 0) !=
	    sizeof(instance->lineage.id))
		return -EIO;
	blob_clear(&instance->durable);
	int rc = instance_compose(instance, &instance->durable);
	return rc < 0 ? rc : instance_save(instance, &instance->durable);
}

/* Makes the TPM that is not there yet, durably. */
static int
manufacture(struct instance *instance)
{
	bool changed;

	log_info("a new TPM is made%s",
		 instance->config.manufacture ? ", with an endorsement key" : "");
	if (instance->config.manufacture && tpm_manufacture_ek(instance->tpm) != TPM_SUCCESS) {
		log_error("cannot make the endorsement key");
		return -EIO;
	}
	int rc = host_certify(instance->config.link, instance->tpm, &changed);
	return rc < 0 ? rc : new_lineage(instance, GENERATION_NEW);
}

/*
 * A TPM from before the host had a CA, or whose guest removed the certificate, gets one when it
 * boots; not when it resumes: what TPM_SaveState kept would be lost.
 */
static int
certify(struct instance *instance)
{
	bool changed = false;

	if (instance->config.startup == VTPM_STARTUP_SAVE)
		return 0;
	int rc = host_certify(instance->config.link, instance->tpm, &changed);
	if (rc < 0 || !changed)
		return rc;
	instance->lineage.generation++;
	blob_clear(&instance->durable);
	rc = instance_compose(instance, &instance->durable);
	return rc < 0 ? rc : instance_save(instance, &instance->durable);
}

/* Takes over the TPM that was saved. */
static int
take_over(struct instance *instance, const uint8_t *data, size_t len)
{
	int rc = blob_copy(&instance->durable, data, len);

	if (rc < 0)
		return rc;
	TPM_RESULT result = instance_take_image(instance, &instance->durable);
	/* Of an earlier version: whatever it is, it is not new. */
	if (result == TPM_SUCCESS && instance->lineage.generation == 0)
		return new_lineage(instance, GENERATION_NEW + 1);
	if (result == TPM_SUCCESS)
		return 0;
	if (result == TPM_BAD_VERSION)
		log_error("the TPM's state in %s was written by a later version of vtpmd: use that "
			  "one",
			  nvm_where(instance->nvm));
	else
		log_error(
		    "the TPM's state in %s is damaged (TPM error 0x%x): put a good copy back, or "
		    "delete it to begin with a new TPM",
		    nvm_where(instance->nvm), result);
	return result == TPM_BAD_VERSION ? -EPROTONOSUPPORT : -EBADMSG;
}

static bool
take_answer(struct answer *answer, uint64_t number, const uint8_t *response, size_t len)
{
	if (len > sizeof(answer->response))
		return false;
	answer->number = number;
	memcpy(answer->response, response, len);
	answer->len = len;
	return true;
}

/*
 * Goes on where the vtpmd before was killed. *resumed tells whether that was possible; if not, the
 * permanent state is there all the same.
 */
static int
resume(struct instance *instance, const struct journal_record *record, const struct blob *loaded,
       bool *resumed)
{
	struct blob pending = { 0 };
	int rc = 0;

	/* The answer to the change may be out, or it will be repeated: it has to be durable. */
	if (record->nvm_len > 0 && (record->nvm_len != loaded->len ||
				    memcmp(record->nvm, loaded->data, loaded->len) != 0)) {
		rc = blob_copy(&pending, record->nvm, record->nvm_len);
		if (rc == 0)
			rc = instance_save(instance, &pending);
	}
	if (rc == 0)
		rc = record->nvm_len > 0 ? take_over(instance, record->nvm, record->nvm_len)
					 : take_over(instance, loaded->data, loaded->len);
	blob_clear(&pending);
	if (rc < 0)
		return rc;
	tpm_init(instance->tpm);
	TPM_RESULT result = tpm_set_state(instance->tpm, TPM_STATE_VOLATILE, record->volatile_state,
					  record->volatile_len);
	*resumed = result == TPM_SUCCESS &&
		   take_answer(&instance->manager, record->sequence, record->response,
			       record->response_len) &&
		   take_answer(&instance->qemu, record->qemu_number, record->qemu_response,
			       record->qemu_response_len);
	if (!*resumed) {
		log_warning("the journal cannot be used (TPM error 0x%x): the TPM is reset",
			    result);
		return 0;
	}
	instance->power = record->off ? POWER_OFF : POWER_ON;
	instance->platform->presence = record->presence;
	log_info("the TPM goes on where the process before it was killed");
	return 0;
}

static int
bring_to_life(struct instance *instance)
{
	struct journal_record record;
	struct blob loaded = { 0 };
	bool resumed = false;

	int rc = nvm_load(instance->nvm, &loaded);
	if (rc == 0)
		rc = host_boot_pcrs(instance->config.link, instance->tpm);
	if (rc < 0) {
		blob_clear(&loaded);
		return rc;
	}
	bool known = loaded.len > 0;
	if (instance->journal && journal_read(instance->journal, &record))
		rc = resume(instance, &record, &loaded, &resumed);
	else if (known)
		rc = take_over(instance, loaded.data, loaded.len);
	else
		rc = manufacture(instance);
	blob_clear(&loaded);
	if (rc == 0 && known && !resumed)
		rc = certify(instance);
	if (rc == 0 && !resumed && instance->journal)
		journal_deliver(instance->journal, 0);
	if (rc == 0 && !resumed)
		rc = first_power_on(instance);
	instance->resumed = resumed;
	return rc;
}

int
instance_open(const struct instance_config *config, struct platform *platform, struct nvm *nvm,
	      struct journal *journal, struct instance **instance)
{
	struct tpm_platform callbacks = platform_callbacks(platform);
	struct instance *opened = calloc(1, sizeof(*opened));

	if (!opened)
		return -ENOMEM;
	opened->config = *config;
	opened->platform = platform;
	opened->nvm = nvm;
	opened->journal = journal;
	opened->tpm = tpm_new(&callbacks);
	int rc = opened->tpm ? bring_to_life(opened) : -ENOMEM;
	if (rc < 0) {
		instance_close(opened);
		return rc;
	}
	*instance = opened;
	return 0;
}

void
instance_close(struct instance *instance)
{
	if (!instance)
		return;
	tpm_free(instance->tpm);
	blob_clear(&instance->durable);
	blob_clear(&instance->stored);
	explicit_bzero(&instance->manager, sizeof(instance->manager));
	explicit_bzero(&instance->qemu, sizeof(instance->qemu));
	free(instance);
}
