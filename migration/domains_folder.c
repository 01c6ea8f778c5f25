#include "migration/domains.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <vtpm/file.h>

enum { FILE_MAX = 4096 };

struct domains_folder {
	struct domains base;
	char dir[PATH_MAX - NAME_MAX - 2];
	int inotify;
};

static struct domains_folder *
folder_of(struct domains *domains)
{
	return (struct domains_folder *)domains;
}

static void
folder_close(struct domains *domains)
{
	close(folder_of(domains)->inotify);
	free(domains);
}

static int
parse(char *text, struct domain *domain, enum domains_state *state)
{
	char *rest;
	const char *id = strtok_r(text, " \n", &rest);
	const char *word = id ? strtok_r(NULL, " \n", &rest) : NULL;

	if (!word)
		return -EINVAL;
	domain->id = (uint32_t)strtoul(id, NULL, 10);
	*state = strcmp(word, "suspended") == 0 ? DOMAINS_SUSPENDED : DOMAINS_RUNNING;
	domain->vtpm_count = domain->qemu_count = 0;
	while ((word = strtok_r(NULL, " \n", &rest))) {
		if (!domain_add_vtpm(domain, word))
			domain_add_argument(domain, word);
	}
	return 0;
}

static int
read_domain(struct domains *domains, const char *name, struct domain *domain,
	    enum domains_state *state)
{
	char path[PATH_MAX];
	uint8_t *data;
	size_t len;

	snprintf(path, sizeof(path), "%s/%s", folder_of(domains)->dir, name);
	int rc = file_read(path, FILE_MAX, &data, &len);
	if (rc < 0)
		return rc;
	char *text = strndup((const char *)data, len);
	free(data);
	snprintf(domain->name, sizeof(domain->name), "%s", name);
	rc = text ? parse(text, domain, state) : -ENOMEM;
	free(text);
	return rc;
}

static int
folder_find(struct domains *domains, const char *name, struct domain *domain, struct why *why)
{
	enum domains_state state;
	int rc = strchr(name, '/') ? -ENOENT : read_domain(domains, name, domain, &state);

	return rc < 0 ? why_set(why, rc, "there is no domain '%s' on this host", name) : 0;
}

/* Calls match for each domain until one is it. */
static int
search(struct domains *domains, bool (*match)(const struct domain *domain, const void *what),
       const void *what, struct domain *domain, enum domains_state *state)
{
	DIR *dir = opendir(folder_of(domains)->dir);
	const struct dirent *entry;
	int rc = -ENOENT;

	while (rc < 0 && dir && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.' &&
		    read_domain(domains, entry->d_name, domain, state) == 0 && match(domain, what))
			rc = 0;
	}
	if (dir)
		closedir(dir);
	return rc;
}

static int
folder_owner(struct domains *domains, const uint8_t uuid[VTPM_UUID_SIZE], struct domain *domain)
{
	enum domains_state state;

	return search(domains, domain_has_vtpm, uuid, domain, &state);
}

static bool
has_id(const struct domain *domain, const void *id)
{
	return domain->id == *(const uint32_t *)id;
}

static enum domains_state
folder_state(struct domains *domains, uint32_t id)
{
	enum domains_state state;
	struct domain domain;

	return search(domains, has_id, &id, &domain, &state) == 0 ? state : DOMAINS_GONE;
}

static int
folder_fd(struct domains *domains)
{
	return folder_of(domains)->inotify;
}

static void
folder_drain(struct domains *domains)
{
	char events[4096];

	while (read(folder_of(domains)->inotify, events, sizeof(events)) > 0)
		continue;
}

int
domains_folder(struct domains **out, const char *dir, struct why *why)
{
	static const struct domains_ops ops = {
		.close = folder_close,
		.find = folder_find,
		.owner = folder_owner,
		.state = folder_state,
		.fd = folder_fd,
		.drain = folder_drain,
	};
	struct domains_folder *folder = calloc(1, sizeof(*folder));

	if (!folder)
		return why_set(why, -ENOMEM, "out of memory");
	folder->base.ops = &ops;
	snprintf(folder->dir, sizeof(folder->dir), "%s", dir);
	folder->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (folder->inotify < 0 ||
	    inotify_add_watch(folder->inotify, dir, IN_MOVED_TO | IN_DELETE) < 0) {
		int error = errno;

		if (folder->inotify >= 0)
			close(folder->inotify);
		free(folder);
		return why_set(why, -error, "%s: %s", dir, strerror(error));
	}
	*out = &folder->base;
	return 0;
}
