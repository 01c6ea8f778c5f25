/*
 * privileged.h - what the ordinals of privileged requests do.
 *
 * One function an ordinal, in privileged_life.c (instances come and go), privileged_instance.c (one
 * is told something), privileged_store.c (what is stored) and privileged_report.c (tools look).
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

/* Hand a request on to the thread of the instances, or of the console. */
void privileged_there(struct request *request, void (*step)(struct request *request));
void privileged_here(struct request *request, void (*step)(struct request *request));

/* privileged_refresh_there: the store's entry of the instance has changed; ends the request. */
void privileged_refresh_there(struct request *request);

/* privileged_take_instance: reads a parameter that names an instance. */
void privileged_take_instance(struct request *request);

/*
 * privileged_instance: in the thread of the instances, the one that the request is about; NULL
 * after having refused the request.
 */
struct instance *privileged_instance(struct request *request);

#endif
