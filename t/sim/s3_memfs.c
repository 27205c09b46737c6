/*
 * Drives in memory: the calls of s3_fs_t, with their faults.
 */

#include <stdio.h>
#include <stdlib.h>

#include "s3_memfs_impl.h"


/* The calls of s3_fs_t. */

static s3_fault_t
s3_memfs_io(s3_memfs_t *m)
{
    if (m->sim->in_turn && !m->sim->in_task) {
        s3_memfs_abort("a blocking call on the event loop");
    }

    return m->dead ? S3_FAULT_EIO : s3_sim_io(m->sim, m->drive);
}


static int
s3_memfs_fails(s3_fault_t fault, int grows)
{
    switch (fault) {

    case S3_FAULT_NONE:
    case S3_FAULT_SHORT:
    case S3_FAULT_FLIP:
        return S3_OK;

    case S3_FAULT_ENOSPC:
        return grows ? S3_ENOSPC : S3_EIO;

    default:
        return S3_EIO;
    }
}


uint64_t
s3_memfs_used(const s3_memfs_t *m)
{
    size_t i;
    uint64_t used = 0;

    for (i = 0; i < m->now.n; i++) {
        used += m->now.names[i].inode->size;
    }

    return used;
}


static int
s3_memfs_open(s3_fs_t *fs, const char *path, unsigned flags, s3_file_t **f)
{
    int rc;
    s3_file_t *file;
    s3_name_t *name;
    s3_memfs_t *m = fs->impl;
    s3_inode_t *inode;

    rc = s3_memfs_fails(s3_memfs_io(m), flags & S3_O_CREATE);
    if (rc != S3_OK) {
        return rc;
    }

    name = s3_names_find(&m->now, path);

    if (name) {
        if (flags & S3_O_CREATE && flags & S3_O_EXCL) {
            return S3_EEXIST;
        }

        if (name->inode->dir) {
            return S3_EIO;
        }

        inode = name->inode;
        inode->refs++;

    } else {
        if (!(flags & S3_O_CREATE) || !s3_names_has_parent(&m->now, path)) {
            return S3_ENOENT;
        }

        inode = s3_sim_need(calloc(1, sizeof(*inode)));
        inode->refs = 1;
        s3_names_set(&m->now, path, inode);
        s3_memfs_change(m, NULL, path, inode);
    }

    file = s3_sim_need(calloc(1, sizeof(*file)));
    file->m = m;
    file->inode = inode;
    file->flags = flags;
    file->next = m->files;
    m->files = file;
    m->n_files++;
    *f = file;

    return S3_OK;
}


static void
s3_memfs_close(s3_fs_t *fs, s3_file_t *f)
{
    s3_file_t **p;
    s3_memfs_t *m = fs->impl;

    for (p = &m->files; *p != f; p = &(*p)->next) {
        if (*p == NULL) {
            s3_memfs_abort("close of a file that is not open");
        }
    }

    *p = f->next;
    m->n_files--;
    s3_inode_release(f->inode);
    free(f);
}


static void
s3_memfs_check(s3_file_t *f, const void *buf, size_t len, uint64_t off)
{
    if (f->flags & S3_O_DIRECT
        && (((uintptr_t) buf | len | off) & (S3_SECTOR - 1))) {
        s3_memfs_abort("direct I/O that is not aligned");
    }
}


ssize_t
s3_memfs_do_read(s3_file_t *f, void *buf, size_t len, uint64_t off)
{
    int rc;
    size_t n, have;
    s3_sim_t *sim = f->m->sim;
    s3_fault_t fault;
    s3_inode_t *inode = f->inode;

    s3_memfs_check(f, buf, len, off);

    fault = f->m->dead ? S3_FAULT_EIO : s3_sim_io(sim, f->m->drive);
    rc = s3_memfs_fails(fault, 0);

    if (rc != S3_OK || f->dead) {
        return S3_EIO;
    }

    n = off >= inode->size ? 0 : s3_min(len, (size_t) (inode->size - off));

    if (fault == S3_FAULT_SHORT && n) {
        n = (size_t) s3_sim_random(sim, n);
    }

    have = off >= inode->extent ? 0 : s3_min(n, inode->extent - (size_t) off);

    if (n) {
        memset(buf, 0, n);
    }

    if (have) {
        memcpy(buf, inode->data + off, have);
    }

    if (fault == S3_FAULT_FLIP && n) {
        ((uint8_t *) buf)[s3_sim_random(sim, n)] ^=
            (uint8_t) (1 << s3_sim_random(sim, 8));
    }

    return (ssize_t) n;
}


