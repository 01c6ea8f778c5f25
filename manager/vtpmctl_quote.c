/*
 * vtpmctl deep-quote, verify-quote: evidence of the physical TPM (vtpm/quote.h), got and checked.
 */
#include <errno.h>
#include <json-c/json.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vtpm/file.h>
#include <vtpm/quote.h>

#include "manager/vtpmctl_common.h"

#define DEFAULT_PCRS "0-15" /* what a host boots from; the others may be reset */

enum {
	NONCE_TEXT = 2 * QUOTE_NONCE_SIZE,
	PCR_TEXT = 2 * QUOTE_PCR_MAX + 1,
};

struct wish {
	const char *file; /* to write; NULL: standard output */
	const char *pcrs;
	const char *key; /* PEM file of the host key that is trusted; NULL: not given */
	bool nonce_given;
	uint8_t nonce[QUOTE_NONCE_SIZE];
	bool json;
};

static bool
parse_nonce(const char *text, uint8_t *nonce)
{
	if (strlen(text) != NONCE_TEXT || strspn(text, "0123456789abcdefABCDEF") != NONCE_TEXT)
		return false;
	for (unsigned i = 0; i < QUOTE_NONCE_SIZE; i++) {
		const char digits[] = { text[2 * i], text[2 * i + 1], '\0' };

		nonce[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return true;
}

static int
parse(struct ctl *ctl, const struct option *options, struct wish *wish)
{
	int key;

	while ((key = getopt_long(ctl->argc, ctl->argv, "", options, NULL)) != -1) {
		switch (key) {
		case 'n':
			wish->nonce_given = parse_nonce(optarg, wish->nonce);
			if (wish->nonce_given)
				break;
			ctl_error(ctl, "a nonce has 40 hexadecimal digits");
			return EXIT_USAGE;
		case 'p':
			wish->pcrs = optarg;
			break;
		case 'o':
			wish->file = optarg;
			break;
		case 'k':
			wish->key = optarg;
			break;
		case 'j':
			wish->json = true;
			break;
		default:
			return ctl_usage(ctl);
		}
	}
	return ctl->argc - optind == 1 ? 0 : ctl_usage(ctl);
}

static int
write_evidence(const struct ctl *ctl, const char *path, const struct reader *evidence)
{
	FILE *file = path ? fopen(path, "we") : stdout;
	bool written = file && fwrite(evidence->pos, 1, evidence->left, file) == evidence->left;

	if (path && file && fclose(file) != 0)
		written = false;
	return written ? 0
		       : ctl_error(ctl, "cannot write %s: %s", path ? path : "the evidence",
				   strerror(errno));
}

int
ctl_deep_quote(struct ctl *ctl)
{
	static const struct option options[] = {
		{ "nonce", required_argument, NULL, 'n' },
		{ "pcrs", required_argument, NULL, 'p' },
		{ "out", required_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 },
	};
	struct wish wish = { .pcrs = DEFAULT_PCRS };
	uint8_t buf[CTL_PARAMS_MAX];
	struct writer params = writer_of(buf, sizeof(buf));
	struct reader answer;
	uint32_t instance;

	int rc = parse(ctl, options, &wish);
	if (rc == 0)
		rc = ctl_instance(ctl, ctl->argv[optind], &instance);
	if (rc != 0)
		return rc;
	if (!wish.nonce_given && RAND_bytes(wish.nonce, sizeof(wish.nonce)) != 1)
		return ctl_error(ctl, "no random bytes for a nonce");
	writer_u32(&params, instance);
	writer_bytes(&params, wish.nonce, sizeof(wish.nonce));
	writer_sized(&params, wish.pcrs, strlen(wish.pcrs));
	if (params.failed)
		return ctl_usage(ctl);
	rc = ctl_call(ctl, VTPM_ORD_DEEP_QUOTE, &params, &answer);
	return rc == 0 ? write_evidence(ctl, wish.file, &answer) : rc;
}

/* The SubjectPublicKeyInfo of a PEM file is that of the evidence. */
static const char *
check_key(const struct quote *quote, const char *path)
{
	FILE *file = fopen(path, "re");
	EVP_PKEY *key = file ? PEM_read_PUBKEY(file, NULL, NULL, NULL) : NULL;
	unsigned char *der = NULL;
	int len = key ? i2d_PUBKEY(key, &der) : -1;
	const char *wrong = NULL;

	if (len < 0)
		wrong = "the file of --key has no public key (PEM)";
	else if ((size_t)len != quote->key.left || memcmp(der, quote->key.pos, (size_t)len) != 0)
		wrong = "it was signed by another host's key";
	OPENSSL_free(der);
	EVP_PKEY_free(key);
	if (file)
		fclose(file);
	return wrong;
}

static const char *
check(const struct quote *quote, const struct wish *wish)
{
	if (wish->nonce_given && memcmp(wish->nonce, quote->nonce, sizeof(quote->nonce)) != 0)
		return "it is about another nonce: not the answer to this challenge";
	const char *wrong = wish->key ? check_key(quote, wish->key) : NULL;
	return wrong ? wrong : quote_check(quote);
}

static char *
hex(const uint8_t *data, size_t len, char *text)
{
	text[0] = '\0';
	for (size_t i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", data[i]);
	return text;
}

static json_object *
hex_json(const struct reader *view)
{
	char *text = malloc(2 * view->left + 1);
	json_object *object =
	    text ? json_object_new_string(hex(view->pos, view->left, text)) : NULL;

	free(text);
	return object;
}

static json_object *
pem_json(const struct reader *der)
{
	const uint8_t *at = der->pos;
	EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)der->left);
	BIO *pem = BIO_new(BIO_s_mem());
	json_object *object = NULL;
	char *text;

	if (key && pem && PEM_write_bio_PUBKEY(pem, key) == 1) {
		int len = (int)BIO_get_mem_data(pem, &text);

		object = json_object_new_string_len(text, len);
	}
	BIO_free(pem);
	EVP_PKEY_free(key);
	return object;
}

static void
print_json(const struct quote *quote, const char *wrong)
{
	json_object *object = json_object_new_object();
	json_object *pcrs = json_object_new_object();
	char uuid[VTPM_UUID_TEXT_SIZE];
	char text[PCR_TEXT];
	char index[4];

	uuid_format(uuid, quote->uuid);
	json_object_object_add(object, "good", json_object_new_boolean(!wrong));
	if (wrong)
		json_object_object_add(object, "why", json_object_new_string(wrong));
	json_object_object_add(object, "uuid", json_object_new_string(uuid));
	json_object_object_add(object, "ek",
			       json_object_new_string(hex(quote->ek, sizeof(quote->ek), text)));
	json_object_object_add(object, "nonce",
			       json_object_new_string(hex(quote->nonce, QUOTE_NONCE_SIZE, text)));
	json_object_object_add(
	    object, "chip", json_object_new_string(quote->chip == QUOTE_CHIP_12 ? "1.2" : "2.0"));
	for (unsigned i = 0; i < QUOTE_PCRS; i++) {
		if (!(quote->pcrs & 1u << i))
			continue;
		snprintf(index, sizeof(index), "%u", i);
		json_object_object_add(
		    pcrs, index,
		    json_object_new_string(hex(quote->values[i], quote->pcr_size, text)));
	}
	json_object_object_add(object, "pcrs", pcrs);
	json_object_object_add(object, "key", pem_json(&quote->key));
	json_object_object_add(object, "statement", hex_json(&quote->statement));
	json_object_object_add(object, "signature", hex_json(&quote->signature));
	puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
							JSON_C_TO_STRING_SPACED |
							JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}

static void
print_lines(const struct quote *quote)
{
	uint8_t fingerprint[SHA256_DIGEST_LENGTH];
	char uuid[VTPM_UUID_TEXT_SIZE];
	char text[PCR_TEXT];

	uuid_format(uuid, quote->uuid);
	SHA256(quote->key.pos, quote->key.left, fingerprint);
	printf("uuid:        %s\n", uuid);
	printf("ek:          %s\n", hex(quote->ek, sizeof(quote->ek), text));
	printf("nonce:       %s\n", hex(quote->nonce, sizeof(quote->nonce), text));
	printf("host key:    %s\n", ctl_hash(fingerprint, text));
	printf("chip:        TPM %s\n", quote->chip == QUOTE_CHIP_12 ? "1.2" : "2.0");
	for (unsigned i = 0; i < QUOTE_PCRS; i++) {
		if (quote->pcrs & 1u << i)
			printf("pcr %-2u:      %s\n", i,
			       hex(quote->values[i], quote->pcr_size, text));
	}
}

int
ctl_verify_quote(struct ctl *ctl)
{
	static const struct option options[] = {
		{ "key", required_argument, NULL, 'k' },
		{ "nonce", required_argument, NULL, 'n' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct wish wish = { 0 };
	struct quote quote;
	uint8_t *data;
	size_t len;

	int rc = parse(ctl, options, &wish);
	if (rc != 0)
		return rc;
	const char *path = ctl->argv[optind];
	rc = file_read(path, QUOTE_EVIDENCE_MAX, &data, &len);
	if (rc < 0)
		return ctl_error(ctl, "cannot read %s: %s", path, strerror(-rc));
	struct reader r = reader_of(data, len);
	if (!quote_read(&r, &quote)) {
		free(data);
		return ctl_error(ctl, "%s is no evidence of a deep quote", path);
	}
	const char *wrong = check(&quote, &wish);
	if (wish.json)
		print_json(&quote, wrong);
	else
		print_lines(&quote);
	if (wrong)
		rc = ctl_error(ctl, "%s is not good: %s", path, wrong);
	else if (!wish.json)
		printf("good%s\n",
		       wish.key ? "" : ", if the host key is one that you trust (--key)");
	free(data);
	return rc;
}
