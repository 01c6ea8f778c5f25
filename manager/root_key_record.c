#include "manager/root_key_record.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <vtpm/codec.h>

#include "manager/crypt.h"

enum {
	SEAL_VERSION = 1,
	HOST_VERSION = 2, /* 1 had no identity key */
	SEAL_SIZE_MAX = PHYSICAL_TPM_BLOB_MAX + 1024 + PHYSICAL_TPM_PCRS * PHYSICAL_TPM_PCR_MAX,
	HOST_SIZE_MAX = 2 * PHYSICAL_TPM_BLOB_MAX + 2048,
};

static bool
read_blob(struct reader *r, struct physical_tpm_blob *blob)
{
	struct reader data = reader_sized(r);

	if (data.failed || data.left > sizeof(blob->data))
		return false;
	blob->len = data.left;
	reader_bytes(&data, blob->data, blob->len);
	return true;
}

int
seal_load(const struct store *store, struct seal *seal)
{
	size_t len;
	const uint8_t *data = store_seal(store, &len);
	struct reader r = reader_of(data, len);

	memset(seal, 0, sizeof(*seal));
	if (reader_u8(&r) > SEAL_VERSION)
		return -EOVERFLOW;
	seal->version = reader_u8(&r);
	seal->sealed_at = reader_u64(&r);
	seal->pcrs = reader_u32(&r);
	for (unsigned i = 0; i < PHYSICAL_TPM_PCRS; i++) {
		struct physical_tpm_pcr *pcr = &seal->values[i];

		if (!(seal->pcrs & 1u << i))
			continue;
		pcr->size = reader_u8(&r);
		if (pcr->size > sizeof(pcr->value))
			return -EUCLEAN;
		reader_bytes(&r, pcr->value, pcr->size);
	}
	return read_blob(&r, &seal->blob) && reader_done(&r) ? 0 : -EUCLEAN;
}

int
seal_save(struct store *store, const struct seal *seal, const uint8_t *new_key)
{
	uint8_t buf[SEAL_SIZE_MAX];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_u8(&w, SEAL_VERSION);
	writer_u8(&w, seal->version);
	writer_u64(&w, seal->sealed_at);
	writer_u32(&w, seal->pcrs);
	for (unsigned i = 0; i < PHYSICAL_TPM_PCRS; i++) {
		if (!(seal->pcrs & 1u << i))
			continue;
		writer_u8(&w, seal->values[i].size);
		writer_bytes(&w, seal->values[i].value, seal->values[i].size);
	}
	writer_sized(&w, seal->blob.data, seal->blob.len);
	if (w.failed)
		return -EMSGSIZE;
	return new_key ? store_create(store, new_key, buf, w.len)
		       : store_set_seal(store, buf, w.len);
}

/* A wrapped key and its public part. */
static bool
read_key(struct reader *r, struct physical_tpm_blob *key, struct physical_tpm_public *pub)
{
	bool sound = read_blob(r, key);

	pub->scheme = reader_u8(r);
	pub->exponent = reader_u32(r);
	struct reader modulus = reader_sized(r);
	if (!sound || modulus.failed || modulus.left > sizeof(pub->modulus))
		return false;
	pub->modulus_len = (uint16_t)modulus.left;
	reader_bytes(&modulus, pub->modulus, pub->modulus_len);
	return true;
}

static void
write_key(struct writer *w, const struct physical_tpm_blob *key,
	  const struct physical_tpm_public *pub)
{
	writer_sized(w, key->data, key->len);
	writer_u8(w, pub->scheme);
	writer_u32(w, pub->exponent);
	writer_sized(w, pub->modulus, pub->modulus_len);
}

static bool
host_record_parse(struct reader *r, struct host_record *host)
{
	uint8_t version = reader_u8(r);

	host->owner_known = reader_u8(r) != 0;
	reader_bytes(r, host->owner_auth, sizeof(host->owner_auth));
	host->has_key = reader_u8(r) != 0;
	if (!read_key(r, &host->key, &host->key_public))
		return false;
	host->anchored = reader_u8(r) != 0;
	host->anchor_index = reader_u32(r);
	host->anchor = reader_u64(r);
	if (version == 1)
		return reader_done(r);
	host->has_identity = reader_u8(r) != 0;
	return read_key(r, &host->identity, &host->identity_public) && reader_done(r);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void
host_record_lock(void)
{
	pthread_mutex_lock(&lock);
}

void
host_record_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

int
host_record_load(struct store *store, struct host_record *host)
{
	uint8_t *data;
	size_t len;
	int error = store_host(store, &data, &len);

	memset(host, 0, sizeof(*host));
	if (error < 0 || len == 0)
		return error;
	struct reader r = reader_of(data, len);
	if (data[0] > HOST_VERSION)
		error = -EOVERFLOW;
	else if (!host_record_parse(&r, host))
		error = -EUCLEAN;
	crypt_free(data, len);
	return error;
}

int
host_record_save(struct store *store, const struct host_record *host)
{
	uint8_t buf[HOST_SIZE_MAX];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_u8(&w, HOST_VERSION);
	writer_u8(&w, host->owner_known);
	writer_bytes(&w, host->owner_auth, sizeof(host->owner_auth));
	writer_u8(&w, host->has_key);
	write_key(&w, &host->key, &host->key_public);
	writer_u8(&w, host->anchored);
	writer_u32(&w, host->anchor_index);
	writer_u64(&w, host->anchor);
	writer_u8(&w, host->has_identity);
	write_key(&w, &host->identity, &host->identity_public);
	int error = w.failed ? -EMSGSIZE : store_set_host(store, buf, w.len);
	explicit_bzero(buf, sizeof(buf));
	return error;
}
