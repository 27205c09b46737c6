
/*
 * Request handling: what its files share.
 *
 *   module     directives, configuration, life cycle
 *   variables  $s3_operation and the others
 *   status     the state of the node, as JSON and as a page
 *   metrics    counters of requests, everything as Prometheus text
 *   handler    content handler: route, authenticate, dispatch
 *   request    the request's state, its life time, its headers
 *   response   errors, documents, headers
 *   body       request body: decoding, backpressure
 *   text       a document in it
 *   digest     its MD5, SHA-256 and flexible checksum
 *   meta       request headers to stored metadata and back
 *   source     the source of a copy
 *   upload     multipart uploads: create, find, abort, list
 *   parts      the stored parts of one
 *   bucket, probe, get, put, copy, delete, list, tagging, attributes, part,
 *   complete   the other operations
 *
 * An operation is a chain of steps.  A step starts something asynchronous,
 * holding the state, and the callback goes on with the next one through
 * ngx_http_s3_resume(), or not at all where the client is gone.
 */

#ifndef _NGX_HTTP_S3_MODULE_H_INCLUDED_
#define _NGX_HTTP_S3_MODULE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_s3_compat.h"
#include "ngx_s3_hash.h"
#include "ngx_s3_store.h"

#include "storage/s3_bucket.h"
#include "storage/s3_upload.h"
#include "protocol/s3_auth.h"
#include "protocol/s3_checksum.h"
#include "protocol/s3_chunked.h"
#include "protocol/s3_error.h"
#include "protocol/s3_http.h"
#include "protocol/s3_md5x.h"
#include "protocol/s3_meta.h"
#include "protocol/s3_route.h"
#include "protocol/s3_uri.h"
#include "protocol/s3_xml_in.h"
#include "protocol/s3_xml_out.h"
#include "protocol/s3_xml_results.h"

#pragma GCC visibility push(hidden)


#define NGX_HTTP_S3_MAX_PUT     (5ULL * 1024 * 1024 * 1024)
#define NGX_HTTP_S3_ID_LEN      16
#define NGX_HTTP_S3_HOST_ID_LEN 32

/* "…" of an entry without quotes, with "-N" for multipart objects */
#define NGX_HTTP_S3_ETAG_LEN  (32 + 1 + 10)

#define NGX_HTTP_S3_ETAG_MD5    0
#define NGX_HTTP_S3_ETAG_UNIQUE 1


typedef struct {
    ngx_str_t                  access_key;
    ngx_str_t                  secret_key;
} ngx_http_s3_credential_t;


typedef struct {
    ngx_s3_store_conf_t        store;
} ngx_http_s3_main_conf_t;


typedef struct {
    ngx_flag_t                 enable;
    ngx_array_t               *credentials;   /* ngx_http_s3_credential_t */
    ngx_array_t               *domains;       /* s3_str_t */
    ngx_str_t                  region;
    ngx_uint_t                 etag;
    s3_owner_t                 owner;
    ngx_uint_t                 status;        /* NGX_HTTP_S3_STATUS_... */
} ngx_http_s3_loc_conf_t;


typedef struct ngx_http_s3_ctx_s  ngx_http_s3_ctx_t;

typedef void (*ngx_http_s3_step_pt)(ngx_http_s3_ctx_t *s);


/* The request body on its way through decoder and digests to its consumer. */

#define NGX_HTTP_S3_PIECES       18           /* chunks in 128 KiB */
#define NGX_HTTP_S3_BODY_SPACES  4            /* filled by one system call */


/* Contiguous data that is worth to be read apart from what frames it. */

#define NGX_HTTP_S3_BODY_LARGE   (64 * 1024)