int
s3_memfs_do_write(s3_file_t *f, const void *buf, size_t len, uint64_t off,
                  int dsync)
{
    int rc;
    uint8_t *copy;
    s3_sim_t *sim = f->m->sim;
    s3_fault_t fault;

    s3_memfs_check(f, buf, len, off);

    if (!(f->flags & S3_O_WRITE)) {
        s3_memfs_abort("write to a file open for reading");
    }

    fault = f->m->dead ? S3_FAULT_EIO : s3_sim_io(sim, f->m->drive);

    if (f->dead) {
        return S3_EIO;
    }

    if (f->m->capacity && off + len > f->inode->size
        && s3_memfs_used(f->m) + (off + len - f->inode->size) > f->m->capacity)
    {
        return S3_ENOSPC;
    }

    if (fault == S3_FAULT_SHORT && len) {
        s3_memfs_put(f->m, f->inode, buf,
                     (size_t) s3_sim_random(sim, len) & ~(size_t) 511, off, 0,
                     100);
        return S3_EIO;
    }

    if (fault == S3_FAULT_TORN) {
        s3_memfs_put(f->m, f->inode, buf, len, off, 0, 50);
        return S3_EIO;
    }

    if (fault == S3_FAULT_FLIP && len) {
        copy = s3_sim_need(malloc(len));
        memcpy(copy, buf, len);
        copy[s3_sim_random(sim, len)] ^= (uint8_t) (1 << s3_sim_random(sim, 8));
        s3_memfs_put(f->m, f->inode, copy, len, off, dsync, 100);
        free(copy);
        return S3_OK;
    }

    rc = s3_memfs_fails(fault, 1);

    if (rc == S3_OK) {
        s3_memfs_put(f->m, f->inode, buf, len, off, dsync, 100);
    }

    return rc;
}


static void
s3_memfs_not_on_loop(s3_memfs_t *m)
{
    if (m->sim->in_turn && !m->sim->in_task) {
        s3_memfs_abort("a blocking call on the event loop");
    }
}


static ssize_t
s3_memfs_pread(s3_fs_t *fs, s3_file_t *f, void *buf, size_t len, uint64_t off)
{
    s3_memfs_not_on_loop(fs->impl);

    return s3_memfs_do_read(f, buf, len, off);
}


static int
s3_memfs_pwrite(s3_fs_t *fs, s3_file_t *f, const void *buf, size_t len,
                uint64_t off)
{
    int rc, stopped;
    s3_sim_t *sim = f->m->sim;

    s3_memfs_not_on_loop(fs->impl);

    stopped = sim->stopped;
    rc = s3_memfs_do_write(f, buf, len, off, 0);

    if (sim->stopped && !stopped && !f->dead) {
        /* the world stopped in the middle of it */
        s3_memfs_put(f->m, f->inode, buf, len, off, 0,
                     (unsigned) s3_sim_random(sim, 3) * 50);
    }

    return rc;
}


static int
s3_memfs_allocate(s3_fs_t *fs, s3_file_t *f, uint64_t size)
{
    int rc;
    s3_memfs_t *m = fs->impl;

    rc = s3_memfs_fails(s3_memfs_io(m), 1);
    if (rc != S3_OK || f->dead) {
        return rc != S3_OK ? rc : S3_EIO;
    }

    s3_sim_wait(m->sim, f->inode);

    if (size <= f->inode->size) {
        return S3_OK;
    }

    if (m->capacity && s3_memfs_used(m) + (size - f->inode->size) > m->capacity)
    {
        return S3_ENOSPC;
    }

    f->inode->size = size;

    return S3_OK;
}


static int
s3_memfs_truncate(s3_fs_t *fs, s3_file_t *f, uint64_t size)
{
    int rc;
    s3_inode_t *inode = f->inode;

    rc = s3_memfs_fails(s3_memfs_io(fs->impl), 0);
    if (rc != S3_OK || f->dead) {
        return rc != S3_OK ? rc : S3_EIO;
    }

    if (size < inode->extent) {
        memset(inode->data + size, 0, inode->extent - (size_t) size);
    }

    inode->size = size;

    return S3_OK;
}


static int
s3_memfs_size(s3_fs_t *fs, s3_file_t *f, uint64_t *size)
{
    int rc;

    rc = s3_memfs_fails(s3_memfs_io(fs->impl), 0);

    if (rc == S3_OK && f->dead) {
        rc = S3_EIO;
    }

    *size = f->inode->size;

    return rc;
}


