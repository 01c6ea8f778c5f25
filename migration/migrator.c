#include "migration/migrator.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vtpm/file.h>
#include <vtpm/manager.h>

#include "migration/domains.h"

enum {
	RETRY_MS = 200,
	DB_MAX = 16 * 1024 * 1024,
	PATH_SIZE = 512,
};

static void
interrupt(evutil_socket_t sig, short what, void *arg)
{
	struct migrator *migrator = arg;

	(void)sig;
	(void)what;
	migrator->interrupted = true;
	event_base_loopbreak(migrator->base);
}

int
migrator_init(struct migrator *migrator, const struct migrator_options *options, struct why *why)
{
	static const int signals[] = { SIGINT, SIGTERM };

	*migrator = (struct migrator) { .options = options, .own.run_dir = options->run_dir };
	migrator->progress.style = options->json           ? PROGRESS_JSON
				   : isatty(STDOUT_FILENO) ? PROGRESS_BAR
							   : PROGRESS_LINES;
	migrator->base = event_base_new();
	for (size_t i = 0; migrator->base && i < 2; i++) {
		migrator->signals[i] =
		    evsignal_new(migrator->base, signals[i], interrupt, migrator);
		if (!migrator->signals[i] || event_add(migrator->signals[i], NULL) < 0)
			return why_set(why, -ENOMEM, "out of memory");
	}
	return migrator->base ? 0 : why_set(why, -ENOMEM, "out of memory");
}

void
migrator_free(struct migrator *migrator)
{
	remote_free(migrator->remote);
	domains_close(migrator->domains);
	own_manager_free(&migrator->own);
	free(migrator->session);
	for (size_t i = 0; i < 2; i++) {
		if (migrator->signals[i])
			event_free(migrator->signals[i]);
	}
	if (migrator->base)
		event_base_free(migrator->base);
}

int
migrator_reach(struct migrator *migrator, const char *host, struct why *why)
{
	remote_free(migrator->remote);
	migrator->remote = NULL;
	return remote_new(&migrator->remote, migrator->base, host, &migrator->options->remote, why);
}

/* A manager that dies is back soon, and every request may be repeated. */
static bool
may_come_back(int rc)
{
	return rc == -ECONNRESET || rc == -EPIPE || rc == -ECONNREFUSED || rc == -ENOENT;
}

int
migrator_here(struct migrator *migrator, uint32_t ordinal, const struct writer *params,
	      struct reader *answer, uint32_t *status, struct why *why)
{
	int64_t deadline = progress_now() + migrator->options->remote.seconds * 1000;
	int rc;

	for (;;) {
		rc = own_manager_call(&migrator->own, ordinal, params->buf, params->len, answer,
				      status, why);
		if (!migrator->met_manager || !may_come_back(rc) || progress_now() >= deadline)
			break;
		poll(NULL, 0, RETRY_MS);
	}
	if (rc == 0 || rc == -EREMOTEIO)
		migrator->met_manager = true;
	return rc;
}

int
migrator_there(struct migrator *migrator, uint32_t ordinal, const struct writer *params,
	       struct reader *answer, uint32_t *status, struct why *why)
{
	return remote_call(migrator->remote, ordinal, params->buf, params->len, 0, answer, status,
			   why);
}

static int
read_standing(struct reader answer, struct standing *standing, struct why *why)
{
	standing->state = reader_u8(&answer);
	standing->fence = reader_u64(&answer);
	struct reader peer = reader_sized(&answer);
	standing->since = reader_u64(&answer);
	if (!reader_done(&answer) || standing->state > VTPM_MIGRATION_PREPARED ||
	    peer.left >= sizeof(standing->peer) || memchr(peer.pos, '\0', peer.left))
		return why_set(why, -EBADMSG, "the answer to a QUERY is none");
	snprintf(standing->peer, sizeof(standing->peer), "%.*s", (int)peer.left,
		 (const char *)peer.pos);
	return 0;
}

int
migrator_standing_here(struct migrator *migrator, const uint8_t uuid[VTPM_UUID_SIZE],
		       struct standing *standing, struct why *why)
{
	const struct writer params = { .buf = (uint8_t *)uuid, .len = VTPM_UUID_SIZE };
	struct reader answer;
	int rc = migrator_here(migrator, VTPM_ORD_QUERY, &params, &answer, NULL, why);

	return rc < 0 ? rc : read_standing(answer, standing, why);
}

