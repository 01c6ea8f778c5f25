/*
 * tls.h - who may speak with whom: TLS 1.3, both sides with a certificate of the operator's CA.
 *
 * Nothing older than 1.3, no session tickets, no early data. The client's certificate must be made
 * for clientAuth, the server's for serverAuth and for the host that the client asked for.
 */
#ifndef MIGRATION_TLS_H
#define MIGRATION_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#include "migration/why.h"

#define TLS_DEFAULT_DIR "/etc/vtpm/pki"

enum { TLS_NAME_SIZE = 256 };

/* PEM files. */
struct tls_files {
	const char *ca;
	const char *cert; /* this host's, with what leads to the CA */
	const char *key;  /* mode 0600 or less */
};

/*
 * tls_new: a TLS endpoint towards the peer, on no descriptor yet. host is what a client wants to
 * reach (a name or an address), NULL for a server. The files are read anew: a renewed certificate
 * counts from the next connection. *why is where a refusal of the peer will be explained, and must
 * live as long as *ssl, which the caller frees with SSL_free. Returns 0 or a negative errno, with
 * *why.
 */
int tls_new(SSL **ssl, const struct tls_files *files, const char *host, struct why *why);

/*
 * tls_explain: turns the failure of a handshake or connection into *why: what tls_new's check of
 * the peer found, or what the peer says, or error, an OpenSSL error. peer is its name or address.
 * Returns -EACCES when one does not trust the other, else -ECONNRESET.
 */
int tls_explain(unsigned long error, const char *peer, struct why *why);

/*
 * tls_peer_name: the name that the peer's certificate gives it: claimed, if the certificate is
 * valid for that, else its common name. Returns false if it has none.
 */
bool tls_peer_name(SSL *ssl, const char *claimed, char *name, size_t size);

/* tls_own_name: the common name of this host's certificate; false if it has none. */
bool tls_own_name(SSL *ssl, char *name, size_t size);

#endif
