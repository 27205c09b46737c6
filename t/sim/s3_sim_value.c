/*
 * What objects are made of, and how one is known again.
 */

#include "t/sim/s3_sim.h"


static uint64_t
word(uint32_t salt, uint64_t i)
{
    uint64_t z = ((uint64_t) salt << 32) + i * 0x9e3779b97f4a7c15ull;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;

    return z ^ (z >> 27);
}


void
sim_content(uint32_t value, uint64_t off, uint8_t *p, size_t len)
{
    unsigned i;
    size_t n, done;
    uint64_t w, at, at_seg = off;
    const sim_value_t *v = &sim_w.values[value];

    for (i = 0; i < v->n && len; i++) {

        if (at_seg >= v->len[i]) {
            at_seg -= v->len[i];
            continue;
        }

        n = s3_min(len, (size_t) (v->len[i] - at_seg));

        for (done = 0; done < n; /* void */) {
            at = at_seg + done;
            w = word(v->salt[i], at / 8);

            if (at % 8 == 0 && n - done >= 8) {
                s3_put64(p + done, w);
                done += 8;

            } else {
                p[done++] = (uint8_t) (w >> 8 * (at % 8));
            }
        }

        p += n;
        len -= n;
        at_seg = 0;
    }
}


int
sim_content_is(uint32_t value, uint64_t off, const uint8_t *p, size_t len)
{
    size_t n;
    uint8_t buf[4096];

    for (/* void */; len; len -= n, p += n, off += n) {
        n = s3_min(len, sizeof(buf));
        sim_content(value, off, buf, n);

        if (memcmp(buf, p, n) != 0) {
            return 0;
        }
    }

    return 1;
}


uint32_t
sim_value_new(unsigned key, unsigned n, const uint32_t *lens)
{
    unsigned i;
    sim_value_t *v;

    if (sim_w.n_values + 1 >= SIM_VALUES) {
        sim_fail("too many values");
        exit(1);
    }

    v = &sim_w.values[++sim_w.n_values];
    v->key = key;
    v->n = n;

    for (i = 0; i < n; i++) {
        v->salt[i] = sim_w.n_values * SIM_SEGS + i;
        v->len[i] = lens[i];
        v->size += lens[i];
    }

    return sim_w.n_values;
}


void
sim_value_etag(uint8_t etag[16], uint32_t value)
{
    s3_put32(etag, value);
    s3_put32(etag + 4, ~value);
    s3_put64(etag + 8, word(value, 7));
}


uint32_t
sim_value_of(unsigned key, const s3_entry_t *e)
{
    uint32_t value;
    uint8_t etag[16];

    value = s3_get32(e->etag);

    if (value && value <= sim_w.n_values) {
        sim_value_etag(etag, value);

        if (memcmp(etag, e->etag, 16) == 0 && sim_w.values[value].key == key
            && sim_w.values[value].size == e->size)
        {
            return value;
        }
    }

    sim_fail("key %u: an object that nobody wrote, size %llu, value %u", key,
             (unsigned long long) e->size, value);

    return 0;
}
