#include "s3ctl/digest.h"


/* The next part: its size; S3_DONE after the last. */

static int
s3ctl_digest_part(s3ctl_digest_t *d)
{
    int rc;
    s3_meta_part_t part;

    if (d->at == d->n_parts) {
        return S3_DONE;
    }

    rc = s3_meta_part(d->table, d->at, &part);
    if (rc != S3_OK) {
        return rc;
    }

    d->left = part.size;

    s3_checksum_free(&d->md5);
    rc = s3_checksum_init(&d->md5, S3_CHECKSUM_MD5);

    if (rc == S3_OK && part.digest.len) {
        s3_checksum_free(&d->part);
        rc = s3_checksum_init(&d->part, d->noted.alg);
    }

    return rc;
}


/* A part is over: its digest into those of the whole. */

static int
s3ctl_digest_part_end(s3ctl_digest_t *d)
{
    int rc;
    size_t len;
    uint8_t out[S3_CHECKSUM_MAX];
    s3_meta_part_t part;

    rc = s3_meta_part(d->table, d->at, &part);
    if (rc != S3_OK) {
        return rc;
    }

    len = (size_t) s3_checksum_final(&d->md5, out);
    rc = s3_checksum_update(&d->etag, s3_str(out, len));

    if (rc == S3_OK && part.digest.len) {
        len = (size_t) s3_checksum_final(&d->part, out);

        if (s3_str_eq(s3_str(out, len), part.digest)) {
            d->parts_right++;
        } else {
            d->parts_wrong++;
        }

        if (d->noted.type == S3_CHECKSUM_COMPOSITE) {
            rc = s3_checksum_parts_add(&d->parts, out, part.size);
        }
    }

    d->at++;

    return rc;
}


/* A table of parts that does not fit the object is none. */

static int
s3ctl_digest_table(s3ctl_digest_t *d)
{
    int rc;
    size_t i, len;
    uint64_t size;
    s3_meta_part_t part;

    rc = s3_meta_find(d->object->record.meta, S3_META_PARTS, &d->table);

    if (rc == S3_ENOENT) {
        return S3_OK;
    }

    if (rc != S3_OK) {
        return rc;
    }

    rc = s3_meta_parts(d->table, &d->n_parts, &len);

    for (i = 0, size = 0; i < d->n_parts && rc == S3_OK; i++) {
        rc = s3_meta_part(d->table, i, &part);

        if (rc == S3_OK && part.size > d->object->entry.size - size) {
            rc = S3_ECORRUPT;
        }

        if (rc == S3_OK) {
            size += part.size;
        }
    }

    if (rc == S3_OK
        && (size != d->object->entry.size
            || (len && len != s3_checksum_info(d->noted.alg)->len)
            || (len && !s3_checksum_info(d->noted.alg)->supported)))
    {
        rc = S3_ECORRUPT;
    }

    return rc;
}


int
s3ctl_digest_init(s3ctl_digest_t *d, const s3_object_t *object)
{
    int rc;

    memset(d, 0, sizeof(*d));
    d->object = object;

    rc = s3_meta_verify(object->record.meta);
    if (rc != S3_OK) {
        return rc;
    }

    rc = s3_meta_find_checksum(object->record.meta, &d->noted);

    if (rc == S3_ENOENT) {
        memset(&d->noted, 0, sizeof(d->noted));
        rc = S3_OK;
    }

    if (rc == S3_OK) {
        rc = s3ctl_digest_table(d);
    }

    if (rc == S3_OK) {
        rc = s3_checksum_init(&d->md5, S3_CHECKSUM_MD5);
    }

    if (rc == S3_OK) {
        rc = s3_checksum_init(&d->etag, S3_CHECKSUM_MD5);
    }

    if (rc == S3_OK) {
        rc = s3_checksum_init(&d->full, S3_CHECKSUM_MD5);
    }

    if (rc == S3_OK && s3_checksum_info(d->noted.alg)->supported) {
        rc =
            d->noted.type == S3_CHECKSUM_COMPOSITE
                ? s3_checksum_parts_init(&d->parts, d->noted.alg, d->noted.type)
                : s3_checksum_init(&d->whole, d->noted.alg);
    }

    if (rc == S3_OK && d->n_parts) {
        rc = s3ctl_digest_part(d);
    }

    return rc;
}


