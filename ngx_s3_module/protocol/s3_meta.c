#include "s3_meta.h"

#include <stdlib.h>

#pragma GCC visibility push(hidden)

#define S3_META_PART_FIXED 10 /* number and size */


void
s3_meta_init(s3_meta_t *m)
{
    memset(m, 0, sizeof(*m));
}


void
s3_meta_free(s3_meta_t *m)
{
    free(m->data);
    memset(m, 0, sizeof(*m));
}


s3_str_t
s3_meta_blob(const s3_meta_t *m)
{
    static const uint8_t none = S3_META_VERSION;

    return m->len ? s3_str(m->data, m->len) : s3_str(&none, 1);
}


/* Room for n bytes at the end; len grows by n. */

static uint8_t *
s3_meta_room(s3_meta_t *m, size_t n)
{
    size_t cap;
    uint8_t *p;

    if (m->rc != S3_OK) {
        return NULL;
    }

    if (n > S3_META_MAX - 1 || m->len + 1 > S3_META_MAX - n) {
        m->rc = S3_EINVAL;
        return NULL;
    }

    if (m->len + n + 1 > m->cap) {
        cap = s3_max(m->cap * 2, m->len + n + 1);
        cap = s3_max(cap, (size_t) 256);
        p = realloc(m->data, cap);

        if (p == NULL) {
            m->rc = S3_ENOMEM;
            return NULL;
        }

        m->data = p;
        m->cap = cap;
    }

    if (m->len == 0) {
        m->data[0] = S3_META_VERSION;
        m->len = 1;
    }

    p = m->data + m->len;
    m->len += n;

    return p;
}


static size_t
s3_meta_varlen(uint64_t v)
{
    size_t n;

    for (n = 1; v >= 0x80; v >>= 7) {
        n++;
    }

    return n;
}


static uint8_t *
s3_meta_putvar(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t) (v | 0x80);
        v >>= 7;
    }

    *p++ = (uint8_t) v;

    return p;
}


/* LEB128 of at most 5 bytes and 32 bits; NULL: it does not fit. */

static const uint8_t *
s3_meta_getvar(const uint8_t *p, const uint8_t *end, size_t *v)
{
    unsigned int shift;
    uint64_t x;

    for (x = 0, shift = 0; p < end && shift < 35; shift += 7, p++) {
        x |= (uint64_t) (*p & 0x7f) << shift;

        if (*p < 0x80) {
            if (x > UINT32_MAX) {
                return NULL;
            }

            *v = (size_t) x;
            return p + 1;
        }
    }

    return NULL;
}


/* Type and length; returns where n bytes of value go. */

static uint8_t *
s3_meta_field(s3_meta_t *m, unsigned int type, size_t n)
{
    uint8_t *p;

    if (type == 0 || type > 0xff || n > S3_META_MAX) {
        m->rc = m->rc ? m->rc : S3_EINVAL;
        return NULL;
    }

    p = s3_meta_room(m, 1 + s3_meta_varlen(n) + n);

    if (p == NULL) {
        return NULL;
    }

    *p++ = (uint8_t) type;

    return s3_meta_putvar(p, n);
}


void
s3_meta_add(s3_meta_t *m, unsigned int type, s3_str_t value)
{
    uint8_t *p;

    p = s3_meta_field(m, type, value.len);

    if (p != NULL && value.len != 0) {
        memcpy(p, value.data, value.len);
    }
}


void
s3_meta_add_u64(s3_meta_t *m, unsigned int type, uint64_t value)
{
    uint8_t *p;

    p = s3_meta_field(m, type, 8);

    if (p != NULL) {
        s3_put64(p, value);
    }
}


/* A field with a name; returns where the name was put. */

static uint8_t *
s3_meta_add_named(s3_meta_t *m, unsigned int type, s3_str_t name,
                  s3_str_t value, s3_str_t more)
{
    uint8_t *p, *at;
    size_t vn;

    if (name.len > S3_META_MAX || value.len > S3_META_MAX
        || more.len > S3_META_MAX) {
        m->rc = m->rc ? m->rc : S3_EINVAL;
        return NULL;
    }

    vn = s3_meta_varlen(name.len);
    p = s3_meta_field(m, type, vn + name.len + value.len + more.len);

    if (p == NULL) {
        return NULL;
    }

    at = p = s3_meta_putvar(p, name.len);

    if (name.len != 0) {
        memcpy(p, name.data, name.len);
        p += name.len;
    }

    if (value.len != 0) {
        memcpy(p, value.data, value.len);
        p += value.len;
    }

    if (more.len != 0) {
        memcpy(p, more.data, more.len);
    }

    return at;
}


