#include "t/unit/s3_test.h"
#include "t/unit/s3_nodebed.h"


/*
 * What a process that was killed leaves behind on one drive: another one finds
 * out, once and for all, also where the drive hangs or goes away meanwhile.
 */

S3_TEST_KILLS

#define BUCKET 1024
#define SECOND S3_NODEBED_SECOND

static bed_t b;
static s3_nodebed_t nb;


static void
make(uint64_t seed)
{
    s3_nodebed_init(&nb, &b, seed, 2, 1, 1024 * 1024);
    s3_nodebed_start(&nb, 0);
    s3_sim_sleep(b.sim, SECOND);
}


static void
unmake(void)
{
    s3_nodebed_stop(&nb, 0);
    s3_nodebed_free(&nb);
}


typedef struct {
    s3_vote_t vote;
    s3_record_t record;
    int done;
} ballot_t;


static void
voted(s3_req_t *req)
{
    s3_vote_t *vote = s3_container(req, s3_vote_t, req);

    s3_container(vote, ballot_t, vote)->done = 1;
}


/* Of process j, on drive 0. */

static void
vote(ballot_t *x, unsigned j, uint64_t time)
{
    s3_drive_t *d = b.drive[j][0];

    memset(x, 0, sizeof(*x));
    x->record.bucket = BUCKET;
    x->record.generation = 1;
    x->record.key = s3_string("key");
    x->record.entry.version = (s3_version_t){1700000000000000 + time, 1, 1};
    x->record.entry.kind = S3_KIND_TOMBSTONE;
    x->record.entry.voters = 3;
    x->vote.req.done = voted;
    x->vote.record = &x->record;
    d->ops->vote(d, &x->vote);
}


static void
looked(s3_req_t *req)
{
    *(int *) req->ctx = 1;
}


static unsigned
entries(void)
{
    int flag = 0;
    unsigned n;
    s3_lookup_t lookup;

    memset(&lookup, 0, sizeof(lookup));
    lookup.req.done = looked;
    lookup.req.ctx = &flag;
    lookup.bucket = BUCKET;
    lookup.key = s3_string("key");
    b.drive[0][0]->ops->read(b.drive[0][0], &lookup);
    REQUIRE(s3_sim_until(b.sim, &flag));
    CHECK_INT(lookup.req.rc, S3_OK);
    n = lookup.n;
    s3_lookup_release(&lookup);

    return n;
}


/* Its write is with the kernel, and may be done long after its death: what was
 * found not to be there does not come later. */

static unsigned
test_write(uint64_t seed, uint64_t us)
{
    unsigned n;
    ballot_t *x, first;

    make(seed);
    x = calloc(1, sizeof(*x));
    vote(&first, 1, 1);
    REQUIRE(s3_sim_until(b.sim, &first.done));
    s3_sim_slow(b.sim, 1000);
    vote(x, 1, 10);
    s3_sim_sleep(b.sim, us);
    s3_sim_slow(b.sim, 1);

    s3_nodebed_kill(&nb, 1);
    s3_sim_sleep(b.sim, 5 * SECOND);
    n = entries();

    s3_nodebed_stop(&nb, S3_NODEBED_KILL);
    s3_nodebed_start(&nb, 0);
    CHECK_INT(entries(), n);

    free(x);
    unmake();

    return n == 2;
}


/*
 * The drive hangs, and comes back as one that had gone away.  Who looks after
 * it waits itself for what the dead one has left, and has to open it anew
 * before anything of that can be settled.
 */

static void
test_return(uint64_t seed)
{
    ballot_t *x, y, z;
    s3_zdrive_t *zd;

    make(seed);
    zd = &nb.zone->drives[0];

    x = calloc(1, sizeof(*x));
    s3_memfs_set_hung(nb.disks[0], 1);
    vote(x, 1, 10);
    s3_sim_sleep(b.sim, 1000);
    vote(&y, 0, 10);
    s3_sim_sleep(b.sim, 1000);
    CHECK(!x->done && !y.done);

    __atomic_store_n(&zd->state, S3_DRIVE_HUNG, __ATOMIC_RELEASE);
    s3_nodebed_kill(&nb, 1);
    s3_sim_sleep(b.sim, SECOND);
    CHECK(!y.done);

    s3_memfs_set_hung(nb.disks[0], 0);
    __atomic_add_fetch(&zd->arrivals, 1, __ATOMIC_ACQ_REL);
    __atomic_store_n(&zd->state, S3_DRIVE_OK, __ATOMIC_RELEASE);
    s3_sim_sleep(b.sim, 5 * SECOND);
    CHECK(y.done);

    vote(&z, 0, 30);
    REQUIRE(s3_sim_until(b.sim, &z.done));
    CHECK_INT(z.vote.req.rc, S3_OK);
    CHECK_INT(z.vote.req.answer, S3_ANSWER_YES);

    free(x);
    unmake();
}


int
main(void)
{
    unsigned i, kept;

    for (i = 0, kept = 0; i < 60; i++) {
        kept += test_write(1 + i, i % 12 * 1000);
    }

    CHECK(kept > 0 && kept < 60);

    for (i = 0; i < 5; i++) {
        test_return(100 + i);
    }

    return S3_TEST_END();
}