static int
s3_memfs_sync(s3_fs_t *fs, s3_file_t *f)
{
    int rc;

    rc = s3_memfs_fails(s3_memfs_io(fs->impl), 0);

    if (rc == S3_OK && f->dead) {
        rc = S3_EIO;
    }

    if (rc == S3_OK) {
        s3_inode_sync(f->inode);
    }

    return rc;
}


static int
s3_memfs_rename(s3_fs_t *fs, const char *from, const char *to)
{
    int rc;
    s3_memfs_t *m = fs->impl;
    s3_name_t *name;
    s3_inode_t *inode;

    rc = s3_memfs_fails(s3_memfs_io(m), 1);
    if (rc != S3_OK) {
        return rc;
    }

    name = s3_names_find(&m->now, from);

    if (name == NULL || !s3_names_has_parent(&m->now, to)) {
        return S3_ENOENT;
    }

    if (strcmp(from, to) == 0) {
        return S3_OK;
    }

    inode = name->inode;
    s3_memfs_change(m, from, to, inode);
    s3_names_set(&m->now, to, inode);
    s3_names_remove(&m->now, s3_names_find(&m->now, from));

    return S3_OK;
}


static int
s3_memfs_unlink(s3_fs_t *fs, const char *path)
{
    int rc;
    s3_memfs_t *m = fs->impl;
    s3_name_t *name;

    rc = s3_memfs_fails(s3_memfs_io(m), 0);
    if (rc != S3_OK) {
        return rc;
    }

    name = s3_names_find(&m->now, path);

    if (name == NULL) {
        return S3_ENOENT;
    }

    if (name->inode->dir) {
        return S3_EIO;
    }

    s3_memfs_change(m, path, NULL, name->inode);
    s3_names_remove(&m->now, name);

    return S3_OK;
}


static int
s3_memfs_mkdir(s3_fs_t *fs, const char *path)
{
    int rc;
    s3_memfs_t *m = fs->impl;
    s3_name_t *name;
    s3_inode_t *inode;

    rc = s3_memfs_fails(s3_memfs_io(m), 1);
    if (rc != S3_OK) {
        return rc;
    }

    name = s3_names_find(&m->now, path);

    if (name) {
        return name->inode->dir ? S3_OK : S3_EIO;
    }

    if (!s3_names_has_parent(&m->now, path)) {
        return S3_ENOENT;
    }

    inode = s3_sim_need(calloc(1, sizeof(*inode)));
    inode->refs = 1;
    inode->dir = 1;
    s3_names_set(&m->now, path, inode);
    s3_memfs_change(m, NULL, path, inode);
    s3_inode_release(inode);

    return S3_OK;
}


static int
s3_memfs_syncdir(s3_fs_t *fs, const char *path)
{
    int rc;
    size_t i, n;
    s3_memfs_t *m = fs->impl;
    s3_name_t *name;
    s3_change_t *c;

    rc = s3_memfs_fails(s3_memfs_io(m), 0);
    if (rc != S3_OK) {
        return rc;
    }

    name = s3_names_find(&m->now, path);

    if (*path && (name == NULL || !name->inode->dir)) {
        return S3_ENOENT;
    }

    for (i = 0; i < m->n_changes; /* void */) {
        c = &m->changes[i];

        if ((c->from && s3_memfs_in_dir(c->from, path))
            || (c->to && s3_memfs_in_dir(c->to, path)))
        {
            n = m->n_changes;
            s3_memfs_commit(m, i);
            i -= n - m->n_changes - 1;
            continue;
        }

        i++;
    }

    return S3_OK;
}


static int
s3_memfs_list(s3_fs_t *fs, const char *path,
              int (*cb)(void *ctx, const char *name), void *ctx)
{
    int rc;
    char **names;
    size_t i, n, first;
    s3_memfs_t *m = fs->impl;

    rc = s3_memfs_fails(s3_memfs_io(m), 0);
    if (rc != S3_OK) {
        return rc;
    }

    if (*path && s3_names_find(&m->now, path) == NULL) {
        return S3_ENOENT;
    }

    /* a copy: cb may remove what it is shown */
    names = s3_sim_need(malloc((m->now.n + 1) * sizeof(char *)));

    for (i = 0, n = 0; i < m->now.n; i++) {
        if (s3_memfs_in_dir(m->now.names[i].path, path)) {
            names[n++] = s3_memfs_strdup(m->now.names[i].path
                                         + (*path ? strlen(path) + 1 : 0));
        }
    }

    first = n ? (size_t) s3_sim_random(m->sim, n) : 0;

    for (i = 0; i < n && rc == 0; i++) {
        rc = cb(ctx, names[(first + i) % n]);
    }

    for (i = 0; i < n; i++) {
        free(names[i]);
    }

    free(names);

    return rc;
}


