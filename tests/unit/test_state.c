#include "tests/unit/snapshot.h"
#include "tests/unit/support.h"

#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

enum {
	HEADER_SIZE = 4 + 2 + 2, /* magic, format, kind */
	NV_INDEX = 0x1234,
	MEASURED_PCR = 10,
};

static const uint8_t digest[TPM_DIGEST_SIZE] = "twenty bytes exactly";
static const uint8_t first_half[64] = "the first block of a SHA-1 thread";
static const char secret[] = "sealed when the blob was made";

/* ---- A TPM in which everything is in use ---- */

static void
control_owner_evict(struct tpm *tpm, uint32_t key)
{
	struct test_session s;
	struct blob pubkey;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_GetPubKey, key_auth);
	call_handle(&c, key);
	ck_assert_uint_eq(call_run_all(&c, &pubkey), TPM_SUCCESS);
	call_begin_oiap(&c, &s, tpm, TPM_ORD_KeyControlOwner, owner_auth);
	call_handle(&c, key);
	writer_bytes(&c.params, pubkey.data, pubkey.len);
	writer_u32(&c.params, TPM_KEY_CONTROL_OWNER_EVICT);
	writer_u8(&c.params, 1);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
}

static void
create_counter(struct tpm *tpm)
{
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(test_osap(tpm, &s, TPM_ET_OWNER, TPM_KH_OWNER, owner_auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_CreateCounter);
	call_session(&c, &s);
	call_new_auth(&c, false, data_auth);
	writer_bytes(&c.params, "gold", 4);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
}

static void
create_family(struct tpm *tpm)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_Delegate_Manage, owner_auth);
	writer_u32(&c.params, 0);
	writer_u32(&c.params, TPM_FAMILY_CREATE);
	writer_sized(&c.params, "f", 1);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
}

static void
sha1_update(struct tpm *tpm)
{
	struct call c;

	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SHA1Start), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_SHA1Update);
	writer_sized(&c.params, first_half, sizeof(first_half));
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
}

/* Owner, an owner-evict key and a loaded one, NV, a counter, a family, a session, a measurement;
 * saved state; and last a SHA-1 thread, which would spoil it. */
static struct tpm *
rich_tpm(void)
{
	struct tpm *tpm = test_owned_tpm();
	uint8_t value[TPM_DIGEST_SIZE];
	struct test_session s;
	struct blob sealed;

	control_owner_evict(tpm, test_make_key(tpm, &test_signing_key, NULL));
	test_make_key(tpm, &test_signing_key, NULL);
	ck_assert_uint_eq(test_seal(tpm, NULL, secret, sizeof(secret), &sealed), TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_define(tpm, owner_auth, NV_INDEX,
					 TPM_NV_PER_OWNERWRITE | TPM_NV_PER_OWNERREAD,
					 (uint32_t)sealed.len),
			  TPM_SUCCESS);
	ck_assert_uint_eq(test_nv_write(tpm, owner_auth, NV_INDEX, 0, sealed.data, sealed.len),
			  TPM_SUCCESS);
	create_counter(tpm);
	create_family(tpm);
	ck_assert_uint_eq(test_extend(tpm, MEASURED_PCR, digest, value), TPM_SUCCESS);
	ck_assert_uint_eq(test_osap(tpm, &s, TPM_ET_OWNER, TPM_KH_OWNER, owner_auth), TPM_SUCCESS);
	ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SaveState), TPM_SUCCESS);
	return tpm;
}

/* The handles of loaded keys: TPM_KEY_HANDLE_LIST. Returns their number. */
static uint16_t
key_handles(struct tpm *tpm, uint32_t *handles, size_t most)
{
	struct blob answer;

	ck_assert_uint_eq(test_get_capability(tpm, TPM_CAP_KEY_HANDLE, NULL, 0, &answer),
			  TPM_SUCCESS);
	struct reader r = reader_of(answer.data, answer.len);
	uint16_t count = reader_u16(&r);
	ck_assert_uint_le(count, most);
	for (uint16_t i = 0; i < count; i++)
		handles[i] = reader_u32(&r);
	ck_assert(reader_done(&r));
	return count;
}

static void
assert_keys_sign(struct tpm *tpm, uint16_t expected)
{
	uint32_t handles[4];
	struct blob signature;
	uint16_t count = key_handles(tpm, handles, COUNT(handles));

	ck_assert_uint_eq(count, expected);
	for (uint16_t i = 0; i < count; i++)
		ck_assert_uint_eq(test_sign(tpm, handles[i], key_auth, digest, 20, &signature),
				  TPM_SUCCESS);
}

