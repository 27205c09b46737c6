/*
 * A store over mock drives, with blocking calls for tests: they run the
 * simulated world until the callback came.
 */

#ifndef S3_TESTBED_H
#define S3_TESTBED_H

#include <stdlib.h>

#include "storage/s3_store.h"
#include "t/sim/s3_memfs.h"
#include "t/sim/s3_mockdrive.h"

#define BED_COORDINATORS 4
#define BED_BUCKET 1024


typedef struct {
    s3_sim_t *sim;
    s3_loop_t *world;
    unsigned n;
    unsigned m;
    s3_mock_t *mock[S3_MAX_DRIVES];

    unsigned n_stores;
    s3_loop_t *loop[BED_COORDINATORS];
    s3_store_t *store[BED_COORDINATORS];
    s3_drive_t *drive[BED_COORDINATORS][S3_MAX_DRIVES];
} bed_t;


static uint64_t
bed_clock(void *ctx)
{
    s3_loop_t *loop = ctx;

    return loop->wall_us(loop);
}


static inline void
bed_open(bed_t *b, uint64_t seed, unsigned n, unsigned m, unsigned rrs,
         unsigned stores)
{
    unsigned i, j;
    s3_store_conf_t conf;

    memset(b, 0, sizeof(*b));
    b->sim = s3_sim_create(seed);
    b->world = s3_sim_loop(b->sim);
    b->n = n;
    b->m = m;
    b->n_stores = stores;

    for (i = 0; i < n; i++) {
        b->mock[i] = s3_mock_create(b->sim, b->world, i);
    }

    for (j = 0; j < stores; j++) {
        b->loop[j] = s3_sim_loop(b->sim);
        memset(&conf, 0, sizeof(conf));
        conf.loop = b->loop[j];
        conf.n = n;
        conf.parity[0] = m;
        conf.parity[1] = rrs;
        conf.node = 1;
        conf.seed = 42;
        conf.hedge_ms = 1000;
        conf.recent = 65536;
        conf.clock = bed_clock;
        conf.clock_ctx = b->loop[j];

        for (i = 0; i < n; i++) {
            conf.drives[i] = b->drive[j][i] =
                s3_mock_attach(b->mock[i], b->loop[j]);
        }

        b->store[j] = s3_store_create(&conf);

        if (b->store[j] == NULL) {
            abort();
        }
    }
}


static inline void
bed_close(bed_t *b)
{
    unsigned i;

    for (i = 0; i < b->n; i++) {
        s3_mock_unhang(b->mock[i]);
    }

    s3_sim_run(b->sim);

    for (i = 0; i < b->n_stores; i++) {
        s3_store_destroy(b->store[i]);
    }

    s3_sim_run(b->sim);

    for (i = 0; i < b->n; i++) {
        s3_mock_destroy(b->mock[i]);
    }

    s3_sim_destroy(b->sim);
}


/* All coordinators see the drive so. */

static inline void
bed_state(bed_t *b, unsigned drive, s3_drive_state_t state)
{
    unsigned j;

    for (j = 0; j < b->n_stores; j++) {
        b->drive[j][drive]->state = state;
    }

    s3_mock_knobs(b->mock[drive])->down = state == S3_DRIVE_MISSING;
}


static inline void
bed_down(bed_t *b, uint32_t mask)
{
    unsigned i;

    for (i = 0; i < b->n; i++) {
        bed_state(b, i, mask >> i & 1 ? S3_DRIVE_MISSING : S3_DRIVE_OK);
    }
}


static inline void
bed_delay(bed_t *b, unsigned ms)
{
    unsigned i;

    for (i = 0; i < b->n; i++) {
        s3_mock_knobs(b->mock[i])->delay = ms;
    }
}


/* Content that depends on every position. */

static inline uint8_t *
bed_data(size_t len, uint32_t salt)
{
    size_t i;
    uint8_t *p;
    uint32_t x = salt * 2654435761u + 1;

    p = malloc(len + 1);

    for (i = 0; p && i < len; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        p[i] = (uint8_t) x;
    }

    return p;
}


static inline void
bed_flag_writer(s3_writer_t *w)
{
    *(int *) w->ctx = 1;
}


/* Opens, fills and finishes a writer; the caller closes it. */

static inline s3_writer_t *
bed_write(bed_t *b, unsigned store, s3_str_t key, unsigned class,
          const uint8_t *data, size_t len, int64_t size, unsigned flags,
          size_t piece)
{
    int flag;
    size_t done;
    ssize_t n;
    s3_writer_t *w;

    w = s3_writer_open(b->store[store], BED_BUCKET, key, class, size, flags);
    w->writable = bed_flag_writer;
    w->finished = bed_flag_writer;
    w->ctx = &flag;

    for (done = 0; done < len;) {
        flag = 0;
        n = s3_writer_write(w, data + done, s3_min(piece, len - done));

        if (n < 0) {
            break;
        }

        if ((size_t) n < s3_min(piece, len - done) && !flag
            && !s3_sim_until(b->sim, &flag))
        {
            abort();
        }

        done += (size_t) n;
    }

    flag = 0;
    s3_writer_finish(w);

    if (!flag && !s3_sim_until(b->sim, &flag)) {
        abort();
    }

    return w;
}


static inline void
bed_flag_put(s3_put_t *put)
{
    *(int *) put->ctx = 1;
}


