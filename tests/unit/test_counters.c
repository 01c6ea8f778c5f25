#include "tests/unit/support.h"

enum { COUNTERS = 8, TENTH = 100000 };

/* Reads a TPM_COUNTER_VALUE that must have this label. */
static uint32_t
read_value(struct reader *r, const char *label)
{
	ck_assert_uint_eq(reader_u16(r), TPM_TAG_COUNTER_VALUE);
	const uint8_t *found = reader_view(r, 4);
	ck_assert_ptr_nonnull(found);
	ck_assert_mem_eq(found, label, 4);
	uint32_t value = reader_u32(r);
	ck_assert(reader_done(r));
	return value;
}

static TPM_RESULT
create(struct tpm *tpm, const char *label, uint32_t *id, uint32_t *value)
{
	uint8_t encrypted[TPM_DIGEST_SIZE];
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(test_osap(tpm, &s, TPM_ET_OWNER, TPM_KH_OWNER, owner_auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_CreateCounter);
	test_encrypt_auth(&s, false, data_auth, encrypted);
	writer_bytes(&c.params, encrypted, sizeof(encrypted));
	writer_bytes(&c.params, label, 4);
	call_session(&c, &s);
	TPM_RESULT rc = call_run(&c);
	if (rc == TPM_SUCCESS) {
		*id = reader_u32(&c.out);
		*value = read_value(&c.out, label);
	}
	return rc;
}

static uint32_t
make(struct tpm *tpm, const char *label)
{
	uint32_t id, value;

	ck_assert_uint_eq(create(tpm, label, &id, &value), TPM_SUCCESS);
	return id;
}

/* A command with the id of a counter, authorized by auth. */
static TPM_RESULT
run(struct tpm *tpm, uint32_t ordinal, uint32_t id, const uint8_t *auth, uint32_t *value)
{
	struct test_session s;
	struct call c;

	call_begin(&c, tpm, ordinal);
	writer_u32(&c.params, id);
	if (auth) {
		ck_assert_uint_eq(test_oiap(tpm, &s, auth), TPM_SUCCESS);
		call_session(&c, &s);
	}
	TPM_RESULT rc = call_run(&c);
	if (rc == TPM_RETRY) /* the session stays, to try again with */
		ck_assert_uint_eq(test_flush(tpm, s.handle, TPM_RT_AUTH), TPM_SUCCESS);
	if (rc == TPM_SUCCESS && value) {
		reader_view(&c.out, 6);
		*value = reader_u32(&c.out);
	}
	return rc;
}

static TPM_RESULT
increment(struct tpm *tpm, uint32_t id)
{
	uint32_t value;

	return run(tpm, TPM_ORD_IncrementCounter, id, data_auth, &value);
}

static uint32_t
value_of(struct tpm *tpm, uint32_t id)
{
	uint32_t value;

	ck_assert_uint_eq(run(tpm, TPM_ORD_ReadCounter, id, NULL, &value), TPM_SUCCESS);
	ck_assert_uint_eq(bench.changed, 0);
	return value;
}

START_TEST(a_counter_counts)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t id = make(tpm, "boot"), first = value_of(tpm, id), value;

	for (uint32_t i = 1; i <= 3; i++) {
		ck_assert_uint_eq(run(tpm, TPM_ORD_IncrementCounter, id, data_auth, &value),
				  TPM_SUCCESS);
		ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
		ck_assert_uint_eq(value, first + i);
		ck_assert_uint_eq(value_of(tpm, id), value);
	}
	ck_assert_uint_eq(run(tpm, TPM_ORD_IncrementCounter, id, wrong_auth, &value), TPM_AUTHFAIL);
	ck_assert_uint_eq(value_of(tpm, id), first + 3);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_new_counter_starts_above_all_others)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t id = make(tpm, "one "), other, value;

	ck_assert_uint_eq(increment(tpm, id), TPM_SUCCESS);
	ck_assert_uint_eq(increment(tpm, id), TPM_SUCCESS);
	uint32_t highest = value_of(tpm, id);
	ck_assert_uint_eq(run(tpm, TPM_ORD_ReleaseCounter, id, data_auth, NULL), TPM_SUCCESS);
	ck_assert_uint_eq(create(tpm, "two ", &other, &value), TPM_SUCCESS);
	ck_assert_uint_eq(value, highest + 1);
	tpm_free(tpm);
}
END_TEST

START_TEST(one_counter_counts_in_a_boot)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t a = make(tpm, "aaaa"), b = make(tpm, "bbbb");

	ck_assert_uint_eq(
	    test_get_capability_u32(tpm, TPM_CAP_PROPERTY, TPM_CAP_PROP_ACTIVE_COUNTER),
	    UINT32_MAX);
	ck_assert_uint_eq(increment(tpm, b), TPM_SUCCESS);
	ck_assert_uint_eq(
	    test_get_capability_u32(tpm, TPM_CAP_PROPERTY, TPM_CAP_PROP_ACTIVE_COUNTER), b);
	ck_assert_uint_eq(increment(tpm, a), TPM_BAD_COUNTER);
	test_reboot(tpm);
	ck_assert_uint_eq(increment(tpm, a), TPM_SUCCESS);
	ck_assert_uint_eq(increment(tpm, b), TPM_BAD_COUNTER);
	tpm_free(tpm);
}
END_TEST

