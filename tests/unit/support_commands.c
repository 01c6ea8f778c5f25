#include "tests/unit/support.h"

#include <openssl/rsa.h>

#define KEY_TEMPLATE(usage_, enc, sig, bits_)                                                      \
	{                                                                                          \
		.usage = usage_, .authDataUsage = TPM_AUTH_ALWAYS, .encScheme = enc,               \
		.sigScheme = sig, .bits = bits_                                                    \
	}
const struct key_template test_srk_key =
    KEY_TEMPLATE(TPM_KEY_STORAGE, TPM_ES_RSAESOAEP_SHA1_MGF1, TPM_SS_NONE, 2048);
const struct key_template test_storage_key =
    KEY_TEMPLATE(TPM_KEY_STORAGE, TPM_ES_RSAESOAEP_SHA1_MGF1, TPM_SS_NONE, 2048);
const struct key_template test_signing_key =
    KEY_TEMPLATE(TPM_KEY_SIGNING, TPM_ES_NONE, TPM_SS_RSASSAPKCS1v15_SHA1, 1024);
const struct key_template test_bind_key =
    KEY_TEMPLATE(TPM_KEY_BIND, TPM_ES_RSAESOAEP_SHA1_MGF1, TPM_SS_NONE, 1024);

const struct key_template test_identity_key =
    KEY_TEMPLATE(TPM_KEY_IDENTITY, TPM_ES_NONE, TPM_SS_RSASSAPKCS1v15_SHA1, 2048);
const uint8_t test_privacy_ca[TPM_DIGEST_SIZE] = "a privacy CA's label";

static void
write_key_parms(struct writer *w, const struct key_template *t)
{
	writer_u32(w, TPM_ALG_RSA);
	writer_u16(w, t->encScheme);
	writer_u16(w, t->sigScheme);
	writer_u32(w, t->exponent ? 16 : 12);
	writer_u32(w, t->bits);
	writer_u32(w, 2); /* numPrimes */
	writer_u32(w, t->exponent ? 4 : 0);
	if (t->exponent)
		writer_u32(w, t->exponent);
}

void
write_key_template(struct writer *w, const struct key_template *t)
{
	writer_u32(w, t->key12 ? (uint32_t)TPM_TAG_KEY12 << 16 : 0x01010000);
	writer_u16(w, t->usage);
	writer_u32(w, t->flags);
	writer_u8(w, t->authDataUsage);
	write_key_parms(w, t);
	if (t->pcr_info)
		writer_sized(w, t->pcr_info->data, t->pcr_info->len);
	else
		writer_u32(w, 0);
	writer_u32(w, 0); /* pubKey */
	writer_u32(w, 0); /* encData */
}

/* TPM_KEY_PARMS of RSA, then, behind the PCRs of a TPM_KEY, the modulus. */
static EVP_PKEY *
read_public(struct reader *r, bool with_pcr_info)
{
	uint32_t exponent = 65537;

	ck_assert_uint_eq(reader_u32(r), TPM_ALG_RSA);
	reader_u32(r); /* schemes */
	struct reader parms = reader_sized(r);
	uint32_t bits = reader_u32(&parms);
	ck_assert_uint_eq(reader_u32(&parms), 2);
	struct reader e = reader_sized(&parms);
	if (e.left > 0)
		exponent = (uint32_t)reader_uint(&e, e.left);
	if (with_pcr_info)
		reader_sized(r);
	struct reader n = reader_sized(r);
	ck_assert(!r->failed && reader_done(&parms));
	ck_assert_uint_eq(n.left * 8, bits);
	return reference_rsa_public(n.pos, n.left, exponent);
}

EVP_PKEY *
test_key_public(const struct blob *key)
{
	struct reader r = reader_of(key->data, key->len);

	reader_view(&r, 4 + 2 + 4 + 1); /* version or tag, usage, flags, authDataUsage */
	return read_public(&r, true);
}

EVP_PKEY *
test_pubkey_public(const struct blob *pubkey)
{
	struct reader r = reader_of(pubkey->data, pubkey->len);
	EVP_PKEY *key = read_public(&r, false);

	ck_assert(reader_done(&r));
	return key;
}

