#include "manager/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/root_key.h"

enum {
	EXIT_USAGE = 2,
	GO_ON = -1,
	/* The longest command of a TPM 1.2 is the generation of a key, whose time has no bound. */
	DEFAULT_ANSWER_SECONDS = 300,
	/* A migrator that is alive says so every half minute. */
	DEFAULT_OFFER_SECONDS = 600,
};

/* Handles of keys that stay in a TPM 2.0 [TPM 2.0 Part 2, 7.4]. */
#define PERSISTENT_FIRST 0x81000000ul
#define PERSISTENT_LAST  0x81fffffful

static const char usage[] =
    "usage: vtpm_managerd [options]\n"
    "  --state-dir DIR             what must survive (default /var/vtpm)\n"
    "  --run-dir DIR               pipes and sockets (default /var/vtpm)\n"
    "  --tpm device:PATH|socket:ADDR|emulated\n"
    "                              the physical TPM (default device:/dev/tpmrm0 or /dev/tpm0)\n"
    "  --tpm-pcrs LIST             seal the root key to these PCRs, as 0,2,4,7 (default none)\n"
    "  --tpm-owner-auth-file PATH  owner secret of a TPM 1.2 that has an owner\n"
    "  --tpm-srk-auth well-known|file:PATH\n"
    "                              secret of its storage root key\n"
    "  --tpm-storage-handle N      storage key of a TPM 2.0 to use, as 0x81000001, instead of a\n"
    "                              primary key\n"
    "  --ek-ca-cert FILE, --ek-ca-key FILE\n"
    "                              CA that certifies the endorsement keys of new vTPMs (PEM)\n"
    "  --accept-rollback           take a state folder that is older than the TPM says, once\n"
    "  --anchor-seconds N          move the anchor in the TPM at most this often (default 3600)\n"
    "  --backend xen|fifo|dev:PATH where guests' commands come from; may be repeated\n"
    "  --hotplug-script PATH|none  run for each device (default /etc/xen/scripts/vtpm,\n"
    "                              if it is there)\n"
    "  --vtpmd PATH                the program that is one TPM\n"
    "  --user NAME                 whom it runs as when the manager is root (default vtpm, if\n"
    "                              there is one, or nobody)\n"
    "  --foreground                do not become a daemon\n"
    "  --log-level error|warning|info|debug\n"
    "  --help, --version\n"
    "ADDR is unix:PATH or tcp:HOST:PORT. See vtpm_managerd(8).\n";

enum option_key {
	OPT_STATE_DIR,
	OPT_RUN_DIR,
	OPT_TPM,
	OPT_TPM_PCRS,
	OPT_OWNER_AUTH,
	OPT_SRK_AUTH,
	OPT_STORAGE_HANDLE,
	OPT_EK_CA_CERT,
	OPT_EK_CA_KEY,
	OPT_ACCEPT_ROLLBACK,
	OPT_BACKEND,
	OPT_HOTPLUG,
	OPT_VTPMD,
	OPT_USER,
	OPT_FOREGROUND,
	OPT_LOG_LEVEL,
	OPT_ANSWER_SECONDS,
	OPT_OFFER_SECONDS,
	OPT_ANCHOR_SECONDS,
	OPT_HELP,
	OPT_VERSION,
	OPT_WRONG = '?',
};

static const struct option long_options[] = {
	{ "state-dir", required_argument, NULL, OPT_STATE_DIR },
	{ "run-dir", required_argument, NULL, OPT_RUN_DIR },
	{ "tpm", required_argument, NULL, OPT_TPM },
	{ "tpm-pcrs", required_argument, NULL, OPT_TPM_PCRS },
	{ "tpm-owner-auth-file", required_argument, NULL, OPT_OWNER_AUTH },
	{ "tpm-srk-auth", required_argument, NULL, OPT_SRK_AUTH },
	{ "tpm-storage-handle", required_argument, NULL, OPT_STORAGE_HANDLE },
	{ "ek-ca-cert", required_argument, NULL, OPT_EK_CA_CERT },
	{ "ek-ca-key", required_argument, NULL, OPT_EK_CA_KEY },
	{ "accept-rollback", no_argument, NULL, OPT_ACCEPT_ROLLBACK },
	{ "backend", required_argument, NULL, OPT_BACKEND },
	{ "hotplug-script", required_argument, NULL, OPT_HOTPLUG },
	{ "vtpmd", required_argument, NULL, OPT_VTPMD },
	{ "user", required_argument, NULL, OPT_USER },
	{ "foreground", no_argument, NULL, OPT_FOREGROUND },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	/* For tests: how long an instance may be silent before it counts as hung, and whoever
	   offered a vTPM before he counts as gone. */
	{ "answer-seconds", required_argument, NULL, OPT_ANSWER_SECONDS },
	{ "offer-seconds", required_argument, NULL, OPT_OFFER_SECONDS },
	{ "anchor-seconds", required_argument, NULL, OPT_ANCHOR_SECONDS },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

static const char *
default_tpm(void)
{
	return access("/dev/tpmrm0", F_OK) == 0 ? "device:/dev/tpmrm0" : "device:/dev/tpm0";
}

static const char *
default_backend(void)
{
	return access("/proc/xen", F_OK) == 0 || access("/dev/xen", F_OK) == 0 ? "xen" : "fifo";
}

/* On a host where nobody has installed the scripts, the manager does their work itself. */
static const char *
default_hotplug_script(void)
{
	static const char script[] = "/etc/xen/scripts/vtpm";

	return access(script, F_OK) == 0 ? script : NULL;
}

/* An installed manager starts the vtpmd beside it, and so does one in a build folder. */
static const char *
default_vtpmd(void)
{
	static char path[4096];
	static const char name[] = "vtpmd";
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - sizeof(name));

	while (len > 0 && path[len - 1] != '/')
		len--;
	memcpy(path + (len > 0 ? len : 0), name, sizeof(name));
	return path;
}

