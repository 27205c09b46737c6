
/*
 * s3_status, s3_metrics: the state of the node.
 *
 *   location /-/ { s3_status; s3_metrics; }
 *
 *       /-/          a page for people, which polls the other two
 *       /-/status    JSON
 *       /-/metrics   Prometheus text
 *
 *   location = /health { s3_status; }      JSON at just that place
 *
 * Any worker answers for the whole node: all that is shown lies in memory that
 * they share, and is read without a lock.
 */


#include "ngx_http_s3_module.h"
#include "ngx_http_s3_status.h"

#include "storage/s3_json.h"

#include "ngx_http_s3_page.h"


#define NGX_HTTP_S3_HASH_LEN  ngx_base64_encoded_length(S3_SHA256_LEN)


typedef enum {
    NGX_HTTP_S3_SHOW_PAGE,
    NGX_HTTP_S3_SHOW_JSON,
    NGX_HTTP_S3_SHOW_METRICS,
    NGX_HTTP_S3_SHOW_NOTHING
} ngx_http_s3_show_t;


static ngx_int_t ngx_http_s3_status_handler(ngx_http_request_t *r);
static ngx_http_s3_show_t ngx_http_s3_status_which(ngx_http_request_t *r,
    ngx_uint_t status);
static ngx_uint_t ngx_http_s3_status_loopback(ngx_http_request_t *r);
static ngx_int_t ngx_http_s3_status_header(ngx_http_request_t *r,
    const char *name, const char *value, size_t len);
static void ngx_http_s3_status_fault(char *text, uint32_t code, uint32_t err,
    ngx_int_t percent);
static ngx_chain_t *ngx_http_s3_status_json(ngx_http_request_t *r,
    ngx_s3_store_view_t *view);
static json_t *ngx_http_s3_status_drive(ngx_s3_store_view_t *view,
    ngx_uint_t drive);
static json_t *ngx_http_s3_status_text(const char *text);
static ngx_chain_t *ngx_http_s3_status_page(ngx_http_request_t *r);
static ngx_int_t ngx_http_s3_status_policy(ngx_http_request_t *r);
static ngx_int_t ngx_http_s3_status_hash(const char *tag, u_char *out);
static ngx_int_t ngx_http_s3_status_send(ngx_http_request_t *r,
    ngx_chain_t *out, const char *type, size_t len);
static ngx_chain_t *ngx_http_s3_status_chain(ngx_http_request_t *r,
    const void *data, size_t len);


/* as in s3_drive_state_t */

const char  *ngx_http_s3_state_names[NGX_HTTP_S3_STATES] = {
    "ok", "missing", "readonly", "full", "failing", "hung", "refilling"
};


/* what there is to say of a state that nobody has given a reason for */

static const s3_zfault_t  ngx_http_s3_state_faults[NGX_HTTP_S3_STATES] = {
    S3_ZFAULT_NONE, S3_ZFAULT_ABSENT, S3_ZFAULT_READONLY, S3_ZFAULT_FULL,
    S3_ZFAULT_UNKNOWN, S3_ZFAULT_HUNG, S3_ZFAULT_NEW
};


char *
ngx_http_s3_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_s3_loc_conf_t *slcf = conf;

    ngx_str_t                 *value;
    ngx_uint_t                 what, remote;
    ngx_http_core_loc_conf_t  *clcf;

    if (cmd->name.len == sizeof("s3_status") - 1) {
        what = NGX_HTTP_S3_STATUS_JSON;
        remote = NGX_HTTP_S3_STATUS_REMOTE;

    } else {
        what = NGX_HTTP_S3_STATUS_METRICS;
        remote = NGX_HTTP_S3_METRICS_REMOTE;
    }

    if (slcf->status & what) {
        return "is duplicate";
    }

    if (slcf->enable) {
        return "goes not with \"s3\" in one location";
    }

    slcf->status |= what;

    if (cf->args->nelts == 2) {
        value = cf->args->elts;

        if (ngx_strcmp(value[1].data, "remote") != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\", it must be "
                               "\"remote\"", &value[1]);
            return NGX_CONF_ERROR;
        }

        slcf->status |= remote;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    clcf->handler = ngx_http_s3_status_handler;

    return NGX_CONF_OK;
}


/* "if" and "limit_except" blocks */

void
ngx_http_s3_status_inherit(ngx_conf_t *cf, ngx_http_s3_loc_conf_t *prev,
    ngx_http_s3_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->noname && prev->status && clcf->handler == NULL) {
        conf->status = prev->status;
        clcf->handler = ngx_http_s3_status_handler;
    }
}


