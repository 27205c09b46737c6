"""The offline tool over drives that ./serve has left, whole and damaged."""

import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import time
import urllib.parse

import pytest

from conftest import External, make_client
from server import TOP, Server

S3CTL = os.environ.get("S3CTL", str(TOP / "build" / "s3ctl-asan"))
SIZES = [0, 100, 5000, 40000, 200000, 1500000]
BINARY = "a b/%\u00e9\"\\\n\x01"
EXTRA = 3 << 20

pytestmark = pytest.mark.skipif(bool(External.url), reason="only with ./serve")


def ctl(*args, expect=None):
    """Runs it; whatever the drives are like, it ends by itself."""
    done = subprocess.run([S3CTL, *map(str, args)], capture_output=True,
                          timeout=300)
    done.out = done.stdout.decode("ascii")
    done.err = done.stderr.decode(errors="replace")
    assert done.returncode in (0, 1, 2), done.err
    assert "Sanitizer" not in done.err and "runtime error" not in done.err
    if expect is not None:
        assert done.returncode == expect, done.out + done.err
    return done


def lines(*args, expect=0):
    out = ctl(*args, "--json", expect=expect).out
    return [json.loads(line) for line in out.splitlines()]


def fill(client):
    client.create_bucket(Bucket="bucket")
    client.create_bucket(Bucket="other")
    rand, bodies = random.Random(3), {}
    for number, size in enumerate(SIZES * 3):
        key = f"k{number:02d}"
        bodies[key] = rand.randbytes(size)
        client.put_object(Bucket="bucket", Key=key, Body=bodies[key],
                          ChecksumAlgorithm=["CRC32", "SHA256"][number % 2])
    bodies[BINARY] = rand.randbytes(300000)
    client.put_object(Bucket="bucket", Key=BINARY, Body=bodies[BINARY])
    client.put_object(Bucket="other", Key="k00", Body=b"other")
    client.delete_object(Bucket="bucket", Key="k01")
    del bodies["k01"]
    bodies["k03"] = rand.randbytes(EXTRA)
    client.put_object(Bucket="bucket", Key="k03", Body=bodies["k03"])
    for key, kind in ("composite", "COMPOSITE"), ("full", "FULL_OBJECT"):
        pieces = [rand.randbytes(5 << 20), rand.randbytes(6 << 20), b"tail"]
        upload = client.create_multipart_upload(
            Bucket="bucket", Key=key, ChecksumAlgorithm="CRC32",
            ChecksumType=kind)["UploadId"]
        parts = []
        for number, piece in enumerate(pieces, 1):
            part = client.upload_part(
                Bucket="bucket", Key=key, UploadId=upload, PartNumber=number,
                Body=piece, ChecksumAlgorithm="CRC32")
            parts.append({"PartNumber": number, "ETag": part["ETag"],
                          "ChecksumCRC32": part["ChecksumCRC32"]})
        client.complete_multipart_upload(
            Bucket="bucket", Key=key, UploadId=upload,
            MultipartUpload={"Parts": parts})
        bodies[key] = b"".join(pieces)
    upload = client.create_multipart_upload(Bucket="bucket", Key="open")
    client.upload_part(Bucket="bucket", Key="open", PartNumber=1,
                       UploadId=upload["UploadId"], Body=b"p" * 200000)
    return bodies


def run_and_fill(one):
    """Most of it is in tables in the end, the last is in the log alone."""
    one.start()
    bodies = fill(make_client(one))
    one.stop()
    one.start()
    bodies["last"] = b"last"
    make_client(one).put_object(Bucket="bucket", Key="last",
                                Body=bodies["last"], ChecksumAlgorithm="CRC32")
    one.stop()
    return bodies


class Store:
    def __init__(self, path, bodies):
        self.path, self.bodies = pathlib.Path(path), bodies

    @property
    def drives(self):
        return [self.path / f"drive{n}" for n in (1, 2, 3, 4)]

    def __getitem__(self, i):
        return self.drives[i]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    base = tmp_path_factory.mktemp("s3ctl")
    one = Server(base / "store", "--workers", "2")
    try:
        bodies = run_and_fill(one)
        yield Store(base / "store", bodies)
    finally:
        one.kill()
        one.remove()


def copy(source, target):
    subprocess.run(["cp", "-r", "--sparse=always", source, target], check=True)


@pytest.fixture
def store(original, tmp_path):
    """A copy of all drives, to be damaged."""
    for drive in original.drives:
        copy(drive, tmp_path)
    yield Store(tmp_path, original.bodies)
    shutil.rmtree(tmp_path)


@pytest.fixture
def drive(original, tmp_path):
    """A copy of one drive."""
    copy(original[1], tmp_path)
    yield tmp_path / original[1].name
    shutil.rmtree(tmp_path)


