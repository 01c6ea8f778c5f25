#include "tests/unit/support.h"

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

static bool
stclear_flag(struct tpm *tpm, uint32_t number)
{
	return flag(tpm, TPM_CAP_FLAG_VOLATILE, number);
}

static TPM_RESULT
presence(struct tpm *tpm, uint16_t wish)
{
	return test_plain_u16(tpm, TSC_ORD_PhysicalPresence, wish);
}

START_TEST(opting_in_and_out_needs_presence)
{
	struct tpm *tpm = test_tpm();

	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PhysicalEnable), TPM_BAD_PRESENCE);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PhysicalDisable), TPM_BAD_PRESENCE);
	ck_assert_uint_eq(test_plain_u8(tpm, TPM_ORD_PhysicalSetDeactivated, 1), TPM_BAD_PRESENCE);
	ck_assert_uint_eq(test_plain_u8(tpm, TPM_ORD_SetOwnerInstall, 0), TPM_BAD_PRESENCE);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SetTempDeactivated), TPM_BAD_PRESENCE);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SetOperatorAuth), TPM_BAD_PARAM_SIZE);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_disabled_tpm_can_be_enabled)
{
	struct tpm *tpm = test_tpm();
	uint8_t value[TPM_DIGEST_SIZE];

	bench.physical_presence = true;
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PhysicalDisable), TPM_SUCCESS);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	ck_assert_uint_eq(test_pcr_read(tpm, 0, value), TPM_DISABLED);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PhysicalDisable), TPM_DISABLED);
	ck_assert_uint_eq(test_plain_u8(tpm, TPM_ORD_PhysicalSetDeactivated, 1), TPM_DISABLED);
	test_reboot(tpm);
	ck_assert(permanent_flag(tpm, TPM_PF_DISABLE));
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PhysicalEnable), TPM_SUCCESS);
	ck_assert_uint_eq(test_pcr_read(tpm, 0, value), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PhysicalEnable), TPM_SUCCESS);
	ck_assert(!(bench.changed & TPM_CHANGED_PERMANENT));
	tpm_free(tpm);
}
END_TEST

