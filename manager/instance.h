/*
 * instance.h - the instances: their processes, pipes and queues.
 *
 * All functions but instances_new are for the instance listener's thread only.
 */
#ifndef MANAGER_INSTANCE_H
#define MANAGER_INSTANCE_H

#include <stdbool.h>
#include <stdint.h>

#include <vtpm/info.h>

#include "manager/command.h"
#include "manager/request.h"

struct instance;
struct instance_table;

/*
 * instances_new: a table of what the store holds; HVM instances begin to listen, those that an
 * earlier manager left running are adopted. To be called before the listener is started. NULL: out
 * of memory, or the store failed, which was logged.
 */
struct instance_table *instances_new(struct manager *manager);

/* instances_free: after the listener has stopped. Instances run on. NULL does nothing. */
void instances_free(struct instance_table *table);

/* instances_close_all: closes every instance, then has done(ctx) called. None is opened again. */
void instances_close_all(struct instance_table *table, void (*done)(void *ctx), void *ctx);

/* instances_count: those defined, and those of them that run. */
void instances_count(const struct instance_table *table, uint32_t *defined, uint32_t *running);

/* instance_find: NULL if there is none of this number. instance_after: the next in order. */
struct instance *instance_find(const struct instance_table *table, uint32_t id);
struct instance *instance_after(const struct instance_table *table, uint32_t id);

/* instance_add: takes an instance that the store has just got into the table. NULL: no memory. */
struct instance *instance_add(struct instance_table *table, const struct store_instance *entry);

/* instance_update: the store's entry of it has changed. */
void instance_update(struct instance *instance, const struct store_instance *entry);

/*
 * instance_retire: whether it is about to be deleted: then nobody starts it. instance_remove: of
 * one that is retired and does not run.
 */
void instance_retire(struct instance *instance, bool retired);
void instance_remove(struct instance *instance);

/* instance_describe: fills in *info. */
void instance_describe(const struct instance *instance, struct info *info);

/*
 * instance_open, instance_close: carry out a request (request->startup is set) and end it when the
 * instance serves or is gone. Opening one that is open, closing one that is closed succeed at once.
 * instance_stop: as close, but hands the request on to step in the console's thread when the
 * process is gone.
 */
void instance_open(struct instance *instance, struct request *request);
void instance_close(struct instance *instance, struct request *request);
void instance_stop(struct instance *instance, struct request *request,
		   void (*step)(struct request *request));

/*
 * Instances on their way from or to another host (vtpm/migration.h); instance_update has told them
 * what the store says.
 *
 * instance_is_still: whether no command of a guest can change its state: frozen, or not running.
 * instance_has_qemu: whether a QEMU holds its control channel, which then carries its state. Not
 * sure in the middle of a command.
 * instance_thaw: has one that was frozen run on after all.
 * instance_go_on: it may run here (again): starts it if a guest needs it.
 * instance_give_up: it will not: commands that were held for it end with an error.
 * instance_await: ends the request when a guest wants the instance, with 1, or after that time,
 * with 0.
 */
bool instance_is_still(const struct instance *instance);
bool instance_has_qemu(const struct instance *instance);
void instance_thaw(struct instance *instance);
void instance_go_on(struct instance *instance);
void instance_give_up(struct instance *instance);
void instance_await(struct instance *instance, struct request *request, uint32_t milliseconds);

/*
 * instances_submit: has the instance that the command names carry it out. Commands of one instance
 * are done one after the other; one that dies or hangs is started again and gets its command once
 * more.
 */
void instances_submit(struct instance_table *table, struct command *command);

/* instances_idle: the instance's front-end behind this back-end has all its responses. */
void instances_idle(struct instance_table *table, uint32_t id, unsigned backend);

/* instances_cancel: ends the command with this tag early, if it is still there. */
void instances_cancel(struct instance_table *table, uint32_t id, uint64_t tag);

#endif
