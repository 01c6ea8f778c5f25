/*
 * The physical TPM: the same interface over TPM 1.2 and 2.0, against a foreign implementation of
 * both.
 */
#include <errno.h>
#include <pthread.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/chip_channel.h"
#include "manager/migration_key.h"
#include "manager/physical_tpm.h"
#include "tests/unit/suite.h"
#include "tests/unit/swtpm.h"

static const unsigned versions[] = { 12, 20 };
static const uint8_t owner_auth[PHYSICAL_TPM_AUTH_SIZE] = { 1, 2, 3 };
static const uint8_t auth[PHYSICAL_TPM_AUTH_SIZE] = { 4, 5, 6 };
static const uint8_t wrong[PHYSICAL_TPM_AUTH_SIZE] = { 7 };
static const uint8_t secret[32] = "thirty-two bytes of root key....";

static struct swtpm swtpm;
static struct physical_tpm *tpm;

/* Every test runs with both versions. */
static void
begin(int i)
{
	struct physical_tpm_options options = { .address = swtpm.address };

	swtpm_start(&swtpm, versions[i]);
	ck_assert_int_eq(physical_tpm_open(&tpm, &options), 0);
	ck_assert_uint_eq(physical_tpm_version(tpm), versions[i]);
}

static void
begin_owned(int i)
{
	begin(i);
	ck_assert_int_eq(physical_tpm_take_ownership(tpm, owner_auth), 0);
}

static void
end(void)
{
	physical_tpm_close(tpm);
	swtpm_remove(&swtpm);
}

START_TEST(an_unowned_chip_can_be_owned_once)
{
	bool owned;

	begin(_i);
	ck_assert_int_eq(physical_tpm_is_owned(tpm, &owned), 0);
	ck_assert(owned == (versions[_i] == 20));
	ck_assert_int_eq(physical_tpm_take_ownership(tpm, owner_auth), 0);
	ck_assert_int_eq(physical_tpm_is_owned(tpm, &owned), 0);
	ck_assert(owned);
	if (versions[_i] == 12)
		ck_assert_int_eq(physical_tpm_take_ownership(tpm, owner_auth), -EPERM);
	end();
}
END_TEST

START_TEST(an_unowned_chip_seals_nothing)
{
	struct physical_tpm_blob blob;

	if (versions[_i] == 20)
		return;
	begin(_i);
	ck_assert_int_eq(physical_tpm_seal(tpm, secret, sizeof(secret), 0, &blob), -ENOKEY);
	end();
}
END_TEST

START_TEST(random_bytes_differ_and_come_in_any_number)
{
	uint8_t a[1000] = { 0 };
	uint8_t b[1000] = { 0 };

	begin(_i);
	ck_assert_int_eq(physical_tpm_random(tpm, a, sizeof(a)), 0);
	ck_assert_int_eq(physical_tpm_random(tpm, b, sizeof(b)), 0);
	ck_assert_mem_ne(a, b, sizeof(a));
	ck_assert_mem_ne(a + 990, (uint8_t[10]) { 0 }, 10);
	end();
}
END_TEST

static void
assert_unseals(const struct physical_tpm_blob *blob)
{
	uint8_t out[PHYSICAL_TPM_SECRET_MAX];
	size_t len;

	ck_assert_int_eq(physical_tpm_unseal(tpm, blob, out, &len), 0);
	ck_assert_uint_eq(len, sizeof(secret));
	ck_assert_mem_eq(out, secret, len);
}

START_TEST(a_sealed_secret_unseals_also_after_a_restart_of_the_chip)
{
	struct physical_tpm_blob blob;

	begin_owned(_i);
	ck_assert_int_eq(physical_tpm_seal(tpm, secret, sizeof(secret), 0, &blob), 0);
	assert_unseals(&blob);
	swtpm_stop(&swtpm);
	swtpm_restart(&swtpm);
	assert_unseals(&blob);
	end();
}
END_TEST

START_TEST(a_secret_sealed_to_pcrs_unseals_only_with_their_values)
{
	struct physical_tpm_blob blob;
	struct physical_tpm_pcr before;
	struct physical_tpm_pcr after;
	uint8_t out[PHYSICAL_TPM_SECRET_MAX];
	size_t len;

	begin_owned(_i);
	swtpm_extend(&swtpm, 7);
	ck_assert_int_eq(physical_tpm_pcr_read(tpm, 7, &before), 0);
	ck_assert_uint_eq(before.size, versions[_i] == 12 ? 20 : 32);
	ck_assert_int_eq(physical_tpm_seal(tpm, secret, sizeof(secret), 1 << 4 | 1 << 7, &blob), 0);
	assert_unseals(&blob);
	swtpm_extend(&swtpm, 3);
	assert_unseals(&blob);
	swtpm_extend(&swtpm, 7);
	ck_assert_int_eq(physical_tpm_pcr_read(tpm, 7, &after), 0);
	ck_assert_mem_ne(before.value, after.value, before.size);
	ck_assert_int_eq(physical_tpm_unseal(tpm, &blob, out, &len), -ESTALE);
	end();
}
END_TEST

