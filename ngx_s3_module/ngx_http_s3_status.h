
/*
 * The state of the node for people and monitoring: what JSON, page and
 * Prometheus text share.
 */

#ifndef _NGX_HTTP_S3_STATUS_H_INCLUDED_
#define _NGX_HTTP_S3_STATUS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#pragma GCC visibility push(hidden)


#define NGX_HTTP_S3_VERSION         "0.2.0"

/* ngx_http_s3_loc_conf_t.status */

#define NGX_HTTP_S3_STATUS_JSON     1
#define NGX_HTTP_S3_STATUS_METRICS  2
#define NGX_HTTP_S3_STATUS_REMOTE   4    /* not from loopback alone: JSON */
#define NGX_HTTP_S3_METRICS_REMOTE  8

#define NGX_HTTP_S3_STATES          7
#define NGX_HTTP_S3_REASON_LEN      160


/* One drive, as it is shown.  Strings end with a NUL. */

typedef struct {
    const char                *path;      /* bytes of the file system's */
    ngx_uint_t                 state;     /* s3_drive_state_t */
    uint64_t                   used;      /* bytes of its file system */
    uint64_t                   size;
    uint64_t                   objects;
    uint64_t                   pending;
    uint64_t                   repaired;
    uint64_t                   corrupt;
    uint64_t                   errors;
    double                     scrubbed;  /* 0 to 1 */
    double                     refilled;  /* 1, where it is not new */
    char                       reason[NGX_HTTP_S3_REASON_LEN];
    char                       last_error[NGX_HTTP_S3_REASON_LEN];
} ngx_http_s3_drive_status_t;


extern const char  *ngx_http_s3_state_names[NGX_HTTP_S3_STATES];

void ngx_http_s3_drive_status(ngx_s3_store_view_t *view, ngx_uint_t drive,
    ngx_http_s3_drive_status_t *st);

/* The node as Prometheus text: a chain, its last buffer marked; NULL: no
 * memory. */
ngx_chain_t *ngx_http_s3_metrics_text(ngx_http_request_t *r,
    ngx_s3_store_view_t *view);


#pragma GCC visibility pop

#endif /* _NGX_HTTP_S3_STATUS_H_INCLUDED_ */
