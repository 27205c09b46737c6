/*
 * Encoded entries and references; s3_entry.h has the layouts.
 */

#include <stdlib.h>

#include "storage/s3_entry.h"
#include "storage/s3_drive.h"

#pragma GCC visibility push(hidden)


size_t
s3_entry_size(const s3_entry_t *e)
{
    return S3_ENTRY_FIXED + (size_t) e->extra_len;
}


int
s3_entry_valid(const s3_entry_t *e)
{
    return e->kind >= S3_KIND_OBJECT && e->kind <= S3_KIND_DROP
           && e->flags < 2 * S3_F_PUSHED && e->need <= S3_MAX_DRIVES
           && e->layout <= S3_LAYOUT_BLOBS && e->extra_len <= S3_MAX_EXTRA;
}


void
s3_entry_encode(uint8_t *p, const s3_entry_t *e)
{
    s3_put_version(p, &e->version);
    p[20] = e->kind;
    p[21] = e->flags;
    p[22] = e->need;
    p[23] = e->layout;
    s3_put32(p + 24, e->voters);
    s3_put32(p + 28, e->holders);
    s3_put64(p + 32, e->size);
    s3_put64(p + 40, e->mtime);
    memcpy(p + 48, e->etag, 16);
    s3_put32(p + 64, e->etag_parts);
    p[68] = e->storage_class;
    p[69] = e->checksum;
    p[70] = e->extra_len;
    p[71] = 0;
    s3_put32(p + 72, e->segment);
    s3_put32(p + 76, e->offset);
    s3_put32(p + 80, e->length);
    memcpy(p + S3_ENTRY_FIXED, e->extra,
           s3_min(e->extra_len, (uint8_t) S3_MAX_EXTRA));
}


void
s3_entry_unplace(uint8_t *p)
{
    memset(p + 72, 0, 12);
}


ssize_t
s3_entry_decode(const uint8_t *p, size_t len, s3_entry_t *e)
{
    if (len < S3_ENTRY_FIXED) {
        return S3_ECORRUPT;
    }

    memset(e, 0, sizeof(*e));

    e->version = s3_get_version(p);
    e->kind = p[20];
    e->flags = p[21];
    e->need = p[22];
    e->layout = p[23];
    e->voters = s3_get32(p + 24);
    e->holders = s3_get32(p + 28);
    e->size = s3_get64(p + 32);
    e->mtime = s3_get64(p + 40);
    memcpy(e->etag, p + 48, 16);
    e->etag_parts = s3_get32(p + 64);
    e->storage_class = p[68];
    e->checksum = p[69];
    e->extra_len = p[70];
    e->segment = s3_get32(p + 72);
    e->offset = s3_get32(p + 76);
    e->length = s3_get32(p + 80);

    if (!s3_entry_valid(e) || p[71] != 0 || len - S3_ENTRY_FIXED < e->extra_len)
    {
        return S3_ECORRUPT;
    }

    memcpy(e->extra, p + S3_ENTRY_FIXED, e->extra_len);

    return S3_ENTRY_FIXED + (ssize_t) e->extra_len;
}


void
s3_ref_encode(uint8_t *p, const s3_ref_t *ref)
{
    memcpy(p, ref->id, 16);
    s3_put64(p + 16, ref->size);
    s3_put32(p + 24, ref->mask);
    s3_put16(p + 28, ref->slot);
    p[30] = ref->k;
    p[31] = 0;
}


int
s3_ref_decode(const uint8_t *p, s3_ref_t *ref)
{
    memcpy(ref->id, p, 16);
    ref->size = s3_get64(p + 16);
    ref->mask = s3_get32(p + 24);
    ref->slot = s3_get16(p + 28);
    ref->k = p[30];

    if (ref->k == 0 || p[31] != 0
        || __builtin_popcount(ref->mask) < (int) ref->k) {
        return S3_ECORRUPT;
    }

    return S3_OK;
}


void
s3_entry_lineage(s3_entry_t *e, const s3_version_t *origin,
                 const s3_version_t *root)
{
    e->extra_len = 0;

    if (origin || root) {
        s3_put_version(e->extra, origin ? origin : &s3_version_none);
        e->extra_len = S3_VERSION_SIZE;
    }

    if (root) {
        s3_put_version(e->extra + S3_VERSION_SIZE, root);
        e->extra_len = 2 * S3_VERSION_SIZE;
    }
}


void
s3_lookup_release(s3_lookup_t *lookup)
{
    if (lookup->entries != lookup->fixed) {
        free(lookup->entries);
    }

    lookup->entries = NULL;
    lookup->n = 0;
}

#pragma GCC visibility pop
