#include "s3_route.h"

#pragma GCC visibility push(hidden)

/* The parameters that select a subresource, in the order of the enum. */

#define S3_SEL(lit)                              \
    {                                            \
        sizeof(lit) - 1, (const uint8_t *) (lit) \
    }

static const s3_str_t s3_selectors[] = {
    S3_SEL(""),
    S3_SEL("abac"),
    S3_SEL("accelerate"),
    S3_SEL("acl"),
    S3_SEL("analytics"),
    S3_SEL("annotation"),
    S3_SEL("attributes"),
    S3_SEL("cors"),
    S3_SEL("delete"),
    S3_SEL("encryption"),
    S3_SEL("intelligent-tiering"),
    S3_SEL("inventory"),
    S3_SEL("legal-hold"),
    S3_SEL("lifecycle"),
    S3_SEL("location"),
    S3_SEL("logging"),
    S3_SEL("metadataAnnotationTable"),
    S3_SEL("metadataConfiguration"),
    S3_SEL("metadataInventoryTable"),
    S3_SEL("metadataJournalTable"),
    S3_SEL("metadataTable"),
    S3_SEL("metrics"),
    S3_SEL("notification"),
    S3_SEL("object-lock"),
    S3_SEL("ownershipControls"),
    S3_SEL("policy"),
    S3_SEL("policyStatus"),
    S3_SEL("publicAccessBlock"),
    S3_SEL("renameObject"),
    S3_SEL("replication"),
    S3_SEL("requestPayment"),
    S3_SEL("restore"),
    S3_SEL("retention"),
    S3_SEL("select"),
    S3_SEL("session"),
    S3_SEL("tagging"),
    S3_SEL("torrent"),
    S3_SEL("uploadId"),
    S3_SEL("uploads"),
    S3_SEL("versioning"),
    S3_SEL("versions"),
    S3_SEL("website"),
};

#undef S3_SEL

enum {
    S3_SEL_NONE = 0,
    S3_SEL_ABAC,
    S3_SEL_ACCELERATE,
    S3_SEL_ACL,
    S3_SEL_ANALYTICS,
    S3_SEL_ANNOTATION,
    S3_SEL_ATTRIBUTES,
    S3_SEL_CORS,
    S3_SEL_DELETE,
    S3_SEL_ENCRYPTION,
    S3_SEL_INTELLIGENT_TIERING,
    S3_SEL_INVENTORY,
    S3_SEL_LEGAL_HOLD,
    S3_SEL_LIFECYCLE,
    S3_SEL_LOCATION,
    S3_SEL_LOGGING,
    S3_SEL_METADATA_ANNOTATION_TABLE,
    S3_SEL_METADATA_CONFIGURATION,
    S3_SEL_METADATA_INVENTORY_TABLE,
    S3_SEL_METADATA_JOURNAL_TABLE,
    S3_SEL_METADATA_TABLE,
    S3_SEL_METRICS,
    S3_SEL_NOTIFICATION,
    S3_SEL_OBJECT_LOCK,
    S3_SEL_OWNERSHIP_CONTROLS,
    S3_SEL_POLICY,
    S3_SEL_POLICY_STATUS,
    S3_SEL_PUBLIC_ACCESS_BLOCK,
    S3_SEL_RENAME_OBJECT,
    S3_SEL_REPLICATION,
    S3_SEL_REQUEST_PAYMENT,
    S3_SEL_RESTORE,
    S3_SEL_RETENTION,
    S3_SEL_SELECT,
    S3_SEL_SESSION,
    S3_SEL_TAGGING,
    S3_SEL_TORRENT,
    S3_SEL_UPLOAD_ID,
    S3_SEL_UPLOADS,
    S3_SEL_VERSIONING,
    S3_SEL_VERSIONS,
    S3_SEL_WEBSITE,
    S3_SEL_MAX
};


/*
 * What is at which level, by selector and method.  Operations that differ by
 * something else (a header, an id) are told apart afterwards.
 */

enum { S, B, O };
enum { GET, HEAD, PUT, POST, DELETE, OPTIONS, S3_METHOD_OTHER };

typedef struct {
    uint8_t level;
    uint8_t sel;
    uint8_t method;
    uint8_t op;
} s3_rule_t;

