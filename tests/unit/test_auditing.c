#include "tests/unit/support.h"

static const uint8_t zeros[TPM_DIGEST_SIZE];

/* The answer to TPM_GetAuditDigest. */
struct audit {
	uint8_t counter[10]; /* TPM_COUNTER_VALUE */
	uint8_t digest[TPM_DIGEST_SIZE];
	struct blob ordinals;
};

static struct audit
get_audit(struct tpm *tpm, uint32_t startOrdinal)
{
	struct audit a = { 0 };
	struct call c;

	call_begin(&c, tpm, TPM_ORD_GetAuditDigest);
	writer_u32(&c.params, startOrdinal);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	ck_assert_uint_eq(bench.changed, 0);
	reader_bytes(&c.out, a.counter, sizeof(a.counter));
	reader_bytes(&c.out, a.digest, sizeof(a.digest));
	ck_assert_uint_eq(reader_u8(&c.out), 0); /* more */
	struct reader list = reader_sized(&c.out);
	ck_assert(reader_done(&c.out));
	a.ordinals.len = list.left;
	reader_bytes(&list, a.ordinals.data, list.left);
	return a;
}

static uint32_t
count_of(const struct audit *a)
{
	struct reader r = reader_of(a->counter, sizeof(a->counter));

	ck_assert_uint_eq(reader_u16(&r), TPM_TAG_COUNTER_VALUE);
	ck_assert_uint_eq(reader_u32(&r), 0); /* label */
	return reader_u32(&r);
}

static bool
lists(const struct audit *a, uint32_t ordinal)
{
	struct reader r = reader_of(a->ordinals.data, a->ordinals.len);
	uint32_t last = 0;
	bool found = false;

	while (r.left > 0) {
		uint32_t listed = reader_u32(&r);

		ck_assert_uint_lt(last, listed);
		last = listed;
		found |= listed == ordinal;
	}
	return found;
}

static TPM_RESULT
set_status(struct tpm *tpm, const uint8_t *auth, uint32_t ordinal, uint8_t on)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_SetOrdinalAuditStatus, auth);
	writer_u32(&c.params, ordinal);
	writer_u8(&c.params, on);
	return call_run(&c);
}

/* digest = SHA1(digest || tag || digest of parameters || counter) */
static void
extend(uint8_t *digest, uint16_t tag, const struct writer *params, const struct audit *a)
{
	uint8_t event[128];
	struct writer w = writer_of(event, sizeof(event));

	writer_bytes(&w, digest, TPM_DIGEST_SIZE);
	writer_u16(&w, tag);
	reference_sha1(writer_reserve(&w, TPM_DIGEST_SIZE), params->buf, params->len);
	writer_bytes(&w, a->counter, sizeof(a->counter));
	reference_sha1(digest, event, w.len);
}

/* That a command whose digests are of these parameters was audited in between. */
static void
assert_audited(const struct audit *before, const struct audit *after, const struct writer *in,
	       const struct writer *out)
{
	uint8_t expected[TPM_DIGEST_SIZE];

	memcpy(expected, before->digest, sizeof(expected));
	extend(expected, TPM_TAG_AUDIT_EVENT_IN, in, after);
	extend(expected, TPM_TAG_AUDIT_EVENT_OUT, out, after);
	ck_assert_mem_eq(after->digest, expected, sizeof(expected));
}

