/*
 * The text of a MANIFEST: one JSON object, a newline, "#", sixteen hex digits
 * of XXH3-64 over all that is before the "#", a newline.
 *
 * 64-bit values that may use all of their bits are strings of hex digits, for
 * a JSON number is a signed one here and a double elsewhere.
 */

#include <stdio.h>
#include <stdlib.h>
#include "storage/s3_xxh3.h"

#include "s3_json.h"
#include "s3_manifest.h"


#define S3_MANIFEST_TAIL 18 /* "#", 16 digits, newline */


static json_t *
s3_manifest_hex(uint64_t value)
{
    char buf[20];

    (void) snprintf(buf, sizeof(buf), "%016llx", (unsigned long long) value);

    return json_string(buf);
}


static int
s3_manifest_unhex(const char *p, size_t len, uint64_t *value)
{
    uint64_t v = 0;
    size_t i;
    char c;

    if (len != 16) {
        return S3_ECORRUPT;
    }

    for (i = 0; i < len; i++) {
        c = p[i];

        if (c >= '0' && c <= '9') {
            v = v << 4 | (uint64_t) (c - '0');

        } else if (c >= 'a' && c <= 'f') {
            v = v << 4 | (uint64_t) (c - 'a' + 10);

        } else {
            return S3_ECORRUPT;
        }
    }

    *value = v;

    return S3_OK;
}


static int
s3_manifest_cmp_id(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;

    return (x > y) - (x < y);
}


/* Every id once, from 1 to below next. */

static int
s3_manifest_ids(uint32_t *ids, unsigned n, uint32_t next)
{
    unsigned i;

    qsort(ids, n, sizeof(uint32_t), s3_manifest_cmp_id);

    for (i = 0; i < n; i++) {
        if (ids[i] == 0 || ids[i] >= next || (i && ids[i] == ids[i - 1])) {
            return S3_EINVAL;
        }
    }

    return S3_OK;
}


/* The same rules for what is written and what is read: S3_EINVAL. */

static int
s3_manifest_check(const s3_manifest_t *m)
{
    uint32_t *ids;
    unsigned i;
    int rc;

    if (m->n_tables > S3_MANIFEST_TABLES || m->n_segments > S3_MANIFEST_SEGMENTS
        || m->generation > INT64_MAX || m->next_table_id == 0
        || m->next_segment_id == 0)
    {
        return S3_EINVAL;
    }

    ids = malloc(((size_t) s3_max(m->n_tables, m->n_segments) + 1)
                 * sizeof(uint32_t));
    if (ids == NULL) {
        return S3_ENOMEM;
    }

    rc = S3_OK;

    for (i = 0; i < m->n_tables; i++) {
        ids[i] = m->tables[i].id;

        if (m->tables[i].bytes > INT64_MAX || m->tables[i].entries > INT64_MAX)
        {
            rc = S3_EINVAL;
        }
    }

    if (rc == S3_OK) {
        rc = s3_manifest_ids(ids, m->n_tables, m->next_table_id);
    }

    for (i = 0; i < m->n_segments; i++) {
        ids[i] = m->segments[i].id;

        if (m->segments[i].live > INT64_MAX) {
            rc = S3_EINVAL;
        }
    }

    if (rc == S3_OK) {
        rc = s3_manifest_ids(ids, m->n_segments, m->next_segment_id);
    }

    free(ids);

    return rc;
}


static json_t *
s3_manifest_id(const uint8_t id[16])
{
    char text[S3_JSON_ID];

    s3_json_put_id(text, id);

    return json_string(text);
}


static json_t *
s3_manifest_peers(const s3_manifest_t *m)
{
    json_t *peers;
    unsigned i;

    peers = json_array();

    for (i = 0; i < S3_MAX_DRIVES; i++) {
        if (m->peers[i].generation == 0) {
            continue;
        }

        if (json_array_append_new(
                peers,
                json_pack("{s:I,s:o,s:I}", "position", (json_int_t) i, "drive",
                          s3_manifest_id(m->peers[i].drive), "generation",
                          (json_int_t) m->peers[i].generation)))
        {
            json_decref(peers);
            return NULL;
        }
    }

    return peers;
}


