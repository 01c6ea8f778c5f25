#include "tests/unit/delegation_client.h"

START_TEST(a_delegate_does_what_is_permitted_and_nothing_else)
{
	struct tpm *tpm = test_owned_tpm();
	struct wish wish = wish_to_read_pubek(tpm);
	struct blob blob;
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &blob), TPM_SUCCESS);
	ck_assert_uint_eq(delegation_verify(tpm, &blob), TPM_SUCCESS);
	ck_assert_uint_eq(delegation_act(tpm, &blob, TPM_ORD_OwnerReadPubek), TPM_SUCCESS);
	ck_assert_uint_eq(delegation_act(tpm, &blob, TPM_ORD_OwnerClear), TPM_AUTHFAIL);
	ck_assert_uint_eq(delegation_act(tpm, &blob, TPM_ORD_GetCapabilityOwner), TPM_AUTHFAIL);
	/* Only who knows the delegation's AuthData */
	ck_assert_uint_eq(delegation_dsap_owner(tpm, &s, &blob), TPM_SUCCESS);
	s.secret[0] ^= 1;
	call_begin(&c, tpm, TPM_ORD_OwnerReadPubek);
	call_session(&c, &s);
	ck_assert_uint_eq(call_run(&c), TPM_AUTHFAIL);
	tpm_free(tpm);
}
END_TEST

START_TEST(registers_and_locality_bind_a_delegation)
{
	static const uint8_t digest[TPM_DIGEST_SIZE] = { 1 };
	struct tpm *tpm = test_owned_tpm();
	struct wish wish = { .permissions = TPM_DELEGATE_OwnerReadPubek,
			     .family = delegation_family(tpm),
			     .count = 1,
			     .pcrs = 1,
			     .localities = 1 << 1 };
	uint8_t value[TPM_DIGEST_SIZE];
	struct blob blob;

	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &blob), TPM_SUCCESS);
	ck_assert_uint_eq(delegation_act(tpm, &blob, TPM_ORD_OwnerReadPubek), TPM_BAD_LOCALITY);
	bench.locality = 1;
	ck_assert_uint_eq(delegation_act(tpm, &blob, TPM_ORD_OwnerReadPubek), TPM_SUCCESS);
	ck_assert_uint_eq(test_extend(tpm, 0, digest, value), TPM_SUCCESS);
	ck_assert_uint_eq(delegation_act(tpm, &blob, TPM_ORD_OwnerReadPubek), TPM_WRONGPCRVAL);
	tpm_free(tpm);
}
END_TEST

static TPM_RESULT
set_pointer(struct tpm *tpm, uint16_t type, uint32_t value)
{
	struct call c;

	call_begin(&c, tpm, TPM_ORD_SetOwnerPointer);
	writer_u16(&c.params, type);
	writer_u32(&c.params, value);
	return call_run(&c);
}

START_TEST(the_owner_pointer_lets_a_delegate_speak_as_the_owner)
{
	struct tpm *tpm = test_owned_tpm();
	struct wish wish = wish_to_read_pubek(tpm);
	struct blob blob;

	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &blob), TPM_SUCCESS);
	ck_assert_uint_eq(delegation_load(tpm, owner_auth, 1, &blob), TPM_SUCCESS);
	ck_assert_uint_eq(set_pointer(tpm, TPM_ET_DEL_ROW, 0), TPM_BADINDEX);
	ck_assert_uint_eq(set_pointer(tpm, TPM_ET_KEYHANDLE, 1), TPM_BAD_PARAMETER);
	ck_assert_uint_eq(set_pointer(tpm, TPM_ET_DEL_ROW, 1), TPM_SUCCESS);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_OwnerReadPubek, delegate_auth), TPM_SUCCESS);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_GetCapabilityOwner, delegate_auth), TPM_AUTHFAIL);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_OwnerReadPubek, owner_auth), TPM_AUTHFAIL);
	ck_assert_uint_eq(set_pointer(tpm, TPM_ET_OWNER, 0), TPM_SUCCESS);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_OwnerReadPubek, owner_auth), TPM_SUCCESS);
	ck_assert_uint_eq(set_pointer(tpm, TPM_ET_DEL_ROW, 1), TPM_SUCCESS);
	test_reboot(tpm);
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_OwnerReadPubek, owner_auth), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

