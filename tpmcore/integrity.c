/* Integrity collection and reporting [TPM Main Part 3, 16]. */
#include "tpmcore/commands.h"

/* Which localities may extend and reset a PCR, by the PC Client specification [TIS 1.21, 7.2]. */
struct pcr_attributes {
	uint8_t extend;
	uint8_t reset;
};

enum { ANY = 0x1f };

static const struct pcr_attributes static_pcr = { .extend = ANY, .reset = 0 };
static const struct pcr_attributes upper_pcr[] = {
	[16 - 16] = { .extend = ANY, .reset = ANY },
	[17 - 16] = { TPM_LOC_TWO | TPM_LOC_THREE | TPM_LOC_FOUR, TPM_LOC_FOUR },
	[18 - 16] = { TPM_LOC_TWO | TPM_LOC_THREE | TPM_LOC_FOUR, TPM_LOC_FOUR },
	[19 - 16] = { TPM_LOC_TWO | TPM_LOC_THREE, TPM_LOC_FOUR },
	[20 - 16] = { TPM_LOC_ONE | TPM_LOC_TWO | TPM_LOC_THREE, TPM_LOC_TWO | TPM_LOC_FOUR },
	[21 - 16] = { TPM_LOC_TWO, TPM_LOC_TWO },
	[22 - 16] = { TPM_LOC_TWO, TPM_LOC_TWO },
	[23 - 16] = { .extend = ANY, .reset = ANY },
};

static struct pcr_attributes
attributes_of(unsigned pcr)
{
	return pcr < 16 ? static_pcr : upper_pcr[pcr - 16];
}

TPM_RESULT
pcr_extend(struct tpm *tpm, unsigned locality, uint32_t pcr, const uint8_t *digest)
{
	if (pcr >= TPM_NUM_PCR)
		return TPM_BADINDEX;
	if (!(attributes_of(pcr).extend >> locality & 1))
		return TPM_BAD_LOCALITY;
	crypto_sha1(tpm->stclear.pcr[pcr],
		    SPANS(SPAN(tpm->stclear.pcr[pcr], DIGEST_SIZE), SPAN(digest, DIGEST_SIZE)));
	return TPM_SUCCESS;
}

void
pcr_extend_response(struct command *c, uint32_t pcr)
{
	static const uint8_t hidden[DIGEST_SIZE];
	bool off = PERMANENT_FLAG(c->tpm, DISABLE) || STCLEAR_FLAG(c->tpm, DEACTIVATED);

	writer_bytes(&c->out, off ? hidden : c->tpm->stclear.pcr[pcr], DIGEST_SIZE);
}

TPM_RESULT
tpm_Extend(struct command *c)
{
	uint32_t pcrNum = reader_u32(&c->in);
	TPM_RESULT rc = pcr_extend(c->tpm, c->locality, pcrNum, reader_view(&c->in, DIGEST_SIZE));

	if (rc == TPM_SUCCESS)
		pcr_extend_response(c, pcrNum);
	return rc;
}

TPM_RESULT
tpm_PcrRead(struct command *c)
{
	uint32_t pcrIndex = reader_u32(&c->in);

	if (pcrIndex >= TPM_NUM_PCR)
		return TPM_BADINDEX;
	writer_bytes(&c->out, c->tpm->stclear.pcr[pcrIndex], DIGEST_SIZE);
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_PCR_Reset(struct command *c)
{
	struct pcr_selection selection;
	TPM_RESULT rc = pcr_selection_read(&c->in, &selection);

	if (rc)
		return rc;
	if (pcr_selection_empty(&selection))
		return TPM_INVALID_PCR_INFO;
	/* All or none: every register is checked before the first is reset. */
	for (unsigned i = 0; i < TPM_NUM_PCR; i++)
		if (pcr_selected(&selection, i) && !attributes_of(i).reset)
			return TPM_NOTRESETABLE;
	for (unsigned i = 0; i < TPM_NUM_PCR; i++)
		if (pcr_selected(&selection, i) && !(attributes_of(i).reset >> c->locality & 1))
			return TPM_NOTLOCAL;
	for (unsigned i = 0; i < TPM_NUM_PCR; i++) {
		bool launch = i >= 17 && i <= 22 && !c->tpm->stany.TOSPresent;

		if (pcr_selected(&selection, i))
			memset(c->tpm->stclear.pcr[i], launch ? 0xff : 0, DIGEST_SIZE);
	}
	return TPM_SUCCESS;
}

static TPM_RESULT
check_quote_key(const struct key *key)
{
	if (!key_signs_digests(key))
		return TPM_INAPPROPRIATE_SIG;
	return key_can_sign(key) ? TPM_SUCCESS : TPM_INVALID_KEYUSAGE;
}

TPM_RESULT
tpm_Quote(struct command *c)
{
	static const uint8_t version_and_fixed[8] = { 1, 1, 0, 0, 'Q', 'U', 'O', 'T' };
	const uint8_t *externalData = reader_view(&c->in, DIGEST_SIZE);
	struct pcr_selection selection;
	uint8_t composite[DIGEST_SIZE], digest[DIGEST_SIZE];
	TPM_RESULT rc = pcr_selection_read(&c->in, &selection);

	if (rc == TPM_SUCCESS)
		rc = check_quote_key(c->key[0]);
	if (rc)
		return rc;
	pcr_composite_digest(c->tpm, &selection, composite);
	crypto_sha1(digest, SPANS(SPAN(version_and_fixed, 8), SPAN(composite, DIGEST_SIZE),
				  SPAN(externalData, DIGEST_SIZE)));
	pcr_composite_write(c->tpm, &selection, &c->out);
	return key_sign_sha1(c, c->key[0], digest);
}

TPM_RESULT
tpm_Quote2(struct command *c)
{
	static const uint8_t tag_and_fixed[6] = { 0, TPM_TAG_QUOTE_INFO2, 'Q', 'U', 'T', '2' };
	const uint8_t *externalData = reader_view(&c->in, DIGEST_SIZE);
	struct pcr_info_short info;
	uint8_t buf[64], version[64], digest[DIGEST_SIZE];
	struct writer info_w = writer_of(buf, sizeof(buf));
	struct writer version_w = writer_of(version, sizeof(version));
	TPM_RESULT rc = pcr_selection_read(&c->in, &info.selection);
	bool addVersion = reader_u8(&c->in);

	if (rc == TPM_SUCCESS)
		rc = check_quote_key(c->key[0]);
	if (rc)
		return rc;
	info.localityAtRelease = (uint8_t)(1 << c->locality);
	pcr_composite_digest(c->tpm, &info.selection, info.digestAtRelease);
	marshal_pcr_info_short(&(struct marshal) { .w = &info_w }, &info);
	if (addVersion)
		version_info_write(&version_w);
	crypto_sha1(digest, SPANS(SPAN(tag_and_fixed, 6), SPAN(externalData, DIGEST_SIZE),
				  SPAN(buf, info_w.len), SPAN(version, version_w.len)));
	writer_bytes(&c->out, buf, info_w.len);
	writer_sized(&c->out, version, version_w.len);
	return key_sign_sha1(c, c->key[0], digest);
}
