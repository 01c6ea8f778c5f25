/* Addresses on command lines. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vtpm/addr.h>

#include "tests/unit/suite.h"

START_TEST(text_of_neither_form_is_invalid)
{
	static const char *const texts[] = {
		"",
		"unix:",
		"/tmp/socket",
		"tcp:",
		"tcp:127.0.0.1",
		"tcp:127.0.0.1:",
		"tcp::2412",
		"tcp:127.0.0.1:port",
		"tcp:::1:2412",
		"tcp:[::1:2412",
		"tcp:[]:2412",
		"udp:127.0.0.1:2412",
	};
	struct addr addr;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_msg(addr_parse(&addr, texts[i], ADDR_ANY) == -EINVAL, "%s", texts[i]);
}
END_TEST

START_TEST(tcp_addresses_are_understood)
{
	struct addr addr;

	ck_assert_int_eq(addr_parse(&addr, "tcp:127.0.0.1:2412", ADDR_LOOPBACK), 0);
	const struct sockaddr_in *in = (const void *)&addr.sa;
	ck_assert_int_eq(in->sin_family, AF_INET);
	ck_assert_uint_eq(ntohs(in->sin_port), 2412);
	ck_assert_uint_eq(ntohl(in->sin_addr.s_addr), INADDR_LOOPBACK);

	ck_assert_int_eq(addr_parse(&addr, "tcp:[::1]:7", ADDR_LOOPBACK), 0);
	const struct sockaddr_in6 *in6 = (const void *)&addr.sa;
	ck_assert_int_eq(in6->sin6_family, AF_INET6);
	ck_assert_uint_eq(ntohs(in6->sin6_port), 7);
}
END_TEST

START_TEST(the_loopback_scope_keeps_others_out)
{
	struct addr addr;

	ck_assert_int_eq(addr_parse(&addr, "tcp:0.0.0.0:1", ADDR_LOOPBACK), -EACCES);
	ck_assert_int_eq(addr_parse(&addr, "tcp:192.0.2.1:1", ADDR_LOOPBACK), -EACCES);
	ck_assert_int_eq(addr_parse(&addr, "tcp:[::]:1", ADDR_LOOPBACK), -EACCES);
	ck_assert_int_eq(addr_parse(&addr, "tcp:0.0.0.0:1", ADDR_ANY), 0);
	ck_assert_int_eq(addr_parse(&addr, "tcp:127.1.2.3:1", ADDR_LOOPBACK), 0);
}
END_TEST

START_TEST(a_path_that_does_not_fit_is_refused_and_not_cut)
{
	char text[5 + 108 + 1] = "unix:";
	struct addr addr;

	memset(text + 5, 'x', 108);
	ck_assert_int_eq(addr_parse(&addr, text, ADDR_ANY), -ENAMETOOLONG);
	text[5 + 107] = '\0';
	ck_assert_int_eq(addr_parse(&addr, text, ADDR_ANY), 0);
}
END_TEST

START_TEST(a_unix_socket_is_private_and_survives_only_its_listener)
{
	char folder[] = "/tmp/vtpm-test-addr-XXXXXX";
	char text[64];
	struct addr addr;
	struct stat st;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(text, sizeof(text), "unix:%s/s", folder);
	ck_assert_int_eq(addr_parse(&addr, text, ADDR_LOOPBACK), 0);
	ck_assert_int_eq(addr_connect(&addr), -ENOENT);
	int first = addr_listen(&addr);
	ck_assert_int_ge(first, 0);
	ck_assert_int_eq(stat(text + 5, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(addr_listen(&addr), -EADDRINUSE);
	int client = addr_connect(&addr);
	ck_assert_int_ge(client, 0);
	close(client);
	close(first);
	ck_assert_int_eq(addr_connect(&addr), -ECONNREFUSED);
	int second = addr_listen(&addr);
	ck_assert_int_ge(second, 0);
	close(second);
	unlink(text + 5);
	rmdir(folder);
}
END_TEST

/* As a vtpmd that a manager is about to start when it is killed. */
START_TEST(a_listener_that_is_about_to_go_is_waited_for)
{
	char folder[] = "/tmp/vtpm-test-addr-XXXXXX";
	char text[64];
	struct addr addr;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(text, sizeof(text), "unix:%s/s", folder);
	ck_assert_int_eq(addr_parse(&addr, text, ADDR_LOOPBACK), 0);
	int first = addr_listen(&addr);
	ck_assert_int_ge(first, 0);
	pid_t child = fork();
	if (child == 0) {
		struct pollfd asked = { .fd = first, .events = POLLIN };

		_exit(poll(&asked, 1, -1) != 1);
	}
	close(first);
	int second = addr_listen(&addr);
	ck_assert_int_ge(second, 0);
	close(second);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	unlink(text + 5);
	rmdir(folder);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		text_of_neither_form_is_invalid,
		tcp_addresses_are_understood,
		the_loopback_scope_keeps_others_out,
		a_path_that_does_not_fit_is_refused_and_not_cut,
		a_unix_socket_is_private_and_survives_only_its_listener,
		a_listener_that_is_about_to_go_is_waited_for,
		NULL,
	};

	return suite_run("addr", tests, NULL, NULL);
}
