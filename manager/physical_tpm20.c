#include "manager/physical_tpm_ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <tss2/tss2_mu.h>

#include "manager/physical_tpm_anchor.h"
#include "manager/tpm20_client.h"

enum {
	RANDOM_CHUNK = 32,
};

/* The label of OAEP, with its final NUL as TPM 2.0 wants it. */
static const TPM2B_DATA oaep_label = { .size = 5, .buffer = "VTPM" };
static const TPMT_RSA_DECRYPT oaep_scheme = {
	.scheme = TPM2_ALG_OAEP,
	.details.oaep.hashAlg = TPM2_ALG_SHA256,
};

static int
tpm20_ping(struct chip *chip)
{
	struct tpm20 tpm;
	int error = tpm20_begin(&tpm, chip);

	tpm20_end(&tpm);
	return error;
}

static int
tpm20_is_owned(struct chip *chip, bool *owned)
{
	(void)chip;
	*owned = true;
	return 0;
}

static int
tpm20_take_ownership(struct chip *chip, const uint8_t *owner_auth)
{
	(void)chip;
	(void)owner_auth;
	return 0;
}

static int
tpm20_random(struct chip *chip, uint8_t *out, size_t len)
{
	struct tpm20 tpm;
	int error = tpm20_begin(&tpm, chip);

	while (error == 0 && len > 0) {
		uint16_t want = len < RANDOM_CHUNK ? (uint16_t)len : RANDOM_CHUNK;
		TPM2B_DIGEST *bytes = NULL;

		error = tpm20_check(&tpm,
				    Esys_GetRandom(tpm.esys, ESYS_TR_NONE, ESYS_TR_NONE,
						   ESYS_TR_NONE, want, &bytes),
				    "TPM2_GetRandom");
		if (error == 0 && (bytes->size == 0 || bytes->size > want))
			error =
			    physical_tpm_fail(-EPROTO, "the physical TPM gives no random bytes");
		if (error == 0) {
			memcpy(out, bytes->buffer, bytes->size);
			out += bytes->size;
			len -= bytes->size;
		}
		Esys_Free(bytes);
	}
	tpm20_end(&tpm);
	return error;
}

static TPML_PCR_SELECTION
pcr_selection(uint32_t pcrs)
{
	return (TPML_PCR_SELECTION) {
		.count = 1,
		.pcrSelections[0] = {
			.hash = TPM2_ALG_SHA256,
			.sizeofSelect = PHYSICAL_TPM_PCRS / 8,
			.pcrSelect = { (uint8_t)pcrs, (uint8_t)(pcrs >> 8), (uint8_t)(pcrs >> 16) },
		},
	};
}

static int
tpm20_pcr_read(struct chip *chip, unsigned index, struct physical_tpm_pcr *pcr)
{
	struct tpm20 tpm;
	TPML_PCR_SELECTION selection = pcr_selection(1u << index);
	TPML_DIGEST *values = NULL;
	int error = tpm20_begin(&tpm, chip);

	if (error == 0)
		error = tpm20_check(&tpm,
				    Esys_PCR_Read(tpm.esys, ESYS_TR_NONE, ESYS_TR_NONE,
						  ESYS_TR_NONE, &selection, NULL, NULL, &values),
				    "TPM2_PCR_Read");
	if (error == 0 && (values->count != 1 || values->digests[0].size != PHYSICAL_TPM_PCR_MAX))
		error = physical_tpm_fail(-EIO, "the physical TPM has no SHA-256 bank of PCRs; "
						"enable it in the firmware's setup");
	if (error == 0) {
		pcr->size = PHYSICAL_TPM_PCR_MAX;
		memcpy(pcr->value, values->digests[0].buffer, PHYSICAL_TPM_PCR_MAX);
	}
	Esys_Free(values);
	tpm20_end(&tpm);
	return error;
}

static int
policy_pcr(struct tpm20 *tpm, uint32_t pcrs)
{
	TPML_PCR_SELECTION selection = pcr_selection(pcrs);
	const TPM2B_DIGEST present = { 0 };

	return tpm20_check(tpm,
			   Esys_PolicyPCR(tpm->esys, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE,
					  ESYS_TR_NONE, &present, &selection),
			   "TPM2_PolicyPCR");
}

/* The policy that the PCRs have their present values. */
static int
present_policy(struct tpm20 *tpm, uint32_t pcrs, TPM2B_DIGEST *policy)
{
	TPM2B_DIGEST *digest = NULL;
	int error = tpm20_session(tpm, TPM2_SE_TRIAL);

	if (error == 0)
		error = policy_pcr(tpm, pcrs);
	if (error == 0)
		error = tpm20_check(tpm,
				    Esys_PolicyGetDigest(tpm->esys, tpm->session, ESYS_TR_NONE,
							 ESYS_TR_NONE, ESYS_TR_NONE, &digest),
				    "TPM2_PolicyGetDigest");
	if (error == 0)
		*policy = *digest;
	Esys_Free(digest);
	if (tpm->session != ESYS_TR_NONE)
		Esys_FlushContext(tpm->esys, tpm->session);
	tpm->session = ESYS_TR_NONE;
	return error;
}

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

