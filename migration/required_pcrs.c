#include "migration/required_pcrs.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vtpm/file.h>

enum { FILE_MAX = 1024 * 1024 };

/* Returns the number of bytes, 0 for what is not an even number of hexadecimal digits. */
static size_t
parse_hex(const char *text, uint8_t *out, size_t max)
{
	size_t digits = text ? strlen(text) : 0;

	if (digits == 0 || digits % 2 || digits / 2 > max ||
	    strspn(text, "0123456789abcdefABCDEF") != digits)
		return 0;
	for (size_t i = 0; i < digits / 2; i++) {
		const char pair[] = { text[2 * i], text[2 * i + 1], '\0' };

		out[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return digits / 2;
}

static bool
parse_line(struct required_pcrs *required, char *line)
{
	char *rest;

	line[strcspn(line, "#")] = '\0';
	const char *what = strtok_r(line, " \t\r", &rest);
	if (!what)
		return true;
	const char *value = strtok_r(NULL, " \t\r", &rest);
	if (strcmp(what, "key") == 0)
		return required->key_count < REQUIRED_KEYS_MAX &&
		       parse_hex(value, required->keys[required->key_count++], VTPM_HASH_SIZE) ==
			   VTPM_HASH_SIZE;
	char *end;
	unsigned long pcr = strtoul(what, &end, 10);
	if (*what < '0' || *what > '9' || *end || pcr >= QUOTE_PCRS ||
	    required->count == REQUIRED_PCRS_MAX)
		return false;
	required->values[required->count].pcr = (uint32_t)pcr;
	required->values[required->count].size =
	    parse_hex(value, required->values[required->count].value, QUOTE_PCR_MAX);
	return required->values[required->count++].size > 0;
}

int
required_pcrs_read(struct required_pcrs *required, const char *path, struct why *why)
{
	unsigned number = 0;
	uint8_t *data;
	char *rest;
	size_t len;

	memset(required, 0, sizeof(*required));
	int rc = file_read(path, FILE_MAX, &data, &len);
	if (rc < 0)
		return why_set(why, rc, "%s: %s", path, strerror(-rc));
	char *text = strndup((const char *)data, len);
	free(data);
	if (!text)
		return why_set(why, -ENOMEM, "out of memory");
	for (char *line = text; rc == 0 && line; line = rest) {
		rest = strchr(line, '\n');
		if (rest)
			*rest++ = '\0';
		number++;
		if (!parse_line(required, line))
			rc = why_set(why, -EINVAL,
				     "%s, line %u: is neither `PCR VALUE' nor `key DIGEST'", path,
				     number);
	}
	free(text);
	if (rc == 0 && required->count == 0)
		rc = why_set(why, -EINVAL, "%s requires no PCR", path);
	return rc;
}

uint32_t
required_pcrs_mask(const struct required_pcrs *required)
{
	uint32_t mask = 0;

	for (unsigned i = 0; i < required->count; i++)
		mask |= 1u << required->values[i].pcr;
	return mask;
}

static bool
key_is_listed(const struct required_pcrs *required, const struct reader *key)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];

	SHA256(key->pos, key->left, digest);
	for (unsigned i = 0; i < required->key_count; i++) {
		if (memcmp(required->keys[i], digest, sizeof(digest)) == 0)
			return true;
	}
	return required->key_count == 0;
}

static bool
value_is_listed(const struct required_pcrs *required, uint32_t pcr, const struct quote *quote)
{
	for (unsigned i = 0; i < required->count; i++) {
		if (required->values[i].pcr == pcr && required->values[i].size == quote->pcr_size &&
		    memcmp(required->values[i].value, quote->values[pcr], quote->pcr_size) == 0)
			return true;
	}
	return false;
}

int
required_pcrs_check(const struct required_pcrs *required, struct reader evidence,
		    const uint8_t nonce[QUOTE_NONCE_SIZE], const struct reader *migration_key,
		    struct why *why)
{
	uint32_t mask = required_pcrs_mask(required);
	uint8_t digest[SHA256_DIGEST_LENGTH];
	struct quote quote;

	if (!quote_read(&evidence, &quote))
		return why_set(why, -EACCES, "its quote is not readable");
	const char *wrong = quote_check(&quote);
	if (wrong)
		return why_set(why, -EACCES, "its quote is not sound: %s", wrong);
	SHA256(migration_key->pos, migration_key->left, digest);
	if (memcmp(quote.nonce, nonce, QUOTE_NONCE_SIZE) != 0 || !uuid_is_null(quote.uuid) ||
	    memcmp(quote.ek, digest, sizeof(digest)) != 0)
		return why_set(why, -EACCES, "its quote answers another question");
	if (!key_is_listed(required, &quote.key))
		return why_set(why, -EACCES,
			       "its quote is signed by a host key that is not listed");
	for (uint32_t pcr = 0; pcr < QUOTE_PCRS; pcr++) {
		if (mask & 1u << pcr &&
		    (!(quote.pcrs & 1u << pcr) || !value_is_listed(required, pcr, &quote)))
			return why_set(why, -EACCES,
				       "PCR %u of its chip has a value that is not listed", pcr);
	}
	return 0;
}
