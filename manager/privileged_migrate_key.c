/*
 * Keys of a migration: the chip's at the destination, the session's at the source.
 */
#include "manager/privileged_migrate.h"

#include <string.h>

#include <vtpm/log.h>
#include <vtpm/manager.h>

#include "manager/crypt.h"
#include "manager/deep_quote.h"
#include "manager/manager.h"
#include "manager/migration_session.h"
#include "manager/physical_tpm.h"
#include "manager/root_key.h"
#include "manager/worker.h"

enum { PUBLIC_MAX = 4 + 4 + 4 + PHYSICAL_TPM_RSA_MAX + 1 };

/*
 * On the worker's thread: the chip makes the key when it is asked for the first time. Returns the
 * size of the answer of GET_MIG_KEY, 0 after having refused the request.
 */
static size_t
write_public(struct request *request, uint8_t params[PUBLIC_MAX])
{
	struct writer w = writer_of(params, PUBLIC_MAX);
	struct physical_tpm_public pub;
	char why[256];

	if (root_key_migration_public(request->manager->store, request->manager->tpm, &pub) < 0) {
		request_fail(request, VTPM_FAIL, "this host has no migration key: %s",
			     physical_tpm_error(why, sizeof(why)));
		return 0;
	}
	writer_u32(&w, 4);
	writer_u32(&w, pub.exponent);
	writer_sized(&w, pub.modulus, pub.modulus_len);
	writer_u8(&w, pub.scheme);
	return w.len;
}

static void
public_of_chip(void *arg)
{
	struct request *request = arg;
	uint8_t params[PUBLIC_MAX];
	size_t len = write_public(request, params);

	if (len > 0)
		request_succeed(request, params, len);
}

void
privileged_get_migration_key(struct request *request)
{
	if (!migrate_take_peer(request))
		return;
	if (worker_submit(request->manager->chip, public_of_chip, request) < 0)
		request_fail(request, VTPM_FAIL, "out of memory");
}

/* On the worker's thread: the PCRs of the host that has the migration key. */
static void
quote_of_chip(void *arg)
{
	struct request *request = arg;
	struct quote quote = { .pcrs = request->pcrs };
	uint8_t evidence[QUOTE_EVIDENCE_MAX];
	uint8_t params[PUBLIC_MAX];
	char why[256];
	size_t len = write_public(request, params);

	if (len == 0)
		return;
	crypt_sha256(quote.ek, &(struct crypt_part) { params, len }, 1);
	memcpy(quote.nonce, request->key, sizeof(quote.nonce));
	if (deep_quote(request->manager->store, request->manager->tpm, &quote, evidence, &len) < 0)
		request_fail(request, VTPM_FAIL, "the chip of this host quotes nothing: %s",
			     physical_tpm_error(why, sizeof(why)));
	else
		request_succeed(request, evidence, len);
}

void
privileged_host_quote(struct request *request)
{
	request->pcrs = reader_u32(&request->params);
	reader_bytes(&request->params, request->key, QUOTE_NONCE_SIZE);
	if (!migrate_take_peer(request))
		return;
	if (request->pcrs == 0 || request->pcrs >> QUOTE_PCRS)
		request_fail(request, VTPM_INVALID_REQUEST, "a quote of impossible PCRs 0x%08x",
			     request->pcrs);
	else if (worker_submit(request->manager->chip, quote_of_chip, request) < 0)
		request_fail(request, VTPM_FAIL, "out of memory");
}

/* Exponent, modulus, and maybe a scheme; whether that can be a key is found out by using it. */
static bool
take_public(struct reader *r, struct physical_tpm_public *pub)
{
	struct reader exponent = reader_sized(r);
	struct reader modulus = reader_sized(r);

	memset(pub, 0, sizeof(*pub));
	if (exponent.failed || exponent.left > 4 || modulus.failed ||
	    modulus.left > sizeof(pub->modulus))
		return false;
	pub->exponent = (uint32_t)reader_uint(&exponent, exponent.left);
	pub->modulus_len = (uint16_t)modulus.left;
	reader_bytes(&modulus, pub->modulus, pub->modulus_len);
	pub->scheme = r->left > 0 ? reader_u8(r) : PHYSICAL_TPM_SCHEME_BIND12;
	return reader_done(r);
}

void
privileged_load_migration_key(struct request *request)
{
	const struct migration_session *session = NULL;
	struct physical_tpm_public pub;

	if (!migrate_take_name(&request->params, request->entry.peer) ||
	    !take_public(&request->params, &pub)) {
		request_fail(request, VTPM_INVALID_REQUEST,
			     "a migration key must be a host's name, exponent and modulus");
		return;
	}
	if (migration_session_begin(request->manager->sessions, request->entry.peer, &pub,
				    &session) < 0)
		request_fail(request, VTPM_INVALID_REQUEST,
			     "what %s sent is no migration key (RSA, %u bits, scheme %u)",
			     request->entry.peer, 8u * pub.modulus_len, pub.scheme);
	else
		request_succeed(request, session->sealed, session->sealed_len);
}

static void
remember(struct request *request)
{
	migration_session_remember(request->manager->sessions, request->sealed_key, request->key);
	request->unwrapped(request);
}

static void
decrypt_on_chip(void *arg)
{
	struct request *request = arg;
	uint8_t key[PHYSICAL_TPM_SECRET_MAX];
	size_t len = 0;
	char why[256];

	if (request->sealed_key.left <= PHYSICAL_TPM_RSA_MAX &&
	    root_key_migration_decrypt(request->manager->store, request->manager->tpm,
				       request->sealed_key.pos, request->sealed_key.left, key,
				       &len) == 0 &&
	    len == sizeof(request->key)) {
		memcpy(request->key, key, sizeof(request->key));
		explicit_bzero(key, sizeof(key));
		privileged_here(request, remember);
		return;
	}
	request_fail(request, VTPM_FAIL,
		     "the session key is not for this host's TPM; was that replaced or cleared? "
		     "Load the key of this host and begin again (%s)",
		     physical_tpm_error(why, sizeof(why)));
}

void
migrate_unwrap(struct request *request, struct reader sealed, void (*step)(struct request *request))
{
	request->sealed_key = sealed;
	request->unwrapped = step;
	if (migration_session_recall(request->manager->sessions, sealed, request->key))
		step(request);
	else if (worker_submit(request->manager->chip, decrypt_on_chip, request) < 0)
		request_fail(request, VTPM_FAIL, "out of memory");
}
