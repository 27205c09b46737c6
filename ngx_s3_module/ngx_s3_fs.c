/*
 * s3_fs_t over POSIX; see ngx_s3_fs.h.
 *
 * The drive's directory has one descriptor number for the whole life of the
 * s3_fs_t: attach and detach put another file behind it by dup3(), which is
 * atomic, so that threads may go on using the number.  Detached, it is
 * /dev/null, under which every path fails with ENOTDIR.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "ngx_s3_fs.h"


/* One read() or write() call; the kernel itself stops a little below 2G. */

#define NGX_S3_FS_CHUNK  (1024 * 1024 * 1024)

#define ngx_s3_fs_retry(rc, call)                                             \
    do {                                                                      \
        rc = (call);                                                          \
    } while (rc == -1 && errno == EINTR)


typedef struct {
    uint64_t         dev;
    uint64_t         ino;
    uint64_t         mount;
} ngx_s3_fs_id_t;


typedef struct {
    s3_fs_t          fs;
    int              fd;
    char            *path;
    unsigned         chown:1;
    uid_t            uid;
    gid_t            gid;

    int            (*admit)(void *ctx);
    void            *ctx;

    pthread_mutex_t  mutex;      /* of what follows; never held over I/O */
    unsigned         attached:1;
    unsigned         slow:1;
    ngx_s3_fs_id_t   id;
} ngx_s3_fs_t;


static int ngx_s3_fs_identify(int fd, const char *path, ngx_s3_fs_id_t *id);
static int ngx_s3_fs_fail(s3_fs_t *fs);


void
ngx_s3_fs_destroy(s3_fs_t *fs)
{
    ngx_s3_fs_t  *p = fs->impl;

    (void) close(p->fd);
    (void) pthread_mutex_destroy(&p->mutex);

    free(p->path);
    free(p);
}


const char *
ngx_s3_fs_path(s3_fs_t *fs)
{
    ngx_s3_fs_t  *p = fs->impl;

    return p->path;
}


void
ngx_s3_fs_owner(s3_fs_t *fs, uid_t uid, gid_t gid)
{
    ngx_s3_fs_t  *p = fs->impl;

    p->uid = uid;
    p->gid = gid;
    p->chown = 1;
}


void
ngx_s3_fs_lazy(s3_fs_t *fs, int (*admit)(void *ctx), void *ctx)
{
    ngx_s3_fs_t  *p = fs->impl;

    p->admit = admit;
    p->ctx = ctx;
}


int
ngx_s3_fs_attach(s3_fs_t *fs)
{
    int              fd, rc;
    ngx_s3_fs_t     *p = fs->impl;
    struct statvfs   vfs;
    ngx_s3_fs_id_t   id;

    ngx_s3_fs_retry(fd, open(p->path, O_RDONLY|O_DIRECTORY|O_CLOEXEC));

    if (fd == -1) {
        return ngx_s3_fs_error(errno == ENOTDIR ? ENOENT : errno);
    }

    rc = ngx_s3_fs_identify(fd, NULL, &id);
    if (rc != S3_OK) {
        goto failed;
    }

    if (fstatvfs(fd, &vfs) == -1) {
        rc = S3_EIO;
        goto failed;
    }

    if ((vfs.f_flag & ST_RDONLY)
        || faccessat(fd, ".", R_OK|W_OK|X_OK, AT_EACCESS) == -1)
    {
        rc = S3_EROFS;
        goto failed;
    }

    (void) pthread_mutex_lock(&p->mutex);

    do {
        rc = dup3(fd, p->fd, O_CLOEXEC);
    } while (rc == -1 && (errno == EINTR || errno == EBUSY));

    if (rc != -1) {
        p->id = id;
        p->attached = 1;
        p->slow = (ngx_s3_fs_slow(fd) != 0);
    }

    (void) pthread_mutex_unlock(&p->mutex);

    rc = (rc == -1) ? S3_EIO : S3_OK;

failed:

    (void) close(fd);

    return rc;
}


void
ngx_s3_fs_detach(s3_fs_t *fs)
{
    int           fd;
    ngx_s3_fs_t  *p = fs->impl;

    fd = open("/dev/null", O_RDONLY|O_CLOEXEC);

    (void) pthread_mutex_lock(&p->mutex);

    if (fd != -1) {
        (void) dup3(fd, p->fd, O_CLOEXEC);
    }

    p->attached = 0;

    (void) pthread_mutex_unlock(&p->mutex);

    if (fd != -1) {
        (void) close(fd);
    }
}


int
ngx_s3_fs_attached(s3_fs_t *fs)
{
    int           attached;
    ngx_s3_fs_t  *p = fs->impl;

    (void) pthread_mutex_lock(&p->mutex);
    attached = p->attached;
    (void) pthread_mutex_unlock(&p->mutex);

    return attached;
}


