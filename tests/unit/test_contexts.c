#include "tests/unit/support.h"

#include <tpmcore/core.h>

static const char label[] = "label of context";

enum { COUNT_AT = 2 + 4 + 4 + 16 }; /* of a TPM_CONTEXT_BLOB */

static TPM_RESULT
save_context(struct tpm *tpm, uint32_t type, uint32_t handle, struct blob *blob)
{
	struct call c;

	call_begin(&c, tpm, TPM_ORD_SaveContext);
	call_handle(&c, handle);
	writer_u32(&c.params, type);
	writer_bytes(&c.params, label, 16);
	return call_run_into(&c, blob);
}

static TPM_RESULT
load_context(struct tpm *tpm, const struct blob *blob, uint32_t entity, bool keep, uint32_t *handle)
{
	struct call c;

	call_begin(&c, tpm, TPM_ORD_LoadContext);
	call_handle(&c, entity);
	writer_u8(&c.params, keep);
	writer_sized(&c.params, blob->data, blob->len);
	TPM_RESULT rc = call_run(&c);
	*handle = rc ? 0 : reader_u32(&c.out);
	return rc;
}

static uint32_t
context_count(const struct blob *blob)
{
	struct reader r = reader_of(blob->data + COUNT_AT, 4);

	return reader_u32(&r);
}

START_TEST(context_of_a_key_is_a_copy_that_loads_as_often_as_wanted)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob key, context;
	uint32_t handle = test_make_key(tpm, &test_signing_key, &key), again;

	ck_assert_uint_eq(save_context(tpm, TPM_RT_KEY, handle, &context), TPM_SUCCESS);
	test_assert_signs(tpm, handle, &key);
	ck_assert_uint_eq(load_context(tpm, &context, 0, true, &again), TPM_BAD_HANDLE);
	ck_assert_uint_eq(load_context(tpm, &context, 0, false, &again), TPM_SUCCESS);
	ck_assert_uint_ne(again, handle);
	test_assert_signs(tpm, again, &key);
	ck_assert_uint_eq(test_flush(tpm, handle, TPM_RT_KEY), TPM_SUCCESS);
	ck_assert_uint_eq(load_context(tpm, &context, 0, true, &again), TPM_SUCCESS);
	ck_assert_uint_eq(again, handle);
	test_assert_signs(tpm, again, &key);
	tpm_free(tpm);
}
END_TEST

START_TEST(context_tells_type_handle_label_and_count)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob context;
	uint32_t handle = test_make_key(tpm, &test_signing_key, NULL);

	ck_assert_uint_eq(save_context(tpm, TPM_RT_KEY, handle, &context), TPM_SUCCESS);
	struct reader r = reader_of(context.data, context.len);
	ck_assert_uint_eq(reader_u16(&r), TPM_TAG_CONTEXTBLOB);
	ck_assert_uint_eq(reader_u32(&r), TPM_RT_KEY);
	ck_assert_uint_eq(reader_u32(&r), handle);
	ck_assert_mem_eq(reader_view(&r, 16), label, 16);
	ck_assert_uint_eq(reader_u32(&r), 0);
	reader_view(&r, TPM_DIGEST_SIZE);
	reader_sized(&r);
	reader_sized(&r);
	ck_assert(reader_done(&r));
	tpm_free(tpm);
}
END_TEST

