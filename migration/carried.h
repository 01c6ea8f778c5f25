/*
 * carried.h - vTPMs whose state travels with their guest's QEMU, in the stream of xl migrate: QEMU
 * takes it from the vTPM here and gives it to the one that it finds there. What is left to do is to
 * see to it beforehand that it finds one, and afterwards that this one is not used any more.
 */
#ifndef MIGRATION_CARRIED_H
#define MIGRATION_CARRIED_H

#include <vtpm/info.h>

#include "migration/migrator.h"

/*
 * carried_begin: whether the vTPM (a uuid or a number) may go to the host that was chosen, and QEMU
 * will find it there. *vtpm is what this host says of it. Returns 0 or a negative errno, with *why.
 */
int carried_begin(struct migrator *migrator, const char *text, struct info *vtpm, struct why *why);

/* carried_end: its guest is there, so it has left here; says so. Returns as carried_begin. */
int carried_end(struct migrator *migrator, const struct info *vtpm, struct why *why);

#endif
