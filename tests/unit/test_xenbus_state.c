/* What the back-end does next, for what it sees in xenstore. */
#include "manager/xenbus_state.h"
#include "tests/unit/suite.h"

struct expectation {
	struct xenbus_view view;
	enum xenbus_step step;
};

#define HERE .online = true

static void
expect(const struct expectation *table, size_t count)
{
	for (size_t i = 0; i < count; i++)
		ck_assert_msg(xenbus_next(&table[i].view) == table[i].step, "row %zu: step %d", i,
			      xenbus_next(&table[i].view));
}

#define EXPECT(table) expect(table, sizeof(table) / sizeof((table)[0]))

START_TEST(new_device_is_announced_once)
{
	static const struct expectation table[] = {
		{ { HERE, .back = 1, .front = 1 }, XENBUS_ANNOUNCE },
		{ { HERE, .back = 2, .front = 1 }, XENBUS_WAIT },
		/* The front-end's nodes come later. */
		{ { HERE, .back = 1, .front = 0 }, XENBUS_ANNOUNCE },
		{ { HERE, .back = 2, .front = 0 }, XENBUS_WAIT },
	};

	EXPECT(table);
}
END_TEST

START_TEST(offered_ring_is_connected_in_any_later_state)
{
	for (int back = XENBUS_INIT_WAIT; back <= XENBUS_CLOSED; back++)
		for (int front = 3; front <= 4; front++) {
			struct xenbus_view view = { HERE, .back = back, .front = front };

			ck_assert_int_eq(xenbus_next(&view), XENBUS_CONNECT);
		}
}
END_TEST

START_TEST(toolstack_has_time_to_see_the_announcement)
{
	static const struct expectation table[] = {
		{ { HERE, .back = 1, .front = 3 }, XENBUS_ANNOUNCE },
		{ { HERE, .back = 2, .front = 3, .settling = true }, XENBUS_WAIT },
		{ { HERE, .back = 2, .front = 3 }, XENBUS_CONNECT },
	};

	EXPECT(table);
}
END_TEST

START_TEST(connected_device_is_left_alone)
{
	static const struct expectation table[] = {
		{ { HERE, .back = 4, .front = 3, .connected = true, .same_ring = true },
		  XENBUS_WAIT },
		{ { HERE, .back = 4, .front = 4, .connected = true, .same_ring = true },
		  XENBUS_WAIT },
	};

	EXPECT(table);
}
END_TEST

START_TEST(new_ring_replaces_the_old_one)
{
	static const struct expectation table[] = {
		{ { HERE, .back = 4, .front = 3, .connected = true }, XENBUS_DISCONNECT },
		{ { HERE, .back = 4, .front = 4, .connected = true }, XENBUS_DISCONNECT },
	};

	EXPECT(table);
}
END_TEST

START_TEST(ring_that_failed_is_not_tried_again)
{
	static const struct expectation table[] = {
		{ { HERE, .back = 2, .front = 3, .ring_failed = true }, XENBUS_TO_CLOSING },
		{ { HERE, .back = 5, .front = 3, .ring_failed = true }, XENBUS_WAIT },
	};

	EXPECT(table);
}
END_TEST

START_TEST(ring_is_given_back_when_the_front_end_has_left_it)
{
	for (int front = 0; front <= 6; front++) {
		struct xenbus_view view = { HERE, .back = 4, .front = front, .connected = true,
					    .same_ring = true };

		if (front != XENBUS_INITIALISED && front != XENBUS_CONNECTED)
			ck_assert_int_eq(xenbus_next(&view), XENBUS_DISCONNECT);
		view.online = false;
		if (front != XENBUS_INITIALISED && front != XENBUS_CONNECTED)
			ck_assert_int_eq(xenbus_next(&view), XENBUS_DISCONNECT);
	}
}
END_TEST

START_TEST(ring_of_a_dying_domain_is_given_back_at_once)
{
	static const struct expectation table[] = {
		{ { HERE, .back = 4, .front = 4, .connected = true, .same_ring = true,
		    .domain_gone = true },
		  XENBUS_DISCONNECT },
		{ { .back = 5,
		    .front = 4,
		    .connected = true,
		    .same_ring = true,
		    .domain_gone = true },
		  XENBUS_DISCONNECT },
		{ { HERE, .back = 4, .front = 4, .domain_gone = true }, XENBUS_WAIT },
	};

	EXPECT(table);
}
END_TEST

START_TEST(front_end_that_starts_again_is_followed)
{
	static const struct expectation table[] = {
		{ { HERE, .back = 4, .front = 5 }, XENBUS_TO_CLOSING },
		{ { HERE, .back = 5, .front = 5 }, XENBUS_WAIT },
		{ { HERE, .back = 5, .front = 6 }, XENBUS_TO_CLOSED },
		{ { HERE, .back = 6, .front = 6 }, XENBUS_WAIT },
		{ { HERE, .back = 6, .front = 1 }, XENBUS_ANNOUNCE },
		{ { HERE, .back = 4, .front = 1 }, XENBUS_ANNOUNCE },
	};

	EXPECT(table);
}
END_TEST

START_TEST(removal_lets_the_driver_finish_then_releases_then_closes)
{
	static const struct expectation table[] = {
		{ { .back = 5, .front = 4, .connected = true, .same_ring = true },
		  XENBUS_START_CLOSE },
		{ { .back = 5,
		    .front = 4,
		    .connected = true,
		    .same_ring = true,
		    .timed_out = true },
		  XENBUS_DISCONNECT },
		{ { .back = 5, .front = 6, .connected = true, .same_ring = true },
		  XENBUS_DISCONNECT },
		{ { .back = 5, .front = 4, .timed_out = true }, XENBUS_RELEASE },
		{ { .back = 5, .front = 6 }, XENBUS_RELEASE },
		{ { .back = 5, .front = 6, .released = true }, XENBUS_TO_CLOSED },
		{ { .back = 6, .front = 6, .released = true }, XENBUS_WAIT },
		/* Of a device that never connected. */
		{ { .back = 2, .front = 1 }, XENBUS_RELEASE },
		{ { .back = 2, .front = 0, .released = true }, XENBUS_TO_CLOSED },
	};

	EXPECT(table);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		new_device_is_announced_once,
		offered_ring_is_connected_in_any_later_state,
		toolstack_has_time_to_see_the_announcement,
		connected_device_is_left_alone,
		new_ring_replaces_the_old_one,
		ring_that_failed_is_not_tried_again,
		ring_is_given_back_when_the_front_end_has_left_it,
		ring_of_a_dying_domain_is_given_back_at_once,
		front_end_that_starts_again_is_followed,
		removal_lets_the_driver_finish_then_releases_then_closes,
		NULL,
	};

	return suite_run("xenbus state", tests, NULL, NULL);
}
