/* Whole messages out of hostile byte streams. */
#include <event2/buffer.h>
#include <stdlib.h>

#include <vtpm/codec.h>
#include <vtpm/manager.h>
#include <vtpm/stream.h>
#include <vtpm/tpm12.h>

#include "tests/unit/suite.h"

static struct evbuffer *in;
static struct stream stream;
static struct stream_message message;

static void
set_up(void)
{
	in = evbuffer_new();
}

static void
tear_down(void)
{
	evbuffer_free(in);
}

/* Adds a header that announces size, behind an instance number if there is one. */
static void
add_header(int64_t instance, uint32_t size)
{
	uint8_t buf[14];
	struct writer w = writer_of(buf, sizeof(buf));

	if (instance >= 0)
		writer_u32(&w, (uint32_t)instance);
	writer_u16(&w, TPM_TAG_RQU_COMMAND);
	writer_u32(&w, size);
	writer_u32(&w, 0x99);
	ck_assert(!w.failed);
	evbuffer_add(in, buf, w.len);
}

static void
add_filler(size_t len)
{
	uint8_t *bytes = calloc(1, len);

	evbuffer_add(in, bytes, len);
	free(bytes);
}

static enum stream_event
next(void)
{
	return stream_next(&stream, in, &message);
}

START_TEST(a_message_in_single_bytes_is_reassembled)
{
	uint8_t bytes[] = { 0, 0, 0, 7, 0, 0xc1, 0, 0, 0, 12, 0, 0, 0, 0x99, 0, 1 };

	stream_init(&stream, STREAM_INSTANCE_TPM);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		ck_assert_int_eq(next(), STREAM_WAIT);
		evbuffer_add(in, &bytes[i], 1);
	}
	ck_assert_int_eq(next(), STREAM_MESSAGE);
	ck_assert_uint_eq(message.instance, 7);
	ck_assert_uint_eq(message.len, 12);
	ck_assert_mem_eq(message.data, bytes + 4, 12);
	ck_assert_int_eq(next(), STREAM_WAIT);
	ck_assert_uint_eq(evbuffer_get_length(in), 0);
}
END_TEST

START_TEST(messages_that_arrive_together_come_out_one_by_one)
{
	stream_init(&stream, STREAM_TPM);
	for (unsigned i = 0; i < 3; i++) {
		add_header(-1, 10 + i);
		add_filler(i);
	}
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(next(), STREAM_MESSAGE);
		ck_assert_uint_eq(message.len, 10 + i);
		ck_assert_uint_eq(message.instance, 0);
	}
	ck_assert_int_eq(next(), STREAM_WAIT);
}
END_TEST

START_TEST(the_largest_message_passes_and_one_byte_more_is_refused)
{
	stream_init(&stream, STREAM_TPM);
	add_header(-1, TPM_BUFFER_SIZE);
	add_filler(TPM_BUFFER_SIZE - 10);
	ck_assert_int_eq(next(), STREAM_MESSAGE);
	ck_assert_uint_eq(message.len, TPM_BUFFER_SIZE);
	add_header(-1, TPM_BUFFER_SIZE + 1);
	ck_assert_int_eq(next(), STREAM_REFUSED);
	ck_assert_uint_eq(message.len, VTPM_HEADER_SIZE);
}
END_TEST

START_TEST(after_a_refused_message_the_stream_is_in_step)
{
	stream_init(&stream, STREAM_INSTANCE_TPM);
	add_header(3, 100000);
	ck_assert_int_eq(next(), STREAM_REFUSED);
	ck_assert_uint_eq(message.instance, 3);
	/* Its bytes go by in pieces and are not kept. */
	for (unsigned i = 0; i < 9; i++) {
		add_filler(10000);
		ck_assert_int_eq(next(), STREAM_WAIT);
		ck_assert_uint_eq(evbuffer_get_length(in), 0);
	}
	add_filler(9990);
	add_header(4, 10);
	ck_assert_int_eq(next(), STREAM_MESSAGE);
	ck_assert_uint_eq(message.instance, 4);
}
END_TEST

START_TEST(a_size_smaller_than_the_header_costs_only_the_header)
{
	stream_init(&stream, STREAM_TPM);
	for (unsigned size = 0; size < VTPM_HEADER_SIZE; size++) {
		add_header(-1, size);
		ck_assert_int_eq(next(), STREAM_REFUSED);
	}
	add_header(-1, 10);
	ck_assert_int_eq(next(), STREAM_MESSAGE);
}
END_TEST

START_TEST(a_size_of_4_gib_breaks_the_stream_for_good)
{
	stream_init(&stream, STREAM_TPM);
	add_header(-1, 0xffffffff);
	add_filler(5000);
	ck_assert_int_eq(next(), STREAM_BROKEN);
	ck_assert_uint_eq(message.len, VTPM_HEADER_SIZE);
	ck_assert_int_eq(next(), STREAM_BROKEN);
	ck_assert_uint_eq(message.len, 0);
	ck_assert_uint_eq(evbuffer_get_length(in), 0);
	add_header(-1, 10);
	ck_assert_int_eq(next(), STREAM_BROKEN);
}
END_TEST

START_TEST(a_manager_message_may_be_larger_than_a_tpm_command)
{
	stream_init(&stream, STREAM_MANAGER);
	add_header(0, VTPM_MESSAGE_MAX);
	add_filler(VTPM_MESSAGE_MAX - VTPM_HEADER_SIZE);
	ck_assert_int_eq(next(), STREAM_MESSAGE);
	ck_assert_uint_eq(message.len, VTPM_MESSAGE_MAX);
	ck_assert_uint_eq(stream_max(STREAM_MANAGER), VTPM_MESSAGE_MAX + 4);
	add_header(0, VTPM_MESSAGE_MAX + 1);
	ck_assert_int_eq(next(), STREAM_BROKEN);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_message_in_single_bytes_is_reassembled,
		messages_that_arrive_together_come_out_one_by_one,
		the_largest_message_passes_and_one_byte_more_is_refused,
		after_a_refused_message_the_stream_is_in_step,
		a_size_smaller_than_the_header_costs_only_the_header,
		a_size_of_4_gib_breaks_the_stream_for_good,
		a_manager_message_may_be_larger_than_a_tpm_command,
		NULL,
	};

	return suite_run("stream", tests, set_up, tear_down);
}
