/*
 * The load generator of bench/run.
 *
 *     options --> requests made and signed --> connections opened
 *         --> "ready" on stdout, a line on stdin --> the measured window
 *         --> one line of JSON on stdout
 *
 * All that is costly (signing, hashing bodies) is done before the window, so
 * that the client is not what is measured.  A signature holds for 15 minutes.
 * Every answer is checked; `--help` lists what can be asked for.
 */

#ifndef LOAD_H
#define LOAD_H

#define _GNU_SOURCE

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>


/* How a body is sent, and what x-amz-content-sha256 says of it. */

typedef enum {
    LOAD_UNSIGNED, /* UNSIGNED-PAYLOAD */
    LOAD_SIGNED,   /* its SHA-256 */
    LOAD_TRAILER,  /* STREAMING-UNSIGNED-PAYLOAD-TRAILER, CRC64NVME */
} load_payload_t;


typedef struct {
    const char *host;
    const char *port;
    const char *method;
    const char *path;  /* template, see load_expand() */
    const char *query; /* template, canonical: sorted and escaped */
    const char *akid;  /* NULL: requests are not signed */
    const char *secret;
    const char *region;
    load_payload_t payload;
    size_t body_size;
    size_t chunk_size; /* of aws-chunked bodies */
    unsigned conns;
    unsigned threads;
    double seconds;
    uint64_t first;    /* index of the first request */
    uint64_t requests; /* prepared */
    uint64_t random;   /* not 0: indices are drawn from [0, random) */
    int cycle;         /* use prepared requests again and again */
    int status;        /* expected */
    int64_t length;    /* expected Content-Length; -1: any */
    int64_t keys;      /* expected "<Key>" in the answer; -1: any */
    int64_t prefixes;  /* likewise "<CommonPrefixes>" */
    int verify;        /* compare bodies of GET with the one of PUT */
    int poll;          /* never sleep: whoever answers has nobody to wake */
} load_options_t;


/* The body that all PUTs share, and what every GET must bring back. */

typedef struct {
    uint8_t *data; /* what an object holds */
    size_t size;
    uint8_t *wire; /* what is sent: data, or data in chunks */
    size_t wire_size;
    char sha256[65];
} load_body_t;


/* Prepared request headers, one after the other. */

typedef struct {
    char *arena;
    size_t size;
    size_t room;
    size_t *offsets;  /* n + 1 */
    size_t body_size; /* what is sent after each of them */
    uint64_t n;
    _Atomic uint64_t next; /* request to be sent */
} load_requests_t;


#define LOAD_SUB 64 /* buckets for each power of two of nanoseconds */
#define LOAD_BUCKETS (48 * LOAD_SUB)

typedef struct {
    uint64_t count[LOAD_BUCKETS];
    uint64_t n;
} load_histogram_t;

void load_histogram_add(load_histogram_t *h, uint64_t ns);
void load_histogram_merge(load_histogram_t *h, const load_histogram_t *other);

/* The upper bound, within 1.6 %, of the share q of all values; 0 if none. */

uint64_t load_histogram_quantile(const load_histogram_t *h, double q);


/* What one thread did. */

typedef struct {
    load_histogram_t latency;
    uint64_t ops;
    uint64_t errors;
    uint64_t reconnects;
    uint64_t received; /* bytes */
    uint64_t sent;
    uint64_t idle;   /* nanoseconds of polling in vain */
    char error[512]; /* the first one */
} load_result_t;


void load_die(const char *format, ...)
    __attribute__((noreturn, format(printf, 1, 2)));
void *load_alloc(size_t size);
uint64_t load_now(void); /* CLOCK_MONOTONIC, nanoseconds */


/* Deterministic bytes that do not compress. */

void load_body_fill(uint8_t *data, size_t size);
void load_body_make(load_body_t *body, const load_options_t *o);

/* All requests of the options; body is NULL where none is sent. */

void load_requests_make(load_requests_t *r, const load_options_t *o,
                        const load_body_t *body);


/*
 * An answer.  Its header is received into `header` by the caller, who then
 * says how many bytes that were; so are bodies that need not be looked at,
 * by taking from `left`.  1: the answer is whole, 0: not yet, -1: it is no
 * HTTP.
 */

#define LOAD_HEADER_MAX 16384

typedef struct {
    int expected; /* status */
    int look;     /* the body is kept; so it is where the status is another */
    int no_body;  /* an answer to HEAD */
    int has_header;
    int chunked;
    int closing; /* the server closes the connection afterwards */
    int status;
    int64_t length;
    uint64_t left; /* of the body, where its length is known */
    size_t received;
    char header[LOAD_HEADER_MAX + 1];
    char *kept; /* the body, NUL-terminated */
    size_t nkept;
    size_t room;
} load_answer_t;

int load_answer_header(load_answer_t *a, size_t n);
int load_answer_body(load_answer_t *a, const char *data, size_t len);

/* How often a text is in the body. */

int64_t load_answer_count(const load_answer_t *a, const char *what);


/*
 * Connections.  load_conns_open() opens those of one thread; load_conns_run()
 * sends requests until `end` (load_now()) or until none is left, and returns
 * when all that were sent have been answered.
 */

typedef struct load_conns_s load_conns_t;

load_conns_t *load_conns_open(const load_options_t *o, load_requests_t *r,
                              const load_body_t *body, unsigned n);
void load_conns_run(load_conns_t *cs, uint64_t end, load_result_t *result);
void load_conns_close(load_conns_t *cs);


/*
 * `load raw SIZE COUNT FILE...`: direct, synchronous writes of SIZE bytes to
 * all files at once, which are made, filled with zeros and synced before;
 * COUNT of them, one after the other.  A latency is that of the slowest file.
 */

int load_raw(int argc, char **argv);


/*
 * JSON of a result, one line.  cpu: seconds that the client itself was on a
 * processor.
 */

void load_report(const load_result_t *r, double elapsed, double cpu,
                 unsigned threads);

#endif /* LOAD_H */
