#include "migration/forms.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "migration/carried.h"
#include "migration/host_name.h"
#include "migration/move.h"
#include "migration/xl.h"

enum {
	AWAIT_MS = 1000,
	KEEP_ALIVE_SECONDS = 30, /* the other host closes silent connections, gives up places */
	RETRY_SECONDS = 1,
	COMMIT_TRIES = 5,
};

/* A domain on its way. */
struct journey {
	struct migrator *migrator;
	const struct domain *domain;
	struct xl xl;
	struct event *changed;
	struct event *keep_alive;
	bool tried;    /* to prepare: offers may be stale */
	bool prepared; /* copies are on the other host */
	unsigned count;
	struct move moves[DOMAIN_VTPMS_MAX];
	struct info carried[DOMAIN_VTPMS_MAX]; /* by its QEMU, in the order of the domain's list */
};

int
form_domains(struct migrator *migrator, struct domains **domains, struct why *why)
{
	const char *dir = migrator->options->domains_dir;
	int rc = 0;

	if (!migrator->domains)
		rc = dir ? domains_folder(&migrator->domains, dir, why)
			 : domains_xen(&migrator->domains, why);
	*domains = migrator->domains;
	return rc;
}

static void
domain_changed(evutil_socket_t fd, short what, void *arg)
{
	struct journey *journey = arg;

	(void)fd;
	(void)what;
	domains_drain(journey->migrator->domains);
	event_base_loopbreak(journey->migrator->base);
}

static void
keep_alive_later(struct journey *journey)
{
	struct timeval interval = { .tv_sec = KEEP_ALIVE_SECONDS };

	event_add(journey->keep_alive, &interval);
}

/* An answer is not needed, and a broken connection is made anew when there is something to say. */
static void
stay_connected(struct journey *journey)
{
	struct why ignored;

	if (evtimer_pending(journey->keep_alive, NULL))
		return;
	for (unsigned i = 0; i < journey->count; i++) {
		if (!journey->moves[i].committed)
			move_keep_place(&journey->moves[i], &ignored);
	}
	keep_alive_later(journey);
}

static void
time_to_speak(evutil_socket_t fd, short what, void *arg)
{
	struct journey *journey = arg;

	(void)fd;
	(void)what;
	event_base_loopbreak(journey->migrator->base);
}

static bool
suspended(const struct journey *journey)
{
	return domains_state(journey->migrator->domains, journey->domain->id) == DOMAINS_SUSPENDED;
}

/* Waits for news, or a while. */
static void
wait_a_while(struct journey *journey)
{
	struct timeval while_ = { .tv_sec = RETRY_SECONDS };

	event_add(journey->keep_alive, &while_);
	event_base_loop(journey->migrator->base, EVLOOP_ONCE);
}

/* A guest that came back in between has made the offer stale. */
static int
prepare_again(struct move *move, struct why *why)
{
	int rc = move_again(move, why);

	return rc < 0 ? rc : move_run(move, MOVE_OFFER, MOVE_TRANSFER, why);
}

static int
prepare(struct journey *journey, struct why *why)
{
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < journey->count; i++) {
		struct move *move = &journey->moves[i];

		if (!move->committed)
			rc = journey->tried ? prepare_again(move, why)
					    : move_run(move, MOVE_PREPARE, MOVE_TRANSFER, why);
	}
	journey->tried = true;
	journey->prepared = rc == 0;
	return rc;
}

/* Commands that were in the ring when the domain was suspended look like a guest that came back. */
static int
hand_over(struct journey *journey, struct move *move, bool moved, struct why *why)
{
	for (unsigned try = 1;; try++) {
		int rc = move_hand_over(move, why);

		if (rc == 0 || !move->came_back || try == COMMIT_TRIES)
			return rc;
		if (!moved && !suspended(journey))
			return rc;
		rc = prepare_again(move, why);
		if (rc < 0)
			return rc;
	}
}

static int
hand_over_all(struct journey *journey, bool moved, struct why *why)
{
	int rc = 0;

	for (unsigned i = 0; i < journey->count; i++) {
		struct move *move = &journey->moves[i];
		struct why reason;

		if (move->committed)
			continue;
		int result = hand_over(journey, move, moved, &reason);
		if (result < 0) {
			rc = why_set(why, result, "vTPM %s: %s", move->uuid, reason.text);
			/* Only a guest that is here again may keep it here. */
			journey->prepared &= !move->came_back;
		}
	}
	return rc;
}