EVP_PKEY *
test_srk_public(struct tpm *tpm)
{
	struct test_session s;
	struct blob pubkey;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_OwnerReadInternalPub, owner_auth);
	writer_u32(&c.params, TPM_KH_SRK);
	ck_assert_uint_eq(call_run_all(&c, &pubkey), TPM_SUCCESS);
	return test_pubkey_public(&pubkey);
}

static void
take(struct reader *r, size_t len, struct blob *out)
{
	out->len = len;
	reader_bytes(r, out->data, len);
	ck_assert(!r->failed);
}

TPM_RESULT
test_startup(struct tpm *tpm, uint16_t type)
{
	return test_plain_u16(tpm, TPM_ORD_Startup, type);
}

TPM_RESULT
test_read_pubek(struct tpm *tpm, struct blob *pubkey)
{
	static const uint8_t nonce[TPM_DIGEST_SIZE] = { 1, 2, 3 };
	uint8_t digest[TPM_DIGEST_SIZE];
	struct call c;

	call_begin(&c, tpm, TPM_ORD_ReadPubek);
	writer_bytes(&c.params, nonce, sizeof(nonce));
	TPM_RESULT rc = call_run(&c);
	if (rc)
		return rc;
	ck_assert_uint_gt(c.out.left, TPM_DIGEST_SIZE);
	take(&c.out, c.out.left - TPM_DIGEST_SIZE, pubkey);
	memcpy(pubkey->data + pubkey->len, nonce, sizeof(nonce));
	reference_sha1(digest, pubkey->data, pubkey->len + sizeof(nonce));
	ck_assert_mem_eq(c.out.pos, digest, sizeof(digest));
	return rc;
}

static void
write_encrypted_auth(struct writer *w, EVP_PKEY *ek, const uint8_t *auth)
{
	uint8_t encrypted[256];

	ck_assert_int_eq(reference_rsa(ek, REFERENCE_ENCRYPT, RSA_PKCS1_OAEP_PADDING, encrypted,
				       auth, TPM_DIGEST_SIZE),
			 sizeof(encrypted));
	writer_sized(w, encrypted, sizeof(encrypted));
}

TPM_RESULT
test_take_ownership(struct tpm *tpm, const struct key_template *srk)
{
	struct test_session s;
	struct blob pubkey;
	struct call c;

	ck_assert_uint_eq(test_read_pubek(tpm, &pubkey), TPM_SUCCESS);
	ck_assert_uint_eq(test_oiap(tpm, &s, owner_auth), TPM_SUCCESS);
	EVP_PKEY *ek = test_pubkey_public(&pubkey);
	call_begin(&c, tpm, TPM_ORD_TakeOwnership);
	writer_u16(&c.params, TPM_PID_OWNER);
	write_encrypted_auth(&c.params, ek, owner_auth);
	write_encrypted_auth(&c.params, ek, srk_auth);
	write_key_template(&c.params, srk);
	call_session(&c, &s);
	EVP_PKEY_free(ek);
	return call_run(&c);
}

TPM_RESULT
test_create_key_under(struct tpm *tpm, uint32_t parent, const uint8_t *parent_auth,
		      const struct key_template *t, struct blob *key)
{
	struct test_session s;
	struct call c;

	call_begin_osap(&c, &s, tpm, TPM_ORD_CreateWrapKey, parent, parent_auth);
	call_new_auth(&c, false, key_auth);
	call_new_auth(&c, true, migration_auth);
	write_key_template(&c.params, t);
	return call_run_all(&c, key);
}

TPM_RESULT
test_create_key(struct tpm *tpm, const struct key_template *t, struct blob *key)
{
	return test_create_key_under(tpm, TPM_KH_SRK, srk_auth, t, key);
}

TPM_RESULT
test_load_key_under(struct tpm *tpm, uint32_t parent, const uint8_t *parent_auth,
		    const struct blob *key, uint32_t *handle)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_LoadKey2, parent_auth);
	call_handle(&c, parent);
	writer_bytes(&c.params, key->data, key->len);
	TPM_RESULT rc = call_run(&c);
	*handle = c.handle;
	return rc;
}