START_TEST(an_audited_command_extends_the_digest)
{
	struct tpm *tpm = test_owned_tpm();
	uint8_t in[16], out[64];
	struct writer in_w = writer_of(in, sizeof(in)), out_w = writer_of(out, sizeof(out));
	struct call c;

	ck_assert_uint_eq(set_status(tpm, owner_auth, TPM_ORD_GetRandom, 1), TPM_SUCCESS);
	ck_assert(bench.changed & TPM_CHANGED_PERMANENT);
	struct audit before = get_audit(tpm, 0);
	ck_assert(lists(&before, TPM_ORD_GetRandom));
	call_begin(&c, tpm, TPM_ORD_GetRandom);
	writer_u32(&c.params, 16);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	struct audit after = get_audit(tpm, 0);
	ck_assert_uint_eq(count_of(&after), count_of(&before));

	writer_u32(&in_w, TPM_ORD_GetRandom);
	writer_u32(&in_w, 16);
	writer_u32(&out_w, TPM_SUCCESS);
	writer_u32(&out_w, TPM_ORD_GetRandom);
	writer_bytes(&out_w, c.out.pos, c.out.left);
	assert_audited(&before, &after, &in_w, &out_w);

	ck_assert_uint_eq(set_status(tpm, owner_auth, TPM_ORD_GetRandom, 0), TPM_SUCCESS);
	before = get_audit(tpm, 0);
	ck_assert(!lists(&before, TPM_ORD_GetRandom));
	ck_assert_uint_eq(test_plain_u32(tpm, TPM_ORD_GetRandom, 16), TPM_SUCCESS);
	after = get_audit(tpm, 0);
	ck_assert_mem_eq(after.digest, before.digest, TPM_DIGEST_SIZE);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_audit_covers_what_an_authorization_would)
{
	struct tpm *tpm = test_owned_tpm();
	struct test_session s;
	struct audit before, after;
	uint8_t in[sizeof(struct blob)], out[16];
	struct writer in_w = writer_of(in, sizeof(in)), out_w = writer_of(out, sizeof(out));
	struct blob key;
	struct call c;

	ck_assert_uint_eq(set_status(tpm, owner_auth, TPM_ORD_OIAP, 1), TPM_SUCCESS);
	ck_assert_uint_eq(set_status(tpm, owner_auth, TPM_ORD_LoadKey, 1), TPM_SUCCESS);
	ck_assert_uint_eq(test_create_key(tpm, &test_signing_key, &key), TPM_SUCCESS);

	/* nothing of TPM_OIAP ... */
	before = get_audit(tpm, 0);
	call_begin_oiap(&c, &s, tpm, TPM_ORD_LoadKey, srk_auth);
	after = get_audit(tpm, 0);
	writer_u32(&in_w, TPM_ORD_OIAP);
	writer_u32(&out_w, TPM_SUCCESS);
	writer_u32(&out_w, TPM_ORD_OIAP);
	assert_audited(&before, &after, &in_w, &out_w);

	/* ... and of TPM_LoadKey the handle too */
	before = after;
	call_handle(&c, TPM_KH_SRK);
	writer_bytes(&c.params, key.data, key.len);
	ck_assert_uint_eq(call_run(&c), TPM_SUCCESS);
	after = get_audit(tpm, 0);
	in_w.len = out_w.len = 0;
	writer_u32(&in_w, TPM_ORD_LoadKey);
	writer_bytes(&in_w, key.data, key.len);
	writer_u32(&out_w, TPM_SUCCESS);
	writer_u32(&out_w, TPM_ORD_LoadKey);
	writer_u32(&out_w, c.handle);
	assert_audited(&before, &after, &in_w, &out_w);
	tpm_free(tpm);
}
END_TEST

START_TEST(each_boot_audits_anew)
{
	struct tpm *tpm = test_owned_tpm();

	test_reboot(tpm);
	struct audit fresh = get_audit(tpm, 0);
	ck_assert_mem_eq(fresh.digest, zeros, sizeof(zeros));
	ck_assert_uint_eq(set_status(tpm, owner_auth, TPM_ORD_PcrRead, 1), TPM_SUCCESS);
	struct audit audited = get_audit(tpm, 0);
	ck_assert_uint_eq(count_of(&audited), count_of(&fresh) + 1);
	test_reboot(tpm);
	struct audit rebooted = get_audit(tpm, 0);
	ck_assert_mem_eq(rebooted.digest, zeros, sizeof(zeros));
	ck_assert_uint_eq(count_of(&rebooted), count_of(&audited));
	ck_assert(lists(&rebooted, TPM_ORD_PcrRead));
	tpm_free(tpm);
}
END_TEST

