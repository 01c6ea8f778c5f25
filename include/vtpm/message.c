#include <vtpm/message.h>

#include <errno.h>
#include <event2/buffer.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	HEAD_SIZE = VTPM_INSTANCE_SIZE + VTPM_HEADER_SIZE,
	SIZE_OFFSET = VTPM_INSTANCE_SIZE + 2,
};

int
message_parse(struct message *message, uint32_t instance, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);

	message->instance = instance;
	message->tag = reader_u16(&r);
	uint32_t size = reader_u32(&r);
	message->code = reader_u32(&r);
	message->params = r;
	if (r.failed || size != len)
		return -EBADMSG;
	if (message->tag != VTPM_TAG_REQ && message->tag != VTPM_TAG_RSP)
		return -EBADMSG;
	return 0;
}

void
message_begin(struct writer *w, uint32_t instance, uint16_t tag, uint32_t code)
{
	writer_u32(w, instance);
	writer_u16(w, tag);
	writer_u32(w, 0);
	writer_u32(w, code);
}

int
message_end(struct writer *w)
{
	if (!w->failed && w->len - VTPM_INSTANCE_SIZE <= VTPM_MESSAGE_MAX)
		writer_patch_u32(w, SIZE_OFFSET, (uint32_t)(w->len - VTPM_INSTANCE_SIZE));
	else
		w->failed = true;
	return w->failed ? -EMSGSIZE : 0;
}

int
message_add(struct evbuffer *out, uint32_t instance, uint16_t tag, uint32_t code,
	    const void *params, size_t len)
{
	struct evbuffer_iovec room;

	if (len > VTPM_MESSAGE_MAX - VTPM_HEADER_SIZE)
		return -EMSGSIZE;
	if (evbuffer_reserve_space(out, (ssize_t)(HEAD_SIZE + len), &room, 1) != 1)
		return -ENOMEM;
	struct writer w = writer_of(room.iov_base, HEAD_SIZE + len);
	message_begin(&w, instance, tag, code);
	writer_bytes(&w, params, len);
	int rc = message_end(&w);
	room.iov_len = w.len;
	if (rc == 0 && evbuffer_commit_space(out, &room, 1) < 0)
		rc = -ENOMEM;
	return rc;
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Waits until fd is ready for events; deadline as now_ms, negative for none. */
static int
wait_for(int fd, short events, int64_t deadline)
{
	for (;;) {
		int64_t left = deadline < 0 ? -1 : deadline - now_ms();
		struct pollfd pfd = { .fd = fd, .events = events };

		if (deadline >= 0 && left <= 0)
			return -ETIMEDOUT;
		int n = poll(&pfd, 1, (int)left);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

/* Moves len bytes to or from the peer; events says which: POLLOUT or POLLIN. */
static int
transfer(int fd, short events, uint8_t *data, size_t len, int64_t deadline)
{
	while (len > 0) {
		int rc = wait_for(fd, events, deadline);

		if (rc < 0)
			return rc;
		ssize_t n = events == POLLOUT ? send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT)
					      : recv(fd, data, len, MSG_DONTWAIT);
		if (n == 0)
			return -ECONNRESET;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

int
message_call(int fd, const struct writer *request, int timeout, struct message *response,
	     uint8_t **buf)
{
	int64_t deadline = timeout < 0 ? -1 : now_ms() + timeout;
	uint8_t head[HEAD_SIZE];
	uint8_t *data = NULL;

	int rc = transfer(fd, POLLOUT, request->buf, request->len, deadline);
	if (rc == 0)
		rc = transfer(fd, POLLIN, head, sizeof(head), deadline);
	if (rc < 0)
		return rc;
	struct reader r = reader_of(head, sizeof(head));
	uint32_t instance = reader_u32(&r);
	reader_u16(&r);
	size_t size = reader_u32(&r);
	if (size < VTPM_HEADER_SIZE || size > VTPM_MESSAGE_MAX)
		return -EBADMSG;
	data = malloc(size);
	if (!data)
		return -ENOMEM;
	memcpy(data, head + VTPM_INSTANCE_SIZE, VTPM_HEADER_SIZE);
	rc = transfer(fd, POLLIN, data + VTPM_HEADER_SIZE, size - VTPM_HEADER_SIZE, deadline);
	if (rc == 0)
		rc = message_parse(response, instance, data, size);
	if (rc < 0) {
		free(data);
		return rc;
	}
	*buf = data;
	return 0;
}

const char *
message_status_text(uint32_t status)
{
	static const char *const texts[] = {
		[VTPM_SUCCESS] = "success",
		[VTPM_FAIL] = "failed",
		[VTPM_UNSUPPORTED] = "unsupported request",
		[VTPM_FORBIDDEN] = "forbidden",
		[VTPM_RESTORE_CONTEXT_FAILED] = "the saved state could not be restored",
		[VTPM_INVALID_REQUEST] = "invalid request",
	};

	return status < sizeof(texts) / sizeof(texts[0]) ? texts[status] : "unknown status";
}
