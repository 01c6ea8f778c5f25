/* Transport sessions [TPM Main Part 3, 24]. */
#include "tpmcore/transport.h"

#include "tpmcore/commands.h"

/* The slot with this handle, or a free one for 0. */
static struct transport *
find_slot(struct tpm *tpm, uint32_t handle)
{
	for (struct transport *t = tpm->stany.transports;
	     t < tpm->stany.transports + MAX_TRANSPORTS; t++)
		if (t->handle == handle)
			return t;
	return NULL;
}

struct transport *
transport_find(struct tpm *tpm, uint32_t handle)
{
	return handle ? find_slot(tpm, handle) : NULL;
}

void
transport_free(struct tpm *tpm, struct transport *t)
{
	if (tpm->stany.exclusive == t->handle)
		tpm->stany.exclusive = 0;
	crypto_wipe(t, sizeof(*t));
}

void
transport_end_exclusive(struct tpm *tpm)
{
	if (tpm->stany.exclusive == 0)
		return;
	transport_free(tpm, transport_find(tpm, tpm->stany.exclusive));
	tpm->changed |= TPM_CHANGED_VOLATILE;
}

void
transport_command(struct command *c)
{
	uint32_t within = 0;

	if (c->transport)
		within = c->transport->handle;
	else if (c->auth_count > 0 &&
		 (c->row->auths[0] == AUTH_TRANSPORT || c->row->auths[1] == AUTH_TRANSPORT))
		within = c->auth[c->auth_count - 1].handle;
	if (within != c->tpm->stany.exclusive)
		transport_end_exclusive(c->tpm);
}

static bool
transport_in_use(struct tpm *tpm, uint32_t handle)
{
	return transport_find(tpm, handle) != NULL;
}

/* A free slot with handle and nonce; NULL: none, or no random bytes. */
static struct transport *
transport_new(struct tpm *tpm)
{
	struct transport *t = find_slot(tpm, 0);

	if (!t || tpm_random(tpm, t->nonceEven, DIGEST_SIZE) != TPM_SUCCESS)
		return NULL;
	t->handle = tpm_new_handle(tpm, TPM_RT_TRANS, transport_in_use);
	return t;
}

static void
log_extend(struct transport *t, const struct writer *entry)
{
	if (t->attributes & TPM_TRANSPORT_LOG)
		crypto_sha1(t->digest,
			    SPANS(SPAN(t->digest, DIGEST_SIZE), SPAN(entry->buf, entry->len)));
}

void
transport_log_in(struct transport *t, const uint8_t *parameters, const uint8_t *pubKeyHash)
{
	uint8_t buf[64];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_u16(&w, TPM_TAG_TRANSPORT_LOG_IN);
	writer_bytes(&w, parameters, DIGEST_SIZE);
	writer_bytes(&w, pubKeyHash, DIGEST_SIZE);
	log_extend(t, &w);
}

void
transport_log_out(struct transport *t, const struct command *c, uint64_t ticks,
		  const uint8_t *parameters)
{
	uint8_t buf[96];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_u16(&w, TPM_TAG_TRANSPORT_LOG_OUT);
	ticks_write(c->tpm, ticks, &w);
	writer_bytes(&w, parameters, DIGEST_SIZE);
	writer_u32(&w, c->locality);
	log_extend(t, &w);
}

TPM_RESULT
transport_verify(struct command *c, unsigned i)
{
	memcpy(c->auth[i].secret, c->auth[i].transport->authData, DIGEST_SIZE);
	return auth_hmac_fits(c, i) ? TPM_SUCCESS : TPM_AUTH2FAIL;
}

/* What may encrypt a session. */
static const struct cipher {
	uint32_t algId;
	uint16_t encScheme;
} ciphers[] = {
	{ TPM_ALG_MGF1, TPM_ES_NONE },
	{ TPM_ALG_AES, TPM_ES_SYM_CNT },
	{ TPM_ALG_AES, TPM_ES_SYM_OFB },
};

static TPM_RESULT
check_cipher(const struct transport *t)
{
	TPM_RESULT rc = TPM_BAD_KEY_PROPERTY;

	if (!(t->attributes & TPM_TRANSPORT_ENCRYPT))
		return TPM_SUCCESS;
	for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++) {
		if (ciphers[i].algId != t->algId)
			continue;
		if (ciphers[i].encScheme == t->encScheme)
			return TPM_SUCCESS;
		rc = TPM_INAPPROPRIATE_ENC;
	}
	return rc;
}

/* Action 1: the secret comes in the clear. */
static TPM_RESULT
plain_secret(const struct command *c, struct reader secret, struct transport *t)
{
	if (c->auth_count > 0)
		return TPM_BADTAG;
	if (t->attributes & TPM_TRANSPORT_ENCRYPT)
		return TPM_BAD_SCHEME;
	if (secret.left != DIGEST_SIZE)
		return TPM_BAD_PARAM_SIZE;
	reader_bytes(&secret, t->authData, DIGEST_SIZE);
	return TPM_SUCCESS;
}

