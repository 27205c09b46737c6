
/*
 * The store's configuration; see ngx_s3_store.h.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_s3_instance.h"


#define NGX_S3_STORE_ZONE     (64 * 1024 * 1024)
#define NGX_S3_STORE_GROUPS   8
#define NGX_S3_STORE_MEMORY   (8 * ngx_pagesize)


typedef struct {
    u_char     *begin;        /* of "{...}" */
    u_char     *end;
    ngx_int_t   from;
    ngx_int_t   to;
    ngx_int_t   value;
    size_t      width;        /* zero padded to this */
} ngx_s3_store_group_t;


typedef struct {
    ngx_cycle_t          *cycle;
    ngx_s3_store_conf_t  *conf;
} ngx_s3_store_opener_t;


static char *ngx_s3_store_parse_group(ngx_s3_store_group_t *group, u_char *p,
    u_char *last);
static u_char *ngx_s3_store_number(u_char *dst, ngx_int_t value, size_t width);
static char *ngx_s3_store_add_drive(ngx_conf_t *cf, ngx_str_t *name,
    ngx_array_t *paths);
static ngx_int_t ngx_s3_store_init_zone(ngx_shm_zone_t *zone, void *data);


/* the address tells this zone from all others */

static ngx_uint_t  ngx_s3_store_tag;


ngx_uint_t
ngx_s3_store_parity(ngx_uint_t drives, ngx_uint_t storage_class)
{
    ngx_uint_t  m;

    if (drives < 2) {
        return 0;
    }

    m = (drives < 8) ? drives / 2 : 4;

    if (storage_class != 0 && m > 1) {
        m--;
    }

    return m;
}


char *
ngx_s3_store_expand_drives(ngx_conf_t *cf, ngx_str_t *arg, ngx_array_t *paths)
{
    char                  *rv;
    u_char                *p, *last, *dst;
    size_t                 len;
    ngx_str_t              name;
    ngx_uint_t             i, n;
    ngx_s3_store_group_t   groups[NGX_S3_STORE_GROUPS], *g;

    n = 0;
    last = arg->data + arg->len;

    for (p = arg->data; p < last; p++) {

        if (*p == '}') {
            return "has \"}\" without \"{\"";
        }

        if (*p == '\0') {
            return "has a zero byte";
        }

        if (*p != '{') {
            continue;
        }

        if (n == NGX_S3_STORE_GROUPS) {
            return "has too many groups \"{...}\"";
        }

        rv = ngx_s3_store_parse_group(&groups[n], p, last);
        if (rv != NGX_CONF_OK) {
            return rv;
        }

        p = groups[n++].end - 1;
    }

    len = arg->len + n * NGX_INT_T_LEN;

    for ( ;; ) {

        name.data = ngx_pnalloc(cf->pool, len + 1);
        if (name.data == NULL) {
            return NGX_CONF_ERROR;
        }

        dst = name.data;
        p = arg->data;

        for (i = 0; i < n; i++) {
            g = &groups[i];

            dst = ngx_cpymem(dst, p, g->begin - p);
            dst = ngx_s3_store_number(dst, g->value, g->width);
            p = g->end;
        }

        dst = ngx_cpymem(dst, p, last - p);
        *dst = '\0';

        name.len = dst - name.data;

        rv = ngx_s3_store_add_drive(cf, &name, paths);
        if (rv != NGX_CONF_OK) {
            return rv;
        }

        /* the next one: as an odometer does */

        for (i = n; i > 0; i--) {
            g = &groups[i - 1];

            if (g->value < g->to) {
                g->value++;
                break;
            }

            g->value = g->from;
        }

        if (i == 0) {
            return NGX_CONF_OK;
        }
    }
}


static char *
ngx_s3_store_parse_group(ngx_s3_store_group_t *group, u_char *p, u_char *last)
{
    u_char     *from, *to, *dots, *end;
    ngx_int_t   width;

    static char  invalid[] = "has an invalid group, it must be \"{1...8}\"";

    from = p + 1;

    end = ngx_strlchr(p, last, '}');
    if (end == NULL) {
        return "has \"{\" without \"}\"";
    }

    dots = ngx_strlchr(from, end, '.');

    if (dots == NULL || end - dots < 4 || ngx_strncmp(dots, "...", 3) != 0) {
        return invalid;
    }

    to = dots + 3;

    /* ngx_atoi() takes digits alone */

    group->from = ngx_atoi(from, dots - from);
    group->to = ngx_atoi(to, end - to);

    if (group->from == NGX_ERROR || group->to == NGX_ERROR
        || dots - from > 9 || end - to > 9)
    {
        return invalid;
    }

    if (group->from > group->to) {
        return "has a group that counts downwards";
    }

    if (group->to - group->from >= S3_MAX_DRIVES) {
        return "names more than 32 drives";
    }

    width = (*from == '0' && dots - from > 1) ? dots - from : 0;

    if ((width && width != end - to)
        || (width == 0 && *to == '0' && end - to > 1))
    {
        return invalid;
    }

    group->begin = p;
    group->end = end + 1;
    group->value = group->from;
    group->width = width;

    return NGX_CONF_OK;
}


