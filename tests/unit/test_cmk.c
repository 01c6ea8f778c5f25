#include "tests/unit/soft_key.h"

#include <openssl/rsa.h>

static const uint8_t digest[TPM_DIGEST_SIZE] = "twenty bytes to sign", zeros[TPM_DIGEST_SIZE];

static const struct key_template cmk = {
	.usage = TPM_KEY_SIGNING,
	.flags = TPM_MIGRATABLE | TPM_MIGRATEAUTHORITY,
	.authDataUsage = TPM_AUTH_ALWAYS,
	.encScheme = TPM_ES_NONE,
	.sigScheme = TPM_SS_RSASSAPKCS1v15_SHA1,
	.bits = 1024,
	.key12 = true,
};

/* A TPM with a certified migration key, and all who take part in its migration. */
static struct scene {
	struct tpm *tpm;
	struct soft_key authority; /* signs tickets */
	uint8_t authority_digest[TPM_DIGEST_SIZE];
	struct blob parent; /* the destination: a storage key */
	uint32_t parent_handle;
	uint8_t parent_digest[TPM_DIGEST_SIZE];
	uint8_t msa_list[4 + 2 * TPM_DIGEST_SIZE]; /* TPM_MSA_COMPOSITE of these two */
	uint8_t msa_digest[TPM_DIGEST_SIZE];
	struct blob key;
	uint8_t key_digest[TPM_DIGEST_SIZE];
} s;

static TPM_RESULT
approve(const uint8_t *owner, const uint8_t *msa_digest, uint8_t *approval)
{
	struct test_session session;
	struct blob out;
	struct call c;

	call_begin_oiap(&c, &session, s.tpm, TPM_ORD_CMK_ApproveMA, owner);
	writer_bytes(&c.params, msa_digest, TPM_DIGEST_SIZE);
	TPM_RESULT rc = call_run_all(&c, &out);
	if (rc == TPM_SUCCESS) {
		ck_assert_uint_eq(out.len, TPM_DIGEST_SIZE);
		memcpy(approval, out.data, out.len);
	}
	return rc;
}

static TPM_RESULT
create_cmk(uint32_t parent, const uint8_t *auth, const struct key_template *t,
	   const uint8_t *approval, const uint8_t *msa_digest, struct blob *key)
{
	struct test_session session;
	struct call c;

	call_begin_osap(&c, &session, s.tpm, TPM_ORD_CMK_CreateKey, parent, auth);
	call_new_auth(&c, false, key_auth);
	write_key_template(&c.params, t);
	writer_bytes(&c.params, approval, TPM_DIGEST_SIZE);
	writer_bytes(&c.params, msa_digest, TPM_DIGEST_SIZE);
	return call_run_all(&c, key);
}

static void
set_up(void)
{
	uint8_t approval[TPM_DIGEST_SIZE];
	struct writer w = writer_of(s.msa_list, sizeof(s.msa_list));

	s.tpm = test_owned_tpm();
	s.authority = soft_key_new(1024);
	soft_key_digest(&s.authority, TPM_ES_NONE, TPM_SS_RSASSAPKCS1v15_SHA1, s.authority_digest);
	s.parent_handle = test_make_key(s.tpm, &test_storage_key, &s.parent);
	pubkey_digest(&s.parent, s.parent_digest);
	writer_u32(&w, 2);
	writer_bytes(&w, s.authority_digest, TPM_DIGEST_SIZE);
	writer_bytes(&w, s.parent_digest, TPM_DIGEST_SIZE);
	reference_sha1(s.msa_digest, s.msa_list, sizeof(s.msa_list));
	ck_assert_uint_eq(approve(owner_auth, s.msa_digest, approval), TPM_SUCCESS);
	ck_assert_uint_eq(create_cmk(TPM_KH_SRK, srk_auth, &cmk, approval, s.msa_digest, &s.key),
			  TPM_SUCCESS);
	pubkey_digest(&s.key, s.key_digest);
}

static void
tear_down(void)
{
	soft_key_free(&s.authority);
	tpm_free(s.tpm);
}