START_TEST(another_chip_does_not_unseal)
{
	struct physical_tpm_blob blob;
	uint8_t out[PHYSICAL_TPM_SECRET_MAX];
	size_t len;

	begin_owned(_i);
	ck_assert_int_eq(physical_tpm_seal(tpm, secret, sizeof(secret), 0, &blob), 0);
	end();
	begin_owned(_i);
	ck_assert_int_eq(physical_tpm_unseal(tpm, &blob, out, &len), -EKEYREJECTED);
	end();
}
END_TEST

START_TEST(a_damaged_blob_does_not_unseal)
{
	struct physical_tpm_blob blob;
	uint8_t out[PHYSICAL_TPM_SECRET_MAX];
	size_t len;

	begin_owned(_i);
	ck_assert_int_eq(physical_tpm_seal(tpm, secret, sizeof(secret), 0, &blob), 0);
	for (size_t i = 0; i < blob.len; i += 13) {
		blob.data[i] ^= 0x40;
		ck_assert_int_lt(physical_tpm_unseal(tpm, &blob, out, &len), 0);
		blob.data[i] ^= 0x40;
	}
	for (size_t cut = 0; cut < blob.len; cut += 17) {
		struct physical_tpm_blob shorter = blob;

		shorter.len = cut;
		ck_assert_int_lt(physical_tpm_unseal(tpm, &shorter, out, &len), 0);
	}
	assert_unseals(&blob);
	end();
}
END_TEST

START_TEST(what_is_encrypted_to_a_migration_key_is_decrypted_by_its_chip_alone)
{
	struct physical_tpm_blob key;
	struct physical_tpm_public pub;
	uint8_t sealed[PHYSICAL_TPM_RSA_MAX];
	uint8_t out[PHYSICAL_TPM_SECRET_MAX];
	size_t sealed_len;
	size_t len;

	begin_owned(_i);
	ck_assert_int_eq(physical_tpm_key_create(tpm, auth, &key, &pub), 0);
	ck_assert_uint_eq(pub.modulus_len, 256);
	ck_assert_uint_eq(pub.exponent, 65537);
	ck_assert_int_eq(migration_key_encrypt(&pub, secret, sizeof(secret), sealed, &sealed_len),
			 0);
	ck_assert_int_eq(physical_tpm_key_decrypt(tpm, &key, auth, sealed, sealed_len, out, &len),
			 0);
	ck_assert_uint_eq(len, sizeof(secret));
	ck_assert_mem_eq(out, secret, len);

	ck_assert_int_eq(physical_tpm_key_decrypt(tpm, &key, wrong, sealed, sealed_len, out, &len),
			 -EACCES);
	sealed[100] ^= 1;
	ck_assert_int_eq(physical_tpm_key_decrypt(tpm, &key, auth, sealed, sealed_len, out, &len),
			 -EKEYREJECTED);
	end();
}
END_TEST

START_TEST(an_identity_key_of_an_owned_chip_takes_the_owners_secret)
{
	struct physical_tpm_blob key;
	struct physical_tpm_public pub;

	if (versions[_i] == 20)
		return;
	begin_owned(_i);
	ck_assert_int_eq(physical_tpm_identity_create(tpm, NULL, auth, &key, &pub), -EACCES);
	ck_assert_int_eq(physical_tpm_identity_create(tpm, wrong, auth, &key, &pub), -EACCES);
	end();
}
END_TEST