static int
wrong_value(const char *option, const char *value, const char *right)
{
	fprintf(stderr, "vtpm_managerd: --%s %s: must be %s\n", option, value, right);
	return EXIT_USAGE;
}

static int
parse_seconds(unsigned *seconds, const char *option, const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value == 0 || value > 86400)
		return wrong_value(option, text, "a number of seconds up to 86400");
	*seconds = (unsigned)value;
	return GO_ON;
}

static int
parse_storage_handle(struct options *options, const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 0);

	if (*text == '\0' || *end != '\0' || value < PERSISTENT_FIRST || value > PERSISTENT_LAST)
		return wrong_value("tpm-storage-handle", text,
				   "a persistent handle, 0x81000000 to 0x81ffffff");
	options->storage_handle = (uint32_t)value;
	return GO_ON;
}

static int
parse_backend(struct options *options, const char *text)
{
	if (strcmp(text, "xen") != 0 && strcmp(text, "fifo") != 0 &&
	    strncmp(text, "dev:", 4) != 0 && strncmp(text, "xen:", 4) != 0)
		return wrong_value("backend", text, "xen, fifo or dev:PATH");
	if (options->backend_count == OPTIONS_BACKENDS_MAX)
		return wrong_value("backend", text, "given at most four times");
	options->backends[options->backend_count++] = text;
	return GO_ON;
}

static int
parse_tpm(struct options *options, const char *text)
{
	if (strcmp(text, "emulated") != 0 && strncmp(text, "device:", 7) != 0 &&
	    strncmp(text, "socket:", 7) != 0)
		return wrong_value("tpm", text, "device:PATH, socket:ADDR or emulated");
	options->tpm = text;
	return GO_ON;
}

static int
parse_option(struct options *options, enum option_key key, const char *value)
{
	switch (key) {
	case OPT_STATE_DIR:
		options->state_dir = value;
		return GO_ON;
	case OPT_RUN_DIR:
		options->run_dir = value;
		return GO_ON;
	case OPT_TPM:
		return parse_tpm(options, value);
	case OPT_TPM_PCRS:
		if (root_key_parse_pcrs(value, &options->pcrs) < 0)
			return wrong_value("tpm-pcrs", value, "PCR numbers such as 0,2,4,7");
		return GO_ON;
	case OPT_OWNER_AUTH:
		options->owner_auth_file = value;
		return GO_ON;
	case OPT_SRK_AUTH:
		if (strcmp(value, "well-known") != 0 && strncmp(value, "file:", 5) != 0)
			return wrong_value("tpm-srk-auth", value, "well-known or file:PATH");
		options->srk_auth = value;
		return GO_ON;
	case OPT_STORAGE_HANDLE:
		return parse_storage_handle(options, value);
	case OPT_EK_CA_CERT:
		options->ek_ca_certificate = value;
		return GO_ON;
	case OPT_EK_CA_KEY:
		options->ek_ca_key = value;
		return GO_ON;
	case OPT_ACCEPT_ROLLBACK:
		options->accept_rollback = true;
		return GO_ON;
	case OPT_BACKEND:
		return parse_backend(options, value);
	case OPT_HOTPLUG:
		options->hotplug_script = strcmp(value, "none") == 0 ? NULL : value;
		return GO_ON;
	case OPT_VTPMD:
		options->vtpmd = value;
		return GO_ON;
	case OPT_USER:
		options->user = value;
		return GO_ON;
	case OPT_FOREGROUND:
		options->foreground = true;
		return GO_ON;
	case OPT_LOG_LEVEL:
		options->log_level = value;
		return GO_ON;
	case OPT_ANSWER_SECONDS:
		return parse_seconds(&options->answer_seconds, "answer-seconds", value);
	case OPT_OFFER_SECONDS:
		return parse_seconds(&options->offer_seconds, "offer-seconds", value);
	case OPT_ANCHOR_SECONDS:
		return parse_seconds(&options->anchor_seconds, "anchor-seconds", value);
	case OPT_HELP:
		fputs(usage, stdout);
		return EXIT_SUCCESS;
	case OPT_VERSION:
		puts("vtpm_managerd " VTPM_VERSION);
		return EXIT_SUCCESS;
	case OPT_WRONG:
		break;
	}
	fputs("Try --help.\n", stderr);
	return EXIT_USAGE;
}

int
options_parse(struct options *options, int argc, char **argv)
{
	*options = (struct options) {
		.state_dir = "/var/vtpm",
		.run_dir = "/var/vtpm",
		.tpm = default_tpm(),
		.srk_auth = "well-known",
		.hotplug_script = default_hotplug_script(),
		.vtpmd = default_vtpmd(),
		.log_level = "info",
		.answer_seconds = DEFAULT_ANSWER_SECONDS,
		.offer_seconds = DEFAULT_OFFER_SECONDS,
		.anchor_seconds = ROOT_KEY_ANCHOR_SECONDS,
	};

	int key;
	int status = GO_ON;
	while (status == GO_ON && (key = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		status = parse_option(options, (enum option_key)key, optarg);
	if (status == GO_ON && optind < argc) {
		fprintf(stderr, "vtpm_managerd: what is '%s'? Try --help.\n", argv[optind]);
		status = EXIT_USAGE;
	}
	if (status == GO_ON && !options->ek_ca_certificate != !options->ek_ca_key) {
		fputs("vtpm_managerd: --ek-ca-cert and --ek-ca-key go together\n", stderr);
		status = EXIT_USAGE;
	}
	if (options->backend_count == 0)
		options->backends[options->backend_count++] = default_backend();
	return status;
}
