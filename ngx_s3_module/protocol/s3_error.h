/*
 * The error codes of S3 as one table: code, HTTP status, default message.
 *
 * The enum is made from the code by a mechanical rule: XML code
 * "NoSuchCORSConfiguration" is S3_ERR_NO_SUCH_CORS_CONFIGURATION,
 * "KMS.DisabledException" is S3_ERR_KMS_DISABLED_EXCEPTION.  Every parser of
 * this room that judges a client's request returns an s3_err_t, so that the
 * choice of the error is made where the fault is seen.
 *
 * Sources: the error list of the Amazon S3 API Reference, the errors of the
 * service model, and those that AWS answers without listing them.  The texts
 * are the short ones that AWS sends, where they are known: some clients and
 * suites compare them.
 */

#ifndef S3_ERROR_H
#define S3_ERROR_H

#include "storage/s3_core.h"

#pragma GCC visibility push(hidden)

/* clang-format off */

/* X(name, status, code, message) */

#define S3_ERROR_TABLE(X)                                                     \
    X(ACCESS_CONTROL_LIST_NOT_SUPPORTED, 400,                                 \
      "AccessControlListNotSupported",                                        \
      "The bucket does not allow ACLs.")                                      \
    X(ACCESS_DENIED, 403,                                                     \
      "AccessDenied",                                                         \
      "Access Denied.")                                                       \
    X(ACCESS_POINT_ALREADY_OWNED_BY_YOU, 409,                                 \
      "AccessPointAlreadyOwnedByYou",                                         \
      "An access point with an identical name already exists in your "        \
      "account.")                                                             \
    X(ACCOUNT_PROBLEM, 403,                                                   \
      "AccountProblem",                                                       \
      "There is a problem with your AWS account that prevents the "           \
      "operation from completing successfully.")                              \
    X(ALL_ACCESS_DISABLED, 403,                                               \
      "AllAccessDisabled",                                                    \
      "All access to this Amazon S3 resource has been disabled. "             \
      "Contact AWS Support for further assistance.")                          \
    X(AMBIGUOUS_GRANT_BY_EMAIL_ADDRESS, 400,                                  \
      "AmbiguousGrantByEmailAddress",                                         \
      "The email address you provided is associated with more than one "      \
      "account.")                                                             \
    X(AUTHORIZATION_HEADER_MALFORMED, 400,                                    \
      "AuthorizationHeaderMalformed",                                         \
      "The authorization header is malformed.")                               \
    X(AUTHORIZATION_QUERY_PARAMETERS_ERROR, 400,                              \
      "AuthorizationQueryParametersError",                                    \
      "The authorization query parameters that you provided are not "         \
      "valid.")                                                               \
    X(BAD_DIGEST, 400,                                                        \
      "BadDigest",                                                            \
      "The Content-MD5 you specified did not match what we received.")        \
    X(BUCKET_ALREADY_EXISTS, 409,                                             \
      "BucketAlreadyExists",                                                  \
      "The requested bucket name is not available. The bucket "               \
      "namespace is shared by all users of the system. Please select a "      \
      "different name and try again.")                                        \
    X(BUCKET_ALREADY_OWNED_BY_YOU, 409,                                       \
      "BucketAlreadyOwnedByYou",                                              \
      "Your previous request to create the named bucket succeeded and "       \
      "you already own it.")                                                  \
    X(BUCKET_HAS_ACCESS_POINTS_ATTACHED, 400,                                 \
      "BucketHasAccessPointsAttached",                                        \
      "The bucket you tried to delete has access points attached.")           \
    X(BUCKET_NOT_EMPTY, 409,                                                  \
      "BucketNotEmpty",                                                       \
      "The bucket you tried to delete is not empty.")                         \
    X(CLIENT_TOKEN_CONFLICT, 409,                                             \
      "ClientTokenConflict",                                                  \
      "Your Multi-Region Access Point idempotency token was already "         \
      "used for a different request.")                                        \
    X(CONDITIONAL_REQUEST_CONFLICT, 409,                                      \
      "ConditionalRequestConflict",                                           \
      "The conditional request cannot succeed due to a conflicting "          \
      "operation against this resource.")                                     \
    X(CONNECTION_CLOSED_BY_REQUESTER, 400,                                    \
      "ConnectionClosedByRequester",                                          \
      "The connection was closed while the body was read.")                   \
    X(CREDENTIALS_NOT_SUPPORTED, 400,                                         \
      "CredentialsNotSupported",                                              \
      "This request does not support credentials.")                           \
    X(CROSS_LOCATION_LOGGING_PROHIBITED, 403,                                 \
      "CrossLocationLoggingProhibited",                                       \
      "Cross-location logging not allowed.")                                  \
    X(DEVICE_NOT_ACTIVE_ERROR, 400,                                           \
      "DeviceNotActiveError",                                                 \
      "The device is not currently active.")                                  \
    X(ENDPOINT_NOT_FOUND, 400,                                                \
      "EndpointNotFound",                                                     \
      "Direct requests to the correct endpoint.")                             \
    X(ENTITY_TOO_LARGE, 400,                                                  \
      "EntityTooLarge",                                                       \
      "Your proposed upload exceeds the maximum allowed object size.")        \
    X(ENTITY_TOO_SMALL, 400,                                                  \
      "EntityTooSmall",                                                       \
      "Your proposed upload is smaller than the minimum allowed size")        \
    X(EXPIRED_TOKEN, 400,                                                     \
      "ExpiredToken",                                                         \
      "The provided token has expired.")                                      \
    X(ILLEGAL_LOCATION_CONSTRAINT_EXCEPTION, 400,                             \
      "IllegalLocationConstraintException",                                   \
      "The unspecified location constraint is incompatible for the "          \
      "region specific endpoint this request was sent to.")                   \
    X(ILLEGAL_VERSIONING_CONFIGURATION_EXCEPTION, 400,                        \
      "IllegalVersioningConfigurationException",                              \
      "The versioning configuration specified in the request is "             \
      "invalid.")                                                             \
    X(INCOMPLETE_BODY, 400,                                                   \
      "IncompleteBody",                                                       \
      "You did not provide the number of bytes specified by the "             \
      "Content-Length HTTP header")                                           \
    X(INCORRECT_ENDPOINT, 400,                                                \
      "IncorrectEndpoint",                                                    \
      "The specified bucket exists in another Region. Direct requests "       \
      "to the correct endpoint.")                                             \
    X(INCORRECT_NUMBER_OF_FILES_IN_POST_REQUEST, 400,                         \
      "IncorrectNumberOfFilesInPostRequest",                                  \
      "POST requires exactly one file upload per request.")                   \
    X(INLINE_DATA_TOO_LARGE, 400,                                             \
      "InlineDataTooLarge",                                                   \
      "Inline data exceeds the maximum allowed size.")                        \
    X(INTERNAL_ERROR, 500,                                                    \
      "InternalError",                                                        \
      "We encountered an internal error. Please try again.")                  \
    X(INVALID_ACCESS_KEY_ID, 403,                                             \
      "InvalidAccessKeyId",                                                   \
      "The AWS Access Key Id you provided does not exist in our "             \
      "records.")                                                             \
    X(INVALID_ACCESS_POINT, 400,                                              \
      "InvalidAccessPoint",                                                   \
      "The specified access point name or account is not valid.")             \
    X(INVALID_ACCESS_POINT_ALIAS_ERROR, 400,                                  \
      "InvalidAccessPointAliasError",                                         \
      "The specified access point alias name is not valid.")                  \
    X(INVALID_ARGUMENT, 400,                                                  \
      "InvalidArgument",                                                      \
      "Invalid Argument")                                                     \
    X(INVALID_BUCKET_ACL_WITH_OBJECT_OWNERSHIP, 400,                          \
      "InvalidBucketAclWithObjectOwnership",                                  \
      "Bucket cannot have ACLs set with ObjectOwnership's "                   \
      "BucketOwnerEnforced setting.")                                         \
    X(INVALID_BUCKET_NAME, 400,                                               \
      "InvalidBucketName",                                                    \
      "The specified bucket is not valid.")                                   \
    X(INVALID_BUCKET_OWNER_AWS_ACCOUNT_ID, 400,                               \
      "InvalidBucketOwnerAWSAccountID",                                       \
      "The value of the expected bucket owner parameter must be an AWS "      \
      "account ID.")                                                          \
    X(INVALID_BUCKET_STATE, 409,                                              \
      "InvalidBucketState",                                                   \
      "The request is not valid with the current state of the bucket.")       \
    X(INVALID_DIGEST, 400,                                                    \
      "InvalidDigest",                                                        \
      "The Content-Md5 you specified is not valid.")                          \
    X(INVALID_ENCRYPTION_ALGORITHM_ERROR, 400,                                \
      "InvalidEncryptionAlgorithmError",                                      \
      "The encryption request you specified is not valid. The valid "         \
      "value is AES256.")                                                     \
    X(INVALID_HOST_HEADER, 400,                                               \
      "InvalidHostHeader",                                                    \
      "The host headers provided in the request used the incorrect "          \
      "style addressing.")                                                    \
    X(INVALID_HTTP_METHOD, 400,                                               \
      "InvalidHttpMethod",                                                    \
      "The request is made using an unexpected HTTP method.")                 \
    X(INVALID_LOCATION_CONSTRAINT, 400,                                       \
      "InvalidLocationConstraint",                                            \
      "The specified location-constraint is not valid")                       \
    X(INVALID_OBJECT_STATE, 403,                                              \
      "InvalidObjectState",                                                   \
      "The operation is not valid for the object's storage class")            \
    X(INVALID_PART, 400,                                                      \
      "InvalidPart",                                                          \
      "One or more of the specified parts could not be found.  The "          \
      "part may not have been uploaded, or the specified entity tag "         \
      "may not match the part's entity tag.")                                 \
    X(INVALID_PART_ORDER, 400,                                                \
      "InvalidPartOrder",                                                     \
      "The list of parts was not in ascending order. Parts must be "          \
      "ordered by part number.")                                              \
    X(INVALID_PAYER, 403,                                                     \
      "InvalidPayer",                                                         \
      "All access to this object has been disabled. Please contact AWS "      \
      "Support for further assistance.")                                      \
    X(INVALID_POLICY_DOCUMENT, 400,                                           \
      "InvalidPolicyDocument",                                                \
      "The content of the form does not meet the conditions specified "       \
      "in the policy document.")                                              \
    X(INVALID_RANGE, 416,                                                     \
      "InvalidRange",                                                         \
      "The requested range is not satisfiable")                               \
    X(INVALID_REGION, 403,                                                    \
      "InvalidRegion",                                                        \
      "The specified region has not been opted in to.")                       \
    X(INVALID_REQUEST, 400,                                                   \
      "InvalidRequest",                                                       \
      "Invalid Request.")                                                     \
    X(INVALID_SECURITY, 403,                                                  \
      "InvalidSecurity",                                                      \
      "The provided security credentials are not valid.")                     \
    X(INVALID_SESSION_EXCEPTION, 400,                                         \
      "InvalidSessionException",                                              \
      "The session does not exist anymore because it timed out or "           \
      "expired.")                                                             \
    X(INVALID_SIGNATURE, 400,                                                 \
      "InvalidSignature",                                                     \
      "The request signature that the server calculated does not match "      \
      "the signature that you provided.")                                     \
    X(INVALID_STORAGE_CLASS, 400,                                             \
      "InvalidStorageClass",                                                  \
      "The storage class you specified is not valid")                         \
    X(INVALID_TAG, 400,                                                       \
      "InvalidTag",                                                           \
      "The tag provided was not a valid tag. This error can occur if "        \
      "the tag did not pass input validation.")                               \
    X(INVALID_TARGET_BUCKET_FOR_LOGGING, 400,                                 \
      "InvalidTargetBucketForLogging",                                        \
      "The target bucket for logging does not exist")                         \
    X(INVALID_TOKEN, 400,                                                     \
      "InvalidToken",                                                         \
      "The provided token is malformed or otherwise invalid.")                \
    X(INVALID_URI, 400,                                                       \
      "InvalidURI",                                                           \
      "Couldn't parse the specified URI.")                                    \
    X(KMS_DISABLED_EXCEPTION, 400,                                            \
      "KMS.DisabledException",                                                \
      "The specified KMS key is not enabled.")                                \
    X(KMS_INVALID_KEY_USAGE_EXCEPTION, 400,                                   \
      "KMS.InvalidKeyUsageException",                                         \
      "The specified KMS key cannot be used for this request.")               \
    X(KMS_INVALID_STATE_EXCEPTION, 400,                                       \
      "KMS.KMSInvalidStateException",                                         \
      "The state of the specified KMS key is not valid for this "             \
      "request.")                                                             \
    X(KMS_NOT_FOUND_EXCEPTION, 400,                                           \
      "KMS.NotFoundException",                                                \
      "The specified KMS key does not exist.")                                \
    X(KEY_TOO_LONG_ERROR, 400,                                                \
      "KeyTooLongError",                                                      \
      "Your key is too long")                                                 \
    X(MALFORMED_ACL_ERROR, 400,                                               \
      "MalformedACLError",                                                    \
      "The XML you provided was not well-formed or did not validate "         \
      "against our published schema.")                                        \
    X(MALFORMED_POST_REQUEST, 400,                                            \
      "MalformedPOSTRequest",                                                 \
      "The body of your POST request is not well-formed "                     \
      "multipart/form-data.")                                                 \
    X(MALFORMED_POLICY, 400,                                                  \
      "MalformedPolicy",                                                      \
      "Your policy contains a principal that is not valid.")                  \
    X(MALFORMED_XML, 400,                                                     \
      "MalformedXML",                                                         \
      "The XML you provided was not well-formed or did not validate "         \
      "against our published schema.")                                        \
    X(MAX_MESSAGE_LENGTH_EXCEEDED, 400,                                       \
      "MaxMessageLengthExceeded",                                             \
      "Your request was too big.")                                            \
    X(MAX_POST_PRE_DATA_LENGTH_EXCEEDED_ERROR, 400,                           \
      "MaxPostPreDataLengthExceededError",                                    \
      "Your POST request fields preceding the upload file were too "          \
      "large.")                                                               \
    X(METADATA_TOO_LARGE, 400,                                                \
      "MetadataTooLarge",                                                     \
      "Your metadata headers exceed the maximum allowed metadata size")       \
    X(METHOD_NOT_ALLOWED, 405,                                                \
      "MethodNotAllowed",                                                     \
      "The specified method is not allowed against this resource.")           \
    X(MISSING_AUTHENTICATION_TOKEN, 403,                                      \
      "MissingAuthenticationToken",                                           \
      "The request was not signed.")                                          \
    X(MISSING_CONTENT_LENGTH, 411,                                            \
      "MissingContentLength",                                                 \
      "You must provide the Content-Length HTTP header.")                     \
    X(MISSING_REQUEST_BODY_ERROR, 400,                                        \
      "MissingRequestBodyError",                                              \
      "Request Body is empty")                                                \
    X(MISSING_SECURITY_HEADER, 400,                                           \
      "MissingSecurityHeader",                                                \
      "Your request is missing a required header.")                           \
    X(NO_LOGGING_STATUS_FOR_KEY, 400,                                         \
      "NoLoggingStatusForKey",                                                \
      "There is no such thing as a logging status subresource for a "         \
      "key.")                                                                 \
    X(NO_SUCH_ACCESS_POINT, 404,                                              \
      "NoSuchAccessPoint",                                                    \
      "The specified access point does not exist.")                           \
    X(NO_SUCH_ASYNC_REQUEST, 404,                                             \
      "NoSuchAsyncRequest",                                                   \
      "The specified request was not found.")                                 \
    X(NO_SUCH_BUCKET, 404,                                                    \
      "NoSuchBucket",                                                         \
      "The specified bucket does not exist.")                                 \
    X(NO_SUCH_BUCKET_POLICY, 404,                                             \
      "NoSuchBucketPolicy",                                                   \
      "The bucket policy does not exist.")                                    \
    X(NO_SUCH_CORS_CONFIGURATION, 404,                                        \
      "NoSuchCORSConfiguration",                                              \
      "The CORS configuration does not exist")                                \
    X(NO_SUCH_KEY, 404,                                                       \
      "NoSuchKey",                                                            \
      "The specified key does not exist.")                                    \
    X(NO_SUCH_LIFECYCLE_CONFIGURATION, 404,                                   \
      "NoSuchLifecycleConfiguration",                                         \
      "The lifecycle configuration does not exist")                           \
    X(NO_SUCH_MULTI_REGION_ACCESS_POINT, 404,                                 \
      "NoSuchMultiRegionAccessPoint",                                         \
      "The specified Multi-Region Access Point does not exist.")              \
    X(NO_SUCH_OBJECT_LOCK_CONFIGURATION, 404,                                 \
      "NoSuchObjectLockConfiguration",                                        \
      "The specified object does not have a ObjectLock configuration.")       \
    X(NO_SUCH_TAG_SET, 404,                                                   \
      "NoSuchTagSet",                                                         \
      "The TagSet does not exist.")                                           \
    X(NO_SUCH_UPLOAD, 404,                                                    \
      "NoSuchUpload",                                                         \
      "The specified multipart upload does not exist. The upload ID "         \
      "may be invalid, or the upload may have been aborted or "               \
      "completed.")                                                           \
    X(NO_SUCH_VERSION, 404,                                                   \
      "NoSuchVersion",                                                        \
      "The specified version does not exist.")                                \
    X(NO_SUCH_WEBSITE_CONFIGURATION, 404,                                     \
      "NoSuchWebsiteConfiguration",                                           \
      "The specified bucket does not have a website configuration")           \
    X(NO_TRANSFORMATION_DEFINED, 404,                                         \
      "NoTransformationDefined",                                              \
      "No transformation found for this Object Lambda Access Point.")         \
    X(NOT_DEVICE_OWNER_ERROR, 400,                                            \
      "NotDeviceOwnerError",                                                  \
      "The device that generated the token is not owned by the "              \
      "authenticated user.")                                                  \
    X(NOT_IMPLEMENTED, 501,                                                   \
      "NotImplemented",                                                       \
      "A header you provided implies functionality that is not "              \
      "implemented.")                                                         \
    X(NOT_MODIFIED, 304,                                                      \
      "NotModified",                                                          \
      "Not Modified")                                                         \
    X(NOT_SIGNED_UP, 403,                                                     \
      "NotSignedUp",                                                          \
      "Your account is not signed up for the Amazon S3 service.")             \
    X(OBJECT_LOCK_CONFIGURATION_NOT_FOUND_ERROR, 404,                         \
      "ObjectLockConfigurationNotFoundError",                                 \
      "Object Lock configuration does not exist for this bucket.")            \
    X(OPERATION_ABORTED, 409,                                                 \
      "OperationAborted",                                                     \
      "A conflicting conditional operation is currently in progress "         \
      "against this resource. Please try again.")                             \
    X(OWNERSHIP_CONTROLS_NOT_FOUND_ERROR, 404,                                \
      "OwnershipControlsNotFoundError",                                       \
      "The bucket ownership controls were not found")                         \
    X(PERMANENT_REDIRECT, 301,                                                \
      "PermanentRedirect",                                                    \
      "The bucket you are attempting to access must be addressed using "      \
      "the specified endpoint. Please send all future requests to this "      \
      "endpoint.")                                                            \
    X(PERMANENT_REDIRECT_CONTROL_ERROR, 301,                                  \
      "PermanentRedirectControlError",                                        \
      "The API operation you are attempting to access must be "               \
      "addressed using the specified endpoint. Please send all future "       \
      "requests to this endpoint.")                                           \
    X(PRECONDITION_FAILED, 412,                                               \
      "PreconditionFailed",                                                   \
      "At least one of the pre-conditions you specified did not hold.")       \
    X(REDIRECT, 307,                                                          \
      "Redirect",                                                             \
      "Temporary redirect.")                                                  \
    X(REQUEST_HEADER_SECTION_TOO_LARGE, 400,                                  \
      "RequestHeaderSectionTooLarge",                                         \
      "Your request header section exceeds the maximum allowed size.")        \
    X(REQUEST_IS_NOT_MULTI_PART_CONTENT, 400,                                 \
      "RequestIsNotMultiPartContent",                                         \
      "Bucket POST must be of the enclosure-type multipart/form-data.")       \
    X(REQUEST_TIME_TOO_SKEWED, 403,                                           \
      "RequestTimeTooSkewed",                                                 \
      "The difference between the request time and the current time is "      \
      "too large.")                                                           \
    X(REQUEST_TIMEOUT, 400,                                                   \
      "RequestTimeout",                                                       \
      "Your socket connection to the server was not read from or "            \
      "written to within the timeout period. Idle connections will be "       \
      "closed.")                                                              \
    X(REQUEST_TORRENT_OF_BUCKET_ERROR, 400,                                   \
      "RequestTorrentOfBucketError",                                          \
      "Requesting the torrent file of a bucket is not permitted.")            \
    X(RESPONSE_INTERRUPTED, 400,                                              \
      "ResponseInterrupted",                                                  \
      "The response was interrupted while the body was read.")                \
    X(RESTORE_ALREADY_IN_PROGRESS, 409,                                       \
      "RestoreAlreadyInProgress",                                             \
      "Object restore is already in progress")                                \
    X(SERVER_SIDE_ENCRYPTION_CONFIGURATION_NOT_FOUND_ERROR, 404,              \
      "ServerSideEncryptionConfigurationNotFoundError",                       \
      "The server side encryption configuration was not found")               \
    X(SERVICE_UNAVAILABLE, 503,                                               \
      "ServiceUnavailable",                                                   \
      "Service is unable to handle request.")                                 \
    X(SIGNATURE_DOES_NOT_MATCH, 403,                                          \
      "SignatureDoesNotMatch",                                                \
      "The request signature we calculated does not match the "               \
      "signature you provided. Check your key and signing method.")           \
    X(SLOW_DOWN, 503,                                                         \
      "SlowDown",                                                             \
      "Please reduce your request rate.")                                     \
    X(TAG_POLICY_EXCEPTION, 400,                                              \
      "TagPolicyException",                                                   \
      "The tag policy does not allow the specified value for the tag "        \
      "key.")                                                                 \
    X(TEMPORARY_REDIRECT, 307,                                                \
      "TemporaryRedirect",                                                    \
      "Please re-send this request to the specified temporary "               \
      "endpoint. Continue to use the original request endpoint for "          \
      "future requests.")                                                     \
    X(TOKEN_CODE_INVALID_ERROR, 400,                                          \
      "TokenCodeInvalidError",                                                \
      "The serial number and/or token code you provided is not valid.")       \
    X(TOKEN_REFRESH_REQUIRED, 400,                                            \
      "TokenRefreshRequired",                                                 \
      "The provided token must be refreshed.")                                \
    X(TOO_MANY_ACCESS_POINTS, 400,                                            \
      "TooManyAccessPoints",                                                  \
      "You have attempted to create more access points than are "             \
      "allowed.")                                                             \
    X(TOO_MANY_BUCKETS, 400,                                                  \
      "TooManyBuckets",                                                       \
      "You have attempted to create more buckets than allowed")               \
    X(TOO_MANY_MULTI_REGION_ACCESS_POINTREGIONS_ERROR, 400,                   \
      "TooManyMultiRegionAccessPointregionsError",                            \
      "You have attempted to create a Multi-Region Access Point with "        \
      "more Regions than are allowed.")                                       \
    X(TOO_MANY_MULTI_REGION_ACCESS_POINTS, 400,                               \
      "TooManyMultiRegionAccessPoints",                                       \
      "You have attempted to create more Multi-Region Access Points "         \
      "than are allowed.")                                                    \
    X(UNAUTHORIZED_ACCESS_ERROR, 403,                                         \
      "UnauthorizedAccessError",                                              \
      "The bucket owner does not have an ICP license.")                       \
    X(UNEXPECTED_CONTENT, 400,                                                \
      "UnexpectedContent",                                                    \
      "This request does not support content.")                               \
    X(UNEXPECTED_IP_ERROR, 403,                                               \
      "UnexpectedIPError",                                                    \
      "This request was rejected because the IP was unexpected.")             \
    X(UNRESOLVABLE_GRANT_BY_EMAIL_ADDRESS, 400,                               \
      "UnresolvableGrantByEmailAddress",                                      \
      "The email address you provided does not match any account on "         \
      "record.")                                                              \
    X(UNSUPPORTED_ARGUMENT, 400,                                              \
      "UnsupportedArgument",                                                  \
      "The request contained an unsupported argument.")                       \
    X(UNSUPPORTED_SIGNATURE, 400,                                             \
      "UnsupportedSignature",                                                 \
      "The provided request is signed with an unsupported STS Token "         \
      "version or the signature version is not supported.")                   \
    X(USER_KEY_MUST_BE_SPECIFIED, 400,                                        \
      "UserKeyMustBeSpecified",                                               \
      "The bucket POST must contain the specified field name. If it is "      \
      "specified, please check the order of the fields.")                     \
    X(X_AMZ_CONTENT_SHA256_MISMATCH, 400,                                     \
      "XAmzContentSHA256Mismatch",                                            \
      "The provided 'x-amz-content-sha256' header does not match what "       \
      "was computed.")                                                        \
    X(MALFORMED_TRAILER_ERROR, 400,                                           \
      "MalformedTrailerError",                                                \
      "The request contained trailing data that was not well-formed or "      \
      "did not conform to our published schema.")                             \
    X(INVALID_CHUNK_SIZE_ERROR, 400,                                          \
      "InvalidChunkSizeError",                                                \
      "Only the last chunk is allowed to have a size less than 8192 "         \
      "bytes")                                                                \
    X(INVALID_PART_NUMBER, 416,                                               \
      "InvalidPartNumber",                                                    \
      "The requested partnumber is not satisfiable.")                         \
    X(INVALID_REDIRECT_LOCATION, 400,                                         \
      "InvalidRedirectLocation",                                              \
      "The website redirect location must have a prefix of 'http://' "        \
      "or 'https://' or '/'.")                                                \
    X(ACCESS_FORBIDDEN, 403,                                                  \
      "AccessForbidden",                                                      \
      "CORSResponse: This CORS request is not allowed.")                      \
    X(BAD_REQUEST, 400,                                                       \
      "BadRequest",                                                           \
      "Bad Request")                                                          \
    X(NO_SUCH_CONFIGURATION, 404,                                             \
      "NoSuchConfiguration",                                                  \
      "The specified configuration does not exist.")                          \
    X(TOO_MANY_CONFIGURATIONS, 400,                                           \
      "TooManyConfigurations",                                                \
      "You are attempting to create a new configuration but have "            \
      "already reached the 1,000-configuration limit.")                       \
    X(NO_SUCH_PUBLIC_ACCESS_BLOCK_CONFIGURATION, 404,                         \
      "NoSuchPublicAccessBlockConfiguration",                                 \
      "The public access block configuration was not found")                  \
    X(REPLICATION_CONFIGURATION_NOT_FOUND_ERROR, 404,                         \
      "ReplicationConfigurationNotFoundError",                                \
      "The replication configuration was not found")                          \
    X(INVALID_WRITE_OFFSET, 400,                                              \
      "InvalidWriteOffset",                                                   \
      "The write offset value that you specified does not match the "         \
      "current object size.")                                                 \
    X(TOO_MANY_PARTS, 400,                                                    \
      "TooManyParts",                                                         \
      "You have attempted to add more parts than the maximum of 10000 "       \
      "that are allowed for this object.")                                    \
    X(ENCRYPTION_TYPE_MISMATCH, 400,                                          \
      "EncryptionTypeMismatch",                                               \
      "The existing object was created with a different encryption "          \
      "type.")                                                                \
    X(IDEMPOTENCY_PARAMETER_MISMATCH, 400,                                    \
      "IdempotencyParameterMismatch",                                         \
      "Parameters on this idempotent request are inconsistent with "          \
      "parameters used in previous request(s).")                              \
    X(OBJECT_ALREADY_IN_ACTIVE_TIER_ERROR, 403,                               \
      "ObjectAlreadyInActiveTierError",                                       \
      "This action is not allowed against this storage tier.")                \
    X(OBJECT_NOT_IN_ACTIVE_TIER_ERROR, 403,                                   \
      "ObjectNotInActiveTierError",                                           \
      "The source object of the COPY action is not in the active tier.")      \
    X(ANNOTATION_LIMIT_EXCEEDED, 400,                                         \
      "AnnotationLimitExceeded",                                              \
      "The object has the maximum number of annotations.")                    \
    X(ANNOTATION_NAME_TOO_LONG, 400,                                          \
      "AnnotationNameTooLong",                                                \
      "The annotation name is too long.")                                     \
    X(INVALID_ANNOTATION_NAME, 400,                                           \
      "InvalidAnnotationName",                                                \
      "The annotation name is not valid.")                                    \
    X(INVALID_PREFIX, 400,                                                    \
      "InvalidPrefix",                                                        \
      "The prefix is not valid.")                                             \
    X(NO_SUCH_ANNOTATION, 404,                                                \
      "NoSuchAnnotation",                                                     \
      "The specified annotation does not exist.")                             \
    X(UNSUPPORTED_MEDIA_TYPE, 415,                                            \
      "UnsupportedMediaType",                                                 \
      "The content is not of a supported media type.")                        \
    X(TOO_MANY_TAGS, 400,                                                     \
      "TooManyTags",                                                          \
      "The number of tags exceeds the limit of 50 tags.")                     \
    X(NO_SUCH_RESOURCE, 404,                                                  \
      "NoSuchResource",                                                       \
      "The specified resource doesn't exist.")                                \
    X(QUOTA_EXCEEDED, 507,                                                    \
      "QuotaExceeded",                                                        \
      "The quota of the bucket is exhausted.")                                \
    X(INSUFFICIENT_STORAGE, 507,                                              \
      "InsufficientStorage",                                                  \
      "There is not enough free space to store the object.")

