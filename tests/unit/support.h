/*
 * support.h - a TPM on the bench, and the software that uses it.
 *
 * The client side of TPM 1.2 for unit tests: it builds commands, keeps authorization sessions,
 * encrypts AuthData and checks every response (its form, its HMACs) by itself, with reference.h
 * and nothing of tpmcore/ but tpm.h. What must not happen fails the running test; what a test may
 * want to see happen is returned as the TPM's result code.
 *
 *	struct tpm *tpm = test_owned_tpm();
 *	struct blob key;
 *	uint32_t handle;
 *
 *	test_create_key(tpm, &test_signing_key, &key);
 *	test_load_key(tpm, &key, &handle);
 *	ck_assert_uint_eq(test_sign(tpm, handle, wrong_auth, "digest", 20, &sig), TPM_AUTHFAIL);
 *	tpm_free(tpm);
 */
#ifndef TESTS_UNIT_SUPPORT_H
#define TESTS_UNIT_SUPPORT_H

#include "tests/unit/reference.h"
#include "tests/unit/suite.h"

#include <tpmcore/tpm.h>
#include <vtpm/codec.h>

/* ---- The bench ---- */

/* The platform of all test TPMs. test_tpm resets it. */
extern struct bench {
	bool physical_presence; /* the pin; at first false */
	uint64_t now;           /* the clock, microseconds; stands still unless moved */
	unsigned cancel_after; /* cancel the next command at that poll; 0: at each, and again to its
				  end */
	bool random_fails;
	unsigned locality; /* of the commands that follow */
	unsigned changed;  /* what the last command changed: enum tpm_change flags */
} bench;

/*
 * test_suite: main of a test program on test TPMs: makes the keys that all tests share, then runs
 * the tests (a list that ends with NULL).
 */
int test_suite(const char *name, const TTest *const tests[]);

/*
 * test_blank_tpm: as tpm_new makes it, started. test_tpm: with an endorsement key. test_owned_tpm:
 * with an owner too (owner_auth, srk_auth). All are started with ST_CLEAR; to be freed with
 * tpm_free.
 */
struct tpm *test_blank_tpm(void);
struct tpm *test_tpm(void);
struct tpm *test_owned_tpm(void);

/* test_reboot: TPM_Init and TPM_Startup(ST_CLEAR), which must succeed. */
void test_reboot(struct tpm *tpm);

/* AuthData of the owner, the SRK, keys, sealed data and NV areas made here; all differ. */
extern const uint8_t owner_auth[], srk_auth[], key_auth[], migration_auth[], data_auth[], nv_auth[];
extern const uint8_t wrong_auth[]; /* nobody's */

/* Bytes that came from a TPM. */
struct blob {
	size_t len;
	uint8_t data[TPM_BUFFER_SIZE];
};

/* ---- Sessions ---- */

/* One side of an authorization session. */
struct test_session {
	uint32_t handle; /* 0 once it is closed */
	uint8_t encryption;
	uint8_t secret[TPM_DIGEST_SIZE]; /* OIAP: the entity's AuthData; OSAP: the shared secret */
	uint8_t nonceEven[TPM_DIGEST_SIZE];
	uint8_t nonceOdd[TPM_DIGEST_SIZE]; /* of the next command */
	bool close;                        /* continueAuthSession is FALSE in the next command */
};

/* test_oiap: a session for the entity with this AuthData, for one command unless close is reset. */
TPM_RESULT test_oiap(struct tpm *tpm, struct test_session *s, const uint8_t *auth);
/* test_osap: the same bound to an entity; type may have TPM_ET_AES << 8 added. */
TPM_RESULT test_osap(struct tpm *tpm, struct test_session *s, uint16_t type, uint32_t value,
		     const uint8_t *auth);
/* test_osap_key: test_osap for the key of a handle, TPM_KH_SRK included; must succeed. */
void test_osap_key(struct tpm *tpm, struct test_session *s, uint32_t key, const uint8_t *auth);
/*
 * test_encrypt_auth: ADIP. AuthData as the next command of the session carries it: the first value
 * of a command is encrypted with nonceEven, a second one (second) with nonceOdd.
 */
void test_encrypt_auth(const struct test_session *s, bool second, const uint8_t *auth,
		       uint8_t *encrypted);

/* ---- Commands ---- */

/* A command to be sent and its response. Lives in one place: it points into itself. */
struct call {
	struct tpm *tpm;
	uint32_t ordinal;
	uint32_t handles[2];
	unsigned handle_count;
	struct writer params; /* what comes behind the handles; the test writes it */
	struct test_session *sessions[2];
	unsigned session_count;
	uint32_t handle;   /* of a response that begins with one */
	struct reader out; /* the response's parameters behind that, when it succeeded */
	uint8_t buf[TPM_BUFFER_SIZE], command[2 * TPM_BUFFER_SIZE], response[TPM_BUFFER_SIZE];
};

