/*
 * structures.h - the structures of TPM Main Part 2 that commands carry, parsed and written.
 *
 * Small structures of one layout have one description for both directions (marshal_*): a struct
 * marshal holds either a reader or a writer. Readers of the others return a result code; a short
 * buffer shows in the reader itself.
 */
#ifndef TPMCORE_STRUCTURES_H
#define TPMCORE_STRUCTURES_H

#include <vtpm/codec.h>
#include <vtpm/tpm12.h>

#include "tpmcore/crypto.h"

struct marshal {
	struct reader *r; /* set: read into the fields */
	struct writer *w; /* set: write the fields */
};

void marshal_bool(struct marshal *m, bool *v); /* one byte; anything but 0 reads as true */
void marshal_u8(struct marshal *m, uint8_t *v);
void marshal_u16(struct marshal *m, uint16_t *v);
void marshal_u32(struct marshal *m, uint32_t *v);
void marshal_u64(struct marshal *m, uint64_t *v);
void marshal_bytes(struct marshal *m, void *v, size_t len);
/* marshal_tag: a constant; when read, another value fails the reader. */
void marshal_tag(struct marshal *m, uint16_t tag);

enum { PCR_SELECT_MAX = TPM_NUM_PCR / 8 };

/* TPM_PCR_SELECTION [Part 2, 8.1]. A size over PCR_SELECT_MAX fails the reader. */
struct pcr_selection {
	uint16_t size;
	uint8_t select[PCR_SELECT_MAX];
};
void marshal_pcr_selection(struct marshal *m, struct pcr_selection *s);
bool pcr_selected(const struct pcr_selection *s, unsigned pcr);
bool pcr_selection_empty(const struct pcr_selection *s);

/* pcr_selection_read: the same with the result code: TPM_INVALID_PCR_INFO for a size over the
 * maximum. */
TPM_RESULT pcr_selection_read(struct reader *r, struct pcr_selection *s);

/* locality_selection_valid: at least one locality, and none that does not exist [Part 2, 8.6]. */
bool locality_selection_valid(uint8_t localities);

/* TPM_PCR_INFO_SHORT [Part 2, 8.5]. */
struct pcr_info_short {
	struct pcr_selection selection;
	uint8_t localityAtRelease;
	uint8_t digestAtRelease[TPM_DIGEST_SIZE];
};
void marshal_pcr_info_short(struct marshal *m, struct pcr_info_short *info);

/* TPM_PCR_INFO and TPM_PCR_INFO_LONG [Part 2, 8.3 and 8.4], or nothing. */
enum pcr_info_form { PCR_INFO_NONE, PCR_INFO_11, PCR_INFO_LONG };
struct pcr_info {
	uint8_t form; /* enum pcr_info_form */
	uint8_t localityAtCreation;
	uint8_t localityAtRelease;
	struct pcr_selection creation; /* of a PCR_INFO_11 the same as release */
	struct pcr_selection release;
	uint8_t digestAtCreation[TPM_DIGEST_SIZE];
	uint8_t digestAtRelease[TPM_DIGEST_SIZE];
};

/*
 * pcr_info_read: all of r, which holds the contents of a sized field; empty is PCR_INFO_NONE.
 * long_form says which of the two is expected. TPM_INVALID_PCR_INFO when it is not one, or has a
 * locality selection that is none.
 */
TPM_RESULT pcr_info_read(struct reader *r, bool long_form, struct pcr_info *info);
void pcr_info_write(struct writer *w, const struct pcr_info *info);

/* TPM_KEY_PARMS with TPM_RSA_KEY_PARMS or TPM_SYMMETRIC_KEY_PARMS [Part 2, 10.1]. */
struct key_parms {
	uint32_t algorithmID;
	uint16_t encScheme;
	uint16_t sigScheme;
	uint32_t keyLength; /* bits */
	uint32_t numPrimes;
	uint32_t exponent;     /* 65537 when the structure leaves it out */
	uint8_t exponent_size; /* bytes it had there; 0: left out */
};
/* TPM_BAD_KEY_PROPERTY for RSA parameters that no key of ours can have; symmetric ones are skipped.
 */
TPM_RESULT key_parms_read(struct reader *r, struct key_parms *parms);
void key_parms_write(struct writer *w, const struct key_parms *parms);

