/* Capabilities [TPM Main Part 3, 7; Part 2, 21]. */
#include "tpmcore/commands.h"
#include "tpmcore/resources.h"

/*
 * No vendor of the TCG's registry, so that no software mistakes this TPM for a chip whose quirks it
 * knows; printable, because tools print it.
 */
#define MANUFACTURER ('V' << 24 | 'T' << 16 | 'P' << 8 | 'M')

enum { SPEC_LEVEL = 2, ERRATA_REVISION = 3 };

/* TPM_VERSION: the specification's major and minor, this project's. */
static const uint8_t version[] = { 1, 2, 0, 1 };

void
version_info_write(struct writer *w)
{
	writer_u16(w, TPM_TAG_CAP_VERSION_INFO);
	writer_bytes(w, version, sizeof(version));
	writer_u16(w, SPEC_LEVEL);
	writer_u8(w, ERRATA_REVISION);
	writer_u32(w, MANUFACTURER);
	writer_u16(w, 0); /* vendorSpecificSize */
}

static uint32_t
free_slots(const struct tpm *tpm, uint32_t type)
{
	const struct resource *r = resource_of(type);
	uint32_t count = 0;

	for (size_t i = 0; i < r->count; i++)
		count += resource_handle(tpm, r, i) == 0;
	return count;
}

static uint32_t
free_all_sessions(const struct tpm *tpm)
{
	return free_slots(tpm, TPM_RT_AUTH) + free_slots(tpm, TPM_RT_TRANS);
}

static uint32_t
free_contexts(const struct tpm *tpm)
{
	uint32_t count = 0;

	for (unsigned i = 0; i < MAX_CONTEXTS; i++)
		count += tpm->stany.contextList[i] == 0;
	return count;
}

static uint32_t
free_counters(const struct tpm *tpm)
{
	uint32_t count = 0;

	for (unsigned i = 0; i < MAX_COUNTERS; i++)
		count += !tpm->permanent.counters[i].valid;
	return count;
}

static uint32_t
active_counter(const struct tpm *tpm)
{
	return tpm->stclear.counter_active - 1; /* none: 0xffffffff */
}

static uint32_t
has_owner(const struct tpm *tpm)
{
	return tpm->permanent.owner_installed;
}

static uint32_t
cmk_restriction(const struct tpm *tpm)
{
	return tpm->permanent.restrictDelegate;
}

/*
 * A property: value, or the free slots of a resource, or what ask says, as a number of width bytes
 * (0: four). One of several numbers has several rows.
 */
