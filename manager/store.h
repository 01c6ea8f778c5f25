/*
 * store.h - what must survive: the instance table and every instance's NVM.
 *
 * In the state folder: VTPM (the table, encrypted and authenticated under the root key), VTPM.log
 * (changes since), vtpm_dm_%u.data (an instance's NVM, under a key of its own that the table
 * holds). docs/state-formats.md has the layouts and says why a crash at any system call leaves the
 * old or the new state.
 *
 * A change is durable when its function returns or its callback is called. Several at once share
 * their flushes. When one fails (-ENOSPC, -EIO, -EROFS, -EMFILE, ...) the last durable state stays
 * what it was, on disk and in memory, the reason is logged, and the next change tries again: no
 * restart is needed once the cause is gone.
 *
 * All functions may be called from any thread.
 */
#ifndef MANAGER_STORE_H
#define MANAGER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

enum {
	STORE_KEY_SIZE = 32,
	STORE_UUID_SIZE = 16,
	STORE_DIGEST_SIZE = 32,        /* SHA-256 */
	STORE_NVM_MAX = 1024 * 1024,   /* longest NVM, as VTPM_MESSAGE_MAX */
	STORE_PEER_MAX = 256,          /* name of another host, with its NUL */
	STORE_INSTANCES_MAX = 1 << 16, /* entries of the table */
};

/* Flags of an instance. */
enum {
	STORE_FLAG_SUSPENDED = 1 << 0, /* its domain was saved: the next start resumes it */
	STORE_FLAG_INCOMING = 1 << 1,  /* a copy from another host that may not run yet */
	STORE_FLAG_RECOVERED = 1 << 2, /* an operator accepted a state that had been refused */
	STORE_FLAG_OUTGOING = 1 << 3,  /* frozen, on its way to another host, not committed */
	STORE_FLAG_RESUMES = 1 << 4,   /* a guest uses it: it is started as soon as it may run */
	STORE_FLAG_PREPARED = 1 << 5,  /* incoming, and its state is here */
	STORE_FLAG_FORGOTTEN = 1 << 6, /* migrated: no commit, but a copy that was given back */
	STORE_FLAG_OPENED = 1 << 7,    /* incoming, and a guest here uses it: is to resume */
};

/* An entry of the instance table. Times are seconds since 1970. */
struct store_instance {
	uint32_t id; /* 1 to 2^32 - 1 */
	uint8_t uuid[STORE_UUID_SIZE];
	uint8_t type;        /* VTPM_TYPE_* of <vtpm/manager.h> */
	uint8_t domain_type; /* VTPM_DOMAIN_* */
	uint32_t flags;      /* STORE_FLAG_* */
	uint64_t fence;      /* number of the last migration that concerned it */
	uint32_t host_pcrs;  /* PCRs of the host that it starts with: bit n is PCR n */
	uint64_t created;
	uint8_t measurement[STORE_DIGEST_SIZE]; /* of the vtpmd that ran it last */
	char peer[STORE_PEER_MAX];              /* migrated to or from this host; else "" */
	uint64_t peer_time;                     /* when */
	uint8_t activation[STORE_DIGEST_SIZE];  /* of the secret that lets a copy run */

	/* The store's own; ignored by store_define and store_update. */
	uint64_t generation; /* number of saves; 0: never saved */
	uint64_t saved;
	uint8_t nvm_digest[STORE_DIGEST_SIZE]; /* SHA-256 of the last saved NVM */
	bool refused; /* its NVM did not pass the check; it cannot be loaded */
};

/*
 * store_open: locks the folder dir (made if missing, mode 0700) for this process and reads VTPM as
 * far as that goes without the root key. Errors are logged: -EBUSY, another manager has it (its pid
 * is named); -EOVERFLOW, written by a newer version; -EUCLEAN, damaged; or that of the file system.
 * Nothing has been changed then.
 */
int store_open(struct store **store, const char *dir);

/* store_close: waits for saves under way, unlocks and frees. NULL is fine. */
void store_close(struct store *store);

/* store_dir: the folder, as given. */
const char *store_dir(const struct store *store);