/*
 * TPM_KEY and TPM_KEY12 [Part 2, 10.2 and 10.3], together with the private half, TPM_STORE_ASYMKEY
 * [Part 2, 10.6], once it is known.
 */
struct key {
	bool key12;     /* TPM_KEY12, else TPM_KEY */
	uint8_t ver[4]; /* of a TPM_KEY */
	uint16_t keyUsage;
	uint32_t keyFlags;
	uint8_t authDataUsage;
	struct key_parms parms;
	struct pcr_info pcr;
	struct rsa_key rsa; /* n_len 0: pubKey is empty, as in a template */

	uint8_t payload; /* TPM_PT_*; of the private half, like all below */
	uint8_t usageAuth[TPM_DIGEST_SIZE];
	uint8_t migrationAuth[TPM_DIGEST_SIZE]; /* tpmProof of a key that does not migrate */
};

/*
 * key_read: a TPM_KEY or TPM_KEY12; *enc_data becomes a view of its encData. TPM_BAD_VERSION for
 * neither, TPM_INVALID_PCR_INFO, TPM_BAD_KEY_PROPERTY. key_write writes one
 * with enc_data as encData (len 0: empty).
 */
TPM_RESULT key_read(struct reader *r, struct key *key, struct reader *enc_data);
void key_write(struct writer *w, const struct key *key, const void *enc_data, size_t len);
/* key_public_digest: pubDataDigest, SHA-1 of the TPM_KEY without encSize and encData. */
void key_public_digest(const struct key *key, uint8_t *digest);

/*
 * key_pubkey_write: the key as TPM_PUBKEY [Part 2, 10.5]. key_pubkey_digest: SHA-1 of that.
 * key_store_pubkey_digest: SHA-1 of TPM_STORE_PUBKEY [Part 2, 10.4], which is only the modulus.
 */
void key_pubkey_write(struct writer *w, const struct key *key);
void key_pubkey_digest(const struct key *key, uint8_t *digest);
void key_store_pubkey_digest(const struct key *key, uint8_t *digest);
/* pubkey_read: a TPM_PUBKEY of RSA into the public members of key. TPM_BAD_KEY_PROPERTY for
 * another. */
TPM_RESULT pubkey_read(struct reader *r, struct key *key);

/*
 * key_store_write: TPM_STORE_ASYMKEY of key, to be encrypted. key_store_read: takes it apart into
 * key's private half and checks it against the public one. TPM_INVALID_STRUCTURE,
 * TPM_DECRYPT_ERROR.
 */
void key_store_write(struct writer *w, const struct key *key);
TPM_RESULT key_store_read(struct reader *r, struct key *key, const struct cancel *cancel);

/* TPM_SEALED_DATA [Part 2, 9.3]. data is a view. */
struct sealed_data {
	uint8_t payload; /* TPM_PT_SEAL */
	uint8_t authData[TPM_DIGEST_SIZE];
	uint8_t tpmProof[TPM_DIGEST_SIZE];
	uint8_t storedDigest[TPM_DIGEST_SIZE]; /* of the TPM_STORED_DATA without encData */
	struct reader data;
};
void sealed_data_read(struct reader *r, struct sealed_data *sealed);
void sealed_data_write(struct writer *w, const struct sealed_data *sealed);

/* TPM_NV_DATA_PUBLIC [Part 2, 19.3]. */
struct nv_public {
	uint32_t nvIndex;
	struct pcr_info_short read;
	struct pcr_info_short write;
	uint32_t attributes;
	bool bReadSTClear;
	bool bWriteSTClear;
	bool bWriteDefine;
	uint32_t dataSize;
};
void marshal_nv_public(struct marshal *m, struct nv_public *pub);

/* TPM_DELEGATE_PUBLIC [Part 2, 20.8], permissions included. */
struct delegate_public {
	uint8_t rowLabel;
	struct pcr_info_short pcr;
	uint32_t delegateType;
	uint32_t per1;
	uint32_t per2;
	uint32_t familyID;
	uint32_t verificationCount;
};
void marshal_delegate_public(struct marshal *m, struct delegate_public *pub);

/* TPM_FAMILY_TABLE_ENTRY [Part 2, 20.5]. */
struct family {
	bool valid;
	uint8_t label;
	uint32_t familyID;
	uint32_t verificationCount;
	uint32_t flags;
};
void marshal_family(struct marshal *m, struct family *f);

#endif
