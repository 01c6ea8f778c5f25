/*
 * The sockets of an HVM instance. QEMU connects before anybody tells the manager of the domain, so
 * they listen from the definition on, and the first connection starts vtpmd, which inherits them.
 */
#include "manager/instance_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vtpm/addr.h>
#include <vtpm/log.h>
#include <vtpm/manager.h>

static const char *const socket_names[SOCKET_COUNT] = {
	[SOCKET_IOEMU] = VTPM_PATH_IOEMU,
	[SOCKET_CTRL] = VTPM_PATH_CTRL,
};

/* The same by uuid, a link: what an xl configuration can name before there is a number. */
static void
ctrl_link(const struct instance *instance, char path[INSTANCE_PATH_SIZE])
{
	char uuid[VTPM_UUID_TEXT_SIZE];

	uuid_format(uuid, instance->entry.uuid);
	snprintf(path, INSTANCE_PATH_SIZE, "%s/socks/%s.ctrl",
		 instance->table->manager->options->run_dir, uuid);
}

static void
somebody_connects(evutil_socket_t fd, short what, void *arg)
{
	struct instance *instance = arg;

	(void)fd;
	(void)what;
	log_info("instance %u: somebody connects", instance->entry.id);
	instance_connected(instance);
}

static int
listen_at(const char *path)
{
	char text[INSTANCE_PATH_SIZE + 8];
	struct addr addr;

	snprintf(text, sizeof(text), "unix:%s", path);
	int rc = addr_parse(&addr, text, ADDR_ANY);
	return rc < 0 ? rc : addr_listen(&addr);
}

int
sockets_listen(struct instance *instance)
{
	char path[INSTANCE_PATH_SIZE];
	char target[32];

	for (int i = 0; i < SOCKET_COUNT; i++) {
		if (instance->sockets[i] >= 0)
			continue;
		int fd = listen_at(instance_path(instance, socket_names[i], path));
		if (fd < 0) {
			snprintf(instance->why, sizeof(instance->why),
				 "cannot listen at %.180s: %s", path, strerror(-fd));
			log_error("instance %u: %s", instance->entry.id, instance->why);
			sockets_close(instance);
			return fd;
		}
		sockets_take(instance, (enum instance_socket)i, fd);
		if (!instance->connected[i]) {
			sockets_close(instance);
			return -ENOMEM;
		}
	}
	snprintf(target, sizeof(target), "%u.ctrl", instance->entry.id);
	ctrl_link(instance, path);
	if ((unlink(path) < 0 && errno != ENOENT) || symlink(target, path) < 0)
		log_warning("instance %u: cannot make the link %s: %s; use socks/%s instead",
			    instance->entry.id, path, strerror(errno), target);
	return 0;
}

void
sockets_take(struct instance *instance, enum instance_socket which, int fd)
{
	instance->sockets[which] = fd;
	instance->connected[which] =
	    event_new(instance->table->base, fd, EV_READ, somebody_connects, instance);
}

void
sockets_close(struct instance *instance)
{
	for (int i = 0; i < SOCKET_COUNT; i++) {
		if (instance->connected[i])
			event_free(instance->connected[i]);
		if (instance->sockets[i] >= 0)
			close(instance->sockets[i]);
		instance->connected[i] = NULL;
		instance->sockets[i] = -1;
	}
}

int
held_open(struct instance *instance)
{
	if (instance->entry.domain_type != VTPM_DOMAIN_HVM || instance->held[HELD_IN] >= 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, instance->held) == 0)
		return 0;
	int rc = -errno;
	instance->held[HELD_IN] = instance->held[HELD_OUT] = -1;
	log_error("instance %u: cannot hold its client: %s", instance->entry.id, strerror(-rc));
	return rc;
}

bool
held_any(const struct instance *instance)
{
	int waiting = 0;

	return instance->held[HELD_OUT] >= 0 &&
	       ioctl(instance->held[HELD_OUT], FIONREAD, &waiting) == 0 && waiting > 0;
}

void
held_close(struct instance *instance)
{
	for (int i = 0; i < HELD_COUNT; i++) {
		if (instance->held[i] >= 0)
			close(instance->held[i]);
		instance->held[i] = -1;
	}
}

void
sockets_unlink(const struct instance *instance)
{
	char path[INSTANCE_PATH_SIZE];

	if (instance->entry.domain_type != VTPM_DOMAIN_HVM)
		return;
	for (int i = 0; i < SOCKET_COUNT; i++)
		unlink(instance_path(instance, socket_names[i], path));
	ctrl_link(instance, path);
	unlink(path);
}

void
sockets_watch(struct instance *instance, bool on)
{
	on = on && !instance->retired && !instance->table->ending;
	for (int i = 0; i < SOCKET_COUNT; i++) {
		if (instance->connected[i] && on)
			event_add(instance->connected[i], NULL);
		else if (instance->connected[i])
			event_del(instance->connected[i]);
	}
}
