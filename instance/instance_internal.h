/*
 * instance_internal.h - what the files of an instance share: instance.c (execute, keep), start.c
 * (from the stored state to a running TPM) and machine.c (power, state blobs, dynamic launch).
 */
#ifndef INSTANCE_INSTANCE_INTERNAL_H
#define INSTANCE_INSTANCE_INTERNAL_H

#include "instance/instance.h"

/* Besides the flags of tpm_execute: the stored volatile state, which is part of the image. */
enum { CHANGED_STORED = 0x100 };

/* Besides the kinds of state that were pushed: one was refused, so those that follow are, too. */
enum { PUSH_REFUSED = 1 };

/* The generation of a TPM that was made and not changed since. */
enum { GENERATION_NEW = 1 };

enum power {
	POWER_FRESH, /* on, and nothing has happened yet */
	POWER_ON,
	POWER_OFF,
	POWER_SUSPENDED,
};

/* The last answer to somebody who numbers commands, or whose commands are numbered. */
struct answer {
	uint64_t number; /* 0: there is none */
	uint8_t response[TPM_BUFFER_SIZE];
	size_t len;
};

struct instance {
	struct instance_config config;
	struct platform *platform;
	struct nvm *nvm;
	struct journal *journal;
	struct tpm *tpm;
	enum power power;
	unsigned pushed; /* kinds of state set since the TPM is off, as bits; PUSH_REFUSED */
	struct lineage lineage;
	bool rollback;         /* older state, or another TPM's, may be set once */
	bool save_failed;      /* the last save did */
	struct blob durable;   /* the image that was saved last */
	struct blob stored;    /* volatile state for the next power on */
	bool resumed;          /* it goes on where a killed vtpmd was */
	struct answer manager; /* to the last numbered command */
	struct answer qemu;
};

/*
 * instance_keep: makes durable what was changed (enum tpm_change, CHANGED_STORED); on failure the
 * TPM is as it was saved last.
 */
TPM_RESULT instance_keep(struct instance *instance, unsigned changes);

/*
 * instance_record: writes the journal, with the image that is about to be saved, if there is one.
 * 0, or a negative errno after having logged it.
 */
int instance_record(const struct instance *instance, const struct blob *image);

/* instance_save: saves an image; 0, or a negative errno after having logged it. */
int instance_save(struct instance *instance, const struct blob *image);

/* instance_compose: the image of the TPM as it is now. 0 or a negative errno. */
int instance_compose(const struct instance *instance, struct blob *bytes);

/* instance_take_image: sets permanent, saved and stored state from an image. */
TPM_RESULT instance_take_image(struct instance *instance, const struct blob *bytes);

/* instance_snapshot: one kind of state as a blob; what it held is wiped. 0 or -ENOMEM. */
int instance_snapshot(const struct instance *instance, enum tpm_state kind, struct blob *state);

/*
 * instance_drop_stored: forgets the stored volatile state, which is for one time: once the TPM has
 * gone on from it, it is old. Returns what that changed.
 */
unsigned instance_drop_stored(struct instance *instance);

/* instance_start_up: power comes, and TPM_Startup with this type, as a guest's firmware sends it.
 */
TPM_RESULT instance_start_up(struct instance *instance, unsigned startup);

#endif
