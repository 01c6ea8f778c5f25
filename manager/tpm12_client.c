#include "manager/tpm12_client.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>

#include "manager/crypt.h"

enum {
	RETRIES_MAX = 100,
	RETRY_MILLISECONDS = 100,
	AUTH_IN_SIZE = 4 + 2 * TPM_DIGEST_SIZE + 1,
	AUTH_OUT_SIZE = 2 * TPM_DIGEST_SIZE + 1,
};

/* What results mean for the caller, and for the operator. Others are -EIO. */
static const struct {
	TPM_RESULT result;
	int error;
	const char *text;
} meanings[] = {
	{ TPM_AUTHFAIL, -EACCES, "a secret is wrong (--tpm-owner-auth-file, --tpm-srk-auth)" },
	{ TPM_AUTH2FAIL, -EACCES, "a secret is wrong" },
	{ TPM_DEACTIVATED, -EPERM, "it is deactivated; activate it in the firmware's setup" },
	{ TPM_DISABLED, -EPERM, "it is disabled; enable it in the firmware's setup" },
	{ TPM_OWNER_SET, -EPERM, "it has an owner already" },
	{ TPM_INSTALL_DISABLED, -EPERM, "it does not let itself be owned" },
	{ TPM_DISABLED_CMD, -EPERM, "the command is disabled" },
	{ TPM_WRONGPCRVAL, -ESTALE, "a PCR has changed since" },
	{ TPM_NOTSEALED_BLOB, -EKEYREJECTED, "sealed by another TPM, or before this was cleared" },
	{ TPM_DECRYPT_ERROR, -EKEYREJECTED, "encrypted for another TPM" },
	{ TPM_NO_ENDORSEMENT, -ENOKEY, "it has no endorsement key" },
	{ TPM_NOSRK, -ENOKEY, "it has no owner" },
	{ TPM_BADINDEX, -ENOKEY, "there is no such index" },
	{ TPM_NOSPACE, -ENOSPC, "its NV storage is full" },
	{ TPM_DEFEND_LOCK_RUNNING, -EACCES, "it locked itself after wrong secrets; wait" },
};

void
tpm12_begin(struct tpm12_call *call, uint32_t ordinal)
{
	call->ordinal = ordinal;
	call->handle_count = 0;
	call->session_count = 0;
	call->has_out_handle = false;
	call->in = writer_of(call->in_buf, sizeof(call->in_buf));
}

/* HMAC over the digest of parameters and the nonces of a session [Part 1, 13.2]. */
static void
session_hmac(const struct tpm12_session *session, const uint8_t *digest, uint8_t go_on,
	     uint8_t *hmac)
{
	crypt_hmac_sha1(hmac, session->secret, TPM_DIGEST_SIZE,
			CRYPT_PARTS({ digest, TPM_DIGEST_SIZE },
				    { session->nonce_even, TPM_DIGEST_SIZE },
				    { session->nonce_odd, TPM_DIGEST_SIZE }, { &go_on, 1 }));
}

static void
write_sessions(struct tpm12_call *call, struct writer *w)
{
	uint8_t ordinal[4];
	uint8_t digest[TPM_DIGEST_SIZE];
	uint8_t hmac[TPM_DIGEST_SIZE];
	struct writer o = writer_of(ordinal, sizeof(ordinal));

	writer_u32(&o, call->ordinal);
	crypt_sha1(digest,
		   CRYPT_PARTS({ ordinal, sizeof(ordinal) }, { call->in.buf, call->in.len }));
	for (unsigned i = 0; i < call->session_count; i++) {
		struct tpm12_session *session = call->sessions[i];

		crypt_random(session->nonce_odd, TPM_DIGEST_SIZE);
		session_hmac(session, digest, 0, hmac);
		writer_u32(w, session->handle);
		writer_bytes(w, session->nonce_odd, TPM_DIGEST_SIZE);
		writer_u8(w, 0); /* continueAuthSession: no */
		writer_bytes(w, hmac, TPM_DIGEST_SIZE);
	}
}

