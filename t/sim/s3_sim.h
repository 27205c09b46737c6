/*
 * The whole store in a simulated world: the real storage/ code, from
 * s3_store.h down to the files, over drives in memory.
 *
 *   clients      put, get, list, delete, multipart          s3_sim_client.c,
 *      │                                                    s3_sim_upload.c,
 *      │                                                    s3_sim_value.c
 *   s3_store_t   a coordinator in each process
 *      │         requests late, lost, repeated              s3_sim_net.c
 *   s3_node_t    all drives, one shared zone                s3_sim_world.c
 *      │
 *   s3_memfs_t   drives: power cuts, errors, hanging        s3_memfs.h
 *
 *   a bucket     that comes and goes                        s3_sim_bucket.c
 *   histories    what clients saw, and whether it can be    s3_history.c,
 *                                                           s3_sim_history.c
 *   faults       what happens to drives and processes       s3_sim_fault.c
 *   the end      all healed, any m drives taken away        s3_sim_check.c,
 *                                                           s3_sim_look.c
 *   coverage     blocks of storage/ that were run; death
 *                at any of them                             s3_sim_cover.c
 *   memory       as before the first seed, for each         s3_sim_memory.c
 *
 * Everything comes from one seed.
 */

#ifndef S3_SIM_H
#define S3_SIM_H

#include <stdio.h>
#include <stdlib.h>

#include "storage/s3_bucket.h"
#include "storage/s3_node.h"
#include "storage/s3_store.h"
#include "storage/s3_upload.h"
#include "storage/s3_zone.h"
#include "t/sim/s3_history.h"
#include "t/sim/s3_memfs.h"

#define SIM_PROCS 3
#define SIM_CLIENTS 5
#define SIM_KEYS 3       /* of the bucket that is always there */
#define SIM_SHORT_KEYS 2 /* behind them: of the short-lived one */
#define SIM_ALL_KEYS (SIM_KEYS + SIM_SHORT_KEYS)
#define SIM_BUCKET 1024
#define SIM_SHORT s3_string("short") /* the short-lived bucket */
#define SIM_VALUES 1024
#define SIM_SCRUB 8 /* seconds, all drives once */
#define SIM_SEGS 3
#define SIM_MS 1000ull
#define SIM_SECOND 1000000ull


/* What kinds of faults a seed has. */

#define SIM_F_NET 1       /* requests late, lost, repeated */
#define SIM_F_KILL 2      /* processes die, at any instruction */
#define SIM_F_POWER 4     /* power cuts */
#define SIM_F_AWAY 8      /* drives go and come */
#define SIM_F_HANG 16     /* drives hang */
#define SIM_F_EIO 32      /* errors of reads, writes, syncs */
#define SIM_F_FULL 64     /* a full drive */
#define SIM_F_REPLACE 128 /* an empty drive instead of one */
#define SIM_F_ROT 256     /* bits flip at rest, on one drive */
#define SIM_F_CLOCK 512   /* clocks jump; everybody stands still for long */
#define SIM_F_STRAY 1024  /* votes come long after they were sent */
#define SIM_F_DUEL 2048   /* all at one key, under conditions */
#define SIM_F_CUT 4096    /* what is sent to a drive is lost, for a while */
#define SIM_F_BRIEF 8192  /* all at the short-lived bucket */


/* Content of an object: pieces, each made from its salt. */

typedef struct {
    unsigned key;
    unsigned n;
    uint32_t salt[SIM_SEGS];
    uint32_t len[SIM_SEGS];
    uint64_t size;
} sim_value_t;


typedef struct {
    unsigned index;
    int64_t pid;
    unsigned alive : 1;
    unsigned healing : 1;
    unsigned boring : 1; /* its clients have nothing more to do */
    uint32_t absent;     /* drives that it has not opened */
    uint32_t returning;
    unsigned held; /* requests, answers and repetitions on their way */
    s3_loop_t *loop;
    s3_node_t *node;
    s3_store_t *store;
    s3_buckets_t *buckets;
    s3_timer_t watch;
    int64_t skew;  /* of its own logical clock */
    uint64_t drew; /* its last time */
} sim_proc_t;


typedef struct {
    uint64_t seed;
    unsigned faults; /* SIM_F_... */
    unsigned n;
    unsigned m;
    unsigned n_procs;
    s3_sim_t *sim;
    s3_loop_t *world; /* a loop of nobody's: chance */
    s3_memfs_t *disk[S3_MAX_DRIVES];
    sim_proc_t *proc[SIM_PROCS];
    void *zone;
    size_t zone_size;
    int64_t next_pid;
    int64_t drift;    /* of all wall clocks */
    unsigned hot;     /* all clients are at one key, votes get lost */
    unsigned classes; /* some objects are of the class with parity 1 */
    unsigned brief;   /* there is a short-lived bucket */
    unsigned apart;   /* each coordinator draws from a clock of its own */
    uint32_t dead;    /* drives that are away */
    uint32_t hung;
    int guardian;    /* process that heals, or -1 */
    uint32_t doomed; /* processes that are to die at once */
    unsigned stuck;  /* a key in doubt for good that cannot be written */
    sim_value_t values[SIM_VALUES];
    uint32_t n_values;
} sim_world_t;

