/*
 * host.h - what a vTPM has of its host: PCRs to begin with, a certificate of its endorsement key,
 * quotes of the physical TPM. The manager is asked, and waited for; who gets what it does not offer
 * gets nothing.
 */
#ifndef INSTANCE_HOST_H
#define INSTANCE_HOST_H

#include "instance/link.h"
#include "tpmcore/tpm.h"

enum { HOST_NONCE_SIZE = 20 };

/*
 * host_boot_pcrs: sets what the TPM's PCRs begin with at its next TPM_Startup. 0, or a negative
 * errno after having logged it: the TPM must not be started then, since who can extend a PCR from
 * zero can make it look like the host's.
 */
int host_boot_pcrs(struct link *link, struct tpm *tpm);

/*
 * host_certify: stores a certificate of the endorsement key where PC clients look for it, unless
 * there is one or the host certifies none. For that, a TPM that is off runs for a moment that
 * nobody sees, and loses what TPM_SaveState kept. *changed becomes true if it has to be saved. A
 * TPM whose guest has locked its NV storage goes without, which is logged. 0, or a negative errno
 * when the manager could not be asked.
 */
int host_certify(struct link *link, struct tpm *tpm, bool *changed);

/*
 * host_quote: evidence (vtpm/quote.h) about this TPM and these PCRs of the host (bit n: PCR n).
 * nonce has HOST_NONCE_SIZE bytes. 0 or a negative errno, logged.
 */
int host_quote(struct link *link, const struct tpm *tpm, uint32_t pcrs, const uint8_t *nonce,
	       struct blob *evidence);

/* host_is_quote: whether a TPM command is VTPM_TPM_ORD_DEEP_QUOTE. */
bool host_is_quote(const uint8_t *cmd, size_t len);

/* host_execute_quote: executes such a command; response has room for TPM_BUFFER_SIZE bytes. */
void host_execute_quote(struct link *link, const struct tpm *tpm, const uint8_t *cmd, size_t len,
			uint8_t *response, size_t *response_len);

#endif
