
/*
 * The drives' directories, when the store is opened.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <dirent.h>
#include <mntent.h>
#include <sys/vfs.h>

#include "storage/s3_format.h"
#include "ngx_s3_fs.h"
#include "ngx_s3_instance.h"


#define NGX_S3_DRIVES_DEPTH  8    /* of a drive's tree, when it is given away */
#define NGX_S3_DRIVES_WAIT   2000 /* ms, for a drive to answer, */
#define NGX_S3_DRIVES_LAST   5000 /* where there are too few without it */
#define NGX_S3_DRIVES_STEP   5

#define NGX_S3_DRIVES_FSTAB  "/etc/fstab"
#define NGX_S3_DRIVES_AUTOFS 0x0187 /* f_type of statfs(2) */


static void ngx_s3_drives_log(void *ctx, int level, const char *message);
static void ngx_s3_drives_touch(const char *path, ngx_uint_t probe);
static void ngx_s3_drives_new(ngx_s3_instance_t *in, ngx_log_t *log);
static ngx_s3_site_t ngx_s3_drives_content(const char *path);
static ngx_uint_t ngx_s3_drives_marked(const char *path);
static ngx_uint_t ngx_s3_drives_mounted(const char *path);
static ngx_uint_t ngx_s3_drives_promised(const char *path);
static ngx_int_t ngx_s3_drives_give_away(ngx_s3_instance_t *in,
    const char *path, ngx_log_t *log);
static ngx_int_t ngx_s3_drives_give_tree(ngx_s3_instance_t *in, int fd,
    ngx_uint_t depth);


/*
 * A drive may hang for ever, and take whoever touches it with it.  So a child
 * of its own does that first, for each; one that does not come back is left
 * behind, and its drive alone.
 */

void
ngx_s3_drives_ask(ngx_s3_instance_t *in, ngx_uint_t probe, ngx_log_t *log)
{
    ngx_pid_t   pids[S3_MAX_DRIVES];
    ngx_uint_t  i, waited, left;

    for (i = 0; i < in->n; i++) {

        pids[i] = fork();

        if (pids[i] == 0) {
            ngx_s3_drives_touch(in->path[i], probe);
        }
    }

    for (waited = 0; /* void */ ; waited += NGX_S3_DRIVES_STEP) {

        left = 0;

        for (i = 0; i < in->n; i++) {

            if (pids[i] > 0 && waitpid(pids[i], NULL, WNOHANG) != 0) {
                pids[i] = -1;
            }

            left += (pids[i] > 0);
        }

        if (left == 0 || waited >= NGX_S3_DRIVES_LAST
            || (waited >= NGX_S3_DRIVES_WAIT && left <= in->standard))
        {
            break;
        }

        ngx_msleep(NGX_S3_DRIVES_STEP);
    }

    for (i = 0; i < in->n; i++) {

        if (pids[i] <= 0) {
            continue;
        }

        (void) kill(pids[i], SIGKILL);

        in->hung[i] = 1;

        ngx_log_error(NGX_LOG_ALERT, log, 0,
                      "s3: drive \"%s\" hangs: no answer within %ui s, used "
                      "when it answers", in->path[i], waited / 1000);
    }
}


/* In the child. */

static void
ngx_s3_drives_touch(const char *path, ngx_uint_t probe)
{
    int   fd, dir;
    char  c;

    /* sockets, above all: nobody is to wait for them if this one stays */

    closefrom(0);

    dir = open(path, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (dir != -1) {
        fd = openat(dir, "format.json", O_RDONLY|O_CLOEXEC);

        if (fd != -1) {
            (void) (read(fd, &c, 1) == 1 && probe
                    && ngx_s3_fs_probe_at(dir) == S3_OK);
        }
    }

    _exit(0);
}


/*
 * No directory is made here: one that is absent is a drive that is absent, be
 * it on a file system that is not mounted.
 */

void
ngx_s3_drives_find(ngx_s3_instance_t *in, ngx_log_t *log)
{
    uint32_t    formatted;
    ngx_uint_t  i;

    formatted = 0;

    for (i = 0; i < in->n; i++) {
        in->present[i] = !in->hung[i];

        if (!in->hung[i] && ngx_s3_drives_formatted(in->path[i])) {
            formatted |= (uint32_t) 1 << i;
        }
    }

    if (formatted == 0) {
        ngx_s3_drives_new(in, log);
        return;
    }

    for (i = 0; i < in->n; i++) {

        if (in->hung[i]
            || ngx_s3_drives_site(in, i, formatted) != NGX_S3_SITE_EMPTY)
        {
            continue;
        }

        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "s3: drive \"%s\" is an empty directory and perhaps not "
                      "mounted: taken to be missing; if it is a new drive, "
                      "put a file \"" S3_FORMAT_MARK "\" in it", in->path[i]);

        in->present[i] = 0;
        in->empty[i] = 1;
    }
}


/*
 * A new store, or one with all of its drives away?  It is new where something
 * is mounted at all of the empty directories, or at none, as far as anybody
 * knows; or where they are marked.
 */

