#include "manager/tpm20_object.h"

#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>
#include <tss2/tss2_mu.h>

/* A blob: the PCRs of its policy:4, then TPM2B_PUBLIC and TPM2B_PRIVATE. */
static int
blob_compose(struct physical_tpm_blob *blob, uint32_t pcrs, const TPM2B_PUBLIC *public,
	     const TPM2B_PRIVATE *private)
{
	size_t at = 0;

	if (Tss2_MU_UINT32_Marshal(pcrs, blob->data, sizeof(blob->data), &at) ||
	    Tss2_MU_TPM2B_PUBLIC_Marshal(public, blob->data, sizeof(blob->data), &at) ||
	    Tss2_MU_TPM2B_PRIVATE_Marshal(private, blob->data, sizeof(blob->data), &at))
		return -EMSGSIZE;
	blob->len = at;
	return 0;
}

int
tpm20_create(struct tpm20 *tpm, const TPM2B_SENSITIVE_CREATE *sensitive,
	     const TPM2B_PUBLIC *template, uint32_t pcrs, struct physical_tpm_blob *blob,
	     TPM2B_PUBLIC *made)
{
	const TPM2B_DATA outside = { 0 };
	const TPML_PCR_SELECTION none = { 0 };
	TPM2B_PRIVATE *private = NULL;
	TPM2B_PUBLIC *public = NULL;
	int error = tpm20_check(tpm,
				Esys_Create(tpm->esys, tpm->parent, tpm->session, ESYS_TR_NONE,
					    ESYS_TR_NONE, sensitive, template, &outside, &none,
					    &private, &public, NULL, NULL, NULL),
				"TPM2_Create");

	if (error == 0)
		error = blob_compose(blob, pcrs, public, private);
	if (error == 0 && made)
		*made = *public;
	Esys_Free(private);
	Esys_Free(public);
	return error;
}

int
tpm20_load(struct tpm20 *tpm, const struct physical_tpm_blob *blob, uint32_t *pcrs)
{
	TPM2B_PRIVATE private = { 0 };
	TPM2B_PUBLIC public = { 0 };
	size_t at = 0;

	if (Tss2_MU_UINT32_Unmarshal(blob->data, blob->len, &at, pcrs) ||
	    Tss2_MU_TPM2B_PUBLIC_Unmarshal(blob->data, blob->len, &at, &public) ||
	    Tss2_MU_TPM2B_PRIVATE_Unmarshal(blob->data, blob->len, &at, &private))
		return physical_tpm_fail(-EKEYREJECTED, "the blob was not made by a TPM 2.0");
	return tpm20_check(tpm,
			   Esys_Load(tpm->esys, tpm->parent, tpm->session, ESYS_TR_NONE,
				     ESYS_TR_NONE, &private, &public, &tpm->object),
			   "TPM2_Load");
}

int
tpm20_begin_with_parent(struct tpm20 *tpm, struct chip *chip)
{
	int error = tpm20_begin(tpm, chip);

	return error < 0 ? error : tpm20_parent(tpm, chip->options->storage_handle);
}

/* Exponent and modulus. */
static void
take_public(const TPM2B_PUBLIC *key, struct physical_tpm_public *pub)
{
	const TPM2B_PUBLIC_KEY_RSA *modulus = &key->publicArea.unique.rsa;
	uint32_t exponent = key->publicArea.parameters.rsaDetail.exponent;

	pub->exponent = exponent ? exponent : 65537;
	pub->modulus_len =
	    modulus->size < PHYSICAL_TPM_RSA_MAX ? modulus->size : PHYSICAL_TPM_RSA_MAX;
	memcpy(pub->modulus, modulus->buffer, pub->modulus_len);
}

int
tpm20_rsa_create(struct chip *chip, const uint8_t *auth, TPMA_OBJECT use,
		 const TPMT_RSA_SCHEME *scheme, struct physical_tpm_blob *key,
		 struct physical_tpm_public *pub)
{
	struct tpm20 tpm;
	TPM2B_PUBLIC made;
	TPM2B_SENSITIVE_CREATE sensitive = { .sensitive.userAuth = tpm20_auth(auth) };
	const TPM2B_PUBLIC template = {
		.publicArea = {
			.type = TPM2_ALG_RSA,
			.nameAlg = TPM2_ALG_SHA256,
			.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
					    TPMA_OBJECT_SENSITIVEDATAORIGIN |
					    TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | use,
			.parameters.rsaDetail = {
				.symmetric.algorithm = TPM2_ALG_NULL,
				.scheme = *scheme,
				.keyBits = 2048,
			},
		},
	};
	int error = tpm20_begin_with_parent(&tpm, chip);

	if (error == 0)
		error = tpm20_session(&tpm, TPM2_SE_HMAC);
	if (error == 0)
		error = tpm20_create(&tpm, &sensitive, &template, 0, key, &made);
	if (error == 0)
		take_public(&made, pub);
	OPENSSL_cleanse(&sensitive, sizeof(sensitive));
	tpm20_end(&tpm);
	return error;
}

TPML_PCR_SELECTION
tpm20_pcr_selection(TPMI_ALG_HASH bank, uint32_t pcrs)
{
	return (TPML_PCR_SELECTION) {
		.count = 1,
		.pcrSelections[0] = {
			.hash = bank,
			.sizeofSelect = PHYSICAL_TPM_PCRS / 8,
			.pcrSelect = { (uint8_t)pcrs, (uint8_t)(pcrs >> 8), (uint8_t)(pcrs >> 16) },
		},
	};
}

int
tpm20_read_pcr(struct tpm20 *tpm, TPMI_ALG_HASH bank, unsigned index, struct physical_tpm_pcr *pcr)
{
	TPML_PCR_SELECTION selection = tpm20_pcr_selection(bank, 1u << index);
	TPML_DIGEST *values = NULL;
	int error = tpm20_check(tpm,
				Esys_PCR_Read(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
					      &selection, NULL, NULL, &values),
				"TPM2_PCR_Read");

	if (error == 0 && (values->count != 1 || values->digests[0].size > PHYSICAL_TPM_PCR_MAX))
		error = -ENODATA;
	if (error == 0) {
		pcr->size = (uint8_t)values->digests[0].size;
		memcpy(pcr->value, values->digests[0].buffer, pcr->size);
	}
	Esys_Free(values);
	return error;
}
