/* Monotonic counters [TPM Main Part 3, 25; Part 1, 20]. */
#include "tpmcore/commands.h"

/*
 * At ten increments a second the 32 bits of a counter last for 13 years; the specification asks for
 * seven, at one every five seconds. Who hurries for a moment need not wait: only the average
 * counts, over the last THROTTLE_BURST.
 */
enum {
	INTERVAL_US = COUNTER_INTERVAL * 100000,
	THROTTLE_BURST_US = 64 * INTERVAL_US,
};

struct counter *
counter_find(struct tpm *tpm, uint32_t id)
{
	if (id >= MAX_COUNTERS || !tpm->permanent.counters[id].valid)
		return NULL;
	return &tpm->permanent.counters[id];
}

static uint32_t
counter_id(const struct tpm *tpm, const struct counter *counter)
{
	return (uint32_t)(counter - tpm->permanent.counters);
}

static struct entity
counter_entity(const struct tpm *tpm, const struct counter *counter)
{
	return entity_number(TPM_ET_COUNTER, counter_id(tpm, counter), counter->auth);
}

/* TPM_COUNTER_VALUE [Part 2, 5.13]. */
static void
counter_write(struct writer *w, const struct counter *counter)
{
	writer_u16(w, TPM_TAG_COUNTER_VALUE);
	writer_bytes(w, counter->label, sizeof(counter->label));
	writer_u32(w, counter->value);
}

/* When the active counter goes there is no other until the next boot. */
static void
counter_release(struct tpm *tpm, struct counter *counter)
{
	if (tpm->stclear.counter_active == counter_id(tpm, counter) + 1) {
		tpm->stclear.counter_active = 0;
		tpm->stclear.counter_released = true;
	}
	session_terminate_entity(tpm, counter_entity(tpm, counter));
	crypto_wipe(counter, sizeof(*counter));
	tpm->changed |= TPM_CHANGED_PERMANENT;
}

void
counters_owner_clear(struct tpm *tpm)
{
	for (uint32_t id = 0; id < MAX_COUNTERS; id++)
		if (tpm->permanent.counters[id].valid)
			counter_release(tpm, &tpm->permanent.counters[id]);
	/* countID is of TPM_STCLEAR_DATA, which is reset [Part 3, 6.2]. */
	tpm->stclear.counter_released = false;
}

TPM_RESULT
tpm_CreateCounter(struct command *c)
{
	struct permanent *p = &c->tpm->permanent;
	const uint8_t *encAuth = reader_view(&c->in, DIGEST_SIZE);
	struct counter *counter = p->counters;

	while (counter->valid)
		if (++counter == p->counters + MAX_COUNTERS)
			return TPM_RESOURCES;
	TPM_RESULT rc = auth_decrypt(c, 0, false, encAuth, counter->auth);
	if (rc)
		return rc;
	/* It starts above all that any counter ever was, so that no value comes twice. */
	counter->value = ++p->counter_base;
	counter->valid = true;
	reader_bytes(&c->in, counter->label, sizeof(counter->label));
	writer_u32(&c->out, counter_id(c->tpm, counter));
	counter_write(&c->out, counter);
	c->tpm->changed |= TPM_CHANGED_PERMANENT;
	return TPM_SUCCESS;
}

static TPM_RESULT
throttle(struct tpm *tpm)
{
	uint64_t now = tpm->platform.now(tpm->platform.ctx);
	uint64_t due = tpm->stany.counter_due > now ? tpm->stany.counter_due : now;

	if (due - now > THROTTLE_BURST_US)
		return TPM_RETRY;
	tpm->stany.counter_due = due + INTERVAL_US;
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_IncrementCounter(struct command *c)
{
	struct tpm *tpm = c->tpm;
	uint32_t id = reader_u32(&c->in);
	struct counter *counter = counter_find(tpm, id);
	uint32_t active = tpm->stclear.counter_active;

	/* 1., 2. One counter a boot */
	if (!counter || tpm->stclear.counter_released || (active != 0 && active != id + 1))
		return TPM_BAD_COUNTER;
	TPM_RESULT rc = auth_verify(c, 0, counter_entity(tpm, counter));
	if (rc == TPM_SUCCESS)
		rc = throttle(tpm);
	if (rc)
		return rc;
	tpm->stclear.counter_active = id + 1;
	/* 3. */
	counter->value++;
	if (tpm->permanent.counter_base < counter->value)
		tpm->permanent.counter_base = counter->value;
	counter_write(&c->out, counter);
	tpm->changed |= TPM_CHANGED_PERMANENT;
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_ReadCounter(struct command *c)
{
	const struct counter *counter = counter_find(c->tpm, reader_u32(&c->in));

	if (!counter)
		return TPM_BAD_COUNTER;
	counter_write(&c->out, counter);
	return TPM_SUCCESS;
}

TPM_RESULT
tpm_ReleaseCounter(struct command *c)
{
	struct counter *counter = counter_find(c->tpm, reader_u32(&c->in));

	if (!counter)
		return TPM_BAD_COUNTER;
	TPM_RESULT rc = auth_verify(c, 0, counter_entity(c->tpm, counter));
	if (rc == TPM_SUCCESS)
		counter_release(c->tpm, counter);
	return rc;
}

TPM_RESULT
tpm_ReleaseCounterOwner(struct command *c)
{
	struct counter *counter = counter_find(c->tpm, reader_u32(&c->in));

	if (!counter)
		return TPM_BAD_COUNTER;
	counter_release(c->tpm, counter);
	return TPM_SUCCESS;
}