static const s3_rule_t s3_rules[] = {
    {S, S3_SEL_NONE, GET, S3_OP_LIST_BUCKETS},
    {B, S3_SEL_NONE, DELETE, S3_OP_DELETE_BUCKET},
    {B, S3_SEL_NONE, GET, S3_OP_LIST_OBJECTS},
    {B, S3_SEL_NONE, HEAD, S3_OP_HEAD_BUCKET},
    {B, S3_SEL_NONE, POST, S3_OP_POST_OBJECT},
    {B, S3_SEL_NONE, PUT, S3_OP_CREATE_BUCKET},
    {B, S3_SEL_ABAC, GET, S3_OP_GET_BUCKET_ABAC},
    {B, S3_SEL_ABAC, PUT, S3_OP_PUT_BUCKET_ABAC},
    {B, S3_SEL_ACCELERATE, GET, S3_OP_GET_BUCKET_ACCELERATE_CONFIGURATION},
    {B, S3_SEL_ACCELERATE, PUT, S3_OP_PUT_BUCKET_ACCELERATE_CONFIGURATION},
    {B, S3_SEL_ACL, GET, S3_OP_GET_BUCKET_ACL},
    {B, S3_SEL_ACL, PUT, S3_OP_PUT_BUCKET_ACL},
    {B, S3_SEL_ANALYTICS, DELETE, S3_OP_DELETE_BUCKET_ANALYTICS_CONFIGURATION},
    {B, S3_SEL_ANALYTICS, GET, S3_OP_GET_BUCKET_ANALYTICS_CONFIGURATION},
    {B, S3_SEL_ANALYTICS, PUT, S3_OP_PUT_BUCKET_ANALYTICS_CONFIGURATION},
    {B, S3_SEL_CORS, DELETE, S3_OP_DELETE_BUCKET_CORS},
    {B, S3_SEL_CORS, GET, S3_OP_GET_BUCKET_CORS},
    {B, S3_SEL_CORS, PUT, S3_OP_PUT_BUCKET_CORS},
    {B, S3_SEL_DELETE, POST, S3_OP_DELETE_OBJECTS},
    {B, S3_SEL_ENCRYPTION, DELETE, S3_OP_DELETE_BUCKET_ENCRYPTION},
    {B, S3_SEL_ENCRYPTION, GET, S3_OP_GET_BUCKET_ENCRYPTION},
    {B, S3_SEL_ENCRYPTION, PUT, S3_OP_PUT_BUCKET_ENCRYPTION},
    {B, S3_SEL_INTELLIGENT_TIERING, DELETE,
     S3_OP_DELETE_BUCKET_INTELLIGENT_TIERING_CONFIGURATION},
    {B, S3_SEL_INTELLIGENT_TIERING, GET,
     S3_OP_GET_BUCKET_INTELLIGENT_TIERING_CONFIGURATION},
    {B, S3_SEL_INTELLIGENT_TIERING, PUT,
     S3_OP_PUT_BUCKET_INTELLIGENT_TIERING_CONFIGURATION},
    {B, S3_SEL_INVENTORY, DELETE, S3_OP_DELETE_BUCKET_INVENTORY_CONFIGURATION},
    {B, S3_SEL_INVENTORY, GET, S3_OP_GET_BUCKET_INVENTORY_CONFIGURATION},
    {B, S3_SEL_INVENTORY, PUT, S3_OP_PUT_BUCKET_INVENTORY_CONFIGURATION},
    {B, S3_SEL_LIFECYCLE, DELETE, S3_OP_DELETE_BUCKET_LIFECYCLE},
    {B, S3_SEL_LIFECYCLE, GET, S3_OP_GET_BUCKET_LIFECYCLE_CONFIGURATION},
    {B, S3_SEL_LIFECYCLE, PUT, S3_OP_PUT_BUCKET_LIFECYCLE_CONFIGURATION},
    {B, S3_SEL_LOCATION, GET, S3_OP_GET_BUCKET_LOCATION},
    {B, S3_SEL_LOGGING, GET, S3_OP_GET_BUCKET_LOGGING},
    {B, S3_SEL_LOGGING, PUT, S3_OP_PUT_BUCKET_LOGGING},
    {B, S3_SEL_METADATA_ANNOTATION_TABLE, PUT,
     S3_OP_UPDATE_BUCKET_METADATA_ANNOTATION_TABLE_CONFIGURATION},
    {B, S3_SEL_METADATA_CONFIGURATION, DELETE,
     S3_OP_DELETE_BUCKET_METADATA_CONFIGURATION},
    {B, S3_SEL_METADATA_CONFIGURATION, GET,
     S3_OP_GET_BUCKET_METADATA_CONFIGURATION},
    {B, S3_SEL_METADATA_CONFIGURATION, POST,
     S3_OP_CREATE_BUCKET_METADATA_CONFIGURATION},
    {B, S3_SEL_METADATA_INVENTORY_TABLE, PUT,
     S3_OP_UPDATE_BUCKET_METADATA_INVENTORY_TABLE_CONFIGURATION},
    {B, S3_SEL_METADATA_JOURNAL_TABLE, PUT,
     S3_OP_UPDATE_BUCKET_METADATA_JOURNAL_TABLE_CONFIGURATION},
    {B, S3_SEL_METADATA_TABLE, DELETE,
     S3_OP_DELETE_BUCKET_METADATA_TABLE_CONFIGURATION},
    {B, S3_SEL_METADATA_TABLE, GET,
     S3_OP_GET_BUCKET_METADATA_TABLE_CONFIGURATION},
    {B, S3_SEL_METADATA_TABLE, POST,
     S3_OP_CREATE_BUCKET_METADATA_TABLE_CONFIGURATION},
    {B, S3_SEL_METRICS, DELETE, S3_OP_DELETE_BUCKET_METRICS_CONFIGURATION},
    {B, S3_SEL_METRICS, GET, S3_OP_GET_BUCKET_METRICS_CONFIGURATION},
    {B, S3_SEL_METRICS, PUT, S3_OP_PUT_BUCKET_METRICS_CONFIGURATION},
    {B, S3_SEL_NOTIFICATION, GET, S3_OP_GET_BUCKET_NOTIFICATION_CONFIGURATION},
    {B, S3_SEL_NOTIFICATION, PUT, S3_OP_PUT_BUCKET_NOTIFICATION_CONFIGURATION},
    {B, S3_SEL_OBJECT_LOCK, GET, S3_OP_GET_OBJECT_LOCK_CONFIGURATION},
    {B, S3_SEL_OBJECT_LOCK, PUT, S3_OP_PUT_OBJECT_LOCK_CONFIGURATION},
    {B, S3_SEL_OWNERSHIP_CONTROLS, DELETE,
     S3_OP_DELETE_BUCKET_OWNERSHIP_CONTROLS},
    {B, S3_SEL_OWNERSHIP_CONTROLS, GET, S3_OP_GET_BUCKET_OWNERSHIP_CONTROLS},
    {B, S3_SEL_OWNERSHIP_CONTROLS, PUT, S3_OP_PUT_BUCKET_OWNERSHIP_CONTROLS},
    {B, S3_SEL_POLICY, DELETE, S3_OP_DELETE_BUCKET_POLICY},
    {B, S3_SEL_POLICY, GET, S3_OP_GET_BUCKET_POLICY},
    {B, S3_SEL_POLICY, PUT, S3_OP_PUT_BUCKET_POLICY},
    {B, S3_SEL_POLICY_STATUS, GET, S3_OP_GET_BUCKET_POLICY_STATUS},
    {B, S3_SEL_PUBLIC_ACCESS_BLOCK, DELETE, S3_OP_DELETE_PUBLIC_ACCESS_BLOCK},
    {B, S3_SEL_PUBLIC_ACCESS_BLOCK, GET, S3_OP_GET_PUBLIC_ACCESS_BLOCK},
    {B, S3_SEL_PUBLIC_ACCESS_BLOCK, PUT, S3_OP_PUT_PUBLIC_ACCESS_BLOCK},
    {B, S3_SEL_REPLICATION, DELETE, S3_OP_DELETE_BUCKET_REPLICATION},
    {B, S3_SEL_REPLICATION, GET, S3_OP_GET_BUCKET_REPLICATION},
    {B, S3_SEL_REPLICATION, PUT, S3_OP_PUT_BUCKET_REPLICATION},
    {B, S3_SEL_REQUEST_PAYMENT, GET, S3_OP_GET_BUCKET_REQUEST_PAYMENT},
    {B, S3_SEL_REQUEST_PAYMENT, PUT, S3_OP_PUT_BUCKET_REQUEST_PAYMENT},
    {B, S3_SEL_SESSION, GET, S3_OP_CREATE_SESSION},
    {B, S3_SEL_TAGGING, DELETE, S3_OP_DELETE_BUCKET_TAGGING},
    {B, S3_SEL_TAGGING, GET, S3_OP_GET_BUCKET_TAGGING},
    {B, S3_SEL_TAGGING, PUT, S3_OP_PUT_BUCKET_TAGGING},
    {B, S3_SEL_UPLOADS, GET, S3_OP_LIST_MULTIPART_UPLOADS},
    {B, S3_SEL_VERSIONING, GET, S3_OP_GET_BUCKET_VERSIONING},
    {B, S3_SEL_VERSIONING, PUT, S3_OP_PUT_BUCKET_VERSIONING},
    {B, S3_SEL_VERSIONS, GET, S3_OP_LIST_OBJECT_VERSIONS},
    {B, S3_SEL_WEBSITE, DELETE, S3_OP_DELETE_BUCKET_WEBSITE},
    {B, S3_SEL_WEBSITE, GET, S3_OP_GET_BUCKET_WEBSITE},
    {B, S3_SEL_WEBSITE, PUT, S3_OP_PUT_BUCKET_WEBSITE},
    {O, S3_SEL_NONE, DELETE, S3_OP_DELETE_OBJECT},
    {O, S3_SEL_NONE, GET, S3_OP_GET_OBJECT},
    {O, S3_SEL_NONE, HEAD, S3_OP_HEAD_OBJECT},
    {O, S3_SEL_NONE, PUT, S3_OP_PUT_OBJECT},
    {O, S3_SEL_ACL, GET, S3_OP_GET_OBJECT_ACL},
    {O, S3_SEL_ACL, PUT, S3_OP_PUT_OBJECT_ACL},
    {O, S3_SEL_ANNOTATION, DELETE, S3_OP_DELETE_OBJECT_ANNOTATION},
    {O, S3_SEL_ANNOTATION, GET, S3_OP_GET_OBJECT_ANNOTATION},
    {O, S3_SEL_ANNOTATION, PUT, S3_OP_PUT_OBJECT_ANNOTATION},
    {O, S3_SEL_ATTRIBUTES, GET, S3_OP_GET_OBJECT_ATTRIBUTES},
    {O, S3_SEL_ENCRYPTION, PUT, S3_OP_UPDATE_OBJECT_ENCRYPTION},
    {O, S3_SEL_LEGAL_HOLD, GET, S3_OP_GET_OBJECT_LEGAL_HOLD},
    {O, S3_SEL_LEGAL_HOLD, PUT, S3_OP_PUT_OBJECT_LEGAL_HOLD},
    {O, S3_SEL_RENAME_OBJECT, PUT, S3_OP_RENAME_OBJECT},
    {O, S3_SEL_RESTORE, POST, S3_OP_RESTORE_OBJECT},
    {O, S3_SEL_RETENTION, GET, S3_OP_GET_OBJECT_RETENTION},
    {O, S3_SEL_RETENTION, PUT, S3_OP_PUT_OBJECT_RETENTION},
    {O, S3_SEL_SELECT, POST, S3_OP_SELECT_OBJECT_CONTENT},
    {O, S3_SEL_TAGGING, DELETE, S3_OP_DELETE_OBJECT_TAGGING},
    {O, S3_SEL_TAGGING, GET, S3_OP_GET_OBJECT_TAGGING},
    {O, S3_SEL_TAGGING, PUT, S3_OP_PUT_OBJECT_TAGGING},
    {O, S3_SEL_TORRENT, GET, S3_OP_GET_OBJECT_TORRENT},
    {O, S3_SEL_UPLOAD_ID, DELETE, S3_OP_ABORT_MULTIPART_UPLOAD},
    {O, S3_SEL_UPLOAD_ID, GET, S3_OP_LIST_PARTS},
    {O, S3_SEL_UPLOAD_ID, POST, S3_OP_COMPLETE_MULTIPART_UPLOAD},
    {O, S3_SEL_UPLOAD_ID, PUT, S3_OP_UPLOAD_PART},
    {O, S3_SEL_UPLOADS, POST, S3_OP_CREATE_MULTIPART_UPLOAD},
};