int
migrator_standing_there(struct migrator *migrator, const uint8_t uuid[VTPM_UUID_SIZE],
			struct standing *standing, struct why *why)
{
	const struct writer params = { .buf = (uint8_t *)uuid, .len = VTPM_UUID_SIZE };
	struct reader answer;
	int rc = migrator_there(migrator, VTPM_ORD_QUERY, &params, &answer, NULL, why);

	return rc < 0 ? rc : read_standing(answer, standing, why);
}

int
migrator_forget_there(struct migrator *migrator, const uint8_t uuid[VTPM_UUID_SIZE], uint64_t fence,
		      bool committed, struct why *why)
{
	uint8_t buf[VTPM_UUID_SIZE + 8 + 1];
	struct writer params = writer_of(buf, sizeof(buf));
	struct reader answer;

	writer_bytes(&params, uuid, VTPM_UUID_SIZE);
	writer_u64(&params, fence);
	writer_u8(&params, committed);
	int rc = migrator_there(migrator, VTPM_ORD_FORGET, &params, &answer, NULL, why);
	if (rc == 0 && !reader_done(&answer))
		rc = why_set(why, -EBADMSG, "%s answered FORGET with something else",
			     remote_host(migrator->remote));
	return rc;
}

static int
ask_for_number(struct migrator *migrator, uint32_t ordinal, uint32_t number, struct info *info,
	       struct why *why)
{
	uint8_t buf[4];
	struct writer params = writer_of(buf, sizeof(buf));
	struct reader answer;

	writer_u32(&params, number);
	int rc = migrator_here(migrator, ordinal, &params, &answer, NULL, why);
	if (rc < 0)
		return rc;
	if (answer.left == 0)
		return -ENOENT;
	info_read(&answer, info);
	return answer.failed ? why_set(why, -EBADMSG, "the manager's list is not readable") : 0;
}

int
migrator_next(struct migrator *migrator, uint32_t after, struct info *info, struct why *why)
{
	return ask_for_number(migrator, VTPM_ORD_LIST, after, info, why);
}

static int
find_uuid(struct migrator *migrator, const uint8_t uuid[VTPM_UUID_SIZE], struct info *info,
	  struct why *why)
{
	const struct writer params = { .buf = (uint8_t *)uuid, .len = VTPM_UUID_SIZE };
	struct reader answer;
	int rc = migrator_here(migrator, VTPM_ORD_FIND, &params, &answer, NULL, why);

	if (rc < 0)
		return rc;
	return ask_for_number(migrator, VTPM_ORD_SHOW, reader_u32(&answer), info, why);
}

/*
 * vtpm.db has lines `UUID INSTANCE NAME`. Returns how many are of that name; uuid is the last
 * one's.
 */
static int
find_name(const char *db, const char *name, uint8_t uuid[VTPM_UUID_SIZE])
{
	int found = 0;
	uint8_t *text;
	size_t len;
	char *rest;

	int rc = file_read(db, DB_MAX, &text, &len);
	if (rc < 0)
		return rc;
	char *copy = strndup((const char *)text, len);
	free(text);
	if (!copy)
		return -ENOMEM;
	for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *words;
		const char *id = strtok_r(line, " \t", &words);
		const char *instance = strtok_r(NULL, " \t", &words);
		const char *domain = strtok_r(NULL, " \t", &words);

		if (id && instance && domain && strcmp(domain, name) == 0 && uuid_parse(uuid, id))
			found++;
	}
	free(copy);
	return found;
}

static bool
is_number(const char *text, uint32_t *number)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	unsigned long long value = strtoull(text, &end, 10);
	*number = (uint32_t)value;
	return *end == '\0' && value > 0 && value <= UINT32_MAX;
}

int
migrator_find(struct migrator *migrator, const char *text, struct info *info, struct why *why)
{
	uint8_t uuid[VTPM_UUID_SIZE];
	char db[PATH_SIZE];
	uint32_t number;

	if (uuid_parse(uuid, text))
		return find_uuid(migrator, uuid, info, why);
	if (is_number(text, &number))
		return ask_for_number(migrator, VTPM_ORD_SHOW, number, info, why);
	snprintf(db, sizeof(db), "%s/vtpm.db", migrator->options->state_dir);
	int found = find_name(db, text, uuid);
	if (found > 1)
		return why_set(
		    why, -EINVAL,
		    "'%s' has %d vTPMs in %s; name one by its uuid, or the running domain "
		    "without --no-domain",
		    text, found, db);
	if (found < 1)
		return why_set(why, -ENOENT,
			       "'%s' is neither a uuid nor an instance, nor is it in %s; 'vtpmctl "
			       "list' shows the vTPMs of this host",
			       text, db);
	return find_uuid(migrator, uuid, info, why);
}
