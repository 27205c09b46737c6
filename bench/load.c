/* Options, threads and the report; see load.h. */

#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>


typedef struct {
    load_conns_t *conns;
    uint64_t end;
    load_result_t result;
} worker_t;


static const char usage[] =
    "usage: load [options] HOST PORT METHOD PATH\n"
    "       load raw SIZE COUNT FILE...\n"
    "  PATH and QUERY are templates: @n index, @p index % 1000,\n"
    "  @q index / 1000, zero-padded\n"
    "  --query QUERY       sorted and escaped, as the signature wants it\n"
    "  --body SIZE         of a PUT\n"
    "  --payload MODE      unsigned, signed, trailer (unsigned)\n"
    "  --chunk SIZE        of aws-chunked (1048576)\n"
    "  --connections N     (1)\n"
    "  --threads N         (1)\n"
    "  --seconds S         (1)\n"
    "  --first I           index of the first request (0)\n"
    "  --requests N        made before the window (1)\n"
    "  --random N          indices drawn from 0 to N - 1\n"
    "  --cycle             after the last request the first one again\n"
    "  --status S          expected (200)\n"
    "  --length N          expected Content-Length\n"
    "  --keys N            expected <Key> elements\n"
    "  --prefixes N        expected <CommonPrefixes> elements\n"
    "  --verify SIZE       bodies are what a PUT of SIZE sent\n"
    "  --poll              asks for answers without ever sleeping\n"
    "Requests are signed if AWS_ACCESS_KEY_ID is set (AWS_SECRET_ACCESS_KEY,\n"
    "AWS_REGION).\n";


void
load_die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}


void *
load_alloc(size_t size)
{
    void *p = malloc(size ? size : 1);

    if (p == NULL) {
        load_die("out of memory");
    }

    return p;
}


uint64_t
load_now(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec;
}


/* Values below LOAD_SUB are their own bucket. */

void
load_histogram_add(load_histogram_t *h, uint64_t ns)
{
    unsigned shift, i;

    shift = ns < LOAD_SUB ? 0 : 58 - (unsigned) __builtin_clzll(ns);
    i = (unsigned) (ns >> shift) + shift * (LOAD_SUB / 2);
    h->count[i < LOAD_BUCKETS ? i : LOAD_BUCKETS - 1]++;
    h->n++;
}


static uint64_t
upper_bound(unsigned i)
{
    unsigned shift = 0;

    if (i >= LOAD_SUB) {
        shift = i / (LOAD_SUB / 2) - 1;
        i -= shift * (LOAD_SUB / 2);
    }

    return ((uint64_t) i + 1) << shift;
}


void
load_histogram_merge(load_histogram_t *h, const load_histogram_t *other)
{
    unsigned i;

    for (i = 0; i < LOAD_BUCKETS; i++) {
        h->count[i] += other->count[i];
    }

    h->n += other->n;
}


uint64_t
load_histogram_quantile(const load_histogram_t *h, double q)
{
    uint64_t sum = 0;
    unsigned i;

    for (i = 0; i < LOAD_BUCKETS; i++) {
        sum += h->count[i];

        if (h->n > 0 && (double) sum >= q * (double) h->n) {
            return upper_bound(i);
        }
    }

    return 0;
}


void
load_report(const load_result_t *r, double elapsed, double cpu,
            unsigned threads)
{
    const load_histogram_t *h = &r->latency;

    printf("{\"ops\": %llu, \"errors\": %llu, \"reconnects\": %llu, "
           "\"sent\": %llu, \"received\": %llu, \"elapsed_s\": %.6f, "
           "\"ops_per_s\": %.2f, \"client_cpu_s\": %.6f, "
           "\"client_threads\": %u, ",
           (unsigned long long) r->ops, (unsigned long long) r->errors,
           (unsigned long long) r->reconnects, (unsigned long long) r->sent,
           (unsigned long long) r->received, elapsed,
           elapsed > 0 ? (double) r->ops / elapsed : 0, cpu, threads);
    printf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, "
           "\"max_us\": %.1f, \"error\": \"%s\"}\n",
           (double) load_histogram_quantile(h, 0.5) / 1e3,
           (double) load_histogram_quantile(h, 0.99) / 1e3,
           (double) load_histogram_quantile(h, 0.999) / 1e3,
           (double) load_histogram_quantile(h, 1) / 1e3, r->error);
    fflush(stdout);
}


