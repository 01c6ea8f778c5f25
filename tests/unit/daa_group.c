#include "tests/unit/daa_group.h"

#include <openssl/rsa.h>

struct daa_group daa_group;

const uint8_t daa_ne[TPM_DIGEST_SIZE] = "a nonce of an issuer";
const uint8_t daa_message[TPM_DIGEST_SIZE] = "what is to be signed";
const uint8_t daa_challenge[TPM_DIGEST_SIZE] = "a verifier's own one";

/* A subgroup of order q, 208 bits, modulo gamma, 2048 bits, and an element of it. */
static const char q_hex[] = "efcacf8a4fdb23ed692d63009103e40b2ab6adc7c82c69f6bc51";
static const char gamma_hex[] =
    "d204367f61cccd8232fd320fe3a5bdbcfc59a66abf76c715b947b35520bd30efcbb3828b"
    "f08ed7f1139700d0e8a83ef7ba4a7d0ad0c1cfcfbadb15bba3b25ee031a96fd6f6e644d8"
    "119f7ee0ee88cfe519b74cf4b582fc50ffe69ef50b53a91d4b64de7a837b19827f96abba"
    "cc8c03f47f4fb00e447bf31103dcc7e4857fed98160345ef5add1d5de5ac061e4a8eae3b"
    "c46ffa6e13c2e381edf2b19de962029445fa13c6f949add9d4363f5f2a6075de93247dc8"
    "238336d7e7c5a07000069b94b0722a852798294aeb7b3f6cb3bd7f6311cbb441d9629e71"
    "b8537c760e5c2de439749ce68c2274bbf89c6f279b7ae73352b0fd0f36a56bd8039453a2"
    "82f2e4c3";
static const char w_hex[] =
    "931c066d67202e86c30f38c77a9218dd0a9c239cc2975e4186c83429a06df35f1848ab53"
    "519e2639695d858c3c2e178518347894959cedd65e500c8621d776ad169751fa2948029d"
    "2b762fa9f2a896e355d21d26d19e8e99576731fda0467195274262f5ef70610495b9520d"
    "e00ffabab78baf48d27c75e594e561dcdbeb1449a5b3faa85a08b7148c38c92dc4470e95"
    "5d263010de8715eac039b3e150bd783b167e65e93e82d6348b38d40c5bc78a87ab272f85"
    "3af2cb5492d5194883b55a28fcad7dfa7479b6a723158df4896924af35839d272b24b56d"
    "5ea1e99af1fa7c1858a75d500fbeb58c29ba80e0c87333303bfee5808cfdb5656cdac858"
    "6bd0ccbc";

static BIGNUM *
number(const uint8_t *data, size_t len)
{
	return BN_bin2bn(data, (int)len, NULL);
}

BIGNUM *
daa_number_of(const struct daa_input *in)
{
	return number(in->data, in->len);
}

struct daa_input
daa_input_of(const void *data, size_t len)
{
	struct daa_input in = { .len = len };

	ck_assert_uint_le(len, sizeof(in.data));
	if (len > 0)
		memcpy(in.data, data, len);
	return in;
}

static struct daa_input
input_of_number(const BIGNUM *v)
{
	struct daa_input in = { .len = DAA_MODULUS_SIZE };

	ck_assert_int_eq(BN_bn2binpad(v, in.data, DAA_MODULUS_SIZE), DAA_MODULUS_SIZE);
	return in;
}

/* base^x mod m, times *product, which it replaces. */
static void
multiply(BIGNUM **product, const BIGNUM *base, const BIGNUM *x, const BIGNUM *m)
{
	BN_CTX *ctx = BN_CTX_new();
	BIGNUM *power = BN_new();

	ck_assert(BN_mod_exp(power, base, x, m, ctx));
	ck_assert(BN_mod_mul(*product, *product, power, m, ctx));
	BN_free(power);
	BN_CTX_free(ctx);
}

static BIGNUM *
random_square(const BIGNUM *n)
{
	BN_CTX *ctx = BN_CTX_new();
	BIGNUM *v = BN_new();

	ck_assert(BN_rand_range(v, n));
	ck_assert(BN_mod_sqr(v, v, n, ctx));
	BN_CTX_free(ctx);
	return v;
}

