/*
 * What the node's files share: s3_node.c, s3_node_return.c,
 * s3_node_refill.c.
 */

#ifndef S3_NODE_INT_H
#define S3_NODE_INT_H

#include "storage/s3_node.h"
#include "storage/s3_local.h"

#pragma GCC visibility push(hidden)


typedef struct {
    s3_node_t *node;
    unsigned slot; /* being settled, where left > 0 */
    unsigned left;
} s3_node_settle_t;


struct s3_node_s {
    s3_zone_t *zone;
    s3_loop_t *loop;
    unsigned n;
    unsigned slot;
    unsigned parity;
    int64_t pid;
    int (*alive)(void *ctx, int64_t pid);
    void *ctx;
    s3_timer_t tick;
    unsigned ticks;
    unsigned quiet : 1;
    unsigned named : 1; /* conf.named was told, or there was no need */
    void (*tell)(void *ctx, const uint8_t id[16]);
    unsigned returning; /* drives coming back */
    uint32_t filled;    /* drives whose format.json is being written */
    unsigned settling;
    s3_node_settle_t settle[S3_ZONE_PROCS];
    s3_local_t *locals[S3_MAX_DRIVES];
};


/* Before anything is opened on a drive: which store is it? */
void s3_node_name(s3_node_t *node);

#pragma GCC visibility pop

#endif /* S3_NODE_INT_H */
