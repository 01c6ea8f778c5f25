/* Non-volatile storage [TPM Main Part 3, 20]. */
#include <stdlib.h>

#include "tpmcore/commands.h"

#define NV_D_BIT     (1u << 28)  /* defined by the manufacturer: neither made nor deleted later */
#define NV_RESERVED  0x0f000000u /* bits of an index that must be zero [Part 2, 19.1] */
#define NV_GPIO_BASE 0x00011600u /* pins that this TPM does not have */
#define NV_GPIO_LAST 0x000116ffu
#define NV_PER_OWNER (TPM_NV_PER_OWNERREAD | TPM_NV_PER_OWNERWRITE)
#define NV_PER_WRITABLE                                                                            \
	(TPM_NV_PER_OWNERWRITE | TPM_NV_PER_AUTHWRITE | TPM_NV_PER_WRITEDEFINE | TPM_NV_PER_PPWRITE)

struct nv_area *
nv_find(struct tpm *tpm, uint32_t index)
{
	for (size_t i = 0; i < tpm->nv_count; i++)
		if (tpm->nv[i].pub.nvIndex == index)
			return &tpm->nv[i];
	return NULL;
}

uint32_t
nv_available(const struct tpm *tpm)
{
	uint32_t used = NV_OVERHEAD;

	for (size_t i = 0; i < tpm->nv_count; i++)
		used += tpm->nv[i].pub.dataSize + NV_OVERHEAD;
	return used < MAX_NV_BYTES ? MAX_NV_BYTES - used : 0;
}

static void
area_delete(struct tpm *tpm, struct nv_area *a)
{
	size_t after = tpm->nv_count - (size_t)(a + 1 - tpm->nv);

	session_terminate_entity(tpm, entity_number(TPM_ET_NV, a->pub.nvIndex, NULL));
	crypto_wipe(a->data, a->pub.dataSize);
	free(a->data);
	memmove(a, a + 1, after * sizeof(*a));
	tpm->nv_count--;
	crypto_wipe(&tpm->nv[tpm->nv_count], sizeof(*a));
	tpm->changed |= TPM_CHANGED_PERMANENT;
}

static TPM_RESULT
area_create(struct tpm *tpm, const struct nv_public *pub, const uint8_t *auth)
{
	struct nv_area *areas = realloc(tpm->nv, (tpm->nv_count + 1) * sizeof(*areas));
	uint8_t *data = malloc(pub->dataSize);

	if (areas)
		tpm->nv = areas;
	if (!areas || !data) {
		free(data);
		return TPM_RESOURCES;
	}
	memset(data, 0xff, pub->dataSize);
	struct nv_area *a = &areas[tpm->nv_count++];
	*a = (struct nv_area) { .pub = *pub, .data = data };
	memcpy(a->auth, auth, DIGEST_SIZE);
	a->pub.bReadSTClear = a->pub.bWriteSTClear = a->pub.bWriteDefine = false;
	tpm->changed |= TPM_CHANGED_PERMANENT;
	return TPM_SUCCESS;
}

void
nv_startup_clear(struct tpm *tpm)
{
	for (size_t i = 0; i < tpm->nv_count; i++) {
		struct nv_area *a = &tpm->nv[i];

		if (!a->pub.bReadSTClear && !a->pub.bWriteSTClear)
			continue;
		a->pub.bReadSTClear = a->pub.bWriteSTClear = false;
		tpm->changed |= TPM_CHANGED_PERMANENT;
	}
}

void
nv_owner_clear(struct tpm *tpm)
{
	for (size_t i = tpm->nv_count; i-- > 0;)
		if (tpm->nv[i].pub.attributes & NV_PER_OWNER &&
		    !(tpm->nv[i].pub.nvIndex & NV_D_BIT))
			area_delete(tpm, &tpm->nv[i]);
}

void
nv_revoke_trust(struct tpm *tpm)
{
	for (size_t i = tpm->nv_count; i-- > 0;)
		if (tpm->nv[i].pub.nvIndex & NV_D_BIT)
			area_delete(tpm, &tpm->nv[i]);
	PERMANENT_FLAG(tpm, NV_LOCKED) = false;
}