#define S3_NRULES (sizeof(s3_rules) / sizeof(s3_rules[0]))

static const s3_op_info_t s3_ops[] = {{"", 0, 0},
#define S3_OP_ROW(name, aws, flags, max) {aws, flags, max},
                                      S3_OP_TABLE(S3_OP_ROW)
#undef S3_OP_ROW
};


const s3_op_info_t *
s3_op_info(s3_op_t op)
{
    unsigned int i = (unsigned int) op;

    return &s3_ops[i < S3_OP_MAX ? i : 0];
}


static unsigned int
s3_route_method(s3_str_t m)
{
    static const char *const names[] = {"GET",  "HEAD",   "PUT",
                                        "POST", "DELETE", "OPTIONS"};
    unsigned int i;

    for (i = 0; i < S3_METHOD_OTHER; i++) {
        if (s3_str_eq(m, s3_str(names[i], strlen(names[i])))) {
            break;
        }
    }

    return i;
}


static s3_op_t
s3_route_rule(unsigned int level, unsigned int sel, unsigned int method)
{
    size_t i;
    const s3_rule_t *r;

    for (i = 0; i < S3_NRULES; i++) {
        r = &s3_rules[i];

        if (r->level == level && r->sel == sel && r->method == method) {
            return (s3_op_t) r->op;
        }
    }

    return S3_OP_NONE;
}


