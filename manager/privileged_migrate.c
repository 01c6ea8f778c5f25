#include "manager/privileged_migrate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <vtpm/log.h>
#include <vtpm/manager.h>

#include "manager/crypt.h"
#include "manager/instance.h"
#include "manager/manager.h"

enum { PURPOSE_SIZE = 96 };

/* Old tools count a final NUL. */
bool
migrate_take_name(struct reader *r, char name[STORE_PEER_MAX])
{
	struct reader text = reader_sized(r);
	size_t len = text.left;

	if (text.failed || len == 0 || len >= STORE_PEER_MAX)
		return false;
	reader_bytes(&text, name, len);
	if (name[len - 1] == '\0')
		len--;
	name[len] = '\0';
	for (size_t i = 0; i < len; i++) {
		if (name[i] < ' ' || name[i] > '~')
			return false;
	}
	return len > 0;
}

bool
migrate_take_peer(struct request *request)
{
	bool sound = !request->params.failed;

	request->entry.peer[0] = '\0';
	if (sound && request->params.left > 0)
		sound = migrate_take_name(&request->params, request->entry.peer);
	if (sound && reader_done(&request->params))
		return true;
	request_fail(request, VTPM_INVALID_REQUEST,
		     "ordinal 0x%08x with parameters that are too long, too short, or no names",
		     request->ordinal);
	return false;
}

void
migrate_take_vtpm(struct request *request)
{
	reader_bytes(&request->params, request->entry.uuid, sizeof(request->entry.uuid));
	request->entry.fence = reader_u64(&request->params);
}

/* Where ":PORT" begins, or the end. */
static size_t
host_length(const char *peer)
{
	const char *colon = strrchr(peer, ':');

	return colon && colon[1 + strspn(colon + 1, "0123456789")] == '\0' ? (size_t)(colon - peer)
									   : strlen(peer);
}

bool
migrate_same_host(const char *peer, const char *authenticated)
{
	size_t len = host_length(peer);

	return len == host_length(authenticated) && strncasecmp(peer, authenticated, len) == 0;
}

bool
migrate_is_foreign(const struct request *request, const struct store_instance *known)
{
	return request->entry.peer[0] && known->peer[0] &&
	       !migrate_same_host(known->peer, request->entry.peer);
}

bool
migrate_is_here(const struct store_instance *known)
{
	return known->type != VTPM_TYPE_MIGRATED &&
	       !(known->flags & (STORE_FLAG_OUTGOING | STORE_FLAG_INCOMING));
}

const char *
migrate_text(const struct store_instance *known, char text[MIGRATE_TEXT_SIZE])
{
	char uuid[VTPM_UUID_TEXT_SIZE];

	uuid_format(uuid, known->uuid);
	snprintf(text, MIGRATE_TEXT_SIZE, "vTPM %s (instance %u)", uuid, known->id);
	return text;
}

bool
migrate_find(struct request *request, struct store_instance *known)
{
	if (store_find(request->manager->store, request->entry.id, known) == 0)
		return true;
	request_fail(request, VTPM_INVALID_REQUEST,
		     "instance %u is not defined; 'vtpmctl list' shows which are",
		     request->entry.id);
	return false;
}

bool
migrate_find_uuid(struct request *request, struct store_instance *known)
{
	char uuid[VTPM_UUID_TEXT_SIZE];

	if (store_find_uuid(request->manager->store, request->entry.uuid, known) == 0) {
		request->entry.id = known->id;
		return true;
	}
	uuid_format(uuid, request->entry.uuid);
	request_fail(request, VTPM_INVALID_REQUEST, "vTPM %s is not known on this host", uuid);
	return false;
}

bool
migrate_update(struct request *request, const struct store_instance *known)
{
	char text[MIGRATE_TEXT_SIZE];
	int rc = store_update(request->manager->store, known);

	if (rc < 0)
		request_fail(request, VTPM_FAIL, "%s: its entry cannot be written: %s",
			     migrate_text(known, text), strerror(-rc));
	return rc == 0;
}

bool
migrate_take_back(struct request *request, struct store_instance *known)
{
	char text[MIGRATE_TEXT_SIZE];

	known->flags &= ~(uint32_t)(STORE_FLAG_OUTGOING | STORE_FLAG_INCOMING | STORE_FLAG_OPENED);
	known->type = VTPM_TYPE_MIGRATABLE;
	if (!migrate_update(request, known))
		return false;
	log_info("%s: stays here, it does not go to %s", migrate_text(known, text), known->peer);
	return true;
}

bool
migrate_unwant(struct request *request)
{
	uint32_t wanted = STORE_FLAG_OPENED;
	struct store_instance known;

	if (store_find(request->manager->store, request->entry.id, &known) < 0 ||
	    !(known.flags & STORE_FLAG_INCOMING))
		return true;
	if (known.flags & STORE_FLAG_PREPARED)
		wanted |= STORE_FLAG_RESUMES;
	if (!(known.flags & wanted))
		return true;
	known.flags &= ~wanted;
	return migrate_update(request, &known);
}

void
migrate_settle_there(struct request *request)
{
	struct instance *instance = privileged_current_instance(request);

	if (!instance)
		return;
	instance_go_on(instance);
	request_succeed(request, NULL, 0);
}

int
migrate_secret(struct store *store, const struct store_instance *known, uint8_t *secret)
{
	char uuid[VTPM_UUID_TEXT_SIZE];
	char purpose[PURPOSE_SIZE];

	uuid_format(uuid, known->uuid);
	snprintf(purpose, sizeof(purpose), "vtpm migration %s %llu", uuid,
		 (unsigned long long)known->fence);
	return crypt_derive(secret, store_key(store), purpose);
}

static enum vtpm_migration_state
state_of(const struct store_instance *known)
{
	if (known->flags & STORE_FLAG_INCOMING)
		return known->flags & STORE_FLAG_PREPARED ? VTPM_MIGRATION_PREPARED
							  : VTPM_MIGRATION_OFFERED;
	if (known->flags & STORE_FLAG_FORGOTTEN)
		return VTPM_MIGRATION_NONE;
	if (known->type == VTPM_TYPE_MIGRATED)
		return VTPM_MIGRATION_MIGRATED;
	return known->flags & STORE_FLAG_OUTGOING ? VTPM_MIGRATION_OUTGOING : VTPM_MIGRATION_HERE;
}

void
privileged_query(struct request *request)
{
	struct store_instance known = { 0 };
	uint8_t params[1 + 8 + 4 + STORE_PEER_MAX + 8];
	struct writer w = writer_of(params, sizeof(params));
	enum vtpm_migration_state state = VTPM_MIGRATION_NONE;

	reader_bytes(&request->params, request->entry.uuid, sizeof(request->entry.uuid));
	if (!migrate_take_peer(request))
		return;
	if (store_find_uuid(request->manager->store, request->entry.uuid, &known) == 0)
		state = state_of(&known);
	writer_u8(&w, (uint8_t)state);
	writer_u64(&w, known.fence);
	writer_sized(&w, known.peer, strlen(known.peer));
	writer_u64(&w, known.peer_time);
	request_succeed(request, params, w.len);
}
