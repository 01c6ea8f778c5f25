#include "tests/unit/support.h"

static const uint8_t digest[TPM_DIGEST_SIZE] = "contents of the DIR.";

/* The 1.1 commands that save a context of the handle, and that load one. */
static TPM_RESULT
save_old(struct tpm *tpm, uint32_t ordinal, uint32_t handle, struct blob *blob)
{
	struct call c;

	call_begin(&c, tpm, ordinal);
	call_handle(&c, handle);
	return call_run_into(&c, blob);
}

static TPM_RESULT
load_old(struct tpm *tpm, uint32_t ordinal, const struct blob *blob, uint32_t *handle)
{
	struct call c;

	call_begin(&c, tpm, ordinal);
	writer_sized(&c.params, blob->data, blob->len);
	TPM_RESULT rc = call_run(&c);
	*handle = rc ? 0 : reader_u32(&c.out);
	return rc;
}

START_TEST(save_key_context_releases_the_key_but_not_its_sessions)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob key, context, session;
	uint32_t handle = test_make_key(tpm, &test_signing_key, &key), again;
	struct test_session s;

	test_osap_key(tpm, &s, handle, key_auth);
	s.close = false;
	ck_assert_uint_eq(save_old(tpm, TPM_ORD_SaveKeyContext, handle, &context), TPM_SUCCESS);
	ck_assert_uint_eq(test_sign_in(tpm, handle, &s), TPM_INVALID_KEYHANDLE);
	ck_assert_uint_eq(load_old(tpm, TPM_ORD_LoadAuthContext, &context, &again),
			  TPM_BAD_PARAMETER);

	test_osap_key(tpm, &s, TPM_KH_SRK, srk_auth);
	ck_assert_uint_eq(load_old(tpm, TPM_ORD_LoadKeyContext, &context, &again), TPM_SUCCESS);
	ck_assert_uint_eq(again, handle);
	test_assert_signs(tpm, again, &key);
	test_osap_key(tpm, &s, again, key_auth);
	s.close = false;
	ck_assert_uint_eq(save_old(tpm, TPM_ORD_SaveKeyContext, handle, &context), TPM_SUCCESS);
	ck_assert_uint_eq(save_old(tpm, TPM_ORD_SaveAuthContext, s.handle, &session), TPM_SUCCESS);
	ck_assert_uint_eq(load_old(tpm, TPM_ORD_LoadAuthContext, &session, &again),
			  TPM_RESOURCEMISSING);
	ck_assert_uint_eq(load_old(tpm, TPM_ORD_LoadKeyContext, &context, &again), TPM_SUCCESS);
	ck_assert_uint_eq(load_old(tpm, TPM_ORD_LoadAuthContext, &session, &again), TPM_SUCCESS);
	ck_assert_uint_eq(test_sign_in(tpm, handle, &s), TPM_SUCCESS);
	ck_assert_uint_eq(save_old(tpm, TPM_ORD_SaveKeyContext, TPM_KH_SRK, &context),
			  TPM_INVALID_KEYHANDLE);
	tpm_free(tpm);
}
END_TEST

START_TEST(old_commands_for_sessions_work_as_ever)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t key = test_make_key(tpm, &test_signing_key, NULL), handle;
	struct test_session s = test_oiap_open(tpm, key_auth), t = test_oiap_open(tpm, key_auth);
	struct blob context;

	ck_assert_uint_eq(save_old(tpm, TPM_ORD_SaveAuthContext, s.handle, &context), TPM_SUCCESS);
	ck_assert_uint_eq(test_sign_in(tpm, key, &s), TPM_INVALID_AUTHHANDLE);
	ck_assert_uint_eq(load_old(tpm, TPM_ORD_LoadKeyContext, &context, &handle),
			  TPM_BAD_PARAMETER);
	ck_assert_uint_eq(load_old(tpm, TPM_ORD_LoadAuthContext, &context, &handle), TPM_SUCCESS);
	ck_assert_uint_eq(test_sign_in(tpm, key, &s), TPM_SUCCESS);
	ck_assert_uint_eq(load_old(tpm, TPM_ORD_LoadAuthContext, &context, &handle),
			  TPM_BADCONTEXT);
	ck_assert_uint_eq(save_old(tpm, TPM_ORD_SaveAuthContext, 0x1234, &context),
			  TPM_INVALID_AUTHHANDLE);

	struct call c;
	call_begin(&c, tpm, TPM_ORD_Terminate_Handle);
	call_handle(&c, t.handle);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	ck_assert_uint_eq(call_run(&c), TPM_INVALID_AUTHHANDLE);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_Reset), TPM_SUCCESS);
	ck_assert_uint_eq(test_sign_in(tpm, key, &s), TPM_INVALID_AUTHHANDLE);
	tpm_free(tpm);
}
END_TEST

START_TEST(evict_key_takes_loaded_keys_only)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t handle = test_make_key(tpm, &test_signing_key, NULL);
	struct call c;

	call_begin(&c, tpm, TPM_ORD_EvictKey);
	call_handle(&c, handle);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	ck_assert_uint_eq(call_run(&c), TPM_INVALID_KEYHANDLE);
	call_begin(&c, tpm, TPM_ORD_EvictKey);
	call_handle(&c, TPM_KH_SRK);
	ck_assert_uint_eq(call_run(&c), TPM_INVALID_KEYHANDLE);
	tpm_free(tpm);
}
END_TEST

START_TEST(there_is_one_data_integrity_register)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session s;
	struct blob value;
	struct call c;

	for (uint32_t index = 0; index < 2; index++) {
		call_begin_oiap(&c, &s, tpm, TPM_ORD_DirWriteAuth, owner_auth);
		writer_u32(&c.params, index);
		writer_bytes(&c.params, digest, sizeof(digest));
		ck_assert_uint_eq(call_run(&c), index ? TPM_BADINDEX : TPM_SUCCESS);
		ck_assert(index || bench.changed & TPM_CHANGED_PERMANENT);
	}
	test_reboot(tpm);
	tpm_clear(tpm); /* it is not the owner's */
	for (uint32_t index = 0; index < 2; index++) {
		call_begin(&c, tpm, TPM_ORD_DirRead);
		writer_u32(&c.params, index);
		ck_assert_uint_eq(call_run_all(&c, &value), index ? TPM_BADINDEX : TPM_SUCCESS);
	}
	ck_assert_mem_eq(value.data, digest, sizeof(digest));
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		save_key_context_releases_the_key_but_not_its_sessions,
		old_commands_for_sessions_work_as_ever,
		evict_key_takes_loaded_keys_only,
		there_is_one_data_integrity_register,
		NULL,
	};

	return test_suite("deprecated", tests);
}
