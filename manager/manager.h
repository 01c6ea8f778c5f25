/*
 * manager.h - the manager as a whole, and which thread owns what.
 *
 * Three listeners (listener.h), each a thread with its own event loop:
 *   console    the console's pipes and sockets (console.c). It may wait for the disk: changes of
 *              the store's instance table are made here.
 *   instances  the table of instances, their processes, pipes, timers and queues (instance*.c).
 *              Nothing here waits: saves are completed by the store's thread, commands for the
 *              physical TPM by the chip's worker.
 *   backends   the back-ends (backend*.c) and their front-ends.
 * What a listener owns is touched by its thread only. There are two kinds of messages between them,
 * a struct request (a privileged request on its way) and a struct command (something for an
 * instance to do); each has one owner at any time, whoever it was posted to last. So there is
 * nothing to lock but a listener's task list. Store, physical TPM and log are safe to be used from
 * any thread; this struct and what it points to does not change while the listeners run.
 */
#ifndef MANAGER_MANAGER_H
#define MANAGER_MANAGER_H

#include <time.h>

#include "manager/listener.h"
#include "manager/options.h"
#include "manager/process.h"

struct backends;
struct console;
struct ek_ca;
struct emulated;
struct instance_table;
struct migration_places;
struct migration_sessions;
struct physical_tpm;
struct store;
struct worker;

struct manager {
	const struct options *options;
	time_t started;
	const struct process_user *user; /* whom vtpmds run as; NULL: as the manager does */

	struct listener *console_listener;
	struct listener *instance_listener;
	struct listener *backend_listener;

	struct store *store;
	struct physical_tpm *tpm;
	struct worker *chip;       /* who may wait for the physical TPM */
	struct ek_ca *ek_ca;       /* who certifies endorsement keys, or NULL */
	struct emulated *emulated; /* what `--tpm emulated` runs; else NULL */
	struct migration_sessions *sessions;
	struct migration_places *places;

	struct console *console;
	struct instance_table *instances;
	struct backends *backends;
};

#endif