START_TEST(no_event_is_undone_by_saved_state)
{
	struct tpm *tpm = test_owned_tpm();

	for (uint8_t audited = 0; audited < 2; audited++) {
		ck_assert_uint_eq(set_status(tpm, owner_auth, TPM_ORD_GetTicks, audited),
				  TPM_SUCCESS);
		ck_assert_uint_eq(test_plain(tpm, TPM_ORD_SaveState), TPM_SUCCESS);
		ck_assert_uint_eq(test_plain(tpm, TPM_ORD_GetTicks), TPM_SUCCESS);
		ck_assert_uint_eq(bench.changed & TPM_CHANGED_SAVED,
				  audited ? TPM_CHANGED_SAVED : 0);
		tpm_init(tpm);
		ck_assert_uint_eq(test_startup(tpm, TPM_ST_STATE),
				  audited ? TPM_FAILEDSELFTEST : TPM_SUCCESS);
	}
	tpm_free(tpm);
}
END_TEST

START_TEST(some_commands_are_audited_from_the_factory)
{
	static const uint32_t audited[] = { TPM_ORD_TakeOwnership, TPM_ORD_OwnerClear,
					    TPM_ORD_PhysicalEnable, TPM_ORD_SetOrdinalAuditStatus };
	struct tpm *tpm = test_blank_tpm();
	struct audit all = get_audit(tpm, 0), rest = get_audit(tpm, TPM_ORD_OwnerClear + 1);

	for (size_t i = 0; i < sizeof(audited) / sizeof(audited[0]); i++)
		ck_assert(lists(&all, audited[i]));
	ck_assert(!lists(&all, TPM_ORD_PcrRead));
	ck_assert(!lists(&rest, TPM_ORD_TakeOwnership));
	ck_assert(!lists(&rest, TPM_ORD_OwnerClear));
	ck_assert(lists(&rest, TPM_ORD_PhysicalEnable));
	ck_assert_uint_eq(get_audit(tpm, 0x40000010).ordinals.len, 0);
	tpm_free(tpm);
}
END_TEST

START_TEST(clearing_restores_what_is_audited_and_begins_a_new_record)
{
	struct tpm *tpm = test_owned_tpm();

	ck_assert_uint_eq(set_status(tpm, owner_auth, TPM_ORD_PcrRead, 1), TPM_SUCCESS);
	ck_assert_uint_eq(set_status(tpm, owner_auth, TPM_ORD_TakeOwnership, 0), TPM_SUCCESS);
	struct audit before = get_audit(tpm, 0);
	tpm_clear(tpm);
	struct audit after = get_audit(tpm, 0);
	ck_assert(!lists(&after, TPM_ORD_PcrRead));
	ck_assert(lists(&after, TPM_ORD_TakeOwnership));
	ck_assert_mem_ne(before.digest, zeros, sizeof(zeros));
	ck_assert_mem_eq(after.digest, zeros, sizeof(zeros));
	ck_assert_uint_eq(test_take_ownership(tpm, &test_srk_key), TPM_SUCCESS);
	after = get_audit(tpm, 0);
	ck_assert_uint_eq(count_of(&after), count_of(&before) + 1);
	tpm_free(tpm);
}
END_TEST

START_TEST(the_tsc_commands_can_be_audited)
{
	struct tpm *tpm = test_owned_tpm();

	ck_assert_uint_eq(set_status(tpm, owner_auth, TSC_ORD_PhysicalPresence, 1), TPM_SUCCESS);
	struct audit a = get_audit(tpm, 0);
	ck_assert(lists(&a, TSC_ORD_PhysicalPresence));
	ck_assert(!lists(&a, TPM_ORD_OIAP));
	tpm_free(tpm);
}
END_TEST

START_TEST(what_cannot_be_audited_is_refused)
{
	static const uint32_t never[] = { TPM_ORD_GetAuditDigest,
					  TPM_ORD_GetAuditDigestSigned,
					  0,
					  0xff,
					  0x12345,
					  0x4000ffff,
					  UINT32_MAX };
	struct tpm *tpm = test_owned_tpm();

	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		ck_assert_uint_eq(set_status(tpm, owner_auth, never[i], 1), TPM_BADINDEX);
	ck_assert_uint_eq(set_status(tpm, wrong_auth, TPM_ORD_PcrRead, 1), TPM_AUTHFAIL);
	ck_assert_uint_eq(set_status(tpm, owner_auth, TPM_ORD_PcrRead, 2), TPM_BAD_PARAMETER);
	tpm_free(tpm);
}
END_TEST