/*
 * The seal: how the root key is bound to the chip. Opaque to the store, readable without the root
 * key, authenticated by it. Used by root_key.c. store_seal returns NULL for a new store; the memory
 * stays valid until the next store_set_seal.
 */
const uint8_t *store_seal(const struct store *store, size_t *len);

/*
 * store_create: makes a new store under key with seal. store_unlock: checks VTPM and its log with
 * key, finishes what a crash interrupted and checks every instance's NVM file; one that is missing,
 * old, cut, edited or of another instance is refused by name in the log (store_instance.refused),
 * the others go on. -EUCLEAN: VTPM or its log does not belong to key or is damaged; nothing has
 * been changed then.
 */
int store_create(struct store *store, const uint8_t *key, const uint8_t *seal, size_t seal_len);
int store_unlock(struct store *store, const uint8_t *key);

/* store_key: the root key of an unlocked store. */
const uint8_t *store_key(const struct store *store);

/* store_set_seal: replaces the seal, durably. */
int store_set_seal(struct store *store, const uint8_t *seal, size_t seal_len);

/*
 * The host record: what the manager keeps for the host as a whole (owner secret, migration key,
 * anchor), opaque to the store, encrypted. store_host copies it to *data, to be freed by the caller
 * (wiped first); none: *data NULL, *len 0.
 */
int store_host(struct store *store, uint8_t **data, size_t *len);
int store_set_host(struct store *store, const uint8_t *data, size_t len);

/* store_changes: counts every durable change since the store was opened. */
uint64_t store_changes(struct store *store);

/*
 * store_define: adds an instance. instance->id 0 chooses the lowest free number. *id gets the
 * number (NULL is fine). -EEXIST if number or uuid is in use, -ENOSPC if the table is full.
 */
int store_define(struct store *store, const struct store_instance *instance, uint32_t *id);

/* store_find, store_find_uuid: copies the entry to *instance. -ENOENT. */
int store_find(struct store *store, uint32_t id, struct store_instance *instance);
int store_find_uuid(struct store *store, const uint8_t *uuid, struct store_instance *instance);

/* store_list: all entries by number, to be freed by the caller. */
int store_list(struct store *store, struct store_instance **list, size_t *count);

/* store_update: replaces the entry of instance->id but for uuid, number and the store's own fields.
 */
int store_update(struct store *store, const struct store_instance *instance);

/*
 * store_delete: destroys the instance: its key, then its file. Nothing else removes state.
 */
int store_delete(struct store *store, uint32_t id);

/*
 * store_load_nvm: the NVM saved last, in *data, to be freed by the caller (wiped first). An
 * instance that was never saved has *len 0 and *data NULL. -ENOENT: no such instance; -EUCLEAN: its
 * file is refused (the log says why); or an error of the file system.
 */
int store_load_nvm(struct store *store, uint32_t id, uint8_t **data, size_t *len);

/*
 * store_save_nvm: saves len bytes of NVM (copied before it returns). done(ctx, error) is called
 * exactly once, on the store's own thread, when they are durable (0) or have failed (negative
 * errno): it must not block and must not call a function that changes the store. Saves of one
 * instance are done in the order of their calls.
 */
void store_save_nvm(struct store *store, uint32_t id, const uint8_t *data, size_t len,
		    void (*done)(void *ctx, int error), void *ctx);

/* store_save_nvm_wait: the same, waiting. */
int store_save_nvm_wait(struct store *store, uint32_t id, const uint8_t *data, size_t len);

/*
 * store_verify: checks the NVM file of an instance (id 0: all, and strange files in the folder)
 * against the table, and calls report(ctx, id, error, text) for each, error 0 for a good one. An
 * instance whose file is good again is no longer refused. Returns the number of bad ones.
 */
int store_verify(struct store *store, uint32_t id,
		 void (*report)(void *ctx, uint32_t id, int error, const char *text), void *ctx);

/*
 * store_recover: the operator's decision about a refused instance: its file, if it can be decrypted
 * at all, becomes the valid one, with a record in the log and STORE_FLAG_RECOVERED. -EUCLEAN if it
 * cannot be decrypted; -EALREADY if it is not refused.
 */
int store_recover(struct store *store, uint32_t id);

#endif
