
/*
 * Counters of requests, and everything that s3_status has, as Prometheus text
 * (https://prometheus.io/docs/instrumenting/exposition_formats/).
 *
 * Each process counts in memory of its own, which outlives it and is passed on
 * with its slot; who is asked adds up all of them.  So a request costs a few
 * additions in lines that no other processor writes, and two looks at a clock.
 */


#include "ngx_http_s3_module.h"
#include "ngx_http_s3_status.h"


#define NGX_HTTP_S3_METRICS_BUF      16384
#define NGX_HTTP_S3_METRICS_LINE     2048   /* a line without its labels */

#define NGX_HTTP_S3_METRICS_OPS      29
#define NGX_HTTP_S3_METRICS_OTHER    0
#define NGX_HTTP_S3_METRICS_CLASSES  5

/* 250 us, twice as much for each one after it, 32.768 s, more */
#define NGX_HTTP_S3_METRICS_LEAST    250
#define NGX_HTTP_S3_METRICS_BUCKETS  19


typedef struct {
    uint64_t                   requests[NGX_HTTP_S3_METRICS_CLASSES];
    uint64_t                   received;
    uint64_t                   sent;
    uint64_t                   us;
    uint64_t                   buckets[NGX_HTTP_S3_METRICS_BUCKETS];
} ngx_http_s3_op_counters_t;

typedef struct {
    ngx_http_s3_op_counters_t  ops[NGX_HTTP_S3_METRICS_OPS];
} ngx_http_s3_counters_t;

_Static_assert(sizeof(ngx_http_s3_counters_t) <= NGX_S3_COUNTERS,
               "counters are larger than their slot");


/* Text that grows by buffers. */

typedef struct {
    ngx_pool_t                *pool;
    ngx_chain_t               *first;
    ngx_chain_t               *last;
    ngx_uint_t                 failed;
} ngx_http_s3_text_t;


static ngx_int_t ngx_http_s3_metrics_log(ngx_http_request_t *r);
static ngx_uint_t ngx_http_s3_metrics_class(ngx_http_request_t *r);
static void ngx_http_s3_metrics_sum(ngx_s3_store_view_t *view,
    ngx_http_s3_counters_t *sum);
static void ngx_http_s3_metrics_node(ngx_http_s3_text_t *t,
    ngx_s3_store_view_t *view);
static void ngx_http_s3_metrics_drives(ngx_http_s3_text_t *t,
    ngx_http_request_t *r, ngx_s3_store_view_t *view);
static void ngx_http_s3_metrics_states(ngx_http_s3_text_t *t,
    ngx_http_s3_drive_status_t *st, ngx_str_t *labels, ngx_uint_t n);
static const char *ngx_http_s3_metrics_name(ngx_uint_t i);
static void ngx_http_s3_metrics_requests(ngx_http_s3_text_t *t,
    ngx_http_s3_counters_t *sum);
static void ngx_http_s3_metrics_durations(ngx_http_s3_text_t *t,
    ngx_http_s3_counters_t *sum);
static void ngx_http_s3_metrics_head(ngx_http_s3_text_t *t, const char *name,
    const char *type, const char *help);
static void ngx_http_s3_metrics_print(ngx_http_s3_text_t *t, size_t room,
    const char *fmt, ...);
static void ngx_http_s3_metrics_label(ngx_pool_t *pool, const char *value,
    ngx_str_t *out);


static const s3_op_t  ngx_http_s3_metrics_ops[NGX_HTTP_S3_METRICS_OPS] = {
    S3_OP_NONE,                    /* NGX_HTTP_S3_METRICS_OTHER */
    S3_OP_GET_OBJECT,
    S3_OP_HEAD_OBJECT,
    S3_OP_PUT_OBJECT,
    S3_OP_DELETE_OBJECT,
    S3_OP_DELETE_OBJECTS,
    S3_OP_LIST_OBJECTS_V2,
    S3_OP_LIST_OBJECTS,
    S3_OP_LIST_OBJECT_VERSIONS,
    S3_OP_UPLOAD_PART,
    S3_OP_UPLOAD_PART_COPY,
    S3_OP_CREATE_MULTIPART_UPLOAD,
    S3_OP_COMPLETE_MULTIPART_UPLOAD,
    S3_OP_ABORT_MULTIPART_UPLOAD,
    S3_OP_LIST_PARTS,
    S3_OP_LIST_MULTIPART_UPLOADS,
    S3_OP_COPY_OBJECT,
    S3_OP_GET_OBJECT_ATTRIBUTES,
    S3_OP_GET_OBJECT_TAGGING,
    S3_OP_PUT_OBJECT_TAGGING,
    S3_OP_DELETE_OBJECT_TAGGING,
    S3_OP_HEAD_BUCKET,
    S3_OP_LIST_BUCKETS,
    S3_OP_CREATE_BUCKET,
    S3_OP_DELETE_BUCKET,
    S3_OP_GET_BUCKET_LOCATION,
    S3_OP_GET_BUCKET_TAGGING,
    S3_OP_PUT_BUCKET_TAGGING,
    S3_OP_DELETE_BUCKET_TAGGING
};

