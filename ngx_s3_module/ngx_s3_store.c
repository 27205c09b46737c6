
/*
 * Opening the store, in the master, before there are workers:
 *
 *   directories ──> locks ──> memory ──> recovery ──> locks shared
 *
 * or, where the locks came through exec from the master that this one is going
 * to replace (binary upgrade):
 *
 *   directories ──> locks found ──> memory found ──> joined
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <sys/mman.h>
#include <sys/random.h>

#include "ngx_s3_fs.h"
#include "ngx_s3_instance.h"
#include "ngx_s3_lock.h"
#include "storage/s3_zone.h"


static ngx_int_t ngx_s3_store_test(ngx_cycle_t *cycle,
    ngx_s3_store_conf_t *conf);
static ngx_int_t ngx_s3_store_start(ngx_cycle_t *cycle,
    ngx_s3_store_conf_t *conf, ngx_s3_instance_t *in);
static void ngx_s3_store_release(ngx_s3_instance_t *in);
static ngx_int_t ngx_s3_store_inherit(ngx_cycle_t *cycle,
    ngx_s3_store_conf_t *conf, ngx_s3_instance_t *in);
static ngx_int_t ngx_s3_store_create(ngx_cycle_t *cycle,
    ngx_s3_store_conf_t *conf, ngx_s3_instance_t *in);
static ngx_int_t ngx_s3_store_map(ngx_s3_instance_t *in, ngx_log_t *log);
static ngx_int_t ngx_s3_store_recover(ngx_s3_instance_t *in, ngx_uint_t fresh,
    ngx_log_t *log);
static void ngx_s3_store_enough(ngx_s3_instance_t *in, ngx_uint_t present,
    ngx_log_t *log);
static uint32_t ngx_s3_store_paths(ngx_s3_store_conf_t *conf);
static uint64_t ngx_s3_store_wall_us(void *ctx);
static void ngx_s3_store_random(void *ctx, void *buf, size_t len);
static void ngx_s3_store_log(void *ctx, int level, const char *message);


ngx_s3_instance_t  ngx_s3_instance;


ngx_int_t
ngx_s3_store_init_module(ngx_cycle_t *cycle, ngx_s3_store_conf_t *conf)
{
    ngx_uint_t          i;
    ngx_core_conf_t    *ccf;
    ngx_s3_instance_t  *in = &ngx_s3_instance;

    if (conf == NULL) {
        in->active = 0;
        return NGX_OK;
    }

    if (!in->opened || ngx_test_config) {
        if (ngx_s3_instance_open(cycle, conf) != NGX_OK) {
            return NGX_ERROR;
        }

        if (!in->opened) {
            return NGX_OK;
        }
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    if (ccf->worker_processes > S3_NODE_PROCS / 2) {
        ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                      "s3: at most %d workers can serve the store at a time, "
                      "those of before a reload among them: "
                      "worker_processes should be %d at most",
                      S3_NODE_PROCS, S3_NODE_PROCS / 2);
    }

    /* the configuration's pool goes away, this does not */

    for (i = 0; i < S3_CLASSES; i++) {
        in->parity[i] = conf->parity[i];
    }

    in->segment_size = conf->segment_size;
    in->threads = conf->threads;
    in->aio_depth = conf->aio_depth;
    in->hedge = conf->hedge;
    in->scrub = conf->scrub;
    in->active = 1;

    return NGX_OK;
}


void
ngx_s3_store_exit_master(ngx_cycle_t *cycle)
{
    (void) cycle;

    if (ngx_s3_instance.opened) {
        ngx_s3_store_release(&ngx_s3_instance);
    }
}


const u_char *
ngx_s3_store_id(void)
{
    return ngx_s3_instance.opened ? ngx_s3_instance.id : NULL;
}


