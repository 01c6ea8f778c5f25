#include "tests/unit/transport_client.h"

#include <openssl/rsa.h>

const uint8_t transport_auth[TPM_DIGEST_SIZE] = "secret of a session ";
static const uint8_t zeros[TPM_DIGEST_SIZE];
static const uint8_t anti_replay[TPM_DIGEST_SIZE] = "the caller's nonce  ";

static void
log_extend(struct transport_client *t, const struct writer *entry)
{
	uint8_t buf[256];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_bytes(&w, t->log, sizeof(t->log));
	writer_bytes(&w, entry->buf, entry->len);
	ck_assert(!w.failed);
	reference_sha1(t->log, buf, w.len);
}

static void
log_in(struct transport_client *t, const uint8_t *parameters, const uint8_t *pub_key_hash)
{
	uint8_t buf[128];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_u16(&w, TPM_TAG_TRANSPORT_LOG_IN);
	writer_bytes(&w, parameters, TPM_DIGEST_SIZE);
	writer_bytes(&w, pub_key_hash, TPM_DIGEST_SIZE);
	log_extend(t, &w);
}

static void
log_out(struct transport_client *t, const uint8_t *ticks, const uint8_t *parameters,
	uint32_t locality)
{
	uint8_t buf[128];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_u16(&w, TPM_TAG_TRANSPORT_LOG_OUT);
	writer_bytes(&w, ticks, TICKS_SIZE);
	writer_bytes(&w, parameters, TPM_DIGEST_SIZE);
	writer_u32(&w, locality);
	log_extend(t, &w);
}

static void
write_transport_public(struct writer *w, const struct transport_client *t)
{
	writer_u16(w, TPM_TAG_TRANSPORT_PUBLIC);
	writer_u32(w, t->attributes);
	writer_u32(w, t->algId);
	writer_u16(w, t->encScheme);
}

void
transport_hash(uint8_t *out, const uint32_t *numbers, size_t count, const void *data, size_t len)
{
	uint8_t buf[2 * TPM_BUFFER_SIZE];
	struct writer w = writer_of(buf, sizeof(buf));

	for (size_t i = 0; i < count; i++)
		writer_u32(&w, numbers[i]);
	writer_bytes(&w, data, len);
	ck_assert(!w.failed);
	reference_sha1(out, buf, w.len);
}
TPM_RESULT
transport_establish(struct transport_client *t, uint32_t key, const uint8_t *auth,
		    const void *secret, size_t len)
{
	struct test_session s;
	struct call c;
	uint8_t in[TPM_DIGEST_SIZE], out[TPM_DIGEST_SIZE];

	call_begin_oiap(&c, &s, t->tpm, TPM_ORD_EstablishTransport, auth);
	call_handle(&c, key);
	write_transport_public(&c.params, t);
	writer_sized(&c.params, secret, len);
	TPM_RESULT rc = call_run(&c);
	if (rc)
		return rc;
	t->s = (struct test_session) { .handle = c.handle };
	memcpy(t->s.secret, transport_auth, sizeof(t->s.secret));
	transport_hash(in, NUMBERS(c.ordinal), c.params.buf, c.params.len);
	transport_hash(out, NUMBERS(TPM_SUCCESS, c.ordinal), c.out.pos, c.out.left);
	uint32_t locality = reader_u32(&c.out);
	reader_bytes(&c.out, t->ticks, sizeof(t->ticks));
	reader_bytes(&c.out, t->s.nonceEven, sizeof(t->s.nonceEven));
	ck_assert(reader_done(&c.out));
	ck_assert_uint_eq(locality, bench.locality);
	memset(t->log, 0, sizeof(t->log));
	log_in(t, in, zeros);
	log_out(t, t->ticks, out, locality);
	return rc;
}

struct transport_client
transport_establish_plain(struct tpm *tpm, uint32_t attributes)
{
	struct transport_client t = { .tpm = tpm, .attributes = attributes };

	ck_assert_uint_eq(
	    transport_establish(&t, TPM_KH_TRANSPORT, NULL, transport_auth, sizeof(transport_auth)),
	    TPM_SUCCESS);
	return t;
}

size_t
transport_encrypt_secret(const struct blob *key, uint16_t tag, size_t len, uint8_t *out)
{
	EVP_PKEY *public = test_key_public(key);
	uint8_t auth[64];
	struct writer w = writer_of(auth, sizeof(auth));

	writer_u16(&w, tag);
	writer_bytes(&w, transport_auth, len);
	int size =
	    reference_rsa(public, REFERENCE_ENCRYPT, RSA_PKCS1_OAEP_PADDING, out, auth, w.len);
	ck_assert_int_gt(size, 0);
	EVP_PKEY_free(public);
	return (size_t)size;
}

TPM_RESULT
transport_establish_encrypted(struct transport_client *t, uint32_t key, const struct blob *key_blob)
{
	uint8_t secret[256];
	size_t len = transport_encrypt_secret(key_blob, TPM_TAG_TRANSPORT_AUTH,
					      sizeof(transport_auth), secret);

	return transport_establish(t, key, key_auth, secret, len);
}

