/*
 * stored.h - a store in a folder of a test's own, and what tests do to it. Failures end the test.
 */
#ifndef TESTS_UNIT_STORED_H
#define TESTS_UNIT_STORED_H

#include <stddef.h>
#include <stdint.h>

#include "manager/store.h"
#include "tests/unit/folder.h"

extern char stored_folder[FOLDER_NAME_MAX];
extern const uint8_t stored_key[STORE_KEY_SIZE];
extern struct store *stored; /* open, and new, at the begin of a test */

/* For suite_run. */
void stored_set_up(void);
void stored_tear_down(void);

/* stored_reopen: a clean end, and the next start. */
void stored_reopen(void);

/* stored_die_and_close: leaves what kill -9 of the manager leaves. stored_die_and_reopen: and the
 * next start. */
void stored_die_and_close(void);
void stored_die_and_reopen(void);

/* stored_refused_untouched: after a clean end, the next start fails with error, changing nothing.
 */
void stored_refused_untouched(int error);

/* stored_define: an instance with the uuid { uuid, 0, ... }. Returns its number. */
uint32_t stored_define(uint8_t uuid);

/* stored_save: a text as its NVM. stored_is: that is what is loaded. */
void stored_save(uint32_t id, const char *nvm);
void stored_is(uint32_t id, const char *expected);

/* stored_is_refused: and cannot be loaded. */
void stored_is_refused(uint32_t id);

/* stored_file: the name of its file; valid until the next call. */
const char *stored_file(uint32_t id);
size_t stored_size_of(const char *name);

/* stored_flip: changes one byte of a file. */
void stored_flip(const char *name, size_t at);

#endif