/*
 * Is a USER field of that name there?  Then it is taken out and comes back,
 * joined, at the end.
 */

static int
s3_meta_join(s3_meta_t *m, s3_str_t name, s3_str_t value)
{
    s3_meta_iter_t it;
    s3_meta_field_t field;
    const uint8_t *from;
    uint8_t *old;
    size_t n, at, len;

    if (m->len == 0 || s3_meta_iter(&it, s3_meta_blob(m)) != S3_OK) {
        return 0;
    }

    for (from = it.p; s3_meta_next(&it, &field) == 1; from = it.p) {
        if (field.type != S3_META_USER || !s3_str_caseeq(field.name, name)) {
            continue;
        }

        n = field.name.len + field.value.len;
        old = malloc(n + 2);

        if (old == NULL) {
            m->rc = S3_ENOMEM;
            return 1;
        }

        /* an empty name never gets here: n covers at least one byte */
        memcpy(old, field.name.data, field.name.len);

        if (field.value.len != 0) {
            memcpy(old + field.name.len, field.value.data, field.value.len);
        }

        old[n] = ',';

        at = (size_t) (from - m->data);
        len = (size_t) (it.p - from);
        memmove(m->data + at, m->data + at + len, m->len - at - len);
        m->len -= len;

        (void) s3_meta_add_named(
            m, S3_META_USER, s3_str(old, field.name.len),
            s3_str(old + field.name.len, field.value.len + 1), value);
        m->user_bytes += value.len + 1;
        free(old);

        return 1;
    }

    return 0;
}


void
s3_meta_add_user(s3_meta_t *m, s3_str_t name, s3_str_t value)
{
    uint8_t *p;
    size_t i;

    if (m->rc != S3_OK) {
        return;
    }

    if (name.len == 0) {
        m->rc = S3_EINVAL;
        return;
    }

    if (s3_meta_join(m, name, value)) {
        return;
    }

    p = s3_meta_add_named(m, S3_META_USER, name, value, s3_null_str);

    if (p == NULL) {
        return;
    }

    for (i = 0; i < name.len; i++) {
        if (p[i] >= 'A' && p[i] <= 'Z') {
            p[i] |= 0x20;
        }
    }

    m->user_bytes += name.len + value.len;
    m->user_count++;
}


void
s3_meta_add_tag(s3_meta_t *m, s3_str_t key, s3_str_t value)
{
    if (s3_meta_add_named(m, S3_META_TAG, key, value, s3_null_str) != NULL) {
        m->tag_count++;
    }
}


void
s3_meta_add_checksum(s3_meta_t *m, const s3_meta_checksum_t *c)
{
    uint8_t *p;

    if (c->alg <= S3_CHECKSUM_NONE || c->alg >= S3_CHECKSUM_LAST
        || c->digest.len != s3_checksum_info(c->alg)->len
        || c->type < S3_CHECKSUM_TYPE_NONE || c->type > S3_CHECKSUM_FULL_OBJECT)
    {
        m->rc = m->rc ? m->rc : S3_EINVAL;
        return;
    }

    p = s3_meta_field(m, S3_META_CHECKSUM,
                      2 + s3_meta_varlen(c->parts) + c->digest.len);

    if (p == NULL) {
        return;
    }

    *p++ = (uint8_t) c->alg;
    *p++ = (uint8_t) c->type;
    p = s3_meta_putvar(p, c->parts);
    memcpy(p, c->digest.data, c->digest.len);
}


void
s3_meta_add_parts(s3_meta_t *m, const s3_meta_part_t *parts, size_t n,
                  size_t digest_len)
{
    uint8_t *p;
    size_t i;

    if (n > 10000 || digest_len > S3_CHECKSUM_MAX) {
        m->rc = m->rc ? m->rc : S3_EINVAL;
        return;
    }

    for (i = 0; i < n; i++) {
        if (parts[i].number == 0 || parts[i].number > 10000
            || parts[i].digest.len != digest_len)
        {
            m->rc = m->rc ? m->rc : S3_EINVAL;
            return;
        }
    }

    p = s3_meta_field(m, S3_META_PARTS,
                      1 + n * (S3_META_PART_FIXED + digest_len));

    if (p == NULL) {
        return;
    }

    *p++ = (uint8_t) digest_len;

    for (i = 0; i < n; i++) {
        s3_put16(p, (uint16_t) parts[i].number);
        s3_put64(p + 2, parts[i].size);
        p += S3_META_PART_FIXED;

        if (digest_len != 0) {
            memcpy(p, parts[i].digest.data, digest_len);
            p += digest_len;
        }
    }
}


