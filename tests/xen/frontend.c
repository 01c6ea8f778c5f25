/*
 * frontend.c - a vTPM front-end in user space: for load, and to do what no sane driver does.
 *
 * As a QEMU in dom0 would, it writes a device of its own into xenstore, both ends in dom0,
 * connects, carries out one action and removes the device. With --guest it runs in a guest and uses
 * the device that the toolstack gave to that, which no driver may have. Pages come from
 * libxengntshr, or from files where there is no Xen (manager/grants.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>

#include <vtpm/ring.h>
#include <vtpm/tpm12.h>

enum {
	PAGES = 2, /* the ring and one extra page */
	TIMEOUT_MS = 300000,
	SHM_REF = 100, /* names of our own; a handle's begin at SHM_REF * handle */
};

struct frontend {
	const char *shm; /* NULL: Xen */
	bool guest;
	const char *uuid;
	unsigned handle;
	unsigned locality;
	char back[64];
	char front[64];
	struct xs_handle *xs;
	xengntshr_handle *gntshr;
	xenevtchn_handle *evtchn;
	int in;  /* readable after a notification */
	int out; /* of files: notifies */
	int port;
	uint32_t refs[PAGES];
	struct ring_page *page;
};

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("frontend: ", stderr);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

static void
node_put(struct frontend *f, const char *dir, const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (!xs_write(f->xs, XBT_NULL, path, value, (unsigned)strlen(value)))
		fail("cannot write %s: %m", path);
}

static void
node_put_number(struct frontend *f, const char *dir, const char *name, unsigned value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	node_put(f, dir, name, text);
}

static int
back_state(struct frontend *f)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/state", f->back);
	char *text = xs_read(f->xs, XBT_NULL, path, NULL);
	int state = text ? atoi(text) : 0;
	free(text);
	return state;
}

static uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void
wait_back_state(struct frontend *f, int wanted)
{
	uint64_t end = now_us() + TIMEOUT_MS * 1000ull;

	while (back_state(f) != wanted) {
		if (now_us() > end)
			fail("%s is at %d, not at %d", f->back, back_state(f), wanted);
		usleep(2000);
	}
}

