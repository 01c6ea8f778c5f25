#include "tests/unit/support.h"

#include <stdlib.h>

#include "tests/unit/snapshot.h"

struct bench bench;

#define AUTH_OF(letter)                                                                            \
	{                                                                                          \
		letter, letter, letter, letter, letter, letter, letter, letter, letter, letter,    \
		    letter, letter, letter, letter, letter, letter, letter, letter, letter, letter \
	}
const uint8_t owner_auth[] = AUTH_OF('o'), srk_auth[] = AUTH_OF('s'), key_auth[] = AUTH_OF('k');
const uint8_t migration_auth[] = AUTH_OF('m'), data_auth[] = AUTH_OF('d');
const uint8_t nv_auth[] = AUTH_OF('n'), wrong_auth[] = AUTH_OF('w');

/* The permanent state of the TPMs that tests start from. */
static struct state {
	uint8_t *data;
	size_t len;
} blank, with_ek, with_owner;

/* Random bytes without chance: the same in every run. */
static void
bench_random(uint8_t *buf, size_t len)
{
	static uint64_t counter;

	for (size_t done = 0; done < len; counter++) {
		uint8_t digest[TPM_DIGEST_SIZE];
		size_t step = len - done < sizeof(digest) ? len - done : sizeof(digest);

		reference_sha1(digest, &counter, sizeof(counter));
		memcpy(buf + done, digest, step);
		done += step;
	}
}

static int
platform_random(void *ctx, void *buf, size_t len)
{
	(void)ctx;
	bench_random(buf, len);
	return bench.random_fails ? -1 : 0;
}

static uint64_t
platform_now(void *ctx)
{
	(void)ctx;
	return bench.now;
}

static bool
platform_presence(void *ctx)
{
	(void)ctx;
	return bench.physical_presence;
}

static bool
platform_cancelled(void *ctx)
{
	(void)ctx;
	return bench.cancel_after > 0 && --bench.cancel_after == 0;
}

/* A TPM of a permanent state, or a blank one, that waits for TPM_Startup. */
static struct tpm *
power_on(const struct state *permanent)
{
	static const struct tpm_platform platform = {
		.random = platform_random,
		.now = platform_now,
		.physical_presence = platform_presence,
		.cancelled = platform_cancelled,
	};

	bench = (struct bench) { .now = 1000000 };
	struct tpm *tpm = tpm_new(&platform);
	ck_assert_ptr_nonnull(tpm);
	if (permanent->data)
		ck_assert_uint_eq(
		    tpm_set_state(tpm, TPM_STATE_PERMANENT, permanent->data, permanent->len),
		    TPM_SUCCESS);
	tpm_init(tpm);
	return tpm;
}

static struct tpm *
started(const struct state *permanent)
{
	struct tpm *tpm = power_on(permanent);

	ck_assert_uint_eq(test_startup(tpm, TPM_ST_CLEAR), TPM_SUCCESS);
	return tpm;
}

struct tpm *
test_blank_tpm(void)
{
	return started(&blank);
}

struct tpm *
test_tpm(void)
{
	return started(&with_ek);
}

struct tpm *
test_owned_tpm(void)
{
	return started(&with_owner);
}

void
test_reboot(struct tpm *tpm)
{
	tpm_init(tpm);
	ck_assert_uint_eq(test_startup(tpm, TPM_ST_CLEAR), TPM_SUCCESS);
}

static void
keep_permanent_state(struct tpm *tpm, struct state *state)
{
	ck_assert_uint_eq(tpm_get_state(tpm, TPM_STATE_PERMANENT, &state->data, &state->len),
			  TPM_SUCCESS);
}

static void
prepare(void)
{
	struct tpm *tpm = power_on(&blank);

	ck_assert_uint_eq(tpm_manufacture_ek(tpm), TPM_SUCCESS);
	keep_permanent_state(tpm, &with_ek);
	ck_assert_uint_eq(test_startup(tpm, TPM_ST_CLEAR), TPM_SUCCESS);
	ck_assert_uint_eq(test_take_ownership(tpm, &test_srk_key), TPM_SUCCESS);
	keep_permanent_state(tpm, &with_owner);
	tpm_free(tpm);
}