static const struct property {
	uint32_t sub;
	uint32_t value;
	uint32_t resource; /* TPM_RT_* */
	uint32_t (*ask)(const struct tpm *tpm);
	uint8_t width;
} properties[] = {
	{ TPM_CAP_PROP_PCR, .value = TPM_NUM_PCR },
	{ TPM_CAP_PROP_DIR, .value = 1 },
	{ TPM_CAP_PROP_MANUFACTURER, .value = MANUFACTURER },
	{ TPM_CAP_PROP_KEYS, .resource = TPM_RT_KEY },
	{ TPM_CAP_PROP_MIN_COUNTER, .value = COUNTER_INTERVAL },
	{ TPM_CAP_PROP_AUTHSESS, .resource = TPM_RT_AUTH },
	{ TPM_CAP_PROP_TRANSSESS, .resource = TPM_RT_TRANS },
	{ TPM_CAP_PROP_COUNTERS, .ask = free_counters },
	{ TPM_CAP_PROP_MAX_AUTHSESS, .value = MAX_SESSIONS },
	{ TPM_CAP_PROP_MAX_TRANSSESS, .value = MAX_TRANSPORTS },
	{ TPM_CAP_PROP_MAX_COUNTERS, .value = MAX_COUNTERS },
	{ TPM_CAP_PROP_MAX_KEYS, .value = MAX_KEYS },
	{ TPM_CAP_PROP_OWNER, .ask = has_owner, .width = 1 },
	{ TPM_CAP_PROP_CONTEXT, .ask = free_contexts },
	{ TPM_CAP_PROP_MAX_CONTEXT, .value = MAX_CONTEXTS },
	{ TPM_CAP_PROP_FAMILYROWS, .value = MAX_FAMILIES },
	/* A to D of the TIS: microseconds, as Linux reads them. */
	{ TPM_CAP_PROP_TIS_TIMEOUT, .value = 1000000 },
	{ TPM_CAP_PROP_TIS_TIMEOUT, .value = 1000000 },
	{ TPM_CAP_PROP_TIS_TIMEOUT, .value = 1000000 },
	{ TPM_CAP_PROP_TIS_TIMEOUT, .value = 1000000 },
	/* The audit digest goes with ST_CLEAR, the SHA-1 thread with ST_STATE; else all is kept. */
	{ TPM_CAP_PROP_STARTUP_EFFECT, .value = 1 << 6 | 1 << 2 },
	{ TPM_CAP_PROP_DELEGATE_ROW, .value = MAX_DELEGATES },
	{ TPM_CAP_PROP_MAX_DAASESS, .value = MAX_DAA },
	{ TPM_CAP_PROP_DAASESS, .resource = TPM_RT_DAA_TPM },
	{ TPM_CAP_PROP_CONTEXT_DIST, .value = UINT32_MAX },
	{ TPM_CAP_PROP_DAA_INTERRUPT, .value = true, .width = 1 },
	{ TPM_CAP_PROP_SESSIONS, .ask = free_all_sessions },
	{ TPM_CAP_PROP_MAX_SESSIONS, .value = MAX_SESSIONS + MAX_TRANSPORTS },
	{ TPM_CAP_PROP_CMK_RESTRICTION, .ask = cmk_restriction },
	/* Of short, medium and long commands: microseconds. Generous, for a busy host. */
	{ TPM_CAP_PROP_DURATION, .value = 50000000 },
	{ TPM_CAP_PROP_DURATION, .value = 100000000 },
	{ TPM_CAP_PROP_DURATION, .value = 300000000 },
	{ TPM_CAP_PROP_ACTIVE_COUNTER, .ask = active_counter },
	{ TPM_CAP_PROP_NV_AVAILABLE, .ask = nv_available },
	{ TPM_CAP_PROP_INPUT_BUFFER, .value = TPM_BUFFER_SIZE },
};

static uint32_t
property_value(const struct tpm *tpm, const struct property *p)
{
	if (p->resource)
		return free_slots(tpm, p->resource);
	return p->ask ? p->ask(tpm) : p->value;
}

static TPM_RESULT
get_property(struct command *c, uint32_t sub)
{
	size_t before = c->out.len;

	for (size_t i = 0; i < sizeof(properties) / sizeof(properties[0]); i++) {
		const struct property *p = &properties[i];

		if (p->sub == sub)
			writer_uint(&c->out, property_value(c->tpm, p), p->width ? p->width : 4);
	}
	return c->out.len > before ? TPM_SUCCESS : TPM_BAD_MODE;
}

static TPM_RESULT
get_ordinal(struct command *c, uint32_t sub)
{
	const struct ordinal *row = ordinal_find(sub);

	writer_u8(&c->out, row != NULL);
	return TPM_SUCCESS;
}

static TPM_RESULT
get_flags(struct command *c, uint32_t sub)
{
	bool permanent = sub == TPM_CAP_FLAG_PERMANENT;
	const bool *flags = permanent ? c->tpm->permanent.flags : c->tpm->stclear.flags;
	unsigned last = permanent ? TPM_PF_DISABLEFULLDALOGICINFO : TPM_SF_GLOBALLOCK;

	if (!permanent && sub != TPM_CAP_FLAG_VOLATILE)
		return TPM_BAD_MODE;
	writer_u16(&c->out, permanent ? TPM_TAG_PERMANENT_FLAGS : TPM_TAG_STCLEAR_FLAGS);
	for (unsigned i = 1; i <= last; i++)
		writer_u8(&c->out, flags[i]);
	return TPM_SUCCESS;
}

static TPM_RESULT
get_version(struct command *c, uint32_t sub)
{
	(void)sub;
	writer_u32(&c->out, 0x01010000);
	return TPM_SUCCESS;
}

static TPM_RESULT
get_version_val(struct command *c, uint32_t sub)
{
	(void)sub;
	version_info_write(&c->out);
	return TPM_SUCCESS;
}

