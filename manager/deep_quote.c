#include "manager/deep_quote.h"

#include <errno.h>
#include <string.h>

#include "manager/crypt.h"
#include "manager/root_key.h"

enum { KEY_DER_MAX = 512 };

int
deep_quote(struct store *store, struct physical_tpm *tpm, struct quote *quote, uint8_t *evidence,
	   size_t *len)
{
	struct writer w = writer_of(evidence, QUOTE_EVIDENCE_MAX);
	uint8_t binding[QUOTE_BINDING_MAX];
	uint8_t der[KEY_DER_MAX];
	struct physical_tpm_quote signed_quote;
	struct physical_tpm_public pub;

	quote->chip = physical_tpm_version(tpm) == 20 ? QUOTE_CHIP_20 : QUOTE_CHIP_12;
	size_t size = quote_binding(quote, binding);
	int rc = root_key_quote(store, tpm, quote->pcrs, binding, size, &signed_quote, &pub);
	if (rc < 0)
		return rc;
	const struct crypt_rsa key = { pub.modulus, pub.modulus_len, pub.exponent };
	int der_len = crypt_rsa_der(&key, der, sizeof(der));
	if (der_len < 0)
		return der_len;
	quote->pcr_size = signed_quote.pcr_size;
	memcpy(quote->values, signed_quote.pcrs, sizeof(quote->values));
	quote->key = reader_of(der, (size_t)der_len);
	quote->statement = reader_of(signed_quote.statement, signed_quote.statement_len);
	quote->signature = reader_of(signed_quote.signature, signed_quote.signature_len);
	quote_write(&w, quote);
	*len = w.len;
	return w.failed ? -EMSGSIZE : 0;
}
