#include "manager/root_key_anchor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <vtpm/log.h>

#include "manager/crypt.h"
#include "manager/root_key.h"

static int
anchor_auth(struct store *store, uint8_t *auth)
{
	uint8_t key[CRYPT_KEY_SIZE];
	int error = crypt_derive(key, store_key(store), "vtpm anchor");

	memcpy(auth, key, PHYSICAL_TPM_AUTH_SIZE);
	explicit_bzero(key, sizeof(key));
	return error;
}

/* Notes the counter's next value, then moves the counter. */
static int
advance(struct store *store, struct physical_tpm *tpm, const uint8_t *auth,
	struct host_record *host, uint64_t present)
{
	host->anchor = present + 1;
	int error = host_record_save(store, host);
	if (error < 0)
		return error;
	error = physical_tpm_anchor_increment(tpm, auth, host->anchor_index, &present);
	if (error < 0)
		return root_key_log(error);
	return present == host->anchor ? 0 : -EIO;
}

static int
make_anchor(struct store *store, struct physical_tpm *tpm, const uint8_t *auth,
	    struct host_record *host)
{
	char text[256];
	uint64_t present;
	int error = physical_tpm_anchor_define(tpm, host->owner_known ? host->owner_auth : NULL,
					       auth, &host->anchor_index);

	if (error == 0)
		error = physical_tpm_anchor_read(tpm, auth, host->anchor_index, &present);
	if (error < 0) {
		log_warning(
		    "no anchor in the physical TPM (%s): an old copy of the whole folder %s "
		    "would not be noticed",
		    physical_tpm_error(text, sizeof(text)), store_dir(store));
		return 0;
	}
	host->anchored = true;
	return advance(store, tpm, auth, host, present);
}

/* The folder and the chip do not agree. */
static int
disagree(struct store *store, const char *what, bool accept)
{
	if (!accept) {
		log_error(
		    "%s is refused: %s. An old copy of the folder would bring back old states "
		    "of all TPMs. Put the newest copy back, or, to take this one as it is, "
		    "start once with --accept-rollback",
		    store_dir(store), what);
		return -ENOTRECOVERABLE;
	}
	log_warning("%s: %s; the operator ACCEPTS this folder as it is (--accept-rollback)",
		    store_dir(store), what);
	return 0;
}

static int
check_anchor(struct store *store, struct physical_tpm *tpm, const uint8_t *auth,
	     struct host_record *host, bool accept)
{
	char what[160];
	uint64_t present = 0;
	int error = physical_tpm_anchor_read(tpm, auth, host->anchor_index, &present);

	if (error == -ENOKEY) {
		error = disagree(store, "its anchor is gone from the physical TPM", accept);
		host->anchored = false;
		return error < 0 ? error : make_anchor(store, tpm, auth, host);
	}
	if (error < 0)
		return root_key_log(error);
	if (present != host->anchor && present + 1 != host->anchor) {
		snprintf(what, sizeof(what),
			 "it was at %" PRIu64 " when this copy was made, but the physical TPM "
			 "says %" PRIu64,
			 host->anchor, present);
		error = disagree(store, what, accept);
	}
	return error < 0 ? error : advance(store, tpm, auth, host, present);
}

int
anchor_start(struct store *store, struct physical_tpm *tpm, struct host_record *host, bool accept)
{
	uint8_t auth[PHYSICAL_TPM_AUTH_SIZE];
	int error = anchor_auth(store, auth);

	if (error == 0)
		error = host->anchored ? check_anchor(store, tpm, auth, host, accept)
				       : make_anchor(store, tpm, auth, host);
	explicit_bzero(auth, sizeof(auth));
	return error;
}

int
root_key_anchor(struct store *store, struct physical_tpm *tpm)
{
	uint8_t auth[PHYSICAL_TPM_AUTH_SIZE];
	struct host_record host;
	uint64_t present;

	host_record_lock();
	int error = host_record_load(store, &host);
	if (error < 0 || !host.anchored)
		goto out;
	error = anchor_auth(store, auth);
	if (error == 0) {
		/* From what the chip says, so that failures do not add up. */
		error = physical_tpm_anchor_read(tpm, auth, host.anchor_index, &present);
		error = error < 0 ? root_key_log(error) : advance(store, tpm, auth, &host, present);
	}
	explicit_bzero(auth, sizeof(auth));
	explicit_bzero(&host, sizeof(host));
out:
	host_record_unlock();
	return error;
}

void
root_key_keep_pace(struct root_key_pace *pace, struct store *store, struct physical_tpm *tpm,
		   unsigned seconds)
{
	uint64_t changes = store_changes(store);

	pace->passed += seconds;
	if (pace->passed < pace->interval || changes == pace->changes)
		return;
	pace->passed = 0;
	if (root_key_anchor(store, tpm) == 0)
		pace->changes = changes + 1; /* its own, too: the anchor's value is noted first */
}
