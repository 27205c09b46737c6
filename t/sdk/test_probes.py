"""What tools ask a bucket for that has no configuration, and what is not
built: 501 for all of it."""

import pytest

from conftest import make_client

NONE = {
    "get_bucket_cors": "NoSuchCORSConfiguration",
    "get_bucket_lifecycle_configuration": "NoSuchLifecycleConfiguration",
    "get_bucket_policy": "NoSuchBucketPolicy",
    "get_bucket_website": "NoSuchWebsiteConfiguration",
    "get_bucket_replication": "ReplicationConfigurationNotFoundError",
    "get_bucket_tagging": "NoSuchTagSet",
    "get_object_lock_configuration": "ObjectLockConfigurationNotFoundError",
}


@pytest.mark.parametrize("call", NONE)
def test_not_configured(s3, bucket, refused, call):
    with refused(NONE[call], 404):
        getattr(s3, call)(Bucket=bucket)
    with refused("NoSuchBucket", 404):
        getattr(s3, call)(Bucket="no-such-bucket-0123456789")


def test_defaults_of_a_new_bucket(s3, bucket):
    """Nothing is public and ACLs count for nothing, as in AWS's buckets."""
    answer = s3.get_public_access_block(Bucket=bucket)
    block = answer["PublicAccessBlockConfiguration"]
    assert list(block.values()) == [True] * 4
    answer = s3.get_bucket_ownership_controls(Bucket=bucket)
    rules = answer["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    status = s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]
    assert status["IsPublic"] is False


def test_empty_answers(s3, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    assert "Status" not in s3.get_bucket_accelerate_configuration(
        Bucket=bucket)
    answer = s3.get_bucket_request_payment(Bucket=bucket)
    assert answer["Payer"] == "BucketOwner"
    answer = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert set(answer) == {"ResponseMetadata"}
    for kind in ("analytics", "inventory", "metrics", "intelligent_tiering"):
        call = getattr(s3, f"list_bucket_{kind}_configurations")
        answer = call(Bucket=bucket)
        assert not answer.get("IsTruncated")


def test_acl(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    for answer in (s3.get_bucket_acl(Bucket=bucket),
                   s3.get_object_acl(Bucket=bucket, Key="k")):
        owner = answer["Owner"]["ID"]
        assert [(g["Permission"], g["Grantee"]["ID"])
                for g in answer["Grants"]] == [("FULL_CONTROL", owner)]


XML = {"LifecycleConfiguration": {"Rules": [
    {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""},
     "Expiration": {"Days": 1}}]}}

NOT_BUILT = {
    "put_bucket_versioning": {"VersioningConfiguration": {
        "Status": "Enabled"}},
    "put_bucket_cors": {"CORSConfiguration": {"CORSRules": [
        {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]}},
    "put_bucket_lifecycle_configuration": XML,
    "put_bucket_policy": {"Policy": "{}"},
    "put_bucket_website": {"WebsiteConfiguration": {
        "IndexDocument": {"Suffix": "i"}}},
    "put_bucket_logging": {"BucketLoggingStatus": {}},
    "put_bucket_replication": {"ReplicationConfiguration": {
        "Role": "r", "Rules": []}},
    "put_bucket_notification_configuration": {
        "NotificationConfiguration": {}},
    "put_object_lock_configuration": {"ObjectLockConfiguration": {}},
}


@pytest.mark.parametrize("call", NOT_BUILT)
def test_not_implemented(s3, bucket, refused, call):
    with refused("NotImplemented", 501):
        getattr(s3, call)(Bucket=bucket, **NOT_BUILT[call])


def test_not_implemented_of_an_object(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"abc")
    with refused("NotImplemented", 501):
        s3.restore_object(Bucket=bucket, Key="k",
                          RestoreRequest={"Days": 1})
    with refused("NotImplemented", 501):
        s3.put_object_legal_hold(Bucket=bucket, Key="k",
                                 LegalHold={"Status": "ON"})
    with refused("NotImplemented", 501):
        s3.get_object_torrent(Bucket=bucket, Key="k")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"abc"


def test_a_promise_that_can_not_be_kept(server, bucket, refused):
    """Encryption that is asked for must not be ignored."""
    client = make_client(server)
    with refused("NotImplemented", 501):
        client.put_object(Bucket=bucket, Key="k", Body=b"x",
                          ServerSideEncryption="aws:kms")
    with refused("404", 404):
        client.head_object(Bucket=bucket, Key="k")
