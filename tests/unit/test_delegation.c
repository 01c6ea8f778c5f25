#include "tests/unit/delegation_client.h"

enum { FAMILIES = 16, ROWS = 4 };

START_TEST(families_are_made_listed_and_invalidated)
{
	static const uint8_t entry[] = { 0, 0x25, 'F', 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1 };
	struct tpm *tpm = test_owned_tpm();
	struct blob families, rows;
	uint32_t id = delegation_family(tpm);

	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	test_reboot(tpm);
	delegation_tables(tpm, &families, &rows);
	ck_assert_uint_eq(families.len, sizeof(entry));
	ck_assert_mem_eq(families.data, entry, sizeof(entry));
	ck_assert_uint_eq(rows.len, 0);
	ck_assert_uint_eq(
	    delegation_manage(tpm, owner_auth, id, TPM_FAMILY_INVALIDATE, "", 0, NULL),
	    TPM_SUCCESS);
	delegation_tables(tpm, &families, &rows);
	ck_assert_uint_eq(families.len, 0);
	ck_assert_uint_eq(delegation_family(tpm), id + 1);
	tpm_free(tpm);
}
END_TEST

START_TEST(families_run_out)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t id;

	for (unsigned i = 0; i < FAMILIES; i++)
		delegation_family(tpm);
	ck_assert_uint_eq(delegation_manage(tpm, owner_auth, 0, TPM_FAMILY_CREATE, "X", 1, &id),
			  TPM_RESOURCES);
	tpm_free(tpm);
}
END_TEST

START_TEST(wrong_operations_on_families_are_refused)
{
	static const struct {
		uint32_t family, operation;
		size_t len;
		TPM_RESULT result;
	} wrong[] = { { 9, TPM_FAMILY_ENABLE, 1, TPM_BADINDEX },
		      { 9, TPM_FAMILY_ADMIN, 1, TPM_BADINDEX },
		      { 9, TPM_FAMILY_INVALIDATE, 0, TPM_BADINDEX },
		      { 1, 0, 1, TPM_BAD_PARAMETER },
		      { 1, 5, 1, TPM_BAD_PARAMETER },
		      { 0, TPM_FAMILY_CREATE, 0, TPM_BAD_PARAM_SIZE },
		      { 0, TPM_FAMILY_CREATE, 2, TPM_BAD_PARAM_SIZE },
		      { 1, TPM_FAMILY_ENABLE, 2, TPM_BAD_PARAM_SIZE } };
	struct tpm *tpm = test_owned_tpm();

	delegation_family(tpm);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_uint_eq(delegation_manage(tpm, owner_auth, wrong[i].family,
						    wrong[i].operation, "\1\1", wrong[i].len, NULL),
				  wrong[i].result);
	ck_assert_uint_eq(delegation_manage(tpm, NULL, 0, TPM_FAMILY_CREATE, "X", 1, NULL),
			  TPM_AUTHFAIL);
	ck_assert_uint_eq(delegation_manage(tpm, NULL, 1, 5, "X", 1, NULL), TPM_AUTHFAIL);
	ck_assert_uint_eq(delegation_manage(tpm, wrong_auth, 0, TPM_FAMILY_CREATE, "X", 1, NULL),
			  TPM_AUTHFAIL);
	tpm_free(tpm);
}
END_TEST

