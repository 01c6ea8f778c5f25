/*
 * log.h - messages for the operator, on stderr.
 *
 * One line, one write: lines of several threads or processes do not mix. Control characters in a
 * message (it may quote a hostile peer) are shown as '?'. When stderr is a socket, as under
 * journald, a line begins with the level that journald understands, "<3>".
 */
#ifndef VTPM_LOG_H
#define VTPM_LOG_H

#include <time.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/*
 * log_set_name: what begins each line, such as "vtpmd 5"; copied, cut after 63 bytes. To be called
 * before threads start.
 */
void log_set_name(const char *name);

/*
 * log_set_level: shows messages up to this level: "error", "warning", "info" (the default) or
 * "debug". Returns 0, or -EINVAL for another word.
 */
int log_set_level(const char *level);

/* log_enabled: whether messages of this level are shown, for those that are costly to make. */
int log_enabled(enum log_level level);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Messages that a peer can provoke as often as it likes: log_limited shows the first few within a
 * minute, the last of them with a note that more are not shown. A struct log_limit of zeros is
 * ready for use.
 */
struct log_limit {
	time_t since;
	unsigned count;
};

void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(...)   log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