START_TEST(only_the_owner_approves_authorities_and_restricts)
{
	struct test_session session;
	uint8_t approval[TPM_DIGEST_SIZE], again[TPM_DIGEST_SIZE];
	struct call c;

	set_up();
	ck_assert_uint_eq(approve(wrong_auth, s.msa_digest, approval), TPM_AUTHFAIL);
	ck_assert_uint_eq(approve(owner_auth, s.msa_digest, approval), TPM_SUCCESS);
	ck_assert_uint_eq(approve(owner_auth, digest, again), TPM_SUCCESS);
	ck_assert_mem_ne(approval, again, sizeof(again));

	call_begin_oiap(&c, &session, s.tpm, TPM_ORD_CMK_SetRestrictions, wrong_auth);
	writer_u32(&c.params, TPM_CMK_DELEGATE_BIND);
	ck_assert_uint_eq(call_run(&c), TPM_AUTHFAIL);
	call_begin_oiap(&c, &session, s.tpm, TPM_ORD_CMK_SetRestrictions, owner_auth);
	writer_u32(&c.params, TPM_CMK_DELEGATE_BIND);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	ck_assert_uint_eq(
	    test_get_capability_u32(s.tpm, TPM_CAP_PROPERTY, TPM_CAP_PROP_CMK_RESTRICTION),
	    TPM_CMK_DELEGATE_BIND);
	tear_down();
}
END_TEST

START_TEST(cmk_loads_and_works_but_does_not_migrate_like_others)
{
	struct test_session parent, entity;
	struct blob signature, pubkey, auth;
	uint32_t handle;
	struct call c;

	set_up();
	ck_assert_uint_eq(test_load_key(s.tpm, &s.key, &handle), TPM_SUCCESS);
	ck_assert_uint_eq(test_sign(s.tpm, handle, key_auth, digest, sizeof(digest), &signature),
			  TPM_SUCCESS);
	EVP_PKEY *public = test_key_public(&s.key);
	ck_assert(reference_verify_sha1(public, signature.data, signature.len, digest));
	EVP_PKEY_free(public);

	pubkey_of_key(&s.parent, &pubkey);
	call_begin_oiap(&c, &parent, s.tpm, TPM_ORD_AuthorizeMigrationKey, owner_auth);
	writer_u16(&c.params, TPM_MS_MIGRATE);
	writer_bytes(&c.params, pubkey.data, pubkey.len);
	ck_assert_uint_eq(call_run_all(&c, &auth), TPM_SUCCESS);
	struct reader enc_data = enc_data_of_key(&s.key);
	ck_assert_uint_eq(test_oiap(s.tpm, &parent, srk_auth), TPM_SUCCESS);
	ck_assert_uint_eq(test_oiap(s.tpm, &entity, zeros), TPM_SUCCESS);
	call_begin(&c, s.tpm, TPM_ORD_CreateMigrationBlob);
	call_handle(&c, TPM_KH_SRK);
	writer_u16(&c.params, TPM_MS_MIGRATE);
	writer_bytes(&c.params, auth.data, auth.len);
	writer_sized(&c.params, enc_data.pos, enc_data.left);
	call_session(&c, &parent);
	call_session(&c, &entity);
	ck_assert_uint_eq(call_run(&c), TPM_BAD_MIGRATION);
	tear_down();
}
END_TEST

