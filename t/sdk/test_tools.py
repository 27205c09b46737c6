"""Other people's programs, unchanged: aws, s3cmd, rclone, the AWS SDK for
JavaScript."""

import filecmp
import os
import pathlib
import random
import shutil
import subprocess
import sys
import urllib.parse

import pytest

HERE = pathlib.Path(__file__).resolve().parent
MIB = 1 << 20


def program(name):
    beside = pathlib.Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is not installed"
    return found


@pytest.fixture
def tree(tmp_path):
    """Files of several sizes and names, to send and to compare."""
    rand = random.Random(1)
    top = tmp_path / "tree"
    for name, size in [("empty", 0), ("one", 1), ("a b/ü+x.txt", 5000),
                       ("deep/er/file", 300000), ("big", 20 * MIB + 3)]:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rand.randbytes(size))
    return top


def same(one, two):
    compared = filecmp.dircmp(one, two)
    assert not compared.left_only and not compared.right_only
    for name in compared.common_files:
        assert filecmp.cmp(one / name, two / name, shallow=False), name
    for name in compared.common_dirs:
        same(one / name, two / name)


@pytest.fixture
def run(server, tmp_path):
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path),
           "LC_ALL": "C.UTF-8", "NODE_PATH": os.environ.get("NODE_PATH", ""),
           "AWS_ACCESS_KEY_ID": server.access_key,
           "AWS_SECRET_ACCESS_KEY": server.secret_key,
           "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1",
           "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1",
           "ENDPOINT": server.url}

    def run_it(*command, fails=False):
        done = subprocess.run(command, env=env, cwd=tmp_path, timeout=300,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              text=True)
        assert (done.returncode != 0) == fails, \
            f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run_it


def test_aws(run, server, bucket, tree, tmp_path):
    def aws(*arguments, **options):
        return run(program("aws"), "--endpoint-url", server.url, *arguments,
                   **options)

    url = f"s3://{bucket}"
    aws("s3", "mb", f"{url}-x")
    assert f"{bucket}-x" in aws("s3", "ls")
    aws("s3", "sync", str(tree), f"{url}/t")
    listing = aws("s3", "ls", "--recursive", f"{url}/t")
    assert "t/a b/ü+x.txt" in listing and "t/big" in listing
    assert "PRE deep/" in aws("s3", "ls", f"{url}/t/")
    aws("s3", "sync", f"{url}/t", str(tmp_path / "back"))
    same(tree, tmp_path / "back")
    assert aws("s3", "sync", str(tree), f"{url}/t") == ""
    aws("s3", "cp", f"{url}/t/big", f"{url}-x/copied")
    aws("s3", "mv", f"{url}-x/copied", f"{url}-x/moved")
    aws("s3", "cp", f"{url}-x/moved", str(tmp_path / "moved"))
    assert filecmp.cmp(tree / "big", tmp_path / "moved", shallow=False)
    got = aws("s3api", "head-object", "--bucket", bucket, "--key", "t/one",
              "--query", "ContentLength")
    assert got.strip() == "1"
    aws("s3", "ls", f"{url}/none/", fails=True)
    aws("s3", "rm", "--recursive", f"{url}/t")
    aws("s3", "rb", "--force", f"{url}-x")
    assert f"{bucket}-x" not in aws("s3", "ls")


def test_s3cmd(run, server, bucket, tree, tmp_path):
    host = urllib.parse.urlsplit(server.url).netloc
    config = tmp_path / "s3cfg"
    config.write_text(f"""[default]
access_key = {server.access_key}
secret_key = {server.secret_key}
host_base = {host}
host_bucket = {host}
use_https = False
bucket_location = us-east-1
multipart_chunk_size_mb = 5
""")
    config.chmod(0o600)

    def s3cmd(*arguments):
        return run(program("s3cmd"), "-c", str(config), "--no-progress",
                   *arguments)

    url = f"s3://{bucket}"
    s3cmd("mb", f"{url}-y")
    s3cmd("sync", f"{tree}/", f"{url}/t/")
    assert "t/big" in s3cmd("ls", "-r", url)
    assert str(20 * MIB + 3) in s3cmd("du", f"{url}/t/big")
    s3cmd("info", f"{url}/t/one")
    s3cmd("info", url)
    (tmp_path / "back").mkdir()
    s3cmd("sync", f"{url}/t/", f"{tmp_path}/back/")
    same(tree, tmp_path / "back")
    s3cmd("cp", f"{url}/t/one", f"{url}-y/one")
    s3cmd("mv", f"{url}-y/one", f"{url}-y/two")
    s3cmd("modify", "--add-header=x-amz-meta-a:b", f"{url}-y/two")
    signed = s3cmd("signurl", f"{url}-y/two", "+60").strip()
    assert "Signature" in signed
    s3cmd("del", "-r", "-f", url)
    s3cmd("rb", "-r", "-f", f"{url}-y")
    assert f"{bucket}-y" not in s3cmd("ls")


def test_rclone(run, server, bucket, tree, tmp_path):
    config = tmp_path / "rclone.conf"
    config.write_text(f"""[s]
type = s3
provider = Other
access_key_id = {server.access_key}
secret_access_key = {server.secret_key}
endpoint = {server.url}
region = us-east-1
force_path_style = true
chunk_size = 5Mi
upload_cutoff = 8Mi
list_version = 2
""")

    def rclone(*arguments, **options):
        return run(program("rclone"), "--config", str(config), "--retries",
                   "1", "--low-level-retries", "1", *arguments, **options)

    rclone("mkdir", f"s:{bucket}-z")
    rclone("copy", str(tree), f"s:{bucket}/t")
    rclone("check", str(tree), f"s:{bucket}/t")
    rclone("check", "--download", str(tree), f"s:{bucket}/t")
    assert "deep/er/file" in rclone("lsf", "-R", f"s:{bucket}/t")
    (tree / "one").write_bytes(b"changed")
    (tree / "empty").unlink()
    rclone("sync", str(tree), f"s:{bucket}/t")
    rclone("check", str(tree), f"s:{bucket}/t")
    rclone("copy", f"s:{bucket}/t", f"s:{bucket}-z/t")
    rclone("moveto", f"s:{bucket}-z/t/big", f"s:{bucket}-z/moved")
    rclone("copy", f"s:{bucket}/t", str(tmp_path / "back"))
    same(tree, tmp_path / "back")
    assert rclone("cat", "--offset", "2", "--count", "3",
                  f"s:{bucket}/t/one") == "ang"
    rclone("purge", f"s:{bucket}-z")
    rclone("purge", f"s:{bucket}/t")


def test_javascript(run, bucket):
    out = run(program("node"), str(HERE / "sdk.js"), bucket)
    assert out.strip().endswith("ok")
