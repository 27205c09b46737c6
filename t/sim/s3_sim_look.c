/*
 * What is there, asked at once: by tests of the end, and to show it.
 */

#include "storage/s3_blob.h"
#include "t/sim/s3_sim.h"

#define HANG (120 * SIM_SECOND)

unsigned sim_found;


int
sim_wait(const int *flag, const char *what)
{
    unsigned spins;

    for (spins = 0; !*flag; spins++) {
        if (spins == HANG / (5 * SIM_MS)) {
            sim_fail("%s: no answer", what);
            return 0;
        }

        sim_run(5 * SIM_MS);
    }

    return 1;
}


static void
head_done(s3_head_t *head)
{
    *(int *) head->ctx = 1;
}


static void
reader_ready(s3_reader_t *r)
{
    *(int *) r->ctx = 1;
}


static int
read_all(unsigned p, s3_object_t *o, uint32_t value)
{
    int rc, flag, good;
    unsigned i;
    uint64_t off;
    s3_reader_t *r;

    off = 0;
    good = 1;
    r = s3_reader_open(sim_w.proc[p]->store, o, 0, o->entry.size);
    r->ready = reader_ready;
    r->ctx = &flag;

    for (;;) {
        flag = 0;
        s3_reader_next(r);

        if (!sim_wait(&flag, "a read")) {
            return S3_EBUSY; /* r stays */
        }

        if (r->rc != S3_OK) {
            break;
        }

        for (i = 0; i < r->n; i++) {
            good &=
                sim_content_is(value, off, r->slices[i].data, r->slices[i].len);
            off += r->slices[i].len;
        }
    }

    rc = r->rc == S3_DONE ? S3_OK : r->rc;
    s3_reader_close(r);

    if (!good || (rc == S3_OK && off != o->entry.size)) {
        sim_fail("value %u: wrong bytes at the end", value);
    }

    return rc;
}


/* The newest object of a key, all of it; into the history. */

int
sim_read_now(unsigned p, unsigned key)
{
    int rc, flag, event;
    sim_home_t home;
    static s3_head_t head;

    sim_found &= ~(1u << key);
    event = sim_begin(key, HIST_GET, SIM_CLIENTS + p);
    rc = sim_home_now(p, key, &home);
    sim_event(key, event)->bucket = home.number;

    if (rc != S3_OK) {
        sim_end(key, event, rc);
        return rc == S3_ENOENT ? S3_OK : rc;
    }

    flag = 0;
    memset(&head, 0, sizeof(head));
    head.store = sim_w.proc[p]->store;
    head.bucket = home.id;
    head.key = sim_key(key);
    head.done = head_done;
    head.ctx = &flag;
    s3_store_head(&head);

    if (!sim_wait(&flag, "a head")) {
        return S3_EBUSY;
    }

    rc = head.rc;

    if (rc == S3_OK) {
        sim_event(key, event)->value = sim_value_of(key, &head.object->entry);
    }

    sim_end(key, event, rc);

    if (rc == S3_OK) {
        sim_found |= 1u << key;
        rc = sim_failures
                 ? S3_OK
                 : read_all(p, head.object, sim_event(key, event)->value);
        s3_object_release(head.object);
    }

    return rc == S3_ENOENT ? S3_OK : rc;
}


int
sim_in_doubt(uint64_t bucket, s3_str_t key)
{
    int flag = 0;
    static s3_head_t head;

    memset(&head, 0, sizeof(head));
    head.store = sim_w.proc[0]->store;
    head.bucket = bucket;
    head.key = key;
    head.brief = 1;
    head.done = head_done;
    head.ctx = &flag;
    s3_store_head(&head);

    if (!sim_wait(&flag, "a head")) {
        return 0;
    }

    s3_object_release(head.object);

    return head.rc == S3_EUNAVAIL;
}


static int
list_item(s3_list_t *list, s3_str_t key, const s3_entry_t *entry)
{
    unsigned *seen = list->ctx;

    (void) entry;
    seen[1] |= sim_key_index(key) < 0 ? 1u << 31 : 1u << sim_key_index(key);

    return 0;
}


static void
list_done(s3_list_t *list)
{
    *(unsigned *) list->ctx = 1;
}


/* Keys of a space that are listed, bits; 1 << 31: others. */

unsigned
sim_list_now(uint64_t bucket)
{
    unsigned got[2] = {0, 0};
    static s3_list_t list;

    memset(&list, 0, sizeof(list));
    list.store = sim_w.proc[0]->store;
    list.bucket = bucket;
    list.max = 1000;
    list.item = list_item;
    list.done = list_done;
    list.ctx = got;
    s3_store_list(&list);

    if (sim_wait((int *) &got[0], "a list") && list.rc != S3_OK) {
        sim_fail("at the end: list: %s", s3_strerror(list.rc));
    }

    return got[1];
}


/* What drives still have to say. */

static void
flag_done(s3_req_t *req)
{
    *(int *) req->ctx = 1;
}


static s3_drive_t *
drive_of(unsigned p, unsigned d)
{
    return s3_node_drive(sim_w.proc[p]->node, d);
}