int
test_suite(const char *name, const TTest *const tests[])
{
	int status = suite_run_prepared(name, tests, prepare, NULL, NULL);

	free(with_ek.data);
	free(with_owner.data);
	return status;
}

static void
read_nonce_even(struct test_session *s, struct call *c)
{
	s->handle = reader_u32(&c->out);
	reader_bytes(&c->out, s->nonceEven, sizeof(s->nonceEven));
	bench_random(s->nonceOdd, sizeof(s->nonceOdd));
	s->close = true;
}

TPM_RESULT
test_oiap(struct tpm *tpm, struct test_session *s, const uint8_t *auth)
{
	struct call c;

	*s = (struct test_session) { 0 };
	memcpy(s->secret, auth, sizeof(s->secret));
	call_begin(&c, tpm, TPM_ORD_OIAP);
	TPM_RESULT rc = call_run(&c);
	if (rc == TPM_SUCCESS) {
		read_nonce_even(s, &c);
		ck_assert(reader_done(&c.out));
	}
	return rc;
}

TPM_RESULT
test_osap(struct tpm *tpm, struct test_session *s, uint16_t type, uint32_t value,
	  const uint8_t *auth)
{
	uint8_t nonces[2 * TPM_DIGEST_SIZE]; /* nonceEvenOSAP, nonceOddOSAP */
	struct call c;

	*s = (struct test_session) { .encryption = (uint8_t)(type >> 8) };
	bench_random(nonces + TPM_DIGEST_SIZE, TPM_DIGEST_SIZE);
	call_begin(&c, tpm, TPM_ORD_OSAP);
	writer_u16(&c.params, type);
	writer_u32(&c.params, value);
	writer_bytes(&c.params, nonces + TPM_DIGEST_SIZE, TPM_DIGEST_SIZE);
	TPM_RESULT rc = call_run(&c);
	if (rc == TPM_SUCCESS) {
		read_nonce_even(s, &c);
		reader_bytes(&c.out, nonces, TPM_DIGEST_SIZE);
		ck_assert(reader_done(&c.out));
		reference_hmac(s->secret, auth, TPM_DIGEST_SIZE, nonces, sizeof(nonces));
	}
	return rc;
}

void
test_osap_key(struct tpm *tpm, struct test_session *s, uint32_t key, const uint8_t *auth)
{
	uint16_t type = key == TPM_KH_SRK ? TPM_ET_SRK : TPM_ET_KEYHANDLE;

	ck_assert_uint_eq(test_osap(tpm, s, type, key, auth), TPM_SUCCESS);
}

void
test_encrypt_auth(const struct test_session *s, bool second, const uint8_t *auth,
		  uint8_t *encrypted)
{
	const uint8_t *nonce = second ? s->nonceOdd : s->nonceEven;
	uint8_t seed[2 * TPM_DIGEST_SIZE];

	if (s->encryption == TPM_ET_AES) {
		reference_aes(encrypted, auth, TPM_DIGEST_SIZE, "CTR", s->secret, nonce);
		return;
	}
	memcpy(seed, s->secret, TPM_DIGEST_SIZE);
	memcpy(seed + TPM_DIGEST_SIZE, nonce, TPM_DIGEST_SIZE);
	reference_sha1(encrypted, seed, sizeof(seed));
	for (size_t i = 0; i < TPM_DIGEST_SIZE; i++)
		encrypted[i] ^= auth[i];
}

void
call_begin(struct call *c, struct tpm *tpm, uint32_t ordinal)
{
	memset(c, 0, sizeof(*c));
	c->tpm = tpm;
	c->ordinal = ordinal;
	c->params = writer_of(c->buf, sizeof(c->buf));
}

void
call_handle(struct call *c, uint32_t handle)
{
	c->handles[c->handle_count++] = handle;
}

void
call_session(struct call *c, struct test_session *s)
{
	c->sessions[c->session_count++] = s;
}

