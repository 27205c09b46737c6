/*
 * What lies on a drive in memory, and what a power cut makes of it.
 *
 * A file has two images, now and durable, and a mark for every piece that
 * differs.  Names are two tables and the list of changes between them.
 */

#include <stdio.h>
#include <stdlib.h>

#include "s3_memfs_impl.h"


void
s3_memfs_abort(const char *what)
{
    fprintf(stderr, "memfs: %s\n", what);
    abort();
}


void *
s3_sim_need(void *p)
{
    if (p == NULL) {
        s3_memfs_abort("out of memory");
    }

    return p;
}


char *
s3_memfs_strdup(const char *s)
{
    size_t n = strlen(s) + 1;

    return memcpy(s3_sim_need(malloc(n)), s, n);
}


/* Inodes. */

void
s3_inode_release(s3_inode_t *inode)
{
    if (--inode->refs == 0) {
        free(inode->data);
        free(inode->durable);
        free(inode->dirty);
        free(inode);
    }
}


void
s3_inode_extend(s3_inode_t *inode, uint64_t end)
{
    size_t n, old = inode->extent;

    if (end <= old) {
        return;
    }

    n = s3_max(s3_align((size_t) end, (size_t) S3_SECTOR), 2 * old);

    inode->data = s3_sim_need(realloc(inode->data, n));
    inode->durable = s3_sim_need(realloc(inode->durable, n));
    inode->dirty = s3_sim_need(realloc(inode->dirty, n / S3_SIM_PIECE));

    memset(inode->data + old, 0, n - old);
    memset(inode->durable + old, 0, n - old);
    memset(inode->dirty + old / S3_SIM_PIECE, 0, (n - old) / S3_SIM_PIECE);

    inode->extent = n;
}


static void
s3_inode_sync_piece(s3_inode_t *inode, size_t i)
{
    memcpy(inode->durable + i * S3_SIM_PIECE, inode->data + i * S3_SIM_PIECE,
           S3_SIM_PIECE);
    inode->dirty[i] = 0;
}


void
s3_inode_sync(s3_inode_t *inode)
{
    size_t i;

    for (i = 0; i < inode->extent / S3_SIM_PIECE; i++) {
        if (inode->dirty[i]) {
            s3_inode_sync_piece(inode, i);
        }
    }

    if (inode->size < inode->extent) {
        memset(inode->durable + inode->size, 0,
               inode->extent - (size_t) inode->size);
    }

    inode->durable_size = inode->size;
}


/* percent of the pieces, each by chance */

void
s3_memfs_put(s3_memfs_t *m, s3_inode_t *inode, const uint8_t *buf, size_t len,
             uint64_t off, int dsync, unsigned percent)
{
    size_t i, n;

    s3_inode_extend(inode, off + len);
    inode->written = s3_sim_now(m->sim);

    for (i = 0; i < len; i += n) {
        n = S3_SIM_PIECE - (off + i) % S3_SIM_PIECE;
        n = s3_min(n, len - i);

        if (percent < 100 && s3_sim_random(m->sim, 100) >= percent) {
            continue;
        }

        memcpy(inode->data + off + i, buf + i, n);
        inode->dirty[(off + i) / S3_SIM_PIECE] = 1;

        if (dsync) {
            s3_inode_sync_piece(inode, (off + i) / S3_SIM_PIECE);
        }
    }

    if (off + len > inode->size) {
        inode->size = off + len;
    }

    if (dsync && inode->size > inode->durable_size) {
        inode->durable_size = inode->size;
    }
}


/* Tables of names. */

s3_name_t *
s3_names_find(s3_names_t *t, const char *path)
{
    size_t i;

    for (i = 0; i < t->n; i++) {
        if (strcmp(t->names[i].path, path) == 0) {
            return &t->names[i];
        }
    }

    return NULL;
}


void
s3_names_remove(s3_names_t *t, s3_name_t *name)
{
    free(name->path);
    s3_inode_release(name->inode);

    *name = t->names[--t->n];
}


void
s3_names_set(s3_names_t *t, const char *path, s3_inode_t *inode)
{
    s3_name_t *name = s3_names_find(t, path);

    inode->refs++;

    if (name) {
        s3_inode_release(name->inode);
        name->inode = inode;
        return;
    }

    if (t->n == t->room) {
        t->room = t->room ? 2 * t->room : 64;
        t->names = s3_sim_need(realloc(t->names, t->room * sizeof(s3_name_t)));
    }

    t->names[t->n].path = s3_memfs_strdup(path);
    t->names[t->n++].inode = inode;
}


void
s3_names_clear(s3_names_t *t)
{
    while (t->n) {
        s3_names_remove(t, &t->names[t->n - 1]);
    }

    free(t->names);
    memset(t, 0, sizeof(*t));
}


static size_t
s3_memfs_dirlen(const char *path)
{
    const char *p = strrchr(path, '/');

    return p ? (size_t) (p - path) : 0;
}


int
s3_memfs_in_dir(const char *path, const char *dir)
{
    size_t n = s3_memfs_dirlen(path);

    return n == strlen(dir) && strncmp(path, dir, n) == 0;
}


int
s3_names_has_parent(s3_names_t *t, const char *path)
{
    int has;
    size_t n = s3_memfs_dirlen(path);
    char *dir;
    s3_name_t *name;

    if (n == 0) {
        return 1;
    }

    dir = s3_memfs_strdup(path);
    dir[n] = '\0';
    name = s3_names_find(t, dir);
    has = name && name->inode->dir;
    free(dir);

    return has;
}


