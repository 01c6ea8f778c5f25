/*
 * image.h - the NVM of an instance as one run of bytes (docs/state-formats.md, "NVM").
 */
#ifndef INSTANCE_IMAGE_H
#define INSTANCE_IMAGE_H

#include <stddef.h>
#include <stdint.h>

/* Bytes in memory of their own that their owner wipes and frees with blob_clear. */
struct blob {
	uint8_t *data;
	size_t len;
};

/* blob_clear: wipes, frees and empties it. */
void blob_clear(struct blob *blob);

/* blob_copy: makes *to a copy of len bytes; what it held is wiped. 0 or -ENOMEM. */
int blob_copy(struct blob *to, const void *data, size_t len);

/*
 * Which TPM a state is of, whoever has it, and how many changes of the permanent state it has seen.
 * Of a TPM of before there was such a thing: zeros.
 */
struct lineage {
	uint8_t id[16];
	uint64_t generation;
};

/* The parts of an image: views into other memory. An absent part has len 0. */
struct image {
	struct lineage lineage;
	struct blob permanent; /* TPM_STATE_PERMANENT */
	struct blob saved;     /* TPM_STATE_SAVED */
	struct blob kept;      /* TPM_STATE_VOLATILE of a suspended instance */
};

/* image_write: puts the parts together. 0, or -ENOMEM, -EMSGSIZE. */
int image_write(const struct image *image, struct blob *out);

/*
 * image_read: takes an image apart; the views point into data. Returns 0; -EBADMSG for bytes that
 * are no image, -EPROTONOSUPPORT for an image of a later version.
 */
int image_read(struct image *image, const uint8_t *data, size_t len);

#endif