/* The encryption of both directions. */
static void
crypt_data(const struct transport_client *t, const char *direction, uint8_t *data, size_t len)
{
	uint8_t seed[64 + TPM_DIGEST_SIZE], iv[16] = { 0 }, copy[TPM_BUFFER_SIZE];
	struct writer w = writer_of(seed, sizeof(seed));

	if (!(t->attributes & TPM_TRANSPORT_ENCRYPT))
		return;
	writer_bytes(&w, t->s.nonceEven, TPM_DIGEST_SIZE);
	writer_bytes(&w, t->s.nonceOdd, TPM_DIGEST_SIZE);
	writer_bytes(&w, direction, strlen(direction));
	if (t->algId == TPM_ALG_MGF1) {
		writer_bytes(&w, transport_auth, sizeof(transport_auth));
		reference_mgf1_xor(data, len, seed, w.len);
		return;
	}
	reference_mgf1_xor(iv, sizeof(iv), seed, w.len);
	memcpy(copy, data, len);
	reference_aes(data, copy, len, t->encScheme == TPM_ES_SYM_CNT ? "CTR" : "OFB",
		      transport_auth, iv);
}

void
transport_hmac(const struct transport_client *t, const uint8_t *params_digest, uint8_t cont,
	       uint8_t *hmac)
{
	uint8_t buf[3 * TPM_DIGEST_SIZE + 1];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_bytes(&w, params_digest, TPM_DIGEST_SIZE);
	writer_bytes(&w, t->s.nonceEven, TPM_DIGEST_SIZE);
	writer_bytes(&w, t->s.nonceOdd, TPM_DIGEST_SIZE);
	writer_u8(&w, cont);
	reference_hmac(hmac, t->s.secret, TPM_DIGEST_SIZE, buf, w.len);
}

/* Where DATAW or DATAR lies in a command or response. */
static uint8_t *
find_data(uint8_t *bytes, size_t len, unsigned handles, unsigned first_tag, size_t session_size,
	  size_t *data_len)
{
	size_t before = TPM_HEADER_SIZE + 4u * handles;
	size_t after = (bytes[1] - first_tag) * session_size;

	ck_assert_uint_le(before + after, len);
	*data_len = len - before - after;
	return bytes + before;
}

/* Checks what came around the wrapped response, and decrypts it into response. */
static void
unwrap(struct transport_client *t, const struct blob *whole, uint32_t ordinal,
       const struct wrapped_shape *shape, struct blob *response)
{
	uint8_t digests[TPM_DIGEST_SIZE + 8], out[TPM_DIGEST_SIZE], hmac[TPM_DIGEST_SIZE];
	uint8_t ticks[TICKS_SIZE];
	struct reader r = reader_of(whole->data, whole->len);

	reader_view(&r, TPM_HEADER_SIZE);
	memcpy(ticks, t->ticks, sizeof(ticks));
	reader_bytes(&r, ticks + 2, 8);
	uint32_t locality = reader_u32(&r);
	struct reader wrapped = reader_sized(&r);
	response->len = wrapped.left;
	reader_bytes(&wrapped, response->data, response->len);
	reader_bytes(&r, t->s.nonceEven, TPM_DIGEST_SIZE);
	uint8_t cont = reader_u8(&r);
	const uint8_t *received = reader_view(&r, TPM_DIGEST_SIZE);
	ck_assert(reader_done(&r));

	unsigned handles = response->len > TPM_HEADER_SIZE ? shape->out_handles : 0;
	size_t len;
	uint8_t *data = find_data(response->data, response->len, handles, TPM_TAG_RSP_COMMAND,
				  SESSION_OUT, &len);
	if (shape->no_data)
		len = 0;
	crypt_data(t, "out", data, len);
	struct reader rc = reader_of(response->data + 6, 4);
	transport_hash(digests, NUMBERS(reader_u32(&rc), ordinal), data, len);
	memcpy(out, digests, TPM_DIGEST_SIZE);
	if (t->attributes & TPM_TRANSPORT_LOG)
		log_out(t, ticks, out, locality);

	uint8_t covered[8 + 4 + 4 + TPM_DIGEST_SIZE];
	struct writer w = writer_of(covered, sizeof(covered));
	writer_bytes(&w, ticks + 2, 8);
	writer_u32(&w, locality);
	writer_u32(&w, (uint32_t)response->len);
	writer_bytes(&w, out, sizeof(out));
	transport_hash(out, NUMBERS(TPM_SUCCESS, TPM_ORD_ExecuteTransport), covered,
		       sizeof(covered));
	transport_hmac(t, out, cont, hmac);
	ck_assert_mem_eq(received, hmac, sizeof(hmac));
	if (!cont)
		t->s.handle = 0;
}

