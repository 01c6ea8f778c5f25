/*
 * transport_client.h - the software's side of transport sessions: encrypts what it wraps, checks
 * what comes back, and keeps a log of its own. By the specification and reference.h alone.
 */
#ifndef TESTS_UNIT_TRANSPORT_CLIENT_H
#define TESTS_UNIT_TRANSPORT_CLIENT_H

#include "tests/unit/support.h"

enum {
	SESSION_IN = 45, /* bytes of an authorization in a command, and in a response */
	SESSION_OUT = 41,
	TICKS_SIZE = 32,
};

extern const uint8_t transport_auth[];

/* A session. */
struct transport_client {
	struct tpm *tpm;
	struct test_session s; /* its secret is transport_auth */
	uint32_t attributes;
	uint32_t algId;
	uint16_t encScheme;
	uint8_t ticks[TICKS_SIZE]; /* TPM_CURRENT_TICKS when it began */
	uint8_t log[TPM_DIGEST_SIZE];
};

/* What a wrapped command is like: how much of it is not DATAW, and not DATAR. */
struct wrapped_shape {
	unsigned handles, out_handles;
	size_t clear;                /* leading bytes of the parameters */
	bool no_data;                /* no DATAR */
	const uint8_t *pub_key_hash; /* of the log; NULL: zeros */
};

/* SHA-1 of numbers (NUMBERS) in front of bytes. */
void transport_hash(uint8_t *out, const uint32_t *numbers, size_t count, const void *data,
		    size_t len);
#define NUMBERS(...)                                                                               \
	((const uint32_t[]) { __VA_ARGS__ }), sizeof((const uint32_t[]) { __VA_ARGS__ }) / 4

/*
 * transport_establish: TPM_EstablishTransport of t as it describes itself; secret is what crosses
 * the wire, auth the AuthData of key or NULL. _plain: a session whose secret comes in the clear,
 * must succeed. _encrypted: one whose secret only the TPM's key can read.
 */
TPM_RESULT transport_establish(struct transport_client *t, uint32_t key, const uint8_t *auth,
			       const void *secret, size_t len);
struct transport_client transport_establish_plain(struct tpm *tpm, uint32_t attributes);
TPM_RESULT transport_establish_encrypted(struct transport_client *t, uint32_t key,
					 const struct blob *key_blob);
/* transport_encrypt_secret: TPM_TRANSPORT_AUTH with this tag and len bytes of transport_auth, for a
 * key. Returns its length. */
size_t transport_encrypt_secret(const struct blob *key, uint16_t tag, size_t len, uint8_t *out);

/* transport_execute: TPM_ExecuteTransport of the command in c; returns its own result, response is
 * the wrapped one. transport_result: the result in that. */
TPM_RESULT transport_execute(struct transport_client *t, struct call *c,
			     const struct wrapped_shape *shape, struct blob *response);
TPM_RESULT transport_result(const struct blob *response);

/*
 * transport_read_pcr: TPM_PcrRead through the session; the result of the session's own command.
 * transport_assert_alive, transport_assert_dead: that the session still carries that, or is gone.
 */
TPM_RESULT transport_read_pcr(struct transport_client *t, uint32_t pcr, struct blob *response);
void transport_assert_alive(struct transport_client *t);
void transport_assert_dead(struct transport_client *t);

/* transport_release: TPM_ReleaseTransportSigned by a key. transport_log_is_signed: whether the
 * signature is that of t's own log. */
TPM_RESULT transport_release(struct transport_client *t, uint32_t key, const uint8_t *auth,
			     struct blob *signature);
bool transport_log_is_signed(const struct transport_client *t, const struct blob *key,
			     const struct blob *signature);

/* transport_hmac: of the session, over its nonces. */
void transport_hmac(const struct transport_client *t, const uint8_t *params_digest, uint8_t cont,
		    uint8_t *hmac);

#endif
