/*
 * host_name.h - how hosts are named and found.
 */
#ifndef MIGRATION_HOST_NAME_H
#define MIGRATION_HOST_NAME_H

#include <stdbool.h>
#include <stddef.h>

enum { HOST_NAME_SIZE = 256, HOST_ADDRESS_SIZE = 320 };

/*
 * host_split: takes HOST, HOST:PORT, [IPV6] or IPV6 apart: name without brackets and port (size
 * HOST_NAME_SIZE), and the address (HOST_ADDRESS_SIZE) of its vtpm_migratord in the form of
 * vtpm/addr.h. false if it is none of these.
 */
bool host_split(const char *host, char *name, char *address);

/* host_own_name: this machine's name. */
void host_own_name(char *name);

/* host_is_this: whether the name (without port) means this machine itself. */
bool host_is_this(const char *name);

#endif