START_TEST(without_an_owner_anybody_manages_for_a_while_unless_locked)
{
	struct tpm *tpm = test_tpm();
	uint32_t id;
	unsigned done = 0;

	ck_assert_uint_eq(delegation_manage(tpm, NULL, 0, TPM_FAMILY_CREATE, "A", 1, &id),
			  TPM_SUCCESS);
	ck_assert_uint_eq(delegation_manage(tpm, NULL, id, TPM_FAMILY_ADMIN, "\1", 1, NULL),
			  TPM_SUCCESS);
	ck_assert_uint_eq(delegation_manage(tpm, NULL, id, TPM_FAMILY_ENABLE, "\1", 1, NULL),
			  TPM_DELEGATE_LOCK);
	ck_assert_uint_eq(delegation_manage(tpm, NULL, 0, TPM_FAMILY_CREATE, "B", 1, &id),
			  TPM_SUCCESS);
	while (delegation_manage(tpm, NULL, id, TPM_FAMILY_ENABLE, "\1", 1, NULL) == TPM_SUCCESS)
		ck_assert_uint_lt(++done, 100);
	ck_assert_uint_eq(delegation_manage(tpm, NULL, id, TPM_FAMILY_ENABLE, "\1", 1, NULL),
			  TPM_MAXNVWRITES);
	ck_assert_uint_ge(done, 32);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_disabled_family_delegates_nothing)
{
	struct tpm *tpm = test_owned_tpm();
	struct wish wish = wish_to_read_pubek(tpm);
	struct blob blob, renewed;

	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &blob), TPM_SUCCESS);
	ck_assert_uint_eq(delegation_enable(tpm, wish.family, false), TPM_SUCCESS);
	ck_assert_uint_eq(delegation_act(tpm, &blob, TPM_ORD_OwnerReadPubek), TPM_DISABLED_CMD);
	ck_assert_uint_eq(delegation_verify(tpm, &blob), TPM_DISABLED_CMD);
	ck_assert_uint_eq(delegation_load(tpm, owner_auth, 0, &blob), TPM_DISABLED_CMD);
	ck_assert_uint_eq(delegation_enable(tpm, wish.family, true), TPM_SUCCESS);
	ck_assert_uint_eq(delegation_act(tpm, &blob, TPM_ORD_OwnerReadPubek), TPM_SUCCESS);
	ck_assert_uint_eq(
	    delegation_manage(tpm, owner_auth, wish.family, TPM_FAMILY_INVALIDATE, "", 0, NULL),
	    TPM_SUCCESS);
	ck_assert_uint_eq(delegation_act(tpm, &blob, TPM_ORD_OwnerReadPubek), TPM_BADINDEX);
	ck_assert_uint_eq(delegation_sized_command(tpm, TPM_ORD_Delegate_UpdateVerification,
						   owner_auth, &blob, &renewed),
			  TPM_BADINDEX);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_new_verification_count_ends_old_delegations)
{
	struct tpm *tpm = test_owned_tpm();
	struct wish wish = wish_to_read_pubek(tpm);
	struct blob old, next, renewed;

	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &old), TPM_SUCCESS);
	ck_assert_uint_eq(delegate_owner(tpm, &wish, true, &next), TPM_SUCCESS);
	ck_assert_uint_eq(delegation_act(tpm, &old, TPM_ORD_OwnerReadPubek), TPM_FAMILYCOUNT);
	ck_assert_uint_eq(delegation_verify(tpm, &old), TPM_FAMILYCOUNT);
	ck_assert_uint_eq(delegation_act(tpm, &next, TPM_ORD_OwnerReadPubek), TPM_SUCCESS);
	ck_assert_uint_eq(delegation_sized_command(tpm, TPM_ORD_Delegate_UpdateVerification,
						   owner_auth, &old, &renewed),
			  TPM_SUCCESS);
	ck_assert_uint_eq(delegation_act(tpm, &renewed, TPM_ORD_OwnerReadPubek), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(every_changed_byte_of_a_blob_is_noticed)
{
	struct tpm *tpm = test_owned_tpm();
	struct wish wish = wish_to_read_pubek(tpm);
	struct blob blob;

	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &blob), TPM_SUCCESS);
	for (size_t i = 0; i < blob.len; i++) {
		blob.data[i] ^= 1;
		ck_assert_uint_ne(delegation_verify(tpm, &blob), TPM_SUCCESS);
		ck_assert_uint_ne(delegation_act(tpm, &blob, TPM_ORD_OwnerReadPubek), TPM_SUCCESS);
		blob.data[i] ^= 1;
	}
	for (size_t len = 0; len < blob.len; len++) {
		struct blob cut = { .len = len };

		memcpy(cut.data, blob.data, len);
		ck_assert_uint_ne(delegation_verify(tpm, &cut), TPM_SUCCESS);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(wrong_wishes_are_refused)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t family = delegation_family(tpm);
	uint32_t key = test_make_key(tpm, &test_signing_key, NULL);
	const struct {
		struct wish wish;
		TPM_RESULT of_owner, of_key;
	} wrong[] = {
		{ { .type = 3, .permissions = 1, .family = family },
		  TPM_BAD_PARAMETER,
		  TPM_BAD_PARAMETER },
		{ { .type = TPM_DEL_OWNER_BITS, .permissions = 1, .family = 99 },
		  TPM_BADINDEX,
		  TPM_BAD_PARAMETER },
		{ { .type = TPM_DEL_KEY_BITS, .permissions = 1, .family = 99 },
		  TPM_BAD_PARAMETER,
		  TPM_BADINDEX },
		{ { .type = TPM_DEL_KEY_BITS, .permissions = 1u << 31, .family = family },
		  TPM_BAD_PARAMETER,
		  TPM_BAD_PARAMETER },
		{ { .permissions = 1, .family = family, .localities = 0x20 },
		  TPM_INVALID_STRUCTURE,
		  TPM_INVALID_STRUCTURE },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct blob blob;

		ck_assert_uint_eq(delegate_owner(tpm, &wrong[i].wish, false, &blob),
				  wrong[i].of_owner);
		ck_assert_uint_eq(delegate_key(tpm, key, &wrong[i].wish, &blob), wrong[i].of_key);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(a_row_of_the_table_serves_as_well_as_a_blob)
{
	struct tpm *tpm = test_owned_tpm();
	struct wish wish = wish_to_read_pubek(tpm);
	struct blob blob, families, rows;
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &blob), TPM_SUCCESS);
	ck_assert_uint_eq(delegation_load(tpm, owner_auth, ROWS, &blob), TPM_BADINDEX);
	ck_assert_uint_eq(delegation_load(tpm, NULL, 0, &blob), TPM_AUTHFAIL);
	ck_assert_uint_eq(delegation_load(tpm, owner_auth, 2, &blob), TPM_SUCCESS);
	test_reboot(tpm);
	delegation_tables(tpm, &families, &rows);
	ck_assert_uint_eq(rows.len, 4 + 51);
	ck_assert_uint_eq(rows.data[3], 2);
	ck_assert_uint_eq(delegation_dsap(tpm, &s, TPM_ET_DEL_ROW, 0, "\0\0\0\1", 4), TPM_BADINDEX);
	ck_assert_uint_eq(delegation_dsap(tpm, &s, TPM_ET_DEL_ROW, 0, "\0\0\2", 3),
			  TPM_BAD_PARAM_SIZE);
	ck_assert_uint_eq(delegation_dsap(tpm, &s, TPM_ET_DEL_ROW, 0, "\0\0\0\2", 4), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_OwnerReadPubek);
	call_session(&c, &s);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(delegations_go_with_the_owner)
{
	struct tpm *tpm = test_owned_tpm();
	struct wish wish = wish_to_read_pubek(tpm);
	struct blob blob, families, rows;

	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &blob), TPM_SUCCESS);
	ck_assert_uint_eq(delegation_load(tpm, owner_auth, 0, &blob), TPM_SUCCESS);
	tpm_clear(tpm);
	delegation_tables(tpm, &families, &rows);
	ck_assert_uint_eq(families.len, 0);
	ck_assert_uint_eq(rows.len, 0);
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		families_are_made_listed_and_invalidated,
		families_run_out,
		wrong_operations_on_families_are_refused,
		without_an_owner_anybody_manages_for_a_while_unless_locked,
		a_disabled_family_delegates_nothing,
		a_new_verification_count_ends_old_delegations,
		every_changed_byte_of_a_blob_is_noticed,
		wrong_wishes_are_refused,
		a_row_of_the_table_serves_as_well_as_a_blob,
		delegations_go_with_the_owner,
		NULL,
	};

	return test_suite("delegation", tests);
}
