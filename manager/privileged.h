/*
 * privileged.h - what the ordinals of privileged requests do.
 *
 * One function an ordinal, in privileged_life.c (instances come and go), privileged_instance.c (one
 * is told something), privileged_store.c (what is stored), privileged_report.c (tools look) and
 * privileged_migrate*.c (they move to other hosts).
 * Steps named ..._there run in the thread of the instances, the others in the
 * console's, which may wait for the disk.
 */
#ifndef MANAGER_PRIVILEGED_H
#define MANAGER_PRIVILEGED_H

#include "manager/request.h"

struct instance;

/* privileged_dispatch: the first step of every request, in the console's thread. */
void privileged_dispatch(struct request *request);

/* The ordinals of these names. */
void privileged_open(struct request *request);
void privileged_close(struct request *request);
void privileged_delete(struct request *request);
void privileged_define(struct request *request);
void privileged_find(struct request *request);
void privileged_suspend(struct request *request);
void privileged_clear(struct request *request);
void privileged_presence(struct request *request);
void privileged_rollback(struct request *request);
void privileged_list(struct request *request);
void privileged_show(struct request *request);
void privileged_status(struct request *request);
void privileged_verify(struct request *request);
void privileged_recover(struct request *request);
void privileged_reseal(struct request *request);
void privileged_get_migration_key(struct request *request);
void privileged_load_migration_key(struct request *request);
void privileged_migrate_out(struct request *request);
void privileged_commit(struct request *request);
void privileged_abort(struct request *request);
void privileged_undo(struct request *request);
void privileged_left(struct request *request);
void privileged_resolve(struct request *request);
void privileged_host_quote(struct request *request);
void privileged_offer(struct request *request);
void privileged_migrate_in(struct request *request);
void privileged_await(struct request *request);
void privileged_activate(struct request *request);
void privileged_forget(struct request *request);
void privileged_query(struct request *request);
void privileged_deep_quote(struct request *request);

/* Hand a request on to the thread of the instances, or of the console. */
void privileged_there(struct request *request, void (*step)(struct request *request));
void privileged_here(struct request *request, void (*step)(struct request *request));

/*
 * privileged_tell: in the thread of the instances: has the instance of the request carry out an
 * order (VTPM_TO_INSTANCE) and goes on with step there (NULL: its answer ends the request); refuses
 * the request if it does not run.
 */
void privileged_tell(struct request *request, uint32_t ordinal, const void *params, size_t len,
		     void (*step)(struct request *request));

/* privileged_refresh_there: the store's entry of the instance has changed; ends the request. */
void privileged_refresh_there(struct request *request);

/* privileged_take_instance: reads a parameter that names an instance. */
void privileged_take_instance(struct request *request);

/* privileged_take_pcrs: reads a sized list of PCRs; false if it is none. */
bool privileged_take_pcrs(struct request *request, uint32_t *pcrs);

/*
 * privileged_instance: in the thread of the instances, the one that the request is about; NULL
 * after having refused the request.
 */
struct instance *privileged_instance(struct request *request);

/* privileged_current_instance: the same, after it has been told its entry as the store has it now.
 */
struct instance *privileged_current_instance(struct request *request);

#endif
