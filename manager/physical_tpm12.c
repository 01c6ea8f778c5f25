#include "manager/physical_tpm_ops.h"

#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>

#include <vtpm/log.h>

#include "manager/crypt.h"
#include "manager/physical_tpm_anchor.h"
#include "manager/physical_tpm_quote.h"
#include "manager/tpm12_client.h"
#include "manager/tpm12_key.h"

enum { RANDOM_CHUNK = 256 };

/* What a sealed root key is protected by is the chip and its PCRs; a secret would have to lie
 * beside it. */
static const uint8_t no_secret[TPM_DIGEST_SIZE];

static int
tpm12_ping(struct chip *chip)
{
	struct tpm12_call call;

	tpm12_begin(&call, TPM_ORD_GetCapability);
	writer_u32(&call.in, TPM_CAP_PROPERTY);
	writer_u32(&call.in, 4);
	writer_u32(&call.in, TPM_CAP_PROP_MANUFACTURER);
	return tpm12_send(chip, &call);
}

static int
tpm12_is_owned(struct chip *chip, bool *owned)
{
	struct tpm12_call call;

	tpm12_begin(&call, TPM_ORD_GetCapability);
	writer_u32(&call.in, TPM_CAP_PROPERTY);
	writer_u32(&call.in, 4);
	writer_u32(&call.in, TPM_CAP_PROP_OWNER);
	int error = tpm12_send(chip, &call);
	if (error < 0)
		return error;
	struct reader r = reader_sized(&call.out);
	*owned = reader_u8(&r) != 0;
	return tpm12_finish(&call);
}

/*
 * Executes TPM_ReadPubek or TPM_CreateEndorsementKeyPair, whose answers are the same: TPM_PUBKEY
 * and a checksum over it and our nonce.
 */
static int
endorsement_key(struct chip *chip, uint32_t ordinal, struct physical_tpm_public *ek)
{
	struct tpm12_call call;
	uint8_t nonce[TPM_DIGEST_SIZE];
	uint8_t checksum[TPM_DIGEST_SIZE];

	crypt_random(nonce, sizeof(nonce));
	tpm12_begin(&call, ordinal);
	writer_bytes(&call.in, nonce, sizeof(nonce));
	if (ordinal == TPM_ORD_CreateEndorsementKeyPair)
		tpm12_write_key_parms(&call.in, &tpm12_oaep);
	int error = tpm12_send(chip, &call);
	if (error < 0)
		return error;
	const uint8_t *start = call.out.pos;
	bool sound = tpm12_read_key_parms(&call.out, ek) && tpm12_read_modulus(&call.out, ek);
	crypt_sha1(checksum, CRYPT_PARTS({ start, (size_t)(call.out.pos - start) },
					 { nonce, sizeof(nonce) }));
	const uint8_t *theirs = reader_view(&call.out, sizeof(checksum));
	if (!sound || !theirs || memcmp(theirs, checksum, sizeof(checksum)) != 0)
		return physical_tpm_fail(-EPROTO,
					 "the physical TPM's endorsement key does not check");
	ek->scheme = 0;
	return 0;
}

/* A secret for TPM_TakeOwnership, encrypted to the EK. */
static int
write_for_ek(struct writer *w, const struct physical_tpm_public *ek, const uint8_t *secret)
{
	const struct crypt_rsa key = { ek->modulus, ek->modulus_len, ek->exponent };

	writer_u32(w, ek->modulus_len);
	uint8_t *room = writer_reserve(w, ek->modulus_len);
	if (!room || crypt_rsa_oaep(&key, "SHA1", (struct crypt_part) { "TCPA", 4 },
				    (struct crypt_part) { secret, TPM_DIGEST_SIZE }, room) < 0)
		return physical_tpm_fail(-EPROTO,
					 "the physical TPM's endorsement key cannot be used");
	return 0;
}

static int
tpm12_take_ownership(struct chip *chip, const uint8_t *owner_auth)
{
	struct physical_tpm_public ek;
	struct tpm12_session session;
	struct tpm12_call call;
	int error = endorsement_key(chip, TPM_ORD_ReadPubek, &ek);

	if (error == -ENOKEY) {
		log_info("the physical TPM has no endorsement key; making one");
		error = endorsement_key(chip, TPM_ORD_CreateEndorsementKeyPair, &ek);
	}
	if (error == 0)
		error = tpm12_oiap(chip, &session, owner_auth);
	if (error < 0)
		return error;
	tpm12_begin(&call, TPM_ORD_TakeOwnership);
	writer_u16(&call.in, TPM_PID_OWNER);
	error = write_for_ek(&call.in, &ek, owner_auth);
	if (error == 0)
		error = write_for_ek(&call.in, &ek, chip->options->srk_auth);
	tpm12_write_key_template(&call.in, TPM_KEY_STORAGE, &tpm12_oaep);
	call.sessions[call.session_count++] = &session;
	if (error == 0)
		error = tpm12_send(chip, &call);
	tpm12_end(chip, &session);
	return error;
}

