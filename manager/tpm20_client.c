#include "manager/tpm20_client.h"

#include <errno.h>
#include <string.h>

/* "VTPM" in ASCII and a version: what ESAPI wants to see in front of every TCTI. */
enum { TCTI_MAGIC = 0x5654504d };

static TSS2_RC
tcti_transmit(TSS2_TCTI_CONTEXT *context, size_t size, const uint8_t *command)
{
	struct tpm20_tcti *tcti = (struct tpm20_tcti *)context;

	if (tcti->error == 0)
		tcti->error =
		    chip_channel_exchange(tcti->channel, command, size, tcti->response, &tcti->len);
	return tcti->error == 0 ? TSS2_RC_SUCCESS : TSS2_TCTI_RC_IO_ERROR;
}

static TSS2_RC
tcti_receive(TSS2_TCTI_CONTEXT *context, size_t *size, uint8_t *response, int32_t timeout)
{
	struct tpm20_tcti *tcti = (struct tpm20_tcti *)context;
	size_t room = *size;

	(void)timeout;
	*size = tcti->len;
	if (!response)
		return TSS2_RC_SUCCESS;
	if (room < tcti->len)
		return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
	memcpy(response, tcti->response, tcti->len);
	return TSS2_RC_SUCCESS;
}

static TSS2_RC
tcti_cancel(TSS2_TCTI_CONTEXT *context)
{
	(void)context;
	return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static TSS2_RC
tcti_set_locality(TSS2_TCTI_CONTEXT *context, uint8_t locality)
{
	(void)context;
	return locality == 0 ? TSS2_RC_SUCCESS : TSS2_TCTI_RC_NOT_SUPPORTED;
}

static void
tcti_finalize(TSS2_TCTI_CONTEXT *context)
{
	(void)context;
}

/* What results mean; a TPM 2.0 adds to most of them which parameter or session it is about. */
static const struct {
	TSS2_RC rc;
	int error;
	const char *text;
} meanings[] = {
	{ TPM2_RC_AUTH_FAIL, -EACCES, "a secret is wrong" },
	{ TPM2_RC_BAD_AUTH, -EACCES, "the owner hierarchy has a secret, or another is wrong" },
	{ TPM2_RC_LOCKOUT, -EACCES, "it locked itself after wrong secrets; wait" },
	{ TPM2_RC_POLICY_FAIL, -ESTALE, "a PCR has changed since" },
	{ TPM2_RC_PCR_CHANGED, -ESTALE, "a PCR has just changed" },
	{ TPM2_RC_INTEGRITY, -EKEYREJECTED, "made by another TPM, or before this was cleared" },
	{ TPM2_RC_HANDLE, -ENOKEY, "there is no such index or key" },
	{ TPM2_RC_REFERENCE_H0, -ENOKEY, "there is no such key" },
	{ TPM2_RC_HIERARCHY, -EPERM, "the owner hierarchy is disabled" },
	{ TPM2_RC_DISABLED, -EPERM, "it is disabled" },
	{ TPM2_RC_NV_SPACE, -ENOSPC, "its NV storage is full" },
};

static TSS2_RC
without_position(TSS2_RC rc)
{
	return rc & TPM2_RC_FMT1 ? rc & (TPM2_RC_FMT1 | 0x3f) : rc;
}

int
tpm20_check(struct tpm20 *tpm, TSS2_RC rc, const char *what)
{
	if (rc == TSS2_RC_SUCCESS)
		return 0;
	if (tpm->tcti.error < 0)
		return tpm->tcti.error;
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		if ((rc & ~0xfffu) == 0 && without_position(rc) == meanings[i].rc)
			return physical_tpm_fail(meanings[i].error,
						 "the physical TPM refuses %s with 0x%x: %s", what,
						 rc, meanings[i].text);
	}
	return physical_tpm_fail(-EIO, "the physical TPM refuses %s with 0x%x", what, rc);
}

int
tpm20_begin(struct tpm20 *tpm, struct chip *chip)
{
	TSS2_ABI_VERSION abi = TSS2_ABI_VERSION_CURRENT;

	*tpm = (struct tpm20) {
		.tcti.channel = &chip->channel,
		.tcti.common = {
			.magic = TCTI_MAGIC,
			.version = 1,
			.transmit = tcti_transmit,
			.receive = tcti_receive,
			.finalize = tcti_finalize,
			.cancel = tcti_cancel,
			.setLocality = tcti_set_locality,
		},
		.parent = ESYS_TR_NONE,
		.session = ESYS_TR_NONE,
		.object = ESYS_TR_NONE,
	};
	if (Esys_Initialize(&tpm->esys, (TSS2_TCTI_CONTEXT *)&tpm->tcti, &abi) != TSS2_RC_SUCCESS)
		return physical_tpm_fail(-ENOMEM, "tpm2-tss cannot be used");
	/* A chip that went away may have come back unstarted; one that is started says so. */
	TSS2_RC rc = Esys_Startup(tpm->esys, TPM2_SU_CLEAR);
	return rc == TPM2_RC_INITIALIZE ? 0 : tpm20_check(tpm, rc, "TPM2_Startup");
}