static u_char  ngx_http_s3_metrics_index[S3_OP_MAX];

static const char  *ngx_http_s3_metrics_classes[NGX_HTTP_S3_METRICS_CLASSES] = {
    "2xx", "3xx", "4xx", "5xx", "other"
};


ngx_int_t
ngx_http_s3_metrics_init(ngx_conf_t *cf)
{
    ngx_uint_t                  i;
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    for (i = 0; i < NGX_HTTP_S3_METRICS_OPS; i++) {
        ngx_http_s3_metrics_index[ngx_http_s3_metrics_ops[i]] = (u_char) i;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_s3_metrics_log;

    return NGX_OK;
}


uint64_t
ngx_http_s3_metrics_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}


static ngx_inline void
ngx_http_s3_metrics_add(uint64_t *p, uint64_t n)
{
    /* nobody else writes it; a store, so that no reader sees half of it */

    __atomic_store_n(p, *p + n, __ATOMIC_RELAXED);
}


static ngx_int_t
ngx_http_s3_metrics_log(ngx_http_request_t *r)
{
    uint64_t                    us, q;
    ngx_uint_t                  bucket;
    ngx_http_s3_ctx_t          *s;
    ngx_http_s3_counters_t     *counters;
    ngx_http_s3_op_counters_t  *op;

    s = ngx_http_get_module_ctx(r, ngx_http_s3_module);

    if (s == NULL) {
        return NGX_OK;
    }

    counters = ngx_s3_store_counters();

    if (counters == NULL) {
        return NGX_OK;
    }

    op = &counters->ops[ngx_http_s3_metrics_index[s->route.op]];

    us = (ngx_http_s3_metrics_now() - s->began) / 1000;
    q = us ? (us - 1) / NGX_HTTP_S3_METRICS_LEAST : 0;
    bucket = q ? 64 - __builtin_clzll(q) : 0;
    bucket = ngx_min(bucket, NGX_HTTP_S3_METRICS_BUCKETS - 1);

    ngx_http_s3_metrics_add(&op->requests[ngx_http_s3_metrics_class(r)], 1);
    ngx_http_s3_metrics_add(&op->buckets[bucket], 1);
    ngx_http_s3_metrics_add(&op->us, us);
    ngx_http_s3_metrics_add(&op->received, r->request_length);
    ngx_http_s3_metrics_add(&op->sent, r->connection->sent);

    return NGX_OK;
}


static ngx_uint_t
ngx_http_s3_metrics_class(ngx_http_request_t *r)
{
    ngx_uint_t  status;

    status = r->err_status ? r->err_status : r->headers_out.status;

    return (status >= 200 && status < 600) ? status / 100 - 2
                                           : NGX_HTTP_S3_METRICS_CLASSES - 1;
}


static void
ngx_http_s3_metrics_sum(ngx_s3_store_view_t *view, ngx_http_s3_counters_t *sum)
{
    uint64_t        *to;
    ngx_uint_t       slot, i;
    const uint64_t  *from;

    ngx_memzero(sum, sizeof(ngx_http_s3_counters_t));

    to = (uint64_t *) sum;

    for (slot = 0; slot < NGX_S3_COUNTERS_SLOTS; slot++) {
        from = (const uint64_t *) (view->counters + slot * NGX_S3_COUNTERS);

        for (i = 0; i < sizeof(ngx_http_s3_counters_t) / 8; i++) {
            to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
        }
    }
}


