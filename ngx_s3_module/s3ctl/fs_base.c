/*
 * The drive's directory, for reading; files of it in memory.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "s3ctl/fs_int.h"

#define S3CTL_COPY_MAX ((size_t) 1 << 30)

int
s3ctl_fs_error(int err)
{
    switch (err) {
    case ENOENT:
    case ENOTDIR:
        return S3_ENOENT;
    case ENOMEM:
        return S3_ENOMEM;
    default:
        return S3_EIO;
    }
}


void
s3ctl_node_put(s3ctl_node_t *node)
{
    if (node && --node->refs == 0) {
        free(node->data);
        free(node);
    }
}


s3ctl_node_t **
s3ctl_node_find(s3ctl_fs_t *p, const char *path)
{
    s3ctl_node_t **at;

    for (at = &p->nodes; *at; at = &(*at)->next) {
        if (strcmp((*at)->path, path) == 0) {
            return at;
        }
    }

    return NULL;
}


s3ctl_node_t *
s3ctl_node_new(s3ctl_fs_t *p, const char *path)
{
    size_t len;
    s3ctl_node_t *node, **at, *old;

    len = strlen(path);
    node = calloc(1, sizeof(*node) + len + 1);
    if (node == NULL) {
        return NULL;
    }

    memcpy(node->path, path, len + 1);
    node->refs = 1;
    at = s3ctl_node_find(p, path);

    if (at) {
        old = *at;
        node->next = old->next;
        *at = node;
        s3ctl_node_put(old);

    } else {
        node->next = p->nodes;
        p->nodes = node;
    }

    return node;
}


int
s3ctl_node_size(s3ctl_node_t *node, uint64_t size)
{
    size_t room;
    uint8_t *data;

    if (size > SIZE_MAX / 2) {
        return S3_ENOSPC;
    }

    if (size > node->room) {
        room = s3_max((size_t) size, node->room + node->room / 2);
        data = realloc(node->data, room);
        if (data == NULL) {
            return S3_ENOSPC;
        }

        node->data = data;
        node->room = room;
    }

    if (size > node->size) {
        memset(node->data + node->size, 0, (size_t) size - node->size);
    }

    node->size = (size_t) size;

    return S3_OK;
}


int
s3ctl_base_open(s3ctl_fs_t *p, const char *path, int *fd)
{
    int err;
    struct stat st;

    *fd = openat(p->dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (*fd == -1) {
        return s3ctl_fs_error(errno);
    }

    err = fstat(*fd, &st) == -1 || !S_ISREG(st.st_mode);

    if (err) {
        (void) close(*fd);
        return S3_EIO;
    }

    return S3_OK;
}


ssize_t
s3ctl_base_pread(int fd, void *buf, size_t len, uint64_t off)
{
    size_t done;
    ssize_t n;

    if (off > INT64_MAX || len > INT64_MAX - off) {
        return S3_EINVAL;
    }

    for (done = 0; done < len; done += (size_t) n) {
        n = pread(fd, (char *) buf + done, len - done, (off_t) (off + done));

        if (n == 0) {
            break;
        }

        if (n == -1) {
            if (errno != EINTR) {
                return S3_EIO;
            }

            n = 0;
        }
    }

    return (ssize_t) done;
}


static int
s3ctl_base_load(int fd, size_t max, uint8_t **data, size_t *len)
{
    ssize_t n;
    struct stat st;

    if (fstat(fd, &st) == -1) {
        return S3_EIO;
    }

    if (st.st_size < 0 || (uint64_t) st.st_size > max) {
        return S3_EINVAL;
    }

    *data = malloc((size_t) st.st_size + 1);
    if (*data == NULL) {
        return S3_ENOMEM;
    }

    n = s3ctl_base_pread(fd, *data, (size_t) st.st_size, 0);

    if (n < 0) {
        free(*data);
        *data = NULL;
        return (int) n;
    }

    *len = (size_t) n;

    return S3_OK;
}


int
s3ctl_base_copy(s3ctl_fs_t *p, int fd, const char *to)
{
    int rc;
    size_t len;
    uint8_t *data;
    s3ctl_node_t *node;

    len = 0;
    rc = s3ctl_base_load(fd, S3CTL_COPY_MAX, &data, &len);
    if (rc != S3_OK) {
        return rc;
    }

    node = s3ctl_node_new(p, to);

    if (node == NULL) {
        free(data);
        return S3_ENOMEM;
    }

    node->data = data;
    node->size = len;
    node->room = len;

    return S3_OK;
}


/* The name in the directory that a path has, or NULL. */

static const char *
s3ctl_fs_inside(const char *path, const char *dir)
{
    size_t len = strlen(dir);

    if (len == 0) {
        return strchr(path, '/') ? NULL : path;
    }

    if (strncmp(path, dir, len) != 0 || path[len] != '/'
        || strchr(path + len + 1, '/'))
    {
        return NULL;
    }

    return path + len + 1;
}


/* Names are gathered first: the callback may remove what it is told of. */

typedef struct {
    char **names;
    size_t n;
    size_t room;
} s3ctl_names_t;


static int
s3ctl_names_add(s3ctl_names_t *names, const char *name)
{
    size_t room;
    char **p;

    if (names->n == names->room) {
        room = names->room * 2 + 64;
        p = realloc(names->names, room * sizeof(*p));
        if (p == NULL) {
            return S3_ENOMEM;
        }

        names->names = p;
        names->room = room;
    }

    names->names[names->n] = strdup(name);

    return names->names[names->n] ? (names->n++, S3_OK) : S3_ENOMEM;
}


static int
s3ctl_names_base(s3ctl_fs_t *p, const char *path, s3ctl_names_t *names)
{
    int fd, rc;
    char full[512];
    DIR *d;
    struct dirent *e;

    fd = openat(p->dir, *path ? path : ".",
                O_RDONLY | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW);
    if (fd == -1) {
        return s3ctl_fs_error(errno);
    }

    d = fdopendir(fd);

    if (d == NULL) {
        (void) close(fd);
        return S3_ENOMEM;
    }

    rc = S3_OK;

    for (errno = 0; rc == S3_OK && (e = readdir(d)) != NULL; errno = 0) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0
            || snprintf(full, sizeof(full), "%s%s%s", path, *path ? "/" : "",
                        e->d_name)
                   >= (int) sizeof(full)
            || s3ctl_node_find(p, full))
        {
            continue;
        }

        rc = s3ctl_names_add(names, e->d_name);
    }

    if (rc == S3_OK && errno) {
        rc = S3_EIO;
    }

    (void) closedir(d);

    return rc;
}


int
s3ctl_list(s3_fs_t *fs, const char *path,
           int (*cb)(void *ctx, const char *name), void *ctx)
{
    int rc;
    size_t i;
    const char *name;
    s3ctl_fs_t *p = fs->impl;
    s3ctl_node_t *node;
    s3ctl_names_t names = {NULL, 0, 0};

    rc = s3ctl_names_base(p, path, &names);

    if (rc == S3_ENOENT && s3ctl_node_find(p, path)) {
        rc = S3_OK;
    }

    for (node = p->nodes; node && (rc == S3_OK || rc == S3_ENOENT);
         node = node->next)
    {
        name = node->gone ? NULL : s3ctl_fs_inside(node->path, path);

        if (name) {
            rc = s3ctl_names_add(&names, name);
        }
    }

    for (i = 0; i < names.n && rc == S3_OK; i++) {
        rc = cb(ctx, names.names[i]);
    }

    for (i = 0; i < names.n; i++) {
        free(names.names[i]);
    }

    free(names.names);

    return rc;
}