def flip(path, offset, mask=0x10):
    with open(path, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ mask]))


def state_of(path):
    """Everything that a command could have changed."""
    state = {}
    for file in sorted(path.rglob("*")):
        stat = file.lstat()
        digest = hashlib.md5(file.read_bytes()).hexdigest() \
            if file.is_file() else None
        state[str(file)] = (stat.st_size, stat.st_mtime_ns, stat.st_mode,
                            digest)
    return state


def where(store, key, expect=0):
    return lines("where", *store.drives, "--bucket", "bucket", "--key", key,
                 expect=expect)


def verify(drives, key, expect, *more):
    found = lines("verify", *drives, "--bucket", "bucket", "--key", key, *more,
                  expect=expect)
    return next(line for line in found if line["what"] == "object")


def test_usage():
    ctl(expect=2)
    ctl("check", expect=2)
    ctl("where", "/tmp", "--key", "k", expect=2)
    ctl("check", "--write", "/tmp", expect=2)
    ctl("check", "/nowhere/at/all", expect=2)
    assert "usage" in ctl("--help", expect=0).out


def test_not_a_drive(tmp_path):
    (tmp_path / "something").write_text("else")
    assert "format.json" in ctl("check", tmp_path, expect=1).out
    ctl("where", tmp_path, "--bucket", "b", "--key", "k", expect=2)
    ctl("rebuild", "--write", tmp_path, expect=2)


def test_whole_drives_and_nothing_is_written(original):
    before = state_of(original.path)
    for line in lines("check", *original.drives):
        assert line["what"] == "checked" and line["problems"] == 0
        assert line["live"] >= len(original.bodies) and line["blobs"] > 8
        assert line["units"] > line["blobs"]
    ctl("records", original[0], expect=0)
    ctl("index", original[0], expect=0)
    where(original, "k05")
    verify(original.drives, "k05", 0)
    for line in lines("rebuild", original[0]):
        assert line["differences"] == line["damaged"] == 0
        assert line["compared"] == "whole" and line["written"] == "no"
        assert line["same"] == line["entries"] > len(original.bodies)
    assert state_of(original.path) == before


def test_index_and_records(original):
    found = {}
    for line in lines("index", original[2], "--bucket", "bucket"):
        key = urllib.parse.unquote_to_bytes(line["key"])
        if line["kind"] == "object" and b"\0" not in key:
            found[key.decode()] = line["size"]
    assert found == {k: len(v) for k, v in original.bodies.items()}

    shown = lines("index", original[2], "--key", "k00")
    assert len({line["bucket"] for line in shown}) == 2

    kinds = [line["kind"] for line in lines(
        "records", original[2], "--bucket", "bucket", "--key", "k01")
        if line["what"] == "record"]
    assert "tombstone" in kinds  # the object may have been cleaned away

    escaped = urllib.parse.quote(BINARY.encode(), safe="")
    for args in ("--key", escaped), ("--prefix", escaped[:8]):
        assert BINARY in [urllib.parse.unquote(line["key"]) for line in lines(
            "index", original[2], "--escaped", *args)]


def test_where(store):
    shown = where(store, "k05")
    ranks = {line["drive"]: line["rank"] for line in shown
             if line["what"] == "drive"}
    assert sorted(ranks) == [0, 1, 2, 3] == sorted(ranks.values())
    shards = [line for line in shown if line["what"] == "shard"]
    assert len(shards) == 4
    for line in shards:
        assert line["state"] == "whole"
        assert ranks[line["drive"]] == line["shard"]
        assert (store[line["drive"]] / line["file"]).exists()

    (store[shards[0]["drive"]] / shards[0]["file"]).unlink()
    flip(store[shards[1]["drive"]] / shards[1]["file"], 5000)
    shutil.rmtree(store[shards[3]["drive"]])
    os.mkdir(store[shards[3]["drive"]])
    shown = where(store, "k05", expect=1)
    states = [line["state"] for line in shown if line["what"] == "shard"]
    assert states == ["missing", "damaged", "whole", "not-given"]


def test_verify_everything(original, tmp_path):
    out = tmp_path / "bytes"
    for key, body in original.bodies.items():
        line = verify(original.drives, key, 0, "--out", out)
        assert out.read_bytes() == body, key
        assert line["verdict"] == "whole" and line["etag_is"] == "right"
        assert line["checksum_is"] == "right"
        if key in ("composite", "full"):
            assert line["parts_right"] == 3
        # any two of four
        line = verify(original.drives[1:3], key, 0, "--out", out)
        assert out.read_bytes() == body, key
    found = ctl("verify", *original.drives, "--bucket", "bucket", "--key",
                "k01", expect=1)
    assert "not found" in found.err
    ctl("verify", original[0], "--bucket", "bucket", "--key", "k02", expect=1)