ngx_chain_t *
ngx_http_s3_metrics_text(ngx_http_request_t *r, ngx_s3_store_view_t *view)
{
    ngx_http_s3_text_t       t;
    ngx_http_s3_counters_t  *sum;

    sum = ngx_palloc(r->pool, sizeof(ngx_http_s3_counters_t));
    if (sum == NULL) {
        return NULL;
    }

    ngx_http_s3_metrics_sum(view, sum);

    ngx_memzero(&t, sizeof(ngx_http_s3_text_t));
    t.pool = r->pool;

    ngx_http_s3_metrics_node(&t, view);
    ngx_http_s3_metrics_drives(&t, r, view);
    ngx_http_s3_metrics_requests(&t, sum);
    ngx_http_s3_metrics_durations(&t, sum);

    if (t.failed) {
        return NULL;
    }

    t.last->buf->last_buf = (r == r->main);
    t.last->buf->last_in_chain = 1;

    return t.first;
}


static void
ngx_http_s3_metrics_node(ngx_http_s3_text_t *t, ngx_s3_store_view_t *view)
{
    ngx_http_s3_metrics_head(t, "s3_build_info", "gauge",
                             "Always 1; the version is a label.");
    ngx_http_s3_metrics_print(t, 0, "s3_build_info{version=\"%s\"} 1\n",
                              NGX_HTTP_S3_VERSION);

    ngx_http_s3_metrics_head(t, "s3_uptime_seconds", "gauge",
                             "Since the store was started.");
    ngx_http_s3_metrics_print(t, 0, "s3_uptime_seconds %uL\n", view->uptime);
}


static void
ngx_http_s3_metrics_drives(ngx_http_s3_text_t *t, ngx_http_request_t *r,
    ngx_s3_store_view_t *view)
{
    uint64_t                    *value;
    ngx_str_t                   *labels, path;
    ngx_uint_t                   i, j, n;
    ngx_http_s3_drive_status_t  *st;

    static const struct {
        const char              *name;
        const char              *type;
        const char              *help;
        size_t                   offset;
        ngx_uint_t               ratio;
    } fields[] = {
        { "s3_drive_used_bytes", "gauge",
          "Used on the drive's file system.",
          offsetof(ngx_http_s3_drive_status_t, used), 0 },
        { "s3_drive_size_bytes", "gauge",
          "Size of the drive's file system.",
          offsetof(ngx_http_s3_drive_status_t, size), 0 },
        { "s3_drive_objects", "gauge",
          "Live objects with a record on the drive, when last counted.",
          offsetof(ngx_http_s3_drive_status_t, objects), 0 },
        { "s3_drive_repairs_pending", "gauge",
          "Keys noted as missed by the drive and not yet repaired.",
          offsetof(ngx_http_s3_drive_status_t, pending), 0 },
        { "s3_drive_repairs_done_total", "counter",
          "Keys brought to the drive and shards made anew on it.",
          offsetof(ngx_http_s3_drive_status_t, repaired), 0 },
        { "s3_drive_corrupt_found_total", "counter",
          "Records and shards found damaged or missing on the drive.",
          offsetof(ngx_http_s3_drive_status_t, corrupt), 0 },
        { "s3_drive_errors_total", "counter",
          "Failed operations of the drive.",
          offsetof(ngx_http_s3_drive_status_t, errors), 0 },
        { "s3_drive_scrub_done_ratio", "gauge",
          "Part of the drive that the present or last scrub has read.",
          offsetof(ngx_http_s3_drive_status_t, scrubbed), 1 },
        { "s3_drive_refill_done_ratio", "gauge",
          "Part of a new drive that is filled, about; 1 of any other.",
          offsetof(ngx_http_s3_drive_status_t, refilled), 1 }
    };

    n = view->zone->n;

    st = ngx_palloc(r->pool, n * sizeof(ngx_http_s3_drive_status_t));
    labels = ngx_palloc(r->pool, n * sizeof(ngx_str_t));

    if (st == NULL || labels == NULL) {
        t->failed = 1;
        return;
    }

    for (i = 0; i < n; i++) {
        ngx_http_s3_drive_status(view, i, &st[i]);

        ngx_http_s3_metrics_label(r->pool, st[i].path, &path);

        labels[i].data = ngx_pnalloc(r->pool, path.len + 64);

        if (path.data == NULL || labels[i].data == NULL) {
            t->failed = 1;
            return;
        }

        labels[i].len = ngx_sprintf(labels[i].data, "drive=\"%ui\",path=\"%V\"",
                                    i + 1, &path)
                        - labels[i].data;
    }

    ngx_http_s3_metrics_states(t, st, labels, n);

    for (j = 0; j < sizeof(fields) / sizeof(fields[0]); j++) {
        ngx_http_s3_metrics_head(t, fields[j].name, fields[j].type,
                                 fields[j].help);

        for (i = 0; i < n; i++) {
            value = (uint64_t *) ((u_char *) &st[i] + fields[j].offset);

            if (fields[j].ratio) {
                ngx_http_s3_metrics_print(t, labels[i].len, "%s{%V} %.6f\n",
                                          fields[j].name, &labels[i],
                                          *(double *) value);

            } else {
                ngx_http_s3_metrics_print(t, labels[i].len, "%s{%V} %uL\n",
                                          fields[j].name, &labels[i], *value);
            }
        }
    }
}


