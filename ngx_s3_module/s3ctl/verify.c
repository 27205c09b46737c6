/*
 * "verify": an object as a server would send it, byte for byte.
 *
 * The store itself runs over the drives, with its writes in memory: bucket,
 * newest version, stripes, computing what is damaged.  What it gives is
 * checked against what was noted when it was written (digest.c); then every
 * shard of it is looked at, those too that reading did not need.
 */

#include <inttypes.h>
#include <stdlib.h>

#include "s3ctl/digest.h"
#include "s3ctl/store.h"
#include "storage/s3_bucket.h"


typedef struct {
    s3ctl_t *ctl;
    const s3_format_t *format;
    s3ctl_store_t store;

    uint64_t bucket;
    s3_object_t *object;
    FILE *out;
    uint64_t bytes; /* that came */
    s3ctl_digest_t digest;
    unsigned damaged; /* shards */

    int done;
} s3ctl_verify_t;


static int
s3ctl_verify_wait(s3ctl_verify_t *v, int *flag)
{
    return s3ctl_loop_run(v->store.loop, flag, S3CTL_PATIENCE);
}


static void
s3ctl_verify_got(s3_bucket_op_t *op)
{
    s3ctl_verify_t *v = op->ctx;

    if (op->rc == S3_OK) {
        v->bucket = op->bucket->id;
        s3_bucket_release(op->bucket);
    }

    v->done = 1;
}


static int
s3ctl_verify_bucket(s3ctl_verify_t *v)
{
    int rc;
    s3_bucket_op_t *op;
    const char *name = v->ctl->bucket;

    rc = s3ctl_bucket_id(name, &v->bucket);

    if (rc != S3_ENOENT) {
        return rc;
    }

    op = calloc(1, sizeof(*op));
    if (op == NULL) {
        return S3_ENOMEM;
    }

    op->buckets = v->store.buckets;
    op->name = s3_str(name, strlen(name));
    op->done = s3ctl_verify_got;
    op->ctx = v;
    v->done = 0;
    s3_bucket_get(op);
    rc = s3ctl_verify_wait(v, &v->done);

    if (rc == S3_OK) {
        rc = op->rc;
        free(op);
    }

    return rc;
}


static void
s3ctl_verify_headed(s3_head_t *head)
{
    s3ctl_verify_t *v = head->ctx;

    v->object = head->rc == S3_OK ? head->object : NULL;
    v->done = 1;
}


static int
s3ctl_verify_head(s3ctl_verify_t *v)
{
    int rc;
    s3_head_t *head;

    head = calloc(1, sizeof(*head));
    if (head == NULL) {
        return S3_ENOMEM;
    }

    head->store = v->store.store;
    head->bucket = v->bucket;
    head->key = v->ctl->key;
    head->done = s3ctl_verify_headed;
    head->ctx = v;
    v->done = 0;
    s3_store_head(head);
    rc = s3ctl_verify_wait(v, &v->done);

    if (rc == S3_OK) {
        rc = head->rc;
        free(head);
    }

    return rc;
}


static void
s3ctl_verify_ready(s3_reader_t *r)
{
    s3ctl_verify_t *v = r->ctx;

    v->done = 1;
}


static int
s3ctl_verify_take(s3ctl_verify_t *v, const s3_reader_t *r)
{
    int rc;
    unsigned i;

    for (i = 0; i < r->n; i++) {
        rc = s3ctl_digest_update(&v->digest, r->slices[i]);
        if (rc != S3_OK) {
            return rc;
        }

        if (v->out
            && fwrite(r->slices[i].data, 1, r->slices[i].len, v->out)
                   != r->slices[i].len)
        {
            s3ctl_say("%s could not be written", v->ctl->out);
            return S3_ENOSPC;
        }

        v->bytes += r->slices[i].len;
    }

    return S3_OK;
}


static int
s3ctl_verify_read(s3ctl_verify_t *v)
{
    int rc;
    s3_reader_t *r;

    rc = s3ctl_digest_init(&v->digest, v->object);
    if (rc != S3_OK) {
        return rc;
    }

    if (v->object->entry.size == 0) {
        return S3_OK;
    }

    r = s3_reader_open(v->store.store, v->object, 0, v->object->entry.size);
    if (r == NULL) {
        return S3_ENOMEM;
    }

    r->ready = s3ctl_verify_ready;
    r->ctx = v;

    do {
        v->done = 0;
        s3_reader_next(r);
        rc = s3ctl_verify_wait(v, &v->done);

        if (rc == S3_OK) {
            rc = r->rc == S3_OK ? s3ctl_verify_take(v, r) : r->rc;
        }

    } while (rc == S3_OK);

    s3_reader_close(r);

    if (rc == S3_DONE) {
        rc = v->bytes == v->object->entry.size ? S3_OK : S3_ECORRUPT;
    }

    return rc;
}


