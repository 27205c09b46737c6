/*
 * An index from the log, where tables or both MANIFESTs are damaged.
 *
 *   tables that are damaged ──► what holds, if its record is there ─┐
 *   segments, from the beginning ───────────────────────────────────┼─► table
 *   CONFIRMs whose record is in other tables ───────────────────────┘
 *
 * Records are a set, so what other tables have as well does no harm, nor do
 * records that had been superseded.  A NOTE that was taken back may be there
 * again, and is worked off once more.
 */

#include "storage/s3_recover_int.h"
#include "storage/s3_table_read.h"
#include <stdlib.h>

#define S3_REBUILD_MEMORY ((size_t) 16 * 1024 * 1024)

#define S3_REBUILD_STRETCH (1024 * 1024)
#define S3_REBUILD_PAUSE 5 /* ms for each */


static int
s3_replay_knows(const s3_replay_t *rp, const s3_entry_t *e)
{
    size_t low, high, mid;

    low = 0;
    high = rp->n_known;

    while (low < high) {
        mid = low + (high - low) / 2;

        if (rp->known[mid].id == e->segment) {
            return (uint64_t) e->offset + e->length <= rp->known[mid].end;
        }

        if (rp->known[mid].id < e->segment) {
            low = mid + 1;

        } else {
            high = mid;
        }
    }

    return 0;
}


static int
s3_salvage_block(s3_replay_t *rp, const s3_table_block_t *view)
{
    int rc;
    size_t len;
    uint32_t i;
    uint8_t ikey[S3_TABLE_IKEY];
    s3_entry_t e;
    s3_table_item_t item;

    memcpy(ikey, view->prefix.data, view->prefix.len);

    for (i = 0; i < view->n; i++) {
        rc = s3_table_block_item(view, i, &item);
        len = view->prefix.len + item.suffix.len;

        if (rc != S3_OK || len < 8 || len > sizeof(ikey)
            || s3_entry_decode(item.entry.data, item.entry.len, &e)
                   != (ssize_t) item.entry.len)
        {
            return S3_OK; /* the log has it */
        }

        if (e.kind == S3_KIND_UNNOTE || !s3_replay_knows(rp, &e)) {
            continue;
        }

        memcpy(ikey + view->prefix.len, item.suffix.data, item.suffix.len);

        rc = s3_replay_insert(rp, s3_table_ikey_bucket(ikey),
                              s3_str(ikey + 8, len - 8), &e);
        if (rc != S3_OK) {
            return rc;
        }
    }

    return S3_OK;
}


int
s3_replay_salvage(s3_replay_t *rp, s3_table_t *table)
{
    int rc;
    uint8_t *buf;
    ssize_t n;
    uint32_t i;
    s3_table_block_t view;

    if (table->broken) {
        return S3_OK;
    }

    buf = malloc(S3_TABLE_BLOCK);
    if (buf == NULL) {
        return S3_ENOMEM;
    }

    rc = S3_OK;

    for (i = 0; i < table->stats.blocks && rc == S3_OK; i++) {
        n = table->fs->pread(table->fs, table->file, buf, S3_TABLE_BLOCK,
                             (uint64_t) i * S3_TABLE_BLOCK);

        if (n == S3_TABLE_BLOCK
            && s3_table_verify(table, buf, i, &view) == S3_OK) {
            rc = s3_salvage_block(rp, &view);
        }
    }

    free(buf);

    return rc;
}


/* Files of the index. */

typedef struct {
    uint32_t *ids;
    size_t n;
    uint32_t greatest;
} s3_again_files_t;


/* "%08x.tab", as s3_table_path() makes it. */

