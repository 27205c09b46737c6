/*
 * Multipart uploads: steps that any client takes, be it the one that began.
 * All attempts to complete an upload are one write of its key.
 */

#include "t/sim/s3_sim.h"

#define UPLOADS 6
#define TAGS 24

struct sim_upload_s {
    uint8_t id[S3_UPLOAD_ID_LEN];
    unsigned key;
    uint32_t home; /* the bucket's number */
    uint32_t value;
    unsigned n;      /* parts */
    unsigned stored; /* of them, acknowledged */
    int event;       /* of completing, -1: was not tried */
    unsigned conditional : 1;
    unsigned open : 1;    /* its creation was acknowledged */
    unsigned aborted : 1; /* somebody tries, or did */
    unsigned over : 1;    /* its fate is decided */
    unsigned gone : 1;    /* its record and parts, too */
    uint32_t expect;
    unsigned attempts; /* to complete, since `event` */
    unsigned n_tags;   /* of parts, whatever became of them */
    uint8_t tags[TAGS][S3_UPLOAD_TAG_LEN];
    unsigned numbers[TAGS];
};

static sim_upload_t uploads[UPLOADS];
static unsigned n_uploads;


void
sim_uploads_reset(void)
{
    n_uploads = 0;
}


static s3_str_t
id_of(sim_upload_t *u)
{
    return s3_str(u->id, sizeof(u->id));
}


/* What it may have written it has by now. */

static void
decided(sim_upload_t *u)
{
    hist_event_t *e;

    if (u->event != -1) {
        e = sim_event(u->key, u->event);

        if (e->maybe && e->to == HIST_FOREVER) {
            sim_end_maybe(u->key, u->event);
        }
    }

    u->over = 1;
}


/* 1: its bucket is still there; else the operation is over. */

static int
at_home(sim_client_t *c, int rc)
{
    sim_upload_t *u = c->upload;

    if (rc == S3_OK && c->home.number == u->home) {
        return 1;
    }

    if (rc == S3_OK || rc == S3_ENOENT) {
        decided(u);
        u->gone = 1;
    }

    sim_client_rest(c);

    return 0;
}


/* Creating. */

static void
on_created(s3_put_t *put)
{
    sim_client_t *c = put->ctx;

    c->upload->open = put->rc == S3_OK;
    sim_client_rest(c);
}


static void
create_housed(sim_client_t *c, int rc)
{
    sim_upload_t *u = c->upload;

    if (rc != S3_OK) {
        u->over = 1;
        u->gone = 1;
        sim_client_rest(c);
        return;
    }

    u->home = c->home.number;
    sim_client_put(c, S3_SPACE_UPLOADS,
                   s3_upload_key(c->name, sim_key(u->key), id_of(u)),
                   S3_KIND_OBJECT, on_created);
    s3_upload_set_state(&c->put.entry, S3_UPLOAD_OPEN);
    s3_store_put(&c->put);
}


static void
create(sim_client_t *c)
{
    static const uint32_t sizes[] = {1, 500, 6000, 140000};
    unsigned i;
    uint32_t lens[SIM_SEGS];
    sim_upload_t *u;

    u = &uploads[n_uploads++];
    memset(u, 0, sizeof(*u));
    c->upload = u;
    u->key = c->key;
    u->n = 1 + sim_chance(SIM_SEGS);
    u->event = -1;
    u->conditional = sim_chance(3) == 0;

    for (i = 0; i < sizeof(u->id); i++) {
        u->id[i] = (uint8_t) "0123456789abcdef"[sim_chance(16)];
    }

    for (i = 0; i < u->n; i++) {
        lens[i] = sizes[sim_chance(sim_chance(6) ? 3 : 4)];
    }

    u->value = sim_value_new(u->key, u->n, lens);
    sim_client_home(c, u->key, create_housed);
}


/* Parts. */

static void
on_part(s3_put_t *put)
{
    s3_writer_t *w;
    sim_client_t *c = put->ctx;

    if (put->rc == S3_OK) {
        c->upload->stored |= 1u << c->part;
    }

    w = c->writer;
    c->writer = NULL;
    s3_writer_close(w);
    sim_client_rest(c);
}


static void
part_written(sim_client_t *c)
{
    unsigned i;
    uint8_t tag[S3_UPLOAD_TAG_LEN];
    sim_upload_t *u = c->upload;

    for (i = 0; i < sizeof(tag); i++) {
        tag[i] = (uint8_t) sim_chance(256);
    }

    if (u->n_tags < TAGS) {
        memcpy(u->tags[u->n_tags], tag, sizeof(tag));
        u->numbers[u->n_tags++] = c->part + 1;
    }

    sim_client_put(c, S3_SPACE_PARTS,
                   s3_upload_part_key(c->name, sim_key(u->key), id_of(u),
                                      c->part + 1, tag),
                   S3_KIND_OBJECT, on_part);
    c->put.writer = c->writer;

    if (c->writer->rc == S3_OK) {
        (void) s3_upload_part_set(&c->put.entry, &c->writer->ref,
                                  s3_string("digest"));
    }

    s3_store_put(&c->put);
}