static TPM_RESULT
check_available(const struct tpm *tpm)
{
	if (PERMANENT_FLAG(tpm, DISABLE))
		return TPM_DISABLED;
	return STCLEAR_FLAG(tpm, DEACTIVATED) ? TPM_DEACTIVATED : TPM_SUCCESS;
}

/* A TPM without an owner wears out its memory for a while only. */
static TPM_RESULT
count_write(struct command *c)
{
	struct permanent *p = &c->tpm->permanent;

	if (c->auth_count > 0 || p->owner_installed)
		return TPM_SUCCESS;
	if (p->noOwnerNVWrite >= MAX_NV_WRITES_NO_OWNER)
		return TPM_MAXNVWRITES;
	p->noOwnerNVWrite++;
	c->tpm->changed |= TPM_CHANGED_PERMANENT;
	return TPM_SUCCESS;
}

/* TPM_NV_DATA_PUBLIC, whose shape was checked. */
static TPM_RESULT
read_public(struct reader *r, struct nv_public *pub)
{
	struct reader ahead = *r;

	marshal_nv_public(&(struct marshal) { .r = r }, pub);
	if (!r->failed)
		return TPM_SUCCESS;
	reader_view(&ahead, 6);
	for (unsigned i = 0; i < 2; i++) {
		uint16_t size = reader_u16(&ahead);

		if (size > PCR_SELECT_MAX)
			return TPM_INVALID_PCR_INFO;
		reader_view(&ahead, size + 1u + DIGEST_SIZE);
	}
	return TPM_INVALID_STRUCTURE;
}

/* 4., 5. Who may define: the owner, or before there is one whoever is physically present. */
static TPM_RESULT
check_definer(struct command *c, const struct nv_public *pub, const uint8_t *encAuth, uint8_t *auth)
{
	struct tpm *tpm = c->tpm;

	if (c->auth_count > 0)
		return auth_decrypt(c, 0, false, encAuth, auth);
	if (PERMANENT_FLAG(tpm, NV_LOCKED)) {
		if (!tpm_physical_presence(tpm))
			return TPM_BAD_PRESENCE;
		if (tpm->permanent.owner_installed)
			return TPM_OWNER_SET;
		if (pub->dataSize == 0)
			return TPM_BAD_DATASIZE;
	}
	memcpy(auth, encAuth, DIGEST_SIZE);
	return count_write(c);
}

/* 6. */
static TPM_RESULT
check_redefinable(const struct tpm *tpm, const struct nv_area *a)
{
	if (!PERMANENT_FLAG(tpm, NV_LOCKED))
		return TPM_SUCCESS;
	if (a->pub.attributes & TPM_NV_PER_GLOBALLOCK && STCLEAR_FLAG(tpm, GLOBALLOCK))
		return TPM_AREA_LOCKED;
	if (a->pub.attributes & TPM_NV_PER_WRITE_STCLEAR && a->pub.bWriteSTClear)
		return TPM_AREA_LOCKED;
	return TPM_SUCCESS;
}

/* 7. - 9., 11. */
static TPM_RESULT
check_definition(const struct tpm *tpm, const struct nv_public *pub)
{
	uint32_t attributes = pub->attributes;
	bool writeLocalities = pub->write.localityAtRelease != TPM_LOC_ALL;

	if (!locality_selection_valid(pub->read.localityAtRelease) ||
	    !locality_selection_valid(pub->write.localityAtRelease))
		return TPM_INVALID_STRUCTURE;
	if (attributes & TPM_NV_PER_OWNERWRITE && attributes & TPM_NV_PER_AUTHWRITE)
		return TPM_AUTH_CONFLICT;
	if (attributes & TPM_NV_PER_OWNERREAD && attributes & TPM_NV_PER_AUTHREAD)
		return TPM_AUTH_CONFLICT;
	if (!(attributes & NV_PER_WRITABLE) && !writeLocalities)
		return TPM_PER_NOWRITE;
	if (pub->nvIndex & NV_RESERVED ||
	    (pub->nvIndex >= NV_GPIO_BASE && pub->nvIndex <= NV_GPIO_LAST))
		return TPM_BADINDEX;
	if (pub->dataSize == 0)
		return TPM_BAD_PARAM_SIZE;
	return pub->dataSize <= nv_available(tpm) ? TPM_SUCCESS : TPM_NOSPACE;
}

