/* Delegation [TPM Main Part 3, 19]: families, the table, and blobs for the owner and for keys. */
#include "tpmcore/commands.h"
#include "tpmcore/delegation.h"

enum {
	OWNER_PERMISSIONS = 0x7fffffff, /* the bits of per1 that stand for a command */
	KEY_PERMISSIONS = 0x1fffffff,
};

/* Whoever acts by a delegation stays within its family. */
static TPM_RESULT
check_used_family(const struct command *c, uint32_t familyID)
{
	const struct delegate_public *used = delegation_used(c);

	return !used || used->familyID == familyID ? TPM_SUCCESS : TPM_DELEGATE_FAMILY;
}

static void
row_invalidate(struct delegate_row *row)
{
	crypto_wipe(row, sizeof(*row));
}

void
delegation_owner_clear(struct tpm *tpm)
{
	crypto_wipe(tpm->permanent.families, sizeof(tpm->permanent.families));
	crypto_wipe(tpm->permanent.delegates, sizeof(tpm->permanent.delegates));
}

typedef TPM_RESULT family_operation(struct command *c, struct family *f, struct reader opData);

static TPM_RESULT
family_create(struct command *c, struct family *unused, struct reader opData)
{
	struct permanent *p = &c->tpm->permanent;

	(void)unused;
	if (opData.left != 1)
		return TPM_BAD_PARAM_SIZE;
	for (struct family *f = p->families; f < p->families + MAX_FAMILIES; f++) {
		if (f->valid)
			continue;
		*f = (struct family) { .valid = true,
				       .label = reader_u8(&opData),
				       .familyID = ++p->lastFamilyID,
				       .verificationCount = 1 };
		writer_u32(&c->out, 4);
		writer_u32(&c->out, f->familyID);
		return TPM_SUCCESS;
	}
	return TPM_RESOURCES;
}

static TPM_RESULT
set_family_flag(struct command *c, struct family *f, struct reader opData, uint32_t flag)
{
	if (opData.left != 1)
		return TPM_BAD_PARAM_SIZE;
	f->flags = reader_u8(&opData) ? f->flags | flag : f->flags & ~flag;
	writer_u32(&c->out, 0);
	return TPM_SUCCESS;
}

static TPM_RESULT
family_enable(struct command *c, struct family *f, struct reader opData)
{
	return set_family_flag(c, f, opData, TPM_FAMFLAG_ENABLE);
}

static TPM_RESULT
family_admin(struct command *c, struct family *f, struct reader opData)
{
	return set_family_flag(c, f, opData, TPM_FAMFLAG_DELEGATE_ADMIN_LOCK);
}

static TPM_RESULT
family_invalidate(struct command *c, struct family *f, struct reader opData)
{
	struct permanent *p = &c->tpm->permanent;

	(void)opData;
	for (unsigned i = 0; i < MAX_DELEGATES; i++)
		if (p->delegates[i].valid && p->delegates[i].pub.familyID == f->familyID)
			row_invalidate(&p->delegates[i]);
	*f = (struct family) { 0 };
	writer_u32(&c->out, 0);
	return TPM_SUCCESS;
}

static family_operation *const family_operations[] = {
	[TPM_FAMILY_CREATE] = family_create,
	[TPM_FAMILY_ENABLE] = family_enable,
	[TPM_FAMILY_ADMIN] = family_admin,
	[TPM_FAMILY_INVALIDATE] = family_invalidate,
};

/* Without an owner anybody may build the tables, but only so often [Part 1, 29]. */
static TPM_RESULT
check_no_owner_write(struct tpm *tpm)
{
	if (tpm->permanent.owner_installed)
		return TPM_AUTHFAIL;
	return tpm->permanent.noOwnerNVWrite < MAX_NV_WRITES_NO_OWNER ? TPM_SUCCESS
								      : TPM_MAXNVWRITES;
}