extern sim_world_t sim_w;
extern int sim_verbose;

/* Ends this seed as failed; prints once. */
void sim_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
extern unsigned sim_failures;

void sim_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static inline unsigned
sim_chance(uint64_t below)
{
    return (unsigned) s3_sim_random(sim_w.sim, below);
}


/* s3_sim_world.c */

void sim_open(uint64_t seed, unsigned n, unsigned m, unsigned faults);
void sim_close(void);

/* All processes at once; `missing`: drives that are not there. */
void sim_start(uint32_t missing);
void sim_stop(void);          /* in good order */
void sim_kill(unsigned p);    /* kill -9, and nginx starts another one */
void sim_power_cut(void);     /* and back, after sim_start() */
void sim_replace(unsigned d); /* by an empty one; nothing runs */
/* Runs the world; a process may die in the middle of an instruction. */
void sim_run(uint64_t us);
void sim_run_doomed(uint64_t us, uint64_t blocks);
s3_drive_state_t sim_state(unsigned d);
/* Brings a drive back, or takes it away. */
void sim_away(unsigned d, int away);
void sim_hang(unsigned d, int hung);
void sim_flush(unsigned d);
unsigned sim_pick_alive(void);

s3_str_t sim_key(unsigned k); /* two buckets have the same */
/* Of the first SIM_KEYS; -1: none of them. */
int sim_key_index(s3_str_t key);


/* s3_sim_net.c: between the store and the drives of process p. */

typedef struct {
    unsigned late; /* per million: the request, or its answer */
    unsigned late_ms;
    unsigned lost;   /* the request */
    unsigned mute;   /* its answer */
    unsigned repeat; /* the same again, later, from anybody */
    unsigned stray;  /* a vote: lost, refused or not, it comes again */
    unsigned deaf;   /* a CONFIRM, a DEAD: lost */
    unsigned blind;  /* a READ: lost */
    unsigned fatal;  /* a vote: its sender dies */
} sim_net_knobs_t;

extern sim_net_knobs_t sim_net[S3_MAX_DRIVES];

void sim_net_attach(sim_proc_t *p);
void sim_net_calm(void);
void sim_net_report(FILE *f); /* which answers were given */
void sim_net_open(void);      /* counters that child processes share */


/* s3_sim_client.c */

typedef struct sim_client_s sim_client_t;
typedef struct sim_upload_s sim_upload_t;

/* A bucket, as it was found. */

typedef struct {
    uint64_t id;
    uint32_t generation;
    uint32_t number;   /* s3_history.h; 0: there is none */
    unsigned half : 1; /* removed, and neither gone nor open again */
} sim_home_t;


struct sim_client_s {
    unsigned id;
    unsigned proc;
    unsigned left; /* operations it will still begin */
    unsigned busy : 1;
    uint64_t since; /* of the operation under way */
    unsigned key;
    int event; /* -1: none */
    uint32_t seen[SIM_ALL_KEYS];
    s3_timer_t timer;
    s3_bucket_op_t bucket;
    sim_home_t home; /* of the key that it is at */
    void (*housed)(sim_client_t *c, int rc);
    char region[16];
    s3_put_t put;
    s3_head_t head;
    s3_list_t list;

    s3_writer_t *writer; /* what is being written */
    unsigned class;      /* its storage class; of parts 0 */
    unsigned flags;      /* of the writer */
    uint32_t value;
    uint64_t off;
    uint64_t end;
    void (*written)(sim_client_t *c);

    s3_reader_t *reader;
    s3_object_t *object;

    unsigned first; /* of a listing: keys of that bucket */
    unsigned end_key;
    int events[SIM_ALL_KEYS];
    unsigned listed;   /* keys, bits */
    unsigned prefixed; /* keys below a common prefix */
    unsigned pages;
    char after[32];

    sim_upload_t *upload;
    unsigned part;
    unsigned aborting : 1;
    s3_upload_op_t op;
    uint8_t name[S3_MAX_KEY];
    s3_ref_t refs[SIM_SEGS];
    uint32_t lacks[SIM_SEGS];
    s3_version_t versions[SIM_SEGS];
};

extern sim_client_t *sim_clients[SIM_CLIENTS];

void sim_clients_open(void);
void sim_clients_died(unsigned p); /* what they were doing is lost */
void sim_clients_restart(unsigned p);
void sim_clients_stop(void); /* nothing new any more */
unsigned sim_clients_busy(void);
uint64_t sim_clients_oldest(void); /* microseconds that one is under way */
s3_store_t *sim_client_store(sim_client_t *c);
void sim_client_rest(sim_client_t *c); /* its operation is over */
/* Writes [off, end) of a value, at home, then calls written; see
 * writer->rc. */
void sim_client_write(sim_client_t *c, unsigned key, unsigned flags,
                      void (*written)(sim_client_t *c));