START_TEST(no_byte_of_a_context_can_be_changed)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session s = test_oiap_open(tpm, owner_auth);
	struct blob context;
	uint32_t handle;

	ck_assert_uint_eq(save_context(tpm, TPM_RT_AUTH, s.handle, &context), TPM_SUCCESS);
	for (size_t i = 0; i < context.len; i++) {
		context.data[i] ^= 0x10;
		TPM_RESULT rc = load_context(tpm, &context, 0, true, &handle);
		ck_assert(rc == TPM_BADCONTEXT || rc == TPM_INVALID_STRUCTURE ||
			  rc == TPM_INVALID_RESOURCE);
		context.data[i] ^= 0x10;
	}
	for (size_t len = context.len - 1; len > 0; len -= len > 8 ? 7 : 1) {
		struct blob cut = context;
		cut.len = len;
		ck_assert_uint_eq(load_context(tpm, &cut, 0, true, &handle), TPM_INVALID_STRUCTURE);
	}
	context.len++;
	ck_assert_uint_eq(load_context(tpm, &context, 0, true, &handle), TPM_INVALID_STRUCTURE);
	context.len--;
	ck_assert_uint_eq(load_context(tpm, &context, 0, true, &handle), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(session_leaves_with_its_context_and_comes_back_once)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t key = test_make_key(tpm, &test_signing_key, NULL), handle;
	struct test_session s = test_oiap_open(tpm, key_auth);
	struct blob context;

	ck_assert_uint_eq(test_sign_in(tpm, key, &s), TPM_SUCCESS);
	ck_assert_uint_eq(save_context(tpm, TPM_RT_AUTH, s.handle, &context), TPM_SUCCESS);
	ck_assert_uint_eq(test_sign_in(tpm, key, &s), TPM_INVALID_AUTHHANDLE);
	ck_assert_uint_eq(save_context(tpm, TPM_RT_AUTH, s.handle, &context), TPM_INVALID_RESOURCE);
	ck_assert_uint_eq(load_context(tpm, &context, 0, true, &handle), TPM_SUCCESS);
	ck_assert_uint_eq(handle, s.handle);
	ck_assert_uint_eq(test_sign_in(tpm, key, &s), TPM_SUCCESS);
	ck_assert_uint_eq(load_context(tpm, &context, 0, true, &handle), TPM_BADCONTEXT);
	ck_assert_uint_eq(load_context(tpm, &context, 0, false, &handle), TPM_BADCONTEXT);
	tpm_free(tpm);
}
END_TEST

