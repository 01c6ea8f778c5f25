/* Tasks between threads, and messages out of what several write to one pipe. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/thread.h>

#include <vtpm/codec.h>
#include <vtpm/manager.h>

#include "manager/intake.h"
#include "manager/listener.h"
#include "tests/unit/suite.h"

enum { POSTERS = 4, TASKS = 2000 };

struct job {
	struct task task;
	unsigned poster, number;
};

static unsigned seen[POSTERS];
static unsigned total;
static struct listener *listener;

static void
count(struct task *task)
{
	struct job *job = TASK_OWNER(task, struct job, task);

	ck_assert_uint_eq(job->number, seen[job->poster]);
	seen[job->poster]++;
	total++;
	free(job);
}

static void *
post_many(void *arg)
{
	for (unsigned i = 0; i < TASKS; i++) {
		struct job *job = calloc(1, sizeof(*job));

		job->task.run = count;
		job->poster = *(unsigned *)arg;
		job->number = i;
		listener_post(listener, &job->task);
	}
	return NULL;
}

/* Ends the loop from within, as the last task of all. */
static void
end_loop(struct task *task)
{
	(void)task;
	event_base_loopbreak(listener_base(listener));
}

START_TEST(every_task_is_run_once_and_each_posters_in_order)
{
	struct task last = { .run = end_loop };
	pthread_t threads[POSTERS];
	unsigned names[POSTERS];

	evthread_use_pthreads();
	listener = listener_new("test");
	for (unsigned i = 0; i < POSTERS; i++) {
		names[i] = i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, post_many, &names[i]), 0);
	}
	ck_assert_int_eq(listener_start(listener), 0);
	for (unsigned i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	listener_post(listener, &last);
	listener_stop(listener);
	/* What was posted before the end, but not run when it came, is run by a loop after it. */
	event_base_loop(listener_base(listener), EVLOOP_NONBLOCK);
	ck_assert_uint_eq(total, POSTERS * TASKS);
	listener_free(listener);
}
END_TEST

static char transcript[256];
static struct intake *intake;

/* Writes down what an intake yields. */
static void
note(void *ctx, enum stream_event event, const struct stream_message *message)
{
	size_t len = strlen(transcript);

	(void)ctx;
	snprintf(transcript + len, sizeof(transcript) - len, "%s%u",
		 event == STREAM_MESSAGE ? "m" : "r", message->instance);
	if (message->instance == 9)
		intake_pause(intake);
}

static struct evbuffer *input;
static struct event_base *base;

static void
set_up(void)
{
	static const struct intake_sync sync = {
		.name = "test",
		.first_tag = VTPM_TAG_REQ,
		.last_tag = VTPM_TAG_REQ,
	};

	transcript[0] = '\0';
	base = event_base_new();
	input = evbuffer_new();
	intake = intake_new(base, input, STREAM_MANAGER, &sync, note, NULL);
	ck_assert_ptr_nonnull(intake);
}

static void
tear_down(void)
{
	intake_free(intake);
	evbuffer_free(input);
	event_base_free(base);
}

/* A header that announces size, of a message with nothing else. */
static void
add(uint32_t instance, uint32_t size)
{
	uint8_t buf[14];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_u32(&w, instance);
	writer_u16(&w, VTPM_TAG_REQ);
	writer_u32(&w, size);
	writer_u32(&w, 1);
	evbuffer_add(input, buf, w.len);
}

START_TEST(rubbish_between_messages_is_skipped)
{
	add(1, 10);
	evbuffer_add(input, "hello, world\n", 13);
	add(2, 10);
	evbuffer_add(input, "\1\xc1", 2);
	add(3, 10);
	intake_run(intake);
	ck_assert_str_eq(transcript, "m1m2m3");
	ck_assert_uint_eq(evbuffer_get_length(input), 0);
}
END_TEST

START_TEST(impossible_sizes_are_told_and_the_next_message_is_found)
{
	add(1, 9);
	add(2, 10);
	add(3, UINT32_MAX);
	add(4, 10);
	intake_run(intake);
	ck_assert_str_eq(transcript, "r1m2r3m4");
}
END_TEST

START_TEST(a_message_in_single_bytes_amid_rubbish_is_found)
{
	uint8_t byte;

	evbuffer_add(input, "rubbish", 7);
	add(1, 10);
	struct evbuffer *slow = evbuffer_new();
	evbuffer_add_buffer(slow, input);
	while (evbuffer_remove(slow, &byte, 1) == 1) {
		evbuffer_add(input, &byte, 1);
		intake_run(intake);
	}
	evbuffer_free(slow);
	ck_assert_str_eq(transcript, "m1");
}
END_TEST

START_TEST(a_paused_intake_takes_nothing_until_it_is_resumed)
{
	add(9, 10);
	add(2, 10);
	intake_run(intake);
	intake_run(intake);
	ck_assert_str_eq(transcript, "m9");
	intake_resume(intake);
	intake_run(intake);
	ck_assert_str_eq(transcript, "m9m2");
}
END_TEST

START_TEST(a_message_without_its_end_is_dropped_in_the_end)
{
	add(1, 1000);
	intake_run(intake);
	ck_assert_int_eq(event_base_dispatch(base), 1); /* until there is no timer any more */
	ck_assert_uint_eq(evbuffer_get_length(input), 0);
	add(2, 10);
	intake_run(intake);
	ck_assert_str_eq(transcript, "m2");
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		every_task_is_run_once_and_each_posters_in_order,
		rubbish_between_messages_is_skipped,
		impossible_sizes_are_told_and_the_next_message_is_found,
		a_message_in_single_bytes_amid_rubbish_is_found,
		a_paused_intake_takes_nothing_until_it_is_resumed,
		a_message_without_its_end_is_dropped_in_the_end,
		NULL,
	};

	return suite_run("listener", tests, set_up, tear_down);
}