TPM_RESULT
test_load_key(struct tpm *tpm, const struct blob *key, uint32_t *handle)
{
	return test_load_key_under(tpm, TPM_KH_SRK, srk_auth, key, handle);
}

uint32_t
test_make_key(struct tpm *tpm, const struct key_template *t, struct blob *key)
{
	struct blob room;
	uint32_t handle;

	if (!key)
		key = &room;
	ck_assert_uint_eq(test_create_key(tpm, t, key), TPM_SUCCESS);
	ck_assert_uint_eq(test_load_key(tpm, key, &handle), TPM_SUCCESS);
	return handle;
}

TPM_RESULT
test_make_identity(struct tpm *tpm, const struct key_template *t, uint16_t adip, const uint8_t *srk,
		   const uint8_t *owner, struct blob *key, struct blob *binding)
{
	struct test_session by_srk, by_owner;
	struct call c;
	uint8_t encrypted[TPM_DIGEST_SIZE];

	ck_assert_uint_eq(test_oiap(tpm, &by_srk, srk), TPM_SUCCESS);
	ck_assert_uint_eq(
	    test_osap(tpm, &by_owner, (uint16_t)(adip << 8 | TPM_ET_OWNER), TPM_KH_OWNER, owner),
	    TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_MakeIdentity);
	test_encrypt_auth(&by_owner, false, key_auth, encrypted);
	writer_bytes(&c.params, encrypted, sizeof(encrypted));
	writer_bytes(&c.params, test_privacy_ca, TPM_DIGEST_SIZE);
	write_key_template(&c.params, t);
	call_session(&c, &by_srk);
	call_session(&c, &by_owner);
	TPM_RESULT rc = call_run(&c);
	if (rc)
		return rc;
	struct reader start = c.out;
	reader_view(&c.out, 4 + 2 + 4 + 1 + 4 + 2 + 2);
	for (int i = 0; i < 4; i++) /* parms, PCRInfo, pubKey, encData */
		reader_sized(&c.out);
	key->len = start.left - c.out.left;
	reader_bytes(&start, key->data, key->len);
	struct reader signature = reader_sized(&c.out);
	ck_assert(reader_done(&c.out));
	binding->len = signature.left;
	reader_bytes(&signature, binding->data, binding->len);
	return rc;
}

TPM_RESULT
test_flush(struct tpm *tpm, uint32_t handle, uint32_t resource_type)
{
	struct call c;

	call_begin(&c, tpm, TPM_ORD_FlushSpecific);
	call_handle(&c, handle);
	writer_u32(&c.params, resource_type);
	return call_run(&c);
}

TPM_RESULT
test_seal(struct tpm *tpm, const struct blob *pcr_info, const void *data, size_t len,
	  struct blob *sealed)
{
	struct test_session s;
	struct call c;

	call_begin_osap(&c, &s, tpm, TPM_ORD_Seal, TPM_KH_SRK, srk_auth);
	call_new_auth(&c, false, data_auth);
	writer_sized(&c.params, pcr_info ? pcr_info->data : NULL, pcr_info ? pcr_info->len : 0);
	writer_sized(&c.params, data, len);
	return call_run_all(&c, sealed);
}

TPM_RESULT
test_unseal(struct tpm *tpm, const struct blob *sealed, const uint8_t *auth, struct blob *data)
{
	struct test_session key, entity;
	struct call c;

	ck_assert_uint_eq(test_oiap(tpm, &key, srk_auth), TPM_SUCCESS);
	ck_assert_uint_eq(test_oiap(tpm, &entity, auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_Unseal);
	call_handle(&c, TPM_KH_SRK);
	writer_bytes(&c.params, sealed->data, sealed->len);
	call_session(&c, &key);
	call_session(&c, &entity);
	return call_run_into(&c, data);
}

TPM_RESULT
test_sign(struct tpm *tpm, uint32_t key, const uint8_t *auth, const void *data, size_t len,
	  struct blob *signature)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_Sign, auth);
	call_handle(&c, key);
	writer_sized(&c.params, data, len);
	return call_run_into(&c, signature);
}

