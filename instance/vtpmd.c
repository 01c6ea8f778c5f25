#include "instance/vtpmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>

#include <vtpm/log.h>
#include <vtpm/manager.h>

#include "instance/channel_ctrl.h"
#include "instance/channel_pv.h"
#include "instance/client.h"
#include "instance/link.h"
#include "instance/listen_fds.h"
#include "instance/sandbox.h"

enum {
	PRIORITIES = 3,
	TURNS = 16, /* callbacks until new events are looked for, so that nobody waits long */
};

struct vtpmd {
	const struct vtpmd_options *options;
	struct event_base *base;
	struct signals signals;
	unsigned reopens; /* those of signals that are done */
	struct platform platform;
	struct link *link;
	struct nvm *nvm;
	struct journal *journal;
	struct instance *instance;
	struct channel_pv *pv;
	struct channel_ctrl *ctrl;
	struct endpoint *ioemu;
	struct endpoint *raw[VTPMD_RAW_MAX];
};

static void
end(void *ctx)
{
	struct vtpmd *vtpmd = ctx;

	event_base_loopexit(vtpmd->base, NULL);
}

static void
signals_changed(void *ctx)
{
	struct vtpmd *vtpmd = ctx;

	if (vtpmd->signals.close) {
		log_info("told to end");
		end(vtpmd);
	} else if (vtpmd->reopens != vtpmd->signals.reopens) {
		vtpmd->reopens = vtpmd->signals.reopens;
		if (vtpmd->pv && channel_pv_reopen(vtpmd->pv) == 0)
			log_info("there is a new manager; the pipes were opened anew");
	}
}

static int
make_loop(struct vtpmd *vtpmd)
{
	struct event_config *config = event_config_new();

	if (!config)
		return -ENOMEM;
	event_config_set_max_dispatch_interval(config, NULL, TURNS, 0);
	vtpmd->base = event_base_new_with_config(config);
	event_config_free(config);
	if (!vtpmd->base || event_base_priority_init(vtpmd->base, PRIORITIES) < 0)
		return -ENOMEM;
	return signals_open(&vtpmd->signals, vtpmd->base, signals_changed, vtpmd);
}

/* The folder below the run folder that a pipe or socket is in, if it is missing. */
static int
make_folder(const char *run_dir, const char *name)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", run_dir, name);
	if (mkdir(path, 0700) < 0 && errno != EEXIST) {
		int error = errno;

		log_error("cannot make the folder %s: %s", path, strerror(error));
		return -error;
	}
	return 0;
}

static int
open_memory(struct vtpmd *vtpmd, const char *run_dir)
{
	int journal = listen_fd(VTPM_FDNAME_JOURNAL);
	int rc = journal < 0 ? 0 : journal_open(journal, &vtpmd->journal);

	if (rc < 0) {
		log_error("the journal cannot be used: %s", strerror(-rc));
		return rc;
	}
	if (vtpmd->options->state)
		return nvm_open_file(vtpmd->options->state, &vtpmd->nvm);
	rc = link_open(run_dir, vtpmd->options->instance.id, &vtpmd->signals, &vtpmd->link);
	return rc < 0 ? rc : nvm_open_manager(vtpmd->link, &vtpmd->nvm);
}

/* A listening socket: the one handed over under this name, else our own. */
static int
listening(const char *name, const char *run_dir, const char *format, uint32_t id)
{
	struct addr addr;
	char text[4096];

	int fd = listen_fd(name);
	if (fd >= 0)
		return evutil_make_socket_nonblocking(fd) < 0 ? -errno : fd;
	int n = snprintf(text, sizeof(text), "unix:%s/", run_dir);
	if (n < 0 || (size_t)n >= sizeof(text))
		return -ENAMETOOLONG;
	snprintf(text + n, sizeof(text) - (size_t)n, format, id);
	fd = addr_parse(&addr, text, ADDR_LOOPBACK);
	if (fd == 0)
		fd = addr_listen(&addr);
	if (fd < 0)
		log_error("cannot listen at %s: %s", text, strerror(-fd));
	return fd;
}

static int
open_hvm_channels(struct vtpmd *vtpmd, const char *run_dir)
{
	uint32_t id = vtpmd->options->instance.id;
	struct channel_ctrl_config config = { .end_with_qemu = listen_fd(VTPM_FDNAME_CTRL) >= 0,
					      .held = { .in = listen_fd(VTPM_FDNAME_HELD_IN),
							.out = listen_fd(VTPM_FDNAME_HELD_OUT) },
					      .ended = end,
					      .ctx = vtpmd };

	int fd = listening(VTPM_FDNAME_IOEMU, run_dir, VTPM_PATH_IOEMU, id);
	if (fd < 0)
		return fd;
	vtpmd->ioemu =
	    endpoint_new(vtpmd->base, vtpmd->instance, fd, STREAM_INSTANCE_TPM, "ioemu socket");
	if (!vtpmd->ioemu)
		return -ENOMEM;
	fd = listening(VTPM_FDNAME_CTRL, run_dir, VTPM_PATH_CTRL, id);
	if (fd < 0)
		return fd;
	return channel_ctrl_open(vtpmd->base, vtpmd->instance, &vtpmd->platform, fd, &config,
				 &vtpmd->ctrl);
}

