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

	/* From the migration programs. */
	VTPM_ORD_GET_MIG_KEY = 0x00000004,  /* - -> sized exponent, sized modulus */
	VTPM_ORD_LOAD_MIG_KEY = 0x00000005, /* sized name, sized exponent, sized modulus -> - */

	/* Privileged, the original's. */
	VTPM_ORD_OPEN =
	    0x01000001, /* migration type:1, startup mode:1, domain type:1, instance:4 -> - */
	VTPM_ORD_CLOSE = 0x01000002,      /* instance:4 -> - */
	VTPM_ORD_DELETE = 0x01000003,     /* instance:4 -> - */
	VTPM_ORD_MIGRATE_IN = 0x01000004, /* instance:4, sized enveloped state -> - */
	VTPM_ORD_MIGRATE_OUT =
	    0x01000005, /* instance:4, sized destination name -> enveloped state */
};

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
 * Descriptors that the manager hands to an instance, by the LISTEN_FDS / LISTEN_FDNAMES convention
 * of sd_listen_fds(3): listening sockets of an HVM instance, and the memory in which it keeps its
 * journal.
 */
#define VTPM_FDNAME_IOEMU   "ioemu"
#define VTPM_FDNAME_CTRL    "ctrl"
#define VTPM_FDNAME_JOURNAL "journal"

#endif