static void
ngx_s3_drives_new(ngx_s3_instance_t *in, ngx_log_t *log)
{
    char        *path;
    ngx_uint_t   i, mounted;

    mounted = 0;

    for (i = 0; i < in->n; i++) {
        mounted += (!in->hung[i] && ngx_s3_drives_mounted(in->path[i]));
    }

    for (i = 0; i < in->n; i++) {

        path = in->path[i];

        if (in->hung[i]
            || ngx_s3_drives_content(path) != NGX_S3_SITE_EMPTY
            || ngx_s3_drives_marked(path) || ngx_s3_drives_mounted(path)
            || (mounted == 0 && !ngx_s3_drives_promised(path)))
        {
            continue;
        }

        ngx_log_error(NGX_LOG_ALERT, log, 0,
                      "s3: drive \"%s\" is an empty directory where nothing "
                      "is mounted, unlike %s: no new store is made; if there "
                      "is to be one, put a file \"" S3_FORMAT_MARK "\" in it",
                      path, mounted ? "on other drives"
                                    : "what " NGX_S3_DRIVES_FSTAB " says");

        in->present[i] = 0;
        in->empty[i] = 1;
    }
}


ngx_s3_site_t
ngx_s3_drives_site(ngx_s3_instance_t *in, ngx_uint_t drive, uint32_t others)
{
    char           *path;
    ngx_uint_t      i, same;
    struct stat     st, other;
    ngx_s3_site_t   site;

    path = in->path[drive];

    site = ngx_s3_drives_content(path);

    if (site != NGX_S3_SITE_EMPTY) {
        return site;
    }

    if (ngx_s3_drives_marked(path) || ngx_s3_drives_mounted(path)) {
        return NGX_S3_SITE_NEW;
    }

    if (ngx_s3_drives_promised(path) || stat(path, &st) == -1) {
        return site;
    }

    same = 0;

    for (i = 0; i < in->n; i++) {

        if (i == drive || !(others & (uint32_t) 1 << i)
            || !ngx_s3_drives_formatted(in->path[i])
            || stat(in->path[i], &other) == -1)
        {
            continue;
        }

        if (ngx_s3_drives_mounted(in->path[i])) {
            return site;
        }

        same |= (other.st_dev == st.st_dev);
    }

    return same ? NGX_S3_SITE_NEW : site;
}


static ngx_s3_site_t
ngx_s3_drives_content(const char *path)
{
    DIR            *dir;
    ngx_s3_site_t   site;
    struct dirent  *de;

    if (ngx_s3_drives_formatted(path)) {
        return NGX_S3_SITE_DRIVE;
    }

    dir = opendir(path);
    if (dir == NULL) {
        return NGX_S3_SITE_ABSENT;
    }

    site = NGX_S3_SITE_EMPTY;

    for ( ;; ) {
        errno = 0;

        de = readdir(dir);

        if (de == NULL) {
            site = errno ? NGX_S3_SITE_ABSENT : site;
            break;
        }

        if (ngx_strcmp(de->d_name, ".") != 0
            && ngx_strcmp(de->d_name, "..") != 0
            && s3_format_stranger(de->d_name))
        {
            site = NGX_S3_SITE_OTHER;
        }
    }

    (void) closedir(dir);

    return site;
}


ngx_uint_t
ngx_s3_drives_formatted(const char *path)
{
    char  buf[NGX_MAX_PATH + 16];

    (void) snprintf(buf, sizeof(buf), "%s/format.json", path);

    return access(buf, F_OK) == 0;
}


static ngx_uint_t
ngx_s3_drives_marked(const char *path)
{
    char  buf[NGX_MAX_PATH + 16];

    (void) snprintf(buf, sizeof(buf), "%s/" S3_FORMAT_MARK, path);

    return access(buf, F_OK) == 0;
}


/* By something that is there, unlike autofs. */

static ngx_uint_t
ngx_s3_drives_mounted(const char *path)
{
    char           buf[NGX_MAX_PATH + 16];
    struct stat    st, up;
    struct statfs  fs;

    (void) snprintf(buf, sizeof(buf), "%s/..", path);

    if (stat(path, &st) == -1 || stat(buf, &up) == -1
        || (st.st_dev == up.st_dev && st.st_ino != up.st_ino))
    {
        return 0;
    }

    return statfs(path, &fs) == 0 && fs.f_type != NGX_S3_DRIVES_AUTOFS;
}


/* Is something to be mounted there, or above, that is not? */

static ngx_uint_t
ngx_s3_drives_promised(const char *path)
{
    char           *real, buf[4096];
    FILE           *f;
    size_t          len;
    ngx_uint_t      promised;
    struct mntent   ent;

    real = realpath(path, NULL);
    if (real == NULL) {
        return 1;
    }

    f = setmntent(NGX_S3_DRIVES_FSTAB, "re");
    if (f == NULL) {
        free(real);
        return 0;
    }

    promised = 0;

    while (!promised && getmntent_r(f, &ent, buf, sizeof(buf)) != NULL) {

        len = ngx_strlen(ent.mnt_dir);

        while (len > 1 && ent.mnt_dir[len - 1] == '/') {
            ent.mnt_dir[--len] = '\0';
        }

        promised = len > 1 && ngx_strncmp(real, ent.mnt_dir, len) == 0
                   && (real[len] == '/' || real[len] == '\0')
                   && !ngx_s3_drives_mounted(ent.mnt_dir);
    }

    (void) endmntent(f);
    free(real);

    return promised;
}


