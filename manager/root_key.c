#include "manager/root_key.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <vtpm/file.h>
#include <vtpm/log.h>

#include "manager/crypt.h"
#include "manager/physical_tpm_ops.h"
#include "manager/root_key_anchor.h"
#include "manager/root_key_record.h"

enum { AUTH_FILE_MAX = 4096 };

/* A number below PHYSICAL_TPM_PCRS; false if there is none. */
static bool
take_index(const char **at, unsigned long *index)
{
	char *end;

	if (**at < '0' || **at > '9')
		return false;
	*index = strtoul(*at, &end, 10);
	*at = end;
	return *index < PHYSICAL_TPM_PCRS;
}

int
root_key_parse_pcrs(const char *list, uint32_t *pcrs)
{
	unsigned long first;
	unsigned long last;

	*pcrs = 0;
	if (strcmp(list, "none") == 0)
		return 0;
	if (strcmp(list, "all") == 0) {
		*pcrs = (1u << PHYSICAL_TPM_PCRS) - 1;
		return 0;
	}
	for (const char *at = list;; at++) {
		if (!take_index(&at, &first))
			return -EINVAL;
		last = first;
		if (*at == '-') {
			at++;
			if (!take_index(&at, &last) || last < first)
				return -EINVAL;
		}
		*pcrs |= (2u << last) - (1u << first);
		if (*at == '\0')
			return 0;
		if (*at != ',')
			return -EINVAL;
	}
}

const char *
root_key_format_pcrs(uint32_t pcrs, char out[ROOT_KEY_PCRS_TEXT])
{
	size_t at = 0;

	strcpy(out, "none");
	for (unsigned i = 0; i < PHYSICAL_TPM_PCRS; i++) {
		if (pcrs & 1u << i)
			at += (size_t)snprintf(out + at, ROOT_KEY_PCRS_TEXT - at, "%s%u",
					       at ? "," : "", i);
	}
	return out;
}

static bool
parse_hex(const char *text, size_t len, uint8_t *out, size_t out_len)
{
	if (len != 2 * out_len)
		return false;
	for (size_t i = 0; i < len; i++) {
		static const char digits[] = "0123456789abcdef";
		const char *digit = strchr(digits, text[i] | 0x20);

		if (!digit || text[i] == '\0')
			return false;
		uint8_t nibble = (uint8_t)(digit - digits);
		out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | nibble : nibble << 4);
	}
	return true;
}

int
root_key_read_auth(const char *path, uint8_t *auth)
{
	uint8_t *data;
	size_t len;
	int error = file_read(path, AUTH_FILE_MAX, &data, &len);

	if (error < 0) {
		log_error("the secret in %s cannot be read: %s", path, strerror(-error));
		return error;
	}
	const uint8_t *end = memchr(data, '\n', len);
	size_t line = end ? (size_t)(end - data) : len;
	if (line < 4 || memcmp(data, "hex:", 4) != 0) {
		crypt_sha1(auth, CRYPT_PARTS({ data, line }));
	} else if (!parse_hex((const char *)data + 4, line - 4, auth, PHYSICAL_TPM_AUTH_SIZE)) {
		log_error("the secret in %s should be 40 hexadecimal digits after hex:", path);
		error = -EINVAL;
	}
	crypt_free(data, len);
	return error;
}

int
root_key_log(int error)
{
	char text[256];

	log_error("%s", physical_tpm_error(text, sizeof(text)));
	return error;
}

/* Seals key to the present values of pcrs, and notes those. */
static int
seal_key(struct physical_tpm *tpm, const uint8_t *key, uint32_t pcrs, struct seal *seal)
{
	memset(seal, 0, sizeof(*seal));
	seal->version = (uint8_t)physical_tpm_version(tpm);
	seal->pcrs = pcrs;
	seal->sealed_at = (uint64_t)time(NULL);
	for (unsigned i = 0; i < PHYSICAL_TPM_PCRS; i++) {
		int error = pcrs & 1u << i ? physical_tpm_pcr_read(tpm, i, &seal->values[i]) : 0;

		if (error < 0)
			return root_key_log(error);
	}
	int error = physical_tpm_seal(tpm, key, STORE_KEY_SIZE, pcrs, &seal->blob);
	return error < 0 ? root_key_log(error) : 0;
}

/* The root key: of the chip's and the kernel's generators, whichever is the better one. */
static int
make_key(struct physical_tpm *tpm, uint8_t *key)
{
	uint8_t chip[STORE_KEY_SIZE];
	uint8_t kernel[STORE_KEY_SIZE];
	int error = physical_tpm_random(tpm, chip, sizeof(chip));

	if (error < 0)
		return root_key_log(error);
	crypt_random(kernel, sizeof(kernel));
	crypt_sha256(key, CRYPT_PARTS({ chip, sizeof(chip) }, { kernel, sizeof(kernel) }));
	explicit_bzero(chip, sizeof(chip));
	explicit_bzero(kernel, sizeof(kernel));
	return 0;
}

