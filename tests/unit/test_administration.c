#include "tests/unit/support.h"

START_TEST(an_upgrade_is_the_owners_business)
{
	struct tpm *tpm = test_owned_tpm();

	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_FieldUpgrade), TPM_AUTHFAIL);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_FieldUpgrade, wrong_auth), TPM_AUTHFAIL);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_FieldUpgrade, owner_auth), TPM_SUCCESS);
	ck_assert(!(bench.changed & TPM_CHANGED_PERMANENT));
	tpm_free(tpm);
}
END_TEST

START_TEST(without_an_owner_an_upgrade_needs_presence)
{
	struct tpm *tpm = test_tpm();

	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_FieldUpgrade), TPM_BAD_PRESENCE);
	bench.physical_presence = true;
	ck_assert_uint_eq(test_plain_u32(tpm, TPM_ORD_FieldUpgrade, 1), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(keys_are_not_redirected)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_SetRedirection, owner_auth);
	call_handle(&c, test_make_key(tpm, &test_signing_key, NULL));
	writer_u32(&c.params, 1);
	writer_sized(&c.params, NULL, 0);
	ck_assert_uint_eq(call_run(&c), TPM_DISABLED_CMD);
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		an_upgrade_is_the_owners_business,
		without_an_owner_an_upgrade_needs_presence,
		keys_are_not_redirected,
		NULL,
	};

	return test_suite("administration", tests);
}
