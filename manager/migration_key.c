#include "manager/migration_key.h"

#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>

#include <vtpm/codec.h>
#include <vtpm/tpm12.h>

#include "manager/crypt.h"

enum { BOUND_HEADER = 5 };

/* TPM_BOUND_DATA [TPM Main Part 2, 12.1] is what a TPM 1.2's bind key decrypts. */
static size_t
bound_data(const uint8_t *secret, size_t len, uint8_t *out)
{
	static const uint8_t header[BOUND_HEADER] = { 1, 1, 0, 0, TPM_PT_BIND };

	memcpy(out, header, sizeof(header));
	memcpy(out + sizeof(header), secret, len);
	return sizeof(header) + len;
}

int
migration_key_encrypt(const struct physical_tpm_public *pub, const uint8_t *secret, size_t len,
		      uint8_t *out, size_t *out_len)
{
	const struct crypt_rsa key = { pub->modulus, pub->modulus_len, pub->exponent };
	uint8_t bound[BOUND_HEADER + PHYSICAL_TPM_SECRET_MAX];
	int error = -EINVAL;

	if (len > PHYSICAL_TPM_SECRET_MAX || pub->modulus_len > PHYSICAL_TPM_RSA_MAX)
		return -EINVAL;
	*out_len = pub->modulus_len;
	switch (pub->scheme) {
	case PHYSICAL_TPM_SCHEME_BIND12: {
		struct crypt_part in = { bound, bound_data(secret, len, bound) };

		error = crypt_rsa_oaep(&key, "SHA1", (struct crypt_part) { "TCPA", 4 }, in, out);
		OPENSSL_cleanse(bound, sizeof(bound));
		break;
	}
	case PHYSICAL_TPM_SCHEME_OAEP20:
		/* A TPM 2.0 counts the label's final NUL. */
		error = crypt_rsa_oaep(&key, "SHA256", (struct crypt_part) { "VTPM", 5 },
				       (struct crypt_part) { secret, len }, out);
		break;
	}
	return error;
}
