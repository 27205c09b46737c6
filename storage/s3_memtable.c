/*
 * Skiplist in an arena.
 */

#include "storage/s3_memtable.h"

#define S3_MEMTABLE_UNIT 8
#define S3_MEMTABLE_LINE 64                     /* of the processor's caches */
#define S3_ENTRY_FLAGS_AT (S3_VERSION_SIZE + 1) /* in the encoded form */


struct s3_memtable_s {
    uint64_t random;
    uint32_t size; /* in units */
    uint32_t used; /* atomic */
    uint32_t count;
    uint32_t height; /* highest level in use; atomic */
    uint32_t head[S3_MEMTABLE_LEVELS];
    uint32_t system; /* atomic: bits of bucket ids below 32 */
    uint32_t reserved;
};


static s3_memnode_t *
s3_memtable_at(const s3_memtable_t *m, uint32_t off)
{
    if (off == 0) {
        return NULL;
    }

    return (s3_memnode_t *) (void *) ((uint8_t *) m
                                      + (size_t) off * S3_MEMTABLE_UNIT);
}


/* The key first: a search reads nothing else of most nodes. */

s3_str_t
s3_memnode_key(const s3_memnode_t *n)
{
    return s3_str((uint8_t *) (n->next + n->height), n->key_len);
}


static uint8_t *
s3_memnode_raw(const s3_memnode_t *n)
{
    return (uint8_t *) (n->next + n->height) + n->key_len;
}


int
s3_memnode_is(const s3_memnode_t *n, uint64_t bucket, s3_str_t key)
{
    return n->bucket == bucket && s3_str_eq(s3_memnode_key(n), key);
}


s3_version_t
s3_memnode_version(const s3_memnode_t *n)
{
    return s3_get_version(s3_memnode_raw(n));
}


int
s3_memnode_entry(const s3_memnode_t *n, s3_entry_t *e)
{
    if (s3_entry_decode(s3_memnode_raw(n), n->entry_len, e) < 0) {
        return S3_ECORRUPT;
    }

    e->flags |= (uint8_t) (__atomic_load_n(&n->flags, __ATOMIC_ACQUIRE)
                           & ~S3_MEM_FLAGS);

    return S3_OK;
}


void
s3_memtable_reset(void *arena, size_t size)
{
    s3_memtable_t *m = arena;

    memset(m, 0, sizeof(*m));
    m->size = (uint32_t) (size / S3_MEMTABLE_UNIT);
    m->used =
        s3_align(sizeof(*m), (size_t) S3_MEMTABLE_UNIT) / S3_MEMTABLE_UNIT;
    m->random = 0x9e3779b97f4a7c15ULL;
    m->height = 1;
}


static size_t
s3_memnode_size(unsigned height, size_t entry_len, size_t key_len)
{
    return s3_align(sizeof(s3_memnode_t) + height * sizeof(uint32_t) + entry_len
                        + key_len,
                    (size_t) S3_MEMTABLE_UNIT);
}


size_t
s3_memtable_need(size_t key_len, size_t extra_len)
{
    return s3_memnode_size(S3_MEMTABLE_LEVELS, S3_ENTRY_FIXED + extra_len,
                           key_len);
}


int
s3_memtable_room(const s3_memtable_t *m, size_t need)
{
    uint32_t used;

    used = __atomic_load_n(&m->used, __ATOMIC_RELAXED);

    return need <= (size_t) (m->size - used) * S3_MEMTABLE_UNIT;
}


uint32_t
s3_memtable_count(const s3_memtable_t *m)
{
    return __atomic_load_n(&m->count, __ATOMIC_RELAXED);
}


size_t
s3_memtable_used(const s3_memtable_t *m)
{
    return (size_t) __atomic_load_n(&m->used, __ATOMIC_RELAXED)
           * S3_MEMTABLE_UNIT;
}


/* One level in four goes up. */

static unsigned
s3_memtable_height(s3_memtable_t *m)
{
    unsigned h;
    uint64_t x;

    x = m->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    m->random = x;

    for (h = 1; h < S3_MEMTABLE_LEVELS && (x & 3) == 0; h++) {
        x >>= 2;
    }

    return h;
}


