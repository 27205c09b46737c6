/*
 * The model: every promise asked again, everything that is shown looked at.
 */

#include "drive_model.h"


void
model_check_entries(model_key_t *k, const s3_entry_t *e, unsigned n)
{
    unsigned i, j;
    model_version_t *v, *f;
    const s3_entry_t *last = NULL;

    for (i = 0; i < n; i++) {
        v = model_by_version(k, &e[i].version);
        MODEL_MUST(v != NULL, k, NULL);

        if (i) {
            MODEL_MUST(s3_version_cmp(&e[i - 1].version, &e[i].version) > 0, k,
                       v);
            MODEL_MUST(!(e[i - 1].flags & S3_F_CONFIRMED), k, v);
        }

        if (e[i].kind == S3_KIND_DEAD) {
            MODEL_MUST(v->dead, k, v);
            continue;
        }

        MODEL_MUST(v->issued || v->pushed, k, v);
        MODEL_MUST(e[i].kind == v->kind && e[i].size == v->len, k, v);

        if (e[i].flags & S3_F_CONFIRMED) {
            MODEL_MUST(v->confirm || v->pushed, k, v);
            last = &e[i];
        }
    }

    f = model_floor_of(k);

    if (f) {
        MODEL_MUST(last && s3_version_cmp(&last->version, &f->version) >= 0, k,
                   f);
    }

    /* every promise newer than what is confirmed is there */
    for (j = 0; j < k->n; j++) {
        v = &k->v[j];

        if (!v->yes
            || (last && s3_version_cmp(&v->version, &last->version) < 0)) {
            continue;
        }

        for (i = 0; i < n; i++) {
            if (s3_version_cmp(&e[i].version, &v->version) == 0) {
                break;
            }
        }

        MODEL_MUST(i < n, k, v);
        MODEL_MUST(e[i].kind != S3_KIND_DEAD || v->dead, k, v);
    }
}


/* Is the blob of v whole? */

int
model_read_blob(model_proc_t *p, model_key_t *k, model_version_t *v)
{
    int rc;
    size_t payload;
    uint8_t *buf, *want;
    model_op_t *op = model_op_new(p, k, (unsigned) (v - k->v));
    s3_unit_t r;

    buf = aligned_alloc(S3_SECTOR, S3_BLOB_UNIT);
    memset(&r, 0, sizeof(r));
    memcpy(r.id, v->blob, 16);
    r.buf = buf;
    r.len = S3_BLOB_UNIT;
    r.req.done = model_blob_done;
    r.req.ctx = op;
    p->drive->ops->blob_read(p->drive, &r);

    if (!model_await(op)) {
        return 1;
    }

    if (r.req.rc != S3_OK) {
        free(buf);
        return model_faulty && r.req.rc != S3_ENOENT;
    }

    rc = s3_blob_unit_check(buf, r.done_len, v->blob, 0, 0, &payload);

    if (rc == S3_OK) {
        want = malloc(v->len + 1);
        model_content(k, v, want, v->len);
        rc =
            payload == v->len && memcmp(want, buf + S3_BLOB_HEADER, v->len) == 0
                ? S3_OK
                : S3_ECORRUPT;
        free(want);
    }

    free(buf);

    return rc == S3_OK;
}


static void
fetch_done(s3_req_t *req)
{
    model_op_t *op = req->ctx;

    op->done = 1;
}


static void
check_record(model_proc_t *p, model_key_t *k, const s3_entry_t *e)
{
    model_op_t *op;
    uint8_t *want;
    model_version_t *v = model_by_version(k, &e->version);
    s3_entry_t hint = *e;

    if (e->kind == S3_KIND_DEAD) {
        return;
    }

    op = model_op_new(p, k, (unsigned) (v - k->v));
    op->fetch.req.done = fetch_done;
    op->fetch.req.ctx = op;
    op->fetch.bucket = k->bucket;
    op->fetch.key = model_key_of(k);
    op->fetch.version = e->version;
    op->fetch.hint = model_rnd(2) ? &hint : NULL;
    p->drive->ops->fetch(p->drive, &op->fetch);

    if (!model_await(op)) {
        return;
    }

    MODEL_MUST(op->fetch.req.rc == S3_OK, k, v);

    if (v->layout == S3_LAYOUT_COPIES) {
        want = malloc(v->len + 1);
        model_content(k, v, want, v->len);
        MODEL_MUST(s3_str_eq(op->fetch.record.data, s3_str(want, v->len)), k,
                   v);
        free(want);
    }

    free(op->fetch.buf);

    if (v->layout == S3_LAYOUT_BLOBS) {
        MODEL_MUST(model_read_blob(p, k, v), k, v);
    }
}


void
model_keep_done(s3_req_t *req)
{
    model_op_t *op = req->ctx;

    op->done = 1;
}


static int
same_entries(const s3_entry_t *a, unsigned n, const s3_item_t *item)
{
    unsigned i;

    if (item == NULL || item->n != n) {
        return n == 0 && item == NULL;
    }

    for (i = 0; i < n; i++) {
        if (s3_version_cmp(&a[i].version, &item->entries[i].version) != 0
            || a[i].kind != item->entries[i].kind
            || a[i].flags != item->entries[i].flags)
        {
            return 0;
        }
    }

    return 1;
}


