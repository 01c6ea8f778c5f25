#include <stdlib.h>

#include "tpmcore/core.h"

/* The structures that a parameter of a command's row can be, spelled in simpler ones. */
static const char *
shape_of(char code)
{
	switch (code) {
	case 'K':
		return "422s";
	case 'P':
		return "422ss";
	case 'k':
		return "4241422ssss";
	case 'S':
		return "4ss";
	case 'N':
		return "24p1dp1d24bbb4";
	case 'D':
		return "21p1d244444";
	default:
		return NULL;
	}
}

/* Moves r over the parameters that params describes; an underrun shows in r. */
static TPM_RESULT
skip_params(struct reader *r, const char *params)
{
	TPM_RESULT rc = TPM_SUCCESS;

	for (; *params && !r->failed; params++) {
		if (*params >= '1' && *params <= '4')
			reader_view(r, (size_t)(*params - '0'));
		else if (*params == 'b')
			rc = reader_u8(r) > 1 ? TPM_BAD_PARAMETER : rc;
		else if (*params == 'd')
			reader_view(r, DIGEST_SIZE);
		else if (*params == 'L')
			reader_view(r, 16);
		else if (*params == 's')
			reader_sized(r);
		else if (*params == 'p')
			reader_view(r, reader_u16(r));
		else
			rc = skip_params(r, shape_of(*params));
	}
	return rc;
}

/* How many authorizations a row declares at most, and how many of these may be left out. */
static unsigned
auths_most(const struct ordinal *row)
{
	return row->auths[0] == AUTH_NONE ? 0 : row->auths[1] == AUTH_NONE ? 1 : 2;
}

static bool
auth_optional(uint8_t kind)
{
	return kind != AUTH_OWNER && kind != AUTH_KEY_ALWAYS && kind != AUTH_HANDLER &&
	       kind != AUTH_TRANSPORT;
}

static unsigned
auths_least(const struct ordinal *row)
{
	unsigned least = 0;

	for (unsigned i = 0; i < auths_most(row); i++)
		least += !auth_optional(row->auths[i]);
	return least;
}

/* Whether the tag, that is the number of authorizations, is one that the command can have. */
static bool
tag_fits(const struct command *c)
{
	return c->auth_count >= auths_least(c->row) && c->auth_count <= auths_most(c->row);
}

static void
read_auth(struct reader *r, struct auth *a)
{
	a->handle = reader_u32(r);
	reader_bytes(r, a->nonceOdd, DIGEST_SIZE);
	a->continueAuthSession = reader_u8(r) != 0;
	reader_bytes(r, a->hmac, DIGEST_SIZE);
}

static TPM_RESULT
parse(struct command *c, const uint8_t *cmd, size_t cmd_len)
{
	struct reader r = reader_of(cmd, cmd_len);
	uint16_t tag = reader_u16(&r);
	uint32_t size = reader_u32(&r);
	uint32_t ordinal = reader_u32(&r);

	if (r.failed || size != cmd_len || cmd_len > TPM_BUFFER_SIZE)
		return TPM_BAD_PARAM_SIZE;
	c->row = ordinal_find(ordinal);
	if (tag < TPM_TAG_RQU_COMMAND || tag > TPM_TAG_RQU_AUTH2_COMMAND)
		return TPM_BADTAG;
	if (!c->row)
		return TPM_BAD_ORDINAL;
	c->auth_count = (unsigned)tag - TPM_TAG_RQU_COMMAND;
	for (unsigned i = 0; i < 2 && c->row->handles[i] != HANDLE_NONE; i++)
		c->handle[i] = reader_u32(&r);

	/* Behind a wrong tag nothing but the parameters can be told; check_state refuses it. */
	size_t trailer = tag_fits(c) ? c->auth_count * AUTH_IN_SIZE : 0;
	if (r.failed || trailer > r.left)
		return TPM_BAD_PARAM_SIZE;
	c->in = reader_of(r.pos, r.left - trailer);
	c->params = SPAN(r.pos, c->in.left);
	if (strcmp(c->row->params, "*") != 0) {
		struct reader shape = c->in;

		TPM_RESULT rc = skip_params(&shape, c->row->params);
		if (shape.failed || (tag_fits(c) && shape.left > 0))
			return TPM_BAD_PARAM_SIZE;
		if (rc)
			return rc;
	}
	reader_view(&r, c->in.left);
	for (unsigned i = 0; trailer > 0 && i < c->auth_count; i++)
		read_auth(&r, &c->auth[i]);
	return TPM_SUCCESS;
}

