/*
 * Recovery of one drive.
 */

#include "storage/s3_recover_int.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>


static void
s3_recover_say(s3_recover_t *r, int level, const char *fmt, ...)
{
    int n;
    char line[1024];
    va_list ap;

    if (r->log == NULL) {
        return;
    }

    n = snprintf(line, sizeof(line), "drive %u%s%.500s%s: ", r->drive + 1,
                 r->name ? " (" : "", r->name ? r->name : "",
                 r->name ? ")" : "");

    va_start(ap, fmt);
    vsnprintf(line + n, sizeof(line) - (size_t) n, fmt, ap);
    va_end(ap);

    r->log(r->ctx, level, line);
}


static int
s3_replay_later(s3_replay_t *rp, const s3_record_t *r)
{
    s3_late_t *late;

    late = malloc(sizeof(*late) + r->key.len);
    if (late == NULL) {
        return S3_ENOMEM;
    }

    late->next = rp->late;
    late->bucket = r->bucket;
    late->version = r->entry.version;
    late->flags = r->entry.flags & (S3_F_CONFIRMED | S3_F_KEEP);
    late->key_len = (uint16_t) r->key.len;
    memcpy(late->key, r->key.data, r->key.len);
    rp->late = late;

    return S3_OK;
}


/* Is there a NOTE of that version?  Then its UNNOTE may be older or newer:
 * to repair once more does no harm. */

static int
s3_replay_noted(s3_replay_t *rp, const s3_record_t *r)
{
    s3_entry_t e;
    s3_memnode_t *node;

    node = s3_memtable_seek(rp->mem, r->bucket, r->key);

    while (node && node->bucket == r->bucket
           && s3_str_eq(s3_memnode_key(node), r->key))
    {
        if (s3_memnode_entry(node, &e) == S3_OK && e.kind == S3_KIND_NOTE
            && s3_version_cmp(&e.version, &r->entry.version) == 0)
        {
            return 1;
        }

        node = s3_memtable_next(rp->mem, node);
    }

    return 0;
}


int
s3_replay_record(void *ctx, const s3_record_t *r)
{
    s3_replay_t *rp = ctx;

    rp->r->records++;

    if (r->bucket != S3_BUCKET_CLOSED) {
        s3_zone_saw(rp->z, r->entry.version.time);
    }

    switch (r->entry.kind) {

    case S3_KIND_CONFIRM:
        if (s3_replay_flag(rp, r->bucket, r->key, &r->entry.version,
                           r->entry.flags & (S3_F_CONFIRMED | S3_F_KEEP)))
        {
            return S3_OK;
        }

        return s3_replay_later(rp, r);

    case S3_KIND_FLOOR:
        if (!rp->beside && s3_version_cmp(&r->entry.version, &rp->d->floor) > 0)
        {
            rp->d->floor = r->entry.version;
        }
        return S3_OK;

    case S3_KIND_DROP:
        return S3_OK;

    case S3_KIND_UNNOTE:
        /* again from the beginning nobody knows which of them was the last */
        if (rp->again || s3_replay_noted(rp, r)) {
            return S3_OK;
        }
        break;

    default:
        break;
    }

    rp->seg->live += r->entry.length;

    return s3_replay_insert(rp, r->bucket, r->key, &r->entry);
}


/* Segments. */

static int
s3_replay_see(void *ctx, const char *name)
{
    size_t room;
    uint32_t id, *p;
    s3_replay_t *rp = ctx;

    if (s3_segment_parse_name(name, &id) != S3_OK) {
        return S3_OK; /* an unknown file: left alone */
    }

    if (rp->n_ids == rp->room_ids) {
        room = rp->room_ids * 2 + 64;
        p = realloc(rp->ids, room * sizeof(*p));
        if (p == NULL) {
            return S3_ENOMEM;
        }

        rp->ids = p;
        rp->room_ids = room;
    }

    rp->ids[rp->n_ids++] = id;

    return S3_OK;
}


static int
s3_replay_cmp(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;

    return (x > y) - (x < y);
}


/* What is in a segment counts from now on: no cache may lose it. */

