#include <vtpm/info.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <vtpm/manager.h>

static const char *const state_names[] = {
	[INFO_CLOSED] = "closed",       [INFO_SUSPENDED] = "suspended",
	[INFO_LISTENING] = "listening", [INFO_STARTING] = "starting",
	[INFO_RUNNING] = "running",     [INFO_CLOSING] = "closing",
	[INFO_REFUSED] = "refused",     [INFO_RESTARTING] = "restarting",
	[INFO_MIGRATED] = "migrated",   [INFO_OUTGOING] = "outgoing",
	[INFO_INCOMING] = "incoming",
};

struct number_name {
	uint8_t number;
	const char *name;
};

static const struct number_name domain_names[] = {
	{ VTPM_DOMAIN_PVM, "pvm" },
	{ VTPM_DOMAIN_HVM, "hvm" },
	{ 0, NULL },
};

static const struct number_name migration_names[] = {
	{ VTPM_TYPE_NON_MIGRATABLE, "not-migratable" },
	{ VTPM_TYPE_MIGRATABLE, "migratable" },
	{ VTPM_TYPE_MIGRATED, "migrated" },
	{ 0, NULL },
};

static const struct number_name startup_names[] = {
	{ VTPM_STARTUP_CLEAR, "clear" },
	{ VTPM_STARTUP_SAVE, "save" },
	{ VTPM_STARTUP_DEACTIVATED, "deactivated" },
	{ 0, NULL },
};

static const char *
name_of(const struct number_name *table, unsigned number)
{
	for (; table->name; table++) {
		if (table->number == number)
			return table->name;
	}
	return "unknown";
}

static uint8_t
number_of(const struct number_name *table, const char *name)
{
	for (; table->name; table++) {
		if (strcmp(table->name, name) == 0)
			return table->number;
	}
	return 0;
}

const char *
info_state_name(enum info_state state)
{
	return state < sizeof(state_names) / sizeof(state_names[0]) ? state_names[state]
								    : "unknown";
}

const char *
info_domain_name(unsigned domain_type)
{
	return name_of(domain_names, domain_type);
}

const char *
info_migration_name(unsigned migration)
{
	return name_of(migration_names, migration);
}

const char *
info_startup_name(unsigned startup)
{
	return name_of(startup_names, startup);
}

uint8_t
info_domain_number(const char *name)
{
	return number_of(domain_names, name);
}

uint8_t
info_startup_number(const char *name)
{
	return number_of(startup_names, name);
}

void
info_write(struct writer *w, const struct info *info)
{
	size_t start = w->len;

	writer_u32(w, 0);
	writer_u32(w, info->instance);
	writer_bytes(w, info->uuid, sizeof(info->uuid));
	writer_u8(w, info->domain_type);
	writer_u8(w, info->migration);
	writer_u8(w, info->startup);
	writer_u8(w, (uint8_t)info->state);
	writer_u32(w, info->pid);
	writer_u32(w, info->restarts);
	writer_u64(w, info->commands);
	writer_u64(w, info->opened);
	writer_u64(w, info->generation);
	writer_u32(w, info->nvm_size);
	writer_bytes(w, info->program, sizeof(info->program));
	writer_sized(w, info->why, strnlen(info->why, sizeof(info->why)));
	writer_u32(w, info->host_pcrs);
	writer_patch_u32(w, start, (uint32_t)(w->len - start - 4));
}

/* Takes a sized text as a C string; one that does not fit fails the reader. */
static void
read_text(struct reader *r, char *text, size_t size)
{
	struct reader value = reader_sized(r);
	size_t len = value.left;

	if (value.failed || len >= size) {
		r->failed = true;
		len = 0;
	}
	reader_bytes(&value, text, len);
	text[len] = '\0';
}

void
info_read(struct reader *r, struct info *info)
{
	struct reader record = reader_sized(r);

	memset(info, 0, sizeof(*info));
	info->instance = reader_u32(&record);
	reader_bytes(&record, info->uuid, sizeof(info->uuid));
	info->domain_type = reader_u8(&record);
	info->migration = reader_u8(&record);
	info->startup = reader_u8(&record);
	info->state = reader_u8(&record);
	info->pid = reader_u32(&record);
	info->restarts = reader_u32(&record);
	info->commands = reader_u64(&record);
	info->opened = reader_u64(&record);
	info->generation = reader_u64(&record);
	info->nvm_size = reader_u32(&record);
	reader_bytes(&record, info->program, sizeof(info->program));
	read_text(&record, info->why, sizeof(info->why));
	if (record.left > 0)
		info->host_pcrs = reader_u32(&record);
	r->failed |= record.failed;
}

void
property_write(struct writer *w, const char *name, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	writer_sized(w, name, strlen(name));
	writer_sized(w, text, strlen(text));
}

void
property_read(struct reader *r, char *name, size_t name_size, char *text, size_t text_size)
{
	read_text(r, name, name_size);
	read_text(r, text, text_size);
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
uuid_parse(uint8_t uuid[VTPM_UUID_SIZE], const char *text)
{
	bool dashes = strlen(text) == VTPM_UUID_TEXT_SIZE - 1;

	for (size_t i = 0; i < VTPM_UUID_SIZE; i++) {
		if (dashes && (i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
			return false;
		int high = hex_value(text[0]);
		int low = high < 0 ? -1 : hex_value(text[1]);
		if (low < 0)
			return false;
		uuid[i] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	return *text == '\0';
}

void
uuid_format(char text[VTPM_UUID_TEXT_SIZE], const uint8_t uuid[VTPM_UUID_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < VTPM_UUID_SIZE; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*text++ = '-';
		*text++ = digits[uuid[i] >> 4];
		*text++ = digits[uuid[i] & 15];
	}
	*text = '\0';
}

bool
uuid_is_null(const uint8_t uuid[VTPM_UUID_SIZE])
{
	static const uint8_t null[VTPM_UUID_SIZE];

	return memcmp(uuid, null, sizeof(null)) == 0;
}
