/*
 * vtpm_migrator: moves vTPMs to another host. It leads; the two managers decide (vtpm/migration.h).
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <vtpm/secrets.h>

#include "migration/forms.h"

static int
run(struct migrator *migrator, struct why *why)
{
	const struct migrator_options *options = migrator->options;
	char **arguments = options->arguments;

	if (options->recover)
		return form_recover(migrator, options->recover, why);
	if (options->all)
		return form_all(migrator, arguments[0], why);
	if (options->argument_count == 4)
		return form_original(migrator, arguments[0], arguments[1], arguments[2],
				     arguments[3], why);
	if (options->no_domain)
		return form_alone(migrator, arguments[0], arguments[1], why);
	return form_domain(migrator, arguments[0], arguments[1], why);
}

int
main(int argc, char **argv)
{
	struct migrator_options options;
	struct migrator migrator;
	struct why why = { 0 };

	int status = migrator_options_parse(&options, argc, argv);
	if (status >= 0)
		return status;
	secrets_guard();
	signal(SIGPIPE, SIG_IGN);
	int rc = migrator_init(&migrator, &options, &why);
	if (rc == 0)
		rc = run(&migrator, &why);
	if (rc < 0 && why.text[0])
		fprintf(stderr, "vtpm_migrator: %s\n", why.text);
	migrator_free(&migrator);
	if (fflush(stdout) != 0)
		rc = -1;
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
