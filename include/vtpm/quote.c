#include <vtpm/quote.h>

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

static const uint8_t magic[] = { 'v', 'T', 'D', 'Q' };
static const char purpose[] = "VTPM deep quote 1";

enum {
	VERSION = 1,
	SHA1_SIZE = 20,
	SHA256_SIZE = 32,
	QUOTE_INFO_HEAD = 8,
	ATTEST_MAGIC = 0xff544347, /* TPM_GENERATED_VALUE */
	ATTEST_QUOTE = 0x8018,     /* TPM_ST_ATTEST_QUOTE */
	ALG_SHA1 = 4,
	ALG_SHA256 = 11,
	CLOCK_AND_FIRMWARE = 8 + 4 + 4 + 1 + 8, /* TPMS_CLOCK_INFO, firmwareVersion */
};

bool
quote_read(struct reader *r, struct quote *quote)
{
	memset(quote, 0, sizeof(*quote));
	const uint8_t *head = reader_view(r, sizeof(magic));
	if (!head || memcmp(head, magic, sizeof(magic)) != 0 || reader_u16(r) != VERSION)
		return false;
	quote->chip = reader_u16(r);
	reader_bytes(r, quote->uuid, sizeof(quote->uuid));
	reader_bytes(r, quote->ek, sizeof(quote->ek));
	reader_bytes(r, quote->nonce, sizeof(quote->nonce));
	quote->pcrs = reader_u32(r);
	quote->pcr_size = reader_u16(r);
	if (quote->pcr_size != SHA1_SIZE && quote->pcr_size != SHA256_SIZE)
		return false;
	for (unsigned i = 0; i < QUOTE_PCRS; i++) {
		if (quote->pcrs & 1u << i)
			reader_bytes(r, quote->values[i], quote->pcr_size);
	}
	quote->key = reader_sized(r);
	quote->statement = reader_sized(r);
	quote->signature = reader_sized(r);
	return reader_done(r) && quote->pcrs != 0 && quote->pcrs >> QUOTE_PCRS == 0 &&
	       (quote->chip == QUOTE_CHIP_12 || quote->chip == QUOTE_CHIP_20);
}

void
quote_write(struct writer *w, const struct quote *quote)
{
	const struct reader *parts[] = { &quote->key, &quote->statement, &quote->signature };

	writer_bytes(w, magic, sizeof(magic));
	writer_u16(w, VERSION);
	writer_u16(w, quote->chip);
	writer_bytes(w, quote->uuid, sizeof(quote->uuid));
	writer_bytes(w, quote->ek, sizeof(quote->ek));
	writer_bytes(w, quote->nonce, sizeof(quote->nonce));
	writer_u32(w, quote->pcrs);
	writer_u16(w, quote->pcr_size);
	for (unsigned i = 0; i < QUOTE_PCRS; i++) {
		if (quote->pcrs & 1u << i)
			writer_bytes(w, quote->values[i], quote->pcr_size);
	}
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		writer_sized(w, parts[i]->pos, parts[i]->left);
}

static const EVP_MD *
chip_hash(const struct quote *quote)
{
	return quote->chip == QUOTE_CHIP_12 ? EVP_sha1() : EVP_sha256();
}

static size_t
hash(const struct quote *quote, const void *data, size_t len, uint8_t *out)
{
	unsigned size;

	/* Hashing fails for lack of memory only. */
	if (EVP_Digest(data, len, out, &size, chip_hash(quote), NULL) != 1)
		abort();
	return size;
}

size_t
quote_binding(const struct quote *quote, uint8_t binding[QUOTE_BINDING_MAX])
{
	uint8_t text[sizeof(purpose) - 1 + VTPM_UUID_SIZE + VTPM_HASH_SIZE + QUOTE_NONCE_SIZE];
	struct writer w = writer_of(text, sizeof(text));

	writer_bytes(&w, purpose, strlen(purpose));
	writer_bytes(&w, quote->uuid, sizeof(quote->uuid));
	writer_bytes(&w, quote->ek, sizeof(quote->ek));
	writer_bytes(&w, quote->nonce, sizeof(quote->nonce));
	return hash(quote, text, w.len, binding);
}

