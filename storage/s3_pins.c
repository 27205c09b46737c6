#include "storage/s3_pins.h"


/* Ids are random. */

static unsigned
s3_pins_slot(const uint8_t id[16])
{
    return (unsigned) (s3_get64(id) % S3_PINS);
}


/* One more than what counts: 0 is no stamp. */

uint64_t
s3_pins_stamp(const s3_pins_t *pins)
{
    return __atomic_load_n(&pins->freed, __ATOMIC_ACQUIRE) + 1;
}


static void
s3_pins_add(s3_pins_t *pins, unsigned proc, unsigned slot, uint32_t n)
{
    uint32_t *count = &pins->counts[slot][proc];

    /* sequentially consistent: comes before the look that follows */
    __atomic_store_n(count, __atomic_load_n(count, __ATOMIC_RELAXED) + n,
                     __ATOMIC_SEQ_CST);
}


int
s3_pin(s3_pins_t *pins, unsigned proc, const uint8_t id[16], uint64_t stamp)
{
    unsigned slot = s3_pins_slot(id);

    s3_pins_add(pins, proc, slot, 1);

    if (stamp && __atomic_load_n(&pins->last[slot], __ATOMIC_SEQ_CST) >= stamp)
    {
        s3_pins_add(pins, proc, slot, (uint32_t) -1);
        return 0;
    }

    return 1;
}


void
s3_unpin(s3_pins_t *pins, unsigned proc, const uint8_t id[16])
{
    s3_pins_add(pins, proc, s3_pins_slot(id), (uint32_t) -1);
}


int
s3_pinned(const s3_pins_t *pins, const uint8_t id[16])
{
    unsigned i, slot = s3_pins_slot(id);

    for (i = 0; i < S3_PINS_PROCS; i++) {
        if (__atomic_load_n(&pins->counts[slot][i], __ATOMIC_SEQ_CST)) {
            return 1;
        }
    }

    return 0;
}


int
s3_pins_free(s3_pins_t *pins, const uint8_t id[16])
{
    uint64_t now, was, *last;

    last = &pins->last[s3_pins_slot(id)];
    now = __atomic_add_fetch(&pins->freed, 1, __ATOMIC_SEQ_CST);
    was = __atomic_load_n(last, __ATOMIC_RELAXED);

    /* another one of the same hash may be ahead */
    while (was < now
           && !__atomic_compare_exchange_n(last, &was, now, 0, __ATOMIC_SEQ_CST,
                                           __ATOMIC_RELAXED))
    {
        /* void */
    }

    return s3_pinned(pins, id);
}


void
s3_pins_clear(s3_pins_t *pins, unsigned proc)
{
    unsigned i;

    for (i = 0; i < S3_PINS; i++) {
        __atomic_store_n(&pins->counts[i][proc], 0, __ATOMIC_RELEASE);
    }
}
