/*
 * codec.h - the one bounds-checked big-endian reader and writer.
 *
 * Every structure that crosses a wire or a disk in this project goes through here. Both sides
 * remember failure: after the first underrun or overflow a reader yields zeros and a writer drops
 * what it is given, so that callers check once, at the end, instead of at each field.
 */
#ifndef VTPM_CODEC_H
#define VTPM_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Reads from memory that it does not own and that must outlive it and all views taken from it. */
struct reader {
	const uint8_t *pos;
	size_t left;
	bool failed;
};

/* Writes into memory that it does not own; len bytes of size are in use. */
struct writer {
	uint8_t *buf;
	size_t size;
	size_t len;
	bool failed;
};

static inline struct reader
reader_of(const void *data, size_t len)
{
	return (struct reader) { .pos = data, .left = len };
}

/*
 * reader_view: the next len bytes in place, without a copy. Returns NULL, and the reader is failed
 * from then on, if fewer are left. A view of zero bytes is never NULL while the reader is sound.
 */
static inline const uint8_t *
reader_view(struct reader *r, size_t len)
{
	static const uint8_t empty;

	if (r->failed || len > r->left) {
		r->failed = true;
		r->left = 0;
		return NULL;
	}
	const uint8_t *view = r->pos ? r->pos : &empty;
	if (len > 0)
		r->pos += len;
	r->left -= len;
	return view;
}

/* reader_bytes: copies the next len bytes to out; fills out with zeros on failure. */
static inline void
reader_bytes(struct reader *r, void *out, size_t len)
{
	const uint8_t *view = reader_view(r, len);

	if (len == 0)
		return;
	if (view)
		memcpy(out, view, len);
	else
		memset(out, 0, len);
}

static inline uint64_t
reader_uint(struct reader *r, size_t width)
{
	const uint8_t *view = reader_view(r, width);
	uint64_t value = 0;

	for (size_t i = 0; view && i < width; i++)
		value = value << 8 | view[i];
	return value;
}

static inline uint8_t
reader_u8(struct reader *r)
{
	return (uint8_t)reader_uint(r, 1);
}

static inline uint16_t
reader_u16(struct reader *r)
{
	return (uint16_t)reader_uint(r, 2);
}

static inline uint32_t
reader_u32(struct reader *r)
{
	return (uint32_t)reader_uint(r, 4);
}

static inline uint64_t
reader_u64(struct reader *r)
{
	return reader_uint(r, 8);
}

/* reader_sized: a 32-bit size and that many bytes in place, as TPM structures carry them. */
static inline struct reader
reader_sized(struct reader *r)
{
	size_t len = reader_u32(r);
	const uint8_t *view = reader_view(r, len);

	return view ? reader_of(view, len) : (struct reader) { .failed = true };
}

/* reader_done: everything was there and nothing is left over. */
static inline bool
reader_done(const struct reader *r)
{
	return !r->failed && r->left == 0;
}

static inline struct writer
writer_of(void *buf, size_t size)
{
	return (struct writer) { .buf = buf, .size = size };
}

/*
 * writer_reserve: room for len bytes that the caller fills in. Returns NULL, and the writer is
 * failed from then on, if they do not fit.
 */
static inline uint8_t *
writer_reserve(struct writer *w, size_t len)
{
	if (w->failed || len > w->size - w->len) {
		w->failed = true;
		return NULL;
	}
	uint8_t *room = w->buf + w->len;
	w->len += len;
	return room;
}

static inline void
writer_bytes(struct writer *w, const void *data, size_t len)
{
	uint8_t *room = writer_reserve(w, len);

	if (room && len > 0)
		memcpy(room, data, len);
}

static inline void
writer_uint(struct writer *w, uint64_t value, size_t width)
{
	uint8_t *room = writer_reserve(w, width);

	for (size_t i = width; room && i-- > 0; value >>= 8)
		room[i] = (uint8_t)value;
}

static inline void
writer_u8(struct writer *w, uint8_t value)
{
	writer_uint(w, value, 1);
}

static inline void
writer_u16(struct writer *w, uint16_t value)
{
	writer_uint(w, value, 2);
}

static inline void
writer_u32(struct writer *w, uint32_t value)
{
	writer_uint(w, value, 4);
}

static inline void
writer_u64(struct writer *w, uint64_t value)
{
	writer_uint(w, value, 8);
}

/* writer_sized: a 32-bit size and that many bytes. */
static inline void
writer_sized(struct writer *w, const void *data, size_t len)
{
	writer_u32(w, (uint32_t)len);
	writer_bytes(w, data, len);
}

/* writer_patch_u32: overwrites the 4 bytes at offset, a size known only afterwards. */
static inline void
writer_patch_u32(struct writer *w, size_t offset, uint32_t value)
{
	struct writer at = { .buf = w->buf, .size = w->len, .len = offset };

	if (w->failed || offset > w->len)
		w->failed = true;
	else
		writer_u32(&at, value);
	w->failed |= at.failed;
}

#endif
