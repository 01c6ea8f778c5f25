/* The use of delegations: TPM_DSAP [TPM Main Part 3, 18.3], TPM_SetOwnerPointer [18.4], and checks.
 */
#include "tpmcore/commands.h"
#include "tpmcore/delegation.h"

struct family *
family_find(struct tpm *tpm, uint32_t familyID)
{
	for (struct family *f = tpm->permanent.families; f < tpm->permanent.families + MAX_FAMILIES;
	     f++)
		if (f->valid && f->familyID == familyID)
			return f;
	return NULL;
}

TPM_RESULT
family_check(struct tpm *tpm, const struct delegate_public *pub)
{
	const struct family *f = family_find(tpm, pub->familyID);

	if (!f)
		return TPM_BADINDEX;
	if (!(f->flags & TPM_FAMFLAG_ENABLE))
		return TPM_DISABLED_CMD;
	return f->verificationCount == pub->verificationCount ? TPM_SUCCESS : TPM_FAMILYCOUNT;
}

struct delegate_row *
delegate_row_find(struct tpm *tpm, uint32_t index)
{
	struct delegate_row *rows = tpm->permanent.delegates;

	return index < MAX_DELEGATES && rows[index].valid ? &rows[index] : NULL;
}

/* The row that TPM_SetOwnerPointer put in the owner's place; NULL: the owner speaks for itself. */
static struct delegate_row *
owner_row(struct tpm *tpm)
{
	return tpm->stclear.ownerReference == TPM_KH_OWNER
		   ? NULL
		   : delegate_row_find(tpm, tpm->stclear.ownerReference);
}

TPM_RESULT
delegation_check(const struct command *c, const struct delegate_public *pub)
{
	bool owner = pub->delegateType == TPM_DEL_OWNER_BITS;
	uint32_t permission = owner ? c->row->owner_permission : c->row->key_permission;
	TPM_RESULT rc = family_check(c->tpm, pub);

	if (rc)
		return rc;
	if (!(pub->per1 & permission))
		return TPM_AUTHFAIL;
	return pcr_check_info_short(c, &pub->pcr);
}

TPM_RESULT
delegation_owner_secret(struct command *c, struct entity *entity)
{
	struct delegate_row *row = owner_row(c->tpm);

	if (entity->type != TPM_ET_OWNER || !row)
		return TPM_SUCCESS;
	entity->secret = row->auth;
	return delegation_check(c, &row->pub);
}

const struct delegate_public *
delegation_of_owner(struct tpm *tpm, struct entity *entity)
{
	struct delegate_row *row = owner_row(tpm);

	if (!row)
		return NULL;
	entity->secret = row->auth;
	return &row->pub;
}

const struct delegate_public *
delegation_used(const struct command *c)
{
	const struct session *s = c->auth_count ? c->auth[0].session : NULL;
	const struct delegate_row *row = owner_row(c->tpm);

	if (!s)
		return NULL;
	if (s->protocol == TPM_PID_DSAP)
		return &s->delegation;
	/* The commands that ask take OIAP from the owner alone. */
	return s->protocol == TPM_PID_OIAP && row ? &row->pub : NULL;
}

void
delegation_terminate(struct tpm *tpm)
{
	for (struct session *s = tpm->stany.sessions; s < tpm->stany.sessions + MAX_SESSIONS; s++)
		if (s->handle && s->protocol == TPM_PID_DSAP)
			session_terminate(s);
	tpm->stclear.ownerReference = TPM_KH_OWNER;
}

/* What a DSAP session is opened with: a row of the table or a blob, of a family that is enabled. */
static TPM_RESULT
find_delegation(struct command *c, uint8_t type, uint32_t keyHandle, struct reader entityValue,
		struct delegate_public *pub, uint8_t *auth, struct entity *entity)
{
	struct delegation_blob b = { 0 };
	uint8_t digest[DIGEST_SIZE];

	if (type == TPM_ET_DEL_ROW) {
		if (entityValue.left != 4)
			return TPM_BAD_PARAM_SIZE;
		const struct delegate_row *row =
		    delegate_row_find(c->tpm, reader_u32(&entityValue));
		if (!row)
			return TPM_BADINDEX;
		*pub = row->pub;
		*entity = entity_owner(c->tpm);
		memcpy(auth, row->auth, DIGEST_SIZE);
		return family_check(c->tpm, pub);
	}
	if (type != TPM_ET_DEL_OWNER_BLOB && type != TPM_ET_DEL_KEY_BLOB)
		return TPM_BAD_PARAMETER;
	if (delegation_blob_read(entityValue, &b) != TPM_SUCCESS ||
	    (b.tag == TPM_TAG_DELG_KEY_BLOB) != (type == TPM_ET_DEL_KEY_BLOB))
		return TPM_WRONG_ENTITYTYPE;
	TPM_RESULT rc = family_check(c->tpm, &b.pub);
	if (rc == TPM_SUCCESS)
		rc = delegation_blob_check(c->tpm, &b);
	if (rc == TPM_SUCCESS)
		rc = delegation_blob_auth(c->tpm, &b, false, auth);
	if (rc)
		return rc;
	*pub = b.pub;
	*entity = entity_owner(c->tpm);
	if (type == TPM_ET_DEL_KEY_BLOB) {
		const struct key *key = key_find(c->tpm, keyHandle, NULL);

		if (!key)
			return key_not_found(keyHandle);
		key_store_pubkey_digest(key, digest);
		if (memcmp(digest, b.pubKeyDigest, DIGEST_SIZE) != 0)
			return TPM_KEYNOTFOUND;
		*entity = entity_key(key);
	}
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_DSAP(struct command *c)
{
	uint16_t entityType = reader_u16(&c->in);
	uint32_t keyHandle = reader_u32(&c->in);
	const uint8_t *nonceOddDSAP = reader_view(&c->in, DIGEST_SIZE);
	struct delegate_public pub;
	uint8_t auth[DIGEST_SIZE];
	struct entity entity;
	struct session *s;
	TPM_RESULT rc = find_delegation(c, (uint8_t)entityType, keyHandle, reader_sized(&c->in),
					&pub, auth, &entity);

	if (rc == TPM_SUCCESS) {
		entity.secret = auth;
		rc = session_open(c, TPM_PID_DSAP, (uint8_t)(entityType >> 8), &entity,
				  nonceOddDSAP, &s);
	}
	if (rc == TPM_SUCCESS)
		s->delegation = pub;
	crypto_wipe(auth, sizeof(auth));
	return rc;
}

TPM_RESULT
tpm_SetOwnerPointer(struct command *c)
{
	uint16_t entityType = reader_u16(&c->in);
	uint32_t entityValue = reader_u32(&c->in);

	if (entityType == TPM_ET_OWNER) {
		c->tpm->stclear.ownerReference = TPM_KH_OWNER;
		return TPM_SUCCESS;
	}
	if (entityType != TPM_ET_DEL_ROW)
		return TPM_BAD_PARAMETER;
	const struct delegate_row *row = delegate_row_find(c->tpm, entityValue);
	TPM_RESULT rc = row ? family_check(c->tpm, &row->pub) : TPM_BADINDEX;
	if (rc == TPM_SUCCESS)
		c->tpm->stclear.ownerReference = entityValue;
	return rc;
}
