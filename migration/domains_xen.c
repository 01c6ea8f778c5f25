#include "migration/domains.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenctrl.h>
#include <xenstore.h>

enum { PATH_SIZE = 512 };

struct domains_xen {
	struct domains base;
	struct xs_handle *store;
	xc_interface *hypervisor;
};

static struct domains_xen *
xen_of(struct domains *domains)
{
	return (struct domains_xen *)domains;
}

static void
xen_close(struct domains *domains)
{
	struct domains_xen *xen = xen_of(domains);

	if (xen->store)
		xs_close(xen->store);
	if (xen->hypervisor)
		xc_interface_close(xen->hypervisor);
	free(xen);
}

/* The text of a node, to be freed; NULL if there is none. */
static char *read_node(struct domains *domains, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static char *
read_node(struct domains *domains, const char *format, ...)
{
	char path[PATH_SIZE];
	unsigned len;
	va_list ap;

	va_start(ap, format);
	int needed = vsnprintf(path, sizeof(path), format, ap);
	va_end(ap);
	if (needed >= (int)sizeof(path))
		return NULL;
	return xs_read(xen_of(domains)->store, XBT_NULL, path, &len);
}

/* The front-end's nodes are the guest's to write: what is believed are the back-end's, which are
 * this domain's own (paths without a slash in front). */
static void
add_vtpm(struct domains *domains, struct domain *domain, const char *handle)
{
	char *uuid = read_node(domains, "backend/vtpm/%u/%s/uuid", domain->id, handle);

	if (uuid)
		domain_add_vtpm(domain, uuid);
	free(uuid);
}

/* Those of an HVM guest's QEMU are on its command line only (docs/guests.md). */
static void
add_qemu_vtpms(struct domains *domains, struct domain *domain)
{
	char *pid = read_node(domains, "/local/domain/%u/image/device-model-pid", domain->id);
	char path[PATH_SIZE];
	char *argument = NULL;
	size_t size = 0;

	if (!pid)
		return;
	snprintf(path, sizeof(path), "/proc/%u/cmdline", (unsigned)strtoul(pid, NULL, 10));
	free(pid);
	FILE *arguments = fopen(path, "re");
	while (arguments && getdelim(&argument, &size, '\0', arguments) > 0)
		domain_add_argument(domain, argument);
	free(argument);
	if (arguments)
		fclose(arguments);
}

/* All about a domain with this number; false if there is none. */
static bool
read_domain(struct domains *domains, uint32_t id, struct domain *domain)
{
	char path[PATH_SIZE];
	unsigned count;
	char *name = read_node(domains, "/local/domain/%u/name", id);

	if (!name)
		return false;
	*domain = (struct domain) { .id = id };
	snprintf(domain->name, sizeof(domain->name), "%s", name);
	free(name);
	snprintf(path, sizeof(path), "backend/vtpm/%u", id);
	char **handles = xs_directory(xen_of(domains)->store, XBT_NULL, path, &count);
	for (unsigned i = 0; handles && i < count; i++)
		add_vtpm(domains, domain, handles[i]);
	free(handles);
	add_qemu_vtpms(domains, domain);
	return true;
}

/* Calls match for each domain until one is it. */
static int
search(struct domains *domains, bool (*match)(const struct domain *domain, const void *what),
       const void *what, struct domain *domain)
{
	unsigned count;
	char **ids = xs_directory(xen_of(domains)->store, XBT_NULL, "/local/domain", &count);
	int rc = -ENOENT;

	for (unsigned i = 0; rc < 0 && ids && i < count; i++) {
		if (read_domain(domains, (uint32_t)strtoul(ids[i], NULL, 10), domain) &&
		    match(domain, what))
			rc = 0;
	}
	free(ids);
	return rc;
}

static bool
has_name(const struct domain *domain, const void *name)
{
	char id[16];

	snprintf(id, sizeof(id), "%u", domain->id);
	return domain->id != 0 && (strcmp(domain->name, name) == 0 || strcmp(id, name) == 0);
}

static int
xen_find(struct domains *domains, const char *name, struct domain *domain, struct why *why)
{
	if (search(domains, has_name, name, domain) == 0)
		return 0;
	return why_set(why, -ENOENT,
		       "there is no domain '%s' on this host; 'xl list' shows which are. A vTPM "
		       "without a running domain is moved with --no-domain",
		       name);
}

static int
xen_owner(struct domains *domains, const uint8_t uuid[VTPM_UUID_SIZE], struct domain *domain)
{
	return search(domains, domain_has_vtpm, uuid, domain);
}

static enum domains_state
xen_state(struct domains *domains, uint32_t id)
{
	xc_dominfo_t info;

	if (xc_domain_getinfo(xen_of(domains)->hypervisor, id, 1, &info) != 1 || info.domid != id ||
	    info.dying)
		return DOMAINS_GONE;
	return info.shutdown && info.shutdown_reason == SHUTDOWN_suspend ? DOMAINS_SUSPENDED
									 : DOMAINS_RUNNING;
}

static int
xen_fd(struct domains *domains)
{
	return xs_fileno(xen_of(domains)->store);
}

static void
xen_drain(struct domains *domains)
{
	char **event;

	while ((event = xs_check_watch(xen_of(domains)->store)))
		free(event);
}

int
domains_xen(struct domains **out, struct why *why)
{
	static const struct domains_ops ops = {
		.close = xen_close,
		.find = xen_find,
		.owner = xen_owner,
		.state = xen_state,
		.fd = xen_fd,
		.drain = xen_drain,
	};
	struct domains_xen *xen = calloc(1, sizeof(*xen));

	if (!xen)
		return why_set(why, -ENOMEM, "out of memory");
	xen->base.ops = &ops;
	xen->store = xs_open(0);
	xen->hypervisor = xen->store ? xc_interface_open(NULL, NULL, 0) : NULL;
	/* xenstore tells when any domain shuts down, also to be suspended. */
	if (!xen->hypervisor || !xs_watch(xen->store, "@releaseDomain", "shutdown")) {
		int error = errno;

		xen_close(&xen->base);
		return why_set(
		    why, -error,
		    "this host's Xen does not answer (%s); --no-domain moves a vTPM alone",
		    strerror(error));
	}
	*out = &xen->base;
	return 0;
}