static ngx_int_t
ngx_http_s3_status_handler(ngx_http_request_t *r)
{
    size_t                   len;
    ngx_int_t                rc;
    ngx_uint_t               remote;
    const char              *type;
    ngx_chain_t             *out, *cl;
    ngx_http_s3_show_t       show;
    ngx_s3_store_view_t      view;
    ngx_http_s3_loc_conf_t  *slcf;

    slcf = ngx_http_get_module_loc_conf(r, ngx_http_s3_module);

    show = ngx_http_s3_status_which(r, slcf->status);

    remote = show == NGX_HTTP_S3_SHOW_METRICS ? NGX_HTTP_S3_METRICS_REMOTE
                                              : NGX_HTTP_S3_STATUS_REMOTE;

    if (!(slcf->status & remote) && !ngx_http_s3_status_loopback(r)) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "access forbidden: the status is for this machine, "
                      "unless its directive says \"remote\"");
        return NGX_HTTP_FORBIDDEN;
    }

    if (show == NGX_HTTP_S3_SHOW_NOTHING) {
        return NGX_HTTP_NOT_FOUND;
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        if (ngx_http_s3_status_header(r, "Allow", "GET, HEAD", 9) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_s3_store_view(&view) != NGX_OK) {
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    switch (show) {

    case NGX_HTTP_S3_SHOW_JSON:
        type = "application/json";
        out = ngx_http_s3_status_json(r, &view);
        break;

    case NGX_HTTP_S3_SHOW_METRICS:
        type = "text/plain; version=0.0.4; charset=utf-8";
        out = ngx_http_s3_metrics_text(r, &view);
        break;

    default:
        type = "text/html; charset=utf-8";
        out = ngx_http_s3_status_page(r);
    }

    if (out == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    len = 0;

    for (cl = out; cl != NULL; cl = cl->next) {
        len += ngx_buf_size(cl->buf);
    }

    return ngx_http_s3_status_send(r, out, type, len);
}


/* At a location's own name what it has; below it, by the last segment. */

static ngx_http_s3_show_t
ngx_http_s3_status_which(ngx_http_request_t *r, ngx_uint_t status)
{
    u_char                    *p, *last;
    size_t                     len;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    last = r->uri.data + r->uri.len;

    for (p = last; p > r->uri.data && p[-1] != '/'; p--) { /* void */ }

    len = last - p;

    if (len == sizeof("metrics") - 1 && (status & NGX_HTTP_S3_STATUS_METRICS)
        && ngx_strncmp(p, "metrics", len) == 0)
    {
        return NGX_HTTP_S3_SHOW_METRICS;
    }

    if (len == sizeof("status") - 1 && (status & NGX_HTTP_S3_STATUS_JSON)
        && ngx_strncmp(p, "status", len) == 0)
    {
        return NGX_HTTP_S3_SHOW_JSON;
    }

    if (clcf->exact_match
        || (len != 0 && clcf->name.len == r->uri.len
            && ngx_strncmp(clcf->name.data, r->uri.data, r->uri.len) == 0))
    {
        return (status & NGX_HTTP_S3_STATUS_JSON) ? NGX_HTTP_S3_SHOW_JSON
                                                  : NGX_HTTP_S3_SHOW_METRICS;
    }

    if (len == 0 && (status & NGX_HTTP_S3_STATUS_JSON)) {
        return NGX_HTTP_S3_SHOW_PAGE;
    }

    return NGX_HTTP_S3_SHOW_NOTHING;
}


static ngx_uint_t
ngx_http_s3_status_loopback(ngx_http_request_t *r)
{
    struct sockaddr      *sa;
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    u_char               *p;
    struct sockaddr_in6  *sin6;
#endif

    sa = r->connection->sockaddr;

    switch (sa->sa_family) {

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) sa;

        if (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)) {
            p = sin6->sin6_addr.s6_addr;
            return p[12] == 127;
        }

        return IN6_IS_ADDR_LOOPBACK(&sin6->sin6_addr);
#endif

#if (NGX_HAVE_UNIX_DOMAIN)
    case AF_UNIX:
        return 1;
#endif

    case AF_INET:
        sin = (struct sockaddr_in *) sa;
        return ntohl(sin->sin_addr.s_addr) >> 24 == 127;

    default:
        return 0;
    }
}


static ngx_int_t
ngx_http_s3_status_header(ngx_http_request_t *r, const char *name,
    const char *value, size_t len)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_s3_header_end(h);

    h->hash = 1;
    h->key.len = ngx_strlen(name);
    h->key.data = (u_char *) name;
    h->value.len = len;
    h->value.data = (u_char *) value;

    return NGX_OK;
}