static void
ngx_http_s3_metrics_states(ngx_http_s3_text_t *t,
    ngx_http_s3_drive_status_t *st, ngx_str_t *labels, ngx_uint_t n)
{
    ngx_str_t   reason, last;
    ngx_uint_t  i, state;

    ngx_http_s3_metrics_head(t, "s3_drive_state", "gauge",
                             "1 for the state that the drive is in.");

    for (i = 0; i < n; i++) {
        for (state = 0; state < NGX_HTTP_S3_STATES; state++) {
            ngx_http_s3_metrics_print(t, labels[i].len,
                                      "s3_drive_state{%V,state=\"%s\"} %d\n",
                                      &labels[i],
                                      ngx_http_s3_state_names[state],
                                      st[i].state == state);
        }
    }

    ngx_http_s3_metrics_head(t, "s3_drive_fault_info", "gauge",
                             "Always 1; why the drive is in its state, and "
                             "what last went wrong with it, are labels.");

    for (i = 0; i < n; i++) {
        ngx_http_s3_metrics_label(t->pool, st[i].reason, &reason);
        ngx_http_s3_metrics_label(t->pool, st[i].last_error, &last);

        ngx_http_s3_metrics_print(t, labels[i].len,
                                  "s3_drive_fault_info{%V,reason=\"%V\","
                                  "last_error=\"%V\"} 1\n",
                                  &labels[i], &reason, &last);
    }
}


static const char *
ngx_http_s3_metrics_name(ngx_uint_t i)
{
    return i == NGX_HTTP_S3_METRICS_OTHER
           ? "other" : s3_op_info(ngx_http_s3_metrics_ops[i])->name;
}


static void
ngx_http_s3_metrics_requests(ngx_http_s3_text_t *t,
    ngx_http_s3_counters_t *sum)
{
    ngx_uint_t  i, class;

    ngx_http_s3_metrics_head(t, "s3_requests_total", "counter",
                             "Requests by operation and class of status.");

    for (i = 0; i < NGX_HTTP_S3_METRICS_OPS; i++) {
        for (class = 0; class < NGX_HTTP_S3_METRICS_CLASSES; class++) {
            ngx_http_s3_metrics_print(t, 0,
                                      "s3_requests_total{operation=\"%s\","
                                      "status=\"%s\"} %uL\n",
                                      ngx_http_s3_metrics_name(i),
                                      ngx_http_s3_metrics_classes[class],
                                      sum->ops[i].requests[class]);
        }
    }

    ngx_http_s3_metrics_head(t, "s3_request_received_bytes_total", "counter",
                             "Bytes of requests, with their headers.");

    for (i = 0; i < NGX_HTTP_S3_METRICS_OPS; i++) {
        ngx_http_s3_metrics_print(t, 0,
                                  "s3_request_received_bytes_total"
                                  "{operation=\"%s\"} %uL\n",
                                  ngx_http_s3_metrics_name(i),
                                  sum->ops[i].received);
    }

    ngx_http_s3_metrics_head(t, "s3_response_sent_bytes_total", "counter",
                             "Bytes of responses, with their headers.");

    for (i = 0; i < NGX_HTTP_S3_METRICS_OPS; i++) {
        ngx_http_s3_metrics_print(t, 0,
                                  "s3_response_sent_bytes_total"
                                  "{operation=\"%s\"} %uL\n",
                                  ngx_http_s3_metrics_name(i),
                                  sum->ops[i].sent);
    }
}


