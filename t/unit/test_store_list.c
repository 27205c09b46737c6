#include "t/unit/s3_test.h"
#include "t/sim/s3_testbed.h"


/* Pages against a model: a plain set of keys. */

#define KEYS 64

static char keys[KEYS][24];
static unsigned n_keys;
static unsigned char alive[KEYS];

typedef struct {
    char names[3 * KEYS][24];
    size_t lens[3 * KEYS];
    int common[3 * KEYS];
    unsigned n;
    int truncated;
    unsigned stop;
    int flag;
} page_t;


static int
by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}


static void
make_keys(bed_t *b)
{
    unsigned i, j, len;
    static const char letters[] = "ab/c//\xff";

    memset(keys, 0, sizeof(keys));

    for (i = 0; i < KEYS; i++) {
        len = 1 + (unsigned) s3_sim_random(b->sim, 6);

        for (j = 0; j < len; j++) {
            keys[i][j] = letters[s3_sim_random(b->sim, 7)];
        }
    }

    qsort(keys, KEYS, sizeof(keys[0]), by_name);

    for (i = 1, n_keys = 1; i < KEYS; i++) {
        if (strcmp(keys[i], keys[n_keys - 1]) != 0) {
            memmove(keys[n_keys++], keys[i], sizeof(keys[0]));
        }
    }

    memset(alive, 0, sizeof(alive));
}


/* The header's words, the slow way. */

static void
model(const char *prefix, const char *delimiter, s3_str_t after, int inclusive,
      unsigned max, page_t *page)
{
    int rc;
    char *d, name[24];
    size_t len;
    unsigned i;

    page->n = 0;
    page->truncated = 0;

    for (i = 0; i < n_keys && max; i++) {
        rc = s3_str_cmp(s3_str(keys[i], strlen(keys[i])), after);

        if (!alive[i] || rc < 0 || (rc == 0 && !inclusive)
            || strncmp(keys[i], prefix, strlen(prefix)) != 0)
        {
            continue;
        }

        d = *delimiter ? strstr(keys[i] + strlen(prefix), delimiter) : NULL;
        memset(name, 0, sizeof(name));
        len = d ? (size_t) (d - keys[i]) + strlen(delimiter) : strlen(keys[i]);
        memcpy(name, keys[i], len);

        if (d && !inclusive && s3_str_cmp(s3_str(name, len), after) <= 0) {
            continue;
        }

        if (d && page->n && page->common[page->n - 1]
            && page->lens[page->n - 1] == len
            && memcmp(page->names[page->n - 1], name, len) == 0)
        {
            continue;
        }

        if (page->n == max) {
            page->truncated = 1;
            return;
        }

        memcpy(page->names[page->n], name, sizeof(name));
        page->lens[page->n] = len;
        page->common[page->n++] = d != NULL;
    }
}


static int
on_item(s3_list_t *list, s3_str_t key, const s3_entry_t *entry)
{
    page_t *page = list->ctx;

    memset(page->names[page->n], 0, sizeof(page->names[0]));
    memcpy(page->names[page->n], key.data, s3_min(key.len, 23u));
    page->lens[page->n] = key.len;
    page->common[page->n++] = entry == NULL;

    return page->n == page->stop;
}


static void
on_done(s3_list_t *list)
{
    page_t *page = list->ctx;

    page->flag = 1;
}


static int
real(bed_t *b, unsigned store, const char *prefix, const char *delimiter,
     s3_str_t after, int inclusive, unsigned max, page_t *page)
{
    s3_list_t list;

    memset(&list, 0, sizeof(list));
    list.store = b->store[store];
    list.bucket = BED_BUCKET;
    list.prefix = s3_str(prefix, strlen(prefix));
    list.delimiter = s3_str(delimiter, strlen(delimiter));
    list.after = after;
    list.inclusive = inclusive != 0;
    list.max = max;
    list.item = on_item;
    list.done = on_done;
    list.ctx = page;

    page->n = 0;
    page->flag = 0;
    page->stop = 0;
    s3_store_list(&list);

    if (!page->flag && !s3_sim_until(b->sim, &page->flag)) {
        abort();
    }

    page->truncated = list.truncated;

    return list.rc;
}


static int
same(const page_t *a, const page_t *b)
{
    unsigned i;

    if (a->n != b->n || a->truncated != b->truncated) {
        return 0;
    }

    for (i = 0; i < a->n; i++) {
        if (a->lens[i] != b->lens[i] || a->common[i] != b->common[i]
            || memcmp(a->names[i], b->names[i], a->lens[i]) != 0)
        {
            return 0;
        }
    }

    return 1;
}


static const char *prefixes[] = {"", "", "a", "a/", "b", "/", "c/a", "zz"};
static const char *delimiters[] = {"", "/", "/", "/", "//", "b", "\xff"};


/* Pages from random places, and all pages one after the other. */

