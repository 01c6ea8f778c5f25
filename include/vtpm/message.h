/*
 * message.h - messages of the manager's protocol (vtpm/manager.h): made, taken apart, exchanged.
 */
#ifndef VTPM_MESSAGE_H
#define VTPM_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include <vtpm/codec.h>
#include <vtpm/manager.h>

struct evbuffer;

struct message {
	uint32_t instance;
	uint16_t tag;         /* VTPM_TAG_REQ or VTPM_TAG_RSP */
	uint32_t code;        /* a request's ordinal, a response's enum vtpm_status */
	struct reader params; /* the rest, in the memory that was parsed */
};

/*
 * message_parse: takes apart one message as stream_next yields it (header and parameters, without
 * the instance number). Returns 0, or -EBADMSG if the tag is neither of the two or the size wrong.
 */
int message_parse(struct message *message, uint32_t instance, const uint8_t *data, size_t len);

/*
 * message_begin, message_end: write a message (instance number included) around the parameters
 * that the caller puts between the two. message_end fills in the size and returns 0, or -EMSGSIZE
 * if the writer overflowed.
 */
void message_begin(struct writer *w, uint32_t instance, uint16_t tag, uint32_t code);
int message_end(struct writer *w);

/*
 * message_add: appends a message with these parameters (len bytes) to a buffer. Returns 0,
 * -EMSGSIZE for more than VTPM_MESSAGE_MAX, -ENOMEM; then the buffer is as before.
 */
int message_add(struct evbuffer *out, uint32_t instance, uint16_t tag, uint32_t code,
		const void *params, size_t len);

/*
 * message_call: sends one request (as message_end left it) over a connected socket and waits for
 * the response; for programs without an event loop. timeout is in milliseconds, for the whole
 * exchange; negative waits for ever. On success *response has the parts, and *buf the memory under
 * them, which the caller frees. Returns 0 (whatever the response's status), -ETIMEDOUT,
 * -ECONNRESET when the peer closed, -EBADMSG for an answer that is no message, or another
 * negative errno; afterwards the socket is good for nothing but close.
 */
int message_call(int fd, const struct writer *request, int timeout, struct message *response,
		 uint8_t **buf);

/* message_status_text: what a status means, in words for an operator. */
const char *message_status_text(uint32_t status);

#endif
