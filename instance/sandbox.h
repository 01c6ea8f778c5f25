/*
 * sandbox.h - what vtpmd gives up once everything is open: new programs and privileges, the
 * network, all files but its own, and system calls that it has no use for. Whoever takes over a
 * vtpmd through a guest's command gets no further.
 */
#ifndef INSTANCE_SANDBOX_H
#define INSTANCE_SANDBOX_H

#include <stddef.h>

/*
 * What this kernel cannot do is left out, with a line in the debug log: a TPM without a sandbox is
 * better than none.
 *
 * sandbox_restrict_files: this thread, and those that it starts, gain no privileges any more and
 * keep to what is below these folders (files and pipes only, count of them).
 * sandbox_restrict_calls: all threads keep to the system calls that a TPM needs; no new ones come.
 */
void sandbox_restrict_files(const char *const folders[], size_t count);
void sandbox_restrict_calls(void);

#endif