/* Changes of names. */

void
s3_change_free(s3_memfs_t *m, size_t i)
{
    s3_change_t *c = &m->changes[i];

    free(c->from);
    free(c->to);
    s3_inode_release(c->inode);

    memmove(c, c + 1, (m->n_changes - i - 1) * sizeof(*c));
    m->n_changes--;
}


void
s3_memfs_change(s3_memfs_t *m, const char *from, const char *to,
                s3_inode_t *inode)
{
    s3_change_t *c;

    if (m->n_changes == m->room_changes) {
        m->room_changes = m->room_changes ? 2 * m->room_changes : 64;
        m->changes =
            s3_sim_need(realloc(m->changes, m->room_changes * sizeof(*c)));
    }

    c = &m->changes[m->n_changes++];
    c->from = from ? s3_memfs_strdup(from) : NULL;
    c->to = to ? s3_memfs_strdup(to) : NULL;
    c->inode = inode;
    inode->refs++;
}


/* Makes change i durable; earlier ones that it supersedes go. */

void
s3_memfs_commit(s3_memfs_t *m, size_t i)
{
    size_t k;
    s3_name_t *name;
    s3_change_t c = m->changes[i], *e;

    c.inode->refs++;
    c.from = c.from ? s3_memfs_strdup(c.from) : NULL;
    c.to = c.to ? s3_memfs_strdup(c.to) : NULL;
    s3_change_free(m, i);

    for (k = 0; k < i; /* void */) {
        e = &m->changes[k];

        if (e->inode == c.inode) {
            /* where it was before is not where it is now */
            if (e->from && (name = s3_names_find(&m->durable, e->from))
                && name->inode == c.inode)
            {
                s3_names_remove(&m->durable, name);
            }

            s3_change_free(m, k);
            i--;
            continue;
        }

        if (c.to && e->to && strcmp(c.to, e->to) == 0) {
            if (e->from == NULL) {
                s3_change_free(m, k);
                i--;
                continue;
            }

            free(e->to);
            e->to = NULL;
        }

        k++;
    }

    if (c.from && (name = s3_names_find(&m->durable, c.from))
        && name->inode == c.inode)
    {
        s3_names_remove(&m->durable, name);
    }

    if (c.to) {
        s3_names_set(&m->durable, c.to, c.inode);
    }

    free(c.from);
    free(c.to);
    s3_inode_release(c.inode);
}


/* The power cut. */

static void
s3_memfs_crash_inode(s3_memfs_t *m, s3_inode_t *inode, unsigned percent)
{
    size_t i;

    if (inode->dir) {
        return;
    }

    for (i = 0; i < inode->extent / S3_SIM_PIECE; i++) {
        if (inode->dirty[i] && s3_sim_random(m->sim, 100) < percent) {
            s3_inode_sync_piece(inode, i);
        }

        inode->dirty[i] = 0;
    }

    if (s3_sim_random(m->sim, 100) < percent) {
        inode->durable_size = inode->size;
    }

    if (inode->durable_size < inode->extent) {
        memset(inode->durable + inode->durable_size, 0,
               inode->extent - (size_t) inode->durable_size);
    }

    inode->size = inode->durable_size;

    if (inode->extent) {
        memcpy(inode->data, inode->durable, inode->extent);
    }
}


static void
s3_memfs_crash_flight(s3_memfs_t *m)
{
    size_t i;
    s3_aio_t *aio;
    s3_event_t *e;
    s3_sim_t *sim = m->sim;

    for (i = 0; i < sim->n_events; i++) {
        e = &sim->events[i];
        aio = e->what;

        if (e->kind == S3_EVENT_AIO && aio->write && aio->file->m == m
            && !aio->file->dead)
        {
            s3_memfs_put(m, aio->file->inode, aio->buf, aio->len, aio->off, 0,
                         (unsigned) s3_sim_random(sim, 3) * 50);

        } else if (e->kind == S3_EVENT_ORPHAN && e->m == m && e->len) {
            s3_memfs_put(m, e->inode, e->buf, e->len, e->off, 0,
                         (unsigned) s3_sim_random(sim, 3) * 50);
            e->len = 0;
        }
    }
}


void
s3_memfs_crash(s3_memfs_t *m)
{
    size_t i, keep;
    unsigned percent;
    s3_file_t *f;

    s3_memfs_crash_flight(m);

    percent = (unsigned) s3_sim_random(m->sim, 3) * 50;

    keep = s3_sim_random(m->sim, 2)
               ? 0
               : (size_t) s3_sim_random(m->sim, m->n_changes + 1);

    for (i = 0; i < keep && m->n_changes; i++) {
        s3_memfs_commit(m, 0);
    }

    while (m->n_changes) {
        s3_change_free(m, m->n_changes - 1);
    }

    for (i = 0; i < m->durable.n; /* void */) {
        if (s3_names_has_parent(&m->durable, m->durable.names[i].path)) {
            i++;
            continue;
        }

        /* the table moves: look at it from the beginning */
        s3_names_remove(&m->durable, &m->durable.names[i]);
        i = 0;
    }

    s3_names_clear(&m->now);

    for (i = 0; i < m->durable.n; i++) {
        s3_memfs_crash_inode(m, m->durable.names[i].inode, percent);
        s3_names_set(&m->now, m->durable.names[i].path,
                     m->durable.names[i].inode);
    }

    for (f = m->files; f; f = f->next) {
        f->dead = 1;
    }
}
