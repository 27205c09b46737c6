/*
 * What is voted on.
 */

#include "storage/s3_commit.h"

#include <stdlib.h>


s3_payload_t *
s3_payload_create(s3_store_t *store, const s3_record_t *record, s3_buf_t *data)
{
    size_t reminders;
    unsigned i, k, m;
    uint8_t *p, *shards[S3_CODE_MAX];
    const s3_entry_t *e;
    s3_payload_t *payload;

    reminders = store->n * sizeof(s3_reminder_t);

    payload = malloc(sizeof(s3_payload_t) + reminders + record->key.len
                     + record->refs.len + record->meta.len + 1);
    if (payload == NULL) {
        return NULL;
    }

    payload->refs = 1;
    payload->store = store;
    payload->slot = s3_place_slot(&store->place, record->bucket, record->key);
    payload->record = *record;
    payload->record.data = s3_null_str;
    payload->data = NULL;
    payload->parity = NULL;
    payload->shard_len = 0;

    memset(payload->reminders, 0, reminders);
    p = (uint8_t *) payload->reminders + reminders;

#define s3_payload_copy(field)                            \
    if (record->field.len) {                              \
        memcpy(p, record->field.data, record->field.len); \
    }                                                     \
    payload->record.field.data = p;                       \
    p += record->field.len

    s3_payload_copy(key);
    s3_payload_copy(refs);
    s3_payload_copy(meta);

    e = &payload->record.entry;

    if (e->layout == S3_LAYOUT_INLINE) {
        k = e->need;
        m = s3_count(e->holders) - k;

        if (k == 0 || s3_count(e->holders) < k || data == NULL
            || data->len != e->size || data->cap < data->len + k)
        {
            free(payload);
            return NULL;
        }

        payload->shard_len = (data->len + k - 1) / k;

        if (m) {
            payload->parity = malloc(m * payload->shard_len);
            if (payload->parity == NULL) {
                free(payload);
                return NULL;
            }
        }

        for (i = 0; i < k + m; i++) {
            shards[i] = i < k ? data->data + i * payload->shard_len
                              : payload->parity + (i - k) * payload->shard_len;
        }

        if (s3_code_encode(store->code, k, m, payload->shard_len, shards)
            != S3_OK) {
            free(payload->parity);
            free(payload);
            return NULL;
        }
    }

    if (e->layout == S3_LAYOUT_INLINE || e->layout == S3_LAYOUT_COPIES) {
        payload->data = s3_buf_ref(data);
    }

    store->refs++;

    return payload;
}


void
s3_payload_release(s3_payload_t *payload)
{
    if (payload == NULL || --payload->refs) {
        return;
    }

    s3_buf_release(payload->data);
    s3_store_release(payload->store);
    free(payload->parity);
    free(payload);
}


void
s3_payload_record(s3_payload_t *payload, unsigned drive, s3_record_t *record)
{
    int rank;
    unsigned k;
    size_t len;
    const s3_entry_t *e;

    *record = payload->record;
    e = &record->entry;

    if (payload->data == NULL || !(e->holders & s3_bit(drive))) {
        return;
    }

    if (e->layout == S3_LAYOUT_COPIES) {
        record->data = s3_str(payload->data->data, payload->data->len);
        return;
    }

    rank =
        s3_place_rank(&payload->store->place, payload->slot, e->holders, drive);
    k = e->need;
    len = payload->shard_len;

    if (rank < 0) {
        return;
    }

    if ((unsigned) rank < k) {
        record->data = s3_str(payload->data->data + (size_t) rank * len, len);

    } else {
        record->data = s3_str(payload->parity + ((size_t) rank - k) * len, len);
    }
}
