
/*
 * The drives' directories, when the store is opened.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <dirent.h>

#include "ngx_s3_fs.h"
#include "ngx_s3_instance.h"


#define NGX_S3_DRIVES_DEPTH  8    /* of a drive's tree, when it is given away */
#define NGX_S3_DRIVES_WAIT   5000 /* ms, for a drive to answer */
#define NGX_S3_DRIVES_STEP   5


static void ngx_s3_drives_touch(const char *path);
static ngx_int_t ngx_s3_drives_make_path(const char *path, ngx_log_t *log);
static ngx_uint_t ngx_s3_drives_mounted(const char *path);
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
ngx_s3_drives_ask(ngx_cycle_t *cycle, ngx_s3_instance_t *in)
{
    ngx_pid_t   pids[S3_MAX_DRIVES];
    ngx_uint_t  i, waited, left;

    for (i = 0; i < in->n; i++) {

        pids[i] = fork();

        if (pids[i] == 0) {
            ngx_s3_drives_touch(in->path[i]);
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

        if (left == 0 || waited >= NGX_S3_DRIVES_WAIT) {
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

        ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                      "s3: drive \"%s\" hangs: no answer within %d s, taken "
                      "to be missing", in->path[i], NGX_S3_DRIVES_WAIT / 1000);
    }
}


/* In the child. */

static void
ngx_s3_drives_touch(const char *path)
{
    int   fd, dir;
    char  c;

    /* sockets, above all: nobody is to wait for them if this one stays */

    for (fd = sysconf(_SC_OPEN_MAX) < 65536 ? sysconf(_SC_OPEN_MAX) : 65536;
         fd > 0; fd--)
    {
        (void) close(fd - 1);
    }

    dir = open(path, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (dir != -1) {
        fd = openat(dir, "format.json", O_RDONLY|O_CLOEXEC);

        if (fd != -1) {
            (void) (read(fd, &c, 1) == 1 && ngx_s3_fs_probe_at(dir) == S3_OK);
        }
    }

    _exit(0);
}


/*
 * A new store gets the directories that it lacks.  One that has drives with
 * data in it does not: an absent directory is an absent drive there, and an
 * empty directory, where drives with data are mount points, is a drive that
 * was not mounted.
 */

ngx_int_t
ngx_s3_drives_find(ngx_cycle_t *cycle, ngx_s3_instance_t *in)
{
    ngx_uint_t  i, formatted, mounted;

    formatted = 0;
    mounted = 0;

    for (i = 0; i < in->n; i++) {
        if (!in->hung[i] && ngx_s3_drives_formatted(in->path[i])) {
            formatted++;
            mounted += ngx_s3_drives_mounted(in->path[i]);
        }
    }

    for (i = 0; i < in->n; i++) {

        in->present[i] = !in->hung[i];

        if (in->hung[i] && formatted) {
            continue;
        }

        if (formatted == 0) {

            if (in->hung[i]) {
                ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                              "s3: drive \"%s\" does not answer, and a new "
                              "store needs all of its drives", in->path[i]);
                return NGX_ERROR;
            }

            if (ngx_s3_drives_make_path(in->path[i], cycle->log) != NGX_OK) {
                return NGX_ERROR;
            }

            continue;
        }

        if (mounted && !ngx_s3_drives_formatted(in->path[i])
            && access(in->path[i], F_OK) == 0
            && !ngx_s3_drives_mounted(in->path[i]))
        {
            ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                          "s3: drive \"%s\" is empty and nothing is mounted "
                          "there, unlike on other drives: taken to be missing",
                          in->path[i]);

            in->present[i] = 0;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_s3_drives_make_path(const char *path, ngx_log_t *log)
{
    char   *p, c, buf[NGX_MAX_PATH];
    size_t  len;

    len = ngx_strlen(path);

    if (len >= sizeof(buf)) {
        return NGX_ERROR;
    }

    ngx_memcpy(buf, path, len + 1);

    for (p = buf + 1; /* void */ ; p++) {

        if (*p != '/' && *p != '\0') {
            continue;
        }

        c = *p;
        *p = '\0';

        if (mkdir(buf, c ? 0755 : 0700) == -1 && ngx_errno != NGX_EEXIST) {
            ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                          "s3: mkdir() \"%s\" failed", buf);
            return NGX_ERROR;
        }

        *p = c;

        if (c == '\0') {
            return NGX_OK;
        }
    }
}


ngx_uint_t
ngx_s3_drives_formatted(const char *path)
{
    char  buf[NGX_MAX_PATH + 16];

    (void) snprintf(buf, sizeof(buf), "%s/format.json", path);

    return access(buf, F_OK) == 0;
}


static ngx_uint_t
ngx_s3_drives_mounted(const char *path)
{
    char         buf[NGX_MAX_PATH + 16];
    struct stat  st, up;

    (void) snprintf(buf, sizeof(buf), "%s/..", path);

    return stat(path, &st) == 0 && stat(buf, &up) == 0
           && (st.st_dev != up.st_dev || st.st_ino == up.st_ino);
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
