/*
 * The table of instances, in the order of their numbers.
 */
#include "manager/instance_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vtpm/log.h>
#include <vtpm/manager.h>

/* The place of id in the table, or the one where it belongs. */
static size_t
place_of(const struct instance_table *table, uint32_t id)
{
	size_t low = 0;
	size_t high = table->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (table->sorted[middle]->entry.id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct instance *
instance_find(const struct instance_table *table, uint32_t id)
{
	size_t at = place_of(table, id);

	return at < table->count && table->sorted[at]->entry.id == id ? table->sorted[at] : NULL;
}

struct instance *
instance_of_run(struct instance_table *table, uint32_t id, uint64_t run)
{
	struct instance *instance = instance_find(table, id);

	return instance && instance->run == run && instance->pipes[PIPE_VTPM_RSP] ? instance : NULL;
}

struct instance *
instance_after(const struct instance_table *table, uint32_t id)
{
	size_t at = id == UINT32_MAX ? table->count : place_of(table, id + 1);

	return at < table->count ? table->sorted[at] : NULL;
}

/* What an instance that does not run is called. */
static enum info_state
resting_state(const struct store_instance *entry)
{
	if (entry->flags & STORE_FLAG_INCOMING)
		return INFO_INCOMING;
	if (entry->type == VTPM_TYPE_MIGRATED)
		return INFO_MIGRATED;
	if (entry->flags & STORE_FLAG_OUTGOING)
		return INFO_OUTGOING;
	if (entry->refused)
		return INFO_REFUSED;
	return entry->flags & STORE_FLAG_SUSPENDED ? INFO_SUSPENDED : INFO_CLOSED;
}

struct instance *
instance_add(struct instance_table *table, const struct store_instance *entry)
{
	size_t at = place_of(table, entry->id);

	if (table->count == table->size) {
		size_t size = table->size ? 2 * table->size : 16;
		struct instance **sorted = realloc(table->sorted, size * sizeof(*sorted));

		if (!sorted)
			return NULL;
		table->sorted = sorted;
		table->size = size;
	}
	struct instance *instance = calloc(1, sizeof(*instance));
	if (!instance)
		return NULL;
	instance->table = table;
	instance->journal = -1;
	instance->sockets[SOCKET_IOEMU] = instance->sockets[SOCKET_CTRL] = -1;
	instance->held[HELD_IN] = instance->held[HELD_OUT] = -1;
	instance->startup = VTPM_STARTUP_CLEAR;
	instance->timer = evtimer_new(table->base, instance_due, instance);
	queue_init(instance);
	if (!instance->timer || !instance->answer_timer) {
		instance_free(instance);
		return NULL;
	}
	instance->entry = *entry;
	memmove(&table->sorted[at + 1], &table->sorted[at],
		(table->count - at) * sizeof(table->sorted[0]));
	table->sorted[at] = instance;
	table->count++;
	if (adopt_instance(instance))
		return instance;
	instance_update(instance, entry);
	instance_go_on(instance);
	return instance;
}

void
instance_update(struct instance *instance, const struct store_instance *entry)
{
	instance->entry = *entry;
	if (instance->process.pid != 0 || instance->state == INFO_RESTARTING)
		return;
	instance->state = resting_state(entry);
	bool may_connect = instance->state == INFO_CLOSED || instance_holds(instance);
	bool listens =
	    may_connect && entry->domain_type == VTPM_DOMAIN_HVM && sockets_listen(instance) == 0;
	if (listens && instance->state == INFO_CLOSED)
		instance->state = INFO_LISTENING;
	sockets_watch(instance, listens);
}

void
instance_free(struct instance *instance)
{
	instance_wake(instance, false);
	pipes_close(instance);
	sockets_close(instance);
	held_close(instance);
	process_leave(&instance->process);
	record_unref(instance->record);
	journal_close(instance);
	if (instance->timer)
		event_free(instance->timer);
	if (instance->answer_timer)
		event_free(instance->answer_timer);
	free(instance);
}

void
instance_retire(struct instance *instance, bool retired)
{
	instance->retired = retired;
	sockets_watch(instance, instance->state == INFO_LISTENING);
}

void
instance_remove(struct instance *instance)
{
	struct instance_table *table = instance->table;
	size_t at = place_of(table, instance->entry.id);

	queue_flush(instance);
	sockets_unlink(instance);
	table->count--;
	memmove(&table->sorted[at], &table->sorted[at + 1],
		(table->count - at) * sizeof(table->sorted[0]));
	instance_free(instance);
}

void
instance_describe(const struct instance *instance, struct info *info)
{
	const struct store_instance *entry = &instance->entry;

	*info = (struct info) {
		.instance = entry->id,
		.domain_type = entry->domain_type,
		.migration = entry->type,
		.startup = instance->startup,
		.state = instance->state,
		.pid = (uint32_t)instance->process.pid,
		.restarts = instance->restarts,
		.commands = instance->sequence,
		.opened = instance->opened,
		.generation = entry->generation,
		.host_pcrs = entry->host_pcrs,
	};
	memcpy(info->uuid, entry->uuid, sizeof(info->uuid));
	memcpy(info->program, instance->process.pid ? instance->process.hash : entry->measurement,
	       sizeof(info->program));
	memcpy(info->why, instance->why, sizeof(info->why));
	if (instance_is_away(instance))
		instance_explain(instance, info->why, sizeof(info->why));
	else if (instance->state == INFO_REFUSED)
		snprintf(info->why, sizeof(info->why),
			 "its stored state is damaged or not its own: vtpmctl verify %u",
			 entry->id);
}

void
instances_count(const struct instance_table *table, uint32_t *defined, uint32_t *running)
{
	*defined = (uint32_t)table->count;
	*running = 0;
	for (size_t i = 0; i < table->count; i++)
		*running += table->sorted[i]->process.pid != 0;
}

/* What is over when it runs. */
static const uint32_t RESUMED_FLAGS = STORE_FLAG_SUSPENDED | STORE_FLAG_RESUMES;

/* A change of the store's table waits for the disk, so the console's thread does it. */
struct start_note {
	struct task task;
	struct store *store;
	uint32_t id;
	uint8_t hash[VTPM_HASH_SIZE];
};

static void
note_start(struct task *task)
{
	struct start_note *note = TASK_OWNER(task, struct start_note, task);
	struct store_instance entry;

	if (store_find(note->store, note->id, &entry) == 0) {
		memcpy(entry.measurement, note->hash, sizeof(entry.measurement));
		entry.flags &= ~RESUMED_FLAGS;
		store_update(note->store, &entry);
	}
	free(note);
}

void
instance_note_start(struct instance *instance)
{
	struct manager *manager = instance->table->manager;
	struct store_instance *entry = &instance->entry;
	struct start_note *note;

	if (memcmp(entry->measurement, instance->process.hash, VTPM_HASH_SIZE) == 0 &&
	    !(entry->flags & RESUMED_FLAGS))
		return;
	note = calloc(1, sizeof(*note));
	if (!note)
		return;
	memcpy(entry->measurement, instance->process.hash, sizeof(entry->measurement));
	entry->flags &= ~RESUMED_FLAGS;
	note->task.run = note_start;
	note->store = manager->store;
	note->id = entry->id;
	memcpy(note->hash, instance->process.hash, VTPM_HASH_SIZE);
	listener_post(manager->console_listener, &note->task);
}

struct instance_table *
instances_new(struct manager *manager)
{
	struct instance_table *table = calloc(1, sizeof(*table));
	struct store_instance *list = NULL;
	size_t count = 0;

	if (!table)
		return NULL;
	table->manager = manager;
	table->base = listener_base(manager->instance_listener);
	int rc = store_list(manager->store, &list, &count);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (!instance_add(table, &list[i]))
			rc = -ENOMEM;
	}
	free(list);
	if (rc < 0) {
		log_error("cannot set up the instances: %s", strerror(-rc));
		instances_free(table);
		return NULL;
	}
	return table;
}

void
instances_free(struct instance_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->count; i++)
		instance_free(table->sorted[i]);
	free(table->sorted);
	free(table);
}
