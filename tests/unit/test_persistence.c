#include "tests/unit/snapshot.h"
#include "tests/unit/support.h"

#include <openssl/rsa.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

enum { NV_INDEX = 0x1234, OTHER_INDEX = 0x1235 };

static const uint8_t digest[TPM_DIGEST_SIZE] = "twenty bytes exactly";

/* What the steps below work on. */
static struct {
	uint32_t signing, binding;
	struct blob key, sealed, bound;
} world;

static struct tpm *
world_new(void)
{
	static const uint8_t bound_data[] = { 1, 1, 0, 0, TPM_PT_BIND, 'x' };
	struct tpm *tpm = test_owned_tpm();
	struct blob bind_key;

	world.signing = test_make_key(tpm, &test_signing_key, &world.key);
	world.binding = test_make_key(tpm, &test_bind_key, &bind_key);
	ck_assert_uint_eq(test_seal(tpm, NULL, "x", 1, &world.sealed), TPM_SUCCESS);
	EVP_PKEY *public = test_key_public(&bind_key);
	int len = reference_rsa(public, REFERENCE_ENCRYPT, RSA_PKCS1_OAEP_PADDING, world.bound.data,
				bound_data, sizeof(bound_data));
	ck_assert_int_gt(len, 0);
	world.bound.len = (size_t)len;
	EVP_PKEY_free(public);
	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, NV_INDEX,
					 TPM_NV_PER_OWNERWRITE | TPM_NV_PER_OWNERREAD, 4),
			  TPM_SUCCESS);
	return tpm;
}

/* ---- Steps: whatever they need, and one command at the end ---- */

static TPM_RESULT
read_pcr(struct tpm *tpm)
{
	uint8_t value[TPM_DIGEST_SIZE];

	return test_pcr_read(tpm, 0, value);
}

static TPM_RESULT
extend(struct tpm *tpm)
{
	uint8_t value[TPM_DIGEST_SIZE];

	return test_extend(tpm, 0, digest, value);
}

static TPM_RESULT
get_random(struct tpm *tpm)
{
	return test_plain_u32(tpm, TPM_ORD_GetRandom, 20);
}

static TPM_RESULT
save_state(struct tpm *tpm)
{
	return test_plain(tpm, TPM_ORD_SaveState);
}

static TPM_RESULT
open_session(struct tpm *tpm)
{
	struct test_session s;

	return test_oiap(tpm, &s, owner_auth);
}

static TPM_RESULT
create_key(struct tpm *tpm)
{
	struct blob key;

	return test_create_key(tpm, &test_signing_key, &key);
}

static TPM_RESULT
load_key(struct tpm *tpm)
{
	uint32_t handle;

	return test_load_key(tpm, &world.key, &handle);
}

static TPM_RESULT
sign(struct tpm *tpm)
{
	struct blob signature;

	return test_sign(tpm, world.signing, key_auth, digest, sizeof(digest), &signature);
}

static TPM_RESULT
quote(struct tpm *tpm)
{
	struct blob composite, signature;

	return test_quote(tpm, world.signing, key_auth, digest, 1, &composite, &signature);
}

static TPM_RESULT
quote2(struct tpm *tpm)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_Quote2, key_auth);
	call_handle(&c, world.signing);
	writer_bytes(&c.params, digest, sizeof(digest));
	write_pcr_selection(&c.params, 1);
	writer_u8(&c.params, 1);
	return call_run(&c);
}

static TPM_RESULT
tick_stamp(struct tpm *tpm)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_TickStampBlob, key_auth);
	call_handle(&c, world.signing);
	writer_bytes(&c.params, digest, sizeof(digest));
	writer_bytes(&c.params, digest, sizeof(digest));
	return call_run(&c);
}

static TPM_RESULT
certify(struct tpm *tpm)
{
	struct test_session cert, key;
	struct call c;

	ck_assert_uint_eq(test_oiap(tpm, &key, key_auth), TPM_SUCCESS);
	call_begin_oiap(&c, &cert, tpm, TPM_ORD_CertifyKey, key_auth);
	call_session(&c, &key);
	call_handle(&c, world.signing);
	call_handle(&c, world.binding);
	writer_bytes(&c.params, digest, sizeof(digest));
	return call_run(&c);
}

static TPM_RESULT
unbind(struct tpm *tpm)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_UnBind, key_auth);
	call_handle(&c, world.binding);
	writer_sized(&c.params, world.bound.data, world.bound.len);
	return call_run(&c);
}

static TPM_RESULT
seal(struct tpm *tpm)
{
	struct blob sealed;

	return test_seal(tpm, NULL, "x", 1, &sealed);
}

static TPM_RESULT
unseal(struct tpm *tpm)
{
	struct blob data;

	return test_unseal(tpm, &world.sealed, data_auth, &data);
}

static TPM_RESULT
make_identity(struct tpm *tpm)
{
	struct blob key, binding;

	return test_make_identity(tpm, &test_identity_key, TPM_ET_XOR, srk_auth, owner_auth, &key,
				  &binding);
}