START_TEST(session_for_a_key_is_loaded_only_while_the_key_is)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob blob, context;
	uint32_t key = test_make_key(tpm, &test_signing_key, &blob), other, handle;
	struct test_session s;

	other = test_make_key(tpm, &test_bind_key, NULL);
	test_osap_key(tpm, &s, key, key_auth);
	s.close = false;
	ck_assert_uint_eq(save_context(tpm, TPM_RT_AUTH, s.handle, &context), TPM_SUCCESS);
	ck_assert_uint_eq(load_context(tpm, &context, 0, true, &handle), TPM_BAD_HANDLE);
	ck_assert_uint_eq(load_context(tpm, &context, other, true, &handle), TPM_RESOURCEMISSING);
	ck_assert_uint_eq(load_context(tpm, &context, TPM_KH_SRK, true, &handle),
			  TPM_RESOURCEMISSING);
	ck_assert_uint_eq(test_flush(tpm, key, TPM_RT_KEY), TPM_SUCCESS);
	ck_assert_uint_eq(load_context(tpm, &context, key, true, &handle), TPM_BAD_HANDLE);
	/* The same key under a new handle will do. */
	ck_assert_uint_eq(test_load_key(tpm, &blob, &key), TPM_SUCCESS);
	ck_assert_uint_eq(load_context(tpm, &context, key, true, &handle), TPM_SUCCESS);
	ck_assert_uint_eq(test_sign_in(tpm, key, &s), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(session_for_owner_or_srk_needs_no_entity)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob context;
	struct test_session s;
	uint32_t handle;

	ck_assert_uint_eq(test_osap(tpm, &s, TPM_ET_OWNER, TPM_KH_OWNER, owner_auth), TPM_SUCCESS);
	ck_assert_uint_eq(save_context(tpm, TPM_RT_AUTH, s.handle, &context), TPM_SUCCESS);
	ck_assert_uint_eq(load_context(tpm, &context, 0, true, &handle), TPM_SUCCESS);
	test_osap_key(tpm, &s, TPM_KH_SRK, srk_auth);
	ck_assert_uint_eq(save_context(tpm, TPM_RT_AUTH, s.handle, &context), TPM_SUCCESS);
	ck_assert_uint_eq(load_context(tpm, &context, 0, true, &handle), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(saved_sessions_are_counted_and_limited)
{
	static struct blob contexts[MAX_CONTEXTS];
	struct tpm *tpm = test_owned_tpm();
	struct test_session s;
	uint32_t handle;

	for (uint32_t i = 0; i < MAX_CONTEXTS; i++) {
		s = test_oiap_open(tpm, owner_auth);
		ck_assert_uint_eq(save_context(tpm, TPM_RT_AUTH, s.handle, &contexts[i]),
				  TPM_SUCCESS);
		ck_assert_uint_eq(context_count(&contexts[i]), i + 1);
	}
	s = test_oiap_open(tpm, owner_auth);
	ck_assert_uint_eq(save_context(tpm, TPM_RT_AUTH, s.handle, &contexts[0]),
			  TPM_NOCONTEXTSPACE);
	ck_assert_uint_eq(test_flush(tpm, 77, TPM_RT_CONTEXT), TPM_SUCCESS);
	ck_assert_uint_eq(test_flush(tpm, 77, TPM_RT_CONTEXT), TPM_BAD_PARAMETER);
	ck_assert_uint_eq(load_context(tpm, &contexts[76], 0, true, &handle), TPM_BADCONTEXT);
	ck_assert_uint_eq(load_context(tpm, &contexts[77], 0, true, &handle), TPM_SUCCESS);
	ck_assert_uint_eq(save_context(tpm, TPM_RT_AUTH, s.handle, &contexts[76]), TPM_SUCCESS);
	ck_assert_uint_eq(context_count(&contexts[76]), MAX_CONTEXTS + 1);
	tpm_free(tpm);
}
END_TEST

START_TEST(count_of_contexts_never_wraps)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session s = test_oiap_open(tpm, owner_auth);
	struct blob context;

	tpm->stany.contextCount = UINT32_MAX;
	ck_assert_uint_eq(save_context(tpm, TPM_RT_AUTH, s.handle, &context), TPM_TOOMANYCONTEXTS);
	tpm->stany.contextCount--;
	ck_assert_uint_eq(save_context(tpm, TPM_RT_AUTH, s.handle, &context), TPM_SUCCESS);
	ck_assert_uint_eq(context_count(&context), UINT32_MAX);
	tpm_free(tpm);
}
END_TEST

START_TEST(only_the_context_of_a_lasting_key_outlives_the_power)
{
	struct key_template volatile_key = test_signing_key, bound_key = test_storage_key;
	struct tpm *tpm = test_owned_tpm();
	struct test_session s = test_oiap_open(tpm, owner_auth);
	struct blob session, key, lasting, fleeting, pcr_info, child, below;
	uint32_t handle = test_make_key(tpm, &test_signing_key, &key), bound;

	ck_assert_uint_eq(save_context(tpm, TPM_RT_AUTH, s.handle, &session), TPM_SUCCESS);
	ck_assert_uint_eq(save_context(tpm, TPM_RT_KEY, handle, &lasting), TPM_SUCCESS);
	volatile_key.flags = TPM_VOLATILE;
	handle = test_make_key(tpm, &volatile_key, NULL);
	ck_assert_uint_eq(save_context(tpm, TPM_RT_KEY, handle, &fleeting), TPM_SUCCESS);
	/* One whose parent is bound to PCRs is loaded through that again. */
	test_pcr_info(tpm, 1u << 3, &pcr_info);
	bound_key.pcr_info = &pcr_info;
	bound = test_make_key(tpm, &bound_key, NULL);
	ck_assert_uint_eq(test_create_key_under(tpm, bound, key_auth, &test_signing_key, &child),
			  TPM_SUCCESS);
	ck_assert_uint_eq(test_load_key_under(tpm, bound, key_auth, &child, &handle), TPM_SUCCESS);
	ck_assert_uint_eq(save_context(tpm, TPM_RT_KEY, handle, &below), TPM_SUCCESS);

	test_reboot(tpm);
	ck_assert_uint_eq(load_context(tpm, &session, 0, true, &handle), TPM_BADCONTEXT);
	ck_assert_uint_eq(load_context(tpm, &fleeting, 0, true, &handle), TPM_BADCONTEXT);
	ck_assert_uint_eq(load_context(tpm, &below, 0, true, &handle), TPM_BADCONTEXT);
	ck_assert_uint_eq(load_context(tpm, &lasting, 0, true, &handle), TPM_SUCCESS);
	test_assert_signs(tpm, handle, &key);
	/* ... but not the owner. */
	tpm_clear(tpm);
	ck_assert_uint_eq(test_take_ownership(tpm, &test_srk_key), TPM_SUCCESS);
	ck_assert_uint_eq(load_context(tpm, &lasting, 0, true, &handle), TPM_BADCONTEXT);
	tpm_free(tpm);
}
END_TEST

/* The secret that the owner gives to itself or the SRK. */
static void
change_auth_of(struct tpm *tpm, uint16_t entity)
{
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(test_osap(tpm, &s, TPM_ET_OWNER, 0, owner_auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_ChangeAuthOwner);
	call_session(&c, &s);
	writer_u16(&c.params, TPM_PID_ADCP);
	call_new_auth(&c, false, data_auth);
	writer_u16(&c.params, entity);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
}

START_TEST(saved_sessions_end_with_the_secret_that_they_are_for)
{
	enum { OWNER, SRK, NV, OIAP, COUNT };
	static const uint32_t index = 0x2000,
			      attributes = TPM_NV_PER_AUTHREAD | TPM_NV_PER_AUTHWRITE;
	struct tpm *tpm = test_owned_tpm();
	struct test_session s[COUNT];
	struct blob contexts[COUNT];
	uint32_t handle;

	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, index, attributes, 8), TPM_SUCCESS);
	ck_assert_uint_eq(test_osap(tpm, &s[OWNER], TPM_ET_OWNER, 0, owner_auth), TPM_SUCCESS);
	ck_assert_uint_eq(test_osap(tpm, &s[SRK], TPM_ET_SRK, 0, srk_auth), TPM_SUCCESS);
	ck_assert_uint_eq(test_osap(tpm, &s[NV], TPM_ET_NV, index, nv_auth), TPM_SUCCESS);
	s[OIAP] = test_oiap_open(tpm, owner_auth);
	for (unsigned i = 0; i < COUNT; i++)
		ck_assert_uint_eq(save_context(tpm, TPM_RT_AUTH, s[i].handle, &contexts[i]),
				  TPM_SUCCESS);
	/* An area that is defined anew may have another AuthData, or be gone. */
	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, index, attributes, 0), TPM_SUCCESS);
	ck_assert_uint_eq(load_context(tpm, &contexts[NV], 0, true, &handle), TPM_RESOURCEMISSING);
	ck_assert_uint_eq(load_context(tpm, &contexts[SRK], 0, true, &handle), TPM_SUCCESS);
	ck_assert_uint_eq(save_context(tpm, TPM_RT_AUTH, s[SRK].handle, &contexts[SRK]),
			  TPM_SUCCESS);
	change_auth_of(tpm, TPM_ET_SRK);
	ck_assert_uint_eq(load_context(tpm, &contexts[SRK], 0, true, &handle), TPM_RESOURCEMISSING);
	change_auth_of(tpm, TPM_ET_OWNER);
	ck_assert_uint_eq(load_context(tpm, &contexts[OWNER], 0, true, &handle),
			  TPM_RESOURCEMISSING);
	ck_assert_uint_eq(load_context(tpm, &contexts[OIAP], 0, true, &handle), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(only_what_is_there_and_of_its_type_is_saved)
{
	struct tpm *tpm = test_owned_tpm();
	uint32_t key = test_make_key(tpm, &test_signing_key, NULL);
	struct test_session s = test_oiap_open(tpm, owner_auth);
	struct blob context;

	for (uint32_t type = 0; type <= TPM_RT_DAA_V1 + 1; type++) {
		if (type != TPM_RT_KEY)
			ck_assert_uint_eq(save_context(tpm, type, key, &context),
					  TPM_INVALID_RESOURCE);
		if (type != TPM_RT_AUTH)
			ck_assert_uint_eq(save_context(tpm, type, s.handle, &context),
					  TPM_INVALID_RESOURCE);
		ck_assert_uint_eq(save_context(tpm, type, 0, &context), TPM_INVALID_RESOURCE);
	}
	ck_assert_uint_eq(save_context(tpm, TPM_RT_KEY, TPM_KH_SRK, &context),
			  TPM_INVALID_RESOURCE);
	tpm_free(tpm);
}
END_TEST

START_TEST(flushing_what_is_not_there_is_told_by_type)
{
	static const struct {
		uint32_t type;
		TPM_RESULT rc;
	} cases[] = {
		{ 0, TPM_INVALID_RESOURCE },
		{ TPM_RT_KEY, TPM_BAD_PARAMETER },
		{ TPM_RT_AUTH, TPM_INVALID_AUTHHANDLE },
		{ TPM_RT_HASH, TPM_INVALID_RESOURCE },
		{ TPM_RT_TRANS, TPM_INVALID_AUTHHANDLE },
		{ TPM_RT_CONTEXT, TPM_BAD_PARAMETER },
		{ TPM_RT_COUNTER, TPM_INVALID_RESOURCE },
		{ TPM_RT_DELEGATE, TPM_INVALID_RESOURCE },
		{ TPM_RT_DAA_TPM, TPM_BAD_HANDLE },
		{ TPM_RT_DAA_V0, TPM_INVALID_RESOURCE },
	};
	struct tpm *tpm = test_owned_tpm();

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ck_assert_uint_eq(test_flush(tpm, 0x12345, cases[i].type), cases[i].rc);
		ck_assert_uint_eq(test_flush(tpm, 0, cases[i].type), cases[i].rc);
	}
	ck_assert_uint_eq(test_flush(tpm, TPM_KH_SRK, TPM_RT_KEY), TPM_BAD_PARAMETER);
	tpm_free(tpm);
}
END_TEST