/* Creates an object under the storage key, in the session. */
static int
create(struct tpm20 *tpm, const TPM2B_SENSITIVE_CREATE *sensitive, const TPM2B_PUBLIC *template,
       uint32_t pcrs, struct physical_tpm_blob *blob, TPM2B_PUBLIC *made)
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

/* Loads a blob as tpm->object. */
static int
load(struct tpm20 *tpm, const struct physical_tpm_blob *blob, uint32_t *pcrs)
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

/* Begins a visit with the storage key and an HMAC session. */
static int
begin_with_parent(struct tpm20 *tpm, struct chip *chip)
{
	int error = tpm20_begin(tpm, chip);

	return error < 0 ? error : tpm20_parent(tpm, chip->options->storage_handle);
}

static int
tpm20_seal(struct chip *chip, const uint8_t *secret, size_t len, uint32_t pcrs,
	   struct physical_tpm_blob *blob)
{
	struct tpm20 tpm;
	TPM2B_SENSITIVE_CREATE sensitive = { .sensitive.data.size = (uint16_t)len };
	TPM2B_PUBLIC template = {
		.publicArea = {
			.type = TPM2_ALG_KEYEDHASH,
			.nameAlg = TPM2_ALG_SHA256,
			.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
					    TPMA_OBJECT_NODA |
					    (pcrs ? TPMA_OBJECT_ADMINWITHPOLICY
						  : TPMA_OBJECT_USERWITHAUTH),
			.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL,
		},
	};
	int error = begin_with_parent(&tpm, chip);

	memcpy(sensitive.sensitive.data.buffer, secret, len);
	if (error == 0 && pcrs)
		error = present_policy(&tpm, pcrs, &template.publicArea.authPolicy);
	if (error == 0)
		error = tpm20_session(&tpm, TPM2_SE_HMAC);
	if (error == 0)
		error = create(&tpm, &sensitive, &template, pcrs, blob, NULL);
	OPENSSL_cleanse(&sensitive, sizeof(sensitive));
	tpm20_end(&tpm);
	return error;
}

/* Replaces the HMAC session by one that fulfils the policy. */
static int
fulfil_policy(struct tpm20 *tpm, uint32_t pcrs)
{
	Esys_FlushContext(tpm->esys, tpm->session);
	tpm->session = ESYS_TR_NONE;
	int error = tpm20_session(tpm, TPM2_SE_POLICY);

	return error < 0 ? error : policy_pcr(tpm, pcrs);
}

static int
tpm20_unseal(struct chip *chip, const struct physical_tpm_blob *blob, uint8_t *out, size_t *len)
{
	struct tpm20 tpm;
	TPM2B_SENSITIVE_DATA *data = NULL;
	uint32_t pcrs = 0;
	int error = begin_with_parent(&tpm, chip);

	if (error == 0)
		error = tpm20_session(&tpm, TPM2_SE_HMAC);
	if (error == 0)
		error = load(&tpm, blob, &pcrs);
	if (error == 0 && pcrs)
		error = fulfil_policy(&tpm, pcrs);
	if (error == 0) {
		/* Unseal has no first parameter that could be encrypted on its way in. */
		Esys_TRSess_SetAttributes(tpm.esys, tpm.session, 0, TPMA_SESSION_DECRYPT);
		error = tpm20_check(&tpm,
				    Esys_Unseal(tpm.esys, tpm.object, tpm.session, ESYS_TR_NONE,
						ESYS_TR_NONE, &data),
				    "TPM2_Unseal");
	}
	if (error == 0 && data->size > PHYSICAL_TPM_SECRET_MAX)
		error = physical_tpm_fail(-EPROTO, "the physical TPM's answer is too long");
	if (error == 0) {
		*len = data->size;
		memcpy(out, data->buffer, data->size);
		OPENSSL_cleanse(data, sizeof(*data));
	}
	Esys_Free(data);
	tpm20_end(&tpm);
	return error;
}

