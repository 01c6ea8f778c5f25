#include "manager/migration_places.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <vtpm/codec.h>
#include <vtpm/info.h>
#include <vtpm/log.h>
#include <vtpm/manager.h>

#include "manager/manager.h"
#include "manager/request.h"
#include "manager/store.h"

struct place {
	struct migration_places *places;
	uint8_t uuid[STORE_UUID_SIZE];
	struct event *timer;
	TAILQ_ENTRY(place) entry;
};

struct migration_places {
	struct manager *manager;
	TAILQ_HEAD(, place) list;
};

static void
place_free(struct place *place)
{
	TAILQ_REMOVE(&place->places->list, place, entry);
	if (place->timer)
		event_free(place->timer);
	free(place);
}

static void
set_timer(struct place *place)
{
	struct timeval limit = { .tv_sec = place->places->manager->options->offer_seconds };

	event_add(place->timer, &limit);
}

static bool
is_empty_place(const struct store_instance *known)
{
	return known->flags & STORE_FLAG_INCOMING && !(known->flags & STORE_FLAG_PREPARED);
}

static void
given_up(struct request *request, void *ctx)
{
	(void)ctx;
	request_free(request);
}

/*
 * A copy that comes in this very moment has a fence number above that of the place, which this
 * FORGET does not reach.
 */
static void
give_up(struct manager *manager, const struct store_instance *known)
{
	uint8_t params[VTPM_UUID_SIZE + 8 + 1];
	struct writer w = writer_of(params, sizeof(params));
	char uuid[VTPM_UUID_TEXT_SIZE];

	uuid_format(uuid, known->uuid);
	log_warning("vTPM %s (instance %u): %s offered it, and has not been heard of since; its "
		    "place is given up",
		    uuid, known->id, known->peer[0] ? known->peer : "this host");
	writer_bytes(&w, known->uuid, sizeof(known->uuid));
	writer_u64(&w, known->fence);
	writer_u8(&w, false);
	if (request_start(manager, VTPM_ORD_FORGET, params, w.len, manager->console_listener,
			  given_up, NULL) < 0)
		log_error("instance %u: its place stays, out of memory", known->id);
}

static void
due(evutil_socket_t fd, short what, void *arg)
{
	struct place *place = arg;
	struct manager *manager = place->places->manager;
	struct store_instance known;
	bool empty =
	    store_find_uuid(manager->store, place->uuid, &known) == 0 && is_empty_place(&known);

	(void)fd;
	(void)what;
	/* A guest is here already; without the place it would get another TPM. */
	if (empty && known.flags & STORE_FLAG_OPENED) {
		set_timer(place);
		return;
	}
	if (empty)
		give_up(manager, &known);
	place_free(place);
}

static struct place *
place_new(struct migration_places *places, const uint8_t *uuid)
{
	struct place *place = calloc(1, sizeof(*place));

	if (!place)
		return NULL;
	place->places = places;
	memcpy(place->uuid, uuid, sizeof(place->uuid));
	TAILQ_INSERT_TAIL(&places->list, place, entry);
	place->timer = evtimer_new(listener_base(places->manager->console_listener), due, place);
	if (place->timer)
		return place;
	place_free(place);
	return NULL;
}

void
migration_places_hold(struct migration_places *places, const uint8_t *uuid)
{
	struct place *place;

	TAILQ_FOREACH(place, &places->list, entry)
	{
		if (memcmp(place->uuid, uuid, sizeof(place->uuid)) == 0)
			break;
	}
	if (!place)
		place = place_new(places, uuid);
	if (place)
		set_timer(place);
	else
		log_error("a place that was offered is not given up by itself, out of memory");
}

struct migration_places *
migration_places_new(struct manager *manager)
{
	struct migration_places *places = calloc(1, sizeof(*places));
	struct store_instance *list = NULL;
	size_t count = 0;

	if (!places)
		return NULL;
	places->manager = manager;
	TAILQ_INIT(&places->list);
	if (store_list(manager->store, &list, &count) < 0) {
		free(places);
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		if (is_empty_place(&list[i]))
			migration_places_hold(places, list[i].uuid);
	}
	free(list);
	return places;
}

void
migration_places_free(struct migration_places *places)
{
	while (places && !TAILQ_EMPTY(&places->list))
		place_free(TAILQ_FIRST(&places->list));
	free(places);
}
