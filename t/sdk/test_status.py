"""/-/status, /-/metrics and the page at /-/, in a browser."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from conftest import External, make_client
from server import Server, free_port

pytestmark = pytest.mark.skipif(bool(External.url), reason="only with ./serve")

FIELDS = {"path", "state", "reason", "bytes_used", "bytes_total", "objects",
          "repairs_pending", "repairs_done", "corrupt_found",
          "scrub_done_ratio", "last_error"}


def fetch(server, what):
    # a connection each: any of the workers answers
    with urllib.request.urlopen(f"{server.url}/-/{what}", timeout=10) as r:
        return r.read().decode()


def status(server):
    return json.loads(fetch(server, "status"))


def metrics(server):
    values = {}
    for line in fetch(server, "metrics").splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            values[name] = float(value)
    return values


def requests(server, operation, kind="2xx"):
    return metrics(server)[
        f's3_requests_total{{operation="{operation}",status="{kind}"}}']


def puts(server, count, seconds=20):
    """So many are counted; each is when its answer has been sent."""
    deadline = time.monotonic() + seconds
    while (got := requests(server, "PutObject")) != count:
        assert time.monotonic() < deadline, got
        time.sleep(0.05)


def healed(s):
    return all(d["state"] == "ok" and d["repairs_pending"] == 0
               for d in s["drives"])


def wait(server, what, seconds=60):
    """Until what(status); returns it."""
    deadline = time.monotonic() + seconds
    while True:
        s = status(server)
        if what(s):
            return s
        assert time.monotonic() < deadline, s
        time.sleep(0.05)


def state_is(number, *states):
    return lambda s: s["drives"][number]["state"] in states


def away(server, number):
    (server.data / f"drive{number}").rename(server.data / f"away{number}")
    return wait(server, state_is(number - 1, "missing"))


def back(server, number):
    (server.data / f"away{number}").rename(server.data / f"drive{number}")


def fill(server, name, keys, size=3000):
    client = make_client(server)
    for i in range(keys):
        client.put_object(Bucket="bucket", Key=f"{name}{i:03d}",
                          Body=b"x" * size)


@pytest.fixture
def store(own_server):
    own_server.start()
    make_client(own_server).create_bucket(Bucket="bucket")
    return own_server


def test_shape_and_objects(store):
    s = wait(store, healed)
    assert set(s) == {"version", "uptime_s", "drives"}
    assert [set(d) for d in s["drives"]] == [FIELDS] * 4
    assert [d["path"] for d in s["drives"]] == [
        str(store.data / f"drive{i}") for i in range(1, 5)]
    fill(store, "k", 30)
    make_client(store).delete_object(Bucket="bucket", Key="k007")
    s = wait(store, lambda s: all(d["objects"] == 29 for d in s["drives"]))
    for d in s["drives"]:
        assert 0 < d["bytes_used"] <= d["bytes_total"]
        assert d["reason"] == d["last_error"] == ""
    values = metrics(store)
    label = f'drive="3",path="{store.data}/drive3"'
    assert values[f"s3_drive_objects{{{label}}}"] == 29
    assert values[f's3_drive_state{{{label},state="ok"}}'] == 1
    assert values[f's3_drive_state{{{label},state="hung"}}'] == 0
    # the figures are those of the node, whoever is asked
    assert [requests(store, "PutObject") for _ in range(20)] == [30] * 20


def test_a_drive_goes_and_comes_back(store):
    wait(store, healed)
    s = away(store, 2)
    assert s["drives"][1]["reason"] != ""
    fill(store, "missed", 25)
    s = status(store)
    assert s["drives"][1]["repairs_pending"] >= 25
    assert [s["drives"][i]["repairs_pending"] for i in (0, 2, 3)] == [0] * 3

    # what is pending is on the drives, not in memory: a restart tells as much
    store.stop()
    store.start()
    s = status(store)
    assert s["drives"][1]["state"] == "missing"
    assert s["drives"][1]["repairs_pending"] > 0
    wait(store, lambda s: s["drives"][1]["repairs_pending"] >= 25)

    # at no moment does it pass for healed before it is
    back(store, 2)
    deadline = time.monotonic() + 60
    while not healed(s := status(store)):
        assert time.monotonic() < deadline, s
    assert s["drives"][1]["repairs_done"] >= 25
    wait(store, lambda s: s["drives"][1]["objects"] == 25)
    client = make_client(store)
    for number in (1, 3):
        away(store, number)
    for i in range(25):
        got = client.get_object(Bucket="bucket", Key=f"missed{i:03d}")
        assert got["Body"].read() == b"x" * 3000


def test_an_empty_drive_is_filled(store):
    wait(store, healed)
    fill(store, "k", 200)
    store.stop()
    shutil.rmtree(store.data / "drive3")
    (store.data / "drive3").mkdir()
    store.start()
    seen = set()
    deadline = time.monotonic() + 60
    while not healed(s := status(store)):
        assert time.monotonic() < deadline, s
        seen.add(s["drives"][2]["state"])
    assert "refilling" in seen
    assert s["drives"][2]["repairs_done"] >= 200
    wait(store, lambda s: s["drives"][2]["objects"] == 200)


def test_damage_is_counted(store):
    wait(store, healed)
    fill(store, "big", 24, 300_000)
    blobs = [p for p in (store.data / "drive1/blob").rglob("*") if p.is_file()]
    assert len(blobs) == 24
    for path in blobs:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    # half of the objects, by lot, have a data shard there, which is read
    client = make_client(store)
    for i in range(24):
        got = client.get_object(Bucket="bucket", Key=f"big{i:03d}")
        assert got["Body"].read() == b"x" * 300_000
    s = status(store)
    assert s["drives"][0]["corrupt_found"] > 0
    assert [s["drives"][i]["corrupt_found"] for i in (1, 2, 3)] == [0] * 3
    s = wait(store, healed)
    assert s["drives"][0]["repairs_done"] > 0


def test_counters_outlive_workers(store):
    fill(store, "k", 20)
    puts(store, 20)
    master, *workers = store.pids()
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while True:
        try:
            assert requests(store, "PutObject") == 20
            break
        except (OSError, urllib.error.URLError):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    os.kill(master, signal.SIGHUP)
    time.sleep(0.5)
    fill(store, "m", 5)
    puts(store, 25)


def test_only_from_this_machine(store):
    """An address of this machine that is not a loopback one, if it has any."""
    listed = subprocess.run(["hostname", "-I"], capture_output=True, text=True)
    addresses = re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", listed.stdout)
    if not addresses:
        pytest.skip("no address but those of the loopback")
    conf = store.data / "nginx.conf"
    text = conf.read_text()
    store.stop()
    conf.write_text(text.replace(f"127.0.0.1:{store.port}",
                                 f"{addresses[0]}:{store.port}"))
    nginx = subprocess.Popen(["/usr/sbin/nginx", "-c", str(conf)], cwd="/",
                             stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                with pytest.raises(urllib.error.HTTPError) as error:
                    urllib.request.urlopen(
                        f"http://{addresses[0]}:{store.port}/-/status")
                assert error.value.code == 403
                break
            except urllib.error.URLError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
    finally:
        nginx.terminate()
        nginx.wait(20)


class Browser:
    """Chromium by its driver's own protocol (W3C WebDriver)."""

    def __init__(self, folder):
        self.port = free_port()
        self.process = subprocess.Popen(
            ["chromedriver", f"--port={self.port}", "--log-level=SEVERE"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(folder), "no_proxy": "*"})
        self.session = None
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu",
                            "--disable-dev-shm-usage", "--no-first-run",
                            "--no-proxy-server",
                            f"--user-data-dir={folder}/profile"]}
        deadline = time.monotonic() + 30
        while True:
            try:
                if self.call("GET", "/status")["ready"]:
                    break
            except OSError:
                assert time.monotonic() < deadline, "no chromedriver"
                time.sleep(0.1)
        self.session = self.call("POST", "/session", {"capabilities": {
            "alwaysMatch": {"browserName": "chrome",
                            "goog:loggingPrefs": {"browser": "ALL"},
                            "goog:chromeOptions": options}}})["sessionId"]

    def call(self, method, path, body=None):
        if self.session:
            path = f"/session/{self.session}{path}"
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as r:
            return json.load(r)["value"]

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def run(self, script, *args):
        return self.call("POST", "/execute/sync",
                         {"script": script, "args": list(args)})

    def wait(self, script, want, seconds=30):
        deadline = time.monotonic() + seconds
        while (got := self.run(script)) != want:
            assert time.monotonic() < deadline, (script, got)
            time.sleep(0.1)

    def complaints(self):
        return [e["message"] for e in self.call("POST", "/se/log",
                                                {"type": "browser"})]

    def close(self):
        try:
            if self.session:
                self.call("DELETE", "")
        finally:
            self.process.terminate()
            self.process.wait(20)


