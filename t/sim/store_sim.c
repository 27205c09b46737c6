/*
 * The real store over simulated drives, from one seed: see s3_sim.h.
 *
 *   store_sim [first seed [count]] [-v] [-b batch] [-c file] [-t seconds]
 *             [-f faults] [-x break] [-l]
 *
 *   -v  tells what happens, and shows the histories of the keys
 *   -b  seeds in one child process; 0: no child processes
 *   -c  addresses of the blocks of storage/ that were run, into that file
 *   -t  ends after so many seconds, whatever the count
 *   -f  these kinds of faults (bits SIM_F_...), not those of the seed
 *   -x  with storage/ broken in that way on purpose (s3_break.h): status 0
 *       where a seed fails, as it must
 *   -l  the names of all such breaks
 */

#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "t/sim/s3_sim.h"

#define BATCH 20
#define SEED_SECONDS 120 /* then it hangs */


const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
    return "detect_leaks=0";
}


int sim_verbose;
unsigned sim_failures;

static int forced = -1; /* faults */

typedef struct {
    uint64_t seed; /* under way */
    uint64_t worlds;
    uint64_t events;
    uint64_t us; /* virtual */
    uint64_t stuck;
} shared_t;

static shared_t *shared;


void
sim_fail(const char *fmt, ...)
{
    va_list args;

    if (sim_failures++ == 0) {
        printf("seed %llu, %u drives, parity %u, faults %x, %llu us: ",
               (unsigned long long) sim_w.seed, sim_w.n, sim_w.m, sim_w.faults,
               (unsigned long long) s3_sim_now(sim_w.sim));
        va_start(args, fmt);
        vprintf(fmt, args);
        va_end(args);
        putchar('\n');
        fflush(stdout);
    }
}


void
sim_say(const char *fmt, ...)
{
    va_list args;

    if (sim_verbose) {
        fprintf(stderr, "[%llu us] ",
                (unsigned long long) s3_sim_now(sim_w.sim));
        va_start(args, fmt);
        vfprintf(stderr, fmt, args);
        va_end(args);
        fputc('\n', stderr);
    }
}


/* The bucket's record, so that walks find it. */

static void
put_done(s3_put_t *put)
{
    *(int *) put->ctx = 1;
}


static void
make_bucket(void)
{
    int flag = 0;
    s3_put_t put;

    memset(&put, 0, sizeof(put));
    put.store = sim_w.proc[0]->store;
    put.bucket = S3_BUCKET_BUCKETS;
    put.key = s3_string("bucket");
    put.entry.kind = S3_KIND_OBJECT;
    put.entry.extra_len = 8;
    s3_put64(put.entry.extra, SIM_BUCKET);
    put.done = put_done;
    put.ctx = &flag;
    s3_store_put(&put);
    s3_sim_until(sim_w.sim, &flag);

    if (!flag || put.rc != S3_OK) {
        sim_fail("no bucket: %s", s3_strerror(put.rc));
        exit(1);
    }
}


static unsigned
choose_faults(uint64_t seed)
{
    static const unsigned profiles[] = {
        SIM_F_NET,
        SIM_F_KILL,
        SIM_F_KILL | SIM_F_NET,
        SIM_F_POWER | SIM_F_KILL,
        SIM_F_AWAY | SIM_F_NET | SIM_F_CLOCK,
        SIM_F_AWAY | SIM_F_HANG | SIM_F_KILL,
        SIM_F_EIO | SIM_F_POWER,
        SIM_F_EIO | SIM_F_FULL | SIM_F_AWAY,
        SIM_F_REPLACE | SIM_F_NET | SIM_F_KILL,
        SIM_F_REPLACE | SIM_F_AWAY | SIM_F_CLOCK,
        SIM_F_ROT | SIM_F_POWER,
        SIM_F_ROT | SIM_F_AWAY | SIM_F_CLOCK,
        SIM_F_NET | SIM_F_KILL | SIM_F_POWER | SIM_F_AWAY | SIM_F_HANG
            | SIM_F_CLOCK,
        SIM_F_NET | SIM_F_KILL | SIM_F_POWER | SIM_F_AWAY | SIM_F_HANG
            | SIM_F_EIO | SIM_F_FULL | SIM_F_CLOCK,
        SIM_F_NET | SIM_F_KILL | SIM_F_POWER | SIM_F_AWAY | SIM_F_HANG
            | SIM_F_EIO | SIM_F_FULL | SIM_F_CLOCK | SIM_F_REPLACE,
        SIM_F_NET | SIM_F_KILL | SIM_F_POWER | SIM_F_AWAY | SIM_F_HANG
            | SIM_F_CLOCK | SIM_F_ROT};

    return profiles[seed % (sizeof(profiles) / sizeof(profiles[0]))];
}