void sim_client_put(sim_client_t *c, unsigned space, s3_str_t key,
                    s3_kind_t kind, void (*done)(s3_put_t *put));


/* s3_sim_value.c */

uint32_t sim_value_new(unsigned key, unsigned n, const uint32_t *lens);
void sim_value_etag(uint8_t etag[16], uint32_t value);
/* Of an object that was found; fails where it is none that was written. */
uint32_t sim_value_of(unsigned key, const s3_entry_t *e);
void sim_content(uint32_t value, uint64_t off, uint8_t *p, size_t len);
int sim_content_is(uint32_t value, uint64_t off, const uint8_t *p, size_t len);


/* s3_sim_upload.c */

void sim_uploads_reset(void);
/* One step of some upload; 0: there is nothing to do. */
int sim_upload_step(sim_client_t *c);
/* Aborts one that is not over; 0: all are. */
int sim_upload_end(sim_client_t *c);
/* Those whose creation was not acknowledged may have come to be by now. */
void sim_uploads_again(void);
/* A key of an upload that nothing decides any more, and its kind: each call
 * gives the next; 0: there are no more. */
int sim_upload_keys(unsigned *at, uint8_t *buf, s3_str_t *key, unsigned *space);


/* s3_sim_bucket.c */

void sim_buckets_reset(void);
/* The bucket of a key into c->home, then housed(); S3_ENOENT: there is none. */
void sim_client_home(sim_client_t *c, unsigned key,
                     void (*housed)(sim_client_t *c, int rc));
void sim_bucket_make(sim_client_t *c);
void sim_bucket_drop(sim_client_t *c);
/* An upload in c->home is gone, or a part: fails if that bucket is there to
 * stay; then verified(), with S3_ENOENT. */
void
sim_bucket_verify(sim_client_t *c, void (*verified)(sim_client_t *c, int rc));
/* The same, of process p, at once. */
int sim_home_now(unsigned p, unsigned key, sim_home_t *home);
/* One that was left half removed is removed, or open again. */
void sim_bucket_settle(void);
/* It can be emptied and removed, by chance it is. */
void sim_bucket_end(void);


/* s3_sim_history.c: see s3_history.h */

void sim_history_reset(void);
int sim_history_full(unsigned key);
hist_event_t *sim_event(unsigned key, int i);
int sim_begin(unsigned key, hist_kind_t kind, unsigned client);
void sim_end(unsigned key, int i, int rc);
void sim_end_maybe(unsigned key, int i);
int sim_histories_check(void); /* 1: all linearizable */
void sim_histories_print(void);
uint64_t sim_events_total(void);


/* s3_sim_fault.c */

void sim_faults_open(void);
void sim_disturb(void);
void sim_faults_over(void);    /* all works again */
uint32_t sim_fault_lost(void); /* drives that may miss what no scrub sees */


/* s3_sim_break.c */

int sim_break_select(const char *name); /* 0: it is a name, and in effect */
void sim_break_list(void);
int sim_break_faults(void);     /* SIM_F_... that find it, or -1 */
unsigned sim_break_seeds(void); /* one of so many finds it */


/* s3_sim_check.c */

void sim_check_end(void);


/* s3_sim_look.c */

extern unsigned sim_found; /* keys where sim_read_now() found an object, bits */

/* Waits for a callback that sets *flag, and runs the world meanwhile; 0: there
 * was none for long, and this seed has failed. */
int sim_wait(const int *flag, const char *what);
/* The newest object of a key, all of it, by process p; into the history. */
int sim_read_now(unsigned p, unsigned key);
int sim_in_doubt(uint64_t bucket, s3_str_t key); /* it cannot be read */
/* Keys of a bucket that are listed, bits; 1 << 31: others. */
unsigned sim_list_now(uint64_t bucket);
/* Keys of a bucket on a drive, at most 100; or the drive's error. */
int sim_scan_now(unsigned d, uint64_t bucket);
/* Records of the key there that are neither confirmed nor below one. */
unsigned sim_doubts_left(unsigned d, uint64_t bucket, s3_str_t key);
/* Files in tmp/ of a drive whose process is gone. */
unsigned sim_tmp_left(unsigned d);
void sim_dump(void); /* what drives have of each key */


/* s3_sim_memory.c: for each seed the same memory.  Under AddressSanitizer
 * they do nothing. */

void sim_memory_mark(void);  /* as it is now */
void sim_memory_reset(void); /* so it is again, for all that is the program's */


/* s3_sim_cover.c */

extern uint64_t sim_doom; /* blocks until the thread that runs them ends */

/* Runs f(ctx) in a thread of its own that ends after so many blocks of
 * storage/, be it when it holds the lock of a drive; 1: it did so before f
 * returned. */
int sim_doomed(void (*f)(void *ctx), void *ctx, uint64_t blocks, int locked);
void sim_cover_open(void);             /* before child processes are made */
int sim_cover_write(const char *path); /* addresses, one a line */

#endif /* S3_SIM_H */
