#include "manager/physical_tpm_quote.h"

#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>
#include <tss2/tss2_mu.h>

#include <vtpm/tpm12.h>

#include "manager/crypt.h"
#include "manager/tpm20_object.h"

/* Quotes until the PCRs did not move between being read and being signed. */
enum { QUOTES_MAX = 5 };

int
tpm20_pcr_sha1(struct chip *chip, unsigned index, uint8_t *value)
{
	struct physical_tpm_pcr pcr;
	struct tpm20 tpm;
	int error = tpm20_begin(&tpm, chip);

	if (error == 0)
		error = tpm20_read_pcr(&tpm, TPM2_ALG_SHA1, index, &pcr);
	if (error == 0) {
		memcpy(value, pcr.value, TPM_DIGEST_SIZE);
	} else if (error == -ENODATA) {
		error = tpm20_read_pcr(&tpm, TPM2_ALG_SHA256, index, &pcr);
		if (error == 0)
			crypt_sha1(value, CRYPT_PARTS({ pcr.value, pcr.size }));
	}
	if (error == -ENODATA)
		error =
		    physical_tpm_fail(-EIO, "the physical TPM has neither a SHA-1 nor a SHA-256 "
					    "bank of PCRs; enable one in the firmware's setup");
	tpm20_end(&tpm);
	return error;
}

int
tpm20_identity_create(struct chip *chip, const uint8_t *owner_auth, const uint8_t *auth,
		      struct physical_tpm_blob *key, struct physical_tpm_public *pub)
{
	const TPMT_RSA_SCHEME scheme = {
		.scheme = TPM2_ALG_RSASSA,
		.details.rsassa.hashAlg = TPM2_ALG_SHA256,
	};

	(void)owner_auth;
	pub->scheme = PHYSICAL_TPM_SCHEME_SIGN20;
	/* Restricted: it signs nothing but what the chip itself says. */
	return tpm20_rsa_create(chip, auth, TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT,
				&scheme, key, pub);
}

/* Reads the PCRs in the better bank that the chip has. */
static int
read_pcrs(struct tpm20 *tpm, uint32_t pcrs, TPMI_ALG_HASH *bank, struct physical_tpm_quote *quote)
{
	struct physical_tpm_pcr pcr = { 0 };
	int error = 0;

	for (unsigned i = 0; error == 0 && i < PHYSICAL_TPM_PCRS; i++) {
		if (!(pcrs & 1u << i))
			continue;
		error = tpm20_read_pcr(tpm, *bank, i, &pcr);
		if (error == -ENODATA && *bank == TPM2_ALG_SHA256) {
			*bank = TPM2_ALG_SHA1;
			error = tpm20_read_pcr(tpm, *bank, i, &pcr);
		}
		memcpy(quote->pcrs[i], pcr.value, sizeof(quote->pcrs[i]));
	}
	quote->pcr_size = pcr.size;
	return error == -ENODATA
		   ? physical_tpm_fail(-EIO, "the physical TPM has no bank of PCRs; enable "
					     "one in the firmware's setup")
		   : error;
}

/* Whether a statement is about the values in quote; -EAGAIN if they have changed in between. */
static int
check_values(const TPM2B_ATTEST *statement, uint32_t pcrs, const struct physical_tpm_quote *quote)
{
	struct crypt_part values[PHYSICAL_TPM_PCRS];
	uint8_t digest[CRYPT_SHA256_SIZE];
	TPMS_ATTEST attest;
	size_t at = 0;
	size_t count = 0;

	for (unsigned i = 0; i < PHYSICAL_TPM_PCRS; i++) {
		if (pcrs & 1u << i)
			values[count++] = (struct crypt_part) { quote->pcrs[i], quote->pcr_size };
	}
	crypt_sha256(digest, values, count);
	if (Tss2_MU_TPMS_ATTEST_Unmarshal(statement->attestationData, statement->size, &at,
					  &attest) ||
	    attest.type != TPM2_ST_ATTEST_QUOTE)
		return physical_tpm_fail(-EPROTO, "the physical TPM's quote makes no sense");
	const TPM2B_DIGEST *theirs = &attest.attested.quote.pcrDigest;
	return theirs->size == sizeof(digest) && memcmp(theirs->buffer, digest, sizeof(digest)) == 0
		   ? 0
		   : physical_tpm_fail(-EAGAIN, "PCRs of the physical TPM change all the time");
}

static int
take_quote(const TPM2B_ATTEST *statement, const TPMT_SIGNATURE *signature,
	   struct physical_tpm_quote *quote)
{
	const TPM2B_PUBLIC_KEY_RSA *rsa = &signature->signature.rsassa.sig;

	if (signature->sigAlg != TPM2_ALG_RSASSA || rsa->size > sizeof(quote->signature) ||
	    statement->size > sizeof(quote->statement))
		return physical_tpm_fail(-EPROTO, "the physical TPM's quote makes no sense");
	quote->signature_len = rsa->size;
	memcpy(quote->signature, rsa->buffer, rsa->size);
	quote->statement_len = statement->size;
	memcpy(quote->statement, statement->attestationData, statement->size);
	return 0;
}

static int
quote_once(struct tpm20 *tpm, uint32_t pcrs, const TPM2B_DATA *data,
	   struct physical_tpm_quote *quote)
{
	const TPMT_SIG_SCHEME own = { .scheme = TPM2_ALG_NULL };
	TPM2B_ATTEST *statement = NULL;
	TPMT_SIGNATURE *signature = NULL;
	TPMI_ALG_HASH bank = TPM2_ALG_SHA256;
	int error = read_pcrs(tpm, pcrs, &bank, quote);
	TPML_PCR_SELECTION selection = tpm20_pcr_selection(bank, pcrs);

	if (error == 0)
		error = tpm20_check(tpm,
				    Esys_Quote(tpm->esys, tpm->object, tpm->session, ESYS_TR_NONE,
					       ESYS_TR_NONE, data, &own, &selection, &statement,
					       &signature),
				    "TPM2_Quote");
	if (error == 0)
		error = check_values(statement, pcrs, quote);
	if (error == 0)
		error = take_quote(statement, signature, quote);
	Esys_Free(statement);
	Esys_Free(signature);
	return error;
}

int
tpm20_quote(struct chip *chip, const struct physical_tpm_blob *key, const uint8_t *auth,
	    uint32_t pcrs, const uint8_t *data, size_t len, struct physical_tpm_quote *quote)
{
	struct tpm20 tpm;
	TPM2B_AUTH value = tpm20_auth(auth);
	TPM2B_DATA qualifying = { .size = (uint16_t)len };
	uint32_t no_pcrs;

	if (len > sizeof(qualifying.buffer))
		return -EINVAL;
	memcpy(qualifying.buffer, data, len);
	int error = tpm20_begin_with_parent(&tpm, chip);
	if (error == 0)
		error = tpm20_session(&tpm, TPM2_SE_HMAC);
	if (error == 0)
		error = tpm20_load(&tpm, key, &no_pcrs);
	if (error == 0)
		Esys_TR_SetAuth(tpm.esys, tpm.object, &value);
	for (int i = 0; error == 0 && i < QUOTES_MAX; i++) {
		error = quote_once(&tpm, pcrs, &qualifying, quote);
		if (error != -EAGAIN)
			break;
		error = i + 1 < QUOTES_MAX ? 0 : error;
	}
	OPENSSL_cleanse(&value, sizeof(value));
	tpm20_end(&tpm);
	return error;
}
