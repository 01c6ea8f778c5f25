#include "migration/domains.h"

#include <stddef.h>

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