START_TEST(sessions_of_a_key_end_with_it)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob key;
	uint32_t handle = test_make_key(tpm, &test_signing_key, &key);
	struct test_session s;

	test_osap_key(tpm, &s, handle, key_auth);
	ck_assert_uint_eq(test_flush(tpm, handle, TPM_RT_KEY), TPM_SUCCESS);
	ck_assert_uint_eq(test_flush(tpm, s.handle, TPM_RT_AUTH), TPM_INVALID_AUTHHANDLE);
	ck_assert_uint_eq(test_load_key(tpm, &key, &handle), TPM_SUCCESS);
	ck_assert_uint_eq(test_sign_in(tpm, handle, &s), TPM_INVALID_AUTHHANDLE);
	tpm_free(tpm);
}
END_TEST

START_TEST(full_slots_refuse_contexts_and_lose_nothing)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob key, key_context, session_context;
	uint32_t handle = test_make_key(tpm, &test_signing_key, &key), extra[MAX_KEYS];
	struct test_session s = test_oiap_open(tpm, owner_auth), others[MAX_SESSIONS];

	ck_assert_uint_eq(save_context(tpm, TPM_RT_KEY, handle, &key_context), TPM_SUCCESS);
	ck_assert_uint_eq(test_flush(tpm, handle, TPM_RT_KEY), TPM_SUCCESS);
	for (size_t i = 0; i < MAX_KEYS; i++)
		ck_assert_uint_eq(test_load_key(tpm, &key, &extra[i]), TPM_SUCCESS);
	ck_assert_uint_eq(load_context(tpm, &key_context, 0, true, &handle), TPM_NOSPACE);
	ck_assert_uint_eq(test_flush(tpm, extra[3], TPM_RT_KEY), TPM_SUCCESS);
	ck_assert_uint_eq(load_context(tpm, &key_context, 0, true, &handle), TPM_SUCCESS);

	ck_assert_uint_eq(save_context(tpm, TPM_RT_AUTH, s.handle, &session_context), TPM_SUCCESS);
	for (size_t i = 0; i < MAX_SESSIONS; i++)
		others[i] = test_oiap_open(tpm, owner_auth);
	ck_assert_uint_eq(load_context(tpm, &session_context, 0, true, &handle), TPM_RESOURCES);
	ck_assert_uint_eq(test_flush(tpm, others[7].handle, TPM_RT_AUTH), TPM_SUCCESS);
	ck_assert_uint_eq(load_context(tpm, &session_context, 0, true, &handle), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

/* TPM_KeyControlOwner */
static TPM_RESULT
control(struct tpm *tpm, const uint8_t *owner, uint32_t handle, const struct blob *pubkey,
	uint32_t bitName, bool bitValue)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_KeyControlOwner, owner);
	call_handle(&c, handle);
	writer_bytes(&c.params, pubkey->data, pubkey->len);
	writer_u32(&c.params, bitName);
	writer_u8(&c.params, bitValue);
	return call_run(&c);
}

