import pytest


@pytest.fixture(scope="module")
def names():
    return sorted(["a", "a/", "a/1", "a/2", "a/b/c", "a-b", "b/1", "b/2",
                   "b/sub/x", "b/sub/y", "c", "d e", "d+e", "ä", "zz//x",
                   "zz//y", "zz/z"], key=lambda n: n.encode())


@pytest.fixture
def filled(s3, bucket, names):
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=name.encode())
    return bucket


def expected(names, prefix="", delimiter="", after=""):
    keys, prefixes = [], []
    for name in names:
        if not name.startswith(prefix):
            continue
        cut = name.find(delimiter, len(prefix)) if delimiter else -1
        if cut >= 0:
            common = name[:cut + len(delimiter)]
            if common not in prefixes:
                prefixes.append(common)
        elif name.encode() > after.encode():
            keys.append(name)
    return keys, [p for p in prefixes if not after or p.encode()
                  > after.encode()]


CASES = [("", ""), ("", "/"), ("a", "/"), ("a/", "/"), ("b", ""), ("b/", "/"),
         ("zz/", "/"), ("zz/", "//"), ("", "//"), ("", "sub/"), ("none", "/"),
         ("", "b"), ("b/s", "/"), ("d", " "), ("", "ä")]


@pytest.mark.parametrize("prefix,delimiter", CASES)
def test_v2_pages(s3, filled, names, prefix, delimiter):
    keys, prefixes = expected(names, prefix, delimiter)
    for size in (1, 2, 3, 1000):
        got_keys, got_prefixes, more = [], [], {}
        while True:
            answer = s3.list_objects_v2(Bucket=filled, Prefix=prefix,
                                        Delimiter=delimiter, MaxKeys=size,
                                        **more)
            here = answer.get("Contents", [])
            common = answer.get("CommonPrefixes", [])
            assert answer["KeyCount"] == len(here) + len(common) <= size
            got_keys += [item["Key"] for item in here]
            got_prefixes += [item["Prefix"] for item in common]
            if not answer["IsTruncated"]:
                assert "NextContinuationToken" not in answer
                break
            more = {"ContinuationToken": answer["NextContinuationToken"]}
        assert (got_keys, got_prefixes) == (keys, prefixes), size


@pytest.mark.parametrize("prefix,delimiter", CASES)
def test_v1_pages(s3, filled, names, prefix, delimiter):
    keys, prefixes = expected(names, prefix, delimiter)
    for size in (1, 3, 1000):
        got_keys, got_prefixes, marker = [], [], ""
        while True:
            answer = s3.list_objects(Bucket=filled, Prefix=prefix,
                                     Delimiter=delimiter, MaxKeys=size,
                                     Marker=marker)
            assert answer["Marker"] == marker
            here = answer.get("Contents", [])
            common = answer.get("CommonPrefixes", [])
            got_keys += [item["Key"] for item in here]
            got_prefixes += [item["Prefix"] for item in common]
            if not answer["IsTruncated"]:
                break
            if delimiter:
                marker = answer["NextMarker"]
            else:
                assert "NextMarker" not in answer
                marker = here[-1]["Key"]
        assert (got_keys, got_prefixes) == (keys, prefixes), size


def test_start_after(s3, filled, names):
    for after in ["", "a", "a/1", "b", "b/zzz", "zzzz", "ä"]:
        answer = s3.list_objects_v2(Bucket=filled, StartAfter=after)
        got = [item["Key"] for item in answer.get("Contents", [])]
        assert got == expected(names, after=after)[0]


def test_fields(s3, filled):
    answer = s3.list_objects_v2(Bucket=filled, Prefix="a/1")
    item = answer["Contents"][0]
    head = s3.head_object(Bucket=filled, Key="a/1")
    assert item["Size"] == 3
    assert item["ETag"] == head["ETag"]
    assert item["StorageClass"] == "STANDARD"
    assert "Owner" not in item
    assert answer["Name"] == filled and answer["MaxKeys"] == 1000
    answer = s3.list_objects_v2(Bucket=filled, Prefix="a/1", FetchOwner=True)
    assert answer["Contents"][0]["Owner"]["ID"]
    answer = s3.list_objects(Bucket=filled, Prefix="a/1")
    assert answer["Contents"][0]["Owner"]["ID"]


def test_max_keys(s3, filled, refused):
    answer = s3.list_objects_v2(Bucket=filled, MaxKeys=0)
    assert answer["KeyCount"] == 0 and not answer["IsTruncated"]
    answer = s3.list_objects_v2(Bucket=filled, MaxKeys=5000)
    assert answer["MaxKeys"] == 1000
    with refused("InvalidArgument", 400):
        s3.list_objects_v2(Bucket=filled, MaxKeys=-1)


def test_bad_token(s3, filled, refused):
    with refused("InvalidArgument", 400):
        s3.list_objects_v2(Bucket=filled, ContinuationToken="no such token")


def test_versions(s3, filled, names):
    got, more = [], {}
    while True:
        answer = s3.list_object_versions(Bucket=filled, MaxKeys=4, **more)
        got += [v["Key"] for v in answer.get("Versions", [])]
        assert all(v["VersionId"] == "null" for v in answer["Versions"])
        if not answer["IsTruncated"]:
            break
        more = {"KeyMarker": answer["NextKeyMarker"],
                "VersionIdMarker": answer["NextVersionIdMarker"]}
    assert got == names
    answer = s3.list_object_versions(Bucket=filled, Delimiter="/")
    assert [p["Prefix"] for p in answer["CommonPrefixes"]] == expected(
        names, delimiter="/")[1]


def test_thousands(s3, bucket):
    """More keys than a page; a listing sees every one at once, in order."""
    keys = [f"n/{i:05d}" for i in range(1234)]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    first = s3.list_objects_v2(Bucket=bucket)
    assert first["IsTruncated"] and first["KeyCount"] == 1000
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    assert [i["Key"] for page in pages for i in page["Contents"]] == keys
    answer = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert answer["KeyCount"] == 1


def test_list_after_write(s3, bucket):
    for i in range(100):
        s3.put_object(Bucket=bucket, Key=f"k{i:03d}", Body=b"")
        answer = s3.list_objects_v2(Bucket=bucket, StartAfter=f"k{i - 1:03d}")
        assert [item["Key"] for item in answer["Contents"]] == [f"k{i:03d}"]
    for i in range(100):
        s3.delete_object(Bucket=bucket, Key=f"k{i:03d}")
        answer = s3.list_objects_v2(Bucket=bucket)
        assert answer["KeyCount"] == 99 - i
