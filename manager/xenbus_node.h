/*
 * xenbus_node.h - the nodes DIR/NAME of one device in xenstore.
 */
#ifndef MANAGER_XENBUS_NODE_H
#define MANAGER_XENBUS_NODE_H

#include <stddef.h>
#include <stdint.h>

#include <xenstore.h>

enum {
	NODE_PATH_MAX = 512, /* a relative or absolute path, with its end */
};

struct node {
	const char *name;
	const char *value;
};

/* node_read: a node's text, which the caller frees, or NULL with errno set. */
char *node_read(struct xs_handle *xs, const char *dir, const char *name);

/* node_number: a node's decimal number, or fallback if it has none of 32 bits. */
uint32_t node_number(struct xs_handle *xs, const char *dir, const char *name, uint32_t fallback);

/*
 * node_write: writes all of the nodes, or none, and only if the folder is still a device's (has
 * `frontend`), for a late write must not bring back a device that was removed. Returns 0 or a
 * negative errno; -ENOENT if the device is gone.
 */
int node_write(struct xs_handle *xs, const char *dir, const struct node *nodes, size_t count);

#endif