static int
s3_memfs_space(s3_fs_t *fs, uint64_t *bytes_free, uint64_t *bytes_total)
{
    int rc;
    uint64_t used, total;
    s3_memfs_t *m = fs->impl;

    rc = s3_memfs_fails(s3_memfs_io(m), 0);
    if (rc != S3_OK) {
        return rc;
    }

    used = s3_memfs_used(m);
    total = m->capacity ? m->capacity : (uint64_t) 1 << 40;

    *bytes_total = total;
    *bytes_free = total > used ? total - used : 0;

    return S3_OK;
}


static int
s3_memfs_mtime(s3_fs_t *fs, const char *path, uint64_t *seconds)
{
    int rc;
    s3_name_t *name;
    s3_memfs_t *m = fs->impl;

    rc = s3_memfs_fails(s3_memfs_io(m), 0);
    if (rc != S3_OK) {
        return rc;
    }

    name = s3_names_find(&m->now, path);
    if (name == NULL) {
        return S3_ENOENT;
    }

    *seconds = (S3_SIM_EPOCH + name->inode->written) / 1000000;

    return S3_OK;
}


s3_memfs_t *
s3_memfs_create(s3_sim_t *sim, unsigned drive, int dirs)
{
    size_t i;
    s3_memfs_t *m;
    s3_inode_t *inode;
    static const char *const names[] = {"log", "index", "blob", "tmp"};

    if (sim->n_drives == S3_SIM_DRIVES) {
        s3_memfs_abort("too many drives");
    }

    m = s3_sim_need(calloc(1, sizeof(*m)));
    m->sim = sim;
    m->drive = drive;

    m->fs = (s3_fs_t){.open = s3_memfs_open,
                      .close = s3_memfs_close,
                      .pread = s3_memfs_pread,
                      .pwrite = s3_memfs_pwrite,
                      .allocate = s3_memfs_allocate,
                      .truncate = s3_memfs_truncate,
                      .size = s3_memfs_size,
                      .sync = s3_memfs_sync,
                      .rename = s3_memfs_rename,
                      .unlink = s3_memfs_unlink,
                      .mkdir = s3_memfs_mkdir,
                      .syncdir = s3_memfs_syncdir,
                      .list = s3_memfs_list,
                      .space = s3_memfs_space,
                      .mtime = s3_memfs_mtime,
                      .impl = m,
                      .drive = drive};

    for (i = 0; dirs && i < 4; i++) {
        inode = s3_sim_need(calloc(1, sizeof(*inode)));
        inode->refs = 1;
        inode->dir = 1;
        s3_names_set(&m->now, names[i], inode);
        s3_names_set(&m->durable, names[i], inode);
        s3_inode_release(inode);
    }

    sim->drives[sim->n_drives++] = m;

    return m;
}


s3_fs_t *
s3_memfs_fs(s3_memfs_t *m)
{
    return &m->fs;
}


void
s3_memfs_set_capacity(s3_memfs_t *m, uint64_t bytes)
{
    m->capacity = bytes;
}


void
s3_memfs_set_hung(s3_memfs_t *m, int hung)
{
    uint64_t bit = (uint64_t) 1 << m->drive;

    m->sim->hung = hung ? m->sim->hung | bit : m->sim->hung & ~bit;
}


void
s3_memfs_set_dead(s3_memfs_t *m, int dead)
{
    m->dead = dead;
}


unsigned
s3_memfs_open_files(const s3_memfs_t *m)
{
    return m->n_files;
}


int
s3_memfs_rot(s3_memfs_t *m, const char *path, uint64_t off, unsigned bit)
{
    s3_name_t *name = s3_names_find(&m->now, path);

    if (name == NULL) {
        return S3_ENOENT;
    }

    if (off >= name->inode->size) {
        return S3_EINVAL;
    }

    s3_inode_extend(name->inode, off + 1);
    name->inode->data[off] ^= (uint8_t) (1 << (bit & 7));
    name->inode->durable[off] ^= (uint8_t) (1 << (bit & 7));

    return S3_OK;
}


void
s3_memfs_destroy(s3_memfs_t *m)
{
    while (m->files) {
        s3_memfs_close(&m->fs, m->files);
    }

    while (m->n_changes) {
        s3_change_free(m, m->n_changes - 1);
    }

    free(m->changes);
    s3_names_clear(&m->now);
    s3_names_clear(&m->durable);
    free(m);
}
