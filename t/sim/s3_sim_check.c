/*
 * The end: faults are over, everything comes back and is healed; nothing that
 * was acknowledged is lost, nothing is pending for ever, and any m drives may
 * be taken away.
 */

#include <errno.h>
#include <unistd.h>

#include "t/sim/s3_sim.h"

#define HEAL_SECONDS 900
#define DOUBT_SECONDS 70
#define TMP_SECONDS 70
#define HANG (120 * SIM_SECOND)


static unsigned
n_keys(void)
{
    return sim_w.brief ? SIM_ALL_KEYS : SIM_KEYS;
}


static void
read_each(const char *when)
{
    int rc;
    unsigned k, p, tries;

    for (k = 0; k < n_keys() && !sim_failures; k++) {
        p = sim_chance(sim_w.n_procs);
        rc = sim_read_now(p, k);

        /* a process opens anew what has come back when it is idle there */

        for (tries = 0; rc == S3_EUNAVAIL && tries < 20; tries++) {
            sim_run(SIM_SECOND / 2);
            rc = sim_read_now(p, k);
        }

        if (rc != S3_OK) {
            sim_fail("%s: key %u: %s", when, k, s3_strerror(rc));
        }
    }
}


/* Of a key, or of the short-lived bucket's record: drives on which it is in
 * doubt. */

static uint32_t
doubtful(unsigned k)
{
    unsigned d;
    uint32_t mask = 0;
    sim_home_t home;
    s3_str_t key = k < SIM_ALL_KEYS ? sim_key(k) : SIM_SHORT;

    home.id = S3_BUCKET_BUCKETS;

    if (k < SIM_ALL_KEYS && sim_home_now(0, k, &home) == S3_ENOENT) {
        return 0;
    }

    for (d = 0; d < sim_w.n; d++) {
        mask |= (uint32_t) (sim_doubts_left(d, home.id, key) != 0) << d;
    }

    return mask;
}


/* NULL: all is well; else what is not yet. */

static const char *
ailing(void)
{
    unsigned d, k;
    uint32_t mask;
    static char why[80];

    for (d = 0; d < sim_w.n; d++) {
        if (sim_state(d) != S3_DRIVE_OK) {
            snprintf(why, sizeof(why), "drive %u is in state %d", d,
                     sim_state(d));
            return why;
        }

        if (sim_scan_now(d, S3_BUCKET_NOTES)) {
            snprintf(why, sizeof(why), "drive %u has notes", d);
            return why;
        }
    }

    for (k = 0; k < n_keys() + sim_w.brief; k++) {
        mask = doubtful(k);

        if (mask) {
            snprintf(why, sizeof(why), "key %u in doubt on drives %x", k, mask);
            return why;
        }
    }

    return NULL;
}


/*
 * The operator's word.  A version that is in doubt for good, because the drive
 * that would decide it has lost its data, answers 503 until somebody writes the
 * key blindly.  Where the other drives are too few to write, before the new one
 * is filled, and it is not filled while a key is in doubt, nothing helps.
 */

static void
put_done(s3_put_t *put)
{
    *(int *) put->ctx = 1;
}


static void
write_blindly(unsigned space, s3_str_t key, int event)
{
    int flag = 0;
    static s3_put_t put;

    memset(&put, 0, sizeof(put));
    put.store = sim_w.proc[0]->store;
    put.bucket = SIM_BUCKET + space;
    put.key = key;
    put.entry.kind = S3_KIND_OBJECT;
    put.done = put_done;
    put.ctx = &flag;

    if (space == S3_SPACE_UPLOADS) {
        s3_upload_set_state(&put.entry, S3_UPLOAD_ABORTING);

    } else if (space == S3_SPACE_OBJECTS) {
        sim_value_etag(put.entry.etag,
                       sim_event((unsigned) sim_key_index(key), event)->value);
    }

    s3_store_put(&put);

    if (sim_wait(&flag, "the operator's word") && put.rc != S3_OK) {
        sim_w.stuck = 1;
    }

    if (event >= 0) {
        sim_end((unsigned) sim_key_index(key), event, put.rc);
    }
}


