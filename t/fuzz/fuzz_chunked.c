/*
 * aws-chunked bodies: fed in pieces they end as they do when fed whole.
 *
 *     byte 0     mode: 0 signed, 1 signed with trailer, 2 unsigned
 *     byte 1     decoded length (255: 66560)
 *     byte 2, 3  sizes of the pieces, in turn
 *     the rest   body
 */

#include <stdlib.h>

#include "s3_chunked.h"

#define MUST(cond)     \
    do {               \
        if (!(cond)) { \
            abort();   \
        }              \
    } while (0)


typedef struct {
    int rc;
    s3_err_t err;
    uint64_t sum; /* of the decoded data */
    uint64_t len;
    size_t value_len;
} outcome_t;


static outcome_t
run(const s3_auth_result_t *auth, s3_str_t body, size_t a, size_t b)
{
    size_t n, i, turn;
    uint8_t *piece;
    outcome_t o;
    s3_str_t in, out;
    s3_chunked_t c;

    memset(&o, 0, sizeof(o));
    o.rc = s3_chunked_init(&c, auth);

    for (turn = 0; o.rc == S3_OK && body.len; turn++) {
        n = s3_min(turn & 1 ? b : a, body.len);
        piece = malloc(n);
        memcpy(piece, body.data, n);
        in = s3_str(piece, n);
        body = s3_str(body.data + n, body.len - n);

        while ((o.rc = s3_chunked_next(&c, &in, &out)) == S3_OK) {
            MUST(out.len && out.data >= piece
                 && out.data + out.len <= piece + n);
            o.len += out.len;

            for (i = 0; i < out.len; i++) {
                o.sum = o.sum * 31 + out.data[i];
            }
        }

        if (o.rc == S3_DONE && in.len) {
            o.rc = s3_chunked_next(&c, &in, &out);
        }

        free(piece);

        if (o.rc == S3_AGAIN || o.rc == S3_DONE) {
            o.rc = S3_OK;
        }
    }

    if (o.rc == S3_OK) {
        o.rc = s3_chunked_end(&c);
    }

    MUST(o.rc == S3_OK || o.rc == S3_EINVAL);
    MUST((o.rc == S3_OK) == (c.fault.err == S3_ERR_NONE));
    MUST(o.len <= auth->decoded_length);
    MUST(o.rc != S3_OK || o.len == auth->decoded_length);

    o.err = c.fault.err;
    o.value_len = c.trailer_value_len;
    s3_chunked_free(&c);

    return o;
}


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const s3_payload_t modes[] = {S3_PAYLOAD_CHUNKED,
                                         S3_PAYLOAD_CHUNKED_TRAILER,
                                         S3_PAYLOAD_UNSIGNED_TRAILER};
    static const char scope[] = "20130524/us-east-1/s3/aws4_request";
    s3_str_t body;
    outcome_t x, y;
    s3_auth_result_t auth;

    if (size < 4) {
        return 0;
    }

    memset(&auth, 0, sizeof(auth));
    memset(auth.key, 7, sizeof(auth.key));
    memset(auth.signature, '0', sizeof(auth.signature));
    memcpy(auth.amz_date, "20130524T000000Z", S3_SIGV4_DATE_LEN);
    memcpy(auth.scope, scope, sizeof(scope) - 1);
    auth.scope_len = sizeof(scope) - 1;
    auth.payload = modes[data[0] % 3];
    auth.has_decoded_length = 1;
    auth.decoded_length = data[1] == 255 ? 66560 : data[1];

    if (data[0] & 64) {
        auth.trailer = s3_string("x-amz-checksum-crc32");
    }

    body = s3_str(data + 4, size - 4);
    x = run(&auth, body, body.len, body.len);
    y = run(&auth, body, data[2] ? data[2] : 1, data[3] ? data[3] : 1);

    /* Where the data ends is the same unless something is wrong. */

    MUST(x.rc == y.rc && x.err == y.err);
    MUST(x.len == y.len && x.sum == y.sum && x.value_len == y.value_len);

    return 0;
}
