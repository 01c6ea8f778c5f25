/*
 * grants.h - what a back-end needs of the hypervisor: a guest's pages, event channels, and whether
 * the guest still lives. Filled by Xen (grants_xen_open) and, where there is none, by files that
 * two processes share (grants_shm_open), which lets everything above run without a hypervisor.
 */
#ifndef MANAGER_GRANTS_H
#define MANAGER_GRANTS_H

#include <stdbool.h>
#include <stdint.h>

enum domain_life {
	DOMAIN_RUNNING,
	DOMAIN_SUSPENDED, /* shut down in order to be saved or migrated */
	DOMAIN_SHUTDOWN,  /* powered off, rebooting or crashed; its memory is still there */
	DOMAIN_GONE,      /* dying: it cannot end before all its pages are given back */
	DOMAIN_UNKNOWN,   /* this domain may not ask */
};

struct grants;

struct grants_ops {
	void (*close)(struct grants *g);
	void *(*map)(struct grants *g, uint32_t domid, const uint32_t *refs, uint32_t count);
	void (*unmap)(struct grants *g, void *pages, uint32_t count);
	int (*bind)(struct grants *g, uint32_t domid, uint32_t remote_port);
	void (*unbind)(struct grants *g, int port);
	int (*notify)(struct grants *g, int port);
	int (*fd)(struct grants *g);
	int (*pending)(struct grants *g);
	int (*unmask)(struct grants *g, int port);
	enum domain_life (*life)(struct grants *g, uint32_t domid);
	bool (*restored)(struct grants *g, uint32_t domid);
};

/* The first member of each filling's own structure. */
struct grants {
	const struct grants_ops *ops;
};

/* grants_xen_open: Xen's own grants, through libxengnttab, libxenevtchn and libxenctrl. Returns 0
 * or a negative errno, logged. The caller closes *out with grants_close. */
int grants_xen_open(struct grants **out);

/*
 * grants_shm_open: grants without a hypervisor, in the folder dir: page REF of domain DOMID is the
 * file `grant.DOMID.REF`, its event channel PORT the two pipes `evtchn.DOMID.PORT.front` (towards
 * the front-end) and `.back`, and `life.DOMID` holds one digit, an enum domain_life; a domain
 * without that file runs. A domain was restored if there is a file `restored.DOMID`. The front-end
 * makes the files. Returns 0 or a negative errno, logged.
 */
int grants_shm_open(const char *dir, struct grants **out);

/* grants_close: gives everything back that is still mapped or bound. */
void grants_close(struct grants *g);

/* grants_map: maps count pages of domid side by side, for reading and writing. Returns NULL and
 * sets errno if the domain did not grant one of them. */
void *grants_map(struct grants *g, uint32_t domid, const uint32_t *refs, uint32_t count);

/* grants_unmap: gives back count pages that one grants_map returned; NULL is nothing. */
void grants_unmap(struct grants *g, void *pages, uint32_t count);

/* grants_bind: connects to the event channel that domid offers as remote_port. Returns our port
 * or a negative errno. */
int grants_bind(struct grants *g, uint32_t domid, uint32_t remote_port);
void grants_unbind(struct grants *g, int port);

/* grants_notify: tells the other end of port. Returns 0 or a negative errno. */
int grants_notify(struct grants *g, int port);

/* grants_fd: readable when grants_pending has something. */
int grants_fd(struct grants *g);

/* grants_pending: the next notified port, which stays silent from then on until grants_unmask;
 * -EAGAIN when there is none, another negative errno on failure. */
int grants_pending(struct grants *g);
int grants_unmask(struct grants *g, int port);

enum domain_life grants_life(struct grants *g, uint32_t domid);

/*
 * grants_restored: whether the domain, paused before its first run here, was restored or migrated
 * rather than built: only a kernel that has run before has told Xen where its event handler is (PV)
 * or has turned on paging (PVH, HVM). The toolstack does not say.
 */
bool grants_restored(struct grants *g, uint32_t domid);

#endif
