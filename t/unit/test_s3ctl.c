#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "t/unit/s3_test.h"
#include "ngx_s3_module/ngx_s3_fs.h"
#include "s3ctl/s3ctl.h"
#include "storage/s3_segment.h"


/*
 * s3ctl's rebuild over a drive that is made by hand: what only a table knows,
 * what the log lacks.
 */

#define SEGMENT_SIZE (64 * 1024)
#define BUCKET 1024

static char dir[] = "/tmp/s3ctl-XXXXXX";
static s3_fs_t *drive;
static unsigned said;


/* what main.c has */

void
s3ctl_say(const char *fmt, ...)
{
    (void) fmt;
    said++;
}


void
s3ctl_log(void *ctx, int level, const char *message)
{
    (void) ctx;
    (void) level;
    (void) message;
}


s3ctl_drive_t *
s3ctl_place(s3ctl_t *ctl, unsigned i)
{
    return &ctl->drives[i];
}


int
s3ctl_one_store(s3ctl_t *ctl)
{
    (void) ctl;

    return 0;
}


static s3_entry_t
entry_of(uint64_t time)
{
    s3_entry_t e;

    memset(&e, 0, sizeof(e));
    e.version = (s3_version_t){time, 7, 1};
    e.kind = S3_KIND_OBJECT;
    e.voters = 0xf;
    e.mtime = time;

    return e;
}


/* Segment 1: objects "a" and "b", neither confirmed there; where they lie. */

static void
make_log(s3_entry_t *a, s3_entry_t *b)
{
    uint8_t *buf;
    size_t size;
    uint32_t off;
    unsigned i;
    s3_file_t *f;
    s3_record_t r;
    s3_segment_t seg = {1, SEGMENT_SIZE, 4711};
    s3_batch_header_t h = {1, S3_SEGMENT_START, S3_SECTOR, 2, 1};
    char path[S3_SEGMENT_PATH];

    REQUIRE(s3_segment_create(drive, &seg, 0) == S3_OK);
    buf = aligned_alloc(S3_SECTOR, S3_SECTOR);
    memset(buf, 0, S3_SECTOR);
    s3_batch_header_encode(buf, &h, seg.nonce);
    off = S3_BATCH_HEADER;

    for (i = 0; i < 2; i++) {
        memset(&r, 0, sizeof(r));
        r.bucket = BUCKET;
        r.key = i ? s3_string("b") : s3_string("a");
        r.entry = entry_of(1000 + i);
        size = s3_record_size(&r);
        REQUIRE(s3_record_encode(buf + off, S3_SECTOR - off, &r, seg.nonce)
                == S3_OK);
        r.entry.segment = 1;
        r.entry.offset = S3_SEGMENT_START + off;
        r.entry.length = (uint32_t) size;
        *(i ? b : a) = r.entry;
        off += (uint32_t) size;
    }

    s3_segment_path(path, 1);
    REQUIRE(drive->open(drive, path, S3_O_READ | S3_O_WRITE, &f) == S3_OK);
    REQUIRE(drive->pwrite(drive, f, buf, S3_SECTOR, S3_SEGMENT_START) == S3_OK);
    drive->close(drive, f);
    free(buf);
}


/* The table has "a" confirmed, "b" as it is, and, where asked, "c". */

static void
make_index(s3_entry_t a, s3_entry_t b, int more)
{
    s3_entry_t c;
    s3_manifest_t m;
    s3_table_stats_t stats;
    s3_table_writer_t *w;
    s3_manifest_table_t t;
    s3_manifest_segment_t s = {1, S3_SEGMENT_START + S3_SECTOR, 0, 0};

    a.flags |= S3_F_CONFIRMED;
    c = entry_of(3000);
    c.segment = 1;
    c.offset = S3_SEGMENT_START + 2048;
    c.length = 168;

    REQUIRE(s3_table_writer_create(drive, 1, 3, &w) == S3_OK);
    REQUIRE(s3_table_writer_add(w, BUCKET, s3_string("a"), &a) == S3_OK);
    REQUIRE(s3_table_writer_add(w, BUCKET, s3_string("b"), &b) == S3_OK);
    REQUIRE(!more
            || s3_table_writer_add(w, BUCKET, s3_string("c"), &c) == S3_OK);
    REQUIRE(s3_table_writer_finish(w, &stats) == S3_OK);

    s3_manifest_init(&m);
    m.next_table_id = 2;
    m.next_segment_id = 2;
    m.clock = 5000;
    t = (s3_manifest_table_t){1, stats.bytes, stats.entries};
    REQUIRE(s3_manifest_add_table(&m, 0, &t) == S3_OK);
    REQUIRE(s3_manifest_add_segment(&m, &s) == S3_OK);
    REQUIRE(s3_manifest_save(drive, &m) == S3_OK);
    s3_manifest_free(&m);
}


static void
make(int more)
{
    s3_entry_t a, b;

    memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
    REQUIRE(mkdtemp(dir) != NULL);
    drive = ngx_s3_fs_create(dir, 0);
    REQUIRE(drive && ngx_s3_fs_attach(drive) == S3_OK);
    REQUIRE(drive->mkdir(drive, "log") == S3_OK);
    REQUIRE(drive->mkdir(drive, S3_TABLE_DIR) == S3_OK);
    make_log(&a, &b);
    make_index(a, b, more);
}


