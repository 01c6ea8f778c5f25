#include "tests/unit/support.h"

enum { FAMILIES = 16, ROWS = 4 };

/* AuthData of delegations. */
#define delegate_auth data_auth

/* What is delegated: TPM_DELEGATE_PUBLIC. */
struct wish {
	uint32_t type; /* 0: TPM_DEL_OWNER_BITS */
	uint32_t permissions, family, count;
	uint32_t pcrs;      /* must have their present values, zeros */
	uint8_t localities; /* 0: all */
};

static void
write_public(struct writer *w, const struct wish *wish)
{
	uint8_t composite[2 + 3 + 4 + TPM_DIGEST_SIZE] = { 0, 3, 1, 0, 0, 0, 0, 0, 20 };
	uint8_t digest[TPM_DIGEST_SIZE] = { 0 };

	if (wish->pcrs)
		reference_sha1(digest, composite, sizeof(composite));
	writer_u16(w, TPM_TAG_DELEGATE_PUBLIC);
	writer_u8(w, 'l');
	write_pcr_selection(w, wish->pcrs);
	writer_u8(w, wish->localities ? wish->localities : TPM_LOC_ALL);
	writer_bytes(w, digest, sizeof(digest));
	writer_u16(w, TPM_TAG_DELEGATIONS);
	writer_u32(w, wish->type ? wish->type : TPM_DEL_OWNER_BITS);
	writer_u32(w, wish->permissions);
	writer_u32(w, 0);
	writer_u32(w, wish->family);
	writer_u32(w, wish->count);
}

/* TPM_Delegate_Manage by the owner, or plainly (owner NULL); id: of a new family. */
static TPM_RESULT
manage(struct tpm *tpm, const uint8_t *owner, uint32_t family, uint32_t operation, const char *data,
       size_t len, uint32_t *id)
{
	struct test_session s;
	struct blob answer;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_Delegate_Manage, owner);
	writer_u32(&c.params, family);
	writer_u32(&c.params, operation);
	writer_sized(&c.params, data, len);
	TPM_RESULT rc = call_run_into(&c, &answer);
	if (rc == TPM_SUCCESS && id) {
		struct reader r = reader_of(answer.data, answer.len);

		*id = reader_u32(&r);
		ck_assert(reader_done(&r));
	}
	return rc;
}

static TPM_RESULT
set_enabled(struct tpm *tpm, uint32_t family, bool enabled)
{
	return manage(tpm, owner_auth, family, TPM_FAMILY_ENABLE, enabled ? "\1" : "\0", 1, NULL);
}

static uint32_t
enabled_family(struct tpm *tpm)
{
	uint32_t id;

	ck_assert_uint_eq(manage(tpm, owner_auth, 0, TPM_FAMILY_CREATE, "F", 1, &id), TPM_SUCCESS);
	ck_assert_uint_eq(set_enabled(tpm, id, true), TPM_SUCCESS);
	return id;
}

