/*
 * What tables cost in memory (page cache): ns a lookup that hits, that the
 * filter stops, that must look at a block and finds nothing; ns an entry
 * iterated from one table, and merged from eight.
 *
 *   cc -O2 -std=gnu11 -I. -Istorage bench/table.c storage/s3_table*.c \
 *      storage/s3_merge.c storage/s3_bloom.c storage/s3_source.c \
 *      storage/s3_entry.c -lxxhash -o /tmp/bench_table && /tmp/bench_table
 */

#include <time.h>

#include "storage/s3_merge.h"
#include "storage/s3_bloom.h"
#include "t/unit/s3_ramfs.h"


#define KEYS 400000
#define TABLES 8
#define ROUNDS 400000


static double
now(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec * 1e9 + (double) ts.tv_nsec;
}


static s3_str_t
key_of(char buf[64], unsigned i)
{
    int n = snprintf(buf, 64, "photos/2024/%02u/%02u/img_%08u.jpg",
                     i / 60000 % 12, i / 2000 % 30, i);

    return s3_str(buf, (size_t) n);
}


static void
must(int rc, const char *what)
{
    if (rc != S3_OK) {
        fprintf(stderr, "%s: %d\n", what, rc);
        exit(1);
    }
}


/* Keys first, first + step, ... */

static s3_table_t *
make(s3_fs_t *fs, uint32_t id, unsigned first, unsigned step)
{
    s3_table_writer_t *w;
    s3_table_stats_t st;
    s3_table_t *t;
    s3_entry_t e;
    char(*keys)[64];
    unsigned i, n = 0;

    memset(&e, 0, sizeof(e));
    e.kind = S3_KIND_OBJECT;
    e.flags = S3_F_CONFIRMED;
    e.version.time = 1;

    keys = malloc((KEYS / step + 1) * sizeof(*keys));
    must(keys ? S3_OK : S3_ENOMEM, "malloc");

    for (i = first; i < KEYS; i += step) {
        (void) key_of(keys[n++], i);
    }

    qsort(keys, n, sizeof(*keys), (int (*)(const void *, const void *)) strcmp);
    must(s3_table_writer_create(fs, id, n, &w), "create");

    for (i = 0; i < n; i++) {
        must(s3_table_writer_add(w, 1024, s3_str(keys[i], strlen(keys[i])), &e),
             "add");
    }

    must(s3_table_writer_finish(w, &st), "finish");
    must(s3_table_open(fs, id, &t), "open");
    free(keys);

    return t;
}


static int
found(void *ctx, const s3_entry_t *e)
{
    *(uint64_t *) ctx += e->version.time;

    return 0;
}


/* what: 0 present, 1 absent, 2 absent but the filter is passed by */

static double
gets(s3_table_t *t, s3_loop_t *loop, int what)
{
    s3_block_t block = {0};
    uint64_t sum = 0, seed = 1, hash;
    char buf[64];
    unsigned i;
    double t0;
    s3_str_t key;

    hash = s3_bloom_hash(1024, key_of(buf, 0));
    t0 = now();

    for (i = 0; i < ROUNDS; i++) {
        key = key_of(buf, (unsigned) (ram_random(&seed) % KEYS));

        if (what) {
            buf[key.len - 1] = 'x';
        }

        if (what != 2) {
            hash = s3_bloom_hash(1024, key);
        }

        (void) s3_table_get(t, loop, 1024, key, hash, &block, found, &sum);
    }

    t0 = (now() - t0) / ROUNDS;
    s3_block_release(&block);

    if ((what == 0) != (sum == ROUNDS)) {
        fprintf(stderr, "found %llu\n", (unsigned long long) sum);
        exit(1);
    }

    return t0;
}


static double
keys_alone(void)
{
    uint64_t seed = 1, sum = 0;
    char buf[64];
    unsigned i;
    double t0 = now();

    for (i = 0; i < ROUNDS; i++) {
        sum += key_of(buf, (unsigned) (ram_random(&seed) % KEYS)).len;
    }

    return sum ? (now() - t0) / ROUNDS : 0;
}


static double
merge(s3_table_t **tables, unsigned n, s3_loop_t *loop)
{
    s3_table_iter_t iters[TABLES];
    s3_source_t *sources[TABLES];
    s3_merge_t m;
    unsigned i, count = 0;
    double t0 = now();

    for (i = 0; i < n; i++) {
        s3_table_iter_init(&iters[i], tables[i], loop, NULL);
        sources[i] = &iters[i].source;
    }

    must(s3_merge_init(&m, sources, n, 0), "merge");
    must(s3_merge_seek(&m, 0, s3_null_str), "seek");

    while (s3_merge_next(&m) == S3_OK) {
        count += m.n;
    }

    for (i = 0; i < n; i++) {
        s3_table_iter_done(&iters[i]);
    }

    s3_merge_done(&m);

    return (now() - t0) / count;
}


static double
iterate(s3_table_t *t, s3_loop_t *loop)
{
    s3_table_iter_t it;
    uint64_t sum = 0;
    unsigned count = 0;
    double t0 = now();
    int rc;

    s3_table_iter_init(&it, t, loop, NULL);

    for (rc = it.source.ops->seek(&it.source, 0, s3_null_str); rc == S3_OK;
         rc = it.source.ops->next(&it.source))
    {
        sum += it.source.key.len + it.source.raw[20];
        count++;
    }

    s3_table_iter_done(&it);

    return sum ? (now() - t0) / count : 0;
}


int
main(void)
{
    ram_t ram;
    ram_loop_t rl;
    s3_fs_t *fs = ram_init(&ram);
    s3_loop_t *loop = ram_loop_init(&rl, 0);
    s3_table_t *one, *tables[TABLES];
    unsigned i;
    double base, t0;

    t0 = now();
    one = make(fs, 1, 0, 1);
    printf("table: %llu entries, %llu bytes, made in %.0f ns an entry\n",
           (unsigned long long) one->stats.entries,
           (unsigned long long) one->stats.bytes, (now() - t0) / KEYS);

    for (i = 0; i < TABLES; i++) {
        tables[i] = make(fs, 2 + i, i, TABLES);
    }

    base = keys_alone();
    printf("get, present: %.0f ns\n", gets(one, loop, 0) - base);
    printf("get, absent (filter): %.0f ns\n", gets(one, loop, 1) - base);
    printf("get, absent (block): %.0f ns\n", gets(one, loop, 2) - base);
    printf("iterate: %.0f ns an entry\n", iterate(one, loop));
    printf("merge of 1: %.0f ns a key\n", merge(&one, 1, loop));
    printf("merge of %d: %.0f ns a key\n", TABLES, merge(tables, TABLES, loop));

    s3_table_release(one);

    for (i = 0; i < TABLES; i++) {
        s3_table_release(tables[i]);
    }

    ram_done(&ram);

    return 0;
}
