/*
 * store_internal.h - what the files of the store share.
 *
 * One thread, the committer (store_commit.c), changes the table and writes files; everybody else
 * reads the table under the lock. store.c is the way in; store_change.c has what each kind of
 * change does, store_log.c keeps VTPM and VTPM.log, store_nvm.c the NVM files, store_flush.c what
 * of those only the log has, store_table.c the table in memory; store_read.c loads and verifies.
 * docs/state-formats.md has the layouts.
 */
#ifndef MANAGER_STORE_INTERNAL_H
#define MANAGER_STORE_INTERNAL_H

#include <pthread.h>
#include <sys/types.h>

#include <vtpm/codec.h>

#include "manager/crypt.h"
#include "manager/store.h"

enum {
	STORE_VERSION = 2,      /* 1: entries without activation */
	STORE_NVM_VERSION = 1,  /* of NVM files */
	STORE_ENTRY_MAX = 1024, /* bytes of an entry, serialised */
	STORE_SEAL_MAX = 64 * 1024,
	STORE_HOST_MAX = 64 * 1024,
	STORE_BATCH_MAX = 256,        /* changes that share a flush */
	STORE_BATCH_BYTES = 4 << 20,  /* and bytes of NVM; one change may be longer */
	STORE_LOG_COMPACT = 16 << 20, /* a longer log is folded into VTPM */
	STORE_WHY_MAX = 256,          /* text that says why a file is refused */
};

/* An instance as the store knows it. */
struct entry {
	struct store_instance instance;
	uint8_t key[STORE_KEY_SIZE]; /* of its NVM file */
	uint8_t tag[CRYPT_TAG_SIZE]; /* GCM tag of its present NVM file: names that very file */

	/* Of this process; the committer's own. */
	bool unflushed; /* the log still vouches for the file */
	bool suspect;   /* flushing the file failed: it has to be written again */
};

/* VTPM.log, open for appending. Only the committer uses it once the store is unlocked. */
struct store_log {
	int fd; /* -1: none yet */
	off_t len;
	uint64_t sequence;             /* of the last frame, or of VTPM if there is none since */
	uint8_t chain[CRYPT_TAG_SIZE]; /* tag of that frame, or of VTPM */
	bool broken;                   /* VTPM must be written anew before the next frame */
};

/* An NVM file that only the log has, since its flush had not come when the power failed. */
struct image {
	struct image *next;
	uint32_t id;
	size_t len;
	uint8_t data[];
};

enum { STORE_BOOT_SIZE = 16 };

struct change;

struct store {
	char *dir;
	int dir_fd;
	int lock_fd;

	uint8_t *vtpm; /* VTPM as read by store_open, until it is unlocked */
	size_t vtpm_len;
	bool unlocked;
	uint32_t removed; /* by the log's last frame, if that is a removal: its file may be left */
	uint8_t key[STORE_KEY_SIZE];
	uint8_t table_key[STORE_KEY_SIZE];
	uint8_t log_key[STORE_KEY_SIZE];
	struct store_log log;
	uint8_t boot[STORE_BOOT_SIZE]; /* tells one boot of the host from another */
	bool rebooted;                 /* since VTPM was written */

	pthread_mutex_t lock;  /* for what follows */
	struct entry *entries; /* sorted by number */
	size_t count;
	size_t room;
	uint8_t *seal;
	size_t seal_len;
	uint8_t *host;
	size_t host_len;
	struct image *images;
	uint64_t changes;

	pthread_t committer;
	bool committing; /* the thread runs */
	bool stop;
	pthread_cond_t wake;     /* something was queued, or stop */
	pthread_cond_t finished; /* some change that somebody waits for is done */
	struct change *first;
	struct change **end;
};

/* Records of the log. */
enum store_record {
	RECORD_NONE,
	RECORD_ENTRY,  /* an entry, new or changed */
	RECORD_REMOVE, /* number of an entry that is gone */
	RECORD_HOST,   /* the host record */
	RECORD_NVM,    /* an entry and its new NVM file */
};

/* store_table.c */