static void
part_housed(sim_client_t *c, int rc)
{
    if (at_home(c, rc)) {
        sim_client_write(c, c->upload->key, S3_WRITER_BLOB, part_written);
    }
}


static void
store_part(sim_client_t *c, unsigned part)
{
    unsigned i;
    sim_upload_t *u = c->upload;
    const sim_value_t *v = &sim_w.values[u->value];

    c->part = part;
    c->value = u->value;
    c->off = 0;

    for (i = 0; i < part; i++) {
        c->off += v->len[i];
    }

    c->end = c->off + v->len[part];
    sim_client_home(c, u->key, part_housed);
}


/* Completing and aborting: the record of the upload, the list of its parts,
 * then the store's operation. */

static int
test(s3_upload_op_t *op, const s3_entry_t *current)
{
    sim_client_t *c = op->ctx;
    sim_upload_t *u = c->upload;
    uint32_t value = current ? sim_value_of(u->key, current) : 0;

    return value == u->expect ? S3_OK : S3_EPRECOND;
}


static void
completed(sim_client_t *c, int rc)
{
    hist_event_t *e;
    sim_upload_t *u = c->upload;

    e = sim_event(u->key, u->event);

    switch (rc) {

    case S3_OK:
        if (e->to == HIST_FOREVER) {
            sim_end(u->key, u->event, S3_OK);
        }

        e->maybe = 0;
        e->rc = S3_OK;
        c->seen[u->key] = u->value;
        u->over = 1;
        break;

    case S3_ENOENT:
    case S3_ECONFLICT:
        decided(u);
        break;

    case S3_EPRECOND:
        /* nothing happened, where nobody else has tried */

        if (u->attempts == 1 && e->maybe) {
            sim_end(u->key, u->event, S3_EPRECOND);
            u->event = -1;
            u->attempts = 0;
        }

        break;

    case S3_EINVAL:
        sim_fail("an upload cannot be completed: %s", s3_strerror(rc));
    }
}


static void
on_over(s3_upload_op_t *op)
{
    sim_client_t *c = op->ctx;
    sim_upload_t *u = c->upload;

    sim_say("client %u: upload of value %u: %s: %d", c->id, u->value,
            c->aborting ? "abort" : "complete", op->rc);

    if (!c->aborting) {
        completed(c, op->rc);

    } else if (op->rc == S3_OK || op->rc == S3_ENOENT) {
        decided(u);
        u->gone = op->rc == S3_OK;
    }

    s3_object_release(op->upload);
    op->upload = NULL;
    sim_client_rest(c);
}


static void
operate(sim_client_t *c)
{
    unsigned i;
    hist_event_t *e;
    sim_upload_t *u = c->upload;

    memset(&c->op, 0, sizeof(c->op));
    c->op.store = sim_client_store(c);
    c->op.bucket = c->home.id;
    c->op.generation = c->home.generation;
    c->op.key = sim_key(u->key);
    c->op.id = id_of(u);
    c->op.upload = c->object;
    c->object = NULL;
    c->op.done = on_over;
    c->op.ctx = c;

    if (c->aborting) {
        u->aborted = 1;
        s3_upload_abort(&c->op);
        return;
    }

    if (u->event == -1) {
        u->event =
            sim_begin(u->key, u->conditional ? HIST_CAS : HIST_PUT, c->id);
        u->expect = sim_chance(2) ? c->seen[u->key] : 0;
        e = sim_event(u->key, u->event);
        e->value = u->value;
        e->expect = u->expect;
        e->bucket = u->home;
    }

    u->attempts++;
    c->op.entry.kind = S3_KIND_OBJECT;
    c->op.entry.etag_parts = u->n;
    sim_value_etag(c->op.entry.etag, u->value);
    c->op.meta = s3_string("meta");
    c->op.refs = c->refs;
    c->op.n_refs = u->n;

    for (i = 0; i < u->n; i++) {
        c->op.lack |= c->lacks[i];
    }

    c->op.test = u->conditional ? test : NULL;
    s3_upload_complete(&c->op);
}


static int
on_part_item(s3_list_t *list, s3_str_t key, const s3_entry_t *entry)
{
    unsigned number;
    s3_str_t digest;
    s3_version_t version;
    sim_client_t *c = list->ctx;

    number = s3_upload_part_number(key);

    if (entry == NULL || number == 0 || number > c->upload->n) {
        sim_fail("a part that nobody stored");
        return 1;
    }

    version = s3_upload_part_version(entry);

    if (!(c->listed >> (number - 1) & 1)
        || s3_version_cmp(&version, &c->versions[number - 1]) > 0)
    {
        c->listed |= 1u << (number - 1);
        c->versions[number - 1] = version;

        if (s3_upload_part_get(entry, &c->refs[number - 1], &digest) != S3_OK) {
            sim_fail("a part without a reference");
        }

        c->lacks[number - 1] = s3_upload_part_lack(entry, &c->refs[number - 1]);
    }

    return 0;
}


