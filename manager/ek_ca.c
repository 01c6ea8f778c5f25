#include "manager/ek_ca.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <vtpm/codec.h>
#include <vtpm/log.h>

#include "manager/crypt.h"

enum {
	SERIAL_SIZE = 16,
	KEY_DER_MAX = 512,
	EXPONENT = 65537, /* of a key that names none */
};

struct ek_ca {
	X509 *certificate;
	EVP_PKEY *key;
	CONF *extensions;
};

/*
 * [TCG EK Credential Profile 2.0, 3; Credential Profiles for TPM 1.2, 3.2]. What is in front of the
 * first dot of a name's types is dropped. The manufacturer is "VTPM".
 */
static const char extensions[] = "[ek]\n"
				 "basicConstraints = critical,CA:FALSE\n"
				 "keyUsage = critical,keyEncipherment\n"
				 "extendedKeyUsage = 2.23.133.8.1\n"
				 "authorityKeyIdentifier = keyid\n"
				 "subjectAltName = critical,dirName:tpm\n"
				 "subjectDirectoryAttributes = ASN1:SEQUENCE:attributes\n"
				 "[tpm]\n"
				 "1.2.23.133.2.1 = id:5654504D\n"
				 "2.2.23.133.2.2 = vTPM\n"
				 "3.2.23.133.2.3 = id:00000001\n"
				 "[attributes]\n"
				 "specification = SEQUENCE:specification\n"
				 "[specification]\n"
				 "type = OID:2.23.133.2.16\n"
				 "values = SET:specifications\n"
				 "[specifications]\n"
				 "tpm12 = SEQUENCE:tpm12\n"
				 "[tpm12]\n"
				 "family = UTF8:1.2\n"
				 "level = INTEGER:2\n"
				 "revision = INTEGER:116\n";

static const char *
openssl_error(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return reason ? reason : "unknown error";
}

static int
no_password(char *buf, int size, int rwflag, void *ctx)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)ctx;
	return -1;
}

static bool
read_files(struct ek_ca *ca, const char *certificate_file, const char *key_file)
{
	FILE *file = fopen(certificate_file, "re");

	if (file) {
		ca->certificate = PEM_read_X509(file, NULL, no_password, NULL);
		fclose(file);
	}
	if (!ca->certificate) {
		log_error("--ek-ca-cert %s: cannot be read: %s", certificate_file,
			  file ? openssl_error() : strerror(errno));
		return false;
	}
	file = fopen(key_file, "re");
	if (file) {
		ca->key = PEM_read_PrivateKey(file, NULL, no_password, NULL);
		fclose(file);
	}
	if (!ca->key)
		log_error("--ek-ca-key %s: cannot be read, without a password: %s", key_file,
			  file ? openssl_error() : strerror(errno));
	return ca->key;
}

struct ek_ca *
ek_ca_open(const char *certificate_file, const char *key_file)
{
	struct ek_ca *ca = calloc(1, sizeof(*ca));
	BIO *text = BIO_new_mem_buf(extensions, -1);

	if (!ca || !text || !read_files(ca, certificate_file, key_file))
		goto fail;
	if (X509_check_private_key(ca->certificate, ca->key) != 1) {
		log_error("--ek-ca-key %s: is not the key of %s", key_file, certificate_file);
		goto fail;
	}
	if (X509_check_ca(ca->certificate) == 0) {
		log_error("--ek-ca-cert %s: is not a certificate of a CA", certificate_file);
		goto fail;
	}
	ca->extensions = NCONF_new(NULL);
	if (!ca->extensions || NCONF_load_bio(ca->extensions, text, NULL) != 1) {
		log_error("--ek-ca-cert %s: cannot be used: %s", certificate_file, openssl_error());
		goto fail;
	}
	BIO_free(text);
	return ca;
fail:
	BIO_free(text);
	ek_ca_close(ca);
	return NULL;
}

