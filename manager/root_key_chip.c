/*
 * The manager's keys in the chip: for migration, and its identity.
 */
#include "manager/root_key.h"

#include <errno.h>
#include <string.h>

#include "manager/crypt.h"
#include "manager/root_key_anchor.h"
#include "manager/root_key_record.h"

#define MIGRATION_KEY "vtpm migration key"
#define IDENTITY_KEY  "vtpm identity key"

/* The secret of a key follows from the root key, as that of the anchor does. */
static int
key_auth(struct store *store, const char *purpose, uint8_t *auth)
{
	uint8_t key[CRYPT_KEY_SIZE];
	int error = crypt_derive(key, store_key(store), purpose);

	memcpy(auth, key, PHYSICAL_TPM_AUTH_SIZE);
	explicit_bzero(key, sizeof(key));
	return error;
}

int
root_key_migration_public(struct store *store, struct physical_tpm *tpm,
			  struct physical_tpm_public *pub)
{
	uint8_t auth[PHYSICAL_TPM_AUTH_SIZE];
	struct host_record host;

	host_record_lock();
	int error = host_record_load(store, &host);
	if (error == 0 && !host.has_key) {
		error = key_auth(store, MIGRATION_KEY, auth);
		if (error == 0)
			error = physical_tpm_key_create(tpm, auth, &host.key, &host.key_public);
		if (error < 0)
			root_key_log(error);
		host.has_key = true;
		if (error == 0)
			error = host_record_save(store, &host);
	}
	host_record_unlock();
	*pub = host.key_public;
	explicit_bzero(&host, sizeof(host));
	explicit_bzero(auth, sizeof(auth));
	return error;
}

int
root_key_migration_decrypt(struct store *store, struct physical_tpm *tpm, const uint8_t *data,
			   size_t data_len, uint8_t *out, size_t *len)
{
	uint8_t auth[PHYSICAL_TPM_AUTH_SIZE];
	struct host_record host;
	int error = host_record_load(store, &host);

	if (error == 0 && !host.has_key)
		error = -ENOKEY;
	if (error == 0)
		error = key_auth(store, MIGRATION_KEY, auth);
	if (error == 0) {
		error = physical_tpm_key_decrypt(tpm, &host.key, auth, data, data_len, out, len);
		if (error < 0)
			root_key_log(error);
	}
	explicit_bzero(&host, sizeof(host));
	explicit_bzero(auth, sizeof(auth));
	return error;
}

/* The identity key, made when first asked for. */
static int
identity(struct store *store, struct physical_tpm *tpm, const uint8_t *auth,
	 struct physical_tpm_blob *key, struct physical_tpm_public *pub)
{
	struct host_record host;

	host_record_lock();
	int error = host_record_load(store, &host);
	if (error == 0 && !host.has_identity) {
		error = physical_tpm_identity_create(tpm, host.owner_known ? host.owner_auth : NULL,
						     auth, &host.identity, &host.identity_public);
		if (error < 0)
			root_key_log(error);
		host.has_identity = true;
		if (error == 0)
			error = host_record_save(store, &host);
	}
	host_record_unlock();
	*key = host.identity;
	*pub = host.identity_public;
	explicit_bzero(&host, sizeof(host));
	return error;
}

int
root_key_quote(struct store *store, struct physical_tpm *tpm, uint32_t pcrs, const uint8_t *data,
	       size_t len, struct physical_tpm_quote *quote, struct physical_tpm_public *pub)
{
	uint8_t auth[PHYSICAL_TPM_AUTH_SIZE];
	struct physical_tpm_blob key;
	int error = key_auth(store, IDENTITY_KEY, auth);

	if (error == 0)
		error = identity(store, tpm, auth, &key, pub);
	if (error == 0) {
		error = physical_tpm_quote(tpm, &key, auth, pcrs, data, len, quote);
		if (error < 0)
			root_key_log(error);
	}
	explicit_bzero(auth, sizeof(auth));
	return error;
}
