#include "manager/physical_tpm.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vtpm/codec.h>
#include <vtpm/log.h>
#include <vtpm/tpm12.h>

#include "manager/crypt.h"
#include "manager/physical_tpm_ops.h"

enum { DEFAULT_TIMEOUT_SECONDS = 120 };

struct physical_tpm {
	char *address;
	uint8_t srk_auth[PHYSICAL_TPM_AUTH_SIZE];
	struct physical_tpm_options options; /* its pointers are to the above */
	const struct physical_tpm_ops *ops;
	pthread_mutex_t turn; /* one exchange at a time */
	atomic_bool present;
};

static _Thread_local char last_error[256];

int
physical_tpm_fail(int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(last_error, sizeof(last_error), format, args);
	va_end(args);
	return error;
}

const char *
physical_tpm_error(char *out, size_t len)
{
	snprintf(out, len, "%s", last_error[0] ? last_error : "no error");
	return out;
}

/* Takes a turn with a chip that has just been connected. */
static int
begin(struct physical_tpm *tpm, struct chip *chip)
{
	pthread_mutex_lock(&tpm->turn);
	chip->options = &tpm->options;
	return chip_channel_open(&chip->channel, tpm->address, tpm->options.timeout_seconds);
}

static int
end(struct physical_tpm *tpm, struct chip *chip, int error)
{
	bool present = error != -ENODEV && error != -ETIMEDOUT && error != -EPROTO;

	chip_channel_close(&chip->channel);
	if (tpm->ops && present != tpm->present) {
		if (present)
			log_info("the physical TPM %s is back", tpm->address);
		else
			log_warning("the physical TPM %s is away (%s); running instances are not "
				    "concerned",
				    tpm->address, last_error);
	}
	tpm->present = present;
	pthread_mutex_unlock(&tpm->turn);
	return error;
}

