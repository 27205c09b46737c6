/*
 * Every operation of the S3 API, and the way from a request to one of them.
 *
 * The table is that of the service model: 116 operations (four of them old
 * names of others, which no request reaches), and two that the model leaves
 * out: the form upload and the CORS preflight.  An operation without
 * S3_OPF_DONE is answered 501 NotImplemented.
 */

#ifndef S3_ROUTE_H
#define S3_ROUTE_H

#include "storage/s3_core.h"
#include "s3_error.h"
#include "s3_uri.h"

#pragma GCC visibility push(hidden)

#define S3_OPF_DONE 0x01    /* this store does it */
#define S3_OPF_SERVICE 0x02 /* on no bucket */
#define S3_OPF_BUCKET 0x04  /* on a bucket */
#define S3_OPF_OBJECT 0x08  /* on a key */
#define S3_OPF_WRITE 0x10   /* changes something */
#define S3_OPF_RAW 0x20     /* the body is an object's or a part's data */
#define S3_OPF_XML 0x40     /* the body is a document, at most max_body */
#define S3_OPF_CKSUM 0x80   /* Content-MD5 or x-amz-checksum-* required */
#define S3_OPF_DIR 0x100    /* directory buckets have it, too */

/* clang-format off */

/* X(name, AWS name, flags, largest body in bytes, where it is XML) */

