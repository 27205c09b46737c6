/*
 * The node: its drives recovered, joined, watched, left.
 */

#include "storage/s3_node_int.h"
#include "storage/s3_maintain.h"
#include "storage/s3_settle.h"
#include "storage/s3_format.h"
#include "storage/s3_recover.h"
#include "storage/s3_segment.h"
#include <stdio.h>
#include <stdlib.h>

#define S3_NODE_TICK_MS 50
#define S3_NODE_LOOK 10 /* ticks between looks at the processes */


size_t
s3_node_zone_min(unsigned n, unsigned max_segments)
{
    return s3_zone_min(n, max_segments);
}


static int
s3_node_check_conf(const s3_node_conf_t *conf)
{
    uint64_t size = conf->segment_size;

    if (conf->n == 0 || conf->n > S3_MAX_DRIVES || conf->zone == NULL
        || conf->zone_size < s3_zone_min(conf->n, conf->max_segments))
    {
        return S3_EINVAL;
    }

    if (size
        && (size % S3_SECTOR || size < S3_SEGMENT_MIN || size > S3_SEGMENT_MAX))
    {
        return S3_EINVAL;
    }

    return S3_OK;
}


static void
s3_node_say(const s3_node_conf_t *conf, int level, const char *message)
{
    if (conf->log) {
        conf->log(conf->ctx, level, message);
    }
}


static int
s3_node_join(const s3_node_conf_t *conf, s3_zone_t **zone)
{
    int rc;

    rc = s3_zone_join(conf->zone, conf->zone_size, conf->n, conf->instance,
                      zone);

    switch (rc) {
    case S3_OK:
        break;
    case S3_EVERSION:
        s3_node_say(conf, S3_LOG_ERR,
                    "shared memory: made by another version of this module; "
                    "stop that nginx first");
        break;
    case S3_EFOREIGN:
        s3_node_say(conf, S3_LOG_ERR,
                    "shared memory: belongs to another nginx, or has another "
                    "number of drives or size");
        break;
    default:
        s3_node_say(conf, S3_LOG_ERR, "shared memory: not ready");
    }

    return rc;
}


/* One drive into the zone.  A drive that cannot be read is MISSING; so is, if
 * not `rebuild`, one whose MANIFESTs are lost: reading all of its log takes
 * time, and is done beside all else when it returns. */

static int
s3_node_drive_up(const s3_node_conf_t *conf, s3_zone_t *z, unsigned i,
                 const s3_format_t *f, int rebuild)
{
    int rc;
    char line[256];
    s3_recover_t r;
    s3_zdrive_t *d = &z->drives[i];

    memset(&r, 0, sizeof(r));
    r.zone = z;
    r.drive = i;
    r.fs = conf->fs[i];
    r.name = conf->name[i];
    r.rebuild = rebuild != 0;
    r.log = conf->log;
    r.ctx = conf->ctx;

    if (f->state == S3_FORMAT_REFILL) {
        /* it has promised nothing before it joined, and knows nothing */
        s3_zone_saw(z, f->created * 1000000);
        r.floor = (s3_version_t){s3_zone_time(z), UINT64_MAX, UINT32_MAX};
    }

    rc = s3_recover_drive(&r);

    if (rc == S3_EVERSION || rc == S3_ENOMEM) {
        return rc;
    }

    if (rc != S3_OK) {
        snprintf(line, sizeof(line), "drive %u: not used%s: %s", i + 1,
                 rc == S3_ECORRUPT && !rebuild
                     ? " until its index is made anew from the log"
                     : "",
                 s3_strerror(rc));
        s3_node_say(conf, S3_LOG_ERR, line);
        s3_zone_fault(d, S3_ZFAULT_RECOVER, 0);
        return S3_OK;
    }

    if (r.rebuilt) {
        __atomic_fetch_add(&d->stats.corrupt, 1, __ATOMIC_RELAXED);
        s3_zone_last_fault(d, S3_ZFAULT_CORRUPT, 0);
    }

    memcpy(d->id, f->drive, 16);
    d->known = 1;
    d->refilling = f->state == S3_FORMAT_REFILL;
    d->state = r.readonly || f->readonly      ? S3_DRIVE_READONLY
               : f->state == S3_FORMAT_REFILL ? S3_DRIVE_REFILLING
                                              : S3_DRIVE_OK;
    s3_zone_fault(d,
                  d->state == S3_DRIVE_READONLY    ? S3_ZFAULT_READONLY
                  : d->state == S3_DRIVE_REFILLING ? S3_ZFAULT_NEW
                                                   : S3_ZFAULT_NONE,
                  0);

    return S3_OK;
}


