/*
 * backend.h - where the TPM commands of guests come from.
 *
 * A back-end (`--backend NAME[:ARGUMENT]`) knows front-ends, takes their commands off a ring or a
 * pipe and puts the responses back. It is one struct backend_ops in the table of backend.c. All of
 * its code runs in the back-end listener's thread, on that thread's event_base; nothing in it may
 * block. What a back-end needs of the manager is declared in the second half: each call returns at
 * once, and what it reports is reported later by a callback in the same thread, never from within
 * the call. Callbacks come exactly once, unless forgotten.
 */
#ifndef MANAGER_BACKEND_H
#define MANAGER_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

struct backend;
struct backend_request;
struct manager;

struct backend_ops {
	const char *name;
	/*
	 * open: begins to serve. argument is what follows the colon, NULL if there is none. Runs in
	 * the back-end thread before its loop. Stores the new back-end's own state in *state.
	 * Returns 0 or a negative errno after having logged why; the manager then does not start.
	 */
	int (*open)(struct backend *backend, const char *argument, void **state);
	/*
	 * close: ends it, releases everything. Front-ends are left so that a new manager can go on
	 * with them. Requests of this back-end that are still open are forgotten by the caller.
	 */
	void (*close)(void *state);
};

extern const struct backend_ops backend_fifo; /* dummy_in/dummy_out, no Xen needed */
extern const struct backend_ops backend_dev;  /* dev:PATH, the 2.6.18-xen kernel's /dev/vtpm */
extern const struct backend_ops backend_xen;  /* ring and xenstore */

/* backend_base: the event loop to hang events into. */
struct event_base *backend_base(struct backend *backend);

/* backend_run_dir: the run folder, for names of pipes. */
const char *backend_run_dir(struct backend *backend);

/* backend_state_dir: the state folder, for hotplug scripts. */
const char *backend_state_dir(struct backend *backend);

/* backend_script: the hotplug script to run for each device, or NULL with `--hotplug-script none`.
 */
const char *backend_script(struct backend *backend);

/*
 * backend_submit: has instance execute one TPM command at a locality (0-3). cmd is hostile, of any
 * length up to TPM_BUFFER_SIZE, and is copied. done gets a well-formed TPM response in memory that
 * lasts for the call: an error response if the instance is unknown, closed, overloaded or broken
 * (the manager logs why). Commands of one instance are executed in the order of submission; one
 * that was not answered when the manager or the instance died is executed exactly once if the
 * back-end submits it again, byte for byte, as the first of its instance. Commands for an instance
 * that is starting wait until it runs. Returns NULL when memory is short.
 */
struct backend_request *backend_submit(struct backend *backend, uint32_t instance,
				       unsigned locality, const uint8_t *cmd, size_t len,
				       void (*done)(void *ctx, const uint8_t *response, size_t len),
				       void *ctx);

/*
 * backend_executed: for done, whether the response is the instance's own, not one of the manager in
 * place of an instance that is not there.
 */
bool backend_executed(const struct backend_request *request);

/*
 * backend_cancel: the front-end wants no more of it. A command that has not been started ends with
 * TPM_FAIL, a running one as soon as the TPM can; either way done is called.
 */
void backend_cancel(struct backend_request *request);

/*
 * backend_forget: the front-end is gone: cancel, and done will not be called. The request is not
 * valid afterwards.
 */
void backend_forget(struct backend_request *request);

/*
 * backend_delivered: the response of request is where its front-end sees it. To be called from
 * within done and before the front-end is woken, so that a manager that takes over does not take
 * the next command for this one submitted again. Who does not call it is taken to have delivered
 * when done returns.
 */
void backend_delivered(struct backend_request *request);

/*
 * backend_idle: the front-end of instance waits for no response. Tells it to a manager that has
 * taken over: what its predecessor has not noted as delivered was so.
 */
void backend_idle(struct backend *backend, uint32_t instance);

/*
 * backend_attach: a device with this uuid appeared and there is no hotplug script: defines the
 * instance if it is new and opens it. resume: with its kept volatile state; one that is new, or
 * without such a state, is refused then, unless it is on its way here. done gets 0
 * and the instance's number, or a negative errno and a sentence for the operator. May take
 * seconds (a new instance makes its endorsement key): tell the front-end's side state 2 first.
 */
int backend_attach(struct backend *backend, const uint8_t uuid[16], int resume,
		   void (*done)(void *ctx, int error, uint32_t instance, const char *why),
		   void *ctx);

/*
 * backend_detach: the device of instance is gone; closes the instance. suspend keeps its volatile
 * state for a later attach with resume. No report: what fails is logged.
 */
void backend_detach(struct backend *backend, uint32_t instance, int suspend);

#endif
