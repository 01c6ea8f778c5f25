#include "tests/unit/daa_group.h"

#include <stdlib.h>

#include <tpmcore/core.h>

START_TEST(join_proves_knowledge_of_its_secrets)
{
	uint8_t c[TPM_DIGEST_SIZE], expected[TPM_DIGEST_SIZE], buf[512];
	struct writer w = writer_of(buf, sizeof(buf));

	daa_set_up();
	daa_join_group();
	/* The challenge has the TPM's own nonce in it. */
	memcpy(buf, daa_challenge, 20);
	memcpy(buf + 20, daa_group.out[16].data, daa_group.out[16].len);
	reference_sha1(c, buf, 20 + daa_group.out[16].len);
	ck_assert_mem_eq(daa_group.out[20].data, c, sizeof(c));

	BIGNUM *U = daa_number_of(&daa_group.out[7]), *T = daa_number_of(&daa_group.out[12]);
	ck_assert(daa_proves(&daa_group.out[17], &daa_group.out[18], &daa_group.out[19],
			     &daa_group.out[21], T, U, c));
	c[0] ^= 1;
	ck_assert(!daa_proves(&daa_group.out[17], &daa_group.out[18], &daa_group.out[19],
			      &daa_group.out[21], T, U, c));
	c[0] ^= 1;
	ck_assert(daa_pseudonym_proves(&daa_group.out[17], &daa_group.out[18], &daa_group.out[14],
				       &daa_group.out[15], c));
	BN_free(U);
	BN_free(T);

	/* Only who holds the EK can answer for U. */
	reference_sha1(expected, daa_group.first_key.n, DAA_MODULUS_SIZE);
	writer_bytes(&w, daa_group.out[7].data, DAA_MODULUS_SIZE);
	writer_u32(&w, 7);
	writer_bytes(&w, expected, sizeof(expected));
	reference_sha1(expected, buf, w.len);
	memcpy(buf, expected, 20);
	memcpy(buf + 20, daa_ne, TPM_DIGEST_SIZE);
	reference_sha1(expected, buf, 40);
	ck_assert_uint_eq(daa_group.out[8].len, sizeof(expected));
	ck_assert_mem_eq(daa_group.out[8].data, expected, sizeof(expected));
	daa_tear_down();
}
END_TEST

START_TEST(signature_is_of_the_tpm_that_joined)
{
	struct daa_step steps[DAA_MAX_STEPS];
	struct daa_input out[DAA_MAX_STEPS];
	uint8_t c[2 * TPM_DIGEST_SIZE + 1];

	daa_set_up();
	daa_join_group();
	for (int twice = 0; twice < 2; twice++) {
		daa_run_all(TPM_ORD_DAA_Sign, steps, daa_sign_steps(steps), out);
		memcpy(c, daa_challenge, 20);
		memcpy(c + 20, out[9].data, 20);
		reference_sha1(c, c, 40);
		c[20] = 1; /* selector: any digest */
		memcpy(c + 21, daa_message, 20);
		reference_sha1(c, c, 41);
		ck_assert_mem_eq(out[10].data, c, 20);
		BIGNUM *U = daa_credential_base(), *T = daa_number_of(&out[5]);
		ck_assert(daa_proves(&out[11], &out[12], &out[13], &out[15], T, U, c));
		ck_assert(daa_pseudonym_proves(&out[11], &out[12], &out[7], &out[8], c));
		/* The pseudonym for this base is the same as at the join. */
		ck_assert_mem_eq(out[7].data, daa_group.out[14].data, DAA_MODULUS_SIZE);
		BN_free(U);
		BN_free(T);
	}
	daa_tear_down();
}
END_TEST

/* An input spoilt in one way. */
enum spoilt { LONGER, SHORTER, OTHER, SPOILT_COUNT };

static struct daa_input
spoil(const struct daa_input *in, enum spoilt how)
{
	struct daa_input bad = *in;

	if (how == LONGER)
		bad.len++;
	else if (how == SHORTER)
		bad.len--;
	else
		bad.data[in->len - 1] ^= 1;
	return bad;
}