typedef struct {
    s3_sha256_t                sha256;        /* of a signed payload */
    s3_md5x_t                  md5;
    s3_checksum_t              sum;           /* flexible checksum */
    s3_checksum_alg_t          alg;
    s3_checksum_alg_t          default_alg;   /* where the client names none */
    s3_checksum_alg_t          stored_alg;    /* beside the client's */
    s3_checksum_t              stored;
    u_char                     stored_digest[S3_CHECKSUM_MAX];

    u_char                     want_md5[16];
    u_char                     want_sum[S3_CHECKSUM_MAX];
    u_char                     md5_digest[S3_MD5X_LEN];
    u_char                     sum_digest[S3_CHECKSUM_MAX];

    uint64_t                   received;      /* bytes of content */
    uint64_t                   max;
    ngx_uint_t                 turn;          /* bytes since we last yielded */

    s3_str_t                   in;            /* of a buffer, not decoded */
    s3_str_t                   pieces[NGX_HTTP_S3_PIECES];   /* decoded */
    ngx_uint_t                 n;
    int                        rc;            /* of the decoder */
    ngx_uint_t                 piece;         /* that the sink is at */
    s3_str_t                   rest;          /* of it, not yet taken */

    ngx_s3_hash_t              hash;          /* in a thread */
    ngx_http_s3_step_pt        hash_step;

    /* bytes taken; less than all: ngx_http_s3_body_continue() later;
     * negative: s->fault is set */
    ssize_t                  (*sink)(ngx_http_s3_ctx_t *s, s3_str_t data);
    ngx_http_s3_step_pt        end;

    ngx_buf_t                 *text;          /* a document being collected */
    ngx_event_t                yield;

    u_char                    *own;           /* nginx's buffer */
    u_char                    *own_end;

    s3_space_t                 spaces[NGX_HTTP_S3_BODY_SPACES];
    ngx_uint_t                 n_spaces;
    ngx_uint_t                 space;         /* where what is ahead begins */
    size_t                     ahead;         /* received, not yet by nginx */
    uint64_t                   beyond;        /* may follow the first space */

    unsigned                   direct:1;      /* may be read into the sink's */
    unsigned                   large:1;       /* and is worth it */
    unsigned                   is_chunked:1;
    unsigned                   has_md5:1;     /* Content-MD5 */
    unsigned                   need_md5:1;
    unsigned                   has_sha256:1;  /* sha256 is running */
    unsigned                   has_sum:1;     /* the value came in a header */
    unsigned                   trailer_sum:1;
    unsigned                   document:1;    /* checksums are not of it */
    unsigned                   slow:1;        /* SHA to hash */
    unsigned                   chunk_signed:1;
    unsigned                   threads:1;     /* are worth it */
    unsigned                   hashing:1;     /* a thread has the pieces */
    unsigned                   decoding:1;    /* it makes them */
    unsigned                   failed:1;      /* s->fault, once it has not */
    unsigned                   paused:1;      /* the sink is full */
    unsigned                   finished:1;

    s3_chunked_t               chunked;       /* where is_chunked; not zeroed */
} ngx_http_s3_body_t;


/*
 * The parts that are stored of s->upload, a page of the index at a time.  A
 * number that was uploaded more than once comes once for each; the newest is
 * the part (s3_upload_part_version()).
 */

typedef struct {
    /* S3_OK: the next one; S3_DONE: no more; or an error, which is answered */
    int                      (*item)(ngx_http_s3_ctx_t *s, uint32_t number,
                                   const s3_entry_t *entry);
    ngx_http_s3_step_pt        step;          /* after the last one */

    int                        rc;            /* of item */
    u_char                     prefix[S3_MAX_KEY];
    u_char                     after[S3_MAX_KEY];
    size_t                     after_len;
} ngx_http_s3_part_walk_t;


/*
 * The state of one request.  It has a pool of its own and outlives the
 * request while the store still works for it; then r is NULL.
 */

struct ngx_http_s3_ctx_s {
    ngx_http_request_t        *r;
    ngx_pool_t                *pool;
    ngx_uint_t                 refs;
    ngx_uint_t                 inside;        /* called by nginx, not by us */
    ngx_event_t                guard;

    ngx_http_s3_loc_conf_t    *conf;
    s3_store_t                *store;

    s3_header_t               *headers;
    size_t                     nheaders;
    uint64_t                   lengths;       /* of their names, modulo 64 */
    s3_route_t                 route;
    s3_auth_result_t           auth;
    s3_fault_t                 fault;
    s3_str_t                   path;          /* raw */

    uint64_t                   began;         /* ns, monotonic */
    u_char                     request_id[NGX_HTTP_S3_ID_LEN];
    u_char                     host_id[NGX_HTTP_S3_HOST_ID_LEN];
    u_char                     etag[NGX_HTTP_S3_ETAG_LEN + 2];

