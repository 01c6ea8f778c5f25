#include <vtpm/log.h>

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
	const char *name;
	const char *label;
	const char *journal; /* syslog's number, as journald reads it */
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", "error: ", "<3>" },
	[LOG_LEVEL_WARNING] = { "warning", "warning: ", "<4>" },
	[LOG_LEVEL_INFO] = { "info", "", "<6>" },
	[LOG_LEVEL_DEBUG] = { "debug", "debug: ", "<7>" },
};

static char log_name[64] = "vtpm";
static enum log_level log_level = LOG_LEVEL_INFO;

void
log_set_name(const char *name)
{
	snprintf(log_name, sizeof(log_name), "%s", name);
}

int
log_set_level(const char *level)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(level, levels[i].name) == 0) {
			log_level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

int
log_enabled(enum log_level level)
{
	return level <= log_level;
}

/* Writes one line: the message, then note. */
__attribute__((format(printf, 3, 0))) static void
write_line(enum log_level level, const char *note, const char *format, va_list ap)
{
	struct stat st;
	char line[1024];
	int saved_errno = errno;

	int socket = fstat(STDERR_FILENO, &st) == 0 && S_ISSOCK(st.st_mode);
	size_t room = sizeof(line) - 1 - strlen(note);
	size_t len = (size_t)snprintf(line, room, "%s%s: %s", socket ? levels[level].journal : "",
				      log_name, levels[level].label);
	int added = vsnprintf(line + len, room - len, format, ap);
	if (added > 0)
		len += (size_t)added < room - len ? (size_t)added : room - len - 1;
	memcpy(line + len, note, strlen(note));
	len += strlen(note);
	for (size_t i = 0; i < len; i++) {
		if (iscntrl((unsigned char)line[i]))
			line[i] = '?';
	}
	line[len++] = '\n';
	/* There is nobody to tell when stderr is gone. */
	if (write(STDERR_FILENO, line, len) < 0)
		errno = saved_errno;
	errno = saved_errno;
}

void
log_write(enum log_level level, const char *format, ...)
{
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, format);
	write_line(level, "", format, ap);
	va_end(ap);
}

void
log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
{
	enum { PERIOD = 60, MOST = 5 };
	struct timespec now;
	va_list ap;

	if (!log_enabled(level))
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (limit->count == 0 || now.tv_sec - limit->since >= PERIOD)
		*limit = (struct log_limit) { .since = now.tv_sec };
	if (limit->count >= MOST)
		return;
	limit->count++;
	va_start(ap, format);
	write_line(level,
		   limit->count == MOST ? " (more of this kind is not shown for a minute)" : "",
		   format, ap);
	va_end(ap);
}