static int
open_raw_channels(struct vtpmd *vtpmd)
{
	for (size_t i = 0; i < vtpmd->options->raw_count; i++) {
		const char *text = vtpmd->options->raw[i].text;
		int fd = addr_listen(&vtpmd->options->raw[i].addr);

		if (fd < 0) {
			log_error("cannot listen at %s: %s", text, strerror(-fd));
			return fd;
		}
		vtpmd->raw[i] = endpoint_new(vtpmd->base, vtpmd->instance, fd, STREAM_TPM, text);
		if (!vtpmd->raw[i])
			return -ENOMEM;
		log_info("serving bare TPM commands at %s", text);
	}
	return 0;
}

/* A TPM that stands alone uses the run folder only when it is told which. */
static bool
uses_run_dir(const struct vtpmd_options *options)
{
	return !options->state || options->run_dir;
}

static int
open_channels(struct vtpmd *vtpmd, const char *run_dir)
{
	int rc = 0;

	if (uses_run_dir(vtpmd->options)) {
		rc = channel_pv_open(vtpmd->base, run_dir, vtpmd->instance, &vtpmd->pv);
		if (rc == 0 && vtpmd->options->instance.hvm)
			rc = open_hvm_channels(vtpmd, run_dir);
	}
	return rc < 0 ? rc : open_raw_channels(vtpmd);
}

/* From here on it needs one more thread, and only the folders of its pipes and its state file. */
static int
enter_sandbox(struct vtpmd *vtpmd, const char *run_dir)
{
	const char *state = vtpmd->options->state;
	const char *slash = state ? strrchr(state, '/') : NULL;
	const char *folders[2];
	char fifos[4096];
	char of_state[4096];
	size_t count = 0;

	if (uses_run_dir(vtpmd->options)) {
		snprintf(fifos, sizeof(fifos), "%s/fifos", run_dir);
		folders[count++] = fifos;
	}
	if (state) {
		snprintf(of_state, sizeof(of_state), "%.*s", slash ? (int)(slash - state) + 1 : 1,
			 slash ? state : ".");
		folders[count++] = of_state;
	}
	sandbox_restrict_files(folders, count);
	int rc = background_open(&vtpmd->platform.background);
	if (rc < 0)
		log_error("cannot start a thread: %s", strerror(-rc));
	sandbox_restrict_calls();
	return rc;
}

static int
open_all(struct vtpmd *vtpmd)
{
	const char *run_dir = vtpmd->options->run_dir ? vtpmd->options->run_dir : VTPMD_RUN_DIR;
	int rc = 0;

	if (uses_run_dir(vtpmd->options)) {
		rc = make_folder(run_dir, "fifos");
		if (rc == 0 && vtpmd->options->instance.hvm)
			rc = make_folder(run_dir, "socks");
	}
	if (rc == 0)
		rc = make_loop(vtpmd);
	if (rc == 0)
		rc = open_memory(vtpmd, run_dir);
	vtpmd->platform.signals = &vtpmd->signals;
	struct instance_config config = vtpmd->options->instance;
	config.link = vtpmd->link;
	if (rc == 0)
		rc = instance_open(&config, &vtpmd->platform, vtpmd->nvm, vtpmd->journal,
				   &vtpmd->instance);
	if (rc == 0)
		rc = open_channels(vtpmd, run_dir);
	if (rc == 0)
		rc = enter_sandbox(vtpmd, run_dir);
	if (rc == 0 && vtpmd->link)
		rc = link_request(vtpmd->link, VTPM_ORD_READY, NULL, 0, NULL);
	return rc;
}

static void
close_all(struct vtpmd *vtpmd)
{
	for (size_t i = 0; i < vtpmd->options->raw_count; i++)
		endpoint_free(vtpmd->raw[i]);
	endpoint_free(vtpmd->ioemu);
	channel_ctrl_close(vtpmd->ctrl);
	channel_pv_close(vtpmd->pv);
	background_close(vtpmd->platform.background);
	instance_close(vtpmd->instance);
	journal_close(vtpmd->journal);
	nvm_close(vtpmd->nvm);
	link_close(vtpmd->link);
	signals_close(&vtpmd->signals);
	if (vtpmd->base)
		event_base_free(vtpmd->base);
}

int
vtpmd_run(const struct vtpmd_options *options)
{
	struct vtpmd vtpmd = { .options = options, .signals = { .fd = -1 } };

	int rc = open_all(&vtpmd);
	/* Told to end while it waited for the manager: that is no failure. */
	if (rc == -EINTR)
		rc = 0;
	else if (rc == 0 && event_base_dispatch(vtpmd.base) < 0)
		rc = -EIO;
	close_all(&vtpmd);
	return rc;
}