int
ngx_s3_fs_check(s3_fs_t *fs)
{
    int              rc, attached;
    ngx_s3_fs_t     *p = fs->impl;
    struct statvfs   vfs;
    ngx_s3_fs_id_t   id, now;

    (void) pthread_mutex_lock(&p->mutex);
    attached = p->attached;
    id = p->id;
    (void) pthread_mutex_unlock(&p->mutex);

    if (!attached) {
        return S3_ENOENT;
    }

    rc = ngx_s3_fs_identify(AT_FDCWD, p->path, &now);
    if (rc != S3_OK) {
        return rc;
    }

    if (now.dev != id.dev || now.ino != id.ino || now.mount != id.mount) {
        return S3_EFOREIGN;
    }

    if (fstatvfs(p->fd, &vfs) == -1) {
        return S3_EIO;
    }

    return (vfs.f_flag & ST_RDONLY) ? S3_EROFS : S3_OK;
}


/* Of an open directory (path is NULL), or of what the path leads to. */

static int
ngx_s3_fs_identify(int fd, const char *path, ngx_s3_fs_id_t *id)
{
    int            rc, flags;
    unsigned       mask;
    struct statx   st;

    mask = STATX_TYPE|STATX_INO;

#ifdef STATX_MNT_ID
    mask |= STATX_MNT_ID;
#endif

    flags = 0;

    if (path == NULL) {
        path = "";
        flags = AT_EMPTY_PATH;
    }

    ngx_s3_fs_retry(rc, statx(fd, path, flags, mask, &st));

    if (rc == -1) {
        return ngx_s3_fs_error(errno == ENOTDIR ? ENOENT : errno);
    }

    if (!S_ISDIR(st.stx_mode)) {
        return S3_ENOENT;
    }

    id->dev = (uint64_t) st.stx_dev_major << 32 | st.stx_dev_minor;
    id->ino = st.stx_ino;
    id->mount = 0;

#ifdef STATX_MNT_ID
    if (st.stx_mask & STATX_MNT_ID) {
        id->mount = st.stx_mnt_id;
    }
#endif

    return S3_OK;
}


int
ngx_s3_fs_error(int err)
{
    switch (err) {

    case 0:
        return S3_OK;

    case ENOENT:
        return S3_ENOENT;

    case EEXIST:
    case ENOTEMPTY:
        return S3_EEXIST;

    case ENOSPC:
    case EDQUOT:
        return S3_ENOSPC;

    case EROFS:
    case EACCES:
    case EPERM:
        return S3_EROFS;

    case ENOMEM:
        return S3_ENOMEM;

    default:
        return S3_EIO;
    }
}


/* The descriptor to start from; without a drive /dev/null, which fails. */

int
ngx_s3_fs_dir(s3_fs_t *fs)
{
    ngx_s3_fs_t  *p = fs->impl;

    if (p->admit && !ngx_s3_fs_attached(fs) && p->admit(p->ctx) == S3_OK) {
        (void) ngx_s3_fs_attach(fs);
    }

    return p->fd;
}


/*
 * errno of a call with a path.  In a directory that was removed nothing
 * exists: that is a drive that has gone and not a file that is absent.
 */

static int
ngx_s3_fs_fail(s3_fs_t *fs)
{
    int           err;
    ngx_s3_fs_t  *p = fs->impl;
    struct stat   st;

    err = errno;

    if (err == ENOENT
        && (fstat(p->fd, &st) == -1 || st.st_nlink == 0
            || !S_ISDIR(st.st_mode)))
    {
        return S3_EIO;
    }

    return ngx_s3_fs_error(err);
}


static int
ngx_s3_fs_open(s3_fs_t *fs, const char *path, unsigned flags, s3_file_t **f)
{
    int           fd, dir, how;
    s3_file_t    *file;
    ngx_s3_fs_t  *p = fs->impl;

    *f = NULL;

    how = O_CLOEXEC|O_NOFOLLOW;

    if (flags & S3_O_WRITE) {
        how |= (flags & S3_O_READ) ? O_RDWR : O_WRONLY;

    } else {
        how |= O_RDONLY;
    }

    if (flags & S3_O_CREATE) {
        how |= O_CREAT;
    }

    if (flags & S3_O_EXCL) {
        how |= O_EXCL;
    }

    file = calloc(1, sizeof(s3_file_t));
    if (file == NULL) {
        return S3_ENOMEM;
    }

    dir = ngx_s3_fs_dir(fs);

    ngx_s3_fs_retry(fd, openat(dir, path, how, 0600));

    if (fd == -1) {
        free(file);
        return ngx_s3_fs_fail(fs);
    }

    if (p->chown && (flags & S3_O_CREATE)
        && fchown(fd, p->uid, p->gid) == -1)
    {
        how = errno;

        (void) close(fd);
        free(file);

        return ngx_s3_fs_error(how);
    }

    file->fd = fd;
    file->write = (flags & S3_O_WRITE) != 0;
    file->slow = p->slow;

    /*
     * Where O_DIRECT is refused, open() may have created the file before it
     * fails, and O_EXCL would then fail the second attempt.
     */

    if (flags & S3_O_DIRECT) {
        how = fcntl(fd, F_GETFL);
        file->direct = (how != -1 && fcntl(fd, F_SETFL, how|O_DIRECT) == 0);
    }

    *f = file;

    return S3_OK;
}