/* call_begin: a command; then come call_handle, writes to params, call_session, and call_run. */
void call_begin(struct call *c, struct tpm *tpm, uint32_t ordinal);
void call_handle(struct call *c, uint32_t handle);
/* call_session: authorizes by s, which is used up unless s->close is false. */
void call_session(struct call *c, struct test_session *s);
/*
 * call_begin_oiap: call_begin, authorized by the entity with this AuthData (NULL: by none).
 * call_begin_osap: the same with OSAP for the key of a handle, and call_handle of it.
 * call_new_auth: writes AuthData as test_encrypt_auth for the command's first session makes it.
 */
void call_begin_oiap(struct call *c, struct test_session *s, struct tpm *tpm, uint32_t ordinal,
		     const uint8_t *auth);
void call_begin_osap(struct call *c, struct test_session *s, struct tpm *tpm, uint32_t ordinal,
		     uint32_t key, const uint8_t *auth);
void call_new_auth(struct call *c, bool second, const uint8_t *auth);
/*
 * call_run: sends it at bench.locality and returns its result. Fails the test for a response of a
 * wrong form or with a wrong HMAC; keeps the sessions' nonces.
 */
TPM_RESULT call_run(struct call *c);
/* call_build: only makes c->command, for tests that send a changed one. Returns its length. */
size_t call_build(struct call *c);
/* call_run_into: call_run takes a sized value off the response. call_run_all: all parameters. */
TPM_RESULT call_run_into(struct call *c, struct blob *out);
TPM_RESULT call_run_all(struct call *c, struct blob *out);

/* test_send: any bytes. The response must be well formed; returns its result. */
TPM_RESULT test_send(struct tpm *tpm, const void *command, size_t len, struct blob *response);

/* test_plain: a command without parameters. test_plain_u8, _u16 and _u32: with one number. */
TPM_RESULT test_plain(struct tpm *tpm, uint32_t ordinal);
TPM_RESULT test_plain_u8(struct tpm *tpm, uint32_t ordinal, uint8_t value);
TPM_RESULT test_plain_u16(struct tpm *tpm, uint32_t ordinal, uint16_t value);
TPM_RESULT test_plain_u32(struct tpm *tpm, uint32_t ordinal, uint32_t value);
/* test_owner: a command without parameters, authorized by the owner. */
TPM_RESULT test_owner(struct tpm *tpm, uint32_t ordinal, const uint8_t *auth);

/* ---- The commands that most tests need: one function each (support_commands.c) ---- */

/* What a new key shall be; the key's own AuthData is key_auth, for migration migration_auth. */
struct key_template {
	uint16_t usage;
	uint32_t flags;
	uint8_t authDataUsage;
	uint16_t encScheme;
	uint16_t sigScheme;
	uint32_t bits;
	uint32_t exponent; /* 0: left out, which stands for 65537 */
	bool key12;
	const struct blob *pcr_info; /* NULL: bound to none */
};
extern const struct key_template test_srk_key, test_storage_key, test_signing_key, test_bind_key,
    test_identity_key;
void write_key_template(struct writer *w, const struct key_template *t);

/* test_key_public, test_pubkey_public: the public key in a TPM_KEY, TPM_KEY12 or TPM_PUBKEY. To be
 * freed with EVP_PKEY_free. */
EVP_PKEY *test_key_public(const struct blob *key);
EVP_PKEY *test_pubkey_public(const struct blob *pubkey);

/* test_srk_public: that of the SRK, by the owner's leave. */
EVP_PKEY *test_srk_public(struct tpm *tpm);

TPM_RESULT test_startup(struct tpm *tpm, uint16_t type);
/* test_read_pubek: TPM_PUBKEY; its checksum must be right. */
TPM_RESULT test_read_pubek(struct tpm *tpm, struct blob *pubkey);
TPM_RESULT test_take_ownership(struct tpm *tpm, const struct key_template *srk);

/* test_create_key: a TPM_KEY below parent; test_load_key: its handle. _under: below another key
 * than the SRK. */
TPM_RESULT test_create_key(struct tpm *tpm, const struct key_template *t, struct blob *key);
TPM_RESULT test_load_key(struct tpm *tpm, const struct blob *key, uint32_t *handle);
TPM_RESULT test_create_key_under(struct tpm *tpm, uint32_t parent, const uint8_t *parent_auth,
				 const struct key_template *t, struct blob *key);
TPM_RESULT test_load_key_under(struct tpm *tpm, uint32_t parent, const uint8_t *parent_auth,
			       const struct blob *key, uint32_t *handle);
/* test_make_key: creates a key below the SRK and loads it, which must succeed. key may be NULL. */
uint32_t test_make_key(struct tpm *tpm, const struct key_template *t, struct blob *key);
/*
 * test_make_identity: TPM_MakeIdentity with key_auth for the label test_privacy_ca, authorized by
 * these AuthData of SRK and owner; adip is TPM_ET_XOR or TPM_ET_AES. key: the TPM_KEY; binding: the
 * signature.
 */
