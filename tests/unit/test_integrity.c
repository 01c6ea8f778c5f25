#include "tests/unit/support.h"

static const uint8_t zeros[TPM_DIGEST_SIZE], digest[TPM_DIGEST_SIZE] = "what is measured ...";
static const uint8_t ones[TPM_DIGEST_SIZE] = { 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
					       255, 255, 255, 255, 255, 255, 255, 255, 255, 255 };
static const uint8_t external[TPM_DIGEST_SIZE] = "the challenger's one";

/* The PC Client specification's table: the localities, as digits, that may extend and reset. */
static const struct {
	uint32_t pcr;
	const char *extend, *reset;
} attributes[] = {
	{ 0, "01234", "" },  { 1, "01234", "" },       { 2, "01234", "" },
	{ 3, "01234", "" },  { 4, "01234", "" },       { 5, "01234", "" },
	{ 6, "01234", "" },  { 7, "01234", "" },       { 8, "01234", "" },
	{ 9, "01234", "" },  { 10, "01234", "" },      { 11, "01234", "" },
	{ 12, "01234", "" }, { 13, "01234", "" },      { 14, "01234", "" },
	{ 15, "01234", "" }, { 16, "01234", "01234" }, { 17, "234", "4" },
	{ 18, "234", "4" },  { 19, "23", "4" },        { 20, "123", "24" },
	{ 21, "2", "2" },    { 22, "2", "2" },         { 23, "01234", "01234" },
};

static bool
listed(const char *localities, unsigned locality)
{
	return strchr(localities, (int)('0' + locality)) != NULL;
}

static void
assert_pcr(struct tpm *tpm, uint32_t pcr, const uint8_t *expected)
{
	uint8_t value[TPM_DIGEST_SIZE];

	ck_assert_uint_eq(test_pcr_read(tpm, pcr, value), TPM_SUCCESS);
	ck_assert_mem_eq(value, expected, sizeof(value));
}

static TPM_RESULT
reset(struct tpm *tpm, uint32_t pcrs)
{
	struct call c;

	call_begin(&c, tpm, TPM_ORD_PCR_Reset);
	write_pcr_selection(&c.params, pcrs);
	return call_run(&c);
}

START_TEST(extending_hashes_the_old_value_and_the_new_digest)
{
	struct tpm *tpm = test_tpm();
	uint8_t expected[2 * TPM_DIGEST_SIZE] = { 0 }, value[TPM_DIGEST_SIZE];

	memcpy(expected + TPM_DIGEST_SIZE, digest, TPM_DIGEST_SIZE);
	for (int i = 0; i < 3; i++) {
		reference_sha1(expected, expected, sizeof(expected));
		ck_assert_uint_eq(test_extend(tpm, 5, digest, value), TPM_SUCCESS);
		ck_assert_mem_eq(value, expected, sizeof(value));
		assert_pcr(tpm, 5, expected);
	}
	assert_pcr(tpm, 4, zeros);
	assert_pcr(tpm, 6, zeros);
	tpm_free(tpm);
}
END_TEST

