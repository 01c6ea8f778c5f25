/* Names of hosts, as operators give them. */
#include "migration/host_name.h"

#include <string.h>

#include "tests/unit/suite.h"

static const struct {
	const char *host;
	const char *name; /* NULL: refused */
	const char *address;
} cases[] = {
	{ "hostb", "hostb", "tcp:hostb:48879" },
	{ "hostb.example:4000", "hostb.example", "tcp:hostb.example:4000" },
	{ "192.0.2.7", "192.0.2.7", "tcp:192.0.2.7:48879" },
	{ "2001:db8::1", "2001:db8::1", "tcp:[2001:db8::1]:48879" },
	{ "[2001:db8::1]", "2001:db8::1", "tcp:[2001:db8::1]:48879" },
	{ "[2001:db8::1]:4000", "2001:db8::1", "tcp:[2001:db8::1]:4000" },
	{ "", NULL, NULL },
	{ ":4000", NULL, NULL },
	{ "hostb:", NULL, NULL },
	{ "hostb:port", NULL, NULL },
	{ "hostb:123456", NULL, NULL },
	{ "host:b:4000", NULL, NULL },
	{ "[2001:db8::1", NULL, NULL },
	{ "[2001:db8::1]4000", NULL, NULL },
	{ "[hostb:x]:4000", NULL, NULL },
	{ "-oProxyCommand=true", NULL, NULL },
};

enum { CASES = sizeof(cases) / sizeof(cases[0]) };

START_TEST(a_host_is_split_into_name_and_address)
{
	char name[HOST_NAME_SIZE];
	char address[HOST_ADDRESS_SIZE];

	ck_assert_int_eq(host_split(cases[_i].host, name, address), cases[_i].name != NULL);
	if (!cases[_i].name)
		return;
	ck_assert_str_eq(name, cases[_i].name);
	ck_assert_str_eq(address, cases[_i].address);
}
END_TEST

START_TEST(a_name_that_is_too_long_is_refused)
{
	char host[HOST_NAME_SIZE + 1];
	char name[HOST_NAME_SIZE];
	char address[HOST_ADDRESS_SIZE];

	memset(host, 'a', sizeof(host));
	host[HOST_NAME_SIZE] = '\0';
	ck_assert(!host_split(host, name, address));
	host[HOST_NAME_SIZE - 1] = '\0';
	ck_assert(host_split(host, name, address));
}
END_TEST

START_TEST(this_host_is_known_by_its_names)
{
	char own[HOST_NAME_SIZE];

	host_own_name(own);
	ck_assert(host_is_this(own));
	ck_assert(host_is_this("localhost"));
	ck_assert(host_is_this("127.0.0.1"));
	ck_assert(host_is_this("::1"));
	ck_assert(!host_is_this("192.0.2.7"));
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_host_is_split_into_name_and_address,
		a_name_that_is_too_long_is_refused,
		this_host_is_known_by_its_names,
		NULL,
	};

	return suite_run_each("host_name", tests, CASES, NULL, NULL);
}