static void
operator_speaks(void)
{
    int rc, event;
    sim_home_t home;
    unsigned k, at, space;
    uint32_t size = 0;
    s3_str_t key;
    uint8_t buf[S3_MAX_KEY];

    for (at = 0; sim_upload_keys(&at, buf, &key, &space);) {
        if (sim_in_doubt(SIM_BUCKET + space, key)) {
            sim_say("operator: a key of an upload");
            write_blindly(space, key, -1);
        }
    }

    for (k = 0; k < SIM_KEYS; k++) {
        if (sim_in_doubt(SIM_BUCKET, sim_key(k))) {
            sim_say("operator: key %u", k);
            event = sim_begin(k, HIST_PUT, SIM_CLIENTS);
            sim_event(k, event)->value = sim_value_new(k, 1, &size);
            write_blindly(S3_SPACE_OBJECTS, sim_key(k), event);
        }
    }

    /* he does not know which one to make, or what to put there */

    for (k = SIM_KEYS; k < n_keys() && !sim_w.stuck; k++) {
        rc = sim_home_now(0, k, &home);
        sim_w.stuck = rc == S3_EUNAVAIL
                      || (rc == S3_OK && sim_in_doubt(home.id, sim_key(k)));
    }
}


/* Clients come to an end; so do the uploads. */

static void
settle_down(void)
{
    unsigned spins, n;

    for (spins = 0; sim_clients_busy(); spins++) {
        if (spins == HANG / (20 * SIM_MS)) {
            sim_fail("an operation never ends");
            return;
        }

        sim_run(20 * SIM_MS);
    }

    sim_clients_stop();

    if (sim_w.faults & (SIM_F_REPLACE | SIM_F_ROT)) {
        operator_speaks();

        if (sim_w.stuck) {
            return;
        }
    }

    if (sim_w.brief) {
        sim_bucket_settle();
    }

    for (n = 0; sim_upload_end(sim_clients[0]); n++) {
        for (spins = 0; sim_clients_busy(); spins++) {
            if (spins == HANG / (20 * SIM_MS)) {
                sim_fail("an abort never ends");
                return;
            }

            sim_run(20 * SIM_MS);
        }

        if (n == 100) {
            sim_fail("an upload cannot be aborted");
            return;
        }

        if (n > 10) {
            sim_run(SIM_SECOND);
        }
    }
}


/* Something may have been written while other drives were away than those
 * that it has notes for, or have lost a bit: that is the scrub's business.  1:
 * there is nothing for it to do. */

static int
scrub(void)
{
    unsigned i;
    uint64_t passes;
    s3_heal_stats_t st;

    if (!(sim_w.faults
          & (SIM_F_AWAY | SIM_F_HANG | SIM_F_EIO | SIM_F_FULL | SIM_F_ROT)))
    {
        return 1;
    }

    if (sim_w.guardian < 0) {
        return 0;
    }

    s3_store_heal_stats(sim_w.proc[sim_w.guardian]->store, &st);
    passes = st.passes + 2;

    for (i = 0; i < 400 && st.passes < passes && !sim_failures; i++) {
        s3_sim_jump(sim_w.sim, SIM_SCRUB * SIM_SECOND / sim_w.n);
        sim_run(100 * SIM_MS);
        s3_store_heal_stats(sim_w.proc[sim_w.guardian]->store, &st);
    }

    if (st.passes < passes) {
        sim_fail("the scrub does not come round");
    }

    return 0;
}


static void
heal(void)
{
    unsigned p, k, i, scrubbed = 0;
    const char *why = NULL;

    /* doubts are settled once they are old, by whatever clock */

    sim_w.drift = 11000 * (int64_t) SIM_SECOND;

    for (p = 0; p < sim_w.n_procs; p++) {
        s3_sim_skew(sim_w.proc[p]->loop, sim_w.drift);
    }

    /* of a stray vote nobody is told: it is found by the look of each minute */

    if (sim_w.faults & SIM_F_STRAY) {
        sim_run(DOUBT_SECONDS * SIM_SECOND);
    }

    for (i = 0; i < HEAL_SECONDS && !sim_failures; i++) {

        why = ailing();

        if (why == NULL && (scrubbed++ || scrub())) {
            sim_run(SIM_SECOND); /* CONFIRMs are logged when it is convenient */
            return;
        }

        if (i % 4 == 0) {
            for (k = 0; k < n_keys() && i < 40 && !sim_history_full(k); k++) {
                (void) sim_read_now(
                    sim_w.guardian < 0 ? 0 : (unsigned) sim_w.guardian, k);
            }
        }

        sim_run(i < 60 ? SIM_SECOND : 5 * SIM_SECOND);
    }

    if (!sim_failures) {
        sim_fail("not healed: %s", why);
    }
}


/* Among them the one that has lost data before. */

static uint32_t
some_drives(unsigned count, uint32_t mask)
{
    for (/* void */; (unsigned) __builtin_popcount(mask) < count;
         mask |= 1u << sim_chance(sim_w.n))
    {
        /* void */
    }

    return mask;
}


static int
needs_restart(void)
{
    unsigned d;

    for (d = 0; d < sim_w.n; d++) {
        if (sim_state(d) == S3_DRIVE_FAILING) {
            return 1;
        }
    }

    return 0;
}