void
write_pcr_selection(struct writer *w, uint32_t pcrs)
{
	writer_u16(w, TPM_NUM_PCR / 8);
	for (unsigned i = 0; i < TPM_NUM_PCR; i += 8)
		writer_u8(w, (uint8_t)(pcrs >> i));
}

/* Of a TPM_PCR_COMPOSITE; that of no PCRs at all is zeros [Part 2, 5.4.1]. */
static void
composite_digest(const void *composite, size_t len, uint8_t *digest)
{
	if (len == 2 + TPM_NUM_PCR / 8 + 4)
		memset(digest, 0, TPM_DIGEST_SIZE);
	else
		reference_sha1(digest, composite, len);
}

void
test_composite_digest(struct tpm *tpm, uint32_t pcrs, uint8_t *digest)
{
	uint8_t composite[2 + TPM_NUM_PCR / 8 + 4 + TPM_NUM_PCR * TPM_DIGEST_SIZE];
	uint8_t values[TPM_NUM_PCR * TPM_DIGEST_SIZE];
	struct writer w = writer_of(composite, sizeof(composite));
	size_t len = 0;

	for (uint32_t i = 0; i < TPM_NUM_PCR; i++)
		if (pcrs >> i & 1) {
			ck_assert_uint_eq(test_pcr_read(tpm, i, values + len), TPM_SUCCESS);
			len += TPM_DIGEST_SIZE;
		}
	write_pcr_selection(&w, pcrs);
	writer_sized(&w, values, len);
	composite_digest(composite, w.len, digest);
}

void
test_pcr_info(struct tpm *tpm, uint32_t pcrs, struct blob *info)
{
	uint8_t digest[TPM_DIGEST_SIZE];
	struct writer w = writer_of(info->data, sizeof(info->data));

	test_composite_digest(tpm, pcrs, digest);
	write_pcr_selection(&w, pcrs);
	writer_bytes(&w, digest, sizeof(digest)); /* digestAtRelease */
	writer_bytes(&w, digest, sizeof(digest)); /* digestAtCreation, which the TPM sets */
	info->len = w.len;
}

void
test_pcr_info_long(struct tpm *tpm, uint32_t creation, uint32_t pcrs, uint8_t localities,
		   struct blob *info)
{
	static const uint8_t unset[TPM_DIGEST_SIZE];
	uint8_t digest[TPM_DIGEST_SIZE];
	struct writer w = writer_of(info->data, sizeof(info->data));

	test_composite_digest(tpm, pcrs, digest);
	writer_u16(&w, TPM_TAG_PCR_INFO_LONG);
	writer_u8(&w, TPM_LOC_ZERO); /* localityAtCreation, which the TPM sets */
	writer_u8(&w, localities);
	write_pcr_selection(&w, creation);
	write_pcr_selection(&w, pcrs);
	writer_bytes(&w, unset, sizeof(unset)); /* digestAtCreation, likewise */
	writer_bytes(&w, digest, sizeof(digest));
	info->len = w.len;
}

TPM_RESULT
test_quote(struct tpm *tpm, uint32_t key, const uint8_t *auth, const uint8_t *external,
	   uint32_t pcrs, struct blob *composite, struct blob *signature)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_Quote, auth);
	call_handle(&c, key);
	writer_bytes(&c.params, external, TPM_DIGEST_SIZE);
	write_pcr_selection(&c.params, pcrs);
	TPM_RESULT rc = call_run(&c);
	if (rc)
		return rc;

	struct reader look = c.out;
	reader_view(&look, reader_u16(&look));
	reader_sized(&look);
	ck_assert(!look.failed);
	take(&c.out, c.out.left - look.left, composite);
	struct reader sig = reader_sized(&c.out);
	take(&sig, sig.left, signature);
	ck_assert(reader_done(&c.out));
	return rc;
}

