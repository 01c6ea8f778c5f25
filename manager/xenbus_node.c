#include "manager/xenbus_node.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NODE_WRITE_TRIES = 16, /* each time somebody else's change came between */
};

static bool
node_path(char path[NODE_PATH_MAX], const char *dir, const char *name)
{
	if (snprintf(path, NODE_PATH_MAX, "%s/%s", dir, name) < NODE_PATH_MAX)
		return true;
	errno = ENAMETOOLONG;
	return false;
}

static char *
node_read_in(struct xs_handle *xs, xs_transaction_t transaction, const char *dir, const char *name)
{
	char path[NODE_PATH_MAX];

	return node_path(path, dir, name) ? xs_read(xs, transaction, path, NULL) : NULL;
}

char *
node_read(struct xs_handle *xs, const char *dir, const char *name)
{
	return node_read_in(xs, XBT_NULL, dir, name);
}

uint32_t
node_number(struct xs_handle *xs, const char *dir, const char *name, uint32_t fallback)
{
	char *text = node_read(xs, dir, name);
	uint32_t number = fallback;

	if (text && isdigit((unsigned char)*text)) {
		char *end;
		errno = 0;
		unsigned long long value = strtoull(text, &end, 10);

		if (errno == 0 && *end == '\0' && value <= UINT32_MAX)
			number = (uint32_t)value;
	}
	free(text);
	return number;
}

static bool
node_write_in(struct xs_handle *xs, xs_transaction_t transaction, const char *dir,
	      const struct node *nodes, size_t count)
{
	char path[NODE_PATH_MAX];
	char *frontend = node_read_in(xs, transaction, dir, "frontend");

	if (!frontend)
		return false;
	free(frontend);
	for (size_t i = 0; i < count; i++)
		if (!node_path(path, dir, nodes[i].name) ||
		    !xs_write(xs, transaction, path, nodes[i].value,
			      (unsigned)strlen(nodes[i].value)))
			return false;
	return true;
}

int
node_write(struct xs_handle *xs, const char *dir, const struct node *nodes, size_t count)
{
	for (int i = 0; i < NODE_WRITE_TRIES; i++) {
		xs_transaction_t transaction = xs_transaction_start(xs);

		if (transaction == XBT_NULL)
			return -errno;
		if (!node_write_in(xs, transaction, dir, nodes, count)) {
			int error = -errno;

			(void)xs_transaction_end(xs, transaction, true);
			return error;
		}
		if (xs_transaction_end(xs, transaction, false))
			return 0;
		if (errno != EAGAIN)
			return -errno;
	}
	return -EAGAIN;
}