void
call_begin_oiap(struct call *c, struct test_session *s, struct tpm *tpm, uint32_t ordinal,
		const uint8_t *auth)
{
	call_begin(c, tpm, ordinal);
	if (auth) {
		ck_assert_uint_eq(test_oiap(tpm, s, auth), TPM_SUCCESS);
		call_session(c, s);
	}
}

void
call_begin_osap(struct call *c, struct test_session *s, struct tpm *tpm, uint32_t ordinal,
		uint32_t key, const uint8_t *auth)
{
	test_osap_key(tpm, s, key, auth);
	call_begin(c, tpm, ordinal);
	call_handle(c, key);
	call_session(c, s);
}

void
call_new_auth(struct call *c, bool second, const uint8_t *auth)
{
	uint8_t encrypted[TPM_DIGEST_SIZE];

	test_encrypt_auth(c->sessions[0], second, auth, encrypted);
	writer_bytes(&c->params, encrypted, sizeof(encrypted));
}

/* SHA-1 of a number or two and the parameters, as requests and responses are hashed. */
static void
params_digest(uint8_t *digest, const uint32_t *numbers, size_t count, const void *params,
	      size_t len)
{
	uint8_t buf[TPM_BUFFER_SIZE + 12];
	struct writer w = writer_of(buf, sizeof(buf));

	for (size_t i = 0; i < count; i++)
		writer_u32(&w, numbers[i]);
	writer_bytes(&w, params, len);
	ck_assert(!w.failed);
	reference_sha1(digest, buf, w.len);
}

/* The HMAC of both directions: over parameters, both nonces and the wish to continue. */
static void
session_hmac(const struct test_session *s, const uint8_t *digest, uint8_t cont, uint8_t *hmac)
{
	uint8_t buf[3 * TPM_DIGEST_SIZE + 1];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_bytes(&w, digest, TPM_DIGEST_SIZE);
	writer_bytes(&w, s->nonceEven, TPM_DIGEST_SIZE);
	writer_bytes(&w, s->nonceOdd, TPM_DIGEST_SIZE);
	writer_u8(&w, cont);
	reference_hmac(hmac, s->secret, sizeof(s->secret), buf, w.len);
}

size_t
call_build(struct call *c)
{
	uint8_t digest[TPM_DIGEST_SIZE], hmac[TPM_DIGEST_SIZE];
	struct writer w = writer_of(c->command, sizeof(c->command));

	ck_assert_msg(!c->params.failed, "the command's parameters exceed any buffer");
	writer_u16(&w, (uint16_t)(TPM_TAG_RQU_COMMAND + c->session_count));
	writer_u32(&w, 0);
	writer_u32(&w, c->ordinal);
	for (unsigned i = 0; i < c->handle_count; i++)
		writer_u32(&w, c->handles[i]);
	writer_bytes(&w, c->params.buf, c->params.len);
	params_digest(digest, &c->ordinal, 1, c->params.buf, c->params.len);
	for (unsigned i = 0; i < c->session_count; i++) {
		const struct test_session *s = c->sessions[i];

		session_hmac(s, digest, !s->close, hmac);
		writer_u32(&w, s->handle);
		writer_bytes(&w, s->nonceOdd, sizeof(s->nonceOdd));
		writer_u8(&w, !s->close);
		writer_bytes(&w, hmac, sizeof(hmac));
	}
	writer_patch_u32(&w, 2, (uint32_t)w.len);
	ck_assert(!w.failed);
	return w.len;
}

