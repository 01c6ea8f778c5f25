#include "migration/migrator_options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum { GO_ON = -1, DEFAULT_SECONDS = 60, SECONDS_MAX = 3600 };

static const char usage[] =
    "usage: vtpm_migrator [options] DOMAIN HOST    a domain with its vTPMs, around xl migrate\n"
    "       vtpm_migrator [options] --no-domain VTPM HOST\n"
    "                                              a vTPM alone: uuid, instance or domain's name\n"
    "       vtpm_migrator [options] --all HOST     every vTPM that may leave, with its domain\n"
    "       vtpm_migrator [options] --recover VTPM\n"
    "                                              after an interrupted migration, on either host\n"
    "       vtpm_migrator [options] HOST DOMAIN INSTANCE STEP\n"
    "                                              the original's form; STEP is 0, 1, 2 or 3\n"
    "  --run-dir DIR               that of vtpm_managerd (default /var/vtpm)\n"
    "  --state-dir DIR             where vtpm.db is (default /var/vtpm)\n"
    "  --ca FILE, --cert FILE, --key FILE\n"
    "                              whom to trust, and who this host is (default ca.pem, host.pem\n"
    "                              and host.key in " TLS_DEFAULT_DIR "; see vtpm-pki)\n"
    "  --ssh                       over ssh instead of TLS\n"
    "  --ssh-command COMMAND       the same with another command than\n"
    "                              'exec ssh \"$HOST\" vtpm_migratord --stdio'\n"
    "  --address ADDR              where HOST's vtpm_migratord listens (default\n"
    "                              tcp:HOST:48879); ADDR is unix:PATH or tcp:HOST:PORT\n"
    "  --name NAME                 this host's name for the other one\n"
    "  --host HOST                 with --recover: the host to ask\n"
    "  --force                     with --recover: even if the other host, which may have run it,\n"
    "                              does not have it any more\n"
    "  --require-pcrs FILE         only to a host whose chip shows these PCRs\n"
    "  --timeout SECONDS           how long to try when the other host is silent (default 60)\n"
    "  --xl-option OPTION          passed on to xl migrate; may be repeated\n"
    "  --xl-host HOST              HOST for xl migrate, if it is another\n"
    "  --xl PATH                   instead of xl\n"
    "  --json                      one JSON object per line\n"
    "  --help, --version\n"
    "See vtpm_migrator(8).\n";

enum option_key {
	OPT_RUN_DIR,
	OPT_STATE_DIR,
	OPT_CA,
	OPT_CERT,
	OPT_KEY,
	OPT_SSH,
	OPT_SSH_COMMAND,
	OPT_ADDRESS,
	OPT_NAME,
	OPT_HOST,
	OPT_FORCE,
	OPT_TIMEOUT,
	OPT_NO_DOMAIN,
	OPT_ALL,
	OPT_RECOVER,
	OPT_REQUIRE_PCRS,
	OPT_XL_OPTION,
	OPT_XL_HOST,
	OPT_XL,
	OPT_JSON,
	OPT_DOMAINS,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option long_options[] = {
	{ "run-dir", required_argument, NULL, OPT_RUN_DIR },
	{ "state-dir", required_argument, NULL, OPT_STATE_DIR },
	{ "ca", required_argument, NULL, OPT_CA },
	{ "cert", required_argument, NULL, OPT_CERT },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "ssh", no_argument, NULL, OPT_SSH },
	{ "ssh-command", required_argument, NULL, OPT_SSH_COMMAND },
	{ "address", required_argument, NULL, OPT_ADDRESS },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "host", required_argument, NULL, OPT_HOST },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "no-domain", no_argument, NULL, OPT_NO_DOMAIN },
	{ "all", no_argument, NULL, OPT_ALL },
	{ "recover", required_argument, NULL, OPT_RECOVER },
	{ "require-pcrs", required_argument, NULL, OPT_REQUIRE_PCRS },
	{ "xl-option", required_argument, NULL, OPT_XL_OPTION },
	{ "xl-host", required_argument, NULL, OPT_XL_HOST },
	{ "xl", required_argument, NULL, OPT_XL },
	{ "json", no_argument, NULL, OPT_JSON },
	/* For tests: domains as files of this folder, instead of Xen's. */
	{ "domains", required_argument, NULL, OPT_DOMAINS },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