s3_err_t
s3_meta_check(const s3_meta_t *m, s3_fault_t *f)
{
    if (m->rc == S3_OK && m->user_bytes <= S3_META_USER_MAX) {
        return S3_ERR_NONE;
    }

    if (m->rc == S3_ENOMEM) {
        return s3_fault(f, S3_ERR_SLOW_DOWN, NULL);
    }

    s3_fault(f, S3_ERR_METADATA_TOO_LARGE, NULL);
    s3_fault_add_u64(f, "Size", m->user_bytes);
    s3_fault_add_u64(f, "MaxSizeAllowed", S3_META_USER_MAX);

    return S3_ERR_METADATA_TOO_LARGE;
}


static void
s3_meta_add_field(s3_meta_t *m, const s3_meta_field_t *field)
{
    if (field->type == S3_META_USER) {
        s3_meta_add_user(m, field->name, field->value);

    } else if (field->type == S3_META_TAG) {
        s3_meta_add_tag(m, field->name, field->value);

    } else {
        s3_meta_add(m, field->type, field->value);
    }
}


int
s3_meta_copy(s3_meta_t *m, s3_str_t blob, unsigned int type)
{
    s3_meta_iter_t it;
    s3_meta_field_t field;
    int rc;

    rc = s3_meta_iter(&it, blob);

    while (rc == S3_OK && (rc = s3_meta_next(&it, &field)) == 1) {
        if (field.type == type) {
            s3_meta_add_field(m, &field);
        }

        rc = m->rc;
    }

    return rc == S3_DONE ? S3_OK : rc;
}


int
s3_meta_copy_except(s3_meta_t *m, s3_str_t blob, const uint8_t *types,
                    size_t ntypes)
{
    s3_meta_iter_t it;
    s3_meta_field_t field;
    int rc;

    rc = s3_meta_iter(&it, blob);

    while (rc == S3_OK && (rc = s3_meta_next(&it, &field)) == 1) {
        if (ntypes == 0 || memchr(types, (int) field.type, ntypes) == NULL) {
            s3_meta_add_field(m, &field);
        }

        rc = m->rc;
    }

    return rc == S3_DONE ? S3_OK : rc;
}


int
s3_meta_iter(s3_meta_iter_t *it, s3_str_t blob)
{
    it->p = blob.data;
    it->end = blob.data;

    if (blob.len == 0) {
        return S3_OK;
    }

    if (blob.data[0] != S3_META_VERSION) {
        return blob.data[0] > S3_META_VERSION ? S3_EVERSION : S3_ECORRUPT;
    }

    it->p = blob.data + 1;
    it->end = blob.data + blob.len;

    return S3_OK;
}


int
s3_meta_next(s3_meta_iter_t *it, s3_meta_field_t *field)
{
    const uint8_t *p, *end;
    size_t n;

    if (it->p == it->end) {
        return S3_DONE;
    }

    field->type = it->p[0];
    field->name = s3_null_str;

    p = s3_meta_getvar(it->p + 1, it->end, &n);

    if (p == NULL || field->type == 0 || n > (size_t) (it->end - p)) {
        return S3_ECORRUPT;
    }

    end = p + n;

    if (field->type == S3_META_USER || field->type == S3_META_TAG) {
        p = s3_meta_getvar(p, end, &n);

        if (p == NULL || n > (size_t) (end - p)) {
            return S3_ECORRUPT;
        }

        field->name = s3_str(p, n);
        p += n;
    }

    field->value = s3_str(p, (size_t) (end - p));
    it->p = end;

    return 1;
}


static int
s3_meta_read_checksum(s3_str_t v, s3_meta_checksum_t *c)
{
    const uint8_t *p, *end;
    size_t parts;

    if (v.len < 3 || v.data[0] == S3_CHECKSUM_NONE
        || v.data[0] >= S3_CHECKSUM_LAST || v.data[1] > S3_CHECKSUM_FULL_OBJECT)
    {
        return S3_ECORRUPT;
    }

    end = v.data + v.len;
    p = s3_meta_getvar(v.data + 2, end, &parts);

    if (p == NULL) {
        return S3_ECORRUPT;
    }

    c->alg = (s3_checksum_alg_t) v.data[0];
    c->type = (s3_checksum_type_t) v.data[1];
    c->parts = (uint32_t) parts;
    c->digest = s3_str(p, (size_t) (end - p));

    return c->digest.len == s3_checksum_info(c->alg)->len ? S3_OK : S3_ECORRUPT;
}