/* clang-format on */

typedef enum {
    S3_ERR_NONE = 0,
#define S3_ERROR_ENUM(name, status, code, message) S3_ERR_##name,
    S3_ERROR_TABLE(S3_ERROR_ENUM)
#undef S3_ERROR_ENUM
        S3_ERR_MAX
} s3_err_t;

/*
 * Static strings and the HTTP status of an error; S3_ERR_NONE and anything
 * outside the enum read as "", "" and 200.
 */

const char *s3_err_code(s3_err_t err);
const char *s3_err_message(s3_err_t err);
int s3_err_status(s3_err_t err);

/* By its code string, case-sensitive; S3_ERR_NONE when there is none such. */

s3_err_t s3_err_find(s3_str_t code);

/*
 * What the client hears for a result of the storage room.  Success (>= 0)
 * is S3_ERR_NONE; S3_ENOENT is NoSuchKey (a caller that looked for an upload
 * or a bucket knows better); codes that a client can do nothing about are
 * InternalError, for which every SDK retries.
 */

s3_err_t s3_err_from_rc(int rc);

/*
 * An error with what AWS puts beside it: the text when it is not the default
 * one, and extra elements of the error document, in their order.  All of it
 * is borrowed: messages and names are static strings, values are slices of
 * the request or of the caller's memory that live until the document is
 * written.  Elements beyond S3_FAULT_EXTRAS are dropped.
 */

