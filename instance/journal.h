/*
 * journal.h - what a vtpmd that was killed leaves to its successor (docs/state-formats.md).
 *
 * Memory that the manager holds and hands to each vtpmd of an instance: it survives the process
 * but not the host's power. Two slots are written in turn, so that one is whole at any moment.
 */
#ifndef INSTANCE_JOURNAL_H
#define INSTANCE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct journal;

/* One record; all pointers are views. */
struct journal_record {
	uint64_t sequence;       /* of the last VTPM_ORD_EXECUTE that was answered, 0 if none */
	bool presence;           /* the physical presence pin */
	bool off;                /* the TPM is switched off */
	const uint8_t *response; /* what it was answered */
	size_t response_len;
	const uint8_t *volatile_state;
	size_t volatile_len;
	const uint8_t *nvm; /* an image that may not have been saved; len 0 if there is none */
	size_t nvm_len;
	uint64_t qemu_number; /* how many commands QEMU has sent; the answer to the last one */
	const uint8_t *qemu_response;
	size_t qemu_response_len;
};

/*
 * journal_open: maps the memory behind fd, giving it its size if it is new. fd stays the caller's.
 * Returns 0 or a negative errno. To be closed with journal_close.
 */
int journal_open(int fd, struct journal **journal);
void journal_close(struct journal *journal);

/* journal_read: the newest whole record, in place until the next write; false if there is none. */
bool journal_read(struct journal *journal, struct journal_record *record);

/* journal_write: 0, or -EMSGSIZE for a record that does not fit; then there is none any more. */
int journal_write(struct journal *journal, const struct journal_record *record);

/*
 * journal_deliver: notes that QEMU gets the answer of this number now. journal_delivered: the
 * number of the last one that it got, or was just about to get.
 */
void journal_deliver(struct journal *journal, uint64_t number);
uint64_t journal_delivered(const struct journal *journal);

/* journal_clear: forgets all records. */
void journal_clear(struct journal *journal);

#endif
