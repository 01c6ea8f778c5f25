/* TPM_ExecuteTransport [TPM Main Part 3, 24.2]: commands that are wrapped into a session. */
#include "tpmcore/commands.h"
#include "tpmcore/transport.h"

enum { FIXED_SIZE = 8 + 4 + 4 }; /* currentTicks, locality, wrappedRspSize */

/* A wrapped command or response; data is DATAW or DATAR, the part that is encrypted. */
struct wrapped {
	uint8_t bytes[TPM_BUFFER_SIZE];
	size_t len;
	uint8_t *data;
	size_t data_len;
};

/* Finds data behind a header and handles, and before auths authorizations of auth_size each. */
static bool
find_data(struct wrapped *w, unsigned handles, unsigned auths, size_t auth_size)
{
	size_t before = TPM_HEADER_SIZE + 4u * handles, after = auths * auth_size;

	if (before + after > w->len)
		return false;
	w->data = w->bytes + before;
	w->data_len = w->len - before - after;
	return true;
}

/* Takes the command in as far as it is in the clear. */
static TPM_RESULT
wrapped_command(struct wrapped *w, struct reader cmd, const struct ordinal **row)
{
	if (cmd.left > sizeof(w->bytes))
		return TPM_BAD_PARAM_SIZE;
	w->len = cmd.left;
	reader_bytes(&cmd, w->bytes, w->len);
	struct reader r = reader_of(w->bytes, w->len);
	unsigned auths = reader_u16(&r) - (unsigned)TPM_TAG_RQU_COMMAND, handles = 0;
	uint32_t size = reader_u32(&r), ordinal = reader_u32(&r);

	if (r.failed || size != w->len)
		return TPM_BAD_PARAM_SIZE;
	*row = ordinal_find(ordinal);
	if (!*row)
		return TPM_BAD_ORDINAL;
	while (handles < 2 && (*row)->handles[handles] != HANDLE_NONE)
		handles++;
	/* A wrong tag is left to the command itself to find out. */
	if (!find_data(w, handles, auths <= 2 ? auths : 0, AUTH_IN_SIZE))
		return TPM_BAD_PARAM_SIZE;
	size_t clear = (*row)->clear < w->data_len ? (*row)->clear : w->data_len;
	w->data += clear;
	w->data_len -= clear;
	return TPM_SUCCESS;
}

static void
wrapped_response(struct wrapped *w, const struct ordinal *row)
{
	unsigned auths = (unsigned)(w->bytes[0] << 8 | w->bytes[1]) - TPM_TAG_RSP_COMMAND;

	/* An error has no handles, and no parameters either. */
	(void)find_data(w, w->len > TPM_HEADER_SIZE ? row->out_handles : 0, auths, AUTH_OUT_SIZE);
	if (row->attributes & NO_DIGEST_DATA)
		w->data_len = 0;
}

/* De- or encrypts data; direction is "in" or "out" [Part 1, 18.2]. */
static TPM_RESULT
crypt_data(struct wrapped *w, const struct transport *t, const struct auth *a,
	   const char *direction)
{
	bool in = direction[0] == 'i';
	uint8_t seed[3 * DIGEST_SIZE + 4], pad[TPM_BUFFER_SIZE];
	struct writer s = writer_of(seed, sizeof(seed));

	if (!(t->attributes & TPM_TRANSPORT_ENCRYPT))
		return TPM_SUCCESS;
	writer_bytes(&s, in ? a->lastNonceEven : a->nonceEven, DIGEST_SIZE);
	writer_bytes(&s, a->nonceOdd, DIGEST_SIZE);
	writer_bytes(&s, direction, strlen(direction));
	if (t->algId == TPM_ALG_MGF1) {
		writer_bytes(&s, t->authData, DIGEST_SIZE);
		crypto_mgf1(pad, w->data_len, seed, s.len);
		for (size_t i = 0; i < w->data_len; i++)
			w->data[i] ^= pad[i];
		return TPM_SUCCESS;
	}
	uint8_t *iv = pad;
	crypto_mgf1(iv, CRYPTO_AES_BLOCK, seed, s.len);
	int err = t->encScheme == TPM_ES_SYM_CNT
		      ? crypto_aes_ctr(w->data, w->data, w->data_len, t->authData, iv)
		      : crypto_aes_ofb(w->data, w->data, w->data_len, t->authData, iv);
	return err ? TPM_FAIL : TPM_SUCCESS;
}

