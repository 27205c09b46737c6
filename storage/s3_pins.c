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
    return __atomic_load_n(&pins->announced, __ATOMIC_ACQUIRE) + 1;
}


static void
s3_pins_use(s3_pins_t *pins, unsigned proc)
{
    uint32_t procs = __atomic_load_n(&pins->procs, __ATOMIC_SEQ_CST);

    while (procs <= proc
           && !__atomic_compare_exchange_n(&pins->procs, &procs, proc + 1, 0,
                                           __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
    {
        /* void */
    }
}


unsigned
s3_pin(s3_pins_t *pins, unsigned proc, const uint8_t id[16], uint64_t stamp)
{
    unsigned slot = s3_pins_slot(id), bits = 0;
    uint16_t n, *count = &pins->counts[proc][slot];

    s3_pins_use(pins, proc);

    n = __atomic_load_n(count, __ATOMIC_RELAXED);

    if (n < UINT16_MAX) {
        /* sequentially consistent: comes before the look that follows */
        __atomic_store_n(count, (uint16_t) (n + 1), __ATOMIC_SEQ_CST);
        bits = S3_PIN_HELD;
    }

    if (stamp == 0
        || __atomic_load_n(&pins->last[slot], __ATOMIC_SEQ_CST) < stamp) {
        bits |= S3_PIN_SURE;
    }

    return bits;
}


void
s3_unpin(s3_pins_t *pins, unsigned proc, const uint8_t id[16])
{
    uint16_t *count = &pins->counts[proc][s3_pins_slot(id)];

    __atomic_store_n(count,
                     (uint16_t) (__atomic_load_n(count, __ATOMIC_RELAXED) - 1),
                     __ATOMIC_RELEASE);
}


int
s3_pinned(const s3_pins_t *pins, const uint8_t id[16])
{
    unsigned i, n, slot = s3_pins_slot(id);

    n = __atomic_load_n(&pins->procs, __ATOMIC_SEQ_CST);

    for (i = 0; i < n; i++) {
        if (__atomic_load_n(&pins->counts[i][slot], __ATOMIC_SEQ_CST)) {
            return 1;
        }
    }

    return 0;
}


void
s3_pins_announce(s3_pins_t *pins, const uint8_t id[16])
{
    uint64_t now, was, *last;

    last = &pins->last[s3_pins_slot(id)];
    now = __atomic_add_fetch(&pins->announced, 1, __ATOMIC_SEQ_CST);
    was = __atomic_load_n(last, __ATOMIC_SEQ_CST);

    /* another one of the same hash may be ahead */
    while (was < now
           && !__atomic_compare_exchange_n(last, &was, now, 0, __ATOMIC_SEQ_CST,
                                           __ATOMIC_SEQ_CST))
    {
        /* void */
    }
}


void
s3_pins_clear(s3_pins_t *pins, unsigned proc)
{
    unsigned i;

    for (i = 0; i < S3_PINS; i++) {
        __atomic_store_n(&pins->counts[proc][i], 0, __ATOMIC_RELEASE);
    }
}
