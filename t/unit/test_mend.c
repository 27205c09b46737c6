#include "storage/s3_table.h"
#include "t/unit/s3_nodebed.h"
#include "t/unit/s3_test.h"


/*
 * A table that is lost while its drive is in use, where records of one batch
 * lie in two memtables: the first was frozen in the middle of it.  What was in
 * the table is found in the log, also behind where a replay would begin.
 */

#define BUCKET 1024
#define KEYS 4000
#define BURST 16 /* of one batch */
#define SECOND S3_NODEBED_SECOND

static s3_nodebed_t nb;
static s3_drive_t *d;
static s3_zdrive_t *zd;
static s3_vote_t votes[BURST];
static s3_record_t records[BURST];
static char names[BURST][64];
static unsigned left;
static int done;


static s3_str_t
name_of(char name[64], unsigned i)
{
    return s3_str(name,
                  (size_t) snprintf(name, 64, "somewhere/deep/down/%05u", i));
}


static void
answered(s3_req_t *req)
{
    CHECK_INT(req->rc, S3_OK);
    CHECK_INT(req->answer, S3_ANSWER_YES);
    done = --left == 0;
}


/* One turn, so one batch. */

static void
vote(unsigned from)
{
    unsigned i;
    s3_record_t *r;

    left = BURST;
    done = 0;

    for (i = 0; i < BURST; i++) {
        r = &records[i];
        memset(r, 0, sizeof(*r));
        r->bucket = BUCKET;
        r->generation = 1;
        r->key = name_of(names[i], from + i);
        r->entry.version = (s3_version_t){1700000000000000 + from + i, 1, 1};
        r->entry.kind = S3_KIND_TOMBSTONE;
        r->entry.voters = 1;

        memset(&votes[i], 0, sizeof(votes[i]));
        votes[i].req.done = answered;
        votes[i].record = r;
        d->ops->vote(d, &votes[i]);
    }

    REQUIRE(s3_sim_until(nb.sim, &done));
}


/* How many of them the drive knows. */

static unsigned
known(unsigned keys)
{
    unsigned i, n = 0;
    char name[64];
    s3_lookup_t lookup;

    for (i = 0; i < keys; i++) {
        memset(&lookup, 0, sizeof(lookup));
        lookup.req.done = answered;
        lookup.bucket = BUCKET;
        lookup.key = name_of(name, i);
        left = 1;
        done = 0;
        d->ops->read(d, &lookup);
        REQUIRE(s3_sim_until(nb.sim, &done));
        n += lookup.n == 1;
        s3_lookup_release(&lookup);
    }

    return n;
}


static void
lose_tables(void)
{
    unsigned i;
    char path[S3_TABLE_PATH];
    s3_fs_t *fs = s3_memfs_fs(nb.disks[0]);
    const s3_ztables_t *list = s3_zone_tables(zd);

    for (i = 0; i < list->n; i++) {
        s3_table_path(path, list->tables[i].id);
        CHECK_INT(fs->unlink(fs, path), S3_OK);
    }
}


static void
test_frozen(uint64_t seed)
{
    unsigned n, flushes;

    s3_nodebed_init(&nb, NULL, seed, 1, 0, 1024 * 1024);
    s3_nodebed_up(&nb, 0);
    d = s3_node_drive(nb.node[0], 0);
    zd = &nb.zone->drives[0];

    for (n = 0, flushes = 0; n < KEYS; n += BURST) {
        vote(n);

        if (zd->flushes == flushes || s3_zone_tables(zd)->n == 0) {
            continue;
        }

        /* the first thing after a memtable went into a table */
        flushes = (unsigned) zd->flushes;
        lose_tables();
        d->ops->verify(d);
        s3_sim_sleep(nb.sim, 20 * SECOND);
        CHECK_INT(zd->verify, S3_ZVERIFY_NONE);
        CHECK_INT(known(n + BURST), n + BURST);
    }

    CHECK(flushes > 1);
    s3_nodebed_down(&nb);
    s3_nodebed_free(&nb);
}


int
main(void)
{
    uint64_t seed;

    for (seed = 1; seed <= 5; seed++) {
        test_frozen(seed);
    }

    return S3_TEST_END();
}