static void
check(bed_t *b, unsigned rounds)
{
    unsigned i, max, total;
    const char *prefix, *delimiter;
    s3_str_t after;
    static page_t want, got, whole;

    for (i = 0; i < rounds; i++) {
        prefix = prefixes[s3_sim_random(b->sim, 8)];
        delimiter = delimiters[s3_sim_random(b->sim, 7)];
        after = s3_null_str;

        if (s3_sim_random(b->sim, 2)) {
            after.data = (uint8_t *) keys[s3_sim_random(b->sim, n_keys)];
            after.len =
                1 + s3_sim_random(b->sim, strlen((const char *) after.data));
        }

        max = 1 + (unsigned) s3_sim_random(b->sim, 20);

        model(prefix, delimiter, after, i & 1, max, &want);
        CHECK_INT(real(b, 0, prefix, delimiter, after, i & 1, max, &got),
                  S3_OK);
        CHECK(same(&want, &got));

        /* one after the other */

        model(prefix, delimiter, s3_null_str, 1, 3 * KEYS, &whole);
        after = s3_null_str;
        total = 0;
        max = 1 + i % 3;

        do {
            CHECK_INT(
                real(b, 0, prefix, delimiter, after, total == 0, max, &got),
                S3_OK);

            if (total + got.n > whole.n || (got.truncated && got.n != max)) {
                CHECK(0);
                break;
            }

            CHECK(memcmp(got.names, whole.names[total],
                         got.n * sizeof(got.names[0]))
                  == 0);
            total += got.n;

            if (got.n) {
                after = s3_str(whole.names[total - 1], whole.lens[total - 1]);
            }
        } while (got.truncated);

        CHECK_INT(total, whole.n);
    }
}


static void
test_pages(unsigned n, unsigned m, unsigned delay, uint64_t seed)
{
    unsigned i, k;
    s3_str_t key;
    bed_t b;

    bed_open(&b, seed, n, m, m, 1);
    bed_delay(&b, delay);
    make_keys(&b);

    for (i = 0; i < 400; i++) {
        k = (unsigned) s3_sim_random(b.sim, n_keys);
        key = s3_str(keys[k], strlen(keys[k]));

        if (n > 2 && m && s3_sim_random(b.sim, 4) == 0) {
            /* some drives miss what follows, CONFIRMs get lost */
            bed_down(&b, s3_sim_random(b.sim, 2)
                             ? 0
                             : 1u << s3_sim_random(b.sim, n));
        }

        if (s3_sim_random(b.sim, 2)) {
            CHECK_INT(bed_put(&b, 0, key, 0, (uint8_t *) "data", 4, 0, 4),
                      S3_OK);
            alive[k] = 1;

        } else {
            /* it reads first, which may take a drive that is away */

            if (bed_delete(&b, 0, key) != S3_OK) {
                bed_down(&b, 0);
                CHECK_INT(bed_delete(&b, 0, key), S3_OK);
            }

            alive[k] = 0;
        }

        if (i % 40 == 39) {
            check(&b, 8);
        }
    }

    bed_down(&b, 0);
    check(&b, 20);

    s3_store_heal(b.store[0], 1);
    s3_sim_sleep(b.sim, 100000000);
    s3_store_heal(b.store[0], 0);
    check(&b, 20);

    for (i = 0; m && i < n && n > 2; i++) {
        bed_down(&b, 1u << i);
        check(&b, 5);
    }

    bed_close(&b);
}


static void
test_edges(void)
{
    static page_t page;
    unsigned i;
    char name[8];
    bed_t b;

    bed_open(&b, 5, 4, 2, 2, 1);

    CHECK_INT(real(&b, 0, "", "", s3_null_str, 1, 10, &page), S3_OK);
    CHECK_INT(page.n, 0);
    CHECK_INT(page.truncated, 0);

    for (i = 0; i < 5; i++) {
        snprintf(name, sizeof(name), "k%u", i);
        CHECK_INT(bed_put(&b, 0, s3_str(name, 2), 0, NULL, 0, 0, 1), S3_OK);
    }

    CHECK_INT(real(&b, 0, "", "", s3_null_str, 1, 0, &page), S3_OK);
    CHECK_INT(page.n, 0);
    CHECK_INT(page.truncated, 0);

    CHECK_INT(real(&b, 0, "", "", s3_null_str, 1, 5, &page), S3_OK);
    CHECK_INT(page.n, 5);
    CHECK_INT(page.truncated, 0);

    CHECK_INT(real(&b, 0, "", "", s3_null_str, 1, 4, &page), S3_OK);
    CHECK_INT(page.n, 4);
    CHECK_INT(page.truncated, 1);

    bed_down(&b, 7);
    CHECK_INT(real(&b, 0, "", "", s3_null_str, 1, 4, &page), S3_EUNAVAIL);
    bed_down(&b, 0);

    /* a drive that hangs is gone around */

    for (i = 0; i < 4; i++) {
        s3_mock_knobs(b.mock[i])->hung = 1;
        CHECK_INT(real(&b, 0, "", "", s3_null_str, 1, 10, &page), S3_OK);
        CHECK_INT(page.n, 5);
        s3_mock_unhang(b.mock[i]);
    }

    bed_close(&b);
}


int
main(void)
{
    unsigned i;

    test_edges();
    test_pages(1, 0, 0, 1);
    test_pages(2, 1, 0, 2);

    for (i = 0; i < 4; i++) {
        test_pages(3, 1, i % 2, 10 + i);
        test_pages(4, 2, i % 2, 20 + i);
    }

    test_pages(5, 2, 1, 30);

    return S3_TEST_END();
}
