/*
 * migration_session.h - session keys of migrations, in memory only.
 *
 * A source encrypts one to the chip of each destination (VTPM_ORD_LOAD_MIG_KEY) and uses it for all
 * that goes there; a destination's chip decrypts it once, before a guest waits for it.
 */
#ifndef MANAGER_MIGRATION_SESSION_H
#define MANAGER_MIGRATION_SESSION_H

#include <stdbool.h>

#include <vtpm/codec.h>

#include "manager/crypt.h"
#include "manager/physical_tpm.h"
#include "manager/store.h"

struct manager;

/* The key for one destination. */
struct migration_session {
	char host[STORE_PEER_MAX]; /* "": none */
	struct physical_tpm_public pub;
	uint8_t key[CRYPT_KEY_SIZE];
	size_t sealed_len;
	uint8_t sealed[PHYSICAL_TPM_RSA_MAX]; /* the key, as the destination's chip decrypts it */
};

/* All of them. For the console's thread only. */
struct migration_sessions;

struct migration_sessions *migration_sessions_new(void);
void migration_sessions_free(struct migration_sessions *sessions);

/*
 * migration_session_begin: makes a key for host, whose chip's key is pub; the one that is there
 * already if it is for the same pub. *session stays valid until the next call. -EINVAL: no key.
 */
int migration_session_begin(struct migration_sessions *sessions, const char *host,
			    const struct physical_tpm_public *pub,
			    const struct migration_session **session);

/*
 * migration_anchor: has the chip's worker advance the host's anchor, since a vTPM has left: an old
 * copy of the store's folder would bring it back. Does not wait.
 */
void migration_anchor(struct manager *manager);

/* migration_session_find: NULL if there is no key for host (any more). */
const struct migration_session *migration_session_find(const struct migration_sessions *sessions,
						       const char *host);

/*
 * The destination's side: what the chip made of an encrypted key. migration_session_recall returns
 * false if it has to be asked (again).
 */
void migration_session_remember(struct migration_sessions *sessions, struct reader sealed,
				const uint8_t *key);
bool migration_session_recall(const struct migration_sessions *sessions, struct reader sealed,
			      uint8_t *key);

#endif
