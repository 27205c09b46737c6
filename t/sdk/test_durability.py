"""What was acknowledged stays: restarts, kill -9 of everything under load,
drives that go away and come back."""

import collections
import concurrent.futures
import hashlib
import itertools
import os
import random
import threading
import time

import botocore.exceptions

from conftest import make_client

SIZES = [0, 100, 5000, 40000, 200000, 1500000]


class Load:
    """Writers that remember what the server acknowledged: per key the last
    acknowledged state, and what was sent after it without an answer."""

    def __init__(self, server, bucket, writers=6):
        self.server, self.bucket = server, bucket
        self.stopping = threading.Event()
        self.acked = {}
        self.open = collections.defaultdict(list)
        self.done = 0
        self.threads = [threading.Thread(target=self.write, args=(n,))
                        for n in range(writers)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def write(self, number):
        rand = random.Random(number)
        client = make_client(self.server, connect_timeout=5)
        for i in itertools.count():
            if self.stopping.is_set():
                return
            key = f"w{number}/{rand.randrange(40):02d}"
            body = rand.randbytes(rand.choice(SIZES))
            delete = key in self.acked and rand.random() < 0.15
            value = None if delete else hashlib.md5(body).hexdigest()
            self.open[key].append(value)
            try:
                if delete:
                    client.delete_object(Bucket=self.bucket, Key=key)
                else:
                    client.put_object(Bucket=self.bucket, Key=key, Body=body)
            except (botocore.exceptions.BotoCoreError,
                    botocore.exceptions.ClientError):
                time.sleep(0.05)
                continue
            self.acked[key] = value
            self.open[key].clear()
            self.done += 1

    def check(self, client=None):
        client = client or make_client(self.server)
        listed = set()
        for page in client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket):
            listed |= {item["Key"] for item in page.get("Contents", [])}
        for key in set(self.acked) | set(self.open):
            allowed = {self.acked.get(key), *self.open[key]}
            try:
                got = client.get_object(Bucket=self.bucket, Key=key)
                body = got["Body"].read()
                value = hashlib.md5(body).hexdigest()
                assert got["ETag"] == f'"{value}"', key
            except client.exceptions.NoSuchKey:
                value = None
            assert value in allowed, f"{key}: {value} is none of {allowed}"
            assert (key in listed) == (value is not None), key


def run_load(server, bucket, seconds):
    load = Load(server, bucket)
    load.start()
    time.sleep(seconds)
    return load


def test_clean_restart(own_server):
    one = own_server.start()
    make_client(one).create_bucket(Bucket="load")
    load = run_load(one, "load", 3)
    load.stop()
    assert load.done > 50
    load.check()
    one.stop()
    one.start()
    load.check()
    one.stop()


def test_kill_everything_under_load(own_server):
    one = own_server.start()
    make_client(one).create_bucket(Bucket="load")
    for round_ in range(3):
        load = run_load(one, "load", 2 + round_ / 2)
        one.kill()
        load.stop()
        assert load.done > 20
        one.start()
        load.check()
        client = make_client(one)
        for key in list(load.acked):
            client.delete_object(Bucket="load", Key=key)
        for key in list(load.open):
            client.delete_object(Bucket="load", Key=key)
        assert client.list_objects_v2(Bucket="load")["KeyCount"] == 0
    one.stop()


def test_killed_in_a_multipart_upload(own_server):
    one = own_server.start()
    client = make_client(one)
    client.create_bucket(Bucket="bucket")
    upload = client.create_multipart_upload(Bucket="bucket", Key="k")["UploadId"]
    bodies = [os.urandom(5 << 20), os.urandom(1000)]
    parts = []
    for number, body in enumerate(bodies, 1):
        etag = client.upload_part(Bucket="bucket", Key="k", UploadId=upload,
                                  PartNumber=number, Body=body)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
        one.kill()
        one.start()
        client = make_client(one)
    client.complete_multipart_upload(Bucket="bucket", Key="k", UploadId=upload,
                                     MultipartUpload={"Parts": parts})
    one.kill()
    one.start()
    client = make_client(one)
    got = client.get_object(Bucket="bucket", Key="k")["Body"].read()
    assert got == b"".join(bodies)
    assert "Uploads" not in client.list_multipart_uploads(Bucket="bucket")
    one.stop()


def fill(client, bucket):
    client.create_bucket(Bucket=bucket)
    bodies = {}
    rand = random.Random(5)
    for number, size in enumerate(SIZES * 5 + [12 << 20]):
        key = f"k{number:03d}"
        bodies[key] = rand.randbytes(size)
        client.put_object(Bucket=bucket, Key=key, Body=bodies[key])
    return bodies


def check(client, bucket, bodies):
    listed = client.list_objects_v2(Bucket=bucket)["Contents"]
    assert [item["Key"] for item in listed] == sorted(bodies)
    for key, body in bodies.items():
        got = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        assert got == body, key


def test_a_drive_away_at_start(own_server):
    """Any one of four drives (parity 2) can be missing: reads and writes go
    on; when it is back, it catches up."""
    one = own_server.start()
    bodies = fill(make_client(one), "bucket")
    one.stop()
    for number in (1, 4):
        drive = one.data / f"drive{number}"
        away = one.data / "away"
        drive.rename(away)
        one.start()
        client = make_client(one)
        check(client, "bucket", bodies)
        for key in (f"new{number}", "k003"):
            bodies[key] = os.urandom(300000)
            client.put_object(Bucket="bucket", Key=key, Body=bodies[key])
        client.delete_object(Bucket="bucket", Key=f"k00{number}")
        del bodies[f"k00{number}"]
        check(client, "bucket", bodies)
        one.stop()
        assert not drive.exists()
        away.rename(drive)
        one.start()
        check(make_client(one), "bucket", bodies)
        one.stop()


