/* Devices of guests, from xenstore and ring to the manager and back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vtpm/tpm12.h>

#include "manager/backend.h"
#include "manager/grants.h"
#include "tests/unit/front.h"
#include "tests/unit/suite.h"
#include "tests/unit/xenstored.h"

#define UUID       "11111111-2222-3333-4444-555555555555"
#define OTHER_UUID "11111111-2222-3333-4444-666666666666"

static char dir[] = "/tmp/test_backend_xen.XXXXXX";
static char script[sizeof(dir) + 16];
static struct event_base *base;
static struct front front;
static void *xen;

static const uint8_t command[] = { 0, 0xc1, 0, 0, 0, 10, 0, 0, 0, 0xf1 };
static const uint8_t response[] = { 0, 0xc4, 0, 0, 0, 12, 0, 0, 0, 0, 1, 2 };

/* A manager that notes what it is told. */
static bool with_script;
static unsigned submits, cancels, forgets, deliveries, idles, attaches, detaches;
static uint32_t last_instance;
static int last_resume, last_suspend;
static void (*last_done)(void *ctx, const uint8_t *response, size_t len);
static void (*last_attached)(void *ctx, int error, uint32_t instance, const char *why);
static void *last_ctx, *last_attached_ctx;

struct event_base *
backend_base(struct backend *backend)
{
	(void)backend;
	return base;
}

const char *
backend_run_dir(struct backend *backend)
{
	(void)backend;
	return dir;
}

const char *
backend_state_dir(struct backend *backend)
{
	return backend_run_dir(backend);
}

const char *
backend_script(struct backend *backend)
{
	(void)backend;
	return with_script ? script : NULL;
}

struct backend_request *
backend_submit(struct backend *backend, uint32_t instance, unsigned locality, const uint8_t *cmd,
	       size_t len, void (*done)(void *ctx, const uint8_t *response, size_t len), void *ctx)
{
	(void)backend;
	(void)locality;
	ck_assert_uint_eq(len, sizeof(command));
	ck_assert_mem_eq(cmd, command, len);
	submits++;
	last_instance = instance;
	last_done = done;
	last_ctx = ctx;
	return (struct backend_request *)&submits;
}

void
backend_cancel(struct backend_request *request)
{
	(void)request;
	cancels++;
}

void
backend_forget(struct backend_request *request)
{
	(void)request;
	forgets++;
}

void
backend_delivered(struct backend_request *request)
{
	ck_assert_ptr_eq(request, &submits);
	deliveries++;
	ck_assert_int_eq(front.page->state, RING_FINISH);
}

void
backend_idle(struct backend *backend, uint32_t instance)
{
	(void)backend;
	idles++;
	last_instance = instance;
}

int
backend_attach(struct backend *backend, const uint8_t uuid[16], int resume,
	       void (*done)(void *ctx, int error, uint32_t instance, const char *why), void *ctx)
{
	(void)backend;
	ck_assert_uint_eq(uuid[0], 0x11);
	attaches++;
	last_resume = resume;
	last_attached = done;
	last_attached_ctx = ctx;
	return 0;
}

void
backend_detach(struct backend *backend, uint32_t instance, int suspend)
{
	(void)backend;
	detaches++;
	last_instance = instance;
	last_suspend = suspend;
}

static void
start(void)
{
	ck_assert_int_eq(backend_xen.open(NULL, dir, &xen), 0);
}

static void
set_up(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(script, sizeof(script), "%s/script", dir);
	xenstored_start(dir);
	base = event_base_new();
	front_open(&front, dir, 5);
	start();
}

static void
tear_down(void)
{
	char clean[64];

	backend_xen.close(xen);
	front_close(&front);
	event_base_free(base);
	xenstored_stop(dir);
	snprintf(clean, sizeof(clean), "rm -r %s", dir);
	ck_assert_int_eq(system(clean), 0);
}

#define UNTIL(condition)                                                                           \
	while (!(condition))                                                                       \
	event_base_loop(base, EVLOOP_ONCE)

