#include "migration/host_name.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <vtpm/migration.h>

static bool
is_port(const char *text)
{
	return *text && strlen(text) <= 5 && text[strspn(text, "0123456789")] == '\0';
}

bool
host_split(const char *host, char *name, char *address)
{
	const char *colon = strrchr(host, ':');
	const char *end = host + strlen(host);
	uint8_t binary[16];

	if (inet_pton(AF_INET6, host, binary) == 1)
		colon = NULL;
	if (*host == '[') {
		const char *bracket = strchr(host, ']');

		if (!bracket || (bracket[1] && bracket + 1 != colon))
			return false;
		colon = bracket[1] ? colon : NULL;
		host++;
		end = bracket;
	} else if (colon) {
		end = colon;
	}
	if (end == host || end - host >= HOST_NAME_SIZE || (colon && !is_port(colon + 1)))
		return false;
	snprintf(name, HOST_NAME_SIZE, "%.*s", (int)(end - host), host);
	bool bracketed = strchr(name, ':') != NULL;
	if (bracketed && inet_pton(AF_INET6, name, binary) != 1)
		return false;
	if (colon)
		snprintf(address, HOST_ADDRESS_SIZE, "tcp:%s%s%s%s", bracketed ? "[" : "", name,
			 bracketed ? "]" : "", colon);
	else
		snprintf(address, HOST_ADDRESS_SIZE, "tcp:%s%s%s:%d", bracketed ? "[" : "", name,
			 bracketed ? "]" : "", VTPM_MIGRATION_PORT);
	return name[0] != '-';
}

void
host_own_name(char *name)
{
	if (gethostname(name, HOST_NAME_SIZE) < 0)
		snprintf(name, HOST_NAME_SIZE, "localhost");
	name[HOST_NAME_SIZE - 1] = '\0';
}

bool
host_is_this(const char *name)
{
	char own[HOST_NAME_SIZE];

	host_own_name(own);
	return strcasecmp(name, "localhost") == 0 || strcasecmp(name, own) == 0 ||
	       strncmp(name, "127.", 4) == 0 || strcmp(name, "::1") == 0;
}
