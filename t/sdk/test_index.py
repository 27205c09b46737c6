"""The index of a drive damaged under a server: every answer right, and all of
it made anew from the log."""

import hashlib
import json
import pathlib
import random
import shutil
import time
import urllib.request

from conftest import make_client

KEYS = 300
VICTIM = 0  # of 4 drives, 2 of which may be lost


def fill(server, bucket, keys):
    rand = random.Random(5)
    client = make_client(server)
    client.create_bucket(Bucket=bucket)
    state = {}
    for i in range(keys):
        key = f"a/prefix/that/is/long/enough/{i % 7}/{i:05d}"
        body = rand.randbytes(rand.choice([0, 10, 300, 20000, 200000]))
        client.put_object(Bucket=bucket, Key=key, Body=body)
        state[key] = hashlib.md5(body).hexdigest()
    for key in list(state)[::9]:
        client.delete_object(Bucket=bucket, Key=key)
        del state[key]
    return state


def check(server, bucket, state):
    client = make_client(server)
    listed = set()
    for page in client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, PaginationConfig={"PageSize": 50}):
        listed |= {item["Key"] for item in page.get("Contents", [])}
    assert listed == set(state)
    for key, value in state.items():
        body = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        assert hashlib.md5(body).hexdigest() == value, key


def drives(server):
    with urllib.request.urlopen(f"{server.url}/-/status", timeout=10) as r:
        return json.load(r)["drives"]


def paths(server):
    return [pathlib.Path(d["path"]) for d in drives(server)]


def tables(drive):
    return sorted((drive / "index").glob("*.tab"))


def until(what, seconds, condition):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def healed(server):
    return all(d["state"] == "ok" and d["repairs_pending"] == 0
               for d in drives(server))


def without_others(server, where, bucket, state):
    """Two of the others are away: the drive has to have all of its own."""
    server.stop()
    away = [where[1], where[2]]
    for drive in away:
        drive.rename(drive.with_suffix(".away"))
    server.start()
    check(server, bucket, state)
    server.stop()
    for drive in away:
        shutil.rmtree(drive, ignore_errors=True)
        drive.with_suffix(".away").rename(drive)
    server.start()


def test_tables_damaged(own_server):
    server = own_server.start()
    state = fill(server, "damaged", KEYS)
    server.stop()
    server.start()  # writes all into tables
    where = paths(server)
    rand = random.Random(7)

    for round in range(2):
        names = [p.name for p in tables(where[VICTIM])]
        assert names
        found = drives(server)[VICTIM]["corrupt_found"]
        for table in tables(where[VICTIM]):
            with open(table, "r+b") as f:
                size = f.seek(0, 2)
                for _ in range(max(4, size // 8192)):
                    f.seek(rand.randrange(size))
                    f.write(bytes([rand.randrange(256)]))
        if round:
            # every worker opens them anew, be it that it cannot
            server.stop()
            server.start()
        check(server, "damaged", state)
        until("found", 30, lambda: drives(server)[VICTIM]["corrupt_found"]
              > (0 if round else found))
        until("made anew", 60, lambda: healed(server) and not
              {p.name for p in tables(where[VICTIM])} & set(names))
        check(server, "damaged", state)
        server.stop()
        server.start()

    assert "is made anew from the log" in (server.data
                                           / "error.log").read_text()
    without_others(server, where, "damaged", state)
    check(server, "damaged", state)


def test_manifests_lost(own_server):
    server = own_server.start()
    state = fill(server, "lost", KEYS // 2)
    where = paths(server)

    for i, damage in enumerate((lambda p: p.unlink(),
                                lambda p: p.write_bytes(b"\0" * 500))):
        server.stop()
        for name in ("MANIFEST", "MANIFEST.copy"):
            damage(where[VICTIM] / "index" / name)
        server.start()
        check(server, "lost", state)
        until("is back", 60, lambda: healed(server))
        assert drives(server)[VICTIM]["corrupt_found"] >= 1
        check(server, "lost", state)

    without_others(server, where, "lost", state)
    check(server, "lost", state)
