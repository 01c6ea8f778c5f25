#include "tests/unit/snapshot.h"
#include "tests/unit/transport_client.h"

#include <openssl/rsa.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const uint8_t digest[TPM_DIGEST_SIZE] = "twenty bytes exactly";

static bool
owned(struct tpm *tpm)
{
	static const uint8_t sub[4] = { 0, 0, TPM_CAP_PROP_OWNER >> 8, TPM_CAP_PROP_OWNER & 0xff };
	struct blob answer;

	ck_assert_uint_eq(test_get_capability(tpm, TPM_CAP_PROPERTY, sub, sizeof(sub), &answer),
			  TPM_SUCCESS);
	ck_assert_uint_eq(answer.len, 1);
	return answer.data[0];
}

/* ---- TPM_TakeOwnership ---- */

/* What a caller does differently from the right way. */
struct attempt {
	uint16_t protocol;
	const uint8_t *session_auth;          /* the HMAC's */
	size_t owner_auth_len, srk_auth_len;  /* bytes encrypted */
	bool owner_auth_damaged, srk_damaged; /* the encryption */
	const struct key_template *srk;
};

static const struct attempt right_way = {
	.protocol = TPM_PID_OWNER,
	.session_auth = owner_auth,
	.owner_auth_len = TPM_DIGEST_SIZE,
	.srk_auth_len = TPM_DIGEST_SIZE,
	.srk = &test_srk_key,
};

static void
write_encrypted(struct writer *w, EVP_PKEY *ek, const uint8_t *secret, size_t len, bool damaged)
{
	uint8_t encrypted[256], buf[64] = { 0 };

	memcpy(buf, secret, len < TPM_DIGEST_SIZE ? len : TPM_DIGEST_SIZE);
	reference_rsa(ek, REFERENCE_ENCRYPT, RSA_PKCS1_OAEP_PADDING, encrypted, buf, len);
	encrypted[255] ^= damaged;
	writer_sized(w, encrypted, sizeof(encrypted));
}

static EVP_PKEY *
read_ek(struct tpm *tpm)
{
	struct blob pubek;

	ck_assert_uint_eq(test_read_pubek(tpm, &pubek), TPM_SUCCESS);
	return test_pubkey_public(&pubek);
}

static TPM_RESULT
take_ownership(struct tpm *tpm, EVP_PKEY *ek, const struct attempt *a, struct blob *srk)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_TakeOwnership, a->session_auth);
	writer_u16(&c.params, a->protocol);
	write_encrypted(&c.params, ek, owner_auth, a->owner_auth_len, a->owner_auth_damaged);
	write_encrypted(&c.params, ek, srk_auth, a->srk_auth_len, a->srk_damaged);
	write_key_template(&c.params, a->srk);
	return call_run_all(&c, srk);
}

START_TEST(the_first_owner_gets_an_srk)
{
	struct tpm *tpm = test_tpm();
	uint8_t expected[256];
	struct writer w = writer_of(expected, sizeof(expected));
	struct blob srk, sealed, data;

	EVP_PKEY *ek = read_ek(tpm);
	ck_assert(!owned(tpm));
	ck_assert_uint_eq(take_ownership(tpm, ek, &right_way, &srk), TPM_SUCCESS);
	EVP_PKEY_free(ek);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	ck_assert(owned(tpm));

	/* TPM_KEY: as asked for, with a modulus and without encData */
	write_key_template(&w, &test_srk_key);
	ck_assert_uint_eq(srk.len, w.len + 256);
	ck_assert_mem_eq(srk.data, expected, w.len - 8);
	ck_assert_mem_eq(srk.data + srk.len - 4, "\0\0\0\0", 4);
	EVP_PKEY *given = test_key_public(&srk), *read = test_srk_public(tpm);
	ck_assert_int_eq(EVP_PKEY_eq(given, read), 1);
	EVP_PKEY_free(given);
	EVP_PKEY_free(read);

	ck_assert_uint_eq(test_seal(tpm, NULL, "x", 1, &sealed), TPM_SUCCESS);
	test_reboot(tpm);
	ck_assert_uint_eq(test_unseal(tpm, &sealed, data_auth, &data), TPM_SUCCESS);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_OwnerReadPubek, owner_auth), TPM_SUCCESS);
	ck_assert(!test_flag(tpm, TPM_CAP_FLAG_PERMANENT, TPM_PF_READPUBEK));
	tpm_free(tpm);
}
END_TEST

