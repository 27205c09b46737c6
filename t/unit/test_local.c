/*
 * A local drive, rule by rule: votes, conditions, fences, confirms, closed
 * buckets, notes, lists; formats that are refused; a drive that comes back.
 */

#include "storage/s3_format.h"
#include "storage/s3_segment.h"
#include "s3_nodebed.h"
#include "s3_test.h"

#define BUCKET 1024


static s3_nodebed_t nb;
static s3_drive_t *d;
static int done;


static void
world(unsigned n)
{
    s3_nodebed_init(&nb, NULL, 7, n, n > 1 ? 1 : 0, 64 * 1024);
}


static void
up(uint32_t missing)
{
    s3_nodebed_up(&nb, missing);
    d = s3_node_drive(nb.node[0], 0);
}


static void
down(void)
{
    s3_nodebed_down(&nb);
}


static void
req_done(s3_req_t *req)
{
    (void) req;
    done = 1;
}


static void
await(void)
{
    REQUIRE(s3_sim_until(nb.sim, &done));
    done = 0;
}


static s3_version_t
ver(uint64_t time)
{
    return (s3_version_t){1700000000000000ULL + time, 1, 1};
}


static s3_vote_t last;

static s3_answer_t
vote_full(const char *key, uint64_t v, s3_kind_t kind, int64_t expects,
          uint32_t voters, uint64_t bucket, uint32_t generation, uint64_t dead)
{
    s3_record_t r;
    s3_version_t x = ver(dead);

    memset(&r, 0, sizeof(r));
    r.bucket = bucket;
    r.generation = generation;
    r.key = s3_str(key, strlen(key));
    r.entry.version = ver(v);
    r.entry.kind = (uint8_t) kind;
    r.entry.voters = voters;

    if (expects >= 0) {
        r.conditional = 1;
        r.expects = expects ? ver((uint64_t) expects) : s3_version_none;
    }

    memset(&last, 0, sizeof(last));
    last.req.done = req_done;
    last.record = &r;

    if (dead) {
        last.dead = &x;
        last.n_dead = 1;
    }

    d->ops->vote(d, &last);
    await();

    if (last.req.rc != S3_OK) {
        return S3_ANSWER_NONE;
    }

    return last.req.answer;
}


static s3_answer_t
vote(const char *key, uint64_t v, int64_t expects)
{
    return vote_full(key, v, S3_KIND_OBJECT, expects, 1, BUCKET, 1, 0);
}


static s3_mark_t mark;

static s3_answer_t
marking(void (*op)(s3_drive_t *, s3_mark_t *), const char *key, uint64_t v)
{
    memset(&mark, 0, sizeof(mark));
    mark.req.done = req_done;
    mark.bucket = BUCKET;
    mark.key = s3_str(key, strlen(key));
    mark.version = ver(v);
    op(d, &mark);
    await();

    return mark.req.rc == S3_OK ? mark.req.answer : S3_ANSWER_NONE;
}


static unsigned pulled;

static s3_answer_t
push(const char *key, uint64_t v)
{
    s3_record_t r;
    s3_vote_t p;

    memset(&r, 0, sizeof(r));
    r.bucket = BUCKET;
    r.key = s3_str(key, strlen(key));
    r.entry.version = ver(v);
    r.entry.kind = S3_KIND_OBJECT;
    r.entry.voters = 2; /* not this one */
    memset(&p, 0, sizeof(p));
    p.req.done = req_done;
    p.record = &r;
    p.pull = pulled & 1;
    d->ops->push(d, &p);
    await();

    return p.req.rc == S3_OK ? p.req.answer : S3_ANSWER_NONE;
}


static unsigned
entries(uint64_t bucket, const void *key, size_t len, s3_entry_t *first)
{
    unsigned n;
    s3_lookup_t lookup;

    memset(&lookup, 0, sizeof(lookup));
    lookup.req.done = req_done;
    lookup.bucket = bucket;
    lookup.key = s3_str(key, len);
    d->ops->read(d, &lookup);
    await();
    CHECK_INT(lookup.req.rc, S3_OK);

    n = lookup.n;

    if (n && first) {
        *first = lookup.entries[0];
    }

    s3_lookup_release(&lookup);

    return n;
}