/* Is the node before the place of (bucket, key, v)?  v NULL: before all
 * versions of the key. */

static int
s3_memnode_before(const s3_memnode_t *n, uint64_t bucket, s3_str_t key,
                  const s3_version_t *v)
{
    int rc;
    s3_version_t nv;

    rc = s3_key_cmp(n->bucket, s3_memnode_key(n), bucket, key);
    if (rc != 0 || v == NULL) {
        return rc < 0;
    }

    nv = s3_memnode_version(n);

    return s3_version_cmp(&nv, v) > 0;
}


/* Bytes that both begin with; `from` of them are known. */

static size_t
s3_memtable_common(s3_str_t a, s3_str_t b, size_t from)
{
    uint64_t differ;
    size_t n = s3_min(a.len, b.len);

    while (from + 8 <= n) {
        differ = s3_get64(a.data + from) ^ s3_get64(b.data + from);

        if (differ) {
            return from + (size_t) __builtin_ctzll(differ) / 8;
        }

        from += 8;
    }

    while (from < n && a.data[from] == b.data[from]) {
        from++;
    }

    return from;
}


/* The same as s3_memnode_before(), for a search: of the node's key and the one
 * that is looked for, *common bytes are known to be the same, then more. */

static int
s3_memnode_lies_before(const s3_memnode_t *n, uint64_t bucket, s3_str_t key,
                       const s3_version_t *v, size_t *common)
{
    s3_str_t nk;
    s3_version_t nv;

    if (n->bucket != bucket) {
        *common = 0;
        return n->bucket < bucket;
    }

    nk = s3_memnode_key(n);
    *common = s3_memtable_common(nk, key, *common);

    if (*common < nk.len && *common < key.len) {
        return nk.data[*common] < key.data[*common];
    }

    if (nk.len != key.len || v == NULL) {
        return nk.len < key.len;
    }

    nv = s3_memnode_version(n);

    return s3_version_cmp(&nv, v) > 0;
}


/*
 * Nodes lie in the order in which they came, not in that of their keys, and
 * each step from one to another would wait for memory.  So where a search may
 * go next, a level lower, is fetched while it looks at a node.
 */

static void
s3_memtable_prefetch(const s3_memtable_t *m, const uint32_t *link)
{
    uint32_t off = __atomic_load_n(link, __ATOMIC_RELAXED);

    /* offset 0, none, is the head: nothing is lost */
    __builtin_prefetch((const uint8_t *) m + (size_t) off * S3_MEMTABLE_UNIT);
}


/* What is between two nodes has in common with the key at least what both of
 * them have: `low` the one before, `high` the one behind. */

static s3_memnode_t *
s3_memtable_search(const s3_memtable_t *m, uint64_t bucket, s3_str_t key,
                   const s3_version_t *v, uint32_t **links)
{
    int level;
    size_t low, high, common;
    uint32_t *link, off, checked;
    s3_memnode_t *n, *prev;

    prev = NULL;
    n = NULL;
    checked = 0;
    low = 0;
    high = 0;
    level = (int) __atomic_load_n(&m->height, __ATOMIC_ACQUIRE) - 1;

    for (; level >= 0; level--) {

        for (;;) {
            link = prev ? &prev->next[level]
                        : (uint32_t *) (uintptr_t) &m->head[level];
            off = __atomic_load_n(link, __ATOMIC_ACQUIRE);
            n = s3_memtable_at(m, off);

            if (n == NULL || off == checked) {
                break; /* known from the level above not to be before */
            }

            if (level) {
                s3_memtable_prefetch(m, link - 1);
            }

            common = s3_min(low, high);

            if (!s3_memnode_lies_before(n, bucket, key, v, &common)) {
                checked = off;
                high = common;
                break;
            }

            prev = n;
            low = common;
        }

        if (links) {
            links[level] = link;
        }
    }

    return n;
}


int
s3_memtable_lacks(const s3_memtable_t *m, uint64_t bucket)
{
    return bucket < 32
           && (__atomic_load_n(&m->system, __ATOMIC_ACQUIRE) & 1u << bucket)
                  == 0;
}


