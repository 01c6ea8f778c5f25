/*
 * secrets.h - processes through whose memory secrets pass.
 */
#ifndef VTPM_SECRETS_H
#define VTPM_SECRETS_H

/* secrets_guard: no core dump of this process, and no debugger but root's. A failure is logged. */
void secrets_guard(void);

#endif