/* What is in the permanent state of rich_tpm: NV holds data sealed by the SRK. */
static void
assert_permanent_works(struct tpm *tpm)
{
	struct blob info, sealed, data;
	struct call c;

	ck_assert_uint_eq(test_get_capability(tpm, TPM_CAP_NV_LIST, NULL, 0, &info), TPM_SUCCESS);
	ck_assert_uint_eq(info.len % 4, 0);
	ck_assert_uint_eq(test_nv_read(tpm, owner_auth, NV_INDEX, 0, 268, &sealed), TPM_SUCCESS);
	ck_assert_uint_eq(test_unseal(tpm, &sealed, data_auth, &data), TPM_SUCCESS);
	ck_assert_uint_eq(data.len, sizeof(secret));
	ck_assert_mem_eq(data.data, secret, sizeof(secret));
	ck_assert_uint_eq(test_owner(tpm, TPM_ORD_OwnerReadPubek, owner_auth), TPM_SUCCESS);

	call_begin(&c, tpm, TPM_ORD_ReadCounter);
	writer_u32(&c.params, 0);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	ck_assert_uint_eq(reader_u16(&c.out), TPM_TAG_COUNTER_VALUE);
	ck_assert_mem_eq(reader_view(&c.out, 4), "gold", 4);
	ck_assert_uint_gt(reader_u32(&c.out), 0);
}

static void
assert_measured(struct tpm *tpm)
{
	uint8_t expected[2 * TPM_DIGEST_SIZE] = { 0 }, value[TPM_DIGEST_SIZE];

	memcpy(expected + TPM_DIGEST_SIZE, digest, TPM_DIGEST_SIZE);
	reference_sha1(expected, expected, sizeof(expected));
	ck_assert_uint_eq(test_pcr_read(tpm, MEASURED_PCR, value), TPM_SUCCESS);
	ck_assert_mem_eq(value, expected, sizeof(value));
}

/* That the thread of sha1_update goes on. Comes first: any other command ends it. */
static void
assert_thread_goes_on(struct tpm *tpm)
{
	uint8_t expected[TPM_DIGEST_SIZE];
	struct call c;

	call_begin(&c, tpm, TPM_ORD_SHA1Complete);
	writer_u32(&c.params, 0);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	reference_sha1(expected, first_half, sizeof(first_half));
	ck_assert_mem_eq(reader_view(&c.out, TPM_DIGEST_SIZE), expected, sizeof(expected));
}

/* ---- Round trips ---- */

START_TEST(all_state_goes_to_another_tpm)
{
	struct tpm *tpm = rich_tpm(), *next;
	struct snapshot snapshot;

	sha1_update(tpm);
	snapshot_take(&snapshot, tpm);
	next = test_blank_tpm();
	snapshot_restore(&snapshot, next);
	ck_assert_uint_eq(snapshot_changes(&snapshot, next), 0);
	snapshot_free(&snapshot);
	tpm_free(tpm);
	assert_thread_goes_on(next);
	assert_permanent_works(next);
	assert_keys_sign(next, 2);
	assert_measured(next);
	tpm_free(next);
}
END_TEST

START_TEST(a_session_goes_on_in_another_tpm)
{
	struct tpm *tpm = test_owned_tpm(), *next = test_blank_tpm();
	struct snapshot snapshot;
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(test_oiap(tpm, &s, owner_auth), TPM_SUCCESS);
	snapshot_take(&snapshot, tpm);
	snapshot_restore(&snapshot, next);
	snapshot_free(&snapshot);
	call_begin(&c, next, TPM_ORD_OwnerReadPubek);
	call_session(&c, &s);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	tpm_free(tpm);
	tpm_free(next);
}
END_TEST

START_TEST(permanent_state_alone_is_a_power_cycle)
{
	struct tpm *tpm = rich_tpm(), *next = test_blank_tpm();
	struct snapshot snapshot;

	snapshot_take(&snapshot, tpm);
	ck_assert_uint_eq(tpm_set_state(next, TPM_STATE_PERMANENT,
					snapshot.of[TPM_STATE_PERMANENT].blob,
					snapshot.of[TPM_STATE_PERMANENT].len),
			  TPM_SUCCESS);
	snapshot_free(&snapshot);
	tpm_free(tpm);
	test_reboot(next);
	assert_permanent_works(next);
	assert_keys_sign(next, 1); /* the owner-evict one */
	tpm_free(next);
}
END_TEST

