/*
 * The store itself over the drives that were given, the others missing; its
 * writes stay in memory.
 */

#ifndef S3CTL_STORE_H
#define S3CTL_STORE_H

#include "s3ctl/loop.h"
#include "s3ctl/s3ctl.h"
#include "storage/s3_bucket.h"
#include "storage/s3_node.h"
#include "storage/s3_store.h"

#pragma GCC visibility push(hidden)


#define S3CTL_PATIENCE 30 /* seconds in which nothing happens */

typedef struct {
    s3_fs_t *fs[S3_MAX_DRIVES]; /* by place; NULL: not given */
    s3_node_conf_t conf;
    s3_loop_t *loop;
    s3_node_t *node;
    s3_store_t *store;
    s3_buckets_t *buckets;
} s3ctl_store_t;

/* What a start would give.  To be closed in any case. */
int s3ctl_store_open(s3ctl_store_t *s, s3ctl_t *ctl, const s3_format_t *format);
void s3ctl_store_close(s3ctl_store_t *s);

#pragma GCC visibility pop

#endif /* S3CTL_STORE_H */
