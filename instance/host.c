#include "instance/host.h"

#include <errno.h>

#include <openssl/evp.h>

#include <vtpm/codec.h>
#include <vtpm/info.h>
#include <vtpm/log.h>
#include <vtpm/manager.h>

enum {
	PUBKEY_MAX = 512, /* TPM_PUBKEY of a key of 2048 bits has 284 */
	PCR_SELECT_BYTES = TPM_NUM_PCR / 8,
};

int
host_boot_pcrs(struct link *link, struct tpm *tpm)
{
	struct blob answer = { 0 };

	if (!link)
		return 0;
	int rc = link_request(link, VTPM_ORD_HOST_PCRS, NULL, 0, &answer);
	struct reader r = reader_of(answer.data, answer.len);
	uint32_t count = rc == 0 && answer.len > 0 ? reader_u32(&r) : 0;
	for (uint32_t i = 0; i < count && !r.failed; i++) {
		uint32_t index = reader_u32(&r);
		const uint8_t *value = reader_view(&r, TPM_DIGEST_SIZE);

		if (value && index < TPM_NUM_PCR)
			tpm_boot_pcr(tpm, index, value);
		else
			r.failed = true;
	}
	/* A manager of before there was that. */
	if (rc == -EOPNOTSUPP) {
		rc = 0;
	} else if (rc == 0 && !reader_done(&r)) {
		log_error("the manager's answer about the host's PCRs makes no sense");
		rc = -EBADMSG;
	}
	blob_clear(&answer);
	return rc;
}

int
host_quote(struct link *link, const struct tpm *tpm, uint32_t pcrs, const uint8_t *nonce,
	   struct blob *evidence)
{
	uint8_t pubkey[PUBKEY_MAX];
	uint8_t digest[EVP_MAX_MD_SIZE];
	uint8_t params[4 + HOST_NONCE_SIZE + VTPM_HASH_SIZE];
	struct writer w = writer_of(params, sizeof(params));

	size_t len = tpm_ek_public(tpm, pubkey, sizeof(pubkey));
	if (len == 0) {
		log_error("no deep quote: this TPM has no endorsement key");
		return -ENOKEY;
	}
	if (EVP_Digest(pubkey, len, digest, NULL, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	writer_u32(&w, pcrs);
	writer_bytes(&w, nonce, HOST_NONCE_SIZE);
	writer_bytes(&w, digest, VTPM_HASH_SIZE);
	return link_request(link, VTPM_ORD_QUOTE, params, w.len, evidence);
}

bool
host_is_quote(const uint8_t *cmd, size_t len)
{
	struct reader r = reader_of(cmd, len);

	reader_view(&r, TPM_HEADER_SIZE - 4);
	return reader_u32(&r) == VTPM_TPM_ORD_DEEP_QUOTE;
}

/* TPM_PCR_SELECTION of PCRs that a host may have [Part 2, 8.1]. */
static uint32_t
read_pcr_selection(struct reader *r)
{
	uint16_t size = reader_u16(r);
	uint32_t pcrs = 0;

	if (size > PCR_SELECT_BYTES)
		r->failed = true;
	for (unsigned i = 0; i < size && !r->failed; i++)
		pcrs |= (uint32_t)reader_u8(r) << (8 * i);
	return pcrs;
}

void
host_execute_quote(struct link *link, const struct tpm *tpm, const uint8_t *cmd, size_t len,
		   uint8_t *response, size_t *response_len)
{
	struct reader r = reader_of(cmd, len);
	struct writer w = writer_of(response, TPM_BUFFER_SIZE);
	struct blob evidence = { 0 };

	uint16_t tag = reader_u16(&r);
	uint32_t size = reader_u32(&r);
	reader_u32(&r);
	const uint8_t *nonce = reader_view(&r, HOST_NONCE_SIZE);
	uint32_t pcrs = read_pcr_selection(&r);
	TPM_RESULT result = TPM_SUCCESS;
	if (tag != TPM_TAG_RQU_COMMAND)
		result = TPM_BADTAG;
	else if (size != len || !reader_done(&r))
		result = TPM_BAD_PARAM_SIZE;
	else if (host_quote(link, tpm, pcrs, nonce, &evidence) < 0)
		result = TPM_FAIL;
	writer_u16(&w, TPM_TAG_RSP_COMMAND);
	writer_u32(&w, 0);
	writer_u32(&w, TPM_SUCCESS);
	writer_sized(&w, evidence.data, evidence.len);
	writer_patch_u32(&w, 2, (uint32_t)w.len);
	blob_clear(&evidence);
	if (result == TPM_SUCCESS && w.failed)
		result = TPM_SIZE;
	*response_len = result == TPM_SUCCESS ? w.len : tpm_error_response(result, response);
}
