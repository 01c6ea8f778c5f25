#include "migration/domains.h"

#include <stdio.h>
#include <string.h>

bool
domain_add_vtpm(struct domain *domain, const char *uuid)
{
	if (domain->vtpm_count == DOMAIN_VTPMS_MAX ||
	    !uuid_parse(domain->vtpms[domain->vtpm_count], uuid))
		return false;
	domain->vtpm_count++;
	return true;
}

/* The folder is that of the manager, or the link to it that some scripts use. */
void
domain_add_argument(struct domain *domain, const char *argument)
{
	const char *folder = strstr(argument, "/socks/");
	char name[VTPM_UUID_TEXT_SIZE];
	int end = 0;

	if (!folder)
		folder = strstr(argument, "/sockets/");
	if (!folder || domain->qemu_count == DOMAIN_VTPMS_MAX)
		return;
	sscanf(strchr(folder + 1, '/') + 1, "%36[0-9a-fA-F-].ctrl%n", name, &end);
	if (end > 0)
		snprintf(domain->qemu_vtpms[domain->qemu_count++], sizeof(name), "%s", name);
}

bool
domain_has_vtpm(const struct domain *domain, const void *uuid)
{
	uint8_t of_qemu[VTPM_UUID_SIZE];

	for (unsigned i = 0; i < domain->vtpm_count; i++) {
		if (memcmp(domain->vtpms[i], uuid, VTPM_UUID_SIZE) == 0)
			return true;
	}
	for (unsigned i = 0; i < domain->qemu_count; i++) {
		if (uuid_parse(of_qemu, domain->qemu_vtpms[i]) &&
		    memcmp(of_qemu, uuid, VTPM_UUID_SIZE) == 0)
			return true;
	}
	return false;
}

void
domains_close(struct domains *domains)
{
	if (domains)
		domains->ops->close(domains);
}

int
domains_find(struct domains *domains, const char *name, struct domain *domain, struct why *why)
{
	return domains->ops->find(domains, name, domain, why);
}

int
domains_owner(struct domains *domains, const uint8_t uuid[VTPM_UUID_SIZE], struct domain *domain)
{
	return domains->ops->owner(domains, uuid, domain);
}

enum domains_state
domains_state(struct domains *domains, uint32_t id)
{
	return domains->ops->state(domains, id);
}

int
domains_fd(struct domains *domains)
{
	return domains->ops->fd(domains);
}

void
domains_drain(struct domains *domains)
{
	domains->ops->drain(domains);
}