/* What may happen to the tables, done by the owner or by a delegate in session s. */
struct change {
	uint32_t ordinal;
	bool ends; /* what was delegated before */
	void (*write)(struct writer *w, const struct wish *wish, const struct blob *blob);
};

static void
write_enable(struct writer *w, const struct wish *wish, const struct blob *blob)
{
	(void)blob;
	writer_u32(w, wish->family);
	writer_u32(w, TPM_FAMILY_ENABLE);
	writer_sized(w, "\1", 1);
}

static void
write_load(struct writer *w, const struct wish *wish, const struct blob *blob)
{
	(void)wish;
	writer_u32(w, 3);
	writer_sized(w, blob->data, blob->len);
}

static void
write_update(struct writer *w, const struct wish *wish, const struct blob *blob)
{
	(void)wish;
	writer_sized(w, blob->data, blob->len);
}

static const struct change changes[] = {
	{ TPM_ORD_Delegate_Manage, true, write_enable },
	{ TPM_ORD_Delegate_LoadOwnerDelegation, true, write_load },
	{ TPM_ORD_Delegate_UpdateVerification, false, write_update },
};

START_TEST(a_change_of_the_tables_ends_all_delegated_sessions)
{
	struct tpm *tpm = test_owned_tpm();
	struct wish wish = wish_to_read_pubek(tpm), other = wish_to_read_pubek(tpm);
	struct test_session s, by_owner;
	struct blob blob, other_blob;
	struct call c;

	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &blob), TPM_SUCCESS);
	ck_assert_uint_eq(delegate_owner(tpm, &other, false, &other_blob), TPM_SUCCESS);
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		ck_assert_uint_eq(delegation_dsap_owner(tpm, &s, &blob), TPM_SUCCESS);
		call_begin_oiap(&c, &by_owner, tpm, changes[i].ordinal, owner_auth);
		changes[i].write(&c.params, &other, &other_blob);
		ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
		ck_assert_uint_eq(test_flush(tpm, s.handle, TPM_RT_AUTH),
				  changes[i].ends ? TPM_INVALID_AUTHHANDLE : TPM_SUCCESS);
	}
	/* Nor does one outlive a new verification count. */
	for (int increment = 0; increment < 2; increment++) {
		ck_assert_uint_eq(delegation_dsap_owner(tpm, &s, &blob), TPM_SUCCESS);
		ck_assert_uint_eq(delegate_owner(tpm, &other, increment, &other_blob), TPM_SUCCESS);
		ck_assert_uint_eq(test_flush(tpm, s.handle, TPM_RT_AUTH),
				  increment ? TPM_INVALID_AUTHHANDLE : TPM_SUCCESS);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(a_change_of_the_tables_puts_the_owner_back_in_its_place)
{
	struct tpm *tpm = test_owned_tpm();
	struct wish wish = wish_to_read_pubek(tpm);
	struct test_session s;
	struct blob blob;
	struct call c;

	wish.permissions |= TPM_DELEGATE_DelegateManage |
			    TPM_DELEGATE_Delegate_LoadOwnerDelegation |
			    TPM_DELEGATE_Delegate_UpdateVerification;
	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &blob), TPM_SUCCESS);
	ck_assert_uint_eq(delegation_load(tpm, owner_auth, 1, &blob), TPM_SUCCESS);
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		ck_assert_uint_eq(set_pointer(tpm, TPM_ET_DEL_ROW, 1), TPM_SUCCESS);
		ck_assert_uint_eq(delegation_dsap_owner(tpm, &s, &blob), TPM_SUCCESS);
		s.close = false;
		call_begin(&c, tpm, changes[i].ordinal);
		changes[i].write(&c.params, &wish, &blob);
		call_session(&c, &s);
		ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
		ck_assert_uint_eq(s.handle == 0, changes[i].ends);
		ck_assert_uint_eq(test_owner(tpm, TPM_ORD_OwnerReadPubek, owner_auth),
				  changes[i].ends ? TPM_SUCCESS : TPM_AUTHFAIL);
		ck_assert_uint_eq(set_pointer(tpm, TPM_ET_OWNER, 0), TPM_SUCCESS);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(a_blob_names_its_key_by_the_digest_of_the_modulus)
{
	enum { DIGEST_AT = 2 + 51 + TPM_DIGEST_SIZE }; /* tag, pub, integrityDigest */
	struct tpm *tpm = test_owned_tpm();
	struct wish wish = { .type = TPM_DEL_KEY_BITS,
			     .permissions = TPM_KEY_DELEGATE_Sign,
			     .family = delegation_family(tpm) };
	struct blob key, blob;
	uint8_t expected[TPM_DIGEST_SIZE];

	ck_assert_uint_eq(
	    delegate_key(tpm, test_make_key(tpm, &test_signing_key, &key), &wish, &blob),
	    TPM_SUCCESS);
	struct reader r = reader_of(key.data, key.len);
	reader_view(&r, 4 + 2 + 4 + 1 + 4 + 2 + 2);
	reader_sized(&r); /* parms */
	reader_sized(&r); /* PCRInfo */
	/* TPM_STORE_PUBKEY: its size and the modulus */
	reference_sha1(expected, r.pos, 4 + 128);
	ck_assert_mem_eq(blob.data + DIGEST_AT, expected, sizeof(expected));
	tpm_free(tpm);
}
END_TEST