/* Action 2: a TPM_TRANSPORT_AUTH [Part 2, 13.5] that is encrypted with a key. */
static TPM_RESULT
encrypted_secret(struct command *c, struct reader secret, struct transport *t)
{
	struct key *key = key_find(c->tpm, c->handle[0], NULL);
	uint8_t buf[CRYPTO_RSA_MAX];
	size_t len;
	TPM_RESULT rc;

	if (!key)
		return TPM_INVALID_KEYHANDLE;
	if (key->keyUsage != TPM_KEY_STORAGE && key->keyUsage != TPM_KEY_LEGACY)
		return TPM_INVALID_KEYUSAGE;
	if (key->authDataUsage != TPM_AUTH_NEVER && c->auth_count == 0)
		return TPM_AUTHFAIL;
	rc = c->auth_count > 0 ? auth_verify_key(c, 0, key) : TPM_SUCCESS;
	if (rc)
		return rc;
	if ((rc = key_check_pcr(c, key)) != TPM_SUCCESS)
		return rc;
	if ((rc = key_decrypt(c->tpm, key, buf, &len, secret)) != TPM_SUCCESS)
		return rc;
	struct reader r = reader_of(buf, len);
	uint16_t tag = reader_u16(&r);
	reader_bytes(&r, t->authData, DIGEST_SIZE);
	crypto_wipe(buf, sizeof(buf));
	if (tag != TPM_TAG_TRANSPORT_AUTH)
		return TPM_INVALID_STRUCTURE;
	return r.failed ? TPM_BAD_PARAM_SIZE : TPM_SUCCESS;
}

/* [Part 3, 24.1] */
TPM_RESULT
tpm_EstablishTransport(struct command *c)
{
	static const uint8_t no_key[DIGEST_SIZE];
	struct tpm *tpm = c->tpm;
	struct transport wish = { 0 };
	uint64_t ticks = ticks_now(tpm);
	TPM_RESULT rc;

	if (reader_u16(&c->in) != TPM_TAG_TRANSPORT_PUBLIC)
		return TPM_INVALID_STRUCTURE;
	wish.attributes = reader_u32(&c->in);
	wish.algId = reader_u32(&c->in);
	wish.encScheme = reader_u16(&c->in);
	struct reader secret = reader_sized(&c->in);
	rc = c->handle[0] == TPM_KH_TRANSPORT ? plain_secret(c, secret, &wish)
					      : encrypted_secret(c, secret, &wish);
	if (rc == TPM_SUCCESS)
		rc = check_cipher(&wish);
	if (rc)
		return rc;
	struct transport *t = transport_new(tpm);
	if (!t)
		return TPM_RESOURCES;
	wish.handle = t->handle;
	memcpy(wish.nonceEven, t->nonceEven, DIGEST_SIZE);
	*t = wish;
	crypto_wipe(&wish, sizeof(wish));
	if (t->attributes & TPM_TRANSPORT_EXCLUSIVE)
		tpm->stany.exclusive = t->handle;

	writer_u32(&c->out, t->handle);
	size_t params_at = c->out.len;
	writer_u32(&c->out, c->locality);
	ticks_write(tpm, ticks, &c->out);
	writer_bytes(&c->out, t->nonceEven, DIGEST_SIZE);
	command_out_digest(c, SPAN(c->out.buf + params_at, c->out.len - params_at), c->out_digest);
	transport_log_in(t, c->in_digest, no_key);
	transport_log_out(t, c, ticks, c->out_digest);
	return TPM_SUCCESS;
}

/* [Part 3, 24.3] */
TPM_RESULT
tpm_ReleaseTransportSigned(struct command *c)
{
	unsigned last = c->auth_count - 1;
	struct transport *t = c->auth[last].transport;
	const struct key *key = c->key[0];
	const uint8_t *antiReplay = reader_view(&c->in, DIGEST_SIZE);
	uint64_t ticks = ticks_now(c->tpm);
	uint8_t digest[DIGEST_SIZE];

	if (!key_signs_digests(key))
		return TPM_INAPPROPRIATE_SIG;
	if (key->keyUsage != TPM_KEY_SIGNING)
		return TPM_INVALID_KEYUSAGE;
	TPM_RESULT rc = transport_verify(c, last);
	if (rc)
		return rc;
	if (!(t->attributes & TPM_TRANSPORT_LOG))
		return TPM_BAD_MODE;
	transport_log_out(t, c, ticks, c->in_digest);
	sign_info_digest("TRAN", antiReplay, SPAN(t->digest, DIGEST_SIZE), digest);
	writer_u32(&c->out, c->locality);
	ticks_write(c->tpm, ticks, &c->out);
	c->auth[last].continueAuthSession = false;
	return key_sign_sha1(c, key, digest);
}
