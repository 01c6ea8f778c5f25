#include "manager/grants.h"

#include <stddef.h>

void
grants_close(struct grants *g)
{
	if (g)
		g->ops->close(g);
}

void *
grants_map(struct grants *g, uint32_t domid, const uint32_t *refs, uint32_t count)
{
	return g->ops->map(g, domid, refs, count);
}

void
grants_unmap(struct grants *g, void *pages, uint32_t count)
{
	if (pages)
		g->ops->unmap(g, pages, count);
}

int
grants_bind(struct grants *g, uint32_t domid, uint32_t remote_port)
{
	return g->ops->bind(g, domid, remote_port);
}

void
grants_unbind(struct grants *g, int port)
{
	g->ops->unbind(g, port);
}

int
grants_notify(struct grants *g, int port)
{
	return g->ops->notify(g, port);
}

int
grants_fd(struct grants *g)
{
	return g->ops->fd(g);
}

int
grants_pending(struct grants *g)
{
	return g->ops->pending(g);
}

int
grants_unmask(struct grants *g, int port)
{
	return g->ops->unmask(g, port);
}

enum domain_life
grants_life(struct grants *g, uint32_t domid)
{
	return g->ops->life(g, domid);
}

bool
grants_restored(struct grants *g, uint32_t domid)
{
	return g->ops->restored(g, domid);
}