static void
test_votes(void)
{
    s3_entry_t e;

    CHECK_INT(vote("a", 10, -1), S3_ANSWER_YES);
    CHECK_INT(vote("a", 10, -1), S3_ANSWER_YES);
    CHECK_INT(vote("a", 5, -1), S3_ANSWER_NO);
    CHECK_INT(last.cause.version.time, ver(10).time);
    CHECK_INT(entries(BUCKET, "a", 1, &e), 1);
    CHECK_INT(e.kind, S3_KIND_OBJECT);

    /* not a voter: refuses, and holds nothing */
    CHECK_INT(vote_full("a", 20, S3_KIND_OBJECT, -1, 2, BUCKET, 1, 0),
              S3_ANSWER_NO);
    CHECK_INT(entries(BUCKET, "a", 1, NULL), 1);

    /* far ahead */
    CHECK_INT(vote("a", 8 * 86400ULL * 1000000, -1), S3_ANSWER_CLOCK);

    /* expects nothing: 10 stands in the way, it is not known to be committed */
    CHECK_INT(vote("a", 30, 0), S3_ANSWER_BUSY);
    CHECK_INT(last.cause.version.time, ver(10).time);
    CHECK_INT(vote("a", 30, 10), S3_ANSWER_YES);

    /* confirmed: a condition that is false is a NO for ever */
    CHECK_INT(marking(d->ops->confirm, "a", 30), S3_ANSWER_YES);
    CHECK_INT(vote("a", 40, 10), S3_ANSWER_NO);
    CHECK_INT(marking(d->ops->status, "a", 40), S3_ANSWER_NO);
    CHECK_INT(vote("a", 40, -1), S3_ANSWER_NO);

    /* 40 is fenced, which counts as newer for those below it */
    CHECK_INT(vote("a", 35, 30), S3_ANSWER_NO);
    CHECK_INT(vote("a", 50, 30), S3_ANSWER_YES);

    /* one that does not expect the right thing, with what it found dead */
    CHECK_INT(vote("a", 60, 30), S3_ANSWER_BUSY);
    CHECK_INT(vote_full("a", 60, S3_KIND_OBJECT, 30, 1, BUCKET, 1, 50),
              S3_ANSWER_YES);
    CHECK_INT(marking(d->ops->status, "a", 50), S3_ANSWER_NO);

    /* malformed */
    CHECK_INT(vote_full("a", 70, S3_KIND_FENCE, -1, 1, BUCKET, 1, 0),
              S3_ANSWER_NONE);
    CHECK_INT(last.req.rc, S3_EINVAL);
    CHECK_INT(vote("", 70, -1), S3_ANSWER_NONE);
}


static void
test_marks(void)
{
    s3_entry_t e;

    CHECK_INT(marking(d->ops->status, "f", 10), S3_ANSWER_NOT_HELD);
    CHECK_INT(marking(d->ops->fence, "f", 10), S3_ANSWER_NO);
    CHECK_INT(marking(d->ops->status, "f", 10), S3_ANSWER_NO);
    CHECK_INT(vote("f", 10, -1), S3_ANSWER_NO);
    CHECK_INT(entries(BUCKET, "f", 1, NULL), 0);

    CHECK_INT(vote("f", 20, -1), S3_ANSWER_YES);
    CHECK_INT(marking(d->ops->fence, "f", 20), S3_ANSWER_YES);
    CHECK_INT(mark.entry.voters, 1);

    CHECK_INT(marking(d->ops->dead, "f", 20), S3_ANSWER_NO);
    CHECK_INT(entries(BUCKET, "f", 1, &e), 1);
    CHECK_INT(e.kind, S3_KIND_DEAD);
    CHECK_INT(vote("f", 20, -1), S3_ANSWER_NO);

    /* pushed over a fence, and confirmed by that */
    CHECK_INT(push("f", 30), S3_ANSWER_YES);
    CHECK_INT(entries(BUCKET, "f", 1, &e), 1);
    CHECK_INT(e.flags, S3_F_CONFIRMED | S3_F_PUSHED);
    CHECK_INT(push("f", 25), S3_ANSWER_GONE);
    CHECK_INT(marking(d->ops->dead, "f", 30), S3_ANSWER_YES);
    CHECK_INT(marking(d->ops->dead, "f", 25), S3_ANSWER_GONE);
    CHECK_INT(marking(d->ops->confirm, "f", 99), S3_ANSWER_NOT_HELD);

    /* older than what is confirmed: never held, if it is from after the start;
     * what was before that nobody knows */
    CHECK_INT(marking(d->ops->fence, "f", 22), S3_ANSWER_NO);
    CHECK(mark.newer_confirmed);
    CHECK_INT(push("g", 30), S3_ANSWER_YES);
    CHECK_INT(marking(d->ops->fence, "g", (uint64_t) -1000), S3_ANSWER_GONE);
    CHECK(mark.newer_confirmed);
}


