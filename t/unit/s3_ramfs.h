/*
 * A drive in memory for the tests of tables and manifest, as small as can be:
 * no directories, no crash, one fault (the call of a given number fails).  And
 * a loop that has nothing but read_now(), which can refuse.
 */

#ifndef S3_RAMFS_H
#define S3_RAMFS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/s3_io.h"


#define RAM_FILES 64

struct s3_file_s {
    char name[64];
    uint8_t *data;
    size_t len;
    size_t room;
    int refs; /* the name, and each open handle */
};

typedef struct {
    s3_fs_t fs;
    s3_file_t *files[RAM_FILES];
    int open;     /* handles */
    long calls;   /* of anything that can fail */
    long fail_at; /* that call gives fail_rc; -1: none */
    long syncs;
    long fail_sync; /* that one does, too */
    int fail_rc;
    long preads;
} ram_t;

typedef struct {
    s3_loop_t loop;
    int refuse; /* 1: always S3_AGAIN; 2: every other time; 3: half */
    unsigned long reads;
} ram_loop_t;


static inline int
ram_fails(s3_fs_t *fs)
{
    ram_t *ram = fs->impl;

    return ram->calls++ == ram->fail_at ? ram->fail_rc : 0;
}


static inline s3_file_t **
ram_find(ram_t *ram, const char *name)
{
    int i;

    for (i = 0; i < RAM_FILES; i++) {
        if (ram->files[i] && strcmp(ram->files[i]->name, name) == 0) {
            return &ram->files[i];
        }
    }

    return NULL;
}


static inline void
ram_unref(s3_file_t *f)
{
    if (--f->refs == 0) {
        free(f->data);
        free(f);
    }
}


static int
ram_open(s3_fs_t *fs, const char *path, unsigned flags, s3_file_t **out)
{
    ram_t *ram = fs->impl;
    s3_file_t **at = ram_find(ram, path);
    int i, rc = ram_fails(fs);

    if (rc) {
        return rc;
    }

    if (at == NULL) {
        if (!(flags & S3_O_CREATE)) {
            return S3_ENOENT;
        }

        for (i = 0; i < RAM_FILES && ram->files[i]; i++) {
            /* void */
        }

        if (i == RAM_FILES) {
            return S3_ENOSPC;
        }

        at = &ram->files[i];
        *at = calloc(1, sizeof(s3_file_t));
        (void) snprintf((*at)->name, sizeof((*at)->name), "%s", path);
        (*at)->refs = 1;

    } else if (flags & S3_O_EXCL) {
        return S3_EEXIST;
    }

    (*at)->refs++;
    ram->open++;
    *out = *at;

    return S3_OK;
}


static void
ram_close(s3_fs_t *fs, s3_file_t *f)
{
    ((ram_t *) fs->impl)->open--;
    ram_unref(f);
}


static ssize_t
ram_pread(s3_fs_t *fs, s3_file_t *f, void *buf, size_t len, uint64_t off)
{
    int rc = ram_fails(fs);

    ((ram_t *) fs->impl)->preads++;

    if (rc) {
        return rc;
    }

    if (off >= f->len) {
        return 0;
    }

    len = s3_min(len, f->len - (size_t) off);

    /* exactly what was asked for is written: sanitizers watch the rest */

    memcpy(buf, f->data + off, len);

    return (ssize_t) len;
}


static int
ram_truncate(s3_fs_t *fs, s3_file_t *f, uint64_t size)
{
    int rc = ram_fails(fs);

    if (rc) {
        return rc;
    }

    if (size > f->room) {
        f->room = (size_t) size * 2;
        f->data = realloc(f->data, f->room);
    }

    if (size > f->len) {
        memset(f->data + f->len, 0, (size_t) size - f->len);
    }

    f->len = (size_t) size;

    return S3_OK;
}


static int
ram_pwrite(s3_fs_t *fs, s3_file_t *f, const void *buf, size_t len, uint64_t off)
{
    int rc = ram_fails(fs);

    if (rc) {
        return rc;
    }

    if (off + len > f->len) {
        ((ram_t *) fs->impl)->calls--;
        rc = ram_truncate(fs, f, off + len);
        if (rc) {
            return rc;
        }
    }

    if (len) {
        memcpy(f->data + off, buf, len);
    }

    return S3_OK;
}


