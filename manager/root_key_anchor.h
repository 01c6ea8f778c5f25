/*
 * root_key_anchor.h - a number in the chip that tells an old copy of the whole folder.
 *
 * The store notes the number that the chip's counter is about to have, then the counter moves. So
 * the chip is never ahead of a folder that is not an old copy, and behind by one after a crash
 * between the two.
 */
#ifndef MANAGER_ROOT_KEY_ANCHOR_H
#define MANAGER_ROOT_KEY_ANCHOR_H

#include "manager/root_key_record.h"

/*
 * anchor_start: compares folder and chip, and advances both; makes the anchor if there is none.
 * -ENOTRECOVERABLE, logged, if the folder is an old copy, unless accept is set.
 */
int anchor_start(struct store *store, struct physical_tpm *tpm, struct host_record *host,
		 bool accept);

/* root_key_log: logs what physical_tpm_error says, and returns error. */
int root_key_log(int error);

#endif