START_TEST(there_is_one_owner)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_TakeOwnership, owner_auth);
	writer_u16(&c.params, TPM_PID_OWNER);
	writer_sized(&c.params, digest, sizeof(digest));
	writer_sized(&c.params, digest, sizeof(digest));
	write_key_template(&c.params, &test_srk_key);
	ck_assert_uint_eq(call_run(&c), TPM_OWNER_SET);
	tpm_free(tpm);
}
END_TEST

START_TEST(an_srk_of_other_kinds)
{
	struct key_template templates[3] = { test_srk_key, test_srk_key, test_srk_key };
	uint8_t value[TPM_DIGEST_SIZE];

	templates[0].authDataUsage = TPM_AUTH_NEVER;
	templates[1].key12 = true;
	for (int i = 0; i < 3; i++) {
		struct tpm *tpm = test_tpm();
		struct attempt a = right_way;
		struct blob pcr_info, srk, sealed;

		test_pcr_info(tpm, 1u << 3, &pcr_info);
		templates[2].pcr_info = &pcr_info;
		a.srk = &templates[i];
		EVP_PKEY *ek = read_ek(tpm);
		ck_assert_uint_eq(take_ownership(tpm, ek, &a, &srk), TPM_SUCCESS);
		EVP_PKEY_free(ek);
		ck_assert_uint_eq(test_extend(tpm, 3, digest, value), TPM_SUCCESS);
		ck_assert_uint_eq(test_seal(tpm, NULL, "x", 1, &sealed),
				  i == 2 ? TPM_WRONGPCRVAL : TPM_SUCCESS);
		tpm_free(tpm);
	}
}
END_TEST

START_TEST(ownership_is_not_taken_otherwise_and_nothing_is_left_of_the_attempt)
{
	struct key_template migratable = test_srk_key, small = test_srk_key, signing = test_srk_key;
	struct attempt attempts[9];
	static const TPM_RESULT expected[COUNT(attempts)] = {
		TPM_BAD_PARAMETER,    TPM_AUTHFAIL,         TPM_BAD_KEY_PROPERTY,
		TPM_BAD_KEY_PROPERTY, TPM_DECRYPT_ERROR,    TPM_DECRYPT_ERROR,
		TPM_INVALID_KEYUSAGE, TPM_BAD_KEY_PROPERTY, TPM_INVALID_KEYUSAGE,
	};
	struct tpm *tpm = test_tpm();
	EVP_PKEY *ek = read_ek(tpm);
	struct snapshot before;
	struct blob srk;

	for (size_t i = 0; i < COUNT(attempts); i++)
		attempts[i] = right_way;
	attempts[0].protocol = TPM_PID_OIAP;
	attempts[1].session_auth = wrong_auth;
	attempts[2].owner_auth_len = TPM_DIGEST_SIZE - 1;
	attempts[3].srk_auth_len = TPM_DIGEST_SIZE + 1;
	attempts[4].owner_auth_damaged = true;
	attempts[5].srk_damaged = true;
	migratable.flags = TPM_MIGRATABLE;
	attempts[6].srk = &migratable;
	small.bits = 1024;
	attempts[7].srk = &small;
	signing.usage = TPM_KEY_SIGNING;
	signing.encScheme = TPM_ES_NONE;
	signing.sigScheme = TPM_SS_RSASSAPKCS1v15_SHA1;
	attempts[8].srk = &signing;

	for (size_t i = 0; i < COUNT(attempts); i++) {
		snapshot_take(&before, tpm);
		TPM_RESULT rc = take_ownership(tpm, ek, &attempts[i], &srk);
		ck_assert_msg(rc == expected[i], "%zu: %u", i, rc);
		/* but for the count of failed authorizations */
		ck_assert_msg(snapshot_changes(&before, tpm) == 0 || rc == TPM_AUTHFAIL, "%zu", i);
		snapshot_free(&before);
		ck_assert(!owned(tpm));
	}
	ck_assert_uint_eq(take_ownership(tpm, ek, &right_way, &srk), TPM_SUCCESS);
	EVP_PKEY_free(ek);
	tpm_free(tpm);
}
END_TEST