ngx_int_t
ngx_s3_instance_open(ngx_cycle_t *cycle, ngx_s3_store_conf_t *conf)
{
    ngx_s3_instance_t  *in = &ngx_s3_instance;

    if (ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_OK;
    }

    if (ngx_test_config) {
        return ngx_s3_store_test(cycle, conf);
    }

    if (in->opened) {
        return ngx_s3_instance_check(conf, cycle->log);
    }

    if (ngx_s3_store_start(cycle, conf, in) != NGX_OK) {
        ngx_s3_store_release(in);
        return NGX_ERROR;
    }

    in->opened = 1;

    return NGX_OK;
}


ngx_int_t
ngx_s3_instance_check(ngx_s3_store_conf_t *conf, ngx_log_t *log)
{
    ngx_str_t          *path;
    ngx_uint_t          i;
    ngx_s3_instance_t  *in = &ngx_s3_instance;

    if (!in->opened) {
        return NGX_OK;
    }

    path = conf->paths->elts;

    for (i = 0; i < conf->paths->nelts && i < in->n; i++) {
        if (ngx_strcmp(path[i].data, in->path[i]) != 0) {
            break;
        }
    }

    if (i != in->n || i != conf->paths->nelts) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "s3: the drives of a running store cannot be changed "
                      "by a reload (drive %ui differs): restart nginx", i + 1);
        return NGX_ERROR;
    }

    if (conf->parity[0] != in->standard) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "s3: the parity of a running store cannot be changed "
                      "by a reload from %ui to %ui",
                      in->standard, conf->parity[0]);
        return NGX_ERROR;
    }

    if (conf->node != in->node) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "s3: the node's number cannot be changed by a reload: "
                      "restart nginx");
        return NGX_ERROR;
    }

    if (conf->zone_size != in->size) {
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "s3: the zone keeps its size of %uzk until nginx is "
                      "restarted", in->size / 1024);
    }

    return NGX_OK;
}


/* nginx -t: looks, and touches nothing. */

static ngx_int_t
ngx_s3_store_test(ngx_cycle_t *cycle, ngx_s3_store_conf_t *conf)
{
    ngx_str_t          *path;
    ngx_uint_t          i, present;
    ngx_file_info_t     fi;
    ngx_s3_instance_t   in;

    static ngx_uint_t   tested;

    if (tested++) {
        return NGX_OK;
    }

    ngx_memzero(&in, sizeof(ngx_s3_instance_t));

    in.n = conf->paths->nelts;
    in.standard = conf->parity[0];

    path = conf->paths->elts;

    for (i = 0; i < in.n; i++) {
        in.path[i] = (char *) path[i].data;
    }

    ngx_s3_drives_ask(&in, 0, cycle->log);

    present = 0;

    for (i = 0; i < in.n; i++) {

        if (in.hung[i]) {
            continue;
        }

        if (ngx_file_info(path[i].data, &fi) == NGX_FILE_ERROR) {

            if (ngx_errno != NGX_ENOENT) {
                ngx_log_error(NGX_LOG_WARN, cycle->log, ngx_errno,
                              "s3: drive \"%V\" is not usable", &path[i]);
            }

            continue;
        }

        if (!ngx_is_dir(&fi)) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                          "s3: drive \"%V\" is not a directory", &path[i]);
            return NGX_ERROR;
        }

        in.present[i] = 1;
        present++;
    }

    ngx_s3_store_enough(&in, present, cycle->log);

    return ngx_s3_drives_look(&in, cycle->log);
}


