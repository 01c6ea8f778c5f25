/*
 * deep_quote.h - the physical TPM vouches for the host that a vTPM runs on (vtpm/quote.h).
 */
#ifndef MANAGER_DEEP_QUOTE_H
#define MANAGER_DEEP_QUOTE_H

#include <vtpm/quote.h>

#include "manager/physical_tpm.h"
#include "manager/store.h"

/*
 * deep_quote: makes evidence about quote's uuid, ek, nonce and pcrs; fills in the rest of it.
 * evidence has room for QUOTE_EVIDENCE_MAX bytes; quote's views are of no use afterwards. Blocks as
 * the functions of physical_tpm.h. 0 or a negative errno, logged.
 */
int deep_quote(struct store *store, struct physical_tpm *tpm, struct quote *quote,
	       uint8_t *evidence, size_t *len);

#endif