/* Waits a while for a guest that wants its vTPM on the other host. */
static bool
wanted_there(struct journey *journey)
{
	bool needed = false;
	struct why why;

	for (unsigned i = 0; !needed && i < journey->count && !journey->xl.ended; i++) {
		struct move *move = &journey->moves[i];

		if (!move->committed &&
		    move_await(move, AWAIT_MS / journey->count, &needed, &why) < 0)
			wait_a_while(journey);
	}
	return needed;
}

static bool
all_committed(const struct journey *journey)
{
	for (unsigned i = 0; i < journey->count; i++) {
		if (!journey->moves[i].committed)
			return false;
	}
	return true;
}

/* Once the domain is suspended, xl cannot be stopped without losing it. */
static void
refuse_interrupt(struct journey *journey)
{
	struct migrator *migrator = journey->migrator;

	if (migrator->interrupted)
		progress_note(&migrator->progress, "%s is suspended already: the migration goes on",
			      journey->domain->name);
	migrator->interrupted = false;
}

/* Accompanies xl to its end. */
static void
accompany(struct journey *journey)
{
	struct migrator *migrator = journey->migrator;
	struct why why;

	for (;;) {
		if (!journey->prepared)
			stay_connected(journey);
		/* From here to the end of the round, only what waits runs the event loop. */
		if (journey->xl.ended)
			return;
		if (journey->prepared || suspended(journey))
			refuse_interrupt(journey);
		if (!journey->prepared && suspended(journey)) {
			if (prepare(journey, &why) < 0) {
				progress_note(&migrator->progress, "%s: %s; trying again",
					      journey->domain->name, why.text);
				wait_a_while(journey);
			}
		} else if (!journey->prepared && migrator->interrupted) {
			xl_stop(&journey->xl);
		} else if (journey->prepared && !all_committed(journey)) {
			if (wanted_there(journey) && hand_over_all(journey, false, &why) < 0) {
				progress_note(&migrator->progress, "%s: %s", journey->domain->name,
					      why.text);
				wait_a_while(journey);
			}
		} else {
			event_base_loop(migrator->base, EVLOOP_ONCE);
		}
	}
}

/* The domain is there. Its vTPMs must follow, whatever it takes. */
static int
bring_after(struct journey *journey, struct why *why)
{
	int rc = 0;

	refuse_interrupt(journey);
	if (!journey->prepared)
		rc = prepare(journey, why);
	if (rc == 0)
		rc = hand_over_all(journey, true, why);
	if (rc < 0)
		return why_set(why, rc,
			       "%s. The domain has moved, that vTPM has not: 'vtpm_migrator "
			       "--no-domain VTPM HOST' or '--recover VTPM' brings it after",
			       why->text);
	return 0;
}

/* The domain is here again, and its vTPMs with it. */
static int
take_back(struct journey *journey, struct why *why)
{
	int rc = 0;

	for (unsigned i = 0; i < journey->count; i++) {
		struct move *move = &journey->moves[i];
		struct why reason;

		if (move->committed)
			rc = why_set(why, -ECANCELED,
				     "%s; but the guest runs on the other host, with vTPM %s",
				     why->text, move->uuid);
		else if (move_back(move, &reason) < 0)
			rc = why_set(why, -ECANCELED,
				     "%s; vTPM %s is still frozen here: %s. 'vtpm_migrator "
				     "--recover' takes it back",
				     why->text, move->uuid, reason.text);
	}
	return rc;
}

static int
begin(struct journey *journey, struct why *why)
{
	for (unsigned i = 0; i < journey->domain->vtpm_count; i++) {
		struct move *move = &journey->moves[i];
		char uuid[VTPM_UUID_TEXT_SIZE];
		struct why reason;
		struct info info;

		uuid_format(uuid, journey->domain->vtpms[i]);
		int rc = migrator_find(journey->migrator, uuid, &info, &reason);
		if (rc == 0) {
			journey->count++;
			rc = move_begin(move, journey->migrator, &info, journey->domain->name,
					&reason);
		}
		if (rc == 0)
			rc = move_run(move, MOVE_KEY, MOVE_OFFER, &reason);
		if (rc < 0)
			return why_set(why, rc, "vTPM %s: %s", uuid, reason.text);
	}
	return 0;
}

