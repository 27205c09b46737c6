#include <stdio.h>
#include <stdlib.h>
#include "storage/s3_xxh3.h"

#include "storage/s3_break.h"
#include "storage/s3_bucket_int.h"
#include "storage/s3_json.h"
#include "storage/s3_store_int.h"


static void s3_bucket_load_full(s3_head_t *head);


s3_buckets_t *
s3_buckets_create(s3_store_t *store, s3_loop_t *loop)
{
    s3_buckets_t *buckets;

    buckets = calloc(1, sizeof(s3_buckets_t));
    if (buckets == NULL) {
        return NULL;
    }

    buckets->store = store;
    buckets->loop = loop;

    return buckets;
}


void
s3_buckets_destroy(s3_buckets_t *buckets)
{
    unsigned i;

    if (buckets == NULL) {
        return;
    }

    for (i = 0; i < S3_BUCKET_SLOTS; i++) {
        s3_bucket_release(buckets->slot[i]);
    }

    free(buckets);
}


void
s3_bucket_release(s3_bucket_t *bucket)
{
    if (bucket != NULL && --bucket->refs == 0) {
        free(bucket);
    }
}


static s3_bucket_t **
s3_bucket_slot(s3_buckets_t *buckets, s3_str_t name)
{
    uint64_t hash;

    hash = XXH3_64bits(name.data, name.len);

    return &buckets->slot[hash & (S3_BUCKET_SLOTS - 1)];
}


static void
s3_bucket_cache(s3_buckets_t *buckets, s3_bucket_t *bucket)
{
    s3_bucket_t **slot;

    slot = s3_bucket_slot(buckets, bucket->name);

    bucket->refs++;
    s3_bucket_release(*slot);
    *slot = bucket;
}


/* One block of memory: structure, tags, then all strings. */

s3_bucket_t *
s3_bucket_alloc(s3_str_t name, s3_str_t region, const s3_bucket_tag_t *tags,
                unsigned n_tags)
{
    size_t size;
    uint8_t *p;
    unsigned i;
    s3_bucket_t *bucket;

    size = sizeof(s3_bucket_t) + n_tags * sizeof(s3_bucket_tag_t) + name.len
           + region.len;

    for (i = 0; i < n_tags; i++) {
        size += tags[i].key.len + tags[i].value.len;
    }

    bucket = calloc(1, size);
    if (bucket == NULL) {
        return NULL;
    }

    bucket->refs = 1;
    bucket->tags = (s3_bucket_tag_t *) (bucket + 1);
    bucket->n_tags = n_tags;
    p = (uint8_t *) (bucket->tags + n_tags);

#define S3_BUCKET_COPY(to, from)                \
    do {                                        \
        if ((from).len) {                       \
            memcpy(p, (from).data, (from).len); \
        }                                       \
        (to) = s3_str(p, (from).len);           \
        p += (from).len;                        \
    } while (0)

    S3_BUCKET_COPY(bucket->name, name);
    S3_BUCKET_COPY(bucket->region, region);

    for (i = 0; i < n_tags; i++) {
        S3_BUCKET_COPY(bucket->tags[i].key, tags[i].key);
        S3_BUCKET_COPY(bucket->tags[i].value, tags[i].value);
    }

#undef S3_BUCKET_COPY

    return bucket;
}


static s3_str_t
s3_bucket_json_str(json_t *value)
{
    if (!json_is_string(value)) {
        return s3_null_str;
    }

    return s3_str(json_string_value(value), json_string_length(value));
}