TPM_RESULT
transport_execute(struct transport_client *t, struct call *c, const struct wrapped_shape *shape,
		  struct blob *response)
{
	uint8_t wrapped[TPM_BUFFER_SIZE], h1[TPM_DIGEST_SIZE], in[TPM_DIGEST_SIZE];
	uint8_t hmac[TPM_DIGEST_SIZE], command[TPM_BUFFER_SIZE];
	size_t wrapped_len = call_build(c), len;
	struct writer w = writer_of(command, sizeof(command));
	struct blob whole;

	memcpy(wrapped, c->command, wrapped_len);
	uint8_t *data =
	    find_data(wrapped, wrapped_len, shape->handles, TPM_TAG_RQU_COMMAND, SESSION_IN, &len);
	data += shape->clear;
	len -= shape->clear;
	transport_hash(h1, NUMBERS(c->ordinal), data, len);
	transport_hash(in, NUMBERS(TPM_ORD_ExecuteTransport, (uint32_t)wrapped_len), h1,
		       sizeof(h1));
	t->s.nonceOdd[0]++;
	transport_hmac(t, in, !t->s.close, hmac);
	crypt_data(t, "in", data, len);
	if (t->attributes & TPM_TRANSPORT_LOG)
		log_in(t, h1, shape->pub_key_hash ? shape->pub_key_hash : zeros);

	writer_u16(&w, TPM_TAG_RQU_AUTH1_COMMAND);
	writer_u32(&w, (uint32_t)(TPM_HEADER_SIZE + 4 + wrapped_len + SESSION_IN));
	writer_u32(&w, TPM_ORD_ExecuteTransport);
	writer_sized(&w, wrapped, wrapped_len);
	writer_u32(&w, t->s.handle);
	writer_bytes(&w, t->s.nonceOdd, TPM_DIGEST_SIZE);
	writer_u8(&w, !t->s.close);
	writer_bytes(&w, hmac, sizeof(hmac));
	ck_assert(!w.failed);
	TPM_RESULT rc = test_send(t->tpm, command, w.len, &whole);
	if (rc == TPM_SUCCESS)
		unwrap(t, &whole, c->ordinal, shape, response);
	return rc;
}

TPM_RESULT
transport_result(const struct blob *response)
{
	struct reader r = reader_of(response->data + 6, 4);

	return reader_u32(&r);
}

TPM_RESULT
transport_release(struct transport_client *t, uint32_t key, const uint8_t *auth,
		  struct blob *signature)
{
	struct test_session s;
	struct call c;
	uint8_t in[TPM_DIGEST_SIZE], ticks[TICKS_SIZE];

	call_begin_oiap(&c, &s, t->tpm, TPM_ORD_ReleaseTransportSigned, auth);
	call_handle(&c, key);
	writer_bytes(&c.params, anti_replay, sizeof(anti_replay));
	t->s.close = true;
	call_session(&c, &t->s);
	TPM_RESULT rc = call_run(&c);
	if (rc)
		return rc;
	transport_hash(in, NUMBERS(TPM_ORD_ReleaseTransportSigned), anti_replay,
		       sizeof(anti_replay));
	uint32_t locality = reader_u32(&c.out);
	reader_bytes(&c.out, ticks, sizeof(ticks));
	struct reader sig = reader_sized(&c.out);
	ck_assert(reader_done(&c.out));
	signature->len = sig.left;
	reader_bytes(&sig, signature->data, sig.left);
	log_out(t, ticks, in, locality);
	return rc;
}

bool
transport_log_is_signed(const struct transport_client *t, const struct blob *key,
			const struct blob *signature)
{
	uint8_t info[2 + 4 + TPM_DIGEST_SIZE + 4 + TPM_DIGEST_SIZE], signed_digest[TPM_DIGEST_SIZE];
	struct writer w = writer_of(info, sizeof(info));
	EVP_PKEY *public = test_key_public(key);

	writer_u16(&w, TPM_TAG_SIGNINFO);
	writer_bytes(&w, "TRAN", 4);
	writer_bytes(&w, anti_replay, sizeof(anti_replay));
	writer_sized(&w, t->log, sizeof(t->log));
	reference_sha1(signed_digest, info, w.len);
	bool ok = reference_verify_sha1(public, signature->data, signature->len, signed_digest);
	EVP_PKEY_free(public);
	return ok;
}

TPM_RESULT
transport_read_pcr(struct transport_client *t, uint32_t pcr, struct blob *response)
{
	struct call c;

	call_begin(&c, t->tpm, TPM_ORD_PcrRead);
	writer_u32(&c.params, pcr);
	return transport_execute(t, &c, &(struct wrapped_shape) { 0 }, response);
}

void
transport_assert_alive(struct transport_client *t)
{
	struct blob response;

	ck_assert_uint_eq(transport_read_pcr(t, 0, &response), TPM_SUCCESS);
}

void
transport_assert_dead(struct transport_client *t)
{
	struct blob response;

	ck_assert_uint_eq(transport_read_pcr(t, 0, &response), TPM_INVALID_AUTHHANDLE);
}
