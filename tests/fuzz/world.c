#include "tests/fuzz/world.h"

#include <stdlib.h>

struct world world;

static int
count_up(void *ctx, void *buf, size_t len)
{
	uint8_t *out = buf;

	(void)ctx;
	world.random++;
	for (size_t i = 0; i < len; i++)
		out[i] = i < 4 ? (uint8_t)(world.random >> 8 * i) : (uint8_t)i;
	return 0;
}

static uint64_t
now(void *ctx)
{
	(void)ctx;
	return world.now;
}

static bool
physical_presence(void *ctx)
{
	(void)ctx;
	return world.physical_presence;
}

static bool
cancelled(void *ctx)
{
	(void)ctx;
	return world.cancel_at > 0 && --world.cancel_at == 0;
}

static const struct tpm_platform platform = {
	.random = count_up,
	.now = now,
	.physical_presence = physical_presence,
	.cancelled = cancelled,
};

static struct key
key_of(uint16_t usage, uint16_t enc, uint16_t sig, uint32_t flags, uint32_t bits)
{
	struct key key = { .ver = { 1, 1, 0, 0 },
			   .keyUsage = usage,
			   .keyFlags = flags,
			   .authDataUsage = TPM_AUTH_ALWAYS,
			   .parms = { TPM_ALG_RSA, enc, sig, bits, 2, 65537, 0 },
			   .payload = TPM_PT_ASYM };

	crypto_rsa_generate(&key.rsa, bits, 65537, NULL);
	return key;
}

static void
add_keys(struct tpm *tpm)
{
	const struct key keys[] = {
		key_of(TPM_KEY_SIGNING, 1, TPM_SS_RSASSAPKCS1v15_SHA1, 0, 512),
		key_of(TPM_KEY_SIGNING, 1, TPM_SS_RSASSAPKCS1v15_INFO, 0, 512),
		key_of(TPM_KEY_STORAGE, 3, 1, TPM_MIGRATABLE, 2048),
		key_of(TPM_KEY_IDENTITY, 1, TPM_SS_RSASSAPKCS1v15_SHA1, 0, 2048),
		key_of(TPM_KEY_BIND, 3, 1, 0, 1024),
		key_of(TPM_KEY_LEGACY, 2, TPM_SS_RSASSAPKCS1v15_DER, TPM_MIGRATABLE, 1024),
		key_of(TPM_KEY_MIGRATE, 3, 1, 0, 2048),
		key_of(TPM_KEY_AUTHCHANGE, 3, 1, TPM_VOLATILE, 512),
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		key_slot_new(tpm)->key = keys[i];
}

static void
add_sessions(struct tpm *tpm)
{
	const struct entity entities[] = { entity_owner(tpm), entity_key(&tpm->permanent.srk),
					   entity_key(&tpm->keys[0].key) };

	session_new(tpm, TPM_PID_OIAP);
	session_new(tpm, TPM_PID_OIAP);
	for (size_t i = 0; i < sizeof(entities) / sizeof(entities[0]); i++) {
		struct session *s = session_new(tpm, i ? TPM_PID_OSAP : TPM_PID_DSAP);

		s->entityType = entities[i].type;
		memcpy(s->entityId, entities[i].id, DIGEST_SIZE);
		s->delegation = tpm->permanent.delegates[0].pub;
	}
	tpm->stany.transports[0] = (struct transport) { .handle = 0x04000001,
							.attributes = TPM_TRANSPORT_ENCRYPT,
							.algId = TPM_ALG_MGF1 };
}

static void
add_tables(struct tpm *tpm)
{
	struct permanent *p = &tpm->permanent;

	p->counters[0] = (struct counter) { .valid = true, .value = 7 };
	p->families[0] = (struct family) { true, 'f', 1, 0, TPM_FAMFLAG_ENABLE };
	p->lastFamilyID = 1;
	p->delegates[0] = (struct delegate_row) {
		.valid = true,
		.pub = { .pcr = { .localityAtRelease = 0x1f },
			 .delegateType = TPM_DEL_OWNER_BITS,
			 .per1 = 0x7fffffff,
			 .familyID = 1 },
	};
}

static struct tpm *
make(void)
{
	struct tpm *tpm = tpm_new(&platform);
	struct permanent *p = &tpm->permanent;

	tpm_manufacture_ek(tpm);
	p->owner_installed = true;
	p->srk = key_of(TPM_KEY_STORAGE, 3, 1, 0, 2048);
	PERMANENT_FLAG(tpm, ALLOWMAINTENANCE) = true;
	tpm->stany.postInitialise = false;
	tpm->stclear.ownerReference = TPM_KH_OWNER;
	add_tables(tpm);
	add_keys(tpm);
	add_sessions(tpm);
	return tpm;
}

struct tpm *
world_tpm(void)
{
	static struct tpm *model;
	struct tpm *tpm = malloc(sizeof(*tpm));

	world = (struct world) { .now = 1000000 };
	if (!model)
		model = make();
	if (!tpm)
		abort();
	/* The model owns nothing outside of itself: no NV area, no saved state. */
	*tpm = *model;
	tpm->cancel.ctx = tpm;
	world.random = 1000;
	return tpm;
}
