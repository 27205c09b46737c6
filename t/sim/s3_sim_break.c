/*
 * Which way storage/ is broken; see storage/s3_break.h.
 */

#include "t/sim/s3_sim.h"
#include "storage/s3_break.h"

#ifdef S3_BREAKS

#define NAME(name) #name,

s3_break_t s3_broken;

static const char *names[] = {S3_BREAK_LIST(NAME)};


/* Faults that find it soon, where not all of them do. */

static const struct {
    s3_break_t what;
    unsigned faults;
} hints[] = {
    {S3_BREAK_NO_UNIT_SUM, SIM_F_ROT | SIM_F_POWER},
    {S3_BREAK_NO_RECORD_SUM, SIM_F_ROT | SIM_F_POWER},
    {S3_BREAK_LOCK_LOST, SIM_F_KILL},
    {S3_BREAK_DROP_EARLY, SIM_F_KILL},
    {S3_BREAK_NO_FENCE, SIM_F_NET | SIM_F_KILL},
    {S3_BREAK_NO_RING, SIM_F_NET | SIM_F_POWER | SIM_F_CLOCK},
    {S3_BREAK_REFUSE_PENDING, SIM_F_NET | SIM_F_KILL | SIM_F_POWER},
};


int
sim_break_faults(void)
{
    unsigned i;

    for (i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
        if (hints[i].what == s3_broken) {
            return (int) hints[i].faults;
        }
    }

    return -1;
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