static int
s3_again_table(void *ctx, const char *name)
{
    char path[S3_TABLE_PATH];
    uint32_t id, *p;
    unsigned i;
    s3_again_files_t *f = ctx;

    for (id = 0, i = 0; i < 8; i++) {
        if (name[i] >= '0' && name[i] <= '9') {
            id = id << 4 | (uint32_t) (name[i] - '0');

        } else if (name[i] >= 'a' && name[i] <= 'f') {
            id = id << 4 | (uint32_t) (name[i] - 'a' + 10);

        } else {
            return S3_OK;
        }
    }

    s3_table_path(path, id);

    if (id == 0 || id >= UINT32_MAX / 2
        || strcmp(path + sizeof(S3_TABLE_DIR), name) != 0)
    {
        return S3_OK;
    }

    p = realloc(f->ids, (f->n + 1) * sizeof(*p));
    if (p == NULL) {
        return S3_ENOMEM;
    }

    f->ids = p;
    f->ids[f->n++] = id;
    f->greatest = s3_max(f->greatest, id);

    return S3_OK;
}


static int
s3_again_segment(void *ctx, const char *name)
{
    uint32_t id;
    int *any = ctx;

    *any |= s3_segment_parse_name(name, &id) == S3_OK;

    return S3_OK;
}


int
s3_replay_any(s3_replay_t *rp, int *any)
{
    int rc;
    s3_again_files_t f;

    memset(&f, 0, sizeof(f));
    *any = 0;

    rc = rp->fs->list(rp->fs, "log", s3_again_segment, any);

    if (rc == S3_OK || rc == S3_ENOENT) {
        rc = rp->fs->list(rp->fs, S3_TABLE_DIR, s3_again_table, &f);
    }

    *any |= f.n != 0;
    free(f.ids);

    return rc == S3_ENOENT ? S3_OK : rc;
}


static int
s3_again_cmp(const void *a, const void *b)
{
    const s3_replay_seg_t *x = a, *y = b;

    return (x->id > y->id) - (x->id < y->id);
}


/* The segments that the zone has, after they were replayed. */

static int
s3_again_known(s3_replay_t *rp)
{
    unsigned i;
    const s3_zseg_t *s;

    rp->n_known = 0;
    rp->known = malloc(rp->z->max_segments * sizeof(*rp->known));

    if (rp->known == NULL) {
        return S3_ENOMEM;
    }

    for (i = 0; i < rp->z->max_segments; i++) {
        s = &s3_zone_segments(rp->z, rp->r->drive)[i];

        if (s->id) {
            rp->known[rp->n_known].id = s->id;
            rp->known[rp->n_known++].end = s->end;
        }
    }

    qsort(rp->known, rp->n_known, sizeof(*rp->known), s3_again_cmp);

    return S3_OK;
}


int
s3_replay_salvage_all(s3_replay_t *rp)
{
    int rc;
    size_t i;
    uint32_t id;
    s3_table_t *t;
    s3_again_files_t f;

    memset(&f, 0, sizeof(f));

    rc = rp->fs->list(rp->fs, S3_TABLE_DIR, s3_again_table, &f);

    if (rc == S3_OK) {
        rc = s3_again_known(rp);
    }

    for (i = 0; i < f.n && rc == S3_OK; i++) {
        id = f.ids[i];

        /* not what this very replay has written */
        if (id >= rp->first_id || s3_table_open(rp->fs, id, &t) != S3_OK) {
            continue;
        }

        rc = s3_replay_salvage(rp, t);
        s3_table_release(t);
    }

    free(f.ids);

    /* more than there ever were saves */
    rp->d->manifest_generation = s3_zone_time(rp->z);

    return rc == S3_ENOENT ? S3_OK : rc;
}


int
s3_replay_first_id(s3_replay_t *rp)
{
    int rc;
    s3_again_files_t f;

    memset(&f, 0, sizeof(f));
    rc = rp->fs->list(rp->fs, S3_TABLE_DIR, s3_again_table, &f);
    free(f.ids);

    rp->first_id = f.greatest + 1;
    rp->manifest.next_table_id = rp->first_id;

    return rc == S3_ENOENT ? S3_OK : rc;
}