static json_t *
s3_manifest_object(const s3_manifest_t *m)
{
    json_t *tables, *segments, *peers;
    unsigned i;

    tables = json_array();
    segments = json_array();
    peers = s3_manifest_peers(m);

    /* each call takes NULL for an argument: an error, nothing worse */

    for (i = 0; i < m->n_tables; i++) {
        if (json_array_append_new(
                tables,
                json_pack("{s:I,s:I,s:I}", "id", (json_int_t) m->tables[i].id,
                          "bytes", (json_int_t) m->tables[i].bytes, "entries",
                          (json_int_t) m->tables[i].entries)))
        {
            goto failed;
        }
    }

    for (i = 0; i < m->n_segments; i++) {
        if (json_array_append_new(
                segments,
                json_pack("{s:I,s:I,s:I,s:b}", "id",
                          (json_int_t) m->segments[i].id, "replay_from",
                          (json_int_t) m->segments[i].replay_from, "live",
                          (json_int_t) m->segments[i].live, "sealed",
                          (int) m->segments[i].sealed)))
        {
            goto failed;
        }
    }

    if (tables == NULL || segments == NULL || peers == NULL) {
        goto failed;
    }

    return json_pack(
        "{s:I,s:I,s:{s:o,s:o,s:I},s:o,s:I,s:I,s:b,s:o,s:o,s:o}", "version",
        (json_int_t) S3_MANIFEST_VERSION, "generation",
        (json_int_t) m->generation, "floor", "time",
        s3_manifest_hex(m->floor.time), "rand", s3_manifest_hex(m->floor.rand),
        "node", (json_int_t) m->floor.node, "clock", s3_manifest_hex(m->clock),
        "next_table_id", (json_int_t) m->next_table_id, "next_segment_id",
        (json_int_t) m->next_segment_id, "lost", (int) m->lost, "tables",
        tables, "segments", segments, "peers", peers);

failed:

    json_decref(peers);
    json_decref(tables);
    json_decref(segments);

    return NULL;
}


int
s3_manifest_format(const s3_manifest_t *m, char **out, size_t *len)
{
    json_t *root;
    size_t n;
    char *p;
    int rc;

    rc = s3_manifest_check(m);
    if (rc != S3_OK) {
        return rc;
    }

    root = s3_manifest_object(m);
    if (root == NULL) {
        return S3_ENOMEM;
    }

    p = s3_json_text(root, JSON_COMPACT | JSON_PRESERVE_ORDER,
                     1 + S3_MANIFEST_TAIL, &n);
    json_decref(root);

    if (p == NULL) {
        return S3_ENOMEM;
    }

    p[n++] = '\n';
    (void) snprintf(p + n, S3_MANIFEST_TAIL + 1, "#%016llx\n",
                    (unsigned long long) XXH3_64bits(p, n));

    *out = p;
    *len = n + S3_MANIFEST_TAIL;

    return S3_OK;
}


/* An integer member, 0..most. */

static int
s3_manifest_int(const json_t *object, const char *name, uint64_t most,
                uint64_t *value)
{
    json_t *v = json_object_get(object, name);

    if (!json_is_integer(v) || json_integer_value(v) < 0
        || (uint64_t) json_integer_value(v) > most)
    {
        return S3_ECORRUPT;
    }

    *value = (uint64_t) json_integer_value(v);

    return S3_OK;
}


static int
s3_manifest_int32(const json_t *object, const char *name, uint32_t *value)
{
    uint64_t v = 0;

    if (s3_manifest_int(object, name, UINT32_MAX, &v) != S3_OK) {
        return S3_ECORRUPT;
    }

    *value = (uint32_t) v;

    return S3_OK;
}


static int
s3_manifest_int64(const json_t *object, const char *name, uint64_t *value)
{
    json_t *v = json_object_get(object, name);

    return json_is_string(v) ? s3_manifest_unhex(json_string_value(v),
                                                 json_string_length(v), value)
                             : S3_ECORRUPT;
}


static int
s3_manifest_get_tables(const json_t *array, s3_manifest_t *m)
{
    size_t i, n = json_array_size(array);
    s3_manifest_table_t *table;
    json_t *v;

    if (!json_is_array(array) || n > S3_MANIFEST_TABLES) {
        return S3_ECORRUPT;
    }

    m->tables = calloc(n + 1, sizeof(s3_manifest_table_t));
    if (m->tables == NULL) {
        return S3_ENOMEM;
    }

    for (i = 0; i < n; i++) {
        v = json_array_get(array, i);
        table = &m->tables[i];

        if (s3_manifest_int32(v, "id", &table->id) != S3_OK
            || s3_manifest_int(v, "bytes", INT64_MAX, &table->bytes) != S3_OK
            || s3_manifest_int(v, "entries", INT64_MAX, &table->entries)
                   != S3_OK)
        {
            return S3_ECORRUPT;
        }
    }

    m->n_tables = (unsigned) n;

    return S3_OK;
}


