/*
 * vtpmd - one virtual TPM: vtpmd [options] clear|save|deactivated pvm|hvm ID
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <vtpm/log.h>
#include <vtpm/manager.h>
#include <vtpm/secrets.h>

#include "instance/vtpmd.h"

enum { EXIT_USAGE = 2 };

static const char usage[] =
    "usage: vtpmd [options] clear|save|deactivated pvm|hvm ID\n"
    "  --run-dir DIR    folder of the pipes and sockets, default " VTPMD_RUN_DIR "\n"
    "  --state FILE     stand alone, keeping the TPM's state in FILE\n"
    "  --raw ADDR       serve bare TPM commands at unix:PATH or tcp:127.0.0.1:PORT, too;\n"
    "                   may be repeated\n"
    "  --log-level L    error, warning, info or debug; default info\n"
    "  --help, --version\n";

static int
find_word(const char *const words[], const char *word)
{
	for (int i = 0; words[i]; i++) {
		if (strcmp(words[i], word) == 0)
			return i;
	}
	return -1;
}

static int
usage_error(const char *message, const char *argument)
{
	fprintf(stderr, "vtpmd: %s: %s\n%s", message, argument, usage);
	return -EINVAL;
}

/* The three words after the options. */
static int
parse_words(struct vtpmd_options *options, char *const words[], int count)
{
	static const char *const startups[] = { "clear", "save", "deactivated", NULL };
	static const char *const domains[] = { "pvm", "hvm", NULL };
	char *end;

	if (count != 3)
		return usage_error("startup mode, kind of guest and instance number are needed",
				   count > 3 ? words[3] : "some are missing");
	int startup = find_word(startups, words[0]);
	if (startup < 0)
		return usage_error("not a startup mode", words[0]);
	int domain = find_word(domains, words[1]);
	if (domain < 0)
		return usage_error("not a kind of guest", words[1]);
	if (options->state && !options->run_dir && options->raw_count == 0)
		return usage_error("nobody could reach this TPM: give --raw ADDR or --run-dir DIR",
				   options->state);
	errno = 0;
	unsigned long long id = strtoull(words[2], &end, 10);
	if (errno || *end || words[2][0] < '0' || words[2][0] > '9' || id > UINT32_MAX)
		return usage_error("not an instance number", words[2]);
	options->instance = (struct instance_config) {
		.id = (uint32_t)id,
		.startup = VTPM_STARTUP_CLEAR + (unsigned)startup,
		.hvm = domain == 1,
		.manufacture = !options->state,
	};
	return 0;
}

static int
add_raw(struct vtpmd_options *options, const char *text)
{
	if (options->raw_count == VTPMD_RAW_MAX)
		return usage_error("too many addresses", text);
	int rc = addr_parse(&options->raw[options->raw_count].addr, text, ADDR_LOOPBACK);
	if (rc == -EACCES)
		return usage_error("only this host's own programs may be served, this is not a "
				   "loopback address",
				   text);
	if (rc < 0)
		return usage_error(strerror(-rc), text);
	options->raw[options->raw_count++].text = text;
	return 0;
}

static int
parse_options(struct vtpmd_options *options, int argc, char *argv[])
{
	static const struct option longs[] = {
		{ "run-dir", required_argument, NULL, 'd' },
		{ "state", required_argument, NULL, 's' },
		{ "raw", required_argument, NULL, 'r' },
		{ "log-level", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int rc = 0;

	for (int option; rc == 0 && (option = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		switch (option) {
		case 'd':
			options->run_dir = optarg;
			break;
		case 's':
			options->state = optarg;
			break;
		case 'r':
			rc = add_raw(options, optarg);
			break;
		case 'l':
			if (log_set_level(optarg) < 0)
				rc = usage_error("not a log level", optarg);
			break;
		case 'h':
			fputs(usage, stdout);
			exit(EXIT_SUCCESS);
		case 'v':
			puts("vtpmd " VTPM_VERSION);
			exit(EXIT_SUCCESS);
		default:
			fputs(usage, stderr);
			rc = -EINVAL;
		}
	}
	return rc < 0 ? rc : parse_words(options, argv + optind, argc - optind);
}

/* Keeps the TPM's secrets out of core dumps, and off the swap where that is allowed. */
static void
protect_memory(void)
{
	struct rlimit lock;

	secrets_guard();
	/* Under a limit, locking would make allocations fail later. */
	bool may_lock = getrlimit(RLIMIT_MEMLOCK, &lock) == 0 && lock.rlim_cur == RLIM_INFINITY;
	if ((geteuid() == 0 || may_lock) && mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
		log_debug("memory cannot be locked: %s", strerror(errno));
}

int
main(int argc, char *argv[])
{
	struct vtpmd_options options = { 0 };
	char name[32];

	if (parse_options(&options, argc, argv) < 0)
		return EXIT_USAGE;
	snprintf(name, sizeof(name), "vtpmd %u", options.instance.id);
	log_set_name(name);
	/* Kernels before 6.14 call a program that was executed by its descriptor by that number. */
	prctl(PR_SET_NAME, "vtpmd");
	signal(SIGPIPE, SIG_IGN);
	protect_memory();
	return vtpmd_run(&options) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
