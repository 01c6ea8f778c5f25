/*
 * vtpm_managerd: its parts, put together and taken apart. The main thread itself may wait for the
 * physical TPM; it handles signals and looks after the chip.
 */
#include <errno.h>
#include <event2/thread.h>
#include <openssl/crypto.h>
#include <pwd.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vtpm/daemon.h>
#include <vtpm/log.h>
#include <vtpm/secrets.h>

#include "manager/backend_internal.h"
#include "manager/console.h"
#include "manager/ek_ca.h"
#include "manager/emulated.h"
#include "manager/instance.h"
#include "manager/manager.h"
#include "manager/migration_places.h"
#include "manager/migration_session.h"
#include "manager/options.h"
#include "manager/physical_tpm.h"
#include "manager/root_key.h"
#include "manager/store.h"
#include "manager/worker.h"

enum {
	PATH_SIZE = 512,
	CHIP_SECONDS = 60, /* between two looks at the physical TPM */
};

static int
make_folder(const char *path)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST) {
		if (access(path, W_OK | X_OK) == 0)
			return 0;
	}
	int rc = -errno;
	log_error("cannot use the folder %s: %s; see --run-dir and --state-dir", path,
		  strerror(-rc));
	return rc;
}

/* Lets another user go through a folder to what is its own; it cannot look around in there. */
static int
open_way(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && ((st.st_mode & S_IXOTH) || chmod(path, st.st_mode | 0011) == 0))
		return 0;
	int rc = -errno;
	log_error("cannot let vtpmd through to its pipes in %s: %s; see --user", path,
		  strerror(-rc));
	return rc;
}

static int
make_run_folders(const struct manager *manager)
{
	static const struct {
		const char *name;
		bool way; /* to the pipes of a vtpmd */
	} folders[] = {
		{ "", true }, { "/fifos", true }, { "/socks", false }, { "/instances", false }
	};
	char path[PATH_SIZE];
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", manager->options->run_dir, folders[i].name);
		rc = make_folder(path);
		if (rc == 0 && folders[i].way && manager->user)
			rc = open_way(path);
	}
	return rc;
}

static int
open_chip(struct manager *manager)
{
	const struct options *options = manager->options;
	uint8_t srk_auth[PHYSICAL_TPM_AUTH_SIZE];
	struct physical_tpm_options chip = {
		.address = options->tpm,
		.storage_handle = options->storage_handle,
	};
	int rc = 0;

	if (manager->emulated)
		chip.address = emulated_address(manager->emulated);
	if (strncmp(options->srk_auth, "file:", 5) == 0) {
		chip.srk_auth = srk_auth;
		rc = root_key_read_auth(options->srk_auth + 5, srk_auth);
	}
	if (rc == 0)
		rc = physical_tpm_open(&manager->tpm, &chip);
	OPENSSL_cleanse(srk_auth, sizeof(srk_auth));
	return rc;
}

static int
unlock_store(struct manager *manager)
{
	const struct options *options = manager->options;
	uint8_t owner_auth[PHYSICAL_TPM_AUTH_SIZE];
	struct root_key_options root = {
		.pcrs = options->pcrs,
		.accept_rollback = options->accept_rollback,
	};
	int rc = 0;

	if (options->owner_auth_file) {
		root.owner_auth = owner_auth;
		rc = root_key_read_auth(options->owner_auth_file, owner_auth);
	}
	if (rc == 0)
		rc = root_key_unlock(manager->store, manager->tpm, &root);
	OPENSSL_cleanse(owner_auth, sizeof(owner_auth));
	return rc;
}

static int
make_listeners(struct manager *manager)
{
	manager->console_listener = listener_new("console");
	manager->instance_listener = listener_new("instances");
	manager->backend_listener = listener_new("backends");
	return manager->console_listener && manager->instance_listener && manager->backend_listener
		   ? 0
		   : -ENOMEM;
}

static int
start_listeners(struct manager *manager)
{
	int rc = listener_start(manager->instance_listener);

	if (rc == 0)
		rc = listener_start(manager->console_listener);
	if (rc == 0)
		rc = listener_start(manager->backend_listener);
	if (rc < 0)
		log_error("cannot start a thread: %s", strerror(-rc));
	return rc;
}

static int
open_ek_ca(struct manager *manager)
{
	const struct options *options = manager->options;

	if (!options->ek_ca_certificate)
		return 0;
	manager->ek_ca = ek_ca_open(options->ek_ca_certificate, options->ek_ca_key);
	return manager->ek_ca ? 0 : -EINVAL;
}

/* A manager that is not root can only run vtpmds as itself. */
static int
choose_user(struct manager *manager)
{
	static struct process_user user;
	const char *name = manager->options->user;

	if (geteuid() != 0) {
		if (name)
			log_warning("--user %s: only root can run others as another user", name);
		return 0;
	}
	const struct passwd *entry = getpwnam(name ? name : "vtpm");
	if (!entry && !name)
		entry = getpwnam("nobody");
	if (!entry) {
		log_error("--user %s: there is no such user", name ? name : "nobody");
		return -ENOENT;
	}
	user = (struct process_user) { .uid = entry->pw_uid, .gid = entry->pw_gid };
	if (user.uid != 0)
		manager->user = &user;
	return 0;
}