static double
number(const char *text, double low, double high)
{
    char *end;
    double v;

    errno = 0;
    v = strtod(text, &end);

    if (errno != 0 || *end != 0 || end == text || v < low || v > high) {
        load_die("\"%s\" is no number from %.0f to %.0f", text, low, high);
    }

    return v;
}


static load_payload_t
payload_mode(const char *name)
{
    if (strcmp(name, "unsigned") == 0) {
        return LOAD_UNSIGNED;
    }

    if (strcmp(name, "signed") == 0) {
        return LOAD_SIGNED;
    }

    if (strcmp(name, "trailer") == 0) {
        return LOAD_TRAILER;
    }

    load_die("no payload mode: %s", name);
}


static void
parse_options(load_options_t *o, int argc, char **argv)
{
    static const struct option longs[] = {
        {"query", 1, NULL, 'q'},    {"body", 1, NULL, 'b'},
        {"payload", 1, NULL, 'p'},  {"chunk", 1, NULL, 'k'},
        {"threads", 1, NULL, 't'},  {"connections", 1, NULL, 'c'},
        {"seconds", 1, NULL, 's'},  {"first", 1, NULL, 'f'},
        {"requests", 1, NULL, 'n'}, {"random", 1, NULL, 'r'},
        {"cycle", 0, NULL, 'y'},    {"status", 1, NULL, 'e'},
        {"length", 1, NULL, 'l'},   {"keys", 1, NULL, 'K'},
        {"prefixes", 1, NULL, 'P'}, {"verify", 1, NULL, 'v'},
        {"poll", 0, NULL, 'o'},     {"help", 0, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const double huge = 1e15, gib = 1 << 30;
    int opt;

    memset(o, 0, sizeof(*o));
    o->chunk_size = 1 << 20;
    o->conns = 1;
    o->threads = 1;
    o->seconds = 1;
    o->requests = 1;
    o->status = 200;
    o->length = -1;
    o->keys = -1;
    o->prefixes = -1;

    while ((opt = getopt_long(argc, argv, "+", longs, NULL)) != -1) {

        switch (opt) {

        case 'q':
            o->query = optarg;
            break;
        case 'b':
            o->body_size = (size_t) number(optarg, 0, gib);
            break;
        case 'p':
            o->payload = payload_mode(optarg);
            break;
        case 'k':
            o->chunk_size = (size_t) number(optarg, 1, gib);
            break;
        case 't':
            o->threads = (unsigned) number(optarg, 1, 256);
            break;
        case 'c':
            o->conns = (unsigned) number(optarg, 1, 100000);
            break;
        case 's':
            o->seconds = number(optarg, 0, 1e6);
            break;
        case 'f':
            o->first = (uint64_t) number(optarg, 0, huge);
            break;
        case 'n':
            o->requests = (uint64_t) number(optarg, 1, 1e9);
            break;
        case 'r':
            o->random = (uint64_t) number(optarg, 1, huge);
            break;
        case 'y':
            o->cycle = 1;
            break;
        case 'e':
            o->status = (int) number(optarg, 100, 999);
            break;
        case 'l':
            o->length = (int64_t) number(optarg, 0, huge);
            break;
        case 'K':
            o->keys = (int64_t) number(optarg, 0, 1e6);
            break;
        case 'P':
            o->prefixes = (int64_t) number(optarg, 0, 1e6);
            break;

        case 'v':
            o->verify = 1;
            o->body_size = (size_t) number(optarg, 0, gib);
            break;

        case 'o':
            o->poll = 1;
            break;

        case 'h':
            fputs(usage, stdout);
            exit(0);

        default:
            fputs(usage, stderr);
            exit(2);
        }
    }

    if (argc - optind != 4) {
        fputs(usage, stderr);
        exit(2);
    }

    o->host = argv[optind];
    o->port = argv[optind + 1];
    o->method = argv[optind + 2];
    o->path = argv[optind + 3];
    o->akid = getenv("AWS_ACCESS_KEY_ID");
    o->secret = getenv("AWS_SECRET_ACCESS_KEY");
    o->region = getenv("AWS_REGION");

    if (o->akid != NULL && (o->secret == NULL || o->region == NULL)) {
        load_die("AWS_SECRET_ACCESS_KEY or AWS_REGION is missing");
    }

    if (o->threads > o->conns) {
        o->threads = o->conns;
    }
}


static void *
work(void *data)
{
    worker_t *w = data;

    load_conns_run(w->conns, w->end, &w->result);

    return NULL;
}


static double
cpu_seconds(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


static void
run_threads(worker_t *w, const load_options_t *o)
{
    pthread_t *threads = load_alloc(o->threads * sizeof(*threads));
    uint64_t end = load_now() + (uint64_t) (o->seconds * 1e9);
    unsigned i;

    for (i = 0; i < o->threads; i++) {
        w[i].end = end;

        if (i > 0 && pthread_create(&threads[i], NULL, work, &w[i]) != 0) {
            load_die("no thread");
        }
    }

    work(&w[0]);

    for (i = 1; i < o->threads; i++) {
        pthread_join(threads[i], NULL);
    }

    free(threads);
}


static void
merge(load_result_t *to, const load_result_t *from)
{
    load_histogram_merge(&to->latency, &from->latency);
    to->idle += from->idle;
    to->ops += from->ops;
    to->reconnects += from->reconnects;
    to->received += from->received;
    to->sent += from->sent;

    if (to->errors == 0) {
        memcpy(to->error, from->error, sizeof(to->error));
    }

    to->errors += from->errors;
}


static void
allow_connections(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit);
    }
}


int
main(int argc, char **argv)
{
    load_options_t o;
    load_requests_t requests;
    load_body_t body;
    worker_t *w;
    uint64_t start;
    double cpu;
    unsigned i;
    int sends;

    if (argc > 1 && strcmp(argv[1], "raw") == 0) {
        return load_raw(argc - 1, argv + 1);
    }

    parse_options(&o, argc, argv);
    allow_connections();

    load_body_make(&body, &o);
    sends = strcmp(o.method, "PUT") == 0;
    load_requests_make(&requests, &o, sends ? &body : NULL);

    w = load_alloc(o.threads * sizeof(*w));
    memset(w, 0, o.threads * sizeof(*w));

    for (i = 0; i < o.threads; i++) {
        w[i].conns =
            load_conns_open(&o, &requests, &body,
                            o.conns / o.threads + (i < o.conns % o.threads));
    }

    puts("ready");
    fflush(stdout);

    if (getchar() == EOF) {
        return 1;
    }

    cpu = cpu_seconds();
    start = load_now();
    run_threads(w, &o);

    for (i = 1; i < o.threads; i++) {
        merge(&w[0].result, &w[i].result);
    }

    cpu = cpu_seconds() - cpu - (double) w[0].result.idle / 1e9;
    load_report(&w[0].result, (double) (load_now() - start) / 1e9,
                cpu > 0 ? cpu : 0, o.threads);

    for (i = 0; i < o.threads; i++) {
        load_conns_close(w[i].conns);
    }

    free(w);
    free(requests.arena);
    free(requests.offsets);
    free(body.wire != body.data ? body.wire : NULL);
    free(body.data);

    return 0;
}
