/*
 * The end: faults are over, everything comes back and is healed; nothing that
 * was acknowledged is lost, nothing is pending for ever, and any m drives may
 * be taken away.
 */

#include <errno.h>
#include <unistd.h>

#include "t/sim/s3_sim.h"

#define HEAL_SECONDS 900
#define HANG (120 * SIM_SECOND)

static s3_drive_t *drive_of(unsigned p, unsigned d);


/* Waits for a callback that sets *flag; background work goes on meanwhile. */

static int
wait_for(const int *flag, const char *what)
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

        if (!wait_for(&flag, "a read")) {
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


static unsigned found; /* keys where the last read found an object */


/* The newest object of a key, all of it; into the history. */

static int
read_now(unsigned p, unsigned key)
{
    int rc, flag, event;
    static s3_head_t head;

    flag = 0;
    memset(&head, 0, sizeof(head));
    head.store = sim_w.proc[p]->store;
    head.bucket = SIM_BUCKET;
    head.key = sim_key(key);
    head.done = head_done;
    head.ctx = &flag;
    event = sim_begin(key, SIM_GET, SIM_CLIENTS + p);
    s3_store_head(&head);

    if (!wait_for(&flag, "a head")) {
        return S3_EBUSY;
    }

    rc = head.rc;

    if (rc == S3_OK) {
        sim_event(key, event)->value = sim_value_of(key, &head.object->entry);
    }

    sim_end(key, event, rc);
    found &= ~(1u << key);

    if (rc == S3_OK) {
        found |= 1u << key;
        rc = sim_failures
                 ? S3_OK
                 : read_all(p, head.object, sim_event(key, event)->value);
        s3_object_release(head.object);
    }

    return rc == S3_ENOENT ? S3_OK : rc;
}


static void
read_each(const char *when)
{
    int rc;
    unsigned k, p, tries;

    for (k = 0; k < SIM_KEYS && !sim_failures; k++) {
        p = sim_chance(sim_w.n_procs);
        rc = read_now(p, k);

        /* a process opens anew what has come back when it is idle there */

        for (tries = 0; rc == S3_EUNAVAIL && tries < 20; tries++) {
            sim_run(SIM_SECOND / 2);
            rc = read_now(p, k);
        }

        if (rc != S3_OK) {
            sim_fail("%s: key %u: %s", when, k, s3_strerror(rc));
        }
    }
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

static int
scan_now(unsigned d, uint64_t bucket)
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

    if (!wait_for(&flag, "a list of a drive")) {
        return S3_EBUSY;
    }

    rc = scan.req.rc == S3_OK ? (int) scan.n : scan.req.rc;
    s3_scan_release(&scan);

    return rc;
}


static s3_lookup_t look;

/* What the drive has of the key, in `look`; its rc. */

static int
lookup(unsigned d, unsigned space, s3_str_t key)
{
    int flag = 0;

    memset(&look, 0, sizeof(look));
    look.req.done = flag_done;
    look.req.ctx = &flag;
    look.req.drive = d;
    look.bucket = SIM_BUCKET + space;
    look.key = key;
    drive_of(0, d)->ops->read(drive_of(0, d), &look);

    return wait_for(&flag, "a lookup") ? look.req.rc : S3_EBUSY;
}


/* Records of the key that are neither confirmed nor below one. */

static unsigned
doubts_left(unsigned d, unsigned key)
{
    unsigned i, n;

    n = lookup(d, S3_SPACE_OBJECTS, sim_key(key)) != S3_OK;

    for (i = 0; i < look.n; i++) {
        n += look.entries[i].kind <= S3_KIND_TOMBSTONE
             && !(look.entries[i].flags & S3_F_CONFIRMED);
    }

    s3_lookup_release(&look);

    return n;
}


/* What each drive has of it. */

static void
dump(unsigned space, s3_str_t key)
{
    unsigned d, i;
    s3_entry_t *e;

    for (d = 0; d < sim_w.n; d++) {
        (void) lookup(d, space, key);

        if (space != S3_SPACE_OBJECTS && look.req.rc == S3_OK && look.n == 0) {
            continue;
        }

        printf("space %u key %.*s drive %u rc %d\n", space,
               (int) s3_min(key.len, (size_t) 8), key.data, d, look.req.rc);

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
               scan_now(d, S3_BUCKET_NOTES));
    }

    for (k = 0; k < SIM_KEYS; k++) {
        dump(S3_SPACE_OBJECTS, sim_key(k));
    }

    for (at = 0; sim_upload_keys(&at, buf, &key, &space);) {
        dump(space, key);
    }
}