START_TEST(there_are_24_registers)
{
	static const uint32_t beyond[] = { 24, 255, 0x80000000, 0xffffffff };
	struct tpm *tpm = test_tpm();
	uint8_t value[TPM_DIGEST_SIZE];

	for (size_t i = 0; i < sizeof(beyond) / sizeof(*beyond); i++) {
		ck_assert_uint_eq(test_extend(tpm, beyond[i], digest, value), TPM_BADINDEX);
		ck_assert_uint_eq(test_pcr_read(tpm, beyond[i], value), TPM_BADINDEX);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(each_locality_extends_its_own_registers)
{
	struct tpm *tpm = test_tpm();

	for (size_t i = 0; i < TPM_NUM_PCR; i++)
		for (unsigned locality = 0; locality <= 4; locality++) {
			uint8_t before[TPM_DIGEST_SIZE], value[TPM_DIGEST_SIZE];
			uint32_t pcr = attributes[i].pcr;

			ck_assert_uint_eq(test_pcr_read(tpm, pcr, before), TPM_SUCCESS);
			bench.locality = locality;
			if (listed(attributes[i].extend, locality)) {
				ck_assert_uint_eq(test_extend(tpm, pcr, digest, value),
						  TPM_SUCCESS);
				ck_assert_mem_ne(value, before, sizeof(value));
			} else {
				ck_assert_uint_eq(test_extend(tpm, pcr, digest, value),
						  TPM_BAD_LOCALITY);
				assert_pcr(tpm, pcr, before);
			}
		}
	tpm_free(tpm);
}
END_TEST

START_TEST(each_locality_resets_its_own_registers)
{
	struct tpm *tpm = test_tpm();

	for (size_t i = 0; i < TPM_NUM_PCR; i++)
		for (unsigned locality = 0; locality <= 4; locality++) {
			const char *may = attributes[i].reset;
			uint8_t before[TPM_DIGEST_SIZE];
			uint32_t pcr = attributes[i].pcr;
			TPM_RESULT refusal = *may ? TPM_NOTLOCAL : TPM_NOTRESETABLE;

			bench.locality = 2;
			ck_assert_uint_eq(test_extend(tpm, pcr, digest, before), TPM_SUCCESS);
			bench.locality = locality;
			ck_assert_uint_eq(reset(tpm, 1u << pcr),
					  listed(may, locality) ? TPM_SUCCESS : refusal);
			if (!listed(may, locality))
				assert_pcr(tpm, pcr, before);
			else
				assert_pcr(tpm, pcr, pcr == 16 || pcr == 23 ? zeros : ones);
		}
	tpm_free(tpm);
}
END_TEST

START_TEST(registers_of_a_trusted_operating_system_reset_to_zero)
{
	struct tpm *tpm = test_tpm();
	uint8_t value[TPM_DIGEST_SIZE];
	unsigned changes;

	ck_assert_uint_eq(tpm_hash_start(tpm, &changes), TPM_SUCCESS);
	ck_assert_uint_eq(tpm_hash_end(tpm, &changes), TPM_SUCCESS);
	bench.locality = 2;
	ck_assert_uint_eq(test_extend(tpm, 20, digest, value), TPM_SUCCESS);
	ck_assert_uint_eq(reset(tpm, 1u << 20), TPM_SUCCESS);
	assert_pcr(tpm, 20, zeros);
	tpm_free(tpm);
}
END_TEST

START_TEST(registers_are_reset_together_or_not_at_all)
{
	struct tpm *tpm = test_tpm();
	uint8_t value[TPM_DIGEST_SIZE], other[TPM_DIGEST_SIZE];

	ck_assert_uint_eq(test_extend(tpm, 16, digest, value), TPM_SUCCESS);
	ck_assert_uint_eq(reset(tpm, 1u << 16 | 1u << 8), TPM_NOTRESETABLE);
	assert_pcr(tpm, 16, value);
	ck_assert_uint_eq(reset(tpm, 1u << 16 | 1u << 21), TPM_NOTLOCAL);
	assert_pcr(tpm, 16, value);
	ck_assert_uint_eq(test_extend(tpm, 23, digest, other), TPM_SUCCESS);
	ck_assert_uint_eq(reset(tpm, 1u << 16 | 1u << 23), TPM_SUCCESS);
	assert_pcr(tpm, 16, zeros);
	assert_pcr(tpm, 23, zeros);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_selection_that_is_none_resets_nothing)
{
	struct tpm *tpm = test_tpm();
	struct call c;

	ck_assert_uint_eq(reset(tpm, 0), TPM_INVALID_PCR_INFO);
	call_begin(&c, tpm, TPM_ORD_PCR_Reset);
	writer_u16(&c.params, 4); /* registers 0 to 31 */
	writer_u32(&c.params, 0x00000100);
	ck_assert_uint_eq(call_run(&c), TPM_INVALID_PCR_INFO);
	call_begin(&c, tpm, TPM_ORD_PCR_Reset);
	writer_u16(&c.params, 0);
	ck_assert_uint_eq(call_run(&c), TPM_INVALID_PCR_INFO);
	tpm_free(tpm);
}
END_TEST

/* The composite that a TPM answered, put together from TPM_PCRRead. */
static void
assert_composite(struct tpm *tpm, uint32_t pcrs, const struct blob *composite)
{
	uint8_t expected[2 + TPM_NUM_PCR / 8 + 4 + TPM_NUM_PCR * TPM_DIGEST_SIZE];
	struct writer w = writer_of(expected, sizeof(expected));

	write_pcr_selection(&w, pcrs);
	writer_u32(&w, (uint32_t)__builtin_popcount(pcrs) * TPM_DIGEST_SIZE);
	for (uint32_t i = 0; i < TPM_NUM_PCR; i++)
		if (pcrs >> i & 1)
			ck_assert_uint_eq(
			    test_pcr_read(tpm, i, writer_reserve(&w, TPM_DIGEST_SIZE)),
			    TPM_SUCCESS);
	ck_assert_uint_eq(composite->len, w.len);
	ck_assert_mem_eq(composite->data, expected, w.len);
}

START_TEST(a_quote_shows_the_registers_and_is_signed)
{
	static const uint32_t selections[] = { 0, 1, 0x8001, 0x3ff, 0x800000, 0xffffff };
	struct tpm *tpm = test_owned_tpm();
	struct blob key, composite, signature;
	uint32_t handle = test_make_key(tpm, &test_signing_key, &key);
	EVP_PKEY *public = test_key_public(&key);
	uint8_t value[TPM_DIGEST_SIZE];

	for (size_t i = 0; i < sizeof(selections) / sizeof(*selections); i++) {
		ck_assert_uint_eq(test_extend(tpm, 0, digest, value), TPM_SUCCESS);
		ck_assert_uint_eq(test_quote(tpm, handle, key_auth, external, selections[i],
					     &composite, &signature),
				  TPM_SUCCESS);
		assert_composite(tpm, selections[i], &composite);
		ck_assert(test_verify_quote(public, external, &composite, &signature));
		ck_assert(!test_verify_quote(public, digest, &composite, &signature));
	}
	ck_assert_uint_eq(test_quote(tpm, handle, wrong_auth, external, 1, &composite, &signature),
			  TPM_AUTHFAIL);
	EVP_PKEY_free(public);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_quote_keeps_the_size_of_the_selection)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob key;
	uint32_t handle = test_make_key(tpm, &test_signing_key, &key);
	struct test_session s;
	struct call c;

	for (uint16_t size = 1; size <= 4; size++) {
		call_begin_oiap(&c, &s, tpm, TPM_ORD_Quote, key_auth);
		call_handle(&c, handle);
		writer_bytes(&c.params, external, sizeof(external));
		writer_u16(&c.params, size);
		memset(writer_reserve(&c.params, size), 0x81, size);
		ck_assert_uint_eq(call_run(&c), size <= 3 ? TPM_SUCCESS : TPM_INVALID_PCR_INFO);
		if (size > 3)
			continue;
		ck_assert_uint_eq(reader_u16(&c.out), size);
		reader_view(&c.out, size);
		ck_assert_uint_eq(reader_u32(&c.out), 2u * size * TPM_DIGEST_SIZE);
	}
	tpm_free(tpm);
}
END_TEST

/* TPM_Quote2 of PCRs; info: TPM_PCR_INFO_SHORT. */
static TPM_RESULT
quote2(struct tpm *tpm, uint32_t key, uint32_t pcrs, bool addVersion, struct blob *info,
       struct blob *version, struct blob *signature)
{
	enum { INFO_SIZE = 2 + 3 + 1 + TPM_DIGEST_SIZE };
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_Quote2, key_auth);
	call_handle(&c, key);
	writer_bytes(&c.params, external, sizeof(external));
	write_pcr_selection(&c.params, pcrs);
	writer_u8(&c.params, addVersion);
	TPM_RESULT rc = call_run(&c);
	if (rc)
		return rc;
	info->len = INFO_SIZE;
	reader_bytes(&c.out, info->data, info->len);
	struct reader v = reader_sized(&c.out), sig = reader_sized(&c.out);
	ck_assert(reader_done(&c.out));
	version->len = v.left;
	reader_bytes(&v, version->data, version->len);
	signature->len = sig.left;
	reader_bytes(&sig, signature->data, signature->len);
	return rc;
}

