#include "instance/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vtpm/codec.h>
#include <vtpm/manager.h>

enum {
	IMAGE_MAGIC = 0x76544e56, /* "vTNV" */
	IMAGE_VERSION = 2,
	IMAGE_WITHOUT_LINEAGE = 1,
	IMAGE_HEAD = 4 + 2 + 2 + 16 + 8,
};

void
blob_clear(struct blob *blob)
{
	if (blob->data)
		explicit_bzero(blob->data, blob->len);
	free(blob->data);
	*blob = (struct blob) { 0 };
}

int
blob_copy(struct blob *to, const void *data, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	if (!copy)
		return -ENOMEM;
	if (len > 0)
		memcpy(copy, data, len);
	blob_clear(to);
	*to = (struct blob) { .data = copy, .len = len };
	return 0;
}

int
image_write(const struct image *image, struct blob *out)
{
	const struct blob *parts[] = { &image->permanent, &image->saved, &image->kept };
	size_t len = IMAGE_HEAD;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		len += 4 + parts[i]->len;
	if (len > VTPM_MESSAGE_MAX - VTPM_HEADER_SIZE)
		return -EMSGSIZE;
	uint8_t *data = malloc(len);
	if (!data)
		return -ENOMEM;
	struct writer w = writer_of(data, len);
	writer_u32(&w, IMAGE_MAGIC);
	writer_u16(&w, IMAGE_VERSION);
	writer_u16(&w, 0);
	writer_bytes(&w, image->lineage.id, sizeof(image->lineage.id));
	writer_u64(&w, image->lineage.generation);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		writer_sized(&w, parts[i]->data, parts[i]->len);
	*out = (struct blob) { .data = data, .len = w.len };
	return 0;
}

int
image_read(struct image *image, const uint8_t *data, size_t len)
{
	struct blob *parts[] = { &image->permanent, &image->saved, &image->kept };
	struct reader r = reader_of(data, len);

	*image = (struct image) { 0 };
	uint32_t magic = reader_u32(&r);
	uint16_t version = reader_u16(&r);
	reader_u16(&r);
	if (r.failed || magic != IMAGE_MAGIC)
		return -EBADMSG;
	if (version != IMAGE_VERSION && version != IMAGE_WITHOUT_LINEAGE)
		return -EPROTONOSUPPORT;
	if (version != IMAGE_WITHOUT_LINEAGE) {
		reader_bytes(&r, image->lineage.id, sizeof(image->lineage.id));
		image->lineage.generation = reader_u64(&r);
	}
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct reader part = reader_sized(&r);

		/* The view is only ever read. */
		parts[i]->data = (uint8_t *)(uintptr_t)part.pos;
		parts[i]->len = part.left;
	}
	return reader_done(&r) ? 0 : -EBADMSG;
}
