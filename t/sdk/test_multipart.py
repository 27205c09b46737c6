import base64
import concurrent.futures
import hashlib
import random
import zlib

import boto3.s3.transfer
import pytest

MIB = 1 << 20


def data(size, seed=1):
    return random.Random(seed).randbytes(size)


def upload(s3, bucket, key, parts, **arguments):
    begun = s3.create_multipart_upload(Bucket=bucket, Key=key, **arguments)
    done = []
    for number, body in parts:
        answer = s3.upload_part(Bucket=bucket, Key=key, PartNumber=number,
                                UploadId=begun["UploadId"], Body=body)
        done.append({"PartNumber": number, "ETag": answer["ETag"]})
    return begun["UploadId"], done


def complete(s3, bucket, key, upload_id, parts, **arguments):
    return s3.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload_id,
        MultipartUpload={"Parts": parts}, **arguments)


def etag_of(bodies):
    sums = b"".join(hashlib.md5(body).digest() for body in bodies)
    return f'"{hashlib.md5(sums).hexdigest()}-{len(bodies)}"'


def test_upload(s3, bucket, refused):
    bodies = [data(5 * MIB, 1), data(6 * MIB + 33, 2), data(17, 3)]
    upload_id, parts = upload(s3, bucket, "k", list(zip((1, 2, 7), bodies)),
                              Metadata={"a": "b"}, ContentType="text/x",
                              StorageClass="REDUCED_REDUNDANCY")
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="k")
    answer = complete(s3, bucket, "k", upload_id, parts)
    assert answer["ETag"] == etag_of(bodies)
    assert answer["Bucket"] == bucket and answer["Key"] == "k"
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == b"".join(bodies)
    assert got["Metadata"] == {"a": "b"} and got["ContentType"] == "text/x"
    assert got["StorageClass"] == "REDUCED_REDUNDANCY"
    # a repetition of what was done is answered as the first time
    assert complete(s3, bucket, "k", upload_id, parts)["ETag"] == answer["ETag"]
    # one part, by the number it was uploaded with
    head = s3.head_object(Bucket=bucket, Key="k", PartNumber=2)
    assert head["PartsCount"] == 3
    assert head["ContentLength"] == len(bodies[1])
    got = s3.get_object(Bucket=bucket, Key="k", PartNumber=7)
    assert got["Body"].read() == bodies[2]
    with refused("InvalidPartNumber", 416):
        s3.get_object(Bucket=bucket, Key="k", PartNumber=8)
    # ranges over the edges of the parts
    whole = b"".join(bodies)
    for first, last in [(5 * MIB - 10, 5 * MIB + 10), (0, len(whole) - 1),
                        (11 * MIB + 20, len(whole) - 1)]:
        got = s3.get_object(Bucket=bucket, Key="k",
                            Range=f"bytes={first}-{last}")
        assert got["Body"].read() == whole[first:last + 1]


def test_part_of_a_plain_object(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"abc")
    got = s3.get_object(Bucket=bucket, Key="k", PartNumber=1)
    assert got["Body"].read() == b"abc"
    with refused("InvalidPartNumber", 416):
        s3.get_object(Bucket=bucket, Key="k", PartNumber=2)


def test_part_again(s3, bucket):
    upload_id, _ = upload(s3, bucket, "k", [(1, data(5 * MIB, 9)),
                                            (2, b"old")])
    one = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id,
                         PartNumber=1, Body=data(5 * MIB, 10))
    two = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id,
                         PartNumber=2, Body=b"new")
    complete(s3, bucket, "k", upload_id, [
        {"PartNumber": 1, "ETag": one["ETag"]},
        {"PartNumber": 2, "ETag": two["ETag"].strip('"')}])
    got = s3.get_object(Bucket=bucket, Key="k")["Body"].read()
    assert got == data(5 * MIB, 10) + b"new"


def test_refusals(s3, bucket, refused):
    upload_id, parts = upload(s3, bucket, "k", [(1, b"small"), (2, b"last")])
    with refused("EntityTooSmall", 400):
        complete(s3, bucket, "k", upload_id, parts)
    with refused("InvalidPartOrder", 400):
        complete(s3, bucket, "k", upload_id, parts[::-1])
    with refused("InvalidPart", 400):
        complete(s3, bucket, "k", upload_id,
                 [{"PartNumber": 1, "ETag": parts[1]["ETag"]}])
    with refused("InvalidPart", 400):
        complete(s3, bucket, "k", upload_id,
                 [{"PartNumber": 9, "ETag": parts[1]["ETag"]}])
    with refused("MalformedXML", 400):
        complete(s3, bucket, "k", upload_id, [])
    with refused("NoSuchUpload", 404):
        complete(s3, bucket, "k", "nosuchupload", parts)
    with refused("NoSuchUpload", 404):
        complete(s3, bucket, "other", upload_id, parts)
    with refused("NoSuchUpload", 404):
        s3.upload_part(Bucket=bucket, Key="k", PartNumber=1,
                       UploadId="nosuchupload", Body=b"x")
    for number in (0, 10001, -1):
        with refused("InvalidArgument", 400):
            s3.upload_part(Bucket=bucket, Key="k", PartNumber=number,
                           UploadId=upload_id, Body=b"x")
    # after all of that it can still be completed
    complete(s3, bucket, "k", upload_id, parts[:1])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"small"