static int
s3_manifest_get_segments(const json_t *array, s3_manifest_t *m)
{
    size_t i, n = json_array_size(array);
    s3_manifest_segment_t *segment;
    json_t *v;

    if (!json_is_array(array) || n > S3_MANIFEST_SEGMENTS) {
        return S3_ECORRUPT;
    }

    m->segments = calloc(n + 1, sizeof(s3_manifest_segment_t));
    if (m->segments == NULL) {
        return S3_ENOMEM;
    }

    for (i = 0; i < n; i++) {
        v = json_array_get(array, i);
        segment = &m->segments[i];

        if (s3_manifest_int32(v, "id", &segment->id) != S3_OK
            || s3_manifest_int32(v, "replay_from", &segment->replay_from)
                   != S3_OK
            || s3_manifest_int(v, "live", INT64_MAX, &segment->live) != S3_OK)
        {
            return S3_ECORRUPT;
        }

        segment->sealed = json_is_true(json_object_get(v, "sealed"));
    }

    m->n_segments = (unsigned) n;

    return S3_OK;
}


/* None at all is fine. */

static int
s3_manifest_get_peers(const json_t *array, s3_manifest_t *m)
{
    size_t i, n = json_array_size(array);
    uint32_t at;
    json_t *v;
    s3_manifest_peer_t *peer;

    if (array == NULL) {
        return S3_OK;
    }

    if (!json_is_array(array) || n > S3_MAX_DRIVES) {
        return S3_ECORRUPT;
    }

    for (i = 0; i < n; i++) {
        v = json_array_get(array, i);

        if (s3_manifest_int32(v, "position", &at) != S3_OK
            || at >= S3_MAX_DRIVES) {
            return S3_ECORRUPT;
        }

        peer = &m->peers[at];

        if (s3_json_get_id(json_object_get(v, "drive"), peer->drive) != S3_OK
            || s3_manifest_int(v, "generation", INT64_MAX, &peer->generation)
                   != S3_OK)
        {
            return S3_ECORRUPT;
        }
    }

    return S3_OK;
}


static int
s3_manifest_get(const json_t *root, s3_manifest_t *m)
{
    const json_t *floor;
    int rc;

    if (s3_manifest_int32(root, "version", &m->version) != S3_OK
        || m->version == 0) {
        return S3_ECORRUPT;
    }

    if (m->version > S3_MANIFEST_VERSION) {
        return S3_EVERSION;
    }

    floor = json_object_get(root, "floor");

    if (s3_manifest_int(root, "generation", INT64_MAX, &m->generation) != S3_OK
        || s3_manifest_int64(floor, "time", &m->floor.time) != S3_OK
        || s3_manifest_int64(floor, "rand", &m->floor.rand) != S3_OK
        || s3_manifest_int32(floor, "node", &m->floor.node) != S3_OK
        || s3_manifest_int64(root, "clock", &m->clock) != S3_OK
        || s3_manifest_int32(root, "next_table_id", &m->next_table_id) != S3_OK
        || s3_manifest_int32(root, "next_segment_id", &m->next_segment_id)
               != S3_OK)
    {
        return S3_ECORRUPT;
    }

    m->lost = json_is_true(json_object_get(root, "lost"));
    rc = s3_manifest_get_tables(json_object_get(root, "tables"), m);

    if (rc == S3_OK) {
        rc = s3_manifest_get_segments(json_object_get(root, "segments"), m);
    }

    if (rc == S3_OK) {
        rc = s3_manifest_get_peers(json_object_get(root, "peers"), m);
    }

    if (rc == S3_OK) {
        rc = s3_manifest_check(m);
    }

    return rc == S3_EINVAL ? S3_ECORRUPT : rc;
}


int
s3_manifest_parse(const char *text, size_t len, s3_manifest_t *m)
{
    const char *tail;
    uint64_t hash;
    json_t *root;
    int rc;

    s3_manifest_init(m);

    if (len <= S3_MANIFEST_TAIL || len > S3_MANIFEST_BYTES) {
        return S3_ECORRUPT;
    }

    len -= S3_MANIFEST_TAIL;
    tail = text + len;

    if (tail[-1] != '\n' || tail[0] != '#' || tail[S3_MANIFEST_TAIL - 1] != '\n'
        || s3_manifest_unhex(tail + 1, 16, &hash) != S3_OK
        || hash != XXH3_64bits(text, len))
    {
        return S3_ECORRUPT;
    }

    rc = s3_json_begin(len);
    if (rc != S3_OK) {
        return rc;
    }

    root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    rc = root ? s3_manifest_get(root, m) : S3_ECORRUPT;
    json_decref(root);
    s3_json_end();

    if (rc != S3_OK) {
        s3_manifest_free(m);
    }

    return rc;
}
