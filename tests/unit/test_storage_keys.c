#include "tests/unit/support.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/rsa.h>

static const uint8_t digest[TPM_DIGEST_SIZE] = "twenty bytes exactly";

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* ---- TPM_CreateWrapKey ---- */

/* The combinations of usage and schemes that there are, and the least size. */
static const struct {
	uint16_t usage, enc, sig;
	uint32_t least;
} kinds[] = {
	{ TPM_KEY_SIGNING, TPM_ES_NONE, TPM_SS_RSASSAPKCS1v15_SHA1, 512 },
	{ TPM_KEY_SIGNING, TPM_ES_NONE, TPM_SS_RSASSAPKCS1v15_DER, 512 },
	{ TPM_KEY_SIGNING, TPM_ES_NONE, TPM_SS_RSASSAPKCS1v15_INFO, 512 },
	{ TPM_KEY_STORAGE, TPM_ES_RSAESOAEP_SHA1_MGF1, TPM_SS_NONE, 2048 },
	{ TPM_KEY_BIND, TPM_ES_RSAESOAEP_SHA1_MGF1, TPM_SS_NONE, 512 },
	{ TPM_KEY_BIND, TPM_ES_RSAESPKCSv15, TPM_SS_NONE, 512 },
	{ TPM_KEY_LEGACY, TPM_ES_RSAESOAEP_SHA1_MGF1, TPM_SS_RSASSAPKCS1v15_SHA1, 512 },
	{ TPM_KEY_LEGACY, TPM_ES_RSAESPKCSv15, TPM_SS_RSASSAPKCS1v15_DER, 512 },
	{ TPM_KEY_MIGRATE, TPM_ES_RSAESOAEP_SHA1_MGF1, TPM_SS_NONE, 2048 },
};

static struct key_template
template_of(size_t kind)
{
	return (struct key_template) {
		.usage = kinds[kind].usage,
		.authDataUsage = TPM_AUTH_ALWAYS,
		.encScheme = kinds[kind].enc,
		.sigScheme = kinds[kind].sig,
		.bits = kinds[kind].least,
	};
}

/* That the new key is as asked for: all up to pubKey; test_key_public looks at the rest. */
static void
assert_key_is(const struct blob *key, const struct key_template *t)
{
	uint8_t expected[TPM_BUFFER_SIZE];
	struct writer w = writer_of(expected, sizeof(expected));

	write_key_template(&w, t);
	ck_assert_uint_gt(key->len, w.len);
	ck_assert_mem_eq(key->data, expected, w.len - 8);
	EVP_PKEY_free(test_key_public(key));
}

