#include "migration/progress.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

enum { BAR_WIDTH = 28, NOTE_SIZE = 1024 };

int64_t
progress_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static double
seconds(int64_t ms)
{
	return (double)ms / 1000;
}

static struct json_object *
object(const char *event)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "event", json_object_new_string(event));
	return o;
}

static void
add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

static void
add_number(struct json_object *o, const char *key, int64_t number)
{
	json_object_object_add(o, key, json_object_new_int64(number));
}

static void
add_seconds(struct json_object *o, int64_t ms)
{
	char text[32];

	snprintf(text, sizeof(text), "%.3f", seconds(ms));
	json_object_object_add(o, "seconds", json_object_new_double_s(seconds(ms), text));
}

static void
print_object(struct json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	fflush(stdout);
	json_object_put(o);
}

/* Text goes onto a line of its own, not behind a bar. */
static void
clear_bar(struct progress *progress)
{
	if (progress->open)
		fputs("\r\033[K", stdout);
	progress->open = false;
}

static void
draw_bar(struct progress *progress, const char *uuid, const char *step, unsigned number,
	 unsigned of, uint64_t bytes, int64_t ms)
{
	/* Many at once share one bar. */
	unsigned total = progress->items ? progress->items * of : of;
	unsigned done = progress->items ? (progress->item - 1) * of + number : number;
	unsigned filled = total ? BAR_WIDTH * done / total : 0;

	clear_bar(progress);
	putchar('[');
	for (unsigned i = 0; i < BAR_WIDTH; i++)
		putchar(i < filled ? '#' : '.');
	putchar(']');
	if (progress->items)
		printf(" %u/%u", progress->item, progress->items);
	printf(" %.8s %-8s %llu bytes, %.1f s", uuid, step, (unsigned long long)bytes, seconds(ms));
	progress->open = true;
	fflush(stdout);
}

void
progress_step(struct progress *progress, const char *uuid, const char *step, unsigned number,
	      unsigned of, uint64_t bytes, int64_t ms)
{
	struct json_object *o;

	switch (progress->style) {
	case PROGRESS_BAR:
		draw_bar(progress, uuid, step, number, of, bytes, ms);
		return;
	case PROGRESS_LINES:
		printf("%s: %u/%u %s, %llu bytes, %.3f s\n", uuid, number, of, step,
		       (unsigned long long)bytes, seconds(ms));
		fflush(stdout);
		return;
	case PROGRESS_JSON:
		o = object("step");
		add_text(o, "uuid", uuid);
		add_text(o, "step", step);
		add_number(o, "number", number);
		add_number(o, "of", of);
		add_number(o, "bytes", (int64_t)bytes);
		add_seconds(o, ms);
		print_object(o);
		return;
	case PROGRESS_QUIET:
		return;
	}
}

void
progress_note(struct progress *progress, const char *format, ...)
{
	char text[NOTE_SIZE];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (progress->style == PROGRESS_QUIET)
		return;
	if (progress->style == PROGRESS_JSON) {
		struct json_object *o = object("note");

		add_text(o, "text", text);
		print_object(o);
		return;
	}
	clear_bar(progress);
	puts(text);
	fflush(stdout);
}

void
progress_done(struct progress *progress, const char *uuid, const char *host, uint64_t bytes,
	      int64_t ms, int64_t downtime)
{
	if (progress->style == PROGRESS_QUIET)
		return;
	if (progress->style == PROGRESS_JSON) {
		struct json_object *o = object("done");

		add_text(o, "uuid", uuid);
		add_text(o, "host", host);
		add_number(o, "bytes", (int64_t)bytes);
		add_seconds(o, ms);
		if (downtime >= 0)
			add_number(o, "downtime_ms", downtime);
		print_object(o);
		return;
	}
	clear_bar(progress);
	printf("vTPM %s is at %s: %llu bytes in %.3f s", uuid, host, (unsigned long long)bytes,
	       seconds(ms));
	if (downtime >= 0)
		printf(", downtime %lld ms", (long long)downtime);
	putchar('\n');
	fflush(stdout);
}

void
progress_failed(struct progress *progress, const char *uuid, const char *why)
{
	clear_bar(progress);
	if (progress->style == PROGRESS_JSON) {
		struct json_object *o = object("failed");

		add_text(o, "uuid", uuid);
		add_text(o, "why", why);
		print_object(o);
	}
	fflush(stdout);
	fprintf(stderr, "vtpm_migrator: %s: %s\n", uuid, why);
}

void
progress_total(struct progress *progress, unsigned moved, unsigned failed, int64_t ms)
{
	if (progress->style == PROGRESS_QUIET)
		return;
	if (progress->style == PROGRESS_JSON) {
		struct json_object *o = object("total");

		add_number(o, "moved", moved);
		add_number(o, "failed", failed);
		add_seconds(o, ms);
		print_object(o);
		return;
	}
	clear_bar(progress);
	printf("%u moved, %u failed, %.3f s\n", moved, failed, seconds(ms));
	fflush(stdout);
}