static int
s3ctl_digest_some(s3ctl_digest_t *d, s3_str_t data)
{
    int rc;

    rc = s3_checksum_update(&d->md5, data);

    if (rc == S3_OK && d->part.alg) {
        rc = s3_checksum_update(&d->part, data);
    }

    return rc;
}


int
s3ctl_digest_update(s3ctl_digest_t *d, s3_str_t data)
{
    int rc;
    size_t n;

    rc = d->whole.alg ? s3_checksum_update(&d->whole, data) : S3_OK;

    if (rc == S3_OK) {
        rc = s3_checksum_update(&d->full, data);
    }

    if (d->n_parts == 0) {
        return rc == S3_OK ? s3ctl_digest_some(d, data) : rc;
    }

    while (data.len && rc == S3_OK) {

        while (d->left == 0 && rc == S3_OK) {
            rc = s3ctl_digest_part_end(d);

            if (rc == S3_OK) {
                rc = s3ctl_digest_part(d);
            }
        }

        if (rc != S3_OK) {
            return rc == S3_DONE ? S3_ECORRUPT : rc;
        }

        n = (size_t) s3_min((uint64_t) data.len, d->left);
        rc = s3ctl_digest_some(d, s3_str(data.data, n));
        d->left -= n;
        data = s3_str(data.data + n, data.len - n);
    }

    return rc;
}


static void
s3ctl_digest_etag(s3ctl_digest_t *d)
{
    const s3_entry_t *e = &d->object->entry;

    if (e->etag_parts && d->n_parts == 0) {
        return;
    }

    (void) s3_checksum_final(e->etag_parts ? &d->etag : &d->md5, d->md5_digest);
    d->etag_verdict =
        memcmp(d->md5_digest, e->etag, 16) == 0 ? S3CTL_RIGHT : S3CTL_WRONG;
}


static void
s3ctl_digest_checksum(s3ctl_digest_t *d)
{
    int n;
    uint8_t out[S3_CHECKSUM_MAX];

    if (d->noted.type == S3_CHECKSUM_COMPOSITE) {
        if (d->parts_right + d->parts_wrong != d->n_parts || d->n_parts == 0
            || s3_checksum_parts_final(&d->parts, out) < 0)
        {
            return;
        }

        n = (int) s3_checksum_info(d->noted.alg)->len;

    } else {
        if (d->whole.alg == S3_CHECKSUM_NONE) {
            return;
        }

        n = s3_checksum_final(&d->whole, out);
    }

    d->checksum_verdict =
        n >= 0 && s3_str_eq(s3_str(out, (size_t) n), d->noted.digest)
            ? S3CTL_RIGHT
            : S3CTL_WRONG;
}


unsigned
s3ctl_digest_final(s3ctl_digest_t *d)
{
    int rc = S3_OK;

    while (d->at < d->n_parts && d->left == 0 && rc == S3_OK) {
        rc = s3ctl_digest_part_end(d);

        if (rc == S3_OK && d->at < d->n_parts) {
            rc = s3ctl_digest_part(d);
        }
    }

    if (rc != S3_OK || d->at < d->n_parts) {
        return 1;
    }

    s3ctl_digest_etag(d);
    s3ctl_digest_checksum(d);

    return d->parts_wrong + (d->etag_verdict == S3CTL_WRONG)
           + (d->checksum_verdict == S3CTL_WRONG);
}


void
s3ctl_digest_print(const s3ctl_digest_t *d, const s3ctl_t *ctl)
{
    s3_str_t name;

    static const char *const words[] = {"not-checked", "right", "wrong"};

    s3ctl_text(ctl, "etag_is", words[d->etag_verdict]);

    if (d->noted.alg) {
        name = s3_checksum_info(d->noted.alg)->name;
        s3ctl_bytes(ctl, "checksum", name);
        s3ctl_text(ctl, "checksum_is", words[d->checksum_verdict]);
    }

    if (d->parts_right + d->parts_wrong) {
        s3ctl_number(ctl, "parts_right", d->parts_right);
        s3ctl_number(ctl, "parts_wrong", d->parts_wrong);
    }
}


void
s3ctl_digest_free(s3ctl_digest_t *d)
{
    s3_checksum_free(&d->md5);
    s3_checksum_free(&d->etag);
    s3_checksum_free(&d->full);
    s3_checksum_free(&d->whole);
    s3_checksum_free(&d->part);
    s3_checksum_parts_free(&d->parts);
}