/*
 * The owner's secret must not be lost if the host dies between taking ownership and the first VTPM:
 * until it is in there it lies in this file, readable by us alone.
 */
static void
pending_owner_path(const struct store *store, char *path, size_t size)
{
	snprintf(path, size, "%s/VTPM.owner", store_dir(store));
}

static int
pending_owner_load(const struct store *store, uint8_t *auth)
{
	char path[PATH_MAX];
	uint8_t *data;
	size_t len;

	pending_owner_path(store, path, sizeof(path));
	int error = file_read(path, PHYSICAL_TPM_AUTH_SIZE, &data, &len);
	if (error < 0)
		return error;
	if (len == PHYSICAL_TPM_AUTH_SIZE)
		memcpy(auth, data, len);
	else
		error = -EUCLEAN;
	crypt_free(data, len);
	return error;
}

static int
own_chip(struct store *store, struct physical_tpm *tpm)
{
	uint8_t auth[PHYSICAL_TPM_AUTH_SIZE];
	char path[PATH_MAX];

	pending_owner_path(store, path, sizeof(path));
	crypt_random(auth, sizeof(auth));
	int error = file_write_durable(path, auth, sizeof(auth), 0600);
	if (error < 0) {
		log_error("%s cannot be written: %s", path, strerror(-error));
	} else {
		log_info("the physical TPM %s has no owner; taking ownership",
			 physical_tpm_address(tpm));
		error = physical_tpm_take_ownership(tpm, auth);
		if (error < 0) {
			root_key_log(error);
			unlink(path);
		}
	}
	explicit_bzero(auth, sizeof(auth));
	return error;
}

static int
create(struct store *store, struct physical_tpm *tpm, const struct root_key_options *options)
{
	uint8_t key[STORE_KEY_SIZE];
	char text[ROOT_KEY_PCRS_TEXT];
	struct seal seal;
	bool owned;
	int error = physical_tpm_is_owned(tpm, &owned);

	if (error < 0)
		return root_key_log(error);
	if (!owned)
		error = own_chip(store, tpm);
	if (error == 0)
		error = make_key(tpm, key);
	if (error == 0)
		error = seal_key(tpm, key, options->pcrs, &seal);
	if (error == 0)
		error = seal_save(store, &seal, key);
	explicit_bzero(key, sizeof(key));
	if (error == 0)
		log_info("%s: new root key, sealed to the physical TPM %s, PCRs %s",
			 store_dir(store), physical_tpm_address(tpm),
			 root_key_format_pcrs(options->pcrs, text));
	return error;
}

static void
format_pcr(const struct physical_tpm_pcr *pcr, char *out, size_t size)
{
	size_t at = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < pcr->size && at + 2 < size; i++)
		at += (size_t)snprintf(out + at, size - at, "%02x", pcr->value[i]);
}

/* Says which PCRs are not what they were at the time of sealing. */
static void
name_changed_pcrs(struct store *store, struct physical_tpm *tpm, const struct seal *seal)
{
	char was[2 * PHYSICAL_TPM_PCR_MAX + 1];
	char is[2 * PHYSICAL_TPM_PCR_MAX + 1];
	char list[ROOT_KEY_PCRS_TEXT];
	struct physical_tpm_pcr now;

	for (unsigned i = 0; i < PHYSICAL_TPM_PCRS; i++) {
		if (!(seal->pcrs & 1u << i) || physical_tpm_pcr_read(tpm, i, &now) < 0)
			continue;
		if (now.size == seal->values[i].size &&
		    memcmp(now.value, seal->values[i].value, now.size) == 0)
			continue;
		format_pcr(&seal->values[i], was, sizeof(was));
		format_pcr(&now, is, sizeof(is));
		log_error(
		    "PCR %u of the physical TPM has changed since the root key was sealed: it "
		    "was %s, it is %s",
		    i, was, is);
	}
	log_error("%s stays locked: the root key is sealed to PCRs that have changed; nothing was "
		  "changed. Boot what was booted when it was sealed; then, before an upgrade, "
		  "announce it with `vtpmctl reseal none`, and seal to the new values with "
		  "`vtpmctl reseal %s` afterwards",
		  store_dir(store), root_key_format_pcrs(seal->pcrs, list));
}

static void
explain_unseal(struct store *store, struct physical_tpm *tpm, const struct seal *seal, int error)
{
	root_key_log(error);
	if (error == -ESTALE)
		name_changed_pcrs(store, tpm, seal);
	else if (error == -EKEYREJECTED || error == -ENOKEY)
		log_error("%s belongs to another host's TPM, or this host's was cleared since; "
			  "nothing was changed. Bring the folder back to its host, or start with "
			  "an empty --state-dir",
			  store_dir(store));
}

