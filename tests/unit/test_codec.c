#include <vtpm/codec.h>

#include "tests/unit/suite.h"

START_TEST(reader_yields_big_endian_numbers_in_order)
{
	static const uint8_t data[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
	struct reader r = reader_of(data, sizeof(data));

	ck_assert_uint_eq(reader_u8(&r), 0x01);
	ck_assert_uint_eq(reader_u16(&r), 0x0203);
	ck_assert_uint_eq(reader_u32(&r), 0x04050607);
	ck_assert_uint_eq(reader_u64(&r), 0x08090a0b0c0d0e0fu);
	ck_assert(reader_done(&r));
}
END_TEST

START_TEST(reader_fails_on_underrun_and_stays_failed)
{
	static const uint8_t data[] = { 0xff, 0xff, 0xff };
	struct reader r = reader_of(data, sizeof(data));
	uint8_t copy[2] = { 0xaa, 0xaa };

	ck_assert_uint_eq(reader_u32(&r), 0);
	ck_assert(r.failed);
	ck_assert_uint_eq(reader_u8(&r), 0); /* although three bytes were there */
	ck_assert_ptr_null(reader_view(&r, 0));
	reader_bytes(&r, copy, sizeof(copy));
	ck_assert_uint_eq(copy[0] | copy[1], 0);
	ck_assert(!reader_done(&r));
}
END_TEST

START_TEST(reader_with_something_left_over_is_not_done)
{
	struct reader r = reader_of("ab", 2);

	reader_u8(&r);
	ck_assert(!r.failed);
	ck_assert(!reader_done(&r));
	reader_u8(&r);
	ck_assert(reader_done(&r));
}
END_TEST

START_TEST(reader_views_do_not_copy)
{
	static const uint8_t data[] = { 1, 2, 3, 4 };
	struct reader r = reader_of(data, sizeof(data));

	ck_assert_ptr_eq(reader_view(&r, 3), data);
	ck_assert_ptr_eq(reader_view(&r, 1), data + 3);
	ck_assert_ptr_null(reader_view(&r, 1));
	ck_assert(r.failed);
}
END_TEST

START_TEST(reader_of_nothing_is_sound_and_done)
{
	struct reader r = reader_of(NULL, 0);

	ck_assert(reader_done(&r));
	ck_assert_ptr_nonnull(reader_view(&r, 0));
	reader_bytes(&r, NULL, 0);
	ck_assert(reader_done(&r));
	ck_assert_uint_eq(reader_u8(&r), 0);
	ck_assert(r.failed);
}
END_TEST

START_TEST(reader_refuses_lengths_that_would_wrap)
{
	struct reader r = reader_of("abcd", 4);

	reader_u8(&r);
	ck_assert_ptr_null(reader_view(&r, SIZE_MAX));
	ck_assert(r.failed);
}
END_TEST

START_TEST(reader_sized_yields_exactly_the_inner_bytes)
{
	static const uint8_t data[] = { 0, 0, 0, 2, 0xab, 0xcd, 0, 0, 0, 0, 0x77 };
	struct reader r = reader_of(data, sizeof(data));
	struct reader inner = reader_sized(&r);

	ck_assert_uint_eq(reader_u16(&inner), 0xabcd);
	ck_assert(reader_done(&inner));
	inner = reader_sized(&r);
	ck_assert(reader_done(&inner));
	reader_u8(&inner); /* cannot reach past its end */
	ck_assert(inner.failed);
	ck_assert_uint_eq(reader_u8(&r), 0x77);
	ck_assert(reader_done(&r));
}
END_TEST

START_TEST(reader_sized_longer_than_the_data_fails_both_readers)
{
	static const uint8_t sizes[][6] = {
		{ 0, 0, 0, 3, 0xab, 0xcd },
		{ 0xff, 0xff, 0xff, 0xff, 0xab, 0xcd },
	};

	for (size_t i = 0; i < 2; i++) {
		struct reader r = reader_of(sizes[i], sizeof(sizes[i]));
		struct reader inner = reader_sized(&r);

		ck_assert(r.failed);
		ck_assert(inner.failed);
		ck_assert_uint_eq(reader_u8(&inner), 0);
	}
}
END_TEST

START_TEST(reader_sized_without_room_for_its_size_fails)
{
	struct reader r = reader_of("\0\0\0", 3);
	struct reader inner = reader_sized(&r);

	ck_assert(r.failed && inner.failed);
}
END_TEST

START_TEST(writer_produces_what_the_reader_reads)
{
	uint8_t buf[32];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_u8(&w, 0xfe);
	writer_u16(&w, 0xfedc);
	writer_u32(&w, 0xfedcba98);
	writer_u64(&w, 0xfedcba9876543210u);
	writer_sized(&w, "xyz", 3);
	writer_sized(&w, NULL, 0);
	ck_assert(!w.failed);
	ck_assert_uint_eq(w.len, 1 + 2 + 4 + 8 + 4 + 3 + 4);

	struct reader r = reader_of(buf, w.len);
	ck_assert_uint_eq(reader_u8(&r), 0xfe);
	ck_assert_uint_eq(reader_u16(&r), 0xfedc);
	ck_assert_uint_eq(reader_u32(&r), 0xfedcba98);
	ck_assert_uint_eq(reader_u64(&r), 0xfedcba9876543210u);
	struct reader inner = reader_sized(&r);
	ck_assert_mem_eq(inner.pos, "xyz", 3);
	ck_assert_uint_eq(inner.left, 3);
	inner = reader_sized(&r);
	ck_assert(reader_done(&inner) && reader_done(&r));
}
END_TEST

START_TEST(writer_fails_on_overflow_and_drops_what_follows)
{
	uint8_t buf[4] = { 0, 0, 0, 0x55 };
	struct writer w = writer_of(buf, 3);

	writer_u16(&w, 0x0102);
	writer_u16(&w, 0x0304);
	ck_assert(w.failed);
	writer_u8(&w, 0x09); /* would fit, but the structure has a hole already */
	ck_assert(w.failed);
	ck_assert_uint_eq(w.len, 2);
	ck_assert_uint_eq(buf[2], 0);
	ck_assert_uint_eq(buf[3], 0x55);
	ck_assert_ptr_null(writer_reserve(&w, 0));
}
END_TEST

START_TEST(writer_refuses_lengths_that_would_wrap)
{
	uint8_t buf[8];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_u32(&w, 0);
	ck_assert_ptr_null(writer_reserve(&w, SIZE_MAX - 2));
	ck_assert(w.failed);
}
END_TEST

START_TEST(writer_can_be_filled_to_the_last_byte)
{
	uint8_t buf[4];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_u32(&w, 1);
	writer_bytes(&w, NULL, 0);
	ck_assert(!w.failed);
	writer_u8(&w, 1);
	ck_assert(w.failed);
}
END_TEST

START_TEST(writer_of_no_room_takes_nothing)
{
	struct writer w = writer_of(NULL, 0);

	writer_bytes(&w, NULL, 0);
	ck_assert(!w.failed);
	writer_u8(&w, 0);
	ck_assert(w.failed);
}
END_TEST

START_TEST(patch_overwrites_only_what_was_written)
{
	uint8_t buf[16];
	struct writer w = writer_of(buf, sizeof(buf));

	writer_u16(&w, 0xaabb);
	writer_u32(&w, 0);
	writer_u8(&w, 0xcc);
	writer_patch_u32(&w, 2, 0x01020304);
	ck_assert(!w.failed);
	ck_assert_uint_eq(w.len, 7);
	ck_assert_mem_eq(buf, "\xaa\xbb\x01\x02\x03\x04\xcc", 7);
}
END_TEST

START_TEST(patch_past_the_end_fails)
{
	static const size_t offsets[] = { 1, 4, 5, SIZE_MAX };

	for (size_t i = 0; i < 4; i++) {
		uint8_t buf[16] = { 0 };
		struct writer w = writer_of(buf, sizeof(buf));

		writer_u32(&w, 0x11111111);
		writer_patch_u32(&w, offsets[i], 0x22222222);
		ck_assert(w.failed);
		ck_assert_mem_eq(buf, "\x11\x11\x11\x11\0\0\0\0", 8);
	}
}
END_TEST

START_TEST(patch_does_not_repair_a_failed_writer)
{
	uint8_t buf[6] = { 0 };
	struct writer w = writer_of(buf, sizeof(buf));

	writer_u32(&w, 0);
	writer_u32(&w, 0);
	writer_patch_u32(&w, 0, 0x22222222);
	ck_assert(w.failed);
	ck_assert_mem_eq(buf, "\0\0\0\0", 4);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		reader_yields_big_endian_numbers_in_order,
		reader_fails_on_underrun_and_stays_failed,
		reader_with_something_left_over_is_not_done,
		reader_views_do_not_copy,
		reader_of_nothing_is_sound_and_done,
		reader_refuses_lengths_that_would_wrap,
		reader_sized_yields_exactly_the_inner_bytes,
		reader_sized_longer_than_the_data_fails_both_readers,
		reader_sized_without_room_for_its_size_fails,
		writer_produces_what_the_reader_reads,
		writer_fails_on_overflow_and_drops_what_follows,
		writer_refuses_lengths_that_would_wrap,
		writer_can_be_filled_to_the_last_byte,
		writer_of_no_room_takes_nothing,
		patch_overwrites_only_what_was_written,
		patch_past_the_end_fails,
		patch_does_not_repair_a_failed_writer,
		NULL,
	};

	return suite_run("codec", tests, NULL, NULL);
}
