"""Fixtures: a running server, clients for it, a fresh bucket.

S3_TEST_ENDPOINT, S3_TEST_ACCESS_KEY and S3_TEST_SECRET_KEY name another
server instead; what belongs to ./serve alone is then skipped.
"""

import os
import pathlib
import signal
import tempfile
import uuid

import boto3
import botocore.config
import botocore.exceptions
import pytest

from server import Server

REGION = "us-east-1"


def interrupted(number, frame):
    """Once: what follows is cleaning up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def pytest_configure(config):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)


class External:
    url = os.environ.get("S3_TEST_ENDPOINT")
    access_key = os.environ.get("S3_TEST_ACCESS_KEY")
    secret_key = os.environ.get("S3_TEST_SECRET_KEY")


@pytest.fixture(scope="session")
def server():
    if External.url:
        yield External
        return
    base = os.environ.get("S3_TEST_DATA") or tempfile.mkdtemp(prefix="s3-sdk-")
    one = Server(pathlib.Path(base) / "store")
    try:
        one.start()
        yield one
        one.stop()
    finally:
        one.kill()
        one.remove()
        if not os.environ.get("S3_TEST_DATA"):
            os.rmdir(base)


@pytest.fixture
def own_server(tmp_path):
    """A server for tests that stop, kill or damage it."""
    if External.url:
        pytest.skip("only with ./serve")
    one = Server(tmp_path / "store", "--workers", "2")
    yield one
    one.kill()
    one.remove()


def make_client(server, **config):
    retries = config.pop("retries", {"max_attempts": 1})
    s3 = {"addressing_style": "path", **config.pop("s3", {})}
    return boto3.client(
        "s3", endpoint_url=server.url, region_name=REGION,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        # without the version, boto signs URLs as it did before SigV4
        config=botocore.config.Config(retries=retries, s3=s3,
                                      signature_version="s3v4",
                                      read_timeout=60, **config))


@pytest.fixture(scope="session")
def s3(server):
    return make_client(server)


@pytest.fixture
def bucket(s3):
    name = "test-" + uuid.uuid4().hex[:20]
    s3.create_bucket(Bucket=name)
    yield name
    empty(s3, name)
    s3.delete_bucket(Bucket=name)


def empty(s3, name):
    for upload in s3.list_multipart_uploads(Bucket=name).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=name, Key=upload["Key"],
                                  UploadId=upload["UploadId"])
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
        keys = [{"Key": item["Key"]} for item in page.get("Contents", [])]
        if keys:
            s3.delete_objects(Bucket=name, Delete={"Objects": keys})


class Refused:
    """with refused("NoSuchKey", 404): ..."""

    def __init__(self, code, status):
        self.code, self.status = code, status

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        assert kind is not None, f"expected {self.code}, got success"
        if not issubclass(kind, botocore.exceptions.ClientError):
            return False
        self.response = error.response
        got = error.response["Error"]["Code"]
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert (got, status) == (self.code, self.status), error
        return True


@pytest.fixture(scope="session")
def refused():
    return Refused