/* 6. - 11. A new definition takes the place of the old one */
static TPM_RESULT
redefine(struct tpm *tpm, const struct nv_public *pub, const uint8_t *auth)
{
	struct nv_area *old = nv_find(tpm, pub->nvIndex);
	TPM_RESULT rc = old ? check_redefinable(tpm, old) : TPM_SUCCESS;

	if (rc)
		return rc;
	if (old) {
		area_delete(tpm, old);
		if (pub->dataSize == 0)
			return TPM_SUCCESS;
	}
	rc = check_definition(tpm, pub);
	if (rc == TPM_SUCCESS && pub->nvIndex != TPM_NV_INDEX_TRIAL)
		rc = area_create(tpm, pub, auth);
	return rc;
}

TPM_RESULT
tpm_NV_DefineSpace(struct command *c)
{
	struct tpm *tpm = c->tpm;
	bool locked = PERMANENT_FLAG(tpm, NV_LOCKED);
	struct nv_public pub;
	uint8_t auth[DIGEST_SIZE];
	TPM_RESULT rc = read_public(&c->in, &pub);

	if (rc == TPM_SUCCESS && locked)
		rc = check_available(tpm);
	if (rc)
		return rc;
	/* 1. The end of manufacturing */
	if (pub.nvIndex == TPM_NV_INDEX_LOCK && c->auth_count == 0) {
		if (pub.dataSize != 0)
			return TPM_BADINDEX;
		permanent_flag_set(tpm, TPM_PF_NV_LOCKED, true);
		return TPM_SUCCESS;
	}
	/* 3. */
	if (pub.nvIndex == TPM_NV_INDEX0 || pub.nvIndex == TPM_NV_INDEX_DIR ||
	    (pub.nvIndex & NV_D_BIT && locked))
		return TPM_BADINDEX;
	rc = check_definer(c, &pub, reader_view(&c->in, DIGEST_SIZE), auth);
	if (rc)
		return rc;
	rc = redefine(tpm, &pub, auth);
	crypto_wipe(auth, sizeof(auth));
	return rc;
}

/*
 * The area of an index; the DIR is one that is kept elsewhere [Part 2, 19.1.2], and *dir then
 * stands for it.
 */
static struct nv_area *
find_area(struct tpm *tpm, uint32_t index, struct nv_area *dir)
{
	if (index != TPM_NV_INDEX_DIR)
		return nv_find(tpm, index);
	*dir = (struct nv_area) {
		.pub = { .nvIndex = TPM_NV_INDEX_DIR,
			 .read.localityAtRelease = TPM_LOC_ALL,
			 .write.localityAtRelease = TPM_LOC_ALL,
			 .attributes = TPM_NV_PER_OWNERWRITE | TPM_NV_PER_WRITEALL,
			 .dataSize = DIGEST_SIZE },
		.data = tpm->permanent.authDIR,
	};
	return dir;
}

/*
 * TPM_NV_WriteValue and TPM_NV_ReadValue: the owner for an area that is the owner's, else nobody;
 * areas with AuthData of their own have their own commands. While NV is not locked the owner need
 * not, but may, show the authorization.
 */