    s3_bucket_op_t             bucket_op;
    s3_bucket_t               *bucket;
    ngx_http_s3_step_pt        bucket_step;
    s3_head_t                  head;
    ngx_http_s3_step_pt        head_step;
    s3_object_t               *object;
    s3_put_t                   put;
    s3_list_t                  list;
    s3_meta_t                  meta;
    s3_writer_t               *writer;
    ngx_http_s3_step_pt        writer_step;   /* after its finish */
    ngx_http_s3_step_pt        pump;          /* what feeds it, if not body */
    s3_reader_t               *reader;
    s3_write_cond_t            cond;

    /* copies */
    s3_copy_source_t           copy_source;
    s3_bucket_op_t             source_op;
    s3_bucket_t               *source_bucket;
    ngx_http_s3_step_pt        source_step;
    ngx_http_s3_step_pt        pump_end;
    ngx_uint_t                 slice;         /* of the reader's */

    /* multipart uploads */
    s3_str_t                   upload_id;
    s3_str_t                   upload_key;
    s3_object_t               *upload;        /* the record */
    ngx_http_s3_step_pt        upload_step;
    ngx_http_s3_part_walk_t   *walk;          /* through its parts */

    void                      *op;            /* the operation's own */
    void                     (*op_cleanup)(void *op);

    /* GET */
    uint32_t                   part_number;   /* of the query, or 0 */
    s3_range_t                 range;
    ngx_uint_t                 parts;         /* with partNumber */
    s3_str_t                   part_digest;   /* of partNumber */
    ngx_chain_t               *free;
    ngx_chain_t               *busy;

    ngx_table_elt_t           *header;        /* set last */

    uint64_t                   bytes_sent;    /* of objects */
    ngx_uint_t                 burst;         /* stripes sent in this turn */
    ngx_uint_t                 attempts;

    unsigned                   routed:1;
    unsigned                   waiting:1;     /* for the reader */
    unsigned                   upload_any:1;
    unsigned                   started:1;     /* headers of a GET are out */
    unsigned                   responded:1;
    unsigned                   ended:1;       /* the answer is nginx's now */

    /* last, for their large parts are not zeroed with the rest */
    ngx_http_s3_body_t         body;
    s3_uri_query_t             query;
};


/* handler */

ngx_int_t ngx_http_s3_handler(ngx_http_request_t *r);


/* request */

ngx_http_s3_ctx_t *ngx_http_s3_ctx_create(ngx_http_request_t *r);

/* What the handler has left under way is watched; it calls this at its end. */
void ngx_http_s3_watch(ngx_http_s3_ctx_t *s);

/* Keeps the state for a callback; every hold is ended by one resume. */
#define ngx_http_s3_hold(s)  (s)->refs++

/* Ends a hold, and no more. */
void ngx_http_s3_release(ngx_http_s3_ctx_t *s);

/* Ends a hold; goes on with step, or not where the client is gone. */
void ngx_http_s3_resume(ngx_http_s3_ctx_t *s, ngx_http_s3_step_pt step);

/* Ends the request with nginx's result. */
void ngx_http_s3_finish(ngx_http_s3_ctx_t *s, ngx_int_t rc);

/* A request header by its lower-case name; of a presigned request also the
 * query parameter that stands for it.  data is NULL where there is none. */
s3_str_t ngx_http_s3_find_header(ngx_http_s3_ctx_t *s, s3_str_t name);


/* Dozens of names are asked for, and few headers are there. */

static ngx_inline s3_str_t
ngx_http_s3_request_header_str(ngx_http_s3_ctx_t *s, s3_str_t name)
{
    if (!(s->lengths >> (name.len & 63) & 1)
        && s->auth.kind != S3_AUTH_PRESIGNED)
    {
        return s3_null_str;
    }

    return ngx_http_s3_find_header(s, name);
}


static ngx_inline s3_str_t
ngx_http_s3_request_header(ngx_http_s3_ctx_t *s, const char *name)
{
    return ngx_http_s3_request_header_str(s, s3_str(name, ngx_strlen(name)));
}


/* A query parameter; data is NULL where there is none. */
s3_str_t ngx_http_s3_arg(ngx_http_s3_ctx_t *s, const char *name);

/* A copy that lives as long as the state; data NULL: no memory. */
s3_str_t ngx_http_s3_dup(ngx_http_s3_ctx_t *s, s3_str_t str);