void
ek_ca_close(struct ek_ca *ca)
{
	if (!ca)
		return;
	NCONF_free(ca->extensions);
	EVP_PKEY_free(ca->key);
	X509_free(ca->certificate);
	free(ca);
}

/* The key of a TPM_PUBKEY [TPM Main Part 2, 10.5]; NULL for what is no RSA key. */
static EVP_PKEY *
public_key(const uint8_t *pubkey, size_t len)
{
	struct reader r = reader_of(pubkey, len);
	uint8_t der[KEY_DER_MAX];
	struct crypt_rsa key = { .exponent = EXPONENT };

	reader_view(&r, 4 + 2 + 2); /* algorithm, schemes */
	struct reader parms = reader_sized(&r);
	reader_view(&parms, 4 + 4); /* bits, primes */
	struct reader exponent = reader_sized(&parms);
	struct reader modulus = reader_sized(&r);
	if (exponent.left > 0)
		key.exponent = (uint32_t)reader_uint(&exponent, exponent.left);
	key.modulus = modulus.pos;
	key.modulus_len = modulus.left;
	if (!reader_done(&r) || parms.failed || exponent.failed || modulus.left == 0)
		return NULL;
	int der_len = crypt_rsa_der(&key, der, sizeof(der));
	const uint8_t *at = der;
	return der_len < 0 ? NULL : d2i_PUBKEY(NULL, &at, der_len);
}

static bool
set_serial(X509 *certificate)
{
	uint8_t bytes[SERIAL_SIZE];
	BIGNUM *number =
	    RAND_bytes(bytes, sizeof(bytes)) == 1 ? BN_bin2bn(bytes, sizeof(bytes), NULL) : NULL;
	bool set = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));

	BN_free(number);
	return set;
}

static bool
fill_in(const struct ek_ca *ca, X509 *certificate, EVP_PKEY *key)
{
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, ca->certificate, certificate, NULL, NULL, 0);
	X509V3_set_nconf(&ctx, ca->extensions);
	return X509_set_version(certificate, X509_VERSION_3) && set_serial(certificate) &&
	       X509_set_issuer_name(certificate, X509_get_subject_name(ca->certificate)) &&
	       X509_gmtime_adj(X509_getm_notBefore(certificate), 0) &&
	       ASN1_TIME_set_string(X509_getm_notAfter(certificate), "99991231235959Z") &&
	       X509_set_pubkey(certificate, key) &&
	       X509V3_EXT_add_nconf(ca->extensions, &ctx, "ek", certificate);
}

/* Keys of the Edwards curves sign without a digest of their own. */
static const EVP_MD *
signature_digest(EVP_PKEY *key)
{
	int nid;

	return EVP_PKEY_get_default_digest_nid(key, &nid) == 2 && nid == NID_undef ? NULL
										   : EVP_sha256();
}

int
ek_ca_certify(struct ek_ca *ca, const uint8_t *pubkey, size_t len, uint8_t *der)
{
	static struct log_limit limit;
	EVP_PKEY *key = public_key(pubkey, len);
	X509 *certificate = X509_new();
	int rc = -EIO;

	if (!key) {
		log_limited(&limit, LOG_LEVEL_ERROR,
			    "an endorsement key that is no RSA key cannot be certified");
		rc = -EINVAL;
	} else if (!certificate || !fill_in(ca, certificate, key) ||
		   X509_sign(certificate, ca->key, signature_digest(ca->key)) == 0) {
		log_error("an endorsement key cannot be certified: %s", openssl_error());
	} else if (i2d_X509(certificate, NULL) > EK_CA_CERTIFICATE_MAX) {
		log_error("the certificate of an endorsement key is too long: use a CA with a "
			  "shorter name or key");
		rc = -EMSGSIZE;
	} else {
		rc = i2d_X509(certificate, &der);
	}
	X509_free(certificate);
	EVP_PKEY_free(key);
	return rc;
}