TPM_RESULT
tpm_Delegate_Manage(struct command *c)
{
	uint32_t familyID = reader_u32(&c->in), opCode = reader_u32(&c->in);
	struct reader opData = reader_sized(&c->in);
	struct family *f = family_find(c->tpm, familyID);
	TPM_RESULT rc = TPM_SUCCESS;

	if (opCode != TPM_FAMILY_CREATE && !f)
		return TPM_BADINDEX;
	if (c->auth_count == 0)
		rc = check_no_owner_write(c->tpm);
	else if (opCode != TPM_FAMILY_CREATE)
		rc = check_used_family(c, familyID);
	if (rc == TPM_SUCCESS && c->auth_count == 0 && opCode != TPM_FAMILY_CREATE &&
	    f->flags & TPM_FAMFLAG_DELEGATE_ADMIN_LOCK)
		rc = TPM_DELEGATE_LOCK;
	if (rc == TPM_SUCCESS && (opCode == 0 || opCode > TPM_FAMILY_INVALIDATE))
		rc = TPM_BAD_PARAMETER;
	if (rc)
		return rc;
	delegation_terminate(c->tpm);
	rc = family_operations[opCode](c, f, opData);
	if (rc)
		return rc;
	if (c->auth_count == 0)
		c->tpm->permanent.noOwnerNVWrite++;
	c->tpm->changed |= TPM_CHANGED_PERMANENT;
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_Delegate_ReadTable(struct command *c)
{
	struct permanent *p = &c->tpm->permanent;
	struct marshal m = { .w = &c->out };
	size_t size_at = c->out.len;

	writer_u32(&c->out, 0);
	for (unsigned i = 0; i < MAX_FAMILIES; i++)
		if (p->families[i].valid)
			marshal_family(&m, &p->families[i]);
	writer_patch_u32(&c->out, size_at, (uint32_t)(c->out.len - size_at - 4));
	size_at = c->out.len;
	writer_u32(&c->out, 0);
	for (uint32_t i = 0; i < MAX_DELEGATES; i++) {
		if (!p->delegates[i].valid)
			continue;
		writer_u32(&c->out, i);
		marshal_delegate_public(&m, &p->delegates[i].pub);
	}
	writer_patch_u32(&c->out, size_at, (uint32_t)(c->out.len - size_at - 4));
	return TPM_SUCCESS;
}

/* Checks what is to be delegated: permissions that exist, and no more than the delegator has. */
static TPM_RESULT
check_public(const struct command *c, const struct delegate_public *pub, uint32_t type)
{
	uint32_t known = type == TPM_DEL_OWNER_BITS ? OWNER_PERMISSIONS : KEY_PERMISSIONS;
	const struct delegate_public *used = delegation_used(c);

	if (pub->delegateType != type)
		return TPM_BAD_PARAMETER;
	if (pub->per1 & ~known || pub->per2 != 0)
		return TPM_BAD_PARAMETER;
	if (!used)
		return TPM_SUCCESS;
	if (used->familyID != pub->familyID)
		return TPM_DELEGATE_FAMILY;
	return pub->per1 & ~used->per1 ? TPM_AUTHFAIL : TPM_SUCCESS;
}

static TPM_RESULT
create_delegation(struct command *c, uint32_t type, bool increment)
{
	struct delegate_public pub;
	uint8_t auth[DIGEST_SIZE];

	marshal_delegate_public(&(struct marshal) { .r = &c->in }, &pub);
	if (c->in.failed || !locality_selection_valid(pub.pcr.localityAtRelease))
		return TPM_INVALID_STRUCTURE;
	const uint8_t *delAuth = reader_view(&c->in, DIGEST_SIZE);
	struct family *f = family_find(c->tpm, pub.familyID);
	TPM_RESULT rc = check_public(c, &pub, type);
	if (rc == TPM_SUCCESS && !f)
		rc = TPM_BADINDEX;
	if (rc == TPM_SUCCESS)
		rc = auth_decrypt(c, 0, false, delAuth, auth);
	if (rc)
		return rc;
	if (increment) {
		f->verificationCount++;
		delegation_terminate(c->tpm);
		c->tpm->changed |= TPM_CHANGED_PERMANENT;
	}
	pub.verificationCount = f->verificationCount;
	rc = delegation_blob_write(c, &pub, c->key[0], auth);
	crypto_wipe(auth, sizeof(auth));
	return rc;
}

TPM_RESULT
tpm_Delegate_CreateKeyDelegation(struct command *c)
{
	return create_delegation(c, TPM_DEL_KEY_BITS, false);
}

TPM_RESULT
tpm_Delegate_CreateOwnerDelegation(struct command *c)
{
	bool increment = reader_u8(&c->in);

	return create_delegation(c, TPM_DEL_OWNER_BITS, increment);
}

TPM_RESULT
tpm_Delegate_LoadOwnerDelegation(struct command *c)
{
	struct permanent *p = &c->tpm->permanent;
	uint32_t index = reader_u32(&c->in);
	bool by_owner = c->auth_count > 0;
	struct delegation_blob b = { 0 };
	struct delegate_row row = { .valid = true };
	TPM_RESULT rc = delegation_blob_read(reader_sized(&c->in), &b);

	if (b.tag != TPM_TAG_DELEGATE_OWNER_BLOB)
		rc = TPM_INVALID_STRUCTURE;
	if (rc == TPM_SUCCESS)
		rc = by_owner ? check_used_family(c, b.pub.familyID) : check_no_owner_write(c->tpm);
	const struct family *f = family_find(c->tpm, b.pub.familyID);
	if (rc == TPM_SUCCESS && !f)
		rc = TPM_BADINDEX;
	if (rc == TPM_SUCCESS && !(f->flags & TPM_FAMFLAG_ENABLE))
		rc = TPM_DISABLED_CMD;
	if (rc == TPM_SUCCESS && index >= MAX_DELEGATES)
		rc = TPM_BADINDEX;
	if (rc == TPM_SUCCESS && !by_owner && f->flags & TPM_FAMFLAG_DELEGATE_ADMIN_LOCK)
		rc = TPM_DELEGATE_LOCK;
	if (rc == TPM_SUCCESS && by_owner)
		rc = delegation_blob_check(c->tpm, &b);
	if (rc == TPM_SUCCESS)
		rc = delegation_blob_auth(c->tpm, &b, !by_owner, row.auth);
	if (rc)
		return rc;
	row.pub = b.pub;
	delegation_terminate(c->tpm);
	p->delegates[index] = row;
	p->noOwnerNVWrite += !by_owner;
	c->tpm->changed |= TPM_CHANGED_PERMANENT;
	crypto_wipe(&row, sizeof(row));
	return TPM_SUCCESS;
}

/* A row or blob takes up the present verificationCount of its family. */
static TPM_RESULT
renew(struct command *c, struct delegate_public *pub)
{
	const struct family *f = family_find(c->tpm, pub->familyID);
	TPM_RESULT rc = f ? check_used_family(c, pub->familyID) : TPM_BADINDEX;

	if (rc == TPM_SUCCESS)
		pub->verificationCount = f->verificationCount;
	return rc;
}

static TPM_RESULT
renew_row(struct command *c, uint32_t index)
{
	struct delegate_row *row = delegate_row_find(c->tpm, index);
	TPM_RESULT rc = row ? renew(c, &row->pub) : TPM_BADINDEX;

	if (rc)
		return rc;
	c->tpm->changed |= TPM_CHANGED_PERMANENT;
	writer_u32(&c->out, 0);
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_Delegate_UpdateVerification(struct command *c)
{
	struct reader inputData = reader_sized(&c->in);
	struct delegation_blob b = { 0 };

	if (inputData.left == 4)
		return renew_row(c, reader_u32(&inputData));
	TPM_RESULT rc = delegation_blob_read(inputData, &b);
	if (rc == TPM_SUCCESS)
		rc = delegation_blob_check(c->tpm, &b);
	if (rc == TPM_SUCCESS)
		rc = renew(c, &b.pub);
	return rc ? rc : delegation_blob_renew(c, &b);
}

TPM_RESULT
tpm_Delegate_VerifyDelegation(struct command *c)
{
	struct delegation_blob b = { 0 };
	TPM_RESULT rc = delegation_blob_read(reader_sized(&c->in), &b);

	if (rc == TPM_SUCCESS)
		rc = family_check(c->tpm, &b.pub);
	return rc ? rc : delegation_blob_check(c->tpm, &b);
}