static void
get_pubkey(struct tpm *tpm, uint32_t handle, struct blob *pubkey)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_GetPubKey, key_auth);
	call_handle(&c, handle);
	ck_assert_uint_eq(call_run_all(&c, pubkey), TPM_SUCCESS);
}

START_TEST(owner_evict_key_stays_until_the_owner_lets_it_go)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob key, pubkey, context;
	uint32_t handle = test_make_key(tpm, &test_signing_key, &key);

	get_pubkey(tpm, handle, &pubkey);
	ck_assert_uint_eq(
	    control(tpm, owner_auth, handle, &pubkey, TPM_KEY_CONTROL_OWNER_EVICT, true),
	    TPM_SUCCESS);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	ck_assert_uint_eq(test_flush(tpm, handle, TPM_RT_KEY), TPM_KEY_OWNER_CONTROL);
	ck_assert_uint_eq(save_context(tpm, TPM_RT_KEY, handle, &context), TPM_OWNER_CONTROL);
	struct call c;
	call_begin(&c, tpm, TPM_ORD_EvictKey);
	call_handle(&c, handle);
	ck_assert_uint_eq(call_run(&c), TPM_KEY_OWNER_CONTROL);
	test_reboot(tpm);
	test_assert_signs(tpm, handle, &key);
	ck_assert(!(bench.changed & TPM_CHANGED_PERMANENT));
	ck_assert_uint_eq(
	    control(tpm, owner_auth, handle, &pubkey, TPM_KEY_CONTROL_OWNER_EVICT, false),
	    TPM_SUCCESS);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	ck_assert_uint_eq(test_flush(tpm, handle, TPM_RT_KEY), TPM_SUCCESS);
	tpm_free(tpm);
}
END_TEST

