/*
 * chip_channel.h - bytes to the physical TPM and back, over a device or a socket.
 */
#ifndef MANAGER_CHIP_CHANNEL_H
#define MANAGER_CHIP_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CHIP_BUFFER_SIZE = 4096 };

struct chip_channel {
	int fd;
	bool stream; /* a socket, on which a response may come in pieces */
	unsigned timeout_seconds;
};

/*
 * chip_channel_open: opens address, "device:PATH" or "socket:ADDR". Errors: -EINVAL for another
 * form of address; -ENODEV, with physical_tpm_error set.
 */
int chip_channel_open(struct chip_channel *channel, const char *address, unsigned timeout_seconds);
void chip_channel_close(struct chip_channel *channel);

/*
 * chip_channel_exchange: sends one command and receives its response, the size in whose header is
 * right, of at most CHIP_BUFFER_SIZE bytes. -ENODEV, -ETIMEDOUT or -EPROTO, with physical_tpm_error
 * set; the channel is of no use then.
 */
int chip_channel_exchange(struct chip_channel *channel, const uint8_t *command, size_t command_len,
			  uint8_t *response, size_t *response_len);

#endif