static TPM_RESULT
get_handles_of(struct command *c, uint32_t type)
{
	const struct resource *r = resource_of(type);
	struct writer *w = &c->out;
	uint16_t count = 0;

	for (size_t i = 0; i < r->count; i++)
		count = (uint16_t)(count + (resource_handle(c->tpm, r, i) != 0));
	writer_u16(w, count);
	for (size_t i = 0; i < r->count; i++)
		if (resource_handle(c->tpm, r, i) != 0)
			writer_u32(w, resource_handle(c->tpm, r, i));
	return TPM_SUCCESS;
}

static TPM_RESULT
get_key_handles(struct command *c, uint32_t sub)
{
	(void)sub;
	return get_handles_of(c, TPM_RT_KEY);
}

static TPM_RESULT
get_contexts(struct command *c)
{
	writer_u16(&c->out, (uint16_t)(MAX_CONTEXTS - free_contexts(c->tpm)));
	for (unsigned i = 0; i < MAX_CONTEXTS; i++)
		if (c->tpm->stany.contextList[i] != 0)
			writer_u32(&c->out, c->tpm->stany.contextList[i]);
	return TPM_SUCCESS;
}

static TPM_RESULT
get_counters(struct command *c)
{
	writer_u16(&c->out, (uint16_t)(MAX_COUNTERS - free_counters(c->tpm)));
	for (unsigned i = 0; i < MAX_COUNTERS; i++)
		if (c->tpm->permanent.counters[i].valid)
			writer_u32(&c->out, i);
	return TPM_SUCCESS;
}

static TPM_RESULT
get_handles(struct command *c, uint32_t sub)
{
	if (sub == TPM_RT_CONTEXT)
		return get_contexts(c);
	if (sub == TPM_RT_COUNTER)
		return get_counters(c);
	return resource_of(sub) ? get_handles_of(c, sub) : TPM_BAD_PARAMETER;
}

static TPM_RESULT
get_key_status(struct command *c, uint32_t sub)
{
	struct key_slot *slot = NULL;

	key_find(c->tpm, sub, &slot);
	if (!slot)
		return TPM_INVALID_KEYHANDLE;
	writer_u8(&c->out, slot->ownerEvict);
	return TPM_SUCCESS;
}

static TPM_RESULT
get_check_loaded(struct command *c, uint32_t sub)
{
	struct key_parms parms;
	TPM_RESULT rc = key_parms_read(&c->in, &parms);

	(void)sub;
	if (rc)
		return rc;
	writer_u8(&c->out, parms.algorithmID == TPM_ALG_RSA && parms.numPrimes == 2 &&
			       parms.keyLength <= CRYPTO_RSA_MAX * 8 &&
			       free_slots(c->tpm, TPM_RT_KEY) > 0);
	return TPM_SUCCESS;
}

static TPM_RESULT
get_select_size(struct command *c, uint32_t sub)
{
	uint8_t major = reader_u8(&c->in), minor = reader_u8(&c->in);
	uint16_t reqSize = reader_u16(&c->in);

	(void)sub;
	if (!reader_done(&c->in))
		return TPM_BAD_PARAM_SIZE;
	if (major != 1 || (minor != 1 && minor != 2))
		return TPM_BAD_PARAMETER;
	writer_u8(&c->out, reqSize > 0 && reqSize <= PCR_SELECT_MAX);
	return TPM_SUCCESS;
}

static TPM_RESULT
get_nv_list(struct command *c, uint32_t sub)
{
	(void)sub;
	for (size_t i = 0; i < c->tpm->nv_count; i++)
		writer_u32(&c->out, c->tpm->nv[i].pub.nvIndex);
	return TPM_SUCCESS;
}

static TPM_RESULT
get_nv_index(struct command *c, uint32_t sub)
{
	struct nv_area *area = nv_find(c->tpm, sub);

	if (!area)
		return TPM_BADINDEX;
	marshal_nv_public(&(struct marshal) { .w = &c->out }, &area->pub);
	return TPM_SUCCESS;
}

static TPM_RESULT
get_da_logic(struct command *c, uint32_t sub)
{
	(void)sub;
	dictionary_info_write(c->tpm, &c->out);
	return TPM_SUCCESS;
}