static u_char *
ngx_s3_store_number(u_char *dst, ngx_int_t value, size_t width)
{
    size_t   len;
    u_char   buf[NGX_INT_T_LEN];

    len = ngx_sprintf(buf, "%i", value) - buf;

    for ( /* void */ ; width > len; width--) {
        *dst++ = '0';
    }

    return ngx_cpymem(dst, buf, len);
}


static char *
ngx_s3_store_add_drive(ngx_conf_t *cf, ngx_str_t *name, ngx_array_t *paths)
{
    ngx_str_t   *path, *other;
    ngx_uint_t   i;

    if (name->len == 0) {
        return "is empty";
    }

    if (ngx_conf_full_name(cf->cycle, name, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    while (name->len > 1 && name->data[name->len - 1] == '/') {
        name->len--;
    }

    name->data[name->len] = '\0';

    /* room for the names within */

    if (name->len > NGX_MAX_PATH - 64) {
        return "is too long";
    }

    if (paths->nelts == S3_MAX_DRIVES) {
        return "names more than 32 drives";
    }

    other = paths->elts;

    for (i = 0; i < paths->nelts; i++) {
        if (name->len == other[i].len
            && ngx_strncmp(name->data, other[i].data, name->len) == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate drive \"%V\"", name);
            return NGX_CONF_ERROR;
        }
    }

    path = ngx_array_push(paths);
    if (path == NULL) {
        return NGX_CONF_ERROR;
    }

    *path = *name;

    return NGX_CONF_OK;
}


char *
ngx_s3_store_configure(ngx_conf_t *cf, ngx_s3_store_conf_t *conf)
{
    size_t                  min;
    ngx_str_t               name;
    ngx_uint_t              i;
    ngx_shm_zone_t         *zone;
    ngx_s3_store_opener_t  *opener;

    if (conf->paths == NULL || conf->paths->nelts == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "s3: no drives are given");
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < S3_CLASSES; i++) {

        if (conf->parity[i] == NGX_CONF_UNSET_UINT) {
            conf->parity[i] = ngx_s3_store_parity(conf->paths->nelts, i);
        }

        if (conf->parity[i] > conf->paths->nelts / 2) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "s3: parity %ui is too much for %ui drives: "
                               "at most half of them may be parity",
                               conf->parity[i], conf->paths->nelts);
            return NGX_CONF_ERROR;
        }
    }

    if (conf->parity[0] == 0 && conf->paths->nelts > 1) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "s3: parity is 0: the loss of one drive loses "
                           "objects");
    }

    if (conf->node == 0) {
        conf->node = 1;
    }

    if (conf->threads == 0) {
        conf->threads = 3;
    }

    if (conf->threads > 16) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "s3: at most 16 threads a drive");
        return NGX_CONF_ERROR;
    }

    if (conf->aio_depth == 0) {
        conf->aio_depth = 256;
    }

    if (conf->hedge == 0) {
        conf->hedge = 1000;
    }

    if (conf->segment_size == 0) {
        conf->segment_size = S3_SEGMENT_SIZE;
    }

    if (conf->segment_size % S3_SECTOR
        || conf->segment_size < 1024 * 1024
        || conf->segment_size > 1024 * 1024 * 1024)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "s3: segment size must be 1m to 1g and a multiple "
                           "of 4k");
        return NGX_CONF_ERROR;
    }

    min = s3_node_zone_min(conf->paths->nelts, 0) + NGX_S3_SHARED_SIZE;

    if (conf->zone_size == 0) {
        conf->zone_size = ngx_max(2 * min, NGX_S3_STORE_ZONE);
    }

    if (conf->zone_size < min) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "s3: zone is too small for %ui drives: at least "
                           "%uzk", conf->paths->nelts, (min + 1023) / 1024);
        return NGX_CONF_ERROR;
    }

    conf->zone_size = ngx_align(conf->zone_size, S3_SECTOR);

    if (ngx_s3_instance_check(conf, cf->log) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    /*
     * nginx initializes its zones when all has been read and before it takes
     * the new configuration into force: a failure there leaves the old one.
     */

    opener = ngx_palloc(cf->pool, sizeof(ngx_s3_store_opener_t));
    if (opener == NULL) {
        return NGX_CONF_ERROR;
    }

    opener->cycle = cf->cycle;
    opener->conf = conf;

    ngx_str_set(&name, "ngx_s3_store");

    zone = ngx_shared_memory_add(cf, &name, NGX_S3_STORE_MEMORY,
                                 &ngx_s3_store_tag);
    if (zone == NULL) {
        return NGX_CONF_ERROR;
    }

    zone->init = ngx_s3_store_init_zone;
    zone->data = opener;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_s3_store_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_s3_store_opener_t  *opener = zone->data;

    (void) data;

    return ngx_s3_instance_open(opener->cycle, opener->conf);
}