static TPM_RESULT
delegate_owner(struct tpm *tpm, const struct wish *wish, bool increment, struct blob *blob)
{
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(test_osap(tpm, &s, TPM_ET_OWNER, TPM_KH_OWNER, owner_auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_Delegate_CreateOwnerDelegation);
	writer_u8(&c.params, increment);
	write_public(&c.params, wish);
	call_session(&c, &s);
	call_new_auth(&c, false, delegate_auth);
	return call_run_into(&c, blob);
}

static TPM_RESULT
delegate_key(struct tpm *tpm, uint32_t key, const struct wish *wish, struct blob *blob)
{
	struct test_session s;
	struct call c;

	call_begin_osap(&c, &s, tpm, TPM_ORD_Delegate_CreateKeyDelegation, key, key_auth);
	write_public(&c.params, wish);
	call_new_auth(&c, false, delegate_auth);
	return call_run_into(&c, blob);
}

/* TPM_DSAP with a row or blob. */
static TPM_RESULT
dsap(struct tpm *tpm, struct test_session *s, uint16_t type, uint32_t key, const void *value,
     size_t len)
{
	uint8_t nonces[2 * TPM_DIGEST_SIZE] = { 0 }; /* nonceEvenDSAP, nonceOddDSAP */
	struct call c;

	*s = (struct test_session) { .close = true };
	call_begin(&c, tpm, TPM_ORD_DSAP);
	writer_u16(&c.params, type);
	writer_u32(&c.params, key);
	writer_bytes(&c.params, nonces + TPM_DIGEST_SIZE, TPM_DIGEST_SIZE);
	writer_sized(&c.params, value, len);
	TPM_RESULT rc = call_run(&c);
	if (rc == TPM_SUCCESS) {
		s->handle = reader_u32(&c.out);
		reader_bytes(&c.out, s->nonceEven, TPM_DIGEST_SIZE);
		reader_bytes(&c.out, nonces, TPM_DIGEST_SIZE);
		ck_assert(reader_done(&c.out));
		reference_hmac(s->secret, delegate_auth, TPM_DIGEST_SIZE, nonces, sizeof(nonces));
	}
	return rc;
}

static TPM_RESULT
dsap_owner(struct tpm *tpm, struct test_session *s, const struct blob *blob)
{
	return dsap(tpm, s, TPM_ET_DEL_OWNER_BLOB, 0, blob->data, blob->len);
}

/* An owner's command without parameters, authorized by an owner delegation. */
static TPM_RESULT
act(struct tpm *tpm, const struct blob *blob, uint32_t ordinal)
{
	struct test_session s;
	struct call c;
	TPM_RESULT rc = dsap_owner(tpm, &s, blob);

	if (rc)
		return rc;
	call_begin(&c, tpm, ordinal);
	call_session(&c, &s);
	return call_run(&c);
}

static TPM_RESULT
sized_command(struct tpm *tpm, uint32_t ordinal, const uint8_t *owner, const struct blob *in,
	      struct blob *out)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, ordinal, owner);
	writer_sized(&c.params, in->data, in->len);
	return out ? call_run_into(&c, out) : call_run(&c);
}

static TPM_RESULT
verify(struct tpm *tpm, const struct blob *blob)
{
	return sized_command(tpm, TPM_ORD_Delegate_VerifyDelegation, NULL, blob, NULL);
}

static TPM_RESULT
load(struct tpm *tpm, const uint8_t *owner, uint32_t row, const struct blob *blob)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_Delegate_LoadOwnerDelegation, owner);
	writer_u32(&c.params, row);
	writer_sized(&c.params, blob->data, blob->len);
	return call_run(&c);
}

static void
read_tables(struct tpm *tpm, struct blob *families, struct blob *rows)
{
	struct call c;

	call_begin(&c, tpm, TPM_ORD_Delegate_ReadTable);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	struct reader f = reader_sized(&c.out), r = reader_sized(&c.out);
	ck_assert(reader_done(&c.out));
	families->len = f.left;
	rows->len = r.left;
	reader_bytes(&f, families->data, f.left);
	reader_bytes(&r, rows->data, r.left);
}

START_TEST(families_are_made_listed_and_invalidated)
{
	static const uint8_t entry[] = { 0, 0x25, 'F', 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1 };
	struct tpm *tpm = test_owned_tpm();
	struct blob families, rows;
	uint32_t id = enabled_family(tpm);

	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	test_reboot(tpm);
	read_tables(tpm, &families, &rows);
	ck_assert_uint_eq(families.len, sizeof(entry));
	ck_assert_mem_eq(families.data, entry, sizeof(entry));
	ck_assert_uint_eq(rows.len, 0);
	ck_assert_uint_eq(manage(tpm, owner_auth, id, TPM_FAMILY_INVALIDATE, "", 0, NULL),
			  TPM_SUCCESS);
	read_tables(tpm, &families, &rows);
	ck_assert_uint_eq(families.len, 0);
	ck_assert_uint_eq(enabled_family(tpm), id + 1);
	tpm_free(tpm);
}
END_TEST

START_TEST(families_run_out)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t id;

	for (unsigned i = 0; i < FAMILIES; i++)
		enabled_family(tpm);
	ck_assert_uint_eq(manage(tpm, owner_auth, 0, TPM_FAMILY_CREATE, "X", 1, &id),
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

	enabled_family(tpm);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_uint_eq(manage(tpm, owner_auth, wrong[i].family, wrong[i].operation,
					 "\1\1", wrong[i].len, NULL),
				  wrong[i].result);
	ck_assert_uint_eq(manage(tpm, NULL, 0, TPM_FAMILY_CREATE, "X", 1, NULL), TPM_AUTHFAIL);
	ck_assert_uint_eq(manage(tpm, wrong_auth, 0, TPM_FAMILY_CREATE, "X", 1, NULL),
			  TPM_AUTHFAIL);
	tpm_free(tpm);
}
END_TEST