static bool
verify_quote2(EVP_PKEY *key, const struct blob *info, const struct blob *version,
	      const struct blob *signature)
{
	uint8_t buf[256], quoted[TPM_DIGEST_SIZE];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_u16(&w, TPM_TAG_QUOTE_INFO2);
	writer_bytes(&w, "QUT2", 4);
	writer_bytes(&w, external, sizeof(external));
	writer_bytes(&w, info->data, info->len);
	writer_bytes(&w, version->data, version->len);
	reference_sha1(quoted, buf, w.len);
	return reference_verify_sha1(key, signature->data, signature->len, quoted);
}

START_TEST(quote2_adds_locality_and_version)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob key, info, version, version_val, signature;
	uint32_t handle = test_make_key(tpm, &test_signing_key, &key);
	EVP_PKEY *public = test_key_public(&key);
	uint8_t expected[TPM_DIGEST_SIZE];

	ck_assert_uint_eq(test_get_capability(tpm, TPM_CAP_VERSION_VAL, NULL, 0, &version_val),
			  TPM_SUCCESS);
	test_composite_digest(tpm, 0x20003, expected);
	for (unsigned i = 0; i <= 4; i++) {
		bool addVersion = i % 2;

		bench.locality = i;
		ck_assert_uint_eq(
		    quote2(tpm, handle, 0x20003, addVersion, &info, &version, &signature),
		    TPM_SUCCESS);
		ck_assert_mem_eq(info.data,
				 ((uint8_t[]) { 0, 3, 0x03, 0x00, 0x02, (uint8_t)(1 << i) }), 6);
		ck_assert_mem_eq(info.data + 6, expected, sizeof(expected));
		ck_assert_uint_eq(version.len, addVersion ? version_val.len : 0);
		if (addVersion)
			ck_assert_mem_eq(version.data, version_val.data, version.len);
		ck_assert(verify_quote2(public, &info, &version, &signature));
	}
	EVP_PKEY_free(public);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_digest_of_no_registers_is_zero)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t key = test_make_key(tpm, &test_signing_key, NULL);
	struct blob info, version, signature;

	ck_assert_uint_eq(quote2(tpm, key, 0, false, &info, &version, &signature), TPM_SUCCESS);
	ck_assert_mem_eq(info.data + info.len - sizeof(zeros), zeros, sizeof(zeros));
	tpm_free(tpm);
}
END_TEST

