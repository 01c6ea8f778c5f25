#include "tests/unit/support.h"

#include <openssl/rsa.h>

/* A key that decrypts, with its public half as others know it. */
struct target {
	uint32_t handle;
	uint16_t encScheme;
	EVP_PKEY *public;
};

static struct target
make_target(struct tpm *tpm, uint16_t usage, uint16_t encScheme, const struct blob *pcr_info)
{
	struct key_template t = { .usage = usage,
				  .authDataUsage = TPM_AUTH_ALWAYS,
				  .encScheme = encScheme,
				  .sigScheme = usage == TPM_KEY_LEGACY ? TPM_SS_RSASSAPKCS1v15_SHA1
								       : TPM_SS_NONE,
				  .bits = 512,
				  .pcr_info = pcr_info };
	struct target target = { .encScheme = encScheme };
	struct blob key;

	target.handle = test_make_key(tpm, &t, &key);
	target.public = test_key_public(&key);
	return target;
}

static void
encrypt(const struct target *target, const void *data, size_t len, struct blob *encrypted)
{
	bool oaep = target->encScheme == TPM_ES_RSAESOAEP_SHA1_MGF1;
	int done = reference_rsa(target->public, REFERENCE_ENCRYPT,
				 oaep ? RSA_PKCS1_OAEP_PADDING : RSA_PKCS1_PADDING, encrypted->data,
				 data, len);

	ck_assert_int_gt(done, 0);
	encrypted->len = (size_t)done;
}

/* Encrypts a TPM_BOUND_DATA. */
static void
bind(const struct target *target, const char *message, struct blob *bound)
{
	uint8_t buf[64];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_u32(&w, 0x01010000);
	writer_u8(&w, TPM_PT_BIND);
	writer_bytes(&w, message, strlen(message));
	encrypt(target, buf, w.len, bound);
}

static TPM_RESULT
unbind(struct tpm *tpm, uint32_t key, const uint8_t *auth, const struct blob *bound,
       struct blob *data)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_UnBind, auth);
	call_handle(&c, key);
	writer_sized(&c.params, bound->data, bound->len);
	return call_run_into(&c, data);
}

static void
assert_unbinds(struct tpm *tpm, const struct target *target, const struct blob *bound,
	       const char *message)
{
	struct blob data;

	ck_assert_uint_eq(unbind(tpm, target->handle, key_auth, bound, &data), TPM_SUCCESS);
	ck_assert_uint_eq(data.len, strlen(message));
	ck_assert_mem_eq(data.data, message, data.len);
}

static const struct {
	uint16_t usage, encScheme;
} schemes[] = {
	{ TPM_KEY_BIND, TPM_ES_RSAESOAEP_SHA1_MGF1 },
	{ TPM_KEY_BIND, TPM_ES_RSAESPKCSv15 },
	{ TPM_KEY_LEGACY, TPM_ES_RSAESOAEP_SHA1_MGF1 },
	{ TPM_KEY_LEGACY, TPM_ES_RSAESPKCSv15 },
};

