/*
 * request.h - privileged requests (vtpm/manager.h) on their way through the manager.
 *
 * A request is carried out in steps, each in the thread of the listener that owns what it needs;
 * request_step hands it on. It comes back to its origin exactly once.
 */
#ifndef MANAGER_REQUEST_H
#define MANAGER_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vtpm/codec.h>

#include "manager/crypt.h"
#include "manager/listener.h"
#include "manager/store.h"

struct manager;

struct request {
	struct task task;
	struct request *next; /* in a list of its owner of the moment */
	struct manager *manager;
	void (*step)(struct request *request);
	struct listener *origin;
	void (*done)(struct request *request, void *ctx);
	void *ctx;

	uint32_t ordinal;
	struct reader params; /* in memory of the request */

	/* Used by the steps. */
	struct store_instance entry; /* the instance it is about; entry.id if nothing else */
	uint8_t startup;
	bool flag;
	uint32_t pcrs;
	uint32_t milliseconds;
	int error;
	char domain[STORE_PEER_MAX]; /* its name */
	struct reader sealed_key;    /* of a migration's session, as sent; where to go on with it */
	void (*unwrapped)(struct request *request);
	uint8_t key[CRYPT_KEY_SIZE]; /* that key, decrypted */

	uint32_t status; /* enum vtpm_status */
	uint8_t *response;
	size_t response_len;
	size_t len;
	uint8_t data[]; /* of the parameters */
};

/*
 * request_start: carries out one request; params (len bytes) are copied. done is called in the
 * thread of origin, with status and response, and frees it with request_free. -ENOMEM.
 */
int request_start(struct manager *manager, uint32_t ordinal, const void *params, size_t len,
		  struct listener *origin, void (*done)(struct request *request, void *ctx),
		  void *ctx);
/* request_free: wipes it, too: parameters and responses may hold secrets. */
void request_free(struct request *request);

/* request_step: goes on with step in the thread of listener. */
void request_step(struct request *request, struct listener *listener,
		  void (*step)(struct request *request));

/*
 * request_succeed: ends it with a copy of these parameters. request_fail: with another status than
 * success and a sentence that says what to do, which is logged too.
 */
void request_succeed(struct request *request, const void *params, size_t len);
void request_fail(struct request *request, uint32_t status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