START_TEST(cmk_must_be_like_one)
{
	struct {
		struct key_template t;
		TPM_RESULT rc;
	} cases[] = {
		{ cmk, TPM_INVALID_STRUCTURE }, { cmk, TPM_INVALID_KEYUSAGE },
		{ cmk, TPM_INVALID_KEYUSAGE },  { cmk, TPM_INVALID_KEYUSAGE },
		{ cmk, TPM_INVALID_KEYUSAGE },  { cmk, TPM_BAD_KEY_PROPERTY },
	};
	struct key_template migratable_parent = test_storage_key;
	uint8_t approval[TPM_DIGEST_SIZE];
	struct blob key;

	set_up();
	ck_assert_uint_eq(approve(owner_auth, s.msa_digest, approval), TPM_SUCCESS);
	cases[0].t.key12 = false;
	cases[1].t.flags = TPM_MIGRATABLE;
	cases[2].t.flags = TPM_MIGRATEAUTHORITY;
	cases[3].t.usage = TPM_KEY_IDENTITY;
	cases[4].t.usage = TPM_KEY_AUTHCHANGE;
	cases[5].t.encScheme = TPM_ES_RSAESOAEP_SHA1_MGF1;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		ck_assert_uint_eq(
		    create_cmk(TPM_KH_SRK, srk_auth, &cases[i].t, approval, s.msa_digest, &key),
		    cases[i].rc);
	ck_assert_uint_eq(create_cmk(TPM_KH_SRK, srk_auth, &cmk, approval, digest, &key),
			  TPM_MA_AUTHORITY);
	approval[5] ^= 1;
	ck_assert_uint_eq(create_cmk(TPM_KH_SRK, srk_auth, &cmk, approval, s.msa_digest, &key),
			  TPM_MA_AUTHORITY);
	approval[5] ^= 1;
	migratable_parent.flags = TPM_MIGRATABLE;
	uint32_t parent = test_make_key(s.tpm, &migratable_parent, NULL);
	ck_assert_uint_eq(create_cmk(parent, key_auth, &cmk, approval, s.msa_digest, &key),
			  TPM_INVALID_KEYUSAGE);
	tear_down();
}
END_TEST

static TPM_RESULT
create_ticket(const struct soft_key *k, uint16_t encScheme, uint16_t sigScheme,
	      const uint8_t *signed_data, const uint8_t *signature, size_t len, uint8_t *ticket)
{
	struct test_session session;
	struct blob out;
	struct call c;

	call_begin_oiap(&c, &session, s.tpm, TPM_ORD_CMK_CreateTicket, owner_auth);
	soft_key_write(&c.params, k, encScheme, sigScheme);
	writer_bytes(&c.params, signed_data, TPM_DIGEST_SIZE);
	writer_sized(&c.params, signature, len);
	TPM_RESULT rc = call_run_all(&c, &out);
	if (rc == TPM_SUCCESS) {
		ck_assert_uint_eq(out.len, TPM_DIGEST_SIZE);
		memcpy(ticket, out.data, out.len);
	}
	return rc;
}

/* The authority's approval of a migration: TPM_CMK_AUTH and the TPM's ticket for it. */
struct approval {
	uint8_t restrict_ticket[3 * TPM_DIGEST_SIZE];
	uint8_t sig_ticket[TPM_DIGEST_SIZE];
};

static struct approval
sign_approval(const uint8_t *authority, const uint8_t *destination, const uint8_t *source)
{
	struct approval a;
	uint8_t signed_digest[TPM_DIGEST_SIZE], signature[128];
	struct writer w = writer_of(a.restrict_ticket, sizeof(a.restrict_ticket));

	writer_bytes(&w, authority, TPM_DIGEST_SIZE);
	writer_bytes(&w, destination, TPM_DIGEST_SIZE);
	writer_bytes(&w, source, TPM_DIGEST_SIZE);
	reference_sha1(signed_digest, a.restrict_ticket, sizeof(a.restrict_ticket));
	soft_key_sign(&s.authority, signed_digest, signature);
	ck_assert_uint_eq(create_ticket(&s.authority, TPM_ES_NONE, TPM_SS_RSASSAPKCS1v15_SHA1,
					signed_digest, signature, sizeof(signature), a.sig_ticket),
			  TPM_SUCCESS);
	return a;
}

