/*
 * xenbus_state.h - what the back-end does next, from what it sees in xenstore: pure decisions.
 *
 * The handshake is driven by what is, never by what changed: after each step the nodes are read
 * again and the next step is asked for, until there is none. Missed, doubled and late events
 * therefore lead to the same place.
 */
#ifndef MANAGER_XENBUS_STATE_H
#define MANAGER_XENBUS_STATE_H

#include <stdbool.h>

/* Xen's XenbusState. */
enum xenbus_state {
	XENBUS_MISSING = 0, /* no such node, or nothing that can be understood */
	XENBUS_INITIALISING = 1,
	XENBUS_INIT_WAIT = 2,
	XENBUS_INITIALISED = 3,
	XENBUS_CONNECTED = 4,
	XENBUS_CLOSING = 5,
	XENBUS_CLOSED = 6,
};

struct xenbus_view {
	enum xenbus_state back;
	enum xenbus_state front;
	bool online;      /* the toolstack wants the device to be there */
	bool domain_gone; /* the front-end's domain is dying */
	bool connected;   /* a ring is mapped ... */
	bool same_ring;   /* ... and it is the one that the front-end offers now */
	bool ring_failed; /* the ring that the front-end offers now could not be mapped */
	bool settling;    /* InitWait has been there for a moment only */
	bool timed_out;   /* the front-end had its time to close */
	bool released;    /* what hangs on the device has been released */
};

enum xenbus_step {
	XENBUS_WAIT,        /* nothing until something changes */
	XENBUS_ANNOUNCE,    /* say which protocol we speak, go to InitWait */
	XENBUS_CONNECT,     /* map the front-end's ring, go to Connected */
	XENBUS_DISCONNECT,  /* give the ring back */
	XENBUS_START_CLOSE, /* give the front-end a limited time to close, then wait */
	XENBUS_RELEASE,     /* release what hangs on the device, then wait */
	XENBUS_TO_CLOSING,
	XENBUS_TO_CLOSED,
};

/* xenbus_next: the next step. */
enum xenbus_step xenbus_next(const struct xenbus_view *view);

#endif