static int
begin_carried(struct journey *journey, struct why *why)
{
	const struct domain *domain = journey->domain;
	struct why reason;

	for (unsigned i = 0; i < domain->qemu_count; i++) {
		int rc = carried_begin(journey->migrator, domain->qemu_vtpms[i],
				       &journey->carried[i], &reason);

		if (rc < 0)
			return why_set(why, rc, "vTPM %s: %s", domain->qemu_vtpms[i], reason.text);
	}
	return 0;
}

static int
end_carried(struct journey *journey, struct why *why)
{
	struct why reason;
	int rc = 0;

	for (unsigned i = 0; i < journey->domain->qemu_count; i++) {
		int result = carried_end(journey->migrator, &journey->carried[i], &reason);

		if (result < 0)
			rc = why_set(why, result, "%s", reason.text);
	}
	return rc;
}

static int
travel(struct journey *journey, const char *host, struct why *why)
{
	const struct migrator_options *options = journey->migrator->options;
	char name[HOST_NAME_SIZE];
	char address[HOST_ADDRESS_SIZE];

	host_split(host, name, address);
	int rc = begin(journey, why);
	if (rc == 0)
		rc = begin_carried(journey, why);
	if (rc == 0)
		rc = xl_start(&journey->xl, journey->migrator->base, options, journey->domain->id,
			      options->xl_host ? options->xl_host : name, why);
	if (rc < 0) {
		take_back(journey, why);
		return rc;
	}
	keep_alive_later(journey);
	accompany(journey);
	rc = xl_result(&journey->xl, why);
	xl_free(&journey->xl);
	if (rc < 0) {
		take_back(journey, why);
		return rc;
	}
	struct why reason;
	rc = bring_after(journey, why);
	int left = end_carried(journey, &reason);
	return rc < 0 || left == 0 ? rc : why_set(why, left, "%s", reason.text);
}

/* On one host the device itself goes from the old domain to the new one. */
static int
move_locally(struct migrator *migrator, const struct domain *domain, const char *host,
	     struct why *why)
{
	struct xl xl;

	if (domain->qemu_count > 0)
		return why_set(why, -EBUSY,
			       "%s has vTPM %s by its QEMU, and two QEMUs cannot have it at once: "
			       "on one host, use xl save and xl restore",
			       domain->name, domain->qemu_vtpms[0]);
	progress_note(&migrator->progress,
		      "%s stays on this host, and so do its vTPMs; only xl migrate is run",
		      domain->name);
	int rc = xl_start(&xl, migrator->base, migrator->options, domain->id,
			  migrator->options->xl_host ? migrator->options->xl_host : host, why);
	if (rc < 0)
		return rc;
	xl_free(&xl);
	return xl_result(&xl, why);
}

int
form_move_domain(struct migrator *migrator, const struct domain *domain, const char *host,
		 struct why *why)
{
	struct journey journey = { .migrator = migrator, .domain = domain };
	int rc = -ENOMEM;

	if (domain->id == 0)
		return why_set(
		    why, -EPERM,
		    "it is a device of domain 0, which does not migrate: 'xl vtpm-detach "
		    "0' it, then move it with --no-domain");

	if (domain->vtpm_count + domain->qemu_count == 0)
		progress_note(&migrator->progress, "%s has no vTPM", domain->name);
	journey.changed = event_new(migrator->base, domains_fd(migrator->domains),
				    EV_READ | EV_PERSIST, domain_changed, &journey);
	journey.keep_alive = evtimer_new(migrator->base, time_to_speak, &journey);
	if (journey.changed && journey.keep_alive && event_add(journey.changed, NULL) == 0)
		rc = travel(&journey, host, why);
	else
		why_set(why, rc, "out of memory");
	for (unsigned i = 0; i < journey.count; i++)
		move_free(&journey.moves[i]);
	if (journey.changed)
		event_free(journey.changed);
	if (journey.keep_alive)
		event_free(journey.keep_alive);
	return rc;
}

int
form_domain(struct migrator *migrator, const char *name, const char *host, struct why *why)
{
	char host_name[HOST_NAME_SIZE];
	char address[HOST_ADDRESS_SIZE];
	struct domains *domains;
	struct domain domain;

	int rc = form_domains(migrator, &domains, why);
	if (rc == 0)
		rc = domains_find(domains, name, &domain, why);
	if (rc < 0)
		return rc;
	if (host_split(host, host_name, address) && host_is_this(host_name) &&
	    !migrator->options->remote.address)
		return move_locally(migrator, &domain, host_name, why);
	rc = migrator_reach(migrator, host, why);
	return rc < 0 ? rc : form_move_domain(migrator, &domain, host, why);
}