START_TEST(deactivation_works_from_the_next_boot)
{
	struct tpm *tpm = test_tpm();
	uint8_t value[TPM_DIGEST_SIZE];

	bench.physical_presence = true;
	ck_assert_uint_eq(test_plain_u8(tpm, TPM_ORD_PhysicalSetDeactivated, 1), TPM_SUCCESS);
	ck_assert_uint_eq(test_pcr_read(tpm, 0, value), TPM_SUCCESS);
	test_reboot(tpm);
	ck_assert_uint_eq(test_pcr_read(tpm, 0, value), TPM_DEACTIVATED);
	ck_assert_uint_eq(test_plain_u8(tpm, TPM_ORD_PhysicalSetDeactivated, 0), TPM_SUCCESS);
	test_reboot(tpm);
	ck_assert_uint_eq(test_pcr_read(tpm, 0, value), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_owner_disables_and_enables)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session s;
	struct call c;

	for (uint8_t value = 1; value < 2; value--) {
		ck_assert_uint_eq(test_oiap(tpm, &s, owner_auth), TPM_SUCCESS);
		call_begin(&c, tpm, TPM_ORD_OwnerSetDisable);
		writer_u8(&c.params, value);
		call_session(&c, &s);
		ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
		ck_assert_uint_eq(permanent_flag(tpm, TPM_PF_DISABLE), value);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(a_bool_is_0_or_1)
{
	struct tpm *tpm = test_tpm();

	bench.physical_presence = true;
	ck_assert_uint_eq(test_plain_u8(tpm, TPM_ORD_SetOwnerInstall, 2), TPM_BAD_PARAMETER);
	ck_assert_uint_eq(test_plain_u8(tpm, TPM_ORD_SetOwnerInstall, 0xff), TPM_BAD_PARAMETER);
	ck_assert(permanent_flag(tpm, TPM_PF_OWNERSHIP));
	tpm_free(tpm);
}
END_TEST

START_TEST(owner_install_can_be_forbidden)
{
	struct tpm *tpm = test_tpm();

	bench.physical_presence = true;
	ck_assert_uint_eq(test_plain_u8(tpm, TPM_ORD_SetOwnerInstall, 0), TPM_SUCCESS);
	ck_assert_uint_eq(test_take_ownership(tpm, &test_srk_key), TPM_INSTALL_DISABLED);
	tpm_free(tpm);
}
END_TEST

START_TEST(with_an_owner_owner_install_does_nothing)
{
	struct tpm *tpm = test_owned_tpm();

	ck_assert_uint_eq(test_plain_u8(tpm, TPM_ORD_SetOwnerInstall, 0), TPM_SUCCESS);
	ck_assert(permanent_flag(tpm, TPM_PF_OWNERSHIP));
	tpm_free(tpm);
}
END_TEST

static TPM_RESULT
deactivate_as_operator(struct tpm *tpm, const uint8_t *auth)
{
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(test_oiap(tpm, &s, auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_SetTempDeactivated);
	call_session(&c, &s);
	return call_run(&c);
}

START_TEST(the_operator_deactivates_until_the_next_boot)
{
	struct tpm *tpm = test_tpm();
	struct call c;

	ck_assert_uint_eq(deactivate_as_operator(tpm, data_auth), TPM_NOOPERATOR);
	for (unsigned present = 0; present < 2; present++) {
		bench.physical_presence = present;
		call_begin(&c, tpm, TPM_ORD_SetOperatorAuth);
		writer_bytes(&c.params, data_auth, TPM_DIGEST_SIZE);
		ck_assert_uint_eq(call_run(&c), present ? TPM_SUCCESS : TPM_BAD_PRESENCE);
	}
	bench.physical_presence = false;
	ck_assert_uint_eq(deactivate_as_operator(tpm, wrong_auth), TPM_AUTHFAIL);
	ck_assert(!stclear_flag(tpm, TPM_SF_DEACTIVATED));
	ck_assert_uint_eq(deactivate_as_operator(tpm, data_auth), TPM_SUCCESS);
	ck_assert(stclear_flag(tpm, TPM_SF_DEACTIVATED));
	test_reboot(tpm);
	ck_assert(!stclear_flag(tpm, TPM_SF_DEACTIVATED));
	ck_assert_uint_eq(deactivate_as_operator(tpm, data_auth), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(presence_by_command_has_a_life_cycle)
{
	struct tpm *tpm = test_tpm();

	/* Not before it is enabled */
	ck_assert_uint_eq(presence(tpm, TPM_PHYSICAL_PRESENCE_PRESENT), TPM_BAD_PARAMETER);
	ck_assert_uint_eq(presence(tpm, TPM_PHYSICAL_PRESENCE_CMD_ENABLE), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PhysicalDisable), TPM_BAD_PRESENCE);
	ck_assert_uint_eq(presence(tpm, TPM_PHYSICAL_PRESENCE_PRESENT), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PhysicalDisable), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PhysicalEnable), TPM_SUCCESS);
	ck_assert_uint_eq(presence(tpm, TPM_PHYSICAL_PRESENCE_NOTPRESENT), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PhysicalDisable), TPM_BAD_PRESENCE);
	/* Locked until the next boot */
	ck_assert_uint_eq(presence(tpm, TPM_PHYSICAL_PRESENCE_PRESENT), TPM_SUCCESS);
	ck_assert_uint_eq(presence(tpm, TPM_PHYSICAL_PRESENCE_LOCK), TPM_SUCCESS);
	ck_assert(!stclear_flag(tpm, TPM_SF_PHYSICALPRESENCE));
	ck_assert_uint_eq(presence(tpm, TPM_PHYSICAL_PRESENCE_PRESENT), TPM_BAD_PARAMETER);
	ck_assert_uint_eq(presence(tpm, TPM_PHYSICAL_PRESENCE_LOCK), TPM_BAD_PARAMETER);
	test_reboot(tpm);
	ck_assert_uint_eq(presence(tpm, TPM_PHYSICAL_PRESENCE_PRESENT), TPM_SUCCESS);
	test_reboot(tpm);
	ck_assert(!stclear_flag(tpm, TPM_SF_PHYSICALPRESENCE));
	tpm_free(tpm);
}
END_TEST

START_TEST(the_lifetime_lock_ends_the_configuration)
{
	struct tpm *tpm = test_tpm();

	ck_assert_uint_eq(presence(tpm, TPM_PHYSICAL_PRESENCE_LIFETIME_LOCK |
					    TPM_PHYSICAL_PRESENCE_HW_DISABLE |
					    TPM_PHYSICAL_PRESENCE_CMD_ENABLE),
			  TPM_SUCCESS);
	ck_assert(permanent_flag(tpm, TPM_PF_PHYSICALPRESENCELIFETIMELOCK));
	ck_assert(!permanent_flag(tpm, TPM_PF_PHYSICALPRESENCEHWENABLE));
	ck_assert_uint_eq(presence(tpm, TPM_PHYSICAL_PRESENCE_HW_ENABLE), TPM_BAD_PARAMETER);
	bench.physical_presence = true;
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PhysicalDisable), TPM_BAD_PRESENCE);
	ck_assert_uint_eq(presence(tpm, TPM_PHYSICAL_PRESENCE_PRESENT), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PhysicalDisable), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(contradictory_presence_is_refused)
{
	static const uint16_t wishes[] = { 0, 1, 2, 0x400, 0x8000, 0x120, 0x240, 0x18, 0xc, 0x28 };
	struct tpm *tpm = test_tpm();

	ck_assert_uint_eq(presence(tpm, TPM_PHYSICAL_PRESENCE_CMD_ENABLE), TPM_SUCCESS);
	for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
		ck_assert_uint_eq(presence(tpm, wishes[i]), TPM_BAD_PARAMETER);
		ck_assert(!(bench.changed & TPM_CHANGED_PERMANENT));
	}
	ck_assert_uint_eq(
	    presence(tpm, TPM_PHYSICAL_PRESENCE_LOCK | TPM_PHYSICAL_PRESENCE_NOTPRESENT),
	    TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_establishment_bit_is_reset_from_locality_3_and_4)
{
	struct tpm *tpm = test_tpm();

	for (unsigned last = 3; last <= 4; last++) {
		unsigned changes = 0;

		ck_assert_uint_eq(tpm_hash_start(tpm, &changes), TPM_SUCCESS);
		ck_assert_uint_eq(tpm_hash_end(tpm, &changes), TPM_SUCCESS);
		ck_assert(tpm_established(tpm));
		for (bench.locality = 0; bench.locality < 3; bench.locality++)
			ck_assert_uint_eq(test_plain(tpm, TSC_ORD_ResetEstablishmentBit),
					  TPM_BAD_LOCALITY);
		bench.locality = last;
		ck_assert_uint_eq(test_plain(tpm, TSC_ORD_ResetEstablishmentBit), TPM_SUCCESS);
		ck_assert(!tpm_established(tpm));
	}
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		opting_in_and_out_needs_presence,
		a_disabled_tpm_can_be_enabled,
		deactivation_works_from_the_next_boot,
		the_owner_disables_and_enables,
		a_bool_is_0_or_1,
		owner_install_can_be_forbidden,
		with_an_owner_owner_install_does_nothing,
		the_operator_deactivates_until_the_next_boot,
		presence_by_command_has_a_life_cycle,
		the_lifetime_lock_ends_the_configuration,
		contradictory_presence_is_refused,
		the_establishment_bit_is_reset_from_locality_3_and_4,
		NULL,
	};

	return test_suite("optin", tests);
}