static s3_bucket_t *
s3_bucket_from_json(s3_str_t name, json_t *root)
{
    size_t i, n;
    json_t *id, *generation, *state, *created, *list, *pair;
    s3_bucket_t *bucket;
    s3_bucket_tag_t tags[S3_BUCKET_TAGS_MAX];

    id = json_object_get(root, "id");
    generation = json_object_get(root, "generation");
    state = json_object_get(root, "state");
    created = json_object_get(root, "created");
    list = json_object_get(root, "tags");
    n = json_array_size(list);

    if (!json_is_integer(id) || !json_is_integer(generation)
        || !json_is_integer(state) || !json_is_integer(created)
        || n > S3_BUCKET_TAGS_MAX)
    {
        return NULL;
    }

    for (i = 0; i < n; i++) {
        pair = json_array_get(list, i);
        tags[i].key = s3_bucket_json_str(json_array_get(pair, 0));
        tags[i].value = s3_bucket_json_str(json_array_get(pair, 1));
    }

    bucket = s3_bucket_alloc(
        name, s3_bucket_json_str(json_object_get(root, "region")), tags, n);
    if (bucket == NULL) {
        return NULL;
    }

    bucket->id = (uint64_t) json_integer_value(id);
    bucket->generation = (uint32_t) json_integer_value(generation);
    bucket->state = (s3_bucket_state_t) json_integer_value(state);
    bucket->created = (uint64_t) json_integer_value(created);

    if (bucket->id < S3_BUCKET_FIRST || (bucket->id & 3) != 0
        || (bucket->state != S3_BUCKET_ACTIVE
            && bucket->state != S3_BUCKET_DELETING
            && bucket->state != S3_BUCKET_PURGING))
    {
        s3_bucket_release(bucket);
        return NULL;
    }

    return bucket;
}


static s3_bucket_t *
s3_bucket_decode(const s3_object_t *object)
{
    json_t *root;
    s3_str_t meta;
    s3_bucket_t *bucket;

    meta = object->record.meta;

    if (s3_json_begin(meta.len) != S3_OK) {
        return NULL;
    }

    root = json_loadb((const char *) meta.data, meta.len, 0, NULL);
    bucket = root ? s3_bucket_from_json(object->record.key, root) : NULL;
    json_decref(root);
    s3_json_end();

    if (bucket != NULL) {
        bucket->version = object->entry.version;
    }

    return bucket;
}


/* malloc()ed JSON text, or NULL */

static char *
s3_bucket_encode(const s3_bucket_t *bucket)
{
    int rc;
    char *text;
    size_t len;
    json_t *root, *list;
    unsigned i;

    list = json_array();
    rc = list == NULL;

    for (i = 0; i < bucket->n_tags && rc == 0; i++) {
        rc = json_array_append_new(
            list, json_pack("[s%s%]", bucket->tags[i].key.data,
                            bucket->tags[i].key.len, bucket->tags[i].value.data,
                            bucket->tags[i].value.len));
    }

    root =
        rc ? NULL
           : json_pack("{sI sI sI sI ss% sO}", "id", (json_int_t) bucket->id,
                       "generation", (json_int_t) bucket->generation, "state",
                       (json_int_t) bucket->state, "created",
                       (json_int_t) bucket->created, "region",
                       bucket->region.data, bucket->region.len, "tags", list);
    text = s3_json_text(root, JSON_COMPACT, 0, &len);

    json_decref(root);
    json_decref(list);

    return text;
}


/* Every operation ends here, exactly once. */

void
s3_bucket_end(s3_bucket_work_t *w, int rc)
{
    s3_bucket_op_t *op;

    op = w->op;

    op->rc = rc;
    op->bucket = w->bucket;

    free(w->meta);
    free(w->key);
    free(w->last);
    free(w);

    op->done(op);
}


s3_bucket_work_t *
s3_bucket_begin(s3_bucket_op_t *op)
{
    int rc;
    s3_bucket_work_t *w;

    op->bucket = NULL;
    w = NULL;
    rc = S3_EINVAL;

    /* what could be written and not be read any more */

    if (op->n_tags <= S3_BUCKET_TAGS_MAX) {
        w = calloc(1, sizeof(s3_bucket_work_t));
        rc = S3_ENOMEM;
    }

    if (w == NULL) {
        op->rc = rc;
        op->done(op);
        return NULL;
    }

    w->op = op;

    return w;
}


static void
s3_bucket_loaded_brief(s3_head_t *head)
{
    s3_bucket_t **slot;
    s3_bucket_work_t *w;

    w = head->ctx;

    if (head->rc != S3_OK) {
        w->next(w, head->rc);
        return;
    }

    slot = s3_bucket_slot(w->op->buckets, w->op->name);

    if (*slot != NULL && s3_str_eq((*slot)->name, w->op->name)
        && s3_version_cmp(&(*slot)->version, &head->object->entry.version) == 0)
    {
        w->bucket = *slot;
        w->bucket->refs++;
        w->bucket->changes = w->changes;

        s3_object_release(head->object);
        w->next(w, S3_OK);
        return;
    }

    s3_object_release(head->object);

    memset(&w->head, 0, sizeof(s3_head_t));
    w->head.store = w->op->buckets->store;
    w->head.bucket = S3_BUCKET_BUCKETS;
    w->head.key = w->op->name;
    w->head.done = s3_bucket_load_full;
    w->head.ctx = w;

    s3_store_head(&w->head);
}