/* The bucket of the request, then step; answers NoSuchBucket itself. */
void ngx_http_s3_with_bucket(ngx_http_s3_ctx_t *s, ngx_http_s3_step_pt step);

/* The newest object at the request's key, then step: s->head.rc tells. */
void ngx_http_s3_with_object(ngx_http_s3_ctx_t *s, ngx_http_s3_step_pt step);

/* Then: NGX_OK, or NGX_ERROR, answered: there is none, or it cannot be had. */
ngx_int_t ngx_http_s3_check_object(ngx_http_s3_ctx_t *s);

/* x-amz-expected-bucket-owner and its like: NGX_OK or s->fault. */
ngx_int_t ngx_http_s3_check_owner(ngx_http_s3_ctx_t *s, const char *header);


/* response */

/*
 * Add a header.  NGX_ERROR: no memory.  The name has to live as long as the
 * state does; the value is copied, what has no place in a header made blanks.
 * _plain, _cstr: neither is needed, the value lives as long, too.
 */
ngx_int_t ngx_http_s3_set_header(ngx_http_s3_ctx_t *s, const char *name,
    s3_str_t value);
ngx_int_t ngx_http_s3_set_header_plain(ngx_http_s3_ctx_t *s, const char *name,
    s3_str_t value);
ngx_int_t ngx_http_s3_set_header_cstr(ngx_http_s3_ctx_t *s, const char *name,
    const char *value);
ngx_int_t ngx_http_s3_set_etag(ngx_http_s3_ctx_t *s, const s3_entry_t *e);
ngx_int_t ngx_http_s3_set_last_modified(ngx_http_s3_ctx_t *s,
    const s3_entry_t *e);

/* Both end the request.  The first answers s->fault. */
void ngx_http_s3_fail(ngx_http_s3_ctx_t *s);
void ngx_http_s3_error(ngx_http_s3_ctx_t *s, s3_err_t err);

/* For results of the store. */
void ngx_http_s3_error_rc(ngx_http_s3_ctx_t *s, int rc);

/* An answer without a body; a document (its memory is taken over). */
void ngx_http_s3_send_empty(ngx_http_s3_ctx_t *s, ngx_uint_t status);
void ngx_http_s3_send_xml(ngx_http_s3_ctx_t *s, ngx_uint_t status,
    s3_xml_t *xml);

/* request id and host id headers; called once per response */
ngx_int_t ngx_http_s3_common_headers(ngx_http_s3_ctx_t *s);

/* ETag of an entry, without quotes, into NGX_HTTP_S3_ETAG_LEN bytes */
s3_str_t ngx_http_s3_etag(const s3_entry_t *e, u_char *buf);

s3_str_t ngx_http_s3_class_name(ngx_uint_t storage_class);


/* body */

/* Checks what the headers say of the body: digests, lengths.  NGX_OK, or
 * NGX_ERROR with s->fault. */
ngx_int_t ngx_http_s3_body_init(ngx_http_s3_ctx_t *s);

/* Reads it into the sink, then end; or collects a document of at most max
 * bytes in s->body.text, then end.  Errors are answered. */
void ngx_http_s3_body_read(ngx_http_s3_ctx_t *s);
void ngx_http_s3_body_collect(ngx_http_s3_ctx_t *s, size_t max,
    ngx_http_s3_step_pt end);

/* After a sink that took less than all. */
void ngx_http_s3_body_continue(ngx_http_s3_ctx_t *s);
void ngx_http_s3_body_cleanup(ngx_http_s3_ctx_t *s);

/* Large bodies: lets the client send ahead. */
void ngx_http_s3_body_window(ngx_http_s3_ctx_t *s);

/* Large bodies: chooses where the next bytes go, NGX_AGAIN: the sink is full;
 * then ngx_http_read_unbuffered_request_body(). */
ngx_int_t ngx_http_s3_body_aim(ngx_http_s3_ctx_t *s);
ngx_int_t ngx_http_s3_body_receive(ngx_http_s3_ctx_t *s);

s3_str_t ngx_http_s3_body_text(ngx_http_s3_ctx_t *s);


/* digest */

/* More is hashed in a thread; less than small is not worth a lane. */
#define NGX_HTTP_S3_DIGEST_LARGE  (64 * 1024)
#define NGX_HTTP_S3_DIGEST_SMALL  512

