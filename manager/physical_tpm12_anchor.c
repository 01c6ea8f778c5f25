#include "manager/physical_tpm_anchor.h"

#include <errno.h>

#include "manager/tpm12_client.h"

enum {
	ANCHOR_SIZE = 8,
	ANCHOR_INDEX = 0x00567450, /* of the range that the owner may use freely */
	ANCHOR_INDEXES = 64,
};

static const uint8_t no_pcrs[PHYSICAL_TPM_PCRS / 8];
static const uint8_t no_secret[TPM_DIGEST_SIZE];

/* A first NV index of ours that is not in use. */
static int
free_index(struct chip *chip, uint32_t *index)
{
	struct tpm12_call call;

	tpm12_begin(&call, TPM_ORD_GetCapability);
	writer_u32(&call.in, TPM_CAP_NV_LIST);
	writer_u32(&call.in, 0);
	int error = tpm12_send(chip, &call);
	if (error < 0)
		return error;
	uint64_t used = 0;
	struct reader r = reader_sized(&call.out);
	while (!r.failed && r.left > 0) {
		uint32_t taken = reader_u32(&r) - ANCHOR_INDEX;

		if (taken < ANCHOR_INDEXES)
			used |= 1ull << taken;
	}
	if (used == UINT64_MAX)
		return physical_tpm_fail(-ENOSPC, "the physical TPM's NV storage is full");
	*index = ANCHOR_INDEX + (uint32_t)__builtin_ctzll(~used);
	return 0;
}

/* TPM_PCR_INFO_SHORT that asks for nothing [Part 2, 8.5]. */
static void
write_no_pcr_info(struct writer *w)
{
	writer_u16(w, sizeof(no_pcrs));
	writer_bytes(w, no_pcrs, sizeof(no_pcrs));
	writer_u8(w, TPM_LOC_ZERO | TPM_LOC_ONE | TPM_LOC_TWO | TPM_LOC_THREE | TPM_LOC_FOUR);
	writer_bytes(w, no_secret, TPM_DIGEST_SIZE);
}

/* TPM_NV_DefineSpace: size 0 undefines [Part 3, 20.1]. */
static int
nv_define(struct chip *chip, const uint8_t *owner_auth, const uint8_t *auth, uint32_t index,
	  uint32_t size)
{
	struct tpm12_session session;
	struct tpm12_call call;
	uint8_t hidden[TPM_DIGEST_SIZE];

	if (!owner_auth)
		return physical_tpm_fail(-EACCES, "the owner's secret of the physical TPM is not "
						  "known; give it with --tpm-owner-auth-file");
	int error = tpm12_osap(chip, &session, TPM_ET_OWNER, TPM_KH_OWNER, owner_auth);
	if (error < 0)
		return error;
	tpm12_begin(&call, TPM_ORD_NV_DefineSpace);
	call.sessions[call.session_count++] = &session;
	writer_u16(&call.in, TPM_TAG_NV_DATA_PUBLIC);
	writer_u32(&call.in, index);
	write_no_pcr_info(&call.in);
	write_no_pcr_info(&call.in);
	writer_u16(&call.in, TPM_TAG_NV_ATTRIBUTES);
	writer_u32(&call.in, TPM_NV_PER_AUTHREAD | TPM_NV_PER_AUTHWRITE);
	writer_u8(&call.in, 0); /* bReadSTClear, bWriteSTClear, bWriteDefine */
	writer_u8(&call.in, 0);
	writer_u8(&call.in, 0);
	writer_u32(&call.in, size);
	tpm12_encrypt_auth(&session, auth, hidden);
	writer_bytes(&call.in, hidden, sizeof(hidden));
	return tpm12_send(chip, &call);
}

static int
nv_write(struct chip *chip, const uint8_t *auth, uint32_t index, uint64_t value)
{
	struct tpm12_session session;
	struct tpm12_call call;
	int error = tpm12_oiap(chip, &session, auth);

	if (error < 0)
		return error;
	tpm12_begin(&call, TPM_ORD_NV_WriteValueAuth);
	call.sessions[call.session_count++] = &session;
	writer_u32(&call.in, index);
	writer_u32(&call.in, 0); /* offset */
	writer_u32(&call.in, ANCHOR_SIZE);
	writer_u64(&call.in, value);
	return tpm12_send(chip, &call);
}

int
tpm12_anchor_define(struct chip *chip, const uint8_t *owner_auth, const uint8_t *auth,
		    uint32_t *index)
{
	int error = free_index(chip, index);

	if (error == 0)
		error = nv_define(chip, owner_auth, auth, *index, ANCHOR_SIZE);
	return error < 0 ? error : nv_write(chip, auth, *index, 1);
}

int
tpm12_anchor_undefine(struct chip *chip, const uint8_t *owner_auth, uint32_t index)
{
	return nv_define(chip, owner_auth, no_secret, index, 0);
}

int
tpm12_anchor_read(struct chip *chip, const uint8_t *auth, uint32_t index, uint64_t *value)
{
	struct tpm12_session session;
	struct tpm12_call call;
	int error = tpm12_oiap(chip, &session, auth);

	if (error < 0)
		return error;
	tpm12_begin(&call, TPM_ORD_NV_ReadValueAuth);
	call.sessions[call.session_count++] = &session;
	writer_u32(&call.in, index);
	writer_u32(&call.in, 0); /* offset */
	writer_u32(&call.in, ANCHOR_SIZE);
	error = tpm12_send(chip, &call);
	if (error < 0)
		return error;
	struct reader r = reader_sized(&call.out);
	*value = reader_u64(&r);
	return r.failed ? -EPROTO : tpm12_finish(&call);
}

int
tpm12_anchor_increment(struct chip *chip, const uint8_t *auth, uint32_t index, uint64_t *value)
{
	int error = tpm12_anchor_read(chip, auth, index, value);

	return error < 0 ? error : nv_write(chip, auth, index, ++*value);
}
