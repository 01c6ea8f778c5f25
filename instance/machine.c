#include "instance/instance_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <vtpm/log.h>
#include <vtpm/manager.h>

#include "instance/host.h"

TPM_RESULT
instance_power_on(struct instance *instance, bool forget)
{
	unsigned changes = TPM_CHANGED_VOLATILE;

	if (instance->power == POWER_SUSPENDED)
		return TPM_FAIL;
	if (host_boot_pcrs(instance->config.link, instance->tpm) < 0)
		return TPM_FAIL;
	tpm_init(instance->tpm);
	instance->power = POWER_ON;
	if (instance->stored.len == 0) {
		/* Starting it up is the firmware's, except for what firmware does not know. */
		if (instance->config.startup == VTPM_STARTUP_DEACTIVATED)
			return instance_start_up(instance, VTPM_STARTUP_DEACTIVATED);
		return instance_keep(instance, changes);
	}
	TPM_RESULT result = tpm_set_state(instance->tpm, TPM_STATE_VOLATILE, instance->stored.data,
					  instance->stored.len);
	if (result != TPM_SUCCESS) {
		log_error("the stored volatile state cannot be taken up (TPM error 0x%x)", result);
		instance->power = POWER_OFF;
		return result;
	}
	if (forget)
		changes |= instance_drop_stored(instance);
	return instance_keep(instance, changes);
}

bool
instance_in_use(const struct instance *instance)
{
	return instance->power == POWER_ON || instance->power == POWER_SUSPENDED;
}

TPM_RESULT
instance_power_off(struct instance *instance)
{
	if (instance->power == POWER_SUSPENDED)
		return TPM_FAIL;
	instance->power = POWER_OFF;
	instance->pushed = 0;
	instance_record(instance, NULL);
	return TPM_SUCCESS;
}

TPM_RESULT
instance_store_volatile(struct instance *instance)
{
	if (instance->power >= POWER_OFF)
		return TPM_BAD_ORDINAL;
	if (instance_snapshot(instance, TPM_STATE_VOLATILE, &instance->stored) < 0)
		return TPM_RESOURCES;
	return instance_keep(instance, CHANGED_STORED);
}

/* Permanent state for others: an image of nothing else. */
static TPM_RESULT
get_permanent(const struct instance *instance, struct blob *state)
{
	struct image image = { .lineage = instance->lineage };

	int rc = instance_snapshot(instance, TPM_STATE_PERMANENT, &image.permanent);
	blob_clear(state);
	if (rc == 0)
		rc = image_write(&image, state);
	blob_clear(&image.permanent);
	return rc < 0 ? TPM_RESOURCES : TPM_SUCCESS;
}

TPM_RESULT
instance_get_state(struct instance *instance, enum tpm_state kind, struct blob *state)
{
	/* State that was set for the next power on is what the TPM will be. */
	if (kind == TPM_STATE_VOLATILE && instance->power == POWER_OFF && instance->stored.len > 0)
		return blob_copy(state, instance->stored.data, instance->stored.len) < 0
			   ? TPM_RESOURCES
			   : TPM_SUCCESS;
	if (kind == TPM_STATE_PERMANENT)
		return get_permanent(instance, state);
	return instance_snapshot(instance, kind, state) < 0 ? TPM_RESOURCES : TPM_SUCCESS;
}

/* Whether permanent state may take the place of what is here; tells the operator if not. */
static bool
may_replace(const struct instance *instance, const struct lineage *pushed)
{
	const struct lineage *here = &instance->lineage;
	bool same = memcmp(pushed->id, here->id, sizeof(here->id)) == 0;
	uint32_t id = instance->config.id;

	if (here->generation <= GENERATION_NEW || instance->rollback ||
	    (same && pushed->generation >= here->generation))
		return true;
	if (same)
		log_error("QEMU brings an old state of this TPM (change %" PRIu64
			  ", here is %" PRIu64
			  "), which is refused; 'vtpmctl rollback %u on' allows it once",
			  pushed->generation, here->generation, id);
	else
		log_error("QEMU brings the state of another TPM in place of this one, which is "
			  "refused; 'vtpmctl rollback %u on' allows it once",
			  id);
	return false;
}

