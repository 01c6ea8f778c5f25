/* Evidence of deep quotes: what is hostile in it. That good evidence is good is shown with chips,
 * in tests/system/test_attestation.py. */
#include <string.h>

#include <vtpm/quote.h>

#include "tests/unit/suite.h"

static uint8_t evidence[QUOTE_EVIDENCE_MAX];

static struct reader
view(const char *text)
{
	return reader_of((const uint8_t *)text, strlen(text));
}

/* Evidence in which nothing is signed. */
static struct writer
compose(uint16_t chip, uint32_t pcrs, uint16_t pcr_size)
{
	const struct quote quote = {
		.chip = chip,
		.uuid = { 1 },
		.ek = { 2 },
		.nonce = { 3 },
		.pcrs = pcrs,
		.pcr_size = pcr_size,
		.values = { [7] = { 4 } },
		.key = view("key"),
		.statement = view("statement"),
		.signature = view("signature"),
	};
	struct writer w = writer_of(evidence, sizeof(evidence));

	quote_write(&w, &quote);
	ck_assert(!w.failed);
	return w;
}

static bool
reads(size_t len, struct quote *quote)
{
	struct reader r = reader_of(evidence, len);

	return quote_read(&r, quote);
}

START_TEST(what_was_written_is_read)
{
	struct writer w = compose(QUOTE_CHIP_20, 1 << 7 | 1, 32);
	struct quote quote;

	ck_assert(reads(w.len, &quote));
	ck_assert_uint_eq(quote.chip, QUOTE_CHIP_20);
	ck_assert_uint_eq(quote.pcrs, 0x81);
	ck_assert_int_eq(quote.uuid[0] + quote.ek[0] + quote.nonce[0] + quote.values[7][0], 10);
	ck_assert_mem_eq(quote.statement.pos, "statement", 9);
}
END_TEST

START_TEST(cut_and_longer_evidence_is_refused)
{
	struct writer w = compose(QUOTE_CHIP_12, 0xffffff, 20);
	struct quote quote;

	for (size_t len = 0; len < w.len; len++)
		ck_assert(!reads(len, &quote));
	ck_assert(!reads(w.len + 1, &quote));
	ck_assert(reads(w.len, &quote));
}
END_TEST

START_TEST(impossible_evidence_is_refused)
{
	struct quote quote;

	ck_assert(!reads(compose(0x0300, 1, 20).len, &quote));
	ck_assert(!reads(compose(QUOTE_CHIP_12, 0, 20).len, &quote));
	ck_assert(!reads(compose(QUOTE_CHIP_12, 1 << 24, 20).len, &quote));
	ck_assert(!reads(compose(QUOTE_CHIP_20, 1, 30).len, &quote));
	struct writer w = compose(QUOTE_CHIP_12, 1, 20);
	evidence[5]++; /* version */
	ck_assert(!reads(w.len, &quote));
}
END_TEST

START_TEST(what_nobody_signed_is_not_good)
{
	struct quote quote;

	ck_assert(reads(compose(QUOTE_CHIP_12, 1, 20).len, &quote));
	ck_assert_ptr_nonnull(strstr(quote_check(&quote), "signature"));
}
END_TEST

START_TEST(vtpm_key_and_nonce_are_all_bound)
{
	struct quote quote;
	uint8_t binding[QUOTE_BINDING_MAX];
	uint8_t other[QUOTE_BINDING_MAX];
	uint8_t *const fields[] = { quote.uuid, quote.ek, quote.nonce };

	ck_assert(reads(compose(QUOTE_CHIP_20, 1, 32).len, &quote));
	ck_assert_uint_eq(quote_binding(&quote, binding), 32);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		fields[i][0] ^= 1;
		quote_binding(&quote, other);
		ck_assert_mem_ne(binding, other, sizeof(binding));
		fields[i][0] ^= 1;
	}
	quote.chip = QUOTE_CHIP_12;
	ck_assert_uint_eq(quote_binding(&quote, binding), 20);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		what_was_written_is_read,         cut_and_longer_evidence_is_refused,
		impossible_evidence_is_refused,   what_nobody_signed_is_not_good,
		vtpm_key_and_nonce_are_all_bound, NULL,
	};

	return suite_run("quote", tests, NULL, NULL);
}
