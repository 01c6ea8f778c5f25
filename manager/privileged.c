#include "manager/privileged.h"

#include <vtpm/manager.h>

#include "manager/instance.h"
#include "manager/manager.h"
#include "manager/root_key.h"

#define ANY_SIZE SIZE_MAX

/* Parameters of another size than the ordinal's are refused before anything is done. */
static const struct {
	uint32_t ordinal;
	size_t size; /* ANY_SIZE: its function looks */
	void (*start)(struct request *request);
} ordinals[] = {
	{ VTPM_ORD_OPEN, 7, privileged_open },
	{ VTPM_ORD_CLOSE, 4, privileged_close },
	{ VTPM_ORD_DELETE, 4, privileged_delete },
	{ VTPM_ORD_DEFINE, ANY_SIZE, privileged_define },
	{ VTPM_ORD_FIND, 16, privileged_find },
	{ VTPM_ORD_LIST, 4, privileged_list },
	{ VTPM_ORD_SHOW, 4, privileged_show },
	{ VTPM_ORD_STATUS, 0, privileged_status },
	{ VTPM_ORD_VERIFY, 4, privileged_verify },
	{ VTPM_ORD_CLEAR, 4, privileged_clear },
	{ VTPM_ORD_PRESENCE, 5, privileged_presence },
	{ VTPM_ORD_ROLLBACK, 5, privileged_rollback },
	{ VTPM_ORD_SUSPEND, 4, privileged_suspend },
	{ VTPM_ORD_RESEAL, ANY_SIZE, privileged_reseal },
	{ VTPM_ORD_RECOVER, 4, privileged_recover },
	{ VTPM_ORD_GET_MIG_KEY, ANY_SIZE, privileged_get_migration_key },
	{ VTPM_ORD_LOAD_MIG_KEY, ANY_SIZE, privileged_load_migration_key },
	{ VTPM_ORD_MIGRATE_OUT, ANY_SIZE, privileged_migrate_out },
	{ VTPM_ORD_COMMIT, 12, privileged_commit },
	{ VTPM_ORD_ABORT, 12, privileged_abort },
	{ VTPM_ORD_UNDO, 12, privileged_undo },
	{ VTPM_ORD_LEFT, ANY_SIZE, privileged_left },
	{ VTPM_ORD_RESOLVE, ANY_SIZE, privileged_resolve },
	{ VTPM_ORD_HOST_QUOTE, ANY_SIZE, privileged_host_quote },
	{ VTPM_ORD_OFFER, ANY_SIZE, privileged_offer },
	{ VTPM_ORD_MIGRATE_IN, ANY_SIZE, privileged_migrate_in },
	{ VTPM_ORD_AWAIT, ANY_SIZE, privileged_await },
	{ VTPM_ORD_ACTIVATE, ANY_SIZE, privileged_activate },
	{ VTPM_ORD_FORGET, ANY_SIZE, privileged_forget },
	{ VTPM_ORD_QUERY, ANY_SIZE, privileged_query },
	{ VTPM_ORD_DEEP_QUOTE, ANY_SIZE, privileged_deep_quote },
};

void
privileged_dispatch(struct request *request)
{
	for (size_t i = 0; i < sizeof(ordinals) / sizeof(ordinals[0]); i++) {
		if (ordinals[i].ordinal != request->ordinal)
			continue;
		if (ordinals[i].size == ANY_SIZE || ordinals[i].size == request->params.left)
			ordinals[i].start(request);
		else
			request_fail(request, VTPM_INVALID_REQUEST,
				     "ordinal 0x%08x with %zu bytes of parameters instead of %zu",
				     request->ordinal, request->params.left, ordinals[i].size);
		return;
	}
	request_fail(request, VTPM_UNSUPPORTED, "ordinal 0x%08x is not for the console",
		     request->ordinal);
}

void
privileged_there(struct request *request, void (*step)(struct request *request))
{
	request_step(request, request->manager->instance_listener, step);
}

void
privileged_here(struct request *request, void (*step)(struct request *request))
{
	request_step(request, request->manager->console_listener, step);
}

void
privileged_take_instance(struct request *request)
{
	request->entry.id = reader_u32(&request->params);
}

bool
privileged_take_pcrs(struct request *request, uint32_t *pcrs)
{
	struct reader text = reader_sized(&request->params);
	char list[128];
	size_t len = text.left < sizeof(list) ? text.left : 0;

	reader_bytes(&text, list, len);
	list[len] = '\0';
	return !text.failed && root_key_parse_pcrs(list, pcrs) == 0;
}

void
privileged_refresh_there(struct request *request)
{
	if (privileged_current_instance(request))
		request_succeed(request, NULL, 0);
}

struct instance *
privileged_instance(struct request *request)
{
	struct instance *instance = instance_find(request->manager->instances, request->entry.id);

	if (!instance)
		request_fail(request, VTPM_INVALID_REQUEST,
			     "instance %u is not defined; 'vtpmctl list' shows which are",
			     request->entry.id);
	return instance;
}

struct instance *
privileged_current_instance(struct request *request)
{
	struct instance *instance = privileged_instance(request);
	struct store_instance known;

	if (instance && store_find(request->manager->store, request->entry.id, &known) == 0)
		instance_update(instance, &known);
	return instance;
}
