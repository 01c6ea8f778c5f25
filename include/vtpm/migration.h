/*
 * migration.h - how a vTPM moves to another host, and the messages of the migration programs.
 *
 * Four parties: the source's manager, vtpm_migrator beside it, vtpm_migratord on the destination,
 * the destination's manager. vtpm_migrator leads; it speaks to its own manager over the console
 * socket, and to vtpm_migratord over an authenticated channel (TLS 1.3, or ssh). vtpm_migratord
 * keeps nothing: it hands the ordinals of a list on to its manager, with the peer's authenticated
 * name behind the parameters. So the two managers are what the protocol runs between, and all that
 * must survive is in their stores.
 *
 *     step      where        ordinal        what is durable when it is answered
 *     key       destination  GET_MIG_KEY
 *               source       LOAD_MIG_KEY   (nothing; a session key, encrypted to the chip there)
 *     offer     destination  OFFER          a place is reserved: INCOMING
 *     prepare   source       MIGRATE_OUT    frozen: OUTGOING, with a new fence number
 *               destination  MIGRATE_IN     a copy that may not run
 *     commit    source       COMMIT         MIGRATED; only now the secret is told
 *     activate  destination  ACTIVATE       runs, given the secret
 *
 * The secret is the source's, known from (uuid, fence) and its root key alone; the envelope carries
 * the SHA-256 of it. A destination cannot run its copy without the secret, and the source does not
 * run any more when it tells it: no moment has two, and none has neither, for until COMMIT the
 * source may take it back alone (ABORT), and after it anybody who repeats COMMIT and ACTIVATE
 * brings it to its end. Every step may be repeated. A destination that holds a copy and hears no
 * more asks the source (RESOLVE), which tells the secret if it has committed, and else aborts for
 * good. A place that was offered and stays empty is given up after a while; an OFFER that is
 * repeated holds it longer.
 *
 * A destination that has lost what it had, or never got it, cannot bring a committed migration to
 * its end. Then it promises never to run that copy (FORGET), durably, and the source takes the vTPM
 * back (UNDO). As it may have run there before, that is for an operator to decide.
 *
 * The guest decides when to commit: it runs on one host at a time, so a command of its for the copy
 * (AWAIT) shows that it runs on the destination, and one for the frozen original that it came back
 * to the source, which then aborts by itself.
 *
 * The fence number of a vTPM grows with each migration. A host takes no copy with a fence that is
 * not above that of what it has had, so an old stream, or an old host, cannot bring back an old
 * state.
 */
#ifndef VTPM_MIGRATION_H
#define VTPM_MIGRATION_H

#include <stdint.h>

enum {
	VTPM_MIGRATION_PORT = 48879,
	VTPM_MIGRATION_TAG_REQ = 0x02c1, /* tag:2, size:4 (all of it), ordinal:4, parameters */
	VTPM_MIGRATION_TAG_RSP = 0x02c4, /* tag:2, size:4, status:4, parameters */
	VTPM_MIGRATION_VERSION = 1,      /* of these messages and of the envelope */
	VTPM_SECRET_SIZE = 32,
};

/*
 * Between the programs only, first on every channel: version:4, sized name of the sender's host ->
 * version:4, sized name. The name counts on a channel that authenticates hosts, not names (ssh).
 * Every other ordinal is one of vtpm/manager.h, its parameters without the peer's name.
 */
#define VTPM_ORD_HELLO 0x00000010

/* State of a vTPM on a host, as QUERY tells it. */
enum vtpm_migration_state {
	VTPM_MIGRATION_NONE,     /* not known here */
	VTPM_MIGRATION_HERE,     /* it lives here */
	VTPM_MIGRATION_OUTGOING, /* frozen here, not committed */
	VTPM_MIGRATION_MIGRATED, /* committed: it has left */
	VTPM_MIGRATION_OFFERED,  /* a place is reserved */
	VTPM_MIGRATION_PREPARED, /* a copy is here that waits for the secret */
};

/*
 * The envelope: version:4, uuid:16, fence:8, sized session key (32 bytes, encrypted to the
 * destination's migration key), nonce:12, tag:16, ciphertext. AES-256-GCM under the session key;
 * what precedes the nonce is the associated data. Inside: the SHA-256 of the secret, the entry of
 * the instance table that moves with it, the domain's name, and the NVM, volatile state included;
 * docs/state-formats.md has the layout.
 */
#define VTPM_ENVELOPE_HEAD_SIZE 28 /* version, uuid, fence: readable by everybody */

#endif