#define S3_OP_TABLE(X)                                                        \
    X(ABORT_MULTIPART_UPLOAD, "AbortMultipartUpload",                         \
      S3_OPF_DONE | S3_OPF_OBJECT | S3_OPF_WRITE | S3_OPF_DIR, 0)             \
    X(COMPLETE_MULTIPART_UPLOAD, "CompleteMultipartUpload",                   \
      S3_OPF_DONE | S3_OPF_XML | S3_OPF_OBJECT | S3_OPF_WRITE                 \
      | S3_OPF_DIR, 8388608)                                                  \
    X(COPY_OBJECT, "CopyObject",                                              \
      S3_OPF_DONE | S3_OPF_OBJECT | S3_OPF_WRITE | S3_OPF_DIR, 0)             \
    X(CREATE_BUCKET, "CreateBucket",                                          \
      S3_OPF_DONE | S3_OPF_XML | S3_OPF_BUCKET | S3_OPF_WRITE                 \
      | S3_OPF_DIR, 524288)                                                   \
    X(CREATE_BUCKET_METADATA_CONFIGURATION,                                   \
      "CreateBucketMetadataConfiguration",                                    \
      S3_OPF_CKSUM | S3_OPF_BUCKET | S3_OPF_WRITE, 0)                         \
    X(CREATE_BUCKET_METADATA_TABLE_CONFIGURATION,                             \
      "CreateBucketMetadataTableConfiguration",                               \
      S3_OPF_CKSUM | S3_OPF_BUCKET | S3_OPF_WRITE, 0)                         \
    X(CREATE_MULTIPART_UPLOAD, "CreateMultipartUpload",                       \
      S3_OPF_DONE | S3_OPF_OBJECT | S3_OPF_WRITE | S3_OPF_DIR, 0)             \
    X(CREATE_SESSION, "CreateSession",                                        \
      S3_OPF_BUCKET | S3_OPF_DIR, 0)                                          \
    X(DELETE_BUCKET, "DeleteBucket",                                          \
      S3_OPF_DONE | S3_OPF_BUCKET | S3_OPF_WRITE | S3_OPF_DIR, 0)             \
    X(DELETE_BUCKET_ANALYTICS_CONFIGURATION,                                  \
      "DeleteBucketAnalyticsConfiguration",                                   \
      S3_OPF_BUCKET | S3_OPF_WRITE, 0)                                        \
    X(DELETE_BUCKET_CORS, "DeleteBucketCors",                                 \
      S3_OPF_BUCKET | S3_OPF_WRITE, 0)                                        \
    X(DELETE_BUCKET_ENCRYPTION, "DeleteBucketEncryption",                     \
      S3_OPF_BUCKET | S3_OPF_WRITE | S3_OPF_DIR, 0)                           \
    X(DELETE_BUCKET_INTELLIGENT_TIERING_CONFIGURATION,                        \
      "DeleteBucketIntelligentTieringConfiguration",                          \
      S3_OPF_BUCKET | S3_OPF_WRITE, 0)                                        \
    X(DELETE_BUCKET_INVENTORY_CONFIGURATION,                                  \
      "DeleteBucketInventoryConfiguration",                                   \
      S3_OPF_BUCKET | S3_OPF_WRITE | S3_OPF_DIR, 0)                           \
    X(DELETE_BUCKET_LIFECYCLE, "DeleteBucketLifecycle",                       \
      S3_OPF_BUCKET | S3_OPF_WRITE | S3_OPF_DIR, 0)                           \
    X(DELETE_BUCKET_METADATA_CONFIGURATION,                                   \
      "DeleteBucketMetadataConfiguration",                                    \
      S3_OPF_BUCKET | S3_OPF_WRITE, 0)                                        \
    X(DELETE_BUCKET_METADATA_TABLE_CONFIGURATION,                             \
      "DeleteBucketMetadataTableConfiguration",                               \
      S3_OPF_BUCKET | S3_OPF_WRITE, 0)                                        \
    X(DELETE_BUCKET_METRICS_CONFIGURATION,                                    \
      "DeleteBucketMetricsConfiguration",                                     \
      S3_OPF_BUCKET | S3_OPF_WRITE | S3_OPF_DIR, 0)                           \
    X(DELETE_BUCKET_OWNERSHIP_CONTROLS, "DeleteBucketOwnershipControls",      \
      S3_OPF_BUCKET | S3_OPF_WRITE, 0)                                        \
    X(DELETE_BUCKET_POLICY, "DeleteBucketPolicy",                             \
      S3_OPF_BUCKET | S3_OPF_WRITE | S3_OPF_DIR, 0)                           \
    X(DELETE_BUCKET_REPLICATION, "DeleteBucketReplication",                   \
      S3_OPF_BUCKET | S3_OPF_WRITE, 0)                                        \
    X(DELETE_BUCKET_TAGGING, "DeleteBucketTagging",                           \
      S3_OPF_DONE | S3_OPF_BUCKET | S3_OPF_WRITE, 0)                          \
    X(DELETE_BUCKET_WEBSITE, "DeleteBucketWebsite",                           \
      S3_OPF_BUCKET | S3_OPF_WRITE, 0)                                        \
    X(DELETE_OBJECT, "DeleteObject",                                          \
      S3_OPF_DONE | S3_OPF_OBJECT | S3_OPF_WRITE | S3_OPF_DIR, 0)             \
    X(DELETE_OBJECT_ANNOTATION, "DeleteObjectAnnotation",                     \
      S3_OPF_OBJECT | S3_OPF_WRITE, 0)                                        \
    X(DELETE_OBJECT_TAGGING, "DeleteObjectTagging",                           \
      S3_OPF_DONE | S3_OPF_OBJECT | S3_OPF_WRITE, 0)                          \
    X(DELETE_OBJECTS, "DeleteObjects",                                        \
      S3_OPF_DONE | S3_OPF_XML | S3_OPF_CKSUM | S3_OPF_BUCKET                 \
      | S3_OPF_WRITE | S3_OPF_DIR, 8388608)                                   \
    X(DELETE_PUBLIC_ACCESS_BLOCK, "DeletePublicAccessBlock",                  \
      S3_OPF_BUCKET | S3_OPF_WRITE, 0)                                        \
    X(GET_BUCKET_ABAC, "GetBucketAbac",                                       \
      S3_OPF_BUCKET, 0)                                                       \
    X(GET_BUCKET_ACCELERATE_CONFIGURATION,                                    \
      "GetBucketAccelerateConfiguration",                                     \
      S3_OPF_DONE | S3_OPF_BUCKET, 0)                                         \
    X(GET_BUCKET_ACL, "GetBucketAcl",                                         \
      S3_OPF_DONE | S3_OPF_BUCKET, 0)                                         \
    X(GET_BUCKET_ANALYTICS_CONFIGURATION, "GetBucketAnalyticsConfiguration",  \
      S3_OPF_DONE | S3_OPF_BUCKET, 0)                                         \
    X(GET_BUCKET_CORS, "GetBucketCors",                                       \
      S3_OPF_DONE | S3_OPF_BUCKET, 0)                                         \
    X(GET_BUCKET_ENCRYPTION, "GetBucketEncryption",                           \
      S3_OPF_DONE | S3_OPF_BUCKET | S3_OPF_DIR, 0)                            \
    X(GET_BUCKET_INTELLIGENT_TIERING_CONFIGURATION,                           \
      "GetBucketIntelligentTieringConfiguration",                             \
      S3_OPF_DONE | S3_OPF_BUCKET, 0)                                         \
    X(GET_BUCKET_INVENTORY_CONFIGURATION, "GetBucketInventoryConfiguration",  \
      S3_OPF_DONE | S3_OPF_BUCKET | S3_OPF_DIR, 0)                            \
    X(GET_BUCKET_LIFECYCLE, "GetBucketLifecycle",                             \
      S3_OPF_BUCKET, 0)                                                       \
    X(GET_BUCKET_LIFECYCLE_CONFIGURATION, "GetBucketLifecycleConfiguration",  \
      S3_OPF_DONE | S3_OPF_BUCKET | S3_OPF_DIR, 0)                            \
    X(GET_BUCKET_LOCATION, "GetBucketLocation",                               \
      S3_OPF_DONE | S3_OPF_BUCKET, 0)                                         \
    X(GET_BUCKET_LOGGING, "GetBucketLogging",                                 \
      S3_OPF_DONE | S3_OPF_BUCKET, 0)                                         \
    X(GET_BUCKET_METADATA_CONFIGURATION, "GetBucketMetadataConfiguration",    \
      S3_OPF_BUCKET, 0)                                                       \
    X(GET_BUCKET_METADATA_TABLE_CONFIGURATION,                                \
      "GetBucketMetadataTableConfiguration",                                  \
      S3_OPF_BUCKET, 0)                                                       \
    X(GET_BUCKET_METRICS_CONFIGURATION, "GetBucketMetricsConfiguration",      \
      S3_OPF_DONE | S3_OPF_BUCKET | S3_OPF_DIR, 0)                            \
    X(GET_BUCKET_NOTIFICATION, "GetBucketNotification",                       \
      S3_OPF_BUCKET, 0)                                                       \
    X(GET_BUCKET_NOTIFICATION_CONFIGURATION,                                  \
      "GetBucketNotificationConfiguration",                                   \
      S3_OPF_DONE | S3_OPF_BUCKET, 0)                                         \
    X(GET_BUCKET_OWNERSHIP_CONTROLS, "GetBucketOwnershipControls",            \
      S3_OPF_DONE | S3_OPF_BUCKET, 0)                                         \
    X(GET_BUCKET_POLICY, "GetBucketPolicy",                                   \
      S3_OPF_DONE | S3_OPF_BUCKET | S3_OPF_DIR, 0)                            \
    X(GET_BUCKET_POLICY_STATUS, "GetBucketPolicyStatus",                      \
      S3_OPF_DONE | S3_OPF_BUCKET, 0)                                         \
    X(GET_BUCKET_REPLICATION, "GetBucketReplication",                         \
      S3_OPF_DONE | S3_OPF_BUCKET, 0)                                         \
    X(GET_BUCKET_REQUEST_PAYMENT, "GetBucketRequestPayment",                  \
      S3_OPF_DONE | S3_OPF_BUCKET, 0)                                         \
    X(GET_BUCKET_TAGGING, "GetBucketTagging",                                 \
      S3_OPF_DONE | S3_OPF_BUCKET, 0)                                         \
    X(GET_BUCKET_VERSIONING, "GetBucketVersioning",                           \
      S3_OPF_DONE | S3_OPF_BUCKET, 0)                                         \
    X(GET_BUCKET_WEBSITE, "GetBucketWebsite",                                 \
      S3_OPF_DONE | S3_OPF_BUCKET, 0)                                         \
    X(GET_OBJECT, "GetObject",                                                \
      S3_OPF_DONE | S3_OPF_OBJECT | S3_OPF_DIR, 0)                            \
    X(GET_OBJECT_ACL, "GetObjectAcl",                                         \
      S3_OPF_DONE | S3_OPF_OBJECT, 0)                                         \
    X(GET_OBJECT_ANNOTATION, "GetObjectAnnotation",                           \
      S3_OPF_OBJECT, 0)                                                       \
    X(GET_OBJECT_ATTRIBUTES, "GetObjectAttributes",                           \
      S3_OPF_DONE | S3_OPF_OBJECT | S3_OPF_DIR, 0)                            \
    X(GET_OBJECT_LEGAL_HOLD, "GetObjectLegalHold",                            \
      S3_OPF_DONE | S3_OPF_OBJECT, 0)                                         \
    X(GET_OBJECT_LOCK_CONFIGURATION, "GetObjectLockConfiguration",            \
      S3_OPF_DONE | S3_OPF_BUCKET, 0)                                         \
    X(GET_OBJECT_RETENTION, "GetObjectRetention",                             \
      S3_OPF_DONE | S3_OPF_OBJECT, 0)                                         \
    X(GET_OBJECT_TAGGING, "GetObjectTagging",                                 \
      S3_OPF_DONE | S3_OPF_OBJECT, 0)                                         \
    X(GET_OBJECT_TORRENT, "GetObjectTorrent",                                 \
      S3_OPF_OBJECT, 0)                                                       \
    X(GET_PUBLIC_ACCESS_BLOCK, "GetPublicAccessBlock",                        \
      S3_OPF_DONE | S3_OPF_BUCKET, 0)                                         \
    X(HEAD_BUCKET, "HeadBucket",                                              \
      S3_OPF_DONE | S3_OPF_BUCKET | S3_OPF_DIR, 0)                            \
    X(HEAD_OBJECT, "HeadObject",                                              \
      S3_OPF_DONE | S3_OPF_OBJECT | S3_OPF_DIR, 0)                            \
    X(LIST_BUCKET_ANALYTICS_CONFIGURATIONS,                                   \
      "ListBucketAnalyticsConfigurations",                                    \
      S3_OPF_DONE | S3_OPF_BUCKET, 0)                                         \
    X(LIST_BUCKET_INTELLIGENT_TIERING_CONFIGURATIONS,                         \
      "ListBucketIntelligentTieringConfigurations",                           \
      S3_OPF_DONE | S3_OPF_BUCKET, 0)                                         \
    X(LIST_BUCKET_INVENTORY_CONFIGURATIONS,                                   \
      "ListBucketInventoryConfigurations",                                    \
      S3_OPF_DONE | S3_OPF_BUCKET | S3_OPF_DIR, 0)                            \
    X(LIST_BUCKET_METRICS_CONFIGURATIONS, "ListBucketMetricsConfigurations",  \
      S3_OPF_DONE | S3_OPF_BUCKET | S3_OPF_DIR, 0)                            \
    X(LIST_BUCKETS, "ListBuckets",                                            \
      S3_OPF_DONE | S3_OPF_SERVICE, 0)                                        \
    X(LIST_DIRECTORY_BUCKETS, "ListDirectoryBuckets",                         \
      S3_OPF_SERVICE | S3_OPF_DIR, 0)                                         \
    X(LIST_MULTIPART_UPLOADS, "ListMultipartUploads",                         \
      S3_OPF_DONE | S3_OPF_BUCKET | S3_OPF_DIR, 0)                            \
    X(LIST_OBJECT_ANNOTATIONS, "ListObjectAnnotations",                       \
      S3_OPF_OBJECT, 0)                                                       \
    X(LIST_OBJECT_VERSIONS, "ListObjectVersions",                             \
      S3_OPF_DONE | S3_OPF_BUCKET, 0)                                         \
    X(LIST_OBJECTS, "ListObjects",                                            \
      S3_OPF_DONE | S3_OPF_BUCKET, 0)                                         \
    X(LIST_OBJECTS_V2, "ListObjectsV2",                                       \
      S3_OPF_DONE | S3_OPF_BUCKET | S3_OPF_DIR, 0)                            \
    X(LIST_PARTS, "ListParts",                                                \
      S3_OPF_DONE | S3_OPF_OBJECT | S3_OPF_DIR, 0)                            \
    X(PUT_BUCKET_ABAC, "PutBucketAbac",                                       \
      S3_OPF_BUCKET | S3_OPF_WRITE, 0)                                        \
    X(PUT_BUCKET_ACCELERATE_CONFIGURATION,                                    \
      "PutBucketAccelerateConfiguration",                                     \
      S3_OPF_BUCKET | S3_OPF_WRITE, 0)                                        \
    X(PUT_BUCKET_ACL, "PutBucketAcl",                                         \
      S3_OPF_CKSUM | S3_OPF_BUCKET | S3_OPF_WRITE, 0)                         \
    X(PUT_BUCKET_ANALYTICS_CONFIGURATION, "PutBucketAnalyticsConfiguration",  \
      S3_OPF_BUCKET | S3_OPF_WRITE, 0)                                        \
    X(PUT_BUCKET_CORS, "PutBucketCors",                                       \
      S3_OPF_CKSUM | S3_OPF_BUCKET | S3_OPF_WRITE, 0)                         \
    X(PUT_BUCKET_ENCRYPTION, "PutBucketEncryption",                           \
      S3_OPF_CKSUM | S3_OPF_BUCKET | S3_OPF_WRITE | S3_OPF_DIR, 0)            \
    X(PUT_BUCKET_INTELLIGENT_TIERING_CONFIGURATION,                           \
      "PutBucketIntelligentTieringConfiguration",                             \
      S3_OPF_BUCKET | S3_OPF_WRITE, 0)                                        \
    X(PUT_BUCKET_INVENTORY_CONFIGURATION, "PutBucketInventoryConfiguration",  \
      S3_OPF_BUCKET | S3_OPF_WRITE | S3_OPF_DIR, 0)                           \
    X(PUT_BUCKET_LIFECYCLE, "PutBucketLifecycle",                             \
      S3_OPF_CKSUM | S3_OPF_BUCKET | S3_OPF_WRITE, 0)                         \
    X(PUT_BUCKET_LIFECYCLE_CONFIGURATION, "PutBucketLifecycleConfiguration",  \
      S3_OPF_CKSUM | S3_OPF_BUCKET | S3_OPF_WRITE | S3_OPF_DIR, 0)            \
    X(PUT_BUCKET_LOGGING, "PutBucketLogging",                                 \
      S3_OPF_CKSUM | S3_OPF_BUCKET | S3_OPF_WRITE, 0)                         \
    X(PUT_BUCKET_METRICS_CONFIGURATION, "PutBucketMetricsConfiguration",      \
      S3_OPF_BUCKET | S3_OPF_WRITE | S3_OPF_DIR, 0)                           \
    X(PUT_BUCKET_NOTIFICATION, "PutBucketNotification",                       \
      S3_OPF_CKSUM | S3_OPF_BUCKET | S3_OPF_WRITE, 0)                         \
    X(PUT_BUCKET_NOTIFICATION_CONFIGURATION,                                  \
      "PutBucketNotificationConfiguration",                                   \
      S3_OPF_BUCKET | S3_OPF_WRITE, 0)                                        \
    X(PUT_BUCKET_OWNERSHIP_CONTROLS, "PutBucketOwnershipControls",            \
      S3_OPF_CKSUM | S3_OPF_BUCKET | S3_OPF_WRITE, 0)                         \
    X(PUT_BUCKET_POLICY, "PutBucketPolicy",                                   \
      S3_OPF_CKSUM | S3_OPF_BUCKET | S3_OPF_WRITE | S3_OPF_DIR, 0)            \
    X(PUT_BUCKET_REPLICATION, "PutBucketReplication",                         \
      S3_OPF_CKSUM | S3_OPF_BUCKET | S3_OPF_WRITE, 0)                         \
    X(PUT_BUCKET_REQUEST_PAYMENT, "PutBucketRequestPayment",                  \
      S3_OPF_CKSUM | S3_OPF_BUCKET | S3_OPF_WRITE, 0)                         \
    X(PUT_BUCKET_TAGGING, "PutBucketTagging",                                 \
      S3_OPF_DONE | S3_OPF_XML | S3_OPF_CKSUM | S3_OPF_BUCKET                 \
      | S3_OPF_WRITE, 524288)                                                 \
    X(PUT_BUCKET_VERSIONING, "PutBucketVersioning",                           \
      S3_OPF_CKSUM | S3_OPF_BUCKET | S3_OPF_WRITE, 0)                         \
    X(PUT_BUCKET_WEBSITE, "PutBucketWebsite",                                 \
      S3_OPF_CKSUM | S3_OPF_BUCKET | S3_OPF_WRITE, 0)                         \
    X(PUT_OBJECT, "PutObject",                                                \
      S3_OPF_DONE | S3_OPF_RAW | S3_OPF_OBJECT | S3_OPF_WRITE                 \
      | S3_OPF_DIR, 0)                                                        \
    X(PUT_OBJECT_ACL, "PutObjectAcl",                                         \
      S3_OPF_CKSUM | S3_OPF_OBJECT | S3_OPF_WRITE, 0)                         \
    X(PUT_OBJECT_ANNOTATION, "PutObjectAnnotation",                           \
      S3_OPF_OBJECT | S3_OPF_WRITE, 0)                                        \
    X(PUT_OBJECT_LEGAL_HOLD, "PutObjectLegalHold",                            \
      S3_OPF_CKSUM | S3_OPF_OBJECT | S3_OPF_WRITE, 0)                         \
    X(PUT_OBJECT_LOCK_CONFIGURATION, "PutObjectLockConfiguration",            \
      S3_OPF_CKSUM | S3_OPF_BUCKET | S3_OPF_WRITE, 0)                         \
    X(PUT_OBJECT_RETENTION, "PutObjectRetention",                             \
      S3_OPF_CKSUM | S3_OPF_OBJECT | S3_OPF_WRITE, 0)                         \
    X(PUT_OBJECT_TAGGING, "PutObjectTagging",                                 \
      S3_OPF_DONE | S3_OPF_XML | S3_OPF_CKSUM | S3_OPF_OBJECT                 \
      | S3_OPF_WRITE, 131072)                                                 \
    X(PUT_PUBLIC_ACCESS_BLOCK, "PutPublicAccessBlock",                        \
      S3_OPF_CKSUM | S3_OPF_BUCKET | S3_OPF_WRITE, 0)                         \
    X(RENAME_OBJECT, "RenameObject",                                          \
      S3_OPF_OBJECT | S3_OPF_WRITE | S3_OPF_DIR, 0)                           \
    X(RESTORE_OBJECT, "RestoreObject",                                        \
      S3_OPF_OBJECT | S3_OPF_WRITE, 0)                                        \
    X(SELECT_OBJECT_CONTENT, "SelectObjectContent",                           \
      S3_OPF_OBJECT, 0)                                                       \
    X(UPDATE_BUCKET_METADATA_ANNOTATION_TABLE_CONFIGURATION,                  \
      "UpdateBucketMetadataAnnotationTableConfiguration",                     \
      S3_OPF_CKSUM | S3_OPF_BUCKET | S3_OPF_WRITE, 0)                         \
    X(UPDATE_BUCKET_METADATA_INVENTORY_TABLE_CONFIGURATION,                   \
      "UpdateBucketMetadataInventoryTableConfiguration",                      \
      S3_OPF_CKSUM | S3_OPF_BUCKET | S3_OPF_WRITE, 0)                         \
    X(UPDATE_BUCKET_METADATA_JOURNAL_TABLE_CONFIGURATION,                     \
      "UpdateBucketMetadataJournalTableConfiguration",                        \
      S3_OPF_CKSUM | S3_OPF_BUCKET | S3_OPF_WRITE, 0)                         \
    X(UPDATE_OBJECT_ENCRYPTION, "UpdateObjectEncryption",                     \
      S3_OPF_CKSUM | S3_OPF_OBJECT | S3_OPF_WRITE, 0)                         \
    X(UPLOAD_PART, "UploadPart",                                              \
      S3_OPF_DONE | S3_OPF_RAW | S3_OPF_OBJECT | S3_OPF_WRITE                 \
      | S3_OPF_DIR, 0)                                                        \
    X(UPLOAD_PART_COPY, "UploadPartCopy",                                     \
      S3_OPF_DONE | S3_OPF_OBJECT | S3_OPF_WRITE | S3_OPF_DIR, 0)             \
    X(WRITE_GET_OBJECT_RESPONSE, "WriteGetObjectResponse",                    \
      S3_OPF_SERVICE | S3_OPF_WRITE, 0)                                       \
    X(POST_OBJECT, "PostObject",                                              \
      S3_OPF_BUCKET | S3_OPF_WRITE, 0)                                        \
    X(PREFLIGHT, "Preflight",                                                 \
      S3_OPF_BUCKET, 0)