/* The volatile state, to try things from the same point again and again. */
struct point {
	uint8_t *state;
	size_t len;
};

static struct point
remember(void)
{
	struct point p;

	ck_assert_uint_eq(tpm_get_state(daa_group.tpm, TPM_STATE_VOLATILE, &p.state, &p.len),
			  TPM_SUCCESS);
	return p;
}

static void
go_back(const struct point *p)
{
	ck_assert_uint_eq(tpm_set_state(daa_group.tpm, TPM_STATE_VOLATILE, p->state, p->len),
			  TPM_SUCCESS);
}

/* What a stage says to its inputs when they are wrong; 0: it takes any. */
struct refusal {
	TPM_RESULT size0, other0, size1, other1;
};

/* Before each step, tries to take it wrongly: each failure ends the session. */
static void
try_wrong_steps(uint32_t ordinal, const struct daa_step *steps, size_t count,
		const struct refusal *refusals)
{
	uint32_t session = 0;
	struct daa_input out;

	for (size_t i = 0; i < count; i++) {
		const struct daa_step *step = &steps[i];
		const struct refusal *r = &refusals[i];
		struct point before = remember();

		for (int which = 0; which < 2; which++)
			for (int how = 0; how < SPOILT_COUNT; how++) {
				struct daa_step bad = *step;
				struct daa_input *in = which ? &bad.in1 : &bad.in0;
				TPM_RESULT rc = how == OTHER ? (which ? r->other1 : r->other0)
							     : (which ? r->size1 : r->size0);

				if (in->len == 0 || rc == TPM_SUCCESS)
					continue;
				*in = spoil(in, (enum spoilt)how);
				ck_assert_uint_eq(daa_run_step(ordinal, &session, &bad, &out), rc);
				if (i > 0)
					ck_assert_uint_eq(
					    daa_run_step(ordinal, &session, step, &out),
					    TPM_BAD_HANDLE);
				go_back(&before);
			}
		if (i > 0) {
			ck_assert_uint_eq(daa_command(ordinal, session, (uint8_t)(step->stage + 1),
						      &step->in0, &step->in1, &out),
					  TPM_DAA_STAGE);
			ck_assert_uint_eq(daa_run_step(ordinal, &session, step, &out),
					  TPM_BAD_HANDLE);
			go_back(&before);
			ck_assert_uint_eq(
			    daa_command(ordinal, session, 200, &step->in0, &step->in1, &out),
			    TPM_DAA_STAGE);
			go_back(&before);
		}
		ck_assert_uint_eq(daa_run_step(ordinal, &session, step, &out), TPM_SUCCESS);
		free(before.state);
	}
}

#define D0 TPM_DAA_INPUT_DATA0
#define D1 TPM_DAA_INPUT_DATA1
#define GENERIC                                                                                    \
	{                                                                                          \
		D0, D0, D1, D1                                                                     \
	}

START_TEST(wrong_step_of_a_join_ends_it)
{
	static const struct refusal refusals[] = {
		{ D0, 0, 0, 0 },
		{ D0, 0, 0, 0 },
		{ D0, TPM_DAA_ISSUER_VALIDITY, D1, TPM_DAA_ISSUER_VALIDITY },
		{ D0, TPM_DAA_ISSUER_VALIDITY, D1, TPM_DAA_ISSUER_VALIDITY },
		{ D0, 0, 0, 0 },
		GENERIC,
		GENERIC,
		GENERIC,
		GENERIC,
		{ D0, TPM_DECRYPT_ERROR, 0, 0 },
		GENERIC,
		GENERIC,
		GENERIC,
		GENERIC,
		{ D0, D0, D1, TPM_DAA_WRONG_W },
		{ D0, D0, 0, 0 },
		{ D0, D0, 0, 0 },
		{ D0, 0, 0, 0 },
		{ 0 },
		{ 0 },
		{ 0 },
		{ 0 },
		{ 0 },
		{ D0, 0, 0, 0 },
		{ D0, 0, 0, 0 },
		{ 0 },
	};
	struct daa_step steps[DAA_MAX_STEPS];

	daa_set_up();
	try_wrong_steps(TPM_ORD_DAA_Join, steps, daa_join_steps(steps), refusals);
	daa_tear_down();
}
END_TEST