static void
test_local_entries(void)
{
    s3_close_t close;
    s3_note_t note;
    uint8_t key[] = {2, 0, 0, 0, 0, 0, 0, 4, 0, 'k'};

    CHECK_INT(vote_full("x", 10, S3_KIND_OBJECT, -1, 1, 2048, 3, 0),
              S3_ANSWER_YES);

    memset(&close, 0, sizeof(close));
    close.req.done = req_done;
    close.bucket = 2048;
    close.generation = 3;
    d->ops->close_bucket(d, &close);
    await();
    CHECK_INT(close.req.rc, S3_OK);
    CHECK_INT(close.req.answer, S3_ANSWER_YES);

    CHECK_INT(vote_full("y", 20, S3_KIND_OBJECT, -1, 1, 2048, 3, 0),
              S3_ANSWER_STALE);
    CHECK_INT(vote_full("y", 20, S3_KIND_OBJECT, -1, 1, 2048, 4, 0),
              S3_ANSWER_YES);

    memset(&note, 0, sizeof(note));
    note.req.done = req_done;
    note.target = 2;
    note.bucket = 1024;
    note.key = s3_string("k");
    note.version = ver(5);
    d->ops->note(d, &note);
    await();
    CHECK_INT(note.req.rc, S3_OK);
    CHECK_INT(entries(S3_BUCKET_NOTES, key, sizeof(key), NULL), 1);

    /* older than the note: it stays */
    note.version = ver(4);
    d->ops->unnote(d, &note);
    await();
    CHECK_INT(entries(S3_BUCKET_NOTES, key, sizeof(key), NULL), 1);

    note.version = ver(5);
    d->ops->unnote(d, &note);
    await();
    CHECK_INT(entries(S3_BUCKET_NOTES, key, sizeof(key), NULL), 0);
}


static unsigned
list(const char *from, int after, const char *prefix, const char *delimiter,
     unsigned max, char *out)
{
    unsigned i, n;
    s3_scan_t scan;

    memset(&scan, 0, sizeof(scan));
    scan.req.done = req_done;
    scan.bucket = 4096;
    scan.from = s3_str(from, strlen(from));
    scan.after = after != 0;
    scan.prefix = s3_str(prefix, strlen(prefix));
    scan.delimiter = s3_str(delimiter, strlen(delimiter));
    scan.max = max;
    d->ops->list(d, &scan);
    await();
    CHECK_INT(scan.req.rc, S3_OK);

    out[0] = '\0';

    for (i = 0, n = 0; i < scan.n; i++) {
        n += (unsigned) sprintf(out + n, "%.*s%s ", (int) scan.items[i].key.len,
                                (const char *) scan.items[i].key.data,
                                scan.items[i].common ? "*" : "");
    }

    i = scan.end;
    s3_scan_release(&scan);

    return i;
}


