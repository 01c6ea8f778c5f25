/*
 * stream.h - whole messages out of a byte stream (pipe or socket) that is hostile.
 *
 * A stream knows one framing and reads from an evbuffer into which its owner puts what arrives, in
 * pieces of any size. A message of a size that nobody sends is refused without being collected:
 * the stream lets its bytes go by and stays in step, unless the announced size is absurd; then no
 * later byte can be trusted and the owner must close the stream.
 */
#ifndef VTPM_STREAM_H
#define VTPM_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct evbuffer;

enum stream_framing {
	STREAM_TPM,          /* TPM commands or responses as they are */
	STREAM_INSTANCE_TPM, /* with a 4-byte instance number in front, which their size leaves out
			      */
	STREAM_TO_INSTANCE,  /* the same, or VTPM_ORD_EXECUTE and its like around them */
	STREAM_MANAGER,      /* the manager's protocol, vtpm/manager.h */
	STREAM_MIGRATION,    /* that of the migration programs, vtpm/migration.h */
};

enum {
	/* A message announced with more than this breaks the stream. */
	STREAM_SKIP_MAX = 1024 * 1024,
};

/* To be set up with stream_init; holds no memory. */
struct stream {
	enum stream_framing framing;
	size_t drain; /* bytes of the last message, still at the start of the buffer */
	size_t skip;  /* bytes of a refused message, that have not arrived yet */
};

enum stream_event {
	STREAM_WAIT,    /* no whole message yet */
	STREAM_MESSAGE, /* one message, in *message */
	STREAM_REFUSED, /* a message of impossible size: one error is to be answered */
	STREAM_BROKEN,  /* a message of absurd size: answer one error, then close */
};

/*
 * A message of a stream. data is what follows the instance number: header and parameters. It lies
 * in the evbuffer and is good until the next stream_next or any other change of that evbuffer. With
 * STREAM_REFUSED and STREAM_BROKEN only the header is there (len is VTPM_HEADER_SIZE).
 */
struct stream_message {
	uint32_t instance; /* 0 without one in the framing */
	const uint8_t *data;
	size_t len;
};

void stream_init(struct stream *stream, enum stream_framing framing);

/* stream_max: the largest message of a framing in bytes, with all that is in front of it. */
size_t stream_max(enum stream_framing framing);

/*
 * stream_next: lets the previous message go and looks for the next. To be called until it returns
 * STREAM_WAIT. After STREAM_BROKEN every call returns STREAM_BROKEN, with no header
 * (message->len is 0) and with the buffer emptied.
 */
enum stream_event stream_next(struct stream *stream, struct evbuffer *in,
			      struct stream_message *message);

/*
 * stream_settle: lets the previous message go now, for an owner that wants to see the start of the
 * next one. false while bytes of the previous one have still to arrive.
 */
bool stream_settle(struct stream *stream, struct evbuffer *in);

/*
 * stream_restart: after STREAM_BROKEN, for an owner that finds the start of a message again by
 * itself; the header that broke the stream is still let go.
 */
void stream_restart(struct stream *stream);

#endif
