"""Presigned URLs, used by curl: nothing of an SDK at the other end."""

import subprocess

import pytest


def curl(*arguments):
    out = subprocess.run(
        ["curl", "-s", "--noproxy", "*", "--max-time", "60",
         "-w", "\n%{http_code}", *arguments],
        check=True, capture_output=True).stdout
    body, _, status = out.rpartition(b"\n")
    return int(status), body


def test_get_put_head_delete(s3, bucket, tmp_path):
    def url(call, **arguments):
        return s3.generate_presigned_url(call, Params={
            "Bucket": bucket, "Key": "dir/a b+ä.txt", **arguments},
            ExpiresIn=300)

    body = bytes(range(256)) * 5000
    path = tmp_path / "body"
    path.write_bytes(body)
    assert curl("-T", str(path), url("put_object")) == (200, b"")
    assert curl(url("get_object")) == (200, body)
    assert curl("-r", "10-19", url("get_object")) == (206, body[10:20])
    status, headers = curl("-I", url("head_object"))
    assert status == 200
    status, headers = curl("-D-", "-o", "/dev/null", url(
        "get_object", ResponseContentType="text/special"))
    assert status == 200 and b"ontent-Type: text/special\r\n" in headers
    assert curl("-X", "DELETE", url("delete_object"))[0] == 204
    status, error = curl(url("get_object"))
    assert status == 404 and b"<Code>NoSuchKey</Code>" in error


def test_multipart(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    url = s3.generate_presigned_url("upload_part", Params={
        "Bucket": bucket, "Key": "k", "UploadId": upload, "PartNumber": 1})
    status, headers = curl("-D-", "-X", "PUT", "--data-binary", "hello", url)
    assert status == 200
    etag = [h.split(b": ")[1].strip().decode() for h in headers.split(b"\n")
            if h.lower().startswith(b"etag")][0]
    s3.complete_multipart_upload(
        Bucket=bucket, Key="k", UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"hello"


def test_chunked_upload_of_unknown_length(s3, bucket, tmp_path):
    url = s3.generate_presigned_url("put_object", Params={
        "Bucket": bucket, "Key": "k"})
    (tmp_path / "b").write_bytes(b"x" * 300000)
    with open(tmp_path / "b", "rb") as body:
        out = subprocess.run(["curl", "-s", "--noproxy", "*", "-T", "-", url,
                              "-w", "%{http_code}"], stdin=body,
                             check=True, capture_output=True).stdout
    # the whole of it, or a refusal: never something between
    if out.endswith(b"200"):
        got = s3.get_object(Bucket=bucket, Key="k")["Body"].read()
        assert got == b"x" * 300000
    else:
        assert out[-3:] in (b"411", b"501")
        assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("change,status,code", [
    (lambda u: u.replace("X-Amz-Expires=300", "X-Amz-Expires=301"), 403,
     b"SignatureDoesNotMatch"),
    (lambda u: u.replace("X-Amz-Expires=300", "X-Amz-Expires=604801"), 400,
     b"AuthorizationQueryParametersError"),
    (lambda u: u.replace("X-Amz-Expires=300", "X-Amz-Expires=x"), 400,
     b"AuthorizationQueryParametersError"),
    (lambda u: u.replace("X-Amz-Expires=300&", ""), 400,
     b"AuthorizationQueryParametersError"),
    (lambda u: u + "&x=y", 403, b"SignatureDoesNotMatch"),
    (lambda u: u.replace("/k?", "/other?"), 403, b"SignatureDoesNotMatch"),
    (lambda u: u.split("?")[0], 403, b"AccessDenied"),
])
def test_changed(s3, bucket, change, status, code):
    s3.put_object(Bucket=bucket, Key="k", Body=b"secret")
    s3.put_object(Bucket=bucket, Key="other", Body=b"secret")
    url = s3.generate_presigned_url("get_object", Params={
        "Bucket": bucket, "Key": "k"}, ExpiresIn=300)
    got, body = curl(change(url))
    assert (got, code in body) == (status, True), body


def test_anonymous(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"secret")
    for arguments in ([f"{server.url}/"], [f"{server.url}/{bucket}"],
                      [f"{server.url}/{bucket}/k"],
                      ["-X", "DELETE", f"{server.url}/{bucket}/k"],
                      ["-X", "PUT", "-d", "x", f"{server.url}/{bucket}/n"],
                      ["-X", "POST", "-d", "x", f"{server.url}/{bucket}?delete"]):
        status, body = curl(*arguments)
        assert status == 403 and b"<Code>AccessDenied</Code>" in body
        assert b"secret" not in body
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