/* An area: the bytes of its numeric subCap (0: none, or a structure that the function reads), and
 * the function that answers; without one the answer is whether the number is among these. */
static const struct area {
	uint32_t capArea;
	uint8_t width;
	TPM_RESULT (*get)(struct command *c, uint32_t sub);
	uint32_t supported[7];
} areas[] = {
	{ TPM_CAP_ORD, 4, .get = get_ordinal },
	{ TPM_CAP_ALG, 4, .supported = { TPM_ALG_RSA } },
	{ TPM_CAP_PID, 2,
	  .supported = { TPM_PID_OIAP, TPM_PID_OSAP, TPM_PID_ADIP, TPM_PID_ADCP, TPM_PID_OWNER,
			 TPM_PID_DSAP, TPM_PID_TRANSPORT } },
	{ TPM_CAP_FLAG, 4, .get = get_flags },
	{ TPM_CAP_PROPERTY, 4, .get = get_property },
	{ TPM_CAP_VERSION, 0, .get = get_version },
	{ TPM_CAP_KEY_HANDLE, 0, .get = get_key_handles },
	{ TPM_CAP_CHECK_LOADED, 0, .get = get_check_loaded },
	{ TPM_CAP_SYM_MODE, 4, .supported = { 0 } },
	{ TPM_CAP_KEY_STATUS, 4, .get = get_key_status },
	{ TPM_CAP_NV_LIST, 0, .get = get_nv_list },
	{ TPM_CAP_NV_INDEX, 4, .get = get_nv_index },
	{ TPM_CAP_TRANS_ALG, 4, .supported = { TPM_ALG_AES, TPM_ALG_MGF1 } },
	{ TPM_CAP_HANDLE, 4, .get = get_handles },
	{ TPM_CAP_TRANS_ES, 2, .supported = { TPM_ES_SYM_CNT, TPM_ES_SYM_OFB } },
	{ TPM_CAP_AUTH_ENCRYPT, 4, .supported = { TPM_ALG_AES, TPM_ALG_XOR } },
	{ TPM_CAP_SELECT_SIZE, 0, .get = get_select_size },
	{ TPM_CAP_DA_LOGIC, 0, .get = get_da_logic },
	{ TPM_CAP_VERSION_VAL, 0, .get = get_version_val },
};

static TPM_RESULT
get_supported(struct command *c, const struct area *a, uint32_t sub)
{
	bool found = false;

	for (size_t i = 0; i < sizeof(a->supported) / sizeof(a->supported[0]); i++)
		found |= a->supported[i] != 0 && a->supported[i] == sub;
	writer_u8(&c->out, found);
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_GetCapability(struct command *c)
{
	uint32_t capArea = reader_u32(&c->in);
	uint32_t sub = 0;
	const struct area *a = areas;

	while (a->capArea != capArea)
		if (++a == areas + sizeof(areas) / sizeof(areas[0]))
			return TPM_BAD_MODE;
	c->in = reader_sized(&c->in);
	if (a->width) {
		if (c->in.left != a->width)
			return TPM_BAD_MODE;
		sub = (uint32_t)reader_uint(&c->in, a->width);
	}
	writer_u32(&c->out, 0); /* respSize */
	TPM_RESULT rc = a->get ? a->get(c, sub) : get_supported(c, a, sub);
	writer_patch_u32(&c->out, 0, (uint32_t)(c->out.len - 4));
	return rc;
}

/* Flags 1 ... last as bits 0 ... */
static uint32_t
flag_bits(const bool *flags, unsigned last)
{
	uint32_t bits = 0;

	for (unsigned i = 1; i <= last; i++)
		bits |= (uint32_t)flags[i] << (i - 1);
	return bits;
}

TPM_RESULT
tpm_GetCapabilityOwner(struct command *c)
{
	writer_bytes(&c->out, version, sizeof(version));
	writer_u32(&c->out, flag_bits(c->tpm->permanent.flags, TPM_PF_DISABLEFULLDALOGICINFO));
	writer_u32(&c->out, flag_bits(c->tpm->stclear.flags, TPM_SF_GLOBALLOCK));
	return TPM_SUCCESS;
}