/* Each step logs why it fails. */
static int
start(struct manager *manager)
{
	int rc = choose_user(manager);

	if (rc == 0)
		rc = make_run_folders(manager);
	if (rc == 0)
		rc = store_open(&manager->store, manager->options->state_dir);
	if (rc == 0)
		rc = open_ek_ca(manager);
	if (rc == 0)
		rc = make_listeners(manager);
	if (rc == 0 && strcmp(manager->options->tpm, "emulated") == 0) {
		manager->emulated =
		    emulated_start(manager->options, listener_base(manager->instance_listener));
		rc = manager->emulated ? 0 : -EIO;
	}
	if (rc == 0)
		rc = open_chip(manager);
	if (rc == 0)
		rc = unlock_store(manager);
	if (rc == 0)
		rc = worker_start(&manager->chip, "chip");
	if (rc == 0 && (!(manager->sessions = migration_sessions_new()) ||
			!(manager->places = migration_places_new(manager)) ||
			!(manager->instances = instances_new(manager)) ||
			!(manager->console = console_new(manager)) ||
			!(manager->backends = backends_new(manager))))
		rc = -EIO;
	return rc == 0 ? start_listeners(manager) : rc;
}

/* Unless everything ends, an emulated TPM runs on as the instances do, for the next manager. */
static void
stop(struct manager *manager, bool everything)
{
	if (manager->backend_listener)
		listener_stop(manager->backend_listener);
	if (manager->console_listener)
		listener_stop(manager->console_listener);
	if (manager->instance_listener)
		listener_stop(manager->instance_listener);
	worker_stop(manager->chip);
	backends_free(manager->backends);
	console_free(manager->console);
	instances_free(manager->instances);
	migration_places_free(manager->places);
	migration_sessions_free(manager->sessions);
	if (manager->tpm)
		physical_tpm_close(manager->tpm);
	store_close(manager->store);
	ek_ca_close(manager->ek_ca);
	if (everything)
		emulated_stop(manager->emulated);
	else
		emulated_leave(manager->emulated);
	listener_free(manager->backend_listener);
	listener_free(manager->console_listener);
	listener_free(manager->instance_listener);
}

struct closing {
	struct task task;
	struct manager *manager;
	sem_t done;
};

static void
all_closed(void *ctx)
{
	struct closing *closing = ctx;

	sem_post(&closing->done);
}

static void
close_all_there(struct task *task)
{
	struct closing *closing = TASK_OWNER(task, struct closing, task);

	instances_close_all(closing->manager->instances, all_closed, closing);
}

/* Closes every instance and waits until they are. */
static void
close_instances(struct manager *manager)
{
	struct closing closing = { .task.run = close_all_there, .manager = manager };

	sem_init(&closing.done, 0, 0);
	listener_post(manager->instance_listener, &closing.task);
	while (sem_wait(&closing.done) < 0)
		continue;
	sem_destroy(&closing.done);
}

/* How long the main thread sleeps. */
static unsigned
watch_seconds(const struct manager *manager)
{
	unsigned anchor = manager->options->anchor_seconds;

	return anchor < CHIP_SECONDS ? anchor : CHIP_SECONDS;
}

/*
 * SIGTERM leaves the instances running, for the next manager; SIGINT closes them all, and then
 * serve returns true.
 */
static bool
serve(struct manager *manager, const sigset_t *signals)
{
	const struct timespec pause = { .tv_sec = watch_seconds(manager) };
	struct root_key_pace pace = { .interval = manager->options->anchor_seconds,
				      .changes = store_changes(manager->store) };
	int signal;

	/* Notices a chip that went or came back, and moves the anchor now and then. */
	while ((signal = sigtimedwait(signals, NULL, &pause)) < 0) {
		if (errno != EAGAIN)
			continue;
		physical_tpm_ping(manager->tpm);
		root_key_keep_pace(&pace, manager->store, manager->tpm, watch_seconds(manager));
	}
	log_info("ends: %s", signal == SIGINT ? "all instances are closed" : "instances run on");
	if (signal == SIGINT)
		close_instances(manager);
	root_key_anchor(manager->store, manager->tpm);
	return signal == SIGINT;
}

/* An instance takes about ten descriptors. */
static void
allow_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void
block_signals(sigset_t *signals)
{
	sigemptyset(signals);
	sigaddset(signals, SIGTERM);
	sigaddset(signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
}

int
main(int argc, char **argv)
{
	struct options options;
	struct manager manager = { .options = &options, .started = time(NULL) };
	char log_path[PATH_SIZE];
	sigset_t signals;

	int status = options_parse(&options, argc, argv);
	if (status >= 0)
		return status;
	log_set_name("vtpm_managerd");
	if (log_set_level(options.log_level) < 0) {
		fprintf(stderr,
			"vtpm_managerd: --log-level %s: must be error, warning, info or "
			"debug\n",
			options.log_level);
		return 2;
	}
	if (!options.foreground && daemon_begin() < 0)
		return EXIT_FAILURE;
	secrets_guard();
	allow_descriptors();
	block_signals(&signals);
	evthread_use_pthreads();

	bool everything = true;
	status = EXIT_FAILURE;
	if (start(&manager) == 0) {
		log_info("ready: state in %s, pipes and sockets in %s", options.state_dir,
			 options.run_dir);
		snprintf(log_path, sizeof(log_path), "%s/vtpm_managerd.log", options.run_dir);
		if (!options.foreground)
			daemon_ready(log_path);
		everything = serve(&manager, &signals);
		status = EXIT_SUCCESS;
	}
	stop(&manager, everything);
	return status;
}
