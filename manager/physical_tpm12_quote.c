#include "manager/physical_tpm_quote.h"

#include <errno.h>
#include <string.h>

#include "manager/crypt.h"
#include "manager/tpm12_client.h"
#include "manager/tpm12_key.h"

/*
 * TPM_MakeIdentity [Part 3, 15.1]. Who certifies the key is left open: the digest of label and
 * privacy CA is of nothing.
 */
int
tpm12_identity_create(struct chip *chip, const uint8_t *owner_auth, const uint8_t *auth,
		      struct physical_tpm_blob *key, struct physical_tpm_public *pub)
{
	static const uint8_t no_label[TPM_DIGEST_SIZE];
	struct tpm12_session srk = { 0 };
	struct tpm12_session owner = { 0 };
	struct tpm12_call call;
	uint8_t hidden[TPM_DIGEST_SIZE];

	if (!owner_auth)
		return physical_tpm_fail(-EACCES, "the owner's secret of the physical TPM is not "
						  "known; give it with --tpm-owner-auth-file");
	int error = tpm12_oiap(chip, &srk, chip->options->srk_auth);
	if (error == 0)
		error = tpm12_osap(chip, &owner, TPM_ET_OWNER, TPM_KH_OWNER, owner_auth);
	if (error == 0) {
		tpm12_begin(&call, TPM_ORD_MakeIdentity);
		call.sessions[call.session_count++] = &srk;
		call.sessions[call.session_count++] = &owner;
		tpm12_encrypt_auth(&owner, auth, hidden);
		writer_bytes(&call.in, hidden, sizeof(hidden));
		writer_bytes(&call.in, no_label, sizeof(no_label));
		tpm12_write_key_template(&call.in, TPM_KEY_IDENTITY, &tpm12_pkcs1);
		error = tpm12_send(chip, &call);
	}
	tpm12_end(chip, &srk);
	tpm12_end(chip, &owner);
	if (error < 0)
		return error;
	const uint8_t *start = call.out.pos;
	if (!tpm12_read_key(&call.out, pub))
		return physical_tpm_fail(-EPROTO, "the physical TPM makes strange keys");
	key->len = (size_t)(call.out.pos - start);
	memcpy(key->data, start, key->len);
	pub->scheme = PHYSICAL_TPM_SCHEME_SIGN12;
	return 0;
}

/* The values of a TPM_PCR_COMPOSITE, which must be those that were asked for. */
static bool
read_composite(struct reader *r, uint32_t pcrs, struct physical_tpm_quote *quote)
{
	uint8_t wanted[2 + TPM12_SELECT_SIZE];
	struct writer w = writer_of(wanted, sizeof(wanted));

	tpm12_write_pcr_selection(&w, pcrs);
	const uint8_t *selected = reader_view(r, sizeof(wanted));
	struct reader values = reader_sized(r);
	for (unsigned i = 0; i < PHYSICAL_TPM_PCRS; i++) {
		if (pcrs & 1u << i)
			reader_bytes(&values, quote->pcrs[i], TPM_DIGEST_SIZE);
	}
	quote->pcr_size = TPM_DIGEST_SIZE;
	return !r->failed && memcmp(selected, wanted, sizeof(wanted)) == 0 && reader_done(&values);
}

/* What was signed: TPM_QUOTE_INFO [Part 2, 11.3]. */
static void
compose_signed(struct physical_tpm_quote *quote, const struct crypt_part *composite,
	       const uint8_t *data)
{
	static const uint8_t head[] = { 1, 1, 0, 0, 'Q', 'U', 'O', 'T' };
	struct writer w = writer_of(quote->statement, sizeof(quote->statement));
	uint8_t digest[TPM_DIGEST_SIZE];

	crypt_sha1(digest, composite, 1);
	writer_bytes(&w, head, sizeof(head));
	writer_bytes(&w, digest, sizeof(digest));
	writer_bytes(&w, data, TPM_DIGEST_SIZE);
	quote->statement_len = w.len;
}

static int
read_quote(struct tpm12_call *call, uint32_t pcrs, const uint8_t *data,
	   struct physical_tpm_quote *quote)
{
	struct crypt_part composite = { .data = call->out.pos };
	bool sound = read_composite(&call->out, pcrs, quote);

	composite.len = (size_t)(call->out.pos - (const uint8_t *)composite.data);
	struct reader signature = reader_sized(&call->out);
	quote->signature_len = signature.left;
	if (!sound || !reader_done(&call->out) || signature.left > sizeof(quote->signature))
		return physical_tpm_fail(-EPROTO, "the physical TPM's quote makes no sense");
	reader_bytes(&signature, quote->signature, quote->signature_len);
	compose_signed(quote, &composite, data);
	return 0;
}

int
tpm12_quote(struct chip *chip, const struct physical_tpm_blob *key, const uint8_t *auth,
	    uint32_t pcrs, const uint8_t *data, size_t len, struct physical_tpm_quote *quote)
{
	struct tpm12_session session;
	struct tpm12_call call;
	uint32_t handle;

	if (len != TPM_DIGEST_SIZE)
		return -EINVAL;
	int error = tpm12_load_key(chip, key, &handle);
	if (error < 0)
		return error;
	error = tpm12_oiap(chip, &session, auth);
	if (error == 0) {
		tpm12_begin(&call, TPM_ORD_Quote);
		call.handles[call.handle_count++] = handle;
		call.sessions[call.session_count++] = &session;
		writer_bytes(&call.in, data, len);
		tpm12_write_pcr_selection(&call.in, pcrs);
		error = tpm12_send(chip, &call);
	}
	if (error == 0)
		error = read_quote(&call, pcrs, data, quote);
	tpm12_flush(chip, handle, TPM_RT_KEY);
	return error;
}