static int
run(uint64_t seed)
{
    static const struct {
        unsigned n, m;
    } shapes[] = {{1, 0}, {2, 1}, {3, 1}, {3, 1}, {4, 2},
                  {4, 2}, {5, 2}, {3, 0}, {6, 3}, {4, 1}};
    unsigned i, steps, shape, faults;

    shape = (unsigned) (seed * 0x9e3779b97f4a7c15ull >> 40)
            % (sizeof(shapes) / sizeof(shapes[0]));
    faults = forced >= 0 ? (unsigned) forced : choose_faults(seed);

    sim_failures = 0;
    sim_history_reset();
    sim_net_calm();
    sim_open(seed, shapes[shape].n, shapes[shape].m, faults);
    sim_start(0);
    make_bucket();
    sim_clients_open();
    sim_faults_open();

    steps = 20 + sim_chance(40);

    for (i = 0; i < steps && !sim_failures; i++) {
        sim_run(SIM_MS * (1 + sim_chance(sim_chance(4) ? 60 : 1000)));

        if (sim_failures == 0) {
            sim_disturb();
        }
    }

    if (!sim_failures) {
        sim_check_end();
    }

    shared->worlds++;
    shared->events += sim_events_total();
    shared->us += s3_sim_now(sim_w.sim);
    shared->stuck += sim_w.stuck;

    if (sim_verbose) {
        if (sim_failures) {
            sim_dump();
        }

        sim_histories_print();
    }

    if (!sim_failures) {
        sim_close();
    }

    return sim_failures != 0;
}


/* Seeds [from, to) in a child process; 0: all is well. */

static int
batch(uint64_t from, uint64_t to, int forks)
{
    int status;
    pid_t pid;
    uint64_t i;

    pid = forks ? fork() : 0;

    if (pid == 0) {
        for (i = from; i < to; i++) {
            shared->seed = i;
            alarm(SEED_SECONDS);

            if (run(i)) {
                status = 1;

                if (forks) {
                    fflush(stdout);
                    _exit(1);
                }

                return 1;
            }
        }

        if (forks) {
            _exit(0);
        }

        return 0;
    }

    if (pid == -1 || waitpid(pid, &status, 0) != pid) {
        perror("store_sim");
        return 1;
    }

    if (WIFSIGNALED(status)) {
        printf("seed %llu: killed by signal %d\n",
               (unsigned long long) shared->seed, WTERMSIG(status));
    }

    return status != 0;
}


static double
now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


int
main(int argc, char **argv)
{
    int opt, bad;
    double began, seconds;
    uint64_t seed, count, i, n;
    unsigned size;
    const char *cover, *broken;

    size = BATCH;
    seconds = 1e9;
    cover = NULL;
    broken = NULL;

    while ((opt = getopt(argc, argv, "vlb:c:t:f:x:")) != -1) {
        switch (opt) {
        case 'v':
            sim_verbose = 1;
            break;
        case 'b':
            size = (unsigned) atoi(optarg);
            break;
        case 'c':
            cover = optarg;
            break;
        case 't':
            seconds = atof(optarg);
            break;
        case 'f':
            forced = (int) strtol(optarg, NULL, 0);
            break;
        case 'l':
            sim_break_list();
            return 0;
        case 'x':
            broken = optarg;
            break;
        default:
            return 2;
        }
    }

    seed = optind < argc ? strtoull(argv[optind], NULL, 0) : 1;
    count = optind + 1 < argc ? strtoull(argv[optind + 1], NULL, 0) : 20;

    if (broken && sim_break_select(broken) != 0) {
        fprintf(stderr, "store_sim: built without that break: %s\n", broken);
        return 2;
    }

    if (broken && forced < 0) {
        forced = sim_break_faults();
    }

    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    setvbuf(stdout, NULL, _IOLBF, 0);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sim_net_open();
    sim_cover_open();
    began = now();
    bad = 0;

    for (i = seed; i < seed + count && !bad && now() - began < seconds; i += n)
    {
        n = s3_min((uint64_t) (size ? size : 1), seed + count - i);
        bad = batch(i, i + n, size != 0);
    }

    if (cover && sim_cover_write(cover) != 0) {
        perror(cover);
        return 2;
    }

    if (broken) {
        printf("store_sim: %s: %s after %llu seeds\n", broken,
               bad ? "found" : "NOT FOUND",
               (unsigned long long) shared->worlds);
        return !bad;
    }

    if (bad) {
        printf("store_sim: seed %llu failed; store_sim %llu 1 -v shows it\n",
               (unsigned long long) shared->seed,
               (unsigned long long) shared->seed);
        return 1;
    }

    sim_net_report(stdout);
    printf("store_sim: %llu worlds from seed %llu, %llu events, "
           "%llu virtual hours, %llu with a key in doubt for good, %.1f s\n",
           (unsigned long long) shared->worlds, (unsigned long long) seed,
           (unsigned long long) shared->events,
           (unsigned long long) (shared->us / 3600000000ull),
           (unsigned long long) shared->stuck, now() - began);

    return 0;
}