void
s3_replay_end(s3_replay_t *rp)
{
    s3_late_t *late;

    while (rp->late) {
        late = rp->late;
        rp->late = late->next;
        free(late);
    }

    while (rp->n_tables) {
        s3_table_release(rp->tables[--rp->n_tables]);
    }

    s3_manifest_free(&rp->manifest);
    free(rp->known);
    free(rp->ids);
    free(rp);
}


/* Beside all else. */

void
s3_replay_pause(s3_replay_t *rp, uint64_t bytes)
{
    if (rp->fs->pause) {
        rp->fs->pause(
            rp->fs,
            S3_REBUILD_PAUSE
                * (unsigned) s3_max(bytes / S3_REBUILD_STRETCH, (uint64_t) 1));
    }
}


typedef struct {
    s3_rebuild_t *b;
    s3_replay_t *rp;
    uint32_t end;     /* of what is durable for certain */
    uint32_t limit;   /* of what may be */
    uint32_t stretch; /* where the present one began */
} s3_rebuild_scan_t;


/* Where the batch ends that begins at seg->end; seg->end if there is none. */

static uint32_t
s3_rebuild_limit(s3_rebuild_t *b, const s3_rebuild_seg_t *seg)
{
    uint32_t limit = seg->end;
    uint8_t p[S3_BATCH_HEADER];
    s3_file_t *f;
    s3_segment_t info;
    s3_batch_header_t h;

    if (!seg->open || s3_segment_open(b->fs, seg->id, &f, &info) != S3_OK) {
        return limit;
    }

    if (b->fs->pread(b->fs, f, p, sizeof(p), seg->end) == (ssize_t) sizeof(p)
        && s3_batch_header_decode(p, info.nonce, &info, seg->end, &h) == S3_OK)
    {
        limit += h.length;
    }

    b->fs->close(b->fs, f);

    return limit;
}


/* Is its write under way, or did it fail?  Its node was there before anything
 * of it was in the log, and stays until it is durable. */

static int
s3_rebuild_undone(const s3_rebuild_t *b, const s3_record_t *r)
{
    unsigned i, n, arenas[S3_ZONE_ARENAS];
    s3_entry_t e;
    s3_memtable_t *tables[S3_ZONE_ARENAS];
    const s3_memnode_t *node;

    n = s3_index_memtables(b->zone, b->drive, b->generation, tables, arenas);

    for (i = 0; i < n; i++) {
        node = s3_memtable_seek(tables[i], r->bucket, r->key);

        for (/* void */; node && s3_memnode_is(node, r->bucket, r->key);
             node = s3_memtable_next(tables[i], node))
        {
            if (s3_memnode_state(node) != S3_MEM_DURABLE
                && s3_memnode_entry(node, &e) == S3_OK
                && e.segment == r->entry.segment && e.offset == r->entry.offset)
            {
                return 1;
            }
        }
    }

    return 0;
}


static int
s3_rebuild_record(void *ctx, const s3_record_t *r)
{
    s3_rebuild_scan_t *scan = ctx;

    const volatile int *cancelled = scan->b->cancelled;

    if (cancelled && __atomic_load_n(cancelled, __ATOMIC_RELAXED)) {
        return S3_EBUSY;
    }

    if (r->entry.offset >= scan->limit) {
        return S3_DONE;
    }

    if (r->entry.offset >= scan->end && s3_rebuild_undone(scan->b, r)) {
        return S3_OK;
    }

    if (r->entry.offset - scan->stretch >= S3_REBUILD_STRETCH) {
        scan->stretch = r->entry.offset;
        s3_replay_pause(scan->rp, S3_REBUILD_STRETCH);
    }

    return s3_replay_record(scan->rp, r);
}