/* LIST says what READ says. */

static void
check_list(model_proc_t *p, uint64_t bucket)
{
    char after[32];
    unsigned i, j, seen[KEYS];
    model_op_t *op, *rd;
    const s3_item_t *item;

    memset(seen, 0, sizeof(seen));
    after[0] = '\0';

    for (;;) {
        op = model_op_new(p, &model_keys[0], 0);
        op->scan.req.done = model_keep_done;
        op->scan.req.ctx = op;
        op->scan.bucket = bucket;
        op->scan.from = s3_str(after, strlen(after));
        op->scan.after = after[0] != '\0';
        op->scan.max = 1 + model_rnd(5);
        p->drive->ops->list(p->drive, &op->scan);

        if (!model_await(op)) {
            return;
        }

        MODEL_MUST(op->scan.req.rc == S3_OK, NULL, NULL);

        for (i = 0; i < op->scan.n; i++) {
            item = &op->scan.items[i];

            for (j = 0; j < KEYS; j++) {
                if (model_keys[j].bucket == bucket
                    && s3_str_eq(item->key, model_key_of(&model_keys[j])))
                {
                    break;
                }
            }

            if (j == KEYS) {
                if (item->key.len > 5
                    && memcmp(item->key.data, "bulk-", 5) == 0) {
                    continue;
                }

                model_fail("LIST shows a key that nobody made", NULL, NULL);
            }

            MODEL_MUST(!seen[j], &model_keys[j], NULL);
            seen[j] = 1;

            rd = model_op_new(p, &model_keys[j], 0);
            rd->lookup.req.done = model_keep_done;
            rd->lookup.req.ctx = rd;
            rd->lookup.bucket = bucket;
            rd->lookup.key = model_key_of(&model_keys[j]);
            p->drive->ops->read(p->drive, &rd->lookup);

            if (!model_await(rd)) {
                return;
            }

            MODEL_MUST(rd->lookup.req.rc == S3_OK, &model_keys[j], NULL);
            MODEL_MUST(same_entries(rd->lookup.entries, rd->lookup.n, item),
                       &model_keys[j], NULL);
            s3_lookup_release(&rd->lookup);
        }

        if (op->scan.n) {
            item = &op->scan.items[op->scan.n - 1];
            memcpy(after, item->key.data, item->key.len);
            after[item->key.len] = '\0';
        }

        i = op->scan.end;
        s3_scan_release(&op->scan);

        if (i) {
            break;
        }
    }

    for (j = 0; j < KEYS; j++) {
        if (model_keys[j].bucket == bucket && model_floor_of(&model_keys[j])) {
            MODEL_MUST(seen[j], &model_keys[j], NULL);
        }
    }
}


/* Every promise, asked again. */

void
model_verify(model_proc_t *p)
{
    unsigned i, j;
    model_key_t *k;
    model_op_t *op;
    model_version_t *v;

    for (i = 0; i < KEYS; i++) {
        k = &model_keys[i];

        op = model_op_new(p, k, 0);
        op->lookup.req.done = model_keep_done;
        op->lookup.req.ctx = op;
        op->lookup.bucket = k->bucket;
        op->lookup.key = model_key_of(k);
        p->drive->ops->read(p->drive, &op->lookup);

        if (!model_await(op)) {
            return;
        }

        MODEL_MUST(op->lookup.req.rc == S3_OK, k, NULL);
        model_check_entries(k, op->lookup.entries, op->lookup.n);

        for (j = 0; j < op->lookup.n; j++) {
            check_record(p, k, &op->lookup.entries[j]);
        }

        s3_lookup_release(&op->lookup);

        for (j = 0; j < k->n; j++) {
            v = &k->v[j];

            if (!v->yes && !v->no && model_rnd(3)) {
                continue;
            }

            op = model_send_mark(p, k, j, 1);
            if (!model_await(op)) {
                return;
            }

            if (op->mark.req.answer == S3_ANSWER_YES && v->yes) {
                continue;
            }

            /* forgotten only where something newer is confirmed */
            MODEL_MUST(!v->yes || v->dead || op->mark.newer_confirmed, k, v);
        }
    }

    check_list(p, BUCKET);

    for (i = 0; i < KEYS; i++) {
        if (model_notes[i] != 1) {
            continue;
        }

        uint8_t name[64] = {3};

        s3_put64(name + 1, __builtin_bswap64(model_keys[i].bucket));
        memcpy(name + 9, model_keys[i].name, strlen(model_keys[i].name));

        op = model_op_new(p, &model_keys[i], 0);
        op->lookup.req.done = model_keep_done;
        op->lookup.req.ctx = op;
        op->lookup.bucket = S3_BUCKET_NOTES;
        op->lookup.key = s3_str(name, 9 + strlen(model_keys[i].name));
        p->drive->ops->read(p->drive, &op->lookup);

        if (!model_await(op)) {
            return;
        }

        MODEL_MUST(op->lookup.n == 1
                       && op->lookup.entries[0].kind == S3_KIND_NOTE,
                   &model_keys[i], NULL);
        s3_lookup_release(&op->lookup);
    }
}