/* clang-format on */

typedef enum {
    S3_OP_NONE = 0,
#define S3_OP_ENUM(name, aws, flags, max) S3_OP_##name,
    S3_OP_TABLE(S3_OP_ENUM)
#undef S3_OP_ENUM
        S3_OP_MAX
} s3_op_t;

typedef struct {
    const char *name; /* as AWS spells it: logs, policies */
    unsigned int flags;
    uint32_t max_body;
} s3_op_info_t;

/* Never NULL; S3_OP_NONE and strangers: "", 0, 0. */

const s3_op_info_t *s3_op_info(s3_op_t op);


/*
 * The bucket of a Host header.
 *
 *     Host: photos.s3.example.com:9000      domains: s3.example.com
 *           \____/ \____________/
 *           bucket  domain, any case, the longest that fits
 *
 * S3_OK: virtual-host style, *bucket is a slice of host (not validated).
 * S3_ENOENT: path style: the host is a domain itself, an address, or nothing
 * that we know.
 */

int s3_host_bucket(s3_str_t host, const s3_str_t *domains, size_t n,
                   s3_str_t *bucket);

/*
 * The naming rules of general purpose buckets that hold for every request:
 * 3 to 63 of a-z 0-9 . -, a letter or digit at both ends, no "..", not like
 * an IPv4 address.  Non-zero: valid.
 */

