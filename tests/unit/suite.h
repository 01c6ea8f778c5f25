/*
 * suite.h - the main function that all unit test programs have in common.
 */
#ifndef TESTS_UNIT_SUITE_H
#define TESTS_UNIT_SUITE_H

#include <check.h>

/*
 * suite_run: runs the tests, a list that ends with NULL, each between set_up and tear_down (either
 * may be NULL), and returns main's exit status.
 */
int suite_run(const char *name, const TTest *const tests[], void (*set_up)(void),
	      void (*tear_down)(void));
/* suite_run_prepared: the same after prepare, which runs once for all tests. */
int suite_run_prepared(const char *name, const TTest *const tests[], void (*prepare)(void),
		       void (*set_up)(void), void (*tear_down)(void));

/* suite_run_each: runs every test once for each _i from 0 to variants - 1. */
int suite_run_each(const char *name, const TTest *const tests[], int variants, void (*set_up)(void),
		   void (*tear_down)(void));

#endif
