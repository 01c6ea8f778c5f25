#include "manager/physical_tpm_anchor.h"

#include <errno.h>

#include <tss2/tss2_mu.h>

#include "manager/tpm20_client.h"

enum {
	ANCHOR_INDEX = 0x01817450, /* of the range that the owner may use freely */
	ANCHOR_INDEXES = 64,
	ANCHOR_SIZE = 8,
};

/* A first NV index of ours that is not in use. */
static int
free_index(struct tpm20 *tpm, uint32_t *index)
{
	TPMS_CAPABILITY_DATA *capability = NULL;
	uint64_t used = 0;
	int error = tpm20_check(tpm,
				Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE,
						   ESYS_TR_NONE, TPM2_CAP_HANDLES, ANCHOR_INDEX,
						   ANCHOR_INDEXES, NULL, &capability),
				"TPM2_GetCapability");

	for (uint32_t i = 0; error == 0 && i < capability->data.handles.count; i++) {
		uint32_t taken = capability->data.handles.handle[i] - ANCHOR_INDEX;

		if (taken < ANCHOR_INDEXES)
			used |= 1ull << taken;
	}
	if (error == 0 && used == UINT64_MAX)
		error = physical_tpm_fail(-ENOSPC, "the physical TPM's NV storage is full");
	if (error == 0)
		*index = ANCHOR_INDEX + (uint32_t)__builtin_ctzll(~used);
	Esys_Free(capability);
	return error;
}

/* The anchor's index as an object of ESAPI; with its secret, unless auth is NULL. */
static int
anchor_object(struct tpm20 *tpm, const uint8_t *auth, uint32_t index, ESYS_TR *anchor)
{
	int error = tpm20_check(tpm,
				Esys_TR_FromTPMPublic(tpm->esys, index, ESYS_TR_NONE, ESYS_TR_NONE,
						      ESYS_TR_NONE, anchor),
				"the anchor's index");

	if (error == 0 && auth) {
		TPM2B_AUTH value = tpm20_auth(auth);

		Esys_TR_SetAuth(tpm->esys, *anchor, &value);
	}
	return error;
}

static int
increment(struct tpm20 *tpm, ESYS_TR anchor)
{
	return tpm20_check(tpm,
			   Esys_NV_Increment(tpm->esys, anchor, anchor, ESYS_TR_PASSWORD,
					     ESYS_TR_NONE, ESYS_TR_NONE),
			   "TPM2_NV_Increment");
}

int
tpm20_anchor_define(struct chip *chip, const uint8_t *owner_auth, const uint8_t *auth,
		    uint32_t *index)
{
	struct tpm20 tpm;
	TPM2B_AUTH value = tpm20_auth(auth);
	ESYS_TR anchor = ESYS_TR_NONE;
	int error = tpm20_begin(&tpm, chip);

	(void)owner_auth;
	if (error == 0)
		error = free_index(&tpm, index);
	if (error == 0) {
		const TPM2B_NV_PUBLIC public = {
			.nvPublic = {
				.nvIndex = *index,
				.nameAlg = TPM2_ALG_SHA256,
				.attributes = (TPM2_NT_COUNTER << TPMA_NV_TPM2_NT_SHIFT) |
					      TPMA_NV_AUTHREAD | TPMA_NV_AUTHWRITE | TPMA_NV_NO_DA,
				.dataSize = ANCHOR_SIZE,
			},
		};

		error = tpm20_check(&tpm,
				    Esys_NV_DefineSpace(tpm.esys, ESYS_TR_RH_OWNER,
							ESYS_TR_PASSWORD, ESYS_TR_NONE,
							ESYS_TR_NONE, &value, &public, &anchor),
				    "TPM2_NV_DefineSpace");
	}
	/* A counter can be read once it has been incremented. */
	if (error == 0)
		error = increment(&tpm, anchor);
	tpm20_end(&tpm);
	return error;
}

int
tpm20_anchor_undefine(struct chip *chip, const uint8_t *owner_auth, uint32_t index)
{
	struct tpm20 tpm;
	ESYS_TR anchor;
	int error = tpm20_begin(&tpm, chip);

	(void)owner_auth;
	if (error == 0)
		error = anchor_object(&tpm, NULL, index, &anchor);
	if (error == 0)
		error =
		    tpm20_check(&tpm,
				Esys_NV_UndefineSpace(tpm.esys, ESYS_TR_RH_OWNER, anchor,
						      ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE),
				"TPM2_NV_UndefineSpace");
	tpm20_end(&tpm);
	return error;
}

/* Reads the counter, after having incremented it if that is wanted. */
static int
anchor_visit(struct chip *chip, const uint8_t *auth, uint32_t index, bool up, uint64_t *value)
{
	struct tpm20 tpm;
	TPM2B_MAX_NV_BUFFER *data = NULL;
	ESYS_TR anchor;
	size_t at = 0;
	int error = tpm20_begin(&tpm, chip);

	if (error == 0)
		error = anchor_object(&tpm, auth, index, &anchor);
	if (error == 0 && up)
		error = increment(&tpm, anchor);
	if (error == 0)
		error = tpm20_check(&tpm,
				    Esys_NV_Read(tpm.esys, anchor, anchor, ESYS_TR_PASSWORD,
						 ESYS_TR_NONE, ESYS_TR_NONE, ANCHOR_SIZE, 0, &data),
				    "TPM2_NV_Read");
	if (error == 0 && Tss2_MU_UINT64_Unmarshal(data->buffer, data->size, &at, value))
		error = physical_tpm_fail(-EPROTO, "the anchor's value is cut");
	Esys_Free(data);
	tpm20_end(&tpm);
	return error;
}

int
tpm20_anchor_read(struct chip *chip, const uint8_t *auth, uint32_t index, uint64_t *value)
{
	return anchor_visit(chip, auth, index, false, value);
}

int
tpm20_anchor_increment(struct chip *chip, const uint8_t *auth, uint32_t index, uint64_t *value)
{
	return anchor_visit(chip, auth, index, true, value);
}