/* Checks a session's part of the response and takes over its nonce. */
static void
check_session(struct test_session *s, const uint8_t *digest, struct reader *r)
{
	uint8_t hmac[TPM_DIGEST_SIZE], expected[TPM_DIGEST_SIZE], before[TPM_DIGEST_SIZE];

	memcpy(before, s->nonceEven, sizeof(before));
	reader_bytes(r, s->nonceEven, sizeof(s->nonceEven));
	uint8_t cont = reader_u8(r);
	reader_bytes(r, hmac, sizeof(hmac));
	session_hmac(s, digest, cont, expected);
	ck_assert_msg(memcmp(hmac, expected, sizeof(hmac)) == 0, "wrong HMAC in the response");
	ck_assert_msg(memcmp(before, s->nonceEven, sizeof(before)) != 0, "nonceEven did not roll");
	ck_assert_msg(!cont || !s->close, "session goes on although the caller ended it");
	bench_random(s->nonceOdd, sizeof(s->nonceOdd));
	if (!cont)
		s->handle = 0;
}

static bool
responds_with_handle(uint32_t ordinal)
{
	return ordinal == TPM_ORD_LoadKey || ordinal == TPM_ORD_LoadKey2 ||
	       ordinal == TPM_ORD_EstablishTransport;
}

TPM_RESULT
call_run(struct call *c)
{
	enum { SESSION_SIZE = TPM_DIGEST_SIZE + 1 + TPM_DIGEST_SIZE };
	uint8_t digest[TPM_DIGEST_SIZE];
	size_t len = call_build(c), trailer = c->session_count * (size_t)SESSION_SIZE;
	struct blob response;
	TPM_RESULT rc = test_send(c->tpm, c->command, len, &response);

	if (rc != TPM_SUCCESS)
		return rc;
	memcpy(c->response, response.data, response.len);
	ck_assert_uint_eq(c->response[1], TPM_TAG_RSP_COMMAND + c->session_count);

	struct reader r = reader_of(c->response, response.len);
	reader_view(&r, TPM_HEADER_SIZE);
	if (responds_with_handle(c->ordinal))
		c->handle = reader_u32(&r);
	ck_assert_uint_ge(r.left, trailer);
	c->out = reader_of(r.pos, r.left - trailer);
	reader_view(&r, c->out.left);
	/* TPM_LoadKey alone hashes its handle, TPM_LoadKey2 came to mend that. */
	params_digest(digest, (const uint32_t[]) { TPM_SUCCESS, c->ordinal, c->handle },
		      c->ordinal == TPM_ORD_LoadKey ? 3 : 2, c->out.pos, c->out.left);
	for (unsigned i = 0; i < c->session_count; i++)
		check_session(c->sessions[i], digest, &r);
	ck_assert(reader_done(&r));
	return TPM_SUCCESS;
}

TPM_RESULT
call_run_into(struct call *c, struct blob *out)
{
	TPM_RESULT rc = call_run(c);

	if (rc == TPM_SUCCESS) {
		struct reader value = reader_sized(&c->out);

		ck_assert(!c->out.failed);
		out->len = value.left;
		reader_bytes(&value, out->data, out->len);
	}
	return rc;
}

TPM_RESULT
call_run_all(struct call *c, struct blob *out)
{
	TPM_RESULT rc = call_run(c);

	if (rc == TPM_SUCCESS) {
		out->len = c->out.left;
		reader_bytes(&c->out, out->data, out->len);
	}
	return rc;
}

/* One command on the way to tpm_execute. */
struct transmission {
	struct tpm *tpm;
	const uint8_t *command;
	size_t len;
	uint8_t *response; /* TPM_BUFFER_SIZE bytes */
	size_t response_len;
};

static void
execute(struct transmission *t)
{
	bench.changed =
	    tpm_execute(t->tpm, bench.locality, t->command, t->len, t->response, &t->response_len);
}

/* Whether the command was cancelled at this poll; if not, it has run to its end. */
static bool
cancelled_at(struct transmission *t, unsigned poll, const struct snapshot *before)
{
	bench.cancel_after = poll;
	execute(t);
	bool cancelled = bench.cancel_after == 0;

	bench.cancel_after = 0;
	if (cancelled) {
		ck_assert_uint_eq(t->response_len, TPM_HEADER_SIZE);
		ck_assert_uint_eq(t->response[TPM_HEADER_SIZE - 1], TPM_FAIL);
		ck_assert_uint_eq(bench.changed, 0);
		ck_assert_msg(snapshot_changes(before, t->tpm) == 0,
			      "cancelled at poll %u, ordinal %u left something behind", poll,
			      t->command[9]);
	}
	return cancelled;
}