static int
unseal(struct store *store, struct physical_tpm *tpm)
{
	uint8_t key[PHYSICAL_TPM_SECRET_MAX];
	size_t len = 0;
	struct seal seal;
	int error = seal_load(store, &seal);

	if (error < 0) {
		log_error("%s/VTPM: how the root key is sealed cannot be read; nothing was changed",
			  store_dir(store));
		return error;
	}
	if (seal.version != physical_tpm_version(tpm))
		error = physical_tpm_fail(-EKEYREJECTED,
					  "the root key was sealed by a TPM %u.%u, but this is a "
					  "TPM %u.%u",
					  seal.version / 10, seal.version % 10,
					  physical_tpm_version(tpm) / 10,
					  physical_tpm_version(tpm) % 10);
	if (error == 0)
		error = physical_tpm_unseal(tpm, &seal.blob, key, &len);
	if (error == 0 && len != STORE_KEY_SIZE)
		error = physical_tpm_fail(-EKEYREJECTED, "what was unsealed is not a root key");
	if (error < 0)
		explain_unseal(store, tpm, &seal, error);
	else
		error = store_unlock(store, key);
	explicit_bzero(key, sizeof(key));
	return error;
}

/* Learns the owner's secret: made by us, or given by the operator. */
static int
note_owner(struct store *store, const struct root_key_options *options, struct host_record *host)
{
	uint8_t pending[PHYSICAL_TPM_AUTH_SIZE];
	char path[PATH_MAX];
	int found = pending_owner_load(store, pending);
	const uint8_t *auth = found == 0 ? pending : options->owner_auth;
	int error = 0;

	if (auth &&
	    (!host->owner_known || memcmp(auth, host->owner_auth, sizeof(host->owner_auth)) != 0)) {
		host->owner_known = true;
		memcpy(host->owner_auth, auth, sizeof(host->owner_auth));
		error = host_record_save(store, host);
	}
	if (error == 0 && found == 0) {
		pending_owner_path(store, path, sizeof(path));
		unlink(path);
	}
	explicit_bzero(pending, sizeof(pending));
	return error;
}

/* An operator should know when the protection that was asked for is not there. */
static void
compare_pcrs(struct store *store, uint32_t wanted)
{
	char is[ROOT_KEY_PCRS_TEXT];
	char asked[ROOT_KEY_PCRS_TEXT];
	struct seal seal;

	if (seal_load(store, &seal) == 0 && seal.pcrs != wanted)
		log_warning(
		    "%s: the root key is sealed to PCRs %s, but --tpm-pcrs asks for %s; run "
		    "`vtpmctl reseal` to seal it to those",
		    store_dir(store), root_key_format_pcrs(seal.pcrs, is),
		    root_key_format_pcrs(wanted, asked));
}

int
root_key_unlock(struct store *store, struct physical_tpm *tpm,
		const struct root_key_options *options)
{
	struct host_record host;
	size_t seal_len;
	int error = store_seal(store, &seal_len) ? unseal(store, tpm) : create(store, tpm, options);

	if (error < 0)
		return error;
	compare_pcrs(store, options->pcrs);
	error = host_record_load(store, &host);
	if (error < 0)
		log_error("%s/VTPM: the host's record cannot be read: %s", store_dir(store),
			  strerror(-error));
	if (error == 0)
		error = note_owner(store, options, &host);
	if (error == 0 && !options->no_anchor)
		error = anchor_start(store, tpm, &host, options->accept_rollback);
	explicit_bzero(&host, sizeof(host));
	return error;
}

int
root_key_reseal(struct store *store, struct physical_tpm *tpm, uint32_t pcrs)
{
	char text[ROOT_KEY_PCRS_TEXT];
	struct seal seal;
	int error = seal_key(tpm, store_key(store), pcrs, &seal);

	if (error == 0)
		error = seal_save(store, &seal, NULL);
	if (error == 0)
		log_info("%s: the root key is sealed anew to the physical TPM %s, PCRs %s",
			 store_dir(store), physical_tpm_address(tpm),
			 root_key_format_pcrs(pcrs, text));
	return error;
}

int
root_key_status(struct store *store, struct root_key_status *status)
{
	struct seal seal;
	struct host_record host;
	int error = seal_load(store, &seal);

	if (error == 0)
		error = host_record_load(store, &host);
	if (error < 0)
		return error;
	*status = (struct root_key_status) {
		.sealed_pcrs = seal.pcrs,
		.sealed_at = seal.sealed_at,
		.anchored = host.anchored,
		.anchor = host.anchor,
		.owner_secret_known = host.owner_known,
	};
	explicit_bzero(&host, sizeof(host));
	return 0;
}
