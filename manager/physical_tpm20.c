#include "manager/physical_tpm_ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "manager/physical_tpm_anchor.h"
#include "manager/physical_tpm_quote.h"
#include "manager/tpm20_client.h"
#include "manager/tpm20_object.h"

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

static int
tpm20_pcr_read(struct chip *chip, unsigned index, struct physical_tpm_pcr *pcr)
{
	struct tpm20 tpm;
	int error = tpm20_begin(&tpm, chip);

	if (error == 0)
		error = tpm20_read_pcr(&tpm, TPM2_ALG_SHA256, index, pcr);
	if (error == -ENODATA)
		error = physical_tpm_fail(-EIO, "the physical TPM has no SHA-256 bank of PCRs; "
						"enable it in the firmware's setup");
	tpm20_end(&tpm);
	return error;
}

static int
policy_pcr(struct tpm20 *tpm, uint32_t pcrs)
{
	TPML_PCR_SELECTION selection = tpm20_pcr_selection(TPM2_ALG_SHA256, pcrs);
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
	int error = tpm20_begin_with_parent(&tpm, chip);

	memcpy(sensitive.sensitive.data.buffer, secret, len);
	if (error == 0 && pcrs)
		error = present_policy(&tpm, pcrs, &template.publicArea.authPolicy);
	if (error == 0)
		error = tpm20_session(&tpm, TPM2_SE_HMAC);
	if (error == 0)
		error = tpm20_create(&tpm, &sensitive, &template, pcrs, blob, NULL);
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
	int error = tpm20_begin_with_parent(&tpm, chip);

	if (error == 0)
		error = tpm20_session(&tpm, TPM2_SE_HMAC);
	if (error == 0)
		error = tpm20_load(&tpm, blob, &pcrs);
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
	const TPMT_RSA_SCHEME scheme = {
		.scheme = TPM2_ALG_OAEP,
		.details.oaep.hashAlg = TPM2_ALG_SHA256,
	};

	pub->scheme = PHYSICAL_TPM_SCHEME_OAEP20;
	return tpm20_rsa_create(chip, auth, TPMA_OBJECT_DECRYPT, &scheme, key, pub);
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
	int error = tpm20_begin_with_parent(&tpm, chip);

	if (error == 0)
		error = tpm20_session(&tpm, TPM2_SE_HMAC);
	if (error == 0)
		error = tpm20_load(&tpm, key, &pcrs);
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
	.pcr_sha1 = tpm20_pcr_sha1,
	.seal = tpm20_seal,
	.unseal = tpm20_unseal,
	.key_create = tpm20_key_create,
	.key_decrypt = tpm20_key_decrypt,
	.identity_create = tpm20_identity_create,
	.quote = tpm20_quote,
	.anchor_define = tpm20_anchor_define,
	.anchor_undefine = tpm20_anchor_undefine,
	.anchor_read = tpm20_anchor_read,
	.anchor_increment = tpm20_anchor_increment,
	.may_pass = tpm20_may_pass,
};
