/* Envelopes: what is packed arrives whole; what was changed on its way does not arrive at all. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vtpm/manager.h>
#include <vtpm/migration.h>

#include "manager/envelope.h"
#include "manager/migration_session.h"
#include "tests/unit/suite.h"

static const struct migration_session session = {
	.host = "beta",
	.key = "thirty-two bytes of session key",
	.sealed_len = 256,
	.sealed = "the same, as the chip has it",
};

static uint8_t nvm[3000];
static const struct envelope sent = {
	.entry = { .uuid = { 1, 2, 3 },
		   .domain_type = VTPM_DOMAIN_HVM,
		   .flags = STORE_FLAG_SUSPENDED | STORE_FLAG_RESUMES | STORE_FLAG_OUTGOING,
		   .fence = 0x123456789abcdef0,
		   .host_pcrs = 0x85,
		   .created = 77,
		   .generation = 88,
		   .measurement = { 4 },
		   .activation = { 5 } },
	.domain = "guest",
	.nvm = nvm,
	.nvm_len = sizeof(nvm),
};

static uint8_t *packed;
static size_t len;

static void
set_up(void)
{
	for (size_t i = 0; i < sizeof(nvm); i++)
		nvm[i] = (uint8_t)(i * 7);
	ck_assert_int_eq(envelope_compose(&sent, &session, &packed, &len), 0);
}

static void
tear_down(void)
{
	free(packed);
}

/* What becomes of an envelope: the error of whichever step refuses it. */
static int
take(const uint8_t *data, size_t data_len, const uint8_t *key)
{
	struct envelope got;
	int error = envelope_read_head(&got, data, data_len);

	if (error < 0)
		return error;
	error = envelope_open(&got, key);
	ck_assert(error == 0 || !got.nvm);
	envelope_wipe(&got);
	return error;
}

START_TEST(what_is_packed_arrives)
{
	struct envelope got;

	ck_assert_int_eq(envelope_read_head(&got, packed, len), 0);
	ck_assert_mem_eq(got.entry.uuid, sent.entry.uuid, sizeof(got.entry.uuid));
	ck_assert_uint_eq(got.entry.fence, sent.entry.fence);
	ck_assert_uint_eq(got.session_key.left, session.sealed_len);
	ck_assert_mem_eq(got.session_key.pos, session.sealed, session.sealed_len);
	ck_assert_int_eq(envelope_open(&got, session.key), 0);
	ck_assert_uint_eq(got.entry.domain_type, VTPM_DOMAIN_HVM);
	ck_assert_uint_eq(got.entry.flags, STORE_FLAG_SUSPENDED | STORE_FLAG_RESUMES);
	ck_assert_uint_eq(got.entry.host_pcrs, 0x85);
	ck_assert_uint_eq(got.entry.created, 77);
	ck_assert_uint_eq(got.entry.generation, 88);
	ck_assert_mem_eq(got.entry.measurement, sent.entry.measurement, STORE_DIGEST_SIZE);
	ck_assert_mem_eq(got.entry.activation, sent.entry.activation, STORE_DIGEST_SIZE);
	ck_assert_str_eq(got.domain, "guest");
	ck_assert_uint_eq(got.nvm_len, sizeof(nvm));
	ck_assert_mem_eq(got.nvm, nvm, sizeof(nvm));
	envelope_wipe(&got);
}
END_TEST

START_TEST(one_without_state_arrives)
{
	struct envelope empty = sent;

	empty.nvm = NULL;
	empty.nvm_len = 0;
	free(packed);
	ck_assert_int_eq(envelope_compose(&empty, &session, &packed, &len), 0);
	ck_assert_int_eq(take(packed, len, session.key), 0);
}
END_TEST

START_TEST(one_with_any_byte_changed_is_refused)
{
	for (size_t at = 0; at < len; at++) {
		packed[at] ^= 1;
		int error = take(packed, len, session.key);
		ck_assert_msg(error == (at < 4 ? -EPROTONOSUPPORT : -EBADMSG) ||
				  (at == 3 && error == -EBADMSG),
			      "byte %zu: %d", at, error);
		packed[at] ^= 1;
	}
	ck_assert_int_eq(take(packed, len, session.key), 0);
}
END_TEST

START_TEST(one_that_was_cut_or_lengthened_is_refused)
{
	for (size_t cut = 0; cut < len; cut++)
		ck_assert_int_eq(take(packed, cut, session.key), -EBADMSG);
	packed = realloc(packed, len + 1);
	packed[len] = 0;
	ck_assert_int_eq(take(packed, len + 1, session.key), -EBADMSG);
}
END_TEST

START_TEST(one_from_a_later_version_is_refused_as_such)
{
	packed[3] = VTPM_MIGRATION_VERSION + 1;
	ck_assert_int_eq(take(packed, len, session.key), -EPROTONOSUPPORT);
}
END_TEST

START_TEST(another_key_opens_nothing)
{
	const uint8_t other[CRYPT_KEY_SIZE] = "thirty-two bytes of another key";

	ck_assert_int_eq(take(packed, len, other), -EBADMSG);
}
END_TEST

START_TEST(nothing_but_uuid_fence_and_key_can_be_read)
{
	uint8_t *again;
	size_t again_len;

	ck_assert_ptr_null(memmem(packed, len, "guest", 5));
	ck_assert_ptr_null(memmem(packed, len, nvm, 16));
	/* Nor can be told whether the state is the same. */
	ck_assert_int_eq(envelope_compose(&sent, &session, &again, &again_len), 0);
	ck_assert_uint_eq(again_len, len);
	size_t head = VTPM_ENVELOPE_HEAD_SIZE + 4 + session.sealed_len;
	ck_assert_mem_eq(again, packed, head);
	for (size_t at = head; at + 16 <= len; at += 16)
		ck_assert_mem_ne(again + at, packed + at, 16);
	free(again);
}
END_TEST

START_TEST(a_state_too_long_for_a_message_is_not_packed)
{
	struct envelope large = sent;
	uint8_t *none;

	large.nvm = calloc(1, STORE_NVM_MAX);
	large.nvm_len = STORE_NVM_MAX;
	ck_assert_int_eq(envelope_compose(&large, &session, &none, &len), -EMSGSIZE);
	ck_assert_ptr_null(none);
	free(large.nvm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		what_is_packed_arrives,
		one_without_state_arrives,
		one_with_any_byte_changed_is_refused,
		one_that_was_cut_or_lengthened_is_refused,
		one_from_a_later_version_is_refused_as_such,
		another_key_opens_nothing,
		nothing_but_uuid_fence_and_key_can_be_read,
		a_state_too_long_for_a_message_is_not_packed,
		NULL,
	};

	return suite_run("envelope", tests, set_up, tear_down);
}