START_TEST(wrong_step_of_a_signature_ends_it)
{
	static const struct refusal refusals[] = {
		{ D0, 0, 0, 0 },
		{ D0, D0, 0, 0 },
		GENERIC,
		GENERIC,
		GENERIC,
		GENERIC,
		{ D0, D0, D1, TPM_DAA_WRONG_W },
		{ D0, D0, 0, 0 },
		{ D0, D0, 0, 0 },
		{ D0, 0, 0, 0 },
		{ D0, D1, D1, 0 },
		{ 0 },
		{ 0 },
		{ D0, D0, 0, 0 },
		{ D0, D0, 0, 0 },
		{ D0, D0, 0, 0 },
	};
	struct daa_step steps[DAA_MAX_STEPS];

	daa_set_up();
	daa_join_group();
	try_wrong_steps(TPM_ORD_DAA_Sign, steps, daa_sign_steps(steps), refusals);
	daa_tear_down();
}
END_TEST

START_TEST(signature_can_name_an_identity_key_instead)
{
	struct daa_step steps[DAA_MAX_STEPS];
	struct daa_input out, other, nonce;
	struct blob key, binding;
	uint8_t selector[] = { 0, 2 }, handle[4], c[21 + DAA_MODULUS_SIZE];
	uint32_t session = 0, signer;

	daa_set_up();
	daa_join_group();
	daa_sign_steps(steps);
	for (int i = 0; i < 10; i++)
		ck_assert_uint_eq(daa_run_step(TPM_ORD_DAA_Sign, &session, &steps[i], &out),
				  TPM_SUCCESS);
	nonce = out;
	struct point before = remember();
	signer = test_make_key(daa_group.tpm, &test_signing_key, NULL);
	struct writer w = writer_of(handle, sizeof(handle));
	writer_u32(&w, signer);
	steps[10].in0 = daa_input_of(selector, 1);
	ck_assert_uint_eq(daa_run_step(TPM_ORD_DAA_Sign, &session, &steps[10], &out), D1);
	go_back(&before);
	other = daa_input_of(handle, 4);
	ck_assert_uint_eq(daa_command(TPM_ORD_DAA_Sign, session, 10, &steps[10].in0, &other, &out),
			  D1);
	go_back(&before);
	ck_assert_uint_eq(test_make_identity(daa_group.tpm, &test_identity_key, TPM_ET_XOR,
					     srk_auth, owner_auth, &key, &binding),
			  TPM_SUCCESS);
	ck_assert_uint_eq(test_load_key(daa_group.tpm, &key, &signer), TPM_SUCCESS);
	w.len = 0;
	writer_u32(&w, signer);
	other = daa_input_of(handle, 4);
	ck_assert_uint_eq(daa_command(TPM_ORD_DAA_Sign, session, 10, &steps[10].in0, &other, &out),
			  TPM_SUCCESS);
	/* The challenge, 0, and the identity's modulus. */
	pubkey_of_key(&key, &binding);
	memcpy(c, daa_challenge, 20);
	memcpy(c + 20, nonce.data, nonce.len);
	reference_sha1(c, c, 40);
	c[20] = 0;
	memcpy(c + 21, binding.data + binding.len - DAA_MODULUS_SIZE, DAA_MODULUS_SIZE);
	reference_sha1(c, c, 21 + DAA_MODULUS_SIZE);
	ck_assert_mem_eq(out.data, c, 20);
	go_back(&before);
	steps[10].in0 = daa_input_of(selector + 1, 1);
	ck_assert_uint_eq(daa_run_step(TPM_ORD_DAA_Sign, &session, &steps[10], &out), D0);
	free(before.state);
	daa_tear_down();
}
END_TEST

