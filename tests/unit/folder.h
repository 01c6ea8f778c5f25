/*
 * folder.h - a folder of a test's own, and what tests do to the files in it. Failures end the test.
 */
#ifndef TESTS_UNIT_FOLDER_H
#define TESTS_UNIT_FOLDER_H

enum { FOLDER_NAME_MAX = 64 };

/* folder_make, folder_remove: a new empty folder, and its end with all files in it. */
void folder_make(char folder[FOLDER_NAME_MAX]);
void folder_remove(const char *folder);

/* folder_empty: removes all files in it. */
void folder_empty(const char *folder);

/* folder_path: the path of a file in it; valid until the fourth next call. */
const char *folder_path(const char *folder, const char *name);

void folder_copy(const char *folder, const char *from, const char *to);
void folder_copy_all(const char *from, const char *to); /* between folders */
void folder_rename(const char *folder, const char *from, const char *to);

/* folder_digest: a text that tells names and contents of all files; to be freed by the caller. */
char *folder_digest(const char *folder);

#endif
