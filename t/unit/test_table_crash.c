/*
 * A power cut at each I/O of what maintenance does: merge two tables, save the
 * MANIFEST, remove the old ones.  What the MANIFEST lists afterwards is there,
 * whole, and says the same as before.
 */

#include "storage/s3_merge.h"
#include "storage/s3_manifest.h"
#include "storage/s3_bloom.h"
#include "t/sim/s3_memfs.h"
#include "s3_test.h"


#define KEYS 900


static int
write_table(s3_fs_t *fs, uint32_t id, unsigned step, s3_manifest_t *m)
{
    s3_manifest_table_t t;
    s3_table_writer_t *w;
    s3_table_stats_t st;
    s3_entry_t e;
    char key[16];
    unsigned i;
    int rc, len;

    memset(&e, 0, sizeof(e));
    e.kind = S3_KIND_OBJECT;
    e.flags = S3_F_CONFIRMED;
    e.version.time = id;

    rc = s3_table_writer_create(fs, id, KEYS, &w);

    for (i = 0; rc == S3_OK && i < KEYS; i += step) {
        len = snprintf(key, sizeof(key), "%08u", i);
        rc = s3_table_writer_add(w, 1024, s3_str(key, (size_t) len), &e);
    }

    if (rc == S3_OK) {
        rc = s3_table_writer_finish(w, &st);
    }

    if (rc == S3_OK) {
        t = (s3_manifest_table_t){id, st.bytes, st.entries};
        m->next_table_id = id + 1;
        rc = s3_manifest_add_table(m, 0, &t);
    }

    return rc;
}


/* Merges the two tables of m; stops at the first error, as a dead process. */

static int
maintain(s3_fs_t *fs, s3_manifest_t *m)
{
    s3_table_t *tables[2] = {NULL, NULL};
    s3_manifest_table_t t;
    s3_compact_t c;
    unsigned i;
    int rc = S3_OK;

    for (i = 0; rc == S3_OK && i < 2; i++) {
        rc = s3_table_open(fs, m->tables[i].id, &tables[i]);
    }

    if (rc == S3_OK) {
        memset(&c, 0, sizeof(c));
        c.fs = fs;
        c.id = m->next_table_id++;
        rc = s3_compact_tables(&c, tables, 2);
    }

    if (rc == S3_OK) {
        t = (s3_manifest_table_t){c.id, c.stats.bytes, c.stats.entries};
        m->n_tables = 0;
        rc = s3_manifest_add_table(m, 0, &t);
    }

    if (rc == S3_OK) {
        rc = s3_manifest_save(fs, m);
    }

    for (i = 0; i < 2; i++) {
        if (rc == S3_OK) {
            rc = s3_table_unlink(fs, tables[i]->stats.id);
        }

        s3_table_release(tables[i]);
    }

    return rc;
}


/* Version of each key over all the tables: 2 for even ones, 1 else. */

static void
verify(s3_fs_t *fs, const s3_manifest_t *m)
{
    s3_source_t *sources[4];
    s3_table_iter_t iters[4];
    s3_table_t *tables[4];
    s3_merge_t merge;
    unsigned i, n = 0, wrong = 0;

    REQUIRE(m->n_tables == 1 || m->n_tables == 2);

    for (i = 0; i < m->n_tables; i++) {
        REQUIRE(s3_table_open(fs, m->tables[i].id, &tables[i]) == S3_OK);
        CHECK_INT(tables[i]->stats.entries, m->tables[i].entries);
        CHECK_INT(tables[i]->stats.bytes, m->tables[i].bytes);
        s3_table_iter_init(&iters[i], tables[i], NULL, fs);
        sources[i] = &iters[i].source;
    }

    REQUIRE(s3_merge_init(&merge, sources, m->n_tables, 0) == S3_OK);
    REQUIRE(s3_merge_seek(&merge, 0, s3_null_str) == S3_OK);

    while (s3_merge_next(&merge) == S3_OK) {
        wrong += merge.n != 1 || merge.entries[0].version.time != 2 - n % 2;
        n++;
    }

    CHECK_INT(n, KEYS);
    CHECK_INT(wrong, 0);
    s3_merge_done(&merge);

    for (i = 0; i < m->n_tables; i++) {
        s3_table_iter_done(&iters[i]);
        s3_table_release(tables[i]);
    }
}


/* Non-zero: the cut came before the end. */

static int
test_cut(uint64_t seed, uint64_t at, unsigned *old, unsigned *new)
{
    s3_sim_t *sim = s3_sim_create(seed);
    s3_memfs_t *mem = s3_memfs_create(sim, 0, 1);
    s3_fs_t *fs = s3_memfs_fs(mem);
    s3_manifest_t m;
    int rc, stopped;

    s3_manifest_init(&m);
    REQUIRE(write_table(fs, 1, 1, &m) == S3_OK);
    REQUIRE(write_table(fs, 2, 2, &m) == S3_OK);
    REQUIRE(s3_manifest_save(fs, &m) == S3_OK);

    s3_sim_fault_at(sim, s3_sim_ios(sim) + at, S3_FAULT_STOP);
    rc = maintain(fs, &m);
    stopped = s3_sim_stopped(sim);
    CHECK(stopped || rc == S3_OK);

    if (!stopped) { /* the fault is still ahead: it is for nobody */
        CHECK_INT(fs->syncdir(fs, "index"), S3_EIO);
    }

    s3_memfs_crash(mem);
    s3_sim_resume(sim);
    s3_manifest_free(&m);

    REQUIRE(s3_manifest_load(fs, &m) == S3_OK);
    CHECK_INT(s3_manifest_clean(fs, &m), S3_OK);
    *old += m.n_tables == 2;
    *new += m.n_tables == 1;
    CHECK(stopped || m.n_tables == 1);
    verify(fs, &m);

    /* the next life: the same id may be written over what was left */

    if (m.n_tables == 2) {
        CHECK_INT(maintain(fs, &m), S3_OK);
        verify(fs, &m);
    }

    s3_manifest_free(&m);
    CHECK_INT(s3_memfs_open_files(mem), 0);
    s3_sim_destroy(sim);

    return stopped;
}


int
main(void)
{
    unsigned old = 0, new = 0;
    uint64_t seed, at;

    for (seed = 1; seed <= 8; seed++) {
        for (at = 0; test_cut(seed, at, &old, &new); at++) {
            /* void */
        }

        CHECK(at > 20);
    }

    CHECK(old > 50 && new > 50);

    return S3_TEST_END();
}
