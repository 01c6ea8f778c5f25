/*
 * progress.h - what vtpm_migrator shows on standard output: a bar on a terminal, lines elsewhere,
 * or one JSON object per line for scripts.
 *
 * The objects: {"event": "step", "uuid", "step", "number", "of", "bytes", "seconds"},
 * {"event": "note", "text"}, {"event": "done", "uuid", "host", "bytes", "seconds", "downtime_ms"},
 * {"event": "failed", "uuid", "why"}, {"event": "total", "moved", "failed", "seconds"}.
 */
#ifndef MIGRATION_PROGRESS_H
#define MIGRATION_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

enum progress_style {
	PROGRESS_BAR,
	PROGRESS_LINES,
	PROGRESS_JSON,
	PROGRESS_QUIET,
};

struct progress {
	enum progress_style style;
	unsigned item, items; /* vTPMs: this one, from 1, of so many; 0 if there is only one */
	bool open;            /* a bar is on the terminal's line */
};

/* progress_now: milliseconds on a clock that only goes on. */
int64_t progress_now(void);

/* progress_step: step number (from 1) of so many has been done for a vTPM. */
void progress_step(struct progress *progress, const char *uuid, const char *step, unsigned number,
		   unsigned of, uint64_t bytes, int64_t ms);

/* progress_note: something that is not a step of one vTPM. */
void progress_note(struct progress *progress, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* progress_done, progress_failed: the end of one vTPM's way. downtime < 0: it was not running. */
void progress_done(struct progress *progress, const char *uuid, const char *host, uint64_t bytes,
		   int64_t ms, int64_t downtime);
void progress_failed(struct progress *progress, const char *uuid, const char *why);

/* progress_total: the end of a migration of many. */
void progress_total(struct progress *progress, unsigned moved, unsigned failed, int64_t ms);

#endif
