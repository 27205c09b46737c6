#include "storage/s3_upload.h"


s3_upload_state_t
s3_upload_state(const s3_entry_t *e)
{
    if ((e->extra_len != 1 && e->extra_len != 1 + S3_VERSION_SIZE)
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
s3_upload_part_key(uint8_t *buf, s3_str_t key, s3_str_t id, unsigned number)
{
    s3_str_t prefix;

    prefix = s3_upload_parts_prefix(buf, key, id);
    buf[prefix.len] = (uint8_t) (number >> 8);
    buf[prefix.len + 1] = (uint8_t) number;

    return s3_str(buf, prefix.len + 2);
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
    const uint8_t *end;

    end = part_key.data + part_key.len;

    if (part_key.len < S3_UPLOAD_ID_LEN + 5 || end[-3] != '\0'
        || end[-S3_UPLOAD_ID_LEN - 4] != '\0')
    {
        return 0;
    }

    return (unsigned) part_key.data[part_key.len - 2] << 8
           | part_key.data[part_key.len - 1];
}


int
s3_upload_part_set(s3_entry_t *e, const s3_ref_t *ref, s3_str_t digest)
{
    if (S3_REF_SIZE + digest.len > S3_MAX_EXTRA) {
        return S3_EINVAL;
    }

    s3_ref_encode(e->extra, ref);

    if (digest.len) {
        memcpy(e->extra + S3_REF_SIZE, digest.data, digest.len);
    }

    e->extra_len = (uint8_t) (S3_REF_SIZE + digest.len);

    return S3_OK;
}


int
s3_upload_part_get(const s3_entry_t *e, s3_ref_t *ref, s3_str_t *digest)
{
    if (e->extra_len < S3_REF_SIZE) {
        return S3_ECORRUPT;
    }

    *digest = s3_str(e->extra + S3_REF_SIZE, e->extra_len - S3_REF_SIZE);

    /* a part without data has no blob */

    if (s3_get64(e->extra + 16) == 0 && e->extra[30] == 0) {
        memset(ref, 0, sizeof(s3_ref_t));
        memcpy(ref->id, e->extra, 16);
        return S3_OK;
    }

    return s3_ref_decode(e->extra, ref);
}
