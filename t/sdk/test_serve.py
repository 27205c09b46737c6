"""./serve itself: options, keys, files, signals."""

import os
import signal
import stat
import subprocess
import time

import pytest

from conftest import make_client
from server import Server, TOP, alive, children


def test_files_and_second_start(own_server):
    one = own_server.start()
    for name in ("nginx.conf", "nginx.pid", "error.log", "access.log",
                 "drive1", "drive2", "drive3", "drive4"):
        assert (one.data / name).exists(), name
    assert not (one.data / "drive5").exists()
    mode = stat.S_IMODE((one.data / "credentials").stat().st_mode)
    assert mode == 0o600
    keys = one.access_key, one.secret_key
    assert len(keys[0]) >= 16 and len(keys[1]) >= 32
    client = make_client(one)
    client.create_bucket(Bucket="first")
    client.put_object(Bucket="first", Key="k", Body=b"abc")
    assert one.stop() < 10
    assert not (one.data / "nginx.pid").exists()
    one.start()
    assert (one.access_key, one.secret_key) == keys
    got = make_client(one).get_object(Bucket="first", Key="k")
    assert got["Body"].read() == b"abc"
    assert one.stop(signal.SIGINT) < 10


def test_the_written_configuration_is_enough(own_server, tmp_path):
    """nginx -c DIR/nginx.conf, from elsewhere, with an empty environment."""
    one = own_server.start()
    make_client(one).create_bucket(Bucket="first")
    one.stop()
    nginx = subprocess.Popen(
        ["/usr/sbin/nginx", "-c", str(one.data / "nginx.conf")],
        cwd="/", env={}, start_new_session=True)
    try:
        client = make_client(one, retries={"max_attempts": 8})
        names = [b["Name"] for b in client.list_buckets()["Buckets"]]
        assert names == ["first"]
    finally:
        nginx.terminate()
        nginx.wait(20)


def test_options(tmp_path):
    one = Server(tmp_path / "a b", "--drives", "6", "--parity", "3",
                 "--workers", "1", "--region", "eu-test-1", "--access-key",
                 "GIVENKEY", "--secret-key", "given/secret+key=123456789012")
    try:
        one.start()
        assert one.access_key == "GIVENKEY"
        assert one.secret_key == "given/secret+key=123456789012"
        assert len(one.pids()) == 2
        assert (one.data / "drive6").is_dir()
        client = make_client(one)
        with pytest.raises(client.exceptions.ClientError) as error:
            client.list_buckets()
        assert error.value.response["Error"]["Code"] == \
            "AuthorizationHeaderMalformed"
        one.stop()
        # six drives again without being told so, and the same keys
        one.options = ("--region", "us-east-1", "--workers", "1")
        one.start()
        assert one.secret_key == "given/secret+key=123456789012"
        assert not (one.data / "drive7").exists()
        make_client(one).list_buckets()
        one.stop()
    finally:
        one.kill()
        one.remove()


@pytest.mark.parametrize("options", [
    ["--port", "x"], ["--drives", "0"], ["--drives", "33"], ["--nonsense"],
    ["--access-key", "abc"], ["--port"], ["--workers", "0"]])
def test_bad_options(tmp_path, options):
    run = subprocess.run([str(TOP / "serve"), "--data", str(tmp_path / "d"),
                          *options], capture_output=True, timeout=60)
    assert run.returncode != 0
    assert run.stderr and not run.stdout


def test_port_in_use(own_server, tmp_path):
    one = own_server.start()
    other = Server(tmp_path / "other")
    other.port = one.port
    with pytest.raises(RuntimeError, match="serve ended"):
        other.start()
    other.kill()
    make_client(one).list_buckets()


def test_nobody_else_may_use_the_drives(own_server):
    """A second nginx over the same store would corrupt it: refused."""
    one = own_server.start()
    make_client(one).create_bucket(Bucket="first")
    text = (one.data / "nginx.conf").read_text()
    other = Server(one.data)
    conf = one.data / "second.conf"
    conf.write_text(text.replace(f":{one.port};", f":{other.port};")
                    .replace("nginx.pid", "second.pid")
                    .replace("error.log", "second.log"))
    run = subprocess.Popen(["/usr/sbin/nginx", "-c", str(conf)],
                           stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        assert run.wait(20) != 0
    finally:
        if run.poll() is None:
            for pid in [run.pid, *children(run.pid)]:
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)
            run.wait()
    make_client(one).create_bucket(Bucket="second")
    one.stop()


def test_a_worker_is_killed(own_server):
    one = own_server.start()
    client = make_client(one, retries={"max_attempts": 10})
    client.create_bucket(Bucket="first")
    for round_ in range(4):
        for i in range(25):
            client.put_object(Bucket="first", Key=f"{round_}/{i}",
                              Body=os.urandom(3000))
        until = time.monotonic() + 10
        while len(pids := one.pids()) < 3 and time.monotonic() < until:
            time.sleep(0.02)  # for the one that follows the last
        os.kill(pids[1 + round_ % 2], signal.SIGKILL)
    listed = client.list_objects_v2(Bucket="first")["Contents"]
    assert len(listed) == 100
    for item in listed:
        got = client.get_object(Bucket="first", Key=item["Key"])
        assert len(got["Body"].read()) == 3000
    one.stop()
