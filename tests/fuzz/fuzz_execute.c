/*
 * Fuzz target of tpm_execute. The input is a life: records of control:1, length:2 and that many
 * bytes of a command. Handles that name nothing are led to something that is there, or a fuzzer
 * would hardly ever meet a key.
 */
#include <stdlib.h>

#include "tests/fuzz/world.h"

/* Bits of control. */
enum {
	LOCALITY = 7, /* modulo 5; those above cancel the command at a poll */
	PRESENCE = 1 << 3,
	RESTART = 1 << 4,             /* a power cycle first */
	ROUND_TRIP = 1 << 5 | 1 << 7, /* through all blobs first; two bits, for it takes its time */
	AS_IS = 1 << 6,               /* neither size nor handles are put right */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
put_u32(uint8_t *at, uint32_t value)
{
	struct writer w = writer_of(at, 4);

	writer_u32(&w, value);
}

static uint32_t
get_u32(const uint8_t *at)
{
	struct reader r = reader_of(at, 4);

	return reader_u32(&r);
}

static void
lead_key_handle(struct tpm *tpm, uint8_t *at)
{
	uint32_t handle = get_u32(at);

	if (!key_find(tpm, handle, NULL) && handle < TPM_KH_SRK)
		put_u32(at, tpm->keys[handle % MAX_KEYS].handle);
}

/* The session of authorization i: one that speaks for what the command is about. */
static void
lead_session_handle(struct tpm *tpm, const struct ordinal *row, unsigned i, const uint8_t *cmd,
		    uint8_t *at)
{
	struct session *osap = &tpm->stany.sessions[WORLD_OSAP];
	const struct key *key = key_find(tpm, get_u32(cmd + TPM_HEADER_SIZE), NULL);
	uint32_t handle = get_u32(at);

	if (row->auths[i] == AUTH_TRANSPORT) {
		put_u32(at, tpm->stany.transports[0].handle);
	} else if (row->attributes & INSERTS_AUTH && i == 0) {
		struct entity e =
		    row->auths[0] == AUTH_KEY && key ? entity_key(key) : entity_owner(tpm);
		osap->entityType = e.type;
		memcpy(osap->entityId, e.id, DIGEST_SIZE);
		put_u32(at, osap->handle);
	} else if (!session_find(tpm, handle)) {
		put_u32(at, tpm->stany.sessions[handle % MAX_SESSIONS].handle);
	}
}

static void
put_right(struct tpm *tpm, uint8_t *cmd, size_t len)
{
	enum { TRAILER = 45 };
	const struct ordinal *row = ordinal_find(get_u32(cmd + 6));

	put_u32(cmd + 2, (uint32_t)len);
	for (size_t i = 0; row && i < 2 && TPM_HEADER_SIZE + 4 * i + 4 <= len; i++)
		if (row->handles[i] == HANDLE_KEY)
			lead_key_handle(tpm, cmd + TPM_HEADER_SIZE + 4 * i);
	unsigned count = (unsigned)(cmd[1] - 0xc1) <= 2 ? (unsigned)(cmd[1] - 0xc1) : 0;
	for (unsigned i = 0; row && i < count; i++)
		if (len >= TPM_HEADER_SIZE + 4 + count * TRAILER)
			lead_session_handle(tpm, row, i, cmd, cmd + len - (count - i) * TRAILER);
}

static void
round_trip(struct tpm *tpm)
{
	static const enum tpm_state kinds[] = { TPM_STATE_PERMANENT, TPM_STATE_VOLATILE,
						TPM_STATE_SAVED };
	uint8_t *blob;
	size_t len;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (tpm_get_state(tpm, kinds[i], &blob, &len))
			abort();
		if (len > 0 && tpm_set_state(tpm, kinds[i], blob, len))
			abort();
		free(blob);
	}
}

static void
check_response(const uint8_t *response, size_t len)
{
	if (len < TPM_HEADER_SIZE || len > TPM_BUFFER_SIZE || get_u32(response + 2) != len)
		abort();
	if (get_u32(response + 6) != TPM_SUCCESS && (len != TPM_HEADER_SIZE || response[1] != 0xc4))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tpm *tpm = world_tpm();
	struct reader in = reader_of(data, size);
	uint8_t cmd[TPM_BUFFER_SIZE + 16], response[TPM_BUFFER_SIZE];

	while (in.left > 3) {
		uint8_t control = reader_u8(&in);
		size_t len = reader_u16(&in) % sizeof(cmd), response_len;

		if (len > in.left)
			len = in.left;
		reader_bytes(&in, cmd, len);
		world.physical_presence = control & PRESENCE;
		world.now += 1000;
		if (control & RESTART)
			tpm_init(tpm);
		if ((control & ROUND_TRIP) == ROUND_TRIP)
			round_trip(tpm);
		if (!(control & AS_IS) && len >= TPM_HEADER_SIZE)
			put_right(tpm, cmd, len);
		world.cancel_at = (control & LOCALITY) > 4 ? (control & LOCALITY) - 4 : 0;
		bool may_cancel = world.cancel_at > 0;
		unsigned changed =
		    tpm_execute(tpm, (control & LOCALITY) % 5, cmd, len, response, &response_len);
		check_response(response, response_len);
		if (may_cancel && world.cancel_at == 0 && changed != 0)
			abort();
	}
	tpm_free(tpm);
	return 0;
}
