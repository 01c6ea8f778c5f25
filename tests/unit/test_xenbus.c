/* The handshake with front-ends through a real xenstored. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/xenbus.h"
#include "tests/unit/xenstored.h"
#include "tests/unit/suite.h"

#define UUID "11111111-2222-3333-4444-555555555555"

static char dir[] = "/tmp/test_xenbus.XXXXXX";
static struct event_base *base;
static struct grants *grants;
static struct xenbus *bus;

/* What the owner of the devices was told. */
static struct xenbus_device *last;
static unsigned added, connects, disconnects, releases, removed;
static uint32_t last_domid, last_ref, last_port;
static int connect_result;
static bool release_result;

static void *
on_added(void *ctx, struct xenbus_device *device)
{
	(void)ctx;
	added++;
	last = device;
	return &added;
}

static int
on_connect(void *ctx, uint32_t domid, uint32_t ref, uint32_t port)
{
	(void)ctx;
	connects++;
	last_domid = domid;
	last_ref = ref;
	last_port = port;
	return connect_result;
}

static void
on_disconnect(void *ctx)
{
	(void)ctx;
	disconnects++;
}

static bool
on_release(void *ctx)
{
	(void)ctx;
	releases++;
	return release_result;
}

static void
on_removed(void *ctx)
{
	(void)ctx;
	removed++;
}

static const struct xenbus_ops ops = {
	.added = on_added,
	.connect = on_connect,
	.disconnect = on_disconnect,
	.release = on_release,
	.removed = on_removed,
};

static void
set_up(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	xenstored_start(dir);
	base = event_base_new();
	ck_assert_int_eq(grants_shm_open(dir, &grants), 0);
	ck_assert_int_eq(xenbus_open(base, grants, &ops, NULL, &bus), 0);
	release_result = true;
}

static void
tear_down(void)
{
	xenbus_close(bus);
	grants_close(grants);
	event_base_free(base);
	xenstored_stop(dir);
	ck_assert_int_eq(rmdir(dir), 0);
}

/* Runs the loop until what is waited for is so; Check ends a test in which it never is. */
#define UNTIL(condition)                                                                           \
	while (!(condition))                                                                       \
	event_base_loop(base, EVLOOP_ONCE)

static bool
back_is(uint32_t domid, const char *state)
{
	return strcmp(xenstored_get(xenstored_back(domid, 0), "state"), state) == 0;
}

/* connected: a device of domain 5 with a driver that has connected. */
static void
connected(void)
{
	xenstored_attach(5, 0, UUID);
	UNTIL(back_is(5, "2"));
	xenstored_offer(5, 0, 8, 9);
	UNTIL(back_is(5, "4"));
	xenstored_put(xenstored_front(5, 0), "state", "4");
}

START_TEST(new_device_comes_to_init_wait_and_then_connects)
{
	xenstored_attach(5, 0, UUID);
	UNTIL(back_is(5, "2"));
	ck_assert_str_eq(xenstored_get(xenstored_back(5, 0), "feature-protocol-v2"), "1");
	ck_assert_uint_eq(connects, 0);
	xenstored_offer(5, 0, 8, 9);
	UNTIL(back_is(5, "4"));
	ck_assert_uint_eq(last_domid, 5);
	ck_assert_uint_eq(last_ref, 8);
	ck_assert_uint_eq(last_port, 9);
	ck_assert_str_eq(xenbus_device_path(last), xenstored_back(5, 0));
}
END_TEST

START_TEST(front_end_that_is_faster_than_we_are_is_connected)
{
	xenstored_attach(5, 0, UUID);
	xenstored_offer(5, 0, 8, 9);
	UNTIL(back_is(5, "4"));
	ck_assert_uint_eq(connects, 1);
}
END_TEST

START_TEST(devices_that_were_there_before_us_are_served)
{
	connected();
	xenbus_close(bus);
	ck_assert_uint_eq(disconnects, 1);
	ck_assert(back_is(5, "4"));
	ck_assert_int_eq(xenbus_open(base, grants, &ops, NULL, &bus), 0);
	UNTIL(connects == 2);
	ck_assert_uint_eq(last_ref, 8);
	ck_assert(back_is(5, "4"));
}
END_TEST

