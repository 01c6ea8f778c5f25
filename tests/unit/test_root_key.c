/* The root key: bound to the chip, its PCRs and the newest copy of the folder. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vtpm/file.h>

#include "manager/migration_key.h"
#include "manager/root_key.h"
#include "manager/root_key_record.h"
#include "tests/unit/folder.h"
#include "tests/unit/suite.h"
#include "tests/unit/swtpm.h"

static const unsigned versions[] = { 12, 20 };
static const uint8_t uuid[STORE_UUID_SIZE] = { 1, 2, 3 };

static struct swtpm swtpm;
static struct physical_tpm *tpm;
static char folder[FOLDER_NAME_MAX];
static struct store *store;
static struct root_key_options options;

static void
open_tpm(void)
{
	struct physical_tpm_options at = { .address = swtpm.address };

	ck_assert_int_eq(physical_tpm_open(&tpm, &at), 0);
}

static int
start(void)
{
	ck_assert_int_eq(store_open(&store, folder), 0);
	return root_key_unlock(store, tpm, &options);
}

static int
restart(void)
{
	store_close(store);
	return start();
}

/* A new host, with one instance. */
static void
begin(int i)
{
	struct store_instance instance = { .id = 5 };

	swtpm_start(&swtpm, versions[i]);
	open_tpm();
	folder_make(folder);
	ck_assert_int_eq(start(), 0);
	memcpy(instance.uuid, uuid, sizeof(uuid));
	ck_assert_int_eq(store_define(store, &instance, NULL), 0);
}

static void
end(void)
{
	store_close(store);
	physical_tpm_close(tpm);
	folder_remove(folder);
	swtpm_remove(&swtpm);
}

static void
assert_instance_known(void)
{
	struct store_instance instance;

	ck_assert_int_eq(store_find_uuid(store, uuid, &instance), 0);
	ck_assert_uint_eq(instance.id, 5);
}

/* The next start fails with error and leaves the folder as it is. */
static void
assert_refused_untouched(int error)
{
	store_close(store);
	char *before = folder_digest(folder);
	ck_assert_int_eq(start(), error);
	char *after = folder_digest(folder);
	ck_assert_str_eq(before, after);
	free(before);
	free(after);
}

START_TEST(a_host_is_set_up_once_and_opens_again)
{
	struct root_key_status status;
	struct root_key_status later;
	bool owned;

	begin(_i);
	ck_assert_int_eq(physical_tpm_is_owned(tpm, &owned), 0);
	ck_assert(owned);
	ck_assert_int_eq(root_key_status(store, &status), 0);
	ck_assert(status.anchored);
	ck_assert(status.owner_secret_known == (versions[_i] == 12));
	ck_assert_uint_eq(status.sealed_pcrs, 0);
	ck_assert_int_eq(access(folder_path(folder, "VTPM.owner"), F_OK), -1);
	swtpm_stop(&swtpm);
	swtpm_restart(&swtpm);
	ck_assert_int_eq(restart(), 0);
	assert_instance_known();
	ck_assert_int_eq(root_key_status(store, &later), 0);
	ck_assert_uint_eq(later.anchor, status.anchor + 1);
	ck_assert(later.owner_secret_known == status.owner_secret_known);
	end();
}
END_TEST

START_TEST(changed_pcrs_keep_the_folder_locked_until_they_are_back)
{
	options.pcrs = 1 << 2 | 1 << 7;
	begin(_i);
	swtpm_extend(&swtpm, 7);
	assert_refused_untouched(-ESTALE);
	assert_refused_untouched(-ESTALE);
	swtpm_stop(&swtpm);
	swtpm_restart(&swtpm);
	ck_assert_int_eq(restart(), 0);
	assert_instance_known();
	end();
}
END_TEST

