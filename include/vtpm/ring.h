/*
 * ring.h - the page that a guest shares with the vTPM back-end, protocol v2 of Xen's tpmif.
 *
 * One page, native-endian, granted by the front-end. The front-end fills in the packet and sets
 * RING_SUBMIT or, at any time later, RING_CANCEL; the back-end sets RING_FINISH (the response is in
 * place of the request) or RING_IDLE (abandoned). Every change is followed by a notification over
 * the event channel. The state is written last and read first.
 *
 * The header is followed by the grant references of nr_extra_pages further pages, and then by the
 * TPM packet, which runs on into those pages as if they were mapped behind the first. (The comment
 * in Xen's public tpmif.h puts the references at 16; all real front-ends put them at 8.)
 */
#ifndef VTPM_RING_H
#define VTPM_RING_H

#include <stdint.h>

enum {
	RING_PAGE_SIZE = 4096,
	RING_LOCALITY_MAX = 3, /* 4 is the hardware's, no front-end may claim it */
};

enum ring_state {
	RING_IDLE = 0,
	RING_SUBMIT = 1,
	RING_FINISH = 2,
	RING_CANCEL = 3,
};

struct ring_page {
	uint32_t length; /* of the request or response, bytes */
	uint8_t state;
	uint8_t locality;
	uint8_t pad;
	uint8_t nr_extra_pages;
	uint32_t extra_pages[]; /* grant references */
};

_Static_assert(sizeof(struct ring_page) == 8, "ring header");

#endif
