#include "instance/instance_internal.h"

#include <vtpm/log.h>
#include <vtpm/manager.h>

TPM_RESULT
instance_power_on(struct instance *instance, bool forget)
{
	unsigned changes = TPM_CHANGED_VOLATILE;

	if (instance->power == POWER_SUSPENDED)
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

TPM_RESULT
instance_power_off(struct instance *instance)
{
	if (instance->power == POWER_SUSPENDED)
		return TPM_FAIL;
	instance->power = POWER_OFF;
	instance->pushed = 0;
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

TPM_RESULT
instance_get_state(struct instance *instance, enum tpm_state kind, struct blob *state)
{
	/* State that was set for the next power on is what the TPM will be. */
	if (kind == TPM_STATE_VOLATILE && instance->power == POWER_OFF && instance->stored.len > 0)
		return blob_copy(state, instance->stored.data, instance->stored.len) < 0
			   ? TPM_RESOURCES
			   : TPM_SUCCESS;
	return instance_snapshot(instance, kind, state) < 0 ? TPM_RESOURCES : TPM_SUCCESS;
}

TPM_RESULT
instance_set_state(struct instance *instance, enum tpm_state kind, const uint8_t *state, size_t len)
{
	TPM_RESULT result = TPM_SUCCESS;

	if (instance->power == POWER_ON || instance->power == POWER_SUSPENDED)
		return TPM_BAD_ORDINAL;
	if (instance->power == POWER_FRESH)
		instance_power_off(instance);
	if (kind == TPM_STATE_VOLATILE) {
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
		result = instance_keep(instance, TPM_CHANGED_PERMANENT | CHANGED_STORED);
	return result;
}

/* A call of the machine's side is done: keeps what it changed. */
static TPM_RESULT
done(struct instance *instance, TPM_RESULT result, unsigned changes)
{
	if (changes != 0)
		changes |= instance_drop_stored(instance);
	TPM_RESULT kept = instance_keep(instance, changes);

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
	return done(instance, tpm_reset_established(instance->tpm, locality, &changes), changes);
}

TPM_RESULT
instance_hash_start(struct instance *instance)
{
	unsigned changes = 0;

	if (instance->power >= POWER_OFF)
		return TPM_BAD_ORDINAL;
	instance->power = POWER_ON;
	return done(instance, tpm_hash_start(instance->tpm, &changes), changes);
}

TPM_RESULT
instance_hash_data(struct instance *instance, const uint8_t *data, size_t len)
{
	unsigned changes = 0;

	if (instance->power >= POWER_OFF)
		return TPM_BAD_ORDINAL;
	return done(instance, tpm_hash_data(instance->tpm, data, len, &changes), changes);
}

TPM_RESULT
instance_hash_end(struct instance *instance)
{
	unsigned changes = 0;

	if (instance->power >= POWER_OFF)
		return TPM_BAD_ORDINAL;
	return done(instance, tpm_hash_end(instance->tpm, &changes), changes);
}
