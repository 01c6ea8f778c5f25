/* Timing ticks [TPM Main Part 3, 23]. One tick is a microsecond. */
#include "tpmcore/commands.h"

enum { TICK_RATE = 1 };

uint64_t
ticks_now(const struct tpm *tpm)
{
	return tpm->platform.now(tpm->platform.ctx) - tpm->stany.tick_start;
}

void
ticks_write(const struct tpm *tpm, uint64_t ticks, struct writer *w)
{
	writer_u16(w, TPM_TAG_CURRENT_TICKS);
	writer_u64(w, ticks);
	writer_u16(w, TICK_RATE);
	writer_bytes(w, tpm->stany.tickNonce, DIGEST_SIZE);
}

TPM_RESULT
tpm_GetTicks(struct command *c)
{
	ticks_write(c->tpm, ticks_now(c->tpm), &c->out);
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_TickStampBlob(struct command *c)
{
	const struct key *key = c->key[0];
	const uint8_t *antiReplay = reader_view(&c->in, DIGEST_SIZE);
	const uint8_t *digestToStamp = reader_view(&c->in, DIGEST_SIZE);
	uint8_t data[DIGEST_SIZE + CURRENT_TICKS_SIZE], digest[DIGEST_SIZE];
	struct writer w = writer_of(data, sizeof(data));

	/* 2., 3. */
	if (!key_can_sign(key))
		return TPM_INVALID_KEYUSAGE;
	if (!key_signs_digests(key))
		return TPM_INAPPROPRIATE_SIG;
	/* 5., 6. */
	writer_bytes(&w, digestToStamp, DIGEST_SIZE);
	ticks_write(c->tpm, ticks_now(c->tpm), &w);
	sign_info_digest("TSTP", antiReplay, SPAN(data, sizeof(data)), digest);
	writer_bytes(&c->out, data + DIGEST_SIZE, CURRENT_TICKS_SIZE);
	/* 7. */
	return key_sign_sha1(c, key, digest);
}
