#include "instance/instance_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vtpm/log.h>

#include "instance/host.h"

int
instance_snapshot(const struct instance *instance, enum tpm_state kind, struct blob *state)
{
	blob_clear(state);
	return tpm_get_state(instance->tpm, kind, &state->data, &state->len) == TPM_SUCCESS
		   ? 0
		   : -ENOMEM;
}

int
instance_compose(const struct instance *instance, struct blob *bytes)
{
	struct image image = { .lineage = instance->lineage, .kept = instance->stored };

	int rc = instance_snapshot(instance, TPM_STATE_PERMANENT, &image.permanent);
	if (rc == 0)
		rc = instance_snapshot(instance, TPM_STATE_SAVED, &image.saved);
	if (rc == 0)
		rc = image_write(&image, bytes);
	blob_clear(&image.permanent);
	blob_clear(&image.saved);
	return rc;
}

int
instance_record(const struct instance *instance, const struct blob *image)
{
	struct blob state = { 0 };

	if (!instance->journal)
		return 0;
	int rc = instance_snapshot(instance, TPM_STATE_VOLATILE, &state);
	if (rc == 0)
		rc = journal_write(instance->journal, &(struct journal_record) {
							  .sequence = instance->manager.number,
							  .presence = instance->platform->presence,
							  .off = instance->power == POWER_OFF,
							  .response = instance->manager.response,
							  .response_len = instance->manager.len,
							  .qemu_number = instance->qemu.number,
							  .qemu_response = instance->qemu.response,
							  .qemu_response_len = instance->qemu.len,
							  .volatile_state = state.data,
							  .volatile_len = state.len,
							  .nvm = image ? image->data : NULL,
							  .nvm_len = image ? image->len : 0,
						      });
	blob_clear(&state);
	if (rc < 0)
		log_error("cannot keep the journal, a crash now would reset the TPM: %s",
			  strerror(-rc));
	return rc;
}

int
instance_save(struct instance *instance, const struct blob *image)
{
	int rc = nvm_save(instance->nvm, image);

	if (rc < 0)
		log_error("commands that change the TPM's state fail until it can be saved again");
	else if (instance->save_failed)
		log_info("the TPM's state can be saved again");
	instance->save_failed = rc < 0;
	return rc;
}

TPM_RESULT
instance_take_image(struct instance *instance, const struct blob *bytes)
{
	struct image image;

	int rc = image_read(&image, bytes->data, bytes->len);
	if (rc < 0)
		return rc == -EPROTONOSUPPORT ? TPM_BAD_VERSION : TPM_INVALID_STRUCTURE;
	TPM_RESULT result = tpm_set_state(instance->tpm, TPM_STATE_PERMANENT, image.permanent.data,
					  image.permanent.len);
	if (result == TPM_SUCCESS)
		result = tpm_set_state(instance->tpm, TPM_STATE_SAVED, image.saved.data,
				       image.saved.len);
	if (result == TPM_SUCCESS &&
	    blob_copy(&instance->stored, image.kept.data, image.kept.len) < 0)
		result = TPM_RESOURCES;
	if (result == TPM_SUCCESS)
		instance->lineage = image.lineage;
	return result;
}

/* The memory must not run ahead of what is durable: back to that. */
static void
go_back(struct instance *instance)
{
	TPM_RESULT result = instance_take_image(instance, &instance->durable);

	if (result == TPM_SUCCESS)
		return;
	/* A new process begins with the durable state: that is right, if rude. */
	log_error("cannot go back to the last saved state (TPM error 0x%x): giving up", result);
	exit(EXIT_FAILURE);
}

TPM_RESULT
instance_keep(struct instance *instance, unsigned changes)
{
	struct blob image = { 0 };
	int rc = 0;

	if (changes == 0)
		return TPM_SUCCESS;
	if (changes & TPM_CHANGED_PERMANENT)
		instance->lineage.generation++;
	if (changes & ~(unsigned)TPM_CHANGED_VOLATILE)
		rc = instance_compose(instance, &image);
	if (rc == 0)
		instance_record(instance, image.len > 0 ? &image : NULL);
	if (rc == 0 && image.len > 0)
		rc = instance_save(instance, &image);
	if (rc == 0 && image.len > 0) {
		blob_clear(&instance->durable);
		instance->durable = image;
	} else if (rc < 0) {
		blob_clear(&image);
		go_back(instance);
		instance_record(instance, NULL);
	}
	return rc < 0 ? TPM_FAIL : TPM_SUCCESS;
}

unsigned
instance_drop_stored(struct instance *instance)
{
	if (instance->stored.len == 0)
		return 0;
	blob_clear(&instance->stored);
	return CHANGED_STORED;
}

