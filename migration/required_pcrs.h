/*
 * required_pcrs.h - a list of what a host has to have booted, to be shown by a quote of its chip.
 *
 * The file has lines `PCR VALUE`, a number and hexadecimal digits; with several lines for one PCR,
 * any of their values will do. Lines `key DIGEST` hold the SHA-256 of host keys
 * (SubjectPublicKeyInfo, DER); with such lines, the quote must be signed by one of them. `#` begins
 * a comment.
 */
#ifndef MIGRATION_REQUIRED_PCRS_H
#define MIGRATION_REQUIRED_PCRS_H

#include <stddef.h>
#include <stdint.h>

#include <vtpm/codec.h>
#include <vtpm/quote.h>

#include "migration/why.h"

enum { REQUIRED_PCRS_MAX = 256, REQUIRED_KEYS_MAX = 64 };

struct required_pcrs {
	unsigned count;
	unsigned key_count;
	struct {
		uint32_t pcr;
		size_t size;
		uint8_t value[QUOTE_PCR_MAX];
	} values[REQUIRED_PCRS_MAX];
	uint8_t keys[REQUIRED_KEYS_MAX][VTPM_HASH_SIZE];
};

/* required_pcrs_read: 0 or a negative errno, with *why that names file and line. */
int required_pcrs_read(struct required_pcrs *required, const char *path, struct why *why);

/* required_pcrs_mask: bit n: PCR n is on the list. */
uint32_t required_pcrs_mask(const struct required_pcrs *required);

/*
 * required_pcrs_check: whether evidence, asked for with this nonce, shows what is required, on the
 * host whose migration key (answer of GET_MIG_KEY) that is. 0 or -EACCES with *why.
 */
int required_pcrs_check(const struct required_pcrs *required, struct reader evidence,
			const uint8_t nonce[QUOTE_NONCE_SIZE], const struct reader *migration_key,
			struct why *why);

#endif
