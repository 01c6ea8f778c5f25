/*
 * vtpmctl: the manager's command line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/vtpmctl_common.h"

static const struct {
	const char *name;
	int (*run)(struct ctl *ctl);
	uint32_t ordinal; /* of ctl_act and ctl_switch */
	const char *usage;
	const char *what;
} commands[] = {
	{ "define", ctl_define, 0,
	  "UUID [--id N] [--type pvm|hvm] [--no-migrate] [--host-pcrs LIST]",
	  "make an instance, or find that of the uuid; prints its number" },
	{ "open", ctl_open, 0, "ID|UUID [--startup clear|save|deactivated]",
	  "start an instance and wait until it serves" },
	{ "close", ctl_act, VTPM_ORD_CLOSE, "ID|UUID", "end an instance; what it stored stays" },
	{ "suspend", ctl_act, VTPM_ORD_SUSPEND, "ID|UUID",
	  "end it, and keep PCRs, sessions and keys for open --startup save" },
	{ "delete", ctl_act, VTPM_ORD_DELETE, "ID|UUID",
	  "destroy an instance and all that it stored" },
	{ "clear", ctl_act, VTPM_ORD_CLEAR, "ID|UUID",
	  "take the owner off its TPM, as ForceClear does" },
	{ "presence", ctl_switch, VTPM_ORD_PRESENCE, "ID|UUID on|off",
	  "assert physical presence at its TPM" },
	{ "rollback", ctl_switch, VTPM_ORD_ROLLBACK, "ID|UUID on|off",
	  "allow its QEMU, once, to set a state older than the present one" },
	{ "list", ctl_list, 0, "[--json]", "all instances" },
	{ "show", ctl_show, 0, "ID|UUID [--json]", "one instance in detail" },
	{ "status", ctl_status, 0, "[--json]", "the manager and its physical TPM" },
	{ "verify", ctl_verify, 0, "[ID|UUID]", "check what is stored; exit status 1 if damaged" },
	{ "recover", ctl_act, VTPM_ORD_RECOVER, "ID|UUID",
	  "accept the stored state of a refused instance" },
	{ "reseal", ctl_reseal, 0, "PCRS|none",
	  "seal the root key to the present values of these PCRs, such as 0,2,4-7" },
	{ "deep-quote", ctl_deep_quote, 0, "ID|UUID [--nonce HEX] [--pcrs LIST] [--out FILE]",
	  "have the physical TPM sign what host its TPM is on" },
	{ "verify-quote", ctl_verify_quote, 0, "FILE [--key FILE] [--nonce HEX] [--json]",
	  "check such evidence; exit status 1 if it is not good" },
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void
print_command(size_t i)
{
	printf("  %s %s\n      %s\n", commands[i].name, commands[i].usage, commands[i].what);
}

static void
print_help(void)
{
	puts("usage: vtpmctl [--run-dir DIR] COMMAND ...\n"
	     "  --run-dir DIR  that of vtpm_managerd (default /var/vtpm)\n"
	     "  --help, --version\n"
	     "commands:");
	for (size_t i = 0; i < COMMANDS; i++)
		print_command(i);
}

/* Returns -1 to go on, else the exit status. */
static int
parse_global(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{ "run-dir", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int key;

	while ((key = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (key) {
		case 'r':
			ctl->run_dir = optarg;
			break;
		case 'h':
			print_help();
			return EXIT_SUCCESS;
		case 'v':
			puts("vtpmctl " VTPM_VERSION);
			return EXIT_SUCCESS;
		default:
			fputs("Try vtpmctl --help.\n", stderr);
			return EXIT_USAGE;
		}
	}
	return -1;
}

static int
run(struct ctl *ctl)
{
	const char *name = ctl->argv[0];

	if (!name) {
		fputs("vtpmctl: which command? Try vtpmctl --help.\n", stderr);
		return EXIT_USAGE;
	}
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i].name, name) != 0)
			continue;
		if (ctl->argc > 1 && strcmp(ctl->argv[1], "--help") == 0) {
			print_command(i);
			return EXIT_SUCCESS;
		}
		ctl->command = commands[i].name;
		ctl->usage = commands[i].usage;
		ctl->ordinal = commands[i].ordinal;
		optind = 0; /* getopt_long begins anew, at the sub-command's arguments */
		return commands[i].run(ctl);
	}
	fprintf(stderr, "vtpmctl: there is no command '%s'. Try vtpmctl --help.\n", name);
	return EXIT_USAGE;
}

int
main(int argc, char **argv)
{
	struct ctl ctl = { .run_dir = "/var/vtpm" };

	int status = parse_global(&ctl, argc, argv);
	if (status >= 0)
		return status;
	ctl.argc = argc - optind;
	ctl.argv = argv + optind;
	status = run(&ctl);
	free(ctl.answer);
	if (status == 0 && fflush(stdout) != 0)
		status = EXIT_FAILURE;
	return status;
}