def test_abort(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"before")
    upload_id, parts = upload(s3, bucket, "k", [(1, b"x")])
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id)
    with refused("NoSuchUpload", 404):
        s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id)
    with refused("NoSuchUpload", 404):
        complete(s3, bucket, "k", upload_id, parts)
    with refused("NoSuchUpload", 404):
        s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"before"


def test_list_parts(s3, bucket):
    upload_id, parts = upload(s3, bucket, "k",
                              [(n, data(n, n)) for n in (1, 3, 5, 7, 10000)])
    answer = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id)
    assert [(p["PartNumber"], p["ETag"], p["Size"])
            for p in answer["Parts"]] == [
        (p["PartNumber"], p["ETag"], p["PartNumber"]) for p in parts]
    got, marker = [], 0
    while True:
        answer = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id,
                               MaxParts=2, PartNumberMarker=marker)
        got += [p["PartNumber"] for p in answer["Parts"]]
        if not answer["IsTruncated"]:
            break
        marker = answer["NextPartNumberMarker"]
    assert got == [1, 3, 5, 7, 10000]


def test_list_uploads(s3, bucket):
    begun = []
    for key in ("a", "b/1", "b/1", "b/2", "c"):
        answer = s3.create_multipart_upload(Bucket=bucket, Key=key)
        begun.append((key, answer["UploadId"]))
    answer = s3.list_multipart_uploads(Bucket=bucket)
    assert sorted((u["Key"], u["UploadId"]) for u in answer["Uploads"]) == \
        sorted(begun)
    assert [u["Key"] for u in answer["Uploads"]] == [k for k, _ in begun]
    got, more = [], {}
    while True:
        answer = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=2, **more)
        got += [(u["Key"], u["UploadId"]) for u in answer["Uploads"]]
        if not answer["IsTruncated"]:
            break
        more = {"KeyMarker": answer["NextKeyMarker"],
                "UploadIdMarker": answer["NextUploadIdMarker"]}
    assert sorted(got) == sorted(begun)
    answer = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [u["Key"] for u in answer["Uploads"]] == ["a", "c"]
    assert [p["Prefix"] for p in answer["CommonPrefixes"]] == ["b/"]
    answer = s3.list_multipart_uploads(Bucket=bucket, Prefix="b/")
    assert len(answer["Uploads"]) == 3


def test_part_copy(s3, bucket, refused):
    body = data(11 * MIB)
    s3.put_object(Bucket=bucket, Key="src ä", Body=body)
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    source = {"Bucket": bucket, "Key": "src ä"}
    done = []
    for number, span in [(1, f"bytes=0-{6 * MIB - 1}"),
                         (2, f"bytes={6 * MIB}-{11 * MIB - 1}")]:
        answer = s3.upload_part_copy(
            Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=number,
            CopySource=source, CopySourceRange=span)["CopyPartResult"]
        done.append({"PartNumber": number, "ETag": answer["ETag"]})
    with refused("InvalidArgument", 400):
        s3.upload_part_copy(Bucket=bucket, Key="k", UploadId=upload_id,
                            PartNumber=3, CopySource=source,
                            CopySourceRange="bytes=5-")
    with refused("PreconditionFailed", 412):
        s3.upload_part_copy(Bucket=bucket, Key="k", UploadId=upload_id,
                            PartNumber=3, CopySource=source,
                            CopySourceIfMatch='"no"')
    with refused("NoSuchKey", 404):
        s3.upload_part_copy(Bucket=bucket, Key="k", UploadId=upload_id,
                            PartNumber=3,
                            CopySource={"Bucket": bucket, "Key": "absent"})
    complete(s3, bucket, "k", upload_id, done)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == body