static void
flush(struct tpm20 *tpm, ESYS_TR *object)
{
	if (*object != ESYS_TR_NONE)
		Esys_FlushContext(tpm->esys, *object);
	*object = ESYS_TR_NONE;
}

void
tpm20_end(struct tpm20 *tpm)
{
	if (!tpm->esys)
		return;
	flush(tpm, &tpm->object);
	flush(tpm, &tpm->session);
	if (tpm->parent_is_ours)
		flush(tpm, &tpm->parent);
	Esys_Finalize(&tpm->esys);
}

static const TPMT_SYM_DEF_OBJECT aes128_cfb = {
	.algorithm = TPM2_ALG_AES,
	.keyBits.aes = 128,
	.mode.aes = TPM2_ALG_CFB,
};

/* The usual templates of a storage root key. */
static TPM2B_PUBLIC
primary_template(TPMI_ALG_PUBLIC type)
{
	TPM2B_PUBLIC public = {
		.publicArea = {
			.type = type,
			.nameAlg = TPM2_ALG_SHA256,
			.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
					    TPMA_OBJECT_SENSITIVEDATAORIGIN |
					    TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA |
					    TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
		},
	};

	if (type == TPM2_ALG_ECC)
	public.publicArea.parameters.eccDetail = (TPMS_ECC_PARMS) {
		.symmetric = aes128_cfb,
		.scheme.scheme = TPM2_ALG_NULL,
		.curveID = TPM2_ECC_NIST_P256,
		.kdf.scheme = TPM2_ALG_NULL,
	};
	else public.publicArea.parameters.rsaDetail = (TPMS_RSA_PARMS) {
		.symmetric = aes128_cfb,
		.scheme.scheme = TPM2_ALG_NULL,
		.keyBits = 2048,
	};
	return public;
}

static TSS2_RC
create_primary(struct tpm20 *tpm, TPMI_ALG_PUBLIC type)
{
	const TPM2B_SENSITIVE_CREATE sensitive = { 0 };
	const TPM2B_DATA outside = { 0 };
	const TPML_PCR_SELECTION pcrs = { 0 };
	TPM2B_PUBLIC public = primary_template(type);

	return Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
				  ESYS_TR_NONE, &sensitive, &public, &outside, &pcrs, &tpm->parent,
				  NULL, NULL, NULL, NULL);
}

int
tpm20_parent(struct tpm20 *tpm, uint32_t handle)
{
	if (handle != 0)
		return tpm20_check(tpm,
				   Esys_TR_FromTPMPublic(tpm->esys, handle, ESYS_TR_NONE,
							 ESYS_TR_NONE, ESYS_TR_NONE, &tpm->parent),
				   "the storage key's handle");
	TSS2_RC rc = create_primary(tpm, TPM2_ALG_ECC);
	if (without_position(rc) == TPM2_RC_TYPE || without_position(rc) == TPM2_RC_CURVE ||
	    without_position(rc) == TPM2_RC_VALUE)
		rc = create_primary(tpm, TPM2_ALG_RSA);
	tpm->parent_is_ours = rc == TSS2_RC_SUCCESS;
	return tpm20_check(tpm, rc, "TPM2_CreatePrimary");
}

int
tpm20_session(struct tpm20 *tpm, TPM2_SE type)
{
	const TPMT_SYM_DEF symmetric = {
		.algorithm = TPM2_ALG_AES,
		.keyBits.aes = 128,
		.mode.aes = TPM2_ALG_CFB,
	};
	ESYS_TR salt = type == TPM2_SE_TRIAL ? ESYS_TR_NONE : tpm->parent;
	TSS2_RC rc = Esys_StartAuthSession(tpm->esys, salt, ESYS_TR_NONE, ESYS_TR_NONE,
					   ESYS_TR_NONE, ESYS_TR_NONE, NULL, type, &symmetric,
					   TPM2_ALG_SHA256, &tpm->session);

	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_TRSess_SetAttributes(tpm->esys, tpm->session,
					       TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT |
						   TPMA_SESSION_ENCRYPT,
					       0xff);
	return tpm20_check(tpm, rc, "TPM2_StartAuthSession");
}

TPM2B_AUTH
tpm20_auth(const uint8_t *auth)
{
	TPM2B_AUTH value = { .size = PHYSICAL_TPM_AUTH_SIZE };

	memcpy(value.buffer, auth, PHYSICAL_TPM_AUTH_SIZE);
	return value;
}