/* Whoever died holding one has not taken it along. */

static void
check_locks(void)
{
    int rc;
    unsigned d;
    s3_zone_t *z = sim_w.zone;

    for (d = 0; d < sim_w.n; d++) {
        rc = pthread_mutex_trylock(&z->drives[d].lock);

        if (rc == EOWNERDEAD) {
            rc = pthread_mutex_consistent(&z->drives[d].lock);
        }

        if (rc != 0) {
            sim_fail("drive %u: its lock is lost: %d", d, rc);
            fflush(stdout);
            _exit(1); /* whoever asks for it next would wait for ever */
        }

        pthread_mutex_unlock(&z->drives[d].lock);
    }
}


/* MANIFEST or a table is damaged, and was not made anew yet. */

static int
useless(unsigned d)
{
    static const uint64_t buckets[] = {
        S3_BUCKET_BUCKETS,
        S3_BUCKET_CLOSED,
        S3_BUCKET_NOTES,
        SIM_BUCKET + S3_SPACE_OBJECTS,
        SIM_BUCKET + S3_SPACE_UPLOADS,
        SIM_BUCKET + S3_SPACE_PARTS,
    };
    unsigned i;

    if (sim_state(d) == S3_DRIVE_MISSING) {
        return 1;
    }

    for (i = 0; i < sizeof(buckets) / sizeof(buckets[0]); i++) {
        if (sim_scan_now(d, buckets[i]) == S3_ECORRUPT) {
            return 1;
        }
    }

    return 0;
}


static void
await_index(void)
{
    unsigned i, d;

    if (!sim_fault_lost()) {
        return;
    }

    d = (unsigned) __builtin_ctz(sim_fault_lost());

    for (i = 0; i < 30 && useless(d); i++) {
        sim_run(SIM_SECOND);
    }

    if (useless(d)) {
        sim_fail("drive %u: the index was not made anew", d);
    }
}


/* All were aborted. */

static void
check_uploads(void)
{
    unsigned left;
    sim_home_t home;

    left = sim_list_now(SIM_BUCKET + S3_SPACE_UPLOADS);

    if (sim_w.brief && sim_home_now(0, SIM_KEYS, &home) == S3_OK) {
        left |= sim_list_now(home.id + S3_SPACE_UPLOADS);
    }

    if (left) {
        sim_fail("uploads are left");
    }
}


/* What was just read is what is listed. */

static void
check_listed(void)
{
    int rc;
    sim_home_t home;
    uint32_t got;

    got = sim_list_now(SIM_BUCKET);

    if (sim_w.brief) {
        rc = sim_home_now(0, SIM_KEYS, &home);

        if (rc == S3_OK) {
            got |= sim_list_now(home.id) << SIM_KEYS;

        } else if (rc != S3_ENOENT) {
            sim_fail("at the end: the bucket: %s", s3_strerror(rc));
        }
    }

    if (got != sim_found && !sim_failures) {
        sim_fail("at the end keys %x are listed, not %x", got, sim_found);
    }
}


/* What was being written by a process that is gone. */

static void
check_tmp(void)
{
    unsigned d, i, left;

    for (i = 0; i <= TMP_SECONDS && !sim_failures; i++) {
        for (d = 0, left = 0; d < sim_w.n; d++) {
            left += sim_tmp_left(d);
        }

        if (left == 0) {
            return;
        }

        sim_run(SIM_SECOND);
    }

    if (!sim_failures) {
        sim_fail("unfinished blobs are left");
    }
}


void
sim_check_end(void)
{
    unsigned d;
    uint32_t mask;

    sim_found = 0;
    sim_faults_over();
    sim_run(2 * SIM_SECOND);
    check_locks();

    if (needs_restart() || sim_chance(4) == 0) {
        sim_power_cut();
        sim_start(0);
    }

    settle_down();
    await_index();

    if (sim_w.stuck) {
        (void) sim_histories_check();
    }

    if (sim_failures || sim_w.stuck) {
        return;
    }

    read_each("everything is back");
    heal();

    if (sim_failures) {
        return;
    }

    sim_uploads_again();
    settle_down();

    check_uploads();
    check_tmp();

    if (sim_w.brief && !sim_failures) {
        sim_bucket_end();
    }

    mask = some_drives(sim_w.classes ? 1 : sim_w.m, sim_fault_lost());
    sim_say("the end without drives %x", mask);
    sim_stop();

    for (d = 0; d < sim_w.n; d++) {
        if (mask >> d & 1) {
            sim_away(d, 1);
        }
    }

    sim_start(mask);
    read_each("drives are taken away");

    if (!sim_failures) {
        check_listed();
    }

    if (!sim_failures && sim_histories_check()) {
        sim_stop();
    }
}