static void
ngx_s3_fs_close(s3_fs_t *fs, s3_file_t *f)
{
    (void) fs;

    if (f == NULL) {
        return;
    }

    (void) close(f->fd);
    free(f);
}


static ssize_t
ngx_s3_fs_pread(s3_fs_t *fs, s3_file_t *f, void *buf, size_t len, uint64_t off)
{
    size_t    done;
    ssize_t   n;

    (void) fs;

    for (done = 0; done < len; done += n) {

        n = pread(f->fd, (char *) buf + done,
                  s3_min(len - done, NGX_S3_FS_CHUNK), off + done);

        if (n == -1) {
            if (errno == EINTR) {
                n = 0;
                continue;
            }

            return ngx_s3_fs_error(errno);
        }

        if (n == 0) {
            break;
        }

        /* the rest would not be aligned: this was the end of the file */

        if (f->direct && n % S3_SECTOR) {
            done += n;
            break;
        }
    }

    return done;
}


static int
ngx_s3_fs_pwrite(s3_fs_t *fs, s3_file_t *f, const void *buf, size_t len,
    uint64_t off)
{
    size_t    done;
    ssize_t   n;

    (void) fs;

    for (done = 0; done < len; done += n) {

        n = pwrite(f->fd, (const char *) buf + done,
                   s3_min(len - done, NGX_S3_FS_CHUNK), off + done);

        if (n == -1) {
            if (errno == EINTR) {
                n = 0;
                continue;
            }

            return ngx_s3_fs_error(errno);
        }

        if (n == 0 || (f->direct && n % S3_SECTOR)) {
            return S3_EIO;
        }
    }

    return S3_OK;
}


static int
ngx_s3_fs_allocate(s3_fs_t *fs, s3_file_t *f, uint64_t size)
{
    int  err;

    (void) fs;

    if (size == 0) {
        return S3_OK;
    }

    /* where the filesystem cannot, the C library writes the zeros itself */

    do {
        err = posix_fallocate(f->fd, 0, size);
    } while (err == EINTR);

    return ngx_s3_fs_error(err);
}


static int
ngx_s3_fs_truncate(s3_fs_t *fs, s3_file_t *f, uint64_t size)
{
    int  rc;

    (void) fs;

    ngx_s3_fs_retry(rc, ftruncate(f->fd, size));

    return rc == -1 ? ngx_s3_fs_error(errno) : S3_OK;
}


static int
ngx_s3_fs_size(s3_fs_t *fs, s3_file_t *f, uint64_t *size)
{
    struct stat  st;

    (void) fs;

    if (fstat(f->fd, &st) == -1) {
        return ngx_s3_fs_error(errno);
    }

    *size = st.st_size;

    return S3_OK;
}


static int
ngx_s3_fs_sync(s3_fs_t *fs, s3_file_t *f)
{
    int  rc;

    (void) fs;

    ngx_s3_fs_retry(rc, fdatasync(f->fd));

    return rc == -1 ? ngx_s3_fs_error(errno) : S3_OK;
}


static int
ngx_s3_fs_rename(s3_fs_t *fs, const char *from, const char *to)
{
    int  rc, dir;

    dir = ngx_s3_fs_dir(fs);

    ngx_s3_fs_retry(rc, renameat(dir, from, dir, to));

    return rc == -1 ? ngx_s3_fs_fail(fs) : S3_OK;
}


static int
ngx_s3_fs_unlink(s3_fs_t *fs, const char *path)
{
    int  rc, dir;

    dir = ngx_s3_fs_dir(fs);

    ngx_s3_fs_retry(rc, unlinkat(dir, path, 0));

    return rc == -1 ? ngx_s3_fs_fail(fs) : S3_OK;
}