START_TEST(blobs_of_a_join_are_for_their_stage_only)
{
	static const struct {
		uint8_t step, blob;
	} cases[] = { { 1, 22 }, { 1, 23 }, { 13, 23 }, { 13, 24 }, { 15, 22 } };
	struct daa_step steps[DAA_MAX_STEPS];
	struct daa_input out;

	daa_set_up();
	daa_join_group();
	daa_sign_steps(steps);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint32_t session = 0;

		for (int k = 0; k < cases[i].step; k++)
			ck_assert_uint_eq(daa_run_step(TPM_ORD_DAA_Sign, &session, &steps[k], &out),
					  TPM_SUCCESS);
		ck_assert_uint_eq(daa_command(TPM_ORD_DAA_Sign, session, cases[i].step,
					      &daa_group.out[cases[i].blob], &steps[1].in1, &out),
				  D0);
	}
	daa_tear_down();
}
END_TEST

START_TEST(issuer_of_a_signature_is_the_one_of_the_join)
{
	struct daa_step steps[DAA_MAX_STEPS];
	struct daa_input out;
	uint32_t session = 0;

	daa_set_up();
	daa_join_group();
	daa_sign_steps(steps);
	steps[0].in0.data[30] ^= 1;
	ck_assert_uint_eq(daa_run_step(TPM_ORD_DAA_Sign, &session, &steps[0], &out), TPM_SUCCESS);
	ck_assert_uint_eq(daa_run_step(TPM_ORD_DAA_Sign, &session, &steps[1], &out), TPM_SUCCESS);
	ck_assert_uint_eq(daa_run_step(TPM_ORD_DAA_Sign, &session, &steps[2], &out),
			  TPM_DAA_ISSUER_SETTINGS);
	steps[0].in0.data[0] ^= 1;
	ck_assert_uint_eq(daa_run_step(TPM_ORD_DAA_Sign, &session, &steps[0], &out), D0);
	daa_tear_down();
}
END_TEST

START_TEST(join_and_signature_do_not_mix)
{
	struct daa_step steps[DAA_MAX_STEPS];
	struct daa_input out;
	uint32_t session = 0;

	daa_set_up();
	daa_join_steps(steps);
	ck_assert_uint_eq(
	    daa_command(TPM_ORD_DAA_Sign, 0, 0, &daa_group.settings, &steps[0].in1, &out),
	    TPM_SUCCESS);
	struct reader r = reader_of(out.data, out.len);
	session = reader_u32(&r);
	ck_assert_uint_eq(daa_run_step(TPM_ORD_DAA_Join, &session, &steps[1], &out),
			  TPM_DAA_TPM_SETTINGS);
	daa_tear_down();
}
END_TEST

START_TEST(issuer_without_arithmetic_is_refused)
{
	struct daa_step steps[DAA_MAX_STEPS];
	struct daa_input out;
	uint32_t session = 0;

	daa_set_up();
	memset(daa_group.settings.data + daa_group.settings.len - DAA_Q_BYTES, 0,
	       DAA_Q_BYTES); /* q is 0 */
	daa_join_steps(steps);
	for (int i = 0; i < 5; i++)
		ck_assert_uint_eq(daa_run_step(TPM_ORD_DAA_Join, &session, &steps[i], &out),
				  TPM_SUCCESS);
	ck_assert_uint_eq(daa_run_step(TPM_ORD_DAA_Join, &session, &steps[5], &out),
			  TPM_DAA_ISSUER_SETTINGS);
	daa_tear_down();
}
END_TEST