static int
s3_replay_sync(s3_replay_t *rp, uint32_t id)
{
    int rc;
    char path[S3_SEGMENT_PATH];
    s3_file_t *f;

    s3_segment_path(path, id);

    rc = rp->fs->open(rp->fs, path, S3_O_READ | S3_O_WRITE, &f);
    if (rc != S3_OK) {
        return rc;
    }

    rc = rp->fs->sync(rp->fs, f);
    rp->fs->close(rp->fs, f);

    return rc;
}


static int
s3_replay_remove(s3_replay_t *rp, uint32_t id)
{
    int rc;
    char path[S3_SEGMENT_PATH];

    s3_segment_path(path, id);
    rc = rp->fs->unlink(rp->fs, path);

    return rc == S3_ENOENT || rc == S3_EROFS ? S3_OK : rc;
}


/* The MANIFEST knows it as one that had been made. */

static int
s3_replay_used(const s3_manifest_segment_t *listed)
{
    return listed && listed->replay_from >= S3_SEGMENT_START;
}


/* Segments whose file is gone: as damaged as one that cannot be read. */

static void
s3_replay_lost(s3_replay_t *rp)
{
    size_t i;
    s3_recover_t *r = rp->r;
    const s3_manifest_segment_t *listed;

    for (i = 0; i < rp->manifest.n_segments; i++) {
        listed = &rp->manifest.segments[i];

        if (!s3_replay_used(listed)
            || (rp->n_ids
                && bsearch(&listed->id, rp->ids, rp->n_ids, sizeof(*rp->ids),
                           s3_replay_cmp)))
        {
            continue;
        }

        s3_recover_say(r, S3_LOG_ERR, "segment %08x is lost",
                       (unsigned) listed->id);
        s3_zone_count(&rp->d->errors);
        r->corrupt++;
    }
}


/*
 * What of a segment is not in tables.  Where all of it is, the part that was
 * never written is not read either: most segments have one.
 */

static int
s3_replay_scan(s3_replay_t *rp, uint32_t id,
               const s3_manifest_segment_t *listed, s3_scan_result_t *result)
{
    int rc;
    s3_file_t *f;

    memset(result, 0, sizeof(*result));

    if (listed && listed->sealed) {
        rc = s3_segment_open_direct(rp->fs, id, &f, &result->seg);

        if (rc == S3_OK) {
            result->end = listed->replay_from;
            rp->fs->close(rp->fs, f);
        }

        return rc;
    }

    rc = s3_replay_sync(rp, id);

    if (rc != S3_OK && rc != S3_EROFS) {
        return rc;
    }

    return s3_segment_scan(rp->fs, id, listed ? listed->replay_from : 0,
                           s3_replay_record, rp, result);
}


static int
s3_replay_segment(s3_replay_t *rp, uint32_t id)
{
    int rc;
    s3_zseg_t *s;
    s3_recover_t *r = rp->r;
    s3_scan_result_t result;
    s3_manifest_segment_t *listed;

    listed = s3_manifest_segment(&rp->manifest, id);

    if (listed == NULL && id < rp->manifest.next_segment_id) {
        return s3_replay_remove(rp, id); /* freed before the last save */
    }

    s = s3_zone_segment_add(rp->z, r->drive, id);
    if (s == NULL) {
        s3_recover_say(r, S3_LOG_ERR, "too many segments in the log");
        return S3_ENOSPC;
    }

    rp->seg = s;
    s->state = S3_SEG_SEALED;
    s->live =
        listed ? (int64_t) s3_min(listed->live, (uint64_t) INT64_MAX / 2) : 0;

    rc = s3_replay_scan(rp, id, listed, &result);

    if (rc == S3_EFOREIGN && !s3_replay_used(listed)) {
        /* the process died while it made the file: never used */
        s->state = S3_SEG_NONE;
        s->id = 0;
        return s3_replay_remove(rp, id);
    }

    if (rc == S3_ECORRUPT || rc == S3_EFOREIGN) {
        /* both headers damaged: what tables say of it fails when it is read */
        s3_recover_say(r, S3_LOG_ERR, "segment %08x is damaged", (unsigned) id);
        s->flags |= S3_ZSEG_NOCLEAN;
        s3_zone_count(&rp->d->errors);
        r->corrupt++;
        return S3_OK;
    }

    if (rc != S3_OK) {
        s3_recover_say(r, S3_LOG_ERR, "segment %08x: %s", (unsigned) id,
                       s3_strerror(rc));
        return rc;
    }

    s->size = result.seg.size;
    s->end = s3_max(result.end, (uint32_t) S3_SEGMENT_START);

    if (listed && listed->replay_from > s->end) {
        s->end = listed->replay_from;
    }

    s->batch = s->end;
    s->replay_from =
        s3_max(listed ? listed->replay_from : 0, (uint32_t) S3_SEGMENT_START);
    r->corrupt += result.corrupt;
    r->torn += result.torn;

    if (rp->lost && r->gentle) {
        s3_replay_pause(rp, result.end);
    }

    if (result.corrupt) {
        s->flags |= S3_ZSEG_NOCLEAN;
        s3_recover_say(r, S3_LOG_ERR, "segment %08x: %u records are damaged",
                       (unsigned) id, result.corrupt);
    }

    return S3_OK;
}