static void
add_digest(struct writer *w, const struct daa_input *in)
{
	uint8_t digest[TPM_DIGEST_SIZE];

	reference_sha1(digest, in->data, in->len);
	writer_bytes(w, digest, sizeof(digest));
}

void
daa_set_up(void)
{
	uint8_t buf[DAA_MODULUS_SIZE];
	BIGNUM *shift = BN_new();
	struct writer w = writer_of(daa_group.settings.data, sizeof(daa_group.settings.data));

	daa_group.tpm = test_owned_tpm();
	daa_group.first_key = soft_key_new(2048);
	daa_group.key = soft_key_new(2048);
	daa_group.n = number(daa_group.key.n, DAA_MODULUS_SIZE);
	daa_group.R0 = random_square(daa_group.n);
	daa_group.R1 = random_square(daa_group.n);
	daa_group.S0 = random_square(daa_group.n);
	daa_group.S1 = BN_new();
	BN_one(daa_group.S1);
	BN_set_bit(shift, TPM_DAA_power1);
	multiply(&daa_group.S1, daa_group.S0, shift, daa_group.n);
	BN_free(shift);
	daa_group.gamma = number(buf, reference_hex(buf, sizeof(buf), gamma_hex));
	daa_group.w = number(buf, reference_hex(buf, sizeof(buf), w_hex));
	daa_group.in_n = input_of_number(daa_group.n);
	daa_group.in_R0 = input_of_number(daa_group.R0);
	daa_group.in_R1 = input_of_number(daa_group.R1);
	daa_group.in_S0 = input_of_number(daa_group.S0);
	daa_group.in_S1 = input_of_number(daa_group.S1);
	daa_group.in_gamma = input_of_number(daa_group.gamma);
	daa_group.in_w = input_of_number(daa_group.w);

	writer_u16(&w, TPM_TAG_DAA_ISSUER);
	add_digest(&w, &daa_group.in_R0);
	add_digest(&w, &daa_group.in_R1);
	add_digest(&w, &daa_group.in_S0);
	add_digest(&w, &daa_group.in_S1);
	add_digest(&w, &daa_group.in_n);
	add_digest(&w, &daa_group.in_gamma);
	writer_bytes(&w, buf, reference_hex(buf, sizeof(buf), q_hex));
	daa_group.settings.len = w.len;
}

void
daa_tear_down(void)
{
	BIGNUM *numbers[] = { daa_group.n,  daa_group.R0,    daa_group.R1, daa_group.S0,
			      daa_group.S1, daa_group.gamma, daa_group.w };

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		BN_free(numbers[i]);
	soft_key_free(&daa_group.first_key);
	soft_key_free(&daa_group.key);
	tpm_free(daa_group.tpm);
}

/* A signature of an issuer's key on bytes. */
static struct daa_input
signed_by(const struct soft_key *key, const void *data, size_t len)
{
	struct daa_input in = { .len = DAA_MODULUS_SIZE };
	uint8_t digest[TPM_DIGEST_SIZE];

	reference_sha1(digest, data, len);
	soft_key_sign(key, digest, in.data);
	return in;
}

TPM_RESULT
daa_command(uint32_t ordinal, uint32_t session, uint8_t stage, const struct daa_input *in0,
	    const struct daa_input *in1, struct daa_input *out)
{
	struct test_session s;
	struct blob answer;
	struct call c;

	call_begin_oiap(&c, &s, daa_group.tpm, ordinal, owner_auth);
	call_handle(&c, session);
	writer_u8(&c.params, stage);
	writer_sized(&c.params, in0->data, in0->len);
	writer_sized(&c.params, in1->data, in1->len);
	TPM_RESULT rc = call_run_into(&c, &answer);
	if (rc == TPM_SUCCESS) {
		ck_assert(reader_done(&c.out));
		*out = daa_input_of(answer.data, answer.len);
	}
	return rc;
}