START_TEST(without_an_owner_anybody_manages_for_a_while_unless_locked)
{
	struct tpm *tpm = test_tpm();
	uint32_t id;
	unsigned done = 0;

	ck_assert_uint_eq(manage(tpm, NULL, 0, TPM_FAMILY_CREATE, "A", 1, &id), TPM_SUCCESS);
	ck_assert_uint_eq(manage(tpm, NULL, id, TPM_FAMILY_ADMIN, "\1", 1, NULL), TPM_SUCCESS);
	ck_assert_uint_eq(manage(tpm, NULL, id, TPM_FAMILY_ENABLE, "\1", 1, NULL),
			  TPM_DELEGATE_LOCK);
	ck_assert_uint_eq(manage(tpm, NULL, 0, TPM_FAMILY_CREATE, "B", 1, &id), TPM_SUCCESS);
	while (manage(tpm, NULL, id, TPM_FAMILY_ENABLE, "\1", 1, NULL) == TPM_SUCCESS)
		ck_assert_uint_lt(++done, 100);
	ck_assert_uint_eq(manage(tpm, NULL, id, TPM_FAMILY_ENABLE, "\1", 1, NULL), TPM_MAXNVWRITES);
	ck_assert_uint_ge(done, 32);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_delegate_does_what_is_permitted_and_nothing_else)
{
	struct tpm *tpm = test_owned_tpm();
	struct wish wish = { .permissions = TPM_DELEGATE_OwnerReadPubek,
			     .family = enabled_family(tpm),
			     .count = 1 };
	struct blob blob;
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &blob), TPM_SUCCESS);
	ck_assert_uint_eq(verify(tpm, &blob), TPM_SUCCESS);
	ck_assert_uint_eq(act(tpm, &blob, TPM_ORD_OwnerReadPubek), TPM_SUCCESS);
	ck_assert_uint_eq(act(tpm, &blob, TPM_ORD_OwnerClear), TPM_AUTHFAIL);
	ck_assert_uint_eq(act(tpm, &blob, TPM_ORD_GetCapabilityOwner), TPM_AUTHFAIL);
	/* Only who knows the delegation's AuthData */
	ck_assert_uint_eq(dsap_owner(tpm, &s, &blob), TPM_SUCCESS);
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
			     .family = enabled_family(tpm),
			     .count = 1,
			     .pcrs = 1,
			     .localities = 1 << 1 };
	uint8_t value[TPM_DIGEST_SIZE];
	struct blob blob;

	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &blob), TPM_SUCCESS);
	ck_assert_uint_eq(act(tpm, &blob, TPM_ORD_OwnerReadPubek), TPM_BAD_LOCALITY);
	bench.locality = 1;
	ck_assert_uint_eq(act(tpm, &blob, TPM_ORD_OwnerReadPubek), TPM_SUCCESS);
	ck_assert_uint_eq(test_extend(tpm, 0, digest, value), TPM_SUCCESS);
	ck_assert_uint_eq(act(tpm, &blob, TPM_ORD_OwnerReadPubek), TPM_WRONGPCRVAL);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_disabled_family_delegates_nothing)
{
	struct tpm *tpm = test_owned_tpm();
	struct wish wish = { .permissions = TPM_DELEGATE_OwnerReadPubek,
			     .family = enabled_family(tpm),
			     .count = 1 };
	struct blob blob;

	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &blob), TPM_SUCCESS);
	ck_assert_uint_eq(set_enabled(tpm, wish.family, false), TPM_SUCCESS);
	ck_assert_uint_eq(act(tpm, &blob, TPM_ORD_OwnerReadPubek), TPM_DISABLED_CMD);
	ck_assert_uint_eq(verify(tpm, &blob), TPM_DISABLED_CMD);
	ck_assert_uint_eq(set_enabled(tpm, wish.family, true), TPM_SUCCESS);
	ck_assert_uint_eq(act(tpm, &blob, TPM_ORD_OwnerReadPubek), TPM_SUCCESS);
	ck_assert_uint_eq(manage(tpm, owner_auth, wish.family, TPM_FAMILY_INVALIDATE, "", 0, NULL),
			  TPM_SUCCESS);
	ck_assert_uint_eq(act(tpm, &blob, TPM_ORD_OwnerReadPubek), TPM_BADINDEX);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_new_verification_count_ends_old_delegations)
{
	struct tpm *tpm = test_owned_tpm();
	struct wish wish = { .permissions = TPM_DELEGATE_OwnerReadPubek,
			     .family = enabled_family(tpm),
			     .count = 1 };
	struct blob old, next, renewed;

	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &old), TPM_SUCCESS);
	ck_assert_uint_eq(delegate_owner(tpm, &wish, true, &next), TPM_SUCCESS);
	ck_assert_uint_eq(act(tpm, &old, TPM_ORD_OwnerReadPubek), TPM_FAMILYCOUNT);
	ck_assert_uint_eq(verify(tpm, &old), TPM_FAMILYCOUNT);
	ck_assert_uint_eq(act(tpm, &next, TPM_ORD_OwnerReadPubek), TPM_SUCCESS);
	ck_assert_uint_eq(
	    sized_command(tpm, TPM_ORD_Delegate_UpdateVerification, owner_auth, &old, &renewed),
	    TPM_SUCCESS);
	ck_assert_uint_eq(act(tpm, &renewed, TPM_ORD_OwnerReadPubek), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(every_changed_byte_of_a_blob_is_noticed)
{
	struct tpm *tpm = test_owned_tpm();
	struct wish wish = { .permissions = TPM_DELEGATE_OwnerReadPubek,
			     .family = enabled_family(tpm),
			     .count = 1 };
	struct blob blob;

	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &blob), TPM_SUCCESS);
	for (size_t i = 0; i < blob.len; i++) {
		blob.data[i] ^= 1;
		ck_assert_uint_ne(verify(tpm, &blob), TPM_SUCCESS);
		ck_assert_uint_ne(act(tpm, &blob, TPM_ORD_OwnerReadPubek), TPM_SUCCESS);
		blob.data[i] ^= 1;
	}
	for (size_t len = 0; len < blob.len; len++) {
		struct blob cut = { .len = len };

		memcpy(cut.data, blob.data, len);
		ck_assert_uint_ne(verify(tpm, &cut), TPM_SUCCESS);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(wrong_wishes_are_refused)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t family = enabled_family(tpm);
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
	struct wish wish = { .permissions = TPM_DELEGATE_OwnerReadPubek,
			     .family = enabled_family(tpm),
			     .count = 1 };
	struct blob blob, families, rows;
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &blob), TPM_SUCCESS);
	ck_assert_uint_eq(load(tpm, owner_auth, ROWS, &blob), TPM_BADINDEX);
	ck_assert_uint_eq(load(tpm, NULL, 0, &blob), TPM_AUTHFAIL);
	ck_assert_uint_eq(load(tpm, owner_auth, 2, &blob), TPM_SUCCESS);
	test_reboot(tpm);
	read_tables(tpm, &families, &rows);
	ck_assert_uint_eq(rows.len, 4 + 51);
	ck_assert_uint_eq(rows.data[3], 2);
	ck_assert_uint_eq(dsap(tpm, &s, TPM_ET_DEL_ROW, 0, "\0\0\0\1", 4), TPM_BADINDEX);
	ck_assert_uint_eq(dsap(tpm, &s, TPM_ET_DEL_ROW, 0, "\0\0\2", 3), TPM_BAD_PARAM_SIZE);
	ck_assert_uint_eq(dsap(tpm, &s, TPM_ET_DEL_ROW, 0, "\0\0\0\2", 4), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_OwnerReadPubek);
	call_session(&c, &s);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
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
	struct wish wish = { .permissions = TPM_DELEGATE_OwnerReadPubek,
			     .family = enabled_family(tpm),
			     .count = 1 };
	struct blob blob;

	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &blob), TPM_SUCCESS);
	ck_assert_uint_eq(load(tpm, owner_auth, 1, &blob), TPM_SUCCESS);
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

