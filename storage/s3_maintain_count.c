/*
 * How many live objects a drive has records of, for those who look: counted by
 * reading the index through, memtables and all, beside everything else.  Only
 * where something has been voted on since, and no more than one part in
 * S3_COUNT_SHARE of the time, so a great store is counted rarely.
 */

#include "storage/s3_maintain.h"
#include <stdlib.h>

#define S3_COUNT_MS 2000 /* between counts, at least */
#define S3_COUNT_SHARE 50


typedef struct {
    s3_merge_t merge;
    s3_source_t *sources[S3_ZONE_ARENAS + S3_ZONE_TABLES];
    s3_memsource_t memories[S3_ZONE_ARENAS];
    s3_table_iter_t tables[];
} s3_count_t;


static int
s3_count_is_object(const s3_merge_t *merge)
{
    unsigned i;

    if (merge->bucket < S3_BUCKET_FIRST
        || (merge->bucket & 3) != S3_SPACE_OBJECTS) {
        return 0;
    }

    for (i = 0; i < merge->n; i++) {
        if (s3_entry_is_record(&merge->entries[i])) {
            return merge->entries[i].kind == S3_KIND_OBJECT;
        }
    }

    return 0;
}


static void
s3_count_run(s3_task_t *task)
{
    int rc;
    unsigned i, n, arenas[S3_ZONE_ARENAS];
    uint64_t objects;
    s3_count_t *c;
    s3_memtable_t *memories[S3_ZONE_ARENAS];
    s3_maintain_t *m = task->ctx;
    s3_tabset_t *set = m->count_set;

    c = malloc(sizeof(*c) + set->n * sizeof(c->tables[0]));
    if (c == NULL) {
        m->count_rc = S3_ENOMEM;
        return;
    }

    n = s3_index_memtables(m->l->zone, m->l->index, set->generation, memories,
                           arenas);

    for (i = 0; i < n; i++) {
        s3_memsource_init(&c->memories[i], memories[i]);
        c->sources[i] = &c->memories[i].source;
    }

    for (i = 0; i < set->n; i++) {
        s3_table_iter_init(&c->tables[i], set->tables[i], NULL, m->l->fs);
        c->sources[n + i] = &c->tables[i].source;
    }

    objects = 0;
    rc = s3_merge_init(&c->merge, c->sources, n + set->n, 0);

    if (rc == S3_OK) {
        rc = s3_merge_seek(&c->merge, 0, s3_null_str);
    }

    while (rc == S3_OK && !__atomic_load_n(&m->l->quiet, __ATOMIC_RELAXED)) {
        rc = s3_merge_next(&c->merge);
        objects += rc == S3_OK && s3_count_is_object(&c->merge);
    }

    s3_merge_done(&c->merge);

    for (i = 0; i < set->n; i++) {
        s3_table_iter_done(&c->tables[i]);
    }

    free(c);

    m->count_rc = rc == S3_DONE ? S3_OK : rc == S3_OK ? S3_AGAIN : rc;
    m->objects = objects;
}


static void
s3_count_done(s3_task_t *task)
{
    uint64_t now, took;
    s3_maintain_t *m = task->ctx;
    s3_local_t *l = m->l;

    if (m->count_rc == S3_OK) {
        s3_drive_show(&l->drive, objects, m->objects);
    }

    now = l->loop->mono_ms(l->loop);
    took = now - m->count_began;
    m->count_next = now + s3_max(took * S3_COUNT_SHARE, S3_COUNT_MS);
    m->counting = 0;

    s3_tabset_release(&l->ix, m->count_set);
    m->count_set = NULL;
}


void
s3_maintain_count(s3_maintain_t *m, uint64_t now)
{
    uint64_t votes;
    s3_local_t *l = m->l;

    votes = __atomic_load_n(&l->zd->votes, __ATOMIC_RELAXED) + 1;

    if (m->counting || now < m->count_next || votes == m->count_votes
        || l->ix.current->generation
               != __atomic_load_n(&l->zd->generation, __ATOMIC_ACQUIRE))
    {
        return;
    }

    m->counting = 1;
    m->count_votes = votes;
    m->count_began = now;
    m->count_set = s3_tabset_hold(&l->ix);

    m->count_task.run = s3_count_run;
    m->count_task.done = s3_count_done;
    m->count_task.ctx = m;
    m->count_task.drive = l->index;
    l->loop->post_background(l->loop, &m->count_task);
}