static int
s3_rebuild_segment(s3_rebuild_t *b, s3_replay_t *rp,
                   const s3_rebuild_seg_t *seg)
{
    int rc;
    s3_rebuild_scan_t scan;
    s3_scan_result_t result;

    scan.limit = s3_rebuild_limit(b, seg);

    if (scan.limit <= S3_SEGMENT_START) {
        return S3_OK;
    }

    memset(&result, 0, sizeof(result));
    scan.b = b;
    scan.rp = rp;
    scan.end = seg->end;
    scan.stretch = 0;

    rc = s3_segment_scan(b->fs, seg->id, 0, s3_rebuild_record, &scan, &result);

    if (rc == S3_ECORRUPT || rc == S3_EFOREIGN || rc == S3_ENOENT
        || (rc == S3_EIO && b->give_up))
    {
        b->corrupt++;
        return S3_OK;
    }

    b->corrupt += result.corrupt;

    /* all of it had been written: nothing before its end is torn */
    if (rc == S3_OK && result.end < seg->end) {
        b->corrupt += result.torn + 1;
    }

    s3_replay_pause(rp, 0);

    return rc == S3_DONE ? S3_OK : rc;
}


static int
s3_rebuild_all(s3_rebuild_t *b, s3_replay_t *rp)
{
    int rc;
    size_t i;

    rc = S3_OK;

    for (i = 0; i < b->n_bad && rc == S3_OK; i++) {
        rc = s3_replay_salvage(rp, b->bad[i]);
    }

    for (i = 0; i < b->n_segs && rc == S3_OK; i++) {
        rc = s3_rebuild_segment(b, rp, &b->segs[i]);
    }

    if (rc == S3_OK) {
        rc = s3_replay_confirms(rp);
    }

    if (rc == S3_OK) {
        rc = s3_replay_flush(rp);
    }

    if (rc == S3_OK && rp->n_tables > 1) {
        rc = s3_replay_merge(rp, rp->n_tables);
    }

    return rc;
}


int
s3_rebuild_run(s3_rebuild_t *b)
{
    int rc;
    size_t i;
    void *memory;
    s3_zseg_t seg;
    s3_recover_t r;
    s3_replay_t *rp;

    memset(&r, 0, sizeof(r));
    memset(&seg, 0, sizeof(seg));
    r.zone = b->zone;
    r.drive = b->drive;
    r.fs = b->fs;

    b->corrupt = 0;
    memset(&b->stats, 0, sizeof(b->stats));

    rp = calloc(1, sizeof(*rp));
    memory = aligned_alloc(S3_SECTOR, S3_REBUILD_MEMORY);

    if (rp == NULL || memory == NULL) {
        free(rp);
        free(memory);
        return S3_ENOMEM;
    }

    rp->r = &r;
    rp->z = b->zone;
    rp->d = &b->zone->drives[b->drive];
    rp->fs = b->fs;
    rp->seg = &seg;
    rp->mem = memory;
    rp->mem_size = S3_REBUILD_MEMORY;
    rp->again = 1;
    rp->beside = 1;
    rp->others = b->good;
    rp->n_others = b->n_good;
    s3_memtable_reset(rp->mem, rp->mem_size);

    rp->n_known = b->n_segs;
    rp->known = malloc((b->n_segs + 1) * sizeof(*rp->known));

    for (i = 0; rp->known && i < b->n_segs; i++) {
        rp->known[i].id = b->segs[i].id;
        rp->known[i].end = b->segs[i].end;
    }

    rc = rp->known ? s3_rebuild_all(b, rp) : S3_ENOMEM;

    if (rc == S3_OK && rp->n_tables) {
        b->stats = rp->tables[0]->stats;
        b->id = b->stats.id;
    }

    for (i = 0; rc != S3_OK && i < rp->n_tables; i++) {
        s3_table_unlink(b->fs, rp->tables[i]->stats.id);
    }

    b->records = r.records;
    s3_replay_end(rp);
    free(memory);

    return rc;
}
