#include "manager/ring.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "manager/throttle.h"
#include <vtpm/codec.h>
#include <vtpm/log.h>
#include <vtpm/ring.h>
#include <vtpm/tpm12.h>

enum {
	RING_USELESS_BURST = 32, /* notifications without a valid command ... */
	RING_WINDOW_MS = 100,    /* ... in so many milliseconds, before the guest is kept waiting */
};

struct ring {
	struct grants *grants;
	const struct ring_ops *ops;
	void *ctx;
	struct throttle *throttle;
	uint32_t domid;
	int port;
	volatile struct ring_page *page;
	uint8_t *extra; /* mapped while a command that uses them is in flight */
	uint32_t nr_extra;
	size_t offset; /* of the packet */
	bool busy;     /* a command is in flight */
	bool cancelled;
	struct log_limit log;
	uint8_t cmd[TPM_BUFFER_SIZE];
};

/* ring_parts: where the first len bytes of the packet lie: in the page, then in the extra pages. */
static void
ring_parts(const struct ring *ring, size_t len, struct iovec parts[2])
{
	size_t first = RING_PAGE_SIZE - ring->offset;

	if (first > len)
		first = len;
	parts[0].iov_base = (uint8_t *)(uintptr_t)ring->page + ring->offset;
	parts[0].iov_len = first;
	parts[1].iov_base = ring->extra;
	parts[1].iov_len = len - first;
}

static size_t
ring_room(const struct ring *ring)
{
	return (size_t)RING_PAGE_SIZE * (1 + ring->nr_extra) - ring->offset;
}

static void
ring_unmap_extra(struct ring *ring)
{
	grants_unmap(ring->grants, ring->extra, ring->nr_extra);
	ring->extra = NULL;
	ring->nr_extra = 0;
}

/* ring_map_extra: maps the extra pages that a TPM message can reach; others stay the guest's. */
static int
ring_map_extra(struct ring *ring, uint8_t offered)
{
	uint32_t refs[UINT8_MAX];
	size_t reach = ring->offset + TPM_BUFFER_SIZE;
	uint32_t useful = (uint32_t)((reach - 1) / RING_PAGE_SIZE);
	uint32_t count = offered < useful ? offered : useful;

	if (count == 0)
		return 0;
	for (uint32_t i = 0; i < count; i++)
		refs[i] = ring->page->extra_pages[i];
	ring->extra = grants_map(ring->grants, ring->domid, refs, count);
	if (!ring->extra)
		return -errno;
	ring->nr_extra = count;
	return 0;
}

static void
ring_end(struct ring *ring, enum ring_state state)
{
	ring->busy = false;
	ring_unmap_extra(ring);
	/* What was written before must be seen before. */
	__atomic_store_n(&ring->page->state, (uint8_t)state, __ATOMIC_RELEASE);
	if (state == RING_FINISH && ring->ops->responded)
		ring->ops->responded(ring->ctx);
	(void)grants_notify(ring->grants, ring->port);
}

void
ring_respond(struct ring *ring, const uint8_t *response, size_t len)
{
	struct iovec parts[2];

	if (len > ring_room(ring)) {
		log_limited(&ring->log, LOG_LEVEL_WARNING,
			    "domain %u: a TPM response of %zu bytes does not fit into its ring of "
			    "%zu: its driver should grant an extra page",
			    ring->domid, len, ring_room(ring));
		ring_fail(ring, TPM_FAIL);
		return;
	}
	ring_parts(ring, len, parts);
	memcpy(parts[0].iov_base, response, parts[0].iov_len);
	if (parts[1].iov_len > 0)
		memcpy(parts[1].iov_base, response + parts[0].iov_len, parts[1].iov_len);
	ring->page->length = (uint32_t)len;
	ring_end(ring, RING_FINISH);
}

void
ring_abandon(struct ring *ring)
{
	ring_end(ring, RING_IDLE);
}

void
ring_fail(struct ring *ring, uint32_t result)
{
	uint8_t response[TPM_HEADER_SIZE];
	struct writer w = writer_of(response, sizeof(response));

	writer_u16(&w, TPM_TAG_RSP_COMMAND);
	writer_u32(&w, TPM_HEADER_SIZE);
	writer_u32(&w, result);
	ring_respond(ring, response, sizeof(response));
}

