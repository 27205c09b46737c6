/*
 * The real store over simulated drives, from one seed: see s3_sim.h.
 *
 *   store_sim [first seed [count]] [-v] [-k] [-j jobs] [-b batch]
 *             [-c file] [-t seconds] [-f faults] [-x break] [-l]
 *
 *   -v  tells what happens, and shows the histories of the keys
 *   -k  goes on after seeds that fail, and tells all of them
 *   -j  child processes at a time; as many as there are processors
 *   -b  seeds in one child process; 0: no child processes
 *   -c  addresses of the blocks of storage/ that were run, into that file
 *   -t  ends after so many seconds, whatever the count
 *   -f  these kinds of faults (bits SIM_F_...), not those of the seed
 *   -x  with storage/ broken in that way on purpose (s3_break.h): status 0
 *       where a seed fails, as it must; without a count as many as should do
 *   -l  the names of all such breaks
 *
 * However many processes there are, the seed that is told is the lowest that
 * fails.
 */

#define _GNU_SOURCE
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "t/sim/s3_sim.h"

#ifdef __SANITIZE_ADDRESS__
#define BATCH 20 /* memory is given back by the end of the process */
#else
#define BATCH 1000
#endif

#define SEEDS 20
#define JOBS 64
#define CPU_SECONDS 60   /* then a seed runs without end */
#define WALL_SECONDS 900 /* or waits */


const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
    return "detect_leaks=0";
}


int sim_verbose;
unsigned sim_failures;

static int forced = -1; /* faults */
static int keep_going;

/* What child processes tell. */

typedef struct {
    uint64_t seed;  /* under way */
    char what[400]; /* why it failed */
} job_t;

typedef struct {
    uint64_t worlds;
    uint64_t events;
    uint64_t us; /* virtual */
    uint64_t stuck;
    uint64_t digest; /* of what chance came to in the end */
    double until;    /* when to end */
    uint64_t next;   /* seed that nobody has begun */
    uint64_t failed; /* lowest that is known, or UINT64_MAX */
    job_t jobs[JOBS];
} shared_t;

static shared_t *shared;
static job_t *job; /* of this process */


void
sim_fail(const char *fmt, ...)
{
    int n;
    va_list args;

    if (sim_failures++) {
        return;
    }

    n = snprintf(job->what, sizeof(job->what),
                 "%u drives, parity %u, faults %x, %llu us: ", sim_w.n, sim_w.m,
                 sim_w.faults, (unsigned long long) s3_sim_now(sim_w.sim));
    va_start(args, fmt);
    vsnprintf(job->what + n, sizeof(job->what) - (size_t) n, fmt, args);
    va_end(args);
    sim_say("FAILED: %s", job->what);
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

    static const unsigned crossed[] = {
        SIM_F_STRAY | SIM_F_DUEL,
        SIM_F_STRAY | SIM_F_DUEL | SIM_F_NET,
        SIM_F_STRAY | SIM_F_DUEL | SIM_F_KILL,
        SIM_F_STRAY | SIM_F_KILL | SIM_F_NET,
        SIM_F_STRAY | SIM_F_DUEL | SIM_F_AWAY | SIM_F_HANG,
        SIM_F_STRAY | SIM_F_DUEL | SIM_F_POWER | SIM_F_CLOCK,
        SIM_F_CUT,
        SIM_F_CUT | SIM_F_NET | SIM_F_KILL,
        SIM_F_DUEL | SIM_F_KILL | SIM_F_EIO};

    unsigned faults;

    if (seed % 5 == 4) {
        return crossed[seed / 5 % (sizeof(crossed) / sizeof(crossed[0]))];
    }

    faults = profiles[seed % (sizeof(profiles) / sizeof(profiles[0]))];

    return seed % 7 == 5 ? faults | SIM_F_BRIEF : faults;
}