START_TEST(no_bytes_drop_saved_and_volatile_state_only)
{
	struct tpm *tpm = rich_tpm();
	struct snapshot before;
	uint8_t *blob;
	size_t len;

	snapshot_take(&before, tpm);
	ck_assert_uint_eq(tpm_set_state(tpm, TPM_STATE_PERMANENT, NULL, 0), TPM_INVALID_STRUCTURE);
	ck_assert_uint_eq(snapshot_changes(&before, tpm), 0);
	snapshot_free(&before);
	ck_assert_uint_eq(tpm_set_state(tpm, TPM_STATE_SAVED, NULL, 0), TPM_SUCCESS);
	ck_assert_uint_eq(tpm_get_state(tpm, TPM_STATE_SAVED, &blob, &len), TPM_SUCCESS);
	ck_assert_ptr_null(blob);
	ck_assert_uint_eq(len, 0);
	ck_assert_uint_eq(tpm_set_state(tpm, TPM_STATE_VOLATILE, NULL, 0), TPM_SUCCESS);
	ck_assert_uint_eq(test_startup(tpm, TPM_ST_CLEAR), TPM_SUCCESS);
	assert_permanent_works(tpm);
	tpm_free(tpm);
}
END_TEST

/* ---- Damage ---- */

static void
assert_refused(struct tpm *tpm, enum tpm_state kind, const uint8_t *blob, size_t len,
	       TPM_RESULT expected)
{
	uint8_t *exact = malloc(len ? len : 1); /* AddressSanitizer sees every step outside */

	ck_assert_ptr_nonnull(exact);
	memcpy(exact, blob, len);
	ck_assert_uint_eq(tpm_set_state(tpm, kind, exact, len), expected);
	free(exact);
}

START_TEST(no_byte_of_a_blob_can_be_changed)
{
	struct tpm *tpm = rich_tpm();
	struct snapshot before;

	snapshot_take(&before, tpm);
	for (enum tpm_state kind = TPM_STATE_PERMANENT; kind <= TPM_STATE_SAVED; kind++) {
		uint8_t *blob = before.of[kind].blob;

		for (size_t i = 0; i < before.of[kind].len; i++) {
			bool format = i == 4 || i == 5;

			blob[i] ^= 0x80;
			assert_refused(tpm, kind, blob, before.of[kind].len,
				       format ? TPM_BAD_VERSION : TPM_INVALID_STRUCTURE);
			blob[i] ^= 0x80;
		}
		ck_assert_uint_eq(snapshot_changes(&before, tpm), 0);
	}
	snapshot_free(&before);
	tpm_free(tpm);
}
END_TEST

START_TEST(a_blob_is_taken_whole)
{
	struct tpm *tpm = rich_tpm();
	struct snapshot before;

	snapshot_take(&before, tpm);
	for (enum tpm_state kind = TPM_STATE_PERMANENT; kind <= TPM_STATE_SAVED; kind++) {
		for (size_t len = 1; len < before.of[kind].len; len += len < 64 ? 1 : 61)
			assert_refused(tpm, kind, before.of[kind].blob, len, TPM_INVALID_STRUCTURE);
		for (enum tpm_state other = TPM_STATE_PERMANENT; other <= TPM_STATE_SAVED; other++)
			if (other != kind)
				assert_refused(tpm, other, before.of[kind].blob,
					       before.of[kind].len, TPM_INVALID_STRUCTURE);
	}
	ck_assert_uint_eq(snapshot_changes(&before, tpm), 0);
	snapshot_free(&before);
	tpm_free(tpm);
}
END_TEST

static void
sign_blob(uint8_t *blob, size_t len)
{
	reference_sha1(blob + len - TPM_DIGEST_SIZE, blob, len - TPM_DIGEST_SIZE);
}

START_TEST(a_later_format_is_said_to_be_one)
{
	struct tpm *tpm = rich_tpm();
	struct snapshot before;

	snapshot_take(&before, tpm);
	for (enum tpm_state kind = TPM_STATE_PERMANENT; kind <= TPM_STATE_SAVED; kind++) {
		uint8_t *blob = before.of[kind].blob;

		blob[5]++;
		sign_blob(blob, before.of[kind].len);
		assert_refused(tpm, kind, blob, before.of[kind].len, TPM_BAD_VERSION);
		blob[5]--;
		sign_blob(blob, before.of[kind].len);
	}
	ck_assert_uint_eq(snapshot_changes(&before, tpm), 0);
	snapshot_free(&before);
	tpm_free(tpm);
}
END_TEST

/* A hostile blob has a good checksum: it is refused with the TPM as before, or taken over whole, as
 * something that can be written again. */
START_TEST(a_forged_blob_is_never_half_loaded)
{
	struct tpm *tpm = rich_tpm();
	struct snapshot before;

	snapshot_take(&before, tpm);
	for (enum tpm_state kind = TPM_STATE_PERMANENT; kind <= TPM_STATE_VOLATILE; kind++) {
		uint8_t *blob = before.of[kind].blob;
		size_t len = before.of[kind].len, refused = 0;

		for (size_t i = HEADER_SIZE; i < len - TPM_DIGEST_SIZE; i += 3) {
			struct snapshot after;

			blob[i] ^= 0xff;
			sign_blob(blob, len);
			TPM_RESULT rc = tpm_set_state(tpm, kind, blob, len);
			blob[i] ^= 0xff;
			sign_blob(blob, len);
			if (rc != TPM_SUCCESS) {
				ck_assert_uint_eq(rc, TPM_INVALID_STRUCTURE);
				ck_assert_uint_eq(snapshot_changes(&before, tpm), 0);
				refused++;
				continue;
			}
			snapshot_take(&after, tpm);
			snapshot_free(&after);
			snapshot_restore(&before, tpm);
		}
		ck_assert_uint_gt(refused, 0);
	}
	snapshot_free(&before);
	tpm_free(tpm);
}
END_TEST