static int
compose(struct tpm12_call *call, uint8_t *command, size_t *len)
{
	struct writer w = writer_of(command, TPM_BUFFER_SIZE);

	writer_u16(&w, (uint16_t)(TPM_TAG_RQU_COMMAND + call->session_count));
	writer_u32(&w, 0);
	writer_u32(&w, call->ordinal);
	for (unsigned i = 0; i < call->handle_count; i++)
		writer_u32(&w, call->handles[i]);
	writer_bytes(&w, call->in.buf, call->in.len);
	write_sessions(call, &w);
	writer_patch_u32(&w, 2, (uint32_t)w.len);
	*len = w.len;
	return w.failed || call->in.failed
		   ? physical_tpm_fail(-EMSGSIZE, "a command is too long for the physical TPM")
		   : 0;
}

/* Checks the authorizations at the end of an answer and leaves its parameters in call->out. */
static bool
sessions_good(struct tpm12_call *call)
{
	size_t auth_len = call->session_count * (size_t)AUTH_OUT_SIZE;
	uint8_t head[8];
	uint8_t digest[TPM_DIGEST_SIZE];
	struct writer h = writer_of(head, sizeof(head));

	if (call->out.left < auth_len)
		return false;
	call->out.left -= auth_len;
	writer_u32(&h, call->result);
	writer_u32(&h, call->ordinal);
	crypt_sha1(digest, CRYPT_PARTS({ head, sizeof(head) }, { call->out.pos, call->out.left }));
	struct reader r = reader_of(call->out.pos + call->out.left, auth_len);
	for (unsigned i = 0; i < call->session_count; i++) {
		struct tpm12_session *session = call->sessions[i];
		uint8_t hmac[TPM_DIGEST_SIZE];

		reader_bytes(&r, session->nonce_even, TPM_DIGEST_SIZE);
		uint8_t go_on = reader_u8(&r);
		const uint8_t *theirs = reader_view(&r, TPM_DIGEST_SIZE);
		session_hmac(session, digest, go_on, hmac);
		if (!theirs || CRYPTO_memcmp(hmac, theirs, TPM_DIGEST_SIZE) != 0)
			return false;
	}
	return true;
}

static int
parse(struct tpm12_call *call, size_t len)
{
	struct reader r = reader_of(call->response, len);

	reader_u16(&r);
	reader_u32(&r);
	call->result = reader_u32(&r);
	if (call->result != TPM_SUCCESS)
		return r.failed ? -EPROTO : 0;
	if (call->has_out_handle)
		call->out_handle = reader_u32(&r);
	call->out = r;
	if (r.failed || !sessions_good(call))
		return physical_tpm_fail(-EPROTO,
					 "the physical TPM's answer to command 0x%x does not "
					 "authenticate",
					 call->ordinal);
	return 0;
}

static int
exchange(struct chip *chip, struct tpm12_call *call)
{
	uint8_t command[TPM_BUFFER_SIZE];
	size_t len;
	int error = compose(call, command, &len);

	if (error == 0)
		error = chip_channel_exchange(&chip->channel, command, len, call->response, &len);
	return error < 0 ? error : parse(call, len);
}

/* A command of the client's own, of which only the result counts. */
static int
simple(struct chip *chip, uint32_t ordinal, bool startup)
{
	struct tpm12_call call;

	tpm12_begin(&call, ordinal);
	if (startup)
		writer_u16(&call.in, TPM_ST_CLEAR);
	return exchange(chip, &call);
}

/* Whether it is worth sending the call again, after doing what its result asks for. */
static bool
remedy(struct chip *chip, TPM_RESULT result)
{
	struct timespec patience = { .tv_nsec = RETRY_MILLISECONDS * 1000000L };

	switch (result) {
	case TPM_INVALID_POSTINIT:
		return simple(chip, TPM_ORD_Startup, true) == 0;
	case TPM_NEEDS_SELFTEST:
		return simple(chip, TPM_ORD_ContinueSelfTest, false) == 0;
	case TPM_RETRY:
	case TPM_DOING_SELFTEST:
		nanosleep(&patience, NULL);
		return true;
	default:
		return false;
	}
}

