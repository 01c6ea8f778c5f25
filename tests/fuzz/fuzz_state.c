/*
 * Fuzz target of tpm_set_state: kind:1 and a blob, whose checksum is put right so that the fuzzer
 * gets behind it. What is taken over must be a TPM that runs commands and can be saved again.
 */
#include <stdlib.h>

#include "tests/fuzz/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
use(struct tpm *tpm)
{
	static const uint8_t get_ticks[] = { 0, 0xc1, 0, 0, 0, 10, 0, 0, 0, 0xf1 };
	static const uint8_t save_state[] = { 0, 0xc1, 0, 0, 0, 10, 0, 0, 0, 0x98 };
	static const uint8_t startup[] = { 0, 0xc1, 0, 0, 0, 12, 0, 0, 0, 0x99, 0, 2 };
	uint8_t response[TPM_BUFFER_SIZE], *blob;
	size_t len;

	tpm_execute(tpm, 0, get_ticks, sizeof(get_ticks), response, &len);
	tpm_execute(tpm, 0, save_state, sizeof(save_state), response, &len);
	if (tpm_get_state(tpm, TPM_STATE_PERMANENT, &blob, &len))
		abort();
	if (tpm_set_state(tpm, TPM_STATE_PERMANENT, blob, len))
		abort();
	free(blob);
	tpm_init(tpm);
	tpm_execute(tpm, 0, startup, sizeof(startup), response, &len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tpm *tpm;
	uint8_t *blob;

	if (size < 1 + DIGEST_SIZE)
		return 0;
	tpm = world_tpm();
	blob = malloc(size - 1);
	memcpy(blob, data + 1, size - 1);
	crypto_sha1(blob + size - 1 - DIGEST_SIZE, SPANS(SPAN(blob, size - 1 - DIGEST_SIZE)));
	if (tpm_set_state(tpm, 1 + data[0] % 3, blob, size - 1) == TPM_SUCCESS)
		use(tpm);
	free(blob);
	tpm_free(tpm);
	return 0;
}