/* Is the place the one that a search would find? */

static int
s3_memplace_holds(const s3_memplace_t *place, const s3_memtable_t *m,
                  uint64_t bucket, s3_str_t key, const s3_version_t *v)
{
    const s3_memnode_t *n;

    if (place == NULL || place->table != m || place->count != m->count) {
        return 0;
    }

    n = s3_memtable_at(m, *place->links[0]);

    return n == NULL || !s3_memnode_before(n, bucket, key, v);
}


/* Neighbours of the same key hear that something comes next to them; `link` is
 * where it will be linked. */

static void
s3_memtable_touch(s3_memtable_t *m, uint32_t *link, uint64_t bucket,
                  s3_str_t key)
{
    s3_memnode_t *n;

    n = s3_memtable_at(m, *link);

    if (n && s3_memnode_is(n, bucket, key)) {
        s3_memnode_flag(n, S3_MEM_TOUCHED);
    }

    if (link != &m->head[0]) {
        n = s3_container(link, s3_memnode_t, next);

        if (s3_memnode_is(n, bucket, key)) {
            s3_memnode_flag(n, S3_MEM_TOUCHED);
        }
    }
}


s3_memnode_t *
s3_memtable_insert_at(s3_memtable_t *m, const s3_memplace_t *place,
                      uint64_t bucket, s3_str_t key, const s3_entry_t *e,
                      s3_mem_state_t state, unsigned owner,
                      uint32_t incarnation)
{
    size_t size, entry_len;
    uint32_t off, *links[S3_MEMTABLE_LEVELS];
    unsigned h, i, top;
    s3_memnode_t *n;
    s3_memplace_t own;

    entry_len = s3_entry_size(e);

    if (key.len > S3_MAX_KEY
        || !s3_memtable_room(m, s3_memtable_need(key.len, e->extra_len)))
    {
        return NULL;
    }

    h = s3_memtable_height(m);
    size = s3_memnode_size(h, entry_len, key.len);
    off = m->used;

    top = m->height;

    if (!s3_memplace_holds(place, m, bucket, key, &e->version)) {
        place = &own;
        s3_memtable_search(m, bucket, key, &e->version, own.links);
    }

    for (i = 0; i < h; i++) {
        links[i] = i < top ? place->links[i] : &m->head[i];
    }

    n = s3_memtable_at(m, off);
    __atomic_store_n(&m->used, off + (uint32_t) (size / S3_MEMTABLE_UNIT),
                     __ATOMIC_RELAXED);

    n->state = (uint8_t) state;
    n->flags = 0;
    n->height = (uint8_t) h;
    n->owner = (uint8_t) owner;
    n->incarnation = incarnation;
    n->bucket = bucket;
    n->key_len = (uint16_t) key.len;
    n->entry_len = (uint16_t) entry_len;

    if (key.len) {
        memcpy((uint8_t *) (n->next + h), key.data, key.len);
    }

    s3_entry_encode(s3_memnode_raw(n), e);

    for (i = 0; i < h; i++) {
        n->next[i] = *links[i];
    }

    s3_memtable_touch(m, links[0], bucket, key);

    if (bucket < 32) {
        __atomic_fetch_or(&m->system, 1u << bucket, __ATOMIC_ACQ_REL);
    }

    for (i = 0; i < h; i++) {
        __atomic_store_n(links[i], off, __ATOMIC_RELEASE);
    }

    if (h > top) {
        __atomic_store_n(&m->height, h, __ATOMIC_RELEASE);
    }

    __atomic_store_n(&m->count, m->count + 1, __ATOMIC_RELAXED);

    return n;
}


s3_memnode_t *
s3_memtable_insert(s3_memtable_t *m, uint64_t bucket, s3_str_t key,
                   const s3_entry_t *e, s3_mem_state_t state, unsigned owner,
                   uint32_t incarnation)
{
    return s3_memtable_insert_at(m, NULL, bucket, key, e, state, owner,
                                 incarnation);
}