static int
ngx_s3_fs_mkdir(s3_fs_t *fs, const char *path)
{
    int           dir;
    ngx_s3_fs_t  *p = fs->impl;
    struct stat   st;

    dir = ngx_s3_fs_dir(fs);

    if (mkdirat(dir, path, 0700) == 0) {

        if (p->chown
            && fchownat(dir, path, p->uid, p->gid, AT_SYMLINK_NOFOLLOW)
               == -1)
        {
            return ngx_s3_fs_fail(fs);
        }

        return S3_OK;
    }

    if (errno != EEXIST) {
        return ngx_s3_fs_fail(fs);
    }

    if (fstatat(dir, path, &st, 0) == -1) {
        return ngx_s3_fs_fail(fs);
    }

    return S_ISDIR(st.st_mode) ? S3_OK : S3_EEXIST;
}


/* "" is the drive itself, as "." is */

static int
ngx_s3_fs_opendir(s3_fs_t *fs, const char *path, int *fd)
{
    int  dir;

    if (path[0] == '\0') {
        path = ".";
    }

    dir = ngx_s3_fs_dir(fs);

    ngx_s3_fs_retry(*fd, openat(dir, path, O_RDONLY|O_DIRECTORY|O_CLOEXEC));

    return *fd == -1 ? ngx_s3_fs_fail(fs) : S3_OK;
}


static int
ngx_s3_fs_syncdir(s3_fs_t *fs, const char *path)
{
    int  fd, rc;

    rc = ngx_s3_fs_opendir(fs, path, &fd);
    if (rc != S3_OK) {
        return rc;
    }

    ngx_s3_fs_retry(rc, fsync(fd));

    rc = (rc == -1) ? ngx_s3_fs_error(errno) : S3_OK;

    (void) close(fd);

    return rc;
}


static int
ngx_s3_fs_list(s3_fs_t *fs, const char *path,
    int (*cb)(void *ctx, const char *name), void *ctx)
{
    int             fd, rc;
    DIR            *dir;
    struct dirent  *de;

    rc = ngx_s3_fs_opendir(fs, path, &fd);
    if (rc != S3_OK) {
        return rc;
    }

    dir = fdopendir(fd);
    if (dir == NULL) {
        (void) close(fd);
        return S3_ENOMEM;
    }

    for ( ;; ) {
        errno = 0;

        de = readdir(dir);

        if (de == NULL) {
            rc = ngx_s3_fs_error(errno == ENOENT ? EIO : errno);
            break;
        }

        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0) {
            continue;
        }

        rc = cb(ctx, de->d_name);
        if (rc != S3_OK) {
            break;
        }
    }

    (void) closedir(dir);

    return rc;
}


static int
ngx_s3_fs_space(s3_fs_t *fs, uint64_t *bytes_free, uint64_t *bytes_total)
{
    int              rc, dir;
    struct statvfs   vfs;

    dir = ngx_s3_fs_dir(fs);

    /* /dev/null would tell of another filesystem */

    if (!ngx_s3_fs_attached(fs)) {
        return S3_EIO;
    }

    ngx_s3_fs_retry(rc, fstatvfs(dir, &vfs));

    if (rc == -1) {
        return ngx_s3_fs_error(errno);
    }

    *bytes_free = (uint64_t) vfs.f_bavail * vfs.f_frsize;
    *bytes_total = (uint64_t) vfs.f_blocks * vfs.f_frsize;

    return S3_OK;
}


static const s3_fs_t  ngx_s3_fs_ops = {
    .open = ngx_s3_fs_open,
    .close = ngx_s3_fs_close,
    .pread = ngx_s3_fs_pread,
    .pwrite = ngx_s3_fs_pwrite,
    .allocate = ngx_s3_fs_allocate,
    .truncate = ngx_s3_fs_truncate,
    .size = ngx_s3_fs_size,
    .sync = ngx_s3_fs_sync,
    .rename = ngx_s3_fs_rename,
    .unlink = ngx_s3_fs_unlink,
    .mkdir = ngx_s3_fs_mkdir,
    .syncdir = ngx_s3_fs_syncdir,
    .list = ngx_s3_fs_list,
    .space = ngx_s3_fs_space,
    .mtime = ngx_s3_fs_mtime,
    .forget = ngx_s3_fs_detach,
    .pause = ngx_s3_fs_pause,
};


s3_fs_t *
ngx_s3_fs_create(const char *path, unsigned drive)
{
    ngx_s3_fs_t  *p;

    p = calloc(1, sizeof(ngx_s3_fs_t));
    if (p == NULL) {
        return NULL;
    }

    p->path = strdup(path);
    if (p->path == NULL) {
        free(p);
        return NULL;
    }

    p->fd = open("/dev/null", O_RDONLY|O_CLOEXEC);
    if (p->fd == -1) {
        free(p->path);
        free(p);
        return NULL;
    }

    (void) pthread_mutex_init(&p->mutex, NULL);

    p->fs = ngx_s3_fs_ops;
    p->fs.impl = p;
    p->fs.drive = drive;

    return &p->fs;
}
