#include "s3_xml_results.h"

#pragma GCC visibility push(hidden)

/*
 * What AWS answers to a configuration call on a bucket that never had that
 * configuration: for some a document (root and what is in it), for others an
 * error.
 *
 * Where AWS turns a feature on for every new bucket, and this store does not
 * have the feature, the honest answer is that there is none: encryption
 * (SSE-S3) is not claimed.  Access is with the bucket's owner alone, which is
 * what "BucketOwnerEnforced" and a full Block Public Access mean.
 */

typedef struct {
    uint8_t op;
    uint8_t err; /* S3_ERR_NONE: a document */
    const char *root;
    const char *body; /* NULL: an empty root */
    const char *message;
} s3_unset_t;

/* clang-format off */

static const s3_unset_t s3_unset[] = {
    {S3_OP_GET_BUCKET_VERSIONING, S3_ERR_NONE,
     "VersioningConfiguration", NULL, NULL},
    {S3_OP_GET_BUCKET_LOGGING, S3_ERR_NONE,
     "BucketLoggingStatus", NULL, NULL},
    {S3_OP_GET_BUCKET_NOTIFICATION_CONFIGURATION, S3_ERR_NONE,
     "NotificationConfiguration", NULL, NULL},
    {S3_OP_GET_BUCKET_ACCELERATE_CONFIGURATION, S3_ERR_NONE,
     "AccelerateConfiguration", NULL, NULL},
    {S3_OP_GET_BUCKET_REQUEST_PAYMENT, S3_ERR_NONE,
     "RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>", NULL},
    {S3_OP_GET_BUCKET_OWNERSHIP_CONTROLS, S3_ERR_NONE,
     "OwnershipControls",
     "<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>",
     NULL},
    {S3_OP_GET_PUBLIC_ACCESS_BLOCK, S3_ERR_NONE,
     "PublicAccessBlockConfiguration",
     "<BlockPublicAcls>true</BlockPublicAcls>"
     "<IgnorePublicAcls>true</IgnorePublicAcls>"
     "<BlockPublicPolicy>true</BlockPublicPolicy>"
     "<RestrictPublicBuckets>true</RestrictPublicBuckets>",
     NULL},
    {S3_OP_GET_BUCKET_POLICY_STATUS, S3_ERR_NONE,
     "PolicyStatus", "<IsPublic>false</IsPublic>", NULL},
    {S3_OP_LIST_BUCKET_ANALYTICS_CONFIGURATIONS, S3_ERR_NONE,
     "ListBucketAnalyticsConfigurationResult",
     "<IsTruncated>false</IsTruncated>", NULL},
    {S3_OP_LIST_BUCKET_INTELLIGENT_TIERING_CONFIGURATIONS, S3_ERR_NONE,
     "ListBucketIntelligentTieringConfigurationsOutput",
     "<IsTruncated>false</IsTruncated>", NULL},
    {S3_OP_LIST_BUCKET_INVENTORY_CONFIGURATIONS, S3_ERR_NONE,
     "ListInventoryConfigurationsResult",
     "<IsTruncated>false</IsTruncated>", NULL},
    {S3_OP_LIST_BUCKET_METRICS_CONFIGURATIONS, S3_ERR_NONE,
     "ListMetricsConfigurationsResult",
     "<IsTruncated>false</IsTruncated>", NULL},

    {S3_OP_GET_BUCKET_CORS, S3_ERR_NO_SUCH_CORS_CONFIGURATION,
     NULL, NULL, NULL},
    {S3_OP_GET_BUCKET_LIFECYCLE_CONFIGURATION,
     S3_ERR_NO_SUCH_LIFECYCLE_CONFIGURATION, NULL, NULL, NULL},
    {S3_OP_GET_BUCKET_POLICY, S3_ERR_NO_SUCH_BUCKET_POLICY,
     NULL, NULL, NULL},
    {S3_OP_GET_BUCKET_REPLICATION,
     S3_ERR_REPLICATION_CONFIGURATION_NOT_FOUND_ERROR, NULL, NULL, NULL},
    {S3_OP_GET_BUCKET_ENCRYPTION,
     S3_ERR_SERVER_SIDE_ENCRYPTION_CONFIGURATION_NOT_FOUND_ERROR,
     NULL, NULL, NULL},
    {S3_OP_GET_BUCKET_WEBSITE, S3_ERR_NO_SUCH_WEBSITE_CONFIGURATION,
     NULL, NULL, NULL},
    {S3_OP_GET_OBJECT_LOCK_CONFIGURATION,
     S3_ERR_OBJECT_LOCK_CONFIGURATION_NOT_FOUND_ERROR, NULL, NULL, NULL},
    {S3_OP_GET_BUCKET_ANALYTICS_CONFIGURATION,
     S3_ERR_NO_SUCH_CONFIGURATION, NULL, NULL, NULL},
    {S3_OP_GET_BUCKET_INTELLIGENT_TIERING_CONFIGURATION,
     S3_ERR_NO_SUCH_CONFIGURATION, NULL, NULL, NULL},
    {S3_OP_GET_BUCKET_INVENTORY_CONFIGURATION,
     S3_ERR_NO_SUCH_CONFIGURATION, NULL, NULL, NULL},
    {S3_OP_GET_BUCKET_METRICS_CONFIGURATION,
     S3_ERR_NO_SUCH_CONFIGURATION, NULL, NULL, NULL},
    {S3_OP_GET_OBJECT_LEGAL_HOLD, S3_ERR_INVALID_REQUEST,
     NULL, NULL, "Bucket is missing Object Lock Configuration"},
    {S3_OP_GET_OBJECT_RETENTION, S3_ERR_INVALID_REQUEST,
     NULL, NULL, "Bucket is missing Object Lock Configuration"},
};

/* clang-format on */


s3_err_t
s3_xml_unset(s3_xml_t *x, s3_op_t op, s3_str_t bucket, const s3_owner_t *owner,
             s3_fault_t *f)
{
    size_t i;
    const s3_unset_t *u;

    if (op == S3_OP_GET_BUCKET_ACL || op == S3_OP_GET_OBJECT_ACL) {
        s3_xml_acl(x, owner);
        return S3_ERR_NONE;
    }

    for (i = 0; i < sizeof(s3_unset) / sizeof(s3_unset[0]); i++) {
        u = &s3_unset[i];

        if (u->op != op) {
            continue;
        }

        if (u->err != S3_ERR_NONE) {
            s3_fault(f, (s3_err_t) u->err, u->message);

            if (u->err != S3_ERR_INVALID_REQUEST) {
                s3_fault_add(f, "BucketName", bucket);
            }

            return (s3_err_t) u->err;
        }

        s3_xml_root(x, u->root);
        s3_xml_lit(x, u->body != NULL ? u->body : "");
        s3_xml_close(x, u->root);

        return S3_ERR_NONE;
    }

    return s3_fault(f, S3_ERR_NOT_IMPLEMENTED, NULL);
}

#pragma GCC visibility pop