START_TEST(sessions_are_few_and_can_be_saved)
{
	struct daa_step steps[DAA_MAX_STEPS];
	struct daa_input out, zero = { .len = 4 };
	uint32_t sessions[MAX_DAA + 1] = { 0 };
	struct blob context;
	struct call c;

	daa_set_up();
	daa_join_steps(steps);
	ck_assert_uint_eq(daa_command(TPM_ORD_DAA_Join, 0, 0, &zero, &steps[0].in1, &out), D0);
	for (int i = 0; i < MAX_DAA; i++)
		ck_assert_uint_eq(daa_run_step(TPM_ORD_DAA_Join, &sessions[i], &steps[0], &out),
				  TPM_SUCCESS);
	ck_assert_uint_eq(daa_run_step(TPM_ORD_DAA_Join, &sessions[MAX_DAA], &steps[0], &out),
			  TPM_RESOURCES);
	call_begin(&c, daa_group.tpm, TPM_ORD_SaveContext);
	call_handle(&c, sessions[0]);
	writer_u32(&c.params, TPM_RT_DAA_TPM);
	writer_bytes(&c.params, daa_ne, 16);
	ck_assert_uint_eq(call_run_into(&c, &context), TPM_SUCCESS);
	ck_assert_uint_eq(daa_run_step(TPM_ORD_DAA_Join, &sessions[0], &steps[1], &out),
			  TPM_BAD_HANDLE);
	call_begin(&c, daa_group.tpm, TPM_ORD_LoadContext);
	call_handle(&c, 0);
	writer_u8(&c.params, true);
	writer_sized(&c.params, context.data, context.len);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	for (int i = 0; i < MAX_DAA; i++) {
		ck_assert_uint_eq(daa_run_step(TPM_ORD_DAA_Join, &sessions[i], &steps[1], &out),
				  TPM_SUCCESS);
		ck_assert_uint_eq(test_flush(daa_group.tpm, sessions[i], TPM_RT_DAA_TPM),
				  TPM_SUCCESS);
	}
	daa_tear_down();
}
END_TEST

START_TEST(credentials_outlive_the_owner_but_not_new_secrets)
{
	static const uint8_t daaProof[] = { 0, 0, 0, 25 }; /* [Part 2, 7.4] */
	struct daa_step steps[DAA_MAX_STEPS];
	struct daa_input out[DAA_MAX_STEPS], pseudonym;
	uint32_t session;
	struct call c;

	daa_set_up();
	daa_join_group();
	pseudonym = daa_group.out[14];
	tpm_clear(daa_group.tpm);
	ck_assert_uint_eq(test_take_ownership(daa_group.tpm, &test_srk_key), TPM_SUCCESS);
	size_t count = daa_sign_steps(steps);
	daa_run_all(TPM_ORD_DAA_Sign, steps, count, out);
	ck_assert_mem_eq(out[7].data, pseudonym.data, DAA_MODULUS_SIZE);

	call_begin(&c, daa_group.tpm, TPM_ORD_SetCapability);
	writer_u32(&c.params, TPM_SET_PERM_DATA);
	writer_sized(&c.params, daaProof, sizeof(daaProof));
	writer_u32(&c.params, 0);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	ck_assert_uint_eq(daa_run_step(TPM_ORD_DAA_Sign, &session, &steps[0], &out[0]),
			  TPM_SUCCESS);
	ck_assert_uint_ne(daa_run_step(TPM_ORD_DAA_Sign, &session, &steps[1], &out[1]),
			  TPM_SUCCESS);
	daa_join_group();
	ck_assert_mem_ne(daa_group.out[14].data, pseudonym.data, DAA_MODULUS_SIZE);
	daa_tear_down();
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		join_proves_knowledge_of_its_secrets,
		signature_is_of_the_tpm_that_joined,
		wrong_step_of_a_join_ends_it,
		wrong_step_of_a_signature_ends_it,
		signature_can_name_an_identity_key_instead,
		blobs_of_a_join_are_for_their_stage_only,
		issuer_of_a_signature_is_the_one_of_the_join,
		join_and_signature_do_not_mix,
		issuer_without_arithmetic_is_refused,
		sessions_are_few_and_can_be_saved,
		credentials_outlive_the_owner_but_not_new_secrets,
		NULL,
	};

	return test_suite("daa", tests);
}