static int
s3_node_formats(const s3_node_conf_t *conf, s3_format_t *formats)
{
    int fresh;
    s3_format_conf_t fc;

    memset(&fc, 0, sizeof(fc));
    fc.n = conf->n;
    fc.fs = conf->fs;
    fc.names = conf->name;
    fc.parity = conf->parity;
    fc.partial = conf->partial;
    fc.created = conf->wall_us(conf->ctx) / 1000000;
    fc.random = conf->random;
    fc.log = conf->log;
    fc.ctx = conf->ctx;

    return s3_format_check(&fc, formats, &fresh);
}


static int
s3_node_count(void *ctx, const char *name)
{
    uint32_t id;
    uint64_t *n = ctx;

    if (s3_segment_parse_name(name, &id) == S3_OK) {
        (*n)++;
    }

    return S3_OK;
}


/*
 * Places for segments: as many as the greatest drive has room for, where a
 * quarter of the zone that the memtables can spare allows it; more where that
 * many segments are on a drive already, as far as the zone goes.
 */

static unsigned
s3_node_max_segments(const s3_node_conf_t *conf)
{
    unsigned i;
    uint64_t room, most, want, files, n, bytes_free, total, size;
    s3_fs_t *fs;

    if (conf->max_segments) {
        return conf->max_segments;
    }

    size = conf->segment_size ? conf->segment_size : S3_SEGMENT_SIZE;
    want = S3_ZONE_SEGMENTS;
    files = S3_ZONE_SEGMENTS;

    for (i = 0; i < conf->n; i++) {
        fs = conf->fs[i];

        if (fs == NULL) {
            want = UINT32_MAX / 2; /* who knows how large it is */
            continue;
        }

        if (fs->space(fs, &bytes_free, &total) == S3_OK) {
            want = s3_max(want, total / size);
        }

        n = 0;

        if (fs->list(fs, "log", s3_node_count, &n) == S3_OK) {
            files = s3_max(files, n + n / 8);
        }
    }

    room = conf->zone_size - s3_zone_min(conf->n, S3_ZONE_SEGMENTS);
    room /= conf->n * sizeof(s3_zseg_t);
    most = S3_ZONE_SEGMENTS + room / 4;
    want = s3_max(s3_min(want, most), files);
    want = s3_min(want, S3_ZONE_SEGMENTS + room);

    want = s3_min(want, (uint64_t) UINT32_MAX / 2);

    /* parts of the zone are rounded up to pages */
    while (want > S3_ZONE_SEGMENTS
           && s3_zone_min(conf->n, (unsigned) want) > conf->zone_size)
    {
        want--;
    }

    return (unsigned) want;
}


/* The id of the store; NULL: none of its drives is there. */

static const uint8_t *
s3_node_whose(const s3_node_conf_t *conf, const s3_format_t *formats)
{
    unsigned i;
    const uint8_t *store;

    store = NULL;

    for (i = 0; i < conf->n; i++) {
        if (formats[i].state >= S3_FORMAT_READY) {
            store = formats[i].store;
        }
    }

    return store;
}


/* Not in use now: why? */

