/*
 * Inside of fs.h: nodes are files in memory, base is the drive's directory.
 */

#ifndef S3CTL_FS_INT_H
#define S3CTL_FS_INT_H

#include "s3ctl/fs.h"

#pragma GCC visibility push(hidden)


typedef struct s3ctl_node_s s3ctl_node_t;

/* A file in memory; gone: there is none of that name, whatever the drive
 * has. */

struct s3ctl_node_s {
    s3ctl_node_t *next;
    uint8_t *data;
    size_t size;
    size_t room;
    unsigned refs; /* files, and its name */
    unsigned gone : 1;
    char path[];
};

struct s3_file_s {
    s3ctl_node_t *node; /* or, where NULL: */
    int fd;
};

typedef struct {
    s3_fs_t fs;
    int dir;
    s3ctl_node_t *nodes;
} s3ctl_fs_t;


/* An errno of a call with a path. */
int s3ctl_fs_error(int err);

/* Where the node of that name hangs, or NULL. */
s3ctl_node_t **s3ctl_node_find(s3ctl_fs_t *p, const char *path);

/* A new one takes the name; NULL: out of memory. */
s3ctl_node_t *s3ctl_node_new(s3ctl_fs_t *p, const char *path);
void s3ctl_node_put(s3ctl_node_t *node);
int s3ctl_node_size(s3ctl_node_t *node, uint64_t size);

/* Regular files of the drive, nothing that a link leads to. */
int s3ctl_base_open(s3ctl_fs_t *p, const char *path, int *fd);
ssize_t s3ctl_base_pread(int fd, void *buf, size_t len, uint64_t off);

/* A file of the drive becomes one in memory, as `to`. */
int s3ctl_base_copy(s3ctl_fs_t *p, int fd, const char *to);

/* As s3_fs_t's list(); the callback may remove what it is told of. */
int s3ctl_list(s3_fs_t *fs, const char *path,
               int (*cb)(void *ctx, const char *name), void *ctx);

#pragma GCC visibility pop

#endif /* S3CTL_FS_INT_H */
