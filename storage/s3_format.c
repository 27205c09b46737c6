/*
 * format.json of the drives of a store.
 */

#include "storage/s3_format.h"
#include "storage/s3_json.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define S3_FORMAT_FILE "format.json"
#define S3_FORMAT_TMP "format.json.tmp"
#define S3_FORMAT_BYTES 16384

static const char *const s3_format_states[] = {"", "", "new", "ready",
                                               "refill"};


static void
s3_format_say(const s3_format_conf_t *conf, unsigned i, const char *fmt, ...)
{
    int n;
    char line[1024];
    va_list ap;

    if (conf->log == NULL) {
        return;
    }

    if (conf->names && conf->names[i]) {
        n = snprintf(line, sizeof(line), "drive %u (%.500s): ", i + 1,
                     conf->names[i]);
    } else {
        n = snprintf(line, sizeof(line), "drive %u: ", i + 1);
    }

    va_start(ap, fmt);
    vsnprintf(line + n, sizeof(line) - (size_t) n, fmt, ap);
    va_end(ap);

    conf->log(conf->ctx, S3_LOG_ERR, line);
}


static int
s3_format_number(const json_t *root, const char *name, uint64_t max,
                 uint64_t *out)
{
    const json_t *value = json_object_get(root, name);

    if (!json_is_integer(value) || json_integer_value(value) < 0
        || (uint64_t) json_integer_value(value) > max)
    {
        return S3_ECORRUPT;
    }

    *out = (uint64_t) json_integer_value(value);

    return S3_OK;
}


static int
s3_format_fields(const json_t *root, s3_format_t *f)
{
    uint64_t version, position, drives, parity;
    const char *state;

    if (s3_format_number(root, "format", UINT32_MAX, &version) != S3_OK
        || version == 0)
    {
        return S3_ECORRUPT;
    }

    if (version > S3_FORMAT_VERSION) {
        return S3_EVERSION;
    }

    if (s3_json_get_id(json_object_get(root, "store"), f->store) != S3_OK
        || s3_json_get_id(json_object_get(root, "drive"), f->drive) != S3_OK
        || s3_format_number(root, "position", S3_MAX_DRIVES, &position) != S3_OK
        || s3_format_number(root, "drives", S3_MAX_DRIVES, &drives) != S3_OK
        || s3_format_number(root, "parity", S3_MAX_DRIVES, &parity) != S3_OK
        || s3_format_number(root, "created", INT64_MAX, &f->created) != S3_OK
        || position >= drives)
    {
        return S3_ECORRUPT;
    }

    f->position = (unsigned) position;
    f->drives = (unsigned) drives;
    f->parity = (unsigned) parity;

    state = json_string_value(json_object_get(root, "state"));

    for (f->state = S3_FORMAT_NEW; f->state <= S3_FORMAT_REFILL; f->state++) {
        if (state && strcmp(state, s3_format_states[f->state]) == 0) {
            return S3_OK;
        }
    }

    return S3_ECORRUPT;
}


int
s3_format_parse(const char *text, size_t len, s3_format_t *f)
{
    int rc;
    json_t *root;

    memset(f, 0, sizeof(*f));

    rc = s3_json_begin(len);
    if (rc != S3_OK) {
        return rc;
    }

    root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    rc = json_is_object(root) ? s3_format_fields(root, f) : S3_ECORRUPT;

    json_decref(root);
    s3_json_end();

    return rc;
}


int
s3_format_stranger(const char *name)
{
    return strcmp(name, "lost+found") != 0 && strcmp(name, "lock") != 0
           && strcmp(name, S3_FORMAT_MARK) != 0
           && strcmp(name, S3_FORMAT_TMP) != 0;
}


static int
s3_format_look(void *ctx, const char *name)
{
    (void) ctx;

    return s3_format_stranger(name);
}


int
s3_format_load(s3_fs_t *fs, s3_format_t *f)
{
    int rc;
    char *text;
    ssize_t n;
    s3_file_t *file;

    memset(f, 0, sizeof(*f));

    rc = fs->open(fs, S3_FORMAT_FILE, S3_O_READ, &file);

    if (rc == S3_ENOENT) {
        rc = fs->list(fs, "", s3_format_look, NULL);
        return rc == S3_OK ? S3_ENOENT : rc > 0 ? S3_EEXIST : rc;
    }

    if (rc != S3_OK) {
        return rc;
    }

    text = malloc(S3_FORMAT_BYTES);
    n = text ? fs->pread(fs, file, text, S3_FORMAT_BYTES, 0) : S3_ENOMEM;
    fs->close(fs, file);

    rc = n < 0 ? (int) n : s3_format_parse(text, (size_t) n, f);

    free(text);

    return rc;
}