START_TEST(front_end_elsewhere_is_found_by_its_path_and_domain)
{
	/* A QEMU in dom0 for a guest. */
	const char *back = "/local/domain/0/backend/vtpm/0/7";
	const char *front = "/local/domain/0/frontend/vtpm/0/7";

	xenstored_put(front, "state", "1");
	xenstored_put(back, "online", "1");
	xenstored_put(back, "state", "1");
	xenstored_put(back, "frontend-id", "0");
	xenstored_put(back, "frontend", front);
	UNTIL(strcmp(xenstored_get(back, "state"), "2") == 0);
	xenstored_put(front, "ring-ref", "77");
	xenstored_put(front, "event-channel", "78");
	xenstored_put(front, "feature-protocol-v2", "1");
	xenstored_put(front, "state", "3");
	UNTIL(strcmp(xenstored_get(back, "state"), "4") == 0);
	ck_assert_uint_eq(last_domid, 0);
	ck_assert_uint_eq(last_ref, 77);
}
END_TEST

START_TEST(driver_that_starts_again_gets_a_new_connection)
{
	connected();
	/* What was written before another device was served has been seen. */
	xenstored_attach(6, 0, UUID);
	UNTIL(back_is(6, "2"));
	/* After a resume in place ref and port may have the same numbers. */
	xenstored_offer(5, 0, 8, 9);
	UNTIL(connects == 2);
	ck_assert_uint_eq(disconnects, 1);
	ck_assert(back_is(5, "4"));

	xenstored_offer(5, 0, 10, 11);
	UNTIL(connects == 3);
	ck_assert_uint_eq(last_ref, 10);
}
END_TEST

START_TEST(driver_that_unloads_and_loads_is_followed)
{
	connected();
	xenstored_put(xenstored_front(5, 0), "state", "6");
	UNTIL(back_is(5, "6"));
	ck_assert_uint_eq(disconnects, 1);
	xenstored_offer(5, 0, 8, 9);
	UNTIL(back_is(5, "4"));
	ck_assert_uint_eq(releases, 0);
}
END_TEST

START_TEST(detach_waits_for_the_driver_and_ends_in_closed)
{
	connected();
	xenstored_detach(5, 0);
	event_base_loop(base, EVLOOP_ONCE);
	ck_assert_uint_eq(disconnects, 0);
	xenstored_put(xenstored_front(5, 0), "state", "6");
	UNTIL(back_is(5, "6"));
	ck_assert_uint_eq(disconnects, 1);
	ck_assert_uint_eq(releases, 1);
	xenstored_remove(5, 0);
	UNTIL(removed == 1);
}
END_TEST

START_TEST(device_stays_until_what_hangs_on_it_is_released)
{
	release_result = false;
	connected();
	xenstored_put(xenstored_front(5, 0), "state", "6");
	xenstored_detach(5, 0);
	UNTIL(releases == 1);
	event_base_loop(base, EVLOOP_NONBLOCK);
	ck_assert(back_is(5, "5") || back_is(5, "6"));
	xenbus_released(last);
	ck_assert(back_is(5, "6"));
	ck_assert_uint_eq(releases, 1);
}
END_TEST

START_TEST(destroyed_domain_loses_its_ring_before_anything_else)
{
	connected();
	ck_assert(xs_rm(xenstored, XBT_NULL, xenstored_front(5, 0)));
	UNTIL(disconnects == 1);
	xenstored_detach(5, 0);
	UNTIL(back_is(5, "6"));
	xenstored_remove(5, 0);
	UNTIL(removed == 1);
}
END_TEST

START_TEST(dying_domain_loses_its_ring_though_xenstore_is_unchanged)
{
	char path[64];

	connected();
	snprintf(path, sizeof(path), "%s/life.5", dir);
	FILE *life = fopen(path, "w");
	fprintf(life, "%d", DOMAIN_GONE);
	fclose(life);
	xenstored_domain_event();
	UNTIL(disconnects == 1);
	unlink(path);
}
END_TEST

START_TEST(suspended_domain_is_told_from_a_stopped_one)
{
	char path[64];

	connected();
	snprintf(path, sizeof(path), "%s/life.5", dir);
	FILE *life = fopen(path, "w");
	fprintf(life, "%d", DOMAIN_SUSPENDED);
	fclose(life);
	xenstored_domain_event();
	UNTIL(xenbus_device_suspended(last));
	/* It goes on after a checkpoint. */
	unlink(path);
	xenstored_domain_event();
	UNTIL(!xenbus_device_suspended(last));
}
END_TEST