static int
tpm20_key_create(struct chip *chip, const uint8_t *auth, struct physical_tpm_blob *key,
		 struct physical_tpm_public *pub)
{
	struct tpm20 tpm;
	TPM2B_PUBLIC made;
	TPM2B_SENSITIVE_CREATE sensitive = { .sensitive.userAuth.size = PHYSICAL_TPM_AUTH_SIZE };
	TPM2B_PUBLIC template = {
		.publicArea = {
			.type = TPM2_ALG_RSA,
			.nameAlg = TPM2_ALG_SHA256,
			.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
					    TPMA_OBJECT_SENSITIVEDATAORIGIN |
					    TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA |
					    TPMA_OBJECT_DECRYPT,
			.parameters.rsaDetail = {
				.symmetric.algorithm = TPM2_ALG_NULL,
				.scheme.scheme = TPM2_ALG_OAEP,
				.scheme.details.oaep.hashAlg = TPM2_ALG_SHA256,
				.keyBits = 2048,
			},
		},
	};
	int error = begin_with_parent(&tpm, chip);

	memcpy(sensitive.sensitive.userAuth.buffer, auth, PHYSICAL_TPM_AUTH_SIZE);
	if (error == 0)
		error = tpm20_session(&tpm, TPM2_SE_HMAC);
	if (error == 0)
		error = create(&tpm, &sensitive, &template, 0, key, &made);
	if (error == 0) {
		uint32_t exponent = made.publicArea.parameters.rsaDetail.exponent;

		pub->scheme = PHYSICAL_TPM_SCHEME_OAEP20;
		pub->exponent = exponent ? exponent : 65537;
		pub->modulus_len = made.publicArea.unique.rsa.size;
		memcpy(pub->modulus, made.publicArea.unique.rsa.buffer, PHYSICAL_TPM_RSA_MAX);
	}
	OPENSSL_cleanse(&sensitive, sizeof(sensitive));
	tpm20_end(&tpm);
	return error;
}

/* Decrypts with tpm->object in the session. */
static int
rsa_decrypt(struct tpm20 *tpm, const uint8_t *auth, const uint8_t *data, size_t data_len,
	    uint8_t *out, size_t *len)
{
	TPM2B_PUBLIC_KEY_RSA cipher = { .size = (uint16_t)data_len };
	TPM2B_PUBLIC_KEY_RSA *plain = NULL;
	TPM2B_AUTH value = tpm20_auth(auth);

	memcpy(cipher.buffer, data, data_len);
	Esys_TR_SetAuth(tpm->esys, tpm->object, &value);
	int error =
	    tpm20_check(tpm,
			Esys_RSA_Decrypt(tpm->esys, tpm->object, tpm->session, ESYS_TR_NONE,
					 ESYS_TR_NONE, &cipher, &oaep_scheme, &oaep_label, &plain),
			"TPM2_RSA_Decrypt");
	/* Whatever the TPM dislikes about the data: it is not for this key. */
	if (error == -EIO || (error == 0 && plain->size > PHYSICAL_TPM_SECRET_MAX))
		error = -EKEYREJECTED;
	if (error == 0) {
		*len = plain->size;
		memcpy(out, plain->buffer, plain->size);
		OPENSSL_cleanse(plain, sizeof(*plain));
	}
	Esys_Free(plain);
	return error;
}

static int
tpm20_key_decrypt(struct chip *chip, const struct physical_tpm_blob *key, const uint8_t *auth,
		  const uint8_t *data, size_t data_len, uint8_t *out, size_t *len)
{
	struct tpm20 tpm;
	uint32_t pcrs;
	int error = begin_with_parent(&tpm, chip);

	if (error == 0)
		error = tpm20_session(&tpm, TPM2_SE_HMAC);
	if (error == 0)
		error = load(&tpm, key, &pcrs);
	if (error == 0)
		error = rsa_decrypt(&tpm, auth, data, data_len, out, len);
	tpm20_end(&tpm);
	return error;
}

static bool
tpm20_may_pass(uint16_t tag, uint32_t command)
{
	static const uint32_t harmless[] = {
		TPM2_CC_PCR_Read,      TPM2_CC_GetRandom,     TPM2_CC_GetCapability,
		TPM2_CC_GetTestResult, TPM2_CC_NV_ReadPublic, TPM2_CC_ReadClock,
		TPM2_CC_ReadPublic,
	};

	for (size_t i = 0; tag == TPM2_ST_NO_SESSIONS && i < sizeof(harmless) / sizeof(*harmless);
	     i++) {
		if (harmless[i] == command)
			return true;
	}
	return false;
}

const struct physical_tpm_ops physical_tpm20 = {
	.version = 20,
	.ping = tpm20_ping,
	.is_owned = tpm20_is_owned,
	.take_ownership = tpm20_take_ownership,
	.random = tpm20_random,
	.pcr_read = tpm20_pcr_read,
	.seal = tpm20_seal,
	.unseal = tpm20_unseal,
	.key_create = tpm20_key_create,
	.key_decrypt = tpm20_key_decrypt,
	.anchor_define = tpm20_anchor_define,
	.anchor_undefine = tpm20_anchor_undefine,
	.anchor_read = tpm20_anchor_read,
	.anchor_increment = tpm20_anchor_increment,
	.may_pass = tpm20_may_pass,
};