static void
test_list(void)
{
    unsigned i;
    char out[512];
    static const char *const names[] = {"a", "b/1",   "b/2", "b/3",
                                        "c", "d/x/1", "d/y", "e"};

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        CHECK_INT(
            vote_full(names[i], 100 + i, S3_KIND_OBJECT, -1, 1, 4096, 1, 0),
            S3_ANSWER_YES);
        memset(&mark, 0, sizeof(mark));
        mark.req.done = req_done;
        mark.bucket = 4096;
        mark.key = s3_str(names[i], strlen(names[i]));
        mark.version = ver(100 + i);
        d->ops->confirm(d, &mark);
        await();
    }

    CHECK_INT(list("", 0, "", "", 100, out), 1);
    CHECK_STR(out, "a b/1 b/2 b/3 c d/x/1 d/y e ");
    CHECK_INT(list("", 0, "", "", 3, out), 0);
    CHECK_STR(out, "a b/1 b/2 ");
    CHECK_INT(list("b/2", 1, "", "", 100, out), 1);
    CHECK_STR(out, "b/3 c d/x/1 d/y e ");
    CHECK_INT(list("b/2", 0, "b", "", 100, out), 1);
    CHECK_STR(out, "b/2 b/3 ");
    CHECK_INT(list("", 0, "", "/", 100, out), 1);
    CHECK_STR(out, "a b/1* c d/x/1* e ");
    CHECK_INT(list("", 0, "d/", "/", 100, out), 1);
    CHECK_STR(out, "d/x/1* d/y ");
    CHECK_INT(list("", 0, "zz", "", 100, out), 1);
    CHECK_STR(out, "");

    /* an unconfirmed newest one may not hide the rest of its prefix */
    CHECK_INT(vote_full("b/1", 200, S3_KIND_TOMBSTONE, -1, 1, 4096, 1, 0),
              S3_ANSWER_YES);
    CHECK_INT(list("", 0, "b", "/", 100, out), 1);
    CHECK_STR(out, "b/1 b/2* ");
}


static void
test_format(void)
{
    s3_memfs_t *swap;
    s3_file_t *f;
    s3_fs_t *fs;

    world(3);

    /* a directory that holds something else */
    fs = s3_memfs_fs(nb.disks[1]);
    REQUIRE(fs->open(fs, "precious", S3_O_WRITE | S3_O_CREATE, &f) == S3_OK);
    fs->close(fs, f);
    CHECK_INT(s3_nodebed_recover(&nb), S3_EFOREIGN);
    CHECK(strstr(nb.said, "drive 2") != NULL);
    CHECK_INT(fs->open(fs, "format.json", S3_O_READ, &f), S3_ENOENT);
    REQUIRE(fs->unlink(fs, "precious") == S3_OK);

    /* a new store wants all of its drives */
    nb.nc.fs[2] = NULL;
    CHECK_INT(s3_nodebed_recover(&nb), S3_EUNAVAIL);
    s3_nodebed_drives(&nb, 0);
    CHECK_INT(s3_nodebed_recover(&nb), S3_OK);
    CHECK_INT(s3_nodebed_recover(&nb), S3_OK);

    /* wrong order */
    swap = nb.disks[0];
    nb.disks[0] = nb.disks[1];
    nb.disks[1] = swap;
    s3_nodebed_drives(&nb, 0);
    CHECK_INT(s3_nodebed_recover(&nb), S3_EFOREIGN);
    CHECK(strstr(nb.said, "wrong order") != NULL);
    nb.disks[1] = nb.disks[0];
    nb.disks[0] = swap;

    /* more of them away than parity allows */
    s3_nodebed_drives(&nb, 0);
    nb.nc.fs[0] = NULL;
    nb.nc.fs[1] = NULL;
    CHECK_INT(s3_nodebed_recover(&nb), S3_EUNAVAIL);

    /* an empty one in the place of a drive: new, and it says so */
    swap = nb.disks[2];
    nb.disks[2] = s3_memfs_create(nb.sim, 2, 0);
    s3_nodebed_drives(&nb, 0);
    CHECK_INT(s3_nodebed_recover(&nb), S3_OK);
    CHECK_INT(nb.zone->drives[2].state, S3_DRIVE_REFILLING);

    /* the zone is for those who belong to it */
    nb.nc.fresh = 0;
    CHECK_INT(s3_nodebed_recover(&nb), S3_OK);
    nb.nc.instance[0] = 1;
    CHECK_INT(s3_nodebed_recover(&nb), S3_EFOREIGN);

    (void) swap;
    s3_nodebed_free(&nb);
}


static int returned;

static void
on_return(void *ctx, int rc)
{
    (void) ctx;
    returned = rc;
    done = 1;
}