int
s3_format_save(s3_fs_t *fs, const s3_format_t *f)
{
    int rc, len;
    char text[512], store[S3_JSON_ID], drive[S3_JSON_ID];
    s3_file_t *file;

    s3_json_put_id(store, f->store);
    s3_json_put_id(drive, f->drive);

    len = snprintf(text, sizeof(text),
                   "{\"format\": %d, \"store\": \"%s\", \"drive\": \"%s\", "
                   "\"position\": %u, \"drives\": %u, \"parity\": %u, "
                   "\"created\": %llu, \"state\": \"%s\"}\n",
                   S3_FORMAT_VERSION, store, drive, f->position, f->drives,
                   f->parity, (unsigned long long) f->created,
                   s3_format_states[f->state]);

    rc = fs->unlink(fs, S3_FORMAT_TMP);

    if (rc != S3_OK && rc != S3_ENOENT) {
        return rc;
    }

    rc = fs->open(fs, S3_FORMAT_TMP, S3_O_WRITE | S3_O_CREATE, &file);
    if (rc != S3_OK) {
        return rc;
    }

    rc = fs->pwrite(fs, file, text, (size_t) len, 0);

    if (rc == S3_OK) {
        rc = fs->sync(fs, file);
    }

    fs->close(fs, file);

    if (rc == S3_OK) {
        rc = fs->rename(fs, S3_FORMAT_TMP, S3_FORMAT_FILE);
    }

    if (rc == S3_OK) {
        rc = fs->syncdir(fs, "");
    }

    if (rc == S3_OK) {
        (void) fs->unlink(fs, S3_FORMAT_MARK); /* it has been done */
    }

    return rc;
}


static int
s3_format_read(const s3_format_conf_t *conf, unsigned i, s3_format_t *f)
{
    int rc;

    memset(f, 0, sizeof(*f));
    f->state = S3_FORMAT_MISSING;

    if (conf->fs[i] == NULL) {
        return S3_OK;
    }

    rc = s3_format_load(conf->fs[i], f);

    switch (rc) {

    case S3_OK:
        break;

    case S3_ENOENT:
        f->state = S3_FORMAT_EMPTY;
        return S3_OK;

    case S3_EEXIST:
        s3_format_say(conf, i,
                      "the directory is not empty and holds no "
                      "store; it is left alone");
        return S3_EFOREIGN;

    case S3_EVERSION:
        s3_format_say(conf, i, "written by a newer version of this module");
        return rc;

    case S3_ECORRUPT:
        s3_format_say(conf, i, "format.json is damaged");
        return rc;

    default:
        /* a drive that cannot be read is not there */
        s3_format_say(conf, i, "format.json: %s", s3_strerror(rc));
        memset(f, 0, sizeof(*f));
        f->state = S3_FORMAT_MISSING;
        return S3_OK;
    }

    if (f->drives != conf->n) {
        s3_format_say(conf, i, "belongs to a store of %u drives, %u are named",
                      f->drives, conf->n);
        return S3_EFOREIGN;
    }

    if (f->position != i) {
        s3_format_say(conf, i, "is drive %u of its store: wrong order",
                      f->position + 1);
        return S3_EFOREIGN;
    }

    return S3_OK;
}


/* All of one store, none twice? */

static int
s3_format_compare(const s3_format_conf_t *conf, const s3_format_t *out,
                  const s3_format_t **model)
{
    unsigned i;
    char here[S3_JSON_ID], there[S3_JSON_ID];

    *model = NULL;

    for (i = 0; i < conf->n; i++) {
        if (out[i].state < S3_FORMAT_NEW) {
            continue;
        }

        if (*model == NULL) {
            *model = &out[i];
            continue;
        }

        if (memcmp((*model)->store, out[i].store, 16) != 0) {
            s3_json_put_id(here, out[i].store);
            s3_json_put_id(there, (*model)->store);
            s3_format_say(conf, i, "belongs to store %s, drive %u to %s", here,
                          (*model)->position + 1, there);
            return S3_EFOREIGN;
        }

        if (memcmp((*model)->drive, out[i].drive, 16) == 0) {
            s3_format_say(conf, i, "is a copy of drive %u",
                          (*model)->position + 1);
            return S3_EFOREIGN;
        }
    }

    return S3_OK;
}


static int
s3_format_write(const s3_format_conf_t *conf, unsigned i, s3_format_t *f,
                s3_format_state_t state)
{
    int rc;

    f->state = state;
    rc = s3_format_save(conf->fs[i], f);

    if (rc != S3_OK) {
        s3_format_say(conf, i, "format.json cannot be written: %s",
                      s3_strerror(rc));
    }

    return rc;
}


