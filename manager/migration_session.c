#include "manager/migration_session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "manager/manager.h"
#include "manager/migration_key.h"
#include "manager/root_key.h"
#include "manager/worker.h"

enum { SESSIONS_MAX = 64 }; /* each way; the oldest one goes */

struct received {
	bool known;
	uint8_t digest[CRYPT_SHA256_SIZE]; /* of the encrypted key */
	uint8_t key[CRYPT_KEY_SIZE];
};

struct migration_sessions {
	struct migration_session begun[SESSIONS_MAX];
	struct received received[SESSIONS_MAX];
	unsigned begun_next;
	unsigned received_next;
	bool anchoring; /* it is on the list of the chip's worker */
};

/* Goes to the chip's worker, and from there a task back to the console. */
struct anchoring {
	struct task task;
	struct manager *manager;
};

struct migration_sessions *
migration_sessions_new(void)
{
	return calloc(1, sizeof(struct migration_sessions));
}

void
migration_sessions_free(struct migration_sessions *sessions)
{
	crypt_free(sessions, sizeof(*sessions));
}

const struct migration_session *
migration_session_find(const struct migration_sessions *sessions, const char *host)
{
	for (unsigned i = 0; i < SESSIONS_MAX; i++) {
		if (host[0] && strcmp(sessions->begun[i].host, host) == 0)
			return &sessions->begun[i];
	}
	return NULL;
}

static bool
same_public(const struct physical_tpm_public *a, const struct physical_tpm_public *b)
{
	return a->scheme == b->scheme && a->exponent == b->exponent &&
	       a->modulus_len == b->modulus_len &&
	       memcmp(a->modulus, b->modulus, a->modulus_len) == 0;
}

int
migration_session_begin(struct migration_sessions *sessions, const char *host,
			const struct physical_tpm_public *pub,
			const struct migration_session **session)
{
	const struct migration_session *known = migration_session_find(sessions, host);
	struct migration_session made = { .pub = *pub };

	*session = known;
	if (known && same_public(&known->pub, pub))
		return 0;
	memcpy(made.host, host, strlen(host));
	crypt_random(made.key, sizeof(made.key));
	int error =
	    migration_key_encrypt(pub, made.key, sizeof(made.key), made.sealed, &made.sealed_len);
	if (error == 0) {
		unsigned place = known ? (unsigned)(known - sessions->begun)
				       : sessions->begun_next++ % SESSIONS_MAX;

		sessions->begun[place] = made;
		*session = &sessions->begun[place];
	}
	explicit_bzero(&made, sizeof(made));
	return error;
}

void
migration_session_remember(struct migration_sessions *sessions, struct reader sealed,
			   const uint8_t *key)
{
	struct received *received = &sessions->received[sessions->received_next++ % SESSIONS_MAX];

	received->known = true;
	crypt_sha256(received->digest, CRYPT_PARTS({ sealed.pos, sealed.left }));
	memcpy(received->key, key, sizeof(received->key));
}

bool
migration_session_recall(const struct migration_sessions *sessions, struct reader sealed,
			 uint8_t *key)
{
	uint8_t digest[CRYPT_SHA256_SIZE];

	crypt_sha256(digest, CRYPT_PARTS({ sealed.pos, sealed.left }));
	for (unsigned i = 0; i < SESSIONS_MAX; i++) {
		const struct received *received = &sessions->received[i];

		if (!received->known || memcmp(received->digest, digest, sizeof(digest)) != 0)
			continue;
		memcpy(key, received->key, sizeof(received->key));
		return true;
	}
	return false;
}

/* What leaves from here on asks for another one. */
static void
anchoring_begun(struct task *task)
{
	struct anchoring *anchoring = TASK_OWNER(task, struct anchoring, task);

	anchoring->manager->sessions->anchoring = false;
	free(anchoring);
}

static void
anchor_on_chip(void *arg)
{
	struct anchoring *anchoring = arg;
	struct manager *manager = anchoring->manager;

	anchoring->task.run = anchoring_begun;
	listener_post(manager->console_listener, &anchoring->task);
	root_key_anchor(manager->store, manager->tpm);
}

void
migration_anchor(struct manager *manager)
{
	struct anchoring *anchoring =
	    manager->sessions->anchoring ? NULL : malloc(sizeof(*anchoring));

	if (!anchoring)
		return;
	anchoring->manager = manager;
	if (worker_submit(manager->chip, anchor_on_chip, anchoring) < 0)
		free(anchoring);
	else
		manager->sessions->anchoring = true;
}
