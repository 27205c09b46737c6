import hashlib
import random
import uuid

import pytest

MIB = 1 << 20


def data(size, seed=1):
    return random.Random(seed).randbytes(size)


@pytest.fixture
def source(s3, bucket):
    s3.put_object(Bucket=bucket, Key="src", Body=b"abc", ContentType="text/a",
                  CacheControl="no-cache", Metadata={"m": "1"}, Tagging="t=1")
    return {"Bucket": bucket, "Key": "src"}


@pytest.mark.parametrize("size", [0, 10, 200000, 9 * MIB + 1])
def test_sizes(s3, bucket, size):
    body = data(size)
    s3.put_object(Bucket=bucket, Key="src", Body=body)
    answer = s3.copy_object(Bucket=bucket, Key="dst", CopySource={
        "Bucket": bucket, "Key": "src"})
    assert answer["CopyObjectResult"]["ETag"] == \
        '"' + hashlib.md5(body).hexdigest() + '"'
    # the copy stands on its own
    s3.put_object(Bucket=bucket, Key="src", Body=b"something else")
    s3.delete_object(Bucket=bucket, Key="src")
    assert s3.get_object(Bucket=bucket, Key="dst")["Body"].read() == body


def test_other_bucket_and_odd_names(s3, bucket):
    other = "test-" + uuid.uuid4().hex[:20]
    s3.create_bucket(Bucket=other)
    for key in ("a b", "ä+%/x", "q?versionId=x"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
        s3.copy_object(Bucket=other, Key=key,
                       CopySource={"Bucket": bucket, "Key": key})
        got = s3.get_object(Bucket=other, Key=key)["Body"].read()
        assert got == key.encode()
        s3.delete_object(Bucket=other, Key=key)
    s3.delete_bucket(Bucket=other)


def test_directives(s3, bucket, source, refused):
    s3.copy_object(Bucket=bucket, Key="c", CopySource=source,
                   Metadata={"ignored": "x"}, ContentType="text/ignored")
    head = s3.head_object(Bucket=bucket, Key="c")
    assert head["Metadata"] == {"m": "1"}
    assert head["ContentType"] == "text/a"
    assert head["CacheControl"] == "no-cache"
    assert s3.get_object_tagging(Bucket=bucket, Key="c")["TagSet"] == [
        {"Key": "t", "Value": "1"}]
    s3.copy_object(Bucket=bucket, Key="r", CopySource=source,
                   MetadataDirective="REPLACE", TaggingDirective="REPLACE",
                   Metadata={"n": "2"}, ContentType="text/b", Tagging="u=2")
    head = s3.head_object(Bucket=bucket, Key="r")
    assert head["Metadata"] == {"n": "2"} and head["ContentType"] == "text/b"
    assert "CacheControl" not in head
    assert s3.get_object_tagging(Bucket=bucket, Key="r")["TagSet"] == [
        {"Key": "u", "Value": "2"}]
    with refused("InvalidArgument", 400):
        s3.copy_object(Bucket=bucket, Key="x", CopySource=source,
                       MetadataDirective="NONSENSE")


def test_to_itself(s3, bucket, source, refused):
    with refused("InvalidRequest", 400):
        s3.copy_object(Bucket=bucket, Key="src", CopySource=source)
    s3.copy_object(Bucket=bucket, Key="src", CopySource=source,
                   MetadataDirective="REPLACE", Metadata={"new": "1"})
    got = s3.get_object(Bucket=bucket, Key="src")
    assert got["Metadata"] == {"new": "1"} and got["Body"].read() == b"abc"
    s3.copy_object(Bucket=bucket, Key="src", CopySource=source,
                   StorageClass="REDUCED_REDUNDANCY")
    head = s3.head_object(Bucket=bucket, Key="src")
    assert head["StorageClass"] == "REDUCED_REDUNDANCY"


def test_conditions(s3, bucket, source, refused):
    etag = s3.head_object(Bucket=bucket, Key="src")["ETag"]
    for good in ({"CopySourceIfMatch": etag}, {"CopySourceIfNoneMatch": '"x"'}):
        s3.copy_object(Bucket=bucket, Key="d", CopySource=source, **good)
    for bad in ({"CopySourceIfMatch": '"x"'}, {"CopySourceIfNoneMatch": etag}):
        with refused("PreconditionFailed", 412):
            s3.copy_object(Bucket=bucket, Key="e", CopySource=source, **bad)
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="e")


def test_absent(s3, bucket, refused):
    with refused("NoSuchKey", 404):
        s3.copy_object(Bucket=bucket, Key="d",
                       CopySource={"Bucket": bucket, "Key": "none"})
    with refused("NoSuchBucket", 404):
        s3.copy_object(Bucket=bucket, Key="d", CopySource={
            "Bucket": "no-such-bucket-" + uuid.uuid4().hex[:12], "Key": "x"})


def test_checksum(s3, bucket):
    s3.put_object(Bucket=bucket, Key="s", Body=b"abc",
                  ChecksumAlgorithm="SHA256")
    answer = s3.copy_object(Bucket=bucket, Key="d", CopySource={
        "Bucket": bucket, "Key": "s"}, ChecksumAlgorithm="SHA1")
    assert answer["CopyObjectResult"]["ChecksumSHA1"] == \
        "qZk+NkcGgWq6PiVxeFDCbJzQ2J0="
    head = s3.head_object(Bucket=bucket, Key="d", ChecksumMode="ENABLED")
    assert head["ChecksumSHA1"] == "qZk+NkcGgWq6PiVxeFDCbJzQ2J0="