static bool
node_is(uint32_t domid, const char *name, const char *value)
{
	return strcmp(xenstored_get(xenstored_back(domid, 0), name), value) == 0;
}

static void
domain_is(uint32_t domid, enum domain_life life)
{
	char path[sizeof(dir) + 16];

	snprintf(path, sizeof(path), "%s/life.%u", dir, domid);
	FILE *file = fopen(path, "w");
	fprintf(file, "%d", life);
	fclose(file);
	xenstored_domain_event();
}

/* connect: domain 5's device with its driver, whatever the manager is doing. */
static void
connect_driver(void)
{
	xenstored_attach(5, 0, UUID);
	xenstored_offer(5, 0, FRONT_REF, FRONT_PORT);
	UNTIL(node_is(5, "state", "4"));
	xenstored_put(xenstored_front(5, 0), "state", "4");
}

static void
attached(void)
{
	connect_driver();
	last_attached(last_attached_ctx, 0, 42, "");
}

START_TEST(command_travels_to_the_instance_and_back)
{
	attached();
	ck_assert(node_is(5, "instance", "42"));
	ck_assert(node_is(5, "hotplug-status", "connected"));
	front_put(&front, 0, command, sizeof(command));
	UNTIL(submits == 1);
	ck_assert_uint_eq(last_instance, 42);
	last_done(last_ctx, response, sizeof(response));
	ck_assert_uint_eq(front.page->state, RING_FINISH);
	ck_assert_mem_eq((uint8_t *)front.page + 8, response, sizeof(response));
}
END_TEST

START_TEST(command_waits_while_the_instance_starts)
{
	connect_driver();
	front_put(&front, 0, command, sizeof(command));
	xenstored_attach(6, 0, OTHER_UUID);
	UNTIL(node_is(6, "state", "2"));
	ck_assert_uint_eq(submits, 0);
	ck_assert_uint_eq(front.page->state, RING_SUBMIT);
	/* attaches: that of domain 6 came last. */
	ck_assert_uint_eq(attaches, 2);
}
END_TEST

START_TEST(command_that_waited_is_executed_once_the_instance_is_there)
{
	front_put(&front, 0, command, sizeof(command));
	connect_driver();
	ck_assert_uint_eq(submits, 0);
	last_attached(last_attached_ctx, 0, 42, "");
	ck_assert_uint_eq(submits, 1);
}
END_TEST

START_TEST(command_that_waits_can_be_cancelled)
{
	front_put(&front, 0, command, sizeof(command));
	connect_driver();
	front_set(&front, RING_CANCEL);
	UNTIL(front.page->state == RING_IDLE);
	last_attached(last_attached_ctx, 0, 42, "");
	ck_assert_uint_eq(submits, 0);
}
END_TEST

START_TEST(cancel_of_a_running_command_reaches_the_manager)
{
	attached();
	front_put(&front, 0, command, sizeof(command));
	UNTIL(submits == 1);
	front_set(&front, RING_CANCEL);
	UNTIL(cancels == 1);
	last_done(last_ctx, response, sizeof(response));
	ck_assert_uint_eq(front.page->state, RING_FINISH);
}
END_TEST

START_TEST(failed_instance_says_why_and_answers_with_an_error)
{
	front_put(&front, 0, command, sizeof(command));
	connect_driver();
	last_attached(last_attached_ctx, -EIO, 0, "the store is full");
	ck_assert(node_is(5, "hotplug-error", "the store is full"));
	ck_assert(node_is(5, "hotplug-status", "error"));
	ck_assert_uint_eq(front.page->state, RING_FINISH);
	front_put(&front, 0, command, sizeof(command));
	UNTIL(front.page->state == RING_FINISH);
	ck_assert_uint_eq(submits, 0);
	ck_assert_uint_eq(((uint8_t *)front.page)[8 + 9], TPM_FAIL);
}
END_TEST

START_TEST(device_without_a_uuid_is_refused)
{
	xenstored_attach(5, 0, "no uuid");
	UNTIL(node_is(5, "hotplug-status", "error"));
	UNTIL(node_is(5, "state", "2"));
	ck_assert_uint_eq(attaches, 0);
}
END_TEST

