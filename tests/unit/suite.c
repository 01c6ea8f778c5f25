#include "tests/unit/suite.h"

#include <stdlib.h>

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
	Suite *suite = suite_create(name);
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 120); /* seconds: ends what hangs, also on a busy machine */
	if (prepare)
		tcase_add_unchecked_fixture(tc, prepare, NULL);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	for (size_t i = 0; tests[i]; i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