def test_composite_checksum(s3, bucket, refused):
    bodies = [data(5 * MIB, 1), data(100, 2)]
    upload_id = s3.create_multipart_upload(
        Bucket=bucket, Key="k", ChecksumAlgorithm="SHA256")["UploadId"]
    done, sums = [], b""
    for number, body in enumerate(bodies, 1):
        answer = s3.upload_part(Bucket=bucket, Key="k", PartNumber=number,
                                UploadId=upload_id, Body=body,
                                ChecksumAlgorithm="SHA256")
        sums += hashlib.sha256(body).digest()
        done.append({"PartNumber": number, "ETag": answer["ETag"],
                     "ChecksumSHA256": answer["ChecksumSHA256"]})
    wrong = [{**done[0], "ChecksumSHA256": done[1]["ChecksumSHA256"]}, done[1]]
    with refused("InvalidPart", 400):
        complete(s3, bucket, "k", upload_id, wrong)
    bare = {k: done[0][k] for k in ("PartNumber", "ETag")}
    with refused("InvalidRequest", 400):
        complete(s3, bucket, "k", upload_id, [bare, done[1]])
    expect = base64.b64encode(hashlib.sha256(sums).digest()).decode() + "-2"
    answer = complete(s3, bucket, "k", upload_id, done)
    assert answer["ChecksumSHA256"] == expect
    assert answer["ChecksumType"] == "COMPOSITE"
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == expect
    got = s3.get_object_attributes(
        Bucket=bucket, Key="k", MaxParts=1,
        ObjectAttributes=["ObjectParts", "Checksum", "ObjectSize"])
    assert got["ObjectParts"]["TotalPartsCount"] == 2
    assert got["ObjectParts"]["IsTruncated"]
    assert got["ObjectParts"]["Parts"] == [
        {"PartNumber": 1, "Size": 5 * MIB,
         "ChecksumSHA256": done[0]["ChecksumSHA256"]}]


def test_full_object_checksum(s3, bucket, refused):
    bodies = [data(5 * MIB, 1), data(5 * MIB + 1, 2), data(100, 3)]
    upload_id = s3.create_multipart_upload(
        Bucket=bucket, Key="k", ChecksumAlgorithm="CRC32",
        ChecksumType="FULL_OBJECT")["UploadId"]
    done = []
    for number, body in enumerate(bodies, 1):
        answer = s3.upload_part(Bucket=bucket, Key="k", PartNumber=number,
                                UploadId=upload_id, Body=body,
                                ChecksumAlgorithm="CRC32")
        done.append({"PartNumber": number, "ETag": answer["ETag"],
                     "ChecksumCRC32": answer["ChecksumCRC32"]})
    whole = zlib.crc32(b"".join(bodies)).to_bytes(4, "big")
    expect = base64.b64encode(whole).decode()
    with refused("BadDigest", 400):
        complete(s3, bucket, "k", upload_id, done, ChecksumCRC32="AAAAAA==",
                 ChecksumType="FULL_OBJECT")
    answer = complete(s3, bucket, "k", upload_id, done, ChecksumCRC32=expect,
                      ChecksumType="FULL_OBJECT")
    assert answer["ChecksumCRC32"] == expect
    assert answer["ChecksumType"] == "FULL_OBJECT"


def test_complete_conditions(s3, bucket, refused):
    old = s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    upload_id, parts = upload(s3, bucket, "k", [(1, b"new")])
    with refused("PreconditionFailed", 412):
        complete(s3, bucket, "k", upload_id, parts, IfNoneMatch="*")
    with refused("PreconditionFailed", 412):
        complete(s3, bucket, "k", upload_id, parts, IfMatch='"no"')
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"old"
    complete(s3, bucket, "k", upload_id, parts, IfMatch=old["ETag"])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"new"


@pytest.mark.parametrize("size", [50 * MIB + 1])
def test_transfer_manager(s3, bucket, tmp_path, size):
    """Many parts at once up, many ranges at once down."""
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(data(size))
    config = boto3.s3.transfer.TransferConfig(
        multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB,
        max_concurrency=8)
    s3.upload_file(str(source), bucket, "k", Config=config)
    s3.download_file(bucket, "k", str(target), Config=config)
    assert source.read_bytes() == target.read_bytes()


def test_many_small_parts_out_of_order(s3, bucket):
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    bodies = {n: data(5 * MIB + n, n) for n in range(1, 7)}

    def put(number):
        answer = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id,
                                PartNumber=number, Body=bodies[number])
        return {"PartNumber": number, "ETag": answer["ETag"]}

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        parts = list(pool.map(put, reversed(bodies)))
    parts.sort(key=lambda p: p["PartNumber"])
    complete(s3, bucket, "k", upload_id, parts)
    got = s3.get_object(Bucket=bucket, Key="k")["Body"].read()
    assert got == b"".join(bodies[n] for n in sorted(bodies))