static TPM_RESULT
check_owner_access(struct command *c, const struct nv_area *a, uint32_t by_owner, uint32_t by_auth)
{
	bool owned = a->pub.attributes & by_owner;
	bool locked = PERMANENT_FLAG(c->tpm, NV_LOCKED);
	TPM_RESULT rc = TPM_SUCCESS;

	if (a->pub.attributes & by_auth || (c->auth_count > 0 && !owned))
		return TPM_AUTH_CONFLICT;
	if (locked && owned)
		rc = check_available(c->tpm);
	if (rc == TPM_SUCCESS && locked && owned && c->auth_count == 0)
		rc = TPM_AUTH_CONFLICT;
	if (rc || c->auth_count == 0)
		return rc;
	if (!c->tpm->permanent.owner_installed)
		return TPM_AUTHFAIL;
	return auth_verify(c, 0, entity_owner(c->tpm));
}

/*
 * Locality, physical presence, lock and PCRs. The commands by AuthData of the area look at the PCRs
 * before the lock, the others after it.
 */
static TPM_RESULT
check_access(const struct command *c, const struct nv_area *a, const struct pcr_info_short *info,
	     uint32_t by_presence, TPM_RESULT lock, bool by_auth)
{
	if (!(info->localityAtRelease >> c->locality & 1))
		return TPM_BAD_LOCALITY;
	if (a->pub.attributes & by_presence && !tpm_physical_presence(c->tpm))
		return TPM_BAD_PRESENCE;
	TPM_RESULT pcr = pcr_check_info_short(c, info);
	if (by_auth)
		return pcr ? pcr : lock;
	return lock ? lock : pcr;
}

static TPM_RESULT
check_writable(const struct command *c, const struct nv_area *a, bool by_auth)
{
	uint32_t attributes = a->pub.attributes;
	bool locked = (attributes & TPM_NV_PER_WRITEDEFINE && a->pub.bWriteDefine) ||
		      (attributes & TPM_NV_PER_GLOBALLOCK && STCLEAR_FLAG(c->tpm, GLOBALLOCK)) ||
		      (attributes & TPM_NV_PER_WRITE_STCLEAR && a->pub.bWriteSTClear);

	return check_access(c, a, &a->pub.write, TPM_NV_PER_PPWRITE,
			    locked ? TPM_AREA_LOCKED : TPM_SUCCESS, by_auth);
}

static TPM_RESULT
check_readable(const struct command *c, const struct nv_area *a, bool by_auth)
{
	bool locked = a->pub.attributes & TPM_NV_PER_READ_STCLEAR && a->pub.bReadSTClear;

	return check_access(c, a, &a->pub.read, TPM_NV_PER_PPREAD,
			    locked ? TPM_DISABLED_CMD : TPM_SUCCESS, by_auth);
}

/* Writing nothing locks the area. What is as it was before costs no write. */
static TPM_RESULT
write_value(struct command *c, struct nv_area *a, uint32_t offset, struct reader data)
{
	struct nv_public *pub = &a->pub;
	TPM_RESULT rc;

	if (data.left > 0) {
		if (offset > pub->dataSize || data.left > pub->dataSize - offset)
			return TPM_NOSPACE;
		if (pub->attributes & TPM_NV_PER_WRITEALL && data.left != pub->dataSize)
			return TPM_NOT_FULLWRITE;
		if (!pub->bReadSTClear && memcmp(a->data + offset, data.pos, data.left) == 0)
			return TPM_SUCCESS;
	} else if (!pub->bReadSTClear && pub->bWriteSTClear && pub->bWriteDefine) {
		return TPM_SUCCESS;
	}
	rc = count_write(c);
	if (rc)
		return rc;
	if (data.left == 0)
		pub->bWriteSTClear = pub->bWriteDefine = true;
	reader_bytes(&data, a->data + offset, data.left);
	pub->bReadSTClear = false;
	c->tpm->changed |= TPM_CHANGED_PERMANENT;
	return TPM_SUCCESS;
}

/* Reading nothing locks the area for reading. */
static TPM_RESULT
read_value(struct command *c, struct nv_area *a, uint32_t offset, uint32_t len)
{
	if (len == 0 && !a->pub.bReadSTClear && a->pub.nvIndex != TPM_NV_INDEX_DIR) {
		a->pub.bReadSTClear = true;
		c->tpm->changed |= TPM_CHANGED_PERMANENT;
	}
	if (len > 0 && (offset > a->pub.dataSize || len > a->pub.dataSize - offset))
		return TPM_NOSPACE;
	writer_sized(&c->out, len ? a->data + offset : NULL, len);
	return TPM_SUCCESS;
}