ngx_int_t
ngx_s3_drives_look(ngx_s3_instance_t *in, ngx_log_t *log)
{
    int               rc;
    ngx_uint_t        i;
    s3_fs_t          *fs[S3_MAX_DRIVES];
    s3_format_t       formats[S3_MAX_DRIVES];
    s3_format_conf_t  fc;

    ngx_memzero(fs, sizeof(fs));

    for (i = 0; i < in->n; i++) {

        if (!in->present[i]) {
            continue;
        }

        fs[i] = ngx_s3_fs_create(in->path[i], i);

        if (fs[i] && ngx_s3_fs_attach(fs[i]) != S3_OK) {
            ngx_s3_fs_destroy(fs[i]);
            fs[i] = NULL;
        }
    }

    ngx_memzero(&fc, sizeof(s3_format_conf_t));

    fc.n = in->n;
    fc.fs = fs;
    fc.names = (const char *const *) in->path;
    fc.parity = in->standard;
    fc.log = ngx_s3_drives_log;
    fc.ctx = log;

    rc = s3_format_survey(&fc, formats);

    for (i = 0; i < in->n; i++) {
        if (fs[i]) {
            ngx_s3_fs_destroy(fs[i]);
        }
    }

    return rc == S3_OK ? NGX_OK : NGX_ERROR;
}


static void
ngx_s3_drives_log(void *ctx, int level, const char *message)
{
    ngx_log_error((ngx_uint_t) level, (ngx_log_t *) ctx, 0, "s3: %s", message);
}


ngx_int_t
ngx_s3_drives_attach(ngx_cycle_t *cycle, ngx_s3_instance_t *in)
{
    int          rc;
    ngx_uint_t   i, j;
    struct stat  st[S3_MAX_DRIVES];

    for (i = 0; i < in->n; i++) {

        if (!in->present[i]) {
            continue;
        }

        if (stat(in->path[i], &st[i]) == -1) {
            rc = ngx_s3_fs_error(ngx_errno);

        } else if (in->user != (uid_t) -1 && st[i].st_uid != in->user
                   && ngx_s3_drives_give_away(in, in->path[i], cycle->log)
                      != NGX_OK)
        {
            return NGX_ERROR;

        } else {
            rc = ngx_s3_fs_attach(in->fs[i]);
        }

        if (rc != S3_OK) {
            ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                          "s3: drive \"%s\" is missing (%s)",
                          in->path[i], s3_strerror(rc));
            in->present[i] = 0;
            continue;
        }

        for (j = 0; j < i; j++) {
            if (in->present[j] && st[j].st_dev == st[i].st_dev
                && st[j].st_ino == st[i].st_ino)
            {
                ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                              "s3: drives \"%s\" and \"%s\" are the same "
                              "directory", in->path[j], in->path[i]);
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


/* As nginx does for its temporary directories, and all that is in it. */

static ngx_int_t
ngx_s3_drives_give_away(ngx_s3_instance_t *in, const char *path, ngx_log_t *log)
{
    int  fd;

    fd = open(path, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd != -1 && ngx_s3_drives_give_tree(in, fd, NGX_S3_DRIVES_DEPTH)
                    == NGX_OK)
    {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                  "s3: cannot give drive \"%s\" to the user of the workers",
                  path);

    return NGX_ERROR;
}


/* Closes fd.  The directory last: it tells that all in it has been given. */

static ngx_int_t
ngx_s3_drives_give_tree(ngx_s3_instance_t *in, int fd, ngx_uint_t depth)
{
    int             sub;
    DIR            *dir;
    ngx_int_t       rc;
    struct stat     st;
    struct dirent  *de;

    dir = fdopendir(fd);
    if (dir == NULL) {
        (void) close(fd);
        return NGX_ERROR;
    }

    rc = NGX_OK;

    while (rc == NGX_OK && (de = readdir(dir)) != NULL) {

        if (ngx_strcmp(de->d_name, ".") == 0
            || ngx_strcmp(de->d_name, "..") == 0
            || fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) == -1)
        {
            continue;
        }

        if (S_ISREG(st.st_mode)) {
            if (fchownat(fd, de->d_name, in->user, in->group,
                         AT_SYMLINK_NOFOLLOW)
                == -1)
            {
                rc = NGX_ERROR;
            }

            continue;
        }

        /* root's lost+found stays root's */

        if (!S_ISDIR(st.st_mode) || depth == 0
            || ngx_strcmp(de->d_name, "lost+found") == 0)
        {
            continue;
        }

        sub = openat(fd, de->d_name,
                     O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);

        rc = (sub == -1) ? NGX_ERROR
                         : ngx_s3_drives_give_tree(in, sub, depth - 1);
    }

    if (rc == NGX_OK && fchown(fd, in->user, in->group) == -1) {
        rc = NGX_ERROR;
    }

    (void) closedir(dir);

    return rc;
}