int
migrator_options_usage(const char *text)
{
	fprintf(stderr, "vtpm_migrator: %s. Try --help.\n", text);
	return MIGRATOR_EXIT_USAGE;
}

static int
parse_timeout(struct migrator_options *options, const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value == 0 || value > SECONDS_MAX)
		return migrator_options_usage("--timeout is a number of seconds from 1 to 3600");
	options->remote.seconds = (unsigned)value;
	return GO_ON;
}

static int
add_xl_option(struct migrator_options *options, const char *text)
{
	if (options->xl_option_count == MIGRATOR_XL_OPTIONS_MAX)
		return migrator_options_usage("--xl-option is given too often");
	options->xl_options[options->xl_option_count++] = text;
	return GO_ON;
}

/* Options whose value is kept as it is. */
static const char **
plain_option(struct migrator_options *options, int key)
{
	switch (key) {
	case OPT_RUN_DIR:
		return &options->run_dir;
	case OPT_STATE_DIR:
		return &options->state_dir;
	case OPT_CA:
		return &options->remote.tls.ca;
	case OPT_CERT:
		return &options->remote.tls.cert;
	case OPT_KEY:
		return &options->remote.tls.key;
	case OPT_SSH_COMMAND:
		return &options->remote.ssh_command;
	case OPT_ADDRESS:
		return &options->remote.address;
	case OPT_NAME:
		return &options->remote.name;
	case OPT_HOST:
		return &options->host;
	case OPT_RECOVER:
		return &options->recover;
	case OPT_REQUIRE_PCRS:
		return &options->require_pcrs;
	case OPT_XL_HOST:
		return &options->xl_host;
	case OPT_XL:
		return &options->xl;
	case OPT_DOMAINS:
		return &options->domains_dir;
	default:
		return NULL;
	}
}

static int
parse_option(struct migrator_options *options, int key, const char *value)
{
	const char **plain = plain_option(options, key);

	if (plain) {
		*plain = value;
		return GO_ON;
	}
	switch (key) {
	case OPT_SSH:
		options->remote.ssh_command = "exec ssh \"$HOST\" vtpm_migratord --stdio";
		return GO_ON;
	case OPT_TIMEOUT:
		return parse_timeout(options, value);
	case OPT_NO_DOMAIN:
		options->no_domain = true;
		return GO_ON;
	case OPT_ALL:
		options->all = true;
		return GO_ON;
	case OPT_FORCE:
		options->force = true;
		return GO_ON;
	case OPT_XL_OPTION:
		return add_xl_option(options, value);
	case OPT_JSON:
		options->json = true;
		return GO_ON;
	case OPT_HELP:
		fputs(usage, stdout);
		return EXIT_SUCCESS;
	case OPT_VERSION:
		puts("vtpm_migrator " VTPM_VERSION);
		return EXIT_SUCCESS;
	default:
		fputs("Try --help.\n", stderr);
		return MIGRATOR_EXIT_USAGE;
	}
}

/* How many arguments each form takes. */
static int
check_arguments(const struct migrator_options *options)
{
	int count = options->argument_count;

	if (options->recover)
		return count == 0 && !options->all && !options->no_domain
			   ? GO_ON
			   : migrator_options_usage("--recover VTPM is all it takes");
	if (options->host || options->force)
		return migrator_options_usage("--host and --force are for --recover");
	if (options->all)
		return count == 1 ? GO_ON : migrator_options_usage("--all takes a HOST");
	if (count == 2 || (count == 4 && !options->no_domain))
		return GO_ON;
	return migrator_options_usage("takes DOMAIN HOST, or HOST DOMAIN INSTANCE STEP");
}

int
migrator_options_parse(struct migrator_options *options, int argc, char **argv)
{
	int status = GO_ON;
	int key;

	*options = (struct migrator_options) {
		.remote = { .tls = { TLS_DEFAULT_DIR "/ca.pem", TLS_DEFAULT_DIR "/host.pem",
				     TLS_DEFAULT_DIR "/host.key" },
			    .seconds = DEFAULT_SECONDS },
		.run_dir = "/var/vtpm",
		.state_dir = "/var/vtpm",
		.xl = "xl",
	};
	while (status == GO_ON && (key = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		status = parse_option(options, key, optarg);
	options->arguments = argv + optind;
	options->argument_count = argc - optind;
	return status == GO_ON ? check_arguments(options) : status;
}