s3_memnode_t *
s3_memtable_seek(const s3_memtable_t *m, uint64_t bucket, s3_str_t key)
{
    return s3_memtable_search(m, bucket, key, NULL, NULL);
}


s3_memnode_t *
s3_memtable_seek_place(const s3_memtable_t *m, uint64_t bucket, s3_str_t key,
                       s3_memplace_t *place)
{
    place->table = m;
    place->count = __atomic_load_n(&m->count, __ATOMIC_RELAXED);

    return s3_memtable_search(m, bucket, key, NULL, place->links);
}


uint32_t
s3_memtable_number(const s3_memtable_t *m, const s3_memnode_t *n)
{
    return (uint32_t) (((const uint8_t *) n - (const uint8_t *) m)
                       / S3_MEMTABLE_UNIT);
}


s3_memnode_t *
s3_memtable_node(const s3_memtable_t *m, uint32_t number, const s3_version_t *v)
{
    s3_version_t version;
    s3_memnode_t *n;

    if (number == 0 || number >= __atomic_load_n(&m->used, __ATOMIC_RELAXED)) {
        return NULL;
    }

    n = s3_memtable_at(m, number);
    version = s3_memnode_version(n);

    return s3_version_cmp(&version, v) == 0 ? n : NULL;
}


s3_memnode_t *
s3_memtable_first(const s3_memtable_t *m)
{
    return s3_memtable_at(m, __atomic_load_n(&m->head[0], __ATOMIC_ACQUIRE));
}


s3_memnode_t *
s3_memtable_next(const s3_memtable_t *m, const s3_memnode_t *n)
{
    return s3_memtable_at(m, __atomic_load_n(&n->next[0], __ATOMIC_ACQUIRE));
}


static int
s3_memsource_settle(s3_memsource_t *src, const s3_memnode_t *n, int same)
{
    const s3_memnode_t *next, *was = src->node;

    while (n && s3_memnode_state(n) != S3_MEM_DURABLE) {
        n = s3_memtable_next(src->table, n);
    }

    src->node = n;

    if (n == NULL) {
        return S3_DONE;
    }

    /* the next one, all of it, while the caller is busy with this one */
    next = s3_memtable_next(src->table, n);

    if (next) {
        __builtin_prefetch(next);
        __builtin_prefetch((const uint8_t *) next + S3_MEMTABLE_LINE);
        __builtin_prefetch((const uint8_t *) next + 2 * S3_MEMTABLE_LINE);
    }

    src->source.bucket = n->bucket;
    src->source.key = s3_memnode_key(n);
    src->source.same = same && was && was->bucket == n->bucket
                       && s3_str_eq(s3_memnode_key(was), src->source.key);

    memcpy(src->raw, s3_memnode_raw(n), n->entry_len);
    src->raw[S3_ENTRY_FLAGS_AT] |=
        (uint8_t) (__atomic_load_n(&n->flags, __ATOMIC_ACQUIRE)
                   & ~S3_MEM_FLAGS);
    src->source.raw = src->raw;
    src->source.raw_len = n->entry_len;

    return S3_OK;
}


static int
s3_memsource_seek(s3_source_t *source, uint64_t bucket, s3_str_t key)
{
    s3_memsource_t *src = (s3_memsource_t *) source;

    return s3_memsource_settle(src, s3_memtable_seek(src->table, bucket, key),
                               0);
}


static int
s3_memsource_next(s3_source_t *source)
{
    s3_memsource_t *src = (s3_memsource_t *) source;

    if (src->node == NULL) {
        return S3_DONE;
    }

    return s3_memsource_settle(src, s3_memtable_next(src->table, src->node), 1);
}


static int
s3_memsource_resume(s3_source_t *source)
{
    s3_memsource_t *src = (s3_memsource_t *) source;

    return src->node ? S3_OK : S3_DONE;
}


static const s3_source_ops_t s3_memsource_ops = {
    s3_memsource_seek,
    s3_memsource_next,
    s3_memsource_resume,
};


void
s3_memsource_init(s3_memsource_t *src, const s3_memtable_t *m)
{
    memset(src, 0, sizeof(*src));
    src->source.ops = &s3_memsource_ops;
    src->table = m;
}