def test_two_drives_away(own_server):
    """Parity 2 of 4: reads go on with two drives missing."""
    one = own_server.start()
    bodies = fill(make_client(one), "bucket")
    one.stop()
    for number in (2, 3):
        (one.data / f"drive{number}").rename(one.data / f"away{number}")
    one.start()
    check(make_client(one), "bucket", bodies)
    one.stop()
    for number in (2, 3):
        (one.data / f"away{number}").rename(one.data / f"drive{number}")
    one.start()
    check(make_client(one), "bucket", bodies)
    one.stop()


def test_a_drive_goes_while_running(own_server):
    one = own_server.start()
    client = make_client(one, retries={"max_attempts": 5})
    bodies = fill(client, "bucket")
    drive, away = one.data / "drive2", one.data / "away"
    drive.rename(away)
    check(client, "bucket", bodies)
    for i in range(10):
        bodies[f"new{i}"] = os.urandom(700000)
        client.put_object(Bucket="bucket", Key=f"new{i}", Body=bodies[f"new{i}"])
    check(client, "bucket", bodies)
    one.stop()
    if not drive.exists():
        away.rename(drive)
    one.start()
    check(make_client(one), "bucket", bodies)
    one.stop()


def test_a_damaged_drive(own_server):
    """Flipped bytes all over one drive are noticed, and read around."""
    one = own_server.start()
    bodies = fill(make_client(one), "bucket")
    one.stop()
    rand = random.Random(3)
    damaged = 0
    for path in (one.data / "drive3" / "blob").rglob("*"):
        if not path.is_file():
            continue
        with open(path, "r+b") as blob:
            size = path.stat().st_size
            for _ in range(20):
                if size:
                    at = rand.randrange(size)
                    blob.seek(at)
                    byte = blob.read(1)
                    blob.seek(at)
                    blob.write(bytes([byte[0] ^ 0x55]))
                    damaged += 1
    assert damaged
    one.start()
    check(make_client(one), "bucket", bodies)
    one.stop()


def test_space_comes_back(own_server):
    """Overwriting the same object does not fill the drives."""
    one = own_server.start()
    client = make_client(one)
    client.create_bucket(Bucket="bucket")

    def blocks(path):
        try:
            return path.stat().st_blocks
        except FileNotFoundError:           # the store has just removed it
            return 0

    def used():
        return sum(blocks(path) * 512 for drive in range(1, 5)
                   for path in (one.data / f"drive{drive}").rglob("*")
                   if path.is_file())

    body = os.urandom(4 << 20)
    for _ in range(3):
        client.put_object(Bucket="bucket", Key="k", Body=body)
    before = used()
    for _ in range(40):
        client.put_object(Bucket="bucket", Key="k", Body=body)
    deadline = time.monotonic() + 60
    while used() > before + (80 << 20) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert used() <= before + (80 << 20)
    one.stop()


def files(server):
    """Of blobs, on all drives."""
    return sum(1 for drive in range(1, 5)
               for path in (server.data / f"drive{drive}" / "blob").rglob("*")
               if path.is_file())


def test_slow_reader(own_server):
    """A download goes on with what it began with, though its object is
    overwritten, tagged or deleted meanwhile; then the space comes back."""
    one = own_server.start()
    client, other = make_client(one), make_client(one)
    client.create_bucket(Bucket="bucket")
    size = 48 << 20
    old = random.Random(1).randbytes(size)

    def upload(key):
        made = client.create_multipart_upload(Bucket="bucket", Key=key)
        parts = [client.upload_part(
                     Bucket="bucket", Key=key, PartNumber=n + 1,
                     UploadId=made["UploadId"],
                     Body=old[n * (size // 6):(n + 1) * (size // 6)])
                 for n in range(6)]
        client.complete_multipart_upload(
            Bucket="bucket", Key=key, UploadId=made["UploadId"],
            MultipartUpload={"Parts": [
                {"PartNumber": n + 1, "ETag": part["ETag"]}
                for n, part in enumerate(parts)]})

    for key in ["over", "deleted"]:
        client.put_object(Bucket="bucket", Key=key, Body=old)
    upload("parts")
    before = files(one)

    bodies = {key: client.get_object(Bucket="bucket", Key=key)["Body"]
              for key in ["over", "deleted", "parts"]}
    got = {key: body.read(100000) for key, body in bodies.items()}

    other.put_object_tagging(Bucket="bucket", Key="over",
                             Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    for _ in range(3):
        other.put_object(Bucket="bucket", Key="over", Body=old[:1 << 20])
    for key in ["deleted", "parts"]:
        other.delete_object(Bucket="bucket", Key=key)
    time.sleep(4)

    for key, body in bodies.items():
        got[key] += body.read()
        assert got[key] == old, key
    assert (client.get_object(Bucket="bucket", Key="over")["Body"].read()
            == old[:1 << 20])

    deadline = time.monotonic() + 20
    while files(one) > 4 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert before > 12 and files(one) == 4
    one.stop()


def test_many_clients(own_server):
    """The last of many concurrent writers of one key wins whole."""
    one = own_server.start()
    clients = [make_client(one) for _ in range(8)]
    clients[0].create_bucket(Bucket="bucket")
    bodies = [bytes([n]) * size for n, size in
              enumerate([100, 50000, 300000, 2000000] * 2)]

    def work(n):
        for _ in range(10):
            clients[n].put_object(Bucket="bucket", Key="k", Body=bodies[n])
            got = clients[n].get_object(Bucket="bucket", Key="k")["Body"].read()
            assert got in bodies
        return True

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    one.stop()
