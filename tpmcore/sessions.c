/* Authorization sessions [TPM Main Part 3, 18]. TPM_DSAP is in delegation_use.c. */
#include "tpmcore/commands.h"

TPM_RESULT
tpm_OIAP(struct command *c)
{
	struct session *s = session_new(c->tpm, TPM_PID_OIAP);

	if (!s)
		return TPM_RESOURCES;
	writer_u32(&c->out, s->handle);
	writer_bytes(&c->out, s->nonceEven, DIGEST_SIZE);
	return TPM_SUCCESS;
}

TPM_RESULT
entity_find(struct tpm *tpm, uint16_t type, uint32_t value, struct entity *entity)
{
	struct key *key = NULL;
	struct nv_area *area;
	struct counter *counter;

	switch (type) {
	case TPM_ET_OWNER:
		if (!tpm->permanent.owner_installed)
			return TPM_BAD_PARAMETER;
		*entity = entity_owner(tpm);
		return TPM_SUCCESS;
	case TPM_ET_SRK:
	case TPM_ET_KEYHANDLE:
		key = key_find(tpm, type == TPM_ET_SRK ? TPM_KH_SRK : value, NULL);
		if (!key)
			return key_not_found(value);
		*entity = entity_key(key);
		return TPM_SUCCESS;
	case TPM_ET_NV:
		area = nv_find(tpm, value);
		if (!area)
			return TPM_BADINDEX;
		*entity = entity_number(TPM_ET_NV, value, area->auth);
		return TPM_SUCCESS;
	case TPM_ET_COUNTER:
		counter = counter_find(tpm, value);
		if (!counter)
			return TPM_BAD_COUNTER;
		*entity = entity_number(TPM_ET_COUNTER, value, counter->auth);
		return TPM_SUCCESS;
	default:
		return TPM_BAD_PARAMETER;
	}
}

TPM_RESULT
session_open(struct command *c, uint16_t protocol, uint8_t encryption, const struct entity *entity,
	     const uint8_t *nonceOdd, struct session **opened)
{
	uint8_t nonceEven[DIGEST_SIZE];
	struct session *s;

	if (encryption != TPM_ET_XOR && encryption != TPM_ET_AES)
		return TPM_INAPPROPRIATE_ENC;
	if (tpm_random(c->tpm, nonceEven, DIGEST_SIZE) != TPM_SUCCESS)
		return TPM_FAIL;
	s = session_new(c->tpm, protocol);
	if (!s)
		return TPM_RESOURCES;
	s->encryption = encryption;
	s->entityType = entity->type;
	memcpy(s->entityId, entity->id, DIGEST_SIZE);
	crypto_hmac(s->sharedSecret, entity->secret, DIGEST_SIZE,
		    SPANS(SPAN(nonceEven, DIGEST_SIZE), SPAN(nonceOdd, DIGEST_SIZE)));
	writer_u32(&c->out, s->handle);
	writer_bytes(&c->out, s->nonceEven, DIGEST_SIZE);
	writer_bytes(&c->out, nonceEven, DIGEST_SIZE);
	*opened = s;
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_OSAP(struct command *c)
{
	uint16_t entityType = reader_u16(&c->in);
	uint32_t entityValue = reader_u32(&c->in);
	const uint8_t *nonceOddOSAP = reader_view(&c->in, DIGEST_SIZE);
	struct entity entity;
	struct session *s;
	const struct delegate_public *delegation = NULL;
	TPM_RESULT rc = entity_find(c->tpm, (uint8_t)entityType, entityValue, &entity);

	if (rc)
		return rc;
	if (entity.type == TPM_ET_OWNER)
		delegation = delegation_of_owner(c->tpm, &entity);
	rc = session_open(c, delegation ? TPM_PID_DSAP : TPM_PID_OSAP, (uint8_t)(entityType >> 8),
			  &entity, nonceOddOSAP, &s);
	if (rc == TPM_SUCCESS && delegation)
		s->delegation = *delegation;
	return rc;
}