static void
s3_bucket_load_full(s3_head_t *head)
{
    s3_bucket_work_t *w;

    w = head->ctx;

    if (head->rc != S3_OK) {
        w->next(w, head->rc);
        return;
    }

    w->bucket = s3_bucket_decode(head->object);
    s3_object_release(head->object);

    if (w->bucket == NULL) {
        w->next(w, S3_ECORRUPT);
        return;
    }

    w->bucket->changes = w->changes;
    s3_bucket_cache(w->op->buckets, w->bucket);
    w->next(w, S3_OK);
}


/* A bucket that was read and has not changed since; NULL: it has to be read,
 * and `changes` is what it then goes with. */

static s3_bucket_t *
s3_bucket_known(const s3_bucket_op_t *op, uint64_t *changes)
{
    const uint64_t *counter = op->buckets->store->conf.bucket_changes;
    s3_bucket_t *known;

    if (counter == NULL) {
        return NULL;
    }

    *changes = __atomic_load_n(counter, __ATOMIC_ACQUIRE);
    known = *s3_bucket_slot(op->buckets, op->name);

    if (known == NULL || !s3_str_eq(known->name, op->name)
        || (known->changes != *changes && !s3_break(BUCKET_KNOWN)))
    {
        return NULL;
    }

    known->refs++;

    return known;
}


void
s3_bucket_load(s3_bucket_work_t *w, void (*next)(s3_bucket_work_t *w, int rc))
{
    s3_bucket_release(w->bucket);
    w->next = next;
    w->bucket = s3_bucket_known(w->op, &w->changes);

    if (w->bucket) {
        next(w, S3_OK);
        return;
    }

    memset(&w->head, 0, sizeof(s3_head_t));
    w->head.store = w->op->buckets->store;
    w->head.bucket = S3_BUCKET_BUCKETS;
    w->head.key = w->op->name;
    w->head.brief = 1;
    w->head.done = s3_bucket_loaded_brief;
    w->head.ctx = w;

    s3_store_head(&w->head);
}


void
s3_bucket_get(s3_bucket_op_t *op)
{
    uint64_t changes;
    s3_bucket_work_t *w;

    op->bucket = s3_bucket_known(op, &changes);

    if (op->bucket) {
        op->rc = S3_OK;
        op->done(op);
        return;
    }

    w = s3_bucket_begin(op);
    if (w != NULL) {
        s3_bucket_load(w, s3_bucket_end);
    }
}


static int
s3_bucket_test_absent(s3_put_t *put, const s3_entry_t *current)
{
    (void) put;

    return current == NULL ? S3_OK : S3_EEXIST;
}


/* The record is still the one that the decision was made on. */

int
s3_bucket_test_same(s3_put_t *put, const s3_entry_t *current)
{
    s3_bucket_work_t *w;

    w = put->ctx;

    if (current == NULL
        || s3_version_cmp(&current->version, &w->bucket->version) != 0)
    {
        return S3_ECONFLICT;
    }

    return S3_OK;
}


void
s3_bucket_write(s3_bucket_work_t *w, const s3_bucket_t *bucket,
                int (*test)(s3_put_t *, const s3_entry_t *),
                void (*done)(s3_put_t *))
{
    s3_put_t *put;

    free(w->meta);

    w->meta = s3_bucket_encode(bucket);
    if (w->meta == NULL) {
        s3_bucket_release(w->bucket);
        w->bucket = NULL;
        s3_bucket_end(w, S3_ENOMEM);
        return;
    }

    put = &w->put;
    memset(put, 0, sizeof(s3_put_t));

    put->store = w->op->buckets->store;
    put->bucket = S3_BUCKET_BUCKETS;
    put->key = w->op->name;
    put->entry.kind = S3_KIND_OBJECT;
    put->entry.mtime = bucket->created;
    put->entry.extra_len =
        (uint8_t) (8 + s3_min(bucket->region.len, (size_t) S3_MAX_EXTRA - 8));
    s3_put64(put->entry.extra, bucket->id);
    memcpy(put->entry.extra + 8, bucket->region.data, put->entry.extra_len - 8);
    put->meta = s3_str(w->meta, strlen(w->meta));
    put->test = test;
    put->done = done;
    put->ctx = w;

    s3_store_put(put);
}


