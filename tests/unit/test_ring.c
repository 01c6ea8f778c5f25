/* The back-end's side of the shared page, against a front-end in shared memory. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vtpm/codec.h>
#include <vtpm/tpm12.h>

#include "manager/ring.h"
#include "tests/unit/front.h"
#include "tests/unit/suite.h"

static char dir[] = "/tmp/test_ring.XXXXXX";
static struct event_base *base;
static struct grants *grants;
static struct front front;
static struct ring *ring;

/* What the ring reported. */
static unsigned commands;
static unsigned cancels;
static unsigned last_locality;
static uint8_t last[TPM_BUFFER_SIZE];
static size_t last_len;

static void
on_command(void *ctx, unsigned locality, const uint8_t *cmd, size_t len)
{
	(void)ctx;
	commands++;
	last_locality = locality;
	memcpy(last, cmd, len);
	last_len = len;
}

static void
on_cancel(void *ctx)
{
	(void)ctx;
	cancels++;
}

static const struct ring_ops ops = { .command = on_command, .cancel = on_cancel };

static void
open_ring(void)
{
	ck_assert_int_eq(ring_open(grants, base, 7, FRONT_REF, FRONT_PORT, &ops, NULL, &ring), 0);
}

static void
set_up(void)
{
	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	base = event_base_new();
	ck_assert_int_eq(grants_shm_open(dir, &grants), 0);
	front_open(&front, dir, 7);
	commands = cancels = 0;
	open_ring();
}

static void
tear_down(void)
{
	ring_close(ring);
	grants_close(grants);
	front_close(&front);
	event_base_free(base);
	ck_assert_int_eq(rmdir(dir), 0);
}

/* deliver: what the event loop does with notifications. Returns how many there were. */
static unsigned
deliver(void)
{
	unsigned count = 0;

	for (int port; (port = grants_pending(grants)) >= 0; count++) {
		ck_assert_int_eq(port, ring_port(ring));
		ring_notified(ring);
	}
	return count;
}

/* command_of: a TPM command of len bytes with a recognisable body. */
static const uint8_t *
command_of(size_t len)
{
	static uint8_t cmd[2 * TPM_BUFFER_SIZE];
	struct writer w = writer_of(cmd, sizeof(cmd));

	for (size_t i = 0; i < len; i++)
		cmd[i] = (uint8_t)(i * 31 + len);
	writer_u16(&w, TPM_TAG_RQU_COMMAND);
	writer_u32(&w, (uint32_t)len);
	writer_u32(&w, TPM_ORD_GetTicks);
	return cmd;
}

static uint32_t
result_in_page(void)
{
	struct reader r =
	    reader_of((uint8_t *)front.page + 8 + 4 * front.page->nr_extra_pages, TPM_HEADER_SIZE);

	ck_assert_uint_eq(front.page->state, RING_FINISH);
	ck_assert_uint_eq(front.page->length, TPM_HEADER_SIZE);
	ck_assert_uint_eq(reader_u16(&r), TPM_TAG_RSP_COMMAND);
	ck_assert_uint_eq(reader_u32(&r), TPM_HEADER_SIZE);
	return reader_u32(&r);
}

START_TEST(command_goes_up_and_response_comes_down)
{
	front_put(&front, 2, command_of(30), 30);
	deliver();
	ck_assert_uint_eq(commands, 1);
	ck_assert_uint_eq(last_locality, 2);
	ck_assert_mem_eq(last, command_of(30), 30);
	ck_assert_uint_eq(front.page->state, RING_SUBMIT);
	front_notified(&front);

	ring_respond(ring, command_of(100), 100);
	ck_assert_uint_eq(front.page->state, RING_FINISH);
	ck_assert_uint_eq(front.page->length, 100);
	ck_assert_mem_eq((uint8_t *)front.page + 8, command_of(100), 100);
	ck_assert_uint_eq(front_notified(&front), 1);
}
END_TEST

START_TEST(command_waiting_in_a_new_ring_is_served)
{
	front_put(&front, 0, command_of(30), 30);
	ring_look(ring);
	ck_assert_uint_eq(commands, 1);
	/* Its notification is still due and must not run it again. */
	deliver();
	ck_assert_uint_eq(commands, 1);
}
END_TEST