static int
tpm12_random(struct chip *chip, uint8_t *out, size_t len)
{
	struct tpm12_call call;

	while (len > 0) {
		tpm12_begin(&call, TPM_ORD_GetRandom);
		writer_u32(&call.in, len < RANDOM_CHUNK ? (uint32_t)len : RANDOM_CHUNK);
		int error = tpm12_send(chip, &call);
		if (error < 0)
			return error;
		struct reader r = reader_sized(&call.out);
		if (r.failed || r.left == 0 || r.left > len)
			return physical_tpm_fail(-EPROTO, "the physical TPM gives no random bytes");
		len -= r.left;
		size_t got = r.left;
		reader_bytes(&r, out, got);
		out += got;
	}
	return 0;
}

static int
tpm12_pcr_read(struct chip *chip, unsigned index, struct physical_tpm_pcr *pcr)
{
	struct tpm12_call call;

	tpm12_begin(&call, TPM_ORD_PcrRead);
	writer_u32(&call.in, index);
	int error = tpm12_send(chip, &call);
	if (error < 0)
		return error;
	pcr->size = TPM_DIGEST_SIZE;
	reader_bytes(&call.out, pcr->value, TPM_DIGEST_SIZE);
	return tpm12_finish(&call);
}

static int
tpm12_pcr_sha1(struct chip *chip, unsigned index, uint8_t *value)
{
	struct physical_tpm_pcr pcr;
	int error = tpm12_pcr_read(chip, index, &pcr);

	if (error == 0)
		memcpy(value, pcr.value, TPM_DIGEST_SIZE);
	return error;
}

/* TPM_PCR_INFO for the present values of pcrs, sized; empty for none [Part 2, 8.3]. */
static int
write_pcr_info(struct chip *chip, struct writer *w, uint32_t pcrs)
{
	uint8_t composite[2 + TPM12_SELECT_SIZE + 4 + PHYSICAL_TPM_PCRS * TPM_DIGEST_SIZE];
	struct writer c = writer_of(composite, sizeof(composite));
	uint8_t digest[TPM_DIGEST_SIZE];
	struct physical_tpm_pcr pcr;

	if (pcrs == 0) {
		writer_u32(w, 0);
		return 0;
	}
	tpm12_write_pcr_selection(&c, pcrs);
	writer_u32(&c, (uint32_t)__builtin_popcount(pcrs) * TPM_DIGEST_SIZE);
	for (unsigned i = 0; i < PHYSICAL_TPM_PCRS; i++) {
		if (!(pcrs & 1u << i))
			continue;
		int error = tpm12_pcr_read(chip, i, &pcr);
		if (error < 0)
			return error;
		writer_bytes(&c, pcr.value, TPM_DIGEST_SIZE);
	}
	crypt_sha1(digest, CRYPT_PARTS({ composite, c.len }));
	writer_u32(w, 2 + TPM12_SELECT_SIZE + 2 * TPM_DIGEST_SIZE);
	tpm12_write_pcr_selection(w, pcrs);
	writer_bytes(w, digest, sizeof(digest));    /* digestAtRelease */
	writer_bytes(w, no_secret, sizeof(digest)); /* digestAtCreation: the TPM fills it in */
	return 0;
}

/* Takes what is left of an answer as a blob. */
static int
take_blob(struct tpm12_call *call, struct physical_tpm_blob *blob)
{
	blob->len = call->out.left;
	if (blob->len > sizeof(blob->data))
		return -EMSGSIZE;
	reader_bytes(&call->out, blob->data, blob->len);
	return tpm12_finish(call);
}

static int
tpm12_seal(struct chip *chip, const uint8_t *secret, size_t len, uint32_t pcrs,
	   struct physical_tpm_blob *blob)
{
	struct tpm12_session session;
	struct tpm12_call call;
	uint8_t auth[TPM_DIGEST_SIZE];
	int error = tpm12_osap(chip, &session, TPM_ET_SRK, TPM_KH_SRK, chip->options->srk_auth);

	if (error < 0)
		return error;
	tpm12_begin(&call, TPM_ORD_Seal);
	call.handles[call.handle_count++] = TPM_KH_SRK;
	call.sessions[call.session_count++] = &session;
	tpm12_encrypt_auth(&session, no_secret, auth);
	writer_bytes(&call.in, auth, sizeof(auth));
	error = write_pcr_info(chip, &call.in, pcrs);
	writer_sized(&call.in, secret, len);
	if (error == 0)
		error = tpm12_send(chip, &call);
	if (error == 0)
		error = take_blob(&call, blob);
	tpm12_end(chip, &session);
	return error;
}

/* Copies a sized secret out of an answer and wipes it there. */
static int
take_secret(struct tpm12_call *call, uint8_t *out, size_t *len)
{
	struct reader r = reader_sized(&call->out);

	*len = r.left;
	if (r.failed || r.left > PHYSICAL_TPM_SECRET_MAX)
		return physical_tpm_fail(-EPROTO, "the physical TPM's answer is too long");
	reader_bytes(&r, out, r.left);
	OPENSSL_cleanse(call->response, sizeof(call->response));
	return 0;
}

