#include "tests/unit/suite.h"

#include <stdlib.h>

static int
run(Suite *suite, TCase *tc)
{
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static TCase *
new_case(const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 120); /* seconds: ends what hangs, also on a busy machine */
	return tc;
}

int
suite_run(const char *name, const TTest *const tests[], void (*set_up)(void),
	  void (*tear_down)(void))
{
	return suite_run_prepared(name, tests, NULL, set_up, tear_down);
}

int
suite_run_prepared(const char *name, const TTest *const tests[], void (*prepare)(void),
		   void (*set_up)(void), void (*tear_down)(void))
{
	TCase *tc = new_case(name);

	if (prepare)
		tcase_add_unchecked_fixture(tc, prepare, NULL);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	for (size_t i = 0; tests[i]; i++)
		tcase_add_test(tc, tests[i]);
	return run(suite_create(name), tc);
}

int
suite_run_each(const char *name, const TTest *const tests[], int variants, void (*set_up)(void),
	       void (*tear_down)(void))
{
	TCase *tc = new_case(name);

	tcase_add_checked_fixture(tc, set_up, tear_down);
	for (size_t i = 0; tests[i]; i++)
		tcase_add_loop_test(tc, tests[i], 0, variants);
	return run(suite_create(name), tc);
}