START_TEST(another_back_end_serves_the_pending_command)
{
	front_put(&front, 0, command_of(30), 30);
	deliver();
	ring_close(ring);
	open_ring();
	ring_look(ring);
	ck_assert_uint_eq(commands, 2);
	ck_assert_mem_eq(last, command_of(30), 30);
}
END_TEST

START_TEST(extra_page_holds_what_the_first_cannot)
{
	front.page->nr_extra_pages = 1;
	front.page->extra_pages[0] = FRONT_EXTRA_REF;
	front_put(&front, 0, command_of(TPM_BUFFER_SIZE), TPM_BUFFER_SIZE);
	deliver();
	ck_assert_uint_eq(commands, 1);
	ck_assert_uint_eq(last_len, TPM_BUFFER_SIZE);
	ck_assert_mem_eq(last, command_of(TPM_BUFFER_SIZE), TPM_BUFFER_SIZE);

	ring_respond(ring, command_of(4095), 4095);
	ck_assert_uint_eq(front.page->length, 4095);
	ck_assert_mem_eq((uint8_t *)front.page + 12, command_of(4095), 4096 - 12);
	ck_assert_mem_eq(front.extra, command_of(4095) + 4096 - 12, 4095 - (4096 - 12));
}
END_TEST

START_TEST(pages_beyond_the_largest_message_are_not_mapped)
{
	front.page->nr_extra_pages = 255;
	front.page->extra_pages[0] = FRONT_EXTRA_REF;
	/* 1 to 254 are references that were never granted. */
	front_put(&front, 0, command_of(TPM_BUFFER_SIZE), TPM_BUFFER_SIZE);
	deliver();
	ck_assert_uint_eq(commands, 1);
	ck_assert_mem_eq(last, command_of(TPM_BUFFER_SIZE), TPM_BUFFER_SIZE);
}
END_TEST

START_TEST(extra_page_that_was_not_granted_fails_the_command_only)
{
	front.page->nr_extra_pages = 1;
	front.page->extra_pages[0] = 4711;
	front_put(&front, 0, command_of(30), 30);
	deliver();
	ck_assert_uint_eq(commands, 0);
	ck_assert_uint_eq(result_in_page(), TPM_FAIL);

	front.page->nr_extra_pages = 0;
	front_put(&front, 0, command_of(30), 30);
	deliver();
	ck_assert_uint_eq(commands, 1);
}
END_TEST

START_TEST(length_out_of_bounds_is_answered_with_an_error)
{
	static const uint32_t lengths[] = { 0,         1, 9, 4089, 4096, 4097, TPM_BUFFER_SIZE + 1,
					    UINT32_MAX };

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		memcpy(front.page + 1, command_of(4000), 4000);
		front.page->length = lengths[i];
		front_set(&front, RING_SUBMIT);
		deliver();
		ck_assert_uint_eq(result_in_page(), TPM_BAD_PARAM_SIZE);
	}
	ck_assert_uint_eq(commands, 0);
}
END_TEST

START_TEST(size_in_the_tpm_header_must_be_that_of_the_ring)
{
	front_put(&front, 0, command_of(31), 30);
	deliver();
	ck_assert_uint_eq(commands, 0);
	ck_assert_uint_eq(result_in_page(), TPM_BAD_PARAM_SIZE);
}
END_TEST

START_TEST(locality_of_the_hardware_is_refused)
{
	front_put(&front, 4, command_of(30), 30);
	deliver();
	ck_assert_uint_eq(result_in_page(), TPM_BAD_LOCALITY);
	front_put(&front, 255, command_of(30), 30);
	deliver();
	ck_assert_uint_eq(result_in_page(), TPM_BAD_LOCALITY);
	ck_assert_uint_eq(commands, 0);
}
END_TEST

START_TEST(response_without_room_becomes_an_error)
{
	front_put(&front, 0, command_of(30), 30);
	deliver();
	ring_respond(ring, command_of(TPM_BUFFER_SIZE), TPM_BUFFER_SIZE);
	ck_assert_uint_eq(result_in_page(), TPM_FAIL);
}
END_TEST

