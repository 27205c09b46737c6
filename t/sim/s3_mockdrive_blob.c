#include "t/sim/s3_mockdrive_int.h"

#include <stdlib.h>


s3_blob_t *
s3_mock_blob(s3_mock_t *m, const uint8_t *id)
{
    s3_blob_t *b;

    for (b = m->blobs; b; b = b->next) {
        if (b->finished && memcmp(b->id, id, 16) == 0) {
            return b;
        }
    }

    return NULL;
}


void
s3_mock_blob_free(s3_mock_t *m, s3_blob_t *blob)
{
    uint32_t i;
    s3_blob_t **p;

    for (p = &m->blobs; *p; p = &(*p)->next) {
        if (*p == blob) {
            *p = blob->next;
            break;
        }
    }

    for (i = 0; i < blob->n; i++) {
        free(blob->units[i]);
    }

    free(blob->units);
    free(blob->lens);
    free(blob);
}


/* Blob requests */

void
s3_mock_do_create(s3_mock_t *m, s3_req_t *req)
{
    s3_blob_req_t *r = s3_container(req, s3_blob_req_t, req);

    if (m->knobs.nospace) {
        req->rc = S3_ENOSPC;
        return;
    }

    r->blob = s3_mock_need(calloc(1, sizeof(s3_blob_t)));
    memcpy(r->blob->id, r->id, 16);
    r->blob->next = m->blobs;
    m->blobs = r->blob;
}


void
s3_mock_do_write(s3_mock_t *m, s3_req_t *req)
{
    s3_unit_t *u = s3_container(req, s3_unit_t, req);
    s3_blob_t *b = u->blob;

    if (m->knobs.nospace) {
        req->rc = S3_ENOSPC;
        return;
    }

    if (u->block >= b->n) {
        b->units = s3_mock_need(
            realloc(b->units, (u->block + 1) * sizeof(b->units[0])));
        b->lens =
            s3_mock_need(realloc(b->lens, (u->block + 1) * sizeof(b->lens[0])));

        while (b->n <= u->block) {
            b->lens[b->n] = 0;
            b->units[b->n++] = NULL;
        }
    }

    free(b->units[u->block]);
    b->units[u->block] = s3_mock_need(malloc(u->len));
    memcpy(b->units[u->block], u->buf, u->len);
    b->lens[u->block] = u->len;
}


void
s3_mock_do_finish(s3_mock_t *m, s3_req_t *req)
{
    s3_blob_req_t *r = s3_container(req, s3_blob_req_t, req);
    s3_blob_t *old;

    old = s3_mock_blob(m, r->blob->id);

    if (old) {
        s3_mock_blob_free(m, old);
    }

    r->blob->finished = 1;
    r->blob = NULL;
}


void
s3_mock_do_abort(s3_mock_t *m, s3_req_t *req)
{
    s3_blob_req_t *r = s3_container(req, s3_blob_req_t, req);

    if (r->blob) {
        s3_mock_blob_free(m, r->blob);
        r->blob = NULL;
    }
}


void
s3_mock_do_unit(s3_mock_t *m, s3_req_t *req)
{
    s3_unit_t *u = s3_container(req, s3_unit_t, req);
    s3_blob_t *b;

    b = s3_mock_blob(m, u->id);

    if (b == NULL) {
        req->rc = S3_ENOENT;
        return;
    }

    u->done_len = 0;

    if (u->block < b->n && b->units[u->block]) {
        u->done_len = s3_min(u->len, b->lens[u->block]);
        memcpy(u->buf, b->units[u->block], u->done_len);
    }
}


void
s3_mock_do_blob_remove(s3_mock_t *m, s3_req_t *req)
{
    s3_blob_req_t *r = s3_container(req, s3_blob_req_t, req);
    s3_blob_t *b;

    b = s3_mock_blob(m, r->id);

    if (b) {
        s3_mock_blob_free(m, b);
    }
}