static int
s3_replay_log(s3_replay_t *rp)
{
    int rc;
    size_t i;

    rc = rp->fs->list(rp->fs, "log", s3_replay_see, rp);
    if (rc != S3_OK) {
        return rc;
    }

    if (rp->n_ids) {
        qsort(rp->ids, rp->n_ids, sizeof(*rp->ids), s3_replay_cmp);
    }

    s3_replay_lost(rp);

    for (i = 0; i < rp->n_ids; i++) {
        rc = s3_replay_segment(rp, rp->ids[i]);
        if (rc != S3_OK) {
            return rc;
        }

        if (rp->ids[i] >= rp->d->next_segment_id) {
            rp->d->next_segment_id = rp->ids[i] + 1;
        }
    }

    return S3_OK;
}


/*
 * What was in a damaged record was held once, and promised perhaps: for all
 * that is not here and may be that old the answer is GONE, never NO.  As long
 * as the damaged part is read at each start the floor is found again; what
 * ends that is a MANIFEST, which has the floor.
 */

void
s3_recover_raise(s3_zone_t *z, s3_zdrive_t *d)
{
    s3_version_t now = {s3_zone_time(z), UINT64_MAX, UINT32_MAX};

    if (s3_version_cmp(&now, &d->floor) > 0) {
        d->floor = now;
    }

    if (s3_version_cmp(&d->floor, &d->memory_since) > 0) {
        d->memory_since = d->floor;
    }
}


/* The end: all in tables, one MANIFEST that says so. */

static int
s3_replay_save(s3_replay_t *rp)
{
    int rc;
    unsigned i;
    s3_zseg_t *s;
    s3_ztable_t list[S3_ZONE_TABLES];
    s3_manifest_t m;

    rc = s3_replay_flush_last(rp);
    if (rc != S3_OK) {
        return rc;
    }

    for (i = 0; i < rp->z->max_segments; i++) {
        s = &s3_zone_segments(rp->z, rp->r->drive)[i];

        if (s->id && !(s->flags & S3_ZSEG_NOCLEAN)) {
            s->replay_from = s->end;

            if (s->end == S3_SEGMENT_START) {
                s->state = S3_SEG_EMPTY;
            }
        }
    }

    s3_replay_list(rp, list);
    rc = s3_maintain_manifest(rp->z, rp->r->drive, -1, &m);

    if (rc == S3_OK) {
        rc = s3_manifest_add_tables(&m, list, rp->n_tables);
    }

    if (rc == S3_OK) {
        rc = s3_manifest_save(rp->fs, &m);
    }

    if (rc == S3_OK && rp->lost) {
        rc = s3_manifest_clean(rp->fs, &m); /* what was an index once */
    }

    s3_manifest_free(&m);

    if (rc == S3_OK) {
        s3_maintain_saved(rp->z, rp->r->drive, -1);
    }

    return rc;
}


/* One that is damaged has a placeholder: what is in it is made anew when all
 * else is in use. */