static void
test_return(void)
{
    unsigned i;
    s3_zseg_t *seg;
    s3_drive_t *second;
    s3_entry_t e;

    world(2);
    up(0);
    d = s3_node_drive(nb.node[0], 1);
    CHECK_INT(vote_full("r", 10, S3_KIND_OBJECT, -1, 2, BUCKET, 1, 0),
              S3_ANSWER_YES);
    down();

    /* started without it */
    up(1u << 1);
    second = s3_node_drive(nb.node[0], 1);
    d = second;
    CHECK_INT(second->state, S3_DRIVE_MISSING);
    CHECK_INT(vote("r", 20, -1), S3_ANSWER_NONE);
    CHECK_INT(last.req.rc, S3_EUNAVAIL);

    REQUIRE(
        s3_node_return(nb.node[0], 1, s3_memfs_fs(nb.disks[1]), on_return, NULL)
        == S3_OK);
    await();
    CHECK_INT(returned, S3_OK);
    CHECK_INT(entries(BUCKET, "r", 1, &e), 1);
    CHECK_INT(e.version.time, ver(10).time);
    CHECK_INT(s3_node_return(nb.node[0], 1, s3_memfs_fs(nb.disks[1]), on_return,
                             NULL),
              S3_EEXIST);
    CHECK_INT(vote_full("r", 20, S3_KIND_OBJECT, -1, 2, BUCKET, 1, 0),
              S3_ANSWER_YES);

    /* goes away while running, with a write under way, and comes back */
    s3_memfs_set_dead(nb.disks[1], 1);
    CHECK_INT(vote_full("r", 30, S3_KIND_OBJECT, -1, 2, BUCKET, 1, 0),
              S3_ANSWER_NONE);
    CHECK_INT(last.req.rc, S3_EIO);
    CHECK_INT(second->state, S3_DRIVE_FAILING);
    nb.zone->drives[1].state = S3_DRIVE_MISSING;
    s3_sim_sleep(nb.sim, 1000000);
    s3_memfs_set_dead(nb.disks[1], 0);
    REQUIRE(
        s3_node_return(nb.node[0], 1, s3_memfs_fs(nb.disks[1]), on_return, NULL)
        == S3_OK);
    await();
    CHECK_INT(returned, S3_OK);
    s3_sim_sleep(nb.sim, 1000000);
    CHECK_INT(s3_zone_state(&nb.zone->drives[1]), S3_DRIVE_OK);
    CHECK_INT(entries(BUCKET, "r", 1, &e), 2);
    CHECK_INT(vote_full("r", 40, S3_KIND_OBJECT, -1, 2, BUCKET, 1, 0),
              S3_ANSWER_YES);

    /* what settled the old log has left the new one alone */
    CHECK_INT(entries(BUCKET, "r", 1, &e), 3);
    CHECK_INT(e.version.time, ver(40).time);
    seg = s3_zone_segment(nb.zone, 1, e.segment);
    REQUIRE(seg != NULL);
    CHECK_INT(seg->state, S3_SEG_OPEN);

    for (i = 0; i < nb.zone->max_segments; i++) {
        seg = &s3_zone_segments(nb.zone, 1)[i];
        CHECK(seg->id == 0 || seg->state != S3_SEG_GARBAGE);
    }

    down();
    s3_nodebed_free(&nb);
}


/* So was what was in a segment whose file is gone, or without headers. */

static void
lose_segment(int how)
{
    uint64_t size;
    s3_entry_t e;
    s3_version_t floor;
    s3_file_t *f;
    s3_fs_t *fs;
    char path[S3_SEGMENT_PATH];
    static uint8_t zero[S3_SECTOR];

    world(1);
    up(0);
    CHECK_INT(vote("k0", 10, -1), S3_ANSWER_YES);
    down();

    /* this start saves a MANIFEST that lists it */
    up(0);
    REQUIRE(entries(BUCKET, "k0", 2, &e) == 1);
    s3_segment_path(path, e.segment);
    CHECK(nb.zone->drives[0].floor.time < ver(10).time);
    down();

    fs = nb.nc.fs[0];

    if (how == 0) {
        REQUIRE(fs->unlink(fs, path) == S3_OK);

    } else {
        REQUIRE(fs->open(fs, path, S3_O_READ | S3_O_WRITE, &f) == S3_OK);
        REQUIRE(fs->size(fs, f, &size) == S3_OK);
        REQUIRE(fs->pwrite(fs, f, zero, S3_SECTOR, 0) == S3_OK);
        REQUIRE(fs->pwrite(fs, f, zero, S3_SECTOR, size - S3_SECTOR) == S3_OK);
        REQUIRE(fs->sync(fs, f) == S3_OK);
        fs->close(fs, f);
    }

    up(0);
    floor = nb.zone->drives[0].floor;
    CHECK(floor.time >= ver(10).time);
    CHECK_INT(marking(d->ops->fence, "k1", 10), S3_ANSWER_GONE);
    CHECK_INT(vote("k3", 100000000, -1), S3_ANSWER_YES);
    down();

    up(0);
    CHECK(s3_version_cmp(&nb.zone->drives[0].floor, &floor) >= 0);
    down();
    s3_nodebed_free(&nb);
}


