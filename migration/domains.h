/*
 * domains.h - what a migration has to know of the domains of this host: which vTPMs a domain has,
 * and whether it is suspended. Filled by Xen (domains_xen), and where there is none by files
 * (domains_folder), which lets everything above run without a hypervisor.
 */
#ifndef MIGRATION_DOMAINS_H
#define MIGRATION_DOMAINS_H

#include <stdbool.h>
#include <stdint.h>

#include <vtpm/info.h>

#include "migration/why.h"

enum { DOMAIN_VTPMS_MAX = 16, DOMAIN_NAME_SIZE = 128 };

struct domain {
	uint32_t id;
	char name[DOMAIN_NAME_SIZE];
	unsigned vtpm_count; /* devices of its own */
	uint8_t vtpms[DOMAIN_VTPMS_MAX][VTPM_UUID_SIZE];
	unsigned qemu_count; /* those that its QEMU has: uuids or instance numbers */
	char qemu_vtpms[DOMAIN_VTPMS_MAX][VTPM_UUID_TEXT_SIZE];
};

enum domains_state {
	DOMAINS_RUNNING,
	DOMAINS_SUSPENDED, /* shut down in order to be saved or migrated */
	DOMAINS_GONE,
};

struct domains;

struct domains_ops {
	void (*close)(struct domains *domains);
	int (*find)(struct domains *domains, const char *name, struct domain *domain,
		    struct why *why);
	int (*owner)(struct domains *domains, const uint8_t uuid[VTPM_UUID_SIZE],
		     struct domain *domain);
	enum domains_state (*state)(struct domains *domains, uint32_t id);
	int (*fd)(struct domains *domains);
	void (*drain)(struct domains *domains);
};

/* The first member of each filling's own structure. */
struct domains {
	const struct domains_ops *ops;
};

/* domains_xen: xenstore and the hypervisor. Returns 0 or a negative errno, with *why. */
int domains_xen(struct domains **domains, struct why *why);

/*
 * domains_folder: a domain is a file `NAME` in the folder, made by renaming: "ID STATE UUID..."
 * with STATE running or suspended; words that are no uuid are arguments of its QEMU. Returns as
 * domains_xen.
 */
int domains_folder(struct domains **domains, const char *dir, struct why *why);

/* domains_close: NULL is nothing. */
void domains_close(struct domains *domains);

/* domains_find: by name or number. Returns 0 or a negative errno, with *why. */
int domains_find(struct domains *domains, const char *name, struct domain *domain, struct why *why);

/* domain_add_vtpm: a device of its own, by its uuid; false if that is none. */
bool domain_add_vtpm(struct domain *domain, const char *uuid);

/* domain_add_argument: an argument of its QEMU, which may name a vTPM: "...path=.../socks/ID.ctrl".
 */
void domain_add_argument(struct domain *domain, const char *argument);

/* domain_has_vtpm: whether it, or its QEMU, has the vTPM of this uuid (VTPM_UUID_SIZE bytes). */
bool domain_has_vtpm(const struct domain *domain, const void *uuid);

/* domains_owner: the domain that has this vTPM; -ENOENT if none has. */
int domains_owner(struct domains *domains, const uint8_t uuid[VTPM_UUID_SIZE],
		  struct domain *domain);

enum domains_state domains_state(struct domains *domains, uint32_t id);

/* domains_fd: readable when a state may have changed, until domains_drain. */
int domains_fd(struct domains *domains);
void domains_drain(struct domains *domains);

#endif