START_TEST(owner_evict_is_refused_where_it_makes_no_sense)
{
	struct key_template volatile_key = test_signing_key, bound_key = test_storage_key;
	struct tpm *tpm = test_owned_tpm();
	struct blob pubkey, other, pcr_info, child;
	uint32_t handle = test_make_key(tpm, &test_signing_key, NULL), bound, child_handle;

	volatile_key.flags = TPM_VOLATILE;
	get_pubkey(tpm, handle, &pubkey);
	uint32_t fleeting = test_make_key(tpm, &volatile_key, NULL);
	get_pubkey(tpm, fleeting, &other);
	ck_assert_uint_eq(control(tpm, wrong_auth, handle, &pubkey, 1, true), TPM_AUTHFAIL);
	ck_assert_uint_eq(control(tpm, owner_auth, handle, &other, 1, true), TPM_BAD_PARAMETER);
	ck_assert_uint_eq(control(tpm, owner_auth, handle, &pubkey, 0, true), TPM_BAD_MODE);
	ck_assert_uint_eq(control(tpm, owner_auth, handle, &pubkey, 2, true), TPM_BAD_MODE);
	ck_assert_uint_eq(control(tpm, owner_auth, 0x1234, &pubkey, 1, true),
			  TPM_INVALID_KEYHANDLE);
	ck_assert_uint_eq(control(tpm, owner_auth, TPM_KH_SRK, &pubkey, 1, true),
			  TPM_INVALID_KEYHANDLE);
	ck_assert_uint_eq(control(tpm, owner_auth, fleeting, &other, 1, true), TPM_BAD_PARAMETER);
	ck_assert_uint_eq(control(tpm, owner_auth, fleeting, &other, 1, false), TPM_SUCCESS);
	ck_assert(!(bench.changed & TPM_CHANGED_PERMANENT));

	/* A key whose parent is bound to PCRs must not outlive them. */
	test_pcr_info(tpm, 1u << 16, &pcr_info);
	bound_key.pcr_info = &pcr_info;
	bound = test_make_key(tpm, &bound_key, NULL);
	ck_assert_uint_eq(test_create_key_under(tpm, bound, key_auth, &test_signing_key, &child),
			  TPM_SUCCESS);
	ck_assert_uint_eq(test_load_key_under(tpm, bound, key_auth, &child, &child_handle),
			  TPM_SUCCESS);
	get_pubkey(tpm, child_handle, &other);
	ck_assert_uint_eq(control(tpm, owner_auth, child_handle, &other, 1, true),
			  TPM_BAD_PARAMETER);
	tpm_free(tpm);
}
END_TEST