static TPM_RESULT
set_permanent(struct instance *instance, const uint8_t *state, size_t len)
{
	struct lineage here = instance->lineage;
	struct image image;

	int rc = image_read(&image, state, len);
	if (rc < 0)
		return rc == -EPROTONOSUPPORT ? TPM_BAD_VERSION : TPM_INVALID_STRUCTURE;
	if (!may_replace(instance, &image.lineage)) {
		instance->pushed |= PUSH_REFUSED;
		return TPM_DISABLED_CMD;
	}
	TPM_RESULT result = tpm_set_state(instance->tpm, TPM_STATE_PERMANENT, image.permanent.data,
					  image.permanent.len);
	if (result != TPM_SUCCESS)
		return result;
	instance->lineage = image.lineage;
	/* After a rollback, what was newer than it is not what comes next. */
	if (memcmp(here.id, image.lineage.id, sizeof(here.id)) == 0 &&
	    image.lineage.generation < here.generation) {
		log_warning("the TPM was rolled back from change %" PRIu64 " to change %" PRIu64,
			    here.generation, image.lineage.generation);
		instance->lineage.generation = here.generation + 1;
	}
	return TPM_SUCCESS;
}

TPM_RESULT
instance_set_state(struct instance *instance, enum tpm_state kind, const uint8_t *state, size_t len)
{
	TPM_RESULT result = TPM_SUCCESS;

	if (instance_in_use(instance))
		return TPM_BAD_ORDINAL;
	if (instance->power == POWER_FRESH)
		instance_power_off(instance);
	if (instance->pushed & PUSH_REFUSED)
		return TPM_DISABLED_CMD;
	if (kind == TPM_STATE_PERMANENT) {
		result = set_permanent(instance, state, len);
	} else if (kind == TPM_STATE_VOLATILE) {
		if (blob_copy(&instance->stored, state, len) < 0)
			result = TPM_RESOURCES;
	} else {
		result = tpm_set_state(instance->tpm, kind, state, len);
	}
	if (result != TPM_SUCCESS)
		return result;
	instance->pushed |= 1u << kind;
	/* What the TPM that was here before had saved is none of the new one's. */
	if (kind == TPM_STATE_PERMANENT && !(instance->pushed & 1u << TPM_STATE_SAVED))
		result = tpm_set_state(instance->tpm, TPM_STATE_SAVED, NULL, 0);
	if (kind == TPM_STATE_PERMANENT && !(instance->pushed & 1u << TPM_STATE_VOLATILE))
		instance_drop_stored(instance);
	if (result == TPM_SUCCESS)
		result = instance_keep(instance, TPM_CHANGED_SAVED | CHANGED_STORED);
	if (kind == TPM_STATE_PERMANENT && result == TPM_SUCCESS)
		instance->rollback = false;
	return result;
}

/* A call of the machine's side is done: keeps what it changed, which only now is known. */
static TPM_RESULT
done(struct instance *instance, TPM_RESULT result, const unsigned *changes)
{
	unsigned dropped = *changes != 0 ? instance_drop_stored(instance) : 0;
	TPM_RESULT kept = instance_keep(instance, *changes | dropped);

	return result != TPM_SUCCESS ? result : kept;
}

bool
instance_established(const struct instance *instance)
{
	return tpm_established(instance->tpm);
}

TPM_RESULT
instance_reset_established(struct instance *instance, unsigned locality)
{
	unsigned changes = 0;

	if (instance->power >= POWER_OFF)
		return TPM_BAD_ORDINAL;
	return done(instance, tpm_reset_established(instance->tpm, locality, &changes), &changes);
}

TPM_RESULT
instance_hash_start(struct instance *instance)
{
	unsigned changes = 0;

	if (instance->power >= POWER_OFF)
		return TPM_BAD_ORDINAL;
	instance->power = POWER_ON;
	return done(instance, tpm_hash_start(instance->tpm, &changes), &changes);
}

TPM_RESULT
instance_hash_data(struct instance *instance, const uint8_t *data, size_t len)
{
	unsigned changes = 0;

	if (instance->power >= POWER_OFF)
		return TPM_BAD_ORDINAL;
	return done(instance, tpm_hash_data(instance->tpm, data, len, &changes), &changes);
}

TPM_RESULT
instance_hash_end(struct instance *instance)
{
	unsigned changes = 0;

	if (instance->power >= POWER_OFF)
		return TPM_BAD_ORDINAL;
	return done(instance, tpm_hash_end(instance->tpm, &changes), &changes);
}