/* Every shard, needed or not. */

static void
s3ctl_verify_shards(s3ctl_verify_t *v)
{
    int shard;
    size_t at;
    unsigned i;
    uint64_t bytes;
    s3_ref_t ref;
    s3_place_t *place;
    const char *state;
    s3_str_t refs = v->object->record.refs;
    const s3_entry_t *e = &v->object->entry;

    place = malloc(sizeof(*place));
    if (place == NULL) {
        return;
    }

    s3_place_init(place, v->store.conf.n, s3_get64(v->format->store));

    for (at = 0; at + S3_REF_SIZE <= refs.len; at += S3_REF_SIZE) {
        if (s3_ref_decode(refs.data + at, &ref) != S3_OK) {
            continue;
        }

        for (i = 0; i < v->store.conf.n; i++) {
            shard = s3ctl_shard(place, &ref, i, &bytes);

            if (shard < 0 || v->store.fs[i] == NULL || !s3ctl_holds(e, i)) {
                continue;
            }

            state = s3ctl_shard_state(v->store.fs[i], &ref, shard, bytes);

            if (strcmp(state, "whole") != 0) {
                v->damaged++;
                s3ctl_begin(v->ctl, "shard");
                s3ctl_number(v->ctl, "drive", i);
                s3ctl_number(v->ctl, "shard", (unsigned) shard);
                s3ctl_hex(v->ctl, "blob", ref.id, 16);
                s3ctl_text(v->ctl, "state", state);
                s3ctl_end(v->ctl);
            }
        }
    }

    free(place);
}


static void
s3ctl_verify_report(s3ctl_verify_t *v, int rc, unsigned wrong)
{
    const s3ctl_t *ctl = v->ctl;

    s3ctl_begin(ctl, "object");
    s3ctl_id(ctl, "bucket", v->bucket);
    s3ctl_bytes(ctl, "key", ctl->key);
    s3ctl_entry(ctl, &v->object->entry);
    s3ctl_number(ctl, "read", v->bytes);
    s3ctl_number(ctl, "shards_damaged", v->damaged);
    s3ctl_digest_print(&v->digest, ctl);
    s3ctl_text(ctl, "verdict",
               rc != S3_OK  ? "cannot-be-read"
               : wrong      ? "wrong"
               : v->damaged ? "whole-with-damaged-shards"
                            : "whole");
    s3ctl_end(ctl);
}


static int
s3ctl_verify_run(s3ctl_verify_t *v)
{
    int rc;
    unsigned wrong;
    const char *what;

    what = "the drives";
    rc = s3ctl_store_open(&v->store, v->ctl, v->format);

    if (rc == S3_OK) {
        what = "the bucket";
        rc = s3ctl_verify_bucket(v);
    }

    if (rc == S3_OK) {
        what = "the key";
        rc = s3ctl_verify_head(v);
    }

    if (rc != S3_OK) {
        s3ctl_say("%s: %s", what, s3_strerror(rc));
        return rc == S3_EINVAL || rc == S3_ENOMEM ? S3CTL_FAILED : S3CTL_FOUND;
    }

    if (v->ctl->out) {
        v->out = fopen(v->ctl->out, "wb");

        if (v->out == NULL) {
            s3ctl_say("%s cannot be written", v->ctl->out);
            return S3CTL_FAILED;
        }
    }

    rc = s3ctl_verify_read(v);
    wrong = rc == S3_OK ? s3ctl_digest_final(&v->digest) : 0;

    if (v->out && fclose(v->out) != 0 && rc != S3_ENOSPC) {
        s3ctl_say("%s could not be written", v->ctl->out);
        rc = S3_ENOSPC;
    }

    v->out = NULL;
    s3ctl_verify_shards(v);
    s3ctl_verify_report(v, rc, wrong);

    if (rc != S3_OK) {
        s3ctl_say("after %" PRIu64 " bytes: %s", v->bytes, s3_strerror(rc));
    }

    if (rc == S3_ENOSPC || rc == S3_ENOMEM) {
        return S3CTL_FAILED;
    }

    return rc != S3_OK || wrong || v->damaged ? S3CTL_FOUND : S3CTL_FINE;
}


int
s3ctl_verify(s3ctl_t *ctl)
{
    int status;
    s3ctl_verify_t *v;

    v = calloc(1, sizeof(*v));
    if (v == NULL) {
        return S3CTL_FAILED;
    }

    v->ctl = ctl;
    v->format = ctl->format;

    status = s3ctl_verify_run(v);

    s3_object_release(v->object);
    s3ctl_digest_free(&v->digest);
    s3ctl_store_close(&v->store);
    free(v);

    return status;
}