/* 2. Index 0: no area, but the lock of all that have TPM_NV_PER_GLOBALLOCK */
static TPM_RESULT
lock_globally(struct command *c, size_t len)
{
	TPM_RESULT rc = TPM_SUCCESS;

	if (len != 0)
		return TPM_BADINDEX;
	if (c->auth_count > 0)
		rc = c->tpm->permanent.owner_installed ? auth_verify(c, 0, entity_owner(c->tpm))
						       : TPM_AUTHFAIL;
	if (rc == TPM_SUCCESS)
		STCLEAR_FLAG(c->tpm, GLOBALLOCK) = true;
	return rc;
}

TPM_RESULT
tpm_NV_WriteValue(struct command *c)
{
	uint32_t nvIndex = reader_u32(&c->in), offset = reader_u32(&c->in);
	struct reader data = reader_sized(&c->in);
	struct nv_area dir;

	if (nvIndex == TPM_NV_INDEX0)
		return lock_globally(c, data.left);
	struct nv_area *a = find_area(c->tpm, nvIndex, &dir);
	if (!a)
		return TPM_BADINDEX;
	TPM_RESULT rc = check_owner_access(c, a, TPM_NV_PER_OWNERWRITE, TPM_NV_PER_AUTHWRITE);
	if (rc == TPM_SUCCESS && PERMANENT_FLAG(c->tpm, NV_LOCKED))
		rc = check_writable(c, a, false);
	return rc ? rc : write_value(c, a, offset, data);
}

TPM_RESULT
tpm_NV_ReadValue(struct command *c)
{
	uint32_t nvIndex = reader_u32(&c->in), offset = reader_u32(&c->in);
	uint32_t dataSize = reader_u32(&c->in);
	struct nv_area dir, *a = find_area(c->tpm, nvIndex, &dir);

	if (!a)
		return TPM_BADINDEX;
	TPM_RESULT rc = check_owner_access(c, a, TPM_NV_PER_OWNERREAD, TPM_NV_PER_AUTHREAD);
	if (rc == TPM_SUCCESS && PERMANENT_FLAG(c->tpm, NV_LOCKED))
		rc = check_readable(c, a, false);
	return rc ? rc : read_value(c, a, offset, dataSize);
}

/* TPM_NV_WriteValueAuth and TPM_NV_ReadValueAuth: the area's own AuthData. */
static TPM_RESULT
check_auth_access(struct command *c, const struct nv_area *a, uint32_t by_auth)
{
	if (!a)
		return TPM_BADINDEX;
	if (!(a->pub.attributes & by_auth))
		return TPM_AUTH_CONFLICT;
	return auth_verify(c, 0, entity_number(TPM_ET_NV, a->pub.nvIndex, a->auth));
}

TPM_RESULT
tpm_NV_WriteValueAuth(struct command *c)
{
	struct nv_area *a = nv_find(c->tpm, reader_u32(&c->in));
	uint32_t offset = reader_u32(&c->in);
	struct reader data = reader_sized(&c->in);
	TPM_RESULT rc = check_auth_access(c, a, TPM_NV_PER_AUTHWRITE);

	if (rc == TPM_SUCCESS)
		rc = check_writable(c, a, true);
	return rc ? rc : write_value(c, a, offset, data);
}

TPM_RESULT
tpm_NV_ReadValueAuth(struct command *c)
{
	struct nv_area *a = nv_find(c->tpm, reader_u32(&c->in));
	uint32_t offset = reader_u32(&c->in), dataSize = reader_u32(&c->in);
	TPM_RESULT rc = check_auth_access(c, a, TPM_NV_PER_AUTHREAD);

	if (rc == TPM_SUCCESS)
		rc = check_readable(c, a, true);
	return rc ? rc : read_value(c, a, offset, dataSize);
}