static ngx_int_t
ngx_s3_store_start(ngx_cycle_t *cycle, ngx_s3_store_conf_t *conf,
    ngx_s3_instance_t *in)
{
    ngx_int_t         rc;
    ngx_str_t        *path;
    ngx_uint_t        i, present;
    ngx_core_conf_t  *ccf;

    ngx_memzero(in, sizeof(ngx_s3_instance_t));

    in->fd = -1;
    in->user = (uid_t) -1;
    in->group = (gid_t) -1;

    for (i = 0; i < S3_MAX_DRIVES; i++) {
        in->lock[i] = -1;
    }

    in->n = conf->paths->nelts;
    in->node = conf->node;
    in->standard = conf->parity[0];
    in->segment_size = conf->segment_size;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    if (geteuid() == 0 && ccf->user != (uid_t) NGX_CONF_UNSET_UINT) {
        in->user = ccf->user;
        in->group = ccf->group;
    }

    path = conf->paths->elts;

    for (i = 0; i < in->n; i++) {
        in->path[i] = strdup((char *) path[i].data);
        if (in->path[i] == NULL) {
            return NGX_ERROR;
        }

        in->fs[i] = ngx_s3_fs_create(in->path[i], i);
        if (in->fs[i] == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                          "s3: cannot open drive \"%s\"", in->path[i]);
            return NGX_ERROR;
        }

        if (in->user != (uid_t) -1) {
            ngx_s3_fs_owner(in->fs[i], in->user, in->group);
        }
    }

    ngx_s3_drives_ask(in, 1, cycle->log);
    ngx_s3_drives_find(in, cycle->log);

    if (ngx_s3_drives_attach(cycle, in) != NGX_OK) {
        return NGX_ERROR;
    }

    present = 0;

    for (i = 0; i < in->n; i++) {
        present += in->present[i];
    }

    ngx_s3_store_enough(in, present, cycle->log);

    rc = ngx_s3_store_inherit(cycle, conf, in);

    if (rc == NGX_DECLINED) {
        rc = ngx_s3_store_create(cycle, conf, in);
    }

    if (rc == NGX_OK) {
        for (i = 0; i < in->n; i++) {
            if (in->lock[i] != -1) {
                ngx_s3_lock_inherit(in->lock[i], 1);
            }
        }

        ngx_s3_lock_inherit(in->fd, 1);
    }

    return rc;
}


static void
ngx_s3_store_release(ngx_s3_instance_t *in)
{
    ngx_uint_t  i;

    if (in->shared) {
        (void) munmap(in->shared, in->size);
    }

    if (in->fd != -1) {
        (void) close(in->fd);
    }

    for (i = 0; i < in->n; i++) {

        if (in->lock[i] != -1) {
            (void) close(in->lock[i]);
        }

        if (in->fs[i]) {
            ngx_s3_fs_destroy(in->fs[i]);
        }

        free(in->path[i]);
    }

    ngx_memzero(in, sizeof(ngx_s3_instance_t));

    in->fd = -1;
}


/* NGX_DECLINED: nothing was inherited, this is a first start. */

static ngx_int_t
ngx_s3_store_inherit(ngx_cycle_t *cycle, ngx_s3_store_conf_t *conf,
    ngx_s3_instance_t *in)
{
    ngx_uint_t        i, n;
    ngx_s3_owner_t    owner;
    ngx_s3_shared_t  *sh;

    n = 0;

    for (i = 0; i < in->n; i++) {

        if (in->hung[i]) {
            continue;
        }

        in->lock[i] = ngx_s3_lock_inherited(in->path[i]);

        if (in->lock[i] == -1) {
            continue;
        }

        if (ngx_s3_lock_read(in->lock[i], &owner) != S3_OK
            || (n && ngx_memcmp(owner.instance, in->instance, 16) != 0))
        {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                          "s3: the lock of drive \"%s\" was inherited and is "
                          "not readable, or of another store", in->path[i]);
            return NGX_ERROR;
        }

        ngx_memcpy(in->instance, owner.instance, 16);
        n++;
    }

    if (n == 0) {
        return NGX_DECLINED;
    }

    /* drives that came back after that master had started */

    for (i = 0; i < in->n; i++) {
        if (in->lock[i] == -1 && !in->hung[i]
            && ngx_s3_lock_join(in->path[i], in->instance, &in->lock[i])
               != S3_OK)
        {
            ngx_s3_fs_detach(in->fs[i]);
            in->present[i] = 0;
        }
    }

    in->fd = ngx_s3_memory_inherited(in->instance, &in->size);

    if (in->fd == -1 || in->size <= NGX_S3_SHARED_SIZE) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "s3: the store's memory was not inherited from the "
                      "running nginx");
        return NGX_ERROR;
    }

    if (ngx_s3_store_map(in, cycle->log) != NGX_OK) {
        return NGX_ERROR;
    }

    sh = in->shared;

    if (sh->magic != NGX_S3_SHARED_MAGIC || sh->size != in->size
        || ngx_memcmp(sh->instance, in->instance, 16) != 0)
    {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "s3: the memory of the running nginx has another "
                      "layout: stop it and start this one");
        return NGX_ERROR;
    }

    if (sh->drives != in->n || sh->paths != ngx_s3_store_paths(conf)
        || sh->parity != conf->parity[0] || sh->node != conf->node)
    {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "s3: drives, parity and node cannot be changed by a "
                      "binary upgrade: stop the running nginx, then start");
        return NGX_ERROR;
    }

    return ngx_s3_store_recover(in, 0, cycle->log);
}