static int
ram_size(s3_fs_t *fs, s3_file_t *f, uint64_t *size)
{
    *size = f->len;
    return ram_fails(fs);
}


static int
ram_sync(s3_fs_t *fs, s3_file_t *f)
{
    ram_t *ram = fs->impl;

    (void) f;

    return ram->syncs++ == ram->fail_sync ? ram->fail_rc : ram_fails(fs);
}


static int
ram_unlink(s3_fs_t *fs, const char *path)
{
    s3_file_t **at = ram_find(fs->impl, path);
    int rc = ram_fails(fs);

    if (rc) {
        return rc;
    }

    if (at == NULL) {
        return S3_ENOENT;
    }

    ram_unref(*at);
    *at = NULL;

    return S3_OK;
}


static int
ram_rename(s3_fs_t *fs, const char *from, const char *to)
{
    s3_file_t **src = ram_find(fs->impl, from), **dst;
    int rc = ram_fails(fs);

    if (rc) {
        return rc;
    }

    if (src == NULL) {
        return S3_ENOENT;
    }

    dst = ram_find(fs->impl, to);
    if (dst) {
        ram_unref(*dst);
        *dst = NULL;
    }

    (void) snprintf((*src)->name, sizeof((*src)->name), "%s", to);

    return S3_OK;
}


static int
ram_syncdir(s3_fs_t *fs, const char *path)
{
    (void) path;
    return ram_fails(fs);
}


static int
ram_list(s3_fs_t *fs, const char *path, int (*cb)(void *ctx, const char *name),
         void *ctx)
{
    ram_t *ram = fs->impl;
    size_t len = strlen(path);
    int i, rc = ram_fails(fs);

    for (i = 0; rc == 0 && i < RAM_FILES; i++) {
        if (ram->files[i] && strncmp(ram->files[i]->name, path, len) == 0
            && ram->files[i]->name[len] == '/')
        {
            rc = cb(ctx, ram->files[i]->name + len + 1);
        }
    }

    return rc;
}


static inline s3_fs_t *
ram_init(ram_t *ram)
{
    memset(ram, 0, sizeof(ram_t));

    ram->fail_at = -1;
    ram->fail_sync = -1;
    ram->fail_rc = S3_EIO;
    ram->fs.impl = ram;
    ram->fs.open = ram_open;
    ram->fs.close = ram_close;
    ram->fs.pread = ram_pread;
    ram->fs.pwrite = ram_pwrite;
    ram->fs.truncate = ram_truncate;
    ram->fs.size = ram_size;
    ram->fs.sync = ram_sync;
    ram->fs.rename = ram_rename;
    ram->fs.unlink = ram_unlink;
    ram->fs.syncdir = ram_syncdir;
    ram->fs.list = ram_list;

    return &ram->fs;
}


static inline void
ram_done(ram_t *ram)
{
    int i;

    for (i = 0; i < RAM_FILES; i++) {
        if (ram->files[i]) {
            ram_unref(ram->files[i]);
            ram->files[i] = NULL;
        }
    }
}


static ssize_t
ram_read_now(s3_loop_t *loop, s3_file_t *f, void *buf, size_t len, uint64_t off)
{
    ram_loop_t *l = (ram_loop_t *) loop;

    l->reads++;

    if (l->refuse == 1 || (l->refuse == 2 && l->reads % 2)) {
        return S3_AGAIN;
    }

    if (off >= f->len) {
        return 0;
    }

    len = s3_min(len, f->len - (size_t) off);

    if (l->refuse == 3) {
        len = (len + 1) / 2;
    }

    memcpy(buf, f->data + off, len);

    return (ssize_t) len;
}


static inline s3_loop_t *
ram_loop_init(ram_loop_t *l, int refuse)
{
    memset(l, 0, sizeof(ram_loop_t));

    l->refuse = refuse;
    l->loop.read_now = ram_read_now;

    return &l->loop;
}


/* Random numbers that are the same everywhere (splitmix64, Vigna). */

static inline uint64_t
ram_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;

    return z ^ (z >> 31);
}

#endif /* S3_RAMFS_H */