bool
test_verify_quote(EVP_PKEY *key, const uint8_t *external, const struct blob *composite,
		  const struct blob *signature)
{
	uint8_t info[8 + 2 * TPM_DIGEST_SIZE] = { 1, 1, 0, 0, 'Q', 'U', 'O', 'T' };
	uint8_t digest[TPM_DIGEST_SIZE];

	composite_digest(composite->data, composite->len, info + 8);
	memcpy(info + 8 + TPM_DIGEST_SIZE, external, TPM_DIGEST_SIZE);
	reference_sha1(digest, info, sizeof(info));
	return reference_verify_sha1(key, signature->data, signature->len, digest);
}

TPM_RESULT
test_extend(struct tpm *tpm, uint32_t pcr, const uint8_t *digest, uint8_t *value)
{
	struct call c;

	call_begin(&c, tpm, TPM_ORD_Extend);
	writer_u32(&c.params, pcr);
	writer_bytes(&c.params, digest, TPM_DIGEST_SIZE);
	TPM_RESULT rc = call_run(&c);
	if (rc == TPM_SUCCESS)
		reader_bytes(&c.out, value, TPM_DIGEST_SIZE);
	return rc;
}

TPM_RESULT
test_pcr_read(struct tpm *tpm, uint32_t pcr, uint8_t *value)
{
	struct call c;

	call_begin(&c, tpm, TPM_ORD_PcrRead);
	writer_u32(&c.params, pcr);
	TPM_RESULT rc = call_run(&c);
	if (rc == TPM_SUCCESS)
		reader_bytes(&c.out, value, TPM_DIGEST_SIZE);
	return rc;
}

TPM_RESULT
test_get_capability(struct tpm *tpm, uint32_t area, const void *sub, size_t sub_len,
		    struct blob *answer)
{
	struct call c;

	call_begin(&c, tpm, TPM_ORD_GetCapability);
	writer_u32(&c.params, area);
	writer_sized(&c.params, sub, sub_len);
	return call_run_into(&c, answer);
}

uint32_t
test_get_capability_u32(struct tpm *tpm, uint32_t area, uint32_t sub)
{
	uint8_t bytes[4];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct blob answer;

	writer_u32(&w, sub);
	ck_assert_uint_eq(test_get_capability(tpm, area, bytes, sizeof(bytes), &answer),
			  TPM_SUCCESS);
	ck_assert_uint_eq(answer.len, 4);
	struct reader r = reader_of(answer.data, answer.len);
	return reader_u32(&r);
}

bool
test_flag(struct tpm *tpm, uint32_t flags, unsigned flag)
{
	uint8_t sub[4];
	struct writer w = writer_of(sub, sizeof(sub));
	struct blob answer;

	writer_u32(&w, flags);
	ck_assert_uint_eq(test_get_capability(tpm, TPM_CAP_FLAG, sub, sizeof(sub), &answer),
			  TPM_SUCCESS);
	ck_assert_uint_lt(1 + flag, answer.len);
	return answer.data[1 + flag]; /* behind the structure's tag; the first flag is number 1 */
}

static const uint8_t digest_to_sign[TPM_DIGEST_SIZE] = "twenty bytes to sign";

struct test_session
test_oiap_open(struct tpm *tpm, const uint8_t *auth)
{
	struct test_session s;

	ck_assert_uint_eq(test_oiap(tpm, &s, auth), TPM_SUCCESS);
	s.close = false;
	return s;
}

TPM_RESULT
test_sign_in(struct tpm *tpm, uint32_t key, struct test_session *s)
{
	struct call c;

	call_begin(&c, tpm, TPM_ORD_Sign);
	call_handle(&c, key);
	writer_sized(&c.params, digest_to_sign, sizeof(digest_to_sign));
	call_session(&c, s);
	return call_run(&c);
}

void
test_assert_signs(struct tpm *tpm, uint32_t handle, const struct blob *key)
{
	EVP_PKEY *public = test_key_public(key);
	struct blob signature;

	ck_assert_uint_eq(
	    test_sign(tpm, handle, key_auth, digest_to_sign, sizeof(digest_to_sign), &signature),
	    TPM_SUCCESS);
	ck_assert(reference_verify_sha1(public, signature.data, signature.len, digest_to_sign));
	EVP_PKEY_free(public);
}
