/*
 * Which blocks of storage/ were run, and death at any of them.
 *
 * The compiler calls __sanitizer_cov_trace_pc() at every block of the files
 * that are built with -fsanitize-coverage=trace-pc.  A doomed thread ends
 * there once its blocks are used up: what it was doing stays half done in
 * memory, and a lock that it holds is found by the next owner as that of a
 * dead one.
 */

#include <pthread.h>
#include <sys/mman.h>

#include "t/sim/s3_sim.h"

#define TEXT (8u << 20)
#define FIRST ((uintptr_t) __executable_start)

extern const char __executable_start[];

void __sanitizer_cov_trace_pc(void);

uint64_t sim_doom = UINT64_MAX;
static unsigned patience; /* blocks to wait for a lock to be held */
static uint8_t *covered;  /* bits, shared with child processes */

typedef struct {
    void (*f)(void *ctx);
    void *ctx;
    int over;
} doomed_t;


/* There is one thread that runs storage/: if any holds one, that does. */

static int
lock_held(void)
{
    unsigned i;
    s3_zone_t *z = sim_w.zone;

    for (i = 0; i < sim_w.n; i++) {
        if (z->drives[i].lock.__data.__owner) {
            return 1;
        }
    }

    return 0;
}


__attribute__((noinline)) static void
reached(uintptr_t at)
{
    __atomic_fetch_or(&covered[at / 8], (uint8_t) (1u << at % 8),
                      __ATOMIC_RELAXED);
}


__attribute__((noinline)) static void
doomed(void)
{
    if (patience && !lock_held()) {
        patience--;
        sim_doom = 1;
        return;
    }

    sim_doom = UINT64_MAX;
    pthread_exit(NULL);
}


void
__sanitizer_cov_trace_pc(void)
{
    uintptr_t at = (uintptr_t) __builtin_return_address(0) - FIRST;

    /* a call at a function's end returns to its caller, wherever that is */

    if (__builtin_expect(at < TEXT && !(covered[at / 8] >> at % 8 & 1), 0)) {
        reached(at);
    }

    if (__builtin_expect(--sim_doom == 0, 0)) {
        doomed();
    }
}


static void *
doomed_run(void *arg)
{
    doomed_t *d = arg;

    d->f(d->ctx);
    d->over = 1;

    return NULL;
}


int
sim_doomed(void (*f)(void *ctx), void *ctx, uint64_t blocks, int locked)
{
    doomed_t d = {f, ctx, 0};
    pthread_t thread;

    sim_doom = blocks;
    patience = locked ? 20000 : 0;

    if (pthread_create(&thread, NULL, doomed_run, &d) != 0
        || pthread_join(thread, NULL) != 0)
    {
        sim_fail("no thread");
        exit(1);
    }

    sim_doom = UINT64_MAX;

    return !d.over;
}


static void
die(void *ctx)
{
    (void) ctx;
    pthread_exit(NULL);
}


void
sim_cover_open(void)
{
    covered = mmap(NULL, TEXT / 8, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (covered == MAP_FAILED) {
        abort();
    }

    /* what the first death of a thread loads and keeps */

    (void) sim_doomed(die, NULL, UINT64_MAX, 0);
}


int
sim_cover_write(const char *path)
{
    size_t i;
    FILE *f;

    f = fopen(path, "w");
    if (f == NULL) {
        return -1;
    }

    for (i = 0; i < TEXT; i++) {
        if (covered[i / 8] >> i % 8 & 1) {
            fprintf(f, "%zx\n", FIRST + i);
        }
    }

    return fclose(f);
}
