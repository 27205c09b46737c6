/*
 * Which way storage/ is broken; see storage/s3_break.h.
 */

#include "t/sim/s3_sim.h"
#include "storage/s3_break.h"

#ifdef S3_BREAKS

#define NAME(name) #name,

s3_break_t s3_broken;

static const char *names[] = {S3_BREAK_LIST(NAME)};


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