/* Calls a function of the chip's version, with its turn taken. */
#define WITH_CHIP(tpm, function, ...)                                                              \
	struct chip chip;                                                                          \
	int error = begin(tpm, &chip);                                                             \
	if (error == 0)                                                                            \
		error = (tpm)->ops->function(&chip, ##__VA_ARGS__);                                \
	return end(tpm, &chip, error)

/*
 * TPM2_GetCapability(TPM_CAP_TPM_PROPERTIES, TPM_PT_FAMILY_INDICATOR, 1). A TPM 2.0 answers with
 * the tag TPM_ST_NO_SESSIONS, whatever the result; a TPM 1.2 does not know the command's tag and
 * says so with a tag of its own.
 */
static const uint8_t version_probe[] = { 0x80, 0x01, 0, 0, 0, 22, 0, 0, 1, 0x7a, 0,
					 0,    0,    6, 0, 0, 1,  0, 0, 0, 0,    1 };

enum { TPM2_TAG_NO_SESSIONS = 0x8001 };

static int
find_version(struct physical_tpm *tpm)
{
	struct chip chip;
	uint8_t response[CHIP_BUFFER_SIZE];
	size_t len;
	int error = begin(tpm, &chip);

	if (error == 0)
		error = chip_channel_exchange(&chip.channel, version_probe, sizeof(version_probe),
					      response, &len);
	if (error == 0) {
		struct reader r = reader_of(response, len);
		uint16_t tag = reader_u16(&r);

		if (tag == TPM2_TAG_NO_SESSIONS)
			tpm->ops = &physical_tpm20;
		else if (tag == TPM_TAG_RSP_COMMAND)
			tpm->ops = &physical_tpm12;
		else
			error = physical_tpm_fail(-EPROTO, "what answers at %s is not a TPM",
						  tpm->address);
	}
	return end(tpm, &chip, error);
}

int
physical_tpm_open(struct physical_tpm **out, const struct physical_tpm_options *options)
{
	struct physical_tpm *tpm = calloc(1, sizeof(*tpm));

	*out = NULL;
	if (!tpm)
		return -ENOMEM;
	/* tpm2-tss would write a line of its own for each refusal; ours says more. */
	setenv("TSS2_LOG", "all+NONE", 0);
	pthread_mutex_init(&tpm->turn, NULL);
	tpm->present = true; /* else physical_tpm_open fails */
	tpm->options = *options;
	tpm->address = strdup(options->address);
	tpm->options.address = tpm->address;
	if (options->srk_auth)
		memcpy(tpm->srk_auth, options->srk_auth, sizeof(tpm->srk_auth));
	tpm->options.srk_auth = tpm->srk_auth;
	if (options->timeout_seconds == 0)
		tpm->options.timeout_seconds = DEFAULT_TIMEOUT_SECONDS;
	int error = tpm->address ? find_version(tpm) : -ENOMEM;
	if (error == 0)
		error = physical_tpm_ping(tpm);
	if (error < 0) {
		log_error("%s", last_error);
		physical_tpm_close(tpm);
		return error;
	}
	log_info("the physical TPM %s is a TPM %u.%u", tpm->address, tpm->ops->version / 10,
		 tpm->ops->version % 10);
	*out = tpm;
	return 0;
}

void
physical_tpm_close(struct physical_tpm *tpm)
{
	if (!tpm)
		return;
	pthread_mutex_destroy(&tpm->turn);
	free(tpm->address);
	crypt_free(tpm, sizeof(*tpm));
}

unsigned
physical_tpm_version(const struct physical_tpm *tpm)
{
	return tpm->ops->version;
}

const char *
physical_tpm_address(const struct physical_tpm *tpm)
{
	return tpm->address;
}

bool
physical_tpm_present(struct physical_tpm *tpm)
{
	return tpm->present;
}

int
physical_tpm_ping(struct physical_tpm *tpm)
{
	WITH_CHIP(tpm, ping);
}

int
physical_tpm_is_owned(struct physical_tpm *tpm, bool *owned)
{
	WITH_CHIP(tpm, is_owned, owned);
}

int
physical_tpm_take_ownership(struct physical_tpm *tpm, const uint8_t *owner_auth)
{
	WITH_CHIP(tpm, take_ownership, owner_auth);
}

int
physical_tpm_random(struct physical_tpm *tpm, uint8_t *out, size_t len)
{
	WITH_CHIP(tpm, random, out, len);
}

int
physical_tpm_pcr_read(struct physical_tpm *tpm, unsigned index, struct physical_tpm_pcr *pcr)
{
	if (index >= PHYSICAL_TPM_PCRS)
		return -EINVAL;
	WITH_CHIP(tpm, pcr_read, index, pcr);
}

int
physical_tpm_pcr_sha1(struct physical_tpm *tpm, unsigned index, uint8_t *value)
{
	if (index >= PHYSICAL_TPM_PCRS)
		return -EINVAL;
	WITH_CHIP(tpm, pcr_sha1, index, value);
}

int
physical_tpm_seal(struct physical_tpm *tpm, const uint8_t *secret, size_t len, uint32_t pcrs,
		  struct physical_tpm_blob *blob)
{
	if (len > PHYSICAL_TPM_SECRET_MAX || pcrs >> PHYSICAL_TPM_PCRS)
		return -EINVAL;
	WITH_CHIP(tpm, seal, secret, len, pcrs, blob);
}

int
physical_tpm_unseal(struct physical_tpm *tpm, const struct physical_tpm_blob *blob, uint8_t *out,
		    size_t *len)
{
	WITH_CHIP(tpm, unseal, blob, out, len);
}

int
physical_tpm_key_create(struct physical_tpm *tpm, const uint8_t *auth,
			struct physical_tpm_blob *key, struct physical_tpm_public *pub)
{
	WITH_CHIP(tpm, key_create, auth, key, pub);
}

int
physical_tpm_key_decrypt(struct physical_tpm *tpm, const struct physical_tpm_blob *key,
			 const uint8_t *auth, const uint8_t *data, size_t data_len, uint8_t *out,
			 size_t *len)
{
	if (data_len > PHYSICAL_TPM_RSA_MAX)
		return -EINVAL;
	WITH_CHIP(tpm, key_decrypt, key, auth, data, data_len, out, len);
}

int
physical_tpm_identity_create(struct physical_tpm *tpm, const uint8_t *owner_auth,
			     const uint8_t *auth, struct physical_tpm_blob *key,
			     struct physical_tpm_public *pub)
{
	WITH_CHIP(tpm, identity_create, owner_auth, auth, key, pub);
}

int
physical_tpm_quote(struct physical_tpm *tpm, const struct physical_tpm_blob *key,
		   const uint8_t *auth, uint32_t pcrs, const uint8_t *data, size_t len,
		   struct physical_tpm_quote *quote)
{
	if (pcrs == 0 || pcrs >> PHYSICAL_TPM_PCRS)
		return physical_tpm_fail(-EINVAL, "a quote is about PCRs 0 to 23, one at least");
	WITH_CHIP(tpm, quote, key, auth, pcrs, data, len, quote);
}

int
physical_tpm_anchor_define(struct physical_tpm *tpm, const uint8_t *owner_auth, const uint8_t *auth,
			   uint32_t *index)
{
	WITH_CHIP(tpm, anchor_define, owner_auth, auth, index);
}

int
physical_tpm_anchor_undefine(struct physical_tpm *tpm, const uint8_t *owner_auth, uint32_t index)
{
	WITH_CHIP(tpm, anchor_undefine, owner_auth, index);
}

int
physical_tpm_anchor_read(struct physical_tpm *tpm, const uint8_t *auth, uint32_t index,
			 uint64_t *value)
{
	WITH_CHIP(tpm, anchor_read, auth, index, value);
}

int
physical_tpm_anchor_increment(struct physical_tpm *tpm, const uint8_t *auth, uint32_t index,
			      uint64_t *value)
{
	WITH_CHIP(tpm, anchor_increment, auth, index, value);
}

int
physical_tpm_pass(struct physical_tpm *tpm, const uint8_t *command, size_t command_len,
		  uint8_t *response, size_t *response_len)
{
	struct reader r = reader_of(command, command_len);
	uint16_t tag = reader_u16(&r);
	uint32_t size = reader_u32(&r);
	uint32_t ordinal = reader_u32(&r);
	struct chip chip;

	if (r.failed || size != command_len || size > PHYSICAL_TPM_COMMAND_MAX ||
	    !tpm->ops->may_pass(tag, ordinal))
		return physical_tpm_fail(
		    -EPERM,
		    "command 0x%x is not on the list of those that an instance "
		    "may send to the physical TPM",
		    ordinal);
	int error = begin(tpm, &chip);
	if (error == 0)
		error = chip_channel_exchange(&chip.channel, command, command_len, response,
					      response_len);
	return end(tpm, &chip, error);
}
