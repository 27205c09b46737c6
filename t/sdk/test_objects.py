import base64
import hashlib
import io
import random
import time
import zlib

import pytest

from conftest import make_client

MIB = 1 << 20


def data(size, seed=1):
    return random.Random(seed).randbytes(size)


# the sizes around which the way of storing changes: records, full copies,
# stripes of coded blocks, their edges
SIZES = [0, 1, 511, 4095, 4096, 4097, 16383, 16384, 16385, 65536, 131071,
         131072, 131073, 262144, 524287, 524288, 524289, MIB + 1,
         5 * MIB - 3, 17 * MIB + 12345]


@pytest.mark.parametrize("size", SIZES)
def test_put_get_sizes(s3, bucket, size):
    body = data(size, size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=body)
    etag = '"' + hashlib.md5(body).hexdigest() + '"'
    assert put["ETag"] == etag
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["ContentLength"] == size
    assert got["ETag"] == etag
    assert got["Body"].read() == body
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["ContentLength"], head["ETag"]) == (size, etag)
    assert head["AcceptRanges"] == "bytes"


@pytest.mark.parametrize("size", [1000, 300000, 9 * MIB + 17])
def test_ranges(s3, bucket, refused, size):
    body = data(size)
    s3.put_object(Bucket=bucket, Key="k", Body=body)

    def get(text):
        answer = s3.get_object(Bucket=bucket, Key="k", Range=text)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
        return answer["Body"].read(), answer["ContentRange"]

    for first, last in [(0, 0), (0, 9), (size - 1, size - 1),
                        (size // 2, size // 2 + 400), (0, size - 1),
                        (size // 3, size * 2 // 3)]:
        assert get(f"bytes={first}-{last}") == (
            body[first:last + 1], f"bytes {first}-{last}/{size}")
    assert get(f"bytes={size - 5}-")[0] == body[-5:]
    assert get("bytes=-7")[0] == body[-7:]
    assert get(f"bytes=-{size * 2}")[0] == body
    assert get(f"bytes=10-{size * 9}") == (
        body[10:], f"bytes 10-{size - 1}/{size}")
    with refused("InvalidRange", 416):
        get(f"bytes={size}-")
    with refused("InvalidRange", 416):
        get("bytes=-0")
    for ignored in ("bytes=5-2", "lines=1-2", "bytes=abc"):
        answer = s3.get_object(Bucket=bucket, Key="k", Range=ignored)
        assert answer["ContentLength"] == size
    head = s3.head_object(Bucket=bucket, Key="k", Range="bytes=1-3")
    assert head["ContentLength"] == 3
    assert head["ContentRange"] == f"bytes 1-3/{size}"


def test_range_of_nothing(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    with refused("InvalidRange", 416):
        s3.get_object(Bucket=bucket, Key="k", Range="bytes=0-5")


def test_random_ranges(s3, bucket):
    size = 6 * MIB + 77
    body = data(size)
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    rand = random.Random(7)
    for _ in range(60):
        first = rand.randrange(size)
        last = min(size - 1, first + rand.choice([1, 100, 70000, 2 * MIB]))
        got = s3.get_object(Bucket=bucket, Key="k",
                            Range=f"bytes={first}-{last}")
        assert got["Body"].read() == body[first:last + 1]


def test_overwrite_and_delete(s3, bucket, refused):
    for round_ in range(5):
        for size in (10, 200000, 3 * MIB):
            body = data(size, round_)
            s3.put_object(Bucket=bucket, Key="k", Body=body)
            assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == body
    s3.delete_object(Bucket=bucket, Key="k")
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="k")
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="k")
    assert s3.delete_object(Bucket=bucket, Key="k")[
        "ResponseMetadata"]["HTTPStatusCode"] == 204


def test_headers_and_metadata(s3, bucket):
    given = {"ContentType": "text/x-test", "CacheControl": "max-age=60",
             "ContentDisposition": 'attachment; filename="a b.txt"',
             "ContentEncoding": "gzip", "ContentLanguage": "de-CH"}
    meta = {"one": "1", "with-dash": "Some Value", "empty": ""}
    s3.put_object(Bucket=bucket, Key="k", Body=b"abc", Metadata=meta, **given,
                  Expires="Thu, 01 Dec 2044 16:00:00 GMT")
    for answer in (s3.head_object(Bucket=bucket, Key="k"),
                   s3.get_object(Bucket=bucket, Key="k")):
        for name, value in given.items():
            assert answer[name] == value
        assert answer["ExpiresString"] == "Thu, 01 Dec 2044 16:00:00 GMT"
        assert answer["Metadata"] == meta
    s3.put_object(Bucket=bucket, Key="k", Body=b"abc")
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["ContentType"] == "binary/octet-stream"
    assert head["Metadata"] == {}
    assert "CacheControl" not in head


def test_metadata_too_large(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"",
                  Metadata={"a": "x" * 1900})
    with refused("MetadataTooLarge", 400):
        s3.put_object(Bucket=bucket, Key="k2", Body=b"",
                      Metadata={"a": "x" * 2100})
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="k2")


def test_response_overrides(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"abc")
    answer = s3.get_object(
        Bucket=bucket, Key="k", ResponseContentType="text/css",
        ResponseContentLanguage="fr", ResponseCacheControl="no-cache",
        ResponseContentDisposition="inline", ResponseContentEncoding="br")
    assert answer["ContentType"] == "text/css"
    assert answer["ContentLanguage"] == "fr"
    assert answer["CacheControl"] == "no-cache"
    assert answer["ContentDisposition"] == "inline"
    assert answer["ContentEncoding"] == "br"


KEYS = ["plain", "dir/sub/file.txt", "dir/", "sp ace", "plus+sign", "a//b",
        "trailing//", "per%cent", "per%20cent", "que?stion", "ha#sh",
        "am&p;<x>", "quo\"te'", "tilde~star*(paren)!", "semi;colon:at@eq=",
        "ümläut/ключ/鍵/🔑", "back\\slash", "..dots", "a/../b", "a/./b", ".",
        "x" * 1024, "/leading", "new\nline", "tab\tkey", "\u200bzero", "$&,"]


def test_keys(s3, bucket):
    for number, key in enumerate(KEYS):
        s3.put_object(Bucket=bucket, Key=key, Body=str(number).encode())
    for number, key in enumerate(KEYS):
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        assert body == str(number).encode(), key
    listed = [item["Key"] for item in
              s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == sorted(KEYS, key=lambda k: k.encode())


def test_key_too_long(s3, bucket, refused):
    with refused("KeyTooLongError", 400):
        s3.put_object(Bucket=bucket, Key="x" * 1025, Body=b"")


def test_storage_classes(s3, bucket, refused):
    body = data(700000)
    s3.put_object(Bucket=bucket, Key="r", Body=body,
                  StorageClass="REDUCED_REDUNDANCY")
    s3.put_object(Bucket=bucket, Key="s", Body=body, StorageClass="STANDARD")
    head = s3.head_object(Bucket=bucket, Key="r")
    assert head["StorageClass"] == "REDUCED_REDUNDANCY"
    assert "StorageClass" not in s3.head_object(Bucket=bucket, Key="s")
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [item["StorageClass"] for item in listed] == [
        "REDUCED_REDUNDANCY", "STANDARD"]
    assert s3.get_object(Bucket=bucket, Key="r")["Body"].read() == body
    with refused("InvalidStorageClass", 400):
        s3.put_object(Bucket=bucket, Key="x", Body=b"",
                      StorageClass="NO_SUCH_CLASS")


ALGORITHMS = ["CRC32", "SHA1", "SHA256"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size", [0, 5, 300000])
def test_checksums(s3, bucket, algorithm, size):
    body = data(size)
    expect = base64.b64encode({
        "CRC32": lambda: zlib.crc32(body).to_bytes(4, "big"),
        "SHA1": lambda: hashlib.sha1(body).digest(),
        "SHA256": lambda: hashlib.sha256(body).digest()}[algorithm]()).decode()
    put = s3.put_object(Bucket=bucket, Key="k", Body=body,
                        ChecksumAlgorithm=algorithm)
    field = "Checksum" + algorithm
    assert put[field] == expect
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == body
    assert got[field] == expect
    assert got["ChecksumType"] == "FULL_OBJECT"
    # the value in a header instead of a trailer
    s3.put_object(Bucket=bucket, Key="h", Body=body, **{field: expect})
    head = s3.head_object(Bucket=bucket, Key="h", ChecksumMode="ENABLED")
    assert head[field] == expect


# published check values for "123456789"
@pytest.mark.parametrize("field,value", [
    ("ChecksumCRC32", "y/Q5Jg=="), ("ChecksumCRC32C", "4waSgw=="),
    ("ChecksumCRC64NVME", "rosUhgp5mIg=")])
def test_published_checksums(s3, bucket, refused, field, value):
    s3.put_object(Bucket=bucket, Key="k", Body=b"123456789", **{field: value})
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[field] == value
    with refused("BadDigest", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"987654321",
                      **{field: value})
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == b"123456789"


def test_content_md5(server, bucket, refused):
    client = make_client(server, request_checksum_calculation="when_required")
    good = base64.b64encode(hashlib.md5(b"abc").digest()).decode()
    client.put_object(Bucket=bucket, Key="k", Body=b"abc", ContentMD5=good)
    with refused("BadDigest", 400):
        client.put_object(Bucket=bucket, Key="k", Body=b"abd",
                          ContentMD5=good)
    with refused("InvalidDigest", 400):
        client.put_object(Bucket=bucket, Key="k", Body=b"abd",
                          ContentMD5="nonsense")
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"abc"


class Unseekable(io.RawIOBase):
    """A body whose length nobody knows beforehand."""

    def __init__(self, size):
        self.rest = size

    def readable(self):
        return True

    def readinto(self, buffer):
        n = min(len(buffer), self.rest, 65521)
        buffer[:n] = b"u" * n
        self.rest -= n
        return n


def test_stream_of_unknown_length(s3, bucket):
    size = 21 * MIB + 5
    s3.upload_fileobj(io.BufferedReader(Unseekable(size)), bucket, "k")
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["ContentLength"] == size
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"u" * size


def test_unsigned_and_signed_payload(server, bucket):
    body = data(400000)
    for signing in (True, False):
        client = make_client(server, s3={"payload_signing_enabled": signing})
        client.put_object(Bucket=bucket, Key="k", Body=body)
        assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == body


def test_delete_objects(s3, bucket, refused):
    keys = [f"k{i}" for i in range(30)] + ["with space", "<xml>&"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    answer = s3.delete_objects(Bucket=bucket, Delete={
        "Objects": [{"Key": key} for key in keys[:20]] + [{"Key": "absent"}]})
    assert sorted(d["Key"] for d in answer["Deleted"]) == sorted(
        keys[:20] + ["absent"])
    assert "Errors" not in answer
    answer = s3.delete_objects(Bucket=bucket, Delete={
        "Quiet": True, "Objects": [{"Key": key} for key in keys[20:]]})
    assert "Deleted" not in answer and "Errors" not in answer
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    with refused("MalformedXML", 400):
        s3.delete_objects(Bucket=bucket, Delete={
            "Objects": [{"Key": f"k{i}"} for i in range(1001)]})


def test_version_id(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"abc")
    got = s3.get_object(Bucket=bucket, Key="k", VersionId="null")
    assert got["Body"].read() == b"abc"
    versions = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert [(v["Key"], v["VersionId"], v["IsLatest"]) for v in versions] == [
        ("k", "null", True)]
    s3.delete_object(Bucket=bucket, Key="k", VersionId="null")
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="k")


def test_object_attributes(s3, bucket):
    body = data(100000)
    put = s3.put_object(Bucket=bucket, Key="k", Body=body,
                        ChecksumAlgorithm="SHA256")
    got = s3.get_object_attributes(
        Bucket=bucket, Key="k",
        ObjectAttributes=["ETag", "Checksum", "ObjectSize", "StorageClass"])
    assert got["ETag"] == put["ETag"].strip('"')
    assert got["ObjectSize"] == len(body)
    assert got["StorageClass"] == "STANDARD"
    assert got["Checksum"]["ChecksumSHA256"] == put["ChecksumSHA256"]
    assert "ObjectParts" not in got


def test_last_modified(s3, bucket):
    before = time.time()
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    stamp = s3.head_object(Bucket=bucket, Key="k")["LastModified"].timestamp()
    assert before - 2 <= stamp <= time.time() + 2
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"][0]["LastModified"]
    assert int(listed.timestamp()) == int(stamp)
