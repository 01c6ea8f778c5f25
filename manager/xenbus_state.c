#include "manager/xenbus_state.h"

static bool
front_is_up(const struct xenbus_view *view)
{
	return view->front == XENBUS_INITIALISED || view->front == XENBUS_CONNECTED;
}

/* The toolstack removes the device: it waits for Closed before it removes the nodes. */
static enum xenbus_step
next_when_leaving(const struct xenbus_view *view)
{
	/* A driver that is about to close may still have a command to finish. */
	if (view->connected && !view->timed_out)
		return XENBUS_START_CLOSE;
	if (view->connected)
		return XENBUS_DISCONNECT;
	if (!view->released)
		return XENBUS_RELEASE;
	return view->back == XENBUS_CLOSED ? XENBUS_WAIT : XENBUS_TO_CLOSED;
}

static enum xenbus_step
next_when_front_is_up(const struct xenbus_view *view)
{
	if (view->connected && !view->same_ring)
		return XENBUS_DISCONNECT;
	if (view->connected)
		return XENBUS_WAIT;
	/* libxl waits for InitWait and overlooks it when Connected follows at once, as it would
	 * with a driver that is already loaded. */
	if (view->back == XENBUS_INITIALISING)
		return XENBUS_ANNOUNCE;
	if (view->settling)
		return XENBUS_WAIT;
	if (!view->ring_failed)
		return XENBUS_CONNECT;
	return view->back == XENBUS_CLOSING ? XENBUS_WAIT : XENBUS_TO_CLOSING;
}

enum xenbus_step
xenbus_next(const struct xenbus_view *view)
{
	if (view->connected && (view->domain_gone || !front_is_up(view)))
		return XENBUS_DISCONNECT;
	if (!view->online)
		return next_when_leaving(view);
	if (view->domain_gone)
		return XENBUS_WAIT;
	if (front_is_up(view))
		return next_when_front_is_up(view);

	switch (view->front) {
	case XENBUS_INITIALISING:
	case XENBUS_INIT_WAIT:
		return view->back == XENBUS_INIT_WAIT ? XENBUS_WAIT : XENBUS_ANNOUNCE;
	case XENBUS_CLOSING:
		return view->back == XENBUS_CLOSING ? XENBUS_WAIT : XENBUS_TO_CLOSING;
	case XENBUS_CLOSED:
		return view->back == XENBUS_CLOSED ? XENBUS_WAIT : XENBUS_TO_CLOSED;
	default:
		/* The front-end's nodes are not there yet, or not there any more. */
		return view->back == XENBUS_INITIALISING ? XENBUS_ANNOUNCE : XENBUS_WAIT;
	}
}