START_TEST(ownership_needs_an_endorsement_key_and_leave)
{
	struct tpm *blank = test_blank_tpm(), *tpm;
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, blank, TPM_ORD_TakeOwnership, owner_auth);
	writer_u16(&c.params, TPM_PID_OWNER);
	writer_sized(&c.params, digest, sizeof(digest));
	writer_sized(&c.params, digest, sizeof(digest));
	write_key_template(&c.params, &test_srk_key);
	ck_assert_uint_eq(call_run(&c), TPM_NO_ENDORSEMENT);
	tpm_free(blank);

	tpm = test_tpm();
	bench.physical_presence = true;
	ck_assert_uint_eq(test_plain_u8(tpm, TPM_ORD_SetOwnerInstall, 0), TPM_SUCCESS);
	ck_assert_uint_eq(test_take_ownership(tpm, &test_srk_key), TPM_INSTALL_DISABLED);
	ck_assert_uint_eq(test_plain_u8(tpm, TPM_ORD_SetOwnerInstall, 1), TPM_SUCCESS);
	ck_assert_uint_eq(test_take_ownership(tpm, &test_srk_key), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

/* ---- Clearing ---- */

/* That everything of the owner is gone, and the TPM waits to be enabled. */
static void
assert_cleared(struct tpm *tpm, uint32_t key, const struct test_session *session)
{
	struct blob pubek;

	ck_assert(test_flag(tpm, TPM_CAP_FLAG_PERMANENT, TPM_PF_DISABLE));
	ck_assert(test_flag(tpm, TPM_CAP_FLAG_PERMANENT, TPM_PF_DEACTIVATED));
	ck_assert(test_flag(tpm, TPM_CAP_FLAG_PERMANENT, TPM_PF_OWNERSHIP));
	ck_assert(test_flag(tpm, TPM_CAP_FLAG_PERMANENT, TPM_PF_READPUBEK));
	ck_assert(!test_flag(tpm, TPM_CAP_FLAG_PERMANENT, TPM_PF_DISABLEOWNERCLEAR));
	ck_assert_uint_eq(test_flush(tpm, session->handle, TPM_RT_AUTH), TPM_INVALID_AUTHHANDLE);
	ck_assert(test_flush(tpm, key, TPM_RT_KEY) != TPM_SUCCESS);
	ck_assert(!owned(tpm));

	bench.physical_presence = true;
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_PhysicalEnable), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain_u8(tpm, TPM_ORD_PhysicalSetDeactivated, 0), TPM_SUCCESS);
	test_reboot(tpm);
	ck_assert_uint_eq(test_read_pubek(tpm, &pubek), TPM_SUCCESS);
	ck_assert_uint_eq(test_take_ownership(tpm, &test_srk_key), TPM_SUCCESS);
}

START_TEST(the_owner_clears_the_tpm)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t key = test_make_key(tpm, &test_signing_key, NULL);
	struct test_session other;

	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_OwnerClear, wrong_auth), TPM_AUTHFAIL);
	ck_assert(owned(tpm));
	ck_assert_uint_eq(test_oiap(tpm, &other, owner_auth), TPM_SUCCESS);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_OwnerClear, owner_auth), TPM_SUCCESS);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	assert_cleared(tpm, key, &other);
	tpm_free(tpm);
}
END_TEST

static uint32_t
available(struct tpm *tpm, uint32_t property)
{
	return test_get_capability_u32(tpm, TPM_CAP_PROPERTY, property);
}