START_TEST(next_manager_takes_up_the_device_and_its_command)
{
	attached();
	front_put(&front, 0, command, sizeof(command));
	UNTIL(submits == 1);
	backend_xen.close(xen);
	ck_assert_uint_eq(forgets, 0);
	ck_assert_uint_eq(detaches, 0);
	start();
	UNTIL(submits == 2);
	ck_assert_uint_eq(attaches, 1);
	ck_assert_uint_eq(last_instance, 42);
	ck_assert_uint_eq(idles, 0);
	last_done(last_ctx, response, sizeof(response));
	ck_assert_uint_eq(front.page->state, RING_FINISH);
}
END_TEST

START_TEST(next_manager_knows_that_a_response_was_delivered)
{
	attached();
	front_put(&front, 0, command, sizeof(command));
	UNTIL(submits == 1);
	last_done(last_ctx, response, sizeof(response));
	ck_assert_uint_eq(deliveries, 1);
	backend_xen.close(xen);
	start();
	UNTIL(idles == 1);
	ck_assert_uint_eq(last_instance, 42);
}
END_TEST

START_TEST(guest_that_goes_in_the_middle_of_a_command_leaves_nothing)
{
	attached();
	front_put(&front, 0, command, sizeof(command));
	UNTIL(submits == 1);
	domain_is(5, DOMAIN_GONE);
	UNTIL(forgets == 1);
}
END_TEST

START_TEST(detach_closes_the_instance)
{
	attached();
	xenstored_put(xenstored_front(5, 0), "state", "6");
	xenstored_detach(5, 0);
	UNTIL(node_is(5, "state", "6"));
	ck_assert_uint_eq(detaches, 1);
	ck_assert_uint_eq(last_instance, 42);
	ck_assert_int_eq(last_suspend, 0);
}
END_TEST

START_TEST(domain_that_is_saved_has_its_volatile_state_kept)
{
	attached();
	domain_is(5, DOMAIN_SUSPENDED);
	ck_assert(xs_rm(xenstored, XBT_NULL, xenstored_front(5, 0)));
	xenstored_detach(5, 0);
	UNTIL(node_is(5, "state", "6"));
	ck_assert_int_eq(last_suspend, 1);
}
END_TEST

START_TEST(domain_that_is_restored_resumes_its_tpm)
{
	char path[sizeof(dir) + 16];

	snprintf(path, sizeof(path), "%s/restored.5", dir);
	fclose(fopen(path, "w"));
	connect_driver();
	ck_assert_int_eq(last_resume, 1);
	ck_assert(node_is(5, "resume", "True"));
}
END_TEST

START_TEST(domain_that_is_restored_waits_for_its_tpm)
{
	char path[sizeof(dir) + 16];

	snprintf(path, sizeof(path), "%s/restored.5", dir);
	fclose(fopen(path, "w"));
	front_put(&front, 0, command, sizeof(command));
	connect_driver();
	last_attached(last_attached_ctx, -EIO, 0, "not yet here");
	ck_assert(node_is(5, "hotplug-status", ""));
	ck_assert_uint_eq(front.page->state, RING_SUBMIT);
	UNTIL(attaches == 2);
	last_attached(last_attached_ctx, 0, 42, "");
	ck_assert_uint_eq(submits, 1);
}
END_TEST

START_TEST(device_that_goes_while_it_is_attached_closes_the_instance)
{
	connect_driver();
	xenstored_remove(5, 0);
	xenstored_attach(6, 0, OTHER_UUID);
	void (*first)(void *, int, uint32_t, const char *) = last_attached;
	void *ctx = last_attached_ctx;
	UNTIL(node_is(6, "state", "2"));
	first(ctx, 0, 42, "");
	ck_assert_uint_eq(detaches, 1);
	ck_assert_uint_eq(last_instance, 42);
}
END_TEST

START_TEST(uuid_of_a_running_domain_is_refused_to_another)
{
	attached();
	xenstored_attach(6, 0, UUID);
	UNTIL(node_is(6, "hotplug-status", "error"));
	ck_assert_ptr_nonnull(strstr(xenstored_get(xenstored_back(6, 0), "hotplug-error"), UUID));
	ck_assert_uint_eq(attaches, 1);
}
END_TEST

