/*
 * Maintenance of a local drive: memtables to tables, tables to larger ones,
 * segments to nothing.  Done by the process that holds the drive's lease, its
 * blocking parts in the drive's threads; merging and cleaning beside the rest.
 *
 *   freeze ─► frozen memtable ─► table file ─┐
 *             tables ─► one table           ─┼─► MANIFEST ─► zone ─► unlink
 *             segment without live records  ─┘
 *
 * Order: what the MANIFEST names is durable before it is saved; what it names
 * no more is freed after it is saved.  A holder that dies anywhere leaves
 * files that the next start removes, and the zone as it was.
 *
 *  - A memtable is flushed when none of its entries is pending.  replay_from
 *    of each segment becomes what was noted at the freeze.
 *  - Tables are merged as they come, and at rest more of them.
 *  - RECORDs that vanish from the index here go into the ring, so that the
 *    drive remembers for a while that it has held them.
 *  - A segment is cleaned when it is sealed, entirely covered by tables, and
 *    less than half of it is live.  Its live records are appended again with
 *    the flags they have now; when a look at all of them finds none still
 *    here, it is empty.  Blobs of its superseded records are removed, if the
 *    record is older than an hour and no part of an upload: parts' blobs live
 *    on in objects, and only the tombstone would tell.
 *  - Records that cannot be read keep their segment from being cleaned.
 *  - Tables and MANIFEST are read through when the scrub asks for it, or when
 *    something of them did not hold.  A damaged table is made anew from the
 *    log; until then the drive is silent about keys in what is damaged of it.
 *  - Tombstones are kept: nothing here collects them, so floor stays where it
 *    is.  FENCE and DEAD entries go when something newer is confirmed.
 *  - Blobs that were being written by a process that is gone are removed from
 *    tmp/: when it was settled, and now and then.
 *  - Finished blobs that never got a record (a crash between the two) are not
 *    found here.
 */

#ifndef S3_MAINTAIN_H
#define S3_MAINTAIN_H

#include "storage/s3_local_int.h"
#include "storage/s3_merge.h"
#include "storage/s3_manifest.h"

#pragma GCC visibility push(hidden)


typedef struct s3_cleaning_s s3_cleaning_t;
typedef struct s3_mending_s s3_mending_t;

/* What merges take out of the index and the drive has to remember. */

typedef struct {
    s3_zring_t *items;
    size_t n;
    size_t room;
    s3_version_t lost; /* greatest that is not in items */
} s3_forgotten_t;

void s3_forgotten_drop(void *ctx, s3_drop_t why, uint64_t bucket, s3_str_t key,
                       const s3_entry_t *e);
void s3_forgotten_sort(s3_forgotten_t *f);                 /* in the task */
void s3_forgotten_keep(s3_forgotten_t *f, s3_zdrive_t *d); /* under the lock */
void s3_forgotten_free(s3_forgotten_t *f);

/* The MANIFEST as the zone has it, with `arena` (or -1) as if it were in a
 * table; tables are left to the caller.  Under the lock.  EMPTY segments are
 * left out, and marked: saved, they are FREE. */
int
s3_maintain_manifest(s3_zone_t *z, unsigned drive, int arena, s3_manifest_t *m);
void s3_maintain_saved(s3_zone_t *z, unsigned drive, int arena);

int
s3_manifest_add_tables(s3_manifest_t *m, const s3_ztable_t *tables, unsigned n);


struct s3_maintain_s {
    s3_local_t *l;
    unsigned busy : 1;
    unsigned save : 1;      /* a MANIFEST is due */
    unsigned merging : 1;   /* beside everything else, until it is written */
    unsigned merged : 1;    /* it is */
    unsigned unsettled : 1; /* what is to be flushed was, at the last tick */
    uint64_t looked;        /* ms, at the segments */
    uint64_t spaced;        /* ms, at the file system */
    uint64_t froze;         /* ms, for the sake of cleaning */
    uint64_t failed;        /* ms: not before; after an error */
    unsigned failures;

    /* the list of tables to be, and what is done for it */
    s3_task_t task;
    int rc;
    int arena;
    s3_ztable_t tables[S3_ZONE_TABLES];
    unsigned n_tables;
    s3_manifest_t manifest;

    /* flush */
    s3_memsource_t source;
    s3_source_t *sources[1];
    s3_compact_t flush;
    s3_forgotten_t flush_forgotten;
    s3_forgotten_t *forgotten; /* of what is being installed */

    /* merge */
    s3_task_t merge_task;
    int merge_rc;
    s3_compact_t merge;
    s3_forgotten_t merge_forgotten;
    s3_table_t *merge_tables[S3_ZONE_TABLES];
    unsigned n_merge;
    uint64_t rest_mark;  /* of what is written, at the last tick */
    uint64_t rest_since; /* ms: nothing was */

