#include "migration/migratord_options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_USAGE = 2, GO_ON = -1 };

static const char usage[] =
    "usage: vtpm_migratord [options]\n"
    "  --listen ADDR               where other hosts connect; may be repeated (default\n"
    "                              tcp:[::]:48879, or tcp:0.0.0.0:48879 without IPv6)\n"
    "  --stdio                     serve one peer on standard input and output, behind ssh\n"
    "  --run-dir DIR               that of vtpm_managerd (default /var/vtpm)\n"
    "  --ca FILE, --cert FILE, --key FILE\n"
    "                              whom to trust, and who this host is (default ca.pem, host.pem\n"
    "                              and host.key in " TLS_DEFAULT_DIR "; see vtpm-pki)\n"
    "  --name NAME                 this host's name (default its host name)\n"
    "  --foreground                do not become a daemon\n"
    "  --log-level error|warning|info|debug\n"
    "                              (default info, with --stdio warning)\n"
    "  --help, --version\n"
    "ADDR is unix:PATH or tcp:HOST:PORT. See vtpm_migratord(8).\n";

static int
add_listen(struct migratord_options *options, const char *text)
{
	if (options->listen_count == MIGRATORD_LISTEN_MAX) {
		fprintf(stderr, "vtpm_migratord: --listen is given at most %d times\n",
			MIGRATORD_LISTEN_MAX);
		return EXIT_USAGE;
	}
	options->listen[options->listen_count++] = text;
	return GO_ON;
}

static int
parse_option(struct migratord_options *options, int key, const char *value)
{
	switch (key) {
	case 'l':
		return add_listen(options, value);
	case 's':
		options->stdio = true;
		return GO_ON;
	case 'r':
		options->run_dir = value;
		return GO_ON;
	case 'a':
		options->tls.ca = value;
		return GO_ON;
	case 'c':
		options->tls.cert = value;
		return GO_ON;
	case 'k':
		options->tls.key = value;
		return GO_ON;
	case 'n':
		options->name = value;
		return GO_ON;
	case 'f':
		options->foreground = true;
		return GO_ON;
	case 'L':
		options->log_level = value;
		return GO_ON;
	case 'h':
		fputs(usage, stdout);
		return EXIT_SUCCESS;
	case 'v':
		puts("vtpm_migratord " VTPM_VERSION);
		return EXIT_SUCCESS;
	default:
		fputs("Try --help.\n", stderr);
		return EXIT_USAGE;
	}
}

int
migratord_options_parse(struct migratord_options *options, int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "stdio", no_argument, NULL, 's' },
		{ "run-dir", required_argument, NULL, 'r' },
		{ "ca", required_argument, NULL, 'a' },
		{ "cert", required_argument, NULL, 'c' },
		{ "key", required_argument, NULL, 'k' },
		{ "name", required_argument, NULL, 'n' },
		{ "foreground", no_argument, NULL, 'f' },
		{ "log-level", required_argument, NULL, 'L' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int status = GO_ON;
	int key;

	*options = (struct migratord_options) {
		.run_dir = "/var/vtpm",
		.tls = { TLS_DEFAULT_DIR "/ca.pem", TLS_DEFAULT_DIR "/host.pem",
			 TLS_DEFAULT_DIR "/host.key" },
	};
	while (status == GO_ON && (key = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		status = parse_option(options, key, optarg);
	if (status == GO_ON && (optind < argc || (options->stdio && options->listen_count > 0))) {
		fputs("vtpm_migratord: takes options only, and --stdio or --listen. Try --help.\n",
		      stderr);
		status = EXIT_USAGE;
	}
	/* Behind ssh, its messages go to the terminal of whoever migrates. */
	if (!options->log_level)
		options->log_level = options->stdio ? "warning" : "info";
	return status;
}