START_TEST(ticket_is_for_good_signatures_only)
{
	uint8_t signature[128], ticket[TPM_DIGEST_SIZE];

	set_up();
	soft_key_sign(&s.authority, digest, signature);
	ck_assert_uint_eq(create_ticket(&s.authority, TPM_ES_NONE, TPM_SS_RSASSAPKCS1v15_SHA1,
					digest, signature, 128, ticket),
			  TPM_SUCCESS);
	ck_assert_uint_eq(create_ticket(&s.authority, TPM_ES_NONE, TPM_SS_RSASSAPKCS1v15_SHA1,
					zeros, signature, 128, ticket),
			  TPM_BAD_SIGNATURE);
	ck_assert_uint_eq(create_ticket(&s.authority, TPM_ES_NONE, TPM_SS_RSASSAPKCS1v15_SHA1,
					digest, signature, 127, ticket),
			  TPM_BAD_SIGNATURE);
	ck_assert_uint_eq(create_ticket(&s.authority, TPM_ES_NONE, TPM_SS_RSASSAPKCS1v15_INFO,
					digest, signature, 128, ticket),
			  TPM_SUCCESS);
	ck_assert_uint_eq(create_ticket(&s.authority, TPM_ES_NONE, TPM_SS_RSASSAPKCS1v15_DER,
					digest, signature, 128, ticket),
			  TPM_INVALID_KEYUSAGE);
	ck_assert_uint_eq(create_ticket(&s.authority, TPM_ES_RSAESOAEP_SHA1_MGF1,
					TPM_SS_RSASSAPKCS1v15_SHA1, digest, signature, 128, ticket),
			  TPM_INAPPROPRIATE_ENC);
	tear_down();
}
END_TEST

/* TPM_MIGRATIONKEYAUTH of the destination. */
static void
authorize_parent(uint16_t scheme, struct blob *auth)
{
	struct test_session session;
	struct blob pubkey;
	struct call c;

	pubkey_of_key(&s.parent, &pubkey);
	call_begin_oiap(&c, &session, s.tpm, TPM_ORD_AuthorizeMigrationKey, owner_auth);
	writer_u16(&c.params, scheme);
	writer_bytes(&c.params, pubkey.data, pubkey.len);
	ck_assert_uint_eq(call_run_all(&c, auth), TPM_SUCCESS);
}

/* TPM_CMK_CreateBlob of the scene's key; a NULL: without tickets. */
static TPM_RESULT
create_blob(const struct blob *auth, const uint8_t *source, const void *msa, size_t msa_len,
	    const struct approval *a, struct blob *random, struct blob *out)
{
	struct reader enc_data = enc_data_of_key(&s.key);
	struct test_session session;
	struct call c;

	call_begin_oiap(&c, &session, s.tpm, TPM_ORD_CMK_CreateBlob, srk_auth);
	call_handle(&c, TPM_KH_SRK);
	writer_u16(&c.params, TPM_MS_RESTRICT_MIGRATE);
	writer_bytes(&c.params, auth->data, auth->len);
	writer_bytes(&c.params, source, TPM_DIGEST_SIZE);
	writer_sized(&c.params, msa, msa_len);
	writer_sized(&c.params, a ? a->restrict_ticket : NULL, a ? sizeof(a->restrict_ticket) : 0);
	writer_sized(&c.params, a ? a->sig_ticket : NULL, a ? sizeof(a->sig_ticket) : 0);
	writer_sized(&c.params, enc_data.pos, enc_data.left);
	TPM_RESULT rc = call_run_into(&c, random);
	if (rc == TPM_SUCCESS) {
		struct reader data = reader_sized(&c.out);
		ck_assert(reader_done(&c.out));
		out->len = data.left;
		reader_bytes(&data, out->data, data.left);
	}
	return rc;
}

/* TPM_CMK_ConvertMigration below the destination; the key with its new encData. */
static TPM_RESULT
convert(const struct approval *a, const struct blob *data, const void *msa, size_t msa_len,
	const struct blob *random, struct blob *key)
{
	struct test_session session;
	struct blob enc_data;
	struct call c;

	*key = s.key;
	replace_enc_data(key, data);
	call_begin_oiap(&c, &session, s.tpm, TPM_ORD_CMK_ConvertMigration, key_auth);
	call_handle(&c, s.parent_handle);
	writer_bytes(&c.params, a->restrict_ticket, sizeof(a->restrict_ticket));
	writer_bytes(&c.params, a->sig_ticket, sizeof(a->sig_ticket));
	writer_bytes(&c.params, key->data, key->len);
	writer_sized(&c.params, msa, msa_len);
	writer_sized(&c.params, random->data, random->len);
	TPM_RESULT rc = call_run_into(&c, &enc_data);
	if (rc == TPM_SUCCESS)
		replace_enc_data(key, &enc_data);
	return rc;
}

