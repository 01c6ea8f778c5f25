/*
 * manager.h - the messages of vtpm_managerd: with its instances and with privileged tools.
 *
 * Big-endian. A request is
 *     instance:4, tag:2 = VTPM_TAG_REQ, size:4 (header 10 + parameters, without instance),
 * ordinal:4, parameters and a response is instance:4, tag:2 = VTPM_TAG_RSP, size:4, status:4,
 * parameters. Instance 0 is the control instance, dom0's own tools. The original echoed
 * VTPM_TAG_REQ in its responses; readers accept either, writers send VTPM_TAG_RSP. A "sized"
 * parameter is size:4 and that many bytes.
 *
 * TPM traffic (back-end stream, TPM pipes, ioemu socket) is a TPM command or response with
 * instance:4 in front; the size in the TPM header does not count those 4 bytes.
 */
#ifndef VTPM_MANAGER_H
#define VTPM_MANAGER_H

enum {
	VTPM_TAG_REQ = 0x01c1,
	VTPM_TAG_RSP = 0x01c4,
	VTPM_INSTANCE_SIZE = 4,         /* the instance number in front of every message */
	VTPM_HEADER_SIZE = 10,          /* tag, size, ordinal or status */
	VTPM_MESSAGE_MAX = 1024 * 1024, /* a longer message is refused unread */
	VTPM_CONTROL_INSTANCE = 0,
};

/* Ordinals. Those with VTPM_PRIV are refused (VTPM_UNSUPPORTED) on any channel but the console's.
 */
enum {
	VTPM_PRIV = 0x01000000,

	/* From an instance, about itself. */
	VTPM_ORD_SAVENVM = 0x00000001,    /* NVM bytes (the rest of the message) -> - */
	VTPM_ORD_LOADNVM = 0x00000002,    /* - -> NVM bytes; none for a new TPM */
	VTPM_ORD_TPMCOMMAND = 0x00000003, /* a command for the physical TPM -> its response */
	VTPM_ORD_READY = 0x00000006,      /* - -> -; sent once, when it begins to serve */
	VTPM_ORD_HOST_PCRS = 0x00000007,  /* - -> count:4, count * {index:4, value:20}: what its
					     PCRs begin with at the next boot; others as usual */
	VTPM_ORD_CERTIFY_EK = 0x00000008, /* TPM_PUBKEY of the endorsement key -> its certificate
					     (DER); nothing if this host certifies none */
	VTPM_ORD_QUOTE = 0x00000009,      /* PCRs:4 (bit n: PCR n), nonce:20, SHA-256 of the EK's
					     TPM_PUBKEY:32 -> evidence (vtpm/quote.h) */

	/*
	 * Of the migration programs; privileged. vtpm/migration.h says how they play together.
	 * Those marked (peer) come from another host: vtpm_migratord appends its authenticated
	 * name, sized; without a name they are this host's own.
	 */
	VTPM_ORD_GET_MIG_KEY = 0x00000004, /* (peer) - -> sized exponent, sized modulus, scheme:1 */
	VTPM_ORD_LOAD_MIG_KEY = 0x00000005, /* sized destination, sized exponent, sized modulus,
					       scheme:1 (missing: TPM 1.2's) -> session key,
					       encrypted to it (the rest) */

	/* Privileged, the original's. */
	VTPM_ORD_OPEN =
	    0x01000001, /* migration type:1, startup mode:1, domain type:1, instance:4 -> - */
	VTPM_ORD_CLOSE = 0x01000002,       /* instance:4 -> - */
	VTPM_ORD_DELETE = 0x01000003,      /* instance:4 -> - */
	VTPM_ORD_MIGRATE_IN = 0x01000004,  /* (peer) instance:4, sized envelope -> - */
	VTPM_ORD_MIGRATE_OUT = 0x01000005, /* instance:4, sized destination, maybe sized domain name
					      -> envelope (the rest) */

