/*
 * The histories of the simulated world: one of each key of the bucket that is
 * always there, one of the short-lived bucket with its keys.
 */

#include "t/sim/s3_sim.h"

static hist_t histories[SIM_KEYS + 1];


static hist_t *
history_of(unsigned key)
{
    return &histories[s3_min(key, (unsigned) SIM_KEYS)];
}


void
sim_history_reset(void)
{
    unsigned k;

    for (k = 0; k < SIM_KEYS; k++) {
        hist_reset(&histories[k], HIST_SAME);
    }

    hist_reset(&histories[SIM_KEYS], 0);
}


int
sim_history_full(unsigned key)
{
    return history_of(key)->n + 24 > HIST_EVENTS;
}


hist_event_t *
sim_event(unsigned key, int i)
{
    return &history_of(key)->events[i];
}


uint64_t
sim_events_total(void)
{
    unsigned k;
    uint64_t n = 0;

    for (k = 0; k <= SIM_KEYS; k++) {
        n += histories[k].n;
    }

    return n;
}


int
sim_begin(unsigned key, hist_kind_t kind, unsigned client)
{
    hist_t *h = history_of(key);

    if (h->n == HIST_EVENTS) {
        sim_fail("too many events");
        exit(1);
    }

    return hist_begin(h, kind, key < SIM_KEYS ? 0 : key - SIM_KEYS, client);
}


void
sim_end(unsigned key, int i, int rc)
{
    hist_end(history_of(key), i, rc);
}


void
sim_end_maybe(unsigned key, int i)
{
    hist_end_maybe(history_of(key), i);
}


int
sim_histories_check(void)
{
    int good;
    unsigned k;

    good = 1;

    for (k = 0; k <= SIM_KEYS; k++) {
        if (!hist_check(&histories[k])) {
            good = 0;

            if (k < SIM_KEYS) {
                sim_fail("key %u is not linearizable", k);

            } else {
                sim_fail("the short-lived bucket is not linearizable");
            }
        }
    }

    return good;
}


void
sim_histories_print(void)
{
    unsigned k;

    for (k = 0; k <= SIM_KEYS; k++) {
        if (histories[k].n) {
            printf(k < SIM_KEYS ? "key %u\n" : "short-lived bucket\n", k);
            hist_print(&histories[k]);
        }
    }
}