TPM_RESULT
daa_run_step(uint32_t ordinal, uint32_t *session, const struct daa_step *step,
	     struct daa_input *out)
{
	TPM_RESULT rc = daa_command(ordinal, *session, step->stage, &step->in0, &step->in1, out);

	if (rc == TPM_SUCCESS && step->stage == 0) {
		struct reader r = reader_of(out->data, out->len);
		*session = reader_u32(&r);
		ck_assert(reader_done(&r));
	}
	return rc;
}

size_t
daa_join_steps(struct daa_step *steps)
{
	uint8_t chain[DAA_MODULUS_SIZE + TPM_DIGEST_SIZE], count[] = { 0, 0, 0, 2 },
							   credential[] = { 0, 0, 0, 7 };
	struct test_session s;
	struct daa_input none = { 0 }, encrypted_ne = { .len = 256 }, n0, signature;
	struct blob pubkey;
	struct call c;
	uint8_t to_sign[TPM_DIGEST_SIZE + sizeof(daa_group.settings.data)];

	call_begin_oiap(&c, &s, daa_group.tpm, TPM_ORD_OwnerReadPubek, owner_auth);
	ck_assert_uint_eq(call_run_all(&c, &pubkey), TPM_SUCCESS);
	EVP_PKEY *ek = test_pubkey_public(&pubkey);
	ck_assert_int_eq(reference_rsa(ek, REFERENCE_ENCRYPT, RSA_PKCS1_OAEP_PADDING,
				       encrypted_ne.data, daa_ne, sizeof(daa_ne)),
			 256);
	EVP_PKEY_free(ek);
	n0 = daa_input_of(daa_group.first_key.n, DAA_MODULUS_SIZE);
	reference_sha1(chain, daa_group.first_key.n, DAA_MODULUS_SIZE);
	memcpy(to_sign, chain, TPM_DIGEST_SIZE);
	memcpy(to_sign + TPM_DIGEST_SIZE, daa_group.settings.data, daa_group.settings.len);
	signature = signed_by(&daa_group.key, to_sign, TPM_DIGEST_SIZE + daa_group.settings.len);

	const struct daa_step all[] = {
		{ 0, daa_input_of(count, 4), none },
		{ 1, n0, none },
		{ 1, daa_group.in_n,
		  signed_by(&daa_group.first_key, daa_group.key.n, DAA_MODULUS_SIZE) },
		{ 2, daa_group.settings, signature },
		{ 3, daa_input_of(credential, 4), none },
		{ 4, daa_group.in_R0, daa_group.in_n },
		{ 5, daa_group.in_R1, daa_group.in_n },
		{ 6, daa_group.in_S0, daa_group.in_n },
		{ 7, daa_group.in_S1, daa_group.in_n },
		{ 8, encrypted_ne, none },
		{ 9, daa_group.in_R0, daa_group.in_n },
		{ 10, daa_group.in_R1, daa_group.in_n },
		{ 11, daa_group.in_S0, daa_group.in_n },
		{ 12, daa_group.in_S1, daa_group.in_n },
		{ 13, daa_group.in_gamma, daa_group.in_w },
		{ 14, daa_group.in_gamma, none },
		{ 15, daa_group.in_gamma, none },
		{ 16, daa_input_of(daa_challenge, 20), none },
		{ 17, none, none },
		{ 18, none, none },
		{ 19, none, none },
		{ 20, none, none },
		{ 21, none, none },
		{ 22, { .len = TPM_DAA_SIZE_v0, .data = { 1, 2, 3 } }, none },
		{ 23, { .len = TPM_DAA_SIZE_v1, .data = { 0, 4, 5, 6 } }, none },
		{ 24, none, none },
	};
	memcpy(steps, all, sizeof(all));
	return sizeof(all) / sizeof(*all);
}