/* ring_take: copies the submitted command. Returns its size, or 0 and why the TPM would refuse. */
static size_t
ring_take(struct ring *ring, uint32_t *result)
{
	size_t len = ring->page->length;
	uint8_t offered = ring->page->nr_extra_pages;
	struct iovec parts[2];

	ring->offset = sizeof(struct ring_page) + sizeof(uint32_t) * offered;
	int error = ring_map_extra(ring, offered);
	if (error) {
		log_limited(&ring->log, LOG_LEVEL_WARNING,
			    "domain %u: cannot map the extra pages of its TPM ring: %s",
			    ring->domid, strerror(-error));
		*result = TPM_FAIL;
		return 0;
	}
	*result = TPM_BAD_PARAM_SIZE;
	if (len < TPM_HEADER_SIZE || len > sizeof(ring->cmd) || len > ring_room(ring))
		return 0;
	ring_parts(ring, len, parts);
	memcpy(ring->cmd, parts[0].iov_base, parts[0].iov_len);
	if (parts[1].iov_len > 0)
		memcpy(ring->cmd + parts[0].iov_len, parts[1].iov_base, parts[1].iov_len);

	struct reader r = reader_of(ring->cmd, len);
	reader_u16(&r);
	return reader_u32(&r) == len ? len : 0;
}

/* ring_submitted: returns whether a command was taken. */
static bool
ring_submitted(struct ring *ring)
{
	unsigned locality = ring->page->locality;
	uint32_t result;

	ring->busy = true;
	ring->cancelled = false;
	size_t len = ring_take(ring, &result);
	if (len > 0 && locality > RING_LOCALITY_MAX) {
		result = TPM_BAD_LOCALITY;
		len = 0;
	}
	if (len == 0) {
		ring_fail(ring, result);
		return false;
	}
	ring->ops->command(ring->ctx, locality, ring->cmd, len);
	return true;
}

/* ring_serve: does what the page asks for. Returns whether that was worth a notification. */
static bool
ring_serve(struct ring *ring)
{
	uint8_t state = __atomic_load_n(&ring->page->state, __ATOMIC_ACQUIRE);

	if (state == RING_SUBMIT && !ring->busy)
		return ring_submitted(ring);
	if (state == RING_CANCEL && !ring->busy) {
		/* It crossed our response, or another back-end's death. */
		ring_end(ring, RING_IDLE);
	} else if (state == RING_CANCEL && !ring->cancelled) {
		ring->cancelled = true;
		ring->ops->cancel(ring->ctx);
	}
	return false;
}

bool
ring_pending(const struct ring *ring)
{
	return __atomic_load_n(&ring->page->state, __ATOMIC_ACQUIRE) == RING_SUBMIT;
}

void
ring_look(struct ring *ring)
{
	(void)ring_serve(ring);
	(void)grants_notify(ring->grants, ring->port);
}

void
ring_notified(struct ring *ring)
{
	if (ring_serve(ring) || throttle_allow(ring->throttle))
		(void)grants_unmask(ring->grants, ring->port);
}

static void
on_throttle_end(void *ctx)
{
	struct ring *ring = ctx;

	(void)grants_unmask(ring->grants, ring->port);
}

int
ring_port(const struct ring *ring)
{
	return ring->port;
}

int
ring_open(struct grants *grants, struct event_base *base, uint32_t domid, uint32_t ref,
	  uint32_t port, const struct ring_ops *ops, void *ctx, struct ring **out)
{
	struct ring *ring = calloc(1, sizeof(*ring));
	int error = -ENOMEM;

	if (!ring)
		return error;
	ring->grants = grants;
	ring->ops = ops;
	ring->ctx = ctx;
	ring->domid = domid;
	ring->offset = sizeof(struct ring_page);
	ring->port = -1;
	ring->throttle =
	    throttle_new(base, RING_USELESS_BURST, RING_WINDOW_MS, on_throttle_end, ring);
	if (!ring->throttle)
		goto fail;
	ring->page = grants_map(grants, domid, &ref, 1);
	if (!ring->page) {
		error = errno ? -errno : -EINVAL;
		goto fail;
	}
	ring->port = grants_bind(grants, domid, port);
	if (ring->port < 0) {
		error = ring->port;
		goto fail;
	}
	*out = ring;
	return 0;
fail:
	ring_close(ring);
	return error;
}

void
ring_close(struct ring *ring)
{
	if (!ring)
		return;
	if (ring->port >= 0)
		grants_unbind(ring->grants, ring->port);
	ring_unmap_extra(ring);
	grants_unmap(ring->grants, (void *)(uintptr_t)ring->page, 1);
	throttle_free(ring->throttle);
	free(ring);
}
