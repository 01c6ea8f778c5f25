/*
 * physical_tpm_ops.h - what a version of TPM fills in behind physical_tpm.h.
 *
 * Each function is called with a channel that was opened for it alone and is closed afterwards, so
 * that nothing has to be remembered of a chip that may be gone the next time. Arguments and errors
 * are those of physical_tpm.h.
 */
#ifndef MANAGER_PHYSICAL_TPM_OPS_H
#define MANAGER_PHYSICAL_TPM_OPS_H

#include "manager/chip_channel.h"
#include "manager/physical_tpm.h"

struct chip {
	struct chip_channel channel;
	const struct physical_tpm_options *options;
};

struct physical_tpm_ops {
	unsigned version;
	int (*ping)(struct chip *chip);
	int (*is_owned)(struct chip *chip, bool *owned);
	int (*take_ownership)(struct chip *chip, const uint8_t *owner_auth);
	int (*random)(struct chip *chip, uint8_t *out, size_t len);
	int (*pcr_read)(struct chip *chip, unsigned index, struct physical_tpm_pcr *pcr);
	int (*pcr_sha1)(struct chip *chip, unsigned index, uint8_t *value);
	int (*seal)(struct chip *chip, const uint8_t *secret, size_t len, uint32_t pcrs,
		    struct physical_tpm_blob *blob);
	int (*unseal)(struct chip *chip, const struct physical_tpm_blob *blob, uint8_t *out,
		      size_t *len);
	int (*key_create)(struct chip *chip, const uint8_t *auth, struct physical_tpm_blob *key,
			  struct physical_tpm_public *pub);
	int (*key_decrypt)(struct chip *chip, const struct physical_tpm_blob *key,
			   const uint8_t *auth, const uint8_t *data, size_t data_len, uint8_t *out,
			   size_t *len);
	int (*identity_create)(struct chip *chip, const uint8_t *owner_auth, const uint8_t *auth,
			       struct physical_tpm_blob *key, struct physical_tpm_public *pub);
	int (*quote)(struct chip *chip, const struct physical_tpm_blob *key, const uint8_t *auth,
		     uint32_t pcrs, const uint8_t *data, size_t len,
		     struct physical_tpm_quote *quote);
	int (*anchor_define)(struct chip *chip, const uint8_t *owner_auth, const uint8_t *auth,
			     uint32_t *index);
	int (*anchor_undefine)(struct chip *chip, const uint8_t *owner_auth, uint32_t index);
	int (*anchor_read)(struct chip *chip, const uint8_t *auth, uint32_t index, uint64_t *value);
	int (*anchor_increment)(struct chip *chip, const uint8_t *auth, uint32_t index,
				uint64_t *value);
	/* Whether a command without authorization, of a right size, may be passed on. */
	bool (*may_pass)(uint16_t tag, uint32_t ordinal);
};

extern const struct physical_tpm_ops physical_tpm12;
extern const struct physical_tpm_ops physical_tpm20;

/* physical_tpm_fail: sets the calling thread's error text, and returns error. */
int physical_tpm_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
