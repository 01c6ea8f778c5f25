/* Admin testing [TPM Main Part 3, 4]: every algorithm by known answers. */
#include "tpmcore/commands.h"

/* NIST SP 800-38A, F.5.1 and F.4.1: key, one block, counter and OFB. */
static const uint8_t aes_key[] = { 0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6,
				   0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c };
static const uint8_t aes_plain[] = { 0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96,
				     0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a };
static const uint8_t aes_ctr_iv[] = { 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7,
				      0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff };
static const uint8_t aes_ctr[] = { 0x87, 0x4d, 0x61, 0x91, 0xb6, 0x20, 0xe3, 0x26,
				   0x1b, 0xef, 0x68, 0x64, 0x99, 0x0d, 0xb6, 0xce };
static const uint8_t aes_ofb_iv[] = { 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07,
				      0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f };
static const uint8_t aes_ofb[] = { 0x3b, 0x3f, 0xd9, 0x2e, 0xb7, 0x2d, 0xad, 0x20,
				   0x33, 0x34, 0x49, 0xf8, 0xe8, 0x3c, 0xfb, 0x4a };

/* FIPS 180-2, A.1: SHA-1 of "abc". RFC 2202, 3: HMAC of "Hi There" with 20 times 0x0b. */
static const uint8_t sha1_abc[] = { 0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e,
				    0x25, 0x71, 0x78, 0x50, 0xc2, 0x6c, 0x9c, 0xd0, 0xd8, 0x9d };
static const uint8_t hmac_hi_there[] = {
	0xb6, 0x17, 0x31, 0x86, 0x55, 0x05, 0x72, 0x64, 0xe2, 0x8b,
	0xc0, 0xb6, 0xfb, 0x37, 0x8c, 0x8e, 0xf1, 0x46, 0xbe, 0x00
};

/* A key made for this purpose, and the SHA-1 of its signature of SHA-1("abc"). */
static const struct rsa_key rsa_key = {
	.n = { 0xe3, 0xc7, 0xb5, 0xe0, 0xd0, 0xae, 0x71, 0x74, 0x57, 0x17, 0xa6, 0xbd, 0x0a,
	       0x36, 0xa5, 0xa1, 0xac, 0x30, 0xd2, 0x26, 0x7c, 0x11, 0x86, 0xf8, 0x75, 0x7f,
	       0x94, 0x96, 0x34, 0x7c, 0xea, 0x5e, 0xc1, 0x68, 0xc9, 0xfc, 0x4b, 0x37, 0x0b,
	       0x24, 0xe2, 0x71, 0x18, 0xdc, 0x05, 0x3e, 0xf3, 0x81, 0xc1, 0xe1, 0x6c, 0x5f,
	       0xcf, 0x7c, 0x94, 0xb1, 0x7e, 0xd1, 0xfe, 0xd0, 0x8d, 0x75, 0x82, 0x6d },
	.n_len = 64,
	.e = 65537,
	.has_private = true,
	.p = { 0xfe, 0x52, 0x67, 0x72, 0xe9, 0x28, 0xf3, 0x71, 0x40, 0x82, 0x49,
	       0x13, 0x5c, 0xa6, 0x78, 0x5a, 0x0c, 0x70, 0x70, 0x91, 0x72, 0x71,
	       0x0a, 0xd5, 0x53, 0xe0, 0xaf, 0x12, 0x82, 0x4a, 0xbb, 0x67 },
};
static const uint8_t rsa_signature[] = {
	0xeb, 0x2e, 0xe7, 0xdd, 0x65, 0xe1, 0xf1, 0xc5, 0xf9, 0x75,
	0x27, 0x64, 0x88, 0xed, 0x39, 0xc4, 0xf9, 0x0e, 0x1b, 0xf1
};

static bool
sha1_works(struct tpm *tpm)
{
	uint8_t digest[DIGEST_SIZE];
	struct sha1_thread thread;

	(void)tpm;
	crypto_sha1(digest, SPANS(SPAN("abc", 3)));
	if (memcmp(digest, sha1_abc, DIGEST_SIZE) != 0)
		return false;
	crypto_sha1_start(&thread);
	crypto_sha1_update(&thread, "abc", 3);
	crypto_sha1_final(&thread, digest);
	return memcmp(digest, sha1_abc, DIGEST_SIZE) == 0;
}