/* TPM_GetAuditDigestSigned; the response's parameters are left in c->out. */
static TPM_RESULT
get_signed(struct call *c, struct tpm *tpm, uint32_t key, bool closeAudit)
{
	static struct test_session s;

	call_begin_oiap(c, &s, tpm, TPM_ORD_GetAuditDigestSigned, key_auth);
	call_handle(c, key);
	writer_u8(&c->params, closeAudit);
	writer_bytes(&c->params, data_auth, TPM_DIGEST_SIZE); /* antiReplay */
	return call_run(c);
}

START_TEST(the_digest_is_signed_with_counter_and_ordinals)
{
	struct tpm *tpm = test_owned_tpm();
	uint8_t info[128], digest[TPM_DIGEST_SIZE];
	struct writer w = writer_of(info, sizeof(info));
	struct blob key;
	struct call c;

	uint32_t handle = test_make_key(tpm, &test_signing_key, &key);
	struct audit a = get_audit(tpm, 0);
	ck_assert_uint_eq(get_signed(&c, tpm, handle, false), TPM_SUCCESS);
	const uint8_t *counter = reader_view(&c.out, sizeof(a.counter));
	const uint8_t *audit_digest = reader_view(&c.out, TPM_DIGEST_SIZE);
	const uint8_t *ordinal_digest = reader_view(&c.out, TPM_DIGEST_SIZE);
	struct reader signature = reader_sized(&c.out);
	ck_assert(reader_done(&c.out));
	ck_assert_mem_eq(counter, a.counter, sizeof(a.counter));
	ck_assert_mem_eq(audit_digest, a.digest, TPM_DIGEST_SIZE);
	reference_sha1(digest, a.ordinals.data, a.ordinals.len);
	ck_assert_mem_eq(ordinal_digest, digest, TPM_DIGEST_SIZE);

	writer_u16(&w, TPM_TAG_SIGNINFO);
	writer_bytes(&w, "ADIG", 4);
	writer_bytes(&w, data_auth, TPM_DIGEST_SIZE);
	writer_u32(&w, sizeof(a.counter) + 2 * TPM_DIGEST_SIZE);
	writer_bytes(&w, audit_digest, TPM_DIGEST_SIZE);
	writer_bytes(&w, counter, sizeof(a.counter));
	writer_bytes(&w, ordinal_digest, TPM_DIGEST_SIZE);
	reference_sha1(digest, info, w.len);
	EVP_PKEY *public = test_key_public(&key);
	ck_assert(reference_verify_sha1(public, signature.pos, signature.left, digest));
	EVP_PKEY_free(public);
	tpm_free(tpm);
}
END_TEST

START_TEST(only_an_identity_closes_the_audit)
{
	struct tpm *tpm = test_owned_tpm();
	struct key_template der = test_signing_key;
	struct call c;

	der.sigScheme = TPM_SS_RSASSAPKCS1v15_DER;
	ck_assert_uint_eq(get_signed(&c, tpm, test_make_key(tpm, &test_signing_key, NULL), true),
			  TPM_INVALID_KEYUSAGE);
	ck_assert_uint_eq(get_signed(&c, tpm, test_make_key(tpm, &test_bind_key, NULL), false),
			  TPM_INVALID_KEYUSAGE);
	ck_assert_uint_eq(get_signed(&c, tpm, test_make_key(tpm, &der, NULL), false),
			  TPM_INAPPROPRIATE_SIG);
	tpm_free(tpm);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		an_audited_command_extends_the_digest,
		the_audit_covers_what_an_authorization_would,
		each_boot_audits_anew,
		no_event_is_undone_by_saved_state,
		some_commands_are_audited_from_the_factory,
		clearing_restores_what_is_audited_and_begins_a_new_record,
		the_tsc_commands_can_be_audited,
		what_cannot_be_audited_is_refused,
		the_digest_is_signed_with_counter_and_ordinals,
		only_an_identity_closes_the_audit,
		NULL,
	};

	return test_suite("auditing", tests);
}
