/*
 * front.h - a front-end in shared memory (manager/grants.h), for tests: what a guest's driver does,
 * and what it should not.
 */
#ifndef TESTS_UNIT_FRONT_H
#define TESTS_UNIT_FRONT_H

#include <stddef.h>
#include <stdint.h>

#include <vtpm/ring.h>

enum {
	FRONT_REF = 8,
	FRONT_EXTRA_REF = 9,
	FRONT_PORT = 5,
};

struct front {
	const char *dir;
	uint32_t domid;
	struct ring_page *page;
	uint8_t *extra; /* one page, as FRONT_EXTRA_REF */
	int to_back;
	int from_back;
};

/* front_open: makes the pages and pipes of one front-end in dir; front_close removes them. Both
 * fail the test when they cannot. */
void front_open(struct front *front, const char *dir, uint32_t domid);
void front_close(struct front *front);

/* front_put: writes header and packet, sets RING_SUBMIT, notifies. front_state sets a state and
 * notifies. */
void front_put(struct front *front, unsigned locality, const void *cmd, size_t len);
void front_set(struct front *front, enum ring_state state);
void front_notify(struct front *front);

/* front_notified: how many notifications came since the last call. */
size_t front_notified(struct front *front);

#endif
