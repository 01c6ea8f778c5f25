#include "tests/unit/support.h"

void
write_nv_public(struct writer *w, uint32_t index, uint32_t attributes, uint32_t size)
{
	static const uint8_t no_digest[TPM_DIGEST_SIZE];

	writer_u16(w, TPM_TAG_NV_DATA_PUBLIC);
	writer_u32(w, index);
	for (unsigned i = 0; i < 2; i++) { /* pcrInfoRead, pcrInfoWrite */
		write_pcr_selection(w, 0);
		writer_u8(w, 0x1f); /* every locality */
		writer_bytes(w, no_digest, sizeof(no_digest));
	}
	writer_u16(w, TPM_TAG_NV_ATTRIBUTES);
	writer_u32(w, attributes);
	writer_bytes(w, "\0\0\0", 3); /* bReadSTClear, bWriteSTClear, bWriteDefine */
	writer_u32(w, size);
}

TPM_RESULT
test_nv_define(struct tpm *tpm, const uint8_t *owner, uint32_t index, uint32_t attributes,
	       uint32_t size)
{
	uint8_t encrypted[TPM_DIGEST_SIZE];
	struct test_session s;
	struct call c;

	call_begin(&c, tpm, TPM_ORD_NV_DefineSpace);
	write_nv_public(&c.params, index, attributes, size);
	memcpy(encrypted, nv_auth, sizeof(encrypted));
	if (owner) {
		ck_assert_uint_eq(test_osap(tpm, &s, TPM_ET_OWNER, TPM_KH_OWNER, owner),
				  TPM_SUCCESS);
		test_encrypt_auth(&s, false, nv_auth, encrypted);
		call_session(&c, &s);
	}
	writer_bytes(&c.params, encrypted, sizeof(encrypted));
	return call_run(&c);
}

void
test_nv_lock(struct tpm *tpm)
{
	ck_assert_uint_eq(test_nv_define(tpm, NULL, TPM_NV_INDEX_LOCK, 0, 0), TPM_SUCCESS);
}

/* Index and offset, and a session of the entity with this AuthData unless it is NULL. */
static void
nv_begin(struct call *c, struct test_session *s, struct tpm *tpm, uint32_t ordinal,
	 const uint8_t *auth, uint32_t index, uint32_t offset)
{
	call_begin_oiap(c, s, tpm, ordinal, auth);
	writer_u32(&c->params, index);
	writer_u32(&c->params, offset);
}

TPM_RESULT
test_nv_write(struct tpm *tpm, const uint8_t *owner, uint32_t index, uint32_t offset,
	      const void *data, size_t len)
{
	struct test_session s;
	struct call c;

	nv_begin(&c, &s, tpm, TPM_ORD_NV_WriteValue, owner, index, offset);
	writer_sized(&c.params, data, len);
	return call_run(&c);
}

TPM_RESULT
test_nv_write_auth(struct tpm *tpm, const uint8_t *auth, uint32_t index, uint32_t offset,
		   const void *data, size_t len)
{
	struct test_session s;
	struct call c;

	nv_begin(&c, &s, tpm, TPM_ORD_NV_WriteValueAuth, auth, index, offset);
	writer_sized(&c.params, data, len);
	return call_run(&c);
}

TPM_RESULT
test_nv_read(struct tpm *tpm, const uint8_t *owner, uint32_t index, uint32_t offset, uint32_t len,
	     struct blob *data)
{
	struct test_session s;
	struct call c;

	nv_begin(&c, &s, tpm, TPM_ORD_NV_ReadValue, owner, index, offset);
	writer_u32(&c.params, len);
	return call_run_into(&c, data);
}

TPM_RESULT
test_nv_read_auth(struct tpm *tpm, const uint8_t *auth, uint32_t index, uint32_t offset,
		  uint32_t len, struct blob *data)
{
	struct test_session s;
	struct call c;

	nv_begin(&c, &s, tpm, TPM_ORD_NV_ReadValueAuth, auth, index, offset);
	writer_u32(&c.params, len);
	return call_run_into(&c, data);
}