START_TEST(uuid_of_a_suspended_domain_waits_for_it_to_go)
{
	attached();
	domain_is(5, DOMAIN_SUSPENDED);
	xenstored_attach(6, 0, UUID);
	UNTIL(node_is(6, "state", "2"));
	ck_assert_uint_eq(attaches, 1);
	ck_assert(xs_rm(xenstored, XBT_NULL, xenstored_front(5, 0)));
	xenstored_detach(5, 0);
	UNTIL(attaches == 2);
	ck_assert_uint_eq(detaches, 1);
}
END_TEST

static void
write_script(const char *text)
{
	FILE *file = fopen(script, "w");

	fprintf(file, "#!/bin/sh\n%s\n", text);
	fclose(file);
	chmod(script, 0755);
	backend_xen.close(xen);
	with_script = true;
	start();
}

START_TEST(script_attaches_and_detaches)
{
	write_script("[ \"$1\" = remove ] && echo \"$VTPM_INSTANCE $VTPM_UUID\" >\"$0.removed\"\n"
		     "xenstore-write \"$XENBUS_PATH/instance\" 77 "
		     "\"$XENBUS_PATH/hotplug-status\" connected");
	connect_driver();
	front_put(&front, 0, command, sizeof(command));
	UNTIL(submits == 1);
	ck_assert_uint_eq(last_instance, 77);
	xenstored_put(xenstored_front(5, 0), "state", "6");
	xenstored_detach(5, 0);
	UNTIL(node_is(5, "state", "6"));

	char path[sizeof(script) + 16], line[80] = "";
	snprintf(path, sizeof(path), "%s.removed", script);
	FILE *file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
	fclose(file);
	ck_assert_str_eq(line, "77 " UUID "\n");
}
END_TEST

START_TEST(script_that_fails_is_heard)
{
	write_script("xenstore-write \"$XENBUS_PATH/hotplug-error\" 'out of TPMs'; exit 1");
	xenstored_attach(5, 0, UUID);
	UNTIL(node_is(5, "hotplug-status", "error"));
	ck_assert(node_is(5, "hotplug-error", "out of TPMs"));
}
END_TEST

START_TEST(script_that_hangs_holds_up_nobody)
{
	write_script("[ \"$VTPM_UUID\" = " UUID " ] && exec sleep 5\n"
		     "xenstore-write \"$XENBUS_PATH/instance\" 7 "
		     "\"$XENBUS_PATH/hotplug-status\" connected");
	connect_driver();
	xenstored_attach(6, 0, OTHER_UUID);
	UNTIL(node_is(6, "instance", "7"));
	ck_assert(node_is(5, "instance", ""));
	ck_assert(node_is(5, "state", "4"));
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		command_travels_to_the_instance_and_back,
		command_waits_while_the_instance_starts,
		command_that_waited_is_executed_once_the_instance_is_there,
		command_that_waits_can_be_cancelled,
		cancel_of_a_running_command_reaches_the_manager,
		failed_instance_says_why_and_answers_with_an_error,
		device_without_a_uuid_is_refused,
		next_manager_takes_up_the_device_and_its_command,
		next_manager_knows_that_a_response_was_delivered,
		guest_that_goes_in_the_middle_of_a_command_leaves_nothing,
		detach_closes_the_instance,
		domain_that_is_saved_has_its_volatile_state_kept,
		domain_that_is_restored_resumes_its_tpm,
		domain_that_is_restored_waits_for_its_tpm,
		device_that_goes_while_it_is_attached_closes_the_instance,
		uuid_of_a_running_domain_is_refused_to_another,
		uuid_of_a_suspended_domain_waits_for_it_to_go,
		script_attaches_and_detaches,
		script_that_fails_is_heard,
		script_that_hangs_holds_up_nobody,
		NULL,
	};

	return xenstored_available() ? suite_run("Xen back-end", tests, set_up, tear_down)
				     : EXIT_SUCCESS;
}