#define S3_FAULT_EXTRAS 6
#define S3_FAULT_TEXT 256

typedef struct {
    const char *name;
    s3_str_t value; /* data NULL: number */
    uint64_t number;
} s3_fault_extra_t;

typedef struct {
    s3_err_t err;
    const char *message; /* NULL: text, or the default of err */
    unsigned int nextra;
    s3_fault_extra_t extra[S3_FAULT_EXTRAS];
    char text[S3_FAULT_TEXT]; /* a formatted message, or "" */
} s3_fault_t;

/*
 * Set f to an error without extras, with a static or a formatted message
 * (cut to S3_FAULT_TEXT), and add extras to it.  All accept NULL for f; the
 * first two return err, so that a parser ends with
 * "return s3_fault(f, S3_ERR_..., "...")".
 */

s3_err_t s3_fault(s3_fault_t *f, s3_err_t err, const char *message);
s3_err_t s3_faultf(s3_fault_t *f, s3_err_t err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void s3_fault_add(s3_fault_t *f, const char *name, s3_str_t value);
void s3_fault_add_u64(s3_fault_t *f, const char *name, uint64_t value);

/* InvalidArgument with its two elements, the commonest of all. */

s3_err_t s3_fault_arg(s3_fault_t *f, const char *message, const char *name,
                      s3_str_t value);

/* The text that goes to the client; never NULL. */

const char *s3_fault_message(const s3_fault_t *f);

#pragma GCC visibility pop

#endif /* S3_ERROR_H */