/* NULL: all is well; else what is not yet. */

static const char *
ailing(void)
{
    unsigned d, k;
    static char why[80];

    for (d = 0; d < sim_w.n; d++) {
        if (sim_state(d) != S3_DRIVE_OK) {
            snprintf(why, sizeof(why), "drive %u is in state %d", d,
                     sim_state(d));
            return why;
        }

        if (scan_now(d, S3_BUCKET_NOTES)) {
            snprintf(why, sizeof(why), "drive %u has notes", d);
            return why;
        }
    }

    for (k = 0; k < SIM_KEYS; k++) {
        for (d = 0; d < sim_w.n; d++) {
            if (doubts_left(d, k)) {
                snprintf(why, sizeof(why), "key %u in doubt on drive %u", k, d);
                return why;
            }
        }
    }

    return NULL;
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

static unsigned
list_now(unsigned space)
{
    unsigned got[2] = {0, 0};
    static s3_list_t list;

    memset(&list, 0, sizeof(list));
    list.store = sim_w.proc[0]->store;
    list.bucket = SIM_BUCKET + space;
    list.max = 1000;
    list.item = list_item;
    list.done = list_done;
    list.ctx = got;
    s3_store_list(&list);

    if (wait_for((int *) &got[0], "a list") && list.rc != S3_OK) {
        sim_fail("at the end: list: %s", s3_strerror(list.rc));
    }

    return got[1];
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

    if (wait_for(&flag, "the operator's word") && put.rc != S3_OK) {
        sim_w.stuck = 1;
    }

    if (event >= 0) {
        sim_end((unsigned) sim_key_index(key), event, put.rc);
    }
}


static int
in_doubt(unsigned space, s3_str_t key)
{
    int flag = 0;
    static s3_head_t head;

    memset(&head, 0, sizeof(head));
    head.store = sim_w.proc[0]->store;
    head.bucket = SIM_BUCKET + space;
    head.key = key;
    head.brief = 1;
    head.done = head_done;
    head.ctx = &flag;
    s3_store_head(&head);

    if (!wait_for(&flag, "a head")) {
        return 0;
    }

    s3_object_release(head.object);

    return head.rc == S3_EUNAVAIL;
}


static void
operator_speaks(void)
{
    int event;
    unsigned k, at, space;
    uint32_t size = 0;
    s3_str_t key;
    uint8_t buf[S3_MAX_KEY];

    for (at = 0; sim_upload_keys(&at, buf, &key, &space);) {
        if (in_doubt(space, key)) {
            sim_say("operator: a key of an upload");
            write_blindly(space, key, -1);
        }
    }

    for (k = 0; k < SIM_KEYS; k++) {
        if (in_doubt(S3_SPACE_OBJECTS, sim_key(k))) {
            sim_say("operator: key %u", k);
            event = sim_begin(k, SIM_PUT, SIM_CLIENTS);
            sim_event(k, event)->value = sim_value_new(k, 1, &size);
            write_blindly(S3_SPACE_OBJECTS, sim_key(k), event);
        }
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

    for (i = 0; i < HEAL_SECONDS && !sim_failures; i++) {

        why = ailing();

        if (why == NULL && (scrubbed++ || scrub())) {
            return;
        }

        if (i % 4 == 0) {
            for (k = 0; k < SIM_KEYS && i < 40; k++) {
                (void) read_now(
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
        if (scan_now(d, buckets[i]) == S3_ECORRUPT) {
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


void
sim_check_end(void)
{
    unsigned d;
    uint32_t mask;

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

    if (list_now(S3_SPACE_UPLOADS)) {
        sim_fail("uploads are left");
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

    if (!sim_failures && list_now(S3_SPACE_OBJECTS) != found) {
        sim_fail("other keys are listed without drives %x, not %x", mask,
                 found);
    }

    if (!sim_failures && sim_histories_check()) {
        sim_stop();
    }
}
