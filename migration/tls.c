#include "migration/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char *
last_error(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	return reason ? reason : "unknown error";
}

static bool
is_address(const char *host)
{
	uint8_t binary[16];

	return inet_pton(AF_INET, host, binary) == 1 || inet_pton(AF_INET6, host, binary) == 1;
}

static bool
common_name(X509 *cert, char *name, size_t size)
{
	int len =
	    X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, (int)size);

	/* A NUL within would make two names of it. */
	return len > 0 && strlen(name) == (size_t)len;
}

static void
describe(X509 *cert, char *text, size_t size)
{
	if (!cert || !common_name(cert, text, size))
		snprintf(text, size, "without a name");
}

/* A certificate without the extension could be used for anything: it is not ours. */
static bool
made_for(X509 *cert, bool server)
{
	uint32_t usage = X509_get_extended_key_usage(cert);

	return usage != UINT32_MAX && (usage & (server ? XKU_SSL_SERVER : XKU_SSL_CLIENT));
}

static void
explain_refusal(X509_STORE_CTX *store, int error, struct why *why)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	X509 *cert = X509_STORE_CTX_get_current_cert(store);
	char name[TLS_NAME_SIZE];
	char when[64] = "";

	describe(X509_STORE_CTX_get0_cert(store), name, sizeof(name));
	switch (error) {
	case X509_V_ERR_CERT_HAS_EXPIRED: {
		BIO *bio = BIO_new(BIO_s_mem());

		if (bio && ASN1_TIME_print(bio, X509_get0_notAfter(cert)) > 0)
			BIO_read(bio, when, sizeof(when) - 1);
		BIO_free(bio);
		why_set(why, -EACCES, "its certificate '%s' has expired (%s)", name, when);
		return;
	}
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		why_set(why, -EACCES, "its certificate '%s' is of another CA", name);
		return;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		why_set(why, -EACCES,
			"its certificate is for '%s', not for the host that was asked for", name);
		return;
	case X509_V_ERR_INVALID_PURPOSE:
		why_set(why, -EACCES, "its certificate '%s' is not made for TLS %s", name,
			SSL_is_server(ssl) ? "clients (clientAuth)" : "servers (serverAuth)");
		return;
	default:
		why_set(why, -EACCES, "its certificate '%s': %s", name,
			X509_verify_cert_error_string(error));
	}
}

/* Called for each certificate of the chain; what it returns decides. */
static int
check_certificate(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());

	if (ok && X509_STORE_CTX_get_error_depth(store) == 0 &&
	    !made_for(X509_STORE_CTX_get_current_cert(store), !SSL_is_server(ssl))) {
		X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_PURPOSE);
		ok = 0;
	}
	if (!ok)
		explain_refusal(store, X509_STORE_CTX_get_error(store), SSL_get_app_data(ssl));
	return ok;
}

static int
load(SSL_CTX *ctx, const struct tls_files *files, struct why *why)
{
	static const char hint[] = "vtpm-pki makes these files";
	struct stat st;

	if (SSL_CTX_load_verify_file(ctx, files->ca) != 1)
		return why_set(why, -ENOENT, "cannot read the CA's certificate %s: %s; %s",
			       files->ca, last_error(), hint);
	if (SSL_CTX_use_certificate_chain_file(ctx, files->cert) != 1)
		return why_set(why, -ENOENT, "cannot read this host's certificate %s: %s; %s",
			       files->cert, last_error(), hint);
	if (stat(files->key, &st) == 0 && (st.st_mode & 077))
		return why_set(why, -EACCES,
			       "others may read this host's key %s; chmod 600 it, and better make "
			       "a new one (vtpm-pki)",
			       files->key);
	if (SSL_CTX_use_PrivateKey_file(ctx, files->key, SSL_FILETYPE_PEM) != 1)
		return why_set(why, -ENOENT, "cannot use this host's key %s: %s; %s", files->key,
			       last_error(), hint);
	return 0;
}

static int
expect_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (is_address(host))
		return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1 ? 0 : -EINVAL;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (SSL_set1_host(ssl, host) != 1 || SSL_set_tlsext_host_name(ssl, host) != 1)
		return -EINVAL;
	return 0;
}

int
tls_new(SSL **out, const struct tls_files *files, const char *host, struct why *why)
{
	SSL *ssl = NULL;

	ERR_clear_error();
	why->text[0] = '\0';
	SSL_CTX *ctx = SSL_CTX_new(host ? TLS_client_method() : TLS_server_method());
	if (!ctx)
		return why_set(why, -ENOMEM, "TLS: %s", last_error());
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	/* Messages say themselves where they end. */
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
				     SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
			   check_certificate);
	int rc = load(ctx, files, why);
	if (rc < 0)
		goto out;
	ssl = SSL_new(ctx);
	if (!ssl || SSL_set_app_data(ssl, why) != 1)
		rc = why_set(why, -ENOMEM, "TLS: %s", last_error());
	else if (host && expect_host(ssl, host) < 0)
		rc = why_set(why, -EINVAL, "'%s' is neither a host's name nor an address", host);
out:
	if (rc < 0)
		SSL_free(ssl);
	else
		*out = ssl;
	SSL_CTX_free(ctx);
	return rc;
}

/* What the peer says about our certificate, when it is the one that refuses. */
static const struct {
	int reason;
	const char *text;
} alerts[] = {
	{ SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "it has expired" },
	{ SSL_R_TLSV1_ALERT_UNKNOWN_CA, "it is of another CA" },
	{ SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, "it is not made for this use" },
	{ SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "it is for another host, or damaged" },
	{ SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, "it is revoked" },
	{ SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, "it could not be checked" },
	{ SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "there is none" },
};

int
tls_explain(unsigned long error, const char *peer, struct why *why)
{
	int reason = ERR_GET_REASON(error);

	if (why->text[0])
		return why_set(why, -EACCES, "%s is refused: %s", peer, why->text);
	for (size_t i = 0; error && i < sizeof(alerts) / sizeof(alerts[0]); i++) {
		if (alerts[i].reason == reason)
			return why_set(why, -EACCES, "%s refuses this host's certificate: %s", peer,
				       alerts[i].text);
	}
	const char *text = error ? ERR_reason_error_string(error) : NULL;
	return why_set(why, -ECONNRESET, "the connection with %s failed: %s", peer,
		       text ? text : "it was closed");
}

bool
tls_peer_name(SSL *ssl, const char *claimed, char *name, size_t size)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);

	if (!cert)
		return false;
	if (claimed[0] && strlen(claimed) < size &&
	    (is_address(claimed)
		 ? X509_check_ip_asc(cert, claimed, 0) == 1
		 : X509_check_host(cert, claimed, 0, X509_CHECK_FLAG_NO_WILDCARDS, NULL) == 1)) {
		snprintf(name, size, "%s", claimed);
		return true;
	}
	return common_name(cert, name, size);
}

bool
tls_own_name(SSL *ssl, char *name, size_t size)
{
	X509 *cert = SSL_get_certificate(ssl);

	return cert && common_name(cert, name, size);
}