/* Fills r->allow with the methods that a resource has. */

static void
s3_route_allow(s3_route_t *r, unsigned int level, unsigned int sel)
{
    static const char *const names[] = {"GET", "HEAD", "PUT", "POST", "DELETE"};
    unsigned int m;
    size_t len;

    len = 0;

    for (m = 0; m < OPTIONS; m++) {
        if (s3_route_rule(level, sel, m) == S3_OP_NONE) {
            continue;
        }

        if (len != 0) {
            memcpy(r->allow_buf + len, ", ", 2);
            len += 2;
        }

        memcpy(r->allow_buf + len, names[m], strlen(names[m]));
        len += strlen(names[m]);
    }

    r->allow_buf[len] = '\0';
    r->allow = r->allow_buf;
}


static s3_err_t
s3_route_not_allowed(s3_route_t *r, const s3_route_in_t *in, unsigned int level,
                     unsigned int sel, s3_fault_t *f)
{
    s3_str_t type;

    if (sel == S3_SEL_UPLOAD_ID) {
        type = s3_string("UPLOAD");

    } else if (sel == S3_SEL_POLICY) {
        type = s3_string("BUCKETPOLICY");

    } else {
        type = level == S   ? s3_string("SERVICE")
               : level == B ? s3_string("BUCKET")
                            : s3_string("OBJECT");
    }

    s3_route_allow(r, level, sel);

    s3_fault(f, S3_ERR_METHOD_NOT_ALLOWED, NULL);
    s3_fault_add(f, "Method", in->method);
    s3_fault_add(f, "ResourceType", type);

    return S3_ERR_METHOD_NOT_ALLOWED;
}


