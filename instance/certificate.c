/*
 * The certificate of the endorsement key, in the TPM's own NV storage: written by commands, as a
 * manufacturer does before the TPM leaves the factory.
 */
#include "instance/host.h"

#include <errno.h>

#include <vtpm/codec.h>
#include <vtpm/log.h>
#include <vtpm/manager.h>

/*
 * [TCG PC Client Specific Implementation Specification for Conventional BIOS 1.21, 7.4.5].
 */
enum {
	EK_CERT_INDEX = 0x1000f000,
	TAG_STORED_CERT = 0x1001,
	TAG_FULL_CERT = 0x1002,
	FULL_CERT = 0,          /* certType */
	STORED_CERT_HEADER = 7, /* in front of the DER */
	PUBKEY_MAX = 512,
	PCR_SELECT_BYTES = TPM_NUM_PCR / 8,
	LOCALITY_ANY = 0x1f,
};

struct call {
	uint8_t command[TPM_BUFFER_SIZE];
	uint8_t response[TPM_BUFFER_SIZE];
	struct writer w;
};

static void
begin(struct call *call, uint32_t ordinal)
{
	call->w = writer_of(call->command, sizeof(call->command));
	writer_u16(&call->w, TPM_TAG_RQU_COMMAND);
	writer_u32(&call->w, 0);
	writer_u32(&call->w, ordinal);
}

static TPM_RESULT
execute(struct call *call, struct tpm *tpm, bool *changed)
{
	size_t len;

	writer_patch_u32(&call->w, 2, (uint32_t)call->w.len);
	if (call->w.failed)
		return TPM_SIZE;
	*changed |= tpm_execute(tpm, 0, call->command, call->w.len, call->response, &len) &
		    ~(unsigned)TPM_CHANGED_VOLATILE;
	struct reader r = reader_of(call->response, len);
	reader_view(&r, TPM_HEADER_SIZE - 4);
	return reader_u32(&r);
}

static bool
has_certificate(struct call *call, struct tpm *tpm, bool *changed)
{
	begin(call, TPM_ORD_GetCapability);
	writer_u32(&call->w, TPM_CAP_NV_INDEX);
	writer_u32(&call->w, 4);
	writer_u32(&call->w, EK_CERT_INDEX);
	return execute(call, tpm, changed) == TPM_SUCCESS;
}

/* TPM_PCR_INFO_SHORT that asks for nothing [Part 2, 8.5]. */
static void
write_no_pcr_info(struct writer *w)
{
	static const uint8_t none[PCR_SELECT_BYTES + TPM_DIGEST_SIZE];

	writer_u16(w, PCR_SELECT_BYTES);
	writer_bytes(w, none, PCR_SELECT_BYTES);
	writer_u8(w, LOCALITY_ANY);
	writer_bytes(w, none, TPM_DIGEST_SIZE);
}

/* Whoever can reach the TPM may read it; written to only with physical presence. */
static TPM_RESULT
define_area(struct call *call, struct tpm *tpm, size_t size, bool *changed)
{
	static const uint8_t no_auth[TPM_DIGEST_SIZE];

	begin(call, TPM_ORD_NV_DefineSpace);
	writer_u16(&call->w, TPM_TAG_NV_DATA_PUBLIC);
	writer_u32(&call->w, EK_CERT_INDEX);
	write_no_pcr_info(&call->w);
	write_no_pcr_info(&call->w);
	writer_u16(&call->w, TPM_TAG_NV_ATTRIBUTES);
	writer_u32(&call->w, TPM_NV_PER_PPWRITE);
	writer_u8(&call->w, 0); /* bReadSTClear, bWriteSTClear, bWriteDefine */
	writer_u8(&call->w, 0);
	writer_u8(&call->w, 0);
	writer_u32(&call->w, (uint32_t)size);
	writer_bytes(&call->w, no_auth, sizeof(no_auth));
	return execute(call, tpm, changed);
}

static TPM_RESULT
write_area(struct call *call, struct tpm *tpm, const struct blob *der, bool *changed)
{
	begin(call, TPM_ORD_NV_WriteValue);
	writer_u32(&call->w, EK_CERT_INDEX);
	writer_u32(&call->w, 0); /* offset */
	writer_u32(&call->w, (uint32_t)(STORED_CERT_HEADER + der->len));
	writer_u16(&call->w, TAG_STORED_CERT);
	writer_u8(&call->w, FULL_CERT);
	writer_u16(&call->w, (uint16_t)(2 + der->len));
	writer_u16(&call->w, TAG_FULL_CERT);
	writer_bytes(&call->w, der->data, der->len);
	return execute(call, tpm, changed);
}

static TPM_RESULT
store(struct tpm *tpm, const struct blob *der, bool *changed)
{
	struct call call;

	tpm_init(tpm);
	begin(&call, TPM_ORD_Startup);
	writer_u16(&call.w, TPM_ST_CLEAR);
	TPM_RESULT result = execute(&call, tpm, changed);
	if (result == TPM_SUCCESS && !has_certificate(&call, tpm, changed)) {
		result = define_area(&call, tpm, STORED_CERT_HEADER + der->len, changed);
		if (result == TPM_SUCCESS)
			result = write_area(&call, tpm, der, changed);
		if (result == TPM_SUCCESS)
			log_info("its endorsement key has a certificate, at NV index 0x%x",
				 EK_CERT_INDEX);
	}
	tpm_init(tpm);
	return result;
}

int
host_certify(struct link *link, struct tpm *tpm, bool *changed)
{
	uint8_t pubkey[PUBKEY_MAX];
	struct blob der = { 0 };

	size_t len = tpm_ek_public(tpm, pubkey, sizeof(pubkey));
	if (!link || len == 0)
		return 0;
	int rc = link_request(link, VTPM_ORD_CERTIFY_EK, pubkey, len, &der);
	TPM_RESULT result = TPM_SUCCESS;
	if (rc == 0 && der.len > 0)
		result = store(tpm, &der, changed);
	if (result != TPM_SUCCESS)
		log_warning("the certificate of its endorsement key cannot be stored (TPM error "
			    "0x%x): its guest has locked its NV storage, or filled it; it goes "
			    "without",
			    result);
	blob_clear(&der);
	return rc == -EOPNOTSUPP ? 0 : rc;
}