/* The digest of the PCRs as a TPM 1.2 takes it: over TPM_PCR_COMPOSITE; as a 2.0: the values. */
static size_t
pcr_digest(const struct quote *quote, uint8_t *digest)
{
	uint8_t values[2 + QUOTE_PCRS / 8 + 4 + QUOTE_PCRS * QUOTE_PCR_MAX];
	struct writer w = writer_of(values, sizeof(values));

	if (quote->chip == QUOTE_CHIP_12) {
		writer_u16(&w, QUOTE_PCRS / 8);
		for (unsigned i = 0; i < QUOTE_PCRS / 8; i++)
			writer_u8(&w, (uint8_t)(quote->pcrs >> (8 * i)));
		writer_u32(&w, (uint32_t)__builtin_popcount(quote->pcrs) * quote->pcr_size);
	}
	for (unsigned i = 0; i < QUOTE_PCRS; i++) {
		if (quote->pcrs & 1u << i)
			writer_bytes(&w, quote->values[i], quote->pcr_size);
	}
	return hash(quote, values, w.len, digest);
}

static bool
matches(struct reader *r, const uint8_t *expected, size_t len)
{
	const uint8_t *there = reader_view(r, len);

	return there && memcmp(there, expected, len) == 0;
}

static bool
sized16_matches(struct reader *r, const uint8_t *expected, size_t len)
{
	return reader_u16(r) == len && matches(r, expected, len);
}

/* TPM_QUOTE_INFO [TPM 1.2 Main Part 2, 11.3]. */
static const char *
check_quote_info(const struct quote *quote)
{
	static const uint8_t head[QUOTE_INFO_HEAD] = { 1, 1, 0, 0, 'Q', 'U', 'O', 'T' };
	struct reader r = quote->statement;
	uint8_t digest[EVP_MAX_MD_SIZE];

	if (!matches(&r, head, sizeof(head)))
		return "what is signed is not a quote";
	if (quote->pcr_size != SHA1_SIZE || !matches(&r, digest, pcr_digest(quote, digest)))
		return "what is signed is about other PCR values";
	if (!matches(&r, digest, quote_binding(quote, digest)) || !reader_done(&r))
		return "what is signed is about another vTPM or another nonce";
	return NULL;
}

/* The one selection of a TPML_PCR_SELECTION [TPM 2.0 Part 2, 10.9.7]. */
static bool
read_selection(struct reader *r, const struct quote *quote)
{
	uint32_t count = reader_u32(r);
	uint16_t bank = reader_u16(r);
	unsigned size = reader_u8(r);
	uint32_t pcrs = 0;

	for (unsigned i = 0; i < size; i++)
		pcrs |= i < 4 ? (uint32_t)reader_u8(r) << (8 * i) : reader_u8(r);
	return count == 1 && pcrs == quote->pcrs &&
	       bank == (quote->pcr_size == SHA1_SIZE ? ALG_SHA1 : ALG_SHA256);
}

/* TPMS_ATTEST [TPM 2.0 Part 2, 10.12.8]. */
static const char *
check_attest(const struct quote *quote)
{
	struct reader r = quote->statement;
	uint8_t digest[EVP_MAX_MD_SIZE];

	if (reader_u32(&r) != ATTEST_MAGIC || reader_u16(&r) != ATTEST_QUOTE)
		return "what is signed is not a quote";
	reader_view(&r, reader_u16(&r)); /* qualifiedSigner */
	if (!sized16_matches(&r, digest, quote_binding(quote, digest)))
		return "what is signed is about another vTPM or another nonce";
	reader_view(&r, CLOCK_AND_FIRMWARE);
	if (!read_selection(&r, quote) || !sized16_matches(&r, digest, pcr_digest(quote, digest)) ||
	    !reader_done(&r))
		return "what is signed is about other PCR values";
	return NULL;
}

static bool
signature_good(const struct quote *quote)
{
	const uint8_t *der = quote->key.pos;
	EVP_PKEY *key = d2i_PUBKEY(NULL, &der, (long)quote->key.left);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = key && ctx && EVP_PKEY_is_a(key, "RSA") &&
		    der == quote->key.pos + quote->key.left &&
		    EVP_DigestVerifyInit(ctx, NULL, chip_hash(quote), NULL, key) == 1 &&
		    EVP_DigestVerify(ctx, quote->signature.pos, quote->signature.left,
				     quote->statement.pos, quote->statement.left) == 1;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return good;
}

const char *
quote_check(const struct quote *quote)
{
	if (!signature_good(quote))
		return "the signature is not of the host key that is named";
	return quote->chip == QUOTE_CHIP_12 ? check_quote_info(quote) : check_attest(quote);
}