static int
s3_node_unused(const s3_format_t *f, s3_zdrive_t *d)
{
    switch (f->state) {

    case S3_FORMAT_MISSING:
        s3_zone_fault(d, S3_ZFAULT_ABSENT, 0);
        return 1;

    case S3_FORMAT_EMPTY:
    case S3_FORMAT_NEW:
        s3_zone_fault(d, S3_ZFAULT_EMPTY, 0);
        return 1;

    default:
        return 0;
    }
}


/* What a drive lacks of what it has voted for is no answer.  So it is filled
 * again, as one that is new, where so many others have data as are needed. */

static void
s3_node_forgot(const s3_node_conf_t *conf, s3_zone_t *z, unsigned drive,
               s3_format_t *f)
{
    char line[128];
    s3_zdrive_t *d = &z->drives[drive];

    if (!d->known || d->refilling || !s3_forgot_take(z, drive, conf->parity)) {
        return;
    }

    snprintf(line, sizeof(line),
             "drive %u: records are lost, it gets what the others have",
             drive + 1);
    s3_node_say(conf, S3_LOG_ERR, line);

    /* should that fail the MANIFEST says that records are lost */
    f->state = S3_FORMAT_REFILL;
    (void) s3_format_save(conf->fs[drive], f);
}


int
s3_node_recover(const s3_node_conf_t *conf)
{
    int rc;
    unsigned i, j, up, told;
    s3_zone_t *z;
    s3_format_t formats[S3_MAX_DRIVES];
    const uint8_t *store;

    rc = s3_node_check_conf(conf);
    if (rc != S3_OK) {
        s3_node_say(conf, S3_LOG_ERR,
                    "the shared zone is too small, or the "
                    "size of segments is out of range");
        return rc;
    }

    if (!conf->fresh) {
        return s3_node_join(conf, &z);
    }

    rc = s3_node_formats(conf, formats);
    if (rc != S3_OK) {
        return rc;
    }

    store = s3_node_whose(conf, formats);

    if (store == NULL && !conf->partial) {
        return S3_EUNAVAIL;
    }

    rc = s3_zone_init(conf->zone, conf->zone_size, conf->n,
                      s3_node_max_segments(conf), store, conf->instance);
    if (rc != S3_OK) {
        return rc;
    }

    z = conf->zone;
    z->node = conf->node;
    up = 0;

    for (i = 0; i < conf->n; i++) {
        if (!s3_node_unused(&formats[i], &z->drives[i])) {
            memcpy(z->drives[i].id, formats[i].drive, 16);
        }
    }

    /* those to be refilled last: by then the logical clock is known that the
     * others have come to */

    for (j = 0; j < 2 * conf->n; j++) {
        i = j % conf->n;

        if (s3_node_unused(&formats[i], &z->drives[i])) {
            continue;
        }

        if ((formats[i].state == S3_FORMAT_REFILL) != (j >= conf->n)) {
            continue;
        }

        rc = s3_node_drive_up(conf, z, i, &formats[i], 0);
        if (rc != S3_OK) {
            return rc;
        }

        up += z->drives[i].state != S3_DRIVE_MISSING;
    }

    for (i = 0; i < conf->n && up + conf->parity < conf->n; i++) {
        if (z->drives[i].fault_code != S3_ZFAULT_RECOVER) {
            continue;
        }

        /* too few to wait for it */
        rc = s3_node_drive_up(conf, z, i, &formats[i], 1);
        if (rc != S3_OK) {
            return rc;
        }

        up += z->drives[i].state != S3_DRIVE_MISSING;
    }

    if (up == 0 && !conf->partial) {
        return S3_EUNAVAIL;
    }

    s3_zone_saw(z, conf->wall_us(conf->ctx));

    told = conf->n == 1;

    for (i = 0; i < conf->n; i++) {
        if (z->drives[i].lost == S3_ZLOST_RECORDS) {
            s3_node_forgot(conf, z, i, &formats[i]);
        }

        s3_recover_done(z, i);

        /* where it fails the next start finds a lower floor, that of the clock
         * as this drive knew it; one drive has to know that all of them were
         * here, the others know it of that one */
        if (conf->fs[i] && (z->drives[i].lost || !told)) {
            told |= s3_recover_keep(z, i, conf->fs[i]) == S3_OK
                    && z->drives[i].state == S3_DRIVE_OK;
        }
    }

    s3_zone_seal(z);

    return S3_OK;
}