	/*
	 * Privileged, our own. Those that name one instance do so in their first parameter; 0 means
	 * all of them where that makes sense.
	 */
	VTPM_ORD_DEFINE = 0x01001000, /* domain type:1, migration type:1, instance:4 (0 = lowest
					 free), uuid:16, and maybe a sized list of the host's PCRs
					 that its own begin with -> instance:4. The same uuid always
					 leads to the same instance; the list changes its list. */
	VTPM_ORD_FIND = 0x01001001,   /* uuid:16 -> instance:4 */
	VTPM_ORD_LIST = 0x01001002,   /* instance:4 -> records (vtpm/info.h) of the instances with
					 greater numbers, in order; none left = none there */
	VTPM_ORD_SHOW = 0x01001003,   /* instance:4 -> one record */
	VTPM_ORD_STATUS = 0x01001004, /* - -> the manager's properties (vtpm/info.h) */
	VTPM_ORD_VERIFY = 0x01001005, /* instance:4 or 0 -> count:4, count * {instance:4, status:4,
					 sized text} of what is wrong in the store */
	VTPM_ORD_CLEAR = 0x01001006,  /* instance:4 -> -. tpm_clear by the host's operator */
	VTPM_ORD_PRESENCE = 0x01001007, /* instance:4, on:1 -> -. The physical presence pin */
	VTPM_ORD_SUSPEND = 0x01001008,  /* instance:4 -> -. CLOSE that keeps the volatile state, for
					   OPEN with VTPM_STARTUP_SAVE */
	VTPM_ORD_RESEAL = 0x01001009,  /* sized list of PCRs, as "0,2,4,7" or "none" -> -. Seals the
					  root key to their present values */
	VTPM_ORD_RECOVER = 0x0100100a, /* instance:4 -> -. Accepts the NVM file of one that is
					  refused */
	VTPM_ORD_ROLLBACK = 0x0100100b,   /* instance:4, on:1 -> -. Its QEMU may once set an older
					     state */
	VTPM_ORD_DEEP_QUOTE = 0x0100100c, /* instance:4, nonce:20, sized list of PCRs -> evidence
					     (vtpm/quote.h) of the running instance */

	/* Of the migration programs, our own. */
	VTPM_ORD_COMMIT = 0x01002000, /* instance:4, fence:8 -> secret:32 */
	VTPM_ORD_ABORT = 0x01002001,  /* instance:4, fence:8 -> -. It runs here again; refused
					 (VTPM_FORBIDDEN) once committed */
	VTPM_ORD_UNDO = 0x01002002,   /* instance:4, fence:8 -> -. Takes a commit back: only after
					 the destination has answered FORGET */
	VTPM_ORD_LEFT = 0x01002003,   /* instance:4, sized destination -> -. Its guest has migrated
					 there, and its QEMU has taken the state along. Refused
					 while it runs. */
	VTPM_ORD_OFFER = 0x01002010,  /* (peer) uuid:16, fence:8, domain type:1, sized domain name,
					 sized session key -> instance:4 */
	VTPM_ORD_AWAIT = 0x01002011,  /* (peer) uuid:16, fence:8, milliseconds:4 -> needed:1. At
					 once when a guest sends it commands, else when the time
					 is over */
	VTPM_ORD_ACTIVATE = 0x01002012, /* (peer) uuid:16, fence:8, secret:32 -> - */
	VTPM_ORD_FORGET = 0x01002013,  /* (peer) uuid:16, fence:8, committed:1 -> -. Drops place and
					  copy, and promises never to run that one; refused if it
					  runs. If committed, the promise is noted even if this host
					  knows nothing of it: the secret may be abroad. */
	VTPM_ORD_QUERY = 0x01002014,   /* (peer) uuid:16 -> enum vtpm_migration_state:1, fence:8,
					  sized name of the other host, time:8 */
	VTPM_ORD_RESOLVE = 0x01002015, /* (peer) uuid:16, fence:8 -> secret:32 if committed; else
					  aborts and answers VTPM_FORBIDDEN */
	VTPM_ORD_HOST_QUOTE = 0x01002016, /* (peer) PCRs:4 (bit n: PCR n), nonce:20 -> evidence
					     (vtpm/quote.h) with a uuid of zeros, and in the place
					     of the EK's digest that of GET_MIG_KEY's answer */

	/*
	 * From the manager to an instance, over the pipe of its TPM commands. tag and size lie
	 * where a TPM command has them, so one codec frames both; a bare TPM command (instance:4 in
	 * front) is taken as well, at locality 0, and answered bare. The responses come over the
	 * pipe of the TPM responses, in the order of the requests.
	 */
	VTPM_TO_INSTANCE = 0x02000000,
	VTPM_ORD_EXECUTE =
	    0x02000001,                       /* sequence:8, locality:1, TPM command (the rest)
						 -> sequence:8, TPM response. Sequence numbers count up
						 from 1. The number answered last, sent again, means that
						 its answer was lost: it is repeated, not executed again. */
	VTPM_ORD_SET_PRESENCE = 0x02000002,   /* on:1 -> - */
	VTPM_ORD_CLEAR_TPM = 0x02000003,      /* - -> -; durable when answered */
	VTPM_ORD_KEEP_VOLATILE = 0x02000004,  /* - -> -; from now on no command is executed
						 (EXECUTE: VTPM_FORBIDDEN). The volatile state is
						 part of the NVM (SAVENVM) when answered; startup
						 mode save takes it up. */
	VTPM_ORD_GET_QUOTE = 0x02000005,      /* PCRs:4, nonce:20 -> evidence: as the guest's own
						 VTPM_TPM_ORD_DEEP_QUOTE */
	VTPM_ORD_ALLOW_ROLLBACK = 0x02000006, /* on:1 -> - */
};