static bool
needs_owner(const struct ordinal *row)
{
	for (unsigned i = 0; i < 2; i++)
		if (row->auths[i] == AUTH_OWNER || row->auths[i] == AUTH_SRK ||
		    row->handles[i] == HANDLE_KEY)
			return true;
	return row->attributes & NEEDS_OWNER;
}

/* Whether the TPM is in a state to run the command at all, and only then whether its tag fits. */
static TPM_RESULT
check_state(const struct command *c)
{
	const struct tpm *tpm = c->tpm;
	uint32_t attributes = c->row->attributes;

	if (tpm->stany.postInitialise && !(attributes & WHEN_POSTINIT))
		return TPM_INVALID_POSTINIT;
	if (tpm->stany.self_test_failed && !(attributes & WHEN_FAILED))
		return TPM_FAILEDSELFTEST;
	if (c->transport && attributes & NO_TRANSPORT)
		return TPM_NO_WRAP_TRANSPORT;
	if (PERMANENT_FLAG(tpm, DISABLE) && !(attributes & WHEN_DISABLED))
		return TPM_DISABLED;
	if (STCLEAR_FLAG(tpm, DEACTIVATED) && !(attributes & WHEN_DEACTIVATED))
		return TPM_DEACTIVATED;
	if (needs_owner(c->row) && !tpm->permanent.owner_installed)
		return TPM_NOSRK;
	if (attributes & NEEDS_NO_OWNER && tpm->permanent.owner_installed)
		return TPM_OWNER_SET;
	return tag_fits(c) ? TPM_SUCCESS : TPM_BADTAG;
}

static TPM_RESULT
resolve_handles(struct command *c)
{
	for (unsigned i = 0; i < 2; i++) {
		if (c->row->handles[i] != HANDLE_KEY)
			continue;
		c->key[i] = key_find(c->tpm, c->handle[i], &c->slot[i]);
		if (!c->key[i])
			return key_not_found(c->handle[i]);
		TPM_RESULT rc =
		    c->row->attributes & IGNORES_PCR ? TPM_SUCCESS : key_check_pcr(c, c->key[i]);
		if (rc)
			return rc;
	}
	return TPM_SUCCESS;
}

/* Left out: allowed only for a key that needs no AuthData for this use. */
static bool
needs_no_auth(const struct key *key, uint8_t kind)
{
	return key->authDataUsage == TPM_AUTH_NEVER ||
	       (kind == AUTH_KEY_PUBLIC && key->authDataUsage == TPM_AUTH_PRIV_USE_ONLY);
}

/* The rolling nonce of the session of an authorization; NULL once that is terminated. */
static uint8_t *
rolling_nonce(const struct auth *a)
{
	if (a->session && a->session->handle == a->handle)
		return a->session->nonceEven;
	if (a->transport && a->transport->handle == a->handle)
		return a->transport->nonceEven;
	return NULL;
}

/* As soon as they are known: whatever fails from there on ends those that are there. */
static void
find_sessions(struct command *c)
{
	bool transport = c->row->auths[0] == AUTH_TRANSPORT || c->row->auths[1] == AUTH_TRANSPORT;

	for (unsigned i = 0; i < c->auth_count; i++) {
		struct auth *a = &c->auth[i];

		if (transport && i == c->auth_count - 1)
			a->transport = transport_find(c->tpm, a->handle);
		else
			a->session = session_find(c->tpm, a->handle);
	}
}

static TPM_RESULT
check_sessions(struct command *c)
{
	for (unsigned i = 0; i < c->auth_count; i++) {
		struct auth *a = &c->auth[i];

		if (!rolling_nonce(a))
			return TPM_INVALID_AUTHHANDLE;
		if (i == 0 && c->row->attributes & INSERTS_AUTH &&
		    a->session->protocol == TPM_PID_OIAP)
			return TPM_BAD_MODE;
		memcpy(a->lastNonceEven, rolling_nonce(a), DIGEST_SIZE);
		/* Now, since after the handler there is no way to fail any more. */
		if (tpm_random(c->tpm, a->nonceEven, DIGEST_SIZE) != TPM_SUCCESS)
			return TPM_FAIL;
	}
	return TPM_SUCCESS;
}