START_TEST(what_is_no_blob_is_told_by_command)
{
	static const struct {
		uint16_t tag;
		TPM_RESULT dsap, verify, load;
	} cases[] = {
		{ 0, TPM_WRONG_ENTITYTYPE, TPM_BAD_PARAMETER, TPM_INVALID_STRUCTURE },
		{ TPM_TAG_DELG_KEY_BLOB, TPM_WRONG_ENTITYTYPE, TPM_INVALID_STRUCTURE,
		  TPM_INVALID_STRUCTURE },
		{ TPM_TAG_DELEGATE_OWNER_BLOB, TPM_WRONG_ENTITYTYPE, TPM_INVALID_STRUCTURE,
		  TPM_INVALID_STRUCTURE },
	};
	struct tpm *tpm = test_owned_tpm();

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct blob no_blob = { .len = 9, .data = { 0, (uint8_t)cases[i].tag } }, renewed;
		struct test_session s;

		ck_assert_uint_eq(delegation_dsap_owner(tpm, &s, &no_blob), cases[i].dsap);
		ck_assert_uint_eq(delegation_verify(tpm, &no_blob), cases[i].verify);
		ck_assert_uint_eq(delegation_sized_command(tpm, TPM_ORD_Delegate_UpdateVerification,
							   owner_auth, &no_blob, &renewed),
				  cases[i].verify);
		ck_assert_uint_eq(delegation_load(tpm, owner_auth, 0, &no_blob), cases[i].load);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(the_use_of_a_key_is_delegated)
{
	struct tpm *tpm = test_owned_tpm();
	struct wish wish = { .type = TPM_DEL_KEY_BITS,
			     .permissions = TPM_KEY_DELEGATE_Sign,
			     .family = delegation_family(tpm),
			     .count = 1 };
	uint32_t key = test_make_key(tpm, &test_signing_key, NULL);
	uint32_t other = test_make_key(tpm, &test_signing_key, NULL);
	struct blob blob, signature;
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(delegate_key(tpm, key, &wish, &blob), TPM_SUCCESS);
	ck_assert_uint_eq(delegation_dsap(tpm, &s, TPM_ET_DEL_KEY_BLOB, other, blob.data, blob.len),
			  TPM_KEYNOTFOUND);
	ck_assert_uint_eq(
	    delegation_dsap(tpm, &s, TPM_ET_DEL_KEY_BLOB, 0x01ffffff, blob.data, blob.len),
	    TPM_INVALID_KEYHANDLE);
	ck_assert_uint_eq(delegation_dsap_owner(tpm, &s, &blob), TPM_WRONG_ENTITYTYPE);
	ck_assert_uint_eq(delegation_dsap(tpm, &s, TPM_ET_DEL_KEY_BLOB, key, blob.data, blob.len),
			  TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_Sign);
	call_handle(&c, key);
	writer_sized(&c.params, data_auth, TPM_DIGEST_SIZE);
	call_session(&c, &s);
	ck_assert_uint_eq(call_run_into(&c, &signature), TPM_SUCCESS);

	ck_assert_uint_eq(delegation_dsap(tpm, &s, TPM_ET_DEL_KEY_BLOB, key, blob.data, blob.len),
			  TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_GetPubKey);
	call_handle(&c, key);
	call_session(&c, &s);
	ck_assert_uint_eq(call_run(&c), TPM_AUTHFAIL);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_delegate_hands_on_no_more_than_it_has)
{
	static const struct {
		uint32_t permissions;
		TPM_RESULT result;
	} wishes[] = {
		{ TPM_DELEGATE_OwnerReadPubek, TPM_SUCCESS },
		{ TPM_DELEGATE_OwnerReadPubek | TPM_DELEGATE_OwnerClear, TPM_AUTHFAIL },
	};
	struct tpm *tpm = test_owned_tpm();
	struct wish wish = { .permissions = TPM_DELEGATE_OwnerReadPubek |
					    TPM_DELEGATE_Delegate_CreateOwnerDelegation,
			     .family = delegation_family(tpm),
			     .count = 1 };
	struct blob mine, yours;

	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &mine), TPM_SUCCESS);
	for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
		struct test_session s;
		struct call c;

		ck_assert_uint_eq(delegation_dsap_owner(tpm, &s, &mine), TPM_SUCCESS);
		call_begin(&c, tpm, TPM_ORD_Delegate_CreateOwnerDelegation);
		writer_u8(&c.params, 0);
		wish.permissions = wishes[i].permissions;
		write_delegate_public(&c.params, &wish);
		call_session(&c, &s);
		call_new_auth(&c, false, delegate_auth);
		ck_assert_uint_eq(call_run_into(&c, &yours), wishes[i].result);
	}
	ck_assert_uint_eq(delegation_act(tpm, &yours, TPM_ORD_OwnerReadPubek), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_delegate_renews_no_row_of_another_family)
{
	enum { COUNT_AT = 4 + 51 - 4 }; /* of a row: its index, TPM_DELEGATE_PUBLIC */
	struct tpm *tpm = test_owned_tpm();
	struct wish wish = wish_to_read_pubek(tpm), other = wish_to_read_pubek(tpm);
	struct blob mine, old, next, families, rows;
	struct test_session s;
	struct call c;

	wish.permissions = TPM_DELEGATE_Delegate_UpdateVerification;
	ck_assert_uint_eq(delegate_owner(tpm, &other, false, &old), TPM_SUCCESS);
	ck_assert_uint_eq(delegation_load(tpm, owner_auth, 2, &old), TPM_SUCCESS);
	ck_assert_uint_eq(delegate_owner(tpm, &other, true, &next), TPM_SUCCESS);
	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &mine), TPM_SUCCESS);
	ck_assert_uint_eq(delegation_dsap_owner(tpm, &s, &mine), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_Delegate_UpdateVerification);
	writer_sized(&c.params, "\0\0\0\2", 4);
	call_session(&c, &s);
	ck_assert_uint_eq(call_run(&c), TPM_DELEGATE_FAMILY);
	delegation_tables(tpm, &families, &rows);
	ck_assert_uint_eq(rows.data[COUNT_AT + 3], 1);
	tpm_free(tpm);
}
END_TEST