static void
tell(uint64_t *sum, uint64_t n)
{
    __atomic_fetch_add(sum, n, __ATOMIC_RELAXED);
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

    tell(&shared->worlds, 1);
    tell(&shared->events, sim_events_total());
    tell(&shared->us, s3_sim_now(sim_w.sim));
    tell(&shared->stuck, sim_w.stuck);
    tell(&shared->digest, s3_sim_random(sim_w.sim, UINT64_MAX));

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


static void
lower(uint64_t *least, uint64_t n)
{
    uint64_t old = __atomic_load_n(least, __ATOMIC_RELAXED);

    while (n < old
           && !__atomic_compare_exchange_n(least, &old, n, 0, __ATOMIC_RELAXED,
                                           __ATOMIC_RELAXED))
    {
        /* void */
    }
}


static double
now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


/* Seeds after it are of no interest. */

static uint64_t
limit(void)
{
    return keep_going ? UINT64_MAX
                      : __atomic_load_n(&shared->failed, __ATOMIC_RELAXED);
}


/* So many seeds, one after the other, in this process; 1: the last failed. */

static int
work(job_t *mine, uint64_t end, unsigned n)
{
    uint64_t seed;
    struct itimerval cpu = {{0, 0}, {CPU_SECONDS, 0}};

    while (n--) {
        seed = __atomic_fetch_add(&shared->next, 1, __ATOMIC_RELAXED);

        if (seed >= end || seed > limit() || now() > shared->until) {
            break;
        }

        sim_memory_reset();
        job = mine;
        job->seed = seed;
        job->what[0] = '\0';
        alarm(WALL_SECONDS);
        setitimer(ITIMER_PROF, &cpu, NULL);

        if (run(seed)) {
            return 1;
        }
    }

    mine->seed = UINT64_MAX;

    return 0;
}


/* Child processes. */

typedef struct {
    unsigned n;
    unsigned running;
    pid_t pids[JOBS]; /* 0: none */
    char what[400];   /* of the lowest seed that failed */
} crew_t;


static void
start(crew_t *crew, uint64_t end, unsigned n)
{
    int rc;
    unsigned i;

    for (i = 0; crew->pids[i]; i++) {
        /* void */
    }

    fflush(stdout);
    shared->jobs[i].seed = UINT64_MAX;
    crew->pids[i] = fork();

    if (crew->pids[i] == -1) {
        perror("store_sim: fork");
        exit(2);
    }

    if (crew->pids[i] == 0) {
        rc = work(&shared->jobs[i], end, n);
        fflush(stdout);
        _exit(rc);
    }

    crew->running++;
}


/* Waits for one.  Seeds after one that has failed are given up: those before
 * it have all begun. */

static void
reap(crew_t *crew)
{
    int status;
    pid_t pid;
    unsigned i;
    job_t *j;

    pid = waitpid(-1, &status, 0);

    for (i = 0; i < crew->n && crew->pids[i] != pid; i++) {
        /* void */
    }

    if (pid <= 0 || i == crew->n) {
        perror("store_sim: wait");
        exit(2);
    }

    crew->pids[i] = 0;
    crew->running--;
    j = &shared->jobs[i];

    if (status == 0 || j->seed > limit()) {
        return;
    }

    if (WIFSIGNALED(status)) {
        snprintf(j->what, sizeof(j->what), "%s (signal %d)",
                 WTERMSIG(status) == SIGPROF || WTERMSIG(status) == SIGALRM
                     ? "it does not come to an end"
                     : "it crashes",
                 WTERMSIG(status));
    }

    lower(&shared->failed, j->seed);

    if (keep_going) {
        printf("seed %llu, %s\n", (unsigned long long) j->seed, j->what);
        return;
    }

    memcpy(crew->what, j->what, sizeof(crew->what));

    for (i = 0; i < crew->n; i++) {
        if (crew->pids[i] && shared->jobs[i].seed > shared->failed) {
            kill(crew->pids[i], SIGKILL);
        }
    }
}


static unsigned
processors(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) != 0) {
        return 1;
    }

    return s3_min((unsigned) CPU_COUNT(&set), (unsigned) JOBS);
}


