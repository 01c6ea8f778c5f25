/*
 * sandbox.h - what vtpmd gives up once everything is open: new programs and privileges, the
 * network, all files but its own, and system calls that it has no use for. Whoever takes over a
 * vtpmd through a guest's command gets no further.
 */
#ifndef INSTANCE_SANDBOX_H
#define INSTANCE_SANDBOX_H

#include <stddef.h>

/*
 * sandbox_enter: keeps to what is below these folders (files and pipes only, count of them) from
 * now on. What this kernel cannot do is left out, with a line in the debug log: a TPM without a
 * sandbox is better than none.
 */
void sandbox_enter(const char *const folders[], size_t count);

#endif