START_TEST(cmk_moves_by_either_scheme_and_works_at_its_destination)
{
	static const uint16_t schemes[] = { TPM_MS_RESTRICT_MIGRATE,
					    TPM_MS_RESTRICT_APPROVE_DOUBLE };
	struct blob auth, random, data, key, signature;
	uint32_t handle;

	set_up();
	struct approval a = sign_approval(s.authority_digest, s.parent_digest, s.key_digest);
	for (int i = 0; i < 2; i++) {
		authorize_parent(schemes[i], &auth);
		ck_assert_uint_eq(create_blob(&auth, s.key_digest, s.msa_list, sizeof(s.msa_list),
					      i ? &a : NULL, &random, &data),
				  TPM_SUCCESS);
		ck_assert_uint_eq(convert(&a, &data, s.msa_list, sizeof(s.msa_list), &random, &key),
				  TPM_SUCCESS);
		ck_assert_uint_eq(
		    test_load_key_under(s.tpm, s.parent_handle, key_auth, &key, &handle),
		    TPM_SUCCESS);
		ck_assert_uint_eq(
		    test_sign(s.tpm, handle, key_auth, digest, sizeof(digest), &signature),
		    TPM_SUCCESS);
		EVP_PKEY *public = test_key_public(&s.key);
		ck_assert(reference_verify_sha1(public, signature.data, signature.len, digest));
		EVP_PKEY_free(public);
	}
	tear_down();
}
END_TEST

