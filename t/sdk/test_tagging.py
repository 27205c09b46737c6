import pytest


@pytest.fixture
def key(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"abc")
    return {"Bucket": bucket, "Key": "k"}


def tags(**pairs):
    return [{"Key": k, "Value": v} for k, v in sorted(pairs.items())]


def read(s3, key):
    return sorted(s3.get_object_tagging(**key)["TagSet"],
                  key=lambda t: t["Key"])


def test_put_get_delete(s3, key):
    assert read(s3, key) == []
    before = s3.head_object(**key)
    given = tags(a="1", b="", c="ä b+c/d")
    s3.put_object_tagging(**key, Tagging={"TagSet": given})
    assert read(s3, key) == given
    got = s3.get_object(**key)
    assert got["TagCount"] == 3 and got["Body"].read() == b"abc"
    assert got["ETag"] == before["ETag"]
    assert got["LastModified"] == before["LastModified"]
    s3.put_object_tagging(**key, Tagging={"TagSet": tags(z="9")})
    assert read(s3, key) == tags(z="9")
    s3.delete_object_tagging(**key)
    assert read(s3, key) == []
    assert "TagCount" not in s3.get_object(**key)


def test_with_the_object(s3, bucket, key):
    s3.put_object(**key, Body=b"x", Tagging="a=1&b=sp%20ace")
    assert read(s3, key) == tags(a="1", b="sp ace")
    s3.put_object(**key, Body=b"x")
    assert read(s3, key) == []


def test_multipart(s3, key):
    upload = s3.create_multipart_upload(**key, Tagging="a=1")["UploadId"]
    part = s3.upload_part(**key, UploadId=upload, PartNumber=1, Body=b"x")
    s3.complete_multipart_upload(**key, UploadId=upload, MultipartUpload={
        "Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert read(s3, key) == tags(a="1")


def test_limits(s3, key, refused):
    good = [{"Key": f"{i:0128d}", "Value": "v" * 256} for i in range(10)]
    s3.put_object_tagging(**key, Tagging={"TagSet": good})
    assert read(s3, key) == good
    for bad in ([{"Key": "k" * 129, "Value": ""}],
                [{"Key": "k", "Value": "v" * 257}],
                [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}]):
        with refused("InvalidTag", 400):
            s3.put_object_tagging(**key, Tagging={"TagSet": bad})
    with refused("BadRequest", 400):
        s3.put_object_tagging(**key, Tagging={
            "TagSet": [{"Key": str(i), "Value": ""} for i in range(11)]})
    assert read(s3, key) == good


def test_absent(s3, bucket, refused):
    absent = {"Bucket": bucket, "Key": "none"}
    with refused("NoSuchKey", 404):
        s3.get_object_tagging(**absent)
    with refused("NoSuchKey", 404):
        s3.put_object_tagging(**absent, Tagging={"TagSet": []})
