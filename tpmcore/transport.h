/*
 * transport.h - what the commands of transport sessions share [TPM Main Part 3, 24].
 */
#ifndef TPMCORE_TRANSPORT_H
#define TPMCORE_TRANSPORT_H

#include "tpmcore/core.h"

/*
 * transport_verify: checks authorization i, which is that of a transport session, over in_digest.
 * TPM_AUTH2FAIL.
 */
TPM_RESULT transport_verify(struct command *c, unsigned i);

/*
 * transport_log_in, transport_log_out: TPM_TRANSPORT_LOG_IN and TPM_TRANSPORT_LOG_OUT [Part 2, 13.3
 * and 13.4] of a session that keeps a log; pubKeyHash and parameters are digests.
 */
void transport_log_in(struct transport *t, const uint8_t *parameters, const uint8_t *pubKeyHash);
void transport_log_out(struct transport *t, const struct command *c, uint64_t ticks,
		       const uint8_t *parameters);

#endif
