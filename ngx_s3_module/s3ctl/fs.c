/*
 * The drive's directory for reading, and a layer of files in memory over it.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "s3ctl/fs_int.h"

static int
s3ctl_fs_find(s3ctl_fs_t *p, const char *path, unsigned flags, s3_file_t *f)
{
    int rc;
    s3ctl_node_t **at;

    f->fd = -1;
    f->node = NULL;
    at = s3ctl_node_find(p, path);

    if (at && !(*at)->gone) {
        f->node = *at;

    } else if (at == NULL) {
        rc = s3ctl_base_open(p, path, &f->fd);

        if (rc != S3_OK && rc != S3_ENOENT) {
            return rc;
        }
    }

    if (f->node || f->fd != -1) {
        if (flags & S3_O_CREATE && flags & S3_O_EXCL) {
            return S3_EEXIST;
        }

        if (f->node || !(flags & S3_O_CREATE)) {
            return S3_OK;
        }

        rc = s3ctl_base_copy(p, f->fd, path);
        if (rc != S3_OK) {
            return rc;
        }

        (void) close(f->fd);
        f->fd = -1;
        f->node = *s3ctl_node_find(p, path);

        return S3_OK;
    }

    if (!(flags & S3_O_CREATE)) {
        return S3_ENOENT;
    }

    f->node = s3ctl_node_new(p, path);

    return f->node ? S3_OK : S3_ENOMEM;
}


static int
s3ctl_open(s3_fs_t *fs, const char *path, unsigned flags, s3_file_t **f)
{
    int rc;
    s3_file_t *file;

    *f = NULL;
    file = calloc(1, sizeof(*file));
    if (file == NULL) {
        return S3_ENOMEM;
    }

    rc = s3ctl_fs_find(fs->impl, path, flags, file);

    if (rc != S3_OK) {
        if (file->fd != -1) {
            (void) close(file->fd);
        }

        free(file);
        return rc;
    }

    if (file->node) {
        file->node->refs++;
    }

    *f = file;

    return S3_OK;
}


static void
s3ctl_close(s3_fs_t *fs, s3_file_t *f)
{
    (void) fs;

    if (f == NULL) {
        return;
    }

    s3ctl_node_put(f->node);

    if (f->fd != -1) {
        (void) close(f->fd);
    }

    free(f);
}


static ssize_t
s3ctl_pread(s3_fs_t *fs, s3_file_t *f, void *buf, size_t len, uint64_t off)
{
    (void) fs;

    if (f->node == NULL) {
        return s3ctl_base_pread(f->fd, buf, len, off);
    }

    if (off >= f->node->size) {
        return 0;
    }

    len = s3_min(len, f->node->size - (size_t) off);

    if (len) {
        memcpy(buf, f->node->data + off, len);
    }

    return (ssize_t) len;
}


static int
s3ctl_pwrite(s3_fs_t *fs, s3_file_t *f, const void *buf, size_t len,
             uint64_t off)
{
    (void) fs;

    if (f->node == NULL) {
        return S3_EROFS;
    }

    if (off > SIZE_MAX / 2 || len > SIZE_MAX / 2) {
        return S3_ENOSPC;
    }

    if (off + len > f->node->size
        && s3ctl_node_size(f->node, off + len) != S3_OK) {
        return S3_ENOSPC;
    }

    if (len) {
        memcpy(f->node->data + off, buf, len);
    }

    return S3_OK;
}


static int
s3ctl_truncate(s3_fs_t *fs, s3_file_t *f, uint64_t size)
{
    (void) fs;

    return f->node ? s3ctl_node_size(f->node, size) : S3_EROFS;
}


static int
s3ctl_allocate(s3_fs_t *fs, s3_file_t *f, uint64_t size)
{
    if (f->node && size <= f->node->size) {
        return S3_OK;
    }

    return s3ctl_truncate(fs, f, size);
}


static int
s3ctl_size(s3_fs_t *fs, s3_file_t *f, uint64_t *size)
{
    struct stat st;

    (void) fs;

    if (f->node) {
        *size = f->node->size;
        return S3_OK;
    }

    if (fstat(f->fd, &st) == -1 || st.st_size < 0) {
        return S3_EIO;
    }

    *size = (uint64_t) st.st_size;

    return S3_OK;
}


static int
s3ctl_sync(s3_fs_t *fs, s3_file_t *f)
{
    (void) fs;
    (void) f;

    return S3_OK;
}


/* A directory that the drive lacks is a node that list() finds. */

