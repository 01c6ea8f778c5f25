#include "tpmcore/core.h"

void
pcr_composite_write(const struct tpm *tpm, const struct pcr_selection *s, struct writer *w)
{
	struct pcr_selection copy = *s;

	marshal_pcr_selection(&(struct marshal) { .w = w }, &copy);
	size_t size_at = w->len;
	writer_u32(w, 0);
	for (unsigned i = 0; i < TPM_NUM_PCR; i++)
		if (pcr_selected(s, i))
			writer_bytes(w, tpm->stclear.pcr[i], DIGEST_SIZE);
	writer_patch_u32(w, size_at, (uint32_t)(w->len - size_at - 4));
}

void
pcr_composite_digest(const struct tpm *tpm, const struct pcr_selection *s, uint8_t *digest)
{
	uint8_t buf[2 + PCR_SELECT_MAX + 4 + TPM_NUM_PCR * DIGEST_SIZE];
	struct writer w = writer_of(buf, sizeof(buf));

	if (pcr_selection_empty(s)) {
		memset(digest, 0, DIGEST_SIZE); /* [Part 2, 5.4.1] */
		return;
	}
	pcr_composite_write(tpm, s, &w);
	crypto_sha1(digest, SPANS(SPAN(buf, w.len)));
}

TPM_RESULT
pcr_check_release(const struct command *c, const struct pcr_selection *s, const uint8_t *digest,
		  uint8_t locality_mask)
{
	uint8_t now[DIGEST_SIZE];

	if (!pcr_selection_empty(s)) {
		pcr_composite_digest(c->tpm, s, now);
		if (!crypto_equal(now, digest, DIGEST_SIZE))
			return TPM_WRONGPCRVAL;
	}
	return locality_mask >> c->locality & 1 ? TPM_SUCCESS : TPM_BAD_LOCALITY;
}

TPM_RESULT
pcr_check_info(const struct command *c, const struct pcr_info *info)
{
	if (info->form == PCR_INFO_NONE)
		return TPM_SUCCESS;
	return pcr_check_release(c, &info->release, info->digestAtRelease, info->localityAtRelease);
}

TPM_RESULT
pcr_check_info_short(const struct command *c, const struct pcr_info_short *info)
{
	return pcr_check_release(c, &info->selection, info->digestAtRelease,
				 info->localityAtRelease);
}

void
pcr_info_at_creation(const struct command *c, struct pcr_info *info)
{
	if (info->form == PCR_INFO_NONE)
		return;
	pcr_composite_digest(c->tpm, &info->creation, info->digestAtCreation);
	info->localityAtCreation = (uint8_t)(1 << c->locality);
}

void
pcr_manufacture(struct tpm *tpm)
{
	/* PC Client: the registers of the dynamic launch start at ff [TIS 1.21, 7.2]. */
	memset(tpm->boot_pcr, 0, sizeof(tpm->boot_pcr));
	memset(tpm->boot_pcr[17], 0xff, 6 * DIGEST_SIZE);
}

void
tpm_boot_pcr(struct tpm *tpm, unsigned index, const uint8_t *value)
{
	memcpy(tpm->boot_pcr[index], value, DIGEST_SIZE);
}

void
pcr_startup_state(struct tpm *tpm)
{
	memcpy(tpm->stclear.pcr[16], tpm->boot_pcr[16], 8 * DIGEST_SIZE);
}

void
pcr_startup_clear(struct tpm *tpm)
{
	memcpy(tpm->stclear.pcr, tpm->boot_pcr, sizeof(tpm->stclear.pcr));
}
