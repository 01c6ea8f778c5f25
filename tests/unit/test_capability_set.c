#include "tests/unit/support.h"

/* TPM_SetCapability; owner NULL: plainly. */
static TPM_RESULT
set(struct tpm *tpm, const uint8_t *owner, uint32_t area, uint32_t sub, uint32_t value,
    size_t width)
{
	struct test_session s;
	struct call c;

	call_begin(&c, tpm, TPM_ORD_SetCapability);
	writer_u32(&c.params, area);
	writer_u32(&c.params, 4);
	writer_u32(&c.params, sub);
	writer_u32(&c.params, (uint32_t)width);
	writer_uint(&c.params, value, width);
	if (owner) {
		ck_assert_uint_eq(test_oiap(tpm, &s, owner), TPM_SUCCESS);
		call_session(&c, &s);
	}
	return call_run(&c);
}

static TPM_RESULT
set_flag(struct tpm *tpm, const uint8_t *owner, uint32_t area, uint32_t sub, bool value)
{
	return set(tpm, owner, area, sub, value, 1);
}

static bool
flag(struct tpm *tpm, uint32_t structure, uint32_t number)
{
	uint8_t sub[4];
	struct writer w = writer_of(sub, sizeof(sub));
	struct blob flags;

	writer_u32(&w, structure);
	ck_assert_uint_eq(test_get_capability(tpm, TPM_CAP_FLAG, sub, sizeof(sub), &flags),
			  TPM_SUCCESS);
	return flags.data[1 + number];
}

static bool
permanent_flag(struct tpm *tpm, uint32_t number)
{
	return flag(tpm, TPM_CAP_FLAG_PERMANENT, number);
}

/* The permanent flags that the owner may set, and to what only. */
static const struct {
	uint32_t number;
	bool may_be[2];
} owners[] = {
	{ TPM_PF_READPUBEK, { true, true } },
	{ TPM_PF_DISABLEOWNERCLEAR, { false, true } },
	{ TPM_PF_ALLOWMAINTENANCE, { true, false } },
	{ TPM_PF_READSRKPUB, { true, true } },
	{ TPM_PF_DISABLEFULLDALOGICINFO, { true, true } },
	{ TPM_PF_DISABLE, { true, true } },
};

START_TEST(the_owner_sets_the_owners_flags)
{
	for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++) {
		struct tpm *tpm = test_owned_tpm();

		for (unsigned value = 2; value-- > 0;) {
			uint32_t n = owners[i].number;
			bool may = owners[i].may_be[value];

			ck_assert_uint_eq(set_flag(tpm, NULL, TPM_SET_PERM_FLAGS, n, value),
					  TPM_AUTHFAIL);
			ck_assert_uint_eq(set_flag(tpm, owner_auth, TPM_SET_PERM_FLAGS, n, value),
					  may ? TPM_SUCCESS : TPM_BAD_PARAMETER);
			if (may)
				ck_assert_uint_eq(permanent_flag(tpm, n), value);
		}
		tpm_free(tpm);
	}
}
END_TEST

START_TEST(a_flag_that_is_so_already_costs_no_write)
{
	struct tpm *tpm = test_owned_tpm();

	ck_assert_uint_eq(set_flag(tpm, owner_auth, TPM_SET_PERM_FLAGS, TPM_PF_READSRKPUB, true),
			  TPM_SUCCESS);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	ck_assert_uint_eq(set_flag(tpm, owner_auth, TPM_SET_PERM_FLAGS, TPM_PF_READSRKPUB, true),
			  TPM_SUCCESS);
	ck_assert(!(bench.changed & TPM_CHANGED_PERMANENT));
	tpm_free(tpm);
}
END_TEST

