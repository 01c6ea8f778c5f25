/*
 * migration_places.h - places that were offered to a vTPM which has not come yet.
 *
 * Who offers one says so again as long as he is about to send it. Who does not is gone, and a place
 * that only waits for him is given up after a while (--offer-seconds).
 */
#ifndef MANAGER_MIGRATION_PLACES_H
#define MANAGER_MIGRATION_PLACES_H

#include <stdint.h>

struct manager;

/* All of them. For the console's thread only. */
struct migration_places;

/* migration_places_new: with those that the store knows from an earlier run. NULL: no memory. */
struct migration_places *migration_places_new(struct manager *manager);
void migration_places_free(struct migration_places *places); /* NULL does nothing */

/* migration_places_hold: the vTPM uuid (16 bytes) was offered, for the first time or again. */
void migration_places_hold(struct migration_places *places, const uint8_t *uuid);

#endif
