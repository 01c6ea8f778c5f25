#include "manager/grants.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <xenctrl.h>
#include <xenevtchn.h>
#include <xengnttab.h>

#include <vtpm/log.h>

#define XEN_CR0_PG (1ul << 31) /* of x86 */

struct grants_xen {
	struct grants base;
	xengnttab_handle *gnttab;
	xenevtchn_handle *evtchn;
	xc_interface *xc; /* NULL in a driver domain, which may not ask about others */
};

static struct grants_xen *
xen_of(struct grants *g)
{
	return (struct grants_xen *)g;
}

static void
xen_close(struct grants *g)
{
	struct grants_xen *x = xen_of(g);

	if (x->xc)
		xc_interface_close(x->xc);
	if (x->evtchn)
		xenevtchn_close(x->evtchn);
	if (x->gnttab)
		xengnttab_close(x->gnttab);
	free(x);
}

static void *
xen_map(struct grants *g, uint32_t domid, const uint32_t *refs, uint32_t count)
{
	/* The library's parameter lacks a const. */
	return xengnttab_map_domain_grant_refs(xen_of(g)->gnttab, count, domid, (uint32_t *)refs,
					       PROT_READ | PROT_WRITE);
}

static void
xen_unmap(struct grants *g, void *pages, uint32_t count)
{
	if (xengnttab_unmap(xen_of(g)->gnttab, pages, count) != 0)
		log_error("cannot unmap a guest's page (%m): its domain will stay as a zombie "
			  "until this manager is restarted");
}

static int
xen_bind(struct grants *g, uint32_t domid, uint32_t remote_port)
{
	int port = xenevtchn_bind_interdomain(xen_of(g)->evtchn, domid, remote_port);

	return port < 0 ? -errno : port;
}

static void
xen_unbind(struct grants *g, int port)
{
	(void)xenevtchn_unbind(xen_of(g)->evtchn, (evtchn_port_t)port);
}

static int
xen_notify(struct grants *g, int port)
{
	return xenevtchn_notify(xen_of(g)->evtchn, (evtchn_port_t)port) < 0 ? -errno : 0;
}

static int
xen_fd(struct grants *g)
{
	return xenevtchn_fd(xen_of(g)->evtchn);
}

static int
xen_pending(struct grants *g)
{
	/* xenevtchn_pending may block whatever the descriptor's flags say: ask first. */
	struct pollfd ready = { .fd = xen_fd(g), .events = POLLIN };

	if (poll(&ready, 1, 0) < 1)
		return -EAGAIN;
	int port = xenevtchn_pending(xen_of(g)->evtchn);
	return port < 0 ? -errno : port;
}

static int
xen_unmask(struct grants *g, int port)
{
	return xenevtchn_unmask(xen_of(g)->evtchn, (evtchn_port_t)port) < 0 ? -errno : 0;
}

static enum domain_life
xen_life(struct grants *g, uint32_t domid)
{
	xc_interface *xc = xen_of(g)->xc;
	xc_dominfo_t info;

	if (!xc)
		return DOMAIN_UNKNOWN;
	int found = xc_domain_getinfo(xc, domid, 1, &info);
	if (found < 0)
		return DOMAIN_UNKNOWN;
	if (found == 0 || info.domid != domid || info.dying)
		return DOMAIN_GONE;
	if (!info.shutdown)
		return DOMAIN_RUNNING;
	return info.shutdown_reason == SHUTDOWN_suspend ? DOMAIN_SUSPENDED : DOMAIN_SHUTDOWN;
}

static bool
xen_restored(struct grants *g, uint32_t domid)
{
	xc_interface *xc = xen_of(g)->xc;
	vcpu_guest_context_any_t context;
	xc_dominfo_t info;

	if (!xc || xc_domain_getinfo(xc, domid, 1, &info) != 1 || info.domid != domid ||
	    !info.paused || xc_vcpu_getcontext(xc, domid, 0, &context) != 0)
		return false;
	return info.hvm ? (context.c.ctrlreg[0] & XEN_CR0_PG) != 0
			: context.c.event_callback_eip != 0;
}

static const struct grants_ops xen_ops = {
	.close = xen_close,
	.map = xen_map,
	.unmap = xen_unmap,
	.bind = xen_bind,
	.unbind = xen_unbind,
	.notify = xen_notify,
	.fd = xen_fd,
	.pending = xen_pending,
	.unmask = xen_unmask,
	.life = xen_life,
	.restored = xen_restored,
};

int
grants_xen_open(struct grants **out)
{
	struct grants_xen *x = calloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	x->base.ops = &xen_ops;
	x->gnttab = xengnttab_open(NULL, 0);
	x->evtchn = xenevtchn_open(NULL, 0);
	if (!x->gnttab || !x->evtchn) {
		int error = errno ? -errno : -ENODEV;

		log_error("cannot open Xen's grant table or event channels (%m): is this a Xen "
			  "dom0 with the modules xen-gntdev and xen-evtchn loaded?");
		xen_close(&x->base);
		return error;
	}
	x->xc = xc_interface_open(NULL, NULL, 0);
	if (!x->xc)
		log_warning("cannot ask Xen about domains (%m): save and restore of guests will "
			    "look like a reboot to their TPMs");
	*out = &x->base;
	return 0;
}
