/*
 * migration.h - keys on their way from one TPM to another: what key migration, certified migration
 * and maintenance share [TPM Main Part 3, 11 and 12].
 */
#ifndef TPMCORE_MIGRATION_H
#define TPMCORE_MIGRATION_H

#include "tpmcore/core.h"

/* TPM_STORE_ASYMKEY [Part 2, 10.6] of a key whose public half is not at hand. To be wiped. */
struct private_area {
	uint8_t payload;
	uint8_t usageAuth[DIGEST_SIZE];
	uint8_t migrationAuth[DIGEST_SIZE];
	uint8_t pubDataDigest[DIGEST_SIZE];
	uint8_t privKey[4 + CRYPTO_RSA_MAX / 2]; /* TPM_STORE_PRIVKEY, its size included */
	size_t privKey_len;
};

/*
 * private_area_open: decrypts the encData of a key below parent. private_area_close: encrypts it
 * for parent, to the response. TPM_DECRYPT_ERROR, TPM_INVALID_STRUCTURE; TPM_ENCRYPT_ERROR.
 */
TPM_RESULT private_area_open(const struct tpm *tpm, struct private_area *a,
			     const struct key *parent, struct reader encData);
TPM_RESULT private_area_close(struct command *c, const struct private_area *a,
			      const struct key *parent);

/* A private area ready to travel. To be wiped. */
struct packed {
	uint8_t random[CRYPTO_RSA_MAX]; /* size bytes */
	size_t size;
	uint8_t enc[CRYPTO_RSA_MAX]; /* len bytes */
	size_t len;
};

/*
 * migration_pack: TPM_MIGRATE_ASYMKEY [Part 2, 10.8] of a in an OAEP encoding with pHash whose seed
 * is the other part of the private key, XORed with random bytes, encrypted for destination. The
 * random bytes are those of the TPM or, given mask_seed (AuthData), MGF1 of that.
 */
TPM_RESULT migration_pack(struct tpm *tpm, const struct private_area *a, uint8_t payload,
			  const uint8_t *pHash, const uint8_t *mask_seed,
			  const struct key *destination, struct packed *p);
/* migration_reply: the random bytes and the rest, each sized, as response. */
void migration_reply(struct command *c, const struct packed *p);

/*
 * migration_unpack: the reverse; pHash is left in migrationAuth. TPM_DECRYPT_ERROR,
 * TPM_BAD_PARAMETER for random bytes of another size, TPM_BAD_MIGRATION for another payload.
 */
TPM_RESULT migration_unpack(const struct tpm *tpm, struct private_area *a, const struct key *parent,
			    struct reader inData, struct reader random, uint8_t payload);

/*
 * migration_key_read: a TPM_MIGRATIONKEYAUTH [Part 2, 5.12] that the owner authorized; TPM_AUTHFAIL
 * if not so.
 */
TPM_RESULT migration_key_read(struct command *c, struct key *migrationKey, uint16_t *scheme);

#endif