START_TEST(no_session_or_key_is_left_in_the_chip)
{
	struct physical_tpm_blob blob;
	struct physical_tpm_blob key;
	struct physical_tpm_blob identity;
	struct physical_tpm_quote quote;
	struct physical_tpm_public pub;
	uint8_t sealed[PHYSICAL_TPM_RSA_MAX];
	uint8_t out[PHYSICAL_TPM_SECRET_MAX];
	size_t sealed_len;
	size_t len;

	begin_owned(_i);
	ck_assert_int_eq(physical_tpm_seal(tpm, secret, sizeof(secret), 1, &blob), 0);
	ck_assert_int_eq(physical_tpm_key_create(tpm, auth, &key, &pub), 0);
	ck_assert_int_eq(migration_key_encrypt(&pub, secret, sizeof(secret), sealed, &sealed_len),
			 0);
	ck_assert_int_eq(physical_tpm_identity_create(tpm, owner_auth, auth, &identity, &pub), 0);
	/* Far more often than the chip has slots, failing and succeeding. */
	for (int i = 0; i < 30; i++) {
		struct physical_tpm_blob bad = blob;

		bad.data[bad.len - 1] ^= 1;
		ck_assert_int_lt(physical_tpm_unseal(tpm, &bad, out, &len), 0);
		assert_unseals(&blob);
		ck_assert_int_eq(
		    physical_tpm_key_decrypt(tpm, &key, auth, sealed, sealed_len - 1, out, &len),
		    -EKEYREJECTED);
		ck_assert_int_eq(
		    physical_tpm_key_decrypt(tpm, &key, auth, sealed, sealed_len, out, &len), 0);
		bad = identity;
		bad.data[bad.len - 1] ^= 1;
		ck_assert_int_lt(physical_tpm_quote(tpm, &bad, auth, 1, secret, 20, &quote), 0);
		ck_assert_int_eq(physical_tpm_quote(tpm, &identity, auth, 1, secret, 20, &quote),
				 0);
	}
	end();
}
END_TEST

START_TEST(the_anchor_only_goes_up_and_outlives_the_chips_restart)
{
	uint32_t index;
	uint32_t second;
	uint64_t first;
	uint64_t value;

	begin_owned(_i);
	ck_assert_int_eq(physical_tpm_anchor_define(tpm, owner_auth, auth, &index), 0);
	ck_assert_int_eq(physical_tpm_anchor_read(tpm, auth, index, &first), 0);
	ck_assert_int_eq(physical_tpm_anchor_increment(tpm, auth, index, &value), 0);
	ck_assert_uint_eq(value, first + 1);
	ck_assert_int_eq(physical_tpm_anchor_increment(tpm, wrong, index, &value), -EACCES);
	swtpm_stop(&swtpm);
	swtpm_restart(&swtpm);
	ck_assert_int_eq(physical_tpm_anchor_increment(tpm, auth, index, &value), 0);
	ck_assert_uint_eq(value, first + 2);
	ck_assert_int_eq(physical_tpm_anchor_define(tpm, owner_auth, auth, &second), 0);
	ck_assert_uint_ne(second, index);
	ck_assert_int_eq(physical_tpm_anchor_undefine(tpm, owner_auth, index), 0);
	ck_assert_int_eq(physical_tpm_anchor_read(tpm, auth, index, &value), -ENOKEY);
	end();
}
END_TEST

START_TEST(a_chip_that_vanishes_is_an_error_and_its_return_is_noticed)
{
	uint8_t bytes[8];
	char text[256];

	begin(_i);
	ck_assert(physical_tpm_present(tpm));
	swtpm_stop(&swtpm);
	ck_assert_int_eq(physical_tpm_random(tpm, bytes, sizeof(bytes)), -ENODEV);
	ck_assert(!physical_tpm_present(tpm));
	ck_assert_ptr_nonnull(strstr(physical_tpm_error(text, sizeof(text)), "cannot be reached"));
	ck_assert_int_eq(physical_tpm_ping(tpm), -ENODEV);
	swtpm_restart(&swtpm);
	ck_assert_int_eq(physical_tpm_random(tpm, bytes, sizeof(bytes)), 0);
	ck_assert(physical_tpm_present(tpm));
	end();
}
END_TEST

START_TEST(only_harmless_commands_are_passed_on)
{
	/* GetRandom(8), Startup, GetRandom with a wrong size */
	static const uint8_t commands[][3][14] = {
		{ { 0, 0xc1, 0, 0, 0, 14, 0, 0, 0, 0x46, 0, 0, 0, 8 },
		  { 0, 0xc1, 0, 0, 0, 12, 0, 0, 0, 0x99, 0, 1 },
		  { 0, 0xc1, 0, 0, 0, 99, 0, 0, 0, 0x46, 0, 0, 0, 8 } },
		{ { 0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 8 },
		  { 0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0 },
		  { 0x80, 1, 0, 0, 0, 99, 0, 0, 1, 0x7b, 0, 8 } },
	};
	uint8_t response[PHYSICAL_TPM_COMMAND_MAX];
	size_t len;

	begin(_i);
	ck_assert_int_eq(
	    physical_tpm_pass(tpm, commands[_i][0], commands[_i][0][5], response, &len), 0);
	ck_assert_uint_eq(len, versions[_i] == 12 ? 14 + 8 : 12 + 8);
	ck_assert_int_eq(physical_tpm_pass(tpm, commands[_i][1], 12, response, &len), -EPERM);
	ck_assert_int_eq(physical_tpm_pass(tpm, commands[_i][2], 14, response, &len), -EPERM);
	ck_assert_int_eq(physical_tpm_pass(tpm, commands[_i][0], 5, response, &len), -EPERM);
	/* A command of the other version. */
	ck_assert_int_eq(
	    physical_tpm_pass(tpm, commands[1 - _i][0], commands[1 - _i][0][5], response, &len),
	    -EPERM);
	end();
}
END_TEST