START_TEST(some_key_slots_are_never_given_to_owner_evict_keys)
{
	struct tpm *tpm = test_owned_tpm();
	struct blob key, pubkey;
	uint32_t handle = test_make_key(tpm, &test_signing_key, &key);

	get_pubkey(tpm, handle, &pubkey);
	for (int i = 0; i < MAX_OWNER_EVICT; i++) {
		ck_assert_uint_eq(control(tpm, owner_auth, handle, &pubkey, 1, true), TPM_SUCCESS);
		ck_assert_uint_eq(test_load_key(tpm, &key, &handle), TPM_SUCCESS);
	}
	ck_assert_uint_eq(control(tpm, owner_auth, handle, &pubkey, 1, true), TPM_NOSPACE);
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		context_of_a_key_is_a_copy_that_loads_as_often_as_wanted,
		context_tells_type_handle_label_and_count,
		no_byte_of_a_context_can_be_changed,
		session_leaves_with_its_context_and_comes_back_once,
		session_for_a_key_is_loaded_only_while_the_key_is,
		session_for_owner_or_srk_needs_no_entity,
		saved_sessions_are_counted_and_limited,
		count_of_contexts_never_wraps,
		only_the_context_of_a_lasting_key_outlives_the_power,
		saved_sessions_end_with_the_secret_that_they_are_for,
		only_what_is_there_and_of_its_type_is_saved,
		flushing_what_is_not_there_is_told_by_type,
		sessions_of_a_key_end_with_it,
		full_slots_refuse_contexts_and_lose_nothing,
		owner_evict_key_stays_until_the_owner_lets_it_go,
		owner_evict_is_refused_where_it_makes_no_sense,
		some_key_slots_are_never_given_to_owner_evict_keys,
		NULL,
	};

	return test_suite("contexts", tests);
}