/* pubKeyHash of the log: SHA-1 of the SHA-1 of each key's TPM_STORE_PUBKEY; zeros without keys. */
static TPM_RESULT
hash_keys(struct tpm *tpm, const struct wrapped *w, const struct ordinal *row, uint8_t *hash)
{
	uint8_t digests[2 * DIGEST_SIZE];
	struct reader handles = reader_of(w->bytes + TPM_HEADER_SIZE, w->len - TPM_HEADER_SIZE);
	size_t count = 0;

	for (; count < 2 && row->handles[count] == HANDLE_KEY; count++) {
		const struct key *key = key_find(tpm, reader_u32(&handles), NULL);

		if (!key)
			return TPM_INVALID_KEYHANDLE;
		key_store_pubkey_digest(key, digests + count * DIGEST_SIZE);
	}
	memset(hash, 0, DIGEST_SIZE);
	if (count > 0)
		crypto_sha1(hash, SPANS(SPAN(digests, count * DIGEST_SIZE)));
	return TPM_SUCCESS;
}

static bool
is_transport_command(const struct ordinal *row)
{
	return row->ordinal == TPM_ORD_EstablishTransport ||
	       row->ordinal == TPM_ORD_ExecuteTransport ||
	       row->ordinal == TPM_ORD_ReleaseTransportSigned;
}

/* Decrypts the command and checks that who sent it knows the session's secret; digest: H1. */
static TPM_RESULT
open_command(struct command *c, struct wrapped *cmd, const struct ordinal **row, uint8_t *digest)
{
	struct transport *t = c->auth[0].transport;
	const uint8_t *ordinal = (const uint8_t *)c->params.data - 4;
	TPM_RESULT rc = wrapped_command(cmd, reader_sized(&c->in), row);

	if (rc == TPM_SUCCESS)
		rc = crypt_data(cmd, t, &c->auth[0], "in");
	if (rc)
		return rc;
	crypto_sha1(digest, SPANS(SPAN(cmd->bytes + 6, 4), SPAN(cmd->data, cmd->data_len)));
	/* inParamDigest: ordinal, wrappedCmdSize, H1. */
	crypto_sha1(c->in_digest, SPANS(SPAN(ordinal, 8), SPAN(digest, DIGEST_SIZE)));
	if ((rc = transport_verify(c, 0)) != TPM_SUCCESS)
		return rc;
	if (is_transport_command(*row))
		return TPM_NO_WRAP_TRANSPORT;
	if (t->attributes & TPM_TRANSPORT_EXCLUSIVE && c->tpm->stany.exclusive != t->handle)
		return TPM_TRANSPORT_NOTEXCLUSIVE;
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_ExecuteTransport(struct command *c)
{
	struct auth *a = &c->auth[0];
	struct transport *t = a->transport, session = *t;
	const struct ordinal *row;
	struct wrapped cmd, rsp;
	uint8_t digest[DIGEST_SIZE], pubKeyHash[DIGEST_SIZE] = { 0 };
	uint8_t summary[FIXED_SIZE + DIGEST_SIZE];
	struct writer w = writer_of(summary, sizeof(summary));
	TPM_RESULT rc = open_command(c, &cmd, &row, digest);

	if (rc == TPM_SUCCESS && t->attributes & TPM_TRANSPORT_LOG)
		rc = hash_keys(c->tpm, &cmd, row, pubKeyHash);
	if (rc)
		goto out;
	transport_log_in(t, digest, pubKeyHash);
	rsp.len = command_run(c->tpm, c->locality, t, cmd.bytes, cmd.len, rsp.bytes,
			      c->out.size - FIXED_SIZE);
	wrapped_response(&rsp, row);
	/* H2, of the result, the ordinal and the plain data. */
	crypto_sha1(digest, SPANS(SPAN(rsp.bytes + 6, 4), SPAN(cmd.bytes + 6, 4),
				  SPAN(rsp.data, rsp.data_len)));
	uint64_t ticks = ticks_now(c->tpm);
	/* The command may have ended the session that carries it. */
	if (t->handle == a->handle)
		transport_log_out(t, c, ticks, digest);
	rc = crypt_data(&rsp, &session, a, "out");

	/* In the place of wrappedRsp, outParamDigest covers H2. */
	writer_u64(&w, ticks);
	writer_u32(&w, c->locality);
	writer_u32(&w, (uint32_t)rsp.len);
	writer_bytes(&c->out, summary, w.len);
	writer_bytes(&c->out, rsp.bytes, rsp.len);
	writer_bytes(&w, digest, DIGEST_SIZE);
	command_out_digest(c, SPAN(summary, w.len), c->out_digest);
	c->has_out_digest = true;
	crypto_wipe(&rsp, sizeof(rsp));
out:
	crypto_wipe(&session, sizeof(session));
	crypto_wipe(&cmd, sizeof(cmd));
	return rc;
}