/*
 * Whoever keeps the state must know of each change; but for failed authorizations up to the
 * threshold, which are only counted.
 */
static void
assert_changes_told(const struct snapshot *before, const struct transmission *t)
{
	uint8_t result = t->response[TPM_HEADER_SIZE - 1];
	unsigned hidden = snapshot_changes(before, t->tpm) & ~bench.changed;

	if (result == TPM_AUTHFAIL || result == TPM_AUTH2FAIL)
		hidden &= ~(unsigned)TPM_CHANGED_PERMANENT;
	ck_assert_msg(hidden == 0, "ordinal %u, result %u, changed %x without a word",
		      t->command[9], result, hidden);
}

/*
 * Every command that a test sends is first cancelled, at its first poll, its second and so on: the
 * TPM must be as if it had never come, and then the same bytes are still good.
 */
static void
execute_in_spite_of_cancels(struct transmission *t)
{
	enum { POLLS = 8 }; /* the search for primes has many more of the same */
	struct snapshot before;
	unsigned poll = 1;

	snapshot_take(&before, t->tpm);
	while (poll <= POLLS && cancelled_at(t, poll, &before))
		poll++;
	if (poll > POLLS)
		execute(t);
	assert_changes_told(&before, t);
	snapshot_free(&before);
}

TPM_RESULT
test_send(struct tpm *tpm, const void *command, size_t len, struct blob *response)
{
	/* Copies of exact size on the heap, so that AddressSanitizer sees every step outside. */
	uint8_t *exact = malloc(len ? len : 1), *room = malloc(TPM_BUFFER_SIZE);

	ck_assert(exact && room);
	if (len > 0)
		memcpy(exact, command, len);
	struct transmission t = { tpm, exact, len, room, 0 };
	if (bench.cancel_after > 0)
		execute(&t);
	else
		execute_in_spite_of_cancels(&t);
	response->len = t.response_len;
	ck_assert_uint_ge(response->len, TPM_HEADER_SIZE);
	ck_assert_uint_le(response->len, TPM_BUFFER_SIZE);
	memcpy(response->data, room, response->len);
	free(exact);
	free(room);

	struct reader r = reader_of(response->data, response->len);
	uint16_t tag = reader_u16(&r);
	ck_assert_uint_eq(reader_u32(&r), response->len);
	TPM_RESULT rc = reader_u32(&r);
	if (rc != TPM_SUCCESS) {
		ck_assert_uint_eq(tag, TPM_TAG_RSP_COMMAND);
		ck_assert_uint_eq(response->len, TPM_HEADER_SIZE);
	}
	return rc;
}

static TPM_RESULT
plain(struct tpm *tpm, uint32_t ordinal, uint32_t value, size_t width)
{
	struct call c;

	call_begin(&c, tpm, ordinal);
	writer_uint(&c.params, value, width);
	return call_run(&c);
}

TPM_RESULT
test_plain(struct tpm *tpm, uint32_t ordinal)
{
	return plain(tpm, ordinal, 0, 0);
}

TPM_RESULT
test_plain_u8(struct tpm *tpm, uint32_t ordinal, uint8_t value)
{
	return plain(tpm, ordinal, value, 1);
}

TPM_RESULT
test_plain_u16(struct tpm *tpm, uint32_t ordinal, uint16_t value)
{
	return plain(tpm, ordinal, value, 2);
}

TPM_RESULT
test_plain_u32(struct tpm *tpm, uint32_t ordinal, uint32_t value)
{
	return plain(tpm, ordinal, value, 4);
}

TPM_RESULT
test_owner(struct tpm *tpm, uint32_t ordinal, const uint8_t *auth)
{
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(test_oiap(tpm, &s, auth), TPM_SUCCESS);
	call_begin(&c, tpm, ordinal);
	call_session(&c, &s);
	return call_run(&c);
}
