#include "instance/nvm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vtpm/file.h>
#include <vtpm/log.h>
#include <vtpm/manager.h>

/* The two ways to keep it, each with its own reading of `where`. */
struct nvm_ops {
	int (*load)(struct nvm *nvm, struct blob *image);
	int (*save)(struct nvm *nvm, const struct blob *image);
};

struct nvm {
	const struct nvm_ops *ops;
	struct link *link; /* the manager's */
	char *path;        /* the file's */
	int lock;
};

static int
load_file(struct nvm *nvm, struct blob *image)
{
	blob_clear(image);
	int rc = file_read(nvm->path, VTPM_MESSAGE_MAX, &image->data, &image->len);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		log_error("cannot read the state file %s: %s", nvm->path, strerror(-rc));
	return rc;
}

static int
save_file(struct nvm *nvm, const struct blob *image)
{
	int rc = file_write_durable(nvm->path, image->data, image->len, 0600);

	if (rc < 0)
		log_error("cannot write the state file %s: %s", nvm->path, strerror(-rc));
	return rc;
}

static int
load_from_manager(struct nvm *nvm, struct blob *image)
{
	return link_request(nvm->link, VTPM_ORD_LOADNVM, NULL, 0, image);
}

static int
save_at_manager(struct nvm *nvm, const struct blob *image)
{
	return link_request(nvm->link, VTPM_ORD_SAVENVM, image->data, image->len, NULL);
}

static const struct nvm_ops ops_file = { load_file, save_file };
static const struct nvm_ops ops_manager = { load_from_manager, save_at_manager };

/* Takes the lock of a state file and says who has it, if somebody does. */
static int
lock_file(const char *path)
{
	char *lock_path;
	pid_t holder;

	if (asprintf(&lock_path, "%s.lock", path) < 0)
		return -ENOMEM;
	int lock = file_lock(lock_path, &holder);
	if (lock == -EAGAIN)
		log_error(
		    "the state file %s is in use by process %d: end that one, or use another file",
		    path, (int)holder);
	else if (lock < 0)
		log_error("cannot lock the state file with %s: %s", lock_path, strerror(-lock));
	free(lock_path);
	return lock;
}

static struct nvm *
nvm_new(const struct nvm_ops *ops)
{
	struct nvm *nvm = calloc(1, sizeof(*nvm));

	if (nvm) {
		nvm->ops = ops;
		nvm->lock = -1;
	}
	return nvm;
}

int
nvm_open_file(const char *path, struct nvm **nvm)
{
	struct nvm *opened = nvm_new(&ops_file);

	if (!opened)
		return -ENOMEM;
	opened->path = strdup(path);
	opened->lock = opened->path ? lock_file(path) : -ENOMEM;
	if (opened->lock < 0) {
		int rc = opened->lock;

		nvm_close(opened);
		return rc;
	}
	*nvm = opened;
	return 0;
}

int
nvm_open_manager(struct link *link, struct nvm **nvm)
{
	*nvm = nvm_new(&ops_manager);
	if (!*nvm)
		return -ENOMEM;
	(*nvm)->link = link;
	return 0;
}

void
nvm_close(struct nvm *nvm)
{
	if (!nvm)
		return;
	if (nvm->lock >= 0)
		close(nvm->lock);
	free(nvm->path);
	free(nvm);
}

int
nvm_load(struct nvm *nvm, struct blob *image)
{
	return nvm->ops->load(nvm, image);
}

int
nvm_save(struct nvm *nvm, const struct blob *image)
{
	return nvm->ops->save(nvm, image);
}

const char *
nvm_where(const struct nvm *nvm)
{
	return nvm->path ? nvm->path : "the manager's store";
}