/* A certified migration key for an approved authority, loaded. */
static uint32_t
make_cmk(struct tpm *tpm)
{
	struct key_template t = test_signing_key;
	struct test_session s;
	struct blob approval, key;
	uint32_t handle;
	struct call c;

	t.flags = TPM_MIGRATABLE | TPM_MIGRATEAUTHORITY;
	t.key12 = true;
	call_begin_oiap(&c, &s, tpm, TPM_ORD_CMK_ApproveMA, owner_auth);
	writer_bytes(&c.params, nv_auth, TPM_DIGEST_SIZE); /* any digest of authorities */
	ck_assert_uint_eq(call_run_all(&c, &approval), TPM_SUCCESS);
	call_begin_osap(&c, &s, tpm, TPM_ORD_CMK_CreateKey, TPM_KH_SRK, srk_auth);
	call_new_auth(&c, false, key_auth);
	write_key_template(&c.params, &t);
	writer_bytes(&c.params, approval.data, approval.len);
	writer_bytes(&c.params, nv_auth, TPM_DIGEST_SIZE);
	ck_assert_uint_eq(call_run_all(&c, &key), TPM_SUCCESS);
	ck_assert_uint_eq(test_load_key(tpm, &key, &handle), TPM_SUCCESS);
	return handle;
}