/* The selector of a query; S3_SEL_MAX: two different ones. */

static unsigned int
s3_route_selector(const s3_uri_query_t *q, s3_fault_t *f)
{
    unsigned int sel, s;
    size_t i;

    sel = S3_SEL_NONE;

    for (i = 0; q != NULL && i < q->n; i++) {
        for (s = 1; s < S3_SEL_MAX; s++) {
            if (s3_str_eq(q->pair[i].name, s3_selectors[s])) {
                break;
            }
        }

        if (s == S3_SEL_MAX || s == sel) {
            continue;
        }

        if (sel != S3_SEL_NONE) {
            s3_faultf(f, S3_ERR_INVALID_ARGUMENT,
                      "Conflicting query string parameters: %.*s, %.*s",
                      (int) s3_selectors[sel].len, s3_selectors[sel].data,
                      (int) s3_selectors[s].len, s3_selectors[s].data);
            s3_fault_add(f, "ArgumentName", s3_string("ResourceType"));
            s3_fault_add(f, "ArgumentValue", s3_selectors[sel]);

            return S3_SEL_MAX;
        }

        sel = s;
    }

    return sel;
}


static int
s3_route_has(const s3_uri_query_t *q, s3_str_t name)
{
    return q != NULL && s3_uri_query_find(q, name) != NULL;
}