static int
s3_replay_open_tables(s3_replay_t *rp)
{
    int rc;
    unsigned i;
    const s3_manifest_table_t *t;

    if (rp->manifest.n_tables > S3_ZONE_TABLES) {
        return S3_ENOMEM;
    }

    for (i = 0; i < rp->manifest.n_tables; i++) {
        t = &rp->manifest.tables[i];
        rc = s3_table_open(rp->fs, t->id, &rp->tables[rp->n_tables]);

        if (rc != S3_OK) {
            s3_recover_say(rp->r, S3_LOG_ERR, "table %08x: %s",
                           (unsigned) t->id, s3_strerror(rc));
        }

        if (rc == S3_ECORRUPT || rc == S3_ENOENT) {
            rp->d->verify = S3_ZVERIFY_DAMAGE;
            rc = s3_table_broken(rp->fs, t->id, &rp->tables[rp->n_tables]);

            if (rc == S3_OK) {
                rp->tables[rp->n_tables]->stats.bytes = t->bytes;
                rp->tables[rp->n_tables]->stats.entries = t->entries;
            }
        }

        if (rc != S3_OK) {
            return rc;
        }

        rp->n_tables++;
    }

    return S3_OK;
}


static void
s3_replay_reset(s3_replay_t *rp)
{
    unsigned i;
    s3_zdrive_t *d = rp->d;
    s3_recover_t *r = rp->r;
    s3_zone_t *z = rp->z;

    memset(s3_zone_segments(z, r->drive), 0,
           z->max_segments * sizeof(s3_zseg_t));

    s3_zone_set_tables(d, NULL, 0, -1);

    for (i = 0; i < S3_ZONE_ARENAS; i++) {
        d->arenas[i].used = i == 0;
        d->arenas[i].frozen = 0;
        d->arenas[i].flushed = 0;
    }

    d->arenas[0].seq = ++d->arena_seq;
    d->active = 0;
    d->floor = r->floor;
    d->ring_next = 0;
    d->ring_used = 0;
    d->failed = 0;
    d->orphans = 0;
    d->lost = S3_ZLOST_NONE;
    d->probe = S3_ZONE_PROBE;
    d->lease = 0;
    d->recount = 0;
    d->verify = S3_ZVERIFY_NONE;
    d->mended = 0;
    __atomic_add_fetch(&d->settled, 1, __ATOMIC_ACQ_REL);
    d->next_table_id = 1;
    d->next_segment_id = 1;
    rp->mem = s3_zone_arena(z, r->drive, 0);
    rp->mem_size = z->arena_size;
    s3_memtable_reset(rp->mem, rp->mem_size);
}


static int
s3_replay_dirs(s3_replay_t *rp)
{
    int rc;
    unsigned i;
    s3_fs_t *fs = rp->fs;
    static const char *const dirs[] = {"log", "index", "blob", "tmp"};

    for (i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        rc = fs->mkdir(fs, dirs[i]);
        if (rc != S3_OK) {
            return rc;
        }
    }

    rc = fs->syncdir(fs, "");
    if (rc != S3_OK) {
        return rc;
    }

    return s3_blob_clean_tmp(fs);
}


static int
s3_replay_manifest(s3_replay_t *rp)
{
    int rc, any;
    s3_zdrive_t *d = rp->d;

    rc = s3_manifest_load(rp->fs, &rp->manifest);
    any = 0;

    if (rc == S3_ENOENT) {
        rc = s3_replay_any(rp, &any);
    }

    if (any) {
        rc = S3_ECORRUPT; /* lost: a drive that was used has one */
    }

    if (rc != S3_OK) {
        s3_recover_say(rp->r, S3_LOG_ERR, "MANIFEST: %s",
                       any ? "is lost" : s3_strerror(rc));
    }

    if (rc == S3_ECORRUPT && rp->r->rebuild) {
        /* whatever is in the log counts, and may not be all */
        s3_manifest_init(&rp->manifest);
        rp->lost = 1;
        rp->again = 1;
        rp->r->rebuilt = 1;
        rp->r->corrupt++;
        rc = s3_replay_first_id(rp);
    }

    if (rc == S3_OK && !rp->lost) {
        rc = s3_manifest_clean(rp->fs, &rp->manifest);
        rc = rc == S3_EROFS ? S3_OK : rc;
    }

    if (rc != S3_OK) {
        return rc;
    }

    if (s3_replay_older(rp)) {
        s3_recover_say(rp->r, S3_LOG_ERR, "is an older copy of itself");
        rp->r->corrupt++;
    }

    if (rp->manifest.lost) {
        s3_recover_say(rp->r, S3_LOG_ERR, "has lost records before");
        rp->r->corrupt++;
    }

    if (s3_version_cmp(&rp->manifest.floor, &d->floor) > 0) {
        d->floor = rp->manifest.floor;
    }

    s3_zone_saw(rp->z, rp->manifest.clock);
    d->next_table_id = rp->manifest.next_table_id;
    d->next_segment_id = rp->manifest.next_segment_id;

    return s3_replay_open_tables(rp);
}


