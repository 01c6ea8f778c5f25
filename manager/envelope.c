#include "manager/envelope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vtpm/manager.h>
#include <vtpm/migration.h>

#include "manager/crypt.h"
#include "manager/migration_session.h"

enum {
	TRAVELLING_FLAGS = STORE_FLAG_SUSPENDED | STORE_FLAG_RESUMES,
	ENTRY_SIZE = STORE_DIGEST_SIZE + 1 + 4 + 4 + 8 + STORE_DIGEST_SIZE + 8,
	SEALED_OVERHEAD = CRYPT_NONCE_SIZE + CRYPT_TAG_SIZE,
};

static void
write_content(struct writer *w, const struct envelope *envelope)
{
	const struct store_instance *entry = &envelope->entry;

	writer_bytes(w, entry->activation, sizeof(entry->activation));
	writer_u8(w, entry->domain_type);
	writer_u32(w, entry->flags & TRAVELLING_FLAGS);
	writer_u32(w, entry->host_pcrs);
	writer_u64(w, entry->created);
	writer_bytes(w, entry->measurement, sizeof(entry->measurement));
	writer_u64(w, entry->generation);
	writer_sized(w, envelope->domain, strlen(envelope->domain));
	writer_sized(w, envelope->nvm, envelope->nvm_len);
}

static bool
read_content(struct reader *r, struct envelope *envelope)
{
	struct store_instance *entry = &envelope->entry;

	reader_bytes(r, entry->activation, sizeof(entry->activation));
	entry->domain_type = reader_u8(r);
	entry->flags = reader_u32(r) & TRAVELLING_FLAGS;
	entry->host_pcrs = reader_u32(r);
	entry->created = reader_u64(r);
	reader_bytes(r, entry->measurement, sizeof(entry->measurement));
	entry->generation = reader_u64(r);
	struct reader domain = reader_sized(r);
	struct reader nvm = reader_sized(r);
	if (domain.failed || nvm.failed || !reader_done(r) ||
	    domain.left >= sizeof(envelope->domain) || nvm.left > STORE_NVM_MAX)
		return false;
	reader_bytes(&domain, envelope->domain, domain.left);
	envelope->nvm_len = nvm.left;
	envelope->nvm = nvm.left > 0 ? malloc(nvm.left) : NULL;
	if (envelope->nvm)
		reader_bytes(&nvm, envelope->nvm, envelope->nvm_len);
	return envelope->nvm || envelope->nvm_len == 0;
}

static void
write_head(struct writer *w, const struct envelope *envelope,
	   const struct migration_session *session)
{
	writer_u32(w, VTPM_MIGRATION_VERSION);
	writer_bytes(w, envelope->entry.uuid, sizeof(envelope->entry.uuid));
	writer_u64(w, envelope->entry.fence);
	writer_sized(w, session->sealed, session->sealed_len);
}

int
envelope_compose(const struct envelope *envelope, const struct migration_session *session,
		 uint8_t **out, size_t *out_len)
{
	size_t plain_size = ENTRY_SIZE + 4 + strlen(envelope->domain) + 4 + envelope->nvm_len;
	size_t size =
	    VTPM_ENVELOPE_HEAD_SIZE + 4 + session->sealed_len + SEALED_OVERHEAD + plain_size;
	uint8_t *plain = malloc(plain_size);
	uint8_t *buf = malloc(size);
	struct writer content = writer_of(plain, plain ? plain_size : 0);
	struct writer w = writer_of(buf, buf ? size : 0);
	int error = plain && buf ? 0 : -ENOMEM;

	write_content(&content, envelope);
	write_head(&w, envelope, session);
	size_t head = w.len;
	uint8_t *nonce = writer_reserve(&w, CRYPT_NONCE_SIZE);
	uint8_t *tag = writer_reserve(&w, CRYPT_TAG_SIZE);
	uint8_t *sealed = writer_reserve(&w, content.len);
	if (error == 0 &&
	    (content.failed || w.failed || w.len > VTPM_MESSAGE_MAX - VTPM_HEADER_SIZE))
		error = -EMSGSIZE;
	if (error == 0) {
		crypt_random(nonce, CRYPT_NONCE_SIZE);
		error = crypt_seal(session->key, nonce, CRYPT_PARTS({ buf, head }), plain,
				   content.len, sealed, tag);
	}
	crypt_free(plain, plain_size);
	if (error < 0) {
		free(buf);
		buf = NULL;
	}
	*out = buf;
	*out_len = w.len;
	return error;
}

int
envelope_read_head(struct envelope *envelope, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);

	memset(envelope, 0, sizeof(*envelope));
	uint32_t version = reader_u32(&r);
	if (!r.failed && version > VTPM_MIGRATION_VERSION)
		return -EPROTONOSUPPORT;
	reader_bytes(&r, envelope->entry.uuid, sizeof(envelope->entry.uuid));
	envelope->entry.fence = reader_u64(&r);
	envelope->session_key = reader_sized(&r);
	if (r.failed || version == 0 || r.left < SEALED_OVERHEAD)
		return -EBADMSG;
	envelope->head = reader_of(data, len - r.left);
	envelope->sealed = r;
	return 0;
}

int
envelope_open(struct envelope *envelope, const uint8_t *key)
{
	struct reader r = envelope->sealed;
	const uint8_t *nonce = reader_view(&r, CRYPT_NONCE_SIZE);
	const uint8_t *tag = reader_view(&r, CRYPT_TAG_SIZE);
	size_t len = r.left;
	uint8_t *plain = malloc(len > 0 ? len : 1);

	if (!plain)
		return -ENOMEM;
	int error = crypt_open(key, nonce, CRYPT_PARTS({ envelope->head.pos, envelope->head.left }),
			       r.pos, len, plain, tag);
	struct reader content = reader_of(plain, len);
	if (error == 0 && !read_content(&content, envelope))
		error = -EBADMSG;
	crypt_free(plain, len);
	return error;
}

void
envelope_wipe(struct envelope *envelope)
{
	crypt_free(envelope->nvm, envelope->nvm_len);
	envelope->nvm = NULL;
	envelope->nvm_len = 0;
}
