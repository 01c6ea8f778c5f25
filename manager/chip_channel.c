#include "manager/chip_channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vtpm/addr.h>
#include <vtpm/codec.h>
#include <vtpm/tpm12.h>

#include "manager/physical_tpm_ops.h"

static int
open_device(struct chip_channel *channel, const char *path)
{
	channel->stream = false;
	channel->fd = open(path, O_RDWR | O_CLOEXEC);
	if (channel->fd >= 0)
		return 0;
	if (errno == EBUSY)
		return physical_tpm_fail(
		    -ENODEV,
		    "the physical TPM %s is in use by another program (tcsd?); "
		    "stop that, or use /dev/tpmrm0",
		    path);
	return physical_tpm_fail(-ENODEV, "the physical TPM %s cannot be opened: %s", path,
				 strerror(errno));
}

static int
open_socket(struct chip_channel *channel, const char *text)
{
	struct addr addr;
	int error = addr_parse(&addr, text, ADDR_ANY);

	channel->stream = true;
	if (error == -EINVAL || error == -ENAMETOOLONG)
		return physical_tpm_fail(-EINVAL, "%s is not an address of a socket", text);
	if (error == 0)
		error = channel->fd = addr_connect(&addr);
	if (error < 0)
		return physical_tpm_fail(-ENODEV, "the physical TPM at %s cannot be reached: %s",
					 text, strerror(-error));
	return 0;
}

int
chip_channel_open(struct chip_channel *channel, const char *address, unsigned timeout_seconds)
{
	channel->fd = -1;
	channel->timeout_seconds = timeout_seconds;
	if (strncmp(address, "device:", 7) == 0)
		return open_device(channel, address + 7);
	if (strncmp(address, "socket:", 7) == 0)
		return open_socket(channel, address + 7);
	return physical_tpm_fail(-EINVAL, "%s is not a physical TPM (device:PATH or socket:ADDR)",
				 address);
}

void
chip_channel_close(struct chip_channel *channel)
{
	if (channel->fd >= 0)
		close(channel->fd);
	channel->fd = -1;
}

static int
send_all(struct chip_channel *channel, const uint8_t *data, size_t len)
{
	while (len > 0) {
		/* A device takes a command in one piece. */
		ssize_t n = channel->stream ? send(channel->fd, data, len, MSG_NOSIGNAL)
					    : write(channel->fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || (!channel->stream && (size_t)n != len))
			return physical_tpm_fail(-ENODEV, "the physical TPM takes no command: %s",
						 strerror(n < 0 ? errno : EIO));
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Waits for bytes and reads what there is. */
static int
receive(struct chip_channel *channel, uint8_t *buf, size_t size, size_t *len)
{
	struct pollfd pfd = { .fd = channel->fd, .events = POLLIN };
	ssize_t n;

	do
		n = poll(&pfd, 1, (int)channel->timeout_seconds * 1000);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return physical_tpm_fail(-ETIMEDOUT,
					 "the physical TPM did not answer within %u seconds",
					 channel->timeout_seconds);
	do
		n = read(channel->fd, buf, size);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return physical_tpm_fail(-ENODEV, "the physical TPM went away: %s",
					 n < 0 ? strerror(errno) : "end of file");
	*len += (size_t)n;
	return 0;
}

/* The size in the header, 0 as long as it has not come. */
static size_t
announced_size(const uint8_t *response, size_t len)
{
	struct reader r = reader_of(response, len);

	reader_u16(&r);
	size_t size = reader_u32(&r);
	return r.failed ? 0 : size;
}

int
chip_channel_exchange(struct chip_channel *channel, const uint8_t *command, size_t command_len,
		      uint8_t *response, size_t *response_len)
{
	size_t len = 0;
	size_t size = 0;
	int error = send_all(channel, command, command_len);

	while (error == 0 && (size == 0 || len < size)) {
		error = receive(channel, response + len, CHIP_BUFFER_SIZE - len, &len);
		size = announced_size(response, len);
		if (error == 0 &&
		    (size > CHIP_BUFFER_SIZE || (size > 0 && len > size) ||
		     (size > 0 && size < TPM_HEADER_SIZE) || (!channel->stream && len != size)))
			error = physical_tpm_fail(-EPROTO,
						  "what answers as the physical TPM is not a TPM");
	}
	*response_len = len;
	return error;
}