static int
remove_one(void *ctx, const char *name)
{
    char path[300];

    snprintf(path, sizeof(path), "%s/%s", (const char *) ctx, name);
    (void) drive->unlink(drive, path);

    return S3_OK;
}


static void
unmake(void)
{
    char path[64];

    (void) drive->list(drive, "log", remove_one, "log");
    (void) drive->list(drive, "index", remove_one, "index");
    ngx_s3_fs_destroy(drive);
    snprintf(path, sizeof(path), "%s/log", dir);
    (void) rmdir(path);
    snprintf(path, sizeof(path), "%s/index", dir);
    (void) rmdir(path);
    CHECK_INT(rmdir(dir), 0);
}


static int
rebuild(int write)
{
    int status;
    s3ctl_t ctl;

    memset(&ctl, 0, sizeof(ctl));
    ctl.n = 1;
    ctl.write = write != 0;
    ctl.drives[0].path = dir;
    ctl.drives[0].lock = -1;
    REQUIRE(s3ctl_fs_open(dir, 0, &ctl.drives[0].fs) == S3_OK);
    status = s3ctl_rebuild(&ctl);
    s3ctl_fs_close(ctl.drives[0].fs);

    return status;
}


/* Confirmed, as a start sees it: 1, 0; -1: not there. */

static int
confirmed(s3_str_t key)
{
    int rc;
    unsigned n;
    s3_fs_t *fs;
    s3ctl_t ctl;
    s3_entry_t *entries;
    s3ctl_index_t ix;

    memset(&ctl, 0, sizeof(ctl));
    REQUIRE(s3ctl_fs_open(dir, 0, &fs) == S3_OK);
    REQUIRE(s3ctl_index_open(&ix, fs, &ctl, dir) == S3_OK);
    CHECK_INT(ix.records, 0); /* nothing to be replayed */
    rc = s3ctl_index_find(&ix, BUCKET, key, &entries, &n);
    rc = rc == S3_OK && n == 1 ? entries[0].flags & S3_F_CONFIRMED : -1;
    free(entries);
    s3ctl_index_close(&ix);
    s3ctl_fs_close(fs);

    return rc;
}


static uint64_t
floor_time(void)
{
    uint64_t time;
    s3_manifest_t m;

    REQUIRE(s3_manifest_load(drive, &m) == S3_OK);
    time = m.floor.time;
    s3_manifest_free(&m);

    return time;
}


static void
test_confirmed_by_a_table(void)
{
    make(0);
    CHECK_INT(rebuild(0), S3CTL_FINE);
    CHECK_INT(confirmed(s3_string("a")), 1);
    CHECK_INT(rebuild(1), S3CTL_FINE);
    CHECK_INT(confirmed(s3_string("a")), 1);
    CHECK_INT(confirmed(s3_string("b")), 0);
    CHECK_INT(rebuild(0), S3CTL_FINE);
    CHECK_INT(said, 0);
    unmake();
}


/* Without the tables, or without all of the index, that is lost and nothing
 * else is. */

static void
test_lost(int all)
{
    uint32_t *ids;
    size_t i, n;
    char path[S3_TABLE_PATH];

    make(0);

    if (all) {
        (void) drive->list(drive, "index", remove_one, "index");

    } else {
        REQUIRE(s3ctl_files(drive, S3_TABLE_DIR, &ids, &n) == S3_OK);

        for (i = 0; i < n; i++) {
            s3_table_path(path, ids[i]);
            REQUIRE(drive->unlink(drive, path) == S3_OK);
        }

        free(ids);
    }

    CHECK_INT(rebuild(0), S3CTL_FOUND);
    CHECK_INT(rebuild(1), S3CTL_FINE);
    CHECK_INT(confirmed(s3_string("a")), 0);
    CHECK_INT(confirmed(s3_string("b")), 0);
    CHECK_INT(rebuild(0), S3CTL_FINE);

    /* what was promised is known as long as the MANIFEST is */
    CHECK_INT(floor_time() > 5000, all);
    said = 0;
    unmake();
}


static void
test_not_in_the_log(void)
{
    make(1);
    CHECK_INT(confirmed(s3_string("c")), 0);
    CHECK_INT(rebuild(0), S3CTL_FOUND);
    CHECK_INT(confirmed(s3_string("c")), 0);
    CHECK_INT(rebuild(1), S3CTL_FOUND);
    CHECK_INT(confirmed(s3_string("c")), -1);
    CHECK_INT(confirmed(s3_string("a")), 1);
    CHECK(floor_time() > 5000); /* "c" may have been promised */
    CHECK_INT(rebuild(0), S3CTL_FINE);
    unmake();
}


static void
test_lost_segment(void)
{
    char path[S3_SEGMENT_PATH];

    make(0);
    s3_segment_path(path, 1);
    REQUIRE(drive->unlink(drive, path) == S3_OK);
    CHECK_INT(rebuild(1), S3CTL_FOUND);
    CHECK(floor_time() > 5000);
    CHECK_INT(confirmed(s3_string("a")), -1);
    unmake();
}


int
main(void)
{
    test_confirmed_by_a_table();
    test_lost(0);
    test_lost(1);
    test_not_in_the_log();
    test_lost_segment();

    return S3_TEST_END();
}