/* Keys of a bucket there, at most 100; or the drive's error. */

int
sim_scan_now(unsigned d, uint64_t bucket)
{
    int rc, flag = 0;
    static s3_scan_t scan;

    memset(&scan, 0, sizeof(scan));
    scan.req.done = flag_done;
    scan.req.ctx = &flag;
    scan.req.drive = d;
    scan.bucket = bucket;
    scan.max = 100;
    drive_of(0, d)->ops->list(drive_of(0, d), &scan);

    if (!sim_wait(&flag, "a list of a drive")) {
        return S3_EBUSY;
    }

    rc = scan.req.rc == S3_OK ? (int) scan.n : scan.req.rc;
    s3_scan_release(&scan);

    return rc;
}


static s3_lookup_t look;


/* What the drive has of the key, in `look`; its rc. */

static int
lookup(unsigned d, uint64_t bucket, s3_str_t key)
{
    int flag = 0;

    memset(&look, 0, sizeof(look));
    look.req.done = flag_done;
    look.req.ctx = &flag;
    look.req.drive = d;
    look.bucket = bucket;
    look.key = key;
    drive_of(0, d)->ops->read(drive_of(0, d), &look);

    return sim_wait(&flag, "a lookup") ? look.req.rc : S3_EBUSY;
}


/* Records of the key that are neither confirmed nor below one. */

unsigned
sim_doubts_left(unsigned d, uint64_t bucket, s3_str_t key)
{
    unsigned i, n;

    n = lookup(d, bucket, key) != S3_OK;

    for (i = 0; i < look.n; i++) {
        n += look.entries[i].kind <= S3_KIND_TOMBSTONE
             && !(look.entries[i].flags & S3_F_CONFIRMED);
    }

    s3_lookup_release(&look);

    return n;
}


static int
tmp_name(void *ctx, const char *name)
{
    s3_blob_tmp_t tmp;

    if (s3_blob_tmp_parse(name, &tmp) != S3_OK
        || s3_zone_proc_gone(sim_w.zone, tmp.slot, tmp.incarnation))
    {
        ++*(unsigned *) ctx;
    }

    return S3_OK;
}


unsigned
sim_tmp_left(unsigned d)
{
    unsigned n = 0;
    s3_fs_t *fs = s3_memfs_fs(sim_w.disk[d]);

    return fs->list(fs, "tmp", tmp_name, &n) == S3_OK ? n : 0;
}


/* What each drive has of it. */

static void
dump(uint64_t bucket, s3_str_t key)
{
    unsigned d, i;
    s3_entry_t *e;

    for (d = 0; d < sim_w.n; d++) {
        (void) lookup(d, bucket, key);

        if (bucket != SIM_BUCKET && look.req.rc == S3_OK && look.n == 0) {
            continue;
        }

        printf("bucket %llx key %.*s drive %u rc %d\n",
               (unsigned long long) bucket, (int) s3_min(key.len, (size_t) 8),
               key.data, d, look.req.rc);

        for (i = 0; i < look.n; i++) {
            e = &look.entries[i];
            printf("    %llu.%llx kind %u flags %u voters %x holders %x "
                   "need %u layout %u value %u\n",
                   (unsigned long long) e->version.time,
                   (unsigned long long) e->version.rand & 0xffff, e->kind,
                   e->flags, e->voters, e->holders, e->need, e->layout,
                   s3_get32(e->etag));
        }

        s3_lookup_release(&look);
    }
}


void
sim_dump(void)
{
    unsigned d, k, i, at, space;
    s3_str_t key;
    sim_home_t home;
    uint8_t buf[S3_MAX_KEY];
    s3_heal_stats_t st;

    for (i = 0; i < sim_w.n_procs; i++) {
        s3_store_heal_stats(sim_w.proc[i]->store, &st);
        printf("process %u%s: repaired %llu recoded %llu failed %llu "
               "scrubbed %llu passes %llu\n",
               i, (int) i == sim_w.guardian ? ", healing" : "",
               (unsigned long long) st.repaired,
               (unsigned long long) st.recoded, (unsigned long long) st.failed,
               (unsigned long long) st.scrubbed,
               (unsigned long long) st.passes);
    }

    for (d = 0; d < sim_w.n; d++) {
        printf("drive %u state %d floor %llu notes %d\n", d, sim_state(d),
               (unsigned long long) ((s3_zone_t *) sim_w.zone)
                   ->drives[d]
                   .floor.time,
               sim_scan_now(d, S3_BUCKET_NOTES));
    }

    for (k = 0; k < SIM_KEYS; k++) {
        dump(SIM_BUCKET, sim_key(k));
    }

    for (at = 0; sim_upload_keys(&at, buf, &key, &space);) {
        dump(SIM_BUCKET + space, key);
    }

    if (sim_w.brief) {
        dump(S3_BUCKET_BUCKETS, SIM_SHORT);

        for (k = SIM_KEYS;
             k < SIM_ALL_KEYS && sim_home_now(0, k, &home) == S3_OK; k++) {
            dump(home.id, sim_key(k));
        }
    }
}
