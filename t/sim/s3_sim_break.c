/*
 * Which way storage/ is broken; see storage/s3_break.h.
 */

#include "t/sim/s3_sim.h"
#include "storage/s3_break.h"

#ifdef S3_BREAKS

#define NAME(name) #name,

s3_break_t s3_broken;

static const char *names[] = {S3_BREAK_LIST(NAME)};


/* Where not any fault finds it soon, those that do; and how many seeds to try,
 * a few times as many as it took. */

static const struct {
    s3_break_t what;
    int faults; /* -1: those of the seed */
    unsigned seeds;
} hints[] = {
    {S3_BREAK_NO_UNIT_SUM, SIM_F_ROT | SIM_F_POWER, 200},
    {S3_BREAK_NO_RECORD_SUM, SIM_F_ROT | SIM_F_POWER, 800},
    {S3_BREAK_LOCK_LOST, SIM_F_KILL, 200},
    {S3_BREAK_DROP_EARLY, SIM_F_KILL, 3000},
    {S3_BREAK_COMPLETE_AT_W, SIM_F_STRAY | SIM_F_DUEL, 200},
    {S3_BREAK_RETRY, SIM_F_STRAY | SIM_F_DUEL, 500},
    {S3_BREAK_NO_NOTES, SIM_F_CUT | SIM_F_NET | SIM_F_KILL, 1500},
    {S3_BREAK_WEAK_KILL, SIM_F_STRAY | SIM_F_DUEL, 500},
    {S3_BREAK_NO_FENCE, SIM_F_STRAY | SIM_F_DUEL, 1000},
    {S3_BREAK_NO_ORDER, -1, 1000},
    {S3_BREAK_REFUSE_PENDING, SIM_F_STRAY | SIM_F_DUEL | SIM_F_KILL, 10000},
    {S3_BREAK_NO_RING, SIM_F_STRAY | SIM_F_DUEL, 300},
    {S3_BREAK_EARLY_PURGE, SIM_F_NET | SIM_F_KILL | SIM_F_BRIEF, 3000},
    {S3_BREAK_DOUBT_IS_EMPTY, SIM_F_NET | SIM_F_BRIEF, 600},
};

#define SEEDS 500


static int
hint(void)
{
    unsigned i;

    for (i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
        if (hints[i].what == s3_broken) {
            return (int) i;
        }
    }

    return -1;
}


int
sim_break_faults(void)
{
    int i = hint();

    return i < 0 ? -1 : hints[i].faults;
}


unsigned
sim_break_seeds(void)
{
    int i = hint();

    return i < 0 ? SEEDS : hints[i].seeds;
}


int
sim_break_select(const char *name)
{
    unsigned i;

    for (i = 0; i < S3_BREAK_COUNT; i++) {
        if (strcmp(name, names[i]) == 0) {
            s3_broken = (s3_break_t) i;
            return 0;
        }
    }

    return -1;
}


void
sim_break_list(void)
{
    unsigned i;

    for (i = 1; i < S3_BREAK_COUNT; i++) {
        puts(names[i]);
    }
}

#else


int
sim_break_faults(void)
{
    return -1;
}


unsigned
sim_break_seeds(void)
{
    return 0;
}


int
sim_break_select(const char *name)
{
    (void) name;

    return -1;
}


void
sim_break_list(void)
{
}

#endif