static inline int
bed_commit(bed_t *b, s3_put_t *put)
{
    int flag = 0;

    put->done = bed_flag_put;
    put->ctx = &flag;
    s3_store_put(put);

    if (!flag && !s3_sim_until(b->sim, &flag)) {
        abort();
    }

    return put->rc;
}


static inline void
bed_init_put(bed_t *b, unsigned store, s3_put_t *put, s3_str_t key,
             s3_kind_t kind)
{
    memset(put, 0, sizeof(*put));
    put->store = b->store[store];
    put->bucket = BED_BUCKET;
    put->key = key;
    put->entry.kind = (uint8_t) kind;
}


static inline int
bed_put(bed_t *b, unsigned store, s3_str_t key, unsigned class,
        const uint8_t *data, size_t len, unsigned flags, size_t piece)
{
    int rc;
    s3_put_t put;
    s3_writer_t *w;

    w = bed_write(b, store, key, class, data, len,
                  piece & 1 ? (int64_t) len : -1, flags, piece);
    bed_init_put(b, store, &put, key, S3_KIND_OBJECT);
    put.entry.storage_class = (uint8_t) class;
    put.meta = s3_string("meta data");
    put.writer = w;
    rc = bed_commit(b, &put);
    s3_writer_close(w);

    return rc;
}


static inline int
bed_delete(bed_t *b, unsigned store, s3_str_t key)
{
    s3_put_t put;

    bed_init_put(b, store, &put, key, S3_KIND_TOMBSTONE);

    return bed_commit(b, &put);
}


/* BED_BUCKET in the list of buckets, where walks through all keys find it. */

static inline int
bed_put_bucket(bed_t *b)
{
    s3_put_t put;

    bed_init_put(b, 0, &put, s3_string("bucket"), S3_KIND_OBJECT);
    put.bucket = S3_BUCKET_BUCKETS;
    put.entry.extra_len = 8;
    s3_put64(put.entry.extra, BED_BUCKET);

    return bed_commit(b, &put);
}


static inline void
bed_flag_head(s3_head_t *head)
{
    *(int *) head->ctx = 1;
}


#define BED_META 1 /* as s3_head_t has them */
#define BED_DATA 2

static inline int
bed_head_for(bed_t *b, unsigned store, s3_str_t key, int what,
             s3_object_t **object)
{
    int flag = 0;
    s3_head_t head;

    memset(&head, 0, sizeof(head));
    head.store = b->store[store];
    head.bucket = BED_BUCKET;
    head.key = key;
    head.meta = what == BED_META;
    head.data = what == BED_DATA;
    head.done = bed_flag_head;
    head.ctx = &flag;
    s3_store_head(&head);

    if (!flag && !s3_sim_until(b->sim, &flag)) {
        abort();
    }

    *object = head.object;

    return head.rc;
}


static inline int
bed_head(bed_t *b, unsigned store, s3_str_t key, s3_object_t **object)
{
    return bed_head_for(b, store, key, 0, object);
}


static inline void
bed_flag_reader(s3_reader_t *r)
{
    *(int *) r->ctx = 1;
}


/* Bytes read, up to room; or the error. */

static inline ssize_t
bed_read(bed_t *b, unsigned store, s3_object_t *object, uint64_t off,
         uint64_t len, uint8_t *out, size_t room)
{
    int flag, rc;
    size_t done;
    unsigned i;
    s3_reader_t *r;

    r = s3_reader_open(b->store[store], object, off, len);
    r->ready = bed_flag_reader;
    r->ctx = &flag;
    done = 0;

    for (;;) {
        flag = 0;
        s3_reader_next(r);

        if (!flag && !s3_sim_until(b->sim, &flag)) {
            abort();
        }

        if (r->rc != S3_OK) {
            break;
        }

        for (i = 0; i < r->n; i++) {
            if (r->slices[i].len > room - done) {
                abort();
            }

            memcpy(out + done, r->slices[i].data, r->slices[i].len);
            done += r->slices[i].len;
        }
    }

    rc = r->rc;
    s3_reader_close(r);

    return rc == S3_DONE ? (ssize_t) done : rc;
}


/* Whole object against what it should be: S3_OK, S3_EINVAL: other bytes. */

static inline int
bed_get_for(bed_t *b, unsigned store, s3_str_t key, int what,
            const uint8_t *data, size_t len)
{
    int rc;
    ssize_t n;
    uint8_t *out;
    s3_object_t *object;

    rc = bed_head_for(b, store, key, what, &object);

    if (rc != S3_OK) {
        return rc;
    }

    if (object->entry.size != len) {
        s3_object_release(object);
        return S3_EINVAL;
    }

    out = malloc(len + 1);
    n = bed_read(b, store, object, 0, len, out, len);

    if (n < 0) {
        rc = (int) n;

    } else if ((size_t) n != len || memcmp(out, data, len) != 0) {
        rc = S3_EINVAL;
    }

    free(out);
    s3_object_release(object);

    return rc;
}


static inline int
bed_get(bed_t *b, unsigned store, s3_str_t key, const uint8_t *data, size_t len)
{
    int rc, what;

    rc = bed_get_for(b, store, key, 0, data, len);

    for (what = BED_META; what <= BED_DATA && rc == S3_OK; what++) {
        rc = bed_get_for(b, store, key, what, data, len);
    }

    return rc;
}

#endif /* S3_TESTBED_H */