START_TEST(an_announced_upgrade_is_accepted_and_sealed_anew)
{
	struct root_key_status status;

	options.pcrs = 1 << 7;
	begin(_i);
	ck_assert_int_eq(root_key_reseal(store, tpm, 0), 0);
	swtpm_extend(&swtpm, 7);
	ck_assert_int_eq(restart(), 0);
	ck_assert_int_eq(root_key_reseal(store, tpm, options.pcrs), 0);
	ck_assert_int_eq(root_key_status(store, &status), 0);
	ck_assert_uint_eq(status.sealed_pcrs, 1 << 7);
	ck_assert_int_eq(restart(), 0);
	assert_instance_known();
	swtpm_extend(&swtpm, 7);
	assert_refused_untouched(-ESTALE);
	end();
}
END_TEST

START_TEST(the_folder_of_another_host_is_refused)
{
	begin(_i);
	physical_tpm_close(tpm);
	swtpm_remove(&swtpm);
	swtpm_start(&swtpm, versions[_i]);
	open_tpm();
	ck_assert_int_eq(physical_tpm_take_ownership(tpm, (uint8_t[20]) { 9 }), 0);
	assert_refused_untouched(-EKEYREJECTED);
	physical_tpm_close(tpm);
	swtpm_remove(&swtpm);
	swtpm_start(&swtpm, versions[1 - _i]);
	open_tpm();
	assert_refused_untouched(-EKEYREJECTED);
	end();
}
END_TEST

START_TEST(a_chip_that_is_away_is_told_and_the_start_succeeds_once_it_is_back)
{
	begin(_i);
	swtpm_stop(&swtpm);
	assert_refused_untouched(-ENODEV);
	swtpm_restart(&swtpm);
	ck_assert_int_eq(restart(), 0);
	assert_instance_known();
	end();
}
END_TEST