START_TEST(blob_needs_listed_authorities_and_fitting_tickets)
{
	struct blob by_list, by_ticket, plain, random, data;
	uint8_t other_list[sizeof(s.msa_list)];

	set_up();
	struct approval good = sign_approval(s.authority_digest, s.parent_digest, s.key_digest);
	struct approval bad = good;
	struct approval elsewhere = sign_approval(s.authority_digest, digest, s.key_digest);
	struct approval other = sign_approval(s.authority_digest, s.parent_digest, digest);
	authorize_parent(TPM_MS_RESTRICT_MIGRATE, &by_list);
	authorize_parent(TPM_MS_RESTRICT_APPROVE_DOUBLE, &by_ticket);
	authorize_parent(TPM_MS_MIGRATE, &plain);
	bad.sig_ticket[0] ^= 1;
	memcpy(other_list, s.msa_list, sizeof(other_list));
	other_list[10] ^= 1;

	const struct {
		const struct blob *auth;
		const uint8_t *source;
		const uint8_t *list;
		size_t list_len;
		const struct approval *a;
		TPM_RESULT rc;
	} cases[] = {
		{ &plain, s.key_digest, s.msa_list, 44, NULL, TPM_BAD_PARAMETER },
		{ &by_list, s.key_digest, s.msa_list, 44, &good, TPM_BAD_PARAMETER },
		{ &by_list, digest, s.msa_list, 44, NULL, TPM_MA_AUTHORITY },
		{ &by_list, s.key_digest, other_list, 44, NULL, TPM_MA_AUTHORITY },
		{ &by_list, s.key_digest, s.msa_list, 43, NULL, TPM_BAD_PARAM_SIZE },
		{ &by_list, s.key_digest, s.msa_list, 24, NULL, TPM_BAD_PARAM_SIZE },
		{ &by_list, s.key_digest, s.msa_list, 0, NULL, TPM_BAD_PARAM_SIZE },
		{ &by_list, s.key_digest, zeros, 4, NULL, TPM_INVALID_STRUCTURE },
		{ &by_ticket, s.key_digest, s.msa_list, 44, NULL, TPM_BAD_PARAM_SIZE },
		{ &by_ticket, s.key_digest, s.msa_list, 44, &bad, TPM_MA_TICKET_SIGNATURE },
		{ &by_ticket, s.key_digest, s.msa_list, 44, &elsewhere, TPM_MA_DESTINATION },
		{ &by_ticket, s.key_digest, s.msa_list, 44, &other, TPM_MA_SOURCE },
		{ &by_ticket, s.key_digest, s.msa_list, 44, &good, TPM_SUCCESS },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		ck_assert_uint_eq(create_blob(cases[i].auth, cases[i].source, cases[i].list,
					      cases[i].list_len, cases[i].a, &random, &data),
				  cases[i].rc);
	by_list.data[by_list.len - 1] ^= 1;
	ck_assert_uint_eq(create_blob(&by_list, s.key_digest, s.msa_list, 44, NULL, &random, &data),
			  TPM_AUTHFAIL);
	tear_down();
}
END_TEST

START_TEST(plain_migratable_key_is_no_cmk)
{
	struct key_template t = test_signing_key;
	struct blob auth, random, data;

	set_up();
	t.flags = TPM_MIGRATABLE;
	ck_assert_uint_eq(test_create_key(s.tpm, &t, &s.key), TPM_SUCCESS);
	authorize_parent(TPM_MS_RESTRICT_MIGRATE, &auth);
	ck_assert_uint_eq(
	    create_blob(&auth, s.key_digest, s.msa_list, sizeof(s.msa_list), NULL, &random, &data),
	    TPM_INVALID_STRUCTURE);
	tear_down();
}
END_TEST

START_TEST(destination_takes_only_what_an_authority_approved)
{
	struct blob auth, random, data, key;
	uint8_t other_list[sizeof(s.msa_list)];

	set_up();
	struct approval good = sign_approval(s.authority_digest, s.parent_digest, s.key_digest);
	struct approval bad = good;
	struct approval elsewhere = sign_approval(s.authority_digest, digest, s.key_digest);
	struct approval other = sign_approval(s.authority_digest, s.parent_digest, digest);
	authorize_parent(TPM_MS_RESTRICT_MIGRATE, &auth);
	ck_assert_uint_eq(
	    create_blob(&auth, s.key_digest, s.msa_list, sizeof(s.msa_list), NULL, &random, &data),
	    TPM_SUCCESS);
	bad.sig_ticket[19] ^= 1;
	ck_assert_uint_eq(convert(&bad, &data, s.msa_list, 44, &random, &key),
			  TPM_MA_TICKET_SIGNATURE);
	ck_assert_uint_eq(convert(&elsewhere, &data, s.msa_list, 44, &random, &key),
			  TPM_MA_DESTINATION);
	ck_assert_uint_eq(convert(&other, &data, s.msa_list, 44, &random, &key), TPM_MA_SOURCE);
	memcpy(other_list, s.msa_list, sizeof(other_list));
	other_list[40] ^= 1;
	ck_assert_uint_eq(convert(&good, &data, other_list, 44, &random, &key), TPM_AUTHFAIL);
	random.data[50] ^= 1;
	ck_assert_uint_eq(convert(&good, &data, s.msa_list, 44, &random, &key), TPM_DECRYPT_ERROR);
	random.data[50] ^= 1;
	random.len--;
	ck_assert_uint_eq(convert(&good, &data, s.msa_list, 44, &random, &key), TPM_BAD_PARAMETER);
	random.len++;
	ck_assert_uint_eq(convert(&good, &data, s.msa_list, 44, &random, &key), TPM_SUCCESS);
	s.key.data[10] ^= 1; /* authDataUsage: another public half than that of the blob */
	ck_assert_uint_eq(convert(&good, &data, s.msa_list, 44, &random, &key),
			  TPM_INVALID_STRUCTURE);
	s.key.data[10] ^= 1;
	s.key.data[9] = TPM_MIGRATABLE; /* keyFlags without TPM_MIGRATEAUTHORITY */
	ck_assert_uint_eq(convert(&good, &data, s.msa_list, 44, &random, &key),
			  TPM_INVALID_KEYUSAGE);
	tear_down();
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		only_the_owner_approves_authorities_and_restricts,
		cmk_loads_and_works_but_does_not_migrate_like_others,
		cmk_must_be_like_one,
		ticket_is_for_good_signatures_only,
		cmk_moves_by_either_scheme_and_works_at_its_destination,
		blob_needs_listed_authorities_and_fitting_tickets,
		plain_migratable_key_is_no_cmk,
		destination_takes_only_what_an_authority_approved,
		NULL,
	};

	return test_suite("cmk", tests);
}
