/*
 * JSON as text; see s3_json.h.
 */

#include "storage/s3_json.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


/* A value of two bytes, "1,", takes some 50 bytes; a member more, of more. */

#define S3_JSON_EACH 64
#define S3_JSON_LEAST 8192


/* Of one thread; accessed without asking for memory, as initial-exec is. */

typedef struct {
    uint8_t *block;
    size_t used;
    size_t size;
} s3_json_arena_t;


static _Thread_local s3_json_arena_t s3_json_arena
    __attribute__((tls_model("initial-exec")));
static pthread_once_t s3_json_once = PTHREAD_ONCE_INIT;


static void *
s3_json_malloc(size_t n)
{
    void *p;
    s3_json_arena_t *a = &s3_json_arena;

    if (a->block == NULL || n > a->size) {
        return malloc(n);
    }

    n = s3_align(n, (size_t) 16);

    if (n > a->size - a->used) {
        return malloc(n);
    }

    p = a->block + a->used;
    a->used += n;

    return p;
}


static void
s3_json_free(void *p)
{
    uintptr_t at = (uintptr_t) p, block = (uintptr_t) s3_json_arena.block;

    if (block && at >= block && at - block < s3_json_arena.size) {
        return;
    }

    free(p);
}


static void
s3_json_init(void)
{
    json_set_alloc_funcs(s3_json_malloc, s3_json_free);
}


int
s3_json_begin(size_t len)
{
    s3_json_arena_t *a = &s3_json_arena;

    (void) pthread_once(&s3_json_once, s3_json_init);

    if (len > (SIZE_MAX - S3_JSON_LEAST) / S3_JSON_EACH) {
        return S3_ENOMEM;
    }

    a->size = S3_JSON_LEAST + S3_JSON_EACH * len;
    a->used = 0;
    a->block = malloc(a->size);

    return a->block ? S3_OK : S3_ENOMEM;
}


void
s3_json_end(void)
{
    free(s3_json_arena.block);
    s3_json_arena.block = NULL;
}


char *
s3_json_text(const json_t *root, size_t flags, size_t spare, size_t *len)
{
    char *text;
    size_t n;

    /* 0: an error, for there is no empty JSON */

    n = root ? json_dumpb(root, NULL, 0, flags) : 0;
    text = n ? malloc(n + 1 + spare) : NULL;

    if (text == NULL) {
        return NULL;
    }

    if (json_dumpb(root, text, n, flags) != n) {
        free(text);
        return NULL;
    }

    text[n] = '\0';
    *len = n;

    return text;
}


void
s3_json_put_id(char text[S3_JSON_ID], const uint8_t id[16])
{
    unsigned i;

    for (i = 0; i < 16; i++) {
        snprintf(text + 2 * i, 3, "%02x", id[i]);
    }
}


int
s3_json_get_id(const json_t *value, uint8_t id[16])
{
    unsigned i, v;
    const char *s = json_string_value(value);

    if (s == NULL || strlen(s) != 32 || strspn(s, "0123456789abcdef") != 32) {
        return S3_ECORRUPT;
    }

    for (i = 0; i < 16; i++) {
        if (sscanf(s + 2 * i, "%2x", &v) != 1) {
            return S3_ECORRUPT;
        }

        id[i] = (uint8_t) v;
    }

    return S3_OK;
}