void
s3_node_store_id(const s3_node_conf_t *conf, uint8_t id[16])
{
    memcpy(id, ((const s3_zone_t *) conf->zone)->store_id, 16);
}


void
s3_node_name(s3_node_t *node)
{
    if (node->named || !__atomic_load_n(&node->zone->named, __ATOMIC_ACQUIRE)) {
        return;
    }

    node->named = 1;

    if (node->tell) {
        node->tell(node->ctx, node->zone->store_id);
    }
}


/* Dead processes. */

static void
s3_node_settled(void *ctx)
{
    s3_node_settle_t *st = ctx;
    s3_node_t *node = st->node;

    if (--st->left == 0) {
        node->settling--;
        s3_zone_proc_leave(node->zone, st->slot);
    }
}


static void
s3_node_look(s3_node_t *node)
{
    unsigned i, slot;
    uint32_t incarnation;
    s3_node_settle_t *st;

    for (slot = 0; slot < S3_ZONE_PROCS; slot++) {

        if (s3_break(PENDING_LEFT)
            || !s3_zone_proc_settle(node->zone, slot, node->slot, node->alive,
                                    node->ctx))
        {
            continue;
        }

        s3_pins_clear(&node->zone->pins, slot);
        incarnation = s3_zone_proc_incarnation(node->zone, slot);
        node->loop->log(node->loop, S3_LOG_NOTICE,
                        "process %lld is gone, settling what it left",
                        (long long) node->zone->procs[slot].pid);

        st = &node->settle[slot];
        st->node = node;
        st->slot = slot;
        st->left = node->n + 1;
        node->settling++;

        for (i = 0; i < node->n; i++) {
            s3_local_settle(node->locals[i], slot, incarnation, s3_node_settled,
                            st);
        }

        s3_node_settled(st);
    }
}


static void
s3_node_tick(s3_timer_t *timer)
{
    int look;
    unsigned i;
    s3_node_t *node = timer->ctx;

    s3_node_name(node);

    /* what a process on its way out waits for may be a dead one's */
    look = node->ticks++ % S3_NODE_LOOK == 0;

    for (i = 0; i < node->n && !look; i++) {
        look = s3_local_waits(node->locals[i]);
    }

    if (look && (!node->quiet || s3_node_busy(node))) {
        s3_node_look(node);
    }

    for (i = 0; i < node->n && !node->quiet; i++) {
        s3_local_tick(node->locals[i]);
    }

    node->loop->set_timer(node->loop, &node->tick, S3_NODE_TICK_MS);
}