START_TEST(no_counter_follows_a_released_one_in_the_same_boot)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t a = make(tpm, "aaaa"), b = make(tpm, "bbbb");

	ck_assert_uint_eq(increment(tpm, a), TPM_SUCCESS);
	ck_assert_uint_eq(run(tpm, TPM_ORD_ReleaseCounterOwner, a, owner_auth, NULL), TPM_SUCCESS);
	ck_assert_uint_eq(increment(tpm, b), TPM_BAD_COUNTER);
	ck_assert_uint_eq(make(tpm, "cccc"), a);
	ck_assert_uint_eq(increment(tpm, a), TPM_BAD_COUNTER);
	test_reboot(tpm);
	ck_assert_uint_eq(increment(tpm, b), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(counters_run_out_and_are_given_back)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t id, value;

	for (uint32_t i = 0; i < COUNTERS; i++)
		ck_assert_uint_eq(make(tpm, "many"), i);
	ck_assert_uint_eq(create(tpm, "more", &id, &value), TPM_RESOURCES);
	ck_assert_uint_eq(run(tpm, TPM_ORD_ReleaseCounter, 3, wrong_auth, NULL), TPM_AUTHFAIL);
	ck_assert_uint_eq(run(tpm, TPM_ORD_ReleaseCounterOwner, 3, data_auth, NULL), TPM_AUTHFAIL);
	ck_assert_uint_eq(run(tpm, TPM_ORD_ReleaseCounter, 3, data_auth, NULL), TPM_SUCCESS);
	ck_assert_uint_eq(make(tpm, "more"), 3);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_counter_that_is_none_is_told_so)
{
	struct tpm *tpm = test_owned_tpm();

	for (uint32_t id = 0; id < 2 * COUNTERS; id++) {
		ck_assert_uint_eq(increment(tpm, id), TPM_BAD_COUNTER);
		ck_assert_uint_eq(run(tpm, TPM_ORD_ReadCounter, id, NULL, NULL), TPM_BAD_COUNTER);
		ck_assert_uint_eq(run(tpm, TPM_ORD_ReleaseCounter, id, data_auth, NULL),
				  TPM_BAD_COUNTER);
		ck_assert_uint_eq(run(tpm, TPM_ORD_ReleaseCounterOwner, id, owner_auth, NULL),
				  TPM_BAD_COUNTER);
	}
	ck_assert_uint_eq(run(tpm, TPM_ORD_ReadCounter, UINT32_MAX, NULL, NULL), TPM_BAD_COUNTER);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_new_secret_is_not_inserted_by_oiap)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(test_oiap(tpm, &s, owner_auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_CreateCounter);
	writer_bytes(&c.params, data_auth, TPM_DIGEST_SIZE);
	writer_bytes(&c.params, "oiap", 4);
	call_session(&c, &s);
	ck_assert_uint_eq(call_run(&c), TPM_BAD_MODE);
	tpm_free(tpm);
}
END_TEST

START_TEST(who_counts_all_the_time_is_throttled)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t id = make(tpm, "fast");
	unsigned burst = 0;

	while (increment(tpm, id) == TPM_SUCCESS)
		ck_assert_uint_lt(++burst, 1000);
	ck_assert_uint_ge(burst, 10);
	uint32_t value = value_of(tpm, id);
	ck_assert_uint_eq(increment(tpm, id), TPM_RETRY);
	ck_assert_uint_eq(value_of(tpm, id), value);
	for (unsigned i = 0; i < 20; i++) {
		bench.now += TENTH;
		ck_assert_uint_eq(increment(tpm, id), TPM_SUCCESS);
		ck_assert_uint_eq(increment(tpm, id), TPM_RETRY);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(counters_go_with_the_owner)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t id = make(tpm, "gone");

	ck_assert_uint_eq(increment(tpm, id), TPM_SUCCESS);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_OwnerClear, owner_auth), TPM_SUCCESS);
	tpm_clear(tpm);
	ck_assert_uint_eq(run(tpm, TPM_ORD_ReadCounter, id, NULL, NULL), TPM_BAD_COUNTER);
	ck_assert_uint_eq(test_get_capability_u32(tpm, TPM_CAP_PROPERTY, TPM_CAP_PROP_COUNTERS),
			  COUNTERS);

	/* and the next owner has one to increment */
	ck_assert_uint_eq(test_take_ownership(tpm, &test_srk_key), TPM_SUCCESS);
	ck_assert_uint_eq(increment(tpm, make(tpm, "next")), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_counter_counts,
		a_new_counter_starts_above_all_others,
		one_counter_counts_in_a_boot,
		no_counter_follows_a_released_one_in_the_same_boot,
		counters_run_out_and_are_given_back,
		a_counter_that_is_none_is_told_so,
		the_new_secret_is_not_inserted_by_oiap,
		who_counts_all_the_time_is_throttled,
		counters_go_with_the_owner,
		NULL,
	};

	return test_suite("counters", tests);
}