def test_verify_damaged(store, tmp_path):
    shards = [store[line["drive"]] / line["file"]
              for line in where(store, "k11") if line["what"] == "shard"]
    out = tmp_path / "bytes"
    flip(shards[0], 200000)
    shards[1].write_bytes(shards[1].read_bytes()[:100000])
    line = verify(store.drives, "k11", 1, "--out", out)
    assert line["verdict"] == "whole-with-damaged-shards"
    assert line["shards_damaged"] == 2 and line["etag_is"] == "right"
    assert out.read_bytes() == store.bodies["k11"]
    shards[2].unlink()
    assert verify(store.drives, "k11", 1)["verdict"] == "cannot-be-read"
    assert verify(store.drives, "k10", 0)["verdict"] == "whole"
    shard = next(line for line in where(store, "full")
                 if line["what"] == "shard")
    (store[shard["drive"]] / shard["file"]).unlink()
    line = verify(store.drives, "full", 1)
    assert line["shards_damaged"] == 1 and line["parts_right"] == 3
    where(store, "full", expect=1)


def places(drive):
    """One byte in each thing that has a checksum."""
    yield "format.json", 30
    yield "index/MANIFEST", 100
    yield "index/MANIFEST.copy", 100
    for path in drive.glob("index/*.tab"):
        yield path.relative_to(drive), 20
        yield path.relative_to(drive), path.stat().st_size - 20
    for line in lines("index", drive, "--bucket", "bucket"):
        yield f"log/{line['segment']:08x}.seg", \
            line["offset"] + line["length"] // 2
    for path in drive.glob("blob/*/*"):
        yield path.relative_to(drive), 5
        yield path.relative_to(drive), 64
    segment = next(drive.glob("log/*.seg")).name
    yield f"log/{segment}", 20


def test_check_finds_every_flip(drive):
    everything = list(places(drive))
    assert len(everything) > 40
    for name, offset in random.Random(7).sample(everything[5:], 20) \
            + everything[:5] + everything[-1:]:
        flip(drive / name, offset)
        found = ctl("check", drive, expect=1)
        assert f"{drive}/{pathlib.Path(name).parts[0]}" in found.out, name
        if str(name).startswith(("log/", "blob/")):
            assert f"{drive}/{name}: " in found.out, (name, offset, found.out)
        flip(drive / name, offset)
    ctl("check", drive, expect=0)
    blob = next(drive.glob("blob/*/*"))
    blob.unlink()
    found = ctl("check", drive, expect=1)
    assert f"{blob}: is missing" in found.out
    assert found.out.endswith("problems=1\n")


def mutate(rand, drive):
    files = [path for path in sorted(drive.rglob("*")) if path.is_file()
             and path.name != "lock"]
    rare = [path for path in files if "blob" not in path.parts]
    for _ in range(rand.randrange(1, 6)):
        path = rand.choice(rand.choice([files, rare]))
        if not path.exists():
            continue
        # what is used of a segment lies at its beginning
        size = min(path.stat().st_size, 1 << 20)
        how = rand.randrange(6)
        if how == 0:
            os.truncate(path, rand.randrange(size + 1))
        elif how == 1:
            path.unlink()
        elif how == 2:
            shutil.copyfile(rand.choice(
                [p for p in files if p.exists() and p != path]), path)
        elif size:
            with open(path, "r+b") as f:
                for _ in range(rand.choice([1, 3, 200])):
                    f.seek(rand.randrange(size))
                    f.write(rand.randbytes(rand.choice([1, 1, 4, 64])))


@pytest.mark.parametrize("seed", range(8))
def test_never_a_crash(original, tmp_path, seed):
    """Whatever is in the files: an answer, and memory as it should be."""
    rand = random.Random(seed)
    copy(original[0], tmp_path)
    damaged = tmp_path / original[0].name
    mutate(rand, damaged)
    ctl("check", damaged)
    ctl("records", damaged, "--json")
    ctl("index", damaged)
    others = original.drives[1:]
    for key in rand.sample(sorted(original.bodies), 2):
        escaped = urllib.parse.quote(key.encode(), safe="")
        args = ["--bucket", "bucket", "--escaped", "--key", escaped]
        ctl("where", damaged, *others, *args)
        found = ctl("verify", damaged, *others[:2], *args, "--out",
                    tmp_path / "out")
        if "verdict=whole" in found.out:
            assert (tmp_path / "out").read_bytes() == original.bodies[key]
    ctl("rebuild", damaged)
    ctl("rebuild", damaged, "--write")
    ctl("check", damaged)
    shutil.rmtree(tmp_path)


def damage_index(drive, how):
    for path in drive.glob("index/*"):
        if how == "tables" and path.suffix == ".tab":
            flip(path, path.stat().st_size - 20)
        elif how == "manifest" and path.name.startswith("MANIFEST"):
            flip(path, 100)
        elif how == "all":
            path.unlink()


