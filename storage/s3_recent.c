/*
 * Metadata of recently read records.
 */

#include "storage/s3_recent.h"

#include <stdlib.h>

#define S3_RECENT_WAYS 4
#define S3_RECENT_SLOT 1024 /* bytes of the ring for each set of slots */


/* `at` counts all bytes that ever went into the ring; 0: nothing here. */

typedef struct {
    uint64_t hash;
    uint64_t at;
} s3_recent_slot_t;

typedef struct {
    s3_version_t version;
    s3_version_t expects;
    uint64_t bucket;
    uint32_t generation;
    uint32_t epoch;
    uint32_t key_len;
    uint32_t refs_len;
    uint32_t meta_len;
    uint8_t conditional;
} s3_recent_item_t;

struct s3_recent_s {
    uint8_t *ring;
    size_t size;   /* a power of 2 */
    uint64_t head; /* where the next item will be */
    size_t sets;   /* the same */
    s3_recent_slot_t slots[];
};


s3_recent_t *
s3_recent_create(size_t size)
{
    size_t sets, ring;
    s3_recent_t *recent;

    ring = 4 * S3_RECENT_ITEM;

    while (ring <= size / 2) {
        ring *= 2;
    }

    sets = ring / S3_RECENT_SLOT;

    recent = calloc(1, sizeof(*recent)
                           + sets * S3_RECENT_WAYS * sizeof(s3_recent_slot_t));
    if (recent == NULL) {
        return NULL;
    }

    recent->ring = malloc(ring);
    if (recent->ring == NULL) {
        free(recent);
        return NULL;
    }

    recent->size = ring;
    recent->head = ring;
    recent->sets = sets;

    return recent;
}


void
s3_recent_destroy(s3_recent_t *recent)
{
    if (recent) {
        free(recent->ring);
        free(recent);
    }
}


static uint64_t
s3_recent_hash(const s3_version_t *v)
{
    uint64_t h;

    h = (v->time ^ v->rand ^ (uint64_t) v->node << 48) * 0x9e3779b97f4a7c15ull;

    return h ^ h >> 32;
}


static s3_recent_slot_t *
s3_recent_set(s3_recent_t *recent, uint64_t hash)
{
    return &recent->slots[(hash & (recent->sets - 1)) * S3_RECENT_WAYS];
}


static s3_object_t *
s3_recent_object(const s3_recent_item_t *item, s3_str_t key,
                 const s3_entry_t *entry)
{
    size_t len;
    uint8_t *p;
    s3_record_t *r;
    s3_object_t *object;

    len = (size_t) item->key_len + item->refs_len + item->meta_len;

    object = malloc(sizeof(s3_object_t) + len);
    if (object == NULL) {
        return NULL;
    }

    p = (uint8_t *) (object + 1);
    memcpy(p, item + 1, len);

    object->refs = 1;
    object->bucket = item->bucket;
    object->entry = *entry;
    object->buf = NULL;
    object->data = NULL;
    object->n_pieces = 0;

    r = &object->record;
    r->bucket = item->bucket;
    r->generation = item->generation;
    r->epoch = item->epoch;
    r->entry = *entry;
    r->expects = item->expects;
    r->conditional = item->conditional;
    r->key = s3_str(p, key.len);
    r->refs = s3_str(p + item->key_len, item->refs_len);
    r->meta = s3_str(p + item->key_len + item->refs_len, item->meta_len);
    r->data = s3_null_str;

    return object;
}


s3_object_t *
s3_recent_find(s3_recent_t *recent, uint64_t bucket, s3_str_t key,
               const s3_entry_t *entry)
{
    unsigned i;
    uint64_t hash;
    s3_recent_slot_t *slot;
    const s3_recent_item_t *item;

    hash = s3_recent_hash(&entry->version);
    slot = s3_recent_set(recent, hash);

    for (i = 0; i < S3_RECENT_WAYS; i++, slot++) {
        if (slot->hash != hash || slot->at == 0
            || recent->head - slot->at > recent->size)
        {
            continue;
        }

        item = (void *) (recent->ring + (slot->at & (recent->size - 1)));

        if (item->bucket == bucket
            && s3_version_cmp(&item->version, &entry->version) == 0
            && s3_str_eq(s3_str(item + 1, item->key_len), key))
        {
            return s3_recent_object(item, key, entry);
        }
    }

    return NULL;
}


/* Room in one piece. */

static s3_recent_item_t *
s3_recent_room(s3_recent_t *recent, uint64_t hash, size_t size)
{
    size_t left;
    unsigned i;
    s3_recent_slot_t *slot, *oldest;
    s3_recent_item_t *item;

    left = recent->size - (recent->head & (recent->size - 1));

    if (left < size) {
        recent->head += left;
    }

    oldest = NULL;
    slot = s3_recent_set(recent, hash);

    for (i = 0; i < S3_RECENT_WAYS; i++, slot++) {
        if (oldest == NULL || slot->at < oldest->at) {
            oldest = slot;
        }
    }

    oldest->hash = hash;
    oldest->at = recent->head;
    item = (void *) (recent->ring + (recent->head & (recent->size - 1)));
    recent->head += size;

    return item;
}


static uint8_t *
s3_recent_put(uint8_t *p, s3_str_t s)
{
    if (s.len) {
        memcpy(p, s.data, s.len);
    }

    return p + s.len;
}


void
s3_recent_keep(s3_recent_t *recent, const s3_object_t *object)
{
    size_t size;
    uint8_t *p;
    const s3_record_t *r;
    s3_recent_item_t *item;

    r = &object->record;

    if (r->key.len > S3_RECENT_ITEM || r->refs.len > S3_RECENT_ITEM
        || r->meta.len > S3_RECENT_ITEM)
    {
        return;
    }

    size = s3_align(sizeof(s3_recent_item_t) + r->key.len + r->refs.len
                        + r->meta.len,
                    (size_t) 8);

    if (size > S3_RECENT_ITEM) {
        return;
    }

    item = s3_recent_room(recent, s3_recent_hash(&object->entry.version), size);

    item->version = object->entry.version;
    item->expects = r->expects;
    item->bucket = object->bucket;
    item->generation = r->generation;
    item->epoch = r->epoch;
    item->key_len = (uint32_t) r->key.len;
    item->refs_len = (uint32_t) r->refs.len;
    item->meta_len = (uint32_t) r->meta.len;
    item->conditional = r->conditional;

    p = s3_recent_put((uint8_t *) (item + 1), r->key);
    p = s3_recent_put(p, r->refs);
    (void) s3_recent_put(p, r->meta);
}