/* No rule for the method here: perhaps the selector belongs elsewhere. */

static s3_err_t
s3_route_misfit(s3_route_t *r, const s3_route_in_t *in, unsigned int level,
                unsigned int sel, unsigned int method, s3_fault_t *f)
{
    static const char *const names[] = {"GET", "HEAD", "PUT", "POST", "DELETE"};

    if (sel == S3_SEL_NONE || method >= OPTIONS) {
        return s3_route_not_allowed(r, in, level, S3_SEL_NONE, f);
    }

    if (level == B && s3_route_rule(O, sel, method) != S3_OP_NONE) {
        if (sel == S3_SEL_TORRENT) {
            return s3_fault(f, S3_ERR_REQUEST_TORRENT_OF_BUCKET_ERROR, NULL);
        }

        return s3_fault(f, S3_ERR_INVALID_REQUEST, "A key must be specified");
    }

    if (level == O && s3_route_rule(B, sel, method) != S3_OP_NONE) {
        if (sel == S3_SEL_LOGGING) {
            return s3_fault(f, S3_ERR_NO_LOGGING_STATUS_FOR_KEY, NULL);
        }

        if (sel == S3_SEL_VERSIONS) {
            return s3_fault(f, S3_ERR_INVALID_REQUEST,
                            "There is no such thing as the ?versions "
                            "sub-resource for a key");
        }

        return s3_faultf(f, S3_ERR_INVALID_REQUEST,
                         "Key is not expected for the %s method ?%.*s "
                         "subresource",
                         names[method], (int) s3_selectors[sel].len,
                         s3_selectors[sel].data);
    }

    return s3_route_not_allowed(r, in, level, sel, f);
}


/* Tells apart what a rule cannot. */

static s3_op_t
s3_route_refine(s3_op_t op, const s3_route_in_t *in)
{
    const s3_uri_query_t *q;
    const s3_uri_pair_t *p;

    q = in->query;

    switch (op) {

    case S3_OP_LIST_BUCKETS:
        return in->s3express ? S3_OP_LIST_DIRECTORY_BUCKETS : op;

    case S3_OP_LIST_OBJECTS:
        p = q ? s3_uri_query_find(q, s3_string("list-type")) : NULL;

        return p != NULL && s3_str_eq(p->value, s3_string("2"))
                   ? S3_OP_LIST_OBJECTS_V2
                   : op;

    case S3_OP_PUT_OBJECT:
        return in->copy_source.data != NULL ? S3_OP_COPY_OBJECT : op;

    case S3_OP_UPLOAD_PART:
        return in->copy_source.data != NULL ? S3_OP_UPLOAD_PART_COPY : op;

    case S3_OP_GET_BUCKET_ANALYTICS_CONFIGURATION:
        return s3_route_has(q, s3_string("id"))
                   ? op
                   : S3_OP_LIST_BUCKET_ANALYTICS_CONFIGURATIONS;

    case S3_OP_GET_BUCKET_INTELLIGENT_TIERING_CONFIGURATION:
        return s3_route_has(q, s3_string("id"))
                   ? op
                   : S3_OP_LIST_BUCKET_INTELLIGENT_TIERING_CONFIGURATIONS;

    case S3_OP_GET_BUCKET_INVENTORY_CONFIGURATION:
        return s3_route_has(q, s3_string("id"))
                   ? op
                   : S3_OP_LIST_BUCKET_INVENTORY_CONFIGURATIONS;

    case S3_OP_GET_BUCKET_METRICS_CONFIGURATION:
        return s3_route_has(q, s3_string("id"))
                   ? op
                   : S3_OP_LIST_BUCKET_METRICS_CONFIGURATIONS;

    case S3_OP_GET_OBJECT_ANNOTATION:
        return s3_route_has(q, s3_string("annotationName"))
                   ? op
                   : S3_OP_LIST_OBJECT_ANNOTATIONS;

    default:
        return op;
    }
}


