/*
 * The memory in which an instance keeps its volatile state. It must survive vtpmd, the manager, and
 * both at once, but never reach a disk: a file beside the record if that folder is in memory
 * (tmpfs), else a memfd, which is gone when both are.
 */
#include "manager/instance_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <vtpm/log.h>

enum { FIRST_FD = 3 }; /* where an instance has its journal */

static const char *
journal_path(const struct instance *instance, char path[INSTANCE_PATH_SIZE])
{
	return instance_path(instance, "instances/%u.journal", path);
}

static bool
in_memory(const struct instance *instance)
{
	char path[INSTANCE_PATH_SIZE];
	struct statfs fs;
	const char *run_dir = instance->table->manager->options->run_dir;

	snprintf(path, sizeof(path), "%s/instances", run_dir);
	return statfs(path, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

int
journal_make(struct instance *instance)
{
	char path[INSTANCE_PATH_SIZE];
	char name[32];

	if (instance->journal >= 0)
		return 0;
	snprintf(name, sizeof(name), "vtpm-journal-%u", instance->entry.id);
	unlink(journal_path(instance, path));
	instance->journal =
	    in_memory(instance)
		? open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)
		: memfd_create(name, MFD_CLOEXEC);
	if (instance->journal >= 0)
		return 0;
	int rc = -errno;
	log_error("instance %u: cannot get memory for its journal: %s", instance->entry.id,
		  strerror(-rc));
	return rc;
}

uint64_t
journal_inode(const struct instance *instance)
{
	struct stat st;

	return instance->journal >= 0 && fstat(instance->journal, &st) == 0 ? st.st_ino : 0;
}

/* Takes the file at path if it is the one. */
static bool
take(struct instance *instance, const char *path, uint64_t inode)
{
	instance->journal = open(path, O_RDWR | O_CLOEXEC);
	if (instance->journal >= 0 && journal_inode(instance) == inode)
		return true;
	journal_close(instance);
	return false;
}

bool
journal_take(struct instance *instance, uint64_t inode)
{
	char path[INSTANCE_PATH_SIZE];

	if (inode == 0)
		return false;
	if (take(instance, journal_path(instance, path), inode))
		return true;
	/* A memfd: from its own descriptors, nobody else has it any more. */
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)instance->process.pid, FIRST_FD);
	return instance->process.pid != 0 && take(instance, path, inode);
}

void
journal_close(struct instance *instance)
{
	if (instance->journal >= 0)
		close(instance->journal);
	instance->journal = -1;
}

void
journal_drop(struct instance *instance)
{
	char path[INSTANCE_PATH_SIZE];

	journal_close(instance);
	unlink(journal_path(instance, path));
}