static TPM_RESULT
authorize(struct command *c)
{
	unsigned missing = auths_most(c->row) - c->auth_count;
	unsigned next = 0;

	for (unsigned i = 0; i < auths_most(c->row); i++) {
		uint8_t kind = c->row->auths[i];
		struct key *key = kind == AUTH_SRK ? &c->tpm->permanent.srk : c->key[i];
		TPM_RESULT rc = TPM_SUCCESS;

		if (missing > 0 && auth_optional(kind)) {
			missing--;
			if (kind == AUTH_OWNER_OR_NONE || kind == AUTH_HANDLER_OR_NONE)
				continue;
			if (!needs_no_auth(key, kind))
				return TPM_AUTHFAIL;
			continue;
		}
		c->auth[next].kind = kind;
		if (kind == AUTH_OWNER_OR_NONE && !c->tpm->permanent.owner_installed)
			rc = TPM_NOSRK;
		else if (kind == AUTH_OWNER || kind == AUTH_OWNER_OR_NONE)
			rc = auth_verify(c, next, entity_owner(c->tpm));
		else if (kind == AUTH_KEY || kind == AUTH_KEY_ALWAYS || kind == AUTH_KEY_PUBLIC ||
			 kind == AUTH_SRK)
			rc = auth_verify_key(c, next, key);
		if (rc)
			return rc;
		next++;
	}
	return TPM_SUCCESS;
}

static void
terminate_session(struct command *c, struct auth *a)
{
	if (!rolling_nonce(a))
		return;
	if (a->transport)
		transport_free(c->tpm, a->transport);
	else
		session_terminate(a->session);
	c->tpm->changed |= TPM_CHANGED_VOLATILE;
}

void
command_out_digest(const struct command *c, struct span params, uint8_t *digest)
{
	uint8_t head[8];
	struct writer w = writer_of(head, sizeof(head));

	writer_u32(&w, TPM_SUCCESS);
	writer_u32(&w, c->row->ordinal);
	crypto_sha1(digest, SPANS(SPAN(head, sizeof(head)), params));
}

/* The digest of the response that c->out is, for its authorizations and its audit. */
static void
complete_out_digest(struct command *c)
{
	size_t handles = 4u * c->row->out_handles;

	if (c->has_out_digest || (c->auth_count == 0 && !c->audited))
		return;
	if (c->row->attributes & NO_DIGEST_DATA)
		handles = c->out.len;
	command_out_digest(c, SPAN(c->out.buf + handles, c->out.len - handles), c->out_digest);
}

/* Appends the response's authorizations to out. */
static void
authorize_response(struct command *c, struct writer *out)
{
	for (unsigned i = 0; i < c->auth_count; i++) {
		struct auth *a = &c->auth[i];
		uint8_t hmac[DIGEST_SIZE], *rolling = rolling_nonce(a);
		uint8_t cont = a->continueAuthSession && rolling;

		crypto_hmac(hmac, a->secret, DIGEST_SIZE,
			    SPANS(SPAN(c->out_digest, DIGEST_SIZE), SPAN(a->nonceEven, DIGEST_SIZE),
				  SPAN(a->nonceOdd, DIGEST_SIZE), SPAN(&cont, 1)));
		writer_bytes(out, a->nonceEven, DIGEST_SIZE);
		writer_u8(out, cont);
		writer_bytes(out, hmac, DIGEST_SIZE);
		if (cont)
			memcpy(rolling, a->nonceEven, DIGEST_SIZE);
		else
			terminate_session(c, a);
	}
}

/* A command that fails ends its sessions, but for a result that asks to try again. */
static void
terminate_sessions(struct command *c, TPM_RESULT rc)
{
	for (unsigned i = 0; i < c->auth_count && rc < TPM_RETRY; i++)
		terminate_session(c, &c->auth[i]);
}

/* A command that can be cancelled keeps the TPM as it was before. */
static TPM_RESULT
keep_before(struct command *c)
{
	c->before = malloc(sizeof(*c->before));
	if (!c->before)
		return TPM_RESOURCES;
	*c->before = *c->tpm;
	return TPM_SUCCESS;
}

/*
 * Takes back whatever a cancelled command has done. What the TPM has outside of its struct, NV
 * areas and the saved state, no command changes before its last private-key operation is over. A
 * command in a transport session is cancelled together with the one that carries it.
 */
static void
drop_before(struct command *c)
{
	if (!c->before)
		return;
	if (c->tpm->cancelled) {
		*c->tpm = *c->before;
		c->tpm->cancelled = c->transport != NULL;
	}
	crypto_wipe(c->before, sizeof(*c->before));
	free(c->before);
}

/*
 * Ends what goes on only while no other command comes, not even one that is no good: the SHA-1
 * thread [Part 3, 13.1] and an exclusive transport session [24].
 */
static void
interrupt(struct command *c)
{
	struct stany *s = &c->tpm->stany;

	if (s->hash != HASH_NONE && !(c->row && c->row->attributes & KEEPS_SHA1)) {
		s->hash = HASH_NONE;
		c->tpm->changed |= TPM_CHANGED_VOLATILE;
	}
	transport_command(c);
}