/* Headers and parameters that an operation does not go with. */

static s3_err_t
s3_route_illegal(s3_route_t *r, const s3_route_in_t *in, s3_op_t op,
                 s3_fault_t *f)
{
    int part;

    part = s3_route_has(in->query, s3_string("partNumber"));

    if (in->copy_source.data != NULL && op != S3_OP_COPY_OBJECT
        && op != S3_OP_UPLOAD_PART_COPY)
    {
        return s3_fault_arg(f,
                            "You can only specify a copy source header for "
                            "copy requests.",
                            "x-amz-copy-source", in->copy_source);
    }

    if ((op == S3_OP_PUT_OBJECT || op == S3_OP_COPY_OBJECT) && part) {
        return s3_fault_arg(
            f,
            "This operation does not accept partNumber "
            "without uploadId",
            "partNumber",
            s3_uri_query_find(in->query, s3_string("partNumber"))->value);
    }

    if ((op == S3_OP_UPLOAD_PART || op == S3_OP_UPLOAD_PART_COPY) && !part) {
        return s3_route_not_allowed(r, in, O, S3_SEL_UPLOAD_ID, f);
    }

    return S3_ERR_NONE;
}


/* Bucket and key of the request, slices of path or host. */

static void
s3_route_names(s3_route_t *r, const s3_route_in_t *in)
{
    s3_str_t path;
    const uint8_t *slash;

    path = in->path;

    if (path.len != 0 && path.data[0] == '/') {
        path.data++;
        path.len--;
    }

    if (in->host_bucket.data != NULL) {
        r->bucket = in->host_bucket;
        r->key = path;
        return;
    }

    slash = path.len ? memchr(path.data, '/', path.len) : NULL;

    if (slash == NULL) {
        r->bucket = path;
        return;
    }

    r->bucket = s3_str(path.data, (size_t) (slash - path.data));
    r->key = s3_str(slash + 1, (size_t) (path.data + path.len - slash - 1));
}


s3_err_t
s3_route(s3_route_t *r, const s3_route_in_t *in, s3_fault_t *f)
{
    unsigned int level, method, sel;
    s3_op_t op;
    s3_err_t err;

    memset(r, 0, sizeof(*r));
    s3_route_names(r, in);

    method = s3_route_method(in->method);

    if (in->request_route && method == POST && in->host_bucket.data == NULL
        && s3_str_eq(in->path, s3_string("/WriteGetObjectResponse")))
    {
        r->bucket = s3_null_str;
        r->op = S3_OP_WRITE_GET_OBJECT_RESPONSE;
        return S3_ERR_NONE;
    }

    /* "//key" names no bucket, but is not the service either */

    level = r->key.len != 0 ? O : r->bucket.len != 0 ? B : S;

    if (level != S && !s3_bucket_name_valid(r->bucket)) {
        s3_fault(f, S3_ERR_INVALID_BUCKET_NAME, NULL);
        s3_fault_add(f, "BucketName", r->bucket);
        return S3_ERR_INVALID_BUCKET_NAME;
    }

    if (level == O) {
        err = s3_key_check(r->key, f);

        if (err != S3_ERR_NONE) {
            return err;
        }
    }

    if (method == OPTIONS) {
        r->op = S3_OP_PREFLIGHT;
        return S3_ERR_NONE;
    }

    sel = level == S ? S3_SEL_NONE : s3_route_selector(in->query, f);

    if (sel == S3_SEL_MAX) {
        return S3_ERR_INVALID_ARGUMENT;
    }

    op = s3_route_rule(level, sel, method);

    if (op == S3_OP_NONE) {
        return s3_route_misfit(r, in, level, sel, method, f);
    }

    op = s3_route_refine(op, in);
    err = s3_route_illegal(r, in, op, f);

    if (err == S3_ERR_NONE) {
        r->op = op;
    }

    return err;
}

#pragma GCC visibility pop