static void
ngx_http_s3_metrics_durations(ngx_http_s3_text_t *t,
    ngx_http_s3_counters_t *sum)
{
    uint64_t                    n, least;
    ngx_uint_t                  i, j;
    const char                 *name;
    ngx_http_s3_op_counters_t  *op;

    ngx_http_s3_metrics_head(t, "s3_request_duration_seconds", "histogram",
                             "From the headers of a request to the end of its "
                             "response, for operations that were used.");

    for (i = 0; i < NGX_HTTP_S3_METRICS_OPS; i++) {
        op = &sum->ops[i];
        name = ngx_http_s3_metrics_name(i);
        least = NGX_HTTP_S3_METRICS_LEAST;
        n = 0;

        for (j = 0; j < NGX_HTTP_S3_METRICS_BUCKETS; j++) {
            n += op->buckets[j];
        }

        if (n == 0) {
            continue;
        }

        n = 0;

        for (j = 0; j < NGX_HTTP_S3_METRICS_BUCKETS - 1; j++) {
            n += op->buckets[j];

            ngx_http_s3_metrics_print(t, 0,
                                      "s3_request_duration_seconds_bucket"
                                      "{operation=\"%s\",le=\"%uL.%06uL\"} "
                                      "%uL\n",
                                      name, least / 1000000, least % 1000000,
                                      n);
            least *= 2;
        }

        n += op->buckets[j];

        ngx_http_s3_metrics_print(t, 0,
                                  "s3_request_duration_seconds_bucket"
                                  "{operation=\"%s\",le=\"+Inf\"} %uL\n"
                                  "s3_request_duration_seconds_sum"
                                  "{operation=\"%s\"} %uL.%06uL\n"
                                  "s3_request_duration_seconds_count"
                                  "{operation=\"%s\"} %uL\n",
                                  name, n, name, op->us / 1000000,
                                  op->us % 1000000, name, n);
    }
}


static void
ngx_http_s3_metrics_head(ngx_http_s3_text_t *t, const char *name,
    const char *type, const char *help)
{
    ngx_http_s3_metrics_print(t, 0, "# HELP %s %s\n# TYPE %s %s\n", name, help,
                              name, type);
}


/* room: of what is longer than NGX_HTTP_S3_METRICS_LINE leaves place for */

static void
ngx_http_s3_metrics_print(ngx_http_s3_text_t *t, size_t room, const char *fmt,
    ...)
{
    size_t        need;
    va_list       args;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    need = room + NGX_HTTP_S3_METRICS_LINE;

    if (t->failed) {
        return;
    }

    if (t->last == NULL
        || (size_t) (t->last->buf->end - t->last->buf->last) < need)
    {
        cl = ngx_alloc_chain_link(t->pool);
        b = ngx_create_temp_buf(t->pool,
                                ngx_max(need, NGX_HTTP_S3_METRICS_BUF));

        if (cl == NULL || b == NULL) {
            t->failed = 1;
            return;
        }

        cl->buf = b;
        cl->next = NULL;

        if (t->last == NULL) {
            t->first = cl;

        } else {
            t->last->next = cl;
        }

        t->last = cl;
    }

    b = t->last->buf;

    va_start(args, fmt);
    b->last = ngx_vslprintf(b->last, b->end, fmt, args);
    va_end(args);
}


/* A label's value, escaped; data NULL: no memory. */

static void
ngx_http_s3_metrics_label(ngx_pool_t *pool, const char *value, ngx_str_t *out)
{
    u_char      *p;
    size_t       len;
    ngx_uint_t   utf8;

    len = ngx_strlen(value);

    /* what is not UTF-8 has as many characters as bytes */

    utf8 = ngx_utf8_length((u_char *) value, len) < len;

    out->len = 0;
    out->data = ngx_pnalloc(pool, 2 * len + 1);

    if (out->data == NULL) {
        return;
    }

    for (p = out->data; *value; value++) {

        switch (*value) {

        case '\n':
            *p++ = '\\';
            *p++ = 'n';
            break;

        case '\\':
        case '"':
            *p++ = '\\';
            *p++ = *value;
            break;

        default:
            *p++ = (!utf8 && (u_char) *value >= 0x80) ? '?' : *value;
        }
    }

    out->len = p - out->data;
}