START_TEST(the_use_of_a_key_is_delegated)
{
	struct tpm *tpm = test_owned_tpm();
	struct wish wish = { .type = TPM_DEL_KEY_BITS,
			     .permissions = TPM_KEY_DELEGATE_Sign,
			     .family = enabled_family(tpm),
			     .count = 1 };
	uint32_t key = test_make_key(tpm, &test_signing_key, NULL);
	uint32_t other = test_make_key(tpm, &test_signing_key, NULL);
	struct blob blob, signature;
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(delegate_key(tpm, key, &wish, &blob), TPM_SUCCESS);
	ck_assert_uint_eq(dsap(tpm, &s, TPM_ET_DEL_KEY_BLOB, other, blob.data, blob.len),
			  TPM_KEYNOTFOUND);
	ck_assert_uint_eq(dsap(tpm, &s, TPM_ET_DEL_KEY_BLOB, 0x01ffffff, blob.data, blob.len),
			  TPM_INVALID_KEYHANDLE);
	ck_assert_uint_eq(dsap_owner(tpm, &s, &blob), TPM_WRONG_ENTITYTYPE);
	ck_assert_uint_eq(dsap(tpm, &s, TPM_ET_DEL_KEY_BLOB, key, blob.data, blob.len),
			  TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_Sign);
	call_handle(&c, key);
	writer_sized(&c.params, data_auth, TPM_DIGEST_SIZE);
	call_session(&c, &s);
	ck_assert_uint_eq(call_run_into(&c, &signature), TPM_SUCCESS);

	ck_assert_uint_eq(dsap(tpm, &s, TPM_ET_DEL_KEY_BLOB, key, blob.data, blob.len),
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
			     .family = enabled_family(tpm),
			     .count = 1 };
	struct blob mine, yours;

	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &mine), TPM_SUCCESS);
	for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
		struct test_session s;
		struct call c;

		ck_assert_uint_eq(dsap_owner(tpm, &s, &mine), TPM_SUCCESS);
		call_begin(&c, tpm, TPM_ORD_Delegate_CreateOwnerDelegation);
		writer_u8(&c.params, 0);
		wish.permissions = wishes[i].permissions;
		write_public(&c.params, &wish);
		call_session(&c, &s);
		call_new_auth(&c, false, delegate_auth);
		ck_assert_uint_eq(call_run_into(&c, &yours), wishes[i].result);
	}
	ck_assert_uint_eq(act(tpm, &yours, TPM_ORD_OwnerReadPubek), TPM_SUCCESS);
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
			     .family = enabled_family(tpm),
			     .count = 1 };
	uint32_t key = make_cmk(tpm);
	struct test_session s;
	struct blob blob;
	struct call c;

	ck_assert_uint_eq(delegate_key(tpm, key, &wish, &blob), TPM_SUCCESS);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		/* What holds is what the owner wants when the session is used. */
		ck_assert_uint_eq(dsap(tpm, &s, TPM_ET_DEL_KEY_BLOB, key, blob.data, blob.len),
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

START_TEST(delegations_go_with_the_owner)
{
	struct tpm *tpm = test_owned_tpm();
	struct wish wish = { .permissions = TPM_DELEGATE_OwnerReadPubek,
			     .family = enabled_family(tpm),
			     .count = 1 };
	struct blob blob, families, rows;

	ck_assert_uint_eq(delegate_owner(tpm, &wish, false, &blob), TPM_SUCCESS);
	ck_assert_uint_eq(load(tpm, owner_auth, 0, &blob), TPM_SUCCESS);
	tpm_clear(tpm);
	read_tables(tpm, &families, &rows);
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
		a_delegate_does_what_is_permitted_and_nothing_else,
		registers_and_locality_bind_a_delegation,
		a_disabled_family_delegates_nothing,
		a_new_verification_count_ends_old_delegations,
		every_changed_byte_of_a_blob_is_noticed,
		wrong_wishes_are_refused,
		a_row_of_the_table_serves_as_well_as_a_blob,
		the_owner_pointer_lets_a_delegate_speak_as_the_owner,
		the_use_of_a_key_is_delegated,
		a_delegate_hands_on_no_more_than_it_has,
		the_owner_restricts_delegated_use_of_certified_migration_keys,
		delegations_go_with_the_owner,
		NULL,
	};

	return test_suite("delegation", tests);
}
