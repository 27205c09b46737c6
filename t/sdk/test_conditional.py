import concurrent.futures
import datetime

import botocore.exceptions
import pytest

from conftest import make_client

DAY = datetime.timedelta(days=1)


@pytest.fixture
def thing(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"abc")
    head = s3.head_object(Bucket=bucket, Key="k")
    return head["ETag"], head["LastModified"]


def status(call, **arguments):
    try:
        return call(**arguments)["ResponseMetadata"]["HTTPStatusCode"]
    except botocore.exceptions.ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]


def test_reads(s3, bucket, thing):
    etag, when = thing
    other = '"00000000000000000000000000000000"'
    cases = [
        ({"IfMatch": etag}, 200), ({"IfMatch": other}, 412),
        ({"IfMatch": "*"}, 200),
        ({"IfNoneMatch": etag}, 304), ({"IfNoneMatch": other}, 200),
        ({"IfNoneMatch": "*"}, 304), ({"IfNoneMatch": etag.strip('"')}, 304),
        ({"IfModifiedSince": when - DAY}, 200),
        ({"IfModifiedSince": when}, 304),
        ({"IfModifiedSince": when + 400 * DAY}, 200),
        ({"IfUnmodifiedSince": when}, 200),
        ({"IfUnmodifiedSince": when - DAY}, 412),
        # the entity tag decides where both are given
        ({"IfMatch": etag, "IfUnmodifiedSince": when - DAY}, 200),
        ({"IfNoneMatch": etag, "IfModifiedSince": when - DAY}, 304),
    ]
    for condition, expect in cases:
        for call in (s3.get_object, s3.head_object):
            got = status(call, Bucket=bucket, Key="k", **condition)
            assert got == expect, (condition, call)


def test_304_has_an_etag(s3, bucket, thing):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        s3.get_object(Bucket=bucket, Key="k", IfNoneMatch=thing[0])
    headers = error.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert headers["etag"] == thing[0]


def test_put_if_none_match(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"
    s3.delete_object(Bucket=bucket, Key="k")
    s3.put_object(Bucket=bucket, Key="k", Body=b"3", IfNoneMatch="*")


def test_put_if_match(s3, bucket, thing, refused):
    new = s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=thing[0])
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="k", Body=b"3", IfMatch=thing[0])
    s3.put_object(Bucket=bucket, Key="k", Body=b"4", IfMatch=new["ETag"])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"4"
    with refused("NoSuchKey", 404):
        s3.put_object(Bucket=bucket, Key="absent", Body=b"", IfMatch=thing[0])


def test_delete_if_match(s3, bucket, thing, refused):
    with refused("PreconditionFailed", 412):
        s3.delete_object(Bucket=bucket, Key="k", IfMatch='"no"')
    s3.head_object(Bucket=bucket, Key="k")
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=thing[0])
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="k")


def test_only_one_creator(server, bucket):
    """Of many that create the same key at once, one wins: for each key."""
    clients = [make_client(server) for _ in range(8)]

    def create(job):
        number, key = job
        client = clients[number]
        return key, status(client.put_object, Bucket=bucket, Key=key,
                           Body=str(number).encode() * 3000, IfNoneMatch="*")

    jobs = [(n, f"k{i}") for i in range(20) for n in range(8)]
    wins = {}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for key, got in pool.map(create, jobs):
            assert got in (200, 409, 412), got
            wins[key] = wins.get(key, 0) + (got == 200)
    assert set(wins.values()) == {1}


def test_counter(server, bucket):
    """Compare-and-swap by If-Match: no increment is lost."""
    make_client(server).put_object(Bucket=bucket, Key="n", Body=b"0")

    def increment(_):
        client = make_client(server)
        done = 0
        while done < 10:
            got = client.get_object(Bucket=bucket, Key="n")
            value = int(got["Body"].read()) + 1
            done += status(client.put_object, Bucket=bucket, Key="n",
                           Body=str(value).encode(),
                           IfMatch=got["ETag"]) == 200

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(increment, range(4)))
    got = make_client(server).get_object(Bucket=bucket, Key="n")
    assert got["Body"].read() == b"40"