static void
part_lost(sim_client_t *c, int rc)
{
    (void) rc;
    s3_object_release(c->object);
    c->object = NULL;
    sim_client_rest(c);
}


static void
on_parts(s3_list_t *list)
{
    sim_client_t *c = list->ctx;
    sim_upload_t *u = c->upload;

    if (list->rc == S3_OK && (c->listed & c->part) == c->part) {
        operate(c);
        return;
    }

    if (list->rc == S3_OK && !u->aborted && !u->over && u->attempts == 0) {
        if (u->key >= SIM_KEYS) {
            sim_bucket_verify(c, part_lost);
            return;
        }

        sim_fail("parts %x were stored, %x are listed", c->part, c->listed);
    }

    s3_object_release(c->object);
    c->object = NULL;
    sim_client_rest(c);
}


static void
upload_lost(sim_client_t *c, int rc)
{
    (void) rc;
    decided(c->upload);
    c->upload->gone = 1;
    sim_client_rest(c);
}


static void
on_upload(s3_head_t *head)
{
    sim_client_t *c = head->ctx;
    sim_upload_t *u = c->upload;

    if (head->rc != S3_OK) {

        if (head->rc == S3_ENOENT) {
            if (u->open && !u->aborted && u->attempts == 0) {
                if (u->key >= SIM_KEYS) {
                    sim_bucket_verify(c, upload_lost);
                    return;
                }

                sim_fail("an upload is lost");
            }

            decided(u);
            u->gone = 1;
        }

        sim_client_rest(c);
        return;
    }

    c->object = head->object;

    if (c->aborting) {
        operate(c);
        return;
    }

    c->listed = 0;
    c->part = u->stored;
    memset(&c->list, 0, sizeof(c->list));
    c->list.store = sim_client_store(c);
    c->list.bucket = c->home.id + S3_SPACE_PARTS;
    c->list.prefix = s3_upload_parts_prefix(c->name, sim_key(u->key), id_of(u));
    c->list.max = 1000;
    c->list.item = on_part_item;
    c->list.done = on_parts;
    c->list.ctx = c;
    s3_store_list(&c->list);
}


static void
look_housed(sim_client_t *c, int rc)
{
    sim_upload_t *u = c->upload;

    if (!at_home(c, rc)) {
        return;
    }

    memset(&c->head, 0, sizeof(c->head));
    c->head.store = sim_client_store(c);
    c->head.bucket = c->home.id + S3_SPACE_UPLOADS;
    c->head.key = s3_upload_key(c->name, sim_key(u->key), id_of(u));
    c->head.done = on_upload;
    c->head.ctx = c;
    s3_store_head(&c->head);
}


static void
look(sim_client_t *c, int aborting)
{
    c->aborting = aborting != 0;
    sim_client_home(c, c->upload->key, look_housed);
}


int
sim_upload_step(sim_client_t *c)
{
    unsigned i, all;
    sim_upload_t *u = NULL;

    i = sim_chance(n_uploads + 1);

    if (i < n_uploads) {
        u = &uploads[i];
    }

    if (u == NULL || u->over || !u->open) {
        if (n_uploads == UPLOADS) {
            return 0;
        }

        create(c);
        return 1;
    }

    c->upload = u;
    c->key = u->key;
    all = (1u << u->n) - 1;

    if (sim_history_full(u->key)) {
        return 0;
    }

    if (u->n_tags < TAGS && (u->stored != all || sim_chance(8) == 0)) {
        for (i = 0; i + 1 < u->n && u->stored >> i & 1; i++) {
            /* void */
        }

        store_part(c, i);
        return 1;
    }

    look(c, sim_chance(6) == 0);

    return 1;
}


int
sim_upload_end(sim_client_t *c)
{
    unsigned i;

    for (i = 0; i < n_uploads; i++) {
        if (!uploads[i].gone) {
            c->upload = &uploads[i];
            c->key = uploads[i].key;
            c->busy = 1;
            c->since = s3_sim_now(sim_w.sim);
            look(c, 1);
            return 1;
        }
    }

    return 0;
}


int
sim_upload_keys(unsigned *at, uint8_t *buf, s3_str_t *key, unsigned *space)
{
    unsigned i = *at / (TAGS + 1), tag = *at % (TAGS + 1);
    sim_upload_t *u = &uploads[i];

    if (i == n_uploads) {
        return 0;
    }

    if (tag == u->n_tags) {
        *at = (i + 1) * (TAGS + 1);
        *space = S3_SPACE_UPLOADS;
        *key = s3_upload_key(buf, sim_key(u->key), id_of(u));
        return 1;
    }

    *at += 1;
    *space = S3_SPACE_PARTS;
    *key = s3_upload_part_key(buf, sim_key(u->key), id_of(u), u->numbers[tag],
                              u->tags[tag]);

    return 1;
}


void
sim_uploads_again(void)
{
    unsigned i;

    for (i = 0; i < n_uploads; i++) {
        uploads[i].gone = uploads[i].gone && uploads[i].open;
    }
}