void
ngx_http_s3_drive_status(ngx_s3_store_view_t *view, ngx_uint_t drive,
    ngx_http_s3_drive_status_t *st)
{
    int64_t                  pending;
    uint64_t                 n, total;
    uint32_t                 code, err;
    const s3_zdrive_t       *d;
    const s3_drive_stats_t  *stats;

#define ngx_http_s3_load(field)  __atomic_load_n(&(field), __ATOMIC_RELAXED)

    d = &view->zone->drives[drive];
    stats = &d->stats;

    ngx_memzero(st, sizeof(ngx_http_s3_drive_status_t));

    st->path = view->path[drive];
    st->state = s3_zone_state(d);

    if (st->state >= NGX_HTTP_S3_STATES) {
        st->state = S3_DRIVE_FAILING;
    }

    st->size = ngx_http_s3_load(d->bytes_total);
    n = ngx_http_s3_load(d->bytes_free);
    st->used = n < st->size ? st->size - n : 0;
    st->objects = ngx_http_s3_load(stats->objects);

    /* "worked" first: it never runs ahead of what is read after it */

    n = ngx_http_s3_load(stats->worked);
    pending = ngx_http_s3_load(stats->noted) - n;
    st->pending = ngx_max(pending, 0);

    st->repaired = ngx_http_s3_load(stats->repaired);
    st->corrupt = ngx_http_s3_load(stats->corrupt);
    st->errors = ngx_http_s3_load(d->errors);

    n = ngx_http_s3_load(stats->scrub_done);
    total = ngx_http_s3_load(stats->scrub_total);
    st->scrubbed = total ? (double) ngx_min(n, total) / (double) total : 0;

    st->refilled = 1;

    if (ngx_http_s3_load(d->refilling)) {
        n = ngx_http_s3_load(stats->refill_done);
        total = ngx_http_s3_load(stats->refill_total);

        /* the total is a guess, and more may come */

        st->refilled = total ? (double) n / (double) total : 0;
        st->refilled = ngx_min(st->refilled, 0.99);
    }

    code = ngx_http_s3_load(d->fault_code);
    err = ngx_http_s3_load(d->fault_errno);

    if (st->state == S3_DRIVE_MISSING && code == S3_ZFAULT_HUNG) {
        st->state = S3_DRIVE_HUNG;
    }

    if (code == S3_ZFAULT_NONE) {
        code = ngx_http_s3_state_faults[st->state];
        err = 0;

    } else if (st->state == S3_DRIVE_OK) {
        code = S3_ZFAULT_NONE;
        err = 0;
    }

    ngx_http_s3_status_fault(st->reason, code, err,
                             st->state == S3_DRIVE_REFILLING
                             ? (ngx_int_t) (st->refilled * 100) : -1);

    code = ngx_http_s3_load(d->last_code);
    err = ngx_http_s3_load(d->last_errno);

    ngx_http_s3_status_fault(st->last_error, code, err, -1);

#undef ngx_http_s3_load
}


/* percent: -1, there is none. */

static void
ngx_http_s3_status_fault(char *text, uint32_t code, uint32_t err,
    ngx_int_t percent)
{
    u_char  *p, *last;

    p = (u_char *) text;
    last = p + NGX_HTTP_S3_REASON_LEN - 1;

    p = ngx_slprintf(p, last, "%s", s3_zone_fault_text(code));

    if (percent >= 0) {
        p = ngx_slprintf(p, last, ": %i %%", percent);
    }

    if (code != S3_ZFAULT_NONE && err != 0) {
        p = ngx_slprintf(p, last, ": ");
        (void) ngx_strerror((ngx_err_t) err, p, last - p);
    }
}


static ngx_chain_t *
ngx_http_s3_status_json(ngx_http_request_t *r, ngx_s3_store_view_t *view)
{
    char         *text;
    size_t        len;
    json_t       *root, *drives;
    ngx_uint_t    i;
    ngx_chain_t  *out;

    drives = json_array();

    for (i = 0; i < view->zone->n; i++) {
        if (json_array_append_new(drives, ngx_http_s3_status_drive(view, i))
            != 0)
        {
            json_decref(drives);
            return NULL;
        }
    }

    /* takes the array, even where it fails */

    root = json_pack("{s:s, s:I, s:o}",
                     "version", NGX_HTTP_S3_VERSION,
                     "uptime_s", (json_int_t) view->uptime,
                     "drives", drives);

    if (root == NULL) {
        return NULL;
    }

    text = s3_json_text(root, JSON_INDENT(2)|JSON_REAL_PRECISION(6), 0, &len);

    json_decref(root);

    if (text == NULL) {
        return NULL;
    }

    out = ngx_http_s3_status_chain(r, text, len);

    free(text);

    return out;
}


