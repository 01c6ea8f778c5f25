/*
 * envelope.h - a vTPM on its way between two hosts (vtpm/migration.h, docs/state-formats.md).
 */
#ifndef MANAGER_ENVELOPE_H
#define MANAGER_ENVELOPE_H

#include <vtpm/codec.h>

#include "manager/store.h"

struct migration_session;

enum { ENVELOPE_NAME_MAX = 256 }; /* longest name of a domain, with its NUL */

struct envelope {
	/* What is readable by everybody, in the memory of the envelope itself. */
	struct reader session_key; /* encrypted to the destination's chip */
	struct reader head;        /* all in front of the nonce: what is authenticated in clear */
	struct reader sealed;      /* the rest */

	/*
	 * uuid, fence: readable by everybody. Secret: domain type, flags (SUSPENDED and RESUMES),
	 * host PCRs, creation, measurement, generation and activation.
	 */
	struct store_instance entry;
	char domain[ENVELOPE_NAME_MAX]; /* name; for people */
	uint8_t *nvm;                   /* NULL if len is 0 */
	size_t nvm_len;
};

/*
 * envelope_compose: packs an instance up under the key of a session. Of envelope it takes entry,
 * domain and nvm. *out is to be freed by the caller. 0, -EMSGSIZE or -ENOMEM.
 */
int envelope_compose(const struct envelope *envelope, const struct migration_session *session,
		     uint8_t **out, size_t *out_len);

/*
 * envelope_read_head: fills in what is readable by everybody; the bytes must outlive it.
 * -EPROTONOSUPPORT: of a later version; -EBADMSG: cut, or not an envelope.
 */
int envelope_read_head(struct envelope *envelope, const uint8_t *data, size_t len);

/*
 * envelope_open: fills in the secret parts with the session's key (CRYPT_KEY_SIZE bytes); to be
 * released with envelope_wipe. -EBADMSG: changed on its way, or under another key.
 */
int envelope_open(struct envelope *envelope, const uint8_t *key);

/* envelope_wipe: wipes and frees nvm. */
void envelope_wipe(struct envelope *envelope);

#endif
