#include "tests/unit/delegation_client.h"

void
write_delegate_public(struct writer *w, const struct wish *wish)
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

TPM_RESULT
delegation_manage(struct tpm *tpm, const uint8_t *owner, uint32_t family, uint32_t operation,
		  const char *data, size_t len, uint32_t *id)
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

TPM_RESULT
delegation_enable(struct tpm *tpm, uint32_t family, bool enabled)
{
	return delegation_manage(tpm, owner_auth, family, TPM_FAMILY_ENABLE, enabled ? "\1" : "\0",
				 1, NULL);
}

uint32_t
delegation_family(struct tpm *tpm)
{
	uint32_t id;

	ck_assert_uint_eq(delegation_manage(tpm, owner_auth, 0, TPM_FAMILY_CREATE, "F", 1, &id),
			  TPM_SUCCESS);
	ck_assert_uint_eq(delegation_enable(tpm, id, true), TPM_SUCCESS);
	return id;
}

TPM_RESULT
delegate_owner(struct tpm *tpm, const struct wish *wish, bool increment, struct blob *blob)
{
	struct test_session s;
	struct call c;

	ck_assert_uint_eq(test_osap(tpm, &s, TPM_ET_OWNER, TPM_KH_OWNER, owner_auth), TPM_SUCCESS);
	call_begin(&c, tpm, TPM_ORD_Delegate_CreateOwnerDelegation);
	writer_u8(&c.params, increment);
	write_delegate_public(&c.params, wish);
	call_session(&c, &s);
	call_new_auth(&c, false, delegate_auth);
	return call_run_into(&c, blob);
}

TPM_RESULT
delegate_key(struct tpm *tpm, uint32_t key, const struct wish *wish, struct blob *blob)
{
	struct test_session s;
	struct call c;

	call_begin_osap(&c, &s, tpm, TPM_ORD_Delegate_CreateKeyDelegation, key, key_auth);
	write_delegate_public(&c.params, wish);
	call_new_auth(&c, false, delegate_auth);
	return call_run_into(&c, blob);
}

TPM_RESULT
delegation_dsap(struct tpm *tpm, struct test_session *s, uint16_t type, uint32_t key,
		const void *value, size_t len)
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

TPM_RESULT
delegation_dsap_owner(struct tpm *tpm, struct test_session *s, const struct blob *blob)
{
	return delegation_dsap(tpm, s, TPM_ET_DEL_OWNER_BLOB, 0, blob->data, blob->len);
}

TPM_RESULT
delegation_act(struct tpm *tpm, const struct blob *blob, uint32_t ordinal)
{
	struct test_session s;
	struct call c;
	TPM_RESULT rc = delegation_dsap_owner(tpm, &s, blob);

	if (rc)
		return rc;
	call_begin(&c, tpm, ordinal);
	call_session(&c, &s);
	return call_run(&c);
}

TPM_RESULT
delegation_sized_command(struct tpm *tpm, uint32_t ordinal, const uint8_t *owner,
			 const struct blob *in, struct blob *out)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, ordinal, owner);
	writer_sized(&c.params, in->data, in->len);
	return out ? call_run_into(&c, out) : call_run(&c);
}

TPM_RESULT
delegation_verify(struct tpm *tpm, const struct blob *blob)
{
	return delegation_sized_command(tpm, TPM_ORD_Delegate_VerifyDelegation, NULL, blob, NULL);
}

TPM_RESULT
delegation_load(struct tpm *tpm, const uint8_t *owner, uint32_t row, const struct blob *blob)
{
	struct test_session s;
	struct call c;

	call_begin_oiap(&c, &s, tpm, TPM_ORD_Delegate_LoadOwnerDelegation, owner);
	writer_u32(&c.params, row);
	writer_sized(&c.params, blob->data, blob->len);
	return call_run(&c);
}

void
delegation_tables(struct tpm *tpm, struct blob *families, struct blob *rows)
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

struct wish
wish_to_read_pubek(struct tpm *tpm)
{
	return (struct wish) {
		.permissions = TPM_DELEGATE_OwnerReadPubek,
		.family = delegation_family(tpm),
		.count = 1,
	};
}