static void
copy_folder(const char *from, const char *to)
{
	char command[256];

	snprintf(command, sizeof(command), "cp %s/* %s/", from, to);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(an_old_copy_of_the_whole_folder_is_refused)
{
	char old[FOLDER_NAME_MAX];
	struct root_key_status status;

	begin(_i);
	folder_make(old);
	copy_folder(folder, old);
	ck_assert_int_eq(root_key_anchor(store, tpm), 0);
	ck_assert_int_eq(restart(), 0);
	store_close(store);
	copy_folder(old, folder);
	ck_assert_int_eq(start(), -ENOTRECOVERABLE);
	ck_assert_int_eq(restart(), -ENOTRECOVERABLE);
	options.accept_rollback = true;
	ck_assert_int_eq(restart(), 0);
	assert_instance_known();
	options.accept_rollback = false;
	ck_assert_int_eq(restart(), 0);
	ck_assert_int_eq(root_key_status(store, &status), 0);
	ck_assert(status.anchored);
	folder_remove(old);
	end();
}
END_TEST

START_TEST(a_crash_between_folder_and_chip_is_no_rollback)
{
	char chip[FOLDER_NAME_MAX];

	begin(_i);
	/* The chip as it was before its counter moved. */
	swtpm_stop(&swtpm);
	folder_make(chip);
	copy_folder(swtpm.folder, chip);
	swtpm_restart(&swtpm);
	ck_assert_int_eq(root_key_anchor(store, tpm), 0);
	swtpm_stop(&swtpm);
	copy_folder(chip, swtpm.folder);
	swtpm_restart(&swtpm);
	ck_assert_int_eq(restart(), 0);
	ck_assert_int_eq(restart(), 0);
	folder_remove(chip);
	end();
}
END_TEST

static uint64_t
anchor(void)
{
	struct root_key_status status;

	ck_assert_int_eq(root_key_status(store, &status), 0);
	return status.anchor;
}

static void
change_something(void)
{
	struct store_instance instance;

	ck_assert_int_eq(store_find(store, 5, &instance), 0);
	instance.host_pcrs++;
	ck_assert_int_eq(store_update(store, &instance), 0);
}

START_TEST(the_anchor_moves_after_changes_and_at_a_bounded_rate)
{
	begin(_i);
	struct root_key_pace pace = { .interval = 100, .changes = store_changes(store) };
	uint64_t first = anchor();

	root_key_keep_pace(&pace, store, tpm, 100);
	ck_assert_uint_eq(anchor(), first); /* nothing has changed */
	change_something();
	root_key_keep_pace(&pace, store, tpm, 1);
	ck_assert_uint_eq(anchor(), first + 1);
	for (int i = 0; i < 99; i++) {
		change_something();
		root_key_keep_pace(&pace, store, tpm, 1);
	}
	ck_assert_uint_eq(anchor(), first + 1);
	root_key_keep_pace(&pace, store, tpm, 1);
	ck_assert_uint_eq(anchor(), first + 2);
	root_key_keep_pace(&pace, store, tpm, 1000);
	ck_assert_uint_eq(anchor(), first + 2); /* its own move is no change */
	/* What fails is tried again at the same rate. */
	change_something();
	swtpm_stop(&swtpm);
	root_key_keep_pace(&pace, store, tpm, 1);
	swtpm_restart(&swtpm);
	root_key_keep_pace(&pace, store, tpm, 99);
	ck_assert_uint_eq(anchor(), first + 2);
	root_key_keep_pace(&pace, store, tpm, 1);
	ck_assert_uint_eq(anchor(), first + 3);
	end();
}
END_TEST

START_TEST(an_anchor_that_fails_while_the_chip_is_away_does_no_harm)
{
	begin(_i);
	swtpm_stop(&swtpm);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(root_key_anchor(store, tpm), -ENODEV);
	swtpm_restart(&swtpm);
	ck_assert_int_eq(root_key_anchor(store, tpm), 0);
	ck_assert_int_eq(restart(), 0);
	end();
}
END_TEST

START_TEST(an_anchor_that_somebody_removed_is_noticed)
{
	const uint32_t first = versions[_i] == 12 ? 0x00567450 : 0x01817450;

	if (versions[_i] == 12)
		return; /* needs the owner's secret, which the manager alone has */
	begin(_i);
	ck_assert_int_eq(physical_tpm_anchor_undefine(tpm, NULL, first), 0);
	ck_assert_int_eq(restart(), -ENOTRECOVERABLE);
	options.accept_rollback = true;
	ck_assert_int_eq(restart(), 0);
	options.accept_rollback = false;
	ck_assert_int_eq(restart(), 0);
	end();
}
END_TEST

START_TEST(a_death_between_owning_the_chip_and_the_first_state_loses_nothing)
{
	const uint8_t secret[PHYSICAL_TPM_AUTH_SIZE] = { 42 };
	struct root_key_status status;

	if (versions[_i] == 20)
		return;
	swtpm_start(&swtpm, versions[_i]);
	open_tpm();
	folder_make(folder);
	ck_assert_int_eq(
	    file_write_durable(folder_path(folder, "VTPM.owner"), secret, sizeof(secret), 0600), 0);
	ck_assert_int_eq(physical_tpm_take_ownership(tpm, secret), 0);
	ck_assert_int_eq(start(), 0);
	ck_assert_int_eq(root_key_status(store, &status), 0);
	ck_assert(status.owner_secret_known);
	ck_assert(status.anchored);
	ck_assert_int_eq(access(folder_path(folder, "VTPM.owner"), F_OK), -1);
	end();
}
END_TEST

START_TEST(an_owned_chip_is_used_with_and_without_its_owners_secret)
{
	const uint8_t secret[PHYSICAL_TPM_AUTH_SIZE] = { 42 };
	struct root_key_status status;

	if (versions[_i] == 20)
		return;
	swtpm_start(&swtpm, versions[_i]);
	open_tpm();
	folder_make(folder);
	ck_assert_int_eq(physical_tpm_take_ownership(tpm, secret), 0);
	ck_assert_int_eq(start(), 0);
	ck_assert_int_eq(root_key_status(store, &status), 0);
	ck_assert(!status.owner_secret_known);
	ck_assert(!status.anchored);
	options.owner_auth = secret;
	ck_assert_int_eq(restart(), 0);
	ck_assert_int_eq(root_key_status(store, &status), 0);
	ck_assert(status.owner_secret_known);
	ck_assert(status.anchored);
	options.owner_auth = NULL;
	ck_assert_int_eq(restart(), 0);
	end();
}
END_TEST

START_TEST(the_migration_key_stays_the_same)
{
	static const uint8_t secret[32] = "key of an envelope";
	struct physical_tpm_public first;
	struct physical_tpm_public again;
	uint8_t sealed[PHYSICAL_TPM_RSA_MAX];
	uint8_t out[PHYSICAL_TPM_SECRET_MAX];
	size_t sealed_len;
	size_t len;

	begin(_i);
	ck_assert_int_eq(root_key_migration_decrypt(store, tpm, sealed, 256, out, &len), -ENOKEY);
	ck_assert_int_eq(root_key_migration_public(store, tpm, &first), 0);
	ck_assert_int_eq(migration_key_encrypt(&first, secret, sizeof(secret), sealed, &sealed_len),
			 0);
	ck_assert_int_eq(restart(), 0);
	ck_assert_int_eq(root_key_migration_public(store, tpm, &again), 0);
	ck_assert_uint_eq(first.modulus_len, again.modulus_len);
	ck_assert_mem_eq(first.modulus, again.modulus, first.modulus_len);
	ck_assert_int_eq(root_key_migration_decrypt(store, tpm, sealed, sealed_len, out, &len), 0);
	ck_assert_uint_eq(len, sizeof(secret));
	ck_assert_mem_eq(out, secret, len);
	end();
}
END_TEST

START_TEST(the_hosts_identity_stays_the_same)
{
	static const uint8_t data[20] = "nonce";
	struct physical_tpm_quote quote;
	struct physical_tpm_public first;
	struct physical_tpm_public again;

	begin(_i);
	ck_assert_int_eq(root_key_quote(store, tpm, 1, data, sizeof(data), &quote, &first), 0);
	ck_assert_uint_eq(quote.pcr_size, physical_tpm_version(tpm) == 20 ? 32 : 20);
	ck_assert_int_eq(restart(), 0);
	ck_assert_int_eq(root_key_quote(store, tpm, 1, data, sizeof(data), &quote, &again), 0);
	ck_assert_uint_eq(first.modulus_len, again.modulus_len);
	ck_assert_mem_eq(first.modulus, again.modulus, first.modulus_len);
	ck_assert_int_eq(root_key_quote(store, tpm, 0, data, sizeof(data), &quote, &again),
			 -EINVAL);
	end();
}
END_TEST

/* The record of an earlier version: owner known, no migration key, anchor 9 at index 8. */
START_TEST(a_host_record_without_identity_is_read)
{
	uint8_t record[1 + 1 + 20 + 1 + 4 + 1 + 4 + 4 + 1 + 4 + 8] = { 1, 1, 0xaa };
	struct host_record host;

	begin(_i);
	record[36] = 1;
	record[40] = 8;
	record[48] = 9;
	ck_assert_int_eq(store_set_host(store, record, sizeof(record)), 0);
	ck_assert_int_eq(host_record_load(store, &host), 0);
	ck_assert(host.owner_known && host.owner_auth[0] == 0xaa);
	ck_assert(host.anchored && host.anchor_index == 8 && host.anchor == 9);
	ck_assert(!host.has_identity && !host.has_key);
	ck_assert_int_eq(host_record_save(store, &host), 0);
	ck_assert_int_eq(host_record_load(store, &host), 0);
	ck_assert_uint_eq(host.anchor, 9);
	end();
}
END_TEST

START_TEST(lists_of_pcrs_are_parsed_strictly)
{
	static const char *const bad[] = { "",    "24",   "0,",  ",0",    "0,,1",
					   "-1",  "a",    "1 2", "0x1",   "3-",
					   "3-2", "0-24", "-3",  "1-2-3", "all,1" };
	char text[ROOT_KEY_PCRS_TEXT];
	uint32_t pcrs;

	ck_assert_int_eq(root_key_parse_pcrs("none", &pcrs), 0);
	ck_assert_uint_eq(pcrs, 0);
	ck_assert_int_eq(root_key_parse_pcrs("0,2,4,7", &pcrs), 0);
	ck_assert_uint_eq(pcrs, 0x95);
	ck_assert_int_eq(root_key_parse_pcrs("23", &pcrs), 0);
	ck_assert_uint_eq(pcrs, 1 << 23);
	ck_assert_int_eq(root_key_parse_pcrs("0-2,4,22-23", &pcrs), 0);
	ck_assert_uint_eq(pcrs, 0xc00017);
	ck_assert_int_eq(root_key_parse_pcrs("all", &pcrs), 0);
	ck_assert_uint_eq(pcrs, 0xffffff);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(root_key_parse_pcrs(bad[i], &pcrs), -EINVAL);
	ck_assert_str_eq(root_key_format_pcrs(0, text), "none");
	ck_assert_str_eq(root_key_format_pcrs(0x95, text), "0,2,4,7");
	ck_assert_ptr_nonnull(strstr(root_key_format_pcrs(0xffffff, text), ",22,23"));
}
END_TEST

static int
read_auth(const char *text, uint8_t *auth)
{
	const char *path = folder_path(folder, "auth");

	ck_assert_int_eq(file_write_durable(path, text, strlen(text), 0600), 0);
	return root_key_read_auth(path, auth);
}

START_TEST(a_secret_is_a_hashed_line_or_hexadecimal)
{
	/* SHA-1("abc") */
	static const uint8_t abc[] = { 0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e,
				       0x25, 0x71, 0x78, 0x50, 0xc2, 0x6c, 0x9c, 0xd0, 0xd8, 0x9d };
	uint8_t auth[PHYSICAL_TPM_AUTH_SIZE];

	folder_make(folder);
	ck_assert_int_eq(read_auth("abc\nmore", auth), 0);
	ck_assert_mem_eq(auth, abc, sizeof(abc));
	ck_assert_int_eq(read_auth("hex:a9993e364706816aBA3E25717850c26c9cd0d89d\n", auth), 0);
	ck_assert_mem_eq(auth, abc, sizeof(abc));
	ck_assert_int_eq(read_auth("hex:a9993e", auth), -EINVAL);
	ck_assert_int_eq(read_auth("hex:g9993e364706816aba3e25717850c26c9cd0d89d", auth), -EINVAL);
	ck_assert_int_eq(root_key_read_auth("/nowhere", auth), -ENOENT);
	folder_remove(folder);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_host_is_set_up_once_and_opens_again,
		changed_pcrs_keep_the_folder_locked_until_they_are_back,
		an_announced_upgrade_is_accepted_and_sealed_anew,
		the_folder_of_another_host_is_refused,
		a_chip_that_is_away_is_told_and_the_start_succeeds_once_it_is_back,
		an_old_copy_of_the_whole_folder_is_refused,
		a_crash_between_folder_and_chip_is_no_rollback,
		the_anchor_moves_after_changes_and_at_a_bounded_rate,
		an_anchor_that_fails_while_the_chip_is_away_does_no_harm,
		an_anchor_that_somebody_removed_is_noticed,
		a_death_between_owning_the_chip_and_the_first_state_loses_nothing,
		an_owned_chip_is_used_with_and_without_its_owners_secret,
		the_migration_key_stays_the_same,
		the_hosts_identity_stays_the_same,
		a_host_record_without_identity_is_read,
		lists_of_pcrs_are_parsed_strictly,
		a_secret_is_a_hashed_line_or_hexadecimal,
		NULL,
	};

	if (!swtpm_available()) {
		printf("SKIP root key: needs swtpm\n");
		return EXIT_SUCCESS;
	}
	return suite_run_each("root key", tests, 2, NULL, NULL);
}
