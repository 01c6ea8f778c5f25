/*
 * info.h - what the manager tells about itself and its instances (VTPM_ORD_LIST, _SHOW, _STATUS).
 */
#ifndef VTPM_INFO_H
#define VTPM_INFO_H

#include <stdbool.h>
#include <stdint.h>

#include <vtpm/codec.h>

enum {
	VTPM_UUID_SIZE = 16,
	VTPM_UUID_TEXT_SIZE = 37, /* 36 characters and NUL */
	VTPM_HASH_SIZE = 32,      /* SHA-256 */
};

/* What an instance is doing. */
enum info_state {
	INFO_CLOSED,    /* not running; its next OPEN starts it */
	INFO_SUSPENDED, /* not running, its volatile state is kept for OPEN with startup save */
	INFO_LISTENING, /* HVM: not running, the first connection starts it */
	INFO_STARTING,  /* running, not yet serving */
	INFO_RUNNING,
	INFO_CLOSING,
	INFO_RESTARTING, /* died; waits for its restart */
	INFO_REFUSED,    /* its stored state is damaged or not its own; see why */
	INFO_MIGRATED,   /* lives on another host now */
	INFO_OUTGOING,   /* frozen, on its way to another host */
	INFO_INCOMING,   /* a place for one that comes from another host, or its copy */
};

/*
 * One instance. On the wire: a sized record, so that later versions may append: instance:4,
 * uuid:16, domain type:1, migration type:1, startup mode:1, state:1, pid:4, restarts:4, commands:8,
 * opened:8, generation:8, NVM size:4, program:32, sized why, host's PCRs:4.
 */
struct info {
	uint32_t instance;
	uint8_t uuid[VTPM_UUID_SIZE];
	uint8_t domain_type; /* VTPM_DOMAIN_... */
	uint8_t migration;   /* VTPM_TYPE_... */
	uint8_t startup;     /* VTPM_STARTUP_... of the last OPEN */
	enum info_state state;
	uint32_t pid;        /* 0 if it is not running */
	uint32_t restarts;   /* since it was opened */
	uint64_t commands;   /* TPM commands answered for back-ends since it was opened */
	uint64_t opened;     /* seconds since 1970; 0 if it is not open */
	uint64_t generation; /* of the stored NVM; 0 if there is none yet */
	uint32_t nvm_size;   /* bytes of NVM */
	uint8_t program[VTPM_HASH_SIZE]; /* SHA-256 of the program that was started; zeros: none */
	char why[256];                   /* what is wrong with it, for people; may be empty */
	uint32_t host_pcrs;              /* that its own begin with: bit n is PCR n */
};

void info_write(struct writer *w, const struct info *info);

/* info_read: the reader is failed if there was no sound record. */
void info_read(struct reader *r, struct info *info);

/* info_state_name: "running" and so on; "unknown" for a state of a later version. */
const char *info_state_name(enum info_state state);

/* Names of the numbers of vtpm/manager.h, "unknown" for others: "pvm", "migratable", "clear". */
const char *info_domain_name(unsigned domain_type);
const char *info_migration_name(unsigned migration);
const char *info_startup_name(unsigned startup);

/* The number to a name of info_domain_name or info_startup_name; 0 if there is none. */
uint8_t info_domain_number(const char *name);
uint8_t info_startup_number(const char *name);

/*
 * A property of the manager: sized name, sized text. Text that consists of digits is a number.
 * property_read copies at most sizes - 1 bytes and a NUL; longer ones fail the reader.
 */
void property_write(struct writer *w, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void property_read(struct reader *r, char *name, size_t name_size, char *text, size_t text_size);

/* uuid_parse: 32 hexadecimal digits with or without the four dashes, nothing else. */
bool uuid_parse(uint8_t uuid[VTPM_UUID_SIZE], const char *text);
void uuid_format(char text[VTPM_UUID_TEXT_SIZE], const uint8_t uuid[VTPM_UUID_SIZE]);

/* uuid_is_null: all zeros. */
bool uuid_is_null(const uint8_t uuid[VTPM_UUID_SIZE]);

#endif