START_TEST(the_owner_restricts_delegated_use_of_certified_migration_keys)
{
	static const struct {
		uint32_t restriction;
		TPM_RESULT rc;
	} cases[] = {
		{ 0, TPM_INVALID_KEYUSAGE },
		{ TPM_CMK_DELEGATE_BIND, TPM_INVALID_KEYUSAGE },
		{ TPM_CMK_DELEGATE_SIGNING, TPM_SUCCESS },
	};
	struct tpm *tpm = test_owned_tpm();
	struct wish wish = { .type = TPM_DEL_KEY_BITS,
			     .permissions = TPM_KEY_DELEGATE_Sign,
			     .family = delegation_family(tpm),
			     .count = 1 };
	uint32_t key = make_cmk(tpm);
	struct test_session s;
	struct blob blob;
	struct call c;

	ck_assert_uint_eq(delegate_key(tpm, key, &wish, &blob), TPM_SUCCESS);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		/* What holds is what the owner wants when the session is used. */
		ck_assert_uint_eq(
		    delegation_dsap(tpm, &s, TPM_ET_DEL_KEY_BLOB, key, blob.data, blob.len),
		    TPM_SUCCESS);
		struct test_session by_owner;
		call_begin_oiap(&c, &by_owner, tpm, TPM_ORD_CMK_SetRestrictions, owner_auth);
		writer_u32(&c.params, cases[i].restriction);
		ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
		call_begin(&c, tpm, TPM_ORD_Sign);
		call_handle(&c, key);
		writer_sized(&c.params, nv_auth, TPM_DIGEST_SIZE);
		call_session(&c, &s);
		ck_assert_uint_eq(call_run(&c), cases[i].rc);
	}
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_delegate_does_what_is_permitted_and_nothing_else,
		registers_and_locality_bind_a_delegation,
		the_owner_pointer_lets_a_delegate_speak_as_the_owner,
		a_change_of_the_tables_ends_all_delegated_sessions,
		a_change_of_the_tables_puts_the_owner_back_in_its_place,
		a_blob_names_its_key_by_the_digest_of_the_modulus,
		what_is_no_blob_is_told_by_command,
		the_use_of_a_key_is_delegated,
		a_delegate_hands_on_no_more_than_it_has,
		a_delegate_renews_no_row_of_another_family,
		the_owner_restricts_delegated_use_of_certified_migration_keys,
		NULL,
	};

	return test_suite("delegation_use", tests);
}
