/*
 * Instances that an earlier manager left running.
 */
#include "manager/instance_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vtpm/log.h>
#include <vtpm/manager.h>

enum { FIRST_FD = 3 }; /* where an instance has its journal, and after it its sockets */

static const char *
record_path(const struct instance *instance, char path[INSTANCE_PATH_SIZE])
{
	return instance_path(instance, "instances/%u", path);
}

static uint64_t
inode_of(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0;
}

void
adopt_note_process(struct instance *instance)
{
	char path[INSTANCE_PATH_SIZE];
	struct record_identity identity = {
		.pid = (uint32_t)instance->process.pid,
		.start_time = instance->process.start_time,
		.journal = inode_of(instance->journal),
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

/* Its journal, from its own descriptors: nobody else has that memory any more. */
static void
take_journal(struct instance *instance, uint64_t inode)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)instance->process.pid, FIRST_FD);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && inode_of(fd) == inode) {
		instance->journal = fd;
		return;
	}
	log_warning("instance %u: its journal cannot be taken over (%s); if its process dies, the "
		    "guest loses PCRs and sessions",
		    instance->entry.id, fd < 0 ? strerror(errno) : "it is another one");
	if (fd >= 0)
		close(fd);
}

/* Without its sockets it runs on as well; new ones are made when it has ended. */
static void
take_sockets(struct instance *instance)
{
	for (int i = 0; i < SOCKET_COUNT; i++) {
		int fd = pidfd_getfd(instance->process.pidfd, FIRST_FD + 1 + i, 0);

		if (fd >= 0)
			sockets_take(instance, (enum instance_socket)i, fd);
	}
	for (int i = 0; i < HELD_COUNT; i++)
		instance->held[i] =
		    pidfd_getfd(instance->process.pidfd, FIRST_FD + 1 + SOCKET_COUNT + i, 0);
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

/* Its process ended while there was no manager. A PV guest may still be there and need its TPM. */
static bool
start_lost(struct instance *instance)
{
	adopt_forget(instance);
	if (instance->entry.domain_type == VTPM_DOMAIN_HVM || instance->entry.refused ||
	    instance_is_away(instance) || instance->entry.flags & STORE_FLAG_RESUMES)
		return false;
	log_error("instance %u: its process ended while no manager ran; it is started again, but "
		  "PCRs and sessions are lost",
		  instance->entry.id);
	if (instance->entry.flags & STORE_FLAG_SUSPENDED)
		instance->startup = VTPM_STARTUP_SAVE;
	instance_restart(instance);
	return true;
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
	int rc = instance_take(instance, (pid_t)identity.pid, identity.start_time);
	if (rc == 0) {
		memcpy(instance->process.hash, identity.program, sizeof(identity.program));
		instance->opened = identity.opened;
		take_journal(instance, identity.journal);
		if (instance->entry.domain_type == VTPM_DOMAIN_HVM)
			take_sockets(instance);
		if (instance_is_away(instance)) {
			free(sent.data);
			instance_end_taken(instance);
			return true;
		}
		take_command(instance, &sent, answered);
		rc = instance_resume(instance, ready);
		if (rc == 0 && ready)
			instance_note_start(instance);
	}
	free(sent.data);
	if (rc < 0)
		return start_lost(instance);
	log_info("instance %u: runs on (pid %u), taken over from an earlier manager",
		 instance->entry.id, identity.pid);
	return true;
}