static ngx_int_t
ngx_s3_store_create(ngx_cycle_t *cycle, ngx_s3_store_conf_t *conf,
    ngx_s3_instance_t *in)
{
    int               rc;
    ngx_uint_t        i;
    ngx_s3_owner_t    owner;
    ngx_s3_shared_t  *sh;

    for (i = 0; i < in->n; i++) {

        if (!in->present[i]) {
            continue;
        }

        rc = ngx_s3_lock_take(in->path[i], in->user, in->group, &in->lock[i],
                              &owner);

        if (rc == S3_EBUSY) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                          "s3: drive \"%s\" is in use by another nginx "
                          "(process %L, pid file \"%s\"): stop it first",
                          in->path[i], owner.pid, owner.nginx);
            return NGX_ERROR;
        }

        if (rc != S3_OK) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                          "s3: cannot lock drive \"%s\" (\"%s/lock\")",
                          in->path[i], in->path[i]);
            return NGX_ERROR;
        }
    }

    ngx_s3_store_random(NULL, in->instance, sizeof(in->instance));

    in->size = conf->zone_size;

    if (ngx_s3_memory_create(in->instance, in->size, &in->fd) != S3_OK) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "s3: cannot get %uzk of shared memory", in->size / 1024);
        return NGX_ERROR;
    }

    if (ngx_s3_store_map(in, cycle->log) != NGX_OK) {
        return NGX_ERROR;
    }

    sh = in->shared;

    sh->magic = NGX_S3_SHARED_MAGIC;
    sh->size = in->size;
    sh->drives = in->n;
    sh->paths = ngx_s3_store_paths(conf);
    sh->parity = conf->parity[0];
    sh->node = conf->node;
    sh->started = ngx_s3_store_boottime();
    ngx_memcpy(sh->instance, in->instance, 16);

    if (ngx_s3_store_recover(in, 1, cycle->log) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_s3_instance_owner(in, cycle, &owner);

    for (i = 0; i < in->n; i++) {

        if (in->lock[i] == -1) {
            continue;
        }

        if (ngx_s3_lock_share(in->lock[i], &owner) != S3_OK) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                          "s3: cannot write \"%s/lock\"", in->path[i]);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_s3_store_map(ngx_s3_instance_t *in, ngx_log_t *log)
{
    void  *p;

    p = mmap(NULL, in->size, PROT_READ|PROT_WRITE, MAP_SHARED, in->fd, 0);

    if (p == MAP_FAILED) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "s3: mmap() of %uzk failed", in->size / 1024);
        return NGX_ERROR;
    }

    in->shared = p;

    return NGX_OK;
}


static ngx_int_t
ngx_s3_store_recover(ngx_s3_instance_t *in, ngx_uint_t fresh, ngx_log_t *log)
{
    int             rc;
    s3_zone_t      *z;
    ngx_uint_t      i;
    s3_node_conf_t  nc;

    ngx_s3_instance_node_conf(in, &nc, log);

    nc.fresh = fresh;
    nc.partial = 1;

    rc = s3_node_recover(&nc);

    if (rc != S3_OK) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "s3: the store cannot be opened: %s", s3_strerror(rc));
        return NGX_ERROR;
    }

    s3_node_store_id(&nc, in->id);

    z = ngx_s3_instance_zone(in);

    for (i = 0; fresh && i < in->n; i++) {

        if (in->hung[i]) {
            s3_zone_fault(&z->drives[i], S3_ZFAULT_HUNG, 0);

        } else if (in->empty[i]) {
            s3_zone_fault(&z->drives[i], S3_ZFAULT_EMPTY, 0);
        }
    }

    return NGX_OK;
}