static void
s3_format_fill(const s3_format_conf_t *conf, unsigned i, s3_format_t *f,
               const uint8_t store[16])
{
    memcpy(f->store, store, 16);
    conf->random(conf->ctx, f->drive, 16);
    f->position = i;
    f->drives = conf->n;
    f->parity = conf->parity;
    f->created = conf->created;
}


static int
s3_format_create(const s3_format_conf_t *conf, s3_format_t *out,
                 const s3_format_t *model, int *fresh)
{
    int rc;
    unsigned i;
    uint8_t store[16];

    for (i = 0; i < conf->n; i++) {
        if (out[i].state == S3_FORMAT_MISSING) {
            s3_format_say(conf, i,
                          "is missing: a new store needs all of its "
                          "drives");
            return conf->partial ? S3_OK : S3_EUNAVAIL;
        }
    }

    *fresh = 1;

    if (model) {
        memcpy(store, model->store, 16);

    } else {
        conf->random(conf->ctx, store, 16);
    }

    for (i = 0; i < conf->n; i++) {
        if (out[i].state == S3_FORMAT_EMPTY) {
            s3_format_fill(conf, i, &out[i], store);

            rc = s3_format_write(conf, i, &out[i], S3_FORMAT_NEW);
            if (rc != S3_OK) {
                return rc;
            }
        }
    }

    for (i = 0; i < conf->n; i++) {
        rc = s3_format_write(conf, i, &out[i], S3_FORMAT_READY);
        if (rc != S3_OK) {
            return rc;
        }
    }

    return S3_OK;
}


static int
s3_format_complete(const s3_format_conf_t *conf, s3_format_t *out,
                   const s3_format_t *model)
{
    int rc;
    uint8_t store[16];
    unsigned i, absent;

    memcpy(store, model->store, 16);
    absent = 0;

    for (i = 0; i < conf->n; i++) {
        absent += out[i].state == S3_FORMAT_MISSING
                  || out[i].state == S3_FORMAT_EMPTY
                  || out[i].state == S3_FORMAT_REFILL;
    }

    if (absent > s3_max(conf->parity, model->parity)) {
        for (i = 0; i < conf->n; i++) {
            if (out[i].state == S3_FORMAT_MISSING) {
                s3_format_say(conf, i, "is missing");

            } else if (out[i].state == S3_FORMAT_EMPTY) {
                s3_format_say(conf, i, "is empty");

            } else if (out[i].state == S3_FORMAT_REFILL) {
                s3_format_say(conf, i, "is not refilled yet");
            }
        }

        return conf->partial ? S3_OK : S3_EUNAVAIL;
    }

    for (i = 0; i < conf->n; i++) {

        if (out[i].state == S3_FORMAT_EMPTY) {
            s3_format_fill(conf, i, &out[i], store);
            rc = s3_format_write(conf, i, &out[i], S3_FORMAT_REFILL);

        } else if (out[i].state == S3_FORMAT_NEW) {
            rc = s3_format_write(conf, i, &out[i], S3_FORMAT_READY);

        } else {
            continue;
        }

        if (rc == S3_EROFS) {
            out[i].readonly = 1;

        } else if (rc != S3_OK) {
            out[i].state = S3_FORMAT_MISSING;
        }
    }

    return S3_OK;
}


static int
s3_format_find(const s3_format_conf_t *conf, s3_format_t *out,
               const s3_format_t **model)
{
    int rc, bad;
    unsigned i;

    bad = S3_OK;

    for (i = 0; i < conf->n; i++) {
        rc = s3_format_read(conf, i, &out[i]);

        if (rc != S3_OK) {
            bad = rc; /* all of them are told before it is refused */
        }
    }

    return bad == S3_OK ? s3_format_compare(conf, out, model) : bad;
}


int
s3_format_survey(const s3_format_conf_t *conf, s3_format_t *out)
{
    const s3_format_t *model;

    return s3_format_find(conf, out, &model);
}


int
s3_format_check(const s3_format_conf_t *conf, s3_format_t *out, int *fresh)
{
    int rc;
    unsigned i, ready;
    const s3_format_t *model;

    *fresh = 0;

    rc = s3_format_find(conf, out, &model);
    if (rc != S3_OK) {
        return rc;
    }

    for (i = 0, ready = 0; i < conf->n; i++) {
        ready += out[i].state >= S3_FORMAT_READY;
    }

    if (ready == 0) {
        return s3_format_create(conf, out, model, fresh);
    }

    return s3_format_complete(conf, out, model);
}
