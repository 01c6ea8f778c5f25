/*
 * channel_pv.h - the pipes between manager and instance: commands of a PV guest, and what the
 * manager itself wants done (vtpm/manager.h).
 */
#ifndef INSTANCE_CHANNEL_PV_H
#define INSTANCE_CHANNEL_PV_H

#include <event2/event.h>

#include "instance/instance.h"

struct channel_pv;

/*
 * channel_pv_open: opens the pipes below run_dir and serves them. Returns 0, or a negative errno
 * after having logged what is wrong.
 */
int channel_pv_open(struct event_base *base, const char *run_dir, struct instance *instance,
		    struct channel_pv **channel);
void channel_pv_close(struct channel_pv *channel);

/*
 * channel_pv_reopen: there is a new manager: opens the pipes anew and repeats the last answer.
 * 0 or a negative errno, logged; then the old pipes are still in use.
 */
int channel_pv_reopen(struct channel_pv *channel);

#endif
