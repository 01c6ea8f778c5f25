#include "manager/tpm12_key.h"

#include <vtpm/tpm12.h>

#include "manager/tpm12_client.h"

enum { KEY_BITS = 2048 };

const struct tpm12_schemes tpm12_oaep = { TPM_ES_RSAESOAEP_SHA1_MGF1, TPM_SS_NONE };
const struct tpm12_schemes tpm12_pkcs1 = { TPM_ES_NONE, TPM_SS_RSASSAPKCS1v15_SHA1 };

void
tpm12_write_key_parms(struct writer *w, const struct tpm12_schemes *schemes)
{
	writer_u32(w, TPM_ALG_RSA);
	writer_u16(w, schemes->enc);
	writer_u16(w, schemes->sig);
	writer_u32(w, 12);
	writer_u32(w, KEY_BITS);
	writer_u32(w, 2); /* primes */
	writer_u32(w, 0); /* default exponent */
}

void
tpm12_write_key_template(struct writer *w, uint16_t usage, const struct tpm12_schemes *schemes)
{
	static const uint8_t version[] = { 1, 1, 0, 0 };

	writer_bytes(w, version, sizeof(version));
	writer_u16(w, usage);
	writer_u32(w, 0); /* keyFlags */
	writer_u8(w, TPM_AUTH_ALWAYS);
	tpm12_write_key_parms(w, schemes);
	writer_u32(w, 0); /* PCRInfo */
	writer_u32(w, 0); /* pubKey */
	writer_u32(w, 0); /* encData */
}

bool
tpm12_read_key_parms(struct reader *r, struct physical_tpm_public *pub)
{
	reader_u32(r); /* algorithm, schemes */
	reader_u32(r);
	struct reader parms = reader_sized(r);
	reader_u32(&parms); /* bits, primes */
	reader_u32(&parms);
	struct reader exponent = reader_sized(&parms);
	pub->exponent = exponent.left > 0 ? (uint32_t)reader_uint(&exponent, exponent.left) : 65537;
	return !parms.failed && !exponent.failed;
}

bool
tpm12_read_modulus(struct reader *r, struct physical_tpm_public *pub)
{
	struct reader modulus = reader_sized(r);

	if (modulus.failed || modulus.left > sizeof(pub->modulus))
		return false;
	pub->modulus_len = (uint16_t)modulus.left;
	reader_bytes(&modulus, pub->modulus, modulus.left);
	return true;
}

bool
tpm12_read_key(struct reader *r, struct physical_tpm_public *pub)
{
	reader_view(r, 4 + 2 + 4 + 1); /* version, usage, flags, authDataUsage */
	bool sound = tpm12_read_key_parms(r, pub);
	reader_sized(r); /* PCRInfo */
	sound = sound && tpm12_read_modulus(r, pub);
	reader_sized(r); /* encData */
	return sound && !r->failed;
}

int
tpm12_load_key(struct chip *chip, const struct physical_tpm_blob *key, uint32_t *handle)
{
	struct tpm12_session session;
	struct tpm12_call call;
	int error = tpm12_oiap(chip, &session, chip->options->srk_auth);

	if (error < 0)
		return error;
	tpm12_begin(&call, TPM_ORD_LoadKey2);
	call.handles[call.handle_count++] = TPM_KH_SRK;
	call.sessions[call.session_count++] = &session;
	call.has_out_handle = true;
	writer_bytes(&call.in, key->data, key->len);
	error = tpm12_send(chip, &call);
	*handle = call.out_handle;
	return error;
}

void
tpm12_write_pcr_selection(struct writer *w, uint32_t pcrs)
{
	writer_u16(w, TPM12_SELECT_SIZE);
	for (unsigned i = 0; i < TPM12_SELECT_SIZE; i++)
		writer_u8(w, (uint8_t)(pcrs >> (8 * i)));
}
