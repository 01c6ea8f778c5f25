/*
 * record.h - what the next manager must know to take over a running instance, in a file of the run
 * folder: whose process it is, and the command that it has not answered yet.
 *
 * It is written so that a kill at any moment leaves it right, but not synced: what it is about does
 * not survive a reboot either. Layout, all big-endian:
 *   0     identity: "VTPMRUN1", boot:16, pid:4, start time:8, journal's inode:8, startup mode:1,
 *         opened:8, program:32, and 32 bytes of SHA-256 over all that
 *   256   ready:1
 *   264   sequence number of the command whose response was delivered last:8
 *   512   command sent last: sequence number:8, back-end:4, locality:4, sized command, and 32 bytes
 *         of SHA-256 over all that
 *
 * The thread that delivers a response notes that itself, at once: a moment in between is one in
 * which a kill would make the next manager deliver it twice.
 */
#ifndef MANAGER_RECORD_H
#define MANAGER_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include <vtpm/info.h>

struct record;

enum { RECORD_BOOT_SIZE = 16 };

struct record_identity {
	uint8_t boot[RECORD_BOOT_SIZE];
	uint32_t pid;
	uint64_t start_time;
	uint64_t journal;
	uint8_t startup;
	uint64_t opened;
	uint8_t program[VTPM_HASH_SIZE];
};

struct record_command {
	uint64_t sequence;
	uint32_t backend;
	uint32_t locality;
	uint8_t *data; /* within the memory that record_open gave */
	size_t len;
};

/* record_create: a new file with nothing in it, or NULL after the reason was logged. */
struct record *record_create(const char *path);

/*
 * record_open: one that an earlier manager left. NULL if there is none, or it is damaged or of an
 * earlier boot; then it is removed. *answered is the number delivered last; *command has the
 * command sent last, with sequence 0 if there is none, and memory that the caller frees.
 */
struct record *record_open(const char *path, struct record_identity *identity, bool *ready,
			   uint64_t *answered, struct record_command *command);

struct record *record_ref(struct record *record);
void record_unref(struct record *record); /* NULL does nothing */

/* record_boot: differs after each boot. Zeros if it is unknown; then all boots are one. */
void record_boot(uint8_t boot[RECORD_BOOT_SIZE]);

/* Each writes its part; what goes wrong is logged. identity->boot is filled in. */
void record_identity(struct record *record, struct record_identity *identity);
void record_ready(struct record *record, bool ready);
void record_sent(struct record *record, const struct record_command *command);
void record_answered(struct record *record, uint64_t sequence); /* from any thread */

#endif