/* The audit digest is among what TPM_SaveState kept: its event of a PURE command is to stay. */
static bool
spoils_saved(const struct command *c)
{
	uint32_t attributes = c->row->attributes;

	return !(attributes & KEEPS_SAVED) && (c->audited || !(attributes & PURE));
}

/* A command that the TPM is in a state for. */
static TPM_RESULT
perform(struct command *c)
{
	TPM_RESULT rc = resolve_handles(c);

	if (rc == TPM_SUCCESS)
		rc = check_sessions(c);
	if (rc == TPM_SUCCESS)
		rc = authorize(c);
	if (rc == TPM_SUCCESS)
		rc = c->before && tpm_cancelled(c->tpm) ? TPM_FAIL : c->row->handler(c);
	if (rc == TPM_SUCCESS && c->out.failed)
		rc = TPM_SIZE;
	if (rc == TPM_SUCCESS && spoils_saved(c))
		saved_state_drop(c->tpm);
	return rc;
}

static TPM_RESULT
execute(struct command *c, const uint8_t *cmd, size_t cmd_len)
{
	TPM_RESULT rc = parse(c, cmd, cmd_len);

	if (rc == TPM_SUCCESS) {
		find_sessions(c);
		rc = check_state(c);
	}
	if (rc == TPM_SUCCESS && c->row->duration != DURATION_SHORT)
		rc = keep_before(c);
	interrupt(c);
	if (rc == TPM_SUCCESS) {
		/* The response authorizations must fit behind whatever the handler writes. */
		c->out.size -= c->auth_count * AUTH_OUT_SIZE;
		c->audited = audit_status(c->tpm, c->row->ordinal);
		crypto_sha1(c->in_digest,
			    SPANS(SPAN(cmd + 6, 4),
				  c->row->attributes & NO_DIGEST_DATA ? SPAN(NULL, 0) : c->params));
		if (c->auth_count > 0 || !(c->row->attributes & PURE))
			c->tpm->changed |= TPM_CHANGED_VOLATILE;
		rc = perform(c);
	}
	if (rc)
		terminate_sessions(c, rc);
	return rc;
}

size_t
command_run(struct tpm *tpm, unsigned locality, struct transport *transport, const uint8_t *cmd,
	    size_t cmd_len, uint8_t *response, size_t room)
{
	struct command c = { .tpm = tpm, .locality = locality, .transport = transport };
	struct writer out = writer_of(response, room);

	writer_reserve(&out, TPM_HEADER_SIZE);
	c.out = writer_of(response + out.len, room - out.len);
	TPM_RESULT rc = execute(&c, cmd, cmd_len);
	if (tpm->cancelled)
		rc = TPM_FAIL;
	drop_before(&c);
	if (rc == TPM_SUCCESS) {
		complete_out_digest(&c);
		if (c.audited)
			audit_command(&c);
	}
	if (rc) {
		crypto_wipe(response, TPM_HEADER_SIZE + c.out.len);
		crypto_wipe(&c, sizeof(c));
		return tpm_error_response(rc, response);
	}
	out.len += c.out.len;
	authorize_response(&c, &out);

	struct writer header = writer_of(response, TPM_HEADER_SIZE);
	writer_u16(&header, (uint16_t)(TPM_TAG_RSP_COMMAND + c.auth_count));
	writer_u32(&header, (uint32_t)out.len);
	writer_u32(&header, TPM_SUCCESS);
	crypto_wipe(&c, sizeof(c));
	return out.len;
}

unsigned
tpm_execute(struct tpm *tpm, unsigned locality, const uint8_t *cmd, size_t cmd_len,
	    uint8_t *response, size_t *response_len)
{
	tpm->changed = 0;
	tpm->cancelled = false;
	*response_len = command_run(tpm, locality, NULL, cmd, cmd_len, response, TPM_BUFFER_SIZE);
	return tpm->changed;
}

bool
tpm_takes_long(const uint8_t *cmd, size_t cmd_len)
{
	struct reader r = reader_of(cmd, cmd_len);

	reader_u16(&r);
	reader_u32(&r);
	const struct ordinal *row = ordinal_find(reader_u32(&r));
	return row && row->duration == DURATION_LONG;
}

size_t
tpm_error_response(TPM_RESULT result, uint8_t *response)
{
	struct writer w = writer_of(response, TPM_HEADER_SIZE);

	writer_u16(&w, TPM_TAG_RSP_COMMAND);
	writer_u32(&w, TPM_HEADER_SIZE);
	writer_u32(&w, result);
	return w.len;
}