void
ngx_s3_instance_node_conf(ngx_s3_instance_t *in, s3_node_conf_t *nc,
    ngx_log_t *log)
{
    ngx_uint_t  i;

    ngx_memzero(nc, sizeof(s3_node_conf_t));

    nc->n = in->n;

    for (i = 0; i < in->n; i++) {
        nc->fs[i] = in->present[i] ? in->fs[i] : NULL;
        nc->name[i] = in->path[i];
    }

    nc->zone = ngx_s3_instance_zone(in);
    nc->zone_size = in->size - NGX_S3_SHARED_SIZE;
    ngx_memcpy(nc->instance, in->instance, 16);

    nc->parity = in->standard;
    nc->node = in->node;
    nc->segment_size = in->segment_size;

    nc->wall_us = ngx_s3_store_wall_us;
    nc->random = ngx_s3_store_random;
    nc->log = ngx_s3_store_log;
    nc->ctx = log;
}


void
ngx_s3_instance_owner(ngx_s3_instance_t *in, ngx_cycle_t *cycle, void *data)
{
    ngx_core_conf_t  *ccf;
    ngx_s3_owner_t   *owner = data;

    ngx_memzero(owner, sizeof(ngx_s3_owner_t));

    ngx_memcpy(owner->instance, in->instance, 16);
    owner->pid = ngx_getpid();

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    ngx_cpystrn((u_char *) owner->nginx, ccf->pid.data,
                ngx_min(ccf->pid.len + 1, sizeof(owner->nginx)));
}


/* They may come while nginx runs; whoever starts it should know. */

static void
ngx_s3_store_enough(ngx_s3_instance_t *in, ngx_uint_t present, ngx_log_t *log)
{
    if (present == in->n) {
        return;
    }

    if (present >= in->n - in->standard) {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "s3: %ui of %ui drives are missing", in->n - present,
                      in->n);
        return;
    }

    ngx_log_error(NGX_LOG_ALERT, log, 0,
                  "s3: only %ui of %ui drives are there, at least %ui are "
                  "needed: requests get 503 until they are", present, in->n,
                  in->n - in->standard);
}


static uint32_t
ngx_s3_store_paths(ngx_s3_store_conf_t *conf)
{
    uint32_t     crc;
    ngx_str_t   *path;
    ngx_uint_t   i;

    path = conf->paths->elts;

    ngx_crc32_init(crc);

    for (i = 0; i < conf->paths->nelts; i++) {
        ngx_crc32_update(&crc, path[i].data, path[i].len + 1);
    }

    ngx_crc32_final(crc);

    return crc;
}


/* What a clock that is set does not change. */

uint64_t
ngx_s3_store_boottime(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_BOOTTIME, &ts);

    return ts.tv_sec;
}


static uint64_t
ngx_s3_store_wall_us(void *ctx)
{
    struct timeval  tv;

    (void) ctx;

    ngx_gettimeofday(&tv);

    return (uint64_t) tv.tv_sec * 1000000 + tv.tv_usec;
}


static void
ngx_s3_store_random(void *ctx, void *buf, size_t len)
{
    u_char   *p;
    ssize_t   n;

    (void) ctx;

    for (p = buf; len; p += n, len -= n) {

        n = getrandom(p, len, 0);

        if (n == -1) {
            if (ngx_errno != EINTR) {
                ngx_abort();
            }

            n = 0;
        }
    }
}


static void
ngx_s3_store_log(void *ctx, int level, const char *message)
{
    ngx_log_error((ngx_uint_t) level, (ngx_log_t *) ctx, 0, "s3: %s", message);
}