@pytest.fixture
def browser(tmp_path):
    folder = tmp_path / "browser"
    folder.mkdir()
    one = Browser(folder)
    yield one
    one.close()


STATES = "return [...document.querySelectorAll('.drive .state')]" \
         ".map(e => e.textContent)"
VERDICT = "return document.getElementById('verdict').textContent"


def test_page_is_live(store, browser):
    wait(store, healed)
    browser.open(f"{store.url}/-/")
    browser.run("window.sameOne = 1")
    browser.wait(STATES, ["ok"] * 4)
    browser.wait(VERDICT, "all drives are well")
    assert browser.run("return document.title").startswith("✓")

    # traffic: a row in the table, something drawn
    fill(store, "k", 40)
    row = "return [...document.querySelectorAll('#operations tr')]" \
          ".filter(e => e.cells[0].textContent === 'PutObject')" \
          ".map(e => e.cells[4].textContent)"
    browser.wait(row, ["40"])
    browser.wait("""return [...document.querySelectorAll('canvas')].map(c =>
        c.getContext('2d').getImageData(0, 0, c.width, c.height).data
         .some(x => x))""", [True] * 4)
    browser.wait("return document.querySelector('canvas')"
                 ".getAttribute('aria-label').startsWith('Requests per')",
                 True)

    # a drive goes, misses something, comes back: no reload
    away(store, 2)
    browser.wait(STATES, ["ok", "missing", "ok", "ok"])
    fill(store, "m", 20)
    browser.wait("return /^1 of 4 drives not ok, 20 repairs/.test("
                 "document.getElementById('verdict').textContent)", True)
    browser.wait("return [...document.querySelectorAll('.drive')].map(e => "
                 "!e.querySelector('.repair').hidden)",
                 [False, True, False, False])
    assert browser.run("return document.querySelectorAll('.drive .reason')[1]"
                       ".textContent") != ""
    back(store, 2)
    wait(store, healed)
    browser.wait(STATES, ["ok"] * 4)
    browser.wait(VERDICT, "all drives are well")

    # on a small screen nothing sticks out
    browser.call("POST", "/window/rect", {"width": 500, "height": 700})
    assert browser.run("return document.documentElement.scrollWidth"
                       " - window.innerWidth") <= 0

    assert browser.run("return window.sameOne") == 1
    assert browser.complaints() == []

    # the server goes: the page says so, and goes on when it is back
    store.stop()
    browser.wait("return document.getElementById('verdict').textContent"
                 ".startsWith('no answer')", True)
    store.start()
    browser.wait(VERDICT, "all drives are well")


def test_page_shows_paths_as_text(tmp_path, browser):
    name = "<img src=x onerror=window.bad=1>&lt"
    one = Server(tmp_path / name, "--workers", "1")
    try:
        one.start()
        browser.open(f"{one.url}/-/")
        browser.wait(STATES, ["ok"] * 4)
        assert browser.run("return document.querySelector('.drive h3')"
                           ".textContent") == str(one.data / "drive1")
        assert browser.run("return document.images.length") == 0
        assert browser.run("return window.bad") is None

        # and were it to get in, it would not run
        browser.run("""const s = document.createElement('script');
            s.textContent = 'window.bad = 2'; document.body.append(s);""")
        assert browser.run("return window.bad") is None
        assert any("Content Security Policy" in m
                   for m in browser.complaints())
        one.stop()
    finally:
        one.kill()
        one.remove()