static void
s3_bucket_created(s3_put_t *put)
{
    s3_bucket_op_t *op;
    s3_bucket_work_t *w;

    w = put->ctx;

    if (put->rc == S3_OK) {
        w->bucket->version = put->version;
        s3_bucket_cache(w->op->buckets, w->bucket);
        s3_bucket_end(w, S3_OK);
        return;
    }

    s3_bucket_release(w->bucket);
    w->bucket = NULL;

    if (put->rc == S3_EEXIST) {
        /* somebody else was first: what they made is what is answered */

        op = w->op;
        free(w->meta);
        free(w);
        s3_bucket_create(op);
        return;
    }

    s3_bucket_end(w, put->rc);
}


static void
s3_bucket_create_loaded(s3_bucket_work_t *w, int rc)
{
    s3_bucket_op_t *op;

    op = w->op;

    if (rc == S3_OK) {
        s3_bucket_end(w, w->bucket->state == S3_BUCKET_ACTIVE ? S3_EEXIST
                                                              : S3_ECONFLICT);
        return;
    }

    if (rc != S3_ENOENT) {
        s3_bucket_end(w, rc);
        return;
    }

    w->bucket = s3_bucket_alloc(op->name, op->region, op->tags, op->n_tags);
    if (w->bucket == NULL) {
        s3_bucket_end(w, S3_ENOMEM);
        return;
    }

    /* 62 random bits: kept positive for JSON, and clear of the system's ids */

    op->buckets->loop->random(op->buckets->loop, &w->bucket->id,
                              sizeof(uint64_t));
    w->bucket->id = (w->bucket->id >> 2 | 1ull << 40) & ~3ull;
    w->bucket->generation = 1;
    w->bucket->state = S3_BUCKET_ACTIVE;
    w->bucket->created = op->buckets->loop->wall_us(op->buckets->loop) / 1000;

    s3_bucket_write(w, w->bucket, s3_bucket_test_absent, s3_bucket_created);
}


void
s3_bucket_create(s3_bucket_op_t *op)
{
    s3_bucket_work_t *w;

    w = s3_bucket_begin(op);
    if (w != NULL) {
        s3_bucket_load(w, s3_bucket_create_loaded);
    }
}


static void
s3_bucket_tags_written(s3_put_t *put)
{
    s3_bucket_work_t *w;

    w = put->ctx;

    s3_bucket_release(w->bucket);
    w->bucket = NULL;

    s3_bucket_end(w, put->rc);
}


static void
s3_bucket_tags_loaded(s3_bucket_work_t *w, int rc)
{
    s3_bucket_t *bucket;
    s3_bucket_op_t *op;

    op = w->op;

    if (rc != S3_OK) {
        s3_bucket_end(w, rc);
        return;
    }

    bucket = s3_bucket_alloc(w->bucket->name, w->bucket->region, op->tags,
                             op->n_tags);
    if (bucket == NULL) {
        s3_bucket_release(w->bucket);
        w->bucket = NULL;
        s3_bucket_end(w, S3_ENOMEM);
        return;
    }

    bucket->id = w->bucket->id;
    bucket->generation = w->bucket->generation;
    bucket->state = w->bucket->state;
    bucket->created = w->bucket->created;
    bucket->version = w->bucket->version;

    s3_bucket_release(w->bucket);
    w->bucket = bucket;

    s3_bucket_write(w, bucket, s3_bucket_test_same, s3_bucket_tags_written);
}


void
s3_bucket_set_tags(s3_bucket_op_t *op)
{
    s3_bucket_work_t *w;

    w = s3_bucket_begin(op);
    if (w != NULL) {
        s3_bucket_load(w, s3_bucket_tags_loaded);
    }
}
