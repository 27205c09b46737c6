/*
 * Inside of the world in memory: shared by s3_memdisk.c (what lies
 * there), s3_memfs.c (calls), s3_memfault.c and s3_memloop.c (processes, time).
 */

#ifndef S3_MEMFS_IMPL_H
#define S3_MEMFS_IMPL_H

#include "s3_memfs.h"

#define S3_SIM_EPOCH 1700000000000000ull /* virtual time 0, microseconds */
#define S3_SIM_PIECE 512                 /* what a drive writes atomically */
#define S3_SIM_DRIVES 64
#define S3_SIM_FAULTS 32


typedef struct {
    unsigned refs;
    int dir;
    uint8_t *data; /* extent bytes each; zeros beyond */
    uint8_t *durable;
    uint8_t *dirty; /* one a piece */
    size_t extent;
    uint64_t size;
    uint64_t durable_size;
    uint64_t written; /* virtual time, microseconds */
} s3_inode_t;

typedef struct {
    char *path;
    s3_inode_t *inode;
} s3_name_t;

typedef struct {
    s3_name_t *names;
    size_t n;
    size_t room;
} s3_names_t;

typedef struct {
    char *from; /* NULL: a new name */
    char *to;   /* NULL: a name removed */
    s3_inode_t *inode;
} s3_change_t;

struct s3_file_s {
    s3_memfs_t *m;
    s3_file_t *next;
    s3_inode_t *inode;
    unsigned flags;
    int dead; /* the drive had a power cut */
};

struct s3_memfs_s {
    s3_fs_t fs;
    s3_sim_t *sim;
    unsigned drive;
    int dead;
    uint64_t capacity;
    s3_names_t now;
    s3_names_t durable;
    s3_change_t *changes; /* of names, not durable, in order */
    size_t n_changes;
    size_t room_changes;
    s3_file_t *files;
    unsigned n_files;
};


typedef enum {
    S3_EVENT_AIO,
    S3_EVENT_ORPHAN, /* a write of a dead process */
    S3_EVENT_RUN,
    S3_EVENT_DONE,
    S3_EVENT_TIMER
} s3_event_kind_t;

typedef struct s3_simloop_s s3_simloop_t;

typedef struct {
    s3_event_kind_t kind;
    uint64_t due;
    uint64_t seq;
    s3_simloop_t *loop; /* ORPHAN: NULL */
    void *what;

    s3_inode_t *inode; /* ORPHAN */
    s3_memfs_t *m;
    uint8_t *buf;
    size_t len;
    uint64_t off;
    int dsync;
} s3_event_t;

struct s3_simloop_s {
    s3_loop_t loop;
    s3_sim_t *sim;
    s3_simloop_t *next;
    s3_defer_t *first;
    s3_defer_t *last;
    int64_t skew;
    int dead;
};

struct s3_sim_s {
    uint64_t state;
    uint64_t now;
    uint64_t seq;
    uint64_t ios;
    int stopped;
    int in_turn;
    int in_task;
    int verbose;
    uint64_t hung;         /* drives */
    unsigned slow;         /* how many times */
    s3_simloop_t *running; /* whose turn or task it is, or was */

    s3_memfs_t *drives[S3_SIM_DRIVES];
    unsigned n_drives;
    s3_simloop_t *loops;

    s3_event_t *events;
    size_t n_events;
    size_t room_events;

    struct {
        uint64_t io;
        s3_fault_t fault;
    } at[S3_SIM_FAULTS];
    unsigned n_at;

    struct {
        int drive;
        s3_fault_t fault;
        unsigned per_million;
    } rate[S3_SIM_FAULTS];
    unsigned n_rate;
};


/* One I/O: what is to go wrong with it. */
s3_fault_t s3_sim_io(s3_sim_t *sim, unsigned drive);

/* Writes of the dead to that file are carried out at once. */
void s3_sim_wait(s3_sim_t *sim, const s3_inode_t *inode);

void *s3_sim_need(void *p); /* aborts where memory is out */

/* Effects of one read or write, fault included. */
ssize_t s3_memfs_do_read(s3_file_t *f, void *buf, size_t len, uint64_t off);
int s3_memfs_do_write(s3_file_t *f, const void *buf, size_t len, uint64_t off,
                      int dsync);
void s3_memfs_put(s3_memfs_t *m, s3_inode_t *inode, const uint8_t *buf,
                  size_t len, uint64_t off, int dsync, unsigned percent);
void s3_inode_release(s3_inode_t *inode);
void s3_memfs_destroy(s3_memfs_t *m);

/* s3_memdisk.c */

void s3_memfs_abort(const char *what);
char *s3_memfs_strdup(const char *s);
void s3_inode_extend(s3_inode_t *inode, uint64_t end);
void s3_inode_sync(s3_inode_t *inode);
s3_name_t *s3_names_find(s3_names_t *t, const char *path);
void s3_names_remove(s3_names_t *t, s3_name_t *name);
void s3_names_set(s3_names_t *t, const char *path, s3_inode_t *inode);
void s3_names_clear(s3_names_t *t);
int s3_memfs_in_dir(const char *path, const char *dir);
int s3_names_has_parent(s3_names_t *t, const char *path);
void s3_change_free(s3_memfs_t *m, size_t i);
void s3_memfs_change(s3_memfs_t *m, const char *from, const char *to,
                     s3_inode_t *inode);
void s3_memfs_commit(s3_memfs_t *m, size_t i);

#endif /* S3_MEMFS_IMPL_H */
