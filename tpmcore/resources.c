#include "tpmcore/resources.h"

#include "tpmcore/state.h"

#define SLOTS(member)                                                                              \
	offsetof(struct tpm, member), sizeof(((struct tpm *)0)->member[0]),                        \
	    sizeof(((struct tpm *)0)->member) / sizeof(((struct tpm *)0)->member[0])

static const struct resource resources[] = {
	{ TPM_RT_KEY, false, TPM_BAD_PARAMETER, TPM_NOSPACE, SLOTS(keys) },
	{ TPM_RT_AUTH, true, TPM_INVALID_AUTHHANDLE, TPM_RESOURCES, SLOTS(stany.sessions) },
	{ TPM_RT_TRANS, true, TPM_INVALID_AUTHHANDLE, TPM_RESOURCES, SLOTS(stany.transports) },
	{ TPM_RT_DAA_TPM, true, TPM_BAD_HANDLE, TPM_RESOURCES, SLOTS(stany.daa) },
};

const struct resource *
resource_of(uint32_t type)
{
	for (size_t i = 0; i < sizeof(resources) / sizeof(resources[0]); i++)
		if (resources[i].type == type)
			return &resources[i];
	return NULL;
}

uint32_t
resource_handle(const struct tpm *tpm, const struct resource *r, size_t i)
{
	return *(const uint32_t *)((const uint8_t *)tpm + r->offset + i * r->size);
}

static void *
find_slot(struct tpm *tpm, const struct resource *r, uint32_t handle)
{
	for (size_t i = 0; i < r->count; i++)
		if (resource_handle(tpm, r, i) == handle)
			return (uint8_t *)tpm + r->offset + i * r->size;
	return NULL;
}

void *
resource_find(struct tpm *tpm, const struct resource *r, uint32_t handle)
{
	return handle ? find_slot(tpm, r, handle) : NULL;
}

void *
resource_slot(struct tpm *tpm, const struct resource *r)
{
	return find_slot(tpm, r, 0);
}

/* The top byte of a handle that the TPM chooses is its type. */
static bool
handle_in_use(struct tpm *tpm, uint32_t handle)
{
	return resource_find(tpm, resource_of(handle >> 24), handle) != NULL;
}

uint32_t
resource_new_handle(struct tpm *tpm, const struct resource *r)
{
	return tpm_new_handle(tpm, (uint8_t)r->type, handle_in_use);
}

void
resource_release(struct tpm *tpm, const struct resource *r, void *slot)
{
	switch (r->type) {
	case TPM_RT_KEY:
		session_terminate_entity(tpm, entity_key(&((struct key_slot *)slot)->key));
		key_slot_free(slot);
		break;
	case TPM_RT_AUTH:
		session_terminate(slot);
		break;
	case TPM_RT_TRANS:
		transport_free(tpm, slot);
		break;
	default:
		daa_free(slot);
	}
}

void
resource_marshal(struct marshal *m, const struct resource *r, void *slot)
{
	switch (r->type) {
	case TPM_RT_KEY:
		state_visit_key_slot(m, slot);
		break;
	case TPM_RT_AUTH:
		state_visit_session(m, slot);
		break;
	case TPM_RT_TRANS:
		state_visit_transport(m, slot);
		break;
	default:
		state_visit_daa(m, slot);
	}
}