static int
tpm12_unseal(struct chip *chip, const struct physical_tpm_blob *blob, uint8_t *out, size_t *len)
{
	struct tpm12_session parent = { 0 };
	struct tpm12_session data = { 0 };
	struct tpm12_call call;
	int error = tpm12_oiap(chip, &parent, chip->options->srk_auth);

	if (error == 0)
		error = tpm12_oiap(chip, &data, no_secret);
	if (error == 0) {
		tpm12_begin(&call, TPM_ORD_Unseal);
		call.handles[call.handle_count++] = TPM_KH_SRK;
		call.sessions[call.session_count++] = &parent;
		call.sessions[call.session_count++] = &data;
		writer_bytes(&call.in, blob->data, blob->len);
		error = tpm12_send(chip, &call);
	}
	if (error == 0)
		error = take_secret(&call, out, len);
	tpm12_end(chip, &parent);
	tpm12_end(chip, &data);
	return error;
}

static int
tpm12_key_create(struct chip *chip, const uint8_t *auth, struct physical_tpm_blob *key,
		 struct physical_tpm_public *pub)
{
	struct tpm12_session session;
	struct tpm12_call call;
	uint8_t hidden[TPM_DIGEST_SIZE];
	int error = tpm12_osap(chip, &session, TPM_ET_SRK, TPM_KH_SRK, chip->options->srk_auth);

	if (error < 0)
		return error;
	tpm12_begin(&call, TPM_ORD_CreateWrapKey);
	call.handles[call.handle_count++] = TPM_KH_SRK;
	call.sessions[call.session_count++] = &session;
	tpm12_encrypt_auth(&session, auth, hidden);
	writer_bytes(&call.in, hidden, sizeof(hidden));    /* dataUsageAuth */
	writer_bytes(&call.in, no_secret, sizeof(hidden)); /* dataMigrationAuth: not migratable */
	tpm12_write_key_template(&call.in, TPM_KEY_BIND, &tpm12_oaep);
	error = tpm12_send(chip, &call);
	if (error == 0)
		error = take_blob(&call, key);
	tpm12_end(chip, &session);
	if (error < 0)
		return error;
	struct reader r = reader_of(key->data, key->len);
	if (!tpm12_read_key(&r, pub))
		return physical_tpm_fail(-EPROTO, "the physical TPM makes strange keys");
	pub->scheme = PHYSICAL_TPM_SCHEME_BIND12;
	return 0;
}

static int
tpm12_key_decrypt(struct chip *chip, const struct physical_tpm_blob *key, const uint8_t *auth,
		  const uint8_t *data, size_t data_len, uint8_t *out, size_t *len)
{
	struct tpm12_session session;
	struct tpm12_call call;
	uint32_t handle;
	int error = tpm12_load_key(chip, key, &handle);

	if (error < 0)
		return error;
	error = tpm12_oiap(chip, &session, auth);
	if (error == 0) {
		tpm12_begin(&call, TPM_ORD_UnBind);
		call.handles[call.handle_count++] = handle;
		call.sessions[call.session_count++] = &session;
		writer_sized(&call.in, data, data_len);
		error = tpm12_send(chip, &call);
		/* Whatever the TPM dislikes about the data: it is not for this key. */
		if (error == -EIO)
			error = -EKEYREJECTED;
	}
	if (error == 0)
		error = take_secret(&call, out, len);
	tpm12_flush(chip, handle, TPM_RT_KEY);
	return error;
}

static bool
tpm12_may_pass(uint16_t tag, uint32_t ordinal)
{
	static const uint32_t harmless[] = {
		TPM_ORD_PcrRead,   TPM_ORD_GetRandom, TPM_ORD_GetCapability,
		TPM_ORD_ReadPubek, TPM_ORD_GetTicks,  TPM_ORD_ReadCounter,
	};

	for (size_t i = 0; tag == TPM_TAG_RQU_COMMAND && i < sizeof(harmless) / sizeof(*harmless);
	     i++) {
		if (harmless[i] == ordinal)
			return true;
	}
	return false;
}

const struct physical_tpm_ops physical_tpm12 = {
	.version = 12,
	.ping = tpm12_ping,
	.is_owned = tpm12_is_owned,
	.take_ownership = tpm12_take_ownership,
	.random = tpm12_random,
	.pcr_read = tpm12_pcr_read,
	.pcr_sha1 = tpm12_pcr_sha1,
	.seal = tpm12_seal,
	.unseal = tpm12_unseal,
	.key_create = tpm12_key_create,
	.key_decrypt = tpm12_key_decrypt,
	.identity_create = tpm12_identity_create,
	.quote = tpm12_quote,
	.anchor_define = tpm12_anchor_define,
	.anchor_undefine = tpm12_anchor_undefine,
	.anchor_read = tpm12_anchor_read,
	.anchor_increment = tpm12_anchor_increment,
	.may_pass = tpm12_may_pass,
};
