/*
 * background.h - work that gives way to others: a thread of low priority for commands that take
 * long, so that a guest which makes key after key delays no other's TPM.
 *
 * Never do two threads work at once: who hands work over waits for its end.
 */
#ifndef INSTANCE_BACKGROUND_H
#define INSTANCE_BACKGROUND_H

struct background;

/*
 * background_open: may do what the caller may at this moment. Returns 0 or a negative errno; to be
 * closed with background_close, NULL is fine.
 */
int background_open(struct background **background);
void background_close(struct background *background);

/* background_run: does work(arg) there, or here if background is NULL; returns when it is done. */
void background_run(struct background *background, void (*work)(void *arg), void *arg);

#endif