int
s3_node_attach(const s3_node_conf_t *conf, s3_loop_t *loop, unsigned slot,
               int64_t pid, int (*alive)(void *ctx, int64_t pid),
               s3_node_t **out)
{
    int rc;
    unsigned i;
    s3_zone_t *z = NULL;
    s3_node_t *node;
    s3_local_conf_t lc;

    rc = s3_node_check_conf(conf);
    if (rc == S3_OK) {
        rc = s3_node_join(conf, &z);
    }

    if (rc != S3_OK) {
        return rc;
    }

    node = calloc(1, sizeof(*node));
    if (node == NULL) {
        return S3_ENOMEM;
    }

    node->zone = z;
    node->loop = loop;
    node->n = conf->n;
    node->parity = conf->parity;
    node->pid = pid;
    node->alive = alive;
    node->ctx = conf->ctx;
    node->named = __atomic_load_n(&z->named, __ATOMIC_ACQUIRE) != 0;
    node->tell = conf->named;
    node->tick.handler = s3_node_tick;
    node->tick.ctx = node;
    node->tick.background = 1;

    rc = s3_zone_proc_join(z, slot, pid, &node->slot);

    if (rc == S3_EBUSY && slot < S3_ZONE_PROCS
        && s3_zone_proc_dead(z, slot, alive, conf->ctx))
    {
        /* settled as soon as we run; until then another slot will do */
        rc = s3_zone_proc_join(z, S3_ZONE_PROCS, pid, &node->slot);
    }

    if (rc != S3_OK) {
        free(node);
        return rc;
    }

    memset(&lc, 0, sizeof(lc));
    lc.loop = loop;
    lc.zone = z;
    lc.slot = node->slot;
    lc.parity = node->parity;
    lc.segment_size =
        conf->segment_size ? (uint32_t) conf->segment_size : S3_SEGMENT_SIZE;

    for (i = 0; i < conf->n; i++) {
        lc.fs = conf->fs[i];
        lc.drive = i;

        rc = s3_local_create(&lc, &node->locals[i]);

        if (rc != S3_OK && rc != S3_ENOMEM) {
            /* this process cannot use it; the others go on */
            loop->log(loop, S3_LOG_ERR, "drive %u: %s", i + 1, s3_strerror(rc));
            lc.fs = NULL;
            rc = s3_local_create(&lc, &node->locals[i]);

            if (rc == S3_OK) {
                s3_local_later(node->locals[i], conf->fs[i]);
            }
        }

        if (rc != S3_OK) {
            s3_node_detach(node);
            return rc;
        }

        if (conf->fs[i] && s3_zone_state(&z->drives[i]) == S3_DRIVE_HUNG) {
            s3_local_later(node->locals[i], conf->fs[i]);
        }
    }

    *out = node;
    loop->set_timer(loop, &node->tick, 1);

    return S3_OK;
}


s3_drive_t *
s3_node_drive(s3_node_t *node, unsigned i)
{
    return i < node->n ? s3_local_drive(node->locals[i]) : NULL;
}


unsigned
s3_node_slot(s3_node_t *node)
{
    return node->slot;
}


const uint64_t *
s3_node_bucket_changes(s3_node_t *node)
{
    return &node->zone->bucket_changes;
}


s3_pins_t *
s3_node_pins(s3_node_t *node)
{
    return &node->zone->pins;
}


uint64_t
s3_node_clock(void *ctx)
{
    s3_node_t *node = ctx;

    return s3_zone_clock(node->zone, node->loop->wall_us(node->loop));
}


void
s3_node_saw(s3_node_t *node, uint64_t time)
{
    s3_zone_saw(node->zone, time);
}


unsigned
s3_node_busy(s3_node_t *node)
{
    unsigned i, n;

    n = node->settling + node->returning;

    for (i = 0; i < node->n; i++) {
        n += s3_local_busy(node->locals[i]);
    }

    return n;
}


void
s3_node_quiesce(s3_node_t *node)
{
    unsigned i;

    node->quiet = 1;

    for (i = 0; i < node->n; i++) {
        s3_local_quiesce(node->locals[i]);
    }
}


static void
s3_node_free(s3_node_t *node, int died)
{
    unsigned i;

    if (!died) {
        node->loop->del_timer(node->loop, &node->tick);
    }

    for (i = 0; i < node->n; i++) {
        if (node->locals[i]) {
            s3_local_destroy(node->locals[i], died);
        }
    }

    if (!died) {
        s3_zone_proc_leave(node->zone, node->slot);
    }

    free(node);
}


void
s3_node_detach(s3_node_t *node)
{
    s3_node_free(node, 0);
}


void
s3_node_abandon(s3_node_t *node)
{
    s3_node_free(node, 1);
}
