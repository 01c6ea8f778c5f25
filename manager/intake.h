/*
 * intake.h - messages out of what has been received, whole and one at a time.
 */
#ifndef MANAGER_INTAKE_H
#define MANAGER_INTAKE_H

#include <stdint.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include <vtpm/stream.h>

/*
 * What a message looks like on a pipe that several write to, and that therefore cannot be closed on
 * one who writes nonsense, or dies in the middle of a message.
 */
struct intake_sync {
	const char *name; /* of the pipe, for the log */
	uint16_t first_tag, last_tag;
};

struct intake;

/*
 * intake_new: reads from input, which must outlive it. receive gets a message, or what stream_next
 * says instead of one (never STREAM_WAIT); it may pause the intake, but not free it. With sync (not
 * NULL; it must outlive the intake), what cannot be the start of a message is skipped, one that is
 * not completed within two seconds is dropped, and STREAM_BROKEN does not occur. NULL: out of
 * memory.
 */
struct intake *intake_new(struct event_base *base, struct evbuffer *input,
			  enum stream_framing framing, const struct intake_sync *sync,
			  void (*receive)(void *ctx, enum stream_event event,
					  const struct stream_message *message),
			  void *ctx);
void intake_free(struct intake *intake); /* NULL does nothing */

/* intake_run: takes what there is, after something was added to the input. */
void intake_run(struct intake *intake);

/* intake_pause: takes nothing until intake_run is called after intake_resume. */
void intake_pause(struct intake *intake);
void intake_resume(struct intake *intake);

#endif
