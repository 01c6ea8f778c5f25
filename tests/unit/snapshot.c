#include "tests/unit/snapshot.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const unsigned change_of[] = {
	[TPM_STATE_PERMANENT] = TPM_CHANGED_PERMANENT,
	[TPM_STATE_VOLATILE] = TPM_CHANGED_VOLATILE,
	[TPM_STATE_SAVED] = TPM_CHANGED_SAVED,
};

void
snapshot_take(struct snapshot *s, const struct tpm *tpm)
{
	for (enum tpm_state kind = TPM_STATE_PERMANENT; kind <= TPM_STATE_SAVED; kind++)
		ck_assert_uint_eq(tpm_get_state(tpm, kind, &s->of[kind].blob, &s->of[kind].len),
				  TPM_SUCCESS);
}

void
snapshot_free(struct snapshot *s)
{
	for (enum tpm_state kind = TPM_STATE_PERMANENT; kind <= TPM_STATE_SAVED; kind++)
		free(s->of[kind].blob);
}

static void
restore_part(const struct snapshot *s, enum tpm_state kind, struct tpm *tpm)
{
	ck_assert_uint_eq(tpm_set_state(tpm, kind, s->of[kind].blob, s->of[kind].len), TPM_SUCCESS);
}

void
snapshot_restore(const struct snapshot *s, struct tpm *tpm)
{
	restore_part(s, TPM_STATE_PERMANENT, tpm);
	restore_part(s, TPM_STATE_SAVED, tpm);
	tpm_init(tpm);
	restore_part(s, TPM_STATE_VOLATILE, tpm);
}

unsigned
snapshot_changes(const struct snapshot *s, const struct tpm *tpm)
{
	struct snapshot now;
	unsigned changes = 0;

	snapshot_take(&now, tpm);
	for (enum tpm_state kind = TPM_STATE_PERMANENT; kind <= TPM_STATE_SAVED; kind++)
		if (now.of[kind].len != s->of[kind].len ||
		    (now.of[kind].len > 0 &&
		     memcmp(now.of[kind].blob, s->of[kind].blob, now.of[kind].len) != 0))
			changes |= change_of[kind];
	snapshot_free(&now);
	return changes;
}
