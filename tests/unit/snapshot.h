/*
 * snapshot.h - a running TPM at one moment, to go back to or to compare with.
 */
#ifndef TESTS_UNIT_SNAPSHOT_H
#define TESTS_UNIT_SNAPSHOT_H

#include <tpmcore/tpm.h>

/* The blobs of tpm_get_state, by enum tpm_state. */
struct snapshot {
	struct {
		uint8_t *blob;
		size_t len;
	} of[TPM_STATE_SAVED + 1];
};

/* snapshot_take: to be freed with snapshot_free. */
void snapshot_take(struct snapshot *s, const struct tpm *tpm);
void snapshot_free(struct snapshot *s);
/* snapshot_restore: into a TPM, whatever it is in the middle of. */
void snapshot_restore(const struct snapshot *s, struct tpm *tpm);

/*
 * snapshot_changes: in which parts the TPM differs from s, by the flags that tpm_execute tells of
 * them with. Not 0 either when the bench's clock was moved meanwhile.
 */
unsigned snapshot_changes(const struct snapshot *s, const struct tpm *tpm);

#endif
