#include "tpmcore/core.h"

struct entity
entity_number(uint16_t type, uint32_t number, const uint8_t *secret)
{
	struct entity e = { .type = type, .secret = secret };
	struct writer w = writer_of(e.id, sizeof(e.id));

	writer_u32(&w, number);
	return e;
}

struct entity
entity_owner(struct tpm *tpm)
{
	return entity_number(TPM_ET_OWNER, 0, tpm->permanent.ownerAuth);
}

struct entity
entity_key(const struct key *key)
{
	struct entity e = { .type = TPM_ET_KEYHANDLE, .secret = key->usageAuth };

	crypto_sha1(e.id, SPANS(SPAN(key->rsa.n, key->rsa.n_len)));
	return e;
}

struct entity
entity_data(const uint8_t *secret)
{
	return entity_number(TPM_ET_DATA, 0, secret);
}

struct session *
session_find(struct tpm *tpm, uint32_t handle)
{
	for (struct session *s = tpm->stany.sessions; s < tpm->stany.sessions + MAX_SESSIONS; s++)
		if (s->handle != 0 && s->handle == handle)
			return s;
	return NULL;
}

static bool
session_handle_in_use(struct tpm *tpm, uint32_t handle)
{
	return session_find(tpm, handle) != NULL;
}

struct session *
session_new(struct tpm *tpm, uint16_t protocol)
{
	for (struct session *s = tpm->stany.sessions; s < tpm->stany.sessions + MAX_SESSIONS; s++) {
		if (s->handle != 0)
			continue;
		memset(s, 0, sizeof(*s));
		s->protocol = protocol;
		if (tpm_random(tpm, s->nonceEven, DIGEST_SIZE) != TPM_SUCCESS)
			return NULL;
		s->handle = tpm_new_handle(tpm, TPM_RT_AUTH, session_handle_in_use);
		return s;
	}
	return NULL;
}

void
session_terminate(struct session *s)
{
	crypto_wipe(s, sizeof(*s));
}

static bool
session_speaks_for(const struct session *s, const struct entity *e)
{
	return s->protocol != TPM_PID_OIAP && s->entityType == e->type &&
	       memcmp(s->entityId, e->id, DIGEST_SIZE) == 0;
}

void
session_terminate_entity(struct tpm *tpm, struct entity entity)
{
	for (struct session *s = tpm->stany.sessions; s < tpm->stany.sessions + MAX_SESSIONS; s++)
		if (s->handle != 0 && session_speaks_for(s, &entity))
			session_terminate(s);
}

void
session_terminate_all(struct tpm *tpm)
{
	crypto_wipe(tpm->stany.sessions, sizeof(tpm->stany.sessions));
}

/* What a failed authorization is answered, and counted as. */
static TPM_RESULT
auth_failed(struct command *c, unsigned i)
{
	dictionary_failure(c->tpm);
	return i == 0 ? TPM_AUTHFAIL : TPM_AUTH2FAIL;
}

bool
auth_hmac_fits(const struct command *c, unsigned i)
{
	const struct auth *a = &c->auth[i];
	uint8_t cont = a->continueAuthSession, hmac[DIGEST_SIZE];

	crypto_hmac(hmac, a->secret, DIGEST_SIZE,
		    SPANS(SPAN(c->in_digest, DIGEST_SIZE), SPAN(a->lastNonceEven, DIGEST_SIZE),
			  SPAN(a->nonceOdd, DIGEST_SIZE), SPAN(&cont, 1)));
	return crypto_equal(hmac, a->hmac, DIGEST_SIZE);
}

TPM_RESULT
auth_verify(struct command *c, unsigned i, struct entity entity)
{
	struct auth *a = &c->auth[i];
	const struct session *s = a->session;
	TPM_RESULT rc = dictionary_check(c);

	if (rc)
		return rc;
	if (s->protocol == TPM_PID_OIAP) {
		rc = delegation_owner_secret(c, &entity);
		if (rc)
			return rc;
		memcpy(a->secret, entity.secret, DIGEST_SIZE);
	} else {
		if (entity.type == TPM_ET_DATA)
			return TPM_BAD_MODE;
		if (!session_speaks_for(s, &entity))
			return i == 0 ? TPM_AUTHFAIL : TPM_AUTH2FAIL;
		rc =
		    s->protocol == TPM_PID_DSAP ? delegation_check(c, &s->delegation) : TPM_SUCCESS;
		if (rc)
			return rc;
		memcpy(a->secret, s->sharedSecret, DIGEST_SIZE);
	}
	if (!auth_hmac_fits(c, i))
		return auth_failed(c, i);
	a->verified = true;
	return TPM_SUCCESS;
}

TPM_RESULT
auth_verify_key(struct command *c, unsigned i, const struct key *key)
{
	TPM_RESULT rc = auth_verify(c, i, entity_key(key));

	if (rc == TPM_SUCCESS && c->auth[i].session->protocol == TPM_PID_DSAP &&
	    !cmk_may_be_delegated(c->tpm, key))
		return TPM_INVALID_KEYUSAGE;
	return rc;
}

TPM_RESULT
auth_decrypt(struct command *c, unsigned i, bool nonce_odd, const uint8_t *encrypted, uint8_t *auth)
{
	struct auth *a = &c->auth[i];
	const uint8_t *nonce = nonce_odd ? a->nonceOdd : a->lastNonceEven;
	uint8_t pad[DIGEST_SIZE];

	if (i >= c->auth_count)
		return TPM_AUTHFAIL;
	if (a->session->protocol == TPM_PID_OIAP)
		return TPM_BAD_MODE;
	/* AuthData is inserted once per session [Part 1, 13.5]. */
	a->continueAuthSession = false;
	if (a->session->encryption == TPM_ET_AES)
		return crypto_aes_ctr(auth, encrypted, DIGEST_SIZE, a->secret, nonce) ? TPM_FAIL
										      : TPM_SUCCESS;
	crypto_sha1(pad, SPANS(SPAN(a->secret, DIGEST_SIZE), SPAN(nonce, DIGEST_SIZE)));
	for (unsigned k = 0; k < DIGEST_SIZE; k++)
		auth[k] = encrypted[k] ^ pad[k];
	return TPM_SUCCESS;
}
