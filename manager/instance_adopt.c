/*
 * Instances that an earlier manager left running.
 */
#include "manager/instance_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include <vtpm/log.h>
#include <vtpm/manager.h>

enum { SOCKETS_FD = 4 }; /* where an instance has its sockets, after its journal */

static const char *
record_path(const struct instance *instance, char path[INSTANCE_PATH_SIZE])
{
	return instance_path(instance, "instances/%u", path);
}

void
adopt_note_process(struct instance *instance)
{
	char path[INSTANCE_PATH_SIZE];
	struct record_identity identity = {
		.pid = (uint32_t)instance->process.pid,
		.start_time = instance->process.start_time,
		.journal = journal_inode(instance),
		.startup = instance->startup,
		.opened = instance->opened,
	};

	memcpy(identity.program, instance->process.hash, sizeof(identity.program));
	/* A restart keeps what the record says about commands. */
	if (!instance->record)
		instance->record = record_create(record_path(instance, path));
	if (!instance->record)
		return;
	record_ready(instance->record, false);
	record_identity(instance->record, &identity);
}

void
adopt_note_command(struct instance *instance, struct command *command)
{
	const struct record_command sent = {
		.sequence = command->sequence,
		.backend = command->backend,
		.locality = command->locality,
		.data = command->data,
		.len = command->len,
	};

	if (!instance->record)
		return;
	record_sent(instance->record, &sent);
	if (!command->record)
		command->record = record_ref(instance->record);
}

void
adopt_forget(struct instance *instance)
{
	char path[INSTANCE_PATH_SIZE];

	unlink(record_path(instance, path));
	record_unref(instance->record);
	instance->record = NULL;
}

/* Without its sockets it runs on as well; new ones are made when it has ended. */
static void
take_sockets(struct instance *instance)
{
	for (int i = 0; i < SOCKET_COUNT; i++) {
		int fd = pidfd_getfd(instance->process.pidfd, SOCKETS_FD + i, 0);

		if (fd >= 0)
			sockets_take(instance, (enum instance_socket)i, fd);
	}
	for (int i = 0; i < HELD_COUNT; i++)
		instance->held[i] =
		    pidfd_getfd(instance->process.pidfd, SOCKETS_FD + SOCKET_COUNT + i, 0);
}

static void
take_command(struct instance *instance, const struct record_command *sent, uint64_t answered)
{
	instance->sequence = sent->sequence > answered ? sent->sequence : answered;
	if (sent->sequence <= answered)
		return;
	struct command *command = command_new(instance->entry.id, VTPM_ORD_EXECUTE, sent->data,
					      sent->len, NULL, NULL, NULL);
	if (!command)
		return;
	command->sequence = sent->sequence;
	command->backend = sent->backend;
	command->locality = sent->locality;
	command->record = record_ref(instance->record);
	queue_adopt(instance, command);
}

/*
 * Its process ended while there was no manager. A PV guest may still be there and need its TPM;
 * QEMU is not, for it notices.
 */
static bool
start_lost(struct instance *instance, const struct record_identity *identity,
	   const struct record_command *sent, uint64_t answered)
{
	uint32_t flags = instance->entry.flags;
	bool needed = instance->entry.domain_type != VTPM_DOMAIN_HVM && !instance->entry.refused &&
		      !instance_is_away(instance) && !(flags & STORE_FLAG_RESUMES);
	/* One that was being suspended goes on from what it saved to that end. */
	bool kept =
	    needed && !(flags & STORE_FLAG_SUSPENDED) && journal_take(instance, identity->journal);

	if (kept) {
		take_command(instance, sent, answered);
	} else {
		adopt_forget(instance);
		journal_drop(instance);
	}
	if (!needed)
		return false;
	log_error("instance %u: its process ended while no manager ran; it is started again, %s",
		  instance->entry.id, kept ? "from its journal" : "but PCRs and sessions are lost");
	if (flags & STORE_FLAG_SUSPENDED)
		instance->startup = VTPM_STARTUP_SAVE;
	instance_restart(instance);
	return true;
}

/* Goes on with its process as if it had always been ours. */
static int
take_over(struct instance *instance, const struct record_identity *identity, bool ready,
	  const struct record_command *sent, uint64_t answered)
{
	memcpy(instance->process.hash, identity->program, sizeof(identity->program));
	instance->opened = identity->opened;
	if (!journal_take(instance, identity->journal))
		log_warning("instance %u: its journal cannot be taken over; if its process dies, "
			    "the guest loses PCRs and sessions",
			    instance->entry.id);
	if (instance->entry.domain_type == VTPM_DOMAIN_HVM)
		take_sockets(instance);
	if (instance_is_away(instance)) {
		instance_end_taken(instance);
		return 0;
	}
	take_command(instance, sent, answered);
	int rc = instance_resume(instance, ready);
	if (rc < 0)
		return rc;
	if (ready)
		instance_note_start(instance);
	log_info("instance %u: runs on (pid %u), taken over from an earlier manager",
		 instance->entry.id, identity->pid);
	return 0;
}

bool
adopt_instance(struct instance *instance)
{
	struct record_identity identity;
	struct record_command sent;
	char path[INSTANCE_PATH_SIZE];
	uint64_t answered;
	bool ready;

	instance->record =
	    record_open(record_path(instance, path), &identity, &ready, &answered, &sent);
	if (!instance->record)
		return false;
	instance->startup = identity.startup;
	bool runs = instance_take(instance, (pid_t)identity.pid, identity.start_time) == 0;
	if (!runs)
		runs = start_lost(instance, &identity, &sent, answered);
	else if (take_over(instance, &identity, ready, &sent, answered) < 0)
		instance_kill(instance, "cannot be taken over"); /* its end starts the next one */
	free(sent.data);
	return runs;
}
