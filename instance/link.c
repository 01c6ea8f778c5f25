#include "instance/link.h"

#include <errno.h>
#include <event2/buffer.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vtpm/fifo.h>
#include <vtpm/log.h>
#include <vtpm/message.h>
#include <vtpm/stream.h>

struct link {
	uint32_t instance;
	char *request_path;
	char *answer_path;
	int request_fd;
	int answer_fd;
	unsigned reopens; /* those of signals that are done */
	struct signals *signals;
	struct stream stream;
	struct evbuffer *in;
};

static int
open_pipe(const char *path, int *fd)
{
	int opened = fifo_open(path);

	if (opened < 0) {
		log_error("cannot open the pipe %s: %s", path, strerror(-opened));
		return opened;
	}
	if (*fd >= 0)
		close(*fd);
	*fd = opened;
	return 0;
}

/* Opens the pipes as they are now; nothing that was on the way in older ones counts. */
static int
open_pipes(struct link *link)
{
	link->reopens = link->signals->reopens;
	evbuffer_drain(link->in, evbuffer_get_length(link->in));
	stream_init(&link->stream, STREAM_MANAGER);
	int rc = open_pipe(link->request_path, &link->request_fd);
	return rc < 0 ? rc : open_pipe(link->answer_path, &link->answer_fd);
}

int
link_open(const char *run_dir, uint32_t instance, struct signals *signals, struct link **link)
{
	struct link *l = calloc(1, sizeof(*l));
	int rc = -ENOMEM;

	if (!l)
		return -ENOMEM;
	*l = (struct link) {
		.instance = instance, .request_fd = -1, .answer_fd = -1, .signals = signals
	};
	l->in = evbuffer_new();
	if (!l->in || asprintf(&l->request_path, "%s/" VTPM_PATH_VTPM_CMD, run_dir, instance) < 0 ||
	    asprintf(&l->answer_path, "%s/" VTPM_PATH_VTPM_RSP, run_dir, instance) < 0)
		goto fail;
	rc = open_pipes(l);
	if (rc < 0)
		goto fail;
	*link = l;
	return 0;
fail:
	link_close(l);
	return rc;
}

void
link_close(struct link *link)
{
	if (!link)
		return;
	if (link->request_fd >= 0)
		close(link->request_fd);
	if (link->answer_fd >= 0)
		close(link->answer_fd);
	if (link->in)
		evbuffer_free(link->in);
	free(link->request_path);
	free(link->answer_path);
	free(link);
}

/* Takes what has arrived; 1 when a whole response is in *response, 0 when not yet. */
static int
receive(struct link *link, struct message *response)
{
	struct stream_message raw;

	if (evbuffer_read(link->in, link->answer_fd, -1) < 0 && errno != EAGAIN && errno != EINTR)
		return -errno;
	switch (stream_next(&link->stream, link->in, &raw)) {
	case STREAM_WAIT:
		return 0;
	case STREAM_MESSAGE:
		break;
	default:
		return -EBADMSG;
	}
	if (raw.instance != link->instance)
		return -EBADMSG;
	int rc = message_parse(response, raw.instance, raw.data, raw.len);
	return rc < 0 ? rc : 1;
}

/* One attempt: -EAGAIN when the manager is a new one and everything begins again. */
static int
exchange(struct link *link, struct evbuffer *request, struct message *response)
{
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = link->signals->fd, .events = POLLIN },
			{ .fd = link->answer_fd, .events = POLLIN },
			{ .fd = evbuffer_get_length(request) > 0 ? link->request_fd : -1,
			  .events = POLLOUT },
		};

		if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0 && errno != EINTR)
			return -errno;
		signals_ask(link->signals);
		if (link->signals->close)
			return -EINTR;
		if (link->reopens != link->signals->reopens)
			return -EAGAIN;
		if (fds[2].revents && evbuffer_write(request, link->request_fd) < 0 &&
		    errno != EAGAIN && errno != EINTR)
			return -errno;
		int rc = fds[1].revents ? receive(link, response) : 0;
		if (rc != 0)
			return rc < 0 ? rc : 0;
	}
}

static int
request_once(struct link *link, uint32_t ordinal, const void *params, size_t len,
	     struct message *response)
{
	struct evbuffer *request = evbuffer_new();

	if (!request)
		return -ENOMEM;
	int rc = message_add(request, link->instance, VTPM_TAG_REQ, ordinal, params, len);
	if (rc == 0)
		rc = exchange(link, request, response);
	evbuffer_free(request);
	return rc;
}

static const char *
ordinal_text(uint32_t ordinal)
{
	switch (ordinal) {
	case VTPM_ORD_SAVENVM:
		return "save its state";
	case VTPM_ORD_LOADNVM:
		return "load its state";
	case VTPM_ORD_HOST_PCRS:
		return "ask for the host's PCRs";
	case VTPM_ORD_CERTIFY_EK:
		return "get its endorsement key certified";
	case VTPM_ORD_QUOTE:
		return "get a quote of the physical TPM";
	default:
		return "announce itself";
	}
}

int
link_request(struct link *link, uint32_t ordinal, const void *params, size_t len,
	     struct blob *answer)
{
	struct message response;
	int rc = 0;

	do {
		if (link->reopens != link->signals->reopens)
			rc = open_pipes(link);
		if (rc == 0 || rc == -EAGAIN)
			rc = request_once(link, ordinal, params, len, &response);
	} while (rc == -EAGAIN);
	if (rc < 0) {
		log_error("the instance cannot %s: no answer from the manager: %s",
			  ordinal_text(ordinal), strerror(-rc));
		return rc;
	}
	if (response.code != VTPM_SUCCESS) {
		log_error("the instance cannot %s: the manager says: %s%s%.*s",
			  ordinal_text(ordinal), message_status_text(response.code),
			  response.params.left > 0 ? ": " : "", (int)response.params.left,
			  (const char *)response.params.pos);
		return response.code == VTPM_UNSUPPORTED ? -EOPNOTSUPP : -EREMOTEIO;
	}
	return answer ? blob_copy(answer, response.params.pos, response.params.left) : 0;
}