static void *
share(size_t len)
{
    void *p;

    p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
             0);

    if (p == MAP_FAILED) {
        perror("store_sim: mmap");
        exit(2);
    }

    return p;
}


/* All seeds before `end`, so many in one child process. */

static void
run_crew(crew_t *crew, uint64_t end, unsigned size)
{
    job_t *j = &shared->jobs[0];

    if (size == 0) {
        if (work(j, end, UINT_MAX)) {
            shared->failed = j->seed;
            memcpy(crew->what, j->what, sizeof(crew->what));
        }

        return;
    }

    for (;;) {
        if (crew->running < crew->n && shared->next < end
            && limit() == UINT64_MAX && now() < shared->until)
        {
            start(crew, end, size);

        } else if (crew->running) {
            reap(crew);

        } else {
            return;
        }
    }
}


static void
report(uint64_t seed, double seconds)
{
    sim_net_report(stdout);
    printf("store_sim: %llu worlds from seed %llu, %llu events, "
           "%llu virtual hours, %llu with a key in doubt for good, "
           "digest %016llx, %.1f s\n",
           (unsigned long long) shared->worlds, (unsigned long long) seed,
           (unsigned long long) shared->events,
           (unsigned long long) (shared->us / 3600000000ull),
           (unsigned long long) shared->stuck,
           (unsigned long long) shared->digest, seconds);
}


int
main(int argc, char **argv)
{
    int opt;
    double began, seconds;
    crew_t crew;
    uint64_t seed, count, failed;
    unsigned size;
    const char *cover, *broken;

    memset(&crew, 0, sizeof(crew));
    crew.n = processors();
    size = BATCH;
    seconds = 1e9;
    cover = NULL;
    broken = NULL;

    while ((opt = getopt(argc, argv, "vklj:b:c:t:f:x:")) != -1) {
        switch (opt) {
        case 'v':
            sim_verbose = 1;
            break;
        case 'k':
            keep_going = 1;
            break;
        case 'j':
            crew.n = (unsigned) s3_min(s3_max(atoi(optarg), 1), JOBS);
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
    count = optind + 1 < argc ? strtoull(argv[optind + 1], NULL, 0) : 0;

    if (broken && sim_break_select(broken) != 0) {
        fprintf(stderr, "store_sim: built without that break: %s\n", broken);
        return 2;
    }

    if (broken && forced < 0) {
        forced = sim_break_faults();
    }

    if (count == 0) {
        count = broken ? sim_break_seeds() : SEEDS;
    }

    shared = share(sizeof(*shared));
    shared->next = seed;
    shared->failed = UINT64_MAX;
    hist_open();
    sim_net_open();
    sim_cover_open();
    setvbuf(stdout, malloc(BUFSIZ), _IOLBF, BUFSIZ);
    sim_memory_mark();
    began = now();
    shared->until = began + seconds;
    run_crew(&crew, seed + count, size);
    failed = shared->failed;

    if (cover && sim_cover_write(cover) != 0) {
        perror(cover);
        return 2;
    }

    if (broken && failed == UINT64_MAX) {
        printf("store_sim: %s: NOT FOUND by %llu seeds, %.1f s\n", broken,
               (unsigned long long) shared->worlds, now() - began);
        return 1;
    }

    if (failed != UINT64_MAX) {
        if (!keep_going) {
            printf("seed %llu, %s\n", (unsigned long long) failed, crew.what);
        }

        if (broken) {
            printf("store_sim: %s: found by seed %llu, %.1f s\n", broken,
                   (unsigned long long) failed, now() - began);
            return 0;
        }

        printf("store_sim: seed %llu failed; store_sim %llu 1 -v shows it\n",
               (unsigned long long) failed, (unsigned long long) failed);
        return 1;
    }

    report(seed, now() - began);

    return 0;
}