static void
test_lost_segment(void)
{
    lose_segment(0);
    lose_segment(1);
}


/* What was in a damaged record was promised, maybe. */

static void
test_damaged(void)
{
    unsigned i;
    s3_version_t floor;
    s3_entry_t e;
    char path[S3_SEGMENT_PATH];
    static const char *const keys[] = {"k0", "k1", "k2"};

    world(1);
    up(0);

    for (i = 0; i < 3; i++) {
        CHECK_INT(vote(keys[i], 10 + i, -1), S3_ANSWER_YES);
    }

    REQUIRE(entries(BUCKET, "k1", 2, &e) == 1);
    s3_segment_path(path, e.segment);

    /* the process dies, no table has it, and the record rots */
    s3_node_abandon(nb.node[0]);
    s3_sim_kill(nb.loop[0]);
    REQUIRE(s3_memfs_rot(nb.disks[0], path, e.offset + e.length / 2, 3)
            == S3_OK);
    up(0);

    floor = nb.zone->drives[0].floor;
    CHECK(floor.time >= ver(12).time);
    CHECK_INT(entries(BUCKET, "k1", 2, NULL), 0);
    CHECK_INT(marking(d->ops->status, "k1", 11), S3_ANSWER_GONE);
    CHECK_INT(marking(d->ops->fence, "k1", 11), S3_ANSWER_GONE);
    CHECK_INT(vote("k1", 11, -1), S3_ANSWER_GONE);
    CHECK_INT(push("k1", 11), S3_ANSWER_GONE);

    /* what is whole counts, what is new is taken */
    CHECK_INT(marking(d->ops->status, "k0", 10), S3_ANSWER_YES);
    CHECK_INT(marking(d->ops->status, "k2", 12), S3_ANSWER_YES);
    CHECK_INT(vote("k3", 100000000, -1), S3_ANSWER_YES);

    /* what the drive asked for is taken */
    pulled = 1;
    CHECK_INT(push("k1", 11), S3_ANSWER_YES);
    pulled = 0;
    CHECK_INT(marking(d->ops->status, "k1", 11), S3_ANSWER_YES);

    /* and once more from the MANIFEST */
    down();
    up(0);
    CHECK(s3_version_cmp(&nb.zone->drives[0].floor, &floor) >= 0);
    CHECK_INT(marking(d->ops->fence, "k4", 11), S3_ANSWER_GONE);
    down();
    s3_nodebed_free(&nb);
}


int
main(void)
{
    unsigned i;
    s3_entry_t e;

    world(1);
    up(0);

    test_votes();
    test_marks();
    test_local_entries();
    test_list();

    /* twice again: from the log, and from tables */
    for (i = 0; i < 2; i++) {
        down();
        up(0);
        CHECK_INT(marking(d->ops->status, "a", 60), S3_ANSWER_YES);
        CHECK_INT(marking(d->ops->status, "a", 40), S3_ANSWER_NO);
        CHECK_INT(entries(BUCKET, "f", 1, &e), 1);
        CHECK_INT(e.flags, S3_F_CONFIRMED | S3_F_PUSHED);
        CHECK_INT(vote_full("z", 900, S3_KIND_OBJECT, -1, 1, 2048, 3, 0),
                  S3_ANSWER_STALE);
    }

    down();
    s3_nodebed_free(&nb);

    test_format();
    test_return();
    test_damaged();
    test_lost_segment();

    return S3_TEST_END();
}
