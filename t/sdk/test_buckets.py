import uuid

import botocore.exceptions
import pytest

from conftest import make_client


def fresh():
    return "test-" + uuid.uuid4().hex[:20]


def test_create_head_list_delete(s3):
    name = fresh()
    answer = s3.create_bucket(Bucket=name)
    assert answer["Location"] == f"/{name}"
    s3.head_bucket(Bucket=name)
    listed = {b["Name"]: b for b in s3.list_buckets()["Buckets"]}
    assert listed[name]["CreationDate"].tzinfo is not None
    s3.delete_bucket(Bucket=name)
    assert name not in [b["Name"] for b in s3.list_buckets()["Buckets"]]


def test_create_again(s3, bucket):
    """us-east-1 says 200 to the owner's repetition, other regions 409; what
    is in the bucket stays in both."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"abc")
    try:
        s3.create_bucket(Bucket=bucket)
    except s3.exceptions.BucketAlreadyOwnedByYou:
        pass
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"abc"


def test_location(s3, bucket):
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None


def test_wrong_location_constraint(s3):
    name = fresh()
    with pytest.raises(botocore.exceptions.ClientError) as error:
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={
            "LocationConstraint": "eu-west-1"})
    assert error.value.response["Error"]["Code"] in (
        "IllegalLocationConstraintException", "InvalidLocationConstraint")
    with pytest.raises(botocore.exceptions.ClientError):
        s3.head_bucket(Bucket=name)


def test_list_pages(s3):
    prefix = "page-" + uuid.uuid4().hex[:8]
    names = [f"{prefix}-{i}" for i in range(5)]
    for name in names:
        s3.create_bucket(Bucket=name)
    try:
        got, token, pages = [], {}, 0
        while True:
            answer = s3.list_buckets(MaxBuckets=2, Prefix=prefix, **token)
            assert len(answer["Buckets"]) <= 2
            got += [b["Name"] for b in answer["Buckets"]]
            pages += 1
            if "ContinuationToken" not in answer:
                break
            token = {"ContinuationToken": answer["ContinuationToken"]}
        assert got == names
        assert pages == 3
    finally:
        for name in names:
            s3.delete_bucket(Bucket=name)


@pytest.mark.parametrize("name", ["ab", "UPPER", "a_b", "192.168.5.4",
                                  "-abc", "a..b", "x" * 64])
def test_bad_names(server, refused, name):
    client = make_client(server)
    client.meta.events.unregister(
        "before-parameter-build.s3", botocore.handlers.validate_bucket_name)
    with refused("InvalidBucketName", 400):
        client.create_bucket(Bucket=name)


def test_absent(s3, refused):
    name = fresh()
    for call in (s3.delete_bucket, s3.get_bucket_location, s3.list_objects_v2,
                 s3.list_objects, s3.get_bucket_versioning,
                 s3.list_multipart_uploads):
        with refused("NoSuchBucket", 404):
            call(Bucket=name)
    with refused("404", 404):
        s3.head_bucket(Bucket=name)
    with refused("NoSuchBucket", 404):
        s3.put_object(Bucket=name, Key="k", Body=b"x")
    with refused("NoSuchBucket", 404):
        s3.get_object(Bucket=name, Key="k")


def test_delete_not_empty(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with refused("BucketNotEmpty", 409):
        s3.delete_bucket(Bucket=bucket)
    s3.head_object(Bucket=bucket, Key="k")


def test_new_bucket_of_the_same_name_is_empty(s3):
    name = fresh()
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="k", Body=b"x")
    s3.delete_object(Bucket=name, Key="k")
    s3.delete_bucket(Bucket=name)
    s3.create_bucket(Bucket=name)
    assert s3.list_objects_v2(Bucket=name)["KeyCount"] == 0
    s3.delete_bucket(Bucket=name)


def test_bucket_tagging(s3, bucket, refused):
    with refused("NoSuchTagSet", 404):
        s3.get_bucket_tagging(Bucket=bucket)
    tags = [{"Key": "team", "Value": "storage"}, {"Key": "x", "Value": ""}]
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    got = s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
    assert sorted(got, key=lambda t: t["Key"]) == tags
    s3.delete_bucket_tagging(Bucket=bucket)
    with refused("NoSuchTagSet", 404):
        s3.get_bucket_tagging(Bucket=bucket)


def test_wrong_keys(server, refused):
    class Wrong:
        url = server.url
        access_key = server.access_key
        secret_key = "x" * 40

    with refused("SignatureDoesNotMatch", 403):
        make_client(Wrong).list_buckets()
    Wrong.access_key = "NOSUCHKEY00000000000"
    with refused("InvalidAccessKeyId", 403):
        make_client(Wrong).list_buckets()


def test_request_ids(s3, bucket):
    meta = s3.list_objects_v2(Bucket=bucket)["ResponseMetadata"]
    headers = meta["HTTPHeaders"]
    assert headers["x-amz-request-id"] and headers["x-amz-id-2"]
    with pytest.raises(botocore.exceptions.ClientError) as error:
        s3.get_object(Bucket=bucket, Key="none")
    meta = error.value.response["ResponseMetadata"]
    assert meta["RequestId"] == meta["HTTPHeaders"]["x-amz-request-id"]
    assert error.value.response["Error"]["Key"] == "none"
