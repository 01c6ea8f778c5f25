/* Messages of the manager's protocol. */
#include <errno.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vtpm/message.h>
#include <vtpm/stream.h>

#include "tests/unit/suite.h"

START_TEST(a_message_has_the_documented_bytes)
{
	static const uint8_t expected[] = { 0, 0, 0, 0, 0x01, 0xc1, 0, 0, 0,    17,  0x01,
					    0, 0, 1, 1, 1,    1,    0, 0, 0x12, 0x34 };
	uint8_t buf[64];
	struct writer w = writer_of(buf, sizeof(buf));

	message_begin(&w, VTPM_CONTROL_INSTANCE, VTPM_TAG_REQ, VTPM_ORD_OPEN);
	writer_u8(&w, VTPM_TYPE_MIGRATABLE);
	writer_u8(&w, VTPM_STARTUP_CLEAR);
	writer_u8(&w, VTPM_DOMAIN_PVM);
	writer_u32(&w, 0x1234);
	ck_assert_int_eq(message_end(&w), 0);
	ck_assert_uint_eq(w.len, sizeof(expected));
	ck_assert_mem_eq(buf, expected, sizeof(expected));
}
END_TEST

START_TEST(what_was_added_is_parsed_back)
{
	struct evbuffer *buf = evbuffer_new();
	struct stream_message raw;
	struct message message;
	struct stream stream;

	ck_assert_int_eq(message_add(buf, 9, VTPM_TAG_RSP, VTPM_FORBIDDEN, "abc", 3), 0);
	stream_init(&stream, STREAM_MANAGER);
	ck_assert_int_eq(stream_next(&stream, buf, &raw), STREAM_MESSAGE);
	ck_assert_int_eq(message_parse(&message, raw.instance, raw.data, raw.len), 0);
	ck_assert_uint_eq(message.instance, 9);
	ck_assert_uint_eq(message.tag, VTPM_TAG_RSP);
	ck_assert_uint_eq(message.code, VTPM_FORBIDDEN);
	ck_assert_uint_eq(message.params.left, 3);
	ck_assert_mem_eq(message.params.pos, "abc", 3);
	evbuffer_free(buf);
}
END_TEST

START_TEST(a_message_over_the_limit_is_not_made)
{
	struct evbuffer *buf = evbuffer_new();
	size_t most = VTPM_MESSAGE_MAX - VTPM_HEADER_SIZE;
	uint8_t *params = calloc(1, most + 1);

	ck_assert_int_eq(message_add(buf, 1, VTPM_TAG_REQ, 1, params, most + 1), -EMSGSIZE);
	ck_assert_uint_eq(evbuffer_get_length(buf), 0);
	ck_assert_int_eq(message_add(buf, 1, VTPM_TAG_REQ, 1, params, most), 0);
	ck_assert_uint_eq(evbuffer_get_length(buf), stream_max(STREAM_MANAGER));

	uint8_t small[10];
	struct writer w = writer_of(small, sizeof(small));
	message_begin(&w, 1, VTPM_TAG_REQ, 1);
	ck_assert_int_eq(message_end(&w), -EMSGSIZE);
	free(params);
	evbuffer_free(buf);
}
END_TEST

START_TEST(a_foreign_tag_or_a_wrong_size_is_no_message)
{
	uint8_t data[] = { 0x01, 0xc4, 0, 0, 0, 10, 0, 0, 0, 0 };
	struct message message;

	ck_assert_int_eq(message_parse(&message, 1, data, sizeof(data)), 0);
	ck_assert_int_eq(message_parse(&message, 1, data, sizeof(data) - 1), -EBADMSG);
	data[5] = 11;
	ck_assert_int_eq(message_parse(&message, 1, data, sizeof(data)), -EBADMSG);
	data[5] = 10;
	data[0] = 0x02;
	ck_assert_int_eq(message_parse(&message, 1, data, sizeof(data)), -EBADMSG);
}
END_TEST

/* Puts an answer into the socket in advance, calls, and returns what message_call does. */
static int
call_with_answer(const void *answer, size_t len, struct message *response, uint8_t **buf)
{
	uint8_t request[64];
	struct writer w = writer_of(request, sizeof(request));
	int sockets[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	ck_assert_int_eq(write(sockets[1], answer, len), (ssize_t)len);
	ck_assert_int_eq(shutdown(sockets[1], SHUT_WR), 0);
	message_begin(&w, 0, VTPM_TAG_REQ, VTPM_ORD_GET_MIG_KEY);
	ck_assert_int_eq(message_end(&w), 0);
	int rc = message_call(sockets[0], &w, 5000, response, buf);
	close(sockets[0]);
	close(sockets[1]);
	return rc;
}

START_TEST(a_call_returns_the_response)
{
	uint8_t answer[] = { 0, 0, 0, 0, 0x01, 0xc4, 0, 0, 0, 12, 0, 0, 0, 5, 0xaa, 0xbb };
	struct message response;
	uint8_t *buf;

	ck_assert_int_eq(call_with_answer(answer, sizeof(answer), &response, &buf), 0);
	ck_assert_uint_eq(response.code, VTPM_INVALID_REQUEST);
	ck_assert_uint_eq(response.params.left, 2);
	ck_assert_uint_eq(reader_u16(&response.params), 0xaabb);
	free(buf);
}
END_TEST

START_TEST(a_call_fails_on_an_answer_that_is_cut_or_absurd)
{
	uint8_t answer[] = { 0, 0, 0, 0, 0x01, 0xc4, 0, 0, 0, 12, 0, 0, 0, 5, 0xaa };
	struct message response;
	uint8_t *buf;

	ck_assert_int_eq(call_with_answer(answer, sizeof(answer), &response, &buf), -ECONNRESET);
	answer[6] = 0xff;
	ck_assert_int_eq(call_with_answer(answer, sizeof(answer), &response, &buf), -EBADMSG);
}
END_TEST

START_TEST(a_call_gives_up_on_a_silent_peer)
{
	uint8_t request[64];
	struct writer w = writer_of(request, sizeof(request));
	struct message response;
	int sockets[2];
	uint8_t *buf;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	message_begin(&w, 0, VTPM_TAG_REQ, VTPM_ORD_GET_MIG_KEY);
	ck_assert_int_eq(message_end(&w), 0);
	ck_assert_int_eq(message_call(sockets[0], &w, 1, &response, &buf), -ETIMEDOUT);
	close(sockets[0]);
	close(sockets[1]);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_message_has_the_documented_bytes,
		what_was_added_is_parsed_back,
		a_message_over_the_limit_is_not_made,
		a_foreign_tag_or_a_wrong_size_is_no_message,
		a_call_returns_the_response,
		a_call_fails_on_an_answer_that_is_cut_or_absurd,
		a_call_gives_up_on_a_silent_peer,
		NULL,
	};

	return suite_run("message", tests, NULL, NULL);
}