/* What the headers announce; NGX_ERROR with s->fault. */
ngx_int_t ngx_http_s3_digest_init(ngx_http_s3_ctx_t *s);

/* The same for data of our own: MD5 where body.need_md5, checksum body.alg. */
ngx_int_t ngx_http_s3_digest_init_copy(ngx_http_s3_ctx_t *s);

/* x-amz-checksum-* of the request, of which there may be one: its algorithm,
 * S3_CHECKSUM_NONE without; NGX_ERROR with s->fault. */
ngx_int_t ngx_http_s3_digest_header(ngx_http_s3_ctx_t *s,
    s3_checksum_alg_t *alg, s3_str_t *value);

/*
 * Hashes n pieces.  NGX_OK: done.  NGX_AGAIN: body.hashing is set until step
 * runs, the pieces have to stay, nothing here may be called and the request
 * must not be ended by us; what holds their bytes does stay, in nginx's
 * request, too.  NGX_ERROR with s->fault; a failure in a thread sets
 * body.failed and s->fault.
 */
ngx_int_t ngx_http_s3_digest_update(ngx_http_s3_ctx_t *s,
    const s3_str_t *pieces, ngx_uint_t n, ngx_http_s3_step_pt step);

/* run() in a thread, under the same terms; NGX_DECLINED: there is none. */
ngx_int_t ngx_http_s3_digest_run(ngx_http_s3_ctx_t *s,
    int (*run)(ngx_s3_hash_t *h), ngx_http_s3_step_pt step);

/* All bytes have been seen: the digests. */
void ngx_http_s3_digest_final(ngx_http_s3_ctx_t *s);

/* Do they match what the client says?  NGX_ERROR with s->fault. */
ngx_int_t ngx_http_s3_digest_verify(ngx_http_s3_ctx_t *s);
void ngx_http_s3_digest_free(ngx_http_s3_ctx_t *s);


/* meta */

/* The request's headers as metadata of an object in s->meta; NGX_ERROR with
 * s->fault. */
ngx_int_t ngx_http_s3_meta_from_request(ngx_http_s3_ctx_t *s);
ngx_int_t ngx_http_s3_check_redirect(ngx_http_s3_ctx_t *s, s3_str_t value);
ngx_int_t ngx_http_s3_tags_from_request(ngx_http_s3_ctx_t *s);

/* Headers that mean features which are not there: refused, not ignored. */
ngx_int_t ngx_http_s3_check_unsupported(ngx_http_s3_ctx_t *s);
ngx_int_t ngx_http_s3_storage_class(ngx_http_s3_ctx_t *s, uint8_t *class);

/* Response headers of a stored object. */
ngx_int_t ngx_http_s3_meta_to_response(ngx_http_s3_ctx_t *s,
    s3_object_t *object, ngx_uint_t checksum);

/* x-amz-checksum-* of a digest */
ngx_int_t ngx_http_s3_set_checksum(ngx_http_s3_ctx_t *s, s3_checksum_alg_t alg,
    const u_char *digest, uint32_t parts, s3_checksum_type_t type);


/* put */

/* If-Match, If-None-Match of a write: into s->cond; NGX_ERROR, s->fault. */
ngx_int_t ngx_http_s3_write_condition(ngx_http_s3_ctx_t *s, ngx_uint_t del);

/* A test() for s3_put_t whose ctx is the state. */
int ngx_http_s3_test(s3_put_t *put, const s3_entry_t *current);

/* Prepares s->put for the request's bucket and key. */
s3_put_t *ngx_http_s3_put_init(ngx_http_s3_ctx_t *s);

/* Stores s->put with the metadata in s->meta, whose error is answered. */
void ngx_http_s3_put_with_meta(ngx_http_s3_ctx_t *s,
    void (*done)(s3_put_t *put));

/* What a failed put means for the client. */
void ngx_http_s3_put_error(ngx_http_s3_ctx_t *s, int rc);

/* Opens a writer for the body; data flows with ngx_http_s3_body_read(). */
ngx_int_t ngx_http_s3_writer_open(ngx_http_s3_ctx_t *s, uint64_t bucket,
    s3_str_t key, ngx_uint_t storage_class, int64_t size, ngx_uint_t flags);
ssize_t ngx_http_s3_writer_sink(ngx_http_s3_ctx_t *s, s3_str_t data);