static TPM_RESULT
change_srk_auth(struct tpm *tpm)
{
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(test_osap(tpm, &s, TPM_ET_OWNER, TPM_KH_OWNER, owner_auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_ChangeAuthOwner);
	call_session(&c, &s);
	writer_u16(&c.params, TPM_PID_ADCP);
	call_new_auth(&c, false, wrong_auth);
	writer_u16(&c.params, TPM_ET_SRK);
	return call_run(&c);
}

static TPM_RESULT
define_nv(struct tpm *tpm)
{
	return test_nv_define(tpm, owner_auth, OTHER_INDEX, TPM_NV_PER_OWNERWRITE, 4);
}

static TPM_RESULT
write_nv(struct tpm *tpm)
{
	return test_nv_write(tpm, owner_auth, NV_INDEX, 0, "data", 4);
}

static TPM_RESULT
read_nv(struct tpm *tpm)
{
	struct blob data;

	return test_nv_read(tpm, owner_auth, NV_INDEX, 0, 4, &data);
}

static TPM_RESULT
give_up_clearing(struct tpm *tpm)
{
	return test_owner(tpm, TPM_ORD_DisableOwnerClear, owner_auth);
}

static TPM_RESULT
read_pubek(struct tpm *tpm)
{
	return test_owner(tpm, TPM_ORD_OwnerReadPubek, owner_auth);
}

static TPM_RESULT
flush_key(struct tpm *tpm)
{
	return test_flush(tpm, world.binding, TPM_RT_KEY);
}

static TPM_RESULT
force_clear(struct tpm *tpm)
{
	bench.physical_presence = true;
	return test_plain(tpm, TPM_ORD_ForceClear);
}

/* ---- Permanent state ---- */

START_TEST(a_command_that_changes_permanent_state_says_so_and_no_other_does)
{
	static const struct {
		const char *name;
		TPM_RESULT (*run)(struct tpm *tpm);
		bool permanent;
	} steps[] = {
		{ "PcrRead", read_pcr, false },
		{ "Extend", extend, false },
		{ "GetRandom", get_random, false },
		{ "SaveState", save_state, false },
		{ "OIAP", open_session, false },
		{ "CreateWrapKey", create_key, false },
		{ "LoadKey2", load_key, false },
		{ "Sign", sign, false },
		{ "Quote", quote, false },
		{ "Quote2", quote2, false },
		{ "TickStampBlob", tick_stamp, false },
		{ "CertifyKey", certify, false },
		{ "UnBind", unbind, false },
		{ "Seal", seal, false },
		{ "Unseal", unseal, false },
		{ "MakeIdentity", make_identity, false },
		{ "OwnerReadPubek", read_pubek, false },
		{ "NV_ReadValue", read_nv, false },
		{ "NV_WriteValue", write_nv, true },
		{ "NV_DefineSpace", define_nv, true },
		{ "DisableOwnerClear", give_up_clearing, true },
		{ "FlushSpecific", flush_key, false },
		{ "ChangeAuthOwner", change_srk_auth, true },
		{ "ForceClear", force_clear, true },
	};
	struct tpm *tpm = world_new(); /* its commands have opened the audit session */

	for (size_t i = 0; i < COUNT(steps); i++) {
		struct snapshot before;

		snapshot_take(&before, tpm);
		ck_assert_msg(steps[i].run(tpm) == TPM_SUCCESS, "%s", steps[i].name);
		bool said = bench.changed & TPM_CHANGED_PERMANENT;
		bool changed = snapshot_changes(&before, tpm) & TPM_CHANGED_PERMANENT;
		snapshot_free(&before);
		ck_assert_msg(said == steps[i].permanent, "%s says the contrary", steps[i].name);
		ck_assert_msg(changed == steps[i].permanent, "%s does the contrary", steps[i].name);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(a_command_that_fails_changes_no_permanent_state)
{
	struct tpm *tpm = world_new();
	struct snapshot before;
	struct blob data;

	snapshot_take(&before, tpm);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_ForceClear), TPM_BAD_PRESENCE);
	ck_assert_uint_eq(
	    test_nv_define(tpm, owner_auth, OTHER_INDEX, TPM_NV_PER_OWNERWRITE, 0xffffffff),
	    TPM_NOSPACE);
	ck_assert_uint_eq(test_nv_read(tpm, owner_auth, OTHER_INDEX, 0, 1, &data), TPM_BADINDEX);
	ck_assert_uint_eq(test_nv_write(tpm, owner_auth, NV_INDEX, 2, "data", 4), TPM_NOSPACE);
	ck_assert_uint_eq(snapshot_changes(&before, tpm) & TPM_CHANGED_PERMANENT, 0);
	snapshot_free(&before);
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_command_that_changes_permanent_state_says_so_and_no_other_does,
		a_command_that_fails_changes_no_permanent_state,
		NULL,
	};

	return test_suite("persistence", tests);
}