START_TEST(clearing_ends_sessions_of_every_kind_saved_ones_too)
{
	static const uint32_t kinds[] = { TPM_CAP_PROP_AUTHSESS, TPM_CAP_PROP_TRANSSESS,
					  TPM_CAP_PROP_CONTEXT };
	struct tpm *tpm = test_owned_tpm();
	uint32_t all[COUNT(kinds)];
	struct test_session saved, open;
	struct call c;

	for (size_t i = 0; i < COUNT(kinds); i++)
		all[i] = available(tpm, kinds[i]);
	(void)transport_establish_plain(tpm, 0);
	ck_assert_uint_eq(test_oiap(tpm, &saved, owner_auth), TPM_SUCCESS);
	ck_assert_uint_eq(test_oiap(tpm, &open, owner_auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_SaveContext);
	call_handle(&c, saved.handle);
	writer_u32(&c.params, TPM_RT_AUTH);
	writer_bytes(&c.params, digest, 16);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	for (size_t i = 0; i < COUNT(kinds); i++)
		ck_assert_uint_lt(available(tpm, kinds[i]), all[i]);
	tpm_clear(tpm);
	for (size_t i = 0; i < COUNT(kinds); i++)
		ck_assert_uint_eq(available(tpm, kinds[i]), all[i]);
	tpm_free(tpm);
}
END_TEST

START_TEST(clearing_within_a_transport_session_ends_that_too)
{
	struct tpm *tpm = test_owned_tpm();
	struct transport_client t = transport_establish_plain(tpm, 0);
	struct blob response;
	struct call c;

	bench.physical_presence = true;
	call_begin(&c, tpm, TPM_ORD_ForceClear);
	ck_assert_uint_eq(transport_execute(&t, &c, &(struct wrapped_shape) { 0 }, &response),
			  TPM_SUCCESS);
	ck_assert_uint_eq(transport_result(&response), TPM_SUCCESS);
	ck_assert_uint_eq(t.s.handle, 0);
	tpm_free(tpm);
}
END_TEST

START_TEST(clearing_ends_the_session_that_asked_for_it)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_OwnerClear, owner_auth);
	s.close = false;
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS); /* with an HMAC of the old secret */
	ck_assert_uint_eq(s.handle, 0);
	tpm_free(tpm);
}
END_TEST

START_TEST(who_stands_before_the_machine_clears_the_tpm)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t key = test_make_key(tpm, &test_signing_key, NULL);
	struct test_session other;

	ck_assert_uint_eq(test_oiap(tpm, &other, owner_auth), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_ForceClear), TPM_BAD_PRESENCE);
	ck_assert(owned(tpm));
	bench.physical_presence = true;
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_ForceClear), TPM_SUCCESS);
	assert_cleared(tpm, key, &other);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_owner_gives_up_clearing)
{
	struct tpm *tpm = test_owned_tpm();

	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_DisableOwnerClear, wrong_auth), TPM_AUTHFAIL);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_DisableOwnerClear, owner_auth), TPM_SUCCESS);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	test_reboot(tpm);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_OwnerClear, owner_auth), TPM_CLEAR_DISABLED);
	bench.physical_presence = true;
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_ForceClear), TPM_SUCCESS);
	ck_assert(!test_flag(tpm, TPM_CAP_FLAG_PERMANENT, TPM_PF_DISABLEOWNERCLEAR));
	tpm_free(tpm);
}
END_TEST

START_TEST(firmware_locks_clearing_until_the_next_start)
{
	struct tpm *tpm = test_owned_tpm();

	bench.physical_presence = true;
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_DisableForceClear), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_ForceClear), TPM_CLEAR_DISABLED);
	ck_assert(owned(tpm));
	test_reboot(tpm);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_ForceClear), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_hosts_operator_clears_a_tpm_that_stays_usable)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob pubek;

	EVP_PKEY *srk = test_srk_public(tpm);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SaveState), TPM_SUCCESS);
	tpm_clear(tpm);
	ck_assert(!owned(tpm));
	ck_assert_uint_eq(test_read_pubek(tpm, &pubek), TPM_SUCCESS);
	ck_assert_uint_eq(test_take_ownership(tpm, &test_srk_key), TPM_SUCCESS);
	EVP_PKEY *next = test_srk_public(tpm);
	ck_assert_int_ne(EVP_PKEY_eq(srk, next), 1);
	EVP_PKEY_free(srk);
	EVP_PKEY_free(next);

	/* and what was saved before is of the past */
	tpm_init(tpm);
	ck_assert_uint_ne(test_startup(tpm, TPM_ST_STATE), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		the_first_owner_gets_an_srk,
		there_is_one_owner,
		an_srk_of_other_kinds,
		ownership_is_not_taken_otherwise_and_nothing_is_left_of_the_attempt,
		ownership_needs_an_endorsement_key_and_leave,
		the_owner_clears_the_tpm,
		clearing_ends_sessions_of_every_kind_saved_ones_too,
		clearing_within_a_transport_session_ends_that_too,
		clearing_ends_the_session_that_asked_for_it,
		who_stands_before_the_machine_clears_the_tpm,
		the_owner_gives_up_clearing,
		firmware_locks_clearing_until_the_next_start,
		the_hosts_operator_clears_a_tpm_that_stays_usable,
		NULL,
	};

	return test_suite("ownership", tests);
}