/* ---- Golden files: blobs of format 1, which every later version must read ---- */

static const char *const golden[] = {
	[TPM_STATE_PERMANENT] = "permanent-1.blob",
	[TPM_STATE_VOLATILE] = "volatile-1.blob",
	[TPM_STATE_SAVED] = "saved-1.blob",
};

static FILE *
golden_open(const char *folder, enum tpm_state kind, const char *mode)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, golden[kind]);
	FILE *file = fopen(path, mode);
	ck_assert_msg(file != NULL, "%s: cannot be opened; tests run in the top folder", path);
	return file;
}

static void
golden_set(struct tpm *tpm, enum tpm_state kind)
{
	static uint8_t blob[256 * 1024];
	FILE *file = golden_open("tests/unit/golden", kind, "rb");
	size_t len = fread(blob, 1, sizeof(blob), file);

	fclose(file);
	ck_assert_uint_eq(tpm_set_state(tpm, kind, blob, len), TPM_SUCCESS);
}

START_TEST(golden_permanent_state_loads_and_works)
{
	struct tpm *tpm = test_blank_tpm();

	golden_set(tpm, TPM_STATE_PERMANENT);
	test_reboot(tpm);
	assert_permanent_works(tpm);
	assert_keys_sign(tpm, 1);
	tpm_free(tpm);
}
END_TEST

START_TEST(golden_volatile_state_loads_and_works)
{
	struct tpm *tpm = test_blank_tpm();

	golden_set(tpm, TPM_STATE_PERMANENT);
	tpm_init(tpm);
	golden_set(tpm, TPM_STATE_VOLATILE);
	assert_thread_goes_on(tpm);
	assert_measured(tpm);
	assert_keys_sign(tpm, 2);
	assert_permanent_works(tpm);
	tpm_free(tpm);
}
END_TEST

START_TEST(golden_saved_state_resumes)
{
	struct tpm *tpm = test_blank_tpm();

	golden_set(tpm, TPM_STATE_PERMANENT);
	golden_set(tpm, TPM_STATE_SAVED);
	tpm_init(tpm);
	ck_assert_uint_eq(test_startup(tpm, TPM_ST_STATE), TPM_SUCCESS);
	assert_measured(tpm);
	assert_keys_sign(tpm, 2);
	tpm_free(tpm);
}
END_TEST

static const char *golden_folder;

/* The saved state is of before the SHA-1 thread, whose commands would drop it. */
START_TEST(make_golden_files)
{
	struct snapshot resting, running;
	struct tpm *tpm = rich_tpm();

	snapshot_take(&resting, tpm);
	sha1_update(tpm);
	snapshot_take(&running, tpm);
	for (enum tpm_state kind = TPM_STATE_PERMANENT; kind <= TPM_STATE_SAVED; kind++) {
		const struct snapshot *from = kind == TPM_STATE_VOLATILE ? &running : &resting;
		FILE *file = golden_open(golden_folder, kind, "wb");

		ck_assert_uint_eq(fwrite(from->of[kind].blob, 1, from->of[kind].len, file),
				  from->of[kind].len);
		ck_assert_int_eq(fclose(file), 0);
	}
	snapshot_free(&resting);
	snapshot_free(&running);
	tpm_free(tpm);
}
END_TEST

/* test_state --make-golden FOLDER: writes the golden files of the present format. */
int
main(int argc, char *argv[])
{
	const TTest *const make[] = { make_golden_files, NULL };
	const TTest *const tests[] = {
		all_state_goes_to_another_tpm,
		a_session_goes_on_in_another_tpm,
		permanent_state_alone_is_a_power_cycle,
		no_bytes_drop_saved_and_volatile_state_only,
		no_byte_of_a_blob_can_be_changed,
		a_blob_is_taken_whole,
		a_later_format_is_said_to_be_one,
		a_forged_blob_is_never_half_loaded,
		golden_permanent_state_loads_and_works,
		golden_volatile_state_loads_and_works,
		golden_saved_state_resumes,
		NULL,
	};

	if (argc == 3 && strcmp(argv[1], "--make-golden") == 0) {
		golden_folder = argv[2];
		return test_suite("golden", make);
	}
	return test_suite("state", tests);
}