START_TEST(keys_of_every_kind_are_made_and_loaded)
{
	static const uint32_t flags[] = { 0, TPM_MIGRATABLE, TPM_VOLATILE, TPM_PCRIGNOREDONREAD };
	static const uint8_t usages[] = { TPM_AUTH_NEVER, TPM_AUTH_ALWAYS, TPM_AUTH_PRIV_USE_ONLY };
	struct tpm *tpm = test_owned_tpm();

	for (size_t i = 0; i < COUNT(kinds); i++) {
		struct key_template t = template_of(i);
		struct blob key;

		t.flags = flags[i % COUNT(flags)];
		t.authDataUsage = usages[i % COUNT(usages)];
		t.key12 = i % 2;
		uint32_t handle = test_make_key(tpm, &t, &key);
		assert_key_is(&key, &t);
		ck_assert_uint_eq(test_flush(tpm, handle, TPM_RT_KEY), TPM_SUCCESS);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(keys_have_the_wanted_size_and_exponent)
{
	static const uint32_t sizes[] = { 512, 768, 1024, 1536, 2048 };
	static const uint32_t exponents[] = { 0, 3, 5, 17, 65537 };
	struct tpm *tpm = test_owned_tpm();

	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct key_template t = template_of(0);
		struct blob key, signature;

		t.bits = sizes[i];
		t.exponent = exponents[i];
		uint32_t handle = test_make_key(tpm, &t, &key);
		EVP_PKEY *public = test_key_public(&key);
		assert_key_is(&key, &t);
		ck_assert_uint_eq(test_sign(tpm, handle, key_auth, digest, 20, &signature),
				  TPM_SUCCESS);
		ck_assert(reference_verify_sha1(public, signature.data, signature.len, digest));
		EVP_PKEY_free(public);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(a_key_that_cannot_be_is_not_made)
{
	static const struct {
		size_t kind;
		struct key_template change; /* what is not 0 replaces the kind's */
		TPM_RESULT expected;
	} wrong[] = {
		{ 0, { .usage = TPM_KEY_IDENTITY }, TPM_INVALID_KEYUSAGE },
		{ 4, { .usage = TPM_KEY_AUTHCHANGE }, TPM_INVALID_KEYUSAGE },
		{ 0, { .usage = 0x17 }, TPM_INVALID_KEYUSAGE },
		{ 0, { .flags = TPM_MIGRATEAUTHORITY }, TPM_INVALID_KEYUSAGE },
		{ 0, { .bits = 256 }, TPM_BAD_KEY_PROPERTY },
		{ 0, { .bits = 500 }, TPM_BAD_KEY_PROPERTY },
		{ 0, { .bits = 2056 }, TPM_BAD_KEY_PROPERTY },
		{ 0, { .bits = 4096 }, TPM_BAD_KEY_PROPERTY },
		{ 0, { .bits = 0xfffffff0 }, TPM_BAD_KEY_PROPERTY },
		{ 3, { .bits = 1024 }, TPM_BAD_KEY_PROPERTY },
		{ 8, { .bits = 1024 }, TPM_BAD_KEY_PROPERTY },
		{ 0, { .exponent = 1 }, TPM_BAD_KEY_PROPERTY },
		{ 0, { .exponent = 2 }, TPM_BAD_KEY_PROPERTY },
		{ 0, { .exponent = 65539 }, TPM_BAD_KEY_PROPERTY },
		{ 3, { .exponent = 3 }, TPM_BAD_KEY_PROPERTY },
		{ 8, { .exponent = 17 }, TPM_BAD_KEY_PROPERTY },
		{ 0, { .encScheme = TPM_ES_RSAESOAEP_SHA1_MGF1 }, TPM_BAD_KEY_PROPERTY },
		{ 3, { .encScheme = TPM_ES_RSAESPKCSv15 }, TPM_BAD_KEY_PROPERTY },
		{ 4, { .encScheme = TPM_ES_NONE }, TPM_BAD_KEY_PROPERTY },
		{ 0, { .sigScheme = TPM_SS_NONE }, TPM_BAD_KEY_PROPERTY },
		{ 3, { .sigScheme = TPM_SS_RSASSAPKCS1v15_SHA1 }, TPM_BAD_KEY_PROPERTY },
		{ 6, { .sigScheme = TPM_SS_RSASSAPKCS1v15_INFO }, TPM_BAD_KEY_PROPERTY },
		{ 0, { .sigScheme = 99 }, TPM_BAD_KEY_PROPERTY },
	};
	struct tpm *tpm = test_owned_tpm();

	for (size_t i = 0; i < COUNT(wrong); i++) {
		const struct key_template *change = &wrong[i].change;
		struct key_template t = template_of(wrong[i].kind);
		struct blob key;

		t.usage = change->usage ? change->usage : t.usage;
		t.flags = change->flags;
		t.bits = change->bits ? change->bits : t.bits;
		t.exponent = change->exponent;
		t.encScheme = change->encScheme ? change->encScheme : t.encScheme;
		t.sigScheme = change->sigScheme ? change->sigScheme : t.sigScheme;
		TPM_RESULT rc = test_create_key(tpm, &t, &key);
		ck_assert_msg(rc == wrong[i].expected, "%zu: %u", i, rc);
	}
	tpm_free(tpm);
}
END_TEST

/* A template with its bytes changed at one place. */
static TPM_RESULT
create_patched(struct tpm *tpm, const struct key_template *t, size_t at, uint32_t value)
{
	struct test_session s;
	struct call c;

	call_begin_osap(&c, &s, tpm, TPM_ORD_CreateWrapKey, TPM_KH_SRK, srk_auth);
	call_new_auth(&c, false, key_auth);
	call_new_auth(&c, true, migration_auth);
	size_t begin = c.params.len;
	write_key_template(&c.params, t);
	writer_patch_u32(&c.params, begin + at, value);
	return call_run(&c);
}

START_TEST(parameters_of_other_algorithms_are_refused)
{
	enum { ALGORITHM_AT = 11, PRIMES_AT = 27 };
	struct key_template t = template_of(0);
	struct tpm *tpm = test_owned_tpm();

	ck_assert_uint_eq(create_patched(tpm, &t, ALGORITHM_AT, TPM_ALG_RSA), TPM_SUCCESS);
	ck_assert_uint_eq(create_patched(tpm, &t, ALGORITHM_AT, TPM_ALG_AES), TPM_BAD_KEY_PROPERTY);
	ck_assert_uint_eq(create_patched(tpm, &t, ALGORITHM_AT, TPM_ALG_SHA), TPM_BAD_KEY_PROPERTY);
	ck_assert_uint_eq(create_patched(tpm, &t, PRIMES_AT, 3), TPM_BAD_KEY_PROPERTY);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_key_is_of_version_1_1_or_tagged)
{
	struct key_template t = template_of(0);
	struct tpm *tpm = test_owned_tpm();

	t.key12 = false;
	ck_assert_uint_eq(create_patched(tpm, &t, 0, 0x01010000), TPM_SUCCESS);
	ck_assert_uint_eq(create_patched(tpm, &t, 0, 0x01010203), TPM_SUCCESS);
	ck_assert_uint_eq(create_patched(tpm, &t, 0, 0x01020000), TPM_BAD_VERSION);
	ck_assert_uint_eq(create_patched(tpm, &t, 0, 0x02010000), TPM_BAD_VERSION);
	ck_assert_uint_eq(create_patched(tpm, &t, 0, TPM_TAG_KEY12 << 16), TPM_SUCCESS);
	ck_assert_uint_eq(create_patched(tpm, &t, 0, TPM_TAG_KEY12 << 16 | 1), TPM_BAD_VERSION);
	ck_assert_uint_eq(create_patched(tpm, &t, 0, TPM_TAG_KEY << 16), TPM_BAD_VERSION);
	tpm_free(tpm);
}
END_TEST

START_TEST(malformed_registers_of_a_key_are_refused)
{
	struct key_template t = template_of(0);
	struct tpm *tpm = test_owned_tpm();
	struct blob info, key;

	test_pcr_info(tpm, 1, &info);
	t.pcr_info = &info;
	info.len--;
	ck_assert_uint_eq(test_create_key(tpm, &t, &key), TPM_INVALID_PCR_INFO);
	info.len += 2;
	ck_assert_uint_eq(test_create_key(tpm, &t, &key), TPM_INVALID_PCR_INFO);
	info.len--;
	t.key12 = true; /* needs the long structure */
	ck_assert_uint_eq(test_create_key(tpm, &t, &key), TPM_INVALID_PCR_INFO);
	test_pcr_info_long(tpm, 0, 1, 0, &info); /* no locality */
	ck_assert_uint_eq(test_create_key(tpm, &t, &key), TPM_INVALID_PCR_INFO);
	tpm_free(tpm);
}
END_TEST

START_TEST(only_storage_keys_have_children)
{
	struct key_template migratable = test_storage_key, child = template_of(0);
	struct tpm *tpm = test_owned_tpm();
	uint32_t signing = test_make_key(tpm, &test_signing_key, NULL);
	struct blob key;

	ck_assert_uint_eq(test_create_key_under(tpm, signing, key_auth, &child, &key),
			  TPM_INVALID_KEYUSAGE);
	migratable.flags = TPM_MIGRATABLE;
	uint32_t parent = test_make_key(tpm, &migratable, NULL);
	ck_assert_uint_eq(test_create_key_under(tpm, parent, key_auth, &child, &key),
			  TPM_INVALID_KEYUSAGE); /* what must stay, below what may go */
	child.flags = TPM_MIGRATABLE;
	uint32_t handle;
	ck_assert_uint_eq(test_create_key_under(tpm, parent, key_auth, &child, &key), TPM_SUCCESS);
	ck_assert_uint_eq(test_load_key_under(tpm, parent, key_auth, &key, &handle), TPM_SUCCESS);
	ck_assert_uint_eq(test_load_key_under(tpm, signing, key_auth, &key, &handle),
			  TPM_INVALID_KEYUSAGE);
	ck_assert_uint_eq(test_load_key(tpm, &key, &handle), TPM_DECRYPT_ERROR);
	ck_assert_uint_eq(test_create_key_under(tpm, parent, wrong_auth, &child, &key),
			  TPM_AUTHFAIL);
	tpm_free(tpm);
}
END_TEST

/* ---- TPM_LoadKey, TPM_LoadKey2 ---- */

START_TEST(no_byte_of_a_key_can_be_changed)
{
	struct key_template t = template_of(0);
	struct tpm *tpm = test_owned_tpm();
	struct blob key, pcr_info;
	uint32_t handle;

	test_pcr_info(tpm, 1, &pcr_info);
	t.pcr_info = &pcr_info;
	ck_assert_uint_eq(test_create_key(tpm, &t, &key), TPM_SUCCESS);
	for (size_t i = 0; i < key.len; i += i < 88 ? 1 : 23) {
		key.data[i] ^= 1;
		ck_assert_msg(test_load_key(tpm, &key, &handle) != TPM_SUCCESS, "byte %zu", i);
		key.data[i] ^= 1;
		test_reboot(tpm); /* sessions of a command that was not parsed are left */
	}
	ck_assert_uint_eq(test_load_key(tpm, &key, &handle), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(loading_needs_the_parents_authdata)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob key;
	uint32_t handle;

	ck_assert_uint_eq(test_create_key(tpm, &test_bind_key, &key), TPM_SUCCESS);
	ck_assert_uint_eq(test_load_key_under(tpm, TPM_KH_SRK, wrong_auth, &key, &handle),
			  TPM_AUTHFAIL);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_old_command_loads_keys_too)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob key, signature;
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(test_create_key(tpm, &test_signing_key, &key), TPM_SUCCESS);
	call_begin_oiap(&c, &s, tpm, TPM_ORD_LoadKey, srk_auth);
	call_handle(&c, TPM_KH_SRK);
	writer_bytes(&c.params, key.data, key.len);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	ck_assert_uint_eq(test_sign(tpm, c.handle, key_auth, digest, 20, &signature), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(slots_run_out_and_come_back)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t most = test_get_capability_u32(tpm, TPM_CAP_PROPERTY, TPM_CAP_PROP_MAX_KEYS);
	uint32_t handle, handles[64];
	struct blob key, damaged;

	ck_assert_uint_ge(most, 20);
	ck_assert_uint_le(most, COUNT(handles));
	ck_assert_uint_eq(test_create_key(tpm, &test_bind_key, &key), TPM_SUCCESS);
	damaged = key;
	damaged.data[damaged.len - 1] ^= 1;
	for (uint32_t i = 0; i < most; i++) { /* what fails takes no slot */
		ck_assert_uint_eq(test_load_key(tpm, &damaged, &handle), TPM_DECRYPT_ERROR);
		ck_assert_uint_eq(test_load_key(tpm, &key, &handles[i]), TPM_SUCCESS);
		for (uint32_t k = 0; k < i; k++)
			ck_assert_uint_ne(handles[i], handles[k]);
	}
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(test_load_key(tpm, &key, &handle), TPM_NOSPACE);
		ck_assert_uint_eq(test_flush(tpm, handles[i], TPM_RT_KEY), TPM_SUCCESS);
		ck_assert_uint_eq(test_load_key(tpm, &key, &handles[i]), TPM_SUCCESS);
	}
	tpm_free(tpm);
}
END_TEST

/* ---- Keys that software made ---- */

static void
write_number(struct writer *w, const EVP_PKEY *key, const char *name, size_t len)
{
	BIGNUM *number = NULL;
	uint8_t bytes[128];

	ck_assert(EVP_PKEY_get_bn_param(key, name, &number));
	ck_assert_int_eq(BN_bn2binpad(number, bytes, (int)len), (int)len);
	writer_sized(w, bytes, len);
	BN_free(number);
}

/* A 512-bit signing key wrapped to the SRK, as a TSS does it: modulus of public, prime of private;
 * payload is that of the TPM_STORE_ASYMKEY. */
static void
wrap(EVP_PKEY *srk, EVP_PKEY *public, EVP_PKEY *private, uint32_t flags, uint8_t payload,
     struct blob *wrapped)
{
	struct key_template t = template_of(0);
	uint8_t plain[256], enc[256], pubDataDigest[TPM_DIGEST_SIZE];
	struct writer w = writer_of(wrapped->data, sizeof(wrapped->data));

	t.flags = flags;
	write_key_template(&w, &t);
	w.len -= 8; /* pubKey and encData, which were empty */
	write_number(&w, public, OSSL_PKEY_PARAM_RSA_N, 64);
	reference_sha1(pubDataDigest, wrapped->data, w.len);

	struct writer p = writer_of(plain, sizeof(plain));
	writer_u8(&p, payload);
	writer_bytes(&p, key_auth, TPM_DIGEST_SIZE);
	writer_bytes(&p, migration_auth, TPM_DIGEST_SIZE);
	writer_bytes(&p, pubDataDigest, TPM_DIGEST_SIZE);
	write_number(&p, private, OSSL_PKEY_PARAM_RSA_FACTOR1, 32);
	ck_assert_int_eq(
	    reference_rsa(srk, REFERENCE_ENCRYPT, RSA_PKCS1_OAEP_PADDING, enc, plain, p.len),
	    sizeof(enc));
	writer_sized(&w, enc, sizeof(enc));
	wrapped->len = w.len;
}

START_TEST(a_key_of_software_loads_as_one_that_migrates)
{
	struct tpm *tpm = test_owned_tpm();
	EVP_PKEY *srk = test_srk_public(tpm), *key = EVP_RSA_gen(512);
	struct blob wrapped, signature;
	uint32_t handle;

	wrap(srk, key, key, TPM_MIGRATABLE, TPM_PT_ASYM, &wrapped);
	ck_assert_uint_eq(test_load_key(tpm, &wrapped, &handle), TPM_SUCCESS);
	ck_assert_uint_eq(test_sign(tpm, handle, key_auth, digest, 20, &signature), TPM_SUCCESS);
	ck_assert(reference_verify_sha1(key, signature.data, signature.len, digest));

	/* but not as one that never left a TPM, or as a certified one */
	static const struct {
		uint32_t flags;
		uint8_t payload;
	} false_claims[] = {
		{ 0, TPM_PT_ASYM },
		{ TPM_MIGRATEAUTHORITY, TPM_PT_ASYM },
		{ TPM_MIGRATABLE | TPM_MIGRATEAUTHORITY, TPM_PT_ASYM },
		{ TPM_MIGRATABLE, TPM_PT_MIGRATE_RESTRICTED },
		{ TPM_MIGRATABLE, TPM_PT_SEAL },
		{ TPM_MIGRATABLE, TPM_PT_MIGRATE },
	};
	for (size_t i = 0; i < COUNT(false_claims); i++) {
		wrap(srk, key, key, false_claims[i].flags, false_claims[i].payload, &wrapped);
		ck_assert_uint_eq(test_load_key(tpm, &wrapped, &handle), TPM_INVALID_KEYUSAGE);
	}
	EVP_PKEY_free(srk);
	EVP_PKEY_free(key);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_private_key_that_does_not_fit_the_public_one_is_refused)
{
	struct tpm *tpm = test_owned_tpm();
	EVP_PKEY *srk = test_srk_public(tpm), *key = EVP_RSA_gen(512), *other = EVP_RSA_gen(512);
	struct blob wrapped;
	uint32_t handle;

	wrap(srk, key, other, TPM_MIGRATABLE, TPM_PT_ASYM, &wrapped);
	ck_assert_uint_eq(test_load_key(tpm, &wrapped, &handle), TPM_BAD_KEY_PROPERTY);
	EVP_PKEY_free(srk);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
	tpm_free(tpm);
}
END_TEST

/* ---- TPM_GetPubKey, and keys bound to registers ---- */

static TPM_RESULT
get_pubkey(struct tpm *tpm, uint32_t key, const uint8_t *auth, struct blob *pubkey)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_GetPubKey, auth);
	call_handle(&c, key);
	return call_run_all(&c, pubkey);
}

START_TEST(the_public_key_is_for_who_may_see_it)
{
	static const struct {
		uint8_t authDataUsage;
		TPM_RESULT without_auth;
	} cases[] = {
		{ TPM_AUTH_NEVER, TPM_SUCCESS },
		{ TPM_AUTH_PRIV_USE_ONLY, TPM_SUCCESS },
		{ TPM_AUTH_ALWAYS, TPM_AUTHFAIL },
	};
	struct tpm *tpm = test_owned_tpm();

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct key_template t = template_of(0);
		struct blob key, pubkey, signature;

		t.authDataUsage = cases[i].authDataUsage;
		uint32_t handle = test_make_key(tpm, &t, &key);
		EVP_PKEY *made = test_key_public(&key);
		ck_assert_uint_eq(get_pubkey(tpm, handle, NULL, &pubkey), cases[i].without_auth);
		ck_assert_uint_eq(get_pubkey(tpm, handle, wrong_auth, &pubkey), TPM_AUTHFAIL);
		ck_assert_uint_eq(get_pubkey(tpm, handle, key_auth, &pubkey), TPM_SUCCESS);
		EVP_PKEY *read = test_pubkey_public(&pubkey);
		ck_assert_int_eq(EVP_PKEY_eq(made, read), 1);
		EVP_PKEY_free(made);
		EVP_PKEY_free(read);

		/* use of the private half is another matter */
		struct call c;
		call_begin(&c, tpm, TPM_ORD_Sign);
		call_handle(&c, handle);
		writer_sized(&c.params, digest, 20);
		ck_assert_uint_eq(call_run_into(&c, &signature),
				  t.authDataUsage == TPM_AUTH_NEVER ? TPM_SUCCESS : TPM_AUTHFAIL);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(the_srk_is_read_when_its_flag_is_set)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session s;
	struct blob pubkey;
	struct call c;

	ck_assert_uint_eq(get_pubkey(tpm, TPM_KH_SRK, srk_auth, &pubkey), TPM_INVALID_KEYHANDLE);
	call_begin_oiap(&c, &s, tpm, TPM_ORD_SetCapability, owner_auth);
	writer_u32(&c.params, TPM_SET_PERM_FLAGS);
	writer_sized(&c.params, "\0\0\0\x11", 4); /* TPM_PF_READSRKPUB */
	writer_sized(&c.params, "\1", 1);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	ck_assert_uint_eq(get_pubkey(tpm, TPM_KH_SRK, srk_auth, &pubkey), TPM_SUCCESS);
	EVP_PKEY_free(test_pubkey_public(&pubkey));
	tpm_free(tpm);
}
END_TEST

START_TEST(a_bound_key_is_used_while_its_registers_and_locality_are_right)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob info, signature, pubkey;
	uint8_t value[TPM_DIGEST_SIZE];
	uint32_t keys[3];

	for (int i = 0; i < 3; i++) { /* by TPM_PCR_INFO, _LONG, and one that may be read */
		struct key_template t = template_of(0);

		if (i == 1)
			test_pcr_info_long(tpm, 1, 1u << 5, TPM_LOC_ZERO | TPM_LOC_TWO, &info);
		else
			test_pcr_info(tpm, 1u << 5, &info);
		t.key12 = i == 1;
		t.pcr_info = &info;
		t.flags = i == 2 ? TPM_PCRIGNOREDONREAD : 0;
		keys[i] = test_make_key(tpm, &t, NULL);
	}
	for (bench.locality = 0; bench.locality <= 4; bench.locality++) {
		bool allowed = bench.locality == 0 || bench.locality == 2;

		ck_assert_uint_eq(test_sign(tpm, keys[1], key_auth, digest, 20, &signature),
				  allowed ? TPM_SUCCESS : TPM_BAD_LOCALITY);
		ck_assert_uint_eq(test_sign(tpm, keys[0], key_auth, digest, 20, &signature),
				  TPM_SUCCESS);
	}
	bench.locality = 0;
	ck_assert_uint_eq(test_extend(tpm, 5, digest, value), TPM_SUCCESS);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(test_sign(tpm, keys[i], key_auth, digest, 20, &signature),
				  TPM_WRONGPCRVAL);
		ck_assert_uint_eq(get_pubkey(tpm, keys[i], key_auth, &pubkey),
				  i == 2 ? TPM_SUCCESS : TPM_WRONGPCRVAL);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(a_bound_parent_opens_while_its_registers_are_right)
{
	struct key_template parent = test_storage_key, child = template_of(0);
	struct tpm *tpm = test_owned_tpm();
	uint8_t value[TPM_DIGEST_SIZE];
	struct blob info, key;
	uint32_t handle;

	test_pcr_info(tpm, 1u << 5, &info);
	parent.pcr_info = &info;
	uint32_t bound = test_make_key(tpm, &parent, NULL);
	ck_assert_uint_eq(test_create_key_under(tpm, bound, key_auth, &child, &key), TPM_SUCCESS);
	ck_assert_uint_eq(test_load_key_under(tpm, bound, key_auth, &key, &handle), TPM_SUCCESS);
	ck_assert_uint_eq(test_extend(tpm, 5, digest, value), TPM_SUCCESS);
	ck_assert_uint_eq(test_load_key_under(tpm, bound, key_auth, &key, &handle),
			  TPM_WRONGPCRVAL);
	ck_assert_uint_eq(test_create_key_under(tpm, bound, key_auth, &child, &key),
			  TPM_WRONGPCRVAL);
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		keys_of_every_kind_are_made_and_loaded,
		keys_have_the_wanted_size_and_exponent,
		a_key_that_cannot_be_is_not_made,
		parameters_of_other_algorithms_are_refused,
		a_key_is_of_version_1_1_or_tagged,
		malformed_registers_of_a_key_are_refused,
		only_storage_keys_have_children,
		no_byte_of_a_key_can_be_changed,
		loading_needs_the_parents_authdata,
		the_old_command_loads_keys_too,
		slots_run_out_and_come_back,
		a_key_of_software_loads_as_one_that_migrates,
		a_private_key_that_does_not_fit_the_public_one_is_refused,
		the_public_key_is_for_who_may_see_it,
		the_srk_is_read_when_its_flag_is_set,
		a_bound_key_is_used_while_its_registers_and_locality_are_right,
		a_bound_parent_opens_while_its_registers_are_right,
		NULL,
	};

	return test_suite("storage_keys", tests);
}