START_TEST(only_keys_that_sign_quote)
{
	static const struct {
		uint16_t usage, enc, sig;
		TPM_RESULT expected;
	} keys[] = {
		{ TPM_KEY_SIGNING, TPM_ES_NONE, TPM_SS_RSASSAPKCS1v15_SHA1, TPM_SUCCESS },
		{ TPM_KEY_SIGNING, TPM_ES_NONE, TPM_SS_RSASSAPKCS1v15_INFO, TPM_SUCCESS },
		{ TPM_KEY_SIGNING, TPM_ES_NONE, TPM_SS_RSASSAPKCS1v15_DER, TPM_INAPPROPRIATE_SIG },
		{ TPM_KEY_LEGACY, TPM_ES_RSAESPKCSv15, TPM_SS_RSASSAPKCS1v15_SHA1, TPM_SUCCESS },
		{ TPM_KEY_BIND, TPM_ES_RSAESPKCSv15, TPM_SS_NONE, TPM_INAPPROPRIATE_SIG },
	};
	struct tpm *tpm = test_owned_tpm();

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		struct key_template t = { .usage = keys[i].usage,
					  .authDataUsage = TPM_AUTH_ALWAYS,
					  .encScheme = keys[i].enc,
					  .sigScheme = keys[i].sig,
					  .bits = 512 };
		struct blob key, composite, version, signature;
		uint32_t handle = test_make_key(tpm, &t, &key);
		EVP_PKEY *public = test_key_public(&key);

		ck_assert_uint_eq(
		    test_quote(tpm, handle, key_auth, external, 0xff, &composite, &signature),
		    keys[i].expected);
		ck_assert(keys[i].expected ||
			  test_verify_quote(public, external, &composite, &signature));
		ck_assert_uint_eq(quote2(tpm, handle, 0xff, true, &composite, &version, &signature),
				  keys[i].expected);
		ck_assert(keys[i].expected ||
			  verify_quote2(public, &composite, &version, &signature));
		EVP_PKEY_free(public);
		ck_assert_uint_eq(test_flush(tpm, handle, TPM_RT_KEY), TPM_SUCCESS);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(the_srk_does_not_quote)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob composite, signature;

	ck_assert_uint_eq(
	    test_quote(tpm, TPM_KH_SRK, srk_auth, external, 1, &composite, &signature),
	    TPM_INAPPROPRIATE_SIG);
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		extending_hashes_the_old_value_and_the_new_digest,
		there_are_24_registers,
		each_locality_extends_its_own_registers,
		each_locality_resets_its_own_registers,
		registers_of_a_trusted_operating_system_reset_to_zero,
		registers_are_reset_together_or_not_at_all,
		a_selection_that_is_none_resets_nothing,
		a_quote_shows_the_registers_and_is_signed,
		a_quote_keeps_the_size_of_the_selection,
		quote2_adds_locality_and_version,
		the_digest_of_no_registers_is_zero,
		only_keys_that_sign_quote,
		the_srk_does_not_quote,
		NULL,
	};

	return test_suite("integrity", tests);
}