    /* files to be removed */
    uint32_t files[S3_ZONE_TABLES];
    unsigned n_files;
    uint32_t garbage[2];

    /* space, recount */
    uint64_t bytes_free;
    uint64_t bytes_total;
    s3_tabset_t *set;
    int64_t *counted; /* by place in the registry */
    uint32_t *counted_ids;

    s3_cleaning_t *cleaning;
    s3_mending_t *mending; /* the index is looked through, or made anew */
    uint64_t mend_next;    /* ms: not before */
    unsigned mend_tries;
    uint64_t forgot_next; /* ms: not before */
    unsigned forgot : 1;  /* taken out; format.json does not say so yet */

    /* objects, counted beside everything else */
    s3_task_t count_task;
    unsigned counting;
    int count_rc;
    uint64_t count_next; /* ms */
    uint64_t count_began;
    uint64_t count_votes; /* of the drive, at the last count, and 1 */
    uint64_t objects;
    s3_tabset_t *count_set;

    /* tmp/, looked through beside everything else */
    s3_task_t tmp_task;
    unsigned sweeping;
    int tmp_rc;
    unsigned tmp_removed;
    uint64_t tmp_next;    /* ms */
    uint64_t tmp_settled; /* of the drive, at the last look, and 1 */
};

/* Counts the drive's objects, if it is time. */
void s3_maintain_count(s3_maintain_t *m, uint64_t now);

/* Removes what the dead were writing, if it is time. */
void s3_maintain_tmp(s3_maintain_t *m, uint64_t now);


/*
 * s3_maintain_mend.c: the index read through, damaged tables made anew from the
 * log (s3_recover.h).  Non-zero: it has begun a piece of work (m->busy).
 */
int s3_mend_tick(s3_maintain_t *m, uint64_t now);
void s3_mend_free(s3_maintain_t *m);

/* No more than what runs; a new table comes to nothing. */
void s3_mend_quiesce(s3_maintain_t *m);

/* A task is under way. */
int s3_mend_busy(const s3_maintain_t *m);

/* Something is damaged: until it is made anew no table and no segment goes. */
int s3_mend_needed(const s3_maintain_t *m);

/*
 * s3_maintain_forgot.c: records are lost.  tick: where that is known and the
 * drive is not being filled yet; non-zero as above.  take: it is to be filled,
 * and counts no more from here on; 0: it can't be, too many others are away, or
 * have lost records themselves (no lock is held, on any thread).  save:
 * format.json says so, too (blocking).  tell: the log.
 */
int s3_forgot_tick(s3_maintain_t *m, uint64_t now);
int s3_forgot_take(s3_zone_t *z, unsigned drive, unsigned parity);
int s3_forgot_save(s3_local_t *l);
void s3_forgot_tell(s3_local_t *l);

/* The list of tables as it is now becomes m->tables; ends with
 * s3_maintain_end().  save: m->tables becomes the list. */
void s3_maintain_begin(s3_maintain_t *m);
void s3_maintain_save(s3_maintain_t *m);

/* Of m->tables `count` from `first` on give way to what c has written. */
void s3_maintain_splice(s3_maintain_t *m, unsigned first, unsigned count,
                        const s3_compact_t *c);

/* c for a new table; f: what it drops. */
void s3_maintain_compact(s3_maintain_t *m, s3_compact_t *c, s3_forgotten_t *f);

/* The active memtable, where it has something and no other one is still to be
 * flushed; NULL.  Under the lock. */
s3_memtable_t *s3_maintain_freezable(s3_local_t *l);

/* s3_maintain_merge.c: begins a merge where one is due; merged: one has been
 * made (m->merged), it becomes the drive's. */
void s3_maintain_merge(s3_maintain_t *m, uint64_t now);
void s3_maintain_merged(s3_maintain_t *m);
void s3_maintain_merge_free(s3_maintain_t *m); /* what one has held */

/* Ends a piece of work; rc counts for the pause after it. */
void s3_maintain_end(s3_maintain_t *m, int rc);

void s3_maintain_post(s3_maintain_t *m, void (*run)(s3_task_t *),
                      void (*done)(s3_task_t *));

/* s3_maintain_clean.c; s3_clean_free() of one that will not be called again */
void s3_clean_start(s3_maintain_t *m, uint32_t segment);
void s3_clean_free(s3_cleaning_t *c);

/* s3_maintain_space.c: looks at segments and file system, maybe starts
 * something (then m->busy is set). */
void s3_maintain_look(s3_maintain_t *m, uint64_t now);

#pragma GCC visibility pop

#endif /* S3_MAINTAIN_H */
