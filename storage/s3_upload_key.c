#include "storage/s3_upload.h"


s3_upload_state_t
s3_upload_state(const s3_entry_t *e)
{
    if ((e->extra_len != 1 && e->extra_len != 1 + S3_VERSION_SIZE
         && e->extra_len != 1 + 2 * S3_VERSION_SIZE)
        || e->extra[0] > S3_UPLOAD_ABORTING)
    {
        return 0;
    }

    return (s3_upload_state_t) e->extra[0];
}


void
s3_upload_set_state(s3_entry_t *e, s3_upload_state_t state)
{
    e->extra[0] = (uint8_t) state;
    e->extra_len = 1;
}


int
s3_upload_base(const s3_entry_t *e, s3_version_t *base, s3_version_t *root)
{
    if (e->extra_len != 1 + 2 * S3_VERSION_SIZE) {
        return 0;
    }

    *base = s3_get_version(e->extra + 1);
    *root = s3_get_version(e->extra + 1 + S3_VERSION_SIZE);

    return 1;
}


s3_version_t
s3_upload_at(const s3_entry_t *newest)
{
    return newest->kind == S3_KIND_TOMBSTONE ? newest->version
                                             : s3_entry_origin(newest);
}


s3_str_t
s3_upload_key(uint8_t *buf, s3_str_t key, s3_str_t id)
{
    memcpy(buf, key.data, key.len);
    buf[key.len] = '\0';
    memcpy(buf + key.len + 1, id.data, id.len);

    return s3_str(buf, key.len + 1 + id.len);
}


s3_str_t
s3_upload_parts_prefix(uint8_t *buf, s3_str_t key, s3_str_t id)
{
    s3_str_t prefix;

    prefix = s3_upload_key(buf, key, id);
    buf[prefix.len] = '\0';

    return s3_str(buf, prefix.len + 1);
}


s3_str_t
s3_upload_part_key(uint8_t *buf, s3_str_t key, s3_str_t id, unsigned number,
                   const uint8_t *tag)
{
    uint8_t *p;
    s3_str_t prefix;

    prefix = s3_upload_parts_prefix(buf, key, id);
    p = buf + prefix.len;

    p[0] = (uint8_t) (number >> 8);
    p[1] = (uint8_t) number;

    if (tag != NULL) {
        memcpy(p + 2, tag, S3_UPLOAD_TAG_LEN);

    } else {
        memset(p + 2, 0xff, S3_UPLOAD_TAG_LEN);
    }

    return s3_str(buf, prefix.len + 2 + S3_UPLOAD_TAG_LEN);
}


int
s3_upload_split(s3_str_t upload_key, s3_str_t *key, s3_str_t *id)
{
    size_t len;

    if (upload_key.len < S3_UPLOAD_ID_LEN + 2) {
        return S3_EINVAL;
    }

    len = upload_key.len - S3_UPLOAD_ID_LEN - 1;

    if (upload_key.data[len] != '\0') {
        return S3_EINVAL;
    }

    *key = s3_str(upload_key.data, len);
    *id = s3_str(upload_key.data + len + 1, S3_UPLOAD_ID_LEN);

    return S3_OK;
}


unsigned
s3_upload_part_number(s3_str_t part_key)
{
    const uint8_t *p;

    if (part_key.len < S3_UPLOAD_ID_LEN + 5 + S3_UPLOAD_TAG_LEN) {
        return 0;
    }

    p = part_key.data + part_key.len - S3_UPLOAD_TAG_LEN - 2;

    if (p[-1] != '\0' || p[-S3_UPLOAD_ID_LEN - 2] != '\0') {
        return 0;
    }

    return (unsigned) p[0] << 8 | p[1];
}


#define S3_PART_DIGEST 40


int
s3_upload_part_set(s3_entry_t *e, const s3_ref_t *ref, s3_str_t digest)
{
    if (digest.len > S3_PART_DIGEST) {
        return S3_EINVAL;
    }

    s3_ref_encode(e->extra, ref);

    if (digest.len) {
        memcpy(e->extra + S3_REF_SIZE, digest.data, digest.len);
    }

    e->extra_len = (uint8_t) (S3_REF_SIZE + digest.len);

    return S3_OK;
}


/* The last byte of a reference, 0 elsewhere, tells that the version follows
 * which the part had at first. */

#define S3_PART_AGAIN 31


int
s3_upload_part_again(s3_entry_t *e, const s3_ref_t *ref)
{
    s3_version_t first;

    if (e->extra_len < S3_REF_SIZE) {
        return S3_ECORRUPT;
    }

    first = s3_upload_part_version(e);

    if (!e->extra[S3_PART_AGAIN]) {
        if (e->extra_len > S3_REF_SIZE + S3_PART_DIGEST) {
            return S3_EINVAL;
        }

        memmove(e->extra + S3_REF_SIZE + S3_VERSION_SIZE,
                e->extra + S3_REF_SIZE, e->extra_len - (size_t) S3_REF_SIZE);
        e->extra_len += S3_VERSION_SIZE;
    }

    s3_ref_encode(e->extra, ref);
    e->extra[S3_PART_AGAIN] = 1;
    s3_put_version(e->extra + S3_REF_SIZE, &first);

    return S3_OK;
}


s3_version_t
s3_upload_part_version(const s3_entry_t *e)
{
    if (e->extra_len < S3_REF_SIZE + S3_VERSION_SIZE
        || !e->extra[S3_PART_AGAIN]) {
        return e->version;
    }

    return s3_get_version(e->extra + S3_REF_SIZE);
}


int
s3_upload_part_get(const s3_entry_t *e, s3_ref_t *ref, s3_str_t *digest)
{
    size_t from;
    uint8_t p[S3_REF_SIZE];

    if (e->extra_len < S3_REF_SIZE) {
        return S3_ECORRUPT;
    }

    from = S3_REF_SIZE;
    memcpy(p, e->extra, S3_REF_SIZE);

    if (p[S3_PART_AGAIN]) {
        from += S3_VERSION_SIZE;
        p[S3_PART_AGAIN] = 0;

        if (e->extra_len < from) {
            return S3_ECORRUPT;
        }
    }

    *digest = s3_str(e->extra + from, e->extra_len - from);

    /* a part without data has no blob */

    if (s3_get64(e->extra + 16) == 0 && e->extra[30] == 0) {
        memset(ref, 0, sizeof(s3_ref_t));
        memcpy(ref->id, e->extra, 16);
        return S3_OK;
    }

    return s3_ref_decode(p, ref);
}


/* One that was coded anew has a shard on all of them, and names none. */

uint32_t
s3_upload_part_lack(const s3_entry_t *e, const s3_ref_t *ref)
{
    return e->holders ? ref->mask & ~e->holders : 0;
}
