/*
 * xenstored.h - a real xenstored for one test, without a hypervisor (tests/xen/xenstored_shim.c),
 * and what the toolstack and a guest's driver write into it.
 */
#ifndef TESTS_UNIT_XENSTORED_H
#define TESTS_UNIT_XENSTORED_H

#include <stdbool.h>
#include <stdint.h>

#include <xenstore.h>

/* xenstored_available: whether this machine has a xenstored; says so if not. */
bool xenstored_available(void);

/* xenstored_start: starts xenstored in dir and points libxenstore to it; xenstored_stop ends it. */
void xenstored_start(const char *dir);
void xenstored_stop(const char *dir);

/* The test's own connection, as dom0. */
extern struct xs_handle *xenstored;

/* xenstored_put: writes one node; xenstored_get: its text, "" if there is none, good until the next
 * call.
 */
void xenstored_put(const char *dir, const char *name, const char *value);
const char *xenstored_get(const char *dir, const char *name);

/*
 * xenstored_attach: what libxl writes for a new device HANDLE of domid with this uuid, in one
 * transaction. xenstored_detach: what it writes to have it removed, and xenstored_remove what it
 * removes.
 */
void xenstored_attach(uint32_t domid, uint32_t handle, const char *uuid);
void xenstored_detach(uint32_t domid, uint32_t handle);
void xenstored_remove(uint32_t domid, uint32_t handle);

/* The device's folders; good until the next call of the same function. */
const char *xenstored_back(uint32_t domid, uint32_t handle);
const char *xenstored_front(uint32_t domid, uint32_t handle);

/* xenstored_offer: what the front-end's driver writes to offer a ring, in one transaction. */
void xenstored_offer(uint32_t domid, uint32_t handle, uint32_t ref, uint32_t port);

/* xenstored_domain_event: has xenstored say that some domain ended or shut down. */
void xenstored_domain_event(void);

#endif
