/* Messages between the migration programs, over a socket pair in the place of ssh. */
#include "migration/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vtpm/manager.h>
#include <vtpm/migration.h>

#include "tests/unit/suite.h"

/* One end, and what has happened to it. */
struct end {
	struct wire *wire;
	bool ready;
	bool closed;
	bool echo; /* answers each request with its parameters */
	unsigned received;
	uint32_t code;
	uint8_t params[64];
	size_t len;
	struct why why;
};

static struct event_base *base;
static struct end client;
static struct end server;
static int loose; /* the other end of a wire whose peer is the test itself */

static void
on_ready(void *ctx)
{
	((struct end *)ctx)->ready = true;
}

static void
on_received(void *ctx, uint32_t code, struct reader params)
{
	struct end *end = ctx;

	end->received++;
	end->code = code;
	end->len = params.left < sizeof(end->params) ? params.left : sizeof(end->params);
	memcpy(end->params, params.pos, end->len);
	if (end->echo)
		ck_assert_int_eq(wire_send(end->wire, VTPM_SUCCESS, params.pos, params.left), 0);
}

static void
on_closed(void *ctx, int error, const struct why *why)
{
	struct end *end = ctx;

	ck_assert_int_lt(error, 0);
	end->closed = true;
	end->why = *why;
}

static const struct wire_callbacks callbacks = { on_ready, on_received, on_closed };

static void
make(struct end *end, int fd, enum wire_role role)
{
	struct why why;

	*end = (struct end) { .echo = role == WIRE_SERVER };
	ck_assert_int_eq(
	    wire_pipes(&end->wire, base, fd, fd, role, "the peer", &callbacks, end, &why), 0);
}

static void
set_up(void)
{
	base = event_base_new();
	client = server = (struct end) { 0 };
	loose = -1;
}

static void
tear_down(void)
{
	wire_free(client.wire);
	wire_free(server.wire);
	if (loose >= 0)
		close(loose);
	event_base_loop(base, EVLOOP_NONBLOCK);
	event_base_free(base);
}

static void
connect_both(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	make(&client, pair[0], WIRE_CLIENT);
	make(&server, pair[1], WIRE_SERVER);
}

/* A server whose peer writes these bytes. */
static void
serve(const void *bytes, size_t len)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	make(&server, pair[1], WIRE_SERVER);
	loose = pair[0];
	ck_assert_int_eq(write(loose, bytes, len), (ssize_t)len);
}

static void
run_until(const bool *flag)
{
	while (!*flag)
		ck_assert_int_eq(event_base_loop(base, EVLOOP_ONCE), 0);
}

static void
run_until_received(const struct end *end, unsigned count)
{
	while (end->received < count)
		ck_assert_int_eq(event_base_loop(base, EVLOOP_ONCE), 0);
}

START_TEST(a_request_is_answered)
{
	connect_both();
	run_until(&client.ready);
	ck_assert_int_eq(wire_send(client.wire, VTPM_ORD_QUERY, "uuid", 4), 0);
	run_until_received(&client, 1);
	ck_assert_uint_eq(server.code, VTPM_ORD_QUERY);
	ck_assert_uint_eq(client.code, VTPM_SUCCESS);
	ck_assert_uint_eq(client.len, 4);
	ck_assert_mem_eq(client.params, "uuid", 4);
}
END_TEST

START_TEST(messages_wait_while_the_wire_is_paused)
{
	connect_both();
	wire_pause(server.wire);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(wire_send(client.wire, i, NULL, 0), 0);
	run_until(&client.ready);
	run_until(&server.ready);
	event_base_loop(base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(server.received, 0);
	wire_resume(server.wire);
	run_until_received(&client, 3);
	ck_assert_uint_eq(server.code, 2);
}
END_TEST

START_TEST(a_message_of_another_protocol_closes_the_wire)
{
	static const uint8_t manager[] = { 0x01, 0xc1, 0, 0, 0, 10, 0, 0, 0, 4 };

	serve(manager, sizeof(manager));
	run_until(&server.closed);
	ck_assert_ptr_nonnull(strstr(server.why.text, "the peer does not speak the protocol"));
}
END_TEST

START_TEST(a_message_of_impossible_size_closes_the_wire)
{
	static const uint8_t absurd[] = { 0x02, 0xc1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 4 };

	serve(absurd, sizeof(absurd));
	run_until(&server.closed);
	ck_assert_ptr_nonnull(strstr(server.why.text, "impossible size"));
	ck_assert_uint_eq(server.received, 0);
}
END_TEST

START_TEST(the_end_of_the_peer_is_told)
{
	serve("\x02", 1);
	close(loose);
	loose = -1;
	run_until(&server.closed);
	ck_assert_str_eq(server.why.text, "the peer closed the connection");
}
END_TEST

START_TEST(a_message_over_the_limit_is_not_sent)
{
	uint8_t *large = calloc(1, VTPM_MESSAGE_MAX);

	connect_both();
	ck_assert_int_eq(wire_send(client.wire, VTPM_ORD_MIGRATE_IN, large,
				   VTPM_MESSAGE_MAX - VTPM_HEADER_SIZE + 1),
			 -EMSGSIZE);
	ck_assert_int_eq(
	    wire_send(client.wire, VTPM_ORD_MIGRATE_IN, large, VTPM_MESSAGE_MAX - VTPM_HEADER_SIZE),
	    0);
	run_until_received(&client, 1);
	ck_assert_uint_eq(server.code, VTPM_ORD_MIGRATE_IN);
	free(large);
}
END_TEST

/* A peer that asks for ever and reads nothing must not fill this process' memory. */
START_TEST(who_does_not_read_his_answers_is_not_served)
{
	static uint8_t request[10 + 60000] = { 0x02, 0xc1, 0, 0, 0xea, 0x6a };
	size_t at = 0;
	unsigned idle = 0;

	serve("", 0);
	/* Until nothing has moved for a while. */
	while (idle < 100) {
		ssize_t n = send(loose, request + at, sizeof(request) - at, MSG_DONTWAIT);

		idle = n > 0 ? 0 : idle + 1;
		at = n > 0 ? (at + (size_t)n) % sizeof(request) : at;
		event_base_loop(base, EVLOOP_NONBLOCK);
		ck_assert_uint_lt(server.received, 20);
	}
	ck_assert_uint_gt(server.received, 0);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_request_is_answered,
		messages_wait_while_the_wire_is_paused,
		a_message_of_another_protocol_closes_the_wire,
		a_message_of_impossible_size_closes_the_wire,
		the_end_of_the_peer_is_told,
		a_message_over_the_limit_is_not_sent,
		who_does_not_read_his_answers_is_not_served,
		NULL,
	};

	return suite_run("wire", tests, set_up, tear_down);
}
