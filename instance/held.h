/*
 * held.h - QEMU's connections, held so that they outlive a killed vtpmd.
 *
 * A pair of connected sockets that the manager made and hands to each vtpmd of an instance. A
 * message that is in them keeps the descriptors which it carries open, whatever becomes of the
 * processes; the next vtpmd looks at it and goes on with them.
 */
#ifndef INSTANCE_HELD_H
#define INSTANCE_HELD_H

#include <stdbool.h>
#include <stdint.h>

struct held {
	int in; /* -1: nothing can be held */
	int out;
};

/* QEMU's two connections, and what it has set over the first. */
struct held_client {
	int control;
	int data;
	uint32_t locality;
	uint32_t buffer_size;
};

/* held_put: holds the descriptors of a client as well as the caller does; nothing else is there. */
void held_put(const struct held *held, const struct held_client *client);

/* held_drop: holds nothing any more. */
void held_drop(const struct held *held);

/*
 * held_look: what a vtpmd before left, which stays held; the descriptors are the caller's own.
 * false if there is nothing.
 */
bool held_look(const struct held *held, struct held_client *client);

#endif