static int
explain(const struct tpm12_call *call)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		if (meanings[i].result == call->result)
			return physical_tpm_fail(meanings[i].error,
						 "the physical TPM refuses command 0x%x with 0x%x: "
						 "%s",
						 call->ordinal, call->result, meanings[i].text);
	}
	return physical_tpm_fail(-EIO, "the physical TPM refuses command 0x%x with 0x%x",
				 call->ordinal, call->result);
}

void
tpm12_flush(struct chip *chip, uint32_t handle, uint32_t resource)
{
	struct tpm12_call call;

	tpm12_begin(&call, TPM_ORD_FlushSpecific);
	writer_u32(&call.in, handle);
	writer_u32(&call.in, resource);
	exchange(chip, &call);
}

void
tpm12_end(struct chip *chip, struct tpm12_session *session)
{
	if (session->open)
		tpm12_flush(chip, session->handle, TPM_RT_AUTH);
	OPENSSL_cleanse(session, sizeof(*session));
}

int
tpm12_send(struct chip *chip, struct tpm12_call *call)
{
	int error = exchange(chip, call);

	for (int i = 0; error == 0 && i < RETRIES_MAX && remedy(chip, call->result); i++)
		error = exchange(chip, call);
	/* A command that succeeded ends its sessions, and most that fail do too; to be sure that no
	 * slot leaks in a chip that has two or three, the latter are told to. */
	for (unsigned i = 0; i < call->session_count; i++) {
		call->sessions[i]->open = error < 0 || call->result != TPM_SUCCESS;
		tpm12_end(chip, call->sessions[i]);
	}
	OPENSSL_cleanse(call->in_buf, call->in.len);
	if (error < 0)
		return error;
	return call->result == TPM_SUCCESS ? 0 : explain(call);
}

int
tpm12_finish(const struct tpm12_call *call)
{
	return call->out.failed
		   ? physical_tpm_fail(-EPROTO, "the physical TPM's answer to command 0x%x is cut",
				       call->ordinal)
		   : 0;
}

int
tpm12_oiap(struct chip *chip, struct tpm12_session *session, const uint8_t *secret)
{
	struct tpm12_call call;

	memset(session, 0, sizeof(*session));
	tpm12_begin(&call, TPM_ORD_OIAP);
	int error = tpm12_send(chip, &call);
	if (error < 0)
		return error;
	session->handle = reader_u32(&call.out);
	reader_bytes(&call.out, session->nonce_even, TPM_DIGEST_SIZE);
	memcpy(session->secret, secret, TPM_DIGEST_SIZE);
	session->open = true;
	return tpm12_finish(&call);
}

int
tpm12_osap(struct chip *chip, struct tpm12_session *session, uint16_t type, uint32_t entity,
	   const uint8_t *secret)
{
	uint8_t odd[TPM_DIGEST_SIZE];
	uint8_t even[TPM_DIGEST_SIZE];
	struct tpm12_call call;

	memset(session, 0, sizeof(*session));
	crypt_random(odd, sizeof(odd));
	tpm12_begin(&call, TPM_ORD_OSAP);
	writer_u16(&call.in, type);
	writer_u32(&call.in, entity);
	writer_bytes(&call.in, odd, sizeof(odd));
	int error = tpm12_send(chip, &call);
	if (error < 0)
		return error;
	session->handle = reader_u32(&call.out);
	reader_bytes(&call.out, session->nonce_even, TPM_DIGEST_SIZE);
	reader_bytes(&call.out, even, sizeof(even));
	crypt_hmac_sha1(session->secret, secret, TPM_DIGEST_SIZE,
			CRYPT_PARTS({ even, sizeof(even) }, { odd, sizeof(odd) }));
	session->open = true;
	return tpm12_finish(&call);
}

void
tpm12_encrypt_auth(const struct tpm12_session *session, const uint8_t *secret, uint8_t *out)
{
	uint8_t pad[TPM_DIGEST_SIZE];

	crypt_sha1(pad, CRYPT_PARTS({ session->secret, TPM_DIGEST_SIZE },
				    { session->nonce_even, TPM_DIGEST_SIZE }));
	for (size_t i = 0; i < TPM_DIGEST_SIZE; i++)
		out[i] = secret[i] ^ pad[i];
	OPENSSL_cleanse(pad, sizeof(pad));
}
