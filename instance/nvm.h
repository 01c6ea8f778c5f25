/*
 * nvm.h - where an instance's non-volatile memory is kept: by its manager, or in a file.
 */
#ifndef INSTANCE_NVM_H
#define INSTANCE_NVM_H

#include "instance/image.h"
#include "instance/link.h"

struct nvm;

/*
 * nvm_open_file: the memory is this file, locked ("PATH.lock") against a second vtpmd. Returns 0,
 * or a negative errno after having logged what is wrong.
 */
int nvm_open_file(const char *path, struct nvm **nvm);

/* nvm_open_manager: the manager keeps it. link must outlive it. 0 or -ENOMEM. */
int nvm_open_manager(struct link *link, struct nvm **nvm);

void nvm_close(struct nvm *nvm);

/*
 * nvm_load: the bytes that were saved last; none (len 0) for a TPM that is new. Returns 0, or a
 * negative errno after having logged what is wrong.
 */
int nvm_load(struct nvm *nvm, struct blob *image);

/*
 * nvm_save: makes the bytes durable. Returns 0 when they are, or a negative errno after having
 * logged what is wrong; then the old ones are still there.
 */
int nvm_save(struct nvm *nvm, const struct blob *image);

/* nvm_where: where the bytes are, in words for log lines. */
const char *nvm_where(const struct nvm *nvm);

#endif