static bool
hmac_works(struct tpm *tpm)
{
	uint8_t key[20], hmac[DIGEST_SIZE];

	(void)tpm;
	memset(key, 0x0b, sizeof(key));
	crypto_hmac(hmac, key, sizeof(key), SPANS(SPAN("Hi There", 8)));
	return memcmp(hmac, hmac_hi_there, DIGEST_SIZE) == 0;
}

static bool
aes_works(struct tpm *tpm)
{
	uint8_t out[CRYPTO_AES_BLOCK];

	(void)tpm;
	if (crypto_aes_ctr(out, aes_plain, sizeof(out), aes_key, aes_ctr_iv) ||
	    memcmp(out, aes_ctr, sizeof(out)) != 0)
		return false;
	return !crypto_aes_ofb(out, aes_plain, sizeof(out), aes_key, aes_ofb_iv) &&
	       memcmp(out, aes_ofb, sizeof(out)) == 0;
}

static bool
rsa_signature_works(struct tpm *tpm)
{
	uint8_t signature[CRYPTO_RSA_MAX], digest[DIGEST_SIZE];

	(void)tpm;
	if (crypto_rsa_sign_sha1(&rsa_key, signature, sha1_abc, NULL))
		return false;
	crypto_sha1(digest, SPANS(SPAN(signature, rsa_key.n_len)));
	return memcmp(digest, rsa_signature, DIGEST_SIZE) == 0 &&
	       crypto_rsa_verify_sha1(&rsa_key, signature, rsa_key.n_len, sha1_abc);
}

static bool
rsa_encryption_works(struct tpm *tpm)
{
	uint8_t encrypted[CRYPTO_RSA_MAX], decrypted[CRYPTO_RSA_MAX];
	size_t len;

	(void)tpm;
	if (crypto_rsa_encrypt_oaep(&rsa_key, encrypted, sha1_abc, DIGEST_SIZE, NULL, 0) ||
	    crypto_rsa_decrypt_oaep(&rsa_key, decrypted, &len, encrypted, rsa_key.n_len, NULL, 0,
				    NULL))
		return false;
	return len == DIGEST_SIZE && memcmp(decrypted, sha1_abc, len) == 0;
}

/* Two draws that are alike mean that the platform's generator is stuck. */
static bool
random_works(struct tpm *tpm)
{
	uint8_t a[DIGEST_SIZE], b[DIGEST_SIZE];

	return !tpm_random(tpm, a, sizeof(a)) && !tpm_random(tpm, b, sizeof(b)) &&
	       memcmp(a, b, sizeof(a)) != 0;
}

static const struct {
	const char *name;
	bool (*works)(struct tpm *tpm);
} tests[] = {
	{ "SHA-1", sha1_works },
	{ "HMAC", hmac_works },
	{ "AES", aes_works },
	{ "RSA signature", rsa_signature_works },
	{ "RSA encryption", rsa_encryption_works },
	{ "random numbers", random_works },
};

/* The name of the first test that fails, or NULL. */
static const char *
first_failure(struct tpm *tpm)
{
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		if (!tests[i].works(tpm))
			return tests[i].name;
	return NULL;
}

/* A TPM that failed stays so until TPM_Init. */
static TPM_RESULT
self_test(struct tpm *tpm)
{
	if (first_failure(tpm))
		tpm_fail(tpm);
	return tpm->stany.self_test_failed ? TPM_FAILEDSELFTEST : TPM_SUCCESS;
}

TPM_RESULT
tpm_SelfTestFull(struct command *c)
{
	return self_test(c->tpm);
}

TPM_RESULT
tpm_ContinueSelfTest(struct command *c)
{
	return self_test(c->tpm);
}

TPM_RESULT
tpm_GetTestResult(struct command *c)
{
	const char *failure = first_failure(c->tpm);
	const char *text = failure ? failure : "passed";

	if (!failure && c->tpm->stany.self_test_failed)
		text = "TPM_Startup(ST_STATE) without saved state";
	writer_sized(&c->out, text, strlen(text));
	return TPM_SUCCESS;
}