START_TEST(device_removed_without_a_word_is_forgotten_and_not_brought_back)
{
	connected();
	xenstored_remove(5, 0);
	UNTIL(removed == 1);
	ck_assert_uint_eq(disconnects, 1);
	xenstored_attach(6, 0, UUID);
	UNTIL(back_is(6, "2"));
	ck_assert_str_eq(xenstored_get(xenstored_back(5, 0), "state"), "");
}
END_TEST

START_TEST(device_attached_again_at_the_same_place_is_a_new_one)
{
	connected();
	xenstored_put(xenstored_front(5, 0), "state", "6");
	xenstored_detach(5, 0);
	UNTIL(back_is(5, "6"));
	xenstored_remove(5, 0);
	xenstored_attach(5, 0, UUID);
	UNTIL(added == 2 && back_is(5, "2"));
	ck_assert_uint_eq(removed, 1);
}
END_TEST

START_TEST(ring_that_cannot_be_mapped_is_refused_and_another_one_taken)
{
	connect_result = -EINVAL;
	xenstored_attach(5, 0, UUID);
	UNTIL(back_is(5, "2"));
	xenstored_offer(5, 0, 8, 9);
	UNTIL(back_is(5, "5"));
	ck_assert_uint_eq(connects, 1);
	connect_result = 0;
	xenstored_offer(5, 0, 12, 13);
	UNTIL(back_is(5, "4"));
	ck_assert_uint_eq(last_ref, 12);
}
END_TEST

START_TEST(front_end_without_protocol_v2_is_refused)
{
	xenstored_attach(5, 0, UUID);
	UNTIL(back_is(5, "2"));
	xenstored_put(xenstored_front(5, 0), "state", "3");
	UNTIL(back_is(5, "5"));
	ck_assert_uint_eq(connects, 0);
}
END_TEST

START_TEST(guest_that_floods_its_state_costs_a_limited_number_of_looks)
{
	unsigned before;

	connected();
	before = connects;
	for (int i = 0; i < 500; i++) {
		xenstored_offer(5, 0, 8, 9);
		xenstored_put(xenstored_front(5, 0), "state", "4");
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	ck_assert_uint_lt(connects - before, 250);
	/* Another domain's device is served at once. */
	xenstored_attach(6, 0, UUID);
	UNTIL(back_is(6, "2"));
}
END_TEST

START_TEST(two_hundred_devices_are_served)
{
	for (uint32_t domid = 1; domid <= 100; domid++)
		for (uint32_t handle = 0; handle < 2; handle++) {
			xenstored_attach(domid, handle, UUID);
			xenstored_offer(domid, handle, 8, 9);
		}
	UNTIL(connects == 200);
	UNTIL(back_is(1, "4") && back_is(100, "4"));
	ck_assert_uint_eq(added, 200);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		new_device_comes_to_init_wait_and_then_connects,
		front_end_that_is_faster_than_we_are_is_connected,
		devices_that_were_there_before_us_are_served,
		front_end_elsewhere_is_found_by_its_path_and_domain,
		driver_that_starts_again_gets_a_new_connection,
		driver_that_unloads_and_loads_is_followed,
		detach_waits_for_the_driver_and_ends_in_closed,
		device_stays_until_what_hangs_on_it_is_released,
		destroyed_domain_loses_its_ring_before_anything_else,
		dying_domain_loses_its_ring_though_xenstore_is_unchanged,
		suspended_domain_is_told_from_a_stopped_one,
		device_removed_without_a_word_is_forgotten_and_not_brought_back,
		device_attached_again_at_the_same_place_is_a_new_one,
		ring_that_cannot_be_mapped_is_refused_and_another_one_taken,
		front_end_without_protocol_v2_is_refused,
		guest_that_floods_its_state_costs_a_limited_number_of_looks,
		two_hundred_devices_are_served,
		NULL,
	};

	return xenstored_available() ? suite_run("xenbus", tests, set_up, tear_down) : EXIT_SUCCESS;
}