/* Finishes the writer, then step: s->writer->rc tells. */
void ngx_http_s3_writer_finish(ngx_http_s3_ctx_t *s, ngx_http_s3_step_pt step);


/* source */

/* The object that x-amz-copy-source names, in s->object, then step. */
void ngx_http_s3_with_source(ngx_http_s3_ctx_t *s, ngx_http_s3_step_pt step);
void ngx_http_s3_close_reader(ngx_http_s3_ctx_t *s);
void ngx_http_s3_source_again(ngx_http_s3_ctx_t *s);

/* Bytes of s->object into s->writer, hashing as s->body asks; the writer is
 * finished, then step. */
void ngx_http_s3_pump(ngx_http_s3_ctx_t *s, uint64_t off, uint64_t len,
    ngx_http_s3_step_pt step);


/* upload */

/* Bucket and record of the request's upload, then step; answers NoSuchUpload
 * itself.  An upload that is being completed or aborted is found only with
 * any. */
void ngx_http_s3_with_upload(ngx_http_s3_ctx_t *s, ngx_uint_t any,
    ngx_http_s3_step_pt step);
void ngx_http_s3_no_such_upload(ngx_http_s3_ctx_t *s);


/* parts */

/* Goes through the parts of numbers greater than `from`.  walk: zeroed, with
 * item and step set, lives as long as the state. */
void ngx_http_s3_walk_parts(ngx_http_s3_ctx_t *s,
    ngx_http_s3_part_walk_t *walk, ngx_uint_t from);


/* operations */

void ngx_http_s3_list_buckets(ngx_http_s3_ctx_t *s);
void ngx_http_s3_create_bucket(ngx_http_s3_ctx_t *s);
void ngx_http_s3_head_bucket(ngx_http_s3_ctx_t *s);
void ngx_http_s3_delete_bucket(ngx_http_s3_ctx_t *s);
void ngx_http_s3_bucket_location(ngx_http_s3_ctx_t *s);
void ngx_http_s3_bucket_tagging(ngx_http_s3_ctx_t *s);
void ngx_http_s3_probe(ngx_http_s3_ctx_t *s);

void ngx_http_s3_put_object(ngx_http_s3_ctx_t *s);
void ngx_http_s3_get_object(ngx_http_s3_ctx_t *s);
void ngx_http_s3_get_attributes(ngx_http_s3_ctx_t *s);
void ngx_http_s3_copy_object(ngx_http_s3_ctx_t *s);
void ngx_http_s3_delete_object(ngx_http_s3_ctx_t *s);
void ngx_http_s3_delete_objects(ngx_http_s3_ctx_t *s);
void ngx_http_s3_object_tagging(ngx_http_s3_ctx_t *s);
void ngx_http_s3_list_objects(ngx_http_s3_ctx_t *s);

void ngx_http_s3_create_upload(ngx_http_s3_ctx_t *s);
void ngx_http_s3_upload_part(ngx_http_s3_ctx_t *s);
void ngx_http_s3_upload_part_copy(ngx_http_s3_ctx_t *s);
void ngx_http_s3_complete_upload(ngx_http_s3_ctx_t *s);
void ngx_http_s3_abort_upload(ngx_http_s3_ctx_t *s);
void ngx_http_s3_list_parts(ngx_http_s3_ctx_t *s);
void ngx_http_s3_list_uploads(ngx_http_s3_ctx_t *s);


/* variables */

ngx_int_t ngx_http_s3_add_variables(ngx_conf_t *cf);


/* credentials */

char *ngx_http_s3_credentials(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


s3_buckets_t *ngx_http_s3_buckets(void);
s3_sigv4_cache_t *ngx_http_s3_keys(void);


/* status */

char *ngx_http_s3_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
void ngx_http_s3_status_inherit(ngx_conf_t *cf, ngx_http_s3_loc_conf_t *prev,
    ngx_http_s3_loc_conf_t *conf);


/* metrics */

ngx_int_t ngx_http_s3_metrics_init(ngx_conf_t *cf);
uint64_t ngx_http_s3_metrics_now(void);


extern ngx_module_t  ngx_http_s3_module;

#pragma GCC visibility pop

#endif /* _NGX_HTTP_S3_MODULE_H_INCLUDED_ */