/* table_find: the entry of a number, or NULL. Valid until the table changes. */
struct entry *table_find(struct store *store, uint32_t id);
struct entry *table_find_uuid(struct store *store, const uint8_t *uuid);
/* table_put: adds or replaces. 0 or -ENOMEM. */
int table_put(struct store *store, const struct entry *entry);
void table_remove(struct store *store, uint32_t id);
/* table_reserve: makes sure that the next table_put cannot fail. */
int table_reserve(struct store *store);
void table_clear(struct store *store);
/* table_lowest_free: lowest number, from `from` on, that has no entry. */
uint32_t table_lowest_free(struct store *store, uint32_t from);
void entry_write(struct writer *w, const struct entry *entry);
bool entry_read(struct reader *r, struct entry *entry);
/* bytes_replace: *data becomes a copy of len bytes; what was there is wiped and freed. */
int bytes_replace(uint8_t **data, size_t *data_len, const uint8_t *with, size_t len);

/* store_log.c */

/* log_read_header: checks what of store->vtpm needs no key, and takes the seal out of it. */
int log_read_header(struct store *store);
/* log_replay: decrypts VTPM and applies the log; fills the table. Changes nothing on disk. */
int log_replay(struct store *store);
/* log_snapshot: writes VTPM from the table and empties the log. */
int log_snapshot(struct store *store);
/*
 * log_append: makes a frame of records (len bytes) durable. After an error it does not count, but
 * *doubtful tells that it may have reached the disk and would count after a crash.
 */
int log_append(struct store *store, const uint8_t *records, size_t len, bool *doubtful);
void log_close(struct store *store);

/* store_nvm.c */

/*
 * nvm_write: composes the NVM file of entry's generation, sets entry->tag and digest, and writes it
 * under its temporary name, not flushed. *image, to be freed by the caller, gets the file's bytes.
 */
int nvm_write(struct store *store, struct entry *entry, const uint8_t *data, size_t len,
	      uint8_t **image, size_t *image_len);
/* nvm_settle: gives the temporary file of entry's generation its final name. */
int nvm_settle(struct store *store, const struct entry *entry);
void nvm_discard(struct store *store, const struct entry *entry);
void nvm_unlink(struct store *store, uint32_t id);
bool nvm_exists(struct store *store, uint32_t id);
/*
 * nvm_read: the NVM of entry: from its file, from the temporary one that a crash left, or from what
 * the log had. data may be NULL (check only). -EUCLEAN: why says what is wrong with the file.
 */
int nvm_read(struct store *store, const struct entry *entry, uint8_t **data, size_t *len,
	     char why[STORE_WHY_MAX]);
/* nvm_is_on_disk: whether it can be read without what the log had. */
bool nvm_is_on_disk(struct store *store, const struct entry *entry);
/*
 * nvm_flush: flushes the file of entry, under whichever name it is; not the folder. -EUCLEAN if
 * there is none. nvm_rewrite: replaces it by len bytes (NULL: by what it has), flushed.
 */
int nvm_flush(struct store *store, const struct entry *entry);
int nvm_rewrite(struct store *store, const struct entry *entry, const uint8_t *file, size_t len);
/*
 * nvm_read_any: for store_recover: the content of whatever file there is under entry's key, and the
 * generation that it was.
 */
int nvm_read_any(struct store *store, const struct entry *entry, uint8_t **data, size_t *len,
		 uint64_t *generation, char why[STORE_WHY_MAX]);
/*
 * nvm_walk: looks at all NVM files of the folder, calls strange(ctx, name) for those that belong to
 * no instance, and with clear_up, while no saves are under way, finishes or removes what crashes
 * left. Under the lock, or before the committer starts.
 */
void nvm_walk(struct store *store, bool clear_up, void (*strange)(void *ctx, const char *name),
	      void *ctx);

/* store_flush.c */

/* boot_identify: fills in store->boot. */
void boot_identify(struct store *store);
/*
 * image_put: keeps a copy of an NVM file, instead of an older one; before the committer starts.
 * image_copy: a copy of it that the caller frees; NULL if there is none. image_drop: forgets it.
 */
int image_put(struct store *store, uint32_t id, const uint8_t *data, size_t len);
uint8_t *image_copy(struct store *store, uint32_t id, size_t *len);
void image_drop(struct store *store, uint32_t id);
void images_clear(struct store *store);
/* images_check: forgets those that are on disk, and tells of the others. */
void images_check(struct store *store);
/* flush_files: makes every NVM file durable that only the log vouches for, so that the log may be
 * emptied. */
int flush_files(struct store *store);

#endif
