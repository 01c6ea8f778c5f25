#include "manager/store_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vtpm/log.h>

/*
 * Reads the file of an instance as the table has it. A save may replace both between the look into
 * the table and the look at the file: then the table has moved on, and it is tried again.
 */
static int
read_present(struct store *store, uint32_t id, uint8_t **data, size_t *len, char *why)
{
	for (;;) {
		struct entry entry;
		struct store_instance now;
		int error;

		pthread_mutex_lock(&store->lock);
		const struct entry *found = table_find(store, id);
		if (found)
			entry = *found;
		pthread_mutex_unlock(&store->lock);
		if (!found)
			return -ENOENT;
		error = nvm_read(store, &entry, data, len, why);
		explicit_bzero(&entry.key, sizeof(entry.key));
		if (error == 0 || store_find(store, id, &now) < 0 ||
		    now.generation == entry.instance.generation)
			return error;
	}
}

static void
set_refused(struct store *store, uint32_t id, bool refused)
{
	pthread_mutex_lock(&store->lock);
	struct entry *entry = table_find(store, id);

	if (entry)
		entry->instance.refused = refused;
	pthread_mutex_unlock(&store->lock);
}

int
store_load_nvm(struct store *store, uint32_t id, uint8_t **data, size_t *len)
{
	char why[STORE_WHY_MAX] = "";

	*data = NULL;
	*len = 0;
	int error = read_present(store, id, data, len, why);
	if (error < 0 && error != -ENOENT)
		log_error("instance %u: its NVM cannot be loaded: %s%s", id,
			  why[0] ? why : strerror(-error),
			  error == -EUCLEAN ? "; see `vtpmctl recover`" : "");
	if (error == 0 || error == -EUCLEAN)
		set_refused(store, id, error < 0);
	return error;
}

struct verify {
	void (*report)(void *ctx, uint32_t id, int error, const char *text);
	void *ctx;
	int bad;
};

static void
verify_strange(void *ctx, const char *name)
{
	struct verify *verify = ctx;
	char text[STORE_WHY_MAX];

	snprintf(text, sizeof(text), "%.128s belongs to no instance", name);
	verify->bad++;
	verify->report(verify->ctx, 0, -EUCLEAN, text);
}

static void
verify_one(struct store *store, uint32_t id, struct verify *verify)
{
	char why[STORE_WHY_MAX] = "";
	int error = read_present(store, id, NULL, NULL, why);

	if (error == 0)
		set_refused(store, id, false);
	else
		verify->bad++;
	verify->report(verify->ctx, id, error,
		       error == 0 ? "good"
		       : why[0]   ? why
				  : strerror(-error));
}

int
store_verify(struct store *store, uint32_t id,
	     void (*report)(void *ctx, uint32_t id, int error, const char *text), void *ctx)
{
	struct verify verify = { .report = report, .ctx = ctx };
	struct store_instance *list;
	size_t count;

	if (id != 0) {
		verify_one(store, id, &verify);
		return verify.bad;
	}
	if (store_list(store, &list, &count) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		verify_one(store, list[i].id, &verify);
	free(list);
	pthread_mutex_lock(&store->lock);
	nvm_walk(store, false, verify_strange, &verify);
	pthread_mutex_unlock(&store->lock);
	return verify.bad;
}