START_TEST(bound_data_comes_back)
{
	static const char *const messages[] = { "", "x", "17 bytes, no more" };
	struct tpm *tpm = test_owned_tpm();

	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
		struct target target =
		    make_target(tpm, schemes[i].usage, schemes[i].encScheme, NULL);
		bool plain = schemes[i].usage == TPM_KEY_LEGACY &&
			     schemes[i].encScheme == TPM_ES_RSAESPKCSv15;

		for (size_t k = 0; k < sizeof(messages) / sizeof(*messages); k++) {
			struct blob bound;

			if (plain)
				encrypt(&target, messages[k], strlen(messages[k]), &bound);
			else
				bind(&target, messages[k], &bound);
			assert_unbinds(tpm, &target, &bound, messages[k]);
		}
		EVP_PKEY_free(target.public);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(the_revision_in_bound_data_is_ignored)
{
	struct tpm *tpm = test_owned_tpm();
	struct target target = make_target(tpm, TPM_KEY_BIND, TPM_ES_RSAESOAEP_SHA1_MGF1, NULL);
	struct blob bound;

	encrypt(&target, "\1\1\3\21\2text", 9, &bound);
	assert_unbinds(tpm, &target, &bound, "text");
	EVP_PKEY_free(target.public);
	tpm_free(tpm);
}
END_TEST

START_TEST(data_without_its_structure_is_refused)
{
	static const struct {
		const char *data;
		size_t len;
	} wrong[] = {
		{ "plain", 5 },       { "\1\1\0\0\2", 4 },  { "\1\2\0\0\2x", 6 },
		{ "\1\1\0\0\5x", 6 }, { "x\1\1\0\0\2", 6 },
	};
	struct tpm *tpm = test_owned_tpm();

	for (size_t i = 0; i < 3; i++) { /* but for a legacy key with PKCS #1 v1.5 */
		struct target target =
		    make_target(tpm, schemes[i].usage, schemes[i].encScheme, NULL);

		for (size_t k = 0; k < sizeof(wrong) / sizeof(*wrong); k++) {
			struct blob encrypted, data;

			encrypt(&target, wrong[k].data, wrong[k].len, &encrypted);
			ck_assert_uint_eq(unbind(tpm, target.handle, key_auth, &encrypted, &data),
					  TPM_INVALID_STRUCTURE);
		}
		EVP_PKEY_free(target.public);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(what_is_no_encryption_to_the_key_is_refused)
{
	struct tpm *tpm = test_owned_tpm();

	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
		struct target target =
		    make_target(tpm, schemes[i].usage, schemes[i].encScheme, NULL);
		struct target other =
		    make_target(tpm, schemes[i].usage, schemes[i].encScheme, NULL);
		struct blob bound, data;

		bind(&other, "for the other key", &bound);
		ck_assert_uint_eq(unbind(tpm, target.handle, key_auth, &bound, &data),
				  TPM_DECRYPT_ERROR);
		bind(&target, "x", &bound);
		bound.len--;
		ck_assert_uint_eq(unbind(tpm, target.handle, key_auth, &bound, &data),
				  TPM_DECRYPT_ERROR);
		bound.len += 2;
		ck_assert_uint_eq(unbind(tpm, target.handle, key_auth, &bound, &data),
				  TPM_DECRYPT_ERROR);
		bound.len = 0;
		ck_assert_uint_eq(unbind(tpm, target.handle, key_auth, &bound, &data),
				  TPM_BAD_PARAMETER);
		EVP_PKEY_free(target.public);
		EVP_PKEY_free(other.public);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(unbinding_needs_the_keys_authdata)
{
	struct tpm *tpm = test_owned_tpm();
	struct target target = make_target(tpm, TPM_KEY_BIND, TPM_ES_RSAESPKCSv15, NULL);
	struct blob bound, data;

	bind(&target, "x", &bound);
	ck_assert_uint_eq(unbind(tpm, target.handle, wrong_auth, &bound, &data), TPM_AUTHFAIL);
	ck_assert_uint_eq(unbind(tpm, target.handle, NULL, &bound, &data), TPM_AUTHFAIL);
	EVP_PKEY_free(target.public);
	tpm_free(tpm);
}
END_TEST

START_TEST(keys_of_other_usages_do_not_unbind)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t key = test_make_key(tpm, &test_signing_key, NULL);
	struct blob bound = { .len = 128 }, data;

	ck_assert_uint_eq(unbind(tpm, key, key_auth, &bound, &data), TPM_INVALID_KEYUSAGE);
	ck_assert_uint_eq(unbind(tpm, TPM_KH_SRK, srk_auth, &bound, &data), TPM_INVALID_KEYUSAGE);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_bound_key_unbinds_while_its_registers_are_right)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob pcr_info, bound, data;
	uint8_t value[TPM_DIGEST_SIZE];

	test_pcr_info(tpm, 1u << 7, &pcr_info);
	struct target target =
	    make_target(tpm, TPM_KEY_BIND, TPM_ES_RSAESOAEP_SHA1_MGF1, &pcr_info);
	bind(&target, "volume key", &bound);
	assert_unbinds(tpm, &target, &bound, "volume key");
	ck_assert_uint_eq(test_extend(tpm, 7, key_auth, value), TPM_SUCCESS);
	ck_assert_uint_eq(unbind(tpm, target.handle, key_auth, &bound, &data), TPM_WRONGPCRVAL);
	EVP_PKEY_free(target.public);
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		bound_data_comes_back,
		the_revision_in_bound_data_is_ignored,
		data_without_its_structure_is_refused,
		what_is_no_encryption_to_the_key_is_refused,
		unbinding_needs_the_keys_authdata,
		keys_of_other_usages_do_not_unbind,
		a_bound_key_unbinds_while_its_registers_are_right,
		NULL,
	};

	return test_suite("storage_bind", tests);
}