def test_rebuild_and_serve(own_server):
    """Drives without an index get one from the log; they serve everything
    alone, then together with the others."""
    one = own_server
    bodies = run_and_fill(one)
    drives = [one.data / f"drive{n}" for n in (1, 2, 3, 4)]

    for drive, how in zip(drives, ("tables", "manifest", "all", "all")):
        damage_index(drive, how)
        ctl("check", drive, expect=1)
        ctl("rebuild", drive, expect=1)
        found, = lines("rebuild", drive, "--write")
        assert found["written"] == "yes"
        assert found["damaged"] == found["lost"] == 0
        assert ctl("check", drive, expect=0)
        assert lines("rebuild", drive)[0]["differences"] == 0

    def read_all():
        client = make_client(one)
        page = client.list_objects_v2(Bucket="bucket")
        assert {item["Key"] for item in page["Contents"]} == set(bodies)
        for key, body in bodies.items():
            got = client.get_object(Bucket="bucket", Key=key)["Body"].read()
            assert got == body, key
        with pytest.raises(client.exceptions.NoSuchKey):
            client.get_object(Bucket="bucket", Key="k01")
        return client

    for away in (drives[2:], drives[:2]):
        for drive in away:
            drive.rename(f"{drive}.away")
        one.start()
        read_all()
        one.stop()
        for drive in away:
            pathlib.Path(f"{drive}.away").rename(drive)

    one.start()
    client = read_all()
    client.put_object(Bucket="bucket", Key="new", Body=b"new")
    upload, = client.list_multipart_uploads(Bucket="bucket")["Uploads"]
    assert upload["Key"] == "open"
    one.stop()
    ctl("check", *drives, expect=0)


def manifest(drive):
    text = (drive / "index" / "MANIFEST").read_text()
    return json.loads(text.rpartition("#")[0])


def test_rebuild_after_a_loss(own_server):
    """A segment of the log is gone, and the index made anew without it: the
    next start knows that from the MANIFEST alone, and fills the drive."""
    one = own_server
    bodies = run_and_fill(one)
    drive, *others = [one.data / f"drive{n}" for n in (1, 2, 3, 4)]
    most = max(manifest(drive)["segments"], key=lambda s: s["live"])
    (drive / "log" / f"{most['id']:08x}.seg").unlink()
    *_, found = lines("rebuild", drive, "--write", expect=1)
    assert found["lost"] > 0
    assert "records were lost" in ctl("check", drive).out

    one.start()
    deadline = time.monotonic() + 60
    while manifest(drive)["lost"]:
        assert time.monotonic() < deadline, one.log()
        time.sleep(0.1)
    one.stop()
    assert "is in use" in (one.data / "error.log").read_text()
    assert "records were lost" not in ctl("check", drive, expect=0).out

    for away in others[:2]:
        away.rename(f"{away}.away")
    client = make_client(one.start())
    for key, body in bodies.items():
        got = client.get_object(Bucket="bucket", Key=key)["Body"].read()
        assert got == body, key
    one.stop()


def test_in_use(own_server):
    one = own_server.start()
    client = make_client(one)
    client.create_bucket(Bucket="bucket")
    client.put_object(Bucket="bucket", Key="k", Body=b"x" * 1000)
    drive = one.data / "drive1"
    assert "in use" in ctl("check", drive, expect=2).err
    assert "in use" in ctl("rebuild", drive, "--write", expect=2).err
    assert "in use" in ctl("rebuild", drive, "--write", "--live",
                           expect=2).err
    assert "in use" in ctl("check", drive, "--live").err
    found = ctl("verify", *(one.data / f"drive{n}" for n in (1, 2, 3, 4)),
                "--live", "--bucket", "bucket", "--key", "k", expect=0)
    assert re.search("verdict=whole$", found.out, re.M)
    assert client.get_object(Bucket="bucket", Key="k")["Body"].read() \
        == b"x" * 1000
    one.stop()


def test_after_a_crash(own_server):
    """What kill -9 of everything leaves is no damage; and a start changes
    nothing of what was to be read before it."""
    one = own_server.start()
    client = make_client(one)
    client.create_bucket(Bucket="bucket")
    for number in range(30):
        client.put_object(Bucket="bucket", Key=f"k{number}",
                          Body=bytes([number]) * SIZES[number % 6])
    one.kill()
    drives = [one.data / f"drive{n}" for n in (1, 2, 3, 4)]
    before = state_of(one.data)
    ctl("check", *drives, expect=0)
    for number in range(0, 30, 7):
        verify(drives, f"k{number}", 0)
    for drive in drives:
        assert lines("rebuild", drive)[0]["differences"] == 0
    assert state_of(one.data) == before