static void
remember(struct answer *answer, uint64_t number, const uint8_t *response, size_t len)
{
	if (number == 0)
		return;
	answer->number = number;
	memcpy(answer->response, response, len);
	answer->len = len;
}

/* A command for the TPM, and what comes of it. */
struct execution {
	struct tpm *tpm;
	unsigned locality;
	const uint8_t *cmd;
	size_t len;
	uint8_t *response;
	size_t *response_len;
	unsigned changes;
};

static void
execute(void *arg)
{
	struct execution *e = arg;

	e->changes = tpm_execute(e->tpm, e->locality, e->cmd, e->len, e->response, e->response_len);
}

/* Executes, and has everything in the journal if anything has changed: returns whether. */
static bool
carry_out(struct instance *instance, struct answer *answer, uint64_t number, unsigned locality,
	  const uint8_t *cmd, size_t len, uint8_t *response, size_t *response_len)
{
	struct execution e = { instance->tpm, locality, cmd, len, response, response_len, 0 };

	if (instance->power >= POWER_OFF) {
		*response_len = tpm_error_response(TPM_FAIL, response);
	} else {
		instance->power = POWER_ON;
		platform_begin(instance->platform);
		if (instance->config.link && host_is_quote(cmd, len))
			host_execute_quote(instance->config.link, instance->tpm, cmd, len, response,
					   response_len);
		else if (tpm_takes_long(cmd, len))
			background_run(instance->platform->background, execute, &e);
		else
			execute(&e);
	}
	remember(answer, number, response, *response_len);
	if (e.changes == 0)
		return false;
	e.changes |= instance_drop_stored(instance);
	if (instance_keep(instance, e.changes) == TPM_SUCCESS)
		return true;
	*response_len = tpm_error_response(TPM_FAIL, response);
	remember(answer, number, response, *response_len);
	instance_record(instance, NULL);
	return true;
}

void
instance_execute(struct instance *instance, uint64_t sequence, unsigned locality,
		 const uint8_t *cmd, size_t len, uint8_t *response, size_t *response_len)
{
	struct answer *last = &instance->manager;

	if (sequence != 0 && sequence == last->number) {
		memcpy(response, last->response, last->len);
		*response_len = last->len;
		return;
	}
	carry_out(instance, last, sequence, locality, cmd, len, response, response_len);
}

void
instance_execute_once(struct instance *instance, unsigned locality, const uint8_t *cmd, size_t len,
		      uint8_t *response, size_t *response_len)
{
	if (!carry_out(instance, &instance->qemu, instance->qemu.number + 1, locality, cmd, len,
		       response, response_len))
		instance_record(instance, NULL);
}

void
instance_deliver(struct instance *instance)
{
	if (instance->journal)
		journal_deliver(instance->journal, instance->qemu.number);
}

size_t
instance_owed(const struct instance *instance, uint8_t response[TPM_BUFFER_SIZE])
{
	const struct answer *last = &instance->qemu;

	if (!instance->journal || last->number <= journal_delivered(instance->journal))
		return 0;
	memcpy(response, last->response, last->len);
	return last->len;
}

bool
instance_resumed(const struct instance *instance)
{
	return instance->resumed;
}

uint64_t
instance_last_answer(const struct instance *instance, const uint8_t **response, size_t *len)
{
	*response = instance->manager.response;
	*len = instance->manager.len;
	return instance->manager.number;
}

uint32_t
instance_id(const struct instance *instance)
{
	return instance->config.id;
}

int
instance_quote(struct instance *instance, uint32_t pcrs, const uint8_t *nonce,
	       struct blob *evidence)
{
	return instance->config.link
		   ? host_quote(instance->config.link, instance->tpm, pcrs, nonce, evidence)
		   : -ENOTSUP;
}

TPM_RESULT
instance_set_presence(struct instance *instance, bool on)
{
	instance->platform->presence = on;
	instance_record(instance, NULL);
	return TPM_SUCCESS;
}

TPM_RESULT
instance_allow_rollback(struct instance *instance, bool on)
{
	instance->rollback = on;
	return TPM_SUCCESS;
}

TPM_RESULT
instance_clear(struct instance *instance)
{
	tpm_clear(instance->tpm);
	return instance_keep(instance, TPM_CHANGED_PERMANENT | TPM_CHANGED_VOLATILE |
					   instance_drop_stored(instance));
}

TPM_RESULT
instance_suspend(struct instance *instance)
{
	if (instance->power == POWER_SUSPENDED)
		return TPM_SUCCESS;
	TPM_RESULT result = instance_store_volatile(instance);
	if (result == TPM_SUCCESS)
		instance->power = POWER_SUSPENDED;
	return result;
}

bool
instance_suspended(const struct instance *instance)
{
	return instance->power == POWER_SUSPENDED;
}