START_TEST(presence_sets_flags_before_there_is_an_owner)
{
	struct tpm *tpm = test_tpm();

	ck_assert_uint_eq(set_flag(tpm, NULL, TPM_SET_PERM_FLAGS, TPM_PF_OWNERSHIP, false),
			  TPM_AUTHFAIL);
	bench.physical_presence = true;
	ck_assert_uint_eq(set_flag(tpm, NULL, TPM_SET_PERM_FLAGS, TPM_PF_OWNERSHIP, false),
			  TPM_SUCCESS);
	ck_assert(!permanent_flag(tpm, TPM_PF_OWNERSHIP));
	ck_assert_uint_eq(set_flag(tpm, NULL, TPM_SET_PERM_FLAGS, TPM_PF_DEACTIVATED, true),
			  TPM_SUCCESS);
	ck_assert_uint_eq(set_flag(tpm, NULL, TPM_SET_PERM_FLAGS, TPM_PF_DISABLE, true),
			  TPM_SUCCESS);
	ck_assert_uint_eq(set_flag(tpm, NULL, TPM_SET_PERM_FLAGS, TPM_PF_OWNERSHIP, true),
			  TPM_DISABLED);
	ck_assert_uint_eq(set_flag(tpm, NULL, TPM_SET_PERM_FLAGS, TPM_PF_DEACTIVATED, false),
			  TPM_DISABLED);
	ck_assert_uint_eq(set_flag(tpm, NULL, TPM_SET_PERM_FLAGS, TPM_PF_DISABLE, false),
			  TPM_SUCCESS);
	test_reboot(tpm);
	ck_assert_uint_eq(set_flag(tpm, NULL, TPM_SET_PERM_FLAGS, TPM_PF_OWNERSHIP, true),
			  TPM_DEACTIVATED);
	tpm_free(tpm);
}
END_TEST

START_TEST(ownership_is_not_set_once_there_is_an_owner)
{
	struct tpm *tpm = test_owned_tpm();

	ck_assert_uint_eq(set_flag(tpm, owner_auth, TPM_SET_PERM_FLAGS, TPM_PF_OWNERSHIP, false),
			  TPM_OWNER_SET);
	ck_assert_uint_eq(set_flag(tpm, wrong_auth, TPM_SET_PERM_FLAGS, TPM_PF_READPUBEK, true),
			  TPM_AUTHFAIL);
	tpm_free(tpm);
}
END_TEST

START_TEST(flags_of_the_launch_need_its_locality)
{
	static const struct {
		uint32_t area, number;
	} launch[] = { { TPM_SET_PERM_FLAGS, TPM_PF_RESETESTABLISHMENTBIT },
		       { TPM_SET_STANY_FLAGS, TPM_AF_TOSPRESENT } };
	struct tpm *tpm = test_tpm();
	unsigned changes = 0;

	ck_assert_uint_eq(tpm_hash_start(tpm, &changes), TPM_SUCCESS);
	ck_assert_uint_eq(tpm_hash_end(tpm, &changes), TPM_SUCCESS);
	for (unsigned i = 0; i < 2; i++) {
		for (bench.locality = 0; bench.locality < 3; bench.locality++)
			ck_assert_uint_eq(
			    set_flag(tpm, NULL, launch[i].area, launch[i].number, false),
			    TPM_BAD_LOCALITY);
		for (; bench.locality < 5; bench.locality++) {
			ck_assert_uint_eq(
			    set_flag(tpm, NULL, launch[i].area, launch[i].number, true),
			    TPM_BAD_PARAMETER);
			ck_assert_uint_eq(
			    set_flag(tpm, NULL, launch[i].area, launch[i].number, false),
			    TPM_SUCCESS);
		}
	}
	ck_assert(!tpm_established(tpm));
	tpm_free(tpm);
}
END_TEST