static int
s3_replay_run(s3_replay_t *rp)
{
    int rc;
    s3_ztable_t list[S3_ZONE_TABLES];
    s3_recover_t *r = rp->r;

    rc = s3_replay_dirs(rp);

    if (rc == S3_EROFS) {
        r->readonly = 1;

    } else if (rc != S3_OK) {
        return rc;
    }

    rc = s3_replay_manifest(rp);
    if (rc != S3_OK) {
        return rc;
    }

    rc = s3_replay_log(rp);

    if (rc == S3_OK && rp->lost) {
        rc = s3_replay_salvage_all(rp);
    }

    if (rc != S3_OK) {
        return rc;
    }

    rc = s3_replay_confirms(rp);
    if (rc != S3_OK) {
        return rc;
    }

    if (r->records) {
        rp->d->recount = 1;
    }

    if (r->corrupt) {
        rp->d->lost = r->corrupt > (unsigned) (r->rebuilt != 0)
                          ? S3_ZLOST_RECORDS
                          : S3_ZLOST_INDEX;
        s3_recover_raise(rp->z, rp->d);
    }

    rc = s3_replay_save(rp);

    if (rc == S3_EROFS || rc == S3_ENOSPC) {
        /* what is in memory serves; the log has it all */
        r->readonly |= rc == S3_EROFS;
        r->unsaved = 1;
        s3_recover_say(r, S3_LOG_WARN, "tables cannot be written: %s",
                       s3_strerror(rc));
        rc = S3_OK;
    }

    if (rc == S3_OK) {
        s3_replay_list(rp, list);
        s3_zone_set_tables(rp->d, list, rp->n_tables, -1);
    }

    return rc;
}


int
s3_recover_drive(s3_recover_t *r)
{
    int rc;
    s3_replay_t *rp;

    rp = calloc(1, sizeof(*rp));
    if (rp == NULL) {
        return S3_ENOMEM;
    }

    r->records = 0;
    r->corrupt = 0;
    r->torn = 0;
    r->readonly = 0;
    r->unsaved = 0;
    r->rebuilt = 0;

    rp->r = r;
    rp->z = r->zone;
    rp->d = &r->zone->drives[r->drive];
    rp->fs = r->fs;

    s3_replay_reset(rp);
    rc = s3_replay_run(rp);

    if (rc == S3_OK && (r->records || r->corrupt || r->torn)) {
        s3_recover_say(r, S3_LOG_NOTICE,
                       "replayed %u records, %u damaged, %u torn", r->records,
                       r->corrupt, r->torn);
    }

    s3_replay_end(rp);

    return rc;
}


void
s3_recover_done(s3_zone_t *zone, unsigned drive)
{
    s3_zdrive_t *d = &zone->drives[drive];

    d->memory_since =
        (s3_version_t){s3_zone_time(zone), UINT64_MAX, UINT32_MAX};

    if (d->lost) {
        /* other drives, and the wall clock, may know of later times */
        s3_recover_raise(zone, d);
    }
}


int
s3_recover_keep(s3_zone_t *zone, unsigned drive, s3_fs_t *fs)
{
    int rc;
    s3_manifest_t m;
    const s3_ztables_t *list;
    s3_zdrive_t *d = &zone->drives[drive];

    if (!d->known) {
        return S3_OK;
    }

    list = s3_zone_tables(d);
    rc = s3_maintain_manifest(zone, drive, -1, &m);

    if (rc == S3_OK) {
        rc = s3_manifest_add_tables(&m, list->tables, list->n);
    }

    if (rc == S3_OK) {
        rc = s3_manifest_save(fs, &m);
    }

    s3_manifest_free(&m);

    if (rc == S3_OK) {
        s3_maintain_saved(zone, drive, -1);
    }

    return rc;
}