/*
 * A TPM command for the guest that vtpmd itself answers: TPM_VENDOR_COMMAND | TPM_ORD_Quote.
 * tag 0x00c1, size:4, ordinal:4, nonce:20, TPM_PCR_SELECTION of the host's PCRs -> tag 0x00c4,
 * size:4, result:4, sized evidence (vtpm/quote.h). A TPM that stands alone does not know it.
 */
enum { VTPM_TPM_ORD_DEEP_QUOTE = 0x20000016 };

/* The parameter of a response with another status than success may be a text for people. */
enum vtpm_status {
	VTPM_SUCCESS = 0,
	VTPM_FAIL = 1,
	VTPM_UNSUPPORTED = 2,
	VTPM_FORBIDDEN = 3,
	VTPM_RESTORE_CONTEXT_FAILED = 4,
	VTPM_INVALID_REQUEST = 5,
};

/* Migration type of an instance. */
enum {
	VTPM_TYPE_NON_MIGRATABLE = 0,
	VTPM_TYPE_MIGRATABLE = 1,
	VTPM_TYPE_MIGRATED = 0xff, /* migrated away: may only be recovered or deleted */
};

/* Startup mode of OPEN; the values are TPM_Startup's startupType. */
enum {
	VTPM_STARTUP_CLEAR = 1,
	VTPM_STARTUP_SAVE = 2,
	VTPM_STARTUP_DEACTIVATED = 3,
};

/* Domain type of OPEN. */
enum {
	VTPM_DOMAIN_PVM = 1,
	VTPM_DOMAIN_HVM = 2,
};

/*
 * Names below the run folder. %u is the instance number. Each side creates a pipe that is missing
 * (mode 0600) and opens it read/write, so that no peer's death is an end of file and none's absence
 * blocks an open.
 */
#define VTPM_PATH_TPM_CMD      "fifos/tpm_cmd_to_%u.fifo"   /* manager -> instance: TPM commands */
#define VTPM_PATH_TPM_RSP      "fifos/tpm_rsp_from_%u.fifo" /* instance -> manager: TPM responses */
#define VTPM_PATH_VTPM_CMD     "fifos/vtpm_cmd_from_%u.fifo" /* instance -> manager: its requests */
#define VTPM_PATH_VTPM_RSP     "fifos/vtpm_rsp_to_%u.fifo"   /* manager -> instance: the answers */
#define VTPM_PATH_IOEMU        "socks/%u.socket"             /* HVM: ioemu framing */
#define VTPM_PATH_CTRL         "socks/%u.ctrl"               /* HVM: QEMU's control protocol */
#define VTPM_PATH_FROM_CONSOLE "fifos/from_console.fifo"
#define VTPM_PATH_TO_CONSOLE   "fifos/to_console.fifo"
#define VTPM_PATH_DUMMY_IN     "fifos/dummy_in.fifo"
#define VTPM_PATH_DUMMY_OUT    "fifos/dummy_out.fifo"
#define VTPM_PATH_MANAGER      "socks/manager.socket"

/*
 * Signals to an instance. SIGTERM: finish the command in flight, exit 0. SIGHUP: the manager is a
 * new one; open the pipes anew, repeat the unanswered request and the response not yet taken.
 * SIGUSR1: cancel the command being executed; none: ignored.
 */
#define VTPM_SIGNAL_CLOSE  SIGTERM
#define VTPM_SIGNAL_REOPEN SIGHUP
#define VTPM_SIGNAL_CANCEL SIGUSR1

/*
 * Descriptors that the manager hands to an instance, by the LISTEN_FDS / LISTEN_FDNAMES convention
 * of sd_listen_fds(3): listening sockets of an HVM instance, and the memory in which it keeps its
 * journal.
 */
#define VTPM_FDNAME_IOEMU   "ioemu"
#define VTPM_FDNAME_CTRL    "ctrl"
#define VTPM_FDNAME_JOURNAL "journal"
/* A pair of connected sockets, SOCK_SEQPACKET, in which an HVM instance holds its client. */
#define VTPM_FDNAME_HELD_IN  "held-in"
#define VTPM_FDNAME_HELD_OUT "held-out"

#endif