START_TEST(a_wrong_srk_secret_is_told)
{
	struct physical_tpm_options options = { .address = swtpm.address, .srk_auth = wrong };
	struct physical_tpm_blob blob;

	if (versions[_i] == 20)
		return;
	begin_owned(_i);
	physical_tpm_close(tpm);
	ck_assert_int_eq(physical_tpm_open(&tpm, &options), 0);
	ck_assert_int_eq(physical_tpm_seal(tpm, secret, sizeof(secret), 0, &blob), -EACCES);
	end();
}
END_TEST

/* Carries commands and responses between a terminal, which serves as the device, and swtpm. */
static void *
carry(void *arg)
{
	const int *terminal = arg;
	struct chip_channel channel;
	uint8_t command[CHIP_BUFFER_SIZE];
	uint8_t response[CHIP_BUFFER_SIZE];
	size_t response_len;
	ssize_t len;

	ck_assert_int_eq(chip_channel_open(&channel, swtpm.address, 10), 0);
	while ((len = read(*terminal, command, sizeof(command))) > 1) {
		ck_assert_int_eq(
		    chip_channel_exchange(&channel, command, (size_t)len, response, &response_len),
		    0);
		ck_assert_int_eq(write(*terminal, response, response_len), (ssize_t)response_len);
	}
	chip_channel_close(&channel);
	return NULL;
}

START_TEST(a_device_gets_and_gives_whole_messages)
{
	char address[64] = "device:";
	struct physical_tpm_options options = { .address = address };
	struct termios raw = { .c_cflag = CS8 | CREAD, .c_cc[VMIN] = 1 };
	uint8_t bytes[8];
	pthread_t carrier;
	int terminal;
	int device;

	swtpm_start(&swtpm, versions[_i]);
	ck_assert_int_eq(openpty(&terminal, &device, address + 7, &raw, NULL), 0);
	ck_assert_int_eq(pthread_create(&carrier, NULL, carry, &terminal), 0);
	ck_assert_int_eq(physical_tpm_open(&tpm, &options), 0);
	ck_assert_uint_eq(physical_tpm_version(tpm), versions[_i]);
	ck_assert_int_eq(physical_tpm_random(tpm, bytes, sizeof(bytes)), 0);
	ck_assert_int_eq(write(device, "", 1), 1); /* too short for a command: ends the carrier */
	pthread_join(carrier, NULL);
	close(device);
	close(terminal);
	end();
}
END_TEST

START_TEST(what_is_not_a_tpm_is_refused)
{
	struct physical_tpm_options options = { .address = "device:/dev/null" };

	ck_assert_int_lt(physical_tpm_open(&tpm, &options), 0);
	options.address = "device:/nowhere";
	ck_assert_int_eq(physical_tpm_open(&tpm, &options), -ENODEV);
	options.address = "nonsense";
	ck_assert_int_eq(physical_tpm_open(&tpm, &options), -EINVAL);
	options.address = "socket:nonsense";
	ck_assert_int_eq(physical_tpm_open(&tpm, &options), -EINVAL);
	ck_assert_ptr_null(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		an_unowned_chip_can_be_owned_once,
		an_unowned_chip_seals_nothing,
		random_bytes_differ_and_come_in_any_number,
		a_sealed_secret_unseals_also_after_a_restart_of_the_chip,
		a_secret_sealed_to_pcrs_unseals_only_with_their_values,
		another_chip_does_not_unseal,
		a_damaged_blob_does_not_unseal,
		what_is_encrypted_to_a_migration_key_is_decrypted_by_its_chip_alone,
		an_identity_key_of_an_owned_chip_takes_the_owners_secret,
		no_session_or_key_is_left_in_the_chip,
		the_anchor_only_goes_up_and_outlives_the_chips_restart,
		a_chip_that_vanishes_is_an_error_and_its_return_is_noticed,
		only_harmless_commands_are_passed_on,
		a_wrong_srk_secret_is_told,
		a_device_gets_and_gives_whole_messages,
		what_is_not_a_tpm_is_refused,
		NULL,
	};

	if (!swtpm_available()) {
		printf("SKIP physical TPM: needs swtpm\n");
		return EXIT_SUCCESS;
	}
	return suite_run_each("physical TPM", tests, 2, NULL, NULL);
}