static void
share_by_files(struct frontend *f)
{
	char path[256];

	f->page = mmap(NULL, PAGES * RING_PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (uint32_t i = 0; i < PAGES; i++) {
		f->refs[i] = SHM_REF * f->handle + i;
		snprintf(path, sizeof(path), "%s/grant.0.%u", f->shm, f->refs[i]);
		int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (fd < 0 || ftruncate(fd, RING_PAGE_SIZE) != 0 ||
		    mmap((uint8_t *)f->page + i * RING_PAGE_SIZE, RING_PAGE_SIZE,
			 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
			fail("%s: %m", path);
		close(fd);
	}
	f->port = (int)f->handle;
	int *const ends[] = { &f->in, &f->out };
	static const char *const names[] = { "front", "back" };
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/evtchn.0.%d.%s", f->shm, f->port, names[i]);
		unlink(path);
		if (mkfifo(path, 0600) != 0)
			fail("%s: %m", path);
		*ends[i] = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	}
}

static void
share_by_xen(struct frontend *f)
{
	f->gntshr = xengntshr_open(NULL, 0);
	f->evtchn = xenevtchn_open(NULL, 0);
	if (!f->gntshr || !f->evtchn)
		fail("no Xen here (%m); see --shm");
	f->page = xengntshr_share_pages(f->gntshr, 0, PAGES, f->refs, 1);
	f->port = xenevtchn_bind_unbound_port(f->evtchn, 0);
	if (!f->page || f->port < 0)
		fail("cannot share pages: %m");
	f->in = xenevtchn_fd(f->evtchn);
}

static void
notify(struct frontend *f)
{
	if (f->evtchn)
		(void)xenevtchn_notify(f->evtchn, (evtchn_port_t)f->port);
	else if (write(f->out, "", 1) != 1 && errno != EAGAIN)
		fail("notification: %m");
}

/* wait_notified: returns whether there was a notification in time. */
static bool
wait_notified(struct frontend *f, int timeout_ms)
{
	struct pollfd ready = { .fd = f->in, .events = POLLIN };
	char drain[256];

	if (poll(&ready, 1, timeout_ms) < 1)
		return false;
	if (f->evtchn) {
		int port = xenevtchn_pending(f->evtchn);
		if (port >= 0)
			(void)xenevtchn_unmask(f->evtchn, (evtchn_port_t)port);
	} else {
		while (read(f->in, drain, sizeof(drain)) > 0)
			continue;
	}
	return true;
}

/* find_device: the guest's own, in paths that are relative to its domain's. */
static void
find_device(struct frontend *f)
{
	char path[128];

	snprintf(f->front, sizeof(f->front), "device/vtpm/%u", f->handle);
	snprintf(path, sizeof(path), "%s/backend", f->front);
	char *back = xs_read(f->xs, XBT_NULL, path, NULL);
	if (!back)
		fail("no %s: %m", path);
	snprintf(f->back, sizeof(f->back), "%s", back);
	free(back);
	node_put(f, f->front, "state", "1");
}

static void
make_device(struct frontend *f)
{
	snprintf(f->back, sizeof(f->back), "/local/domain/0/backend/vtpm/0/%u", f->handle);
	snprintf(f->front, sizeof(f->front), "/local/domain/0/frontend/vtpm/0/%u", f->handle);
	node_put(f, f->front, "state", "1");
	node_put(f, f->front, "backend", f->back);
	node_put(f, f->back, "online", "1");
	node_put(f, f->back, "state", "1");
	node_put(f, f->back, "frontend-id", "0");
	node_put(f, f->back, "uuid", f->uuid);
	node_put(f, f->back, "frontend", f->front);
}

static void
connect_ring(struct frontend *f)
{
	f->xs = xs_open(0);
	if (!f->xs)
		fail("no xenstore: %m");
	if (f->shm)
		share_by_files(f);
	else
		share_by_xen(f);
	if (f->guest)
		find_device(f);
	else
		make_device(f);
	wait_back_state(f, 2);
	node_put_number(f, f->front, "ring-ref", f->refs[0]);
	node_put_number(f, f->front, "event-channel", (unsigned)f->port);
	node_put(f, f->front, "feature-protocol-v2", "1");
	node_put(f, f->front, "state", "3");
	wait_back_state(f, 4);
	node_put(f, f->front, "state", "4");
}

static void
disconnect_ring(struct frontend *f)
{
	node_put(f, f->front, "state", "6");
	if (f->guest) {
		wait_back_state(f, 6);
		return;
	}
	node_put(f, f->back, "online", "0");
	node_put(f, f->back, "state", "5");
	wait_back_state(f, 6);
	xs_rm(f->xs, XBT_NULL, f->back);
	xs_rm(f->xs, XBT_NULL, f->front);
}

static uint8_t
ring_state(struct frontend *f)
{
	return __atomic_load_n(&f->page->state, __ATOMIC_ACQUIRE);
}

static void
submit(struct frontend *f, const uint8_t *cmd, size_t len)
{
	f->page->nr_extra_pages = 1;
	f->page->extra_pages[0] = f->refs[1];
	f->page->locality = (uint8_t)f->locality;
	memcpy((uint8_t *)f->page + 12, cmd, len);
	f->page->length = (uint32_t)len;
	__atomic_store_n(&f->page->state, RING_SUBMIT, __ATOMIC_RELEASE);
	notify(f);
}

/* execute: returns the response, in the ring. */
static const uint8_t *
execute(struct frontend *f, const uint8_t *cmd, size_t len, size_t *response_len)
{
	submit(f, cmd, len);
	while (ring_state(f) == RING_SUBMIT)
		if (!wait_notified(f, TIMEOUT_MS))
			fail("no response in %d s", TIMEOUT_MS / 1000);
	if (ring_state(f) != RING_FINISH)
		fail("the command was abandoned");
	*response_len = f->page->length;
	return (const uint8_t *)f->page + 12;
}

static const uint8_t pcr_read[] = { 0, 0xc1, 0, 0, 0, 14, 0, 0, 0, 0x15, 0, 0, 0, 0 };

/* check: one harmless command must succeed. Returns the time it took. */
static uint64_t
check(struct frontend *f)
{
	static const uint8_t success[4];
	uint64_t start = now_us();
	size_t len;
	const uint8_t *response = execute(f, pcr_read, sizeof(pcr_read), &len);

	if (len < 10 || memcmp(response + 6, success, 4) != 0)
		fail("TPM_PCRRead failed");
	return now_us() - start;
}

static void
do_send(struct frontend *f, char **args)
{
	uint8_t cmd[TPM_BUFFER_SIZE];

	for (; *args; args++) {
		size_t len = strlen(*args) / 2, response_len;
		for (size_t i = 0; i < len && i < sizeof(cmd); i++)
			if (sscanf(*args + 2 * i, "%2hhx", &cmd[i]) != 1)
				fail("%s is not hexadecimal", *args);
		const uint8_t *response = execute(f, cmd, len, &response_len);
		for (size_t i = 0; i < response_len; i++)
			printf("%02x", response[i]);
		putchar('\n');
	}
}

static unsigned long
count_of(char **args)
{
	return *args ? strtoul(*args, NULL, 10) : 1000;
}

static void
do_load(struct frontend *f, char **args)
{
	unsigned long count = count_of(args);
	uint64_t start, longest = 0;

	check(f); /* the instance is there */
	start = now_us();
	for (unsigned long i = 0; i < count; i++) {
		uint64_t took = check(f);
		longest = took > longest ? took : longest;
	}
	printf("%lu commands, %.0f in a second, longest %.1f ms\n", count,
	       (double)count * 1e6 / (double)(now_us() - start), (double)longest / 1000);
}

static void
do_flood(struct frontend *f, char **args)
{
	for (unsigned long i = count_of(args); i > 0; i--)
		notify(f);
	printf("answered after %.1f ms\n", (double)check(f) / 1000);
}

static void
do_scribble(struct frontend *f, char **args)
{
	check(f);
	for (unsigned long i = count_of(args); i > 0; i--) {
		uint8_t header[16];

		if (getrandom(header, sizeof(header), 0) != sizeof(header))
			fail("no random bytes: %m");
		/* Mostly commands, the last one too, and mostly of a size that is looked at. */
		header[2] = header[3] = 0;
		header[4] = header[4] < 200 || i == 1 ? RING_SUBMIT : header[4];
		memcpy(f->page, header, sizeof(header));
		notify(f);
	}
	/* A command of random bytes may still be running; its answer is not the next one's. */
	while (ring_state(f) == RING_SUBMIT && wait_notified(f, TIMEOUT_MS))
		continue;
	f->page->state = RING_IDLE;
	printf("answered after %.1f ms\n", (double)check(f) / 1000);
}

/* Submits a command and ends without a word, as a domain that is killed. */
static void
do_die(struct frontend *f, char **args)
{
	(void)args;
	check(f);
	submit(f, pcr_read, sizeof(pcr_read));
	_exit(EXIT_SUCCESS);
}

static const struct action {
	const char *name;
	void (*run)(struct frontend *f, char **args);
	const char *usage;
} actions[] = {
	{ "send", do_send, "HEX...: TPM commands, and prints the responses" },
	{ "load", do_load, "COUNT: so many TPM_PCRRead, and how fast they were" },
	{ "flood", do_flood, "COUNT: so many notifications for nothing, then a command" },
	{ "scribble", do_scribble, "COUNT: so many rings of random bytes, then a command" },
	{ "die", do_die, "a command, and the process ends before the response" },
};

static void
usage(FILE *to)
{
	fputs("usage: frontend [--shm DIR | --guest] [--uuid UUID] [--handle N] [--locality N] "
	      "ACTION\n",
	      to);
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		fprintf(to, "  %s %s\n", actions[i].name, actions[i].usage);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "shm", required_argument, NULL, 's' },
		{ "guest", no_argument, NULL, 'g' },
		{ "uuid", required_argument, NULL, 'u' },
		{ "handle", required_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },
		{ "locality", required_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	struct frontend f = { .uuid = "00000000-0000-4000-8000-000000000001", .handle = 1 };
	int key;

	while ((key = getopt_long(argc, argv, "+", options, NULL)) != -1)
		switch (key) {
		case 's':
			f.shm = optarg;
			break;
		case 'g':
			f.guest = true;
			break;
		case 'u':
			f.uuid = optarg;
			break;
		case 'n':
			f.handle = (unsigned)atoi(optarg);
			break;
		case 'l':
			f.locality = (unsigned)atoi(optarg);
			break;
		case 'h':
			usage(stdout);
			return EXIT_SUCCESS;
		default:
			usage(stderr);
			return 2;
		}
	for (size_t i = 0; optind < argc && i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(actions[i].name, argv[optind]) == 0) {
			connect_ring(&f);
			actions[i].run(&f, argv + optind + 1);
			disconnect_ring(&f);
			return EXIT_SUCCESS;
		}
	usage(stderr);
	return 2;
}
