/*
 * why.h - why something failed, as a sentence for the operator that travels up beside the errno.
 */
#ifndef MIGRATION_WHY_H
#define MIGRATION_WHY_H

enum { WHY_SIZE = 768 };

struct why {
	char text[WHY_SIZE];
};

/*
 * why_set: keeps the sentence, cut to what fits, with control characters (it may quote a peer)
 * shown as '?'. Returns rc, a negative errno.
 */
int why_set(struct why *why, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
