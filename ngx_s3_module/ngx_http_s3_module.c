
/*
 * Directives, configuration and the life cycle of the module.
 */


#include "ngx_http_s3_module.h"


static void *ngx_http_s3_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_s3_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_s3_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_s3_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_s3_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_s3_init_process(ngx_cycle_t *cycle);
static void ngx_http_s3_exit_process(ngx_cycle_t *cycle);
static void ngx_http_s3_exit_master(ngx_cycle_t *cycle);
static char *ngx_http_s3(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_s3_drives(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_s3_parity(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_s3_class(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_s3_scrub_period(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_s3_domain(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_http_s3_make_owner(ngx_conf_t *cf,
    ngx_http_s3_loc_conf_t *conf);


static s3_buckets_t      *ngx_http_s3_bucket_cache;
static s3_sigv4_cache_t  *ngx_http_s3_key_cache;


static ngx_conf_enum_t  ngx_http_s3_etags[] = {
    { ngx_string("md5"), NGX_HTTP_S3_ETAG_MD5 },
    { ngx_string("unique"), NGX_HTTP_S3_ETAG_UNIQUE },
    { ngx_null_string, 0 }
};


static ngx_command_t  ngx_http_s3_commands[] = {

    { ngx_string("s3"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_s3,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("s3_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_s3_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("s3_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_s3_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("s3_drives"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_s3_drives,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("s3_parity"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_s3_parity,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("s3_storage_class"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_http_s3_class,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("s3_zone_size"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_s3_main_conf_t, store.zone_size),
      NULL },

    { ngx_string("s3_log_segment"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_s3_main_conf_t, store.segment_size),
      NULL },

    { ngx_string("s3_threads"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_s3_main_conf_t, store.threads),
      NULL },

    { ngx_string("s3_aio_depth"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_s3_main_conf_t, store.aio_depth),
      NULL },

    { ngx_string("s3_hedge"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_s3_main_conf_t, store.hedge),
      NULL },

    { ngx_string("s3_scrub_period"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_s3_scrub_period,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("s3_credentials"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_s3_credentials,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_s3_loc_conf_t, credentials),
      NULL },

    { ngx_string("s3_region"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_s3_loc_conf_t, region),
      NULL },

    { ngx_string("s3_domain"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_s3_domain,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("s3_etag"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_s3_loc_conf_t, etag),
      &ngx_http_s3_etags },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_s3_module_ctx = {
    ngx_http_s3_add_variables,             /* preconfiguration */
    ngx_http_s3_metrics_init,              /* postconfiguration */

    ngx_http_s3_create_main_conf,          /* create main configuration */
    ngx_http_s3_init_main_conf,            /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_s3_create_loc_conf,           /* create location configuration */
    ngx_http_s3_merge_loc_conf             /* merge location configuration */
};


#pragma GCC visibility push(default)

ngx_module_t  ngx_http_s3_module = {
    NGX_MODULE_V1,
    &ngx_http_s3_module_ctx,               /* module context */
    ngx_http_s3_commands,                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_s3_init_module,               /* init module */
    ngx_http_s3_init_process,              /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_s3_exit_process,              /* exit process */
    ngx_http_s3_exit_master,               /* exit master */
    NGX_MODULE_V1_PADDING
};

#pragma GCC visibility pop


s3_buckets_t *
ngx_http_s3_buckets(void)
{
    return ngx_http_s3_bucket_cache;
}


s3_sigv4_cache_t *
ngx_http_s3_keys(void)
{
    return ngx_http_s3_key_cache;
}


static void *
ngx_http_s3_create_main_conf(ngx_conf_t *cf)
{
    ngx_uint_t                i;
    ngx_http_s3_main_conf_t  *smcf;

    smcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_s3_main_conf_t));
    if (smcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     smcf->store.paths = NULL;
     *     smcf->store.node = 0;
     */

    for (i = 0; i < S3_CLASSES; i++) {
        smcf->store.parity[i] = NGX_CONF_UNSET_UINT;
    }

    smcf->store.zone_size = NGX_CONF_UNSET_SIZE;
    smcf->store.segment_size = NGX_CONF_UNSET_SIZE;
    smcf->store.threads = NGX_CONF_UNSET_UINT;
    smcf->store.aio_depth = NGX_CONF_UNSET_UINT;
    smcf->store.hedge = NGX_CONF_UNSET_MSEC;
    smcf->store.scrub = NGX_CONF_UNSET;

    return smcf;
}


static char *
ngx_http_s3_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_s3_main_conf_t *smcf = conf;

    ngx_s3_store_conf_t  *store;

    store = &smcf->store;

    ngx_conf_init_size_value(store->zone_size, 0);
    ngx_conf_init_size_value(store->segment_size, 0);
    ngx_conf_init_uint_value(store->threads, 0);
    ngx_conf_init_uint_value(store->aio_depth, 0);
    ngx_conf_init_msec_value(store->hedge, 0);
    ngx_conf_init_value(store->scrub, 30 * 24 * 60 * 60);

    if (store->paths == NULL) {
        return NGX_CONF_OK;
    }

    /* here, since an error in init_module would end a running master */

    return ngx_s3_store_configure(cf, store);
}


static void *
ngx_http_s3_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_s3_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_s3_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->enable = 0;
     *     conf->region = { 0, NULL };
     *     conf->owner = { 0 };
     *     conf->status = 0;
     */

    conf->credentials = NGX_CONF_UNSET_PTR;
    conf->domains = NGX_CONF_UNSET_PTR;
    conf->etag = NGX_CONF_UNSET_UINT;

    return conf;
}


static char *
ngx_http_s3_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_s3_loc_conf_t *prev = parent;
    ngx_http_s3_loc_conf_t *conf = child;

    ngx_http_s3_main_conf_t   *smcf;
    ngx_http_core_loc_conf_t  *clcf;

    ngx_conf_merge_ptr_value(conf->credentials, prev->credentials, NULL);
    ngx_conf_merge_ptr_value(conf->domains, prev->domains, NULL);
    ngx_conf_merge_str_value(conf->region, prev->region, "us-east-1");
    ngx_conf_merge_uint_value(conf->etag, prev->etag, NGX_HTTP_S3_ETAG_MD5);

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    /* "if" and "limit_except" blocks are locations, too */

    if (clcf->noname && prev->enable && clcf->handler == NULL) {
        conf->enable = 1;
        clcf->handler = ngx_http_s3_handler;
    }

    ngx_http_s3_status_inherit(cf, prev, conf);

    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_s3_module);

    if (conf->status && smcf->store.paths == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "a location has \"s3_status\" or \"s3_metrics\", "
                           "but there are no drives: add \"s3_drives\" to the "
                           "http block");
        return NGX_CONF_ERROR;
    }

    if (!conf->enable) {
        return NGX_CONF_OK;
    }

    /*
     * nginx's defaults are for forms and pages: a location of objects has no
     * limit of its own, and a buffer that is worth a turn of the loop.  The
     * directives have been merged by now, so that a default is known by its
     * value alone.
     */

    if (clcf->client_max_body_size == 1024 * 1024) {
        clcf->client_max_body_size = 0;
    }

    if (clcf->client_body_buffer_size == (size_t) 2 * ngx_pagesize) {
        clcf->client_body_buffer_size = 128 * 1024;
    }

    if (smcf->store.paths == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "a location has \"s3\", but there are no drives: "
                           "add \"s3_drives\" to the http block");
        return NGX_CONF_ERROR;
    }

    if (conf->credentials == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "a location has \"s3\", but nobody could use it: "
                           "add \"s3_credentials\"");
        return NGX_CONF_ERROR;
    }

    return ngx_http_s3_make_owner(cf, conf) == NGX_OK ? NGX_CONF_OK
                                                      : NGX_CONF_ERROR;
}


/*
 * The one account behind all credentials.  Its id looks like AWS's canonical
 * user ids and is made from the first access key.
 */

static ngx_int_t
ngx_http_s3_make_owner(ngx_conf_t *cf, ngx_http_s3_loc_conf_t *conf)
{
    u_char                   *hex, digest[S3_SHA256_LEN];
    s3_sha256_t               h;
    ngx_http_s3_credential_t *root;

    root = conf->credentials->elts;

    hex = ngx_pnalloc(cf->pool, S3_SHA256_HEX);
    if (hex == NULL) {
        return NGX_ERROR;
    }

    if (s3_sha256(&h, s3_str(root->access_key.data, root->access_key.len),
                  digest)
        != S3_OK)
    {
        return NGX_ERROR;
    }

    s3_hex(hex, digest, S3_SHA256_LEN);

    conf->owner.id = s3_str(hex, S3_SHA256_HEX);
    conf->owner.name = s3_str(root->access_key.data, root->access_key.len);

    return NGX_OK;
}


static char *
ngx_http_s3(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_s3_loc_conf_t *slcf = conf;

    ngx_http_conf_ctx_t       *ctx;
    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_core_srv_conf_t  *cscf, *main;

    if (slcf->enable) {
        return "is duplicate";
    }

    if (slcf->status) {
        return "goes not with \"s3_status\" or \"s3_metrics\" in one location";
    }

    slcf->enable = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    clcf->handler = ngx_http_s3_handler;

    /*
     * Names of metadata may have "_" and ".".  nginx drops such headers
     * unless told otherwise, and what was signed would be missing; a word of
     * the configuration itself, here or above, is left alone.
     */

    ctx = (ngx_http_conf_ctx_t *) cf->cycle->conf_ctx[ngx_http_module.index];
    main = ctx->srv_conf[ngx_http_core_module.ctx_index];

    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);

    if (cscf->ignore_invalid_headers == NGX_CONF_UNSET
        && main->ignore_invalid_headers == NGX_CONF_UNSET)
    {
        cscf->ignore_invalid_headers = 0;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_s3_drives(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_s3_main_conf_t *smcf = conf;

    char        *rv;
    ngx_str_t   *value;
    ngx_uint_t   i;

    if (smcf->store.paths == NULL) {
        smcf->store.paths = ngx_array_create(cf->pool, 4, sizeof(ngx_str_t));
        if (smcf->store.paths == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        rv = ngx_s3_store_expand_drives(cf, &value[i], smcf->store.paths);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_s3_parity(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_s3_main_conf_t *smcf = conf;

    ngx_int_t   n;
    ngx_str_t  *value;

    if (smcf->store.parity[0] != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    n = ngx_atoi(value[1].data, value[1].len);
    if (n == NGX_ERROR) {
        return "must be a number of drives";
    }

    smcf->store.parity[0] = n;

    return NGX_CONF_OK;
}


static char *
ngx_http_s3_scrub_period(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_s3_main_conf_t *smcf = conf;

    time_t      period;
    ngx_str_t  *value;

    if (smcf->store.scrub != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        smcf->store.scrub = 0;
        return NGX_CONF_OK;
    }

    period = ngx_parse_time(&value[1], 1);

    if (period == (time_t) NGX_ERROR || period == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid period \"%V\", it must be a time or "
                           "\"off\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    smcf->store.scrub = period;

    return NGX_CONF_OK;
}


static char *
ngx_http_s3_class(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_s3_main_conf_t *smcf = conf;

    ngx_int_t    n;
    ngx_str_t   *value;
    ngx_uint_t   class;

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "STANDARD") == 0) {
        class = 0;

    } else if (ngx_strcmp(value[1].data, "REDUCED_REDUNDANCY") == 0) {
        class = 1;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown storage class \"%V\", it must be "
                           "\"STANDARD\" or \"REDUCED_REDUNDANCY\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    if (smcf->store.parity[class] != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    if (ngx_strncmp(value[2].data, "parity=", 7) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", it must be "
                           "\"parity=number\"", &value[2]);
        return NGX_CONF_ERROR;
    }

    n = ngx_atoi(value[2].data + 7, value[2].len - 7);
    if (n == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parity \"%V\", it must be a number of "
                           "drives", &value[2]);
        return NGX_CONF_ERROR;
    }

    smcf->store.parity[class] = n;

    return NGX_CONF_OK;
}


static char *
ngx_http_s3_domain(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_s3_loc_conf_t *slcf = conf;

    s3_str_t    *domain;
    ngx_str_t   *value;
    ngx_uint_t   i;

    if (slcf->domains == NGX_CONF_UNSET_PTR) {
        slcf->domains = ngx_array_create(cf->pool, 2, sizeof(s3_str_t));
        if (slcf->domains == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        domain = ngx_array_push(slcf->domains);
        if (domain == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_strlow(value[i].data, value[i].data, value[i].len);
        *domain = s3_str(value[i].data, value[i].len);
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_s3_init_module(ngx_cycle_t *cycle)
{
    ngx_http_s3_main_conf_t  *smcf;

    smcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_s3_module);

    return ngx_s3_store_init_module(cycle, smcf != NULL
                                           && smcf->store.paths != NULL
                                           ? &smcf->store : NULL);
}


static ngx_int_t
ngx_http_s3_init_process(ngx_cycle_t *cycle)
{
    if (ngx_s3_store_init_process(cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_s3_store_get() == NULL) {
        return NGX_OK;
    }

    ngx_http_s3_bucket_cache = s3_buckets_create(ngx_s3_store_get(),
                                                 ngx_s3_store_loop());
    ngx_http_s3_key_cache = s3_sigv4_cache_create();

    if (ngx_http_s3_bucket_cache == NULL || ngx_http_s3_key_cache == NULL) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_s3_exit_process(ngx_cycle_t *cycle)
{
    ngx_s3_hash_exit();

    /* what is still under way calls back, and then uses the caches */

    ngx_s3_store_exit_process(cycle);

    if (ngx_http_s3_key_cache != NULL) {
        s3_sigv4_cache_destroy(ngx_http_s3_key_cache);
        ngx_http_s3_key_cache = NULL;
    }

    s3_buckets_destroy(ngx_http_s3_bucket_cache);
    ngx_http_s3_bucket_cache = NULL;
}


static void
ngx_http_s3_exit_master(ngx_cycle_t *cycle)
{
    ngx_s3_store_exit_master(cycle);
}