static json_t *
ngx_http_s3_status_drive(ngx_s3_store_view_t *view, ngx_uint_t drive)
{
    ngx_http_s3_drive_status_t  st;

    ngx_http_s3_drive_status(view, drive, &st);

    return json_pack("{s:o, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:o}",
                     "path", ngx_http_s3_status_text(st.path),
                     "state", ngx_http_s3_state_names[st.state],
                     "reason", ngx_http_s3_status_text(st.reason),
                     "bytes_used", (json_int_t) st.used,
                     "bytes_total", (json_int_t) st.size,
                     "objects", (json_int_t) st.objects,
                     "repairs_pending", (json_int_t) st.pending,
                     "repairs_done", (json_int_t) st.repaired,
                     "corrupt_found", (json_int_t) st.corrupt,
                     "scrub_done_ratio", st.scrubbed,
                     "last_error", ngx_http_s3_status_text(st.last_error));
}


/* A path may be anything but UTF-8, which JSON has to be. */

static json_t *
ngx_http_s3_status_text(const char *text)
{
    char    *p, *copy;
    json_t  *value;

    value = json_string(text);

    if (value != NULL) {
        return value;
    }

    copy = strdup(text);
    if (copy == NULL) {
        return NULL;
    }

    for (p = copy; *p; p++) {
        if ((u_char) *p >= 0x80) {
            *p = '?';
        }
    }

    value = json_string(copy);

    free(copy);

    return value;
}


static ngx_chain_t *
ngx_http_s3_status_page(ngx_http_request_t *r)
{
    if (ngx_http_s3_status_policy(r) != NGX_OK) {
        return NULL;
    }

    return ngx_http_s3_status_chain(r, ngx_http_s3_page,
                                    sizeof(ngx_http_s3_page));
}


/*
 * The page has its script and its style inside; nothing else may run or be
 * loaded, even if something found its way in.
 */

static ngx_int_t
ngx_http_s3_status_policy(ngx_http_request_t *r)
{
    static size_t  len;
    static u_char  policy[512];

    u_char         script[NGX_HTTP_S3_HASH_LEN + 1];
    u_char         style[NGX_HTTP_S3_HASH_LEN + 1];

    if (len == 0) {
        if (ngx_http_s3_status_hash("script", script) != NGX_OK
            || ngx_http_s3_status_hash("style", style) != NGX_OK)
        {
            return NGX_ERROR;
        }

        len = ngx_snprintf(policy, sizeof(policy),
                           "default-src 'none'; script-src 'sha256-%s'; "
                           "style-src 'sha256-%s'; connect-src 'self'; "
                           "img-src data:; base-uri 'none'; "
                           "form-action 'none'; frame-ancestors 'none'",
                           script, style)
              - policy;
    }

    if (ngx_http_s3_status_header(r, "Content-Security-Policy",
                                  (char *) policy, len)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_s3_status_header(r, "Referrer-Policy", "no-referrer", 11);
}


/* What is between <tag> and </tag>, as a browser hashes it. */

static ngx_int_t
ngx_http_s3_status_hash(const char *tag, u_char *out)
{
    u_char       *begin, *end, name[16], digest[S3_SHA256_LEN];
    u_char       *page = (u_char *) ngx_http_s3_page;
    size_t        len;
    ngx_str_t     src, dst;
    s3_sha256_t   h;

    len = ngx_sprintf(name, "<%s>", tag) - name;
    begin = ngx_strlcasestrn(page, page + sizeof(ngx_http_s3_page), name,
                             len - 1);

    if (begin == NULL) {
        return NGX_ERROR;
    }

    begin += len;

    len = ngx_sprintf(name, "</%s>", tag) - name;
    end = ngx_strlcasestrn(begin, page + sizeof(ngx_http_s3_page), name,
                           len - 1);

    if (end == NULL) {
        return NGX_ERROR;
    }

    if (s3_sha256(&h, s3_str(begin, end - begin), digest) != S3_OK) {
        return NGX_ERROR;
    }

    src.data = digest;
    src.len = S3_SHA256_LEN;
    dst.data = out;

    ngx_encode_base64(&dst, &src);
    out[dst.len] = '\0';

    return NGX_OK;
}


static ngx_int_t
ngx_http_s3_status_send(ngx_http_request_t *r, ngx_chain_t *out,
    const char *type, size_t len)
{
    ngx_int_t  rc;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = len;
    r->headers_out.content_type.data = (u_char *) type;
    r->headers_out.content_type.len = ngx_strlen(type);
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    if (ngx_http_s3_status_header(r, "Cache-Control", "no-store", 8) != NGX_OK
        || ngx_http_s3_status_header(r, "X-Content-Type-Options", "nosniff",
                                     7)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, out);
}


static ngx_chain_t *
ngx_http_s3_status_chain(ngx_http_request_t *r, const void *data, size_t len)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    cl = ngx_alloc_chain_link(r->pool);
    b = ngx_create_temp_buf(r->pool, len);

    if (cl == NULL || b == NULL) {
        return NULL;
    }

    b->last = ngx_cpymem(b->last, data, len);
    b->last_buf = (r == r->main);
    b->last_in_chain = 1;

    cl->buf = b;
    cl->next = NULL;

    return cl;
}