int
s3_meta_verify(s3_str_t blob)
{
    s3_meta_iter_t it;
    s3_meta_field_t field;
    s3_meta_checksum_t c;
    s3_meta_part_t part;
    size_t n, digest_len, i;
    int rc;

    rc = s3_meta_iter(&it, blob);

    while (rc == S3_OK && (rc = s3_meta_next(&it, &field)) == 1) {
        rc = S3_OK;

        if (field.type == S3_META_CHECKSUM) {
            rc = s3_meta_read_checksum(field.value, &c);

        } else if (field.type == S3_META_PARTS) {
            rc = s3_meta_parts(field.value, &n, &digest_len);

            for (i = 0; rc == S3_OK && i < n; i++) {
                rc = s3_meta_part(field.value, i, &part);
            }
        }
    }

    return rc == S3_DONE ? S3_OK : rc;
}


/* name: of a user field; data NULL where there are no names. */

static int
s3_meta_search(s3_str_t blob, unsigned int type, s3_str_t name, s3_str_t *value)
{
    s3_meta_iter_t it;
    s3_meta_field_t field;
    int rc;

    *value = s3_null_str;
    rc = s3_meta_iter(&it, blob);

    if (rc != S3_OK) {
        return rc;
    }

    while ((rc = s3_meta_next(&it, &field)) == 1) {
        if (field.type == type
            && (name.data == NULL || s3_str_caseeq(field.name, name)))
        {
            *value = field.value;
            return S3_OK;
        }
    }

    return rc == S3_DONE ? S3_ENOENT : rc;
}


int
s3_meta_find(s3_str_t blob, unsigned int type, s3_str_t *value)
{
    return s3_meta_search(blob, type, s3_null_str, value);
}


int
s3_meta_find_u64(s3_str_t blob, unsigned int type, uint64_t *value)
{
    s3_str_t v;
    int rc;

    rc = s3_meta_find(blob, type, &v);

    if (rc != S3_OK) {
        return rc;
    }

    if (v.len != 8) {
        return S3_ECORRUPT;
    }

    *value = s3_get64(v.data);

    return S3_OK;
}


int
s3_meta_find_user(s3_str_t blob, s3_str_t name, s3_str_t *value)
{
    return s3_meta_search(blob, S3_META_USER, name, value);
}


int
s3_meta_find_checksum(s3_str_t blob, s3_meta_checksum_t *c)
{
    s3_str_t v;
    int rc;

    rc = s3_meta_find(blob, S3_META_CHECKSUM, &v);

    return rc == S3_OK ? s3_meta_read_checksum(v, c) : rc;
}


int
s3_meta_count(s3_str_t blob, unsigned int type)
{
    s3_meta_iter_t it;
    s3_meta_field_t field;
    int rc, n;

    rc = s3_meta_iter(&it, blob);

    if (rc != S3_OK) {
        return rc;
    }

    for (n = 0; (rc = s3_meta_next(&it, &field)) == 1; /* void */) {
        n += field.type == type;
    }

    return rc == S3_DONE ? n : rc;
}


int
s3_meta_parts(s3_str_t value, size_t *n, size_t *digest_len)
{
    size_t each;

    if (value.len == 0 || value.data[0] > S3_CHECKSUM_MAX) {
        return S3_ECORRUPT;
    }

    each = S3_META_PART_FIXED + (size_t) value.data[0];

    if ((value.len - 1) % each != 0 || (value.len - 1) / each > 10000) {
        return S3_ECORRUPT;
    }

    *n = (value.len - 1) / each;
    *digest_len = value.data[0];

    return S3_OK;
}


int
s3_meta_part(s3_str_t value, size_t i, s3_meta_part_t *part)
{
    const uint8_t *p;
    size_t n, digest_len;
    int rc;

    rc = s3_meta_parts(value, &n, &digest_len);

    if (rc != S3_OK) {
        return rc;
    }

    if (i >= n) {
        return S3_ENOENT;
    }

    p = value.data + 1 + i * (S3_META_PART_FIXED + digest_len);

    part->number = s3_get16(p);
    part->size = s3_get64(p + 2);
    part->digest = s3_str(p + S3_META_PART_FIXED, digest_len);

    return part->number >= 1 && part->number <= 10000 ? S3_OK : S3_ECORRUPT;
}


int
s3_meta_part_find(s3_str_t value, uint32_t number, uint64_t *first,
                  s3_meta_part_t *part)
{
    size_t i;
    int rc;

    for (i = 0, *first = 0; (rc = s3_meta_part(value, i, part)) == S3_OK; i++) {
        if (*first > UINT64_MAX - part->size) {
            return S3_ECORRUPT;
        }

        if (part->number == number) {
            return S3_OK;
        }

        *first += part->size;
    }

    return rc;
}

#pragma GCC visibility pop
