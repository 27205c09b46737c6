/*
 * What a drive says because of a record that is not durable yet: nothing.  Had
 * it said no, a power cut could make it forget the reason, and say yes to the
 * same version later: dead for one coordinator, committed for another.
 *
 * Built with S3_BREAKS and given the name REFUSE_PENDING, it has to fail.
 */

#include "t/unit/s3_test.h"
#include "t/unit/s3_nodebed.h"
#include "storage/s3_break.h"

S3_TEST_KILLS

#define SECOND S3_NODEBED_SECOND

#ifdef S3_BREAKS

s3_break_t s3_broken;

void __sanitizer_cov_trace_pc(void);

/* storage/ tells there which blocks are run; nobody listens */

void
__sanitizer_cov_trace_pc(void)
{
}

#endif


typedef struct {
    s3_vote_t vote;
    s3_record_t record;
    int answered;
} ask_t;

static s3_nodebed_t nb;


static void
answered(s3_req_t *req)
{
    *(int *) req->ctx = 1;
}


static void
ask(ask_t *a, uint64_t version)
{
    s3_drive_t *d = s3_node_drive(nb.node[0], 0);

    memset(a, 0, sizeof(*a));
    a->record.bucket = BED_BUCKET;
    a->record.generation = 1;
    a->record.key = s3_string("key");
    a->record.entry.version =
        (s3_version_t){1700000000000000ull + version, 1, 1};
    a->record.entry.kind = S3_KIND_OBJECT;
    a->record.entry.voters = 1;
    a->vote.record = &a->record;
    a->vote.req.done = answered;
    a->vote.req.ctx = &a->answered;
    d->ops->vote(d, &a->vote);
}


/* A newer version on its way to the disk, and an older one that is asked for. */

static void
both(ask_t *newer, ask_t *older)
{
    s3_nodebed_up(&nb, 0);

    /* the log has a segment to write to */
    ask(older, 5);
    s3_sim_sleep(nb.sim, SECOND);
    CHECK_INT(older->vote.req.answer, S3_ANSWER_YES);

    s3_memfs_set_hung(nb.disks[0], 1);
    ask(newer, 20);
    ask(older, 10);
    s3_sim_sleep(nb.sim, SECOND);
    CHECK_INT(newer->answered, 0);
    CHECK_INT(older->answered, 0);
}


static void
test_durable(void)
{
    ask_t newer, older;

    s3_nodebed_init(&nb, NULL, 1, 1, 0, 64 * 1024);
    both(&newer, &older);

    s3_memfs_set_hung(nb.disks[0], 0);
    s3_sim_sleep(nb.sim, SECOND);
    CHECK_INT(newer.answered, 1);
    CHECK_INT(newer.vote.req.answer, S3_ANSWER_YES);
    CHECK_INT(older.answered, 1);
    CHECK_INT(older.vote.req.answer, S3_ANSWER_NO);

    s3_nodebed_down(&nb);
    s3_nodebed_free(&nb);
}


static void
test_forgotten(void)
{
    ask_t newer, older;

    s3_nodebed_init(&nb, NULL, 2, 1, 0, 64 * 1024);
    both(&newer, &older);

    s3_sim_kill(nb.loop[0]);
    s3_node_abandon(nb.node[0]);
    nb.below = nb.pid + 1;
    s3_memfs_crash(nb.disks[0]);
    s3_memfs_set_hung(nb.disks[0], 0);

    s3_nodebed_up(&nb, 0);
    ask(&older, 10);
    s3_sim_sleep(nb.sim, SECOND);
    CHECK_INT(older.answered, 1);
    CHECK_INT(older.vote.req.answer, S3_ANSWER_YES);

    s3_nodebed_down(&nb);
    s3_nodebed_free(&nb);
}


int
main(int argc, char **argv)
{
    (void) argv;

#ifdef S3_BREAKS
    if (argc == 2 && strcmp(argv[1], "REFUSE_PENDING") == 0) {
        s3_broken = S3_BREAK_REFUSE_PENDING;
        argc = 1;
    }
#endif

    if (argc > 1) {
        return 2;
    }

    test_durable();
    test_forgotten();

    return S3_TEST_END();
}