START_TEST(clear_by_force_can_be_disabled_but_not_enabled)
{
	struct tpm *tpm = test_tpm();

	ck_assert_uint_eq(
	    set_flag(tpm, NULL, TPM_SET_STCLEAR_FLAGS, TPM_SF_DISABLEFORCECLEAR, false),
	    TPM_BAD_PARAMETER);
	ck_assert_uint_eq(
	    set_flag(tpm, NULL, TPM_SET_STCLEAR_FLAGS, TPM_SF_DISABLEFORCECLEAR, true),
	    TPM_SUCCESS);
	ck_assert(flag(tpm, TPM_CAP_FLAG_VOLATILE, TPM_SF_DISABLEFORCECLEAR));
	tpm_free(tpm);
}
END_TEST

START_TEST(data_that_can_be_set)
{
	enum { RESTRICTDELEGATE = 23, DAAPROOF = 25, DEFERREDPHYSICALPRESENCE = 6 };
	struct tpm *tpm = test_owned_tpm();
	const uint32_t bits = TPM_CMK_DELEGATE_SIGNING | TPM_CMK_DELEGATE_BIND;

	ck_assert_uint_eq(set(tpm, NULL, TPM_SET_PERM_DATA, RESTRICTDELEGATE, bits, 4),
			  TPM_AUTHFAIL);
	ck_assert_uint_eq(set(tpm, owner_auth, TPM_SET_PERM_DATA, RESTRICTDELEGATE, 1, 1),
			  TPM_BAD_PARAMETER);
	ck_assert_uint_eq(set(tpm, owner_auth, TPM_SET_PERM_DATA, RESTRICTDELEGATE, bits, 4),
			  TPM_SUCCESS);
	ck_assert_uint_eq(
	    test_get_capability_u32(tpm, TPM_CAP_PROPERTY, TPM_CAP_PROP_CMK_RESTRICTION), bits);
	ck_assert_uint_eq(set(tpm, owner_auth, TPM_SET_PERM_DATA, DAAPROOF, 0, 4), TPM_SUCCESS);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);

	ck_assert_uint_eq(set(tpm, NULL, TPM_SET_STCLEAR_DATA, DEFERREDPHYSICALPRESENCE, 1, 4),
			  TPM_BAD_PRESENCE);
	bench.physical_presence = true;
	ck_assert_uint_eq(set(tpm, NULL, TPM_SET_STCLEAR_DATA, DEFERREDPHYSICALPRESENCE, 1, 4),
			  TPM_SUCCESS);
	bench.physical_presence = false;
	ck_assert_uint_eq(set(tpm, NULL, TPM_SET_STCLEAR_DATA, DEFERREDPHYSICALPRESENCE, 0, 4),
			  TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(all_else_cannot_be_set)
{
	static const uint32_t fixed[] = { 0, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 19, 21 };
	struct tpm *tpm = test_owned_tpm();

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		ck_assert_uint_eq(set_flag(tpm, owner_auth, TPM_SET_PERM_FLAGS, fixed[i], true),
				  TPM_BAD_PARAMETER);
	ck_assert_uint_eq(set(tpm, owner_auth, TPM_SET_VENDOR, 1, 0, 4), TPM_BAD_PARAMETER);
	ck_assert_uint_eq(set(tpm, owner_auth, TPM_SET_STANY_DATA, 1, 0, 4), TPM_BAD_PARAMETER);
	ck_assert_uint_eq(set(tpm, owner_auth, 0, 1, 0, 1), TPM_BAD_MODE);
	ck_assert_uint_eq(set(tpm, owner_auth, 8, 1, 0, 1), TPM_BAD_MODE);
	ck_assert_uint_eq(set(tpm, owner_auth, TPM_SET_PERM_FLAGS, TPM_PF_READPUBEK, 0, 4),
			  TPM_BAD_PARAMETER);
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		the_owner_sets_the_owners_flags,
		a_flag_that_is_so_already_costs_no_write,
		presence_sets_flags_before_there_is_an_owner,
		ownership_is_not_set_once_there_is_an_owner,
		flags_of_the_launch_need_its_locality,
		clear_by_force_can_be_disabled_but_not_enabled,
		data_that_can_be_set,
		all_else_cannot_be_set,
		NULL,
	};

	return test_suite("capability_set", tests);
}