static int
s3ctl_mkdir(s3_fs_t *fs, const char *path)
{
    struct stat st;
    s3ctl_fs_t *p = fs->impl;

    if (s3ctl_node_find(p, path)
        || fstatat(p->dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
    {
        return S3_OK;
    }

    return s3ctl_node_new(p, path) ? S3_OK : S3_ENOMEM;
}


static int
s3ctl_syncdir(s3_fs_t *fs, const char *path)
{
    (void) fs;
    (void) path;

    return S3_OK;
}


/* The name is gone; S3_ENOENT where there was none. */

static int
s3ctl_unlink(s3_fs_t *fs, const char *path)
{
    int rc, fd;
    s3ctl_fs_t *p = fs->impl;
    s3ctl_node_t *node, **at;

    at = s3ctl_node_find(p, path);

    if (at && (*at)->gone) {
        return S3_ENOENT;
    }

    rc = s3ctl_base_open(p, path, &fd);

    if (rc == S3_OK) {
        (void) close(fd);
    }

    if (rc == S3_ENOENT) {
        if (at == NULL) {
            return S3_ENOENT;
        }

        node = *at;
        *at = node->next;
        s3ctl_node_put(node);

        return S3_OK;
    }

    node = s3ctl_node_new(p, path);
    if (node == NULL) {
        return S3_ENOMEM;
    }

    node->gone = 1;

    return S3_OK;
}


static int
s3ctl_rename(s3_fs_t *fs, const char *from, const char *to)
{
    int rc;
    s3_file_t f;
    s3ctl_fs_t *p = fs->impl;
    s3ctl_node_t *node;

    rc = s3ctl_fs_find(p, from, 0, &f);
    if (rc != S3_OK) {
        return rc;
    }

    if (f.node) {
        node = s3ctl_node_new(p, to);
        rc = node ? S3_OK : S3_ENOMEM;

        if (node) {
            node->data = f.node->data;
            node->size = f.node->size;
            node->room = f.node->room;
            f.node->data = NULL;
            f.node->size = 0;
            f.node->room = 0;
        }

    } else {
        rc = s3ctl_base_copy(p, f.fd, to);
        (void) close(f.fd);
    }

    return rc == S3_OK ? s3ctl_unlink(fs, from) : rc;
}


static int
s3ctl_space(s3_fs_t *fs, uint64_t *bytes_free, uint64_t *bytes_total)
{
    (void) fs;

    /* of memory there is enough */
    *bytes_free = (uint64_t) 1 << 40;
    *bytes_total = (uint64_t) 1 << 40;

    return S3_OK;
}


static int
s3ctl_mtime(s3_fs_t *fs, const char *path, uint64_t *seconds)
{
    struct stat st;
    s3ctl_fs_t *p = fs->impl;

    if (fstatat(p->dir, path, &st, AT_SYMLINK_NOFOLLOW) == -1) {
        return s3ctl_fs_error(errno);
    }

    *seconds = (uint64_t) st.st_mtime;

    return S3_OK;
}


int
s3ctl_fs_open(const char *path, unsigned drive, s3_fs_t **fs)
{
    s3ctl_fs_t *p;

    *fs = NULL;
    p = calloc(1, sizeof(*p));
    if (p == NULL) {
        return S3_ENOMEM;
    }

    p->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (p->dir == -1) {
        free(p);
        return s3ctl_fs_error(errno);
    }

    p->fs.open = s3ctl_open;
    p->fs.close = s3ctl_close;
    p->fs.pread = s3ctl_pread;
    p->fs.pwrite = s3ctl_pwrite;
    p->fs.allocate = s3ctl_allocate;
    p->fs.truncate = s3ctl_truncate;
    p->fs.size = s3ctl_size;
    p->fs.sync = s3ctl_sync;
    p->fs.rename = s3ctl_rename;
    p->fs.unlink = s3ctl_unlink;
    p->fs.mkdir = s3ctl_mkdir;
    p->fs.syncdir = s3ctl_syncdir;
    p->fs.list = s3ctl_list;
    p->fs.space = s3ctl_space;
    p->fs.mtime = s3ctl_mtime;
    p->fs.drive = drive;
    p->fs.impl = p;
    *fs = &p->fs;

    return S3_OK;
}


void
s3ctl_fs_close(s3_fs_t *fs)
{
    s3ctl_fs_t *p;
    s3ctl_node_t *node, *next;

    if (fs == NULL) {
        return;
    }

    p = fs->impl;

    for (node = p->nodes; node; node = next) {
        next = node->next;
        s3ctl_node_put(node);
    }

    (void) close(p->dir);
    free(p);
}


int
s3ctl_fs_load(s3_fs_t *fs, const char *path, size_t max, uint8_t **data,
              size_t *len)
{
    int rc;
    uint64_t size;
    ssize_t n;
    s3_file_t *f;

    *data = NULL;
    *len = 0;

    rc = fs->open(fs, path, S3_O_READ, &f);
    if (rc != S3_OK) {
        return rc;
    }

    rc = fs->size(fs, f, &size);

    if (rc == S3_OK && size > max) {
        rc = S3_EINVAL;
    }

    if (rc == S3_OK) {
        *data = malloc((size_t) size + 1);
        rc = *data ? S3_OK : S3_ENOMEM;
    }

    if (rc == S3_OK) {
        n = fs->pread(fs, f, *data, (size_t) size, 0);

        if (n < 0) {
            rc = (int) n;
        } else {
            *len = (size_t) n;
        }
    }

    fs->close(fs, f);

    if (rc != S3_OK) {
        free(*data);
        *data = NULL;
    }

    return rc;
}