START_TEST(cancel_of_a_running_command_is_reported_once)
{
	front_put(&front, 0, command_of(30), 30);
	deliver();
	front_set(&front, RING_CANCEL);
	deliver();
	front_notify(&front);
	deliver();
	ck_assert_uint_eq(cancels, 1);
	ck_assert_uint_eq(front.page->state, RING_CANCEL);
	ring_abandon(ring);
	ck_assert_uint_eq(front.page->state, RING_IDLE);
}
END_TEST

START_TEST(cancel_that_crossed_the_response_ends_idle)
{
	front_put(&front, 0, command_of(30), 30);
	deliver();
	ring_respond(ring, command_of(10), 10);
	front_set(&front, RING_CANCEL);
	deliver();
	ck_assert_uint_eq(cancels, 0);
	ck_assert_uint_eq(front.page->state, RING_IDLE);
}
END_TEST

START_TEST(second_submit_does_not_run_beside_the_first)
{
	front_put(&front, 0, command_of(30), 30);
	deliver();
	front_put(&front, 0, command_of(40), 40);
	deliver();
	ck_assert_uint_eq(commands, 1);
	ring_respond(ring, command_of(10), 10);
	front_put(&front, 0, command_of(40), 40);
	deliver();
	ck_assert_uint_eq(commands, 2);
	ck_assert_uint_eq(last_len, 40);
}
END_TEST

START_TEST(scribbling_while_a_command_runs_changes_nothing_of_it)
{
	front.page->nr_extra_pages = 1;
	front.page->extra_pages[0] = FRONT_EXTRA_REF;
	front_put(&front, 0, command_of(30), 30);
	deliver();
	memset(front.page, 0xff, RING_PAGE_SIZE);
	deliver();
	ring_respond(ring, command_of(4090), 4090);
	ck_assert_uint_eq(front.page->state, RING_FINISH);
	ck_assert_uint_eq(front.page->length, 4090);
	ck_assert_mem_eq((uint8_t *)front.page + 12, command_of(4090), 4096 - 12);
}
END_TEST

START_TEST(flood_of_notifications_is_taken_in_doses)
{
	unsigned heard = 0;

	for (unsigned i = 0; i < 1000; i++) {
		front_notify(&front);
		heard += deliver();
	}
	ck_assert_uint_lt(heard, 1000);
	/* A command of this guest waits for the end of the window, and is served then. */
	front_put(&front, 0, command_of(30), 30);
	while (commands == 0) {
		event_base_loop(base, EVLOOP_ONCE);
		deliver();
	}
	ck_assert_uint_eq(commands, 1);
}
END_TEST

START_TEST(page_or_port_that_was_not_offered_is_an_error)
{
	struct ring *other = NULL;

	ck_assert_int_eq(ring_open(grants, base, 7, 4711, FRONT_PORT, &ops, NULL, &other), -ENOENT);
	ck_assert_int_eq(ring_open(grants, base, 7, FRONT_REF, 4711, &ops, NULL, &other), -ENOENT);
	ck_assert_int_eq(ring_open(grants, base, 8, FRONT_REF, FRONT_PORT, &ops, NULL, &other),
			 -ENOENT);
	ck_assert_ptr_null(other);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		command_goes_up_and_response_comes_down,
		command_waiting_in_a_new_ring_is_served,
		another_back_end_serves_the_pending_command,
		extra_page_holds_what_the_first_cannot,
		pages_beyond_the_largest_message_are_not_mapped,
		extra_page_that_was_not_granted_fails_the_command_only,
		length_out_of_bounds_is_answered_with_an_error,
		size_in_the_tpm_header_must_be_that_of_the_ring,
		locality_of_the_hardware_is_refused,
		response_without_room_becomes_an_error,
		cancel_of_a_running_command_is_reported_once,
		cancel_that_crossed_the_response_ends_idle,
		second_submit_does_not_run_beside_the_first,
		scribbling_while_a_command_runs_changes_nothing_of_it,
		flood_of_notifications_is_taken_in_doses,
		page_or_port_that_was_not_offered_is_an_error,
		NULL,
	};

	return suite_run("ring", tests, set_up, tear_down);
}