size_t
daa_sign_steps(struct daa_step *steps)
{
	static const uint8_t selector[] = { 1 };
	struct daa_input none = { 0 };
	const struct daa_step all[] = {
		{ 0, daa_group.settings, none },
		{ 1, daa_group.out[24], none },
		{ 2, daa_group.in_R0, daa_group.in_n },
		{ 3, daa_group.in_R1, daa_group.in_n },
		{ 4, daa_group.in_S0, daa_group.in_n },
		{ 5, daa_group.in_S1, daa_group.in_n },
		{ 6, daa_group.in_gamma, daa_group.in_w },
		{ 7, daa_group.in_gamma, none },
		{ 8, daa_group.in_gamma, none },
		{ 9, daa_input_of(daa_challenge, 20), none },
		{ 10, daa_input_of(selector, 1), daa_input_of(daa_message, 20) },
		{ 11, none, none },
		{ 12, none, none },
		{ 13, daa_group.out[22], none },
		{ 14, daa_group.out[22], none },
		{ 15, daa_group.out[23], none },
	};
	memcpy(steps, all, sizeof(all));
	return sizeof(all) / sizeof(*all);
}

void
daa_run_all(uint32_t ordinal, const struct daa_step *steps, size_t count, struct daa_input *out)
{
	uint32_t session = 0;

	for (size_t i = 0; i < count; i++)
		ck_assert_uint_eq(daa_run_step(ordinal, &session, &steps[i], &out[steps[i].stage]),
				  TPM_SUCCESS);
	ck_assert_uint_eq(test_flush(daa_group.tpm, session, TPM_RT_DAA_TPM), TPM_BAD_HANDLE);
}

void
daa_join_group(void)
{
	struct daa_step steps[DAA_MAX_STEPS];

	daa_run_all(TPM_ORD_DAA_Join, steps, daa_join_steps(steps), daa_group.out);
}

bool
daa_proves(const struct daa_input *s0, const struct daa_input *s1, const struct daa_input *s2,
	   const struct daa_input *s3, const BIGNUM *T, const BIGNUM *U, const uint8_t *c)
{
	const struct {
		const BIGNUM *base;
		const struct daa_input *exponent;
	} parts[] = { { daa_group.R0, s0 },
		      { daa_group.R1, s1 },
		      { daa_group.S0, s2 },
		      { daa_group.S1, s3 } };
	BIGNUM *left = BN_new(), *right = BN_dup(T), *x;

	BN_one(left);
	for (int i = 0; i < 4; i++) {
		x = daa_number_of(parts[i].exponent);
		multiply(&left, parts[i].base, x, daa_group.n);
		BN_free(x);
	}
	x = number(c, TPM_DIGEST_SIZE);
	multiply(&right, U, x, daa_group.n);
	bool equal = BN_cmp(left, right) == 0;
	BN_free(x);
	BN_free(left);
	BN_free(right);
	return equal;
}

bool
daa_pseudonym_proves(const struct daa_input *s0, const struct daa_input *s1,
		     const struct daa_input *E, const struct daa_input *E1, const uint8_t *c)
{
	BIGNUM *left = BN_new(), *right = daa_number_of(E1), *pseudonym = daa_number_of(E);
	BIGNUM *low = daa_number_of(s0), *high = daa_number_of(s1), *x = number(c, TPM_DIGEST_SIZE);

	BN_one(left);
	BN_lshift(high, high, TPM_DAA_power0);
	BN_add(low, low, high);
	multiply(&left, daa_group.w, low, daa_group.gamma);
	multiply(&right, pseudonym, x, daa_group.gamma);
	bool equal = BN_cmp(left, right) == 0;
	BIGNUM *numbers[] = { left, right, pseudonym, low, high, x };
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		BN_free(numbers[i]);
	return equal;
}

BIGNUM *
daa_credential_base(void)
{
	struct daa_step steps[DAA_MAX_STEPS];
	BIGNUM *U = daa_number_of(&daa_group.out[7]), *v0, *v1;
	size_t count = daa_join_steps(steps);

	v0 = daa_number_of(&steps[count - 3].in0);
	v1 = daa_number_of(&steps[count - 2].in0);
	multiply(&U, daa_group.S0, v0, daa_group.n);
	multiply(&U, daa_group.S1, v1, daa_group.n);
	BN_free(v0);
	BN_free(v1);
	return U;
}