extern const uint8_t test_privacy_ca[];
TPM_RESULT test_make_identity(struct tpm *tpm, const struct key_template *t, uint16_t adip,
			      const uint8_t *srk, const uint8_t *owner, struct blob *key,
			      struct blob *binding);
TPM_RESULT test_flush(struct tpm *tpm, uint32_t handle, uint32_t resource_type);

/* test_seal: under the SRK, with data_auth; pcr_info NULL: bound to none. sealed: TPM_STORED_DATA.
 */
TPM_RESULT test_seal(struct tpm *tpm, const struct blob *pcr_info, const void *data, size_t len,
		     struct blob *sealed);
TPM_RESULT test_unseal(struct tpm *tpm, const struct blob *sealed, const uint8_t *auth,
		       struct blob *data);
TPM_RESULT test_sign(struct tpm *tpm, uint32_t key, const uint8_t *auth, const void *data,
		     size_t len, struct blob *signature);

/*
 * test_sign_in: TPM_Sign of some digest, in a session. test_assert_signs: that the key of a handle
 * is the private half of key. test_oiap_open: a session that stays open after each use.
 */
TPM_RESULT test_sign_in(struct tpm *tpm, uint32_t key, struct test_session *s);
void test_assert_signs(struct tpm *tpm, uint32_t handle, const struct blob *key);
struct test_session test_oiap_open(struct tpm *tpm, const uint8_t *auth);

/* write_pcr_selection: TPM_PCR_SELECTION of 3 bytes; bit i of pcrs stands for PCR i. */
void write_pcr_selection(struct writer *w, uint32_t pcrs);
/* test_pcr_info: TPM_PCR_INFO that wants the current values of pcrs. */
void test_pcr_info(struct tpm *tpm, uint32_t pcrs, struct blob *info);
/*
 * test_composite_digest: SHA-1 of the TPM_PCR_COMPOSITE of pcrs with their current values.
 * test_pcr_info_long: TPM_PCR_INFO_LONG that wants the current values of pcrs and one of the
 * localities of a mask; creation pcrs are those of creation.
 */
void test_composite_digest(struct tpm *tpm, uint32_t pcrs, uint8_t *digest);
void test_pcr_info_long(struct tpm *tpm, uint32_t creation, uint32_t pcrs, uint8_t localities,
			struct blob *info);
/*
 * test_quote: of pcrs, over 20 bytes of external data. composite: TPM_PCR_COMPOSITE.
 * test_verify_quote: whether the signature is key's over composite and external.
 */
TPM_RESULT test_quote(struct tpm *tpm, uint32_t key, const uint8_t *auth, const uint8_t *external,
		      uint32_t pcrs, struct blob *composite, struct blob *signature);
bool test_verify_quote(EVP_PKEY *key, const uint8_t *external, const struct blob *composite,
		       const struct blob *signature);

TPM_RESULT test_extend(struct tpm *tpm, uint32_t pcr, const uint8_t *digest, uint8_t *value);
TPM_RESULT test_pcr_read(struct tpm *tpm, uint32_t pcr, uint8_t *value);

/* test_get_capability: sub_len bytes of sub-capability. _u32: a numeric one and answer; must
 * succeed. */
TPM_RESULT test_get_capability(struct tpm *tpm, uint32_t area, const void *sub, size_t sub_len,
			       struct blob *answer);
uint32_t test_get_capability_u32(struct tpm *tpm, uint32_t area, uint32_t sub);
/* test_flag: a TPM_PF_* or TPM_SF_* flag; flags is TPM_CAP_FLAG_PERMANENT or _VOLATILE. */
bool test_flag(struct tpm *tpm, uint32_t flags, unsigned flag);

/*
 * NV storage (support_nv.c). test_nv_define: with nv_auth, bound to no PCRs; by the owner, or
 * plainly where owner is NULL. write_nv_public: its TPM_NV_DATA_PUBLIC. test_nv_write,
 * test_nv_read: by the owner, or plainly where owner is NULL; _auth: by the area's AuthData.
 */
void write_nv_public(struct writer *w, uint32_t index, uint32_t attributes, uint32_t size);
TPM_RESULT test_nv_define(struct tpm *tpm, const uint8_t *owner, uint32_t index,
			  uint32_t attributes, uint32_t size);
/* test_nv_lock: what manufacturing ends with; only then do the attributes of areas hold. */
void test_nv_lock(struct tpm *tpm);
TPM_RESULT test_nv_write(struct tpm *tpm, const uint8_t *owner, uint32_t index, uint32_t offset,
			 const void *data, size_t len);
TPM_RESULT test_nv_read(struct tpm *tpm, const uint8_t *owner, uint32_t index, uint32_t offset,
			uint32_t len, struct blob *data);
TPM_RESULT test_nv_write_auth(struct tpm *tpm, const uint8_t *auth, uint32_t index, uint32_t offset,
			      const void *data, size_t len);
TPM_RESULT test_nv_read_auth(struct tpm *tpm, const uint8_t *auth, uint32_t index, uint32_t offset,
			     uint32_t len, struct blob *data);

#endif