int s3_bucket_name_valid(s3_str_t name);

/*
 * Prefixes and suffixes that nobody may create: xn--, sthree-, amzn-s3-demo-,
 * -s3alias, --ol-s3, .mrap, --x-s3, --table-s3.  Non-zero: reserved.
 */

int s3_bucket_name_reserved(s3_str_t name);

/*
 * A key: 1 to 1024 bytes of UTF-8 whose ".." segments don't climb above the
 * bucket.  S3_ERR_KEY_TOO_LONG_ERROR (Size, MaxSizeAllowed) or
 * S3_ERR_INVALID_URI.
 */

#define S3_KEY_MAX 1024

s3_err_t s3_key_check(s3_str_t key, s3_fault_t *f);


typedef struct {
    s3_str_t method;
    s3_str_t host_bucket;           /* data NULL: path style */
    s3_str_t path;                  /* decoded, begins with "/" */
    const s3_uri_query_t *query;    /* decoded; may be NULL */
    s3_str_t copy_source;           /* x-amz-copy-source; data NULL: none */
    unsigned int request_route : 1; /* x-amz-request-route is there */
    unsigned int s3express : 1;     /* scope of the s3express service */
} s3_route_in_t;

typedef struct {
    s3_op_t op;
    s3_str_t bucket; /* slices of path or host_bucket; may be empty */
    s3_str_t key;
    const char *allow; /* on MethodNotAllowed: value of the Allow header */
    char allow_buf[48];
} s3_route_t;

/*
 * S3_ERR_NONE with op, bucket and key, all checked; or the error that AWS
 * answers, op then being S3_OP_NONE, bucket and key still set as far as
 * they are known (for the log).  Implemented or not is not asked here.
 *
 * "/bucket" is "/bucket/"; a selector counts with and without "=";
 * parameters that select nothing, x-id among them, are ignored.
 */

s3_err_t s3_route(s3_route_t *r, const s3_route_in_t *in, s3_fault_t *f);

/*
 * x-amz-copy-source: "[/]bucket/key[?versionId=id]", percent-encoded.  The
 * decoded bytes go to buf (header.len bytes).  Bad forms are
 * S3_ERR_INVALID_ARGUMENT naming the header; names and key are checked.
 */

typedef struct {
    s3_str_t bucket;
    s3_str_t key;
    s3_str_t version_id; /* data NULL: none */
} s3_copy_source_t;

s3_err_t s3_copy_source_parse(s3_copy_source_t *cs, s3_str_t header,
                              uint8_t *buf, s3_fault_t *f);

#pragma GCC visibility pop

#endif /* S3_ROUTE_H */
