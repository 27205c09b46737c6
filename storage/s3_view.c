/*
 * What one drive has of one key: tables and memtables together.
 */

#include "storage/s3_index.h"
#include <stdlib.h>


int
s3_entry_rank(const s3_entry_t *e)
{
    switch (e->kind) {

    case S3_KIND_OBJECT:
    case S3_KIND_TOMBSTONE:
        return e->flags & S3_F_CONFIRMED ? 4 : 2;

    case S3_KIND_DEAD:
        return 3;

    case S3_KIND_FENCE:
        return 1;

    default:
        return 5; /* drive-local: the later addition */
    }
}


void
s3_view_init(s3_view_t *v)
{
    v->items = v->fixed;
    v->n = 0;
    v->place.table = NULL;
    v->room = sizeof(v->fixed) / sizeof(v->fixed[0]);
}


void
s3_view_done(s3_view_t *v)
{
    if (v->items != v->fixed) {
        free(v->items);
    }

    s3_view_init(v);
}


/* The item of that version; a new one where there is none. */

static s3_item_state_t *
s3_view_item(s3_view_t *v, const s3_version_t *version)
{
    int cmp;
    unsigned i, room;
    s3_item_state_t *p;

    /* they come newest first, mostly */

    for (i = v->n; i > 0; i--) {
        cmp = s3_version_cmp(&v->items[i - 1].e.version, version);
        if (cmp == 0) {
            return &v->items[i - 1];
        }

        if (cmp > 0) {
            break;
        }
    }

    if (v->n == v->room) {
        room = v->room * 2;
        p = malloc(room * sizeof(*p));
        if (p == NULL) {
            return NULL;
        }

        memcpy(p, v->items, v->n * sizeof(*p));

        if (v->items != v->fixed) {
            free(v->items);
        }

        v->items = p;
        v->room = room;
    }

    p = &v->items[i];
    memmove(p + 1, p, (v->n - i) * sizeof(*p));
    v->n++;
    memset(p, 0, sizeof(*p));
    p->e.version = *version;

    return p;
}


/* Called newest addition first: at equal rank the first one stays. */

s3_item_state_t *
s3_view_durable(s3_view_t *v, const s3_entry_t *e)
{
    s3_item_state_t *item;

    item = s3_view_item(v, &e->version);
    if (item == NULL) {
        return NULL;
    }

    if (!item->durable || s3_entry_rank(e) > s3_entry_rank(&item->e)) {
        item->e = *e;
        item->durable = 1;
        item->memory = 0;
        item->active = 0;
    }

    if (e->flags & S3_F_CONFIRMED) {
        item->sure = 1;
    }

    return item;
}


static int
s3_view_node(s3_view_t *v, s3_memnode_t *node, unsigned arena, uint64_t seq,
             int active)
{
    int was;
    s3_entry_t e, *p;
    s3_mem_state_t state;
    s3_item_state_t *item;

    state = s3_memnode_state(node);

    if (state == S3_MEM_REMOVED) {
        return S3_OK;
    }

    if (s3_memnode_entry(node, &e) != S3_OK) {
        return S3_ECORRUPT;
    }

    if (state == S3_MEM_DURABLE) {
        item = s3_view_item(v, &e.version);
        if (item == NULL) {
            return S3_ENOMEM;
        }

        p = &item->e;
        was = item->durable;

        if (!was || s3_entry_rank(&e) > s3_entry_rank(p)) {
            *p = e;
            item->durable = 1;
            item->memory = 1;
            item->active = active;
        }

        if (e.flags & S3_F_CONFIRMED
            && __atomic_load_n(&node->flags, __ATOMIC_ACQUIRE) & S3_MEM_SURE)
        {
            item->sure = 1;
        }

        return S3_OK;
    }

    item = s3_view_item(v, &e.version);
    if (item == NULL) {
        return S3_ENOMEM;
    }

    if (!item->durable && item->e.kind == 0) {
        item->e = e;
    }

    if (state == S3_MEM_FAILED) {
        item->failed = 1;
        return S3_OK;
    }

    item->pending = node;
    item->pending_seq = seq;
    item->pending_arena = arena;

    return S3_OK;
}


/* Is it one of those that s3_view_load_to() counts? */

static int
s3_view_counts(const s3_memnode_t *node)
{
    s3_entry_t e;

    return s3_memnode_state(node) == S3_MEM_DURABLE
           && s3_memnode_entry(node, &e) == S3_OK && s3_entry_is_record(&e)
           && e.flags & S3_F_CONFIRMED;
}


int
s3_view_load_to(s3_view_t *v, s3_zone_t *z, unsigned drive,
                const s3_find_t *find, uint64_t generation, uint64_t bucket,
                s3_str_t key, const s3_version_t *down_to)
{
    int rc;
    unsigned i, n, seen, active, arenas[S3_ZONE_ARENAS];
    s3_version_t version;
    s3_memnode_t *node;
    s3_zdrive_t *d = &z->drives[drive];
    s3_memtable_t *tables[S3_ZONE_ARENAS];

    if (find) {
        generation = find->set->generation;
    }

    n = s3_index_memtables(z, drive, generation, tables, arenas);

    /* of meaning under the lock only; readers take none */
    active = __atomic_load_n(&d->active, __ATOMIC_RELAXED);

    for (i = 0; i < n; i++) {

        if (s3_memtable_lacks(tables[i], bucket)) {
            continue;
        }

        node = arenas[i] == active
                   ? s3_memtable_seek_place(tables[i], bucket, key, &v->place)
                   : s3_memtable_seek(tables[i], bucket, key);
        seen = 0;

        while (node && s3_memnode_is(node, bucket, key)) {
            rc = s3_view_node(v, node, arenas[i], d->arenas[arenas[i]].seq,
                              arenas[i] == active);
            if (rc != S3_OK) {
                return rc;
            }

            if (down_to && s3_view_counts(node)) {
                version = s3_memnode_version(node);
                seen++;

                if (seen >= 2 && s3_version_cmp(&version, down_to) < 0) {
                    break;
                }
            }

            node = s3_memtable_next(tables[i], node);
        }
    }

    for (i = 0; find && i < find->n; i++) {
        if (s3_view_durable(v, &find->entries[i]) == NULL) {
            return S3_ENOMEM;
        }
    }

    return S3_OK;
}


int
s3_view_load(s3_view_t *v, s3_zone_t *z, unsigned drive, const s3_find_t *find,
             uint64_t generation, uint64_t bucket, s3_str_t key)
{
    return s3_view_load_to(v, z, drive, find, generation, bucket, key, NULL);
}


s3_item_state_t *
s3_view_version(s3_view_t *v, const s3_version_t *version)
{
    unsigned i;

    for (i = 0; i < v->n; i++) {
        if (s3_version_cmp(&v->items[i].e.version, version) == 0) {
            return &v->items[i];
        }
    }

    return NULL;
}


s3_item_state_t *
s3_view_dropper(s3_view_t *v)
{
    unsigned i;

    for (i = 0; i < v->n; i++) {
        if (v->items[i].durable && v->items[i].sure
            && s3_entry_is_record(&v->items[i].e))
        {
            return &v->items[i];
        }
    }

    return NULL;
}


s3_item_state_t *
s3_view_confirmed(s3_view_t *v)
{
    unsigned i;

    for (i = 0; i < v->n; i++) {
        if (v->items[i].durable && s3_entry_is_record(&v->items[i].e)
            && v->items[i].e.flags & S3_F_CONFIRMED)
        {
            return &v->items[i];
        }
    }

    return NULL;
}
